"""The score of a training, to be minimised: quantities of its validations, smoothed over time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from spikeloom.training.run import Run

VALIDATION_LOSS = "validation_loss"
NEW_SHARE = 0.7
"""Weight of the current value in the smoothed one (Keshtkaran et al. 2022, Methods)."""

Score = Mapping[str, float]
"""Weights of validation quantities by name."""


def smoothed(values: Sequence[float]) -> list[float]:
    """Exponential smoothing: each value keeps 0.3 of the smoothed one before it; the first is unchanged.

    Example:
        >>> [round(v, 2) for v in smoothed([1.0, 2.0, 2.0])]
        [1.0, 1.7, 1.91]
    """
    result: list[float] = []
    for value in values:
        result.append(NEW_SHARE * value + (1 - NEW_SHARE) * result[-1] if result else float(value))
    return result


class Validation(NamedTuple):
    """One validation: step within its stage, loss and score; NaN where a quantity of the score was not recorded."""

    step: int
    loss: float
    score: float


def validations(run: Run, score: Score) -> list[Validation]:
    """All validations of the stage that was trained last."""
    metrics, diagnostics = run.metrics(), run.diagnostics()
    stage = None if metrics.empty else metrics["stage"].iloc[-1]
    metrics, diagnostics = (table[table["stage"] == stage] for table in (metrics, diagnostics))
    columns = (diagnostics[name] for name in ("step", "name", "value"))
    recorded = {(step, name): float(value) for step, name, value in zip(*columns)}
    result = []
    for step, loss in zip(metrics["step"], metrics[VALIDATION_LOSS]):
        recorded[step, VALIDATION_LOSS] = float(loss)
        total = sum(weight * recorded.get((step, name), math.nan) for name, weight in score.items())
        result.append(Validation(int(step), float(loss), total))
    return result


def score_after(run: Run, score: Score, step: int) -> float:
    """Smoothed score of the validations after a step of the current stage; NaN where there are none."""
    values = [validation.score for validation in validations(run, score) if validation.step > step]
    return smoothed(values)[-1] if values else math.nan


def kept_score(run: Run, score: Score, keep_best: bool) -> float:
    """Smoothed score of the weights that a finished training kept: those of the lowest validation loss, or the last."""
    found = validations(run, score)
    if not found:
        return math.nan
    place = min(range(len(found)), key=lambda i: found[i].loss) if keep_best else -1
    return smoothed([validation.score for validation in found])[place]
