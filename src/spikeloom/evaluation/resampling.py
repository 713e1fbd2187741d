"""Blocks of dependent trials, and the weights by which the bootstrap resamples them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from spikeloom.evaluation.summary import TrialSet

MOST_BLOCKS = 100
LEAST_BLOCKS = 50
"""Blocks where there are so many independent units, of small and of large populations; never fewer, whatever the number
of neurons, as errors from few blocks are hardly errors."""

MANY_NEURONS = 64
"""Populations of more neurons get the smaller number of blocks, whose pair statistics are to fit into memory."""

LEAST_OF_A_CONDITION = 5
"""Blocks that each condition needs for conditions to be resampled apart."""


class Blocks(NamedTuple):
    """Trials in blocks that may be resampled as independent units.

    Attributes:
        trials: The trials, those of a block next to each other.
        order: Place of each of them among the trials before.
        starts: First trial of each block.
        stratum: (block,) label within which blocks are resampled: the condition, or the same for all.
        unit: Trials of the same number depend on each other; None where all are independent.
    """

    trials: TrialSet
    order: Int[np.ndarray, "trial"]
    starts: Int[np.ndarray, "block"]
    stratum: Int[np.ndarray, "block"]
    unit: Int[np.ndarray, "trial"] | None


def number_of_blocks(n_neurons: int) -> int:
    """Largest number of blocks for a population of some size."""
    return MOST_BLOCKS if n_neurons <= MANY_NEURONS else LEAST_BLOCKS


def in_blocks(trials: TrialSet, unit: Int[np.ndarray, "trial"], most: int, rng: np.random.Generator) -> Blocks:
    """Sort trials into blocks of whole units.

    Args:
        trials: The trials.
        unit: Trials of the same unit depend on each other: windows of one stretch of recorded time.
        most: Largest number of blocks.
        rng: Puts the units into a random order.
    """
    codes = np.unique(trials.condition)
    alone = len(np.unique(unit)) == len(unit)
    per_condition = np.array([(trials.condition == code).sum() for code in codes])
    if len(codes) > 1 and alone and per_condition.min() >= LEAST_OF_A_CONDITION:
        share = np.maximum(LEAST_OF_A_CONDITION, most * per_condition // len(unit))
        parts = [
            _sorted_units(np.flatnonzero(trials.condition == code), unit, int(n), rng) for code, n in zip(codes, share)
        ]
    else:
        parts = [_sorted_units(np.arange(len(unit)), unit, most, rng)]
    order = np.concatenate([order for order, _ in parts])
    offsets = np.cumsum([0, *(len(order) for order, _ in parts)])
    starts = np.concatenate([first + offset for (_, first), offset in zip(parts, offsets)])
    stratum = np.repeat(np.arange(len(parts)), [len(first) for _, first in parts])
    return Blocks(trials.take(order), order, starts, stratum, None if alone else unit[order])


def _sorted_units(
    members: np.ndarray, unit: np.ndarray, most: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Trials in a random order of their units, and the first trial of each block of units of about equal size."""
    _, code = np.unique(unit[members], return_inverse=True)
    place = rng.permutation(code.max() + 1)[code]
    order = np.argsort(place, kind="stable")
    sizes = np.bincount(place)
    first = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    # A unit belongs to the block into which its first trial falls when trials are divided evenly.
    block = first * min(most, len(sizes)) // len(members)
    return members[order], first[np.flatnonzero(np.diff(block, prepend=-1))]


def weights(blocks: Blocks, n: int, rng: np.random.Generator) -> Float[np.ndarray, "replicate block"]:
    """How often each block is drawn in each replicate: with replacement, as many as there are, within strata."""
    out = np.empty((n, len(blocks.starts)))
    for code in np.unique(blocks.stratum):
        at = np.flatnonzero(blocks.stratum == code)
        out[:, at] = rng.multinomial(len(at), np.full(len(at), 1 / len(at)), size=n)
    return out


def degrees_of_freedom(*sides: Blocks) -> int:
    """Degrees of freedom of errors from these blocks: those of the side that has fewest."""
    return max(1, min(len(side.starts) - len(np.unique(side.stratum)) for side in sides))
