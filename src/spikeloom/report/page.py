"""The report: one HTML page that holds everything, figures included, and needs no network."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
import yaml
from markupsafe import Markup

from spikeloom.atomic import atomic
from spikeloom.conditioning.variables import Variable
from spikeloom.data.spikedata import SpikeData
from spikeloom.data.splits import with_default_splits
from spikeloom.drawing.style import rate_unit, time_unit
from spikeloom.evaluation.history_likelihood import HistoryLikelihood
from spikeloom.evaluation.results import Comparison
from spikeloom.report.code_panels import CodeSummary
from spikeloom.report.format import LEVELS
from spikeloom.report.panel import render
from spikeloom.report.panels import panels
from spikeloom.report.picker import as_script, picker, scripts
from spikeloom.report.readouts import ended_early
from spikeloom.report.score_table import by_group, controls, ends, table, yardsticks
from spikeloom.report.sets import compared_trials
from spikeloom.report.verdict import copying, headline


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
    figures: str | Path | None = None,
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
        figures: Folder for the figures as files of their own; made if it is not there.

    Returns:
        The path written.

    Raises:
        DataError: If real and generated data cannot be compared.
    """
    real = with_default_splits(real)  # as the comparison did, so that figures and table describe the same trials
    shown = panels(real, generated, comparison, encoded, history, codes, variables, metrics, diagnostics, configuration)
    folder = None if figures is None else Path(figures)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    rendered = [render(panel, folder) for panel in shown]
    neurons = picker(compared_trials(real, generated, comparison.details["seed"]), real)
    content = template().render(
        title=title,
        headline=headline(comparison),
        memorisation=copying(comparison.memorisation),
        warnings=[f"{w[:1].upper()}{w[1:]}" for w in comparison.warnings],
        groups=by_group(table(comparison, real.bin_s)),
        places=ends(),
        yardsticks=yardsticks(comparison),
        controls=controls(comparison, real.bin_s),
        levels=LEVELS,
        panels=rendered,
        neurons=Markup(as_script(neurons)),
        left_out=neurons["left_out"],
        scripts=Markup(scripts()),
        early=ended_early(metrics),
        sizes=sizes(real, generated),
        provenance=[("real data", flat(real.provenance)), ("generated data", flat(generated.provenance))],
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


def sizes(real: SpikeData, generated: SpikeData) -> list[tuple[str, str, str]]:
    """Sizes of both sets, row by row."""
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
            rows += flat(value, f"{prefix}{name}: ")
        else:
            many = isinstance(value, list | tuple)
            rows.append((f"{prefix}{name}".replace("_", " "), "; ".join(map(str, value)) if many else str(value)))
    return rows
