"""How often a neuron fires 0, 1, 2, 3 or very many spikes in a bin: the distribution of its counts."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from spikeloom.evaluation import spike_statistics as ss
from spikeloom.evaluation.small_integers import integer_pieces, over_bins
from spikeloom.evaluation.trial_set import TrialSet

TAIL = 0.999
"""Quantile of a neuron's counts above which lies its tail."""

MIN_TAIL_TRIALS = 10
"""Training trials that must reach into the tail: of fewer, its scatter cannot be told, and it begins lower."""

SHARES = ("no spike", "one spike", "two spikes", "three spikes", "very many spikes")


class CountShares(NamedTuple):
    """Constants of the shares, from training trials, for both sides.

    Attributes:
        tail: (neuron,) largest count that is not in the tail.
        scatter: (share, neuron) standard deviation of a share from trial to trial, within conditions.
        occurs: (share, neuron) whether it occurs in training trials.
    """

    tail: np.ndarray
    scatter: np.ndarray
    occurs: np.ndarray


def fit_count_shares(train: TrialSet) -> CountShares:
    """Fix the tails and the trial-to-trial scatter of the shares.

    A share never seen has no scatter; so that it gets an error nonetheless, one occurrence more than seen is assumed.
    """
    counts, lengths, condition = train
    n_trials = len(counts)
    levels = int(counts.max(initial=0)) + 1
    tail = _tails(counts, lengths, levels)
    each = count_share_sums(train, np.arange(n_trials), tail).astype(np.float64)
    total = each.sum(axis=0)
    deviation = each - (total / lengths.sum()) * lengths[:, None, None]
    _, cell, size = np.unique(condition, return_inverse=True, return_counts=True)
    mean = np.zeros((len(size), *each.shape[1:]))
    np.add.at(mean, cell, deviation)
    deviation -= (mean / size[:, None, None])[cell]
    freedom = max(n_trials - len(size), 1)
    variance = ((deviation**2).sum(axis=0) + 1) / freedom / lengths.mean() ** 2
    return CountShares(tail, np.sqrt(variance), total > 0)


def _tails(counts: ss.Counts, lengths: ss.Lengths, levels: int) -> Int[np.ndarray, "neuron"]:
    n_neurons = counts.shape[2]
    valid = ss.valid_mask(lengths, counts.shape[1])
    histogram = np.zeros(n_neurons * levels, np.int64)
    step = max(1, ss.CHUNK_ELEMENTS // max(counts.shape[1] * n_neurons, 1))
    for start in range(0, len(counts), step):
        rows = counts[start : start + step][valid[start : start + step]]
        histogram += np.bincount((rows + levels * np.arange(n_neurons)).ravel(), minlength=len(histogram))
    below = np.cumsum(histogram.reshape(n_neurons, levels), axis=1)
    quantile = np.argmax(below >= TAIL * below[:, -1:], axis=1)
    largest = np.sort(counts.max(axis=1), axis=0)[-min(MIN_TAIL_TRIALS, len(counts))]
    return np.minimum(quantile, np.maximum(largest.astype(np.int64) - 1, 0))


def count_share_sums(
    trials: TrialSet, starts: Int[np.ndarray, "block"], tail: Int[np.ndarray, "neuron"]
) -> Int[np.ndarray, "block share neuron"]:
    """Number of valid bins with 0, 1, 2, 3 and with more than ``tail`` spikes, per block of consecutive trials."""
    summed = np.zeros((len(starts), len(SHARES), trials.counts.shape[2]), np.int64)
    for block, piece in integer_pieces(trials.counts, starts, 1):
        above = tail.astype(piece.dtype)
        for row, true in enumerate((piece > 0, piece == 1, piece == 2, piece == 3, piece > above)):
            summed[block, row] += over_bins(true.view(np.uint8).sum(axis=0, dtype=piece.dtype)).astype(np.int64)
    # Bins without a spike by subtraction, so that padding is not among them.
    summed[:, 0] = np.add.reduceat(trials.lengths, starts)[:, None] - summed[:, 0]
    return summed


def share_deviations(
    constants: CountShares,
    generated: tuple[Float[np.ndarray, "share neuron"], int],
    real: tuple[Float[np.ndarray, "share neuron"], int],
) -> Float[np.ndarray, "share neuron"]:
    """Difference of the shares of two sets over its standard error; NaN where neither has such a bin.

    The error is that of a difference between two sets of real trials, so that real against real has an rms of one.

    Args:
        constants: Constants fixed from training trials.
        generated: Shares of the generated set, and its number of trials.
        real: The same of the real trials.
    """
    error = constants.scatter * np.sqrt(1 / generated[1] + 1 / real[1])
    occurs = constants.occurs | (generated[0] > 0) | (real[0] > 0)
    return np.where(occurs, (generated[0] - real[0]) / error, np.nan)
