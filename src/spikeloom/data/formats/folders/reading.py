"""Folders that are recordings: of a spike sorter, or in the ALF standard."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from spikeloom.data.declared import not_enough_memory
from spikeloom.data.formats.folders.alf import probes, read_alf
from spikeloom.data.formats.folders.phy import is_phy, read_phy
from spikeloom.data.options import LoadOptions
from spikeloom.data.other_formats import DEEPEST, advice_on_folder
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
        below = [str(path.relative_to(folder)) for path in _phy_below(folder, DEEPEST)]
        advice = "" if below else advice_on_folder(folder)
    except MemoryError:
        raise not_enough_memory(folder) from None
    except PermissionError as error:
        raise DataError(f"{error.filename} cannot be read: permission denied; check its rights.") from None
    except DataError as error:
        text = str(error)
        raise DataError(text if str(folder) in text else f"{folder}: {text}") from error.__cause__
    if advice:
        raise DataError(f"{folder} is no folder of sorted spikes: {advice}.")
    hint = "name one of these, or a file."
    if below:
        some = ", ".join(f"'{name}'" for name in below[:4]) + ", ..." * (len(below) > 4)
        hint = f"{f'its folder {some} is' if len(below) == 1 else f'its folders {some} are'} of Phy: name "
        hint += "that." if len(below) == 1 else "one of them."
    raise DataError(
        f"{folder} is a folder without data.json, so not a run, and without spike_times.npy and spike_clusters.npy "
        f"(Phy, Kilosort) or spikes.times.npy and spikes.clusters.npy (ALF), so no recording; {hint}"
    )


def _phy_below(folder: Path, deepest: int) -> Iterator[Path]:
    """The folders of Phy in this one and below it, such as those of several probes."""
    for path in sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")):
        if is_phy(path):
            yield path
        elif deepest:
            yield from _phy_below(path, deepest - 1)
