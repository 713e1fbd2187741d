"""The other arrays of a file by their shape: columns of neurons and of trials, signals, and rates."""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Bool

from spikeloom.data.comparisons import is_comparison
from spikeloom.data.formats.arrays.array_file import ArrayFile, column
from spikeloom.data.formats.arrays.axes import Order, signal_axes
from spikeloom.data.formats.naming.array_names import NEURON_ID, RATES, of_neurons, plain
from spikeloom.data.formats.storage.containers import StoredArray
from spikeloom.data.selection import neuron_mask
from spikeloom.errors import DataError

MOST_PARTS = 8
"""A (trial, dim) array of at most this many dimensions becomes trial columns ``name_0``, ``name_1``, ..."""
RATE_SHARE = 0.2
"""Rates are those of the counts if their means agree to within this share."""


def neuron_table(file: ArrayFile, n_neurons: int, others: tuple[int, ...]) -> pd.DataFrame:
    """Arrays with a value for each neuron, or a few.

    Args:
        file: The arrays.
        n_neurons: How many neurons there are.
        others: Sizes that other columns have: an array of such a size is of neurons only if its name says so.

    Raises:
        DataError: If the array that selects neurons has another size, or there are more or fewer ids than neurons.
    """
    columns: dict[str, np.ndarray] = {}
    selection = file.options.neurons
    selecting = None if selection is None or is_comparison(selection) else file.key(selection)
    for name, stored in list(file.free()):
        named = name == selecting
        is_id = plain(name) in NEURON_ID
        n_parts = stored.shape[1] if len(stored.shape) == 2 else 1
        n_ids = int(np.prod(stored.shape))
        if is_id and n_ids and n_ids != n_neurons:
            raise DataError(
                f"'{name}' has {n_ids} entries, but there are {n_neurons} neurons; correct the order of the axes with "
                "axes=<order>, or the file."
            )
        if stored.shape[:1] != (n_neurons,) or len(stored.shape) > 2 or not 1 <= n_parts <= MOST_PARTS:
            if named:
                raise DataError(f"'{name}' is {stored}, but a mask of neurons needs {n_neurons} entries.")
            continue
        if named or is_id or of_neurons(name) or (n_neurons not in others and not _is_signal(file, name)):
            columns |= _parts("id" if is_id and "id" not in columns else name, file.read(name))
    return pd.DataFrame(columns, index=range(n_neurons))


def _is_signal(file: ArrayFile, name: str) -> bool:
    return file.is_option(name, "signals")


def kept_neurons(file: ArrayFile, neurons: pd.DataFrame) -> Bool[np.ndarray, "neuron"]:
    """The neurons that the options keep: what is left out can refuse nothing."""
    if file.options.neurons is None:
        return np.ones(len(neurons), dtype=bool)
    return neuron_mask(neurons, file.options.neurons)


def trial_columns(file: ArrayFile, n_trials: int, n_neurons: int | None = None) -> dict[str, np.ndarray]:
    """Arrays with a value for each trial, or a few.

    Args:
        file: The arrays.
        n_trials: How many trials there are.
        n_neurons: How many neurons there are, where arrays of neurons have not been taken yet.
    """
    columns: dict[str, np.ndarray] = {}
    for name, stored in list(file.free()):
        n_parts = stored.shape[1] if len(stored.shape) == 2 else 1
        if stored.shape[:1] != (n_trials,) or len(stored.shape) > 2 or not 1 <= n_parts <= MOST_PARTS:
            continue
        if n_neurons == n_trials and (of_neurons(name) or plain(name) in NEURON_ID):
            continue
        columns |= _parts(name, file.read(name))
    likely = [name for name in columns if name.endswith("_condition")]
    if file.options.condition is None and "condition" not in columns and len(likely) == 1:
        columns["condition"] = columns[likely[0]]
        file.notes.append(f"condition is '{likely[0]}', by its name")
    return columns


def check_columns(file: ArrayFile, n_trials: int, what: str = "trial") -> None:
    """Refuse an array that an option names as a trial column, and that has not become one.

    Raises:
        DataError: Names its shape and the one that is needed.
    """
    for name, stored in file.stored.items():
        if file.is_option(name, "columns", "condition") and name not in file.taken:
            raise DataError(f"'{name}' is {stored}, but a trial column needs {n_trials} entries, one for each {what}.")


def _parts(name: str, values: np.ndarray) -> dict[str, np.ndarray]:
    if values.ndim == 1 or values.shape[1] == 1:
        return {name: column(values.ravel())}
    return {f"{name}_{i}": column(values[:, i]) for i in range(values.shape[1])}


# -- signals ---------------------------------------------------------------------------------------------------------


def signals_of(file: ArrayFile, order: Order, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Signals: arrays of floats with a value, or several, in each bin; and those that the options name.

    A signal with a value more than there are bins was taken at the borders of the bins: neighbours are averaged to give
    the values at their centres, and where one of them is missing the other is taken.

    Args:
        file: The arrays.
        order: The axes of the counts in the file; signals may have theirs in the same order.
        shape: Shape of the counts, (trial, time, neuron) or (time, neuron).

    Returns:
        (trial, time, dim) or (time, dim) values by name.

    Raises:
        DataError: If an array that is named as a signal has no such shape.
    """
    size: dict[str, int] = dict(zip(("trial", "time", "neuron")[-len(shape) :], shape))
    signals = {}
    for name, stored in list(file.free()):
        named = file.is_option(name, "signals")
        if not named and (file.options.signals is not None or stored.dtype.kind != "f"):
            continue
        axes = signal_axes(stored.shape, order, size)
        if axes is None:
            if named:
                raise _no_signal(name, stored, shape)
            continue
        if not stored.is_number:
            raise DataError(f"'{name}' is {stored}, but a signal holds numbers; leave it out of signals=<names>.")
        values = _standard(file.read(name), axes)
        if values.shape[-2] == size["time"] + 1:
            values = _between_borders(values)
            file.notes.append(f"'{name}' has a value at each border of a bin; neighbours are averaged")
        if axes not in (("trial", "time", "dim"), ("trial", "time"), ("time",), ("time", "dim")):
            file.notes.append(f"the axes of '{name}' are ({', '.join(axes)}), by its shape")
        signals[name] = values
    return signals


def _no_signal(name: str, stored: StoredArray, shape: tuple[int, ...]) -> DataError:
    if len(shape) == 3:
        wanted = f"({shape[0]}, {shape[1]}) or ({shape[0]}, {shape[1]}, dim), a value in each bin of each trial"
    else:
        wanted = f"({shape[0]},) or ({shape[0]}, dim), a value in each bin"
    return DataError(f"'{name}' is {stored}, but a signal needs the shape {wanted}; correct it, or name another.")


def _standard(values: np.ndarray, axes: Order) -> np.ndarray:
    """Values with the axes (trial, time, dim) or (time, dim)."""
    if "dim" not in axes:
        values, axes = values[..., None], (*axes, "dim")
    wanted = [axis for axis in ("trial", "time", "dim") if axis in axes]
    return values.transpose([axes.index(axis) for axis in wanted]).astype(np.float32)


def _between_borders(values: np.ndarray) -> np.ndarray:
    left, right = values[..., :-1, :], values[..., 1:, :]
    centre = (left + right) / 2
    # At the first and last border the value is often unknown: then the other border stands for the bin.
    return np.where(np.isnan(centre), np.where(np.isnan(left), right, left), centre)


def rates_of(file: ArrayFile, order: Order, counts: np.ndarray, bin_s: float) -> np.ndarray | None:
    """The true rates of a simulation, in spikes per bin, by their name and shape; None where there are none.

    Args:
        file: The arrays.
        order: The axes of the counts in the file.
        counts: Counts in the standard order.
        bin_s: Width of a bin, by which rates in Hz are told from those per bin.
    """
    standard = ("trial", "time", "neuron")[-counts.ndim :]
    names = [name for name, stored in file.free() if plain(name) in RATES and stored.dtype.kind == "f"]
    for name in names:
        back = [order.index(axis) for axis in standard]
        if tuple(file.stored[name].shape[i] for i in back if i < len(file.stored[name].shape)) != counts.shape:
            continue
        values = file.stored[name].read().transpose(back)
        ratio = float(np.nanmean(values)) / max(float(np.nanmean(counts)), 1e-12)
        for per_bin, unit in ((1.0, "spikes per bin"), (bin_s, "Hz")):
            if abs(ratio * per_bin - 1) < RATE_SHARE and np.isfinite(values).all() and (values >= 0).all():
                file.taken.add(name)
                file.notes.append(
                    f"'{name}' holds the rates of the neurons in {unit}, as its mean is that of the counts"
                )
                return (values * per_bin).astype(np.float32)
    return None
