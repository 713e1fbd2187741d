"""Folders of the ALF standard, as the International Brain Laboratory keeps its sessions (ONE).

A file is called ``[_namespace_]object.attribute[.more].extension``; the files of one object have as many rows.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from spikeloom.data.formats.naming.spike_labels import of_units
from spikeloom.data.formats.storage.npy_files import read_npy, read_vector
from spikeloom.data.formats.tables.spike_tables import FAMILIES, refuse_intervals
from spikeloom.data.options import LoadOptions, check_supported
from spikeloom.data.series.kinds import is_regular
from spikeloom.data.series.series import Series
from spikeloom.data.session.cutting import bin_session
from spikeloom.data.session.session import Session
from spikeloom.data.session.sorting import quality_mask, trains_of
from spikeloom.data.session.spans import rows_of
from spikeloom.data.session.trial_table import with_usual_names
from spikeloom.data.spikedata import SpikeData
from spikeloom.data.tables import TABLES, Column, read_table
from spikeloom.errors import DataError

QUALITY = ("label", "ks2_label", "KSLabel", "group", "quality")
MOST_PARTS = 8
"""An array of at most this many columns becomes as many columns of a table, or dimensions of a signal."""
OF_PROBE = ("spikes", "clusters", "channels", "templates", "electrodeSites", "drift")
"""Objects of one probe, which another folder cannot have for it."""
NOT_SERIES = ("spikes", "clusters", "channels", "trials", "templates", "probes", "electrodeSites", "drift")
DEEPEST = 4
"""Levels of folders that are searched for spikes: session/alf/probe/sorter."""
_NAME = re.compile(r"(?:_[A-Za-z0-9]+_)?([A-Za-z][A-Za-z0-9]*)\.([A-Za-z0-9_]+)((?:\.[^.]+)*)\.([A-Za-z0-9]+)")

Objects = dict[str, dict[str, Path]]
"""Files by object and attribute."""


@dataclass(frozen=True)
class _Values:
    """Columns of a file, by name, with a value for every row of its object."""

    columns: Mapping[str, np.ndarray]
    n: int


def has_spikes(folder: Path) -> bool:
    """Whether the folder itself holds spikes in the ALF standard."""
    spikes = _objects(folder, []).get("spikes", {})
    return "times" in spikes and "clusters" in spikes


def probes(folder: Path, deepest: int = DEEPEST) -> Iterator[Path]:
    """The folders with spikes in this one, or in those below it; the last revision of each."""
    if has_spikes(folder):
        yield folder
    elif deepest:
        below = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
        revisions = [path for path in below if path.name.startswith("#") and has_spikes(path)]
        yield from revisions[-1:]
        for path in below:
            if not path.name.startswith("#"):
                yield from probes(path, deepest - 1)


def read_alf(folder: Path, options: LoadOptions) -> SpikeData:
    """The recording of a folder with ``spikes.times.npy`` and ``spikes.clusters.npy``, in seconds.

    Clusters with spikes are the neurons, with the columns of ``clusters.*`` and those of the channel of each. Trials
    and signals (``wheel.position``, ``leftCamera.features``) are those of this folder, or of those above it within
    ``alf``.

    Args:
        folder: The folder, or one above it that holds spikes of one probe.
        options: ``quality`` by "label": the least one, "good" being 1; how to cut and bin, and what to keep.

    Raises:
        DataError: If there are several probes, or files contradict each other.
    """
    check_supported(options, FAMILIES, "an ALF folder")
    refuse_intervals(options, "an ALF folder")
    found = list(probes(folder))
    if len(found) != 1:
        listed = ", ".join(str(path.relative_to(folder)) for path in found[:6])
        raise DataError(f"the folder holds spikes of {len(found)} probes ({listed}); name the folder of one of them.")
    notes: list[str] = []
    objects = _with_objects_above(found[0], notes)
    if found[0] != folder:
        notes.append(f"spikes are those in {found[0].relative_to(folder)}")
    times, clusters = (read_vector(objects["spikes"][name]) for name in ("times", "clusters"))
    if len(times) != len(clusters) or not len(times):
        raise DataError(f"spikes.times has {len(times)} entries and spikes.clusters {len(clusters)}; copy them again.")
    of_unit, more = of_units(clusters)
    if more:
        notes += more
        times, clusters = times[of_unit], clusters[of_unit]
    ids, trains = trains_of(clusters.astype(np.int64), times)
    neurons = _neurons(objects, ids, notes)
    kept = np.ones(len(ids), dtype=bool)
    if options.quality is not None:
        kept = quality_mask(neurons, options.quality, QUALITY)
    return bin_session(
        Session(
            spikes=[train for train, keep in zip(trains, kept) if keep],
            neurons=rows_of(neurons, kept),
            trials=None if options.trials is not None else _trials(objects, notes),
            series=_series(objects, options, notes),
            provenance={"file": folder.resolve().name, "format": "alf"},
            notes=notes,
        ),
        options,
    )


def _objects(folder: Path, notes: list[str]) -> Objects:
    """The files of a folder; of several for one attribute that without further parts in its name, else the last."""
    files: dict[tuple[str, str], list[tuple[bool, str, Path]]] = {}
    for path in sorted(folder.iterdir()):
        match = _NAME.fullmatch(path.name)
        if match and path.is_file() and (match[4] == "npy" or f".{match[4]}" in TABLES):
            files.setdefault((match[1], match[2]), []).append((bool(match[3]), match[3], path))
    objects: Objects = {}
    for (name, attribute), paths in files.items():
        plain = [entry for entry in paths if not entry[0]]
        chosen = plain[0] if plain else paths[-1]
        objects.setdefault(name, {})[attribute] = chosen[2]
        if len(paths) > 1:
            notes.append(f"{name}.{attribute} is there {len(paths)} times; {chosen[2].name} is taken")
    return objects


def _with_objects_above(folder: Path, notes: list[str]) -> Objects:
    """The files of a folder, and objects that only the folders above it hold, up to the one called alf, else one."""
    objects = _objects(folder, notes)
    above = folder.resolve()
    names = [parent.name for parent in (above, *above.parents)][: DEEPEST + 1]
    if "alf" in names:
        for parent in list(above.parents)[: names.index("alf")]:
            objects = {**_objects(parent, notes), **objects}
        return objects
    parent = above.parent
    if above.name.startswith("#"):  # a revision of some of the files above it
        objects = {**_objects(parent, notes), **objects}
        parent = parent.parent
    if parent.is_dir() and os.access(parent, os.R_OK | os.X_OK):
        beside = {name: files for name, files in _objects(parent, []).items() if name not in (*OF_PROBE, *objects)}
        if beside:
            notes.append(f"{', '.join(beside)} are those of the folder above, {parent.name}")
        objects = {**beside, **objects}
    return objects


def _values(path: Path, attribute: str, notes: list[str]) -> _Values | None:
    """The columns in a file; None, and a note, where they are not one value a row, or a few."""
    if path.suffix.lower() in TABLES:
        table = read_table(path, notes)
        plain = {str(name): table[name] for name in table if not str(name).startswith(("Unnamed: ", "__index"))}
        kept = {
            name: column.to_numpy()
            for name, column in plain.items()
            if column.dtype.kind in "buifOUT" and _flat(column)
        }
        return _Values(kept, len(table))
    try:
        array = read_npy(path)
    except DataError as error:
        notes.append(f"{path.name} left out: {str(error).partition(': ')[2] or error}".rstrip("."))
        return None
    if (
        array.dtype.kind not in "buifUS"
        or array.ndim not in (1, 2)
        or (array.ndim == 2 and array.shape[1] > MOST_PARTS)
    ):
        notes.append(f"{path.name} left out, as it is {array.dtype} of shape {array.shape}, not a value or a few a row")
        return None
    array = array.astype(np.str_).astype(object) if array.dtype.kind in "US" else array
    if array.ndim == 1 or array.shape[1] == 1:
        return _Values({attribute: array.ravel()}, len(array))
    return _Values({f"{attribute}_{i}": array[:, i] for i in range(array.shape[1])}, len(array))


def _flat(column: Column) -> bool:
    return column.dtype.kind != "O" or not column.map(lambda value: isinstance(value, np.ndarray | list)).any()


def _table(files: Mapping[str, Path], notes: list[str], what: str, n: int | None = None) -> pd.DataFrame:
    """The columns of all files of an object that have as many rows as most; a table first, as it has them all."""
    read: list[tuple[str, _Values]] = []
    for attribute, path in sorted(files.items(), key=lambda item: item[1].suffix == ".npy"):
        values = _values(path, attribute, notes)
        if values is not None:
            read.append((path.name, values))
    if not read:
        return pd.DataFrame(index=range(n or 0))
    sizes = [values.n for _, values in read]
    rows = n if n in sizes else max(set(sizes), key=sizes.count)
    wrong = [f"{name} {values.n}" for name, values in read if values.n != rows]
    if wrong:
        notes.append(f"{what} left out, as there are {rows} rows: {', '.join(wrong)}")
    columns: dict[str, Any] = {}
    for _, values in read:
        if values.n == rows:
            columns = {**values.columns, **columns}
    return pd.DataFrame(columns, index=range(rows))


def _neurons(objects: Objects, ids: np.ndarray, notes: list[str]) -> pd.DataFrame:
    """One row for each cluster with spikes: its own columns, and those of its channel."""
    files = dict(objects.get("clusters", {}))
    metrics = files.pop("metrics", None)
    table = pd.DataFrame(index=range(int(ids.max()) + 1))
    if files:
        table = _table(files, notes, "files of clusters")
    if metrics is not None:
        values = read_table(metrics, notes)
        key = next((name for name in ("cluster_id", "cluster", "id") if name in values), None)
        if key is not None:
            values = values.drop_duplicates(key).set_index(key)
        values = values[[name for name in values if not str(name).startswith("Unnamed: ")]]
        size = max(len(table), int(max(values.index, default=-1)) + 1)
        own = values.reindex(range(size)).reset_index(drop=True)
        table = table.reindex(range(size))
        table = pd.concat([table[[c for c in table if c not in own]], own], axis=1)
    if ids.max() >= len(table) or ids.min() < 0:
        notes.append(f"clusters from {ids.min()} to {ids.max()} have spikes, but files describe {len(table)}")
    silent = len(table) - len(np.intersect1d(ids, np.arange(len(table))))
    if silent and (files or metrics is not None):
        notes.append(f"{silent} of {len(table)} clusters have no spikes and were left out")
    neurons = table.reindex(ids).reset_index(drop=True)
    neurons = neurons.drop(columns=[name for name in ("id", "cluster_id") if name in neurons])
    neurons.insert(0, "id", ids)
    channels = objects.get("channels", {})
    if "channels" in neurons and channels:
        of_channels = _table(channels, notes, "files of channels")
        number: Column = pd.to_numeric(neurons["channels"], errors="coerce")
        number = number.where(number.between(0, len(of_channels) - 1))
        at = of_channels.reindex(number).reset_index(drop=True)
        neurons = pd.concat([neurons, at[[name for name in at if name not in neurons]]], axis=1)
    return neurons


def _trials(objects: Objects, notes: list[str]) -> pd.DataFrame | None:
    if "trials" not in objects:
        return None
    table = with_usual_names(_table(objects["trials"], notes, "files of trials"))
    if not len(table):
        return None
    missing = [name for name in ("start_time", "stop_time") if name not in table]
    if missing:
        notes.append(f"trials have no {' and '.join(missing)}: there is no trials.intervals.npy")
    return table


def _series(objects: Objects, options: LoadOptions, notes: list[str]) -> dict[str, Series]:
    """The signals of objects that have a time for each of their rows, named object_attribute, and events of times."""
    series: dict[str, Series] = {}
    for name, files in objects.items():
        clock = files.get("times", files.get("timestamps"))
        if clock is None or name in NOT_SERIES:
            continue
        if set(files) <= {"times", "timestamps"}:
            if options.signals is None or name in options.signals:
                times = read_npy(clock).astype(np.float64)
                if times.size == max(times.shape, default=0) > 1 and not is_regular(np.sort(times.ravel())):
                    series[name] = Series.of(times.ravel(), np.ones((times.size, 1)), "events", kind="events")
                    notes.append(f"'{name}' is the number of events in each bin ({clock.name})")
                else:
                    notes.append(f"{clock.name} left out, as {name} has no values, and these times are not of events")
            continue
        for attribute, path in files.items():
            wanted = options.signals is None or f"{name}_{attribute}" in options.signals
            if path == clock or not wanted:
                continue
            values = _values(path, attribute, notes)
            times = _times(clock, 0 if values is None else values.n)
            numeric = {} if values is None else {k: v for k, v in values.columns.items() if v.dtype.kind in "buif"}
            if values is None or times is None or len(times) != values.n or not 1 <= len(numeric) <= MOST_PARTS:
                notes.append(f"{path.name} left out, as it is not a few numbers for each time in {clock.name}")
                continue
            stacked = np.column_stack([v.astype(np.float64) for v in numeric.values()])
            one = Series.of(times, stacked, columns=tuple(numeric) if len(numeric) > 1 else ())
            if len(one.times_s) > 1:
                series[f"{name}_{attribute}"] = one
    return series


def _times(path: Path, n: int) -> np.ndarray | None:
    """The time of each of n samples: one for each, or those of some samples, (sample, time), and linear between."""
    array = read_npy(path).astype(np.float64)
    if array.ndim == 2 and array.shape[1] == 2 and len(array) >= 2 and len(array) != n:
        slope = (array[-1, 1] - array[-2, 1]) / (array[-1, 0] - array[-2, 0])
        at = np.arange(n)
        beyond = np.maximum(at - array[-1, 0], 0.0) * slope
        return np.interp(at, array[:, 0], array[:, 1]) + beyond
    return array.ravel() if array.size == max(array.shape, default=0) else None
