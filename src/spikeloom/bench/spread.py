"""A metric over seeds: its mean, both parts of its error, its levels, and the differences that can be told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from scipy import stats

from spikeloom.bench.quality import Score, marked
from spikeloom.bench.tables import number
from spikeloom.evaluation.verdict import ALPHA, Level, holm

NAN = float("nan")


class Spread(NamedTuple):
    """A metric over seeds.

    Attributes:
        value: Mean.
        seeds: Standard error of the mean from the choice of seeds, of training and samples; NaN for a single one.
        trials: Standard error from the choice of trials, root mean square over seeds; NaN where it is not known.
        score: Mean score; NaN where there is none.
        levels: What may be said with each seed.
    """

    value: float
    seeds: float
    trials: float
    score: float
    levels: tuple[Level, ...]

    @classmethod
    def of(cls, scores: Sequence[Score]) -> Spread:
        """The scores of all seeds."""
        n, values = len(scores), np.array([s.value for s in scores])
        with np.errstate(invalid="ignore"):
            seeds = float(values.std(ddof=1) / np.sqrt(n)) if n > 1 else NAN
            trials = float(np.sqrt(np.mean([s.se**2 for s in scores])))
            value, score = float(values.mean()), float(np.mean([s.score for s in scores]))
        return cls(value, seeds, trials, score, tuple(s.level for s in scores))

    @property
    def n(self) -> int:
        """Number of seeds."""
        return len(self.levels)

    @property
    def error(self) -> float:
        """Standard error of the mean: seeds are drawn, and so are the trials that all of them are compared with."""
        known = [e for e in (self.seeds, self.trials) if not np.isnan(e)]
        return float(np.sqrt(np.sum(np.square(known)))) if known else NAN

    def __str__(self) -> str:
        return marked(number(self.value, self.error), self.levels)


def difference_p(one: Spread, other: Spread) -> float:
    """Probability of such a difference of means without one (Welch's t); NaN where an error is not known.

    Errors from trials add as if each had trials of its own, although all share the held-out ones: too large rather than
    too small.
    """
    variance = one.error**2 + other.error**2
    if not (np.isfinite([one.value, other.value, one.seeds, other.seeds, variance]).all() and variance > 0):
        return NAN
    of_seeds = sum(s.seeds**4 / (s.n - 1) for s in (one, other))
    df = variance**2 / of_seeds if of_seeds > 0 else np.inf
    return float(2 * stats.t.sf(abs(one.value - other.value) / np.sqrt(variance), df))


def told_apart(metrics: Mapping[str, Mapping[str, Spread]]) -> list[str]:
    """For each metric of a table, where lower is better: the lowest subject, and who is higher beyond error.

    Held at 5 % for all pairs of subjects and all metrics together (Holm), so that the lowest may be picked afterwards.

    Args:
        metrics: For each metric the spreads of the subjects by label.

    Returns:
        A line of Markdown for each metric of at least two subjects with several seeds.
    """
    pairs = [(key, a, b) for key, of in metrics.items() for a, b in combinations(of, 2)]
    probabilities = holm([difference_p(metrics[key][a], metrics[key][b]) for key, a, b in pairs])
    told = {frozenset((a, b)) | {key} for (key, a, b), p in zip(pairs, probabilities) if p < ALPHA}
    lines = []
    for key, of in metrics.items():
        known = {label: s for label, s in of.items() if s.n > 1 and np.isfinite(s.value)}
        if len(known) < 2:
            continue
        best, *others = sorted(known, key=lambda label: known[label].value)
        higher = [label for label in others if {best, label, key} in told]
        alike = [label for label in others if label not in higher]
        parts = [f"{best} is lowest"]
        parts += [f"higher beyond error: {', '.join(higher)}"] if higher else []
        parts += [f"not told from it: {', '.join(alike)}"] if alike else []
        lines.append(f"- `{key}`: {'; '.join(parts)}.")
    return lines


def larger_part(spreads: Iterable[Spread]) -> str:
    """Whether the scatter between seeds or the choice of trials makes up most of the errors; empty for single seeds."""
    known = [s for s in spreads if np.isfinite([s.seeds, s.trials]).all()]
    if not known:
        return ""
    seeds = sum(s.seeds > s.trials for s in known)
    which = "the scatter between seeds" if 2 * seeds > len(known) else "the choice of trials"
    remedy = "more seeds" if 2 * seeds > len(known) else "more held-out trials"
    return (
        f"- The larger part of the errors comes from {which} (in {max(seeds, len(known) - seeds)} of {len(known)} "
        f"values against held-out trials): {remedy} would make them smaller."
    )
