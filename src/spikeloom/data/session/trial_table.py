"""Tables of trials from whatever says when they were: a table, pairs of times, or intervals of another library."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from spikeloom.data.columns import typed_column
from spikeloom.data.session.clocks import plain_name
from spikeloom.errors import DataError

START = ("start_time", "start_s", "start", "starts", "trial_start", "trial_start_s", "intervals_0", "t_start", "onset")
START = (*START, "trial_onset", "trial_begin", "trial_start_time", "trial_start_times", "begin_time", "start_times")
STOP = ("stop_time", "stop_s", "stop", "stops", "end_time", "end_s", "end", "trial_stop", "trial_end", "trial_stop_s")
STOP = (*STOP, "trial_end_s", "intervals_1", "t_stop", "offset", "trial_offset", "trial_stop_time", "trial_end_time")
STOP = (*STOP, "trial_stop_times", "trial_end_times", "stop_times", "end_times")

MICROSECOND = 1e-6
"""Time that pynapple takes off an interval that ends where the next begins."""


def as_trial_table(trials: Any) -> pd.DataFrame:
    """A table of trials with "start_time" and "stop_time", where they are known, and all other columns.

    Args:
        trials: A table or a dictionary of columns; a (trial, 2) array of starts and stops; or an object with the
            attributes ``start`` and ``end`` (pynapple's IntervalSet, whose metadata are columns). All in seconds.

    Raises:
        DataError: If it is none of these.

    Example:
        >>> as_trial_table([[0.0, 1.0], [2.0, 2.5]])
           start_time  stop_time
        0         0.0        1.0
        1         2.0        2.5
        >>> list(as_trial_table({"start": [0.0], "end": [1.0], "target": ["left"]}))
        ['start_time', 'stop_time', 'target']
    """
    if isinstance(trials, pd.DataFrame):
        table = trials.reset_index(drop=True)
    elif isinstance(trials, Mapping):
        sizes = {str(name): np.shape(values)[:1] for name, values in trials.items()}
        if len(set(sizes.values())) > 1 or () in sizes.values():
            listed = ", ".join(f"{name} {size[0] if size else 'one value'}" for name, size in sizes.items())
            raise DataError(f"the columns of trials differ in length ({listed}); pass one value a trial in each.")
        table = pd.DataFrame({str(name): list(values) for name, values in trials.items()})
    elif hasattr(trials, "start") and hasattr(trials, "end"):
        return _of_intervals(trials)
    else:
        times = np.asarray(trials, dtype=float) if not isinstance(trials, str) else np.zeros(0)
        if times.ndim != 2 or times.shape[1] != 2 or not len(times):
            raise DataError(
                f"trials is {type(trials).__name__} of shape {np.shape(trials)}, but must be a table with start_time "
                "and stop_time, or (trial, 2) starts and stops in seconds."
            )
        table = pd.DataFrame(times, columns=["start_time", "stop_time"])
    return with_usual_names(table)


def _of_intervals(intervals: Any) -> pd.DataFrame:
    """The starts, stops and metadata of an IntervalSet, without the marks that its clock leaves.

    It counts nanoseconds, and takes a microsecond off an interval that ends where the next begins.
    """
    start, stop = (np.array(side, dtype=float) for side in (intervals.start, intervals.end))
    touching = np.flatnonzero(abs(start[1:] - stop[:-1] - MICROSECOND) < MICROSECOND / 2)
    stop[touching] = start[touching + 1]
    table = pd.DataFrame({"start_time": start, "stop_time": stop})
    columns = {str(name): typed_column(intervals.get_info(name)) for name in getattr(intervals, "metadata_columns", ())}
    return table.assign(**{name: column for name, column in columns.items() if name not in table})


def with_usual_names(table: pd.DataFrame) -> pd.DataFrame:
    """The table with its start and stop columns called "start_time" and "stop_time", if it has any of a usual name."""
    plain = {plain_name(name): name for name in reversed(list(table))}
    names = {}
    for name, usual in (("start_time", START), ("stop_time", STOP)):
        found = next((plain[one] for one in usual if one in plain), name)
        if found != name and name not in table:
            names[found] = name
    return table.rename(columns=names)
