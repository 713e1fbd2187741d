"""Parsing of requests: words of a command line, and tables with a row for each trial or bin."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from spikeloom.conditioning.variables import Variable
from spikeloom.errors import ConfigError, DataError, did_you_mean

DISTANCE = "condition_distance"
"""Column of generated trials: how far their condition is from that of every training trial, see ``novelty``."""


def request_from_words(words: Sequence[str], variables: Sequence[Variable]) -> tuple[dict[str, Any] | None, int | None]:
    """The request in words such as "angle=45deg", or in tables, on a command line.

    Args:
        words: NAME=VALUE, where commas separate the values of one trial after another (of a signal: its dimensions), or
            the path of a table (.csv).
        variables: Condition variables of the model.

    Returns:
        Values by name, None without any; and the number of trials in a table, None without a table.

    Raises:
        ConfigError: If a word is neither, a name occurs twice, or a signal has a value that is no number.
        DataError: If a table cannot be used.
    """
    request: dict[str, Any] = {}
    n = None
    for word in words:
        name, equals, value = word.partition("=")
        if word.lower().endswith(".csv") and not any(v.name == name for v in variables):
            values, n = from_table(read_table(Path(word)), variables, f"the table {word}")
        elif equals:
            values = {name: _values(value, next((v for v in variables if v.name == name), None))}
        else:
            raise ConfigError(f"--condition is {word!r}, but must be NAME=VALUE or a table (.csv).")
        for name in values:
            if name in request:
                raise ConfigError(f"--condition has '{name}' twice; give it one value, or one for each trial.")
        request |= values
    return request or None, n


def _values(text: str, variable: Variable | None) -> Any:
    """Values with commas between them: of a column, those of one trial after another; of a signal, its dimensions."""
    if variable is not None and text in variable.labels:  # a label may have commas of its own
        return text
    values = [part.strip() for part in text.split(",")]
    if variable is None or not variable.aligned:
        return values
    try:
        return [float(v) for v in values]
    except ValueError as error:
        raise ConfigError(
            f"the signal '{variable.name}' is requested as {text!r}, but needs a number for each of its dimensions: "
            f"{', '.join(variable.columns)}."
        ) from error


def read_table(path: Path) -> pd.DataFrame:
    """A table of conditions from a CSV file, see ``from_table``; an empty cell leaves its variable free.

    Raises:
        DataError: If the file cannot be read, or has no rows.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # a row with too many cells
            table = pd.read_csv(path, skipinitialspace=True, index_col=False, keep_default_na=False, na_values=[""])
    except (OSError, ValueError, pd.errors.ParserWarning) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split()).rstrip(".")
        raise DataError(f"the table {path} cannot be read ({reason}); write one row for each trial as CSV.") from error
    if len(table) == 0:
        raise DataError(f"the table {path} has no rows; write one row for each trial.")
    return table.rename(columns=str.strip)


def from_table(
    table: pd.DataFrame, variables: Sequence[Variable], source: str = "the table"
) -> tuple[dict[str, Any], int]:
    """Conditions by name from a table, and the number of trials in it.

    One row is a trial; or, with a column "trial", one row is a bin of that trial, and the dimensions of a signal are
    columns named SIGNAL_DIMENSION, for example ``hand_vel_x``. The column "condition_distance" of generated trials is
    ignored.

    Args:
        table: The table.
        variables: Condition variables of the model.
        source: Name of the table in messages.

    Raises:
        DataError: If it has a column that is none of the model's conditions, or lacks a value.
    """
    by_bin = "trial" in table
    if by_bin and table["trial"].isna().any():
        raise DataError(
            f"{source} has rows without a number in the column 'trial'; say which trial each bin belongs to."
        )
    parts = [part for _, part in table.groupby("trial")] if by_bin else []
    request: dict[str, Any] = {}
    left = [str(name) for name in table if name != DISTANCE and not (by_bin and name == "trial")]
    for variable in variables:
        columns = [f"{variable.name}_{c}" for c in variable.columns] if variable.aligned else [variable.name]
        found = [c for c in columns if c in left]
        if not found:
            continue
        if len(found) < len(columns) or variable.aligned > by_bin:
            lacking = [*(["trial"] if variable.aligned > by_bin else []), *(c for c in columns if c not in left)]
            raise DataError(f"{source} has the signal '{variable.name}', but no column '{lacking[0]}'; add one.")
        left = [c for c in left if c not in columns]
        if variable.aligned:
            request[variable.name] = [_numbers(part, columns, source) for part in parts]
            continue
        if by_bin and (table.groupby("trial")[variable.name].nunique(dropna=False) > 1).any():
            raise DataError(f"{source} has several values of '{variable.name}' in one trial; give one for each trial.")
        request[variable.name] = [p[variable.name].iloc[0] for p in parts] if by_bin else list(table[variable.name])
    if left:
        raise DataError(f"{source} has the column '{left[0]}', but {unknown_condition(left[0], variables)}")
    return request, len(parts) if by_bin else len(table)


def _numbers(part: pd.DataFrame, columns: list[str], source: str) -> np.ndarray:
    try:
        return part[columns].to_numpy(dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{source} has a cell in {', '.join(columns)} that is no number ({error}); correct it."
        ) from error


def unknown_condition(name: str, variables: Sequence[Variable]) -> str:
    """The message for a name that is no condition of the model, with the nearest one."""
    if not variables:
        return f"the model was fitted without conditions, so not with '{name}'; fit one with --condition_on {name}."
    hint = did_you_mean(name, [v.name for v in variables]) or f"it has {'; '.join(map(str, variables))}."
    return f"the model has no condition '{name}'; {hint}"
