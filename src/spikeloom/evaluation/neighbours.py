"""Distances between trials as square roots of smoothed counts, and the nearest neighbours they give.

Nothing in this embedding is learned: a projection fitted to the training trials would itself set unseen trials apart
from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from spikeloom.evaluation.dynamics import gaussian_smooth
from spikeloom.evaluation.spike_statistics import Lengths, float_chunks, valid_mask
from spikeloom.evaluation.summary import TrialSet

CHUNK_TRIALS = 256
"""Trials embedded at a time: the real trials are never embedded all at once."""


class Smoothing(NamedTuple):
    """A Gaussian, and the sampling of what it has smoothed.

    Attributes:
        sd_bins: Its standard deviation in bins.
        step: Every so many bins are kept; the result is so much smoother than its sampling that nothing is lost.
    """

    sd_bins: float
    step: int

    @classmethod
    def of_width(cls, width_s: float, bin_s: float) -> Smoothing:
        """A Gaussian of a width in seconds, at least half a bin."""
        sd_bins = max(width_s / bin_s, 0.5)
        return cls(sd_bins, max(1, int(sd_bins / 2)))

    def size(self, counts: np.ndarray) -> int:
        """Numbers that describe one trial."""
        return -(-counts.shape[1] // self.step) * counts.shape[2]


class Neighbours(NamedTuple):
    """Distances between two sets of trials.

    Attributes:
        squared: Squared distance of each query to each other trial, over the valid bins of the query.
        nearest: Of each other trial, over its own valid bins: squared distance to the nearest query, as a share of that
            to the queries around it (the tenth part that is nearest): 0 when it is identical to one, 1 when those are
            equally far. The share makes trials of unequal length, rate and typicality comparable.
    """

    squared: Float[np.ndarray, "query other"]
    nearest: Float[np.ndarray, "other"]


@dataclass(frozen=True, eq=False)
class Embedding:
    """Square roots of smoothed counts around a common centre.

    Attributes:
        values: (trial, time, neuron) values; zero counts, not zero values, fill the bins after the end of a trial.
        lengths: Valid bins of each trial.
    """

    values: Float[np.ndarray, "trial time neuron"]
    lengths: Lengths

    @cached_property
    def flat(self) -> Float[np.ndarray, "trial feature"]:
        """Values of all bins in a row."""
        return self.values.reshape(len(self.values), -1)

    @cached_property
    def flat_valid(self) -> Float[np.ndarray, "trial feature"]:
        """Values of all bins in a row, zero in bins that are not valid."""
        if (self.lengths >= self.values.shape[1]).all():
            return self.flat
        return (self.values * valid_mask(self.lengths, self.values.shape[1])[..., None]).reshape(len(self.values), -1)

    @cached_property
    def running_norm(self) -> Float[np.ndarray, "trial time"]:
        """Squared norm of the first 1, 2, ... bins."""
        return np.cumsum(np.einsum("btn,btn->bt", self.values, self.values, dtype=np.float64), axis=1)

    def squared_distances(self, others: Embedding) -> Float[np.ndarray, "trial other"]:
        """Squared distances to other trials over the valid bins of each trial of this set.

        Without that restriction a trial would be far from any trial of another length, and a copy that was cut short
        would be missed.
        """
        last = self.lengths - 1
        norms = self.running_norm[np.arange(len(last)), last]
        squared = norms[:, None] + others.running_norm[:, last].T - 2 * (self.flat_valid @ others.flat.T)
        return np.maximum(squared, 0).astype(np.float32)


def embed(trials: TrialSet, smoothing: Smoothing, centre: Float[np.ndarray, "time neuron"] | None = None) -> Embedding:
    """Square roots of the smoothed counts of some trials, minus a centre."""
    n_trials, n_bins, n_neurons = trials.counts.shape
    values = np.empty((n_trials, -(-n_bins // smoothing.step), n_neurons), np.float32)
    for start, chunk in float_chunks(trials.counts):
        np.sqrt(gaussian_smooth(chunk, *smoothing), out=values[start : start + len(chunk)])
    if centre is not None:
        values -= centre
    return Embedding(values, -(-trials.lengths // smoothing.step))


def neighbours(queries: Sequence[TrialSet], others: TrialSet, smoothing: Smoothing) -> list[Neighbours]:
    """Distances between each of some sets of queries, which are embedded all at once, and others, perhaps many.

    Args:
        queries: Sets of at least one trial.
        others: Trials of the same number of bins and neurons.
        smoothing: The width at which trials are compared.
    """
    raw = [embed(each, smoothing) for each in queries]
    centre = raw[-1].values.mean(axis=0)  # keeps the cancellation of large squares small
    embedded = [Embedding(each.values - centre, each.lengths) for each in raw]
    n_bins = centre.shape[0]
    found = [
        Neighbours(np.empty((len(q.counts), len(others.counts)), dtype=np.float32), np.empty(len(others.counts)))
        for q in queries
    ]
    for start in range(0, len(others.counts), CHUNK_TRIALS):
        part = slice(start, start + CHUNK_TRIALS)
        other = embed(TrialSet(*(each[part] for each in others)), smoothing, centre)
        for query, (squared, nearest) in zip(embedded, found):
            squared[:, part] = query.squared_distances(other)
            alike = min(query.lengths.min(), other.lengths.min()) >= n_bins
            reverse = squared[:, part].T if alike else other.squared_distances(query)
            around = (reverse.shape[1] - 1) // 10
            edge = np.partition(reverse, around, axis=1)[:, around]
            nearest[part] = np.where(edge > 0, reverse.min(axis=1) / np.where(edge > 0, edge, 1), 1)
    return found
