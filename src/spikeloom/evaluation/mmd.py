"""How far the codes of all trials together are from the prior N(0, I): maximum mean discrepancy, numpy only.

The kernel is k(x, y) = exp(-||x - y||^2 / h). What is reported is unbiased: the biased V-statistic of a training loss
has a floor that looks like a loss which never converges.
Source: Gretton et al. 2012 (A kernel two-sample test), lemma 6 and equation 5.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Float

from spikeloom.errors import ConfigError, DataError

BANDWIDTHS = {
    "pytorch-vae": lambda n_dims: 4.0 * n_dims**2,
    "infodiffusion": lambda n_dims: 1.0 * n_dims**2,
    "median": lambda n_dims: 2.0 * n_dims,
}
"""Rules for the denominator h of the kernel; two codes from the prior are sqrt(2 L) apart, which "median" follows."""
CHUNK = 1024
"""Rows of a kernel matrix that are held at a time."""

Rule = Literal["pytorch-vae", "infodiffusion", "median"]


def bandwidth_of(rule: Rule | float, n_dims: int) -> float:
    """The denominator h of the kernel, by a rule or as it is given.

    Raises:
        ConfigError: If there is no such rule, or h is not positive.

    Example:
        >>> [bandwidth_of(rule, 5) for rule in ("pytorch-vae", "infodiffusion", "median")]
        [100.0, 25.0, 10.0]
    """
    if isinstance(rule, str):
        if rule not in BANDWIDTHS:
            raise ConfigError(f"there is no bandwidth '{rule}'; choose one of {', '.join(BANDWIDTHS)}, or a number.")
        return BANDWIDTHS[rule](n_dims)
    if not (np.isfinite(rule) and rule > 0):
        raise ConfigError(f"the bandwidth is {rule}, but must be a positive number.")
    return float(rule)


def mmd(
    x: Float[np.ndarray, "sample dim"],
    y: Float[np.ndarray, "other dim"],
    bandwidth: Rule | float = "pytorch-vae",
    estimator: Literal["u", "v"] = "u",
) -> float:
    """Squared maximum mean discrepancy of two samples.

    Args:
        x: One sample.
        y: The other.
        bandwidth: See ``bandwidth_of``.
        estimator: "u" is unbiased and may be negative; "v" counts every point as a pair with itself, as losses do.

    Raises:
        ConfigError: If there is no such bandwidth or estimator.
        DataError: If a sample holds fewer than two points.
    """
    if estimator not in ("u", "v"):
        raise ConfigError(f"there is no estimator '{estimator}'; choose 'u' or 'v'.")
    _check_size(min(len(x), len(y)))
    h = bandwidth_of(bandwidth, x.shape[1])
    within = _mean_within(x, h, estimator) + _mean_within(y, h, estimator)
    return within - 2 * _kernel_sum(x, y, h) / (len(x) * len(y))


def mmd_to_prior(codes: Float[np.ndarray, "trial code"], bandwidth: Rule | float = "pytorch-vae") -> float:
    """Squared maximum mean discrepancy of codes and N(0, I), unbiased; the prior's terms are in closed form.

    Raises:
        ConfigError: If there is no such bandwidth.
        DataError: If there are fewer than two codes.
    """
    _check_size(len(codes))
    codes = codes.astype(np.float64)
    n_dims = codes.shape[1]
    h = bandwidth_of(bandwidth, n_dims)
    across = (1 + 2 / h) ** (-n_dims / 2) * np.exp(-np.square(codes).sum(1) / (h + 2))
    return float(_mean_within(codes, h, "u") + expected_kernel(n_dims, h) - 2 * across.mean())


def gaussian_mmd(n_dims: int, bandwidth: Rule | float, sd: float = 1.0, distance: float = 0.0) -> float:
    """Squared maximum mean discrepancy of N(m, sd^2 I) and N(0, I) in closed form.

    Args:
        n_dims: Dimensions of a code.
        bandwidth: See ``bandwidth_of``.
        sd: Standard deviation of each dimension; 0 is a collapsed code.
        distance: Length of the mean m.

    Example:
        >>> round(98.5 * gaussian_mmd(5, "pytorch-vae", sd=0.0), 2)
        0.32
    """
    h = bandwidth_of(bandwidth, n_dims)
    across = 1 + 2 * (1 + sd**2) / h
    within = expected_kernel(n_dims, h) + expected_kernel(n_dims, h, sd)
    return float(within - 2 * across ** (-n_dims / 2) * np.exp(-(distance**2) / (h * across)))


def expected_kernel(n_dims: int, bandwidth: Rule | float, sd: float = 1.0) -> float:
    """Mean kernel of two independent draws from N(m, sd^2 I)."""
    return (1 + 4 * sd**2 / bandwidth_of(bandwidth, n_dims)) ** (-n_dims / 2)


def mmd_floor(n_samples: int, n_dims: int, bandwidth: Rule | float = "pytorch-vae") -> float:
    """Expected V-statistic of two samples of this size that are both from N(0, I).

    Example:
        >>> round(mmd_floor(64, 5), 4)
        0.0029
    """
    return 2 / n_samples * (1 - expected_kernel(n_dims, bandwidth))


def _mean_within(x: np.ndarray, h: float, estimator: str) -> float:
    """Mean kernel over pairs of points of one sample; with a point and itself, k = 1, in the V-statistic only."""
    n, total = len(x), _kernel_sum(x, x, h)
    return total / n**2 if estimator == "v" else (total - n) / (n * (n - 1))


def _kernel_sum(x: np.ndarray, y: np.ndarray, h: float) -> float:
    x, y = x.astype(np.float64), y.astype(np.float64)
    total = 0.0
    for start in range(0, len(x), CHUNK):
        part = x[start : start + CHUNK]
        squared = np.square(part).sum(1)[:, None] + np.square(y).sum(1) - 2 * part @ y.T
        total += float(np.exp(-np.maximum(squared, 0) / h).sum())
    return total


def _check_size(n: int) -> None:
    if n < 2:
        raise DataError(f"a maximum mean discrepancy needs two codes or more on each side, but there is {n}.")
