"""Tables of trials in a file of their own, for sessions whose own files hold none, or another one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from spikeloom.data.damage import DAMAGE
from spikeloom.data.session.clocks import SAMPLES, plain_name
from spikeloom.data.session.trial_table import START, STOP, as_trial_table, with_usual_names
from spikeloom.data.tables import TABLES, Table, read_table
from spikeloom.errors import DataError

TRIAL_LABELS = ("trial", "trials", "trial_id", "trial_number", "trial_index", "trial_num", "trial_nr", "trial_no", "id")
"""Names of columns that number trials, or name them."""
ARRAYS = (".npy", ".npz")
_UNITS = {"s": 1.0, "sec": 1.0, "seconds": 1.0, "ms": 1e-3, "milliseconds": 1e-3}
DURATIONS = ("duration", "trial_duration", "dur", "trial_dur", "durations", "trial_durations")
DURATIONS = (*DURATIONS, "trial_length", "trial_lengths", "trial_len")
"""Columns that say how long trials last."""
MOST_GAPS = 50
"""Trials that last longer than so many times the time from one start to the next are in another unit."""


def read_trials(file: str | Path, notes: list[str]) -> pd.DataFrame:
    """The table of trials in a file, with "start_time" and "stop_time" in seconds where it has them.

    Args:
        file: A table (see ``tables.TABLES``) with columns such as "start_time", "stop_time" and those of events; a
            .npy file of (trial, 2) starts and stops; or intervals that pynapple saved (.npz).
        notes: Gets a note about what was guessed.

    Raises:
        DataError: If there is no such file, or it holds no table of trials.
    """
    path = Path(file)
    if path.suffix.lower() not in (*TABLES, *ARRAYS):
        raise DataError(f"trials is '{file}', but must be a file with a table of trials ({', '.join(TABLES)}, .npy).")
    if not path.is_file():
        raise DataError(f"there is no file '{file}' with trials; check the path.")
    if path.suffix.lower() in ARRAYS:
        return as_trial_table(_intervals(path))
    return _in_seconds(read_table(path, notes), path.name, notes)


def trials_by_label(table: pd.DataFrame, known: pd.DataFrame, name: str, notes: list[str]) -> pd.DataFrame:
    """The trials of a table beside spikes that name theirs, with the column "trial" and what else is known of them.

    Args:
        table: The table of all trials, one row for each.
        known: The trials with a spike: their labels in "trial", and what the spikes say of them.
        name: The column by which spikes name their trial.
        notes: Gets a note about how rows were matched, and about trials that only one of the two has.

    Raises:
        DataError: If nothing tells which trial a row is.
    """
    labels = known["trial"].to_numpy()
    key = next((str(n) for n in table if plain_name(n) == plain_name(name)), None)
    key = key or next((str(n) for n in table if plain_name(n) in TRIAL_LABELS), None)
    if key is not None:
        table = table.rename(columns={key: "trial"})
    else:
        first = 1 if labels.dtype.kind in "iu" and labels.min() >= 1 and labels.max() == len(table) else 0
        if labels.dtype.kind not in "iu" or labels.min() < first or labels.max() >= len(table) + first:
            raise DataError(
                f"the table of trials has {len(table)} rows and no column '{name}', so that it is not clear which row "
                f"is which of the {len(labels)} trials with spikes; add that column."
            )
        notes.append(f"rows of the table of trials are taken for '{name}' {first}, {first + 1}, ...")
        table = table.assign(trial=np.arange(len(table)) + first)
    if table["trial"].duplicated().any():
        raise DataError(f"'{key}' of the table of trials is not different in every row; number the trials.")
    silent, unknown = ~np.isin(table["trial"].to_numpy(), labels), ~np.isin(labels, table["trial"].to_numpy())
    if silent.all():
        raise DataError(f"none of the {len(table)} trials of the table ('{key}') has a spike ('{name}'); name another.")
    if silent.any():
        notes.append(f"{silent.sum()} of {len(table)} trials have no spike")
    if unknown.any():
        notes.append(f"spikes of {unknown.sum()} trials that are not in the table of trials were left out")
    return table.merge(known[["trial", *(n for n in known if n not in table)]], on="trial", how="left")


def trials_in_order(table: pd.DataFrame, known: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """The trials of a table beside spikes that come trial by trial, with what else is known of each.

    Args:
        table: The table: one row for each trial, numbered from 0 or 1 in one of its columns, or else in order.
        known: What the file says of each trial.
        notes: Gets a note about how rows were matched.

    Raises:
        DataError: If it has more or fewer rows than there are trials.
    """
    if len(table) != len(known):
        raise DataError(
            f"the table of trials has {len(table)} rows, but spikes come in {len(known)} trials; each needs one row."
        )
    key = next((str(n) for n in table if plain_name(n) in TRIAL_LABELS and _numbers_all(table[n])), None)
    if key is not None:
        table = table.sort_values(key, kind="stable").reset_index(drop=True)
        notes.append(f"rows of the table of trials are in the order of '{key}'")
    else:
        notes.append("rows of the table of trials are taken in the order of the trials")
    return table.assign(**{str(name): known[name] for name in known if name not in table})


def _numbers_all(column: Table) -> bool:
    """Whether a column numbers all rows, from 0 or from 1."""
    if not pd.api.types.is_numeric_dtype(column.dtype):
        return False
    ordered = np.sort(column.to_numpy(dtype=float))
    return any(np.array_equal(ordered, np.arange(len(ordered)) + first) for first in (0, 1))


def _intervals(path: Path) -> np.ndarray:
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            return np.column_stack([loaded["start"], loaded["end"]])
    except DAMAGE as error:
        detail = " ".join(str(error).split())[:80].rstrip(".")
        raise DataError(
            f"{path.name} holds no starts and stops of trials ({detail}); save a (trial, 2) array."
        ) from None


def _in_seconds(table: Table, name: str, notes: list[str]) -> pd.DataFrame:
    """The table with usual names of start and stop, which may carry their unit: "Start (ms)"."""
    n_notes, renamed = len(notes), dict[str, str]()
    for column in table:
        plain = plain_name(column)
        stem, _, unit = plain.rpartition("_")
        for usual, target in ((START, "start_time"), (STOP, "stop_time")):
            if target in table or target in renamed.values():
                continue
            if plain in usual and plain not in table:
                renamed[column] = plain
            elif stem in usual and unit in SAMPLES:
                raise DataError(
                    f"'{column}' of {name} counts samples; divide it by their rate, and call it '{stem}_s'."
                )
            elif stem in usual and unit in _UNITS and plain not in usual:
                renamed[column] = target
                if _UNITS[unit] != 1.0:
                    notes.append(f"'{column}' of {name} is in milliseconds, by its name; other columns are as they are")
                    table = table.assign(**{str(column): table[column] * _UNITS[unit]})
    table = with_usual_names(table.rename(columns=renamed))
    for column in ("start_time", "stop_time"):
        if column in table and not pd.api.types.is_numeric_dtype(table[column].dtype):
            raise DataError(f"{name} has '{table[column].iloc[0]}' in {column}, but times are numbers of seconds.")
    if "start_time" in table and "stop_time" not in table:
        table = with_durations(table, name, notes, in_seconds=len(notes) == n_notes)
    return table


def _check_unit(table: pd.DataFrame, column: str, factor: float, name: str) -> None:
    """Refuse durations as of milliseconds: with them, most trials would last far beyond the start of the next."""
    start = np.sort(table["start_time"].to_numpy(dtype=float))
    gap, length_s = float(np.median(np.diff(start))) if len(start) > 1 else 0.0, factor * table[column].median()
    if 0 < MOST_GAPS * gap < length_s:
        raise DataError(
            f"trials of {name} would last {length_s:g} s by '{column}', but start {gap:g} s apart; if it is in "
            f"milliseconds, call it '{column}_ms'."
        )


def with_durations(table: pd.DataFrame, name: str, notes: list[str], in_seconds: bool) -> pd.DataFrame:
    """Stops from starts and durations (onset and duration are the columns of BIDS), where their unit is the same.

    Args:
        table: A table with "start_time".
        name: What it is called.
        notes: What was guessed so far.
        in_seconds: Whether the starts were stored in seconds, and durations without a unit are.
    """
    for column in table:
        plain = plain_name(str(column))
        stem, _, unit = plain.rpartition("_")
        factor = _UNITS.get(unit) if stem in DURATIONS else 1.0 if plain in DURATIONS and in_seconds else None
        if factor is not None and pd.api.types.is_numeric_dtype(table[column].dtype):
            _check_unit(table, str(column), factor, name)
            notes.append(f"trials of {name} last as long as '{column}' says")
            return table.assign(stop_time=table["start_time"] + factor * table[column])
    return table
