"""Variability that a neuron does not share: what is left of its counts when the other neurons have predicted it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from spikeloom.evaluation.centred import Centred

N_LAGS = 8
"""Lags, in bins, at which the private part of neurons is compared."""

MOST_PREDICTORS = 300
"""Neurons from which the others are predicted; of larger populations a random choice."""

STRENGTHS = 10.0 ** np.arange(-3, 3)
"""Ridge penalties tried, per bin, in units of the neurons' variance."""

N_FOLDS = 5


class Prediction(NamedTuple):
    """Linear prediction of each neuron from others.

    Attributes:
        predictors: Neurons that predict.
        weights: (predictor, neuron) weights; zero where a neuron would predict itself.
        strength: Ridge penalty chosen.
    """

    predictors: np.ndarray
    weights: np.ndarray
    strength: float

    def residuals(self, piece: Float[np.ndarray, "trial time neuron"]) -> Float[np.ndarray, "trial time neuron"]:
        """Centred counts without their prediction."""
        sources = piece if len(self.predictors) == piece.shape[2] else piece[:, :, self.predictors]
        return piece - (sources.reshape(-1, sources.shape[2]) @ self.weights).reshape(piece.shape)


def fit_prediction(centred: Centred) -> Prediction:
    """Ridge regression of every neuron on the others, with the penalty that predicts best across folds of trials.

    All regressions follow from one inverse: row i of the inverse of (C + penalty) over its diagonal is minus the
    weights of the regression of neuron i on the rest. Neurons are scaled to unit variance.

    Args:
        centred: Real trials.
    """
    n_trials, _, n_neurons = centred.trials.counts.shape
    predictors = np.arange(n_neurons)
    if n_neurons > MOST_PREDICTORS:
        predictors = np.sort(np.random.default_rng(0).permutation(n_neurons)[:MOST_PREDICTORS])
    n_folds = min(N_FOLDS, n_trials)
    starts = np.linspace(0, n_trials, n_folds, endpoint=False).astype(np.int64)
    cross = np.zeros((n_folds, len(predictors), n_neurons))
    squares = np.zeros((n_folds, n_neurons))
    for fold, piece in centred.pieces(starts):
        rows = piece.reshape(-1, n_neurons)
        cross[fold] += rows[:, predictors].T @ rows
        squares[fold] += np.einsum("tn,tn->n", rows, rows)
    number = np.add.reduceat(centred.used.sum(axis=1), starts)
    sd = np.sqrt(squares.sum(axis=0) / max(number.sum(), 1))
    scale = np.divide(1, sd, out=np.zeros_like(sd), where=sd > 0)
    cross *= scale[predictors, None] * scale
    squares *= scale**2

    left = np.zeros(len(STRENGTHS))
    for fold in range(n_folds if n_folds > 1 else 0):
        others = cross.sum(axis=0) - cross[fold]
        n_others = max(number.sum() - number[fold], 1)
        for k, strength in enumerate(STRENGTHS):
            weights = _ridge(others / n_others, predictors, strength)
            # Squared error of the fold from its second moments; errors of all neurons count alike.
            left[k] += squares[fold].sum() - 2 * (weights * cross[fold]).sum()
            left[k] += ((cross[fold][:, predictors] @ weights) * weights).sum()
    strength = float(STRENGTHS[int(np.argmin(left))])
    weights = _ridge(cross.sum(axis=0) / max(number.sum(), 1), predictors, strength)
    weights *= sd * scale[predictors, None]
    return Prediction(predictors, weights.astype(np.float32), strength)


def _ridge(cross: np.ndarray, predictors: np.ndarray, strength: float) -> np.ndarray:
    inverse = np.linalg.inv(cross[:, predictors] + strength * np.eye(len(predictors)))
    weights = inverse @ cross
    weights[:, predictors] = -inverse / np.diag(inverse)
    weights[np.arange(len(predictors)), predictors] = 0
    return weights


def private_sums(
    centred: Centred,
    starts: Int[np.ndarray, "block"],
    predictions: tuple[Prediction, Prediction],
    half: Int[np.ndarray, "trial"] | None = None,
) -> dict[str, np.ndarray]:
    """Sums for autocovariances of what is private, per block of consecutive trials.

    Args:
        centred: The trials.
        starts: First trial of each block.
        predictions: Learned on half 0 and on half 1 of real trials.
        half: Half of each trial, to which the prediction learned on the other is applied; without it, sums are means
            over both.

    Returns:
        ``private_products`` (block, lag 1.., neuron) summed products of the residuals at lags of 1 to 8 bins,
        ``private_squares`` (block, neuron) summed squares of the counts themselves, around their mean course, and
        ``private_bins`` (block, lag 0..) number of pairs of bins.
    """
    n_bins, n_neurons = centred.trials.counts.shape[1:]
    n_lags = min(N_LAGS, n_bins - 1)
    products = np.zeros((len(starts), n_lags, n_neurons))
    squares = np.zeros((len(starts), n_neurons))
    share = 0.5 if half is None else 1.0
    first = 0
    for block, piece in centred.pieces(starts):
        squares[block] += np.einsum("btn,btn->tn", piece, piece).sum(axis=0, dtype=np.float64)
        for learned_on, prediction in enumerate(predictions):
            own = piece if half is None else piece[half[first : first + len(piece)] != learned_on]
            left = prediction.residuals(own)
            for lag in range(1, n_lags + 1):
                summed = np.einsum("btn,btn->tn", left[:, :-lag], left[:, lag:])
                products[block, lag - 1] += share * summed.sum(axis=0, dtype=np.float64)
        first += len(piece)
    return {
        "private_products": products,
        "private_squares": squares,
        "private_bins": centred.pairs_of_bins(starts, n_lags),
    }


def private_autocovariance(
    products: np.ndarray, squares: np.ndarray, bins: np.ndarray
) -> Float[np.ndarray, "lag neuron"]:
    """Autocovariance of the private part over the variance of the counts, from the sums of one set."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return products / bins[1:, None] / np.where(squares > 0, squares / bins[0], np.nan)
