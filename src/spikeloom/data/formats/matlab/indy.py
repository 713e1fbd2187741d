"""Sessions of self-paced reaching to random targets, in the MATLAB files of O'Doherty et al.

Source: O'Doherty, Cardoso, Makin & Sabes 2020, Zenodo 3854034 (subjects Indy and Loco).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float

from spikeloom.data.binning import EDGE, bin_spikes
from spikeloom.data.formats.storage.containers import check_readable, reading_file
from spikeloom.data.formats.storage.hdf5_files import Hdf5, opened_hdf5
from spikeloom.data.options import LoadOptions, SeriesOptions, check_supported
from spikeloom.data.recorded_time import FROM_S
from spikeloom.data.series.series import Series, resampled
from spikeloom.data.spikedata import Signal, SpikeData
from spikeloom.data.steps import apply_options
from spikeloom.errors import DataError

ARRAYS = ("chan_names", "cursor_pos", "finger_pos", "spikes", "t", "target_pos")
"""Arrays that every file holds; ``wf``, the waveforms, is not loaded."""
FAMILIES = (SeriesOptions,)
"""Families of options that these sessions understand."""
DEFAULT_BIN_S = 0.02
UNITS = {"cursor_pos": "mm", "finger_pos": "cm", "target_pos": "mm"}
COLUMNS = {
    "cursor_pos": ("x", "y"),
    "target_pos": ("x", "y"),
    "finger_pos": ("z", "-x", "-y", "azimuth", "elevation", "roll"),
}


def is_indy(names: Iterable[str]) -> bool:
    """Whether a file with arrays of these names is one of these sessions."""
    return set(ARRAYS) <= set(names)


def read_indy(path: Path, options: LoadOptions) -> SpikeData:
    """Read a session as one trial without a gap, to be cut at reaches (``reaches="cursor_vel"``) or into windows.

    A neuron is an electrode with all threshold crossings on it, sorted into units or not, while positions were
    sampled. The signals are
    ``cursor_pos`` and ``target_pos`` in mm, ``finger_pos`` in cm, and ``cursor_vel`` in mm/s, made from the position at
    its 250 Hz. The target is where it is at the centre of a bin: it jumps.

    Args:
        path: MATLAB file (7.3) of a session.
        options: How to bin and cut it, and what to keep.

    Raises:
        DataError: If the file is none of these sessions, or an option does not fit.
    """
    check_supported(options, FAMILIES, "a session of random targets")
    check_readable(path)
    bin_s, notes = options.bin_s or DEFAULT_BIN_S, []
    if options.bin_s is None:
        notes.append(f"bins are {DEFAULT_BIN_S:g} s wide, as bin_s was not given")
    with reading_file(path), opened_hdf5(path) as file:
        if not is_indy(file):
            raise DataError(
                f"{path} has no {', '.join(n for n in ARRAYS if n not in file)}; name a session of O'Doherty et al."
            )
        times = np.asarray(file["t"][...], dtype=np.float64).ravel()
        names = [_text(file[reference]) for reference in file["chan_names"][...].ravel()]
        spikes, n_units = _spikes(file, len(names))
        positions = {name: _samples(file[name], len(times)) for name in UNITS}
    if len(times) < 2 or not (np.diff(times) > 0).all():
        raise DataError(f"t holds {len(times)} times that do not all increase; download the file again.")
    n_bins = np.array([int(np.floor((times[-1] - times[0]) / bin_s + EDGE))])
    if not n_bins[0]:
        raise DataError(
            f"a bin of {bin_s:g} s is wider than the session ({times[-1] - times[0]:g} s); ask for narrower bins."
        )
    start = times[:1]
    signals = _signals(times, positions, start + (options.lag_s or 0.0), n_bins, bin_s)
    data = SpikeData(
        counts=bin_spikes(spikes, start, n_bins, bin_s),
        bin_s=bin_s,
        signals=signals if options.signals is None else {k: v for k, v in signals.items() if k in options.signals},
        trials=pd.DataFrame({"start_time": start, "stop_time": start + n_bins * bin_s, FROM_S: start}),
        neurons=pd.DataFrame(
            {"name": names, "area": [n.split()[0] if n.split() else "" for n in names], "units": n_units}
        ),
        provenance={"file": path.name, "format": "mat"},
    )
    return apply_options(data, options, notes)


def _spikes(file: Hdf5, n_channels: int) -> tuple[list[np.ndarray], list[int]]:
    """Times of all threshold crossings of each channel, and how many units they are of."""
    cells = file["spikes"][...]  # MATLAB's (channel, unit) arrives as (unit, channel)
    if cells.ndim != 2 or cells.shape[1] != n_channels:
        raise DataError(
            f"spikes has shape {cells.shape}, but there are {n_channels} names of channels; download the file again."
        )
    found, n_units = [], []
    for channel in cells.T:
        # An empty cell is not a missing reference: it holds its own size instead of times.
        trains = [np.ravel(file[cell][...]) for cell in channel if not file[cell].attrs.get("MATLAB_empty", 0)]
        trains = [train.astype(np.float64) for train in trains if train.size]
        found.append(np.sort(np.concatenate([np.zeros(0), *trains])))
        n_units.append(len(trains))
    return found, n_units


def _samples(item: Hdf5, n: int) -> Float[np.ndarray, "sample dim"]:
    values = np.asarray(item[...], dtype=np.float64).T
    if values.ndim != 2 or len(values) != n:
        raise DataError(f"{item.name} has {values.shape} samples, but there are {n} times; download the file again.")
    return values


def _signals(
    times: np.ndarray, positions: dict[str, np.ndarray], start: np.ndarray, n_bins: np.ndarray, bin_s: float
) -> dict[str, Signal]:
    moving = {
        name: Series(times, positions[name], UNITS[name], COLUMNS[name][: positions[name].shape[1]])
        for name in ("cursor_pos", "finger_pos")
    }
    speed = np.gradient(positions["cursor_pos"], times, axis=0)
    moving["cursor_vel"] = Series(times, speed, "mm/s", COLUMNS["cursor_pos"])
    signals = resampled(moving, start, n_bins, bin_s)
    centre = start[0] + (np.arange(n_bins[0]) + 0.5) * bin_s
    at = np.clip(np.searchsorted(times, centre + 1e-9, side="right") - 1, 0, len(times) - 1)
    target = positions["target_pos"][at][None]
    return signals | {"target_pos": Signal(target, UNITS["target_pos"], COLUMNS["target_pos"])}


def _text(item: Hdf5) -> str:
    return "".join(map(chr, np.ravel(item[...].T)))
