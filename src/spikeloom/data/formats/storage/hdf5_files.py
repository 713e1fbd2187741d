"""HDF5 files: their members, reached without leaving the folder of the file, and where the values of arrays are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py

from spikeloom.data.declared import check_declared
from spikeloom.data.formats.storage.guard import check_sound
from spikeloom.errors import DataError

Hdf5 = Any
"""An open HDF5 file, group or data set: the types that h5py declares are too wide for a static check."""
UNREACHABLE = (DataError, KeyError, OSError, RuntimeError, ValueError, TypeError)
MOST_FILES = 8
"""Files that are followed from one to the next; they may lead in a circle."""


@contextmanager
def opened_hdf5(path: Path) -> Iterator[Hdf5]:
    """A local file that the HDF5 library is known to survive, open for reading.

    Raises:
        DataError: If the library does not end or crashes in it.
    """
    check_sound(path)
    with h5py.File(path, "r") as file:
        yield file


def linked(group: Hdf5, name: str, depth: int = 0) -> Hdf5:
    """A member of a group, through a link into another file only if that is sound and below the folder of this one.

    Args:
        group: The group.
        name: Of the member.
        depth: Links that have led to this one.

    Raises:
        DataError: If the link leads elsewhere, or in a circle.
        KeyError: If there is no such member.
    """
    link = group.get(name, getlink=True)
    if depth > MOST_FILES:
        raise DataError(f"the link '{name}' leads in a circle")
    if isinstance(link, h5py.ExternalLink):
        with h5py.File(beside(group, link.filename), "r") as other:
            _along(other, link.path, depth + 1)  # its own links are looked at too
    elif isinstance(link, h5py.SoftLink):
        return _along(group.file if link.path.startswith("/") else group, link.path, depth + 1)
    return group[name]


def _along(group: Hdf5, path: str, depth: int) -> Hdf5:
    """The target of a path; each part of it may be a link again."""
    for part in path.split("/"):
        if part not in ("", "."):
            group = linked(group, part, depth)
    return group


def beside(item: Hdf5, filename: str) -> Path:
    """The other file that an item leads to.

    Raises:
        DataError: If it is missing, damaged, or not below the folder of the item's own file.
    """
    here = Path(str(item.file.filename))
    if not here.is_file():
        raise DataError(f"its values are in another file, {filename}, which is not at hand")
    target = (here.parent / filename).resolve()
    if not any(target.is_relative_to(folder) for folder in {here.parent.resolve(), here.resolve().parent}):
        raise DataError(f"its values are in another file outside of the folder, {filename}")
    if not target.is_file():
        raise DataError(f"its values are in another file, {filename}, which is missing; put it beside this one")
    check_sound(target)
    return target


def other_files(item: Hdf5, depth: int = 0) -> list[str]:
    """Names of the other files that hold values of an array.

    Raises:
        DataError: If there is one that is missing or outside of the folder: HDF5 reads zeros, without a word, where
            another file is missing.
    """
    if item.external:
        names = ", ".join(str(name) for name, *_ in item.external)
        raise DataError(
            f"its values are in another file without a format of its own, {names}; write them into one file "
            "(h5repack, or h5py)"
        )
    if not item.is_virtual:
        return []
    if depth > MOST_FILES:
        raise DataError("its values are in other files that lead in a circle")
    found: list[str] = []
    sources = {(source.file_name, source.dset_name) for source in item.virtual_sources()}
    for file_name, array in sorted(sources):
        if "%" in file_name or "%" in array:
            raise DataError(f"its values are in a series of files, {file_name}, which is not followed")
        if file_name == ".":
            found += _others_of(item.file, array, depth)
            continue
        with h5py.File(beside(item, file_name), "r") as other:
            found += [file_name, *_others_of(other, array, depth)]
    return list(dict.fromkeys(found))


def _others_of(file: Hdf5, array: str, depth: int) -> list[str]:
    try:
        source = _along(file, array, 0)
        if not isinstance(source, h5py.Dataset):
            raise KeyError(array)
        return other_files(source, depth + 1)
    except KeyError:
        raise DataError(f"its values are in '{array}' of {Path(file.filename).name}, which is missing") from None


def check_size(item: Hdf5) -> None:
    """Refuse an array whose declared size cannot be, or does not fit into memory.

    Raises:
        DataError: Says what is claimed.
    """
    stored = None if item.shape is None or item.is_virtual else float(item.id.get_storage_size())
    check_declared(item.shape or (), item.dtype.itemsize, stored)


def walk(group: Hdf5) -> Iterator[tuple[str, Hdf5]]:
    """All that is below a group by full name, each once; what cannot be reached is left out."""
    seen = {_address(group)}
    for follow in (False, True):  # things are known by their own names before those of links
        stack = [("", group)]
        entered = {_address(group)}
        while stack:
            prefix, parent = stack.pop(0)
            for name in parent:
                try:
                    is_link = not isinstance(parent.get(name, getlink=True), h5py.HardLink)
                    if is_link and not follow:
                        continue
                    item = linked(parent, name) if is_link else parent[name]
                    address = _address(item)
                except UNREACHABLE:
                    continue
                if isinstance(item, h5py.Group) and address not in entered:
                    entered.add(address)
                    stack.append((f"{prefix}{name}/", item))
                if address not in seen:
                    seen.add(address)
                    yield f"{prefix}{name}", item


def _address(item: Hdf5) -> tuple[int, int]:
    information = h5py.h5o.get_info(item.id)  # pyright: ignore[reportAttributeAccessIssue]
    return information.fileno, information.addr
