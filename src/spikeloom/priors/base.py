"""The contract of a prior over latent sequences.

A latent model (``models/latent.py``) calls a prior in this order: ``prepare`` once with the latents of the training
trials; ``loss`` in every training step, on latents that ``normalised`` has z-scored; ``sample`` for new trials. A new
prior subclasses ``LatentPrior`` and defines ``draw`` and, where it is trained by gradient, ``loss``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from spikeloom.conditioning.features import Condition
from spikeloom.training.batch import Batch, mask_of

Latents = Float[Tensor, "trial time latent"]


@dataclass(frozen=True)
class Context:
    """The observed part of trials, which a sample keeps.

    Attributes:
        latents: Latents of the trials; any finite values in bins that are not observed.
        mask: True in observed bins.
    """

    latents: Latents
    mask: Bool[Tensor, "trial time"]


BANDS = 3
"""Thirds of the frequency axis in which spectra of latents are compared."""


class LatentPrior(nn.Module):
    """A distribution over latent sequences of any length.

    A prior works on z-scored latents of shape (trial, time, latent), zero in the padding after each trial's end;
    ``sample`` returns them in the units of the autoencoder. Scale and spectrum of the training latents are buffers, and
    so should be whatever a subclass takes from the training trials in ``prepare``: then the saved weights are complete.

    Further keyword arguments of ``draw`` become options of the model's ``sample`` (and of the command line). A prior
    that can be conditioned on behaviour subclasses ``ConditionalPrior``; one that can fill in partly observed trials
    sets ``fills_in`` and takes ``context`` in ``draw``. The module may also define ``learning_rate_scale(name)``, a
    factor on the learning rate of its parameter of that name, and ``diagnostics(batch, generator)``, numbers by name
    that are logged at every validation.

    Args:
        size: Number of latent channels.

    Example:
        White noise, which learns nothing, is the shortest prior.

        >>> class WhiteNoise(LatentPrior):
        ...     def draw(self, lengths, n_bins, generator, condition):
        ...         return torch.randn((len(lengths), n_bins, len(self.mean)), generator=generator)
        >>> prior = WhiteNoise(2)
        >>> prior.prepare(torch.randn(5, 8, 2), torch.full((5,), 8))
        >>> prior.sample(torch.tensor([3, 4]), torch.Generator().manual_seed(0)).shape
        torch.Size([2, 4, 2])
    """

    fills_in: bool = False
    """Whether ``draw`` takes a ``context`` and completes partly observed trials."""
    mean: Tensor
    std: Tensor
    band_power: Tensor

    def __init__(self, size: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("std", torch.ones(size))
        self.register_buffer("band_power", torch.ones(BANDS))

    def prepare(self, latents: Latents, lengths: Int[Tensor, "trial"]) -> None:
        """Take scale and spectrum from the latents (in the units of the autoencoder) of the training trials."""
        mask = mask_of(lengths, latents.shape[1])
        valid = latents[mask[..., 0]]
        self.mean.copy_(valid.mean(0))
        self.std.copy_(valid.std(0).clamp(min=1e-6))
        self.band_power.copy_(band_power(self.normalised(latents, lengths), lengths))

    def set_up(self, batch: Batch) -> None:
        """Learn in closed form what can be, before training, from the training trials with their conditions.

        Args:
            batch: The trials; ``batch.latents`` are z-scored. Nothing is learned by default.
        """

    def normalised(self, latents: Latents, lengths: Int[Tensor, "trial"]) -> Latents:
        """Z-scored latents; zero in the padding."""
        return (latents - self.mean) / self.std * mask_of(lengths, latents.shape[1])

    def check(self, condition: Condition | None, guidance: float = 1.0) -> None:
        """Check a condition, and the guidance towards it, in training or sampling.

        Raises:
            ConfigError: If this prior cannot be conditioned in that way.
        """

    def loss(self, batch: Batch, generator: torch.Generator) -> Float[Tensor, ""]:
        """Training loss, a scalar; ``batch.latents`` are z-scored. Draw from the generator alone."""
        raise TypeError(f"a {type(self).__name__} is not trained by gradient.")

    def draw(
        self,
        lengths: Int[Tensor, "trial"],
        n_bins: int,
        generator: torch.Generator,
        condition: Condition | None,
        **options: object,
    ) -> Latents:
        """Z-scored latents of new trials.

        Args:
            lengths: Valid bins of each trial.
            n_bins: Bins of the result; those beyond a trial's length are ignored.
            generator: The only source of randomness, so that a seed decides the sample.
            condition: Behaviour to condition on; None of a model without conditions.
            options: Options of the prior.
        """
        raise NotImplementedError  # every prior defines it

    def sample(
        self,
        lengths: Int[Tensor, "trial"],
        generator: torch.Generator,
        condition: Condition | None = None,
        context: Context | None = None,
        **options: object,
    ) -> Latents:
        """Latents of new trials, in the units of the autoencoder; zero in the padding.

        Args:
            lengths: Valid bins of each trial.
            generator: Source of randomness.
            condition: Behaviour to condition on.
            context: Observed part of the trials, in the same units and of as many bins, for a prior that fills in.
            options: Options of ``draw``.
        """
        n_bins = int(lengths.max())
        mask = mask_of(lengths, n_bins)
        if context is not None:
            options["context"] = Context(self.normalised(context.latents, lengths), context.mask)
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
