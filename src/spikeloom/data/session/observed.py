"""When a session was recorded: what it says itself, less what it calls invalid, else from its first to its last spike.

Time in which nothing was recorded looks like time in which no neuron fired. It must not be learned as such, so none is
ever invented.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from spikeloom.data.binning import EDGE
from spikeloom.data.plausibility import CHANCE_SPIKES
from spikeloom.data.session.intervals import difference, intersection, merged
from spikeloom.data.session.session import Intervals, Session
from spikeloom.errors import DataError

LEAST_PAUSE_S = 10.0
"""A shorter silence of the whole population is never taken for a pause of the recording."""
PAUSE_SPIKES = 100.0
"""A pause of the recording is a silence in which this many spikes were to be expected."""


def stated_time(session: Session) -> Intervals | None:
    """The time in which every neuron was observed, as the session states it; None where it says nothing.

    Raises:
        DataError: If neurons have no time in common.
    """
    if session.observed is None:
        return None
    common: np.ndarray | None = None
    # Most neurons share their intervals: each list of intervals is intersected once.
    for part in {part.tobytes(): part for part in session.observed if len(part)}.values():
        own = merged(part, "the observed time")
        common = own if common is None else intersection(common, own)
    if common is not None and len(common) == 0:
        raise DataError("the neurons have no observed time in common; keep neurons that were observed together.")
    return common


def without_invalid(session: Session, observed: Intervals) -> Intervals:
    """Observed time less what the session calls invalid.

    Raises:
        DataError: If nothing is left.
    """
    if session.invalid is None or not len(session.invalid):
        return observed
    left = difference(observed, merged(session.invalid, "the invalid time"))
    if not len(left):
        raise DataError("all of the observed time is called invalid; correct the table of invalid times.")
    return left


def time_with_spikes(session: Session, earliest_s: float, latest_s: float) -> Intervals:
    """From the earliest to the latest time of any trial, but no further than silence may be chance.

    A silence before the first or behind the last spike of any neuron that cannot be chance was not recorded: there, the
    recording begins with the first spike, or ends with the last.

    Args:
        session: A session that says nothing of its observed time.
        earliest_s: Where the first trial starts.
        latest_s: Where the last trial stops.

    Raises:
        DataError: If no neuron has a spike.
    """
    first, last, rate_hz = _span(session)
    beyond_s = CHANCE_SPIKES / rate_hz
    start = min(earliest_s, first) if earliest_s >= first - beyond_s else first
    stop = max(latest_s, last) if latest_s <= last + beyond_s else last
    return np.array([[start, stop]])


def recorded_pieces(session: Session, bin_s: float, notes: list[str]) -> Intervals:
    """The recorded pieces of a session that says nothing of its observed time, and a note about them.

    They last from the first to the last spike, in whole bins of the clock, and longer where trials do and silence may
    be chance. Where the whole population pauses for so long that it cannot be chance, the session is cut.

    Raises:
        DataError: If no neuron has a spike.
    """
    first, last, rate_hz = _span(session)
    beyond_s = CHANCE_SPIKES / rate_hz
    start, stop = np.floor(first / bin_s + EDGE) * bin_s, (np.floor(last / bin_s + EDGE) + 1) * bin_s
    if session.trials is not None and {"start_time", "stop_time"} <= set(session.trials):
        stated = session.trials[["start_time", "stop_time"]].to_numpy(dtype=float)
        within = stated[(stated >= first - beyond_s) & (stated <= last + beyond_s)]
        start, stop = min(start, within.min(initial=np.inf)), max(stop, within.max(initial=-np.inf))
    before, after = _pauses(session, max(LEAST_PAUSE_S, PAUSE_SPIKES / rate_hz))
    inside = (before >= first) & (after <= last)  # the others part strays from the recording
    before, after = before[inside], after[inside]
    starts = np.r_[start, np.floor(after / bin_s + EDGE) * bin_s]
    stops = np.r_[(np.floor(before / bin_s + EDGE) + 1) * bin_s, stop]
    how = (
        f"the recorded time is not in the file, and taken from the first to the last spike ({first:.6g} to "
        f"{last:.6g} s)"
    )
    if len(before):
        gap = after - before
        pauses = "a pause" if len(gap) == 1 else f"{len(gap)} pauses"
        how += f", without {pauses} of up to {gap.max():.4g} s in which no neuron fires"
    notes.append(how)
    return np.column_stack([starts, stops])


def _span(session: Session) -> tuple[float, float, float]:
    """First spike, last spike, and the mean rate of the whole population between them."""
    span = session.first_and_last_spike()
    if span is None:
        raise DataError("no neuron has a spike, and nothing says when it was observed; check the file.")
    first, last = span
    n_spikes = sum(len(times) for times in session.spikes)
    return first, last, n_spikes / max(last - first, 1e-9)


def _pauses(session: Session, longest_s: float) -> tuple[Float[np.ndarray, "pause"], Float[np.ndarray, "pause"]]:
    """The last spike before, and the first after, every silence of the whole population that is longer than this."""
    cell_s = longest_s / 2  # a longer silence holds at least one whole cell, so that spikes need not be sorted
    cells = np.unique(np.concatenate([_distinct(np.floor(times / cell_s)) for times in session.spikes]))
    gap = np.flatnonzero(np.diff(cells) > 1)
    before, after = np.full(len(gap), -np.inf), np.full(len(gap), np.inf)
    for times in filter(len, session.spikes):
        place = np.searchsorted(times, (cells[gap] + 1) * cell_s)
        before = np.maximum(before, np.where(place > 0, times[np.maximum(place, 1) - 1], -np.inf))
        after = np.minimum(after, np.where(place < len(times), times[np.minimum(place, len(times) - 1)], np.inf))
    long = after - before > longest_s
    return before[long], after[long]


def _distinct(ordered: np.ndarray) -> np.ndarray:
    return ordered[np.r_[True, ordered[1:] != ordered[:-1]]] if len(ordered) else ordered
