"""Spike times of units on one clock, from the arrays and structures of a file, with what lies beside them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from spikeloom.data.formats.naming.array_names import (
    HERTZ,
    is_bin_width,
    last_part,
    of_neurons,
    partners,
    text_of,
    time_role,
    unit_of,
)
from spikeloom.data.formats.storage.containers import StoredArray
from spikeloom.data.formats.structures.trials import NEURON_WORDS
from spikeloom.data.options import LoadOptions
from spikeloom.data.session.clocks import FACTORS, SAMPLES, in_seconds, plain_name, without_unit
from spikeloom.data.session.cutting import bin_session
from spikeloom.data.session.session import Session
from spikeloom.data.session.sorting import quality_mask
from spikeloom.data.session.spans import rows_of
from spikeloom.data.session.strays import stray_bounds
from spikeloom.data.session.trial_files import with_durations
from spikeloom.data.session.trial_table import START, STOP, with_usual_names
from spikeloom.data.spikedata import SpikeData
from spikeloom.data.steps import with_all_options
from spikeloom.errors import DataError

RATES = ("fs", "sample_rate", "sampling_rate", "samplerate", "samplingrate", "sr", "sampling_frequency", "sample_res")
RATES = (*RATES, "time_res", "timestamp_resolution", "time_stamp_resolution", "samples_per_second", "sampling_freq")
"""Names of the samples per second, by which spike times in samples become seconds."""
_RATE = re.compile(r"(\d+\.?\d*(?:e[+-]?\d+)?)\s*(k?hz)?(?:/s)?")
MILLISECOND = 1e-3
LEAST_SAMPLING_HZ = 1000.0
"""Spike times without a unit in their name are samples of no lower rate."""
LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 0.1, 500.0
"""Mean rates of populations: where a rate of samples has no unit, it is in kHz if neurons fire so only then."""
MOST_BEHIND = 0.5
"""Share of the times of trials that may lie behind the last spike before another unit than seconds is tried."""
MOST_SPANS = 0.5
"""Share of the pairs of which the second is not before the first, if they are starts and stops."""
LEAST_REACHED = 0.02
"""Share of the recording that trials in milliseconds must reach."""


def session_of_units(
    trains: list[np.ndarray],
    columns: Mapping[str, Any],
    factor: float,
    others: Mapping[str, StoredArray],
    options: LoadOptions,
    origin: Mapping[str, Any],
    notes: list[str],
) -> SpikeData:
    """Spike times of each neuron in seconds, with the trials and the columns of neurons that are beside them.

    Trials are those of the array, or of the table in another file, that the options name; else of arrays with usual
    names.
    """
    chosen_trials = None if options.trials is None else _named(others, str(options.trials))
    if chosen_trials is not None:
        others = _with_trials_called_so(others, chosen_trials)
        data = session_of_units(trains, columns, factor, others, replace(options, trials=None), origin, notes)
        return with_all_options(data, options)
    trials = None
    if options.trials is None:
        trials, named = _trial_table(others, notes, options.align)
        event = options.align if options.align is None or _factor(options.align) is None else None
        trials = trials if named else _on_clock_of(trains, trials, factor, event, notes)
    alone = trials is None or len(trials) != len(trains)
    neurons = pd.DataFrame({**neuron_columns(others, len(trains), alone), **columns}, index=range(len(trains)))
    kept = np.ones(len(trains), dtype=bool) if options.quality is None else quality_mask(neurons, options.quality)
    chosen = [train for train, keep in zip(trains, kept) if keep]
    return bin_session(Session(chosen, rows_of(neurons, kept), trials, provenance=dict(origin), notes=notes), options)


def _on_clock_of(
    trains: list[np.ndarray], trials: pd.DataFrame | None, factor: float, align: str | None, notes: list[str]
) -> pd.DataFrame | None:
    """Trials in seconds: from the unit that spike times had, unless more spikes are among them as they are.

    Where spike times are seconds, and most trials begin behind the last spike, they are in milliseconds, if they then
    last about as long as the spikes.
    """
    times = [str(name) for name in ("start_time", "stop_time", align) if trials is not None and name in trials]
    if trials is None or not times:
        return trials
    ends = trials[times].to_numpy(dtype=float)
    if factor == 1.0:
        first, last = stray_bounds([np.sort(train) for train in trains])
        reached = float(np.nanmax(ends)) * 1e-3 - first
        if not (ends > last).mean() > MOST_BEHIND or not LEAST_REACHED * (last - first) < reached <= last + 1 - first:
            return trials
        factor, why = 1e-3, "milliseconds, as seconds would lie behind the last spike"
    else:
        pooled = np.concatenate([np.zeros(0), *trains])
        inside = [((pooled >= np.nanmin(ends) * k) & (pooled <= np.nanmax(ends) * k)).sum() for k in (1.0, factor)]
        if inside[1] < inside[0]:
            return trials
        why = f"the unit of the spike times, {factor:.6g} s"
    notes.append(f"{', '.join(times)} of trials are in {why}")
    return trials.assign(**{name: trials[name].to_numpy(dtype=float) * factor for name in times})


def seconds_of(
    times: np.ndarray,
    name: str,
    n_trains: int,
    duration: float,
    others: Mapping[str, StoredArray],
    notes: list[str],
    by_trial: bool = False,
) -> float:
    """Seconds in one unit of the spike times; samples become seconds where the file gives their rate.

    Raises:
        DataError: If the unit is open, or as ``refuse_numbers_of_bins``.
    """
    last = last_part(name)
    counts_samples = without_unit(last)[1] in SAMPLES
    rates = {k: rate for k, v in others.items() if (rate := samples_per_second(k, v)) is not None}
    if rates and len(times) and (times == np.floor(times)).all():
        (said, (rate_hz, is_sure)), *_ = rates.items()
        mean = len(times) / (max(n_trains, 1) * max(duration, 1e-9))
        if not is_sure and mean * rate_hz < LOWEST_RATE_HZ <= mean * rate_hz * 1e3 <= HIGHEST_RATE_HZ:
            rate_hz *= 1e3
        if counts_samples or (rate_hz >= LEAST_SAMPLING_HZ and mean < LOWEST_RATE_HZ):
            how = "counts samples" if counts_samples else "is whole numbers, and taken as samples"
            notes.append(f"'{last}' {how} at '{said}' = {rate_hz:g} Hz")
            return 1.0 / rate_hz
    refuse_numbers_of_bins(times, name, others)
    return in_seconds(times, last, n_trains, duration, notes, by_trial)[0]


def refuse_numbers_of_bins(times: np.ndarray, name: str, others: Mapping[str, StoredArray]) -> None:
    """Refuse whole numbers without a unit in a file that gives the width of bins: these may be what they count.

    Bins of a millisecond are no matter, as both are the same then.

    Raises:
        DataError: If they are.
    """
    if not len(times) or (times != np.floor(times)).any() or without_unit(last_part(name))[1]:
        return
    for other, stored in others.items():
        if math.prod(stored.shape) != 1 or not stored.is_number or not is_bin_width(other):
            continue
        value = float(np.ravel(stored.read())[0])
        if value * (unit_of(other)[1] or 1.0) not in (MILLISECOND, 1.0):
            raise DataError(
                f"'{name}' holds whole numbers, and '{other}' says that bins are {value:g} wide: whether they are "
                f"numbers of bins or milliseconds is not clear; store seconds as '{last_part(name)}_s', or "
                f"milliseconds as '{last_part(name)}_ms'."
            )


def samples_per_second(name: str, stored: StoredArray) -> tuple[float, bool] | None:
    """The rate of samples that one number, or one in words, of a usual name says; and whether its unit is said, too.

    Example:
        >>> one = np.array("30 kHz")
        >>> samples_per_second("info/fs", StoredArray(one.shape, one.dtype, lambda: one))
        (30000.0, True)
    """
    if math.prod(stored.shape) != 1 or not _is_rate(name):
        return None
    in_name = HERTZ.get(plain_name(last_part(name)).rpartition("_")[2])
    value = np.asarray(stored.read()).ravel()[0]
    if stored.dtype.kind in "SU":
        said = _RATE.fullmatch(text_of(value).lower())
        value, in_words = (float(said[1]), HERTZ.get(said[2] or "")) if said else (np.nan, None)
        in_name = in_words or in_name
    elif not stored.is_number:
        return None
    return (float(value) * (in_name or 1.0), in_name is not None) if 0 < float(value) < np.inf else None


def neuron_columns(others: Mapping[str, StoredArray], n: int, alone: bool = False) -> dict[str, Any]:
    """Arrays of one value for each neuron: by the words in their names, or all, where nothing else is as many."""
    named = {k: v for k, v in others.items() if v.shape == (n,)}
    if not alone:
        named = {k: v for k, v in named.items() if any(word in k.lower() for word in NEURON_WORDS) or of_neurons(k)}
    return {last_part(name): column(stored.read()) for name, stored in named.items()}


def column(values: np.ndarray) -> np.ndarray:
    """Values as a column of a table: text as Python strings."""
    return values.astype(object) if values.dtype.kind in "US" else values


def _trial_table(
    others: Mapping[str, StoredArray], notes: list[str], align: str | None
) -> tuple[pd.DataFrame | None, bool]:
    """Trials of a session: vectors of one length, among them starts and stops, or a (trial, 2) array of both.

    Without these, a vector of the times of the event to align to is enough. Times whose names say milliseconds are
    brought to seconds.

    Returns:
        The table, and whether names say the unit of its times.
    """
    for name, stored in others.items():
        if is_pairs_of(name, stored):
            factor = _factor(name)
            pairs = stored.read().astype(float) * (factor or 1.0)
            pairs = pairs if stored.shape[1] == 2 and not _are_turned(pairs) else pairs.T
            if not (pairs[:, 1] >= pairs[:, 0]).mean() > MOST_SPANS:
                continue  # two values of something else, such as the place of a target
            table, named = pd.DataFrame(pairs, columns=["start_time", "stop_time"]), factor is not None
            break
    else:
        vectors = {n: v for n, v in others.items() if len(v.shape) == 1 and v.is_number}
        starts = [n for n in vectors if _usual(n, START)]
        events = [n for n in vectors if align in (n, last_part(n), n.replace("/", "."))]
        starts = events if events and not any(vectors[n].shape == vectors[events[0]].shape for n in starts) else starts
        if not starts:
            return None, False
        size, parent = others[starts[0]].shape, starts[0].rpartition("/")[0]
        own = {n: v.read() for n, v in others.items() if v.shape == size and n.rpartition("/")[0] == parent}
        name, named = starts[0], _factor(starts[0]) is not None
        table = with_usual_names(_in_seconds({last_part(n): column(v) for n, v in own.items()}, align, notes))
        if "stop_time" not in table and "start_time" in table:
            table = with_durations(table, f"'{name}'", notes, _factor(name) in (None, 1.0))
        if "stop_time" not in table and not events:
            return None, False
        if align is not None and align not in table and events:
            table = table.rename(columns={last_part(events[0]): align})
    more = {n: v.read() for n, v in others.items() if v.shape == (len(table),)}
    extra = {last_part(n): column(v) for n, v in more.items() if not any(w in n.lower() for w in NEURON_WORDS)}
    extra = {n: v for n, v in extra.items() if n not in table and not _usual(n, (*START, *STOP))}
    notes.append(f"trials are those of '{name}'")
    return table.assign(**extra), named


def _named(others: Mapping[str, StoredArray], given: str) -> str | None:
    """The array that an option names in full, or by the last part of its name; None if there is none."""
    return given if given in others else next((n for n in others if given in (last_part(n), n.replace("/", "."))), None)


def _with_trials_called_so(others: Mapping[str, StoredArray], name: str) -> dict[str, StoredArray]:
    """The arrays, of which only that one, and the stops that belong to it, have names by which they are trials.

    Raises:
        DataError: If they are none of these.
    """
    stored = others[name]
    if not stored.is_number or len(stored.shape) not in (1, 2) or (len(stored.shape) == 2 and 2 not in stored.shape):
        raise DataError(f"'{name}' is {stored}, but trials are (trial,) starts, or (trial, 2) starts and stops.")
    own = {n: s for n, s in others.items() if s.shape == stored.shape and n != name}
    stops = [n for n in own if last_part(n) in partners(last_part(name))] or [n for n in own if _usual(n, STOP)]
    group = name.rpartition("/")[0]
    called = {name: "trials" if len(stored.shape) == 2 else "start_time", **{n: "stop_time" for n in stops[:1]}}
    kept = {n: s for n, s in others.items() if n not in called and not says_trials(n) and not is_pairs_of(n, s)}
    for n, usual in called.items():
        unit = without_unit(last_part(n))[1]
        kept["/".join(part for part in (group, f"{usual}_{unit}" if unit else usual) if part)] = others[n]
    return kept


def is_pairs_of(name: str, stored: StoredArray) -> bool:
    """Whether an array may hold the starts and stops of trials, by its name and shape."""
    return len(stored.shape) == 2 and 2 in stored.shape and stored.is_number and _is_pairs(name)


def _usual(name: str, usual: Sequence[str]) -> bool:
    """Whether a name, with its unit of time or without, is among the usual ones."""
    return plain_name(last_part(name)) in usual or without_unit(last_part(name))[0] in usual


def says_trials(name: str) -> bool:
    """Whether a name is that of an array with times of trials, or with the rate of samples, which is no column."""
    return _usual(name, (*START, *STOP)) or _is_rate(name) or time_role(name) == "both"


def _is_rate(name: str) -> bool:
    plain = plain_name(last_part(name))
    stem, _, unit = plain.rpartition("_")
    return plain in RATES or (unit in HERTZ and stem in RATES)


def _is_pairs(name: str) -> bool:
    return "trial" in name.lower() or time_role(name) == "both"


def _are_turned(pairs: np.ndarray) -> bool:
    """Whether the rows of a (2, 2) array are the starts and the stops of two trials, as these would overlap else."""
    if pairs.shape != (2, 2):
        return False
    apart = [one[0, 0] < one[0, 1] <= one[1, 0] < one[1, 1] for one in (pairs, pairs.T)]
    return bool(apart[1] and not apart[0])


def _factor(name: str) -> float | None:
    """The seconds in the unit of time that a name ends in; None where it names none."""
    return FACTORS.get(without_unit(last_part(name))[1])


def _in_seconds(columns: Mapping[str, Any], align: str | None, notes: list[str]) -> pd.DataFrame:
    """Columns of trials; their starts, their stops and the event are brought to seconds where they name a unit."""
    table = dict(columns)
    for name, values in columns.items():
        factor = _factor(name)
        if factor is None or not (name == align or _usual(name, (*START, *STOP))):
            continue
        plain = name if name == align or plain_name(name) in (*START, *STOP) else without_unit(name)[0]
        del table[name]
        table[plain] = np.asarray(values, dtype=float) * factor
        if factor != 1.0:
            notes.append(f"'{name}' is in {'milli' if factor == 1e-3 else 'micro'}seconds, by its name")
    return pd.DataFrame(table)
