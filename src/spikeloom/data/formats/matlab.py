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
from spikeloom.data.formats.containers import StoredArray
from spikeloom.data.formats.indy import is_indy, read_indy
from spikeloom.data.formats.matlab_spikes import Spikes, spikes_in
from spikeloom.data.formats.matlab_trials import NEURON_WORDS, counts_by_trial, row_columns
from spikeloom.data.formats.matlab_values import arrays_of, open_matlab
from spikeloom.data.formats.spike_tables import FAMILIES, TIMES, UNITS, refuse_intervals
from spikeloom.data.options import LoadOptions, check_supported
from spikeloom.data.session.clocks import in_seconds, plain_name
from spikeloom.data.session.cutting import bin_session
from spikeloom.data.session.session import Session
from spikeloom.data.session.sorting import quality_mask, trains_of
from spikeloom.data.session.spans import rows_of
from spikeloom.data.session.trial_table import START, STOP, with_usual_names
from spikeloom.data.session.trialwise import TrialwiseSpikes, bin_trialwise
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
        check_supported(replace(options, counts=None), FAMILIES, f"spike times ('{found.name}')")
        refuse_intervals(options, "a MATLAB file")
        notes = [f"spike times are in '{found.name}': {found.order}"]
        channels = _channels_of(found, others)
        if channels is not None:
            found, of_channel = channels
            notes = [f"spike times are in '{found.name}': {found.order}"]
            return _of_units(found, others, options, origin, notes, of_channel)
        if found.form == "units":
            return _of_units(found, others, options, origin, notes)
        return _of_trials(found, others, options, origin, notes)


def _is_counts(name: str, stored: StoredArray) -> bool:
    last = name.rsplit("/", 1)[-1].lower()
    return stored.is_number and len(stored.shape) in (2, 3) and (last in COUNTS or "spike" in last or "count" in last)


def _of_counts(
    found: Spikes, others: Mapping[str, StoredArray], options: LoadOptions, origin: Mapping[str, Any]
) -> SpikeData:
    """Counts of each trial and what belongs to it, as arrays."""
    notes: list[str] = []
    stored = counts_by_trial(found, others, options, notes)
    stored["axes"] = np.array(["trial", "time", "neuron"])
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
    neurons = pd.DataFrame({**columns, **_neuron_columns(others, len(trains)), **more}, index=range(len(trains)))
    return _session([train * factor for train in trains], neurons, others, options, origin, notes)


def _session(
    trains: list[np.ndarray],
    neurons: pd.DataFrame,
    others: Mapping[str, StoredArray],
    options: LoadOptions,
    origin: Mapping[str, Any],
    notes: list[str],
) -> SpikeData:
    kept = np.ones(len(trains), dtype=bool) if options.quality is None else quality_mask(neurons, options.quality)
    trials = _trial_table(others, notes) if options.trials is None else None
    chosen = [train for train, keep in zip(trains, kept) if keep]
    return bin_session(Session(chosen, rows_of(neurons, kept), trials, provenance=dict(origin), notes=notes), options)


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
    trials = with_usual_names(_renamed(pd.DataFrame({**_last_names(own, n_neurons), **columns}, index=range(n_trials))))
    of_units, _ = row_columns(found.unit_fields, n_neurons, notes)
    neurons = pd.DataFrame({**of_units, **_neuron_columns(others, n_neurons)}, index=range(n_neurons))
    kept = np.ones(n_neurons, dtype=bool) if options.quality is None else quality_mask(neurons, options.quality)
    scaled = [[one * factor for one, keep in zip(trial, kept) if keep] for trial in times]
    start, stop, clock = _clocks(scaled, trials, factor, notes)
    if start is not None and clock is not None and start.any():  # on one clock: from there to that of each trial
        scaled = [[one - begin for one in trial] for trial, begin in zip(scaled, start)]
        stop = None if stop is None else stop - start
        start = np.zeros(n_trials)
    spikes = TrialwiseSpikes(scaled, rows_of(neurons, kept), trials, start, stop, clock, dict(origin), notes)
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
    anew = (
        len(first) < 2 or not np.isfinite(first).any() or np.ptp(first[np.isfinite(first)]) < np.nanmedian(last - first)
    )
    if anew:
        notes.append("spike times are counted from the start of each trial, as they begin anew in each")
        return None, None, None
    notes.append(
        "spike times of trials follow each other, so they are on one clock, and a trial lasts from its first to its "
        "last spike"
    )
    return first, np.nextafter(last, np.inf) + 1e-6, first


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
    neurons = pd.DataFrame({"id": ids, **_neuron_columns(others, len(ids))})
    return _session([train * factor for train in trains], neurons, others, options, origin, notes)


def _neuron_columns(others: Mapping[str, StoredArray], n: int) -> dict[str, Any]:
    """Arrays of one value for each neuron, by the words in their names."""
    named = {k: v for k, v in others.items() if v.shape == (n,) and any(word in k.lower() for word in NEURON_WORDS)}
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


def _renamed(table: pd.DataFrame) -> pd.DataFrame:
    """The table with starts and stops by their plain names: trialStart, StopTime."""
    usual = {*START, *STOP}
    names = {name: plain_name(name) for name in table if plain_name(name) in usual and plain_name(name) not in table}
    return table.rename(columns=names)


def _trial_table(others: Mapping[str, StoredArray], notes: list[str]) -> pd.DataFrame | None:
    """Trials of a session: vectors of one length, among them starts and stops, or a (trial, 2) array of both."""
    for name, stored in others.items():
        if len(stored.shape) == 2 and stored.shape[1] == 2 and stored.is_number and "trial" in name.lower():
            table = pd.DataFrame(stored.read().astype(float), columns=["start_time", "stop_time"])
            break
    else:
        starts = [n for n, v in others.items() if plain_name(n.rsplit("/", 1)[-1]) in START and len(v.shape) == 1]
        if not starts:
            return None
        size, parent = others[starts[0]].shape, starts[0].rpartition("/")[0]
        own = {n: v.read() for n, v in others.items() if v.shape == size and n.rpartition("/")[0] == parent}
        table = with_usual_names(_renamed(pd.DataFrame({n.rsplit("/", 1)[-1]: _column(v) for n, v in own.items()})))
        name = starts[0]
        if "stop_time" not in table:
            return None
    more = {n: v.read() for n, v in others.items() if v.shape == (len(table),)}
    extra = {n.rsplit("/", 1)[-1]: _column(v) for n, v in more.items() if not any(w in n.lower() for w in NEURON_WORDS)}
    notes.append(f"trials are those of '{name}'")
    return table.assign(**{n: v for n, v in extra.items() if n not in table and plain_name(n) not in (*START, *STOP)})
