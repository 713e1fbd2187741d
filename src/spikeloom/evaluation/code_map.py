"""The linear map from codes to behaviour, and latent traversals along a variable of it.

Source: McCart et al. 2024 (arXiv 2407.21195), equations 8 and 9.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int, Num

from spikeloom.conditioning.variables import some
from spikeloom.errors import ConfigError, DataError, did_you_mean, warn

FOLDS = 10
MIN_R2 = 0.5
"""Held-out R2 below which a traversal along a variable means little."""
RANK_TOLERANCE = 1e-6
"""Directions in which codes vary this much less than in the first are rounding errors of single precision."""

Step = Literal["paper", "unit", "effect"]
Direction = Literal["row", "pinv"]


@dataclass(frozen=True, eq=False)
class LinearMap:
    """Ordinary least squares with intercept from codes to behaviour: s = W c + b.

    Attributes:
        weights: W; a row is the read-out direction of a variable, in its unit per unit of code.
        intercept: b, in the units of the variables.
        names: The variables.
        units: Their units; empty where there is none.
        heldout_r2: Cross-validated share of the variance of each that codes explain.
    """

    weights: Float[np.ndarray, "variable code"]
    intercept: Float[np.ndarray, "variable"]
    names: tuple[str, ...]
    units: tuple[str, ...]
    heldout_r2: Float[np.ndarray, "variable"]

    @classmethod
    def fit(
        cls,
        codes: Float[np.ndarray, "trial code"],
        values: Num[np.ndarray, "_ variable"],
        names: Sequence[str],
        units: Sequence[str] = (),
        folds: int = FOLDS,
        seed: int = 0,
    ) -> LinearMap:
        """Fit on all trials, and again on all folds but one for the cross-validated R2.

        Args:
            codes: One code a trial.
            values: (trial, variable) behaviour of each trial, as ``behaviour_of`` reads it from a recording.
            names: One for each variable.
            units: One for each variable; none when not given.
            folds: Parts of the cross-validation.
            seed: Chooses the parts.

        Raises:
            DataError: If codes and values do not fit together, trials are too few, a number is missing, or a variable
                never changes.

        Example:
            >>> codes = np.random.default_rng(0).normal(size=(50, 3))
            >>> place = LinearMap.fit(codes, codes @ [[2.0], [3.0], [1.0]] + 5, ["target_x"], ["cm"])
            >>> np.round(place.weights, 3).tolist(), place.traverse(codes[0], "target_x", [0.0, 3.0], "effect").shape
            ([[2.0, 3.0, 1.0]], (2, 3))
        """
        names, units = tuple(names), tuple(units) or ("",) * len(names)
        _check(codes, values, names, units, folds)
        codes, values = codes.astype(np.float64), values.astype(np.float64)
        missed = np.empty_like(values)
        for out in split_folds(len(codes), folds, seed):
            rest = np.setdiff1d(np.arange(len(codes)), out)
            weights, intercept = least_squares(codes[rest], values[rest])
            missed[out] = values[out] - codes[out] @ weights.T - intercept
        r2 = 1 - np.square(missed).sum(0) / np.square(values - values.mean(0)).sum(0)
        return cls(*least_squares(codes, values), names, units, r2)

    def read(self, codes: Float[np.ndarray, "*any code"]) -> Float[np.ndarray, "*any variable"]:
        """The variables as the map reads them from codes, in their units."""
        return codes @ self.weights.T + self.intercept

    def direction(self, name: str, kind: Direction = "row") -> Float[np.ndarray, "code"]:
        """Where codes change when a variable does.

        Args:
            name: The variable.
            kind: "row" is its read-out direction w_j, along which others change too unless their directions are
                orthogonal to it; "pinv" the column of the pseudo-inverse of W, which changes s_j by one unit and no
                other variable of the map.

        Raises:
            ConfigError: If there is no such variable or kind.
        """
        j = self.index(name)
        if kind not in ("row", "pinv"):
            raise ConfigError(f"there is no direction '{kind}'; choose 'row' or 'pinv'.")
        if kind == "row":
            return self.weights[j].copy()
        # Rows are scaled first, so that a variable in millimetres does not drown one in metres.
        length = np.linalg.norm(self.weights, axis=1, keepdims=True)
        length[length == 0] = 1
        column = np.linalg.pinv(self.weights / length, rcond=RANK_TOLERANCE)[:, j] / length[j]
        read = self.weights @ column
        if abs(read[j] - 1) > 1e-6:
            warn(
                f"no direction changes '{name}' alone: its read-out follows from those of the other variables "
                f"({self.weights.shape[0]} variables, codes of {self.weights.shape[1]} dimensions); fit fewer."
            )
        return column

    def traverse(
        self,
        base: Float[np.ndarray, "code"],
        name: str,
        amounts: Num[np.ndarray, "step"] | Sequence[float | int],
        step: Step = "effect",
        direction: Direction = "row",
    ) -> Float[np.ndarray, "step code"]:
        """Codes on a straight line through the code of a base trial, along which a variable changes (equation 9).

        Args:
            base: Code to start from, usually that of a recorded trial such as the ``medoid``.
            name: The variable to change.
            amounts: Signed distance of each code from the base; 0 is the base itself.
            step: What an amount of one is. "paper": the raw direction, which changes the read-out of row w_j by
                ||w_j||^2, whatever that is; "unit": length one in code space; "effect": one unit of the variable, to
                which its read-out changes exactly, in either direction.
            direction: See ``direction``.

        Raises:
            ConfigError: If there is no such variable, step or direction.
            DataError: If the base is no code of this map, or the variable cannot be read from codes.
        """
        j = self.index(name)
        if step not in ("paper", "unit", "effect"):
            raise ConfigError(f"there is no step '{step}'; choose 'paper', 'unit' or 'effect'.")
        if len(base) != self.weights.shape[1]:
            raise DataError(
                f"the base code has {len(base)} dimensions but the map reads codes of {self.weights.shape[1]}; pass a "
                "code of the same model."
            )
        vector = self.direction(name, direction)
        if not (self.weights[j] @ vector) > 0:
            raise DataError(f"'{name}' cannot be read from the codes (its read-out weights are 0); choose another.")
        if not self.heldout_r2[j] >= MIN_R2:
            warn(
                f"codes hold little of '{name}': the linear map explains {self.heldout_r2[j]:.2f} of its variance in "
                f"held-out trials (R2; {MIN_R2} or more is wanted), so a traversal may change anything."
            )
        if step == "unit":
            vector = vector / np.linalg.norm(vector)
        elif step == "effect":
            vector = vector / (self.weights[j] @ vector)
        return base + np.asarray(amounts, dtype=np.float64)[:, None] * vector

    def cosines(self) -> Float[np.ndarray, "variable variable"]:
        """Absolute cosines between the read-out directions; NaN for a variable that the codes say nothing of."""
        return abs_cosines(self.weights)

    def index(self, name: str) -> int:
        """Place of a variable in the map.

        Raises:
            ConfigError: If there is none of that name.
        """
        if name not in self.names:
            hint = did_you_mean(name, self.names) or f"it has {some(self.names)}."
            raise ConfigError(f"the map of codes has no variable '{name}'; {hint}")
        return self.names.index(name)


def medoid(codes: Float[np.ndarray, "trial code"]) -> int:
    """Index of the trial whose code is nearest to the mean code: a real trial, and a typical one.

    Raises:
        DataError: If there are no codes.

    Example:
        >>> medoid(np.array([[0.0, 0.0], [9.0, 0.0], [2.0, 1.0]]))
        2
    """
    if not len(codes):
        raise DataError("there are 0 codes, of which none is nearest to the mean; pass those of at least one trial.")
    return int(np.square(codes - codes.mean(0)).sum(1).argmin())


def least_squares(
    codes: Float[np.ndarray, "trial code"], values: Float[np.ndarray, "trial variable"]
) -> tuple[Float[np.ndarray, "variable code"], Float[np.ndarray, "variable"]]:
    """Weights and intercept of the regression with the least squared error; a dead code dimension gets no weight."""
    centre = codes.mean(0), values.mean(0)
    weights = np.linalg.lstsq(codes - centre[0], values - centre[1], rcond=RANK_TOLERANCE)[0].T
    return weights, centre[1] - weights @ centre[0]


def split_folds(n_trials: int, folds: int, seed: int = 0) -> list[Int[np.ndarray, "part"]]:
    """Trials in random order, in parts of equal size, give or take one."""
    return np.array_split(np.random.default_rng(seed).permutation(n_trials), folds)


def abs_cosines(directions: Float[np.ndarray, "variable code"]) -> Float[np.ndarray, "variable variable"]:
    """|cos| of the angles between all pairs of directions; NaN where one has no length."""
    length = np.linalg.norm(directions, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        unit = directions / length[:, None]
    return np.minimum(np.abs(unit @ unit.T), 1)


def _check(codes: np.ndarray, values: np.ndarray, names: tuple[str, ...], units: tuple[str, ...], folds: int) -> None:
    if len(codes) != len(values):
        raise DataError(f"there are {len(codes)} codes for {len(values)} trials of behaviour; pass one for each.")
    if not len(names) == len(units) == values.shape[1]:
        raise DataError(
            f"{values.shape[1]} variables came with {len(names)} names and {len(units)} units; name each of them."
        )
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"the variable '{twice}' is named twice; name it once.")
    for what, array in (("codes", codes), ("values of behaviour", values)):
        bad = ~np.isfinite(array).all(1)
        if bad.any():
            raise DataError(
                f"{what} are missing in {bad.sum()} of {len(array)} trials, first in trial {bad.argmax()}; leave these "
                "trials out."
            )
    check_folds(len(codes), codes.shape[1], folds)
    still = np.ptp(values, axis=0) == 0
    if still.any():
        raise DataError(f"'{names[still.argmax()]}' is the same in all trials, so no code can follow it; leave it out.")


def check_folds(n_trials: int, n_dims: int, folds: int) -> None:
    """Refuse fewer trials than a cross-validated regression from codes needs.

    Raises:
        ConfigError: If there are fewer than two folds.
        DataError: If there are fewer trials than folds, or hardly more than dimensions.
    """
    if folds < 2:
        raise ConfigError(f"folds is {folds}, but cross-validation needs at least 2.")
    if n_trials < folds or n_trials - -(-n_trials // folds) < n_dims + 2:
        raise DataError(
            f"{n_trials} trials are too few to fit codes of {n_dims} dimensions in {folds} folds; use more trials, or "
            "codes of fewer dimensions."
        )
