"""Checks of plausibility of a session's raw times, before they are put in order: the list for all that has a clock.

What the recording that is cut from it shows is checked in ``data/plausibility.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from spikeloom.data.series.series import Series
from spikeloom.errors import DataError

FEWEST = 10
"""Times, or repeated times, from which on their order says anything."""
FEW_JUMPS = 0.01
"""A clock that starts again does so a few times: times of which more than this share jump back are in no order."""
FAR_BACK = 0.1
"""A clock that starts again falls back by more than this share of all the time."""
MOST_UNITS = 0.5
"""Share of the neurons that fall back where it was the clock that did."""
SECONDS_HZ = 0.1
"""Whole numbers that make a lower mean rate than this are not seconds."""
MOST_COUNTS = 4e9
"""Arrays of more counts do not fit into the memory of most machines."""
MANY = 100
"""Spikes from which on whole numbers are no coincidence."""


@dataclass(frozen=True)
class Order:
    """Findings about the spike times of one neuron, while they are put in order.

    Attributes:
        n_spikes: How many there are.
        jumps_back: Places where a time is smaller than the one before it.
        furthest_s: The largest step back.
        repeated: Spikes at the very time of the one before, more than chance makes.
        first_repeated_s: When the first of them is.
    """

    n_spikes: int
    jumps_back: int = 0
    furthest_s: float = 0.0
    repeated: int = 0
    first_repeated_s: float = 0.0


def in_order(times: np.ndarray) -> tuple[np.ndarray, Order]:
    """The times of a neuron in order, and what they showed.

    Args:
        times: Finite spike times in seconds.

    Example:
        >>> ordered, order = in_order(np.array([1.0, 2.0, 0.5]))
        >>> ordered.tolist(), order.jumps_back, order.furthest_s
        ([0.5, 1.0, 2.0], 1, 1.5)
    """
    if len(times) < 2:
        return times, Order(len(times))
    steps = np.diff(times)
    least, jumps = float(steps.min()), 0
    if least < 0:
        jumps = int((steps < 0).sum())
        times = np.sort(times)
        steps = np.diff(times)
    repeated, when = 0, 0.0
    if steps.min() == 0:
        same = steps == 0
        apart = steps[~same]
        # Where times are kept in coarse steps, spikes share one by chance, but then as many are one step apart.
        next_to = int((apart <= 1.5 * apart.min()).sum()) if len(apart) else 0
        if same.sum() > 3 * next_to:
            repeated, when = int(same.sum()), float(times[np.argmax(same)])
    return times, Order(len(times), jumps, max(0.0, -least), repeated, when)


def check_size(spikes: Sequence[np.ndarray], n_bins: int, seconds: float) -> None:
    """Check that the counts of a session are no waste of memory, before they are made.

    Args:
        spikes: Spike times of every neuron.
        n_bins: Bins of all trials, with padding.
        seconds: Time that they last.

    Raises:
        DataError: If there are very many, for so few spikes that times cannot be in seconds.
    """
    n_counts, rate = n_bins * len(spikes), sum(map(len, spikes)) / max(seconds * len(spikes), 1e-9)
    if n_counts > MOST_COUNTS and rate < SECONDS_HZ:
        raise DataError(
            f"{seconds:.6g} s of {len(spikes)} neurons would be {n_counts:.2g} counts, with {rate:.2g} spikes a second "
            "for each neuron: are times in seconds? If so, cut trials around events, or ask for wider bins (bin_s)."
        )


def clock_notes(orders: Sequence[Order], spikes: Sequence[np.ndarray]) -> list[str]:
    """Notes on spike times that fall back, stand twice, or are whole numbers.

    Args:
        orders: What each neuron showed.
        spikes: The times of each in order.

    Raises:
        DataError: If the times are counted in something else than seconds.
    """
    fired = [times for times in spikes if len(times)]
    if not fired:
        return []
    span_s = max(float(times[-1]) for times in fired) - min(float(times[0]) for times in fired)
    return [*_whole_numbers(fired, span_s), *_restarts(orders, span_s), *_repeated(orders)]


def _whole_numbers(fired: Sequence[np.ndarray], span_s: float) -> list[str]:
    n = sum(map(len, fired))
    if n < MANY or not all((times == np.floor(times)).all() for times in fired):
        return []
    latest = max(float(times[-1]) for times in fired)
    rate = n / len(fired) / max(span_s, 1e-9)
    if rate < SECONDS_HZ:
        raise DataError(
            f"all spike times are whole numbers (up to {latest:.15g}), and as seconds they make a mean rate of "
            f"{rate:.2g} Hz: they seem to be samples or milliseconds; divide them by the sampling rate, or by 1000."
        )
    return [f"all spike times are whole numbers (up to {latest:.15g}), and taken as seconds"]


def _restarts(orders: Sequence[Order], span_s: float) -> list[str]:
    enough = [order for order in orders if order.n_spikes >= FEWEST]
    back = [
        order
        for order in enough
        if 0 < order.jumps_back <= max(1, FEW_JUMPS * order.n_spikes) and order.furthest_s > FAR_BACK * span_s
    ]
    if not back or len(back) < MOST_UNITS * len(enough):
        return []
    return [
        f"spike times of {len(back)} of {len(orders)} neurons fall back, by up to "
        f"{max(order.furthest_s for order in back):.6g} s, as if a second recording began there: they were sorted, so "
        "that its spikes lie among those of the first; give each recording times of its own"
    ]


def _repeated(orders: Sequence[Order]) -> list[str]:
    repeated = [(neuron, order) for neuron, order in enumerate(orders) if order.repeated]
    n = sum(order.repeated for _, order in repeated)
    if n < FEWEST:
        return []
    neuron, order = repeated[0]
    return [
        f"{n} spikes of {len(repeated)} of {len(orders)} neurons are at the very time of another spike of the same "
        f"neuron (the first of neuron {neuron} at {order.first_repeated_s:.6g} s), and counted twice; a spike detected "
        "twice is to be left out"
    ]


def trial_notes(trials: pd.DataFrame | None) -> list[str]:
    """A note on trials whose clock starts again: their starts fall back, and they lie among earlier ones."""
    if trials is None or not {"start_time", "stop_time"} <= set(trials):
        return []
    times = trials[["start_time", "stop_time"]].to_numpy(dtype=float)
    times = times[np.isfinite(times).all(axis=1)]
    if len(times) < FEWEST:
        return []
    start, stop = times.T
    back = np.flatnonzero(np.diff(start) < 0)
    if not 0 < len(back) <= max(1, FEW_JUMPS * len(start)):
        return []
    rows = np.argsort(start, kind="stable")
    inside = (start[rows][1:] < np.maximum.accumulate(stop[rows])[:-1]).sum()
    if inside < 0.1 * len(start):
        return []
    first = int(back[0])
    return [
        f"trial {first + 1} starts {start[first] - start[first + 1]:.6g} s before trial {first}, and trials overlap, "
        "as if a second recording began there: give each recording times of its own"
    ]


def series_notes(series: Mapping[str, Series]) -> list[str]:
    """A note on each time series whose timestamps fall back."""
    return [
        f"the timestamps of signal '{name}' fall back by up to {one.falls_back_s:.6g} s: they were sorted, so that "
        "samples of different times may lie side by side"
        for name, one in series.items()
        if len(one.times_s) and one.falls_back_s > FAR_BACK * float(one.times_s[-1] - one.times_s[0])
    ]
