"""Figures of training: losses, and the calibration of the generator."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from spikeloom.drawing.lines import markers_for
from spikeloom.drawing.style import FLOOR, GENERATED, MUTED, REAL, legend_above, log_axis, new_figure, styled
from spikeloom.errors import DataError
from spikeloom.priors.calibration import INCREMENT, SOUND, SPREAD


@styled
def training_curves(metrics: pd.DataFrame) -> Figure:
    """Training and validation loss of every stage.

    Args:
        metrics: Columns stage, step, loss and validation_loss, as in a run's ``metrics.csv``.

    Raises:
        DataError: If nothing was logged.
    """
    finite = np.isfinite(metrics[["loss", "validation_loss"]].to_numpy(dtype=float))
    stages = list(dict.fromkeys(metrics["stage"][finite.any(axis=1)]))
    if not stages:
        raise DataError("no training loss was logged.")
    stages = [stage for stage in stages if len(set(metrics["step"][metrics["stage"] == stage])) > 1]
    if not stages:
        raise DataError("losses were logged at a single step, which makes no curve; train for more steps.")
    figure = new_figure(11.0, 3.0)
    axes = figure.subplots(1, len(stages), squeeze=False)[0]
    for each, stage in zip(axes, stages):
        own = (metrics["stage"] == stage).to_numpy()
        loss, validation = (metrics.loc[own & finite[:, column]] for column in range(2))
        each.plot(loss["step"], loss["loss"], color=FLOOR, linewidth=1.4, label="training")
        marker = markers_for(len(validation))
        each.plot(validation["step"], validation["validation_loss"], color=REAL, label="validation", **marker)
        if len(validation):
            best = validation.loc[validation["validation_loss"].idxmin()]
            each.plot(best["step"], best["validation_loss"], "o", color=GENERATED, markersize=6, label="best")
        each.set_title(str(stage))
        each.set(xlabel="step", ylabel="loss")
        # Single lucky batches would squeeze everything else together.
        low = float(pd.Series([loss["loss"].quantile(0.02), validation["validation_loss"].min()]).min())
        top = each.get_ylim()[1]
        if low > 0 and top / low > 5:
            each.set(yscale="log", ylim=(0.85 * low, top * 1.1))
            log_axis(each.yaxis, low, top)
        else:
            each.set_ylim(low - 0.06 * (top - low), top)
    legend_above(figure, max(axes, key=lambda each: len(each.get_lines())))
    return figure


@styled
def calibration_curves(diagnostics: pd.DataFrame, kept_step: int | None = None) -> Figure:
    """Spread of a generator's draws and roughness of its latents, relative to its data, over training.

    Args:
        diagnostics: Columns step, name and value, as in a run's ``diagnostics.csv``, of one stage.
        kept_step: The step whose weights were kept.

    Raises:
        DataError: If there is no such number, or none is finite.
    """
    found = {name: diagnostics.loc[diagnostics["name"] == name, ["step", "value"]] for name in (SPREAD, INCREMENT)}
    finite = {name: rows.to_numpy(dtype=float) for name, rows in found.items()}
    finite = {name: values[np.isfinite(values[:, 1])] for name, values in finite.items()}
    shown = {name: values for name, values in finite.items() if len(values)}
    if not shown:
        raise DataError("there is no finite number on calibration.")
    words = {
        SPREAD: ("spread of the draws", "spread ratio", "too narrow", "too wide"),
        INCREMENT: ("steps from bin to bin", "increment ratio", "too smooth", "jitter"),
    }
    figure = new_figure(11.0, 3.0)
    axes = figure.subplots(1, len(shown), squeeze=False)[0]
    for each, (name, values) in zip(axes, shown.items()):
        step, value = values[values[:, 0].argsort(kind="stable")].T
        title, label, below, above = words[name]
        low, high = SOUND[name]
        each.axhspan(low, high, color=FLOOR, alpha=0.25, linewidth=0, label="calibrated", zorder=0)
        each.axhline(1, color=MUTED, linewidth=0.9, zorder=1)
        each.plot(step, value, color=GENERATED, label="generator", **markers_for(len(step)))
        kept = step == kept_step
        each.plot(step[kept], value[kept], "o", color=REAL, markersize=6, label="kept weights", zorder=4)
        # The first values of an untrained generator, however large, must not flatten the rest.
        bottom, top = min(value.min(), low), max(min(value.max(), 3 * np.median(value)), high)
        if top > 4 * high and bottom > 0:  # on a linear axis the band would be a line
            each.set(yscale="log", ylim=(bottom / 1.3, top * 1.3))
            log_axis(each.yaxis, bottom, top)
        else:
            gap = 0.12 * (top - bottom)
            each.set_ylim(bottom - gap, top + gap)
        # Beside the axes, where no curve can cross the words.
        for place, text, side in ((high, above, "bottom"), (1, "right", "center"), (low, below, "top")):
            each.text(1.015, place, text, va=side, color=MUTED, fontsize=9.5, transform=each.get_yaxis_transform())
        each.set_title(title)
        each.set(xlabel="step", ylabel=label, xlim=(0, 1.03 * step.max()))
        each.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    legend_above(figure, axes[0])
    return figure
