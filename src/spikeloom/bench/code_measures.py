"""Measures of models with codes: reconstruction, geometry of codes, traversals, held-out targets, new trials."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from sklearn.linear_model import RidgeCV

from spikeloom.bench.code_subjects import CodeModel
from spikeloom.bench.reach_task import ReachTask
from spikeloom.bench.window_pca import stretched
from spikeloom.errors import DataError, SpikeloomWarning
from spikeloom.evaluation.behaviour import TARGET
from spikeloom.evaluation.code_map import Direction, LinearMap, split_folds
from spikeloom.evaluation.codes import (
    active_dimensions,
    chance_cosine,
    code_moments,
    code_snr,
    heldout_target_error,
    orthogonality,
    predict_targets,
    radial_reach,
    unit_r2,
)
from spikeloom.evaluation.mmd import mmd_to_prior
from spikeloom.evaluation.movement import first_and_last, unintended_movement
from spikeloom.workflow.traversal import MOST_TARGETS

BASE_TRIALS = 10
DRAWS = 8
COMPONENTS = 10
"""Principal components along which new trials are compared with recorded ones."""
ALPHAS = np.logspace(0, 6, 13)
"""Penalties among which the read-out of whole trials chooses."""
DIRECTIONS: tuple[Direction, ...] = ("row", "pinv")
START = ("start_x", "start_y")


class Scores(NamedTuple):
    """Numbers of one subject: single ones, and those that another subject's are paired with."""

    metrics: dict[str, float]
    arrays: dict[str, Float[np.ndarray, "item"]]


# -- one subject -----------------------------------------------------------------------------------------------------


def scores(model: CodeModel, task: ReachTask, seed: int, base_trials: int = BASE_TRIALS, draws: int = DRAWS) -> Scores:
    """All measures of a model; those for which the recording lacks something are left out.

    Args:
        model: Codes and back.
        task: The recording.
        seed: Of draws, of shuffles, and of the base trials of traversals, which are the same for all subjects.
        base_trials: Number of trials from which traversals start.
        draws: Trials at every step of a traversal, of a model that draws.
    """
    codes = model.codes(task.data)
    total = Scores({}, {})
    for part in (reconstruction, geometry, readouts, heldout):
        found = part(model, task, codes, seed)
        total = Scores(total.metrics | found.metrics, total.arrays | found.arrays)
    moved = navigation(model, task, codes, seed, base_trials, draws if model.random else 1)
    new = likeness(new_trials(model, task, codes[task.train], seed), task)
    return Scores(total.metrics | moved.metrics | new.metrics, total.arrays | moved.arrays | new.arrays)


def reconstruction(model: CodeModel, task: ReachTask, codes: Float[np.ndarray, "trial code"], seed: int) -> Scores:
    """R2 of units of test trials from their own codes, and from those of other test trials."""
    rows = task.test
    lengths = task.data.lengths[rows]
    n_bins = int(lengths.max())
    real, valid = task.activity[rows, :n_bins], task.data.valid[rows, :n_bins]
    order = np.random.default_rng([seed, 1]).permutation(len(rows))
    others = np.empty_like(order)
    others[order] = np.roll(order, 1)
    made = {
        "draw": lambda c: model.activity(c, lengths, seed),
        "expected": lambda c: model.expected(c, lengths),
    }
    metrics, arrays = {}, {}
    for name, make in made.items():
        own = unit_r2(real, make(codes[rows]), valid)
        arrays[f"r2_{name}"] = own
        metrics[f"r2_{name}"] = float(np.nanmedian(own))
        metrics[f"r2_{name}_shuffled"] = float(np.nanmedian(unit_r2(real, make(codes[rows[others]]), valid)))
    return Scores(metrics, arrays)


def geometry(model: CodeModel, task: ReachTask, codes: Float[np.ndarray, "trial code"], seed: int) -> Scores:
    """How tight codes are by target and by start, and how near to the prior, over all held-in trials."""
    rows = task.rows("train", "val", "test")
    mean, std = code_moments(codes[rows])
    metrics = {
        "code_mmd": mmd_to_prior(codes[rows]),
        "code_mean": float(np.abs(mean).max()),
        "code_sd_min": float(std.min()),
        "code_sd_max": float(std.max()),
        "code_dims": float(active_dimensions(codes[rows])),
    }
    shuffled = np.random.default_rng([seed, 2]).permutation(len(rows))
    for what, names in (("target", TARGET), ("start", START)):
        labels = task.data.trials[list(names)].to_numpy() if set(names) <= set(task.places) else None
        if labels is None or len(np.unique(labels[rows], axis=0)) > MOST_TARGETS:
            continue
        try:
            metrics[f"snr_{what}"] = code_snr(codes[rows], labels[rows])
            metrics[f"snr_{what}_shuffled"] = code_snr(codes[rows], labels[rows][shuffled])
        except DataError:  # too few trials of each
            continue
    return Scores(metrics, {})


def readouts(model: CodeModel, task: ReachTask, codes: Float[np.ndarray, "trial code"], seed: int) -> Scores:
    """How well places are read from codes of training trials in ten folds, and the angles of these read-outs."""
    rows = task.rows("train")
    values = task.values[rows]
    found = LinearMap.fit(codes[rows], values, task.places)
    metrics = {f"readout_{name}": float(r2) for name, r2 in zip(task.places, found.heldout_r2)}
    axes = {"cos_all": values, "cos_target": task.targets[rows]}
    arrays = {}
    for name, places in axes.items():
        if name == "cos_all" and len(task.places) == len(TARGET):
            continue
        result = orthogonality(codes[rows], places)
        metrics[name], arrays[name] = result.mean, result.folds
    return Scores(metrics, arrays)


def heldout(model: CodeModel, task: ReachTask, codes: Float[np.ndarray, "trial code"], seed: int) -> Scores:
    """Targets of held-out trials, predicted by a regression from training trials only."""
    if not len(task.heldout):
        return Scores({}, {})
    train = task.rows("train")
    known = codes[train], task.targets[train], codes[task.heldout]
    true = task.targets[task.heldout]
    error = heldout_target_error(*known, true)
    reach = radial_reach(predict_targets(*known), true, task.targets[train].mean(0))
    metrics = {"heldout_error": float(error.mean()), "radial_reach": float(np.nanmean(reach))}
    return Scores(metrics, {"heldout_error": error, "radial_reach": reach})


# -- traversals ------------------------------------------------------------------------------------------------------


def navigation(
    model: CodeModel, task: ReachTask, codes: Float[np.ndarray, "trial code"], seed: int, base_trials: int, draws: int
) -> Scores:
    """Traversals of codes along the target, from several base trials: what moves, and where reaches end."""
    chosen = np.random.default_rng([seed, 3]).permutation(task.rows("val", "test"))[:base_trials]
    if task.decoder is None or not len(chosen):
        return Scores({}, {})
    rows = task.rows("train")
    code_map = LinearMap.fit(codes[rows], task.values[rows], task.places)
    metrics: dict[str, float] = {}
    arrays: dict[str, np.ndarray] = {}
    for direction in DIRECTIONS:
        moved, meant, inside, missed = [], [], [], []
        for axis, name in enumerate(TARGET):
            goals = task.goals(name)
            amounts = goals - task.targets[chosen, axis, None]
            amounts = np.concatenate([np.zeros((len(chosen), 1)), amounts], axis=1)  # first the base trial itself
            try:
                positions = traversal(
                    model, task, code_map, codes[chosen], chosen, name, amounts, direction, draws, seed
                )
            except DataError:  # codes carry no information about this variable
                return Scores(metrics, arrays)
            ends = first_and_last(positions, task.data.lengths[chosen])
            movement = unintended_movement(ends, name)
            moved.append(movement.unintended)
            meant.append(movement.intended)
            ideal = np.repeat(task.targets[chosen, None], len(goals), axis=1)
            ideal[..., axis] = goals
            missed.append(np.linalg.norm(ends[:, 1:, 1] - ideal, axis=-1).mean(1))
            if task.grid is not None and task.only_heldout.any():
                inside.append(task.in_heldout_region(ends[:, 1:, 1])[task.at_heldout_target(ideal)])
        stray, intended = np.concatenate(moved), np.concatenate(meant)
        metrics[f"unintended_{direction}"] = float(stray.mean())
        metrics[f"unintended_ratio_{direction}"] = float(stray.sum() / intended.sum()) if intended.any() else np.nan
        metrics[f"end_error_{direction}"] = float(np.concatenate(missed).mean())
        arrays[f"unintended_{direction}"] = stray
        arrays[f"end_error_{direction}"] = np.concatenate(missed)
        if inside and len(np.concatenate(inside)):
            metrics[f"inside_{direction}"] = float(np.concatenate(inside).mean())
    return Scores(metrics, arrays)


def traversal(
    model: CodeModel,
    task: ReachTask,
    code_map: LinearMap,
    codes: Float[np.ndarray, "base code"],
    chosen: Int[np.ndarray, "base"],
    name: str,
    amounts: Float[np.ndarray, "base step"],
    direction: Direction,
    draws: int,
    seed: int,
) -> Float[np.ndarray, "base step time 2"]:
    """Hand positions decoded from the mean activity over draws, along traversals; all steps share their noise."""
    assert task.decoder is not None
    lengths = np.repeat(task.data.lengths[chosen], draws)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SpikeloomWarning)  # how well codes predict a variable is in the tables
        moved_codes = np.stack(
            [code_map.traverse(code, name, far, "effect", direction) for code, far in zip(codes, amounts)], axis=1
        )
    steps = []
    for step in moved_codes:
        made = model.activity(np.repeat(step, draws, axis=0), lengths, seed)
        steps.append(task.decoder.decode(made.reshape(len(chosen), draws, *made.shape[1:]).mean(1)))
    return np.stack(steps, axis=1)


# -- new trials ------------------------------------------------------------------------------------------------------


def new_trials(
    model: CodeModel, task: ReachTask, codes: Float[np.ndarray, "trial code"], seed: int
) -> tuple[Float[np.ndarray, "trial time unit"], Int[np.ndarray, "trial"]]:
    """As many trials as there are training trials, of their lengths, for codes drawn from a normal fitted to theirs."""
    lengths = task.data.lengths[task.train]
    rng = np.random.default_rng([seed, 4])
    covariance = np.atleast_2d(np.cov(codes.T))
    drawn = rng.multivariate_normal(codes.mean(0), covariance, size=len(lengths), method="svd")
    return model.activity(drawn, lengths, seed), lengths


def likeness(trials: tuple[Float[np.ndarray, "trial time unit"], Int[np.ndarray, "trial"]], task: ReachTask) -> Scores:
    """Likeness of trials to test trials: covariance of units, spread along components of trials, mean time course."""
    test = task.activity[task.test], task.data.lengths[task.test]
    train = task.activity[task.train], task.data.lengths[task.train]
    mean, std = _moments(*train)
    made, real, learned = (((a - mean) / std, n) for a, n in (trials, test, train))
    pairs = np.triu_indices(len(mean), k=1)
    covariance = [np.cov(a[np.arange(a.shape[1]) < n[:, None]].T)[pairs] for a, n in (made, real)]
    bins = int(min(n.min() for _, n in (made, real, learned)))
    course = [a[:, :bins].mean(0).ravel() for a, _ in (made, real)]
    window = learned[0][:, :bins].reshape(len(learned[0]), -1)
    axes = np.linalg.svd(window - window.mean(0), full_matrices=False)[2][: min(COMPONENTS, len(window) - 1)]
    spread = [(a[:, :bins].reshape(len(a), -1) @ axes.T).std(0) for a, _ in (made, learned)]
    ratio = spread[0] / spread[1]
    metrics = {
        "covariance": _correlation(*covariance) if len(covariance[0]) > 1 else float("nan"),
        "spread": float(ratio.mean()),
        "psth": _correlation(*course),
    }
    return Scores(metrics, {"spread": ratio})


def _correlation(x: np.ndarray, y: np.ndarray) -> float:
    return float(np.corrcoef(np.stack([x, y]))[0, 1])


def _moments(activity: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    valid = activity[np.arange(activity.shape[1]) < lengths[:, None]]
    std = valid.std(0)
    return valid.mean(0), np.where(std > 0, std, 1.0)


# -- references ------------------------------------------------------------------------------------------------------


def references(task: ReachTask, n_codes: int) -> Mapping[str, Mapping[str, float]]:
    """Numbers of recorded activity itself ("real"), and of codes without information ("chance").

    Read-outs of recorded activity are ridge regressions from whole trials, all bins of all units.
    """
    rows, other = task.rows("train"), task.heldout
    n_bins = int(np.median(task.data.lengths[task.train]))
    mean, std = _moments(task.activity[task.train], task.data.lengths[task.train])
    points = stretched((task.activity - mean) / std, task.data.lengths, n_bins).reshape(task.data.n_trials, -1)
    missed = np.empty((len(rows), len(task.places)))
    for out in split_folds(len(rows), 10):
        rest = np.setdiff1d(np.arange(len(rows)), out)
        found = RidgeCV(ALPHAS).fit(points[rows[rest]], task.values[rows[rest]])
        missed[out] = task.values[rows[out]] - found.predict(points[rows[out]])
    r2 = 1 - np.square(missed).sum(0) / np.square(task.values[rows] - task.values[rows].mean(0)).sum(0)
    real = {f"readout_{name}": float(v) for name, v in zip(task.places, r2)}
    chance = {f"readout_{name}": 0.0 for name in task.places}
    chance |= {"cos_target": chance_cosine(n_codes)}
    if len(task.places) > len(TARGET):
        chance["cos_all"] = chance_cosine(n_codes)
    if len(other):
        middle = task.targets[rows].mean(0)
        predicted = RidgeCV(ALPHAS).fit(points[rows], task.targets[rows]).predict(points[other])
        true = task.targets[other]
        real["heldout_error"] = float(np.linalg.norm(predicted - true, axis=1).mean())
        real["radial_reach"] = float(np.nanmean(radial_reach(predicted, true, middle)))
        chance |= {"heldout_error": float(np.linalg.norm(true - middle, axis=1).mean()), "radial_reach": 0.0}
    real |= likeness((task.activity[task.test], task.data.lengths[task.test]), task).metrics
    # Test trials are alike to themselves; what another real set reaches is training trials against them.
    between = likeness((task.activity[task.train], task.data.lengths[task.train]), task).metrics
    real |= {name: between[name] for name in ("covariance", "psth")}
    return {"real": real | _decoded(task), "chance": chance}


def _decoded(task: ReachTask) -> dict[str, float]:
    """Where reaches end as decoded from recorded activity."""
    if task.decoder is None:
        return {}
    test, hand = task.test, task.data.signals[str(task.position)].values
    score = task.decoder.score(task.activity[test], hand[test], task.data.valid[test])
    found: dict[str, Any] = {"decoder_x": score[0], "decoder_y": score[1]}

    def ends(rows: np.ndarray) -> np.ndarray:
        assert task.decoder is not None
        decoded = task.decoder.decode(task.activity[rows])[:, None]
        return first_and_last(decoded, task.data.lengths[rows])[:, 0, 1]

    known = task.rows("test")
    error = np.linalg.norm(ends(known) - task.targets[known], axis=1).mean() if len(known) else np.nan
    found |= {f"end_error_{d}": error for d in DIRECTIONS}
    if task.grid is not None and len(task.heldout):
        inside = task.in_heldout_region(ends(task.heldout)).mean()
        found |= {f"inside_{d}": inside for d in DIRECTIONS}
    return {name: float(value) for name, value in found.items()}
