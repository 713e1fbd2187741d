"""Figures of a search for hyper-parameters: scores and values over generations, or scores over values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from spikeloom.plot.style import FLOOR, GENERATED, MUTED, REAL, label_figure, log_axis, new_figure, styled

COLUMNS = 5
"""Most panels of values in a row."""
PANEL = (3.1, 2.3)
"""Inches of a panel."""
SHORT_RANGE = 4.0
"""Ratio of the largest to the smallest value up to which a logarithmic axis has evenly spaced numbers."""
TITLE = "score of the validation trials, less is better"
OUTLIER = 4.0
"""A score is beyond the axis where it is further from the best than so many times the middle half is."""


@runtime_checkable
class Searched(Protocol):
    """A value that was searched, see ``spikeloom.tuning.space.Parameter``."""

    @property
    def key(self) -> str:
        """Dotted name."""
        ...

    @property
    def law(self) -> str:
        """Scale: uniform or log."""
        ...

    @property
    def choices(self) -> tuple[Any, ...]:
        """All values, where these are not numbers of a range."""
        ...


@styled
def draw_population(table: pd.DataFrame, parameters: Sequence[Searched], lineage: Sequence[int], score: str) -> Figure:
    """Scores and values of all members over generations; the best member and those its weights come from stand out.

    Args:
        table: One row for each member in each generation.
        parameters: What was searched.
        lineage: The members whose weights became the best ones, one for each generation.
        score: What the score is.
    """
    figure, large, panels = _panels(parameters)
    _courses(large, table, "score", lineage)
    best = table.loc[table.groupby("generation")["score"].idxmin().dropna()]
    large.plot(best["generation"], best["score"], "o", color=REAL, markersize=5, label="best of a generation", zorder=5)
    large.set_ylabel(score)
    large.legend(loc="best")
    large.set_title(TITLE + _cut(large, table["score"].to_numpy(dtype=float)))
    for axes, parameter in zip(panels, parameters):
        _courses(axes, _as_numbers(table, parameter), parameter.key, lineage)
        _scale(axes.yaxis, axes, parameter, table)
        axes.set_title(parameter.key, fontsize=9.5)
    for axes in (large, *panels):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    label_figure(figure, x="generation")
    return figure


@styled
def draw_random(table: pd.DataFrame, parameters: Sequence[Searched], best: int, score: str) -> Figure:
    """Scores of all trainings, in order, and over each value.

    Args:
        table: One row for each training.
        parameters: What was searched.
        best: The best member.
        score: What the score is.
    """
    figure, large, panels = _panels(parameters)
    ranked = table.sort_values("score", ignore_index=True)
    marked = ranked["member"] == best
    for axes, x in (
        (large, ranked.index.to_series() + 1),
        *((a, _as_numbers(ranked, p)[p.key]) for a, p in zip(panels, parameters)),
    ):
        axes.plot(x, ranked["score"], "o", color=MUTED, markersize=4)
        axes.plot(x[marked], ranked["score"][marked], "o", color=GENERATED, markersize=7, label="best")
        _cut(axes, table["score"].to_numpy(dtype=float))
    for axes, parameter in zip(panels, parameters):
        _scale(axes.xaxis, axes, parameter, table)
        axes.set_title(parameter.key, fontsize=9.5)
    large.set_ylabel(score)
    large.set_xlabel("rank of the training")
    large.xaxis.set_major_locator(MaxNLocator(integer=True))
    large.legend(loc="best")
    large.set_title(TITLE + _cut(large, table["score"].to_numpy(dtype=float)))
    return figure


def _panels(parameters: Sequence[Searched]) -> tuple[Figure, Axes, list[Axes]]:
    """A large panel, and a small one for each value below it."""
    rows = math.ceil(len(parameters) / COLUMNS)
    columns = math.ceil(len(parameters) / rows)
    figure = new_figure(max(columns, 2.5) * PANEL[0], 3.2 + rows * PANEL[1])
    grid = figure.add_gridspec(1 + rows, columns, height_ratios=[3.2, *[PANEL[1]] * rows])
    small = [figure.add_subplot(grid[1 + i // columns, i % columns]) for i in range(len(parameters))]
    return figure, figure.add_subplot(grid[0, :]), small


def _courses(axes: Axes, table: pd.DataFrame, column: str, lineage: Sequence[int]) -> None:
    """A line for each member, broken where it took over from another one and joined to that; the lineage in orange."""
    values = table.pivot(index="generation", columns="member", values=column).astype(float)
    parents = table.pivot(index="generation", columns="member", values="copied_from")
    ours = set(zip(range(1, len(lineage) + 1), lineage))
    for generation in values.index:
        for member in values.columns:
            here = values.loc[generation, member]
            mine = (generation, member) in ours
            colour, order = (GENERATED, 4) if mine else (FLOOR, 2)
            axes.plot([generation], [here], "o", color=colour, markersize=3.5 if mine else 2.5, zorder=order)
            if generation - 1 not in values.index:
                continue
            parent = parents.loc[generation, member]
            taken = not pd.isna(parent)
            before = values.loc[generation - 1, int(parent) if taken else member]
            style = (0, (2, 1.5)) if taken else "-"
            axes.plot(
                [generation - 1, generation],
                [before, here],
                color=colour,
                linestyle=style,
                linewidth=2.0 if mine else 1.0,
                zorder=order,
            )
    if column == "score":
        axes.plot([], [], color=GENERATED, linewidth=2.0, label="where the best weights come from")
        axes.plot([], [], color=MUTED, linestyle=(0, (2, 1.5)), linewidth=1.2, label="took over from another member")


def _cut(axes: Axes, scores: np.ndarray) -> str:
    """Leave scores out of the axis that would press all others together; says how many, and how many have failed."""
    finite = np.sort(scores[np.isfinite(scores)])
    if not len(finite):
        return ""
    low, middle = finite[0], float(np.median(finite))
    limit = low + OUTLIER * max(middle - low, 1e-12)
    shown = finite[finite <= limit]
    beyond = len(finite) - len(shown)
    margin = 0.06 * (shown[-1] - low) or 1e-6
    axes.set_ylim(low - margin, shown[-1] + margin)
    failed = len(scores) - len(finite)
    told = [*([f"{beyond} above"] if beyond else []), *([f"{failed} failed"] if failed else [])]
    return f" ({', '.join(told)})" if told else ""


def _as_numbers(table: pd.DataFrame, parameter: Searched) -> pd.DataFrame:
    """The table with the places of choices in their list, instead of the choices."""
    if not parameter.choices:
        return table
    places = [
        next(
            (i for i, choice in enumerate(parameter.choices) if choice == v or (choice is None and pd.isna(v))), np.nan
        )
        for v in table[parameter.key]
    ]
    return table.assign(**{parameter.key: places})


def _scale(axis: Any, axes: Axes, parameter: Searched, table: pd.DataFrame) -> None:
    if parameter.choices:
        axis.set_ticks(range(len(parameter.choices)), [str(c) for c in parameter.choices])
    elif parameter.law == "log":
        values = table[parameter.key].to_numpy(dtype=float)
        (axes.set_yscale if axis is axes.yaxis else axes.set_xscale)("log")
        log_axis(axis, float(values.min()), float(values.max()))
        if values.max() < SHORT_RANGE * values.min():  # hardly any of 1, 2, 5 would lie in it
            axis.set_major_locator(MaxNLocator(4))
            axis.set_minor_locator(NullLocator())
        if axis is axes.xaxis and values.max() > 60 * values.min():  # numbers beside each other need room
            axis.set_major_locator(LogLocator(numticks=5))
