"""What every prior over latent sequences has in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from spikeloom.conditioning.features import Condition
from spikeloom.training.batch import Batch, mask_of

Latents = Float[Tensor, "trial time latent"]


@dataclass(frozen=True)
class Given:
    """Latents that a sample has to keep.

    Attributes:
        latents: Their values; what is not known may be anything finite.
        known: Where they are to be kept.
    """

    latents: Latents
    known: Bool[Tensor, "trial time"]


BANDS = 3
"""Thirds of the frequency axis in which spectra of latents are compared."""


class LatentPrior(nn.Module):
    """A distribution over latent sequences of any length.

    The scale of the latents and the spectrum a sample should have are buffers, so saved weights are whole. A prior
    works on z-scored latents; ``sample`` returns them in the units of the autoencoder.

    Subclasses define ``draw`` and, if they are trained by gradient, ``loss``.

    Args:
        size: Number of latent channels.
    """

    fills_in: ClassVar[bool] = False
    """Whether it can draw the rest of trials of which a part is given."""
    mean: Tensor
    std: Tensor
    band_power: Tensor

    def __init__(self, size: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("std", torch.ones(size))
        self.register_buffer("band_power", torch.ones(BANDS))

    def prepare(self, latents: Latents, lengths: Int[Tensor, "trial"]) -> None:
        """Take scale and spectrum from the latents of the training trials."""
        mask = mask_of(lengths, latents.shape[1])
        valid = latents[mask[..., 0]]
        self.mean.copy_(valid.mean(0))
        self.std.copy_(valid.std(0).clamp(min=1e-6))
        self.band_power.copy_(band_power(self.normalised(latents, lengths), lengths))

    def normalised(self, latents: Latents, lengths: Int[Tensor, "trial"]) -> Latents:
        """Z-scored latents; zero in the padding."""
        return (latents - self.mean) / self.std * mask_of(lengths, latents.shape[1])

    def check(self, condition: Condition | None, guidance: float = 1.0) -> None:
        """Refuse a condition, in training or sampling, that this prior cannot deal with.

        Raises:
            ConfigError: If it cannot.
        """

    def loss(self, batch: Batch, generator: torch.Generator) -> Float[Tensor, ""]:
        """Training loss on a batch whose latents are z-scored already."""
        raise TypeError(f"a {type(self).__name__} is not trained by gradient.")

    def draw(
        self,
        lengths: Int[Tensor, "trial"],
        n_bins: int,
        generator: torch.Generator,
        condition: Condition | None,
        **options: object,
    ) -> Latents:
        """Z-scored latents of trials of the given lengths, padded to ``n_bins``."""
        raise NotImplementedError  # every prior defines it

    def sample(
        self,
        lengths: Int[Tensor, "trial"],
        generator: torch.Generator,
        condition: Condition | None = None,
        given: Given | None = None,
        **options: object,
    ) -> Latents:
        """Latents of new trials of the given lengths, in the units of the autoencoder; zero in the padding.

        With ``given`` latents of as many bins, in the same units, for a prior that fills in, the rest of these trials.
        """
        n_bins = int(lengths.max())
        mask = mask_of(lengths, n_bins)
        if given is not None:
            options["given"] = Given(self.normalised(given.latents, lengths), given.known)
        return (self.draw(lengths, n_bins, generator, condition, **options) * self.std + self.mean) * mask

    def spectrum_ratio(self, latents: Latents, lengths: Int[Tensor, "trial"]) -> Float[Tensor, "band"]:
        """Power of sampled over training latents in the low, middle and high third of frequencies; 1 is right."""
        return self.ratio_of(self.power(latents, lengths, latents.shape[1]), int(lengths.sum()))

    def power(self, latents: Latents, lengths: Int[Tensor, "trial"], n_bins: int) -> Float[Tensor, "frequency"]:
        """Power of z-scored latents, zero-padded to ``n_bins``, at each frequency; a sum over trials and channels."""
        return power(self.normalised(latents, lengths), n_bins)

    def ratio_of(self, total: Float[Tensor, "frequency"], valid_bins: int) -> Float[Tensor, "band"]:
        """The ``spectrum_ratio`` of trials from the sum of their ``power`` and of their lengths."""
        return in_bands(total, valid_bins, len(self.mean)) / self.band_power


def power(latents: Latents, n_bins: int) -> Float[Tensor, "frequency"]:
    """Power of sequences, zero-padded to ``n_bins``, at each frequency; summed over trials and channels."""
    return torch.fft.rfft(latents, n=n_bins, dim=1).abs().square().sum(dim=(0, 2))


def in_bands(total: Float[Tensor, "frequency"], valid_bins: int, channels: int) -> Float[Tensor, "band"]:
    """Mean of a power in equal bands of frequency, per valid bin and channel."""
    mean = total / valid_bins / channels
    thirds = torch.tensor_split(mean, BANDS)
    return torch.stack([third.mean() if len(third) else mean.mean() for third in thirds])


def band_power(latents: Latents, lengths: Int[Tensor, "trial"]) -> Float[Tensor, "band"]:
    """Mean power of zero-padded sequences in equal bands of frequency, per valid bin."""
    return in_bands(power(latents, latents.shape[1]), int(lengths.sum()), latents.shape[2])
