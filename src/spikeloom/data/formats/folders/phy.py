"""Folders of Phy and Kilosort: sorted spikes, and what a person or the sorter says of each cluster."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd

from spikeloom.data.formats.naming.spike_labels import of_units
from spikeloom.data.formats.storage.npy_files import read_vector
from spikeloom.data.formats.tables.spike_tables import FAMILIES, refuse_intervals
from spikeloom.data.options import LoadOptions, check_supported
from spikeloom.data.session.cutting import bin_session
from spikeloom.data.session.session import Session
from spikeloom.data.session.sorting import is_known, quality_mask, trains_of
from spikeloom.data.session.spans import rows_of
from spikeloom.data.spikedata import SpikeData
from spikeloom.data.tables import Table, read_table
from spikeloom.errors import DataError

ALIGNED = "spike_times_sec_adj.npy"
"""Seconds on the clock of another device, such as that of the task, as TPrime writes them."""
SAMPLES, SECONDS = "spike_times.npy", (ALIGNED, "spike_times_sec.npy")
CLUSTERS = ("spike_clusters.npy", "spike_templates.npy")
"""The clusters after manual curation, else the templates that the sorter found."""
INFO = "cluster_info"
KEY = ("cluster_id", "id", "cluster", "clu")
NOISE = "noise"
CODES = {0: NOISE, 1: "mua", 2: "good", 3: "unsorted"}
"""Numbers by which old versions of Phy wrote the group."""
LOWEST_RATE_HZ = 1000.0
"""No system samples spikes more slowly; a lower rate was given in kHz."""
_RATE = re.compile(r"^[ \t]*(?:sample_rate|sampling_rate)[ \t]*(?::[^=\n]*)?=[ \t]*([^#\n]*)", re.MULTILINE)
_NUMBER = re.compile(r"\(*\s*(?:(?:np|numpy)\.)?(?:(?:float|int|float32|float64|int32|int64)\()?\s*"
                     r"\+?(\d[\d_]*\.?[\d_]*(?:[eE][+-]?\d+)?)\s*\)*\s*;?")  # fmt: skip


def is_phy(folder: Path) -> bool:
    """Whether a folder holds sorted spikes as Phy reads them."""
    return any((folder / n).is_file() for n in (SAMPLES, *SECONDS)) and any((folder / n).is_file() for n in CLUSTERS)


def read_phy(folder: Path, options: LoadOptions) -> SpikeData:
    """The recording of a folder of Phy or Kilosort.

    Spike times are samples over the rate in ``params.py``, which is read as text and never executed; those in seconds
    are taken without ``spike_times.npy``, and where they were aligned to another clock. A neuron is a cluster with
    spikes; what the files ``cluster_*.tsv`` say of it are its columns. Clusters called noise are left out unless
    ``quality`` is given.

    Args:
        folder: The folder.
        options: ``quality`` ("good") by the column "group", else "KSLabel"; how to cut and bin, and what to keep.

    Raises:
        DataError: If a file is missing or contradicts another, or the rate is no number.
    """
    check_supported(options, FAMILIES, "a folder of Phy")
    refuse_intervals(options, "a folder of Phy")
    notes: list[str] = []
    times, resolution_s = _times(folder, notes)
    name = next(name for name in CLUSTERS if (folder / name).is_file())
    if name != CLUSTERS[0]:
        notes.append(f"there is no {CLUSTERS[0]}: clusters are those of {name}")
    clusters = read_vector(folder / name)
    if len(clusters) != len(times):
        raise DataError(
            f"{name} has {len(clusters)} entries, but there are {len(times)} spikes; copy the folder again."
        )
    if not len(times):
        raise DataError("there is not a single spike; name a folder of sorted spikes.")
    of_unit, more = of_units(clusters)
    if more:
        notes += more
        times, clusters = times[of_unit], clusters[of_unit]
    ids, trains = trains_of(clusters.astype(np.int64), times)
    neurons = _neurons(folder, ids, notes)
    kept = _kept(neurons, options, notes)
    return bin_session(
        Session(
            spikes=[train for train, keep in zip(trains, kept) if keep],
            neurons=rows_of(neurons, kept),
            resolution_s=resolution_s,
            provenance={"file": folder.resolve().name, "format": "phy"},
            notes=notes,
        ),
        options,
    )


def _times(folder: Path, notes: list[str]) -> tuple[np.ndarray, float]:
    """Spike times in seconds, and the steps in which they are stored."""
    if not (folder / SAMPLES).is_file():
        name = next(name for name in SECONDS if (folder / name).is_file())
        notes.append(f"there is no {SAMPLES}: times are the seconds in {name}")
        return read_vector(folder / name).astype(np.float64), 0.0
    samples = read_vector(folder / SAMPLES)
    if (folder / ALIGNED).is_file():
        aligned = read_vector(folder / ALIGNED).astype(np.float64)
        if len(aligned) == len(samples):
            notes.append(f"times are those of {ALIGNED}, aligned to the clock of another device, not of {SAMPLES}")
            return aligned, 0.0
        notes.append(
            f"{ALIGNED} is not used, as it holds {len(aligned)} times and {SAMPLES} {len(samples)}: align them again"
        )
    if samples.dtype.kind == "f" and not (samples == np.floor(samples)).all():
        notes.append(f"{SAMPLES} holds fractions, so they are taken as seconds")
        return samples.astype(np.float64), 0.0
    rate_hz = sample_rate(folder / "params.py")
    return samples.astype(np.float64) / rate_hz, 1.0 / rate_hz


def sample_rate(path: Path) -> float:
    """The samples per second that ``params.py`` assigns to ``sample_rate``, read as text.

    Raises:
        DataError: If there is none, or it is no plain number.
    """
    if not path.is_file():
        raise DataError(
            f"spike times are samples, but there is no {path.name} with their rate; add one with sample_rate = 30000."
        )
    with path.open("rb") as file:
        text = file.read(1 << 20).decode("utf-8-sig", "replace").replace("\r", "\n")
    values = [value.strip() for value in _RATE.findall(text)]
    if not values:
        raise DataError(f"{path.name} does not give the rate of samples; add a line such as sample_rate = 30000.")
    numbers = [_NUMBER.fullmatch(value) for value in values]
    rates = {float(number[1]) for number in numbers if number is not None and not number[1].endswith("_")}
    if len(rates) != 1 or None in numbers:
        raise DataError(
            f"sample_rate in {path.name} is '{' and '.join(values)[:60]}', which is no plain number (the file is never "
            "executed); write it as one: sample_rate = 30000."
        )
    rate = rates.pop()
    if not (np.isfinite(rate) and rate >= LOWEST_RATE_HZ):
        raise DataError(
            f"sample_rate in {path.name} is {rate:g} Hz, too slow for spikes; write it in samples per second."
        )
    return rate


def _neurons(folder: Path, ids: np.ndarray, notes: list[str]) -> pd.DataFrame:
    """One row for each cluster with spikes, with what the files say of it."""
    files = [f for f in sorted(folder.glob("cluster_*")) if f.suffix in (".tsv", ".csv") and f.stat().st_size]
    files.sort(key=lambda f: f.stem != INFO)  # that of all others joined comes first, as Phy wrote it last
    neurons, silent = pd.DataFrame({"id": ids}), set()
    for file in files:
        table = read_table(file, notes)
        key = next((name for name in KEY if name in table), None)
        if key is None:
            notes.append(f"{file.name} is not used, as it has no column cluster_id")
            continue
        number: Column = pd.to_numeric(table[key], errors="coerce")
        table = table[number.notna()].assign(**{key: number[number.notna()].astype(np.int64)})
        table = table.drop_duplicates(key, keep="last").set_index(key)
        silent |= set(table.index) - set(ids.tolist())
        for name in table:
            column = "group" if str(name) in ("cluster_group", "cluster_groups") else str(name)
            values = table[name].reindex(ids).reset_index(drop=True)
            if column == "group" and pd.api.types.is_numeric_dtype(values.dtype):
                values = values.replace(CODES)
            if column == "id":
                continue
            neurons[column] = (
                values if column not in neurons else neurons[column].where(is_known(neurons[column]), values)
            )
    if not files:
        notes.append("there is no cluster_group.tsv, so nothing tells which clusters are good")
    if silent:
        some = ", ".join(map(str, sorted(silent)[:5])) + (", ..." if len(silent) > 5 else "")
        notes.append(f"{len(silent)} clusters without spikes were left out (id {some})")
    return neurons


def _kept(neurons: Table, options: LoadOptions, notes: list[str]) -> np.ndarray:
    """The clusters of the quality that is asked for; without one, those that are no noise."""
    if options.quality is not None:
        return quality_mask(neurons, options.quality)
    if "group" not in neurons and "KSLabel" not in neurons:
        return np.ones(len(neurons), dtype=bool)
    column = "group" if "group" in neurons else "KSLabel"
    noise = (neurons[column].astype(str).str.strip().str.lower() == NOISE).to_numpy(dtype=bool)
    if noise.all():
        raise DataError(f"all {len(neurons)} clusters are noise ('{column}'); load them with quality={NOISE}.")
    if noise.any():
        notes.append(f"{noise.sum()} of {len(noise)} clusters are noise ('{column}') and were left out")
    return ~noise
