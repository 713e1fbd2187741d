"""Published recordings fetched into the cache, and read from there."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from spikeloom.data.cache import cache_folder
from spikeloom.data.formats.containers import check_readable
from spikeloom.data.formats.indy import read_indy
from spikeloom.data.formats.nwb import read_units
from spikeloom.data.formats.speech import read_speech
from spikeloom.data.joined import join
from spikeloom.data.options import ARRAY_OPTIONS, LoadOptions, apply_options, neuron_mask
from spikeloom.data.published.archives import ByHand
from spikeloom.data.published.binned import binned
from spikeloom.data.published.datasets import RECIPES
from spikeloom.data.published.download import download
from spikeloom.data.published.recipes import Recipe, adapted, with_splits
from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import DataError


def recipe_of(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        DataError: If there is none.
    """
    if name not in RECIPES:
        near = difflib.get_close_matches(name, RECIPES, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(RECIPES)}."
        raise DataError(f"there is no published recording '{name}' to fetch; {hint}")
    return RECIPES[name]


def folder_of(recipe: Recipe) -> Path:
    """Where the files of a recipe are kept."""
    return cache_folder() / "recordings" / (recipe.folder or recipe.name)


def is_fetched(recipe: Recipe) -> bool:
    """Whether all files that are read are there."""
    return not _missing(recipe, recipe.files)


def fetch(recipe: Recipe, visible: bool = True) -> list[Path]:
    """Download what is missing of a recording and check it against the checksums that the archive states.

    Args:
        recipe: The recording.
        visible: Show progress.

    Returns:
        Its files.

    Raises:
        DataError: If it has to be downloaded by hand, cannot be reached, or is not what was published.
    """
    folder, files = folder_of(recipe), _files(recipe)
    for file in _missing(recipe, files):
        if isinstance(recipe.source, ByHand):
            raise DataError(
                f"{recipe.name} cannot be downloaded by a program: open {recipe.source.page}, {recipe.source.how} "
                f"{folder}."
            )
        try:
            located = recipe.source.locate(file)
            checksum = recipe.checksums.get(file, located.checksum)
            download(located.url, folder / file, checksum, located.size, visible=visible)
        except DataError as error:
            raise DataError(
                f"{recipe.name} was not fetched: {str(error).rstrip('.')}; or download {file} from "
                f"{recipe.source.page} to {folder / file}."
            ) from None
    return [folder / file for file in files]


def load_fetched(name: str, reading: LoadOptions = LoadOptions()) -> SpikeData:  # noqa: B008  # frozen
    """A published recording, read as its recipe says.

    What is read is kept in the cache, see ``binned``, and comes from there when it is asked for again.

    The benchmark's test trials are among them only if no held-out neuron is kept (neurons="heldout=0"), because nobody
    knows what these fired there: a zero would be wrong, and a count cannot be missing.

    Args:
        name: Name of a recipe.
        reading: What is asked for instead of what the recipe says; comparisons are added to it.

    Raises:
        DataError: If it has not been fetched, or the reading does not fit.
    """
    recipe = recipe_of(name)
    if not is_fetched(recipe):
        does = "says what to download" if isinstance(recipe.source, ByHand) else f"does it ({recipe.megabytes:g} MB)"
        raise DataError(
            f"the recording '{name}' has not been fetched into {folder_of(recipe)}; `spikeloom fetch {name}` {does}."
        )
    reading.refuse(ARRAY_OPTIONS, f"the recording '{name}'")
    files = [folder_of(recipe) / file for file in _files(recipe)]
    wanted = adapted(recipe.reading, reading)
    try:
        data = binned(recipe.layout, files, wanted, lambda: _READERS[recipe.layout](recipe, wanted))
    except DataError as error:
        raise DataError(f"{name}: {error}") from error.__cause__
    told = {"dataset": name, "origin": recipe.source.page, "licence": recipe.licence, "citation": recipe.citation}
    notes = [*data.provenance.get("notes", []), *recipe.notes]
    provenance = {**data.provenance, **told, **({"notes": notes} if notes else {})}
    return with_splits(replace(data, provenance=provenance), recipe.splits)


def _files(recipe: Recipe) -> list[str]:
    return [*recipe.files, *filter(None, [recipe.test_file])]


def _missing(recipe: Recipe, files: list[str] | tuple[str, ...]) -> list[str]:
    return [file for file in files if not (folder_of(recipe) / file).exists()]


def _nwb(recipe: Recipe, reading: LoadOptions) -> SpikeData:
    path = folder_of(recipe) / recipe.files[0]
    check_readable(path)
    data, notes = read_units(path, reading)
    if recipe.test_file is not None and "heldout" in data.neurons:
        data = _with_test_trials(data, folder_of(recipe) / recipe.test_file, reading, notes)
    return apply_options(data, reading, notes)


def _with_test_trials(data: SpikeData, path: Path, reading: LoadOptions, notes: list[str]) -> SpikeData:
    """The recording, and the trials of the test file where every neuron that is kept was published."""
    held_out = data.neurons["heldout"].to_numpy(dtype=bool)
    kept = np.ones(len(held_out), bool) if reading.neurons is None else neuron_mask(data.neurons, reading.neurons)
    if (kept & held_out).any():
        notes.append("the benchmark's test trials are left out, as their held-out neurons were not published")
        return data
    if not path.exists():
        notes.append(f"the benchmark's test trials are left out, as there is no {path.name}")
        return data
    # Behaviour, conditions and events of the test trials were not published either; their windows are not shifted.
    unknown = ("direction_of", "jitter_s", "jitter_room", "scored")
    hidden: dict[str, Any] = {"signals": (), **dict.fromkeys(unknown)}
    test, more = read_units(path, replace(reading, **hidden))
    notes += [f"test trials: {note}" for note in more]
    return join(data.select(neurons=~held_out), test)


_READERS: Mapping[str, Callable[[Recipe, LoadOptions], SpikeData]] = {
    "nwb": _nwb,
    "indy": lambda recipe, reading: read_indy(folder_of(recipe) / recipe.files[0], reading),
    "speech": lambda recipe, reading: read_speech([folder_of(recipe) / file for file in recipe.files], reading),
}
