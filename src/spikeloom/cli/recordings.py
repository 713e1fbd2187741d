"""The commands that fetch published recordings and say what was understood of a recording."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from spikeloom.cli.options import SOURCE, load_recording, reading_options

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser, Namespace


def fetch_options(parser: ArgumentParser, argv: Sequence[str]) -> None:
    """Options of ``fetch``."""
    parser.add_argument("name", nargs="?", type=str, help="published recording; without a name all are listed")


def fetch(options: Namespace) -> None:
    """Download a published recording into the cache, or list all."""
    from spikeloom.data.published.datasets import RECIPES
    from spikeloom.data.published.fetching import fetch, folder_of, is_fetched, recipe_of

    if options.name is None:
        for recipe in RECIPES.values():
            size = f"{recipe.megabytes:g} MB"
            print(f"{recipe.name:16}{'fetched' if is_fetched(recipe) else size:>8}  {recipe.licence:10} {recipe.what}")
        return
    recipe = recipe_of(options.name)
    fetch(recipe)
    lines = {
        "folder": folder_of(recipe),
        "licence": recipe.licence,
        "cite": recipe.citation,
        "next": f"spikeloom describe {recipe.name}",
    }
    print(f"{recipe.name}: {recipe.what}")
    print("\n".join(f"{name:16}{text}" for name, text in [*lines.items(), *(("note", note) for note in recipe.notes)]))


def describe_options(parser: ArgumentParser, argv: Sequence[str]) -> None:
    """Options of ``describe``."""
    parser.add_argument("source", type=str, help=SOURCE)
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    reading_options(parser)


def describe(options: Namespace) -> None:
    """Say what was understood of a recording."""
    from spikeloom.data.description import description
    from spikeloom.training.run import strict_json

    data = load_recording(options)
    print(strict_json(data.summary()) if options.json else description(data))
