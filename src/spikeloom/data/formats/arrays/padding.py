"""Padding of counts behind the end of each trial: NaN, -1 or 255, which also tell the axes, or zeros by durations."""

from __future__ import annotations

from itertools import permutations

import numpy as np
from jaxtyping import Bool, Int, Shaped

from spikeloom.data.binning import EDGE
from spikeloom.data.formats.arrays.array_file import ArrayFile
from spikeloom.data.formats.arrays.bin_width import MILLISECONDS
from spikeloom.data.formats.naming.array_names import plain, unit_of
from spikeloom.data.session.single_precision import as_written
from spikeloom.data.session.trial_files import DURATIONS

PAD = -1
"""Padding of counts of whole numbers, among which there is no NaN; of small ones without a sign, the largest."""


MASKS = ("mask", "masks", "valid", "valid_mask", "is_valid", "padding_mask", "pad_mask", "padding", "trial_mask")
MASKS = (*MASKS, "time_mask", "bin_mask", "attention_mask", "seq_mask", "sequence_mask", "spikes_mask", "counts_mask")
"""Names of arrays that say of each bin whether it is padding."""
LEAST_FILLED = 0.5
"""Share of the bins that the longest trial fills, at least, where durations are those of what was recorded."""


def with_missing(values: np.ndarray, name: str, notes: list[str]) -> np.ndarray:
    """Counts whose padding is -1, or 255 of bytes, with NaN in its place; others as they are.

    Padding is the same for all neurons; a -1 here and there is none, and is refused later as a count.

    Args:
        values: Counts with two or three axes in any order.
        name: What they are called.
        notes: Gets a note where -1 was taken as padding.

    Example:
        >>> notes = []
        >>> with_missing(np.array([[1, 0], [2, 3], [-1, -1]]), "counts", notes).tolist(), len(notes)
        ([[1.0, 0.0], [2.0, 3.0], [nan, nan]], 1)
    """
    small = values.dtype.kind == "u" and values.dtype.itemsize <= 2
    pad = int(np.iinfo(values.dtype).max) if small else PAD
    if not values.size or not (small or values.dtype.kind in "if"):
        return values
    extreme = values.max() if small else np.fmin.reduce(values, axis=None)
    if extreme != pad:
        return values
    padding = values == pad
    if ((values < 0) & ~padding).any() or not _axes(padding):
        return values
    notes.append(f"{pad} in '{name}' is padding: bins in which it stands for all neurons were not recorded")
    return np.where(padding, np.nan, values).astype(np.float64 if values.dtype.itemsize > 4 else np.float32)


def orders_of_padding(values: np.ndarray, names: tuple[str, ...]) -> frozenset[tuple[str, ...]]:
    """The orders of the axes in which missing counts are those of all neurons in the last bins of trials; none if open.

    A neuron or a trial that is missing as a whole says nothing: padding differs in length from trial to trial.

    Args:
        values: Counts, missing (NaN) where they are padded.
        names: Names of the axes in the standard order, "trial", "time" and "neuron".

    Example:
        >>> values = np.ones((3, 2, 5))
        >>> values[0, :, 3:] = values[1, :, 4:] = np.nan
        >>> sorted(orders_of_padding(values, ("trial", "time", "neuron")))
        [('trial', 'neuron', 'time')]
    """
    if values.dtype.kind != "f" or values.ndim != 3:
        return frozenset()
    missing = np.isnan(values)
    if not missing.any():
        return frozenset()
    pairs = _axes(missing, least_lengths=2)
    return frozenset(order for order in permutations(names) if (order.index("neuron"), order.index("time")) in pairs)


def lengths_by_durations(
    file: ArrayFile, counts: Shaped[np.ndarray, "trial time neuron"], bin_s: float
) -> Int[np.ndarray, "trial"] | None:
    """Whole bins of each trial by an array of durations behind which there is no spike; None without one.

    They are in the unit that its name says, else in seconds, milliseconds or bins: the one in which the longest trial
    fills most of the bins that there are.

    Args:
        file: The arrays; gets a note about the one that is used, or that counts contradict.
        counts: Spike counts.
        bin_s: Width of a bin.
    """
    n_trials, n_bins = counts.shape[:2]
    last = n_bins - np.argmax((counts != 0).any(2)[:, ::-1], axis=1)  # bins up to the last spike
    for name, stored in file.free():
        stem, unit_s = unit_of(name)
        if stem not in DURATIONS or stored.shape != (n_trials,) or stored.dtype.kind not in "uif":
            continue
        values = as_written(file.stored[name].read().astype(np.float64)) / bin_s
        units = (unit_s,) if unit_s is not None else (1.0, MILLISECONDS, bin_s)
        for unit in units:
            bins = np.where(np.isfinite(values), values * unit, n_bins)
            if not LEAST_FILLED * n_bins <= bins.max() < n_bins + 1 or bins.min() < 1 - EDGE:
                continue
            if (last > np.ceil(bins - EDGE))[counts.any((1, 2))].any():
                file.notes.append(f"'{name}' is a column only, as there are spikes beyond it")
                break
            file.notes.append(f"trials last as long as '{name}' says, in units of {unit:g} s; what follows is padding")
            return np.minimum(np.floor(bins + EDGE).astype(np.int64), n_bins)
    return None


def lengths_by_mask(file: ArrayFile, counts: np.ndarray) -> Int[np.ndarray, "trial"] | None:
    """The bins of each trial by a mask that holds up to its end, or behind it, with no spike there; None without one.

    Args:
        file: The arrays; gets a note about the one that is used, or that says something else.
        counts: Spike counts.
    """
    fired = (counts != 0).any(axis=2)
    for name, stored in file.stored.items():  # one of floats is a signal, too
        if plain(name) not in MASKS or stored.shape != fired.shape or not stored.is_number:
            continue
        values = file.stored[name].read()
        if not np.isin(values, (0, 1)).all() or (values == values[0, 0]).all():
            continue
        for valid in (values == 1, values == 0):
            lengths = valid.sum(axis=1)
            if np.array_equal(valid, np.arange(fired.shape[1]) < lengths[:, None]) and not fired[~valid].any():
                file.taken.add(name)
                file.notes.append(f"trials last as long as the mask '{name}' says; what follows is padding")
                return lengths
        file.notes.append(f"'{name}' does not hold up to the end of each trial, so it is no mask of padding")
    return None


def _axes(missing: Bool[np.ndarray, "*axes"], least_lengths: int = 1) -> set[tuple[int, int]]:
    """Which axes may be those of neurons and of bins: along one padding is the same, along the other it comes last.

    Args:
        missing: Where counts are padded.
        least_lengths: Of how many lengths padding has to be.
    """
    found = set()
    for neuron in range(missing.ndim):
        whole = np.asarray(missing.all(axis=neuron))
        if not np.array_equal(whole, missing.any(axis=neuron)):
            continue
        for time in (axis for axis in range(missing.ndim) if axis != neuron):
            along = np.moveaxis(whole, time - (time > neuron), -1)
            lengths = set(np.unique(along.sum(axis=-1)).tolist()) - {0, along.shape[-1]}
            last = along.ndim == 1 or bool((np.diff(along.astype(np.int8), axis=-1) >= 0).all())
            if last and len(lengths) >= least_lengths:
                found.add((neuron, time))
    return found
