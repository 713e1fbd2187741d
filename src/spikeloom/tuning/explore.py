"""Drawing values to begin with, and perturbing those that were taken over."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from spikeloom.errors import ConfigError
from spikeloom.tuning.space import Parameter

REDRAWS = 99
"""A value is drawn anew as often until it lies within its bounds."""
LEAST_SHARE = 0.002
"""The smallest perturbation, as a share of the largest."""

Values = Mapping[str, Any]


def sampled(parameter: Parameter, generator: np.random.Generator) -> Any:
    """A value drawn from the range of a parameter."""
    if parameter.choices:
        return parameter.choices[int(generator.integers(len(parameter.choices)))]
    low, high = parameter.ends
    if parameter.law == "log":
        value = math.exp(generator.uniform(math.log(low), math.log(high)))
        return int(np.clip(round(value), low, high)) if parameter.whole else min(max(value, low), high)
    return int(generator.integers(low, high + 1)) if parameter.whole else float(generator.uniform(low, high))


def drawn(
    parameters: Sequence[Parameter],
    generator: np.random.Generator,
    accepts: Callable[[Values], bool],
    at_start: bool = False,
) -> dict[str, Any]:
    """Values of all parameters to begin with.

    Args:
        parameters: What is searched.
        generator: Source of draws.
        accepts: Whether the configuration accepts these values together; they are drawn anew until it does.
        at_start: Begin where a parameter says to start, instead of with a draw.

    Raises:
        ConfigError: If no draw is accepted.
    """
    for _ in range(1 + REDRAWS):
        values = {p.key: p.start if at_start and p.start is not None else sampled(p, generator) for p in parameters}
        if accepts(values):
            return values
    raise ConfigError(
        f"the configuration accepts none of {1 + REDRAWS} draws from the search space, such as "
        f"{', '.join(f'{k} {v}' for k, v in values.items())}; narrow its ranges."
    )


def factor(generator: np.random.Generator, weight: float, exploration: str = "log") -> float:
    """By how much a value is multiplied (Keshtkaran and Pandarinath 2019; Keshtkaran et al. 2022, Methods).

    Args:
        generator: Source of draws.
        weight: Exploration weight w.
        exploration: log: exp(s), where |s| is uniform between log(1 + 0.002 w) and log(1 + w) and both signs are as
            likely, so that repeated perturbations do not drift; linear: 1 + s with |s| uniform between 0.002 w and w,
            which drifts downwards.
    """
    least = LEAST_SHARE * weight
    sign = 1.0 if generator.random() < 0.5 else -1.0
    if exploration == "linear":
        return 1.0 + sign * float(generator.uniform(least, weight))
    return math.exp(sign * float(generator.uniform(math.log1p(least), math.log1p(weight))))


def perturbed(parameter: Parameter, value: Any, generator: np.random.Generator, exploration: str = "log") -> Any:
    """A value moved by a random factor, drawn anew while it leaves its bounds, and in the end cut at them.

    A whole number moves by at least one. A choice is replaced by another one with the probability of its weight.
    """
    if parameter.choices:
        others = [c for c in parameter.choices if c != value]
        moves = others and generator.random() < parameter.weight
        return others[int(generator.integers(len(others)))] if moves else value
    low, high = parameter.ends if parameter.enforced else (0, math.inf)
    new = value
    for _ in range(1 + REDRAWS):
        by = factor(generator, parameter.weight, exploration)
        new = value * by
        if parameter.whole:
            new = value + (1 if by > 1 else -1) if round(new) == value else round(new)
        if low <= new <= high:
            return new
    return type(new)(min(max(new, low), high))


def explored(
    parameters: Sequence[Parameter],
    values: Values,
    generator: np.random.Generator,
    accepts: Callable[[Values], bool],
    exploration: str = "log",
) -> dict[str, Any]:
    """Values of which some are perturbed.

    Args:
        parameters: What is perturbed.
        values: Values of these and of others.
        generator: Source of draws.
        accepts: Whether the configuration accepts these values together; they are drawn anew until it does, and stay as
            they are where it never does.
        exploration: See ``factor``.
    """
    for _ in range(1 + REDRAWS):
        new = {**values, **{p.key: perturbed(p, values[p.key], generator, exploration) for p in parameters}}
        if accepts(new):
            return new
    return dict(values)
