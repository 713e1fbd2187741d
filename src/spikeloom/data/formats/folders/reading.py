"""Folders that are recordings: of a spike sorter, or in the ALF standard."""

from __future__ import annotations

from pathlib import Path

from spikeloom.data.declared import not_enough_memory
from spikeloom.data.formats.folders.alf import probes, read_alf
from spikeloom.data.formats.folders.phy import is_phy, read_phy
from spikeloom.data.options import LoadOptions
from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import DataError


def read_folder(folder: Path, options: LoadOptions) -> SpikeData:
    """The recording in a folder: of Phy or Kilosort (``phy``), or in the ALF standard (``alf``).

    Raises:
        DataError: If it is none of these; says what each would hold.
    """
    try:
        if is_phy(folder):
            return read_phy(folder, options)
        if next(probes(folder), None) is not None:
            return read_alf(folder, options)
        below = sorted(path.name for path in folder.iterdir() if path.is_dir() and is_phy(path))
    except MemoryError:
        raise not_enough_memory(folder) from None
    except PermissionError as error:
        raise DataError(f"{error.filename} cannot be read: permission denied; check its rights.") from None
    except DataError as error:
        text = str(error)
        raise DataError(text if str(folder) in text else f"{folder}: {text}") from error.__cause__
    hint = f"its folder '{below[0]}' is of Phy: name that." if below else "name one of these, or a file."
    raise DataError(
        f"{folder} is a folder without data.json, so not a run, and without spike_times.npy and spike_clusters.npy "
        f"(Phy, Kilosort) or spikes.times.npy and spikes.clusters.npy (ALF), so no recording; {hint}"
    )
