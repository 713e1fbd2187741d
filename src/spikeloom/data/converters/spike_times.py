"""Spike times in Python: a recording from them, by the same door as every file with spike times, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from spikeloom.data.converters.signals import as_series
from spikeloom.data.options import EventOptions, LoadOptions, SeriesOptions, SessionOptions, check_supported
from spikeloom.data.series.series import Series
from spikeloom.data.session.cutting import DEFAULT_BIN_S, bin_session
from spikeloom.data.session.session import Session, resolution
from spikeloom.data.session.sorting import of_quality
from spikeloom.data.session.trial_table import as_trial_table
from spikeloom.data.spikedata import SpikeData
from spikeloom.data.validation import as_table
from spikeloom.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    Times = Sequence[ArrayLike] | Mapping[Any, ArrayLike] | np.ndarray | pd.Series
    Table = pd.DataFrame | Mapping[str, Any]

EVENT = "event_time"
"""Trial column of the times that trials are cut around, where they come without a name."""
ELSEWHERE = {
    "time_support": "from_pynapple",
    "spiketrains": "from_neo",
    "get_unit_spike_train": "from_spikeinterface",
    "segments": "from_neo",
}
"""Attributes by which objects of other libraries are known, and the function that reads them."""
FEW_UNITS = 0.5
"""A list of numbers with fewer distinct values than this share of them is one of units, not of times."""


def from_spike_times(
    times: Times,
    *,
    bin_s: float | None = None,
    trials: Table | ArrayLike | None = None,
    align: str | ArrayLike | None = None,
    before_s: float | None = None,
    after_s: float | None = None,
    window_s: float | None = None,
    signals: Mapping[str, Any] | None = None,
    neurons: Table | None = None,
    observed: ArrayLike | None = None,
    options: LoadOptions | None = None,
) -> SpikeData:
    """A recording from the spike times of a population, cut into trials and binned.

    Trials are cut around the event ``align``, or taken whole, or, where there are none, all of the recorded time is one
    trial; cut that with ``window_s``. All times are seconds on one clock.

    Args:
        times: Spike times of every neuron, in any order: a list, or a dictionary (or pandas Series) whose keys become
            the neuron column "id".
        bin_s: Width of a bin; 0.005 if not given.
        trials: When trials were: a table with "start_time" and "stop_time" (the other columns are kept, and may be
            times of events), or (trial, 2) starts and stops.
        align: Trial column with the times of an event that trials are cut around, or these times themselves.
        before_s: Seconds before the event at which a trial starts; 0 if not given.
        after_s: Seconds after the event at which a trial stops.
        window_s: Cut trials or the session into windows of this many seconds.
        signals: Behaviour by name, as (times, values): (sample,) and (sample,) or (sample, dim); or pandas objects
            whose index is time.
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
    table = None if trials is None else as_trial_table(trials)
    table, align = with_event(table, align)
    chosen = chosen_options(
        options, bin_s=bin_s, align=align, before_s=before_s, after_s=after_s, window_s=window_s, what="spike times"
    )
    return bin_session(session_of(times, table, signals, neurons, observed, chosen), chosen)


def chosen_options(options: LoadOptions | None, what: str, **keywords: Any) -> LoadOptions:
    """All options of one call, of which keywords that are not None take precedence.

    Raises:
        DataError: If one is meant for files alone.
    """
    chosen = replace(options or LoadOptions(), **{name: value for name, value in keywords.items() if value is not None})
    check_supported(chosen, (EventOptions, SessionOptions, SeriesOptions), what)
    for name in ("trials", "intervals"):
        if getattr(chosen, name) is not None:
            raise DataError(f"the option {name} names a part of a file; pass trials as the keyword trials=.")
    return chosen


def with_event(table: pd.DataFrame | None, align: Any) -> tuple[pd.DataFrame | None, str | None]:
    """The trials with the times of an event that was passed as such, and the name of its column.

    Raises:
        DataError: If there is not one time for each trial.
    """
    if align is None or isinstance(align, str):
        return table, align
    event = np.asarray(align, dtype=float)
    if event.ndim != 1 or (table is not None and len(table) != len(event)):
        n = "" if table is None else f", one for each of the {len(table)} trials"
        raise DataError(f"align has shape {event.shape}, but must name a trial column or be a list of times{n}.")
    return (pd.DataFrame({EVENT: event}) if table is None else table.assign(**{EVENT: event})), EVENT


def session_of(
    times: Any,
    trials: pd.DataFrame | None,
    signals: Mapping[str, Any] | None,
    neurons: Any,
    observed: Any,
    options: LoadOptions,
    origin: str = "spike times",
) -> Session:
    """The session of spike times and of all that was recorded with them; see ``from_spike_times`` for what they are.

    Raises:
        DataError: If these are not lists of times, or sizes contradict each other.
    """
    ids, trains = _trains(times)
    table = as_table("neurons", neurons, len(trains))
    if ids is not None and "id" not in table:
        table = table.assign(id=ids)
    intervals = None
    if observed is not None:
        pairs = as_trial_table(observed) if hasattr(observed, "start") else None
        intervals = observed if pairs is None else pairs[["start_time", "stop_time"]].to_numpy()
        intervals = _pairs("observed", intervals)
    bin_s = options.bin_s or DEFAULT_BIN_S
    series: dict[str, Series] = {str(name): as_series(str(name), one, bin_s) for name, one in (signals or {}).items()}
    session = Session(
        spikes=trains,
        neurons=table,
        trials=trials,
        series=series,
        observed=None if intervals is None else [intervals] * len(trains),
        resolution_s=max((resolution(train) for train in trains if train.dtype != np.float64), default=0.0),
        provenance={"format": origin},
    )
    return of_quality(session, options.quality)


def spike_times(data: SpikeData, trial_start_s: Float[np.ndarray, "trial"]) -> list[np.ndarray]:
    """Spike times in seconds of every neuron, given when each trial starts.

    The j-th of c spikes of a bin that starts at t is put at t + bin_s * j / (c + 1).
    """
    by_neuron = np.ascontiguousarray(data.counts.transpose(2, 0, 1)).reshape(data.n_neurons, -1)
    neuron, position = np.nonzero(by_neuron)
    count = by_neuron[neuron, position].astype(np.int64)
    trial, bin_ = np.divmod(position, data.n_bins)
    first = np.repeat(np.cumsum(count) - count, count)
    within = (np.arange(len(first)) - first + 1) / (np.repeat(count, count) + 1)
    times = np.repeat(np.asarray(trial_start_s)[trial] + bin_ * data.bin_s, count) + within * data.bin_s
    ends = np.cumsum(by_neuron.sum(axis=1, dtype=np.int64))
    return np.split(times, ends[:-1])


def one_after_another(data: SpikeData, gap_s: float) -> tuple[Float[np.ndarray, "trial"], Float[np.ndarray, "trial"]]:
    """Starts and stops of trials that are laid one after another from 0 s, with a gap between them."""
    duration = data.lengths * data.bin_s
    start = np.concatenate([[0.0], np.cumsum(duration + gap_s)[:-1]])
    return start, start + duration


# -- lists of times --------------------------------------------------------------------------------------------------


def _trains(times: Any) -> tuple[list[Any] | None, list[np.ndarray]]:
    """The names of neurons, where there are any, and their spike times."""
    for attribute, function in ELSEWHERE.items():
        if hasattr(times, attribute):
            raise DataError(f"times is a {type(times).__name__}; use spikeloom.{function}, which keeps all of it.")
    ids = None
    if isinstance(times, pd.DataFrame):
        raise DataError(
            f"times is a table (columns: {', '.join(map(str, times))}); pass its column of spike times, one list for "
            "each neuron, and the other columns as neurons."
        )
    if isinstance(times, pd.Series):
        ids = None if isinstance(times.index, pd.RangeIndex) else times.index.tolist()
        times = times.to_numpy()
    elif isinstance(times, Mapping):
        ids, times = list(times), list(times.values())
    elif isinstance(times, str) or not hasattr(times, "__iter__"):
        raise DataError(f"times is {type(times).__name__}, but must be a list of the spike times of each neuron.")
    trains = [_train(neuron, train) for neuron, train in enumerate(times)]
    if not trains:
        raise DataError("times holds no neuron; pass one list of spike times for each.")
    if ids is None and len(trains) == 2 and _is_unit_of_each(*trains):
        raise DataError(
            f"times is a pair of {len(trains[0])} spike times and the unit of each; split them with "
            "{u: times[units == u] for u in numpy.unique(units)}."
        )
    for neuron, train in enumerate(trains):
        if train.ndim != 1 or (train.size and train.dtype.kind not in "uif"):
            one = "; of one neuron, pass [times]" if train.ndim == 0 else ""
            raise DataError(
                f"the spike times of neuron {neuron} are {train.dtype} of shape {train.shape}, but must be a list of "
                f"seconds; pass one list for each neuron{one}."
            )
    if isinstance(times, np.ndarray) and times.ndim == 2 and _are_counts(times):
        raise DataError(
            f"times is an array of shape {times.shape} whose rows do not increase, so counts in bins rather than "
            "times; make a recording of counts with spikeloom.SpikeData(counts, bin_s=...)."
        )
    return ids, [train if train.size else np.zeros(0) for train in trains]


def _train(neuron: int, times: Any) -> np.ndarray:
    """Times of a neuron as an array; those with a unit of time are brought to seconds.

    Raises:
        DataError: If they are lists of lists, such as those of trials.
    """
    if hasattr(times, "rescale"):  # quantities
        return np.asarray(times.rescale("s").magnitude, dtype=np.float64)
    if times is None:
        return np.zeros(0)
    ragged = isinstance(times, list | tuple) or (isinstance(times, np.ndarray) and times.dtype == object)
    if ragged and any(hasattr(one, "__len__") and not isinstance(one, str) for one in times):
        raise DataError(
            f"the spike times of neuron {neuron} are {len(times)} lists, but must be one list of seconds on the clock "
            "of the session; of times[neuron][trial], add the start of each trial and join them: "
            "[numpy.concatenate([numpy.asarray(t) + s for t, s in zip(one, starts)]) for one in times]."
        )
    train = np.asarray(getattr(times, "t", times))
    if train.dtype.kind == "m":
        return train / np.timedelta64(1, "s")
    if train.dtype == object and train.ndim == 1 and all(isinstance(t, float | int | np.number) for t in train):
        return train.astype(np.float64)
    return train


def _is_unit_of_each(times: np.ndarray, units: np.ndarray) -> bool:
    """Whether two lists are spike times and the unit of each, rather than the spike times of two neurons."""
    if times.shape != units.shape or times.ndim != 1 or len(times) < 3 or times.dtype.kind not in "uif":
        return False
    if units.dtype.kind in "USO":
        return True
    if units.dtype.kind not in "uif" or not np.array_equal(units, np.rint(units)):
        return False
    return len(np.unique(units)) < FEW_UNITS * len(units)


def _are_counts(times: np.ndarray) -> bool:
    return times.shape[1] > 1 and np.array_equal(times, np.rint(times)) and not (np.diff(times, axis=1) > 0).all()


def _pairs(name: str, intervals: Any) -> np.ndarray:
    pairs = np.asarray(intervals, dtype=float)
    if pairs.shape == (2,):
        pairs = pairs[None]
    if pairs.ndim != 2 or pairs.shape[1] != 2 or not len(pairs) or not np.isfinite(pairs).all():
        raise DataError(
            f"{name} has shape {pairs.shape}, but must be (interval, 2) starts and stops in seconds, all of them known."
        )
    return pairs
