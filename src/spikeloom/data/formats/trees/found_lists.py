"""Spikes in one list, with the unit of each beside them: how programs and people store them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from spikeloom.data.formats.arrays.array_file import column, whole
from spikeloom.data.formats.naming.array_names import last_part
from spikeloom.data.formats.naming.spike_labels import ANIMALS, BLOCKS, of_units
from spikeloom.data.formats.storage.containers import StoredArray
from spikeloom.data.formats.structures.trial_of_spikes import NAMES as TRIALS_OF_SPIKES
from spikeloom.data.formats.tables.spike_tables import GROUPS, SORTS, TIMES, UNITS, are_numbered_anew
from spikeloom.data.session.clocks import plain_name, without_unit
from spikeloom.errors import DataError

IDS = (
    "cids",
    "ids",
    "id",
    "cluster_ids",
    "unit_ids",
    "neuron_ids",
    "cell_ids",
    "unique_clusters",
    "cluster_id",
    "unit_id",
)
"""Names of lists of units, in whose order other lists describe them."""
PLURALS = ("clusters", "cells", "unit_labels", "cluster_labels")
"""Names of the unit of each spike beside their times."""
_SEGMENT = re.compile(r"spike_indexes_seg\d+")
RATE = "sampling_frequency"
"""Name of the rate of samples in what spikeinterface saves."""
N_SPIKES = ("n_spikes", "num_spikes", "nspikes", "spike_counts", "spike_count", "counts", "lengths", "spikes_per_unit")
"""Names of how many of the times are of each unit, where those of one unit follow those of another."""
NUMBERS_OF_SPIKES = ("value", "values", "data", "vals", "val", "count", "counts", "n_spikes", "spike_count")
"""Names of a number of spikes beside a time and a unit."""
INVALID_UNIT = 255
"""The unit of Blackrock's files that holds what is no spike."""


@dataclass(frozen=True)
class SpikeList:
    """Spikes one by one.

    Attributes:
        name: Name of the times.
        times: (spike,) times as they are stored.
        units: (spike,) label of the unit of each.
        note: How they were understood.
        used: Names of the arrays that it was made of.
        columns: What is known of each unit, by its label.
        factor: Seconds in one unit of time; None to tell it by name and rates.
        trials: Name and values of the trial of each spike, where the file tells it.
        recordings: The session, or the animal, of each spike by name, where the file tells it.
    """

    name: str
    times: np.ndarray
    units: np.ndarray
    note: str
    used: tuple[str, ...]
    columns: Mapping[str, Mapping[Any, Any]] = field(default_factory=dict)
    factor: float | None = None
    trials: tuple[str, np.ndarray] | None = None
    recordings: Mapping[str, np.ndarray] = field(default_factory=dict)

    def select(self, rows: np.ndarray) -> SpikeList:
        """The list of some of the spikes."""
        return replace(
            self,
            times=self.times[rows],
            units=self.units[rows],
            trials=None if self.trials is None else (self.trials[0], self.trials[1][rows]),
            recordings={name: values[rows] for name, values in self.recordings.items()},
        )


def spike_list_in(arrays: Mapping[str, StoredArray]) -> SpikeList | None:
    """The spikes of a file in one list, or None where there is none.

    These are vectors of spike times and of the unit of each ("spike_times" and "spike_clusters"; with a channel, within
    which units are numbered anew, of Blackrock); times and where those of each unit end ("spike_times_index"), or how
    many they are ("n_spikes"); "cluster_class" of wave_clus; what Neuralynx's reader for MATLAB returns; WaveMark
    channels of Spike2, with "times" and "codes"; and a sorting that spikeinterface saved.
    """
    for find in (_of_wave_clus, _of_neuralynx, _of_wave_marks, _of_spikeinterface, _of_pair, _of_ends, _of_numbers):
        found = find(arrays)
        if found is not None:
            return found
    return None


def _of_pair(arrays: Mapping[str, StoredArray]) -> SpikeList | None:
    for name, stored in arrays.items():
        parent, _, last = name.rpartition("/")
        if (
            len(stored.shape) != 1
            or plain_name(last) not in (*UNITS, *IDS, *PLURALS)
            or stored.dtype.kind not in "buifUS"
        ):
            continue
        beside = {n: v for n, v in arrays.items() if n.rpartition("/")[0] == parent and v.shape == stored.shape}
        times = [n for n, v in beside.items() if n != name and v.is_number and is_time(last_part(n))]
        if not times:
            continue
        values, units = np.asarray(arrays[times[0]].read(), dtype=np.float64), column(stored.read())
        counted = [n for n in beside if n not in times and n != name and plain_name(last_part(n)) in NUMBERS_OF_SPIKES]
        if counted and (values == np.floor(values)).all():
            raise DataError(
                f"each place of '{times[0]}' and '{name}' has a number in '{counted[0]}': these are the elements of a "
                "sparse array, not spikes; store it whole, as counts with the axes (trial, time, neuron), or with "
                "scipy.sparse.save_npz."
            )
        note = f"spike times are in '{times[0]}', and the unit of each in '{name}'"
        kept = np.isfinite(values) & ~pd.isna(units)
        if not kept.any():
            raise DataError(f"no spike has both a time in '{times[0]}' and a unit in '{name}'; check the file.")
        if not kept.all():
            note += f"; {(~kept).sum()} spikes without a time or a unit were left out"
        labels = whole(units[kept])
        of_unit, more = of_units(labels)
        note = "; ".join([note, *more])
        kept[kept] = of_unit
        values, units = values[kept], labels[of_unit]
        recordings = {
            last_part(n): column(v.read())[kept] for n, v in beside.items() if _of_each(n) in (*BLOCKS, *ANIMALS)
        }
        found = SpikeList(times[0], values, units, note, (times[0], name), recordings=recordings)
        for other in (n for n in beside if _of_each(n) in GROUPS and n != name):
            group = column(beside[other].read())[kept]
            if _of_each(name) in SORTS or _numbered_anew(group, units):
                found, kept = _by_group(found, name, other, group, kept)
                break
        for other in (n for n in beside if _of_each(n) in TRIALS_OF_SPIKES and n not in found.used):
            trials = column(beside[other].read())[kept]
            return replace(found, trials=(other, trials), used=(*found.used, other))
        return found
    return None


def _of_each(name: str) -> str:
    """Meaning of an array beside the spikes, by its name."""
    return plain_name(last_part(name)).removeprefix("spike_")


def _by_group(
    found: SpikeList, name: str, other: str, group: np.ndarray, kept: np.ndarray
) -> tuple[SpikeList, np.ndarray]:
    """Spikes whose units are numbered anew in each group, such as an electrode, and which in the file they are."""
    units, note, valid = found.units, found.note, np.ones(len(found.units), dtype=bool)
    if units.dtype.kind in "iu" and units.max() == INVALID_UNIT:
        valid = units != INVALID_UNIT
        note += f"; {(~valid).sum()} events of unit {INVALID_UNIT}, which are no spikes, were left out"
    table = pd.DataFrame({"group": group[valid], "unit": units[valid]})
    label = table.groupby(["group", "unit"]).ngroup().to_numpy()
    first = table.groupby(label).first()
    columns = {
        last: dict(enumerate(first[key])) for last, key in zip((last_part(other), last_part(name)), ("group", "unit"))
    }
    note += f"; '{last_part(other)}' and '{last_part(name)}' together name a unit, as units are numbered anew in each"
    remaining = kept.copy()
    remaining[kept] = valid
    recordings = {name: values[valid] for name, values in found.recordings.items()}
    used = (*found.used, other)
    return SpikeList(found.name, found.times[valid], label, note, used, columns, recordings=recordings), remaining


def _of_ends(arrays: Mapping[str, StoredArray]) -> SpikeList | None:
    for name, stored in arrays.items():
        base = name.removesuffix("_index")
        if base == name or base not in arrays or len(stored.shape) != 1 or stored.dtype.kind not in "ui":
            continue
        times, ends = arrays[base], stored.read().astype(np.int64)
        if len(times.shape) != 1 or not times.is_number or not is_time(last_part(base)):
            continue
        if not len(ends) or (np.diff(ends) < 0).any() or ends[-1] != times.shape[0]:
            raise DataError(
                f"'{name}' should say where the times of each unit in '{base}' end, but does not; correct it."
            )
        note = f"spike times are in '{base}', and where those of each unit end in '{name}'"
        return _unit_by_unit(arrays, base, name, np.diff(np.r_[0, ends]), note)
    return None


def _of_numbers(arrays: Mapping[str, StoredArray]) -> SpikeList | None:
    for name, stored in arrays.items():
        parent, _, last = name.rpartition("/")
        if len(stored.shape) != 1 or stored.dtype.kind not in "uif" or plain_name(last) not in N_SPIKES:
            continue
        beside = [n for n, v in arrays.items() if n.rpartition("/")[0] == parent and len(v.shape) == 1 and v.is_number]
        numbers = stored.read()
        for base in (n for n in beside if n != name and is_time(last_part(n))):
            if (numbers >= 0).all() and numbers.sum() == arrays[base].shape[0] > 0:
                note = f"spike times are in '{base}', and how many of them are of each unit in '{name}'"
                return _unit_by_unit(arrays, base, name, numbers.astype(np.int64), note)
    return None


def _unit_by_unit(
    arrays: Mapping[str, StoredArray], times: str, name: str, numbers: np.ndarray, note: str
) -> SpikeList:
    """The list of times of which those of one unit follow those of another, so many of each."""
    parent = name.rpartition("/")[0]
    ids = [n for n, v in arrays.items() if v.shape == numbers.shape and n.rpartition("/")[0] == parent and is_id(n)]
    labels = column(arrays[ids[0]].read()) if ids else np.arange(len(numbers))
    units = np.repeat(labels, numbers)
    return SpikeList(times, np.asarray(arrays[times].read(), dtype=np.float64), units, note, (times, name))


def _of_spikeinterface(arrays: Mapping[str, StoredArray]) -> SpikeList | None:
    segments = [name for name in arrays if _SEGMENT.fullmatch(name)]
    labels = [name.replace("indexes", "labels") for name in segments]
    if not segments or RATE not in arrays or not all(name in arrays for name in labels):
        return None
    if len(segments) > 1:
        raise DataError(
            f"the sorting of spikeinterface has {len(segments)} segments, each on its own clock ({segments[0]}, "
            f"{segments[1]}{', ...' * (len(segments) > 2)}); load it with spikeinterface.load and pass it to "
            "`spikeloom.from_spikeinterface`."
        )
    rate_hz = float(np.ravel(arrays[RATE].read())[0])
    times, units = np.asarray(arrays[segments[0]].read(), dtype=np.float64), column(arrays[labels[0]].read())
    if times.shape != units.shape or not 0 < rate_hz < np.inf:
        raise DataError(
            f"'{segments[0]}' {times.shape}, '{labels[0]}' {units.shape} and '{RATE}' ({rate_hz:g} Hz) are no sorting "
            "of spikeinterface; save it again."
        )
    note = f"a sorting of spikeinterface: samples at {rate_hz:g} Hz in '{segments[0]}', their units in '{labels[0]}'"
    used = (segments[0], labels[0], RATE, *(name for name in ("num_segment",) if name in arrays))
    return SpikeList(segments[0], times, units, note, used, factor=1.0 / rate_hz)


def _of_wave_clus(arrays: Mapping[str, StoredArray]) -> SpikeList | None:
    name = next(
        (n for n, v in arrays.items() if plain_name(last_part(n)) == "cluster_class" and len(v.shape) == 2), None
    )
    if name is None or arrays[name].shape[1] < 2:
        return None
    cluster, time_ms = np.asarray(arrays[name].read(), dtype=np.float64)[:, :2].T
    note = f"'{name}' is of wave_clus: the cluster of each spike, and its time in milliseconds"
    return _assigned(SpikeList(name, time_ms, cluster, note, (name,), factor=1e-3))


def _of_neuralynx(arrays: Mapping[str, StoredArray]) -> SpikeList | None:
    named = {plain_name(last_part(name)): name for name in arrays}
    times, cells = named.get("timestamps"), named.get("cell_numbers")
    if times is None or cells is None or not {"sc_numbers", "features", "header", "samples"} & set(named):
        return None
    if arrays[times].shape != arrays[cells].shape or len(arrays[times].shape) != 1:
        raise DataError(
            f"'{times}' {arrays[times].shape} and '{cells}' {arrays[cells].shape} of Neuralynx should be as long; save "
            "them again."
        )
    note = f"spikes as Nlx2MatSpike returns them: times in '{times}' in microseconds, the cell of each in '{cells}'"
    values = [np.asarray(arrays[name].read(), dtype=np.float64) for name in (times, cells)]
    return _assigned(SpikeList(times, values[0], values[1], note, (times, cells), factor=1e-6))


def _assigned(found: SpikeList) -> SpikeList:
    """The spikes of numbered clusters, without those of cluster 0, which were assigned to none."""
    assigned = found.units > 0
    if not assigned.any():
        raise DataError(
            f"'{found.used[-1]}' has no spike in a cluster but 0, which holds those of none; sort the recording again."
        )
    note = found.note
    if not assigned.all():
        note += f"; {(~assigned).sum()} spikes of cluster 0, which were not assigned, were left out"
    return replace(found, times=found.times[assigned], units=found.units[assigned].astype(np.int64), note=note)


def _of_wave_marks(arrays: Mapping[str, StoredArray]) -> SpikeList | None:
    times, units, used = [], [], []
    for name, stored in arrays.items():
        parent, _, last = name.rpartition("/")
        codes = arrays.get(f"{parent}/codes")
        if not parent or last != "times" or codes is None or not codes.shape or codes.shape[0] != stored.shape[0]:
            continue
        times.append(np.ravel(stored.read()).astype(np.float64))
        units.append([f"{parent}_{code}" for code in codes.read().reshape(len(times[-1]), -1)[:, 0].tolist()])
        used += [name, f"{parent}/codes"]
    if not times:
        return None
    note = f"WaveMark channels of Spike2 ({', '.join(n.rpartition('/')[0] for n in used[::2])}): a code is a unit"
    joined = np.array([label for one in units for label in one], dtype=object)
    return SpikeList(used[0], np.concatenate(times), joined.astype(str), note, tuple(used), factor=1.0)


def _numbered_anew(group: np.ndarray, units: np.ndarray) -> bool:
    """Whether the numbers of units begin anew in each of several groups."""
    return units.dtype.kind in "iu" and are_numbered_anew(group, units)


def is_time(name: str) -> bool:
    """Whether a name is that of spike times."""
    return without_unit(name)[0] in TIMES


def is_id(name: str) -> bool:
    """Whether a name is that of the units, or of the unit of each spike."""
    return plain_name(last_part(name)) in (*IDS, *UNITS)
