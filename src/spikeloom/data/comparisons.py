"""Comparisons such as "success=1": rows of a table chosen by a text that is never evaluated as code."""

from __future__ import annotations

import operator
import re

import numpy as np
import pandas as pd
from jaxtyping import Bool

from spikeloom.errors import DataError

_COMPARISON = re.compile(r"\s*([^=!<>]+?)\s*(!=|<=|>=|==|=|<|>)\s*(.*?)\s*", re.DOTALL)
_OPERATORS = {
    "=": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def matches(table: pd.DataFrame, text: str, what: str = "trial") -> Bool[np.ndarray, "row"]:
    """The rows of a table for which a comparison such as ``success=1`` holds.

    A comparison has a column's name, one of ``= != < <= > >=`` and a plain value: the text may come from a
    stranger's run folder, so nothing in it is ever evaluated. A missing value is unequal to everything.

    Raises:
        DataError: If the column does not exist, or the value cannot be compared with it.
    """
    name, symbol, value = parsed(text)
    column = column_of(table, name, what)
    compare = _OPERATORS[symbol]
    if pd.api.types.is_bool_dtype(column.dtype):
        value = {"true": "1", "false": "0"}.get(value.lower(), value)
    if pd.api.types.is_numeric_dtype(column.dtype):
        try:
            number = float(value)
        except ValueError:
            raise DataError(
                f"'{text}' compares the {what} column '{name}' with '{value}', but it holds numbers such as "
                f"{column.iloc[0]}; compare it with a number."
            ) from None
        with np.errstate(invalid="ignore"):
            return compare(column.to_numpy(dtype=float, na_value=np.nan), number)
    if symbol not in ("=", "==", "!="):
        raise DataError(f"'{text}' orders the {what} column '{name}', which holds text; use = or != for text.")
    same = np.array([not pd.isna(v) and str(v).strip() == value for v in column], dtype=bool)
    return same if symbol != "!=" else ~same


def is_comparison(text: str) -> bool:
    """Whether a text is written as a comparison."""
    return _COMPARISON.fullmatch(text) is not None


def parsed(text: str) -> tuple[str, str, str]:
    """The column, the sign and the value of a comparison.

    Raises:
        DataError: If it is none.
    """
    parts = _COMPARISON.fullmatch(text)
    if parts is None:
        raise DataError(
            f"'{text}' is not a comparison; write a column, one of = != < <= > >= and a value: 'success=1'."
        )
    return parts[1], parts[2], parts[3]


def column_of(table: pd.DataFrame, name: str, what: str) -> pd.Series:
    """A column of the table of trials or neurons.

    Raises:
        DataError: If there is none of that name; lists those there are.
    """
    if name not in table:
        known = ", ".join(map(str, table)) or "none"
        raise DataError(f"there is no {what} column '{name}' (columns: {known}); name one of these.")
    return pd.Series(table[name])
