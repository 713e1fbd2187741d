"""Spike times in lists: one list with the unit of each spike beside it, or a list of its own name for each unit."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from spikeloom.data.formats.arrays.array_file import column, whole
from spikeloom.data.formats.folders.phy import CODES, NOISE
from spikeloom.data.formats.naming.array_names import last_part, of_trials
from spikeloom.data.formats.naming.neuron_columns import BEHAVIOUR, EVENT, NEURON
from spikeloom.data.formats.naming.spike_labels import ANIMALS, BLOCKS, check_one_recording, of_units, one_recording
from spikeloom.data.formats.storage.containers import StoredArray
from spikeloom.data.formats.structures.spikes import Spikes, are_times
from spikeloom.data.formats.structures.unit_sessions import says_trials, seconds_of, session_of_units
from spikeloom.data.formats.tables.spike_tables import (
    FAMILIES,
    GROUPS,
    SORTS,
    TIMES,
    TRIALS,
    UNITS,
    Columns,
    are_numbered_anew,
    read_spike_table,
    refuse_intervals,
)
from spikeloom.data.options import LoadOptions, check_supported
from spikeloom.data.session.clocks import plain_name, without_unit
from spikeloom.data.session.durations import is_duration
from spikeloom.data.session.sorting import trains_of
from spikeloom.data.session.strays import duration
from spikeloom.data.spikedata import SpikeData
from spikeloom.data.steps import with_all_options
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
PHY_GROUPS = ("cgs", "cluster_groups", "cluster_group")
"""Names of lists with the group of each unit, in Phy's numbers or words."""
TITLES = ("title", "name", "label")
"""Fields with the name that a person gave a channel."""
TRIALS_OF_SPIKES = (*TRIALS, "trial_ids", "trial_idx", "trial_numbers")
"""Names of the trial of each spike."""
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
    which units are numbered anew, of Blackrock); times and where those of each unit end ("spike_times_index");
    "cluster_class" of wave_clus; and WaveMark channels of Spike2, with "times" and "codes".
    """
    for find in (_of_wave_clus, _of_wave_marks, _of_pair, _of_ends):
        found = find(arrays)
        if found is not None:
            return found
    return None


def read_spike_list(
    found: SpikeList, arrays: Mapping[str, StoredArray], options: LoadOptions, origin: Mapping[str, Any]
) -> SpikeData:
    """The recording of a list of spikes, with the trials and the columns of units that lie beside it.

    Args:
        found: The spikes.
        arrays: All arrays of the file.
        options: How to cut and bin it, and what to keep.
        origin: Start of the provenance.

    Raises:
        DataError: If the unit of time is open, or as ``cutting.cut``.
    """
    check_supported(options, FAMILIES, f"spike times ('{found.name}')")
    refuse_intervals(options, "the file")
    others = {name: stored for name, stored in arrays.items() if name not in found.used}
    rows, where = one_recording(found.recordings, options.where)
    if where != options.where:
        one = replace(found.select(rows), recordings={})
        return with_all_options(read_spike_list(one, arrays, replace(options, where=where), origin), options)
    notes = [found.note]
    if found.trials is not None:
        return _by_trial(found, others, options, origin)
    check_one_recording(found.recordings, found.times)
    ids, trains = trains_of(found.units, found.times)
    factor = found.factor
    if factor is None:
        span = duration(found.times)
        factor = seconds_of(found.times, found.name, len(ids), span, others, notes)
    columns = {"id": ids, **{name: [of[one] for one in ids.tolist()] for name, of in found.columns.items()}}
    described, used = _described(others, found.name, ids)
    columns |= {name: values for name, values in described.items() if name not in columns}
    others = {name: stored for name, stored in others.items() if name not in used}
    groups = columns.get("group")
    if groups is not None and options.quality is None:
        noise = pd.Series(groups).astype(str).str.lower().eq(NOISE).to_numpy()
        if noise.any() and not noise.all():
            notes.append(f"{noise.sum()} of {len(noise)} units are {NOISE} and were left out")
            trains = [train for train, left in zip(trains, noise) if not left]
            columns = {name: np.asarray(values)[~noise] for name, values in columns.items()}
    data = session_of_units([train * factor for train in trains], columns, factor, others, options, origin, notes)
    kept = {*data.trials, *data.neurons}
    unused = [n for n in others if last_part(n) not in kept and not says_trials(n)]
    return data.with_notes([f"not used: {', '.join(sorted(unused))}"] if unused and options.columns is None else [])


def _by_trial(
    found: SpikeList, others: Mapping[str, StoredArray], options: LoadOptions, origin: Mapping[str, Any]
) -> SpikeData:
    """The recording of a list that tells the trial of each spike, which is a long table in other words."""
    assert found.trials is not None
    trial, of_each = found.trials
    described = {name: [of[label] for label in found.units.tolist()] for name, of in found.columns.items()}
    unit = "unit" if "unit" not in described else "unit (numbered)"
    columns = {unit: found.units, found.name: found.times, trial: of_each, **described, **found.recordings}
    table = pd.DataFrame({**_columns_of_trials(others, of_each), **columns})
    data = read_spike_table(table, Columns(unit, found.name, trial), options, origin, [found.note])
    unused = [name for name in others if not says_trials(name) and last_part(name) not in data.trials]
    return data.with_notes([f"not used: {', '.join(sorted(unused))}"] if unused and options.columns is None else [])


def _columns_of_trials(others: Mapping[str, StoredArray], trials: np.ndarray) -> dict[str, np.ndarray]:
    """Arrays with a value for each trial as values of each spike, where the trials are numbered from 0 or 1."""
    if trials.dtype.kind not in "iuf" or not len(trials) or (trials != np.floor(trials)).any():
        return {}
    first, last = int(trials.min()), int(trials.max())
    sizes = {
        stored.shape[0]
        for name, stored in others.items()
        if len(stored.shape) == 1 and (of_trials(name) or is_duration(name))
    }
    for n in sorted(sizes):
        begin = 1 if first >= 1 and last == n else 0
        if begin <= first and last < n + begin and n <= 2 * len(np.unique(trials)):
            place = trials.astype(np.int64) - begin
            return {last_part(k): column(v.read())[place] for k, v in others.items() if v.shape == (n,)}
    return {}


def vectors_of_units(arrays: Mapping[str, StoredArray]) -> Spikes | None:
    """Vectors of increasing times that are called neurons ("sig001a"), or that differ in a number alone ("unit_3").

    None where there are none; vectors of events and behaviour are none.
    """
    vectors = {n: v for n, v in arrays.items() if v.dtype.kind in "uif" and (len(v.shape) == 1 or 0 in v.shape)}
    called = {name: _called(name, arrays) for name in vectors}
    plain = {name: plain_name(label) for name, label in called.items()}
    chosen = [name for name in vectors if NEURON.fullmatch(plain[name])]
    chosen = [name for name in chosen if not any(called[name].startswith(f"{called[other]}_") for other in chosen)]
    if not chosen:
        stems: dict[str, list[str]] = {}
        for name in vectors:
            if re.search(r"\d", plain[name]) and not any(p.fullmatch(plain[name]) for p in (EVENT, BEHAVIOUR)):
                stems.setdefault(re.sub(r"\d+", "#", plain[name]), []).append(name)
        chosen = max(stems.values(), key=len, default=[])
        chosen = chosen if len(chosen) > 1 else []
    values = [vectors[name] for name in chosen]
    if not values or not are_times(values) or max(map(_length, values)) < 2:
        return None
    names = [called[name] for name in chosen]
    fields = {"id": [word(name) for name in names]}
    return Spikes(
        chosen[0], "units", values, fields, f"a vector for each unit ({names[0]} to {names[-1]})", variables=chosen
    )


# -- kinds of lists --------------------------------------------------------------------------------------------------


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
        times = [n for n, v in beside.items() if n != name and v.is_number and _is_time(last_part(n))]
        if not times:
            continue
        values, units = np.asarray(arrays[times[0]].read(), dtype=np.float64), column(stored.read())
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
    """What an array beside the spikes tells of each, by its name."""
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
        if len(times.shape) != 1 or not times.is_number or not _is_time(last_part(base)):
            continue
        if not len(ends) or (np.diff(ends) < 0).any() or ends[-1] != times.shape[0]:
            raise DataError(
                f"'{name}' should say where the times of each unit in '{base}' end, but does not; correct it."
            )
        units = np.repeat(np.arange(len(ends)), np.diff(np.r_[0, ends]))
        parent = name.rpartition("/")[0]
        ids = [n for n, v in arrays.items() if v.shape == ends.shape and n.rpartition("/")[0] == parent and _is_id(n)]
        labels = column(arrays[ids[0]].read()) if ids else np.arange(len(ends))
        note = f"spike times are in '{base}', and where those of each unit end in '{name}'"
        return SpikeList(base, np.asarray(times.read(), dtype=np.float64), labels[units], note, (base, name))
    return None


def _of_wave_clus(arrays: Mapping[str, StoredArray]) -> SpikeList | None:
    name = next(
        (n for n, v in arrays.items() if plain_name(last_part(n)) == "cluster_class" and len(v.shape) == 2), None
    )
    if name is None or arrays[name].shape[1] < 2:
        return None
    cluster, time_ms = np.asarray(arrays[name].read(), dtype=np.float64)[:, :2].T
    assigned = cluster > 0
    if not assigned.any():
        raise DataError(f"'{name}' of wave_clus has no spike in a cluster but 0, which holds the rest; sort it again.")
    note = f"'{name}' is of wave_clus: the cluster of each spike, and its time in milliseconds"
    if not assigned.all():
        note += f"; {(~assigned).sum()} spikes of cluster 0, which were not assigned, were left out"
    return SpikeList(name, time_ms[assigned], cluster[assigned].astype(np.int64), note, (name,), factor=1e-3)


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


# -- columns and names -------------------------------------------------------------------------------------------------


def _described(
    others: Mapping[str, StoredArray], times: str, ids: np.ndarray
) -> tuple[dict[str, np.ndarray], Sequence[str]]:
    """The columns of units in lists beside a list that names all of them, and the names of these lists."""
    parent = times.rpartition("/")[0]
    beside = {n: v for n, v in others.items() if n.rpartition("/")[0] == parent and len(v.shape) == 1}
    for name in (n for n in beside if _is_id(n)):
        listed = column(beside[name].read())
        place = {label: row for row, label in enumerate(listed.tolist())}
        if len(place) != len(listed) or not set(ids.tolist()) <= set(place):
            continue
        rows = [place[label] for label in ids.tolist()]
        used = [n for n, v in beside.items() if v.shape == listed.shape]
        found = {last_part(n): column(beside[n].read())[rows] for n in used if n != name}
        for group in (n for n in PHY_GROUPS if n in found):
            values = found.pop(group)
            found["group"] = pd.Series(values).map(CODES).to_numpy() if values.dtype.kind in "uif" else values
        return found, used
    return {}, ()


def _numbered_anew(group: np.ndarray, units: np.ndarray) -> bool:
    """Whether the numbers of units begin anew in each of several groups."""
    return units.dtype.kind in "iu" and are_numbered_anew(group, units)


def _is_time(name: str) -> bool:
    return without_unit(name)[0] in TIMES


def _is_id(name: str) -> bool:
    return plain_name(last_part(name)) in (*IDS, *UNITS)


def _called(name: str, arrays: Mapping[str, StoredArray]) -> str:
    """What a vector is called: its own name, or that of its structure, or the title in this, where it is just times."""
    parent, _, last = name.rpartition("/")
    if not parent or not _is_time(last):
        return last
    titles = [arrays[f"{parent}/{key}"] for key in TITLES if f"{parent}/{key}" in arrays]
    words = [str(title.read()) for title in titles if title.shape == () and not title.is_number]
    return words[0] if words and words[0].strip() else last_part(parent)


def _length(stored: StoredArray) -> int:
    return int(np.prod(stored.shape))


def word(text: str) -> StoredArray:
    """A text as an array of a file."""
    value = np.array(text)
    return StoredArray((), value.dtype, lambda: value)
