"""How well two samples of scores are separated: the area under the ROC curve, with its error."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import rankdata

from spikeloom.evaluation.metric import NAN

Units = tuple[Int[np.ndarray, "trial"], Int[np.ndarray, "trial2"]]
"""Units of generated and of real trials: trials of the same number depend on each other."""


def delong(
    generated: Float[np.ndarray, "trial"], real: Float[np.ndarray, "trial2"], units: Units | None = None
) -> tuple[float, float]:
    """Area under the ROC curve of two samples of scores, and its standard error.

    DeLong et al. 1988, Biometrics 44:837, by midranks (Sun & Xu 2014, IEEE Signal Process. Lett. 21:1389); of trials
    that depend on each other, over their units (Obuchowski 1997, Biometrics 53:567). The error is zero where the
    samples are separated completely.

    Args:
        generated: Scores of those that should score higher.
        real: Scores of the others; ties count half.
        units: Units of either sample; without them all are independent.

    Returns:
        The area and its standard error; NaN where scores are missing, the error also with fewer than two of a kind.

    Example:
        >>> import numpy as np
        >>> [round(x, 3) for x in delong(np.array([3.0, 2.0, 4.0]), np.array([1.0, 2.0, 0.0]))]
        [0.944, 0.079]
    """
    n_generated, n_real = len(generated), len(real)
    if min(n_generated, n_real) == 0 or np.isnan(generated).any() or np.isnan(real).any():
        return NAN, NAN
    together = rankdata(np.concatenate([generated, real]))
    above = (together[:n_generated] - rankdata(generated)) / n_real
    below = 1 - (together[n_generated:] - rankdata(real)) / n_generated
    area = float(above.mean())
    sides = zip((above, below), units or (np.arange(n_generated), np.arange(n_real)))
    return area, float(np.sqrt(sum(_variance_of_mean(part, unit) for part, unit in sides)))


def _variance_of_mean(values: Float[np.ndarray, "trial"], unit: Int[np.ndarray, "trial"]) -> float:
    """Variance of the mean of values in independent units; NaN with a single unit."""
    _, place = np.unique(unit, return_inverse=True)
    sums = np.bincount(place, values - values.mean())
    n = len(sums)
    return float((sums**2).sum() / len(values) ** 2 * n / (n - 1)) if n > 1 else NAN
