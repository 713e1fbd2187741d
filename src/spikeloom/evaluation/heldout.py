"""The held-out protocol: generated trials measured against a reference, and what may be said of every metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spikeloom.evaluation.classifier import TwoSampleTest
from spikeloom.evaluation.classifier_tests import Classifier, judge_generated
from spikeloom.evaluation.compared_sets import MIN_INTERVALS, ComparedSets, SetStatistics
from spikeloom.evaluation.distances import sd
from spikeloom.evaluation.metric import NAN, Metric
from spikeloom.evaluation.pairing import Pairing
from spikeloom.evaluation.reference import (
    LARGE_SET,
    MOST_RESAMPLED,
    Progress,
    Reference,
    Values,
    classifier_seed,
    counter,
    default_draws,
    mean,
    mean_replicates,
    metric_values,
    resample,
)
from spikeloom.evaluation.resampling import degrees_of_freedom, in_blocks, number_of_blocks
from spikeloom.evaluation.results import MetricResult
from spikeloom.evaluation.summary import summarise
from spikeloom.evaluation.verdict import MIN_TRIALS, Evidence, Level, Replicates, judge, scale_of, weigh, weigh_auc
from spikeloom.evaluation.yardsticks import CORRUPTIONS

SILENCED = "silent in generated, more than 20 spikes in real"


@dataclass(frozen=True, eq=False)
class Measured:
    """Values of one generator.

    Attributes:
        values: Values for each draw.
        replicates: Bootstrap values of their mean, with the bootstrap samples of the held-out trials of the reference.
        df: Degrees of freedom of the errors.
        se: Standard error of metrics that are not resampled.
        sets: The first draw beside the held-out trials.
        classifiers: The classifier tests.
        tests: Their results by name.
    """

    values: Values
    replicates: Values
    df: int
    se: Mapping[str, float]
    sets: ComparedSets
    classifiers: Sequence[Classifier]
    tests: Mapping[str, TwoSampleTest]


def measure(
    reference: Reference,
    pairing: Pairing,
    n_draws: int | None,
    seed: int,
    classifiers: Sequence[Classifier] = (),
    progress: Progress | None = None,
) -> Measured:
    """Compute every metric of generated trials against the held-out trials of a reference, with its bootstrap.

    Args:
        reference: The real side.
        pairing: The same real trials with the generated ones.
        n_draws: Draws of generated trials; see ``default_draws`` when not given.
        seed: Seed of every draw.
        classifiers: Classifier tests.
        progress: Called with the number of sets done and to do.
    """
    rng = np.random.default_rng([seed, 2])
    held_out, metrics = reference.held_out, reference.metrics
    n, n_pool = len(pairing.test.lengths), len(pairing.pool.lengths)
    # When every generated trial is used there is only one such set, in whatever order.
    if n_pool <= n:
        n_draws = 1
    elif n_draws is None:
        n_draws = default_draws(pairing.test.counts.size)[0]
        if pairing.test.counts.size > LARGE_SET:  # further draws would be of the same trials
            n_draws = max(2, min(n_draws, n_pool // n))
    n_resampled = min(max(1, n_pool // n), MOST_RESAMPLED, n_draws)
    most = number_of_blocks(pairing.test.counts.shape[2])
    tick = counter(progress, n_draws + len(classifiers))
    rows, sets = [], []
    for draw in range(n_draws):
        trials, unit = pairing.draw_generated(rng)
        if draw < n_resampled:
            blocks = in_blocks(pairing.for_metrics(trials), unit, most, rng)
            sets.append(one := resample(blocks, reference.frame, rng))
            statistics = one.statistics
        else:
            statistics = SetStatistics(summarise(pairing.for_metrics(trials), reference.frame))
        rows.append(metric_values(statistics, held_out.statistics, metrics, classifier_seed(rng, draw)))
        tick()
    first = ComparedSets(sets[0].statistics, held_out.statistics)
    tests = {}
    for classifier in classifiers:
        tests[classifier.metric.name] = judge_generated(pairing, classifier, reference.frame.bin_s, seed)
        tick()
    return Measured(
        {m.name: np.array([row[m.name] for row in rows]) for m in metrics},
        mean_replicates([(one, metrics) for one in sets], held_out),
        min(reference.df, degrees_of_freedom(*(s.blocks for s in sets))),
        {m.name: m.standard_error(first) for m in metrics if m.standard_error is not None},
        first,
        classifiers,
        tests,
    )


def heldout_rows(reference: Reference, measured: Measured) -> dict[str, MetricResult]:
    """Level of every metric, by its name, in the order of the table."""
    n = len(reference.pairing.test.lengths)
    few = f"{n} trials on each side, and a verdict needs {MIN_TRIALS}" if n < MIN_TRIALS else ""
    metrics = [*reference.metrics, *(c.metric for c in measured.classifiers)]
    numbers = {m.name: _numbers(m, reference, measured) for m in metrics}
    evidence = {}
    for metric in metrics:
        if not few and np.isfinite(numbers[metric.name]["value"]):
            evidence[metric.name] = _evidence(metric, reference, measured)
    judgements = dict(
        zip(evidence, judge(list(evidence.values()), [m.tolerance for m in metrics if m.name in evidence]))
    )
    rows = {}
    for metric in metrics:
        known = numbers[metric.name]
        if metric.name not in evidence:
            if few:
                known |= {"se": NAN}
            note = few if np.isfinite(known["value"]) else _missing(metric, measured)
            rows[metric.name] = MetricResult.undefined(metric, note, **known)
            continue
        found, judgement = evidence[metric.name], judgements[metric.name]
        rows[metric.name] = MetricResult(
            metric,
            **known,
            score=found.score,
            score_low=found.low,
            score_high=found.high,
            resolution=judgement.resolution,
            p=found.p,
            level=judgement.level,
            trials_needed=judgement.factor * n,
            words=_words(metric, measured, judgement.level),
            note=_note(metric, measured) or _unscored(found, known["yardstick_name"], n),
        )
    return rows


def _numbers(metric: Metric, reference: Reference, measured: Measured) -> dict[str, Any]:
    """Value, floor, yardstick and controls of a metric."""
    name = metric.name
    controls = {source: rows[name] for source, rows in reference.controls.items() if name in rows}
    if name in measured.tests:
        test, yardstick = measured.tests[name], reference.tests[name]
        return {
            "value": test.auc,
            "se": test.se,
            "floor": 0.5,
            "floor_sd": NAN,
            "yardstick": yardstick.auc,
            "yardstick_name": metric.yardstick,
            "excess": NAN,
            "n": test.n_test,
            "baselines": {metric.yardstick: yardstick.auc},
        }
    value, floor = mean(measured.values[name]), mean(reference.floor[name])
    if metric.standard_error is not None:
        floor = 0.5
        se = measured.se[name]
    else:
        se = sd(measured.replicates[name])
    return {
        "value": value,
        "se": se,
        "floor": floor,
        "floor_sd": sd(reference.floor[name]),
        "yardstick": mean(reference.yardstick[name]),
        "yardstick_name": reference.yardsticks[name],
        "excess": excess(metric, value, floor),
        "n": metric.size(measured.sets),
        "baselines": controls,
    }


def _evidence(metric: Metric, reference: Reference, measured: Measured) -> Evidence:
    name = metric.name
    if name in measured.tests:
        test, yardstick = measured.tests[name], reference.tests[name]
        return weigh_auc(test.auc, test.se, yardstick.auc, yardstick.se)
    value, yardstick = mean(measured.values[name]), mean(reference.yardstick[name])
    if metric.standard_error is not None:
        return weigh_auc(value, measured.se[name], yardstick, reference.yardstick_se[name])
    replicates = Replicates(
        measured.replicates[name], reference.floor_replicates[name], reference.yardstick_replicates[name]
    )
    scale = scale_of(metric.better, metric.rms, auc=False)
    return weigh(scale, value, reference.floor[name], yardstick, replicates, measured.df)


def excess(metric: Metric, value: float, floor: float) -> float:
    """Root of value^2 - floor^2 of a root-mean-square metric: the part that noise does not explain."""
    return float(np.sqrt(max(value**2 - floor**2, 0.0))) if metric.rms and np.isfinite(value - floor) else NAN


def _missing(metric: Metric, measured: Measured) -> str:
    if metric.name in measured.tests:
        return measured.tests[metric.name].note
    return metric.missing(measured.sets)


def _note(metric: Metric, measured: Measured) -> str:
    if (test := measured.tests.get(metric.name)) is None:
        return ""
    looks = f"; it looks at {', '.join(test.reasons)}" if test.reasons else ""
    note = f"; {test.note}" if test.note else ""
    return f"{test.chosen}, learned from {test.n_learn} trials a side, judged on {test.n_test} unseen ones{looks}{note}"


def _unscored(row: Evidence, yardstick: Any, n: int) -> str:
    """Why a row has no score."""
    if np.isfinite(row.score):
        return ""
    return f"no score: its yardstick ({CORRUPTIONS[str(yardstick)].label}) cannot be told from the floor at n = {n}"


def _words(metric: Metric, measured: Measured, level: Level) -> str:
    if metric.in_words is None or level in (Level.MATCHES, Level.CANNOT_TELL):
        return ""
    return metric.in_words(measured.sets)


def excluded_neurons(sets: ComparedSets) -> dict[str, list[int]]:
    """Neurons that some metrics leave out, by reason."""
    generated, held_out = sets.generated.sums["total"], sets.held_out.sums["total"]
    few = np.setdiff1d(np.arange(len(generated)), sets.interval_neurons)
    return {
        "silent in real": np.flatnonzero(held_out == 0).tolist(),
        "silent in generated": np.flatnonzero(generated == 0).tolist(),
        SILENCED: np.flatnonzero((generated == 0) & (held_out > 20)).tolist(),
        f"fewer than {MIN_INTERVALS} intervals (interval metrics)": few.tolist(),
    }
