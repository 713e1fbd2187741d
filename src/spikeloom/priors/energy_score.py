"""The energy score: how well samples of a distribution stand for what came out, lowest for the true distribution."""

from __future__ import annotations

from itertools import combinations

import torch
from jaxtyping import Float
from torch import Tensor

SMALLEST = 1e-12
"""Added to squared distances, so that two equal samples have a gradient."""


def energy_score(
    error: Float[Tensor, "sample row values"], exponent: float = 1.0
) -> tuple[Float[Tensor, ""], Float[Tensor, ""], Float[Tensor, ""]]:
    """Mean energy score of some outcomes, ``2 E|x - y|^a - E|x - x'|^a``, under samples x drawn for each outcome y.

    It is strictly proper for exponents in (0, 2): its expectation is lowest when samples have the distribution of the
    outcomes (Gneiting and Raftery 2007). The mean over pairs of different samples makes the estimate unbiased for any
    number of them; two give the loss of EAG and EAR (Shao et al. 2025, eq. 10).

    Args:
        error: Samples minus outcome, at least two for each.
        exponent: Exponent a of the distances.

    Returns:
        The score, the mean distance of a sample to the outcome, and that of two samples, both to the exponent.
    """
    error = error.float()
    pairs = [_distance(error[i] - error[j], exponent) for i, j in combinations(range(len(error)), 2)]
    spread = torch.stack(pairs).mean()
    distance = _distance(error, exponent).mean()
    return 2 * distance - spread, distance, spread


def _distance(difference: Float[Tensor, "... values"], exponent: float) -> Float[Tensor, "..."]:
    distance = (difference.square().sum(-1) + SMALLEST).sqrt()
    return distance if exponent == 1 else distance**exponent
