"""The verdict at the top of the page: the headline, and the test for copies of training trials."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from spikeloom.evaluation.headline import strongest_classifier
from spikeloom.evaluation.memorisation import CopyFinding, Memorisation
from spikeloom.evaluation.results import Comparison
from spikeloom.evaluation.verdict import OFF, Level
from spikeloom.report.format import by_level, two_decimals

COPIED = "The generated trials copy the training data."

COPY_WORDS: Mapping[CopyFinding, tuple[str, str]] = {
    CopyFinding.FOUND: ("found", "alarm"),
    CopyFinding.NONE_DETECTED: ("none detected", ""),
    CopyFinding.NOT_TESTABLE: ("could not be tested", "amber"),
}
"""Short words for the outcome of the test for copies, and the style in which the page shows them."""


def headline(comparison: Comparison) -> dict[str, Any]:
    """The headline of a comparison: its first sentence, the others, and how many metrics stand at each level."""
    first, *more = sentences(comparison.headline.replace("n = ", "n\u00a0=\u00a0"))
    if comparison.memorisation.alarm:
        first, more = COPIED, [first, *more]
    counts = Counter(r.level for r in comparison.metrics.values())
    return {
        "first": first,
        "more": " ".join(more),
        "copies": comparison.memorisation.alarm,
        "too_good": counts[Level.TOO_GOOD],
        "counts": by_level(r.level for r in comparison.metrics.values()),
        "tiles": tiles(comparison, counts),
    }


def sentences(text: str) -> list[str]:
    """The sentences of a text.

    Example:
        >>> sentences("Rates are 0.4 Hz too low. An AUC of 0.7 (0.6 to 0.8). No more.")
        ['Rates are 0.4 Hz too low.', 'An AUC of 0.7 (0.6 to 0.8).', 'No more.']
    """
    return re.split(r"(?<=[.!?]) (?=[A-Z0-9])", text)


def tiles(comparison: Comparison, counts: Counter[Level]) -> list[tuple[str, str]]:
    """Numbers of the verdict with their captions; none from a protocol without a verdict."""
    told = counts.total() - counts[Level.NOT_DEFINED]
    if not told:
        return []
    close = f", {counts[Level.CLOSE]} of them only a little" if counts[Level.CLOSE] else ""
    found = [
        (f"{counts[Level.MATCHES]} of {told}", "metrics match real trials"),
        (str(sum(counts[level] for level in OFF)), f"differ{close}"),
        (str(counts[Level.CANNOT_TELL]), "could not be told"),
    ]
    if counts[Level.TOO_GOOD]:
        found.append((str(counts[Level.TOO_GOOD]), "too good to be true"))
    test = strongest_classifier(list(comparison.metrics.values()))
    if test is not None:
        low, high = max(test.value - 1.96 * test.se, 0.0), min(test.value + 1.96 * test.se, 1.0)
        within = f"{two_decimals(low)} to {two_decimals(high)}; " if np.isfinite(test.se) else ""
        found.append((two_decimals(test.value), f"AUC of the strongest classifier ({within}0.5 is chance)"))
    return found


def copying(memorisation: Memorisation) -> dict[str, Any]:
    """The test for copies of training trials: short words, their style, and sentences."""
    short, style = COPY_WORDS[memorisation.finding]
    sentences = []
    if memorisation.finding is CopyFinding.NOT_TESTABLE:
        sentences.append(f"Whether training trials were copied {memorisation.not_tested}.")
    if np.isfinite(share := memorisation.copy_share):
        within = f" ± {1.96 * memorisation.se:.2f}" if np.isfinite(memorisation.se) else ""
        sentences.append(
            f"The share of generated trials that copy a training trial, with or without fresh noise, is estimated at "
            f"{two_decimals(share)}{within} (0: training trials are no nearer than held-out ones, 1: all are copies)."
        )
    if memorisation.finding is CopyFinding.FOUND:
        sentences.append(f"Alarm: {'; '.join(memorisation.reasons)}.")
    if np.isfinite(detectable := memorisation.detectable_share):
        sentences.append(f"A share above {detectable:.2f} would have been detected.")
    sentences += memorisation.membership_sentences
    if np.isfinite(ratio := memorisation.nn_ratio):
        sentences.append(
            f"Generated trials lie {ratio:.2f} times as far from their nearest training trial as held-out trials do."
        )
        if ratio < 0.9:
            sentences.append("Below 0.9 they vary too little, or are blurred copies.")
    sentences.append(f"Exact duplicates of a training trial: {memorisation.duplicates}.")
    return {"short": short, "style": style, "text": " ".join(sentences)}
