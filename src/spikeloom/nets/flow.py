"""A volume-preserving decoder: a few latents become the many outputs of a population without losing any of them.

Blocks of a fixed permutation and two affine couplings whose Jacobian determinant is 1 (Sorrenson, Rother and Koethe
2020), as in the decoder of pi-VAE (Zhou and Wei 2020).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

Channels = Float[Tensor, "*batch channel"]

LARGEST_LOG_SCALE = 0.1
"""Of all channels but the last of a coupling, which makes up for the others."""


def perceptron(size: int, hidden: int, out: int, activation: type[nn.Module]) -> nn.Sequential:
    """Two hidden layers."""
    return nn.Sequential(
        nn.Linear(size, hidden), activation(), nn.Linear(hidden, hidden), activation(), nn.Linear(hidden, out)
    )


class Coupling(nn.Module):
    """Affine coupling: scale and shift one part of the channels as a function of the other, then exchange the parts.

    The logarithms of the scales add up to zero, so volumes stay as they are. The first part is the smaller one where
    the number of channels is odd.

    Args:
        channels: Number of channels, at least two.
        hidden: Units of each hidden layer.
    """

    def __init__(self, channels: int, hidden: int):
        super().__init__()
        self.n_fixed = channels // 2
        self.n_transformed = channels - self.n_fixed
        self.network = perceptron(self.n_fixed, hidden, 2 * self.n_transformed - 1, nn.ReLU)

    def forward(self, x: Channels) -> Channels:
        """Channels of the same number."""
        fixed, transformed = x[..., : self.n_fixed], x[..., self.n_fixed :]
        parameters = self.network(fixed)
        log_scale = LARGEST_LOG_SCALE * torch.tanh(parameters[..., : self.n_transformed - 1])
        log_scale = torch.cat([log_scale, -log_scale.sum(-1, keepdim=True)], dim=-1)
        return torch.cat([transformed * log_scale.exp() + parameters[..., self.n_transformed - 1 :], fixed], dim=-1)


class VolumePreservingFlow(nn.Module):
    """Blocks of a fixed random permutation and two couplings; a bijection with Jacobian determinant +-1.

    A single channel stays as it is.

    Args:
        channels: Number of channels.
        hidden: Units of each hidden layer of a coupling.
        blocks: Number of blocks.
    """

    orders: Tensor

    def __init__(self, channels: int, hidden: int, blocks: int):
        super().__init__()
        blocks = blocks if channels > 1 else 0
        orders = [torch.randperm(channels) for _ in range(blocks)]
        self.register_buffer("orders", torch.stack(orders) if orders else torch.zeros(0, channels, dtype=torch.int64))
        self.couplings = nn.ModuleList(Coupling(channels, hidden) for _ in range(2 * blocks))

    def forward(self, x: Channels) -> Channels:
        """Channels of the same number."""
        for block, order in enumerate(self.orders):
            x = self.couplings[2 * block + 1](self.couplings[2 * block](x.index_select(-1, order)))
        return x


class FlowDecoder(nn.Module):
    """Latents to outputs: the latents and a function of them fill up the channels, which a flow then mixes.

    Args:
        latents: Number of latents, at most that of outputs.
        outputs: Number of outputs.
        blocks: Blocks of the flow.
        hidden: Units of each hidden layer.
    """

    def __init__(self, latents: int, outputs: int, blocks: int, hidden: int):
        super().__init__()
        self.filling = perceptron(latents, hidden, outputs - latents, nn.ReLU) if outputs > latents else None
        self.flow = VolumePreservingFlow(outputs, hidden, blocks)
        self.offset = nn.Parameter(torch.zeros(outputs))

    def forward(self, z: Float[Tensor, "*batch latent"]) -> Float[Tensor, "*batch output"]:
        """Outputs of latents."""
        filled = z if self.filling is None else torch.cat([z, self.filling(z)], dim=-1)
        return self.flow(filled) + self.offset
