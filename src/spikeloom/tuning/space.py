"""Search spaces: which values of a configuration are searched, within what bounds, read from YAML."""

from __future__ import annotations

import difflib
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from spikeloom.config import check_keys, from_mapping, merged
from spikeloom.errors import ConfigError
from spikeloom.migrations import upgraded, upgraded_key
from spikeloom.tuning.settings import METHODS

LAWS = ("uniform", "log")


@dataclass(frozen=True)
class Parameter:
    """A value that is searched for.

    Attributes:
        key: Dotted name in the configuration.
        low: Least value that is sampled.
        high: Largest value that is sampled.
        law: How it is sampled: uniform, or log (evenly on a logarithmic scale).
        choices: All values there are, instead of bounds.
        start: What every member of a population begins with, instead of a sample.
        weight: How far population-based training moves it: the factor is at most 1 + weight. A choice is replaced by
            another with this probability.
        enforced: Whether perturbed values stay within the bounds; otherwise they only stay positive.
        whole: Whether it is a whole number.
    """

    key: str
    low: float = math.nan
    high: float = math.nan
    law: str = "uniform"
    choices: tuple[Any, ...] = ()
    start: Any = None
    weight: float = 0.3
    enforced: bool = True
    whole: bool = False

    def __post_init__(self) -> None:
        if self.choices:
            if not math.isnan(self.low) or not math.isnan(self.high):
                raise ConfigError(f"'{self.key}' has choices and bounds; leave one of them out.")
        elif not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ConfigError(
                f"'{self.key}' lies between {self.low} and {self.high}; give low and high, the first the smaller, or a "
                "list of choices."
            )
        elif self.law == "log" and self.low <= 0:
            raise ConfigError(f"'{self.key}' begins at {self.low}, but a logarithmic scale needs a positive low.")
        if self.law not in LAWS:
            raise ConfigError(f"the law of '{self.key}' is '{self.law}', but must be one of {', '.join(LAWS)}.")
        if not 0 < self.weight <= (1 if self.choices else math.inf):
            raise ConfigError(
                f"the weight of '{self.key}' is {self.weight}, but must be positive (a choice's: up to 1)."
            )
        if self.start is not None and not self.inside(self.start):
            raise ConfigError(f"'{self.key}' starts at {self.start}, which is not in its range ({self.words}).")

    def inside(self, value: Any) -> bool:
        """Whether a value is one that can be sampled."""
        return value in self.choices if self.choices else self.low <= value <= self.high

    @property
    def ends(self) -> tuple[Any, ...]:
        """All choices, or both bounds."""
        return self.choices or tuple(int(v) if self.whole else float(v) for v in (self.low, self.high))

    @property
    def words(self) -> str:
        """The range in words.

        Example:
            >>> Parameter("rate", 1e-5, 5e-3, "log").words
            '1e-05 to 0.005, log'
        """
        if self.choices:
            return ", ".join(map(str, self.choices))
        return f"{self.low:g} to {self.high:g}" + (", log" if self.law == "log" else "")

    def read(self, text: str) -> Any:
        """A value of a table of text.

        Raises:
            ValueError: If it is none.

        Example:
            >>> Parameter("size", choices=(None, 64, "all")).read("64")
            64
        """
        if not self.choices:
            return int(text) if self.whole else float(text)
        found = [choice for choice in self.choices if text == ("" if choice is None else str(choice))]
        if not found:
            raise ValueError(f"'{text}' is none of {self.words}")
        return found[0]

    def to_plain(self) -> dict[str, Any]:
        """What decides its values, as YAML holds it."""
        if self.choices:
            told: dict[str, Any] = {"choices": list(self.choices)}
        else:
            told = {"low": self.ends[0], "high": self.ends[1], "law": self.law, "enforced": self.enforced}
        return told | {"weight": self.weight} | ({} if self.start is None else {"start": self.start})


@dataclass(frozen=True)
class SearchSpace:
    """What is searched, for which model, and what is to become small.

    Attributes:
        name: What it is called.
        model: Kind of model.
        preset: Preset that it is meant for.
        method: Method that it is meant for.
        score: Numbers of a validation by name, with weights, whose sum is to become small: ``validation_loss``, or what
            the model tells of itself.
        changes: Values that replace those of the preset, nested.
        parameters: What is searched.
    """

    name: str
    model: str
    preset: str
    method: str
    score: Mapping[str, float]
    changes: Mapping[str, Any]
    parameters: tuple[Parameter, ...]

    @property
    def keys(self) -> tuple[str, ...]:
        """Names of what is searched."""
        return tuple(p.key for p in self.parameters)

    def fitted(self, config: Any) -> SearchSpace:
        """The same, with whole numbers where the configuration has them.

        Raises:
            ConfigError: If a key is not one of the configuration's, or an end of a range is refused by it.
        """
        where = f"the search space '{self.name}'"
        known = []
        for parameter in self.parameters:
            first = parameter.ends[0]
            check_keys(type(config), nested({parameter.key: first}), where)
            kind = _type_of(type(config), parameter.key)
            if is_dataclass(kind):
                raise ConfigError(f"{where} names the group '{parameter.key}'; name a value in it.")
            whole = int in (kind, *typing.get_args(kind)) and not parameter.choices
            if whole and not (parameter.low.is_integer() and parameter.high.is_integer()):
                raise ConfigError(
                    f"{where} has bounds {parameter.words} at '{parameter.key}', which is a whole number."
                )
            start = int(parameter.start) if whole and parameter.start is not None else parameter.start
            parameter = replace(parameter, whole=whole, start=start)
            for end in parameter.ends:
                applied(config, {parameter.key: end}, where)
            known.append(parameter)
        return replace(self, parameters=tuple(known))


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values by dotted name as nested mappings.

    Example:
        >>> nested({"a.b": 1, "a.c": 2, "d": 3})
        {'a': {'b': 1, 'c': 2}, 'd': 3}
    """
    result: dict[str, Any] = {}
    for key, value in values.items():
        for part in reversed(key.split(".")):
            value = {part: value}
        result = merged(result, value)
    return result


def applied(config: Any, values: Mapping[str, Any], where: str = "the search space") -> Any:
    """A configuration with other values, by dotted name.

    Raises:
        ConfigError: If it does not accept them.
    """
    return from_mapping(type(config), merged(_listed(asdict(config)), nested(values)), where)


def with_values(config: Any, values: Mapping[str, Any]) -> Any:
    """The same, of values whose types are known to be right.

    Raises:
        ConfigError: If the configuration does not accept them.

    Example:
        >>> from spikeloom.models.lfads_config import LFADSConfig
        >>> with_values(LFADSConfig(), {"ic_dim": 5, "l2.generator": 0.5}).l2.generator
        0.5
    """
    return _replaced(config, nested(values))


def _replaced(config: Any, changes: Mapping[str, Any]) -> Any:
    old = {name: getattr(config, name) for name in changes}
    return replace(config, **{k: _replaced(old[k], v) if is_dataclass(old[k]) else v for k, v in changes.items()})


# -- reading ---------------------------------------------------------------------------------------------------------


def spaces() -> dict[str, Path]:
    """Shipped search spaces by name."""
    folder = resources.files("spikeloom") / "spaces"
    found = {Path(str(p)).stem: Path(str(p)) for p in folder.iterdir() if str(p).endswith(".yaml")}
    return {name: found[name] for name in sorted(found)}


def read_space(space: str | Path) -> SearchSpace:
    """A search space, given by its name or as a YAML file.

    Raises:
        ConfigError: If there is no such space, or it is not understood.
    """
    shipped = spaces()
    path = shipped.get(str(space), Path(space))
    if not path.is_file():
        near = difflib.get_close_matches(str(space), shipped, n=1)
        hint = f"did you mean '{near[0]}'? " if near else ""
        raise ConfigError(f"there is no search space or file '{space}'; {hint}search spaces: {', '.join(shipped)}.")
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} is not a YAML file: {' '.join(str(error).split())}") from error
    return space_of(path.stem, _upgraded(content, str(path)))


def _upgraded(content: Any, where: str) -> Any:
    """The content of a file by the present names of fields; ``space_of`` checks it."""
    if not isinstance(content, Mapping):
        return content
    model, result = str(content.get("model")), dict(content)
    if isinstance(content.get("changes"), Mapping):
        result["changes"] = upgraded(model, content["changes"], where)
    if isinstance(content.get("space"), Mapping):
        result["space"] = {upgraded_key(model, str(key)): entry for key, entry in content["space"].items()}
    return result


def space_for(model: str, preset: str | Path, method: str | None = None) -> SearchSpace:
    """The first shipped search space of a kind of model; if there is one, for a method and made for a preset.

    Raises:
        ConfigError: If there is none.
    """
    own = [space for space in map(read_space, spaces()) if space.model == model]
    fitting = [space for space in own if method in (None, space.method)] or own
    fitting.sort(key=lambda space: space.preset != str(preset))
    if not fitting:
        raise ConfigError(
            f"there is no shipped search space for models of kind '{model}'; write one and give it with --space (those "
            f"of {', '.join(spaces())} are in the folder {next(iter(spaces().values())).parent})."
        )
    return fitting[0]


def space_of(name: str, content: Any) -> SearchSpace:
    """A search space from plain values; they may come from a stranger's file, so everything is checked.

    Raises:
        ConfigError: At the first thing that is not understood.
    """
    where = f"the search space '{name}'"
    if not isinstance(content, Mapping) or not isinstance(content.get("model"), str):
        raise ConfigError(f"{where} does not say which kind of model it is for; add a line such as 'model: lfads'.")
    refuse = partial(_refuse_unknown, where)
    refuse(content, ("model", "preset", "method", "score", "changes", "space"))
    method = content.get("method", METHODS[0])
    if method not in METHODS:
        raise ConfigError(f"{where} has the method '{method}', but it must be one of {', '.join(METHODS)}.")
    entries, changes = content.get("space"), content.get("changes") or {}
    if not isinstance(entries, Mapping) or not entries:
        raise ConfigError(
            f"{where} has no values to search; name some under 'space', each with low and high or choices."
        )
    if not isinstance(changes, Mapping):
        raise ConfigError(f"{where} has changes {changes!r}, where names with values belong.")
    parameters = []
    for key, entry in entries.items():
        if not isinstance(entry, Mapping):
            raise ConfigError(f"{where} has {entry!r} at '{key}', where low and high or choices belong.")
        refuse(entry, [f.name for f in fields(Parameter) if f.name not in ("key", "whole")], f"{key}.")
        choices = entry.get("choices", ())
        if not isinstance(choices, list | tuple):
            raise ConfigError(f"{where} has choices {choices!r} at '{key}'; give a list.")
        told: dict[str, Any] = {
            k: _number(where, f"{key}.{k}", entry[k]) for k in ("low", "high", "weight") if k in entry
        }
        told |= {k: entry[k] for k in ("law", "enforced") if k in entry}
        if entry.get("start") is not None:
            told["start"] = entry["start"] if choices else _number(where, f"{key}.start", entry["start"])
        parameters.append(Parameter(str(key), choices=tuple(choices), **told))
    return SearchSpace(
        name,
        content["model"],
        str(content.get("preset", content["model"])),
        method,
        _score(where, content.get("score", "validation_loss")),
        changes,
        tuple(parameters),
    )


def _score(where: str, score: Any) -> dict[str, float]:
    if isinstance(score, str):
        return {score: 1.0}
    if not isinstance(score, Mapping) or not score:
        raise ConfigError(f"{where} has the score {score!r}; name a number of a validation, or some with weights.")
    return {str(name): _number(where, f"score.{name}", weight) for name, weight in score.items()}


def _number(where: str, key: str, value: Any) -> float:
    """A number; YAML reads 1e-5 without a point as text."""
    try:
        if isinstance(value, bool):
            raise TypeError
        return float(value)
    except (TypeError, ValueError):
        raise ConfigError(f"{where} has {value!r} at '{key}', but it must be a number; correct it.") from None


def _refuse_unknown(where: str, content: Mapping[str, Any], known: typing.Sequence[str], prefix: str = "") -> None:
    for key in content:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1, cutoff=0.0)
            raise ConfigError(f"{where} has the unknown key '{prefix}{key}'; did you mean '{prefix}{near[0]}'?")


def _type_of(kind: type, key: str) -> Any:
    """The type of a value of a configuration; its members, of a union."""
    first, _, rest = key.partition(".")
    hint = typing.get_type_hints(kind)[first]
    if rest:
        return _type_of(hint, rest)
    return hint if isinstance(hint, type | types.UnionType) else typing.get_origin(hint) or hint


def _listed(value: Any) -> Any:
    """Plain values as YAML would hold them: tuples as lists."""
    if isinstance(value, Mapping):
        return {k: _listed(v) for k, v in value.items()}
    return [_listed(v) for v in value] if isinstance(value, list | tuple) else value
