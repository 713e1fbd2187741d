"""The behavioural time series of an NWB file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import h5py
import numpy as np

from spikeloom.data.formats.containers import Hdf5
from spikeloom.data.session.series import Series
from spikeloom.errors import DataError


def _all_series(file: Hdf5) -> Iterator[tuple[str, Hdf5]]:
    """Every series in the behaviour module, and in any container in it; those are named container_series."""

    def descend(group: Hdf5, prefix: str) -> Iterator[tuple[str, Hdf5]]:
        for name, item in group.items():
            if isinstance(item, h5py.Group):
                if _is_series(item):
                    yield prefix + name, item
                else:
                    yield from descend(item, f"{prefix}{name}_")

    if "processing/behavior" in file:
        yield from descend(file["processing/behavior"], "")


def _is_series(item: Hdf5) -> bool:
    return isinstance(item, h5py.Group) and "data" in item and ("timestamps" in item or "starting_time" in item)


def behaviour(file: Hdf5, names: Sequence[str] | None, notes: list[str]) -> dict[str, Series]:
    """The series in ``processing/behavior``.

    A series in a container is named ``container_series``, and may be selected by ``series`` alone. A series
    elsewhere is loaded when its full path is among the names, such as ``acquisition/hand``.

    Args:
        file: An open NWB file.
        names: The series to load; None for all that can be used.
        notes: Gets a note about series that cannot.

    Raises:
        DataError: If a series of these names does not exist; lists those that do.
    """
    usable, unusable = {}, []
    for name, group in _all_series(file):
        fits = group["data"].ndim in (1, 2) and group["data"].dtype.kind in "buif" and len(group["data"]) > 1
        if fits:
            usable[name] = group
        else:
            unusable.append(name)
    if unusable:
        notes.append(f"series left out, as they are not (sample, dim) numbers: {', '.join(unusable)}")
    if names is None:
        return {name: _read(group) for name, group in usable.items()}
    chosen = {}
    for name in names:
        same = [n for n in usable if n == name] or [n for n, g in usable.items() if g.name.rsplit("/", 1)[-1] == name]
        if name.startswith(("acquisition/", "processing/")) and name in file and _is_series(file[name]):
            usable, same = usable | {name: file[name]}, [name]
        if len(same) != 1:
            raise DataError(
                f"there is no signal '{name}' in processing/behavior (signals: {', '.join(usable) or 'none'}); "
                "name one of these, or a series elsewhere in the file by its full path."
            )
        chosen[name] = _read(usable[same[0]])
    return chosen


def _read(group: Hdf5) -> Series:
    data = group["data"]
    factor, offset = float(data.attrs.get("conversion", 1.0)), float(data.attrs.get("offset", 0.0))
    values = data[...].astype(np.float64).reshape(len(data), -1) * factor + offset
    if "timestamps" in group:
        times = group["timestamps"][...].astype(np.float64)
    else:
        start = group["starting_time"]
        times = float(start[()]) + np.arange(len(values)) / float(start.attrs["rate"])
    if len(times) != len(values):
        raise DataError(f"{group.name} has {len(values)} samples but {len(times)} timestamps; correct the file.")
    sound = np.isfinite(times)
    order = np.flatnonzero(sound)[np.argsort(times[sound], kind="stable")]
    found = re.search(r"columns=\[([^\]]*)\]", _text(group.attrs.get("comments", "")))
    columns = tuple(c.strip() for c in found[1].split(",")) if found else ()
    if len(columns) != values.shape[1]:
        columns = ()
    return Series(times[order], values[order], _text(data.attrs.get("unit", "")), columns)


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
