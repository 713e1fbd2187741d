"""How well decoders read behaviour from spikes, with errors over trials, and the choice of their settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from spikeloom.data.spikedata import SpikeData
from spikeloom.decoding.protocol import Decoding, known_bins, labels_of, signal_of
from spikeloom.errors import DataError

FEWEST_GROUPS = 20
"""With fewer pieces of a recording than this, errors are taken over trials."""
SOURCE_TRIAL = "source_trial"
"""Trial column with the piece of a recording that a window was cut from."""


@dataclass(frozen=True, eq=False)
class DecoderScore:
    """How well a target is decoded.

    Attributes:
        value: R2, the uniform mean over the dimensions of a signal; of labels, the share that is right.
        influence: Contribution of each group of trials to the error of the value. That of a difference between two
            decoders on the same trials is the difference of their influences, as in a paired test.
    """

    value: float
    influence: Float[np.ndarray, "group"]

    @property
    def se(self) -> float:
        """Standard error of the value over groups of trials."""
        return standard_error(self.influence)


def standard_error(influence: Float[np.ndarray, "group"]) -> float:
    """Standard error of a value from the contributions of groups of trials (linearised, Cochran 1977, section 6.4)."""
    n = len(influence)
    return float(np.sqrt(n / (n - 1) * np.square(influence).sum())) if n > 1 else float("nan")


def score_decoder(decoding: Decoding, data: SpikeData, reference: SpikeData | None = None) -> DecoderScore:
    """Decode trials and compare with the true, or the requested, signal or label.

    Args:
        decoding: A fitted decoder.
        data: Trials whose spikes are decoded.
        reference: As many trials, as long, with the signal or label to compare with; the same trials when not given.

    Raises:
        DataError: If the signal does not vary in these trials.
    """
    truth, groups = reference or data, groups_of(data)
    if decoding.target in truth.signals:
        return _explained(decoding.decode(data), truth, decoding.target, groups)
    right = (decoding.decode(data) == labels_of(truth, decoding.target)).astype(float)
    return DecoderScore(float(right.mean()), np.bincount(groups, right - right.mean()) / len(right))


def _explained(decoded: np.ndarray, truth: SpikeData, name: str, groups: np.ndarray) -> DecoderScore:
    known = known_bins(truth, name)
    values = signal_of(truth, name)
    decoded = np.asarray(decoded)
    decoded = decoded[:, None] if decoded.ndim == 1 else decoded  # as some regressions return a single dimension
    if decoded.shape != (int(truth.valid.sum()), values.shape[2]):
        raise DataError(
            f"the decoder returned an array of shape {decoded.shape}, but the signal '{name}' needs (valid bin, dim), "
            f"which is {(int(truth.valid.sum()), values.shape[2])}; return one row for every valid bin."
        )
    true = values[known].astype(np.float64)
    group = np.broadcast_to(groups[:, None], known.shape)[known]
    off_mean = true - true.mean(0) if len(true) else true
    missed, varied = (
        np.stack([np.bincount(group, each, minlength=groups.max() + 1) for each in np.square(values).T], axis=1)
        for values in (true - decoded[known[truth.valid]], off_mean)
    )
    total = varied.sum(0)
    if not (total > 0).all():
        raise DataError(f"the signal '{name}' does not vary in the trials that are decoded; choose other trials.")
    share = missed.sum(0) / total
    return DecoderScore(float(1 - share.mean()), -((missed - share * varied) / total).mean(1))


def groups_of(data: SpikeData) -> Int[np.ndarray, "trial"]:
    """Trials that belong together, as numbers: windows of one piece of a recording, because they are alike."""
    if SOURCE_TRIAL in data.trials:
        groups = np.unique(data.trials[SOURCE_TRIAL].to_numpy(), return_inverse=True)[1]
        if groups.max() + 1 >= FEWEST_GROUPS:
            return groups.astype(np.int64)
    return np.arange(data.n_trials)


def tune_decoder(
    decoder: Any, train: SpikeData, validation: SpikeData, target: str, tried: Callable[[], None] = lambda: None
) -> Any:
    """The decoder with the settings that score best on validation trials.

    Args:
        decoder: A ``Decoder``.
        train: Real trials to fit.
        validation: Real trials on which settings are chosen.
        target: Signal or trial column.
        tried: Called when a candidate has been tried.
    """
    candidates = list(decoder.candidates())
    if len(candidates) == 1:
        return candidates[0]
    scores = []
    for candidate in candidates:
        scores.append(score_decoder(candidate.fit(train, target), validation).value)
        tried()
    return candidates[int(np.argmax(scores))]
