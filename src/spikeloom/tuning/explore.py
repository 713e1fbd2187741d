"""Sampling first values of hyper-parameters, and perturbing those that were copied from a better member.

Samples are drawn here rather than by Ray Tune, which draws all trials from one stream: every member has a generator of
its own, so that a search that was killed goes on with the values that it would have had.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from spikeloom.errors import ConfigError
from spikeloom.tuning.space import Parameter

TRIES = 100
"""How often a value is drawn until it lies within its bounds, or the configuration accepts it."""
LEAST_SHARE = 0.002
"""The smallest perturbation, as a share of the largest."""

Values = Mapping[str, Any]
Accepts = Callable[[Values], bool]
"""Whether the configuration accepts values together."""


def sample(parameter: Parameter, generator: np.random.Generator) -> Any:
    """A value drawn uniformly from the choices or, on its scale, from the range of a parameter."""
    if parameter.choices:
        return parameter.choices[int(generator.integers(len(parameter.choices)))]
    low, high = parameter.ends
    if parameter.scale == "log":
        value = math.exp(generator.uniform(math.log(low), math.log(high)))
        return min(max(round(value) if parameter.whole else value, low), high)
    return int(generator.integers(low, high + 1)) if parameter.whole else float(generator.uniform(low, high))


def sample_all(
    parameters: Sequence[Parameter], generator: np.random.Generator, accepts: Accepts, at_start: bool = False
) -> dict[str, Any]:
    """First values of all parameters.

    Args:
        parameters: The hyper-parameters.
        generator: Source of randomness.
        accepts: See ``Accepts``; values are drawn until they are accepted.
        at_start: Use the ``start`` of parameters that have one, instead of a sample.

    Raises:
        ConfigError: If no sample is accepted.
    """
    for _ in range(TRIES):
        values = {p.key: p.start if at_start and p.start is not None else sample(p, generator) for p in parameters}
        if accepts(values):
            return values
    raise ConfigError(
        f"the configuration accepts none of {TRIES} samples from the search space, such as "
        f"{', '.join(f'{k} {v}' for k, v in values.items())}; narrow its ranges."
    )


def factor(generator: np.random.Generator, weight: float, exploration: str = "log") -> float:
    """A random factor that perturbs a value (Keshtkaran and Pandarinath 2019; Keshtkaran et al. 2022, Methods).

    Args:
        generator: Source of randomness.
        weight: Exploration weight w.
        exploration: log: exp(s), where |s| is uniform between log(1 + 0.002 w) and log(1 + w) and both signs are
            equally likely, so that repeated perturbations do not drift; linear: 1 + s with |s| uniform between 0.002 w
            and w, which drifts downwards.
    """
    least = LEAST_SHARE * weight
    sign = 1.0 if generator.random() < 0.5 else -1.0
    if exploration == "linear":
        return 1.0 + sign * float(generator.uniform(least, weight))
    return math.exp(sign * float(generator.uniform(math.log1p(least), math.log1p(weight))))


def perturb(parameter: Parameter, value: Any, generator: np.random.Generator, exploration: str = "log") -> Any:
    """A value times a random factor; the factor is drawn again while the value leaves its bounds, and clipped at last.

    A whole number changes by at least one. A choice is replaced by another with the probability of its weight.
    """
    if parameter.choices:
        others = [c for c in parameter.choices if c != value]
        moves = others and generator.random() < parameter.weight
        return others[int(generator.integers(len(others)))] if moves else value
    low, high = parameter.ends if parameter.enforced else (0, math.inf)
    new = value
    for _ in range(TRIES):
        by = factor(generator, parameter.weight, exploration)
        new = value * by
        if parameter.whole:
            new = value + (1 if by > 1 else -1) if round(new) == value else round(new)
        if low <= new <= high:
            return new
    return type(new)(min(max(new, low), high))


def perturb_all(
    parameters: Sequence[Parameter],
    values: Values,
    generator: np.random.Generator,
    accepts: Accepts,
    exploration: str = "log",
) -> dict[str, Any]:
    """Values of which some are perturbed; all of them unchanged where no perturbation is accepted.

    Args:
        parameters: The parameters to perturb.
        values: Values of these and of others.
        generator: Source of randomness.
        accepts: See ``Accepts``.
        exploration: See ``factor``.
    """
    for _ in range(TRIES):
        new = {**values, **{p.key: perturb(p, values[p.key], generator, exploration) for p in parameters}}
        if accepts(new):
            return new
    return dict(values)
