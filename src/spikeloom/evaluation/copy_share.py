"""How many generated trials are copies: near ones by their nearest neighbours, exact ones by comparison."""

from __future__ import annotations

from collections import Counter

import numpy as np
from jaxtyping import Bool, Float

from spikeloom.evaluation.summary import TrialSet


def copy_share(
    squared: Float[np.ndarray, "sample real"],
    in_train: Bool[np.ndarray, "real"],
    conditions: tuple[np.ndarray, np.ndarray] | None,
) -> tuple[float, float]:
    """Excess share of training trials among nearest neighbours, and its standard error without copying."""
    if conditions is None:
        chance = np.full(len(in_train), in_train.mean())
        expected = float(in_train.mean())
    else:
        codes = np.unique(conditions[1])
        share = np.array([in_train[conditions[1] == c].mean() for c in codes])
        chance = share[np.searchsorted(codes, conditions[1])]
        expected = float(share[np.searchsorted(codes, conditions[0])].mean())
    nearest = squared.min(axis=1, keepdims=True)
    finite = np.isfinite(squared)
    scale = np.where(finite, squared, 0).max(axis=1, keepdims=True)
    tied = (squared <= nearest + 1e-6 * scale).astype(np.float32)
    tied /= tied.sum(axis=1, keepdims=True)
    observed = float(tied[:, in_train].sum() / len(squared))
    weight = tied.mean(axis=0)  # many samples around one hub trial count as one observation
    if not 0 < expected < 1:
        return float("nan"), float("nan")
    se = float(np.sqrt((chance * (1 - chance) * weight**2).sum())) / (1 - expected)
    return (observed - expected) / (1 - expected), se


def duplicates(generated: TrialSet, train: TrialSet, test: TrialSet) -> tuple[int, int, float]:
    """Generated and held-out trials identical to a training trial, and how many generated ones would be by chance.

    Chance is known from held-out trials and, where those are few, from training trials that repeat each other.
    """
    n_bins = min(t.counts.shape[1] for t in (generated, train, test))
    dtype = np.result_type(generated.counts, train.counts, test.counts)
    keys = [
        [trial[:n_bins].astype(dtype, copy=False).tobytes() for trial in trials.counts]
        for trials in (generated, train, test)
    ]
    known = Counter(keys[1])
    found, baseline = (sum(key in known for key in of) for of in (keys[0], keys[2]))
    repeated = sum(n for n in known.values() if n > 1)
    n_real = len(keys[1]) + len(keys[2])
    return found, baseline, (baseline + repeated) / max(n_real, 1) * len(keys[0])
