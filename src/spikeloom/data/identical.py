"""Trials or neurons that are equal to the last spike: the same one twice, or windows cut at the same place."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int

from spikeloom.data.spikedata import SpikeData

LEAST_SPIKES = 10
"""Trials with fewer spikes are not compared: they are easily equal by chance."""

SPIKES_OF_A_NEURON = 20
"""Neurons with fewer spikes are not compared, for the same reason."""


def spikes_of_neurons(data: SpikeData) -> Int[np.ndarray, "trial neuron"]:
    """How many spikes each neuron has in each trial."""
    # One trial after the other: a sum over the middle axis of all would be twice as slow.
    return np.stack([trial.sum(axis=0, dtype=np.uint32) for trial in data.counts]).astype(np.int64)


def first_like(data: SpikeData, spikes: Int[np.ndarray, "trial neuron"] | None = None) -> Int[np.ndarray, "trial"]:
    """The first trial that each is identical to: itself where no earlier one is.

    Args:
        data: The recording.
        spikes: See ``spikes_of_neurons``; counted if not given.

    Example:
        >>> counts = np.arange(3)[:, None, None] % 2 + np.full((3, 4, 5), 1)
        >>> first_like(SpikeData(counts, bin_s=0.01)).tolist()
        [0, 1, 0]
    """
    spikes = spikes_of_neurons(data) if spikes is None else spikes
    first = np.arange(data.n_trials)
    # Only trials of equal length, with as many spikes of each neuron, can be identical; few have to be compared.
    seen: dict[tuple[int, bytes], list[int]] = {}
    for trial in map(int, np.flatnonzero(spikes.sum(axis=1) >= LEAST_SPIKES)):
        others = seen.setdefault((int(data.lengths[trial]), spikes[trial].tobytes()), [])
        same = (other for other in others if np.array_equal(data.counts[other], data.counts[trial]))
        first[trial] = next(same, trial)
        if first[trial] == trial:
            others.append(trial)
    return first


def identical_note(data: SpikeData, spikes: Int[np.ndarray, "trial neuron"] | None = None) -> list[str]:
    """A note on trials that are identical to an earlier one; none where there is no such trial. See ``first_like``."""
    first = first_like(data, spikes)
    again = np.flatnonzero(first != np.arange(data.n_trials))
    if not len(again):
        return []
    return [f"{len(again)} trials are identical to another one, such as trials {first[again[0]]} and {again[0]}"]


def identical_neurons_note(data: SpikeData, spikes: Int[np.ndarray, "trial neuron"] | None = None) -> list[str]:
    """A note on neurons that are identical to an earlier one; none where there is no such neuron.

    Args:
        data: The recording.
        spikes: See ``spikes_of_neurons``; counted if not given.

    Example:
        >>> counts = np.random.default_rng(0).poisson(0.3, (9, 20, 3))
        >>> counts[:, :, 2] = counts[:, :, 0]
        >>> identical_neurons_note(SpikeData(counts, bin_s=0.01))
        ['1 of 3 neurons is identical to another one, such as neurons 0 and 2; keep one of each']
    """
    spikes = spikes_of_neurons(data) if spikes is None else spikes
    first = np.arange(data.n_neurons)
    # Only neurons with as many spikes in each trial can be identical; few have to be compared bin by bin.
    seen: dict[bytes, list[int]] = {}
    for neuron in map(int, np.flatnonzero(spikes.sum(axis=0) >= SPIKES_OF_A_NEURON)):
        own = data.counts[:, :, neuron]
        others = seen.setdefault(spikes[:, neuron].tobytes(), [])
        same = next((other for other in others if np.array_equal(data.counts[:, :, other], own)), neuron)
        if same == neuron:
            others.append(neuron)
        # Where most bins have a spike, as a few wide ones may, neurons are easily equal by chance.
        elif np.count_nonzero(own) <= data.lengths.sum() / 2:
            first[neuron] = same
    again = np.flatnonzero(first != np.arange(data.n_neurons))
    if not len(again):
        return []
    verb = "is" if len(again) == 1 else "are"
    return [
        f"{len(again)} of {data.n_neurons} neurons {verb} identical to another one, such as neurons {first[again[0]]} "
        f"and {again[0]}; keep one of each"
    ]


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
