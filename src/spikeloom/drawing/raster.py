"""Rasters: the spikes of one trial, a row for each neuron, and of the whole population."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int, Num
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Colormap, to_rgba

from spikeloom.drawing.style import PAST_END, REAL, REAL_MAP, time_unit


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
    time, neuron = np.nonzero(counts)
    colors = np.tile(to_rgba(color), (len(time), 1))
    colors[:, 3] = 0.4 + 0.6 * counts[time, neuron] / max(counts.max(), 1)
    at_s = (time + 0.5) * bin_s
    ticks = np.stack([np.stack([at_s, neuron + 0.6], axis=1), np.stack([at_s, neuron + 1.4], axis=1)], axis=1)
    ax.add_collection(LineCollection(list(ticks), colors=colors, linewidths=0.8))
    return _frame(ax, counts.shape, bin_s, n_bins)


def raster_image(
    ax: Axes,
    counts: Num[np.ndarray, "time neuron"],
    bin_s: float,
    n_bins: int | None = None,
    cmap: Colormap = REAL_MAP,
    brightest: float = 1.0,
) -> Axes:
    """Draw the counts of a trial as an image, for trials whose bins are wider than a pixel.

    Args:
        ax: Axes to draw into.
        counts: Spike counts in the valid bins of the trial.
        bin_s: Width of a bin in seconds.
        n_bins: Bins of the time axis, where the trial may end earlier; as many as the trial has when not given.
        cmap: Colours of counts.
        brightest: Count with the last colour.

    Returns:
        The axes.
    """
    length, n_neurons = counts.shape
    extent = (0, length * bin_s, n_neurons + 0.5, 0.5)
    ax.imshow(counts.T, cmap=cmap, extent=extent, vmin=0, vmax=brightest, interpolation="nearest", aspect="auto")
    return _frame(ax, counts.shape, bin_s, n_bins)


def population_count(
    ax: Axes, counts: Num[np.ndarray, "time neuron"], bin_s: float, step: int = 1, color: str = REAL
) -> Axes:
    """Draw the spikes of the whole population as a filled histogram over time.

    Args:
        ax: Axes to draw into.
        counts: Spike counts in the valid bins of a trial.
        bin_s: Width of a bin in seconds.
        step: Bins that are counted together.
        color: Colour of the area.

    Returns:
        The axes.
    """
    total = grouped_counts(counts, step)
    edges = np.minimum(np.arange(len(total) + 1) * step, len(counts)) * bin_s
    ax.stairs(total, edges, fill=True, color=color, alpha=0.85, linewidth=0)
    return ax


def grouped_counts(counts: Num[np.ndarray, "time neuron"], step: int) -> Int[np.ndarray, "group"]:
    """Spikes of the population in groups of so many bins."""
    return np.add.reduceat(counts.sum(axis=1, dtype=np.int64), np.arange(0, len(counts), step))


def _frame(ax: Axes, shape: tuple[int, ...], bin_s: float, n_bins: int | None) -> Axes:
    """Limits and labels of a raster, with the time after the end of the trial shaded."""
    length, n_neurons = shape
    end_s = (n_bins or length) * bin_s
    if length * bin_s < end_s:
        ax.axvspan(length * bin_s, end_s, color=PAST_END, linewidth=0)
    ax.set(xlim=(0, end_s), ylim=(n_neurons + 0.5, 0.5), yticks=sorted({1, n_neurons}))
    ax.set(xlabel=f"time ({time_unit(bin_s)})", ylabel="neuron")
    return ax
