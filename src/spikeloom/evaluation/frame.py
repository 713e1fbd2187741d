"""Constants that both sides of a comparison share, fixed from real trials only."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Int

from spikeloom.evaluation import spike_statistics as ss
from spikeloom.evaluation.centred import centred
from spikeloom.evaluation.components import TrialComponents
from spikeloom.evaluation.count_shares import CountShares, fit_count_shares
from spikeloom.evaluation.neuron_groups import NeuronGroups
from spikeloom.evaluation.private import Prediction, fit_prediction
from spikeloom.evaluation.trial_set import TrialSet, halves, spread, spread_out, trials_within

MOST_LAGGED_ELEMENTS = 10_000_000
"""Bins x neurons that are enough for covariances at a lag, and of smoothed counts; of larger sets a part of the trials
is used."""

MOST_LAGGED_PAIRS = 5_000
"""Pairs of neurons compared at a lag: each counts in both orders and at every lag."""


@dataclass(frozen=True, eq=False)
class Frame:
    """Constants that both sides of a comparison share; fixed from real data only.

    What is fitted closely is learned on either half of the held-out trials, and used on trials of the other half; on
    other sets, from both halves. Learned on training trials, it would fit the floor, which is drawn from them, better
    than any new trials: real ones would be called too good.

    Attributes:
        train: Training trials, from which constants are derived when they are first needed.
        test: Held-out trials.
        half: (held-out trial,) 0 or 1; see ``trial_set.halves``.
        bin_s: Bin width in seconds.
        n_conditions: Number of condition codes.
        cell_width: Width of a cell of the population count, in spikes.
        largest: Largest population count of a bin in the real data.
        aligned: Whether bins of different trials mean the same time, so that PSTHs exist.
        n_lagged_trials: Trials of either side used for covariances at a lag and of smoothed counts.
        lagged_sampled: Whether those are fewer than there are.
    """

    train: TrialSet
    test: TrialSet
    half: Int[np.ndarray, "trial"]
    bin_s: float
    n_conditions: int
    cell_width: int
    largest: int
    aligned: bool
    n_lagged_trials: int
    lagged_sampled: bool

    @classmethod
    def from_real(
        cls,
        train: TrialSet,
        test: TrialSet,
        bin_s: float,
        n_conditions: int,
        aligned: bool,
        starts: Int[np.ndarray, "block"] | None = None,
    ) -> Frame:
        """Fix the cells of the population count: a quarter of its standard deviation, up to the largest count.

        Args:
            train: Training trials.
            test: Held-out trials, in the order in which they are summarised.
            bin_s: Bin width in seconds.
            n_conditions: Number of condition codes.
            aligned: Whether bins of different trials mean the same time.
            starts: First trial of each block of held-out trials; one block without them.
        """
        counts = [ss.population_counts(t.counts, t.lengths) for t in (train, test)]
        width = max(1, round(float(counts[0].std()) / 4))
        largest = int(max(c.max() for c in counts))
        if n_conditions == 1:
            train, test = train.pooled(), test.pooled()
        n_lagged = trials_within(test.counts.shape, MOST_LAGGED_ELEMENTS)
        sampled = n_lagged < len(test.lengths)
        half = halves(len(test.lengths), np.zeros(1, np.int64) if starts is None else starts)
        return cls(train, test, half, bin_s, n_conditions, width, largest, aligned, n_lagged, sampled)

    @property
    def n_neurons(self) -> int:
        """Number of neurons."""
        return self.train.counts.shape[2]

    @cached_property
    def enough(self) -> TrialSet:
        """As many training trials as constants need."""
        return spread_out(self.train, trials_within(self.train.counts.shape, MOST_LAGGED_ELEMENTS))

    @cached_property
    def groups(self) -> NeuronGroups:
        """Pairs of neurons whose correlations are compared."""
        return NeuronGroups.drawn(self.n_neurons)

    @cached_property
    def lagged_groups(self) -> NeuronGroups:
        """Pairs of neurons compared at a lag."""
        return NeuronGroups.drawn(self.n_neurons, MOST_LAGGED_PAIRS)

    @property
    def pairs(self) -> Int[np.ndarray, "pair 2"]:
        """(pair, 2) the pairs i > j whose correlations are compared."""
        return self.groups.pairs

    @property
    def pairs_sampled(self) -> bool:
        """Whether those are a sample of all pairs."""
        return self.groups.sampled

    @property
    def ordered_pairs(self) -> Int[np.ndarray, "ordered 2"]:
        """(ordered, 2) the ordered pairs compared at a lag."""
        return self.lagged_groups.ordered_pairs

    @cached_property
    def predictions(self) -> tuple[Prediction, Prediction]:
        """Prediction of each neuron from the others, learned on either half of the held-out trials."""
        kept = spread(len(self.half), self.n_lagged_trials)
        first, second = (fit_prediction(centred(half, self.aligned)) for half in self._halves(kept))
        return first, second

    @cached_property
    def count_shares(self) -> CountShares:
        """Tails of the counts and the scatter of their shares."""
        return fit_count_shares(self.enough)

    @cached_property
    def components(self) -> TrialComponents:
        """Principal components of trial means, of either half of the held-out trials."""
        return TrialComponents.fit(*self._halves(np.arange(len(self.half))))

    def _halves(self, kept: Int[np.ndarray, "kept"]) -> tuple[TrialSet, TrialSet]:
        """Either half of some held-out trials; all of them twice where there are too few to halve."""
        parts = [kept[self.half[kept] == half] for half in (0, 1)]
        first, second = (self.test.take(part if min(map(len, parts)) > 1 else kept) for part in parts)
        return first, second
