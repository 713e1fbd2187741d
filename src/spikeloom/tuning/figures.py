"""Figures of a search: scores and hyper-parameters over generations, or scores over hyper-parameters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from spikeloom.drawing.style import FLOOR, GENERATED, MUTED, REAL, label_figure, log_axis, new_figure, styled
from spikeloom.tuning.space import Parameter

COLUMNS = 5
"""Most panels of hyper-parameters in a row."""
PANEL = (3.1, 2.3)
"""Inches of a panel."""
SHORT_RANGE = 4.0
"""Ratio of the largest to the smallest value up to which a logarithmic axis has evenly spaced numbers."""
TITLE = "score of the validation trials, less is better"
OUTLIER = 4.0
"""Scores are off the axis where they are further from the best than this many times the median is."""
COPIED = (0, (2, 1.5))
"""Line style of a step to the weights of another member."""


@styled
def draw_population(table: pd.DataFrame, parameters: Sequence[Parameter], lineage: Sequence[int], score: str) -> Figure:
    """Scores and hyper-parameters of all members over generations; the lineage of the best member stands out.

    Args:
        table: One row for each member in each generation.
        parameters: The hyper-parameters.
        lineage: The members that held the best weights, one for each generation.
        score: Name of the score.
    """
    figure, large, panels = _panels(parameters)
    _draw_members(large, table, "score", lineage)
    best = table.loc[table.groupby("generation")["score"].idxmin().dropna()]
    large.plot(best["generation"], best["score"], "o", color=REAL, markersize=5, label="best of a generation", zorder=5)
    large.plot([], [], color=GENERATED, linewidth=2.0, label="lineage of the best weights")
    large.plot([], [], color=MUTED, linestyle=COPIED, linewidth=1.2, label="copied another member")
    large.set_ylabel(score)
    large.legend(loc="best")
    large.set_title(TITLE + _cut(large, table["score"].to_numpy(dtype=float)))
    for axes, parameter in zip(panels, parameters):
        _draw_members(axes, _as_numbers(table, parameter), parameter.key, lineage)
        _scale(axes, "y", parameter, table)
        axes.set_title(parameter.key, fontsize=9.5)
    for axes in (large, *panels):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    label_figure(figure, x="generation")
    return figure


@styled
def draw_random(table: pd.DataFrame, parameters: Sequence[Parameter], best: int, score: str) -> Figure:
    """Scores of all trainings, by rank and over each hyper-parameter.

    Args:
        table: One row for each training.
        parameters: The hyper-parameters.
        best: The best member.
        score: Name of the score.
    """
    figure, large, panels = _panels(parameters)
    ranked = table.sort_values("score", ignore_index=True)
    marked = ranked["member"] == best
    values = [_as_numbers(ranked, parameter)[parameter.key] for parameter in parameters]
    for axes, x in zip((large, *panels), (ranked.index.to_series() + 1, *values)):
        axes.plot(x, ranked["score"], "o", color=MUTED, markersize=4)
        axes.plot(x[marked], ranked["score"][marked], "o", color=GENERATED, markersize=7, label="best")
        off_axis = _cut(axes, table["score"].to_numpy(dtype=float))
        if axes is large:
            large.set_title(TITLE + off_axis)
    for axes, parameter in zip(panels, parameters):
        _scale(axes, "x", parameter, table)
        axes.set_title(parameter.key, fontsize=9.5)
    large.set_ylabel(score)
    large.set_xlabel("rank of the training")
    large.xaxis.set_major_locator(MaxNLocator(integer=True))
    large.legend(loc="best")
    return figure


def _panels(parameters: Sequence[Parameter]) -> tuple[Figure, Axes, list[Axes]]:
    """A large panel, and a small one for each hyper-parameter below it."""
    rows = math.ceil(len(parameters) / COLUMNS)
    columns = math.ceil(len(parameters) / rows)
    figure = new_figure(max(columns, 2.5) * PANEL[0], 3.2 + rows * PANEL[1])
    grid = figure.add_gridspec(1 + rows, columns, height_ratios=[3.2, *[PANEL[1]] * rows])
    small = [figure.add_subplot(grid[1 + i // columns, i % columns]) for i in range(len(parameters))]
    return figure, figure.add_subplot(grid[0, :]), small


def _draw_members(axes: Axes, table: pd.DataFrame, column: str, lineage: Sequence[int]) -> None:
    """A line for each member, which comes from the member that it copied; the lineage in orange."""
    places = list(zip(table["generation"], table["member"]))
    values = dict(zip(places, table[column].astype(float)))
    for (generation, member), parent in zip(places, table["copied_from"]):
        here, ours = values[generation, member], lineage[generation - 1] == member
        color, order = (GENERATED, 4) if ours else (FLOOR, 2)
        axes.plot([generation], [here], "o", color=color, markersize=3.5 if ours else 2.5, zorder=order)
        if generation > 1:
            style, origin = ("-", member) if pd.isna(parent) else (COPIED, int(parent))
            before = [values[generation - 1, origin], here]
            line = {"color": color, "linestyle": style, "linewidth": 2.0 if ours else 1.0, "zorder": order}
            axes.plot([generation - 1, generation], before, **line)


def _cut(axes: Axes, scores: np.ndarray) -> str:
    """Leave outliers out of the axis; returns how many there are, and how many trainings failed."""
    finite = np.sort(scores[np.isfinite(scores)])
    if not len(finite):
        return ""
    low, middle = finite[0], float(np.median(finite))
    shown = finite[finite <= low + OUTLIER * max(middle - low, 1e-12)]
    margin = 0.06 * (shown[-1] - low) or 1e-6
    axes.set_ylim(low - margin, shown[-1] + margin)
    numbers = {"above": len(finite) - len(shown), "failed": len(scores) - len(finite)}
    texts = [f"{n} {what}" for what, n in numbers.items() if n]
    return f" ({', '.join(texts)})" if texts else ""


def _as_numbers(table: pd.DataFrame, parameter: Parameter) -> pd.DataFrame:
    """The table with the indices of choices instead of the choices."""
    if not parameter.choices:
        return table

    def place(value: Any) -> int:
        same = (choice == value or (choice is None and pd.isna(value)) for choice in parameter.choices)
        return list(same).index(True)

    return table.assign(**{parameter.key: table[parameter.key].map(place)})


def _scale(axes: Axes, name: str, parameter: Parameter, table: pd.DataFrame) -> None:
    axis = axes.xaxis if name == "x" else axes.yaxis
    if parameter.choices:
        axis.set_ticks(range(len(parameter.choices)), [str(c) for c in parameter.choices])
    elif parameter.scale == "log":
        values = table[parameter.key].to_numpy(dtype=float)
        low, high = float(values.min()), float(values.max())
        axes.set(**{f"{name}scale": "log"})
        log_axis(axis, low, high)
        if high < SHORT_RANGE * low:  # hardly any of 1, 2, 5 would lie in it
            axis.set_major_locator(MaxNLocator(4))
            axis.set_minor_locator(NullLocator())
        if name == "x" and high > 60 * low:  # numbers beside each other need room
            axis.set_major_locator(LogLocator(numticks=5))
