"""LDNS: latent diffusion for neural spiking data."""

from __future__ import annotations

from dataclasses import dataclass, field

from spikeloom.condition import ConditionSizes
from spikeloom.models.autoencoder import AutoencoderConfig
from spikeloom.models.latent import LatentModel, check_observation
from spikeloom.observation.history import HistoryConfig
from spikeloom.priors.diffusion import DiffusionConfig, DiffusionPrior
from spikeloom.training import StageConfig


@dataclass(frozen=True)
class LDNSConfig:
    """Configuration of LDNS."""

    autoencoder: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    """Spikes to latents and back."""
    prior: DiffusionConfig = field(default_factory=DiffusionConfig)
    """Diffusion over latents."""
    autoencoder_training: StageConfig = field(
        default_factory=lambda: StageConfig(steps=3000, batch_size=32, learning_rate=3e-3, clip=2.0, patience=8)
    )
    """Optimisation of the autoencoder."""
    prior_training: StageConfig = field(
        default_factory=lambda: StageConfig(steps=3000, batch_size=32, learning_rate=4e-3, ema=0.998, patience=8)
    )
    """Optimisation of the prior."""
    observation: str = "history"
    """How rates become counts: history (a neuron's own past and its dispersion, fitted), published_history (Kapoor et
    al. 2024) or poisson."""
    history: HistoryConfig = field(default_factory=HistoryConfig)
    """What a neuron remembers of its own spikes."""
    condition_on: tuple[str, ...] = ()
    """Trial columns and signals that samples will be asked for; "NAME:KIND" for a column says what it is: deg or rad
    (an angle), label or number."""

    def __post_init__(self) -> None:
        check_observation(self)


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
        sizes = ConditionSizes.of(self.recording.variables)
        return DiffusionPrior(self.config.autoencoder.latents, self.config.prior, sizes)
