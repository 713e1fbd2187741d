"""Distributions as steps."""

from __future__ import annotations

import numpy as np
from jaxtyping import Num
from matplotlib.axes import Axes


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
