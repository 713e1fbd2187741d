"""How far a search has come: a growing table on a terminal, plain lines elsewhere, on standard error."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from spikeloom.tuning.member import plain


class Board:
    """Tells a line for each generation or finished training, and how many trainings of it are done.

    Args:
        first: Heading of the first column: generation, or trial.
        total: How many of these there will be.
        keys: Names of what is searched.
    """

    def __init__(self, first: str, total: int, keys: Sequence[str]):
        self.first, self.total, self.keys = first, total, keys
        self._live: Any = None

    def __enter__(self) -> Board:
        if sys.stderr.isatty():
            from rich.console import Console, Group
            from rich.live import Live
            from rich.table import Table
            from rich.text import Text

            self._table = Table(self.first, "best score", "member", *self.keys, "")
            self._status = Text("")
            self._live = Live(Group(self._table, self._status), console=Console(stderr=True), refresh_per_second=2)
            self._live.start()
        return self

    def line(self, number: int, score: float, member: int, values: Mapping[str, Any], note: str = "") -> None:
        """The best of a generation, or a training that has ended.

        Args:
            number: Of the generation, or of trainings that have ended.
            score: Its score.
            member: Who has it.
            values: What it was trained with.
            note: What else there is to say.
        """
        if self._live is not None:
            cells = [f"{v:.3g}" if isinstance(v, float) else str(v) for v in values.values()]
            self._table.add_row(f"{number}/{self.total}", f"{score:.5g}", str(member), *cells, note)
            self._live.refresh()
        else:
            told = f"{self.first} {number}/{self.total}: {score:.5g} (member {member}; {plain(values)})"
            print(f"{told} {note}".rstrip(), file=sys.stderr, flush=True)

    def at(self, done: int, total: int) -> None:
        """How many trainings are done, of those that run now."""
        if self._live is not None:
            self._status.plain = f"{done} of {total} trainings done"
            self._live.refresh()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._status.plain = ""
            self._live.stop()
