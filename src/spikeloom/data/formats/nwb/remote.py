"""NWB files at an address of the web: only the units, trials and signals that are used are fetched."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

import h5py

from spikeloom.data.declared import not_enough_memory
from spikeloom.data.formats.nwb.reading import session_of
from spikeloom.data.formats.storage.containers import Hdf5, reading_file
from spikeloom.data.formats.storage.guard import check_sound_at
from spikeloom.data.formats.storage.remote_file import RemoteFile
from spikeloom.data.options import LoadOptions
from spikeloom.data.session.cutting import bin_session
from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import DataError

ADDRESS = re.compile(r"(\w[\w+.-]+):/{1,2}(?=[^/])(.+)", re.DOTALL)
"""An address; as a ``Path`` it has lost a slash."""

SIGNATURE = b"\x89HDF\r\n\x1a\n"
"""First bytes of an HDF5 file."""


def address_of(source: str | Path) -> str | None:
    """The address that a source is, or None for a path.

    Example:
        >>> address_of(Path("https://host/a.nwb")), address_of("folder/a.nwb"), address_of("C:/a.nwb")
        ('https://host/a.nwb', None, None)
    """
    parts = ADDRESS.fullmatch(str(source))
    return f"{parts[1].lower()}://{parts[2]}" if parts else None


def read_nwb_at(address: str, options: LoadOptions, name: str | None = None) -> SpikeData:
    """Bin the spike times of an NWB file on a web server that can send parts of files.

    Args:
        address: Begins with "https://" or "http://".
        options: How to cut and bin it, and what to keep.
        name: Name of the file, if it is not the end of the address.

    Raises:
        DataError: As ``nwb.reading.read_nwb``, and if the server fails.
    """
    name = name or unquote(urlsplit(address).path).rstrip("/").rsplit("/", 1)[-1] or address
    try:
        with _opened(address) as file:
            session = session_of(file, name, options)
        return bin_session(session, options)
    except MemoryError:
        raise not_enough_memory(address) from None
    except DataError as error:
        text = str(error)
        raise DataError(text if address in text else f"{address}: {text}") from None


@contextmanager
def _opened(address: str) -> Iterator[Hdf5]:
    with RemoteFile(address) as remote:
        try:
            if SIGNATURE not in remote.read(4096):  # behind a user block, if there is one
                raise DataError("there is no HDF5 file at this address; name one that ends in .nwb.")
            check_sound_at(remote)
            with reading_file(Path(address)), h5py.File(remote, "r") as file:
                yield file
        finally:
            # HDF5 makes an error of its own of it, or a signal was left out because of it.
            if remote.error is not None:
                raise remote.error from None
