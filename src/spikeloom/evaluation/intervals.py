"""Distribution of interspike intervals of a set of trials, additive over blocks of trials."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt
from scipy.sparse import csc_matrix

from spikeloom.evaluation.spike_statistics import CHUNK_ELEMENTS, Counts, neuron_major

INTERVAL_RESOLUTION = 720_720
"""Steps per bin in which intervals are counted: divisible by 1 to 16, so exact for up to 15 spikes a bin."""

NEURON_SHIFT = 42
"""An interval is stored under an integer key: the neuron above this bit, its steps below."""


class Intervals(NamedTuple):
    """How often each interval of each neuron occurs in each block of trials.

    Attributes:
        keys: (key,) sorted neurons and intervals; see ``NEURON_SHIFT``.
        number: (block, key) occurrences, sparse.
    """

    keys: np.ndarray
    number: csc_matrix

    @property
    def neuron(self) -> Int[np.ndarray, "key"]:
        """Neuron of each key."""
        return self.keys >> NEURON_SHIFT

    @property
    def bins(self) -> Float[np.ndarray, "key"]:
        """Interval of each key, in bins."""
        return (self.keys & ((1 << NEURON_SHIFT) - 1)) / INTERVAL_RESOLUTION


def count_intervals(counts: Counts, starts: Int[np.ndarray, "block"]) -> Intervals:
    """Count the intervals between successive spikes of a neuron within a trial; padding must hold zeros.

    Spikes are placed in their bins as in ``interspike_intervals``. An interval runs from the last spike of one bin to
    the first of the next that has any, or between spikes of one bin, which are evenly spaced: so spikes need not be
    written out one by one, and an interval is known by a few small integers.

    Args:
        counts: Spike counts.
        starts: First trial of each block.
    """
    n_trials, n_bins, n_neurons = counts.shape
    n_blocks = len(starts)
    block = np.repeat(np.arange(n_blocks), np.diff(np.append(starts, n_trials)))
    trains = neuron_major(counts)
    step = max(1, CHUNK_ELEMENTS // max(n_trials * n_bins, 1))
    pieces = [_count(trains[n : n + step], n, block, n_blocks) for n in range(0, n_neurons, step)]
    keys, blocks, number = (np.concatenate(parts) for parts in zip(*pieces))
    unique, column = np.unique(keys, return_inverse=True)
    return Intervals(unique, csc_matrix((number, (blocks, column)), (n_blocks, len(unique))))


def _count(
    trains: UInt[np.ndarray, "neuron trial time"], first_neuron: int, block: np.ndarray, n_blocks: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Key, block and number of the intervals of a few neurons."""
    n_neurons, _, n_bins = trains.shape
    flat = trains.ravel()
    position = np.flatnonzero(flat != 0)
    count = flat[position]
    levels = int(count.max(initial=0)) + 1
    # Integers of 32 bits where they suffice: half the memory, and sorted twice as fast.
    most = n_neurons * n_blocks * n_bins * levels**2
    dtype = np.uint32 if max(most, flat.size) < 2**32 else np.int64
    position = position.astype(dtype)
    row = position // dtype(n_bins)
    place = (np.arange(n_neurons)[:, None] * n_blocks + block).ravel().astype(dtype)[row]

    wide = count.astype(dtype)
    code = place[1:] * dtype(n_bins) + position[1:] - position[:-1]
    code = ((code * dtype(levels) + wide[:-1]) * dtype(levels) + wide[1:])[row[1:] == row[:-1]]
    code.sort()
    first = np.flatnonzero(np.concatenate([[len(code) > 0], code[1:] != code[:-1]]))
    number = np.diff(np.append(first, len(code)))
    code, after = np.divmod(code[first].astype(np.int64), levels)
    code, before = np.divmod(code, levels)
    between, steps = np.divmod(code, n_bins)

    several = np.flatnonzero(count > 1)
    inside = np.bincount(place[several].astype(np.int64) * levels + count[several], count[several] - 1.0)
    occupied = np.flatnonzero(inside)

    # From the edge of a bin with c spikes to its first spike, between its spikes, and from the last to the other edge.
    spacing = np.rint(INTERVAL_RESOLUTION / (np.arange(levels) + 1)).astype(np.int64)
    interval = (steps - 1) * INTERVAL_RESOLUTION + spacing[before] + spacing[after]
    neuron, blocks = np.divmod(np.concatenate([between, occupied // levels]), n_blocks)
    keys = ((first_neuron + neuron) << NEURON_SHIFT) + np.concatenate([interval, spacing[occupied % levels]])
    return keys, blocks, np.concatenate([number, inside[occupied]])


def interval_sums(intervals: Intervals, n_blocks: int, n_neurons: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Number of intervals, and sums of the intervals in bins and of their squares, each (block, neuron)."""
    number, indptr = intervals.number.data, intervals.number.indptr
    cell = intervals.number.indices.astype(np.int64) * n_neurons + np.repeat(intervals.neuron, np.diff(indptr))
    bins = np.repeat(intervals.bins, np.diff(indptr))
    size = n_blocks * n_neurons
    sums = [np.bincount(cell, terms, size) for terms in (number, number * bins, number * bins**2)]
    number, total, square = (each.reshape(n_blocks, n_neurons) for each in sums)
    return number, total, square


class MergedKeys(NamedTuple):
    """The keys of two distributions of intervals in one order; the same for all bootstrap samples of the two.

    Attributes:
        order: Place of each merged key in the two lists, one after the other.
        neuron: Neuron of each.
        edges: (neuron + 1,) first merged key of each neuron, and the end.
        step: Interval to the next merged key of the neuron, in bins; 0 after its last.
    """

    order: np.ndarray
    neuron: np.ndarray
    edges: np.ndarray
    step: np.ndarray

    @classmethod
    def of(cls, first: Intervals, second: Intervals, n_neurons: int) -> MergedKeys:
        """Merge the keys of two sets."""
        together = np.concatenate([first.keys, second.keys])
        order = np.argsort(together, kind="stable")  # two sorted runs: merging them is what this sort is fastest at
        together = together[order]
        neuron = together >> NEURON_SHIFT
        step = np.where(neuron[1:] == neuron[:-1], np.diff(together), 0) / INTERVAL_RESOLUTION
        return cls(order, neuron, np.searchsorted(neuron, np.arange(n_neurons + 1)), step)


def interval_wasserstein(merged: MergedKeys, numbers: tuple[np.ndarray, np.ndarray]) -> Float[np.ndarray, "neuron"]:
    """Wasserstein-1 distance, in bins, of two interval distributions for every neuron; NaN where one is empty.

    Args:
        merged: The keys of the two distributions.
        numbers: How often each key of either occurs.
    """
    order, neuron, edges, step = merged
    difference = np.zeros(len(order))
    empty = np.zeros(len(edges) - 1, dtype=bool)
    for number, sign, offset in ((numbers[0], 1.0, 0), (numbers[1], -1.0, len(numbers[0]))):
        mass = np.zeros(len(order))
        mass[offset : offset + len(number)] = number
        cumulative = np.concatenate([[0.0], np.cumsum(mass[order])])
        total = cumulative[edges[1:]] - cumulative[edges[:-1]]
        empty |= total <= 0
        difference += sign * (cumulative[1:] - cumulative[edges[neuron]]) / np.where(total > 0, total, 1)[neuron]
    return np.where(empty, np.nan, np.bincount(neuron[:-1], np.abs(difference[:-1]) * step, len(empty)))
