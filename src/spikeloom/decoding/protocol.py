"""Decoding behaviour from spikes: the protocol of decoders, and the smoothed counts that they decode.

A decoder is settings and a way to ``fit`` them to trials; the result decodes any trials of the same neurons. Those
of signals are in ``ridge.py``, ``kalman.py`` and ``gru.py``, those of labels in ``label.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float
from scipy.signal import lfilter

from spikeloom.conditioning.variables import label_of
from spikeloom.data.smoothing import REACH_SD, narrowest_sd, smoothed_counts
from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import ConfigError, DataError


@runtime_checkable
class Decoding(Protocol):
    """A fitted decoder."""

    @property
    def target(self) -> str:
        """Signal or trial column that is decoded."""
        ...

    def decode(self, data: SpikeData) -> np.ndarray:
        """A signal as (bin, dim) in every valid bin, trial after trial; a label as (trial,) texts."""
        ...


@runtime_checkable
class Decoder(Protocol):
    """Settings of a decoder."""

    @property
    def name(self) -> str:
        """Name in tables."""
        ...

    def candidates(self) -> Sequence[Any]:
        """The same decoder with each of the settings among which validation trials choose."""
        ...

    def fit(self, data: SpikeData, target: str, seed: int = 0) -> Decoding:
        """Fit to trials; the seed matters where the fit is random."""
        ...


@dataclass(frozen=True)
class Sums:
    """Sums over trials from which a decoder follows in closed form; those of more trials are added to them."""

    parts: dict[str, Any]

    def __add__(self, other: Sums) -> Sums:
        return Sums({name: value + other.parts[name] for name, value in self.parts.items()})

    def __sub__(self, other: Sums) -> Sums:
        return Sums({name: value - other.parts[name] for name, value in self.parts.items()})

    def __getitem__(self, name: str) -> Any:
        return self.parts[name]


@runtime_checkable
class ClosedForm(Decoder, Protocol):
    """A decoder that follows from sums over trials, so that further trials cost no more than their own sums."""

    def sums(self, data: SpikeData, target: str) -> Sums:
        """The sums of some trials."""
        ...

    def solve(self, sums: Sums, target: str) -> Decoding:
        """The decoder fitted to all trials whose sums were added."""
        ...


@dataclass(frozen=True)
class Inputs:
    """Inputs of a decoder: counts smoothed by a Gaussian, in expected counts per bin; never the rates of a model."""

    smooth_s: float = 0.05
    """Standard deviation of the Gaussian in seconds; bins that are much wider are left as they are, as with 0."""
    causal: bool = False
    """Whether a bin may show spikes of earlier bins only: half of the Gaussian."""

    def __post_init__(self) -> None:
        if not (np.isfinite(self.smooth_s) and self.smooth_s >= 0):
            raise ConfigError(f"the s.d. of the smoothing kernel is {self.smooth_s:g} s, but must be 0 or more.")

    def of(self, data: SpikeData) -> Float[np.ndarray, "trial time neuron"]:
        """Smoothed counts of all trials; 0 in the padding."""
        sd_bins = self.smooth_s / data.bin_s
        if sd_bins < narrowest_sd():
            return data.counts.astype(np.float32)
        if not self.causal:
            return smoothed_counts(data.counts, data.lengths, sd_bins)
        kernel = np.exp(-0.5 * np.square(np.arange(int(REACH_SD * sd_bins + 0.5) + 1) / sd_bins))
        total = lfilter(kernel, 1.0, data.counts, axis=1)
        mass = lfilter(kernel, 1.0, np.ones(data.n_bins))  # the part of the kernel that lies within the trial
        return (total / np.asarray(mass)[:, None] * data.valid[..., None]).astype(np.float32)


AS_COUNTED = Inputs(smooth_s=0.0)
SMOOTHED = Inputs()


# -- targets -------------------------------------------------------------------------------------------------


def signal_of(data: SpikeData, name: str) -> Float[np.ndarray, "trial time dim"]:
    """The values of a signal.

    Raises:
        DataError: If there is no signal of that name.
    """
    if name not in data.signals:
        raise DataError(
            f"there is no signal '{name}' (signals: {', '.join(data.signals) or 'none'}); name one of these."
        )
    return data.signals[name].values


def known_bins(data: SpikeData, name: str) -> Bool[np.ndarray, "trial time"]:
    """Valid bins in which all dimensions of a signal were measured."""
    return data.valid & np.isfinite(signal_of(data, name)).all(2)


def labels_of(data: SpikeData, column: str) -> np.ndarray:
    """The label of every trial, as text.

    Raises:
        DataError: If there is no such column.
    """
    if column not in data.trials:
        known = ", ".join(map(str, data.trials)) or "none"
        raise DataError(f"there is no trial column '{column}' (columns: {known}); name one of these.")
    return np.array([label_of(v) for v in data.trials[column]])
