"""How long trials last, where a file says it beside spike times that are counted from the start of each trial."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float

from spikeloom.data.session.clocks import FACTORS, plain_name, without_unit
from spikeloom.data.session.trial_files import DURATIONS

INSIDE = 0.95
"""Share of the spikes that lie in their trials where start and stop are those of the trial."""


def is_duration(name: object) -> bool:
    """Whether a name, with its unit of time or without, is that of durations of trials.

    Example:
        >>> is_duration("trials/duration_ms"), is_duration("delay")
        (True, False)
    """
    last = str(name).rsplit("/", 1)[-1]
    return plain_name(last) in DURATIONS or without_unit(last)[0] in DURATIONS


def stated_lengths(
    trials: pd.DataFrame, pooled: Sequence[np.ndarray], factor: float, notes: list[str]
) -> Float[np.ndarray, "trial"] | None:
    """How long trials last that begin at zero, by a column of durations that few spikes exceed; None without one.

    Args:
        trials: The table of trials.
        pooled: Spike times of all neurons in each trial, since its start, in seconds.
        factor: Seconds in one unit of the spike times of the file.
        notes: Gets a note about the column.
    """
    for name in (str(n) for n in trials if is_duration(n) and pd.api.types.is_numeric_dtype(trials[n].dtype)):
        values, zero = trials[name].to_numpy(dtype=float), np.zeros(len(trials))
        named = FACTORS.get(without_unit(name)[1])
        # The shortest unit in which trials hold their spikes: 1.2 is no millisecond, and 1200 no second.
        for scale in sorted({named} if named else {factor, 1.0, 1e-3}):
            if are_inside(pooled, zero, values * scale):
                notes.append(f"trials last as long as '{name}' says, in units of {scale:g} s")
                return values * scale
        notes.append(f"'{name}' is a column only, as spikes lie beyond it")
    return None


def are_inside(pooled: Sequence[np.ndarray], start: np.ndarray, stop: np.ndarray, share: float = INSIDE) -> bool:
    """Whether so many of the spikes lie between the start and the stop of their trial."""
    n = sum(map(len, pooled))
    within = sum(int(((one >= a - 1e-6) & (one <= b + 1e-6)).sum()) for one, a, b in zip(pooled, start, stop))
    return n > 0 and within >= share * n
