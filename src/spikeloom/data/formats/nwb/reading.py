"""NWB files become sessions: units, trials and behaviour.

The file is read with h5py, without pynwb: that needs no schema, starts at once and reads only the parts that are used.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from spikeloom.data.formats.nwb.intervals import invalid_times, trials_of
from spikeloom.data.formats.nwb.items import Unreadable, found, read
from spikeloom.data.formats.nwb.links import links_noted
from spikeloom.data.formats.nwb.series import behaviour
from spikeloom.data.formats.nwb.tables import table
from spikeloom.data.formats.nwb.units import StoredUnits, observed_intervals, stored_units
from spikeloom.data.formats.storage.containers import reading_file
from spikeloom.data.formats.storage.hdf5_files import Hdf5, opened_hdf5
from spikeloom.data.json_columns import with_entries
from spikeloom.data.options import EventOptions, LoadOptions, SeriesOptions, SessionOptions, check_supported
from spikeloom.data.selection import neuron_mask
from spikeloom.data.session.cutting import bin_session, cut
from spikeloom.data.session.session import Session
from spikeloom.data.spikedata import SpikeData

FAMILIES = (EventOptions, SessionOptions, SeriesOptions)
"""Families of options that NWB files understand."""
READ_ELSEWHERE = ("spike_times", "obs_intervals", "waveforms")
"""Columns of units that are no property of a unit."""

QUALITY = ("quality", "group", "cluster_group", "KSLabel", "ks_label", "label")
"""Columns of units that say how well they were sorted."""


def read_nwb(path: Path, options: LoadOptions) -> SpikeData:
    """Bin the spike times of an NWB file, see ``cutting.cut``; one of ``write_nwb`` is loaded in its own bins.

    Args:
        path: The file.
        options: How to cut and bin it, and what to keep.

    Raises:
        DataError: If there are no units, if trials are impossible, or if nothing is left.
    """
    return bin_session(read_session(path, options), options)


def read_units(path: Path, options: LoadOptions) -> tuple[SpikeData, list[str]]:
    """The recording before the steps that every format shares (``apply_options``), and the notes so far.

    Raises:
        DataError: As ``read_nwb``.
    """
    return cut(read_session(path, options), options)


def read_session(path: Path, options: LoadOptions) -> Session:
    """The units, trials and behaviour of a file; only what options keep of its signals is read.

    Raises:
        DataError: If there are no units, or the file is damaged.
    """
    with _opened(path) as file:
        return session_of(file, path.name, options)


@contextmanager
def _opened(path: Path) -> Iterator[Hdf5]:
    with reading_file(path), opened_hdf5(path) as file:
        yield file


def session_of(file: Hdf5, name: str, options: LoadOptions) -> Session:
    """The session of an open NWB file.

    Args:
        file: The open file.
        name: Its name, for the provenance.
        options: What to read.

    Raises:
        DataError: If there are no units, or the file is damaged.
    """
    check_supported(options, FAMILIES, "an NWB file")
    notes: list[str] = []
    with links_noted(file, notes):
        saved_bin_s, provenance = _written_by_us(file)
        units = stored_units(file, notes)
        trials = trials_of(file, options, notes)
        session = Session(
            spikes=units.spikes,
            neurons=_neurons(units, notes),
            trials=trials if trials is None or saved_bin_s is not None else with_entries(trials, notes),
            series=behaviour(file, options.signals, notes, guess=saved_bin_s is None),
            observed=observed_intervals(units.table, len(units.spikes)),
            invalid=invalid_times(file, notes),
            resolution_s=units.resolution_s,
            saved_bin_s=saved_bin_s,
            provenance={**provenance, "file": name, "format": "nwb"},
            notes=notes,
        )
    if options.quality is None:
        return session
    column = next((name for name in QUALITY if name in session.neurons), QUALITY[0])
    return session.select(neuron_mask(session.neurons, f"{column}={options.quality}"))


def _neurons(units: StoredUnits, notes: list[str]) -> pd.DataFrame:
    if units.table is None:
        return pd.DataFrame({"id": units.ids})
    return table(units.table, len(units.spikes), notes, skip=READ_ELSEWHERE)


def _written_by_us(file: Hdf5) -> tuple[float | None, dict[str, Any]]:
    """The width of a bin and the provenance of a recording that ``write_nwb`` wrote; nothing for any other file."""
    try:
        notes = json.loads(str(read(found(file, "general/notes"))))
        return (float(notes["bin_s"]), dict(notes["provenance"])) if "spikeloom_nwb" in notes else (None, {})
    except (Unreadable, KeyError, TypeError, ValueError, AttributeError):
        return None, {}
