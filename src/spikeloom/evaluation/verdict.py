"""The decision rule: what may be said of a metric, from its value, floor and yardstick and the errors of all three.

Three questions, never one number: is there a difference, how large is it on the scale of a known fault, and could one
have been seen? Every threshold of the protocol is a constant of this file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import stats

ALPHA = 0.05
"""Probability of calling a difference in any row of a table in which there is none (Holm over the rows)."""

CONFIDENCE = 0.95
"""Coverage of the interval of a score."""

TOLERANCE = 0.25
"""Score up to which a metric matches, where the metric has no tolerance of its own: that of a quarter of a fault."""
OF_AUC = 0.2
"""Tolerance of classifiers: an AUC of 0.6, which is what strong ones make of a quarter of any fault."""

CLOSE_BELOW = 0.5
"""Share of the yardstick's fault below which a difference is called close."""

MIN_TRIALS = 10
"""With fewer trials on a side there are values but no verdict."""

NAN = float("nan")


class Level(StrEnum):
    """Level of a metric."""

    NOT_DEFINED = "not_defined"
    TOO_GOOD = "too_good"
    NO_BETTER = "no_better"
    MATCHES = "matches"
    CLOSE = "close"
    DIFFERS = "differs"
    CANNOT_TELL = "cannot_tell"

    @property
    def text(self) -> str:
        """The level in a few words."""
        return self.value.replace("_", " ")


OFF = (Level.NO_BETTER, Level.DIFFERS, Level.CLOSE)
"""Levels of rows with a difference, or with nothing better than the yardstick."""


class Scale(StrEnum):
    """How harm, the distance from the floor in the bad direction, and score are measured."""

    LOW = "low"
    HIGH = "high"
    ONE = "one"
    SQUARES = "squares"
    AUC = "auc"


@dataclass(frozen=True)
class Replicates:
    """Bootstrap values of a metric: the same resampling of held-out trials in each column.

    Attributes:
        value: Of the generated trials.
        floor: Of real against real.
        yardstick: Of the named corruption.
    """

    value: Float[np.ndarray, "replicate"]
    floor: Float[np.ndarray, "replicate"]
    yardstick: Float[np.ndarray, "replicate"]


@dataclass(frozen=True)
class Evidence:
    """A metric's value, floor and yardstick with their joint error, from which its level follows.

    Attributes:
        scale: How harm is measured.
        value: Of the generated trials.
        floor: Mean of real against real; one half for an AUC.
        yardstick: Value of the corruption that the metric exists to notice.
        harm: Distance of the value from the floor, positive where the generated trials are worse.
        harm_se: Its standard error.
        score: Harm on the scale of the yardstick, in squares for root-mean-square metrics, its magnitude where one is
            right; NaN without a yardstick.
        low: Lower end of the 95 % interval of the score.
        high: Upper end.
        p: Probability of such a harm without a difference.
        p_better: Probability of a value so much better than the floor.
        df: Degrees of freedom of the errors.
        yardstick_harm: Harm of the yardstick.
        beyond_floor: Whether the value is better than every draw of the floor.
    """

    scale: Scale
    value: float
    floor: float
    yardstick: float
    harm: float
    harm_se: float
    score: float
    low: float
    high: float
    p: float
    p_better: float
    df: int | float
    yardstick_harm: float
    beyond_floor: bool

    def resolution(self, alpha: float) -> float:
        """The smallest score that would be called a difference at a level of significance; NaN without a yardstick."""
        if not (np.isfinite(self.score) and self.harm_se > 0):
            return NAN
        sides = 2 if self.scale is Scale.ONE else 1
        seen = stats.t.isf(alpha / sides, self.df) * self.harm_se
        if self.scale is Scale.SQUARES:
            return float(np.sqrt(((self.floor + seen) ** 2 - self.floor**2) / _squares(self.yardstick, self.floor)))
        return float(seen / abs(self.yardstick_harm))


def weigh(
    scale: Scale,
    value: float,
    floor: Float[np.ndarray, "draw"],
    yardstick: float,
    replicates: Replicates,
    df: int | float,
) -> Evidence:
    """Measure a value on the scale from floor to yardstick, with a 95 % interval.

    The interval has the width of the paired bootstrap around the value that was not resampled, as resampled values are
    biased upwards; for the ratio it is Fieller's (1954). Noise adds in squares, so root-mean-square metrics are scored
    by sqrt(v^2 - F^2) / sqrt(y^2 - F^2): a plain ratio shrinks as trials get fewer.

    Args:
        scale: How harm is measured.
        value: Of the generated trials.
        floor: Draws of real against real; their mean is the floor.
        yardstick: Of the corruption; NaN where there is none.
        replicates: Their bootstrap values.
        df: Degrees of freedom: number of resampled blocks minus one.
    """
    sign = -1.0 if scale is Scale.HIGH else 1.0
    draws = floor[~np.isnan(floor)]
    base = float(draws.mean()) if len(draws) else NAN
    difference = sign * (value - base)
    se = _sd(replicates.value - replicates.floor)
    p, p_better = NAN, NAN
    if se > 0:
        z = difference / se
        p = float(2 * stats.t.sf(abs(z), df) if scale is Scale.ONE else stats.t.sf(z, df))
        p_better = NAN if scale is Scale.ONE else float(stats.t.cdf(z, df))
    squared = scale is Scale.SQUARES

    def above_floor(x, zero):
        return x**2 - zero**2 if squared else sign * (x - zero)

    top, bottom = above_floor(value, base), above_floor(yardstick, base)
    pairs = np.array(
        [above_floor(replicates.value, replicates.floor), above_floor(replicates.yardstick, replicates.floor)]
    )
    pairs = pairs[:, np.isfinite(pairs).all(axis=0)]
    # Values that no resampling moves have no error, and a score without an error says nothing.
    known = se > 0 and _enough(pairs[0], replicates.value)
    spread = np.cov(pairs) if known else np.full((2, 2), NAN)
    interval = fieller(top, bottom, spread, float(stats.t.ppf((1 + CONFIDENCE) / 2, df)), signed=scale is Scale.ONE)
    score = low = high = NAN
    if interval is not None:
        ratio, low, high = top / bottom, *interval
        if squared:
            score, low, high = (float(np.sqrt(max(x, 0.0))) for x in (ratio, low, high))
        elif scale is Scale.ONE:
            score, low, high = abs(ratio), *_magnitudes(low, high)
        else:
            score = ratio
    beyond = bool(len(draws) and (sign * value < sign * draws).all())
    return Evidence(
        scale,
        value,
        base,
        yardstick,
        difference,
        se,
        score,
        low,
        high,
        p,
        p_better,
        df,
        sign * (yardstick - base),
        beyond,
    )


def weigh_auc(auc: float, se: float, yardstick: float, yardstick_se: float) -> Evidence:
    """Measure the AUC of a classifier: its floor is one half and its error DeLong's.

    Args:
        auc: Of generated against real trials.
        se: Its standard error.
        yardstick: AUC of the corruption; NaN where there is none.
        yardstick_se: Its standard error.
    """
    df = np.inf
    z = (auc - 0.5) / se if se > 0 else (np.inf if auc > 0.5 else -np.inf)
    p = float(stats.norm.sf(z)) if np.isfinite(auc) else NAN
    top, bottom = auc - 0.5, yardstick - 0.5
    critical = float(stats.norm.ppf((1 + CONFIDENCE) / 2))
    interval = fieller(top, bottom, np.diag([se**2, yardstick_se**2]), critical)
    score = low = high = NAN
    if interval is not None:
        score, low, high = (max(x, 0.0) for x in (top / bottom, *interval))
    return Evidence(Scale.AUC, auc, 0.5, yardstick, max(top, 0.0), se, score, low, high, p, NAN, df, bottom, False)


def fieller(
    top: float, bottom: float, covariance: Float[np.ndarray, "2 2"], critical: float, signed: bool = False
) -> tuple[float, float] | None:
    """Confidence interval of a ratio of two estimates (Fieller 1954).

    Args:
        top: Numerator.
        bottom: Denominator.
        covariance: Of the two.
        critical: Quantile of the two-sided interval.
        signed: Whether a denominator may be negative.

    Returns:
        The ends; None where the denominator cannot be told from zero, or is negative.

    Example:
        >>> [round(x, 3) for x in fieller(1.0, 2.0, np.diag([0.01, 0.0]), 1.96)]
        [0.402, 0.598]
        >>> fieller(1.0, 0.1, np.diag([0.01, 0.01]), 1.96) is None
        True
    """
    if not np.isfinite([top, bottom, *np.ravel(covariance)]).all() or (bottom <= 0 and not signed):
        return None
    a = bottom**2 - critical**2 * covariance[1, 1]
    if a <= 0:
        return None
    b = top * bottom - critical**2 * covariance[0, 1]
    c = top**2 - critical**2 * covariance[0, 0]
    root = np.sqrt(max(b**2 - a * c, 0.0))
    return float((b - root) / a), float((b + root) / a)


def holm(p: Sequence[float]) -> Float[np.ndarray, "row"]:
    """Holm's (1979) adjusted probabilities: rows below 0.05 hold together at 5 % for the whole table; NaN stays NaN.

    Example:
        >>> holm([0.01, 0.04, float("nan")]).tolist()
        [0.02, 0.04, nan]
    """
    values = np.asarray(p, dtype=float)
    out = np.full(len(values), NAN)
    known = np.flatnonzero(~np.isnan(values))
    order = known[np.argsort(values[known], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    out[order] = np.minimum(np.maximum.accumulate(values[order] * factors), 1.0)
    return out


class Judgement(NamedTuple):
    """The level of one metric.

    Attributes:
        level: The level.
        resolution: The smallest score that would have been called a difference at this number of trials.
        factor: How many times as many trials would settle a row that cannot be told; NaN elsewhere or where unknown.
    """

    level: Level
    resolution: float
    factor: float


def judge(rows: Sequence[Evidence], tolerances: Sequence[float]) -> list[Judgement]:
    """The level of every row of a table, by the first rule that applies (see ``Level``).

    Args:
        rows: Evidence of the metrics of the table that are defined.
        tolerances: The largest upper end of a score's interval at which a metric matches, for each row.
    """
    different = holm([row.p for row in rows]) < ALPHA
    # Better than real data is looked for in every row as well, and as strictly. A root mean square of few terms comes
    # near to zero by chance, with an error that is as small: it must be better than every draw of the floor, too.
    better = (holm([row.p_better for row in rows]) < ALPHA) & np.array([row.beyond_floor for row in rows], dtype=bool)
    tested = max(sum(np.isfinite(row.p) for row in rows), 1)
    return [
        Judgement(
            level := _level(row, bool(d), bool(b), tolerance),
            row.resolution(ALPHA / tested),
            _factor(row, tolerance, ALPHA / tested) if level is Level.CANNOT_TELL else NAN,
        )
        for row, d, b, tolerance in zip(rows, different, better, tolerances, strict=True)
    ]


def _level(row: Evidence, different: bool, better: bool, tolerance: float) -> Level:
    if better:
        return Level.TOO_GOOD
    if row.low >= 1:
        return Level.NO_BETTER
    if row.high <= tolerance:
        return Level.MATCHES
    if different:
        return Level.CLOSE if row.high <= CLOSE_BELOW else Level.DIFFERS
    return Level.CANNOT_TELL


def _factor(row: Evidence, tolerance: float, alpha: float) -> float:
    """How many times as many trials would settle a row, if its score is right.

    Errors of sums shrink with the root of the number of trials, and so does the noise whose square a root-mean-square
    metric holds: the squared width of an interval is inversely proportional to the number of trials in both cases.
    """
    if not np.isfinite(row.high):
        return NAN
    power = 2 if row.scale is Scale.SQUARES else 1
    score, high, limit = row.score**power, row.high**power, tolerance**power
    if score < limit:  # until the interval ends below the tolerance
        return max(((high - score) / (limit - score)) ** (2 / power), 1.0)
    return max((row.resolution(alpha) / row.score) ** 2, 1.0)  # until the difference is seen


def _magnitudes(low: float, high: float) -> tuple[float, float]:
    """Smallest and largest magnitude in an interval of signed scores."""
    return (0.0 if low <= 0 <= high else min(abs(low), abs(high))), max(abs(low), abs(high))


def _squares(yardstick: float, floor: float) -> float:
    return yardstick**2 - floor**2


def _sd(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.std(ddof=1)) if _enough(finite, values) else NAN


def _enough(left: np.ndarray, replicates: np.ndarray) -> bool:
    """Whether so many replicates have a value that their spread means something."""
    return len(left) > max(1, len(replicates) // 2)


ScaleName = Literal["low", "high", "one"]


def scale_of(better: ScaleName, rms: bool, auc: bool) -> Scale:
    """The scale on which a metric is measured."""
    if auc:
        return Scale.AUC
    return Scale.SQUARES if rms else Scale(better)
