"""A recording to and from neo: Blocks and Segments with spike trains, signals and events (extra ``convert``)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from spikeloom.data.columns import plain_column, typed_column, typed_table
from spikeloom.data.converters.neo_trials import first_events, invalid_times, loaded, trials_of
from spikeloom.data.converters.neo_units import matched_units, single_values, unit_table
from spikeloom.data.converters.pieces import Piece, cut_pieces
from spikeloom.data.converters.rows import with_own_columns
from spikeloom.data.converters.signals import series_of
from spikeloom.data.converters.spike_times import chosen_options, spike_times
from spikeloom.data.options import LoadOptions
from spikeloom.data.series.series import Series
from spikeloom.data.session.cutting import DEFAULT_BIN_S
from spikeloom.data.spikedata import SpikeData
from spikeloom.data.steps import apply_options
from spikeloom.errors import DataError

if TYPE_CHECKING:
    import neo

OWN = "spikeloom"
"""Annotation of everything that ``to_neo`` adds to what neo has a place for."""
PARTS = ("rates", "latents")


def to_neo(data: SpikeData) -> neo.Block:
    """A Block with a Segment for each trial, see ``SpikeData.to_neo``."""
    import neo
    import quantities as pq

    tables = {"trials": data.trials, "neurons": data.neurons}
    block = neo.Block(name="recording")
    block.annotations[OWN] = {
        "bin_s": data.bin_s,
        "provenance": json.dumps(dict(data.provenance), default=_plain),
        "types": {part: {str(name): str(table[name].dtype) for name in table} for part, table in tables.items()},
        "splits": list(data.splits),
    }
    trials, neurons = (_rows(table) for table in tables.values())
    places = [{} for _ in range(data.n_trials)]
    for name, indices in data.splits.items():
        for place, trial in enumerate(indices.tolist()):
            places[trial][name] = place
    signals: dict[str, Any] = {
        name: (signal.values, signal.unit, signal.columns, None) for name, signal in data.signals.items()
    }
    for name, values in ((part, getattr(data, part)) for part in PARTS):
        if values is not None:
            signals[f"{OWN} {name}"] = (values, "", tuple(map(str, range(values.shape[2]))), name)
    for trial, length in enumerate(data.lengths.tolist()):
        segment = neo.Segment(name=f"trial {trial}", index=trial)
        segment.annotations.update(trials[trial])
        segment.annotations[OWN] = {"splits": places[trial]}
        stop = length * data.bin_s
        for neuron, times in enumerate(spike_times(data[trial], np.zeros(1))):
            train: Any = neo.SpikeTrain(
                times, units=pq.s, t_start=0 * pq.s, t_stop=stop * pq.s, name=f"neuron {neuron}"
            )
            train.annotations.update(neurons[neuron])
            train.annotations[OWN] = neuron
            segment.spiketrains.append(train)
        for name, (values, unit, columns, part) in signals.items():
            analog: Any = neo.AnalogSignal(
                values[trial, :length].astype(np.float64),
                units=_quantity(unit),
                sampling_period=data.bin_s * pq.s,
                t_start=data.bin_s / 2 * pq.s,
                name=name,
                array_annotations={"channel_names": np.array(columns)},
            )
            analog.annotations[OWN] = {"unit": unit, "part": part}
            segment.analogsignals.append(analog)
        block.segments.append(segment)
    return block


def from_neo(
    recording: neo.Block | neo.Segment | Sequence[neo.Segment],
    *,
    bin_s: float | None = None,
    trials: Any = None,
    align: str | None = None,
    before_s: float | None = None,
    after_s: float | None = None,
    window_s: float | None = None,
    options: LoadOptions | None = None,
) -> SpikeData:
    """A recording from a Block or Segment of neo.

    Spike trains are neurons, observed from their ``t_start`` to their ``t_stop``; their annotations are columns.
    AnalogSignals and IrregularlySampledSignals are signals. All times are brought to seconds.

    One segment is cut into the trials of an Epoch: that of the name ``trials``, or one called "trials", or the only
    one. Of several segments each is a trial, on its own clock (the column "recorded_piece"), with its annotations as
    columns, unless ``trials`` names an Epoch. Units are matched over segments by their Groups, or else by names, or by
    position, which is noted. Events become trial columns with the time of the first in each trial, under the name of
    the Event and under each of its labels. Epochs called bad or artifacts are left out of the recorded time. Without an
    Epoch, ``align`` names the Event that makes the trials.

    It is the inverse of ``SpikeData.to_neo``.

    Args:
        recording: A Block, a Segment, or a list of segments.
        bin_s: Width of a bin in seconds; 0.005 if not given.
        trials: Name of the Epoch whose intervals are the trials; of one segment also a table or pairs of times.
        align: Event, label of an Event, or trial column of times that trials are cut around.
        before_s: Seconds before the event at which a trial starts; 0 if not given.
        after_s: Seconds after the event at which a trial stops.
        window_s: Cut trials or segments into windows of this many seconds.
        options: All further options of loading; the keywords take precedence.

    Raises:
        DataError: If there are no spike trains, units cannot be matched, or nothing is left.
    """
    chosen = chosen_options(
        options, bin_s=bin_s, align=align, before_s=before_s, after_s=after_s, window_s=window_s, what="a neo recording"
    )
    segments, groups, about = _contents(recording)
    notes: list[str] = []
    cut_in = replace(chosen, bin_s=about["bin_s"]) if about else chosen
    units = matched_units(segments, groups, notes)
    own_types = about["types"] if about else {}
    pieces = []
    for number, segment in enumerate(segments):
        trains = [loaded(unit[number]) for unit in units]
        table, events = trials_of(segment, trials, chosen, len(segments), notes)
        first = first_events(segment) if table is None and len(segments) > 1 else {}
        pieces.append(
            Piece(
                spikes=[_seconds(train.times) for train in trains],
                observed=[np.array([[_second(train.t_start), _second(train.t_stop)]]) for train in trains],
                trials=table,
                series=_series(segment, chosen.signals, cut_in.bin_s or DEFAULT_BIN_S),
                columns={} if about else {**first, **_of_segment(segment)},
                events=[*events, *first],
                invalid=invalid_times(segment, trials, notes),
            )
        )
    data, rows = cut_pieces(pieces, _neurons(units, own_types.get("neurons")), cut_in, notes, "neo")
    if not about:
        return apply_options(data, chosen, notes)
    data = _with_own_parts(data, about)
    if rows is not None or len(segments) == 1:
        rows = np.zeros(data.n_trials, dtype=int) if rows is None else rows
        own = _typed([segment.annotations for segment in segments], own_types["trials"])
        data = with_own_columns(data, own, rows, np.zeros(len(segments)))
        data = replace(data, splits=_splits([s.annotations[OWN]["splits"] for s in segments], about["splits"], rows))
    return apply_options(data, chosen, notes) if chosen.to_dict() else data


def _contents(recording: Any) -> tuple[list[Any], Sequence[Any], Mapping[str, Any] | None]:
    """The segments, the groups of units, and what ``to_neo`` kept."""
    if hasattr(recording, "segments"):
        segments, groups, about = list(recording.segments), list(recording.groups), recording.annotations.get(OWN)
    else:
        one = hasattr(recording, "spiketrains")
        segments, groups, about = [recording] if one else _listed(recording), (), None
    for segment in segments:
        if not hasattr(segment, "spiketrains"):
            raise DataError(
                f"the recording holds a {type(segment).__name__}, but must be a Block, a Segment or a list of "
                "segments; pass spike trains alone to spikeloom.from_spike_times."
            )
    if not segments:
        raise DataError("the recording has no segment; read it with all of its data (lazy=False).")
    return segments, groups, about


def _listed(recording: Any) -> list[Any]:
    return list(recording) if isinstance(recording, list | tuple) else [recording]


def _seconds(times: Any) -> np.ndarray:
    return np.asarray(times.rescale("s").magnitude, dtype=np.float64)


def _second(time: Any) -> float:
    return float(time.rescale("s").magnitude)


def _series(segment: Any, wanted: Sequence[str] | None, bin_s: float) -> dict[str, Series]:
    """The signals of a segment by name; those without one are numbered."""
    found: dict[str, Series] = {}
    for number, signal in enumerate([*segment.analogsignals, *segment.irregularlysampledsignals]):
        name = signal.name or f"signal_{number}"
        name = name if name not in found else f"{name}_{number}"
        if wanted is not None and name not in wanted and OWN not in signal.annotations:
            continue  # it may be large, and is loaded when it is needed
        signal = loaded(signal)
        labels = [v for k, v in signal.array_annotations.items() if k in ("channel_names", "channel_name", "names")]
        unit = str(signal.dimensionality.string)
        own = signal.annotations.get(OWN)
        unit = own["unit"] if own else "" if unit == "dimensionless" else unit
        values = np.asarray(signal.magnitude, dtype=np.float64)
        columns = tuple(map(str, labels[0])) if labels else ()
        if len(values):
            found[name] = series_of(name, _seconds(signal.times), values, unit, columns, bin_s)
    return found


def _of_segment(segment: Any) -> dict[str, Any]:
    """Annotations of a segment as a whole."""
    return ({"segment": segment.name} if segment.name else {}) | single_values(segment.annotations)


# -- what to_neo wrote -----------------------------------------------------------------------------------------------


def _neurons(units: Sequence[Sequence[Any]], types: Mapping[str, str] | None) -> pd.DataFrame:
    return unit_table(units) if types is None else _typed([unit[0].annotations for unit in units], types)


def _typed(annotations: Sequence[Mapping[str, Any]], types: Mapping[str, str]) -> pd.DataFrame:
    """The columns of a table in the types that they had."""
    rows = [{name: each.get(name) for name in types} for each in annotations]
    table = typed_table(rows)
    typed = {name: typed_column(table[name].astype(object).to_numpy(), kind) for name, kind in types.items()}
    return pd.DataFrame(typed, index=range(len(rows)))


def _with_own_parts(data: SpikeData, about: Mapping[str, Any]) -> SpikeData:
    signals = dict(data.signals)
    parts = {part: signals.pop(f"{OWN} {part}", None) for part in PARTS}
    values = {part: None if signal is None else signal.values for part, signal in parts.items()}
    return replace(data, signals=signals, provenance=json.loads(about["provenance"]), **values)


def _splits(places: Sequence[Mapping[str, int]], names: Sequence[str], rows: np.ndarray) -> dict[str, np.ndarray]:
    """The splits of trials, in the order that their trials had in them."""
    splits = {}
    for name in names:
        inside = [trial for trial, row in enumerate(rows) if name in places[row]]
        splits[name] = np.array(sorted(inside, key=lambda trial: places[rows[trial]][name]), dtype=np.int64)
    return splits


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    columns = {str(name): plain_column(pd.Series(table[name])).tolist() for name in table}
    return [{name: values[row] for name, values in columns.items()} for row in range(len(table))]


def _quantity(unit: str) -> Any:
    """A unit that neo knows; those it does not are kept as text alone."""
    import quantities as pq

    try:
        return pq.Quantity(1.0, unit or "dimensionless").units
    except (LookupError, SyntaxError, TypeError, ValueError, AttributeError):
        return pq.dimensionless


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else dict(value)
