"""Stretches of time as ordered, half-open intervals: joined, intersected, and taken away from each other."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from spikeloom.errors import DataError

TOUCHING_S = 1e-6
"""Intervals closer than this touch: clocks are written with floating-point noise."""


def merged(intervals: Float[np.ndarray, "interval 2"], name: str) -> Float[np.ndarray, "merged 2"]:
    """Intervals in order, those that touch joined.

    Args:
        intervals: Starts and stops in seconds, in any order.
        name: What they are, for the error message.

    Raises:
        DataError: If one stops before it starts.

    Example:
        >>> merged(np.array([[2.0, 3.0], [0.0, 1.0], [1.0, 2.0], [5.0, 6.0]]), "intervals").tolist()
        [[0.0, 3.0], [5.0, 6.0]]
    """
    bad = np.flatnonzero(~(intervals[:, 1] >= intervals[:, 0]))
    if len(bad):
        start, stop = intervals[bad[0]]
        raise DataError(f"{name} has an interval from {start:g} to {stop:g} s; correct the file.")
    if not len(intervals):
        return intervals
    intervals = intervals[np.argsort(intervals[:, 0], kind="stable")]
    reach = np.maximum.accumulate(intervals[:, 1])
    first = np.flatnonzero(np.r_[True, intervals[1:, 0] > reach[:-1] + TOUCHING_S])
    return np.column_stack([intervals[first, 0], reach[np.r_[first[1:] - 1, len(reach) - 1]]])


def intersection(a: Float[np.ndarray, "a 2"], b: Float[np.ndarray, "b 2"]) -> Float[np.ndarray, "common 2"]:
    """The time that two ordered lists of intervals have in common.

    Example:
        >>> intersection(np.array([[0.0, 4.0], [5.0, 9.0]]), np.array([[3.0, 6.0]])).tolist()
        [[3.0, 4.0], [5.0, 6.0]]
    """
    return _stretches(a, b, inside_b=True)


def difference(a: Float[np.ndarray, "a 2"], b: Float[np.ndarray, "b 2"]) -> Float[np.ndarray, "left 2"]:
    """The time of one ordered list of intervals that is in none of another.

    Example:
        >>> difference(np.array([[0.0, 10.0]]), np.array([[4.0, 5.0]])).tolist()
        [[0.0, 4.0], [5.0, 10.0]]
    """
    return _stretches(a, b, inside_b=False)


def _stretches(a: np.ndarray, b: np.ndarray, inside_b: bool) -> np.ndarray:
    """The stretches between edges that are in a, and in b or not."""
    edges = np.unique(np.r_[a.ravel(), b.ravel()])
    centre = (edges[1:] + edges[:-1]) / 2
    kept = _contains(a, centre) & (_contains(b, centre) == inside_b)
    return merged(np.column_stack([edges[:-1][kept], edges[1:][kept]]), "intervals")


def _contains(intervals: np.ndarray, times: np.ndarray) -> Bool[np.ndarray, "time"]:
    if not len(intervals):
        return np.zeros(len(times), dtype=bool)
    place = np.searchsorted(intervals[:, 0], times, side="right") - 1
    return (place >= 0) & (times < intervals[np.maximum(place, 0), 1])
