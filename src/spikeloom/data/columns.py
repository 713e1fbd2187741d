"""Columns of tables as plain arrays that other libraries hold, and back to the type that they had."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

_PLAIN = "buifMm"
"""Kinds of NumPy that every library holds as they are: booleans, numbers, dates and durations."""


def plain_column(column: pd.Series) -> np.ndarray:
    """A column as an array without types of pandas: missing numbers are NaN where that is exact, others None.

    Example:
        >>> plain_column(pd.Series([1, None], dtype="Int64"))
        array([ 1., nan])
        >>> plain_column(pd.Series(["a", None]))
        array(['a', None], dtype=object)
    """
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in _PLAIN:
        return column.to_numpy()
    missing = column.isna().to_numpy()
    if isinstance(column.dtype, pd.api.extensions.ExtensionDtype) and pd.api.types.is_numeric_dtype(column.dtype):
        plain = np.dtype(str(column.dtype).lower().replace("boolean", "bool"))
        if not missing.any():
            return column.to_numpy(plain)
        if plain.kind in "iuf":
            values = column.to_numpy(np.float64, na_value=np.nan)
            if plain.kind == "f" or (abs(values[~missing]) < 2**53).all():
                return values
    values = np.array(column.astype(object), dtype=object)
    values[missing] = None
    return values


def typed_column(values: Any, dtype: str | None = None) -> pd.Series:
    """A column of the type that it had.

    Args:
        values: What ``plain_column`` gave, or the array of another library.
        dtype: Name of the type; where it is not known, objects become booleans, numbers or text, whatever they are.

    Example:
        >>> typed_column(np.array([1.0, np.nan]), "Int64").tolist()
        [1, <NA>]
        >>> str(typed_column(np.array([True, None, False], dtype=object)).dtype)
        'boolean'
    """
    values = np.asarray(values)
    if dtype is None:
        return _inferred(values)
    if dtype == "object":
        objects = values.astype(object)
        objects[pd.isna(objects)] = None
        return pd.Series(objects, dtype=object)
    return pd.Series(values.tolist() if values.dtype == object else values, dtype=dtype)  # type: ignore[arg-type]


def typed_table(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """A table of rows that need not have the same columns.

    Example:
        >>> typed_table([{"a": 1, "b": "x"}, {"a": 2}]).dtypes.astype(str).tolist()
        ['int64', 'str']
    """
    columns = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        values = np.empty(len(rows), dtype=object)
        values[:] = [row.get(name) for row in rows]
        columns[str(name)] = typed_column(values)
    return pd.DataFrame(columns, index=range(len(rows)))


def _inferred(values: np.ndarray) -> pd.Series:
    if values.dtype != object:
        return pd.Series(values.tolist() if values.dtype.kind in "US" else values)
    known = [value for value in values if not pd.isna(value)]
    missing = len(known) < len(values)
    if known and all(isinstance(value, bool | np.bool_) for value in known):
        return pd.Series(values.tolist(), dtype="boolean" if missing else bool)
    if known and all(isinstance(value, int | np.integer) for value in known):
        return pd.Series([None if pd.isna(v) else int(v) for v in values], dtype="Int64" if missing else np.int64)
    if known and all(isinstance(value, int | float | np.integer | np.floating) for value in known):
        return pd.Series([np.nan if pd.isna(v) else float(v) for v in values])
    return pd.Series(values.tolist())
