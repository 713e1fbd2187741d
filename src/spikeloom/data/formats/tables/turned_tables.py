"""Tables of counts with a row for each neuron and a column for each bin: turned, so that a row is a bin."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
from jaxtyping import Float

from spikeloom.data.formats.tables.spike_tables import UNITS
from spikeloom.data.options import LoadOptions, split_axes
from spikeloom.data.session.clocks import plain_name
from spikeloom.data.tables import Column, Table
from spikeloom.errors import DataError

TIME = "time"
FEWEST = 8
"""Fewer columns of numbers for names may be neurons."""
EVEN = 0.05
"""Share of a step by which times that name columns may differ."""


def turned(table: Table, options: LoadOptions, notes: list[str]) -> pd.DataFrame:
    """The table with a row for each bin; as it is where rows are bins already.

    Rows are neurons where ``axes`` says so, or where columns are named by times in even steps ("0.0", "0.02", ...). The
    first column then names the neurons, if it is no number of a column.

    Args:
        table: A table of counts.
        options: The order of its axes, where it is given: "neuron,time" or "time,neuron".
        notes: Gets a note about it.

    Raises:
        DataError: If it has far more columns than rows, and nothing tells bins from neurons.

    Example:
        >>> wide = pd.DataFrame([["a", 0, 1, 2], ["b", 3, 4, 5]], columns=["unit", "0.0", "0.1", "0.2"])
        >>> turned(wide, LoadOptions(axes="neuron,time"), [])
           time  unit_a  unit_b
        0   0.0       0       3
        1   0.1       1       4
        2   0.2       2       5
    """
    names = [str(name) for name in table]
    numbers = numbers_of(names)
    numbered = np.isfinite(numbers)
    steps = np.diff(numbers[numbered])
    in_a_row = numbered[1:].all() and len(steps) > 0 and bool((steps > 0).all())
    even = in_a_row and float(abs(steps - steps.mean()).max()) <= EVEN * float(steps.mean())
    counted = even and bool((steps == 1).all()) and numbers[numbered][0] in (0, 1)
    if options.axes is not None:
        if split_axes(options.axes) != ("neuron", "time"):
            return table
    elif not even or int(numbered.sum()) < FEWEST:
        return table
    elif counted:
        if len(table) < int(numbered.sum()) / 2:
            raise DataError(
                f"the table has {len(table)} rows and {int(numbered.sum())} columns that are only numbered; give "
                "axes=neuron,time if a row is a neuron, or axes=time,neuron if a row is a bin."
            )
        return table
    first = names[0]
    named = plain_name(first) in UNITS or not pd.api.types.is_numeric_dtype(table[first].dtype)
    named |= numbered[1:].all() and not numbered[0]
    labels = [f"{label:g}" if isinstance(label, float) else str(label) for label in table[first]] if named else None
    counts = table.drop(columns=first).T if named else table.T
    counts.columns = [f"unit_{label.removeprefix('unit_')}" for label in labels or map(str, range(len(table)))]
    counts = counts.reset_index(drop=True).infer_objects()
    notes.append(f"each row of the file is a neuron, and each of {len(counts)} columns a bin")
    if even and not counted:
        counts.insert(0, TIME, numbers[numbered])
    return counts


def numbers_of(names: Iterable[object]) -> Float[np.ndarray, "column"]:
    """The numbers that columns are called by; NaN for those with other names."""
    column: Column = pd.to_numeric(pd.Series(list(map(str, names))), errors="coerce")
    return column.to_numpy(dtype=np.float64)
