"""Statistics of one set of trials from which the held-out metrics follow, computed once per set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.ndimage import gaussian_filter1d

from spikeloom.evaluation import dynamics
from spikeloom.evaluation import spike_statistics as ss

INTERVAL_RESOLUTION = 1_000_000
"""Steps per bin to which intervals are rounded when two distributions are compared."""

NEURON_SHIFT = 44
"""An interval distribution is stored under integer keys: the neuron above this bit, the rounded interval below."""


class TrialSet(NamedTuple):
    """A set of trials: counts with zeros in the padding, valid bins, condition codes."""

    counts: np.ndarray
    lengths: np.ndarray
    condition: np.ndarray

    def take(self, index: np.ndarray) -> TrialSet:
        """The trials of the given indices, in that order."""
        return TrialSet(self.counts[index], self.lengths[index], self.condition[index])


@dataclass(frozen=True)
class Frame:
    """Constants that both sides of a comparison share; fixed from real data only.

    Attributes:
        bin_s: Bin width in seconds.
        n_conditions: Number of condition codes.
        cell_width: Width of a cell of the population count, in spikes.
        largest: Largest population count of a bin in the real data.
        aligned: Whether bins of different trials mean the same time, so that PSTHs exist.
    """

    bin_s: float
    n_conditions: int
    cell_width: int
    largest: int
    aligned: bool
    pairs_sampled = False
    pairs = ()

    @classmethod
    def from_real(cls, train: TrialSet, test: TrialSet, bin_s: float, n_conditions: int, aligned: bool) -> Frame:
        """Fix the cells of the population count: a quarter of its standard deviation, up to the largest count."""
        counts = [ss.population_counts(t.counts, t.lengths) for t in (train, test)]
        width = max(1, round(float(counts[0].std()) / 4))
        return cls(bin_s, n_conditions, width, int(max(c.max() for c in counts)), aligned)


class Intervals(NamedTuple):
    """Distribution of interspike intervals: sorted keys, how often each occurs, and the block of each occurrence."""

    keys: np.ndarray
    number: np.ndarray
    place: np.ndarray
    block: np.ndarray

    def weighted(self, weights: np.ndarray) -> np.ndarray:
        """Occurrences of each key when blocks are weighted."""
        return np.bincount(self.place, weights[self.block], len(self.keys))


@dataclass(frozen=True, eq=False)
class Summary:
    """Statistics of one set of trials.

    Attributes:
        trials: The set.
        frame: Constants shared with the set it is compared to.
        starts: First trial of each block of the bootstrap.
        sums: Additive statistics by name, leading axis block.
        intervals: Distribution of the intervals.
    """

    trials: TrialSet
    frame: Frame
    starts: np.ndarray
    sums: Mapping[str, np.ndarray]
    intervals: Intervals

    def totals(self, weights: Float[np.ndarray, "block"] | None = None) -> dict[str, Any]:
        """The additive statistics of the whole set, or of a bootstrap sample in which blocks are weighted."""
        if weights is None:
            return {name: value.sum(axis=0) for name, value in self.sums.items()}
        return {
            name: (weights @ value.reshape(len(value), -1)).reshape(value.shape[1:])
            for name, value in self.sums.items()
        }

    @cached_property
    def psth(self) -> tuple[np.ndarray, np.ndarray]:
        """Smoothed PSTH and where it is available; see ``smoothed_psth``."""
        return smoothed_psth(self.trials, self.frame)

    @cached_property
    def features(self) -> np.ndarray:
        """Per-trial features of the classifier test; see ``trial_features``."""
        return trial_features(self.trials.counts, self.trials.lengths)


def summarise(trials: TrialSet, frame: Frame, starts=None) -> Summary:
    """Compute the statistics of a set of trials.

    Args:
        trials: The set, in random order if blocks are to be resampled.
        frame: Constants shared with the other side.
        n_blocks: Number of blocks of consecutive trials for which sums are kept apart.
    """
    counts, lengths, condition = trials
    n_trials, n_bins, n_neurons = counts.shape
    starts = np.zeros(1, np.int64) if starts is None else starts
    block = np.searchsorted(starts, np.arange(n_trials), side="right") - 1
    sums: dict[str, np.ndarray] = {}

    sums["n"], sums["total"], sums["cross"] = ss.second_moments(counts, lengths, starts)

    population = ss.population_count_matrix(counts)
    valid = ss.valid_mask(lengths, n_bins)
    cell = block[:, None] * (int(population.max()) + 1) + population
    size = len(starts) * (int(population.max()) + 1)
    sums["histogram"] = np.bincount(cell[valid], minlength=size).reshape(len(starts), -1).astype(np.float64)

    if n_bins > 1 and (lengths == n_bins).all():
        sums["spectrum"] = np.add.reduceat(dynamics.population_periodograms(population), starts, axis=0)
    sums["n_trials"] = np.diff(np.append(starts, n_trials)).astype(np.float64)

    sums["lag_products"], sums["lag_sums"], sums["lag_pairs"] = dynamics.lagged_sums(counts, lengths, starts)

    sd_bins = max(1.0, 0.05 / frame.bin_s)
    smoothed = ss.second_moments(counts, lengths, starts, lambda chunk: dynamics.gaussian_smooth(chunk, sd_bins))
    sums["smooth_total"], sums["smooth_cross"] = smoothed.total, smoothed.cross

    # Cell means stay fixed when blocks are resampled: exact for the value, a good approximation for its spread.
    residuals = ss.cell_residuals(counts, lengths, condition, frame.bin_s)
    n_windows = np.full(n_trials, residuals.values.shape[1])
    sums["noise_cross"] = ss.second_moments(residuals.values, n_windows, starts).cross
    sums["fano_variance"], sums["fano_mean"] = ss.fano_sums(residuals, starts)

    intervals, row = ss.intervals_in_bins(counts)
    neuron, trial = np.divmod(row, n_trials)
    place = block[trial] * n_neurons + neuron
    for name, weight in (("isi_n", None), ("isi_sum", intervals), ("isi_square", intervals**2)):
        summed = np.bincount(place, weight, len(starts) * n_neurons)
        sums[name] = summed.reshape(len(starts), n_neurons).astype(np.float64)
    distribution = _distribution(intervals, neuron, block[trial] if len(starts) > 1 else None)
    return Summary(trials, frame, starts, sums, distribution)


def _distribution(intervals: np.ndarray, neuron: np.ndarray, block: np.ndarray | None) -> Intervals:
    keys = (neuron.astype(np.int64) << NEURON_SHIFT) + np.rint(intervals * INTERVAL_RESOLUTION).astype(np.int64)
    nowhere = np.zeros(0, np.int64)
    if block is not None:
        unique, place = np.unique(keys, return_inverse=True)
        return Intervals(unique, np.bincount(place, minlength=len(unique)), place, block)
    keys.sort()
    first = np.flatnonzero(np.diff(keys, prepend=-1))
    return Intervals(keys[first], np.diff(np.append(first, len(keys))), nowhere, nowhere)


def smoothed_psth(
    trials: TrialSet, frame: Frame, weights: Float[np.ndarray, "trial"] | None = None, sd_s: float = 0.025
) -> tuple[Float[np.ndarray, "condition time neuron"], Float[np.ndarray, "condition time"]]:
    """Mean count of every condition and bin, smoothed with a Gaussian of 25 ms, and the trials behind it."""
    summed, number = ss.psth_sums(*trials, frame.n_conditions, weights)
    mean = summed / np.maximum(number, 1)[..., None]
    sd_bins = max(sd_s / frame.bin_s, 0.5)
    for each, trials_behind in zip(mean, number):
        # Trials end at different times: average only as far as there are enough of them, and smooth within that.
        stop = int((trials_behind >= ss.MIN_TRIALS_PER_CELL).sum())
        if stop:
            each[:stop] = gaussian_filter1d(each[:stop], sd_bins, axis=0, mode="nearest")
    return mean, number


def trial_features(counts: ss.Counts, lengths: Int[np.ndarray, "trial"]) -> Float[np.ndarray, "trial feature"]:
    """Features of each trial for the classifier: rates, population variability and synchrony, single-neuron bursts.

    Square root of each neuron's mean count; of the population count the log variance, the lag-1 autocorrelation and
    the maximum; the share of bins with two spikes or more, of adjacent occupied bins, and the variance, each summed
    over neurons.
    """
    n_trials, n_bins, _ = counts.shape
    n = lengths.astype(np.float64)
    spikes = counts.sum(axis=1, dtype=np.int64)
    bursts, adjacent, squares = (np.empty(n_trials) for _ in range(3))
    for start, chunk in ss.float_chunks(counts):
        part = slice(start, start + len(chunk))
        occupied = counts[part] > 0
        bursts[part] = np.count_nonzero(counts[part] > 1, axis=(1, 2))
        adjacent[part] = np.count_nonzero(occupied[:, 1:] & occupied[:, :-1], axis=(1, 2))
        squares[part] = np.einsum("btn,btn->b", chunk, chunk)
    population = ss.population_count_matrix(counts)
    valid = ss.valid_mask(lengths, n_bins)
    centred = (population - (population.sum(axis=1) / n)[:, None]) * valid
    variance = (centred**2).sum(axis=1) / n
    lagged = (centred[:, 1:] * centred[:, :-1]).sum(axis=1) / np.maximum(n - 1, 1)
    return np.column_stack(
        [
            np.sqrt(spikes / n[:, None]),
            np.log(variance + 1e-3),
            lagged / (variance + 1e-3),
            population.max(axis=1),
            bursts / n,
            adjacent / n,
            squares / n - (spikes**2).sum(axis=1) / n**2,
        ]
    )
