"""Structures of trials in MATLAB as arrays: padded counts, the length of each trial, its columns and its signals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from spikeloom.data.formats.naming.array_names import bins_per_second, is_bin_width, last_part
from spikeloom.data.formats.storage.containers import StoredArray
from spikeloom.data.formats.structures.spikes import Spikes
from spikeloom.data.formats.structures.values import Value, squeezed
from spikeloom.data.options import LoadOptions, split_axes
from spikeloom.data.session.clocks import plain_name
from spikeloom.errors import DataError

MOST_PARTS = 8
"""At most this many numbers of one field are as many columns, or dimensions of a signal."""
NEURON_WORDS = ("unit", "neuron", "electrode", "channel", "chan", "cell", "cluster")
"""Words in the names of what has one value for each neuron."""
UNEVEN = 0.01
"""Share of a bin by which the times of bins may be uneven."""
TIMES = ("time", "t", "times", "time_s", "time_ms", "timestamps", "bins")
"""Fields that have one value for each bin."""


def counts_by_trial(
    found: Spikes, others: Mapping[str, StoredArray], options: LoadOptions, notes: list[str]
) -> dict[str, np.ndarray]:
    """Padded (trial, time, neuron) counts by the name they have, "lengths", and what else is there for each trial.

    Args:
        found: Counts of each trial, (neuron, time) or (time, neuron).
        others: Arrays of the file beside them.
        options: The order of the axes, where it is given.
        notes: Gets a note about the order, and what was left out.

    Raises:
        DataError: If the trials have no axis of one length.
    """
    shapes = [one.shape for one in found.arrays()]
    time_axis = _time_axis(found, shapes, others, options, notes)
    matrices = [np.asarray(one.read()) for one in found.arrays()]
    matrices = [one.T if time_axis == 1 else one for one in matrices]
    lengths = np.array([len(one) for one in matrices])
    counts = np.zeros((len(matrices), int(lengths.max()), matrices[0].shape[1]), np.result_type(*matrices))
    for row, one in zip(counts, matrices):
        row[: len(one)] = one
    columns, left = row_columns(found.fields, len(matrices), notes, quietly=True)
    for name in [name for name in columns if plain_name(name) in TIMES]:  # which are those of bins, in an array file
        values = columns.pop(name)
        if np.array_equal(values, lengths):
            notes.append(f"'{name}' is the number of bins of each trial")
        else:
            columns[f"trial_{name}"] = values
            notes.append(f"'{name}' has one value a trial, and is called 'trial_{name}'")
    for name in [name for name in columns if is_bin_width(name) or bins_per_second(name) is not None]:
        if len(np.unique(columns[name])) == 1:  # said of every trial
            columns[name] = np.array(columns[name][0])
    result: dict[str, np.ndarray] = {last_part(found.name): counts, "lengths": lengths, **columns}
    dropped = []
    for name in left:
        signal = _signal([v for v in found.fields[name]], lengths)
        if signal is None:
            dropped.append(name)
        elif plain_name(name) not in TIMES:
            result[name] = signal.astype(np.float32)
        elif (times := _times_of_bins(signal[..., 0], lengths)) is not None:
            result[name] = times
        else:
            notes.append(f"'{name}' is not used, as its steps are not those of bins of one width")
    if dropped:
        notes.append(f"fields left out, as they are not one value a trial or a bin: {', '.join(dropped)}")
    return result


def _time_axis(
    found: Spikes,
    shapes: Sequence[tuple[int, ...]],
    others: Mapping[str, StoredArray],
    options: LoadOptions,
    notes: list[str],
) -> int:
    """Which of the two axes of the counts of a trial is time."""
    sizes = [{shape[axis] for shape in shapes} for axis in (0, 1)]
    if len(sizes[0]) > 1 and len(sizes[1]) > 1:
        some = ", ".join("x".join(map(str, shape)) for shape in shapes[:3])
        raise DataError(
            f"the trials of '{found.name}' are {some}, ..., but must all have as many neurons; correct the file."
        )
    if options.axes is not None:
        axis = [name for name in split_axes(options.axes) if name != "trial"].index("time")
        if len(sizes[1 - axis]) > 1:
            raise DataError(
                f"axes is '{options.axes}', but then trials of '{found.name}' have {min(sizes[1 - axis])} to "
                f"{max(sizes[1 - axis])} neurons; turn it around."
            )
        return axis
    names = ("neuron x time", "time x neuron")
    if len(sizes[0]) != len(sizes[1]):
        axis = int(len(sizes[1]) > 1)
        notes.append(f"'{found.name}' is {names[1 - axis]}: only one of its axes has another length in each trial")
        return axis
    (rows,), (columns,) = sizes
    evidence = _companions(found, others, rows, columns)
    if evidence is not None:
        notes.append(f"'{found.name}' is {names[1 - evidence[0]]}, as '{evidence[1]}' fits that")
        return evidence[0]
    axis = int(columns >= rows)
    notes.append(f"'{found.name}' is assumed to be {names[1 - axis]}, the longer axis being time; correct it with axes")
    return axis


def _companions(found: Spikes, others: Mapping[str, StoredArray], rows: int, columns: int) -> tuple[int, str] | None:
    """The axis of time, and what tells it: a value for each bin, or for each neuron, that fits one axis only."""
    if rows == columns:
        return None
    per_bin = {k: squeezed(v[0]).shape for k, v in found.fields.items() if isinstance(v[0], StoredArray)}
    shapes = {k: v.shape for k, v in others.items()} | per_bin
    for name, shape in shapes.items():
        last = plain_name(last_part(name))
        if shape in ((rows,), (columns,)):
            if last in TIMES:
                return int(shape == (columns,)), name
            if any(word in last for word in NEURON_WORDS):
                return int(shape == (rows,)), name
    return None


def row_columns(
    fields: Mapping[str, Sequence[Value]], n: int, notes: list[str], quietly: bool = False
) -> tuple[dict[str, Any], list[str]]:
    """Columns from fields of structures, with a number, a word, or a few numbers each; and the names of other fields.

    Args:
        fields: One value for each structure.
        n: How many structures there are.
        notes: Gets a note about fields that are left out.
        quietly: Add no note.
    """
    columns: dict[str, Any] = {}
    left = []
    for name, values in fields.items():
        arrays = [squeezed(one) for one in values if isinstance(one, StoredArray)]
        if len(arrays) != n:
            left.append(name)
        elif all(one.shape == () or 0 in one.shape for one in arrays) and any(one.shape == () for one in arrays):
            columns[name] = _scalars(arrays)
        elif arrays and len({one.shape for one in arrays}) == 1 and _is_short(arrays[0]):
            stacked = np.stack([one.read() for one in arrays])
            columns |= {f"{name}_{i}": stacked[:, i] for i in range(stacked.shape[1])}
        else:
            left.append(name)
    if left and not quietly:
        notes.append(f"fields left out, as they are not a value or a few: {', '.join(left)}")
    return columns, left


def _is_short(stored: StoredArray) -> bool:
    return stored.is_number and len(stored.shape) == 1 and stored.shape[0] <= MOST_PARTS


def _scalars(arrays: Sequence[StoredArray]) -> np.ndarray:
    """One value each; a missing one is NaN among numbers and empty among words."""
    present = [one for one in arrays if one.shape == ()]
    if all(one.is_number for one in present):
        values = np.array([float("nan") if one.shape != () else one.read().item() for one in arrays])
        whole = values.dtype.kind == "f" and (values == np.floor(values)).all()
        return values.astype(np.int64) if whole else values
    return np.array([str(one.read()) if one.shape == () else "" for one in arrays], dtype=np.str_)


def _times_of_bins(values: np.ndarray, lengths: np.ndarray) -> np.ndarray | None:
    """The (trial, time) times of bins, which go on in the padding; None where their steps are not all the same.

    Where all trials begin at one time, they are those of any trial: (time,).
    """
    within = [row[:n] for row, n in zip(values.astype(np.float64), lengths)]
    steps = np.concatenate([np.diff(row) for row in within])
    step = float(np.median(steps)) if len(steps) else 0.0
    if step <= 0 or abs(steps / step - 1).max() > UNEVEN:
        return None
    starts = np.array([row[0] for row in within])
    grid = np.arange(values.shape[1]) * step
    return starts[0] + grid if (starts == starts[0]).all() else starts[:, None] + grid


def _as_matrix(stored: StoredArray) -> StoredArray:
    """A vector as a matrix of one row, as MATLAB has it."""
    if len(stored.shape) != 1:
        return stored
    return StoredArray((1, *stored.shape), stored.dtype, lambda: stored.read()[None])


def _signal(values: Sequence[Value], lengths: np.ndarray) -> np.ndarray | None:
    """Padded (trial, time, dim) values, where every trial has one or a few for each of its bins."""
    vectors = [_as_matrix(one) for one in values if isinstance(one, StoredArray) and one.is_number]
    arrays = [one for one in vectors if len(one.shape) == 2]
    if len(arrays) != len(lengths):
        return None
    for axis in (1, 0):
        dims = {one.shape[1 - axis] for one in arrays}
        if all(one.shape[axis] == n for one, n in zip(arrays, lengths)) and len(dims) == 1 and max(dims) <= MOST_PARTS:
            signal = np.zeros((len(arrays), int(lengths.max()), dims.pop()), dtype=np.float64)
            for row, one in zip(signal, arrays):
                row[: one.shape[axis]] = one.read().T if axis == 1 else one.read()
            return signal
    return None
