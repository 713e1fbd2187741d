"""The commands that fetch published recordings and describe recordings."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikeloom.cli.messages import with_flags
from spikeloom.cli.options import SOURCE, add_load_options, load_options_from, load_recording

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace

    from spikeloom.data.spikedata import SpikeData

LEAST_TRIALS = 3
"""Fewer trials cannot be split for training, validation and test."""
WINDOW_S = 1.0
"""Length of the windows that are suggested for a recording that is not cut into trials."""


def fetch_options(parser: ArgumentParser, argv: Sequence[str]) -> None:
    """Options of ``fetch``."""
    parser.add_argument("name", nargs="?", type=str, help="published recording; without a name all are listed")


def fetch(options: Namespace) -> None:
    """Download a published recording into the cache, or list all."""
    from spikeloom.data.published.datasets import PUBLISHED
    from spikeloom.data.published.fetching import fetch, folder_of, is_fetched, published_recording

    if options.name is None:
        for listed in PUBLISHED.values():
            state = "fetched" if is_fetched(listed) else f"{listed.megabytes:g} MB"
            print(f"{listed.name:16}{state:>8}  {listed.licence:10} {listed.what}")
        return
    recording = published_recording(options.name)
    fetch(recording)
    lines = [
        ("folder", folder_of(recording)),
        ("licence", recording.licence),
        ("cite", recording.citation),
        ("next", f"spikeloom describe {recording.name}"),
        *(("note", note) for note in recording.notes),
    ]
    print(f"{recording.name}: {recording.what}")
    print("\n".join(f"{name:16}{text}" for name, text in lines))


def describe_options(parser: ArgumentParser, argv: Sequence[str]) -> None:
    """Options of ``describe``."""
    parser.add_argument("source", type=str, help=SOURCE)
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    parser.add_argument("--figure", type=Path, help="draw the recording into this file (.png, .svg or .pdf)")
    add_load_options(parser)


def describe(options: Namespace) -> None:
    """Describe a recording: sizes, rates, signals, splits, what was guessed, and the command to type next."""
    from spikeloom.data.description import description
    from spikeloom.training.run import strict_json

    if options.figure is not None:
        _check_figure(options.figure)
    data = load_recording(options)
    if options.figure is not None:
        from spikeloom.drawing.style import write_figure
        from spikeloom.report.recording_figure import recording_figure

        write_figure(recording_figure(data, Path(options.source).name), options.figure)
    following = shlex.join(next_command(options, data))
    if options.json:
        print(strict_json({**data.summary(), "next": following}))
        return
    notes = {"notes": [with_flags(note) for note in data.provenance.get("notes", [])]}
    print(description(replace(data, provenance={**data.provenance, **(notes if notes["notes"] else {})})))
    if options.figure is not None:
        print(f"{'figure':16}{options.figure}")
    print(f"{'next':16}{following}")


def next_command(options: Namespace, data: SpikeData) -> list[str]:
    """The words of the command that follows ``describe``, with the load options that were given to it.

    That is the training of a model; of a run, its report, or the rest of its training; of a recording that is too short
    to be split, another description, of windows.
    """
    if (Path(options.source) / "data.json").exists():
        from spikeloom.training.run import Run

        if not Run(Path(options.source)).finished:
            own = json.loads((Path(options.source) / "data.json").read_text(encoding="utf-8"))["source"]
            return ["spikeloom", "fit", str(own), "--resume", "--out", options.source]
        return ["spikeloom", "report", options.source]
    given = load_options_from(options)
    same = [*_words({"source": options.source}), *_words(given.to_dict())]
    if data.n_trials < LEAST_TRIALS and given.window_s is None and given.reaches is None:
        bins = max(1, min(round(WINDOW_S / data.bin_s), int(data.lengths.max()) // LEAST_TRIALS))
        return ["spikeloom", "describe", *same, *_words({"window_s": bins * data.bin_s})]
    return ["spikeloom", "fit", *same, "--out", str(Path("runs") / Path(options.source).stem)]


def _words(values: Mapping[str, Any]) -> list[str]:
    """Options as the words of a command line; the source has no name."""
    words: list[str] = []
    for name, value in values.items():
        words += [] if name == "source" else [f"--{name}"]
        if value is not True:
            words += [_word(v) for v in (value if isinstance(value, list | tuple) else [value])]
    return words


def _word(value: Any) -> str:
    return f"{value:.12g}" if isinstance(value, float) else str(value)


def _check_figure(path: Path) -> None:
    """Raise a DataError where no figure can be written, before the work that would fill it."""
    from spikeloom.data.formats.storage.containers import check_place
    from spikeloom.drawing.style import FIGURE_ENDINGS
    from spikeloom.errors import DataError

    if path.suffix.lower() not in FIGURE_ENDINGS:
        raise DataError(f"--figure is {path}, but figures end in {', '.join(FIGURE_ENDINGS)}; name such a file.")
    check_place(path)
