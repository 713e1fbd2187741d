"""Splits of a recording into training, validation and test trials: those it brings, and the default ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd
from jaxtyping import Int

from spikeloom.data.blocks import contiguous_blocks, even, guard_gap_s
from spikeloom.data.holdout import HELDOUT
from spikeloom.data.identical import identical_across
from spikeloom.data.recorded_time import RecordedTime, recorded_time
from spikeloom.data.spikedata import DEFAULT_FRACTIONS, SpikeData
from spikeloom.errors import DataError, warn

DEFAULT_SPLIT_SEED = 0
"""Seed of the splits that are made where a recording brings none; every command makes the same."""
HELD_OUT = ("val", "test", HELDOUT)
"""Splits that training must not have seen, and that must not have seen each other; others may be of any trials."""


def named_splits(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """Splits from a trial column "split", as the Neural Latents Benchmark keeps them; "none" marks unused trials."""
    if "split" not in table or pd.api.types.is_numeric_dtype(table["split"].dtype):
        return {}
    names = [v for v in table["split"].dropna().unique() if v not in ("", "none")]
    return {str(n): np.flatnonzero((table["split"] == n).to_numpy(bool)) for n in names}


def assigned_at_random(data: SpikeData, fractions: Mapping[str, float], by: str | None, seed: int) -> SpikeData:
    """Assign every trial to a split at random, see ``SpikeData.assign_splits``."""
    if by is None and "condition" in data.trials:
        by = "condition"
    if by is not None and by not in data.trials:
        raise DataError(f"there is no trial column '{by}' (columns: {', '.join(map(str, data.trials)) or 'none'}).")
    rng = np.random.default_rng(seed)
    order = rng.permutation(data.n_trials)
    if by is not None:
        groups = pd.factorize(data.trials[by])[0][order]
        order = order[np.argsort(groups, kind="stable")]
    # Trials lie in (group, random) order; a regular comb over that order gives each group its share of each split.
    shares = np.array(list(fractions.values()), dtype=float)
    edges = np.cumsum(shares / shares.sum())
    comb = (np.arange(data.n_trials) * 0.6180339887498949 + rng.random()) % 1.0
    if by is None:
        comb = np.argsort(np.argsort(comb)) / data.n_trials  # exact shares when nothing has to be balanced
    which = np.minimum(np.searchsorted(edges, comb, side="right"), len(edges) - 1)
    splits = {name: np.sort(order[which == i]) for i, name in enumerate(fractions)}
    return replace(data, splits={k: v for k, v in splits.items() if len(v)})


def with_default_splits(data: SpikeData, split: str | None = None) -> SpikeData:
    """The recording with the splits train, val and test, the same for every command.

    Without splits, 70 %, 10 % and 20 % of the trials are assigned: of a continuous recording that was cut into windows,
    in contiguous blocks of recorded time with a gap between them; of trials, at random with seed 0, balanced over
    "condition" if there is such a column. Trials that share recorded time are kept in one split; where that would tie
    too many together, trials are divided into blocks as well, and those that share time with another split are in none.
    What was dropped is noted in the provenance.

    Splits that the recording brings are kept: a missing val or test is taken from train in the proportion it has by
    default, and a missing train is every trial that no split names.

    Args:
        data: A recording.
        split: "blocks" or "random" to make train, val and test in this way, in place of those that the recording has.

    Raises:
        DataError: If there are too few trials to give each split one, or if trials of different splits that the
            recording brings share recorded time.

    Example:
        >>> with_default_splits(SpikeData(np.ones((10, 5, 2), int), bin_s=0.01))
        SpikeData: 10 trials x 5 bins of 10 ms x 2 neurons, 100 Hz mean rate; splits train 7, val 1, test 2
    """
    notes: list[str] = []
    splits = {name: np.asarray(v) for name, v in data.splits.items() if len(v)}
    if split is not None:
        replaced = [name for name in splits if name in DEFAULT_FRACTIONS]
        splits = {name: v for name, v in splits.items() if name not in replaced}
        if replaced:
            notes.append(f"the splits {', '.join(replaced)} of the recording were replaced (split={split})")
    time = recorded_time(data)
    if "train" not in splits:
        named = np.concatenate([np.zeros(0, dtype=np.int64), *splits.values()])
        splits["train"] = _not_near(time, np.setdiff1d(np.arange(data.n_trials), named), named, notes)
    missing = [name for name in DEFAULT_FRACTIONS if name not in splits]
    if len(splits["train"]) < 1 + len(missing):
        raise DataError(
            f"{len(splits['train'])} of {data.n_trials} trials are left for the splits "
            f"{', '.join(['train', *missing])}, and each needs one; at least three trials make a recording that can "
            "be fitted and tested: cut long trials with window_s."
        )
    leaks = shared_time(replace(data, splits=splits))
    if missing:
        splits |= _carve(data, time, splits["train"], missing, split, notes)
    order = [*DEFAULT_FRACTIONS, *(name for name in splits if name not in DEFAULT_FRACTIONS)]
    held_out = np.concatenate([v for name, v in splits.items() if name in HELD_OUT])
    leaks += identical_across(data, splits["train"], held_out)
    known = data.provenance.get("notes", [])
    for leak in leaks:
        if leak not in known:
            warn(f"{leak}.")
    made = replace(data, splits={name: splits[name] for name in order})
    return made.with_notes([note for note in [*notes, *leaks] if note not in known])


def cut_from_longer(data: SpikeData) -> bool:
    """Whether the trials are windows of longer stretches, several of each, rather than trials around events."""
    return "windows" in data.provenance and bool(pd.Series(data.trials.get("source_trial")).duplicated().any())


# -- trials that share time ----------------------------------------------------------------------------------------


def _not_near(
    time: RecordedTime | None, rows: Int[np.ndarray, "row"], named: Int[np.ndarray, "other"], notes: list[str]
) -> Int[np.ndarray, "kept"]:
    """The rows without those that share time with trials of another split."""
    shares = np.zeros(len(rows), dtype=bool) if time is None else time.near(rows, named)
    if shares.any():
        notes.append(_dropped(int(shares.sum())))
    return rows[~shares]


def _dropped(n: int) -> str:
    return f"{n} trials that share recorded time with another split were dropped: they belong to no split"


def shared_time(data: SpikeData) -> list[str]:
    """Refuse splits that share recorded time; those of a published recording stay as published, which is told.

    Args:
        data: A recording with splits.

    Returns:
        What a reader must know.

    Raises:
        DataError: If trials of different splits share recorded time.
    """
    time, splits = recorded_time(data), data.splits
    if time is None:
        return []
    for first, second in combinations([name for name in ("train", *HELD_OUT) if name in splits], 2):
        shared = splits[second][time.near(splits[second], splits[first])]
        if not len(shared):
            continue
        other = next(i for i in splits[first] if time.near(shared[:1], np.array([i]))[0])
        found = (
            f"{len(shared)} trials of the split '{second}' share recorded time with trials of '{first}', such as trial "
            f"{shared[0]} ({_interval(time, shared[0])}) with trial {other} ({_interval(time, other)})"
        )
        if "dataset" in data.provenance:
            return [f"{found}; these splits are those of the publication"]
        raise DataError(
            f"{found}, so what is held out would be trained on; cut shorter trials, leave some out, or let splits be "
            "made with split=blocks."
        )
    return []


def _interval(time: RecordedTime, trial: np.int64) -> str:
    return f"{time.start_s[trial]:.6g} to {time.stop_s[trial]:.6g} s"


# -- new splits ------------------------------------------------------------------------------------------------------


def _carve(
    data: SpikeData,
    time: RecordedTime | None,
    train: Int[np.ndarray, "row"],
    missing: list[str],
    split: str | None,
    notes: list[str],
) -> dict[str, np.ndarray]:
    """Divide the training trials into train and the splits that are missing."""
    fractions = {name: share for name, share in DEFAULT_FRACTIONS.items() if name == "train" or name in missing}
    windows = cut_from_longer(data)
    if split == "blocks" or (split is None and windows):
        return _in_blocks(data, time, train, fractions, notes)
    if windows:
        notes.append(
            "windows of a continuous recording were split at random: neighbours of test windows are trained on"
        )
    groups = np.arange(len(train)) if time is None else time.groups(train)
    if groups.max() == len(train) - 1:
        return _at_random(data, train, fractions)
    parts = _groups_at_random(data, train, groups, fractions)
    if even(parts, {name: _share(fractions, name) for name in fractions}) and all(map(len, parts.values())):
        tied = int((np.bincount(groups)[groups] > 1).sum())
        notes.append(f"{tied} trials share recorded time with others, with which they are in the same split")
        return parts
    if split == "random":
        raise DataError(
            f"{int(np.bincount(groups).max())} of {len(train)} trials share recorded time in one chain, so a random "
            "split would train on what is held out; cut trials that do not overlap, or leave split=random out."
        )
    return _in_blocks(data, time, train, fractions, notes)


def _in_blocks(
    data: SpikeData,
    time: RecordedTime | None,
    train: Int[np.ndarray, "row"],
    fractions: Mapping[str, float],
    notes: list[str],
) -> dict[str, np.ndarray]:
    ordered = time is not None
    if time is None:  # trials follow each other in a file as they were recorded, at times that are unknown
        rows = np.arange(data.n_trials)
        time = RecordedTime(rows, np.zeros(data.n_trials), data.lengths * data.bin_s, 0.0)
    windows = cut_from_longer(data)
    source = data.trials["source_trial"].to_numpy() if windows else time.piece
    blocks = contiguous_blocks(time, train, fractions, guard_gap_s(time, train) if windows else 0.0, source)
    if blocks is None:
        raise DataError(
            f"{len(train)} trials cannot be divided into {', '.join(fractions)} without shared recorded time; cut "
            "shorter trials, or use a longer recording."
        )
    made = f"{', '.join(fractions)} are {blocks.n_blocks} contiguous blocks of the recording"
    if not ordered:
        made += ", in the order of its trials"
    if blocks.gap_s and blocks.n_dropped:
        made += f"; {blocks.n_dropped} windows less than {blocks.gap_s:g} s from another split belong to no split"
    elif windows and not blocks.gap_s:
        made += "; it is too short for a gap between them"
    notes.append(made)
    if blocks.n_dropped and not blocks.gap_s:
        notes.append(_dropped(blocks.n_dropped))
    return dict(blocks.parts)


def _at_random(data: SpikeData, train: Int[np.ndarray, "row"], fractions: Mapping[str, float]) -> dict[str, np.ndarray]:
    part = data.select(trials=train).assign_splits(fractions, seed=DEFAULT_SPLIT_SEED)
    parts = {name: list(train[part.splits[name]]) if name in part.splits else [] for name in fractions}
    for name in fractions:  # a few trials may leave a split without any: it gets one from the largest
        if not parts[name]:
            largest = max(fractions, key=lambda n: len(parts[n]))
            parts[name].append(parts[largest].pop())
    return {name: np.sort(np.array(indices, dtype=np.int64)) for name, indices in parts.items()}


def _groups_at_random(
    data: SpikeData, train: Int[np.ndarray, "row"], groups: Int[np.ndarray, "row"], fractions: Mapping[str, float]
) -> dict[str, np.ndarray]:
    """Whole groups, each to the split that lacks most: large ones first, then by condition and at random."""
    rng = np.random.default_rng(DEFAULT_SPLIT_SEED)
    size, first = np.bincount(groups), np.unique(groups, return_index=True)[1]
    condition = np.zeros(len(size), dtype=np.int64)
    if "condition" in data.trials:
        condition = pd.factorize(data.trials["condition"])[0][train[first]]
    names, shares = list(fractions), np.array([_share(fractions, name) for name in fractions])
    got, split_of = np.zeros(len(names)), np.zeros(len(size), dtype=np.int64)
    for group in np.lexsort((rng.random(len(size)), condition, np.where(size > 1, -size, 0))):
        lacks = shares * (got.sum() + size[group]) - got
        split_of[group] = lacks.argmax()
        got[split_of[group]] += size[group]
    return {name: train[split_of[groups] == i] for i, name in enumerate(names)}


def _share(fractions: Mapping[str, float], name: str) -> float:
    return fractions[name] / sum(fractions.values())
