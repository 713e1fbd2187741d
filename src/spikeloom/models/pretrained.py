"""Trained models that ship with spikeloom, by name; and models in folders."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from spikeloom.errors import RunError, did_you_mean
from spikeloom.models.registry import load_model
from spikeloom.training.run import Run

if TYPE_CHECKING:
    from spikeloom.models.base import GenerativeModel

PREFIX = "pretrained:"
"""Beginning of a run on the command line that stands for a shipped model."""


def from_pretrained(name_or_folder: str | Path) -> GenerativeModel:
    """A trained model: one that ships with spikeloom, or that of a run folder.

    Shipped models were trained on recordings under the MIT licence, which is beside each of them (``NOTICE.md``). With
    them come encoded trials of these recordings, so that they can be adapted to sessions of your own.

    Args:
        name_or_folder: Name of a shipped model (see ``pretrained``), with or without "pretrained:", or a run folder.

    Raises:
        RunError: If there is no such model.

    Example:
        >>> from_pretrained("s1_reech")
        Traceback (most recent call last):
        ...
        spikeloom.errors.RunError: there is no run folder 's1_reech' and no shipped model of that name; did you mean 's1_reach'?
    """  # noqa: E501
    return load_model(pretrained_folder(name_or_folder))


def pretrained() -> list[str]:
    """Names of the models that ship with spikeloom."""
    return sorted(folder.name for folder in _shipped().iterdir() if (folder / "config.yaml").is_file())


def pretrained_folder(name_or_folder: str | Path) -> Path:
    """The run folder of a shipped model, or a run folder as it is.

    Raises:
        RunError: If there is no such model.
    """
    if Path(name_or_folder).is_dir():
        return Run.open(name_or_folder).folder
    name = str(name_or_folder).removeprefix(PREFIX)
    if name not in pretrained():
        hint = did_you_mean(name, pretrained()) or f"shipped models: {', '.join(pretrained())}."
        raise RunError(f"there is no run folder '{name}' and no shipped model of that name; {hint}")
    return _shipped() / name


def _shipped() -> Path:
    return Path(str(resources.files("spikeloom") / "pretrained"))
