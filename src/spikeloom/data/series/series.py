"""Behavioural time series on the clock of a session, and how their samples become one value in each bin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from spikeloom.data.binning import CLOCK_NOISE, EDGE
from spikeloom.data.spikedata import Signal

GAP = 3.0
"""Samples of a signal further apart than this many sampling intervals have a gap between them, not a straight line."""

SHORT = 1e-9
"""A mean direction that is no longer than this is none: angles lie on all sides."""

Kind = Literal["continuous", "circular", "state", "steps", "events"]
"""Ways to take the value of a series in a bin, see ``Series``."""


@dataclass(frozen=True)
class Series:
    """A behavioural time series.

    Its kind says what its value in a bin is:

    - "continuous": the mean over the bin, along straight lines between samples;
    - "circular": the same for angles, along the shorter way around the circle;
    - "state": the sample nearest to the bin's centre, as there is nothing between two codes;
    - "steps": the last sample at the bin's centre, of a series that has a sample for each change only;
    - "events": the sum of the samples in the bin, which is the number of events where each is 1.

    Attributes:
        times_s: (sample,) increasing times.
        values: (sample, dim) values in the series' own unit.
        unit: Physical unit.
        columns: Names of the dimensions, if the file has them.
        kind: What its value in a bin is.
        periods: Length of a full turn in each dimension of a circular series, 0 for one that is no angle.
        falls_back_s: The largest step back of the times before they were put in order.
    """

    times_s: Float[np.ndarray, "sample"]
    values: Float[np.ndarray, "sample dim"]
    unit: str
    columns: tuple[str, ...]
    kind: Kind = "continuous"
    periods: tuple[float, ...] = ()
    falls_back_s: float = 0.0

    @classmethod
    def of(
        cls,
        times_s: np.ndarray,
        values: np.ndarray,
        unit: str = "",
        columns: tuple[str, ...] = (),
        kind: Kind = "continuous",
    ) -> Series:
        """A series of samples in any order; those without a finite time are left out.

        Example:
            >>> one = Series.of(np.array([0.0, 2.0, 1.0]), np.array([[5.0], [7.0], [6.0]]))
            >>> one.values.ravel().tolist(), one.falls_back_s
            ([5.0, 6.0, 7.0], 1.0)
        """
        known = np.isfinite(times_s)
        times_s, values = times_s[known], values[known]
        back = max(0.0, -float(np.diff(times_s).min(initial=0.0)))
        if back:
            order = np.argsort(times_s, kind="stable")
            times_s, values = times_s[order], values[order]
        return cls(times_s, values, unit, columns, kind, falls_back_s=back)


def resampled(
    series: Mapping[str, Series], start_s: Float[np.ndarray, "trial"], n_bins: Int[np.ndarray, "trial"], bin_s: float
) -> dict[str, Signal]:
    """The series as signals of trials, NaN where they were not sampled.

    Args:
        series: Time series by name.
        start_s: Time on the clock of the series at which each trial starts.
        n_bins: Number of bins of each trial.
        bin_s: Width of a bin.
    """
    n_time = int(n_bins.max())
    valid = np.arange(n_time) < n_bins[:, None]
    start = start_s[:, None] + np.arange(n_time) * bin_s
    signals = {}
    for name, one in series.items():
        values = np.zeros((*valid.shape, one.values.shape[1]), dtype=np.float32)
        values[valid] = resample(one, start[valid], bin_s)
        signals[name] = Signal(values, one.unit, one.columns)
    return signals


def resample(series: Series, bin_start_s: Float[np.ndarray, "bin"], bin_s: float) -> Float[np.ndarray, "bin dim"]:
    """The value of a series in each bin, by its kind.

    A series slower than the bins gives the value at the bin's centre. Values are NaN more than one sampling interval
    away from any sample: nothing is invented across a gap. Events are counted; where there are none, they are 0.
    """
    if series.kind == "events":
        return _sum_of_events(series, bin_start_s, bin_s)
    if series.kind == "steps":
        return _last(series, bin_start_s + bin_s / 2)
    if series.kind == "state":
        return _nearest(series, bin_start_s + bin_s / 2)
    return _mean(series, bin_start_s, bin_s)


def sampling_interval(times_s: Float[np.ndarray, "sample"]) -> float:
    """Median time between neighbouring samples; infinite for a single one."""
    return float(np.median(np.diff(times_s))) if len(times_s) > 1 else np.inf


# -- continuous and circular series ------------------------------------------------------------------------------


def _mean(series: Series, bin_start_s: np.ndarray, bin_s: float) -> np.ndarray:
    """The mean of points spread evenly over each bin, one for each sample it covers."""
    interval = sampling_interval(series.times_s)
    n_points = max(1, int(np.floor(bin_s / max(interval, bin_s * 1e-3) + 1e-6)))
    periods = np.array(series.periods or [0.0] * series.values.shape[1])
    circular = periods > 0
    turn = periods[circular] / (2 * np.pi)
    total = np.zeros((len(bin_start_s), len(periods)))
    direction = np.zeros((len(bin_start_s), len(turn)), dtype=np.complex128)
    for i in range(n_points):
        values = _interpolate(series, bin_start_s + (i + 0.5) / n_points * bin_s, interval, periods)
        total += values
        direction += np.exp(1j * values[:, circular] / turn)
    mean = total / n_points
    mean[:, circular] = np.where(abs(direction) > SHORT * n_points, np.angle(direction) * turn, np.nan)
    for dim in np.flatnonzero(circular):
        mean[:, dim] = _in_turn_of(mean[:, dim], series.values[:, dim], float(periods[dim]))
    return mean


def mean_angle(
    values: Float[np.ndarray, "*bins sample"], period: float, source: Float[np.ndarray, "value"]
) -> Float[np.ndarray, "*bins"]:
    """The mean of angles along the last axis, on the circle and in the turn of their source; NaN where there is none.

    Example:
        >>> mean_angle(np.array([[350.0, 20.0]]), 360.0, np.array([0.0, 350.0])).round(6).tolist()
        [5.0]
    """
    turn = period / (2 * np.pi)
    direction = np.exp(1j * np.asarray(values, dtype=np.float64) / turn).mean(axis=-1)
    return _in_turn_of(np.where(abs(direction) > SHORT, np.angle(direction) * turn, np.nan), source, period)


def _in_turn_of(angle: np.ndarray, source: np.ndarray, period: float) -> np.ndarray:
    """Angles in the turn that the source uses: [0, 360), [-180, 180), or the one that begins with its smallest."""
    low, high, edge = np.nanmin(source, initial=np.inf), np.nanmax(source, initial=-np.inf), 1e-6 * period
    begins = next((b for b in (0.0, -period / 2) if b - edge <= low and high <= b + period + edge), None)
    if begins is None:
        begins = 0.0 if high - low > period + edge else float(low)
    inside = begins + np.mod(angle - begins, period)
    # Signals are stored with single precision, which must not round the end of the turn up.
    return np.where(inside.astype(np.float32) >= np.float32(begins + period), begins, inside)


def _interpolate(series: Series, at: np.ndarray, interval: float, periods: np.ndarray) -> np.ndarray:
    times, values = series.times_s, series.values
    after = np.clip(np.searchsorted(times, at, side="right"), 1, len(times) - 1)
    before = after - 1
    width = times[after] - times[before]
    share = np.clip((at - times[before]) / np.where(width > 0, width, 1.0), 0.0, 1.0)
    gap = (width > GAP * interval) | (at < times[0]) | (at > times[-1])
    # On a sample, up to the noise of the clock, the value is that sample's, whatever its neighbours are.
    share = np.where(abs(share - np.round(share)) < 1e-6, np.round(share), share)
    # In a gap and beyond the ends the nearest sample stands for one sampling interval, as it does in a sampled trial.
    share = np.where(gap, np.round(share), share)
    far = gap & (np.minimum(abs(at - times[before]), abs(at - times[after])) > interval * 1.001)
    low, high = values[before], values[after]
    change = high - low
    turns = np.where(periods > 0, periods, 1.0)
    change = np.where(periods > 0, change - turns * np.round(change / turns), change)
    share = share[:, None]
    # A weight of zero must not let a missing neighbour in.
    result = np.where(share == 0, low, np.where(share == 1, high, low + change * share))
    result[far] = np.nan
    return result


# -- states and events -------------------------------------------------------------------------------------------


def _nearest(series: Series, at: np.ndarray) -> np.ndarray:
    times = series.times_s
    after = np.clip(np.searchsorted(times, at), 1, len(times) - 1)
    place = np.where(at - times[after - 1] <= times[after] - at, after - 1, after)
    result = series.values[place]
    result[abs(at - times[place]) > 1.001 * sampling_interval(times)] = np.nan
    return result


def _last(series: Series, at: np.ndarray) -> np.ndarray:
    place = np.searchsorted(series.times_s, at, side="right") - 1
    result = series.values[np.maximum(place, 0)]
    result[place < 0] = np.nan
    return result


def _sum_of_events(series: Series, bin_start_s: np.ndarray, bin_s: float) -> np.ndarray:
    """Half-open bins, with the tolerance of spikes: an event on the border belongs to the later bin."""
    latest = max(abs(series.times_s).max(initial=0), abs(bin_start_s).max(initial=0))
    edge = max(EDGE / 2 * bin_s, CLOCK_NOISE * float(np.spacing(latest)))
    until = np.concatenate([np.zeros((1, series.values.shape[1])), np.cumsum(series.values, axis=0)])
    first = np.searchsorted(series.times_s, bin_start_s - edge)
    last = np.searchsorted(series.times_s, bin_start_s + bin_s - edge)
    return until[last] - until[first]
