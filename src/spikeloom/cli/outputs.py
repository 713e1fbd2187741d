"""Files that commands write: nothing is replaced unless that is wanted, and no two commands write the same at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from spikeloom.errors import DataError
from spikeloom.locks import locked

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser


def overwrite_option(parser: ArgumentParser) -> None:
    """Add the option that lets a command replace files."""
    parser.add_argument("--overwrite", action="store_true", help="replace files that exist; they are kept otherwise")


def refuse_existing(paths: Sequence[Path]) -> None:
    """Refuse to replace files; folders are left to the command, which cannot write a file there.

    Raises:
        DataError: At the first that exists.
    """
    for path in paths:
        if path.exists() and not path.is_dir():
            raise DataError(f"{path} exists; name another file, or add --overwrite to replace it.")


@contextmanager
def locked_all(paths: Sequence[Path]) -> Iterator[None]:
    """Lock files or folders while the block runs.

    Raises:
        RunError: If another process works on one of them.
    """
    with ExitStack() as locks:
        for path in paths:
            locks.enter_context(locked(path))
        yield
