"""The task of the benchmark of codes: a recording of reaches, and what all subjects share of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int

from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import DataError
from spikeloom.evaluation.behaviour import PLACES, TARGET, targets_of, with_places
from spikeloom.evaluation.movement import PositionDecoder
from spikeloom.workflow.traversal import MOST_TARGETS, POSITIONS

FREE_GOALS = 7
"""Steps of a traversal where targets are no grid."""
GRID_GOALS = 12
"""Most different values of a coordinate that make a grid."""


@dataclass(frozen=True, eq=False)
class ReachTask:
    """A recording of reaches, and what all subjects share.

    Attributes:
        data: The recording, with splits and places named as ``PLACES``.
        activity: The activity that all subjects learn.
        places: Start and target coordinates that the recording has.
        position: The signal with the hand's position; None where there is none.
    """

    data: SpikeData
    activity: Float[np.ndarray, "trial time unit"]
    places: tuple[str, ...]
    position: str | None

    @classmethod
    def of(cls, data: SpikeData, read: Callable[[SpikeData], np.ndarray]) -> ReachTask:
        """The task in a recording.

        Args:
            data: Recording with splits.
            read: Its activity.

        Raises:
            DataError: If it has no targets.
        """
        data = with_places(data)
        places = tuple(name for name in PLACES if name in data.trials)
        if not set(TARGET) <= set(places):
            known = ", ".join(map(str, data.trials)) or "none"
            raise DataError(
                "the recording has no targets (trial columns target_x and target_y), to which codes could be related; "
                f"its trial columns are: {known}."
            )
        found = (name for name in POSITIONS if name in data.signals and data.signals[name].values.shape[2] == 2)
        return cls(data, read(data).astype(np.float64), places, next(found, None))

    @cached_property
    def values(self) -> Float[np.ndarray, "trial place"]:
        """Where each trial started and went."""
        return self.data.trials[list(self.places)].to_numpy(dtype=np.float64)

    @cached_property
    def targets(self) -> Float[np.ndarray, "trial 2"]:
        """Where each trial went."""
        return targets_of(self.data)

    def rows(self, *splits: str) -> Int[np.ndarray, "row"]:
        """Trials of splits of which all places are known."""
        parts = [self.data.splits[s] for s in splits if s in self.data.splits]
        found = np.concatenate([np.zeros(0, dtype=np.int64), *parts])
        return found[np.isfinite(self.values[found]).all(1)]

    @cached_property
    def train(self) -> Int[np.ndarray, "row"]:
        """Training trials, also those without places."""
        return self.data.splits["train"]

    @cached_property
    def test(self) -> Int[np.ndarray, "row"]:
        """Test trials, also those without places."""
        return self.data.splits["test"]

    @cached_property
    def heldout(self) -> Int[np.ndarray, "row"]:
        """Trials of held-out conditions."""
        return self.rows("heldout")

    @cached_property
    def grid(self) -> Float[np.ndarray, "target 2"] | None:
        """The targets, where they are few; None where every trial has one of its own."""
        known = self.targets[np.isfinite(self.targets).all(1)]
        grid = np.unique(known, axis=0)
        return grid if len(grid) <= MOST_TARGETS else None

    @cached_property
    def only_heldout(self) -> Bool[np.ndarray, "target"]:
        """Which targets of the grid only held-out trials have."""
        assert self.grid is not None
        held_in = self.targets[np.setdiff1d(np.arange(self.data.n_trials), self.data.splits.get("heldout", []))]
        return ~(self.grid[:, None] == held_in[None]).all(2).any(1)

    @cached_property
    def decoder(self) -> PositionDecoder | None:
        """Position of the hand from the activity in a bin, fitted to recorded training trials."""
        if self.position is None:
            return None
        hand = self.data.signals[self.position].values
        return PositionDecoder.fit(self.activity[self.train], hand[self.train], self.data.valid[self.train])

    @property
    def unit(self) -> str:
        """Of positions."""
        return "" if self.position is None else self.data.signals[self.position].unit

    def goals(self, name: str) -> Float[np.ndarray, "goal"]:
        """Goals of traversals of a target coordinate: all its values on a grid, or evenly over 90 % of trials."""
        known = self.targets[:, TARGET.index(name)]
        known = known[np.isfinite(known)]
        spread = float(np.ptp(known)) or 1.0
        near = np.unique(np.round(known / spread, 3), return_inverse=True)[1]  # files round, each value its own way
        values = np.array([known[near == k].mean() for k in range(near.max() + 1)]) if self.grid is not None else known
        if self.grid is not None and len(values) <= GRID_GOALS:
            return values
        low, high = np.quantile(known, [0.05, 0.95])
        return np.linspace(low, high, FREE_GOALS)

    def in_heldout_region(self, ends: Float[np.ndarray, "*any 2"]) -> Bool[np.ndarray, "*any"]:
        """Whether places are nearer to a held-out target than to any other, and no further than targets are apart."""
        assert self.grid is not None
        apart = np.linalg.norm(self.grid[:, None] - self.grid[None], axis=-1) + np.diag(np.full(len(self.grid), np.inf))
        away = np.linalg.norm(ends[..., None, :] - self.grid, axis=-1)
        return self.only_heldout[away.argmin(-1)] & (away.min(-1) <= apart.min(1).max())

    def at_heldout_target(self, places: Float[np.ndarray, "*any 2"]) -> Bool[np.ndarray, "*any"]:
        """Whether places are held-out targets themselves."""
        assert self.grid is not None
        near = 1e-3 * float(np.ptp(self.grid, axis=0).max())
        away = np.linalg.norm(places[..., None, :] - self.grid[self.only_heldout], axis=-1)
        return (away < near).any(-1)
