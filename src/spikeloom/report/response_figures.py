"""Figures of average responses to conditions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.figure import Figure
from scipy.ndimage import gaussian_filter1d

from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import DataError
from spikeloom.evaluation import spike_statistics as ss
from spikeloom.plot.style import label_figure, legend_above, new_figure, rate_unit, styled, time_unit
from spikeloom.report.sets import named_sets


@styled
def psth(
    real: SpikeData, generated: SpikeData, floor: SpikeData | None = None, neurons: Sequence[int] | None = None
) -> Figure:
    """Average response of a few neurons to each of up to four conditions, smoothed with a Gaussian of 25 ms.

    Args:
        real: Real trials with a column "condition".
        generated: Generated trials with the same conditions.
        floor: Other real trials.
        neurons: Which neurons; the three whose response differs most between conditions and times when not given.

    Raises:
        DataError: If there are no conditions that both sides have.
    """
    sets = named_sets(real, generated, floor)
    if any("condition" not in d.trials for _, d, *_ in sets):
        raise DataError("trials carry no condition, so there are no average responses.")
    labels = [d.trials["condition"].astype(str).to_numpy() for _, d, *_ in sets]
    common = [c for c in pd.unique(labels[-2]) if all((each == c).any() for each in labels)]
    if not common:
        raise DataError("real and generated trials have no condition in common.")
    common = sorted(common, key=lambda c: (len(c), c))
    shown = [common[i] for i in np.unique(np.linspace(0, len(common) - 1, min(4, len(common))).round().astype(int))]
    responses = [_responses(d, each, shown) for (_, d, *_), each in zip(sets, labels)]
    chosen = list(neurons or ())
    if neurons is None:
        spread = np.nanvar(responses[-2], axis=(0, 1)) / np.maximum(np.nanmean(responses[-2], axis=(0, 1)), 1e-9)
        chosen = np.argsort(-np.nan_to_num(spread), kind="stable")[:3].tolist()
    figure = new_figure(11.0, 0.6 + 1.7 * len(chosen))
    axes = figure.subplots(len(chosen), len(shown), sharex=True, sharey="row", squeeze=False)
    for (name, data, colour, width), rates in zip(sets, responses):
        rates = rates[:, np.isfinite(rates).any(axis=(0, 2))]
        time = (np.arange(rates.shape[1]) + 0.5) * data.bin_s
        for row, neuron in enumerate(chosen):
            for column in range(len(shown)):
                axes[row, column].plot(time, rates[column, :, neuron], color=colour, linewidth=width, label=name)
    for column, condition in enumerate(shown):
        axes[0, column].set_title(f"condition {condition}")
    for row, neuron in enumerate(chosen):
        axes[row, 0].set_ylabel(f"neuron {neuron + 1}")
        axes[row, 0].set_ylim(0, None)
    legend_above(figure, axes[0, 0])
    label_figure(figure, x=f"time ({time_unit(real.bin_s)})")
    label_figure(figure, y=f"rate ({rate_unit(real.bin_s)})")
    return figure


def _responses(data: SpikeData, labels: np.ndarray, shown: list[str]) -> Float[np.ndarray, "condition time neuron"]:
    """Smoothed mean rate of each condition; NaN where too few trials are that long."""
    code = np.full(data.n_trials, -1)
    for number, condition in enumerate(shown):
        code[labels == condition] = number
    summed, number = ss.psth_sums(data.counts, data.lengths, code, len(shown))
    rates = summed / np.maximum(number, 1)[..., None] / data.bin_s
    sd_bins = max(0.025 / data.bin_s, 0.5)
    for each, trials in zip(rates, number):
        stop = int((trials >= min(ss.MIN_TRIALS_PER_CELL, trials[0])).sum())
        # Near the ends the kernel is cut and renormalised: a spike in the last bin must not count many times.
        weight = gaussian_filter1d(np.ones(stop), sd_bins, mode="constant")[:, None]
        each[:stop] = gaussian_filter1d(each[:stop], sd_bins, axis=0, mode="constant") / weight
        each[stop:] = np.nan
    return rates
