"""SpikeData becomes an NWB file that other tools read, and that reads back to the same counts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from hdmf.backends.hdf5.h5_utils import H5DataIO
from hdmf.common import ElementIdentifiers, VectorData, VectorIndex
from pynwb import NWBHDF5IO, NWBFile, TimeSeries
from pynwb.epoch import TimeIntervals
from pynwb.misc import Units

from spikeloom.data.sources import content_hash
from spikeloom.data.spikedata import Signal, SpikeData

GAP_S = 1.0
"""Seconds between the end of a trial and the start of the next."""
GENERATED = ("generated", "generated_by", "model", "simulated", "simulator", "synthetic")
"""A recording whose provenance has one of these keys was not recorded from an animal."""
UNIT_COLUMNS = {"spike_times", "obs_intervals", "electrodes", "electrode_group", "waveforms", "waveform_mean"}
TRIAL_COLUMNS = {"start_time", "stop_time", "tags", "timeseries", "split"}


def write_nwb(data: SpikeData, path: Path) -> None:
    """Write units, trials, signals, and rates and latents if known.

    Trials are laid one after another from 0 s with ``GAP_S`` seconds between them, and ``obs_intervals`` say that
    nothing is known of the gaps; the spikes of a bin are spread evenly in it. Trial columns of times on another clock
    (``start_time``, ``stop_time``, any number column ending in ``_time``) get the prefix ``source_``. Splits become the
    trial column ``split``. The width of a bin and the provenance are kept in the notes, where ``read_nwb`` finds
    them. The session description of generated data begins with the word SYNTHETIC.

    Args:
        data: The recording; generated if its provenance has one of the keys ``GENERATED``.
        path: The file to write.
    """
    duration = data.lengths * data.bin_s
    start = np.concatenate([[0.0], np.cumsum(duration + GAP_S)[:-1]])
    about = json.dumps({"spikeloom_nwb": 1, "bin_s": data.bin_s, "provenance": dict(data.provenance)}, default=_plain)
    generated = any(data.provenance.get(key) for key in GENERATED)
    what = "SYNTHETIC data drawn from a model, not recorded from an animal." if generated else "Binned spike counts."
    file: Any = NWBFile(  # pynwb builds its classes at run time, out of sight of a static check
        session_description=(
            f"{what} {data.n_trials} trials laid one after another with gaps of {GAP_S:g} s; the spikes of each "
            f"{data.bin_s:g} s bin are spread evenly in it. The session start time is arbitrary. Written by spikeloom."
        ),
        identifier=f"spikeloom-{content_hash(data)[:32]}",
        session_start_time=datetime(2000, 1, 1, tzinfo=UTC),
        notes=about,
        keywords=["spikeloom", "synthetic"] if generated else ["spikeloom"],
        trials=_trials(data, start, start + duration),
        units=_units(data, start, start + duration),
    )
    centre = start[:, None] + (np.arange(data.n_bins) + 0.5) * data.bin_s
    times = centre[data.valid]
    if data.signals:
        module = file.create_processing_module("behavior", "signals at the bin centres")
        for name, signal in data.signals.items():
            module.add(_series(_plain_name(name), signal, data.valid, times))
    known = {"rate_hz": (data.rate_hz, "Hz", "expected firing rate"), "latents": (data.latents, "a.u.", "latents")}
    if any(values is not None for values, _, _ in known.values()):
        module = file.create_processing_module("spikeloom", "what a model, or a simulation, says of every bin")
        for name, (values, unit, description) in known.items():
            if values is not None:
                module.add(_series(name, Signal(values, unit), data.valid, times, description))
    with NWBHDF5IO(path=str(path), mode="w") as io:
        io.write(container=file)


def _units(data: SpikeData, start: np.ndarray, stop: np.ndarray) -> Units:
    trains = data.spike_times(start)
    observed = np.column_stack([start, stop])
    spikes = VectorData(name="spike_times", description="seconds", data=_packed(np.concatenate(trains)))
    intervals = VectorData(
        name="obs_intervals", description="trials", data=_packed(np.tile(observed, (data.n_neurons, 1)))
    )
    ends = np.cumsum([len(train) for train in trains], dtype=np.int64)
    columns = [
        spikes,
        VectorIndex(name="spike_times_index", target=spikes, data=ends),
        intervals,
        VectorIndex(
            name="obs_intervals_index", target=intervals, data=np.arange(1, data.n_neurons + 1) * data.n_trials
        ),
        *_columns(data.neurons, UNIT_COLUMNS, "unit"),
    ]
    return Units(name="units", description="neurons", columns=columns, id=_ids(data.neurons))


def _trials(data: SpikeData, start: np.ndarray, stop: np.ndarray) -> TimeIntervals:
    table = data.trials
    if data.splits:
        split = np.full(data.n_trials, "none", dtype=object)
        for name, indices in data.splits.items():
            split[indices] = name
        table = table.drop(columns="split", errors="ignore")
    columns = [
        VectorData(name="start_time", description="start of the first bin, seconds", data=start),
        VectorData(name="stop_time", description="end of the last bin, seconds", data=stop),
        *_columns(table, TRIAL_COLUMNS - ({"split"} if not data.splits else set()), "trial"),
    ]
    if data.splits:
        columns.append(VectorData(name="split", description="group of trials; none: in no group", data=list(split)))
    return TimeIntervals(name="trials", description="trials", columns=columns, id=_ids(table))


def _ids(table: pd.DataFrame) -> ElementIdentifiers:
    own = "id" in table and pd.api.types.is_integer_dtype(table["id"].dtype) and table["id"].is_unique
    return ElementIdentifiers(name="id", data=table["id"].to_numpy(dtype=int) if own else np.arange(len(table)))


def _columns(table: pd.DataFrame, reserved: set[str], what: str) -> list[VectorData]:
    columns = {}
    for name in table:
        column = table[name]
        number = pd.api.types.is_numeric_dtype(column.dtype)
        if name == "id" and pd.api.types.is_integer_dtype(column.dtype) and column.is_unique:
            continue
        new = _plain_name(str(name))
        elsewhere = number and new.endswith("_time") and not new.startswith("source_")
        if new in reserved or new == "id" or new.endswith("_index") or elsewhere:
            new = f"source_{new}" if not new.endswith("_index") else f"{new}_"
        while new in columns:
            new += "_"
        if pd.api.types.is_bool_dtype(column.dtype) and not column.isna().any():
            values: Any = column.to_numpy(dtype=bool)
        elif number:
            values = column.to_numpy(dtype=float, na_value=np.nan) if column.isna().any() else column.to_numpy()
        else:
            values = ["" if pd.isna(v) else str(v) for v in column]
        columns[new] = VectorData(name=new, description=f"{what} column '{name}'", data=values)
    return list(columns.values())


def _series(name: str, signal: Signal, valid: np.ndarray, times: np.ndarray, description: str = "") -> TimeSeries:
    return TimeSeries(
        name=name,
        description=description or f"{name}, at bin centres",
        data=_packed(signal.values[valid]),
        unit=signal.unit or "unknown",
        timestamps=_packed(times),
        comments=f"columns=[{','.join(signal.columns)}]",
    )


def _packed(values: np.ndarray) -> Any:
    return H5DataIO(data=values, compression="gzip") if values.size > 1 else values


def _plain_name(name: str) -> str:
    """A name that HDF5 and NWB allow."""
    return name.replace("/", "_").replace(":", "_").strip(".") or "_"


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    return dict(value) if isinstance(value, Mapping) else str(value)
