"""The verdict at the top of the page: the headline, and the test for copies of training trials."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from spikeloom.evaluation.memorisation import CopyFinding, Memorisation
from spikeloom.evaluation.results import Comparison, Level
from spikeloom.report.format import LEGEND, STYLES, two_decimals


def headline(comparison: Comparison) -> dict[str, Any]:
    """The verdict in one line, a second line, and how many metrics stand at each level."""
    results = list(comparison.metrics.values())
    usable = [r for r in results if r.level is not Level.NOT_USABLE]
    counts = Counter(STYLES[r.level] for r in usable)
    n, fine, poor = len(usable), counts["floor"], counts["none"]
    if comparison.memorisation.alarm:
        first = "The generated trials copy the training data."
    elif n == 0:
        first = "Nothing could be scored: no metric separates real data from constant-rate Poisson neurons here."
    elif counts["alarm"]:
        first = "Too good to be true: better than real data against real data."
    elif fine == n:
        first = f"On all {n} usable metrics the generated spikes are indistinguishable from real ones."
    elif poor > n / 2:
        first = f"On {poor} of {n} usable metrics no better than independent Poisson neurons."
    else:
        first = f"On {fine} of {n} usable metrics the generated spikes are indistinguishable from real ones."
    off = [r for r in usable if r.level not in (Level.AT_FLOOR, Level.SUSPICIOUS)]
    off.sort(key=lambda r: -abs(r.score))
    scores = [r.score for r in usable if np.isfinite(r.score)]
    return {
        "first": first,
        "copies": comparison.memorisation.alarm,
        "furthest": ", ".join(f"{r.metric.label} ({two_decimals(r.score)})" for r in off[:4]),
        "suspicious": ", ".join(r.metric.label for r in usable if r.level is Level.SUSPICIOUS),
        "counts": [(style, words, counts[style]) for style, words in LEGEND.items() if counts[style]],
        "n": n,
        "fine": fine,
        "unusable": len(results) - n,
        "median": two_decimals(statistics.median(scores)) if scores else "n/a",
    }


COPY_WORDS: Mapping[CopyFinding, tuple[str, str]] = {
    CopyFinding.FOUND: ("found", "alarm"),
    CopyFinding.NONE_DETECTED: ("none detected", ""),
    CopyFinding.NOT_TESTABLE: ("could not be tested", "amber"),
}
"""Short words for the outcome of the test for copies, and the style in which the page shows them."""


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
