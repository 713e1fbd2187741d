"""Recordings in several pieces, each on a clock of its own: laid on one, cut into trials, and told apart again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from spikeloom.data.columns import typed_table
from spikeloom.data.converters.rows import cut_with_rows
from spikeloom.data.options import LoadOptions
from spikeloom.data.recorded_time import FROM_S, PIECE
from spikeloom.data.series.series import Series
from spikeloom.data.session.session import Session
from spikeloom.data.session.sorting import of_quality
from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import DataError

APART_S = 100.0
"""Seconds between two pieces on the common clock: no signal and no window reaches from one into the next."""
TIMES = ("start_time", "stop_time")


@dataclass(frozen=True)
class Piece:
    """A continuous piece of a recording; times are seconds on its own clock.

    Attributes:
        spikes: Spike times of each neuron.
        observed: The interval in which each was observed; None where nothing is said.
        trials: Its trials, or None where it has none.
        series: Behavioural time series by name.
        columns: What is known of the piece as a whole; columns of its trials, too.
        events: Names of those columns that are times.
        invalid: Intervals that are to be left out.
    """

    spikes: Sequence[np.ndarray]
    observed: Sequence[Float[np.ndarray, "_ 2"]] | None
    trials: pd.DataFrame | None = None
    series: Mapping[str, Series] = field(default_factory=dict)
    columns: Mapping[str, Any] = field(default_factory=dict)
    events: Sequence[str] = ()
    invalid: Float[np.ndarray, "_ 2"] | None = None


def cut_pieces(
    pieces: Sequence[Piece], neurons: pd.DataFrame, options: LoadOptions, notes: list[str], origin: str
) -> tuple[SpikeData, Int[np.ndarray, "trial"] | None]:
    """Cut pieces into trials and bins. Where none has trials, several pieces are each a trial.

    Args:
        pieces: The pieces, with the same neurons.
        neurons: One row for each neuron.
        options: How to cut and bin.
        notes: Gets the notes.
        origin: What the pieces are, for the provenance.

    Returns:
        The recording before the options that all formats share, and the row among all trials (or pieces) that each
        trial is from, None where it is from none. Several pieces are told apart by the column "recorded_piece".

    Raises:
        DataError: As ``cutting.cut``, or if a piece has neither spikes nor a span.
    """
    provenance = {"format": origin}
    if len(pieces) == 1:
        one = pieces[0]
        session = Session(one.spikes, neurons, one.trials, one.series, one.observed, one.invalid, provenance=provenance)
        data, more, rows = cut_with_rows(of_quality(session, options.quality), options)
        notes += more
        return data, rows
    spans = np.array([_span(number, piece, notes) for number, piece in enumerate(pieces)])
    begin = np.r_[0.0, np.cumsum(spans[:, 1] - spans[:, 0] + APART_S)[:-1]]
    later = begin - spans[:, 0]
    invalid = [piece.invalid + by for piece, by in zip(pieces, later) if piece.invalid is not None]
    session = Session(
        spikes=[np.concatenate([p.spikes[n] + by for p, by in zip(pieces, later)]) for n in range(len(neurons))],
        neurons=neurons,
        trials=_trials(pieces, spans, later, notes),
        series=_series(pieces, later, notes),
        observed=[
            np.concatenate(
                [(p.observed[n] if p.observed else span[None]) + by for p, span, by in zip(pieces, spans, later)]
            )
            for n in range(len(neurons))
        ],
        invalid=np.concatenate(invalid) if invalid else None,
        provenance=provenance,
    )
    data, more, rows = cut_with_rows(of_quality(session, options.quality), options)
    notes += more
    piece = np.searchsorted(begin - APART_S / 2, data.trials[FROM_S].to_numpy(), side="right") - 1
    events = {name for piece in pieces for name in piece.events}
    own_clock = {name: data.trials[name] - later[piece] for name in data.trials if name in {*TIMES, FROM_S, *events}}
    return replace(data, trials=data.trials.assign(**own_clock, **{PIECE: piece})), rows


def _span(number: int, piece: Piece, notes: list[str]) -> tuple[float, float]:
    """When a piece begins and ends."""
    if piece.observed:
        every = np.concatenate(piece.observed)
        return float(every[:, 0].min()), float(every[:, 1].max())
    fired = [times for times in piece.spikes if len(times)]
    if not fired:
        raise DataError(
            f"no neuron has a spike in piece {number}, and nothing says when it was observed; leave it out."
        )
    if not any("recorded time" in note for note in notes):
        notes.append("the recorded time is not stated, and taken from the first to the last spike of each piece")
    return min(float(times.min()) for times in fired), max(float(times.max()) for times in fired)


def _trials(pieces: Sequence[Piece], spans: np.ndarray, later: np.ndarray, notes: list[str]) -> pd.DataFrame:
    """The trials of all pieces on the common clock; the pieces themselves where none has any."""
    if all(piece.trials is None for piece in pieces):
        rows = typed_table([dict(piece.columns) for piece in pieces])
        events = {name for piece in pieces for name in piece.events}
        return rows.assign(
            start_time=spans[:, 0] + later,
            stop_time=spans[:, 1] + later,
            **{name: rows[name].astype(float) + later for name in rows if name in events},
        )
    without = [number for number, piece in enumerate(pieces) if piece.trials is None]
    if without:
        notes.append(f"{len(without)} of {len(pieces)} pieces have no trials, and are left out (first: {without[0]})")
    tables = []
    for piece, by in zip(pieces, later):
        if piece.trials is not None:
            times = {name: piece.trials[name] + by for name in piece.trials if name in {*TIMES, *piece.events}}
            whole = {name: value for name, value in piece.columns.items() if name not in piece.trials}
            tables.append(piece.trials.assign(**whole, **times))
    return pd.concat(tables, ignore_index=True)


def _series(pieces: Sequence[Piece], later: np.ndarray, notes: list[str]) -> dict[str, Series]:
    """The signals of all pieces; missing in a piece that does not have them."""
    joined = {}
    for name in dict.fromkeys(name for piece in pieces for name in piece.series):
        parts = [(piece.series[name], by) for piece, by in zip(pieces, later) if name in piece.series]
        first = parts[0][0]
        if any((p.values.shape[1], p.unit) != (first.values.shape[1], first.unit) for p, _ in parts):
            notes.append(f"signal '{name}' was left out, as its pieces differ in unit or number of dimensions")
            continue
        times = np.concatenate([part.times_s + by for part, by in parts])
        joined[name] = Series(times, np.concatenate([part.values for part, _ in parts]), first.unit, first.columns)
    return joined
