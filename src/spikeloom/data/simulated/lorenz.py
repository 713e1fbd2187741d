"""Simulated recordings whose truth is known: a chaotic Lorenz system read out by Poisson neurons."""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Float

from spikeloom.data.spikedata import Signal, SpikeData

SIGMA, RHO, BETA = 10.0, 28.0, 2.667
BASE_STATE = (-9.7869288, -15.03852, 20.533978)
SAMPLE_S = 1.5008 / 100
"""Time between two samples: a hundredth of the period of the attractor."""
TRANSIENT = 100
"""Samples dropped from the start of every trajectory, so that all begin on the attractor."""
SUBSTEPS = 10
CHUNK = 100
BIAS = float(np.log(0.3))
SHARPNESS = 2.0
"""Sharpness of the softplus that turns the read-out into a rate."""


def lorenz(
    n_trials: int = 5000, n_bins: int = 256, n_neurons: int = 128, seed: int = 42, loading_seed: int | None = None
) -> SpikeData:
    """Simulate the Lorenz recording of LDNS (Kapoor et al. 2024, Section 4.1), with true rates and latents.

    Every trial starts near a common point and follows the chaotic flow; each dimension of each trajectory is z-scored
    over its own window, mapped to the neurons by unit loading vectors, passed through a softplus, and drawn as Poisson
    counts. A bin has no physical width: ``bin_s`` is 1.

    Args:
        n_trials: Number of trials.
        n_bins: Bins of each trial.
        n_neurons: Number of neurons.
        seed: Determines initial states, spikes and the split (70 % train, 10 % val, 20 % test).
        loading_seed: Determines the neurons; ``seed`` when not given. Keep it while changing ``seed`` to record the
            same neurons again.

    Returns:
        The recording, with ``rates`` (expected counts per bin) and ``latents`` (the z-scored x, y, z). The signal
        "state" is the same x, y, z, for models that learn from behaviour, for which it is the true latent state.

    Example:
        >>> data = lorenz(n_trials=10, n_bins=32, n_neurons=8)
        >>> data.rates.shape, data.latents.shape
        ((10, 32, 8), (10, 32, 3))
    """
    rng = np.random.default_rng(seed)
    start = np.array(BASE_STATE) + 2.0 * rng.standard_normal((n_trials, 3))
    states = integrate(start, n_bins + TRANSIENT)[:, TRANSIENT:]
    latents = (states - states.mean(axis=1, keepdims=True)) / states.std(axis=1, keepdims=True)
    trajectories = latents.astype(np.float32)
    loading = _loading(n_neurons, seed if loading_seed is None else loading_seed)
    rates = np.empty((n_trials, n_bins, n_neurons), dtype=np.float32)
    counts = np.empty(rates.shape, dtype=np.uint8)
    for part in range(0, n_trials, CHUNK):  # the temporaries of all trials at once would take gigabytes
        chunk = slice(part, part + CHUNK)
        drive = latents[chunk].astype(np.float32) @ loading.T.astype(np.float32) + np.float32(BIAS)
        rates[chunk] = np.logaddexp(0, SHARPNESS * drive) / SHARPNESS
        counts[chunk] = rng.poisson(rates[chunk])
    data = SpikeData(
        counts,
        bin_s=1.0,
        rates=rates,
        latents=trajectories,
        signals={"state": Signal(trajectories, "", ("x", "y", "z"))},
        neurons=pd.DataFrame({"loading_x": loading[:, 0], "loading_y": loading[:, 1], "loading_z": loading[:, 2]}),
        provenance={"source": "lorenz", "seed": seed, "simulated": True},
    )
    return data.assign_splits(seed=seed) if n_trials >= 3 else data


def integrate(start: Float[np.ndarray, "trial 3"], n_samples: int) -> Float[np.ndarray, "trial sample 3"]:
    """Integrate the Lorenz system from every initial state at once (Runge-Kutta of order 4, ten steps a sample)."""
    step = SAMPLE_S / SUBSTEPS
    state = np.array(start.T)  # axes (dimension, trial): every operation runs over contiguous memory
    samples = np.empty((n_samples, 3, start.shape[0]))
    samples[0] = state
    for i in range(1, n_samples):
        for _ in range(SUBSTEPS):
            k1 = _flow(state)
            k2 = _flow(state + 0.5 * step * k1)
            k3 = _flow(state + 0.5 * step * k2)
            k4 = _flow(state + step * k3)
            state = state + (step / 6) * (k1 + 2 * k2 + 2 * k3 + k4)
        samples[i] = state
    return samples.transpose(2, 0, 1)


def _flow(state: Float[np.ndarray, "3 trial"]) -> Float[np.ndarray, "3 trial"]:
    x, y, z = state
    return np.stack([SIGMA * (y - x), x * (RHO - z) - y, x * y - BETA * z])


def _loading(n_neurons: int, seed: int) -> Float[np.ndarray, "neuron 3"]:
    loading = np.random.default_rng([seed, 1]).standard_normal((n_neurons, 3))
    loading /= np.linalg.norm(loading, axis=1, keepdims=True)
    return loading[np.argsort(loading[:, 0])]
