"""One picture of a recording as it was understood: trials, signals, rates, counts, trial lengths and splits."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpecFromSubplotSpec
from matplotlib.ticker import MaxNLocator

from spikeloom.data.spikedata import Signal, SpikeData
from spikeloom.drawing.distributions import bars
from spikeloom.drawing.lines import traces
from spikeloom.drawing.raster import raster, raster_image
from spikeloom.drawing.rows import membership_rows
from spikeloom.drawing.style import INK, MUTED, REAL, REAL_MAP, new_figure, note, rate_unit, styled, time_unit

MOST_BINS = 1500
"""Bins of a trial that are drawn, from its start."""
IMAGE_BINS = 500
"""Trials with more bins are drawn spike by spike, because a bin would be narrower than a pixel."""
MOST_NEURONS = 200
"""Neurons of a raster, evenly spread over all."""
MOST_SIGNALS = 3
MOST_DIMS = 6
LEGEND = 30
"""Letters of the names of dimensions that fit beside the name of a signal."""
MOST_CELLS = 20_000_000
"""Counts whose distribution is drawn, of as many trials as have so many, evenly spread."""


@styled
def recording_figure(data: SpikeData, name: str = "") -> Figure:
    """Draw what a recording holds: two trials with their signals above what its trials and neurons are like.

    Of long trials the beginning is drawn, of large populations some neurons, of many signals the first; the labels say
    so.

    Args:
        data: The recording.
        name: Its name, for the title.

    Returns:
        The figure.
    """
    shown = [0] if data.n_trials == 1 else [0, data.n_trials - 1]
    signals = list(data.signals.items())[:MOST_SIGNALS]
    heights = [2.7, *([1.0] * len(signals))]
    figure = new_figure(11.0, 0.7 + sum(heights) + 2.3)
    figure.suptitle(_title(data, name), x=0.012, ha="left", color=INK, fontsize=11)
    outer = figure.add_gridspec(2, 1, height_ratios=[sum(heights), 2.1])
    trials = GridSpecFromSubplotSpec(len(heights), len(shown), outer[0], height_ratios=heights)
    n_bins = min(max(int(data.lengths[trial]) for trial in shown), MOST_BINS)
    neurons = np.unique(np.linspace(0, data.n_neurons - 1, min(data.n_neurons, MOST_NEURONS)).round().astype(int))
    first: list[Axes] = []
    for column, trial in enumerate(shown):
        axes = [
            figure.add_subplot(trials[row, column], sharey=first[row] if first else None) for row in range(len(heights))
        ]
        first = first or axes
        _raster(axes[0], data, trial, neurons, n_bins)
        for each, (label, signal) in zip(axes[1:], signals):
            _signal(each, data, trial, label if column == 0 else "", signal, n_bins)
        for each in axes[:-1]:
            each.set_xlabel("")
            each.tick_params(labelbottom=False)
        if column:
            axes[0].set_ylabel("")
            for each in axes:
                each.tick_params(labelleft=False)
    bottom = GridSpecFromSubplotSpec(1, 4, outer[1], width_ratios=[1, 1, 1, 1.25])
    for place, draw in enumerate((_rates, _counts, _lengths, _splits)):
        draw(figure.add_subplot(bottom[place]), data)
    figure.align_ylabels(first)
    return figure


def _title(data: SpikeData, name: str) -> str:
    low, high = int(data.lengths.min()), int(data.lengths.max())
    width = "" if data.bin_s == 1.0 else f" of {1e3 * data.bin_s:.4g} ms"
    sizes = [
        f"{data.n_trials} {'trial' if data.n_trials == 1 else 'trials'}",
        f"{low}{'' if low == high else f' to {high}'} {'bin' if low == high == 1 else 'bins'}{width}",
        f"{data.n_neurons} {'neuron' if data.n_neurons == 1 else 'neurons'}",
    ]
    further = len(data.signals) - MOST_SIGNALS
    if further > 0:
        sizes.append(f"{further} further {'signal' if further == 1 else 'signals'} not drawn")
    return (f"{name}:  " if name else "") + ",  ".join(sizes)


def _raster(ax: Axes, data: SpikeData, trial: int, neurons: np.ndarray, n_bins: int) -> None:
    length = int(data.lengths[trial])
    counts = data.counts[trial, : min(length, n_bins)][:, neurons]
    if n_bins <= IMAGE_BINS:
        brightest = max(1.0, float(np.quantile(counts, 0.995)))
        raster_image(ax, counts, data.bin_s, n_bins, REAL_MAP, brightest)
    else:
        raster(ax, counts, data.bin_s, n_bins)
        for collection in ax.collections:
            collection.set_rasterized(True)  # thousands of ticks, in a file of lines
    if len(neurons) < data.n_neurons:
        ax.set_yticks([1, len(neurons)], ["1", str(data.n_neurons)])
        ax.set_ylabel(f"neuron ({len(neurons)} of {data.n_neurons})")
    which = "the only trial" if data.n_trials == 1 else f"trial {trial + 1} of {data.n_trials}"
    if length > n_bins:
        which += f", its first {n_bins * data.bin_s:.4g} of {length * data.bin_s:.4g} {time_unit(data.bin_s)}"
    elif "condition" in data.trials:
        which += f" (condition {_short(str(data.trials['condition'].iloc[trial]))})"
    ax.set_title(which)


def _signal(ax: Axes, data: SpikeData, trial: int, name: str, signal: Signal, n_bins: int) -> None:
    """Draw a signal in a trial; its name and those of its dimensions stand above it where a name is given."""
    length, all_dims = min(int(data.lengths[trial]), n_bins), signal.values.shape[2]
    n_dims = min(all_dims, MOST_DIMS)
    room = LEGEND * (2 if data.n_trials == 1 else 1) // n_dims
    labels = [_short(label, room) for label in signal.columns[:n_dims]] if name else []
    labels = labels if len(set(labels)) == len(labels) else []
    traces(ax, signal.values[trial, :length, :n_dims], data.bin_s, labels, n_bins)
    if not np.isfinite(signal.values[trial, :length, :n_dims]).any():
        note(ax, [("no value in this trial", MUTED)])
    if name:
        some = f", {n_dims} of {all_dims}" if n_dims < all_dims else ""
        ax.set_title(_short(name, 24) + (f" ({_short(signal.unit, 12)})" if signal.unit else "") + some)
    ax.yaxis.set_major_locator(MaxNLocator(3))


def _rates(ax: Axes, data: SpikeData) -> None:
    rates = data.counts.sum(axis=(0, 1), dtype=np.int64) / (data.lengths.sum() * data.bin_s)
    _histogram(ax, rates, 30)
    ax.set(xlabel=f"mean rate ({rate_unit(data.bin_s)})", ylabel="neurons")
    silent = int((rates == 0).sum())
    ax.set_title(f"rates: mean {rates.mean():.3g} {rate_unit(data.bin_s)}" + (f", {silent} silent" if silent else ""))


def _counts(ax: Axes, data: SpikeData) -> None:
    step = max(1, data.counts.size // MOST_CELLS)
    number = np.bincount(data.counts[::step][data.valid[::step]].ravel())
    width = max(1, len(number) // 40)  # counts that share a bar
    grouped = np.add.reduceat(number, np.arange(0, len(number), width))
    bars(ax, grouped / number.sum(), np.arange(len(grouped) + 1) * width - 0.5, log=True)
    ax.xaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
    ax.set(xlabel="spikes in a bin", ylabel="share of bins")
    ax.set_title(f"counts: at most {len(number) - 1} in a bin")


def _lengths(ax: Axes, data: SpikeData) -> None:
    seconds = data.lengths * data.bin_s
    same = seconds.min() == seconds.max()
    _histogram(ax, seconds, 30)
    unit = time_unit(data.bin_s)
    ax.set(xlabel=f"length ({unit})", ylabel="trials")
    span = f"all {seconds[0]:.4g}" if same else f"{seconds.min():.4g} to {seconds.max():.4g}"
    ax.set_title(f"trial lengths: {span} {unit}")


def _splits(ax: Axes, data: SpikeData) -> None:
    groups = {_short(str(name), 14): indices for name, indices in data.splits.items()}
    inside = np.concatenate([np.zeros(0, dtype=np.int64), *groups.values()])
    rest = np.setdiff1d(np.arange(data.n_trials), inside)
    if len(rest):
        groups["in no split" if groups else "all"] = rest
    membership_rows(ax, groups, data.n_trials)
    ax.xaxis.set_major_locator(MaxNLocator(3, integer=True, min_n_ticks=1))
    ax.set(xlabel="trial")
    ax.set_title("splits" if data.splits else "splits: none yet")


def _histogram(ax: Axes, values: np.ndarray, most: int) -> None:
    """A histogram from 0 in as many cells as the number of values allows."""
    top = float(values.max())
    if values.min() == top:
        half = 0.03 * (top or 1.0)
        bars(ax, np.array([len(values)]), np.array([top - half, top + half]))
        ax.set_xlim(min(0.0, top - half), 1.5 * (top or 1.0))
    else:
        cells = int(np.clip(2 * len(values) ** 0.5, 8, most))
        bars(ax, *np.histogram(values, np.linspace(0, top, cells + 1)), color=REAL)
    ax.yaxis.set_major_locator(MaxNLocator(4, integer=True))


def _short(text: str, most: int = 18) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
