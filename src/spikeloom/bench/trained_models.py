"""Models that are trained for a benchmark, in run folders that are kept and continued."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from spikeloom.data.options import LoadOptions
from spikeloom.errors import SpikeloomWarning
from spikeloom.models import load_model
from spikeloom.models.base import GenerativeModel
from spikeloom.models.latent import AUTOENCODER
from spikeloom.training.engine import Engine
from spikeloom.training.run import Run
from spikeloom.workflow.fitting import resume, start_run
from spikeloom.workflow.run_record import RunRecord

RUNS = "runs"
"""Folder of trained models, in the folder of results."""


Model = TypeVar("Model")


@dataclass(frozen=True)
class TrainedModel(Generic[Model]):
    """A model that was trained for a benchmark.

    Attributes:
        model: On the device of the engine.
        parameters: Number of learned parameters.
        seconds: Duration of the training, all stages together; NaN where none was recorded.
        warnings: Warnings of the training.
    """

    model: Model
    parameters: int
    seconds: float
    warnings: tuple[str, ...] = ()


def trained_model(
    preset: str,
    config: Any,
    folder: Path,
    source: str,
    reading: LoadOptions,
    engine: Engine,
    autoencoder: Path | None = None,
) -> TrainedModel[GenerativeModel]:
    """Train a model in a run folder; a training that was cut there goes on, and a finished one is loaded.

    Args:
        preset: Where the configuration comes from.
        config: The configuration.
        folder: The run folder.
        source: The recording.
        reading: How to read it.
        engine: Device and seed.
        autoencoder: A run whose trained autoencoder is taken over.

    Raises:
        SpikeloomError: If the model cannot be trained, or the folder holds another training.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", SpikeloomWarning)
        if (folder / "config.yaml").is_file():
            run = Run.open(folder)
            RunRecord.of(run).check_unchanged(run, config=config, options=reading, engine=engine, source=source)
            resume(folder, engine)
        else:
            start_run(source, preset, folder, reading, engine, config, autoencoder)
    model = load_model(folder).to(engine.fabric().device)
    messages = tuple(dict.fromkeys(str(w.message) for w in caught if issubclass(w.category, SpikeloomWarning)))
    seconds = training_seconds(folder)
    if autoencoder is not None and AUTOENCODER not in set(Run(folder).metrics()["stage"]):
        seconds += training_seconds(autoencoder, AUTOENCODER)
    return TrainedModel(model, sum(p.numel() for p in model.parameters()), seconds, messages)


def training_seconds(folder: Path, stage: str | None = None) -> float:
    """Duration of the training in a run folder, of one stage or of all; NaN where none was recorded."""
    metrics = Run(folder).metrics()
    last = dict(zip(metrics["stage"], metrics["seconds"]))  # the clock starts anew with every stage
    seconds = [float(s) for name, s in last.items() if stage in (None, name)]
    return sum(seconds) if seconds else float("nan")


def shared_autoencoder(config: Any, candidates: Iterable[tuple[Any, Path]]) -> Path | None:
    """The first finished run that trained the same autoencoder in the same way, among configurations and folders.

    With one seed, a training would end in the same weights, so that taking them over changes no number.
    """
    for other, folder in candidates:
        same = config.autoencoder == other.autoencoder and config.autoencoder_training == other.autoencoder_training
        if same and Run(folder).finished:
            return folder
    return None


@dataclass(frozen=True)
class Trainer:
    """Trains the models of a benchmark on its recording.

    Attributes:
        out: Folder of results.
        source: The recording.
        reading: How to read it.
        presets: Preset of every model.
        configs: Configuration of every model.
        device: Where models run.
    """

    out: Path
    source: str
    reading: LoadOptions
    presets: Mapping[str, str]
    configs: Mapping[str, Any]
    device: str

    def trained(
        self,
        name: str,
        run: str,
        seed: int,
        donors: Iterable[tuple[str, str]] = (),
        recording: Path | None = None,
        **changes: Any,
    ) -> TrainedModel[GenerativeModel]:
        """A model, trained unless that is done, see ``trained_model``.

        Args:
            name: Name of its configuration.
            run: Name of its run folder.
            seed: Of the training.
            donors: Models and their runs whose autoencoder is taken over, where it is the same.
            recording: Another recording.
            changes: Other values of fields of the configuration.
        """
        folder = self.out / RUNS
        source, reading = (self.source, self.reading) if recording is None else (str(recording), LoadOptions())
        return trained_model(
            self.presets[name],
            replace(self.configs[name], **changes),
            folder / run,
            source,
            reading,
            Engine(device=self.device, seed=seed),
            shared_autoencoder(self.configs[name], ((self.configs[other], folder / r) for other, r in donors)),
        )
