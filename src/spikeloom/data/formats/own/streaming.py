"""Recordings too large for memory: an HDF5 file in spikeloom's own layout, written some trials at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from spikeloom.data.formats.own.layout import packed, plain
from spikeloom.data.formats.storage.containers import Hdf5, Writing, all_or_nothing, check_place, new_hdf5
from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import DataError

ENDINGS = (".h5", ".hdf5")
PER_TRIAL = ("counts", "lengths", "rates", "latents", "signals/", "trials/")
"""Starts of the names of arrays that have a row for each trial."""
CHUNK_BYTES = 2**20
"""Most that is compressed together: HDF5 keeps as much of each array, so a chunk in it is compressed once."""
CHUNK_TRIALS = 128
COLUMN_TRIALS = 2**13


def check_streamable(path: str | Path) -> None:
    """Refuse a file that cannot be written trial by trial; creates nothing.

    Raises:
        DataError: If it is no HDF5 file, or no file can be made there.
    """
    path = Path(path)
    if path.suffix.lower() not in ENDINGS:
        raise DataError(f"{path}: only HDF5 can be written as trials are drawn; name a file that ends in .h5.")
    check_place(path)


@contextmanager
def streaming(path: str | Path, n_trials: int) -> Iterator[StreamedFile]:
    """A file that trials are appended to; it appears when all of them are there, and not at all where one fails.

    The file is that which ``save`` writes of the same trials in one recording, but no more than the trials of one call
    are ever in memory. (To ``load`` it takes as much memory as any other file.)

    Args:
        path: An HDF5 file.
        n_trials: Number of trials that will be appended.

    Raises:
        DataError: If the file cannot be written, or other trials than announced are appended.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from spikeloom.data.files import load
        >>> piece = SpikeData(np.ones((2, 10, 3), int), bin_s=0.02)
        >>> with TemporaryDirectory() as folder:
        ...     with streaming(f"{folder}/ones.h5", n_trials=4) as file:
        ...         for _ in range(2):
        ...             file.append(piece)
        ...     load(f"{folder}/ones.h5")
        SpikeData: 4 trials x 10 bins of 20 ms x 3 neurons, 50 Hz mean rate
    """
    check_streamable(path)
    with all_or_nothing(Path(path)) as temporary, new_hdf5(temporary) as writing:
        streamed = StreamedFile(writing, n_trials)
        yield streamed
        streamed._finish()


class StreamedFile:
    """An open file of ``streaming``.

    Args:
        writing: A new HDF5 file.
        n_trials: Number of trials it will hold.

    Attributes:
        n_written: Trials appended so far.
        provenance: Of the whole recording; that of pieces is ignored.
    """

    def __init__(self, writing: Writing, n_trials: int):
        self.n_written = 0
        self.provenance: Mapping[str, Any] = {}
        self._writing, self._n_trials = writing, n_trials
        self._about: dict[str, Any] = {}
        self._kind: Any = None

    def append(self, piece: SpikeData) -> None:
        """Write the trials of a recording behind those that are there.

        Args:
            piece: Trials padded to the same number of bins as all others; they have no splits.

        Raises:
            DataError: If they differ from those before them in more than their values.
        """
        arrays = packed(piece)
        about = json.loads(str(arrays.pop("about")))
        rows = slice(self.n_written, self.n_written + piece.n_trials)
        rest = {name: arrays.pop(name) for name in list(arrays) if not name.startswith(PER_TRIAL)}
        kind = (_without_missing(about), list(arrays), {name: values.tobytes() for name, values in rest.items()})
        if piece.splits or self._kind not in (None, kind) or rows.stop > self._n_trials:
            raise DataError(
                f"trials {rows.start} to {rows.stop - 1} do not fit behind the others of a file for {self._n_trials}: "
                "signals, columns and neurons must be the same in all pieces, without splits; append pieces of one "
                "recording."
            )
        with self._writing() as file:
            if self._kind is None:
                self._kind, self._about = kind, about
                for name, values in rest.items():
                    file[name] = _storable(values)
            else:
                for kept, new in zip(self._about["trials"], about["trials"]):
                    kept.get("missing", []).extend(rows.start + i for i in new.get("missing", []))
            for name, values in arrays.items():
                self._room(file, name, values)[rows] = _storable(values)
        self.n_written = rows.stop

    def _room(self, file: Hdf5, name: str, values: np.ndarray) -> Hdf5:
        """The array of that name, made for all trials when it is first written to, and able to hold the values."""
        if name not in file:
            return self._create(file, name, _storable(values).dtype, values)
        there = file[name]
        if there.shape[1:] != values.shape[1:]:
            raise DataError(f"'{name}' has {there.shape[1:]} values a trial, but {values.shape[1:]} were appended.")
        wider = there.dtype if values.dtype.kind == "U" else np.promote_types(there.dtype, values.dtype)
        if wider == there.dtype:
            return there
        # A larger count than any before: the smallest type that holds all counts is known when all are drawn.
        file.move(name, name + "~")
        made = self._create(file, name, wider, values)
        for start in range(0, self.n_written, CHUNK_TRIALS):
            rows = slice(start, min(start + CHUNK_TRIALS, self.n_written))
            made[rows] = there[rows]
        del file[name + "~"]  # its place is used again by the trials that follow
        return made

    def _create(self, file: Hdf5, name: str, dtype: np.dtype, values: np.ndarray) -> Hdf5:
        of_trial = dtype.itemsize * int(np.prod(values.shape[1:]))
        rows = COLUMN_TRIALS if values.ndim == 1 else CHUNK_TRIALS
        while rows > 1 and rows * of_trial > CHUNK_BYTES:
            rows //= 2
        shape, chunks = ((n, *values.shape[1:]) for n in (self._n_trials, min(rows, self._n_trials)))
        return file.create_dataset(name, shape, dtype, chunks=chunks, compression="gzip", shuffle=True)

    def _finish(self) -> None:
        if self.n_written != self._n_trials:
            raise DataError(f"a file for {self._n_trials} trials was given {self.n_written}; append them all.")
        with self._writing() as file:
            file["about"] = json.dumps({**self._about, "provenance": dict(self.provenance)}, default=plain)


def _storable(values: np.ndarray) -> np.ndarray:
    return values.astype(h5py.string_dtype()) if values.dtype.kind == "U" else values


def _without_missing(about: Mapping[str, Any]) -> dict[str, Any]:
    """Properties that all pieces of one recording share."""
    columns = [{k: v for k, v in kept.items() if k != "missing"} for kept in about["trials"]]
    return {**about, "trials": columns, "provenance": None}
