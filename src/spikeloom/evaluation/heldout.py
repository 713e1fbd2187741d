"""Run the held-out protocol: generated draws, real-against-real floor, baselines, and errors from trials."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from spikeloom.evaluation.baselines import Baselines, Reconstruction
from spikeloom.evaluation.compared_sets import MIN_INTERVALS, ComparedSets, SetStatistics, replicates
from spikeloom.evaluation.distances import sd
from spikeloom.evaluation.metric import Metric
from spikeloom.evaluation.metrics import HELDOUT_METRICS
from spikeloom.evaluation.pairing import Pairing
from spikeloom.evaluation.summary import Frame, TrialSet, summarise

N_BLOCKS = 100
N_REPLICATES = 200
N_SLOW_REPLICATES = 40
"""Replicates for the metrics that are not functions of sums over trials."""

N_CLASSIFIER_DRAWS = 3
"""Draws of each source that a classifier is fitted to, which is slow."""

LARGE_SET = 10_000_000
"""Bins x neurons of a set above which draws scatter so little that a few of them are enough."""

SILENCED = "silent in generated, more than 20 spikes in real"


@dataclass(frozen=True, eq=False)
class Draws:
    """Values of every metric over repeated draws.

    Attributes:
        values: (draw,) values by source ("generated", "floor" or a baseline) and metric.
        se: Standard error of the generated value from the choice of trials, by metric.
        sizes: Number of neurons, pairs or trials behind each metric.
        frame: Constants fixed from the real data.
        missing: Why a metric has no value, should it have none.
        excluded: Neurons that could not be used, by reason.
    """

    values: Mapping[str, Mapping[str, np.ndarray]]
    se: dict[str, float]
    sizes: dict[str, int]
    missing: dict[str, str]
    frame: Frame
    excluded: dict[str, list[int]]


def default_draws(n_elements: int) -> tuple[int, int]:
    """Number of generated (and baseline) draws and of floor draws for sets of so many bins x neurons."""
    return (10, 20) if n_elements <= LARGE_SET else (3, 8)


def heldout_draws(
    pairing: Pairing,
    bin_s: float,
    aligned: bool,
    n_draws: int,
    n_floor: int,
    rng: np.random.Generator,
    reconstruction: Reconstruction | None = None,
    progress: Callable[[int, int], None] | None = None,
    earlier: Mapping[str, Mapping[str, np.ndarray]] | None = None,
    metrics: Sequence[Metric] = HELDOUT_METRICS,
) -> Draws:
    """Compute every metric for generated draws, floor draws and baselines against the same held-out trials.

    Args:
        pairing: Real and generated trials made comparable.
        bin_s: Bin width in seconds.
        aligned: Whether bins of different trials mean the same time.
        n_draws: Draws of generated trials and of each baseline.
        n_floor: Draws of training trials.
        rng: Source of all randomness.
        reconstruction: Rates an autoencoder infers from the real trials, if at hand.
        progress: Called with the number of sets done and to do.
        earlier: Values of floor and baselines from an earlier call for the same real trials; drawn when not given.
        metrics: The metrics to compute.
    """
    test = pairing.for_metrics(pairing.test)
    n_conditions = pairing.n_conditions if pairing.conditional else 1
    frame = Frame.from_real(pairing.train, test, bin_s, n_conditions, aligned)
    starts = np.unique(np.linspace(0, len(test.lengths), N_BLOCKS, endpoint=False).astype(np.int64))
    held_out = SetStatistics(summarise(test, frame, starts))
    # When every generated trial is used there is only one such set, in whatever order.
    n_sets = 1 if len(pairing.pool.lengths) <= len(test.lengths) else n_draws

    baselines = Baselines(pairing.train, bin_s, pairing.n_conditions, reconstruction)
    names = ["homogeneous", *(["psth"] if aligned else []), "shuffled", "replay", "verbatim"]
    names += ["ae"] if reconstruction is not None else []
    if earlier:
        names, n_floor = [], 0
    plan: list[tuple[str, Callable[[], TrialSet]]] = [("generated", lambda: pairing.draw_generated(rng))] * n_sets
    plan += [("floor", lambda: pairing.draw_train(rng))] * n_floor
    for name in names:
        plan += [(name, lambda name=name: baselines.draw(name, pairing.test, rng))] * n_draws

    rows: dict[str, list[dict[str, float]]] = {"generated": [], "floor": [], **{name: [] for name in names}}
    se, sizes, missing, excluded = {}, {}, {}, {}
    for done, (source, draw) in enumerate(plan):
        first = source == "generated" and not rows[source]
        summary = summarise(pairing.for_metrics(draw()), frame, starts if first else None)
        seed = int(rng.integers(2**31)) if len(rows[source]) < N_CLASSIFIER_DRAWS else None
        sets = ComparedSets(SetStatistics(summary), held_out, seed)
        rows[source].append({m.name: m.value(sets) for m in metrics})
        if first:
            se = bootstrap_se(sets, metrics, rng)
            sizes = {m.name: m.size(sets) for m in metrics}
            missing = {m.name: m.missing(sets) for m in metrics}
            excluded = excluded_neurons(sets)
        if progress is not None:
            progress(done + 1, len(plan))
    values = {s: {m.name: np.array([row[m.name] for row in r]) for m in metrics} for s, r in rows.items()}
    return Draws({**values, **(earlier or {})}, se, sizes, missing, frame, excluded)


# -- errors from trials ----------------------------------------------------------------------------------------------


def bootstrap_se(sets: ComparedSets, metrics: Sequence[Metric], rng: np.random.Generator) -> dict[str, float]:
    """Standard error of every metric from resampling blocks of trials of both sets.

    Only the spread of the resampled values is used: their mean is biased, resampling adds noise of its own. Most
    metrics follow from sums over trials. For whole distributions weights are carried through to them, with fewer
    replicates.
    """
    sides = sets.generated.summary, sets.held_out.summary
    weights = [_block_weights(len(side.starts), N_REPLICATES, rng) for side in sides]
    resampled: dict[str, list[float]] = {metric.name: [] for metric in metrics if metric.standard_error is None}

    def add(kind: str, replicate: ComparedSets) -> None:
        for metric in metrics:
            if metric.name in resampled and metric.resampled == kind:
                resampled[metric.name].append(metric.value(replicate))

    for g, h in zip(*(replicates(side, w) for side, w in zip(sides, weights))):
        add("sums", ComparedSets(g, h))
    for g, h in zip(*(replicates(side, w[:N_SLOW_REPLICATES]) for side, w in zip(sides, weights))):
        add("distributions", ComparedSets(g, h))
    spread = {name: sd(values) for name, values in resampled.items()}
    for metric in metrics:
        if metric.standard_error is not None:
            spread[metric.name] = metric.standard_error(sets, rng, N_REPLICATES)
    return spread


def _block_weights(n_blocks: int, n: int, rng: np.random.Generator) -> np.ndarray:
    return rng.multinomial(n_blocks, np.full(n_blocks, 1 / n_blocks), size=n).astype(np.float64)


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
