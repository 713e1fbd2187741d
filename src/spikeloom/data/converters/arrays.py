"""Conversion of a recording to spike times, and to the objects of xarray and pynapple (extra ``convert``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from spikeloom.data.spikedata import SpikeData

if TYPE_CHECKING:
    import pynapple
    import xarray


def to_xarray(data: SpikeData) -> xarray.Dataset:
    """Labelled arrays; padding becomes NaN in everything but the counts."""
    import xarray as xr

    axes = ("trial", "time")
    mask = data.valid[..., None]
    variables: dict[str, Any] = {
        "counts": ((*axes, "neuron"), data.counts),
        "lengths": (("trial",), data.lengths),
    }
    if data.rates is not None:
        variables["rate_hz"] = (
            (*axes, "neuron"),
            np.where(mask, data.rates / data.bin_s, np.nan),
            {"unit": "Hz"},
        )
    if data.latents is not None:
        variables["latents"] = ((*axes, "latent"), np.where(mask, data.latents, np.nan))
    for name, signal in data.signals.items():
        variables[name] = (
            (*axes, f"{name}_dim"),
            np.where(mask, signal.values, np.nan),
            {"unit": signal.unit},
        )
    coords: dict[str, Any] = {"time": ("time", (np.arange(data.n_bins) + 0.5) * data.bin_s, {"unit": "s"})}
    coords |= {f"{name}_dim": list(signal.columns) for name, signal in data.signals.items()}
    coords |= {f"trial_{c}": ("trial", data.trials[c].to_numpy()) for c in data.trials}
    coords |= {f"neuron_{c}": ("neuron", data.neurons[c].to_numpy()) for c in data.neurons}
    return xr.Dataset(variables, coords, attrs={"bin_s": data.bin_s})


def to_pynapple(data: SpikeData, gap_s: float = 1.0) -> tuple[pynapple.TsGroup, pynapple.IntervalSet]:
    """Spike times of every neuron, and the trials as intervals, on one clock.

    Trials are laid one after another with ``gap_s`` seconds between them; spikes of a bin are spread evenly in it.
    """
    import pynapple as nap

    start = np.concatenate([[0.0], np.cumsum(data.lengths * data.bin_s + gap_s)[:-1]])
    epochs = nap.IntervalSet(start=start, end=start + data.lengths * data.bin_s)
    trains = {n: nap.Ts(t) for n, t in enumerate(spike_times(data, start))}
    return nap.TsGroup(trains, time_support=epochs), epochs


def spike_times(data: SpikeData, trial_start_s: Float[np.ndarray, "trial"]) -> list[np.ndarray]:
    """Spike times in seconds of every neuron, given when each trial starts.

    The j-th of c spikes of a bin that starts at t is put at t + bin_s * j / (c + 1).
    """
    by_neuron = np.ascontiguousarray(data.counts.transpose(2, 0, 1)).reshape(data.n_neurons, -1)
    neuron, position = np.nonzero(by_neuron)
    count = by_neuron[neuron, position].astype(np.int64)
    trial, bin_ = np.divmod(position, data.n_bins)
    first = np.repeat(np.cumsum(count) - count, count)
    within = (np.arange(len(first)) - first + 1) / (np.repeat(count, count) + 1)
    times = np.repeat(np.asarray(trial_start_s)[trial] + bin_ * data.bin_s, count) + within * data.bin_s
    ends = np.cumsum(by_neuron.sum(axis=1, dtype=np.int64))
    return np.split(times, ends[:-1])
