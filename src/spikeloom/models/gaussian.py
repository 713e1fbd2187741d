"""The baseline a learned prior has to beat: the LDNS autoencoder with a Gaussian process for each latent."""

from __future__ import annotations

from dataclasses import dataclass, field

from spikeloom.models.autoencoder import AutoencoderConfig
from spikeloom.models.latent import LatentModel
from spikeloom.models.latent_config import check_observation
from spikeloom.observation.history import HistoryConfig
from spikeloom.priors.gaussian import GaussianPrior
from spikeloom.training.stages import StageConfig


@dataclass(frozen=True)
class GaussianConfig:
    """Configuration of the Gaussian baseline."""

    autoencoder: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    """Spikes to latents and back."""
    autoencoder_training: StageConfig = field(
        default_factory=lambda: StageConfig(
            steps=3000, batch_size=32, learning_rate=3e-3, grad_clip_norm=2.0, patience=8
        )
    )
    """Optimisation of the autoencoder."""
    observation: str = "history"
    """How rates become counts: history (a neuron's own past and its dispersion, fitted), calibrated (the same, and what
    makes the moments of samples those of the recording), published_history (Kapoor et al. 2024) or poisson."""
    history: HistoryConfig = field(default_factory=HistoryConfig)
    """Memory of a neuron for its own spikes."""

    def __post_init__(self) -> None:
        check_observation(self)


class GaussianLatents(LatentModel):
    """The autoencoder of LDNS with a stationary Gaussian prior per latent, learned in closed form."""

    config: GaussianConfig
    name = "gaussian"
    Config = GaussianConfig
    reference = "The autoencoder is that of LDNS: Kapoor J et al. (2024). arXiv:2407.08751"

    def _make_prior(self) -> GaussianPrior:
        return GaussianPrior(self.config.autoencoder.latents, lags=int(self.data_spec.lengths.max()) - 1)
