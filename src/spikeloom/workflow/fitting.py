"""Training as a step: from a recording to a finished run folder, begun or resumed."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikeloom.config import flattened, from_mapping, read_preset
from spikeloom.data.options import LoadOptions
from spikeloom.data.sources import DATASETS, load_source, with_default_splits
from spikeloom.data.spikedata import SpikeData, content_hash
from spikeloom.errors import ConfigError, DataError, RunError
from spikeloom.models import load_model, model_class
from spikeloom.models.latent import LatentModel
from spikeloom.models.latent_config import refuse_other_autoencoder
from spikeloom.models.presets import preset_config, run_config, sharing
from spikeloom.training.checkpoint import Checkpoint, weights_hash
from spikeloom.training.engine import Engine
from spikeloom.training.loop import fit
from spikeloom.training.run import Run, config_content, environment

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from spikeloom.models.base import GenerativeModel

HASH_DIGITS = 12


def start_run(
    source: str,
    preset: str | Path,
    out: str | Path,
    reading: LoadOptions | None = None,
    engine: Engine | None = None,
    config: Any = None,
    autoencoder: str | Path | None = None,
) -> GenerativeModel:
    """Load a recording, train a model on it and leave everything in a new run folder.

    Nothing is written before recording, configuration and devices have proved usable.

    Args:
        source: File or name of a data set.
        preset: Name of a shipped preset, or a YAML file; says which model is trained.
        out: Folder to make.
        reading: How to understand the source.
        engine: Devices, precision, seed.
        config: Configuration to use instead of the preset's.
        autoencoder: A run of the same recording whose trained autoencoder is taken over. The configuration then says
            what that run says of its autoencoder and of its training; a ``config`` must agree on the first.

    Raises:
        SpikeloomError: If the recording, the configuration, the devices, the folder or the autoencoder cannot be used.
    """
    reading, engine = reading or LoadOptions(), engine or Engine()
    kind = model_class(read_preset(preset)["model"])
    owner = None if autoencoder is None else load_model(autoencoder)
    given, config = config, config or preset_config(preset)
    if owner is not None:
        config = sharing(config, owner.config)
        refuse_other_autoencoder(given or config, owner.config)
    Run.refuse_occupied(out, "choose another --out, or add --resume to continue a run")
    if Path(source).is_dir():
        raise DataError(f"{source} is a folder; fit to a recording: a file, or the name of a data set.")
    fabric = engine.fabric()
    data = with_default_splits(load_source(source, reading))
    model = kind.make(data, config, engine.seed)
    model.check_trainable(data)
    record = data_record(source, reading, data)
    if owner is not None:
        record["autoencoder_from"] = taken_over(model, owner, str(autoencoder))
    fabric.launch()
    if fabric.is_global_zero:
        files = first_files(model.name, config, preset, engine, fabric, record)
        # A run that is killed at once must find the weights it has taken over when it is resumed.
        first = Checkpoint(list(model.done))
        Run.create(out, files, lambda run: first.save(run.checkpoint, model) if model.done else None)
    fabric.barrier()
    fit(model, data, Run(Path(out)), fabric, engine.seed)
    return model


def resume_run(
    folder: str | Path, engine: Engine | None = None, until: int | None = None, data: SpikeData | None = None
) -> GenerativeModel:
    """Continue a training that was cut, with its own configuration, recording and seed; it ends in the same weights.

    A finished run is returned as it is.

    Args:
        folder: The run.
        engine: Devices and precision to go on with; those of the run when not given. The seed is that of the run.
        until: Steps, of all stages together, after which training is cut again.
        data: The recording of the run, where it is loaded already.

    Raises:
        SpikeloomError: If the folder is not a run, or its recording has changed.
    """
    run = Run.open(folder)
    if run.finished:
        return load_model(folder)
    recorded = RunRecord.of(run)
    seed = recorded.engine.seed
    fabric = (engine or recorded.engine).fabric()
    data = load_source(run.folder) if data is None else data
    model = model_class(run.config()[0]).make(data, recorded.config, seed)
    model.format_version = run.format_version
    fit(model, data, run, fabric, seed, until)
    return model


def autoencoder_hash(folder: str | Path) -> str:
    """Start of the hash by which the weights of a run's autoencoder are known again.

    Raises:
        SpikeloomError: If there is no trained run in the folder, or it has no autoencoder.
    """
    model = load_model(folder)
    if not isinstance(model, LatentModel):
        raise ConfigError(f"the model '{model.name}' in {folder} has no autoencoder; leave autoencoder_from out.")
    return weights_hash(model.autoencoder)[:HASH_DIGITS]


def taken_over(model: GenerativeModel, owner: GenerativeModel, folder: str | Path) -> dict[str, str]:
    """Take over the trained autoencoder of another model; what a run folder says of that.

    Args:
        model: Whose configuration has the same autoencoder.
        owner: The other model.
        folder: Its run.

    Raises:
        SpikeloomError: If it was made for another recording.
    """
    assert isinstance(model, LatentModel)  # as its configuration has an autoencoder
    model.take_autoencoder(owner)
    return {"run": Path(folder).resolve().name, "weights": weights_hash(model.autoencoder)}


@dataclasses.dataclass(frozen=True)
class RunRecord:
    """What a run folder says of its training."""

    model: str
    config: Any
    source: str
    reading: LoadOptions
    engine: Engine
    autoencoder_from: str | None = None
    """Start of the hash of an autoencoder that was taken over."""

    @classmethod
    def of(cls, run: Run) -> RunRecord:
        """Read it; a stranger's folder may say anything, so everything is checked.

        Raises:
            SpikeloomError: If the folder is damaged.
        """
        config = run_config(run)
        facts, record = run.read_json("environment.json"), run.read_json("data.json")
        engine, reading = facts.get("engine", {}), record.get("reading", {})
        taken = record.get("autoencoder_from")
        if not isinstance(reading, dict):
            raise RunError(f"{run.folder / 'data.json'} is damaged: its reading is {reading!r}; fit the run again.")
        return cls(
            str(facts.get("preset")),
            config,
            str(record.get("source")),
            LoadOptions.from_dict(reading),
            from_mapping(Engine, engine, str(run.folder / "environment.json")),
            str(taken.get("weights"))[:HASH_DIGITS] if isinstance(taken, dict) else None,
        )

    def refuse_change(self, run: Run, **asked: Any) -> None:
        """A resumed training ends in the weights it would have had, so only devices and precision may change.

        Args:
            run: The run, for the message.
            asked: Fields of this class, as asked for.

        Raises:
            ConfigError: If something asked for is not what the run has.
        """
        if "source" in asked:
            asked["source"] = _place(asked["source"])
        mine, theirs = (_plain_values({name: d[name] for name in asked}) for d in (vars(self), asked))
        for name, value in theirs.items():
            free = name.startswith("engine.") and name != "engine.seed"
            if not free and value != mine[name]:
                raise ConfigError(
                    f"the run {run.folder} has {name.partition('.')[2] or name} {mine[name]!r}, but {value!r} was "
                    "asked for; a resumed run keeps what it began with: leave that out, or fit a new run."
                )


def first_files(
    model: str, config: Any, preset: str | Path, engine: Engine, fabric: Fabric, record: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    """What a run folder holds before training: contents by file name.

    Args:
        model: Name of the model.
        config: Its complete configuration.
        preset: Where that comes from.
        engine: Devices, precision and seed that are asked for.
        fabric: What they came to.
        record: What ``data_record`` says of the recording.
    """
    precision = fabric.strategy.precision.precision
    facts = environment(engine.seed, f"{fabric.world_size} x {fabric.device.type}", precision)
    return {
        "config.yaml": config_content(model, config),
        "environment.json": facts | {"preset": str(preset), "engine": dataclasses.asdict(engine)},
        "data.json": record,
    }


def data_record(source: str, reading: LoadOptions, data: SpikeData) -> dict[str, Any]:
    """What a run folder says of the recording: where it is, how it is read, its splits and its hash."""
    return {
        "source": _place(source),
        "reading": reading.to_dict(),
        "hash": content_hash(data),
        "splits": {name: indices.tolist() for name, indices in data.splits.items()},
        "summary": data.summary(),
    }


def _place(source: str) -> str:
    return source if source in DATASETS and not Path(source).exists() else str(Path(source).resolve())


def _plain_values(content: dict[str, Any]) -> dict[str, Any]:
    """Values by dotted name, whatever configurations they lie in."""
    result: dict[str, Any] = {}
    for name, value in content.items():
        nested = dataclasses.is_dataclass(value)
        result |= {f"{name}.{k}": v for k, v in flattened(value).items()} if nested else {name: value}
    return result
