"""Times that were stored in single precision: the decimals that they were written from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

DIGITS = 6
"""Decimals that a time in seconds is looked for in: down to a microsecond."""


def in_single_precision(trains: Sequence[np.ndarray]) -> bool:
    """Whether times in double precision were stored in single precision, as each of them is a number of that.

    Whole numbers are numbers of both, and say nothing.

    Args:
        trains: Lists of times.

    Example:
        >>> in_single_precision([np.array([0.25, 4.18], np.float32).astype(np.float64)])
        True
        >>> in_single_precision([np.array([0.25, 4.18])]), in_single_precision([np.array([1.0, 2.0])])
        (False, False)
    """
    trains = [times for times in trains if len(times)]
    # A first look at the ends spares large recordings a pass over all of their spikes.
    if not all(_are_single(times[[0, -1]]) for times in trains) or not all(map(_are_single, trains)):
        return False
    return any((times != np.floor(times)).any() for times in trains)


def as_written(times: np.ndarray) -> np.ndarray:
    """The shortest decimals, down to a microsecond, that single precision stores as these times.

    Spikes and trials are mostly written in milliseconds, and 4.18 s is stored as 4.1799998: as this lies before the
    border of a bin at 4.18 s, the spike would be counted in the bin before its own. No time is moved by more than what
    storing it lost.

    Args:
        times: Times in double precision, each a number of single precision; others, and missing ones, stay as they are.

    Example:
        >>> as_written(np.array([4.18, 0.5, 1999.1234], np.float32).astype(np.float64)).tolist()
        [4.18, 0.5, 1999.1234]
        >>> as_written(np.array([1 / 3])).tolist()
        [0.3333333333333333]
    """
    result, left = times.ravel().copy(), np.flatnonzero(_single(times) == times)
    for digits in range(DIGITS + 1):
        decimal = np.round(result[left], digits)
        found = _single(decimal) == result[left]
        result[left[found]] = decimal[found]
        left = left[~found]
    return result.reshape(times.shape)


def column_as_written(times: np.ndarray) -> np.ndarray:
    """``as_written`` where all of the times that are known were stored in single precision; else as they are."""
    return as_written(times.astype(np.float64)) if in_single_precision([times[np.isfinite(times)]]) else times


def _are_single(times: np.ndarray) -> bool:
    return bool((_single(times) == times).all())


def _single(times: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore", invalid="ignore"):
        return times.astype(np.float32)
