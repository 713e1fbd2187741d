"""Trials that are equal to the last spike: the same trial twice, or windows that were cut at the same place."""

from __future__ import annotations

import hashlib

import numpy as np
from jaxtyping import Int

from spikeloom.data.spikedata import SpikeData

LEAST_SPIKES = 10
"""Trials with fewer spikes are not compared: they are easily equal by chance."""


def first_like(data: SpikeData) -> Int[np.ndarray, "trial"]:
    """The first trial that each is identical to: itself where no earlier one is.

    Example:
        >>> counts = np.arange(3)[:, None, None] % 2 + np.full((3, 4, 5), 1)
        >>> first_like(SpikeData(counts, bin_s=0.01)).tolist()
        [0, 1, 0]
    """
    spikes = data.counts.sum(axis=(1, 2), dtype=np.int64)
    first = np.arange(data.n_trials)
    # Only trials of equal length and number of spikes can be identical; the bytes of few have to be compared.
    _, same = np.unique(np.stack([data.lengths, spikes]), axis=1, return_inverse=True)
    candidates = np.flatnonzero((np.bincount(same)[same] > 1) & (spikes >= LEAST_SPIKES))
    seen: dict[tuple[int, bytes], int] = {}
    for trial in map(int, candidates):
        content = hashlib.blake2b(data.counts[trial].tobytes()).digest()
        first[trial] = seen.setdefault((int(data.lengths[trial]), content), trial)
    return first


def identical_note(data: SpikeData) -> list[str]:
    """A note on trials that are identical to an earlier one; none where there is no such trial."""
    first = first_like(data)
    again = np.flatnonzero(first != np.arange(data.n_trials))
    if not len(again):
        return []
    return [f"{len(again)} trials are identical to another one, such as trials {first[again[0]]} and {again[0]}"]


def identical_across(
    data: SpikeData, train: Int[np.ndarray, "train"], held_out: Int[np.ndarray, "held_out"]
) -> list[str]:
    """A note on held-out trials that are identical to training trials; none where there is no such trial."""
    first = first_like(data)
    copies = held_out[np.isin(first[held_out], first[train])]
    if not len(copies):
        return []
    other = train[first[train] == first[copies[0]]][0]
    return [
        f"{len(copies)} held-out trials are identical to trials that are trained on, such as trials {copies[0]} and "
        f"{other}; leave them out"
    ]
