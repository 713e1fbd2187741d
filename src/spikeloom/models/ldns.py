"""LDNS: latent diffusion for neural spiking data."""

from __future__ import annotations

from dataclasses import dataclass, field

from spikeloom.conditioning.features import ConditionSizes
from spikeloom.models.latent import LatentModel
from spikeloom.models.latent_config import LatentConfig
from spikeloom.priors.diffusion import DiffusionConfig, DiffusionPrior
from spikeloom.training.stages import StageConfig


@dataclass(frozen=True)
class LDNSConfig(LatentConfig):
    """Configuration of LDNS."""

    prior: DiffusionConfig = field(default_factory=DiffusionConfig)
    """Diffusion over latents."""
    prior_training: StageConfig = field(
        default_factory=lambda: StageConfig(steps=3000, batch_size=32, learning_rate=4e-3, ema_decay=0.998, patience=8)
    )
    """Optimisation of the prior."""


class LDNS(LatentModel):
    """Latent diffusion for neural spiking data (Kapoor et al., NeurIPS 2024, arXiv 2407.08751).

    An autoencoder turns spikes into smooth, time-aligned latents; a diffusion model learns the distribution of those
    latents, given what the trials were recorded under if it was told; new latents are decoded to rates and rates drawn
    as counts.
    """

    name = "ldns"
    Config = LDNSConfig
    reference = (
        "Kapoor J, Schulz A, Vetter J, Pei F, Gao R, Macke JH (2024). Latent diffusion for neural spiking data. "
        "Advances in Neural Information Processing Systems 37. arXiv:2407.08751"
    )

    def _make_prior(self) -> DiffusionPrior:
        sizes = ConditionSizes.of(self.data_spec.variables)
        return DiffusionPrior(self.config.autoencoder.latents, self.config.prior, sizes)
