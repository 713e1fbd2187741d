"""Long tables: one row for each spike, with the unit that fired it and its time."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from spikeloom.data.binning import EDGE
from spikeloom.data.formats.naming.neuron_columns import NEURON
from spikeloom.data.formats.naming.spike_labels import BLOCKS, check_one_recording, of_units
from spikeloom.data.formats.naming.trial_labels import TRIALS, between_trials
from spikeloom.data.options import EventOptions, LoadOptions, SeriesOptions, SessionOptions, check_supported
from spikeloom.data.plausibility import CHANCE_SPIKES
from spikeloom.data.session.clocks import SAMPLES, in_seconds, plain_name, without_unit
from spikeloom.data.session.cutting import DEFAULT_BIN_S, bin_session
from spikeloom.data.session.durations import stated_lengths
from spikeloom.data.session.session import Session
from spikeloom.data.session.sorting import quality_mask, trains_of
from spikeloom.data.session.spans import rows_of
from spikeloom.data.session.strays import duration
from spikeloom.data.session.trial_files import read_trials, trials_by_label
from spikeloom.data.session.trial_table import with_usual_names
from spikeloom.data.session.trialwise import TrialwiseSpikes, begin_anew, bin_trialwise
from spikeloom.data.spikedata import SpikeData
from spikeloom.data.tables import Column, Table
from spikeloom.errors import DataError

FAMILIES = (EventOptions, SessionOptions, SeriesOptions)
"""Families of options that tables of spikes understand."""
UNITS = ("unit_id", "unit", "units", "neuron_id", "neuron", "neurons", "cell_id", "cell", "cluster_id", "cluster")
UNITS = (*UNITS, "clu", "spike_clusters", "spike_cluster", "spike_unit", "unit_number", "unit_index", "neuron_index")
UNITS = (*UNITS, "unit_name", "neuron_name", "sender", "senders", "gid", "spike_units", "spike_unit_id", "spike_neuron")
_WHAT, _NUMBER = (
    ("unit", "neuron", "cell", "cluster", "nrn"),
    ("number", "num", "no", "nr", "index", "idx", "label", "name"),
)
UNITS = (*UNITS, *(f"{what}_{number}" for what in _WHAT for number in _NUMBER))
SORTS = ("sort", "sorts", "sort_code", "sort_codes", "sortcode", "sortcodes", "sort_id", "unit_code")
"""Names of the unit within a channel, of TDT and others."""
UNITS = (*UNITS, *SORTS)
LABELS = ("event", "events", "event_type", "event_name", "label", "name", "type", "marker", "source")
"""Names that may stand for units where most of their labels are those of neurons."""
CHANNELS = ("channel_id", "channel", "electrode_id", "electrode", "id", "index", "ch", "chan", "chan_id")
"""Names that may stand for units, where there is no better one and they repeat from row to row."""
TIMES = ("time", "times", "t", "spike_time", "spike_times", "spiketime", "spiketimes", "timestamp", "timestamps", "ts")
TIMES = (
    *TIMES,
    "time_stamp",
    "time_stamps",
    "spike_timestamp",
    "spike_timestamps",
    "spike_t",
    "st",
    "spike",
    "spikes",
    "",
)
_IN_TRIAL = re.compile(
    r"(spike_?)?(times?|timestamps?|t|ts|st)_(from|rel|relative|relative_to|in|within|to|aligned|re)(_[a-z_]+)?"
    r"|(rel|relative|aligned|within_trial|peri_?event|peri_?stimulus|peri_?stim)_(spike_?)?(times?|timestamps?|t)"
)
ENDS = ("start_time", "stop_time")
BINS = ("bin", "bins", "bin_index", "bin_number", "bin_id", "bin_idx", "time_bin", "time_bins", "bin_start", "bin_time")
BINS = (*BINS, "time_index", "time_idx", "t_bin", "bin_center", "bin_centre", "bin_left")
"""Names of the bin of each count: its number, or when it is."""
KEY, TRIAL_KEY = "neuron (numbered)", "trial (numbered)"
"""Columns for units and trials that need two columns to be told apart."""
COUNTS = ("count", "counts", "n_spikes", "spike_count", "spike_counts", "num_spikes")
"""Columns by which a row is a bin, not a spike."""


GROUPS = (
    "electrodes",
    "channels",
    "tetrode",
    "tetrode_id",
    "probe",
    "probe_id",
    "shank",
    "shank_id",
    "array",
    "region",
    "area",
    "brain_area",
)
GROUPS = (*GROUPS, "electrode", "electrode_id", "channel", "channel_id", "ch", "chan", "chan_id", "wire")
GROUPS = (*GROUPS, "electrode_index", "electrode_indices", "channel_index", "channel_indices")
"""Columns within which units may be numbered anew."""


@dataclass(frozen=True)
class Columns:
    """The columns of a long table that hold the unit, the time and, if any, the trial of a spike."""

    unit: str
    time: str
    trial: str | None


def columns_of(table: Table) -> Columns | None:
    """The columns that make it a table of spikes, or None where it is none.

    Example:
        >>> columns_of(pd.DataFrame({"Unit ID": [1], "Spike Time (ms)": [3.5]}))
        Columns(unit='Unit ID', time='Spike Time (ms)', trial=None)
        >>> columns_of(pd.DataFrame({"time": [0.0, 0.1], "unit_1": [0, 1], "unit_2": [0, 0]}))
    """
    plain = {plain_name(name): str(name) for name in reversed(list(table))}
    unit = next((plain[name] for name in UNITS if name in plain), None)
    if unit is None:
        weak = [plain[name] for name in CHANNELS if name in plain]
        unit = next((name for name in weak if table[name].duplicated().any()), None)
    if unit is None:
        unit = next((plain[name] for name in LABELS if name in plain and _names_neurons(table[plain[name]])), None)
    trial = trial_column(table)
    time = time_column(table) or (None if trial is None else _time_in_trial(table))
    if unit is None or time is None or unit == time:
        return None
    return Columns(unit, time, trial)


def columns_of_bins(table: Table) -> Columns | None:
    """The columns that make it a table of the counts of each unit in each numbered bin, or None where it is none.

    Example:
        >>> columns_of_bins(pd.DataFrame({"trial": [0], "bin": [3], "neuron": [1], "count": [2]}))
        Columns(unit='neuron', time='bin', trial='trial')
    """
    plain = {plain_name(name): str(name) for name in reversed(list(table))}
    unit, bins = (next((plain[name] for name in names if name in plain), None) for names in (UNITS, BINS))
    stems = {without_unit(name)[0]: str(name) for name in table}
    bins = bins or next((stems[name] for name in BINS if name in stems), None)
    if unit is None or bins is None or not set(COUNTS) & set(plain):
        return None
    return Columns(unit, bins, trial_column(table))


def _names_neurons(column: Column) -> bool:
    """Whether most labels of a column of text are names of neurons."""
    if column.dtype.kind in "buifM":
        return False
    labels = [plain_name(label) for label in column.dropna().unique().tolist()]
    return len(labels) > 1 and sum(NEURON.fullmatch(label) is not None for label in labels) > len(labels) / 2


def time_column(table: Table) -> str | None:
    """The column of times; one whose name says seconds or milliseconds rather than samples."""
    found = []
    for name in table:
        stem, unit = without_unit(name)
        if stem in TIMES and (stem or unit):
            found.append((unit in SAMPLES, not unit, TIMES.index(stem), str(name)))
    return min(found)[-1] if found else None


def _time_in_trial(table: Table) -> str | None:
    """The only column whose name says that times are counted from something in a trial ("time_from_stim")."""
    named = [str(name) for name in table if _IN_TRIAL.fullmatch(without_unit(name)[0])]
    return named[0] if len(named) == 1 else None


def trial_column(table: Table) -> str | None:
    """The column with the trial of each row."""
    plain = {plain_name(name): str(name) for name in reversed(list(table))}
    return next((plain[name] for name in TRIALS if name in plain), None)


def read_spike_table(
    table: Table, columns: Columns, options: LoadOptions, origin: Mapping[str, Any], notes: Sequence[str] = ()
) -> SpikeData:
    """The recording of a long table, cut and binned as options say.

    Other columns become columns of the neurons where they are the same in all rows of a unit, and of the trials where
    they are the same in all rows of a trial. Times that begin anew with every trial are counted from its start;
    otherwise they are on one clock, and a trial lasts from its first to its last spike.

    Args:
        table: The table.
        columns: Its unit, time and trial.
        options: How to cut and bin it, and what to keep.
        origin: Start of the provenance.
        notes: What was guessed so far.

    Raises:
        DataError: If times are no numbers or their unit is open, or as ``cutting.cut``.
    """
    check_supported(options, FAMILIES, "a table of spikes")
    refuse_intervals(options, "a table of spikes")
    notes = list(notes)
    used = [name for name in (columns.unit, columns.time, columns.trial) if name is not None]
    notes.append(f"each row is a spike: {', '.join(used[:2])}" + (f" in {columns.trial}" if columns.trial else ""))
    times = _numbers(table[columns.time], columns.time)
    complete = np.isfinite(times) & table[used].notna().all(axis=1).to_numpy()
    if not complete.all():
        row = int(np.flatnonzero(~complete)[0])
        notes.append(
            f"{(~complete).sum()} of {len(table)} rows were left out, as {' or '.join(used)} is missing (first in row "
            f"{row})"
        )
        table, times = table[complete].reset_index(drop=True), times[complete]
    if not len(times):
        raise DataError(f"no row has both {' and '.join(used)}; check the table.")
    of_unit, more = of_units(_labels(table[columns.unit]))
    in_trial, between = (of_unit, []) if columns.trial is None else _in_trials(table, columns, times)
    notes += [*more, *between]
    if not (of_unit & in_trial).all():
        table, times = table[of_unit & in_trial].reset_index(drop=True), times[of_unit & in_trial]
    table, columns = _with_whole_keys(table, columns, notes)
    used = [name for name in (columns.unit, columns.time, columns.trial) if name is not None]
    units, trials = _labels(table[columns.unit]), None if columns.trial is None else _labels(table[columns.trial])
    labels = {str(name): table[name].to_numpy() for name in table if str(name) not in used}
    check_one_recording(labels, times, one_clock=trials is None or not _begin_anew(times, trials))
    ids = np.unique(units)
    extra = [str(name) for name in table if str(name) not in used]
    neurons = _constant(table, units, extra, "id", ids)
    extra = [name for name in extra if name not in neurons]
    by_trial = pd.DataFrame() if trials is None else _constant(table, trials, extra, "trial", np.unique(trials))
    varying = [name for name in extra if name not in by_trial]
    by_trial = with_usual_names(by_trial)
    if varying:
        notes.append(f"columns left out, as they differ from spike to spike: {', '.join(varying)}")
    kept = np.ones(len(ids), dtype=bool) if options.quality is None else quality_mask(neurons, options.quality)
    neurons = rows_of(neurons, kept)
    provenance = dict(origin)
    if trials is not None and options.trials is None:
        by_trial = _with_silent_trials(by_trial, len(times), _begin_anew(times, trials), notes)
    if trials is None or not _begin_anew(times, trials):
        factor, _ = in_seconds(times, columns.time, len(ids), duration(times), notes)
        trains = [train for train, keep in zip(trains_of(units, times * factor)[1], kept) if keep]
        rows = None
        if trials is not None and options.trials is None:
            rows = _spans_of_trials(by_trial, times, factor, trials, options.bin_s or DEFAULT_BIN_S)
            begins = "start" if _starts_alone(by_trial) else "first"
            ends = "its start to its stop" if set(ENDS) <= set(by_trial) else f"its {begins} to its last spike"
            notes.append(f"'{columns.time}' is on one clock, and a trial lasts from {ends}")
        return bin_session(Session(trains, neurons, rows, provenance=provenance, notes=notes), options)
    if options.trials is not None:
        by_trial = trials_by_label(read_trials(options.trials, notes), by_trial, str(columns.trial), notes)
    n_trials, longest = len(by_trial), float(times.max() - min(times.min(), 0.0))
    factor, _ = in_seconds(times, columns.time, len(ids) * n_trials, longest, notes, by_trial=True)
    notes.append(f"'{columns.time}' is counted from the start of each trial ('{columns.trial}')")
    by_unit = _by_trial_and_unit(units, times * factor, trials, ids[kept], by_trial["trial"].to_numpy())
    if set(ENDS) <= set(by_trial):
        start, stop = (by_trial[name].to_numpy(dtype=float) for name in ENDS)
        lengths = stop - start
    else:
        start = None
        lengths = stated_lengths(by_trial, [np.concatenate(trial) for trial in by_unit], factor, notes)
    spikes = TrialwiseSpikes(
        times=by_unit,
        neurons=neurons,
        trials=by_trial,
        start_s=None if lengths is None else np.zeros(n_trials),
        stop_s=lengths,
        clock_s=start,
        provenance=provenance,
        notes=notes,
        has_table=options.trials is not None,
    )
    return bin_trialwise(spikes, options)


def refuse_intervals(options: LoadOptions, source: str) -> None:
    """Raise a DataError where an interval table is asked for, which only NWB files have."""
    if options.intervals is not None:
        raise DataError(f"intervals is '{options.intervals}', but {source} has no interval tables; use trials=<file>.")


def _numbers(column: Column, name: str) -> np.ndarray:
    values: Column = pd.to_numeric(column, errors="coerce")
    bad = np.flatnonzero((values.isna() & column.notna()).to_numpy())
    if len(bad) or not pd.api.types.is_numeric_dtype(values.dtype):
        found = column.iloc[int(bad[0]) if len(bad) else 0]
        raise DataError(
            f"'{name}' holds '{found}' in row {bad[0] if len(bad) else 0}, but times are numbers; correct it."
        )
    return values.to_numpy(dtype=np.float64, na_value=np.nan)


def _labels(column: Column) -> np.ndarray:
    """Numbers of units or trials as integers where they are whole, as a missing one makes them floats; text as text."""
    values = column.to_numpy()
    if pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype):
        values = column.to_numpy(dtype=np.float64) if values.dtype == object else values
        return values.astype(np.int64) if values.dtype.kind in "iuf" and (values == np.floor(values)).all() else values
    return np.array([str(value).strip() for value in values])


def _constant(table: Table, groups: np.ndarray, names: Sequence[str], key: str, labels: np.ndarray) -> pd.DataFrame:
    """The columns that are the same in all rows of a group, one row a group; a missing value says nothing."""
    found: dict[str, Any] = {key: labels}
    grouped = table[list(names)].groupby(groups, sort=True)
    for name in names:
        if int(grouped[name].nunique().max()) <= 1 and name != key:
            found[name] = grouped[name].first().to_numpy()
    return pd.DataFrame(found)


def _begin_anew(times: np.ndarray, trials: np.ndarray) -> bool:
    by_trial: Table = pd.Series(times).groupby(trials)
    return begin_anew(by_trial.min().to_numpy(), by_trial.max().to_numpy())


def _spans_of_trials(table: Table, times: np.ndarray, factor: float, trials: np.ndarray, bin_s: float) -> pd.DataFrame:
    """The trials of spikes on one clock, as the table says; else from the start, or first spike, to the last of each.

    Without a stop, a trial lasts to the end of the bin with its last spike, but not into the next one, in which that
    spike would be counted again.
    """
    by_trial: Table = pd.Series(times * factor).groupby(trials, sort=True)
    first, last = by_trial.min().to_numpy(), by_trial.max().to_numpy()
    if set(ENDS) <= set(table):
        start, stop = (table[name].to_numpy(dtype=float) for name in ENDS)
        inside = [((start * k <= first + EDGE) & (last <= stop * k + EDGE)).sum() for k in (1.0, factor)]
        k = factor if inside[1] > inside[0] else 1.0
        return table.assign(start_time=start * k, stop_time=stop * k)
    if _starts_alone(table):
        start = table["start_time"].to_numpy(dtype=float)
        known = [np.isfinite(start) & (start * k <= first + EDGE) for k in (1.0, factor)]
        k = factor if known[1].sum() > known[0].sum() else 1.0
        first = np.where(start * k <= first + EDGE, start * k, first)
    stop = first + (np.floor((last - first) / bin_s + EDGE) + 1) * bin_s
    order = np.argsort(first, kind="stable")
    stop[order[:-1]] = np.minimum(stop[order[:-1]], first[order[1:]])
    return table.assign(start_time=first, stop_time=stop)


def _starts_alone(table: pd.DataFrame) -> bool:
    """Whether it says when each trial starts, in numbers, but not when it stops."""
    return (
        "start_time" in table and "stop_time" not in table and pd.api.types.is_numeric_dtype(table["start_time"].dtype)
    )


def _in_trials(table: Table, columns: Columns, times: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Which spikes lie in a trial, and a note on those between trials, by the label that these have."""
    order = np.argsort(times, kind="stable")
    trials = _labels(table[columns.trial])
    inside = np.ones(len(times), dtype=bool)
    # In the order of one clock, a label of the time between trials comes back after each of them.
    named = trials != 0 if trials.dtype.kind in "iuf" else np.ones(len(trials), dtype=bool)
    in_order = bool(named.any()) and not _begin_anew(times[named], trials[named])
    between, note = between_trials(trials[order], str(columns.trial), "spikes", in_order)
    inside[order] = ~between
    return inside, note


def _with_silent_trials(table: pd.DataFrame, n_spikes: int, anew: bool, notes: list[str]) -> pd.DataFrame:
    """The trials with those that no row is of, by the gaps in their numbers, where silence may be chance.

    Args:
        table: The trials that have a spike.
        n_spikes: How many spikes there are.
        anew: Whether times begin anew with every trial: else nothing says when a trial without a spike was.
        notes: Gets a note about trials that are missing.
    """
    labels = table["trial"].to_numpy()
    if labels.dtype.kind not in "iu":
        return table
    missing = (
        np.setdiff1d(np.arange(labels.min(), labels.max() + 1), labels) if np.ptp(labels) < 2 * len(labels) else ()
    )
    if not len(missing):
        return table
    some = ", ".join(map(str, missing[:5])) + (", ..." if len(missing) > 5 else "")
    if anew and n_spikes / len(labels) < CHANCE_SPIKES:
        notes.append(
            f"{len(missing)} of {len(labels) + len(missing)} trials ({some}) have no row, and are taken for trials "
            "without a spike; give the table of trials with trials if it is not so"
        )
        return table.set_index("trial").reindex(np.sort(np.r_[labels, missing])).rename_axis("trial").reset_index()
    notes.append(
        f"no row is of trial {some}: whether it was left out or had no spike is not known, and it is not among the "
        f"{len(labels)} trials; give the table of trials with trials if it was recorded"
    )
    return table


def _with_whole_keys(table: Table, columns: Columns, notes: list[str]) -> tuple[Table, Columns]:
    """The table with a column of its own for units, or trials, that are numbered anew in each group of another column.

    They are where the lowest number comes in every group: a unit of many channels is hardly on all of them.
    """
    plain = {plain_name(name): str(name) for name in reversed(list(table))}
    unit, trial = columns.unit, columns.trial
    groups = [plain[name] for name in GROUPS if name in plain and plain[name] not in (unit, trial)]
    within = plain_name(unit) in SORTS
    group = next((name for name in groups if within or _numbered_anew(table, name, unit)), None)
    if group is not None:
        notes.append(f"'{group}' and '{unit}' together name a neuron, as units are numbered anew in each '{group}'")
        table = table.assign(**{KEY: table.groupby([group, unit]).ngroup()})
        columns = replace(columns, unit=KEY)
    blocks = [] if trial is None else [plain[name] for name in BLOCKS if name in plain and plain[name] != unit]
    block = next((name for name in blocks if trial is not None and _numbered_anew(table, name, trial)), None)
    if block is not None:
        notes.append(f"'{block}' and '{trial}' together name a trial, as trials are numbered anew in each '{block}'")
        table = table.assign(**{TRIAL_KEY: table.groupby([block, trial]).ngroup()})
        columns = replace(columns, trial=TRIAL_KEY)
    return table, columns


def _numbered_anew(table: Table, group: str, name: str) -> bool:
    return are_numbered_anew(table[group].to_numpy(), table[name].to_numpy())


def are_numbered_anew(groups: np.ndarray, numbers: np.ndarray) -> bool:
    """Whether numbers begin anew in each of several groups: from the same one, or from 0 in some and from 1 in others.

    Some electrodes have unsorted spikes, of unit 0, and others have none.

    Args:
        groups: Group of each spike.
        numbers: Number of its unit, or trial.

    Example:
        >>> are_numbered_anew(np.array([1, 1, 2, 2]), np.array([0, 1, 1, 2]))
        True
        >>> are_numbered_anew(np.array([1, 1, 2, 2]), np.array([0, 1, 2, 3]))
        False
    """
    table: Table = pd.DataFrame({"group": groups, "number": numbers})
    lowest = table.groupby("group")["number"].min().to_numpy()
    if len(lowest) < 2 or len(pd.unique(lowest)) == 1:
        return len(lowest) > 1
    from_0_or_1 = lowest.dtype.kind in "iuf" and bool(np.isin(lowest, [0, 1]).all())
    return from_0_or_1 and int(table.groupby("number")["group"].nunique().to_numpy().max()) > 1


def _by_trial_and_unit(
    units: np.ndarray, times: np.ndarray, trials: np.ndarray, ids: np.ndarray, labels: np.ndarray
) -> list[list[np.ndarray]]:
    """Spike times of every unit in each of the trials; some may be without a spike."""
    result = []
    rows_of_trial = dict(zip(*(part if isinstance(part, list) else part.tolist() for part in trains_of(
        trials, np.arange(len(trials)))), strict=True))  # fmt: skip
    for label in labels.tolist():
        at = rows_of_trial.get(label, np.zeros(0)).astype(np.int64)
        found, trains = trains_of(units[at], times[at])
        by_unit = dict(zip(found.tolist(), trains))
        result.append([by_unit.get(unit, np.zeros(0)) for unit in ids.tolist()])
    return result
