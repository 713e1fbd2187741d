"""Results of a comparison: one record for the terminal, for JSON and for the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from spikeloom.evaluation.memorisation import Memorisation
from spikeloom.evaluation.metrics import Metric


@dataclass(frozen=True)
class MetricResult:
    """One row of a comparison.

    Attributes:
        key: Name of the metric.
        unit: Its unit, empty for pure numbers.
        better: "low", "high" or "one".
        value: Mean over the generated draws; NaN where the metric does not exist.
        se: Standard error of the value from the choice of trials.
        floor: Real against real at the same number of trials, mean over draws.
        floor_sd: Standard deviation of those draws.
        control: The value of independent Poisson neurons of constant rate.
        score: (value - floor) / (control - floor); NaN where floor and control cannot be told apart.
        excess: Root of value^2 - floor^2 for root-mean-square metrics: what noise does not explain.
        n: Neurons, pairs or trials behind the value.
        controls: Mean value of every control.
        note: What a reader must know, for example why there is no value.
    """

    key: str
    unit: str
    better: str
    value: float
    se: float
    floor: float
    floor_sd: float
    control: float
    score: float
    excess: float
    n: int
    controls: Mapping[str, float] = field(default_factory=dict)
    note: str = ""

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
        if self.key == "c2st_auc" or not np.isfinite(self.value - self.floor) or self.better == "one":
            return False
        return self.value < self.floor - bound if self.better == "low" else self.value > self.floor + bound

    @property
    def at_floor(self) -> bool:
        """Whether the value cannot be told from real against real."""
        distance = self.value - self.floor
        worse = {"low": distance, "high": -distance, "one": abs(distance)}[self.better]
        return bool(worse <= self.margin)

    @property
    def reading(self) -> str:
        """The row in a few words."""
        if np.isnan(self.value):
            return f"n/a: {self.note}"
        if self.suspicious:
            return "better than real data: leak or bug?"
        if not np.isfinite(self.score):
            return self.note or "cannot tell floor from control"
        if self.at_floor:
            return "at the floor"
        if self.better == "one" and (self.value > self.floor) == (self.floor > self.control):
            return "too strong"
        steps = ((0.1, "close to the floor"), (0.5, "nearer floor than control"), (0.9, "nearer control than floor"))
        return next((words for limit, words in steps if self.score < limit), "no better than constant-rate Poisson")


@dataclass(frozen=True)
class Comparison:
    """How real generated spike data are.

    Attributes:
        protocol: "heldout" or "ldns".
        n_real: Number of real trials on the one side of every metric.
        n_generated: Number of generated trials handed in.
        metrics: Results by metric, in the order of the table.
        memorisation: Verdict on copying.
        warnings: What a reader must know before quoting a number.
        details: Sizes, splits, seed, version, excluded neurons.
        draws: Values of each draw of the floor and of the controls, which another comparison with the same real trials
            may take over; not part of what is written.
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
        usable = [r for r in self.metrics.values() if np.isfinite(r.score)]
        fine = [r for r in usable if r.at_floor]
        off = sorted((r for r in usable if not r.at_floor), key=lambda r: -abs(r.score))
        blind = len(self.metrics) - len(usable)
        text = f"{len(fine)} of {len(usable)} usable metrics are at the floor of real against real"
        if off:
            listed = [f"{r.key} ({r.score:.2f})" for r in off[:6]]
            more = f" and {len(off) - 6} more" if len(off) > 6 else ""
            text += f"; off the floor, with scores (0 floor, 1 constant-rate Poisson): {', '.join(listed)}{more}"
        text += f"; {blind} could not be used." if blind else "."
        sentences = [text, self.memorisation.sentence()]
        sentences += [f"{w[0].upper()}{w[1:]}" for w in self.warnings]
        return " ".join(sentences)

    def table(self) -> str:
        """The result as text for a terminal."""
        head = ("metric", "value ± 1.96 se", "floor ± sd", "control", "replay", "score", "unit", "reading")
        rows: list[tuple[str, ...]] = [head]
        for r in self.metrics.values():
            rows.append(
                (
                    r.key,
                    f"{_short(r.value)} ± {_short(1.96 * r.se)}",
                    f"{_short(r.floor)} ± {_short(r.floor_sd)}",
                    _short(r.control),
                    _short(r.controls.get("replay", float("nan"))),
                    f"{r.score:.2f}" if np.isfinite(r.score) else "-",
                    r.unit,
                    r.reading,
                )
            )
        widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
        lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths)).rstrip() for row in rows]
        lines.insert(1, "-" * max(map(len, lines)))
        m = self.memorisation
        lines += [
            "",
            f"copies: share {_short(m.copy_share)} ± {_short(m.se)}, nn_ratio {_short(m.nn_ratio)}, "
            f"{m.duplicates} exact duplicates{'  ALARM' if m.alarm else ''}",
        ]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Plain values that strict JSON can hold: what does not exist is None, infinity is spelt out."""
        metrics = {}
        for key, r in self.metrics.items():
            row = asdict(r) | {"reading": r.reading}
            row.pop("key")
            metrics[key] = row
        return _plain(
            {
                "protocol": self.protocol,
                "n_real": self.n_real,
                "n_generated": self.n_generated,
                "metrics": metrics,
                "memorisation": asdict(self.memorisation),
                "verdict": self.verdict,
                "warnings": self.warnings,
                "details": self.details,
            }
        )


def metric_result(
    metric: Metric,
    generated: Float[np.ndarray, "draw"],
    se: float,
    floor: Float[np.ndarray, "draw2"],
    controls: Mapping[str, np.ndarray],
    n: int,
    missing: str,
) -> MetricResult:
    """Condense draws into one row, with its floor-normalised score.

    Args:
        metric: What the numbers are.
        generated: Values of the generated draws.
        se: Standard error from the choice of trials.
        floor: Values of real against real.
        controls: Values of each control, "homogeneous" among them.
        n: Neurons, pairs or trials behind the value.
        missing: Why there is no value, if there is none.
    """
    value, base = _mean(generated), _mean(floor)
    floor_sd = _sd(floor)
    means = {name: _mean(values) for name, values in controls.items()}
    control = means["homogeneous"]
    clip = 0.5 if metric.key == "c2st_auc" else -np.inf  # an AUC below one half says "indistinguishable" too
    top, bottom = max(value, clip) - max(base, clip), control - max(base, clip)
    score, note = float("nan"), ""
    if np.isnan(value):
        se, note = float("nan"), missing
    elif np.isinf(value):
        note = "infinite"
    elif not np.isfinite(bottom) or abs(bottom) < 3 * floor_sd or bottom == 0:
        note = "does not discriminate here: floor and control cannot be told apart"
    else:
        score = top / bottom
    excess = float(np.sqrt(max(value**2 - base**2, 0.0))) if metric.rms and np.isfinite(value - base) else float("nan")
    return MetricResult(
        metric.key, metric.unit, metric.better, value, se, base, floor_sd, control, score, excess, n, means, note
    )


def _mean(values: np.ndarray) -> float:
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else float("nan")


def _sd(values: np.ndarray) -> float:
    values = values[np.isfinite(values)]
    return float(values.std(ddof=1)) if len(values) > 1 else float("nan")


def _short(value: float) -> str:
    return "n/a" if np.isnan(value) else f"{value:.3g}"


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
