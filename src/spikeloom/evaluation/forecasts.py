"""How good forecasts of spike counts and rates are: correlations, ranked probability scores and coverage.

A forecast is a set of draws, or for some systems only an expectation. Draws are (draw, trial, neuron), what came is
(trial, neuron), at one horizon.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped

Draws = Shaped[np.ndarray, "draw trial neuron"]
Values = Shaped[np.ndarray, "trial neuron"]

MIDDLE = 0.8
"""Share of draws in the middle, which a calibrated forecast gives this chance of holding what comes."""


@dataclass(frozen=True)
class ForecastScores:
    """Scores at one horizon; a number that does not exist is NaN.

    Attributes:
        horizon: Bins from the last observed one.
        trials: Trials that are long enough.
        population_r: Correlation over trials of the expected and the recorded count of the whole population.
        neuron_r: Correlation over trials of the expected and the recorded count of a neuron, mean over neurons.
        sampled_population_r: The same as ``population_r`` of single draws of counts instead of the expectation.
        sampled_neuron_r: The same as ``neuron_r`` of single draws of counts.
        crps: Continuous ranked probability score of counts, mean over trials and neurons.
        coverage: Share of counts in the middle 80 % of their draws, ties broken at random.
        rate_r2: Share of the variance of true rates over trials that the expectation explains.
        rate_crps: Ranked probability score of true rates.
        rate_coverage: Share of true rates in the middle 80 % of their draws.
    """

    horizon: int
    trials: int
    population_r: float
    neuron_r: float
    sampled_population_r: float
    sampled_neuron_r: float
    crps: float
    coverage: float
    rate_r2: float = float("nan")
    rate_crps: float = float("nan")
    rate_coverage: float = float("nan")


def crps(draws: Draws, truth: Values) -> float:
    """Continuous ranked probability score, mean over trials and neurons; unbiased in the number of draws.

    Lower is better; for a single value it is the absolute error (Gneiting and Raftery 2007; the estimator of Ferro
    2014).
    """
    n = len(draws)
    if n < 2:
        return float(np.abs(draws - truth).mean())
    ordered = np.sort(draws.astype(np.float64), axis=0)
    weight = (2 * np.arange(n) - n + 1)[:, None, None]
    spread = (weight * ordered).sum(0) * 2 / (n * (n - 1))
    return float((np.abs(draws - truth).mean(0) - spread / 2).mean())


def integral_transform(draws: Draws, truth: Values, rng: np.random.Generator) -> Float[np.ndarray, "trial neuron"]:
    """Randomised probability integral transform: uniform in [0, 1] where what came is one more of the draws.

    The rank of the truth among the draws, equal ones ordered at random, and a uniform place within the rank (Czado,
    Gneiting and Held 2009). It is uniform for any number of draws, which quantiles of few draws are not: the interval
    between the 10 % and 90 % quantiles of ten draws, interpolated, holds 65 % of further ones.
    """
    below, equal = (draws < truth).sum(0), (draws == truth).sum(0)
    rank = below + rng.integers(0, equal + 1)
    return (rank + rng.random(rank.shape)) / (len(draws) + 1)


def coverage(draws: Draws, truth: Values, rng: np.random.Generator) -> float:
    """Share of what came in the middle 80 % of the draws: 0.8 where forecasts are calibrated, less where too sure."""
    edge = (1 - MIDDLE) / 2
    place = integral_transform(draws, truth, rng)
    return float(((place >= edge) & (place <= 1 - edge)).mean())


def correlation(expected: Values, truth: Values) -> tuple[float, float]:
    """Correlations over trials: of the sums over the population, and of each neuron, mean over neurons that vary.

    A neuron whose forecast does not vary has a correlation of 0: nothing of it is foreseen.
    """
    x, y = (np.column_stack([v.sum(1), v]).astype(np.float64) for v in (expected, truth))
    varies = np.ptp(x, axis=0) > 1e-9 * np.abs(x).max(0)  # more than by rounding
    x, y = x - x.mean(0), y - y.mean(0)
    scale = np.sqrt((x * x).sum(0) * (y * y).sum(0))
    r = np.divide((x * y).sum(0), scale, out=np.zeros_like(scale), where=(scale > 0) & varies)
    varying = (y[:, 1:] ** 2).sum(0) > 0
    return float(r[0]), float(r[1:][varying].mean()) if varying.any() else float("nan")


def score_forecast(
    horizon: int,
    counts: Values,
    expected: Values,
    draws: Draws,
    true_rates: Values | None = None,
    rate_draws: Draws | None = None,
    seed: int = 0,
) -> ForecastScores:
    """Scores of a forecast at one horizon.

    Args:
        horizon: Bins from the last observed one.
        counts: Counts that were recorded.
        expected: Counts that were expected.
        draws: Counts that were drawn.
        true_rates: True rates, of a simulated recording.
        rate_draws: Rates that were drawn, of a system that is uncertain about them.
        seed: Seed of random ties.
    """
    rng = np.random.default_rng([seed, horizon])
    population, neuron = correlation(expected, counts)
    sampled = np.array([correlation(draw, counts) for draw in draws])
    r2, rate_score, held = float("nan"), float("nan"), float("nan")
    if true_rates is not None:
        truth = true_rates.astype(np.float64)
        scatter = np.square(truth - truth.mean(0)).sum()
        r2 = float(1 - np.square(expected - truth).sum() / scatter) if scatter > 0 else float("nan")
        rate_score = crps(expected[None] if rate_draws is None else rate_draws, truth)
        held = float("nan") if rate_draws is None else coverage(rate_draws, truth, rng)
    return ForecastScores(
        horizon,
        len(counts),
        population,
        neuron,
        float(sampled[:, 0].mean()),
        float(sampled[:, 1].mean()),
        crps(draws, counts),
        coverage(draws, counts, rng),
        r2,
        rate_score,
        held,
    )
