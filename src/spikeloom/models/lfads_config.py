"""Configuration of LFADS."""

from __future__ import annotations

from dataclasses import dataclass, field

from spikeloom.config import check_fields
from spikeloom.models.activity import COUNTS
from spikeloom.models.held_out_inputs import HeldOutInputsConfig
from spikeloom.models.initial import IC_DISTRIBUTIONS
from spikeloom.models.latent_config import check_observation
from spikeloom.observation.history import HistoryConfig
from spikeloom.training.stages import StageConfig

KL_NORMALIZATIONS = ("trial", "value")


@dataclass(frozen=True)
class ControllerConfig:
    """The network that infers inputs to the generator."""

    inputs: int = 0
    """Inputs to the generator; 0 for no controller, so that a trial follows from its initial condition alone."""
    encoder_units: int = 64
    """Units, in each direction of time, of the network that shows it the trial."""
    units: int = 64
    """Units of the controller."""
    lag: int = 1
    """Bins on either side of the present one that it is not shown."""
    tau_bins: float = 10.0
    """Time constant, in bins, that the autoregressive prior over inputs starts with."""
    noise_variance: float = 0.1
    """Variance of what is new in a bin that this prior starts with."""
    kl_weight: float = 1.0
    """Weight of the divergence of inputs from their prior, in the measure of kl_normalization."""

    def __post_init__(self) -> None:
        least = {"inputs": 0, "encoder_units": 1, "units": 1, "lag": 0, "kl_weight": 0}
        check_fields(self, "controller.", least=least, positive=("tau_bins", "noise_variance"))


@dataclass(frozen=True)
class L2Config:
    """Weights of the mean squared entry of each network's matrix from state to state."""

    generator: float = 0.0
    """Of the generator."""
    controller: float = 0.0
    """Of the controller."""
    encoder: float = 0.0
    """Of both directions of the encoder of initial conditions."""
    controller_encoder: float = 0.0
    """Of both directions of the encoder that the controller is shown."""

    def __post_init__(self) -> None:
        check_fields(self, "l2.", least=dict.fromkeys(vars(self), 0))


@dataclass(frozen=True)
class LFADSConfig:
    """Configuration of LFADS."""

    activity: str = COUNTS
    """Activity to learn: counts (with a Poisson likelihood), or a signal with a column for each neuron (with a squared
    error of z-scores), such as the activity of simulated units."""
    ic_dim: int = 32
    """Values of a trial's initial condition, which is its code."""
    encoder_units: int = 64
    """Units of the encoder of initial conditions, in each direction of time."""
    generator_units: int = 64
    """Units of the generator."""
    factors: int = 20
    """Projections of the generator's state from which rates are read: the latents of a trial."""
    controller: ControllerConfig = field(default_factory=ControllerConfig)
    """Inputs to the generator."""
    held_out_inputs: HeldOutInputsConfig = field(default_factory=HeldOutInputsConfig)
    """Counts that are hidden from the encoders."""
    dropout: float = 0.05
    """Share of the input, and of what is read out of states, that is dropped in training."""
    coordinated_dropout: float = 0.2
    """Share of values hidden from the encoders in training; only what was hidden teaches. 0 hides nothing."""
    cell_clip: float = 5.0
    """Largest absolute value of a recurrent state."""
    prior_variance: float = 0.1
    """Variance of the prior over initial conditions, whose mean is learned."""
    min_variance: float = 1e-4
    """Added to the variance of every posterior over initial conditions."""
    kl_weight: float = 0.1
    """Weight of the divergence of initial conditions from their prior. The less, the better are inferred rates, and the
    less alike are trials sampled from the prior to recorded ones."""
    kl_normalization: str = "trial"
    """Beside what divergences are weighed: the loss of a whole trial, so that 1 is an evidence lower bound (trial), or
    the mean loss of a bin of a neuron (value, as published: thousands of times as strong)."""
    ic_distribution: str = "fitted"
    """Where unconditional samples take their codes from: the prior (as published), a normal distribution fitted to the
    posteriors of all training trials (fitted), or the posterior of a training trial drawn for each (posterior), which
    does not leave what was recorded."""
    l2: L2Config = field(default_factory=L2Config)
    """Penalties on recurrent weights."""
    ramp_start: int = 0
    """Step after which the weights of divergence and penalties begin to rise."""
    ramp_steps: int = 500
    """Steps over which they rise."""
    observation: str = "history"
    """How rates become counts: history (a neuron's own past and its dispersion, fitted), calibrated (the same, and what
    makes the moments of samples those of the recording), published_history (Kapoor et al. 2024) or poisson."""
    history: HistoryConfig = field(default_factory=HistoryConfig)
    """Memory of a neuron for its own spikes."""
    posterior_samples: int = 16
    """Samples of the posterior over which inferred rates and factors are averaged; 0 takes what follows from its
    mean."""
    training: StageConfig = field(
        default_factory=lambda: StageConfig(
            steps=2000, batch_size=64, learning_rate=5e-3, weight_decay=0.0, grad_clip_norm=0.02, validate_every=50
        )
    )
    """Optimisation."""

    def __post_init__(self) -> None:
        sizes: dict[str, int] = dict.fromkeys(("ic_dim", "encoder_units", "generator_units", "factors"), 1)
        counted: dict[str, int] = dict.fromkeys(("ramp_start", "ramp_steps", "posterior_samples", "kl_weight"), 0)
        check_fields(
            self,
            least=sizes | counted,
            positive=("cell_clip", "prior_variance", "min_variance"),
            below_one=("dropout", "coordinated_dropout"),
            one_of={"kl_normalization": KL_NORMALIZATIONS, "ic_distribution": IC_DISTRIBUTIONS},
        )
        check_observation(self)

    @property
    def signals(self) -> tuple[str, ...]:
        """Signals that the model reads and generates."""
        return () if self.activity == COUNTS else (self.activity,)

    def ramp(self, step: int) -> float:
        """Share of their weights that divergence and penalties have at a training step, counted from 1.

        Example:
            >>> config = LFADSConfig(ramp_steps=80)
            >>> [round(config.ramp(step), 4) for step in (1, 40, 80, 81, 500)]
            [0.0123, 0.4938, 0.9877, 1.0, 1.0]
        """
        return min(1.0, max(0.0, (step - self.ramp_start) / (self.ramp_steps + 1)))
