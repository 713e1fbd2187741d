"""Statistics of one set of spike trains: intervals, population counts, correlations, variability.

Every function takes integer counts of shape (trial, time, neuron) and the number of valid bins of each trial, and
pools valid bins only. Where sums over trials suffice they are returned per block of consecutive trials, so that the
caller can resample blocks without going back to the spikes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt

from spikeloom.evaluation.neuron_groups import NeuronGroups

Counts = UInt[np.ndarray, "trial time neuron"]
Lengths = Int[np.ndarray, "trial"]

CHUNK_ELEMENTS = 2**20
"""Elements converted to float at a time: small enough for the cache, large enough for the matrix products."""

MIN_TRIALS_PER_CELL = 5
"""Condition x time cells with fewer trials say too little about trial-to-trial variability."""


class Moments(NamedTuple):
    """Sums, per block, from which means, covariances and correlations follow.

    Attributes:
        n: (block,) number of pooled samples.
        total: (block, neuron) sum of the values.
        square: (block, neuron) sum of their squares.
        cross: (block, pair) sum of the products of two neurons.
    """

    n: np.ndarray
    total: np.ndarray
    square: np.ndarray
    cross: np.ndarray


# -- intervals -------------------------------------------------------------------------------------------------------


def interspike_intervals(
    counts: Counts, lengths: Lengths, bin_s: float
) -> tuple[Float[np.ndarray, "interval"], Int[np.ndarray, "interval"]]:
    """Intervals between successive spikes of a neuron within a trial.

    The j-th of c spikes of a bin is put at the fraction j / (c + 1) of the bin (LDNS, Kapoor et al. 2024, evaluation
    code), so bins with several spikes yield intervals shorter than a bin.

    Args:
        counts: Spike counts.
        lengths: Valid bins of each trial.
        bin_s: Bin width in seconds.

    Returns:
        All intervals in seconds, ordered by neuron and trial, and the neuron each belongs to.

    Example:
        >>> import numpy as np
        >>> counts = np.array([[[1], [0], [2]]], dtype=np.uint8)
        >>> interspike_intervals(counts, np.array([3]), bin_s=0.6)[0].round(3).tolist()
        [1.1, 0.2]
    """
    intervals, row = intervals_in_bins(zero_padding(counts, lengths))
    return intervals * bin_s, row // len(counts)


def intervals_in_bins(counts: Counts) -> tuple[Float[np.ndarray, "interval"], Int[np.ndarray, "interval"]]:
    """Intervals in units of bins, and the row (neuron * n_trials + trial) of each; padding must hold zeros."""
    n_bins = counts.shape[1]
    flat = neuron_major(counts).ravel()
    position = np.flatnonzero(flat)
    count = flat[position]
    if len(count) and count.max() > 1:
        count = count.astype(np.int64)
        ends = np.cumsum(count)
        position = np.repeat(position, count)
        rank = np.arange(1, len(position) + 1) - np.repeat(ends - count, count)
        gap = np.diff(position) + np.diff(rank / (np.repeat(count, count) + 1))
    else:
        gap = np.diff(position).astype(np.float64)
    row = position // n_bins
    same = row[1:] == row[:-1]
    return gap[same], row[1:][same]


def neuron_major(counts: Counts) -> UInt[np.ndarray, "neuron trial time"]:
    """Copy of the counts with the bins of a spike train next to each other."""
    n_trials, n_bins, n_neurons = counts.shape
    out = np.empty((n_neurons, n_trials, n_bins), dtype=counts.dtype)
    step = max(1, CHUNK_ELEMENTS // (2 * n_bins * n_neurons))
    for start in range(0, n_trials, step):  # a whole-array transpose misses the cache at every element
        out[:, start : start + step] = counts[start : start + step].transpose(2, 0, 1)
    return out


def trial_major(trains: UInt[np.ndarray, "neuron trial time"]) -> Counts:
    """Inverse of ``neuron_major``."""
    n_neurons, n_trials, n_bins = trains.shape
    out = np.empty((n_trials, n_bins, n_neurons), dtype=trains.dtype)
    step = max(1, CHUNK_ELEMENTS // (2 * n_bins * n_neurons))
    for start in range(0, n_trials, step):
        out[start : start + step] = trains[:, start : start + step].transpose(1, 2, 0)
    return out


def interval_moments(
    intervals: Float[np.ndarray, "interval"], neuron: Int[np.ndarray, "interval"], n_neurons: int
) -> tuple[Int[np.ndarray, "neuron"], Float[np.ndarray, "neuron"], Float[np.ndarray, "neuron"]]:
    """Number, mean and standard deviation (ddof 0) of each neuron's intervals; NaN where there is none."""
    number = np.bincount(neuron, minlength=n_neurons)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.bincount(neuron, intervals, n_neurons) / number
        variance = np.bincount(neuron, (intervals - mean[neuron]) ** 2, n_neurons) / number
    return number, mean, np.sqrt(variance)


# -- population counts and rates -------------------------------------------------------------------------------------


def mean_rates_hz(counts: Counts, lengths: Lengths, bin_s: float) -> Float[np.ndarray, "neuron"]:
    """Mean rate of each neuron over valid bins, in Hz."""
    return zero_padding(counts, lengths).sum(axis=(0, 1), dtype=np.int64) / (lengths.sum() * bin_s)


def population_counts(counts: Counts, lengths: Lengths) -> Int[np.ndarray, "bin"]:
    """Spikes of all neurons together in every valid bin, trial after trial."""
    return population_count_matrix(counts)[valid_mask(lengths, counts.shape[1])]


def population_count_matrix(counts: Counts) -> Int[np.ndarray, "trial time"]:
    """Spikes of all neurons together in every bin, (trial, time)."""
    ones = np.ones(counts.shape[2], dtype=np.float32)
    parts = [chunk @ ones for _, chunk in float_chunks(counts)]
    return np.concatenate(parts).astype(np.int64)


def trial_sums(counts: Counts) -> Float[np.ndarray, "trial neuron"]:
    """Spikes of every neuron in each trial; padding must hold zeros."""
    n_bins = counts.shape[1]
    dtype = np.float32 if int(counts.max(initial=0)) * n_bins < 2**24 else np.float64
    parts = [np.ones(n_bins, dtype) @ chunk for _, chunk in float_chunks(counts, dtype=dtype)]
    return np.concatenate([np.zeros((0, counts.shape[2])), *parts])


# -- second moments --------------------------------------------------------------------------------------------------


def second_moments(
    values: np.ndarray,
    lengths: Lengths,
    starts: Int[np.ndarray, "block"],
    groups: NeuronGroups,
    transform: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Moments:
    """Sums, sums of squares and summed products of pairs over valid bins, per block of consecutive trials.

    Products are taken in single precision over pieces so small that counts stay exact (below 2^24), in double
    precision where counts are too large for that, and added up in double precision.

    Args:
        values: (trial, time, neuron) counts, or real numbers; padding must hold zeros.
        lengths: Valid bins of each trial.
        starts: First trial of each block.
        groups: The pairs.
        transform: Applied to each (trial, time, neuron) piece before the products, for example a smoother.
    """
    n_trials, n_bins, n_neurons = values.shape
    edges = np.append(starts, n_trials)
    total, square = np.zeros((2, len(starts), n_neurons))
    cross = np.zeros((len(starts), len(groups.pairs)))
    largest = float(values.max(initial=0)) if values.dtype.kind == "u" else 1.0
    exact_bins = int(2**24 / max(largest, 1.0) ** 2)
    dtype = np.float32 if exact_bins >= n_bins else np.float64
    ones = np.ones(n_bins, dtype)
    padded = bool((lengths < n_bins).any())
    for block, (first, last) in enumerate(pairwise(edges)):
        for start, chunk in float_chunks(values[first:last], exact_bins, dtype):
            if transform is not None:
                chunk = transform(chunk)
                if padded:
                    chunk *= valid_mask(lengths[first + start : first + start + len(chunk)], n_bins)[..., None]
            total[block] += (ones @ chunk).sum(axis=0, dtype=np.float64)
            squares, products = groups.products(chunk.reshape(-1, n_neurons))
            square[block] += squares
            cross[block] += products
    return Moments(np.add.reduceat(lengths, starts).astype(np.float64), total, square, cross)


def covariance(n: float, total: Float[np.ndarray, "neuron"], cross: np.ndarray) -> Float[np.ndarray, "neuron neuron"]:
    """Covariance (ddof 1) from the sums of one set."""
    return (cross - np.outer(total, total / max(n, 1))) / max(n - 1, 1)


def correlation(covariances: Float[np.ndarray, "neuron neuron"]) -> Float[np.ndarray, "neuron neuron"]:
    """Correlations from covariances; NaN for a neuron that never varies."""
    variance = np.diag(covariances)
    scale = np.where(varies(variance), variance, np.nan) ** -0.5
    return covariances * scale * scale[:, None]


def correlation_matrix(counts: Counts, lengths: Lengths) -> Float[np.ndarray, "neuron neuron"]:
    """Pearson correlations of the neurons' counts over all valid bins; NaN for silent neurons."""
    groups = NeuronGroups.of_all(counts.shape[2])
    n, total, square, cross = second_moments(zero_padding(counts, lengths), lengths, np.zeros(1, np.int64), groups)
    return correlation(covariance(n[0], total[0], groups.matrix(square[0], cross[0])))


def pair_covariances(
    n: float, total: np.ndarray, square: np.ndarray, cross: np.ndarray, pairs: Int[np.ndarray, "pair 2"]
) -> tuple[Float[np.ndarray, "neuron"], Float[np.ndarray, "pair"]]:
    """Variances of neurons and covariances of pairs (ddof 1) from the sums of one set."""
    mean, freedom = total / max(n, 1), max(n - 1, 1)
    i, j = pairs.T
    return (square - total * mean) / freedom, (cross - total[i] * mean[j]) / freedom


def pair_correlations(
    variances: Float[np.ndarray, "neuron"], covariances: Float[np.ndarray, "pair"], pairs: Int[np.ndarray, "pair 2"]
) -> Float[np.ndarray, "pair"]:
    """Correlations of pairs; NaN where a neuron never varies."""
    scale = np.where(varies(variances), variances, np.nan) ** -0.5
    i, j = pairs.T
    return covariances * (scale[i] * scale[j])


def varies(variances: Float[np.ndarray, "neuron"]) -> np.ndarray:
    """Neurons whose variance is more than rounding."""
    return variances > 1e-12 * max(variances.max(initial=0), 1e-300)


# -- trial-to-trial variability --------------------------------------------------------------------------------------


def window_counts(counts: Counts, lengths: Lengths, bins: int) -> tuple[np.ndarray, np.ndarray]:
    """Counts in consecutive windows of a number of bins from trial start, and how many are complete in each trial."""
    n_bins = counts.shape[1]
    n_windows = n_bins // bins
    if bins == 1:
        return counts, lengths
    largest = bins * int(counts.max(initial=0))
    narrow = counts[:, : n_windows * bins].astype(np.min_scalar_type(largest), copy=False)
    windows = narrow[:, ::bins].copy()
    for offset in range(1, bins):
        windows += narrow[:, offset::bins]
    return windows, lengths // bins


def psth_sums(
    counts: Counts, lengths: Lengths, condition: Int[np.ndarray, "trial"], n_conditions: int
) -> tuple[Float[np.ndarray, "condition time neuron"], Float[np.ndarray, "condition time"]]:
    """Summed counts, and number of valid trials, of every condition and bin."""
    weights = np.ones((1, len(counts)))
    summed, number = weighted_psth_sums(counts, lengths, condition, n_conditions, weights)
    return summed[0], number[0]


def weighted_psth_sums(
    counts: Counts,
    lengths: Lengths,
    condition: Int[np.ndarray, "trial"],
    n_conditions: int,
    weights: Float[np.ndarray, "replicate trial"],
) -> tuple[Float[np.ndarray, "replicate condition time neuron"], Float[np.ndarray, "replicate condition time"]]:
    """Summed counts and number of trials for several weightings of the trials, in one pass over them."""
    n_bins, n_neurons = counts.shape[1:]
    valid = valid_mask(lengths, n_bins)
    summed = np.zeros((len(weights), n_conditions, n_bins, n_neurons))
    number = np.zeros((len(weights), n_conditions, n_bins))
    for code in range(n_conditions):
        trials = np.flatnonzero(condition == code)
        number[:, code] = weights[:, trials] @ valid[trials]
        for start, chunk in float_chunks(counts[trials]):
            part = weights[:, trials[start : start + len(chunk)]].astype(np.float32)
            summed[:, code] += (part @ chunk.reshape(len(chunk), -1)).reshape(len(weights), n_bins, n_neurons)
    return summed, number


# -- helpers ---------------------------------------------------------------------------------------------------------


def valid_mask(lengths: Lengths, n_bins: int) -> np.ndarray:
    """(trial, time) true where the bin was recorded."""
    return np.arange(n_bins) < lengths[:, None]


def zero_padding(counts: Counts, lengths: Lengths) -> Counts:
    """The counts with zeros after the valid bins; the array itself where nothing is padded."""
    if int(lengths.min(initial=counts.shape[1])) >= counts.shape[1]:
        return counts
    return np.where(valid_mask(lengths, counts.shape[1])[..., None], counts, counts.dtype.type(0))


def float_chunks(
    values: np.ndarray, most_bins: int | None = None, dtype: type = np.float32
) -> Iterator[tuple[int, np.ndarray]]:
    """Pieces of whole trials as real numbers, with the index of their first trial."""
    n_trials, n_bins, n_neurons = values.shape
    step = max(1, CHUNK_ELEMENTS // max(n_bins * n_neurons, 1))
    if most_bins is not None:
        step = max(1, min(step, most_bins // max(n_bins, 1)))
    for start in range(0, n_trials, step):
        yield start, values[start : start + step].astype(dtype)
