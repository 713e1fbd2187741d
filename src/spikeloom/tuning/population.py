"""A population: the values that members train with, whom they come from, and how the next generation follows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spikeloom.errors import RunError
from spikeloom.training.run import Run
from spikeloom.tuning.explore import explored
from spikeloom.tuning.space import Parameter
from spikeloom.tuning.tournament import TOURNAMENTS

STATE = "population.json"
TOURNAMENT = 2
"""Marks the draws of tournaments; those of a member's first values are marked by 1."""


@dataclass(frozen=True)
class Member:
    """A member in a generation.

    Attributes:
        number: Its number, from 0.
        values: What it trains with, by dotted name.
        copied_from: The member whose weights and values it took over before this generation; None where it went on.
        since: Steps, of all stages together, from which its own validations count.
    """

    number: int
    values: Mapping[str, Any]
    copied_from: int | None = None
    since: int = 0


@dataclass(frozen=True)
class Population:
    """All members at the beginning of a generation, which is counted from 1."""

    generation: int
    members: tuple[Member, ...]

    def write(self, out: Path) -> None:
        """Write it; from then on this generation is what the search goes on with."""
        Run(out).write_json(STATE, asdict(self))

    @classmethod
    def read(cls, out: Path) -> Population | None:
        """What was written last; None at the beginning.

        Raises:
            RunError: If it is damaged.
        """
        if not (out / STATE).is_file():
            return None
        content = Run(out).read_json(STATE)
        try:
            members = tuple(Member(**member) for member in content["members"])
            return cls(int(content["generation"]), members)
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(f"{out / STATE} is damaged ({error!r}); choose another --out.") from error


def next_generation(
    population: Population,
    scores: Sequence[float],
    parameters: Sequence[Parameter],
    stages: Mapping[str, int | None],
    *,
    trained: int,
    following: int,
    steps: int,
    seed: int,
    accepts: Callable[[Mapping[str, Any]], bool],
    exploit: str = "binary",
    exploration: str = "log",
) -> Population:
    """Who takes over from whom, and with which values each member goes on.

    Who takes over gets weights, optimiser and values of the other member, and perturbs the values. Of a model with
    several stages, values of stages that are done are taken over as they are, because they belong to the weights; those
    of stages to come stay its own, because nothing is known of them yet.

    Args:
        population: The members that were trained.
        scores: What they came to; NaN where training failed.
        parameters: What is searched.
        stages: The stage that each value belongs to; None where it may be any.
        trained: The stage that was trained.
        following: The stage of the next generation.
        steps: Steps of all stages together that are done.
        seed: Seed of the search.
        accepts: Whether the configuration accepts values together.
        exploit: See ``SearchConfig``.
        exploration: See ``SearchConfig``.
    """
    generator = np.random.default_rng([seed, TOURNAMENT, population.generation])
    parents = TOURNAMENTS[exploit](scores, generator)
    members = []
    for member, parent in zip(population.members, parents):
        if parent == member.number:
            members.append(Member(member.number, member.values, None, member.since))
            continue
        to_come = {k: v for k, v in member.values.items() if (stages[k] or 0) > trained}
        taken = {**population.members[parent].values, **to_come}
        moving = [p for p in parameters if stages[p.key] in (None, following) and p.key not in to_come]
        members.append(Member(member.number, explored(moving, taken, generator, accepts, exploration), parent, steps))
    return Population(population.generation + 1, tuple(members))
