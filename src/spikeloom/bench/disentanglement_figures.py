"""Figures of a benchmark of models with codes: measures by subject, and codes and traversals of single subjects."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spikeloom.bench.code_measures import DIRECTIONS, DRAWS, traversal
from spikeloom.bench.code_subjects import CodeModel
from spikeloom.bench.disentanglement_record import MEASURES, DisentanglementRecord
from spikeloom.bench.panels import LINES, draw_seeds, key_line, key_marker, subject_rows
from spikeloom.bench.reach_task import ReachTask
from spikeloom.drawing.style import GENERATED, INK, MUTED, new_figure, styled, write_png
from spikeloom.errors import DataError, SpikeloomWarning
from spikeloom.evaluation.behaviour import TARGET
from spikeloom.evaluation.code_map import LinearMap, medoid
from spikeloom.report.figures import codes_by_target, traversals

PANELS = (
    "r2_draw r2_expected snr_target snr_start readout_target_x readout_target_y cos_target cos_all "
    "unintended_ratio_row unintended_ratio_pinv end_error_row inside_row heldout_error radial_reach covariance spread"
).split()
"""Measures that are drawn, where the recording has what they need."""
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
"""A reference farther away than this many times the span of the subjects is left to the tables."""
TRAVERSAL_STEPS = 7
DRAWN = ("gnocchi", "pca")
"""Subjects whose codes and traversals are drawn."""


# -- all subjects ----------------------------------------------------------------------------------------------------


@styled
def draw_disentanglement(record: DisentanglementRecord) -> Figure:
    """Measures by subject: mean over seeds with its 95 % confidence interval, every seed, real and chance."""
    panels = [key for key in PANELS if any(record.mean(name, key).n for name in record.subjects)]
    rows = -(-len(panels) // COLUMNS)
    figure = new_figure(13.0, 0.9 + rows * (0.85 + 0.24 * len(record.subjects)))
    axes = figure.subplots(rows, COLUMNS, sharey=True, squeeze=False).ravel()
    for ax, key in zip(axes, panels):
        _panel(ax, record, key)
    for ax in axes[len(panels) :]:
        ax.set_visible(False)
    handles = [
        key_line("mean over seeds, 95 % interval", marker="o", markersize=6, linewidth=1.6),
        key_marker("one seed", "|"),
        key_line("recorded activity itself", LINES["real"]),
        key_line("chance", LINES["chance"]),
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=4, columnspacing=1.8, borderpad=0.2)
    return figure


def _panel(axes: Axes, record: DisentanglementRecord, key: str) -> None:
    drawn: list[float] = []
    for place, name in enumerate(record.subjects):
        if values := list(record.values(name, key).values()):
            draw_seeds(axes, place, values, *LOOKS.get(name, (INK, "^")), half_width=record.mean(name, key).half)
            drawn += values
    low, high = min(drawn), max(drawn)
    span = (high - low) or abs(high) or 1.0
    edges = [low, high]
    for kind in ("real", "chance"):
        value = record.reference(kind, key)
        if low - CROWDED * span < value < high + CROWDED * span:
            axes.axvline(value, zorder=1, **LINES[kind])
            edges.append(value)
    title, better = MEASURES[key].title, MEASURES[key].better
    if better in ("0", "1"):
        axes.axvline(float(better), color=MUTED, linewidth=0.8, zorder=0)
    # An interval of few seeds may be many times as wide as all that was measured: the panel shows what was measured.
    margin = 0.12 * ((max(edges) - min(edges)) or span)
    axes.set_xlim(min(edges) - margin, max(edges) + margin)
    axes.set_title(title.replace("pseudo-inverse", "pinv"), pad=14)
    mark = f"{better} is better" if better in ("higher", "lower") else f"{better} is right" if better else " "
    offset = {"xytext": (0, 3), "textcoords": "offset points"}
    axes.annotate(mark, (0, 1), xycoords="axes fraction", fontsize=8, color=MUTED, **offset)
    subject_rows(axes, [record.labels[name] for name in record.subjects])
    axes.locator_params(axis="x", nbins=5)


# -- one subject -----------------------------------------------------------------------------------------------------


def draw_subject(model: CodeModel, name: str, label: str, task: ReachTask, out: Path) -> None:
    """Codes by target (codes-NAME.png) and traversals from the most typical trial (walks-NAME.png) of some subjects."""
    if name not in DRAWN:
        return
    codes = model.codes(task.data)
    train = task.rows("train")
    code_map = LinearMap.fit(codes[train], task.values[train], task.places)
    shown = np.concatenate([task.rows("val", "test"), task.heldout])
    figure = codes_by_target(codes[shown], task.targets[shown], np.isin(shown, task.heldout), code_map, unit=task.unit)
    out.mkdir(parents=True, exist_ok=True)
    write_png(figure, out / f"codes-{name}.png")
    if task.decoder is None or not len(task.rows("val", "test")):
        return
    try:
        write_png(_traversals(model, label, task, codes, code_map), out / f"walks-{name}.png")
    except DataError:  # codes carry no information about the target
        return


def _traversals(model: CodeModel, label: str, task: ReachTask, codes: np.ndarray, code_map: LinearMap) -> Figure:
    rows = task.rows("val", "test")
    base = rows[[medoid(codes[rows])]]
    reach = max(float(np.ptp(task.goals(name))) / 2 for name in TARGET)
    amounts = np.linspace(-reach, reach, TRAVERSAL_STEPS)
    paths, variables, titles = [], [], []
    for direction in DIRECTIONS:
        for name in TARGET:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", SpikeloomWarning)
                found = traversal(
                    model, task, code_map, codes[base], base, name, amounts[None], direction,
                    DRAWS if model.random else 1, 0,
                )  # fmt: skip
            paths.append(found[0, :, : int(task.data.lengths[base[0]])])
            variables.append(name)
            kind = "read-out direction" if direction == "row" else "pseudo-inverse"
            titles.append(f"{label}: {name.replace('_', ' ')}, {kind}")
    targets, heldout = (np.zeros((0, 2)), None) if task.grid is None else (task.grid, task.only_heldout)
    x_label = "change of target read from code" + (f" ({task.unit})" if task.unit else "")
    return traversals(np.stack(paths), variables, amounts, targets, heldout, task.unit, x_label, titles)
