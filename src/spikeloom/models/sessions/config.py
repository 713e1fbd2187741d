"""How a session is added to a trained core."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from spikeloom.config import check_fields
from spikeloom.errors import ConfigError
from spikeloom.training.stages import StageConfig

SAME_NEURONS_RATE, SAME_NEURONS_SHRINKAGE = 0.25, 10.0
"""Factors on the learning rate and on the prior's weight where training starts from what is known of the neurons."""


@dataclass(frozen=True)
class SessionConfig:
    """How the neurons of a session are joined to the latents of another one (``docs/howto/sessions.md``)."""

    mmd: float = 0.3
    """Weight of the discrepancy between the latents of the session and the bank of encoded reference trials."""
    behaviour: float = 0.3
    """Weight of the squared error with which shared behaviour and conditions are read from the session's latents."""
    shrinkage: float = 1.0
    """Weight of a normal prior of the loadings of new neurons, as wide as the reference neurons' are; 1 is Bayes."""
    starts: int = 3
    """Random first weights that are trained side by side, where no behaviour is shared; the best is kept."""
    input_rank: int = 16
    """Values that the neurons of a session are read into."""
    output_rank: int = 16
    """Functions of the latents that the neurons of a session are read out from."""
    bank_trials: int = 500
    """Most reference trials in the bank."""
    windows: int = 256
    """Short windows of latents that are compared in a step."""
    training: StageConfig = field(
        default_factory=lambda: StageConfig(
            steps=250,
            batch_size=16,
            learning_rate=8e-2,
            warmup_steps=30,
            cosine_length_factor=1.02,
            grad_clip_norm=2.0,
            keep_best=False,
        )
    )
    """Optimisation of the session's read-in and read-out."""

    def for_same_neurons(self) -> SessionConfig:
        """The same for neurons whose read-in and read-out are known from another day: they are changed less.

        Simulated drift (a third of the neurons lost, tuning turned by 30 degrees, none at all): with 5 and 20 trials
        rates were better by .005 to .017 in R2 than with the values for new neurons.
        """
        training = replace(self.training, learning_rate=SAME_NEURONS_RATE * self.training.learning_rate)
        return replace(self, shrinkage=SAME_NEURONS_SHRINKAGE * self.shrinkage, training=training)

    def __post_init__(self) -> None:
        positive = ("starts", "input_rank", "output_rank", "bank_trials")
        check_fields(self, "adding.", least={**dict.fromkeys(positive, 1), "windows": 2, "mmd": 0, "behaviour": 0})
        if self.mmd == 0 and self.behaviour == 0:
            raise ConfigError(
                "adding.mmd and adding.behaviour are both 0, so nothing would bring the latents of sessions "
                "together; leave one of them above 0."
            )
