"""What generated trials were asked for, and what a decoder that knows recorded trials only finds in their spikes."""

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
"""An angle with more different values than this is decoded as an angle, not as one of so many directions."""
MOST_NUMBERS = 50_000_000
"""Bins x features from which a decoder of a signal is learned at most."""
NEIGHBOURS = 9
"""Bins that a decoder of a signal looks at to decode one."""
CONTROLS = 5
"""Ways to give every trial the condition of another one."""


@dataclass(frozen=True, eq=False)
class Found:
    """What trials were recorded under or asked for, and what is decoded from their spikes.

    Signals have an entry (time, dim) for each trial, labels a text, angles and numbers a value.

    Attributes:
        asked: One entry a trial.
        decoded: The same.
    """

    asked: list[Any]
    decoded: list[Any]


@dataclass(frozen=True, eq=False)
class Answer:
    """How well the spikes of generated trials hold one variable that they were asked for.

    Attributes:
        variable: What was asked.
        measure: What the scores are, in words: "R²", "share decoded as asked", "mean error".
        unit: Unit of the scores; empty for pure numbers.
        names: Dimensions of a signal; one name otherwise.
        generated: A score for each name: generated trials.
        ceiling: The same decoder on held-out real trials.
        control: Generated trials judged against what another trial was asked for.
        asked: Generated trials.
        real: Held-out trials.
        imitates: Whether the generated trials were asked for what the held-out trials were recorded under, in order.
    """

    variable: Variable
    measure: str
    unit: str
    names: tuple[str, ...]
    generated: tuple[Estimate, ...]
    ceiling: tuple[Estimate, ...]
    control: tuple[float, ...]
    asked: Found
    real: Found
    imitates: bool


def answer(data: SpikeData, generated: SpikeData, variable: Variable, seed: int = 0) -> Answer:
    """Decode one variable from generated trials, and from held-out ones.

    The decoder is learned from the training trials. Trials whose value is not known are left out.

    Args:
        data: Recording with the splits "train" and "test".
        generated: Generated trials that say what they were asked for.
        variable: What to decode.
        seed: Chooses whose condition a trial is given in the control.

    Raises:
        DataError: If the generated trials do not say it, or it cannot be decoded.
    """
    train = _known(data.split("train"), variable, "training")
    sets = _known(data.split("test"), variable, "held-out"), _known(generated, variable, "generated")
    kind = _kind(train, sets, variable)
    find, score, measure = {
        "signal": (_of_signal, _explained, "R²"),
        "class": (_of_class, _correct, "share decoded as asked"),
        "angle": (_of_value, partial(_turned, unit=variable.kind), "mean error"),
        "number": (_of_value, _explained, "R²"),
    }[kind]
    real, asked = find(variable, train, sets)
    rng = np.random.default_rng(seed)
    controls = [[row.value for row in score(_swapped(asked, rng, kind))] for _ in range(CONTROLS)]
    return Answer(
        variable,
        measure,
        variable.kind if kind == "angle" else "",
        _dimensions(variable),
        score(asked),
        score(real),
        tuple(np.mean(controls, axis=0).tolist()),
        asked,
        real,
        all(_equal(ours, real.asked[i % len(real.asked)]) for i, ours in enumerate(asked.asked)),
    )


def unfamiliar(data: SpikeData, generated: SpikeData, variables: Sequence[Variable]) -> dict[str, str]:
    """Which generated trials were asked for what no training trial comes near, see ``ConditionNovelty.findings``.

    Args:
        data: Recording with a split "train".
        generated: Generated trials; of what they do not say they were asked for, nothing is said.
        variables: What they could be asked for.

    Raises:
        DataError: If a value is not one that a variable can have.
    """
    trained = TrainingConditions(Conditions.recorded(data.split("train"), variables), variables)
    return trained.familiarity(Conditions.recorded(generated, variables), generated.lengths).findings()


# -- the three kinds of decoders -------------------------------------------------------------------------------------


def _kind(train: SpikeData, sets: Sequence[SpikeData], variable: Variable) -> str:
    if variable.kind in RADIANS:
        recorded, *others = ({label_of(v) for v in each.trials[variable.name]} for each in (train, *sets))
        # A direction that no training trial has could never be decoded as asked.
        few = len(recorded) <= MOST_CLASSES and all(found <= recorded for found in others)
        return "class" if few else "angle"
    return "class" if variable.kind == "label" else variable.kind


def _of_signal(variable: Variable, train: SpikeData, sets: Sequence[SpikeData]) -> list[Found]:
    name = variable.name
    decoder = LaggedRidge(before=NEIGHBOURS // 2, after=NEIGHBOURS // 2).fit(_not_too_many(train), name)
    found = []
    for data in sets:
        decoded = [decoder.decode(data.select(trials=[trial])) for trial in range(data.n_trials)]
        values = data.signals[name].values
        found.append(Found([v[:n].astype(np.float64) for v, n in zip(values, data.lengths)], decoded))
    return found


def _of_class(variable: Variable, train: SpikeData, sets: Sequence[SpikeData]) -> list[Found]:
    def labelled(data: SpikeData) -> SpikeData:
        return replace(data, trials=pd.DataFrame({variable.name: list(map(label_of, data.trials[variable.name]))}))

    decoder = LabelDecoder().fit(labelled(train), variable.name)
    return [Found(list(labelled(d).trials[variable.name]), decoder.decode(d).tolist()) for d in sets]


def _of_value(variable: Variable, train: SpikeData, sets: Sequence[SpikeData]) -> list[Found]:
    """An angle or a number: ridge regression from the mean counts of a trial."""
    ridge = RidgeCV(STRENGTHS).fit(_mean_counts(train), variable.features(train.trials[variable.name]))
    found = []
    for data in sets:
        features = ridge.predict(_mean_counts(data)).reshape(data.n_trials, -1)
        if variable.kind in RADIANS:
            decoded = np.arctan2(features[:, 1], features[:, 0]) / RADIANS[variable.kind]
        else:
            decoded = variable.mean[0] + variable.std[0] * features[:, 0]
        found.append(Found(data.trials[variable.name].astype(float).tolist(), decoded.tolist()))
    return found


# -- scores ----------------------------------------------------------------------------------------------------------


def _explained(found: Found) -> tuple[Estimate, ...]:
    """Share of the variance of each dimension that is decoded (R2), with its error over trials."""
    asked, decoded = (
        [np.reshape(v, (-1, np.shape(v)[-1] if np.ndim(v) else 1)) for v in each] for each in _both(found)
    )
    mean = np.concatenate(asked).mean(0)
    missed = np.array([np.square(a - d).sum(0) for a, d in zip(asked, decoded)])
    varied = np.array([np.square(a - mean).sum(0) for a in asked])
    ratios = [Estimate.ratio(m, v) for m, v in zip(missed.T, varied.T)]
    return tuple(Estimate(1 - r.value, r.se) for r in ratios)


def _correct(found: Found) -> tuple[Estimate, ...]:
    right = np.array([a == d for a, d in zip(*_both(found))], dtype=float)
    return (Estimate.ratio(right, np.ones(len(right))),)


def _turned(found: Found, unit: str) -> tuple[Estimate, ...]:
    """Mean angle between what was asked and what is decoded."""
    difference = np.subtract(*map(np.array, _both(found))) * RADIANS[unit]
    error = np.abs(np.angle(np.exp(1j * difference))) / RADIANS[unit]
    return (Estimate.ratio(error, np.ones(len(error))),)


def _both(found: Found) -> tuple[list[Any], list[Any]]:
    return found.asked, found.decoded


def _swapped(found: Found, rng: np.random.Generator, kind: str) -> Found:
    """Every trial with what another one was asked for; signals are cut to the shorter of the two."""
    order = rng.permutation(len(found.asked))
    pairs = [(found.asked[a], found.asked[b], found.decoded[b]) for a, b in zip(np.roll(order, 1), order)]
    if kind == "signal":  # samples that imitate a recording twice were asked for every course twice
        pairs = [(a[: len(d)], b, d[: len(a)]) for a, b, d in pairs if not _equal(a, b)] or pairs
    return Found([a for a, *_ in pairs], [d for *_, d in pairs])


# -- helpers ---------------------------------------------------------------------------------------------------------


def _known(data: SpikeData, variable: Variable, whose: str) -> SpikeData:
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
        raise DataError(f"the {whose} trials do not say which '{name}' they are for.")
    return data.select(trials=np.flatnonzero(known))


def _dimensions(variable: Variable) -> tuple[str, ...]:
    """Names of the dimensions of a signal, of which numbers say nothing alone; the name of a column."""
    if not variable.aligned or variable.size == 1:
        return (variable.name,)
    return tuple(f"{variable.name} {c}" if c.isdigit() else c for c in variable.columns)


def _not_too_many(train: SpikeData) -> SpikeData:
    """Training trials, spread over the recording, from which a decoder can be learned in a minute."""
    keep = min(train.n_trials, max(50, int(MOST_NUMBERS / (NEIGHBOURS * train.n_neurons * train.lengths.mean()))))
    return train.select(trials=np.linspace(0, train.n_trials - 1, keep).round().astype(int))


def _mean_counts(data: SpikeData) -> Float[np.ndarray, "trial neuron"]:
    return data.counts.sum(1) / data.lengths[:, None]


def _equal(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, str):
        return ours == theirs
    return np.shape(ours) == np.shape(theirs) and np.allclose(ours, theirs)
