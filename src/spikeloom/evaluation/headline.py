"""The headline of a comparison: what it says, in the words and the order that every table and page uses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from spikeloom.evaluation.verdict import MIN_TRIALS, OFF, Level

if TYPE_CHECKING:
    from spikeloom.evaluation.results import MetricResult

BASIC = "c2st_basic"
CLASSIFIERS = ("c2st_net", "c2st_rich", BASIC)
"""Classifier tests."""

RATES = "rate_rmse"
FOLLOW_FROM_RATES = ("count_", "isi_", "fano_")
"""Metrics that are off whenever mean rates are."""

CLOSE = "Close to real trials, but not the same:"
"""How differences begin when all of them are close."""

ONLY_CLASSIFIERS = (
    "No statistic differs from real trials by itself, but a classifier that sees them all tells them apart."
)
"""Said where nothing but classifiers finds a difference."""

NO_VERDICT = "Protocol ldns has no verdict: it compares with the training trials."


def headline(rows: Sequence[MetricResult], n: int, protocol: str = "heldout") -> str:
    """A comparison in three sentences at most.

    In this order: what is too good to be true; what differs most, in words; the AUC of the strongest classifier
    with its interval; how many metrics match, and how many could not be told. If most could not be told, that is
    the headline.

    Args:
        rows: The rows of the table.
        n: Number of trials on each side.
        protocol: Of the comparison.
    """
    if protocol == "ldns":
        return NO_VERDICT
    if n < MIN_TRIALS:
        return f"Too few trials to tell: {n} held-out {_trials(n)} can be compared, and a verdict needs {MIN_TRIALS}."
    told = [r for r in rows if r.level is not Level.NOT_DEFINED]
    if not told:
        return "No metric could be computed from these trials."
    sentences = []
    if names := [r.name for r in told if r.level is Level.TOO_GOOD]:
        sentences.append(
            f"Too good to be true: {_listed(names)} {'is' if len(names) == 1 else 'are'} better than real trials "
            "against real trials: look for held-out trials among the samples, or for a bug."
        )
    unclear = [r for r in told if r.level is Level.CANNOT_TELL]
    off = differing(told)
    if len(unclear) > len(told) / 2:
        needed = [r.trials_needed for r in unclear if np.isfinite(r.trials_needed)]
        text = f"Too few trials to tell: {len(unclear)} of {len(told)} metrics could not be told at n = {n}"
        if needed:
            text += f"; about {rounded(float(np.median(needed)))} held-out trials would settle half of them"
        sentences.append(text + ".")
    if off:
        words = [r.words or f"{r.metric.label}: different from real trials" for r in off[:2]]
        text = "; ".join(words)
        sentences.append(f"{_upper(text)}." if any(r.level is not Level.CLOSE for r in off) else f"{CLOSE} {text}.")
    elif not sentences:
        seen = any(r.level in OFF for r in told if r.name in CLASSIFIERS)
        sentences.append(ONLY_CLASSIFIERS if seen else "No metric differs from real trials.")
    if classifier := strongest_classifier(told):
        low, high = classifier.value - 1.96 * classifier.se, classifier.value + 1.96 * classifier.se
        sentences.append(
            f"A classifier tells generated from real trials with an AUC of {classifier.value:.2f} "
            f"({max(low, 0):.2f} to {min(high, 1):.2f}; 0.5 is chance)."
        )
    sentences.append(f"{_upper(counted_levels(rows))} (n = {n}).")
    return " ".join(sentences)


def differing(rows: Sequence[MetricResult]) -> list[MetricResult]:
    """Rows with a difference, the largest first; classifiers, which are quoted apart, left out.

    Where rates differ, counts and intervals must: those rows come last. Of several rows on one thing, the first stands.
    """
    off = [r for r in rows if r.level in OFF and r.name not in CLASSIFIERS]
    rates = any(r.name == RATES for r in off)

    def rank(r: MetricResult) -> tuple[bool, float]:
        follows = rates and r.name.startswith(FOLLOW_FROM_RATES)
        return follows, -abs(r.score) if np.isfinite(r.score) else 0.0

    out: list[MetricResult] = []
    for r in sorted(off, key=rank):
        if not any(r.words == other.words or _thing(r) == _thing(other) for other in out):
            out.append(r)
    return out


def _thing(row: MetricResult) -> str:
    """The subject of a metric: its name without the kind of its number."""
    return row.name.rsplit("_", 1)[0]


def strongest_classifier(rows: Sequence[MetricResult]) -> MetricResult | None:
    """The classifier test with the highest AUC; the basic one only where there is no other. None without any."""
    tests = [r for r in rows if r.name in CLASSIFIERS and r.level is not Level.NOT_DEFINED and np.isfinite(r.value)]
    strong = [r for r in tests if r.name != BASIC] or tests
    return max(strong, key=lambda r: r.value, default=None)


def counted_levels(rows: Sequence[MetricResult]) -> str:
    """How many metrics match, differ and cannot be told."""
    told = [r for r in rows if r.level is not Level.NOT_DEFINED]
    matching = sum(r.level is Level.MATCHES for r in told)
    unclear = sum(r.level is Level.CANNOT_TELL for r in told)
    text = f"{matching} of {len(told)} metrics match real trials"
    return f"{text}, {unclear} could not be told" if unclear else text


def _listed(names: Sequence[str]) -> str:
    shown = list(names[:4])
    if len(names) > 4:
        return f"{', '.join(shown)} and {len(names) - 4} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def rounded(n: float) -> str:
    """A number of trials with two digits, rounded up."""
    digits = max(0, int(np.floor(np.log10(max(n, 1)))) - 1)
    return f"{int(np.ceil(n / 10**digits) * 10**digits):,}"


def _trials(n: int) -> str:
    return "trial" if n == 1 else "trials"


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
