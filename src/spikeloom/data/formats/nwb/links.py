"""Links of an NWB file that were followed, and other files that its values came from: both are told in notes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

import h5py

from spikeloom.data.formats.storage.hdf5_files import Hdf5

OF_THE_FORMAT = ("data", "timestamps")
"""Members of a series that NWB itself shares with another series by a link in the same file: no news."""
MOST_LISTED = 5


@dataclass
class Followed:
    """A link that led elsewhere.

    Attributes:
        file: Name of the file that is read.
        others: Items by the name of the other file that holds them.
        links: Where links in the file lead to, by their own place.
    """

    file: str
    others: dict[str, dict[str, None]] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)

    def notes(self) -> list[str]:
        """In words."""
        notes = [
            f"{_listed([*items])} {'is' if len(items) == 1 else 'are'} read from another file beside this one, {name}"
            for name, items in self.others.items()
        ]
        if self.links:
            notes.append(f"links were followed: {_listed([f'{own} to {to}' for own, to in self.links.items()])}")
        return notes


_followed: ContextVar[Followed | None] = ContextVar("_followed", default=None)


@contextmanager
def links_noted(file: Hdf5, notes: list[str]) -> Iterator[None]:
    """Behind the block, the notes say which links were followed in it.

    Args:
        file: The open file.
        notes: Gets the notes.
    """
    followed = Followed(str(file.filename))
    token = _followed.set(followed)
    try:
        yield
    finally:
        _followed.reset(token)
    notes += followed.notes()


def note_link(group: Hdf5, name: str, link: object) -> None:
    """Remember that a link within the file was followed."""
    followed = _followed.get()
    if followed is not None and isinstance(link, h5py.SoftLink) and name not in OF_THE_FORMAT:
        followed.links[f"{group.name}/{name}".strip("/")] = link.path


def note_files(item: Hdf5, virtual: list[str]) -> None:
    """Remember the other files that the values of an array come from.

    Args:
        item: The array.
        virtual: The files that it is composed of, beside its own.
    """
    followed = _followed.get()
    if followed is None:
        return
    own = str(item.file.filename)
    for name in [*([] if own == followed.file else [Path(own).name]), *virtual]:
        followed.others.setdefault(name, {})[str(item.name).strip("/")] = None


def _listed(words: list[str]) -> str:
    return ", ".join(words[:MOST_LISTED]) + (f", ... ({len(words)} in all)" if len(words) > MOST_LISTED else "")
