"""Tables with a list of spike times in each row: one for each unit, or for each unit in each trial."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from spikeloom.data.formats.structures.unit_sessions import seconds_of, session_of_units
from spikeloom.data.formats.tables.spike_tables import (
    FAMILIES,
    TIMES,
    UNITS,
    Columns,
    read_spike_table,
    refuse_intervals,
    trial_column,
)
from spikeloom.data.options import LoadOptions, check_supported
from spikeloom.data.session.clocks import plain_name, without_unit
from spikeloom.data.session.strays import duration
from spikeloom.data.spikedata import SpikeData
from spikeloom.data.tables import Table
from spikeloom.errors import DataError

_TEXT = re.compile(r"\s*(?:array\()?[\[({].*[\])}]\s*", re.DOTALL)
_NUMBERS = re.compile(r"\s*[-+.\deE]+(?:[,;\s]+[-+.\deE]+)+[,;\s]*")
_WRAPPED = re.compile(r"(?:np\.|numpy\.)?(?:float|int)\d*\(([^()]*)\)")


def list_column(table: Table) -> str | None:
    """The column whose cells are lists of times: lists of Parquet, or text ("[0.1, 0.5]", "0.1 0.5"); else None.

    Example:
        >>> import pandas as pd
        >>> list_column(pd.DataFrame({"unit": [1, 2], "spike_times": ["[0.1, 0.5]", "[0.2]"]}))
        'spike_times'
    """
    for name in table:
        cells = table[name].dropna()
        if (
            table[name].dtype.kind in "buifM"
            or not len(cells)
            or (without_unit(name)[0] not in TIMES and "spike" not in plain_name(name))
        ):
            continue
        first = cells.iloc[0]
        is_text = isinstance(first, str) and (_TEXT.fullmatch(first) or _NUMBERS.fullmatch(first))
        if isinstance(first, list | tuple | np.ndarray) or is_text:
            return str(name)
    return None


def read_list_table(
    table: Table, column: str, options: LoadOptions, origin: Mapping[str, Any], notes: Sequence[str] = ()
) -> SpikeData:
    """The recording of a table with lists of spike times; its other columns are those of the units.

    Args:
        table: The table.
        column: Its column of lists, see ``list_column``.
        options: How to cut and bin it, and what to keep.
        origin: Start of the provenance.
        notes: What was guessed so far.

    Raises:
        DataError: If a cell is no list of numbers, or as ``read_spike_table``.
    """
    check_supported(options, FAMILIES, "a table of spikes")
    refuse_intervals(options, "a table of spikes")
    lists = [_times(cell, column, row) for row, cell in enumerate(table[column].tolist())]
    plain = {plain_name(name): str(name) for name in reversed(list(table))}
    unit = next((plain[name] for name in UNITS if name in plain and plain[name] != column), None)
    notes = [*notes, f"each row holds the spike times ('{column}') of {f'a {unit!r}' if unit else 'a unit'}"]
    trial = trial_column(table)
    others = table.drop(columns=column)
    if trial is None and (unit is None or not table[unit].duplicated().any()):
        pooled = np.concatenate([np.zeros(0), *lists])
        factor = seconds_of(pooled, column, len(lists), duration(pooled), {}, notes)
        columns = {str(name): others[name].to_numpy() for name in others if str(name) != unit}
        columns = {"id": others[unit].to_numpy() if unit else np.arange(len(lists)), **columns}
        trains = [one[np.isfinite(one)] * factor for one in lists]
        return session_of_units(trains, columns, factor, {}, options, origin, list(notes))
    if unit is None:
        raise DataError(f"the table has a list of spike times ('{column}') for each '{trial}', but no unit; add it.")
    rows = np.repeat(np.arange(len(lists)), list(map(len, lists)))
    long: Table = others.iloc[rows].reset_index(drop=True).assign(**{column: np.concatenate([np.zeros(0), *lists])})
    return read_spike_table(long, Columns(unit, column, trial), options, origin, notes)


def _times(cell: Any, column: str, row: int) -> np.ndarray:
    if cell is None or (isinstance(cell, float) and np.isnan(cell)):
        return np.zeros(0)
    if isinstance(cell, str):
        if "..." in cell:
            raise DataError(
                f"the list '{column}' in row {row} is cut short ('...'), as long arrays are printed; write a row for "
                "each spike, or save the table as Parquet."
            )
        inner = _WRAPPED.sub(r"\1", cell).strip().removeprefix("array(").strip("[](){} \t\r\n")
        cell = [word for word in re.split(r"[,;\s]+", inner) if word]
    try:
        times = np.asarray(cell, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError(f"'{column}' holds '{cell}' in row {row}, but needs a list of times; correct it.") from None
    return np.atleast_1d(times).ravel()
