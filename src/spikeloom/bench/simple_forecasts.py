"""Forecasts without a model of activity: that it stays as it is, and a linear regression on the recent past."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter

from spikeloom.data.spikedata import SpikeData

MEMORIES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
"""Time constants in bins of exponential kernels that look back."""
FEATURES_OF = (1.0, 4.0, 16.0)
"""Those that the regression reads of every neuron."""
COMPONENTS = 64
"""Most principal components of these features."""
ORIGINS = 24
"""Most bins of a training trial from which the regression learns to look ahead."""
RIDGES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Penalties, as shares of the number of examples, of which a fifth of the trials chooses one."""


def recent_counts(counts: np.ndarray, memory: float) -> np.ndarray:
    """Mean recent count at every bin: weights fall by e in ``memory`` bins, and add up to 1 at any bin of a trial."""
    decay = float(np.exp(-1 / memory))
    summed = np.asarray(lfilter([1.0], [1.0, -decay], counts.astype(np.float64), axis=1))
    weight = (1 - decay ** np.arange(1, counts.shape[1] + 1)) / (1 - decay)
    return summed / weight[:, None]


@dataclass(frozen=True)
class Persistence:
    """The recent mean count of each neuron goes on for ever.

    Attributes:
        memory: Time constant of that mean in bins.
        horizons: Bins ahead.
    """

    memory: float
    horizons: tuple[int, ...]

    @classmethod
    def fit(cls, train: SpikeData, horizons: Sequence[int], n_observed: int) -> Persistence:
        """The time constant that misses training trials least one bin ahead."""
        there = train.lengths > n_observed
        counts, after = train.counts[there, :n_observed], train.counts[there, n_observed].astype(np.float64)
        misses = [float(np.square(recent_counts(counts, m)[:, -1] - after).mean()) for m in MEMORIES]
        return cls(MEMORIES[int(np.argmin(misses))], tuple(horizons))

    def __call__(self, begun: SpikeData) -> np.ndarray:
        """(trial, horizon, neuron) expected counts."""
        last = recent_counts(begun.counts, self.memory)[:, -1]
        return np.repeat(last[:, None], len(self.horizons), 1)


@dataclass(frozen=True)
class LinearForecast:
    """Ridge regression of the counts at each horizon on principal components of recent mean counts.

    Attributes:
        mean: (feature,) mean of the features.
        components: (feature, component) what is read of them.
        weights: (horizon, component + 1, neuron) weights, the last of a constant.
    """

    mean: np.ndarray
    components: np.ndarray
    weights: np.ndarray

    @classmethod
    def fit(cls, train: SpikeData, horizons: Sequence[int], n_observed: int) -> LinearForecast:
        """Learn from the training trials, at bins throughout them."""
        features = _features(train.counts)
        earliest = min(n_observed, max(n_observed // 4, 1)) - 1
        latest = int(train.lengths.max()) - 2
        origins = np.unique(np.linspace(earliest, max(latest, earliest), ORIGINS).round().astype(int))
        inside = origins[None] < train.lengths[:, None]
        rows = features[:, origins][inside]
        mean = rows.mean(0)
        covariance = np.cov((rows - mean).T)
        values, vectors = np.linalg.eigh(np.atleast_2d(covariance))
        kept = np.argsort(values)[::-1][:COMPONENTS]
        kept = kept[values[kept] > 1e-9 * values.max()]
        components = vectors[:, kept] / np.sqrt(values[kept])
        scores = (features[:, origins] - mean) @ components
        weights = []
        for horizon in horizons:
            there = origins[None] + horizon < train.lengths[:, None]
            trial, place = np.nonzero(there)
            x = np.column_stack([scores[trial, place], np.ones(len(trial))])
            y = train.counts[trial, origins[place] + horizon].astype(np.float64)
            weights.append(_ridge(x, y, trial % 5 == 0))
        return cls(mean, components, np.stack(weights))

    def __call__(self, begun: SpikeData) -> np.ndarray:
        """(trial, horizon, neuron) expected counts, none negative."""
        scores = (_features(begun.counts)[:, -1] - self.mean) @ self.components
        x = np.column_stack([scores, np.ones(len(scores))])
        return np.maximum(np.einsum("tc,hcn->thn", x, self.weights), 0)


def _features(counts: np.ndarray) -> np.ndarray:
    return np.concatenate([recent_counts(counts, memory) for memory in FEATURES_OF], 2)


def _ridge(x: np.ndarray, y: np.ndarray, checking: np.ndarray) -> np.ndarray:
    """Weights with the penalty that misses the checking rows least; the last column of x is a constant."""

    def solved(x: np.ndarray, y: np.ndarray, ridges: Sequence[float]) -> Iterator[np.ndarray]:
        squares, products = x.T @ x, x.T @ y
        for ridge in ridges:
            penalty = np.full(x.shape[1], ridge * len(x))
            penalty[-1] = 1e-9
            yield np.linalg.solve(squares + np.diag(penalty), products)

    chosen = RIDGES[-1]
    if 0 < checking.sum() < len(x):
        learned = solved(x[~checking], y[~checking], RIDGES)
        misses = [float(np.square(x[checking] @ weights - y[checking]).mean()) for weights in learned]
        chosen = RIDGES[int(np.argmin(misses))]
    return next(solved(x, y, [chosen]))
