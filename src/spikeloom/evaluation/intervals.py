"""Distribution of interspike intervals of a set of trials, additive over blocks of trials."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csc_matrix

from spikeloom.evaluation.spike_statistics import Counts, neuron_major

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
    written out one by one.

    Args:
        counts: Spike counts.
        starts: First trial of each block.
    """
    n_trials, n_bins, n_neurons = counts.shape
    flat = neuron_major(counts).ravel()
    position = np.flatnonzero(flat)
    count = flat[position]
    # From the edge of a bin with c spikes to its first spike, between its spikes, and from the last to the other edge.
    spacing = np.rint(INTERVAL_RESOLUTION / (np.arange(int(count.max(initial=0)) + 1) + 1)).astype(np.int64)[count]

    # One sortable integer: neuron, interval, block.
    block_bits = len(starts).bit_length()
    neuron, block = np.arange(n_neurons) << (NEURON_SHIFT + block_bits), np.zeros(n_trials, np.int64)
    block[starts[1:]] = 1
    of_row = (neuron[:, None] + np.cumsum(block)).ravel()
    row = position // n_bins
    of_row = of_row[row]
    same = np.flatnonzero(row[1:] == row[:-1])
    steps = (np.diff(position) - 1) * INTERVAL_RESOLUTION + spacing[1:] + spacing[:-1]
    entries = (of_row[1:] + (steps << block_bits))[same]
    several = np.flatnonzero(count > 1)
    if len(several):
        inside = of_row[several] + (spacing[several] << block_bits)
        entries = np.concatenate([entries, np.repeat(inside, count[several].astype(np.int64) - 1)])
    entries.sort()

    begins = np.flatnonzero(np.diff(entries, prepend=-1))
    number = np.diff(np.append(begins, len(entries))).astype(np.float64)
    entries = entries[begins]
    keys = entries >> block_bits
    columns = np.flatnonzero(np.diff(keys, prepend=-1))
    sparse = csc_matrix(
        (number, entries & ((1 << block_bits) - 1), np.append(columns, len(keys))), (len(starts), len(columns))
    )
    return Intervals(keys[columns], sparse)


def interval_sums(intervals: Intervals, n_blocks: int, n_neurons: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Number of intervals, and sums of the intervals in bins and of their squares, each (block, neuron)."""
    number, indptr = intervals.number.data, intervals.number.indptr
    cell = intervals.number.indices.astype(np.int64) * n_neurons + np.repeat(intervals.neuron, np.diff(indptr))
    bins = np.repeat(intervals.bins, np.diff(indptr))
    size = n_blocks * n_neurons
    sums = [np.bincount(cell, terms, size) for terms in (number, number * bins, number * bins**2)]
    number, total, square = (each.reshape(n_blocks, n_neurons) for each in sums)
    return number, total, square


def interval_wasserstein(
    keys: tuple[np.ndarray, np.ndarray], numbers: tuple[np.ndarray, np.ndarray], n_neurons: int
) -> Float[np.ndarray, "neuron"]:
    """Wasserstein-1 distance, in bins, of two interval distributions for every neuron; NaN where one is empty.

    Args:
        keys: The keys of the two distributions.
        numbers: How often each key occurs.
        n_neurons: Number of neurons.
    """
    together = np.concatenate(keys)
    order = np.argsort(together, kind="stable")  # two sorted runs: merging them is what this sort is fastest at
    together = together[order]
    neuron = together >> NEURON_SHIFT
    edges = np.searchsorted(neuron, np.arange(n_neurons + 1))
    difference = np.zeros(len(together))
    empty = np.zeros(n_neurons, dtype=bool)
    for number, sign, offset in ((numbers[0], 1.0, 0), (numbers[1], -1.0, len(keys[0]))):
        mass = np.zeros(len(together))
        mass[offset : offset + len(number)] = number
        cumulative = np.concatenate([[0.0], np.cumsum(mass[order])])
        total = cumulative[edges[1:]] - cumulative[edges[:-1]]
        empty |= total <= 0
        difference += sign * (cumulative[1:] - cumulative[edges[neuron]]) / np.where(total > 0, total, 1)[neuron]
    same = neuron[1:] == neuron[:-1]
    area = np.abs(difference[:-1]) * np.where(same, np.diff(together), 0) / INTERVAL_RESOLUTION
    return np.where(empty, np.nan, np.bincount(neuron[:-1], area, n_neurons))
