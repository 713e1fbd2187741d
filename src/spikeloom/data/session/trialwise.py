"""Spike times that are counted from the start of each trial: every trial is a piece of time of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from spikeloom.data.binning import EDGE
from spikeloom.data.options import LoadOptions
from spikeloom.data.plausibility import CHANCE_SPIKES
from spikeloom.data.recorded_time import FROM_S, PIECE
from spikeloom.data.session.cutting import DEFAULT_BIN_S, cut
from spikeloom.data.session.session import Session
from spikeloom.data.session.single_precision import as_written
from spikeloom.data.spikedata import SpikeData
from spikeloom.data.steps import apply_options
from spikeloom.errors import DataError

APART_S = 1.0
"""Trials are laid this far from each other on a clock that only binning sees."""
MOST_OVERLAP = 0.5
"""Share of the trials whose spikes begin before those of an earlier one end: on one clock, hardly any does."""
_ROW = "row of the trial"


@dataclass(frozen=True, eq=False)
class TrialwiseSpikes:
    """Spike times of trials, each on a clock of its own.

    Attributes:
        times: Spike times in seconds of every neuron in every trial: ``times[trial][neuron]``.
        neurons: One row for each neuron.
        trials: One row for each trial.
        start_s: Where each trial starts on its clock; with ``stop_s`` taken from the spikes if not given.
        stop_s: Where it stops.
        clock_s: When the clock of each trial was zero, on that of the recording; None where that is not known.
        event_s: When the event to align to was, on the clock of its trial; by the column of its name if not given.
        provenance: Where it comes from.
        notes: What was guessed or left out so far.
        has_table: Whether ``trials`` is the table that the user asked for with the option of this name.
    """

    times: Sequence[Sequence[np.ndarray]]
    neurons: pd.DataFrame
    trials: pd.DataFrame
    start_s: Float[np.ndarray, "trial"] | None = None
    stop_s: Float[np.ndarray, "trial"] | None = None
    clock_s: Float[np.ndarray, "trial"] | None = None
    event_s: Float[np.ndarray, "trial"] | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()
    has_table: bool = False


def begin_anew(first: Float[np.ndarray, "trial"], last: Float[np.ndarray, "trial"]) -> bool:
    """Whether the clock begins anew with every trial, by the first and the last spike of each.

    It does where trials begin closer together than they are long, or where most of them lie in others.

    Example:
        >>> begin_anew(np.array([0.1, 0.3, 0.2]), np.array([0.9, 0.8, 0.4]))
        True
        >>> begin_anew(np.array([0.1, 1.3, 2.2]), np.array([0.9, 1.8, 2.4]))
        False
    """
    if len(first) < 2:
        return False
    order = np.argsort(first, kind="stable")
    overlap = first[order][1:] < np.maximum.accumulate(last[order])[:-1]
    return bool(np.ptp(first) < np.median(last - first) or overlap.mean() > MOST_OVERLAP)


def bin_trialwise(spikes: TrialwiseSpikes, options: LoadOptions) -> SpikeData:
    """The recording that options describe of spike times by trial, see ``cutting.cut``.

    Where the trials' ends are not known, all last as long as the latest spike of any, but a trial in which silence
    before that cannot be chance ends with its own last spike.

    Raises:
        DataError: As ``cut``, and if a table of trials on another clock is asked for.
    """
    if options.trials is not None and not spikes.has_table:
        raise DataError(f"trials is '{options.trials}', but the spike times are already those of trials; leave it out.")
    notes = list(spikes.notes)
    start, stop = spikes.start_s, spikes.stop_s
    if start is None or stop is None:
        start, stop = _extent(spikes.times, options.bin_s or DEFAULT_BIN_S, notes)
    known = np.isfinite(start) & np.isfinite(stop) & (stop > start)
    if not known.any():
        raise DataError("no trial has a spike, or a start and a stop; check the file.")
    length = np.where(known, stop - start, 0.0)
    later = np.cumsum(np.r_[0.0, length[:-1] + APART_S]) - np.where(known, start, 0.0)
    n_neurons = len(spikes.neurons)
    trains = [np.concatenate([np.zeros(0), *(_within(one[n], a, b, t) for one, a, b, t in zip(
        spikes.times, start, stop, later, strict=True))]) for n in range(n_neurons)]  # fmt: skip
    table = spikes.trials.assign(**{_ROW: np.arange(len(start))})
    table = table.assign(
        start_time=np.where(known, start + later, np.nan), stop_time=np.where(known, stop + later, np.nan)
    )
    if (
        options.align is not None
        and options.align in spikes.trials
        and options.align not in ("start_time", "stop_time")
    ):
        if spikes.event_s is not None:
            table[options.align] = spikes.event_s + later
        elif pd.api.types.is_numeric_dtype(table[options.align].dtype):
            table[options.align] = table[options.align] + later
    observed = np.column_stack([table["start_time"], table["stop_time"]])[known]
    session = Session(trains, spikes.neurons, table, observed=[observed] * n_neurons, provenance=spikes.provenance)
    data, more = cut(session, replace(options, trials=None))
    return apply_options(_on_own_clocks(data, spikes, later), options, [*notes, *more])


def _within(times: np.ndarray, start: float, stop: float, later: float) -> np.ndarray:
    """Spikes of one trial on the common clock, without those beyond it, which another trial would count."""
    times = np.asarray(times, dtype=np.float64)
    bad = np.flatnonzero(~np.isfinite(times))
    if len(bad):
        raise DataError(f"a spike time of a trial is {times[bad[0]]}, but must be a number of seconds; correct it.")
    edge = APART_S / 4
    times = as_written(times)  # the common clock is in double precision
    return times[(times >= start - edge) & (times <= stop + edge)] + later


def _on_own_clocks(data: SpikeData, spikes: TrialwiseSpikes, later: np.ndarray) -> SpikeData:
    """The recording with the trial columns it came with, and recorded time as far as it is known."""
    row = data.trials[_ROW].to_numpy()
    since = data.trials[FROM_S].to_numpy(dtype=float) - later[row]
    times = {PIECE: row, FROM_S: since} if spikes.clock_s is None else {FROM_S: since + spikes.clock_s[row]}
    made = data.trials.drop(columns=[name for name in (*spikes.trials, _ROW, "start_time", "stop_time", FROM_S) if name in data.trials])  # fmt: skip  # noqa: E501
    own = spikes.trials.iloc[row].reset_index(drop=True)
    return replace(data, trials=pd.concat([own, made.reset_index(drop=True)], axis=1).assign(**times))


def _extent(
    times: Sequence[Sequence[np.ndarray]], bin_s: float, notes: list[str]
) -> tuple[Float[np.ndarray, "trial"], Float[np.ndarray, "trial"]]:
    """Where trials start and stop by their spikes alone; NaN for a trial whose silence cannot be chance."""
    pooled = [np.concatenate([np.zeros(0), *one]) for one in times]
    first = np.array([one.min(initial=np.inf) for one in pooled])
    last = np.array([one.max(initial=-np.inf) for one in pooled])
    fired = np.isfinite(first)
    if not fired.any():
        raise DataError("no neuron has a spike in any trial; check the file.")
    earliest, latest = float(first[fired].min()), float(last[fired].max())
    # From zero, where the clock of a trial begins, unless spikes begin long after it or before it.
    rate_hz = sum(map(len, pooled)) / max(float((last - first)[fired].sum()), bin_s)
    begin = 0.0 if 0 <= earliest <= CHANCE_SPIKES / rate_hz else np.floor(earliest / bin_s + EDGE) * bin_s
    end = begin + (np.floor((latest - begin) / bin_s + EDGE) + 1) * bin_s
    start, stop = np.full(len(pooled), begin), np.full(len(pooled), end)
    early = fired & ((end - last) * rate_hz > CHANCE_SPIKES)
    stop[early] = begin + (np.floor((last[early] - begin) / bin_s + EDGE) + 1) * bin_s
    silent = ~fired & ((end - begin) * rate_hz > CHANCE_SPIKES)
    start[silent] = np.nan
    notes.append(
        f"the ends of trials are not in the file: they are taken from {begin:.6g} s to the latest spike of any "
        f"({latest:.6g} s)" + (f", and {early.sum()} end with their own last spike" if early.any() else "")
    )
    return start, stop
