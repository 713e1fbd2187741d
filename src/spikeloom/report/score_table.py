"""The table of scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from spikeloom.evaluation.results import METRICS, Comparison, MetricResult
from spikeloom.evaluation.verdict import Level
from spikeloom.evaluation.yardsticks import CORRUPTIONS
from spikeloom.report.format import by_level, control, digits, scaled, scaled_unit, two_decimals, with_error

NO_SCORE = "no score: the yardstick cannot be told from the floor here"
SCALE = -0.05, 1.25
"""Scores at the two ends of the bars in the table; those beyond are drawn as arrows."""


def table(comparison: Comparison, bin_s: float) -> dict[str, list[dict[str, Any]]]:
    """Rows of the score table under their headings."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for r in comparison.metrics.values():
        unit, factor = scaled_unit(r.unit, [r.value, r.yardstick], bin_s)
        value, se, floor, yardstick = (scaled(x, factor) for x in (r.value, r.se, r.floor, r.yardstick))
        level, _, words = r.verdict.partition(": ")
        if not words and r.level is not Level.NOT_DEFINED and not np.isfinite(r.score):
            words = NO_SCORE
        groups.setdefault(r.metric.group, []).append(
            {
                "key": r.name,
                "name": r.metric.label,
                "meaning": r.metric.explanation,
                "unit": unit,
                "value": with_error(value, scaled(se, 1.96)),
                "floor": digits(floor),
                "yardstick": digits(yardstick),
                "yardstick_name": control(r.yardstick_name),
                "score": two_decimals(magnitude(r)) if np.isfinite(r.score) else "",
                "interval": f"{two_decimals(r.score_low)} to {two_decimals(r.score_high)}" if interval(r) else "",
                "level": r.level,
                "verdict": level,
                "words": "" if words == comparison.headline else words,
                "note": "" if r.note in r.verdict else r.note,
                "bar": bar(r) if np.isfinite(r.score) else None,
            }
        )
    order = list(dict.fromkeys(metric.group for metric in METRICS.values()))
    return dict(sorted(groups.items(), key=lambda g: order.index(g[0]) if g[0] in order else len(order)))


def by_group(rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """The groups of the table, each with how many of its metrics are at each level.

    Args:
        rows: Rows under their headings, see ``table``.
    """
    groups = []
    for name, of_group in rows.items():
        counts = by_level(row["level"] for row in of_group)
        words = ", ".join(f"{number} {level.text}" for level, number in counts)
        groups.append({"name": name, "rows": of_group, "counts": counts, "words": words})
    return groups


def magnitude(result: MetricResult) -> float:
    """A score without the direction of the difference, which those of metrics with a best value in between have."""
    return abs(result.score) if result.metric.better == "one" else result.score


def interval(result: MetricResult) -> bool:
    """Whether a score has an interval."""
    return bool(np.isfinite([result.score_low, result.score_high]).all())


def bar(result: MetricResult) -> dict[str, float | str]:
    """Places, in percent of the bar's width, of floor, yardstick, tolerance, the score and its 95 % interval."""
    score = magnitude(result)
    low, high = (place(x) for x in ((result.score_low, result.score_high) if interval(result) else (score, score)))
    start, end = sorted((place(0.0), place(score)))
    return {
        **ends(),
        "tolerance": round(place(result.metric.tolerance) - place(0.0), 2),
        "start": start,
        "width": round(end - start, 2),
        "dot": place(score),
        "low": low,
        "error": round(high - low, 2),
        "arrow": "left" if score < SCALE[0] else "right" if score > SCALE[1] else "",
    }


def ends() -> dict[str, float]:
    """Places of floor and yardstick."""
    return {"zero": place(0.0), "one": place(1.0)}


def place(score: float) -> float:
    """Where a score lies in a bar, in percent of its width."""
    return round(100 * (min(max(score, SCALE[0]), SCALE[1]) - SCALE[0]) / (SCALE[1] - SCALE[0]), 2)


# -- what every metric notices ---------------------------------------------------------------------------------------


def yardsticks(comparison: Comparison) -> list[tuple[str, str]]:
    """The yardsticks of a comparison, in words, and what each breaks."""
    used = {r.yardstick_name for r in comparison.metrics.values() if np.isfinite(r.yardstick)}
    return [(control(name), c.breaks) for name, c in CORRUPTIONS.items() if name in used]


def controls(comparison: Comparison, bin_s: float) -> dict[str, Any]:
    """Every metric's value under every corruption and cheap generator, as a table.

    Returns:
        The columns, each with its heading and what it breaks; and a row for each metric that has any control, with
        cells of their text, how much of the yardstick's difference they make up, and whether they are the yardstick.
    """
    results = [r for r in comparison.metrics.values() if r.baselines]
    names = list(dict.fromkeys([*CORRUPTIONS, *(name for r in results for name in r.baselines)]))
    names = [name for name in names if any(name in r.baselines for r in results)]
    rows = []
    for r in results:
        unit, factor = scaled_unit(r.unit, [r.value, r.floor, *r.baselines.values()], bin_s)
        cells = [
            {
                "text": digits(scaled(r.baselines[name], factor)) if name in r.baselines else "–",
                "share": share(r, r.baselines.get(name, np.nan)),
                "own": name == r.yardstick_name,
            }
            for name in names
        ]
        generated, floor = ({"text": digits(scaled(x, factor)), "share": share(r, x)} for x in (r.value, r.floor))
        rows.append({"name": r.metric.label, "unit": unit, "cells": [floor, generated, *cells]})
    columns = [("real", "against real"), ("generated", "")]
    columns += [(control(n), f"breaks {CORRUPTIONS[n].breaks}" if n in CORRUPTIONS else "") for n in names]
    return {"columns": columns, "rows": rows}


def share(result: MetricResult, value: float) -> float:
    """How far a value is from the floor, from 0 to 1 at the yardstick; 0 where the yardstick shows nothing."""
    floor, yardstick = result.floor, result.yardstick
    if not np.isfinite([result.score, value, floor, yardstick]).all():
        return 0.0
    if result.metric.better == "one":
        ratio = abs(value - floor) / abs(yardstick - floor)
    elif result.metric.rms:
        ratio = np.sqrt(max(value**2 - floor**2, 0.0) / (yardstick**2 - floor**2))
    else:
        ratio = (value - floor) / (yardstick - floor)
    return round(float(min(max(ratio, 0.0), 1.0)), 2)
