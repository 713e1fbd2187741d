"""Direction of a velocity at a moment of each trial, as a trial column."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import DataError

ANGLE = "reach_angle_deg"
"""The trial column, the same as that of reaches which are cut from continuous recordings."""


def parse_direction(text: str) -> tuple[str, float]:
    """The signal, and the seconds after the event at which its direction is taken; 0 when not given.

    Raises:
        DataError: If the seconds are no number.

    Example:
        >>> parse_direction("hand_vel"), parse_direction("hand_vel@0.15")
        (('hand_vel', 0.0), ('hand_vel', 0.15))
    """
    name, _, seconds = text.partition("@")
    try:
        at_s = float(seconds or 0)
    except ValueError:
        at_s = float("nan")
    if not name or not np.isfinite(at_s):
        raise DataError(f"direction_of is '{text}', but must be a signal, or a signal and seconds: hand_vel@0.15.")
    return name, at_s


def with_direction(data: SpikeData, signal: str, at_s: float = 0.0, before_s: float = 0.0) -> SpikeData:
    """Add the direction of a velocity at a moment of each trial, in degrees from 0 to 360, counted from x towards y.

    It is missing where the signal is, where the trial has ended, and where nothing moves.

    Args:
        data: Trials.
        signal: A velocity of two dimensions.
        at_s: Seconds after the event that trials are cut around, or after their start where there is none.
        before_s: Seconds before the event at which trials start.

    Raises:
        DataError: If there is no such signal, it has not two dimensions, or the moment lies outside all trials.

    Source:
        Kapoor et al. 2024 (LDNS): the angle of the hand's velocity at movement onset.
    """
    if signal not in data.signals:
        known = ", ".join(data.signals) or "none"
        raise DataError(f"there is no signal '{signal}' for direction_of (signals: {known}); name one that is kept.")
    values = data.signals[signal].values
    if values.shape[2] != 2:
        raise DataError(f"'{signal}' has {values.shape[2]} dimensions, but direction_of needs two, x and y.")
    place = int(np.floor((before_s + at_s) / data.bin_s + 1e-6))
    if not 0 <= place < data.n_bins:
        raise DataError(
            f"direction_of takes the direction {at_s:g} s after the event, but trials reach from {0 - before_s:g} to "
            f"{data.n_bins * data.bin_s - before_s:g} s; choose a moment in them."
        )
    x, y = values[:, place].astype(np.float64).T
    moving = (place < data.lengths) & ((x != 0) | (y != 0))
    angle = np.where(moving, np.rad2deg(np.arctan2(y, x)) % 360, np.nan)
    return replace(data, trials=data.trials.assign(**{ANGLE: angle}))
