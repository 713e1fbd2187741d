"""A set of trials as the metrics read it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Int


class TrialSet(NamedTuple):
    """A set of trials: counts with zeros in the padding, valid bins, condition codes."""

    counts: np.ndarray
    lengths: np.ndarray
    condition: np.ndarray

    def take(self, index: np.ndarray) -> TrialSet:
        """The trials of the given indices, in that order."""
        return TrialSet(self.counts[index], self.lengths[index], self.condition[index])

    def pooled(self) -> TrialSet:
        """The same trials as if all were of one condition."""
        return self._replace(condition=np.zeros(len(self.lengths), np.int64))


def spread_out(trials: TrialSet, n_trials: int) -> TrialSet:
    """So many trials of a set in their order: a fixed random choice, the same for every set of its size."""
    return trials if n_trials >= len(trials.lengths) else trials.take(spread(len(trials.lengths), n_trials))


def spread(n: int, n_kept: int) -> Int[np.ndarray, "kept"]:
    """The trials, of n, that ``spread_out`` keeps."""
    return np.arange(n) if n_kept >= n else np.sort(np.random.default_rng(0).permutation(n)[:n_kept])


def halves(n_trials: int, starts: Int[np.ndarray, "block"]) -> Int[np.ndarray, "trial"]:
    """Which half, 0 or 1, each trial belongs to: whole blocks in turn, or single trials where all are one block."""
    if len(starts) == 1:
        return np.arange(n_trials) % 2
    return np.repeat(np.arange(len(starts)) % 2, np.diff(np.append(starts, n_trials)))


def trials_within(shape: tuple[int, ...], most_elements: int, fewest: int = 50) -> int:
    """Number of trials that make up so many bins x neurons, but not fewer than a minimum, nor more than there are."""
    n_trials, n_bins, n_neurons = shape
    return min(n_trials, max(fewest, most_elements // max(n_bins * n_neurons, 1)))
