"""Hand positions decoded from activity, and unintended movement during a latent traversal.

Source: McCart et al. 2024 (arXiv 2407.21195), figure 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Num
from sklearn.linear_model import Ridge

from spikeloom.errors import ConfigError, DataError
from spikeloom.evaluation.behaviour import PLACES


@dataclass(frozen=True)
class PositionDecoder:
    """Ridge regression with intercept from the activity in a bin to the hand in the same bin.

    Attributes:
        ridge: The fitted regression.
    """

    ridge: Any

    @classmethod
    def fit(
        cls,
        activity: Num[np.ndarray, "trial time unit"],
        hand: Num[np.ndarray, "_ _ dim"],
        valid: Bool[np.ndarray, "trial time"] | None = None,
        alpha: float = 1.0,
    ) -> PositionDecoder:
        """Learn from all bins of recorded training trials; it is then applied to generated activity as it is.

        Args:
            activity: Activity of the units, in the units in which it is generated.
            hand: (trial, time, dim) position of the hand; bins where it is NaN are left out.
            valid: Bins that were recorded; all when not given.
            alpha: Penalty.

        Raises:
            DataError: If activity and positions do not fit together, or no bin has both.
        """
        rows = _rows(activity, hand, valid)
        return cls(Ridge(alpha=alpha).fit(activity[rows].astype(np.float64), hand[rows].astype(np.float64)))

    def decode(self, activity: Num[np.ndarray, "*trial time unit"]) -> Float[np.ndarray, "*trial time dim"]:
        """Position of the hand in every bin, for any axes before the last."""
        flat = activity.reshape(-1, activity.shape[-1]).astype(np.float64)
        return self.ridge.predict(flat).reshape(*activity.shape[:-1], -1)

    def score(
        self,
        activity: Num[np.ndarray, "trial time unit"],
        hand: Num[np.ndarray, "_ _ dim"],
        valid: Bool[np.ndarray, "trial time"] | None = None,
    ) -> Float[np.ndarray, "dim"]:
        """Share of the variance of each dimension of the hand that is decoded (R2)."""
        rows = _rows(activity, hand, valid)
        true = hand[rows].astype(np.float64)
        missed = np.square(true - self.decode(activity)[rows]).sum(0)
        return 1 - missed / np.square(true - true.mean(0)).sum(0)


class Movement(NamedTuple):
    """Distance that the hand's first and last positions move during a traversal, one number for each base trial.

    Attributes:
        unintended: Sum over steps of how far the other three coordinates are from those of the base trial.
        intended: The same for the coordinate that the traversal should change.
        ratio: Unintended over intended; NaN where nothing moves as it should.
    """

    unintended: Float[np.ndarray, "base"]
    intended: Float[np.ndarray, "base"]
    ratio: Float[np.ndarray, "base"]


def unintended_movement(decoded: Float[np.ndarray, "base step time 2"], variable: str, base_step: int = 0) -> Movement:
    """Movement of the other coordinates when codes are traversed along one variable.

    With f(i) = (x, y in the first bin, x, y in the last bin) at step i of a traversal along coordinate j, it is
    sum_i sum_{k != j} |f_k(i) - f_k(base)|, in the unit of the positions. Steps must share their noise, or be means
    over draws; otherwise this measures the noise.

    Args:
        decoded: Decoded trajectories; each step of a traversal is a whole reach.
        variable: The variable that is traversed: one of ``PLACES``.
        base_step: The step that is the base trial itself.

    Raises:
        ConfigError: If there is no such variable.
        DataError: If there is no such step.

    Example:
        >>> reaches = np.zeros((1, 3, 4, 2))
        >>> reaches[0, :, -1] = [[0, 0], [1, 0.5], [2, 1]]  # the end moves right, and up by half of that
        >>> [float(v[0]) for v in unintended_movement(reaches, "target_x")]
        [1.5, 3.0, 0.5]
    """
    if variable not in PLACES:
        raise ConfigError(f"the hand has no coordinate '{variable}'; name one of {', '.join(PLACES)}.")
    n_steps = decoded.shape[1]
    if not -n_steps <= base_step < n_steps:
        raise DataError(f"base_step is {base_step}, but the traversal has {n_steps} steps; count from 0.")
    places = np.concatenate([decoded[:, :, 0], decoded[:, :, -1]], axis=-1)
    moved = np.abs(places - places[:, base_step, None]).sum(1)
    j = PLACES.index(variable)
    intended, unintended = moved[:, j], np.delete(moved, j, axis=1).sum(1)
    return Movement(
        unintended, intended, np.where(intended > 0, unintended / np.where(intended > 0, intended, 1), np.nan)
    )


def first_and_last(
    decoded: Float[np.ndarray, "base step time 2"], lengths: Int[np.ndarray, "base"]
) -> Float[np.ndarray, "base step 2 2"]:
    """Positions in the first and in the last bin of each trial."""
    last = decoded[np.arange(len(decoded)), :, lengths - 1]
    return np.stack([decoded[:, :, 0], last], axis=2)


def _rows(activity: np.ndarray, hand: np.ndarray, valid: np.ndarray | None) -> np.ndarray:
    """Bins in which there are activity and a position."""
    if activity.shape[:2] != hand.shape[:2]:
        raise DataError(
            f"activity is {activity.shape[:2]} (trials, bins) but the hand {hand.shape[:2]}; pass the same trials."
        )
    known = np.asarray(np.isfinite(hand).all(-1))
    if valid is not None:
        known = np.logical_and(known, valid)
    if not known.any():
        raise DataError("no bin has a position of the hand, so none can be decoded; pass trials that have it.")
    return known
