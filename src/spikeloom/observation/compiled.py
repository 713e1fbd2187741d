"""The draw of counts compiled by Numba, for streams that have to be fast; the same mathematics as in NumPy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit


@njit(cache=True)
def drawn_counts(theta: Any, uniform: Any, decay: Any, largest: Any, floor: Any) -> Any:
    """Counts by inverse transform, see ``steps.Drawer``.

    Args:
        theta: (trial, neuron) natural parameters.
        uniform: (trial, neuron) where the quantiles are taken.
        decay: (count, neuron) ``p(k) / (p(k - 1) exp(theta))``.
        largest: (neuron,) where theta is cut off.
        floor: Weight of a count of 0.
    """
    n, n_neurons = theta.shape
    counts = np.zeros((n, n_neurons), np.int32)
    for t in range(n):
        for i in range(n_neurons):
            ratio = np.float32(math.exp(min(theta[t, i], largest[i])))
            total = weight = floor
            for k in range(len(decay)):
                weight *= ratio * decay[k, i]
                total += weight
            above, weight = uniform[t, i] * total - floor, floor
            while above >= 0 and counts[t, i] < len(decay):
                weight *= ratio * decay[counts[t, i], i]
                above -= weight
                counts[t, i] += 1
    return counts
