"""Whether a generator scatters as its data do: the meaning of two of a prior's diagnostics.

The spread ratio is the mean distance between two draws for the same hidden part of a sequence, over the mean distance
of a draw from what was recorded there. The recorded part is one more draw for a generator that is right, so that the
ratio is 1. The increment ratio is the standard deviation of the steps from bin to bin of generated sequences over that
of recorded ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

SPREAD, INCREMENT = "spread_ratio", "increment_ratio"
NAMES = SPREAD, INCREMENT

# Draws s times as wide as they should be have the spread ratio sqrt(2) s / sqrt(1 + s^2), which never exceeds 1.41: the
# bounds are s = 0.69 and its inverse. Steps s times as wide have the increment ratio s.
SOUND: Mapping[str, tuple[float, float]] = {SPREAD: (0.8, 1.16), INCREMENT: (0.8, 1.25)}
"""Bounds within which a generator counts as calibrated."""


@dataclass(frozen=True)
class Verdict:
    """Calibration of a generator.

    Attributes:
        sound: Whether both ratios lie within their bounds.
        words: Sentences with the values, and what to change where they do not.
    """

    sound: bool
    words: str


def assess(numbers: Mapping[str, float]) -> Verdict | None:
    """The calibration of a generator; None without either ratio among its diagnostics.

    Args:
        numbers: Diagnostics by name; other names are ignored.

    Example:
        >>> assess({"spread_ratio": 0.97, "increment_ratio": 1.04})
        Verdict(sound=True, words='The generator is calibrated: spread ratio 0.97, increment ratio 1.04 (1 is right).')
        >>> assess({"loss": 1.0}) is None
        True
    """
    found = {name: float(numbers[name]) for name in NAMES if name in numbers}
    if not found:
        return None
    faults = [fault for name, value in found.items() if (fault := _fault(name, value))]
    if faults:
        return Verdict(False, " ".join(faults))
    values = ", ".join(f"{name.replace('_', ' ')} {value:.2f}" for name, value in found.items())
    return Verdict(True, f"The generator is calibrated: {values} (1 is right).")


def _fault(name: str, value: float) -> str:
    """A sentence on one ratio outside its bounds; empty within them."""
    low, high = SOUND[name]
    label = name.replace("_", " ")
    if not math.isfinite(value):
        return f"The {label} of the generator is no number: train with a lower learning rate."
    if low <= value <= high:
        return ""
    kind, remedy = _FAULTS[name, value > high]
    return f"{kind} ({label} {value:.2f}; 1 is right): {remedy}."


_MORE_STEPS = "train longer, or sample with more steps"
_FAULTS = {
    (SPREAD, False): (
        "Generated trials are too much alike",
        "train longer, or with a larger prior.samples or a smaller prior.head_learning_rate",
    ),
    (SPREAD, True): ("Generated trials differ too much", "train longer"),
    (INCREMENT, False): ("Generated activity is too smooth", _MORE_STEPS),
    (INCREMENT, True): ("Generated activity jitters from bin to bin", _MORE_STEPS),
}
"""The fault and the remedy where a ratio is too small (False) or too large (True)."""
