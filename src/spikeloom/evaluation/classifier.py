"""Classifier two-sample test: learned on some trials of each set, judged on trials that it has not seen.

A classifier that cannot tell generated from real trials it never saw (AUC 0.5) is evidence that they are alike; one
that can is proof that they are not (Lopez-Paz and Oquab 2017, "Revisiting classifier two-sample tests").
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from spikeloom.evaluation.classifier_features import FeatureBasis, Features, rich_features
from spikeloom.evaluation.metric import NAN
from spikeloom.evaluation.roc import Units, delong
from spikeloom.evaluation.summary import TrialSet
from spikeloom.evaluation.trial_lengths import assign, crop, cut, feasible

MIN_LEARN, MIN_JUDGE = 20, 10
"""Trials a side without which nothing is said."""

FEW_LEARN = 200
"""Trials a side below which a note says from how few a classifier learned."""

MOST_LEARN = 1500
MOST_ELEMENTS = 12_000_000
"""Trials a side, and bins x neurons x trials a side, beyond which more teach little and take long."""

LEAST_KEPT = 100
"""Trials a side that are kept however large they are: a classifier of fewer hardly learns."""

COINCIDENCE_SPIKES = 10
"""Two trials of fewer spikes may be identical by chance; of more, one is a copy."""

LOGISTIC = "logistic regression"
BOOSTING = "gradient boosting"
STRENGTHS = (1e-5, 1e-4, 1e-3, 1e-2)
"""Inverse penalties among which logistic regression chooses, for standardised features."""

N_BOOSTED = 150
"""Features, best by the difference of their means, that boosting sees."""

N_FOLDS = 3

MIN_BOOSTED, CLEAR = 100, 0.99
"""Boosting is tried from so many trials a side (fewer fill no tree) and up to this AUC of logistic regression."""

LARGEST = 20.0
"""Standard deviations at which features of unseen trials are cut off, so that one outlier cannot decide."""

ONE_SIDED = 1.645
"""Standard errors above 0.5 from which a difference is explained."""

N_ERRORS = 3.0
"""Standard errors by which a feature must differ for its direction to count."""

MIXED = 0.3
"""Balance of increases and decreases, from -1 to 1, below which a difference has no direction."""


@dataclass(frozen=True)
class TwoSampleTest:
    """How well a classifier tells generated from real trials.

    Attributes:
        auc: Area under the ROC curve on unseen trials, 0.5 when they cannot be told apart; NaN where it cannot be done.
        se: Its standard error over the unseen trials (DeLong).
        reasons: What sets generated trials apart, the three strongest, in words; empty where nothing does.
        chosen: The classifier, chosen within the trials it learned from.
        n_learn: Trials of each set that it learned from.
        n_test: Trials of each set that it was judged on.
        note: What a reader must know, or empty.
    """

    auc: float
    se: float
    reasons: tuple[str, ...]
    chosen: str
    n_learn: int
    n_test: int
    note: str


class LearningSets(NamedTuple):
    """Trials to learn from and other trials to be judged on; both sides of each have the same lengths.

    Attributes:
        real: Real trials to learn from.
        generated: As many generated ones.
        unseen_real: Real trials to be judged on.
        unseen_generated: As many generated ones.
        units: Units of the unseen generated and real trials; None where all are independent.
    """

    real: TrialSet
    generated: TrialSet
    unseen_real: TrialSet
    unseen_generated: TrialSet
    units: Units | None = None

    @property
    def sides(self) -> tuple[TrialSet, TrialSet, TrialSet, TrialSet]:
        """The four sets of trials."""
        return self.real, self.generated, self.unseen_real, self.unseen_generated


class FeatureTables(NamedTuple):
    """Standardised features of the trials to learn from and to be judged on; generated trials are the first half.

    Attributes:
        real: Features of the real trials to learn from, as they are, and what each measures.
        learn: (trial, feature) of those to learn from.
        judge: (trial, feature) of those to be judged on.
    """

    real: Features
    learn: np.ndarray
    judge: np.ndarray


# -- sets ------------------------------------------------------------------------------------------------------------


def learning_sets(
    learn_real: TrialSet,
    test_real: TrialSet,
    pool_generated: TrialSet,
    rng: np.random.Generator,
    units: Units | None = None,
) -> LearningSets:
    """Split generated trials into those to learn from and fresh ones, each as many as the real ones beside them.

    Fresh trials come first: one for each real test trial, from at most half of the generated ones. Where generated
    trials cover the conditions of the test trials, numbers are equal within each condition, so that a classifier cannot
    live on unequal conditions. Trials are cut so that lengths are equal on both sides. A trial that occurs among the
    unseen ones, on either side, is not learned from.

    Args:
        learn_real: Real trials to learn from: training and validation.
        test_real: Real trials that neither a model nor a classifier has seen.
        pool_generated: Generated trials, under the same condition codes.
        rng: Chooses the trials.
        units: Units of the generated and of the test trials, where some depend on each other.
    """
    codes = np.unique(test_real.condition)
    sides = learn_real, test_real, pool_generated
    if np.isin(codes, pool_generated.condition).all():
        strata = [[np.flatnonzero(side.condition == code) for side in sides] for code in codes]
    else:
        strata = [[np.arange(len(side.lengths)) for side in sides]]
    strata = [[rng.permutation(members) for members in stratum] for stratum in strata]

    judged = [_matched(test_real, test, pool_generated, pool, len(pool) // 2) for _, test, pool in strata]
    unseen = _joined(judged, test_real, pool_generated)
    copies = {f for side in unseen for f in _fingerprints(side, np.arange(len(side.lengths)))} - {0}

    def original(trials: TrialSet, members: np.ndarray) -> np.ndarray:
        return members[[f not in copies for f in _fingerprints(trials, members)]]

    taken = np.concatenate([fresh for _, fresh, _ in judged])
    learned = []
    for learn, _, pool in strata:
        learn, pool = original(learn_real, learn), original(pool_generated, pool[~np.isin(pool, taken)])
        learned.append(_matched(learn_real, learn, pool_generated, pool, len(pool)))
    tests, fresh = (np.concatenate([each[i] for each in judged]) for i in (0, 1))
    unseen_units = None if units is None else (units[0][fresh], units[1][tests])
    return LearningSets(*_joined(learned, learn_real, pool_generated), *unseen, unseen_units)


Matched = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Real trials, generated trials, and the lengths both are cut to."""


def _matched(real: TrialSet, members: np.ndarray, generated: TrialSet, pool: np.ndarray, most: int) -> Matched:
    n = min(len(members), len(pool), most)
    if n == 0:
        none = np.zeros(0, np.int64)
        return none, none, none
    members = members[:n]
    lengths = feasible(generated.lengths[pool], real.lengths[members])
    return members, pool[assign(generated.lengths[pool], lengths)], lengths


def _joined(matched: list[Matched], real: TrialSet, generated: TrialSet) -> tuple[TrialSet, TrialSet]:
    lengths = np.concatenate([each[2] for each in matched])
    longest = int(lengths.max(initial=1))
    sides = (side.take(np.concatenate([m[i] for m in matched])) for i, side in enumerate((real, generated)))
    first, second = (crop(cut(side, lengths), longest) for side in sides)
    return first, second._replace(condition=first.condition)


def _fingerprints(trials: TrialSet, members: np.ndarray) -> list[int]:
    """A number that only copies share; zero for trials of so few spikes that they may be identical by chance."""
    counts = trials.counts
    narrow = np.uint8 if counts.max(initial=0) < 256 else np.uint32  # the same whatever type a file was read as
    numbers = []
    for i in members:
        trial = counts[i, : trials.lengths[i]]
        few = trial.sum(dtype=np.int64) < COINCIDENCE_SPIKES
        numbers.append(0 if few else hash(np.ascontiguousarray(trial, narrow).tobytes()))
    return numbers


# -- the test --------------------------------------------------------------------------------------------------------


def rich_test(sets: LearningSets, bin_s: float, seed: int) -> TwoSampleTest:
    """Test with logistic regression and gradient boosting on many features of each trial.

    Args:
        sets: Trials to learn from and to be judged on.
        bin_s: Bin width in seconds.
        seed: Fixes folds, boosting and sub-samples.
    """
    if (refused := refusal(sets)) is not None:
        return refused
    sets, note = prepared(sets, seed)
    label = np.repeat([1, 0], len(sets.real.lengths))
    tables = feature_tables(sets, bin_s)
    chosen, score, coefficients = _learned(tables.learn, label, seed)
    return judged(score(tables.judge), tables, coefficients, chosen, note, sets.units)


def feature_tables(sets: LearningSets, bin_s: float) -> FeatureTables:
    """Features of all trials, generated before real ones, in standard deviations of the trials to learn from."""
    basis = FeatureBasis.fit((sets.generated, sets.real), bin_s)
    generated, real, *unseen = (
        rich_features(side, basis) for side in (sets.generated, sets.real, sets.unseen_generated, sets.unseen_real)
    )
    learn, judge = np.vstack([generated.values, real.values]), np.vstack([side.values for side in unseen])
    # Enormous counts overflow some products in single precision; such a feature is left out as a constant one is.
    finite = np.isfinite(learn).all(axis=0) & np.isfinite(judge).all(axis=0)
    learn, judge = np.where(finite, learn, 0), np.where(finite, judge, 0)
    mean, sd = learn.mean(axis=0), learn.std(axis=0)
    varies = sd > 1e-5 * np.maximum(1, np.abs(mean))
    scale = np.where(varies, 1 / np.where(varies, sd, 1), 0)
    return FeatureTables(real, (learn - mean) * scale, np.clip((judge - mean) * scale, -LARGEST, LARGEST))


def judged(
    scores: Float[np.ndarray, "trial"],
    tables: FeatureTables,
    coefficients: Float[np.ndarray, "feature"],
    chosen: str,
    note: str,
    units: Units | None,
) -> TwoSampleTest:
    """The result, from scores of the unseen trials (generated first) and a linear score that explains them."""
    n_learn, n_test = len(tables.learn) // 2, len(tables.judge) // 2
    area, se = delong(scores[:n_test], scores[n_test:], units)
    shown: tuple[str, ...] = ()
    if area - ONE_SIDED * se > 0.5:
        seen, fresh = (x[: len(x) // 2].mean(axis=0) - x[len(x) // 2 :].mean(axis=0) for x in tables[1:])
        change = (n_learn * seen + n_test * fresh) / (n_learn + n_test)
        shown = reasons(tables.real, coefficients * fresh, change, n_learn + n_test)
    return TwoSampleTest(area, se, shown, chosen, n_learn, n_test, note)


def refusal(sets: LearningSets) -> TwoSampleTest | None:
    """The result for sets of too few trials, or None."""
    n_learn, n_test = len(sets.real.lengths), len(sets.unseen_real.lengths)
    if n_learn >= MIN_LEARN and n_test >= MIN_JUDGE:
        return None
    note = (
        f"too few trials: {n_learn} a side to learn from (at least {MIN_LEARN}) and {n_test} to be judged on (at least "
        f"{MIN_JUDGE})"
    )
    return TwoSampleTest(NAN, NAN, (), "", n_learn, n_test, note)


def prepared(sets: LearningSets, seed: int) -> tuple[LearningSets, str]:
    """The sets, no larger than is of use, and what a reader must know about their size."""
    rng = np.random.default_rng(seed)
    units = sets.units
    sides: list[TrialSet] = []
    notes = []
    for real, generated, done, most in (
        (sets.real, sets.generated, "learned from", MOST_LEARN),
        (sets.unseen_real, sets.unseen_generated, "judged on", MOST_ELEMENTS),
    ):
        n = len(real.lengths)
        most = min(most, max(LEAST_KEPT, MOST_ELEMENTS // real.counts[0].size))
        if n > most:
            kept = np.sort(rng.permutation(n)[:most])  # the same places on both sides, so that lengths stay equal
            real, generated = real.take(kept), generated.take(kept)
            if units is not None and done == "judged on":
                units = units[0][kept], units[1][kept]
            notes.append(f"{done} {most} of {n} trials a side")
        sides += [real, generated]
    n_learn = len(sides[0].lengths)
    if n_learn < FEW_LEARN and not notes:
        notes.append(f"learned from {n_learn} trials a side for want of more")
    return LearningSets(sides[0], sides[1], sides[2], sides[3], units), "; ".join(notes)


Scorer = Callable[[np.ndarray], np.ndarray]
"""From standardised features to scores, higher for trials that look generated."""


def _learned(learn: np.ndarray, label: np.ndarray, seed: int) -> tuple[str, Scorer, np.ndarray]:
    """The classifier that does best across folds: its name and scorer, and the coefficients of the linear one."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.model_selection import StratifiedKFold

    folds = list(StratifiedKFold(N_FOLDS, shuffle=True, random_state=seed).split(learn, label))

    def across_folds(fit: Callable[[np.ndarray, np.ndarray], Scorer]) -> float:
        return float(np.mean([_auc(fit(learn[a], label[a])(learn[b]), label[b]) for a, b in folds]))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # folds choose; the last digits of a fit do not matter
        linear = [across_folds(partial(_logistic, inverse_penalty=c)) for c in STRENGTHS]
        worthwhile = len(label) >= 2 * MIN_BOOSTED and max(linear) < CLEAR
        boosted = across_folds(partial(_boosting, seed=seed)) if worthwhile else 0.0
        coefficients = _coefficients(learn, label, STRENGTHS[int(np.argmax(linear))])
    if boosted > max(linear):
        return BOOSTING, _boosting(learn, label, seed), coefficients
    return LOGISTIC, lambda x: x @ coefficients, coefficients


def _coefficients(x: np.ndarray, label: np.ndarray, inverse_penalty: float) -> np.ndarray:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=inverse_penalty, tol=1e-3, max_iter=100).fit(x, label).coef_[0]


def _logistic(x: np.ndarray, label: np.ndarray, inverse_penalty: float) -> Scorer:
    coefficients = _coefficients(x, label, inverse_penalty)
    return lambda new: new @ coefficients


def _boosting(x: np.ndarray, label: np.ndarray, seed: int) -> Scorer:
    from sklearn.ensemble import HistGradientBoostingClassifier

    effect = np.abs(x[label == 1].mean(axis=0) - x[label == 0].mean(axis=0))
    best = np.sort(np.argsort(-effect, kind="stable")[:N_BOOSTED])
    model: Any = HistGradientBoostingClassifier(
        max_iter=50, learning_rate=0.15, max_leaf_nodes=8, l2_regularization=1.0, random_state=seed
    )
    model.set_params(early_stopping=False).fit(x[:, best], label)
    return lambda new: model.decision_function(new[:, best])


def _auc(scores: np.ndarray, label: np.ndarray) -> float:
    return delong(scores[label == 1], scores[label == 0])[0]


# -- what sets generated trials apart --------------------------------------------------------------------------------


def reasons(
    real: Features, parts: Float[np.ndarray, "feature"], change: Float[np.ndarray, "feature"], n_trials: int
) -> tuple[str, ...]:
    """The three kinds of features that set the scores of generated trials apart most, and how they differ.

    Args:
        real: Features of real trials.
        parts: What each feature adds to the mean score of unseen generated over that of unseen real trials: its
            coefficient times the difference of its means.
        change: Mean of generated minus mean of real trials, standardised.
        n_trials: Trials of each set behind the change.
    """
    by_kind = np.bincount(real.kind, parts, len(real.kinds))
    strongest = [int(k) for k in np.argsort(-by_kind, kind="stable")[:3] if by_kind[k] > 0]
    return tuple(_words(real, index, parts, change, n_trials) for index in strongest)


def _words(real: Features, index: int, parts: np.ndarray, change: np.ndarray, n_trials: int) -> str:
    kind = real.kinds[index]
    members = np.flatnonzero((real.kind == index) & real.directed)
    top = members[int(parts[members].argmax())]
    name = kind.name
    if real.neuron[top] >= 0 and parts[top] > 0.5 * parts[real.kind == index].sum():
        members, name = np.array([top]), f"{name} of neuron {real.neuron[top]}"
    change = change[members]
    seen = np.abs(change) > N_ERRORS * np.sqrt(2 / n_trials)
    if not seen.any():
        return f"{name} (another pattern)"
    more = change * np.sign(real.values[:, members].mean(axis=0)) if kind.signed else change
    balance = (more * np.abs(change) * seen).sum() / (change**2 * seen).sum()
    if abs(balance) < MIXED:
        return f"{name} ({kind.less} for some, {kind.more} for others)"
    return f"{name} ({kind.more if balance > 0 else kind.less})"


# -- area under the ROC curve ----------------------------------------------------------------------------------------
