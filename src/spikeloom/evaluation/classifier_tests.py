"""Classifier tests as rows of a comparison: which there are, and the yardstick each is measured by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from spikeloom.evaluation.classifier import LEAST_KEPT, LearningSets, TwoSampleTest, learning_sets, rich_test
from spikeloom.evaluation.metric import OVERALL, Metric
from spikeloom.evaluation.pairing import Pairing, tied
from spikeloom.evaluation.trial_set import TrialSet, spread, spread_out, trials_within
from spikeloom.evaluation.verdict import OF_AUC
from spikeloom.evaluation.yardsticks import CORRUPTIONS

YARDSTICK_TRIALS = 400
YARDSTICK_ELEMENTS = 4_000_000
"""Trials a side, and bins x neurons x trials a side, from which a classifier learns to see the yardstick, which is easy
to see."""


@dataclass(frozen=True)
class Classifier:
    """A classifier that learns on training trials to tell generated from real ones, and is judged on unseen ones.

    Attributes:
        metric: Name, explanation and yardstick of its row.
        test: Learn and judge: the sets, the bin width in seconds and a seed to the result.
    """

    metric: Metric
    test: Callable[[LearningSets, float, int], TwoSampleTest]


def classifier_metric(name: str, label: str, explanation: str) -> Metric:
    """A row of a table for a classifier test."""
    return Metric(
        name=name,
        compute=lambda sets: float("nan"),
        size=lambda sets: 0,
        yardstick="shuffled",
        tolerance=OF_AUC,
        best=0.5,
        label=label,
        explanation=explanation,
        group=OVERALL,
    )


RICH = Classifier(
    classifier_metric(
        "c2st_rich",
        "classifier test",
        "how well a classifier, learned on training trials, separates unseen real from fresh generated trials (AUC)",
    ),
    rich_test,
)
"""Logistic regression or gradient boosting on many statistics of each trial."""


def judge_generated(pairing: Pairing, classifier: Classifier, bin_s: float, seed: int) -> TwoSampleTest:
    """Test generated trials.

    Args:
        pairing: Real and generated trials.
        classifier: The classifier.
        bin_s: Bin width in seconds.
        seed: Seed of every draw.
    """
    rng = np.random.default_rng([seed, 3])
    units = pairing.pool_unit, pairing.test_unit
    sets = learning_sets(
        *(_learned(pairing), _test(pairing), _pool(pairing), rng), units if any(map(tied, units)) else None
    )
    return classifier.test(sets, bin_s, seed)


def judge_yardstick(pairing: Pairing, classifier: Classifier, bin_s: float, seed: int) -> TwoSampleTest:
    """Test the classifier's yardstick: real trials with one known fault."""
    rng = np.random.default_rng([seed, 4])
    learn, test = _learned(pairing), _test(pairing)
    most = min(YARDSTICK_TRIALS, trials_within(learn.counts.shape, YARDSTICK_ELEMENTS, LEAST_KEPT))
    if len(learn.lengths) > most:
        learn = learn.take(np.sort(rng.permutation(len(learn.lengths))[:most]))
    test = spread_out(test, trials_within(test.counts.shape, YARDSTICK_ELEMENTS, LEAST_KEPT))
    mean = learn.counts.sum(axis=(0, 1)) / learn.lengths.sum()
    corrupt = CORRUPTIONS[classifier.metric.yardstick].corrupt
    corrupted = [corrupt(trials, mean, bin_s, rng, 1.0) for trials in (learn, test)]
    unit = pairing.test_unit[spread(len(pairing.test_unit), len(test.lengths))]
    units = (unit, unit) if tied(pairing.test_unit) else None
    return classifier.test(LearningSets(learn, corrupted[0], test, corrupted[1], units), bin_s, seed)


def _learned(pairing: Pairing) -> TrialSet:
    parts = (pairing.for_metrics(trials) for trials in (pairing.train, pairing.val))
    return TrialSet(*(np.concatenate(pair) for pair in zip(*parts)))


def _test(pairing: Pairing) -> TrialSet:
    return pairing.for_metrics(pairing.test)


def _pool(pairing: Pairing) -> TrialSet:
    return pairing.for_metrics(pairing.pool)
