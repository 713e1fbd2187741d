"""Values of one set against those of another, around the diagonal on which both are equal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Num
from matplotlib.axes import Axes
from matplotlib.colors import Colormap

from spikeloom.drawing.style import MUTED, log_axis

MANY_POINTS = 1500
"""Above this number the density of the points is shown in place of the points."""
LONG_RANGE = 6
"""Positive values whose largest is so many times the smallest are drawn on logarithmic axes."""


class Dots(NamedTuple):
    """One set of dots.

    Attributes:
        y: Value of each dot; its x is that of the reference.
        color: Colour.
        size: Area in square points.
        alpha: Opacity.
    """

    y: Num[np.ndarray, "_"]
    color: str
    size: float = 14
    alpha: float = 0.8


def against_diagonal(
    ax: Axes,
    x: Num[np.ndarray, "_"],
    sets: Sequence[Dots],
    *,
    log: bool = False,
    margin: float = 0.06,
    limits: tuple[float, float] | None = None,
) -> Axes:
    """Draw dots against a reference and the diagonal of equality, on square axes of one scale.

    Dots without a finite value on both axes are left out.

    Args:
        ax: Axes to draw into.
        x: Value of each dot in the reference.
        sets: The sets, from front to back.
        log: Whether long ranges of positive values may be drawn on logarithmic axes.
        margin: Room beyond the outermost values, as a share of their range.
        limits: Range of the values; that of all finite ones when not given.

    Returns:
        The axes.
    """
    every = [x, *(dots.y for dots in sets)]
    finite = np.concatenate([np.asarray(v, dtype=float)[np.isfinite(v)] for v in every])
    low, high = limits or ((float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0))
    if log and low > 0 and high / low > LONG_RANGE:
        factor = (high / low) ** margin
        ends = low / factor, high * factor
        ax.set(xscale="log", yscale="log")
        for axis in (ax.xaxis, ax.yaxis):
            log_axis(axis, low, high)
    else:
        gap = margin * (high - low) or 0.5
        ends = low - gap, high + gap
    diagonal(ax, ends, behind=True)
    for place, dots in enumerate(sets):
        both = np.isfinite(x) & np.isfinite(dots.y)
        order = len(sets) - place
        ax.scatter(x[both], dots.y[both], s=dots.size, color=dots.color, alpha=dots.alpha, linewidths=0, zorder=order)
    return ax


def density_against_diagonal(
    ax: Axes, x: Num[np.ndarray, "_"], y: Num[np.ndarray, "_"], limits: tuple[float, float], color: str, cmap: Colormap
) -> Axes:
    """Draw dots around the diagonal or, where they are many, their density in hexagons.

    Args:
        ax: Axes to draw into.
        x: Value of each dot in the reference.
        y: Value of each dot in the other set.
        limits: Ends of both axes.
        color: Colour of dots.
        cmap: Colours of densities.

    Returns:
        The axes.
    """
    if len(x) > MANY_POINTS:
        ax.hexbin(x, y, gridsize=55, extent=(*limits, *limits), mincnt=1, bins="log", cmap=cmap, linewidths=0)
    else:
        ax.scatter(x, y, s=10, color=color, alpha=0.6, linewidths=0)
    return diagonal(ax, limits)


def diagonal(ax: Axes, limits: tuple[float, float], behind: bool = False) -> Axes:
    """Draw the diagonal of equality, and make the axes square with the same ends."""
    (line,) = ax.plot(limits, limits, color=MUTED, linewidth=0.9)
    if behind:
        line.set_zorder(0)
    ax.set(xlim=limits, ylim=limits)
    ax.set_box_aspect(1)
    return ax
