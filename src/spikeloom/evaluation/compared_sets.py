"""Two sets of trials side by side: the statistics from which the held-out metrics are computed, each only once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from spikeloom.evaluation import dynamics
from spikeloom.evaluation import spike_statistics as ss
from spikeloom.evaluation.count_shares import share_deviations
from spikeloom.evaluation.distances import Agreement, agreement, cell_probabilities, classifier_scores
from spikeloom.evaluation.frame import Frame
from spikeloom.evaluation.intervals import interval_wasserstein
from spikeloom.evaluation.lagged import cross_correlations, lead
from spikeloom.evaluation.private import private_autocovariance
from spikeloom.evaluation.roc import Units, delong
from spikeloom.evaluation.summary import Summary, smoothed_psth, summarise

MIN_INTERVALS = 50
"""Neurons with fewer intervals in either set are left out of interval metrics."""

N_TOGETHER = 50
"""Bootstrap samples whose sums are computed in one matrix product: no more than there are blocks of a large population,
so that they take no more memory than the sums of the blocks themselves."""

MOST_BYTES = 50_000_000
"""Size of the averages of conditions above which fewer samples are taken together."""


class WeightedSums:
    """Sums of several bootstrap samples of a set, by name, each computed when first asked for.

    Args:
        summary: The set.
        weights: How often each block is in each sample; None for the set itself.
    """

    def __init__(self, summary: Summary, weights: Float[np.ndarray, "replicate block"] | None = None):
        self._summary, self._weights = summary, weights
        self._sums: dict[str, Any] = {}

    def __getitem__(self, name: str) -> np.ndarray:
        """The sums (replicate, ...) of an additive statistic."""
        if name not in self._sums:
            blocks = self._summary.blocks(name)
            weights = np.ones((1, blocks.shape[0])) if self._weights is None else self._weights
            shape = blocks.shape[1:]
            flat = blocks if blocks.ndim == 2 else blocks.reshape(len(blocks), int(np.prod(shape)))
            self._sums[name] = np.asarray(weights.astype(blocks.dtype) @ flat).reshape(len(weights), *shape)
        return self._sums[name]

    @cached_property
    def psth(self) -> tuple[np.ndarray, np.ndarray]:
        """Sums over trials of each condition and bin, (replicate, condition, time, neuron), and numbers of trials.

        Kept for every block they would be too many: they are made anew from the trials, for all samples at once.
        """
        summary = self._summary
        n_blocks = len(summary.starts)
        weights = np.ones((1, n_blocks)) if self._weights is None else self._weights
        per_trial = np.repeat(weights, np.diff(np.append(summary.starts, summary.n_trials)), axis=1)
        return ss.weighted_psth_sums(*summary.trials, summary.frame.n_conditions, per_trial)


class Row:
    """The sums of one of several samples, by name."""

    def __init__(self, sums: WeightedSums, row: int):
        self._of_all, self._row = sums, row

    def __getitem__(self, name: str) -> Any:
        return self._of_all[name][self._row]

    @property
    def psth(self) -> tuple[np.ndarray, np.ndarray]:
        """Sums of each condition and bin, and numbers of trials."""
        summed, number = self._of_all.psth
        return summed[self._row], number[self._row]


def replicates(summary: Summary, weights: Float[np.ndarray, "replicate block"]) -> Iterator[SetStatistics]:
    """Statistics of bootstrap samples of a set, one after the other.

    Sums are computed for several samples in one matrix product, but never for so many that they fill the memory.

    Args:
        summary: The set.
        weights: How often each block is in each sample.
    """
    n_bins, n_neurons = summary.trials.counts.shape[1:]
    together = int(np.clip(MOST_BYTES // (8 * summary.frame.n_conditions * n_bins * n_neurons), 1, N_TOGETHER))
    for start in range(0, len(weights), together):
        part = weights[start : start + together]
        sums = WeightedSums(summary, part)
        for row, each in enumerate(part):
            yield SetStatistics(summary, each, Row(sums, row))


@dataclass(frozen=True, eq=False)
class SetStatistics:
    """Statistics of one set of trials, or of a bootstrap sample of it, derived when they are first needed.

    Attributes:
        summary: The set and its sums per block.
        weights: How often each block is in a bootstrap sample; None for the set itself.
        sums: Additive statistics by name; made from the weights unless shared with other samples.
    """

    summary: Summary
    weights: Float[np.ndarray, "block"] | None = None
    sums: Row = field(default=None, repr=False)  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if self.sums is None:
            weights = None if self.weights is None else self.weights[None]
            object.__setattr__(self, "sums", Row(WeightedSums(self.summary, weights), 0))

    @property
    def frame(self) -> Frame:
        """The constants shared with the other side."""
        return self.summary.frame

    @property
    def n_trials(self) -> int:
        """Number of trials."""
        return self.summary.n_trials

    @cached_property
    def mean_counts(self) -> Float[np.ndarray, "neuron"]:
        """Spikes per bin of each neuron."""
        return self.sums["total"] / self.sums["n"]

    @cached_property
    def variances(self) -> Float[np.ndarray, "neuron"]:
        """Variances of counts over all bins."""
        return self._moments[0]

    @cached_property
    def _moments(self) -> tuple[np.ndarray, np.ndarray]:
        sums = self.sums
        return ss.pair_covariances(
            float(sums["n"]), sums["total"], sums["square"], sums["cross"], self.frame.groups.pairs
        )

    @cached_property
    def correlations(self) -> Float[np.ndarray, "pair"]:
        """Correlations of counts over all bins."""
        return ss.pair_correlations(*self._moments, self.frame.groups.pairs)

    @cached_property
    def noise_correlations(self) -> Float[np.ndarray, "pair"]:
        """Correlations of counts in 100 ms around the mean of each condition."""
        return ss.pair_correlations(self.sums["noise_square"], self.sums["noise_cross"], self.frame.groups.pairs)

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
    def power(self) -> Float[np.ndarray, "frequency"]:
        """Power spectrum of the population count, mean over trials."""
        return self.sums["spectrum"] / self.sums["n_trials"]

    @cached_property
    def dimension(self) -> float:
        """Participation ratio of the smoothed population."""
        sums, groups = self.sums, self.frame.groups
        moments = float(sums["smooth_n"]), sums["smooth_total"], sums["smooth_square"], sums["smooth_cross"]
        return dynamics.participation_ratio(*ss.pair_covariances(*moments, groups.pairs), groups.scale)

    @cached_property
    def autocorrelation(self) -> Float[np.ndarray, "lag neuron"]:
        """Autocorrelation of each neuron's counts at lags of 1 to 10 bins."""
        return dynamics.autocorrelation_from_sums(
            self.sums["lag_products"], self.sums["lag_sums"], self.sums["lag_pairs"]
        )

    @cached_property
    def cross_correlations(self) -> Float[np.ndarray, "lag ordered"]:
        """Cross-correlations of ordered pairs at lags of 1 to 10 bins, around the condition's course."""
        sums = self.sums
        return cross_correlations(
            sums["lagged_products"], sums["lagged_squares"], sums["lagged_bins"], self.frame.lagged_groups
        )

    @cached_property
    def lead(self) -> Float[np.ndarray, "lag pair"]:
        """Antisymmetric part of the cross-correlations: which neuron of a pair leads."""
        return lead(self.cross_correlations)

    @cached_property
    def private_autocovariance(self) -> Float[np.ndarray, "lag neuron"]:
        """Autocovariance, over the variance of the counts, of what other neurons do not predict, at 1 to 8 bins."""
        return private_autocovariance(
            self.sums["private_products"], self.sums["private_squares"], self.sums["private_bins"]
        )

    @cached_property
    def log_component_variance(self) -> Float[np.ndarray, "group"]:
        """Log variance of trial means along each group of principal components."""
        freedom = float(self.summary.blocks("component_trials").sum())
        return self.frame.components.log_variance(
            self.sums["component_squares"], float(self.sums["component_trials"]), freedom
        )

    @cached_property
    def count_shares(self) -> Float[np.ndarray, "share neuron"]:
        """Share of bins with 0, 1, 2, 3 and very many spikes."""
        return self.sums["shares"] / self.sums["share_bins"]

    @cached_property
    def psth(self) -> tuple[np.ndarray, np.ndarray]:
        """Smoothed PSTH of each condition, and the trials behind it; see ``smoothed_psth``."""
        summed, number = self.sums.psth
        return smoothed_psth(summed, number, self.frame.bin_s), number


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

    @property
    def units(self) -> Units | None:
        """Units of generated and of held-out trials; None where all are independent."""
        sides = self.generated.summary, self.held_out.summary
        if all(side.unit is None for side in sides):
            return None
        generated, held_out = (np.arange(side.n_trials) if side.unit is None else side.unit for side in sides)
        return generated, held_out

    def separated(self, seed: int) -> tuple[float, float]:
        """AUC of a logistic regression that separates generated from held-out trials, and its standard error."""
        features = self.generated.summary.features, self.held_out.summary.features
        return delong(*classifier_scores(*features, seed, self.units), self.units)

    @cached_property
    def training(self) -> SetStatistics:
        """Statistics of training trials, in which patterns of real data show with noise of their own."""
        return SetStatistics(summarise(self.frame.enough, self.frame))

    @cached_property
    def interval_neurons(self) -> Int[np.ndarray, "kept"]:
        """Neurons with enough intervals in both sets."""
        return np.flatnonzero(np.minimum(self.generated.sums["isi_n"], self.held_out.sums["isi_n"]) >= MIN_INTERVALS)

    @cached_property
    def interval_distances(self) -> Float[np.ndarray, "neuron"]:
        """Wasserstein-1 distance of each neuron's intervals, in bins."""
        g, h = self.generated, self.held_out
        merged = h.summary.merged_intervals(g.summary)
        return interval_wasserstein(merged, (h.sums["isi_number"], g.sums["isi_number"]))

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

    @cached_property
    def share_deviations(self) -> Float[np.ndarray, "share neuron"]:
        """Differences of count shares over their standard errors."""
        g, h = self.generated, self.held_out
        sides = (g.count_shares, g.n_trials), (h.count_shares, h.n_trials)
        return share_deviations(self.frame.count_shares, *sides)
