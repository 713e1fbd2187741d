"""The commands that fetch published recordings and describe recordings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from spikeloom.cli.messages import with_flags
from spikeloom.cli.options import SOURCE, add_load_options, load_recording

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace


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
    add_load_options(parser)


def describe(options: Namespace) -> None:
    """Describe a recording: sizes, rates, signals, splits, and what was guessed on loading."""
    from spikeloom.data.description import description
    from spikeloom.training.run import strict_json

    data = load_recording(options)
    if options.json:
        print(strict_json(data.summary()))
        return
    notes = {"notes": [with_flags(note) for note in data.provenance.get("notes", [])]}
    print(description(replace(data, provenance={**data.provenance, **(notes if notes["notes"] else {})})))
