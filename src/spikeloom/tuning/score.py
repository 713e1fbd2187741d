"""What is to become small: numbers of the validations of a training, smoothed over time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from spikeloom.training.run import Run

VALIDATION_LOSS = "validation_loss"
NEW_SHARE = 0.7
"""Share of the present value in the smoothed one (Keshtkaran et al. 2022, Methods)."""

Score = Mapping[str, float]
"""Weights of numbers of a validation by name."""


def smoothed(values: Sequence[float]) -> list[float]:
    """Values of which each keeps 0.3 of the smoothed one before it; the first is as it is.

    Example:
        >>> [round(v, 2) for v in smoothed([1.0, 2.0, 2.0])]
        [1.0, 1.7, 1.91]
    """
    result: list[float] = []
    for value in values:
        result.append(NEW_SHARE * value + (1 - NEW_SHARE) * result[-1] if result else float(value))
    return result


class Validation(NamedTuple):
    """A look at the validation trials: step of its stage, loss and score; NaN where the score was not told."""

    step: int
    loss: float
    score: float


def course(run: Run, score: Score) -> list[Validation]:
    """All validations of the stage that was trained last."""
    metrics, told = run.metrics(), run.diagnostics()
    stage = None if metrics.empty else metrics["stage"].iloc[-1]
    metrics, told = (table[table["stage"] == stage] for table in (metrics, told))
    known = {(step, name): float(value) for step, name, value in zip(told["step"], told["name"], told["value"])}
    looks = []
    for step, loss in zip(metrics["step"], metrics[VALIDATION_LOSS]):
        numbers = {**{n: known.get((step, n), math.nan) for n in score}, VALIDATION_LOSS: float(loss)}
        looks.append(Validation(int(step), float(loss), sum(w * numbers[n] for n, w in score.items())))
    return looks


def score_after(run: Run, score: Score, step: int) -> float:
    """Smoothed score of the validations after a step of the present stage; NaN where there are none."""
    values = [look.score for look in course(run, score) if look.step > step]
    return smoothed(values)[-1] if values else math.nan


def kept_score(run: Run, score: Score, keep_best: bool) -> float:
    """Smoothed score of the weights that a finished training kept: those of the lowest validation loss, or the last."""
    looks = course(run, score)
    if not looks:
        return math.nan
    place = min(range(len(looks)), key=lambda i: looks[i].loss) if keep_best else -1
    return smoothed([look.score for look in looks])[place]
