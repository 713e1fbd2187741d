"""Named arrays in npz and HDF5 files: opened without running anything in them, written all or nothing."""

from __future__ import annotations

import errno
import math
import os
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.io

from spikeloom.atomic import atomic
from spikeloom.data.damage import DAMAGE
from spikeloom.data.dates import dates_note, seconds_since_1970
from spikeloom.data.declared import check_declared
from spikeloom.data.formats.naming.array_names import bins_per_second, is_bin_width, text_of
from spikeloom.data.formats.storage.hdf5_files import Hdf5, check_size, opened_hdf5, other_files, walk
from spikeloom.errors import DataError
from spikeloom.signals import held_back


@dataclass(frozen=True)
class StoredArray:
    """An array in a file: its shape and type are known before it is read.

    Attributes:
        shape: Shape of the array.
        dtype: Type of the array; object where it cannot be loaded safely.
        read: Reads the array.
        other_files: Names of the other files that its values are in.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    read: Callable[[], np.ndarray]
    other_files: tuple[str, ...] = ()

    @property
    def is_number(self) -> bool:
        """Whether the array holds booleans, integers or floats."""
        return self.dtype.kind in "buif"

    def __str__(self) -> str:
        return f"{self.dtype if self.dtype.kind not in 'OSUT' else 'text or objects'} {self.shape}"


MOST_DEFLATED = 1032
"""Bytes that deflate can make of one."""


@contextmanager
def reading_file(path: Path) -> Iterator[None]:
    """Turn the errors of libraries on a damaged file into one sentence."""
    try:
        yield
    except DataError:
        raise
    except MemoryError:
        raise DataError("there is not enough memory to read the file, or it is damaged; read fewer arrays.") from None
    except (*DAMAGE, scipy.io.matlab.MatReadError) as error:
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


def fields_of(stored: StoredArray) -> dict[str, StoredArray]:
    """The columns of a table that is one array, of a type with named fields, as arrays of their own.

    Example:
        >>> spikes = np.array([(0.5, 3)], dtype=[("time", float), ("unit", int)])
        >>> columns = fields_of(StoredArray(spikes.shape, spikes.dtype, lambda: spikes))
        >>> {name: column.read().tolist() for name, column in columns.items()}
        {'time': [0.5], 'unit': [3]}
    """
    columns = {}
    for name in stored.dtype.names or ():
        dtype, shape = stored.dtype[name].base, (*stored.shape, *stored.dtype[name].shape)
        columns[name] = StoredArray(shape, dtype, lambda name=name: stored.read()[name], stored.other_files)
    return columns


def with_dates(stored: Mapping[str, StoredArray], notes: list[str]) -> dict[str, StoredArray]:
    """The arrays of a file, in which dates are seconds since 1970, and spans of time are seconds.

    Args:
        stored: The arrays.
        notes: Gets a note about dates.
    """
    times = {name: array for name, array in stored.items() if array.dtype.kind in "mM"}
    if dated := [name for name, array in times.items() if array.dtype.kind == "M"]:
        notes.append(dates_note(dated))
    seconds = {
        name: StoredArray(array.shape, np.dtype(float), lambda array=array: seconds_since_1970(array.read()))
        for name, array in times.items()
    }
    return {**stored, **seconds}


def open_npz(path: Path) -> dict[str, StoredArray]:
    """The arrays of an npz file; only their headers are read until ``read`` is called."""
    with reading_file(path), zipfile.ZipFile(path) as archive:
        members = [name for name in archive.namelist() if name.endswith(".npy")]
        headers = {name: _npy_header(archive, name) for name in members}
    found: dict[str, StoredArray] = {}
    for name, (shape, dtype) in headers.items():
        stored = StoredArray(shape, dtype, lambda name=name: _read_npy(path, name))
        own = name.removesuffix(".npy")
        found |= {f"{own}/{k}": v for k, v in fields_of(stored).items()} if dtype.names else {own: stored}
    return found


def open_npy(path: Path) -> dict[str, StoredArray]:
    """The array of an npy file, which has no name of its own, as ``counts``; a table by the names of its columns."""

    def read() -> np.ndarray:
        with reading_file(path), path.open("rb") as stream:
            check_npy(stream, path.stat().st_size)
            return np.lib.format.read_array(stream, allow_pickle=False)

    with reading_file(path), path.open("rb") as stream:
        shape, dtype = _header(stream)
    stored = StoredArray(shape, dtype, read)
    return fields_of(stored) or {"counts": stored}


def _npy_header(archive: zipfile.ZipFile, name: str) -> tuple[tuple[int, ...], np.dtype]:
    with archive.open(name) as stream:
        return _header(stream)


def check_npy(stream: Any, n_bytes: int, is_whole: bool = True) -> None:
    """Hold what the header of an open npy file declares against its bytes and the memory; goes back to its start.

    Args:
        stream: The file.
        n_bytes: Its bytes.
        is_whole: Whether those are all; a bound of them if not.

    Raises:
        DataError: If they are not in the file, or do not fit into memory, or if there are more.
    """
    shape, dtype = _header(stream)
    check_declared(shape, dtype.itemsize)
    stored = n_bytes - stream.tell()
    if not dtype.hasobject and math.prod(shape) * dtype.itemsize > stored:
        raise DataError(
            f"an array of shape {shape} and type {dtype} needs {math.prod(shape) * dtype.itemsize} bytes, but the file "
            f"holds {stored}; it is truncated or damaged: copy or download it again."
        )
    if not dtype.hasobject and math.prod(shape) * dtype.itemsize < stored and is_whole:
        raise DataError(
            f"an array of shape {shape} and type {dtype} needs {math.prod(shape) * dtype.itemsize} bytes, but the file "
            f"holds {stored}; it is damaged, or holds several arrays: copy it again, or save each in a file of its own."
        )
    stream.seek(0)


def _header(stream: Any) -> tuple[tuple[int, ...], np.dtype]:
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    with warnings.catch_warnings():  # of SyntaxWarning, in the text of a damaged header
        warnings.simplefilter("ignore")
        shape, _, dtype = read(stream)
    if any(n < 0 for n in shape):
        raise ValueError(f"the header declares the shape {shape}")
    return shape, dtype


def _read_npy(path: Path, name: str) -> np.ndarray:
    with reading_file(path), zipfile.ZipFile(path) as archive, archive.open(name) as stream:
        # A forged directory of the archive is met by deflate's own limit.
        packed = archive.getinfo(name)
        check_npy(stream, min(packed.file_size, MOST_DEFLATED * path.stat().st_size), is_whole=False)
        return np.lib.format.read_array(stream, allow_pickle=False)


def open_hdf5(path: Path) -> dict[str, StoredArray]:
    """The data sets of an HDF5 file by their full names; those in other files only from below its own folder.

    Attributes that say how wide bins are, or how fast samples were taken, are among them, as if they were data sets
    beside those that they belong to; and so are all single values of groups that are numbered ("trial_3").
    """
    found: dict[str, StoredArray] = {}
    said: dict[str, StoredArray] = {}
    with reading_file(path), opened_hdf5(path) as file:
        said |= _attributes("", file)
        for name, item in walk(file):
            if isinstance(item, h5py.Dataset) and _is_ragged(item):
                found |= _ragged(name, stored_hdf5(path, name, item))
            elif isinstance(item, h5py.Dataset) and item.dtype.names is not None and len(item.shape or ()) == 1:
                found |= {f"{name}/{k}": v for k, v in fields_of(stored_hdf5(path, name, item)).items()}
            elif isinstance(item, h5py.Dataset) and not name.startswith("#") and item.dtype.kind != "V":
                found[name] = stored_hdf5(path, name, item)
                said |= {k: v for k, v in _attributes(name.rpartition("/")[0], item).items() if k not in said}
            elif isinstance(item, h5py.Group):
                said |= _attributes(name, item)
    return found | {name: stored for name, stored in said.items() if name not in found}


def _is_ragged(item: Hdf5) -> bool:
    """Whether a data set holds a vector of numbers of its own length in each place."""
    inner = h5py.check_vlen_dtype(item.dtype)
    return isinstance(inner, np.dtype) and inner.kind in "buif" and len(item.shape or ()) in (1, 2)


def _ragged(name: str, stored: StoredArray) -> dict[str, StoredArray]:
    """The vectors of a ragged array as arrays of units; of two axes, the first is that of trials."""
    found = {}
    values = stored.read()
    for place in np.ndindex(values.shape):
        one = np.asarray(values[place])
        group = f"{name}/unit_{place[-1]}" if len(place) == 1 else f"{name}/trial_{place[0]}/unit_{place[1]}"
        found[group] = StoredArray(one.shape, one.dtype, lambda one=one: one, stored.other_files)
    return found


def _attributes(group: str, item: Hdf5) -> dict[str, StoredArray]:
    """Attributes with a single value that say something of counts, or of a trial, as arrays of a group."""
    is_element = isinstance(item, h5py.Group) and group[-1:].isdigit()
    found = {}
    for name in item.attrs:
        if not (is_element or is_bin_width(name) or bins_per_second(name) is not None):
            continue
        try:
            value = np.asarray(item.attrs[name])
        except (OSError, TypeError, ValueError):
            continue  # of a type that h5py does not know
        if value.size != 1 or value.dtype.kind not in "buifUSO":
            continue
        value = value.reshape(()) if value.dtype.kind in "buif" else np.array(text_of(value.item()))
        found[f"{group}/{name}".lstrip("/")] = StoredArray((), value.dtype, lambda value=value: value)
    return found


def stored_hdf5(path: Path, name: str, item: Hdf5) -> StoredArray:
    """A data set as an array that can be read later, when its file is closed."""
    others, refusal = [], ""
    try:
        others = other_files(item)
    except DataError as error:
        refusal = str(error)
    if not isinstance(item.file.filename, str) or Path(item.file.filename) != path:
        others = [Path(str(item.file.filename)).name, *others]
    dtype = np.dtype("U1") if h5py.check_string_dtype(item.dtype) is not None else item.dtype
    return StoredArray(item.shape or (), dtype, lambda: _read_hdf5(path, name, refusal), tuple(others))


def _read_hdf5(path: Path, name: str, refusal: str) -> np.ndarray:
    if refusal:
        raise DataError(f"{refusal}.")
    with reading_file(path), opened_hdf5(path) as file:
        return hdf5_values(file[name])


def hdf5_values(item: Hdf5) -> np.ndarray:
    """All values of a data set, if they fit into memory.

    Raises:
        DataError: If they do not, or are not in the file.
    """
    check_size(item)
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
