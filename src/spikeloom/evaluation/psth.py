"""Averages of spikes over trials of a condition, and how close those of rates are, as in the Neural Latents Benchmark.

Source: Pei et al. 2021, arXiv:2109.04463, and its published processing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int, Real, Shaped
from scipy.signal.windows import gaussian
from sklearn.metrics import r2_score

from spikeloom.errors import DataError

SHORTEST = 0.8
"""Share of its condition's mean length that a trial needs to be averaged."""


def psth(
    counts: Real[np.ndarray, "trial fine neuron"],
    lengths: Int[np.ndarray, "trial"],
    condition: Shaped[np.ndarray, "trial"],
    sd_bins: float,
    together: int = 1,
    part: Int[np.ndarray, "trial 2"] | None = None,
) -> dict[Any, Float[np.ndarray, "_ neuron"]]:
    """Averages of smoothed counts over the trials of each condition, in expected counts per bin.

    As the benchmark: smoothed by a Gaussian of ``int(6 sd)`` samples (an even number shifts by half a sample), trials
    shorter than four fifths of their condition's mean length left out, the rest cut to the shortest. The benchmark
    smooths at 1 ms and then takes bins together; give counts in bins of 1 ms to do the same.

    Args:
        counts: Spike counts of all trials of all splits.
        lengths: Valid bins of each trial.
        condition: What each trial was recorded under; a trial of which it is missing is in no average.
        sd_bins: Standard deviation of the kernel in bins of these counts.
        together: Bins that are summed after smoothing.
        part: First bin, and the one after the last, of the part of each trial that is averaged; such parts are aligned
            at their ends, and the shortest is what all are cut to. All of each trial, aligned at its start, when not
            given.

    Raises:
        DataError: If no trial has a condition.
    """
    kernel = gaussian(max(int(6 * sd_bins), 1), sd_bins)
    kernel /= kernel.sum()
    known = ~pd.isna(condition)
    if not known.any():
        raise DataError(f"no trial has a condition (all {len(known)} are missing); name another trial column.")
    stop = lengths if part is None else part[:, 1]
    size = lengths if part is None else part[:, 1] - part[:, 0]
    kept = known & (size > 0) & ~too_short(size, condition)
    found = {}
    for value in np.unique(condition[kept]):
        rows = np.flatnonzero(kept & (condition == value))
        n = int(size[rows].min()) // together * together
        last = np.full(len(rows), n) if part is None else stop[rows]
        smooth = [_smoothed(counts[row, : lengths[row]].astype(float), kernel) for row in rows]
        cut = np.stack([values[end - n : end] for values, end in zip(smooth, last)])
        found[value] = cut.mean(0).reshape(n // together, together, -1).sum(1)
    return found


def too_short(size: Int[np.ndarray, "trial"], condition: Shaped[np.ndarray, "trial"]) -> Bool[np.ndarray, "trial"]:
    """Trials shorter than four fifths of their condition's mean length, which are in no average."""
    short = np.zeros(len(size), dtype=bool)
    codes, values = pd.factorize(condition)
    for code in range(len(values)):
        rows = codes == code
        short[rows] = size[rows] < SHORTEST * size[rows].mean()
    return short


def psth_r2(
    rates: Float[np.ndarray, "trial time neuron"],
    condition: Shaped[np.ndarray, "trial"],
    psths: Mapping[Any, Float[np.ndarray, "_ neuron"]],
    jitter: Int[np.ndarray, "trial"] | None = None,
) -> float:
    """R2 of mean rates of each condition against its PSTH, conditions one after another, uniform mean over neurons.

    Args:
        rates: Rates of all neurons of the trials that are scored.
        condition: What each was recorded under; a condition that none of them has is left out.
        psths: What ``psth`` found; bins that are NaN in the first neuron are left out.
        jitter: Bins by which the window of each trial was shifted later than those that were averaged, or earlier if
            negative.

    Raises:
        DataError: If no trial has a condition with a PSTH, or rates are missing where there is one.
    """
    jitter = np.zeros(len(rates), dtype=np.int64) if jitter is None else jitter
    truth, found = [], []
    for value, of_spikes in psths.items():
        rows = np.flatnonzero(condition == value)
        if len(rows):
            n = min(len(of_spikes), rates.shape[1])
            keep = np.isfinite(of_spikes[:n, 0])
            truth.append(of_spikes[:n][keep])
            found.append(np.mean([_shifted(rates[row], int(jitter[row]))[:n] for row in rows], axis=0)[keep])
    if not truth:
        raise DataError("none of the scored trials has a condition with a PSTH; name another condition.")
    if not np.isfinite(np.concatenate(found)).all():
        raise DataError(
            "rates are missing in bins that averages have; look at the model, or at how trials are shifted."
        )
    return float(r2_score(np.concatenate(truth), np.concatenate(found)))


def at_end(values: Float[np.ndarray, "fine neuron"], n_bins: int) -> Float[np.ndarray, "_ neuron"]:
    """Values at the end of so many bins, NaN before them."""
    return np.concatenate([np.full((n_bins - len(values), values.shape[1]), np.nan), values])


def _shifted(values: np.ndarray, bins: int) -> np.ndarray:
    """Rows moved later, or earlier if negative; NaN where none moved to."""
    moved = np.full(values.shape, np.nan)
    n = max(len(values) - abs(bins), 0)
    moved[max(bins, 0) : max(bins, 0) + n] = values[max(-bins, 0) : max(-bins, 0) + n]
    return moved


def _smoothed(values: Float[np.ndarray, "fine neuron"], kernel: np.ndarray) -> Float[np.ndarray, "fine neuron"]:
    """Every column convolved; where the kernel is longer than the trial, the middle of what comes out."""
    full = np.stack([np.convolve(column, kernel) for column in values.T], axis=1)
    first = (len(kernel) - 1) // 2
    return np.maximum(full[first : first + len(values)], 0)
