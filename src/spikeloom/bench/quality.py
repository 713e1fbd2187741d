"""How real generated trials are: the scores of both protocols, as benchmarks keep them and show them in tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from spikeloom.bench.tables import number
from spikeloom.evaluation.classifier_tests import RICH
from spikeloom.evaluation.metric import Metric
from spikeloom.evaluation.metrics import HELDOUT_METRICS
from spikeloom.evaluation.published import CAUTION, LDNS_METRICS
from spikeloom.evaluation.results import Comparison, MetricResult
from spikeloom.evaluation.verdict import Level

Protocol = Literal["heldout", "ldns"]
PROTOCOLS: tuple[Protocol, ...] = ("heldout", "ldns")
METRICS: Mapping[Protocol, Sequence[Metric]] = {"heldout": (*HELDOUT_METRICS, RICH.metric), "ldns": LDNS_METRICS}
UNITS = {m.name: m.unit for metrics in METRICS.values() for m in metrics}


@dataclass(frozen=True)
class Score:
    """A metric of one set of trials.

    Attributes:
        value: In the metric's unit.
        se: Standard error of the value; of the floor, the standard deviation of its draws.
        level: What may be said; "not_defined" for the floor and for the published protocol, which has no verdict.
        score: Size of the difference from real trials: 0 at the floor, 1 at the metric's yardstick; NaN where these
            cannot be separated.
        score_low: Lower end of its 95 % interval.
        score_high: Upper end.
        replicates: Values with resampled held-out trials, the same resamplings for all subjects of a benchmark; empty
            where the metric has an error of its own.
    """

    value: float
    se: float
    level: Level
    score: float = float("nan")
    score_low: float = float("nan")
    score_high: float = float("nan")
    replicates: tuple[float, ...] = ()

    @classmethod
    def of(cls, result: MetricResult, replicates: Sequence[float] = ()) -> Score:
        """A row of a comparison; scores of differences that have two directions lose theirs."""
        score = abs(result.score) if result.metric.better == "one" else result.score
        numbers = (float(x) for x in (score, result.score_low, result.score_high))
        kept = tuple(float(format(x, ".4g")) for x in replicates)  # a record holds thousands of them
        return cls(float(result.value), float(result.se), result.level, *numbers, replicates=kept)

    def __str__(self) -> str:
        return number(self.value, self.se)


@dataclass(frozen=True)
class Quality:
    """How real a set of trials is, by both protocols.

    Attributes:
        heldout: Scores against held-out trials.
        ldns: Scores of the published protocol, against training trials.
        spectrum_ratio: Power of the latents over that of the training latents in the low, middle and high third of
            frequencies; empty where there are no latents.
        warnings: Warnings of the comparisons.
    """

    heldout: Mapping[str, Score]
    ldns: Mapping[str, Score]
    spectrum_ratio: tuple[float, ...] = ()
    warnings: tuple[str, ...] = ()

    @staticmethod
    def of(heldout: Comparison, ldns: Comparison, spectrum_ratio: Sequence[float] = ()) -> Quality:
        """Scores of two comparisons of the same trials."""
        warnings = dict.fromkeys(w for w in (*heldout.warnings, *ldns.warnings) if w != CAUTION)
        if heldout.memorisation.alarm:
            warnings[heldout.memorisation.sentence()] = None

        def scores(comparison: Comparison) -> dict[str, Score]:
            kept = comparison.measured.replicates if comparison.measured is not None else {}
            replicates = {name: values.tolist() for name, values in kept.items()}
            return {name: Score.of(row, replicates.get(name, ())) for name, row in comparison.metrics.items()}

        return Quality(scores(heldout), scores(ldns), tuple(map(float, spectrum_ratio)), tuple(warnings))

    @staticmethod
    def floor(heldout: Comparison, ldns: Comparison) -> Quality:
        """Real against real, as the two comparisons drew it."""

        def scores(comparison: Comparison) -> dict[str, Score]:
            return {k: Score(r.floor, r.floor_sd, Level.NOT_DEFINED) for k, r in comparison.metrics.items()}

        return Quality(scores(heldout), scores(ldns))

    def score(self, protocol: Protocol, key: str) -> Score | None:
        """A metric of a protocol; None where it does not exist."""
        score = (self.heldout if protocol == "heldout" else self.ldns).get(key)
        return None if score is None or np.isnan(score.value) else score

    @property
    def farthest_ratio(self) -> float:
        """The spectrum ratio farthest from 1, as a factor; NaN where there is none."""
        ratios = [r for r in self.spectrum_ratio if r > 0]
        return max(ratios, key=lambda r: abs(np.log(r)), default=float("nan"))


def marked(text: str, levels: Sequence[Level]) -> str:
    """A value as tables show it: bold where it matches real trials, with a question mark where it cannot be told.

    Args:
        text: The value.
        levels: Its level, or that of each seed: it is bold only if it matches with all of them.

    Example:
        >>> marked("0.2", [Level.MATCHES, Level.MATCHES]), marked("0.2", [Level.MATCHES, Level.CANNOT_TELL])
        ('**0.2**', '0.2 ?')
        >>> marked("0.2", [Level.MATCHES, Level.DIFFERS]), marked("0.2", [Level.TOO_GOOD])
        ('0.2', '0.2 (too good)')
    """
    found = set(levels)
    if found == {Level.MATCHES}:
        return f"**{text}**"
    if Level.TOO_GOOD in found:
        return f"{text} ({Level.TOO_GOOD.text})"
    return f"{text} ?" if Level.CANNOT_TELL in found and found <= {Level.MATCHES, Level.CANNOT_TELL} else text


MARKS = (
    "Values in **bold** match real trials, with every seed: whatever difference there is, it is smaller than the "
    "tolerance. A `?` means that there are too few trials to tell, *too good* that held-out trials are among the "
    "samples or that there is a bug; all others differ from real trials, with some seed at least."
)
"""How tables are read."""


def measured_metrics(
    rows: Iterable[Quality], protocol: Protocol, keys: Sequence[str] = (), others: bool = False
) -> list[Metric]:
    """Metrics of a protocol that exist in any row, in the order of the tables.

    Args:
        rows: Qualities of the rows of a table.
        protocol: The protocol.
        keys: Metrics that may be in the table; all when empty.
        others: Take all metrics but these.
    """
    rows = list(rows)
    wanted = [m for m in METRICS[protocol] if not keys or (m.name in keys) != others]
    return [m for m in wanted if any(row.score(protocol, m.name) is not None for row in rows)]


def metric_title(metric: Metric) -> str:
    """Name and unit of a metric."""
    return f"{metric.name} ({metric.unit})" if metric.unit else metric.name
