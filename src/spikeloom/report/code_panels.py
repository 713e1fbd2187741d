"""The panels of a model with codes: where they lie, what behaviour is read from them, and traversals through them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.figure import Figure

from spikeloom.errors import DataError
from spikeloom.evaluation.code_map import LinearMap
from spikeloom.evaluation.codes import code_snr, unit_r2
from spikeloom.report import figures
from spikeloom.report.panel import Panel, Table
from spikeloom.report.terms import TERMS

CODES = "Codes"
TRAVERSALS = "Latent traversals"
LEAST_TRIALS = 3
"""Trials that every target needs for their codes to have a variance within it."""


@dataclass(frozen=True, eq=False)
class DecodedTraversal:
    """Hand trajectories along one traversal.

    Attributes:
        variable: The variable that is changed.
        amounts: How far each step is from the base trial.
        decoded: Trajectories of the hand.
    """

    variable: str
    amounts: Float[np.ndarray, "step"]
    decoded: Float[np.ndarray, "step time 2"]


@dataclass(frozen=True, eq=False)
class CodeSummary:
    """Codes of a recording, and activity generated from them.

    Attributes:
        codes: Of every trial of a recording.
        heldout: Trials of conditions that were held out of training.
        real: Activity of held-out trials.
        valid: Which bins of these trials were recorded.
        own: Activity generated for their own codes.
        other: Activity generated for the codes of other trials.
        spread: S.d. of unconditional samples over that of recorded trials, along the leading principal components.
        targets: Where the target of every trial is, if that is known.
        map: From codes to behaviour, where there is any to fit.
        traversals: Traversals through codes, if the hand can be decoded.
        unit: Unit of targets and hand.
        grid: The targets of the task, where they are few.
        heldout_targets: Which of these only held-out trials have.
        missing: Why there is no map.
    """

    codes: Float[np.ndarray, "trial code"]
    heldout: Bool[np.ndarray, "trial"]
    real: Float[np.ndarray, "test time unit"]
    valid: Bool[np.ndarray, "test time"]
    own: Float[np.ndarray, "test time unit"]
    other: Float[np.ndarray, "test time unit"]
    spread: float | None = None
    targets: Float[np.ndarray, "trial 2"] | None = None
    map: LinearMap | None = None
    traversals: Sequence[DecodedTraversal] = ()
    unit: str = ""
    grid: Float[np.ndarray, "target 2"] | None = None
    heldout_targets: Bool[np.ndarray, "target"] | None = None
    missing: str = ""


def code_panels(codes: Callable[[], CodeSummary]) -> list[Panel]:
    """The panels of codes.

    Args:
        codes: Returns the codes and what was generated from them.
    """
    return [
        Panel(
            CODES,
            "One dot per trial, placed where a linear map reads its target from its code, coloured by where the target "
            "is: colours should be as orderly as in the small map on the right, also for held-out targets (triangles). "
            f"{TERMS['r2']}",
            "",
            lambda: _code_figure(codes()),
            table=lambda: _table(codes()),
        ),
        Panel(
            TRAVERSALS,
            "From the code of one held-out trial, codes are moved so that the linear map reads another target. The "
            "hand, decoded from the mean of trials generated there, should end farther along the arrow of colour and "
            "start where it did.",
            "",
            lambda: _traversal_figure(codes()),
        ),
    ]


def _table(codes: CodeSummary) -> Table:
    own, other = (float(np.nanmedian(unit_r2(codes.real, x, codes.valid))) for x in (codes.own, codes.other))
    rows = [
        ("held-out activity explained by a trial generated from its code (median R²)", f"{own:.2f}"),
        ("by a trial generated from another trial's code: baseline", f"{other:.2f}"),
    ]
    if codes.spread is not None:
        rows.append(("s.d. of unconditional samples over that of recorded trials (ideal: 1)", f"{codes.spread:.2f}"))
    if codes.targets is not None:
        held_in = codes.targets[~codes.heldout]
        if np.unique(held_in, axis=0, return_counts=True)[1].min(initial=0) >= LEAST_TRIALS:
            snr = code_snr(codes.codes[~codes.heldout], held_in)
            rows.append(("variance of codes over that within a target (1: unrelated to it)", f"{snr:.2f}"))
    if codes.map is not None:
        rows += [
            (f"{name} read from codes, cross-validated (R²)", f"{r2:.2f}")
            for name, r2 in zip(codes.map.names, codes.map.heldout_r2)
        ]
    return Table(("codes", "value"), rows)


def _code_figure(codes: CodeSummary) -> Figure:
    if codes.targets is None or codes.map is None:
        raise DataError(codes.missing or "the recording has no targets, so codes cannot be coloured by them.")
    axes = (codes.map.names[-2], codes.map.names[-1])
    return figures.codes_by_target(codes.codes, codes.targets, codes.heldout, codes.map, axes, codes.unit)


def _traversal_figure(codes: CodeSummary) -> Figure:
    if codes.map is None:
        raise DataError(codes.missing)
    if not codes.traversals:
        raise DataError("the recording has no position of the hand that could be decoded.")
    grid = np.zeros((0, 2)) if codes.grid is None else codes.grid
    trajectories = np.stack([traversal.decoded for traversal in codes.traversals])
    names = [traversal.variable for traversal in codes.traversals]
    amounts = codes.traversals[0].amounts
    return figures.traversals(trajectories, names, amounts, grid, codes.heldout_targets, codes.unit)
