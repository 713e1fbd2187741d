"""Scores of inferred rates as the Neural Latents Benchmark defines them (Pei et al. 2021, arXiv:2109.04463).

They judge models that infer: how well rates of neurons that the encoder never saw explain their spikes (co-bps), how
well rates of bins to come do (fp-bps), how well rates tell velocity, and how close their averages are to those of
spikes. Rates are expected counts per bin throughout. Always print the bin width and the split beside a score.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int, Real, Shaped
from scipy.signal.windows import gaussian
from scipy.special import gammaln, xlogy
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV

from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import DataError, SpikeloomWarning

LEAST_RATE = 1e-9
"""A rate of zero is taken for this, because a spike would be impossible."""
STRENGTHS = tuple(np.logspace(-4, 0, 9))
"""Ridge penalties of the benchmark's velocity decoder."""
FOLDS = 5

Trials = Float[np.ndarray, "trial time neuron"]


@dataclass(frozen=True)
class Cosmoothing:
    """Scores of a model's rates of held-out trials; NaN where the recording or the model has nothing to score.

    Attributes:
        co_bps: Bits per spike of neurons that the encoder was not shown, in the bins that it was.
        fp_bps: Bits per spike of all neurons in the bins that it was not shown.
        velocity_r2: R2 of a linear read-out of behaviour.
        psth_r2: R2 of the averages over trials of a condition.
    """

    co_bps: float = float("nan")
    fp_bps: float = float("nan")
    velocity_r2: float = float("nan")
    psth_r2: float = float("nan")

    def to_dict(self) -> dict[str, float]:
        """Plain values."""
        return asdict(self)


def bits_per_spike(
    rates: Trials,
    counts: Real[np.ndarray, "trial time neuron"],
    known: Bool[np.ndarray, "#trial #time #neuron"] | None = None,
) -> float:
    """What rates explain of counts beyond each neuron's mean count in these very trials.

    Args:
        rates: Expected counts per bin.
        counts: Spike counts; those that are NaN are left out.
        known: Where counts are scored; everywhere when not given.

    Raises:
        DataError: If a rate that is scored is negative or not a number, or there are no spikes to score.

    Example:
        >>> counts = np.array([[[0.0], [2.0]]])  # mean 1; the true rates gain 2 ln 2 nats for two spikes
        >>> round(bits_per_spike(np.array([[[1e-6], [2.0]]]), counts), 4)
        1.0
    """
    where = np.isfinite(counts) & np.broadcast_to(True if known is None else known, counts.shape)
    scored = np.where(where, rates, 1.0).astype(np.float64)
    if not (np.isfinite(scored).all() and (scored >= 0).all()):
        bad = scored[~(np.isfinite(scored) & (scored >= 0))][0]
        raise DataError(f"a rate is {bad:g}, but expected counts must be numbers and not negative; look at the model.")
    if (scored == 0).any():
        _warn_of_zeros(int((scored == 0).sum()), scored.size)
    seen = np.where(where, counts, 0.0).astype(np.float64)
    if seen.sum() == 0:
        raise DataError("there are no spikes among the counts to be scored; choose other neurons or trials.")
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.nan_to_num(seen.sum((0, 1)) / where.sum((0, 1)))
    constant = np.broadcast_to(mean, seen.shape)
    gained = negative_log_likelihood(constant, seen, where) - negative_log_likelihood(scored, seen, where)
    return float(gained / (seen.sum() * np.log(2)))


def negative_log_likelihood(rates: Trials, counts: Trials, where: Bool[np.ndarray, "trial time neuron"]) -> float:
    """Summed Poisson loss in nats, rates of zero taken for ``LEAST_RATE``; what is given is left as it is."""
    above = np.maximum(rates, LEAST_RATE)
    return float((above - xlogy(counts, above) + gammaln(counts + 1))[where].sum())


def velocity_r2(
    rates: Trials,
    velocity: Float[np.ndarray, "trial time axis"],
    eval_rates: Float[np.ndarray, "trial2 time2 neuron"],
    eval_velocity: Float[np.ndarray, "trial2 time2 axis"],
    parts: Sequence[tuple[Bool[np.ndarray, "trial"], Bool[np.ndarray, "trial2"]]] = (),
) -> float:
    """R2 of velocity read from rates of the same bin, uniform mean over its axes.

    Ridge regression; its penalty is chosen by 5-fold cross-validation over unshuffled bins of the training trials.

    Args:
        rates: Rates of all neurons in training trials.
        velocity: Their velocity, already shifted by the lag; bins in which the first axis is NaN are left out.
        eval_rates: Rates of the trials that are judged.
        eval_velocity: Their velocity.
        parts: Trials (for training, for judging) that are decoded by themselves, whose R2 are averaged: active and
            passive reaches, for example.
    """
    if parts:
        each = [velocity_r2(rates[a], velocity[a], eval_rates[b], eval_velocity[b]) for a, b in parts]
        return float(np.mean(each))
    train, test = (np.isfinite(v[..., 0]) for v in (velocity, eval_velocity))
    search = GridSearchCV(Ridge(), {"alpha": STRENGTHS}, cv=FOLDS)
    search.fit(rates[train], velocity[train])
    return float(r2_score(eval_velocity[test], search.predict(eval_rates[test])))


def psth(
    counts: Real[np.ndarray, "trial fine neuron"],
    lengths: Int[np.ndarray, "trial"],
    condition: Shaped[np.ndarray, "trial"],
    sd_bins: float,
    together: int = 1,
) -> dict[Any, Float[np.ndarray, "_ neuron"]]:
    """Averages of smoothed counts over the trials of each condition, in expected counts per bin.

    As the benchmark: smoothed by a Gaussian of ``int(6 sd)`` samples (an even number shifts by half a sample), trials
    shorter than four fifths of their condition's mean length left out, the rest cut to the shortest. The benchmark
    smooths at 1 ms and then takes bins together; give counts in bins of 1 ms to do the same.

    Args:
        counts: Spike counts of all trials of all splits.
        lengths: Valid bins of each trial.
        condition: What each trial was recorded under; a trial of which it is missing is in no average.
        sd_bins: Standard deviation of the kernel in bins of these counts.
        together: Bins that are summed after smoothing.

    Raises:
        DataError: If no trial has a condition.
    """
    kernel = gaussian(max(int(6 * sd_bins), 1), sd_bins)
    kernel /= kernel.sum()
    known = ~pd.isna(condition)
    if not known.any():
        raise DataError(f"no trial has a condition (all {len(known)} are missing); name another trial column.")
    found = {}
    for value in np.unique(condition[known]):
        rows = np.flatnonzero(condition == value)
        rows = rows[lengths[rows] >= 0.8 * lengths[rows].mean()]
        n = int(lengths[rows].min()) // together * together
        smooth = np.stack([_smoothed(counts[row, : lengths[row]].astype(float), kernel)[:n] for row in rows])
        found[value] = smooth.mean(0).reshape(n // together, together, -1).sum(1)
    return found


def psth_r2(
    rates: Trials,
    condition: Shaped[np.ndarray, "trial"],
    psths: Mapping[Any, Float[np.ndarray, "_ neuron"]],
) -> float:
    """R2 of mean rates of each condition against its PSTH, conditions one after another, uniform mean over neurons.

    Args:
        rates: Rates of all neurons of the trials that are judged.
        condition: What each was recorded under; a condition that none of them has is left out.
        psths: What ``psth`` found; bins that are NaN in the first neuron are left out.

    Raises:
        DataError: If no trial has a condition with a PSTH.
    """
    truth, found = [], []
    for value, of_spikes in psths.items():
        rows = np.flatnonzero(condition == value)
        if len(rows):
            n = min(len(of_spikes), rates.shape[1])
            keep = np.isfinite(of_spikes[:n, 0])
            truth.append(of_spikes[:n][keep])
            found.append(rates[rows, :n].mean(0)[keep])
    if not truth:
        raise DataError("none of the judged trials has a condition with a PSTH; name another condition.")
    return float(r2_score(np.concatenate(truth), np.concatenate(found)))


def score(
    train: SpikeData,
    test: SpikeData,
    rates: Trials,
    test_rates: Float[np.ndarray, "trial2 time2 neuron"],
    heldout: Bool[np.ndarray, "neuron"],
    forward_bins: int = 0,
    velocity: str | None = None,
    condition: str | None = None,
    psth_sd_s: float = 0.07,
) -> Cosmoothing:
    """All four scores of a model's rates, as far as there is something to score.

    Args:
        train: Trials that the model was trained on.
        test: Trials that are judged.
        rates: Rates that the model infers for the first.
        test_rates: And for the second.
        heldout: Neurons that its encoder was not shown.
        forward_bins: Bins at the end of every trial that it was not shown.
        velocity: Signal that is read from rates; none when not given.
        condition: Trial column over which averages are taken; none when not given.
        psth_sd_s: Standard deviation in seconds of the kernel of those averages.
    """
    scores: dict[str, float] = {}
    valid = test.valid[..., None]
    seen = np.arange(test.n_bins) < (test.lengths - forward_bins)[:, None]
    if heldout.any():
        scores["co_bps"] = bits_per_spike(test_rates, test.counts, seen[..., None] & heldout)
    if forward_bins:
        scores["fp_bps"] = bits_per_spike(test_rates, test.counts, valid & ~seen[..., None])
    if velocity is not None:
        shown = np.arange(train.n_bins) < (train.lengths - forward_bins)[:, None]
        told = [
            np.where(at[..., None], data.signals[velocity].values, np.nan).astype(np.float64)
            for data, at in ((train, shown), (test, seen))
        ]
        scores["velocity_r2"] = velocity_r2(rates, told[0], test_rates, told[1])
    if condition is not None:
        counts = np.zeros((train.n_trials + test.n_trials, max(train.n_bins, test.n_bins), test.n_neurons))
        counts[: train.n_trials, : train.n_bins] = train.counts
        counts[train.n_trials :, : test.n_bins] = test.counts
        lengths = np.concatenate([train.lengths, test.lengths]) - forward_bins
        values = [d.trials[condition].to_numpy() for d in (train, test)]
        psths = psth(counts, lengths, np.concatenate(values), psth_sd_s / test.bin_s)
        scores["psth_r2"] = psth_r2(test_rates, values[1], psths)
    return Cosmoothing(**scores)


def _smoothed(values: Float[np.ndarray, "fine neuron"], kernel: np.ndarray) -> Float[np.ndarray, "fine neuron"]:
    """Every column convolved; where the kernel is longer than the trial, the middle of what comes out."""
    full = np.stack([np.convolve(column, kernel) for column in values.T], axis=1)
    first = (len(kernel) - 1) // 2
    return np.maximum(full[first : first + len(values)], 0)


def _warn_of_zeros(zeros: int, entries: int) -> None:
    warnings.warn(
        f"{zeros} of {entries} rates are 0, which would make a spike impossible; they are taken for {LEAST_RATE:g}.",
        SpikeloomWarning,
        stacklevel=3,
    )
