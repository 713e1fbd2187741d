"""Tables as recordings: by their columns, a row is a spike, a bin of one unit or of all neurons, or nothing at all."""

from __future__ import annotations

from pathlib import Path

from spikeloom.data.formats.count_tables import read_count_table, tidy_counts
from spikeloom.data.formats.ragged_tables import is_ragged, read_ragged_table
from spikeloom.data.formats.spike_tables import UNITS, columns_of, read_spike_table, time_column
from spikeloom.data.options import LoadOptions
from spikeloom.data.session.clocks import plain_name
from spikeloom.data.spikedata import SpikeData
from spikeloom.data.tables import read_table
from spikeloom.errors import DataError


def read_table_file(path: Path, options: LoadOptions) -> SpikeData:
    """The recording of a CSV, TSV or Parquet file.

    With a column of units and one of times, each row is a spike (``spike_tables``), or, with a column of counts, a bin
    of one unit. Otherwise each column is a neuron: with its spike times (``ragged_tables``), or its counts, and then
    each row is a bin (``count_tables``).

    Args:
        path: The file.
        options: How to cut and bin it, and what to keep.

    Raises:
        DataError: If the file is no such table.
    """
    notes: list[str] = []
    table = read_table(path, notes)
    origin = {"file": path.name, "format": path.suffix.lower()[1:]}
    columns = columns_of(table)
    if columns is None:
        unit = next((str(name) for name in table if plain_name(name) in UNITS), None)
        if unit is not None and time_column(table) is None:
            raise DataError(
                f"the table has a unit for each row ('{unit}'), but no time (columns: {', '.join(table)}); call the "
                "column of spike times 'time_s'."
            )
        if is_ragged(table):
            return read_ragged_table(table, options, origin, notes)
        return read_count_table(table, options, origin, notes)
    counted = tidy_counts(table, columns)
    if counted is not None:
        return read_count_table(counted[0], options, origin, [*notes, *counted[1]])
    return read_spike_table(table, columns, options, origin, notes)
