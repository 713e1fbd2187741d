"""Lines over time, lag or frequency, with a band around them."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from spikeloom.plot.style import MUTED

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


def zero_line(ax: Axes, y: float = 0.0, color: str = FAINT) -> Axes:
    """Draw a thin horizontal line behind everything, at zero or at another reference."""
    ax.axhline(y, color=color, linewidth=0.9 if color == MUTED else 0.8, zorder=0)
    return ax


def markers_for(n_points: int) -> dict[str, Any]:
    """Properties of a curve of so many points: with markers where they are few."""
    return {"marker": "o", "markersize": 3.5} if n_points < FEW_POINTS else {}
