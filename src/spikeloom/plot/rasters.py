"""The spikes of a trial."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int
from matplotlib.axes import Axes

from spikeloom.data.spikedata import SpikeData
from spikeloom.drawing import raster as primitive
from spikeloom.drawing.style import GENERATED, GENERATED_MAP, REAL_MAP
from spikeloom.drawing.style import REAL as DARK
from spikeloom.plot.sets import axes_of

MANY_BINS = 500
"""Trials of more bins are drawn as ticks, as a bin would be narrower than a pixel; shorter ones as cells of counts."""


def raster(
    data: SpikeData,
    trial: int = 0,
    *,
    order: Int[np.ndarray, "neuron"] | None = None,
    color: str = DARK,
    n_bins: int | None = None,
    brightest: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the spikes of one trial, a row for each neuron: ticks in long trials, cells of counts in short ones.

    Args:
        data: A recording, real or generated.
        trial: Which trial; negative ones count from the end.
        order: Neurons from top to bottom; as recorded when not given.
        color: Colour of the spikes.
        n_bins: Bins of the time axis; those of the trial when not given.
        brightest: Count with the darkest cell; that of nearly the largest count of the trial when not given.
        ax: Axes to draw into; a new figure when not given.

    Raises:
        DataError: If there is no such trial.
    """
    ax = axes_of(ax)
    part = data[trial]
    counts = part.counts[0, : part.lengths[0]]
    counts = counts if order is None else counts[:, order]
    if (n_bins or len(counts)) > MANY_BINS:
        return primitive.raster(ax, counts, data.bin_s, n_bins, color)
    if brightest is None:
        brightest = max(1.0, float(np.quantile(counts, 0.995)))
    cmap = GENERATED_MAP if color == GENERATED else REAL_MAP
    return primitive.raster_image(ax, counts, data.bin_s, n_bins, cmap, brightest)
