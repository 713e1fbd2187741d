"""Results of a comparison: one record for the terminal, for JSON and for the report."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from spikeloom.errors import DataError
from spikeloom.evaluation.distances import sd
from spikeloom.evaluation.memorisation import Memorisation
from spikeloom.evaluation.metric import NAN, OTHER, Metric
from spikeloom.evaluation.metrics import HELDOUT_METRICS
from spikeloom.evaluation.published import LDNS_METRICS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH = 100
"""Columns of a terminal."""

METRICS: Mapping[str, Metric] = {metric.name: metric for metric in (*HELDOUT_METRICS, *LDNS_METRICS)}
"""Every metric of both protocols by name."""


class Level(StrEnum):
    """How close a metric comes to more real data, from good to bad."""

    AT_FLOOR = "at_floor"
    CLOSE = "close"
    NEARER_FLOOR = "nearer_floor"
    NEARER_BASELINE = "nearer_baseline"
    TOO_STRONG = "too_strong"
    NO_BETTER = "no_better"
    SUSPICIOUS = "suspicious"
    NOT_USABLE = "not_usable"

    @property
    def text(self) -> str:
        """The level in a few words."""
        return TEXTS[self]


TEXTS: Mapping[Level, str] = {
    Level.AT_FLOOR: "at the floor",
    Level.CLOSE: "close to the floor",
    Level.NEARER_FLOOR: "nearer floor than baseline",
    Level.NEARER_BASELINE: "nearer baseline than floor",
    Level.TOO_STRONG: "too strong",
    Level.NO_BETTER: "no better than constant-rate Poisson",
    Level.SUSPICIOUS: "better than real data: leak or bug?",
    Level.NOT_USABLE: "cannot separate floor from baseline",
}


@dataclass(frozen=True)
class MetricResult:
    """One row of a comparison.

    Attributes:
        metric: The metric: its name, unit, direction, label and explanation.
        value: Mean over the generated draws; NaN where the metric does not exist.
        se: Standard error of the value from the choice of trials.
        floor: Real against real at the same number of trials, mean over draws.
        floor_sd: Standard deviation of those draws.
        baseline: The value of independent Poisson neurons of constant rate.
        score: (value - floor) / (baseline - floor); NaN where floor and baseline are indistinguishable.
        excess: Root of value^2 - floor^2 for root-mean-square metrics: the part that noise does not explain.
        n: Neurons, pairs or trials behind the value.
        baselines: Mean value of every baseline.
        note: A remark that a reader needs, for example why there is no value.
    """

    metric: Metric
    value: float
    se: float
    floor: float
    floor_sd: float
    baseline: float
    score: float
    excess: float
    n: int
    baselines: Mapping[str, float] = field(default_factory=dict)
    note: str = ""

    @classmethod
    def from_draws(
        cls,
        metric: Metric,
        generated: Float[np.ndarray, "draw"],
        se: float,
        floor: Float[np.ndarray, "draw2"],
        baselines: Mapping[str, np.ndarray],
        n: int,
        missing: str,
    ) -> MetricResult:
        """Condense draws into one row, with its floor-normalised score.

        Args:
            metric: The metric.
            generated: Values of the generated draws.
            se: Standard error from the choice of trials.
            floor: Values of real against real.
            baselines: Values of each baseline, "homogeneous" among them.
            n: Neurons, pairs or trials behind the value.
            missing: Why there is no value, if there is none.
        """
        value, base = _mean(generated), _mean(floor)
        floor_sd = sd(floor)
        means = {name: _mean(values) for name, values in baselines.items()}
        baseline = means["homogeneous"]
        clip = -np.inf if metric.best is None else metric.best
        top, bottom = max(value, clip) - max(base, clip), baseline - max(base, clip)
        score, note = NAN, ""
        if np.isnan(value):
            se, note = NAN, missing
        elif np.isinf(value):
            note = "infinite"
        elif not np.isfinite(bottom) or abs(bottom) < 3 * floor_sd or bottom == 0:
            note = "does not discriminate here: floor and baseline are indistinguishable"
        else:
            score = top / bottom
        excess = float(np.sqrt(max(value**2 - base**2, 0.0))) if metric.rms and np.isfinite(value - base) else NAN
        return cls(metric, value, se, base, floor_sd, baseline, score, excess, n, means, note)

    @property
    def name(self) -> str:
        """Name of the metric."""
        return self.metric.name

    @property
    def unit(self) -> str:
        """Unit of value, floor and baselines; empty for pure numbers."""
        return self.metric.unit

    @property
    def margin(self) -> float:
        """Distance from the floor that chance explains."""
        spread = [x for x in (3 * self.floor_sd, 1.96 * self.se) if np.isfinite(x)]
        return max(spread, default=0.0)

    @property
    def suspicious(self) -> bool:
        """Whether the value is better than more real data could be."""
        # The scatter of floor draws is too small where they share most trials; the standard error is not.
        bound = 3 * max(self.floor_sd, self.se if np.isfinite(self.se) else 0.0)
        better = self.metric.better
        if self.metric.best is not None or better == "one" or not np.isfinite(self.value - self.floor):
            return False
        return self.value < self.floor - bound if better == "low" else self.value > self.floor + bound

    @property
    def at_floor(self) -> bool:
        """Whether the value is indistinguishable from real against real."""
        distance = self.value - self.floor
        worse = {"low": distance, "high": -distance, "one": abs(distance)}[self.metric.better]
        return bool(worse <= self.margin)

    @property
    def level(self) -> Level:
        """How close the value comes to more real data."""
        if np.isnan(self.value):
            return Level.NOT_USABLE
        if self.suspicious:
            return Level.SUSPICIOUS
        if not np.isfinite(self.score):
            return Level.NOT_USABLE
        if self.at_floor:
            return Level.AT_FLOOR
        if self.metric.better == "one" and (self.value > self.floor) == (self.floor > self.baseline):
            return Level.TOO_STRONG
        steps = ((0.1, Level.CLOSE), (0.5, Level.NEARER_FLOOR), (0.9, Level.NEARER_BASELINE))
        return next((level for limit, level in steps if self.score < limit), Level.NO_BETTER)

    @property
    def verdict(self) -> str:
        """The row in a few words."""
        if np.isnan(self.value):
            return f"n/a: {self.note}"
        return self.note or self.level.text if self.level is Level.NOT_USABLE else self.level.text

    def to_dict(self) -> dict[str, Any]:
        """Numbers, level and verdict under their names."""
        numbers = {name: getattr(self, name) for name in NUMBERS}
        return {
            "unit": self.unit,
            "better": self.metric.better,
            **numbers,
            "n": self.n,
            "baselines": dict(self.baselines),
            "note": self.note,
            "level": self.level.value,
            "verdict": self.verdict,
        }

    @classmethod
    def from_dict(cls, name: str, content: Mapping[str, Any]) -> MetricResult:
        """Inverse of ``to_dict``; level and verdict follow from the numbers."""
        metric = METRICS.get(name) or _unknown(name, content)
        numbers = {key: _number(content[key]) for key in NUMBERS}
        baselines = {key: _number(value) for key, value in content["baselines"].items()}
        return cls(metric, **numbers, n=int(content["n"]), baselines=baselines, note=str(content["note"]))

    def __reduce__(self) -> tuple[Any, ...]:
        # Computations of metrics are plain functions without a name, which cannot be pickled.
        return MetricResult.from_dict, (self.name, self.to_dict())


NUMBERS = ("value", "se", "floor", "floor_sd", "baseline", "score", "excess")


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
        draws: Values of each draw of the floor and of the baselines, which another comparison with the same real trials
            may take over; not part of the record that is written.
    """

    protocol: str
    n_real: int
    n_generated: int
    metrics: Mapping[str, MetricResult]
    memorisation: Memorisation
    warnings: tuple[str, ...]
    details: Mapping[str, Any]
    draws: Mapping[str, Mapping[str, np.ndarray]] = field(default_factory=dict, repr=False, compare=False)

    @property
    def verdict(self) -> str:
        """The result in two or three sentences, cautions included."""
        sentences = [self.summary, self.memorisation.sentence()]
        sentences += [f"{w[0].upper()}{w[1:]}" for w in self.warnings]
        return " ".join(sentences)

    @property
    def summary(self) -> str:
        """One sentence: how many metrics are at the floor, and which are furthest from it."""
        usable = [r for r in self.metrics.values() if np.isfinite(r.score)]
        fine = [r for r in usable if r.at_floor]
        off = sorted((r for r in usable if not r.at_floor), key=lambda r: -abs(r.score))
        unusable = len(self.metrics) - len(usable)
        text = f"{len(fine)} of {len(usable)} usable metrics are at the floor of real against real"
        if off:
            listed = [f"{r.name} ({r.score:.2f})" for r in off[:6]]
            more = f" and {len(off) - 6} more" if len(off) > 6 else ""
            text += f"; off the floor, with scores (0 floor, 1 constant-rate Poisson): {', '.join(listed)}{more}"
        return text + (f"; {unusable} could not be used." if unusable else ".")

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
        lines += ["", *(textwrap.fill(note, WIDTH, subsequent_indent="  ") for note in self._notes())]
        m = self.memorisation
        lines.append(
            f"copies: share {_short(m.copy_share)} ± {_short(m.se)}, nn_ratio {_short(m.nn_ratio)}, "
            f"{m.duplicates} exact duplicates{'  ALARM' if m.alarm else ''}"
        )
        return "\n".join(lines)

    def _rows(self) -> list[tuple[str, ...]]:
        head = ("metric", "value ± 95 %", "floor ± sd", "baseline", "replay", "score", "level")
        return [
            head,
            *(
                (
                    f"{r.name} {r.unit}".rstrip(),
                    f"{_short(r.value)} ± {_short(1.96 * r.se, 2)}",
                    f"{_short(r.floor)} ± {_short(r.floor_sd, 2)}",
                    _short(r.baseline),
                    _short(r.baselines.get("replay", NAN)),
                    f"{r.score:.2f}" if np.isfinite(r.score) else "-",
                    r.level.value.replace("_", " "),
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
                    "score": r.score,
                    "level": r.level.value,
                    **{f"baseline_{name}": value for name, value in r.baselines.items()},
                    "n": r.n,
                    "note": r.note,
                }
                for r in self.metrics.values()
            ]
        ).set_index("metric")

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the score of each metric between floor (0) and constant-rate Poisson (1), with 95 % intervals.

        Args:
            ax: Axes to draw on; new ones when not given.

        Returns:
            The axes.
        """
        from spikeloom.plot.scores import draw_scores

        results = list(self.metrics.values())
        span = np.array([abs(r.baseline - r.floor) for r in results])
        with np.errstate(invalid="ignore", divide="ignore"):
            errors = 1.96 * np.array([r.se for r in results]) / span
        labels = [r.metric.label for r in results]
        ax = draw_scores(labels, np.array([r.score for r in results]), errors, ("floor", "Poisson"), ax)
        usable = [r for r in results if np.isfinite(r.score)]
        at_floor = sum(r.at_floor for r in usable)
        ax.set_title(f"{at_floor} of {len(usable)} metrics at the floor", fontsize="medium", loc="left")
        return ax

    def to_dict(self) -> dict[str, Any]:
        """Plain values that strict JSON can hold: None where there is no number, infinity spelt out."""
        return _plain(
            {
                "protocol": self.protocol,
                "n_real": self.n_real,
                "n_generated": self.n_generated,
                "metrics": {name: r.to_dict() for name, r in self.metrics.items()},
                "memorisation": asdict(self.memorisation),
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


def _mean(values: np.ndarray) -> float:
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else NAN


def _short(value: float, digits: int = 3) -> str:
    return "n/a" if np.isnan(value) else f"{value:.{digits}g}"


def _number(value: Any) -> float:
    """Inverse of ``_plain`` for a real number."""
    return NAN if value is None else float(value)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if np.isfinite(value) else None if np.isnan(value) else "inf" if value > 0 else "-inf"
    return value
