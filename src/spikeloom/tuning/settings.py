"""Settings of a search: its method, how many trainings and how long, and the resources of each."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from spikeloom.config import check_fields
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
"""Options that only one method has, with their values when not given."""


@dataclass(frozen=True)
class SearchConfig:
    """Method and size of a search."""

    method: str | None = None
    """random (every training has hyper-parameters of its own and runs to its end), or pbt (population-based training:
    after every generation some members copy the weights of better ones and perturb their hyper-parameters); the method
    that the search space was made for when not given."""
    trials: int | None = None
    """Of random search: number of trainings; 20 when not given."""
    population: int | None = None
    """Of pbt: number of members, which are trained side by side; 20 when not given (published: 20)."""
    generations: int | None = None
    """Of pbt: number of generations; as many as the steps of the preset make when not given, or 20."""
    generation_steps: int | None = None
    """Of pbt: optimiser steps in a generation; a twentieth of all when not given (published: 25 epochs)."""
    first_generation_steps: int | None = None
    """Of pbt: optimiser steps before members are compared for the first time; when not given, those of a generation
    plus those over which the model's weights of divergence and penalties rise (as published)."""
    exploit: str | None = None
    """Of pbt: which members copy which others: binary (each meets another one at random, as in AutoLFADS), pairs
    (random pairs, so that half continue unchanged), truncation (the worst quarter copies the best) or none (all
    continue with their first hyper-parameters: a baseline). Binary when not given."""
    exploration: str | None = None
    """Of pbt: how hyper-parameters are perturbed: log (factors without bias on a logarithmic scale, when not given) or
    linear (as first published)."""
    tolerance: float | None = None
    """Of pbt: the search ends when the best score has improved by no more than this fraction over four generations;
    5e-4 when not given, and never where it is negative."""
    seed: int = 0
    """Seed of the search: first hyper-parameters, tournaments, and the seed of every training."""

    def __post_init__(self) -> None:
        least = {"trials": 1, "population": 2, "generations": 1, "generation_steps": 1, "first_generation_steps": 1}
        known = {"method": METHODS, "exploit": EXPLOITS, "exploration": EXPLORATIONS}
        check_fields(self, least={**least, "seed": 0}, one_of=known)

    def resolved(self, method: str) -> SearchConfig:
        """The same settings, with defaults for those that were not given.

        Args:
            method: Method that the search space was made for; used where none was chosen.

        Raises:
            ConfigError: If an option was given that only the other method has.

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
                    f"is one of {method}; leave it out, or choose method {other}."
                )
        missing = {k: v for k, v in DEFAULTS[method].items() if getattr(self, k) is None}
        return replace(self, method=method, **missing)

    def own_options(self) -> dict[str, Any]:
        """The options that the method has."""
        return {k: v for k, v in asdict(self).items() if k in ("method", "seed", *DEFAULTS[str(self.method)])}


@dataclass(frozen=True)
class Resources:
    """Resources of every training, and where trainings run."""

    cpus: float = 1.0
    """Processors of each training; as many run at once as there is room for."""
    gpus: float = 0.0
    """Graphics cards of each training; 0.5 lets two share one. Without any, training stays on the processor."""
    address: str | None = None
    """A running Ray cluster to join, such as auto or 10.0.0.1:6379; all its machines must find the folder of the
    search, and the recording, under the same paths. Without one, Ray is started on this machine for this search."""

    def __post_init__(self) -> None:
        if not self.cpus > 0 or self.gpus < 0:
            raise ConfigError(
                f"a training has {self.cpus:g} cpus and {self.gpus:g} gpus; it needs a processor, or a fraction of "
                "one, and gpus must not be negative."
            )
