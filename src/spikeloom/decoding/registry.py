"""The decoders that can be named, each with what is chosen for all alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from spikeloom.decoding.kalman import Kalman
from spikeloom.decoding.label import LabelDecoder
from spikeloom.decoding.protocol import Inputs
from spikeloom.decoding.ridge import LaggedRidge

LAGS = 20
"""Bins that the Wiener filter looks at."""


@dataclass(frozen=True)
class Choices:
    """Options that all decoders share."""

    smooth_s: float = 0.05
    """Standard deviation in seconds of the Gaussian that smooths counts."""
    causal: bool = False
    """Whether a bin is decoded from itself and earlier ones only."""
    device: str = "cpu"
    """Where networks are trained."""

    @property
    def inputs(self) -> Inputs:
        """How counts are smoothed for decoders."""
        return Inputs(self.smooth_s, self.causal)


def _wiener(choices: Choices) -> LaggedRidge:
    before = LAGS - 1 if choices.causal else LAGS // 2
    return LaggedRidge("wiener", before, LAGS - 1 - before, inputs=choices.inputs)


def _gru(choices: Choices) -> Any:
    from spikeloom.decoding.gru import GRU  # imports torch

    return GRU(inputs=choices.inputs, device=choices.device)


DECODERS: dict[str, Callable[[Choices], Any]] = {
    "ridge": lambda choices: LaggedRidge("ridge", 0, 0, inputs=choices.inputs),
    "wiener": _wiener,
    "kalman": lambda choices: Kalman(inputs=choices.inputs),
    "gru": _gru,
}
"""Decoders of signals, by the names they have on the command line."""
LABEL_DECODERS: dict[str, Callable[[Choices], Any]] = {"lda": lambda choices: LabelDecoder()}
"""Decoders of labels."""
