"""Independent normal distributions, parametrised by means and log-variances: products, divergences, samples."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

Values = Float[Tensor, "..."]


@dataclass(frozen=True)
class Normals:
    """Independent normal distributions.

    Attributes:
        mean: Means.
        log_variance: Logarithms of variances.
    """

    mean: Values
    log_variance: Values

    def __getitem__(self, index) -> Normals:
        return Normals(self.mean[index], self.log_variance[index])

    def times(self, other: Normals) -> Normals:
        """The product of both densities, made a density again; no variance is ever divided by.

        Each mean counts by the share that its precision has in the sum of both.
        """
        more_variable = self.log_variance - other.log_variance
        mean = torch.sigmoid(-more_variable) * self.mean + torch.sigmoid(more_variable) * other.mean
        log_variance = self.log_variance + other.log_variance - torch.logaddexp(self.log_variance, other.log_variance)
        return Normals(mean, log_variance)

    def overlap(self, other: Normals) -> Values:
        """Logarithm of the integral of the product of both densities, but for the constant log(2 pi) / 2."""
        log_variance = torch.logaddexp(self.log_variance, other.log_variance)
        return -0.5 * (log_variance + (self.mean - other.mean).square() * (-log_variance).exp())

    def divergence(self, other: Normals) -> Values:
        """Kullback-Leibler divergence of the other from this, KL(self || other), in nats."""
        ratio = self.log_variance - other.log_variance
        away = (self.mean - other.mean).square() * (-other.log_variance).exp()
        return 0.5 * (ratio.exp() + away - 1 - ratio)

    def bounded(self, limit: float) -> Normals:
        """The same means, with logarithms of variances between minus and plus the limit."""
        return Normals(self.mean, self.log_variance.clamp(-limit, limit))

    def draw(self, generator: torch.Generator) -> Values:
        """A sample through which gradients pass."""
        noise = torch.randn(self.mean.shape, generator=generator, device=self.mean.device)
        return self.mean + (self.log_variance / 2).exp() * noise
