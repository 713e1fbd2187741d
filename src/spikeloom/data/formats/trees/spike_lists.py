"""The recording of spikes in one list, with the unit of each, or in a list of its own name for each unit."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from spikeloom.data.formats.arrays.array_file import column
from spikeloom.data.formats.folders.phy import CODES, NOISE
from spikeloom.data.formats.naming.array_names import last_part, of_trials
from spikeloom.data.formats.naming.neuron_columns import ATTRIBUTE, BEHAVIOUR, EVENT, NEURON
from spikeloom.data.formats.naming.spike_labels import check_one_recording, one_recording
from spikeloom.data.formats.storage.containers import StoredArray
from spikeloom.data.formats.structures.spikes import Spikes, are_times
from spikeloom.data.formats.structures.unit_sessions import (
    refuse_numbers_of_bins,
    says_trials,
    seconds_of,
    session_of_units,
)
from spikeloom.data.formats.tables.spike_tables import (
    FAMILIES,
    Columns,
    read_spike_table,
    refuse_intervals,
)
from spikeloom.data.formats.trees.found_lists import SpikeList, is_id, is_time
from spikeloom.data.options import LoadOptions, check_supported
from spikeloom.data.session.clocks import plain_name
from spikeloom.data.session.durations import is_duration
from spikeloom.data.session.sorting import trains_of
from spikeloom.data.session.strays import duration
from spikeloom.data.spikedata import SpikeData
from spikeloom.data.steps import with_all_options

PHY_GROUPS = ("cgs", "cluster_groups", "cluster_group")
"""Names of lists with the group of each unit, in Phy's numbers or words."""
TITLES = ("title", "name", "label")
"""Fields with the name that a person gave a channel."""


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
    refuse_numbers_of_bins(found.times, found.name, others)
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
    called = {name: label for name, label in called.items() if not ATTRIBUTE.fullmatch(plain_name(label))}
    plain = {name: plain_name(label) for name, label in called.items()}
    chosen = [name for name in called if NEURON.fullmatch(plain[name])]
    chosen = [name for name in chosen if not any(called[name].startswith(f"{called[other]}_") for other in chosen)]
    if not chosen:
        stems: dict[str, list[str]] = {}
        for name in called:
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


# -- columns and names -------------------------------------------------------------------------------------------------


def _described(
    others: Mapping[str, StoredArray], times: str, ids: np.ndarray
) -> tuple[dict[str, np.ndarray], Sequence[str]]:
    """The columns of units in lists beside a list that names all of them, and the names of these lists."""
    parent = times.rpartition("/")[0]
    beside = {n: v for n, v in others.items() if n.rpartition("/")[0] == parent and len(v.shape) == 1}
    for name in (n for n in beside if is_id(n)):
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


def _called(name: str, arrays: Mapping[str, StoredArray]) -> str:
    """The name of a vector: its own, or that of its structure, or the title in this, where it is just times."""
    parent, _, last = name.rpartition("/")
    if not parent or not is_time(last):
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
