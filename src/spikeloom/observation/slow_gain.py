"""Slow private gain: each neuron's excitability drifts by itself, in a trial and from trial to trial.

The logarithm of the gain of neuron n is Gaussian, independent of all other neurons,

    g[t] = s_n x[t] + l_n z,    x[t] = rho x[t-1] + sqrt(1 - rho^2) e[t],    rho = exp(-1 / tau),

where ``z`` is drawn once a trial and ``x`` is an Ornstein-Uhlenbeck process. Gains of this kind explain why neurons
vary more, and more slowly, than their shared rates (Goris, Movshon & Simoncelli 2014).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

FREE = 1e-9
"""Variance below which a state is taken as known."""


@dataclass(frozen=True)
class SlowGain:
    """A process of log-gains.

    Attributes:
        drift_sd: (neuron,) standard deviation ``s`` of the part that drifts.
        lasting_sd: (neuron,) standard deviation ``l`` of the part that lasts for the whole trial.
        tau: Time constant in bins.
    """

    drift_sd: Float[Tensor, "neuron"]
    lasting_sd: Float[Tensor, "neuron"]
    tau: float

    @property
    def decay(self) -> float:
        """``rho``, from one bin to the next."""
        return float(torch.exp(torch.tensor(-1 / self.tau, dtype=torch.float64)))

    def draw(self, n_bins: int, n_trials: int, generator: torch.Generator) -> Float[Tensor, "time trial neuron"]:
        """Log-gains of new trials."""
        sd, rho = self.drift_sd, self.decay
        gains = torch.randn((n_bins, n_trials, len(sd)), generator=generator, device=sd.device)
        fresh = (1 - rho * rho) ** 0.5
        for t in range(1, n_bins):
            gains[t].mul_(fresh).add_(gains[t - 1], alpha=rho)
        lasting = torch.randn((n_trials, len(sd)), generator=generator, device=sd.device)
        return gains.mul_(sd).add_(lasting.mul_(self.lasting_sd))

    def state(self, n_trials: int) -> GainState:
        """What is known of the gains of trials that have not begun."""
        zeros = self.drift_sd.new_zeros((n_trials, len(self.drift_sd)))
        return GainState(self, zeros, zeros, zeros + 1, zeros, zeros + 1)


@dataclass
class GainState:
    """What is known of the gains of one bin: a Gaussian of the two parts of each (trial, neuron).

    A Kalman filter whose observations are counts, linearised at their expectation (Laplace). Gains that have been drawn
    are known exactly.

    Attributes:
        process: The process.
        drift: Mean of ``x``.
        lasting: Mean of ``z``.
        drift_var: Variance of ``x``.
        covariance: Covariance of the two.
        lasting_var: Variance of ``z``.
    """

    process: SlowGain
    drift: Tensor
    lasting: Tensor
    drift_var: Tensor
    covariance: Tensor
    lasting_var: Tensor

    def step(self) -> None:
        """Go to the next bin."""
        rho = self.process.decay
        self.drift = rho * self.drift
        self.covariance = rho * self.covariance
        self.drift_var = rho * rho * self.drift_var + (1 - rho * rho)

    def mean(self) -> Float[Tensor, "trial neuron"]:
        """Expected log-gain."""
        return self.process.drift_sd * self.drift + self.process.lasting_sd * self.lasting

    def draw(self, generator: torch.Generator, where: Tensor) -> None:
        """Draw the gains of some trials, which are known from then on.

        Args:
            generator: Source of the draws.
            where: (trial, 1) whether a trial's gains are drawn.
        """
        first, second = (torch.randn(self.drift.shape, generator=generator, device=self.drift.device) for _ in range(2))
        scale = self.drift_var.clamp(min=FREE).sqrt()
        slope = self.covariance / scale
        rest = (self.lasting_var - slope**2).clamp(min=0).sqrt()
        known = self.drift_var < FREE  # then only z may be free
        drift = torch.where(known, self.drift, self.drift + scale * first)
        lasting = torch.where(
            known,
            self.lasting + self.lasting_var.clamp(min=0).sqrt() * second,
            self.lasting + slope * first + rest * second,
        )
        self.drift = torch.where(where, drift, self.drift)
        self.lasting = torch.where(where, lasting, self.lasting)
        for name in ("drift_var", "covariance", "lasting_var"):
            setattr(self, name, torch.where(where, torch.zeros(()).to(drift), getattr(self, name)))

    def observe(self, residual: Tensor, variance: Tensor, where: Tensor) -> None:
        """Learn from counts.

        Args:
            residual: (trial, neuron) counts minus what was expected at the mean gain.
            variance: (trial, neuron) variance of counts there: their derivative by the log-gain, and their information.
            where: (trial, 1) whether the counts of a trial were observed.
        """
        a, b = self.process.drift_sd, self.process.lasting_sd
        to_drift = a * self.drift_var + b * self.covariance
        to_lasting = a * self.covariance + b * self.lasting_var
        # the count tells log-gain + residual / variance, with variance 1 / variance
        denominator = 1 + variance * (a * to_drift + b * to_lasting)
        gain = residual / denominator
        self.drift = torch.where(where, self.drift + to_drift * gain, self.drift)
        self.lasting = torch.where(where, self.lasting + to_lasting * gain, self.lasting)
        shrink = variance / denominator
        drift_var = self.drift_var - shrink * to_drift**2
        covariance = self.covariance - shrink * to_drift * to_lasting
        lasting_var = self.lasting_var - shrink * to_lasting**2
        self.drift_var = torch.where(where, drift_var, self.drift_var)
        self.covariance = torch.where(where, covariance, self.covariance)
        self.lasting_var = torch.where(where, lasting_var, self.lasting_var)
