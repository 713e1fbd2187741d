# ruff: noqa: E501
"""Tables and figures of the study of the verdict, from its lines of JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import beta

from spikeloom.bench.tables import markdown_table
from spikeloom.evaluation.metrics import HELDOUT_METRICS
from spikeloom.evaluation.yardsticks import CORRUPTIONS

DOCS = Path(__file__).parents[1] / "docs"
SIGNS = {
    "matches": "=",
    "close": "c",
    "differs": "x",
    "no_better": "X",
    "too_good": "!",
    "cannot_tell": "?",
    "not_defined": "",
}
DETECTED = ("close", "differs", "no_better", "too_good")
SAME_AUC = 0.6
"""AUC of the strong classifier at which doses of different faults are compared."""

Rows = Sequence[Mapping[str, Any]]


def write_pages(results: Path) -> None:
    """Write ``README.md`` of the results and the figures in the docs folder."""

    def lines(name: str) -> Rows:
        path = results / f"{name}.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    parts = [
        "# Can the verdict be fooled?",
        "",
        "Made by `python benchmarks/verdict.py PART FOLDER`, then `pages`.",
        "",
    ]
    for name, page in (("corruptions", corruptions), ("alarms", alarms), ("doses", doses), ("coverage", coverage)):
        if rows := lines(name):
            parts += [*page(rows), ""]
    (results / "README.md").write_text("\n".join(parts))


def corruptions(rows: Rows) -> list[str]:
    """A table for each recording: what every metric makes of every corruption."""
    out = [
        "## What every metric notices",
        "",
        "Real trials with one known fault, compared as if a program had generated them. = matches, c close, x differs, "
        "X no better than its yardstick, ! too good, ? cannot be told; in brackets the score. In the first column, real "
        "trials without a fault.",
        "",
    ]
    for recording in dict.fromkeys(r["recording"] for r in rows):
        of = [r for r in rows if r["recording"] == recording]
        cells = {(r["metric"], r["corruption"]): r for r in of}
        faults = list(dict.fromkeys(r["corruption"] for r in of))
        metrics = list(dict.fromkeys(r["metric"] for r in of))
        out += [f"### {recording}, {of[0]['n']} trials on each side", ""]
        table = []
        for metric in metrics:
            row = [f"`{metric}`"]
            for fault in faults:
                r = cells[metric, fault]
                sign = SIGNS[r["level"]]
                score = "" if r["score"] is None or not np.isfinite(r["score"]) else f" ({min(r['score'], 99):.2f})"
                own = any(m.name == metric and m.yardstick == fault for m in HELDOUT_METRICS)
                row.append(f"**{sign}{score}**" if own and sign else f"{sign}{score}")
            table.append(row)
        out += [markdown_table(["metric", *faults], table), ""]
    heatmap(rows)
    return [*out, "![scores of every corruption](../../../docs/verdict-corruptions.png)"]


def heatmap(rows: Rows) -> None:
    """Scores of every corruption, a panel for each recording."""
    recordings = list(dict.fromkeys(r["recording"] for r in rows))
    figure = Figure(figsize=(4.2 * len(recordings) + 1.5, 7.5), layout="constrained")
    axes = figure.subplots(1, len(recordings), squeeze=False, sharey=True)[0]
    image = None
    for ax, recording in zip(axes, recordings):
        of = [r for r in rows if r["recording"] == recording]
        faults, metrics = (list(dict.fromkeys(r[k] for r in of)) for k in ("corruption", "metric"))
        grid = np.full((len(metrics), len(faults)), np.nan)
        for r in of:
            place = metrics.index(r["metric"]), faults.index(r["corruption"])
            grid[place] = np.nan if r["score"] is None else r["score"]
            ax.text(place[1], place[0], SIGNS[r["level"]], ha="center", va="center", fontsize=8)
        image = ax.imshow(grid, vmin=0, vmax=1.2, cmap="Oranges", aspect="auto")
        labels = [CORRUPTIONS[f].short if f in CORRUPTIONS else "none" for f in faults]
        ax.set_xticks(range(len(faults)), labels, rotation=45, ha="right")
        ax.set_yticks(range(len(metrics)), metrics)
        ax.set_title(f"{recording}, n = {of[0]['n']}")
    figure.colorbar(image, ax=axes, label="score: 0 floor, 1 yardstick", shrink=0.6)
    figure.savefig(DOCS / "verdict-corruptions.png", dpi=110)


def alarms(rows: Rows) -> list[str]:
    """False alarms of real against real, and how often faults are found."""
    groups: dict[tuple[str, int, str], list[Mapping[str, Any]]] = {}
    for r in rows:
        groups.setdefault((r["recording"], r["n"], r["fault"]), []).append(r)
    table = []
    for (recording, n, fault), of in groups.items():
        k, total = sum(bool(r["claimed"]) for r in of), len(of)
        low, high = beta.ppf([0.025, 0.975], [max(k, 1e-9), k + 1], [total - k + 1, max(total - k, 1e-9)])
        matching = np.mean([r["matches"] / max(r["defined"], 1) for r in of])
        names = [name for r in of for name in r["claimed"]]
        most = max(set(names), key=names.count) if names else ""
        table.append([recording, str(n), fault, f"{k} of {total}", f"{low:.3f} to {high:.3f}", f"{matching:.2f}", most])
    figure = Figure(figsize=(6, 4), layout="constrained")
    ax = figure.subplots()
    for recording in dict.fromkeys(r["recording"] for r in rows):
        for fault, style in (("none", "-"), ("thinned", "--"), ("shuffled", ":"), ("backwards", "-.")):
            sizes = sorted(n for r, n, f in groups if (r, f) == (recording, fault))
            share = [np.mean([bool(r["claimed"]) for r in groups[recording, n, fault]]) for n in sizes]
            if sizes:
                ax.plot(sizes, share, style, marker="o", label=f"{recording}, {fault}")
    ax.axhline(0.05, color="grey", linewidth=0.8)
    sizes = sorted({n for _, n, _ in groups})
    ax.set_xscale("log")
    ax.set_xticks(sizes, [str(n) for n in sizes], minor=False)
    ax.minorticks_off()
    ax.set(xlabel="trials on each side", ylabel="share of tables with a claim", ylim=(-0.02, 1.02))
    ax.legend(fontsize=7, ncols=2)
    figure.savefig(DOCS / "verdict-power.png", dpi=110)
    return [
        "## False alarms and power",
        "",
        "Share of tables in which any row claims a difference, or something too good. Fault *none*: other real trials. "
        "Faults: thinned by 10 %, half of the trials shuffled, all played backwards. Without the classifier that learns.",
        "",
        markdown_table(["recording", "n", "fault", "tables", "95 % interval", "rows that match", "most often"], table),
        "",
        "![false alarms and power](../../../docs/verdict-power.png)",
    ]


def doses(rows: Rows) -> list[str]:
    """Scores at rising doses, and the score at which the strong classifier reaches the same AUC for every fault."""
    found: dict[tuple[str, str, str], dict[float, list[float]]] = {}
    for r in rows:
        value = r["value"] if r["metric"] == "c2st_rich" else r["score"]
        series = found.setdefault((r["recording"], r["corruption"], r["metric"]), {})
        series.setdefault(r["dose"], []).append(np.nan if value is None else value)
    metrics = [m for m in HELDOUT_METRICS if m.name != "c2st_basic"]
    figure = Figure(figsize=(13, 13), layout="constrained")
    axes = figure.subplots(5, 5, sharey=True).ravel()
    table = []
    for ax, metric in zip(axes, metrics):
        equal = []
        for recording in dict.fromkeys(r["recording"] for r in rows):
            series = found.get((recording, metric.yardstick, metric.name))
            auc = found.get((recording, metric.yardstick, "c2st_rich"))
            if not series or not np.isfinite(list(series.values())).any():
                equal.append("-")
                continue
            at = sorted(series)
            mean = [np.mean(series[d]) for d in at]
            ax.plot(at, mean, marker="o", label=recording)
            if auc:
                equal.append(f"{_score_at(at, mean, [np.mean(auc[d]) for d in at]):.2f}")
        ax.axhline(metric.tolerance, color="grey", linewidth=0.8)
        ax.set_title(f"{metric.name}\n{CORRUPTIONS[metric.yardstick].short}", fontsize=8)
        ax.set(ylim=(-0.1, 1.5))
        table.append([f"`{metric.name}`", metric.yardstick, *equal, f"{metric.tolerance:g}"])
    for ax in axes:
        if len(ax.lines) < 2:  # nothing but the tolerance
            ax.set_axis_off()
    axes[0].legend(fontsize=7)
    figure.supxlabel("dose")
    figure.supylabel("score")
    figure.savefig(DOCS / "verdict-doses.png", dpi=110)
    names = list(dict.fromkeys(r["recording"] for r in rows))
    return [
        "## Dose and response",
        "",
        f"Score of each metric at the dose of its own corruption at which the strong classifier reaches an AUC of {SAME_AUC}.",
        "",
        markdown_table(["metric", "corruption", *names, "tolerance"], table),
        "",
        "![dose and response](../../../docs/verdict-doses.png)",
    ]


def _score_at(dose: Sequence[float], score: Sequence[float], auc: Sequence[float]) -> float:
    """Score at the dose at which the AUC first reaches the common value, between the doses that were tried."""
    auc = np.maximum.accumulate(auc)
    at = float(np.interp(SAME_AUC, [0.5, *auc], [0.0, *dose]))
    return float(np.interp(at, [0.0, *dose], [0.0, *score]))


def coverage(rows: Rows) -> list[str]:
    """How often intervals hold the truth where trials are windows of autocorrelated stretches."""
    table = []
    for blocks in (True, False):
        of = [r for r in rows if r["blocks"] is blocks]
        if not of:
            continue
        cells = ["stretches" if blocks else "windows, as if independent"]
        for name in ("rate_rmse", "count_w1"):
            ends = [r["intervals"][name] for r in of if r["intervals"][name][0] is not None]
            held = [low <= 0.5 <= high for low, high in ends if np.isfinite(low)]
            cells.append(f"{np.mean(held):.2f} of {len(held)}" if held else "-")
        false = sum(bool(r["false"]) for r in of)
        table.append([*cells, f"{false} of {len(of)}"])
    return [
        "## Coverage where trials depend on each other",
        "",
        "Windows cut from stretches with a slow common gain, thinned by 10 % (score 0.5). Share of 95 % intervals that hold "
        "the truth, and tables with a false claim, when the bootstrap resamples stretches or windows.",
        "",
        markdown_table(["resampled", "`rate_rmse`", "`count_w1`", "false claims"], table),
    ]
