"""Tables with the spike times of one neuron in each column, as NeuroExplorer, Plexon and spreadsheets write them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from spikeloom.data.formats.naming.neuron_columns import BEHAVIOUR, EVENT, NEURON
from spikeloom.data.formats.tables.spike_tables import FAMILIES, refuse_intervals, time_column
from spikeloom.data.options import LoadOptions, check_supported
from spikeloom.data.session.clocks import in_seconds, plain_name
from spikeloom.data.session.cutting import bin_session
from spikeloom.data.session.session import Session
from spikeloom.data.session.strays import duration
from spikeloom.data.session.trial_table import START, STOP
from spikeloom.data.spikedata import SpikeData
from spikeloom.data.tables import Table
from spikeloom.errors import DataError

IN_ORDER = 0.99
"""Share of the times of a column that follow the one above them."""


def is_ragged(table: Table) -> bool:
    """Whether every column holds increasing times, with nothing below them, and columns differ in length.

    A column that is called time is that of bins.

    Example:
        >>> is_ragged(pd.DataFrame({"sig001a": [0.5, 1.5, 2.5], "sig002a": [0.25, 1.75, float("nan")]}))
        True
        >>> is_ragged(pd.DataFrame({"time": [0.0, 0.1, 0.2], "unit_1": [0.0, 1.0, float("nan")]}))
        False
    """
    columns = [table[name] for name in table]
    if (
        not columns
        or time_column(table) is not None
        or not all(pd.api.types.is_numeric_dtype(column.dtype) for column in columns)
    ):
        return False
    sizes = set()
    for column in columns:
        values = column.to_numpy(dtype=float, na_value=np.nan)
        known = np.isfinite(values)
        n = int(known.sum())
        steps = np.diff(values[:n])
        # Counts are whole and go up and down; times increase, and two hardly ever are the same.
        if not known[:n].all() or (len(steps) and (steps > 0).mean() < IN_ORDER):
            return False
        sizes.add(n)
    return len(sizes) > 1 and max(sizes) > 1


def read_ragged_table(
    table: Table, options: LoadOptions, origin: Mapping[str, Any], notes: Sequence[str] = ()
) -> SpikeData:
    """The recording of a table with the spike times of a neuron in each column.

    Where some columns have names that only neurons have ("sig001a"), these are the neurons; else all that are not
    called events or behaviour. Other columns are events to align to, and two called start and stop are the trials.

    Args:
        table: The table, see ``is_ragged``.
        options: How to cut and bin it, and what to keep.
        origin: Start of the provenance.
        notes: What was guessed so far.

    Raises:
        DataError: If there is no neuron, or the unit of time is open.
    """
    check_supported(options, FAMILIES, "a table of spike times")
    refuse_intervals(options, "a table of spike times")
    notes = list(notes)
    times = {str(name): _times(table[name]) for name in table}
    starts, stops = (_of_trials(times, usual) for usual in (START, STOP))
    of_trials = [name for name in (starts, stops) if name is not None]
    others = [name for name in times if name not in of_trials]
    neurons = [name for name in others if NEURON.fullmatch(plain_name(name))] or [
        name for name in others if not EVENT.fullmatch(plain_name(name)) and not BEHAVIOUR.fullmatch(plain_name(name))
    ]
    if not neurons:
        raise DataError(
            f"every column holds increasing times, but none is called a neuron (columns: {', '.join(times)[:200]}); "
            "call those of neurons 'unit_1' and so on."
        )
    notes.append(
        f"each column holds the spike times of a neuron: {len(neurons)} of {len(times)} columns ({neurons[0]} to "
        f"{neurons[-1]})"
    )
    pooled = np.concatenate([times[name] for name in neurons])
    factor, _ = in_seconds(pooled, neurons[0], len(neurons), duration(pooled), notes)
    events = [name for name in others if name not in neurons]
    trials = None
    if options.trials is None and len(of_trials) == 2 and len(times[str(starts)]) == len(times[str(stops)]):
        trials = pd.DataFrame({"start_time": times[str(starts)] * factor, "stop_time": times[str(stops)] * factor})
        notes.append(f"trials are those of '{starts}' and '{stops}'")
        trials = trials.assign(**{n: times[n] * factor for n in events if len(times[n]) == len(trials)})
    elif options.trials is None and options.align in times:
        trials = pd.DataFrame({str(options.align): times[str(options.align)] * factor})
    unused = [name for name in events if trials is None or name not in trials]
    if unused:
        notes.append(f"not used, as they are no neurons by name: {', '.join(unused)}; align takes any of them")
    return bin_session(
        Session(
            spikes=[times[name] * factor for name in neurons],
            neurons=pd.DataFrame({"id": neurons}),
            trials=trials,
            provenance=dict(origin),
            notes=notes,
        ),
        options,
    )


def _times(column: Any) -> np.ndarray:
    values = column.to_numpy(dtype=float, na_value=np.nan)
    return values[np.isfinite(values)]


def _of_trials(times: Mapping[str, np.ndarray], usual: Sequence[str]) -> str | None:
    return next((name for name in times if plain_name(name) in usual), None)
