"""Novelty of conditions: how far the conditions of new trials are from those of every training trial.

A model generates trials for any condition, also for those that no training trial could have taught it. Distances are
measured in units of how near 99 % of training trials are to the nearest other one. Where training trials repeat each
other's values (eight targets), that is 0, and any other value was never recorded; where every trial has its own (a
trajectory of the hand), it is the scatter of training trials.

By that, 1 % of held-out trials of the same kind are farther, so slightly larger distances mean nothing. A warning is
given when more than 1 % of trials are more than twice as far, or one of them ten times. In random splits of recordings,
trajectories of held-out trials never were; of held-out numbers with long tails, one sample in six has some beyond all
recorded values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from spikeloom.conditioning.requests import Conditions
from spikeloom.conditioning.variables import RADIANS, Variable, label_of
from spikeloom.data.spikedata import Signal

USUAL = 0.99
"""Share of training trials that the yardstick is the quantile of."""
FAR = 2.0
"""A condition farther than this many yardsticks from every training trial is novel."""
ALWAYS_REPORTED = 10.0
"""A trial farther than this many yardsticks is reported even if it is one of very many."""
NEGLIGIBLE = 1e-3
"""Values that differ by less of a turn, or of the standard deviation over training trials, are the same."""
LONG, COVERED = 0.9, 0.8
"""A signal is compared with training trials of this share of its bins, or of those of the longest tenth."""
CHUNK = 512
"""Trials whose distances to all training trials are in memory together."""
SHOWN = 3
"""Values that a sentence names."""
UNITLESS = ("label", "number")

Distances = Float[np.ndarray, "trial training"]


@dataclass(frozen=True)
class ConditionNovelty:
    """Distances of the conditions of new trials from those of every training trial.

    Attributes:
        distances: (trial,) distance to the nearest training trial of each variable, in its unit: degrees or radians,
            the unit of a number, 0 or 1 for a label, the root mean square over bins of a signal; NaN where it is free.
        yardsticks: Of each variable: the distance to the nearest other training trial that 99 % of them keep within.
        ratios: (trial,) distance over yardstick; infinite where the yardstick is 0 and the distance is not.
        together: (trial,) the same for all variables of a trial at once, NaN where fewer than two have a value:
            distance to the nearest training trial by the farthest of its variables, each over its yardstick.
        neighbours: Novel values of columns whose values training trials repeat, each with the nearest recorded ones.
        units: Units of the distances, where they have any.
    """

    distances: Mapping[str, Float[np.ndarray, "trial"]]
    yardsticks: Mapping[str, float]
    ratios: Mapping[str, Float[np.ndarray, "trial"]]
    together: Float[np.ndarray, "trial"]
    neighbours: Mapping[str, Sequence[str]] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)

    @property
    def distance(self) -> Float[np.ndarray, "trial"]:
        """The column ``condition_distance`` of samples: the largest ratio of a trial, its combination included.

        0 where a training trial has the same condition, at most 1 where it is as near to one as 99 % of these are to
        each other, infinite where training trials repeat values (targets, labels) and none has this one, or none has
        this combination. NaN without a condition.
        """
        return _largest([*self.ratios.values(), self.together])

    def novel(self, name: str) -> Bool[np.ndarray, "trial"]:
        """Trials whose value of a variable is far from every training trial's."""
        return np.asarray(self.ratios[name] > FAR)

    @property
    def mixed(self) -> Bool[np.ndarray, "trial"]:
        """Trials with a novel combination of values none of which is novel alone."""
        alone = [np.full(len(self.together), np.nan), *self.ratios.values()]
        return np.asarray((self.together > FAR) & ~(_largest(alone) > FAR))

    def findings(self, n: int | None = None) -> dict[str, str]:
        """A clause for each variable with novel values, and under "" one for novel combinations.

        Args:
            n: Number of trials, where they are more than these, which then are repeated.
        """
        rows = np.resize(np.arange(len(self.together)), len(self.together) if n is None else n)
        found = {name: (self.novel(name), ratios) for name, ratios in self.ratios.items()}
        found[""] = self.mixed, np.where(self.mixed, self.together, 0)
        words = {}
        for name, (novel, ratios) in found.items():
            far = novel[rows]
            if far.mean() > 1 - USUAL or (ratios > ALWAYS_REPORTED).any():
                words[name] = f"{int(far.sum())} of {len(far)} trials have a novel {self._words(name, rows[far])}"
        return words

    def sentence(self, n: int | None = None) -> str:
        """All novel conditions in one sentence; empty without any."""
        return sentence(list(self.findings(n).values()))

    def _words(self, name: str, rows: Int[np.ndarray, "far"]) -> str:
        if not name:
            names = list(self.ratios)
            return f"combination of {', '.join(names[:-1])} and {names[-1]}, which no training trial comes near"
        if not self.yardsticks[name]:
            values = self.neighbours.get(name, ())
            shown = "; ".join(values[:SHOWN]) + (f"; and {len(values) - SHOWN} more" if len(values) > SHOWN else "")
            return f"{name}, which no training trial has" + (f" ({shown})" if values else "")
        usual, median = self.yardsticks[name], float(np.median(self.distances[name][rows]))
        unit = f" {self.units[name]}" if self.units.get(name) else ""
        return (
            f"{name}, farther from every training trial's than {100 * USUAL:g} % of these are from each other "
            f"(median {median / usual:.2g} times as far: {median:.3g}{unit}, usual is {usual:.3g})"
        )


def sentence(findings: Sequence[str]) -> str:
    """Findings as one sentence; empty without any."""
    if not findings:
        return ""
    return f"{', and '.join(findings)}: their samples are extrapolations, which no recorded trial can check."


class TrainingConditions:
    """Conditions of training trials, with which those of new trials are compared.

    Args:
        recorded: Conditions of the training trials, with their lengths.
        variables: The condition variables.
    """

    def __init__(self, recorded: Conditions, variables: Sequence[Variable]):
        assert recorded.lengths is not None
        self.variables = {v.name: v for v in variables if v.name in recorded.names}
        self._n_trials = len(recorded.lengths)
        self._sides = self._sides_of(recorded, recorded.lengths)
        self._usual: dict[tuple[str, ...], float] = {}

    def novelty(self, conditions: Conditions, lengths: Int[np.ndarray, "trial"]) -> ConditionNovelty:
        """The novelty of the conditions of new trials.

        Args:
            conditions: The conditions; variables that the training trials do not have are ignored.
            lengths: Bins of each trial.
        """
        sides = self._sides_of(conditions, lengths)
        distances = {name: self._nearest(sides, (name,)) for name in sides}
        for name, side in sides.items():
            distances[name][~side.known] = np.nan
        yardsticks = {name: self.yardstick(name) for name in sides}
        ratios = {name: _over(values, yardsticks[name]) for name, values in distances.items()}
        return ConditionNovelty(
            distances,
            yardsticks,
            ratios,
            self._together(sides, len(lengths)),
            {
                name: self._neighbours(name, side, ratios[name])
                for name, side in sides.items()
                if isinstance(side, _Column)
            },
            {name: v.unit if v.aligned else v.kind for name, v in self.variables.items() if v.kind not in UNITLESS},
        )

    def yardstick(self, *names: str) -> float:
        """The distance to the nearest other one that nearly all training trials keep within.

        Of one variable in its unit; of several as a multiple of theirs, at least 1. Training trials that no other is
        like (in their labels) are left out of the latter.
        """
        if names not in self._usual:
            nearest = self._nearest(self._sides, names, itself=False)
            nearest = nearest[np.isfinite(nearest)]
            # The lower one of few: a single trial that no other is like does not make everything usual.
            usual = float(np.quantile(nearest, USUAL, method="lower")) if len(nearest) else 0.0
            self._usual[names] = usual if len(names) == 1 else max(usual, 1.0)
        return self._usual[names]

    def nearest(self, conditions: Conditions, lengths: Int[np.ndarray, "trial"], n: int) -> Int[np.ndarray, "near"]:
        """The training trials whose conditions are nearest to those of the first trial, at most ``n`` of them.

        Trials that are farther than ``FAR`` are left out, so that there are none for a novel condition.

        Args:
            conditions: Conditions of new trials.
            lengths: Bins of each trial.
            n: Number of training trials.

        Returns:
            Their numbers among the training trials, the nearest first.
        """
        first = np.zeros(1, np.int64)
        sides = {name: side for name, side in self._sides_of(conditions, lengths).items() if side.known[0]}
        farthest = np.zeros(self._n_trials)
        for name, side in sides.items():
            distances = side.distances(first, self._sides[name])[0]
            distances[distances <= self._sides[name].negligible] = 0
            farthest = np.maximum(farthest, _over(distances, self.yardstick(name)))
        if len(sides) > 1:
            farthest = farthest / self.yardstick(*sides)
        order = np.argsort(farthest, kind="stable")
        return order[farthest[order] <= FAR][:n] if sides else first[:0]

    def _sides_of(self, conditions: Conditions, lengths: Int[np.ndarray, "trial"]) -> dict[str, _Column | _TimeCourse]:
        signals = conditions.signals_over(lengths)
        sides: dict[str, _Column | _TimeCourse] = {}
        for name, variable in self.variables.items():
            if name in signals:
                sides[name] = _TimeCourse.of(variable, signals[name], lengths)
            elif name in conditions.table:
                sides[name] = _Column(variable, as_numbers(variable, conditions.table[name]))
        return sides

    def _nearest(
        self, sides: Mapping[str, _Column | _TimeCourse], names: tuple[str, ...], itself: bool = True
    ) -> Float[np.ndarray, "trial"]:
        """Distance to the nearest training trial: of one variable, or of the farthest of several over its yardstick.

        Args:
            sides: Conditions of the new trials.
            names: Variables.
            itself: Whether the training trial of the same number counts, too.
        """
        n = len(sides[names[0]].known)
        result = np.empty(n)
        for start in range(0, n, CHUNK):
            rows = np.arange(start, min(start + CHUNK, n))
            farthest: Distances | None = None
            for name in names:
                distances = sides[name].distances(rows, self._sides[name])
                distances[distances <= self._sides[name].negligible] = 0
                if len(names) > 1:
                    distances = _over(distances, self.yardstick(name))
                farthest = distances if farthest is None else np.maximum(farthest, distances)
            assert farthest is not None
            if not itself:
                farthest[np.arange(len(rows)), rows] = np.inf
            result[rows] = farthest.min(1)
        return result

    def _together(self, sides: Mapping[str, _Column | _TimeCourse], n: int) -> Float[np.ndarray, "trial"]:
        result = np.full(n, np.nan)
        known = np.array([side.known for side in sides.values()]).reshape(len(sides), n).T
        for pattern in np.unique(known, axis=0):
            names = tuple(name for name, there in zip(sides, pattern) if there)
            if len(names) > 1:
                rows = np.flatnonzero((known == pattern).all(1))
                result[rows] = self._nearest({k: sides[k].rows(rows) for k in names}, names) / self.yardstick(*names)
        return result

    def _neighbours(self, name: str, side: _Column, ratios: np.ndarray) -> list[str]:
        """The novel values, each with the nearest recorded ones."""
        variable, own = self.variables[name], self._sides[name]
        assert isinstance(own, _Column)
        if self.yardstick(name):
            return []
        return [_among(variable, value, own.values[own.known]) for value in np.unique(side.values[ratios > FAR])]


@dataclass(frozen=True)
class _Column:
    """Values of a column: numbers of labels, numbers, angles; NaN where not known."""

    variable: Variable
    values: Float[np.ndarray, "trial"]

    @property
    def known(self) -> Bool[np.ndarray, "trial"]:
        return np.asarray(np.isfinite(self.values))

    @property
    def negligible(self) -> float:
        """The distance below which two values are the same: rounding, in files and weights, is less."""
        if self.variable.kind in RADIANS:
            return NEGLIGIBLE * 2 * np.pi / RADIANS[self.variable.kind]
        if self.variable.kind == "label":
            return 0.0
        return max(NEGLIGIBLE * self.variable.std[0], 1e-6 * float(np.abs(self.values[self.known]).max(initial=0)))

    def rows(self, index: Int[np.ndarray, "index"]) -> _Column:
        return _Column(self.variable, self.values[index])

    def distances(self, rows: Int[np.ndarray, "row"], training: _Column | _TimeCourse) -> Distances:
        assert isinstance(training, _Column)
        difference = np.abs(self.values[rows, None] - training.values)
        if self.variable.kind == "label":
            difference = np.where(np.isnan(difference), np.nan, difference > 0)
        elif self.variable.kind in RADIANS:
            turn = 2 * np.pi / RADIANS[self.variable.kind]
            difference = np.minimum(difference % turn, turn - difference % turn)
        return np.nan_to_num(difference, nan=np.inf, posinf=np.inf)


@dataclass(frozen=True)
class _TimeCourse:
    """A signal, relative to its mean over training trials; zero outside of trials and where it is not known."""

    variable: Variable
    values: Float[np.ndarray, "trial time dim"]
    lengths: Int[np.ndarray, "trial"]
    known: Bool[np.ndarray, "trial"]

    @classmethod
    def of(cls, variable: Variable, signal: Signal, lengths: Int[np.ndarray, "trial"]) -> _TimeCourse:
        inside = np.asarray(np.arange(signal.values.shape[1]) < lengths[:, None])
        known = np.asarray((np.isfinite(signal.values).all(2) | ~inside).all(1))
        centred = np.where((inside & known[:, None])[..., None], signal.values.astype(np.float64) - variable.mean, 0)
        return cls(variable, centred, lengths, known)

    @property
    def negligible(self) -> float:
        """The distance below which two time courses are the same."""
        return NEGLIGIBLE * float(np.linalg.norm(self.variable.std))

    def rows(self, index: Int[np.ndarray, "index"]) -> _TimeCourse:
        return _TimeCourse(self.variable, self.values[index], self.lengths[index], self.known[index])

    def distances(self, rows: Int[np.ndarray, "row"], training: _Column | _TimeCourse) -> Distances:
        """Root of the mean, over the bins that both have, of the squared length of the difference.

        A short training trial is near to anything that begins like it, so time courses are compared only with trials of
        most of their bins.
        """
        assert isinstance(training, _TimeCourse)
        result = np.full((len(rows), len(training.known)), np.inf)
        if not training.known.any():
            return result
        n_bins = min(self.values.shape[1], training.values.shape[1])
        theirs, there = training.rows(np.flatnonzero(training.known)), training.known
        a, b = self.values[rows, :n_bins], theirs.values[:, :n_bins]
        lengths_a, lengths_b = (np.minimum(each, n_bins) for each in (self.lengths[rows], theirs.lengths))
        squares = -2 * a.reshape(len(a), -1) @ b.reshape(len(b), -1).T
        squares += np.square(a).sum(2).cumsum(1)[:, lengths_b - 1]
        squares += np.square(b).sum(2).cumsum(1)[:, lengths_a - 1].T
        both = np.minimum(lengths_a[:, None], lengths_b)
        most = np.minimum(self.lengths[rows], np.quantile(theirs.lengths, LONG, method="lower"))
        result[:, there] = np.where(both >= COVERED * most[:, None], np.sqrt(np.maximum(squares, 0) / both), np.inf)
        return result


def as_numbers(variable: Variable, column: Any) -> Float[np.ndarray, "trial"]:
    """Values of a column as numbers: that of a label among the labels of the variable; NaN where not known."""
    column = pd.Series(column)
    read: Callable[[Any], float] = (
        (lambda value: float(variable.labels.index(label_of(value)))) if variable.kind == "label" else float
    )
    return np.array([read(v) if there else np.nan for v, there in zip(column, variable.known(column))], np.float64)


def _over(distance: np.ndarray, yardstick: float) -> np.ndarray:
    return distance / yardstick if yardstick else np.where(distance > 0, np.inf, distance)


def _largest(ratios: Sequence[Float[np.ndarray, "trial"]]) -> Float[np.ndarray, "trial"]:
    """The largest that is a number, trial by trial; NaN where none is."""
    return np.fmax.reduce(list(ratios), axis=0)


def _among(variable: Variable, value: float, recorded: Float[np.ndarray, "training"]) -> str:
    """A value with the nearest recorded ones on both sides of it."""
    if variable.kind == "label":
        return variable.labels[int(value)]
    turn = 2 * np.pi / RADIANS[variable.kind] if variable.kind in RADIANS else None
    above, below = recorded - value, value - recorded
    if turn is not None:
        above, below = above % turn, below % turn
    sides = [recorded[side == side[side >= 0].min()][0] for side in (below, above) if (side >= 0).any()]
    names = dict.fromkeys(_short(float(v)) for v in sides)
    return f"{_short(value)}, nearest {' and '.join(names)}"


def _short(value: float) -> str:
    return f"{value:.4g}"
