"""A training of a search is an ordinary run folder: how it is made, trained in another process, and handed on."""

from __future__ import annotations

import json
import shutil
import tempfile
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spikeloom.config import from_mapping
from spikeloom.data.sources import load_source
from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import SpikeloomError, SpikeloomWarning
from spikeloom.migrations import upgraded_record
from spikeloom.training.checkpoint import inherit
from spikeloom.training.engine import Engine
from spikeloom.training.run import Run, environment

_loaded: dict[str, SpikeData] = {}
"""The recording that this process has loaded last, which all trainings of a search share."""


@dataclass(frozen=True)
class Job:
    """A training for another process.

    Attributes:
        member: Its number.
        folder: Its run folder.
        until: Steps, of all stages together, after which it stops; None trains to the end.
    """

    member: int
    folder: str
    until: int | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Attributes:
        error: Why it failed; None where it did not.
        warnings: What a user must know.
    """

    error: str | None = None
    warnings: tuple[str, ...] = ()


def seed_of(seed: int, member: int) -> int:
    """Seed of the training of a member: another for each, all of them from one.

    Example:
        >>> seed_of(0, 1) == seed_of(0, 1) != seed_of(0, 2)
        True
    """
    return int(np.random.SeedSequence([seed, member]).generate_state(1)[0])


def train(job: Job) -> Outcome:
    """Go on with a training; whatever goes wrong is told, not raised, because it must not end the others."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", SpikeloomWarning)
        error = None
        try:
            _train(Path(job.folder), job.until)
        except SpikeloomError as why:
            error = " ".join(str(why).split())
        except Exception as why:  # a machine without memory, a full disk, a defect
            error = f"{type(why).__name__}: {' '.join(str(why).split())[:300]}"
    told = dict.fromkeys(str(w.message) for w in said if issubclass(w.category, SpikeloomWarning))
    return Outcome(error, tuple(told))


def _train(folder: Path, until: int | None) -> None:
    from spikeloom.workflow.fitting import resume

    run = Run.open(folder)
    if run.finished:
        return
    data = recording_of(run)
    if not (folder / "metrics.csv").exists():
        note_machine(run)
    resume(folder, until=until, data=data)


def recording_of(run: Run) -> SpikeData:
    """The recording of a run; loaded once for all trainings of a search that this process does."""
    record = upgraded_record(run.read_json("data.json"))
    key = json.dumps([record.get(k) for k in ("source", "load_options", "hash", "splits")])
    if key not in _loaded:
        data = load_source(run.folder)
        _loaded.clear()
        _loaded[key] = data
    return _loaded[key]


def note_machine(run: Run) -> None:
    """Say in the run's record on what machine it is trained; command and date stay those of the search."""
    facts = run.read_json("environment.json")
    engine = from_mapping(Engine, facts.get("engine", {}), str(run.folder / "environment.json"))
    fabric = engine.fabric()
    here = environment(engine.seed, f"{fabric.world_size} x {fabric.device.type}", fabric.strategy.precision.precision)
    run.write_json("environment.json", {**facts, **here, **{k: facts[k] for k in ("command", "date") if k in facts}})


def copied(origin: Path, folder: Path, facts: Mapping[str, Any], prepare: Callable[[Run], None]) -> Run:
    """A copy of a run folder, which appears as a whole.

    Args:
        origin: The run.
        folder: The copy to make.
        facts: What is added to its record.
        prepare: Changes the copy before it appears.
    """
    unfinished = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
    try:
        shutil.copytree(origin, unfinished / "run", ignore=shutil.ignore_patterns("heir-*"))
        run = Run(unfinished / "run")
        run.write_json("environment.json", {**run.read_json("environment.json"), **facts})
        prepare(run)
        run.folder.replace(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return Run(folder)


# -- taking over -----------------------------------------------------------------------------------------------------


def _waiting(folder: Path, generation: int) -> Path:
    return folder / "resume" / f"heir-{generation}.safetensors"


def lay_ready(folder: Path, parent: Path, generation: int) -> None:
    """Copy the checkpoint of another member to where a member will find it when the next generation begins.

    A parent may itself be about to take over from somebody, so nothing is replaced before all copies are made.
    """
    inherit(Run(parent).checkpoint, _waiting(folder, generation))


def take_over(folder: Path, generation: int) -> None:
    """Put the copy that was laid ready for a generation in its place, and drop those that were never decided on."""
    waiting = _waiting(folder, generation)
    if waiting.exists():
        waiting.replace(Run(folder).checkpoint)
    for left in (folder / "resume").glob("heir-*"):
        left.unlink()


def plain(values: Mapping[str, Any]) -> str:
    """Values as a reader wants them, with three digits.

    Example:
        >>> plain({"training.learning_rate": 0.0012345, "ic_dim": 5})
        'training.learning_rate 0.00123, codes 5'
    """
    return ", ".join(f"{key} {v:.3g}" if isinstance(v, float) else f"{key} {v}" for key, v in values.items())
