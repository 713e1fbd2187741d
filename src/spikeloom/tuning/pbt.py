"""Population-based training: generations of all members, between which some take over from better ones.

The state of a search is its folder: the checkpoints of the members, what they train with in the present generation
(``population.json``), and the table of the generations before. A search that was cut goes on from there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from spikeloom.atomic import atomic
from spikeloom.training.run import Run
from spikeloom.tuning.member import Job, Outcome, lay_ready, take_over
from spikeloom.tuning.plan import Plan, stages_of
from spikeloom.tuning.population import Member, Population, next_generation
from spikeloom.tuning.prepared import Prepared
from spikeloom.tuning.progress import Board
from spikeloom.tuning.random_search import first_values
from spikeloom.tuning.score import score_after
from spikeloom.tuning.tournament import settled
from spikeloom.tuning.trials import Row, Trials

COURSE = "course.csv"
"""File in the run folder of the best: one row for each generation that its weights went through."""


def search(prepared: Prepared, jobs: Any, trials: Trials) -> None:
    """Train generation after generation, until there are no more or nothing is won any more.

    Args:
        prepared: The search.
        jobs: Has ``run(jobs, done)``.
        trials: The table, into which every generation is written when it ends.

    Raises:
        RunError: If all members have failed.
    """
    plan = prepared.plan
    assert plan is not None
    population = Population.read(prepared.out) or _first(prepared)
    with Board("generation", plan.generations, prepared.space.keys) as board:
        for generation in range(1, population.generation):
            _tell(board, trials, generation)
        while True:
            generation = population.generation
            for member in population.members:
                run = prepared.lay_out(member.number, member.values)
                take_over(run.folder, generation)
            if len(trials.of(generation)) < len(population.members):
                trials.put(_trained(prepared, plan, jobs, board, population))
            trials.best(generation)  # or all have failed
            _tell(board, trials, generation)
            if generation == plan.generations or ended(prepared, plan, trials):
                return
            population = _followed(prepared, plan, trials, population)


def ended(prepared: Prepared, plan: Plan, trials: Trials) -> bool:
    """Whether the best score has settled, in the last stage."""
    first = 1 + sum(stage.generations for stage in plan.stages[: plan.stage(plan.generations)])
    best = [trials.best(g).score for g in range(first, trials.generations + 1)]
    return settled(best, float(prepared.search.tolerance or 0.0))


def write_course(run: Run, member: int, trials: Trials, plan: Plan, folder: Callable[[int], Path]) -> None:
    """Write into a copy of a member's run what its weights went through, in each generation where they were then.

    The member's own folder holds what it has itself gone through, with weights that it may have given up. The table
    ``course.csv`` has a row for each generation: the member that the weights were in, the steps behind them at its end,
    the score, and the values that they were trained with.

    Args:
        run: The copy.
        member: The member.
        trials: The table of the search.
        plan: Its generations.
        folder: The run folder of a member.
    """
    line = trials.lineage(member)
    rows = [trials.row(generation, origin).flat() for generation, origin in enumerate(line, start=1)]
    with atomic(run.folder / COURSE) as temporary:
        pd.DataFrame(rows).drop(columns="error").to_csv(temporary, index=False)
    runs = [Run(folder(origin)) for origin in line]
    noted = {"metrics.csv": [r.metrics() for r in runs], "diagnostics.csv": [r.diagnostics() for r in runs]}
    # In the order of training: whose weights lasted has noted all stages, whoever failed may lack the first.
    stages = dict.fromkeys(stage for table in noted["metrics.csv"] for stage in table["stage"])
    begin = {stage: plan.begin(index) for index, stage in enumerate(stages)}
    for name, tables in noted.items():
        parts = []
        for generation, table in enumerate(tables, start=1):
            steps = [begin[stage] + step for stage, step in zip(table["stage"], table["step"])]
            parts.append(table.loc[[plan.end(generation - 1) < step <= plan.end(generation) for step in steps]])
        if any(len(part) for part in parts):
            with atomic(run.folder / name) as temporary:
                pd.concat([part for part in parts if len(part)]).to_csv(temporary, index=False, na_rep="nan")


def _first(prepared: Prepared) -> Population:
    members = range(int(prepared.search.population or 0))
    population = Population(1, tuple(Member(m, first_values(prepared, m)) for m in members))
    population.write(prepared.out)
    return population


def _trained(prepared: Prepared, plan: Plan, jobs: Any, board: Board, population: Population) -> list[Row]:
    """Train all members for a generation; rows of the table."""
    until = plan.end(population.generation)
    ended = 0

    def done(job: Job, outcome: Outcome) -> None:
        nonlocal ended
        ended += 1
        board.at(ended, len(population.members))

    asked = [Job(m.number, str(prepared.folder(m.number)), until) for m in population.members]
    outcomes = jobs.run(asked, done)
    begin = plan.begin(plan.stage(population.generation))
    rows = []
    for member in population.members:
        outcome: Outcome = outcomes[member.number]
        score = math.nan
        if outcome.error is None:
            run = Run(prepared.folder(member.number))
            score = score_after(run, prepared.space.score, member.since - begin)
        rows.append(
            Row(population.generation, member.number, until, score, member.values, member.copied_from, outcome.error)
        )
    return rows


def _followed(prepared: Prepared, plan: Plan, trials: Trials, population: Population) -> Population:
    """Decide on the next generation, and lay weights ready for it; once it is written, it holds."""
    generation, search = population.generation, prepared.search
    following = next_generation(
        population,
        [row.score for row in trials.of(generation)],
        prepared.space.parameters,
        stages_of(prepared.space.keys, plan),
        trained=plan.stage(generation),
        following=plan.stage(generation + 1),
        steps=plan.end(generation),
        seed=search.seed,
        accepts=prepared.accepts,
        exploit=str(search.exploit),
        exploration=str(search.exploration),
    )
    for member in following.members:
        if member.copied_from is not None:
            lay_ready(prepared.folder(member.number), prepared.folder(member.copied_from), following.generation)
    following.write(prepared.out)
    return following


def _tell(board: Board, trials: Trials, generation: int) -> None:
    best, rows = trials.best(generation), trials.of(generation)
    copies = sum(row.copied_from is not None for row in rows)
    failed = sum(not math.isfinite(row.score) for row in rows)
    notes = ([f"{copies} took over"] if copies else []) + ([f"{failed} failed"] if failed else [])
    board.line(generation, best.score, best.member, best.values, ", ".join(notes))
