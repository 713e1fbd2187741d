"""``from_spike_times``: a recording from spike times in Python, by the same door as every file with spike times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from spikeloom.data.options import LoadOptions
from spikeloom.data.session.cutting import bin_session
from spikeloom.data.session.series import Series
from spikeloom.data.session.session import Session, resolution
from spikeloom.data.session.trial_table import as_trial_table
from spikeloom.data.spikedata import SpikeData
from spikeloom.data.validation import as_table
from spikeloom.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    Times = Sequence[ArrayLike] | Mapping[Any, ArrayLike]
    Table = pd.DataFrame | Mapping[str, Any]


def from_spike_times(
    times: Times,
    *,
    bin_s: float | None = None,
    trials: Table | ArrayLike | None = None,
    align: str | ArrayLike | None = None,
    before_s: float | None = None,
    after_s: float | None = None,
    window_s: float | None = None,
    signals: Mapping[str, tuple[ArrayLike, ArrayLike] | Series] | None = None,
    neurons: Table | None = None,
    observed: ArrayLike | None = None,
    options: LoadOptions | None = None,
) -> SpikeData:
    """A recording from the spike times of a population, cut into trials and binned.

    Trials are cut around the event ``align``, or taken whole, or, where there are none, all of the recorded time is one
    trial; cut that with ``window_s``. All times are seconds on one clock.

    Args:
        times: Spike times of every neuron, in any order: a list, or a dictionary whose keys become the neuron column
            "id".
        bin_s: Width of a bin; 0.005 if not given.
        trials: When trials were: a table with "start_time" and "stop_time" (the other columns are kept, and may be
            times of events), or (trial, 2) starts and stops.
        align: Trial column with the times of an event that trials are cut around, or these times themselves.
        before_s: Seconds before the event at which a trial starts; 0 if not given.
        after_s: Seconds after the event at which a trial stops.
        window_s: Cut trials or the session into windows of this many seconds.
        signals: Behaviour by name, as (times, values): (sample,) and (sample,) or (sample, dim).
        neurons: One row for each neuron.
        observed: (interval, 2) starts and stops of the time in which spikes were recorded; from the first to the last
            spike if not given, which is noted.
        options: All further options of loading; the keywords take precedence.

    Raises:
        DataError: If times are not finite, sizes contradict each other, or nothing is left.

    Example:
        >>> times = {"a": [0.011, 0.512, 1.03], "b": [0.015, 0.016, 1.055]}
        >>> data = from_spike_times(times, bin_s=0.05, trials=[[0.0, 0.1], [1.0, 1.1]])
        >>> data.counts.tolist()
        [[[1, 2], [0, 0]], [[1, 0], [0, 1]]]
        >>> from_spike_times(times, bin_s=0.01, align=[0.01, 1.03], after_s=0.03)
        SpikeData: 2 trials x 3 bins of 10 ms x 2 neurons, 41.7 Hz mean rate
    """
    wanted: dict[str, Any] = {"bin_s": bin_s, "before_s": before_s, "after_s": after_s, "window_s": window_s}
    table = None if trials is None else as_trial_table(trials)
    if align is not None and not isinstance(align, str):
        event = np.asarray(align, dtype=float)
        if event.ndim != 1 or (table is not None and len(table) != len(event)):
            n = "" if table is None else f", one for each of the {len(table)} trials"
            raise DataError(f"align has shape {event.shape}, but must name a trial column or be a list of times{n}.")
        table = pd.DataFrame({"event_time": event}) if table is None else table.assign(event_time=event)
        align = "event_time"
    wanted["align"] = align
    given = {name: value for name, value in wanted.items() if value is not None}
    return bin_session(
        _session(times, table, signals or {}, neurons, observed), replace(options or LoadOptions(), **given)
    )


def _session(
    times: Any, trials: pd.DataFrame | None, signals: Mapping[str, Any], neurons: Any, observed: Any
) -> Session:
    named = isinstance(times, Mapping)
    trains = [np.asarray(train) for train in (times.values() if named else times)]
    for neuron, train in enumerate(trains):
        if train.ndim != 1 or (train.size and train.dtype.kind not in "buif"):
            raise DataError(
                f"the spike times of neuron {neuron} are {train.dtype} of shape {train.shape}, but must be a list of "
                "seconds; pass one list for each neuron."
            )
    table = as_table("neurons", neurons, len(trains))
    if named and "id" not in table:
        table = table.assign(id=list(times))
    intervals = None
    if observed is not None:
        intervals = np.column_stack([observed.start, observed.end]) if hasattr(observed, "start") else observed
        intervals = np.asarray(intervals, dtype=float).reshape(-1, 2)
    return Session(
        spikes=trains,
        neurons=table,
        trials=trials,
        series={str(name): _series(str(name), one) for name, one in signals.items()},
        observed=None if intervals is None else [intervals] * len(trains),
        resolution_s=max((resolution(train) for train in trains if train.dtype != np.float64), default=0.0),
        provenance={"format": "spike times"},
    )


def _series(name: str, one: Any) -> Series:
    if isinstance(one, Series):
        return one
    if not isinstance(one, tuple | list) or len(one) != 2:
        raise DataError(f"signal '{name}' is {type(one).__name__}, but must be a pair (times, values).")
    times, values = (np.asarray(part, dtype=np.float64) for part in one)
    values = values[:, None] if values.ndim == 1 else values
    if times.ndim != 1 or values.ndim != 2 or len(values) != len(times) or len(times) < 2:
        raise DataError(
            f"signal '{name}' has {times.shape} times and {values.shape} values, but needs two or more times and as "
            "many values, (sample,) or (sample, dim)."
        )
    return Series.of(times, values)
