"""Figures of conditions: requested values against those decoded from the spikes."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from spikeloom.conditioning.variables import RADIANS
from spikeloom.drawing.lines import zero_line
from spikeloom.drawing.matrix import matrix, write_values
from spikeloom.drawing.scatter import Dots, against_diagonal
from spikeloom.drawing.style import (
    FLOOR,
    GENERATED,
    GENERATED_MAP,
    REAL,
    REAL_MAP,
    label_figure,
    legend_above,
    new_figure,
    styled,
    time_unit,
)
from spikeloom.evaluation.condition_fidelity import ConditionFidelity, Readouts

MOST_DIMENSIONS = 4
EXAMPLES = 0.1, 0.37, 0.63, 0.9
"""Ranks, from the best to the worst decoded trial, of those that are shown."""
MOST_PRINTED = 10
"""More labels than this are shown as colours only."""


@styled
def condition_decoding(fidelity: ConditionFidelity, bin_s: float) -> Figure:
    """Requested values of a condition variable against those decoded from the spikes.

    Args:
        fidelity: Requested and decoded values of generated and of held-out trials.
        bin_s: Width of a bin in seconds.
    """
    if fidelity.variable.aligned:
        return _time_courses(fidelity, bin_s)
    return _confusion(fidelity) if isinstance(fidelity.readouts.requested[0], str) else _values(fidelity)


def _time_courses(fidelity: ConditionFidelity, bin_s: float) -> Figure:
    """A signal: the requested and the decoded signal of some trials over time, in each dimension."""
    variable, found = fidelity.variable, fidelity.readouts
    trials = examples(found)
    dimensions = range(min(MOST_DIMENSIONS, variable.size))
    figure = new_figure(11.0, 0.7 + 1.5 * len(dimensions))
    axes = figure.subplots(len(dimensions), len(trials), sharex=True, sharey="row", squeeze=False)
    for column, trial in enumerate(trials):
        time = (np.arange(len(found.requested[trial])) + 0.5) * bin_s
        lines = [
            (found.requested[trial], "requested", {"color": FLOOR, "linewidth": 4}),
            (found.decoded[trial], "decoded from generated spikes", {"color": GENERATED}),
        ]
        if fidelity.imitates:
            real = fidelity.real.decoded[trial % len(fidelity.real.decoded)]
            lines.insert(1, (real, "decoded from the recorded spikes", {"color": REAL, "linewidth": 1.3}))
        for row in dimensions:
            for values, name, style in lines:
                axes[row, column].plot(time, values[:, row], label=name, **style)
            zero_line(axes[row, column], color="#dee2e6")
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
    """A label: how often each is decoded where each was requested."""
    labels = sorted({v for _, f, _ in _sides(fidelity) for v in (*f.requested, *f.decoded)}, key=_natural)
    place = {label: i for i, label in enumerate(labels)}
    unit = f" ({fidelity.variable.kind})" if fidelity.variable.kind in RADIANS else ""
    figure = new_figure(11.0, 3.9)
    panels = figure.subplots(1, 2)
    for axes, (name, found, colour) in zip(panels, _sides(fidelity)):
        table = np.zeros((len(labels), len(labels)))
        np.add.at(table, ([place[v] for v in found.requested], [place[v] for v in found.decoded]), 1)
        share = table / np.maximum(table.sum(1, keepdims=True), 1)
        matrix(axes, share, (0.0, 1.0), GENERATED_MAP if colour == GENERATED else REAL_MAP)
        if len(labels) <= MOST_PRINTED:
            write_values(axes, share, share >= 0.005, lambda value: f"{100 * value:.0f}", white_above=0.45, size=8)
        which = "requested" if colour == GENERATED else "recorded"
        shown = labels if len(labels) <= MOST_PRINTED else [v if i % 2 == 0 else "" for i, v in enumerate(labels)]
        axes.set(xlabel=f"decoded{unit}", ylabel=f"{which}{unit}")
        turned = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if max(map(len, labels)) > 3 else {}
        axes.set_xticks(range(len(labels)), shown, **turned)
        axes.set_yticks(range(len(labels)), shown)
        axes.set_title(f"{name}: % of the trials in a row", color=colour)
    return figure


def _values(fidelity: ConditionFidelity) -> Figure:
    """An angle or a number: one dot per trial."""
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
    for axes, (requested, decoded), (name, _, colour) in zip(panels, pairs, _sides(fidelity)):
        dots = Dots(decoded, colour, 12, 0.6)
        against_diagonal(axes, requested, [dots], margin=0.03, limits=(float(low), float(high)))
        which = "requested" if colour == GENERATED else "recorded"
        axes.set(xlabel=f"{which}{unit}", ylabel=f"decoded{unit}")
        if variable.kind == "deg":
            axes.set(xticks=range(0, 361, 90), yticks=range(0, 361, 90))
        axes.set_title(name, color=colour)
    return figure


def _natural(label: str) -> tuple[int, float, str]:
    """Numbers in their order, then words in theirs."""
    try:
        return 0, float(label), ""
    except ValueError:
        return 1, 0.0, label
