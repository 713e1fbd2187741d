"""Windows shifted later at random, so that a model cannot learn the time of an event in them."""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Int

from spikeloom.data.comparisons import column_of
from spikeloom.data.options import LoadOptions

SEED = 0
COLUMN = "jitter_bins"
"""Trial column with the bins that each window begins later."""
DIGITS = 4
"""Bounds in bins are rounded to this many decimals before they are rounded down."""


def jitter_bins(trials: pd.DataFrame, options: LoadOptions, bin_s: float) -> Int[np.ndarray, "trial"]:
    """Bins by which each window is shifted later, as the Neural Latents Benchmark shifts those of DMFC_RSG.

    A shift is at most ``jitter_s``, and leaves the milliseconds before the event that ``jitter_room`` names in the
    window: with windows that end at go and intervals from set to go in that column, set stays inside. Both bounds are
    rounded down to bins. Shifts are that bound times one uniform number for each trial, rounded; the numbers are those
    of NumPy's legacy generator, seeded 0 for each split by itself, in the order of the table, whichever trials are
    loaded. Trials of the split "test", and those whose room is missing, are not shifted.

    The benchmark draws once for the trials a model is trained on and once for those it is tested on. These are the
    splits "train" and "val", and it is what is done here; where a model is trained on both and tested on "test", whose
    trials are not shifted, the benchmark draws for both at once, so that training trials have other shifts.

    Args:
        trials: All trials of the file.
        options: Gives ``jitter_s``, ``jitter_room`` and ``before_s``.
        bin_s: Width of a bin.

    Raises:
        DataError: If there is no column with the room.

    Example:
        >>> options = LoadOptions(align="go", before_s=1.5, after_s=0.0, jitter_s=0.3, jitter_room="tp")
        >>> jitter_bins(pd.DataFrame({"tp": [900.0, 1400.0, 1600.0]}), options, 0.02).tolist()
        [8, 4, 0]
    """
    most_ms = np.full(len(trials), 1000.0 * (options.jitter_s or 0.0))
    if options.jitter_room is not None:
        room_ms = column_of(trials, options.jitter_room, "trial").to_numpy(dtype=float)
        most_ms = np.nan_to_num(np.clip(1000.0 * (options.before_s or 0.0) - room_ms, 0.0, most_ms))
    bounds = np.floor(np.round(most_ms / (1000.0 * bin_s), DIGITS))
    shifts = np.zeros(len(trials), dtype=np.int64)
    split = trials["split"] if "split" in trials else pd.Series("", index=trials.index)
    codes = pd.factorize(split)[0]
    for code in np.unique(codes):
        rows = np.flatnonzero(codes == code)
        uniform = np.random.RandomState(SEED).random_sample(len(rows))
        shifts[rows] = np.round(uniform * bounds[rows]).astype(np.int64)
    shifts[(split == "test").to_numpy(dtype=bool)] = 0
    return shifts
