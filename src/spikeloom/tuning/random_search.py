"""Random search: every training has values of its own, drawn at the beginning, and runs to its end."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from spikeloom.models.presets import run_config
from spikeloom.training.run import Run
from spikeloom.tuning.explore import drawn
from spikeloom.tuning.member import Job, Outcome
from spikeloom.tuning.plan import stage_names
from spikeloom.tuning.prepared import Prepared
from spikeloom.tuning.progress import Board
from spikeloom.tuning.score import kept_score
from spikeloom.tuning.trials import Row, Trials

FIRST_VALUES = 1
"""Marks the draws of a member's first values."""


def first_values(prepared: Prepared, member: int) -> dict[str, Any]:
    """Values that a member begins with."""
    generator = np.random.default_rng([prepared.search.seed, FIRST_VALUES, member])
    at_start = prepared.search.method == "pbt"
    return drawn(prepared.space.parameters, generator, prepared.accepts, at_start)


def search(prepared: Prepared, jobs: Any, trials: Trials) -> None:
    """Train all members to the end, those that a search before this one has not trained yet.

    Args:
        prepared: The search.
        jobs: Has ``run(jobs, done)``.
        trials: The table, into which every training is written when it ends.
    """
    members = range(int(prepared.search.trials or 0))
    values = {member: first_values(prepared, member) for member in members}
    known = {row.member for row in trials.rows}
    left = [Job(m, str(prepared.lay_out(m, values[m]).folder)) for m in members if m not in known]

    with Board("trial", len(members), prepared.space.keys) as board:

        def done(job: Job, outcome: Outcome) -> None:
            row = _row(prepared, job, outcome, values[job.member])
            trials.put([row])
            board.line(len(trials.rows), row.score, row.member, row.values, outcome.error or "")
            board.at(len(trials.rows), len(members))

        if left:
            jobs.run(left, done)


def _row(prepared: Prepared, job: Job, outcome: Outcome, values: dict[str, Any]) -> Row:
    run = Run(prepared.folder(job.member))
    metrics = run.metrics()
    last = dict(zip(metrics["stage"], metrics["step"]))
    score = math.nan
    if outcome.error is None and run.finished:
        config = run_config(run)
        keep_best = getattr(config, stage_names(config)[-1]).keep_best
        score = kept_score(run, prepared.space.score, keep_best)
    return Row(1, job.member, int(sum(last.values())), score, values, error=outcome.error)
