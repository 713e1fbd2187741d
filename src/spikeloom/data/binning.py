"""Spike times counted in bins: bins that begin at each trial's own start, or bins of one grid for the whole session."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from jaxtyping import Float, Int

from spikeloom.data.declared import check_declared

EDGE = 1e-6
"""Times are compared to within this share of a bin: clocks are written with floating-point noise."""
CLOCK_NOISE = 4.0
"""Spacings of floating-point numbers that a time may be off: a start, a spike and their difference are each rounded."""


def bin_spikes(
    spikes: Sequence[np.ndarray], start_s: Float[np.ndarray, "trial"], n_bins: Int[np.ndarray, "trial"], bin_s: float
) -> np.ndarray:
    """Count spikes in the bins of stretches that may overlap; the bins of each begin where it starts.

    A spike on the border of two bins belongs to the later one, to within the noise of the clock: a millionth of a bin,
    or the spacing of floating-point numbers where that is wider, as it is for seconds since 1970.

    Args:
        spikes: Increasing spike times of every neuron.
        start_s: Where each stretch starts.
        n_bins: How many bins it has.
        bin_s: Width of a bin.

    Returns:
        (trial, time, neuron) counts; zero beyond ``n_bins``.
    """
    latest = max([*(float(abs(times[-1])) for times in spikes if len(times)), float(abs(start_s).max())])
    edge = max(EDGE / 2, CLOCK_NOISE * float(np.spacing(latest)) / bin_s)

    def found() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for times in spikes:
            first = np.searchsorted(times, start_s - 2 * edge * bin_s)
            last = np.searchsorted(times, start_s + (n_bins + 2 * edge) * bin_s)
            trial, index = _ranges(first, last)
            time = np.floor((times[index] - start_s[trial]) / bin_s + edge).astype(np.int64)
            inside = (time >= 0) & (time < n_bins[trial])
            yield (trial, time) if inside.all() else (trial[inside], time[inside])

    return _counted(found(), len(spikes), n_bins)


def bin_numbered(
    numbers: list[np.ndarray], first: Int[np.ndarray, "trial"], n_bins: Int[np.ndarray, "trial"]
) -> np.ndarray:
    """Count spikes whose bins on a grid are known already.

    Args:
        numbers: For every neuron the numbers of the bins its spikes are in, in increasing order.
        first: Number of the first bin of each stretch; stretches may overlap.
        n_bins: How many bins each has.

    Returns:
        (trial, time, neuron) counts; zero beyond ``n_bins``.
    """

    def found() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for number in numbers:
            trial, index = _ranges(np.searchsorted(number, first), np.searchsorted(number, first + n_bins))
            yield trial, number[index] - first[trial]

    return _counted(found(), len(numbers), n_bins)


def _ranges(first: np.ndarray, last: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every index from first to last of each trial, and whose it is."""
    n = last - first
    trial = np.repeat(np.arange(len(first)), n)
    return trial, np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n) + np.repeat(first, n)


def _counted(found: Iterable[tuple[np.ndarray, np.ndarray]], n_neurons: int, n_bins: np.ndarray) -> np.ndarray:
    """Counts from the trial and the bin of every spike of each neuron, in the order of their time."""
    n_time = int(n_bins.max())
    check_declared((len(n_bins), n_time, n_neurons), 1)  # a time may be damaged
    counts = np.zeros((len(n_bins) * n_time, n_neurons), dtype=np.uint8)
    for neuron, (trial, time) in enumerate(found):
        if not len(trial):
            continue
        place = trial * n_time + time
        # Places never decrease: equal ones follow each other, so counting needs no sort.
        new = np.concatenate([[0], np.flatnonzero(place[1:] != place[:-1]) + 1])
        count = np.diff(new, append=len(place))
        most = int(count.max())
        if most > np.iinfo(counts.dtype).max:
            counts = counts.astype(np.min_scalar_type(most))
        # Into the view of one neuron, in its own type: NumPy is four times faster than with both indices at once.
        counts[:, neuron][place[new]] = count.astype(counts.dtype)
    return counts.reshape(len(n_bins), n_time, n_neurons)
