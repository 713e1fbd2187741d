"""Objects that pynapple saved as npz: groups of spike times, their time support, and binned counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from spikeloom.data.formats.arrays.reading import from_arrays
from spikeloom.data.formats.storage.containers import StoredArray
from spikeloom.data.formats.tables.spike_tables import FAMILIES, refuse_intervals
from spikeloom.data.options import LoadOptions, check_supported
from spikeloom.data.session.cutting import bin_session
from spikeloom.data.session.session import Session
from spikeloom.data.session.sorting import quality_mask, trains_of
from spikeloom.data.session.spans import rows_of
from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import DataError

KINDS = ("Ts", "Tsd", "TsdFrame", "TsdTensor", "TsGroup", "IntervalSet")
METADATA = "_metadata"
_OWN = ("type", "t", "d", "index", "keys", "start", "end", "columns", METADATA)


def kind_of(stored: Mapping[str, StoredArray]) -> str | None:
    """The pynapple class that a file holds, or None where pynapple did not write it."""
    if not {"type", "start", "end"} <= set(stored) or stored["type"].dtype.kind not in "US":
        return None
    if stored["type"].shape not in ((), (1,)):
        return None
    kind = str(stored["type"].read().ravel()[0])
    return kind if kind in KINDS else None


def read_pynapple(
    stored: Mapping[str, StoredArray], kind: str, options: LoadOptions, origin: Mapping[str, Any]
) -> SpikeData:
    """The recording of a TsGroup or of the spike times of one neuron, observed in its time support; or counts in bins.

    Metadata that are Python objects are left out: loading them could run code.

    Raises:
        DataError: If the file holds no spikes, or parts of it contradict each other.
    """
    notes: list[str] = []
    if METADATA in stored and stored[METADATA].dtype.kind == "O":
        notes.append(f"'{METADATA}' is left out, as it is a Python object, which could run code when it is loaded")
    support = np.column_stack([stored[name].read().astype(np.float64).ravel() for name in ("start", "end")])
    if kind in ("Tsd", "TsdFrame") and "d" in stored and _are_counts(stored["d"].read()):
        return _read_counts(stored, support, options, origin, notes)
    if kind not in ("Ts", "TsGroup"):
        raise DataError(
            f"the file holds a pynapple {kind}, which has no spike times; name a saved TsGroup"
            + (", and give this file as trials." if kind == "IntervalSet" else ".")
        )
    check_supported(options, FAMILIES, f"a pynapple {kind}")
    refuse_intervals(options, f"a pynapple {kind}")
    times = stored["t"].read().astype(np.float64).ravel()
    index = np.zeros(len(times), dtype=np.int64) if kind == "Ts" else stored["index"].read().ravel()
    if len(index) != len(times):
        raise DataError(f"t has {len(times)} times and index {len(index)} entries; save the object again.")
    ids, trains = trains_of(index, times)
    by_id = dict(zip(ids.tolist(), trains))
    keys = stored["keys"].read().ravel().tolist() if "keys" in stored else ids.tolist()
    unknown = sorted(set(by_id) - set(keys))
    if unknown:
        raise DataError(f"spikes are of {unknown[0]}, which is none of the keys; save the object again.")
    neurons = pd.DataFrame({"id": keys})
    for name, array in stored.items():  # older versions of pynapple keep a column of metadata as an array
        if name not in _OWN and array.shape == (len(keys),) and array.dtype.kind in "buifUS":
            values = array.read()
            neurons[name] = values.astype(np.str_).astype(object) if values.dtype.kind in "US" else values
    kept = np.ones(len(keys), dtype=bool) if options.quality is None else quality_mask(neurons, options.quality)
    chosen = [by_id.get(key, np.zeros(0)) for key, keep in zip(keys, kept) if keep]
    session = Session(
        spikes=chosen,
        neurons=rows_of(neurons, kept),
        observed=[support] * len(chosen) if len(support) else None,
        provenance=dict(origin) | {"format": f"pynapple {kind}"},
        notes=notes,
    )
    try:
        return bin_session(session, options)
    except DataError as error:
        if not notes or options.neurons is None or "no neuron column" not in str(error):
            raise
        raise DataError(
            f"{error} {notes[0][0].upper()}{notes[0][1:]}; load the file with pynapple.load_file, and pass the "
            "group to `spikeloom.from_pynapple`."
        ) from None


def _are_counts(values: np.ndarray) -> bool:
    if values.dtype.kind not in "buif" or values.ndim not in (1, 2) or not values.size:
        return False
    return bool((values >= 0).all() and (values == np.floor(values)).all())


def _read_counts(
    stored: Mapping[str, StoredArray],
    support: np.ndarray,
    options: LoadOptions,
    origin: Mapping[str, Any],
    notes: list[str],
) -> SpikeData:
    """Counts as ``TsGroup.count`` gives them: their times are the centres of bins, and pieces those of the support."""
    times, values = stored["t"].read().astype(np.float64).ravel(), stored["d"].read()
    values = values.reshape(len(times), -1)
    piece = np.searchsorted(support[:, 0], times, side="right") - 1
    steps = np.diff(times)[np.diff(piece) == 0]
    if not len(steps):
        raise DataError("the counts have one bin only, so their width is open; count in narrower bins.")
    width = float(f"{np.median(steps):.6g}")
    arrays: dict[str, np.ndarray] = {"counts": values, "bin_s": np.array(width), "time": times}
    if piece[-1] != piece[0]:
        arrays["segment"] = piece
    if (
        "columns" in stored
        and stored["columns"].shape == (values.shape[1],)
        and stored["columns"].dtype.kind in "buifUS"
    ):
        arrays["neuron_id"] = stored["columns"].read()
    notes.append(f"the whole numbers are counts in bins of {width:g} s, the step of 't'")
    named = {name: StoredArray(v.shape, v.dtype, lambda v=v: v) for name, v in arrays.items()}
    return from_arrays(named, options, {**origin, "notes": notes})
