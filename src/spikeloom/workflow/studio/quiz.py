"""Is it real? Rasters of held-out and of generated trials in random order, and how well a person tells them apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from spikeloom.errors import ConfigError
from spikeloom.evaluation.roc import delong
from spikeloom.workflow.studio.answer import packed
from spikeloom.workflow.studio.system import System

RASTERS = 10
"""Trials of a round."""
FEWEST_OF_A_KIND = 3
"""Trials of either kind in a round of ten at least."""
MOST_ROUNDS = 100


def quiz(system: System, seed: int) -> dict[str, Any]:
    """The rasters of a round, without saying which are generated.

    Args:
        system: The run.
        seed: Number of the round.
    """
    real, generated, _ = system.compared
    chosen, fake = _round(system, seed)
    shown = [(generated if is_fake else real)[int(trial)] for trial, is_fake in zip(chosen, fake)]
    trials = [{"bins": d.n_bins, "lengths": d.lengths.tolist(), "n": 1, "counts": _counts(d)} for d in shown]
    return {"seed": seed, "rasters": trials}


def answers(system: System, rounds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Which trials of some rounds were generated, and the AUC of a person who said so.

    Args:
        system: The run.
        rounds: Each with the "seed" of a round and what was "said": for each raster whether it is generated.

    Raises:
        ConfigError: If there is not an answer for each raster.
    """
    if not 1 <= len(rounds) <= MOST_ROUNDS:
        raise ConfigError(f"{len(rounds)} rounds were handed in; give 1 to {MOST_ROUNDS}.")
    truths, said = [], []
    for each in rounds:
        truth, words = _round(system, int(each["seed"]))[1], list(each["said"])
        if len(words) != len(truth):
            raise ConfigError(f"a round has {len(truth)} rasters, but {len(words)} answers were given; give one each.")
        truths.append(truth)
        said.append(np.array(words, bool))
    fake, claimed = np.concatenate(truths), np.concatenate(said)
    # Without a mistake the error is 0, which says only that the trials were few: no interval.
    auc, error = delong(claimed[fake].astype(float), claimed[~fake].astype(float))
    return {
        "generated": truths[-1].tolist(),
        "right": int((fake == claimed).sum()),
        "of": len(fake),
        "auc": round(auc, 3),
        "within": [round(float(np.clip(auc + side * 1.96 * error, 0, 1)), 3) for side in (-1, 1)]
        if error > 0
        else None,
    }


def _round(system: System, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Places of the trials of a round, and which of them are generated."""
    real = system.compared[0]
    rng = np.random.default_rng([seed, 0x9012])
    n = min(RASTERS, real.n_trials)
    chosen = rng.permutation(real.n_trials)[:n]
    fewest = min(FEWEST_OF_A_KIND, n // 2)
    n_fake = int(rng.integers(fewest, n - fewest + 1))
    return chosen, rng.permutation(np.arange(n) < n_fake)


def _counts(trial: Any) -> str:
    return packed(np.minimum(trial.counts, 255).astype(np.uint8))
