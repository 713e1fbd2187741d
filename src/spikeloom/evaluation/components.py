"""Trial-to-trial variance along the principal components of real trials, from the largest to the many small ones.

Components fit the trials from which they are: other trials vary less along the leading ones, and more along the rest.
So the components of either half of the held-out trials serve for trials of the other half, and of any other set.
"""

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
"""Variance, as a share of that of held-out trials, below which a group counts as constant."""


@dataclass(frozen=True, eq=False)
class TrialComponents:
    """Principal components of the trial means of either half of the held-out trials.

    Attributes:
        directions: For each half the (neuron, component) leading components.
        names: Name of each group that exists, such as "4-8"; "rest" last.
        variance: (group,) variance of the trials from which they are, mean of the halves.
        dimensions: (group,) effective number of dimensions, over which a group's variance is averaged.
    """

    directions: tuple[np.ndarray, np.ndarray]
    names: tuple[str, ...]
    variance: np.ndarray
    dimensions: np.ndarray

    @classmethod
    def fit(cls, first: TrialSet, second: TrialSet) -> TrialComponents:
        """Principal components of the square roots of trial-mean counts around the mean of their condition."""
        values = [trial_means(ss.trial_sums(t.counts), t.lengths, t.condition)[0] for t in (first, second)]
        found = [_principal(each) for each in values]
        kept = min(len(variances) for variances, _ in found)
        directions = [np.ascontiguousarray(each[:, :kept]) for _, each in found]
        names = [f"{a}-{min(b, kept)}" for a, b in GROUPS if a <= kept]
        groups = [_group_variances(v, d, variances[:kept]) for v, d, (variances, _) in zip(values, directions, found)]
        if kept < values[0].shape[1] and all(len(each) > len(names) for each in groups):
            names.append("rest")
        variance, dimensions = np.mean([each[: len(names)] for each in groups], axis=0).reshape(-1, 2).T
        return cls((directions[0], directions[1]), tuple(names), variance, dimensions)

    def sums(
        self,
        spikes: Float[np.ndarray, "trial neuron"],
        lengths: Int[np.ndarray, "trial"],
        condition: Int[np.ndarray, "trial"],
        half: Int[np.ndarray, "trial"] | None,
        starts: Int[np.ndarray, "block"],
    ) -> dict[str, np.ndarray]:
        """Sums for the variance along each group, per block of consecutive trials.

        Args:
            spikes: Spikes of every neuron in each trial.
            lengths: Valid bins of each trial.
            condition: Condition code of each trial.
            half: Half of each trial, which is laid along the components of the other half; without it, squares are
                means over both.
            starts: First trial of each block.

        Returns:
            ``component_squares`` (block, group) squared deviations from the condition's mean, and ``component_trials``
            (block,) degrees of freedom.
        """
        values, freedom = trial_means(spikes, lengths, condition)
        first, second = ((values @ directions) ** 2 for directions in self.directions)
        along = (first + second) / 2 if half is None else np.where(half[:, None] == 0, second, first)
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


def _principal(values: Float[np.ndarray, "trial neuron"]) -> tuple[np.ndarray, np.ndarray]:
    """Sums of squares along the leading principal components that have any, largest first, and the components."""
    n_neurons = values.shape[1]
    last = min(GROUPS[-1][1], *values.shape)
    if len(values) >= n_neurons:
        squares, directions = eigh(values.T @ values, subset_by_index=[n_neurons - last, n_neurons - 1])
    else:
        squares, rows = eigh(values @ values.T, subset_by_index=[len(values) - last, len(values) - 1])
        directions = values.T @ rows / np.sqrt(np.maximum(squares, 1e-300))
    squares, directions = np.maximum(squares[::-1], 0), directions[:, ::-1]
    kept = int((squares > 1e-9 * max(float((values**2).sum()), 1e-300)).sum())
    return squares[:kept], directions[:, :kept]


def _group_variances(values: np.ndarray, directions: np.ndarray, squares: np.ndarray) -> list[tuple[float, float]]:
    """Variance and effective number of dimensions of each group; the last is the rest, where there is any."""
    n, kept = max(len(values), 1), len(squares)
    groups = [squares[a - 1 : min(b, kept)] for a, b in GROUPS if a <= kept]
    out = [(float(g.sum()) / n, float(g.sum() ** 2 / (g**2).sum())) for g in groups]
    total = float((values**2).sum())
    rest = total - float(squares.sum())
    if rest > 1e-9 * total:
        left = values - values @ directions @ directions.T
        gram = left.T @ left if len(left) >= values.shape[1] else left @ left.T
        out.append((rest / n, rest**2 / float((gram**2).sum())))
    return out


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
