"""Generations: how many steps of which stage of a model lie between two tournaments."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from spikeloom.config import flattened
from spikeloom.errors import ConfigError
from spikeloom.training.stages import StageConfig

GENERATIONS = 20
"""Generations when neither their number nor their steps are given."""
CONSTANT = 1e9
"""A cosine of a horizon so long is one: the learning rate is what the search says, at every step."""
SET_BY_SEARCH = ("steps", "validate_every", "warmup_steps", "cosine_length_factor", "keep_best", "patience")
"""Of the configuration of a stage: what population-based training sets, because it decides when to stop and what to
keep, and searches the learning rate as it is."""


@dataclass(frozen=True)
class StagePlan:
    """One stage of a model in population-based training.

    Attributes:
        name: Field of the configuration that says how it is trained.
        first: Steps of its first generation.
        each: Steps of every further one.
        generations: Number of generations.
        validate_every: Steps between validations; the last step of a generation is always one of them.
    """

    name: str
    first: int
    each: int
    generations: int
    validate_every: int

    @property
    def steps(self) -> int:
        """Steps of all its generations."""
        return self.first + (self.generations - 1) * self.each if self.generations else 0


@dataclass(frozen=True)
class Plan:
    """The generations of all stages in turn; generations are counted from 1."""

    stages: tuple[StagePlan, ...]

    @property
    def generations(self) -> int:
        """Number of generations."""
        return sum(stage.generations for stage in self.stages)

    def end(self, generation: int) -> int:
        """Optimiser steps, of all stages together, at the end of a generation; 0 before the first."""
        steps = 0
        for stage in self.stages:
            n = min(generation, stage.generations)
            steps += replace(stage, generations=n).steps
            generation -= n
        return steps

    def stage(self, generation: int) -> int:
        """Index of the stage that is trained in a generation."""
        ends = [sum(s.generations for s in self.stages[: i + 1]) for i in range(len(self.stages))]
        return bisect_left(ends, generation)

    def begin(self, index: int) -> int:
        """Steps of the stages before one."""
        return sum(stage.steps for stage in self.stages[:index])

    def configuration(self, config: Any) -> Any:
        """A configuration whose stages have a constant learning rate, end as planned and keep their last weights.

        Stages that the plan does not reach keep their number of steps.
        """
        changed = {}
        for stage in self.stages:
            old: StageConfig = getattr(config, stage.name)
            changed[stage.name] = replace(
                old,
                steps=stage.steps or old.steps,
                validate_every=stage.validate_every if stage.steps else old.validate_every,
                warmup_steps=0,
                cosine_length_factor=CONSTANT,
                keep_best=False,
                patience=None,
            )
        return replace(config, **changed)

    def ended(self, config: Any, steps: int) -> Any:
        """A configuration whose present stage ends after so many steps of all stages together, which are done."""
        for index, stage in enumerate(self.stages):
            here = steps - self.begin(index)
            if 0 < here < stage.steps:
                return replace(config, **{stage.name: replace(getattr(config, stage.name), steps=here)})
        return config


def stage_names(config: Any) -> list[str]:
    """Fields of a configuration that say how a stage is trained, in the order of the stages."""
    return [f.name for f in fields(config) if isinstance(getattr(config, f.name), StageConfig)]


def stage_name(field: str) -> str:
    """The stage that a field of a configuration is about: autoencoder_training is about autoencoder."""
    return field.removesuffix("_training")


def rising_steps(config: Any) -> int:
    """Steps until the weights of a model's loss have risen: the end of the last ramp that its configuration names.

    Example:
        >>> from spikeloom.models.lfads_config import LFADSConfig
        >>> rising_steps(LFADSConfig(ramp_start=20, ramp_steps=80))
        100
    """
    values = flattened(config)
    ends = [0]
    for key, value in values.items():
        group, _, name = key.rpartition(".")
        if name == "ramp_steps" and value:
            ends.append(value + values.get(f"{group}.ramp_start".lstrip("."), 0))
    return max(ends)


def planned(
    config: Any,
    generations: int | None = None,
    generation_steps: int | None = None,
    first_steps: int | None = None,
    done: Sequence[str] = (),
) -> Plan:
    """The generations of a model.

    Steps are rounded up so that validations divide a generation evenly. Without a number of generations there are as
    many as the stages have steps for; with one, the last stage is longer where it has fewer, and what comes after that
    number is left to the end of the search.

    Args:
        config: The model's configuration.
        generations: Number of generations.
        generation_steps: Steps of a generation.
        first_steps: Steps of the first generation; those of a generation, after those over which the weights of the
            model's loss rise, when not given.
        done: Stages that are not trained, because what they learn is taken over.

    Example:
        >>> from spikeloom.models.lfads_config import LFADSConfig
        >>> plan = planned(LFADSConfig(), generations=3, generation_steps=100)
        >>> [plan.end(generation) for generation in range(4)]  # its divergences rise over 500 steps
        [0, 600, 700, 800]
    """
    names = [name for name in stage_names(config) if stage_name(name) not in done]
    configs: dict[str, StageConfig] = {name: getattr(config, name) for name in names}
    total = sum(stage.steps for stage in configs.values())
    length = generation_steps or math.ceil(total / (generations or GENERATIONS))
    ramp = rising_steps(config)
    stages, left = [], generations
    for name in names:
        stage = configs[name]
        looks = math.ceil(length / stage.validate_every)
        every = math.ceil(length / looks)
        each = every * looks
        first = each
        if not stages and (first_steps or ramp):
            first = every * math.ceil((first_steps or min(ramp + each, max(stage.steps, each))) / every)
        n = 1 + math.ceil(max(0, stage.steps - first) / each)
        if left is not None:
            n = left if name == names[-1] else min(n, left)
            left -= n
        stages.append(StagePlan(name, first, each, n, every))
    return Plan(tuple(stages))


def refuse_set_keys(keys: Sequence[str], config: Any) -> None:
    """Refuse to search what population-based training sets itself.

    Raises:
        ConfigError: At the first such key.
    """
    for name in stage_names(config):
        for key in keys:
            if key in {f"{name}.{field}" for field in SET_BY_SEARCH}:
                raise ConfigError(
                    f"'{key}' cannot be searched by pbt, which sets it itself; leave it out of the space, or ask for "
                    "random search."
                )


def stages_of(keys: Sequence[str], plan: Plan) -> Mapping[str, int | None]:
    """The stage to which each key belongs, by its name; None where it may concern any.

    Example:
        >>> plan = Plan((StagePlan("autoencoder_training", 1, 1, 1, 1), StagePlan("prior_training", 1, 1, 1, 1)))
        >>> stages_of(["prior.dropout", "prior_training.learning_rate", "history.bins"], plan)
        {'prior.dropout': 1, 'prior_training.learning_rate': 1, 'history.bins': None}
    """
    names = [stage_name(stage.name) for stage in plan.stages]
    roots = {key: stage_name(key.partition(".")[0]) for key in keys}
    several = len(names) > 1
    return {key: names.index(root) if several and root in names else None for key, root in roots.items()}
