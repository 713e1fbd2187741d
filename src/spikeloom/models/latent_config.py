"""The common part of the configurations of latent models."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from spikeloom.config import check_fields
from spikeloom.errors import ConfigError
from spikeloom.models.autoencoder import AutoencoderConfig
from spikeloom.observation.history import HistoryConfig
from spikeloom.training.stages import StageConfig

OBSERVATIONS = ("calibrated", "history", "published_history", "poisson")
"""How rates become counts."""


@dataclass(frozen=True)
class LatentConfig:
    """Configuration of a latent model whose prior is trained; a model sets the types of ``prior``."""

    autoencoder: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    """Spikes to latents and back."""
    prior: Any = None
    """Distribution over latents."""
    autoencoder_training: StageConfig = field(
        default_factory=lambda: StageConfig(
            steps=3000, batch_size=32, learning_rate=3e-3, grad_clip_norm=2.0, patience=8
        )
    )
    """Optimisation of the autoencoder."""
    prior_training: StageConfig = field(default_factory=StageConfig)
    """Optimisation of the prior."""
    observation: str = "history"
    """How rates become counts: history (a neuron's own past and its dispersion, fitted), calibrated (the same, and what
    makes the moments of samples those of the recording), published_history (Kapoor et al. 2024) or poisson."""
    history: HistoryConfig = field(default_factory=HistoryConfig)
    """Memory of a neuron for its own spikes."""
    context_dropout: float = 0.0
    """Share of the counts of a context that is hidden from the encoder, others in each draw, so that draws differ by
    what the encoder cannot know of the context; at 0.5 its latents scatter as far as they may be wrong. 0 takes them
    for known."""
    condition_on: tuple[str, ...] = ()
    """Trial columns and signals that samples can be conditioned on; "NAME:KIND" declares the kind of a column: deg or
    rad (an angle), label or number."""

    def __post_init__(self) -> None:
        check_observation(self)
        if not 0 <= self.context_dropout < 1:
            raise ConfigError(f"context_dropout is {self.context_dropout:g}, but must lie in [0, 1).")


def check_observation(config: Any) -> None:
    """Refuse a configuration whose field "observation" names none, or whose field "history" nothing would read.

    Raises:
        ConfigError: If it is so.
    """
    check_fields(config, one_of={"observation": OBSERVATIONS})
    changed = [k for k, v in asdict(config.history).items() if v != getattr(HistoryConfig(), k)]
    if changed and config.observation not in ("history", "calibrated"):
        raise ConfigError(
            f"history.{changed[0]} is {getattr(config.history, changed[0])}, but with observation "
            f"'{config.observation}' nothing reads it; leave it out, or set observation to history."
        )


def refuse_other_autoencoder(config: Any, other: Any, group: str = "autoencoder") -> None:
    """Refuse a configuration whose autoencoder, or its training, is not that of the model it is to be taken from.

    Raises:
        ConfigError: At the first value that differs.
    """
    theirs = asdict(getattr(other, group))
    for name, value in asdict(getattr(config, group)).items():
        if value != theirs.get(name):
            raise ConfigError(
                f"{group}.{name} is {value!r}, but {theirs.get(name)!r} where the autoencoder is to be taken from; "
                "leave that out, or train an autoencoder of its own."
            )
