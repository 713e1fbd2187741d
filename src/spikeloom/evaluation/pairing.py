"""Bring real and generated trials into a form in which they may be compared: same conditions, numbers and lengths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import DataError
from spikeloom.evaluation.summary import TrialSet
from spikeloom.evaluation.trial_lengths import assign, crop, cut, feasible

LEAST_UNITS = 100
"""Windows of fewer stretches of recorded time than that are divided into shorter ones, as units of the errors."""


@dataclass(frozen=True, eq=False)
class Pairing:
    """Real and generated trials made comparable.

    Attributes:
        train: Training trials; condition codes group them.
        val: Validation trials, which served the training as well.
        test: The held-out trials that are used, in random order, with the lengths both sides can have.
        pool: All generated trials, under the same condition codes.
        train_unit: Training trials of the same number depend on each other: windows of one stretch of recorded time.
        val_unit: The same of the validation trials.
        test_unit: The same of the held-out trials.
        pool_unit: The same of the generated trials.
        test_index: Place of each held-out trial in the real recording.
        train_index: The same of the training trials.
        n_conditions: Number of condition codes.
        conditional: Whether generated trials are matched to held-out ones by condition.
        warnings: What a reader must know about how the sets were matched.
    """

    train: TrialSet
    val: TrialSet
    test: TrialSet
    pool: TrialSet
    train_unit: np.ndarray
    val_unit: np.ndarray
    test_unit: np.ndarray
    pool_unit: np.ndarray
    test_index: np.ndarray
    train_index: np.ndarray
    n_conditions: int
    conditional: bool
    warnings: tuple[str, ...]

    def for_metrics(self, trials: TrialSet) -> TrialSet:
        """The trials as the metrics see them: one condition when generated trials carry none."""
        return trials if self.conditional else trials._replace(condition=np.zeros_like(trials.condition))

    @property
    def n_metric_conditions(self) -> int:
        """Number of condition codes as the metrics see them."""
        return self.n_conditions if self.conditional else 1

    def draw_generated(self, rng: np.random.Generator) -> tuple[TrialSet, np.ndarray]:
        """One generated trial for each held-out one, of its condition and cut to its length; and their units."""
        if tied(self.pool_unit) and not self.conditional and self.pool.lengths.min() >= self.test.lengths.max():
            out = _whole_units(self.pool_unit, len(self.test.lengths), rng)
        else:
            out = np.empty(len(self.test.lengths), dtype=np.int64)
            for slots, members in self._strata(self.pool.condition):
                members = rng.permutation(members)
                out[slots] = members[assign(self.pool.lengths[members], self.test.lengths[slots])]
        drawn = cut(self.pool.take(out), self.test.lengths)._replace(condition=self.test.condition)
        return drawn, self.pool_unit[out]

    def draw_train(self, rng: np.random.Generator) -> tuple[TrialSet, np.ndarray]:
        """As many training trials as held-out ones, of the same conditions and, where they suffice, lengths.

        Dependent trials are drawn together, as the held-out ones were.
        """
        groups = self.train.condition
        if tied(self.train_unit) and self.train.lengths.min() >= self.test.lengths.max():
            index = _whole_units(self.train_unit, len(self.test.lengths), rng)
            return cut(self.train.take(index), self.test.lengths), self.train_unit[index]
        if not np.isin(self.test.condition, groups).all():
            index = rng.permutation(len(groups))[: len(self.test.lengths)]
            return self.train.take(index), self.train_unit[index]
        chosen, lengths = [], []
        for code in np.unique(self.test.condition):
            slots = self.test.lengths[self.test.condition == code]
            members = rng.permutation(np.flatnonzero(groups == code))
            slots = feasible(self.train.lengths[members], slots[: len(members)])
            chosen.append(members[assign(self.train.lengths[members], slots)])
            lengths.append(slots)
        index = np.concatenate(chosen)
        return cut(self.train.take(index), np.concatenate(lengths)), self.train_unit[index]

    def _strata(self, pool_condition: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        if not self.conditional:
            return [(np.arange(len(self.test.lengths)), np.arange(len(pool_condition)))]
        codes = np.unique(self.test.condition)
        return [(np.flatnonzero(self.test.condition == c), np.flatnonzero(pool_condition == c)) for c in codes]


def check_comparable(real: SpikeData, generated: SpikeData) -> None:
    """Refuse sets that differ in what must never be aligned silently.

    Raises:
        DataError: If numbers of neurons, bin widths or neuron names differ.
    """
    if real.n_neurons != generated.n_neurons:
        raise DataError(
            f"the real data have {real.n_neurons} neurons but the generated data {generated.n_neurons}; compare sets "
            "of the same neurons in the same order."
        )
    if not np.isclose(real.bin_s, generated.bin_s, rtol=1e-4):
        raise DataError(
            f"the real data have bins of {real.bin_s * 1e3:g} ms but the generated data of {generated.bin_s * 1e3:g} "
            "ms; bring both to the same bin width."
        )
    for column in ("id", "name"):
        if column in real.neurons and column in generated.neurons:
            ours, theirs = (_names(d.neurons[column]) for d in (real, generated))
            if (ours != theirs).any():
                place = int(np.flatnonzero(ours != theirs)[0])
                raise DataError(
                    f"neuron {place} is '{ours[place]}' in the real data but '{theirs[place]}' in the generated data; "
                    "bring the neurons into the same order."
                )


def _names(column: Any) -> np.ndarray:
    """Names as text, so that whole numbers are the same however a file holds them, and missing names are equal."""
    numbers: Any = pd.to_numeric(column, errors="coerce")
    text = column.astype(str).where(numbers.isna(), numbers.map("{:g}".format))
    return text.where(column.notna(), "").to_numpy(dtype=str)


def pair(
    real: SpikeData,
    generated: SpikeData,
    rng: np.random.Generator,
    test_split: str = "test",
    like: Pairing | None = None,
) -> Pairing:
    """Match generated trials to the real ones of a split.

    Args:
        real: Recording with the splits "train" and ``test_split``.
        generated: Generated trials of the same neurons and bin width.
        rng: Chooses the held-out trials where not all can be used, and their order.
        test_split: The split generated trials are compared with.
        like: Another pairing, whose held-out trials are used.

    Raises:
        DataError: If the sets are not comparable, a split is missing or empty, or there are too few generated trials
            for the held-out ones of the other pairing.
    """
    check_comparable(real, generated)
    for name in ("train", test_split):
        if name not in real.splits or len(real.splits[name]) == 0:
            known = ", ".join(real.splits) or "none"
            raise DataError(f"the real data have no trials in the split '{name}' (splits: {known}).")
    warnings: list[str] = []
    train_index = np.asarray(real.splits["train"])
    available = rng.permutation(np.asarray(real.splits[test_split])) if like is None else like.test_index
    group, own, conditional = _condition_codes(real, generated, available, warnings)

    # Floor draws are half of the training trials at most, so that they differ; the published protocol has none.
    share = 1 if test_split == "train" else 2
    keep = _balanced(group, train_index, available, own if conditional else None, generated.n_trials, share)
    test_index = available[keep]
    if like is not None and (len(keep) < len(available) or conditional != like.conditional):
        raise DataError(
            f"{len(keep)} of the {len(available)} held-out trials of the earlier comparison have a counterpart among "
            f"the {generated.n_trials} generated trials; generate as many of each condition, or begin with "
            "the smallest set."
        )
    if len(keep) < len(available):
        warnings.append(
            f"{len(keep)} of the {len(available)} real trials of the split '{test_split}' are compared: there are too "
            "few generated trials, or fewer than twice as many training trials."
        )
    if len(test_index) == 0:
        raise DataError(
            "no held-out trial has a generated trial of its condition; generate for the conditions of the held-out "
            "trials, or leave the condition column out of the generated data."
        )
    test = TrialSet(real.counts[test_index], real.lengths[test_index], group[test_index])
    train = TrialSet(real.counts[train_index], real.lengths[train_index], group[train_index])
    pool = TrialSet(generated.counts, generated.lengths, own)
    val_index = np.asarray(real.splits.get("val", np.zeros(0, np.int64)), dtype=np.int64)
    val = TrialSet(real.counts[val_index], real.lengths[val_index], group[val_index])
    unit = dependence_units(real)
    units = unit[train_index], unit[val_index], unit[test_index], dependence_units(generated)
    paired = Pairing(train, val, test, pool, *units, test_index, train_index, int(group.max()) + 1, conditional, ())

    lengths = test.lengths.copy()
    strata = paired._strata(own)
    for slots, members in strata:
        lengths[slots] = feasible(pool.lengths[members], lengths[slots])
    if (lengths < test.lengths).any():
        warnings.append(
            f"generated trials are shorter than real ones ({pool.lengths.min()}-{pool.lengths.max()} against "
            f"{test.lengths.min()}-{test.lengths.max()} bins): {(lengths < test.lengths).sum()} real trials were "
            "cut to the length of their counterpart."
        )
    longest = int(lengths.max())
    spare = [
        pool.lengths[members[assign(pool.lengths[members], lengths[slots])]] > lengths[slots]
        for slots, members in strata
    ]
    if any(each.any() for each in spare):
        warnings.append(
            f"generated trials longer than their real counterpart were cut to its length (at most {longest} bins)."
        )
    return Pairing(
        crop(cut(train, np.minimum(train.lengths, longest)), longest),
        crop(cut(val, np.minimum(val.lengths, longest)), longest),
        crop(cut(test, lengths), longest),
        crop(cut(pool, np.minimum(pool.lengths, longest)), longest),
        *units,
        test_index,
        train_index,
        paired.n_conditions,
        conditional,
        tuple(warnings),
    )


def _condition_codes(
    real: SpikeData, generated: SpikeData, test_index: np.ndarray, warnings: list[str]
) -> tuple[np.ndarray, np.ndarray, bool]:
    """Condition codes of real and generated trials, and whether the two can be matched by them."""
    none = np.zeros(real.n_trials, np.int64), np.zeros(generated.n_trials, np.int64), False
    if "condition" not in real.trials:
        return none
    labels = _labels(real.trials)
    if len(np.unique(labels)) > real.n_trials / 2:
        warnings.append("conditions were ignored: nearly every real trial has its own.")
        return none
    if "condition" not in generated.trials:
        warnings.append("generated trials carry no condition: both sides are treated as one condition.")
        return pd.factorize(labels)[0], none[1], False
    codes = pd.factorize(np.concatenate([labels, _labels(generated.trials)]))[0]
    group, own = codes[: real.n_trials], codes[real.n_trials :]
    if not np.isin(group[test_index], own).any():
        warnings.append("generated and held-out trials have no condition in common: both are treated as one condition.")
        return group, none[1], False
    return group, own, True


def _labels(trials: pd.DataFrame) -> np.ndarray:
    """Conditions as text, so that 45, 45.0 and "45" from different files are the same condition."""
    column = pd.Series(trials["condition"])
    number = np.asarray(pd.to_numeric(column, errors="coerce"), dtype=float)
    text = column.astype(str).to_numpy(dtype=str)
    return np.array([t if np.isnan(x) else f"{x:.9g}" for x, t in zip(number, text)])


def _balanced(
    group: np.ndarray,
    train_index: np.ndarray,
    test_index: np.ndarray,
    own: np.ndarray | None,
    n_generated: int,
    share: int,
) -> np.ndarray:
    """Places in ``test_index`` of the held-out trials for which both other sets have enough trials.

    Args:
        group: Condition of every real trial.
        train_index: Training trials.
        test_index: Held-out trials.
        own: Condition of every generated trial; None where they are not matched.
        n_generated: Number of generated trials.
        share: How many times as many training trials each held-out one needs.
    """
    code = group[test_index]
    room = np.full(group.max() + 1, len(test_index))
    if np.isin(code, group[train_index]).all():
        room = np.minimum(room, np.maximum(np.bincount(group[train_index], minlength=len(room)) // share, 1))
    if own is not None:
        room = np.minimum(room, np.bincount(own, minlength=len(room))[: len(room)])
    order = np.argsort(code, kind="stable")
    rank = np.empty(len(code), np.int64)
    rank[order] = np.arange(len(code)) - np.searchsorted(code[order], code[order])
    keep = np.flatnonzero(rank < room[code])
    return keep[: min(max(len(train_index) // share, 1), n_generated)]


def dependence_units(data: SpikeData) -> np.ndarray:
    """A number for each trial, the same for those that depend on each other: windows of one stretch of recorded time.

    Where a recording consists of a few long stretches, consecutive windows are a unit, so many that errors have units
    enough.
    """
    if not {"source_trial", "source_bin"} <= set(data.trials):
        return np.arange(data.n_trials)
    source, bin_of = (data.trials[c].to_numpy() for c in ("source_trial", "source_bin"))
    segment = pd.factorize(source)[0]
    if segment.max() + 1 >= LEAST_UNITS:
        return segment
    order = np.lexsort((bin_of, segment))
    length = max(1, data.n_trials // LEAST_UNITS)
    unit = np.empty(data.n_trials, np.int64)
    offset = 0
    for members in np.split(order, np.flatnonzero(np.diff(segment[order])) + 1):
        run = np.arange(len(members)) // length
        unit[members] = offset + run
        offset += run.max() + 1
    return unit


def tied(unit: np.ndarray) -> bool:
    """Whether some trials depend on each other."""
    return len(np.unique(unit)) < len(unit)


def _whole_units(unit: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Trials of random units, as many as asked for; the last unit in part."""
    codes, place = np.unique(unit, return_inverse=True)
    order = np.argsort(rng.permutation(len(codes))[place], kind="stable")
    return order[:n]
