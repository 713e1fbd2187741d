"""Parts of the figures of benchmarks: subjects in rows, seeds as ticks, reference lines, axes that fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from spikeloom.drawing.style import INK, MUTED, log_axis

DASHED, DOTTED = (0, (5, 3)), (0, (1, 1.6))
LINES: dict[str, dict[str, Any]] = {
    "floor": {"color": INK, "linestyle": DASHED, "linewidth": 1.1},
    "real": {"color": INK, "linestyle": DASHED, "linewidth": 1.1},
    "chance": {"color": INK, "linestyle": DOTTED, "linewidth": 1.1},
    "ceiling": {"color": INK, "linestyle": DOTTED, "linewidth": 1.5},
}
"""Lines of what results are compared with."""


def subject_rows(axes: Axes, labels: Sequence[str]) -> None:
    """One row for each subject, the first at the top."""
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.grid(axis="y", color="#eceef0", linewidth=0.8)


def draw_seeds(
    axes: Axes,
    place: int,
    values: Sequence[float],
    colour: str,
    marker: str = "o",
    filled: bool = True,
    half_width: float = float("nan"),
) -> None:
    """Every seed of a subject as a tick, and their mean as a marker with its confidence interval, if there is one."""
    if len(values) > 1:
        axes.plot(values, [place] * len(values), "|", color=colour, markersize=8.5, markeredgewidth=1.1, alpha=0.75)
    mean, face = float(np.mean(values)), colour if filled else "white"
    axes.plot(mean, place, marker, color=colour, markersize=6, markerfacecolor=face, markeredgewidth=1.4, zorder=4)
    if np.isfinite(half_width):
        axes.hlines(place, mean - half_width, mean + half_width, color=colour, linewidth=1.6, zorder=3)


def fit_axis(
    axes: Axes, which: Literal["x", "y"], low: float, high: float, log: bool, margin: float = 0.15, factor: float = 1.35
) -> tuple[float, float]:
    """Set the scale of an axis so that its values lie within; its ends."""
    if log:
        axes.set(**{f"{which}scale": "log"})
        log_axis(axes.xaxis if which == "x" else axes.yaxis, low, high)
        low, high = low / factor, high * factor
    else:
        space = margin * (high - low) or 0.1 * abs(high) or 1.0
        low, high = low - space, high + space
    axes.set(**{f"{which}lim": (low, high)})
    return low, high


def say_absent(axes: Axes, which: Literal["x", "y"]) -> None:
    """Fill a panel whose metric does not exist for this recording, in place of the values of an axis."""
    axes.text(0.5, 0.5, "does not exist here", ha="center", transform=axes.transAxes, color=MUTED)
    axes.set(**{f"{which}ticks": []})


def key_line(label: str, style: Mapping[str, Any] | None = None, **more: Any) -> Line2D:
    """An entry of a legend."""
    options: dict[str, Any] = {"color": INK} | dict(style or {}) | more
    return Line2D([], [], label=label, **options)


def key_marker(label: str, marker: str = "o", filled: bool = True, **more: Any) -> Line2D:
    """An entry of a legend that is a marker without a line."""
    face = {} if filled else {"markerfacecolor": "white"}
    return key_line(
        label, {"marker": marker, "markersize": 6 if marker == "o" else 8.5, "linestyle": ""}, **face, **more
    )
