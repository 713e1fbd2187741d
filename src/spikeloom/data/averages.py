"""Averages over trials, which ignore padding."""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Float

from spikeloom.data.comparisons import column_of
from spikeloom.data.smoothing import smoothed
from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import DataError

MOST_GROUPS = 20
"""Most groups of trials whose lines can be distinguished in one figure."""


def group_rates(
    data: SpikeData, by: str | None = None, smooth_s: float | None = None
) -> tuple[Float[np.ndarray, "group time neuron"], list[str]]:
    """Mean rates in Hz of groups of trials, bin by bin over the trials that have the bin.

    Args:
        data: A recording.
        by: Trial column whose values are the groups; trials without a value are in none. All trials are one group when
            not given.
        smooth_s: Standard deviation in seconds of a Gaussian that counts are smoothed with first; none when not given.

    Returns:
        Rates, NaN where no trial of a group has the bin, and the name of each group; sorted, none without ``by``.

    Raises:
        DataError: If there is no such column, or if it has no value or too many different ones.
    """
    codes, labels = np.zeros(data.n_trials, dtype=np.int64), [""]
    if by is not None:
        codes, values = pd.factorize(column_of(data.trials, by, "trial"), sort=False)
        if not 1 <= len(values) <= MOST_GROUPS:
            raise DataError(
                f"the trial column '{by}' has {len(values)} different values; group trials by one with 1 to "
                f"{MOST_GROUPS}, such as a condition."
            )
        order = sorted(range(len(values)), key=lambda i: _natural(values[i]))
        codes = np.append(np.argsort(order), -1)[codes]
        labels = [f"{values[i]:g}" if isinstance(values[i], float) else str(values[i]) for i in order]
    counts = data.counts
    if smooth_s is not None:
        counts = smoothed(counts, data.lengths, smooth_s / data.bin_s)
    valid, rates = data.valid, np.full((len(labels), data.n_bins, data.n_neurons), np.nan, dtype=np.float32)
    for group, rate in enumerate(rates):
        n_trials = valid[codes == group].sum(axis=0)
        summed = counts[codes == group].sum(axis=0, dtype=np.float64)
        rate[n_trials > 0] = summed[n_trials > 0] / n_trials[n_trials > 0, None] / data.bin_s
    return rates, labels if by is not None else []


def _natural(value: object) -> tuple[int, float, str]:
    """Numbers in their order, then words in theirs."""
    number = isinstance(value, int | float | np.number)
    return (0, float(value), "") if number else (1, 0.0, str(value))  # type: ignore[arg-type]
