"""Figures of what a model has learned beyond its latents: spike history, and trials that were asked for."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from spikeloom.conditioning.variables import RADIANS
from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import DataError
from spikeloom.evaluation import spike_statistics as ss
from spikeloom.evaluation.condition_fidelity import ConditionFidelity, Readouts
from spikeloom.evaluation.dynamics import autocorrelation
from spikeloom.evaluation.history_likelihood import Drawing, as_poisson, busy
from spikeloom.plot.style import (
    FLOOR,
    GENERATED,
    GENERATED_MAP,
    MUTED,
    REAL,
    REAL_MAP,
    label_figure,
    legend_above,
    new_figure,
    note,
    styled,
    time_unit,
)

POISSON = "#3b7dd8"
"""Colour of trials whose spikes were drawn without history."""
LAGS = 20
"""Longest lag of the autocorrelation, in bins."""
MOST_DIMENSIONS = 4
EXAMPLES = 0.1, 0.37, 0.63, 0.9
"""Ranks, from the best to the worst decoded trial, of those that are shown."""
MOST_PRINTED = 10
"""More labels than this are shown as colours only."""


# -- how spikes are drawn --------------------------------------------------------------------------------------------


@styled
def spike_history(drawing: Drawing, held_out: SpikeData, generated: SpikeData) -> Figure:
    """What a spike does to later ones; how spikes depend on earlier ones, with and without history; Fano factors.

    Args:
        drawing: What the spike history explains of the held-out trials.
        held_out: Held-out real trials.
        generated: Generated trials; where they hold rates, counts are drawn from these without history, too.

    Raises:
        DataError: If no neuron fires, or no trial has two bins.
    """
    sets = [("held-out real", held_out, REAL), ("generated", generated, GENERATED)]
    poisson = as_poisson(generated)
    if poisson is not None:
        sets.append(("same rates, drawn as Poisson", poisson, POISSON))
    use = busy(held_out)
    n_lags = min([LAGS, *(int(np.median(d.lengths)) - 1 for _, d, _ in sets)])
    if n_lags < 1 or not use.any():
        raise DataError("no neuron fires." if n_lags > 0 else "trials of a single bin have no history.")
    figure = new_figure(11.0, 3.4)
    response, trough, scatter = figure.subplots(1, 3, width_ratios=[1, 1.25, 0.9])
    _response(response, drawing.response, held_out.bin_s)
    _trough(trough, sets, use, n_lags)
    _fano(scatter, sets, use)
    legend_above(figure, trough)
    return figure


def _lags(n_lags: int, bin_s: float) -> tuple[Float[np.ndarray, "lag"], str]:
    """Lags of one bin and more, in ms or in bins, and the unit."""
    lags = np.arange(1, n_lags + 1, dtype=float)
    return (lags, "bins") if bin_s == 1.0 else (lags * bin_s * 1e3, "ms")


def _response(axes: Axes, response: Float[np.ndarray, "lag neuron"], bin_s: float) -> None:
    axes.set_title("what one spike does to later ones")
    if response.size == 0:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "the model remembers no spikes", ha="center", transform=axes.transAxes)
        return
    lags, unit = _lags(len(response), bin_s)
    low, middle, high = np.nanquantile(response, [0.25, 0.5, 0.75], axis=1)
    axes.axhline(1, color=MUTED, linewidth=0.9, zorder=0)
    axes.fill_between(lags, low, high, color=GENERATED, alpha=0.2, linewidth=0, label="middle half of the neurons")
    axes.plot(lags, middle, color=GENERATED, label="median neuron", marker="o", markersize=3.5)
    axes.set(xlabel=f"time since the spike ({unit})", ylabel="expected count (1: as after none)", xlim=(0, None))
    bottom, top = axes.get_ylim()
    axes.set_ylim(bottom, top + 0.3 * (top - bottom))  # room for the legend
    axes.legend(loc="upper right")


def _trough(axes: Axes, sets: list[tuple[str, SpikeData, str]], use: np.ndarray, n_lags: int) -> None:
    for name, data, colour in sets:
        lags, unit = _lags(n_lags, data.bin_s)
        values = autocorrelation(data.counts, data.lengths, n_lags)[:, use]
        values = values[:, np.isfinite(values).all(axis=0)]
        if values.size:
            style = {"linewidth": 1.5, "zorder": 1} if colour == POISSON else {}
            axes.plot(lags, values.mean(axis=1), color=colour, label=name, marker="o", markersize=3.5, **style)
        axes.set(xlabel=f"lag ({unit})", ylabel="autocorrelation of counts", xlim=(0, None))
    axes.axhline(0, color="#adb5bd", linewidth=0.8, zorder=0)
    axes.set_title(f"memory of the spikes, mean of {int(use.sum())} neurons")


def _fano(axes: Axes, sets: list[tuple[str, SpikeData, str]], use: np.ndarray) -> None:
    """Fano factors of each neuron against those of the held-out trials."""
    grouped = all("condition" in data.trials for _, data, _ in sets)
    factors = [ss.fano_factors(d.counts, d.lengths, d.bin_s, _codes(d) if grouped else None)[use] for _, d, _ in sets]
    axes.set_title("Fano factor (100 ms) of a neuron")
    known = np.isfinite(factors).all(axis=0)
    if not known.any():
        axes.set_axis_off()
        axes.text(0.5, 0.5, "too few trials of a condition", ha="center", transform=axes.transAxes, color=MUTED)
        return
    real, *others = np.array(factors)[:, known]
    low, high = float(np.min(factors, where=known, initial=np.inf)), float(np.max(factors, where=known, initial=0))
    gap = 0.06 * (high - low) or 0.5
    limits = low - gap, high + gap
    axes.plot(limits, limits, color=MUTED, linewidth=0.9, zorder=0)
    remarks = [(f"mean {real.mean():.2f}", REAL)]
    for (_, _, colour), values in zip(sets[1:], others):
        axes.scatter(real, values, s=14, color=colour, alpha=0.75, linewidths=0, zorder=1 + (colour == GENERATED))
        remarks.append((f"mean {values.mean():.2f}", colour))
    note(axes, remarks)
    axes.set(xlim=limits, ylim=limits, xlabel="held-out real", ylabel="generated")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(5))
    axes.set_box_aspect(1)


def _codes(data: SpikeData) -> np.ndarray:
    return np.unique(data.trials["condition"].astype(str), return_inverse=True)[1].astype(np.int64)


# -- what was asked --------------------------------------------------------------------------------------------------


@styled
def asked_and_decoded(fidelity: ConditionFidelity, bin_s: float) -> Figure:
    """What trials were asked for, and what a decoder finds in their spikes.

    Args:
        fidelity: What was decoded from generated and from held-out trials.
        bin_s: Width of a bin in seconds.
    """
    if fidelity.variable.aligned:
        return _courses(fidelity, bin_s)
    return _confusion(fidelity) if isinstance(fidelity.readouts.requested[0], str) else _values(fidelity)


def _courses(fidelity: ConditionFidelity, bin_s: float) -> Figure:
    """A signal: the asked and the decoded course of some trials, in each dimension."""
    variable, found = fidelity.variable, fidelity.readouts
    trials = examples(found)
    dimensions = range(min(MOST_DIMENSIONS, variable.size))
    figure = new_figure(11.0, 0.7 + 1.5 * len(dimensions))
    axes = figure.subplots(len(dimensions), len(trials), sharex=True, sharey="row", squeeze=False)
    for column, trial in enumerate(trials):
        time = (np.arange(len(found.requested[trial])) + 0.5) * bin_s
        lines = [
            (found.requested[trial], "asked", {"color": FLOOR, "linewidth": 4}),
            (found.decoded[trial], "decoded from generated spikes", {"color": GENERATED}),
        ]
        if fidelity.imitates:
            real = fidelity.real.decoded[trial % len(fidelity.real.decoded)]
            lines.insert(1, (real, "decoded from the recorded spikes", {"color": REAL, "linewidth": 1.3}))
        for row in dimensions:
            for values, name, style in lines:
                axes[row, column].plot(time, values[:, row], label=name, **style)
            axes[row, column].axhline(0, color="#dee2e6", linewidth=0.8, zorder=0)
        axes[0, column].set_title(f"trial {trial + 1}")
    unit = f" ({variable.unit})" if variable.unit else ""
    for row in dimensions:
        axes[row, 0].set_ylabel(f"{fidelity.names[row]}{unit}")
    legend_above(figure, axes[0, 0])
    label_figure(figure, x=f"time ({time_unit(bin_s)})")
    return figure


def examples(found: Readouts) -> list[int]:
    """Trials that vary more than the median trial, from well to badly decoded; fewer where there are few."""
    varied = np.array([np.square(a - a.mean(0)).sum() / len(a) for a in found.requested])
    missed = np.array([np.square(a - d).sum() / len(a) for a, d in zip(found.requested, found.decoded)])
    able = np.flatnonzero(varied >= np.median(varied))
    able = able[np.argsort((missed / np.maximum(varied, 1e-12))[able], kind="stable")]
    return list(dict.fromkeys(int(able[int(rank * len(able))]) for rank in EXAMPLES))


def _sides(fidelity: ConditionFidelity) -> list[tuple[str, Readouts, str]]:
    return [("generated", fidelity.readouts, GENERATED), ("held-out real", fidelity.real, REAL)]


def _confusion(fidelity: ConditionFidelity) -> Figure:
    """A label: how often each is decoded where each was asked for."""
    labels = sorted({v for _, f, _ in _sides(fidelity) for v in (*f.requested, *f.decoded)}, key=_natural)
    place = {label: i for i, label in enumerate(labels)}
    unit = f" ({fidelity.variable.kind})" if fidelity.variable.kind in RADIANS else ""
    figure = new_figure(11.0, 3.9)
    panels = figure.subplots(1, 2)
    for axes, (name, found, colour) in zip(panels, _sides(fidelity)):
        table = np.zeros((len(labels), len(labels)))
        np.add.at(table, ([place[v] for v in found.requested], [place[v] for v in found.decoded]), 1)
        share = table / np.maximum(table.sum(1, keepdims=True), 1)
        colours = GENERATED_MAP if colour == GENERATED else REAL_MAP
        axes.imshow(share, cmap=colours, vmin=0, vmax=1, interpolation="nearest")
        if len(labels) <= MOST_PRINTED:
            for row, column in np.argwhere(share >= 0.005):
                shade = "white" if share[row, column] > 0.45 else REAL
                axes.text(column, row, f"{100 * share[row, column]:.0f}", ha="center", va="center", color=shade, size=8)
        which = "asked for" if colour == GENERATED else "recorded under"
        shown = labels if len(labels) <= MOST_PRINTED else [v if i % 2 == 0 else "" for i, v in enumerate(labels)]
        axes.set(xlabel=f"decoded{unit}", ylabel=f"{which}{unit}")
        turned = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if max(map(len, labels)) > 3 else {}
        axes.set_xticks(range(len(labels)), shown, **turned)
        axes.set_yticks(range(len(labels)), shown)
        axes.set_title(f"{name}: % of the trials in a row", color=colour)
    return figure


def _values(fidelity: ConditionFidelity) -> Figure:
    """An angle or a number: one dot a trial."""
    variable = fidelity.variable
    turn = 2 * np.pi / RADIANS[variable.kind] if variable.kind in RADIANS else None
    unit = f" ({variable.kind})" if turn else ""
    pairs = [
        tuple(np.array(v) % turn if turn else np.array(v) for v in (f.requested, f.decoded))
        for _, f, _ in _sides(fidelity)
    ]
    figure = new_figure(11.0, 3.7)
    panels = figure.subplots(1, 2)
    low, high = (0.0, turn) if turn else (float(f([f(v) for pair in pairs for v in pair])) for f in (min, max))
    for axes, (asked, decoded), (name, _, colour) in zip(panels, pairs, _sides(fidelity)):
        gap = 0.03 * (high - low) or 0.5
        limits = low - gap, high + gap
        axes.plot(limits, limits, color=MUTED, linewidth=0.9, zorder=0)
        axes.scatter(asked, decoded, s=12, color=colour, alpha=0.6, linewidths=0)
        which = "asked for" if colour == GENERATED else "recorded under"
        axes.set(xlim=limits, ylim=limits, xlabel=f"{which}{unit}", ylabel=f"decoded{unit}")
        if variable.kind == "deg":
            axes.set(xticks=range(0, 361, 90), yticks=range(0, 361, 90))
        axes.set_box_aspect(1)
        axes.set_title(name, color=colour)
    return figure


def _natural(label: str) -> tuple[int, float, str]:
    """Numbers in their order, then words in theirs."""
    try:
        return 0, float(label), ""
    except ValueError:
        return 1, 0.0, label
