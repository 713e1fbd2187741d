"""The run folder: everything needed to reload, resume and sample a model again, and nothing that can execute.

config.yaml          model, format version and complete configuration
environment.json     versions, device, seed, command
data.json            the recording: source, load options, splits, hash
metrics.csv          training and validation loss over time
diagnostics.csv      diagnostics of the model at each validation, if it has any
weights.safetensors  the model
bank.safetensors     encoded trials to which new sessions are adapted, of a run that has been adapted or has several
sessions/NAME/       of a run of several sessions: the run of each, whose weights are completed by those of the whole
resume/              the state of an unfinished training; gone when it has ended
"""

from __future__ import annotations

import csv
import json
import math
import os
import platform
import shlex
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from spikeloom.atomic import atomic, atomic_folder
from spikeloom.data.formats.storage.containers import check_place
from spikeloom.errors import RunError, did_you_mean
from spikeloom.migrations import FORMAT_VERSION, KEY, upgraded, version_of

METRICS = ("stage", "step", "seconds", "learning_rate", "loss", "validation_loss")
DIAGNOSTICS = ("stage", "step", "name", "value")
SESSIONS, SESSION = "sessions", "session"
"""Key of ``data.json`` that lists the sessions of a run (and folder that holds them), and of theirs that names one."""
BEGINNING = ("config.yaml", "data.json", "environment.json")
"""Files that a run has before it is trained."""
RECORDS = {"metrics.csv": METRICS, "diagnostics.csv": DIAGNOSTICS}
"""Files that grow while a model is trained, and their columns."""


@dataclass(frozen=True)
class Run:
    """A folder that holds one trained (or half-trained) model."""

    folder: Path

    @classmethod
    def create(
        cls,
        folder: str | Path,
        files: Mapping[str, Mapping[str, Any]] | None = None,
        prepare: Callable[[Run], None] = lambda run: None,
    ) -> Run:
        """A run in a new folder, which appears with all of its first files or not at all.

        Args:
            folder: The folder to make; an empty one may be there.
            files: Contents by file name, ending in .yaml or .json.
            prepare: Writes what else the run has to begin with.

        Raises:
            RunError: If the folder holds something already.
        """
        folder = Path(folder).absolute()
        cls.refuse_occupied(folder)
        try:
            with atomic_folder(folder) as unfinished:
                for name, content in (files or {}).items():
                    write = cls(unfinished).write_yaml if name.endswith(".yaml") else cls(unfinished).write_json
                    write(name, content)
                prepare(cls(unfinished))
        except OSError:
            cls.refuse_occupied(folder)  # by another process in the meantime
            raise
        return cls(folder)

    @staticmethod
    def refuse_occupied(folder: str | Path, remedy: str = "choose another --out") -> None:
        """Raise an error if the folder holds something already, or could not be made."""
        folder = Path(folder)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise RunError(f"{folder} exists and is not an empty folder; {remedy}.")
        check_place(folder / "config.yaml")

    @classmethod
    def open(cls, folder: str | Path) -> Run:
        """An existing run.

        Raises:
            RunError: If there is no run in the folder.
        """
        folder = Path(folder)
        if not (folder / "config.yaml").is_file():
            raise RunError(f"{folder} is not a run folder (it has no config.yaml); train one with `spikeloom fit`.")
        return cls(folder)

    @property
    def checkpoint(self) -> Path:
        """State of an unfinished training."""
        return self.folder / "resume" / "state.safetensors"

    @property
    def finished(self) -> bool:
        """Whether training has ended and the weights are final."""
        return (self.folder / "weights.safetensors").is_file() and not self.checkpoint.exists()

    def finish(self) -> None:
        """Drop the state of the training, which has ended."""
        self.checkpoint.unlink(missing_ok=True)
        shutil.rmtree(self.checkpoint.parent, ignore_errors=True)

    @property
    def sessions(self) -> tuple[str, ...]:
        """Names of the sessions of a run of several; none for others."""
        names = self.read_json("data.json").get(SESSIONS, []) if (self.folder / "data.json").is_file() else []
        return tuple(map(str, names))

    def session(self, name: str | None) -> Run:
        """The run of one of several sessions; a run of one session is its own.

        Raises:
            RunError: If there are several and none is named, or none has this name.
        """
        names = self.sessions
        if not names:
            if name is not None:
                raise RunError(f"{self.folder} holds one session without a name, not '{name}'; leave the session out.")
            return self
        if name is None:
            raise RunError(f"{self.folder} holds the sessions {', '.join(names)}; name one of them (session).")
        if name not in names:
            hint = did_you_mean(name, names) or "name one of these."
            raise RunError(f"{self.folder} holds the sessions {', '.join(names)}, and none called '{name}'; {hint}")
        return Run(self.folder / SESSIONS / name)

    @property
    def format_version(self) -> int:
        """Version of the format this run was written in; later versions sample it by the rules of its own.

        Raises:
            ConfigError: If the run is of a newer version than this program knows.
        """
        return version_of(self.read_yaml("config.yaml"), str(self.folder / "config.yaml"))

    def config(self) -> tuple[str, dict[str, Any]]:
        """Name of the model, and the values of its configuration by their present names.

        Raises:
            ConfigError: If the run is of a newer version than this program knows.
        """
        content = self.read_yaml("config.yaml")
        model = str(content.pop("model", None))
        return model, upgraded(model, content, str(self.folder / "config.yaml"))

    def write_config(self, model: str, config: Any, format_version: int = FORMAT_VERSION) -> None:
        """Write the model's name, the format version and the configuration."""
        self.write_yaml("config.yaml", config_content(model, config, format_version))

    def write_yaml(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a YAML file, all of it or nothing."""
        with atomic(self.folder / name) as temporary:
            temporary.write_text(yaml.safe_dump(dict(content), sort_keys=False))

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a JSON file, all of it or nothing."""
        with atomic(self.folder / name) as temporary:
            temporary.write_text(strict_json(content) + "\n")

    def read_yaml(self, name: str) -> dict[str, Any]:
        """Read a YAML file of the folder; plain values only."""
        return self._read(name, _whole_yaml)

    def read_json(self, name: str) -> dict[str, Any]:
        """Read a JSON file of the folder."""
        return self._read(name, json.loads)

    def _read(self, name: str, parse: Callable[[str], Any]) -> dict[str, Any]:
        path = self.folder / name
        try:
            content = parse(path.read_text())
        except (OSError, ValueError, RecursionError, MemoryError, yaml.YAMLError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise RunError(f"{path} cannot be read ({reason}); is {self.folder} a complete run folder?") from error
        if not isinstance(content, dict):
            raise RunError(f"{path} holds no names with values; is {self.folder} a complete run folder?")
        return content

    # -- the training log ----------------------------------------------------------------------------------------

    def log(self, **values: Any) -> None:
        """Append a line to the metrics."""
        self._append("metrics.csv", [values])

    def metrics(self) -> pd.DataFrame:
        """All logged metrics."""
        return self._record("metrics.csv")

    def log_diagnostics(self, stage: str, step: int, values: Mapping[str, float]) -> None:
        """Append diagnostics of a model, a line for each number; numbers need not be finite."""
        rows = [{"stage": stage, "step": step, "name": name, "value": value} for name, value in values.items()]
        if rows:
            self._append("diagnostics.csv", rows)

    def diagnostics(self) -> pd.DataFrame:
        """All logged diagnostics: columns stage, step, name, value."""
        return self._record("diagnostics.csv")

    def forget_after(self, stages_done: list[str], stage: str, step: int) -> None:
        """Drop lines later than a checkpoint, which a resumed training will write again."""
        for name in RECORDS:
            if not (self.folder / name).exists():
                continue
            table = self._record(name)
            kept = table[table.stage.isin(stages_done) | ((table.stage == stage) & (table.step <= step))]
            kept = kept.astype({"step": int})  # a line that was cut by a kill has made them fractions
            with atomic(self.folder / name) as temporary:
                kept.to_csv(temporary, index=False, na_rep="nan")

    def _append(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        path = self.folder / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            new = not path.exists() or path.stat().st_size == 0
            with path.open("a", newline="") as file:
                writer = csv.DictWriter(file, list[str](RECORDS[name]))
                if new:
                    writer.writeheader()
                writer.writerows(rows)
        except OSError as error:  # most often a full disk
            raise RunError(
                f"{path} could not be written: {error.strerror or error}; make room, then continue with "
                "`spikeloom fit ... --resume`."
            ) from error

    def _record(self, name: str) -> pd.DataFrame:
        path, columns = self.folder / name, list(RECORDS[name])
        if not path.exists() or path.stat().st_size == 0:
            return pd.DataFrame(columns=columns)
        try:
            return pd.read_csv(path, float_precision="round_trip").loc[:, columns]
        except (ValueError, KeyError) as error:
            reason = " ".join(str(error).split())
            raise RunError(f"{path} is damaged ({reason}); delete it to go on without its record.") from error


def config_content(model: str, config: Any, format_version: int = FORMAT_VERSION) -> dict[str, Any]:
    """Content of ``config.yaml``: names are always the present ones; the version stays that of a model's first run."""
    return {"model": model, KEY: format_version, **asdict(config)}


def _whole_yaml(text: str) -> Any:
    """Plain values; what was cut would be read with defaults in place of the lines that are missing."""
    if text and not text.endswith("\n"):
        raise ValueError("it does not end with a line break, so it was cut")
    return yaml.safe_load(text)


def strict_json(content: Any) -> str:
    """JSON that any program can read: what is not a number becomes null.

    Example:
        >>> print(strict_json({"loss": float("nan"), "bins": (1, 2)}))
        {
         "loss": null,
         "bins": [
          1,
          2
         ]
        }
    """

    def plain(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {str(k): plain(v) for k, v in value.items()}
        if isinstance(value, np.ndarray | np.generic):
            return plain(value.tolist())
        if isinstance(value, list | tuple):
            return [plain(v) for v in value]
        if isinstance(value, float):
            return value if math.isfinite(value) else None
        return value if isinstance(value, str | int) or value is None else str(value)

    return json.dumps(plain(content), indent=1, allow_nan=False)


def environment(seed: int, device: str, precision: str) -> dict[str, Any]:
    """Provenance of a result beside configuration and data: versions, machine, seed, command."""
    packages = ("spikeloom", "torch", "lightning-fabric", "numpy", "scipy", "pandas", "h5py", "safetensors")
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join([Path(sys.argv[0]).name.replace("__main__.py", "spikeloom"), *sys.argv[1:]]),
        "seed": seed,
        "device": device,
        "precision": precision,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": platform.machine(),
        "cpu_count": os.cpu_count(),
        "packages": {name: metadata.version(name) for name in packages},
    }
