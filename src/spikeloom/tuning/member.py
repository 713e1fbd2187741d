"""A member of a search is an ordinary run folder: how it is trained in another process, and how it copies another."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
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

WAIT_S = 60.0
"""Seconds to wait for the processes of a search that was killed, which end a little later than it does."""
_loaded: dict[str, SpikeData] = {}
"""The recording that this process loaded last, which all trainings of a search share."""


@dataclass(frozen=True)
class Job:
    """A training for another process.

    Attributes:
        member: Number of the member.
        folder: Its run folder.
        until: Steps, over all stages, after which training pauses; None trains to the end.
    """

    member: int
    folder: str
    until: int | None = None


@dataclass(frozen=True)
class Outcome:
    """Result of a job.

    Attributes:
        error: Why it failed; None where it did not.
        warnings: Warnings for the user.
    """

    error: str | None = None
    warnings: tuple[str, ...] = ()


def seed_of(seed: int, member: int) -> int:
    """Seed of the training of a member, different for each, from the seed of the search.

    Example:
        >>> seed_of(0, 1) == seed_of(0, 1) != seed_of(0, 2)
        True
    """
    return int(np.random.SeedSequence([seed, member]).generate_state(1)[0])


def train(job: Job) -> Outcome:
    """Continue a training; every error becomes part of the outcome, because it must not end the other trainings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", SpikeloomWarning)
        error = None
        try:
            _train(Path(job.folder), job.until)
        except SpikeloomError as why:
            error = " ".join(str(why).split())
        except Exception as why:  # a machine without memory, a full disk, a defect
            error = f"{type(why).__name__}: {' '.join(str(why).split())[:300]}"
    texts = dict.fromkeys(str(w.message) for w in caught if issubclass(w.category, SpikeloomWarning))
    return Outcome(error, tuple(texts))


def _train(folder: Path, until: int | None) -> None:
    from spikeloom.workflow.fitting import resume

    run = Run.open(folder)
    if run.finished:
        return
    data = _recording_of(run)
    if not (folder / "metrics.csv").exists():
        _record_machine(run)
    resume(folder, until=until, data=data, wait_s=WAIT_S)


def _recording_of(run: Run) -> SpikeData:
    """The recording of a run; loaded once for all trainings of a search in this process."""
    record = upgraded_record(run.read_json("data.json"))
    key = json.dumps([record.get(k) for k in ("source", "load_options", "hash", "splits")])
    if key not in _loaded:
        data = load_source(run.folder)
        _loaded.clear()
        _loaded[key] = data
    return _loaded[key]


def _record_machine(run: Run) -> None:
    """Note in the run's record on which machine it is trained; command and date remain those of the search."""
    facts = run.read_json("environment.json")
    engine = from_mapping(Engine, facts.get("engine", {}), str(run.folder / "environment.json"))
    fabric = engine.fabric()
    here = environment(engine.seed, f"{fabric.world_size} x {fabric.device.type}", fabric.strategy.precision.precision)
    run.write_json("environment.json", {**facts, **here, **{k: facts[k] for k in ("command", "date") if k in facts}})


def prepare_copy(folder: Path, parent: Path) -> None:
    """Copy the checkpoint of another member to where a member finds it when the next generation begins.

    The parent may be about to replace its own checkpoint, so none is replaced before all copies are made.
    """
    inherit(Run(parent).checkpoint, _copy(folder))


def take_copy(folder: Path) -> None:
    """Replace the checkpoint of a member by the prepared copy, if that has not been done already."""
    if _copy(folder).exists():
        _copy(folder).replace(Run(folder).checkpoint)


def _copy(folder: Path) -> Path:
    return Run(folder).checkpoint.with_name("copy.safetensors")


def plain(values: Mapping[str, Any]) -> str:
    """Values as text, with three digits.

    Example:
        >>> plain({"training.learning_rate": 0.0012345, "ic_dim": 5})
        'training.learning_rate 0.00123, ic_dim 5'
    """
    return ", ".join(f"{key} {v:.3g}" if isinstance(v, float) else f"{key} {v}" for key, v in values.items())
