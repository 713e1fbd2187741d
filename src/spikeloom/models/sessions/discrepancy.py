"""How far the latents of a session are from those of the bank, on short windows: maximum mean discrepancy."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

WINDOW_BINS = 4
"""Bins of a window; they are some bins apart."""
KERNELS = 3
"""Kernels that are added up: exp(-d^2 / (dim s)) with s = 0.5, 2 and 8."""

Latents = Float[Tensor, "trial time latent"]


def window_starts(
    lengths: Int[Tensor, "trial"], spacing: int, n: int, generator: torch.Generator
) -> tuple[Int[Tensor, "n"], Int[Tensor, "n"]]:
    """Trial and first bin of random windows; every window of a trial that is long enough is as likely as any other.

    Where no trial is, windows begin with the trial, and their last bins are its last.
    """
    room = (lengths - (WINDOW_BINS - 1) * spacing).clamp(min=0)
    weights = room.float() if bool(room.any()) else torch.ones_like(room, dtype=torch.float32)
    trial = torch.multinomial(weights, n, replacement=True, generator=generator)
    share = torch.rand(n, generator=generator, device=lengths.device)
    return trial, (share * room[trial]).long()


def windows(
    latents: Latents,
    lengths: Int[Tensor, "trial"],
    spacing: int,
    trial: Int[Tensor, "n"],
    start: Int[Tensor, "n"],
) -> Float[Tensor, "n dim"]:
    """Windows of latents, each as one vector."""
    bins = start[:, None] + spacing * torch.arange(WINDOW_BINS, device=start.device)
    return latents[trial[:, None], bins.minimum(lengths[trial, None] - 1)].flatten(1)


def pooled_kernel(x: Float[Tensor, "start n dim"], y: Float[Tensor, "start m dim"]) -> Float[Tensor, "start n m"]:
    """Sum of the kernels of all pairs; the wide one, to the fourth and the sixteenth power, gives the others."""
    distance = x.square().sum(-1)[..., :, None] + y.square().sum(-1)[..., None, :] - 2 * x @ y.transpose(-1, -2)
    wide = torch.exp(-distance.clamp(min=0) / (8 * x.shape[-1]))
    middle = wide.square().square()
    return wide + middle + middle.square().square()


def within(x: Float[Tensor, "start n dim"]) -> Float[Tensor, "start"]:
    """Mean kernel of the pairs of different windows."""
    n = x.shape[1]
    return (pooled_kernel(x, x).sum((1, 2)) - KERNELS * n) / (n * (n - 1))


def squared_discrepancy(x: Float[Tensor, "start n dim"], y: Float[Tensor, "m dim"]) -> Float[Tensor, "start"]:
    """Squared maximum mean discrepancy of several samples from one, unbiased (Gretton et al. 2012).

    Args:
        x: Windows of latents, of several read-ins.
        y: Windows of the bank.
    """
    return within(x) + within(y[None]) - 2 * pooled_kernel(x, y.expand(len(x), -1, -1)).mean((1, 2))
