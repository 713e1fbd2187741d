"""A metric: one number that compares generated with real trials, with its computation, unit and explanation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from spikeloom.evaluation.verdict import TOLERANCE

NAN = float("nan")

NEURONS = "Single neurons"
PAIRS = "Pairs of neurons"
POPULATION = "Whole population"
TIME = "Time courses"
OVERALL = "Everything at once"
OTHER = "Other"


class Requirement(NamedTuple):
    """Something that two sets of trials must have for a metric to exist.

    Attributes:
        reason: Why the metric has no value where the requirement is not met.
        met: Whether the sets meet it; None where only the computation shows it, by a value of NaN.
    """

    reason: str
    met: Callable[[Any], bool] | None = None


ENOUGH_DATA = Requirement("nothing to compare: too few bins, trials or spikes")


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A number that compares generated with real trials, with its computation, unit and explanation.

    Attributes:
        name: Key in tables and files.
        unit: Physical unit, empty for pure numbers.
        better: Whether a smaller value, a larger one, or one close to 1 is better.
        compute: The value for two sets of trials; NaN where it does not exist. The sets are a ``ComparedSets``, or
            the ``PublishedSets`` of the protocol of LDNS.
        size: Number of neurons, pairs or trials behind the value.
        reference: The real trials that generated ones are compared with: "test" or "train".
        yardstick: Name of the corruption of real trials that the metric exists to notice; its value is what a full
            loss of that property would have looked like.
        tolerance: Score up to which a generator counts as matching: that of a quarter of the yardstick's full dose,
            at which a strong classifier finds every fault equally well (AUC 0.6; see ``docs/verdict.md``).
        needs: Requirements on the sets, the most specific first.
        label: Name in a report.
        explanation: One line: what is compared, and how.
        group: Heading under which it stands in a report.
        rms: Whether it is a root mean square, so that noise adds in squares.
        best: Value of a perfect generator, where values beyond it mean the same (an AUC below one half).
        resampled: What the bootstrap resamples for the standard error: "sums" over trials, or whole "distributions",
            which is slower and done less often.
        standard_error: The standard error of an AUC, from the sets, which is not resampled.
        in_words: The difference as a physiologist would say it, signed and with its size; see ``in_words.py``.
    """

    name: str
    unit: str = ""
    better: Literal["low", "high", "one"] = "low"
    compute: Callable[[Any], float]
    size: Callable[[Any], int]
    reference: Literal["test", "train"] = "test"
    yardstick: str = "homogeneous"
    tolerance: float = TOLERANCE
    needs: tuple[Requirement, ...] = (ENOUGH_DATA,)
    label: str
    explanation: str
    group: str = OTHER
    rms: bool = False
    best: float | None = None
    resampled: Literal["sums", "distributions"] = "sums"
    standard_error: Callable[[Any], float] | None = None
    in_words: Callable[[Any], str] | None = None

    def value(self, sets: Any) -> float:
        """The value for two sets of trials; NaN where a requirement is not met."""
        if any(need.met is not None and not need.met(sets) for need in self.needs):
            return NAN
        with np.errstate(invalid="ignore", divide="ignore"):
            return float(self.compute(sets))

    def missing(self, sets: Any) -> str:
        """Why two sets have no value: the first requirement that they do not meet."""
        unmet = (need for need in self.needs if need.met is None or not need.met(sets))
        return next(unmet, ENOUGH_DATA).reason
