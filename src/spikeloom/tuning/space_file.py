"""Search spaces from YAML: the shipped ones by name, or a user's file, checked key by key."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from spikeloom.config import read_shipped, shipped
from spikeloom.errors import ConfigError, did_you_mean
from spikeloom.migrations import upgraded, upgraded_key
from spikeloom.tuning.settings import METHODS
from spikeloom.tuning.space import Parameter, SearchSpace

FIELDS = ("model", "preset", "method", "score", "changes", "space")
NUMBERS = ("low", "high", "weight", "start")


def spaces() -> dict[str, Path]:
    """Shipped search spaces by name."""
    return shipped("spaces")


def read_space(space: str | Path) -> SearchSpace:
    """A search space, given by its name or as a YAML file.

    Raises:
        ConfigError: If there is no such space, or its content is not valid.
    """
    path, content = read_shipped("search space", "spaces", space)
    return space_from_mapping(path.stem, content)


def space_for(model: str, preset: str | Path, method: str | None = None) -> SearchSpace:
    """The first shipped search space of a kind of model, preferably for a method and made for a preset.

    Raises:
        ConfigError: If there is none.
    """
    own = [space for space in map(read_space, spaces()) if space.model == model]
    if not own:
        raise ConfigError(
            f"there is no shipped search space for models of kind '{model}'; write one and give it with --space (those "
            f"of {', '.join(spaces())} are in the folder {next(iter(spaces().values())).parent})."
        )
    return min(own, key=lambda space: (method not in (None, space.method), space.preset != str(preset)))


def space_from_mapping(name: str, content: Any) -> SearchSpace:
    """A search space from plain values; anybody may have written them, so everything is checked.

    Old names of configuration fields, and of the scale of a range, are replaced by the present ones.

    Raises:
        ConfigError: At the first value that is not valid.
    """
    where = f"the search space '{name}'"
    if not isinstance(content, Mapping) or not isinstance(content.get("model"), str):
        raise ConfigError(f"{where} does not say which kind of model it is for; add a line such as 'model: lfads'.")
    _check_known(where, content, FIELDS)
    model, method = content["model"], content.get("method", METHODS[0])
    if method not in METHODS:
        raise ConfigError(f"{where} has the method '{method}', but it must be one of {', '.join(METHODS)}.")
    entries, changes = content.get("space"), content.get("changes") or {}
    if not isinstance(entries, Mapping) or not entries:
        raise ConfigError(
            f"{where} has no values to search; name some under 'space', each with low and high or choices."
        )
    if not isinstance(changes, Mapping):
        raise ConfigError(f"{where} has changes {changes!r}, where names with values belong.")
    score = content.get("score", "validation_loss")
    score = {score: 1.0} if isinstance(score, str) else score
    if not isinstance(score, Mapping) or not score:
        raise ConfigError(
            f"{where} has the score {score!r}; name a quantity of the validation, or several with weights."
        )
    return SearchSpace(
        name,
        model,
        str(content.get("preset", model)),
        method,
        {str(k): _number(where, f"score.{k}", weight) for k, weight in score.items()},
        upgraded(model, changes, where),
        tuple(_parameter(where, upgraded_key(model, str(key)), entry) for key, entry in entries.items()),
    )


def _parameter(where: str, key: str, entry: Any) -> Parameter:
    if not isinstance(entry, Mapping):
        raise ConfigError(f"{where} has {entry!r} at '{key}', where low and high or choices belong.")
    if "law" in entry:  # until version 0.1.0
        scale = "linear" if entry["law"] == "uniform" else entry["law"]
        entry = {"scale": scale, **{k: v for k, v in entry.items() if k != "law"}}
    _check_known(where, entry, [f.name for f in fields(Parameter) if f.name != "key"], f"{key}.")
    choices = entry.get("choices", ())
    if not isinstance(choices, list | tuple):
        raise ConfigError(f"{where} has choices {choices!r} at '{key}'; give a list.")
    values = {k: v for k, v in entry.items() if v is not None}
    for name in NUMBERS:
        if name in values and not (choices and name == "start"):
            values[name] = _number(where, f"{key}.{name}", values[name])
    return Parameter(**{**values, "key": key, "choices": tuple(choices)})


def _number(where: str, key: str, value: Any) -> float:
    """A number; YAML reads 1e-5 without a point as text."""
    try:
        if isinstance(value, bool):
            raise TypeError
        return float(value)
    except (TypeError, ValueError):
        raise ConfigError(f"{where} has {value!r} at '{key}', but it must be a number; correct it.") from None


def _check_known(where: str, content: Mapping[str, Any], known: Collection[str], prefix: str = "") -> None:
    for key in content:
        if key not in known:
            hint = did_you_mean(prefix + str(key), [prefix + name for name in known], cutoff=0.0)
            raise ConfigError(f"{where} has the unknown key '{prefix}{key}'; {hint}")
