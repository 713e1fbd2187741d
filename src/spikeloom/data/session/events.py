"""Times of events that trials are cut around: each has to lie in its own trial."""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from spikeloom.data.session.clocks import plain_name
from spikeloom.data.session.single_precision import column_as_written
from spikeloom.data.session.trial_table import START, STOP
from spikeloom.errors import DataError

MOST_OUTSIDE = 0.5
"""Share of the events that may lie outside of their trials: beyond it, the column is on another clock."""


def event_times(trials: pd.DataFrame, name: str) -> Float[np.ndarray, "trial"]:
    """The times of an event in seconds; NaN where a trial has none.

    Raises:
        DataError: If there is no such column, or if it does not hold times.
    """
    name = event_column(trials, name)
    if not pd.api.types.is_numeric_dtype(trials[name].dtype):
        raise DataError(f"the trial column '{name}' does not hold times; align to a column of seconds.")
    return column_as_written(trials[name].to_numpy(dtype=float))


def event_column(trials: pd.DataFrame, name: str) -> str:
    """The column of an event; the usual names of starts and stops stand for those columns, whatever a file calls them.

    Raises:
        DataError: If there is no such column.

    Example:
        >>> event_column(pd.DataFrame({"start_time": [0.0]}), "start")
        'start_time'
    """
    if name in trials:
        return name
    for column, usual in (("start_time", START), ("stop_time", STOP)):
        if plain_name(name) in usual and column in trials:
            return column
    columns = ", ".join(map(str, trials))
    raise DataError(f"there is no trial column '{name}' to align to (columns: {columns}); name one of these.")


def in_own_trial(trials: pd.DataFrame, name: str, tolerance_s: float) -> Bool[np.ndarray, "trial"]:
    """Whether each event lies between the start and the stop of its trial; true where one of the times is missing.

    Args:
        trials: The table; without "start_time" and "stop_time" every event is in its own.
        name: Column of the event.
        tolerance_s: Seconds by which it may lie outside.

    Raises:
        DataError: If most lie outside: the column is not on the clock of the trials.

    Example:
        >>> trials = pd.DataFrame({"start_time": [0.0, 2.0, 4.0], "stop_time": [1.0, 3.0, 5.0], "go": [0.5, 0.5, 0.4]})
        >>> in_own_trial(trials, "go", 0.01)
        Traceback (most recent call last):
        ...
        spikeloom.errors.DataError: 'go' lies outside of its own trial in 2 of 3 trials, as in trial 1, where it is at 0.5 s and the trial lasts from 2 to 3 s; it seems to be counted from the start of the trial: add start_time to it.
    """  # noqa: E501
    if not {"start_time", "stop_time"} <= set(trials):  # a list of events alone
        return np.ones(len(trials), dtype=bool)
    name = event_column(trials, name)
    event, start, stop = (trials[column].to_numpy(dtype=float) for column in (name, "start_time", "stop_time"))
    known = np.isfinite(event) & np.isfinite(start) & np.isfinite(stop)
    outside = known & ((event < start - tolerance_s) | (event > stop + tolerance_s))
    if outside.sum() > MOST_OUTSIDE * known.sum():
        row = int(np.flatnonzero(outside)[0])
        relative = known & (event >= -tolerance_s) & (event <= stop - start + tolerance_s)
        in_ms = plain_name(name).endswith(("_ms", "_msec", "_milliseconds"))
        remedy = (
            "by its name it is in milliseconds: divide it by 1000."
            if in_ms
            else "it seems to be counted from the start of the trial: add start_time to it."
            if relative.sum() > (1 - MOST_OUTSIDE) * known.sum()
            else "times of events are seconds on the clock of the trials: correct the column, or name another."
        )
        raise DataError(
            f"'{name}' lies outside of its own trial in {outside.sum()} of {known.sum()} trials, as in trial {row}, "
            f"where it is at {event[row]:.6g} s and the trial lasts from {start[row]:.6g} to {stop[row]:.6g} s; "
            f"{remedy}"
        )
    return ~outside


def events_in_trials(
    trials: pd.DataFrame, event_s: Float[np.ndarray, "event"], name: str, notes: list[str]
) -> Float[np.ndarray, "trial"]:
    """The first of some events in each trial; NaN where there is none.

    Args:
        trials: The table, with "start_time" and "stop_time".
        event_s: Times of events in any order.
        name: What they are, for notes and errors.
        notes: Gets a note where a trial has several.

    Raises:
        DataError: If trials have no start or stop, or if no event lies in any.

    Example:
        >>> trials = pd.DataFrame({"start_time": [0.0, 2.0, 4.0], "stop_time": [1.0, 3.0, 5.0]})
        >>> events_in_trials(trials, np.array([2.5, 0.1, 2.2]), "go", []).tolist()
        [0.1, 2.2, nan]
    """
    missing = [column for column in ("start_time", "stop_time") if column not in trials]
    if missing:
        raise DataError(f"the trials have no {' and no '.join(missing)}, so that '{name}' is in none; add it.")
    start, stop = (trials[column].to_numpy(dtype=float) for column in ("start_time", "stop_time"))
    event = np.sort(event_s[np.isfinite(event_s)])
    first, last = np.searchsorted(event, start), np.searchsorted(event, stop, side="right")
    if not (last > first).any():
        span = f"from {event[0]:g} to {event[-1]:g} s" if len(event) else "of which there is none"
        raise DataError(f"no event of '{name}' ({span}) lies in a trial; are both on one clock, in seconds?")
    several = int((last - first > 1).sum())
    if several:
        notes.append(
            f"{several} of {len(trials)} trials have more than one event of '{name}', of which the first counts"
        )
    return np.where(last > first, event[np.minimum(first, len(event) - 1)], np.nan)
