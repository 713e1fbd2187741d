"""A bidirectional transformer over tokens of which some are hidden."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

POSITIONS = ("rotary", "learned")
ROTARY_BASE = 1000.0
"""Slowest rotation: one turn in about this many tokens times 2 pi."""

Tokens = Float[Tensor, "batch token width"]
TokenMask = Bool[Tensor, "batch token"]


class Attention(nn.Module):
    """Every token looks at every valid one; with rotary positions (Su et al. 2021), at how far away they are.

    Args:
        width: Width of a token.
        heads: Number of heads.
        rotary: Whether queries and keys are rotated by their positions.
        dropout: Probability with which a weight is dropped in training.
    """

    def __init__(self, width: int, heads: int, rotary: bool, dropout: float):
        super().__init__()
        self.heads, self.rotary, self.dropout = heads, rotary, dropout
        self.inputs = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)

    def forward(self, x: Tokens, valid: TokenMask | None) -> Tokens:
        """Mix over tokens; those that are not valid influence no other."""
        q, k, v = self.inputs(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        if self.rotary:
            q, k = rotated(q), rotated(k)
        mask = None if valid is None else valid[:, None, None]
        mixed = F.scaled_dot_product_attention(q, k, v, mask, self.dropout if self.training else 0.0)
        return self.output(mixed.transpose(1, 2).flatten(2))


class LocalMixing(nn.Module):
    """A convolution of each channel over neighbouring tokens: what attention would take long to learn of smooth paths.

    Args:
        width: Width of a token.
        conv_radius: Tokens on either side that it sees.
    """

    def __init__(self, width: int, conv_radius: int):
        super().__init__()
        self.filter = nn.Conv1d(width, width, 2 * conv_radius + 1, padding=conv_radius, groups=width)

    def forward(self, x: Tokens, valid: TokenMask | None) -> Tokens:
        """Mix over tokens; those that are not valid influence no other."""
        if valid is not None:
            x = x * valid[..., None]
        return self.filter(x.transpose(1, 2)).transpose(1, 2)


class AttentionBlock(nn.Module):
    """Mix neighbours; normalise and attend; normalise and a perceptron four times as wide; all with a residual path."""

    def __init__(self, width: int, heads: int, rotary: bool, dropout: float, conv_radius: int):
        super().__init__()
        self.mixing = LocalMixing(width, conv_radius) if conv_radius else None
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.attention = Attention(width, heads, rotary, dropout)
        self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tokens, valid: TokenMask | None, front: int) -> Tokens:
        """Same shape in and out; tokens that are not valid influence no other.

        Args:
            x: Tokens, the first ``front`` of which are register tokens, without neighbours.
            valid: Where they are valid.
            front: Number of register tokens.
        """
        if self.mixing is not None:
            mixed = self.mixing(x[:, front:], None if valid is None else valid[:, front:])
            x = x + F.pad(mixed, (0, 0, front, 0))
        x = x + self.drop(self.attention(self.norm1(x), valid))
        return x + self.drop(self.narrow(F.gelu(self.widen(self.norm2(x)))))


class MaskedTransformer(nn.Module):
    """Embedding of every token of a sequence in the context of the unmasked ones (Li et al. 2024, arXiv 2406.11838).

    Learned register tokens are prepended to the sequence; the embedded condition of the whole trial is added to them.

    Args:
        inputs: Features of a token.
        width: Width inside; a multiple of twice the heads.
        layers: Number of blocks.
        heads: Attention heads.
        n_register_tokens: Register tokens in front of the sequence (Darcet et al. 2024).
        learned: Positions to learn; with 0 positions are rotary, and a sequence may have any length.
        dropout: Dropout in the blocks.
        static: Features of the condition of a whole trial; 0 for none.
        conv_radius: Tokens on either side that each block mixes before it attends; 0 for none.
    """

    def __init__(
        self,
        inputs: int,
        width: int,
        layers: int,
        heads: int,
        n_register_tokens: int = 8,
        learned: int = 0,
        dropout: float = 0.0,
        static: int = 0,
        conv_radius: int = 0,
    ):
        super().__init__()
        self.embed = nn.Linear(inputs, width)
        self.front = nn.Parameter(0.02 * torch.randn(n_register_tokens, width))
        self.positions = nn.Parameter(0.02 * torch.randn(learned, width)) if learned else None
        self.embed_static = (
            nn.Sequential(nn.Linear(static, width), nn.SiLU(), nn.Linear(width, width)) if static else None
        )
        self.blocks = nn.ModuleList(
            AttentionBlock(width, heads, not learned, dropout, conv_radius) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(width, eps=1e-6)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(
        self,
        tokens: Float[Tensor, "batch token inputs"],
        valid: TokenMask | None = None,
        static: Float[Tensor, "batch static"] | None = None,
    ) -> Tokens:
        """The context of every token; those that are not valid influence no other."""
        x = self.embed(tokens)
        if self.positions is not None:
            # A validation trial may be longer than those of training: its last tokens share a position.
            x = x + self.positions[torch.arange(x.shape[1], device=x.device).clamp(max=len(self.positions) - 1)]
        n = len(self.front)
        front = self.front.expand(len(x), -1, -1)
        if self.embed_static is not None:
            front = front + self.embed_static(static)[:, None]
        x = torch.cat([front.to(x.dtype), x], dim=1)
        valid = None if valid is None else F.pad(valid, (n, 0), value=True)
        for block in self.blocks:
            x = block(x, valid, n)
        return self.norm(x[:, n:])


def rotated(x: Float[Tensor, "batch head token width"]) -> Float[Tensor, "batch head token width"]:
    """Pairs of channels turned by angles proportional to the position, so that products depend on the distance."""
    half = x.shape[-1] // 2
    speed = ROTARY_BASE ** (-torch.arange(half, device=x.device) / half)
    angle = torch.arange(x.shape[-2], device=x.device)[:, None] * speed
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)
