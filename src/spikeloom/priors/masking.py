"""Which tokens are hidden in training, and in which order and number they are revealed in sampling."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

SCHEDULES = ("cosine", "narrow")
ORDERS = ("spread", "random")
NARROWEST, NARROW_STD = 0.7, 0.25
GOLDEN = (math.sqrt(5) - 1) / 2


def masked_share(schedule: str, n: int, generator: torch.Generator) -> Float[Tensor, "trial"]:
    """Share of the tokens of each trial that is hidden in a training step.

    Args:
        schedule: "cosine": cos(pi u / 2) with u spread evenly over (0, 1), the shares that the reveal schedule passes
            through (Chang et al. 2022, arXiv 2202.04200); "narrow": one share for all, from the lower half of a normal
            around 1 of deviation 0.25, cut at 0.7 (Li et al. 2024; as published).
        n: Number of trials.
        generator: Source of randomness.
    """
    u = torch.rand(1, generator=generator, device=generator.device)
    if schedule == "cosine":
        return torch.cos(torch.pi / 2 * ((torch.arange(n, device=u.device) / n + u) % 1))
    # The normal is cut at [0.7, 1]: its quantile at a uniform share of the probability between.
    lowest = 0.5 * (1 + math.erf((NARROWEST - 1) / NARROW_STD / math.sqrt(2)))
    return (1 + NARROW_STD * torch.special.ndtri(lowest + u * (0.5 - lowest))).expand(n)


def reveal_rank(
    free: Bool[Tensor, "trial token"],
    lengths: Int[Tensor, "trial"],
    spread: Bool[Tensor, "trial"],
    generator: torch.Generator,
) -> Int[Tensor, "trial token"]:
    """Place of each free token in the order of revealing, from 0; tokens that are not free come after all others.

    A spread order goes around the trial in steps of the golden ratio from a random phase, so that tokens which are
    revealed together lie far apart (after Besnier et al. 2025, arXiv 2503.17076); a random one is a permutation.

    Args:
        free: Tokens to order.
        lengths: Tokens of each trial.
        spread: Whether a trial has a spread order.
        generator: Source of phases and permutations.
    """
    n, width = free.shape
    place = torch.rand((n, width), generator=generator, device=free.device)
    phase = torch.rand((n, 1), generator=generator, device=free.device)
    if bool(spread.any()):
        # Twice the golden ratio's worth of steps visits every token; what should be left over keeps its random place.
        steps = torch.arange(4 * width + 8, device=free.device)
        visited = ((phase + GOLDEN * steps) % 1 * lengths[:, None]).long().clamp(max=width - 1)
        first = torch.full((n, width), len(steps), device=free.device)
        first = first.scatter_reduce(1, visited, steps.expand(n, -1), "amin")
        place = torch.where(spread[:, None], first + place, place)
    place = place.masked_fill(~free, torch.inf)
    return place.argsort(1).argsort(1)


def revealed_after(tokens: Int[Tensor, "trial"], steps: int) -> Int[Tensor, "trial step"]:
    """How many of the tokens of each trial are revealed after each of the steps: a cosine, at least one a step.

    A trial of fewer tokens than steps is done early.

    Example:
        >>> revealed_after(torch.tensor([64]), 16).diff(prepend=torch.zeros(1, 1))[0].int().tolist()
        [1, 1, 1, 2, 3, 3, 4, 4, 5, 5, 5, 6, 6, 6, 6, 6]
    """
    device, tokens = tokens.device, tokens.cpu()  # not every device has double precision
    hidden, result = tokens, []
    for step in range(steps):
        kept = (tokens.double() * math.cos(math.pi / 2 * (step + 1) / steps)).floor().long()
        kept = torch.minimum(kept.clamp(min=1), hidden - 1) if step + 1 < steps else torch.zeros_like(tokens)
        hidden = kept.clamp(min=0)
        result.append(tokens - hidden)
    return torch.stack(result, dim=1).to(device)
