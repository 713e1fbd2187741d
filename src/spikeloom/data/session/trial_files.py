"""Tables of trials in a file of their own, for sessions whose own files hold none, or another one."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd

from spikeloom.data.damage import DAMAGE
from spikeloom.data.session.trial_table import START, STOP, as_trial_table, with_usual_names
from spikeloom.data.tables import TABLES, Table, read_table
from spikeloom.errors import DataError

ARRAYS = (".npy", ".npz")
_UNITS = {"s": 1.0, "sec": 1.0, "seconds": 1.0, "ms": 1e-3, "milliseconds": 1e-3}


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
    renamed: dict[str, str] = {}
    for column in table:
        plain = re.sub(r"[^0-9a-z]+", "_", str(column).lower()).strip("_")
        stem, _, unit = plain.rpartition("_")
        for usual, target in ((START, "start_time"), (STOP, "stop_time")):
            if target in table or target in renamed.values():
                continue
            if plain in usual and plain not in table:
                renamed[column] = plain
            elif stem in usual and unit in _UNITS and plain not in usual:
                renamed[column] = target
                if _UNITS[unit] != 1.0:
                    notes.append(f"'{column}' of {name} is in milliseconds, by its name; other columns are as they are")
                    table = table.assign(**{str(column): table[column] * _UNITS[unit]})
    table = with_usual_names(table.rename(columns=renamed))
    for column in ("start_time", "stop_time"):
        if column in table and not pd.api.types.is_numeric_dtype(table[column].dtype):
            raise DataError(f"{name} has '{table[column].iloc[0]}' in {column}, but times are numbers of seconds.")
    return table
