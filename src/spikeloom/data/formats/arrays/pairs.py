"""Arrays that are named as counts and are none: lists of spikes, and values that no neuron reaches."""

from __future__ import annotations

import numpy as np

from spikeloom.data.formats.arrays.array_file import ArrayFile
from spikeloom.data.formats.naming.array_names import plain
from spikeloom.data.plausibility import HIGHEST_RATE_HZ
from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import DataError

LEAST_SPIKES = 20
"""A shorter list is not told from counts."""


def check_counts(counts: np.ndarray, name: str) -> None:
    """Refuse a list of spikes, with a time and a unit for each, where counts were expected.

    Args:
        counts: The array as it is stored.
        name: Its name.

    Raises:
        DataError: If times increase down one of two or three columns, for each of few units by itself.
    """
    if counts.ndim != 2 or min(counts.shape) not in (2, 3) or max(counts.shape) < LEAST_SPIKES:
        return
    columns = counts.T if counts.shape[1] < counts.shape[0] else counts
    for times in range(len(columns)):
        for units in range(len(columns)):
            if times != units and _are_spikes(columns[times], columns[units]):
                raise _pairs(name, counts.shape)


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
    objects = [n for n, stored in file.stored.items() if stored.dtype.kind == "O" and "spike" in plain(n)]
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
