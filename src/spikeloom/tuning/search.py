"""Searching for hyper-parameters, from a recording to a trained run: random search and population-based training.

Both train generations of members; random search has one generation, which is trained to the end. The state of a search
is its folder: the checkpoints of the members, and the table, in which the rows of a generation stand, without a score,
before it is trained. A search that was killed goes on from there.
"""

from __future__ import annotations

import math
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from spikeloom.config import flattened
from spikeloom.data.options import LoadOptions
from spikeloom.errors import RunError, warn
from spikeloom.locks import locked
from spikeloom.models.presets import run_config
from spikeloom.progress import Progress
from spikeloom.training.run import Run
from spikeloom.tuning.generations import Generations, stage_fields
from spikeloom.tuning.jobs import check_ray, ray_jobs
from spikeloom.tuning.member import Job, Outcome, plain, prepare_copy, take_copy, train
from spikeloom.tuning.page import PAGE, write_page
from spikeloom.tuning.population import first_generation, next_generation
from spikeloom.tuning.schedule import write_schedule
from spikeloom.tuning.score import kept_score, score_after
from spikeloom.tuning.settings import Resources, SearchConfig
from spikeloom.tuning.setup import BEST, SearchSetup
from spikeloom.tuning.space import SearchSpace
from spikeloom.tuning.table import FILE as TABLE
from spikeloom.tuning.table import Row, SearchTable
from spikeloom.tuning.tournament import settled


@dataclass(frozen=True)
class SearchResult:
    """Result of a search.

    Attributes:
        best: Run folder of the best training, which is finished.
        member: Its number.
        score: Its score in the search.
        values: Its hyper-parameters; those of the last generation.
        table: One row for each member in each generation.
    """

    best: Path
    member: int
    score: float
    values: Mapping[str, Any]
    table: pd.DataFrame


def tune(
    source: str,
    model: str | Path,
    out: str | Path,
    space: str | Path | SearchSpace | None = None,
    search: SearchConfig = SearchConfig(),  # noqa: B008  # frozen
    resources: Resources = Resources(),  # noqa: B008  # frozen
    reading: LoadOptions | None = None,
    config: Any = None,
    autoencoder: str | Path | None = None,
    precision: str = "auto",
) -> SearchResult:
    """Search for the hyper-parameters of a model on a recording, with many trainings at once.

    Population-based training is that of AutoLFADS (Keshtkaran et al. 2022): members are trained side by side, and after
    every generation each meets another one, copies its weights, optimiser and hyper-parameters if it is better, and
    perturbs the hyper-parameters. Random search trains with hyper-parameters that are sampled once.

    The folder contains the settings (``search.yaml``), the table of all trainings (``trials.csv``), their run folders
    (``trials/``), the best one, trained to its end (``best/``; the training of its weights, and their hyper-parameters
    in each generation, are in its ``metrics.csv`` and ``schedule.csv``), and a page with a figure (``tuning.md``,
    ``tuning.png``). The same call continues a search that was killed.

    Args:
        source: File or name of a data set.
        model: Preset: its name, or a YAML file.
        out: Folder of the search.
        space: Name of a shipped search space, a YAML file, or the space itself; the shipped one of the model when not
            given.
        search: Method, sizes and seed.
        resources: Resources of each training, and where trainings run.
        reading: How to load the source.
        config: Configuration in which hyper-parameters are replaced; the preset's, with the changes of the space, when
            not given.
        autoencoder: A run on the same recording whose trained autoencoder all members use, so that only later stages
            are searched, and scores are comparable.
        precision: As for a training.

    Raises:
        ConfigError: If Ray is not installed, or settings do not fit the model.
        SpikeloomError: If the recording or the folder cannot be used, or all trainings fail.
    """
    check_ray()
    setup = SearchSetup(source, model, out, space, search, resources, reading, config, autoencoder, precision)
    with locked(setup.out), ray_jobs(resources) as jobs:
        table = SearchTable(setup.out / TABLE, setup.space.parameters)
        if not (setup.out / PAGE).is_file():
            jobs.start()  # its errors come before anything is written
        setup.create_folder()
        _train_all(setup, jobs, table)
        result = _finished(setup, table, jobs)
        write_page(setup, table, result.member)
    return result


def _train_all(setup: SearchSetup, jobs: Any, table: SearchTable) -> None:
    """Train generation after generation, until the last one or until the best score has settled.

    Args:
        setup: The search.
        jobs: Has ``run(jobs)``, which yields jobs and their outcomes.
        table: The table.

    Raises:
        RunError: If all members have failed.
    """
    search, generations = setup.search, setup.generations
    parameters = setup.space.parameters
    if not table.rows:
        n = int((search.trials if generations is None else search.population) or 0)
        at_start = generations is not None
        table.put(*first_generation(n, parameters, search.seed, setup.accepts, at_start))
    if generations is None:
        _train_generation(setup, jobs, table)
        return
    for generation in range(1, table.last):
        _print_generation(table, generations, generation)
    while True:
        generation = table.last
        _train_generation(setup, jobs, table)
        _print_generation(table, generations, generation)
        if generation == len(generations) or ended(table, generations, float(search.tolerance or 0.0)):
            return
        following = next_generation(
            table.of(generation),
            parameters,
            generations.stages_of(setup.space.keys),
            trained=generations.stage(generation),
            following=generations.stage(generation + 1),
            seed=search.seed,
            accepts=setup.accepts,
            exploit=str(search.exploit),
            exploration=str(search.exploration),
        )
        for row in following:
            if row.copied_from is not None:
                prepare_copy(setup.folder(row.member), setup.folder(row.copied_from))
        table.put(*following)  # from now on this is the generation to train, and copies take the place of checkpoints


def _train_generation(setup: SearchSetup, jobs: Any, table: SearchTable) -> None:
    """Train the members that have no score yet in the last generation; each gets it when its training has ended."""
    generations, rows = setup.generations, table.of(table.last)
    until = None if generations is None else generations.end(table.last)
    pending = []
    for row in rows:
        if row.steps is None:
            run = setup.member_run(row.member, row.values)
            if row.copied_from is not None:
                take_copy(run.folder)
            pending.append(Job(row.member, str(run.folder), until))
    if not pending:
        return
    with Progress("trainings", len(rows), visible=sys.stderr.isatty()) as progress:
        done = len(rows) - len(pending)
        for job, outcome in jobs.run(pending):
            row = _scored(setup, table, table.row(table.last, job.member), outcome)
            table.put(row)
            done += 1
            progress.at(done)
            if generations is None:
                _print(f"trial {done}/{len(rows)}", row, outcome.error or "")


def _scored(setup: SearchSetup, table: SearchTable, row: Row, outcome: Outcome) -> Row:
    """The row of a training that has ended."""
    run, generations = Run(setup.folder(row.member)), setup.generations
    score = math.nan
    if generations is None:
        metrics = run.metrics()
        steps = int(sum(dict(zip(metrics["stage"], metrics["step"])).values()))
        if outcome.error is None and run.finished:
            config = run_config(run)
            score = kept_score(run, setup.space.score, getattr(config, stage_fields(config)[-1]).keep_best)
    else:
        steps = generations.end(row.generation)
        if outcome.error is None:
            since = generations.end(table.unbroken_since(row) - 1)
            score = score_after(run, setup.space.score, since - generations.begin(generations.stage(row.generation)))
    return replace(row, steps=steps, score=score, error=outcome.error)


def ended(table: SearchTable, generations: Generations, tolerance: float) -> bool:
    """Whether the best score has settled, in the last stage."""
    last = generations.stage(len(generations))
    scores = [table.best(g).score for g in range(1, table.last + 1) if generations.stage(g) == last]
    return settled(scores, tolerance)


def _finished(setup: SearchSetup, table: SearchTable, jobs: Any) -> SearchResult:
    """The best member, trained to its end in a folder of its own: its remaining stages, and its observation."""
    best, generations = table.best(table.last), setup.generations
    folder = setup.out / BEST

    def copy_best(run: Run) -> None:
        shutil.copytree(setup.folder(best.member), run.folder, dirs_exist_ok=True)
        facts = {"method": setup.search.method, "member": best.member, "generations": table.last, "score": best.score}
        run.write_json("environment.json", {**run.read_json("environment.json"), "tuning": facts})
        if generations is not None:
            config = generations.ended(run_config(run), generations.end(table.last))
            run.write_config(setup.model, config, run.format_version)
            write_schedule(run, best.member, table, generations, setup.folder)

    if not folder.exists():
        Run.create(folder, prepare=copy_best)
    run = Run.open(folder)
    if not run.finished:
        job = Job(best.member, str(folder))
        # On a cluster the machine of this process may be too weak for a training.
        outcome = train(job) if setup.resources.address is None else next(iter(jobs.run([job])))[1]
        for text in outcome.warnings:
            warn(text)
        if outcome.error is not None:
            raise RunError(f"the best training could not be finished: {outcome.error.rstrip('.')}.")
    config = flattened(run_config(run))
    values = {key: config[key] for key in setup.space.keys}
    return SearchResult(folder, best.member, best.score, values, table.frame())


def _print_generation(table: SearchTable, generations: Generations, generation: int) -> None:
    rows = table.of(generation)
    copies = sum(row.copied_from is not None for row in rows)
    failed = sum(not math.isfinite(row.score) for row in rows)
    notes = ([f"{copies} copied another"] if copies else []) + ([f"{failed} failed"] if failed else [])
    _print(f"generation {generation}/{len(generations)}", table.best(generation), ", ".join(notes))


def _print(title: str, row: Row, note: str) -> None:
    line = f"{title}: {row.score:.5g} (member {row.member}; {plain(row.values)}) {note}"
    print(line.rstrip(), file=sys.stderr, flush=True)
