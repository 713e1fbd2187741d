"""Recorded time: when the bins of each trial were recorded, by which trials that share time are found."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from spikeloom.data.spikedata import SpikeData

FROM_S = "recorded_from_s"
"""Trial column with the time of the start of the first bin, in seconds on the clock of the recording."""
PIECE = "recorded_piece"
"""Trial column with the continuous piece that a trial is from, where pieces have no common clock."""
TOLERANCE = 1e-3
"""Share of a bin by which stretches may overlap before they count as sharing time: clocks have noise."""


@dataclass(frozen=True)
class RecordedTime:
    """Stretches of recorded time, one for each trial; those of different pieces never share time.

    Attributes:
        piece: The continuous piece of each, numbered from 0 in the order in which pieces first appear.
        start_s: Start of its first bin, on the clock of the piece.
        stop_s: End of its last bin.
        tolerance_s: Overlap below which stretches do not share time.
    """

    piece: Int[np.ndarray, "trial"]
    start_s: Float[np.ndarray, "trial"]
    stop_s: Float[np.ndarray, "trial"]
    tolerance_s: float

    def in_order(self, rows: Int[np.ndarray, "row"]) -> Int[np.ndarray, "row"]:
        """The rows in the order in which they were recorded."""
        return rows[np.lexsort((self.start_s[rows], self.piece[rows]))]

    def near(
        self, rows: Int[np.ndarray, "row"], others: Int[np.ndarray, "other"], margin_s: float = 0.0
    ) -> Bool[np.ndarray, "row"]:
        """Which rows share time with any of the others, or lie less than a margin from one.

        Example:
            >>> time = RecordedTime(np.zeros(3, int), np.array([0.0, 1.0, 1.5]), np.array([1.0, 2.0, 2.5]), 1e-6)
            >>> time.near(np.array([0, 1]), np.array([2])).tolist()
            [False, True]
            >>> time.near(np.array([0, 1]), np.array([2]), margin_s=0.6).tolist()
            [True, True]
        """
        if not len(rows) or not len(others):
            return np.zeros(len(rows), dtype=bool)
        start, stop = self._on_one_clock(margin_s + 1.0)
        others = others[np.argsort(start[others], kind="stable")]
        reach = np.maximum.accumulate(stop[others])
        # Of the others that begin before a row (and its margin) ends, does the one that lasts longest reach into it?
        begun = np.searchsorted(start[others], stop[rows] + margin_s - self.tolerance_s)
        return (begun > 0) & (reach[np.maximum(begun, 1) - 1] > start[rows] - margin_s + self.tolerance_s)

    def groups(self, rows: Int[np.ndarray, "row"]) -> Int[np.ndarray, "row"]:
        """A number for each row, the same for rows that share time, directly or through others between them.

        Example:
            >>> start = np.array([0.0, 0.5, 3.0, 1.0])
            >>> time = RecordedTime(np.zeros(4, int), start, start + 0.9, 1e-6)
            >>> time.groups(np.arange(4)).tolist()
            [0, 0, 1, 0]
        """
        start, stop = self._on_one_clock(1.0)
        order = np.argsort(start[rows], kind="stable")
        reach = np.maximum.accumulate(stop[rows][order])
        first = start[rows][order][1:] >= reach[:-1] - self.tolerance_s
        numbers = np.zeros(len(rows), dtype=np.int64)
        numbers[order] = np.cumsum(np.r_[False, first])
        return numbers

    def _on_one_clock(self, apart_s: float) -> tuple[np.ndarray, np.ndarray]:
        """Starts and stops with the pieces laid one behind the other, so far apart that none is near another."""
        n = int(self.piece.max()) + 1
        first, last = np.full(n, np.inf), np.full(n, -np.inf)
        np.minimum.at(first, self.piece, self.start_s)
        np.maximum.at(last, self.piece, self.stop_s)
        begin = np.concatenate([[0.0], np.cumsum(last - first + apart_s)[:-1]])
        shift = (begin - first)[self.piece]
        return self.start_s + shift, self.stop_s + shift


def recorded_time(data: SpikeData) -> RecordedTime | None:
    """When the trials of a recording were recorded, or None where it does not say.

    It says so by the trial columns ``recorded_from_s`` and, where pieces have no common clock, ``recorded_piece``.
    Every function that cuts trials from longer ones or from a session writes them, every format of files keeps them,
    and a recording made from arrays may bring them. A trial whose time is missing shares time with no other.
    """
    if FROM_S not in data.trials:
        return None
    start = data.trials[FROM_S].to_numpy(dtype=float, na_value=np.nan)
    known = np.isfinite(start)
    own = data.trials[PIECE] if PIECE in data.trials else pd.Series(0, index=data.trials.index)
    names = [str(name) if there else ("unknown", row) for row, (name, there) in enumerate(zip(own, known))]
    piece = pd.factorize(pd.Series(names, dtype=object))[0].astype(np.int64)
    start = np.where(known, start, 0.0)
    return RecordedTime(piece, start, start + data.lengths * data.bin_s, TOLERANCE * data.bin_s)


def times_of_cut(
    data: SpikeData, trial: Int[np.ndarray, "cut"], start_bin: Int[np.ndarray, "cut"]
) -> dict[str, np.ndarray]:
    """The trial columns with the recorded time of trials that are cut from those of a recording.

    Where the recording does not know its time, each of its trials is a piece with a clock of its own.

    Args:
        data: The recording that is cut.
        trial: The trial that each is cut from.
        start_bin: The bin that it begins with.
    """
    later_s = start_bin * data.bin_s
    if FROM_S in data.trials:
        return {FROM_S: data.trials[FROM_S].to_numpy(dtype=float, na_value=np.nan)[trial] + later_s}
    return {PIECE: trial, FROM_S: later_s}
