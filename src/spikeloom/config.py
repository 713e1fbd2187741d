"""Configurations: frozen dataclasses built from plain mappings; a key that does not exist is an error."""

from __future__ import annotations

import dataclasses
import re
import typing
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from spikeloom.errors import ConfigError, did_you_mean
from spikeloom.migrations import upgraded


def from_mapping(kind: type, content: Any, where: str = "the configuration") -> Any:
    """An instance of a configuration class from nested plain values; what is not named keeps its default.

    Args:
        kind: A dataclass whose fields are plain values or dataclasses.
        content: Mapping of names to values; may come from a stranger's file, so everything in it is checked.
        where: Where the values come from, for error messages.

    Raises:
        ConfigError: If a key does not exist or a value does not fit.
    """
    from jsonargparse import ArgumentError

    check_keys(kind, content, where)
    try:
        parser = _parser(kind)
        return kind(**vars(parser.instantiate(parser.parse_object(dict(content)))))
    except (ArgumentError, TypeError) as error:
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, ConfigError):
                raise cause from None
            cause = cause.__cause__ or cause.__context__
        found = misfit(str(error))
        if found is None:
            raise ConfigError(f"{where} does not hold ({' '.join(str(error).split())}); correct it.") from error
        raise ConfigError(
            f"{where} has {found[1]!r} at '{found[0]}', but it must be {found[2]}; correct it."
        ) from error


def misfit(message: str) -> tuple[str, str, str] | None:
    """Key, value and types allowed, from the parser's message on a value of the wrong type.

    Example:
        >>> misfit('''Parser key "prior.blocks": Expected a <class 'int'>. Got value: two''')
        ('prior.blocks', 'two', 'a whole number')
    """
    found = re.search(r'Parser key "([^"]+)"(.*?)(?:Got|Given) value: (.*?)(?:\n|$)', message, re.DOTALL)
    if found is None:
        return None
    words = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "text", "NoneType": "null"}
    words |= {"tuple": "a list such as [a, b]"}
    expected: dict[str, None] = dict.fromkeys(re.findall(r"Expected a <class '(\w+)'>", found[2]))
    kinds = sorted(expected, key=lambda kind: kind == "NoneType")
    return found[1], found[3].strip(), " or ".join(words.get(k, k) for k in kinds) or "of another type"


def check_keys(kind: type, content: Any, where: str, prefix: str = "") -> None:
    """Check that all keys are fields; the error names the nearest field.

    Raises:
        ConfigError: At the first unknown key.
    """
    if not isinstance(content, Mapping):
        raise ConfigError(
            f"{where} has {content!r} at {prefix.rstrip('.') or 'the top'}, where names with values belong."
        )
    hints = typing.get_type_hints(kind)
    known = {f.name: hints[f.name] for f in dataclasses.fields(kind)}
    for key, value in content.items():
        if key not in known:
            everywhere = [prefix + name for name in known]
            hint = did_you_mean(prefix + str(key), everywhere, cutoff=0.0)
            raise ConfigError(f"{where} has the unknown key '{prefix}{key}'; {hint}")
        if dataclasses.is_dataclass(known[key]):
            check_keys(typing.cast(type, known[key]), value, where, f"{prefix}{key}.")


def shipped(folder: str) -> dict[str, Path]:
    """YAML files that come with the package, by name.

    Args:
        folder: Folder of the package: presets or spaces.
    """
    files = (Path(str(file)) for file in (resources.files("spikeloom") / folder).iterdir())
    return {file.stem: file for file in sorted(files, key=lambda file: file.stem) if file.suffix == ".yaml"}


def read_shipped(kind: str, folder: str, name: str | Path) -> tuple[Path, Any]:
    """Path and content of a YAML file, given by its name among the shipped ones or by its path.

    Args:
        kind: Kind of file, for error messages.
        folder: Folder of the package.
        name: Name or path.

    Raises:
        ConfigError: If there is no such file, or it is not a YAML file.
    """
    files = shipped(folder)
    path = files.get(str(name), Path(name))
    if not path.is_file():
        hint = did_you_mean(str(name), files) or f"{kind}s: {', '.join(files)}."
        raise ConfigError(f"there is no {kind} or file '{name}'; {hint}")
    try:
        return path, yaml.safe_load(path.read_text())
    except (OSError, ValueError, RecursionError, MemoryError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
        raise ConfigError(f"{path} is not a YAML file ({reason}); correct it, or copy it again.") from error


def preset_files() -> dict[str, Path]:
    """Files of the shipped presets, by name."""
    return shipped("presets")


def read_preset(preset: str | Path) -> dict[str, Any]:
    """The content of a preset, given by its name or as a YAML file; its key "model" names the model.

    A configuration of a run folder serves as a preset too. Old names of fields are replaced by the present ones.

    Raises:
        ConfigError: If there is no such preset, or the file cannot be read or is of a newer version.
    """
    path, content = read_shipped("preset", "presets", preset)
    if not isinstance(content, dict) or not isinstance(content.get("model"), str):
        raise ConfigError(f"{path} does not say which model it configures; add a line such as 'model: ldns'.")
    return upgraded(content["model"], content, str(path))


def merged(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """Nested mappings, the second over the first.

    Example:
        >>> merged({"a": {"b": 1, "c": 2}}, {"a": {"c": 3}})
        {'a': {'b': 1, 'c': 3}}
    """
    result = dict(base)
    for key, value in change.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merged(result[key], value) if both else value
    return result


def check_fields(
    config: Any,
    prefix: str = "",
    *,
    least: Mapping[str, int] = MappingProxyType({}),
    positive: Iterable[str] = (),
    below_one: Iterable[str] = (),
    one_of: Mapping[str, Iterable[str]] = MappingProxyType({}),
) -> None:
    """Check fields of a configuration one by one; a field that is None is not checked.

    Args:
        config: A dataclass.
        prefix: Group that the fields belong to, for error messages, as in "prior.".
        least: The smallest value of fields, by name.
        positive: Fields that must be above zero.
        below_one: Fields that must lie in [0, 1).
        one_of: The values that fields may have, by name.

    Raises:
        ConfigError: At the first field that does not hold.
    """
    bounds: list[tuple[str, Callable[[Any], bool], str]] = [
        *((n, lambda v, known=tuple(known): v in known, f"one of {', '.join(known)}") for n, known in one_of.items()),
        *((n, lambda v, bound=bound: v >= bound, f"at least {bound}") for n, bound in least.items()),
        *((n, lambda v: v > 0, "positive") for n in positive),
    ]
    checks = [(name, holds, f"be {words}") for name, holds, words in bounds]
    checks += [(name, lambda v: 0 <= v < 1, "lie in [0, 1)") for name in below_one]
    for name, holds, words in checks:
        value = getattr(config, name)
        if value is not None and not holds(value):
            shown = f"'{value}'" if isinstance(value, str) else value
            raise ConfigError(f"{prefix}{name} is {shown}, but must {words}.")


def flattened(config: Any, prefix: str = "") -> dict[str, Any]:
    """Values of a configuration by dotted name."""
    result: dict[str, Any] = {}
    for f in dataclasses.fields(config):
        value = getattr(config, f.name)
        if dataclasses.is_dataclass(value):
            result |= flattened(value, f"{prefix}{f.name}.")
        else:
            result[prefix + f.name] = value
    return result


@cache
def _parser(kind: type):
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(kind)
    return parser
