"""Progress of long work: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType

LINE_EVERY_S = 15.0
"""Seconds between two lines where there is no terminal."""
_UNSEEN = ContextVar("_UNSEEN", default=False)


class Progress:
    """Show how far a loop has come, on standard error.

    Args:
        name: What is being done.
        total: Number of steps.
        visible: Say nothing when false.
    """

    def __init__(self, name: str, total: int, visible: bool = True):
        self.name, self.total, self.visible = name, total, visible and not _UNSEEN.get()
        self._note = ""
        self._bar = None

    def __enter__(self) -> Progress:
        self._started = self._spoke = time.monotonic()
        if self.visible and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            self._bar = Bar(
                TextColumn("{task.description:>12}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}"),
                console=Console(stderr=True),
            )
            self._task = self._bar.add_task(self.name, total=self.total, note="")
            self._bar.start()
        return self

    def at(self, step: int, note: str = "") -> None:
        """Tell that ``step`` steps are done; a note stays until the next one."""
        self._note = note or self._note
        if self._bar is not None:
            self._bar.update(self._task, completed=step, note=self._note)
        elif self.visible and (step == self.total or time.monotonic() - self._spoke > LINE_EVERY_S):
            self._spoke = time.monotonic()
            elapsed = self._spoke - self._started
            print(f"{self.name}: {step}/{self.total} in {elapsed:.0f} s  {self._note}".rstrip(), file=sys.stderr)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()


@contextmanager
def unseen() -> Iterator[None]:
    """For as long as the block lasts, work that is begun says nothing: it is a small part of some that does.

    Example:
        >>> with unseen():
        ...     Progress("training", 10).visible
        False
    """
    before = _UNSEEN.set(True)
    try:
        yield
    finally:
        _UNSEEN.reset(before)


@contextmanager
def counted(name: str) -> Iterator[Callable[[int, int], None]]:
    """Progress of work that learns its total on the way: gives a function of the number of parts done and to do.

    Example:
        >>> with counted("comparing") as progress:
        ...     progress(1, 2)
        ...     progress(2, 2)
    """
    shown: Progress | None = None

    def at(done: int, total: int) -> None:
        nonlocal shown
        if shown is None:
            shown = Progress(name, total).__enter__()
        shown.at(done)

    try:
        yield at
    finally:
        if shown is not None:
            shown.__exit__(None, None, None)
