"""Trials of counts with the axes (time, neuron): by their starts, or around events, as those of spike times are cut."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from spikeloom.data.binning import EDGE
from spikeloom.data.bins import whole_bins
from spikeloom.data.formats.arrays.array_file import ArrayFile
from spikeloom.data.formats.arrays.bin_width import Clock
from spikeloom.data.formats.arrays.columns import trial_columns
from spikeloom.data.formats.arrays.pieces import Pieces
from spikeloom.data.formats.arrays.trial_times import TrialTimes
from spikeloom.data.formats.naming.array_names import unit_of
from spikeloom.data.options import LoadOptions
from spikeloom.data.selection import rows_to_load
from spikeloom.data.session.events import event_column, event_times
from spikeloom.data.session.single_precision import as_written
from spikeloom.data.session.spans import around_events, rows_of, whole_trials
from spikeloom.data.session.trial_files import DURATIONS, read_trials
from spikeloom.data.tables import TABLES
from spikeloom.errors import DataError

ROW = "row of the table"
"""Column, for the time of the cut, by which trials find their own times again."""


@dataclass(frozen=True)
class Cut:
    """Stretches of bins that become trials.

    Attributes:
        first: First bin of each.
        n_bins: How many bins it has.
        trials: One row for each, with its recorded time.
    """

    first: Int[np.ndarray, "trial"]
    n_bins: Int[np.ndarray, "trial"]
    trials: pd.DataFrame


def numbers_of_trials(file: ArrayFile) -> set[int]:
    """Sizes of the arrays that hold times of trials: sizes that their columns have."""
    names = [name for name in file.stored if file.is_option(name, "align", "trials") or file.role(name) is not None]
    return {max(file.stored[name].shape) for name in names if file.stored[name].shape}


def trials_of(file: ArrayFile, clock: Clock, n_bins: int, n_neurons: int, last_s: float) -> pd.DataFrame | None:
    """The table of trials, with times in seconds; None where neither the file nor the user says when trials were.

    Trials are those of a table in another file, or of the arrays of their starts and stops; an event to align to is
    enough. All arrays with as many entries become columns.

    Args:
        file: The arrays, and the options that name those of trials.
        clock: Clock of the bins, on which times are.
        n_bins: How many bins there are.
        n_neurons: How many neurons there are.
        last_s: When the recording ends, as the last trial does where nothing says when trials stop.

    Raises:
        DataError: If there is no such array or file, or it does not hold times.
    """
    options = file.options
    if options.continuous:
        if options.trials is not None:
            raise DataError(
                "trials are given (trials), or the recording stays in continuous pieces (continuous), not both."
            )
        return None
    if (
        options.trials is not None
        and Path(options.trials).suffix.lower() in TABLES
        and file.key(options.trials) is None
    ):
        table = read_trials(options.trials, file.notes)
        return table.assign(**trial_columns(file, len(table), n_neurons))
    times = TrialTimes(file, clock, n_bins)
    found = times.of_trials()
    event = None if options.align is None else times.of_event(options.align)
    if event is not None and found and len(event) != len(found["start_time"]):
        if options.trials is not None:
            n_trials = len(found["start_time"])
            raise DataError(
                f"'{options.align}' has {len(event)} events, but there are {n_trials} trials; each has one."
            )
        found = {}  # those are of something else
    if event is None and not found:
        return None
    n_trials = len(event) if event is not None else len(found["start_time"])
    table = pd.DataFrame(found, index=range(n_trials))
    if found and "stop_time" not in found:
        length_s = _durations(file, found["start_time"], last_s)
        if length_s is None:
            table["stop_time"] = _next_start(found["start_time"], last_s)
            file.notes.append("each trial lasts until the next one starts, as nothing says where it stops")
        else:
            table["stop_time"] = found["start_time"] + length_s
    table = table.assign(**trial_columns(file, n_trials, n_neurons))
    return table if event is None else table.assign(**{str(options.align): event})


def cut_trials(table: pd.DataFrame, pieces: Pieces, options: LoadOptions, notes: list[str]) -> Cut:
    """Cut trials out of the pieces, by the same rules by which they are cut from spike times.

    Bins stay as they are stored: a trial begins with the bin that contains its start, or, around an event, with the one
    that is ``before_s`` earlier than the bin that contains the event.

    Args:
        table: The trials.
        pieces: The recorded pieces, which no trial leaves.
        options: Say which trials to keep, and how to cut them.
        notes: Gets a note about every trial that is dropped, moved or cut.

    Raises:
        DataError: If no trial is left, or times are impossible.
    """
    if not pieces.one_clock and (np.diff(pieces.start_s) <= 0).any():
        raise DataError(
            "the times of bins restart, so that times of trials are not clear; correct them, or load the recording in "
            "pieces (continuous=True)."
        )
    width = pieces.bin_s
    table = rows_of(table, rows_to_load(table, options.where))
    placed = table.assign(**{ROW: np.arange(len(table))})
    if options.align is not None:
        event = event_times(table, options.align)
        whole_bins(abs(options.before_s) if options.before_s else width, width, "before_s")
        start = _bin_starts(event, pieces)
        placed[event_column(table, options.align)] = start
        late = event - start
    else:
        if "start_time" not in table or "stop_time" not in table:
            missing = [name for name in ("start_time", "stop_time") if name not in table]
            raise DataError(
                f"the trials have no {' and no '.join(missing)}; cut them around an event with align=<trial column>."
            )
        begin = table["start_time"].to_numpy(dtype=float)
        start = _bin_starts(begin, pieces)
        late = begin - start
        placed = placed.assign(start_time=start, stop_time=table["stop_time"].to_numpy(dtype=float) - late)
    late = late[np.isfinite(late)]
    if len(late) and late.max() > 1e-3 * width:
        what = f"'{options.align}'" if options.align is not None else "starts of trials"
        notes.append(
            f"{what}: each is placed at the start of the bin that contains it, up to {late.max():.3g} s earlier"
        )
    observed = np.column_stack([pieces.start_s, pieces.stop_s])
    wide = options.bin_s or width
    k = max(1, round(wide / width))
    step_s = k * width if abs(wide / width - k) < 1e-5 * k else width  # else `rebin` says what is wrong
    if options.align is not None:
        spans = around_events(placed, observed, options, step_s, None, notes)
    else:
        spans = whole_trials(placed, observed, step_s, notes)
    rows = spans.trials[ROW].to_numpy()
    piece = pieces.piece_at(spans.start_s)
    first = pieces.first[piece] + np.rint((spans.start_s - pieces.start_s[piece]) / width).astype(np.int64)
    own = pieces.table.iloc[piece].drop(columns="start_bin", errors="ignore").reset_index(drop=True)
    trials = table.iloc[rows].reset_index(drop=True)
    trials = trials.assign(**{str(name): own[name] for name in own if name not in trials})
    trials = trials.assign(**pieces.recorded_time(piece, spans.start_s))
    return Cut(first, spans.n_bins * round(step_s / width), trials)


def _bin_starts(times_s: Float[np.ndarray, "event"], pieces: Pieces) -> Float[np.ndarray, "event"]:
    """The start of the bin that contains each time; times outside of all pieces stay as they are."""
    piece = np.maximum(pieces.piece_at(times_s), 0)
    since = (times_s - pieces.start_s[piece]) / pieces.bin_s
    with np.errstate(invalid="ignore"):
        inside = (since >= -EDGE) & (since < pieces.n_bins[piece])
    return np.where(inside, pieces.start_s[piece] + np.floor(since + EDGE) * pieces.bin_s, times_s)


def _durations(file: ArrayFile, start_s: np.ndarray, last_s: float) -> Float[np.ndarray, "trial"] | None:
    """How long trials last in seconds by an array of that name; None without one, or where its unit is open.

    Floats are seconds, as starts are, unless the name says otherwise or most trials would end behind the recording.
    """
    for name, stored in file.free():
        stem, unit_s = unit_of(name)
        if stem not in DURATIONS or stored.shape != start_s.shape or not stored.is_number:
            continue
        values = file.read(name)
        if unit_s is None and (values.dtype.kind != "f" or np.nanmedian(start_s + values) > last_s):
            continue
        length_s = as_written(values.astype(np.float64)) * (unit_s or 1.0)
        file.notes.append(f"trials last as long as '{name}' says, in units of {unit_s or 1.0:g} s")
        return length_s
    return None


def _next_start(start_s: Float[np.ndarray, "trial"], last_s: float) -> Float[np.ndarray, "trial"]:
    """When the next trial starts after each, in whatever order they are; the end of the recording after the last."""
    known = np.unique(start_s[np.isfinite(start_s)])
    following = np.r_[known[1:], max(last_s, known[-1])] if len(known) else known
    place = np.searchsorted(known, start_s).clip(max=max(len(known) - 1, 0))
    return np.where(np.isfinite(start_s), following[place], np.nan) if len(known) else np.full(len(start_s), np.nan)
