"""Published recordings: fetched into the cache, and loaded from there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from spikeloom.data.cache import cache_folder
from spikeloom.data.formats.matlab.indy import read_indy
from spikeloom.data.formats.matlab.speech import read_speech
from spikeloom.data.formats.nwb.reading import FAMILIES, read_units
from spikeloom.data.formats.storage.containers import check_readable
from spikeloom.data.joined import join
from spikeloom.data.options import LoadOptions, check_supported
from spikeloom.data.published.archives import ByHand
from spikeloom.data.published.binned import binned
from spikeloom.data.published.datasets import PUBLISHED
from spikeloom.data.published.download import check_pinned, download
from spikeloom.data.published.recording import PublishedRecording, merged_options, with_splits
from spikeloom.data.spikedata import SpikeData
from spikeloom.data.steps import apply_options
from spikeloom.errors import DataError, did_you_mean


def published_recording(name: str) -> PublishedRecording:
    """The published recording of that name.

    Raises:
        DataError: If there is none.
    """
    if name not in PUBLISHED:
        hint = did_you_mean(name, PUBLISHED) or f"there are {', '.join(PUBLISHED)}."
        raise DataError(f"there is no published recording '{name}' to fetch; {hint}")
    return PUBLISHED[name]


def folder_of(recording: PublishedRecording) -> Path:
    """The folder in which the files of a recording are kept."""
    return cache_folder() / "recordings" / (recording.folder or recording.name)


def is_fetched(recording: PublishedRecording) -> bool:
    """Whether all files that are loaded have been fetched."""
    return not _missing(recording, recording.files)


def fetch(recording: PublishedRecording, visible: bool = True) -> list[Path]:
    """Download the missing files of a recording and check them against the checksums that the archive states.

    Args:
        recording: The recording.
        visible: Show progress.

    Returns:
        Its files.

    Raises:
        DataError: If it has to be downloaded by hand, cannot be reached, or differs from the published file.
    """
    folder, files = folder_of(recording), _files(recording)
    missing = _missing(recording, files)
    for file in set(files) - set(missing):
        check_pinned(folder / file)
    for file in missing:
        if isinstance(recording.source, ByHand):
            raise DataError(
                f"{recording.name} cannot be downloaded by a program: open {recording.source.page}, "
                f"{recording.source.how} {folder}."
            )
        try:
            located = recording.source.locate(file)
            checksum = recording.checksums.get(file, located.checksum)
            download(located.url, folder / file, checksum, located.size, visible=visible)
        except DataError as error:
            raise DataError(
                f"{recording.name} was not fetched: {str(error).rstrip('.')}; or download {file} from "
                f"{recording.source.page} to {folder / file}."
            ) from None
    return [folder / file for file in files]


def load_fetched(name: str, options: LoadOptions = LoadOptions()) -> SpikeData:  # noqa: B008  # frozen
    """A published recording, loaded with its own options.

    The binned recording is kept in the cache, see ``binned``, and comes from there the next time.

    The benchmark's test trials are among them only if no held-out neuron is kept (neurons="heldout=0"), because nobody
    knows what these fired there: a zero would be wrong, and a count cannot be missing.

    Args:
        name: Name of a published recording.
        options: Options in place of its own; comparisons are added to its own.

    Raises:
        DataError: If it has not been fetched, or an option does not fit.
    """
    recording = published_recording(name)
    if not is_fetched(recording):
        by_hand = isinstance(recording.source, ByHand)
        does = "prints what to download" if by_hand else f"does it ({recording.megabytes:g} MB)"
        raise DataError(
            f"the recording '{name}' has not been fetched into {folder_of(recording)}; `spikeloom fetch {name}` {does}."
        )
    check_supported(options, FAMILIES, f"the recording '{name}'")
    files = [folder_of(recording) / file for file in _files(recording)]
    merged = merged_options(recording.options, options)
    try:
        data = binned(recording.layout, files, merged, lambda: _READERS[recording.layout](recording, merged))
    except DataError as error:
        raise DataError(f"{name}: {error}") from error.__cause__
    origin = {"origin": recording.source.page, "licence": recording.licence, "citation": recording.citation}
    data = replace(data, provenance={**data.provenance, "dataset": name, **origin}).with_notes(recording.notes)
    return with_splits(data, recording.splits) if merged.split is None else data


def _files(recording: PublishedRecording) -> list[str]:
    return [*recording.files, *filter(None, [recording.test_file])]


def _paths(recording: PublishedRecording) -> list[Path]:
    return [folder_of(recording) / file for file in recording.files]


def _missing(recording: PublishedRecording, files: list[str] | tuple[str, ...]) -> list[str]:
    return [file for file in files if not (folder_of(recording) / file).exists()]


def _nwb(recording: PublishedRecording, options: LoadOptions) -> SpikeData:
    path = folder_of(recording) / recording.files[0]
    check_readable(path)
    data, notes = read_units(path, options)
    if recording.test_file is not None and "heldout" in data.neurons:
        data = _with_test_trials(data, folder_of(recording) / recording.test_file, options, notes)
    return apply_options(data, options, notes)


def _with_test_trials(data: SpikeData, path: Path, options: LoadOptions, notes: list[str]) -> SpikeData:
    """The recording, and the trials of the test file where every neuron that is kept was published."""
    if data.neurons["heldout"].any():
        notes.append("the benchmark's test trials are left out, as their held-out neurons were not published")
        return data
    if not path.exists():
        notes.append(f"the benchmark's test trials are left out, as there is no {path.name}")
        return data
    # Behaviour, conditions and events of the test trials were not published either; their windows are not shifted.
    unknown = ("direction_of", "jitter_s", "jitter_room", "scored")
    hidden: dict[str, Any] = {"signals": (), **dict.fromkeys(unknown)}
    test, more = read_units(path, replace(options, **hidden))
    notes += [f"test trials: {note}" for note in more]
    return join(data, test)


_READERS: Mapping[str, Callable[[PublishedRecording, LoadOptions], SpikeData]] = {
    "nwb": _nwb,
    "indy": lambda recording, options: read_indy(_paths(recording)[0], options),
    "speech": lambda recording, options: read_speech(_paths(recording), options),
}
