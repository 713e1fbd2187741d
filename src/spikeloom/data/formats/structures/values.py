"""MATLAB files of any version as a tree of arrays, structures and cells, opened without running anything in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import h5py
import numpy as np
import scipy.io
import scipy.sparse

from spikeloom.data.formats.storage.containers import StoredArray, hdf5_values, reading_file
from spikeloom.data.formats.storage.guard import check_sound
from spikeloom.data.formats.storage.hdf5_files import Hdf5, linked, opened_hdf5, other_files
from spikeloom.data.formats.storage.sparse import dense

DEEPEST = 16
"""Levels of structures and cells that are followed; a damaged file may hold itself."""


@dataclass(frozen=True)
class Struct:
    """An array of structures; its elements are in MATLAB's linear order."""

    shape: tuple[int, ...]
    fields: Mapping[str, Sequence[Value]]

    @property
    def size(self) -> int:
        """How many structures there are."""
        return int(np.prod(self.shape))

    def __str__(self) -> str:
        return f"struct {_by(self.shape)} ({', '.join(list(self.fields)[:8])}{', ...' if len(self.fields) > 8 else ''})"


@dataclass(frozen=True)
class Cell:
    """A cell array; its elements are in MATLAB's linear order, first index first."""

    shape: tuple[int, ...]
    items: Sequence[Value]

    def __str__(self) -> str:
        kinds = sorted({_kind(item) for item in self.items})
        return f"cell {_by(self.shape)} of {' and '.join(kinds) or 'nothing'}"


@dataclass(frozen=True)
class Other:
    """Something that is not read: a table, an object or a function of MATLAB."""

    kind: str

    def __str__(self) -> str:
        return self.kind


Value: TypeAlias = StoredArray | Struct | Cell | Other


def _by(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))


def _kind(value: Value) -> str:
    if isinstance(value, StoredArray):
        return "numbers" if value.is_number else "text"
    return "cells" if isinstance(value, Cell) else "structs" if isinstance(value, Struct) else value.kind


@contextmanager
def open_matlab(path: Path) -> Iterator[dict[str, Value]]:
    """The variables of a file, of version 4 to 7.3; arrays of version 7.3 can be read while it is open.

    Raises:
        DataError: If the file is damaged.
    """
    check_sound(path)
    if h5py.is_hdf5(path):
        with reading_file(path), opened_hdf5(path) as file:
            yield {name: _of_hdf5(linked(file, name)) for name in file if not name.startswith("#")}
        return
    # Older versions are read whole: scipy runs nothing in them, and leaves objects and functions opaque.
    with reading_file(path):
        variables = scipy.io.loadmat(path, struct_as_record=True, chars_as_strings=True)
    yield {name: _of_scipy(value) for name, value in variables.items() if not name.startswith("__")}


def arrays_of(variables: Mapping[str, Value]) -> dict[str, StoredArray]:
    """The arrays among variables, and those in single structures, which are named ``structure/field``.

    MATLAB has no vectors and no scalars, only matrices: axes of one element are dropped from these. A cell array of
    words is an array of text.
    """
    found: dict[str, StoredArray] = {}

    def add(name: str, value: Value) -> None:
        if isinstance(value, Struct) and value.size == 1:
            for field, (only,) in value.fields.items():
                add(f"{name}/{field}", only)
        elif isinstance(value, StoredArray):
            found[name] = squeezed(value)
        elif (words := words_of(value)) is not None:
            found[name] = StoredArray(words.shape, np.dtype("U1"), lambda: words)

    for name, value in variables.items():
        add(name, value)
    return found


def squeezed(stored: StoredArray) -> StoredArray:
    """The array without the axes of one element that MATLAB gives vectors and scalars."""
    shape = tuple(n for n in stored.shape if n != 1) if len(stored.shape) == 2 else stored.shape
    return StoredArray(shape, stored.dtype, lambda: stored.read().reshape(shape))


def words_of(value: Value) -> np.ndarray | None:
    """The texts of a cell array of words; an empty cell is an empty text. None where it holds anything else."""
    if not isinstance(value, Cell) or not value.items:
        return None
    words = []
    for item in value.items:
        if not isinstance(item, StoredArray) or (item.is_number and 0 not in item.shape) or len(item.shape) == 1:
            return None
        words.append("" if item.is_number else str(item.read()))
    return np.array(words, dtype=np.str_) if any(words) else None


# -- versions 4 to 7 -----------------------------------------------------------------------------------------------


def _of_scipy(value: Any, depth: int = 0) -> Value:
    if scipy.sparse.issparse(value):
        return StoredArray(value.shape, value.dtype, lambda: value.toarray())
    if not isinstance(value, np.ndarray) or type(value).__name__ in ("MatlabOpaque", "MatlabFunction"):
        return Other(type(value).__name__)
    if depth > DEEPEST:
        return Other("too deep")
    if value.dtype.names is not None:
        elements = value.ravel(order="F")
        return Struct(value.shape, {k: [_of_scipy(one, depth + 1) for one in elements[k]] for k in value.dtype.names})
    if value.dtype == object:
        return Cell(value.shape, [_of_scipy(one, depth + 1) for one in value.ravel(order="F")])
    if value.dtype.kind == "U" and value.size <= 1:  # a word; several rows are an array of them
        word = np.array(value.item() if value.size else "")
        return StoredArray((), word.dtype, lambda: word)
    return StoredArray(value.shape, value.dtype, lambda: value)


# -- version 7.3 ---------------------------------------------------------------------------------------------------


def _of_hdf5(item: Hdf5, depth: int = 0) -> Value:
    kind = _matlab_class(item)
    if depth > DEEPEST:
        return Other("too deep")
    if isinstance(item, h5py.Group):
        if "MATLAB_sparse" in item.attrs:
            return _sparse(item)
        members: dict[str, Hdf5] = {name: linked(item, name) for name in _fields(item)}
        arrays = [m for m in members.values() if _is_references(m) and not _matlab_class(m)]
        if not arrays or len(arrays) < len(members) or len({m.shape for m in arrays}) > 1:
            return Struct((1, 1), {name: [_of_hdf5(member, depth + 1)] for name, member in members.items()})
        # Each field of an array of structures is an array of references.
        of_field = {name: [_of_hdf5(one, depth + 1) for one in _referenced(m)] for name, m in members.items()}
        return Struct(arrays[0].shape[::-1], of_field)
    if item.attrs.get("MATLAB_empty", 0):
        return _empty(tuple(int(n) for n in np.ravel(item[...])), kind)
    if _is_references(item):
        return Cell(item.shape[::-1], [_of_hdf5(one, depth + 1) for one in _referenced(item)])
    if kind == "char":
        return StoredArray((), np.dtype("U1"), lambda: np.array(_text(item)))
    if h5py.check_string_dtype(item.dtype) is not None:
        return StoredArray(item.shape, np.dtype("U1"), lambda: np.asarray(item.asstr()[...], dtype=np.str_))
    others = tuple(other_files(item))
    if item.dtype.kind not in "buif" or "MATLAB_object_decode" in item.attrs:
        return Other(kind or "compound")
    # MATLAB stores columns first.
    return StoredArray(item.shape[::-1], item.dtype, lambda: hdf5_values(item).T, others)


def _empty(shape: tuple[int, ...], kind: str) -> Value:
    """A variable without elements: MATLAB stores its shape instead of them."""
    if kind == "char":
        return StoredArray((), np.dtype("U1"), lambda: np.array(""))
    if kind == "cell":
        return Cell(shape, [])
    if kind == "struct":
        return Struct(shape, {})
    return StoredArray(shape, np.dtype(float), lambda: np.zeros(shape))


def _fields(item: Hdf5) -> list[str]:
    """Names of the fields in the order in which MATLAB shows them, if the file keeps it."""
    order = ["".join(np.ravel(name).astype(np.str_).tolist()) for name in item.attrs.get("MATLAB_fields", [])]
    return [*dict.fromkeys([name for name in order if name in item] + list(item))]


def _is_references(item: Hdf5) -> bool:
    return isinstance(item, h5py.Dataset) and item.dtype == h5py.ref_dtype


def _referenced(item: Hdf5) -> list[Hdf5]:
    return [item.file[reference] for reference in hdf5_values(item).ravel()]  # columns are first in the file


def _matlab_class(item: Hdf5) -> str:
    name = item.attrs.get("MATLAB_class", b"")
    return name.decode() if isinstance(name, bytes) else str(name)


def _text(item: Hdf5) -> str:
    return "".join(map(chr, hdf5_values(item).T.ravel()))


def _sparse(item: Hdf5) -> Value:
    n_rows, n_columns = int(item.attrs["MATLAB_sparse"]), len(item["jc"]) - 1

    def read() -> np.ndarray:
        # Without any element, MATLAB leaves the data and their rows out.
        parts = (
            (hdf5_values(item["data"]), hdf5_values(item["ir"]))
            if "data" in item
            else (np.zeros(0), np.zeros(0, dtype=int))
        )
        data, rows = parts
        return dense("csc", data, (rows, hdf5_values(item["jc"])), (n_rows, n_columns))

    dtype = item["data"].dtype if "data" in item else np.dtype(float)
    return StoredArray((n_rows, n_columns), dtype, read)
