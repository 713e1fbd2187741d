"""Spike times of units on one clock, from the arrays and structures of a file, with what lies beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from spikeloom.data.formats.containers import StoredArray
from spikeloom.data.formats.matlab_trials import NEURON_WORDS
from spikeloom.data.options import LoadOptions
from spikeloom.data.session.clocks import in_seconds, plain_name
from spikeloom.data.session.cutting import bin_session
from spikeloom.data.session.session import Session
from spikeloom.data.session.sorting import quality_mask
from spikeloom.data.session.spans import rows_of
from spikeloom.data.session.trial_table import START, STOP, with_usual_names
from spikeloom.data.spikedata import SpikeData

RATES = ("fs", "sample_rate", "sampling_rate", "samplerate", "samplingrate", "sr", "sampling_frequency", "sample_res")
RATES = (*RATES, "time_res", "timestamp_resolution", "time_stamp_resolution", "samples_per_second", "sampling_freq")
"""Names of the samples per second, by which spike times in samples become seconds."""


def session_of_units(
    trains: list[np.ndarray],
    columns: Mapping[str, Any],
    factor: float,
    others: Mapping[str, StoredArray],
    options: LoadOptions,
    origin: Mapping[str, Any],
    notes: list[str],
) -> SpikeData:
    """Spike times of each neuron in seconds, with the trials and the columns of neurons that are beside them."""
    trials = None
    if options.trials is None:
        trials = _on_clock_of(trains, _trial_table(others, notes, options.align), factor, options.align, notes)
    alone = trials is None or len(trials) != len(trains)
    neurons = pd.DataFrame({**neuron_columns(others, len(trains), alone), **columns}, index=range(len(trains)))
    kept = np.ones(len(trains), dtype=bool) if options.quality is None else quality_mask(neurons, options.quality)
    chosen = [train for train, keep in zip(trains, kept) if keep]
    return bin_session(Session(chosen, rows_of(neurons, kept), trials, provenance=dict(origin), notes=notes), options)


def _on_clock_of(
    trains: list[np.ndarray], trials: pd.DataFrame | None, factor: float, align: str | None, notes: list[str]
) -> pd.DataFrame | None:
    """Trials in seconds: from the unit that spike times had, unless more spikes are among them as they are."""
    times = [name for name in ("start_time", "stop_time", align) if trials is not None and name in trials]
    if trials is None or factor == 1.0 or not times:
        return trials
    ends = trials[times].to_numpy(dtype=float)
    pooled = np.concatenate([np.zeros(0), *trains])
    inside = [((pooled >= np.nanmin(ends) * k) & (pooled <= np.nanmax(ends) * k)).sum() for k in (1.0, factor)]
    if inside[1] < inside[0]:
        return trials
    notes.append(f"{', '.join(map(str, times))} of trials are in the unit of the spike times, {factor:.6g} s")
    return trials.assign(**{str(name): trials[name].to_numpy(dtype=float) * factor for name in times})


def seconds_of(
    times: np.ndarray,
    name: str,
    n_trains: int,
    duration: float,
    others: Mapping[str, StoredArray],
    notes: list[str],
    by_trial: bool = False,
) -> float:
    """Seconds in one unit of the spike times; samples become seconds where the file gives their rate."""
    last = name.rsplit("/", 1)[-1]
    rates = [
        k for k, v in others.items() if plain_name(k.rsplit("/", 1)[-1]) in RATES and v.shape == () and v.is_number
    ]
    if rates and len(times) and (times == np.floor(times)).all():
        rate_hz = float(others[rates[0]].read())
        if rate_hz >= 1000 and len(times) / (max(n_trains, 1) * max(duration, 1e-9)) < 0.1:
            notes.append(f"'{last}' is whole numbers, and taken as samples at '{rates[0]}' = {rate_hz:g} Hz")
            return 1.0 / rate_hz
    return in_seconds(times, last, n_trains, duration, notes, by_trial)[0]


def neuron_columns(others: Mapping[str, StoredArray], n: int, alone: bool = False) -> dict[str, Any]:
    """Arrays of one value for each neuron: by the words in their names, or all, where nothing else is as many."""
    named = {k: v for k, v in others.items() if v.shape == (n,)}
    if not alone:
        named = {k: v for k, v in named.items() if any(word in k.lower() for word in NEURON_WORDS)}
    return {name.rsplit("/", 1)[-1]: column(stored.read()) for name, stored in named.items()}


def column(values: np.ndarray) -> np.ndarray:
    """Values as a column of a table: text as Python strings."""
    return values.astype(object) if values.dtype.kind in "US" else values


def _trial_table(others: Mapping[str, StoredArray], notes: list[str], align: str | None) -> pd.DataFrame | None:
    """Trials of a session: vectors of one length, among them starts and stops, or a (trial, 2) array of both.

    Without these, a vector of the times of the event to align to is enough.
    """
    for name, stored in others.items():
        if len(stored.shape) == 2 and stored.shape[1] == 2 and stored.is_number and "trial" in name.lower():
            table = pd.DataFrame(stored.read().astype(float), columns=["start_time", "stop_time"])
            break
    else:
        vectors = {n: v for n, v in others.items() if len(v.shape) == 1 and v.is_number}
        starts = [n for n in vectors if plain_name(n.rsplit("/", 1)[-1]) in START]
        events = [n for n in vectors if align in (n, n.rsplit("/", 1)[-1], n.replace("/", "."))]
        starts = events if events and not any(vectors[n].shape == vectors[events[0]].shape for n in starts) else starts
        if not starts:
            return None
        size, parent = others[starts[0]].shape, starts[0].rpartition("/")[0]
        own = {n: v.read() for n, v in others.items() if v.shape == size and n.rpartition("/")[0] == parent}
        table = with_usual_names(pd.DataFrame({n.rsplit("/", 1)[-1]: column(v) for n, v in own.items()}))
        name = starts[0]
        if "stop_time" not in table and not events:
            return None
        if align is not None and align not in table and events:
            table = table.rename(columns={events[0].rsplit("/", 1)[-1]: align})
    more = {n: v.read() for n, v in others.items() if v.shape == (len(table),)}
    extra = {n.rsplit("/", 1)[-1]: column(v) for n, v in more.items() if not any(w in n.lower() for w in NEURON_WORDS)}
    notes.append(f"trials are those of '{name}'")
    return table.assign(**{n: v for n, v in extra.items() if n not in table and plain_name(n) not in (*START, *STOP)})
