"""Distances between statistics of two sets of trials, from which the metrics are made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from spikeloom.evaluation import spike_statistics as ss
from spikeloom.evaluation.metric import NAN
from spikeloom.evaluation.roc import Units

N_FOLDS = 5
"""Folds of the basic classifier."""


class Agreement(NamedTuple):
    """How well the correlations of two sets agree over pairs of neurons; NaN where no pair exists in both.

    Attributes:
        rmse: Root mean square of the differences.
        slope: Generated regressed on real ones, through the origin.
        r: Pearson correlation between the two.
    """

    rmse: float
    slope: float
    r: float


def rms(values: np.ndarray) -> float:
    """Root mean square with NaN left out; NaN when nothing is left."""
    values = np.ravel(values)
    square = float(values @ values)
    if np.isnan(square):  # rarely, so that NaN need not be looked for
        values = values[~np.isnan(values)]
        square = float(values @ values)
    return float(np.sqrt(square / values.size)) if values.size else NAN


def sd(values: Sequence[float] | np.ndarray) -> float:
    """Standard deviation of the finite values; NaN for fewer than two."""
    values = np.asarray(values, dtype=float)
    values = values[np.isfinite(values)]
    return float(values.std(ddof=1)) if len(values) > 1 else NAN


def agreement(g: Float[np.ndarray, "pair"], h: Float[np.ndarray, "pair"]) -> Agreement:
    """Agreement of generated correlations ``g`` with real ones ``h`` over the pairs that exist in both."""
    both = np.isfinite(g) & np.isfinite(h)
    g, h = g[both], h[both]
    if len(h) == 0:
        return Agreement(NAN, NAN, NAN)
    square = float(h @ h)
    g0, h0 = g - g.mean(), h - h.mean()
    scale = float(np.sqrt((g0 @ g0) * (h0 @ h0)))
    return Agreement(
        rms(g - h), float(g @ h) / square if square > 0 else NAN, float(g0 @ h0) / scale if scale > 0 else NAN
    )


def cell_probabilities(
    histogram: Float[np.ndarray, "count"], cell_width: int, largest: int
) -> Float[np.ndarray, "cell"]:
    """Probabilities of the population count in cells of some width, smoothed by half an observation a cell.

    Args:
        histogram: Number of bins with 0, 1, 2, ... spikes.
        cell_width: Counts in a cell.
        largest: Largest count of the real data; what lies beyond falls into one last cell.
    """
    last = -(-(largest + 1) // cell_width)
    cell = np.minimum(np.arange(len(histogram)) // cell_width, last)
    smoothed = np.bincount(cell, histogram, last + 1) + 0.5
    return smoothed / smoothed.sum()


def kl_divergence(data: Float[np.ndarray, "cell"], model: Float[np.ndarray, "cell"]) -> float:
    """D(data || model) of two distributions, in nats."""
    return float((data * np.log(data / model)).sum())


def jensen_shannon(model: Float[np.ndarray, "cell"], data: Float[np.ndarray, "cell"]) -> float:
    """Jensen-Shannon divergence of two distributions, in nats."""
    middle = (model + data) / 2
    return 0.5 * float((model * np.log(model / middle)).sum() + (data * np.log(data / middle)).sum())


def count_wasserstein(generated: Float[np.ndarray, "count"], real: Float[np.ndarray, "count2"]) -> float:
    """Wasserstein-1 distance of two histograms of counts, in spikes per bin."""
    length = max(len(generated), len(real))
    cumulative = [np.cumsum(np.pad(h, (0, length - len(h)))) / h.sum() for h in (generated, real)]
    return float(np.abs(cumulative[0] - cumulative[1]).sum())


def psth_error(generated: tuple[np.ndarray, np.ndarray], real: tuple[np.ndarray, np.ndarray]) -> float:
    """Share of the real PSTHs' variance that generated PSTHs miss; one minus it is the usual R2.

    Args:
        generated: (condition, time, neuron) smoothed PSTH and (condition, time) number of trials.
        real: The same of the real trials.
    """
    n_bins = min(generated[0].shape[1], real[0].shape[1])
    enough = [number[:, :n_bins] >= ss.MIN_TRIALS_PER_CELL for _, number in (generated, real)]
    both = enough[0] & enough[1]
    g, h = generated[0][:, :n_bins][both], real[0][:, :n_bins][both]
    if len(h) == 0:
        return NAN
    spread = float(((h - h.mean(axis=0)) ** 2).sum())
    return float(((g - h) ** 2).sum()) / spread if spread > 0 else NAN


def classifier_scores(
    generated: Float[np.ndarray, "trial feature"],
    real: Float[np.ndarray, "trial2 feature"],
    seed: int,
    units: Units | None = None,
) -> tuple[Float[np.ndarray, "trial"], Float[np.ndarray, "trial2"]]:
    """Cross-validated scores of a logistic regression that separates generated from real trials.

    Trials of a unit are in the same fold: windows of one stretch of recorded time resemble each other, and would be
    told from generated trials by that alone.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if min(len(np.unique(unit)) for unit in units or map(np.arange, (len(generated), len(real)))) < N_FOLDS:
        return np.full(len(generated), NAN), np.full(len(real), NAN)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
    label = np.repeat([1, 0], [len(generated), len(real)])
    group = None if units is None else np.concatenate([units[0], units[0].max() + 1 + units[1]])
    folds = (StratifiedKFold if group is None else StratifiedGroupKFold)(N_FOLDS, shuffle=True, random_state=seed)
    features = np.vstack([generated, real])
    scores = np.asarray(cross_val_predict(model, features, label, groups=group, cv=folds, method="decision_function"))
    return scores[: len(generated)], scores[len(generated) :]
