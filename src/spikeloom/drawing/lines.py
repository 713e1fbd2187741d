"""Lines over time, lag or frequency, with a band around them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from spikeloom.drawing.style import MUTED, PAST_END, line_colors, time_unit

FAINT = "#adb5bd"
"""Colour of a line at zero."""
FEW_POINTS = 60
"""Curves of fewer points are drawn with a marker at each."""


def line_with_band(
    ax: Axes,
    x: Float[np.ndarray, "point"],
    y: Float[np.ndarray, "point"],
    low: Float[np.ndarray, "point"] | None = None,
    high: Float[np.ndarray, "point"] | None = None,
    *,
    color: str,
    band_alpha: float = 0.15,
    band_label: str | None = None,
    **style: Any,
) -> Axes:
    """Draw a line and, where its limits are given, a band around it.

    Args:
        ax: Axes to draw into.
        x: Places of the points.
        y: The line.
        low: Lower edge of the band.
        high: Upper edge of the band.
        color: Colour of both.
        band_alpha: Opacity of the band.
        band_label: Name of the band in the legend.
        style: Further properties of the line.

    Returns:
        The axes.
    """
    ax.plot(x, y, color=color, **style)
    if low is not None and high is not None:
        ax.fill_between(x, low, high, color=color, alpha=band_alpha, linewidth=0, label=band_label)
    return ax


def traces(
    ax: Axes, values: Float[np.ndarray, "time dim"], bin_s: float, labels: Sequence[str] = (), n_bins: int | None = None
) -> Axes:
    """Draw the dimensions of a signal over time, with their names above the axes.

    Args:
        ax: Axes to draw into.
        values: One value in each bin and dimension; NaN leaves a gap.
        bin_s: Width of a bin in seconds.
        labels: A name for each dimension; no legend for a single one.
        n_bins: Bins of the time axis, where the trial may end earlier; as many as there are values when not given.

    Returns:
        The axes.
    """
    length, n_dims = values.shape
    time = (np.arange(length) + 0.5) * bin_s
    style: dict[str, Any] = {"linewidth": 1.4} if length > 1 else {"marker": "o", "markersize": 3.5}
    for i, color in enumerate(line_colors(n_dims)):
        ax.plot(time, values[:, i], color=color, label=labels[i] if labels else None, **style)
    end_s = (n_bins or length) * bin_s
    if length * bin_s < end_s:
        ax.axvspan(length * bin_s, end_s, color=PAST_END, linewidth=0)
    ax.set(xlim=(0, end_s), xlabel=f"time ({time_unit(bin_s)})")
    if n_dims > 1 and labels:
        ax.legend(
            loc="lower right",
            bbox_to_anchor=(1.0, 1.0),
            ncols=n_dims,
            borderpad=0,
            borderaxespad=0.3,
            columnspacing=1.2,
            handlelength=1.0,
            handletextpad=0.5,
        )
    return ax


def zero_line(ax: Axes, y: float = 0.0, color: str = FAINT) -> Axes:
    """Draw a thin horizontal line behind everything, at zero or at another reference."""
    ax.axhline(y, color=color, linewidth=0.9 if color == MUTED else 0.8, zorder=0)
    return ax


def markers_for(n_points: int) -> dict[str, Any]:
    """Properties of a curve of so many points: with markers where they are few."""
    return {"marker": "o", "markersize": 3.5} if n_points < FEW_POINTS else {}
