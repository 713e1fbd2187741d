"""EAG: energy-based autoregressive generation of neural population activity."""

from __future__ import annotations

from dataclasses import dataclass, field

from spikeloom.condition import ConditionSizes
from spikeloom.models.autoencoder import AutoencoderConfig
from spikeloom.models.latent import LatentModel, check_observation
from spikeloom.observation.history import HistoryConfig
from spikeloom.priors.energy import EnergyConfig, EnergyPrior
from spikeloom.training import StageConfig


@dataclass(frozen=True)
class EAGConfig:
    """Configuration of EAG."""

    autoencoder: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    """Spikes to latents and back."""
    prior: EnergyConfig = field(default_factory=EnergyConfig)
    """Masked autoregression over latents."""
    autoencoder_training: StageConfig = field(
        default_factory=lambda: StageConfig(steps=3000, batch_size=32, learning_rate=3e-3, clip=2.0, patience=8)
    )
    """Optimisation of the autoencoder."""
    prior_training: StageConfig = field(
        default_factory=lambda: StageConfig(steps=3000, batch_size=32, learning_rate=3e-3, ema=0.998, patience=8)
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
        sizes = ConditionSizes.of(self.recording.variables)
        return EnergyPrior(self.config.autoencoder.latents, self.config.prior, sizes, int(self.recording.lengths.max()))
