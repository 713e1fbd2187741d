"""Arrays in .npy files beside each other, as spike sorters and the ALF standard keep them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spikeloom.data.formats.containers import reading_file
from spikeloom.errors import DataError


def read_npy(path: Path) -> np.ndarray:
    """The array of a .npy file; never one of objects, as loading these can run code.

    Raises:
        DataError: If the file is damaged or holds objects; names it.
    """
    try:
        with reading_file(path):
            array = np.load(path, allow_pickle=False)
    except DataError as error:
        text = str(error)
        raise DataError(text if path.name in text else f"{path.name}: {text}") from None
    if not isinstance(array, np.ndarray):  # a zip archive by another name
        raise DataError(f"{path.name} is not a .npy file; copy it again.")
    return array


def read_vector(path: Path) -> np.ndarray:
    """One number for each spike, from an array of shape (spike,), (spike, 1) or (1, spike).

    Raises:
        DataError: As ``read_npy``, and if it is none; names the file.
    """
    array = read_npy(path)
    if array.dtype.kind not in "buif" or array.size != max(array.shape, default=0):
        raise DataError(f"{path.name} holds {array.dtype} of shape {array.shape}, but needs one number for each spike.")
    return array.ravel()
