"""Stray spikes: a few times far before or behind all others, such as -1 or 1e9 where a time was not known.

They are no sign that anything was recorded then, and must not stretch the observed time, or hide the unit of times.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

FEW, SHARE = 3, 1e-4
"""Strays on one side are at most so many spikes, or this share of all."""
MOST = 100
SILENT_SPIKES = 100.0
"""Between strays and the others is a silence in which this many spikes were to be expected."""
INNER = 0.05
"""Share of the spikes of each neuron, at either end, without which the mean rate is taken."""


def stray_bounds(trains: Sequence[np.ndarray]) -> tuple[float, float]:
    """First and last spike of a population without strays; NaN without a spike.

    Args:
        trains: Spike times of each neuron in any unit, in order.

    Example:
        >>> train = np.arange(0.0, 100.0, 0.1)
        >>> stray_bounds([train, np.array([-50.0, 3.0, 7.0, 1e9])])
        (0.0, 99.9)
    """
    fired = [train for train in trains if len(train)]
    if not fired:
        return np.nan, np.nan
    n = sum(map(len, fired))
    n_most = int(np.clip(SHARE * n, FEW, MOST))
    first, last = (min(float(t[0]) for t in fired), max(float(t[-1]) for t in fired))
    many = [train for train in fired if len(train) >= 1 / INNER]
    if not many or n <= 2 * n_most:
        return first, last
    inner = max(_at(t, 1 - INNER) for t in many) - min(_at(t, INNER) for t in many)
    early = np.sort(np.concatenate([t[: n_most + 1] for t in fired]))[: n_most + 1]
    late = np.sort(np.concatenate([-t[::-1][: n_most + 1] for t in fired]))[: n_most + 1]
    return _without(early, SILENT_SPIKES * inner / n), -_without(late, SILENT_SPIKES * inner / n)


def duration(times: np.ndarray) -> float:
    """How long spike times of a population, in any order, last without strays, in their own unit; 0 without a spike.

    Example:
        >>> duration(np.r_[np.arange(1000) / 10, 1e9])
        99.9
    """
    n = len(times)
    if n <= 2 * MOST:
        return float(np.ptp(times)) if n else 0.0
    n_most = int(np.clip(SHARE * n, FEW, MOST))
    ends = np.partition(times, [n_most, n - n_most - 1])
    some = np.sort(times[:: max(1, n // 10_000)])  # enough for a rate
    longest = SILENT_SPIKES * (_at(some, 1 - INNER) - _at(some, INNER)) / n
    early, late = np.sort(ends[: n_most + 1]), np.sort(-ends[n - n_most - 1 :])
    return -_without(late, longest) - _without(early, longest)


def stray_note(trains: Sequence[np.ndarray], first: float, last: float) -> list[str]:
    """A note on the spikes outside of bounds, if there are any."""
    out = np.sort(np.concatenate([np.zeros(0), *(_outside(train, first, last) for train in trains)]))
    if not len(out):
        return []
    some = ", ".join(f"{time:.6g}" for time in out[:3]) + (", ..." if len(out) > 3 else "")
    one = len(out) == 1
    return [
        f"{len(out)} {'spike is' if one else 'spikes are'} far from all others, which last from {first:.6g} to "
        f"{last:.6g} s (at {some} s): {'it does' if one else 'they do'} not extend the recorded time, and "
        f"{'is' if one else 'are'} left out of it"
    ]


def _outside(train: np.ndarray, first: float, last: float) -> np.ndarray:
    begin, end = np.searchsorted(train, first), np.searchsorted(train, last, side="right")
    return np.r_[train[:begin], train[end:]]


def _at(train: np.ndarray, share: float) -> float:
    return float(train[int(share * (len(train) - 1))])


def _without(ordered: np.ndarray, longest: float) -> float:
    """The first of some times in order behind all steps that are longer."""
    steps = np.flatnonzero(np.diff(ordered) > longest)
    return float(ordered[steps[-1] + 1] if len(steps) else ordered[0])
