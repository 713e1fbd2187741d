"""NWB files become sessions: units, trials and behaviour.

The file is read with h5py, without pynwb: that needs no schema, starts at once and reads only the parts that are used.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from jaxtyping import Int

from spikeloom.data.formats.containers import Hdf5, reading_file
from spikeloom.data.formats.nwb_series import behaviour
from spikeloom.data.options import EventOptions, LoadOptions, SeriesOptions, SessionOptions, check_supported
from spikeloom.data.session.cutting import bin_session, cut
from spikeloom.data.session.session import Session, resolution
from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import DataError

FAMILIES = (EventOptions, SessionOptions, SeriesOptions)
"""Families of options that NWB files understand."""


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
    """The units, trials and behaviour of a file; only what options keep of its units and signals is read.

    Raises:
        DataError: If there are no units, or the file is damaged.
    """
    check_supported(options, FAMILIES, "an NWB file")
    notes: list[str] = []
    with reading_file(path), h5py.File(path, "r") as opened:
        file: Hdf5 = opened
        saved_bin_s, provenance = _written_by_us(file)
        spikes, resolution_s = _spike_times(file)
        return Session(
            spikes=spikes,
            neurons=_table(file["units"], len(spikes), notes, skip=("spike_times", "obs_intervals")),
            trials=_trials(file, notes),
            series=behaviour(file, options.signals, notes),
            observed=_observed(file["units"], len(spikes)),
            resolution_s=resolution_s,
            saved_bin_s=saved_bin_s,
            provenance={**provenance, "file": path.name, "format": "nwb"},
            notes=notes,
        )


def _written_by_us(file: Hdf5) -> tuple[float | None, dict[str, Any]]:
    """The width of a bin and the provenance of a recording that ``write_nwb`` wrote; nothing for any other file."""
    try:
        notes = json.loads(file["general/notes"].asstr()[()])
        return (float(notes["bin_s"]), dict(notes["provenance"])) if "spikeloom_nwb" in notes else (None, {})
    except (KeyError, TypeError, ValueError, AttributeError):
        return None, {}


# -- units and tables --------------------------------------------------------------------------------------------


def _spike_times(file: Hdf5) -> tuple[list[np.ndarray], float]:
    """The spike times of every unit, and the steps of the clock in which the file keeps them."""
    if "units" not in file or "spike_times" not in file["units"] or "spike_times_index" not in file["units"]:
        raise DataError(
            "there are no spike times: the file has no units table with 'spike_times'; sort the recording first, "
            "or name a file that holds units."
        )
    stored = file["units/spike_times"][...]
    times = np.asarray(stored, dtype=np.float64)
    ends = _ends(file["units"], "spike_times", len(times))
    if len(ends) == 0:
        raise DataError("the units table is empty; name a file that holds units.")
    return np.split(times, ends[:-1]), resolution(stored)


def _ends(units: Hdf5, name: str, n_values: int) -> Int[np.ndarray, "unit"]:
    # Index arrays are stored in the smallest type that holds them; arithmetic on a uint8 would wrap around.
    ends = units[f"{name}_index"][...].astype(np.int64)
    if (np.diff(ends, prepend=0) < 0).any() or (len(ends) and ends[-1] > n_values):
        raise DataError(f"units/{name}_index does not fit the {n_values} entries of units/{name}; the file is damaged.")
    return ends


def _observed(units: Hdf5, n_units: int) -> list[np.ndarray] | None:
    """The intervals in which each unit was observed, or None if the file has no such intervals."""
    if "obs_intervals" not in units or "obs_intervals_index" not in units:
        return None
    intervals = np.asarray(units["obs_intervals"][...], dtype=np.float64).reshape(-1, 2)
    return np.split(intervals, _ends(units, "obs_intervals", len(intervals))[:-1])[:n_units]


def _trials(file: Hdf5, notes: list[str]) -> pd.DataFrame | None:
    group = file.get("intervals/trials")
    if group is None or "start_time" not in group or "stop_time" not in group or len(group["start_time"]) == 0:
        return None
    return _table(group, len(group["start_time"]), notes, skip=("timeseries", "tags"))


def _table(group: Hdf5, n_rows: int, notes: list[str], skip: tuple[str, ...]) -> pd.DataFrame:
    """The columns of a table with one value a row, or a few; ragged ones and references are left out."""
    order = [_text(name) for name in group.attrs.get("colnames", [])]
    names = [k for k in ["id", *order, *group] if k in group]
    columns: dict[str, np.ndarray] = {}
    left_out = []
    for name in dict.fromkeys(names):
        item = group[name]
        if not isinstance(item, h5py.Dataset) or name.endswith("_index") or name in skip:
            continue
        text = h5py.check_string_dtype(item.dtype) is not None
        number = item.dtype.kind in "buif"
        if f"{name}_index" in group or item.shape[:1] != (n_rows,) or not (text or number):
            left_out.append(name)
            continue
        values = np.asarray(item.asstr(errors="replace")[...] if text else item[...])
        if values.ndim == 1:
            columns[name] = values
        elif values.ndim == 2 and 1 <= values.shape[1] <= 8:
            columns |= {f"{name}_{i}": values[:, i] for i in range(values.shape[1])}
        else:
            left_out.append(name)
    if left_out:
        notes.append(f"columns of {group.name} left out, as they are not one value a row: {', '.join(left_out)}")
    return pd.DataFrame(columns, index=range(n_rows))


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
