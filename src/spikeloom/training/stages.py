"""A stage of training: its module, its batches, and how its parameters are optimised."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import nn

from spikeloom.config import check_fields
from spikeloom.training.batch import Batch


@dataclass(frozen=True)
class StageConfig:
    """How the parameters of one stage are optimised (AdamW, linear warm-up, half cosine)."""

    steps: int = 1000
    """Number of optimiser steps."""
    batch_size: int = 64
    """Trials in a step, over all devices together; all trials where there are fewer."""
    learning_rate: float = 2e-3
    """Peak learning rate."""
    warmup_steps: int = 50
    """Steps over which the learning rate rises from zero."""
    cosine_length_factor: float = 1.05
    """Length of the half cosine in multiples of the number of steps: at 1 the learning rate ends at zero."""
    weight_decay: float = 0.01
    """Decoupled weight decay."""
    grad_clip_norm: float = 1.0
    """Largest norm of the gradient."""
    ema_decay: float = 0.0
    """Largest decay of the moving average of the weights, which is what is kept; 0 keeps the weights themselves."""
    validate_every: int = 100
    """Steps from one validation to the next."""
    keep_best: bool = True
    """Keep the weights of the best validation loss rather than the last."""
    patience: int | None = None
    """Stop after this many validations without improvement; never when not set."""

    def __post_init__(self) -> None:
        least = {"steps": 1, "batch_size": 1, "validate_every": 1, "warmup_steps": 0, "patience": 1}
        check_fields(
            self,
            least={**least, "weight_decay": 0, "cosine_length_factor": 1},
            positive=("learning_rate", "grad_clip_norm"),
            below_one=["ema_decay"],
        )

    def learning_rate_at(self, step: int) -> float:
        """Learning rate of a step, counted from 0.

        Example:
            >>> config = StageConfig(steps=1400, learning_rate=1e-3, warmup_steps=70, cosine_length_factor=1.3)
            >>> round(config.learning_rate_at(1400) / 1e-3, 3)  # the end of the Lorenz autoencoder of LDNS
            0.136
        """
        if step < self.warmup_steps:
            return self.learning_rate * (step + 1) / self.warmup_steps
        span = self.cosine_length_factor * self.steps - self.warmup_steps
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, (step - self.warmup_steps) / span)))


@dataclass
class Stage:
    """One part of training a model.

    Attributes:
        name: Name of the stage in metrics and configuration.
        module: What is trained; has ``loss(batch, generator)``, a scalar to be differentiated. It may have
            ``learning_rate_scale(name)``, the factor on the learning rate of its parameter of that name (1 without),
            and ``diagnostics(batch, generator)``, numbers by name that are noted at every validation.
        train: Trials to learn from.
        validation: Trials that choose the best weights.
        config: How to optimise.
    """

    name: str
    module: nn.Module
    train: Batch
    validation: Batch
    config: StageConfig
