"""A metric over seeds: its mean, both parts of its error, its levels, and the differences that can be told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
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
        replicates: (replicate,) values with resampled held-out trials, averaged over seeds; None where they were not
            kept. A replicate is the same choice of trials for all subjects of a table.
    """

    value: float
    seeds: float
    trials: float
    score: float
    levels: tuple[Level, ...]
    replicates: Float[np.ndarray, "replicate"] | None = None

    @classmethod
    def of(cls, scores: Sequence[Score]) -> Spread:
        """The scores of all seeds."""
        n, values = len(scores), np.array([s.value for s in scores])
        with np.errstate(invalid="ignore"):
            seeds = float(values.std(ddof=1) / np.sqrt(n)) if n > 1 else NAN
            trials = float(np.sqrt(np.mean([s.se**2 for s in scores])))
            value, score = float(values.mean()), float(np.mean([s.score for s in scores]))
        kept = {len(s.replicates) for s in scores}
        paired = len(kept) == 1 and kept != {0}
        replicates = np.mean([s.replicates for s in scores], axis=0) if paired else None
        return cls(value, seeds, trials, score, tuple(s.level for s in scores), replicates)

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


class MeanDifference(NamedTuple):
    """Difference of the means of two subjects over seeds.

    Attributes:
        value: First minus second.
        se: Its standard error, see ``difference``.
        df: Degrees of freedom of Student's t.
    """

    value: float
    se: float
    df: float

    @property
    def p(self) -> float:
        """Two-sided probability of such a difference without one; NaN where the error is not known."""
        return float(2 * stats.t.sf(abs(self.value) / self.se, self.df)) if self.se > 0 else NAN

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval."""
        half = float(stats.t.ppf(1 - ALPHA / 2, self.df)) * self.se
        return self.value - half, self.value + half


def difference(one: Spread, other: Spread) -> MeanDifference:
    """Difference of the means of two subjects, with the error of a hierarchical bootstrap: seeds, then trials.

    Drawing seeds and then held-out trials anew has this variance as its expectation: that of the means over seeds,
    with one degree of freedom taken for each mean, which the plain bootstrap forgets (a factor of two with two seeds),
    and that over trials. The trials are the same for both subjects and all seeds, so the difference is taken within
    each resampling of them, where these were kept; otherwise both errors add, which is too much rather than too little.
    Only the scatter of seeds costs degrees of freedom (Welch-Satterthwaite).
    """
    value, of_seeds = one.value - other.value, one.seeds**2 + other.seeds**2
    if one.replicates is not None and other.replicates is not None and len(one.replicates) == len(other.replicates):
        paired = one.replicates - other.replicates
        paired = paired[np.isfinite(paired)]
        of_trials = float(paired.var(ddof=1)) if len(paired) > 1 else NAN
    else:
        of_trials = one.trials**2 + other.trials**2
    variance = of_seeds + of_trials
    if not np.isfinite([value, variance]).all():
        return MeanDifference(value, NAN, NAN)
    fourth = sum(s.seeds**4 / (s.n - 1) for s in (one, other))
    return MeanDifference(value, float(np.sqrt(variance)), variance**2 / fourth if fourth > 0 else np.inf)


def told_apart(metrics: Mapping[str, Mapping[str, Spread]]) -> list[str]:
    """For each metric of a table, where lower is better: the lowest subject, and who is higher beyond error.

    Held at 5 % for all pairs of subjects and all metrics together (Holm), so that the lowest may be picked afterwards.

    Args:
        metrics: For each metric the spreads of the subjects by label.

    Returns:
        A line of Markdown for each metric of at least two subjects with several seeds; differences with their 95 %
        intervals, each for itself.
    """
    pairs = [(key, a, b) for key, of in metrics.items() for a, b in combinations(of, 2)]
    found = {(key, a, b): difference(metrics[key][a], metrics[key][b]) for key, a, b in pairs}
    probabilities = holm([found[pair].p for pair in pairs])
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
        excess = {label: difference(of[label], of[best]) for label in higher}
        text = ", ".join(f"{label} (by {interval_text(excess[label])})" for label in higher)
        parts += [f"higher beyond error: {text}"] if higher else []
        parts += [f"not told from it: {', '.join(alike)}"] if alike else []
        lines.append(f"- `{key}`: {'; '.join(parts)}.")
    return lines


def interval_text(found: MeanDifference) -> str:
    """A difference and its interval in words.

    Example:
        >>> interval_text(MeanDifference(0.5, 0.1, np.inf))
        '0.5, 0.3 to 0.7'
    """
    low, high = found.interval
    return f"{found.value:.2g}, {low:.2g} to {high:.2g}"


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
