"""Moments of counts that tell samples from recordings, and by how much a recording differs from itself.

All are means over trials, of recorded and of generated trials alike. What a recording determines of them is seen by
comparing its halves: a difference that both halves have in common is one that other trials would show as well.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from spikeloom.observation.poisson import Counts
from spikeloom.training.batch import mask_of

LEAST_SPIKES = 50
"""Spikes in the training trials without which nothing of a neuron is corrected."""
BLOCK = 10
"""Successive trials that fall into one half together: they may be windows of one stretch of time."""
N_LAGS, LONGEST_S = 6, 0.5
"""Lags beyond those of the filters, spread logarithmically up to so many seconds."""
PREDICTORS = 200
"""Neurons, those of most spikes, from which the shared part of a neuron is predicted."""
RIDGE = 300.0
"""Penalty of that prediction, in bins."""
ROWS = 60_000
"""Bins from which it is learned."""


@dataclass(frozen=True)
class Trials:
    """Counts with zeros in the padding, and the valid bins of each trial."""

    counts: Counts
    lengths: Int[Tensor, "trial"]

    @cached_property
    def valid(self) -> Float[Tensor, "trial time 1"]:
        """1 within a trial and 0 in the padding."""
        return mask_of(self.lengths, self.counts.shape[1]).float()

    @property
    def halves(self) -> tuple[Trials, Trials]:
        """Blocks of successive trials in turn; trials in turn where there are few."""
        n = len(self.lengths)
        second = torch.arange(n) // max(1, min(BLOCK, n // 20)) % 2 == 1
        return self[~second], self[second]

    def __getitem__(self, index: Tensor) -> Trials:
        return Trials(self.counts[index], self.lengths[index])


@dataclass(frozen=True)
class Frame:
    """Constants of the training trials, by which the moments of any trials are measured.

    Attributes:
        kept: Neurons that fire enough.
        mean: (kept,) mean count.
        sd: (kept,) standard deviation of the count.
        lags: Lags of the private autocovariance, in bins.
        filter_lags: How many of them, the first, are those of the history filters.
        predictors: Neurons, of the kept ones, from which others are predicted.
        bin_s: Bin width in seconds.
    """

    kept: Int[Tensor, "kept"]
    mean: Float[Tensor, "kept"]
    sd: Float[Tensor, "kept"]
    lags: tuple[int, ...]
    filter_lags: int
    predictors: Int[Tensor, "predictor"]
    bin_s: float

    @classmethod
    def of(cls, trials: Trials, bin_s: float, filter_lags: int) -> Frame:
        """The frame of training trials."""
        n = trials.lengths.sum()
        total = trials.counts.sum((0, 1)).float()
        kept = (total >= LEAST_SPIKES).nonzero()[:, 0]
        mean = total / n
        sd = (((trials.counts - mean) * trials.valid).square().sum((0, 1)) / n).sqrt()
        shortest = int(trials.lengths.float().quantile(0.25))
        longest = max(2, min(shortest // 2, round(LONGEST_S / bin_s)))
        filter_lags = min(filter_lags, longest - 1)
        spread = torch.logspace(math.log10(filter_lags + 1), math.log10(longest), N_LAGS).round().int().unique()
        return cls(
            kept,
            mean[kept],
            sd[kept].clamp(min=1e-6),
            (*range(1, filter_lags + 1), *spread.tolist()),
            filter_lags,
            mean[kept].argsort(descending=True)[:PREDICTORS],
            bin_s,
        )

    def standard(self, trials: Trials) -> Float[Tensor, "trial time kept"]:
        """Counts in standard deviations about the training mean, zero in the padding."""
        return (trials.counts[..., self.kept] - self.mean) / self.sd * trials.valid


# -- of each neuron --------------------------------------------------------------------------------------------------


def shares(frame: Frame, knots: Float[Tensor, "kept knot"], trials: Trials) -> Float[Tensor, "kept knot"]:
    """Share of the bins in which a neuron's count lies next to each knot."""
    edges = (knots[:, 1:] + knots[:, :-1]) / 2
    counts = trials.counts[trials.valid[..., 0].bool()][:, frame.kept]
    result = torch.zeros_like(knots)
    for neuron, edge in enumerate(edges):
        cell = torch.bucketize(counts[:, neuron].float(), edge)
        result[neuron] = torch.bincount(cell, minlength=knots.shape[1])
    return result / len(counts)


def response_to_past(frame: Frame, trials: Trials) -> Float[Tensor, "kept"]:
    """Covariance of a count with its logarithm: how a neuron's autocovariance follows its history weights."""
    y = trials.counts[..., frame.kept].float()
    past = y.log1p()
    past = past - (past * trials.valid).sum((0, 1)) / trials.valid.sum()
    return (past * y * trials.valid).sum((0, 1)) / trials.valid.sum()


def _autocovariance(
    z: Float[Tensor, "trial time kept"], valid: Float[Tensor, "trial time 1"], lags: tuple[int, ...]
) -> Float[Tensor, "lag kept"]:
    return torch.stack([(late * early).sum((0, 1)) / pairs for late, early, pairs in _lagged(z, valid, lags)])


def _lagged(
    z: Float[Tensor, "trial time kept"], valid: Float[Tensor, "trial time 1"], lags: tuple[int, ...]
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Values about their mean in the later and in the earlier bins of all pairs, and how many pairs are valid."""
    z = (z - z.sum((0, 1)) / valid.sum()) * valid
    for lag in lags:
        pairs = (valid[:, lag:] * valid[:, : valid.shape[1] - lag]).sum().clamp(min=1)
        yield z[:, lag:], z[:, : z.shape[1] - lag], pairs


@dataclass(frozen=True)
class SharedPart:
    """Linear prediction of each neuron from all others: in the same bin, in the two beside it, and in the whole trial.

    Attributes:
        weights: (regressor, kept) coefficients, zero for a neuron's own counts.
    """

    frame: Frame
    weights: Float[Tensor, "regressor kept"]

    @classmethod
    def fit(cls, frame: Frame, trials: Trials) -> SharedPart:
        """Ridge regression; a neuron's own columns are taken out of the inverse of all (block inversion)."""
        n_regressors = 3 * len(frame.predictors)
        gram = torch.zeros(n_regressors, n_regressors, dtype=torch.float64)
        cross = torch.zeros(n_regressors, len(frame.kept), dtype=torch.float64)
        some = trials[torch.arange(0, len(trials.lengths), max(1, int(trials.lengths.sum()) // ROWS))]
        for x, z, _ in cls._parts(frame, some):
            x, z = x.flatten(0, 1).double(), z.flatten(0, 1).double()
            gram += x.T @ x
            cross += x.T @ z
        inverse = torch.linalg.inv(gram + RIDGE * torch.eye(n_regressors, dtype=torch.float64))
        weights = inverse @ cross
        position = {int(neuron): i for i, neuron in enumerate(frame.predictors)}
        step = len(frame.predictors)
        for neuron, at in position.items():
            own = torch.tensor([at, at + step, at + 2 * step])
            # leaving columns out: w - P[:, own] P[own, own]^-1 w[own]
            left = torch.linalg.solve(inverse[own][:, own], weights[own, neuron])
            weights[:, neuron] -= inverse[:, own] @ left
            weights[own, neuron] = 0
        return cls(frame, weights.float())

    @staticmethod
    def _parts(frame: Frame, trials: Trials) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Regressors, standardised counts and validity of the inner bins of some trials at a time."""
        for i in range(0, len(trials.lengths), 64):
            part = Trials(trials.counts[i : i + 64], trials.lengths[i : i + 64])
            z = frame.standard(part)
            x = z[..., frame.predictors]
            inner = part.valid[:, 2:]  # a bin with one on either side
            whole = (x.sum(1) / part.lengths[:, None])[:, None].expand(-1, z.shape[1] - 2, -1)
            regressors = torch.cat([x[:, 1:-1], x[:, :-2] + x[:, 2:], whole], -1) * inner
            yield regressors, z[:, 1:-1] * inner, inner

    def private(self, trials: Trials) -> Float[Tensor, "lag kept"]:
        """Autocovariance of what is left of each neuron."""
        rest, valid = [], []
        for x, z, inner in self._parts(self.frame, trials):
            rest.append(z - x @ self.weights)
            valid.append(inner)
        return _autocovariance(torch.cat(rest), torch.cat(valid), self.frame.lags)


# -- between neurons -------------------------------------------------------------------------------------------------


def covariances(frame: Frame, lags: tuple[int, ...], trials: Trials) -> Float[Tensor, "lag kept kept"]:
    """Covariance of each neuron's standardised count with every other's so many bins before."""
    parts = []
    for late, early, pairs in _lagged(frame.standard(trials), trials.valid, lags):
        parts.append((late.flatten(0, 1).T @ early.flatten(0, 1) / pairs).fill_diagonal_(0))
    return torch.stack(parts)


def drawn_together(frame: Frame, knots: Float[Tensor, "kept knot"], trials: Trials) -> Float[Tensor, "kept"]:
    """Covariance of a standardised count with the normal variable whose quantile it is."""
    reached = shares(frame, knots, trials).cumsum(1)[:, :-1].clamp(1e-6, 1 - 1e-6).double()
    density = torch.exp(-torch.special.ndtri(reached).square() / 2) / math.sqrt(2 * math.pi)
    return (density * knots.diff(dim=1)).sum(1).float() / frame.sd


# -- what is reproducible --------------------------------------------------------------------------------------------


Differences = tuple[Tensor, Tensor, Tensor]
"""Differences of a moment from samples: of all, and either half of them beside its half of the training trials."""


def reproducible_whole(lacking: Differences) -> Tensor:
    """``reproducible`` with one factor for all rows, where each alone would be too little to tell."""
    whole, first, second = (part[None] for part in lacking)
    return reproducible((whole, first, second))[0]


def reproducible(lacking: Differences) -> Tensor:
    """The share of a difference that other trials would show, of each row by itself.

    It is the factor of least expected squared error: ridge regression towards no change, its strength chosen by
    cross-validation in closed form.

    Args:
        lacking: Of shape (row, ...).

    Returns:
        The difference of all trials, each row times its factor from 0 to 1.
    """
    whole, *halves = lacking
    first, second = (half.flatten(1) for half in halves)
    power = ((first.square() + second.square()) / 2).sum(1)
    return whole * _factor((first * second).sum(1), power).view(-1, *(1,) * (whole.ndim - 1))


def _factor(agreement: Float[Tensor, "row"], power: Float[Tensor, "row"]) -> Float[Tensor, "row"]:
    """Factors from 0 to 1 of differences, by the products of their halves and the squares of these.

    The differences of the two halves correlate, about zero, as far as they are no chance; this is carried over to twice
    as many trials (Spearman-Brown).
    """
    share = (agreement / power.clamp(min=1e-30)).clamp(0, 1)
    return 2 * share / (1 + share)


SHRINKING, LEAST_VALUE = 10.0, 0.05
"""Bins for each neuron whose correlations are taken as zero, and the least variance, where counts are whitened."""
LEADING = 3
"""Patterns of differences between neurons whose reproducible share is taken by itself."""


def reproducible_between(
    whitening: Float[Tensor, "row row"], pattern: Float[Tensor, "part row row"], lacking: Differences
) -> Float[Tensor, "part row row"]:
    """Matrices, zero on the diagonal, as far as they are reproducible: their strength, leading patterns, the rest.

    There are many differences between neurons, each too small to be told from noise; all of them together tell how much
    of them is none. The first patterns (singular vectors) of one half are looked up in the other. On halves of two
    recordings, whole and cut to 100 trials, this predicts other trials best, of what was tried; leaving out what does
    not stand out of the noise (Gavish & Donoho 2017) predicts worse than nothing with 100 trials.

    Args:
        whitening: Inverse square root of the covariance of counts, in whose coordinates all differences have the same
            noise.
        pattern: What samples have: how much more or less of it they lack is taken by itself.
        lacking: Differences of covariances.
    """
    whole, first, second = (whitening @ each @ whitening for each in lacking)
    pattern = whitening @ pattern @ whitening
    pattern = pattern / pattern.square().sum((1, 2), keepdim=True).sqrt().clamp(min=1e-12)
    strengths = [(each * pattern).sum((1, 2), keepdim=True) for each in (whole, first, second)]
    strength = reproducible((strengths[0], strengths[1], strengths[2])) * pattern
    whole, first, second = (each - size * pattern for each, size in zip((whole, first, second), strengths))
    agreement, power = torch.zeros(2, *whole.shape[:2])
    for one, other in ((first, second), (second, first)):
        left, sizes, right = torch.linalg.svd(one)
        agreement += sizes * torch.einsum("pij,pik,pjk->pj", left, other, right)
        power += sizes**2
    left, sizes, right = torch.linalg.svd(whole)
    for part in (slice(LEADING), slice(LEADING, None)):
        sizes[:, part] *= _factor(agreement[:, part].sum(1), power[:, part].sum(1))[:, None]
    coloured = torch.linalg.solve(whitening, strength + (left * sizes[:, None]) @ right)
    coloured = torch.linalg.solve(whitening, coloured.mT).mT
    return coloured - torch.diag_embed(coloured.diagonal(dim1=1, dim2=2))


def whitening(frame: Frame, trials: Trials) -> Float[Tensor, "kept kept"]:
    """Inverse square root of the covariance of standardised counts in a bin; near the identity of few trials."""
    correlations = covariances(frame, (0,), trials)[0].fill_diagonal_(1)
    n = int(trials.lengths.sum())
    shrunk = correlations * n / (n + SHRINKING * len(correlations))
    values, vectors = torch.linalg.eigh(shrunk.fill_diagonal_(1))
    return (vectors * values.clamp(min=LEAST_VALUE).rsqrt()) @ vectors.T
