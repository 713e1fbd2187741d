"""Requests of a page, checked and turned into arguments of ``model.sample``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float

from spikeloom.errors import ConfigError, did_you_mean
from spikeloom.workflow.studio.system import System

TRIALS = 20
MOST_TRIALS = 200
"""Trials of one request at most: a page shows no more."""
FIELDS = ("n", "seed", "length", "condition", "path", "stretched", "trial", "guidance", "steps", "observation")


@dataclass(frozen=True)
class Request:
    """A request for trials.

    Attributes:
        n: Number of trials.
        seed: Seed.
        length: Bins of every trial; those of a usual trial, or as the request says, when not given.
        condition: Values of the variables that last a trial; one that is missing is left to the model.
        path: Seconds, x and y of the points of a drawn path.
        stretched: Whether the path is made to last as long as a usual trial.
        trial: A held-out trial whose conditions and length are asked for instead.
        options: Options of drawing that were set: guidance, steps, observation.
    """

    n: int = TRIALS
    seed: int = 0
    length: int | None = None
    condition: Mapping[str, Any] = field(default_factory=dict)
    path: Float[np.ndarray, "point 3"] | None = None
    stretched: bool = False
    trial: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Request:
        """A request as a page sends it.

        Raises:
            ConfigError: If a field is unknown or has a value that it cannot have.
        """
        for name in content:
            if name not in (*FIELDS, "run"):
                raise ConfigError(f"a request has no field '{name}'; {did_you_mean(name, FIELDS) or 'leave it out.'}")
        path = content.get("path")
        try:
            points = None if path is None else np.array(path, np.float64).reshape(len(path), 3)
        except (TypeError, ValueError):
            raise ConfigError("path must be points, each with its seconds, x and y.") from None
        condition = content.get("condition") or {}
        if not isinstance(condition, Mapping):
            raise ConfigError(f"condition is {condition!r}, but must have values by name.")
        return cls(
            n=_whole(content, "n", 1, MOST_TRIALS) or TRIALS,
            seed=_whole(content, "seed", 0, 2**31 - 1) or 0,
            length=_whole(content, "length", 1, 100_000),
            condition={str(name): value for name, value in condition.items() if value not in (None, "")},
            path=points,
            stretched=bool(content.get("stretched", False)),
            trial=_whole(content, "trial", 0, 2**31 - 1),
            options={
                "guidance": _number(content, "guidance"),
                "steps": _whole(content, "steps", 1, 1000),
                "observation": content.get("observation"),
            },
        )

    def arguments(self, system: System) -> dict[str, Any]:
        """Arguments of ``model.sample`` of a system: as its model takes them, without those that change nothing.

        Raises:
            SpikeloomError: If the model cannot be asked for this.
        """
        condition = self.requested(system)
        options = system.options(self.options)
        if not condition:
            options.pop("guidance", None)
        arguments: dict[str, Any] = {"n": self.n, "seed": self.seed, **options}
        if condition:
            arguments["condition"] = condition
        if (length := self._length(system, condition)) is not None:
            arguments["length"] = length
        return arguments

    def requested(self, system: System) -> dict[str, Any]:
        """Values by name: of each variable one for all trials, of a signal (bin, dim)."""
        condition: dict[str, Any] = {}
        if self.trial is not None:
            trial = self._held_out(system)
            for variable in system.variables:
                if variable.aligned:
                    values = trial.signals[variable.name].values[0, : trial.lengths[0]]
                    if np.isfinite(values).all():
                        condition[variable.name] = values
                else:
                    value = trial.trials[variable.name].iloc[0]
                    if variable.known([value])[0]:
                        condition[variable.name] = value.item() if isinstance(value, np.generic) else value
        known = {v.name: v for v in system.variables}
        for name, value in self.condition.items():
            if name not in known:
                hint = did_you_mean(name, known) or f"it has {', '.join(known) or 'none'}."
                raise ConfigError(f"{system.name} was fitted without a condition '{name}'; {hint}")
            condition[name] = known[name].parse(value)
        if self.path is not None:
            if system.drawn is None or system.workspace is None:
                raise ConfigError(f"{system.name} follows no signal of two dimensions, so no path can be drawn for it.")
            signal = system.workspace.signal_of(self.path, self.stretched)
            condition[system.drawn.name] = signal.astype(np.float32)
        return condition

    def _length(self, system: System, condition: Mapping[str, Any]) -> int | None:
        if self.length is not None or any(np.ndim(value) == 2 for value in condition.values()):
            return self.length
        if self.trial is not None:
            return int(self._held_out(system).lengths[0])
        return int(np.median(system.model.data_spec.lengths))

    def _held_out(self, system: System) -> Any:
        assert self.trial is not None
        if self.trial >= system.held_out.n_trials:
            raise ConfigError(
                f"held-out trial {self.trial} was asked for, but {system.name} has {system.held_out.n_trials} of them, "
                f"0 to {system.held_out.n_trials - 1}."
            )
        return system.held_out[self.trial]


def _whole(content: Mapping[str, Any], name: str, least: int, most: int) -> int | None:
    value = content.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
        raise ConfigError(f"{name} is {value!r}, but must be a whole number.")
    if not least <= value <= most:
        raise ConfigError(f"{name} is {value:g}, but must be from {least} to {most}.")
    return int(value)


def _number(content: Mapping[str, Any], name: str) -> float | None:
    value = content.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
        raise ConfigError(f"{name} is {value!r}, but must be a number.")
    return float(value)
