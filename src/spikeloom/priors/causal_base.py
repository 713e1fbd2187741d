"""The linear part of a causal prior, fitted in closed form: behaviour, the past, and how trials begin.

Everything here is done in double precision on the latents of all training trials, before the network is trained.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from torch import Tensor

MOST_TAPS = 24
"""Taps of a filter at most; finer bins are skipped evenly."""
MOST_STARTS = 8
"""Gaussians of the first bin at most."""
TRIALS_PER_START = 20
"""Training trials that a Gaussian of the first bin needs for each latent."""
LEAST_VARIANCE = 1e-4
"""Added to variances of the first bin, whose latents are z-scored."""


class Starts(NamedTuple):
    """How trials begin: a mixture of Gaussians for the first bin, around what the conditions predict.

    Attributes:
        map: (1 + input, latent) prediction of the first bin.
        weights: (component,) weights of the mixture; zero beyond those in use.
        means: (component, latent) means of what is left.
        factors: (component, latent, latent) lower Cholesky factors of the covariances.
    """

    map: Float[Tensor, "_regressor latent"]
    weights: Float[Tensor, "component"]
    means: Float[Tensor, "component latent"]
    factors: Float[Tensor, "component latent latent"]


def taps(past_s: float, future_s: float, bin_s: float) -> list[int]:
    """Lags of a filter in bins, from the future to the past; evenly spread, and no more than ``MOST_TAPS``.

    Example:
        >>> taps(0.2, 0.1, 0.05)
        [-2, -1, 0, 1, 2, 3, 4]
        >>> len(taps(1.0, 0.0, 0.001))
        24
    """
    first, last = -round(future_s / bin_s), round(past_s / bin_s)
    number = min(last - first + 1, MOST_TAPS)
    return sorted({round(lag) for lag in np.linspace(first, last, number)})


def lagged(
    x: Float[Tensor, "trial time channel"], lags: Sequence[int], lengths: Int[Tensor, "trial"]
) -> Float[Tensor, "trial time regressor"]:
    """Sequences at several lags side by side; before a trial and after it, its first and last values are held."""
    bins = torch.arange(x.shape[1], device=x.device)
    last = (lengths - 1)[:, None]
    trial = torch.arange(len(x), device=x.device)[:, None]
    return torch.cat([x[trial, torch.minimum((bins - lag).clamp(min=0)[None], last)] for lag in lags], dim=-1)


def recent(latents: Float[Tensor, "trial time latent"], order: int) -> Float[Tensor, "trial time history"]:
    """The latents of a bin and of the ``order - 1`` bins before it; before a trial its first bin is held."""
    held = torch.cat([latents[:, :1].expand(-1, order - 1, -1), latents], dim=1)
    n = latents.shape[1]
    return torch.cat([held[:, order - 1 - lag : order - 1 - lag + n] for lag in range(order)], dim=-1)


def ridge(
    x: Float[Tensor, "row regressor"], y: Float[Tensor, "row channel"], penalty: float
) -> Float[Tensor, "regressor channel"]:
    """Ridge regression in double precision."""
    x, y = x.double(), y.double()
    gram = x.T @ x + penalty * torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    return torch.linalg.solve(gram, x.T @ y)


def autoregression(
    latents: Float[Tensor, "trial time latent"],
    inputs: Float[Tensor, "trial time input"],
    valid: Bool[Tensor, "trial time"],
    order: int,
    penalty: float,
) -> tuple[Float[Tensor, "regressor latent"], Float[Tensor, "latent latent"]]:
    """The next bin from the last bins, a constant and the inputs of the bin itself.

    Returns:
        Coefficients, history first, and the lower Cholesky factor of the covariance of what they leave.
    """
    history = recent(latents, order)[:, :-1]
    regressors = torch.cat([history, torch.ones_like(history[..., :1]), inputs[:, 1:]], dim=-1)
    rows = valid[:, 1:]
    x, y = regressors[rows], latents[:, 1:][rows]
    coefficients = ridge(x, y, penalty)
    rest = y.double() - x.double() @ coefficients
    covariance = rest.T @ rest / max(len(rest), 1)
    covariance += 1e-8 * torch.eye(len(covariance), dtype=covariance.dtype, device=covariance.device)
    return coefficients, torch.linalg.cholesky(covariance)


def starts(first: Float[Tensor, "trial latent"], inputs: Float[Tensor, "trial input"], penalty: float) -> Starts:
    """How trials begin, given the inputs of their first bin; as many Gaussians as the BIC has them.

    Args:
        first: Latents of the first bin of each training trial.
        inputs: Inputs there.
        penalty: Ridge of the prediction by the inputs.
    """
    size = first.shape[1]
    x = torch.cat([torch.ones_like(first[:, :1]), inputs], dim=-1)
    coefficients = ridge(x, first, penalty)
    rest = (first.double() - x.double() @ coefficients).cpu().numpy()
    most = min(MOST_STARTS, max(1, len(rest) // (TRIALS_PER_START * size)))
    fits = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for number in sorted({1, 2, 4, MOST_STARTS}):
            if number <= most:
                mixture = GaussianMixture(number, reg_covar=LEAST_VARIANCE, random_state=0)
                fits.append(mixture.fit(_enough(rest)))
    best = min(fits, key=lambda mixture: mixture.bic(rest))
    weights, means = np.zeros(MOST_STARTS), np.zeros((MOST_STARTS, size))
    factors = np.tile(np.eye(size), (MOST_STARTS, 1, 1))
    n = len(best.weights_)
    weights[:n], means[:n], factors[:n] = best.weights_, best.means_, np.linalg.cholesky(best.covariances_)
    made = (torch.from_numpy(values).to(first) for values in (weights, means, factors))
    return Starts(coefficients.to(first), *made)


def _enough(rest: np.ndarray) -> np.ndarray:
    """Rows, repeated where there is only one: a mixture needs two."""
    return rest if len(rest) > 1 else np.concatenate([rest, rest])
