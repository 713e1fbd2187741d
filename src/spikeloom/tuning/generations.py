"""Generations: how many steps of which stage of a model lie between two tournaments."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from spikeloom.config import flattened
from spikeloom.errors import ConfigError
from spikeloom.training.stages import StageConfig

GENERATIONS = 20
"""Generations when neither their number nor their steps are given."""
CONSTANT = 1e9
"""A cosine of so many training lengths is constant: the learning rate is the one that is searched, at every step."""
SET_BY_SEARCH = ("steps", "validate_every", "warmup_steps", "cosine_length_factor", "keep_best", "patience")
"""Fields of a stage that population-based training sets, because it decides when to stop and which weights to keep, and
searches the learning rate as it is."""


@dataclass(frozen=True)
class StageGenerations:
    """The generations in which one stage of a model is trained.

    Attributes:
        name: Field of the configuration that configures the stage.
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
class Generations:
    """The generations of all stages in turn, counted from 1."""

    stages: tuple[StageGenerations, ...]

    @property
    def _each(self) -> list[tuple[int, int]]:
        """Index of the stage and number of steps of every generation."""
        return [
            (index, stage.each if n else stage.first)
            for index, stage in enumerate(self.stages)
            for n in range(stage.generations)
        ]

    def __len__(self) -> int:
        return len(self._each)

    def end(self, generation: int) -> int:
        """Optimiser steps, over all stages, at the end of a generation; 0 before the first."""
        return sum(steps for _, steps in self._each[:generation])

    def stage(self, generation: int) -> int:
        """Index of the stage that is trained in a generation."""
        return self._each[generation - 1][0]

    def begin(self, index: int) -> int:
        """Steps of the stages before one."""
        return sum(stage.steps for stage in self.stages[:index])

    def configuration(self, config: Any) -> Any:
        """A configuration whose stages have a constant learning rate, end as planned and keep their last weights.

        Stages that no generation reaches keep their number of steps.
        """
        changed = {}
        for stage in self.stages:
            lengths = {"steps": stage.steps, "validate_every": stage.validate_every} if stage.steps else {}
            constant = {"warmup_steps": 0, "cosine_length_factor": CONSTANT, "keep_best": False, "patience": None}
            changed[stage.name] = replace(getattr(config, stage.name), **lengths, **constant)
        return replace(config, **changed)

    def ended(self, config: Any, steps: int) -> Any:
        """A configuration whose current stage ends after the steps, over all stages, that have been trained."""
        for index, stage in enumerate(self.stages):
            here = steps - self.begin(index)
            if 0 < here < stage.steps:
                return replace(config, **{stage.name: replace(getattr(config, stage.name), steps=here)})
        return config

    def stages_of(self, keys: Sequence[str]) -> Mapping[str, int | None]:
        """Index of the stage to which each hyper-parameter belongs, by its name; None where it may affect any.

        Example:
            >>> both = ("autoencoder_training", "prior_training")
            >>> generations = Generations(tuple(StageGenerations(name, 1, 1, 1, 1) for name in both))
            >>> generations.stages_of(["prior.dropout", "prior_training.learning_rate", "history.bins"])
            {'prior.dropout': 1, 'prior_training.learning_rate': 1, 'history.bins': None}
        """
        names = [stage_name(stage.name) for stage in self.stages]
        roots = {key: stage_name(key.partition(".")[0]) for key in keys}
        several = len(names) > 1
        return {key: names.index(root) if several and root in names else None for key, root in roots.items()}


def stage_fields(config: Any) -> list[str]:
    """Fields of a configuration that configure the training of a stage, in the order of the stages."""
    return [f.name for f in fields(config) if isinstance(getattr(config, f.name), StageConfig)]


def stage_name(field: str) -> str:
    """The stage that a field of a configuration is about: autoencoder_training is about autoencoder."""
    return field.removesuffix("_training")


def rising_steps(config: Any) -> int:
    """Steps over which the weights of a model's loss rise: the end of the last ramp in its configuration.

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


def generations_of(
    config: Any,
    generations: int | None = None,
    generation_steps: int | None = None,
    first_steps: int | None = None,
    done: Sequence[str] = (),
) -> Generations:
    """Divide the training of a model into generations.

    Steps are rounded up so that validations divide a generation evenly. Without a number of generations there are as
    many as the stages have steps for. With one, the last stage is longer where it has fewer; stages beyond that number
    are trained after the search.

    Args:
        config: The model's configuration.
        generations: Number of generations.
        generation_steps: Steps of a generation.
        first_steps: Steps of the first generation. By default it is longer than the others by the steps over which the
            weights of the model's loss rise.
        done: Stages that are not trained, because their weights come from another run.

    Example:
        >>> from spikeloom.models.lfads_config import LFADSConfig
        >>> three = generations_of(LFADSConfig(), generations=3, generation_steps=100)
        >>> [three.end(generation) for generation in range(4)]  # the weights of its divergences rise over 500 steps
        [0, 600, 700, 800]
    """
    names = [name for name in stage_fields(config) if stage_name(name) not in done]
    total = sum(getattr(config, name).steps for name in names)
    length = generation_steps or math.ceil(total / (generations or GENERATIONS))
    ramp = rising_steps(config)
    stages, left = [], generations
    for name in names:
        stage: StageConfig = getattr(config, name)
        validations = math.ceil(length / stage.validate_every)
        every = math.ceil(length / validations)
        first = each = every * validations
        if not stages and (first_steps or ramp):
            first = every * math.ceil((first_steps or min(ramp + each, max(stage.steps, each))) / every)
        n = 1 + math.ceil(max(0, stage.steps - first) / each)
        if left is not None:
            n = left if name == names[-1] else min(n, left)
            left -= n
        stages.append(StageGenerations(name, first, each, n, every))
    return Generations(tuple(stages))


def check_not_set(keys: Sequence[str], config: Any) -> None:
    """Raise an error if population-based training would search a field that it sets itself.

    Raises:
        ConfigError: At the first such key.
    """
    fixed = {f"{stage}.{field}" for stage in stage_fields(config) for field in SET_BY_SEARCH}
    for key in keys:
        if key in fixed:
            raise ConfigError(
                f"'{key}' cannot be searched by pbt, which sets it itself; leave it out of the space, or choose "
                "--method random."
            )
