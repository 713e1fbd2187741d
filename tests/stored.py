"""Recordings in files as programs and people write them, and what is noted of those that are loaded."""

from pathlib import Path

import h5py
import numpy as np
import scipy.io


def write(path: Path, **arrays) -> None:
    """Write named arrays in the format that the ending of the file says: npz, MATLAB or HDF5."""
    if path.suffix == ".npz":
        np.savez(path, **arrays)
    elif path.suffix == ".mat":
        scipy.io.savemat(path, arrays)
    else:
        with h5py.File(path, "w") as file:
            for name, values in arrays.items():
                file[name] = values


def cell(items) -> np.ndarray:
    """A row of cells of MATLAB."""
    out = np.empty((1, len(items)), object)
    out[0, :] = items
    return out


def structs(rows) -> np.ndarray:
    """A row of structures of MATLAB with the same fields."""
    out = np.zeros((1, len(rows)), [(key, object) for key in rows[0]])
    for i, row in enumerate(rows):
        for key, value in row.items():
            out[0, i][key] = value
    return out


def one_by_one(trains) -> tuple[np.ndarray, np.ndarray]:
    """Spike times in order, and the unit of each."""
    times, units = np.concatenate(trains), np.repeat(np.arange(len(trains)), list(map(len, trains)))
    order = np.argsort(times)
    return times[order], units[order]


def notes_of(data) -> str:
    """What is noted of a recording, in one line."""
    return "; ".join(data.provenance.get("notes", []))
