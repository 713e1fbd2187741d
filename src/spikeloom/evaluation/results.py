"""Results of a comparison: one record for the terminal, for JSON and for the report."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from spikeloom.errors import DataError
from spikeloom.evaluation.classifier_tests import RICH
from spikeloom.evaluation.headline import counted_levels, headline, rounded
from spikeloom.evaluation.memorisation import Memorisation
from spikeloom.evaluation.metric import NAN, OTHER, Metric
from spikeloom.evaluation.metrics import HELDOUT_METRICS
from spikeloom.evaluation.published import LDNS_METRICS
from spikeloom.evaluation.verdict import OFF, Level
from spikeloom.evaluation.yardsticks import CORRUPTIONS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH = 100
"""Columns of a terminal."""

METRICS: Mapping[str, Metric] = {metric.name: metric for metric in (*HELDOUT_METRICS, RICH.metric, *LDNS_METRICS)}
"""Every metric of both protocols by name."""


@dataclass(frozen=True)
class MetricResult:
    """One row of a comparison.

    Attributes:
        metric: The metric: its name, unit, direction, label and explanation.
        value: Mean over the generated draws; NaN where the metric does not exist.
        se: Standard error of the value from the choice of trials.
        floor: Real against real at the same number of trials, mean over draws; one half for an AUC.
        floor_sd: Standard deviation of those draws.
        yardstick: Value of the corruption that the metric exists to notice.
        yardstick_name: Name of that corruption.
        score: Distance from the floor over that of the yardstick, in squares for root-mean-square metrics; NaN where
            the yardstick cannot be told from the floor.
        score_low: Lower end of its 95 % interval.
        score_high: Upper end.
        resolution: The smallest score that would have been called a difference.
        p: Probability of such a distance without a difference, for this row alone.
        level: What may be said.
        trials_needed: Held-out trials, with as many generated ones, that would settle a row that cannot be told.
        excess: Root of value^2 - floor^2 for root-mean-square metrics: the part that noise does not explain.
        n: Neurons, pairs or trials behind the value.
        baselines: Mean value of every control.
        words: The difference in words.
        note: A remark that a reader needs, for example why there is no value.
    """

    metric: Metric
    value: float
    se: float
    floor: float
    floor_sd: float
    yardstick: float
    yardstick_name: str
    score: float
    score_low: float
    score_high: float
    resolution: float
    p: float
    level: Level
    trials_needed: float
    excess: float
    n: int
    baselines: Mapping[str, float] = field(default_factory=dict)
    words: str = ""
    note: str = ""

    @classmethod
    def undefined(cls, metric: Metric, note: str, **known: Any) -> MetricResult:
        """A row about which nothing may be said, with the reason, and the numbers that are known."""
        numbers = {**dict.fromkeys(NUMBERS, NAN), "n": 0, "yardstick_name": metric.yardstick, **known}
        return cls(metric, level=Level.NOT_DEFINED, note=note, **numbers)

    @property
    def name(self) -> str:
        """Name of the metric."""
        return self.metric.name

    @property
    def unit(self) -> str:
        """Unit of value, floor and yardstick; empty for pure numbers."""
        return self.metric.unit

    @property
    def baseline(self) -> float:
        """The value of independent Poisson neurons of constant rate."""
        return self.baselines.get("homogeneous", NAN)

    @property
    def verdict(self) -> str:
        """The row in a few words."""
        if self.level is Level.NOT_DEFINED:
            return f"n/a: {self.note}" if self.note else "n/a"
        if self.level is Level.CANNOT_TELL and np.isfinite(self.trials_needed):
            return f"{self.level.text}: about {rounded(self.trials_needed)} held-out trials would"
        if self.level in OFF and self.words:
            return f"{self.level.text}: {self.words}"
        return self.level.text

    def to_dict(self) -> dict[str, Any]:
        """Numbers, level and verdict under their names."""
        numbers = {name: getattr(self, name) for name in NUMBERS}
        return {
            "unit": self.unit,
            "better": self.metric.better,
            **numbers,
            "baseline": self.baseline,
            "yardstick": {"name": self.yardstick_name, "value": self.yardstick},
            "tolerance": self.metric.tolerance,
            "n": self.n,
            "baselines": dict(self.baselines),
            "words": self.words,
            "note": self.note,
            "level": self.level.value,
            "verdict": self.verdict,
        }

    @classmethod
    def from_dict(cls, name: str, content: Mapping[str, Any]) -> MetricResult:
        """Inverse of ``to_dict``."""
        metric = METRICS.get(name) or _unknown(name, content)
        yardstick = content["yardstick"]
        numbers = {key: _number(content[key]) for key in NUMBERS if key != "yardstick"}
        return cls(
            metric,
            **numbers,
            yardstick=_number(yardstick["value"]),
            yardstick_name=str(yardstick["name"]),
            level=Level(content["level"]),
            n=int(content["n"]),
            baselines={key: _number(value) for key, value in content["baselines"].items()},
            words=str(content["words"]),
            note=str(content["note"]),
        )

    def __reduce__(self) -> tuple[Any, ...]:
        # Computations of metrics are plain functions without a name, which cannot be pickled.
        return MetricResult.from_dict, (self.name, self.to_dict())


NUMBERS = (
    "value",
    "se",
    "floor",
    "floor_sd",
    "yardstick",
    "score",
    "score_low",
    "score_high",
    "resolution",
    "p",
    "trials_needed",
    "excess",
)


@dataclass(frozen=True, repr=False)
class Comparison:
    """How real generated spike data are.

    Attributes:
        protocol: "heldout" or "ldns".
        n_real: Number of real trials on the one side of every metric.
        n_generated: Number of generated trials handed in.
        metrics: Results by name of the metric, in the order of the table.
        memorisation: Verdict on copying.
        warnings: Cautions to read before quoting a number.
        details: Sizes, splits, seed, version, excluded neurons.
        reference: Floor, yardsticks and controls, which another comparison with the same real trials may take over; not
            part of the record that is written.
        measured: Values and bootstrap samples of the generated trials; not part of the record either.
    """

    protocol: str
    n_real: int
    n_generated: int
    metrics: Mapping[str, MetricResult]
    memorisation: Memorisation
    warnings: tuple[str, ...]
    details: Mapping[str, Any]
    reference: Any = field(default=None, repr=False, compare=False)
    measured: Any = field(default=None, repr=False, compare=False)

    @property
    def headline(self) -> str:
        """The largest difference, the strongest classifier's answer, how much matches and how much cannot be told."""
        return headline(list(self.metrics.values()), self.n_real, self.protocol)

    @property
    def verdict(self) -> str:
        """The result in a few sentences, cautions included."""
        sentences = [self.headline, self.memorisation.sentence()]
        sentences += [f"{w[0].upper()}{w[1:]}" for w in self.warnings]
        return " ".join(sentences)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "reference": None, "measured": None}

    def __repr__(self) -> str:
        return f"{self._heading}\n{self.verdict}"

    def _repr_html_(self) -> str:
        def row(cells: Sequence[str], tag: str) -> str:
            return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"

        head, *rows = self._rows()
        body = "".join(row(cells, "td") for cells in rows)
        notes = "".join(f"<li>{escape(note)}</li>" for note in self._notes())
        return (
            f"<div><p><b>{escape(self._heading)}</b><br>{escape(self.verdict)}</p>"
            f"<table><thead>{row(head, 'th')}</thead><tbody>{body}</tbody></table>"
            f"{f'<ul>{notes}</ul>' if notes else ''}</div>"
        )

    @property
    def _heading(self) -> str:
        return f"Comparison ({self.protocol}) of {self.n_generated} generated with {self.n_real} real trials"

    def table(self) -> str:
        """The result as text for a terminal, of 100 columns at most."""
        rows = self._rows()
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths)).rstrip() for row in rows]
        lines.insert(1, "-" * max(map(len, lines)))
        lines += ["", textwrap.fill(f"copies: {self.memorisation.sentence()}", WIDTH, subsequent_indent="  ")]
        lines += [*(textwrap.fill(note, WIDTH, subsequent_indent="  ") for note in self._notes())]
        return "\n".join(lines)

    def _rows(self) -> list[tuple[str, ...]]:
        head = ("metric", "value ± 95 %", "floor", "yardstick", "score [95 %]", "level")
        return [
            head,
            *(
                (
                    f"{r.name} {r.unit}".rstrip(),
                    f"{short(r.value)} ± {short(1.96 * r.se, 2)}",
                    short(r.floor),
                    f"{short(r.yardstick)} {CORRUPTIONS[r.yardstick_name].short}",
                    f"{r.score:.2f} [{r.score_low:.2f}, {r.score_high:.2f}]" if np.isfinite(r.score) else "-",
                    r.level.text,
                )
                for r in self.metrics.values()
            ),
        ]

    def _notes(self) -> list[str]:
        """Remarks on single metrics, those with the same remark together."""
        names: dict[str, list[str]] = {}
        for r in self.metrics.values():
            if r.note:
                names.setdefault(r.note, []).append(r.name)
        return [f"{', '.join(of)}: {note}" for note, of in names.items()]

    def to_frame(self) -> pd.DataFrame:
        """The result as a table: a row for each metric, numbers in its unit, a column for each baseline."""
        return pd.DataFrame(
            [
                {
                    "metric": r.name,
                    "label": r.metric.label,
                    "unit": r.unit,
                    "value": r.value,
                    "se": r.se,
                    "floor": r.floor,
                    "floor_sd": r.floor_sd,
                    "yardstick": r.yardstick,
                    "yardstick_name": r.yardstick_name,
                    "score": r.score,
                    "score_low": r.score_low,
                    "score_high": r.score_high,
                    "resolution": r.resolution,
                    "level": r.level.value,
                    "words": r.words,
                    **{f"baseline_{name}": value for name, value in r.baselines.items()},
                    "n": r.n,
                    "note": r.note,
                }
                for r in self.metrics.values()
            ]
        ).set_index("metric")

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the score of each metric between floor (0) and its yardstick (1), with 95 % intervals.

        Args:
            ax: Axes to draw on; new ones when not given.

        Returns:
            The axes.
        """
        from spikeloom.drawing.scores import draw_scores

        results = list(self.metrics.values())
        low, score, high = (np.array([getattr(r, k) for r in results]) for k in ("score_low", "score", "score_high"))
        labels = [r.metric.label for r in results]
        tolerance = np.array([r.metric.tolerance for r in results])
        ax = draw_scores(
            labels, score, np.array([score - low, high - score]), ("floor", "yardstick"), ax, tolerance=tolerance
        )
        ax.set_title(counted_levels(results), fontsize="medium", loc="left")
        return ax

    def to_dict(self) -> dict[str, Any]:
        """Plain values that strict JSON can hold: None where there is no number, infinity spelt out."""
        return plain(
            {
                "protocol": self.protocol,
                "n_real": self.n_real,
                "n_generated": self.n_generated,
                "metrics": {name: r.to_dict() for name, r in self.metrics.items()},
                "memorisation": asdict(self.memorisation),
                "headline": self.headline,
                "verdict": self.verdict,
                "warnings": self.warnings,
                "details": self.details,
            }
        )

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Comparison:
        """Inverse of ``to_dict``, after a turn through JSON; the draws are not part of it.

        Raises:
            DataError: If the content was not written by ``to_dict``.
        """
        try:
            return cls(
                content["protocol"],
                content["n_real"],
                content["n_generated"],
                {name: MetricResult.from_dict(name, row) for name, row in content["metrics"].items()},
                Memorisation.from_dict(content["memorisation"]),
                tuple(content["warnings"]),
                dict(content["details"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(
                f"this is no comparison as `compare` writes it ({type(error).__name__}: {error}); compare again."
            ) from error


def _unknown(name: str, content: Mapping[str, Any]) -> Metric:
    """A metric that is not ours, as far as its record describes it."""
    return Metric(
        name=name,
        unit=str(content["unit"]),
        better=content["better"],
        compute=partial(_refuse, name),
        size=partial(_refuse, name),
        label=name,
        explanation="",
        group=OTHER,
    )


def _refuse(name: str, sets: Any) -> Any:
    raise DataError(f"the metric '{name}' is known from a record only and cannot be computed here.")


def short(value: float, digits: int = 3) -> str:
    """A number with few digits, as tables show it."""
    return "n/a" if np.isnan(value) else f"{value:.{digits}g}"


def _number(value: Any) -> float:
    """Inverse of ``plain`` for a real number."""
    return NAN if value is None else float(value)


def plain(value: Any) -> Any:
    """Plain values that strict JSON can hold: None where there is no number, infinity spelt out."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if np.isfinite(value) else None if np.isnan(value) else "inf" if value > 0 else "-inf"
    return value
