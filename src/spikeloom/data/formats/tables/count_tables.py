"""Wide tables: one row for each bin, with a column of counts for each neuron."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from spikeloom.data.formats.arrays.array_file import AXES, whole
from spikeloom.data.formats.arrays.reading import from_arrays
from spikeloom.data.formats.naming.neuron_columns import neurons_and_signals
from spikeloom.data.formats.naming.spike_labels import BLOCKS
from spikeloom.data.formats.naming.trial_labels import TRIALS, between_trials
from spikeloom.data.formats.storage.containers import StoredArray
from spikeloom.data.formats.tables.spike_tables import COUNTS, Columns, time_column
from spikeloom.data.formats.tables.turned_tables import turned
from spikeloom.data.options import LoadOptions, split_axes
from spikeloom.data.recorded_time import FROM_S
from spikeloom.data.session.clocks import FACTORS, SAMPLES, plain_name, without_unit
from spikeloom.data.spikedata import SpikeData
from spikeloom.data.steps import with_all_options
from spikeloom.data.tables import Column, Table
from spikeloom.data.validation import WIDEST_BIN_S
from spikeloom.errors import DataError

SEGMENTS = (*TRIALS, "segment", "segments", "segment_id", "epoch", "block", "sweep")
ROW_NUMBERS = ("bin", "bins", "bin_index", "bin_number", "time_bin", "row", "index", "frame", "sample", "unnamed_0")
FEWEST_BINS = 5
"""Fewer times that are the same for all units may be so by chance."""
STEADY = 0.05
"""Share of a bin by which steps of time may differ and still be bins of one width."""


def tidy_counts(table: Table, columns: Columns) -> tuple[pd.DataFrame, list[str]] | None:
    """The wide table of one with a row for each unit and bin, and a note about it; None where rows are no bins.

    Rows are bins where a column is called counts, or where every unit has one row at each of the same times, with a
    number: spikes of several units never come at the same times.

    Raises:
        DataError: If a unit has no row, or more than one, for a bin; or if its numbers are no counts.
    """
    plain = {plain_name(name): str(name) for name in table}
    bins = [name for name in (columns.trial, columns.time) if name is not None]
    count = next((plain[name] for name in COUNTS if name in plain), None)
    if count is None and _is_grid(table, [*bins, columns.unit]):
        count = _value_of_grid(table, [*bins, columns.unit])
    if count is None:
        return None
    if table.duplicated([*bins, columns.unit]).any():
        raise DataError(f"a unit has two rows for one bin; '{count}' needs one for each {', '.join(bins)}.")
    wide = table.pivot(index=bins, columns=columns.unit, values=count)
    if wide.isna().to_numpy().any():
        raise DataError(
            f"{wide.isna().to_numpy().sum()} of {wide.size} bins of units have no row with a '{count}'; write the "
            "zeros, too."
        )
    wide.columns = [name if isinstance(name, str) else f"unit_{name:g}" for name in wide.columns]
    wide = wide.reset_index()
    if time_column(wide) is None:  # the number of a bin, or a name such as "time_bin_s"
        wide = wide.rename(columns={columns.time: "_".join(["time", *filter(None, [without_unit(columns.time)[1]])])})
    return wide, [f"each row is the '{count}' of one '{columns.unit}' in one bin"]


def _is_grid(table: Table, keys: Sequence[str]) -> bool:
    """Whether each unit has one row at each of the same times, of which there are some."""
    *bins, unit = keys
    n_units, n_bins = table[unit].nunique(), len(table[bins].drop_duplicates())
    enough = n_units > 1 and n_bins >= FEWEST_BINS
    return enough and len(table) == n_units * n_bins and not table.duplicated(list(keys)).any()


def _value_of_grid(table: Table, keys: Sequence[str]) -> str | None:
    """The column of numbers of one with a row for each unit and bin; None if it has none.

    Raises:
        DataError: If there are several, or it holds no counts.
    """
    numbers = [str(n) for n in table if n not in keys and pd.api.types.is_numeric_dtype(table[n].dtype)]
    by_unit, by_bin = table.groupby(keys[-1]), table.groupby(list(keys[:-1]))
    values = [n for n in numbers if by_unit[n].nunique().max() > 1 and by_bin[n].nunique().max() > 1]
    if len(values) > 1:
        raise DataError(
            f"each row is one '{keys[-1]}' in one bin, with several numbers ({', '.join(values[:8])}); call the "
            "one that counts spikes 'count'."
        )
    for name in values:
        column = table[name].to_numpy(dtype=float)
        bad = np.flatnonzero(~(column >= 0) | (column != np.floor(column)))
        if len(bad):
            raise DataError(
                f"each row is one '{keys[-1]}' in one bin, but '{name}' holds {column[bad[0]]:g} in row {bad[0]}, and "
                "is not spike counts; give a table of spikes, or of counts."
            )
    return values[0] if values else None


def read_count_table(
    table: Table, options: LoadOptions, origin: Mapping[str, Any], notes: Sequence[str] = ()
) -> SpikeData:
    """The recording of a wide table, as ``arrays.reading.from_arrays`` reads named arrays.

    Which columns are neurons is told by ``neuron_columns``. A column of time gives the width of a bin, and its gaps end
    a piece of the recording, as a change of the trial does. Columns that stay the same in every trial become trial
    columns, other numbers signals.

    Args:
        table: The table.
        options: The width of a bin where the table has no time (``stored_bin_s``), and what to keep.
        origin: Start of the provenance.
        notes: What was guessed so far.

    Raises:
        DataError: If no column holds counts, or steps of time differ.
    """
    if options.axes is not None and len(split_axes(options.axes)) != 2:
        raise DataError(f"axes is '{options.axes}', but a table has two: time,neuron (a row is a bin) or neuron,time.")
    notes = list(notes)
    table = _without_row_numbers(turned(table, options, notes), notes)
    time = time_column(table)
    segment = _segment(table, options)
    if time is not None and not set(map(str, table)) - {time, segment}:
        raise DataError(
            f"the table has no column but '{time}'; add the unit of each spike, the same in all rows if there is "
            "one neuron, or counts."
        )
    table, run = _in_trials(table, segment, notes)
    seconds, width = (None, None) if time is None else _time(table[time], time, run, options, notes)
    if seconds is not None and width is not None:
        run = _split_at_gaps(run, seconds, width, segment, notes)
    others = [str(name) for name in table if str(name) not in (time, segment)]
    if not others:
        raise DataError(f"the table has no column but '{segment}'; add the unit of each spike, or counts.")
    by_run = table.groupby(run, sort=False)
    constant = [n for n in others if segment is not None and _is_trial_column(table[n], by_run[n])]
    neurons, signals = neurons_and_signals(table, [n for n in others if n not in constant], options.signals, notes)
    notes.append(
        f"each row is a bin: {len(neurons)} columns are neurons ({neurons[0]} to {neurons[-1]})"
        + (f", signals are {', '.join(signals)}" if signals else "")
    )
    stored: dict[str, np.ndarray] = {"neuron_id": _ids(neurons)}
    counts = _plain(table[neurons])
    values = {name: _plain(table[[name]]).astype(np.float32) for name in signals}
    width = width or options.stored_bin_s
    if width is None:
        raise _no_width(options)
    stored["bin_s"] = np.array(width)
    if segment is None:
        stored |= {"counts": counts, **values}
        if seconds is not None:
            stored["time"] = seconds
        if run[-1]:
            stored["segment"] = run
        return _read(stored, options, origin, notes, "time,neuron")
    lengths = np.bincount(run)
    start = np.r_[0, np.cumsum(lengths)[:-1]]
    place = np.minimum(start[:, None] + np.arange(lengths.max()), len(table) - 1)
    within = np.arange(lengths.max()) < lengths[:, None]
    stored |= {"counts": np.where(within[..., None], counts[place], 0), "lengths": lengths}
    stored |= {name: series[place] for name, series in values.items()}
    stored |= {name: _column(table[name].iloc[start]) for name in [segment, *constant]}
    stored[segment] = whole(stored[segment])
    if seconds is not None and not _begins_anew(seconds[start], seconds[start + lengths - 1]):
        stored[FROM_S] = seconds[start]
    return _read(stored, options, origin, notes, "trial,time,neuron")


def _segment(table: Table, options: LoadOptions) -> str | None:
    """The column with the trial of each row: the one that the option names, else one with a usual name, if any."""
    if options.segment is not None:
        if options.segment not in table:
            known = ", ".join(map(str, table))
            raise DataError(
                f"there is no column '{options.segment}' for segment (columns: {known}); name one of these."
            )
        return options.segment
    usual = [(SEGMENTS.index(plain_name(name)), str(name)) for name in table if plain_name(name) in SEGMENTS]
    return None if options.continuous else min(usual)[1] if usual else None


def _in_trials(table: Table, segment: str | None, notes: list[str]) -> tuple[Table, Int[np.ndarray, "bin"]]:
    """The rows of trials, and the number of the trial of each; it ends where its label changes, or its block does."""
    if segment is None:
        return table, np.zeros(len(table), dtype=np.int64)
    is_trial = plain_name(segment) in TRIALS
    blocks = [str(n) for n in table if is_trial and str(n) != segment and plain_name(n) in BLOCKS]
    new = np.max([_changes(table[name]) for name in (segment, *blocks)], axis=0)
    run = np.cumsum(np.r_[0, new])
    between, more = between_trials(table[segment].to_numpy(), segment, "rows", is_trial=is_trial)
    notes += more
    if not between.any():
        return table, run
    return table[~between].reset_index(drop=True), np.unique(run[~between], return_inverse=True)[1]


def _read(
    stored: Mapping[str, np.ndarray], options: LoadOptions, origin: Mapping[str, Any], notes: list[str], axes: str
) -> SpikeData:
    arrays = {name: StoredArray(v.shape, v.dtype, lambda v=v: v) for name, v in stored.items()}
    arrays[AXES] = StoredArray((axes.count(",") + 1,), np.dtype("U8"), lambda: np.array(axes.split(",")))
    plain = replace(options, axes=None, segment=None, continuous=options.continuous and "trial" not in axes)
    data = from_arrays(arrays, plain, {**origin, "notes": notes})
    return data if plain == options else with_all_options(data, options)


def _no_width(options: LoadOptions) -> DataError:
    wanted = "" if options.bin_s is None else f" (bin_s={options.bin_s:g} is the width that is wanted)"
    return DataError(
        f"each row is a bin, and the table has no column of their times, so that their width is not known{wanted}; "
        "give it in seconds with stored_bin_s, or call a column of times 'time_s'."
    )


def _without_row_numbers(table: Table, notes: list[str]) -> pd.DataFrame:
    """The table without columns that only number its rows, as pandas writes them; an index of times is one of time."""
    for name in list(table):
        values = table[name]
        if plain_name(name) not in ROW_NUMBERS or not pd.api.types.is_numeric_dtype(values.dtype):
            continue
        steps = np.diff(values.to_numpy(dtype=float))
        if plain_name(name) == "unnamed_0" and not (steps == 1).all() and (steps > 0).all():
            notes.append("the first column has no name and increases: it is taken as the time")
            table = table.rename(columns={name: "time"})
        elif plain_name(name) != "unnamed_0" or (steps == 1).all():
            notes.append(f"'{name}' numbers rows, and is not used")
            table = table.drop(columns=name)
    return table


def _time(
    column: Column, name: str, run: Int[np.ndarray, "bin"], options: LoadOptions, notes: list[str]
) -> tuple[Float[np.ndarray, "bin"] | None, float | None]:
    """The time of each row in seconds, and the width of a bin."""
    if not pd.api.types.is_numeric_dtype(column.dtype) or column.isna().any():
        raise DataError(f"the column '{name}' has missing values or text, but must hold the time of every row.")
    times = column.to_numpy(dtype=float)
    steps = np.diff(times)[np.diff(run) == 0]
    steps = steps[steps > 0]
    if not len(steps):
        raise DataError(f"the times in '{name}' do not increase; give one row for each bin, in order.")
    step, unit = float(np.median(steps)), without_unit(name)[1]
    if not unit and step == 1.0 and (times == np.floor(times)).all():
        unit = SAMPLES[0]
    if unit in SAMPLES:
        if options.stored_bin_s is None:
            raise DataError(
                f"'{name}' numbers bins, and their width is not in the table; give stored_bin_s in seconds."
            )
        times, step = times * options.stored_bin_s / step, step * options.stored_bin_s / step
    elif not unit and step >= 1.0:
        if step < WIDEST_BIN_S:
            raise DataError(f"'{name}' has steps of {step:g}, seconds or milliseconds; call it 'time_s' or 'time_ms'.")
        notes.append(f"'{name}' is taken as milliseconds: it has steps of {step:g}")
        times, steps, step = times * 1e-3, steps * 1e-3, step * 1e-3
    else:
        factor = FACTORS.get(unit, 1.0)
        times, steps, step = times * factor, steps * factor, step * factor
    regular = steps[abs(steps - step) <= STEADY * step] if unit not in SAMPLES else np.array([step])
    width = _shortest(regular)
    if unit not in SAMPLES and len(regular) < 0.5 * len(steps):
        raise DataError(
            f"'{name}' has steps of {steps.min():.4g} to {steps.max():.4g} s, but bins are all as wide; bin the "
            "recording again."
        )
    if options.stored_bin_s is not None and abs(options.stored_bin_s - width) > STEADY * width:
        raise DataError(
            f"stored_bin_s is {options.stored_bin_s:g}, but '{name}' has steps of {width:g} s; leave it out."
        )
    notes.append(f"bins are {width:g} s wide, the step of '{name}'")
    return times, width


def _shortest(steps: np.ndarray) -> float:
    """The width of bins from steps of time that may have been rounded: a plain number, or as many bins a second."""
    mean = float(steps.mean())
    for width in (float(f"{mean:.3g}"), 1.0 / max(round(1.0 / mean), 1)):
        if abs(width - mean) * len(steps) <= float(np.ptp(steps)) + 1e-9:
            return width
    return float(f"{mean:.6g}")


def _split_at_gaps(
    run: Int[np.ndarray, "bin"], seconds: np.ndarray, width: float, segment: str | None, notes: list[str]
) -> Int[np.ndarray, "bin"]:
    """Numbers of the pieces without a gap."""
    gap = (abs(np.diff(seconds) - width) > STEADY * width + 1e-9) & (np.diff(run) == 0)
    if not gap.any():
        return run
    row = int(np.flatnonzero(gap)[0])
    notes.append(
        f"{gap.sum()} gaps or restarts of time {'inside trials ' if segment else ''}end a piece of the recording, the "
        f"first behind {seconds[row]:.6g} s"
    )
    return np.cumsum(np.r_[0, (gap | (np.diff(run) != 0)).astype(np.int64)])


def _is_trial_column(column: Column, by_run: Any) -> bool:
    """Whether values are the same in all bins of every trial, and differ between trials."""
    return int(by_run.nunique().max()) <= 1 and column.nunique() > 1


def _changes(column: Column) -> Int[np.ndarray, "step"]:
    """1 between two rows of different values, and 0 elsewhere; missing values are all the same."""
    if column.isna().all():
        raise DataError(f"'{column.name}' is missing in every row; number the trials, or leave the column out.")
    values = pd.factorize(column)[0]
    return (values[1:] != values[:-1]).astype(np.int64)


def _begins_anew(first: np.ndarray, last: np.ndarray) -> bool:
    return len(first) > 1 and float(np.ptp(first)) < float(np.median(last - first))


def _plain(table: Table) -> np.ndarray:
    if all(dtype.kind in "bui" for dtype in table.dtypes):
        return table.to_numpy()
    values = table.to_numpy(dtype=np.float64, na_value=np.nan)
    return values.astype(np.int64) if (np.isfinite(values) & (values == np.floor(values))).all() else values


def _column(column: Column) -> np.ndarray:
    if pd.api.types.is_numeric_dtype(column.dtype):
        values = column.to_numpy()
        return values if values.dtype.kind in "buif" else column.to_numpy(dtype=float, na_value=np.nan)
    return column.astype(str).to_numpy(dtype=np.str_)


def _ids(names: list[str]) -> np.ndarray:
    return np.array([int(n) for n in names]) if all(n.isdigit() for n in names) else np.array(names, dtype=np.str_)
