"""Recordings in files: ``load`` and ``save``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from spikeloom.data.declared import not_enough_memory
from spikeloom.data.formats.arrays.reading import from_arrays
from spikeloom.data.formats.folders.loose import vectors_in
from spikeloom.data.formats.folders.reading import read_folder
from spikeloom.data.formats.matlab.reading import read_matlab
from spikeloom.data.formats.own.layout import packed, unpacked
from spikeloom.data.formats.pynapple_files import kind_of, read_pynapple
from spikeloom.data.formats.storage.containers import (
    all_or_nothing,
    check_place,
    check_readable,
    open_hdf5,
    open_npy,
    open_npz,
    with_dates,
    write_hdf5,
    write_npz,
)
from spikeloom.data.formats.storage.guard import know_sound
from spikeloom.data.formats.storage.sparse import with_sparse
from spikeloom.data.formats.structures.padded_times import padded_times_in
from spikeloom.data.formats.tables.reading import read_table_file
from spikeloom.data.formats.trees.found_lists import spike_list_in
from spikeloom.data.formats.trees.groups import holds_spike_times, tree_of
from spikeloom.data.formats.trees.reading import read_tree
from spikeloom.data.formats.trees.several_lists import of_one_list
from spikeloom.data.options import LoadOptions, check_supported
from spikeloom.data.other_formats import advice_on_file
from spikeloom.data.spikedata import SpikeData, check_recording
from spikeloom.data.steps import apply_options, with_all_options
from spikeloom.data.tables import TABLES
from spikeloom.errors import DataError

_READ = {".npz": open_npz, ".npy": open_npy, ".h5": open_hdf5, ".hdf5": open_hdf5}
_WRITE = {".npz": write_npz, ".h5": write_hdf5, ".hdf5": write_hdf5}


def load(path: str | Path, options: LoadOptions = LoadOptions()) -> SpikeData:  # noqa: B008  # frozen
    """Load a recording from a file; its ending gives the format: .npz, .npy, .h5, .hdf5, .mat, .nwb or a table.

    A file written by ``save`` comes back as it was. Arrays of other origin are interpreted by their names, see
    ``arrays.reading.from_arrays`` and, where they hold spike times or groups of trials, ``trees.reading.read_tree``;
    NWB files by their units and trials, see ``nwb.reading.read_nwb``; tables by their columns, see
    ``tables.reading.read_table_file``. What was guessed or dropped is listed under "notes" in the provenance. Loading
    never executes anything in a file.

    Args:
        path: The file.
        options: How to understand it, and what to keep.

    Raises:
        DataError: If the file is missing, damaged or cannot be interpreted.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> data = SpikeData(np.ones((2, 10, 3), int), bin_s=0.02)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save(data, f"{folder}/ones.npz")
        ...     load(f"{folder}/ones.npz", LoadOptions(window_s=0.1))
        SpikeData: 4 trials x 5 bins of 20 ms x 3 neurons, 50 Hz mean rate
    """
    path = Path(path)
    check_readable(path)
    ending = path.suffix.lower()
    try:
        if ending == ".nwb":
            return _load_nwb(path, options)
        if ending == ".mat":
            return read_matlab(path, options)
        if ending in TABLES:
            return read_table_file(path, options)
        if ending not in _READ:
            known = ", ".join([*_READ, ".mat", ".nwb", *TABLES])
            if advice := advice_on_file(path):
                raise DataError(f"files that end in '{path.suffix}' {advice}; spikeloom reads {known}.")
            raise DataError(f"the ending '{path.suffix}' is not known; spikeloom reads {known}.")
        stored = _READ[ending](path)
        if "spikeloom_layout" in stored:
            check_supported(options, (), "a file in spikeloom's own layout")
            return apply_options(unpacked(stored), options, own=True)
        if "units/spike_times" in stored:
            return _load_nwb(path, options)
        notes: list[str] = []
        stored = with_dates(with_sparse(stored, notes) if ending == ".npz" else stored, notes)
        origin: dict[str, Any] = {"file": path.name, "format": ending[1:], **({"notes": notes} if notes else {})}
        if ending == ".npz" and (kind := kind_of(stored)) is not None:
            return read_pynapple(stored, kind, options, origin)
        padded, stored = padded_times_in(stored, options.counts)
        stored, is_chosen = of_one_list(stored, options.counts)
        if is_chosen:
            data = read_tree(tree_of(stored), replace(options, counts=None), origin, plain_first=False)
            return with_all_options(data, options)
        variables = tree_of(stored)
        if padded is not None or holds_spike_times(variables, stored, options):
            return read_tree(variables, options, origin, plain_first=False)
        return from_arrays(stored, options, origin)
    except MemoryError:
        raise not_enough_memory(path) from None
    except DataError as error:
        text = str(error)
        raise DataError(text if str(path) in text else f"{path}: {text}") from error.__cause__


def load_folder(folder: Path, options: LoadOptions) -> SpikeData:
    """The recording in a folder of a sorter or in the ALF standard, or that of a list of spikes in .npy files.

    Raises:
        DataError: If it is none of these, or as the readers of each.
    """
    try:
        arrays = vectors_in(folder)
        if arrays and spike_list_in(arrays) is not None:
            notes = [f"the folder is read as the arrays of one file: {', '.join(arrays)}"]
            origin = {"file": folder.resolve().name, "format": "npy", "notes": notes}
            return read_tree(tree_of(arrays), options, origin, plain_first=False)
    except MemoryError:
        raise not_enough_memory(folder) from None
    except DataError as error:
        text = str(error)
        raise DataError(text if str(folder) in text else f"{folder}: {text}") from error.__cause__
    return read_folder(folder, options)


def save(data: SpikeData, path: str | Path) -> None:
    """Write a recording to a file; its ending picks the format: .npz, .h5, .hdf5 or .nwb.

    The file appears when it is complete: a failure leaves nothing behind, and an older file as it was.
    npz and HDF5 keep everything; NWB keeps the parts that the format has a place for, see ``nwb.export.write_nwb``.

    Raises:
        DataError: If the ending is unknown, or if the file cannot be written.
    """
    check_recording(data, "data")
    path = Path(path)
    ending = path.suffix.lower()
    if ending == ".nwb":
        from spikeloom.data.formats.nwb.export import write_nwb  # pynwb takes a second to import

        with all_or_nothing(path) as temporary:
            write_nwb(data, temporary)
        know_sound(path)
    elif ending in _WRITE:
        arrays = packed(data)
        with all_or_nothing(path) as temporary:
            _WRITE[ending](temporary, arrays)
        know_sound(path)
    else:
        raise _unknown_ending(path)


def check_writable(path: str | Path) -> None:
    """Check that ``save`` could write a file, before the work that would fill it; creates nothing.

    Raises:
        DataError: If the ending is unknown, the path is a folder, or no file can be made there.
    """
    path = Path(path)
    if path.suffix.lower() not in (*_WRITE, ".nwb"):
        raise _unknown_ending(path)
    check_place(path)


def _unknown_ending(path: Path) -> DataError:
    known = ", ".join([*_WRITE, ".nwb"])
    return DataError(f"{path}: the ending '{path.suffix}' is not known; spikeloom writes {known}.")


def _load_nwb(path: Path, options: LoadOptions) -> SpikeData:
    from spikeloom.data.formats.nwb.reading import read_nwb

    return read_nwb(path, options)
