"""Tables of an NWB file: columns, labels of codes, and columns of other tables that a reference leads to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int

from spikeloom.data.damage import DAMAGE
from spikeloom.data.formats.nwb.items import (
    Unreadable,
    attribute,
    found,
    is_array,
    is_group,
    is_number,
    is_reference,
    is_text,
    member,
    members,
    names,
    path_of,
    read,
    reason,
    references,
    target,
    text,
    type_of,
)
from spikeloom.data.formats.storage.containers import Hdf5
from spikeloom.errors import DataError

ELECTRODES = ("general/extracellular_ephys/electrodes", "general/extracellular_ephys/electrodes_table")
"""Where the table of electrodes is."""
MOST_DIMS = 8
"""A column with more numbers a row than this is not a property of the row."""


def table(group: Hdf5, n_rows: int, notes: list[str], skip: tuple[str, ...] = ()) -> pd.DataFrame:
    """The columns of a table with one value a row, or a few.

    Codes become their labels, references the name of what they lead to, and rows of another table its columns. Ragged
    columns are left out, and so are those that cannot be read.

    Args:
        group: The table in an open file.
        n_rows: Number of its rows.
        notes: Gets a note about columns that were left out or not unambiguous.
        skip: Columns that are read elsewhere.
    """
    columns: dict[str, np.ndarray] = {}
    regions: list[str] = []
    ragged, broken = [], []
    for name in _column_names(group):
        if name in skip:
            continue
        try:
            item = member(group, name)
            if not is_array(item):
                continue
            if _is_region(item):
                regions.append(name)
            elif f"{name}_index" in names(group) or item.shape[:1] != (n_rows,):
                ragged.append(name)
            elif (values := column(item)) is None or (values.ndim == 2 and not 1 <= values.shape[1] <= MOST_DIMS):
                ragged.append(name)
            elif values.ndim == 1:
                columns[name] = values
            elif values.ndim == 2:
                columns |= {f"{name}_{i}": values[:, i] for i in range(values.shape[1])}
            else:
                ragged.append(name)
        except (Unreadable, *DAMAGE) as error:
            broken.append(f"{name} ({reason(error)})")
    for name in regions:
        try:
            columns |= _through_region(group, name, n_rows, columns, notes)
        except (Unreadable, *DAMAGE) as error:
            broken.append(f"{name} ({reason(error)})")
    if "electrodes" not in regions:
        columns |= _of_peak_channel(group, columns)
    columns |= _of_electrode_group(group, columns)
    # Text of its own type for each column is that of any other table of pandas.
    columns = {name: v.astype(object) if v.dtype.kind == "U" else v for name, v in columns.items()}
    where = group.name
    if ragged:
        notes.append(f"columns of {where} left out, as they are not one value a row: {', '.join(ragged)}")
    if broken:
        notes.append(f"columns of {where} left out, as they cannot be read: {'; '.join(broken)}")
    return pd.DataFrame(columns, index=range(n_rows))


def _column_names(group: Hdf5) -> list[str]:
    """The columns of a table in their order, without the indices of ragged ones and the labels of codes."""
    stated = [text(name) for name in np.ravel(np.asarray(attribute(group, "colnames", []), dtype=object))]
    stored = names(group)
    helpers = set()
    for name in stored:
        stem, _, kind = name.rpartition("_")
        if name not in stated and kind in ("index", "elements") and stem in stored:
            helpers.add(name)
    return [name for name in dict.fromkeys(["id", *stated, *stored]) if name in stored and name not in helpers]


def column(item: Hdf5) -> np.ndarray | None:
    """The values of a column, one a row or a few; None if they are neither text nor numbers nor references.

    Raises:
        Unreadable: If they cannot be read.
    """
    if is_reference(item):
        return np.array([_name_of(item, reference) for reference in references(item)], dtype=np.str_)
    if not (is_text(item) or is_number(item)):
        return None
    values = read(item)
    elements = attribute(item, "elements")
    if elements is None or values.dtype.kind not in "iu":
        return values
    labels = read(target(item, elements)).astype(np.str_)
    known = (values >= 0) & (values < len(labels))
    return np.where(known, labels[np.where(known, values, 0).astype(np.int64)], "") if len(labels) else values


def _name_of(item: Hdf5, reference: Any) -> str:
    try:
        return path_of(target(item, reference)).rsplit("/", 1)[-1]
    except Unreadable:
        return ""


# -- rows of other tables ----------------------------------------------------------------------------------------


def _is_region(item: Hdf5) -> bool:
    return type_of(item) == "DynamicTableRegion" or attribute(item, "table") is not None


def ends(group: Hdf5, name: str, n_values: int) -> Int[np.ndarray, "row"]:
    """Where the values of each row of a ragged column end.

    Raises:
        DataError: If the index does not fit the values.
    """
    try:
        # Index arrays are stored in the smallest type that holds them; arithmetic on a uint8 would wrap around.
        stops = read(member(group, f"{name}_index")).astype(np.int64)
    except Unreadable as error:
        raise DataError(f"the index of {path_of(group)}/{name} cannot be used: {error}; copy the file again.") from None
    if stops.ndim != 1 or (np.diff(stops, prepend=0) < 0).any() or (len(stops) and stops[-1] > n_values):
        raise DataError(
            f"{path_of(group)}/{name}_index does not fit the {n_values} entries of {path_of(group)}/{name}; the file "
            "is damaged."
        )
    return stops


def _through_region(
    group: Hdf5, name: str, n_rows: int, taken: dict[str, np.ndarray], notes: list[str]
) -> dict[str, np.ndarray]:
    """The columns of the table that a column points into; of several rows for one row, the most common value."""
    item = member(group, name)
    rows = read(item).astype(np.int64).ravel()
    other = _table_of(item, name)
    if f"{name}_index" in names(group):
        try:
            stops = ends(group, name, len(rows))
        except DataError as error:
            raise Unreadable(str(error)) from None
    else:
        stops = np.arange(1, len(rows) + 1)
    if len(stops) != n_rows:
        raise Unreadable(f"it has {len(stops)} rows, the table {n_rows}")
    columns, n_other = _columns_of(other)
    if ((rows < 0) | (rows >= n_other)).any():
        raise Unreadable(f"it names row {rows.max()} of {path_of(other)}, which has {n_other}")
    starts = np.r_[0, stops[:-1]]
    result, differ = {}, {}
    for other_name, values in columns.items():
        free = other_name if other_name not in taken else f"{name}_{other_name}"
        result[free], n_mixed = _most_common(values, rows, starts, stops)
        if n_mixed:
            differ[free] = n_mixed
    if differ:
        notes.append(
            f"{max(differ.values())} of {n_rows} rows of {path_of(group)} have several {name} that differ in "
            f"{', '.join(differ)}: the most common value stands for them, the first of equally common ones"
        )
    return result


def _table_of(item: Hdf5, name: str) -> Hdf5:
    reference = attribute(item, "table")
    other = target(item, reference) if reference is not None else None
    if other is None and name == "electrodes":
        other = _electrodes(item)
    if not is_group(other):
        raise Unreadable("the table that it points into is not in the file")
    return other


def _electrodes(item: Hdf5) -> Hdf5 | None:
    return next((t for path in ELECTRODES if (t := found(item.file, path)) is not None), None)


def _columns_of(other: Hdf5) -> tuple[dict[str, np.ndarray], int]:
    """The columns of another table that have one text or number a row."""
    n_rows = next((len(item) for name, item in members(other) if name == "id" and is_array(item)), None)
    columns = {}
    for name in _column_names(other):
        try:
            item = member(other, name)
            n_rows = len(item) if n_rows is None and is_array(item) else n_rows
            values = None if name == "id" or _is_region(item) or item.shape != (n_rows,) else column(item)
        except (Unreadable, *DAMAGE):
            continue
        if values is not None and not (values.dtype.kind == "f" and np.isnan(values).all()):
            columns[name] = values
    if "group" in columns and "group_name" in columns:
        del columns["group"]
    return columns, n_rows or 0


def _most_common(values: np.ndarray, rows: np.ndarray, starts: np.ndarray, stops: np.ndarray) -> tuple[np.ndarray, int]:
    """The most common value of each stretch of rows, and how many stretches have different ones."""
    missing = {"U": "", "f": np.nan}.get(values.dtype.kind)
    chosen, mixed = [], 0
    for start, stop in zip(starts, stops):
        own = values[rows[start:stop]]
        if not len(own):
            chosen.append(missing)
            continue
        distinct, first, count = np.unique(own, return_index=True, return_counts=True)
        best = first[count == count.max()].min()
        mixed += len(distinct) > 1
        chosen.append(own[best])
    if missing is None and any(value is None for value in chosen):  # whole numbers have no value for "none"
        return np.array([np.nan if value is None else float(value) for value in chosen]), mixed
    return np.array(chosen, dtype=values.dtype), mixed


def _of_peak_channel(group: Hdf5, columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The columns of the electrode that a unit is largest on, where its number is all that the file says of it."""
    electrodes = _electrodes(group) if "peak_channel_id" in columns else None
    ids = None if electrodes is None else found(electrodes, "id")
    try:
        row_of = {} if ids is None else {int(number): row for row, number in enumerate(read(ids))}
        rows = [row_of.get(int(number), -1) for number in columns.get("peak_channel_id", [])]
    except (Unreadable, *DAMAGE):
        return {}
    if electrodes is None or min(rows, default=-1) < 0:
        return {}
    other, _ = _columns_of(electrodes)
    return {(f"electrode_{name}" if name in columns else name): values[rows] for name, values in other.items()}


def _of_electrode_group(group: Hdf5, columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The place of the electrode group of each unit, where its electrodes do not say it."""
    item = found(group, "electrode_group")
    if "electrode_group" not in columns or "location" in columns or item is None:
        return {}
    try:
        places = [_place(target(item, reference)) for reference in references(item)]
    except (Unreadable, *DAMAGE):
        return {}
    return {"location": np.array(places, dtype=np.str_)} if any(places) else {}


def _place(electrode_group: Hdf5) -> str:
    stored = found(electrode_group, "location")  # an array in the first version of NWB, an attribute since
    return str(attribute(electrode_group, "location", "")) if stored is None else str(read(stored))
