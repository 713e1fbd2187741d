"""Reaches from a centre to eight targets and neurons tuned to velocity: small, quick, with known rates."""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Float

from spikeloom.data.signal import Signal
from spikeloom.data.spikedata import SpikeData

BIN_S = 0.02
N_BINS = 40
GO_BIN = 10
"""Bin of the go cue; the hand moves about a quarter of a second later."""
LEAD_S = 0.1
"""By how much neurons precede the hand."""
REACH_CM = 8.0
BASE_HZ = 10.0
DEPTH = 1.8
"""Log rate at the peak of a reach in a neuron's preferred direction, over that at rest."""
GAIN_STD = 0.3
GAIN_S = 0.3
"""Standard deviation and time constant of a gain that all neurons share with their own weights, as real ones do."""


def center_out(n_trials: int = 320, n_neurons: int = 30, seed: int = 0, neuron_seed: int | None = None) -> SpikeData:
    """Simulate reaches to eight targets and the spikes of neurons that are tuned to them.

    A reach has a bell-shaped speed, and its time, length and direction vary from trial to trial. The log rate of a
    neuron is the projection of the hand's velocity 100 ms later on its preferred direction (Georgopoulos et al. 1982;
    Moran and Schwartz 1999) plus its weight times a slow gain that the population shares; counts are Poisson.

    Args:
        n_trials: Number of trials, spread evenly over the targets.
        n_neurons: Number of neurons.
        seed: Determines reaches, gains, spikes and the split (70 % train, 10 % val, 20 % test).
        neuron_seed: Determines the neurons; ``seed`` when not given. Keep it while changing ``seed`` to record the same
            neurons again, or change it alone to record others during the same reaches.

    Returns:
        The recording: 40 bins of 20 ms with the go cue at bin 10; ``rates`` (expected counts per bin); the signal
        "hand_vel" in cm/s; trial columns "target" (0 to 7), which is the
        "condition", and "reach_angle_deg" (its direction).

    Example:
        >>> data = center_out(n_trials=16, n_neurons=5)
        >>> data.counts.shape, data.signals["hand_vel"].columns, sorted(set(data.trials["reach_angle_deg"]))[:3]
        ((16, 40, 5), ('x', 'y'), [0.0, 45.0, 90.0])
    """
    rng = np.random.default_rng(seed)
    target = rng.permutation(np.arange(n_trials) % 8)
    margin = round(LEAD_S / BIN_S)
    velocity = _velocity(target, N_BINS + margin, rng)
    neurons = np.random.default_rng([seed if neuron_seed is None else neuron_seed, 1])
    preferred = neurons.uniform(0, 2 * np.pi, n_neurons)
    depth = DEPTH * neurons.uniform(0.4, 1.0, n_neurons)
    base_hz = BASE_HZ * neurons.lognormal(0, 0.5, n_neurons)
    weight = neurons.normal(1, 0.5, n_neurons)
    peak = REACH_CM / (0.09 * np.sqrt(2 * np.pi))  # cm/s, of the mean reach
    ahead = velocity[:, margin:] @ np.stack([np.cos(preferred), np.sin(preferred)]) / peak
    rates = np.exp(depth * ahead + weight * _slow_gain(n_trials, rng)[..., None]) * base_hz * BIN_S
    data = SpikeData(
        rng.poisson(rates).astype(np.uint8),
        bin_s=BIN_S,
        rates=rates.astype(np.float32),
        signals={"hand_vel": Signal(velocity[:, :N_BINS].astype(np.float32), "cm/s", ("x", "y"))},
        trials=pd.DataFrame({"target": target, "reach_angle_deg": 45.0 * target, "condition": target}),
        neurons=pd.DataFrame({"preferred_deg": np.degrees(preferred), "base_hz": base_hz}),
        provenance={"source": "center-out", "seed": seed, "simulated": True},
    )
    return data.assign_splits(seed=seed) if n_trials >= 3 else data


def _velocity(target: np.ndarray, n_bins: int, rng: np.random.Generator) -> Float[np.ndarray, "trial time 2"]:
    """Velocity of the hand in cm/s: a bell-shaped speed along a straight line towards the target."""
    n = len(target)
    time_s = (np.arange(n_bins) - GO_BIN + 0.5) * BIN_S
    middle_s = rng.normal(0.27, 0.03, n)[:, None]
    width_s = rng.normal(0.09, 0.01, n)[:, None]
    length_cm = rng.normal(REACH_CM, 0.6, n)[:, None]
    speed = length_cm / (width_s * np.sqrt(2 * np.pi)) * np.exp(-(((time_s - middle_s) / width_s) ** 2) / 2)
    direction = np.radians(45.0 * target + rng.normal(0, 5, n))[:, None]
    return np.stack([speed * np.cos(direction), speed * np.sin(direction)], axis=2) + rng.normal(0, 0.3, (n, n_bins, 2))


def _slow_gain(n_trials: int, rng: np.random.Generator) -> Float[np.ndarray, "trial time"]:
    """An Ornstein-Uhlenbeck process for each trial."""
    keep = np.exp(-BIN_S / GAIN_S)
    gain = np.empty((n_trials, N_BINS))
    gain[:, 0] = rng.normal(0, GAIN_STD, n_trials)
    for t in range(1, N_BINS):
        gain[:, t] = keep * gain[:, t - 1] + GAIN_STD * np.sqrt(1 - keep**2) * rng.normal(size=n_trials)
    return gain
