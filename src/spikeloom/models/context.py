"""Trials of which a part is given: to be continued, or to have their gaps filled in."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Int

from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import DataError
from spikeloom.observation.poisson import ObservedCounts


def given_lengths(given: SpikeData, n: int, drawn: Int[np.ndarray, "trial"]) -> Int[np.ndarray, "trial"]:
    """Lengths of the trials to draw: as drawn, but none shorter than what is given of it."""
    return np.maximum(drawn, _spread(given.lengths, n))


def seen_of(
    given: SpikeData,
    known: Bool[np.ndarray, "..."] | None,
    lengths: Int[np.ndarray, "trial"],
) -> ObservedCounts:
    """The counts that are given, in trials of the given lengths.

    Args:
        given: Recorded trials: one for all, or one for each.
        known: (time,) or (trial, time) bins of them that are known; all when not given.
        lengths: Bins of the trials to draw.

    Raises:
        DataError: If there are other numbers of trials or bins, or a trial is to end before what is given of it.
    """
    n, n_bins = len(lengths), int(lengths.max())
    inside = np.arange(given.n_bins) < given.lengths[:, None]
    if known is None:
        known = inside
    else:
        known = np.asarray(known)
        if known.dtype != bool or known.shape not in ((given.n_bins,), (given.n_trials, given.n_bins)):
            raise DataError(
                f"known is {known.dtype} of shape {known.shape}, but must be true or false for each of the "
                f"{given.n_bins} bins given, or for each of the {given.n_trials} trials and their bins."
            )
        known = known & inside
    if not known.any():
        raise DataError("nothing that is given is known; name at least one bin, or leave out what is given.")
    counts, known = (
        _spread(np.broadcast_to(v, (given.n_trials, *v.shape[-rest:])), n)
        for v, rest in ((given.counts, 2), (known, 1))
    )
    ends = np.where(known.any(1), known.shape[1] - known[:, ::-1].argmax(1), 0)
    if (ends > lengths).any():
        trial = int((ends > lengths).argmax())
        raise DataError(
            f"trial {trial} is to have {lengths[trial]} bins, but {ends[trial]} are given; ask for longer trials, "
            "or say which of the given bins are known."
        )
    wide = max(n_bins - counts.shape[1], 0)
    counts = np.pad(counts[:, :n_bins].astype(np.int32), ((0, 0), (0, wide), (0, 0)))
    known = np.pad(known[:, :n_bins], ((0, 0), (0, wide)))
    return ObservedCounts(torch.from_numpy(counts), torch.from_numpy(known.copy()))


def runs(known: Bool[torch.Tensor, "trial time"]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Trial, first bin and number of bins of every unbroken run of known bins.

    Example:
        >>> [v.tolist() for v in runs(torch.tensor([[True, True, False, True]]))]
        [[0, 0], [0, 3], [2, 1]]
    """
    edge = torch.nn.functional.pad(known.int(), (1, 1)).diff(dim=1)
    trial, first = (edge == 1).nonzero(as_tuple=True)
    last = (edge == -1).nonzero(as_tuple=True)[1]
    return trial, first, last - first


def _spread(values: np.ndarray, n: int) -> np.ndarray:
    if len(values) not in (1, n):
        raise DataError(f"{len(values)} trials are given for {n} to draw; give one for all, or one for each.")
    return np.broadcast_to(values, (n, *values.shape[1:])) if len(values) != n else values
