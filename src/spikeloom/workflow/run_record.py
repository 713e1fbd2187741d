"""The files of a run folder that describe a training: configuration, environment and recording."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikeloom.config import flattened, from_mapping
from spikeloom.data.formats.nwb.remote import address_of
from spikeloom.data.options import LoadOptions
from spikeloom.data.sources import DATASETS
from spikeloom.data.spikedata import SpikeData, content_hash
from spikeloom.errors import ConfigError, RunError
from spikeloom.migrations import upgraded_record
from spikeloom.models.presets import run_config
from spikeloom.training.engine import Engine
from spikeloom.training.run import Run, config_content, environment

if TYPE_CHECKING:
    from lightning_fabric import Fabric

HASH_DIGITS = 12
RECORDING = "recording.h5"
"""File in which a run folder keeps a recording that came from memory."""


@dataclasses.dataclass(frozen=True)
class RunRecord:
    """How a run was trained, as its folder records it.

    Attributes:
        model: Name or file of the preset.
        config: Configuration of the model.
        source: The recording: an absolute path, or the name of a data set.
        options: How the recording was read.
        engine: Devices, precision and seed.
        autoencoder_from: Start of the hash of the autoencoder, if it was reused from another run.
    """

    model: str
    config: Any
    source: str
    options: LoadOptions
    engine: Engine
    autoencoder_from: str | None = None

    @classmethod
    def of(cls, run: Run) -> RunRecord:
        """The record of a run. Run folders may come from strangers, so everything in it is checked.

        Raises:
            SpikeloomError: If the folder is damaged.
        """
        config = run_config(run)
        facts, record = run.read_json("environment.json"), upgraded_record(run.read_json("data.json"))
        engine, options = facts.get("engine", {}), record.get("load_options", {})
        source, reused = str(record.get("source")), record.get("autoencoder_from")
        if not isinstance(options, dict):
            raise RunError(f"{run.folder / 'data.json'} is damaged: its load options are {options!r}; fit again.")
        return cls(
            str(facts.get("preset")),
            config,
            _place(run.folder / RECORDING) if source == RECORDING else source,
            LoadOptions.from_dict(options),
            from_mapping(Engine, engine, str(run.folder / "environment.json")),
            str(reused.get("weights"))[:HASH_DIGITS] if isinstance(reused, dict) else None,
        )

    def check_unchanged(self, run: Run, **requested: Any) -> None:
        """A resumed training ends in the weights it would have had, so only devices and precision may change.

        Args:
            run: The run, for the message.
            requested: Values for fields of this class.

        Raises:
            ConfigError: If a value is not that of the run.
        """
        if "source" in requested:
            requested["source"] = _place(requested["source"])
        mine, theirs = (_plain_values({name: d[name] for name in requested}) for d in (vars(self), requested))
        for name, value in theirs.items():
            free = name.startswith("engine.") and name != "engine.seed"
            if not free and value != mine[name]:
                raise ConfigError(
                    f"the run {run.folder} has {name.partition('.')[2] or name} {mine[name]!r}, but {value!r} was "
                    "requested; a resumed run keeps the values it started with: leave that out, or fit a new run."
                )


def first_files(
    model: str, config: Any, preset: str | Path, engine: Engine, fabric: Fabric, record: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    """The files of a run folder before training: contents by file name.

    Args:
        model: Name of the model.
        config: Its complete configuration.
        preset: The preset that the configuration comes from.
        engine: Requested devices, precision and seed.
        fabric: The devices and the precision that are used.
        record: The ``data_record`` of the recording.
    """
    precision = fabric.strategy.precision.precision
    facts = environment(engine.seed, f"{fabric.world_size} x {fabric.device.type}", precision)
    return {
        "config.yaml": config_content(model, config),
        "environment.json": facts | {"preset": str(preset), "engine": dataclasses.asdict(engine)},
        "data.json": record,
    }


def data_record(source: SpikeData | str | Path, options: LoadOptions, data: SpikeData) -> dict[str, Any]:
    """The description of a recording in a run folder: where it is, how it was read, its splits and its hash.

    Args:
        source: A file, the name of a data set, or a recording in memory, of which the run folder keeps a copy.
        options: How it was read.
        data: The recording as the model is trained on it.
    """
    return {
        "source": RECORDING if isinstance(source, SpikeData) else _place(source),
        "load_options": _with_place_of_trials(options.to_dict()),
        "hash": content_hash(data),
        "splits": {name: indices.tolist() for name, indices in data.splits.items()},
        "summary": data.summary(),
    }


def _with_place_of_trials(options: dict[str, Any]) -> dict[str, Any]:
    """The options with the absolute path of a file of trials, so that the run can be loaded from anywhere."""
    trials = options.get("trials")
    return {**options, "trials": _place(trials)} if trials is not None and Path(trials).is_file() else options


def _place(source: str | Path) -> str:
    if (address := address_of(source)) is not None:
        return address
    return str(source) if str(source) in DATASETS and not Path(source).exists() else str(Path(source).resolve())


def _plain_values(content: dict[str, Any]) -> dict[str, Any]:
    """Values by dotted name; those of dataclasses one by one."""
    result: dict[str, Any] = {}
    for name, value in content.items():
        nested = dataclasses.is_dataclass(value)
        result |= {f"{name}.{k}": v for k, v in flattened(value).items()} if nested else {name: value}
    return result
