"""The page about a search: its settings, how the scores developed, and the hyper-parameters of the best training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from spikeloom.atomic import atomic
from spikeloom.tuning.generations import SET_BY_SEARCH
from spikeloom.tuning.setup import BEST, TRIALS, SearchSetup
from spikeloom.tuning.table import FILE as TABLE
from spikeloom.tuning.table import SearchTable

PAGE = "tuning.md"
FIGURE = "tuning.png"

EXPLOITS = {
    "binary": "each member meets another one at random and copies it if that is better (AutoLFADS)",
    "pairs": "members meet in random pairs, and the worse copies the better",
    "truncation": "the worst quarter copies the best quarter",
    "none": "no member copies another",
}


def write_page(setup: SearchSetup, table: SearchTable, best: int) -> None:
    """Write the page and its figure into the folder of the search.

    Args:
        setup: The search.
        table: Its table.
        best: The best member.
    """
    from spikeloom.drawing.style import write_png
    from spikeloom.tuning.figures import draw_population, draw_random

    frame, parameters, title = table.frame(), setup.space.parameters, score_text(setup.space.score)
    if setup.generations is None:
        figure = draw_random(frame, parameters, best, title)
    else:
        figure = draw_population(frame, parameters, table.lineage(best), title)
    write_png(figure, setup.out / FIGURE)
    with atomic(setup.out / PAGE) as temporary:
        temporary.write_text(_page(setup, table, best))


def score_text(score: Mapping[str, float]) -> str:
    """A score as a formula, without weights of 1.

    Example:
        >>> score_text({"mmd": 1.0, "code_r2": -1.0})
        'mmd - 1 code_r2'
    """
    terms = [name if weight == 1 else f"{weight:g} {name}" for name, weight in score.items()]
    return " + ".join(terms).replace("+ -", "- ")


def _page(setup: SearchSetup, table: SearchTable, best: int) -> str:
    search, generations, last = setup.search, setup.generations, table.last
    lines = [f"# Search for {setup.model} on {Path(str(setup.record['source'])).name}", ""]
    if generations is None:
        lines += [f"Random search: {search.trials} trainings. Seed {search.seed}."]
    else:
        lines += [
            f"Population-based training: {search.population} members, {last} of at most {len(generations)} "
            f"generations, {generations.end(last)} steps for each member; {EXPLOITS[str(search.exploit)]}. Seed "
            f"{search.seed}.",
            "",
            f"The search itself sets {', '.join(SET_BY_SEARCH[1:])} of every stage: the learning rate is constant, "
            "training never stops early, and the last weights are kept.",
        ]
    score = f"{score_text(setup.space.score)} of the validation trials, smoothed over validations; less is better."
    best_score = f"{table.row(last, best).score:.5g}"
    lines += ["", f"Score: {score}", ""]
    lines += [f"The best: member {best}, score {best_score}, trained to its end in `{BEST}/`.", ""]
    lines += [*_values(setup, table, best), ""]
    lines += _ranking(setup, table) if generations is None else _generations(table)
    lines += ["", f"All trainings are in `{TABLE}` and `{TRIALS}/`.", "", f"![scores and values]({FIGURE})", ""]
    return "\n".join(lines)


def _values(setup: SearchSetup, table: SearchTable, best: int) -> list[str]:
    """The hyper-parameters of the best training, and those with which its weights began."""
    origin = table.lineage(best)[0]
    rows = (table.row(1, origin), table.row(table.last, best))
    header = ["value", "range", f"began with (member {origin})", "best"]
    cells = [[f"`{p.key}`", p.range, *(_number(row.values[p.key]) for row in rows)] for p in setup.space.parameters]
    if setup.generations is None:
        header, cells = [*header[:2], header[3]], [[*line[:2], line[3]] for line in cells]
    return _markdown(header, cells)


def _generations(table: SearchTable) -> list[str]:
    cells = []
    for generation in range(1, table.last + 1):
        members, best = table.of(generation), table.best(generation)
        finite = [row.score for row in members if math.isfinite(row.score)]
        copies = sum(row.copied_from is not None for row in members)
        scores = [f"{best.score:.5g}", f"{median(finite):.5g}"]
        cells.append([generation, best.steps, *scores, best.member, copies, len(members) - len(finite)])
    return _markdown(["generation", "steps", "best score", "median", "best member", "copied another", "failed"], cells)


def _ranking(setup: SearchSetup, table: SearchTable) -> list[str]:
    keys = setup.space.keys
    ranked = sorted(table.rows, key=lambda row: row.score if math.isfinite(row.score) else math.inf)
    cells = [[row.member, _number(row.score), *(_number(row.values[k]) for k in keys)] for row in ranked]
    return _markdown(["member", "score", *(f"`{k}`" for k in keys)], cells)


def _markdown(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    return [f"| {' | '.join(map(str, cells))} |" for cells in (header, ["---"] * len(header), *rows)]


def _number(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}" if math.isfinite(value) else "failed"
    return str(value)
