"""Reading behaviour from spikes: what a decoder finds in recorded trials, and whether generated ones hold the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, GroupKFold

from spikeloom.data.spikedata import SpikeData
from spikeloom.data.variables import label_of
from spikeloom.errors import DataError

STRENGTHS = tuple(10.0**k for k in range(-2, 6))
"""Ridge penalties that are tried on the training trials."""
FOLDS = 5
THIRDS = 3
"""Parts of a trial whose mean counts tell its label."""


@dataclass(frozen=True)
class SignalDecoder:
    """Ridge regression from the counts of nearby bins to a signal (a Wiener filter).

    Attributes:
        signal: What is decoded.
        before: Bins before the decoded one that are looked at.
        after: Bins after it.
        ridge: The fitted regression.
    """

    signal: str
    before: int
    after: int
    ridge: Any

    @classmethod
    def fit(cls, data: SpikeData, signal: str, before: int = 4, after: int = 4) -> SignalDecoder:
        """Learn from recorded trials; the penalty is chosen by cross-validation over trials.

        Raises:
            DataError: If the trials have no such signal, or are fewer than five.
        """
        target = _signal(data, signal)
        trial = np.repeat(np.arange(data.n_trials), data.lengths)
        known = np.isfinite(target).all(1)
        if len(np.unique(trial[known])) < FOLDS:
            raise DataError(f"a decoder of '{signal}' needs at least {FOLDS} trials that have it; record more.")
        search = GridSearchCV(Ridge(), {"alpha": STRENGTHS}, cv=GroupKFold(FOLDS))
        search.fit(lagged(data, before, after)[known], target[known], groups=trial[known])
        return cls(signal, before, after, search.best_estimator_)

    def decode(self, data: SpikeData) -> Float[np.ndarray, "bin dim"]:
        """The signal in every valid bin, trial after trial."""
        return self.ridge.predict(lagged(data, self.before, self.after)).reshape(int(data.lengths.sum()), -1)

    def score(self, data: SpikeData, asked: SpikeData | None = None) -> float:
        """Share of a signal's variance that is decoded from spikes (R2, mean over its dimensions).

        Args:
            data: Trials to decode.
            asked: Trials, of the same lengths, whose signal should come out; the same trials when not given.
        """
        target, decoded = _signal(asked or data, self.signal), self.decode(data)
        known = np.isfinite(target).all(1)
        target, decoded = target[known], decoded[known]
        residual = np.square(target - decoded).sum(0)
        return float(np.mean(1 - residual / np.square(target - target.mean(0)).sum(0)))


@dataclass(frozen=True)
class LabelDecoder:
    """Linear discriminant analysis, with shrinkage, from the mean counts in the thirds of a trial to its label.

    Attributes:
        column: Column of the trials table that is decoded.
        discriminant: The fitted analysis.
    """

    column: str
    discriminant: Any

    @classmethod
    def fit(cls, data: SpikeData, column: str) -> LabelDecoder:
        """Learn from recorded trials.

        Raises:
            DataError: If the trials have no such column, or one value only.
        """
        labels = _labels(data, column)
        if len(np.unique(labels)) < 2:
            raise DataError(
                f"all trials have the same '{column}', so there is nothing to decode; choose another column."
            )
        if len(np.unique(labels)) >= len(labels):
            raise DataError(f"every trial has a '{column}' of its own, so none can be learned; choose another column.")
        analysis = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
        return cls(column, analysis.fit(_thirds(data), labels))

    def decode(self, data: SpikeData) -> np.ndarray:
        """The label of every trial, as text."""
        return self.discriminant.predict(_thirds(data))

    def score(self, data: SpikeData, asked: SpikeData | None = None) -> float:
        """Share of trials whose label is decoded; ``asked`` are the trials whose label should come out."""
        return float(np.mean(self.decode(data) == _labels(asked or data, self.column)))


def lagged(data: SpikeData, before: int, after: int) -> Float[np.ndarray, "bin feature"]:
    """The counts of a bin and its neighbours, for every valid bin; beyond the ends of a trial there are no spikes."""
    counts = np.pad(data.counts.astype(np.float32), ((0, 0), (before, after), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(counts, before + after + 1, axis=1)
    return windows[data.valid].reshape(int(data.lengths.sum()), -1)


def _signal(data: SpikeData, name: str) -> Float[np.ndarray, "bin dim"]:
    if name not in data.signals:
        raise DataError(
            f"there is no signal '{name}' (signals: {', '.join(data.signals) or 'none'}); name one of these."
        )
    return data.signals[name].values[data.valid]


def _labels(data: SpikeData, column: str) -> np.ndarray:
    if column not in data.trials:
        known = ", ".join(map(str, data.trials)) or "none"
        raise DataError(f"there is no trial column '{column}' (columns: {known}); name one of these.")
    return np.array([label_of(v) for v in data.trials[column]])


def _thirds(data: SpikeData) -> Float[np.ndarray, "trial feature"]:
    """Mean count of every neuron in the first, middle and last third of each trial."""
    edges = np.round(np.linspace(0, 1, THIRDS + 1) * data.lengths[:, None]).astype(int)
    sums = np.cumsum(np.pad(data.counts, ((0, 0), (1, 0), (0, 0))), axis=1, dtype=np.float64)
    at = sums[np.arange(data.n_trials)[:, None], edges]
    return (np.diff(at, axis=1) / np.maximum(np.diff(edges, axis=1), 1)[..., None]).reshape(data.n_trials, -1)
