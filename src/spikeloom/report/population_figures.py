"""Figures of the population: its counts, and the correlations of all pairs of neurons."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.figure import Figure

from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import DataError
from spikeloom.evaluation import spike_statistics as ss
from spikeloom.plot.distributions import steps
from spikeloom.plot.matrix import matrix
from spikeloom.plot.scatter import density_against_diagonal
from spikeloom.plot.style import (
    FLOOR_DENSITY,
    GENERATED,
    GENERATED_DENSITY,
    MUTED,
    label_figure,
    legend_above,
    new_figure,
    note,
    pearson,
    styled,
)
from spikeloom.report.sets import named_sets


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
        for each, gaps in zip(axes, (False, True)):
            steps(each, share, edges, color=colour, label=name, width=line, gaps=gaps)
    reach = max(float(np.quantile(counts, 0.995)) for _, counts, *_ in sets)
    axes[0].set(xlim=(-0.5, max(reach, 1) + width), ylim=(0, None), ylabel="probability")
    axes[1].set(yscale="log", xlim=(-0.5, edges[-1]))
    axes[0].set_title("bulk")
    axes[1].set_title("tail (log scale)")
    legend_above(figure, axes[0])
    label_figure(figure, x="spikes of the population in a bin")
    return figure


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
    image = matrix(axes[0], both, (-strongest, strongest), "RdBu_r")
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


def _pairs(axes: Axes, x: np.ndarray, y: np.ndarray, limits: tuple[float, float], color: str, cmap: Colormap) -> None:
    density_against_diagonal(axes, x, y, limits, color, cmap)
    slope = float(x @ y / (x @ x)) if (x @ x) > 0 else float("nan")
    note(axes, [(f"r = {pearson(x, y)}", color), (f"slope = {slope:.2f}", color)])
