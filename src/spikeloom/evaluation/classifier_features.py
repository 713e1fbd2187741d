"""Features of single trials from which a classifier tells generated from real ones, and what each says in words.

Products of counts are taken around means fixed from the trials to learn from, of both sets together, so that their sums
keep what varies between trials; a basis from one set alone would fit that set's own trials better than new ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from spikeloom.evaluation.spike_statistics import CHUNK_ELEMENTS, valid_mask
from spikeloom.evaluation.trial_set import TrialSet, spread_out, trials_within

N_LAGS = 8
PAIRED_COMPONENTS = (49, 30, 30)
"""Leading principal components whose covariances are taken at lags 0, 1 and 2: some 3,000 pairs.

A rotation of all pairwise covariances where there are few neurons; of many neurons, the part that varies most. It tells
more than the covariances of the neurons themselves, and far more than as many random sums of them.
"""

COMPONENT_GROUPS = ((0, 3), (3, 8), (8, 16), (16, 32), (32, 64))
"""Principal components whose features are named together, first and one past the last."""

OUTSIDE = (3, 8, 16)
"""Numbers of leading components outside of which the rest of a trial is measured."""

N_EDGE_BINS = 3
"""Bins at the start and at the end of a trial that are set against its mean."""

MOST_COMPONENTS = 256
"""Components beyond which nothing is looked at: of many neurons, the rest are noise, and their products are costly."""

MOST_PREDICTORS = 300
"""Neurons from which the others are predicted; of larger populations a random choice."""

MOST_FITTED = 60_000_000
"""Bins x neurons from which the constants are fixed; of larger sets some of the trials are used."""

RIDGE = 0.05
"""Added to correlations of 1 before one neuron is predicted from the others."""

TINY = 1e-3


class Kind(NamedTuple):
    """A group of features and its meaning.

    Attributes:
        name: In words.
        less: What is said when generated trials have less of it.
        more: What is said when they have more.
        signed: Whether values around zero are meant, so that "more" is farther from zero.
    """

    name: str
    less: str = "too low"
    more: str = "too high"
    signed: bool = False


class Block(NamedTuple):
    """Features of one kind: values (trial, feature), and whether there is one for each neuron.

    The features from ``n_directed`` on say nothing about more or less.
    """

    kind: Kind
    values: np.ndarray
    per_neuron: bool = False
    n_directed: int | None = None


@dataclass(frozen=True, eq=False)
class Features:
    """Features of a set of trials.

    Attributes:
        values: (trial, feature) values in single precision.
        kinds: The kinds of features.
        kind: (feature,) index into ``kinds``.
        neuron: (feature,) the neuron it belongs to, -1 for none.
        directed: (feature,) whether a larger value means more of what the kind measures.
    """

    values: Float[np.ndarray, "trial feature"]
    kinds: tuple[Kind, ...]
    kind: np.ndarray
    neuron: np.ndarray
    directed: np.ndarray


@dataclass(frozen=True, eq=False)
class FeatureBasis:
    """Constants that the features of all sets share, fixed from the trials to learn from.

    Attributes:
        mean: (neuron,) mean count.
        sd: (neuron,) standard deviation of counts, one for silent neurons.
        components: (neuron, component) principal components of the standardised counts, largest variance first.
        predictors: Neurons that predict the others; None for all.
        prediction: (predictor, neuron) weights by which others predict each neuron's standardised count (ridge).
        patterns: For each lag the (component, component) mean covariances of different neurons, in components.
        bin_s: Bin width in seconds.
    """

    mean: np.ndarray
    sd: np.ndarray
    components: np.ndarray
    predictors: np.ndarray | None
    prediction: np.ndarray
    patterns: tuple[np.ndarray, ...]
    bin_s: float

    @classmethod
    def fit(cls, sets: tuple[TrialSet, ...], bin_s: float) -> FeatureBasis:
        """Fix the constants from sets of trials that are treated alike."""
        n_neurons = sets[0].counts.shape[2]
        total = np.zeros(n_neurons)
        products = np.zeros((len(PAIRED_COMPONENTS), n_neurons, n_neurons))
        pairs = np.zeros(len(PAIRED_COMPONENTS))
        for trials in (spread_out(each, trials_within(each.counts.shape, MOST_FITTED // len(sets))) for each in sets):
            for _, counts in _chunks(trials):
                total += counts.sum(axis=(0, 1))
                for lag in range(min(len(pairs), counts.shape[1])):
                    early, late = counts[:, : counts.shape[1] - lag], counts[:, lag:]
                    products[lag] += early.reshape(-1, n_neurons).T @ late.reshape(-1, n_neurons)
            pairs += [np.maximum(trials.lengths - lag, 0).sum() for lag in range(len(pairs))]
        mean = total / pairs[0]
        covariances = products / np.maximum(pairs, 1)[:, None, None] - np.outer(mean, mean)
        sd = np.sqrt(np.maximum(np.diag(covariances[0]), 0))
        sd = np.where(sd > 1e-6, sd, 1.0)
        correlations = covariances / np.outer(sd, sd)
        components = np.linalg.eigh(correlations[0])[1][:, : -MOST_COMPONENTS - 1 : -1]
        between = correlations * (1 - np.eye(n_neurons))
        patterns = tuple(components.T @ each @ components for each in between)
        predictors, prediction = _prediction(correlations[0])
        mean, sd, components, prediction = (x.astype(np.float32) for x in (mean, sd, components, prediction))
        patterns = tuple(x.astype(np.float32) for x in patterns)
        return cls(mean, sd, components, predictors, prediction, patterns, bin_s)

    def standardised(self, counts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Counts minus the mean over the standard deviation, zero in the padding."""
        z = (counts - self.mean) / self.sd
        if (lengths < counts.shape[1]).any():
            z *= valid_mask(lengths, counts.shape[1])[..., None]
        return z

    def private(self, z: np.ndarray) -> np.ndarray:
        """Standardised counts without the prediction of the other neurons."""
        return z - (z if self.predictors is None else np.take(z, self.predictors, axis=2)) @ self.prediction


def _prediction(
    correlations: Float[np.ndarray, "neuron neuron"],
) -> tuple[np.ndarray | None, Float[np.ndarray, "predictor neuron"]]:
    """Ridge regression of every neuron on the others, or on some of them, all from one inverse; see ``private.py``."""
    n = len(correlations)
    some = None if n <= MOST_PREDICTORS else np.sort(np.random.default_rng(0).permutation(n)[:MOST_PREDICTORS])
    chosen = np.arange(n) if some is None else some
    inverse = np.linalg.inv(correlations[np.ix_(chosen, chosen)] + RIDGE * np.eye(len(chosen)))
    weights = inverse @ correlations[chosen]
    weights[:, chosen] = -inverse / np.diag(inverse)
    weights[np.arange(len(chosen)), chosen] = 0
    return some, weights


def rich_features(trials: TrialSet, basis: FeatureBasis) -> Features:
    """Features of each trial, in the order of the blocks below; lengths enter only through the valid bins."""
    parts = [
        [_with_mean(b) if b.per_neuron else b for b in _blocks(counts, trials.lengths[part], basis)]
        for part, counts in _chunks(trials)
    ]
    first = parts[0]
    values = np.vstack([np.hstack([b.values for b in part], dtype=np.float32) for part in parts])
    kinds = tuple(dict.fromkeys(b.kind for b in first))
    sizes = [b.values.shape[1] for b in first]
    neuron = [np.arange(-1, n - 1) if b.per_neuron else np.full(n, -1) for b, n in zip(first, sizes)]
    directed = [np.arange(n) < (n if b.n_directed is None else b.n_directed) for b, n in zip(first, sizes)]
    kind = np.repeat([kinds.index(b.kind) for b in first], sizes)
    return Features(values, kinds, kind, np.concatenate(neuron), np.concatenate(directed))


# -- blocks ----------------------------------------------------------------------------------------------------------


def _blocks(counts: np.ndarray, lengths: np.ndarray, basis: FeatureBasis) -> Iterator[Block]:
    n = lengths[:, None].astype(np.float32)
    mean = counts.sum(axis=1) / n
    z = basis.standardised(counts, lengths)
    yield from _single_counts(counts, mean, n)
    yield from _products(z, n, "autocovariance", basis.bin_s)
    yield from _products(basis.private(z), n, "autocovariance that other neurons do not share", basis.bin_s)
    w = z @ basis.components
    yield from _pair_blocks(w, n, basis)
    yield from _component_blocks(w[..., : COMPONENT_GROUPS[-1][1]], z, n)
    yield from _population(counts.sum(axis=2), lengths, basis.bin_s)
    yield from _edges(counts, mean, lengths)


def _single_counts(counts: np.ndarray, mean: np.ndarray, n: np.ndarray) -> Iterator[Block]:
    yield Block(Kind("mean rate"), np.sqrt(mean), True)
    shares = [np.count_nonzero(counts == k, axis=1) / n for k in (1, 2)]
    many = np.count_nonzero(counts >= 3, axis=1) / n
    few = ("too few", "too many")
    yield Block(Kind("share of bins without spikes", *few), 1 - shares[0] - shares[1] - many, True)
    yield Block(Kind("share of bins with 1 spike", *few), shares[0], True)
    yield Block(Kind("share of bins with 2 spikes", *few), shares[1], True)
    yield Block(Kind("share of bins with 3 or more spikes", *few), many, True)
    yield Block(Kind("largest count of a trial"), counts.max(axis=1), True)
    variance = np.einsum("btn,btn->bn", counts, counts) / n - mean**2
    yield Block(Kind("variance of counts within a trial", "too small", "too large"), variance, True)
    occupied = counts > 0
    adjacent = np.count_nonzero(occupied[:, 1:] & occupied[:, :-1], axis=1) / n
    yield Block(Kind("share of adjacent bins that both hold spikes", *few), adjacent, True)


def _products(z: np.ndarray, n: np.ndarray, name: str, bin_s: float) -> Iterator[Block]:
    trial_mean = z.sum(axis=1) / n
    title = name.replace("autocovariance", "variance of trial means")
    yield Block(Kind(title, "too small", "too large"), trial_mean**2, True)
    kind = Kind(f"{name} up to {_duration(N_LAGS * bin_s)}", "too weak", "too strong", True)
    for lag in range(1, N_LAGS + 1):
        yield Block(kind, _lagged(z, z, lag) / np.maximum(n - lag, 1), True)


def _pair_blocks(w: np.ndarray, n: np.ndarray, basis: FeatureBasis) -> Iterator[Block]:
    n_bins = w.shape[1]
    for lag, (most, pattern) in enumerate(zip(PAIRED_COMPONENTS, basis.patterns)):
        where = f"at lags up to {_duration((len(basis.patterns) - 1) * basis.bin_s)}" if lag else "within a bin"
        kind = Kind(f"covariances between neurons {where}", "too weak", "too strong")
        early, late = (w[:, : n_bins - lag], w[:, lag:]) if lag < n_bins else (np.zeros_like(w),) * 2
        products = early.transpose(0, 2, 1) @ late
        strength = products.reshape(len(w), -1) @ pattern.ravel()
        k = min(most, products.shape[1])
        chosen = np.tri(k, k=-1, dtype=bool) if lag == 0 else ~np.eye(k, dtype=bool)
        values = np.hstack([strength[:, None], products[:, :k, :k][:, chosen]]) / np.maximum(n - lag, 1)
        yield Block(kind, values, n_directed=1)


def _component_blocks(w: np.ndarray, z: np.ndarray, n: np.ndarray) -> Iterator[Block]:
    energy = np.einsum("btk,btk->bk", w, w) / n
    lagged = _lagged(w, w, 1) / n
    mean = w.sum(axis=1) / n
    size = ("too small", "too large")
    for first, last in COMPONENT_GROUPS:
        part = slice(first, last)
        if energy[:, part].shape[1]:
            where = f"of principal components {first + 1} to {min(last, energy.shape[1])}"
            yield Block(Kind(f"variance {where}", *size), np.log(energy[:, part] + TINY))
            yield Block(Kind(f"autocovariance {where}", "too weak", "too strong", signed=True), lagged[:, part])
            yield Block(Kind(f"variance of trial means {where}", *size), mean[:, part] ** 2)
    # What lies outside the leading components is all of it minus what lies inside: rotations keep sums of squares.
    trial_mean = z.sum(axis=1) / n
    totals = [
        np.einsum("btn,btn->b", z, z) / n[:, 0],
        _lagged(z, z, 1).sum(axis=1) / n[:, 0],
        (trial_mean**2).sum(axis=1),
    ]
    for k in OUTSIDE:
        if k < z.shape[2]:
            outside = [t - inside[:, :k].sum(axis=1) for t, inside in zip(totals, (energy, lagged, mean**2))]
            outside[0] = np.log(np.maximum(outside[0], 0) + TINY)
            yield Block(Kind(f"activity outside the leading {k} components", *size), np.stack(outside, axis=1))


def _population(spikes: np.ndarray, lengths: np.ndarray, bin_s: float) -> Iterator[Block]:
    valid = valid_mask(lengths, spikes.shape[1])
    n = lengths.astype(np.float32)
    mean = spikes.sum(axis=1) / n
    centred = (spikes - mean[:, None]) * valid
    variance = (centred**2).sum(axis=1) / n
    scale = variance + TINY
    yield Block(Kind("population rate"), np.sqrt(mean)[:, None])
    yield Block(Kind("variance of the population count", "too small", "too large"), np.log(scale)[:, None])
    kind = Kind(f"autocorrelation of the population count up to {_duration(4 * bin_s)}", "too weak", "too strong", True)
    lagged = [_lagged(centred, centred, lag) / np.maximum(n - lag, 1) / scale for lag in (1, 2, 3, 4)]
    yield Block(kind, np.stack(lagged, axis=1))
    skewness = (centred**3).sum(axis=1) / n / scale**1.5
    yield Block(Kind("skewness of the population count"), skewness[:, None])
    yield Block(Kind("largest population count of a trial"), spikes.max(axis=1)[:, None])
    smallest = np.where(valid, spikes, np.inf).min(axis=1)
    yield Block(Kind("smallest population count of a trial"), smallest[:, None])


def _edges(counts: np.ndarray, mean: np.ndarray, lengths: np.ndarray) -> Iterator[Block]:
    trial = np.arange(len(counts))[:, None]
    n_edge = np.minimum(lengths, N_EDGE_BINS)[:, None]
    for name, place in (
        ("first", np.minimum(np.arange(N_EDGE_BINS), n_edge - 1)),
        ("last", lengths[:, None] - 1 - np.minimum(np.arange(N_EDGE_BINS), n_edge - 1)),
    ):
        difference = counts[trial, place].mean(axis=1) - mean
        kind = Kind(f"counts in the {name} bins against the trial's mean")
        yield Block(kind, difference, True)


def _with_mean(block: Block) -> Block:
    """The block led by its mean over neurons, in which a small change of all neurons shows best."""
    return block._replace(values=np.hstack([block.values.mean(axis=1, keepdims=True), block.values]))


# -- helpers ---------------------------------------------------------------------------------------------------------


def _chunks(trials: TrialSet) -> Iterator[tuple[slice, np.ndarray]]:
    """Slices of whole trials and their counts in single precision."""
    n_trials, n_bins, n_neurons = trials.counts.shape
    step = max(1, CHUNK_ELEMENTS // max(1, n_bins * n_neurons))
    for start in range(0, n_trials, step):
        part = slice(start, start + step)
        yield part, trials.counts[part].astype(np.float32)


def _lagged(a: np.ndarray, b: np.ndarray, lag: int) -> np.ndarray:
    """Summed products of ``a`` and later ``b``, (trial, ...); zero for lags beyond the trial."""
    if lag >= a.shape[1]:
        return np.zeros((len(a), *a.shape[2:]), np.float32)
    return np.einsum("bt...,bt...->b...", a[:, : a.shape[1] - lag], b[:, lag:])


def _duration(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 1 else f"{seconds * 1e3:.3g} ms"
