"""Vectors in .npy files beside each other, by the names of the files: lists of spikes that no sorter wrote so."""

from __future__ import annotations

import math
from pathlib import Path

from spikeloom.data.formats.folders.alf import has_spikes
from spikeloom.data.formats.folders.phy import is_phy
from spikeloom.data.formats.storage.containers import StoredArray, open_npy

MOST_FILES = 100


def vectors_in(folder: Path) -> dict[str, StoredArray]:
    """The vectors of a folder that is not one of a sorter or of the ALF standard; nothing of any other.

    Raises:
        DataError: If one of the files is damaged.
    """
    files = sorted(folder.glob("*.npy"))
    if is_phy(folder) or has_spikes(folder) or len(files) > MOST_FILES:
        return {}
    arrays = {}
    for path in files:
        stored = open_npy(path).get("counts")
        if stored is not None and stored.is_number and max(stored.shape, default=0) == math.prod(stored.shape):
            shape = (math.prod(stored.shape),)
            arrays[path.stem] = StoredArray(shape, stored.dtype, lambda stored=stored: stored.read().ravel())
    return arrays
