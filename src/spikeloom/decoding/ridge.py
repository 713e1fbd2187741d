"""Ridge regression from the counts of a bin and of bins near it to a signal: a Wiener filter, in closed form."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import scipy.linalg
from jaxtyping import Float, Int, Num

from spikeloom.data.spikedata import SpikeData
from spikeloom.decoding.protocol import AS_COUNTED, Inputs, Sums, known_bins, signal_of
from spikeloom.errors import ConfigError, DataError

STRENGTHS = tuple(10.0**k for k in range(-2, 6))
"""Ridge penalties that are tried."""
FOLDS = 5
MOST_NUMBERS = 20_000_000
"""Bins x neurons that are held at a time."""


@dataclass(frozen=True)
class LaggedRidge:
    """Ridge regression from the counts of nearby bins to a signal; of one bin only, plain ridge regression.

    ``y_t = b + sum_k W_k x_(t+k) + e`` with k from ``-before`` to ``after``; beyond the ends of a trial there are no
    spikes. The intercept is not penalised.
    """

    name: str = "wiener"
    """Name in tables."""
    before: int = 4
    """Bins before the decoded one that are looked at."""
    after: int = 4
    """Bins after it."""
    alpha: float | None = None
    """Penalty; chosen by cross-validation over the trials it is fitted to when not set."""
    inputs: Inputs = AS_COUNTED
    """How counts are smoothed."""

    def __post_init__(self) -> None:
        if self.before < 0 or self.after < 0 or (self.alpha is not None and not self.alpha > 0):
            raise ConfigError(
                f"a decoder was to look {self.before} bins back and {self.after} ahead with penalty {self.alpha}; "
                "numbers of bins must not be negative, and the penalty must be positive."
            )

    def candidates(self) -> tuple[LaggedRidge, ...]:
        """One for each penalty that is tried."""
        return tuple(replace(self, alpha=alpha) for alpha in STRENGTHS)

    def fit(self, data: SpikeData, target: str, seed: int = 0) -> LinearDecoding:
        """Learn from trials.

        Args:
            data: Trials.
            target: A signal.
            seed: Not used: nothing is drawn.

        Raises:
            DataError: If the trials have no such signal, or are too few for what is to be chosen from them.
        """
        if self.alpha is not None:
            return self.solve(self.sums(data, target), target)
        trials = np.flatnonzero(known_bins(data, target).any(1))
        if len(trials) < FOLDS:
            raise DataError(f"a decoder of '{target}' needs at least {FOLDS} trials that have it; record more.")
        parts = [self.sums(data.select(trials=trials[fold::FOLDS]), target) for fold in range(FOLDS)]
        total = sum(parts[1:], parts[0])
        best = max(
            self.candidates(),
            key=lambda each: float(np.mean([_r2(each.solve(total - part, target), part) for part in parts])),
        )
        return best.solve(total, target)

    def sums(self, data: SpikeData, target: str) -> Sums:
        """Products of features with each other and with the signal, over the bins in which it was recorded."""
        known = known_bins(data, target)
        if not known.any():
            raise DataError(f"the signal '{target}' is missing in every bin of the trials; choose other trials.")
        parts = [self._sums(part, target, known[rows]) for rows, part in _few(data)]
        return sum(parts[1:], parts[0])

    def _sums(self, data: SpikeData, target: str, known: np.ndarray) -> Sums:
        counts, lengths = _padded(self.inputs.of(data), self.before, self.after), data.lengths
        products = lagged_products(counts, lengths, self.before + self.after + 1)
        trial, time = np.nonzero(data.valid & ~known)
        if len(trial):
            unknown = _features(counts, trial, time, self.before + self.after + 1)
            products -= unknown.T @ unknown
        values = signal_of(data, target)[known].astype(np.float64)
        wanted = np.column_stack([values, np.ones(len(values))])
        with_target = [
            counts[:, lag : lag + data.n_bins][known].T @ wanted for lag in range(self.before + self.after + 1)
        ]
        return Sums(
            {
                "features": products,
                "with_target": np.concatenate(with_target),
                "target": values.sum(0),
                "squares": np.square(values).sum(0),
                "bins": float(len(values)),
            }
        )

    def solve(self, sums: Sums, target: str) -> LinearDecoding:
        """The regression that follows from the sums.

        Raises:
            ConfigError: If the penalty has not been chosen.
        """
        if self.alpha is None:
            raise ConfigError("the penalty of a regression from sums must be set; choose one of its candidates.")
        mean, centre = sums["with_target"][:, -1] / sums["bins"], sums["target"] / sums["bins"]
        spread = sums["features"] - sums["bins"] * np.outer(mean, mean)
        spread[np.diag_indices_from(spread)] += self.alpha
        shared = sums["with_target"][:, :-1] - sums["bins"] * np.outer(mean, centre)
        weights = scipy.linalg.solve(spread, shared, assume_a="pos", overwrite_a=True, overwrite_b=True)
        return LinearDecoding(target, weights, centre - mean @ weights, self)


@dataclass(frozen=True, eq=False)
class LinearDecoding:
    """A fitted regression.

    Attributes:
        target: The signal that is decoded.
        weights: Bins in the order of time, and in each of them neurons, by dimensions of the signal.
        intercept: The signal where no spikes are.
        settings: How it was fitted.
    """

    target: str
    weights: Float[np.ndarray, "feature dim"]
    intercept: Float[np.ndarray, "dim"]
    settings: LaggedRidge

    def decode(self, data: SpikeData) -> Float[np.ndarray, "bin dim"]:
        """The signal in every valid bin, trial after trial."""
        before, after = self.settings.before, self.settings.after
        weights = self.weights.reshape(before + after + 1, data.n_neurons, -1)
        decoded = []
        for _, part in _few(data):
            counts = _padded(self.settings.inputs.of(part), before, after)
            values = sum(counts[:, lag : lag + data.n_bins] @ weight for lag, weight in enumerate(weights))
            decoded.append((values + self.intercept)[part.valid])
        return np.concatenate(decoded)


def lagged(data: SpikeData, before: int, after: int, inputs: Inputs) -> Float[np.ndarray, "bin feature"]:
    """Features of every valid bin: the counts of that bin and its neighbours, bin after bin."""
    trial, time = np.nonzero(data.valid)
    return _features(_padded(inputs.of(data), before, after), trial, time, before + after + 1)


def lagged_products(
    counts: Num[np.ndarray, "trial padded neuron"], lengths: Int[np.ndarray, "trial"], lags: int
) -> Float[np.ndarray, "feature feature"]:
    """The products of all features over all valid bins, without making the features.

    The features of a bin are those of the bin before, moved on by one lag. So the block of lags (j+1, k+1) is that of
    (j, k), plus the product in the bin after the end of each trial, minus that in its first: only the blocks of the
    first lag are sums over bins. The work is a (number of lags)-th of that of the plain product.

    Args:
        counts: Smoothed counts, with ``before`` bins of zeros in front of bin 0 and at least ``after + 1`` behind the
            end of every trial.
        lengths: Valid bins of each trial.
        lags: Number of lags, ``before + after + 1``.
    """
    n_trials, n_padded, n_neurons = counts.shape
    n_bins = n_padded - lags
    valid = np.arange(n_bins) < lengths[:, None]
    first = counts[:, :n_bins][valid]
    blocks = np.empty((lags, n_neurons, lags, n_neurons))
    for lag in range(lags):
        blocks[0, :, lag] = first.T @ counts[:, lag : lag + n_bins][valid]
        blocks[lag, :, 0] = blocks[0, :, lag].T
    if lags > 1:
        trials = np.arange(n_trials)
        enters, leaves = (_features(counts, trials, time, lags) for time in (lengths, np.zeros_like(lengths)))
        edges = (enters.T @ enters - leaves.T @ leaves).reshape(blocks.shape)
        for lag in range(1, lags):
            blocks[lag, :, 1:] = blocks[lag - 1, :, :-1] + edges[lag - 1, :, :-1]
    return blocks.reshape(lags * n_neurons, lags * n_neurons)


def _padded(counts: np.ndarray, before: int, after: int) -> Float[np.ndarray, "trial padded neuron"]:
    return np.pad(counts.astype(np.float64), ((0, 0), (before, after + 1), (0, 0)))


def _features(counts: np.ndarray, trial: np.ndarray, time: np.ndarray, lags: int) -> Float[np.ndarray, "bin feature"]:
    return np.concatenate([counts[trial, time + lag] for lag in range(lags)], axis=1)


def _few(data: SpikeData) -> Iterator[tuple[slice, SpikeData]]:
    """Some trials at a time, and which they are."""
    step = max(1, MOST_NUMBERS // (data.n_bins * data.n_neurons))
    for first in range(0, data.n_trials, step):
        rows = slice(first, first + step)
        yield rows, data if step >= data.n_trials else data.select(trials=rows)


def _r2(decoding: LinearDecoding, sums: Sums) -> float:
    """R2 in trials from their sums alone, uniform mean over dimensions."""
    w, b = decoding.weights, decoding.intercept
    features, shared, total = sums["features"], sums["with_target"], sums["target"]
    missed = (
        sums["squares"]
        - 2 * (w * shared[:, :-1]).sum(0)
        - 2 * b * total
        + (w * (features @ w)).sum(0)
        + 2 * b * (shared[:, -1] @ w)
        + sums["bins"] * b**2
    )
    varied = sums["squares"] - total**2 / sums["bins"]
    return float(1 - np.mean(missed / np.maximum(varied, 1e-300)))
