"""Several generators beside each other: compared with the same held-out trials, with errors of their differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import ConfigError, DataError
from spikeloom.evaluation.classifier_tests import RICH, Classifier
from spikeloom.evaluation.compare import compare
from spikeloom.evaluation.reference import Progress, part
from spikeloom.evaluation.results import Comparison, plain, short
from spikeloom.evaluation.verdict import ALPHA, Level, Scale, holm, scale_of


@dataclass(frozen=True)
class Difference:
    """Two generators in one metric.

    Attributes:
        metric: Name of the metric.
        first: Name of one generator.
        second: Name of the other.
        value: How much farther from the floor the first is than the second, in the unit of the metric; squares for
            root-mean-square metrics.
        se: Its standard error, from the same bootstrap samples of the held-out trials for both.
        p: Two-sided probability of such a difference without one, for this pair and metric alone.
        significant: Whether there is a difference, at 5 % for all metrics and pairs of the table together (Holm).
    """

    metric: str
    first: str
    second: str
    value: float
    se: float
    p: float
    significant: bool

    @property
    def better(self) -> str:
        """Name of the generator that is nearer to the floor; empty where there is no difference."""
        if not self.significant:
            return ""
        return self.first if self.value < 0 else self.second


@dataclass(frozen=True, repr=False)
class SideBySide:
    """Several generators compared with the same held-out trials.

    Attributes:
        comparisons: The comparison of each, by its name.
        differences: Of every two of them, in every metric that both have.
    """

    comparisons: Mapping[str, Comparison]
    differences: Sequence[Difference]

    def wins(self, name: str) -> list[Difference]:
        """The differences in which a generator is nearer to the floor than another."""
        return [d for d in self.differences if d.better == name]

    @property
    def verdict(self) -> str:
        """The headline of each, and in how many metrics one is ahead of another."""
        lines = [f"{name}: {c.headline} {c.memorisation.sentence()}" for name, c in self.comparisons.items()]
        for first, second in combinations(self.comparisons, 2):
            of = [d for d in self.differences if (d.first, d.second) == (first, second)]
            ahead = {name: sum(d.better == name for d in of) for name in (first, second)}
            lines.append(
                f"{first} is nearer to real trials than {second} in {ahead[first]} of {len(of)} metrics, farther in "
                f"{ahead[second]}; the others cannot be told apart."
            )
        return "\n".join(lines)

    def table(self) -> str:
        """A row for each metric: floor, and the score and level of each generator."""
        head = ["metric", "floor", *self.comparisons]
        first = next(iter(self.comparisons.values()))
        rows = [head]
        for name, row in first.metrics.items():
            cells = [f"{name} {row.unit}".rstrip(), short(row.floor)]
            for comparison in self.comparisons.values():
                r = comparison.metrics[name]
                cells.append(f"{short(r.value)} {r.level.text}" if np.isfinite(r.value) else r.level.text)
            rows.append(cells)
        widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
        lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths)).rstrip() for row in rows]
        lines.insert(1, "-" * max(map(len, lines)))
        return "\n".join(lines)

    def __repr__(self) -> str:
        return self.verdict

    def to_frame(self) -> pd.DataFrame:
        """A row for each generator and metric, see ``Comparison.to_frame``."""
        return pd.concat({name: c.to_frame() for name, c in self.comparisons.items()}, names=["generator"])

    def to_dict(self) -> dict[str, Any]:
        """Plain values that strict JSON can hold."""
        return {
            "comparisons": {name: c.to_dict() for name, c in self.comparisons.items()},
            "differences": plain([{**vars(d), "better": d.better} for d in self.differences]),
            "verdict": self.verdict,
        }


def compare_side_by_side(
    real: SpikeData,
    generated: Mapping[str, SpikeData],
    *,
    seed: int = 0,
    aligned: bool | None = None,
    classifiers: Sequence[Classifier] = (RICH,),
    progress: Progress | None = None,
    **options: Any,
) -> SideBySide:
    """Compare several sets of generated trials with the same held-out trials.

    All are compared with as many trials as the smallest set allows, and with the same bootstrap samples of the held-out
    trials, so that the differences between generators have errors of their own, usually smaller than those of each.

    Args:
        real: Recording with the splits "train" and "test".
        generated: Samples of each generator, by its name.
        seed: Seed of every draw.
        aligned: Whether a bin is the same time in every trial, see ``compare``.
        classifiers: Classifier tests.
        progress: Called with the number of steps done and to do.
        options: Further arguments of ``compare``.

    Raises:
        ConfigError: If there are fewer than two sets.
        DataError: If one of them cannot be compared with the recording.
    """
    if len(generated) < 2:
        raise ConfigError(f"there are {len(generated)} sets of generated trials, but side by side stand at least two.")
    comparisons: dict[str, Comparison] = {}
    earlier = None
    order = sorted(generated, key=lambda name: generated[name].n_trials)  # the smallest set decides on the trials
    for place, name in enumerate(order):
        try:
            comparisons[name] = compare(
                real,
                generated[name],
                seed=seed,
                aligned=aligned,
                classifiers=classifiers,
                earlier=earlier,
                methods=[samples for other, samples in generated.items() if other != name],
                progress=part(progress, place, len(generated)),
                **options,
            )
        except DataError as error:
            raise DataError(f"{name}: {error}") from error
        earlier = earlier or comparisons[name]
    comparisons = {name: comparisons[name] for name in generated}
    return SideBySide(comparisons, differences(comparisons))


def differences(comparisons: Mapping[str, Comparison]) -> list[Difference]:
    """How much every two generators differ in every metric, with paired errors.

    Args:
        comparisons: Made with the same real trials, seed and floor, by the name of the generator.
    """
    found = []
    for first, second in combinations(comparisons, 2):
        a, b = comparisons[first], comparisons[second]
        for name in a.metrics:
            difference = _difference(name, a, b)
            if difference is not None:
                found.append((name, first, second, *difference))
    significant = holm([row[-1] for row in found]) < ALPHA
    return [Difference(*row, significant=bool(s)) for row, s in zip(found, significant)]


def _difference(name: str, a: Comparison, b: Comparison) -> tuple[float, float, float] | None:
    """Difference of the distances from the floor, its standard error and its probability."""
    rows = a.metrics[name], b.metrics[name]
    if any(row.level is Level.NOT_DEFINED for row in rows):
        return None
    metric = rows[0].metric
    if metric.standard_error is not None or name not in a.measured.replicates:
        value = max(rows[0].value, 0.5) - max(rows[1].value, 0.5)  # below one half an AUC says nothing
        se = float(np.hypot(rows[0].se, rows[1].se))
        df: int | float = np.inf
    else:
        scale = scale_of(metric.better, metric.rms, auc=False)
        floor = rows[0].floor
        value = float(_distance(scale, rows[0].value, floor) - _distance(scale, rows[1].value, floor))
        replicates = [_distance(scale, c.measured.replicates[name], floor) for c in (a, b)]
        spread = replicates[0] - replicates[1]
        spread = spread[np.isfinite(spread)]
        if len(spread) < 2:
            return None
        se, df = float(spread.std(ddof=1)), min(a.measured.df, b.measured.df)
    p = float(2 * stats.t.sf(abs(value) / se, df)) if se > 0 else float(value == 0)
    return value, se, p


def _distance(scale: Scale, value: Any, floor: float) -> Any:
    """Distance from the floor in the bad direction, on a scale on which differences are additive."""
    if scale is Scale.SQUARES:
        return value**2
    if scale is Scale.ONE:
        return abs(value - floor)
    return -value if scale is Scale.HIGH else value
