"""Arrays that are named as counts and are none: lists of spikes, and values that no neuron reaches."""

from __future__ import annotations

from itertools import permutations

import numpy as np

from spikeloom.data.formats.arrays.array_file import ArrayFile
from spikeloom.data.formats.naming.array_names import plain
from spikeloom.data.plausibility import HIGHEST_RATE_HZ
from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import DataError

MOST_PARTS = 0.5
"""Share of the values other than zero that may be no whole numbers; some may be left out, or mark padding."""
LEAST_SPIKES = 20
"""A shorter list is not told from counts."""


def check_counts(counts: np.ndarray, name: str) -> None:
    """Refuse values of which most are no whole numbers, and a list of spikes, with a time and a unit for each.

    Args:
        counts: The array as it is stored.
        name: Its name.

    Raises:
        DataError: If times increase down one of two or three columns, for each of few units by itself, or if values are
            no counts, whatever neurons and trials are kept.
    """
    if counts.ndim == 2 and min(counts.shape) in (2, 3) and max(counts.shape) >= LEAST_SPIKES:
        columns = counts.T if counts.shape[1] < counts.shape[0] else counts
        for times, units in permutations(columns, 2):
            if _are_spikes(times, units):
                raise _pairs(name, counts.shape)
    _refuse_activity(counts, name)


def check_no_rates(data: SpikeData, name: str) -> None:
    """Refuse rates in Hz that are whole numbers, where counts were expected: all are multiples of one spike in a bin.

    Args:
        data: The recording.
        name: Name of the array.

    Raises:
        DataError: If they are.
    """
    one = round(1 / data.bin_s)
    likely = one > 1 and abs(one * data.bin_s - 1) < 1e-6 and data.counts.max() >= one
    if likely and not np.mod(data.counts, data.counts.dtype.type(one)).any():
        raise DataError(
            f"all values of '{name}' are multiples of {one}, which one spike in a bin of {data.bin_s:g} s would be as "
            f"a rate: these seem to be rates in Hz; divide them by {one} for counts."
        )


def check_rates(data: SpikeData, name: str, shape: tuple[int, ...]) -> None:
    """Refuse counts of more spikes than any neuron fires.

    Args:
        data: The recording.
        name: Name of the array.
        shape: Its shape in the file.

    Raises:
        DataError: If the mean rate is above ``HIGHEST_RATE_HZ``.
    """
    rate_hz = float(data.counts.mean(where=data.valid[..., None], dtype=np.float64)) / data.bin_s
    if rate_hz <= HIGHEST_RATE_HZ:
        return
    if len(shape) == 2 and min(shape) in (2, 3) and max(shape) >= LEAST_SPIKES:
        raise _pairs(name, shape)
    raise DataError(
        f"the mean rate of '{name}' is {rate_hz:.3g} Hz for each neuron in bins of {data.bin_s:g} s, which no "
        "neuron has; is it an array of counts, and are its bins that wide (stored_bin_s)?"
    )


def looks_like_spike_times(file: ArrayFile) -> str:
    """A hint for files that hold lists of spike times in place of counts; empty where there are none."""
    objects = [n for n, stored in file.stored.items() if stored.dtype.kind == "O"]
    objects = [n for n in objects if "spike" in plain(n)] or (objects if len(objects) == len(file.stored) else [])
    if objects:
        return (
            f"; '{objects[0]}' is an array of Python objects, which is never loaded, as that can run code: save one "
            "array for each unit, numpy.savez(path, **{f'unit_{i}': times for i, times in enumerate(spikes)}), or pass "
            "the lists to `spikeloom.from_spike_times`"
        )
    named = [
        name
        for name, stored in file.stored.items()
        if len(stored.shape) == 1 and "spike" in plain(name) and stored.dtype.kind in "uif" and stored.shape[0] > 1
    ]
    if not named:
        return ""
    return f"; '{named[0]}' may hold spike times, of which `spikeloom.from_spike_times` makes a recording"


def _refuse_activity(values: np.ndarray, name: str) -> None:
    if values.dtype.kind != "f":
        return
    told = values[np.isfinite(values) & (values != 0)]
    parts = told[told != np.floor(told)]
    if len(parts) > MOST_PARTS * len(told):
        raise DataError(
            f"'{name}' must be spike counts, but {len(parts)} of its {values.size} values are not whole numbers, "
            f"such as {parts[0]:.6g}: are these rates, fluorescence or deconvolved activity? Draw counts from rates "
            "first; activity of imaging holds no counts."
        )


def _are_spikes(times: np.ndarray, units: np.ndarray) -> bool:
    known = np.isfinite(times.astype(np.float64)) & np.isfinite(units.astype(np.float64))
    if not known.all() or (units != np.floor(units)).any() or (times < 0).any():
        return False
    n_units, n_times = len(np.unique(units)), len(np.unique(times))
    if n_units > len(units) / 2 or n_times <= len(times) / 2:
        return False
    order = np.argsort(units, kind="stable")
    same = np.diff(units[order]) == 0
    return bool((np.diff(times[order].astype(np.float64))[same] >= 0).all())


def _pairs(name: str, shape: tuple[int, ...]) -> DataError:
    return DataError(
        f"'{name}' {shape} looks like a list of spikes, each with its time and its unit, not like counts; split the "
        "times by unit and pass them in seconds to `spikeloom.from_spike_times`, or name another array with "
        "counts=<array>."
    )
