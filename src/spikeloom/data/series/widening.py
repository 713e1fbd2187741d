"""Signals in wider bins: measurements are averaged, angles on the circle, and codes never."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool

from spikeloom.data.series.kinds import as_states, with_angles
from spikeloom.data.series.series import Series, mean_angle
from spikeloom.data.smoothing import SMOOTHED
from spikeloom.data.spikedata import Signal, SpikeData

APART = 1000.0
"""Bins between two trials on the common clock on which the kind of a signal is told, so that none continues another."""


def widened_signals(data: SpikeData, k: int, n_bins: int, notes: list[str]) -> dict[str, Signal]:
    """The signals of a recording in bins that are ``k`` times as wide.

    A signal is the mean of its bins; one that wraps at a full turn is averaged on the circle, and one of a few whole
    numbers that last, a code, has the value at the centre of the new bin. Smoothed counts are spikes per bin: a sum.

    Args:
        data: The recording, whose trials have at least ``k`` bins each.
        k: Bins that become one.
        n_bins: New bins of the longest trial.
        notes: Gets a note about every signal that is not averaged as a measurement.
    """
    return {name: _widened(name, signal, data.valid, k, n_bins, notes) for name, signal in data.signals.items()}


def _widened(
    name: str, signal: Signal, valid: Bool[np.ndarray, "trial time"], k: int, n_bins: int, notes: list[str]
) -> Signal:
    values = signal.values[:, : n_bins * k].reshape(len(signal.values), n_bins, k, signal.values.shape[2])
    if name == SMOOTHED:
        return Signal(values.sum(axis=2), signal.unit, signal.columns)
    series, mean = _series(signal, valid), values.mean(axis=2)
    if as_states(series, integer=False) is not None and not any(_are_pulses(signal, valid)):
        code = values[:, :, (k - 1) // 2]
        if not np.array_equal(code, mean, equal_nan=True):
            notes.append(f"signal '{name}' holds codes: wider bins have the code at their centre, not a mean")
        return Signal(code, signal.unit, signal.columns)
    angle = with_angles({name: series}, (), notes)[name]
    for dim, period in enumerate(angle.periods):
        if period:
            mean[..., dim] = mean_angle(values[..., dim], period, series.values[:, dim])
    return Signal(mean, signal.unit, signal.columns)


def _series(signal: Signal, valid: Bool[np.ndarray, "trial time"]) -> Series:
    """The values of a signal one trial after another, with gaps between them."""
    trial, time = np.nonzero(valid)
    return Series(time + trial * (valid.shape[1] + APART), signal.values[valid].astype(np.float64), signal.unit, ())


def _are_pulses(signal: Signal, valid: Bool[np.ndarray, "trial time"]) -> Iterator[bool]:
    """Whether each dimension is 0 and, in single bins, another value: events, of which a code would lose most."""
    for values in np.moveaxis(np.where(valid[..., None], signal.values, 0.0), 2, 0):
        on = np.pad(values > 0, ((0, 0), (1, 1)))
        begins, ends = (np.flatnonzero(change.ravel()) for change in (on[:, 1:] & ~on[:, :-1], on[:, :-1] & ~on[:, 1:]))
        yield len(np.unique(values)) == 2 and not values.min() and bool(np.median(ends - begins) == 1)
