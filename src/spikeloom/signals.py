"""Requests to stop: SIGTERM (a batch system, ``kill``) is treated as Ctrl-C is; both wait where they would do harm."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

STATUS_OF_SIGNAL = 128
"""Exit status of a program that a signal has ended, beside the number of the signal."""


class Terminated(KeyboardInterrupt):
    """SIGTERM has come; whatever ends well on Ctrl-C does so on it."""


def exit_status(interruption: KeyboardInterrupt) -> int:
    """Exit status of a program that was interrupted.

    Example:
        >>> exit_status(KeyboardInterrupt()), exit_status(Terminated())
        (130, 143)
    """
    number = signal.SIGTERM if isinstance(interruption, Terminated) else signal.SIGINT
    return STATUS_OF_SIGNAL + number


@contextmanager
def terminating() -> Iterator[None]:
    """While the block runs, SIGTERM raises ``Terminated``; in the main thread only, and not where it is ignored."""
    before = signal.getsignal(signal.SIGTERM)
    if not _may_change() or before is not signal.SIG_DFL:
        yield
        return
    came: list[int] = []

    def terminate(number: int, frame: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once: batch systems repeat it, and cleaning up takes a moment
        came.append(number)
        raise Terminated

    signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    except KeyboardInterrupt as interruption:
        if came and not isinstance(interruption, Terminated):  # Ray raises one of its own in place of it
            raise Terminated from interruption
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def kept_handlers() -> Iterator[None]:
    """Puts the handlers back that a library replaces in the block."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items() if _may_change() else ():
            if handler is not None:
                signal.signal(number, handler)


class HeldBack:
    """Ctrl-C and SIGTERM that wait, see ``held_back``.

    Attributes:
        came: Numbers of those that have come.
    """

    def __init__(self, most: int | None):
        self.came: list[int] = []
        self._most = most
        # Nothing is ever raised in other threads; and what raises nothing in this one need not wait.
        known = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        self._handlers = {n: handler for n, handler in known.items() if callable(handler)} if _may_change() else {}

    def wait(self) -> None:
        """From now on they wait."""
        for number in self._handlers:
            signal.signal(number, self._note)

    def deliver(self, number: int | None = None) -> None:
        """Let the first that came take effect, if any has, and those to come at once.

        Args:
            number: The one to take effect, which need not have come to this process.
        """
        for known, handler in self._handlers.items():
            signal.signal(known, handler)
        came, self.came = self.came, []
        if number is None and came:
            number = came[0]
        if number is not None:
            signal.raise_signal(number)

    def _note(self, number: int, frame: object) -> None:
        self.came.append(number)
        if self._most is not None and len(self.came) > self._most:
            self.deliver()
            self.wait()


@contextmanager
def held_back(most: int | None = None) -> Iterator[HeldBack]:
    """Ctrl-C and SIGTERM wait until the block ends, or until they are delivered.

    Args:
        most: How many wait; one more takes effect at once. All of them when not given.
    """
    held = HeldBack(most)
    held.wait()
    try:
        yield held
    finally:
        held.deliver()


def _may_change() -> bool:
    return threading.current_thread() is threading.main_thread()
