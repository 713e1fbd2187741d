"""Geometry of codes: tightness, orthogonality, and behaviour decoded from them, held-out targets included.

Source: McCart et al. 2024 (arXiv 2407.21195), figures 2 to 4; every function says its definition.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Num
from scipy.special import gammaln
from scipy.stats import t as student

from spikeloom.errors import DataError
from spikeloom.evaluation.code_map import FOLDS, abs_cosines, check_folds, least_squares, split_folds

MIN_TRIALS = 3
"""Trials that a condition needs for its spread to count."""
LEAST_SD = 0.1
"""A direction in which codes spread less than this (the prior has 1) is not in use."""


# -- how tight, how orthogonal ---------------------------------------------------------------------------------------


def code_snr(codes: Float[np.ndarray, "trial code"], labels: Any) -> float:
    """Total variance of codes over their mean variance within a condition: tr Cov(c) / mean_k tr Cov(c | k).

    One where the code says nothing of the condition, in expectation; conditions of fewer than three trials are dropped.

    Args:
        codes: One code a trial.
        labels: (trial,) labels, or (trial, dim) positions; equal ones are a condition.

    Raises:
        DataError: If fewer than two conditions have three trials.

    Example:
        >>> code_snr(np.array([[0.0], [1.0], [2.0], [10.0], [11.0], [12.0]]), list("aaabbb"))
        30.8
    """
    values = np.asarray(labels)
    if len(values) != len(codes):
        raise DataError(f"there are {len(codes)} codes but labels of {len(values)} trials; pass one label for each.")
    _, which, number = np.unique(values, axis=0, return_inverse=True, return_counts=True)
    which = which.reshape(-1)
    enough = np.flatnonzero(number >= MIN_TRIALS)
    if len(enough) < 2:
        raise DataError(
            f"{len(enough)} conditions have {MIN_TRIALS} trials or more, but a signal-to-noise ratio of codes needs "
            "two; record more trials of each."
        )
    codes = codes.astype(np.float64)
    within = float(np.mean([codes[which == k].var(0, ddof=1).sum() for k in enough]))
    total = float(codes[np.isin(which, enough)].var(0, ddof=1).sum())
    return total / within if within > 0 else float("inf")


class Orthogonality(NamedTuple):
    """|cos| between the read-out directions of behavioural variables; small is disentangled.

    Attributes:
        mean: Over pairs and folds.
        folds: Mean over pairs, for each fold; another model in the same folds is compared in pairs.
        cosines: Every pair of variables, in the order (0, 1), (0, 2), ..., (1, 2), ...
    """

    mean: float
    folds: Float[np.ndarray, "fold"]
    cosines: Float[np.ndarray, "fold pair"]


def orthogonality(
    codes: Float[np.ndarray, "trial code"], values: Num[np.ndarray, "_ variable"], folds: int = FOLDS, seed: int = 0
) -> Orthogonality:
    """Mean |w_j . w_k| / (|w_j| |w_k|) over pairs of variables, where w are rows of a regression from codes.

    A regression is fitted to all trials but those of a fold. Where directions have nothing to do with each other, it
    is ``chance_cosine`` of the dimensions of the code.

    Args:
        codes: One code a trial.
        values: (trial, variable) what was done in each trial.
        folds: Number of regressions.
        seed: Chooses the folds; the same for models that are compared.

    Raises:
        DataError: If there are fewer than two variables, or too few trials.
    """
    if values.shape[1] < 2:
        raise DataError(f"{values.shape[1]} variable has no angle to another one; pass the values of two or more.")
    if len(codes) != len(values):
        raise DataError(f"there are {len(codes)} codes for {len(values)} trials of behaviour; pass one for each.")
    check_folds(len(codes), codes.shape[1], folds)
    codes, values = codes.astype(np.float64), values.astype(np.float64)
    pairs = np.triu_indices(values.shape[1], k=1)
    rows = []
    for out in split_folds(len(codes), folds, seed):
        rest = np.setdiff1d(np.arange(len(codes)), out)
        rows.append(abs_cosines(least_squares(codes[rest], values[rest])[0])[pairs])
    cosines = np.array(rows)
    return Orthogonality(float(cosines.mean()), cosines.mean(1), cosines)


def chance_cosine(n_dims: int) -> float:
    """Mean |cos| between two random directions: Gamma(L/2) / (sqrt(pi) Gamma((L+1)/2)).

    Example:
        >>> round(chance_cosine(5), 4), round(chance_cosine(15), 4)
        (0.375, 0.2095)
    """
    return float(np.exp(gammaln(n_dims / 2) - gammaln((n_dims + 1) / 2)) / np.sqrt(np.pi))


# -- the cloud of all codes ------------------------------------------------------------------------------------------


class CodeMoments(NamedTuple):
    """Mean and standard deviation of every dimension; the prior has 0 and 1.

    Attributes:
        mean: Over trials.
        std: Over trials.
    """

    mean: Float[np.ndarray, "code"]
    std: Float[np.ndarray, "code"]


def code_moments(codes: Float[np.ndarray, "trial code"]) -> CodeMoments:
    """Mean and standard deviation of every dimension of the codes.

    Raises:
        DataError: If there are fewer than two codes.
    """
    if len(codes) < 2:
        raise DataError(f"{len(codes)} code has no standard deviation; pass those of two trials or more.")
    codes = codes.astype(np.float64)
    return CodeMoments(codes.mean(0), codes.std(0, ddof=1))


def active_dimensions(codes: Float[np.ndarray, "trial code"], least_sd: float = LEAST_SD) -> int:
    """Number of principal components of the codes with a standard deviation above ``least_sd``.

    Components rather than dimensions, because nothing in training fixes the axes of a code.
    """
    if len(codes) < 2:
        return 0
    centred = codes.astype(np.float64) - codes.mean(0)
    sd = np.linalg.svd(centred, compute_uv=False) / np.sqrt(len(codes) - 1)
    return int((sd > least_sd).sum())


# -- activity that is generated from a code --------------------------------------------------------------------------


def unit_r2(
    activity: Num[np.ndarray, "trial time unit"],
    generated: Num[np.ndarray, "_ _ _"],
    valid: Bool[np.ndarray, "trial time"] | None = None,
) -> Float[np.ndarray, "unit"]:
    """Share of the variance of each unit that is generated from the codes of the same trials: 1 - SSE / SST.

    Args:
        activity: What the model was given, over trials and bins.
        generated: What it generates from the code of each trial.
        valid: Bins that were recorded; all when not given.

    Returns:
        One number a unit; NaN for a unit that never changes.

    Raises:
        DataError: If there is not as much of both.
    """
    if activity.shape != generated.shape:
        raise DataError(
            f"activity has shape {activity.shape} but what was generated {generated.shape}; generate every trial once."
        )
    every = np.ones(activity.shape[:2], dtype=bool) if valid is None else valid
    true, made = activity[every].astype(np.float64), generated[every].astype(np.float64)
    missed, varied = np.square(true - made).sum(0), np.square(true - true.mean(0)).sum(0)
    return np.where(varied > 0, 1 - missed / np.where(varied > 0, varied, 1), np.nan)


# -- targets that were never trained on ------------------------------------------------------------------------------


def predict_targets(
    codes: Float[np.ndarray, "trial code"],
    targets: Num[np.ndarray, "trial dim"],
    heldout_codes: Float[np.ndarray, "other code"],
    alpha: float = 0.0,
) -> Float[np.ndarray, "other dim"]:
    """Targets of held-out trials, read from their codes by a regression that knows the held-in ones only.

    Args:
        codes: Codes of held-in trials.
        targets: Where each of them went.
        heldout_codes: Codes of other trials.
        alpha: Penalty of ridge regression; 0 is ordinary least squares.
    """
    codes, targets = codes.astype(np.float64), targets.astype(np.float64)
    n_dims = codes.shape[1]
    # Ridge regression is least squares with a row of sqrt(alpha) for each weight, whose value should be 0.
    centre = codes.mean(0), targets.mean(0)
    rows = np.vstack([codes - centre[0], np.sqrt(alpha) * np.eye(n_dims)])
    wanted = np.vstack([targets - centre[1], np.zeros((n_dims, targets.shape[1]))])
    weights = np.linalg.lstsq(rows, wanted, rcond=1e-6)[0]
    return (heldout_codes - centre[0]) @ weights + centre[1]


def heldout_target_error(
    codes: Float[np.ndarray, "trial code"],
    targets: Num[np.ndarray, "trial dim"],
    heldout_codes: Float[np.ndarray, "other code"],
    heldout_targets: Num[np.ndarray, "other dim"],
    alpha: float = 0.0,
) -> Float[np.ndarray, "other"]:
    """Distance of predicted and true target for each held-out trial, in the unit of the targets."""
    predicted = predict_targets(codes, targets, heldout_codes, alpha)
    return np.linalg.norm(predicted - heldout_targets, axis=1)


def radial_reach(
    predicted: Float[np.ndarray, "trial dim"], targets: Num[np.ndarray, "trial dim"], centre: Num[np.ndarray, "..."]
) -> Float[np.ndarray, "trial"]:
    """How far predictions extend towards the true targets: (p - o) . (s - o) / ||s - o||^2.

    One where they reach as far as the target, zero where they stay at the origin o.

    Args:
        predicted: Targets that were read from codes.
        targets: True ones.
        centre: The origin: (dim,) for all, usually the mean of the held-in targets, where a code that says nothing is
            read; or (trial, dim), for example where each trial started.

    Returns:
        One number a trial; NaN where the true target is the origin.
    """
    away = targets - centre
    length = np.square(away).sum(1)
    reach = ((predicted - centre) * away).sum(1)
    return np.where(length > 0, reach / np.where(length > 0, length, 1), np.nan)


# -- two models over the same trials, units or folds -----------------------------------------------------------------


class PairedDifference(NamedTuple):
    """Two models compared in pairs (paired t-test).

    Attributes:
        mean: Of the differences, first minus second.
        se: Its standard error.
        t: Mean over standard error.
        p: Probability of a |t| as large, two-sided, if there were no difference.
        below: Share of pairs in which the first is smaller.
        n: Number of pairs.
    """

    mean: float
    se: float
    t: float
    p: float
    below: float
    n: int


def paired_difference(first: Num[np.ndarray, "pair"], second: Num[np.ndarray, "_"]) -> PairedDifference:
    """Mean difference of paired numbers, and how sure it is; pairs in which one is NaN are left out.

    Raises:
        DataError: If fewer than two pairs are complete.

    Example:
        >>> paired_difference(np.array([1.0, 2.0, 4.0]), np.array([2.0, 4.0, 5.0]))._asdict()["mean"]
        -1.3333333333333333
    """
    if len(first) != len(second):
        raise DataError(f"{len(first)} numbers cannot be paired with {len(second)}; pass one for each.")
    difference = np.subtract(first, second, dtype=np.float64)
    difference = difference[np.isfinite(difference)]
    n = len(difference)
    if n < 2:
        raise DataError(f"{n} complete pairs are too few to compare; two are needed.")
    mean, se = float(difference.mean()), float(difference.std(ddof=1) / np.sqrt(n))
    t = mean / se if se > 0 else float("nan") if mean == 0 else float(np.copysign(np.inf, mean))
    return PairedDifference(mean, se, t, float(2 * student.sf(abs(t), n - 1)), float((difference < 0).mean()), n)
