"""One series of an NWB file: its samples, their times, and what kind of series it is."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from spikeloom.data.damage import DAMAGE
from spikeloom.data.formats.nwb.items import (
    Unreadable,
    attribute,
    found,
    is_array,
    is_number,
    is_text,
    member,
    names,
    path_of,
    read,
    reason,
    text,
    type_of,
)
from spikeloom.data.formats.storage.containers import Hdf5
from spikeloom.data.series.kinds import TURNS, as_states, is_regular, unit_of, wrapped_angle
from spikeloom.data.series.series import Series

EVENT_CONTAINERS = ("BehavioralEvents",)
EVENT_TYPES = ("Events", "LabeledEvents", "TTLs")
INTERVAL_TYPES = ("IntervalSeries",)
MOST_LABELS = 12
"""Labels of events that get a dimension each; of more, only all events together are counted."""


def read_series(name: str, group: Hdf5, container: str, notes: list[str], guess: bool = True) -> Series:
    """The series of a group.

    Args:
        name: Its name, for the notes.
        group: The group in an open file.
        container: Type of the container that it is in.
        notes: Gets a note if it is not a plain series of samples.
        guess: Whether its kind is guessed from its values; if not, it is known from its type alone.

    Raises:
        Unreadable: If it cannot be used; says why.
    """
    try:
        return _read(name, group, container, notes, guess)
    except DAMAGE as error:  # attributes of an impossible type, among others
        raise Unreadable(reason(error)) from None


def _read(name: str, group: Hdf5, container: str, notes: list[str], guess: bool) -> Series:
    kind = type_of(group)
    if kind in ("EventsTable", "AnnotatedEventsTable"):
        return _table_of_events(name, group, notes)
    item = member(group, "data") if "data" in names(group) else None
    if item is None or kind in EVENT_TYPES or container in EVENT_CONTAINERS:
        return _events(name, group, item, notes)
    if not is_array(item):
        raise Unreadable("its data is a group, not an array")
    if is_text(item):
        return _labelled(name, group, read(item).ravel(), notes)
    if kind in INTERVAL_TYPES or container == "BehavioralEpochs":
        return _intervals(name, group, item, notes)
    one, integer = _samples(name, group, item, notes)
    return _recognised(name, group, one, integer, container, notes) if guess else _sampled(one)


def _samples(name: str, group: Hdf5, item: Hdf5, notes: list[str]) -> tuple[Series, bool]:
    """The samples as they are, and whether they are stored as whole numbers that need no conversion."""
    if item.shape is None:
        raise Unreadable("its data has no values")
    if not is_number(item) or item.ndim not in (1, 2):
        raise Unreadable(f"its data are {item.dtype} of shape {item.shape}, not (sample, dim) numbers")
    factor, offset = (float(attribute(item, key, usual)) for key, usual in (("conversion", 1.0), ("offset", 0.0)))
    stored = read(item)
    times = _times(group, len(stored))
    if stored.ndim == 2 and len(times) == stored.shape[1] != len(stored):
        notes.append(f"signal '{name}' is stored as (dim, sample) and was turned around, as its timestamps show")
        stored = stored.T
    if len(times) != len(stored):
        raise Unreadable(f"it has {len(stored)} samples but {len(times)} timestamps")
    values = stored.astype(np.float64).reshape(len(stored), -1) * factor + offset
    values[np.isinf(values)] = np.nan
    one = Series.of(times, values, str(attribute(item, "unit", "")), _columns(group, values.shape[1]))
    if not np.isfinite(one.values).any():
        raise Unreadable("it holds no number")
    return one, bool(stored.dtype.kind in "iub" and factor == 1 and offset == 0)


def _recognised(name: str, group: Hdf5, one: Series, integer: bool, container: str, notes: list[str]) -> Series:
    """A series of samples by its kind: marks of events, codes of states, a direction that wraps, or a plain one."""
    if "timestamps" in names(group) and one.values.shape[1] == 1 and _only_marks(one):
        notes.append(f"signal '{name}' has the same value at irregular times: these are events, counted in each bin")
        return _counting(one.times_s)
    states = as_states(_sampled(one), integer)
    if states is not None:
        how = "the sample nearest to its centre" if states.kind == "state" else "the last sample before its centre"
        n = len(np.unique(one.values[np.isfinite(one.values)]))
        notes.append(f"signal '{name}' holds {n} different whole numbers: they are codes, and a bin has {how}")
        return states
    angle = wrapped_angle(one) if container == "CompassDirection" else None
    if angle is None or unit_of(one) in TURNS:  # a known unit is enough for series of every format
        return one
    notes.append(
        f"signal '{name}' is a direction that wraps, and is averaged on the circle; its unit is '{one.unit}', and "
        f"{max(angle.periods):.6g} is taken for a full turn"
    )
    return angle


def _sampled(one: Series) -> Series:
    if len(one.times_s) < 2:
        raise Unreadable("it has 1 sample")
    return one


def _only_marks(one: Series) -> bool:
    known = one.values[np.isfinite(one.values)]
    return known.size == one.values.size and float(np.ptp(known)) == 0 and not is_regular(one.times_s)


def _columns(group: Hdf5, n_dims: int) -> tuple[str, ...]:
    stated = re.search(r"columns=\[([^\]]*)\]", str(attribute(group, "comments", "")))
    columns = tuple(c.strip() for c in stated[1].split(",")) if stated else ()
    return columns if len(columns) == n_dims else ()


def _times(group: Hdf5, n: int) -> np.ndarray:
    """The times of samples, from timestamps or from a rate."""
    if "timestamps" in names(group):
        times = read(member(group, "timestamps"))
        if times.ndim != 1 or times.dtype.kind not in "iuf":
            raise Unreadable(f"its timestamps are {times.dtype} of shape {times.shape}, not one number a sample")
        return times.astype(np.float64)
    if "starting_time" not in names(group):
        raise Unreadable("it has neither timestamps nor a starting_time")
    start = member(group, "starting_time")
    rate = attribute(start, "rate")
    if rate is None or not np.isfinite(float(rate)) or float(rate) <= 0:
        raise Unreadable(f"the rate of its starting_time is {rate}")
    return float(read(start)) + np.arange(n) / float(rate)


# -- events ------------------------------------------------------------------------------------------------------


def _counting(times: np.ndarray, values: np.ndarray | None = None, columns: tuple[str, ...] = ()) -> Series:
    values = np.ones((len(times), 1)) if values is None else values
    return Series.of(times, values, "events", columns, kind="events")


def _events(name: str, group: Hdf5, item: Hdf5 | None, notes: list[str]) -> Series:
    """Events at timestamps, one dimension for each label where they have any."""
    n = len(item) if is_array(item) and item.shape else 0
    times = _times(group, n)
    labels = None if item is None else attribute(item, "labels")
    if item is not None and (labels is not None or is_text(item)):
        codes = read(item).ravel()
        if labels is not None and codes.dtype.kind in "iuf":
            words = np.array([text(word) for word in np.ravel(labels)], dtype=np.str_)
            known = (codes >= 0) & (codes < len(words))
            codes = np.where(known, words[np.where(known, codes, 0).astype(np.int64)], "")
        return _labelled(name, group, codes.astype(np.str_), notes)
    if item is not None and len(times) != n:
        raise Unreadable(f"it has {n} samples but {len(times)} timestamps")
    notes.append(f"signal '{name}' is a series of events: its value is the number of events in each bin")
    return _counting(times)


def _labelled(name: str, group: Hdf5, labels: np.ndarray, notes: list[str]) -> Series:
    times = _times(group, len(labels))
    if len(times) != len(labels):
        raise Unreadable(f"it has {len(labels)} labels but {len(times)} timestamps")
    return _by_label(name, times, labels, notes)


def _by_label(name: str, times: np.ndarray, labels: np.ndarray, notes: list[str]) -> Series:
    distinct = np.unique(labels)
    if len(distinct) > MOST_LABELS:
        notes.append(
            f"signal '{name}' has {len(distinct)} different labels, more than {MOST_LABELS}: its value is the number "
            "of events of any label in each bin"
        )
        return _counting(times)
    notes.append(f"signal '{name}' is a series of events: its values are the numbers of events of each label in a bin")
    return _counting(times, (labels[:, None] == distinct).astype(np.float64), tuple(map(str, distinct.tolist())))


def _table_of_events(name: str, group: Hdf5, notes: list[str]) -> Series:
    """A table with a row for each event, or for each kind of event, with a list of its times."""
    if "timestamp" in names(group):
        times = read(member(group, "timestamp")).astype(np.float64).ravel()
        for column in ("event_type", "label", "labels", "annotation", "category"):
            item = found(group, column)
            if is_array(item) and is_text(item) and item.shape == times.shape:
                return _by_label(name, times, read(item), notes)
        notes.append(f"signal '{name}' is a series of events: its value is the number of events in each bin")
        return _counting(times)
    times = read(member(group, "event_times")).astype(np.float64).ravel()
    stops = read(member(group, "event_times_index")).astype(np.int64)
    if (np.diff(stops, prepend=0) < 0).any() or (len(stops) and stops[-1] != len(times)):
        raise Unreadable(f"{path_of(group)}/event_times_index does not fit its times")
    item = found(group, "label")
    words = (
        read(item).astype(np.str_) if is_array(item) and len(item) == len(stops) else np.arange(len(stops)).astype(str)
    )
    return _by_label(name, times, np.repeat(words, np.diff(stops, prepend=0)), notes)


def _intervals(name: str, group: Hdf5, item: Hdf5, notes: list[str]) -> Series:
    """Intervals that begin with a positive code and end with its negative: 1 inside of them, and 0 outside."""
    codes = read(item).ravel().astype(np.float64)
    times = _times(group, len(codes))
    if len(times) != len(codes):
        raise Unreadable(f"it has {len(codes)} samples but {len(times)} timestamps")
    known = np.isfinite(times) & np.isfinite(codes) & (codes != 0)
    order = np.flatnonzero(known)[np.argsort(times[known], kind="stable")]
    kinds = np.unique(abs(codes[order]))
    if not len(kinds) or len(kinds) > MOST_LABELS:
        raise Unreadable(f"it has {len(kinds)} kinds of intervals, not 1 to {MOST_LABELS}")
    change = np.sign(codes[order])[:, None] * (abs(codes[order])[:, None] == kinds)
    inside = (np.cumsum(change, axis=0) > 0).astype(np.float64)
    notes.append(f"signal '{name}' is a series of intervals: 1 at bins whose centre is in one, and 0 at others")
    columns = () if len(kinds) == 1 else tuple(f"{kind:g}" for kind in kinds)
    one = Series(times[order], inside, "", columns, kind="steps")
    # Before the first begins there is none.
    return replace(one, times_s=np.r_[-np.inf, one.times_s], values=np.vstack([np.zeros((1, len(kinds))), one.values]))
