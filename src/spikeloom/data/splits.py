"""Splits of a recording into training, validation and test trials: those it brings, and the default ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from spikeloom.data.spikedata import DEFAULT_FRACTIONS, SpikeData
from spikeloom.errors import DataError

DEFAULT_SPLIT_SEED = 0
"""Seed of the splits that are made where a recording brings none; every command makes the same."""


def named_splits(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """Splits from a trial column "split", as the Neural Latents Benchmark keeps them; "none" marks unused trials."""
    if "split" not in table or pd.api.types.is_numeric_dtype(table["split"].dtype):
        return {}
    names = [v for v in table["split"].dropna().unique() if v not in ("", "none")]
    return {str(n): np.flatnonzero((table["split"] == n).to_numpy(bool)) for n in names}


def with_default_splits(data: SpikeData) -> SpikeData:
    """The recording with the splits train, val and test, the same for every command.

    Without splits, trials are assigned 70 %, 10 % and 20 % at random with seed 0, balanced over "condition" if there is
    such a column. Splits that the recording brings are kept: a missing val or test is taken from train in the
    proportion it has by default, and a missing train is every trial that no split names.

    Raises:
        DataError: If there are too few trials to give each split one.

    Example:
        >>> with_default_splits(SpikeData(np.ones((10, 5, 2), int), bin_s=0.01))
        SpikeData: 10 trials x 5 bins of 10 ms x 2 neurons, 100 Hz mean rate; splits train 7, val 1, test 2
    """
    splits = {name: np.asarray(v) for name, v in data.splits.items() if len(v)}
    if not set(splits) & set(DEFAULT_FRACTIONS):
        _check_overlap(data)
    if "train" not in splits:
        named = np.concatenate([np.zeros(0, dtype=np.int64), *splits.values()])
        splits["train"] = np.setdiff1d(np.arange(data.n_trials), named)
    missing = [name for name in DEFAULT_FRACTIONS if name not in splits]
    if len(splits["train"]) < 1 + len(missing):
        raise DataError(
            f"{len(splits['train'])} of {data.n_trials} trials are left for the splits "
            f"{', '.join(['train', *missing])}, and each needs one; at least three trials make a recording that can "
            "be fitted and tested: cut long trials with window_s."
        )
    if missing:
        splits |= _carve(data, splits["train"], missing)
    order = [*DEFAULT_FRACTIONS, *(name for name in splits if name not in DEFAULT_FRACTIONS)]
    return replace(data, splits={name: splits[name] for name in order})


def _check_overlap(data: SpikeData) -> None:
    """Windows that share bins cannot be split at random: test bins would be trained on."""
    if not {"source_trial", "source_bin"} <= set(data.trials):
        return
    order = data.trials.sort_values(["source_trial", "source_bin"])
    start, source = order["source_bin"].to_numpy(), order["source_trial"].to_numpy()
    lengths = data.lengths[order.index.to_numpy()]
    overlap = (source[1:] == source[:-1]) & (start[:-1] + lengths[:-1] > start[1:])
    if overlap.any():
        raise DataError(
            f"{overlap.sum()} windows share bins with the one before, so a random split would put test bins into "
            "training; cut windows without overlap (step_s at least window_s), or bring splits of whole trials."
        )


def _carve(data: SpikeData, train: np.ndarray, missing: list[str]) -> dict[str, np.ndarray]:
    """Divide the training trials into train and the splits that are missing."""
    names = [name for name in DEFAULT_FRACTIONS if name == "train" or name in missing]
    part = data.select(trials=train).assign_splits(
        {name: DEFAULT_FRACTIONS[name] for name in names}, seed=DEFAULT_SPLIT_SEED
    )
    parts = {name: list(train[part.splits[name]]) if name in part.splits else [] for name in names}
    for name in names:  # a few trials may leave a split without any: it gets one from the largest
        if not parts[name]:
            largest = max(names, key=lambda n: len(parts[n]))
            parts[name].append(parts[largest].pop())
    return {name: np.sort(np.array(indices, dtype=np.int64)) for name, indices in parts.items()}
