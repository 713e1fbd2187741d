"""Raster: the spikes of one trial, a row for each neuron."""

from __future__ import annotations

import numpy as np
from jaxtyping import Num
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgba

from spikeloom.plot.style import REAL

PAST_END = "#f1f3f5"
"""Colour of the time after the end of a trial."""


def raster(
    ax: Axes, counts: Num[np.ndarray, "time neuron"], bin_s: float, n_bins: int | None = None, color: str = REAL
) -> Axes:
    """Draw the spikes of a trial; a tick is darker the more spikes its bin holds.

    Args:
        ax: Axes to draw into.
        counts: Spike counts in the valid bins of the trial.
        bin_s: Width of a bin in seconds.
        n_bins: Bins of the time axis, where the trial may end earlier; as many as the trial has when not given.
        color: Colour of the spikes.

    Returns:
        The axes.
    """
    length, n_neurons = counts.shape
    end_s = (n_bins or length) * bin_s
    time, neuron = np.nonzero(counts)
    colors = np.tile(to_rgba(color), (len(time), 1))
    colors[:, 3] = 0.4 + 0.6 * counts[time, neuron] / max(counts.max(), 1)
    at_s = (time + 0.5) * bin_s
    ticks = np.stack([np.stack([at_s, neuron + 0.6], axis=1), np.stack([at_s, neuron + 1.4], axis=1)], axis=1)
    ax.add_collection(LineCollection(list(ticks), colors=colors, linewidths=0.8))
    if length * bin_s < end_s:
        ax.axvspan(length * bin_s, end_s, color=PAST_END, linewidth=0)
    ax.set(xlim=(0, end_s), ylim=(n_neurons + 0.5, 0.5), yticks=sorted({1, n_neurons}))
    ax.set(xlabel="time (s)", ylabel="neuron")
    return ax
