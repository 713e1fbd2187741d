"""Corruptions of real trials with one known fault each: the yardsticks of the metrics, and controls for the reader.

Each takes real trials and breaks one thing in them, wholly or in part: the dose. A metric is scored by how far it is
from the noise floor compared with how far the corruption that it exists to notice is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from spikeloom.evaluation.baselines import poisson_counts
from spikeloom.evaluation.dynamics import gaussian_smooth
from spikeloom.evaluation.spike_statistics import neuron_major, trial_major, valid_mask
from spikeloom.evaluation.summary import TrialSet

THINNED_BY = 0.2
"""Share of the spikes that are lost at the full dose of thinning."""

SMOOTHING_S = 0.05
"""Standard deviation of the smoothing by which the rates of Poisson neurons are estimated."""

ALIKE = 8
"""Trials of similar length that are shuffled among each other, where lengths differ."""

DOSES = (0.05, 0.1, 0.25, 0.5, 1.0)
"""Doses of a dose-response curve: share of the trials that is corrupted, or the strength of the thinning."""


Corrupt = Callable[[TrialSet, Float[np.ndarray, "neuron"], float, np.random.Generator, float], TrialSet]


@dataclass(frozen=True)
class Corruption:
    """A way to break real trials.

    Attributes:
        name: Key in tables and files.
        label: Name in tables for a reader.
        short: The same in a narrow column.
        breaks: What it breaks, in words.
        corrupt: Makes corrupted trials, of the same number, order and lengths, from trials, the mean count of each
            neuron over the training trials, the bin width in seconds, a source of randomness, and the dose: the share
            of the trials that is corrupted; of thinning, the share of its full strength.
        needs_conditions: Whether it exists only where bins mean the same time in every trial.
    """

    name: str
    label: str
    short: str
    breaks: str
    corrupt: Corrupt
    needs_conditions: bool = False


def _share_of_trials(whole: Callable[..., TrialSet]) -> Corrupt:
    """A corruption of whole trials, done to a random share of them."""

    def corrupt(
        trials: TrialSet, mean: np.ndarray, bin_s: float, rng: np.random.Generator, dose: float = 1.0
    ) -> TrialSet:
        if dose >= 1:
            return whole(trials, mean, bin_s, rng)
        n_trials = len(trials.lengths)
        chosen = np.sort(rng.permutation(n_trials)[: round(dose * n_trials)])
        if len(chosen) == 0:
            return trials
        part = whole(trials.take(chosen), mean, bin_s, rng)
        counts = trials.counts.astype(np.result_type(trials.counts, part.counts))
        condition = trials.condition.copy()
        counts[chosen], condition[chosen] = part.counts, part.condition
        return TrialSet(counts, trials.lengths, condition)

    return corrupt


def _thinned(trials: TrialSet, mean: np.ndarray, bin_s: float, rng: np.random.Generator, dose: float = 1.0) -> TrialSet:
    counts = trials.counts.copy()
    occupied = np.flatnonzero(counts)
    counts.ravel()[occupied] = rng.binomial(counts.ravel()[occupied], 1 - THINNED_BY * dose)
    return trials._replace(counts=counts)


def _homogeneous(trials: TrialSet, mean: np.ndarray, bin_s: float, rng: np.random.Generator) -> TrialSet:
    rate = mean.astype(np.float32)
    return _within(trials, poisson_counts(lambda first, last: rate, trials.counts.shape, rng))


def _shuffled(trials: TrialSet, mean: np.ndarray, bin_s: float, rng: np.random.Generator) -> TrialSet:
    """Each neuron's trials in another order, among trials of the same condition and of similar length."""
    n_bins = trials.counts.shape[1]
    groups = _alike(trials)
    ragged = bool((trials.lengths < n_bins).any())
    trains = neuron_major(trials.counts)
    for train in trains:
        donors = _shuffled_within(groups, rng)
        shuffled = train[donors]
        if ragged:  # where the other trial is shorter, a trial keeps its own bins
            shuffled = np.where(valid_mask(trials.lengths[donors], n_bins), shuffled, train)
        train[:] = shuffled
    counts = trial_major(trains)
    return _within(trials, counts) if ragged else trials._replace(counts=counts)


def _permuted_bins(trials: TrialSet, mean: np.ndarray, bin_s: float, rng: np.random.Generator) -> TrialSet:
    """The bins of each trial in a random order, the same for all of its neurons."""
    counts = trials.counts.copy()
    for trial, length in enumerate(trials.lengths):
        counts[trial, :length] = trials.counts[trial, rng.permutation(length)]
    return trials._replace(counts=counts)


def _backwards(trials: TrialSet, mean: np.ndarray, bin_s: float, rng: np.random.Generator) -> TrialSet:
    n_bins = trials.counts.shape[1]
    if (trials.lengths == n_bins).all():
        return trials._replace(counts=np.ascontiguousarray(trials.counts[:, ::-1]))
    order = trials.lengths[:, None] - 1 - np.arange(n_bins)
    counts = np.take_along_axis(trials.counts, np.maximum(order, 0)[..., None], axis=1)
    return _within(trials, counts)


def _permuted_conditions(trials: TrialSet, mean: np.ndarray, bin_s: float, rng: np.random.Generator) -> TrialSet:
    """Conditions dealt out anew, among trials of similar length."""
    order = _shuffled_within(_alike(trials._replace(condition=np.zeros_like(trials.condition))), rng)
    return trials._replace(condition=trials.condition[order])


def _smoothed(trials: TrialSet, mean: np.ndarray, bin_s: float, rng: np.random.Generator) -> TrialSet:
    """Poisson counts with the smoothed counts of the trial as their rates."""
    sd_bins = max(SMOOTHING_S / bin_s, 0.5)

    def rates(first: int, last: int) -> np.ndarray:
        valid = valid_mask(trials.lengths[first:last], trials.counts.shape[1])[..., None]
        smooth = gaussian_smooth(trials.counts[first:last], sd_bins)
        return smooth / np.maximum(gaussian_smooth(valid, sd_bins), 0.1)

    return _within(trials, poisson_counts(rates, trials.counts.shape, rng))


CORRUPTIONS: Mapping[str, Corruption] = {
    corruption.name: corruption
    for corruption in (
        Corruption("thinned", "spikes thinned to 80 %", "thinned", "rates and counts", _thinned),
        Corruption(
            "homogeneous",
            "constant-rate Poisson",
            "Poisson",
            "everything in time and between neurons",
            _share_of_trials(_homogeneous),
        ),
        Corruption("shuffled", "neurons shuffled", "shuffled", "shared variability", _share_of_trials(_shuffled)),
        Corruption("permuted_bins", "bins permuted", "bins mixed", "time", _share_of_trials(_permuted_bins)),
        Corruption("backwards", "played backwards", "backwards", "the direction of time", _share_of_trials(_backwards)),
        Corruption(
            "permuted_conditions",
            "conditions permuted",
            "conditions",
            "dependence on the condition",
            _share_of_trials(_permuted_conditions),
            True,
        ),
        Corruption(
            "smoothed",
            "Poisson of smoothed counts",
            "smoothed",
            "the irregularity of single neurons",
            _share_of_trials(_smoothed),
        ),
    )
}
"""The corruptions by name."""


def _within(trials: TrialSet, counts: np.ndarray) -> TrialSet:
    n_bins = counts.shape[1]
    if (trials.lengths < n_bins).any():
        counts = np.where(valid_mask(trials.lengths, n_bins)[..., None], counts, counts.dtype.type(0))
    return trials._replace(counts=counts)


def _alike(trials: TrialSet) -> list[Int[np.ndarray, "member"]]:
    """Groups of trials of the same condition, and of about the same length where lengths differ."""
    order = np.lexsort((trials.lengths, trials.condition))
    groups = np.split(order, np.flatnonzero(np.diff(trials.condition[order])) + 1)
    if (trials.lengths == trials.lengths.max(initial=0)).all():
        return groups
    return [part for group in groups for part in np.array_split(group, max(1, len(group) // ALIKE))]


def _shuffled_within(groups: list[np.ndarray], rng: np.random.Generator) -> Int[np.ndarray, "trial"]:
    order = np.empty(sum(map(len, groups)), dtype=np.int64)
    for members in groups:
        order[members] = members[rng.permutation(len(members))]
    return order
