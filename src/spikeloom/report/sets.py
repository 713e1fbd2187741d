"""The sets of trials that figures draw over each other: the trials of the comparison, with names and colours."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Int

from spikeloom.data.spikedata import SpikeData
from spikeloom.evaluation.pairing import Pairing, pair
from spikeloom.evaluation.summary import TrialSet


class ComparedTrials(NamedTuple):
    """As many trials of each kind, of the same conditions and lengths.

    Attributes:
        held_out: Held-out real trials.
        generated: Generated trials.
        floor: Training trials: real against real is the noise floor.
    """

    held_out: SpikeData
    generated: SpikeData
    floor: SpikeData


def compared_trials(real: SpikeData, generated: SpikeData, seed: int) -> ComparedTrials:
    """Held-out and generated trials of the comparison with the same seed, and as many training trials.

    Generated trials are cut to the length of their held-out counterparts, so that differences are differences and not
    sample sizes.

    Args:
        real: Recording with its splits.
        generated: Generated trials.
        seed: Seed of the comparison.

    Raises:
        DataError: If the two cannot be compared.
    """
    # The seeds of `compare`, so that the figures show the trials that were compared.
    pairing = pair(real, generated, np.random.default_rng([seed, 0]))
    other, _ = pairing.draw_train(np.random.default_rng([seed, 1]))
    drawn, _ = pairing.draw_generated(np.random.default_rng([seed, 2]))
    labels = _condition_labels(real, pairing)
    # Windows cut from longer stretches share no time, so that averages over them mean nothing.
    labelled = bool(labels) and len(set(labels.values())) <= real.n_trials / 2 and "source_bin" not in real.trials

    def as_data(trials: TrialSet, labelled: bool) -> SpikeData:
        table = pd.DataFrame({"condition": [labels[code] for code in trials.condition.tolist()]}) if labelled else None
        return SpikeData(trials.counts, real.bin_s, trials.lengths, trials=table)  # type: ignore[arg-type]

    return ComparedTrials(
        as_data(pairing.test, labelled),
        as_data(drawn, labelled and pairing.conditional),
        as_data(other, labelled),
    )


def _condition_labels(real: SpikeData, pairing: Pairing) -> dict[int, Any]:
    """Condition of each condition code."""
    if "condition" not in real.trials:
        return {}
    conditions = real.trials["condition"]
    labels = dict(zip(pairing.test.condition.tolist(), conditions.iloc[pairing.test_index]))
    return labels | dict(zip(pairing.train.condition.tolist(), conditions.iloc[pairing.train_index]))


def condition_codes(data: SpikeData) -> Int[np.ndarray, "trial"] | None:
    """Whole numbers that group trials by their condition; None for trials without."""
    if "condition" not in data.trials:
        return None
    return np.unique(data.trials["condition"].astype(str), return_inverse=True)[1].astype(np.int64)
