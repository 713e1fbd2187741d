"""Spike times in a padded array: a row for each unit, or for each unit in each trial, filled up with NaN, 0 or -1."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from spikeloom.data.formats.naming.array_names import COUNTS, last_part, of_trials, plain
from spikeloom.data.formats.storage.containers import StoredArray
from spikeloom.data.formats.structures.spikes import Spikes
from spikeloom.data.formats.structures.trials import NEURON_WORDS
from spikeloom.data.session.clocks import without_unit

TIMES = ("times", "spike_times", "spiketimes", "spike_time", "ts", "timestamps", "spike_timestamps", "spike_ts", "st")
"""Names of arrays that hold times, whatever their shape."""
LOOKED_AT = 64
"""Rows by which an array is told."""
FEWEST = 5
"""Values in a row from which on it says anything."""
RISING, STRICTLY = 0.99, 0.9
"""Shares of the steps in a row that do not fall, and that rise, where it holds times."""


def padded_times_in(
    arrays: Mapping[str, StoredArray], wanted: str | None
) -> tuple[Spikes | None, Mapping[str, StoredArray]]:
    """The padded array of spike times in a file, if there is one, and the arrays, with that which was read kept.

    Args:
        arrays: The arrays of a file.
        wanted: The array that the user names for the counts.

    Example:
        >>> rows = np.array([[0.1, 0.5, 0.7, 1.2, 1.3, 1.5], [0.2, 0.3, 0.4, 1.0, 1.1, np.nan]])
        >>> stored = StoredArray(rows.shape, rows.dtype, lambda: rows)
        >>> found, _ = padded_times_in({"spike_times": stored}, None)
        >>> [one.read().tolist() for one in found.arrays()], found.order
        ([[0.1, 0.5, 0.7, 1.2, 1.3, 1.5], [0.2, 0.3, 0.4, 1.0, 1.1]], '2 neurons, a row each, padded with nan')
    """
    kept = dict(arrays)
    tables = {n: s for n, s in arrays.items() if len(s.shape) in (2, 3) and s.dtype.kind in "uif"}
    counts = [n for n in tables if plain(n) in COUNTS]
    for name, stored in tables.items():
        is_first = wanted is not None or not set(counts) - {name}  # counts come first
        if not is_first or not _is_candidate(name, stored, wanted):
            continue
        values = stored.read()
        kept[name] = StoredArray(stored.shape, stored.dtype, lambda values=values: values, stored.other_files)
        found = _padded(name, values, {n: s for n, s in arrays.items() if n != name})
        if found is not None:
            return found, kept
    return None, kept


def _is_candidate(name: str, stored: StoredArray, wanted: str | None) -> bool:
    last = last_part(name)
    if 0 in stored.shape or max(stored.shape) < FEWEST:
        return False
    if wanted is not None:
        return wanted in (name, last)
    stem = without_unit(last)[0]
    return stem in TIMES or plain(last) in COUNTS or ("spike" in stem and ("time" in stem or "train" in stem))


def _padded(name: str, values: np.ndarray, others: Mapping[str, StoredArray]) -> Spikes | None:
    axes = [axis for axis in range(values.ndim) if values.shape[axis] >= FEWEST]
    # The axis along which times rise; the last one first, as rows are usual.
    axis = next((axis for axis in reversed(axes) if _rises(np.moveaxis(values, axis, -1))), None)
    if axis is None:
        return None
    rows = np.moveaxis(values, axis, -1)
    pad = _padding(rows.reshape(-1, rows.shape[-1]))
    how = "" if pad is None else f", padded with {pad:g}"
    if rows.ndim == 2:
        order = f"{len(rows)} neurons, a {'row' if axis == 1 else 'column'} each{how}"
        return Spikes(name, "units", [_train(row, pad) for row in rows], order=order, variables=(name,))
    trials_first, why = _order(rows.shape[:2], others)
    by_trial = rows if trials_first else rows.swapaxes(0, 1)
    trains = [[_train(row, pad) for row in trial] for trial in by_trial]
    order = f"{len(trains)} trials x {len(trains[0])} neurons, {why}{how}"
    return Spikes(name, "trials", trains, order=order, variables=(name,))


def _rises(rows: np.ndarray) -> bool:
    """Whether values rise along the last axis, up to the padding, as times do and counts do not."""
    n_rows = int(np.prod(rows.shape[:-1]))
    places = np.unique(np.linspace(0, n_rows - 1, LOOKED_AT).astype(np.int64))
    # One by one, as reshaping would copy all of a large array of counts.
    chosen = np.stack([rows[np.unravel_index(place, rows.shape[:-1])] for place in places]).astype(np.float64)
    pad = _padding(chosen)
    steps = [np.diff(row[: _length(row, pad)]) for row in chosen]
    long = [one for one in steps if len(one) >= FEWEST - 1]
    if not long or max(map(len, long)) < FEWEST:
        return False
    joined = np.concatenate(long)
    # An array of times also differs from row to row, as the times of bins do not.
    different = len(chosen) == 1 or not all(np.array_equal(row, chosen[0], equal_nan=True) for row in chosen[1:])
    return bool((joined >= 0).mean() >= RISING and (joined > 0).mean() >= STRICTLY and different)


def _padding(rows: np.ndarray) -> float | None:
    """Padding of rows: NaN; else 0 or -1 where rows end in several of them, or fall to one."""
    values = rows.astype(np.float64)
    if np.isnan(values).any():
        return float("nan")
    for pad in (-1.0, 0.0):
        ends = values[:, -1] == pad
        if ends.any() and (values[ends].max(axis=1) > pad).any():
            return pad
    return None


def _length(row: np.ndarray, pad: float | None) -> int:
    """How many values of a row are before its padding."""
    if pad is None:
        return len(row)
    filled = np.flatnonzero(~np.isnan(row) if np.isnan(pad) else row != pad)
    return int(filled[-1]) + 1 if len(filled) else 0


def _train(row: np.ndarray, pad: float | None) -> StoredArray:
    train = row[: _length(row, pad)]
    return StoredArray(train.shape, train.dtype, lambda: train)


def _order(shape: tuple[int, ...], others: Mapping[str, StoredArray]) -> tuple[bool, str]:
    """Whether the first of two axes is that of trials, by arrays that have a value for each, and how it is known."""
    votes = {True: [], False: []}
    for name, stored in others.items():
        last = last_part(name)
        if shape[0] == shape[1] or len(stored.shape) != 1 or stored.shape[0] not in shape:
            continue
        of_neurons = any(word in last.lower() for word in NEURON_WORDS)
        if of_neurons or of_trials(last):
            votes[(stored.shape[0] == shape[0]) != of_neurons].append(last)
    if len(votes[True]) == len(votes[False]):
        return True, "assumed, as nothing says otherwise"
    first = len(votes[True]) > len(votes[False])
    return first, f"as {', '.join(votes[first][:4])} fit{'s' * (len(votes[first]) == 1)}"
