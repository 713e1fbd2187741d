"""The page about a search: what was searched, how the scores went, and what the best was trained with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from spikeloom.atomic import atomic
from spikeloom.tuning.plan import SET_BY_SEARCH
from spikeloom.tuning.prepared import BEST, Prepared
from spikeloom.tuning.trials import FILE as TABLE
from spikeloom.tuning.trials import Trials

PAGE = "tuning.md"
FIGURE = "tuning.png"

EXPLOITS = {
    "binary": "each member meets another one at random and takes over from it if that is better (AutoLFADS)",
    "pairs": "members meet in random pairs, and the worse takes over from the better",
    "truncation": "the worst quarter takes over from the best quarter",
    "none": "nobody takes over from anybody",
}


def write_page(prepared: Prepared, trials: Trials, best: int) -> None:
    """Write the page and its figure into the folder of the search.

    Args:
        prepared: The search.
        trials: Its table.
        best: The best member.
    """
    from spikeloom.plot.style import write_png
    from spikeloom.tuning.figures import draw_population, draw_random

    title = score_words(prepared)
    if prepared.search.method == "pbt":
        figure = draw_population(trials.table(), prepared.space.parameters, trials.lineage(best), title)
    else:
        figure = draw_random(trials.table(), prepared.space.parameters, best, title)
    write_png(figure, prepared.out / FIGURE)
    with atomic(prepared.out / PAGE) as temporary:
        temporary.write_text(_page(prepared, trials, best))


def score_words(prepared: Prepared) -> str:
    """The score in words.

    Weights of 1 are left out.
    """
    terms = [name if weight == 1 else f"{weight:g} {name}" for name, weight in prepared.space.score.items()]
    return " + ".join(terms).replace("+ -", "- ")


def _page(prepared: Prepared, trials: Trials, best: int) -> str:
    search, last = prepared.search, trials.generations
    row = trials.row(last, best)
    lines = [f"# Search for {prepared.model} on {Path(str(prepared.record['source'])).name}", ""]
    score = f"Score: {score_words(prepared)} of the validation trials, smoothed over validations; less is better."
    if prepared.plan is not None:
        settings = ", ".join(SET_BY_SEARCH[1:])
        lines += [
            f"Population-based training: {search.population} members, {last} of at most {prepared.plan.generations} "
            f"generations, {prepared.plan.end(last)} steps for each member; {EXPLOITS[str(search.exploit)]}. Seed "
            f"{search.seed}.",
            "",
            f"The search itself sets {settings} of every stage: the learning rate is constant, nothing stops early, "
            "and the last weights are kept.",
        ]
    else:
        lines += [f"Random search: {search.trials} trainings. Seed {search.seed}."]
    lines += ["", score, "", f"The best: member {best}, score {row.score:.5g}, trained to its end in `{BEST}/`.", ""]
    lines += _values(prepared, trials, best)
    lines += _generations(trials) if prepared.plan is not None else _ranking(prepared, trials)
    lines += ["", f"All trainings are in `{TABLE}` and `trials/`.", "", f"![scores and values]({FIGURE})", ""]
    return "\n".join(lines)


def _values(prepared: Prepared, trials: Trials, best: int) -> list[str]:
    """What the best was trained with, and what it, or whom its weights come from, began with."""
    origin = trials.lineage(best)[0]
    first, last = trials.row(1, origin).values, trials.row(trials.generations, best).values
    rows = [[f"`{p.key}`", p.words, _number(first[p.key]), _number(last[p.key])] for p in prepared.space.parameters]
    if prepared.plan is None:
        return [*_table(["value", "range", "best"], [[*row[:2], row[3]] for row in rows]), ""]
    return [*_table(["value", "range", f"began with (member {origin})", "best"], rows), ""]


def _generations(trials: Trials) -> list[str]:
    rows = []
    for generation in range(1, trials.generations + 1):
        members, best = trials.of(generation), trials.best(generation)
        finite = [row.score for row in members if math.isfinite(row.score)]
        copies = sum(row.copied_from is not None for row in members)
        scores = [f"{best.score:.5g}", f"{median(finite):.5g}"]
        counts = [best.member, copies, len(members) - len(finite)]
        rows.append([str(generation), str(best.steps), *scores, *map(str, counts)])
    return _table(["generation", "steps", "best score", "median", "best member", "took over", "failed"], rows)


def _ranking(prepared: Prepared, trials: Trials) -> list[str]:
    keys = prepared.space.keys
    ranked = sorted(trials.rows, key=lambda row: row.score if math.isfinite(row.score) else math.inf)
    rows = [[str(row.member), _number(row.score), *(_number(row.values[k]) for k in keys)] for row in ranked]
    return _table(["member", "score", *(f"`{k}`" for k in keys)], rows)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows)]


def _number(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}" if math.isfinite(value) else "failed"
    return str(value)
