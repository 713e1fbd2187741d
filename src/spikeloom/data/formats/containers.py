"""Named arrays in npz and HDF5 files: opened without running anything in them, written all or nothing."""

from __future__ import annotations

import errno
import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.io

from spikeloom.atomic import atomic
from spikeloom.errors import DataError
from spikeloom.signals import held_back

Hdf5 = Any
"""An open HDF5 file, group or data set: the types that h5py declares are too wide for a static check."""


@dataclass(frozen=True)
class StoredArray:
    """An array in a file: its shape and type are known before it is read.

    Attributes:
        shape: Shape of the array.
        dtype: Type of the array; object where it cannot be loaded safely.
        read: Reads the array.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    read: Callable[[], np.ndarray]

    @property
    def is_number(self) -> bool:
        """Whether the array holds booleans, integers or floats."""
        return self.dtype.kind in "buif"

    def __str__(self) -> str:
        return f"{self.dtype if self.dtype.kind not in 'OSUT' else 'text or objects'} {self.shape}"


_DAMAGE = (
    OSError,
    EOFError,
    KeyError,
    ValueError,
    TypeError,
    IndexError,
    OverflowError,
    RuntimeError,  # among them HDF5's own, and NotImplementedError for an impossible MATLAB version
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
    scipy.io.matlab.MatReadError,
)


@contextmanager
def reading_file(path: Path) -> Iterator[None]:
    """Turn the errors of libraries on a damaged file into one sentence."""
    try:
        yield
    except DataError:
        raise
    except MemoryError:
        raise DataError("there is not enough memory to read the file, or it is damaged; read fewer arrays.") from None
    except _DAMAGE as error:
        if isinstance(error, PermissionError):
            raise DataError(f"{path} cannot be read: permission denied; check its rights.") from None
        if isinstance(error, ValueError) and "allow_pickle" in str(error):
            raise DataError(OBJECTS) from None
        detail = " ".join(str(error).split())[:120].rstrip(".")
        raise DataError(f"the file is truncated or damaged ({detail}); copy or download it again.") from None


OBJECTS = (
    "object arrays (pickles, cells) are not accepted, because loading one can run code; "
    "save a padded integer array together with the length of each trial."
)


def check_readable(path: Path) -> None:
    """Raise a DataError unless the path is a file with something in it."""
    if path.is_dir():
        raise DataError(f"{path} is a folder; name a file.")
    if not path.exists():
        raise DataError(f"there is no file {path}; check the path.")
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty (0 bytes); copy or download it again.")


def check_place(path: Path) -> None:
    """Raise a DataError where no file can be written, before the work that would fill it; creates nothing."""
    if path.is_dir():
        raise DataError(f"{path} is a folder; name a file to write.")
    parent = next(folder for folder in path.absolute().parents if folder.exists())
    if not parent.is_dir():
        raise DataError(f"{path} cannot be written: {parent} is a file, not a folder; choose another place.")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise DataError(f"{path} cannot be written: {parent} may not be changed by this user; choose another place.")


def open_npz(path: Path) -> dict[str, StoredArray]:
    """The arrays of an npz file; only their headers are read until ``read`` is called."""
    with reading_file(path), zipfile.ZipFile(path) as archive:
        members = [name for name in archive.namelist() if name.endswith(".npy")]
        headers = {name: _npy_header(archive, name) for name in members}
    return {
        name[: -len(".npy")]: StoredArray(shape, dtype, lambda name=name: _read_npy(path, name))
        for name, (shape, dtype) in headers.items()
    }


def open_npy(path: Path) -> dict[str, StoredArray]:
    """The array of an npy file, which has no name of its own, as ``counts``."""

    def read() -> np.ndarray:
        with reading_file(path), path.open("rb") as stream:
            return np.lib.format.read_array(stream, allow_pickle=False)

    with reading_file(path), path.open("rb") as stream:
        shape, dtype = _header(stream)
    return {"counts": StoredArray(shape, dtype, read)}


def _npy_header(archive: zipfile.ZipFile, name: str) -> tuple[tuple[int, ...], np.dtype]:
    with archive.open(name) as stream:
        return _header(stream)


def _header(stream: Any) -> tuple[tuple[int, ...], np.dtype]:
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(stream)
    return shape, dtype


def _read_npy(path: Path, name: str) -> np.ndarray:
    with reading_file(path), zipfile.ZipFile(path) as archive, archive.open(name) as stream:
        return np.lib.format.read_array(stream, allow_pickle=False)


def open_hdf5(path: Path) -> dict[str, StoredArray]:
    """The data sets of an HDF5 file by their full names."""
    found: dict[str, StoredArray] = {}

    def visit(name: str, item: Hdf5) -> None:
        if isinstance(item, h5py.Dataset) and not name.startswith("#") and item.dtype.kind != "V":
            dtype = np.dtype("U1") if h5py.check_string_dtype(item.dtype) is not None else item.dtype
            found[name] = StoredArray(item.shape, dtype, lambda: _read_hdf5(path, name))

    with reading_file(path), h5py.File(path, "r") as file:
        file.visititems(visit)
    return found


def _read_hdf5(path: Path, name: str) -> np.ndarray:
    with reading_file(path), h5py.File(path, "r") as file:
        item: Hdf5 = file[name]
        if h5py.check_string_dtype(item.dtype) is not None:
            return np.asarray(item.asstr()[...], dtype=np.str_)
        return item[...]


def write_npz(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays to a compressed npz file."""
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]  # numpy's own keyword is never a name of ours


def write_hdf5(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays to an HDF5 file, compressed; text as UTF-8."""
    with new_hdf5(path) as writing, writing() as file:
        for name, values in arrays.items():
            options: dict[str, Any] = {"compression": "gzip", "shuffle": True} if values.size > 1 else {}
            if values.dtype.kind == "U":
                values, options = values.astype(object), options | {"dtype": h5py.string_dtype()}
            file.create_dataset(name, data=values, **options)


Writing = Callable[[], AbstractContextManager[Hdf5]]
"""Gives a new HDF5 file for a block that writes to it, and raises an OSError behind it where that has failed."""


@contextmanager
def new_hdf5(path: Path) -> Iterator[Writing]:
    """A new HDF5 file, open while the block runs; all that touches it is done in blocks of what this gives.

    HDF5 hides that a disk is full until it closes the file, and then takes the whole program with it. So what it writes
    goes through an object that keeps the first error to itself, until HDF5 is not at work. It does not survive Ctrl-C
    either, which waits as long.

    Raises:
        OSError: If something could not be written.
    """
    with path.open("w+b", buffering=0) as raw:
        writes = _Writes(raw)
        with held_back():
            file = h5py.File(writes, "w")

        @contextmanager
        def writing() -> Iterator[Hdf5]:
            with held_back():
                yield file
            writes.check()

        try:
            yield writing
        finally:
            with held_back():
                file.close()
            writes.check()  # the first failure, rather than the error that HDF5 makes of it


class _Writes:
    """A file as HDF5 uses it, on which writing never fails; ``check`` raises the error that it should have raised."""

    def __init__(self, raw: Any):
        self._raw = raw
        self._error: OSError | None = None
        self.seek, self.tell, self.read, self.readinto, self.flush = (
            raw.seek,
            raw.tell,
            raw.read,
            raw.readinto,
            raw.flush,
        )

    def write(self, content: Any) -> int:
        self._attempt(lambda: self._write_all(memoryview(content).cast("B")))
        return len(content)

    def truncate(self, size: int | None = None) -> int:
        self._attempt(lambda: self._raw.truncate(size))
        return 0 if size is None else size

    def check(self) -> None:
        if self._error is not None:
            raise self._error

    def _write_all(self, left: memoryview) -> None:
        while left:  # a raw file may take a part at a time
            left = left[self._raw.write(left) :]

    def _attempt(self, change: Callable[[], object]) -> None:
        if self._error is None:
            try:
                change()
            except OSError as error:
                self._error = error


@contextmanager
def all_or_nothing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside the wanted one, and rename it when everything has been written.

    Raises:
        DataError: If the file cannot be written; nothing is left behind and an older file stays as it was.
    """
    if path.is_dir():
        raise DataError(f"{path} is a folder; name a file to write.")
    try:
        with atomic(path) as temporary:
            yield temporary
    except OSError as error:
        full = error.errno == errno.ENOSPC or "No space left" in str(error)
        reason = "no space is left on the device" if full else (error.strerror or str(error).splitlines()[0])
        raise DataError(f"{path} could not be written: {reason}; free some space or choose another place.") from error
