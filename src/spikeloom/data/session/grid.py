"""The grid of the Neural Latents Benchmark: counts and signals binned exactly as its tables are.

The benchmark lays one grid of milliseconds over a session, cuts windows at the first grid point inside them, and
decimates behaviour by a long filter. This gives the same numbers without ever building the table of milliseconds.

Source: Pei et al. 2021, *Neural Latents Benchmark '21*; its published processing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.lib.stride_tricks import sliding_window_view
from scipy.signal import firwin

from spikeloom.data.binning import bin_numbered
from spikeloom.data.series.series import Series, resampled
from spikeloom.data.spikedata import Signal
from spikeloom.errors import DataError

TAPS = 501
"""Length in milliseconds of the filter before decimation (order 500)."""
STEPS = ("target_pos",)
"""Series that jump: every k-th sample is taken as it is."""
DIGITS = 6
"""Milliseconds are rounded to this many decimals before they are truncated."""


@dataclass(frozen=True)
class Grid:
    """Bins of whole milliseconds from the session's time 0.

    Attributes:
        width: Milliseconds in a bin.
        observed: (interval, 2) observed milliseconds, half-open, in order; None if all were.
        end: Milliseconds that the session has.
    """

    width: int
    observed: Int[np.ndarray, "interval 2"] | None
    end: int

    @classmethod
    def of(cls, bin_s: float, observed_s: Float[np.ndarray, "interval 2"] | None, trial_end_s: float) -> Grid:
        """The grid of a session.

        Args:
            bin_s: Width of a bin.
            observed_s: Observed intervals in order.
            trial_end_s: Where the last trial ends.

        Raises:
            DataError: If a bin is not a whole number of milliseconds.
        """
        width = round(bin_s * 1000)
        if width < 1 or abs(bin_s * 1000 - width) > 1e-9:
            raise DataError(
                f"bin_s is {bin_s:g} s, but the bins of the benchmark (binning=nlb) are whole milliseconds; "
                f"{max(width, 1) / 1000:g} s would be."
            )
        if observed_s is None:
            return cls(width, None, int(np.ceil(_milliseconds(np.array([trial_end_s])))[0]))
        ms = _milliseconds(observed_s)
        observed = np.column_stack([np.ceil(ms[:, 0]), np.floor(ms[:, 1])]).astype(np.int64)
        return cls(width, observed, int(np.ceil(_milliseconds(np.r_[observed_s[:, 1], trial_end_s])).max()))

    def bin_from(self, time_s: Float[np.ndarray, "trial"]) -> Int[np.ndarray, "trial"]:
        """The first bin that does not begin before each time, to the nanosecond."""
        return -(-np.rint(time_s * 1e9).astype(np.int64) // (self.width * 1_000_000))

    def count(
        self, spikes: Sequence[np.ndarray], first: Int[np.ndarray, "trial"], n_bins: Int[np.ndarray, "trial"]
    ) -> np.ndarray:
        """Count the spikes of trials: the millisecond of a spike is truncated, and has to be an observed one.

        Args:
            spikes: Increasing spike times of every neuron in seconds.
            first: First bin of each trial.
            n_bins: How many bins it has.

        Returns:
            (trial, time, neuron) counts; zero beyond ``n_bins``.
        """
        numbers = []
        for times in spikes:
            ms = np.floor(_milliseconds(times)).astype(np.int64)
            numbers.append(ms[self._is_observed(ms)] // self.width)
        return bin_numbered(numbers, first, n_bins)

    def observed_bins(
        self, first: Int[np.ndarray, "trial"], n_bins: Int[np.ndarray, "trial"]
    ) -> Int[np.ndarray, "trial"]:
        """Bins of each trial before the first missing one; a bin is missing where its first millisecond is."""
        if self.observed is None:
            return n_bins
        start, place = first * self.width, self._interval(first * self.width)
        left = np.where(place >= 0, self.observed[np.maximum(place, 0), 1] - start, 0)
        return np.minimum(-(-np.maximum(left, 0) // self.width), n_bins)

    def signals(
        self,
        series: Mapping[str, Series],
        first: Int[np.ndarray, "trial"],
        n_bins: Int[np.ndarray, "trial"],
        notes: list[str],
    ) -> dict[str, Signal]:
        """The series as signals: their values at the start of each bin, filtered before they are decimated.

        Values are NaN where a series has no sample at the start of a bin. The benchmark has no angles, states and
        events; they get the value that they have in any other bins.

        Args:
            series: Time series by name.
            first: First bin of each trial on the clock of the series.
            n_bins: How many bins it has.
            notes: Gets a note about series that are not on the grid, and about missing values.
        """
        others = {name: one for name, one in series.items() if one.kind != "continuous"}
        kept = {name: one for name, one in series.items() if name not in others and _on_grid(one.times_s)}
        left_out = [name for name in series if name not in kept and name not in others]
        if left_out:
            notes.append(f"signals left out, as their samples are not at whole milliseconds: {', '.join(left_out)}")
        bin_s = self.width / 1000
        signals = {name: self._signal(name, one, first, n_bins) for name, one in kept.items()}
        return signals | resampled(others, first * bin_s, n_bins, bin_s)

    def _signal(self, name: str, one: Series, first: np.ndarray, n_bins: np.ndarray) -> Signal:
        at = np.rint(one.times_s * 1000).astype(np.int64)
        values = np.zeros((len(first), int(n_bins.max()), one.values.shape[1]))
        for dim, column in enumerate(one.values.T):
            known = np.isfinite(column)
            if not known.any():
                values[..., dim] = np.nan
                continue
            decimated = _Decimated(at[known], column[known], self.width, self.end, name in STEPS)
            for trial, (start, n) in enumerate(zip(first, n_bins)):
                values[trial, :n, dim] = decimated(int(start), int(n))
        return Signal(values, one.unit, one.columns)

    def _interval(self, ms: np.ndarray) -> np.ndarray:
        assert self.observed is not None
        return np.searchsorted(self.observed[:, 0], ms, side="right") - 1

    def _is_observed(self, ms: np.ndarray) -> Bool[np.ndarray, "time"]:
        if self.observed is None:
            return np.ones(len(ms), dtype=bool)
        place = self._interval(ms)
        return (place >= 0) & (ms < self.observed[np.maximum(place, 0), 1])


class _Decimated:
    """One dimension of a series at the starts of bins, filtered over their surroundings only.

    Gaps are filled by straight lines before filtering, and values outside of the session are zero, as the
    benchmark's own filter sees them; where no sample is at the start of a bin, the value is missing again.
    """

    def __init__(self, at: np.ndarray, values: np.ndarray, width: int, end: int, steps: bool):
        self.at, self.values, self.width, self.end = at, np.ascontiguousarray(values), width, end
        self.filtered = width > 1 and not steps
        self.as_float = at.astype(np.float64)
        self.taps = firwin(TAPS, 1.0 / width, window="hamming") if self.filtered else np.ones(1)

    def __call__(self, first: int, n: int) -> Float[np.ndarray, "bin"]:
        half = len(self.taps) // 2
        ms = np.arange(first * self.width - half, (first + n - 1) * self.width + half + 1)
        filled = np.interp(ms, self.as_float, self.values)
        filled[(ms < 0) | (ms >= self.end)] = 0.0
        around = np.ascontiguousarray(sliding_window_view(filled, len(self.taps))[:: self.width])
        result = around @ self.taps
        starts = (first + np.arange(n)) * self.width
        place = np.minimum(np.searchsorted(self.at, starts), len(self.at) - 1)
        result[self.at[place] != starts] = np.nan
        return result


def _milliseconds(time_s: np.ndarray) -> np.ndarray:
    return np.round(time_s * 1000, DIGITS)


def _on_grid(times_s: np.ndarray) -> bool:
    rounded = np.round(times_s, 6)
    return bool((abs(rounded * 1000 - np.rint(rounded * 1000)) < 1e-6).all())
