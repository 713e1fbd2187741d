"""Smoothing: counts as the slowly varying activity that models with a squared error learn from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float, Int, UInt
from scipy.ndimage import gaussian_filter1d

from spikeloom.data.spikedata import Signal, SpikeData
from spikeloom.errors import DataError

SMOOTHED = "smoothed_counts"
"""Name of the signal that holds smoothed counts, one column a neuron."""
SMOOTHED_UNIT = "spikes/bin"
REACH_SD = 4.0
"""Standard deviations at which the kernel ends."""


def smoothed_counts(
    counts: UInt[np.ndarray, "trial time neuron"], lengths: Int[np.ndarray, "trial"], sd_bins: float
) -> Float[np.ndarray, "trial time neuron"]:
    """Expected counts per bin from counts, by a Gaussian kernel truncated at four standard deviations.

    Args:
        counts: Spike counts.
        lengths: Number of valid bins of each trial. Nothing enters from the rest, which is zero in the result.
        sd_bins: Standard deviation of the kernel in bins.

    Returns:
        Single-precision values; their kernel has mass 1 at every valid bin, so that a constant stays as it is.

    Raises:
        DataError: If the kernel is so narrow that it ends within a bin.

    Example:
        >>> smoothed_counts(np.full((1, 5, 1), 3, np.uint8), np.array([4]), sd_bins=2.0)[0, :, 0].round(4).tolist()
        [3.0, 3.0, 3.0, 3.0, 0.0]
    """
    return smoothed(counts, lengths, sd_bins)


def smoothed(
    values: np.ndarray, lengths: Int[np.ndarray, "trial"], sd_bins: float
) -> Float[np.ndarray, "trial time dim"]:
    """Any values smoothed over the valid bins of each trial, see ``smoothed_counts``."""
    if not (np.isfinite(sd_bins) and sd_bins >= narrowest_sd()):
        raise DataError(
            f"a kernel with a standard deviation of {sd_bins:g} bins smooths nothing; give at least {narrowest_sd():g}."
        )
    valid = np.arange(values.shape[1]) < lengths[:, None]
    inside = np.where(valid[..., None], values, 0).astype(np.float32)
    total = gaussian_filter1d(inside, sd_bins, axis=1, mode="constant", truncate=REACH_SD)
    # The part of the kernel that lies on valid bins is the same for all neurons.
    mass = gaussian_filter1d(valid.astype(np.float32), sd_bins, axis=1, mode="constant", truncate=REACH_SD)
    total /= np.where(valid, mass, 1)[..., None]
    total *= valid[..., None]
    return total


def narrowest_sd() -> float:
    """The standard deviation in bins below which a kernel has no bin but its own."""
    return 0.5 / REACH_SD


def with_smoothed_counts(data: SpikeData, smooth_s: float) -> SpikeData:
    """The recording with its smoothed counts as the signal ``SMOOTHED``, in spikes per bin.

    Smooth before windows are cut: then spikes beside a window count at its edges. Neighbouring windows then share
    the spikes near their border, also when one is trained on and the other is tested on.

    Args:
        data: A recording.
        smooth_s: Standard deviation of the Gaussian in seconds.

    Raises:
        DataError: If the kernel is too narrow for the bins.
    """
    sd_bins = smooth_s / data.bin_s
    if sd_bins < narrowest_sd():
        raise DataError(
            f"smooth_s is {smooth_s:g} s, which smooths nothing in bins of {data.bin_s:g} s; give at least "
            f"{narrowest_sd() * data.bin_s:g} s, or leave it out."
        )
    signal = Signal(smoothed_counts(data.counts, data.lengths, sd_bins), SMOOTHED_UNIT)
    return replace(data, signals={**data.signals, SMOOTHED: signal})


def smoothed_of_neurons(data: SpikeData, kept: np.ndarray) -> SpikeData:
    """The recording with the smoothed counts, if it brings them, of some neurons only.

    Args:
        data: A recording.
        kept: (neuron,) mask of the neurons whose columns stay.
    """
    signal = data.signals.get(SMOOTHED)
    if signal is None or signal.values.shape[2] != len(kept):
        return data
    columns = tuple(np.array(signal.columns, dtype=object)[kept])
    return replace(data, signals={**data.signals, SMOOTHED: Signal(signal.values[:, :, kept], signal.unit, columns)})
