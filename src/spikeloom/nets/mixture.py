"""A mixture density network: the next vector of a sequence, as a mixture of Gaussians that bounds their precision."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

SOFTEST_START = 0.3
"""Factor on the initial weights of the last layer: an untrained network gives nearly the same mixture everywhere."""
STARTING_PRECISION = 0.8
"""Diagonal of the initial precision factors, of components that lie one spread apart."""


class Mixture(NamedTuple):
    """Parameters of mixtures of Gaussians whose precision matrices are ``P^T P`` with a lower triangular ``P``.

    Attributes:
        logits: Unnormalised log-weights of the components.
        means: Their means.
        diagonals: Diagonals of ``P``.
        below: Entries of ``P`` below the diagonal, row by row.
    """

    logits: Float[Tensor, "*batch component"]
    means: Float[Tensor, "*batch component size"]
    diagonals: Float[Tensor, "*batch component size"]
    below: Float[Tensor, "*batch component pair"]


class MixtureHead(nn.Module):
    """Features to a mixture density (Bishop 1994), one hidden layer wide.

    The precision is bounded from below, so that no draw lies far out: the diagonal of ``P`` is at least ``floor``, and
    what lies below it is at most ``bound``, because a floored diagonal alone does not bound the inverse of ``P``.

    Args:
        features: Number of features.
        size: Width of the vectors.
        components: Gaussians of a mixture.
        width: Width of the hidden layer.
        floor: Smallest diagonal entry of ``P``.
        bound: Largest magnitude of an entry below the diagonal.
    """

    rows: Int[Tensor, "pair"]
    columns: Int[Tensor, "pair"]

    def __init__(self, features: int, size: int, components: int, width: int, floor: float, bound: float = 1.0):
        super().__init__()
        self.size, self.components, self.floor, self.bound = size, components, floor, bound
        rows, columns = torch.tril_indices(size, size, -1)
        self.register_buffer("rows", rows, persistent=False)
        self.register_buffer("columns", columns, persistent=False)
        self.hidden = nn.Linear(features, width)
        self.out = nn.Linear(width, components * (1 + 2 * size + len(rows)))
        with torch.no_grad():
            self.out.weight.mul_(SOFTEST_START)
            bias = self.out.bias.zero_().view(components, -1)
            bias[:, 1 : 1 + size] = torch.randn(components, size) * SOFTEST_START
            bias[:, 1 + size : 1 + 2 * size] = math.log(math.expm1(max(STARTING_PRECISION - floor, 0.05)))

    def forward(self, features: Float[Tensor, "*batch feature"]) -> Mixture:
        """The mixtures of some features."""
        out = self.out(F.silu(self.hidden(features))).unflatten(-1, (self.components, -1))
        logits, means, diagonals, below = out.split([1, self.size, self.size, len(self.rows)], dim=-1)
        return Mixture(
            logits[..., 0], means, F.softplus(diagonals) + self.floor, self.bound * torch.tanh(below / self.bound)
        )

    def nll(self, mixture: Mixture, x: Float[Tensor, "*batch size"]) -> Float[Tensor, "*batch"]:
        """Negative log-likelihood of each vector in nats."""
        away = x[..., None, :] - mixture.means
        factor = away.new_zeros((*away.shape, self.size))
        factor[..., self.rows, self.columns] = mixture.below
        white = (factor @ away[..., None])[..., 0] + mixture.diagonals * away
        log_density = mixture.diagonals.log().sum(-1) - white.square().sum(-1) / 2 - self.size / 2 * math.log(math.tau)
        return -(mixture.logits.log_softmax(-1) + log_density).logsumexp(-1)
