"""The inputs and outputs of a trained autoencoder that do not depend on which neurons it was trained with."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from spikeloom.models.autoencoder import Autoencoder
from spikeloom.models.sessions.bank import Bank

MOST_BINS = 20_000
"""Bins from which the functions of latents are found."""


class Subspace(nn.Module):
    """Subspace of the channels of an autoencoder that the reference neurons use; other neurons are to use the same.

    Weights in it are of the order of one: directions and functions are scaled by how much the reference neurons use
    each, so that those they hardly use matter little to other neurons too.

    Its read-in fills some directions of the encoder's channels only, and its rates are sums of few of the functions of
    latents that the decoder offers. A session whose neurons are read in along these directions, and read out from
    these functions, has far fewer weights to learn from its trials.

    Args:
        channels: Width of the autoencoder.
        input_rank: Directions of its input.
        output_rank: Functions of latents.
    """

    lift: Tensor
    lift_bias: Tensor
    basis: Tensor
    centre: Tensor

    def __init__(self, channels: int, input_rank: int, output_rank: int):
        super().__init__()
        self.register_buffer("lift", torch.zeros(input_rank, channels))
        self.register_buffer("lift_bias", torch.zeros(channels))
        self.register_buffer("basis", torch.zeros(channels, output_rank))
        self.register_buffer("centre", torch.zeros(channels))

    @classmethod
    def of_width(cls, channels: int, n_neurons: int, input_rank: int, output_rank: int) -> Subspace:
        """One with no more directions than the reference has channels or neurons."""
        return cls(channels, min(input_rank, channels, n_neurons), min(output_rank, channels, n_neurons))

    @torch.no_grad()
    def fill(self, autoencoder: Autoencoder, mean_counts: Float[Tensor, "neuron"], bank: Bank) -> None:
        """Find the directions and functions that the reference neurons use most.

        Args:
            autoencoder: The trained autoencoder of the reference session.
            mean_counts: Mean count per bin of its neurons, which is taken for their variance too.
            bank: Encoded trials of that session.
        """
        read_in, read_out = autoencoder.read_in, autoencoder.read_out
        spread = mean_counts.clamp(min=1e-6).sqrt()
        left, strength, _ = torch.linalg.svd(read_in.weight * spread, full_matrices=False)
        rank = len(self.lift)
        self.lift.copy_((left[:, :rank] * strength[:rank]).T)
        self.lift_bias.copy_(read_in.bias + read_in.weight @ mean_counts)

        latents = bank.raw()
        mask = None if bool((bank.lengths == latents.shape[1]).all()) else bank.inside
        channels = F.gelu(autoencoder.decoded(latents, mask))[bank.inside[..., 0]]
        channels = channels[:: -(-len(channels) // MOST_BINS)].double()
        self.centre.copy_(channels.mean(0))
        covariance = torch.cov(channels.T)
        weights = read_out.weight.double()
        axes = torch.linalg.eigh(weights @ covariance @ weights.T)[1].flip(1)[:, : self.basis.shape[1]]
        self.basis.copy_(weights.T @ axes / len(weights) ** 0.5)
