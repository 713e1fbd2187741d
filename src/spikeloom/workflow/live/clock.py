"""A clock that ticks once a bin and counts the ticks that came too late."""

from __future__ import annotations

import time
from collections.abc import Callable


class Clock:
    """Deadlines one bin apart.

    A deadline that was missed is counted, and the next is a bin from then: nothing is silently caught up.

    Args:
        bin_s: Seconds of a bin.
        now: Reads the time in seconds.

    Attributes:
        ticks: Bins that have begun.
        missed: Whole bins that were lost because one began too late.
    """

    def __init__(self, bin_s: float, now: Callable[[], float] = time.perf_counter):
        self.bin_s, self._now = bin_s, now
        self.ticks = self.missed = 0
        self._due: float | None = None

    def left(self) -> float:
        """Seconds until the next bin is due; 0 or less when it is."""
        if self._due is None:
            self._due = self._now()
        return self._due - self._now()

    def tick(self) -> int:
        """Begin a bin, and say how many were lost before it.

        Example:
            >>> times = iter([0.0, 0.0, 0.12, 0.12])
            >>> clock = Clock(0.05, lambda: next(times))
            >>> clock.left(), clock.tick()  # at 0.12 s the bin of 0 s is late by two
            (0.0, 2)
            >>> round(clock.left(), 3)
            0.05
        """
        late = -self.left()
        lost = int(late / self.bin_s) if late >= self.bin_s else 0
        self.ticks += 1
        self.missed += lost
        assert self._due is not None
        self._due += self.bin_s + (late if lost else 0)
        return lost

    def wait(self) -> int:
        """Sleep until the next bin is due, and begin it."""
        left = self.left()
        if left > 0:
            time.sleep(left)
        return self.tick()
