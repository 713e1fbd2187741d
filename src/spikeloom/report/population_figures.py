"""Figures of the population: counts, correlations, autocorrelation, spectrum."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from scipy.signal import get_window

from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import DataError
from spikeloom.evaluation import spike_statistics as ss
from spikeloom.evaluation.dynamics import autocorrelation as lagged_autocorrelation
from spikeloom.evaluation.dynamics import population_periodograms
from spikeloom.plot.style import (
    FLOOR_DENSITY,
    GENERATED,
    GENERATED_DENSITY,
    MIN_SPECTRUM_BINS,
    MUTED,
    frequency_unit,
    label_figure,
    legend_above,
    log_axis,
    new_figure,
    note,
    pearson,
    styled,
    time_unit,
)
from spikeloom.report.sets import named_sets

MANY_PAIRS = 1500
"""Above this many pairs the density of the points is shown in place of the points."""


# -- population counts -----------------------------------------------------------------------------------------------


@styled
def population_counts(real: SpikeData, generated: SpikeData, floor: SpikeData | None = None) -> Figure:
    """Probability of 0, 1, 2, ... spikes of the whole population in a bin, on linear and logarithmic scale.

    Args:
        real: Real trials.
        generated: Generated trials.
        floor: Other real trials.
    """
    sets = [
        (name, ss.population_counts(d.counts, d.lengths), c, w) for name, d, c, w in named_sets(real, generated, floor)
    ]
    pooled = sets[-2][1]
    width = max(1, round(float(pooled.std()) / 4))
    last = max(int(counts.max()) for _, counts, *_ in sets) // width + 1
    edges = np.arange(last + 1) * width - 0.5
    figure = new_figure(11.0, 3.2)
    axes = figure.subplots(1, 2)
    for name, counts, colour, line in sets:
        share = np.bincount(counts // width, minlength=last) / (len(counts) * width)
        for each in axes:
            shown = share if each is axes[0] else np.where(share > 0, share, np.nan)
            each.stairs(shown, edges, color=colour, linewidth=line, label=name, baseline=None)
    reach = max(float(np.quantile(counts, 0.995)) for _, counts, *_ in sets)
    axes[0].set(xlim=(-0.5, max(reach, 1) + width), ylim=(0, None), ylabel="probability")
    axes[1].set(yscale="log", xlim=(-0.5, edges[-1]))
    axes[0].set_title("bulk")
    axes[1].set_title("tail (log scale)")
    legend_above(figure, axes[0])
    label_figure(figure, x="spikes of the population in a bin")
    return figure


# -- pairs -----------------------------------------------------------------------------------------------------------


@styled
def correlation_scatter(real: SpikeData, generated: SpikeData, floor: SpikeData | None = None) -> Figure:
    """Correlations of all pairs: the matrices in one square, and generated against real beside real against real.

    Args:
        real: Real trials.
        generated: Generated trials of the same neurons.
        floor: Other real trials, shown against the same real trials.

    Raises:
        DataError: If fewer than two neurons vary.
    """
    sets = named_sets(real, generated, floor)
    matrices = [ss.correlation_matrix(d.counts, d.lengths) for _, d, *_ in sets]
    *_, ours, theirs = matrices
    below = np.tri(real.n_neurons, k=-1, dtype=bool)
    finite = below & np.all([np.isfinite(m) for m in matrices], axis=0)
    if not finite.any():
        raise DataError("fewer than two neurons vary on every side, so there are no pairs to correlate.")
    figure = new_figure(11.0, 3.6)
    axes = figure.subplots(1, len(sets))
    order = np.argsort(np.linalg.eigh(np.nan_to_num(ours))[1][:, -1], kind="stable")
    both = np.where(below, ours[np.ix_(order, order)], theirs[np.ix_(order, order)])
    np.fill_diagonal(both, np.nan)
    strongest = float(np.quantile(np.abs(ours[finite]), 0.99)) or 1.0
    image = axes[0].imshow(both, cmap="RdBu_r", vmin=-strongest, vmax=strongest, interpolation="nearest")
    figure.colorbar(image, ax=axes[0], label="correlation", shrink=0.8, pad=0.02)
    axes[0].set_title("real (below), generated (above)")
    axes[0].set(xlabel="neuron", ylabel="neuron", xticks=[0, len(both) - 1], yticks=[0, len(both) - 1])
    axes[0].set_xticklabels([1, len(both)])
    axes[0].set_yticklabels([1, len(both)])
    values = [m[finite] for m in matrices]
    low, high = min(v.min() for v in values), max(v.max() for v in values)
    gap = 0.05 * (high - low) or 0.1
    limits = float(low - gap), float(high + gap)
    panels = [(values[-1], GENERATED, GENERATED_DENSITY, "generated")]
    if floor is not None:
        panels.insert(0, (values[0], MUTED, FLOOR_DENSITY, "other real"))
    for each, (y, colour, colours, name) in zip(axes[1:], panels):
        _pairs(each, values[-2], y, limits, colour, colours)
        each.set(xlabel="held-out real", ylabel=name)
        each.set_title(f"{name} against held-out", color=colour)
    return figure


def _pairs(
    axes: Axes, x: np.ndarray, y: np.ndarray, limits: tuple[float, float], colour: str, colours: Colormap
) -> None:
    if len(x) > MANY_PAIRS:
        axes.hexbin(x, y, gridsize=55, extent=(*limits, *limits), mincnt=1, bins="log", cmap=colours, linewidths=0)
    else:
        axes.scatter(x, y, s=10, color=colour, alpha=0.6, linewidths=0)
    axes.plot(limits, limits, color=MUTED, linewidth=0.9)
    axes.set(xlim=limits, ylim=limits)
    axes.set_box_aspect(1)
    slope = float(x @ y / (x @ x)) if (x @ x) > 0 else float("nan")
    note(axes, [(f"r = {pearson(x, y)}", colour), (f"slope = {slope:.2f}", colour)])


# -- spikes ----------------------------------------------------------------------------------------------------------


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
        axes.plot(lags, values.mean(axis=1), color=colour, linewidth=width, label=name, marker=marker, markersize=4)
        if data is not floor:
            quarters = np.quantile(values, [0.25, 0.75], axis=1)
            axes.fill_between(lags, *quarters, color=colour, alpha=0.13, linewidth=0)
    axes.axhline(0, color="#adb5bd", linewidth=0.8, zorder=0)
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
    seen = []
    for name, data, colour, width in sets:
        long = data.lengths >= n_bins
        periodograms = population_periodograms(ss.population_count_matrix(data.counts[long, :n_bins]))
        power = density * np.add.reduceat(periodograms, starts, axis=1) / np.diff(starts, append=len(frequencies))
        mean = power.mean(axis=0)
        if not (mean > 0).any():
            continue
        seen.append(mean[mean > 0])
        axes.plot(centres, mean, color=colour, linewidth=width, label=name)
        if data is not floor and len(power) > 1:
            half = 1.96 * power.std(axis=0, ddof=1) / np.sqrt(len(power))
            axes.fill_between(
                centres, np.maximum(mean - half, mean / 10), mean + half, color=colour, alpha=0.15, linewidth=0
            )
    if not seen:
        raise DataError("the population counts never vary within a trial, so there is no spectrum.")
    axes.set(xscale="log", yscale="log", xlabel=f"frequency ({frequency_unit(real.bin_s)})")
    axes.set_ylabel(f"power (spikes² / {'(cycle/bin)' if real.bin_s == 1.0 else 'Hz'})")
    log_axis(axes.xaxis, float(frequencies[0]), float(frequencies[-1]))
    low, high = min(s.min() for s in seen), max(s.max() for s in seen)
    log_axis(axes.yaxis, float(low), float(high))
    legend_above(figure, axes)
    return figure
