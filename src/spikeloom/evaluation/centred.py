"""Counts around what the average trial does: what neurons share, lag by lag, beyond the common time course."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from spikeloom.evaluation import spike_statistics as ss
from spikeloom.evaluation.trial_set import TrialSet

MIN_TRIALS = 2
"""Bins of a condition with fewer trials have no course to deviate from."""


class Centred(NamedTuple):
    """Trials with the course that is subtracted from them.

    Attributes:
        trials: The trials.
        course: (condition, time, neuron) mean counts; one condition and one bin where there is no time course.
        used: (trial, time) bins that are valid and have a course.
    """

    trials: TrialSet
    course: Float[np.ndarray, "condition time neuron"]
    used: Bool[np.ndarray, "trial time"]

    def pieces(
        self, starts: Int[np.ndarray, "block"], padding: int = 0
    ) -> Iterator[tuple[int, Float[np.ndarray, "trial time neuron"]]]:
        """Pieces of the centred counts with their block: zero where not used, and in bins added after each trial."""
        counts = self.trials.counts
        n_trials, n_bins, n_neurons = counts.shape
        step = max(1, ss.CHUNK_ELEMENTS // max((n_bins + padding) * n_neurons, 1))
        for block, (first, last) in enumerate(pairwise(np.append(starts, n_trials))):
            for start in range(first, last, step):
                part = slice(start, min(start + step, last))
                piece = np.zeros((part.stop - start, n_bins + padding, n_neurons), np.float32)
                np.subtract(counts[part], self.course[self.trials.condition[part]], out=piece[:, :n_bins])
                if not self.used[part].all():
                    piece[:, :n_bins] *= self.used[part, :, None]
                yield block, piece

    def pairs_of_bins(self, starts: Int[np.ndarray, "block"], n_lags: int) -> Float[np.ndarray, "block lag"]:
        """Number of pairs of used bins at lags of 0 to ``n_lags``."""
        n_bins = self.used.shape[1]
        each = [(self.used[:, : n_bins - lag] & self.used[:, lag:]).sum(axis=1) for lag in range(n_lags + 1)]
        return np.add.reduceat(np.stack(each, axis=1), starts, axis=0).astype(np.float64)


def centred(trials: TrialSet, by_time: bool) -> Centred:
    """Centre a set on the mean course of each condition, or on each neuron's mean where trials are not aligned.

    The course is that of the set itself. It stays fixed when blocks are resampled: exact for the value, a good
    approximation for its spread.

    Args:
        trials: The trials.
        by_time: Whether bins of different trials mean the same time.
    """
    valid = ss.valid_mask(trials.lengths, trials.counts.shape[1])
    if not by_time:
        mean = ss.trial_sums(trials.counts).sum(axis=0) / max(int(trials.lengths.sum()), 1)
        return Centred(trials.pooled(), mean[None, None].astype(np.float32), valid)
    summed, number = ss.psth_sums(*trials, int(trials.condition.max(initial=0)) + 1)
    course = summed / np.maximum(number, 1)[..., None]
    return Centred(trials, course.astype(np.float32), valid & (number >= MIN_TRIALS)[trials.condition])
