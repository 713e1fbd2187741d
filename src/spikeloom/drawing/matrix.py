"""Matrices as images, with their values written into the cells."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.image import AxesImage

from spikeloom.drawing.style import REAL


def matrix(
    ax: Axes, values: Float[np.ndarray, "row column"], limits: tuple[float, float], cmap: str | Colormap
) -> AxesImage:
    """Draw a matrix, a sharp cell for each value; NaN stays empty.

    Args:
        ax: Axes to draw into.
        values: The matrix.
        limits: Values at the two ends of the colours.
        cmap: Colours.

    Returns:
        The image, for a colour bar.
    """
    low, high = limits
    return ax.imshow(values, cmap=cmap, vmin=low, vmax=high, interpolation="nearest")


def write_values(
    ax: Axes,
    values: Float[np.ndarray, "row column"],
    shown: Bool[np.ndarray, "row column"],
    text: Callable[[float], str],
    white_above: float,
    **style: Any,
) -> Axes:
    """Write values into the cells of a matrix, white on dark ones.

    Args:
        ax: Axes with the matrix.
        values: The matrix.
        shown: Cells that are written into.
        text: Text of a value.
        white_above: Values above this one are written in white.
        style: Further properties of the text.

    Returns:
        The axes.
    """
    for row, column in np.argwhere(shown):
        value = float(values[row, column])
        color = "white" if value > white_above else REAL
        ax.text(column, row, text(value), ha="center", va="center", color=color, **style)
    return ax
