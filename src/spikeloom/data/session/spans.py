"""Stretches of a session's clock that become trials: whole trials, windows around events, or all recorded time."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from spikeloom.data.binning import EDGE
from spikeloom.data.bins import whole_bins
from spikeloom.data.comparisons import column_of
from spikeloom.data.options import LoadOptions
from spikeloom.data.selection import SCORED
from spikeloom.data.session.events import event_times, in_own_trial
from spikeloom.data.session.grid import Grid
from spikeloom.data.session.jitter import COLUMN
from spikeloom.errors import DataError


@dataclass(frozen=True)
class Spans:
    """Stretches of the session's clock that are cut into bins; each becomes a trial.

    Attributes:
        start_s: Time of the start of the first bin of each.
        n_bins: Number of bins of each.
        trials: One row for each.
        requested_s: Start of each before it was moved to the first bin of a grid; ``start_s`` if not given.
    """

    start_s: Float[np.ndarray, "trial"]
    n_bins: Int[np.ndarray, "trial"]
    trials: pd.DataFrame
    requested_s: Float[np.ndarray, "trial"] | None = None

    def keep(self, kept: np.ndarray) -> Spans:
        """Those of a mask."""
        requested_s = None if self.requested_s is None else self.requested_s[kept]
        return Spans(self.start_s[kept], self.n_bins[kept], rows_of(self.trials, kept), requested_s)

    def later(self, lag_s: float) -> Float[np.ndarray, "trial"]:
        """Starts of the same stretches this much later; a grid moves each to its own first bin."""
        return (self.start_s if self.requested_s is None else self.requested_s) + lag_s


def around_events(
    trials: pd.DataFrame,
    observed: np.ndarray | None,
    options: LoadOptions,
    bin_s: float,
    grid: Grid | None,
    notes: list[str],
) -> Spans:
    """Windows around an event, one for each trial that has one inside of it; bins are counted from the event itself.

    Args:
        trials: The table of trials.
        observed: Observed time; windows that leave it are dropped.
        options: Names the event, and says where windows start and stop.
        bin_s: Width of a bin.
        grid: The grid on whose bins windows begin, if not at the event.
        notes: Gets a note about every trial that is dropped, moved or cut.

    Raises:
        DataError: If there is no such event, or no window is left.
    """
    name = str(options.align)
    event = event_times(trials, name)
    inside = in_own_trial(trials, name, bin_s)
    if options.jitter_s is not None:
        event = event + trials[COLUMN].to_numpy() * bin_s
        notes.append(f"{(trials[COLUMN] > 0).sum()} of {len(trials)} windows were shifted later, see {COLUMN}")
    before, after = options.before_s or 0.0, options.stop_s("align")
    n = whole_bins(before + after, bin_s, "the window around the event (before_s + after_s)")
    n_forward = whole_bins(options.forward_s, bin_s, "forward_s") if options.forward_s else 0
    spans = Spans(event - before, np.full(len(trials), n + n_forward), trials)
    known = np.isfinite(event)
    spans = _drop(spans, known, f"have no '{name}'", notes)
    spans = _drop(spans, inside[known], f"have a '{name}' outside of the trial itself", notes)
    if grid is not None:
        spans = replace(spans, start_s=grid.bin_from(spans.start_s) * bin_s, requested_s=spans.start_s)
    if options.overlap == "cut":
        spans = _apart(spans, n_forward, bin_s, notes)
    if grid is not None:
        observed_bins = grid.observed_bins(np.rint(spans.start_s / bin_s).astype(np.int64), spans.n_bins)
    else:
        observed_bins = _observed_bins(spans, observed, bin_s)
    spans = _drop(spans, observed_bins == spans.n_bins, "have a window that leaves the observed time", notes)
    return spans if options.scored is None else _with_scored_part(spans, options.scored, n_forward, bin_s)


def _with_scored_part(spans: Spans, names: str, n_forward: int, bin_s: float) -> Spans:
    """The bins of each window that begin between two events, as trial columns; all where a time is missing."""
    last, columns = spans.n_bins - n_forward, {}
    for column, name, missing in zip(SCORED, names.split(","), (np.zeros_like(last), last)):
        since_s = column_of(spans.trials, name.strip(), "trial").to_numpy(dtype=float) - spans.start_s
        known = np.isfinite(since_s)
        # A bin is behind an event if it begins with it, to the nanosecond.
        bins = np.ceil(np.round(np.where(known, since_s, 0.0) * 1e9) / (bin_s * 1e9) - EDGE).astype(np.int64)
        columns[column] = np.where(known, np.clip(bins, 0, last), missing)
    return replace(spans, trials=spans.trials.assign(**columns))


def _apart(spans: Spans, n_forward: int, bin_s: float, notes: list[str]) -> Spans:
    """Windows that end where another begins; the forward part may overlap, but cannot follow a window that was cut."""
    order = np.argsort(spans.start_s, kind="stable")
    until_next = np.floor(np.round(np.diff(spans.start_s[order]) / bin_s, 6)).astype(np.int64)
    room = np.full(len(order), np.iinfo(np.int64).max)
    room[order[:-1]] = until_next
    cut = room < spans.n_bins - n_forward
    if not cut.any():
        return spans
    if n_forward:
        return _drop(spans, ~cut, "have a window that another begins in, so that nothing follows it", notes)
    notes.append(f"{cut.sum()} of {len(cut)} windows end early, where that of another trial begins")
    spans = replace(spans, n_bins=np.minimum(spans.n_bins, room))
    return _drop(spans, spans.n_bins > 0, "begin where another does", notes)


def whole_trials(trials: pd.DataFrame, observed: np.ndarray | None, bin_s: float, notes: list[str]) -> Spans:
    """Trials from their start to their stop, or to the end of the observed time that they start in.

    Raises:
        DataError: If a trial stops before it starts, or if none is as long as a bin.
    """
    _check_order(trials)
    start, stop = trials["start_time"].to_numpy(dtype=float), trials["stop_time"].to_numpy(dtype=float)
    finite = np.isfinite(start) & np.isfinite(stop)
    n_bins = np.floor(np.where(finite, stop - start, 0) / bin_s + EDGE).astype(np.int64)
    spans = _drop(Spans(start, n_bins, trials), finite, "have no start or stop", notes)
    if not spans.n_bins.any():
        longest = float(np.max((stop - start)[finite]))
        raise DataError(f"a bin of {bin_s:g} s is wider than the longest trial ({longest:g} s); ask for narrower bins.")
    spans = _drop(spans, spans.n_bins > 0, "are shorter than one bin", notes)
    observed_bins = _observed_bins(spans, observed, bin_s)
    shorter = (0 < observed_bins) & (observed_bins < spans.n_bins)
    if shorter.any():
        notes.append(f"{shorter.sum()} of {len(shorter)} trials end early, where the observed time does")
    if observed is not None and len(observed_bins) and not observed_bins.any():
        raise DataError(
            f"no trial is left: all {len(observed_bins)} were not observed, as they start from "
            f"{spans.start_s.min():.12g} to {spans.start_s.max():.12g} s, but what is recorded lasts from "
            f"{observed[0, 0]:.12g} to {observed[-1, 1]:.12g} s; are both in "
            "seconds (not milliseconds or samples), and on one clock?"
        )
    return _drop(replace(spans, n_bins=observed_bins), observed_bins > 0, "were not observed", notes)


def extent(trials: pd.DataFrame, options: LoadOptions) -> tuple[float, float]:
    """When the first trial starts and the last one stops; infinite where no time is known."""
    if options.align is not None:
        event = event_times(trials, options.align)
        start, stop = event - (options.before_s or 0.0), event + options.stop_s("align") + (options.forward_s or 0.0)
    else:
        _check_order(trials)
        start, stop = (trials[name].to_numpy(dtype=float) for name in ("start_time", "stop_time"))
    known = np.isfinite(start) & np.isfinite(stop)
    return float(start[known].min(initial=np.inf)), float(stop[known].max(initial=-np.inf))


def _check_order(trials: pd.DataFrame) -> None:
    missing = [name for name in ("start_time", "stop_time") if name not in trials]
    if missing:
        raise DataError(
            f"the trials have no {' and no '.join(missing)} (columns: {', '.join(map(str, trials))}); add it, or cut "
            "trials around an event with align=<trial column>."
        )
    start, stop = trials["start_time"].to_numpy(dtype=float), trials["stop_time"].to_numpy(dtype=float)
    bad = np.flatnonzero(stop < start)
    if len(bad):
        i = int(bad[0])
        raise DataError(
            f"trial {i} stops before it starts: start_time is {start[i]:g} s and stop_time {stop[i]:g} s; "
            "correct the trials table, or leave the trial out with where=<comparison>."
        )


def recorded_pieces_as_trials(observed: Float[np.ndarray, "interval 2"], bin_s: float) -> Spans:
    """Every stretch of observed time as one trial.

    Raises:
        DataError: If none is as long as a bin.
    """
    n_bins = np.floor((observed[:, 1] - observed[:, 0]) / bin_s + EDGE).astype(np.int64)
    if not n_bins.any():
        longest = float(np.diff(observed).max())
        raise DataError(f"a bin of {bin_s:g} s is wider than the observed time ({longest:g} s); ask for narrower bins.")
    table = pd.DataFrame({"start_time": observed[:, 0], "stop_time": observed[:, 0] + n_bins * bin_s})
    return Spans(observed[:, 0], n_bins, table).keep(n_bins > 0)


def _observed_bins(spans: Spans, observed: np.ndarray | None, bin_s: float) -> Int[np.ndarray, "trial"]:
    """Bins of each stretch from its start to the end of the observation it starts in; 0 where it starts in none."""
    if observed is None:
        return spans.n_bins
    edge = EDGE * bin_s
    place = np.searchsorted(observed[:, 0], spans.start_s + edge, side="right") - 1
    left = np.where(place >= 0, observed[np.maximum(place, 0), 1] - spans.start_s, 0)
    return np.minimum(np.floor(np.maximum(left, 0) / bin_s + EDGE).astype(np.int64), spans.n_bins)


def _drop(spans: Spans, kept: np.ndarray, why: str, notes: list[str]) -> Spans:
    if kept.all():
        return spans
    dropped = np.flatnonzero(~kept)
    if not kept.any():
        raise DataError(f"no trial is left: all {len(kept)} {why}; check the trials table and the window.")
    ids = spans.trials["id"].to_numpy() if "id" in spans.trials else np.arange(len(kept))
    which = ", ".join(str(ids[i]) for i in dropped[:5])
    more = ", ..." if len(dropped) > 5 else ""
    notes.append(f"{len(dropped)} of {len(kept)} trials were dropped because they {why} (id {which}{more})")
    return spans.keep(kept)


def rows_of(table: pd.DataFrame, kept: np.ndarray) -> pd.DataFrame:
    """The rows of a mask, numbered anew."""
    return table if kept.all() else table.iloc[np.flatnonzero(kept)].reset_index(drop=True)
