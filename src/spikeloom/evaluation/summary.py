"""Additive statistics of one set of trials from which the held-out metrics follow, each computed when first needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from jaxtyping import Float, Int
from scipy.ndimage import gaussian_filter1d

from spikeloom.evaluation import dynamics
from spikeloom.evaluation import spike_statistics as ss
from spikeloom.evaluation.centred import Centred, centred
from spikeloom.evaluation.count_shares import count_share_sums
from spikeloom.evaluation.frame import Frame
from spikeloom.evaluation.intervals import Intervals, MergedKeys, count_intervals, interval_sums
from spikeloom.evaluation.lagged import lagged_pair_sums
from spikeloom.evaluation.noise import Cells
from spikeloom.evaluation.private import private_sums
from spikeloom.evaluation.trial_set import TrialSet, spread


@dataclass(frozen=True, eq=False)
class Summary:
    """A set of trials and its statistics per block of trials, computed in groups when one of a group is needed.

    Attributes:
        trials: The set.
        frame: Constants shared with the set it is compared to.
        starts: First trial of each block of the bootstrap.
        unit: Trials of the same number depend on each other; None where all are independent.
        half: Of held-out trials, the half to which each belongs: constants learned on the other are used on it. None
            for other sets, of which every trial is used with those of both halves; see ``Frame``.
    """

    trials: TrialSet
    frame: Frame
    starts: Int[np.ndarray, "block"]
    unit: Int[np.ndarray, "trial"] | None = None
    half: Int[np.ndarray, "trial"] | None = None
    _blocks: dict[str, Any] = field(default_factory=dict, repr=False)
    _merged: WeakKeyDictionary[Summary, MergedKeys] = field(default_factory=WeakKeyDictionary, repr=False)

    def blocks(self, name: str) -> Any:
        """An additive statistic by name, (block, ...); ``isi_number`` is sparse. For the names see ``GROUPS``."""
        if name not in self._blocks:
            self._blocks.update(_GROUP_OF[name](self))
        return self._blocks[name]

    @property
    def n_trials(self) -> int:
        """Number of trials."""
        return len(self.trials.lengths)

    @property
    def equal_lengths(self) -> bool:
        """Whether all trials are complete and have at least two bins."""
        n_bins = self.trials.counts.shape[1]
        return n_bins > 1 and bool((self.trials.lengths == n_bins).all())

    @cached_property
    def population(self) -> Int[np.ndarray, "trial time"]:
        """Spikes of all neurons together in every bin."""
        return ss.population_count_matrix(self.trials.counts)

    @cached_property
    def spikes(self) -> Float[np.ndarray, "trial neuron"]:
        """Spikes of every neuron in each trial."""
        return ss.trial_sums(self.trials.counts)

    @cached_property
    def moments(self) -> ss.Moments:
        """Second moments of the counts in each block."""
        return ss.second_moments(self.trials.counts, self.trials.lengths, self.starts, self.frame.groups)

    @cached_property
    def intervals(self) -> Intervals:
        """How often each interval occurs in each block."""
        return count_intervals(self.trials.counts, self.starts)

    def merged_intervals(self, other: Summary) -> MergedKeys:
        """Intervals of this and of another set in one order, which serves all bootstrap samples of the two."""
        if other not in self._merged:
            self._merged[other] = MergedKeys.of(self.intervals, other.intervals, self.frame.n_neurons)
        return self._merged[other]

    @cached_property
    def features(self) -> np.ndarray:
        """Per-trial features of the classifier test; see ``trial_features``."""
        return trial_features(self.trials.counts, self.trials.lengths)

    @cached_property
    def lagged_trials(self) -> Int[np.ndarray, "kept"]:
        """The trials used at a lag."""
        return spread(self.n_trials, self.frame.n_lagged_trials)

    @cached_property
    def some(self) -> tuple[TrialSet, Int[np.ndarray, "block"], np.ndarray]:
        """The trials used at a lag, first of them in each block that has any, and which blocks those are."""
        kept = self.lagged_trials
        trials = self.trials if len(kept) == self.n_trials else self.trials.take(kept)
        block = np.searchsorted(self.starts, kept, side="right") - 1
        present, starts = np.unique(block, return_index=True)
        return trials, starts, present

    @cached_property
    def lagged(self) -> Centred:
        """The trials used at a lag, centred."""
        return centred(self.some[0], self.frame.aligned)


def summarise(
    trials: TrialSet,
    frame: Frame,
    starts: Int[np.ndarray, "block"] | None = None,
    unit: Int[np.ndarray, "trial"] | None = None,
    half: Int[np.ndarray, "trial"] | None = None,
) -> Summary:
    """Prepare the statistics of a set of trials.

    Args:
        trials: The set; where blocks are resampled, dependent trials must lie within one block.
        frame: Constants shared with the other side.
        starts: First trial of each block of consecutive trials for which sums are kept apart; one block without them.
        unit: Trials of the same number depend on each other; without, all are independent.
        half: Half of each held-out trial; nothing for other sets.
    """
    return Summary(trials, frame, np.zeros(1, np.int64) if starts is None else starts, unit, half)


# -- groups of statistics that are computed together -----------------------------------------------------------------


def _moments(summary: Summary) -> dict[str, np.ndarray]:
    return summary.moments._asdict()


def _histogram(summary: Summary) -> dict[str, np.ndarray]:
    population, n_blocks = summary.population, len(summary.starts)
    valid = ss.valid_mask(summary.trials.lengths, population.shape[1])
    levels = int(population.max(initial=0)) + 1
    block = np.repeat(np.arange(n_blocks), np.diff(np.append(summary.starts, summary.n_trials)))
    cell = (block[:, None] * levels + population)[valid]
    histogram = np.bincount(cell, minlength=n_blocks * levels).reshape(n_blocks, levels)
    return {"histogram": histogram.astype(np.float64)}


def _spectrum(summary: Summary) -> dict[str, np.ndarray]:
    periodograms = dynamics.population_periodograms(summary.population)
    n_trials = np.diff(np.append(summary.starts, summary.n_trials)).astype(np.float64)
    return {"spectrum": np.add.reduceat(periodograms, summary.starts, axis=0), "n_trials": n_trials}


def _autocorrelation(summary: Summary) -> dict[str, np.ndarray]:
    sums = dynamics.lagged_sums(summary.trials.counts, summary.trials.lengths, summary.starts, spikes=summary.spikes)
    return dict(zip(("lag_products", "lag_sums", "lag_pairs"), sums))


def _smoothed(summary: Summary) -> dict[str, np.ndarray]:
    (counts, lengths, _), starts, present = summary.some
    moments = dynamics.smoothed_moments(counts, lengths, starts, summary.frame.groups, summary.frame.bin_s)
    sums = {f"smooth_{name}": value for name, value in moments._asdict().items()}
    return _in_all_blocks(sums, present, len(summary.starts))


def _noise(summary: Summary) -> dict[str, np.ndarray]:
    # Cell means stay fixed when blocks are resampled: exact for the value, a good approximation for its spread.
    starts, groups = summary.starts, summary.frame.groups
    cells = Cells(*summary.trials, summary.frame.bin_s)
    products = summary.moments if cells.are_bins else cells.products(starts, groups)
    sums = cells.noise(products, starts, groups)
    return {
        "noise_square": sums.square,
        "noise_cross": sums.cross,
        "fano_variance": sums.fano_variance,
        "fano_mean": sums.fano_mean,
    }


def _intervals(summary: Summary) -> dict[str, Any]:
    number, total, square = interval_sums(summary.intervals, len(summary.starts), summary.frame.n_neurons)
    return {"isi_n": number, "isi_sum": total, "isi_square": square, "isi_number": summary.intervals.number}


def _lagged_pairs(summary: Summary) -> dict[str, np.ndarray]:
    _, starts, present = summary.some
    sums = lagged_pair_sums(summary.lagged, starts, summary.frame.lagged_groups)
    return _in_all_blocks(sums, present, len(summary.starts))


def _private(summary: Summary) -> dict[str, np.ndarray]:
    _, starts, present = summary.some
    half = None if summary.half is None else summary.half[summary.lagged_trials]
    sums = private_sums(summary.lagged, starts, summary.frame.predictions, half)
    return _in_all_blocks(sums, present, len(summary.starts))


def _in_all_blocks(sums: Mapping[str, np.ndarray], present: np.ndarray, n_blocks: int) -> dict[str, np.ndarray]:
    if len(present) == n_blocks:
        return dict(sums)
    out = {name: np.zeros((n_blocks, *value.shape[1:]), value.dtype) for name, value in sums.items()}
    for name, value in sums.items():
        out[name][present] = value
    return out


def _components(summary: Summary) -> dict[str, np.ndarray]:
    return summary.frame.components.sums(
        summary.spikes, summary.trials.lengths, summary.trials.condition, summary.half, summary.starts
    )


def _count_shares(summary: Summary) -> dict[str, np.ndarray]:
    tail = summary.frame.count_shares.tail
    counts = count_share_sums(summary.trials, summary.starts, tail).astype(np.float64)
    return {"shares": counts, "share_bins": np.add.reduceat(summary.trials.lengths, summary.starts).astype(np.float64)}


GROUPS: Mapping[Callable[[Summary], dict[str, Any]], tuple[str, ...]] = {
    _moments: ("n", "total", "square", "cross"),
    _histogram: ("histogram",),
    _spectrum: ("spectrum", "n_trials"),
    _autocorrelation: ("lag_products", "lag_sums", "lag_pairs"),
    _smoothed: ("smooth_n", "smooth_total", "smooth_square", "smooth_cross"),
    _noise: ("noise_square", "noise_cross", "fano_variance", "fano_mean"),
    _intervals: ("isi_n", "isi_sum", "isi_square", "isi_number"),
    _lagged_pairs: ("lagged_products", "lagged_squares", "lagged_bins"),
    _private: ("private_products", "private_squares", "private_bins"),
    _components: ("component_squares", "component_trials"),
    _count_shares: ("shares", "share_bins"),
}
"""Names of the additive statistics by the function that computes them together."""

_GROUP_OF = {name: group for group, names in GROUPS.items() for name in names}


# -- statistics that are not sums ------------------------------------------------------------------------------------


def smoothed_psth(
    summed: Float[np.ndarray, "condition time neuron"],
    number: Float[np.ndarray, "condition time"],
    bin_s: float,
    sd_s: float = 0.025,
) -> Float[np.ndarray, "condition time neuron"]:
    """Mean count of every condition and bin, smoothed with a Gaussian of 25 ms, from the sums over trials."""
    mean = summed / np.maximum(number, 1)[..., None]
    sd_bins = max(sd_s / bin_s, 0.5)
    for each, trials_behind in zip(mean, number):
        # Trials end at different times: average only as far as there are enough of them, and smooth within that.
        stop = int((trials_behind >= ss.MIN_TRIALS_PER_CELL).sum())
        if stop:
            each[:stop] = gaussian_filter1d(each[:stop], sd_bins, axis=0, mode="nearest")
    return mean


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
