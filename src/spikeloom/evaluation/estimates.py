"""Estimates with their standard error from the choice of trials."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Num


class Estimate(NamedTuple):
    """A number and its standard error; NaN where there is none.

    Attributes:
        value: The estimate.
        se: Its standard error over trials.
    """

    value: float
    se: float

    @classmethod
    def ratio(cls, numerator: Float[np.ndarray, "trial"], denominator: Num[np.ndarray, "trial"]) -> Estimate:
        """A sum over trials divided by another, where both vary from trial to trial (Cochran 1977, section 6.4).

        With a denominator of ones it is the mean and its usual error.

        Example:
            >>> [round(each, 3) for each in Estimate.ratio(np.array([1.0, 2.0, 3.0]), np.ones(3))]
            [2.0, 0.577]
        """
        n, total = len(numerator), float(denominator.sum())
        if total == 0:
            return cls(float("nan"), float("nan"))
        value = float(numerator.sum()) / total
        residual = numerator - value * denominator
        se = float(np.sqrt(n / (n - 1) * np.square(residual).sum()) / total) if n > 1 else float("nan")
        return cls(value, se)
