"""Training on several sessions as a step: from recordings by name to one model of all of them and its run folder."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from spikeloom.data.files import save
from spikeloom.data.options import LoadOptions
from spikeloom.data.sources import is_run, load_source
from spikeloom.data.spikedata import SpikeData, check_recording
from spikeloom.data.splits import with_default_splits
from spikeloom.errors import ConfigError, DataError
from spikeloom.locks import alone
from spikeloom.models import model_class
from spikeloom.models.multi_session import MultiSession
from spikeloom.models.presets import preset_content
from spikeloom.models.sessions.config import SessionConfig
from spikeloom.threads import working_threads
from spikeloom.training.engine import Engine
from spikeloom.training.loop import fit as train
from spikeloom.training.run import SESSION, SESSIONS, Run
from spikeloom.training.trackers import Tracker, trackers_of
from spikeloom.workflow.run_record import RECORDING, RunRecord, data_record, first_files

Source = SpikeData | str | Path

NAME = re.compile(r"[A-Za-z0-9][\w.-]*")
"""Names of sessions: they are folders."""


def fit_sessions(
    recordings: Mapping[str, Source],
    preset: str | Path,
    config: Any,
    *,
    out: str | Path | None = None,
    options: LoadOptions | None = None,
    engine: Engine | None = None,
    reference: str | None = None,
    adding: SessionConfig | None = None,
    log: Sequence[str | Tracker] = (),
) -> MultiSession:
    """Train one model of several sessions; with ``out``, leave a run folder.

    Args:
        recordings: A recording, a file or the name of a data set for each session, by name.
        preset: Which model is trained: a shipped preset, or a YAML file.
        config: Its configuration.
        out: Run folder to make; nothing is written without.
        options: How to read files and data sets.
        engine: Devices, precision and seed.
        reference: Session on which the core is trained; that with the most recorded bins by default.
        adding: How the others are added.
        log: Trackers, see ``fit``.

    Raises:
        SpikeloomError: If the recordings, the configuration, the devices or the folder cannot be used.
    """
    engine, options = engine or Engine(), options or LoadOptions()
    if out is not None:
        Run.refuse_occupied(out, "choose another --out, or add --resume to continue a run")
    data = {_checked(name): _loaded(name, source, options) for name, source in recordings.items()}
    kind = model_class(preset_content(preset)[0])
    model = MultiSession.make(data, kind, config, reference, adding, engine.seed)
    model.check_trainable(data)
    trackers = trackers_of(log, None if out is None else Path(out))
    if out is None:
        return model.fit(data, engine=engine, trackers=trackers)
    with alone(out):
        return _start(model, data, recordings, preset, Path(out), options, engine, trackers)


def _start(
    model: MultiSession,
    data: Mapping[str, SpikeData],
    sources: Mapping[str, Source],
    preset: str | Path,
    out: Path,
    options: LoadOptions,
    engine: Engine,
    trackers: Sequence[Tracker],
) -> MultiSession:
    fabric = engine.fabric()
    engine = _with_threads(engine, model, data)
    fabric.launch()
    if fabric.is_global_zero:
        records = {name: data_record(sources[name], options, data[name]) | {SESSION: name} for name in data}
        files = {
            name: first_files(model.kind.name, model.config, preset, engine, fabric, record)
            for name, record in records.items()
        }

        def prepare(run: Run) -> None:
            for name in data:
                Run.create(run.folder / SESSIONS / name, files[name])
                if isinstance(sources[name], SpikeData):
                    save(data[name], run.folder / SESSIONS / name / RECORDING)

        top = {
            "config.yaml": model.content(),
            "data.json": {SESSIONS: list(data), "reference": model.reference},
            "environment.json": files[model.reference]["environment.json"],
        }
        Run.create(out, top, prepare)
    fabric.barrier()
    with working_threads(engine.threads):
        train(model, data, Run(out), fabric, engine.seed, trackers=trackers)  # pyright: ignore[reportArgumentType]
    return model


def resume_sessions(
    folder: str | Path, engine: Engine | None = None, log: Sequence[str | Tracker] = ()
) -> MultiSession:
    """Continue a training on several sessions that was interrupted; a finished run is returned as it is.

    Args:
        folder: The run.
        engine: Devices and precision to continue with; those of the run when not given.
        log: Trackers, see ``fit``.

    Raises:
        SpikeloomError: If the folder is not such a run, a recording has changed, or another process trains it.
    """
    run = Run.open(folder)
    trackers = trackers_of(log, run.folder)
    with alone(folder):
        if run.finished:
            return MultiSession.load(folder)
        model, data, recorded = _untrained(run)
        engine = _with_threads(engine or recorded, model, data)
        with working_threads(engine.threads):
            train(model, data, run, engine.fabric(), recorded.seed, trackers=trackers)  # pyright: ignore[reportArgumentType]
        return model


def check_unchanged(
    folder: str | Path,
    sources: Mapping[str, str],
    preset: str | Path,
    config: Any,
    engine: Engine,
    options: LoadOptions,
    adding: SessionConfig,
) -> None:
    """Refuse to resume a run with other recordings or values than it was begun with.

    Raises:
        SpikeloomError: If anything but devices and precision differs, or the folder is no run of several sessions.
    """
    run = Run.open(folder)
    _, names, _, theirs = MultiSession.described(run)
    if list(sources) != names:
        raise ConfigError(
            f"the run {folder} has the sessions {', '.join(names)}, but {', '.join(sources)} were requested; name the "
            "same in the same order."
        )
    if adding != theirs:
        raise ConfigError(
            f"the run {folder} was begun with other values of 'adding' than were requested; leave them out, or fit a "
            "new run."
        )
    for name, source in sources.items():
        record = RunRecord.of(run.session(name))
        record.check_unchanged(
            run.session(name), model=str(preset), source=source, options=options, config=config, engine=engine
        )


def _untrained(run: Run) -> tuple[MultiSession, dict[str, SpikeData], Engine]:
    """The model of an unfinished run before training, its recordings, and the devices and seed it began with."""
    kind, names, reference, adding = MultiSession.described(run)
    record = RunRecord.of(run.session(reference))
    data = {name: load_source(run.session(name).folder) for name in names}
    return MultiSession.make(data, kind, record.config, reference, adding, record.engine.seed), data, record.engine


def _loaded(name: str, source: Source, options: LoadOptions) -> SpikeData:
    if isinstance(source, SpikeData):
        if options.to_dict():
            raise DataError(f"{', '.join(options.to_dict())} cannot be used with a recording in memory; leave it out.")
        return with_default_splits(source)
    if not isinstance(source, str | Path):
        check_recording(source, f"session '{name}'")
    if is_run(source):
        raise DataError(f"{source} is a run folder; fit to recordings, not to runs: files, or names of data sets.")
    return with_default_splits(load_source(source, options))


def _checked(name: str) -> str:
    if not NAME.fullmatch(name):
        raise ConfigError(
            f"a session is called '{name}', but its name becomes a folder, so it must begin with a letter or digit and "
            "have only letters, digits, '_', '-' and '.'; choose another, as in NAME=PATH."
        )
    return name


def _with_threads(engine: Engine, model: MultiSession, data: Mapping[str, SpikeData]) -> Engine:
    first = data[model.reference]
    return engine.for_training(model, len(first.splits["train"]), first.n_bins)


def limited_adding(adding: SessionConfig, max_steps: int | None) -> SessionConfig:
    """The same with no more steps than this."""
    steps = adding.training.steps if max_steps is None else min(adding.training.steps, max_steps)
    return replace(adding, training=replace(adding.training, steps=steps))
