"""The panels of a model with codes: where they lie, what they tell of behaviour, and what walking through them does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from spikeloom.errors import DataError
from spikeloom.evaluation.code_map import LinearMap
from spikeloom.evaluation.codes import code_snr, unit_r2
from spikeloom.report.code_figures import draw_codes, draw_navigation
from spikeloom.report.panel import Panel, Table, draw
from spikeloom.report.terms import TERMS

CODES = "Codes"
WALKS = "Walking through codes"
LEAST_TRIALS = 3
"""Trials that every target needs for their codes to have a variance within it."""


@dataclass(frozen=True, eq=False)
class DecodedTraversal:
    """Decoded reaches along a latent traversal.

    Attributes:
        variable: The variable that is changed.
        amounts: Distance of each step from the base trial.
        decoded: Trajectories of the hand.
    """

    variable: str
    amounts: Float[np.ndarray, "step"]
    decoded: Float[np.ndarray, "step time 2"]


@dataclass(frozen=True, eq=False)
class Coded:
    """What the codes of a model are, and do.

    Attributes:
        codes: Of every trial of a recording.
        heldout: Trials of conditions that the model never saw.
        real: Activity of held-out trials, and which of their bins are valid.
        valid: Which bins of these trials were recorded.
        own: Activity generated for their own codes.
        other: Activity generated for the codes of other trials.
        spread: S.d. of unconditional samples over that of recorded trials, along the leading principal components.
        targets: Where the target of every trial is, if that is known.
        map: From codes to behaviour, if anything is known of it.
        walks: Walks through codes, if the hand can be decoded.
        unit: Unit of targets and hand.
        grid: The targets of the task, where they are few.
        unseen: Which of these only held-out trials have.
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
    walks: Sequence[DecodedTraversal] = ()
    unit: str = ""
    grid: Float[np.ndarray, "target 2"] | None = None
    unseen: Bool[np.ndarray, "target"] | None = None
    missing: str = ""


def code_panels(coded: Coded | None) -> list[Panel]:
    """The panels, for a model with codes; none otherwise."""
    return [] if coded is None else [_codes(coded), *([_walks(coded)] if coded.map is not None else [])]


def _codes(coded: Coded) -> Panel:
    own, other = (float(np.nanmedian(unit_r2(coded.real, x, coded.valid))) for x in (coded.own, coded.other))
    rows = [
        ("held-out activity explained by a trial drawn for its code (median R²)", f"{own:.2f}"),
        ("by a trial drawn for another trial's code: control", f"{other:.2f}"),
    ]
    if coded.spread is not None:
        rows.append(("s.d. of unconditional samples over that of recorded trials (1 is right)", f"{coded.spread:.2f}"))
    if coded.targets is not None:
        shown = coded.targets[~coded.heldout]
        if np.unique(shown, axis=0, return_counts=True)[1].min(initial=0) >= LEAST_TRIALS:
            snr = code_snr(coded.codes[~coded.heldout], shown)
            rows.append(("variance of codes over that within a target (1 if they tell nothing of it)", f"{snr:.2f}"))
    if coded.map is not None:
        rows += [
            (f"{name} read from codes of trials not fitted to (R²)", f"{r2:.2f}")
            for name, r2 in zip(coded.map.names, coded.map.heldout_r2)
        ]
    look_for = (
        "One dot a trial, placed where a linear map reads its target from its code, coloured by where the target "
        "is: colours should be as orderly as in the small map on the right, also for targets never seen (triangles). "
        f"{TERMS['r2']}"
    )

    def figure():
        if coded.targets is None or coded.map is None:
            raise DataError(coded.missing or "the recording tells of no targets, so codes cannot be coloured by them.")
        along = (coded.map.names[-2], coded.map.names[-1])
        return draw_codes(coded.codes, coded.targets, coded.heldout, coded.map, along, coded.unit)

    return draw(CODES, look_for, "", figure, table=Table(("what codes tell", "value"), rows))


def _walks(coded: Coded) -> Panel:
    look_for = (
        "From the code of one held-out trial, codes are moved so that the linear map reads another target. The hand, "
        "decoded from the mean of trials generated there, should end farther along the arrow of colour and start where "
        "it did."
    )

    def figure():
        if not coded.walks:
            raise DataError("the recording has no position of the hand that could be decoded.")
        grid = np.zeros((0, 2)) if coded.grid is None else coded.grid
        trajectories = np.stack([walk.decoded for walk in coded.walks])
        names = [each.variable for each in coded.walks]
        return draw_navigation(trajectories, names, coded.walks[0].amounts, grid, coded.unseen, coded.unit)

    return draw(WALKS, look_for, "", figure)
