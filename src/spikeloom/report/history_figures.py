"""Figure of spike history: its effect on later counts, and how spikes look with and without it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from spikeloom.data.spikedata import SpikeData
from spikeloom.drawing.lines import line_with_band, zero_line
from spikeloom.drawing.scatter import Dots, against_diagonal
from spikeloom.drawing.style import GENERATED, MUTED, REAL, legend_above, new_figure, note, styled
from spikeloom.errors import DataError
from spikeloom.evaluation import noise
from spikeloom.evaluation.dynamics import autocorrelation
from spikeloom.evaluation.history_likelihood import HistoryLikelihood, as_poisson, busy
from spikeloom.report.sets import condition_codes

POISSON = "#3b7dd8"
"""Colour of Poisson counts of the generated rates."""
LAGS = 20
"""Longest lag of the autocorrelation, in bins."""


class NamedTrials(NamedTuple):
    """Trials of one kind, with their name in the legend and their colour."""

    name: str
    data: SpikeData
    color: str


@styled
def spike_history(history: HistoryLikelihood, held_out: SpikeData, generated: SpikeData) -> Figure:
    """Effect of one spike on later counts; autocorrelation with and without spike history; Fano factors.

    Args:
        history: The fitted spike history and its likelihood of held-out counts.
        held_out: Held-out real trials.
        generated: Generated trials; where they hold rates, Poisson counts are drawn from these, too.

    Raises:
        DataError: If no neuron fires, or no trial has two bins.
    """
    sets = [NamedTrials("held-out real", held_out, REAL), NamedTrials("generated", generated, GENERATED)]
    poisson = as_poisson(generated)
    if poisson is not None:
        sets.append(NamedTrials("same rates, Poisson counts", poisson, POISSON))
    use = busy(held_out)
    n_lags = min([LAGS, *(int(np.median(each.data.lengths)) - 1 for each in sets)])
    if n_lags < 1 or not use.any():
        raise DataError("no neuron fires." if n_lags > 0 else "trials of a single bin have no history.")
    figure = new_figure(11.0, 3.4)
    response, trough, scatter = figure.subplots(1, 3, width_ratios=[1, 1.25, 0.9])
    _response(response, history.response, held_out.bin_s)
    _autocorrelation(trough, sets, use, n_lags)
    _fano(scatter, sets, use)
    legend_above(figure, trough)
    return figure


def _lags(n_lags: int, bin_s: float) -> tuple[Float[np.ndarray, "lag"], str]:
    """Lags of one bin and more, in ms or in bins, and the unit."""
    lags = np.arange(1, n_lags + 1, dtype=float)
    return (lags, "bins") if bin_s == 1.0 else (lags * bin_s * 1e3, "ms")


def _response(axes: Axes, response: Float[np.ndarray, "lag neuron"], bin_s: float) -> None:
    axes.set_title("effect of one spike on later counts")
    if response.size == 0:
        _empty(axes, "the model has no spike history")
        return
    lags, unit = _lags(len(response), bin_s)
    low, middle, high = np.nanquantile(response, [0.25, 0.5, 0.75], axis=1)
    zero_line(axes, 1.0, MUTED)
    style = {"label": "median neuron", "marker": "o", "markersize": 3.5}
    line_with_band(
        axes, lags, middle, low, high, color=GENERATED, band_alpha=0.2, band_label="interquartile range", **style
    )
    axes.set(xlabel=f"time since the spike ({unit})", ylabel="expected count (1: no spike)", xlim=(0, None))
    bottom, top = axes.get_ylim()
    axes.set_ylim(bottom, top + 0.3 * (top - bottom))  # room for the legend
    axes.legend(loc="upper right")


def _autocorrelation(axes: Axes, sets: list[NamedTrials], use: Bool[np.ndarray, "neuron"], n_lags: int) -> None:
    for name, data, color in sets:
        lags, unit = _lags(n_lags, data.bin_s)
        values = autocorrelation(data.counts, data.lengths, n_lags)[:, use]
        values = values[:, np.isfinite(values).all(axis=0)]
        if values.size:
            style = {"linewidth": 1.5, "zorder": 1} if color == POISSON else {}
            line_with_band(
                axes, lags, values.mean(axis=1), color=color, label=name, marker="o", markersize=3.5, **style
            )
        axes.set(xlabel=f"lag ({unit})", ylabel="autocorrelation of counts", xlim=(0, None))
    zero_line(axes)
    axes.set_title(f"autocorrelation, mean of {int(use.sum())} neurons")


def _fano(axes: Axes, sets: list[NamedTrials], use: Bool[np.ndarray, "neuron"]) -> None:
    """Fano factors of each neuron against those of the held-out trials."""
    codes = [condition_codes(each.data) for each in sets]
    if any(code is None for code in codes):
        codes = [None] * len(sets)
    factors = [
        noise.fano_factors(s.data.counts, s.data.lengths, s.data.bin_s, code)[use] for s, code in zip(sets, codes)
    ]
    axes.set_title("Fano factor (100 ms) of a neuron")
    known = np.isfinite(factors).all(axis=0)
    if not known.any():
        _empty(axes, "too few trials of a condition")
        return
    real, *others = np.array(factors)[:, known]
    against_diagonal(axes, real, [Dots(y, s.color, 14, 0.75) for y, s in zip(others, sets[1:])])
    note(axes, [(f"mean {values.mean():.2f}", s.color) for values, s in zip((real, *others), sets)])
    axes.set(xlabel="held-out real", ylabel="generated")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(5))


def _empty(axes: Axes, reason: str) -> None:
    axes.set_axis_off()
    axes.text(0.5, 0.5, reason, ha="center", transform=axes.transAxes, color=MUTED)
