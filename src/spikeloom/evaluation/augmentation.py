"""Cheap data augmentations for decoders, the baselines of a generator: each makes new trials from real ones.

Signals go with the spikes. Every function takes some real trials and gives as many new ones, in their order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from spikeloom.data.spikedata import Signal, SpikeData
from spikeloom.decoding.protocol import SMOOTHED
from spikeloom.evaluation.baselines import poisson_counts

MOST_WARP = 1.25
"""Trials become longer or shorter by this factor at most."""
DROPPED = 0.1
"""Share of the neurons that are silenced in a trial."""
JITTER_S = 0.02
"""Standard deviation of the move of a spike."""


def duplicated(real: SpikeData, rng: np.random.Generator) -> SpikeData:
    """The very trials again."""
    return real


def replayed(real: SpikeData, rng: np.random.Generator) -> SpikeData:
    """Poisson draws from the rates of the trials: where they bring none, from their own smoothed counts."""
    rates = SMOOTHED.of(real) if real.rates is None else real.rates
    counts = poisson_counts(lambda first, last: rates[first:last], real.counts.shape, rng)
    return replace(real, counts=np.where(real.valid[..., None], counts, counts.dtype.type(0)))


def warped(real: SpikeData, rng: np.random.Generator) -> SpikeData:
    """Each trial slower or faster; what is beyond the longest trial is lost. A signal keeps its values, velocity too.

    Every bin takes the spikes and the signal of the bin it comes from, so rates stay as they are.
    """
    factor = np.exp(rng.uniform(-1, 1, real.n_trials) * np.log(MOST_WARP))
    lengths = np.clip(np.round(real.lengths * factor), 1, real.n_bins).astype(np.int64)
    source = np.floor((np.arange(real.n_bins) + 0.5) / factor[:, None]).astype(np.int64)
    source = np.minimum(source, real.lengths[:, None] - 1)[..., None]

    def moved(values: np.ndarray) -> np.ndarray:
        return np.take_along_axis(values, source, axis=1)

    return replace(
        real,
        counts=moved(real.counts),
        lengths=lengths,
        signals={name: Signal(moved(s.values), s.unit, s.columns) for name, s in real.signals.items()},
        rates=None,
        latents=None,
    )


def dropped(real: SpikeData, rng: np.random.Generator) -> SpikeData:
    """A tenth of the neurons of each trial silenced, others in every trial."""
    kept = rng.random((real.n_trials, 1, real.n_neurons)) >= DROPPED
    return replace(real, counts=real.counts * kept)


def jittered(real: SpikeData, rng: np.random.Generator) -> SpikeData:
    """Every spike moved by a Gaussian of 20 ms, within its trial."""
    place = np.nonzero(real.counts)
    trial, time, neuron = (np.repeat(each, real.counts[place]) for each in place)
    exact = time + rng.random(len(time)) + rng.normal(0, JITTER_S / real.bin_s, len(time))
    moved = np.clip(np.floor(exact), 0, real.lengths[trial] - 1).astype(np.int64)
    where = np.ravel_multi_index((trial, moved, neuron), real.counts.shape)
    return replace(real, counts=np.bincount(where, minlength=real.counts.size).reshape(real.counts.shape))


@dataclass(frozen=True)
class Augmentation:
    """An augmentation: what it does, in words, and the function."""

    meaning: str
    draw: Callable[[SpikeData, np.random.Generator], SpikeData]


AUGMENTATIONS = {
    "duplicated": Augmentation("the real trials again: the effect of more trials alone", duplicated),
    "replay": Augmentation("Poisson draws from rates of the real trials", replayed),
    "time-warp": Augmentation("real trials, slower or faster", warped),
    "dropout": Augmentation("real trials in which a tenth of the neurons is silent", dropped),
    "jitter": Augmentation("real trials whose spikes were moved by 20 ms", jittered),
}
"""Ways to more trials without a generator, by name."""
