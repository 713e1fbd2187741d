"""Two small models that are no product: they show that the protocol fits both families it was made for."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import nn

from spikeloom.batch import Batch, mask_of
from spikeloom.models.base import GenerativeModel
from spikeloom.models.latent import LatentModel
from spikeloom.observation.poisson import Poisson
from spikeloom.priors.gaussian import GaussianPrior
from spikeloom.training import Stage, StageConfig


class PointwiseAutoencoder(nn.Module):
    """A linear map per bin to latents and back: the least that has ``encode``, ``decode`` and ``loss``."""

    def __init__(self, n_neurons: int, latents: int):
        super().__init__()
        self.down, self.up = nn.Linear(n_neurons, latents), nn.Linear(latents, n_neurons)

    def encode(self, counts, mask=None):
        return self.down(counts)

    def decode(self, latents, mask=None):
        return F.softplus(self.up(latents))

    def loss(self, batch: Batch, generator: torch.Generator):
        nll = Poisson().nll(batch.counts, self.decode(self.encode(batch.counts.float())))
        return nll.mean() if batch.mask is None else (nll * batch.mask).sum() / (batch.mask.sum() * nll.shape[-1])


@dataclass(frozen=True)
class TwoStageConfig:
    latents: int = 3
    autoencoder_training: StageConfig = field(default_factory=lambda: StageConfig(steps=4, batch_size=8))


class TwoStage(LatentModel):
    """Any autoencoder with any prior: here a pointwise one with a Gaussian process."""

    name = "two_stage"
    Config = TwoStageConfig
    reference = "none"

    def _build(self):
        self.autoencoder = PointwiseAutoencoder(self.recording.n_neurons, self.config.latents)  # type: ignore[assignment]
        self.prior = GaussianPrior(self.config.latents, lags=5)
        self.observation = Poisson()


@dataclass(frozen=True)
class OneStageConfig:
    latents: int = 3
    training: StageConfig = field(default_factory=lambda: StageConfig(steps=4, batch_size=8))


class OneStage(GenerativeModel):
    """A variational autoencoder of single bins: encoder, prior and decoder trained together (as pi-VAE is)."""

    name = "one_stage"
    Config = OneStageConfig
    reference = "none"

    def _build(self):
        self.encoder = nn.Linear(self.recording.n_neurons, 2 * self.config.latents)
        self.decoder = nn.Linear(self.config.latents, self.recording.n_neurons)
        self.observation = Poisson()

    def stages(self, data):
        train, validation = Batch.of(data.split("train")), Batch.of(data.split("val"))
        yield Stage("all", self, train, validation, self.config.training)

    def loss(self, batch: Batch, generator: torch.Generator):
        mean, log_var = self.encoder(batch.counts.float()).chunk(2, dim=-1)
        noise = torch.randn(mean.shape, generator=generator)
        rates = F.softplus(self.decoder(mean + noise * (0.5 * log_var).exp()))
        divergence = 0.5 * (mean.square() + log_var.exp() - log_var - 1).sum(-1, keepdim=True)
        terms = self.observation.nll(batch.counts, rates) + divergence / rates.shape[-1]
        return terms.mean() if batch.mask is None else (terms * batch.mask).mean()

    def _infer(self, batch: Batch):
        latents = self.encoder(batch.counts.float()).chunk(2, dim=-1)[0]
        mask = mask_of(batch.lengths, batch.n_bins)
        return latents * mask, F.softplus(self.decoder(latents)) * mask

    def _generate(self, lengths, generator, condition, **options):
        n_bins = int(lengths.max())
        latents = torch.randn((len(lengths), n_bins, self.config.latents), generator=generator)
        mask = mask_of(lengths, n_bins)
        rates = F.softplus(self.decoder(latents)) * mask
        return latents * mask, rates, self.observation.sample(rates, generator)
