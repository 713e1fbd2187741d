"""Statistics of how activity evolves in time: autocorrelation, spectra, dimension of the smoothed population."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int, UInt
from scipy.signal import get_window

from spikeloom.evaluation.neuron_groups import NeuronGroups
from spikeloom.evaluation.small_integers import integer_pieces, over_bins
from spikeloom.evaluation.spike_statistics import (
    Counts,
    Lengths,
    Moments,
    pair_covariances,
    second_moments,
    trial_sums,
    zero_padding,
)

N_LAGS = 10
"""Lags, in bins, at which autocorrelations are compared."""

BANDS = ("low", "middle", "high")


# -- smoothing -------------------------------------------------------------------------------------------------------


def gaussian_smooth(values: np.ndarray, sd_bins: float, step: int = 1) -> np.ndarray:
    """Smooth along time with a Gaussian (truncated at 4 sd, weights summing to one, zeros outside the trial).

    Done as banded matrix products, which outrun a convolution filter many times over.

    Args:
        values: (trial, time, neuron) values.
        sd_bins: Standard deviation in bins.
        step: Keep every ``step``-th bin only.

    Returns:
        (trial, time / step, neuron) in single precision.
    """
    n_trials, n_bins, n_neurons = values.shape
    radius = int(4 * sd_bins + 0.5)
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sd_bins) ** 2)
    kernel /= kernel.sum()
    centres = np.arange(0, n_bins, step)
    values = values.astype(np.float32, copy=False)
    out = np.empty((n_trials, len(centres), n_neurons), dtype=np.float32)
    tile = max(48, 2 * radius) // step + 1
    for first in range(0, len(centres), tile):
        at = centres[first : first + tile]
        low, high = max(0, at[0] - radius), min(n_bins, at[-1] + radius + 1)
        offset = np.arange(low, high) - at[:, None] + radius
        inside = (offset >= 0) & (offset <= 2 * radius)
        band = np.where(inside, kernel[np.clip(offset, 0, 2 * radius)], 0).astype(np.float32)
        np.matmul(band, values[:, low:high], out=out[:, first : first + tile])
    return out


# -- autocorrelation -------------------------------------------------------------------------------------------------


def lagged_sums(
    counts: Counts,
    lengths: Lengths,
    starts: Int[np.ndarray, "block"],
    n_lags: int = N_LAGS,
    spikes: Float[np.ndarray, "trial neuron"] | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sums for autocorrelations at lags 0..n_lags, per block of consecutive trials; padding must hold zeros.

    Args:
        counts: Spike counts.
        lengths: Valid bins of each trial.
        starts: First trial of each block.
        n_lags: Largest lag, in bins.
        spikes: ``trial_sums`` of the counts, if at hand.

    Returns:
        Summed products y_t y_(t+l) and summed y_t + y_(t+l), both (block, lag, neuron), and the number of pairs
        (block, lag).
    """
    n_bins, n_neurons = counts.shape[1:]
    lags = np.arange(min(n_lags, n_bins - 1) + 1)
    products = np.zeros((len(starts), len(lags), n_neurons))
    largest = int(counts.max(initial=0)) ** 2
    for block, piece in integer_pieces(counts, starts, largest):
        for lag in lags:
            products[block, lag] += over_bins(np.einsum("btn,btn->tn", piece[:, : n_bins - lag], piece[:, lag:]))
    # Pairs at a lag miss the first or the last bins of a trial, all of them when the trial is that short.
    ends = np.arange(lags[-1])
    inside = (ends < lengths[:, None])[..., None]
    head = counts[:, : lags[-1]] * inside
    tail = np.take_along_axis(counts, np.maximum(lengths[:, None] - 1 - ends, 0)[..., None], 1) * inside
    missed = np.zeros((len(counts), len(lags), n_neurons))
    np.cumsum(head.astype(np.float64) + tail, axis=1, out=missed[:, 1:])
    sums = np.add.reduceat(2 * (trial_sums(counts) if spikes is None else spikes)[:, None] - missed, starts, axis=0)
    pairs = np.add.reduceat(np.maximum(lengths[:, None] - lags, 0), starts, axis=0)
    return products, sums, pairs.astype(np.float64)


def autocorrelation_from_sums(products: np.ndarray, sums: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """(lag 1.., neuron) autocorrelation around the mean over all valid bins, from the sums of one set."""
    mean = sums[0] / (2 * pairs[0])
    with np.errstate(invalid="ignore", divide="ignore"):
        centred = products / pairs[:, None] - mean * sums / pairs[:, None] + mean**2
        variance = np.where(centred[0] > 1e-12 * products[0] / pairs[0], centred[0], np.nan)
        return centred[1:] / variance


def autocorrelation(counts: Counts, lengths: Lengths, n_lags: int = N_LAGS) -> Float[np.ndarray, "lag neuron"]:
    """Autocorrelation of every neuron's counts at lags of 1 to ``n_lags`` bins, within trials; NaN when silent."""
    sums = lagged_sums(zero_padding(counts, lengths), lengths, np.zeros(1, np.int64), n_lags)
    return autocorrelation_from_sums(*(s[0] for s in sums))


# -- spectra ---------------------------------------------------------------------------------------------------------


def population_periodograms(population: Int[np.ndarray, "trial time"]) -> Float[np.ndarray, "trial frequency"]:
    """Periodogram of each trial's population count: mean removed, Hann window, zero frequency dropped."""
    centred = (population - population.mean(axis=1, keepdims=True)) * get_window("hann", population.shape[1])
    return np.abs(np.fft.rfft(centred, axis=1))[:, 1:] ** 2


def latent_spectrum_ratio(
    real: Float[np.ndarray, "trial time latent"],
    generated: Float[np.ndarray, "trial2 time2 latent"],
    lengths: Int[np.ndarray, "trial"] | None = None,
    generated_lengths: Int[np.ndarray, "trial2"] | None = None,
) -> dict[str, float]:
    """Power of generated latents over power of real ones in the lower, middle and upper third of the frequencies.

    A sampler with too few or badly placed steps leaves count statistics almost untouched and shows here; 0.9 to 1.1
    in every band is good. Each latent counts equally. Trials of unequal length are cut to the shortest.

    Returns:
        The ratios under "low", "middle" and "high"; NaN with fewer than 8 common bins.
    """
    bins = [x.shape[1] for x in (real, generated)]
    bins += [int(each.min()) for each in (lengths, generated_lengths) if each is not None]
    n_bins = min(bins)
    if n_bins < 8:
        return dict.fromkeys(BANDS, float("nan"))
    mean = real[:, :n_bins].mean(axis=(0, 1), dtype=np.float64)
    scale = real[:, :n_bins].std(axis=(0, 1), dtype=np.float64)
    window = np.asarray(get_window("hann", n_bins))[:, None]

    def power(latents: np.ndarray) -> np.ndarray:
        standard = (latents[:, :n_bins] - mean) / np.where(scale > 0, scale, np.inf)
        return (np.abs(np.fft.rfft(standard * window, axis=1)) ** 2).mean(axis=(0, 2))

    bands = [np.array_split(p, 3) for p in (power(generated), power(real))]
    with np.errstate(invalid="ignore", divide="ignore"):
        return {name: float(np.divide(g.sum(), r.sum())) for name, g, r in zip(BANDS, *bands)}


def increment_std_ratio(
    real: Float[np.ndarray, "trial time latent"], generated: Float[np.ndarray, "trial2 time2 latent"]
) -> float:
    """Standard deviation of bin-to-bin steps of generated latents over that of real ones, mean over latents.

    Above one: jitter, as from tokens drawn independently; below one: over-smooth samples.
    """
    steps = [np.diff(x, axis=1).std(axis=(0, 1), dtype=np.float64) for x in (generated, real)]
    with np.errstate(invalid="ignore", divide="ignore"):
        return float(np.nanmean(steps[0] / np.where(steps[1] > 0, steps[1], np.nan)))


# -- dimension -------------------------------------------------------------------------------------------------------


def participation_ratio(
    variances: Float[np.ndarray, "neuron"], covariances: Float[np.ndarray, "pair"], scale: float = 1.0
) -> float:
    """Effective number of dimensions, (trace C)^2 / trace(C C).

    Args:
        variances: The diagonal of C.
        covariances: What is below it, or a sample of that.
        scale: Number of all pairs over those given.
    """
    squares = float((variances**2).sum() + 2 * scale * (covariances**2).sum())
    return float(variances.sum()) ** 2 / squares if squares > 0 else float("nan")


def population_dimension(counts: UInt[np.ndarray, "trial time neuron"], lengths: Lengths, bin_s: float) -> float:
    """Participation ratio of counts smoothed with a Gaussian of 50 ms (at least one bin)."""
    groups = NeuronGroups.drawn(counts.shape[2])
    moments = smoothed_moments(zero_padding(counts, lengths), lengths, np.zeros(1, np.int64), groups, bin_s)
    n, total, square, cross = (of_block[0] for of_block in moments)
    variances, covariances = pair_covariances(float(n), total, square, cross, groups.pairs)
    return participation_ratio(variances, covariances, groups.scale)


def smoothed_moments(
    counts: Counts, lengths: Lengths, starts: Int[np.ndarray, "block"], groups: NeuronGroups, bin_s: float
) -> Moments:
    """Second moments of counts smoothed with a Gaussian of 50 ms (at least one bin); padding must hold zeros."""
    sd_bins = max(1.0, 0.05 / bin_s)
    return second_moments(counts, lengths, starts, groups, lambda chunk: gaussian_smooth(chunk, sd_bins))
