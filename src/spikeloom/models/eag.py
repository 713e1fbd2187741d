"""EAG: energy-based autoregressive generation of neural population activity."""

from __future__ import annotations

from dataclasses import dataclass, field

from spikeloom.conditioning.features import ConditionSizes
from spikeloom.models.latent import LatentModel
from spikeloom.models.latent_config import LatentConfig
from spikeloom.priors.energy import EnergyConfig, EnergyPrior
from spikeloom.training.stages import StageConfig


@dataclass(frozen=True)
class EAGConfig(LatentConfig):
    """Configuration of EAG."""

    prior: EnergyConfig = field(default_factory=EnergyConfig)
    """Masked autoregression over latents."""
    prior_training: StageConfig = field(
        default_factory=lambda: StageConfig(steps=3000, batch_size=32, learning_rate=3e-3, ema_decay=0.998, patience=8)
    )
    """Optimisation of the prior."""


class EAG(LatentModel):
    """Energy-based autoregressive generation (Ge et al., AAAI 2026, arXiv 2511.17606).

    The autoencoder of LDNS turns spikes into latents; a masked transformer, with a generator that is trained by the
    energy score, fills in hidden latents, and draws new trials, or the rest of begun ones, in a few passes.
    """

    name = "eag"
    Config = EAGConfig
    reference = (
        "Ge N, Dai S, Zhu Y, Yu S (2026). Energy-based autoregressive generation for neural population dynamics. "
        "Proceedings of the AAAI Conference on Artificial Intelligence. arXiv:2511.17606"
    )

    def _make_prior(self) -> EnergyPrior:
        sizes = ConditionSizes.of(self.data_spec.variables)
        return EnergyPrior(self.config.autoencoder.latents, self.config.prior, sizes, int(self.data_spec.lengths.max()))
