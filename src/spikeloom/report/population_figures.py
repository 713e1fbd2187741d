"""Figures of the population: its counts, and the correlations of all pairs of neurons."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from spikeloom.data.spikedata import SpikeData
from spikeloom.drawing.distributions import steps
from spikeloom.drawing.style import (
    GENERATED,
    MUTED,
    label_figure,
    legend_above,
    new_figure,
    styled,
)
from spikeloom.errors import DataError
from spikeloom.evaluation import spike_statistics as ss
from spikeloom.plot.population import correlations
from spikeloom.plot.sets import named_sets


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
    below = np.tri(real.n_neurons, k=-1, dtype=bool)
    finite = below & np.all([np.isfinite(m) for m in matrices], axis=0)
    if not finite.any():
        raise DataError("fewer than two neurons vary on every side, so there are no pairs to correlate.")
    figure = new_figure(11.0, 3.6)
    axes = figure.subplots(1, len(sets))
    correlations(real, generated, ax=axes[0])
    axes[0].set_title("real (below), generated (above)")
    values = [m[finite] for m in matrices]
    low, high = min(v.min() for v in values), max(v.max() for v in values)
    gap = 0.05 * (high - low) or 0.1
    limits = float(low - gap), float(high + gap)
    others = [(generated, False)] if floor is None else [(floor, True), (generated, False)]
    for each, (data, is_floor) in zip(axes[1:], others):
        correlations(real, data, kind="pairs", floor=is_floor, limits=limits, ax=each)
        each.set_title(f"{each.get_ylabel()} against held-out", color=MUTED if is_floor else GENERATED)
    return figure
