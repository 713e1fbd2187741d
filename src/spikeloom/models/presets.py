"""The configuration of a model: from a preset, from a run folder, with shorter training, with another's autoencoder."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spikeloom.config import from_mapping, merged, read_preset
from spikeloom.errors import ConfigError
from spikeloom.models import model_class
from spikeloom.training.run import Run
from spikeloom.training.stages import StageConfig


def preset_config(preset: str | Path, changes: dict[str, Any] | None = None, max_steps: int | None = None) -> Any:
    """The configuration of a preset, with some values changed.

    Args:
        preset: Name of a shipped preset, or a YAML file.
        changes: Nested mapping of values that replace the preset's.
        max_steps: Upper limit of the steps of every stage.

    Raises:
        ConfigError: If the preset does not exist, or a key or value does not fit.
    """
    content = read_preset(preset)
    kind = model_class(content.pop("model")).Config
    return limited(from_mapping(kind, merged(content, changes or {}), f"preset '{preset}'"), max_steps)


def run_config(run: Run) -> Any:
    """The configuration of a run's model; a stranger's folder may say anything, so everything is checked.

    Raises:
        SpikeloomError: If it is damaged.
    """
    name, content = run.config()
    kind = model_class(name)
    return from_mapping(kind.Config, content, str(run.folder / "config.yaml"))


def limited(config: Any, max_steps: int | None, keep: Sequence[str] = ()) -> Any:
    """The configuration with no stage longer than a number of steps.

    Args:
        config: A configuration.
        max_steps: The limit; none when not given.
        keep: Fields of stages that stay as they are.

    Raises:
        ConfigError: If the limit is not positive.
    """
    if max_steps is None:
        return config
    if max_steps < 1:
        raise ConfigError(f"max_steps is {max_steps}, but must be at least 1.")
    shorter = {
        f.name: dataclasses.replace(stage, steps=min(stage.steps, max_steps))
        for f in dataclasses.fields(config)
        if isinstance(stage := getattr(config, f.name), StageConfig) and f.name not in keep
    }
    return dataclasses.replace(config, **shorter)


def sharing(config: Any, other: Any) -> Any:
    """The configuration with the autoencoder of another one, and with how that was trained.

    Raises:
        ConfigError: If one of the two has no autoencoder.
    """
    groups = ("autoencoder", "autoencoder_training")
    for each in (config, other):
        if not all(hasattr(each, name) for name in groups):
            raise ConfigError(f"a {type(each).__name__} has no autoencoder to share; leave autoencoder_from out.")
    return dataclasses.replace(config, **{name: getattr(other, name) for name in groups})
