"""The configuration of a model: from a preset, with fields changed by name, or from a run folder."""

from __future__ import annotations

import dataclasses
import re
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikeloom.config import flattened, from_mapping, merged, preset_files, read_preset
from spikeloom.errors import ConfigError, did_you_mean
from spikeloom.models.registry import model_class, model_names
from spikeloom.training.engine import Engine
from spikeloom.training.run import Run
from spikeloom.training.stages import StageConfig

if TYPE_CHECKING:
    from spikeloom.models.base import GenerativeModel


def preset_config(
    preset: str | Path, changes: Mapping[str, Any] | None = None, max_steps: int | None = None, model: str | None = None
) -> Any:
    """The configuration of a preset, with some values changed.

    Args:
        preset: Name of a shipped preset, or a YAML file.
        changes: Values that replace the preset's, by the names that ``with_changes`` knows.
        max_steps: Upper limit of the steps of every training stage.
        model: Name of the model that the configuration must be for; any model when not given.

    Raises:
        ConfigError: If the preset does not exist or is for another model, or a name or value does not fit.

    Example:
        >>> config = preset_config("ldns", {"latents": 8, "prior_training": {"batch_size": 64}}, max_steps=500)
        >>> config.autoencoder.latents, config.prior_training.batch_size, config.prior_training.steps
        (8, 64, 500)
    """
    name, content = preset_content(preset)
    if model is not None and name != model:
        raise ConfigError(
            f"the preset '{preset}' is for the model '{name}', not '{model}'; choose a preset of {model}."
        )
    where = f"preset '{preset}'"
    return limited(
        with_changes(from_mapping(model_class(name).Config, content, where), changes or {}, where), max_steps
    )


def configuration(
    kind: type[GenerativeModel],
    base: str | Path | Any | None = None,
    changes: Mapping[str, Any] | None = None,
    max_steps: int | None = None,
) -> Any:
    """The configuration of a model class, as its constructor takes it.

    Args:
        kind: The class.
        base: Name of a preset, a YAML file or an instance of the configuration class. When not given, the preset of the
            model's name, or the defaults of that class where there is none.
        changes: New values, by the names that ``with_changes`` knows.
        max_steps: Upper limit of the steps of every training stage.

    Raises:
        ConfigError: If the base is for another model, or a name or value does not fit.
    """
    if base is None:
        own = kind.name.replace("_", "-")
        base = own if own in preset_files() else kind.Config()
    where = f"the configuration of {kind.name}"
    if isinstance(base, str | Path):
        where = f"preset '{base}'"
        name, content = preset_content(base)
        if name != kind.name:
            raise ConfigError(
                f"the preset '{base}' is for the model '{name}', not '{kind.name}'; choose a preset of {kind.name}, or "
                f"the class of {name}."
            )
        base = from_mapping(kind.Config, content, where)
    elif not isinstance(base, kind.Config):
        raise ConfigError(
            f"a model of kind '{kind.name}' needs a {kind.Config.__name__}, the name of a preset or a YAML file; got a "
            f"{type(base).__name__}."
        )
    return limited(with_changes(base, changes or {}, where), max_steps)


def preset_content(preset: str | Path) -> tuple[str, dict[str, Any]]:
    """The model that a preset configures, and the values it sets.

    The name of a model, for example a registered one, serves as a preset that sets nothing.

    Raises:
        ConfigError: If there is no such preset, file or model, or the file cannot be read.
    """
    name = str(preset)
    if name not in preset_files() and not Path(preset).is_file() and name in model_names():
        return name, {}
    content = read_preset(preset)
    return content.pop("model"), content


def with_changes(config: Any, changes: Mapping[str, Any], where: str = "the configuration") -> Any:
    """The configuration with some values changed.

    Args:
        config: A configuration.
        changes: New values. A field of a group needs only its own name where that is unique (``latents``); otherwise
            name the group, nested (``autoencoder={"channels": 64}``) or dotted (``"autoencoder.channels"``). A group
            takes a mapping of the fields to change, or an instance of its class, which replaces all of it.
        where: What the configuration is, for error messages.

    Raises:
        ConfigError: If a name is unknown or not unique, or a value does not fit.
    """
    places = _places(type(config))
    nested: dict[str, Any] = {}
    for name, value in changes.items():
        for part in reversed(_place_of(name, places, where).split(".")):
            value = {part: _plain(value)}
        nested = merged(nested, value)
    return from_mapping(type(config), merged(dataclasses.asdict(config), nested), where) if nested else config


def _plain(value: Any) -> Any:
    return dataclasses.asdict(value) if dataclasses.is_dataclass(value) and not isinstance(value, type) else value


def _places(kind: type, prefix: str = "") -> dict[str, list[str]]:
    """Where the fields of a configuration class are: dotted names by their last part."""
    result: dict[str, list[str]] = {}
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        result.setdefault(field.name, []).append(prefix + field.name)
        if dataclasses.is_dataclass(hints[field.name]):
            for name, places in _places(hints[field.name], f"{prefix}{field.name}.").items():
                result.setdefault(name, []).extend(places)
    return result


def _place_of(name: str, places: Mapping[str, Sequence[str]], where: str) -> str:
    """The dotted name of the field that a name stands for."""
    everywhere = [place for found in places.values() for place in found]
    if name in everywhere:
        return name
    found = places.get(name, [])
    if len(found) > 1:
        group, _, field = found[0].rpartition(".")
        raise ConfigError(
            f"{where} has several fields '{name}': {' and '.join(found)}; name one in full, "
            f"as in {group}={{'{field}': ...}}."
        )
    if not found and name in {f.name for f in dataclasses.fields(Engine)}:
        raise ConfigError(
            f"'{name}' is no field of {where} but of the engine; pass engine=spikeloom.Engine({name}=...) to fit."
        )
    if not found:
        hint = did_you_mean(name, ["max_steps", *everywhere, *places], cutoff=0.0)
        raise ConfigError(f"{where} has the unknown key '{name}'; {hint}")
    return found[0]


def limited(config: Any, max_steps: int | None, keep: Sequence[str] = ()) -> Any:
    """The configuration with no training stage longer than a number of steps.

    Args:
        config: A configuration.
        max_steps: The limit; none when not given.
        keep: Names of stages that stay as they are.

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
    """The configuration with the autoencoder of another one and the training of that autoencoder.

    Raises:
        ConfigError: If one of the two has no autoencoder.
    """
    groups = ("autoencoder", "autoencoder_training")
    for each in (config, other):
        if not all(hasattr(each, name) for name in groups):
            raise ConfigError(f"a {type(each).__name__} has no autoencoder to share; leave autoencoder_from out.")
    return dataclasses.replace(config, **{name: getattr(other, name) for name in groups})


def run_config(run: Run) -> Any:
    """The configuration of a run's model. Run folders may come from strangers, so everything in it is checked.

    Raises:
        SpikeloomError: If it is damaged.
    """
    name, content = run.config()
    return from_mapping(model_class(name).Config, content, str(run.folder / "config.yaml"))


@dataclass(frozen=True)
class Preset:
    """A shipped configuration of a model.

    Attributes:
        name: Its name, for ``fit``, ``--model`` and the constructor of the model.
        model: Name of the model.
        description: What it is for, and where its values come from.
    """

    name: str
    model: str
    description: str

    @classmethod
    def read(cls, path: Path) -> Preset:
        """Read a preset from a YAML file: the comment at the top describes it."""
        comments = []
        for line in path.read_text(encoding="utf-8").splitlines():
            if not line.startswith("#"):
                break
            comments.append(line.removeprefix("#").removeprefix(" "))
        description = "\n".join(" ".join(text.split()) for text in "\n".join(comments).split("\n\n"))
        return cls(path.stem, read_preset(path)["model"], description)

    @cached_property
    def values(self) -> Mapping[str, Any]:
        """The complete configuration: values by dotted name."""
        return flattened(self.configure())

    def configure(self, max_steps: int | None = None, **changes: Any) -> Any:
        """The configuration of the preset, with some values changed.

        Args:
            max_steps: Upper limit of the steps of every training stage.
            changes: New values by name, see ``with_changes``.

        Raises:
            ConfigError: If a name or a value does not fit.

        Example:
            >>> presets()["gaussian"].configure(latents=8).autoencoder.latents
            8
        """
        return preset_config(self.name, changes, max_steps)

    @property
    def summary(self) -> str:
        """The first sentence of the description."""
        return re.split(r"\.?\n|\. (?=[A-Z])", self.description)[0].removesuffix(".")

    def __repr__(self) -> str:
        values = "\n".join(f"  {name}: {value!r}" for name, value in self.values.items())
        return f"Preset '{self.name}' of the model {self.model}\n{self.description}\n{values}"

    def _repr_html_(self) -> str:
        rows = "".join(f"<tr><td>{k}</td><td>{escape(repr(v))}</td></tr>" for k, v in self.values.items())
        title = f"<b>{self.name}</b> (model {self.model})"
        text = escape(self.description).replace("\n", "<br>")
        return f"<p>{title}</p><p>{text}</p><table><tr><th>field</th><th>value</th></tr>{rows}</table>"


class UnknownPreset(ConfigError, KeyError):
    """A name that no preset has."""

    def __str__(self) -> str:
        return str(self.args[0])  # as an error of ours, not in the quotes of a KeyError


class Presets(Mapping[str, Preset]):
    """All shipped presets by name; each is read when it is first looked at."""

    def __init__(self):
        self._files = preset_files()

    def __getitem__(self, name: str) -> Preset:
        if name not in self._files:
            hint = did_you_mean(str(name), self._files) or f"presets: {', '.join(self._files)}."
            raise UnknownPreset(f"there is no preset '{name}'; {hint}")
        return Preset.read(self._files[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)

    def __repr__(self) -> str:
        width = max(map(len, self._files))
        return "\n".join(f"{name:{width}}  {preset.summary}" for name, preset in self.items())

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{p.name}</td><td>{p.model}</td><td>{escape(p.summary)}</td></tr>" for p in self.values()
        )
        return f"<table><tr><th>preset</th><th>model</th><th>description</th></tr>{rows}</table>"


def presets() -> Presets:
    """The shipped presets by name.

    Example:
        >>> presets()["ldns-demo"].values["observation"]
        'poisson'
    """
    return Presets()
