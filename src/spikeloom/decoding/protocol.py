"""Reading behaviour from spikes: what a decoder is, what it sees of spikes, how it is tuned, and how it is judged.

A decoder is settings and a way to ``fit`` them to trials; what comes out decodes any trials of the same neurons.
Decoders of signals are in ``linear_decoding.py`` and ``kalman_decoding.py``, those of labels in ``label_decoding.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.signal import lfilter

from spikeloom.conditioning.variables import label_of
from spikeloom.data.smoothing import REACH_SD, narrowest_sd, smoothed_counts
from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import ConfigError, DataError

FEWEST_GROUPS = 20
"""With fewer pieces of a recording than this, errors are taken over trials."""
SOURCE_TRIAL = "source_trial"
"""Trial column that says which piece of a recording a window was cut from."""


@runtime_checkable
class Decoding(Protocol):
    """A decoder that has learned."""

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
        """What it is called in tables."""
        ...

    def candidates(self) -> Sequence[Any]:
        """The same decoder with each of the settings that validation trials may choose from."""
        ...

    def fit(self, data: SpikeData, target: str, seed: int = 0) -> Decoding:
        """Learn from trials; the seed counts where something is drawn."""
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
    """A decoder that needs no more than sums over trials: it learns of further trials at their own cost."""

    def sums(self, data: SpikeData, target: str) -> Sums:
        """What is to be known of some trials."""
        ...

    def solve(self, sums: Sums, target: str) -> Decoding:
        """The decoder of all trials whose sums were added."""
        ...


@dataclass(frozen=True)
class Inputs:
    """What a decoder sees: counts smoothed by a Gaussian, in expected counts per bin; never the rates of a model."""

    smooth_s: float = 0.05
    """Standard deviation of the Gaussian in seconds; bins that are much wider are left as they are, as with 0."""
    causal: bool = False
    """Whether a bin may show spikes of earlier bins only: half of the Gaussian."""

    def __post_init__(self) -> None:
        if not (np.isfinite(self.smooth_s) and self.smooth_s >= 0):
            raise ConfigError(f"counts were to be smoothed by {self.smooth_s:g} s; give 0 or more.")

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


# -- what is decoded -------------------------------------------------------------------------------------------------


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


# -- how well --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class DecoderScore:
    """How well a target is decoded.

    Attributes:
        value: R2, the uniform mean over the dimensions of a signal; of labels, the share that is right.
        influence: What each group of trials adds to its error: values of two decoders judged on the same trials differ
            by the difference of their influences, so that errors of differences are those of a paired test.
    """

    value: float
    influence: Float[np.ndarray, "group"]

    @property
    def se(self) -> float:
        """Standard error of the value over groups of trials."""
        return standard_error(self.influence)


def standard_error(influence: Float[np.ndarray, "group"]) -> float:
    """Standard error of a value to which groups of trials add errors (linearised, Cochran 1977, section 6.4)."""
    n = len(influence)
    return float(np.sqrt(n / (n - 1) * np.square(influence).sum())) if n > 1 else float("nan")


def score_decoder(decoding: Decoding, data: SpikeData, asked: SpikeData | None = None) -> DecoderScore:
    """Decode trials and compare with what should come out.

    Args:
        decoding: A decoder that has learned.
        data: Trials whose spikes are decoded.
        asked: Trials, as many and as long, whose signal or label should come out; the same trials when not given.

    Raises:
        DataError: If the signal does not vary in these trials.
    """
    truth, groups = asked or data, groups_of(data)
    if decoding.target in truth.signals:
        return _explained(decoding.decode(data), truth, decoding.target, groups)
    right = (decoding.decode(data) == labels_of(truth, decoding.target)).astype(float)
    return DecoderScore(float(right.mean()), np.bincount(groups, right - right.mean()) / len(right))


def _explained(decoded: np.ndarray, truth: SpikeData, name: str, groups: np.ndarray) -> DecoderScore:
    known = known_bins(truth, name)
    wanted = signal_of(truth, name)[known].astype(np.float64)
    group = np.broadcast_to(groups[:, None], known.shape)[known]
    off_mean = wanted - wanted.mean(0) if len(wanted) else wanted
    missed, varied = (
        np.stack([np.bincount(group, each, minlength=groups.max() + 1) for each in np.square(values).T], axis=1)
        for values in (wanted - decoded[known[truth.valid]], off_mean)
    )
    total = varied.sum(0)
    if not (total > 0).all():
        raise DataError(f"the signal '{name}' does not vary in the trials that are decoded; choose other trials.")
    share = missed.sum(0) / total
    return DecoderScore(float(1 - share.mean()), -((missed - share * varied) / total).mean(1))


def groups_of(data: SpikeData) -> Int[np.ndarray, "trial"]:
    """Trials that belong together, as numbers: windows of one piece of a recording, because they are alike."""
    if SOURCE_TRIAL in data.trials:
        groups = np.unique(data.trials[SOURCE_TRIAL].to_numpy(), return_inverse=True)[1]
        if groups.max() + 1 >= FEWEST_GROUPS:
            return groups.astype(np.int64)
    return np.arange(data.n_trials)


def tune_decoder(
    decoder: Any, train: SpikeData, validation: SpikeData, target: str, told: Callable[[], None] = lambda: None
) -> Any:
    """The decoder with the settings that do best on validation trials; these are kept from then on.

    Args:
        decoder: A ``Decoder``.
        train: Real trials to learn from.
        validation: Real trials that choose.
        target: Signal or trial column.
        told: Called when a candidate has been tried.
    """
    candidates = list(decoder.candidates())
    if len(candidates) == 1:
        return candidates[0]
    scores = []
    for candidate in candidates:
        scores.append(score_decoder(candidate.fit(train, target), validation).value)
        told()
    return candidates[int(np.argmax(scores))]
