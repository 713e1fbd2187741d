"""Innovations that neurons share: which of the counts that their rates allow are drawn together.

A count is drawn by inverse transform: it is the quantile of its distribution at Phi(z), with ``z`` standard normal.
Where neurons have covariances beyond those of their rates, their ``z`` are correlated,

    D z[t] = e[t] + F_0 e[t] + sum_k F_k e[t-k],

with ``e`` independent standard normal: ``F_0``, symmetric, acts within a bin, ``F_k`` after k bins; ``D``, diagonal,
makes the variance of each ``z`` one. Any matrices are possible: so covariances of either sign are, lead and lag too,
and whatever they are, the counts of a neuron alone keep their distribution. It is a Gaussian copula, as in "Generating
spike trains with specified correlation coefficients" (Macke et al. 2009), here of counts given rates and past.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from spikeloom.observation.limits import LARGEST

N_LAGS = 3
"""Bins after which an innovation has an effect of its own."""


@dataclass(frozen=True)
class Innovations:
    """A process of correlated standard normal innovations.

    Attributes:
        weights: (lag, row, row) effects of rows on each other, within a bin and after 1 to ``N_LAGS`` bins.
        patterns: (neuron, row) orthonormal patterns of neurons that the rows are; None where each neuron is a row.
    """

    weights: Float[Tensor, "lag row row"]
    patterns: Float[Tensor, "neuron row"] | None

    @property
    def any(self) -> bool:
        """Whether neurons share anything."""
        return bool(self.weights.any())

    def draw(self, shape: tuple[int, ...], generator: torch.Generator) -> Float[Tensor, "time trial neuron"]:
        """Innovations of new trials, as if each had begun long before its first bin; of shape (time, trial, neuron)."""
        n_bins = shape[0]
        e = torch.randn((n_bins + N_LAGS, *shape[1:]), generator=generator, device=self.weights.device)
        rows = self._rows(e)
        used = [lag for lag in range(N_LAGS + 1) if bool(self.weights[lag].any())]
        inputs = torch.cat([rows[N_LAGS - lag : N_LAGS - lag + n_bins] for lag in used], -1)
        effects = inputs @ torch.cat([self.weights[lag] for lag in used], -1).T
        return (e[N_LAGS:] + self._neurons(effects)) / self.scale()

    def scale(self) -> Float[Tensor, "neuron"]:
        """``D``: the standard deviation of what is divided by it."""
        now = self.weights[0]
        rows = now + now.T + torch.einsum("kij,klj->il", self.weights, self.weights)
        own = rows.diagonal() if self.patterns is None else ((self.patterns @ rows) * self.patterns).sum(1)
        return (1 + own).clamp(min=1e-6).sqrt()

    def _rows(self, neurons: Tensor) -> Tensor:
        return neurons if self.patterns is None else neurons @ self.patterns

    def _neurons(self, rows: Tensor) -> Tensor:
        return rows if self.patterns is None else rows @ self.patterns.T


@dataclass
class Running:
    """Innovations bin by bin, of which some are told by observed counts.

    Attributes:
        process: The process.
        recent: (lag, trial, row) independent noise of the last bins, the last one first.
    """

    process: Innovations
    recent: Float[Tensor, "lag trial row"]
    _scale: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self._scale = self.process.scale()

    @classmethod
    def begin(cls, process: Innovations, n_trials: int, generator: torch.Generator) -> Running:
        """Before the first bin of trials that are part of something longer."""
        shape = (N_LAGS, n_trials, process.weights.shape[-1])
        return cls(process, torch.randn(shape, generator=generator, device=process.weights.device))

    def given(self, e: Float[Tensor, "trial neuron"]) -> Float[Tensor, "trial neuron"]:
        """Innovations of this bin, of independent noise."""
        own = self.process._neurons(self.process._rows(e) @ self.process.weights[0].T)
        return (e + own + self._past()) / self._scale

    def noise_of(self, z: Float[Tensor, "trial neuron"]) -> Float[Tensor, "trial neuron"]:
        """Independent noise that innovations of this bin come from."""
        rest = z * self._scale - self._past()
        rows = self.process._rows(rest)
        effect = torch.eye(rows.shape[1], device=rows.device) + self.process.weights[0]
        solved = torch.linalg.solve(effect, rows.T).T
        return rest + self.process._neurons(solved - rows)

    def step(self, e: Float[Tensor, "trial neuron"]) -> None:
        """Go to the next bin, given the noise of this one."""
        self.recent = torch.cat([self.process._rows(e)[None], self.recent[:-1]])

    def _past(self) -> Float[Tensor, "trial neuron"]:
        return self.process._neurons(torch.einsum("kbj,kij->bi", self.recent, self.process.weights[1:]))


def share_of(z: Tensor) -> Tensor:
    """Phi(z), below 1."""
    return torch.special.ndtr(z).clamp(max=LARGEST)
