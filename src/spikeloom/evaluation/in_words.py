"""Differences between a generated set and held-out trials in the words of a physiologist, signed and with their size.

Strengths of correlations, responses and the like are compared along what training trials show: a slope of generated on
held-out values would be too small even for a perfect generator, because the held-out ones are noisy, whereas noise of
training trials is independent of that on either side and cancels.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

import numpy as np

from spikeloom.evaluation.compared_sets import ComparedSets
from spikeloom.evaluation.distances import rms

LEAST = 0.03
"""Relative change that is worth a number; below it another part of the difference is described."""

CLEAR = 4.0
"""Standard errors that the real pattern must have before a strength is measured along it."""

N_BANDS = 8
"""Bands of frequency among which the one with the largest difference is named."""

Words = Callable[[ComparedSets], "str | None"]


def otherwise(words: str) -> Callable[[Words], Callable[[ComparedSets], str]]:
    """Words for the case that a description finds nothing to measure."""

    def decorate(describe: Words) -> Callable[[ComparedSets], str]:
        @wraps(describe)
        def described(sets: ComparedSets) -> str:
            with np.errstate(invalid="ignore", divide="ignore"):
                return describe(sets) or words

        return described

    return decorate


def by(ratio: float, less: str, more: str) -> str | None:
    """A ratio as "40 % too weak" or "2.5 times too strong"; nothing where it is not a number, or close to one."""
    if not np.isfinite(ratio) or ratio < 0 or abs(ratio - 1) < LEAST:
        return None
    if ratio >= 3:
        return f"{ratio:.2g} times {more}" if ratio < 100 else f"more than 100 times {more}"
    return f"{100 * abs(ratio - 1):.0f} % {less if ratio < 1 else more}"


def strength(generated: np.ndarray, held_out: np.ndarray, training: np.ndarray) -> float:
    """Size of a generated pattern over that of the held-out one, both along training trials; NaN where unclear."""
    n_rows = min(len(generated), len(held_out), len(training))
    sides = np.stack([np.ravel(x[:n_rows]) for x in (generated, held_out, training)])
    g, h, t = sides[:, np.isfinite(sides).all(axis=0)]
    scale = float(np.sqrt((h @ h) * (t @ t)))
    if scale == 0 or h @ t / scale < max(0.05, CLEAR / np.sqrt(len(h))):
        return float("nan")
    return float(g @ t) / float(h @ t)


def _strong(subject: str, ratio: float, of_opposite_sign: str) -> str | None:
    if ratio < -LEAST:
        return of_opposite_sign
    change = by(max(ratio, 0.0), "too weak", "too strong") if np.isfinite(ratio) else None
    return change and f"{subject} {change}"


# -- single neurons --------------------------------------------------------------------------------------------------


@otherwise("mean rates differ")
def rates(sets: ComparedSets) -> str | None:
    """Too much or too little firing; where the total is right, the error of single neurons."""
    g, h = sets.generated.mean_counts, sets.held_out.mean_counts
    ratio = g.sum() / h.sum()
    if abs(ratio - 1) * rms(h) > 0.5 * rms(g - h):
        change = by(ratio, "too little", "too much")
        if change:
            return f"neurons fire {change}"
    share = np.divide(rms(g - h), rms(h))
    return f"single neurons' rates are off by {100 * share:.0f} %" if LEAST < share < np.inf else None


@otherwise("variability of spike counts differs")
def fano_factors(sets: ComparedSets) -> str | None:
    """Too much or too little variability of spike counts."""
    sides = np.stack([sets.generated.fano_factors, sets.held_out.fano_factors])
    g, h = sides[:, np.isfinite(sides).all(axis=0)].mean(axis=1) if np.isfinite(sides).any() else (np.nan, np.nan)
    change = by(g / h, "too little", "too much")
    return change and f"spike counts vary {change} (Fano factor {g:.2g} for {h:.2g})"


@otherwise("distributions of spike counts differ")
def count_shares(sets: ComparedSets) -> str | None:
    """Which number of spikes in a bin is too frequent or too rare."""
    deviations = np.nan_to_num(sets.share_deviations)
    g, h = sets.generated.count_shares.mean(axis=1), sets.held_out.count_shares.mean(axis=1)
    share = int(np.argmax(np.abs(deviations.sum(axis=1))))
    names = ("without a spike", "with one spike", "with two spikes", "with three spikes", "with very many spikes")
    if h[share] == 0 and g[share] > 0:
        return f"bins {names[share]} occur, though never in real trials"
    change = by(g[share] / h[share], "too rare", "too frequent")
    return change and f"bins {names[share]} are {change}"


def _interval_change(sets: ComparedSets) -> float:
    kept = sets.interval_neurons
    return float(sets.generated.interval_mean[kept].sum() / sets.held_out.interval_mean[kept].sum())


@otherwise("mean intervals differ")
def interval_mean(sets: ComparedSets) -> str | None:
    """Intervals too long or too short."""
    change = by(_interval_change(sets), "too short", "too long")
    return change and f"intervals are {change}"


@otherwise("spreads of intervals differ")
def interval_spread(sets: ComparedSets) -> str | None:
    """Intervals that spread too much or too little."""
    kept = sets.interval_neurons
    change = by(
        float(sets.generated.interval_sd[kept].sum() / sets.held_out.interval_sd[kept].sum()), "too little", "too much"
    )
    return change and f"intervals spread {change}"


@otherwise("irregularity of firing differs")
def irregularity(sets: ComparedSets) -> str | None:
    """Firing too regular or too irregular."""
    kept = sets.interval_neurons
    if not len(kept):
        return None
    g, h = ((s.interval_sd[kept] / s.interval_mean[kept]).mean() for s in (sets.generated, sets.held_out))
    if not abs(g / h - 1) >= LEAST:
        return None
    return f"firing is too {'regular' if g < h else 'irregular'} (coefficient of variation {g:.2g} for {h:.2g})"


@otherwise("distributions of intervals differ")
def interval_distribution(sets: ComparedSets) -> str | None:
    """Length of intervals where that is wrong, their irregularity otherwise."""
    change = by(_interval_change(sets), "too short", "too long")
    if change:
        return f"intervals are {change}"
    described = irregularity(sets)
    return described if described.startswith("firing") else None


@otherwise("autocorrelation differs")
def autocorrelation(sets: ComparedSets) -> str | None:
    """Autocorrelation too weak or too strong."""
    ratio = strength(*(side.autocorrelation for side in (sets.generated, sets.held_out, sets.training)))
    return _strong("autocorrelation is", ratio, "autocorrelation has the opposite sign")


@otherwise("slow variability that other neurons do not predict differs")
def private_variability(sets: ComparedSets) -> str | None:
    """Slow variability of neurons that others do not share, too weak or too strong."""
    ratio = strength(*(side.private_autocovariance for side in (sets.generated, sets.held_out, sets.training)))
    subject = "slow variability of neurons that others do not predict"
    return _strong(f"{subject} is", ratio, f"{subject} has the opposite sign")


# -- pairs of neurons ------------------------------------------------------------------------------------------------


@otherwise("correlations between neurons differ")
def correlations(sets: ComparedSets) -> str | None:
    """Correlations too weak or too strong; where they are not, the error of single pairs."""
    ratio = strength(*(side.correlations for side in (sets.generated, sets.held_out, sets.training)))
    error = sets.correlations.rmse
    return _strong(
        "correlations between neurons are", ratio, "correlations between neurons have the opposite sign"
    ) or (f"correlations of single pairs of neurons are off by {error:.2g}" if error > 0 else None)


@otherwise("the pattern of correlations differs")
def correlation_pattern(sets: ComparedSets) -> str | None:
    """How alike the patterns of correlations are."""
    r = sets.correlations.r
    return f"correlations between neurons have another pattern (r = {r:.2f} with the real one)" if r < 1 else None


@otherwise("noise correlations differ")
def noise_correlations(sets: ComparedSets) -> str | None:
    """Noise correlations too weak or too strong."""
    ratio = strength(*(side.noise_correlations for side in (sets.generated, sets.held_out, sets.training)))
    return _strong("noise correlations are", ratio, "noise correlations have the opposite sign")


@otherwise("correlations at a lag differ")
def lagged_correlations(sets: ComparedSets) -> str | None:
    """Covariances at a lag too weak or too strong."""
    ratio = strength(*(side.cross_correlations for side in (sets.generated, sets.held_out, sets.training)))
    return _strong("covariances at a lag are", ratio, "covariances at a lag have the opposite sign")


@otherwise("lead and lag between neurons differ")
def lead_and_lag(sets: ComparedSets) -> str | None:
    """Order of firing too weak, too strong, or reversed."""
    ratio = strength(*(side.lead for side in (sets.generated, sets.held_out, sets.training)))
    return _strong("lead and lag between neurons are", ratio, "lead and lag between neurons are reversed")


# -- the population --------------------------------------------------------------------------------------------------


@otherwise("distribution of population counts differs")
def population_counts(sets: ComparedSets) -> str | None:
    """Population counts too large, too small, or too variable, whichever is farther off."""
    moments = []
    for side in (sets.generated, sets.held_out):
        p = side.sums["histogram"] / side.sums["histogram"].sum()
        mean = float(p @ np.arange(len(p)))
        moments.append((mean, float(np.sqrt(p @ (np.arange(len(p)) - mean) ** 2))))
    (g_mean, g_sd), (h_mean, h_sd) = moments
    size = by(g_mean / h_mean if h_mean else np.nan, "too small", "too large")
    spread = by(g_sd / h_sd if h_sd else np.nan, "too little", "too much")
    if size and (not spread or abs(g_mean - h_mean) > abs(g_sd - h_sd)):
        return f"population counts are {size}"
    return spread and f"population counts vary {spread}"


@otherwise("the dimension of activity differs")
def dimension(sets: ComparedSets) -> str | None:
    """Number of dimensions of either side."""
    g, h = sets.generated.dimension, sets.held_out.dimension
    return f"activity has {g:.2g} dimensions for {h:.2g}" if np.isfinite(g - h) and f"{g:.2g}" != f"{h:.2g}" else None


@otherwise("trial-to-trial variance differs")
def trial_variance(sets: ComparedSets) -> str | None:
    """The components along which trials vary too much or too little."""
    components = sets.frame.components
    logs = sets.generated.log_component_variance - sets.held_out.log_component_variance
    if not len(logs) or not np.isfinite(logs).all():
        return None
    worst = int(np.argmax(np.abs(logs) * np.sqrt(components.dimensions)))
    where = "all other components" if components.names[worst] == "rest" else f"components {components.names[worst]}"
    change = by(float(np.exp(logs[worst])), "too small", "too large")
    return change and f"trial-to-trial variance along {where} is {change}"


@otherwise("power spectrum differs")
def spectrum(sets: ComparedSets) -> str | None:
    """The frequency at which the population's power is farthest off."""
    g, h = sets.generated.power, sets.held_out.power
    edges = np.unique(np.geomspace(1, len(h) + 1, min(N_BANDS, len(h)) + 1).round().astype(int)) - 1
    sums = [np.add.reduceat(power, edges[:-1]) for power in (g, h)]
    decibel = 10 * np.log10(sums[0] / sums[1])
    if not np.isfinite(decibel).any():
        return None
    worst = int(np.nanargmax(np.where(np.isfinite(decibel), np.abs(decibel), np.nan)))
    if abs(decibel[worst]) < 0.05:
        return None
    middle = (edges[worst] + edges[worst + 1] + 1) / 2
    frequency = middle / (sets.held_out.summary.trials.counts.shape[1] * sets.frame.bin_s)
    low = "low" if decibel[worst] < 0 else "high"
    return f"the population's power at {frequency:.2g} Hz is {abs(decibel[worst]):.1f} dB too {low}"


@otherwise("average responses differ")
def average_responses(sets: ComparedSets) -> str | None:
    """Modulation of average responses along that of training trials."""
    sides = [side.psth for side in (sets.generated, sets.held_out, sets.training)]
    n_bins = min(mean.shape[1] for mean, _ in sides)
    enough = np.logical_and.reduce([number[:, :n_bins] >= 5 for _, number in sides])
    if not enough.any():
        return None
    means = [mean[:, :n_bins][enough] for mean, _ in sides]
    ratio = strength(*(mean - mean.mean(axis=0) for mean in means))
    return _strong("average responses are", ratio, "average responses have the opposite sign")


@otherwise("the result of the basic classifier differs")
def classifier(sets: ComparedSets) -> str | None:
    """How often a basic classifier finds the generated trial of a pair."""
    if sets.seed is None:
        return None
    area, _ = sets.separated(sets.seed)
    if not area > 0.5:
        return None
    return f"a basic classifier finds the generated one of two trials in {100 * area:.0f} % of cases"
