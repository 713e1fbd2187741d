"""Cheap generators that every model must beat, and a memoriser that no score alone can catch.

Each baseline draws trials that stand in for held-out trials ("slots"): same number, conditions and lengths.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, UInt
from scipy.ndimage import gaussian_filter1d

from spikeloom.errors import ConfigError
from spikeloom.evaluation.dynamics import gaussian_smooth
from spikeloom.evaluation.spike_statistics import CHUNK_ELEMENTS, psth_sums, valid_mask
from spikeloom.evaluation.summary import TrialSet

MEANINGS = {
    "homogeneous": "Poisson with each neuron's mean rate",
    "psth": "Poisson with the average response to the condition",
    "shuffled": "every neuron from another training trial: right single neurons, no shared variability",
    "replay": "rates of a training trial with fresh Poisson noise: a memoriser",
    "verbatim": "training trials themselves: as good as real everywhere, and caught as copies",
    "ae": "Poisson draws from the reconstructed rates of the held-out trials",
}

SAFE_RATE = 60.0
"""Expected counts above which single precision cannot hold the probability of no spike; a slower draw is used."""


def poisson_counts(
    rates: Callable[[int, int], np.ndarray], shape: tuple[int, int, int], rng: np.random.Generator
) -> UInt[np.ndarray, "trial time neuron"]:
    """Draw Poisson counts by inverting the distribution, several times faster than one call a bin.

    Args:
        rates: Gives the expected counts per bin of trials first..last, any shape that broadcasts to theirs.
        shape: Trials, bins and neurons to draw.
        rng: Source of randomness.
    """
    n_trials, n_bins, n_neurons = shape
    out = np.empty(shape, dtype=np.uint16)
    step = max(1, CHUNK_ELEMENTS // (n_bins * n_neurons))
    for first in range(0, n_trials, step):
        last = min(first + step, n_trials)
        rate = np.maximum(rates(first, last), 0).astype(np.float32, copy=False)
        shape = last - first, n_bins, n_neurons
        out[first:last] = rng.poisson(rate, shape) if rate.max() > SAFE_RATE else _inverted(rate, shape, rng)
    return out.astype(np.uint8) if out.max() < 256 else out


def _inverted(rate: np.ndarray, shape: tuple[int, int, int], rng: np.random.Generator) -> np.ndarray:
    uniform = rng.random(shape, dtype=np.float32)
    none = np.exp(-rate)
    count = np.zeros(shape, dtype=np.uint16)
    left = np.flatnonzero(uniform >= none)  # few bins have a spike, fewer have two
    uniform = uniform.ravel()[left]
    rate, mass = (np.broadcast_to(each, shape).ravel()[left] for each in (rate, none))
    cumulative, k = mass.copy(), 0
    while len(left):
        k += 1
        count.ravel()[left] = k
        mass = mass * rate / k
        cumulative = cumulative + mass
        more = (uniform >= cumulative) & ((mass > 1e-9) | (k < rate))
        left, uniform, rate, mass, cumulative = left[more], uniform[more], rate[more], mass[more], cumulative[more]
    return count


class Reconstruction(NamedTuple):
    """Rates that an autoencoder infers from real trials.

    Attributes:
        rates: (trial, time, neuron) expected counts per bin of all real trials.
        train_index: Place of each training trial among them.
        test_index: Place of each held-out trial, in the order of the slots.
    """

    rates: np.ndarray
    train_index: np.ndarray
    test_index: np.ndarray

    def of_train(self, trials: np.ndarray | slice) -> np.ndarray:
        """Rates of some training trials."""
        return self.rates[self.train_index[trials]]

    def of_test(self, trials: np.ndarray | slice) -> np.ndarray:
        """Rates of some held-out trials."""
        return self.rates[self.test_index[trials]]


@dataclass(frozen=True, eq=False)
class Baselines:
    """Cheap generators fitted to the training trials.

    Attributes:
        train: Training trials; their condition codes group them.
        bin_s: Bin width in seconds.
        n_conditions: Number of condition codes.
        reconstruction: An autoencoder's rates, if at hand.
    """

    train: TrialSet
    bin_s: float
    n_conditions: int
    reconstruction: Reconstruction | None = None

    def draw(self, name: str, slots: TrialSet, rng: np.random.Generator) -> TrialSet:
        """One set of trials of the named baseline, one for each slot."""
        return getattr(self, name)(slots, rng)

    def homogeneous(self, slots: TrialSet, rng: np.random.Generator) -> TrialSet:
        """Poisson with each neuron's mean rate over the training trials."""
        return self._poisson(lambda first, last: self._mean, slots, rng)

    def psth(self, slots: TrialSet, rng: np.random.Generator) -> TrialSet:
        """Poisson with the training PSTH of the trial's condition, smoothed with a Gaussian of 20 ms."""
        return self._poisson(lambda first, last: self._psth[slots.condition[first:last]], slots, rng)

    def shuffled(self, slots: TrialSet, rng: np.random.Generator) -> TrialSet:
        """For every neuron separately a random training trial of the same condition."""
        n_neurons = self.train.counts.shape[2]
        donors = np.stack([self._donors(slots, rng) for _ in range(n_neurons)], axis=1)
        longest = self.train.lengths[donors].min(axis=1)
        time = np.arange(self.train.counts.shape[1])[:, None]
        counts = self.train.counts[donors[:, None, :], time, np.arange(n_neurons)]
        return _cut(counts, np.minimum(slots.lengths, longest), slots)

    def replay(self, slots: TrialSet, rng: np.random.Generator) -> TrialSet:
        """Poisson with the rates of a training trial of the same condition: the memoriser with fresh noise.

        The rates are an autoencoder's where one is at hand, otherwise half the trial's own counts, smoothed with a
        Gaussian of 50 ms, and half the PSTH.
        """
        donors = self._donors(slots, rng)
        sd_bins = max(0.05 / self.bin_s, 0.5)

        def rates(first: int, last: int) -> np.ndarray:
            chosen = donors[first:last]
            if self.reconstruction is not None:
                return self.reconstruction.of_train(chosen)[:, : self.train.counts.shape[1]]
            valid = valid_mask(self.train.lengths[chosen], self.train.counts.shape[1])[..., None]
            smooth = gaussian_smooth(self.train.counts[chosen], sd_bins)
            smooth /= np.maximum(gaussian_smooth(valid, sd_bins), 0.1)
            return 0.5 * smooth + 0.5 * self._psth[self.train.condition[chosen]]

        drawn = self._poisson(rates, slots, rng)
        return _cut(drawn.counts, np.minimum(slots.lengths, self.train.lengths[donors]), slots)

    def verbatim(self, slots: TrialSet, rng: np.random.Generator) -> TrialSet:
        """Random training trials of the same condition, with replacement and at their own length."""
        drawn = self.train.take(self._donors(slots._replace(lengths=np.zeros_like(slots.lengths)), rng))
        return drawn._replace(condition=slots.condition)

    def ae(self, slots: TrialSet, rng: np.random.Generator) -> TrialSet:
        """Poisson with the reconstructed rates of the held-out trials themselves: what a latent model can reach."""
        rates = self.reconstruction
        if rates is None:
            raise ConfigError("the baseline 'ae' needs the rates of an autoencoder; pass a reconstruction.")
        n_bins = self.train.counts.shape[1]
        return self._poisson(lambda first, last: rates.of_test(slice(first, last))[:, :n_bins], slots, rng)

    @cached_property
    def _mean(self) -> np.ndarray:
        return (self.train.counts.sum(axis=(0, 1), dtype=np.int64) / self.train.lengths.sum()).astype(np.float32)

    @cached_property
    def _psth(self) -> np.ndarray:
        summed, number = psth_sums(*self.train, self.n_conditions)
        rate = np.where(number[..., None] > 0, summed / np.maximum(number, 1)[..., None], self._mean)
        return gaussian_filter1d(rate, max(0.02 / self.bin_s, 0.5), axis=1, mode="nearest").astype(np.float32)

    def _donors(self, slots: TrialSet, rng: np.random.Generator) -> Int[np.ndarray, "slot"]:
        """A random training trial for each slot: of its condition if there is one, at least as long if possible."""
        n_slots = len(slots.lengths)
        out = np.empty(n_slots, dtype=np.int64)
        for code in np.unique(slots.condition):
            at = np.flatnonzero(slots.condition == code)
            own = np.flatnonzero(self.train.condition == code)
            own = own if len(own) else np.arange(len(self.train.lengths))
            own = own[np.argsort(-self.train.lengths[own], kind="stable")]
            long_enough = np.searchsorted(-self.train.lengths[own], -slots.lengths[at], side="right")
            eligible = np.where(long_enough > 0, long_enough, 1)  # the longest one when none is long enough
            out[at] = own[(rng.random(len(at)) * eligible).astype(np.int64)]
        return out

    def _poisson(self, rates: Callable[[int, int], np.ndarray], slots: TrialSet, rng: np.random.Generator) -> TrialSet:
        shape = (len(slots.lengths), *self.train.counts.shape[1:])
        return _cut(poisson_counts(rates, shape, rng), slots.lengths, slots)


def _cut(counts: np.ndarray, lengths: np.ndarray, slots: TrialSet) -> TrialSet:
    if (lengths < counts.shape[1]).any():
        counts = np.where(valid_mask(lengths, counts.shape[1])[..., None], counts, counts.dtype.type(0))
    return TrialSet(counts, lengths, slots.condition)
