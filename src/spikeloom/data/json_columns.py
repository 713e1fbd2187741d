"""Columns of text that hold several values of a trial at once, written as JSON: each of these becomes a column."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd


def with_entries(table: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """A table with a column of its own for each single value of the JSON objects in a column of text, which stays.

    Args:
        table: The table; text is JSON where every value that there is is an object.
        notes: Gets a note about new columns. A name that is taken follows that of the column: "params_side".

    Example:
        >>> table = pd.DataFrame({"params": ['{"side": "left", "dots": [1, 2]}', '{"side": "right", "contrast": 0.5}']})
        >>> list(with_entries(table, [])), with_entries(table, [])["contrast"].tolist()
        (['params', 'side', 'contrast'], [nan, 0.5])
    """
    for name in list(table):
        objects = _objects(table[name])
        if objects is None:
            continue
        keys = dict.fromkeys(key for one in objects for key, value in one.items() if not isinstance(value, dict | list))
        added = {}
        for key in keys:
            values = [one.get(key) for one in objects]
            if not any(isinstance(value, dict | list) for value in values):
                called = key if key not in table else f"{name}_{key}"
                added[called] = pd.Series(values, index=table.index)
        if added:
            notes.append(f"'{name}' holds JSON, of which {', '.join(added)} became columns")
            table = table.assign(**added)
    return table


def _objects(column: Any) -> list[dict[str, Any]] | None:
    """The JSON objects of a column of text, empty where a value is missing; None where a text is no object."""
    if pd.api.types.is_numeric_dtype(column.dtype):
        return None
    texts = [value for value in column.tolist() if isinstance(value, str)]
    if not texts or len(texts) < column.notna().sum() or not texts[0].lstrip().startswith("{"):
        return None
    try:
        objects = [json.loads(text) if isinstance(text, str) else {} for text in column.tolist()]
    except (ValueError, RecursionError):
        return None
    return objects if all(isinstance(one, dict) for one in objects) else None
