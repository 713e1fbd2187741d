"""How fast the metrics are: against a plain Python loop, and for two sets of MC_Maze size.

    python benchmarks/metrics.py

Prints Markdown. Ratios compare two ways of computing the same numbers in the same run.
"""

from __future__ import annotations

import numpy as np

from shared import seconds
from spikeloom.bench.tables import markdown_table as table
from spikeloom.evaluation import published
from spikeloom.evaluation import spike_statistics as ss
from spikeloom.evaluation.metrics import heldout_metrics
from spikeloom.evaluation.summary import Frame, TrialSet, summarise

BIN_S = 0.005
LOOP_SIZE = (60, 140, 182)
MAZE_SIZE = (2000, 140, 182)


def population(seed: int, size: tuple[int, int, int]) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rate = np.minimum(rng.gamma(0.5, 0.04, size[2]), 0.5)
    return rng.poisson(rate, size).astype(np.uint8)


def loop_statistics(counts: np.ndarray) -> tuple[list[float], list[float], np.ndarray]:
    """Mean and sd of each neuron's intervals and all pairwise correlations, one bin at a time."""
    n_trials, n_bins, n_neurons = counts.shape
    means, sds = [], []
    for n in range(n_neurons):
        intervals = []
        for b in range(n_trials):
            last = None
            for t in range(n_bins):
                c = int(counts[b, t, n])
                for j in range(c):
                    now = BIN_S * (t + (j + 1) / (c + 1))
                    if last is not None:
                        intervals.append(now - last)
                    last = now
        means.append(float(np.mean(intervals)) if intervals else float("nan"))
        sds.append(float(np.std(intervals)) if intervals else float("nan"))
    flat = counts.reshape(-1, n_neurons).astype(float)
    correlations = np.full((n_neurons, n_neurons), np.nan)
    for i in range(n_neurons):
        for j in range(i):
            if flat[:, i].any() and flat[:, j].any():
                correlations[i, j] = np.corrcoef(flat[:, i], flat[:, j])[0, 1]
    return means, sds, correlations


def fast_statistics(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same numbers, vectorised."""
    lengths = np.full(len(counts), counts.shape[1])
    intervals, neuron = ss.interspike_intervals(counts, lengths, BIN_S)
    _, mean, sd = ss.interval_moments(intervals, neuron, counts.shape[2])
    return mean, sd, ss.correlation_matrix(counts, lengths)


def published_numbers(sets: list[TrialSet]) -> dict[str, float]:
    """The four numbers of the published protocol, without resampling."""
    model, data = (published.published_statistics(t) for t in sets)
    most = int(max(model.population.max(), data.population.max()))
    return published.ldns_metrics(*(published.describe(s, None, BIN_S) for s in (model, data)), most)


def heldout_numbers(sets: list[TrialSet], frame: Frame, classifier_seed: int | None) -> dict[str, float]:
    """Every held-out metric of one generated set, statistics of both sides included."""
    return heldout_metrics(*(summarise(t, frame) for t in sets), classifier_seed)


def main() -> None:
    counts = population(0, LOOP_SIZE)
    slow, fast = loop_statistics(counts), fast_statistics(counts)
    for a, b in zip(slow, fast):
        below = np.tri(len(b), k=-1, dtype=bool) if b.ndim == 2 else slice(None)
        np.testing.assert_allclose(np.asarray(a)[below], b[below], atol=1e-9)
    loop_s = seconds(lambda: loop_statistics(counts), 1, warm_up=0)
    fast_s = seconds(lambda: fast_statistics(counts))

    sets = []
    for seed in (1, 2):
        counts = population(seed, MAZE_SIZE)
        condition = np.arange(len(counts)) % 108
        sets.append(TrialSet(counts, np.full(len(counts), counts.shape[1]), condition))
    frame = Frame.from_real(sets[0], sets[1], BIN_S, 108, aligned=True)
    sizes = [" x ".join(map(str, s)) for s in (LOOP_SIZE, MAZE_SIZE)]
    two = f"two sets of {sizes[1]}"
    rows = [
        ["interval mean and sd, correlations: Python loop", sizes[0], f"{loop_s:.3g}", 1],
        ["the same, vectorised", sizes[0], f"{fast_s:.3g}", f"{loop_s / fast_s:.0f}"],
    ]
    for name, call in {
        "four published numbers": lambda: published_numbers(sets),
        "all held-out metrics but the classifier": lambda: heldout_numbers(sets, frame, None),
        "all held-out metrics": lambda: heldout_numbers(sets, frame, 0),
    }.items():
        rows.append(
            [name, two, f"{seconds(call, repeats=1 if name == 'all held-out metrics' else 3, warm_up=0):.3g}", ""]
        )
    print(table(["work", "size", "seconds", "ratio"], rows))


if __name__ == "__main__":
    main()
