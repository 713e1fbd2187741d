"""The arrays of one file while they are interpreted: which have been used, and what has been guessed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np

from spikeloom.data.formats.naming.array_names import last_part, plain, text_of, time_role
from spikeloom.data.formats.storage.containers import StoredArray
from spikeloom.data.options import LoadOptions
from spikeloom.errors import DataError

VALUES = "buifUS"
"""Kinds of arrays that can be used: numbers, true and false, and text."""


GROUPS = ("trial", "trials", "trial_info", "trial_table")
"""Groups and structures that hold the columns of trials."""
AXES = "axes of the reader"
"""Array by which a reader of ours declares the order of the axes, as it has laid them out itself."""
SHOWN = 12
"""Arrays that a message lists."""


class ArrayFile:
    """The arrays of a file by the last part of their names, if that is enough to tell them apart.

    MATLAB structures and HDF5 groups put their own name before those of their arrays; an option may give either.

    Attributes:
        stored: The arrays by name.
        options: What the user has said of them.
        notes: What was guessed so far.
        counts_from_one: Whether it is a file of MATLAB, where the first element has the number 1.
        taken: Names of those that have been used.
        is_order_assumed: Whether nothing says what the axes of the counts are.
    """

    def __init__(self, stored: Mapping[str, StoredArray], options: LoadOptions, counts_from_one: bool = False) -> None:
        n_of = Counter(last_part(name) for name in stored)
        self._short = {name: short if n_of[short := last_part(name)] == 1 else name for name in stored}
        self._full = {short: name for name, short in self._short.items()}
        self.stored = {self._short[name]: array for name, array in stored.items()}
        self.options = options
        self.counts_from_one = counts_from_one
        self.notes: list[str] = []
        self.taken: set[str] = set()
        self.is_order_assumed = False

    def read(self, name: str) -> np.ndarray:
        """The values of an array, which counts as used from now on.

        Raises:
            DataError: If it is damaged, or cannot be loaded safely.
        """
        first = name not in self.taken
        self.taken.add(name)
        try:
            values = self.stored[name].read()
        except DataError as error:
            raise DataError(f"'{name}': {error}") from None
        if first and self.stored[name].other_files:
            self.notes.append(
                f"'{name}' is read from another file beside this one: {', '.join(self.stored[name].other_files)}"
            )
        return values

    def free(self) -> Iterator[tuple[str, StoredArray]]:
        """The arrays of numbers or text that have not been used."""
        for name, stored in self.stored.items():
            if name not in self.taken and stored.dtype.kind in VALUES:
                yield name, stored

    def found(self) -> str:
        """The arrays with their types and shapes, for messages; of many, the first few."""
        own = {name: stored for name, stored in self.stored.items() if name != AXES}
        some = [f"{name} {stored}" for name, stored in list(own.items())[:SHOWN]]
        more = f"; ... ({len(own)} in all)" if len(own) > SHOWN else ""
        return ("; ".join(some) + more) or "none"

    def key(self, name: str) -> str | None:
        """The array that a user calls by its whole name or by the last part of it; None if there is none."""
        return name if name in self.stored else self._short.get(name)

    def role(self, name: str) -> str | None:
        """Whether an array holds the "start" of trials, the "stop", or "both"; in a group of trials "start" is enough.

        See ``array_names.time_role``.
        """
        group, _, last = self._full[name].rpartition("/")
        own = time_role(name)
        return time_role(f"trial_{plain(last)}") if own is None and group and plain(group) in GROUPS else own

    def is_option(self, name: str, *options: str) -> bool:
        """Whether one of these options names an array."""
        values = (getattr(self.options, option) for option in options)
        named = (one for value in values if value is not None for one in ([value] if isinstance(value, str) else value))
        return any(self.key(part.strip()) == name for one in named for part in (one, *one.split(",")))

    def named(self, option: str, usual: tuple[str, ...]) -> str | None:
        """The array that an option names, else the one array with a usual name, which is noted, else None.

        Raises:
            DataError: If the array that the option names does not exist.
        """
        given = getattr(self.options, option)
        if given is not None:
            name = self.key(given)
            if name is None:
                raise DataError(f"there is no array '{given}' for {option}; the file holds: {self.found()}.")
            return name
        return self.guessed(option, [name for name in self.stored if plain(name) in usual])

    def guessed(self, what: str, names: list[str]) -> str | None:
        """The one array that may be meant, which is noted; None where there are several, or none."""
        if len(names) != 1:
            return None
        if names[0] != what:
            self.notes.append(f"{what} is '{names[0]}', by its name")
        return names[0]

    def note_unused(self) -> None:
        """Add a note about the arrays that were not used."""
        unused = sorted(set(self.stored) - self.taken - {AXES})
        if unused:
            self.notes.append("not used: " + ", ".join(f"{name} {self.stored[name]}" for name in unused))


def column(values: np.ndarray) -> np.ndarray:
    """Values as tables hold them: text as Python strings, numbers as they are."""
    if values.dtype.kind not in "US":
        return values
    return np.array([text_of(value) for value in values], dtype=object)


def whole(values: np.ndarray) -> np.ndarray:
    """Floats that are whole numbers (MATLAB knows no others, nor a column with a gap) as integers; others as they are.

    Example:
        >>> whole(np.array([1.0, 2.0])).tolist(), whole(np.array([1.0, 2.5])).tolist()
        ([1, 2], [1.0, 2.5])
    """
    is_whole = values.dtype.kind == "f" and (values == np.floor(values)).all()
    return values.astype(np.int64) if is_whole else values
