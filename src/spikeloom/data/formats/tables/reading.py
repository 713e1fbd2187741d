"""Tables as recordings: by their columns, a row is a spike, a bin of one unit or of all neurons, or nothing at all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from spikeloom.data.formats.naming.neuron_columns import NEURON
from spikeloom.data.formats.naming.spike_labels import ANIMALS, one_recording
from spikeloom.data.formats.tables.count_tables import read_count_table, tidy_counts
from spikeloom.data.formats.tables.list_tables import list_column, read_list_table
from spikeloom.data.formats.tables.ragged_tables import is_ragged, read_ragged_table
from spikeloom.data.formats.tables.spike_tables import UNITS, columns_of, columns_of_bins, read_spike_table, time_column
from spikeloom.data.formats.tables.turned_tables import numbers_of
from spikeloom.data.options import LoadOptions
from spikeloom.data.session.clocks import plain_name, without_unit
from spikeloom.data.session.trial_files import DURATIONS
from spikeloom.data.session.trial_table import START, STOP
from spikeloom.data.spikedata import SpikeData
from spikeloom.data.steps import with_all_options
from spikeloom.data.tables import Table, read_table
from spikeloom.errors import DataError


def read_table_file(path: Path, options: LoadOptions) -> SpikeData:
    """The recording of a CSV, TSV or Parquet file.

    A row with a list of spike times is a unit (``list_tables``). With a column of units and one of times, a row is a
    spike (``spike_tables``), or, with a column of counts, a bin of one unit. Otherwise a column is a neuron: with its
    spike times (``ragged_tables``), or its counts, and then each row is a bin (``count_tables``).

    Args:
        path: The file.
        options: How to cut and bin it, and what to keep.

    Raises:
        DataError: If the file is no such table.
    """
    notes: list[str] = []
    table = read_table(path, notes)
    origin = {"file": path.name, "format": path.suffix.lower()[1:]}
    listed = list_column(table)
    if listed is not None:
        return read_list_table(table, listed, options, origin, notes)
    columns = columns_of(table) or columns_of_bins(table)
    if columns is None:
        unit = next((str(name) for name in table if plain_name(name) in UNITS), None)
        is_wide = np.isfinite(numbers_of(table)).mean() > 0.5  # named by the times of bins
        if unit is not None and time_column(table) is None and not is_wide:
            raise DataError(
                f"the table has a unit for each row ('{unit}'), but no time (columns: {', '.join(table)}); call the "
                "column of spike times 'time_s'."
            )
        if is_ragged(table):
            return read_ragged_table(table, options, origin, notes)
        _refuse_trials(table)
        return read_count_table(table, options, origin, notes)
    counted = tidy_counts(table, columns)
    if counted is not None:
        return read_count_table(counted[0], options, origin, [*notes, *counted[1]])
    names = [str(name) for name in table if columns.trial is None or plain_name(name) in ANIMALS]
    rows, where = one_recording({name: table[name].to_numpy() for name in names}, options.where)
    if where == options.where:
        return read_spike_table(table, columns, options, origin, notes)
    notes.append(f"{rows.sum()} of {len(rows)} rows are those of {' and '.join(set(options.where) - set(where))}")
    data = read_spike_table(table[rows].reset_index(drop=True), columns, replace(options, where=where), origin, notes)
    return with_all_options(data, options)


def _refuse_trials(table: Table) -> None:
    """Raise a DataError where a table holds trials or events, which belong to a recording of spikes."""
    plain = [without_unit(name)[0] for name in table]
    has_neurons = any(NEURON.fullmatch(name) for name in plain)
    if not has_neurons and set(START) & set(plain) and {*STOP, *DURATIONS} & set(plain):
        raise DataError(
            f"the table holds when trials or events were (columns: {', '.join(map(str, table))}), but no spikes; load "
            "the recording itself, with trials=<this file>."
        )
