"""A session becomes a recording: trials are cut from its clock, its spikes counted and its signals sampled in bins."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from spikeloom.data.binning import bin_spikes
from spikeloom.data.bins import whole_bins
from spikeloom.data.options import LoadOptions
from spikeloom.data.recorded_time import FROM_S
from spikeloom.data.selection import neuron_mask, rows_to_load
from spikeloom.data.series.kinds import with_angles
from spikeloom.data.series.series import resampled
from spikeloom.data.session.grid import Grid
from spikeloom.data.session.jitter import COLUMN, jitter_bins
from spikeloom.data.session.observed import recorded_pieces, stated_time, time_with_spikes, without_invalid
from spikeloom.data.session.session import Session
from spikeloom.data.session.spans import Spans, around_events, extent, recorded_pieces_as_trials, rows_of, whole_trials
from spikeloom.data.session.time_checks import check_size
from spikeloom.data.session.trial_files import read_trials
from spikeloom.data.spikedata import SpikeData
from spikeloom.data.splits import named_splits
from spikeloom.data.steps import apply_options
from spikeloom.errors import DataError

DEFAULT_BIN_S = 0.005
"""The bin of the Neural Latents Benchmark."""

COARSE_CLOCK = 0.1
"""Spike times stored in steps of more than this share of a bin may be counted in the wrong one."""


def bin_session(session: Session, options: LoadOptions) -> SpikeData:
    """The recording that options describe of a session, see ``cut`` for how it is cut.

    Raises:
        DataError: As ``cut``, or as ``apply_options``.
    """
    data, notes = cut(session, options)
    return apply_options(data, options, notes, own=session.saved_bin_s is not None)


def cut(session: Session, options: LoadOptions) -> tuple[SpikeData, list[str]]:
    """Cut a session into trials and bins: the recording before the steps that every format shares, and the notes.

    Trials are those of the session, or of the file ``options.trials``.
    With ``options.align`` every trial is cut around an event, from ``before_s`` before to ``after_s`` after it, and
    bins are counted from the event itself. Otherwise trials are taken whole, with the lengths they have. Without a
    table of trials, or with ``options.continuous``, every stretch of recorded time is one trial, to be cut by
    ``window_s``. A session that was saved in bins is loaded in these unless ``bin_s`` is given.

    Neurons and trials that options leave out are left out first: they neither refuse nor shorten the recording. Bins
    that were not observed are never zeros: whole trials end where the observed time does, and trials that do not begin
    in it, or whose window leaves it, are dropped and noted, as are trials without an event in them. With
    ``options.overlap`` "cut" a window ends where that of another trial begins.

    A spike on the border of two bins belongs to the later one. Signals become one value in each bin, NaN where they
    were not sampled, see ``series.resample``. With ``options.binning`` "nlb" windows begin at the first point of the
    benchmark's grid in them, and counts and signals are those of its tables, see ``grid.Grid``.

    Args:
        session: The session.
        options: How to cut and bin it, and what to keep.

    Raises:
        DataError: If spike times or trials are impossible, or if nothing is left.
    """
    if options.neurons is not None:
        session = session.select(neuron_mask(session.neurons, options.neurons))
    notes: list[str] = []
    if options.trials is not None:
        session = replace(session, trials=read_trials(options.trials, notes))
    session = session.checked()
    notes = [*session.notes, *notes]
    bin_s = options.bin_s or session.saved_bin_s or DEFAULT_BIN_S
    if options.bin_s is None and session.saved_bin_s is None:
        notes.append(f"bins are {DEFAULT_BIN_S:g} s wide, as bin_s was not given")
    if session.saved_bin_s is None and session.resolution_s > COARSE_CLOCK * bin_s:
        coarser = "a bin" if session.resolution_s > bin_s else f"{COARSE_CLOCK:g} of a bin"
        notes.append(
            f"spike times are stored in steps of {1e3 * session.resolution_s:.3g} ms, coarser than {coarser} "
            f"({1e3 * bin_s:.3g} ms): spikes may be counted in a bin beside their own"
        )
    if session.saved_bin_s != bin_s or options.circular:  # values at the centres of the same bins need no mean
        session = replace(session, series=with_angles(session.series, options.circular, notes))
    spans, grid = _spans(session, options, bin_s, notes)
    check_size(session.spikes, len(spans.n_bins) * int(spans.n_bins.max()), float(spans.n_bins.sum() * bin_s))
    later_s = spans.later(options.lag_s or 0.0)
    if grid is None:
        counts = bin_spikes(session.spikes, spans.start_s, spans.n_bins, bin_s)
        signals = resampled(session.series, later_s, spans.n_bins, bin_s)
    else:
        counts = grid.count(session.spikes, np.rint(spans.start_s / bin_s).astype(np.int64), spans.n_bins)
        signals = grid.signals(session.series, grid.bin_from(later_s), spans.n_bins, notes)
    _check_spikes(counts, spans, session, bin_s)
    provenance = dict(session.provenance)
    if options.forward_s:
        n_forward = whole_bins(options.forward_s, bin_s, "forward_s")
        provenance |= {"forward_bins": n_forward}
        notes.append(
            f"the last {n_forward} bins of each trial are for forward prediction: hide them from encoders "
            f"(held_out_inputs.forward_prediction_bins {n_forward})"
        )
    data = SpikeData(
        counts=counts,
        bin_s=bin_s,
        lengths=spans.n_bins,
        signals=signals,
        trials=_with_recorded_time(spans, session.saved_bin_s is not None),
        neurons=session.neurons,
        splits=named_splits(spans.trials),
        provenance=provenance,
    )
    return data, notes


def _spans(session: Session, options: LoadOptions, bin_s: float, notes: list[str]) -> tuple[Spans, Grid | None]:
    """The stretches that become trials, and the grid that their bins lie on, if they do."""
    trials, stated = session.trials, stated_time(session)
    if options.align is None:
        for name in ("forward_s", "binning", "overlap", "jitter_s", "scored"):
            if getattr(options, name) is not None:
                raise DataError(
                    f"{name} is {getattr(options, name)}, but no trials are cut around an event; "
                    "give align=<trial column> too."
                )
    if trials is None or options.continuous:
        if options.align is not None:
            raise DataError(
                "there is no trials table to align to (align); cut the recording into windows with window_s."
            )
        pieces = recorded_pieces(session, bin_s, notes) if stated is None else stated
        if options.window_s is None and options.reaches is None:
            notes.append("the recording is not cut into trials; cut it with window_s")
        return recorded_pieces_as_trials(without_invalid(session, pieces), bin_s), None
    grid = None
    if options.binning == "nlb":
        end_s = float(np.nanmax(trials["stop_time"].to_numpy(dtype=float), initial=0.0))
        grid = Grid.of(bin_s, stated, end_s)
    if options.jitter_s is not None:
        trials = trials.assign(**{COLUMN: jitter_bins(trials, options, bin_s)})
    trials = rows_of(trials, rows_to_load(trials, options.where))
    around = time_with_spikes(session, *extent(trials, options)) if stated is None else stated
    observed = without_invalid(session, around)
    if options.align is not None:
        spans = around_events(trials, observed, options, bin_s, grid, notes)
    else:
        spans = whole_trials(trials, observed, bin_s, notes)
    if stated is None and session.invalid is None and any("observed" in note for note in notes):
        first, last = session.first_and_last_spike() or (0.0, 0.0)
        notes.append(
            f"the observed time is not in the file; from the first to the last spike it is {first:.6g} to {last:.6g} s"
        )
    return spans, grid


def _with_recorded_time(spans: Spans, written_by_us: bool) -> pd.DataFrame:
    """The trials with their recorded time: that of the session's clock, or the one that a recording was saved with.

    The clock of a file that ``write_nwb`` wrote is not that of the recording.
    """
    if not written_by_us:
        return spans.trials.assign(**{FROM_S: spans.start_s})
    if FROM_S not in spans.trials:
        return spans.trials
    later_s = spans.start_s - spans.trials["start_time"].to_numpy(dtype=float)
    return spans.trials.assign(**{FROM_S: spans.trials[FROM_S].to_numpy(dtype=float) + later_s})


def _check_spikes(counts: np.ndarray, spans: Spans, session: Session, bin_s: float) -> None:
    if not counts.any():
        stop = float((spans.start_s + spans.n_bins * bin_s).max())
        fired = session.first_and_last_spike()
        times = f"from {fired[0]:g} to {fired[1]:g}" if fired else "missing"
        raise DataError(
            f"no spike falls into the trials ({spans.start_s.min():g} to {stop:g} s), spike times are {times}; "
            "are they in seconds and on the clock of the trials?"
        )
