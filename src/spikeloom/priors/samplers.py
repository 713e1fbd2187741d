"""From noise to data with a trained denoiser: each sampler is one function of the same signature.

A sampler gets ``denoise(x, step) -> x0``, the expected clean data given noisy data at a diffusion step, so it works
with any parametrisation and any network. It starts from unit Gaussian noise and ends in data. Noise and signal scales
at fractional steps come from a ``NoiseSchedule``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor

Noisy = Float[Tensor, "batch ..."]
Denoise = Callable[[Tensor, float], Tensor]

TRAINING_STEPS = 1000


@dataclass(frozen=True)
class NoiseSchedule:
    """A variance-preserving process: beta linear over the steps; of LDNS (Ho et al. 2020) when nothing is said.

    At step k a datum is ``signal(k) x0 + noise(k) eps`` with signal^2 + noise^2 = 1.

    Example:
        >>> schedule = NoiseSchedule()
        >>> round(float(schedule.signal_squared[-1]), 7)  # almost nothing is left of the data
        4.04e-05
    """

    first_beta: float = 1e-4
    last_beta: float = 0.02
    steps: int = TRAINING_STEPS

    @property
    def signal_squared(self) -> Float[Tensor, "step"]:
        """Share of the variance that is signal (alpha-bar) at steps 0 to the last, in double precision."""
        return _signal_squared(self.first_beta, self.last_beta, self.steps)

    def log_ratio(self) -> Float[Tensor, "step"]:
        """Logarithm of signal over noise, half the log-SNR, falling with the step."""
        return _log_ratio(self.first_beta, self.last_beta, self.steps)

    def scales_at(self, step: float) -> tuple[float, float]:
        """Signal and noise scale at a fractional step, interpolated in log-SNR."""
        table = self.log_ratio()
        low = min(int(step), self.steps - 2)
        log_ratio = torch.lerp(table[low], table[low + 1], torch.tensor(step - low, dtype=torch.float64))
        return float(torch.sigmoid(2 * log_ratio).sqrt()), float(torch.sigmoid(-2 * log_ratio).sqrt())

    def step_at(self, log_ratio: Float[Tensor, "n"]) -> Float[Tensor, "n"]:
        """Fractional step with the given lambda."""
        table = self.log_ratio().flip(0)
        right = torch.searchsorted(table, log_ratio.clamp(table[0], table[-1])).clamp(1, len(table) - 1)
        low, high = table[right - 1], table[right]
        position = right - 1 + (log_ratio.clamp(table[0], table[-1]) - low) / (high - low)
        return len(table) - 1 - position

    def even_levels(
        self, n: int, noise_to_signal: tuple[float, float], generator: torch.Generator
    ) -> tuple[Float[Tensor, "{n}"], Float[Tensor, "{n}"], Float[Tensor, "{n}"]]:
        """Step, signal scale and noise scale for each trial of a batch, uniform in log-SNR between two ratios.

        They are spread evenly over the batch: every batch sees every level of noise.
        """
        offset = torch.rand(1, generator=generator, device=generator.device).cpu()
        uniform = (torch.arange(n) / n + offset) % 1
        low, high = (-math.log(ratio) for ratio in reversed(noise_to_signal))
        log_ratio = (low + (high - low) * uniform).double()  # on the CPU: not every device has double precision
        signal, noise = torch.sigmoid(2 * log_ratio).sqrt(), torch.sigmoid(-2 * log_ratio).sqrt()
        return self.step_at(log_ratio).float(), signal.float(), noise.float()


@cache
def _signal_squared(first_beta: float, last_beta: float, steps: int) -> Float[Tensor, "step"]:
    beta = torch.linspace(first_beta, last_beta, steps, dtype=torch.float64)
    return torch.cumprod(1 - beta, dim=0)


@cache  # a table that every training step looks into
def _log_ratio(first_beta: float, last_beta: float, steps: int) -> Float[Tensor, "step"]:
    signal_squared = _signal_squared(first_beta, last_beta, steps)
    return 0.5 * (signal_squared.log() - (1 - signal_squared).log())


@dataclass(frozen=True)
class Grid:
    """The steps a sampler visits, from noise to data, with both scales at each; a jump to the data follows."""

    step: list[float]
    signal: list[float]
    noise: list[float]

    @classmethod
    def uniform_in_log_snr(cls, schedule: NoiseSchedule, steps: int, noise_to_signal: tuple[float, float]) -> Grid:
        """Equal steps in log-SNR between two ratios of noise to signal.

        The last jump replaces a sample by its expectation and so loses variance below the smaller ratio; the larger
        one must drown the data.
        """
        low, high = noise_to_signal
        log_ratio = -torch.linspace(math.log(high), math.log(low), steps, dtype=torch.float64)
        table = schedule.log_ratio()
        return cls._at(schedule.step_at(log_ratio), log_ratio.clamp(table[-1], table[0]))

    @classmethod
    def uniform_in_step(cls, schedule: NoiseSchedule, steps: int) -> Grid:
        """Whole training steps, evenly strided, the first at full noise; all of them are ancestral DDPM."""
        index = torch.linspace(schedule.steps - 1, 0, steps).round().long()
        return cls._at(index.double(), schedule.log_ratio()[index])

    @classmethod
    def _at(cls, step: Tensor, log_ratio: Tensor) -> Grid:
        signal = torch.sigmoid(2 * log_ratio).sqrt()
        noise = torch.sigmoid(-2 * log_ratio).sqrt()
        return cls(step.tolist(), signal.tolist(), noise.tolist())


def ddpm(denoise: Denoise, x: Noisy, grid: Grid, generator: torch.Generator) -> Noisy:
    """Ancestral sampling (Ho et al. 2020, Algorithm 2), on any subset of the steps."""
    for i, step in enumerate(grid.step):
        x0 = denoise(x, step)
        if i + 1 == len(grid.step):
            return x0
        # Posterior of the next, less noisy state given this one and the data.
        alpha = (grid.signal[i] / grid.signal[i + 1]) ** 2
        noise, next_noise = grid.noise[i] ** 2, grid.noise[i + 1] ** 2
        mean = grid.signal[i + 1] * (1 - alpha) / noise * x0 + alpha**0.5 * next_noise / noise * x
        fresh = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
        x = mean + math.sqrt((1 - alpha) * next_noise / noise) * fresh
    return x


def ddim(denoise: Denoise, x: Noisy, grid: Grid, generator: torch.Generator) -> Noisy:
    """Deterministic sampling, first order (Song, Meng, Ermon 2020, Eq. 12 with sigma = 0); draws nothing."""
    for i, step in enumerate(grid.step):
        x0 = denoise(x, step)
        if i + 1 == len(grid.step):
            return x0
        ratio = grid.noise[i + 1] / grid.noise[i]
        x = ratio * x + (grid.signal[i + 1] - ratio * grid.signal[i]) * x0
    return x


def dpm_solver(denoise: Denoise, x: Noisy, grid: Grid, generator: torch.Generator) -> Noisy:
    """DPM-Solver++(2M), deterministic, second order (Lu et al. 2022, Algorithm 2); draws nothing."""
    return _multistep(denoise, x, grid, None)


def dpm_solver_sde(denoise: Denoise, x: Noisy, grid: Grid, generator: torch.Generator) -> Noisy:
    """SDE-DPM-Solver++(2M), the stochastic twin of ``dpm_solver`` (Lu et al. 2022, Section 5); as many passes.

    Each step renews as much noise as the process itself would. With an exact denoiser it needs more passes than the
    deterministic solver; with a briefly trained one its samples came closer to the data in counts, correlations and
    mean intervals at equal passes (``benchmarks/results/sampling.md``).
    """
    return _multistep(denoise, x, grid, generator)


def _multistep(denoise: Denoise, x: Noisy, grid: Grid, generator: torch.Generator | None) -> Noisy:
    """Second order in the data prediction; the first step and the last, infinite in log-SNR, are of first order."""
    before: Tensor | None = None
    h_before = 0.0
    for i, step in enumerate(grid.step):
        x0 = denoise(x, step)
        if i + 1 == len(grid.step):
            return x0
        ratio = grid.noise[i + 1] / grid.noise[i]
        h = math.log(grid.signal[i + 1] / grid.signal[i]) - math.log(ratio)
        slope = x0 if before is None else x0 + (x0 - before) * (h / (2 * h_before))
        if generator is None:
            x = ratio * x + grid.signal[i + 1] * -math.expm1(-h) * slope
        else:
            renewed = -math.expm1(-2 * h)  # share of the variance that is forgotten in this step
            fresh = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
            kept = ratio * math.exp(-h) * x + grid.signal[i + 1] * renewed * slope
            x = kept + grid.noise[i + 1] * math.sqrt(renewed) * fresh
        before, h_before = x0, h
    return x


SAMPLERS = {"dpm_solver_sde": dpm_solver_sde, "dpm_solver": dpm_solver, "ddim": ddim, "ddpm": ddpm}
