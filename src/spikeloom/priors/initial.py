"""Priors of LFADS and TNDM: over the initial condition of a trial, and over the inputs to its generator."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from spikeloom.nets.lfads import Posterior

Codes = Float[Tensor, "trial code"]
Inputs = Float[Tensor, "trial time input"]


class InitialPrior(nn.Module):
    """A normal distribution whose variance is fixed, and whose mean is learned, or zero.

    Args:
        codes: Values of an initial condition.
        variance: Variance of each.
        learned: Whether the mean is learned.
    """

    mean: Tensor

    def __init__(self, codes: int, variance: float, learned: bool = True):
        super().__init__()
        self.variance = variance
        if learned:
            self.mean = nn.Parameter(torch.zeros(codes))
        else:
            self.register_buffer("mean", torch.zeros(codes), persistent=False)

    def kl(self, posterior: Posterior, reverse: bool = False) -> Codes:
        """Kullback-Leibler divergence of each posterior from the prior, in nats, for each value.

        Args:
            posterior: Posteriors of initial conditions.
            reverse: Take that of the prior from each posterior instead.
        """
        ratio = posterior.std.square() / self.variance
        away = (posterior.mean - self.mean).square() / self.variance
        if reverse:
            return 0.5 * ((1 + away) / ratio - 1 + ratio.log())
        return 0.5 * (ratio + away - 1 - ratio.log())

    def codes(self, posterior: Posterior) -> Posterior:
        """Initial conditions as codes: in the prior's standard deviations from its mean."""
        std = self.variance**0.5
        return Posterior((posterior.mean - self.mean) / std, posterior.std / std)

    def initial(self, codes: Codes) -> Codes:
        """Initial conditions of codes; those of standard normal codes are distributed as the prior."""
        return self.mean + self.variance**0.5 * codes


class AutoregressivePrior(nn.Module):
    """Stationary first-order autoregressive inputs, one process each, whose two parameters are learned.

    ``u_1 ~ N(0, s / (1 - a^2))`` and ``u_t ~ N(a u_{t-1}, s)`` with ``a = exp(-1 / tau)`` (Sussillo et al. 2016).

    Args:
        inputs: Number of inputs.
        tau: Initial time constant in bins.
        noise_variance: Initial variance s of what is new in a bin.
    """

    def __init__(self, inputs: int, tau: float, noise_variance: float):
        super().__init__()
        self.log_tau = nn.Parameter(torch.full((inputs,), math.log(tau)))
        self.log_noise_variance = nn.Parameter(torch.full((inputs,), math.log(noise_variance)))

    @property
    def decay(self) -> Float[Tensor, "input"]:
        """Correlation of neighbouring bins."""
        return (-(-self.log_tau).exp()).exp()

    @property
    def stationary_std(self) -> Float[Tensor, "input"]:
        """Standard deviation of an input in any bin."""
        return (self.log_noise_variance.exp() / (1 - self.decay.square())).sqrt()

    def log_density(self, values: Inputs) -> Inputs:
        """Logarithm of the density of each bin given the one before; the sum over bins is that of a trial."""
        first = Posterior(torch.zeros_like(values[:, :1]), self.stationary_std.expand_as(values[:, :1]))
        rest = Posterior(self.decay * values[:, :-1], (self.log_noise_variance / 2).exp().expand_as(values[:, :-1]))
        return torch.cat([first.log_density(values[:, :1]), rest.log_density(values[:, 1:])], dim=1)

    def kl(
        self, posterior: Posterior, generator: torch.Generator, mask: Bool[Tensor, "trial time 1"] | None = None
    ) -> Float[Tensor, "trial"]:
        """Estimate from one new sample of the divergence of each trial's inputs from the prior, in nats."""
        values = posterior.draw(generator)
        each = posterior.log_density(values) - self.log_density(values)
        return (each if mask is None else each * mask).sum((1, 2))

    def draw(self, n: int, n_bins: int, generator: torch.Generator) -> Inputs:
        """New inputs."""
        noise = torch.randn((n, n_bins, len(self.log_tau)), generator=generator, device=self.log_tau.device)
        values = [self.stationary_std * noise[:, 0]]
        decay, std = self.decay, (self.log_noise_variance / 2).exp()
        for t in range(1, n_bins):
            values.append(decay * values[-1] + std * noise[:, t])
        return torch.stack(values, dim=1)
