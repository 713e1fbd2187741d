"""A recording from a sorting of spikeinterface, by its methods alone: the library itself is not needed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from spikeloom.data.columns import typed_column
from spikeloom.data.converters.pieces import Piece, cut_pieces
from spikeloom.data.converters.signals import as_series
from spikeloom.data.converters.spike_times import chosen_options, with_event
from spikeloom.data.options import LoadOptions
from spikeloom.data.session.cutting import DEFAULT_BIN_S
from spikeloom.data.session.trial_table import as_trial_table
from spikeloom.data.spikedata import SpikeData
from spikeloom.data.steps import apply_options
from spikeloom.errors import DataError


def from_spikeinterface(
    sorting: Any,
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
    """A recording from a sorting of spikeinterface (any object of class ``BaseSorting``), cut into trials and binned.

    Unit ids become the neuron column "id", properties with one value a unit further columns. The observed time is that
    of the recording registered with the sorting; without one, it is from the first to the last spike, which is noted.
    Of several segments each is a trial, on its own clock (the column "recorded_piece").

    Args:
        sorting: The sorting.
        bin_s: Width of a bin in seconds; 0.005 if not given.
        trials: When trials were, for one segment: a table with "start_time" and "stop_time", or pairs of times.
        align: Trial column of times that trials are cut around, or these times themselves.
        before_s: Seconds before the event at which a trial starts; 0 if not given.
        after_s: Seconds after the event at which a trial stops.
        window_s: Cut trials or segments into windows of this many seconds.
        signals: Behaviour by name, for one segment, as (times, values).
        options: All further options of loading; the keywords take precedence.

    Raises:
        DataError: If it is no sorting, trials are given for several segments, or nothing is left.
    """
    if not hasattr(sorting, "get_unit_spike_train"):
        raise DataError(
            f"the sorting is {type(sorting).__name__}, but must be a sorting of spikeinterface; of a SortingAnalyzer, "
            "pass its attribute sorting."
        )
    n_segments = int(sorting.get_num_segments())
    if n_segments > 1 and (trials is not None or signals or not (align is None or isinstance(align, str))):
        raise DataError(
            f"the sorting has {n_segments} segments with clocks of their own, so trials, events and signals cannot be "
            "placed; choose one with sorting.select_segments([0])."
        )
    table, align = with_event(None if trials is None else as_trial_table(trials), align)
    chosen = chosen_options(
        options, bin_s=bin_s, align=align, before_s=before_s, after_s=after_s, window_s=window_s, what="a sorting"
    )
    ids = list(sorting.get_unit_ids())
    width_s = chosen.bin_s or DEFAULT_BIN_S
    pieces = []
    for segment in range(n_segments):
        span = _recorded(sorting, segment)
        pieces.append(
            Piece(
                spikes=[_spike_times(sorting, unit, segment) for unit in ids],
                observed=None if span is None else [np.array([span])] * len(ids),
                trials=table,
                series={str(name): as_series(str(name), one, width_s) for name, one in (signals or {}).items()},
            )
        )
    notes: list[str] = []
    data, _ = cut_pieces(pieces, _units(sorting, ids), chosen, notes, "spikeinterface")
    return apply_options(data, chosen, notes)


def _spike_times(sorting: Any, unit: Any, segment: int) -> np.ndarray:
    times = sorting.get_unit_spike_train(unit_id=unit, segment_index=segment, return_times=True)
    return np.asarray(times, dtype=np.float64)


def _recorded(sorting: Any, segment: int) -> tuple[float, float] | None:
    """The time that the registered recording lasts; None without one."""
    if not (hasattr(sorting, "has_recording") and sorting.has_recording()):
        return None
    ends = np.array([0, int(sorting.get_num_samples(segment)) - 1])
    if hasattr(sorting, "sample_index_to_time"):
        first_s, last_s = (float(sorting.sample_index_to_time(int(end), segment_index=segment)) for end in ends)
    else:  # before its version 0.101
        first_s, last_s = map(float, np.asarray(sorting.get_times(segment_index=segment))[ends])
    return first_s, last_s + 1.0 / float(sorting.get_sampling_frequency())


def _units(sorting: Any, ids: list[Any]) -> pd.DataFrame:
    """Unit ids, and the properties that have one value a unit."""
    properties = {str(key): np.asarray(sorting.get_property(key)) for key in sorting.get_property_keys()}
    columns = {"id": ids, **{key: values for key, values in properties.items() if values.shape == (len(ids),)}}
    table = {name: typed_column(np.asarray(values)) for name, values in columns.items()}
    return pd.DataFrame(table, index=range(len(ids)))
