"""Training as a step: from a recording to a trained model, with or without a run folder, started or resumed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from spikeloom.data.files import save
from spikeloom.data.options import LoadOptions
from spikeloom.data.sources import is_run, load_source
from spikeloom.data.spikedata import SpikeData, check_recording
from spikeloom.data.splits import with_default_splits
from spikeloom.errors import ConfigError, DataError
from spikeloom.locks import alone
from spikeloom.models import load_model, model_class
from spikeloom.models.latent import LatentModel
from spikeloom.models.latent_config import refuse_other_autoencoder
from spikeloom.models.presets import Preset, limited, preset_config, preset_content, sharing, with_changes
from spikeloom.models.sessions.config import SessionConfig
from spikeloom.threads import working_threads
from spikeloom.training.checkpoint import Checkpoint, weights_hash
from spikeloom.training.engine import Engine
from spikeloom.training.loop import fit as train
from spikeloom.training.run import Run
from spikeloom.training.trackers import Tracker, trackers_of
from spikeloom.workflow.run_record import HASH_DIGITS, RECORDING, RunRecord, data_record, first_files
from spikeloom.workflow.session_fitting import fit_sessions, limited_adding

if TYPE_CHECKING:
    from spikeloom.models.base import GenerativeModel
    from spikeloom.models.multi_session import MultiSession


Recordings = Mapping[str, SpikeData | str | Path]


@overload
def fit(
    data: SpikeData | str | Path,
    preset: str | Path | Preset = "ldns",
    *,
    out: str | Path | None = None,
    options: LoadOptions | None = None,
    engine: Engine | None = None,
    max_steps: int | None = None,
    autoencoder_from: str | Path | None = None,
    log: Sequence[str | Tracker] = (),
    **changes: Any,
) -> GenerativeModel: ...
@overload
def fit(
    data: Recordings,
    preset: str | Path | Preset = "ldns",
    *,
    out: str | Path | None = None,
    options: LoadOptions | None = None,
    engine: Engine | None = None,
    max_steps: int | None = None,
    reference: str | None = None,
    adding: SessionConfig | None = None,
    log: Sequence[str | Tracker] = (),
    **changes: Any,
) -> MultiSession: ...
def fit(
    data: SpikeData | str | Path | Recordings,
    preset: str | Path | Preset = "ldns",
    *,
    out: str | Path | None = None,
    options: LoadOptions | None = None,
    engine: Engine | None = None,
    max_steps: int | None = None,
    autoencoder_from: str | Path | None = None,
    reference: str | None = None,
    adding: SessionConfig | None = None,
    log: Sequence[str | Tracker] = (),
    **changes: Any,
) -> GenerativeModel | MultiSession:
    """Train a model on a recording, or one of several sessions; with ``out``, leave a run folder as ``spikeloom fit``.

    Args:
        data: A recording, a file, or the name of a data set; or several, by the names of their sessions, whose neurons
            differ. Of a recording in memory, the run folder keeps a copy.
        preset: Which model to train, with which configuration: a shipped preset (see ``presets``) or a YAML file.
        out: Run folder to make; nothing is written without.
        options: How to read a file or a data set.
        engine: Devices, precision and seed.
        max_steps: Upper limit of the steps of every training stage.
        autoencoder_from: A run on the same recording whose trained autoencoder is reused.
        reference: Of several sessions, the one on which the core is trained; that with most recorded bins by default.
        adding: How the others are added to it.
        log: Trackers that receive what is measured in training: "tensorboard", "mlflow", or objects of your own with
            the methods of ``Tracker``.
        changes: Values that replace the preset's, by name: ``latents=8``, ``prior_training={"batch_size": 64}``.

    Returns:
        The trained model.

    Raises:
        SpikeloomError: If the recording, the configuration, the devices or the folder cannot be used.
    """
    several = isinstance(data, Mapping)
    if not several and (reference is not None or adding is not None):
        raise ConfigError(
            f"reference ({reference!r}) and adding are for several sessions; pass them by name, as in "
            "fit({'A': a, 'B': b}), or leave both out."
        )
    if several and autoencoder_from is not None:
        raise ConfigError(
            "autoencoder_from reuses the autoencoder of one recording; leave it out for several sessions."
        )
    if not isinstance(data, str | Path | Mapping):
        check_recording(data, "data")
    if isinstance(preset, Preset):
        preset = preset.name
    if out is not None:
        Run.refuse_occupied(out, "choose another folder, or continue the run in it with spikeloom.resume")
    config, reused = preset_config(preset), ()
    if autoencoder_from is not None:
        lender = load_model(autoencoder_from).config
        config, reused = with_changes(sharing(config, lender), changes, f"preset '{preset}'"), ("autoencoder_training",)
        refuse_other_autoencoder(config, lender, "autoencoder_training")
    else:
        config = with_changes(config, changes, f"preset '{preset}'")
    config = limited(config, max_steps, reused)
    if isinstance(data, Mapping):
        adding = limited_adding(adding or SessionConfig(), max_steps)
        return fit_sessions(
            data, preset, config, out=out, options=options, engine=engine, reference=reference, adding=adding, log=log
        )
    if out is not None:
        return start_run(data, preset, out, options, engine, config, autoencoder_from, log)
    engine = engine or Engine()
    trackers = trackers_of(log, None)
    model, data, _ = _untrained(data, preset, options, engine, config, autoencoder_from)
    return model.fit(data, engine=engine, trackers=trackers)


def start_run(
    source: SpikeData | str | Path,
    preset: str | Path,
    out: str | Path,
    options: LoadOptions | None = None,
    engine: Engine | None = None,
    config: Any = None,
    autoencoder: str | Path | None = None,
    log: Sequence[str | Tracker] = (),
) -> GenerativeModel:
    """Load a recording, train a model on it and leave everything in a new run folder.

    Nothing is written before recording, configuration and devices have proved usable.

    Args:
        source: A recording, a file or the name of a data set.
        preset: Name of a shipped preset, or a YAML file; says which model is trained.
        out: Folder to make.
        options: How to read the source.
        engine: Devices, precision, seed.
        config: Configuration to use instead of the preset's.
        autoencoder: A run on the same recording whose trained autoencoder is reused. Fields about the autoencoder and
            its training then come from that run; a ``config`` must agree with it on the autoencoder.
        log: Trackers, see ``fit``.

    Raises:
        SpikeloomError: If the recording, the configuration, the devices, the folder or the autoencoder cannot be used.
    """
    trackers = trackers_of(log, Path(out))
    with alone(out):
        return _start(source, preset, Path(out), options, engine or Engine(), config, autoencoder, trackers)


def _start(
    source: SpikeData | str | Path,
    preset: str | Path,
    out: Path,
    options: LoadOptions | None,
    engine: Engine,
    config: Any,
    autoencoder: str | Path | None,
    trackers: Sequence[Tracker],
) -> GenerativeModel:
    Run.refuse_occupied(out, "choose another --out, or add --resume to continue a run")
    fabric = engine.fabric()
    model, data, record = _untrained(source, preset, options, engine, config, autoencoder)
    engine = engine.for_training(model, len(data.splits["train"]), data.n_bins)
    fabric.launch()
    if fabric.is_global_zero:
        files = first_files(model.name, model.config, preset, engine, fabric, record)

        def prepare(run: Run) -> None:
            if model.done:  # a run that is killed at once must find the reused weights when it is resumed
                Checkpoint(list(model.done)).save(run.checkpoint, model)
            if isinstance(source, SpikeData):
                save(data, run.folder / RECORDING)

        Run.create(out, files, prepare)
    fabric.barrier()
    with working_threads(engine.threads):
        train(model, data, Run(Path(out)), fabric, engine.seed, trackers=trackers)
    return model


def _untrained(
    source: SpikeData | str | Path,
    preset: str | Path,
    options: LoadOptions | None,
    engine: Engine,
    config: Any,
    autoencoder: str | Path | None,
) -> tuple[GenerativeModel, SpikeData, dict[str, Any]]:
    """The model before training, its recording with splits, and the record of the recording for a run folder."""
    kind = model_class(preset_content(preset)[0])
    owner = None if autoencoder is None else load_model(autoencoder)
    wanted, config = config, config or preset_config(preset)
    if owner is not None:
        config = sharing(config, owner.config)
        refuse_other_autoencoder(wanted or config, owner.config)
    options = options or LoadOptions()
    if isinstance(source, SpikeData):
        if options.to_dict():
            raise DataError(f"{', '.join(options.to_dict())} cannot be used with a recording in memory; leave it out.")
        data = with_default_splits(source)
    elif is_run(source):
        raise DataError(f"{source} is a folder; fit to a recording, not to a run: a file, or the name of a data set.")
    else:
        data = with_default_splits(load_source(source, options))
    model = kind.make(data, config, engine.seed)
    model.check_trainable(data)
    record = data_record(source, options, data)
    if owner is not None:
        record["autoencoder_from"] = taken_over(model, owner, str(autoencoder))
    return model, data, record


def resume(
    folder: str | Path,
    engine: Engine | None = None,
    until: int | None = None,
    data: SpikeData | None = None,
    wait_s: float = 0.0,
    log: Sequence[str | Tracker] = (),
) -> GenerativeModel:
    """Continue a training that was interrupted; it ends in the weights it would have had without the interruption.

    Configuration, recording and seed are those of the run. A finished run is returned as it is.

    Args:
        folder: The run.
        engine: Devices and precision to continue with; those of the run when not given.
        until: Steps, of all stages together, after which training stops again.
        data: The recording of the run, where it is loaded already.
        wait_s: Seconds to wait for a process that is about to stop training this run.
        log: Trackers, see ``fit``.

    Raises:
        SpikeloomError: If the folder is not a run, its recording has changed, or another process trains it.
    """
    Run.open(folder)
    trackers = trackers_of(log, Path(folder))
    with alone(folder, wait_s):
        return _resume(folder, engine, until, data, trackers)


def _resume(
    folder: str | Path,
    engine: Engine | None,
    until: int | None,
    data: SpikeData | None,
    trackers: Sequence[Tracker],
) -> GenerativeModel:
    run = Run.open(folder)
    if run.finished:
        return load_model(folder)
    record = RunRecord.of(run)
    seed = record.engine.seed
    engine = engine or record.engine
    fabric = engine.fabric()
    data = load_source(run.folder) if data is None else data
    model = model_class(run.config()[0]).make(data, record.config, seed)
    model.format_version = run.format_version
    # A run of an earlier version has recorded no number.
    with working_threads(engine.for_training(model, len(data.splits["train"]), data.n_bins).threads):
        train(model, data, run, fabric, seed, until, trackers)
    return model


def autoencoder_hash(folder: str | Path) -> str:
    """Start of the hash that identifies the weights of a run's autoencoder.

    Raises:
        SpikeloomError: If there is no trained run in the folder, or it has no autoencoder.
    """
    model = load_model(folder)
    if not isinstance(model, LatentModel):
        raise ConfigError(f"the model '{model.name}' in {folder} has no autoencoder; leave autoencoder_from out.")
    return weights_hash(model.autoencoder)[:HASH_DIGITS]


def taken_over(model: GenerativeModel, owner: GenerativeModel, folder: str | Path) -> dict[str, str]:
    """Give a model the trained autoencoder of another one.

    Args:
        model: The model; its configuration has the same autoencoder.
        owner: The model with the trained autoencoder.
        folder: Run of the owner.

    Returns:
        The record of it for a run folder.

    Raises:
        SpikeloomError: If the owner was made for another recording.
    """
    assert isinstance(model, LatentModel)  # as its configuration has an autoencoder
    model.take_autoencoder(owner)
    return {"run": Path(folder).resolve().name, "weights": weights_hash(model.autoencoder)}
