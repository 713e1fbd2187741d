"""A model in a run folder: configuration, facts about the recording and weights; nothing in it can execute."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from safetensors import SafetensorError

from spikeloom.config import from_mapping
from spikeloom.errors import RunError, SpikeloomError
from spikeloom.models.data_spec import DataSpec
from spikeloom.training.checkpoint import read_tensors, write_tensors
from spikeloom.training.run import SESSION, Run

if TYPE_CHECKING:
    from spikeloom.models.base import GenerativeModel

    Model = TypeVar("Model", bound=GenerativeModel)
else:
    Model = TypeVar("Model")

WEIGHTS = "weights.safetensors"
OWN = ("autoencoder.read_in.", "autoencoder.read_out.", "observation.", "labels.")
"""Beginnings of the names of weights that each of several sessions has for itself."""


def save(model: GenerativeModel, folder: Path, only: Callable[[str], bool] = lambda name: True) -> None:
    """Write a model; other facts in the folder's ``data.json`` stay.

    Args:
        model: The model.
        folder: Its folder.
        only: Which of its weights, by name.
    """
    spec = model.data_spec.to_json()
    folder.mkdir(parents=True, exist_ok=True)
    run = Run(folder)
    run.write_config(model.name, model.config, model.format_version)
    record = run.read_json("data.json") if (folder / "data.json").is_file() else {}
    if model.adapted_from:
        record["adapted_from"] = dict(model.adapted_from)
    if model._splits:
        record["splits"] = {name: indices.tolist() for name, indices in model._splits.items()}
    run.write_json("data.json", {**record, "recording": spec, "trained": model.trained})
    write_tensors(folder / WEIGHTS, {name: value for name, value in model.state_dict().items() if only(name)})


def load(cls: type[Model], folder: str | Path) -> Model:
    """Read a model.

    Raises:
        RunError: If the folder does not hold a whole model of this class.
    """
    run = Run.open(folder)
    folder = run.folder
    kind, content = run.config()
    if kind != cls.name:
        raise RunError(
            f"{folder} holds a model of kind '{kind}', not '{cls.name}'; load it with spikeloom.load_model, which "
            "finds its class."
        )
    path = run.folder / WEIGHTS
    if not path.is_file():
        raise RunError(f"{folder} has no weights yet: its training was cut; continue it with `fit ... --resume`.")
    record = run.read_json("data.json")
    try:
        spec = DataSpec.from_json(record["recording"])
        model = cls.for_spec(from_mapping(cls.Config, content, where="config.yaml"), spec)
        shared = read_tensors(shared_folder(folder) / WEIGHTS)[0] if SESSION in record else {}
        model.load_state_dict({**shared, **read_tensors(path)[0]})
        model.trained = record.get("trained", True) is True  # older folders hold trained models only
        model.adapted_from = record.get("adapted_from")
        model._splits = _splits(record.get("splits", {}))
    except (SafetensorError, OSError, AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        if isinstance(error, SpikeloomError):
            raise
        reason = " ".join(str(error).split())[:200]
        raise RunError(f"{folder} does not hold a whole model ({reason}); copy the run folder again.") from error
    model.format_version, model._folder = run.format_version, folder
    return model.eval()


def shared_folder(folder: Path) -> Path:
    """The run of several sessions to which the folder of one of them, ``RUN/sessions/NAME``, belongs."""
    return folder.absolute().parents[1]


def _splits(content: Any) -> dict[str, np.ndarray]:
    return {str(name): np.array(indices, dtype=np.int64) for name, indices in content.items()}
