"""Members of an open NWB file: reached through links and references, and read without leaving the file's folder."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeGuard

import h5py
import numpy as np

from spikeloom.data.damage import DAMAGE
from spikeloom.data.formats.nwb.links import note_files, note_link
from spikeloom.data.formats.storage.hdf5_files import Hdf5, check_size, linked, other_files
from spikeloom.errors import DataError


class Unreadable(Exception):
    """A part of a file that cannot be used, and why; it is left out, or refused if it was asked for."""


def member(group: Hdf5, name: str) -> Hdf5:
    """A member of a group.

    Raises:
        Unreadable: If there is none, its link is broken, or it leads out of the folder of the file.
    """
    try:
        item = linked(group, name)
        note_link(group, name, group.get(name, getlink=True))
        return item
    except DataError as error:
        raise Unreadable(str(error)) from None
    except DAMAGE as error:
        link = _link_of(group, name)
        if isinstance(link, h5py.ExternalLink):
            raise Unreadable(f"its link to '{link.path}' in {link.filename} is broken") from None
        if isinstance(link, h5py.SoftLink):
            raise Unreadable(f"its link to '{link.path}' is broken") from None
        raise Unreadable(f"it has no {name}" if link is None else f"{name} cannot be read ({reason(error)})") from None


def _link_of(group: Hdf5, name: str) -> Any:
    try:
        return group.get(name, getlink=True)
    except DAMAGE:
        return None


def members(group: Hdf5) -> Iterator[tuple[str, Hdf5]]:
    """The members of a group by name, without those that cannot be reached."""
    for name in names(group):
        try:
            yield name, member(group, name)
        except Unreadable:
            continue


def names(group: Hdf5) -> list[str]:
    """The names of all members of a group, whether they can be reached or not."""
    try:
        return [str(name) for name in group.keys()]
    except DAMAGE:
        return []


def found(group: Hdf5, path: str) -> Hdf5 | None:
    """The item at a path, or None."""
    for part in filter(None, path.split("/")):
        try:
            group = member(group, part) if is_group(group) else None
        except Unreadable:
            return None
        if group is None:
            return None
    return group


def is_array(item: Hdf5) -> TypeGuard[Hdf5]:
    """Whether it is an array, not a group."""
    return hasattr(item, "shape")


def is_group(item: Hdf5) -> TypeGuard[Hdf5]:
    """Whether it is a group."""
    return item is not None and hasattr(item, "keys")


def attribute(item: Hdf5, name: str, default: Any = None) -> Any:
    """An attribute; text as text."""
    try:
        value = item.attrs.get(name, default)
    except DAMAGE:
        return default
    return text(value) if isinstance(value, bytes | str) else value


def type_of(item: Hdf5) -> str:
    """The type that NWB gives an item, such as "TimeSeries"; empty without one."""
    return str(attribute(item, "neurodata_type", ""))


def path_of(item: Hdf5) -> str:
    """The path of an item in its file, without the first slash."""
    return str(item.name).strip("/")


def target(item: Hdf5, reference: Any) -> Hdf5:
    """The target of an object reference in a file.

    Raises:
        Unreadable: If it leads nowhere.
    """
    try:
        return item.file[reference]
    except DAMAGE:
        raise Unreadable("a reference leads nowhere") from None


def text(value: object) -> str:
    """Text from bytes or text, without the blanks and zeros by which fixed lengths are filled."""
    return (value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)).rstrip(" \0")


def is_text(item: Hdf5) -> bool:
    """Whether an array holds text."""
    return h5py.check_string_dtype(item.dtype) is not None


def is_number(item: Hdf5) -> bool:
    """Whether an array holds numbers, or true and false."""
    return item.dtype.kind in "buif"


def is_reference(item: Hdf5) -> bool:
    """Whether an array holds references to other items."""
    return h5py.check_ref_dtype(item.dtype) is h5py.Reference


def read(item: Hdf5) -> np.ndarray:
    """All values of an array; text without padding, codes of an HDF5 enumeration as their names.

    Raises:
        Unreadable: If it is none, or its values cannot be read, or are in another file.
    """
    if not is_array(item):
        raise Unreadable(f"{path_of(item)} is a group, not an array")
    if item.shape is None:
        raise Unreadable(f"{path_of(item)} is empty")
    try:
        _check_own(item)
        if is_text(item):
            values = item.asstr(errors="replace")[...]
            return np.array([text(value) for value in np.ravel(values)], dtype=np.str_).reshape(np.shape(values))
        values = np.asarray(item[...])
        codes = h5py.check_enum_dtype(item.dtype)
        if codes and values.dtype.kind in "iu":
            words = {code: name for name, code in codes.items()}
            labels = [words.get(int(code), "") for code in values.ravel()]
            return np.array(labels, dtype=np.str_).reshape(values.shape)
        return values
    except DAMAGE as error:
        raise Unreadable(f"{path_of(item)} cannot be read ({reason(error)})") from None


def references(item: Hdf5) -> list[Any]:
    """The references to other items that an array holds, in one list.

    Raises:
        Unreadable: If its values are in another file, or do not fit into memory.
    """
    _check_own(item)
    return list(np.ravel(item[...]))


def _check_own(item: Hdf5) -> None:
    try:
        note_files(item, other_files(item))
        check_size(item)
    except DataError as error:
        raise Unreadable(f"{path_of(item)}: {str(error).rstrip('.')}") from None


def reason(error: BaseException) -> str:
    """Why something failed, in a few words on one line."""
    if isinstance(error, MemoryError):
        return "there is not enough memory"
    return " ".join(str(error).split())[:100].rstrip(".") or type(error).__name__
