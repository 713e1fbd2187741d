"""Export to NWB: a file for other tools, which loads again with the same counts."""

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
from pynwb.file import Subject
from pynwb.misc import Units

from spikeloom import __version__
from spikeloom.data.formats.storage.containers import new_hdf5
from spikeloom.data.spikedata import Signal, SpikeData, content_hash

GAP_S = 1.0
"""Seconds between the end of a trial and the start of the next."""
GENERATED = ("generated", "generated_by", "model", "simulated", "simulator", "synthetic")
"""A recording whose provenance has one of these keys was not recorded from an animal."""
ORIGIN = ("generated_by", "model", "simulator", "run", "source", "seed")
"""Keys of the provenance that are also part of the description of the experiment."""
SYNTHETIC_CONSTRUCT = "http://purl.obolibrary.org/obo/NCBITaxon_32630"
"""The entry for data of no animal in the taxonomy of species that a subject has to be named by."""
UNIT_COLUMNS = {"spike_times", "obs_intervals", "electrodes", "electrode_group", "waveforms", "waveform_mean"}
TRIAL_COLUMNS = {"start_time", "stop_time", "tags", "timeseries", "split"}


def write_nwb(data: SpikeData, path: Path) -> None:
    """Write units, trials, signals, and rates and latents if known.

    Trials are laid one after another from 0 s with ``GAP_S`` seconds between them, and ``obs_intervals``
    exclude the gaps; the spikes of a bin are spread evenly in it. Trial columns of times on another clock
    (``start_time``, ``stop_time``, any number column ending in ``_time``) get the prefix ``source_``. Splits become the
    trial column ``split``. The width of a bin and the provenance are kept in the notes, where ``read_nwb`` finds
    them.

    Of generated data the word SYNTHETIC begins the descriptions of the session, the units, the trials and every series;
    the keywords and the subject state it too, and columns and signals that were conditions are described as such.

    Args:
        data: The recording; generated if its provenance has one of the keys ``GENERATED``.
        path: The file to write.
    """
    duration = data.lengths * data.bin_s
    start = np.concatenate([[0.0], np.cumsum(duration + GAP_S)[:-1]])
    about = {"spikeloom_nwb": 1, "spikeloom": __version__, "bin_s": data.bin_s, "provenance": dict(data.provenance)}
    synthetic = _is_synthetic(data)
    kind = "SYNTHETIC data drawn from a model, not recorded from an animal." if synthetic else "Binned spike counts."
    # Who made an experiment, where, and on which animal: SpikeData does not know it of a recording, and of generated
    # data there is nobody to name. It is left out rather than made up; programs that check files may miss it.
    file: Any = NWBFile(  # pynwb builds its classes at run time, out of sight of a static check
        session_description=(
            f"{kind} {data.n_trials} trials laid one after another with gaps of {GAP_S:g} s; the spikes of each "
            f"{data.bin_s:g} s bin are spread evenly in it. The session start time is arbitrary. "
            f"Written by spikeloom {__version__}."
        ),
        identifier=f"spikeloom-{content_hash(data)[:32]}",
        session_start_time=datetime(2000, 1, 1, tzinfo=UTC),
        notes=json.dumps(about, default=_plain),
        keywords=["spikeloom", "synthetic", "generated"] if synthetic else ["spikeloom"],
        trials=_trials(data, start, start + duration),
        units=_units(data, start, start + duration),
        **(_of_synthetic(data) if synthetic else {}),
    )
    if data.signals:
        module = file.create_processing_module("behavior", _labelled("signals at the bin centres", data))
        for name, signal in data.signals.items():
            module.add(_series(_plain_name(name), signal, data, start, _condition_description(name, data) or name))
    known = {"rate_hz": (data.rate_hz, "Hz", "expected firing rate"), "latents": (data.latents, "a.u.", "latents")}
    if any(values is not None for values, _, _ in known.values()):
        module = file.create_processing_module("misc", "rates and latents of a model or a simulation in every bin")
        for name, (values, unit, description) in known.items():
            if values is not None:
                module.add(_series(name, Signal(values, unit), data, start, description))
    with new_hdf5(path) as writing, writing() as target, NWBHDF5IO(file=target, mode="w") as io:
        io.write(container=file)


# -- descriptions of generated data ---------------------------------------------------------------------------


def _is_synthetic(data: SpikeData) -> bool:
    return any(data.provenance.get(key) for key in GENERATED)


def _labelled(description: str, data: SpikeData) -> str:
    return f"SYNTHETIC: {description}" if _is_synthetic(data) else description


def _of_synthetic(data: SpikeData) -> dict[str, Any]:
    """Descriptions in place of the experiment and the animal of recorded data."""
    origin = ", ".join(f"{key} {data.provenance[key]}" for key in ORIGIN if data.provenance.get(key) is not None)
    none = "No animal is involved: the data were generated"
    return {
        "experiment_description": f"SYNTHETIC: no experiment took place. {none}" + (f" ({origin})." if origin else "."),
        "was_generated_by": [["spikeloom", __version__]],
        # A file without a subject, or with one without species, sex and age, counts as incomplete.
        "subject": Subject(
            subject_id="synthetic", description=f"{none}.", species=SYNTHETIC_CONSTRUCT, sex="U", age="P0D/"
        ),
    }


def _condition_description(name: str, data: SpikeData) -> str:
    """Description of a trial column or signal that was a condition of generated data; empty for any other."""
    if not _is_synthetic(data):
        return ""
    conditions, drawn = (_names(data.provenance.get(key)) for key in ("conditioned_on", "labels_drawn"))
    same = name == "condition" and any(
        n in data.trials and data.trials[n].equals(data.trials[name]) for n in conditions
    )
    if name in conditions or same:
        return f"'{name}' as a condition of the generated trial, not measured (missing where it was left free)"
    return f"'{name}' drawn together with the spikes, not a condition" if name in drawn else ""


def _names(value: Any) -> list[str]:
    return [str(v) for v in value] if isinstance(value, list | tuple) else [] if value is None else [str(value)]


# -- tables and series ---------------------------------------------------------------------------------------------


def _units(data: SpikeData, start: np.ndarray, stop: np.ndarray) -> Units:
    trains = data.spike_times(start)
    observed = np.column_stack([start, stop])
    spikes = VectorData(
        name="spike_times",
        description="seconds; the spikes of a bin are spread evenly in it",
        data=_packed(np.concatenate(trains)),
    )
    intervals = VectorData(
        name="obs_intervals",
        description="start and stop of every trial, seconds; nothing is known of the time between",
        data=_packed(np.tile(observed, (data.n_neurons, 1))),
    )
    ends = np.cumsum([len(train) for train in trains], dtype=np.int64)
    columns = [
        spikes,
        VectorIndex(name="spike_times_index", target=spikes, data=ends),
        intervals,
        VectorIndex(
            name="obs_intervals_index", target=intervals, data=np.arange(1, data.n_neurons + 1) * data.n_trials
        ),
        *_columns(data, data.neurons, UNIT_COLUMNS, "unit"),
    ]
    imitated = "neurons named as in the recording that was imitated, with spikes that were generated"
    return Units(
        name="units",
        description=_labelled(imitated, data) if _is_synthetic(data) else "neurons",
        columns=columns,
        id=_ids(data.neurons),
        # More is not known of a spike than its bin, even where that is coarser than any amplifier.
        resolution=data.bin_s,
    )


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
        *_columns(data, table, TRIAL_COLUMNS - ({"split"} if not data.splits else set()), "trial"),
    ]
    if data.splits:
        columns.append(VectorData(name="split", description="group of trials; none: in no group", data=list(split)))
    conditions = _names(data.provenance.get("conditioned_on"))
    conditioned = f"; conditioned on {', '.join(conditions)}" if conditions else ""
    description = _labelled(f"trials that were generated{conditioned}", data) if _is_synthetic(data) else "trials"
    return TimeIntervals(name="trials", description=description, columns=columns, id=_ids(table))


def _ids(table: pd.DataFrame) -> ElementIdentifiers:
    own = "id" in table and pd.api.types.is_integer_dtype(table["id"].dtype) and table["id"].is_unique
    return ElementIdentifiers(name="id", data=table["id"].to_numpy(dtype=int) if own else np.arange(len(table)))


def _columns(data: SpikeData, table: pd.DataFrame, reserved: set[str], what: str) -> list[VectorData]:
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
        # Numbers that are 0 or 1 stay numbers: conditions of new trials have the same values as the recording.
        description = (_condition_description(str(name), data) if what == "trial" else "") or f"{what} column '{name}'"
        columns[new] = VectorData(name=new, description=description, data=values)
    return list(columns.values())


def _series(name: str, signal: Signal, data: SpikeData, start: np.ndarray, description: str) -> TimeSeries:
    centre = (np.arange(data.n_bins) + 0.5) * data.bin_s
    # One trial has no gaps, and a series without gaps has a rate.
    regular = {"starting_time": float(start[0] + centre[0]), "rate": 1 / data.bin_s}
    return TimeSeries(
        name=name,
        description=_labelled(f"{description}, at bin centres", data),
        data=_packed(signal.values[data.valid]),
        unit=signal.unit or "unknown",
        comments=f"columns=[{','.join(signal.columns)}]",
        **(regular if data.n_trials == 1 else {"timestamps": _packed((start[:, None] + centre)[data.valid])}),
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
