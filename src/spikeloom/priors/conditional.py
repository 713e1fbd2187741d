"""The contract of a prior that can be conditioned on behaviour."""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from spikeloom.conditioning.features import Condition, ConditionSizes
from spikeloom.errors import ConfigError
from spikeloom.priors.base import LatentPrior

STRONGEST_GUIDANCE = 100
"""Guidance beyond this leaves no sense, and soon no finite numbers, in samples."""


@runtime_checkable
class ConditionFields(Protocol):
    """The fields of a configuration that say how conditions are learned and followed."""

    @property
    def condition_dropout(self) -> float:
        """Probability with which a trial's condition, and each variable of it, is hidden in training."""
        ...

    @property
    def guidance(self) -> float:
        """How strongly samples follow their condition."""
        ...


def check_condition_fields(config: ConditionFields) -> None:
    """Check how conditions are learned and followed.

    Raises:
        ConfigError: If a value is out of range, or guidance lacks condition dropout.
    """
    if not 0 <= config.condition_dropout < 1:
        raise ConfigError(f"prior.condition_dropout is {config.condition_dropout}, but must lie in [0, 1).")
    if not 0 <= config.guidance <= STRONGEST_GUIDANCE:
        raise ConfigError(f"prior.guidance is {config.guidance:g}, but must lie between 0 and {STRONGEST_GUIDANCE}.")
    if config.guidance != 1 and not config.condition_dropout:
        raise ConfigError(
            f"prior.guidance is {config.guidance}, but needs a model that has learned to do without its condition; "
            "set prior.condition_dropout, for example to 0.1."
        )


class ConditioningFeatures(NamedTuple):
    """Inputs of a network besides the latents: a vector for each trial, and one for each bin."""

    static: Float[Tensor, "trial static"] | None = None
    aligned: Float[Tensor, "trial time aligned"] | None = None

    def in_windows(self, bins: Int[Tensor, "number time"]) -> ConditioningFeatures:
        """The features of windows of the trials."""
        static = None if self.static is None else self.static.repeat_interleave(len(bins), dim=0)
        return ConditioningFeatures(static, None if self.aligned is None else self.aligned[:, bins].flatten(0, 1))

    def at(self, rows: Bool[Tensor, "trial"], bins: Int[Tensor, "row window"]) -> ConditioningFeatures:
        """The features of some trials in a window of each."""
        static = None if self.static is None else self.static[rows]
        aligned = None if self.aligned is None else self.aligned[rows]
        if aligned is not None:
            aligned = aligned.gather(1, bins[..., None].expand(-1, -1, aligned.shape[2]))
        return ConditioningFeatures(static, aligned)


class ConditionalPrior(LatentPrior):
    """A prior over latents given the behaviour of a trial: p(latents | condition).

    Conditions are dropped at random in training, and one more feature of each variable marks where it has a value: so
    any of them may be left out in sampling, and classifier-free guidance works (Ho and Salimans 2022). Without
    condition dropout every sample needs a complete condition.

    Args:
        size: Number of latent channels.
        config: How conditions are learned and followed.
        sizes: Features of the variables to condition on.
    """

    def __init__(self, size: int, config: ConditionFields, sizes: ConditionSizes | None = None):
        super().__init__(size)
        self.config = config
        self.sizes = sizes or ConditionSizes()
        if config.guidance != 1 and not self.sizes:
            raise ConfigError(
                f"prior.guidance is {config.guidance:g}, but the model has no condition to follow; name some in "
                "condition_on, or leave the guidance at 1."
            )

    @property
    def feature_sizes(self) -> tuple[int, int]:
        """Widths of the features of a trial and of those of a bin."""
        static, aligned = (sum(s) + (len(s) if self.config.condition_dropout else 0) for s in self.sizes.all)
        return static, aligned

    def features(self, condition: Condition | None) -> ConditioningFeatures:
        """The features of a condition, over its own bins."""
        if condition is None:
            return ConditioningFeatures()
        static, aligned = condition.static, condition.aligned
        if self.config.condition_dropout:
            static = torch.cat([static, condition.static_known.float()], dim=1)
            known = condition.aligned_known[:, None].float()
            aligned = torch.cat([aligned, known.expand(-1, aligned.shape[1], -1)], dim=2)
        return ConditioningFeatures(static, aligned)

    def with_dropout(self, condition: Condition | None, generator: torch.Generator) -> Condition | None:
        """The condition of a training batch, with condition dropout."""
        if condition is None or not self.config.condition_dropout:
            return condition
        return condition.dropped(self.config.condition_dropout, generator)

    def check(self, condition: Condition | None, guidance: float = 1.0) -> None:
        """Check that there is a condition for guidance, and no missing value without condition dropout.

        Raises:
            ConfigError: If there is none, or a value is missing.
        """
        if not 0 <= guidance <= STRONGEST_GUIDANCE:
            raise ConfigError(f"the guidance is {guidance:g}, but must lie between 0 and {STRONGEST_GUIDANCE}.")
        if guidance != 1 and not self.sizes:
            raise ConfigError(
                f"guidance is {guidance:g}, but the model was trained without conditions; leave guidance out."
            )
        if self.config.condition_dropout or condition is None:
            return
        if guidance != 1:
            raise ConfigError(
                f"guidance is {guidance:g}, but the model was trained with condition_dropout 0 and cannot "
                "sample without a condition; fit one with --prior.condition_dropout 0.1."
            )
        if not condition.complete:
            raise ConfigError(
                "with condition_dropout 0 every trial needs a value of every condition, in training and in sampling; "
                "give them all, or fit with --prior.condition_dropout 0.1."
            )
