"""Which trials a step learns from and which seed it draws with: functions of (seed, stage, step) alone.

So a training that was cut and resumed ends in the very weights it would have had.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np


def trials_of_step(seed: int, stage: int, step: int, batch_size: int, n_trials: int) -> np.ndarray:
    """Indices of the trials of a step: a slice of one endless row of shuffled passes over the data."""
    first = step * batch_size
    passes = range(first // n_trials, (first + batch_size - 1) // n_trials + 1)
    row = np.concatenate([_shuffled(seed, stage, number, n_trials) for number in passes])
    start = first - passes[0] * n_trials
    return row[start : start + batch_size]


def step_seed(seed: int, stage: int, step: int, rank: int) -> int:
    """Seed of everything that a process draws in a step."""
    return int(np.random.SeedSequence((seed, stage, step, rank)).generate_state(1, np.uint64)[0] >> np.uint64(1))


@lru_cache(maxsize=4)
def _shuffled(seed: int, stage: int, number: int, n_trials: int) -> np.ndarray:
    return np.random.default_rng([seed, stage, number]).permutation(n_trials)
