"""Scores of inferred rates as the Neural Latents Benchmark defines them (Pei et al. 2021, arXiv:2109.04463).

They evaluate inference: how well rates of neurons that were withheld from the encoder explain their spikes (co-bps),
how well rates of withheld later bins do (fp-bps), how well velocity can be decoded from rates, how close averages of
rates are to those of spikes, and whether rates change faster where intervals are shorter. Rates are expected counts
per bin throughout. Always print the bin width and the split beside a score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int, Real, Shaped
from scipy.special import gammaln, xlogy
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV

from spikeloom.data.published.scoring import Scoring
from spikeloom.data.selection import SCORED
from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import DataError, warn
from spikeloom.evaluation.psth import at_end, psth, psth_r2, too_short

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
        tp_correlation: Correlation of produced intervals with how fast rates change; good if negative.
    """

    co_bps: float = float("nan")
    fp_bps: float = float("nan")
    velocity_r2: float = float("nan")
    psth_r2: float = float("nan")
    tp_correlation: float = float("nan")

    def to_dict(self) -> dict[str, float]:
        """Plain values."""
        return asdict(self)


def bits_per_spike(
    rates: Trials,
    counts: Real[np.ndarray, "trial time neuron"],
    known: Bool[np.ndarray, "#trial #time #neuron"] | None = None,
) -> float:
    """Bits per spike that rates explain beyond each neuron's mean count in the same trials.

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
    spikes = np.where(where, counts, 0.0).astype(np.float64)
    if spikes.sum() == 0:
        raise DataError("there are no spikes among the counts to be scored; choose other neurons or trials.")
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.nan_to_num(spikes.sum((0, 1)) / where.sum((0, 1)))
    constant = np.broadcast_to(mean, spikes.shape)
    gained = negative_log_likelihood(constant, spikes, where) - negative_log_likelihood(scored, spikes, where)
    return float(gained / (spikes.sum() * np.log(2)))


def negative_log_likelihood(rates: Trials, counts: TrialSet, where: Bool[np.ndarray, "trial time neuron"]) -> float:
    """Summed Poisson loss in nats, with rates of zero replaced by ``LEAST_RATE``; the arguments are not changed."""
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
        eval_rates: Rates of the trials that are scored.
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


def tp_correlation(
    rates: Trials,
    inside: Bool[np.ndarray, "trial time"],
    interval: Real[np.ndarray, "trial"],
    group: Shaped[np.ndarray, "trial"],
) -> float:
    """Pearson correlation of produced intervals with the speed of rates, within groups, averaged over these.

    The speed of a trial is the mean length of the step from the rates of one bin to those of the next. A population
    whose activity runs through the same path in less time is faster where intervals are shorter: below zero is good.

    Args:
        rates: Rates of all neurons.
        inside: Bins between the events; only steps between two of these count.
        interval: Interval that was produced in each trial; trials without are left out.
        group: Condition of each trial; trials without one are left out.

    Raises:
        DataError: If no group has two trials of different intervals and speeds.
    """
    speed = np.full(len(rates), np.nan)
    for trial in np.flatnonzero(inside.sum(1) > 1):
        speed[trial] = np.linalg.norm(np.diff(rates[trial, inside[trial]], axis=0), axis=1).mean()
    known = np.isfinite(speed) & np.isfinite(interval.astype(float)) & ~pd.isna(group)
    found = []
    for value in np.unique(group[known]):
        rows = known & (group == value)
        if np.ptp(speed[rows]) > 0 and np.ptp(interval[rows]) > 0:
            found.append(np.corrcoef(speed[rows], interval[rows])[0, 1])
    if not found:
        raise DataError(
            "no group has two trials of different intervals and speeds, so nothing correlates; name other columns."
        )
    return float(np.mean(found))


def scored_part(data: SpikeData, forward_bins: int = 0) -> Int[np.ndarray, "trial 2"]:
    """First bin of each trial that is scored, and the one after the last; see the load option ``scored``."""
    last = data.lengths - forward_bins
    if not set(SCORED) <= set(data.trials):
        return np.stack([np.zeros_like(last), last], axis=1)
    first, stop = (pd.Series(data.trials[name]).to_numpy(dtype=float) for name in SCORED)
    return np.stack([np.nan_to_num(first), np.where(np.isfinite(stop), np.minimum(stop, last), last)], 1).astype(int)


def score(
    train: SpikeData,
    test: SpikeData,
    rates: Trials,
    test_rates: Float[np.ndarray, "trial2 time2 neuron"],
    heldout: Bool[np.ndarray, "neuron"],
    forward_bins: int = 0,
    scoring: Scoring = Scoring(),  # noqa: B008  # frozen
) -> Cosmoothing:
    """All scores of a model's rates, as far as there is something to score.

    Averages are those of counts in the bins of the recording, smoothed within its trials; the benchmark smooths
    milliseconds of the whole session, see ``psth``.

    Args:
        train: Trials that the model was trained on.
        test: Trials that are scored.
        rates: Rates that the model infers for the first.
        test_rates: And for the second.
        heldout: Neurons withheld from its encoder.
        forward_bins: Bins at the end of every trial that were withheld from it.
        scoring: Signals and trial columns that scores are about.
    """
    scores: dict[str, float] = {}
    parts = scored_part(train, forward_bins), scored_part(test, forward_bins)
    train_scored, test_scored = _inside(parts[0], train.n_bins), _inside(parts[1], test.n_bins)
    ahead = test.valid & (np.arange(test.n_bins) >= (test.lengths - forward_bins)[:, None])
    if heldout.any():
        scores["co_bps"] = bits_per_spike(test_rates, test.counts, test_scored[..., None] & heldout)
    if forward_bins:
        scores["fp_bps"] = bits_per_spike(test_rates, test.counts, ahead[..., None])
    if scoring.velocity is not None:
        velocity = [
            np.where(at[..., None], data.signals[scoring.velocity].values, np.nan).astype(np.float64)
            for data, at in ((train, train_scored), (test, test_scored))
        ]
        scores["velocity_r2"] = velocity_r2(
            rates, velocity[0], test_rates, velocity[1], _decoded_apart(train, test, scoring)
        )
    usual = [np.ones(data.n_trials, dtype=bool) for data in (train, test)]
    if scoring.outliers is not None:
        columns = [pd.Series(data.trials[scoring.outliers]) for data in (train, test)]
        usual = [~column.fillna(0).to_numpy(dtype=bool) for column in columns]
    if scoring.condition is not None:
        values = [_groups(data, (scoring.condition,), kept) for kept, data in zip(usual, (train, test))]
        scores["psth_r2"] = _psth_score(train, test, test_rates, parts, values, forward_bins, scoring.psth_sd_s)
    if scoring.interval is not None:
        group = _groups(test, scoring.within, usual[1])
        interval = test.trials[scoring.interval].to_numpy(dtype=float)
        scores["tp_correlation"] = tp_correlation(test_rates, test_scored, interval, group)
    return Cosmoothing(**scores)


def _psth_score(
    train: SpikeData,
    test: SpikeData,
    test_rates: np.ndarray,
    parts: tuple[np.ndarray, np.ndarray],
    condition: list[np.ndarray],
    forward_bins: int,
    sd_s: float,
) -> float:
    """R2 against averages of all trials; parts are aligned at their ends where not all of each trial is scored."""
    counts = np.zeros((train.n_trials + test.n_trials, max(train.n_bins, test.n_bins), test.n_neurons))
    counts[: train.n_trials, : train.n_bins] = train.counts
    counts[train.n_trials :, : test.n_bins] = test.counts
    lengths = np.concatenate([train.lengths, test.lengths]) - forward_bins
    part, every, sd_bins = np.concatenate(parts), np.concatenate(condition), sd_s / test.bin_s
    if not set(SCORED) <= set(test.trials):
        return psth_r2(test_rates, condition[1], psth(counts, lengths, every, sd_bins))
    ends = int(part[:, 1].max())
    padded = {value: at_end(found, ends) for value, found in psth(counts, lengths, every, sd_bins, part=part).items()}
    labels, jitter = condition[1].copy(), (ends - parts[1][:, 1]).astype(np.int64)
    labels[too_short(part[:, 1] - part[:, 0], every)[train.n_trials :]] = None
    return psth_r2(test_rates[:, :ends], labels, padded, jitter)


def _inside(part: np.ndarray, n_bins: int) -> Bool[np.ndarray, "trial time"]:
    bins = np.arange(n_bins)
    return (bins >= part[:, :1]) & (bins < part[:, 1:])


def _groups(data: SpikeData, columns: Sequence[str], kept: np.ndarray) -> np.ndarray:
    """One text for each combination of the columns' values; None where any is missing, and for trials not kept."""
    table = data.trials.loc[:, list(columns)]
    groups = np.array([",".join(map(str, row)) for row in table.itertuples(index=False)], dtype=object)
    groups[table.isna().to_numpy().any(axis=1) | ~kept] = None
    return groups


def _decoded_apart(train: SpikeData, test: SpikeData, scoring: Scoring) -> list[tuple[np.ndarray, np.ndarray]]:
    if scoring.apart is None:
        return []
    first, second = (data.trials[scoring.apart].to_numpy(dtype=float) for data in (train, test))
    return [(first == value, second == value) for value in np.intersect1d(first, second) if np.isfinite(value)]


def _warn_of_zeros(zeros: int, entries: int) -> None:
    warn(f"{zeros} of {entries} rates are 0, which would make a spike impossible; they are taken for {LEAST_RATE:g}.")
