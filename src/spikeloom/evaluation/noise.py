"""Trial-to-trial variability: counts in windows of 100 ms around the mean of their condition, the field's "noise".

A cell is a window of a condition. Sums of deviations follow from sums over the trials of a cell, and from products of
neurons over all windows: the deviations themselves, as many numbers as counts, are never written out.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from spikeloom.evaluation import spike_statistics as ss
from spikeloom.evaluation.neuron_groups import NeuronGroups
from spikeloom.evaluation.small_integers import integer_pieces

WINDOW_S = 0.1


class NoiseSums(NamedTuple):
    """Sums over trials and windows, per block of consecutive trials.

    Attributes:
        square: (block, neuron) squared deviations from the mean of the cell.
        cross: (block, pair) products of the deviations of two neurons.
        fano_variance: (block, neuron) numerator of the Fano factor: variances (ddof 1) weighted by the cell's size.
        fano_mean: (block, neuron) its denominator: means, weighted likewise.
    """

    square: np.ndarray
    cross: np.ndarray
    fano_variance: np.ndarray
    fano_mean: np.ndarray


class CellSums(NamedTuple):
    """Sums over the trials of one condition in a block.

    Attributes:
        block: The block.
        code: The condition.
        number: (window, 1) number of trials.
        total: (window, neuron) sum of the counts.
        square: (window, neuron) sum of their squares.
    """

    block: int
    code: int
    number: np.ndarray
    total: np.ndarray
    square: np.ndarray


class Cells:
    """Trials in windows of 100 ms, each of which belongs to a cell; cells of fewer than five trials are left out.

    Attributes:
        windows: (trial, window, neuron) counts, zero where not used.
        code: (trial,) condition, from 0.
        size: (condition, window) number of trials of each cell.
        mean: (condition, window, neuron) mean count of each cell.
        used: (trial, window) whether the window is complete and its cell large enough.
        are_bins: Whether the windows are the bins themselves, all of them used: then products of counts are known.

    Args:
        counts: Spike counts; padding must hold zeros.
        lengths: Valid bins of each trial.
        condition: Condition code of each trial.
        bin_s: Bin width in seconds.
    """

    def __init__(self, counts: ss.Counts, lengths: ss.Lengths, condition: Int[np.ndarray, "trial"], bin_s: float):
        windows, complete = ss.window_counts(counts, lengths, max(1, round(WINDOW_S / bin_s)))
        windows = ss.zero_padding(windows, complete)  # the last window of a trial may be incomplete
        codes, self.code = np.unique(condition, return_inverse=True)
        total, self.size = ss.psth_sums(windows, complete, self.code, len(codes))
        self.mean = total / np.maximum(self.size, 1)[..., None]
        self.used = ss.valid_mask(complete, windows.shape[1]) & (self.size >= ss.MIN_TRIALS_PER_CELL)[self.code]
        whole = bool(self.used.all())
        self.are_bins = whole and windows is counts
        self.windows = windows if whole else np.where(self.used[..., None], windows, windows.dtype.type(0))

    def products(self, starts: Int[np.ndarray, "block"], groups: NeuronGroups) -> ss.Moments:
        """Second moments of the counts in all windows that are used."""
        n_windows = np.full(len(self.code), self.windows.shape[1])
        return ss.second_moments(self.windows, n_windows, starts, groups)

    def noise(self, products: ss.Moments, starts: Int[np.ndarray, "block"], groups: NeuronGroups) -> NoiseSums:
        """Sums of deviations from the mean of the cell.

        Args:
            products: Second moments of the counts in windows, per block.
            starts: First trial of each block.
            groups: The pairs.
        """
        square, cross = products.square.copy(), products.cross.copy()
        fano_variance, fano_mean = np.zeros_like(square), np.zeros_like(square)
        weight = np.divide(self.size, self.size - 1, out=np.zeros_like(self.size), where=self.size > 1)[..., None]
        for block, code, number, total, squared in self._sums(starts):
            mean = self.mean[code]
            # Products around the cell's mean are those around the trials' own, and those of the offset of the two.
            root = np.sqrt(number)
            own = np.divide(total, root, out=np.zeros_like(total), where=root > 0)
            for sign, rows in ((-1, own), (1, own - root * mean)):
                squares, pairs = groups.products(rows)
                square[block] += sign * squares
                cross[block] += sign * pairs
            fano_variance[block] += (weight[code] * (squared - mean * (2 * total - number * mean))).sum(axis=0)
            fano_mean[block] += (number * mean).sum(axis=0)
        return NoiseSums(square, cross, fano_variance, fano_mean)

    def _sums(self, starts: Int[np.ndarray, "block"]) -> Iterator[CellSums]:
        largest = int(self.windows.max(initial=0)) ** 2
        for block, (first, last) in enumerate(pairwise(np.append(starts, len(self.code)))):
            codes = np.unique(self.code[first:last])
            for code in codes:
                own = slice(first, last) if len(codes) == 1 else first + np.flatnonzero(self.code[first:last] == code)
                total, square = (np.zeros(self.windows.shape[1:]) for _ in range(2))
                for _, piece in integer_pieces(self.windows[own], np.zeros(1, np.int64), largest):
                    total += piece.sum(axis=0, dtype=piece.dtype)
                    square += np.einsum("bwn,bwn->wn", piece, piece)
                yield CellSums(block, int(code), self.used[own].sum(axis=0)[:, None], total, square)


def fano_factors(
    counts: ss.Counts, lengths: ss.Lengths, bin_s: float, condition: Int[np.ndarray, "trial"] | None = None
) -> Float[np.ndarray, "neuron"]:
    """Fano factor of each neuron: variance over mean of 100 ms counts across trials of a condition.

    Cells condition x window are pooled, weighted by their number of trials; NaN for silent neurons.
    """
    sums = _of_all(counts, lengths, bin_s, condition)
    with np.errstate(invalid="ignore", divide="ignore"):
        return sums.fano_variance[0] / sums.fano_mean[0]


def noise_correlation_matrix(
    counts: ss.Counts, lengths: ss.Lengths, bin_s: float, condition: Int[np.ndarray, "trial"] | None = None
) -> Float[np.ndarray, "neuron neuron"]:
    """Correlations of 100 ms counts around the mean of their condition and window, pooled over cells."""
    sums = _of_all(counts, lengths, bin_s, condition)
    return ss.correlation(NeuronGroups.of_all(counts.shape[2]).matrix(sums.square[0], sums.cross[0]))


def _of_all(counts: ss.Counts, lengths: ss.Lengths, bin_s: float, condition: np.ndarray | None) -> NoiseSums:
    condition = np.zeros(len(counts), np.int64) if condition is None else condition
    cells = Cells(ss.zero_padding(counts, lengths), lengths, condition, bin_s)
    starts, groups = np.zeros(1, np.int64), NeuronGroups.of_all(counts.shape[2])
    return cells.noise(cells.products(starts, groups), starts, groups)
