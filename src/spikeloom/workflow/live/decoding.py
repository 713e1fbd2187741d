"""Decoding of the counts of a stream, bin by bin."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from spikeloom.data.spikedata import SpikeData
from spikeloom.decoding.ridge import LaggedRidge

PAST_S = 0.5
"""Seconds of counts that a decoder looks at."""
MOST_BINS = 40
"""Bins of them at most."""


class CausalDecoder:
    """Ridge regression from the counts of a bin and the bins before it to a signal, fitted to real trials alone.

    Args:
        real: Recorded trials.
        signal: The signal to decode.

    Attributes:
        signal: The signal.
    """

    def __init__(self, real: SpikeData, signal: str):
        before = min(round(PAST_S / real.bin_s), MOST_BINS, max(int(real.lengths.max()) - 1, 0))
        fitted = LaggedRidge(before=before, after=0).fit(real, signal)
        self.signal = signal
        self._weights = fitted.weights.reshape(before + 1, real.n_neurons, -1)
        self._intercept = fitted.intercept
        self._counts = np.zeros((before + 1, real.n_neurons))

    def begin(self) -> None:
        """Forget all counts."""
        self._counts[:] = 0

    def step(self, counts: Int[np.ndarray, "neuron"]) -> Float[np.ndarray, "dim"]:
        """The signal in this bin, of one stream."""
        self._counts = np.concatenate([self._counts[1:], counts[None]])
        return np.einsum("tn,tnd->d", self._counts, self._weights) + self._intercept
