"""MATLAB files as recordings."""

from __future__ import annotations

from pathlib import Path

from spikeloom.data.formats.matlab.indy import is_indy, read_indy
from spikeloom.data.formats.structures.values import open_matlab
from spikeloom.data.formats.trees.reading import read_tree
from spikeloom.data.options import LoadOptions
from spikeloom.data.spikedata import SpikeData


def read_matlab(path: Path, options: LoadOptions) -> SpikeData:
    """The recording of a MATLAB file of any version: a session of O'Doherty et al., or as ``trees.reading`` reads it.

    Args:
        path: The file.
        options: How to cut and bin it, and what to keep.

    Raises:
        DataError: If the file is damaged, or as ``read_tree``.
    """
    with open_matlab(path) as variables:
        if is_indy(variables):
            return read_indy(path, options)
        return read_tree(variables, options, {"file": path.name, "format": "mat"})
