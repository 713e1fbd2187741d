"""Groups as rows of shaded cells, so that one sees where in a sequence the members of each group are."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Int
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from spikeloom.drawing.style import FLOOR, REAL_MAP

MOST_CELLS = 60
"""Cells of a row; of longer sequences, several neighbours share one."""
FULL = 2 / 3
"""Place on the colour map of a cell that is all of the group: the colour of real data."""
HALF_HEIGHT = 0.3


def membership_rows(ax: Axes, groups: Mapping[str, Int[np.ndarray, "_"]], n: int) -> Axes:
    """Draw a row for each group; a cell is darker the more of the sequence there belongs to the group.

    Args:
        ax: Axes to draw into.
        groups: Indices of the members, by the name of the group, from the top to the bottom.
        n: Length of the sequence.

    Returns:
        The axes.
    """
    edges = np.unique(np.linspace(0, n, min(n, MOST_CELLS) + 1).round().astype(int))
    for row, members in enumerate(groups.values()):
        share = np.histogram(members, edges - 0.5)[0] / np.diff(edges)
        borders = [row - HALF_HEIGHT, row + HALF_HEIGHT]
        ax.pcolormesh(edges + 0.5, borders, share[None], cmap=REAL_MAP, vmin=0, vmax=1 / FULL, rasterized=True)
        ax.add_patch(Rectangle((0.5, borders[0]), n, 2 * HALF_HEIGHT, fill=False, edgecolor=FLOOR, linewidth=0.8))
    ax.set_yticks(range(len(groups)), [f"{name}  {len(members)}" for name, members in groups.items()])
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    below = max(len(groups), 3) - 0.4
    ax.set(xlim=(0.5, n + 0.5), ylim=(below, -0.6))
    return ax
