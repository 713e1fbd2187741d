"""What is to be drawn, settled before anything is drawn, in chunks that can be drawn anywhere and in any order."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt

from spikeloom.conditioning.novelty import ConditionNovelty
from spikeloom.conditioning.requests import Conditions
from spikeloom.errors import SpikeloomWarning
from spikeloom.observation.poisson import ObservedCounts


@dataclass(frozen=True)
class Plan:
    """New trials that were asked for, checked: the same plan brings the same trials, however its chunks are divided.

    Attributes:
        lengths: (trial,) bins of each trial.
        seed: Of all that is drawn.
        chunk_size: Trials drawn together.
        asked: What is asked for; repeated where there are more trials, so that a plan for millions stays small.
        asked_for: Which of "condition", "context" and "codes" are asked for.
        codes: What each trial is to be like, of a model with codes.
        observed: Counts of its context, around which the others are drawn.
        options: Options of the prior or the observation.
        notes: What the provenance of the sample is to say beside what follows from all this.
        distances: One for each row of ``asked``: how far that is from every training trial's conditions.
    """

    lengths: Int[np.ndarray, "trial"]
    seed: int
    chunk_size: int
    asked: Conditions
    asked_for: frozenset[str] = frozenset()
    codes: Float[np.ndarray, "trial code"] | None = None
    observed: ObservedCounts | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)
    distances: Float[np.ndarray, "row"] | None = None

    @property
    def n(self) -> int:
        """Number of trials."""
        return len(self.lengths)

    @property
    def n_bins(self) -> int:
        """Bins of the longest trial."""
        return int(self.lengths.max())

    def chunks(self) -> Iterator[Chunk]:
        """All chunks, from the first trial to the last; each is made when it is asked for."""
        n_bins = self.n_bins
        for number, start in enumerate(range(0, self.n, self.chunk_size)):
            at = slice(start, min(start + self.chunk_size, self.n))
            rows = np.arange(at.start, at.stop) % self.asked.n_trials
            seed = np.random.SeedSequence([self.seed, number]).generate_state(1, np.uint64)[0] >> np.uint64(1)
            yield Chunk(
                self.lengths[at],
                n_bins,
                int(seed),
                self.asked.rows(rows),
                None if self.codes is None else self.codes[at],
                None if self.observed is None else _cut(self.observed, at, int(self.lengths[at].max())),
                self.options,
                None if self.distances is None else self.distances[rows],
            )


@dataclass(frozen=True)
class Chunk:
    """Some trials of a plan: all that drawing them needs beside the model.

    Attributes:
        lengths: (trial,) bins of each.
        n_bins: Bins of the longest trial of the plan, to which all are padded in the end.
        seed: Of the chunk's own generator.
        asked: What is asked for, a row for each trial.
        codes: What each is to be like.
        observed: Counts of its context, around which the others are drawn.
        options: Options of the prior or the observation.
        distances: How far what is asked is from every training trial's conditions.
    """

    lengths: Int[np.ndarray, "trial"]
    n_bins: int
    seed: int
    asked: Conditions
    codes: Float[np.ndarray, "trial code"] | None = None
    observed: ObservedCounts | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    distances: Float[np.ndarray, "trial"] | None = None


@dataclass(frozen=True)
class Part:
    """The trials of a chunk as they were drawn: arrays, which any process can be sent.

    Attributes:
        counts: Spike counts.
        rates: Expected counts per bin; None where they were dropped.
        latents: Time-aligned latents, of a model that has them.
        codes: One vector a trial, of a model that has them.
        signals: Values of signals that were generated beside the spikes, by name.
        sums: What a model has to know of all trials to say something of the sample, as sums over trials.
    """

    counts: UInt[np.ndarray, "trial time neuron"]
    rates: Float[np.ndarray, "trial time neuron"] | None
    latents: Float[np.ndarray, "trial time latent"] | None = None
    codes: Float[np.ndarray, "trial code"] | None = None
    signals: Mapping[str, Float[np.ndarray, "trial time dim"]] = field(default_factory=dict)
    sums: Mapping[str, Float[np.ndarray, "..."]] = field(default_factory=dict)

    def without_rates(self) -> Part:
        """The same without the rates, which are several times larger than the rest and follow from the latents."""
        return replace(self, rates=None)


def added(total: Mapping[str, np.ndarray], part: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Sums over the trials so far, with those of one part more."""
    return {name: total[name] + values if name in total else values for name, values in part.items()}


def _cut(observed: ObservedCounts, at: slice, width: int) -> ObservedCounts:
    # Copies: a view would be sent to another process with all that it is a view of.
    return ObservedCounts(observed.counts[at, :width].clone(), observed.mask[at, :width].clone())


def longest_of(lengths: Int[np.ndarray, "trial"], n_rows: int) -> Int[np.ndarray, "row"]:
    """Bins of the longest trial for which each row of what is asked is asked, again and again.

    Example:
        >>> longest_of(np.array([5, 6, 7, 4]), 3).tolist()
        [5, 6, 7]
    """
    longest = np.zeros(n_rows, dtype=np.int64)
    np.maximum.at(longest, np.arange(len(lengths)) % n_rows, lengths)
    return longest


def distances_of(told: ConditionNovelty | None, n: int) -> Float[np.ndarray, "row"] | None:
    """How far each row of what is asked is from every training trial's; warns where nothing recorded speaks for it.

    Args:
        told: What is known of that; None if nothing.
        n: Number of trials for which the rows are asked again and again.
    """
    if told is None:
        return None
    novel = told.sentence(n)
    if novel:
        warnings.warn(novel, SpikeloomWarning, stacklevel=5)
    return told.distance.astype(np.float32)
