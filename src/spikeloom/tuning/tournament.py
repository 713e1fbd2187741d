"""Tournaments: which members copy a better one between two generations, and when the best score has settled."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

WINDOW = 4
"""Generations over which the best score must have improved."""
QUARTER = 0.25

Scores = Sequence[float]
Parents = list[int]
"""The member that each member continues from: itself, or a better one."""


def binary(scores: Scores, generator: np.random.Generator) -> Parents:
    """Each member meets another one with a finite score, at random, and copies it if that is better.

    A member without a finite score copies whichever it meets. The best is never overwritten, because it meets none that
    is better (Keshtkaran et al. 2022, Methods).

    Args:
        scores: Score of each member, to be minimised; NaN where training failed.
        generator: Source of randomness.

    Example:
        >>> binary([3.0, float("nan"), 1.0], np.random.default_rng(0))[2]
        2
    """
    finite = np.flatnonzero(np.isfinite(scores))
    parents = []
    for member, score in enumerate(scores):
        others = finite[finite != member]
        met = int(others[generator.integers(len(others))]) if len(others) else member
        parents.append(met if _better(scores[met], score) else member)
    return parents


def pairs(scores: Scores, generator: np.random.Generator) -> Parents:
    """Members meet in random pairs, and the worse copies the better, so that half of them continue unchanged.

    Where their number is odd, one meets nobody.
    """
    parents = list(range(len(scores)))
    order = generator.permutation(len(scores)).tolist()
    for one, other in zip(order[::2], order[1::2]):
        if _better(scores[one], scores[other]):
            parents[other] = one
        elif _better(scores[other], scores[one]):
            parents[one] = other
    return parents


def truncation(scores: Scores, generator: np.random.Generator) -> Parents:
    """The worst quarter, and all without a finite score, copy members sampled from the best quarter.

    (Jaderberg et al. 2017, Population based training of neural networks, Section 4.1.1.)
    """
    order = sorted(range(len(scores)), key=lambda i: scores[i] if math.isfinite(scores[i]) else math.inf)
    n = min(math.ceil(QUARTER * len(scores)), len(scores) // 2)
    best = [i for i in order[:n] if math.isfinite(scores[i])]
    parents = list(range(len(scores)))
    for member in order if best else ():
        last = member in order[-n:] or not math.isfinite(scores[member])
        met = best[int(generator.integers(len(best)))] if last else member
        parents[member] = met if _better(scores[met], scores[member]) else member
    return parents


def none(scores: Scores, generator: np.random.Generator) -> Parents:
    """All members continue unchanged: the baseline for what copying brings."""
    return list(range(len(scores)))


TOURNAMENTS: Mapping[str, Callable[[Scores, np.random.Generator], Parents]] = {
    "binary": binary,
    "pairs": pairs,
    "truncation": truncation,
    "none": none,
}


def settled(best: Sequence[float], tolerance: float) -> bool:
    """Whether the best score has hardly improved over the last four generations.

    That is, (best of the oldest - best of all) / mean |best| <= tolerance (Keshtkaran et al. 2022, Methods).

    Args:
        best: Best score of every generation so far.
        tolerance: Relative improvement; a negative one is never reached.

    Example:
        >>> settled([2.0, 1.0, 1.0, 1.0, 1.0], 5e-4), settled([1.0, 1.0, 1.0, 0.9], 5e-4)
        (True, False)
    """
    window = np.asarray(best[-WINDOW:], dtype=float)
    if len(window) < WINDOW or not np.isfinite(window).all():
        return False
    return bool(window[0] - window.min() <= tolerance * np.abs(window).mean())


def _better(score: float, other: float) -> bool:
    """Whether a score wins against another; one that is not finite loses against any that is."""
    return bool(math.isfinite(score) and (not math.isfinite(other) or score < other))
