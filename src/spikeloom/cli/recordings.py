"""The command that says what was understood of a recording."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from spikeloom.cli.options import SOURCE, load_recording, reading_options

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace


def describe_options(parser: ArgumentParser, argv: Sequence[str]) -> None:
    """Options of ``describe``."""
    parser.add_argument("source", type=str, help=SOURCE)
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    reading_options(parser)


def describe(options: Namespace) -> None:
    """Say what was understood of a recording."""
    from spikeloom.data.description import description
    from spikeloom.run import strict_json

    data = load_recording(options)
    print(strict_json(data.summary()) if options.json else description(data))
