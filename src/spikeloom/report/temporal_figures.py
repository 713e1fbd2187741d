"""Figures of time scales: autocorrelation of neurons, power spectrum of the population count."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from scipy.signal import get_window

from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import DataError
from spikeloom.evaluation import spike_statistics as ss
from spikeloom.evaluation.dynamics import autocorrelation as lagged_autocorrelation
from spikeloom.evaluation.dynamics import population_periodograms
from spikeloom.plot.lines import line_with_band, zero_line
from spikeloom.plot.spectrum import spectrum_axes
from spikeloom.plot.style import MIN_SPECTRUM_BINS, legend_above, log_axis, new_figure, styled, time_unit
from spikeloom.report.sets import named_sets


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
    lags = np.arange(1, n_lags + 1) * real.bin_s
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
    axes.set(xlabel=f"lag ({time_unit(real.bin_s)})", ylabel="autocorrelation", xlim=(0, lags[-1] * 1.02))
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
    sets = named_sets(real, generated, floor)
    n_bins = min(int(np.median(d.lengths)) for _, d, *_ in sets)
    if n_bins < MIN_SPECTRUM_BINS:
        raise DataError(f"trials of {n_bins} bins are too short for a spectrum ({MIN_SPECTRUM_BINS} are needed).")
    frequencies = np.fft.rfftfreq(n_bins, real.bin_s)[1:]
    # High frequencies are pooled, so that points are evenly spaced on the logarithmic axis.
    starts = np.unique(np.geomspace(1, len(frequencies), 80).round().astype(int)) - 1
    centres = np.add.reduceat(frequencies, starts) / np.diff(starts, append=len(frequencies))
    density = 2 * real.bin_s / (np.asarray(get_window("hann", n_bins)) ** 2).sum()
    figure = new_figure(5.4, 3.2)
    axes = figure.subplots()
    positive = []
    for name, data, colour, width in sets:
        long = data.lengths >= n_bins
        periodograms = population_periodograms(ss.population_count_matrix(data.counts[long, :n_bins]))
        power = density * np.add.reduceat(periodograms, starts, axis=1) / np.diff(starts, append=len(frequencies))
        mean = power.mean(axis=0)
        if not (mean > 0).any():
            continue
        positive.append(mean[mean > 0])
        band = ()
        if data is not floor and len(power) > 1:
            half = 1.96 * power.std(axis=0, ddof=1) / np.sqrt(len(power))
            band = np.maximum(mean - half, mean / 10), mean + half
        line_with_band(axes, centres, mean, *band, color=colour, linewidth=width, label=name)
    if not positive:
        raise DataError("the population counts never vary within a trial, so there is no spectrum.")
    spectrum_axes(axes, frequencies, real.bin_s, "spikes²")
    low, high = min(s.min() for s in positive), max(s.max() for s in positive)
    log_axis(axes.yaxis, float(low), float(high))
    legend_above(figure, axes)
    return figure
