"""Arrays in .npy files beside each other, as spike sorters and the ALF standard keep them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spikeloom.data.formats.storage.containers import check_npy, reading_file
from spikeloom.errors import DataError

MAGIC = b"\x93NUMPY"


def read_npy(path: Path) -> np.ndarray:
    """The array of a .npy file; never one of objects, as loading these can run code.

    Raises:
        DataError: If the file is damaged or holds objects; names it.
    """
    try:
        with reading_file(path), path.open("rb") as stream:
            if stream.read(len(MAGIC)) != MAGIC:  # a zip archive by another name
                raise DataError(f"{path.name} is not a .npy file; copy it again.")
            stream.seek(0)
            check_npy(stream, path.stat().st_size)
            return np.lib.format.read_array(stream, allow_pickle=False)
    except DataError as error:
        text = str(error)
        raise DataError(text if path.name in text else f"{path.name}: {text}") from None


def read_vector(path: Path) -> np.ndarray:
    """One number for each spike, from an array of shape (spike,), (spike, 1) or (1, spike).

    Raises:
        DataError: As ``read_npy``, and if it is none; names the file.
    """
    array = read_npy(path)
    if array.dtype.kind not in "buif" or array.size != max(array.shape, default=0):
        raise DataError(f"{path.name} holds {array.dtype} of shape {array.shape}, but needs one number for each spike.")
    return array.ravel()
