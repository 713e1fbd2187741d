"""Distributions as steps and as bars."""

from __future__ import annotations

import numpy as np
from jaxtyping import Num
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter

from spikeloom.drawing.style import REAL


def steps(
    ax: Axes,
    heights: Num[np.ndarray, "cell"],
    edges: Num[np.ndarray, "edge"],
    *,
    color: str,
    label: str | None = None,
    width: float = 1.8,
    gaps: bool = False,
) -> Axes:
    """Draw a histogram as its outline.

    Args:
        ax: Axes to draw into.
        heights: Height of each cell.
        edges: Edges of the cells, one more than there are cells.
        color: Colour of the line.
        label: Name in the legend.
        width: Width of the line in points.
        gaps: Whether empty cells are left open, as on logarithmic axes.

    Returns:
        The axes.
    """
    shown = np.where(heights > 0, heights, np.nan) if gaps else heights
    ax.stairs(shown, edges, color=color, linewidth=width, label=label, baseline=None)
    return ax


def bars(
    ax: Axes, heights: Num[np.ndarray, "cell"], edges: Num[np.ndarray, "edge"], *, color: str = REAL, log: bool = False
) -> Axes:
    """Draw a histogram as a filled area.

    Args:
        ax: Axes to draw into.
        heights: Height of each cell.
        edges: Edges of the cells, one more than there are cells.
        color: Colour of the area.
        log: Whether heights are drawn on a logarithmic axis, on which empty cells stay open.

    Returns:
        The axes.
    """
    if log:
        least = float(heights[heights > 0].min(initial=1.0))
        floor = 10.0 ** np.floor(np.log10(least / 1.5))
        ax.stairs(np.where(heights > 0, heights, np.nan), edges, baseline=floor, fill=True, color=color, alpha=0.85)
        ax.set(yscale="log", ylim=(floor, 2.0 * float(heights.max(initial=least))))
        ax.yaxis.set_minor_formatter(NullFormatter())
    else:
        ax.stairs(heights, edges, fill=True, color=color, alpha=0.85, linewidth=0)
        ax.set_ylim(0, 1.08 * max(float(heights.max(initial=0.0)), 1e-12))
    ax.set_xlim(edges[0], edges[-1])
    return ax
