"""A population over generations: the first hyper-parameters of its members, and those of the next generation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from spikeloom.tuning.explore import Accepts, perturb_all, sample_all
from spikeloom.tuning.space import Parameter
from spikeloom.tuning.table import Row
from spikeloom.tuning.tournament import TOURNAMENTS

FIRST_VALUES, TOURNAMENT = 1, 2
"""Purposes of random numbers, which are drawn for each from a stream of its own."""


def first_generation(
    n: int, parameters: Sequence[Parameter], seed: int, accepts: Accepts, at_start: bool = False
) -> list[Row]:
    """Rows of all members with their first hyper-parameters; the same for a member however many there are.

    Args:
        n: Number of members.
        parameters: The hyper-parameters.
        seed: Seed of the search.
        accepts: Whether the configuration accepts values together.
        at_start: Use the ``start`` of parameters that have one.
    """
    generators = [np.random.default_rng([seed, FIRST_VALUES, member]) for member in range(n)]
    values = [sample_all(parameters, generator, accepts, at_start) for generator in generators]
    return [Row(1, member, first) for member, first in enumerate(values)]


def next_generation(
    rows: Sequence[Row],
    parameters: Sequence[Parameter],
    stages: Mapping[str, int | None],
    *,
    trained: int,
    following: int,
    seed: int,
    accepts: Accepts,
    exploit: str = "binary",
    exploration: str = "log",
) -> list[Row]:
    """Which members copy which others, and the hyper-parameters with which each continues.

    A member that copies another gets its weights, optimiser and hyper-parameters, and perturbs the last. In a model
    with several stages, hyper-parameters of finished stages are copied unperturbed, because they belong to the weights;
    those of later stages remain the member's own, because no score depends on them yet.

    Args:
        rows: All members, in order, at the end of a generation.
        parameters: The hyper-parameters.
        stages: Index of the stage that each belongs to; None where it may affect any.
        trained: Stage of this generation.
        following: Stage of the next generation.
        seed: Seed of the search.
        accepts: Whether the configuration accepts values together.
        exploit: See ``SearchConfig``.
        exploration: See ``SearchConfig``.
    """
    generation = rows[0].generation
    generator = np.random.default_rng([seed, TOURNAMENT, generation])
    parents = TOURNAMENTS[exploit]([row.score for row in rows], generator)
    result = []
    for row, parent in zip(rows, parents):
        if parent == row.member:
            result.append(Row(generation + 1, row.member, row.values))
            continue
        own = {k: v for k, v in row.values.items() if (stages[k] or 0) > trained}
        copied = {**rows[parent].values, **own}
        moving = [p for p in parameters if stages[p.key] in (None, following) and p.key not in own]
        values = perturb_all(moving, copied, generator, accepts, exploration)
        result.append(Row(generation + 1, row.member, values, parent))
    return result
