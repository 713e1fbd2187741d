"""What the numbers of a comparison mean, in plain words, and how to write them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Explained:
    """A metric in plain words.

    Attributes:
        name: What a person would call it.
        meaning: One line: what is compared, and how.
        unit: Its unit, empty for pure numbers.
        group: Heading under which it stands in the table.
    """

    name: str
    meaning: str
    unit: str
    group: str


NEURONS, PAIRS, POPULATION, TIME, OVERALL, PUBLISHED = (
    "Single neurons",
    "Pairs of neurons",
    "Whole population",
    "Time courses",
    "Everything at once",
    "As in the LDNS paper, against training trials",
)

METRICS: Mapping[str, Explained] = {
    "rate_rmse": Explained("mean rates", "difference of each neuron's mean rate (root mean square)", "Hz", NEURONS),
    "fano_rmse": Explained(
        "Fano factors", "difference of each neuron's variance over mean of spike counts in 100 ms", "", NEURONS
    ),
    "isi_mean_rmse": Explained(
        "mean interval", "difference of each neuron's mean interval between spikes (ISI)", "s", NEURONS
    ),
    "isi_std_rmse": Explained(
        "spread of intervals", "difference of each neuron's standard deviation of intervals", "s", NEURONS
    ),
    "isi_cv_rmse": Explained(
        "irregularity", "difference of each neuron's sd over mean of intervals (coefficient of variation)", "", NEURONS
    ),
    "isi_w1": Explained(
        "law of intervals", "distance between interval distributions (Wasserstein-1), mean over neurons", "s", NEURONS
    ),
    "corr_rmse": Explained(
        "correlations", "difference of all pairwise count correlations (root mean square)", "", PAIRS
    ),
    "corr_slope": Explained(
        "strength of correlations",
        "generated correlations regressed on real ones; too weak is below the floor",
        "",
        PAIRS,
    ),
    "corr_r": Explained("pattern of correlations", "Pearson r between generated and real correlations", "", PAIRS),
    "noise_corr_rmse": Explained(
        "noise correlations", "the same around the mean of each condition, counts in 100 ms", "", PAIRS
    ),
    "noise_corr_slope": Explained(
        "strength of noise correlations", "generated noise correlations regressed on real ones", "", PAIRS
    ),
    "count_js": Explained(
        "law of population counts", "distance between the laws of spikes per bin (Jensen-Shannon)", "nats", POPULATION
    ),
    "count_kl": Explained(
        "missing population counts",
        "real counts that the generator makes too rarely (KL divergence)",
        "nats",
        POPULATION,
    ),
    "count_w1": Explained(
        "size of population counts",
        "spikes to move to turn one law into the other (Wasserstein-1)",
        "spikes/bin",
        POPULATION,
    ),
    "dim_logratio": Explained(
        "dimension", "log ratio of the effective number of dimensions of smoothed activity", "", POPULATION
    ),
    "acf_rmse": Explained(
        "autocorrelation", "difference of each neuron's autocorrelation at 1 to 10 bins (root mean square)", "", TIME
    ),
    "psd_db": Explained("power spectrum", "difference of the spectra of the population count", "dB", TIME),
    "psth_err": Explained(
        "average responses", "share of the variance of condition averages (PSTH) that is missed", "", TIME
    ),
    "c2st_auc": Explained(
        "classifier test", "how well a classifier tells generated from real trials; 0.5 is not at all", "", OVERALL
    ),
    "kl_div_psc": Explained("population counts", "KL divergence of smoothed count laws", "nats", PUBLISHED),
    "rmse_corr": Explained("correlations", "difference of pairwise correlations, zeros counted", "", PUBLISHED),
    "rmse_mean_isi": Explained("mean interval", "difference of each neuron's mean interval", "s", PUBLISHED),
    "rmse_std_isi": Explained("spread of intervals", "difference of each neuron's sd of intervals", "s", PUBLISHED),
}

TERMS: Mapping[str, str] = {
    "bits": "Bits per spike are counted from Poisson neurons of constant rate; each rate was inferred without the "
    "count that it explains.",
    "dispersion": "Dispersion ν is 1 for Poisson counts; above, they scatter less.",
    "r2": "R² is 1 where all of the variance is decoded; below 0, the mean would have been a better guess.",
    "spread_ratio": "The spread ratio is the mean distance between two draws for the same hidden part of a trial over "
    "that of a draw from the recording: below 1 the generator is too sure of one answer, above 1 it scatters too "
    "widely.",
    "increment_ratio": "The increment ratio is the standard deviation of the steps from bin to bin of generated "
    "latents over that of recorded ones: above 1 they jitter, below 1 they are too smooth.",
    "decoder": "A decoder learned on the real training trials reads it back from the spikes.",
}
"""Words of the figures' captions."""

READINGS: tuple[tuple[str, str], ...] = (
    ("at the floor", "floor"),
    ("close to the floor", "close"),
    ("nearer floor than control", "near"),
    ("nearer control than floor", "far"),
    ("no better than constant-rate Poisson", "none"),
    ("too strong", "far"),
    ("better than real data", "alarm"),
)
"""How a comparison reads a metric, and the level under which the page draws it."""

LEVELS: Mapping[str, str] = {
    "floor": "at the floor",
    "close": "close",
    "near": "nearer real",
    "far": "nearer Poisson, or too strong",
    "none": "no better than Poisson",
    "alarm": "suspiciously good",
    "blank": "not usable",
}
"""Levels from good to bad, in the words of the legend."""


def explained(key: str, row: Mapping[str, Any]) -> Explained:
    """A metric in plain words; one that the glossary does not know keeps its own name and unit."""
    return METRICS.get(key) or Explained(key, "", str(row.get("unit") or ""), "Other")


def reading(row: Mapping[str, Any]) -> tuple[str, str]:
    """How a metric of a comparison is to be read: its level and the words.

    Args:
        row: One of the ``metrics`` of a comparison's dictionary. Its own ``reading`` is used where there is one;
            without, the score and the scatter of the floor decide.

    Example:
        >>> reading({"value": 0.2, "floor": 0.1, "floor_sd": 0.01, "control": 0.4, "score": 0.33})
        ('near', 'nearer floor than control')
    """
    value, score = number(row.get("value")), number(row.get("score"))
    words = str(row.get("reading") or "")
    for known, level in READINGS:
        if words.startswith(known):
            return level, words
    if value is None or score is None:
        return "blank", words or str(row.get("note") or "n/a")
    floor, scatter, se = (number(row.get(name)) or 0.0 for name in ("floor", "floor_sd", "se"))
    if abs(value - floor) <= max(3 * scatter, 1.96 * se):
        return "floor", "at the floor"
    steps = ((0.1, 1), (0.5, 2), (0.9, 3))
    words, level = READINGS[next((place for limit, place in steps if abs(score) < limit), 4)]
    return level, words


def number(value: Any) -> float | None:
    """A finite number, or None for what is missing or infinite."""
    try:
        value = float(value)
    except (TypeError, ValueError):
        return None
    return value if abs(value) < float("inf") else None


def digits(value: Any) -> str:
    """Three significant digits without exponents where possible; n/a for nothing.

    Example:
        >>> digits(0.00012345), digits(1234.5), digits(None), digits("inf")
        ('0.000123', '1234', 'n/a', 'infinite')
    """
    finite = number(value)
    if finite is None:
        return "infinite" if str(value) in ("inf", "-inf") else "n/a"
    if finite == 0 or abs(finite) >= 1e5 or abs(finite) < 1e-5:
        return f"{finite:.3g}".replace("-", "−")
    decimals = max(0, 2 - math.floor(math.log10(abs(finite))))
    return f"{finite:.{decimals}f}".replace("-", "−")


def with_error(value: Any, error: Any) -> tuple[str, str]:
    """A value and its error, with as many decimals as the error makes sensible; no error text where there is none.

    Example:
        >>> with_error(0.23612, 0.1084), with_error(0.98513, 0.00314), with_error(3.0, None)
        (('0.24', '0.11'), ('0.9851', '0.0031'), ('3.00', ''))
    """
    finite, spread = number(value), number(error)
    if finite is None or spread is None or not 1e-6 < spread < 1e4:
        return digits(value), ""
    decimals = min(max(0, 1 - math.floor(math.log10(spread))), 6)
    return f"{finite:.{decimals}f}".replace("-", "−"), f"{spread:.{decimals}f}"


def scaled_unit(unit: str, values: list[Any], bin_s: float) -> tuple[str, float]:
    """Unit for a row of the table and the factor to it: bins where a bin has no width, ms for short times."""
    if bin_s == 1.0:
        return {"s": "bins", "Hz": "spikes/bin"}.get(unit, unit), 1.0
    finite = [abs(v) for v in map(number, values) if v is not None]
    if unit == "s" and finite and max(finite) < 1:
        return "ms", 1e3
    return unit, 1.0


def scaled(value: Any, factor: float) -> Any:
    """A number times a factor; what is no number stays."""
    finite = number(value)
    return value if finite is None else finite * factor
