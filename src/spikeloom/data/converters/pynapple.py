"""A recording to and from pynapple: a TsGroup, an IntervalSet of trials, and TsdFrames (extra ``convert``)."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from spikeloom.data.columns import plain_column, typed_column
from spikeloom.data.converters.rows import cut_with_rows, with_own_columns
from spikeloom.data.converters.spike_times import (
    EVENT,
    chosen_options,
    one_after_another,
    session_of,
    spike_times,
    with_event,
)
from spikeloom.data.options import LoadOptions
from spikeloom.data.recorded_time import FROM_S
from spikeloom.data.session.events import events_in_trials
from spikeloom.data.session.trial_table import as_trial_table
from spikeloom.data.spikedata import SpikeData
from spikeloom.data.steps import apply_options
from spikeloom.errors import DataError

if TYPE_CHECKING:
    import pynapple

RATE = "rate"
"""Column of every TsGroup, which pynapple computes itself."""
CLOCK = ("start_time", "stop_time", FROM_S, EVENT)
"""Columns that cutting sets; where trials have them already, their own are kept."""


def to_pynapple(data: SpikeData, gap_s: float = 1.0) -> tuple[pynapple.TsGroup, pynapple.IntervalSet]:
    """Spike times and trials on one clock, see ``SpikeData.to_pynapple``."""
    import pynapple as nap

    start, stop = one_after_another(data, gap_s)
    trials = data.trials
    if data.splits and "split" not in trials:
        split = np.full(data.n_trials, None, dtype=object)
        for name, indices in reversed(list(data.splits.items())):
            split[indices] = name
        trials = trials.assign(split=split)
    with warnings.catch_warnings():
        # Of names that cannot be attributes (a space, "start"); ``get_info`` reaches those columns.
        warnings.simplefilter("ignore")
        epochs = nap.IntervalSet(start=start, end=stop, metadata=_metadata(trials))
        trains = {neuron: nap.Ts(times, time_support=epochs) for neuron, times in enumerate(spike_times(data, start))}
        neurons = data.neurons.rename(columns={RATE: f"neuron_{RATE}"})
        return nap.TsGroup(trains, time_support=epochs, bypass_check=True, metadata=_metadata(neurons)), epochs


def to_pynapple_signals(data: SpikeData, gap_s: float = 1.0) -> dict[str, pynapple.TsdFrame]:
    """Signals on the same clock, see ``SpikeData.to_pynapple_signals``."""
    import pynapple as nap

    start, stop = one_after_another(data, gap_s)
    times = (start[:, None] + (np.arange(data.n_bins) + 0.5) * data.bin_s)[data.valid]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of trials that touch
        epochs = nap.IntervalSet(start=start, end=stop)
        return {
            name: nap.TsdFrame(t=times, d=signal.values[data.valid], columns=list(signal.columns), time_support=epochs)
            for name, signal in data.signals.items()
        }


def from_pynapple(
    group: pynapple.TsGroup | pynapple.Ts | Mapping[Any, pynapple.Ts],
    *,
    bin_s: float | None = None,
    trials: Any = None,
    align: Any = None,
    before_s: float | None = None,
    after_s: float | None = None,
    window_s: float | None = None,
    signals: Mapping[str, Any] | None = None,
    options: LoadOptions | None = None,
) -> SpikeData:
    """A recording from a TsGroup, cut into trials and binned.

    The index of the group becomes the neuron column "id", its metadata further columns, and its time support the
    observed time, unless it is only that from the first to the last spike of each unit. It is the inverse of
    ``SpikeData.to_pynapple`` with the ``bin_s`` of the recording; trials get "start_time" and "stop_time" besides.

    Args:
        group: Spike times of the population.
        bin_s: Width of a bin in seconds; 0.005 if not given.
        trials: When trials were: an IntervalSet, whose metadata become trial columns, or a table or pairs of times; or
            the times of events (Ts, Tsd) that trials are cut around. The column "split" names the split of each.
        align: Event that trials are cut around: a trial column of times, one time for each trial, or a Ts of events, of
            which each trial has the first that lies in it.
        before_s: Seconds before the event at which a trial starts; 0 if not given.
        after_s: Seconds after the event at which a trial stops.
        window_s: Cut trials or the session into windows of this many seconds.
        signals: Behaviour by name: Tsd, or TsdFrame with its columns.
        options: All further options of loading; the keywords take precedence.

    Raises:
        DataError: If there is no spike train, sizes contradict each other, or nothing is left.

    Example:
        >>> import pynapple as nap
        >>> group = nap.TsGroup({3: nap.Ts([0.1, 1.2]), 8: nap.Ts([0.3])}, time_support=nap.IntervalSet(0, 2))
        >>> from_pynapple(group, bin_s=0.1, trials=nap.IntervalSet([0.0, 1.0], [0.5, 1.5])).counts.sum(axis=1).tolist()
        [[1, 1], [1, 0]]
    """
    notes: list[str] = []
    table, align = _trials(trials, align, notes)
    chosen = chosen_options(
        options, bin_s=bin_s, align=align, before_s=before_s, after_s=after_s, window_s=window_s, what="a TsGroup"
    )
    trains, neurons, observed = _units(group)
    session = session_of(trains, table, signals, neurons, observed, chosen, "pynapple")
    data, cut_notes, rows = cut_with_rows(session, chosen)
    own = _clashing(trials)
    if rows is not None and own is not None and table is not None:
        data = with_own_columns(data, own, rows, table["start_time"].to_numpy())
    return apply_options(data, chosen, [*notes, *cut_notes])


def _trials(trials: Any, align: Any, notes: list[str]) -> tuple[pd.DataFrame | None, str | None]:
    """The table of trials, and the column of the event."""
    if _is_events(trials):
        if align is not None:
            raise DataError("trials are the times of events, and align names others; leave one of them out.")
        columns = {"value": np.asarray(trials.values)} if hasattr(trials, "values") else {}
        return pd.DataFrame({EVENT: np.asarray(trials.t), **columns}), EVENT
    table = None if trials is None else as_trial_table(trials)
    if _is_events(align):
        times = np.asarray(align.t)
        if table is None or len(times) == len(table):
            return with_event(table, times)
        return table.assign(**{EVENT: events_in_trials(table, times, "align", notes)}), EVENT
    return with_event(table, align)


def _is_events(one: Any) -> bool:
    return hasattr(one, "t") and hasattr(one, "time_support")


def _clashing(trials: Any) -> pd.DataFrame | None:
    """Metadata whose names are those of columns that cutting sets."""
    names = [name for name in CLOCK if name in getattr(trials, "metadata_columns", ())]
    return pd.DataFrame({name: typed_column(trials.get_info(name)) for name in names}) if names else None


def _units(group: Any) -> tuple[dict[Any, np.ndarray], pd.DataFrame, Any]:
    """Spike times by index, the table of units, and the observed time if it is stated."""
    if _is_events(group) and not hasattr(group, "columns"):
        return {0: np.asarray(group.t)}, pd.DataFrame(index=[0]), _stated(group.time_support, [np.asarray(group.t)])
    if not isinstance(group, Mapping) or not len(group):
        raise DataError(
            f"the group is {type(group).__name__}, but must be a TsGroup, with a Ts of spike times for each neuron."
        )
    for key, train in group.items():
        if not hasattr(train, "t"):
            raise DataError(f"unit {key} of the group is {type(train).__name__}, but must be a Ts of spike times.")
    trains = {key: np.asarray(train.t) for key, train in group.items()}
    metadata: Any = group
    names = [str(name) for name in getattr(group, "metadata_columns", ()) if name != RATE]
    neurons = pd.DataFrame({name: typed_column(metadata.get_info(name)) for name in names}, index=range(len(trains)))
    support = getattr(group, "time_support", None)
    return trains, neurons, None if support is None else _stated(support, list(trains.values()))


def _stated(support: Any, trains: list[np.ndarray]) -> np.ndarray | None:
    """The time support, unless it is the one that pynapple makes up: from the first to the last spike of each unit."""
    stated = as_trial_table(support)[["start_time", "stop_time"]].to_numpy()
    spans = np.array([[train[0], train[-1]] for train in trains if len(train) > 1]).reshape(-1, 2)
    spans = spans[np.argsort(spans[:, 0])]
    reach = np.maximum.accumulate(spans[:, 1]) if len(spans) else np.zeros(0)
    first = np.flatnonzero(np.r_[True, spans[1:, 0] > reach[:-1]]) if len(spans) else np.zeros(0, dtype=int)
    made_up = np.column_stack([spans[first, 0], reach[np.r_[first[1:] - 1, len(reach) - 1]]]) if len(spans) else spans
    same = made_up.shape == stated.shape and np.allclose(made_up, stated, rtol=0, atol=2e-6)
    return None if same or not len(stated) else stated


def _metadata(table: pd.DataFrame) -> dict[str, np.ndarray] | None:
    return {str(name): plain_column(pd.Series(table[name])) for name in table} or None
