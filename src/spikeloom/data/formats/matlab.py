"""MATLAB files as recordings: named arrays, structures of trials or units, and cells of spike times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from spikeloom.data.formats.array_names import COUNTS
from spikeloom.data.formats.arrays import from_arrays
from spikeloom.data.formats.axes import AXES
from spikeloom.data.formats.containers import StoredArray
from spikeloom.data.formats.indy import is_indy, read_indy
from spikeloom.data.formats.matlab_spikes import Spikes, spikes_in
from spikeloom.data.formats.matlab_trials import NEURON_WORDS, counts_by_trial, row_columns
from spikeloom.data.formats.matlab_values import Struct, Value, arrays_of, open_matlab
from spikeloom.data.formats.spike_tables import FAMILIES, TIMES, UNITS, refuse_intervals
from spikeloom.data.options import LoadOptions, check_supported, split_axes
from spikeloom.data.session.clocks import in_seconds, plain_name
from spikeloom.data.session.cutting import bin_session
from spikeloom.data.session.session import Session
from spikeloom.data.session.sorting import quality_mask, trains_of
from spikeloom.data.session.spans import rows_of
from spikeloom.data.session.trial_table import START, STOP, with_usual_names
from spikeloom.data.session.trialwise import TrialwiseSpikes, begin_anew, bin_trialwise
from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import DataError

RATES = ("fs", "sample_rate", "sampling_rate", "samplerate", "samplingrate", "sr", "sampling_frequency")
"""Names of the samples per second, by which spike times in samples become seconds."""
MOST_UNITS = 8
"""Most units of one channel, as columns of a cell array."""
LONGEST_TRIAL_S = 60.0
"""Spikes over a longer time are of a session, in a cell array whose columns may be units or trials."""
LOWEST_RATE_HZ = 0.05
"""A lower one over a longer time is that of milliseconds."""
MOST_EVENTS = 0.5
"""Share of the events that lie in their trials, where they are on one clock with these."""
INSIDE = 0.95
"""Share of the spikes that lie in their trials where start and stop are those of the trial."""


def read_matlab(path: Path, options: LoadOptions) -> SpikeData:
    """The recording of a MATLAB file of any version.

    It holds an array of counts, see ``arrays.from_arrays``; a structure of trials with counts or with cells of spike
    times ("trial(i).spikes"); a structure of units with spike times ("unit(i).times"); cells of spike times,
    "{neuron}", "{neuron, trial}" or "{trial}{neuron}"; vectors of spike times and of the unit of each; or a session of
    O'Doherty et al. The other fields become columns of the trials or neurons, or signals. How axes and units of time
    were understood is noted.

    Args:
        path: The file.
        options: How to cut and bin it, and what to keep; ``counts`` names the variable, such as "trial.spikes".

    Raises:
        DataError: If there are no spikes; lists what there is.
    """
    origin = {"file": path.name, "format": "mat"}
    with open_matlab(path) as variables:
        if is_indy(variables):
            return read_indy(path, options)
        arrays = arrays_of(variables)
        plain = [name for name, stored in arrays.items() if _is_counts(name, stored)]
        if options.counts in arrays or (options.counts is None and plain):
            return from_arrays(arrays, options, origin)
        found = spikes_in(variables, options.counts)
        if found is None:
            pair = _unit_of_each_spike(arrays)
            if pair is not None and options.counts is None:
                return _of_pair(*pair, arrays, options, origin)
            if len(arrays) == len(variables):
                return from_arrays(arrays, options, origin)
            listed = "; ".join(f"{name} {value}" for name, value in variables.items())
            what = "there are no spikes" if options.counts is None else f"there are no spikes in '{options.counts}'"
            raise DataError(
                f"{what} in the file, as an array of counts, a struct of trials or units, or a cell of spike times; it "
                f"holds: {listed}."
            )
        others = {name: stored for name, stored in arrays.items() if not found.name.startswith(name)}
        if found.form == "counts":
            return _of_counts(found, others, options, origin)
        others |= _columns_of_structures(variables, found)
        asked = replace(options, counts=None, axes=None if found.is_matrix else options.axes)
        check_supported(asked, FAMILIES, f"spike times ('{found.name}')")
        refuse_intervals(options, "a MATLAB file")
        channels = _channels_of(found, others)
        of_channel: Mapping[str, Any] = {}
        if channels is not None:
            found, of_channel = channels
        elif found.is_matrix:
            found = _turned(found, others, options)
        notes = [f"spike times are in '{found.name}': {found.order}"]
        if found.form == "units":
            data = _of_units(found, others, asked, origin, notes, of_channel)
        else:
            data = _of_trials(found, others, asked, origin, notes)
        return data.with_notes(_not_used(data, variables, others, found, options))


def _columns_of_structures(variables: Mapping[str, Value], found: Spikes) -> dict[str, StoredArray]:
    """The fields of arrays of structures beside the spikes, as one array each, named ``structure/field``."""
    columns = {}
    for name, value in variables.items():
        if isinstance(value, Struct) and value.size > 1 and not found.name.startswith(name):
            fields, _ = row_columns(value.fields, value.size, [], quietly=True)
            columns |= {f"{name}/{k}": StoredArray(v.shape, v.dtype, lambda v=v: v) for k, v in fields.items()}
    return columns


def _turned(found: Spikes, others: Mapping[str, StoredArray], options: LoadOptions) -> Spikes:
    """The spike times of a cell array by the order of axes that is given, or that arrays of one value for each show."""
    by_trial = found.lists()
    n_columns, n_rows = len(by_trial), len(by_trial[0])
    if options.axes is not None:
        order = [axis for axis in split_axes(options.axes) if axis != "time"]
        rows_are_trials, why = order == ["trial", "neuron"], "as axes says"
    else:
        votes = {True: [], False: []}
        for name, stored in others.items():
            if stored.shape in ((n_rows,), (n_columns,)) and n_rows != n_columns:
                of_neurons = any(word in name.lower() for word in NEURON_WORDS)
                votes[(stored.shape == (n_rows,)) != of_neurons].append(name.rsplit("/", 1)[-1])
        rows_are_trials = len(votes[True]) > len(votes[False])
        why = "assumed, as nothing says otherwise; give the order with axes, such as axes=trial,time,neuron"
        if len(votes[True]) != len(votes[False]):
            why = f"as {', '.join(votes[rows_are_trials][:4])} fit{'s' * (len(votes[rows_are_trials]) == 1)}"
    if rows_are_trials:
        by_trial = [list(row) for row in zip(*by_trial)]
    order = "trials x {1} neurons" if rows_are_trials else "neurons x {1} trials"
    return replace(found, values=by_trial, order=f"{n_rows} {order.format(n_rows, n_columns)}, {why}")


def _not_used(
    data: SpikeData,
    variables: Mapping[str, Value],
    others: Mapping[str, StoredArray],
    found: Spikes,
    options: LoadOptions,
) -> list[str]:
    """A note on what is in the file and not in the recording."""
    kept = {*data.trials, *data.neurons}
    times = (*START, *STOP, *RATES)
    unused = [n for n in others if (last := n.rsplit("/", 1)[-1]) not in kept and plain_name(last) not in times]
    unused += [
        name
        for name, value in variables.items()
        if not found.name.startswith(name) and not any(n == name or n.startswith(f"{name}/") for n in others)
    ]
    return [f"not used: {', '.join(sorted(unused))}"] if unused and options.columns is None else []


def _is_counts(name: str, stored: StoredArray) -> bool:
    last = name.rsplit("/", 1)[-1].lower()
    return stored.is_number and len(stored.shape) in (2, 3) and (last in COUNTS or "spike" in last or "count" in last)


def _of_counts(
    found: Spikes, others: Mapping[str, StoredArray], options: LoadOptions, origin: Mapping[str, Any]
) -> SpikeData:
    """Counts of each trial and what belongs to it, as arrays."""
    notes: list[str] = []
    stored = counts_by_trial(found, others, options, notes)
    stored[AXES] = np.array(["trial", "time", "neuron"])
    arrays = {name: StoredArray(v.shape, v.dtype, lambda v=v: v) for name, v in stored.items()}
    for name, array in others.items():
        arrays.setdefault(name, array)
    changed = replace(options, counts=None, axes=None)
    return from_arrays(arrays, changed, {**origin, "notes": notes})


def _channels_of(found: Spikes, others: Mapping[str, StoredArray]) -> tuple[Spikes, dict[str, Any]] | None:
    """The units of a cell array {channel, unit}, and the channel of each; None where its columns are trials.

    They are units where the names of channels are as many as its rows, or where each lasts over a minute.
    """
    columns = found.lists()
    if not found.is_matrix or len(columns) > MOST_UNITS:
        return None
    n_rows = len(columns[0])
    texts = {name: v for name, v in others.items() if v.shape == (n_rows,) and not v.is_number}
    names = next((v for name, v in texts.items() if "chan" in name.lower()), None)
    trains = [np.ravel(one.read()).astype(np.float64) for column in columns for one in column]
    spans = [float(np.ptp(one)) for one in trains if len(one) > 1]
    rates = [len(one) / max(float(np.ptp(one)), 1e-9) for one in trains if len(one) > 1]
    long = bool(spans) and np.median(spans) > LONGEST_TRIAL_S and np.median(rates) > LOWEST_RATE_HZ
    if names is None and not long:
        return None
    label = np.arange(n_rows) if names is None else _column(names.read())
    chosen = [(r, c) for r in range(n_rows) for c in range(len(columns)) if 0 not in columns[c][r].shape]
    order = "a channel a row, a unit a column; empty cells are left out"
    units = Spikes(found.name, "units", [columns[c][r] for r, c in chosen], order=order)
    return units, {"channel": [label[r] for r, _ in chosen], "unit": [c for _, c in chosen]}


def _of_units(
    found: Spikes,
    others: Mapping[str, StoredArray],
    options: LoadOptions,
    origin: Mapping[str, Any],
    notes: list[str],
    more: Mapping[str, Any] = MappingProxyType({}),
) -> SpikeData:
    """Spike times of each unit on one clock."""
    trains = [np.asarray(one.read(), dtype=np.float64).ravel() for one in found.arrays()]
    pooled = np.concatenate([np.zeros(0), *trains])
    factor = _factor(pooled, found.name, len(trains), float(np.ptp(pooled)) if len(pooled) else 0.0, others, notes)
    columns, _ = row_columns(found.fields, len(trains), notes)
    own = {**columns, **more}
    return _session([train * factor for train in trains], own, factor, others, options, origin, notes)


def _session(
    trains: list[np.ndarray],
    columns: Mapping[str, Any],
    factor: float,
    others: Mapping[str, StoredArray],
    options: LoadOptions,
    origin: Mapping[str, Any],
    notes: list[str],
) -> SpikeData:
    """Spike times of each neuron in seconds, with the trials and the columns of neurons that are beside them."""
    trials = None
    if options.trials is None:
        trials = _on_clock_of(trains, _trial_table(others, notes, options.align), factor, options.align, notes)
    alone = trials is None or len(trials) != len(trains)
    neurons = pd.DataFrame({**_neuron_columns(others, len(trains), alone), **columns}, index=range(len(trains)))
    kept = np.ones(len(trains), dtype=bool) if options.quality is None else quality_mask(neurons, options.quality)
    chosen = [train for train, keep in zip(trains, kept) if keep]
    return bin_session(Session(chosen, rows_of(neurons, kept), trials, provenance=dict(origin), notes=notes), options)


def _on_clock_of(
    trains: list[np.ndarray], trials: pd.DataFrame | None, factor: float, align: str | None, notes: list[str]
) -> pd.DataFrame | None:
    """Trials in seconds: from the unit that spike times had, unless more spikes are among them as they are."""
    times = [name for name in ("start_time", "stop_time", align) if trials is not None and name in trials]
    if trials is None or factor == 1.0 or not times:
        return trials
    ends = trials[times].to_numpy(dtype=float)
    pooled = np.concatenate([np.zeros(0), *trains])
    inside = [((pooled >= np.nanmin(ends) * k) & (pooled <= np.nanmax(ends) * k)).sum() for k in (1.0, factor)]
    if inside[1] < inside[0]:
        return trials
    notes.append(f"{', '.join(map(str, times))} of trials are in the unit of the spike times, {factor:.6g} s")
    return trials.assign(**{str(name): trials[name].to_numpy(dtype=float) * factor for name in times})


def _of_trials(
    found: Spikes, others: Mapping[str, StoredArray], options: LoadOptions, origin: Mapping[str, Any], notes: list[str]
) -> SpikeData:
    """Spike times of each unit in each trial."""
    times = [[np.asarray(one.read(), dtype=np.float64).ravel() for one in trial] for trial in found.lists()]
    n_trials, n_neurons = len(times), len(times[0])
    pooled = [np.concatenate([np.zeros(0), *trial]) for trial in times]
    everything = np.concatenate(pooled)
    duration = float(np.median([np.ptp(one) for one in pooled if len(one)] or [0.0]))
    factor = _factor(everything, found.name, n_trials * n_neurons, duration, others, notes, by_trial=True)
    columns, _ = row_columns(found.fields, n_trials, notes)
    own = {name: stored.read() for name, stored in others.items() if stored.shape == (n_trials,)}
    trials = with_usual_names(pd.DataFrame({**_last_names(own, n_neurons), **columns}, index=range(n_trials)))
    of_units, _ = row_columns(found.unit_fields, n_neurons, notes)
    neurons = pd.DataFrame({**of_units, **_neuron_columns(others, n_neurons)}, index=range(n_neurons))
    kept = np.ones(n_neurons, dtype=bool) if options.quality is None else quality_mask(neurons, options.quality)
    scaled = [[one * factor for one, keep in zip(trial, kept) if keep] for trial in times]
    start, stop, clock = _clocks(scaled, trials, factor, notes)
    if start is not None and clock is not None and start.any():  # on one clock: from there to that of each trial
        scaled = [[one - begin for one in trial] for trial, begin in zip(scaled, start)]
        stop = None if stop is None else stop - start
        start = np.zeros(n_trials)
    event = None
    if options.align is not None and clock is not None and stop is not None and options.align in trials:
        event = _since_start(pd.Series(trials[options.align]), clock, stop, factor)
    spikes = TrialwiseSpikes(scaled, rows_of(neurons, kept), trials, start, stop, clock, event, dict(origin), notes)
    return bin_trialwise(spikes, options)


def _clocks(
    times: Sequence[Sequence[np.ndarray]], trials: pd.DataFrame, factor: float, notes: list[str]
) -> tuple[np.ndarray | None, np.ndarray | None, np.ndarray | None]:
    """Start and stop of each trial on the clock of its spikes, and when its clock began, as far as they are known."""
    pooled = [np.concatenate([np.zeros(0), *trial]) for trial in times]
    if {"start_time", "stop_time"} <= set(trials):
        given = [trials[name].to_numpy(dtype=float) for name in ("start_time", "stop_time")]
        for scale in dict.fromkeys((factor, 1.0)):
            start, stop = given[0] * scale, given[1] * scale
            if _inside(pooled, start, stop):
                return start, stop, start
            if _inside(pooled, np.zeros(len(start)), stop - start):
                notes.append("spike times are counted from the start of each trial")
                return np.zeros(len(start)), stop - start, start
        notes.append("most spikes are outside of the starts and stops of their trials, which are kept as columns only")
    first = np.array([one.min() if len(one) else np.nan for one in pooled])
    last = np.array([one.max() if len(one) else np.nan for one in pooled])
    fired = np.isfinite(first)
    if fired.sum() < 2 or begin_anew(first[fired], last[fired]):
        notes.append("spike times are counted from the start of each trial, as they begin anew in each")
        return None, None, None
    notes.append(
        "spike times of trials follow each other, so they are on one clock, and a trial lasts from its first to its "
        "last spike"
    )
    return first, np.nextafter(last, np.inf) + 1e-6, first


def _since_start(event: pd.Series, clock: np.ndarray, length: np.ndarray, factor: float) -> np.ndarray | None:
    """An event of each trial since its start: as it is, or on the clock of the recording; None where it is neither."""
    if not pd.api.types.is_numeric_dtype(event.dtype):
        return None
    for scale in dict.fromkeys((factor, 1.0)):
        for begin in (clock, np.zeros(len(clock))):
            since = event.to_numpy(dtype=float) * scale - begin
            known = np.isfinite(since)
            if known.any() and ((since >= 0) & (since <= length))[known].mean() >= MOST_EVENTS:
                return since
    return None


def _inside(pooled: Sequence[np.ndarray], start: np.ndarray, stop: np.ndarray) -> bool:
    n = sum(map(len, pooled))
    within = sum(int(((one >= a - 1e-6) & (one <= b + 1e-6)).sum()) for one, a, b in zip(pooled, start, stop))
    return n > 0 and within >= INSIDE * n


def _factor(
    times: np.ndarray,
    name: str,
    n_trains: int,
    duration: float,
    others: Mapping[str, StoredArray],
    notes: list[str],
    by_trial: bool = False,
) -> float:
    """Seconds in one unit of the spike times; samples become seconds where the file gives their rate."""
    last = name.rsplit("/", 1)[-1]
    rates = [
        k for k, v in others.items() if plain_name(k.rsplit("/", 1)[-1]) in RATES and v.shape == () and v.is_number
    ]
    if rates and len(times) and (times == np.floor(times)).all():
        rate_hz = float(others[rates[0]].read())
        if rate_hz >= 1000 and len(times) / (max(n_trains, 1) * max(duration, 1e-9)) < 0.1:
            notes.append(f"'{last}' is whole numbers, and taken as samples at '{rates[0]}' = {rate_hz:g} Hz")
            return 1.0 / rate_hz
    return in_seconds(times, last, n_trains, duration, notes, by_trial)[0]


def _unit_of_each_spike(arrays: Mapping[str, StoredArray]) -> tuple[str, str] | None:
    """Names of two vectors of one length, of spike times and of the unit of each."""
    for name, stored in arrays.items():
        parent, _, last = name.rpartition("/")
        if len(stored.shape) != 1 or plain_name(last) not in UNITS or not stored.is_number:
            continue
        for other, times in arrays.items():
            beside, _, its_last = other.rpartition("/")
            fits = beside == parent and times.shape == stored.shape and times.is_number
            stem = plain_name(its_last).removesuffix("_s").removesuffix("_ms").removesuffix("_samples")
            if fits and other != name and stem in TIMES:
                return other, name
    return None


def _of_pair(
    times: str, units: str, arrays: Mapping[str, StoredArray], options: LoadOptions, origin: Mapping[str, Any]
) -> SpikeData:
    """Spike times in one vector, and the unit of each spike in another."""
    check_supported(options, FAMILIES, f"spike times ('{times}')")
    refuse_intervals(options, "a MATLAB file")
    notes = [f"spike times are in '{times}', and the unit of each in '{units}'"]
    values = np.asarray(arrays[times].read(), dtype=np.float64)
    ids, trains = trains_of(arrays[units].read().astype(np.int64), values)
    others = {name: stored for name, stored in arrays.items() if name not in (times, units)}
    factor = _factor(values, times, len(ids), float(np.ptp(values)) if len(values) else 0.0, others, notes)
    return _session([train * factor for train in trains], {"id": ids}, factor, others, options, origin, notes)


def _neuron_columns(others: Mapping[str, StoredArray], n: int, alone: bool = False) -> dict[str, Any]:
    """Arrays of one value for each neuron: by the words in their names, or all, where nothing else is as many."""
    named = {k: v for k, v in others.items() if v.shape == (n,)}
    if not alone:
        named = {k: v for k, v in named.items() if any(word in k.lower() for word in NEURON_WORDS)}
    return {name.rsplit("/", 1)[-1]: _column(stored.read()) for name, stored in named.items()}


def _last_names(columns: Mapping[str, np.ndarray], n_neurons: int) -> dict[str, Any]:
    """Columns of trials by the last part of their names, without those of neurons where these are as many."""
    kept = {
        name: values
        for name, values in columns.items()
        if len(values) != n_neurons or not any(word in name.lower() for word in NEURON_WORDS)
    }
    return {name.rsplit("/", 1)[-1]: _column(values) for name, values in kept.items()}


def _column(values: np.ndarray) -> np.ndarray:
    return values.astype(object) if values.dtype.kind in "US" else values


def _trial_table(others: Mapping[str, StoredArray], notes: list[str], align: str | None) -> pd.DataFrame | None:
    """Trials of a session: vectors of one length, among them starts and stops, or a (trial, 2) array of both.

    Without these, a vector of the times of the event to align to is enough.
    """
    for name, stored in others.items():
        if len(stored.shape) == 2 and stored.shape[1] == 2 and stored.is_number and "trial" in name.lower():
            table = pd.DataFrame(stored.read().astype(float), columns=["start_time", "stop_time"])
            break
    else:
        vectors = {n: v for n, v in others.items() if len(v.shape) == 1 and v.is_number}
        starts = [n for n in vectors if plain_name(n.rsplit("/", 1)[-1]) in START]
        events = [n for n in vectors if align in (n, n.rsplit("/", 1)[-1], n.replace("/", "."))]
        starts = events if events and not any(vectors[n].shape == vectors[events[0]].shape for n in starts) else starts
        if not starts:
            return None
        size, parent = others[starts[0]].shape, starts[0].rpartition("/")[0]
        own = {n: v.read() for n, v in others.items() if v.shape == size and n.rpartition("/")[0] == parent}
        table = with_usual_names(pd.DataFrame({n.rsplit("/", 1)[-1]: _column(v) for n, v in own.items()}))
        name = starts[0]
        if "stop_time" not in table and not events:
            return None
        if align is not None and align not in table and events:
            table = table.rename(columns={events[0].rsplit("/", 1)[-1]: align})
    more = {n: v.read() for n, v in others.items() if v.shape == (len(table),)}
    extra = {n.rsplit("/", 1)[-1]: _column(v) for n, v in more.items() if not any(w in n.lower() for w in NEURON_WORDS)}
    notes.append(f"trials are those of '{name}'")
    return table.assign(**{n: v for n, v in extra.items() if n not in table and plain_name(n) not in (*START, *STOP)})
