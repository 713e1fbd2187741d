"""Trials with a context: to be continued, or to have their gaps filled in."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Int

from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import DataError
from spikeloom.observation.poisson import ObservedCounts


def context_lengths(context: SpikeData, n: int, drawn: Int[np.ndarray, "trial"]) -> Int[np.ndarray, "trial"]:
    """Lengths of the trials to draw: as drawn, but none shorter than its context."""
    return np.maximum(drawn, _one_per_trial(context.lengths, n))


def observed_counts(
    context: SpikeData,
    observed: Bool[np.ndarray, "..."] | None,
    lengths: Int[np.ndarray, "trial"],
) -> ObservedCounts:
    """The observed counts of new trials, padded to the longest of these.

    Args:
        context: Recorded trials: one for all, or one for each.
        observed: (time,) or (trial, time) mask of their observed bins; all bins by default.
        lengths: Bins of the trials to draw.

    Raises:
        DataError: If numbers of trials or bins do not agree, or a trial would end before its last observed bin.
    """
    n, n_bins = len(lengths), int(lengths.max())
    inside = np.arange(context.n_bins) < context.lengths[:, None]
    if observed is None:
        mask = inside
    else:
        mask = _mask(observed, context) & inside
    if not mask.any():
        raise DataError("no bin of the context is observed; name at least one bin, or leave the context out.")
    counts, mask = (
        _one_per_trial(np.broadcast_to(v, (context.n_trials, *v.shape[-rest:])), n)
        for v, rest in ((context.counts, 2), (mask, 1))
    )
    ends = np.where(mask.any(1), mask.shape[1] - mask[:, ::-1].argmax(1), 0)
    if (ends > lengths).any():
        trial = int((ends > lengths).argmax())
        raise DataError(
            f"trial {trial} is to have {lengths[trial]} bins, but {ends[trial]} of its context are observed; sample "
            "longer trials, or name the observed bins."
        )
    wide = max(n_bins - counts.shape[1], 0)
    counts = np.pad(counts[:, :n_bins].astype(np.int32), ((0, 0), (0, wide), (0, 0)))
    mask = np.pad(mask[:, :n_bins], ((0, 0), (0, wide)))
    return ObservedCounts(torch.from_numpy(counts), torch.from_numpy(mask.copy()))


def runs(mask: Bool[torch.Tensor, "trial time"]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Trial, first bin and number of bins of every unbroken run of observed bins.

    Example:
        >>> [v.tolist() for v in runs(torch.tensor([[True, True, False, True]]))]
        [[0, 0], [0, 3], [2, 1]]
    """
    edge = torch.nn.functional.pad(mask.int(), (1, 1)).diff(dim=1)
    trial, first = (edge == 1).nonzero(as_tuple=True)
    last = (edge == -1).nonzero(as_tuple=True)[1]
    return trial, first, last - first


def _mask(observed: Bool[np.ndarray, "..."], context: SpikeData) -> Bool[np.ndarray, "..."]:
    try:
        mask = np.asarray(observed)
    except ValueError:  # rows of different lengths
        mask = np.asarray(None)
    if mask.dtype != bool or mask.shape not in ((context.n_bins,), (context.n_trials, context.n_bins)):
        seen = f"an array of shape {mask.shape}" if mask.ndim else repr(observed)
        kind = "" if mask.dtype == bool or not mask.ndim else " that is not of True and False"
        raise DataError(
            f"observed is {seen}{kind}, but must be an array of True and False for the {context.n_bins} bins of the "
            f"context, or with a row for each of its {context.n_trials} trials; numpy.arange({context.n_bins}) < 10 "
            "observes the first 10 bins."
        )
    return mask


def _one_per_trial(values: np.ndarray, n: int) -> np.ndarray:
    if len(values) not in (1, n):
        raise DataError(f"there are {len(values)} context trials for {n} to draw; give one for all, or one for each.")
    return np.broadcast_to(values, (n, *values.shape[1:])) if len(values) != n else values
