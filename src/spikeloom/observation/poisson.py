"""Poisson counts, and what all observation models share: the shapes of counts and rates."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor, nn

from spikeloom.observation.limits import EPSILON
from spikeloom.observation.steps import ObservationSteps, PoissonSteps

Counts = Integer[Tensor, "trial time neuron"]
Rates = Float[Tensor, "trial time neuron"]


@dataclass(frozen=True)
class ObservedCounts:
    """Counts that were recorded, around which others are drawn.

    Attributes:
        counts: Recorded counts; the rest is ignored.
        mask: Bins in which they were observed.
    """

    counts: Counts
    mask: Bool[Tensor, "trial time"]

    def kept(self, drawn: Counts) -> Counts:
        """Drawn counts, or the observed ones within the mask."""
        return torch.where(self.mask[..., None], self.counts.to(drawn.dtype), drawn)


class Poisson(nn.Module):
    """Counts are independent Poisson draws given the rates (expected counts per bin)."""

    def nll(self, counts: Counts, rates: Rates) -> Rates:
        """Negative log-likelihood of each count in nats.

        The factorial is Stirling's approximation and enters for counts above one only, so that values compare with
        LDNS (Kapoor et al. 2024, Eq. 4) and with the Poisson losses of other toolboxes.
        """
        # Counts are small whole numbers: a table is faster than logarithms of every entry.
        k = torch.arange(2, max(2, int(counts.max())) + 1, dtype=rates.dtype, device=rates.device)
        stirling = k * k.log() - k + 0.5 * (2 * math.pi * k).log()
        factorial = torch.cat([stirling.new_zeros(2), stirling])[counts.int()]
        return rates - counts * (rates + EPSILON).log() + factorial

    def sample(self, rates: Rates, generator: torch.Generator, observed: ObservedCounts | None = None) -> Counts:
        """Draw counts, where none were observed."""
        drawn = torch.poisson(rates.float(), generator=generator).to(torch.int32)
        return drawn if observed is None else observed.kept(drawn)

    def steps(self, n: int, seed: int) -> ObservationSteps:
        """Trials whose counts are drawn bin by bin."""
        return PoissonSteps(seed)
