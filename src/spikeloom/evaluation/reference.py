"""The reference of held-out metrics, from real trials alone: noise floor, yardsticks, controls, and their errors.

It serves every generator that is compared with the same trials, so that their differences have errors, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from spikeloom.evaluation.baselines import Baselines, Reconstruction
from spikeloom.evaluation.classifier import TwoSampleTest
from spikeloom.evaluation.classifier_tests import Classifier, judge_yardstick
from spikeloom.evaluation.compared_sets import ComparedSets, SetStatistics, replicates
from spikeloom.evaluation.distances import classifier_scores
from spikeloom.evaluation.metric import Metric
from spikeloom.evaluation.pairing import Pairing, tied
from spikeloom.evaluation.resampling import Blocks, degrees_of_freedom, in_blocks, number_of_blocks, weights
from spikeloom.evaluation.roc import delong
from spikeloom.evaluation.summary import Frame, Summary, summarise, trial_features
from spikeloom.evaluation.verdict import MIN_TRIALS
from spikeloom.evaluation.yardsticks import CORRUPTIONS

N_REPLICATES = 100
N_SLOW_REPLICATES = 40
"""Replicates of the metrics that need whole distributions."""

MOST_RESAMPLED = 3
"""Draws of a source that are resampled: as many as are independent, but no more than that."""

N_CLASSIFIER_DRAWS = 1
"""Draws of each source that a classifier is fitted to, which is slow."""

LARGE_SET = 10_000_000
"""Bins x neurons of a set above which draws scatter so little that a few of them are enough."""

DEFAULT_YARDSTICK = "homogeneous"
"""Yardstick of a metric whose own cannot be made from these trials."""

Progress = Callable[[int, int], None]
"""Called with the number of steps done and to do."""

Values = Mapping[str, np.ndarray]
"""Draws or replicates by metric."""


@dataclass(frozen=True, eq=False)
class ResampledSet:
    """A set of trials with the bootstrap samples of its blocks.

    Attributes:
        blocks: The trials in blocks.
        summary: Their statistics.
        weights: (replicate, block) weights of the bootstrap samples.
    """

    blocks: Blocks
    summary: Summary
    weights: Float[np.ndarray, "replicate block"]

    @cached_property
    def statistics(self) -> SetStatistics:
        """Statistics of the set itself."""
        return SetStatistics(self.summary)

    def resampled(self, slow: bool) -> Iterator[SetStatistics]:
        """Statistics of the bootstrap samples; of the first few for slow metrics."""
        return replicates(self.summary, self.weights[:N_SLOW_REPLICATES] if slow else self.weights)

    def corrupted(self, name: str, mean: np.ndarray, rng: np.random.Generator) -> ResampledSet:
        """The same trials corrupted, with the same bootstrap samples."""
        frame = self.summary.frame
        trials = CORRUPTIONS[name].corrupt(self.blocks.trials, mean, frame.bin_s, rng, 1.0)
        blocks = self.blocks._replace(trials=trials)
        return ResampledSet(blocks, summarise(trials, frame, blocks.starts, blocks.unit), self.weights)


@dataclass(frozen=True, eq=False)
class Reference:
    """Real trials beside which generated ones are put, with everything that does not depend on the generated ones.

    Attributes:
        pairing: The real trials; its generated ones play no part.
        frame: Constants fixed from the real data.
        held_out: The held-out trials with their bootstrap samples, which every comparison shares.
        floor: Values of real against real, for each draw.
        floor_replicates: Bootstrap values of their mean.
        yardsticks: Name of the yardstick of each metric.
        yardstick: Its values, for each draw.
        yardstick_replicates: Bootstrap values of its mean.
        yardstick_se: Standard error of the yardstick of metrics that are not resampled.
        controls: Mean value of every corruption and cheap generator, by its name and metric.
        tests: What each classifier makes of its yardstick.
        drift: AUC of validation against held-out trials of a recording in blocks of time, and its standard error; None
            elsewhere.
        df: Degrees of freedom of the errors.
        metrics: The metrics.
    """

    pairing: Pairing
    frame: Frame
    held_out: ResampledSet
    floor: Values
    floor_replicates: Values
    yardsticks: Mapping[str, str]
    yardstick: Values
    yardstick_replicates: Values
    yardstick_se: Mapping[str, float]
    controls: Mapping[str, Mapping[str, float]]
    tests: Mapping[str, TwoSampleTest]
    drift: tuple[float, float] | None
    df: int
    metrics: Sequence[Metric] = field(repr=False)


def default_draws(n_elements: int) -> tuple[int, int]:
    """Number of generated draws and of floor draws for sets of so many bins x neurons."""
    return (10, 20) if n_elements <= LARGE_SET else (3, 5)


def make_reference(
    pairing: Pairing,
    bin_s: float,
    aligned: bool,
    n_floor: int | None,
    seed: int,
    metrics: Sequence[Metric],
    classifiers: Sequence[Classifier] = (),
    reconstruction: Reconstruction | None = None,
    progress: Progress | None = None,
) -> Reference:
    """Draw floor, yardsticks and controls, and resample them together with the held-out trials.

    Args:
        pairing: The real trials.
        bin_s: Bin width in seconds.
        aligned: Whether a bin is the same time in every trial.
        n_floor: Draws of training trials for the floor; see ``default_draws`` when not given.
        seed: Seed of every draw.
        metrics: The metrics.
        classifiers: Classifier tests.
        reconstruction: Rates an autoencoder infers from the real trials; they add the control "ae".
        progress: Called with the number of sets done and to do.
    """
    rng = np.random.default_rng([seed, 1])
    test = pairing.for_metrics(pairing.test)
    train = pairing.for_metrics(pairing.train)
    large = test.counts.size > LARGE_SET
    n_floor = n_floor or default_draws(test.counts.size)[1]
    blocks = in_blocks(test, pairing.test_unit, number_of_blocks(test.counts.shape[2]), rng)
    frame = Frame.from_real(train, blocks.trials, bin_s, pairing.n_metric_conditions, aligned, blocks.starts)
    held_out = resample(blocks, frame, rng, frame.half)
    mean_counts = train.counts.sum(axis=(0, 1), dtype=np.int64) / train.lengths.sum()

    chosen = {m.name: _yardstick(m, frame) for m in metrics}
    sources = set(chosen.values())
    # Yardsticks first, then faults that are shown as controls only.
    faults = list(dict.fromkeys([*chosen.values(), *(name for name in CORRUPTIONS if _exists(name, frame))]))
    faults = [name for name in faults if name in sources or not large]
    n_resampled = min(max(1, len(train.lengths) // len(test.lengths)), MOST_RESAMPLED, n_floor)
    n_yardsticks = 1 if large else min(2, n_resampled)
    cheap = ["psth"] if aligned and not large else []
    cheap += ["ae"] if reconstruction is not None else []
    n_faults = sum(n_yardsticks if name in sources else 1 for name in faults)
    tick = counter(progress, n_floor + n_faults + len(cheap) + len(classifiers))

    floor, floor_sets = _floor(pairing, held_out, metrics, n_floor, n_resampled, rng, tick)
    corrupted = {}
    for name in faults:
        own = [m for m in metrics if chosen[m.name] == name]
        draws = floor_sets[: n_yardsticks if own else 1]
        corrupted[name] = _corrupted(name, mean_counts, draws, held_out, own, own if large else metrics, rng, tick)
    controls = {name: fault.control(metrics, floor) for name, fault in corrupted.items()}
    baselines = Baselines(pairing.train, bin_s, pairing.n_conditions, reconstruction)
    for name in cheap:
        trials = pairing.for_metrics(baselines.draw(name, pairing.test, rng))
        controls[name] = metric_values(SetStatistics(summarise(trials, frame)), held_out.statistics, metrics, None)
        tick()
    tests = {}
    for classifier in classifiers:
        tests[classifier.metric.name] = judge_yardstick(pairing, classifier, bin_s, seed)
        tick()
    return Reference(
        pairing,
        frame,
        held_out,
        floor,
        mean_replicates([(one, metrics) for one in floor_sets], held_out),
        chosen,
        {m.name: fault.values[m.name] for fault in corrupted.values() for m in fault.own},
        mean_replicates([(one, fault.own) for fault in corrupted.values() for one in fault.sets], held_out),
        {name: se for fault in corrupted.values() for name, se in fault.standard_errors.items()},
        controls,
        tests,
        _drift(pairing),
        degrees_of_freedom(held_out.blocks, *(s.blocks for s in floor_sets)),
        metrics,
    )


def _floor(
    pairing: Pairing,
    held_out: ResampledSet,
    metrics: Sequence[Metric],
    n_draws: int,
    n_resampled: int,
    rng: np.random.Generator,
    tick: Callable[[], None],
) -> tuple[Values, list[ResampledSet]]:
    """Metrics of draws of training trials beside the held-out ones; the first few draws with bootstrap samples."""
    frame = held_out.summary.frame
    most = number_of_blocks(frame.n_neurons)
    rows, sets = [], []
    for draw in range(n_draws):
        trials, unit = pairing.draw_train(rng)
        if draw < n_resampled:
            blocks = in_blocks(pairing.for_metrics(trials), unit, most, rng)
            sets.append(one := resample(blocks, frame, rng))
            statistics = one.statistics
        else:
            statistics = SetStatistics(summarise(pairing.for_metrics(trials), frame))
        rows.append(metric_values(statistics, held_out.statistics, metrics, None))
        tick()
    return {m.name: np.array([row[m.name] for row in rows]) for m in metrics}, sets


@dataclass(frozen=True, eq=False)
class CorruptedDraws:
    """Floor draws with a known fault, beside the held-out trials.

    Attributes:
        sets: The corrupted draws.
        own: Metrics whose yardstick the fault is.
        values: Values of those metrics for every draw, of others for the first draw alone.
        standard_errors: Of those that are not resampled.
    """

    sets: Sequence[ResampledSet]
    own: Sequence[Metric]
    values: Values
    standard_errors: Mapping[str, float]

    def control(self, metrics: Sequence[Metric], floor: Values) -> dict[str, float]:
        """Mean value of each metric; one from the first draw alone as if that floor draw had been an average one."""
        yardstick_of = {m.name for m in self.own}
        return {
            m.name: mean(self.values[m.name])
            if m.name in yardstick_of
            else with_mean_floor(m, self.values[m.name][0], floor[m.name])
            for m in metrics
            if m.name in self.values
        }


def _corrupted(
    fault: str,
    mean_counts: np.ndarray,
    draws: Sequence[ResampledSet],
    held_out: ResampledSet,
    own: Sequence[Metric],
    metrics: Sequence[Metric],
    rng: np.random.Generator,
    tick: Callable[[], None],
) -> CorruptedDraws:
    """Corrupt floor draws, and measure the first by all these metrics and the others by their own."""
    sets, rows = [], []
    for draw, floor_set in enumerate(draws):
        sets.append(one := floor_set.corrupted(fault, mean_counts, rng))
        judged = any(m.standard_error is not None for m in own)
        seed = classifier_seed(rng, draw) if judged else None
        rows.append(metric_values(one.statistics, held_out.statistics, own if draw else metrics, seed))
        tick()
    values = {name: np.array([row[name] for row in rows if name in row]) for name in rows[0]}
    first = ComparedSets(sets[0].statistics, held_out.statistics)
    errors = {m.name: m.standard_error(first) for m in own if m.standard_error is not None}
    return CorruptedDraws(sets, own, values, errors)


def resample(
    blocks: Blocks, frame: Frame, rng: np.random.Generator, half: Int[np.ndarray, "trial"] | None = None
) -> ResampledSet:
    """A set of trials in blocks with bootstrap samples of them; for held-out trials with their halves."""
    summary = summarise(blocks.trials, frame, blocks.starts, blocks.unit, half)
    return ResampledSet(blocks, summary, weights(blocks, N_REPLICATES, rng))


def _drift(pairing: Pairing) -> tuple[float, float] | None:
    """How well validation and held-out trials of a recording that was divided in time are told apart."""
    val, test = (pairing.for_metrics(trials) for trials in (pairing.val, pairing.test))
    if not tied(pairing.test_unit) or min(len(val.lengths), len(test.lengths)) < MIN_TRIALS:
        return None
    earlier, later = (trial_features(side.counts, side.lengths) for side in (val, test))
    units = pairing.val_unit, pairing.test_unit
    return delong(*classifier_scores(earlier, later, 0, units), units)


def _exists(name: str, frame: Frame) -> bool:
    return not CORRUPTIONS[name].needs_conditions or (frame.aligned and frame.n_conditions > 1)


def _yardstick(metric: Metric, frame: Frame) -> str:
    return metric.yardstick if _exists(metric.yardstick, frame) else DEFAULT_YARDSTICK


def metric_values(
    generated: SetStatistics, held_out: SetStatistics, metrics: Sequence[Metric], classifier_seed: int | None
) -> dict[str, float]:
    """Every metric of one set beside the held-out trials; without a seed, none of a classifier."""
    sets = ComparedSets(generated, held_out, classifier_seed)
    return {m.name: m.value(sets) for m in metrics}


def mean_replicates(
    sources: Sequence[tuple[ResampledSet, Sequence[Metric]]], held_out: ResampledSet
) -> dict[str, np.ndarray]:
    """Bootstrap values of each metric, averaged over the sets it is computed for.

    Each set has bootstrap samples of its own; those of the held-out trials are the same for all sets, in every call.
    """
    out: dict[str, np.ndarray] = {}
    for slow in (False, True):
        own = [
            (one, [m for m in metrics if (m.resampled == "distributions") is slow and m.standard_error is None])
            for one, metrics in sources
        ]
        own = [(one, metrics) for one, metrics in own if metrics]
        if not own:
            continue
        values: dict[str, list[list[float]]] = {m.name: [] for _, metrics in own for m in metrics}
        for h, *drawn in zip(held_out.resampled(slow), *(one.resampled(slow) for one, _ in own)):
            row: dict[str, list[float]] = {name: [] for name in values}
            for g, (_, metrics) in zip(drawn, own):
                sets = ComparedSets(g, h)
                for metric in metrics:
                    row[metric.name].append(metric.value(sets))
            for name, each in row.items():
                values[name].append(each)
        out |= {name: np.mean(rows, axis=1) for name, rows in values.items()}
    return out


def classifier_seed(rng: np.random.Generator, draw: int) -> int | None:
    """Seed of the classifier for a draw of a source; None where it is left out."""
    seed = int(rng.integers(2**31))
    return seed if draw < N_CLASSIFIER_DRAWS else None


def with_mean_floor(metric: Metric, value: float, floor: np.ndarray) -> float:
    """Value of a control that was made from the first floor draw, as if that draw had been an average one."""
    base = floor.mean()
    if metric.rms:
        return float(np.sqrt(max(value**2 + base**2 - floor[0] ** 2, 0.0)))
    return float(value + base - floor[0])


def mean(values: np.ndarray) -> float:
    """Mean of the values that exist; NaN where there is none."""
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else float("nan")


def part(progress: Progress | None, which: int, of: int) -> Progress | None:
    """The progress of one of several parts of a job, as progress of the whole."""
    if progress is None:
        return None
    # In hundredths, as parts have different numbers of steps.
    return lambda done, total: progress(round(100 * (which + done / total) / of), 100)


def counter(progress: Progress | None, total: int) -> Callable[[], None]:
    """A function to call after each step, which reports progress."""
    done = 0

    def tick() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    return tick
