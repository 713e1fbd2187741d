"""Dates with a time of day, and spans of time, as seconds."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Shaped

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{1,2}:\d{2}.*")
"""ISO 8601; a day alone is a label, not a time."""
_CLOCK = re.compile(r"\d{1,3}:[0-5]\d:[0-5]\d([.,]\d+)?")
"""Hours, minutes and seconds; two of them alone may be something else."""


def with_seconds(table: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """A table whose columns of dates and of spans of time are seconds; those of dates since 1970.

    All dates have this one zero, so that spikes, trials and behaviour stay on one clock.

    Args:
        table: The table; text is a date where every value has a day and a time of day. Days alone stay as they are.
        notes: Gets a note where dates were read.

    Example:
        >>> table = pd.DataFrame({"time": ["1970-01-01 00:00:01.5", "1970-01-02T00:00:00"], "day": ["1970-01-01"] * 2})
        >>> with_seconds(table, []).to_dict("list")
        {'time': [1.5, 86400.0], 'day': ['1970-01-01', '1970-01-01']}
    """
    found = {str(name): values for name in table if (values := _seconds(table[name])) is not None}
    if clocked := [name for name in found if _are(table[name], _CLOCK)]:
        notes.append(f"{', '.join(clocked)}: hours, minutes and seconds, which are taken as seconds since 0:00:00")
    if dated := [name for name in found if not (_is_span(table[name]) or name in clocked)]:
        notes.append(dates_note(dated))
    return table.assign(**found) if found else table


def dates_note(names: Sequence[str]) -> str:
    """The note on columns or arrays of dates."""
    return f"{', '.join(names)}: dates, which are taken as seconds since 1970-01-01"


def seconds_since_1970(dates: Shaped[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Dates, or spans of time, of NumPy as seconds; NaN where they are missing.

    Example:
        >>> seconds_since_1970(np.array(["1970-01-01T00:00:02.5", "NaT"], dtype="datetime64[ms]")).tolist()
        [2.5, nan]
    """
    nanoseconds = dates.astype(f"{'datetime64' if dates.dtype.kind == 'M' else 'timedelta64'}[ns]")
    return np.where(np.isnat(nanoseconds), np.nan, nanoseconds.astype(np.int64) * 1e-9)


def _seconds(column: Any) -> np.ndarray | None:
    """The seconds of a column of dates or spans; None where it is neither."""
    if _are(column, _CLOCK):
        column = pd.to_timedelta(column.str.replace(",", "."))
    if _is_span(column):
        return seconds_since_1970(column.to_numpy(dtype="timedelta64[ns]"))
    if not pd.api.types.is_datetime64_any_dtype(column.dtype):
        if pd.api.types.is_numeric_dtype(column.dtype):
            return None
        if not _are(column, _DATE):
            return None
        known = column.notna()
        column = pd.to_datetime(column, format="ISO8601", utc=True, errors="coerce")
        if column[known].isna().any():
            return None
    dates = pd.to_datetime(column, utc=True).dt.tz_localize(None).to_numpy(dtype="datetime64[ns]")
    known = dates[~np.isnat(dates)]
    return seconds_since_1970(dates) if (known != known.astype("datetime64[D]")).any() else None


def _are(column: Any, pattern: re.Pattern[str]) -> bool:
    """Whether all values of a column that are not missing are texts of one pattern."""
    if pd.api.types.is_numeric_dtype(column.dtype):
        return False
    known = column.dropna()
    return len(known) > 0 and all(isinstance(value, str) and pattern.fullmatch(value) for value in known)


def _is_span(column: Any) -> bool:
    return pd.api.types.is_timedelta64_dtype(column.dtype)
