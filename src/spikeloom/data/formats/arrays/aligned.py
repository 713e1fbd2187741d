"""Windows around an event in arrays of trials: the bins from so long before the event of each to so long after."""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from spikeloom.data.binning import EDGE
from spikeloom.data.bins import whole_bins, windows_at
from spikeloom.data.formats.arrays.array_file import ArrayFile
from spikeloom.data.formats.arrays.bin_width import MILLISECONDS, Clock
from spikeloom.data.formats.naming.array_names import in_bins, unit_of
from spikeloom.data.session.events import event_column
from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import DataError

MOST_INSIDE = 0.5
"""Share of the events that must lie in their trials in the unit that they are taken to be in."""


def around_events_of_trials(
    data: SpikeData, file: ArrayFile, clock: Clock, trial_start_s: np.ndarray | None
) -> SpikeData:
    """The windows around the event ``align``, which is a trial column with its time in each trial.

    A window begins ``before_s`` before the bin that contains the event. Events are counted on the clock of the bins, or
    from the start of the trial where bins have no times; what has no event in its trial, or leaves it, is dropped.

    Args:
        data: The trials.
        file: The arrays, and the options; how events were understood is noted.
        clock: Times of the bins.
        trial_start_s: Start of each of the trials on the clock of the recording, where bins of each have times of their
            own.

    Raises:
        DataError: If there is no such column, it holds no times, or no window is left.
    """
    options, width = file.options, data.bin_s
    name = event_column(data.trials, str(options.align))
    if not pd.api.types.is_numeric_dtype(data.trials[name].dtype):
        raise DataError(f"the trial column '{name}' does not hold times; align to a column of numbers.")
    since = _bins_since_start(data, name, file, clock, trial_start_s)
    before_s = options.before_s or 0.0
    n_bins = whole_bins(before_s + options.stop_s("align"), width, "the window around the event (before_s + after_s)")
    before = round(before_s / width)
    if abs(before * width - before_s) > EDGE * width:
        raise DataError(f"before_s is {before_s:g}, but must be a number of bins of {width:g} s; choose a multiple.")
    inside = _inside(since, data)
    event = np.where(inside, np.floor(np.where(inside, since, 0.0) + EDGE), 0).astype(np.int64)
    start = event - before
    kept = inside & (start >= 0) & (start + n_bins <= data.lengths)
    for why, dropped in (
        (f"have no '{name}' in them", ~inside),
        ("have a window that leaves the trial", inside & ~kept),
    ):
        if dropped.any():
            some = ", ".join(map(str, np.flatnonzero(dropped)[:5])) + (", ..." if dropped.sum() > 5 else "")
            file.notes.append(f"{dropped.sum()} of {data.n_trials} trials were dropped because they {why} ({some})")
    if not kept.any():
        raise DataError(
            f"no trial is left: of {data.n_trials}, {int((~inside).sum())} have no '{name}' in them, and the window of "
            "the others leaves the trial; give a shorter window with before_s and after_s."
        )
    trial = np.flatnonzero(kept)
    return windows_at(data, trial, start[trial], n_bins)


def _bins_since_start(
    data: SpikeData, name: str, file: ArrayFile, clock: Clock, trial_start_s: np.ndarray | None
) -> Float[np.ndarray, "trial"]:
    """The events in bins since the first bin of their trials; NaN where there is none."""
    column: pd.Series = pd.Series(data.trials[name])
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    first_s = np.full(len(values), 0.0 if clock.start_s is None else float(clock.start_s[0]))
    starts = {"since the start of each trial": first_s} if trial_start_s is None else {"on its clock": trial_start_s}
    if trial_start_s is not None:
        starts["since the start of each trial"] = np.zeros(len(values))
    known = np.isfinite(values)
    whole = bool((values[known] == np.floor(values[known])).all())
    named = unit_of(name)[1]
    first_bin = float(file.counts_from_one and not (values[known] == 0).any())
    units = [named] if named else [1.0, MILLISECONDS]
    words = {1.0: "seconds", MILLISECONDS: "milliseconds"}
    choices = [
        (f"{words.get(unit, f'units of {unit:g} s')} {how}", (values * unit - at) / data.bin_s)
        for unit in units
        for how, at in starts.items()
    ]
    numbers = (f"numbers of bins, counted from {first_bin:g}", values - first_bin)
    if in_bins(name):
        choices = [numbers]
    elif named is None and whole:  # MATLAB stores numbers of bins as floats, too
        at = 0 if column.dtype.kind != "f" and clock.start_s is None else len(starts)
        choices.insert(at, numbers)
    for how, since in choices:
        if known.any() and _inside(since, data)[known].mean() > MOST_INSIDE:
            file.notes.append(f"'{name}' is taken as {how}")
            return since
    raise DataError(
        f"'{name}' lies outside of its own trial in most trials (it is {values[known][0] if known.any() else np.nan:g} "
        "in the first), as seconds, milliseconds and numbers of bins; count it from the start of each trial."
    )


def _inside(since: Float[np.ndarray, "trial"], data: SpikeData) -> Bool[np.ndarray, "trial"]:
    """Which events, in bins since the start of their trials, lie in these."""
    with np.errstate(invalid="ignore"):
        return (since >= -EDGE) & (since < data.lengths + EDGE)
