"""Slow log-gains of a population: what its rates leave unexplained, private to a neuron or shared.

The log-gain of neuron n in bin t is Gaussian, the sum of two parts of the same form,

    g[t] = sum_k L_k x_k[t] + s_k z_k[t],

where the entries of ``x_k`` and ``z_k`` are independent standard normal processes: drifting as an Ornstein-Uhlenbeck
process of time constant tau (k = 0), or drawn once a trial (k = 1). So the covariance between neurons, ``L_k L_k' +
s_k^2``, is free on either scale of time. Gains of this kind explain why neurons vary more, and more slowly, than their
shared rates (Goris, Movshon & Simoncelli 2014).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

DRIFT, LASTING = range(2)
MOST_DIMENSIONS = 128
"""Dimensions of a part that neurons share, at most: in larger populations, those of most variance."""


@dataclass(frozen=True)
class Gain:
    """A process of log-gains.

    Attributes:
        loadings: (part, neuron, dimension) ``L``.
        private: (part, neuron) ``s``.
        tau: Time constant of the part that drifts, in bins.
    """

    loadings: Float[Tensor, "part neuron dimension"]
    private: Float[Tensor, "part neuron"]
    tau: float

    @property
    def decay(self) -> float:
        """Correlation of the drift from one bin to the next."""
        return math.exp(-1 / self.tau)

    @property
    def variance(self) -> Float[Tensor, "part neuron"]:
        """Variance of each part."""
        return self.loadings.square().sum(2) + self.private**2

    @property
    def varies(self) -> bool:
        """Whether there is any gain at all."""
        return bool(self.loadings.any() or self.private.any())

    def draw(self, n_bins: int, n_trials: int, generator: torch.Generator) -> Float[Tensor, "time trial neuron"]:
        """Log-gains of new trials."""
        drift = self._part(DRIFT, n_bins, n_trials, generator)
        fresh = math.sqrt(1 - self.decay**2)
        for t in range(1, n_bins):
            drift[t].mul_(fresh).add_(drift[t - 1], alpha=self.decay)
        return drift.add_(self._part(LASTING, 1, n_trials, generator))

    def _part(self, part: int, n_bins: int, n_trials: int, generator: torch.Generator) -> Tensor:
        """A part with new values in each bin."""
        loadings, private = self.loadings[part], self.private[part]
        shape, device = (n_bins, n_trials), loadings.device
        used = loadings.any(0)
        if bool(used.any()):
            loadings = loadings[:, used]
            noise = torch.randn((*shape, loadings.shape[1]), generator=generator, device=device) @ loadings.T
        else:
            noise = torch.zeros((*shape, len(loadings)), device=device)
        if bool(private.any()):
            noise += torch.randn((*shape, len(private)), generator=generator, device=device) * private
        return noise

    def correction(self, n_trials: int) -> GainCorrection:
        """Change of drawn gains by observed counts; none while no bin has been observed."""
        zeros = self.private.new_zeros((n_trials, self.private.shape[1]))
        return GainCorrection(self, zeros, zeros, zeros + 1, zeros, zeros + 1)


@dataclass
class GainCorrection:
    """How gains that were drawn must change to be draws given the counts that were observed.

    A draw from a Gaussian given observations is one without them plus the regression of what they miss of it
    (Matheron's rule). What a count tells of its neuron's gain is linear about its expectation, and told on to later
    bins by a Kalman filter of the neuron's drifting and lasting parts; what it tells of other neurons' gains is not
    used.

    Attributes:
        gain: The process.
        drift: (trial, neuron) change of the drifting part, in its standard deviations.
        lasting: The same of the lasting part.
        drift_var: Variance that counts have left of the former.
        covariance: Covariance of the two.
        lasting_var: Variance that counts have left of the latter.
    """

    gain: Gain
    drift: Tensor
    lasting: Tensor
    drift_var: Tensor
    covariance: Tensor
    lasting_var: Tensor

    def step(self) -> None:
        """Go to the next bin."""
        rho = self.gain.decay
        self.drift = rho * self.drift
        self.covariance = rho * self.covariance
        self.drift_var = rho * rho * self.drift_var + (1 - rho * rho)

    def mean(self) -> Float[Tensor, "trial neuron"]:
        """Addition to the gains of this bin."""
        a, b = self.gain.variance.sqrt()
        return a * self.drift + b * self.lasting

    def observe(self, residual: Tensor, variance: Tensor, where: Tensor, generator: torch.Generator) -> None:
        """Learn from counts.

        Args:
            residual: (trial, neuron) counts minus what was expected at the gain as drawn and corrected.
            variance: (trial, neuron) variance of counts there: their derivative by the log-gain, and their information.
            where: (trial, neuron) which counts were observed.
            generator: Source of the draws of what would have been observed.
        """
        a, b = self.gain.variance.sqrt()
        noise = torch.randn(residual.shape, generator=generator, device=residual.device)
        residual = residual - variance.sqrt() * noise
        to_drift = a * self.drift_var + b * self.covariance
        to_lasting = a * self.covariance + b * self.lasting_var
        # the count tells log-gain + residual / variance, with variance 1 / variance
        denominator = 1 + variance * (a * to_drift + b * to_lasting)
        step = residual / denominator
        self.drift = torch.where(where, self.drift + to_drift * step, self.drift)
        self.lasting = torch.where(where, self.lasting + to_lasting * step, self.lasting)
        shrink = variance / denominator
        drift_var = self.drift_var - shrink * to_drift**2
        covariance = self.covariance - shrink * to_drift * to_lasting
        lasting_var = self.lasting_var - shrink * to_lasting**2
        self.drift_var = torch.where(where, drift_var, self.drift_var)
        self.covariance = torch.where(where, covariance, self.covariance)
        self.lasting_var = torch.where(where, lasting_var, self.lasting_var)
