"""How the report writes numbers and units, and draws levels."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from spikeloom.evaluation.verdict import Level
from spikeloom.evaluation.yardsticks import CORRUPTIONS

LEVELS: Mapping[Level, str] = {
    Level.MATCHES: "whatever difference there is, it is smaller than the tolerance",
    Level.CLOSE: "a difference, less than half as large as that of the yardstick",
    Level.DIFFERS: "a difference",
    Level.NO_BETTER: "as far from real trials as the yardstick, or further",
    Level.TOO_GOOD: "better than real trials: held-out trials among the samples, or a bug",
    Level.CANNOT_TELL: "too few trials for an answer",
    Level.NOT_DEFINED: "no value or no verdict, for the reason given",
}
"""Levels from good to bad, and what each says."""


def by_level(levels: Iterable[Level]) -> list[tuple[Level, int]]:
    """How many rows are at each level that any is at, from good to bad."""
    counts = Counter(levels)
    return [(level, counts[level]) for level in LEVELS if counts[level]]


CONTROLS: Mapping[str, str] = {
    **{name: corruption.label for name, corruption in CORRUPTIONS.items()},
    "psth": "Poisson of average responses",
    "ae": "Poisson of inferred rates",
}
"""Yardsticks and other controls, as the page calls them."""


def control(name: str) -> str:
    """A yardstick or control as the page calls it.

    Example:
        >>> control("shuffled"), control("my_own")
        ('neurons shuffled', 'my own')
    """
    return CONTROLS.get(name, name.replace("_", " "))


def number(value: Any) -> float | None:
    """A finite number; None for missing and infinite values."""
    try:
        value = float(value)
    except (TypeError, ValueError):
        return None
    return value if abs(value) < float("inf") else None


def digits(value: Any) -> str:
    """Three significant digits without exponents where possible; n/a for nothing.

    Example:
        >>> digits(0.00012345), digits(1234.5), digits(None), digits("inf")
        ('0.000123', '1234', 'n/a', 'infinite')
    """
    finite = number(value)
    if finite is None:
        return "infinite" if str(value) in ("inf", "-inf") else "n/a"
    if finite == 0 or abs(finite) >= 1e5 or abs(finite) < 1e-5:
        return f"{finite:.3g}".replace("-", "−")
    decimals = max(0, 2 - math.floor(math.log10(abs(finite))))
    return f"{finite:.{decimals}f}".replace("-", "−")


def with_error(value: Any, error: Any) -> tuple[str, str]:
    """A value and its error, with as many decimals as the error makes sensible; no error text where there is none.

    Example:
        >>> with_error(0.23612, 0.1084), with_error(0.98513, 0.00314), with_error(3.0, None)
        (('0.24', '0.11'), ('0.9851', '0.0031'), ('3.00', ''))
    """
    finite, spread = number(value), number(error)
    if finite is None or spread is None or not 1e-6 < spread < 1e4:
        return digits(value), ""
    decimals = min(max(0, 1 - math.floor(math.log10(spread))), 6)
    return f"{finite:.{decimals}f}".replace("-", "−"), f"{spread:.{decimals}f}"


def scaled_unit(unit: str, values: list[Any], bin_s: float) -> tuple[str, float]:
    """Unit for a row of the table and the factor to it: bins where a bin has no width, ms for short times."""
    if bin_s == 1.0:
        return {"s": "bins", "Hz": "spikes/bin"}.get(unit, unit), 1.0
    finite = [abs(v) for v in map(number, values) if v is not None]
    if unit == "s" and finite and max(finite) < 1:
        return "ms", 1e3
    return unit, 1.0


def scaled(value: Any, factor: float) -> Any:
    """A number times a factor; other values stay as they are."""
    finite = number(value)
    return value if finite is None else finite * factor


def two_decimals(score: float) -> str:
    """A score as it is printed: no minus before zero, and a minus sign before the rest."""
    return f"{round(score, 2) + 0.0:.2f}".replace("-", "−")


def in_words(name: str) -> str:
    """A name as a figure writes it.

    Example:
        >>> in_words("hand_position_x:last")
        'last hand position x'
    """
    name, _, end = name.partition(":")
    return f"{end} {name}".strip().replace("_", " ")


def in_unit(unit: str) -> str:
    """A unit in brackets, after a name; nothing for pure numbers."""
    return f" ({unit})" if unit else ""
