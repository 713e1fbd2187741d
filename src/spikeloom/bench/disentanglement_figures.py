"""Figures of a benchmark of models with codes: measures by subject, and what single subjects' codes look like."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from spikeloom.bench.disentanglement_record import MEASURES, Disentanglement
from spikeloom.errors import DataError, SpikeloomWarning
from spikeloom.evaluation.code_map import LinearMap, medoid
from spikeloom.plot.style import GENERATED, INK, MUTED, new_figure, styled, write_png
from spikeloom.report.figures import codes_by_target, traversals

if TYPE_CHECKING:
    from spikeloom.bench.code_measures import Task
    from spikeloom.bench.code_subjects import Coded

PANELS = (
    "r2_draw",
    "r2_expected",
    "snr_target",
    "snr_start",
    "readout_target_x",
    "readout_target_y",
    "cos_target",
    "cos_all",
    "unintended_ratio_row",
    "unintended_ratio_pinv",
    "end_error_row",
    "inside_row",
    "heldout_error",
    "radial_reach",
    "covariance",
    "spread",
)
"""Measures that are drawn, where the recording tells of them."""
COLUMNS = 4
LOOKS = {
    "gnocchi": (GENERATED, "o"),
    "gnocchi-no-mmd": ("#f59f5e", "o"),
    "code-autoencoder": ("#1864ab", "s"),
    "code-autoencoder-no-mmd": ("#74a9cf", "s"),
    "pca": (MUTED, "D"),
}
"""Colour and marker of every subject."""
CROWDED = 3.0
"""A reference farther away than this many times the span of the subjects is told in words, not drawn."""
WALK_STEPS = 7
DRAWN = ("gnocchi", "pca")
"""Subjects whose codes and walks are drawn."""


# -- all subjects ----------------------------------------------------------------------------------------------------


@styled
def draw_disentanglement(result: Disentanglement) -> Figure:
    """Measures by subject: mean over seeds with its 95 % confidence interval, every seed, real and chance."""
    names = result.subjects
    panels = [key for key in PANELS if any(result.mean(name, key).n for name in names)]
    rows = -(-len(panels) // COLUMNS)
    figure = new_figure(13.0, 0.9 + rows * (0.85 + 0.24 * len(names)))
    axes = figure.subplots(rows, COLUMNS, sharey=True, squeeze=False)
    for each, key in zip(axes.ravel(), panels):
        _panel(each, result, key, names)
    for each in axes.ravel()[len(panels) :]:
        each.set_visible(False)
    figure.legend(handles=_legend(), loc="outside upper left", ncols=4, columnspacing=1.8, borderpad=0.2)
    return figure


def _panel(axes: Axes, result: Disentanglement, key: str, names: list[str]) -> None:
    shown: list[float] = []
    for place, name in enumerate(names):
        colour, marker = LOOKS.get(name, (INK, "^"))
        values = list(result.values(name, key).values())
        mean = result.mean(name, key)
        if not mean.n:
            continue
        axes.plot(values, [place] * len(values), "|", color=colour, markersize=9, markeredgewidth=1.2, alpha=0.7)
        axes.plot(mean.value, place, marker, color=colour, markersize=6, zorder=4)
        if np.isfinite(mean.half):
            axes.hlines(place, mean.value - mean.half, mean.value + mean.half, color=colour, linewidth=1.6, zorder=3)
        shown += values
    low, high = min(shown), max(shown)
    span = (high - low) or abs(high) or 1.0
    edges = [low, high]
    for kind, style in (("real", (0, (5, 3))), ("chance", (0, (1, 1.6)))):
        value = result.references.get(kind, {}).get(key, float("nan"))
        if np.isfinite(value) and low - CROWDED * span < value < high + CROWDED * span:
            axes.axvline(value, color=INK, linestyle=style, linewidth=1.1, zorder=1)
            edges.append(value)
    if MEASURES[key].better in ("0", "1"):
        axes.axvline(float(MEASURES[key].better), color=MUTED, linewidth=0.8, zorder=0)
    # An interval of few seeds may be many times as wide as all that was measured: the panel shows what was measured.
    margin = 0.12 * ((max(edges) - min(edges)) or span)
    axes.set_xlim(min(edges) - margin, max(edges) + margin)
    better = MEASURES[key].better
    mark = f"{better} is better" if better in ("higher", "lower") else f"{better} is right" if better else " "
    axes.set_title(MEASURES[key].title.replace("pseudo-inverse", "pinv"), pad=14)
    axes.annotate(
        mark, (0, 1), xycoords="axes fraction", xytext=(0, 3), textcoords="offset points",
        fontsize=8, color=MUTED,
    )  # fmt: skip
    axes.set_yticks(range(len(names)), [result.labels[name] for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.locator_params(axis="x", nbins=5)
    axes.grid(axis="y", color="#eceef0", linewidth=0.8)


def _legend() -> list[Line2D]:
    return [
        Line2D([], [], color=INK, marker="o", markersize=6, linewidth=1.6, label="mean over seeds, 95 % interval"),
        Line2D([], [], color=INK, marker="|", markersize=9, linestyle="", label="one seed"),
        Line2D([], [], color=INK, linestyle=(0, (5, 3)), linewidth=1.1, label="recorded activity itself"),
        Line2D([], [], color=INK, linestyle=(0, (1, 1.6)), linewidth=1.1, label="chance"),
    ]


# -- one subject -----------------------------------------------------------------------------------------------------


def draw_subject(subject: Coded, name: str, label: str, task: Task, out: Path) -> None:
    """Codes by target (codes-NAME.png) and walks from the most typical trial (walks-NAME.png) of some subjects."""
    if name not in DRAWN:
        return
    codes = subject.codes(task.data)
    train = task.rows("train")
    code_map = LinearMap.fit(codes[train], task.values[train], task.places)
    shown = np.concatenate([task.rows("val", "test"), task.heldout])
    apart = np.isin(shown, task.heldout)
    out.mkdir(parents=True, exist_ok=True)
    figure = codes_by_target(codes[shown], task.targets[shown], apart, code_map, unit=task.unit)
    write_png(figure, out / f"codes-{name}.png")
    if task.decoder is None or not len(task.rows("val", "test")):
        return
    try:
        write_png(_walks(subject, label, task, codes, code_map), out / f"walks-{name}.png")
    except DataError:  # codes tell nothing of the target
        return


def _walks(subject: Coded, label: str, task: Task, codes: np.ndarray, code_map: LinearMap) -> Figure:
    from spikeloom.bench.code_measures import DIRECTIONS, DRAWS, TARGET, walk

    unseen = task.rows("val", "test")
    anchor = unseen[[medoid(codes[unseen])]]
    reach = max(float(np.ptp(task.goals(name))) / 2 for name in TARGET)
    amounts = np.linspace(-reach, reach, WALK_STEPS)
    walks, along, titles = [], [], []
    for direction in DIRECTIONS:
        for name in TARGET:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", SpikeloomWarning)
                found = walk(
                    subject, task, code_map, codes[anchor], anchor, name, amounts[None], direction,
                    DRAWS if subject.random else 1, 0,
                )  # fmt: skip
            walks.append(found[0, :, : int(task.data.lengths[anchor[0]])])
            along.append(name)
            kind = "read-out direction" if direction == "row" else "pseudo-inverse"
            titles.append(f"{label}: {name.replace('_', ' ')}, {kind}")
    targets = np.zeros((0, 2)) if task.grid is None else task.grid
    unseen_targets = None if task.grid is None else task.unseen
    unit = f" ({task.unit})" if task.unit else ""
    return traversals(
        np.stack(walks), along, amounts, targets, unseen_targets, task.unit, f"change of target read from code{unit}",
        titles,
    )  # fmt: skip
