"""The table of scores."""

from __future__ import annotations

from typing import Any

import numpy as np

from spikeloom.evaluation.results import METRICS, Comparison, MetricResult
from spikeloom.report.format import STYLES, digits, scaled, scaled_unit, two_decimals, with_error

SCALE = -0.25, 1.25
"""Scores at the two ends of the bars in the table; scores beyond are drawn at the end."""


def table(comparison: Comparison, bin_s: float) -> dict[str, list[dict[str, Any]]]:
    """Rows of the score table under their headings."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for r in comparison.metrics.values():
        unit, factor = scaled_unit(r.unit, [r.value, r.baseline], bin_s)
        value, se, floor, floor_sd, baseline = (
            scaled(x, factor) for x in (r.value, r.se, r.floor, r.floor_sd, r.baseline)
        )
        scored = bool(np.isfinite(r.score))
        groups.setdefault(r.metric.group, []).append(
            {
                "key": r.name,
                "name": r.metric.label,
                "meaning": r.metric.explanation,
                "unit": unit,
                "value": with_error(value, scaled(se, 1.96)),
                "floor": with_error(floor, floor_sd),
                "baseline": digits(0.0 if abs(baseline) < floor_sd else baseline),
                "score": two_decimals(r.score) if scored else "",
                "level": STYLES[r.level],
                "verdict": r.verdict.replace("constant-rate ", ""),
                "bar": bar(r) if scored else None,
            }
        )
    order = list(dict.fromkeys(metric.group for metric in METRICS.values()))
    return dict(sorted(groups.items(), key=lambda g: order.index(g[0]) if g[0] in order else len(order)))


def bar(result: MetricResult) -> dict[str, float | bool]:
    """Places, in percent of the bar's width, of the floor, the baseline, the score and its 95 % interval."""

    def place(value: float) -> float:
        return round(100 * (min(max(value, SCALE[0]), SCALE[1]) - SCALE[0]) / (SCALE[1] - SCALE[0]), 2)

    score, span = result.score, abs(result.baseline - result.floor)
    half = 1.96 * result.se / span if np.isfinite(result.se) and span > 0 else 0.0
    low, high = place(score - half), place(score + half)
    start, end = sorted((place(0.0), place(score)))
    return {
        "zero": place(0.0),
        "one": place(1.0),
        "start": start,
        "width": round(end - start, 2),
        "dot": place(score),
        "low": low,
        "error": round(high - low, 2),
        "beyond": not SCALE[0] <= score <= SCALE[1],
    }
