"""Recordings in files: ``load`` and ``save``, and the layout in which npz and HDF5 keep all of a SpikeData."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd

from spikeloom.data.formats.arrays import from_arrays
from spikeloom.data.formats.containers import (
    StoredArray,
    all_or_nothing,
    check_place,
    check_readable,
    open_hdf5,
    open_matlab,
    open_npz,
    write_hdf5,
    write_npz,
)
from spikeloom.data.formats.indy import is_indy, read_indy
from spikeloom.data.options import LoadOptions, check_supported
from spikeloom.data.spikedata import Signal, SpikeData
from spikeloom.data.steps import apply_options
from spikeloom.errors import DataError

LAYOUT = 1
"""Version of the layout; a file with a higher one was written by a newer spikeloom."""

_NULLABLE = {f"{kind}{bits}" for kind in ("Int", "UInt", "Float") for bits in (8, 16, 32, 64)} | {"boolean"}
"""The types of columns with missing numbers."""

_READ = {".npz": open_npz, ".h5": open_hdf5, ".hdf5": open_hdf5, ".mat": open_matlab}
_WRITE = {".npz": write_npz, ".h5": write_hdf5, ".hdf5": write_hdf5}


def load(path: str | Path, options: LoadOptions = LoadOptions()) -> SpikeData:  # noqa: B008  # frozen
    """Load a recording from a file; its ending gives the format: .npz, .h5, .hdf5, .mat or .nwb.

    A file written by ``save`` comes back as it was. Arrays of other origin are interpreted by their names, see
    ``arrays.from_arrays``; NWB files by their units and trials, see ``nwb.read_nwb``. What was guessed or dropped is
    listed under "notes" in the provenance. Loading never executes anything in a file.

    Args:
        path: The file.
        options: How to understand it, and what to keep.

    Raises:
        DataError: If the file is missing, damaged or cannot be interpreted.

    Example:
        >>> import tempfile
        >>> data = SpikeData(np.ones((2, 10, 3), int), bin_s=0.02)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save(data, f"{folder}/ones.npz")
        ...     load(f"{folder}/ones.npz", LoadOptions(window_s=0.1))
        SpikeData: 4 trials x 5 bins of 20 ms x 3 neurons, 50 Hz mean rate
    """
    path = Path(path)
    check_readable(path)
    ending = path.suffix.lower()
    try:
        if ending == ".nwb":
            return _load_nwb(path, options)
        if ending not in _READ:
            raise DataError(f"the ending '{path.suffix}' is not known; spikeloom reads {', '.join([*_READ, '.nwb'])}.")
        stored = _READ[ending](path)
        if "spikeloom_layout" in stored:
            check_supported(options, (), "a file in spikeloom's own layout")
            return apply_options(_unpack(stored), options)
        if "units/spike_times" in stored:
            return _load_nwb(path, options)
        if ending == ".mat" and is_indy(stored):
            return read_indy(path, options)
        origin = {"file": path.name, "format": ending[1:]}
        return from_arrays(stored, options, origin)
    except DataError as error:
        text = str(error)
        raise DataError(text if str(path) in text else f"{path}: {text}") from error.__cause__


def save(data: SpikeData, path: str | Path) -> None:
    """Write a recording to a file; its ending picks the format: .npz, .h5, .hdf5 or .nwb.

    The file appears when it is complete: a failure leaves nothing behind, and an older file as it was.
    npz and HDF5 keep everything; NWB keeps the parts that the format has a place for, see ``nwb_export.write_nwb``.

    Raises:
        DataError: If the ending is unknown, or if the file cannot be written.
    """
    path = Path(path)
    ending = path.suffix.lower()
    if ending == ".nwb":
        from spikeloom.data.formats.nwb_export import write_nwb  # pynwb takes a second to import

        with all_or_nothing(path) as temporary:
            write_nwb(data, temporary)
    elif ending in _WRITE:
        arrays = packed(data)
        with all_or_nothing(path) as temporary:
            _WRITE[ending](temporary, arrays)
    else:
        raise _unknown_ending(path)


def check_writable(path: str | Path) -> None:
    """Check that ``save`` could write a file, before the work that would fill it; creates nothing.

    Raises:
        DataError: If the ending is unknown, the path is a folder, or no file can be made there.
    """
    path = Path(path)
    if path.suffix.lower() not in (*_WRITE, ".nwb"):
        raise _unknown_ending(path)
    check_place(path)


def _unknown_ending(path: Path) -> DataError:
    known = ", ".join([*_WRITE, ".nwb"])
    return DataError(f"{path}: the ending '{path.suffix}' is not known; spikeloom writes {known}.")


def _load_nwb(path: Path, options: LoadOptions) -> SpikeData:
    from spikeloom.data.formats.nwb import read_nwb

    return read_nwb(path, options)


def packed(data: SpikeData) -> dict[str, np.ndarray]:
    """All of a SpikeData as flat named arrays; values that arrays cannot hold are in the JSON text ``about``."""
    arrays: dict[str, np.ndarray] = {
        "spikeloom_layout": np.array(LAYOUT),
        "counts": data.counts,
        "bin_s": np.array(data.bin_s),
        "lengths": data.lengths,
    }
    arrays |= {k: v for k, v in (("rates", data.rates), ("latents", data.latents)) if v is not None}
    about: dict[str, Any] = {"signals": {}, "splits": {}, "provenance": dict(data.provenance)}
    for name, signal in data.signals.items():
        key = f"signals/{_key(name)}"
        arrays[key] = signal.values
        about["signals"][name] = {"key": key, "unit": signal.unit, "columns": list(signal.columns)}
    for name, indices in data.splits.items():
        key = f"splits/{_key(name)}"
        arrays[key] = indices
        about["splits"][name] = key
    for part, table in (("trials", data.trials), ("neurons", data.neurons)):
        about[part] = []
        for name in table:
            key = f"{part}/{_key(str(name))}"
            arrays[key], kept = _pack_column(pd.Series(table[name]), f"{part} column '{name}'")
            about[part].append({"name": str(name), "key": key, **kept})
    arrays["about"] = np.array(json.dumps(about, default=plain))
    return arrays


def _unpack(stored: Mapping[str, StoredArray]) -> SpikeData:
    def read(name: str) -> np.ndarray:
        if name not in stored:
            raise DataError(f"'{name}' is missing, so the file is not complete; write it again with `save`.")
        return stored[name].read()

    if int(read("spikeloom_layout")) > LAYOUT:
        raise DataError("the file was written by a newer spikeloom; update spikeloom to read it.")
    try:
        about, counts = json.loads(str(read("about"))), read("counts")
        return SpikeData(
            counts=counts,
            bin_s=float(read("bin_s")),
            lengths=read("lengths"),
            signals={
                name: Signal(read(kept["key"]), kept["unit"], tuple(kept["columns"]))
                for name, kept in about["signals"].items()
            },
            trials=_unpack_table(about["trials"], counts.shape[0], read),
            neurons=_unpack_table(about["neurons"], counts.shape[-1], read),
            splits={name: read(key) for name, key in about["splits"].items()},
            rates=read("rates") if "rates" in stored else None,
            latents=read("latents") if "latents" in stored else None,
            provenance=dict(about["provenance"]),
        )
    except DataError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise DataError(f"the entry 'about' is damaged ({error}); write the file again with `save`.") from None


def _unpack_table(columns: list[Any], n_rows: int, read: Callable[[str], np.ndarray]) -> pd.DataFrame:
    table = {kept["name"]: _unpack_column(read(kept["key"]), kept) for kept in columns}
    wrong = [name for name, column in table.items() if len(column) != n_rows]
    if wrong:
        raise DataError(f"the column '{wrong[0]}' has {len(table[wrong[0]])} rows instead of {n_rows}; write it again.")
    return pd.DataFrame(table, index=range(n_rows))


def _pack_column(column: pd.Series, what: str) -> tuple[np.ndarray, dict[str, Any]]:
    """A table's column as an array without objects, and the information needed to restore it."""
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "buif":
        return column.to_numpy(), {}
    missing = column.isna().to_numpy()
    kept = {"missing": np.flatnonzero(missing).tolist()}
    if str(column.dtype) in _NULLABLE:
        values = column.fillna(False if str(column.dtype) == "boolean" else 0).to_numpy(
            np.dtype(str(column.dtype).lower().replace("boolean", "bool"))
        )
        return values, kept | {"dtype": str(column.dtype)}
    values = column.astype(object)[~missing]
    if not all(isinstance(v, str) for v in values):
        plain = column.infer_objects()
        if plain.dtype != object and isinstance(plain.dtype, np.dtype) and plain.dtype.kind in "buif":
            return plain.to_numpy(), {}
        odd = next(v for v in values if not isinstance(v, str))
        raise DataError(
            f"the {what} holds {type(odd).__name__} values such as {odd!r}, which cannot be saved; "
            "keep numbers, booleans or text in tables."
        )
    text = np.where(missing, "", column.astype(object)).astype(np.str_)
    return text, kept | {"dtype": "str" if str(column.dtype) in ("str", "string") else "object"}


def _unpack_column(values: np.ndarray, kept: Mapping[str, Any]) -> pd.Series:
    dtype = kept.get("dtype")
    if dtype is None:
        return pd.Series(values)
    if dtype in _NULLABLE:
        column = pd.Series(values).astype(dtype)
        column[kept["missing"]] = pd.NA
        return column
    # Text is restored as the type it had: missing is None in an object column, NaN in a column of strings.
    objects = values.astype(object)
    objects[kept["missing"]] = None
    return pd.Series(objects, dtype=object if dtype == "object" else "str")


def _key(name: str) -> str:
    """A name that npz members and HDF5 groups can carry, whatever is in it."""
    return quote(name, safe=" ").replace(".", "%2E") or "%"


def plain(value: Any) -> Any:
    """Values of numpy and pathlib as values that JSON can hold."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    return str(value)
