"""Run the held-out protocol: generated draws, real-against-real floor, controls, and errors from trials."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from spikeloom.evaluation import metrics as m
from spikeloom.evaluation.controls import Controls, Reconstruction
from spikeloom.evaluation.pairing import Pairing
from spikeloom.evaluation.spike_statistics import correlation, covariance
from spikeloom.evaluation.summary import Frame, Summary, Trials, summarise

N_BLOCKS = 100
N_REPLICATES = 200
N_SLOW_REPLICATES = 40
"""Replicates for the metrics that are not functions of sums over trials."""

N_CLASSIFIER_DRAWS = 3
LARGE_SET = 10_000_000
"""Bins x neurons of a set above which draws scatter so little that a few of them are enough."""

MOST_BLOCK_ELEMENTS = 20_000_000
"""Elements of the per-block outer products; populations of many hundred neurons get fewer blocks."""


@dataclass(frozen=True, eq=False)
class Draws:
    """Values of every metric over repeated draws.

    Attributes:
        values: (draw,) values by source ("generated", "floor" or a control) and metric.
        se: Standard error of the generated value from the choice of trials, by metric.
        sizes: Number of neurons, pairs or trials behind each metric.
        frame: Constants fixed from the real data.
        excluded: Neurons that could not be used, by reason.
    """

    values: Mapping[str, Mapping[str, np.ndarray]]
    se: dict[str, float]
    sizes: dict[str, int]
    frame: Frame
    excluded: dict[str, list[int]]


def default_draws(n_elements: int) -> tuple[int, int]:
    """Number of generated (and control) draws and of floor draws for sets of so many bins x neurons."""
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
    known: Mapping[str, Mapping[str, np.ndarray]] | None = None,
) -> Draws:
    """Compute every metric for generated draws, floor draws and controls against the same held-out trials.

    Args:
        pairing: Real and generated trials made comparable.
        bin_s: Bin width in seconds.
        aligned: Whether bins of different trials mean the same time.
        n_draws: Draws of generated trials and of each control.
        n_floor: Draws of training trials.
        rng: Source of all randomness.
        reconstruction: Rates an autoencoder infers from the real trials, if at hand.
        progress: Called with the number of sets done and to do.
        known: Values of floor and controls, of an earlier call for the same real trials; without, they are drawn.
    """
    test = pairing.for_metrics(pairing.test)
    n_conditions = pairing.n_conditions if pairing.conditional else 1
    frame = Frame.from_real(pairing.train, test, bin_s, n_conditions, aligned)
    n_neurons = test.counts.shape[2]
    n_blocks = max(2, min(N_BLOCKS, MOST_BLOCK_ELEMENTS // n_neurons**2))
    held_out = summarise(test, frame, n_blocks)
    # When every generated trial is used there is only one such set, in whatever order.
    n_sets = 1 if len(pairing.pool.lengths) <= len(test.lengths) else n_draws

    controls = Controls(pairing.train, bin_s, pairing.n_conditions, reconstruction)
    names = ["homogeneous", *(["psth"] if aligned else []), "shuffled", "replay", "verbatim"]
    names += ["ae"] if reconstruction is not None else []
    if known:
        names, n_floor = [], 0
    plan: list[tuple[str, Callable[[], Trials]]] = [("generated", lambda: pairing.draw_generated(rng))] * n_sets
    plan += [("floor", lambda: pairing.draw_train(rng))] * n_floor
    for name in names:
        plan += [(name, lambda name=name: controls.draw(name, pairing.test, rng))] * n_draws

    rows: dict[str, list[dict[str, float]]] = {"generated": [], "floor": [], **{name: [] for name in names}}
    se, sizes, excluded = {}, {}, {}
    for done, (source, draw) in enumerate(plan):
        first = source == "generated" and not rows[source]
        summary = summarise(pairing.for_metrics(draw()), frame, n_blocks if first else 1)
        seed = int(rng.integers(2**31)) if len(rows[source]) < N_CLASSIFIER_DRAWS else None
        rows[source].append(m.heldout_metrics(summary, held_out, seed))
        if first:
            se = bootstrap_se(summary, held_out, rng)
            sizes, excluded = metric_sizes(summary, held_out), excluded_neurons(summary, held_out)
        if progress is not None:
            progress(done + 1, len(plan))
    values = {s: {k.key: np.array([row[k.key] for row in r]) for k in m.HELDOUT_METRICS} for s, r in rows.items()}
    return Draws({**values, **(known or {})}, se, sizes, frame, excluded)


# -- errors from trials ----------------------------------------------------------------------------------------------


def bootstrap_se(generated: Summary, held_out: Summary, rng: np.random.Generator) -> dict[str, float]:
    """Standard error of every metric from resampling blocks of trials of both sets.

    Only the spread of the resampled values is used: their mean is biased, resampling adds noise of its own. Most
    metrics follow from sums over trials. For interval distances and PSTHs weights are carried through to the
    distributions, with fewer replicates; the classifier's scores are resampled as they are, without fitting again.
    """
    weights = [_block_weights(len(s.starts), N_REPLICATES, rng) for s in (generated, held_out)]
    rows = []
    for g_totals, h_totals in zip(_replicates(generated, weights[0]), _replicates(held_out, weights[1])):
        rows.append(m.additive_metrics(g_totals, h_totals, held_out.frame))
    spread = {key: _sd(np.array([row[key] for row in rows if key in row])) for key in rows[0]}

    few = list(zip(weights[0][:N_SLOW_REPLICATES], weights[1][:N_SLOW_REPLICATES]))
    spread["isi_w1"] = _sd(np.array([m.interval_distance(generated, held_out, g, h) for g, h in few]))
    per_trial = [(_trial_weights(generated, g), _trial_weights(held_out, h)) for g, h in few]
    if held_out.frame.aligned:
        spread["psth_err"] = _sd(np.array([m.psth_error_weighted(generated, held_out, w) for w in per_trial]))
    scores = m.classifier_scores(generated.features, held_out.features, 0)
    draws = [[rng.integers(0, len(s), len(s)) for s in scores] for _ in range(N_REPLICATES)]
    spread["c2st_auc"] = _sd(np.array([m.auc(scores[0][g], scores[1][h]) for g, h in draws]))
    return spread


def _block_weights(n_blocks: int, n: int, rng: np.random.Generator) -> np.ndarray:
    return rng.multinomial(n_blocks, np.full(n_blocks, 1 / n_blocks), size=n).astype(np.float64)


def _replicates(summary: Summary, weights: np.ndarray) -> Iterator[dict[str, np.ndarray]]:
    for start in range(0, len(weights), 10):  # many replicates in one product, but never all of them in memory
        part = weights[start : start + 10]
        totals = {k: (part @ v.reshape(len(v), -1)).reshape(-1, *v.shape[1:]) for k, v in summary.sums.items()}
        for i in range(len(part)):
            yield {k: v[i] for k, v in totals.items()}


def _trial_weights(summary: Summary, weights: np.ndarray) -> np.ndarray:
    return np.repeat(weights, np.diff(np.append(summary.starts, len(summary.trials.lengths))))


def _sd(values: np.ndarray) -> float:
    values = values[np.isfinite(values)]
    return float(values.std(ddof=1)) if len(values) > 1 else float("nan")


# -- what was used ---------------------------------------------------------------------------------------------------


def metric_sizes(generated: Summary, held_out: Summary) -> dict[str, int]:
    """Number of neurons, of pairs of neurons, or of trials behind each metric."""
    g, h = generated.totals(), held_out.totals()

    def varying(key: str) -> np.ndarray:
        return (np.diag(g[key]) > 0) & (np.diag(h[key]) > 0)

    def pairs(kept: np.ndarray) -> int:
        return int(kept.sum() * (kept.sum() - 1) // 2)

    variances = [np.diag(covariance(float(s["n"]), s["total"], s["cross"])) for s in (g, h)]
    below = np.tri(len(variances[0]), k=-1, dtype=bool)
    finite = [np.isfinite(correlation(covariance(float(s["n"]), s["total"], s["cross"]))[below]) for s in (g, h)]
    sizes = {"rate_rmse": len(variances[0])}
    sizes |= dict.fromkeys(("corr_rmse", "corr_slope", "corr_r"), int((finite[0] & finite[1]).sum()))
    sizes |= dict.fromkeys(("noise_corr_rmse", "noise_corr_slope"), pairs(varying("noise_cross")))
    sizes["fano_rmse"] = int(((g["fano_mean"] > 0) & (h["fano_mean"] > 0)).sum())
    isi = len(m.interval_neurons(g, h))
    sizes |= dict.fromkeys(("isi_mean_rmse", "isi_std_rmse", "isi_cv_rmse", "isi_w1"), isi)
    sizes["acf_rmse"] = int(((variances[0] > 0) & (variances[1] > 0)).sum())
    sizes["psth_err"] = len(variances[0])
    return {metric.key: sizes.get(metric.key, len(held_out.trials.lengths)) for metric in m.HELDOUT_METRICS}


def excluded_neurons(generated: Summary, held_out: Summary) -> dict[str, list[int]]:
    """Neurons that some metrics leave out, by reason."""
    g, h = generated.totals(), held_out.totals()
    few = np.setdiff1d(np.arange(len(g["total"])), m.interval_neurons(g, h))
    return {
        "silent in real": np.flatnonzero(h["total"] == 0).tolist(),
        "silent in generated": np.flatnonzero(g["total"] == 0).tolist(),
        "silent in generated, more than 20 spikes in real": np.flatnonzero(
            (g["total"] == 0) & (h["total"] > 20)
        ).tolist(),
        f"fewer than {m.MIN_INTERVALS} intervals (interval metrics)": few.tolist(),
    }
