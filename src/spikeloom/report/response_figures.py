"""Figures of average responses to conditions."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from spikeloom.data.averages import group_rates
from spikeloom.data.spikedata import SpikeData
from spikeloom.drawing.style import label_figure, legend_above, new_figure, rate_unit, styled, time_unit
from spikeloom.errors import DataError
from spikeloom.evaluation.portraits import SMOOTH_S
from spikeloom.plot.neurons import psth as plot_psth
from spikeloom.plot.sets import named_sets, without_own_labels


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
        raise DataError(
            "trials carry no condition, so there are no average responses; cut them around an event (align) and name "
            "the column of their condition (condition)."
        )
    labels = [d.trials["condition"].astype(str).to_numpy() for _, d, *_ in sets]
    common = [c for c in pd.unique(labels[-2]) if all((each == c).any() for each in labels)]
    if not common:
        raise DataError("real and generated trials have no condition in common.")
    common = sorted(common, key=lambda c: (len(c), c))
    shown = [common[i] for i in np.unique(np.linspace(0, len(common) - 1, min(4, len(common))).round().astype(int))]
    chosen = list(neurons or most_modulated(real, labels[-2], shown))
    figure = new_figure(11.0, 0.6 + 1.7 * len(chosen))
    axes = figure.subplots(len(chosen), len(shown), sharex=True, sharey="row", squeeze=False)
    for row, neuron in enumerate(chosen):
        for column, condition in enumerate(shown):
            plot_psth(real, generated, floor, neuron=neuron, condition=condition, ax=axes[row, column])
            without_own_labels(axes[row, column])
    for column, condition in enumerate(shown):
        axes[0, column].set_title(f"condition {condition}" if len(common) > 1 else "all trials")
    for row, neuron in enumerate(chosen):
        axes[row, 0].set_ylabel(f"neuron {neuron + 1}")
        axes[row, 0].set_ylim(0, None)
    legend_above(figure, axes[0, 0])
    label_figure(figure, x=f"time ({time_unit(real.bin_s)})")
    label_figure(figure, y=f"rate ({rate_unit(real.bin_s)})")
    return figure


def most_modulated(data: SpikeData, labels: np.ndarray, shown: Sequence[str], n: int = 3) -> list[int]:
    """The neurons whose average response differs most between conditions and times, relative to their rate."""
    rates = np.stack([group_rates(data[labels == c], smooth_s=max(SMOOTH_S, data.bin_s / 2))[0][0] for c in shown])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # bins that no trial has
        spread = np.nanvar(rates, axis=(0, 1)) / np.maximum(np.nanmean(rates, axis=(0, 1)), 1e-9)
    return np.argsort(-np.nan_to_num(spread), kind="stable")[:n].tolist()
