"""Figures of time scales: autocorrelation of neurons, power spectrum of the population count."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from spikeloom.data.spikedata import SpikeData
from spikeloom.drawing.lines import line_with_band, zero_line
from spikeloom.drawing.style import legend_above, new_figure, styled
from spikeloom.errors import DataError
from spikeloom.evaluation.dynamics import autocorrelation as lagged_autocorrelation
from spikeloom.plot.population import spectrum
from spikeloom.plot.sets import milliseconds, named_sets


@styled
def autocorrelation(real: SpikeData, generated: SpikeData, floor: SpikeData | None = None, n_lags: int = 30) -> Figure:
    """Autocorrelation of the counts: mean over neurons, and the middle half of the neurons as a band.

    Args:
        real: Real trials.
        generated: Generated trials.
        floor: Other real trials.
        n_lags: Longest lag in bins; half the median trial where that is shorter.

    Raises:
        DataError: If no trial has two bins.
    """
    sets = named_sets(real, generated, floor)
    n_lags = min([n_lags, *(int(np.median(d.lengths)) // 2 for _, d, *_ in sets)])
    if n_lags < 1:
        raise DataError("trials of a single bin have no autocorrelation.")
    figure = new_figure(5.4, 3.2)
    axes = figure.subplots()
    unit, factor = milliseconds(real.bin_s)
    lags = np.arange(1, n_lags + 1) * real.bin_s * factor
    for name, data, colour, width in sets:
        values = lagged_autocorrelation(data.counts, data.lengths, n_lags)
        values = values[:, np.isfinite(values).all(axis=0)]
        if not values.size:
            continue
        marker = "o" if n_lags < 4 else None
        band = () if data is floor else np.quantile(values, [0.25, 0.75], axis=1)
        style = {"linewidth": width, "label": name, "marker": marker, "markersize": 4}
        line_with_band(axes, lags, values.mean(axis=1), *band, color=colour, band_alpha=0.13, **style)
    zero_line(axes)
    axes.set(xlabel=f"lag ({unit})", ylabel="autocorrelation", xlim=(0, lags[-1] * 1.02))
    legend_above(figure, axes)
    return figure


@styled
def power_spectrum(real: SpikeData, generated: SpikeData, floor: SpikeData | None = None) -> Figure:
    """Power spectrum of the population count: mean over trials, with its 95 % interval.

    Trials of unequal length are cut to the median length, and shorter ones left out.

    Args:
        real: Real trials.
        generated: Generated trials.
        floor: Other real trials.

    Raises:
        DataError: If trials are too short for a spectrum.
    """
    figure = new_figure(5.4, 3.2)
    axes = spectrum(real, generated, floor, ax=figure.subplots())
    if (legend := axes.get_legend()) is not None:
        legend.remove()
    legend_above(figure, axes)
    return figure
