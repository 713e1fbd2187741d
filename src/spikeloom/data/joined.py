"""Recordings of the same neurons joined: the trials of one after those of the other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from spikeloom.data.spikedata import Signal, SpikeData
from spikeloom.errors import DataError


def join(first: SpikeData, second: SpikeData) -> SpikeData:
    """Trials of two recordings of the same neurons, in bins of the same width.

    Table of neurons and provenance are those of the first. A signal or trial column that only one has is missing for
    the trials of the other. Splits of the same name are united.

    Raises:
        DataError: If they differ in neurons or bins.

    Example:
        >>> ones = SpikeData(np.ones((2, 3, 4), int), 0.01, splits={"train": [0, 1]})
        >>> join(ones, SpikeData(np.ones((1, 5, 4), int), 0.01, splits={"test": [0]}))
        SpikeData: 3 trials x 3-5 bins of 10 ms x 4 neurons, 100 Hz mean rate; splits train 2, test 1
    """
    for what, one, other in (
        ("neurons", first.n_neurons, second.n_neurons),
        ("seconds in a bin", first.bin_s, second.bin_s),
    ):
        if one != other:
            raise DataError(
                f"recordings of {one:g} and of {other:g} {what} cannot be joined; choose the same neurons and bins."
            )
    n_bins = max(first.n_bins, second.n_bins)

    def stacked(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.concatenate([np.pad(v, ((0, 0), (0, n_bins - v.shape[1]), (0, 0))) for v in (a, b)])

    signals = {}
    for name in dict.fromkeys([*first.signals, *second.signals]):
        like = first.signals.get(name) or second.signals[name]
        parts = [_signal(data, name, like).values for data in (first, second)]
        signals[name] = Signal(stacked(*parts), like.unit, like.columns)
    splits = {
        name: np.r_[first.splits.get(name, []), np.asarray(second.splits.get(name, [])) + first.n_trials].astype(int)
        for name in dict.fromkeys([*first.splits, *second.splits])
    }
    return replace(
        first,
        counts=stacked(first.counts, second.counts),
        lengths=np.r_[first.lengths, second.lengths],
        signals=signals,
        trials=pd.concat([first.trials, second.trials], ignore_index=True),
        splits=splits,
        rates=None,
        latents=None,
    )


def _signal(data: SpikeData, name: str, like: Signal) -> Signal:
    if name in data.signals:
        return data.signals[name]
    return Signal(np.full((data.n_trials, data.n_bins, len(like.columns)), np.nan), like.unit, like.columns)
