"""Samplers against distributions that are known exactly, and against diffusers."""

import math

import numpy as np
import pytest
import torch

from spikeloom.priors.samplers import SAMPLERS, Grid, NoiseSchedule, ddim, ddpm, dpm_solver, dpm_solver_sde

SCHEDULE = NoiseSchedule()
BINS = 40


def log_snr_grid(steps: int) -> Grid:
    return Grid.uniform_in_log_snr(SCHEDULE, steps, (0.03, 40.0))


def smooth_covariance() -> torch.Tensor:
    time = torch.arange(BINS, dtype=torch.float64)
    return torch.exp(-0.5 * ((time[:, None] - time) / 4) ** 2) + 0.02 * torch.eye(BINS, dtype=torch.float64)


def exact_denoiser(covariance: torch.Tensor):
    """Posterior mean of Gaussian data: signal C (signal^2 C + noise^2)^-1 x."""
    table = SCHEDULE.log_ratio()

    def denoise(x: torch.Tensor, step: float) -> torch.Tensor:
        low = min(int(step), 998)
        log_ratio = torch.lerp(table[low], table[low + 1], torch.tensor(step - low, dtype=torch.float64))
        a, s = torch.sigmoid(2 * log_ratio).sqrt(), torch.sigmoid(-2 * log_ratio).sqrt()
        noisy = a**2 * covariance + s**2 * torch.eye(len(covariance), dtype=torch.float64)
        return x @ (a * covariance @ torch.linalg.inv(noisy)).T

    return denoise


def covariance_error(sampler, grid: Grid, draws: int = 8_000) -> float:
    covariance = smooth_covariance()
    generator = torch.Generator().manual_seed(0)
    x = torch.randn((draws, BINS), generator=generator, dtype=torch.float64)
    sample = sampler(exact_denoiser(covariance), x, grid, generator)
    return float((sample.T @ sample / draws - covariance).norm() / covariance.norm())


def test_schedule_is_the_published_one():
    assert float(SCHEDULE.signal_squared[-1]) == pytest.approx(4.0e-5, rel=0.02)
    assert float(SCHEDULE.signal_squared[0]) == pytest.approx(1 - 1e-4)


def test_steps_and_log_snr_are_inverse():
    steps = torch.tensor([0.0, 0.5, 17.25, 500.0, 998.5, 999.0], dtype=torch.float64)
    table = SCHEDULE.log_ratio()
    low = steps.long().clamp(max=998)
    log_ratio = torch.lerp(table[low], table[low + 1], steps - low)
    torch.testing.assert_close(SCHEDULE.step_at(log_ratio), steps, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("sampler", "grid", "largest"),
    [
        (ddpm, Grid.uniform_in_step(SCHEDULE, 500), 0.04),
        (ddim, Grid.uniform_in_step(SCHEDULE, 100), 0.06),
        (ddim, log_snr_grid(64), 0.08),
        (dpm_solver, log_snr_grid(16), 0.045),
        (dpm_solver, log_snr_grid(32), 0.04),
        (dpm_solver_sde, log_snr_grid(16), 0.1),
        (dpm_solver_sde, log_snr_grid(32), 0.04),
    ],
)
def test_covariance_of_a_gaussian_is_right(sampler, grid, largest):
    """Error of the sample covariance with an exact denoiser; 8000 exact draws have about 0.026."""
    assert covariance_error(sampler, grid) < largest


def test_second_order_beats_first_order():
    grid = log_snr_grid(16)
    assert covariance_error(dpm_solver, grid, 4000) < 0.7 * covariance_error(ddim, grid, 4000)


@pytest.mark.parametrize("steps", [1, 2, 5])
@pytest.mark.parametrize("name", list(SAMPLERS))
def test_few_steps_stay_finite_and_repeat(name, steps):
    grid = Grid.uniform_in_step(SCHEDULE, steps) if name == "ddpm" else log_snr_grid(steps)
    draws = []
    for _ in range(2):
        generator = torch.Generator().manual_seed(3)
        x = torch.randn((5, BINS), generator=generator, dtype=torch.float64)
        denoise = exact_denoiser(smooth_covariance())
        draws.append(SAMPLERS[name](denoise, x, grid, generator))
    assert torch.isfinite(draws[0]).all()
    assert torch.equal(*draws)


@pytest.mark.parametrize("ours", [ddpm, ddim, dpm_solver, dpm_solver_sde])
def test_each_sampler_agrees_with_diffusers(ours):
    """The same noise prediction on the same steps ends in the same place."""
    diffusers = pytest.importorskip("diffusers")
    common = {"num_train_timesteps": 1000, "beta_start": 1e-4, "beta_end": 0.02, "beta_schedule": "linear"}
    steps = 10
    kinds = {
        ddpm: (diffusers.DDPMScheduler, {"clip_sample": False, "timestep_spacing": "linspace"}),
        ddim: (
            diffusers.DDIMScheduler,
            {"clip_sample": False, "timestep_spacing": "leading", "set_alpha_to_one": True},
        ),
        dpm_solver: (
            diffusers.DPMSolverMultistepScheduler,
            {"final_sigmas_type": "zero", "timestep_spacing": "linspace", "euler_at_final": False},
        ),
        dpm_solver_sde: (
            diffusers.DPMSolverMultistepScheduler,
            {"final_sigmas_type": "zero", "timestep_spacing": "linspace", "algorithm_type": "sde-dpmsolver++"},
        ),
    }
    kind, options = kinds[ours]
    theirs = kind(**common, **options)
    theirs.set_timesteps(steps)
    visited = [int(t) for t in theirs.timesteps]
    signal_squared = SCHEDULE.signal_squared
    grid = Grid(
        [float(t) for t in visited],
        [float(signal_squared[t].sqrt()) for t in visited],
        [float((1 - signal_squared[t]).sqrt()) for t in visited],
    )

    def predict_noise(x, step):  # any smooth function of data and step will do
        return 0.7 * torch.tanh(x) + 0.1 * math.sin(step / 100)

    def denoise(x, step):
        a = float(signal_squared[int(step)])
        return (x - math.sqrt(1 - a) * predict_noise(x, step)) / math.sqrt(a)

    # Their stochastic solver draws its noise in single precision whatever it is given.
    dtype = torch.float32 if ours is dpm_solver_sde else torch.float64
    start = torch.randn((3, 7), generator=torch.Generator().manual_seed(1), dtype=dtype)
    x = start.clone()
    noise_ours, noise_theirs = torch.Generator().manual_seed(2), torch.Generator().manual_seed(2)
    for t in theirs.timesteps:
        extra = {"generator": noise_theirs} if ours is not ddim else {}
        x = theirs.step(predict_noise(x, float(t)), t, x, **extra).prev_sample
    result = ours(denoise, start.clone(), grid, noise_ours)
    np.testing.assert_allclose(result.numpy(), x.numpy(), rtol=2e-3, atol=2e-3)
