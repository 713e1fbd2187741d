"""Behaviour of a trial in a few numbers, from columns of the trials table and the ends of signals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from spikeloom.conditioning.variables import RADIANS, Variable, shown, some
from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import ConfigError, DataError, did_you_mean, warn

PLACES = ("start_x", "start_y", "target_x", "target_y")
"""Coordinates of a reach: position of the hand in the first bin, and in the last."""
TARGET = PLACES[2:]
ENDS = ("first", "last")
UNITS = ("s", "ms", "m", "cm", "mm", "hz")
"""Last words of column names that are units."""


class Behaviour(NamedTuple):
    """Behaviour in some trials of a recording.

    Attributes:
        values: A number for every trial and variable.
        names: The variables.
        units: Their units; empty where there is none, or it is unknown.
        trials: Indices of these trials in the recording: those in which no variable is missing.
    """

    values: Float[np.ndarray, "trial variable"]
    names: tuple[str, ...]
    units: tuple[str, ...]
    trials: Int[np.ndarray, "trial"]


class _Column(NamedTuple):
    name: str
    unit: str
    values: np.ndarray


def behaviour_of(data: SpikeData, names: Sequence[str]) -> Behaviour:
    """Variables of the trials of a recording that codes can be regressed on.

    A name is a trial column of numbers, or a signal and which end of the trial is meant: "hand_position:last" makes the
    variables "hand_position_x:last" and "hand_position_y:last", and each of them can be named alone. An angle becomes
    two variables, its cosine and its sine ("angle_cos", "angle_sin"), because 359 degrees are next to 0. Angles are
    recognised by the name of their column, as for conditions; "NAME:deg" and "NAME:rad" mark one, "NAME:number" none.

    Args:
        data: Recording.
        names: What to read of it.

    Returns:
        The trials in which nothing is missing; a warning counts those that were left out.

    Raises:
        ConfigError: If the recording has nothing of a name, or a name is given twice.
        DataError: If a column holds text, or no trial has all values.
    """
    columns = [column for name in names for column in _columns(data, name)]
    if not columns:
        raise ConfigError("no variable of behaviour is named; name a trial column or an end of a signal.")
    found = [c.name for c in columns]
    twice = next((name for name in found if found.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"the variable '{twice}' is named twice; name it once.")
    values = np.column_stack([c.values for c in columns])
    known = np.isfinite(values)
    if not known.all(1).any():
        worst = found[int(known.sum(0).argmin())]
        raise DataError(
            f"no trial has a value of all of {some(found)} (of '{worst}': {known.sum(0).min()} trials of "
            f"{data.n_trials}); leave it out."
        )
    n_missing = int((~known.all(1)).sum())
    if n_missing:
        worst = found[int(known.sum(0).argmin())]
        warn(f"{n_missing} of {data.n_trials} trials are left out because '{worst}' or another variable is missing.")
    trials = np.flatnonzero(known.all(1))
    return Behaviour(values[trials], tuple(found), tuple(c.unit for c in columns), trials)


def _columns(data: SpikeData, what: str) -> list[_Column]:
    name, _, kind = what.rpartition(":") if ":" in what else (what, "", "")
    if kind in ENDS:
        return _of_signal(data, name, kind)
    if what in data.trials:
        return _of_column(data, what, "")
    if name in data.trials and kind in ("number", *RADIANS):
        return _of_column(data, name, kind)
    if name in data.trials and kind:
        raise ConfigError(f"'{what}' is of kind '{kind}', but a trial column is a number, deg or rad here.")
    if what in data.signals or what in _dimensions(data):
        raise ConfigError(f"'{what}' is a signal, which has no one value; name an end: '{what}:first', '{what}:last'.")
    raise _unknown(data, what)


def _of_signal(data: SpikeData, name: str, end: str) -> list[_Column]:
    dimensions = _dimensions(data)
    if name in data.signals:
        chosen = [label for label, (signal, _) in dimensions.items() if signal == name]
    elif name in dimensions:
        chosen = [name]
    else:
        raise _unknown(data, f"{name}:{end}")
    at = np.zeros(data.n_trials, dtype=np.int64) if end == "first" else data.lengths - 1
    columns = []
    for label in chosen:
        signal, dim = dimensions[label]
        values = data.signals[signal].values[np.arange(data.n_trials), at, dim]
        columns.append(_Column(f"{label}:{end}", data.signals[signal].unit, values.astype(np.float64)))
    return columns


def _of_column(data: SpikeData, name: str, kind: str) -> list[_Column]:
    column = pd.Series(data.trials[name])
    if not column.notna().any():
        return [_Column(name, "", np.full(data.n_trials, np.nan))]
    if not pd.api.types.is_numeric_dtype(column):
        example = shown(column.dropna().iloc[0])
        raise DataError(
            f"the trial column '{name}' holds text such as '{example}', to which codes cannot be regressed; name a "
            "column of numbers."
        )
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    if not np.isfinite(values).any():
        return [_Column(name, "", np.full(data.n_trials, np.nan))]
    if not kind:
        everything = replace(data, splits={"train": np.arange(data.n_trials)})
        kind = Variable.of(everything, name).kind
    if kind in RADIANS:
        angle = np.where(np.isfinite(values), values, np.nan) * RADIANS[kind]
        return [_Column(f"{name}_cos", "", np.cos(angle)), _Column(f"{name}_sin", "", np.sin(angle))]
    last = name.split("_")[-1]
    return [_Column(name, last if last in UNITS and last != name else "", values)]


def _dimensions(data: SpikeData) -> dict[str, tuple[str, int]]:
    """Every dimension of every signal as "signal_column", and where it is; a signal of one, unnamed, as "signal"."""
    return {
        name if signal.columns == ("0",) else f"{name}_{column}": (name, i)
        for name, signal in data.signals.items()
        for i, column in enumerate(signal.columns)
    }


def _unknown(data: SpikeData, what: str) -> ConfigError:
    known = [*map(str, data.trials), *(f"{name}:{end}" for name in data.signals for end in ENDS)]
    dimensions = [f"{d}:{end}" for d in _dimensions(data) for end in ENDS]
    hint = did_you_mean(what, [*known, *dimensions]) or f"it has {some(known) or 'none at all'}."
    return ConfigError(f"the recording has no variable of behaviour '{what}'; {hint}")


def with_places(data: SpikeData) -> SpikeData:
    """The recording with trial columns start_x ... target_y, also where it calls them target_pos_0 or target_pos_x."""
    renamed = {}
    for place in PLACES:
        what, axis = place.split("_")
        other = (f"{what}_{kind}_{a}" for kind in ("pos", "position") for a in (axis, str("xy".index(axis))))
        found = next((name for name in other if name in data.trials), None)
        if place not in data.trials and found is not None:
            renamed[found] = place
    return replace(data, trials=data.trials.rename(columns=renamed)) if renamed else data


def targets_of(data: SpikeData) -> Float[np.ndarray, "trial 2"]:
    """Target of each trial; NaN where it is missing.

    Raises:
        DataError: If the recording has no targets, or only names of them.
    """
    table = with_places(data).trials
    if not set(TARGET) <= set(table):
        raise DataError("the recording has no targets: its trials have no columns target_x and target_y.")
    for name in TARGET:
        if not pd.api.types.is_numeric_dtype(table[name].dtype):
            raise DataError(
                f"the trial column '{name}' holds {table[name].iloc[0]!r}, but where a target is must be a number."
            )
    return table[list(TARGET)].to_numpy(dtype=np.float64, na_value=np.nan)
