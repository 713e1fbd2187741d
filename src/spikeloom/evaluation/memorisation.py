"""Does a generator copy its training trials? Nearest neighbours among training and held-out trials tell.

A diffusion or flow model with a few thousand training trials reaches its optimum by replaying them, and every
two-sample metric rewards that. Unseen real trials are the yardstick: an honest sample is nearest to a training trial
exactly as often as the share of training trials among all real ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from spikeloom.evaluation.dynamics import gaussian_smooth
from spikeloom.evaluation.spike_statistics import float_chunks, valid_mask
from spikeloom.evaluation.summary import TrialSet

WIDTHS_S = (0.05, 0.1)
MIN_HELD_OUT_PER_CONDITION = 20
MOST_PRODUCTS = 5e10
"""Multiplications spent on distances at one width; more generated trials than that allows are subsampled."""


@dataclass(frozen=True)
class CopyTest:
    """Result at one smoothing width.

    Attributes:
        width_s: Standard deviation of the smoothing, seconds.
        copy_share: 0 when training trials are not preferred as neighbours, 1 when every sample is nearest to one.
        se: Standard error of ``copy_share`` without copying.
        nn_ratio: Median distance generated to training over median distance held-out to training.
    """

    width_s: float
    copy_share: float
    se: float
    nn_ratio: float

    @property
    def significant(self) -> bool:
        """Whether training trials are preferred by more than chance and by more than a tenth."""
        return self.copy_share > 0.1 and self.copy_share > 3 * self.se


@dataclass(frozen=True)
class Memorisation:
    """Verdict on copying.

    Attributes:
        copy_share: From the width with the stronger evidence.
        se: Its standard error.
        nn_ratio: At that width.
        detectable_share: Smallest share of copies that would have raised the alarm, 3 standard errors.
        duplicates: Generated trials identical to a training trial (empty trials not counted).
        duplicates_held_out: The same among held-out trials, which cannot be copies.
        alarm: Whether copying was found.
        reasons: What raised the alarm.
        n_generated: Generated trials examined for neighbours.
        within_condition: Whether neighbours were sought within the same condition only.
        widths: The test at each smoothing width.
    """

    copy_share: float
    se: float
    nn_ratio: float
    detectable_share: float
    duplicates: int
    duplicates_held_out: int
    alarm: bool
    reasons: tuple[str, ...]
    n_generated: int
    within_condition: bool
    widths: tuple[CopyTest, ...]

    def sentence(self) -> str:
        """The verdict in words; a clean result is a statement about sensitivity, never about privacy."""
        if self.alarm:
            return f"Copying of training trials detected: {'; '.join(self.reasons)}."
        if not np.isfinite(self.copy_share):
            return "Copying could not be tested."
        text = (
            f"No copying detected at this sensitivity (a copied share above {max(self.detectable_share, 0.1):.2f} "
            "would have been)"
        )
        if self.nn_ratio < 0.9:
            text += (
                f", but samples lie closer to training trials than unseen trials do (nn_ratio {self.nn_ratio:.2f}): "
                "too little variability, or blurred copies"
            )
        return text + "."


def memorisation(generated: TrialSet, train: TrialSet, test: TrialSet, bin_s: float, seed: int = 0) -> Memorisation:
    """Test whether generated trials are copies, exact or with fresh noise, of training trials.

    Trials are compared as square roots of smoothed counts (Gaussian of 50 and of 100 ms). Nothing in that embedding
    is learned: a projection fitted to the training trials would itself set unseen trials apart from them.

    Args:
        generated: Generated trials.
        train: The trials the generator was trained on.
        test: Real trials it never saw.
        bin_s: Bin width in seconds.
        seed: Chooses which generated trials are examined where there are very many.
    """
    rng = np.random.default_rng(seed)
    real = TrialSet(*(np.concatenate(pair) for pair in zip(train, test)))
    in_train = np.arange(len(real.counts)) < len(train.counts)
    held_out_per_condition = np.unique(test.condition, return_counts=True)[1]
    shared = np.isin(generated.condition, test.condition).all()
    within = bool(
        len(held_out_per_condition) > 1 and shared and held_out_per_condition.min() >= MIN_HELD_OUT_PER_CONDITION
    )
    tests, n_examined = [], len(generated.counts)
    for width_s in WIDTHS_S:
        sd_bins = max(width_s / bin_s, 0.5)
        step = max(1, int(sd_bins / 2))  # so much smoother than its sampling that nothing is lost
        size = len(real.counts) * -(-real.counts.shape[1] // step) * real.counts.shape[2]
        most = max(200, int(MOST_PRODUCTS / size))
        queries = [
            generated.take(_some(len(generated.counts), most, rng)),
            test.take(_some(len(test.counts), most, rng)),
        ]
        n_examined = min(n_examined, len(queries[0].counts))
        squared = _squared_distances(queries, real, sd_bins, step)
        if within:
            for query, distance in zip(queries, squared):
                distance[query.condition[:, None] != real.condition] = np.inf
        conditions = (queries[0].condition, real.condition) if within else None
        share, se = _copy_share(squared[0], in_train, conditions)
        nearest = [np.sqrt(np.maximum(d[:, in_train].min(axis=1), 0)) for d in squared]
        usual = float(np.median(nearest[1]))
        ratio = float(np.median(nearest[0])) / usual if usual > 0 else float("nan")
        tests.append(CopyTest(width_s, share, se, ratio))

    duplicates, baseline = (_duplicates(t, train) for t in (generated, test))
    reasons = [
        f"copied share about {min(t.copy_share, 1):.2f} (se {t.se:.2f}) at a smoothing of {t.width_s * 1e3:g} ms"
        for t in tests
        if t.significant
    ]
    expected = baseline / len(test.counts) * len(generated.counts)
    if duplicates > 3 * expected + 3 * np.sqrt(expected):
        reasons.append(f"{duplicates} generated trials are identical to a training trial")
    strongest = max(tests, key=lambda t: (t.significant, t.copy_share / t.se if t.se > 0 else -np.inf))
    return Memorisation(
        copy_share=strongest.copy_share,
        se=strongest.se,
        nn_ratio=strongest.nn_ratio,
        detectable_share=3 * strongest.se,
        duplicates=duplicates,
        duplicates_held_out=baseline,
        alarm=bool(reasons),
        reasons=tuple(reasons),
        n_generated=n_examined,
        within_condition=within,
        widths=tuple(tests),
    )


def _some(n: int, most: int, rng: np.random.Generator) -> np.ndarray:
    return np.arange(n) if n <= most else np.sort(rng.choice(n, most, replace=False))


def _embed(counts: np.ndarray, sd_bins: float, step: int) -> Float[np.ndarray, "trial time neuron"]:
    return np.concatenate([np.sqrt(gaussian_smooth(chunk, sd_bins, step)) for _, chunk in float_chunks(counts)])


def _squared_distances(queries: list[TrialSet], real: TrialSet, sd_bins: float, step: int) -> list[np.ndarray]:
    """Squared distances of each set of queries to all real trials, over the valid bins of the query.

    Without that restriction a trial would be far from any trial of another length, and a copy that was cut short
    would be missed. Never embeds all real trials at once.
    """
    n_bins = -(-real.counts.shape[1] // step)
    n_neurons = real.counts.shape[2]
    embedded = [_embed(q.counts, sd_bins, step) for q in queries]
    centre = embedded[1].mean(axis=0)  # keeps the cancellation of large squares small
    extent = [-(-q.lengths // step) for q in queries]
    for each, length in zip(embedded, extent):
        each -= centre
        each *= valid_mask(length, n_bins)[..., None]
    flat = [each.reshape(len(each), -1) for each in embedded]
    norms = [np.einsum("bd,bd->b", each, each) for each in flat]
    out = [np.empty((len(each), len(real.counts)), dtype=np.float32) for each in flat]
    for start in range(0, len(real.counts), 256):
        part = _embed(real.counts[start : start + 256], sd_bins, step) - centre
        running = np.cumsum(np.einsum("btn,btn->bt", part, part, dtype=np.float64), axis=1)
        part = part.reshape(-1, n_bins * n_neurons)
        for each, norm, length, distance in zip(flat, norms, extent, out):
            norms_within = running[:, length - 1].T
            distance[:, start : start + 256] = norm[:, None] + norms_within - 2 * each @ part.T
    return out


def _copy_share(
    squared: Float[np.ndarray, "sample real"],
    in_train: Bool[np.ndarray, "real"],
    conditions: tuple[np.ndarray, np.ndarray] | None,
) -> tuple[float, float]:
    """Excess share of training trials among nearest neighbours, and its standard error without copying."""
    if conditions is None:
        chance = np.full(len(in_train), in_train.mean())
        expected = float(in_train.mean())
    else:
        codes = np.unique(conditions[1])
        share = np.array([in_train[conditions[1] == c].mean() for c in codes])
        chance = share[np.searchsorted(codes, conditions[1])]
        expected = float(share[np.searchsorted(codes, conditions[0])].mean())
    nearest = squared.min(axis=1, keepdims=True)
    finite = np.isfinite(squared)
    scale = np.where(finite, squared, 0).max(axis=1, keepdims=True)
    tied = (squared <= nearest + 1e-6 * scale).astype(np.float32)
    tied /= tied.sum(axis=1, keepdims=True)
    observed = float(tied[:, in_train].sum() / len(squared))
    weight = tied.mean(axis=0)  # many samples around one hub trial count as one observation
    if not 0 < expected < 1:
        return float("nan"), float("nan")
    se = float(np.sqrt((chance * (1 - chance) * weight**2).sum())) / (1 - expected)
    return (observed - expected) / (1 - expected), se


def _duplicates(trials: TrialSet, train: TrialSet) -> int:
    n_bins = min(trials.counts.shape[1], train.counts.shape[1])

    def keys(t: TrialSet) -> list[bytes]:
        return [c[:n_bins].astype(np.uint16).tobytes() for c in t.counts if c.any()]

    known = set(keys(train))
    return sum(key in known for key in keys(trials))
