"""Recorded reaches and samples for the same behaviour side by side, and measures of their likeness."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from spikeloom.data.spikedata import SpikeData
from spikeloom.decoding.protocol import signal_of
from spikeloom.evaluation.reach_fidelity import explained_together, mean_courses, scatter


@dataclass(frozen=True, eq=False)
class Plane:
    """The first principal components of rates.

    Attributes:
        mean: (neuron,) mean rate.
        axes: (neuron, component).
    """

    mean: np.ndarray
    axes: np.ndarray

    @classmethod
    def fitted(cls, rates: np.ndarray, components: int = 2) -> Plane:
        """Of rates (bin, neuron)."""
        mean = rates.mean(0, dtype=np.float64)
        _, axes = np.linalg.eigh(np.cov((rates - mean).T))
        return cls(mean, axes[:, ::-1][:, :components])

    def of(self, data: SpikeData) -> np.ndarray:
        """Rates of trials in the plane (trial, time, component)."""
        assert data.rates is not None
        return (data.rates - self.mean) @ self.axes


@dataclass(frozen=True, eq=False)
class ReachSamples:
    """Held-out trials, samples for the same behaviour, and the velocity that is decoded from both.

    Attributes:
        everything: The recording, with the rates and latents that the model infers.
        recorded: Its held-out trials.
        samples: Several samples for each of them, in the same order.
        velocity: Name of the signal.
        octants: (trial,) octant of the recorded trials.
        decoded: Velocity from the "rates" and the "spikes" of the recorded trials.
        sampled: The same of the samples.
        courses: (octant, time, dim) mean velocity of all recorded trials of an octant.
    """

    everything: SpikeData
    recorded: SpikeData
    samples: SpikeData
    velocity: str
    octants: np.ndarray
    decoded: Mapping[str, np.ndarray]
    sampled: Mapping[str, np.ndarray]
    courses: np.ndarray

    @property
    def repeats(self) -> int:
        """Samples for each recorded trial."""
        return self.samples.n_trials // self.recorded.n_trials

    @property
    def sample_octants(self) -> np.ndarray:
        """(sample,) octant for which each sample was drawn."""
        return np.tile(self.octants, self.repeats)

    @property
    def recorded_velocity(self) -> np.ndarray:
        """Velocity of the recorded trials; NaN in the padding."""
        return within(self.recorded, self.velocity)

    @cached_property
    def plane(self) -> Plane:
        """The first two components of the rates of training trials."""
        train = self.everything.split("train")
        assert train.rates is not None
        return Plane.fitted(train.rates[train.valid])

    def mean_rates(self, of_samples: bool, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Mean course of the rates of each octant in the plane (octant, time, component).

        Args:
            of_samples: Of the samples, or else of the recorded trials.
            rows: Which of them; all when not given.
        """
        data, octants = (self.samples, self.sample_octants) if of_samples else (self.recorded, self.octants)
        chosen = data.select(trials=np.arange(data.n_trials)[rows])
        return mean_courses(self.plane.of(chosen), chosen.valid, octants[rows])

    def averages_r2(self, rows: np.ndarray, sample_rows: np.ndarray) -> float:
        """R2 of mean courses of sampled rates in the plane, against those of recorded trials."""
        real, ours = self.mean_rates(False, rows), self.mean_rates(True, sample_rows)
        n_bins = min(real.shape[1], ours.shape[1])
        return explained_together(ours[:, :n_bins], real[:, :n_bins])


def within(data: SpikeData, signal: str) -> np.ndarray:
    """A signal (trial, time, dim); NaN in the padding."""
    return np.where(data.valid[..., None], signal_of(data, signal).astype(np.float64), np.nan)


def scatter_ratios(
    recorded: SpikeData, alike: Sequence[np.ndarray], samples: SpikeData, copies: Sequence[np.ndarray]
) -> dict[str, float]:
    """Variance across samples for the same condition, over that across recorded trials of like conditions."""
    kinds = {"rates": (samples.rates, recorded.rates), "counts": (samples.counts, recorded.counts)}
    return {
        f"scatter_{kind}": scatter(ours, samples.valid, copies) / scatter(theirs, recorded.valid, alike)
        for kind, (ours, theirs) in kinds.items()
        if ours is not None and theirs is not None
    }
