"""How well two samples of scores are separated: the area under the ROC curve, with its error."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.stats import rankdata

from spikeloom.evaluation.metric import NAN


def delong(generated: Float[np.ndarray, "trial"], real: Float[np.ndarray, "trial2"]) -> tuple[float, float]:
    """Area under the ROC curve of two samples of scores, and its standard error.

    DeLong et al. 1988, Biometrics 44:837, by midranks (Sun & Xu 2014, IEEE Signal Process. Lett. 21:1389). The error
    is zero where the samples are separated completely.

    Args:
        generated: Scores of those that should score higher.
        real: Scores of the others; ties count half.

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
    if min(n_generated, n_real) < 2:
        return area, NAN
    return area, float(np.sqrt(above.var(ddof=1) / n_generated + below.var(ddof=1) / n_real))
