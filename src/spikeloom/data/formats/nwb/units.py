"""Units of an NWB file: spike times, and when each unit was observed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spikeloom.data.formats.nwb.items import (
    Unreadable,
    attribute,
    found,
    is_array,
    is_group,
    member,
    members,
    names,
    path_of,
    read,
    type_of,
)
from spikeloom.data.formats.nwb.tables import ends
from spikeloom.data.formats.storage.containers import Hdf5
from spikeloom.data.session.session import resolution
from spikeloom.errors import DataError

COARSEST_S = 0.1
"""A clock with longer steps than this is a mistake, not a clock of spikes."""


@dataclass(frozen=True)
class StoredUnits:
    """Spike times of every unit.

    Attributes:
        spikes: Spike times of each.
        resolution_s: Steps of the clock in which they are stored.
        table: The table of units, where there is one.
        ids: Names of the units, where there is no table.
    """

    spikes: list[np.ndarray]
    resolution_s: float
    table: Hdf5 | None = None
    ids: list[str] | None = None


def stored_units(file: Hdf5, notes: list[str]) -> StoredUnits:
    """The units of a file: its units table, or else a table or a sorting in one of its processing modules.

    Raises:
        DataError: If there are none, or they are damaged; says what there is.
    """
    units = found(file, "units")
    if units is not None and _has_times(units):
        return _of_table(units)
    elsewhere = list(_elsewhere(file))
    if not elsewhere:
        stated = (
            f"a units table with {', '.join(names(units)) or 'no columns'}" if is_group(units) else "no units table"
        )
        raise DataError(
            f"there are no spike times: the file has {stated}, and needs one with 'spike_times'; sort the recording "
            "first, or name a file that holds units."
        )
    candidates = [_read(group) for group in elsewhere]
    best = int(np.argmax([len(one.spikes) for one in candidates]))
    others = [path_of(group) for i, group in enumerate(elsewhere) if i != best]
    more = f"; not those of {', '.join(others)}, which are no more" if others else ""
    notes.append(f"there is no units table at the top of the file: units are those of {path_of(elsewhere[best])}{more}")
    return candidates[best]


def _has_times(group: Hdf5) -> bool:
    return is_group(group) and "spike_times" in names(group)


def _elsewhere(file: Hdf5):
    """Tables and sortings in processing modules."""
    for _, module in members(found(file, "processing") or {}):
        for _, item in members(module) if is_group(module) else ():
            clustering = {"num", "times"} <= set(names(item)) if is_group(item) else False
            if is_group(item) and (_has_times(item) or clustering or type_of(item) == "UnitTimes"):
                yield item


def _read(group: Hdf5) -> StoredUnits:
    if _has_times(group):
        return _of_table(group)
    try:
        if type_of(group) == "UnitTimes":  # the first version of NWB has one group a unit
            own = [(name, read(member(unit, "times"))) for name, unit in members(group) if is_group(unit)]
            return _named([name for name, _ in own], [times for _, times in own])
        number, times = read(member(group, "num")), read(member(group, "times"))
        if number.shape != times.shape:
            raise Unreadable(f"it has {number.size} numbers of clusters, but {times.size} times")
        clusters = np.unique(number)
        return _named([str(c) for c in clusters.tolist()], [times[number == c] for c in clusters])
    except Unreadable as error:
        raise DataError(f"the units in {path_of(group)} cannot be read: {error}; copy the file again.") from None


def _named(ids: list[str], trains: list[np.ndarray]) -> StoredUnits:
    return StoredUnits(
        [np.asarray(train, dtype=np.float64).ravel() for train in trains],
        max((resolution(train) for train in trains), default=0.0),
        ids=ids,
    )


def _of_table(units: Hdf5) -> StoredUnits:
    where = path_of(units)
    try:
        item = member(units, "spike_times")
        stored = read(item)
    except Unreadable as error:
        raise DataError(f"the spike times cannot be read: {error}; copy or download the file again.") from None
    if stored.ndim != 1 or stored.dtype.kind not in "uif":
        raise DataError(
            f"{where}/spike_times is {stored.dtype} of shape {stored.shape}, but must be one list of seconds, which "
            "spike_times_index cuts into units; correct the file."
        )
    times = np.asarray(stored, dtype=np.float64)
    stated = attribute(item, "resolution")
    stated_s = float(stated) if isinstance(stated, int | float | np.number) and 0 < float(stated) < COARSEST_S else 0.0
    resolution_s = max(resolution(stored), stated_s)
    if "spike_times_index" not in names(units):
        ids = found(units, "id")
        n_units = len(ids) if is_array(ids) else 1
        if n_units != 1:
            raise DataError(
                f"{where} has {n_units} units and {len(times)} spike_times, but no spike_times_index that says whose "
                "they are; write the file again with one."
            )
        return StoredUnits([times], resolution_s, units)
    stops = ends(units, "spike_times", len(times))
    if len(stops) == 0:
        raise DataError("the units table is empty; name a file that holds units.")
    return StoredUnits(np.split(times, stops[:-1]), resolution_s, units)


def observed_intervals(units: Hdf5 | None, n_units: int) -> list[np.ndarray] | None:
    """The intervals in which each unit was observed, or None if the file has no such intervals.

    Raises:
        DataError: If they do not fit the units: without them, time that was not recorded would look silent.
    """
    if units is None or not {"obs_intervals", "obs_intervals_index"} <= set(names(units)):
        return None
    try:
        intervals = np.asarray(read(member(units, "obs_intervals")), dtype=np.float64)
    except (Unreadable, ValueError) as error:
        raise DataError(f"the observed intervals of units cannot be read: {error}; correct the file.") from None
    if intervals.size % 2:
        raise DataError(
            f"{path_of(units)}/obs_intervals has shape {intervals.shape}, but must be (interval, 2); correct the file."
        )
    intervals = intervals.reshape(-1, 2)
    stops = ends(units, "obs_intervals", len(intervals))
    if len(stops) != n_units:
        raise DataError(
            f"{path_of(units)}/obs_intervals_index has {len(stops)} rows, but there are {n_units} units; correct the "
            "file."
        )
    return np.split(intervals, stops[:-1])
