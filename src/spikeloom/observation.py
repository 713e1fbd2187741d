"""Observation models: how rates become counts, and how likely counts are under rates."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn

Counts = Integer[Tensor, "trial time neuron"]
Rates = Float[Tensor, "trial time neuron"]

EPSILON = 1e-8
"""Keeps the logarithm of a vanishing rate finite."""


class Poisson(nn.Module):
    """Counts are independent Poisson draws given the rates (expected counts per bin)."""

    def nll(self, counts: Counts, rates: Rates) -> Rates:
        """Negative log-likelihood of each count in nats.

        The factorial is Stirling's approximation and enters for counts above one only, so that values compare with
        LDNS (Kapoor et al. 2024, Eq. 4) and with the Poisson losses of other toolboxes.
        """
        counts = counts.to(rates.dtype)
        factorial = counts * counts.clamp(min=1).log() - counts + 0.5 * (2 * math.pi * counts.clamp(min=1)).log()
        return rates - counts * (rates + EPSILON).log() + torch.where(counts > 1, factorial, 0.0)

    def sample(self, rates: Rates, generator: torch.Generator) -> Counts:
        """Draw counts."""
        return torch.poisson(rates.float(), generator=generator).to(torch.int32)
