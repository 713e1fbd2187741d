"""Trial-to-trial variance along the principal components of real trials, from the largest to the many small ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.linalg import eigh

from spikeloom.evaluation import spike_statistics as ss
from spikeloom.evaluation.trial_set import TrialSet

GROUPS = ((1, 3), (4, 8), (9, 16), (17, 32))
"""First and last component of each group; the rest are a group of their own."""

LEAST_SHARE = 1e-3
"""Variance, as a share of that of training trials, below which a group counts as constant."""


@dataclass(frozen=True, eq=False)
class TrialComponents:
    """Principal components of the trial means of training trials.

    Attributes:
        directions: (neuron, component) the leading components.
        names: Name of each group that exists, such as "4-8"; "rest" last.
        variance: (group,) variance of the training trials.
        dimensions: (group,) effective number of dimensions, over which a group's variance is averaged.
    """

    directions: np.ndarray
    names: tuple[str, ...]
    variance: np.ndarray
    dimensions: np.ndarray

    @classmethod
    def fit(cls, train: TrialSet) -> TrialComponents:
        """Principal components of the square roots of trial-mean counts around the mean of their condition."""
        values, _ = trial_means(ss.trial_sums(train.counts), train.lengths, train.condition)
        n_neurons = values.shape[1]
        last = min(GROUPS[-1][1], *values.shape)
        if len(values) >= n_neurons:
            variances, directions = eigh(values.T @ values, subset_by_index=[n_neurons - last, n_neurons - 1])
        else:
            variances, rows = eigh(values @ values.T, subset_by_index=[len(values) - last, len(values) - 1])
            directions = values.T @ rows / np.sqrt(np.maximum(variances, 1e-300))
        variances, directions = np.maximum(variances[::-1], 0), directions[:, ::-1]
        total = float((values**2).sum())
        kept = int((variances > 1e-9 * max(total, 1e-300)).sum())
        directions = np.ascontiguousarray(directions[:, :kept])
        groups = [variances[a - 1 : min(b, kept)] for a, b in GROUPS if a <= kept]
        names = [f"{a}-{min(b, kept)}" for a, b in GROUPS if a <= kept]
        rest = total - float(variances[:kept].sum())
        dimensions = [g.sum() ** 2 / (g**2).sum() for g in groups]
        variance = [float(g.sum()) for g in groups]
        if rest > 1e-9 * total and n_neurons > kept:
            left = values - values @ directions @ directions.T
            gram = left.T @ left if len(left) >= n_neurons else left @ left.T
            names, variance = [*names, "rest"], [*variance, rest]
            dimensions.append(rest**2 / float((gram**2).sum()))
        n = max(len(values), 1)
        return cls(directions, tuple(names), np.array(variance) / n, np.array(dimensions))

    def sums(
        self,
        spikes: Float[np.ndarray, "trial neuron"],
        lengths: Int[np.ndarray, "trial"],
        condition: Int[np.ndarray, "trial"],
        starts: Int[np.ndarray, "block"],
    ) -> dict[str, np.ndarray]:
        """Sums for the variance along each group, per block of consecutive trials.

        Returns:
            ``component_squares`` (block, group) squared deviations from the condition's mean, and ``component_trials``
            (block,) degrees of freedom.
        """
        values, freedom = trial_means(spikes, lengths, condition)
        along = (values @ self.directions) ** 2
        squares = [along[:, a - 1 : b].sum(axis=1) for a, b in GROUPS if a <= along.shape[1]]
        if len(squares) < len(self.names):
            squares.append(np.maximum((values**2).sum(axis=1) - along.sum(axis=1), 0))
        table = np.stack(squares, axis=1) if squares else np.zeros((len(values), 0))
        return {
            "component_squares": np.add.reduceat(table, starts, axis=0),
            "component_trials": np.add.reduceat(freedom, starts),
        }

    def log_variance(self, squares: Float[np.ndarray, "group"], n: float, freedom: float) -> Float[np.ndarray, "group"]:
        """Logarithm of the variance along each group, corrected for the bias of a logarithm of few trials.

        A variance of nu degrees of freedom has a mean logarithm that is too small by 1 / nu. Both sides have trials of
        the same lengths, so noise of counts in short trials is part of both and needs no correction.

        Args:
            squares: Summed squares of a set, or of a bootstrap sample of it.
            n: Its degrees of freedom in trials.
            freedom: Those of the set itself.
        """
        with np.errstate(invalid="ignore", divide="ignore"):
            least = LEAST_SHARE * self.variance
            return np.log(squares / n + least) + 1 / (max(freedom, 1) * self.dimensions)


def trial_means(
    spikes: Float[np.ndarray, "trial neuron"], lengths: Int[np.ndarray, "trial"], condition: Int[np.ndarray, "trial"]
) -> tuple[Float[np.ndarray, "trial neuron"], Float[np.ndarray, "trial"]]:
    """Square root of each trial's mean count, around the mean of its condition, and each trial's degree of freedom.

    Trials that are alone in their condition have neither. Condition means stay fixed when blocks are resampled.
    """
    values = np.sqrt(spikes / np.maximum(lengths, 1)[:, None])
    _, cell, size = np.unique(condition, return_inverse=True, return_counts=True)
    summed = np.zeros((len(size), values.shape[1]))
    np.add.at(summed, cell, values)
    return values - (summed / size[:, None])[cell], 1 - 1 / size[cell]
