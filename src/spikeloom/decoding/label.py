"""Reading labels from spikes: a linear discriminant of what neurons did in the thirds of a trial."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from spikeloom.data.spikedata import SpikeData
from spikeloom.decoding.protocol import labels_of
from spikeloom.errors import DataError

THIRDS = 3
"""Parts of a trial from whose mean counts its label is decoded."""


@dataclass(frozen=True)
class LabelDecoder:
    """Linear discriminant analysis, with shrinkage, from the mean counts in the thirds of a trial to its label.

    There is nothing to tune: the shrinkage follows from the trials it is fitted to (Ledoit and Wolf).
    """

    name: str = "lda"
    """Name in tables."""

    def candidates(self) -> tuple[LabelDecoder, ...]:
        """Itself."""
        return (self,)

    def fit(self, data: SpikeData, target: str, seed: int = 0) -> LabelDecoding:
        """Learn from trials.

        Args:
            data: Trials.
            target: Column of the trials table.
            seed: Not used: nothing is drawn.

        Raises:
            DataError: If the trials have no such column, or one value only.
        """
        labels = labels_of(data, target)
        if len(np.unique(labels)) < 2:
            raise DataError(
                f"all trials have the same '{target}', so there is nothing to decode; choose another column."
            )
        if len(np.unique(labels)) >= len(labels):
            raise DataError(f"every trial has a '{target}' of its own, so there are no classes; choose another column.")
        analysis = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
        with warnings.catch_warnings():
            # A class of one trial adds nothing to the covariance, which is that of all classes together.
            warnings.filterwarnings("ignore", "Only one sample available", UserWarning)
            return LabelDecoding(target, analysis.fit(_thirds(data), labels))


@dataclass(frozen=True, eq=False)
class LabelDecoding:
    """A fitted discriminant.

    Attributes:
        target: Column of the trials table that is decoded.
        discriminant: The fitted analysis.
    """

    target: str
    discriminant: Any

    def decode(self, data: SpikeData) -> np.ndarray:
        """The label of every trial, as text."""
        return self.discriminant.predict(_thirds(data))


def _thirds(data: SpikeData) -> Float[np.ndarray, "trial feature"]:
    """Mean count of every neuron in the first, middle and last third of each trial."""
    edges = np.round(np.linspace(0, 1, THIRDS + 1) * data.lengths[:, None]).astype(int)
    sums = np.cumsum(np.pad(data.counts, ((0, 0), (1, 0), (0, 0))), axis=1, dtype=np.float64)
    at = sums[np.arange(data.n_trials)[:, None], edges]
    return (np.diff(at, axis=1) / np.maximum(np.diff(edges, axis=1), 1)[..., None]).reshape(data.n_trials, -1)
