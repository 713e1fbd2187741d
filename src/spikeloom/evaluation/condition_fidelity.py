"""How faithfully generated trials follow the condition requested of them: it is decoded from their spikes.

The decoder is fitted to recorded training trials only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from sklearn.linear_model import RidgeCV

from spikeloom.conditioning.novelty import TrainingConditions
from spikeloom.conditioning.requests import Conditions
from spikeloom.conditioning.variables import RADIANS, Variable, label_of
from spikeloom.data.spikedata import SpikeData
from spikeloom.decoding.label import LabelDecoder
from spikeloom.decoding.ridge import STRENGTHS, LaggedRidge
from spikeloom.errors import DataError
from spikeloom.evaluation.estimates import Estimate

MOST_CLASSES = 20
"""An angle with more distinct values than this is decoded as an angle, not as one of so many directions."""
MOST_NUMBERS = 50_000_000
"""Bins x features that a decoder of a signal is fitted to at most."""
NEIGHBOURS = 9
"""Bins from which a decoder of a signal decodes one."""
N_SWAPS = 5
"""Random swaps of conditions between trials, for the baseline."""


@dataclass(frozen=True, eq=False)
class Readouts:
    """Requested (or recorded) and decoded value of a variable, for each trial.

    Signals have an entry (time, dim) for each trial, labels a text, angles and numbers a value.

    Attributes:
        requested: Value requested of each trial; of recorded trials, the value they were recorded under.
        decoded: Value decoded from its spikes.
    """

    requested: list[Any]
    decoded: list[Any]


@dataclass(frozen=True, eq=False)
class ConditionFidelity:
    """How faithfully generated trials follow one variable of the condition requested of them.

    Attributes:
        variable: The variable.
        measure: Name of the scores: "R²", "share decoded as requested", "mean error".
        unit: Unit of the scores; empty for pure numbers.
        names: Dimensions of a signal; one name otherwise.
        generated: A score for each name: generated trials.
        ceiling: The same decoder on held-out real trials.
        baseline: Generated trials scored against the condition of another trial.
        readouts: Requested and decoded values of generated trials.
        real: Recorded and decoded values of held-out trials.
        imitates: Whether the conditions requested are those of the held-out trials, in order.
    """

    variable: Variable
    measure: str
    unit: str
    names: tuple[str, ...]
    generated: tuple[Estimate, ...]
    ceiling: tuple[Estimate, ...]
    baseline: tuple[float, ...]
    readouts: Readouts
    real: Readouts
    imitates: bool


def condition_fidelity(data: SpikeData, generated: SpikeData, variable: Variable, seed: int = 0) -> ConditionFidelity:
    """Decode one variable from generated trials, and from held-out ones.

    The decoder is fitted to the training trials. Trials whose value is unknown are left out.

    Args:
        data: Recording with the splits "train" and "test".
        generated: Generated trials with the requested values in their table or signals.
        variable: Variable to decode.
        seed: Seed of the swaps of conditions between trials, for the baseline.

    Raises:
        DataError: If the generated trials do not hold the variable, or it cannot be decoded.
    """
    train = _with_value(data.split("train"), variable, "training")
    sets = _with_value(data.split("test"), variable, "held-out"), _with_value(generated, variable, "generated")
    kind = _kind(train, sets, variable)
    find, score, measure = {
        "signal": (_of_signal, _explained, "R²"),
        "class": (_of_class, _correct, "share decoded as requested"),
        "angle": (_of_value, partial(_turned, unit=variable.kind), "mean error"),
        "number": (_of_value, _explained, "R²"),
    }[kind]
    real, readouts = find(variable, train, sets)
    rng = np.random.default_rng(seed)
    baselines = [[row.value for row in score(_swapped(readouts, rng, kind))] for _ in range(N_SWAPS)]
    return ConditionFidelity(
        variable,
        measure,
        variable.kind if kind == "angle" else "",
        _dimensions(variable),
        score(readouts),
        score(real),
        tuple(np.mean(baselines, axis=0).tolist()),
        readouts,
        real,
        all(_equal(ours, real.requested[i % len(real.requested)]) for i, ours in enumerate(readouts.requested)),
    )


def novel_conditions(data: SpikeData, generated: SpikeData, variables: Sequence[Variable]) -> dict[str, str]:
    """Which generated trials have conditions far from every training trial, see ``ConditionNovelty.findings``.

    Args:
        data: Recording with a split "train".
        generated: Generated trials; variables that they do not hold are left out.
        variables: The variables of the condition.

    Raises:
        DataError: If a value is not one that a variable can have.
    """
    trained = TrainingConditions(Conditions.of_recording(data.split("train"), variables), variables)
    return trained.novelty(Conditions.of_recording(generated, variables), generated.lengths).findings()


# -- the three kinds of decoders -------------------------------------------------------------------------------------


def _kind(train: SpikeData, sets: Sequence[SpikeData], variable: Variable) -> str:
    if variable.kind in RADIANS:
        recorded, *others = ({label_of(v) for v in each.trials[variable.name]} for each in (train, *sets))
        # A direction that no training trial has could never be decoded as requested.
        few = len(recorded) <= MOST_CLASSES and all(found <= recorded for found in others)
        return "class" if few else "angle"
    return "class" if variable.kind == "label" else variable.kind


def _of_signal(variable: Variable, train: SpikeData, sets: Sequence[SpikeData]) -> list[Readouts]:
    name = variable.name
    decoder = LaggedRidge(before=NEIGHBOURS // 2, after=NEIGHBOURS // 2).fit(_not_too_many(train), name)
    found = []
    for data in sets:
        decoded = [decoder.decode(data.select(trials=[trial])) for trial in range(data.n_trials)]
        values = data.signals[name].values
        found.append(Readouts([v[:n].astype(np.float64) for v, n in zip(values, data.lengths)], decoded))
    return found


def _of_class(variable: Variable, train: SpikeData, sets: Sequence[SpikeData]) -> list[Readouts]:
    def labelled(data: SpikeData) -> SpikeData:
        return replace(data, trials=pd.DataFrame({variable.name: list(map(label_of, data.trials[variable.name]))}))

    decoder = LabelDecoder().fit(labelled(train), variable.name)
    return [Readouts(list(labelled(d).trials[variable.name]), decoder.decode(d).tolist()) for d in sets]


def _of_value(variable: Variable, train: SpikeData, sets: Sequence[SpikeData]) -> list[Readouts]:
    """An angle or a number: ridge regression from the mean counts of a trial."""
    ridge = RidgeCV(STRENGTHS).fit(_mean_counts(train), variable.features(train.trials[variable.name]))
    found = []
    for data in sets:
        features = ridge.predict(_mean_counts(data)).reshape(data.n_trials, -1)
        if variable.kind in RADIANS:
            decoded = np.arctan2(features[:, 1], features[:, 0]) / RADIANS[variable.kind]
        else:
            decoded = variable.mean[0] + variable.std[0] * features[:, 0]
        found.append(Readouts(data.trials[variable.name].astype(float).tolist(), decoded.tolist()))
    return found


# -- scores ----------------------------------------------------------------------------------------------------------


def _explained(found: Readouts) -> tuple[Estimate, ...]:
    """Share of the variance of each dimension that is decoded (R2), with its error over trials."""
    requested, decoded = (
        [np.reshape(v, (-1, np.shape(v)[-1] if np.ndim(v) else 1)) for v in each] for each in _both(found)
    )
    mean = np.concatenate(requested).mean(0)
    missed = np.array([np.square(a - d).sum(0) for a, d in zip(requested, decoded)])
    varied = np.array([np.square(a - mean).sum(0) for a in requested])
    ratios = [Estimate.ratio(m, v) for m, v in zip(missed.T, varied.T)]
    return tuple(Estimate(1 - r.value, r.se) for r in ratios)


def _correct(found: Readouts) -> tuple[Estimate, ...]:
    right = np.array([a == d for a, d in zip(*_both(found))], dtype=float)
    return (Estimate.ratio(right, np.ones(len(right))),)


def _turned(found: Readouts, unit: str) -> tuple[Estimate, ...]:
    """Mean angle between the requested and the decoded direction."""
    difference = np.subtract(*map(np.array, _both(found))) * RADIANS[unit]
    error = np.abs(np.angle(np.exp(1j * difference))) / RADIANS[unit]
    return (Estimate.ratio(error, np.ones(len(error))),)


def _both(found: Readouts) -> tuple[list[Any], list[Any]]:
    return found.requested, found.decoded


def _swapped(found: Readouts, rng: np.random.Generator, kind: str) -> Readouts:
    """Every trial with the condition of another one; signals are cut to the shorter of the two."""
    order = rng.permutation(len(found.requested))
    pairs = [(found.requested[a], found.requested[b], found.decoded[b]) for a, b in zip(np.roll(order, 1), order)]
    if kind == "signal":  # samples that imitate a recording twice contain every signal twice
        pairs = [(a[: len(d)], b, d[: len(a)]) for a, b, d in pairs if not _equal(a, b)] or pairs
    return Readouts([a for a, *_ in pairs], [d for *_, d in pairs])


# -- helpers ---------------------------------------------------------------------------------------------------------


def _with_value(data: SpikeData, variable: Variable, whose: str) -> SpikeData:
    """The trials whose value is known, in every bin where it is a signal.

    Raises:
        DataError: If there are none.
    """
    name = variable.name
    known = np.zeros(data.n_trials, dtype=bool)
    if variable.aligned and name in data.signals:
        known = (variable.known(data.signals[name].values) | ~data.valid).all(1)
    elif not variable.aligned and name in data.trials:
        known = variable.known(data.trials[name])
    if not known.any():
        raise DataError(f"the {whose} trials do not hold the '{name}' requested of them.")
    return data.select(trials=np.flatnonzero(known))


def _dimensions(variable: Variable) -> tuple[str, ...]:
    """Names of the dimensions of a signal, with its own name where they are only numbered; the name of a column."""
    if not variable.aligned or variable.size == 1:
        return (variable.name,)
    return tuple(f"{variable.name} {c}" if c.isdigit() else c for c in variable.columns)


def _not_too_many(train: SpikeData) -> SpikeData:
    """Training trials, spread over the recording, to which a decoder can be fitted in a minute."""
    keep = min(train.n_trials, max(50, int(MOST_NUMBERS / (NEIGHBOURS * train.n_neurons * train.lengths.mean()))))
    return train.select(trials=np.linspace(0, train.n_trials - 1, keep).round().astype(int))


def _mean_counts(data: SpikeData) -> Float[np.ndarray, "trial neuron"]:
    return data.counts.sum(1) / data.lengths[:, None]


def _equal(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, str):
        return ours == theirs
    return np.shape(ours) == np.shape(theirs) and np.allclose(ours, theirs)
