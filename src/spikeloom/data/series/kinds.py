"""Kinds of series that are recognised: angles that wrap, codes of states, and events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from spikeloom.data.series.series import GAP, Series, sampling_interval
from spikeloom.errors import DataError

TURNS = {
    **dict.fromkeys(("deg", "degs", "degree", "degrees", "°"), 360.0),
    **dict.fromkeys(("rad", "rads", "radian", "radians"), 2 * np.pi),
    **dict.fromkeys(("turn", "turns", "cycle", "cycles", "revolution", "revolutions"), 1.0),
}
"""A full turn in the units of angles."""
NO_UNITS = ("", "n.a.", "n.a", "na", "n/a", "none", "a.u.", "au", "unknown", "unitless", "dimensionless", "1")
NO_UNITS = (*NO_UNITS, "state", "states", "code", "codes", "index", "id", "bool", "boolean", "binary", "logical")
"""Units of series whose values measure nothing."""
MOST_STATES = 20
"""A series of more different values is no code of states."""
FULL = 0.1
"""Share of a turn that values may miss, or exceed, where nothing but they say that they are angles."""
SMALL_STEP = 0.1
"""Angles that are seen to turn do so by less than this share of a turn from sample to sample."""
MOST_CHANGES = 0.5
"""States last: a series of whole numbers that changes from sample to sample more often than this is a measurement."""


def with_angles(series: Mapping[str, Series], circular: Sequence[str], notes: list[str]) -> dict[str, Series]:
    """The series, those that are angles as circular ones: the ones named, and those that are seen to wrap.

    Args:
        series: Series by name.
        circular: Names of angles.
        notes: Gets a note about each.

    Raises:
        DataError: If there is no series of one of these names.
    """
    named = {_named(series, name) for name in circular}
    result = {}
    for name, one in series.items():
        angle = None
        if name in named:
            angle = as_angle(one)
            notes.append(f"signal '{name}' is an angle with a full turn of {max(angle.periods):.6g}, as was asked for")
        elif one.kind == "continuous" and (unit_of(one) in TURNS or (unit_of(one) in NO_UNITS and _fills_a_turn(one))):
            angle = wrapped_angle(one)
            if angle is not None:
                turn = f"{max(angle.periods):.6g} {one.unit}".strip()
                notes.append(f"signal '{name}' wraps at a full turn ({turn}) and is averaged on the circle")
        result[name] = angle or one
    return result


def _named(series: Mapping[str, Series], name: str) -> str:
    same = [name] if name in series else [n for n in series if n.endswith((f"_{name}", f"/{name}"))]
    if len(same) != 1:
        raise DataError(
            f"there is no signal '{name}' to average on the circle (signals: {', '.join(series) or 'none'}); name one "
            "of these in circular."
        )
    return same[0]


def as_angle(one: Series) -> Series:
    """The series as a circular one in all of its dimensions; see ``_turn`` for its period."""
    return replace(one, kind="circular", periods=(_turn(one),) * one.values.shape[1])


def wrapped_angle(one: Series) -> Series | None:
    """The series as a circular one in those dimensions that are seen to wrap; None if there is none."""
    turn = _turn(one)
    wraps = [_wraps(one, dim, turn) for dim in range(one.values.shape[1])]
    return replace(one, kind="circular", periods=tuple(turn * there for there in wraps)) if any(wraps) else None


def _turn(one: Series) -> float:
    """A full turn in the unit of the series; without one, in radians if its values span no more than one of these."""
    return TURNS.get(unit_of(one)) or (2 * np.pi if _span(one.values) <= 2 * np.pi * (1 + 1e-3) else 360.0)


def _fills_a_turn(one: Series) -> bool:
    """Whether values without a unit go around a circle: from one end of a turn to the other, and on by small steps."""
    turn = _turn(one)
    for column in one.values.T:
        known = column[np.isfinite(column)]
        if len(known) < 2 or abs(np.ptp(known) / turn - 1) > FULL:
            return False
        begins = min(abs(known.min()), abs(known.min() + turn / 2))
        step = np.diff(known)
        on = abs((step + turn / 2) % turn - turn / 2)  # along the circle
        if begins > FULL * turn or np.median(on) > SMALL_STEP * turn or (abs(step) > turn / 2).mean() > MOST_CHANGES:
            return False
    return True


def unit_of(one: Series) -> str:
    """The unit of a series in lower case."""
    return one.unit.strip().lower()


def _span(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(np.ptp(known)) if known.size else 0.0


def _wraps(one: Series, dim: int, turn: float) -> bool:
    """Whether values of one turn jump by more than half of it between neighbouring samples."""
    known = np.isfinite(one.values[:, dim])
    values, times = one.values[known, dim], one.times_s[known]
    if len(values) < 2 or np.ptp(values) > turn * (1 + 1e-6):
        return False
    neighbours = np.diff(times) <= GAP * sampling_interval(times)
    return bool((abs(np.diff(values))[neighbours] > turn / 2).any())


def as_states(one: Series, integer: bool) -> Series | None:
    """The series as states, if it holds few different whole numbers that last; None if it does not.

    Args:
        one: A series.
        integer: Whether its values are stored as whole numbers or as true and false. If not, it must have no unit, too.
    """
    if one.kind != "continuous" or len(one.values) < 2:
        return None
    values = one.values[np.isfinite(one.values).all(axis=1)]
    if not integer and (unit_of(one) not in NO_UNITS or (values != np.round(values)).any()):
        return None
    few = len(values) and all(len(np.unique(column)) <= min(MOST_STATES, len(column)) for column in values.T)
    if not few or not np.ptp(values, axis=0).any():
        return None
    changes = (np.diff(values, axis=0) != 0).any(axis=1).mean()
    if changes <= MOST_CHANGES:
        return replace(one, kind="state")
    # One sample for each change: these are no samples of a clock.
    return None if is_regular(one.times_s) else replace(one, kind="steps")


def is_regular(times_s: np.ndarray) -> bool:
    """Whether most samples follow each other at the same interval."""
    if len(times_s) < 3:
        return False
    interval = sampling_interval(times_s)
    return bool((abs(np.diff(times_s) - interval) <= 0.05 * interval).mean() > 0.5)
