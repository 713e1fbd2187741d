"""The population: correlations of its pairs, and the spectrum of its count."""

from __future__ import annotations

from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from scipy.signal import get_window

from spikeloom.data.spikedata import SpikeData
from spikeloom.drawing.lines import line_with_band
from spikeloom.drawing.matrix import matrix
from spikeloom.drawing.scatter import density_against_diagonal
from spikeloom.drawing.spectrum import spectrum_axes
from spikeloom.drawing.style import (
    FLOOR_DENSITY,
    GENERATED,
    GENERATED_DENSITY,
    MIN_SPECTRUM_BINS,
    MUTED,
    log_axis,
    note,
    pearson,
)
from spikeloom.errors import DataError
from spikeloom.evaluation import spike_statistics as ss
from spikeloom.evaluation.dynamics import population_periodograms
from spikeloom.plot.sets import axes_of, label_sets, named_sets


def correlations(
    data: SpikeData,
    generated: SpikeData | None = None,
    *,
    kind: Literal["matrix", "pairs"] = "matrix",
    floor: bool = False,
    limits: tuple[float, float] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the correlations of counts in bins, of all pairs of neurons.

    Args:
        data: A recording.
        generated: Other trials of the same neurons: above the diagonal of the matrix, or against the recording's pairs.
        kind: "matrix", neurons ordered by their weight in the leading pattern; or "pairs", a dot for each.
        floor: Whether the other trials are real, which makes them grey.
        limits: Ends of the colours, or of both axes of pairs; those of the data when not given.
        ax: Axes to draw into; a new figure when not given.

    Raises:
        DataError: If fewer than two neurons vary in each set, or pairs are to be drawn of a single set.
    """
    if kind == "pairs" and generated is None:
        raise DataError("pairs are drawn against those of other trials; give generated, or draw the matrix.")
    sets = named_sets(data, generated)
    matrices = [ss.correlation_matrix(each.data.counts, each.data.lengths) for each in sets]
    finite = np.tri(data.n_neurons, k=-1, dtype=bool) & np.all([np.isfinite(m) for m in matrices], axis=0)
    if not finite.any():
        raise DataError("fewer than two neurons vary on every side, so there are no pairs to correlate.")
    ours, theirs = matrices[0], matrices[-1]
    if kind == "pairs":
        x, y = ours[finite], theirs[finite]
        if limits is None:
            low, high = float(min(x.min(), y.min())), float(max(x.max(), y.max()))
            gap = 0.05 * (high - low) or 0.1
            limits = low - gap, high + gap
        ax = axes_of(ax, 3.6, 3.6)
        color, cmap = (MUTED, FLOOR_DENSITY) if floor else (GENERATED, GENERATED_DENSITY)
        density_against_diagonal(ax, x, y, limits, color, cmap)
        slope = float(x @ y / (x @ x)) if (x @ x) > 0 else float("nan")
        note(ax, [(f"r = {pearson(x, y)}", color), (f"slope = {slope:.2f}", color)])
        ax.set(xlabel="held-out real", ylabel="other real" if floor else "generated")
        return ax
    ax = axes_of(ax, 4.4, 3.6)
    below = np.tri(data.n_neurons, k=-1, dtype=bool)
    order = np.argsort(np.linalg.eigh(np.nan_to_num(ours))[1][:, -1], kind="stable")
    both = np.where(below, ours[np.ix_(order, order)], theirs[np.ix_(order, order)])
    np.fill_diagonal(both, np.nan)
    strongest = float(np.quantile(np.abs(ours[finite]), 0.99)) or 1.0
    image = matrix(ax, both, limits or (-strongest, strongest), "RdBu_r")
    ax.get_figure().colorbar(image, ax=ax, label="correlation", shrink=0.8, pad=0.02)  # type: ignore[union-attr]
    ax.set(xlabel="neuron", ylabel="neuron", xticks=[0, len(both) - 1], yticks=[0, len(both) - 1])
    ax.set_xticklabels(["1", str(len(both))])
    ax.set_yticklabels(["1", str(len(both))])
    return ax


def spectrum(
    data: SpikeData,
    generated: SpikeData | None = None,
    floor: SpikeData | None = None,
    *,
    ax: Axes | None = None,
) -> Axes:
    """Draw the power spectrum of the population count: mean over trials, with its 95 % interval.

    Trials of unequal length are cut to the median length, and shorter ones left out.

    Args:
        data: A recording.
        generated: Generated trials.
        floor: Other real trials.
        ax: Axes to draw into; a new figure when not given.

    Raises:
        DataError: If trials are too short for a spectrum, or the count never varies.
    """
    sets = named_sets(data, generated, floor)
    n_bins = min(int(np.median(each.data.lengths)) for each in sets)
    if n_bins < MIN_SPECTRUM_BINS:
        raise DataError(f"trials of {n_bins} bins are too short for a spectrum ({MIN_SPECTRUM_BINS} are needed).")
    ax = axes_of(ax)
    frequencies = np.fft.rfftfreq(n_bins, data.bin_s)[1:]
    # High frequencies are pooled, so that points are evenly spaced on the logarithmic axis.
    starts = np.unique(np.geomspace(1, len(frequencies), 80).round().astype(int)) - 1
    centres = np.add.reduceat(frequencies, starts) / np.diff(starts, append=len(frequencies))
    density = 2 * data.bin_s / (np.asarray(get_window("hann", n_bins)) ** 2).sum()
    positive = []
    for name, each, color, width in sets:
        long = each.lengths >= n_bins
        periodograms = population_periodograms(ss.population_count_matrix(each.counts[long, :n_bins]))
        power = density * np.add.reduceat(periodograms, starts, axis=1) / np.diff(starts, append=len(frequencies))
        mean = power.mean(axis=0)
        if not (mean > 0).any():
            continue
        positive.append(mean[mean > 0])
        band = ()
        if each is not floor and len(power) > 1:
            half = 1.96 * power.std(axis=0, ddof=1) / np.sqrt(len(power))
            band = np.maximum(mean - half, mean / 10), mean + half
        line_with_band(ax, centres, mean, *band, color=color, linewidth=width, label=name)
    if not positive:
        raise DataError("the population counts never vary within a trial, so there is no spectrum.")
    spectrum_axes(ax, frequencies, data.bin_s, "spikes²")
    low, high = min(s.min() for s in positive), max(s.max() for s in positive)
    log_axis(ax.yaxis, float(low), float(high))
    label_sets(ax, sets)
    return ax
