"""Behaviour in an NWB file: which series there are, and the reading of those that are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from spikeloom.data.formats.nwb.items import Unreadable, found, is_group, member, names, path_of, type_of
from spikeloom.data.formats.nwb.samples import read_series
from spikeloom.data.formats.storage.containers import Hdf5
from spikeloom.data.series.series import Series
from spikeloom.errors import DataError

BEHAVIOUR = "processing/behavior"
ROOTS = ("acquisition", "processing", "stimulus/presentation", "events", "analysis")
"""Where else series are."""
RAW = ("Electrical", "SpikeEvent", "Image", "TwoPhoton", "OnePhoton", "Optical", "Patch", "Current", "Voltage")
"""Beginnings of the types of series that are no behaviour: they are never listed."""
DEEPEST = 6
"""Groups are looked through to this depth: links may lead in a circle."""
MOST_LISTED = 12


@dataclass(frozen=True)
class Found:
    """A series that has not been read.

    Attributes:
        group: Its group in the open file.
        container: Type of the container that it is in, or the container's name where it has no type.
    """

    group: Hdf5
    container: str


def behaviour(file: Hdf5, wanted: Sequence[str] | None, notes: list[str], guess: bool = True) -> dict[str, Series]:
    """The series in ``processing/behavior``, or those that are wanted, from anywhere in the file.

    A series in a container is named ``container_series``, and may be selected by ``series`` alone. A series
    elsewhere is loaded when its full path is among the names, such as ``acquisition/hand``. One that cannot be used
    is left out, unless it is named.

    Args:
        file: An open NWB file.
        wanted: The series to load; None for all of the behaviour module that can be used.
        notes: Gets a note about series that cannot, about their kinds, and about series elsewhere.
        guess: Whether kinds of series are guessed from their values, and series elsewhere listed.

    Raises:
        DataError: If a wanted series does not exist, or cannot be read; lists those that do, or says why.
    """
    own = dict(_in_behaviour(file))
    others = {path_of(one.group): one for one in _elsewhere(file)}
    if wanted is None:
        loaded, left_out = {}, []
        for name, one in own.items():
            try:
                loaded[name] = read_series(name, one.group, one.container, notes, guess)
            except Unreadable as error:
                left_out.append(f"{name} ({error})")
        if left_out:
            notes.append(f"series left out: {'; '.join(left_out)}")
        listed = [path for path, one in others.items() if not type_of(one.group).startswith(RAW)]
        if listed and guess:
            more = f", ... ({len(listed)} in all)" if len(listed) > MOST_LISTED else ""
            notes.append(
                f"series elsewhere, not loaded unless signals names their full path: {', '.join(listed[:MOST_LISTED])}"
                f"{more}"
            )
        return loaded
    return {name: _read_named(name, own, others, notes, guess) for name in wanted}


def _read_named(name: str, own: dict[str, Found], others: dict[str, Found], notes: list[str], guess: bool) -> Series:
    full = {path_of(one.group): one for one in own.values()} | others
    if name in own:
        same = [own[name]]
    elif name.strip("/") in full:
        same = [full[name.strip("/")]]
    else:
        same = [one for one in own.values() if _last(one) == name] or [o for o in others.values() if _last(o) == name]
    if len(same) != 1:
        several = f"more than one signal '{name}'" if same else f"no signal '{name}' in {BEHAVIOUR}"
        paths = f"; series elsewhere: {', '.join([*others][:MOST_LISTED])}" if others else ""
        raise DataError(
            f"there is {several} (signals: {', '.join(own) or 'none'}{paths}); name one of these, or a series "
            "elsewhere in the file by its full path."
        )
    try:
        return read_series(name, same[0].group, same[0].container, notes, guess)
    except Unreadable as error:
        raise DataError(f"the signal '{name}' cannot be read: {error}; correct the file, or leave it out.") from None


def _last(one: Found) -> str:
    return path_of(one.group).rsplit("/", 1)[-1]


def _in_behaviour(file: Hdf5) -> Iterator[tuple[str, Found]]:
    module = found(file, BEHAVIOUR)
    if is_group(module):
        yield from _descend(module, "", "", DEEPEST)


def _elsewhere(file: Hdf5) -> Iterator[Found]:
    for root in ROOTS:
        group = found(file, root)
        if not is_group(group):
            continue
        for name in names(group):
            if f"{root}/{name}" != BEHAVIOUR:
                for _, one in _one(group, name, "", root.rsplit("/", 1)[-1], DEEPEST):
                    yield one


def _descend(group: Hdf5, prefix: str, container: str, depth: int) -> Iterator[tuple[str, Found]]:
    for name in names(group):
        yield from _one(group, name, prefix, container, depth)


def _one(group: Hdf5, name: str, prefix: str, container: str, depth: int) -> Iterator[tuple[str, Found]]:
    try:
        item = member(group, name)
    except Unreadable:
        return
    if not is_group(item):
        return
    if is_series(item):
        yield prefix + name, Found(item, container)
    elif depth:
        yield from _descend(item, f"{prefix}{name}_", type_of(item) or name, depth - 1)


def is_series(group: Hdf5) -> bool:
    """Whether a group is a series: values and their times, or times of events alone."""
    own = set(names(group))
    if {"timestamp", "colnames"} <= own or type_of(group) in ("EventsTable", "AnnotatedEventsTable"):
        return bool(own & {"timestamp", "event_times"})
    if type_of(group) == "Clustering" or {"start_time", "stop_time"} <= own or "spike_times" in own:
        return False
    return bool(own & {"data", "timestamps"}) and ("data" in own or type_of(group).endswith("Events"))
