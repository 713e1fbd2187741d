"""Trackers: what a training measures, sent to TensorBoard or MLflow beside the run folder's own ``metrics.csv``.

A tracker has three methods; anything that has them may be passed to ``fit``. Those that are named are made by
``trackers_of``, and their packages are imported only then.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from spikeloom.errors import ConfigError, did_you_mean

MLFLOW_RUN = "mlflow_run.txt"
"""File of a run folder with the number of its run in MLflow, by which a resumed training goes on in it."""


@runtime_checkable
class Tracker(Protocol):
    """Receives what a training measures."""

    def begin(self, configuration: Mapping[str, Any], step: int) -> None:
        """A training begins, or goes on.

        Args:
            configuration: Values of the model's configuration by dotted name.
            step: Optimiser steps of all stages that are done.
        """
        ...

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers of a validation.

        Args:
            step: Optimiser steps of all stages so far.
            values: Finite numbers by name, "STAGE/loss" and so on.
        """
        ...

    def end(self) -> None:
        """The training has ended, or was interrupted."""
        ...


class TensorBoard:
    """Writes scalars below ``RUN/tensorboard``, for ``tensorboard --logdir``.

    Args:
        folder: Run folder.

    Raises:
        ConfigError: If the package is not installed.
    """

    def __init__(self, folder: Path):
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise _missing("tensorboard") from None
        self._folder, self._kind, self._writer = folder / "tensorboard", SummaryWriter, None

    def begin(self, configuration: Mapping[str, Any], step: int) -> None:
        """Open a file of events; what an interrupted training wrote beyond its checkpoint is taken back."""
        self._writer = self._kind(str(self._folder), purge_step=step or None)
        if not step:
            self._writer.add_text("configuration", "\n".join(f"    {k}: {v}" for k, v in configuration.items()))

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Add a point to the curve of each value."""
        assert self._writer is not None
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def end(self) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()


class MLflow:
    """Logs to a run of MLflow, named like the run folder; the server is that of ``MLFLOW_TRACKING_URI``.

    Args:
        folder: Run folder.

    Raises:
        ConfigError: If the package is not installed.
    """

    def __init__(self, folder: Path):
        try:
            self._mlflow = import_module("mlflow")
        except ImportError:
            raise _missing("mlflow") from None
        self._folder, self._client, self._run = folder, None, ""

    def begin(self, configuration: Mapping[str, Any], step: int) -> None:
        """Begin a run, or go on with that of the run folder."""
        self._client, known = self._mlflow.MlflowClient(), self._folder / MLFLOW_RUN
        if known.is_file():
            self._run = known.read_text(encoding="utf-8").strip()
            self._client.update_run(self._run, status="RUNNING")
            return
        experiment = self._client.get_experiment_by_name("spikeloom")
        number = self._client.create_experiment("spikeloom") if experiment is None else experiment.experiment_id
        self._run = self._client.create_run(number, run_name=self._folder.resolve().name).info.run_id
        known.write_text(self._run + "\n", encoding="utf-8")
        for name, value in configuration.items():
            self._client.log_param(self._run, name, value)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Log a metric for each value."""
        assert self._client is not None
        for name, value in values.items():
            self._client.log_metric(self._run, name, value, step=step)

    def end(self) -> None:
        """End the run."""
        if self._client is not None:
            self._client.set_terminated(self._run)


TRACKERS: dict[str, Callable[[Path], Tracker]] = {"tensorboard": TensorBoard, "mlflow": MLflow}
"""Trackers that can be named."""


def trackers_of(names: Sequence[str | Tracker], folder: Path | None) -> list[Tracker]:
    """The trackers that are named; objects are trackers themselves.

    Args:
        names: Names of ``TRACKERS``, or objects with the methods of ``Tracker``.
        folder: Run folder; named trackers need one.

    Raises:
        ConfigError: If there is none of a name, its package is not installed, or there is no run folder.
    """
    found: list[Tracker] = []
    for name in names:
        if not isinstance(name, str):
            found.append(name)
            continue
        if name not in TRACKERS:
            hint = did_you_mean(name, TRACKERS) or f"trackers: {', '.join(TRACKERS)}."
            raise ConfigError(f"log names '{name}', which is no tracker; {hint}")
        if folder is None:
            raise ConfigError(f"log names '{name}', which writes beside a run folder; say where with out.")
        found.append(TRACKERS[name](folder))
    return found


@contextmanager
def tracking(trackers: Sequence[Tracker], configuration: Mapping[str, Any], step: int) -> Iterator[None]:
    """Begin the trackers and end them, whatever comes between."""
    begun: list[Tracker] = []
    try:
        for tracker in trackers:
            tracker.begin(configuration, step)
            begun.append(tracker)
        yield
    finally:
        for tracker in begun:
            tracker.end()


def send(trackers: Sequence[Tracker], stage: str, step: int, values: Mapping[str, float]) -> None:
    """Send the finite values of a validation to all trackers, by the name of their stage."""
    finite = {f"{stage}/{name}": float(value) for name, value in values.items() if math.isfinite(value)}
    for tracker in trackers:
        tracker.log(step, finite)


def _missing(package: str) -> ConfigError:
    return ConfigError(
        f"log names '{package}', but that package is not installed; install it with `pip install spikeloom[trackers]`."
    )
