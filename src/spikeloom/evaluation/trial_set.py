"""A set of trials as the metrics read it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


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
    if n_trials >= len(trials.lengths):
        return trials
    return trials.take(np.sort(np.random.default_rng(0).permutation(len(trials.lengths))[:n_trials]))


def trials_within(shape: tuple[int, ...], most_elements: int, fewest: int = 50) -> int:
    """Number of trials that make up so many bins x neurons, but not fewer than a minimum, nor more than there are."""
    n_trials, n_bins, n_neurons = shape
    return min(n_trials, max(fewest, most_elements // max(n_bins * n_neurons, 1)))
