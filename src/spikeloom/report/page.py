"""The report: one HTML page that holds everything, figures included, and needs no network."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd
import yaml

from spikeloom.atomic import atomic
from spikeloom.conditioning.variables import Variable
from spikeloom.data.spikedata import SpikeData
from spikeloom.data.splits import with_default_splits
from spikeloom.evaluation.history_likelihood import HistoryLikelihood
from spikeloom.evaluation.memorisation import Memorisation
from spikeloom.evaluation.results import METRICS, Comparison, Level, MetricResult
from spikeloom.plot.style import rate_unit, time_unit
from spikeloom.report.code_panels import CodeSummary
from spikeloom.report.format import LEGEND, STYLES, digits, scaled, scaled_unit, with_error
from spikeloom.report.panel import render
from spikeloom.report.panels import panels

SCALE = -0.25, 1.25
"""Scores at the two ends of the bars in the table; what lies beyond is drawn at the end."""


def write_report(
    path: str | Path,
    *,
    real: SpikeData,
    generated: SpikeData,
    comparison: Comparison,
    encoded: SpikeData | Callable[[], SpikeData] | None = None,
    history: HistoryLikelihood | Callable[[], HistoryLikelihood] | None = None,
    codes: CodeSummary | Callable[[], CodeSummary] | None = None,
    variables: Sequence[Variable] = (),
    metrics: pd.DataFrame | None = None,
    diagnostics: pd.DataFrame | None = None,
    environment: Mapping[str, Any] | None = None,
    configuration: Mapping[str, Any] | None = None,
    commands: Sequence[str] = (),
    title: str = "How real are the generated spikes?",
) -> Path:
    """Write the report of a comparison as one self-contained HTML page, all of it or nothing.

    Whatever a model infers may also be a function that computes it: one that fails costs its figure, not the page.

    Args:
        path: Where to write.
        real: Recording with the splits "train" and "test"; missing ones are made as in the comparison.
        generated: Generated trials of the same neurons.
        comparison: The comparison of the two, see ``compare``.
        encoded: Held-out trials with the latents a model inferred; shown beside the latents of the generated trials.
        history: Likelihood of the held-out counts with and without spike history.
        codes: Codes of the recording and activity generated from them, of a model with codes.
        variables: Condition variables that generated trials can be requested for; they are decoded from the spikes.
        metrics: Training metrics of a run, ``Run.metrics()``.
        diagnostics: Numbers that a model computed on itself in training, ``Run.diagnostics()``.
        environment: Versions, seed and device of a run, its ``environment.json``.
        configuration: Configuration of a run, its ``config.yaml``.
        commands: Commands that repeat everything shown.
        title: Heading of the page.

    Returns:
        The path written.

    Raises:
        DataError: If real and generated data cannot be compared.
    """
    real = with_default_splits(real)  # as the comparison did, so that figures and table describe the same trials
    shown = panels(real, generated, comparison, encoded, history, codes, variables, metrics, diagnostics, configuration)
    content = template().render(
        title=title,
        headline=headline(comparison),
        memorisation=copying(comparison.memorisation),
        warnings=[f"{w[:1].upper()}{w[1:]}" for w in comparison.warnings],
        groups=table(comparison, real.bin_s),
        levels=LEGEND,
        panels=[render(panel) for panel in shown],
        sizes=sizes(real, generated),
        provenance=[("real data", plain(real.provenance)), ("generated data", plain(generated.provenance))],
        environment=flat(environment or {}),
        configuration=plain(configuration or {}),
        commands=list(commands),
        protocol=comparison.protocol,
        n_real=comparison.n_real,
        seed=comparison.details["seed"],
        version=comparison.details["version"],
    )
    path = Path(path)
    with atomic(path) as temporary:
        temporary.write_text(content, encoding="utf-8")
    return path


def template() -> jinja2.Template:
    """The page without its content; everything filled in is escaped."""
    source = resources.files("spikeloom.report").joinpath("template.html").read_text(encoding="utf-8")
    return jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(source)


# -- the verdict -----------------------------------------------------------------------------------------------------


def headline(comparison: Comparison) -> dict[str, Any]:
    """The verdict in one line, a second line, and how many metrics stand at each level."""
    results = list(comparison.metrics.values())
    usable = [r for r in results if r.level is not Level.NOT_USABLE]
    counts = Counter(STYLES[r.level] for r in usable)
    n, fine, poor = len(usable), counts["floor"], counts["none"]
    if comparison.memorisation.alarm:
        first = "The generated trials copy the training data."
    elif n == 0:
        first = "Nothing could be scored: no metric separates real data from constant-rate Poisson neurons here."
    elif counts["alarm"]:
        first = "Too good to be true: better than real data against real data."
    elif fine == n:
        first = f"On all {n} usable measures the generated spikes cannot be told from real ones."
    elif poor > n / 2:
        first = f"On {poor} of {n} usable measures no better than independent Poisson neurons."
    else:
        first = f"On {fine} of {n} usable measures the generated spikes cannot be told from real ones."
    off = [r for r in usable if r.level not in (Level.AT_FLOOR, Level.SUSPICIOUS)]
    off.sort(key=lambda r: -abs(r.score))
    scores = [r.score for r in usable if np.isfinite(r.score)]
    return {
        "first": first,
        "copies": comparison.memorisation.alarm,
        "furthest": ", ".join(f"{r.metric.label} ({two_decimals(r.score)})" for r in off[:4]),
        "suspicious": ", ".join(r.metric.label for r in usable if r.level is Level.SUSPICIOUS),
        "counts": [(style, words, counts[style]) for style, words in LEGEND.items() if counts[style]],
        "n": n,
        "fine": fine,
        "unusable": len(results) - n,
        "median": two_decimals(statistics.median(scores)) if scores else "n/a",
    }


def copying(memorisation: Memorisation) -> dict[str, Any]:
    """The test for copies of training trials, in words."""
    share, alarm = memorisation.copy_share, memorisation.alarm
    sentences = []
    if not np.isfinite(share):
        short = "not tested"
        sentences.append("Whether training trials were copied could not be tested.")
    else:
        within = f" ± {1.96 * memorisation.se:.2f}" if np.isfinite(memorisation.se) else ""
        short = "found" if alarm else "none detected"
        sentences.append(
            f"The share of generated trials that copy a training trial, with or without fresh noise, is estimated at "
            f"{two_decimals(share)}{within} (0: training trials are no nearer than unseen ones, 1: all are copies)."
        )
        detectable = memorisation.detectable_share
        if alarm:
            sentences.append(f"Alarm: {'; '.join(memorisation.reasons)}.")
        elif detectable >= 1:
            sentences.append("The generated trials crowd around few real ones, so that the estimate means little.")
        elif np.isfinite(detectable):
            sentences.append(f"A share above {max(detectable, 0.1):.2f} would have been noticed.")
    if np.isfinite(ratio := memorisation.nn_ratio):
        sentences.append(
            f"Generated trials lie {ratio:.2f} times as far from their nearest training trial as unseen real trials do."
        )
        if ratio < 0.9:
            sentences.append("Below 0.9 they vary too little, or are blurred copies.")
    sentences.append(f"Exact duplicates of a training trial: {memorisation.duplicates}.")
    return {"short": short, "alarm": alarm, "text": " ".join(sentences)}


# -- the table -------------------------------------------------------------------------------------------------------


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


def two_decimals(score: float) -> str:
    """A score as it is printed: no minus before zero, and a minus sign before the rest."""
    return f"{round(score, 2) + 0.0:.2f}".replace("-", "−")


# -- what was run ----------------------------------------------------------------------------------------------------


def sizes(real: SpikeData, generated: SpikeData) -> list[tuple[str, str, str]]:
    """What both sides consist of, row by row."""
    both = [data.summary() for data in (real, generated)]
    bin_s = real.bin_s

    def bins(summary: Mapping[str, Any]) -> str:
        low, high = summary["bins"]
        width = "" if bin_s == 1.0 else f" of {bin_s * 1e3:g} ms"
        return (f"{low}" if low == high else f"{low} to {high}") + width

    rows = [("trials", *(f"{s['trials']:,}" for s in both))]
    splits = ", ".join(f"{name} {n:,}" for name, n in both[0]["splits"].items())
    rows.append(("splits", splits, "–"))
    rows.append(("bins of a trial", *(bins(s) for s in both)))
    rows.append(("neurons", *(str(s["neurons"]) for s in both)))
    rows.append(
        ("duration", *(f"{s['duration_s']:,.{1 if s['duration_s'] < 100 else 0}f} {time_unit(bin_s)}" for s in both))
    )
    rows.append(("spikes", *(f"{s['spikes']:,}" for s in both)))
    rows.append(("mean rate", *(f"{s['rate_hz']['mean']:.3g} {rate_unit(bin_s)}" for s in both)))
    rows.append(("silent neurons", *(str(len(s["silent_neurons"])) for s in both)))
    return rows  # type: ignore[return-value]


def plain(content: Mapping[str, Any]) -> str:
    """Nested values as YAML, the way a person reads them; empty for nothing."""
    if not content:
        return ""
    return yaml.safe_dump(json.loads(json.dumps(dict(content), default=str)), sort_keys=False, allow_unicode=True)


def flat(content: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested values as one list of names and texts."""
    rows: list[tuple[str, str]] = []
    for name, value in content.items():
        if isinstance(value, Mapping):
            rows += flat(value, f"{name}: ")
        else:
            rows.append((f"{prefix}{name}", str(value)))
    return rows
