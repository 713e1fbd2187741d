"""A search space: which values of a configuration are searched, and within what bounds."""

from __future__ import annotations

import json
import math
import typing
from collections.abc import Mapping
from dataclasses import asdict, dataclass, is_dataclass, replace
from typing import Any

from spikeloom.config import check_keys, from_mapping, merged
from spikeloom.errors import ConfigError

SCALES = ("linear", "log")


@dataclass(frozen=True)
class Parameter:
    """A hyper-parameter that is searched: a range of numbers, or a list of choices.

    Attributes:
        key: Dotted name in the configuration.
        low: Lower bound; whole numbers are searched where both bounds are of type int.
        high: Upper bound.
        scale: Scale on which it is sampled uniformly and drawn in figures: linear, or log.
        choices: All allowed values, instead of bounds.
        start: First value of every member of a population, instead of a sample.
        weight: Exploration weight of population-based training: a perturbation multiplies by at most 1 + weight. A
            choice is replaced by another with this probability.
        enforced: Whether perturbed values stay within the bounds; otherwise they only stay positive.
    """

    key: str
    low: int | float = math.nan
    high: int | float = math.nan
    scale: str = "linear"
    choices: tuple[Any, ...] = ()
    start: Any = None
    weight: float = 0.3
    enforced: bool = True

    def __post_init__(self) -> None:
        if self.choices:
            if not math.isnan(self.low) or not math.isnan(self.high):
                raise ConfigError(f"'{self.key}' has choices and bounds; leave one of them out.")
        elif not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ConfigError(
                f"'{self.key}' lies between {self.low} and {self.high}; give low and high, the first the smaller, or a "
                "list of choices."
            )
        elif self.scale == "log" and self.low <= 0:
            raise ConfigError(f"'{self.key}' begins at {self.low}, but a logarithmic scale needs a positive low.")
        if self.scale not in SCALES:
            raise ConfigError(f"the scale of '{self.key}' is '{self.scale}', but must be one of {', '.join(SCALES)}.")
        if not 0 < self.weight <= (1 if self.choices else math.inf):
            raise ConfigError(
                f"the weight of '{self.key}' is {self.weight}, but must be positive (that of a choice: at most 1)."
            )
        if self.start is not None and not (
            self.start in self.choices if self.choices else self.low <= self.start <= self.high
        ):
            raise ConfigError(f"'{self.key}' starts at {self.start}, which is not in its range ({self.range}).")

    @property
    def whole(self) -> bool:
        """Whether it is a range of whole numbers."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def ends(self) -> tuple[Any, ...]:
        """All choices, or both bounds."""
        return self.choices or (self.low, self.high)

    @property
    def range(self) -> str:
        """The range as text.

        Example:
            >>> Parameter("rate", 1e-5, 5e-3, "log").range
            '1e-05 to 0.005, log'
        """
        if self.choices:
            return ", ".join(map(str, self.choices))
        return f"{self.low:g} to {self.high:g}" + (", log" if self.scale == "log" else "")

    def parse(self, text: str) -> Any:
        """A value from a table of text.

        Raises:
            ValueError: If the text is no value of this parameter.

        Example:
            >>> Parameter("size", choices=(None, 64, "all")).parse("64")
            64
        """
        if not self.choices:
            return int(text) if self.whole else float(text)
        for choice in self.choices:
            if text == ("" if choice is None else str(choice)):
                return choice
        raise ValueError(f"'{text}' is none of {self.range}")

    def to_plain(self) -> dict[str, Any]:
        """The fields that have a meaning for it, as YAML stores them."""
        unused = ("low", "high", "scale", "enforced") if self.choices else ("choices",)
        content = {k: v for k, v in asdict(self).items() if k not in ("key", *unused) and v is not None}
        return {k: list(v) if k == "choices" else v for k, v in content.items()}


@dataclass(frozen=True)
class SearchSpace:
    """The hyper-parameters of a search, the model they belong to, and the score to minimise.

    Attributes:
        name: Name of the space.
        model: Kind of model.
        preset: Preset that the space was made for.
        method: Method that the space was made for: pbt or random.
        score: Weights of validation quantities by name: ``validation_loss``, or diagnostics of the model. Their
            weighted sum is minimised.
        changes: Nested values that replace those of the preset.
        parameters: The hyper-parameters.
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
        """Names of the hyper-parameters."""
        return tuple(p.key for p in self.parameters)

    def fitted(self, config: Any) -> SearchSpace:
        """The same space, with whole numbers where the configuration has them.

        Raises:
            ConfigError: If a key is not one of the configuration's, or it does not accept an end of a range.
        """
        where = f"the search space '{self.name}'"
        parameters = []
        for parameter in self.parameters:
            key, kind = parameter.key, type(config)
            check_keys(kind, nested({key: parameter.ends[0]}), where)
            for part in key.split("."):
                kind = typing.get_type_hints(kind)[part]
            if is_dataclass(kind):
                raise ConfigError(f"{where} names the group '{key}'; name a value in it.")
            if int in (kind, *typing.get_args(kind)) and not parameter.choices:
                if not (float(parameter.low).is_integer() and float(parameter.high).is_integer()):
                    raise ConfigError(f"{where} has bounds {parameter.range} at '{key}', which is a whole number.")
                start = None if parameter.start is None else int(parameter.start)
                parameter = replace(parameter, low=int(parameter.low), high=int(parameter.high), start=start)
            # As a file would hold the configuration: its types are checked, and tuples are lists there.
            plain = json.loads(json.dumps(asdict(config)))
            for end in parameter.ends:
                from_mapping(type(config), merged(plain, nested({key: end})), where)
            parameters.append(parameter)
        return replace(self, parameters=tuple(parameters))


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


def with_values(config: Any, values: Mapping[str, Any]) -> Any:
    """A configuration with other values, by dotted name; their types are not checked.

    Raises:
        ConfigError: If the configuration does not accept the values together.

    Example:
        >>> from spikeloom.models.lfads_config import LFADSConfig
        >>> with_values(LFADSConfig(), {"kl_weight": 0.5, "l2.generator": 0.5}).l2.generator
        0.5
    """

    def replaced(old: Any, changes: Mapping[str, Any]) -> Any:
        groups = {k: replaced(getattr(old, k), v) for k, v in changes.items() if is_dataclass(getattr(old, k))}
        return replace(old, **{**changes, **groups})

    return replaced(config, nested(values))
