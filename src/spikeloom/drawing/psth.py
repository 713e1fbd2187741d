"""Peristimulus time histograms: mean rates over time, a line for each group of trials."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from spikeloom.drawing.style import line_colors, rate_unit, time_unit


def psth(
    ax: Axes,
    rates_hz: Float[np.ndarray, "group time"],
    bin_s: float,
    labels: Sequence[str] = (),
    title: str | None = None,
    colors: Sequence[str] | None = None,
) -> Axes:
    """Draw the mean rate of each group of trials.

    Args:
        ax: Axes to draw into.
        rates_hz: Mean rates in spikes a second; NaN where no trial of a group has the bin.
        bin_s: Width of a bin in seconds.
        labels: A name for each group, for the legend; no legend without them.
        title: Title of the legend.
        colors: A colour for each group; spread over a colour map when not given, black for a single group.

    Returns:
        The axes.
    """
    n_groups, n_bins = rates_hz.shape
    if colors is None:
        colors = line_colors(n_groups)
    time = (np.arange(n_bins) + 0.5) * bin_s
    for i, (rate, color) in enumerate(zip(rates_hz, colors)):
        ax.plot(time, rate, color=color, label=labels[i] if labels else None)
    ax.set(xlim=(0, n_bins * bin_s), xlabel=f"time ({time_unit(bin_s)})", ylabel=f"rate ({rate_unit(bin_s)})")
    ax.set_ylim(bottom=0)
    if labels:
        ax.legend(frameon=False, title=title)
    return ax
