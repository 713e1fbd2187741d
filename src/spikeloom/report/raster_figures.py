"""Rasters of real and generated trials side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int
from matplotlib.figure import Figure

from spikeloom.data.spikedata import SpikeData
from spikeloom.drawing.raster import grouped_counts, population_count
from spikeloom.drawing.style import GENERATED, REAL, new_figure, styled
from spikeloom.errors import DataError
from spikeloom.evaluation import spike_statistics as ss
from spikeloom.evaluation.pairing import check_comparable
from spikeloom.plot.rasters import MANY_BINS, raster

COLUMNS = ("real", REAL), ("generated", GENERATED)


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
    sides, bin_s, order = (real, generated), real.bin_s, neuron_order(real)
    longest = max(data.n_bins for data in sides)
    step = 1 if longest <= MANY_BINS else -(-longest // 250)
    counts = [[data.counts[t, : data.lengths[t]] for t in shown] for data in sides]
    brightest = max(1.0, float(np.quantile(np.concatenate(counts[0]), 0.995)))
    most = max(int(grouped_counts(trial, step).max()) for column in counts for trial in column)
    n_bins = max(len(trial) for column in counts for trial in column)
    figure = new_figure(11.0, 0.5 + 2.3 * len(shown))
    axes = figure.subplots(2 * len(shown), 2, sharex=True, squeeze=False, height_ratios=[3.4, 1] * len(shown))
    for column, (data, (name, color)) in enumerate(zip(sides, COLUMNS)):
        for row, trial in enumerate(shown):
            top, bottom = axes[2 * row : 2 * row + 2, column]
            spikes = counts[column][row]
            raster(data, trial, order=order, color=color, n_bins=n_bins, brightest=brightest, ax=top)
            several = "condition" in data.trials and len(set(data.trials["condition"])) > 1
            condition = f" (condition {data.trials['condition'].iloc[trial]})" if several else ""
            top.set_title(f"{name}, trial {trial + 1}{condition}", color=color)
            top.tick_params(labelbottom=False)
            time_label, neuron_label = top.get_xlabel(), top.get_ylabel()
            population_count(bottom, spikes, bin_s, step, color)
            bottom.set(ylim=(0, max(most, 1) * 1.05), xlim=(0, n_bins * bin_s))
            top.set(xlabel="", ylabel=neuron_label if column == 0 else "")
            if column == 0:
                bottom.set_ylabel("spikes\nper bin" if step == 1 else f"spikes /\n{step * bin_s * 1e3:g} ms")
            if row == len(shown) - 1:
                bottom.set_xlabel(time_label)
    figure.align_ylabels(axes[:, 0])
    return figure


def neuron_order(real: SpikeData) -> Int[np.ndarray, "neuron"]:
    """Neurons ordered by their weight in the leading eigenvector of the correlations, so that structure shows."""
    correlations = np.nan_to_num(ss.correlation_matrix(real.counts, real.lengths))
    leading = np.linalg.eigh(correlations)[1][:, -1]
    return np.argsort(leading * np.sign(leading.sum() or 1.0), kind="stable")
