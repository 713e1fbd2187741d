"""Kalman filter from counts to a signal: how the signal moves, how counts follow from it, both linear and Gaussian.

Equations as in Wu et al. (2006), Neural Computation 18, 80-118, section 2, after Kalman (1960).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

import numpy as np
from jaxtyping import Float

from spikeloom.data.spikedata import SpikeData
from spikeloom.decoding.protocol import SMOOTHED, Inputs, Sums, known_bins, signal_of
from spikeloom.errors import ConfigError, DataError

SHRINKAGES = 0.03, 0.3, 1.0
INFLATIONS = 1.0, 4.0, 16.0
LEAST_VARIANCE = 0.05
"""Least variance of a neuron's noise, as a share of the median of those that fire: one that fired once must not be
trusted, when it fires again, as if it never erred (with 55 trials of a second, that cost up to a fifth of the R2)."""


@dataclass(frozen=True)
class Kalman:
    """A filter whose state is the signal, and how much it has just changed where that is of use.

    ``x_t = A x_(t-1) + w``, ``w ~ N(0, W)`` and ``y_t = C x_t + q``, ``q ~ N(0, Q)``, all less their means; A and C by
    least squares, W and Q from their residuals. The first state of a trial has the distribution of all recorded states.
    """

    shrinkage: float = 0.03
    """Share of Q that is its diagonal: few bins do not determine the noise correlations of many neurons."""
    inflation: float = 1.0
    """Factor on Q: neighbouring bins of smoothed counts share their noise, which the filter would count twice."""
    derivative: bool = False
    """Whether the state holds the signal's change since the bin before."""
    inputs: Inputs = SMOOTHED
    """How counts are smoothed."""
    name: str = "kalman"
    """Name in tables."""

    def __post_init__(self) -> None:
        if not (0 <= self.shrinkage <= 1 and self.inflation > 0):
            raise ConfigError(
                f"the noise of a Kalman filter was to be shrunk by {self.shrinkage:g} and multiplied by "
                f"{self.inflation:g}; shrink by 0 to 1 and multiply by a positive number."
            )

    def candidates(self) -> tuple[Kalman, ...]:
        """One for every combination of settings."""
        grid = product(SHRINKAGES, INFLATIONS, (False, True))
        return tuple(replace(self, shrinkage=s, inflation=i, derivative=d) for s, i, d in grid)

    def fit(self, data: SpikeData, target: str, seed: int = 0) -> KalmanDecoding:
        """Learn from trials.

        Args:
            data: Trials.
            target: A signal.
            seed: Not used: nothing is drawn.

        Raises:
            DataError: If the trials have no such signal, or it is missing in one of every two adjacent bins.
        """
        return self.solve(self.sums(data, target), target)

    def sums(self, data: SpikeData, target: str) -> Sums:
        """Moments of states and counts, and of each state with the one before."""
        known = known_bins(data, target)
        values = signal_of(data, target).astype(np.float64)
        state = _with_change(values, known) if self.derivative else values
        known = known & np.isfinite(state).all(2)
        counts = self.inputs.of(data).astype(np.float64)
        pairs = known[:, 1:] & known[:, :-1]
        x, y, now, before = state[known], counts[known], state[:, 1:][pairs], state[:, :-1][pairs]
        return Sums(
            {
                "bins": float(len(x)),
                "x": x.sum(0),
                "xx": x.T @ x,
                "y": y.sum(0),
                "yx": y.T @ x,
                "yy": y.T @ y,
                "pairs": float(len(now)),
                "now": now.sum(0),
                "before": before.sum(0),
                "now_now": now.T @ now,
                "now_before": now.T @ before,
                "before_before": before.T @ before,
            }
        )

    def solve(self, sums: Sums, target: str) -> KalmanDecoding:
        """The filter that follows from the moments."""
        n, pairs, dim = sums["bins"], sums["pairs"], len(sums["x"])
        if pairs <= dim:
            raise DataError(f"there are only {int(pairs)} pairs of bins in which '{target}' was recorded; add trials.")
        mean_x, mean_y = sums["x"] / n, sums["y"] / n

        def about_mean(products: np.ndarray, first: np.ndarray, second: np.ndarray, count: float) -> np.ndarray:
            shifted = products - np.outer(first, mean_x) - np.outer(mean_x, second)
            return shifted + count * np.outer(mean_x, mean_x)

        xx = about_mean(sums["xx"], sums["x"], sums["x"], n)
        earlier = about_mean(sums["before_before"], sums["before"], sums["before"], pairs)
        step = about_mean(sums["now_before"], sums["now"], sums["before"], pairs)
        later = about_mean(sums["now_now"], sums["now"], sums["now"], pairs)
        yx = sums["yx"] - n * np.outer(mean_y, mean_x)
        yy = sums["yy"] - n * np.outer(mean_y, mean_y)
        transition = _over(step, earlier)
        observation = _over(yx, xx)
        noise = _symmetric(yy - observation @ yx.T) / n
        own = np.diag(noise)
        own = np.maximum(own, LEAST_VARIANCE * float(np.median(own[own > 0])) if (own > 0).any() else 1.0)
        noise = (1 - self.shrinkage) * noise
        noise[np.diag_indices_from(noise)] = own
        return KalmanDecoding(
            target,
            mean_x,
            mean_y,
            transition,
            _symmetric(later - transition @ step.T) / pairs,
            observation,
            self.inflation * noise,
            xx / n,
            self,
        )


@dataclass(frozen=True, eq=False)
class KalmanDecoding:
    """A fitted filter.

    Attributes:
        target: The signal that is decoded; the first dimensions of the state.
        mean_state: Mean state.
        mean_counts: Mean smoothed counts.
        transition: A.
        transition_noise: W.
        observation: C.
        observation_noise: Q.
        prior: Covariance of the first state of a trial.
        settings: How it was fitted.
    """

    target: str
    mean_state: Float[np.ndarray, "state"]
    mean_counts: Float[np.ndarray, "neuron"]
    transition: Float[np.ndarray, "state state"]
    transition_noise: Float[np.ndarray, "state state"]
    observation: Float[np.ndarray, "neuron state"]
    observation_noise: Float[np.ndarray, "neuron neuron"]
    prior: Float[np.ndarray, "state state"]
    settings: Kalman

    @cached_property
    def _weighted(self) -> Float[np.ndarray, "neuron state"]:
        """Q^-1 C."""
        return np.linalg.solve(self.observation_noise, self.observation)

    def decode(self, data: SpikeData) -> Float[np.ndarray, "bin dim"]:
        """The signal in every valid bin, trial after trial, from this bin and those before it in the trial.

        The gain depends on the time since the start only, so all trials are filtered together; in the space of states,
        by ``K = P C' (C P C' + Q)^-1 = P (I + C' Q^-1 C P)^-1 C' Q^-1``.
        """
        evidence = (self.settings.inputs.of(data).astype(np.float64) - self.mean_counts) @ self._weighted
        information = self.observation.T @ self._weighted
        identity = np.eye(len(self.prior))
        state, covariance = np.zeros((data.n_trials, len(self.prior))), self.prior
        states = np.empty((data.n_trials, data.n_bins, len(self.prior)))
        for time in range(data.n_bins):
            if time:
                state = state @ self.transition.T
                covariance = self.transition @ covariance @ self.transition.T + self.transition_noise
            covariance = _symmetric(covariance @ np.linalg.inv(identity + information @ covariance))
            state = state + (evidence[:, time] - state @ information.T) @ covariance.T
            states[:, time] = state
        dim = len(self.mean_state) // 2 if self.settings.derivative else len(self.mean_state)
        return (states + self.mean_state)[data.valid][:, :dim]


def _with_change(values: np.ndarray, known: np.ndarray) -> Float[np.ndarray, "trial time state"]:
    """A signal beside its change since the bin before; in the first bin of a trial, its change to the next."""
    change = np.full_like(values, np.nan)
    both = known[:, 1:] & known[:, :-1]
    change[:, 1:] = np.where(both[..., None], values[:, 1:] - values[:, :-1], np.nan)
    if values.shape[1] > 1:
        change[:, 0] = change[:, 1]
    return np.concatenate([values, change], axis=2)


def _over(products: np.ndarray, square: np.ndarray) -> np.ndarray:
    """``products square^-1``, for a square that may be singular where a dimension never moves."""
    return np.linalg.lstsq(square, products.T, rcond=1e-12)[0].T


def _symmetric(values: np.ndarray) -> np.ndarray:
    return (values + values.T) / 2
