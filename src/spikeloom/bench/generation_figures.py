"""Figure of a benchmark of generation: the four published metrics by both protocols, every subject beside the floor."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from spikeloom.bench.generation_record import Generation, Protocol
from spikeloom.plot.style import FLOOR, GENERATED, INK, MUTED, log_axis, new_figure, styled

COLOURS = {
    "ldns": GENERATED,
    "eag": "#1864ab",
    "lfads": "#2f9e44",
    "tndm": "#9c36b5",
    "pivae": "#b08900",
    "autoencoder": INK,
}
"""Colour of every system; controls are grey."""
HISTORY = "-history"
BAND = 3
"""Standard deviations of the floor that are shaded."""
LONG_RANGE = 1.5
"""Ratio of the largest to the smallest value from which an axis is logarithmic."""


class Shown(NamedTuple):
    """What a panel shows."""

    title: str
    key: str
    scale: float = 1.0


ROWS: dict[Protocol, tuple[Shown, ...]] = {
    "heldout": (
        Shown("population count, KL (nats)", "count_kl"),
        Shown("pairwise correlations, RMSE", "corr_rmse"),
        Shown("mean interval, RMSE (ms)", "isi_mean_rmse", 1e3),
        Shown("sd of intervals, RMSE (ms)", "isi_std_rmse", 1e3),
    ),
    "ldns": (
        Shown("population count, KL (nats)", "kl_div_psc"),
        Shown("pairwise correlations, RMSE", "rmse_corr"),
        Shown("mean interval, RMSE (ms)", "rmse_mean_isi", 1e3),
        Shown("sd of intervals, RMSE (ms)", "rmse_std_isi", 1e3),
    ),
}
TITLES: dict[Protocol, str] = {
    "heldout": "against held-out trials",
    "ldns": "published protocol, against training trials",
}


@styled
def draw_generation(result: Generation) -> Figure:
    """Metrics by subject on logarithmic axes: mean over seeds, every seed, and the floor as a band.

    Args:
        result: What was measured.
    """
    names = result.subjects
    figure = new_figure(13.0, 0.6 + len(ROWS) * (1.2 + 0.2 * len(names)))
    parts: Any = figure.subfigures(len(ROWS), 1, squeeze=False, hspace=0.03)
    for part, (protocol, panels) in zip(parts[:, 0], ROWS.items()):
        axes = part.subplots(1, len(panels), sharey=True)
        for each, panel in zip(axes, panels):
            _panel(each, result, protocol, panel, names)
        part.suptitle(TITLES[protocol], x=0.01, ha="left", fontsize=11, color=INK)
    figure.legend(handles=_legend(), loc="outside upper right", ncols=5, columnspacing=1.6, borderpad=0.2)
    return figure


def _panel(axes: Axes, result: Generation, protocol: Protocol, panel: Shown, names: list[str]) -> None:
    floor = result.floor_of(protocol, panel.key)
    known = [] if floor is None else [floor.value * panel.scale]
    beyond: list[int] = []
    for place, name in enumerate(names):
        values = [s.value * panel.scale for s in result.scores(name, protocol, panel.key)]
        finite = [v for v in values if np.isfinite(v) and v > 0]
        beyond += [place] if values and not finite else []
        if not finite:
            continue
        colour = COLOURS.get(name.removesuffix(HISTORY), MUTED)
        filled = name.endswith(HISTORY) or colour == MUTED
        if len(finite) > 1:
            axes.plot(finite, [place] * len(finite), "|", color=colour, markersize=8, markeredgewidth=1.1, alpha=0.75)
        mean = float(np.mean(finite))
        axes.plot(
            mean, place, "o", color=colour, markersize=6, markerfacecolor=colour if filled else "white",
            markeredgewidth=1.4, zorder=4,
        )  # fmt: skip
        known += finite
    axes.set_title(panel.title)
    axes.set_yticks(range(len(names)), [result.labels[name] for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(axis="y", color="#eceef0", linewidth=0.8)
    if not known:
        axes.text(0.5, 0.5, "does not exist here", ha="center", transform=axes.transAxes, color=MUTED)
        axes.set_xticks([])
        return
    low, high = _scale(axes, known)
    if floor is not None:
        value, sd = floor.value * panel.scale, floor.se * panel.scale if np.isfinite(floor.se) else 0.0
        axes.axvspan(max(value - BAND * sd, low), max(value + BAND * sd, low), color=FLOOR, alpha=0.4, linewidth=0)
        axes.axvline(value, color=INK, linestyle=(0, (5, 3)), linewidth=1.1, zorder=1)
        axes.set_xlim(low, max(high, (value + BAND * sd) * 1.05))
    for place in beyond:
        axes.annotate("∞ ", (axes.get_xlim()[1], place), ha="right", va="center", color=MUTED, fontsize=9)


def _scale(axes: Axes, known: list[float]) -> tuple[float, float]:
    """Set the axis for these values; its ends."""
    low, high = min(known), max(known)
    if high / low > LONG_RANGE:
        axes.set_xscale("log")
        log_axis(axes.xaxis, low, high)
        low, high = low / 1.35, high * 1.35
    else:
        margin = 0.15 * (high - low) or 0.1 * high
        low, high = low - margin, high + margin
    axes.set_xlim(low, high)
    return low, high


def _legend() -> list[Line2D | Patch]:
    return [
        Line2D([], [], color=INK, marker="o", markersize=6, linestyle="", label="with spike history, or a control"),
        Line2D([], [], color=INK, marker="o", markersize=6, markerfacecolor="white", linestyle="", label="Poisson"),
        Line2D([], [], color=INK, marker="|", markersize=8, linestyle="", label="one seed"),
        Line2D([], [], color=INK, linestyle=(0, (5, 3)), linewidth=1.1, label="floor: real against real"),
        Patch(color=FLOOR, alpha=0.4, label="± 3 s.d. of the floor"),
    ]
