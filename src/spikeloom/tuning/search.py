"""Searching for hyper-parameters from a recording to a trained run, for every model."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from spikeloom.config import flattened
from spikeloom.data.options import LoadOptions
from spikeloom.errors import RunError, SpikeloomWarning
from spikeloom.models.presets import run_config
from spikeloom.training.run import Run
from spikeloom.tuning import pbt, random_search
from spikeloom.tuning.member import Job, Outcome, copied, train
from spikeloom.tuning.page import PAGE, write_page
from spikeloom.tuning.prepared import BEST, Prepared, prepare
from spikeloom.tuning.ray_jobs import ray_jobs, require_ray
from spikeloom.tuning.settings import Resources, SearchConfig
from spikeloom.tuning.space import SearchSpace
from spikeloom.tuning.trials import FILE as TABLE
from spikeloom.tuning.trials import Trials

STORE = ".ray"


@dataclass(frozen=True)
class Tuned:
    """What a search has found.

    Attributes:
        best: Run folder of the best training, which has been trained to its end.
        member: Its number.
        score: Its score in the search.
        values: The values that were searched, as it was trained with at last.
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
) -> Tuned:
    """Search for the hyper-parameters of a model on a recording, with many trainings at once.

    Population-based training is that of AutoLFADS (Keshtkaran et al. 2022): members are trained side by side, and after
    every generation each meets another one and takes over its weights, the state of its optimiser and its values if
    these are better, and perturbs the values. Random search trains with values that are drawn once.

    The folder holds the search (``search.yaml``), the table of all trainings (``trials.csv``), their run folders
    (``trials/``), the best one, trained to its end (``best/``; what its weights went through, and with which values in
    which generation, is in its ``metrics.csv`` and ``course.csv``), and a page with a figure (``tuning.md``,
    ``tuning.png``). The same call continues a search that was cut.

    Args:
        source: File or name of a data set.
        model: Preset: its name, or a YAML file.
        out: Folder of the search.
        space: What is searched: the name of a shipped space, a YAML file, or the space itself; the shipped one of the
            model when not given.
        search: Method, numbers and seed.
        resources: What each training has, and where trainings run.
        reading: How to understand the source.
        config: Configuration in which values are searched; the preset's, with the changes of the space, when not given.
        autoencoder: A run of the same recording whose trained autoencoder all members take over, so that only what
            comes after it is searched, and scores compare.
        precision: As for a training.

    Raises:
        ConfigError: If Ray is not installed, or something asked for cannot be.
        SpikeloomError: If the recording or the folder cannot be used, or all trainings fail.
    """
    require_ray()
    prepared = prepare(source, model, out, space, search, resources, reading, config, autoencoder, precision)
    trials = Trials(prepared.out / TABLE, prepared.space.parameters)
    with ray_jobs(resources, prepared.out / STORE) as jobs:
        if not (prepared.out / PAGE).is_file():
            jobs.start()
        prepared.begin()
        (pbt if prepared.search.method == "pbt" else random_search).search(prepared, jobs, trials)
        tuned = _finished(prepared, trials, jobs)
    write_page(prepared, trials, tuned.member)
    return tuned


def _finished(prepared: Prepared, trials: Trials, jobs: Any) -> Tuned:
    """The best member, trained to its end in a folder of its own: what is left of its stages, and its observation."""
    best = trials.best(trials.generations)
    folder = prepared.out / BEST
    if not folder.exists():
        method = str(prepared.search.method)
        facts = {"method": method, "member": best.member, "generations": trials.generations, "score": best.score}

        def end_here(run: Run) -> None:
            plan = prepared.plan
            if plan is not None:
                ended = plan.ended(run_config(run), plan.end(trials.generations))
                run.write_config(prepared.model, ended, run.format_version)
                pbt.write_course(run, best.member, trials, plan, prepared.folder)

        copied(prepared.folder(best.member), folder, {"tuning": facts}, end_here)
    run = Run.open(folder)
    if not run.finished:
        job = Job(best.member, str(folder))
        # Warnings of the end of a training are about the model that is handed over.
        alone = prepared.resources.address is None
        outcome: Outcome = train(job) if alone else jobs.run([job])[best.member]
        for words in outcome.warnings:
            warnings.warn(words, SpikeloomWarning, stacklevel=3)
        if outcome.error is not None:
            raise RunError(f"the best training could not be brought to its end: {outcome.error.rstrip('.')}.")
    known = flattened(run_config(run))
    values = {key: known[key] for key in prepared.space.keys}
    return Tuned(folder, best.member, best.score, values, trials.table())
