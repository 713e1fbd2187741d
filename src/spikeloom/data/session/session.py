"""``Session``: spike times, trials and signals on one clock, as every format with spike times gives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from spikeloom.data.series.series import Series
from spikeloom.data.session.single_precision import as_written, column_as_written, in_single_precision
from spikeloom.data.session.strays import stray_bounds, stray_note
from spikeloom.data.session.time_checks import clock_notes, in_order, series_notes, trial_notes
from spikeloom.errors import DataError

Intervals = Float[np.ndarray, "_ 2"]
"""Starts and stops in seconds."""


@dataclass(frozen=True, eq=False)
class Session:
    """A recording session before it is cut into trials and binned; all times are seconds on its clock.

    A format of files only has to give one of these: ``cutting.cut`` does all the rest, the same for every format.

    Attributes:
        spikes: Spike times of each neuron, in any order.
        neurons: One row for each neuron.
        trials: One row for each trial with "start_time" and "stop_time", and the times of its events; None where the
            recording was not cut into trials. An event alone is enough to align to: the other two may be missing.
        series: Behavioural time series by name.
        observed: The intervals in which each neuron was observed, or None where nothing is said.
        invalid: Intervals that are to be left out.
        resolution_s: Steps of the clock in which spike times were stored; 0 where they are those of the number itself.
        saved_bin_s: Width of the bins of a recording that was saved by ``save`` as spike times, else None.
        provenance: Where it comes from; plain values that JSON can hold.
        notes: What was guessed or left out so far.
    """

    spikes: Sequence[np.ndarray]
    neurons: pd.DataFrame
    trials: pd.DataFrame | None = None
    series: Mapping[str, Series] = field(default_factory=dict)
    observed: Sequence[Intervals] | None = None
    invalid: Intervals | None = None
    resolution_s: float = 0.0
    saved_bin_s: float | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()

    def select(self, neurons: Bool[np.ndarray, "neuron"]) -> Session:
        """The session of some neurons: what was left out can neither refuse nor shorten it."""
        rows = np.flatnonzero(neurons)
        return replace(
            self,
            spikes=[self.spikes[row] for row in rows.tolist()],
            neurons=self.neurons.iloc[rows].reset_index(drop=True),
            observed=None if self.observed is None else [self.observed[row] for row in rows.tolist()],
        )

    def checked(self) -> Session:
        """The session with its spike times in order, and notes on times that are hardly plausible.

        Times that were stored in single precision are the decimals that they were written from.

        Raises:
            DataError: If there is no neuron, a spike time is not a finite number (names the neuron and the place), or
                times are not in seconds.
        """
        if not len(self.spikes):
            raise DataError("there are no neurons; name a file that holds spike times of units.")
        trains = [np.asarray(times, dtype=np.float64) for times in self.spikes]
        resolution_s = self.resolution_s
        if in_single_precision(trains):
            resolution_s = max(resolution_s, *(resolution(times.astype(np.float32)) for times in trains))
            trains = [as_written(times) for times in trains]
        ordered, orders = [], []
        for neuron, times in enumerate(trains):
            finite = np.isfinite(times)
            if not finite.all():
                bad = int(np.argmin(finite))
                raise DataError(
                    f"the spike times of neuron {neuron} hold {times[bad]} at place {bad}, but must be finite seconds; "
                    "correct them, or leave the neuron out."
                )
            times, order = in_order(times)
            ordered.append(times)
            orders.append(order)
        notes = [*clock_notes(orders, ordered), *trial_notes(self.trials), *series_notes(self.series)]
        if self.observed is None:
            notes += stray_note(ordered, *stray_bounds(ordered))
        trials = None if self.trials is None else _as_written(self.trials)
        return replace(self, spikes=ordered, trials=trials, resolution_s=resolution_s, notes=[*self.notes, *notes])

    def first_and_last_spike(self) -> tuple[float, float] | None:
        """When any neuron fires for the first and for the last time; None without a spike. Times are in order.

        Unless the session says when it was recorded, a few spikes far from all others do not count; see ``strays``.
        """
        fired = [times for times in self.spikes if len(times)]
        if not fired:
            return None
        if self.observed is None:
            return stray_bounds(fired)
        return min(float(t[0]) for t in fired), max(float(t[-1]) for t in fired)


def _as_written(trials: pd.DataFrame) -> pd.DataFrame:
    """The table of trials with the starts and stops that single precision stored."""
    both = [name for name in ("start_time", "stop_time") if name in trials]
    floats = [name for name in both if trials[name].dtype.kind == "f"]
    return trials.assign(**{name: column_as_written(trials[name].to_numpy()) for name in floats})


def resolution(times: np.ndarray) -> float:
    """Steps in which an array can hold its latest time; whole numbers are steps of their own unit.

    Example:
        >>> resolution(np.array([40000.0], np.float32))
        0.00390625
    """
    if not times.size or times.dtype.kind not in "f":
        return 0.0
    latest = np.abs(times[np.isfinite(times)]).max(initial=0)
    return float(np.spacing(latest.astype(times.dtype)))
