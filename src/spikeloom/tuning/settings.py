"""What is asked of a search: which method, how many trainings, how long, and with what resources each."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from spikeloom.errors import ConfigError

METHODS = ("pbt", "random")
EXPLOITS = ("binary", "pairs", "truncation", "none")
EXPLORATIONS = ("log", "linear")

DEFAULTS: dict[str, dict[str, Any]] = {
    "random": {"trials": 20},
    "pbt": {
        "population": 20,
        "generations": None,
        "generation_steps": None,
        "first_generation_steps": None,
        "exploit": "binary",
        "exploration": "log",
        "tolerance": 5e-4,
    },
}
"""Options of each method alone, and what they are when not given."""


@dataclass(frozen=True)
class SearchConfig:
    """How values are searched for."""

    method: str | None = None
    """random (every training has values of its own, and runs to its end), or pbt (population-based training: after
    every generation some members go on from the weights of better ones, with perturbed values); what the search space
    was made for when not given."""
    trials: int | None = None
    """Of random search: number of trainings; 20 when not given."""
    population: int | None = None
    """Of pbt: number of members, which are trained side by side; 20 when not given (published: 20)."""
    generations: int | None = None
    """Of pbt: number of generations; as many as the steps of the preset make when not given, or 20."""
    generation_steps: int | None = None
    """Of pbt: optimiser steps in a generation; a twentieth of all when not given (published: 25 epochs)."""
    first_generation_steps: int | None = None
    """Of pbt: optimiser steps before members are compared for the first time; those of a generation, after those over
    which the model's weights of divergence and penalties rise (as published), when not given."""
    exploit: str | None = None
    """Of pbt: which members take over from which: binary (each meets another one at random, as in AutoLFADS), pairs
    (random pairs, so that half goes on unchanged), truncation (the worst quarter takes over from the best) or none (all
    go on with what they began with: a control). Binary when not given."""
    exploration: str | None = None
    """Of pbt: how values are perturbed: log (factors without bias on a logarithmic scale, when not given) or linear (as
    published first)."""
    tolerance: float | None = None
    """Of pbt: the search ends when the best score has become better by no more than this share over four generations;
    5e-4 when not given, and never where it is negative."""
    seed: int = 0
    """Seed of all that is drawn: values, tournaments, and the seed of every training."""

    def __post_init__(self) -> None:
        least = {"trials": 1, "population": 2, "generations": 1, "generation_steps": 1, "first_generation_steps": 1}
        for name, bound in {**least, "seed": 0}.items():
            value = getattr(self, name)
            if value is not None and value < bound:
                raise ConfigError(f"{name} is {value}, but must be at least {bound}.")
        for name, known in (("method", METHODS), ("exploit", EXPLOITS), ("exploration", EXPLORATIONS)):
            value = getattr(self, name)
            if value is not None and value not in known:
                raise ConfigError(f"{name} is '{value}', but must be one of {', '.join(known)}.")

    def resolved(self, method: str) -> SearchConfig:
        """The same for a method, with what was not given.

        Args:
            method: What the search space was made for; taken where no method was asked for.

        Raises:
            ConfigError: If something is asked for that only the other method has.

        Example:
            >>> SearchConfig().resolved("random").trials
            20
        """
        method = self.method or method
        for other, options in DEFAULTS.items():
            given = [name for name in options if getattr(self, name) is not None]
            if other != method and given:
                raise ConfigError(
                    f"{given[0]} is {getattr(self, given[0])}, but it is an option of method {other}, and this search "
                    f"is one of {method}; leave it out, or ask for method {other}."
                )
        missing = {k: v for k, v in DEFAULTS[method].items() if getattr(self, k) is None}
        return replace(self, method=method, **missing)

    def deciding(self) -> dict[str, Any]:
        """What decides the result: the options of the method."""
        own = DEFAULTS[str(self.method)]
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name in ("method", "seed", *own)}


@dataclass(frozen=True)
class Resources:
    """What every training has for itself, and where trainings run."""

    cpus: float = 1.0
    """Processors of each training; as many run at once as there is room for."""
    gpus: float = 0.0
    """Graphics cards of each training; a half lets two share one. Without any, training stays on the processor."""
    address: str | None = None
    """A running Ray cluster to join, such as auto or 10.0.0.1:6379; the folder of the search, and the recording, must
    lie where all its machines see them under the same path. Without one, Ray is started on this machine for the search
    alone."""

    def __post_init__(self) -> None:
        if not self.cpus > 0 or self.gpus < 0:
            raise ConfigError(
                f"a training was given {self.cpus:g} cpus and {self.gpus:g} gpus; it needs a processor, or part of "
                "one, and gpus must not be negative."
            )
