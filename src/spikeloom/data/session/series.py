"""Behavioural time series on the clock of a session, and how their samples become one value in each bin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from spikeloom.data.spikedata import Signal

GAP = 3.0
"""Samples of a signal further apart than this many sampling intervals have a gap between them, not a straight line."""


@dataclass(frozen=True)
class Series:
    """A behavioural time series.

    Attributes:
        times_s: (sample,) increasing times.
        values: (sample, dim) values in the series' own unit.
        unit: Physical unit.
        columns: Names of the dimensions, if the file has them.
        falls_back_s: The largest step back of the times before they were put in order.
    """

    times_s: Float[np.ndarray, "sample"]
    values: Float[np.ndarray, "sample dim"]
    unit: str
    columns: tuple[str, ...]
    falls_back_s: float = 0.0

    @classmethod
    def of(cls, times_s: np.ndarray, values: np.ndarray, unit: str = "", columns: tuple[str, ...] = ()) -> Series:
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
        return cls(times_s, values, unit, columns, back)


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
    """The value of a series in each bin: the mean of points spread evenly over it, one for each sample it covers.

    A series slower than the bins gives one point, the linear interpolation at the bin's centre. Values are NaN more
    than one sampling interval away from any sample: nothing is invented across a gap.
    """
    interval = float(np.median(np.diff(series.times_s)))
    n_points = max(1, int(np.floor(bin_s / max(interval, bin_s * 1e-3) + 1e-6)))
    total = np.zeros((len(bin_start_s), series.values.shape[1]))
    for i in range(n_points):
        total += _interpolate(series, bin_start_s + (i + 0.5) / n_points * bin_s, interval)
    return total / n_points


def _interpolate(series: Series, at: np.ndarray, interval: float) -> np.ndarray:
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
    share = share[:, None]
    # A weight of zero must not let a missing neighbour in.
    result = np.where(share == 0, low, np.where(share == 1, high, low + (high - low) * share))
    result[far] = np.nan
    return result
