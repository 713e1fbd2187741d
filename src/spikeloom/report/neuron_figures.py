"""Figures of single neurons: rates, variability, interspike intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spikeloom.data.spikedata import SpikeData
from spikeloom.drawing.scatter import Dots, against_diagonal
from spikeloom.drawing.style import (
    FLOOR,
    GENERATED,
    MUTED,
    label_figure,
    legend_above,
    new_figure,
    note,
    pearson,
    rate_unit,
    styled,
)
from spikeloom.errors import DataError
from spikeloom.evaluation import noise
from spikeloom.evaluation import spike_statistics as ss
from spikeloom.plot.neurons import intervals as plot_intervals
from spikeloom.plot.sets import milliseconds, named_sets, without_own_labels
from spikeloom.report.sets import condition_codes

MIN_INTERVALS = 50
"""Neurons with fewer intervals are left out of interval figures, unless that leaves hardly any."""


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
    fano = [noise.fano_factors(d.counts, d.lengths, d.bin_s, condition_codes(d)) for _, d, *_ in sets]
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
    unit, factor = milliseconds(real.bin_s)
    _against_real(axes[0], [m[1][kept] * factor for m in moments], f"ISI mean ({unit})")
    _against_real(axes[1], [m[2][kept] * factor for m in moments], f"ISI sd ({unit})")
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
    frequency, unit = rate_unit(real.bin_s), milliseconds(real.bin_s)[0]
    for place, each in enumerate(axes.flat):
        if place >= len(neurons):
            each.set_axis_off()
            continue
        neuron = neurons[place]
        plot_intervals(real, generated, floor, neuron=neuron, ax=each)
        without_own_labels(each)
        each.set_title(f"neuron {neuron + 1}: {rates[neuron]:.3g} {frequency}")
    legend_above(figure, axes[0, 0])
    label_figure(figure, x=f"interval between spikes ({unit})")
    label_figure(figure, y="share of intervals (log scale)")
    return figure


def _against_real(axes: Axes, values: list[np.ndarray], label: str) -> None:
    """One dot per neuron: generated against held-out real in orange, and other real trials, the floor, in grey."""
    *floor, real, generated = values
    sets = [Dots(generated, GENERATED, 16), *(Dots(y, FLOOR, 13) for y in floor)]
    against_diagonal(axes, real, sets, log=True)
    remarks = []
    for y, name, color in [(generated, "generated", GENERATED), *((y, "other real", MUTED) for y in floor)]:
        both = np.isfinite(real) & np.isfinite(y)
        remarks.append((f"{name} r = {pearson(real[both], y[both])}", color))
    axes.set(xlabel="held-out real", ylabel="generated")
    axes.set_title(label)
    note(axes, remarks)
