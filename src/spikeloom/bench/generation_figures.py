"""Figure of a benchmark of generation: the four published metrics by both protocols, every subject beside the floor."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from spikeloom.bench.generation_record import GenerationRecord
from spikeloom.bench.panels import LINES, draw_seeds, fit_axis, key_line, key_marker, say_absent, subject_rows
from spikeloom.bench.quality import Protocol
from spikeloom.drawing.style import FLOOR, GENERATED, INK, MUTED, new_figure, styled

COLOURS = {
    "ldns": GENERATED,
    "eag": "#1864ab",
    "lfads": "#2f9e44",
    "tndm": "#9c36b5",
    "pivae": "#b08900",
    "autoencoder": INK,
}
"""Colour of every system; baselines are grey."""
HISTORY = "-history"
BAND = 3
"""Standard deviations of the floor that are shaded."""
LONG_RANGE = 1.5
"""Ratio of the largest to the smallest value from which an axis is logarithmic."""


class Panel(NamedTuple):
    """A metric that is drawn: title, key, factor to the unit of the title."""

    title: str
    key: str
    scale: float = 1.0


ROWS: dict[Protocol, tuple[Panel, ...]] = {
    protocol: (
        Panel("population count, KL (nats)", keys[0]),
        Panel("pairwise correlations, RMSE", keys[1]),
        Panel("mean interval, RMSE (ms)", keys[2], 1e3),
        Panel("sd of intervals, RMSE (ms)", keys[3], 1e3),
    )
    for protocol, keys in {
        "heldout": ("count_kl", "corr_rmse", "isi_mean_rmse", "isi_std_rmse"),
        "ldns": ("kl_div_psc", "rmse_corr", "rmse_mean_isi", "rmse_std_isi"),
    }.items()
}  # type: ignore[misc]
TITLES: dict[Protocol, str] = {
    "heldout": "against held-out trials",
    "ldns": "published protocol, against training trials",
}


@styled
def draw_generation(record: GenerationRecord) -> Figure:
    """Metrics by subject on logarithmic axes: mean over seeds, every seed, and the floor as a band."""
    figure = new_figure(13.0, 0.6 + len(ROWS) * (1.2 + 0.2 * len(record.subjects)))
    parts: Any = figure.subfigures(len(ROWS), 1, squeeze=False, hspace=0.03)
    for part, (protocol, panels) in zip(parts[:, 0], ROWS.items()):
        axes = part.subplots(1, len(panels), sharey=True)
        for ax, panel in zip(axes, panels):
            _panel(ax, record, protocol, panel)
        part.suptitle(TITLES[protocol], x=0.01, ha="left", fontsize=11, color=INK)
    handles = [
        key_marker("with spike history, or a baseline"),
        key_marker("Poisson", filled=False),
        key_marker("one seed", "|"),
        key_line("floor: real against real", LINES["floor"]),
        Patch(color=FLOOR, alpha=0.4, label="± 3 s.d. of the floor"),
    ]
    figure.legend(handles=handles, loc="outside upper right", ncols=5, columnspacing=1.6, borderpad=0.2)
    return figure


def _panel(axes: Axes, record: GenerationRecord, protocol: Protocol, panel: Panel) -> None:
    floor = record.floor_of(protocol, panel.key)
    drawn = [] if floor is None else [floor.value * panel.scale]
    beyond: list[int] = []
    for place, name in enumerate(record.subjects):
        values = [s.value * panel.scale for s in record.scores(name, protocol, panel.key)]
        finite = [v for v in values if np.isfinite(v) and v > 0]
        beyond += [place] if values and not finite else []
        if finite:
            colour = COLOURS.get(name.removesuffix(HISTORY), MUTED)
            draw_seeds(axes, place, finite, colour, filled=name.endswith(HISTORY) or colour == MUTED)
            drawn += finite
    axes.set_title(panel.title)
    subject_rows(axes, [record.labels[name] for name in record.subjects])
    if not drawn:
        say_absent(axes, "x")
        return
    low, high = fit_axis(axes, "x", min(drawn), max(drawn), log=max(drawn) / min(drawn) > LONG_RANGE)
    if floor is not None:
        value, sd = floor.value * panel.scale, floor.se * panel.scale if np.isfinite(floor.se) else 0.0
        axes.axvspan(max(value - BAND * sd, low), max(value + BAND * sd, low), color=FLOOR, alpha=0.4, linewidth=0)
        axes.axvline(value, zorder=1, **LINES["floor"])
        axes.set_xlim(low, max(high, (value + BAND * sd) * 1.05))
    for place in beyond:
        axes.annotate("∞ ", (axes.get_xlim()[1], place), ha="right", va="center", color=MUTED, fontsize=9)
