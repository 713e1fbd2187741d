"""Configuration of pi-VAE."""

from __future__ import annotations

from dataclasses import dataclass, field

from spikeloom.config import check_fields
from spikeloom.models.latent_config import check_observation
from spikeloom.observation.history import HistoryConfig
from spikeloom.training.stages import StageConfig


@dataclass(frozen=True)
class PiVAEConfig:
    """Configuration of pi-VAE."""

    latents: int = 8
    """Latents of a bin; fewer for a recording of fewer neurons, because the decoder loses none."""
    encoder_units: int = 60
    """Units of each of the two hidden layers of the networks that infer latents from counts."""
    prior_units: int = 32
    """Units of each of the two hidden layers of the network from labels to latents; a single label variable has
    a table instead."""
    decoder_units: int | None = None
    """Units of each of the two hidden layers of the decoder's networks; the larger of 30 and a quarter of the number of
    neurons, when not set."""
    decoder_blocks: int = 2
    """Blocks of the volume-preserving flow: a permutation and two couplings each."""
    log_variance_limit: float = 5.0
    """Largest absolute log-variance of a posterior."""
    ramp_steps: int = 500
    """Training steps over which the divergence of posteriors from the prior comes to its weight of 1, lest latents are
    left unused; 0 for that weight from the first."""
    posterior_samples: int = 16
    """Samples of the posterior over which inferred rates are averaged; 0 takes the rates at its mean."""
    condition_on: tuple[str, ...] = ()
    """Labels of a bin: trial columns and signals; "NAME:KIND" for a column says what it is: deg or rad (an angle),
    label or number. Without any, the latents of all bins have one learned normal distribution."""
    observation: str = "history"
    """How rates become counts: history (a neuron's own past and its dispersion, fitted), calibrated (the same, and what
    makes the moments of samples those of the recording), published_history (Kapoor et al. 2024) or poisson."""
    history: HistoryConfig = field(default_factory=HistoryConfig)
    """Memory of a neuron for its own spikes."""
    training: StageConfig = field(
        default_factory=lambda: StageConfig(
            steps=2000, batch_size=64, learning_rate=3e-3, weight_decay=0.0, validate_every=50
        )
    )
    """Optimisation."""

    def __post_init__(self) -> None:
        sizes: dict[str, int] = dict.fromkeys(("latents", "encoder_units", "prior_units", "decoder_units"), 1)
        counted: dict[str, int] = dict.fromkeys(("decoder_blocks", "ramp_steps", "posterior_samples"), 0)
        check_fields(self, least=sizes | counted, positive=["log_variance_limit"])
        check_observation(self)

    def ramp(self, step: int) -> float:
        """Weight of the divergence at a training step, counted from 1.

        Example:
            >>> config = PiVAEConfig(ramp_steps=3)
            >>> [config.ramp(step) for step in (1, 2, 3, 4, 5)]
            [0.25, 0.5, 0.75, 1.0, 1.0]
        """
        return min(1.0, step / (self.ramp_steps + 1))
