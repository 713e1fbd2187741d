"""A neuron in one or several sets of trials: its average response, tuning, and intervals between spikes."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from spikeloom.data.averages import group_rates
from spikeloom.data.comparisons import column_of
from spikeloom.data.spikedata import SpikeData
from spikeloom.drawing.distributions import steps
from spikeloom.drawing.style import rate_unit, time_unit
from spikeloom.errors import DataError
from spikeloom.evaluation import spike_statistics as ss
from spikeloom.evaluation.portraits import SMOOTH_S, tuning_curves
from spikeloom.plot.sets import axes_of, checked_neuron, label_sets, milliseconds, named_sets


def psth(
    data: SpikeData,
    generated: SpikeData | None = None,
    floor: SpikeData | None = None,
    *,
    neuron: int = 0,
    condition: object = None,
    by: str = "condition",
    smooth_s: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the trial-averaged rate of a neuron over time.

    Args:
        data: A recording.
        generated: Generated trials of the same neurons.
        floor: Other real trials.
        neuron: Which neuron, from 0.
        condition: Value of the column ``by`` whose trials are averaged; all trials when not given.
        by: Trial column with the condition.
        smooth_s: Standard deviation in seconds of the Gaussian that smooths counts; 25 ms, or half a bin where that is
            more, when not given.
        ax: Axes to draw into; a new figure when not given.

    Raises:
        DataError: If there is no such neuron, or a set has no trial of the condition.
    """
    ax, sets = axes_of(ax), named_sets(data, generated, floor)
    smooth_s = max(SMOOTH_S, data.bin_s / 2) if smooth_s is None else smooth_s
    for name, each, color, width in sets:
        chosen = each
        if condition is not None:
            there = np.array([str(v) == str(condition) for v in column_of(each.trials, by, "trial")])
            if not there.any():
                raise DataError(f"the {name} trials have none with {by} '{condition}'; name another one.")
            chosen = each[there]
        rate = group_rates(chosen.select(neurons=[checked_neuron(data, neuron)]), smooth_s=smooth_s or None)[0][0, :, 0]
        stop = int((chosen.valid.sum(0) >= min(ss.MIN_TRIALS_PER_CELL, chosen.n_trials)).sum())
        time = (np.arange(stop) + 0.5) * data.bin_s
        ax.plot(time, rate[:stop], color=color, linewidth=width, label=name)
    ax.set(xlabel=f"time ({time_unit(data.bin_s)})", ylabel=f"rate ({rate_unit(data.bin_s)})")
    ax.set_ylim(bottom=0)
    label_sets(ax, sets)
    return ax


def tuning(
    data: SpikeData,
    generated: SpikeData | None = None,
    floor: SpikeData | None = None,
    *,
    neuron: int = 0,
    variable: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the mean rate of a neuron against a trial column, or the direction of a signal.

    Args:
        data: A recording.
        generated: Generated trials of the same neurons.
        floor: Other real trials.
        neuron: Which neuron, from 0.
        variable: Trial column, or signal of two dimensions; when not given, the first angle among the columns of all
            sets, else their condition, else the direction of a velocity.
        ax: Axes to draw into; a new figure when not given.

    Raises:
        DataError: If there is no such neuron, or the sets have no such variable in common.
    """
    ax, sets = axes_of(ax), named_sets(data, generated, floor)
    checked_neuron(data, neuron)
    curves = tuning_curves([each.data for each in sets][::-1], variable)
    if curves is None:
        named = f"no '{variable}'" if variable else "no angle, condition or signal of two dimensions"
        raise DataError(f"the sets have {named} in common, so there is no tuning; load one, or name a trial column.")
    at = np.arange(len(curves.points))
    for each, rates in zip(sets, curves.rate_hz[::-1, :, neuron]):
        ax.plot(at, rates, "o-", color=each.color, linewidth=each.width, markersize=3.5, label=each.name)
    names = [f"{p:.4g}" if isinstance(p, float) else str(p) for p in curves.points]
    ax.set_xticks(at, names)
    ax.set_xlabel(f"{curves.variable} ({curves.unit})" if curves.unit else curves.variable)
    ax.set_ylabel(f"rate ({rate_unit(data.bin_s)})")
    ax.set_ylim(bottom=0)
    label_sets(ax, sets)
    return ax


def intervals(
    data: SpikeData,
    generated: SpikeData | None = None,
    floor: SpikeData | None = None,
    *,
    neuron: int = 0,
    ax: Axes | None = None,
) -> Axes:
    """Draw the distribution of the intervals between spikes of a neuron, shares on a logarithmic scale.

    Args:
        data: A recording.
        generated: Generated trials of the same neurons.
        floor: Other real trials.
        neuron: Which neuron, from 0.
        ax: Axes to draw into; a new figure when not given.

    Raises:
        DataError: If there is no such neuron, or it has no two spikes in a trial of the recording.
    """
    ax, sets = axes_of(ax), named_sets(data, generated, floor)
    checked_neuron(data, neuron)
    own = []
    for each in sets:
        part = each.data.select(neurons=[neuron])
        own.append(ss.interspike_intervals(part.counts, part.lengths, part.bin_s)[0])
    real = own[[each.data is data for each in sets].index(True)]
    if not len(real):
        raise DataError(f"neuron {neuron} has no two spikes in a trial, so there are no intervals; choose another one.")
    reach = float(np.quantile(real, 0.99))
    # Whole bins, so that no histogram cell holds more possible intervals than its neighbour.
    cells = min(max(min(map(len, own)) // 12, 8), 40)
    width = max(1, round(reach / data.bin_s / cells)) * data.bin_s
    edges = np.arange(0, reach + 2 * width, width)
    unit, factor = milliseconds(data.bin_s)
    for each, values in zip(sets, own):
        share = np.histogram(values, edges)[0] / max(len(values), 1)
        steps(ax, share, edges * factor, color=each.color, label=each.name, width=each.width, gaps=True)
    ax.set(xlim=(0, edges[-1] * factor), yscale="log")
    ax.set(xlabel=f"interval between spikes ({unit})", ylabel="share of intervals (log scale)")
    label_sets(ax, sets)
    return ax
