"""Checks of what a user passes as a part of a recording: counts, lengths, tables, splits, selections, ragged lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int, UInt

from spikeloom.errors import DataError

Selection = int | slice | Sequence[int] | np.ndarray | pd.Series | None
"""Trials or neurons: an index, a slice, several indices, a boolean mask, or None for all of them."""

WIDEST_BIN_S = 5.0
"""Bins of this many seconds or more are not those of spike trains; as milliseconds they are usual."""


def as_counts(values: Any, name: str = "counts") -> UInt[np.ndarray, "trial time neuron"]:
    """Check that an array holds spike counts and return it in the smallest unsigned integer type, neurons side by side.

    Raises:
        DataError: If it has not three axes, is empty, or holds NaN, negative or fractional values; names the place.
    """
    values = np.asarray(values)
    if values.dtype == object:
        raise DataError(
            f"{name} is an object array; save a padded integer array together with the length of each trial."
        )
    if values.ndim != 3:
        raise DataError(f"{name} has shape {values.shape}, but needs the three axes (trial, time, neuron).")
    if 0 in values.shape:
        raise DataError(f"{name} has shape {values.shape} and is empty; at least one trial, bin and neuron are needed.")
    if values.dtype.kind not in "buif":
        raise DataError(f"{name} holds {values.dtype}, which are not numbers; pass integer spike counts.")

    def check(bad: np.ndarray, problem: str, remedy: str) -> None:
        if bad.any():
            trial, time, neuron = np.argwhere(bad)[0]
            raise DataError(
                f"{name} must be spike counts, but {bad.sum()} of them are {problem}: the first is "
                f"{values[trial, time, neuron]} at trial {trial}, bin {time}, neuron {neuron}; {remedy}."
            )

    if values.dtype.kind == "f":
        check(
            ~np.isfinite(values),
            "NaN or infinite",
            "counts must be complete, mark missing bins by the trial lengths",
        )
    if values.dtype.kind in "if":
        check(values < 0, "negative", "a count cannot be below zero")
    if values.dtype.kind == "f":
        check(values != np.floor(values), "not integers", "are these rates? Draw counts from them first")
    largest = int(values.max())
    dtype = np.uint8 if largest < 2**8 else np.uint16 if largest < 2**16 else np.uint32
    return neurons_innermost(values.astype(dtype, order="C") if values.dtype != dtype else values)


def neurons_innermost(values: np.ndarray) -> np.ndarray:
    """The values with the last axis next to each other in memory, as everything that reads them expects for speed."""
    return values if values.strides[-1] == values.itemsize else np.ascontiguousarray(values)


def check_bin_s(bin_s: float) -> None:
    """Check the width of a bin; one that is too wide for spike trains is taken for milliseconds.

    Raises:
        DataError: If it is not above zero, or ``WIDEST_BIN_S`` or more.
    """
    if not (np.isfinite(bin_s) and bin_s > 0):
        raise DataError(f"bin_s is {bin_s}, but a bin needs a positive width in seconds; pass bin_s=0.005 for 5 ms.")
    if bin_s >= WIDEST_BIN_S:
        raise DataError(
            f"bin_s is {bin_s:g}, but it is in seconds and bins must be narrower than {WIDEST_BIN_S:g} s; did you mean "
            f"{bin_s / 1000:g} ({bin_s:g} ms)?"
        )


def as_lengths(lengths: Any, n_trials: int, n_bins: int) -> Int[np.ndarray, "trial"]:
    """Check the number of valid bins of each trial; None means all bins.

    Raises:
        DataError: If there is not one length between 1 and ``n_bins`` for every trial.
    """
    if lengths is None:
        return np.full(n_trials, n_bins, dtype=np.int64)
    lengths = np.asarray(lengths)
    if lengths.shape != (n_trials,):
        raise DataError(
            f"lengths has shape {lengths.shape}, but there are {n_trials} trials; pass one length per trial."
        )
    if lengths.dtype.kind not in "ui" and not np.array_equal(lengths, np.floor(lengths)):
        raise DataError("lengths must be whole numbers of bins; round them down to complete bins.")
    bad = (lengths < 1) | (lengths > n_bins)
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        raise DataError(
            f"the length of trial {first} is {lengths[first]} bins, but must lie between 1 and the {n_bins} bins "
            "that the counts have; drop empty trials, or pass the counts with all their bins."
        )
    return lengths.astype(np.int64)


def as_table(name: str, table: Any, n_rows: int) -> pd.DataFrame:
    """A table with one row for each trial or neuron, from a DataFrame or from a dictionary of columns.

    Args:
        name: "trials" or "neurons".
        table: In a dictionary, a single number or text stands for every row.
        n_rows: How many trials or neurons there are.

    Raises:
        DataError: If a column has another number of values, or more than one for each row.
    """
    if table is None:
        return pd.DataFrame(index=pd.RangeIndex(n_rows))
    if isinstance(table, Mapping):
        return pd.DataFrame(
            {str(k): _as_column(f"{name} column '{k}'", v, n_rows) for k, v in table.items()},
            index=pd.RangeIndex(n_rows),
        )
    if not isinstance(table, pd.DataFrame):
        raise DataError(
            f"{name} is a {type(table).__name__}, but must be a table (pandas.DataFrame) or a dictionary of columns."
        )
    if len(table) != n_rows:
        raise DataError(
            f"the {name} table has {len(table)} rows, but there are {n_rows} {name}; pass one row for each."
        )
    return table.reset_index(drop=True)


def _as_column(name: str, values: Any, n_rows: int) -> Any:
    if isinstance(values, str | bool | int | float | np.generic):
        return [values] * n_rows
    values = values.array if isinstance(values, pd.Series) else values
    if not isinstance(values, pd.api.extensions.ExtensionArray):
        shape = np.shape(values) if isinstance(values, np.ndarray) else (len(values),)
        nested = any(isinstance(v, list | tuple | np.ndarray) for v in values) if len(shape) == 1 else True
        if nested:
            raise DataError(f"the {name} has more than one value a row; pass a column for each dimension.")
    if len(values) != n_rows:
        raise DataError(f"the {name} has {len(values)} values, but needs {n_rows}, one for each row.")
    return values


def as_split(name: str, indices: Any, n_trials: int) -> Int[np.ndarray, "index"]:
    """The trial indices of a split, from indices or from a boolean mask over the trials.

    Raises:
        DataError: If it names a trial that does not exist, or one twice.
    """
    indices = np.asarray(indices)
    if indices.dtype == bool:
        indices = as_indices(indices, n_trials, "trial", allow_none=True)
    indices = indices.astype(np.int64).ravel()
    outside = indices[(indices < 0) | (indices >= n_trials)]
    if len(outside):
        raise DataError(f"split '{name}' names trial {outside[0]}, but there are only {n_trials} trials (from 0).")
    if len(np.unique(indices)) != len(indices):
        raise DataError(f"split '{name}' names a trial twice; a trial belongs to a split once.")
    return indices


def as_indices(selection: Any, n: int, axis: str, allow_none: bool = False) -> Int[np.ndarray, "index"]:
    """Indices, from 0, of the trials or neurons that a selection keeps.

    Args:
        selection: One index, a slice, several indices (negative ones count from the end) or a boolean mask.
        n: Length of the axis.
        axis: "trial" or "neuron", for error messages.
        allow_none: Accept a selection that keeps nothing.

    Raises:
        DataError: If it is none of these, reaches past the end, or keeps nothing.
    """
    if selection is None:
        return np.arange(n)
    if isinstance(selection, slice):
        try:
            indices = np.arange(n)[selection]
        except (TypeError, ValueError) as error:
            raise DataError(f"{selection} cannot select {axis}s ({error}); use whole numbers, such as 0:10.") from None
    else:
        indices = _listed(selection, n, axis)
    if not len(indices) and not allow_none:
        raise DataError(f"no {axis} of {n} is left by this selection; keep at least one.")
    return indices


def _listed(selection: Any, n: int, axis: str) -> Int[np.ndarray, "index"]:
    chosen = np.asarray(selection)
    if chosen.dtype.kind == "f" and not chosen.size:
        chosen = chosen.astype(np.int64)  # an empty list
    if chosen.dtype.kind not in "bui" or chosen.ndim > 1 or (chosen.ndim == 0 and chosen.dtype == bool):
        raise DataError(
            f"{axis}s are selected by an index, a slice, a list of indices or a mask of booleans, not by "
            f"{str(selection)[:60]!r}."
        )
    if chosen.dtype == bool:
        if len(chosen) != n:
            raise DataError(
                f"a mask over {len(chosen)} {axis}s was given, but there are {n}; pass one value per {axis}."
            )
        return np.flatnonzero(chosen)
    chosen = np.atleast_1d(chosen).astype(np.int64)
    outside = chosen[(chosen < -n) | (chosen >= n)]
    if len(outside):
        raise DataError(f"{axis} {outside[0]} does not exist, as there are only {n} {axis}s (from 0).")
    return np.arange(n)[chosen]


def is_ragged(values: Any) -> bool:
    """Whether values are a list of one array a trial, and these differ in length."""
    if not isinstance(values, list | tuple) or not values:
        return False
    return len({len(trial) if hasattr(trial, "__len__") else None for trial in values}) > 1


def padded(name: str, trials: Sequence[Any], flat: bool = False) -> tuple[np.ndarray, Int[np.ndarray, "trial"]]:
    """One array of a list of trials, and the length of each.

    Args:
        name: Of the values, for error messages.
        trials: An array (time, dim) for each trial.
        flat: Accept (time,) for one dimension, too.

    Returns:
        (trial, time, dim) values, zero past the end of each trial, and (trial,) lengths.

    Raises:
        DataError: If trials differ in their number of dimensions.
    """
    try:
        arrays = [np.asarray(trial) for trial in trials]
    except ValueError as error:
        raise DataError(f"{name} has a trial that is not an array ({error}); pass (time, dim) for each.") from None
    arrays = [array[:, None] if flat and array.ndim == 1 else array for array in arrays]
    for i, array in enumerate(arrays):
        if array.ndim != 2 or array.shape[1] != arrays[0].shape[-1]:
            raise DataError(
                f"trial {i} of {name} has shape {array.shape}, and trial 0 has {arrays[0].shape}; every trial needs "
                "two axes, time and as many columns as the others."
            )
    lengths = np.array([len(array) for array in arrays])
    values = np.zeros((len(arrays), int(lengths.max()), arrays[0].shape[1]), np.result_type(*arrays))
    for row, array in zip(values, arrays):
        row[: len(array)] = array
    return values, lengths
