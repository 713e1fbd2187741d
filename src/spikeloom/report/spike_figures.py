"""Figures of spikes and of single neurons: rasters, rates, intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import Figure

from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import DataError
from spikeloom.evaluation import spike_statistics as ss
from spikeloom.evaluation.pairing import check_comparable
from spikeloom.plot.style import (
    FLOOR,
    GENERATED,
    GENERATED_MAP,
    MUTED,
    REAL,
    REAL_MAP,
    label_figure,
    legend_above,
    log_axis,
    new_figure,
    note,
    pearson,
    rate_unit,
    styled,
    time_unit,
)
from spikeloom.report.sets import named_sets

MIN_INTERVALS = 50
"""Neurons with fewer intervals are left out of interval figures, unless that leaves hardly any."""

MANY_BINS = 500
"""Trials with more bins are drawn spike by spike, because a bin would be narrower than a pixel."""


# -- rasters ---------------------------------------------------------------------------------------------------------


@styled
def rasters(real: SpikeData, generated: SpikeData, trials: Sequence[int] = (0, 1, 2)) -> Figure:
    """Spikes of all neurons in a few trials, real on the left and generated on the right, above population counts.

    Neurons are in the same order everywhere: by their weight in the leading pattern of the real correlations.

    Args:
        real: Real trials.
        generated: Generated trials of the same neurons.
        trials: Which trials to show; those that either side does not have are skipped.

    Raises:
        DataError: If none of the trials exist.
    """
    check_comparable(real, generated)
    shown = [t for t in trials if t < min(real.n_trials, generated.n_trials)]
    if not shown:
        raise DataError(f"none of the trials {list(trials)} exists on both sides; choose others.")
    order = neuron_order(real)
    figure = new_figure(11.0, 0.5 + 2.3 * len(shown))
    axes = figure.subplots(2 * len(shown), 2, sharex=True, squeeze=False, height_ratios=[3.4, 1] * len(shown))
    chosen = [(real, REAL, REAL_MAP, "real"), (generated, GENERATED, GENERATED_MAP, "generated")]
    step = 1 if max(real.n_bins, generated.n_bins) <= MANY_BINS else -(-max(real.n_bins, generated.n_bins) // 250)
    pieces = [[data.counts[t, : data.lengths[t]] for t in shown] for data, *_ in chosen]
    brightest = max(1.0, float(np.quantile(np.concatenate(pieces[0]), 0.995)))
    totals = [[_grouped(piece, step) for piece in column] for column in pieces]
    most = max(int(total.max()) for column in totals for total in column)
    n_bins = max(len(piece) for column in pieces for piece in column)
    for column, (data, colour, colours, name) in enumerate(chosen):
        for row, counts in enumerate(pieces[column]):
            top, bottom = axes[2 * row : 2 * row + 2, column]
            _raster(top, counts[:, order], data.bin_s, n_bins, colours, colour, brightest)
            label = f"{name}, trial {shown[row] + 1}"
            if "condition" in data.trials:
                label += f" (condition {data.trials['condition'].iloc[shown[row]]})"
            top.set_title(label, color=colour)
            edges = np.minimum(np.arange(len(totals[column][row]) + 1) * step, len(counts)) * data.bin_s
            bottom.stairs(totals[column][row], edges, fill=True, color=colour, alpha=0.85, linewidth=0)
            bottom.set(ylim=(0, max(most, 1) * 1.05), xlim=(0, n_bins * data.bin_s))
            if column == 0:
                top.set_ylabel("neuron")
                bottom.set_ylabel("spikes\nper bin" if step == 1 else f"spikes /\n{step * data.bin_s * 1e3:g} ms")
            if row == len(shown) - 1:
                bottom.set_xlabel(f"time ({time_unit(data.bin_s)})")
    figure.align_ylabels(axes[:, 0])
    return figure


def _grouped(counts: np.ndarray, step: int) -> np.ndarray:
    """Spikes of the population in groups of so many bins."""
    return np.add.reduceat(counts.sum(axis=1, dtype=np.int64), np.arange(0, len(counts), step))


def neuron_order(real: SpikeData) -> Int[np.ndarray, "neuron"]:
    """Neurons ordered by their weight in the leading eigenvector of the correlations, so that structure shows."""
    correlations = np.nan_to_num(ss.correlation_matrix(real.counts, real.lengths))
    leading = np.linalg.eigh(correlations)[1][:, -1]
    return np.argsort(leading * np.sign(leading.sum() or 1.0), kind="stable")


def _raster(
    axes: Axes, counts: np.ndarray, bin_s: float, n_bins: int, colours: Colormap, colour: str, brightest: float
) -> None:
    length, n_neurons = counts.shape
    if n_bins <= MANY_BINS:
        extent = (0, length * bin_s, n_neurons + 0.5, 0.5)
        options = {"vmin": 0, "vmax": brightest, "interpolation": "nearest", "aspect": "auto"}
        axes.imshow(counts.T, cmap=colours, extent=extent, **options)
    else:
        time, neuron = np.nonzero(counts)
        axes.vlines((time + 0.5) * bin_s, neuron + 0.6, neuron + 1.4, color=colour, linewidth=0.7)
    if length < n_bins:
        axes.axvspan(length * bin_s, n_bins * bin_s, color="#f1f3f5", linewidth=0)
    axes.set(ylim=(n_neurons + 0.5, 0.5), xlim=(0, n_bins * bin_s), yticks=sorted({1, n_neurons}))
    axes.tick_params(labelbottom=False)


# -- single neurons --------------------------------------------------------------------------------------------------


@styled
def rate_scatter(real: SpikeData, generated: SpikeData, floor: SpikeData | None = None) -> Figure:
    """Mean rate and Fano factor (100 ms windows) of every neuron, generated against real.

    Args:
        real: Real trials.
        generated: Generated trials of the same neurons.
        floor: Other real trials, shown against the same real trials.
    """
    sets = named_sets(real, generated, floor)
    rates = [ss.mean_rates_hz(d.counts, d.lengths, d.bin_s) for _, d, *_ in sets]
    fano = [ss.fano_factors(d.counts, d.lengths, d.bin_s, _conditions(d)) for _, d, *_ in sets]
    figure = new_figure(5.4, 3.2)
    axes = figure.subplots(1, 2)
    _against_real(axes[0], rates, f"mean rate ({rate_unit(real.bin_s)})")
    _against_real(axes[1], fano, "Fano factor")
    return figure


@styled
def isi_scatter(real: SpikeData, generated: SpikeData, floor: SpikeData | None = None) -> Figure:
    """Mean and standard deviation of every neuron's intervals between spikes, generated against real.

    Args:
        real: Real trials.
        generated: Generated trials of the same neurons.
        floor: Other real trials, shown against the same real trials.

    Raises:
        DataError: If no neuron has two intervals on every side.
    """
    sets = named_sets(real, generated, floor)
    moments = []
    for _, data, *_ in sets:
        intervals, neuron = ss.interspike_intervals(data.counts, data.lengths, data.bin_s)
        moments.append(ss.interval_moments(intervals, neuron, data.n_neurons))
    number = np.min([m[0] for m in moments], axis=0)
    kept = number >= (MIN_INTERVALS if (number >= MIN_INTERVALS).sum() >= 5 else 2)
    if not kept.any():
        raise DataError("no neuron has two intervals between spikes on every side.")
    figure = new_figure(5.4, 3.2)
    axes = figure.subplots(1, 2)
    unit = time_unit(real.bin_s)
    _against_real(axes[0], [m[1][kept] for m in moments], f"ISI mean ({unit})")
    _against_real(axes[1], [m[2][kept] for m in moments], f"ISI sd ({unit})")
    return figure


@styled
def isi_histograms(
    real: SpikeData, generated: SpikeData, floor: SpikeData | None = None, neurons: Sequence[int] | None = None
) -> Figure:
    """Distribution of the intervals between spikes of a few neurons.

    Args:
        real: Real trials.
        generated: Generated trials of the same neurons.
        floor: Other real trials.
        neurons: Which neurons; up to six between the slowest and the fastest with enough intervals when not given.

    Raises:
        DataError: If no neuron has two intervals on every side.
    """
    sets = named_sets(real, generated, floor)
    intervals = [ss.interspike_intervals(d.counts, d.lengths, d.bin_s) for _, d, *_ in sets]
    if neurons is None:
        number = np.min([np.bincount(n, minlength=real.n_neurons) for _, n in intervals], axis=0)
        able = np.flatnonzero(number >= (MIN_INTERVALS if (number >= MIN_INTERVALS).any() else 2))
        able = able[np.argsort(number[able], kind="stable")]
        neurons = able[np.unique(np.linspace(0, len(able) - 1, min(6, len(able))).round().astype(int))].tolist()
    if not neurons:
        raise DataError("no neuron has two intervals between spikes on every side.")
    rates = ss.mean_rates_hz(real.counts, real.lengths, real.bin_s)
    rows = -(-len(neurons) // 3)
    figure = new_figure(11.0, 0.5 + 2.0 * rows)
    axes = figure.subplots(rows, min(3, len(neurons)), squeeze=False)
    unit, frequency = time_unit(real.bin_s), rate_unit(real.bin_s)
    for place, each in enumerate(axes.flat):
        if place >= len(neurons):
            each.set_axis_off()
            continue
        neuron = neurons[place]
        own = [values[which == neuron] for values, which in intervals]
        reach = float(np.quantile(own[-2], 0.99)) if len(own[-2]) else real.bin_s
        # Whole bins, so that no histogram cell holds more possible intervals than its neighbour.
        cells = min(max(min(map(len, own)) // 12, 8), 40)
        width = max(1, round(reach / real.bin_s / cells)) * real.bin_s
        edges = np.arange(0, reach + 2 * width, width)
        for (name, _, colour, line), values in zip(sets, own):
            share = np.histogram(values, edges)[0] / max(len(values), 1)
            each.stairs(
                np.where(share > 0, share, np.nan), edges, color=colour, linewidth=line, label=name, baseline=None
            )
        each.set(xlim=(0, edges[-1]), yscale="log")
        each.set_title(f"neuron {neuron + 1}: {rates[neuron]:.3g} {frequency}")
    legend_above(figure, axes[0, 0])
    label_figure(figure, x=f"interval between spikes ({unit})")
    label_figure(figure, y="share of intervals (log scale)")
    return figure


def _against_real(axes: Axes, values: list[np.ndarray], label: str) -> None:
    """One dot a neuron: the last of the values against the one before it, and the first, the floor, in grey."""
    *floor, real, generated = values
    points = np.concatenate([v[np.isfinite(v)] for v in values])
    low, high = (float(points.min()), float(points.max())) if len(points) else (0.0, 1.0)
    logarithmic = low > 0 and high / low > 6
    if logarithmic:
        limits = low / (high / low) ** 0.06, high * (high / low) ** 0.06
        axes.set(xscale="log", yscale="log")
        for axis in (axes.xaxis, axes.yaxis):
            log_axis(axis, low, high)
    else:
        gap = 0.06 * (high - low) or 0.5
        limits = low - gap, high + gap
    axes.plot(limits, limits, color=MUTED, linewidth=0.9, zorder=0)
    remarks = []
    for y, colour, size, name in [(generated, GENERATED, 16, "generated")] + [
        (f, FLOOR, 13, "other real") for f in floor
    ]:
        both = np.isfinite(real) & np.isfinite(y)
        order = 2 if colour == GENERATED else 1
        axes.scatter(real[both], y[both], s=size, color=colour, alpha=0.8, linewidths=0, zorder=order)
        remarks.append((f"{name} r = {pearson(real[both], y[both])}", colour if colour == GENERATED else MUTED))
    axes.set(xlim=limits, ylim=limits, xlabel="held-out real", ylabel="generated")
    axes.set_title(label)
    axes.set_box_aspect(1)
    note(axes, remarks)


def _conditions(data: SpikeData) -> Int[np.ndarray, "trial"] | None:
    if "condition" not in data.trials:
        return None
    return np.unique(data.trials["condition"].astype(str), return_inverse=True)[1].astype(np.int64)
