"""Tables of intervals of an NWB file: which one holds the trials, and the time that is to be left out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from spikeloom.data.formats.nwb.items import (
    Unreadable,
    found,
    is_array,
    is_group,
    member,
    members,
    names,
    path_of,
    read,
)
from spikeloom.data.formats.nwb.tables import table
from spikeloom.data.formats.storage.containers import Hdf5
from spikeloom.data.options import LoadOptions
from spikeloom.errors import DataError

TRIALS = "intervals/trials"
INVALID = "intervals/invalid_times"
LIKE_TRIALS = ("presentation", "trial", "stimul")
"""Parts of the names of tables that are taken for trials where there is only one of them, and none called trials."""


def trials_of(file: Hdf5, options: LoadOptions, notes: list[str]) -> pd.DataFrame | None:
    """The table of trials: that which options name, or else the one that looks like it.

    Args:
        file: An open NWB file.
        options: May name a table of intervals, or a file of trials, in place of those of this file.
        notes: Gets a note about tables that may hold trials, if there is none called so.

    Raises:
        DataError: If the table that is named does not exist, has no rows, or cannot be read.
    """
    if options.trials is not None:
        if options.intervals is not None:
            raise DataError("the trials are those of a file (trials) or of a table (intervals), not both.")
        return None  # `cutting.cut` reads that file
    tables = interval_tables(file)
    if options.intervals is not None:
        return _rows(_named(tables, options.intervals), notes)
    if TRIALS in tables:
        return _rows(tables[TRIALS], notes)
    if not tables or options.continuous:
        return None
    listed = ", ".join(f"{path.removeprefix('intervals/')} ({_length(group)})" for path, group in tables.items())
    alike = [path for path in tables if any(part in path.rsplit("/", 1)[-1].lower() for part in LIKE_TRIALS)]
    if len(alike) == 1:
        name = alike[0].removeprefix("intervals/")
        notes.append(f"the trials are the intervals of {name}, as there is no table called trials (tables: {listed})")
        return _rows(tables[alike[0]], notes)
    how = f"there is no table called trials; tables of intervals are {listed}: name one with intervals"
    if options.align is not None:
        raise DataError(f"{how}.")
    notes.append(how)
    return None


def invalid_times(file: Hdf5, notes: list[str]) -> np.ndarray | None:
    """The intervals that the file says are to be left out, or None."""
    group = found(file, INVALID)
    if group is None:
        return None
    try:
        times = np.column_stack([read(member(group, name)).astype(float) for name in ("start_time", "stop_time")])
    except (Unreadable, ValueError) as error:
        notes.append(f"the table of invalid times is not used: {error}")
        return None
    sound = times[:, 1] >= times[:, 0]
    if not sound.all():
        notes.append(f"{(~sound).sum()} of {len(sound)} invalid times are not used, as they stop before they start")
    if sound.any():
        total = float(np.diff(times[sound]).sum())
        notes.append(f"{sound.sum()} intervals are called invalid in the file ({total:.4g} s in all) and left out")
    return times[sound] if sound.any() else None


def interval_tables(file: Hdf5) -> dict[str, Hdf5]:
    """The tables of intervals with rows, by path: those at the top of the file, then those in processing modules."""
    result = {}
    for _, group in members(found(file, "intervals") or {}):
        if is_group(group) and _is_table(group):
            result[path_of(group)] = group
    for _, module in members(found(file, "processing") or {}):
        for _, group in members(module) if is_group(module) else ():
            if is_group(group) and _is_table(group):
                result[path_of(group)] = group
    result.pop(INVALID, None)
    return result


def _is_table(group: Hdf5) -> bool:
    return {"start_time", "stop_time"} <= set(names(group)) and _length(group) > 0


def _length(group: Hdf5) -> int:
    item = found(group, "start_time")
    return int(item.shape[0]) if is_array(item) and item.shape else 0


def _named(tables: Mapping[str, Hdf5], name: str) -> Hdf5:
    wanted = name.strip("/")
    same = [path for path in tables if path == wanted] or [p for p in tables if p == f"intervals/{wanted}"]
    same = same or [path for path in tables if path.rsplit("/", 1)[-1] == wanted]
    if len(same) != 1:
        known = ", ".join(path.removeprefix("intervals/") for path in tables) or "none"
        what = f"no table of intervals '{name}' with rows" if not same else f"more than one table '{name}'"
        raise DataError(f"there is {what} (tables: {known}); name one of these in intervals.")
    return tables[same[0]]


def _rows(group: Hdf5, notes: list[str]) -> pd.DataFrame:
    rows = table(group, _length(group), notes, skip=("timeseries", "tags"))
    for name in ("start_time", "stop_time"):
        if name not in rows or not pd.api.types.is_numeric_dtype(rows[name].dtype):
            raise DataError(f"{name} of {path_of(group)} cannot be read as one time a row; correct the file.")
    return rows
