"""Embeddings of scalars."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor


def sinusoids(values: Float[Tensor, "batch"], size: int) -> Float[Tensor, "batch {size}"]:
    """Cosines, then sines, of each value at ``size / 2`` geometrically spaced frequencies from 1 down to 1/10000."""
    half = size // 2
    frequencies = torch.exp(-math.log(10_000.0) * torch.arange(half, device=values.device) / half)
    angles = values.float()[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=-1)
