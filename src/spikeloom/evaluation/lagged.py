"""Covariances between neurons at a lag: who leads, who follows, and for how long they vary together."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from spikeloom.evaluation.centred import Centred
from spikeloom.evaluation.neuron_groups import NeuronGroups

N_LAGS = 10
"""Lags, in bins, at which pairs of neurons are compared."""


def lagged_pair_sums(centred: Centred, starts: Int[np.ndarray, "block"], groups: NeuronGroups) -> dict[str, np.ndarray]:
    """Sums for cross-correlations at lags of 1 to 10 bins within trials, per block of consecutive trials.

    Returns:
        ``lagged_products`` (block, lag, ordered) summed products of the centred counts of every ordered pair, in
        single precision, for they are many; ``lagged_squares`` (block, neuron) summed squares; ``lagged_bins``
        (block, lag 0..) number of pairs of bins.
    """
    n_bins, n_neurons = centred.trials.counts.shape[1:]
    n_lags = min(N_LAGS, n_bins - 1)
    products = np.zeros((len(starts), n_lags, len(groups.ordered_pairs)), np.float32)
    squares = np.zeros((len(starts), n_neurons))
    # With empty bins between trials all trials of a piece are one run of rows, which need not be copied for a lag.
    for block, piece in centred.pieces(starts, padding=n_lags):
        rows = piece.reshape(-1, n_neurons)
        products[block] += groups.lagged_products(rows, n_lags)
        squares[block] += np.einsum("tn,tn->n", rows, rows)
    return {
        "lagged_products": products,
        "lagged_squares": squares,
        "lagged_bins": centred.pairs_of_bins(starts, n_lags),
    }


def cross_correlations(
    products: np.ndarray, squares: np.ndarray, bins: np.ndarray, groups: NeuronGroups
) -> Float[np.ndarray, "lag ordered"]:
    """Covariance at each lag over the two standard deviations, from the sums of one set; NaN for silent neurons."""
    with np.errstate(invalid="ignore", divide="ignore"):
        scale = np.where(squares > 0, squares / bins[0], np.nan) ** -0.5
        i, j = groups.ordered_pairs.T
        return products / bins[1:, None] * (scale[i] * scale[j])


def lead(correlations: Float[np.ndarray, "lag ordered"]) -> Float[np.ndarray, "lag pair"]:
    """Antisymmetric part (C_ij(lag) - C_ji(lag)) / 2 of the cross-correlations: positive where i leads j."""
    forward, backward = np.split(correlations, 2, axis=1)
    return (forward - backward) / 2
