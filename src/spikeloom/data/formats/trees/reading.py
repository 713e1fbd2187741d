"""Named arrays, structures of trials or units, and cells of spike times as recordings: MATLAB, HDF5 and npz files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from spikeloom.data.formats.arrays.array_file import AXES
from spikeloom.data.formats.arrays.reading import from_arrays
from spikeloom.data.formats.naming.array_names import COUNTS, last_part
from spikeloom.data.formats.storage.containers import StoredArray
from spikeloom.data.formats.structures.padded_times import padded_times_in
from spikeloom.data.formats.structures.spikes import Spikes, spikes_in
from spikeloom.data.formats.structures.trial_of_spikes import by_trial
from spikeloom.data.formats.structures.trials import NEURON_WORDS, counts_by_trial, row_columns
from spikeloom.data.formats.structures.unit_sessions import (
    column,
    neuron_columns,
    says_trials,
    seconds_of,
    session_of_units,
)
from spikeloom.data.formats.structures.values import Struct, Value, arrays_of
from spikeloom.data.formats.tables.spike_tables import FAMILIES, refuse_intervals
from spikeloom.data.formats.trees.found_lists import spike_list_in
from spikeloom.data.formats.trees.several_lists import of_one_list
from spikeloom.data.formats.trees.spike_lists import read_spike_list, vectors_of_units
from spikeloom.data.json_columns import with_entries
from spikeloom.data.options import LoadOptions, check_supported, split_axes
from spikeloom.data.session.clocks import FACTORS, without_unit
from spikeloom.data.session.durations import INSIDE, are_inside, is_duration, stated_lengths
from spikeloom.data.session.sorting import quality_mask
from spikeloom.data.session.spans import rows_of
from spikeloom.data.session.strays import duration
from spikeloom.data.session.trial_files import read_trials, trials_in_order
from spikeloom.data.session.trial_table import with_usual_names
from spikeloom.data.session.trialwise import TrialwiseSpikes, begin_anew, bin_trialwise
from spikeloom.data.spikedata import SpikeData
from spikeloom.data.steps import with_all_options
from spikeloom.errors import DataError

MOST_UNITS = 8
"""Most units of one channel, as columns of a cell array."""
LONGEST_TRIAL_S = 60.0
"""Spikes over a longer time are of a session, in a cell array whose columns may be units or trials."""
LOWEST_RATE_HZ = 0.05
"""A lower one over a longer time is that of milliseconds."""
SURELY_NEURONS = 4.0
"""Times that rates of neurons vary more than those of trials, and than chance, where they tell the axes of cells."""
MOST_EVENTS = 0.5
"""Share of the events that lie in their trials, where they are on one clock with these."""


def read_tree(
    variables: Mapping[str, Value], options: LoadOptions, origin: Mapping[str, Any], plain_first: bool = True
) -> SpikeData:
    """The recording of named arrays, structures and cells.

    It holds an array of counts, see ``arrays.reading``; a structure of trials with counts or with cells of spike times
    ("trial(i).spikes"); a structure of units with spike times ("unit(i).times"); cells of spike times, "{neuron}",
    "{neuron, trial}" or "{trial}{neuron}"; a list of spikes with the unit of each, or a vector of spike times for each
    unit, see ``spike_lists``. The other fields become columns of the trials or neurons, or signals. How axes and units
    of time were understood is noted.

    Args:
        variables: What the file holds.
        options: How to cut and bin it, and what to keep; ``counts`` names the variable, such as "trial.spikes".
        origin: Start of the provenance.
        plain_first: Whether an array that seems to hold counts is taken before all else.

    Raises:
        DataError: If there are no spikes; lists what there is.
    """
    arrays = arrays_of(variables)
    padded, arrays = padded_times_in(arrays, options.counts)
    arrays, is_chosen = of_one_list(arrays, options.counts)
    if is_chosen:
        data = read_tree(dict(arrays), replace(options, counts=None), origin, plain_first=False)
        return with_all_options(data, options)
    listed = spike_list_in(arrays) if options.counts is None and padded is None else None
    if listed is not None and (listed.factor is not None or not plain_first):
        return read_spike_list(listed, arrays, options, origin)
    plain = [name for name, stored in arrays.items() if _is_counts(name, stored)] if plain_first else []
    if padded is not None:
        return _of_times(padded, variables, arrays, options, origin)
    if options.counts in arrays or (options.counts is None and plain):
        return from_arrays(arrays, options, origin)
    found = spikes_in(variables, options.counts)
    if found is None and listed is not None:
        return read_spike_list(listed, arrays, options, origin)
    if found is None and options.counts is None:
        found = vectors_of_units(arrays)
    if found is None:
        if len(arrays) == len(variables) or not plain_first:
            return from_arrays(arrays, options, origin)
        shown = "; ".join(f"{name} {value}" for name, value in variables.items())
        what = "there are no spikes" if options.counts is None else f"there are no spikes in '{options.counts}'"
        raise DataError(
            f"{what} in the file, as an array of counts, a struct of trials or units, or a cell of spike times; it "
            f"holds: {shown}."
        )
    if found.form == "counts":
        return _of_counts(found, _others(found, arrays), options, origin)
    return _of_times(found, variables, arrays, options, origin)


def _others(found: Spikes, arrays: Mapping[str, StoredArray]) -> dict[str, StoredArray]:
    """The arrays of a file that the spikes were not made of."""
    return {n: s for n, s in arrays.items() if not (n in found.variables if found.variables else found.has(n))}


def _of_times(
    found: Spikes,
    variables: Mapping[str, Value],
    arrays: Mapping[str, StoredArray],
    options: LoadOptions,
    origin: Mapping[str, Any],
) -> SpikeData:
    """Spike times of units, or of units in trials, with what lies beside them."""
    others = _others(found, arrays) | _columns_of_structures(variables, found)
    asked = replace(options, counts=None, axes=None if found.is_matrix else options.axes)
    check_supported(asked, FAMILIES, f"spike times ('{found.name}')")
    refuse_intervals(options, "the file")
    channels = _channels_of(found, others)
    of_channel: Mapping[str, Any] = {}
    if channels is not None:
        found, of_channel = channels
    elif found.is_matrix:
        found = _turned(found, others, options)
    told = by_trial(found, variables, others) if found.form == "units" and channels is None else None
    if told is not None:
        found, others = told
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
        if isinstance(value, Struct) and value.size > 1 and not found.has(name):
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
                votes[(stored.shape == (n_rows,)) != of_neurons].append(last_part(name))
        rows_are_trials = len(votes[True]) > len(votes[False])
        by_rates = _rows_are_trials_by_rates(by_trial)
        if len(votes[True]) != len(votes[False]):
            why = f"as {', '.join(votes[rows_are_trials][:4])} fit{'s' * (len(votes[rows_are_trials]) == 1)}"
        elif by_rates is not None:
            rows_are_trials = by_rates
            more, fewer = ("columns", "rows") if by_rates else ("rows", "columns")
            why = f"as numbers of spikes differ between {more} far more than between {fewer}"
        else:
            why = "assumed, as nothing says otherwise; give the order with axes, such as axes=trial,time,neuron"
    if rows_are_trials:
        by_trial = [list(row) for row in zip(*by_trial)]
    order = "trials x {1} neurons" if rows_are_trials else "neurons x {1} trials"
    return replace(found, values=by_trial, order=f"{n_rows} {order.format(n_rows, n_columns)}, {why}")


def _rows_are_trials_by_rates(columns: Sequence[Sequence[StoredArray]]) -> bool | None:
    """Whether the rows of a cell array are trials, as neurons differ in their rates more than trials; None if open.

    Compared are the variances of the mean counts of rows and of columns beyond that of Poisson counts.
    """
    counts = np.array([[np.prod(one.shape) for one in column] for column in columns], dtype=float)
    if min(counts.shape) < 2 or not counts.any():
        return None
    chance = [counts.mean() / n for n in counts.shape]  # of the mean over columns, and of that over rows
    of_rows, of_columns = (counts.mean(axis).var(ddof=1) - chance[axis] for axis in (0, 1))
    more, fewer = max(of_rows, of_columns), max(min(of_rows, of_columns), 0.0)
    expected = chance[0] if of_rows > of_columns else chance[1]
    if more < SURELY_NEURONS * max(fewer, expected):
        return None
    return bool(of_columns > of_rows)


def _not_used(
    data: SpikeData,
    variables: Mapping[str, Value],
    others: Mapping[str, StoredArray],
    found: Spikes,
    options: LoadOptions,
) -> list[str]:
    """A note on what is in the file and not in the recording."""
    kept = {*data.trials, *data.neurons}
    unused = [n for n in others if last_part(n) not in kept and not says_trials(n) and not is_duration(n)]
    unused += [
        name
        for name, value in variables.items()
        if not found.has(name) and not any(n == name or n.startswith(f"{name}/") for n in others)
    ]
    return [f"not used: {', '.join(sorted(unused))}"] if unused and options.columns is None else []


def _is_counts(name: str, stored: StoredArray) -> bool:
    last = last_part(name).lower()
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
    changed = replace(options, counts=next(iter(stored)), axes=None)
    return with_all_options(from_arrays(arrays, changed, {**origin, "notes": notes}), options)


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
    label = np.arange(n_rows) if names is None else column(names.read())
    chosen = [(r, c) for r in range(n_rows) for c in range(len(columns)) if 0 not in columns[c][r].shape]
    order = "a channel a row, a unit a column; empty cells are left out"
    units = Spikes(found.name, "units", [columns[c][r] for r, c in chosen], order=order)
    return units, {"channel": [label[r] for r, _ in chosen], "unit": [c for _, c in chosen]}


def _finite(lists: Sequence[Sequence[StoredArray]], notes: list[str]) -> list[list[np.ndarray]]:
    """Spike times as they are stored, without NaN, by which users of MATLAB mark that there was no spike."""
    times = [[np.asarray(one.read(), dtype=np.float64).ravel() for one in row] for row in lists]
    missing = sum(int(np.isnan(one).sum()) for row in times for one in row)
    if missing:
        notes.append(f"{missing} spike times are NaN and were left out")
    return [[one[~np.isnan(one)] for one in row] for row in times]


def _of_units(
    found: Spikes,
    others: Mapping[str, StoredArray],
    options: LoadOptions,
    origin: Mapping[str, Any],
    notes: list[str],
    more: Mapping[str, Any] = MappingProxyType({}),
) -> SpikeData:
    """Spike times of each unit on one clock."""
    trains = _finite([found.arrays()], notes)[0]
    pooled = np.concatenate([np.zeros(0), *trains])
    factor = seconds_of(pooled, found.name, len(trains), duration(pooled), others, notes)
    columns, _ = row_columns(found.fields, len(trains), notes)
    own = {**columns, **more}
    return session_of_units([train * factor for train in trains], own, factor, others, options, origin, notes)


def _of_trials(
    found: Spikes, others: Mapping[str, StoredArray], options: LoadOptions, origin: Mapping[str, Any], notes: list[str]
) -> SpikeData:
    """Spike times of each unit in each trial."""
    times = _finite(found.lists(), notes)
    n_trials, n_neurons = len(times), len(times[0])
    pooled = [np.concatenate([np.zeros(0), *trial]) for trial in times]
    everything = np.concatenate(pooled)
    usual = float(np.median([np.ptp(one) for one in pooled if len(one)] or [0.0]))
    factor = seconds_of(everything, found.name, n_trials * n_neurons, usual, others, notes, by_trial=True)
    columns, _ = row_columns(found.fields, n_trials, notes)
    own = {name: stored.read() for name, stored in others.items() if stored.shape == (n_trials,)}
    trials = pd.DataFrame({**_last_names(own, n_neurons), **columns}, index=range(n_trials))
    trials = with_usual_names(with_entries(trials, notes))
    if options.trials is not None:
        trials = trials_in_order(read_trials(options.trials, notes), trials, notes)
    of_units, _ = row_columns(found.unit_fields, n_neurons, notes)
    neurons = pd.DataFrame({**of_units, **neuron_columns(others, n_neurons)}, index=range(n_neurons))
    kept = np.ones(n_neurons, dtype=bool) if options.quality is None else quality_mask(neurons, options.quality)
    scaled = [[one * factor for one, keep in zip(trial, kept) if keep] for trial in times]
    lengths = {name: stored.read() for name, stored in others.items() if stored.shape == () and stored.is_number}
    stated = trials.assign(**_durations(lengths, trials))
    start, stop, clock = _clocks(scaled, stated, factor, notes, INSIDE if options.trials is None else MOST_EVENTS)
    if start is not None and clock is not None and start.any():  # on one clock: from there to that of each trial
        scaled = [[one - begin for one in trial] for trial, begin in zip(scaled, start)]
        stop = None if stop is None else stop - start
        start = np.zeros(n_trials)
    event = None
    if options.align is not None and options.align in trials:
        longest = np.full(n_trials, max((one.max(initial=0.0) for trial in scaled for one in trial), default=0.0))
        zero = np.zeros(n_trials) if clock is None else clock
        event = _since_start(pd.Series(trials[options.align]), zero, longest if stop is None else stop, factor, notes)
    spikes = TrialwiseSpikes(
        scaled,
        rows_of(neurons, kept),
        trials,
        start,
        stop,
        clock,
        event,
        dict(origin),
        notes,
        has_table=options.trials is not None,
    )
    return bin_trialwise(spikes, options)


def _durations(values: Mapping[str, np.ndarray], trials: pd.DataFrame) -> dict[str, float]:
    """One number that says how long all trials last, as a column, where the trials have none."""
    if any(is_duration(name) for name in trials):
        return {}
    found = {last_part(name): float(value) for name, value in values.items()}
    return {name: value for name, value in found.items() if is_duration(name)}


def _clocks(
    times: Sequence[Sequence[np.ndarray]], trials: pd.DataFrame, factor: float, notes: list[str], inside: float
) -> tuple[np.ndarray | None, np.ndarray | None, np.ndarray | None]:
    """Start and stop of each trial on the clock of its spikes, and when its clock began, as far as they are known.

    They are those of the table if this share of the spikes is inside of them.
    """
    pooled = [np.concatenate([np.zeros(0), *trial]) for trial in times]
    if {"start_time", "stop_time"} <= set(trials):
        given = [trials[name].to_numpy(dtype=float) for name in ("start_time", "stop_time")]
        for scale in dict.fromkeys((factor, 1.0)):
            start, stop = given[0] * scale, given[1] * scale
            if are_inside(pooled, start, stop, inside):
                return start, stop, start
            if are_inside(pooled, np.zeros(len(start)), stop - start, inside):
                notes.append("spike times are counted from the start of each trial")
                return np.zeros(len(start)), stop - start, start
        notes.append("most spikes are outside of the starts and stops of their trials, which are kept as columns only")
    first = np.array([one.min() if len(one) else np.nan for one in pooled])
    last = np.array([one.max() if len(one) else np.nan for one in pooled])
    fired = np.isfinite(first)
    if fired.sum() < 2 or begin_anew(first[fired], last[fired]):
        notes.append("spike times are counted from the start of each trial, as they begin anew in each")
        lengths = stated_lengths(trials, pooled, factor, notes)
        return (None, None, None) if lengths is None else (np.zeros(len(lengths)), lengths, None)
    notes.append(
        "spike times of trials follow each other, so they are on one clock, and a trial lasts from its first to its "
        "last spike"
    )
    return first, np.nextafter(last, np.inf) + 1e-6, first


def _since_start(
    event: pd.Series, clock: np.ndarray, length: np.ndarray, factor: float, notes: list[str]
) -> np.ndarray | None:
    """An event of each trial since its start: as it is, or on the clock of the recording; None where it is neither.

    It is in the unit that its name says; else in seconds, if it then lies in its trials, or in that of the spike times.
    """
    if not pd.api.types.is_numeric_dtype(event.dtype):
        return None
    named = FACTORS.get(without_unit(event.name)[1])
    for scale in [named] if named else dict.fromkeys((1.0, factor)):
        for begin in (clock, np.zeros(len(clock))):
            since = event.to_numpy(dtype=float) * scale - begin
            known = np.isfinite(since)
            if known.any() and ((since >= 0) & (since <= length))[known].mean() >= MOST_EVENTS:
                if scale != 1.0:
                    notes.append(
                        f"'{event.name}' is taken in units of {scale:.6g} s" + ("" if named else ", as spikes")
                    )
                return since
    return None


def _last_names(columns: Mapping[str, np.ndarray], n_neurons: int) -> dict[str, Any]:
    """Columns of trials by the last part of their names, without those of neurons where these are as many."""
    kept = {
        name: values
        for name, values in columns.items()
        if len(values) != n_neurons or not any(word in name.lower() for word in NEURON_WORDS)
    }
    return {last_part(name): column(values) for name, values in kept.items()}
