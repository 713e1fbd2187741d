"""Give two sets of trials the same lengths: which trial goes with which length, and cutting to it."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int

from spikeloom.evaluation.spike_statistics import valid_mask
from spikeloom.evaluation.summary import TrialSet


def feasible(pool: Int[np.ndarray, "trial"], slots: Int[np.ndarray, "slot"]) -> Int[np.ndarray, "slot"]:
    """Slot lengths, shortened as little as needed for the pool to have a long enough trial for every slot."""
    out = slots.copy()
    order = np.argsort(-slots, kind="stable")
    out[order] = np.minimum(slots[order], np.sort(pool)[::-1][: len(slots)])
    return out


def assign(pool: Int[np.ndarray, "trial"], slots: Int[np.ndarray, "slot"]) -> Int[np.ndarray, "slot"]:
    """For each slot a different trial of the (shuffled) pool, at least as long and as little longer as possible."""
    if pool.min() == pool.max() or pool.min() >= slots.max():
        return np.arange(len(slots))
    out = np.empty(len(slots), np.int64)
    left = list(np.argsort(pool, kind="stable"))
    lengths = list(pool[left])
    for slot in np.argsort(-slots, kind="stable"):
        place = int(np.searchsorted(lengths, slots[slot]))
        out[slot] = left.pop(place)
        lengths.pop(place)
    return out


def cut(trials: TrialSet, lengths: Int[np.ndarray, "trial"]) -> TrialSet:
    """The trials with at most the given number of valid bins; bins beyond hold zeros."""
    if (lengths >= trials.lengths).all():
        return trials._replace(lengths=np.minimum(lengths, trials.lengths))
    mask = valid_mask(lengths, trials.counts.shape[1])[..., None]
    return trials._replace(counts=np.where(mask, trials.counts, trials.counts.dtype.type(0)), lengths=lengths)


def crop(trials: TrialSet, n_bins: int) -> TrialSet:
    """The trials without the bins beyond a number that all of them end before."""
    return trials._replace(counts=np.ascontiguousarray(trials.counts[:, :n_bins]))
