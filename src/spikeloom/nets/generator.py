"""The head of energy-based generation: a small network that turns a context and noise into a sample of a token."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

FIRST_SCALE = 0.5
"""Scale of direct noise in a new head, for tokens of unit variance."""

Rows = Float[Tensor, "row width"]


class ModulatedBlock(nn.Module):
    """Normalise, scale and shift by the noise, perceptron, gate by the noise; residual (Shao et al. 2025, eq. 11)."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.modulation = nn.Linear(width, 3 * width)
        self.first, self.second = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, h: Rows, noise: Rows, temperature: float) -> Rows:
        """Same shape in and out."""
        shift, scale, gate = self.modulation(noise).chunk(3, dim=-1)
        x = torch.addcmul(temperature * shift, self.norm(h), 1 + scale)
        return torch.addcmul(h, gate, self.second(F.silu(self.first(x))))


class Generator(nn.Module):
    """Samples of a token from its context and uniform noise, which enters by adaptive normalisation.

    Built as in EAR (Shao et al. 2025, arXiv 2505.07812), the parent of EAG: modulations and output start at zero, so
    that a new head draws zeros. Such a head learns late to scatter in every direction; with direct noise it begins as a
    Gaussian of every direction, of a scale that the context determines, and learns what is not Gaussian.

    Args:
        context: Width of the context.
        width: Width inside.
        blocks: Number of blocks.
        noise: Number of uniform noise values for a sample.
        outputs: Width of a token.
        direct: Whether there is direct noise.
    """

    def __init__(self, context: int, width: int, blocks: int, noise: int, outputs: int, direct: bool = True):
        super().__init__()
        self.noise = noise
        self.embed_context = nn.Linear(context, width)
        self.embed_noise = nn.Linear(noise, width)
        modulated = [ModulatedBlock(width) for _ in range(blocks)]
        self.blocks = nn.ModuleList(modulated)
        self.modulation = nn.Linear(width, 2 * width)
        self.output = nn.Linear(width, outputs)
        self.scale = nn.Linear(context, outputs) if direct else None
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        for module in (self.output, self.modulation, *(block.modulation for block in modulated)):
            nn.init.zeros_(module.weight)
        if self.scale is not None:
            nn.init.zeros_(self.scale.weight)
            nn.init.constant_(self.scale.bias, FIRST_SCALE)

    def forward(
        self, context: Float[Tensor, "row context"], generator: torch.Generator, temperature: float = 1.0
    ) -> Float[Tensor, "row outputs"]:
        """One sample for each context.

        ``temperature`` scales direct noise, and the shifts that the other makes inside the blocks (as in EAR): at 0 a
        sample still depends a little on the noise.
        """
        eps = torch.rand((len(context), self.noise), generator=generator, device=context.device) - 0.5
        noise = F.silu(self.embed_noise(eps))
        h = self.embed_context(context)
        for block in self.blocks:
            h = block(h, noise, temperature)
        shift, scale = self.modulation(noise).chunk(2, dim=-1)
        sample = self.output(torch.addcmul(shift, F.layer_norm(h, h.shape[-1:], eps=1e-6), 1 + scale))
        if self.scale is None:
            return sample
        direct = torch.randn(sample.shape, generator=generator, device=context.device)
        return torch.addcmul(sample, temperature * self.scale(context), direct)
