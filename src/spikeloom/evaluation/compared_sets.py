"""Two sets of trials side by side: the statistics from which the held-out metrics are computed, each only once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from spikeloom.evaluation import dynamics
from spikeloom.evaluation import spike_statistics as ss
from spikeloom.evaluation.distances import Agreement, agreement, cell_probabilities
from spikeloom.evaluation.summary import Frame, Summary, smoothed_psth

MIN_INTERVALS = 50
"""Neurons with fewer intervals in either set are left out of interval metrics."""


@dataclass(frozen=True, eq=False)
class SetStatistics:
    """Statistics of one set of trials, or of a bootstrap sample of it, derived when they are first needed.

    Attributes:
        summary: Sums and distributions of the set.
        sums: Sums over its trials, or over those of a bootstrap sample.
        weights: Weight of each block of trials in the distributions of a bootstrap sample; None for the set itself.
    """

    summary: Summary
    sums: Mapping[str, Any] = None
    weights: Float[np.ndarray, "block"] | None = None

    def __post_init__(self):
        if self.sums is None:
            object.__setattr__(self, "sums", self.summary.totals())

    @classmethod
    def of(cls, summary: Summary, weights: Float[np.ndarray, "block"] | None = None) -> SetStatistics:
        """Statistics of a set; with weights, only its distributions are those of a bootstrap sample."""
        return cls(summary, summary.totals(), weights)

    @property
    def n_trials(self) -> int:
        """Number of trials."""
        return len(self.summary.trials.lengths)

    @cached_property
    def mean_counts(self) -> Float[np.ndarray, "neuron"]:
        """Spikes per bin of each neuron."""
        return self.sums["total"] / self.sums["n"]

    @cached_property
    def covariances(self) -> Float[np.ndarray, "neuron neuron"]:
        """Covariances of counts over all bins."""
        return ss.covariance(float(self.sums["n"]), self.sums["total"], self.sums["cross"])

    @cached_property
    def correlations(self) -> Float[np.ndarray, "neuron neuron"]:
        """Correlations of counts over all bins."""
        return ss.correlation(self.covariances)

    @cached_property
    def noise_correlations(self) -> Float[np.ndarray, "neuron neuron"]:
        """Correlations of counts in 100 ms around the mean of each condition."""
        return ss.correlation(self.sums["noise_cross"])

    @cached_property
    def fano_factors(self) -> Float[np.ndarray, "neuron"]:
        """Variance over mean of counts in 100 ms."""
        return self.sums["fano_variance"] / self.sums["fano_mean"]

    @cached_property
    def interval_mean(self) -> Float[np.ndarray, "neuron"]:
        """Mean interval of each neuron, in bins."""
        return self.sums["isi_sum"] / self.sums["isi_n"]

    @cached_property
    def interval_sd(self) -> Float[np.ndarray, "neuron"]:
        """Standard deviation of the intervals of each neuron, in bins."""
        return np.sqrt(np.maximum(self.sums["isi_square"] / self.sums["isi_n"] - self.interval_mean**2, 0))

    @cached_property
    def interval_numbers(self) -> np.ndarray:
        """How often each interval of the distribution occurs."""
        intervals = self.summary.intervals
        return intervals.number if self.weights is None else intervals.weighted(self.weights)

    @cached_property
    def power(self) -> Float[np.ndarray, "frequency"]:
        """Power spectrum of the population count, mean over trials."""
        return self.sums["spectrum"] / self.sums["n_trials"]

    @cached_property
    def dimension(self) -> float:
        """Participation ratio of the smoothed population."""
        sums = self.sums
        return dynamics.participation_ratio(ss.covariance(float(sums["n"]), sums["smooth_total"], sums["smooth_cross"]))

    @cached_property
    def autocorrelation(self) -> Float[np.ndarray, "lag neuron"]:
        """Autocorrelation of each neuron's counts at lags of 1 to 10 bins."""
        return dynamics.autocorrelation_from_sums(
            self.sums["lag_products"], self.sums["lag_sums"], self.sums["lag_pairs"]
        )

    @cached_property
    def psth(self) -> tuple[np.ndarray, np.ndarray]:
        """Smoothed PSTH of each condition, and the trials behind it; see ``smoothed_psth``."""
        if self.weights is None:
            return self.summary.psth
        per_trial = np.repeat(self.weights, np.diff(np.append(self.summary.starts, self.n_trials)))
        return smoothed_psth(self.summary.trials, self.summary.frame, per_trial)


@dataclass(frozen=True, eq=False)
class ComparedSets:
    """A generated set beside the held-out trials it is compared with; what a held-out metric is computed from.

    Attributes:
        generated: Statistics of the generated set.
        held_out: Statistics of the real trials.
        seed: Seed of the classifier's folds; None to leave the classifier out, which is slow.
    """

    generated: SetStatistics
    held_out: SetStatistics
    seed: int | None = None

    @property
    def frame(self) -> Frame:
        """The constants that both sides share."""
        return self.held_out.summary.frame

    @cached_property
    def interval_neurons(self) -> Int[np.ndarray, "kept"]:
        """Neurons with enough intervals in both sets."""
        return np.flatnonzero(np.minimum(self.generated.sums["isi_n"], self.held_out.sums["isi_n"]) >= MIN_INTERVALS)

    @cached_property
    def correlations(self) -> Agreement:
        """How well pairwise correlations agree."""
        return agreement(self.generated.correlations, self.held_out.correlations)

    @cached_property
    def noise_correlations(self) -> Agreement:
        """How well correlations around the mean of each condition agree."""
        return agreement(self.generated.noise_correlations, self.held_out.noise_correlations)

    @cached_property
    def count_probabilities(self) -> tuple[Float[np.ndarray, "cell"], Float[np.ndarray, "cell"]]:
        """Distributions of the population count of the generated and of the held-out trials."""
        return (
            cell_probabilities(self.generated.sums["histogram"], self.frame.cell_width, self.frame.largest),
            cell_probabilities(self.held_out.sums["histogram"], self.frame.cell_width, self.frame.largest),
        )


def replicates(summary, weights):
    for start in range(0, len(weights), 10):
        part = weights[start : start + 10]
        totals = {k: (part @ v.reshape(len(v), -1)).reshape(-1, *v.shape[1:]) for k, v in summary.sums.items()}
        for i in range(len(part)):
            yield SetStatistics(summary, {k: v[i] for k, v in totals.items()}, part[i])
