"""The published protocol of LDNS (Kapoor et al. 2024, Table 1), computed as its code computes it, faults included.

It compares with the *training* trials, so that a program which returns them looks better than a perfect generator;
use it beside published tables, and ``heldout`` to learn whether a generator is good.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from spikeloom.errors import DataError
from spikeloom.evaluation import spike_statistics as ss
from spikeloom.evaluation.metric import NAN, Metric, Requirement
from spikeloom.evaluation.summary import TrialSet

CAUTION = (
    "Protocol ldns compares with the training trials themselves: a program that returns them scores as well as a "
    "perfect generator. Use it to stand beside published tables only; protocol heldout shows if a generator is good."
)

N_FOLDS = 5


class PublishedStatistics(NamedTuple):
    """Statistics of a set behind the four published numbers, per trial so that trials can be resampled by weights."""

    trials: TrialSet
    population: Int[np.ndarray, "bin"]
    isi_n: Float[np.ndarray, "trial neuron"]
    isi_sum: Float[np.ndarray, "trial neuron"]
    isi_square: Float[np.ndarray, "trial neuron"]


class SampleStatistics(NamedTuple):
    """Statistics of one (re)sampled set: histogram of the population count, correlations, intervals in seconds."""

    n_trials: int
    histogram: np.ndarray
    correlation: np.ndarray
    isi_mean: np.ndarray
    isi_std: np.ndarray


def published_statistics(trials: TrialSet) -> PublishedStatistics:
    """Prepare a set of trials for ``ldns_metrics``."""
    n_trials, _, n_neurons = trials.counts.shape
    intervals, row = ss.intervals_in_bins(trials.counts)

    def per_trial(weight: np.ndarray | None) -> np.ndarray:
        summed = np.bincount(row, weight, n_trials * n_neurons).astype(np.float64)
        return summed.reshape(n_neurons, n_trials).T

    population = ss.population_counts(trials.counts, trials.lengths)
    return PublishedStatistics(trials, population, per_trial(None), per_trial(intervals), per_trial(intervals**2))


def describe(statistics: PublishedStatistics, index: Int[np.ndarray, "draw"] | None, bin_s: float) -> SampleStatistics:
    """Statistics of the trials of the given indices, repetitions included; of all trials without indices."""
    counts, lengths, _ = statistics.trials
    n_trials = len(counts)
    weights = np.ones(n_trials) if index is None else np.bincount(index, minlength=n_trials).astype(np.float64)
    histogram = np.bincount(statistics.population, np.repeat(weights, lengths))
    n = float(weights @ lengths)
    total = weights @ counts.sum(axis=1, dtype=np.float64)
    cross = np.zeros((counts.shape[2],) * 2)
    largest = float(counts.max()) ** 2 * weights.max()
    for start, chunk in ss.float_chunks(counts, int(2**24 / max(largest, 1.0))):
        rows = chunk.reshape(-1, counts.shape[2])
        if index is None:
            cross += rows.T @ rows
        else:
            scaled = chunk * weights[start : start + len(chunk), None, None].astype(np.float32)
            cross += rows.T @ scaled.reshape(rows.shape)
    with np.errstate(invalid="ignore", divide="ignore"):
        number = weights @ statistics.isi_n
        mean = (weights @ statistics.isi_sum) / number
        std = np.sqrt(np.maximum((weights @ statistics.isi_square) / number - mean**2, 0))
    return SampleStatistics(
        n_trials, histogram, ss.correlation(ss.covariance(n, total, cross)), mean * bin_s, std * bin_s
    )


class PublishedSets(NamedTuple):
    """A generated set beside the training trials; what a published number is computed from.

    Attributes:
        model: Statistics of the generated trials.
        data: Statistics of the training trials.
        max_count: Largest population count over the data and every method of the comparison.
        interval_data: The reference for the intervals, which differs from ``data`` in the published row "train".
    """

    model: SampleStatistics
    data: SampleStatistics
    max_count: int
    interval_data: SampleStatistics


def ldns_metrics(
    model: SampleStatistics, data: SampleStatistics, max_count: int, interval_data: SampleStatistics | None = None
) -> dict[str, float]:
    """The four published numbers; smaller is better. For the arguments see ``PublishedSets``."""
    sets = PublishedSets(model, data, max_count, data if interval_data is None else interval_data)
    return {metric.name: metric.value(sets) for metric in LDNS_METRICS}


def count_density(histogram: Float[np.ndarray, "count"], max_count: int) -> Float[np.ndarray, "x"]:
    """Gaussian kernel density of counts at 0, 1, ..., ``max_count``, scaled to sum one; Scott's bandwidth.

    Args:
        histogram: Number of observations of each count.
        max_count: Last count at which to evaluate.
    """
    count = np.flatnonzero(histogram)
    number = histogram[count]
    n = number.sum()
    if n == 0:
        return np.full(max_count + 1, NAN)
    mean = (number @ count) / n
    sd = np.sqrt((number @ (count - mean) ** 2) / max(n - 1, 1))
    if sd == 0:
        return np.full(max_count + 1, NAN)
    scaled = (np.arange(max_count + 1)[:, None] - count) / (n**-0.2 * sd)
    density = np.exp(-0.5 * scaled**2) @ number
    with np.errstate(invalid="ignore"):
        return density / density.sum()


def count_kl(model: Float[np.ndarray, "count"], data: Float[np.ndarray, "count2"], max_count: int) -> float:
    """D(model || data) of the two count densities; infinite where the model counts far beyond the data."""
    q_model, q_data = (count_density(h, max_count) for h in (model, data))
    if np.isnan(q_model).any() or np.isnan(q_data).any():
        return NAN
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        return float(np.nansum(q_model * np.log(q_model / q_data)))


def diluted_correlation_rmse(
    model: Float[np.ndarray, "neuron neuron"], data: Float[np.ndarray, "neuron neuron"]
) -> float:
    """Root mean square over all N^2 entries, of which only those below the diagonal can differ."""
    below = np.tri(len(data), k=-1, dtype=bool)
    squared = (model[below] - data[below]) ** 2
    counted = below.size - np.isnan(squared).sum()
    return float(np.sqrt(np.nansum(squared) / counted)) if np.isfinite(squared).any() else NAN


def ldns_folds(
    generated: PublishedStatistics, real: PublishedStatistics, bin_s: float, folds: list[np.ndarray], max_count: int
) -> dict[str, np.ndarray]:
    """The four numbers for each resampling of the generated trials against the complete training trials.

    Args:
        generated: The generated set.
        real: The training trials.
        bin_s: Bin width in seconds.
        folds: Index vectors; an empty list scores the generated trials once as they are (not comparable with print).
        max_count: Largest population count over the data and every method of the comparison.
    """
    data = describe(real, None, bin_s)
    return _columns([ldns_metrics(describe(generated, index, bin_s), data, max_count) for index in folds or [None]])


def ldns_methods(
    generated: Sequence[PublishedStatistics], real: PublishedStatistics, bin_s: float, folds: list[np.ndarray]
) -> list[dict[str, np.ndarray]]:
    """The four numbers for each of several methods of one comparison, as one published table has them.

    All methods are resampled alike, and population counts are compared up to the largest of the data and of every
    method, so that a value depends a little on what it is compared with.

    Args:
        generated: The generated set of each method, of as many trials as there are training trials.
        real: The training trials.
        bin_s: Bin width in seconds.
        folds: Index vectors; see ``ldns_folds``.

    Raises:
        DataError: If a set has another number of trials than the training trials.
    """
    for place, each in enumerate(generated):
        if len(each.trials.counts) != len(real.trials.counts):
            raise DataError(
                f"generated set {place} has {len(each.trials.counts)} trials, but the published protocol compares as "
                f"many as there are training trials, {len(real.trials.counts)}; generate that many."
            )
    most = largest_count(real, *generated)
    return [ldns_folds(each, real, bin_s, folds, most) for each in generated]


def largest_count(*sets: PublishedStatistics) -> int:
    """Largest population count of a bin over all sets, before any resampling."""
    return max(int(each.population.max(initial=0)) for each in sets)


def ldns_train_row(
    real: PublishedStatistics, bin_s: float, folds: list[np.ndarray], rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """The published reference row "train": one half of resampled training trials against the other half.

    A biased floor that lands near the truth: the model is one half of a resampled copy, the reference the other half
    of the data before resampling, and all of the data for the intervals.
    """
    max_count = int(real.population.max())
    data = describe(real, None, bin_s)
    rows = []
    for index in folds:
        order = rng.permutation(len(index))
        chosen, others = order[: len(index) // 2], order[len(index) // 2 :]
        half = describe(real, chosen, bin_s)
        rows.append(ldns_metrics(describe(real, index[others], bin_s), half, max_count, interval_data=data))
    return _columns(rows)


def perfect_corr_floor(
    n_generated: int, n_real: int, mean_bins: float, n_neurons: int, resampled: bool = True
) -> float:
    """Value of ``rmse_corr`` for a perfect generator of weakly correlated counts, in closed form."""
    variance = ((2 if resampled else 1) / n_generated + 1 / n_real) / mean_bins
    return float(np.sqrt(variance * (n_neurons - 1) / (2 * n_neurons)))


def draw_folds(n_trials: int, n_folds: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Index vectors of trials drawn with replacement."""
    return [rng.integers(0, n_trials, n_trials) for _ in range(n_folds)]


def _columns(rows: list[dict[str, float]]) -> dict[str, np.ndarray]:
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def _nan_rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.nanmean(values**2))) if np.isfinite(values).any() else NAN


# -- the table -------------------------------------------------------------------------------------------------------

GROUP = "As in the LDNS paper, against training trials"
COMPARABLE = Requirement("no neuron or count to compare")


def _n_trials(sets: PublishedSets) -> int:
    return sets.data.n_trials


LDNS_METRICS: tuple[Metric, ...] = (
    Metric(
        name="kl_div_psc",
        unit="nats",
        compute=lambda sets: count_kl(sets.model.histogram, sets.data.histogram, sets.max_count),
        size=_n_trials,
        reference="train",
        needs=(COMPARABLE,),
        label="population counts",
        explanation="D(model || data) of smoothed distributions of spikes per bin",
        group=GROUP,
    ),
    Metric(
        name="rmse_corr",
        rms=True,
        compute=lambda sets: diluted_correlation_rmse(sets.model.correlation, sets.data.correlation),
        size=_n_trials,
        reference="train",
        needs=(COMPARABLE,),
        label="correlations",
        explanation="difference of pairwise correlations, zeros of the upper triangle counted",
        group=GROUP,
    ),
    Metric(
        name="rmse_mean_isi",
        unit="s",
        rms=True,
        compute=lambda sets: _nan_rms(sets.model.isi_mean - sets.interval_data.isi_mean),
        size=_n_trials,
        reference="train",
        needs=(COMPARABLE,),
        label="mean interval",
        explanation="difference of each neuron's mean interval",
        group=GROUP,
    ),
    Metric(
        name="rmse_std_isi",
        unit="s",
        rms=True,
        compute=lambda sets: _nan_rms(sets.model.isi_std - sets.interval_data.isi_std),
        size=_n_trials,
        reference="train",
        needs=(COMPARABLE,),
        label="spread of intervals",
        explanation="difference of each neuron's standard deviation of intervals",
        group=GROUP,
    ),
)
