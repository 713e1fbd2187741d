"""The layout in which npz and HDF5 files keep all of a SpikeData."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd

from spikeloom.data.formats.storage.containers import StoredArray
from spikeloom.data.signal import Signal
from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import DataError

LAYOUT = 1
"""Version of the layout; a file with a higher one was written by a newer spikeloom."""

_NULLABLE = {f"{kind}{bits}" for kind in ("Int", "UInt", "Float") for bits in (8, 16, 32, 64)} | {"boolean"}
"""The types of columns with missing numbers."""


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


def unpacked(stored: Mapping[str, StoredArray]) -> SpikeData:
    """The SpikeData of ``packed`` arrays.

    Raises:
        DataError: If something is missing or damaged, or a newer spikeloom wrote them.
    """

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
