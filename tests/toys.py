"""Two small models that are no product: they show that the protocol fits both families it was made for."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import nn

from spikeloom.models.base import GenerativeModel
from spikeloom.models.latent import LatentModel
from spikeloom.models.sampling import GeneratedBatch
from spikeloom.observation.poisson import Poisson
from spikeloom.priors.base import LatentPrior
from spikeloom.priors.gaussian import GaussianPrior
from spikeloom.training.batch import Batch, mask_of
from spikeloom.training.stages import Stage, StageConfig


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
        self.autoencoder = PointwiseAutoencoder(self.data_spec.n_neurons, self.config.latents)  # type: ignore[assignment]
        self.prior = GaussianPrior(self.config.latents, lags=5)
        self.observation = Poisson()


class TalkingPrior(LatentPrior):
    """Independent bins around a learned place, with both hooks of the training loop.

    Its diagnostics are ``reported``, and two numbers that identify the weights and the random draws.
    """

    reported = {"spread_ratio": 1.0, "increment_ratio": 1.0}  # noqa: RUF012  # tests put another in its place

    def __init__(self, size: int):
        super().__init__(size)
        self.place, self.head = nn.Parameter(torch.zeros(size)), nn.Linear(size, size)
        self.gain = nn.Parameter(torch.ones(size))  # of the rate of ``place``, but found after ``head``
        self.calls: list[tuple[bool, bool, int]] = []

    def learning_rate_scale(self, name: str) -> float:
        return 0.25 if name.startswith("head.") else 1.0

    def loss(self, batch: Batch, generator: torch.Generator):
        noise = torch.randn(batch.latents.shape, generator=generator)
        return (self.head(batch.latents + 0.1 * noise) * self.gain + self.place - batch.latents).square().mean()

    def diagnostics(self, batch: Batch, generator: torch.Generator) -> dict[str, float]:
        self.calls.append((self.training, torch.is_grad_enabled(), len(batch)))
        draw = float(torch.rand(3, generator=generator).sum())
        return {**self.reported, "place": float(self.place.detach().sum()), "draw": draw}

    def draw(self, lengths, n_bins, generator, condition, **options):
        return torch.randn((len(lengths), n_bins, len(self.mean)), generator=generator) + self.place


@dataclass(frozen=True)
class TalkingConfig(TwoStageConfig):
    prior_training: StageConfig = field(default_factory=lambda: StageConfig(steps=4, batch_size=8, validate_every=2))


class Talking(TwoStage):
    """A model whose prior reports diagnostics during training."""

    name = "talking"
    Config = TalkingConfig

    def _build(self):
        super()._build()
        self.prior = TalkingPrior(self.config.latents)


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
        self.encoder = nn.Linear(self.data_spec.n_neurons, 2 * self.config.latents)
        self.decoder = nn.Linear(self.config.latents, self.data_spec.n_neurons)
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
        return GeneratedBatch(rates, self.observation.sample(rates, generator), latents * mask)
