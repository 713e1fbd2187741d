"""Trials with a context: to be continued, or to have their gaps filled in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar, cast

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from spikeloom.data.spikedata import SpikeData, check_recording
from spikeloom.errors import DataError
from spikeloom.observation.poisson import ObservedCounts
from spikeloom.priors.base import Context

Observed = ObservedCounts | Context
AnyObserved = TypeVar("AnyObserved", bound=ObservedCounts | Context)


@dataclass(frozen=True)
class LatentTrials:
    """Latents that are given as a context, instead of recorded trials.

    Attributes:
        values: Latents, in the units of the autoencoder.
    """

    values: Float[np.ndarray, "trial time latent"]

    @property
    def n_trials(self) -> int:
        """Number of trials."""
        return len(self.values)

    @property
    def n_bins(self) -> int:
        """Bins of every trial."""
        return self.values.shape[1]

    @property
    def lengths(self) -> Int[np.ndarray, "trial"]:
        """Bins of each trial."""
        return np.full(self.n_trials, self.n_bins)


def checked_context(context: Any) -> SpikeData | LatentTrials:
    """A context as users give it: recorded trials, or an array of latents.

    Raises:
        DataError: If it is neither, or latents are not finite numbers (trial, time, latent).
    """
    if not isinstance(context, np.ndarray) or context.dtype.kind != "f":
        check_recording(context, "context")
        return cast(SpikeData, context)
    values = context.astype(np.float32)
    if values.ndim != 3 or not values.size or not np.isfinite(values).all():
        seen = f"an array of shape {values.shape}" if values.ndim != 3 or not values.size else "not finite everywhere"
        raise DataError(
            f"latents as a context are an array (trial, time, latent) of finite numbers, but they are {seen}; give "
            "those of model.encode(trials), or the recorded trials themselves."
        )
    return LatentTrials(values)


def mapped(observed: AnyObserved, change: Callable[[Tensor], Tensor]) -> AnyObserved:
    """The observed part, with the same change of its values and of its mask."""
    return replace(observed, **{f.name: change(getattr(observed, f.name)) for f in fields(observed)})


def context_lengths(
    context: SpikeData | LatentTrials, n: int, drawn: Int[np.ndarray, "trial"]
) -> Int[np.ndarray, "trial"]:
    """Lengths of the trials to draw: as drawn, but none shorter than its context."""
    return np.maximum(drawn, _one_per_trial(context.lengths, n))


def observed_part(
    context: SpikeData | LatentTrials,
    observed: Bool[np.ndarray, "..."] | None,
    lengths: Int[np.ndarray, "trial"],
) -> Observed:
    """The observed counts or latents of new trials, padded to the longest of these.

    Args:
        context: Recorded trials, or their latents: one for all, or one for each.
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
    values, mask = (
        _one_per_trial(np.broadcast_to(v, (context.n_trials, *v.shape[-rest:])), n)
        for v, rest in ((context.counts if isinstance(context, SpikeData) else context.values, 2), (mask, 1))
    )
    ends = np.where(mask.any(1), mask.shape[1] - mask[:, ::-1].argmax(1), 0)
    if (ends > lengths).any():
        trial = int((ends > lengths).argmax())
        raise DataError(
            f"trial {trial} is to have {lengths[trial]} bins, but {ends[trial]} of its context are observed; sample "
            "longer trials, or name the observed bins."
        )
    wide = max(n_bins - values.shape[1], 0)
    values = np.pad(values[:, :n_bins], ((0, 0), (0, wide), (0, 0)))
    mask = torch.from_numpy(np.pad(mask[:, :n_bins], ((0, 0), (0, wide))).copy())
    if isinstance(context, LatentTrials):
        return Context(torch.from_numpy(values.copy()), mask)
    return ObservedCounts(torch.from_numpy(values.astype(np.int32)), mask)


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


def _mask(observed: Bool[np.ndarray, "..."], context: SpikeData | LatentTrials) -> Bool[np.ndarray, "..."]:
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
