"""Requests and conditions: the values of condition variables for a number of trials.

A request is in the words of a user: values by name, a table, or a recording to imitate. ``Conditions`` holds the same
as arrays, and ``features.Condition`` as tensors for a network.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int

from spikeloom.conditioning.parsing import from_table, unknown_condition
from spikeloom.conditioning.variables import Variable, shown
from spikeloom.data.spikedata import Signal, SpikeData
from spikeloom.errors import DataError


@dataclass(frozen=True)
class Conditions:
    """Values of condition variables for a number of trials, in the units of the recording; what is absent is free.

    Attributes:
        table: One row for each trial, one column for each static variable that has values.
        signals: Time-aligned variables that have values; one of a single bin is constant.
        lengths: (trial,) bins that have values, where time-aligned ones have: those of a recording, or of signals.
    """

    table: pd.DataFrame
    signals: Mapping[str, Signal] = field(default_factory=dict)
    lengths: Int[np.ndarray, "trial"] | None = None

    @classmethod
    def of_recording(cls, data: SpikeData, variables: Sequence[Variable]) -> Conditions:
        """The conditions of the trials of a recording; free where a value is missing."""
        static = [v.name for v in variables if not v.aligned and v.name in data.trials]
        signals = {v.name: data.signals[v.name] for v in variables if v.aligned and v.name in data.signals}
        return cls(data.trials.loc[:, static], signals, data.lengths)

    @classmethod
    def from_request(cls, request: Request, variables: Sequence[Variable], n: int) -> Conditions:
        """The conditions of ``n`` trials; a request for fewer (or more) trials is repeated (or cut).

        Args:
            request: Values by name (one for all trials, or one for each; a signal is (time, dim), (trial, time, dim),
                or (dim,) when it is constant), a table (see ``from_table``), or a recording.
            variables: Condition variables of the model.
            n: Number of trials.

        Raises:
            DataError: If a name is unknown, or values do not fit.
        """
        return request if isinstance(request, Conditions) else cls.shortest_period(request, variables, n).repeated(n)

    @classmethod
    def shortest_period(cls, request: Request, variables: Sequence[Variable], n: int) -> Conditions:
        """The fewest conditions that, repeated, are those of ``n`` trials: millions of trials need no more memory."""
        if isinstance(request, Conditions):
            return request
        if isinstance(request, SpikeData):
            return cls.of_recording(request, variables).rows(np.arange(min(n, request.n_trials)))
        if isinstance(request, pd.DataFrame):
            request = from_table(request, variables)[0]
        if not isinstance(request, Mapping | None):
            example = f"{{'{variables[0].name}': {request!r}}}" if variables else "{name: value}"
            raise DataError(f"condition is {request!r}, but must have values by name, such as {example}.")
        known = {v.name: v for v in variables}
        requested = {str(name): values for name, values in (request or {}).items()}
        for name in requested:
            if name not in known:
                raise DataError(unknown_condition(name, variables))
        static = {name: _column(known[name], v) for name, v in requested.items() if not known[name].aligned}
        signals = {name: _trials_of(known[name], v) for name, v in requested.items() if known[name].aligned}
        fewest = min(n, math.lcm(*map(len, [*static.values(), *signals.values()])))
        static = {name: [values[i % len(values)] for i in range(fewest)] for name, values in static.items()}
        return cls(pd.DataFrame(static, index=pd.RangeIndex(fewest)), *_padded(signals, known, fewest))

    @property
    def n_trials(self) -> int:
        """Number of trials."""
        return len(self.table)

    def rows(self, index: Int[np.ndarray, "index"]) -> Conditions:
        """The conditions of some trials."""
        return Conditions(
            self.table.iloc[index].reset_index(drop=True),
            {name: Signal(s.values[index], s.unit, s.columns) for name, s in self.signals.items()},
            None if self.lengths is None else self.lengths[index],
        )

    def repeated(self, n: int) -> Conditions:
        """As many conditions, one trial's after another's and again from the first."""
        return self if n == self.n_trials else self.rows(np.resize(np.arange(self.n_trials), n))

    @property
    def names(self) -> list[str]:
        """Names of the variables that have values."""
        return [*map(str, self.table), *self.signals]

    def changed(self, other: Conditions) -> Conditions:
        """These conditions with those of another in their place where it has values."""
        table = self.table.assign(**{str(c): other.table[c] for c in other.table})
        lengths = self.lengths if other.lengths is None else other.lengths
        if self.lengths is not None and other.lengths is not None:
            lengths = np.minimum(self.lengths, other.lengths)
        return Conditions(table, {**self.signals, **other.signals}, lengths)

    def signals_over(self, lengths: Int[np.ndarray, "trial"], n_bins: int | None = None) -> dict[str, Signal]:
        """The signals in the bins of trials of given lengths, padded to ``n_bins`` (or the longest of them).

        Raises:
            DataError: If a signal ends before its trial does.
        """
        n_bins = n_bins or int(lengths.max())
        signals = {}
        for name, signal in self.signals.items():
            values = signal.values
            if values.shape[1] == 1:
                values = np.repeat(values, n_bins, axis=1)
            elif self.lengths is not None and (self.lengths < lengths).any():
                short = int(np.argmax(self.lengths < lengths))
                raise DataError(
                    f"condition '{name}' has {self.lengths[short]} bins in trial {short}, but a trial of "
                    f"{lengths[short]} bins is requested; give it a value in every bin."
                )
            values = np.pad(values[:, :n_bins], ((0, 0), (0, max(n_bins - values.shape[1], 0)), (0, 0)))
            signals[name] = Signal(values, signal.unit, signal.columns)
        return signals

    def trials(self, variables: Sequence[Variable]) -> pd.DataFrame:
        """The static values as a table of trials, with the column "condition" where the recording has it."""
        grouping = next((v.name for v in variables if v.groups and v.name in self.table), None)
        return self.table if grouping is None else self.table.assign(condition=self.table[grouping])


Request = Mapping[str, Any] | pd.DataFrame | SpikeData | Conditions | None
"""Values by name, a table with a row for each trial, a recording to imitate, or Conditions."""


def _column(variable: Variable, values: Any) -> list[Any]:
    """Values of a static variable, trial by trial."""
    one = isinstance(values, str) or not hasattr(values, "__len__") or np.shape(values) == ()
    values = [variable.parse(v) for v in ([values] if one else values)]
    if not values:
        raise DataError(f"condition '{variable.name}' has no value; give one for all trials, or one for each.")
    variable.features(values)  # raises an error for values that the variable cannot have
    return values


def _trials_of(variable: Variable, values: Any) -> list[np.ndarray]:
    """Values of a signal, trial by trial: (time, dim), or (dim,) where it is constant."""
    values = values.values if isinstance(values, Signal) else values
    try:
        values = [values] if isinstance(values, int | float | np.number) else values
        several = np.ndim(values[0]) == 2
        trials = [np.asarray(v, dtype=np.float32) for v in (values if several else [values])]
    except (TypeError, ValueError, IndexError, KeyError) as error:
        raise DataError(
            f"condition '{variable.name}' is a signal, but is requested as '{shown(values)}'; give an array of "
            f"numbers: {', '.join(variable.columns)} for every bin, or {variable.size} numbers."
        ) from error
    for trial, part in enumerate(trials):
        if part.ndim not in ((2,) if several else (1, 2)) or part.shape[-1] != variable.size or not len(part):
            raise DataError(
                f"condition '{variable.name}' has values of shape {part.shape}, but needs (time, "
                f"{variable.size}): {', '.join(variable.columns)} for every bin, or {variable.size} numbers."
            )
        finite = np.isfinite(part)
        if not finite.all() and not np.isnan(part).all():
            raise DataError(
                f"condition '{variable.name}' has a value that is no number in trial {trial}; give one in every "
                "bin, or leave the signal out."
            )
    return trials


def _padded(
    requested: Mapping[str, list[np.ndarray]], variables: Mapping[str, Variable], n: int
) -> tuple[dict[str, Signal], np.ndarray | None]:
    """Signals of ``n`` trials, all padded to the same number of bins, and their lengths unless they are constant."""
    repeated = {name: [trials[i % len(trials)] for i in range(n)] for name, trials in requested.items()}
    timed = [np.array([len(part) for part in parts]) for parts in repeated.values() if parts and parts[0].ndim == 2]
    if any((lengths != timed[0]).any() for lengths in timed):
        raise DataError("the requested signals differ in length; give every signal of a trial the same bins.")
    lengths = timed[0] if timed else None
    signals = {}
    for name, parts in repeated.items():
        parts = [np.atleast_2d(part) for part in parts]
        values = np.zeros((n, max(map(len, parts), default=1), variables[name].size), dtype=np.float32)
        for row, part in zip(values, parts):
            row[: len(part)] = part
        signals[name] = Signal(values, variables[name].unit, variables[name].columns)
    return signals, lengths
