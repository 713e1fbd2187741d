"""The held-out metrics: numbers that compare a generated set of spike trains with real trials it never saw.

A metric is one entry of ``HELDOUT_METRICS``: its name, its computation from a ``ComparedSets``, and what a table or a
report says about it. Floors, baselines, standard errors and scores follow from the entry.
"""

from __future__ import annotations

import numpy as np

from spikeloom.evaluation import in_words
from spikeloom.evaluation import spike_statistics as ss
from spikeloom.evaluation.compared_sets import MIN_INTERVALS, ComparedSets, SetStatistics
from spikeloom.evaluation.distances import (
    count_wasserstein,
    jensen_shannon,
    kl_divergence,
    psth_error,
    rms,
)
from spikeloom.evaluation.metric import NAN, NEURONS, OVERALL, PAIRS, POPULATION, TIME, Metric, Requirement
from spikeloom.evaluation.summary import Summary
from spikeloom.evaluation.verdict import OF_AUC

MIN_INTERVAL_NEURONS = 5
"""With fewer neurons left, interval metrics do not exist."""

# -- what metrics need of the two sets -------------------------------------------------------------------------------


def _same_spectrum(sets: ComparedSets) -> bool:
    sides = sets.generated.summary, sets.held_out.summary
    n_bins = {side.trials.counts.shape[1] for side in sides}
    return len(n_bins) == 1 and all(side.equal_lengths for side in sides)


ALIGNED = Requirement("trials are not aligned in time", lambda sets: sets.frame.aligned)
EQUAL_LENGTHS = Requirement("needs trials of equal length, of at least two bins, on both sides", _same_spectrum)
INTERVALS = Requirement(
    f"fewer than {MIN_INTERVAL_NEURONS} neurons have {MIN_INTERVALS} intervals in both sets",
    lambda sets: len(sets.interval_neurons) >= MIN_INTERVAL_NEURONS,
)
SEVERAL_BINS = Requirement("needs trials of at least two bins and neurons that vary in both sets")
SHARED_LAGS = Requirement("needs trials of at least two bins and two neurons that vary in both sets")
SCATTER = Requirement("needs trials that differ, and at least two of a condition")
CELLS = Requirement("no condition and window has 5 trials and a varying count in both sets")
VARYING = Requirement("fewer than two neurons vary in both sets")
CLASSIFIABLE = Requirement("fewer than 5 trials on a side")

# -- computations that take more than a line -------------------------------------------------------------------------


def _interval_cv(sets: ComparedSets) -> float:
    kept = sets.interval_neurons
    cv = [side.interval_sd[kept] / side.interval_mean[kept] for side in (sets.generated, sets.held_out)]
    return rms(cv[0] - cv[1])


def _lagged(g: np.ndarray, h: np.ndarray) -> float:
    n_lags = min(len(g), len(h))
    return rms(g[:n_lags] - h[:n_lags])


def _spectrum(sets: ComparedSets) -> float:
    ratio = 10 * np.log10(sets.generated.power / sets.held_out.power)
    return rms(np.where(np.isfinite(ratio), ratio, NAN))


def _classifier(sets: ComparedSets) -> float:
    return NAN if sets.seed is None else sets.separated(sets.seed)[0]


def _classifier_error(sets: ComparedSets) -> float:
    return sets.separated(0)[1]


# -- how many neurons, pairs or trials are behind a metric -----------------------------------------------------------


def _n_trials(sets: ComparedSets) -> int:
    return sets.held_out.n_trials


def _n_neurons(sets: ComparedSets) -> int:
    return sets.frame.n_neurons


def _n_finite(*sides: np.ndarray) -> int:
    return int(np.logical_and(*(np.isfinite(side) for side in sides)).sum())


def _n_pairs(sets: ComparedSets) -> int:
    return _n_finite(sets.generated.correlations, sets.held_out.correlations)


def _n_noise_pairs(sets: ComparedSets) -> int:
    return _n_finite(sets.generated.noise_correlations, sets.held_out.noise_correlations)


def _n_lagged_pairs(sets: ComparedSets) -> int:
    sides = [side.cross_correlations for side in (sets.generated, sets.held_out)]
    return _n_finite(*(side[0] for side in sides)) if all(len(side) for side in sides) else 0


def _n_firing(sets: ComparedSets) -> int:
    return int(((sets.generated.sums["fano_mean"] > 0) & (sets.held_out.sums["fano_mean"] > 0)).sum())


def _n_varying(sets: ComparedSets) -> int:
    return int((ss.varies(sets.generated.variances) & ss.varies(sets.held_out.variances)).sum())


def _n_interval_neurons(sets: ComparedSets) -> int:
    return len(sets.interval_neurons)


# Scores rise in proportion to the dose of a fault, so that a quarter of it is the usual tolerance, but for these.
OF_DIVERGENCES = 0.06
"""Tolerance of divergences, which rise with the square of a fault."""
OF_CORRELATIONS_R = 0.015
"""Tolerance of the correlation of correlations, which a fault in a part of the trials hardly changes."""

# -- the table -------------------------------------------------------------------------------------------------------

HELDOUT_METRICS: tuple[Metric, ...] = (
    Metric(
        name="rate_rmse",
        unit="Hz",
        rms=True,
        compute=lambda sets: rms(sets.generated.mean_counts - sets.held_out.mean_counts) / sets.frame.bin_s,
        size=_n_neurons,
        yardstick="thinned",
        in_words=in_words.rates,
        label="mean rates",
        explanation="difference of each neuron's mean rate (root mean square)",
        group=NEURONS,
    ),
    Metric(
        name="count_js",
        unit="nats",
        compute=lambda sets: jensen_shannon(*sets.count_probabilities),
        size=_n_trials,
        yardstick="thinned",
        tolerance=OF_DIVERGENCES,
        in_words=in_words.population_counts,
        label="distribution of population counts",
        explanation="Jensen-Shannon divergence between the distributions of spikes per bin",
        group=POPULATION,
    ),
    Metric(
        name="count_kl",
        unit="nats",
        compute=lambda sets: kl_divergence(*reversed(sets.count_probabilities)),
        size=_n_trials,
        yardstick="thinned",
        tolerance=OF_DIVERGENCES,
        in_words=in_words.population_counts,
        label="KL divergence of population counts",
        explanation="D(data || model) of spikes per bin: large where real counts are generated too rarely",
        group=POPULATION,
    ),
    Metric(
        name="count_w1",
        unit="spikes/bin",
        compute=lambda sets: count_wasserstein(sets.generated.sums["histogram"], sets.held_out.sums["histogram"]),
        size=_n_trials,
        yardstick="thinned",
        in_words=in_words.population_counts,
        label="size of population counts",
        explanation="spikes to move to turn one distribution into the other (Wasserstein-1)",
        group=POPULATION,
    ),
    Metric(
        name="corr_rmse",
        rms=True,
        compute=lambda sets: sets.correlations.rmse,
        size=_n_pairs,
        needs=(VARYING,),
        yardstick="shuffled",
        in_words=in_words.correlations,
        label="correlations",
        explanation="difference of all pairwise count correlations (root mean square)",
        group=PAIRS,
    ),
    Metric(
        name="corr_slope",
        better="one",
        compute=lambda sets: sets.correlations.slope,
        size=_n_pairs,
        needs=(VARYING,),
        yardstick="shuffled",
        in_words=in_words.correlations,
        label="strength of correlations",
        explanation="generated correlations regressed on real ones; too weak is below the floor",
        group=PAIRS,
    ),
    Metric(
        name="corr_r",
        better="high",
        tolerance=OF_CORRELATIONS_R,
        compute=lambda sets: sets.correlations.r,
        size=_n_pairs,
        needs=(VARYING,),
        yardstick="shuffled",
        in_words=in_words.correlation_pattern,
        label="pattern of correlations",
        explanation="Pearson r between generated and real correlations",
        group=PAIRS,
    ),
    Metric(
        name="noise_corr_rmse",
        rms=True,
        compute=lambda sets: sets.noise_correlations.rmse,
        size=_n_noise_pairs,
        needs=(CELLS,),
        yardstick="shuffled",
        in_words=in_words.noise_correlations,
        label="noise correlations",
        explanation="the same around the mean of each condition, counts in 100 ms",
        group=PAIRS,
    ),
    Metric(
        name="noise_corr_slope",
        better="one",
        compute=lambda sets: sets.noise_correlations.slope,
        size=_n_noise_pairs,
        needs=(CELLS,),
        yardstick="shuffled",
        in_words=in_words.noise_correlations,
        label="strength of noise correlations",
        explanation="generated noise correlations regressed on real ones",
        group=PAIRS,
    ),
    Metric(
        name="xcov_rmse",
        rms=True,
        compute=lambda sets: _lagged(sets.generated.cross_correlations, sets.held_out.cross_correlations),
        size=_n_lagged_pairs,
        needs=(SHARED_LAGS,),
        yardstick="permuted_bins",
        in_words=in_words.lagged_correlations,
        label="correlations at a lag",
        explanation="difference of cross-correlations of pairs at 1 to 10 bins, around the average response",
        group=PAIRS,
    ),
    Metric(
        name="leadlag_rmse",
        rms=True,
        compute=lambda sets: _lagged(sets.generated.lead, sets.held_out.lead),
        size=_n_lagged_pairs,
        needs=(SHARED_LAGS,),
        yardstick="backwards",
        in_words=in_words.lead_and_lag,
        label="lead and lag",
        explanation="the same for who leads and who follows: the part that turns over when time runs backwards",
        group=PAIRS,
    ),
    Metric(
        name="fano_rmse",
        rms=True,
        compute=lambda sets: rms(sets.generated.fano_factors - sets.held_out.fano_factors),
        size=_n_firing,
        needs=(CELLS,),
        in_words=in_words.fano_factors,
        label="Fano factors",
        explanation="difference of each neuron's variance over mean of spike counts in 100 ms",
        group=NEURONS,
    ),
    Metric(
        name="count_share_rmse",
        rms=True,
        compute=lambda sets: rms(sets.share_deviations),
        size=_n_neurons,
        in_words=in_words.count_shares,
        label="distribution of spike counts",
        explanation="shares of bins with 0, 1, 2, 3 and very many spikes, of each neuron, in standard errors",
        group=NEURONS,
    ),
    Metric(
        name="isi_mean_rmse",
        unit="s",
        rms=True,
        compute=lambda sets: (
            rms((sets.generated.interval_mean - sets.held_out.interval_mean)[sets.interval_neurons]) * sets.frame.bin_s
        ),
        size=_n_interval_neurons,
        needs=(INTERVALS,),
        in_words=in_words.interval_mean,
        label="mean interval",
        explanation="difference of each neuron's mean interspike interval (ISI)",
        group=NEURONS,
    ),
    Metric(
        name="isi_std_rmse",
        unit="s",
        rms=True,
        compute=lambda sets: (
            rms((sets.generated.interval_sd - sets.held_out.interval_sd)[sets.interval_neurons]) * sets.frame.bin_s
        ),
        size=_n_interval_neurons,
        needs=(INTERVALS,),
        in_words=in_words.interval_spread,
        label="spread of intervals",
        explanation="difference of each neuron's standard deviation of intervals",
        group=NEURONS,
    ),
    Metric(
        name="isi_cv_rmse",
        rms=True,
        compute=_interval_cv,
        size=_n_interval_neurons,
        needs=(INTERVALS,),
        yardstick="smoothed",
        in_words=in_words.irregularity,
        label="irregularity",
        explanation="difference of each neuron's coefficient of variation of intervals (standard deviation over mean)",
        group=NEURONS,
    ),
    Metric(
        name="isi_w1",
        unit="s",
        compute=lambda sets: float(np.nanmean(sets.interval_distances[sets.interval_neurons])) * sets.frame.bin_s,
        size=_n_interval_neurons,
        needs=(INTERVALS,),
        resampled="distributions",
        in_words=in_words.interval_distribution,
        label="distribution of intervals",
        explanation="distance between interval distributions (Wasserstein-1), mean over neurons",
        group=NEURONS,
    ),
    Metric(
        name="acf_rmse",
        rms=True,
        compute=lambda sets: _lagged(sets.generated.autocorrelation, sets.held_out.autocorrelation),
        size=_n_varying,
        yardstick="permuted_bins",
        in_words=in_words.autocorrelation,
        label="autocorrelation",
        explanation="difference of each neuron's autocorrelation at 1 to 10 bins (root mean square)",
        group=TIME,
    ),
    Metric(
        name="private_acf_rmse",
        rms=True,
        compute=lambda sets: _lagged(sets.generated.private_autocovariance, sets.held_out.private_autocovariance),
        size=_n_varying,
        needs=(SEVERAL_BINS,),
        yardstick="permuted_bins",
        in_words=in_words.private_variability,
        label="private slow variability",
        explanation="difference of autocovariances of what other neurons do not predict, over the count variance",
        group=TIME,
    ),
    Metric(
        name="psd_db",
        unit="dB",
        rms=True,
        compute=_spectrum,
        size=_n_trials,
        needs=(EQUAL_LENGTHS,),
        yardstick="permuted_bins",
        in_words=in_words.spectrum,
        label="power spectrum",
        explanation="difference of the spectra of the population count",
        group=TIME,
    ),
    Metric(
        name="dim_logratio",
        compute=lambda sets: abs(np.log(sets.generated.dimension / sets.held_out.dimension)),
        size=_n_trials,
        in_words=in_words.dimension,
        label="dimension",
        explanation="log ratio of the effective number of dimensions of smoothed activity",
        group=POPULATION,
    ),
    Metric(
        name="trial_pc_ratio",
        rms=True,
        compute=lambda sets: rms(sets.generated.log_component_variance - sets.held_out.log_component_variance),
        size=_n_trials,
        needs=(SCATTER,),
        yardstick="shuffled",
        in_words=in_words.trial_variance,
        label="trial-to-trial variance",
        explanation="log ratio of the variance of trial means along groups of principal components of real trials",
        group=POPULATION,
    ),
    Metric(
        name="psth_err",
        compute=lambda sets: psth_error(sets.generated.psth, sets.held_out.psth),
        size=_n_neurons,
        needs=(ALIGNED, CELLS),
        resampled="distributions",
        yardstick="permuted_conditions",
        in_words=in_words.average_responses,
        label="average responses",
        explanation="share of the variance of condition averages (PSTH) that is missed",
        group=TIME,
    ),
    Metric(
        name="c2st_basic",
        compute=_classifier,
        size=_n_trials,
        needs=(CLASSIFIABLE,),
        best=0.5,
        standard_error=_classifier_error,
        yardstick="shuffled",
        tolerance=OF_AUC,
        in_words=in_words.classifier,
        label="basic classifier",
        explanation="how well a classifier separates generated from real trials (AUC); 0.5 is chance",
        group=OVERALL,
    ),
)


def heldout_metrics(generated: Summary, held_out: Summary, classifier_seed: int | None = None) -> dict[str, float]:
    """All held-out metrics of a generated set against held-out trials; NaN where one does not exist.

    Args:
        generated: Statistics of the generated set.
        held_out: Statistics of the real trials it is compared with.
        classifier_seed: Seed of the classifier's folds; without it the classifier test is left out.
    """
    sets = ComparedSets(SetStatistics(generated), SetStatistics(held_out), classifier_seed)
    return {metric.name: metric.value(sets) for metric in HELDOUT_METRICS}
