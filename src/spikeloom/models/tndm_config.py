"""Configuration of TNDM."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from spikeloom.config import check_fields
from spikeloom.errors import ConfigError
from spikeloom.models.held_out_inputs import HeldOutInputsConfig
from spikeloom.models.initial import IC_DISTRIBUTIONS
from spikeloom.models.latent_config import check_observation
from spikeloom.nets.behaviour_readout import KINDS
from spikeloom.nets.tndm import CELLS
from spikeloom.observation.history import HistoryConfig
from spikeloom.training.stages import StageConfig

AVERAGES = ("rate", "log")
KL_DIRECTIONS = ("posterior", "reverse")


@dataclass(frozen=True)
class WeightConfig:
    """A weight in the loss, beside the likelihood of a whole trial's counts, which has weight 1."""

    value: float = 1.0
    """The weight, in the end."""
    ramp_start: int = 0
    """Step until which it is zero, if it rises at all."""
    ramp_steps: int = 0
    """Steps over which it rises from zero; 0 for a weight that is what it is from the first step."""

    def __post_init__(self) -> None:
        check_fields(self, least=dict.fromkeys(("value", "ramp_start", "ramp_steps"), 0))
        if self.ramp_start and not self.ramp_steps:
            raise ConfigError(
                f"ramp_start is {self.ramp_start}, but a weight that does not rise is never zero; set ramp_steps."
            )

    def at(self, step: int) -> float:
        """The weight at a training step, counted from 0.

        Example:
            >>> weight = WeightConfig(1.0, ramp_start=1000, ramp_steps=2000)  # of irrelevant initial conditions
            >>> [weight.at(step) for step in (0, 1000, 2000, 3000, 9000)]
            [0.0, 0.0, 0.5, 1.0, 1.0]
        """
        if not self.ramp_steps:
            return self.value
        return self.value * min(1.0, max(0, step - self.ramp_start) / self.ramp_steps)


@dataclass(frozen=True)
class WeightsConfig:
    """Weights of the parts of the loss."""

    behaviour: WeightConfig = field(default_factory=lambda: WeightConfig(4.0))
    """Of half the squared error of z-scored behaviour, summed over the bins and dimensions of a trial."""
    kl_relevant: WeightConfig = field(default_factory=lambda: WeightConfig(0.1, ramp_steps=300))
    """Of the divergence of relevant initial conditions from their prior, in nats; 1 is an evidence lower bound. The
    less, the better are inferred rates and behaviour, and the less alike are trials sampled from the prior."""
    kl_irrelevant: WeightConfig = field(default_factory=lambda: WeightConfig(0.1, ramp_start=150, ramp_steps=300))
    """Of that of irrelevant ones, which begins later, so that information about behaviour goes into relevant ones."""
    independence: WeightConfig = field(default_factory=lambda: WeightConfig(100.0))
    """Of the mean squared covariance of a relevant and an irrelevant initial condition."""
    l2: WeightConfig = field(default_factory=lambda: WeightConfig(0.0))
    """Of the sum of squared weights from state to state in both generators."""

    def at(self, step: int) -> dict[str, float]:
        """All weights at a training step, counted from 0."""
        return {f.name: getattr(self, f.name).at(step) for f in fields(self)}

    @property
    def final(self) -> dict[str, float]:
        """All weights when they have risen."""
        return {f.name: getattr(self, f.name).value for f in fields(self)}


@dataclass(frozen=True)
class TNDMConfig:
    """Configuration of TNDM."""

    behaviour: str | None = None
    """The signal that relevant factors explain; that of the recording when not given, if it has one only."""
    ic_dim: int = 16
    """Values of each of the two initial conditions, which together are a trial's code."""
    encoder_units: int = 64
    """Units of the encoder, in each direction of time."""
    generator_units: int = 64
    """Units of each of the two generators."""
    cell: str = "lfads"
    """Cell of the generators: gru (as published, and faster for long trials) or lfads (the reset gate before the
    product, states that are clipped, and kept at first)."""
    cell_clip: float = 5.0
    """Largest absolute value of a state of the cell of lfads."""
    relevant_factors: int = 10
    """Factors from which both rates and behaviour are read."""
    irrelevant_factors: int = 10
    """Factors from which rates alone are read. Latents of a trial are relevant factors, then irrelevant ones."""
    decoder: str = "fir"
    """How behaviour is read from relevant factors: fir (the present and the last few bins; trials of any length),
    synchronous (the present bin), causal (all bins so far, each with weights of its own; up to the length of the
    longest training trial, as published) or full (all bins of the trial, of the same length)."""
    lags: int = 5
    """Bins that fir looks at, the present one included."""
    dropout: float = 0.05
    """Share of the input, of the encoder's summary and of what is read out of states that is dropped in training."""
    prior_variance: float = 1.0
    """Variance of the prior over initial conditions, whose mean is zero."""
    min_variance: float = 1e-4
    """Added to the variance of every posterior over initial conditions."""
    kl_direction: str = "posterior"
    """Which divergence is meant: of the posterior from the prior (posterior, an evidence lower bound) or of the prior
    from the posterior (reverse, as released)."""
    independence_samples: int = 0
    """Samples of each trial's posterior from which covariances of relevant and irrelevant initial conditions are taken;
    0 takes what is expected of infinitely many."""
    weights: WeightsConfig = field(default_factory=WeightsConfig)
    """Weights of the parts of the loss."""
    ic_distribution: str = "fitted"
    """Where unconditional samples take their codes from: the prior (as published), a normal distribution fitted to the
    posteriors of all training trials (fitted), or the posterior of a training trial drawn for each (posterior), which
    does not leave what was recorded."""
    held_out_inputs: HeldOutInputsConfig = field(default_factory=HeldOutInputsConfig)
    """Counts that are hidden from the encoder."""
    observation: str = "history"
    """How rates become counts: history (a neuron's own past and its dispersion, fitted), calibrated (the same, and what
    makes the moments of samples those of the recording), published_history (Kapoor et al. 2024) or poisson."""
    history: HistoryConfig = field(default_factory=HistoryConfig)
    """Memory of a neuron for its own spikes."""
    posterior_samples: int = 16
    """Samples of the posterior over which inferred rates, factors and behaviour are averaged; 0 takes what follows from
    its mean."""
    average: str = "rate"
    """The average over posterior samples: rate, or log (their logarithm, as published)."""
    training: StageConfig = field(
        default_factory=lambda: StageConfig(
            steps=1500, batch_size=64, learning_rate=5e-3, weight_decay=0.0, grad_clip_norm=0.02, validate_every=50
        )
    )
    """Optimisation."""

    def __post_init__(self) -> None:
        sizes = ("ic_dim", "encoder_units", "generator_units", "relevant_factors", "irrelevant_factors", "lags")
        check_fields(
            self,
            least=dict.fromkeys(sizes, 1) | {"posterior_samples": 0, "independence_samples": 0},
            positive=("cell_clip", "prior_variance", "min_variance"),
            below_one=["dropout"],
            one_of={
                "cell": CELLS,
                "decoder": KINDS,
                "kl_direction": KL_DIRECTIONS,
                "ic_distribution": IC_DISTRIBUTIONS,
                "average": AVERAGES,
            },
        )
        for name, reader, needed in (("lags", "decoder", "fir"), ("cell_clip", "cell", "lfads")):
            if getattr(self, name) != type(self).__dataclass_fields__[name].default and getattr(self, reader) != needed:
                raise ConfigError(
                    f"{name} is {getattr(self, name)}, but with {reader} '{getattr(self, reader)}' nothing reads it; "
                    f"leave it out, or set {reader} to {needed}."
                )
        check_observation(self)

    @property
    def signals(self) -> tuple[str, ...]:
        """Signals that the model reads and generates."""
        return () if self.behaviour is None else (self.behaviour,)
