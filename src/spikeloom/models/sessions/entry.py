"""The read-in and read-out of one session, in the subspace that the reference neurons use."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from spikeloom.models.autoencoder import Autoencoder
from spikeloom.models.sessions.subspace import Subspace

FIRST_SHARE = 0.3
"""Spread of the first loadings over that of the reference neurons."""


class SessionEntry(nn.Module):
    """Maps of a session's neurons to the encoder's channels, and from the decoder's channels to its neurons.

    Each is a known map (zero for new neurons; for neurons that were recorded before, the one they had) plus one in the
    subspace that is learned. Several first weights are trained side by side, along the first axis ("start") of every
    parameter.

    Args:
        n_neurons: Neurons of the session.
        starts: Number of first weights.
        subspace: That of the reference.
    """

    mean: Tensor
    known_in: Tensor
    known_bias: Tensor
    known_out: Tensor

    def __init__(self, n_neurons: int, starts: int, subspace: Subspace):
        super().__init__()
        (inputs, channels), outputs = subspace.lift.shape, subspace.basis.shape[1]
        self.read_in = nn.Parameter(torch.zeros(starts, n_neurons, inputs))
        self.in_bias = nn.Parameter(torch.zeros(starts, 1, inputs))
        self.read_out = nn.Parameter(torch.zeros(starts, outputs, n_neurons))
        self.out_bias = nn.Parameter(torch.zeros(starts, 1, n_neurons))
        self.register_buffer("mean", torch.zeros(n_neurons))
        self.register_buffer("known_in", torch.zeros(n_neurons, channels))
        self.register_buffer("known_bias", torch.zeros(channels))
        self.register_buffer("known_out", torch.zeros(channels, n_neurons))

    @torch.no_grad()
    def begin(self, mean_counts: Float[Tensor, "neuron"], subspace: Subspace, seed: int) -> None:
        """Random first weights for new neurons, whose rates begin at their means.

        Args:
            mean_counts: Mean count per bin of each neuron.
            subspace: That of the reference, filled.
            seed: Seed of the weights.
        """
        generator = torch.Generator().manual_seed(seed)
        counts = mean_counts.clamp(min=1e-4)  # nearly their variance, so that every input has about unit variance
        self.read_in.copy_(torch.randn(self.read_in.shape, generator=generator) / float(counts.sum()) ** 0.5)
        self.read_out.copy_(FIRST_SHARE * torch.randn(self.read_out.shape, generator=generator))
        self.out_bias.copy_(counts + torch.log(-torch.expm1(-counts)))  # inverse of the softplus
        self.mean.copy_(mean_counts)
        self.known_bias.copy_(subspace.lift_bias)

    @torch.no_grad()
    def begin_with(self, autoencoder: Autoencoder) -> None:
        """First weights of neurons that were recorded before: those that they had in this autoencoder."""
        self.known_in.copy_(autoencoder.read_in.weight.T)
        self.known_bias.copy_(autoencoder.read_in.bias)
        self.known_out.copy_(autoencoder.read_out.weight.T)
        self.out_bias.copy_(autoencoder.read_out.bias)

    def energy(self) -> Float[Tensor, "start"]:
        """Negative logarithm, up to a constant, of a standard normal prior of the learned loadings."""
        return self.read_out.square().sum((1, 2)) / 2

    def channels(
        self, counts: Float[Tensor, "trial time neuron"], subspace: Subspace
    ) -> Float[Tensor, "start_trial time channel"]:
        """The encoder's input for every start, one start after the other."""
        values = torch.einsum("btn,snr->sbtr", counts - self.mean, self.read_in) + self.in_bias[:, None]
        return (values @ subspace.lift + counts @ self.known_in + self.known_bias).flatten(0, 1)

    def activations(
        self, channels: Float[Tensor, "start_trial time channel"], subspace: Subspace
    ) -> Float[Tensor, "start trial time neuron"]:
        """Activations that the softplus turns into rates, for every start, from the GELU of the decoder's channels."""
        channels = channels.unflatten(0, (len(self.read_out), -1))
        functions = (channels - subspace.centre) @ subspace.basis
        learned = torch.einsum("sbtr,srn->sbtn", functions, self.read_out)
        return learned + channels @ self.known_out + self.out_bias[:, None]

    @torch.no_grad()
    def write_to(self, autoencoder: Autoencoder, start: int | Int[Tensor, ""], subspace: Subspace) -> None:
        """Give the weights of one start to an autoencoder of these neurons, as its read-in and read-out."""
        read_in, read_out = self.read_in[start] @ subspace.lift, subspace.basis @ self.read_out[start]
        autoencoder.read_in.weight.copy_((read_in + self.known_in).T)
        shift = (self.in_bias[start] @ subspace.lift)[0] - self.mean @ read_in
        autoencoder.read_in.bias.copy_(self.known_bias + shift)
        autoencoder.read_out.weight.copy_((read_out + self.known_out).T)
        autoencoder.read_out.bias.copy_(self.out_bias[start, 0] - subspace.centre @ read_out)
