"""Contiguous blocks: splits of a recording in time, so that what is held out was recorded apart from the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from jaxtyping import Int

from spikeloom.data.recorded_time import RecordedTime

CYCLES = 5
"""Most times that the blocks of all splits come round, so that a drift of the recording is shared by all."""
SHORTEST_GAP_S = 1.0
"""Blocks are apart by the length of a window, but no less than this."""
LOST = 0.1
"""Share of the trials that gaps may cost before blocks come round fewer times."""
MOST_LOST = 0.25
"""Share that they may cost before they are made shorter."""
UNEVEN = 1 / 3
"""Share of its size by which a split may be smaller or larger than it should be, if there are enough trials."""
SNAP = 0.5
"""A border moves to where a trial or piece of the recording ends, at most by this share of the smaller block."""


@dataclass(frozen=True)
class Blocks:
    """Contiguous blocks of trials.

    Attributes:
        parts: Trials of each split.
        n_blocks: Number of blocks.
        gap_s: Trials that are nearer than this to a trial of another split are in no split.
        n_dropped: Number of these.
    """

    parts: Mapping[str, np.ndarray]
    n_blocks: int
    gap_s: float
    n_dropped: int


def guard_gap_s(time: RecordedTime, rows: Int[np.ndarray, "row"]) -> float:
    """Seconds between blocks: the length of the longest trial, and at least ``SHORTEST_GAP_S``."""
    return max(SHORTEST_GAP_S, float((time.stop_s - time.start_s)[rows].max()))


def contiguous_blocks(
    time: RecordedTime,
    rows: Int[np.ndarray, "row"],
    fractions: Mapping[str, float],
    gap_s: float,
    source: Int[np.ndarray, "trial"] | None = None,
) -> Blocks | None:
    """Divide trials into blocks of recorded time, the same whenever it is done.

    The blocks of all splits follow each other forwards and backwards (train, val, test, test, val, train, ...) as
    often as gaps cost little. Borders move to where a source ends, if one ends near, so that short ones stay whole; a
    gap is kept wherever both sides are of one clock. It is shortened, first to the longest trial, then to nothing,
    where it would leave too little of a recording; trials never share time across blocks.

    Args:
        time: When each trial was recorded.
        rows: The trials to divide.
        fractions: Share of each split.
        gap_s: Seconds between blocks of different splits.
        source: The longer trial that each trial was cut from; the pieces of the recording if not given.

    Returns:
        The blocks, or None if a split would be empty.
    """
    rows = time.in_order(rows)
    source = time.piece if source is None else source
    ends = 1 + np.flatnonzero((np.diff(source[rows]) != 0) | (np.diff(time.piece[rows]) != 0))
    shares = {name: share / sum(fractions.values()) for name, share in fractions.items()}
    longest_s = float((time.stop_s - time.start_s)[rows].max())
    attempts = [(gap_s, cycles, LOST) for cycles in range(CYCLES, 0, -1)]
    attempts += [(gap, 1, MOST_LOST) for gap in (gap_s, longest_s) if gap <= gap_s]
    for gap, cycles, limit in [*attempts, (0.0, 1, 1.0)]:
        sequence = _sequence(shares, cycles)
        laid = _laid_out(rows, sequence, ends)
        parts = _apart(time, {name: laid[name] for name in fractions}, gap)
        n_dropped = len(rows) - sum(map(len, parts.values()))
        last = not gap and cycles == 1
        if n_dropped <= limit * len(rows) and (last or even(parts, shares)) and all(map(len, parts.values())):
            return Blocks({name: np.sort(part) for name, part in parts.items()}, len(sequence), gap, n_dropped)
    return None


def even(parts: Mapping[str, np.ndarray], shares: Mapping[str, float]) -> bool:
    """Whether the sizes of splits are about what they should be, by ``UNEVEN`` or by one trial.

    Example:
        >>> shares = {"train": 0.7, "val": 0.1, "test": 0.2}
        >>> [even({"train": np.zeros(n), "val": np.zeros(4), "test": np.zeros(36 - n)}, shares) for n in (28, 33)]
        [True, False]
    """
    n = sum(map(len, parts.values()))
    return all(abs(len(parts[name]) - share * n) <= max(1.0, UNEVEN * share * n) for name, share in shares.items())


def _sequence(shares: Mapping[str, float], cycles: int) -> list[tuple[str, float]]:
    """Names and shares of the blocks in the order of time: forwards, backwards, forwards, ..."""
    names = [name for i in range(cycles) for name in (list(shares) if i % 2 == 0 else list(shares)[::-1])]
    return [(name, len(list(same)) * shares[name] / cycles) for name, same in groupby(names)]


def _laid_out(
    rows: Int[np.ndarray, "row"], sequence: list[tuple[str, float]], ends: Int[np.ndarray, "end"]
) -> dict[str, np.ndarray]:
    """The rows, in the order of time, divided by the shares of the blocks."""
    n, size = len(rows), len(rows) * np.array([share for _, share in sequence])
    wanted = np.cumsum(size)[:-1]
    cuts = np.round(wanted).astype(np.int64)
    if len(ends):
        nearest = ends[np.abs(wanted[:, None] - ends).argmin(axis=1)]
        snaps = np.abs(nearest - wanted) <= SNAP * np.minimum(size[:-1], size[1:])
        cuts = np.where(snaps, nearest, cuts)
    for k in range(len(cuts)):  # each block has a trial, if there are enough
        cuts[k] = max(cuts[k], (cuts[k - 1] if k else 0) + 1)
    cuts = np.minimum(cuts, n - np.arange(len(cuts), 0, -1))
    blocks = np.split(rows, np.maximum(cuts, 0))
    return {
        name: np.concatenate([block for block, (other, _) in zip(blocks, sequence) if other == name])
        for name, _ in sequence
    }


def _apart(time: RecordedTime, parts: Mapping[str, np.ndarray], gap_s: float) -> dict[str, np.ndarray]:
    """The parts without trials that are too near to one of another part; the smaller part keeps its own."""
    kept: dict[str, np.ndarray] = {}
    for name in sorted(parts, key=lambda name: len(parts[name])):
        others = np.concatenate([np.zeros(0, dtype=np.int64), *kept.values()])
        kept[name] = parts[name][~time.near(parts[name], others, gap_s)]
    return {name: kept[name] for name in parts}
