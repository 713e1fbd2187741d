"""Binned copies of fetched recordings, so that files of hundreds of megabytes are binned once with the same options."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spikeloom.atomic import atomic
from spikeloom.data.cache import cache_place, canonical
from spikeloom.data.files import load
from spikeloom.data.formats.own.layout import packed
from spikeloom.data.formats.storage.containers import open_npz, reading_file, write_npz
from spikeloom.data.options import LoadOptions
from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import DataError, warn

VERSION = 3
"""Version of the loading code; raised when its result for the same file changes, so that older copies are not used."""
MADE_BY = "made_by"
"""Entry of a copy with the files and options that it was made from."""


def binned(layout: str, files: Sequence[Path], options: LoadOptions, read: Callable[[], SpikeData]) -> SpikeData:
    """The recording that ``read`` gives, or its copy from the last time with the same files and options.

    A copy that is damaged or was made from something else is named in a warning and made again. It is one npz file,
    written whole or not at all; reading it executes nothing. All copies may be deleted at any time.

    Args:
        layout: Layout of the files.
        files: All files; missing ones count as a difference, too, and a folder stands for the files in it.
        options: The options they are loaded with.
        read: Loads them.

    Raises:
        DataError: If ``read`` raises one.
    """
    origin = {
        "version": VERSION,
        "layout": layout,
        "files": [(file.name, checksum(file)) for file in files],
        "load_options": options.to_dict(),
    }
    place = cache_place("binned", origin, ".npz")
    if place.exists():
        try:
            return _copy(place, origin)
        except DataError as error:
            warn(f"{error} The recording is binned again.")
    data = read()
    try:
        with atomic(place) as temporary:
            write_npz(temporary, {**packed(data), MADE_BY: np.array(canonical(origin))})
    except OSError as error:
        warn(
            f"the binned recording could not be kept in {place.parent} ({error.strerror or error}), so it will be made "
            "again next time; free some space, or let SPIKELOOM_CACHE name a folder that can be written."
        )
    return data


def _copy(place: Path, origin: Mapping[str, Any]) -> SpikeData:
    try:
        with reading_file(place), zipfile.ZipFile(place) as archive:
            if (damaged := archive.testzip()) is not None:
                raise DataError(f"the checksum of {damaged} is wrong")
        stored = open_npz(place)
        if MADE_BY not in stored or str(stored[MADE_BY].read()) != canonical(origin):
            raise DataError("it was made from other files or options")
        return load(place)
    except DataError as error:
        why = str(error).removeprefix(f"{place}: ").split(";")[0]
        raise DataError(f"the binned copy {place} cannot be used: {why}.") from None


def checksum(path: Path) -> str | None:
    """SHA-256 of a file, or of the names and checksums of all files in a folder; None where there is nothing.

    Hashing 700 MB takes as long as binning them, so a checksum is kept for as long as a file has the same size and
    time of change.
    """
    if path.is_dir():
        inside = {str(p.relative_to(path)): checksum(p) for p in sorted(path.rglob("*")) if p.is_file()}
        return hashlib.sha256(canonical(inside).encode()).hexdigest()
    if not path.exists():
        return None
    known = path.stat()
    place = cache_place(
        "checksums", {"path": str(path.absolute()), "size": known.st_size, "changed_ns": known.st_mtime_ns}, ".json"
    )
    try:
        found = json.loads(place.read_text())["sha256"]
        if isinstance(found, str) and len(found) == 64:
            return found
    except (OSError, ValueError, KeyError, TypeError):
        pass  # not kept yet, or damaged
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    try:
        with atomic(place) as temporary:
            temporary.write_text(json.dumps({"sha256": found}))
    except OSError:
        pass  # it is computed again next time; a warning is given where copies cannot be kept either
    return found
