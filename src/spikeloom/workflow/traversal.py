"""Latent traversals: move the codes of a model along a variable of behaviour, and decode the trials they generate.

A linear map is fitted from the codes of recorded trials to their behaviour. Starting from the codes of some base
trials, codes are moved along the direction of one variable, and trials are generated at every step. All steps of a
traversal share their noise, so that only the code differs between them (McCart et al. 2024, Section 3.5).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from spikeloom.atomic import atomic
from spikeloom.data.codes import codes_in
from spikeloom.data.files import save
from spikeloom.data.holdout import HELDOUT
from spikeloom.data.spikedata import SpikeData
from spikeloom.data.splits import with_default_splits
from spikeloom.errors import ConfigError, DataError
from spikeloom.evaluation.behaviour import PLACES, Behaviour, behaviour_of, targets_of
from spikeloom.evaluation.code_map import Direction, LinearMap, Step, medoid
from spikeloom.evaluation.movement import Movement, PositionDecoder, first_and_last, unintended_movement
from spikeloom.models.base import GenerativeModel

STEPS = 7
REACH = 1.5
"""A traversal reaches this many s.d. of its variable to both sides, or twice as many steps in other units."""
POSITIONS = ("hand_position", "hand_pos", "cursor_position", "cursor_pos")
"""Signals that are taken for the position of the hand if none is named."""
MOST_TARGETS = 100
"""More places than this are no grid of targets."""
BASE_TRIAL_SEED = 11


@dataclass(frozen=True, eq=False)
class Traversal:
    """Trials generated along a latent traversal.

    Attributes:
        variable: The variable that is changed.
        amounts: Distance of each step from the base trial's own code; 0 is that code.
        unit: Unit of the amounts; empty for steps that are not measured by their effect on the variable.
        map: Linear map from codes to behaviour, fitted to recorded trials.
        base_trials: Trials of the recording from whose codes the traversals start.
        sample: Generated trials, by base trial, step and draw; columns of its table hold these three.
        decoded: Position of the hand decoded from the mean activity over draws; None where no position was recorded.
        position_unit: Unit of that position.
        decoder_r2: R2 of the decoder on recorded trials that it was not fitted to, for each dimension.
    """

    variable: str
    amounts: Float[np.ndarray, "step"]
    unit: str
    map: LinearMap
    base_trials: Int[np.ndarray, "base"]
    sample: SpikeData
    decoded: Float[np.ndarray, "base step time 2"] | None
    position_unit: str = ""
    decoder_r2: tuple[float, ...] = ()

    @cached_property
    def movement(self) -> Movement | None:
        """Intended and unintended movement, where the variable is a coordinate of the hand."""
        if self.decoded is None or self.variable not in PLACES:
            return None
        return unintended_movement(self.ends, self.variable, int(np.abs(self.amounts).argmin()))

    @cached_property
    def ends(self) -> Float[np.ndarray, "base step 2 2"]:
        """Decoded positions in the first and last bin of each trial; all have the length of their base trial."""
        assert self.decoded is not None
        n_base, n_steps = self.decoded.shape[:2]
        lengths = self.sample.lengths.reshape(n_base, n_steps, -1)[:, 0, 0]
        return first_and_last(self.decoded, lengths)

    def table(self) -> pd.DataFrame:
        """A row for each step of each traversal: read-out of its code, decoded start and end of the hand."""
        first = self.sample.trials["draw"] == 0
        rows = self.sample.trials.loc[first, ["base_trial", "step", "amount"]].reset_index(drop=True)
        codes = codes_in(self.sample)[first.to_numpy()]
        read = pd.DataFrame(self.map.read(codes), columns=[f"read_{n}" for n in self.map.names])
        parts = [rows, read]
        if self.decoded is not None:
            ends = self.ends.reshape(len(rows), 4)
            parts.append(pd.DataFrame(ends, columns=[f"decoded_{name}" for name in PLACES]))
        return pd.concat(parts, axis=1)


def navigate(
    model: GenerativeModel,
    data: SpikeData,
    variable: str,
    variables: Sequence[str] | None = None,
    base_trials: int = 1,
    amounts: Sequence[float | int] | None = None,
    step: Step = "effect",
    direction: Direction = "pinv",
    draws: int = 8,
    position: str | None = None,
    seed: int = 0,
) -> Traversal:
    """Traverse the codes of a model along a variable of behaviour, and generate trials at every step.

    Args:
        model: A trained model. One with codes (GNOCCHI) draws new trials for them; for others, the latents of the base
            trial are shifted by the same vector in every bin.
        data: Recording with the base trials; the map is fitted to the trials of its split "train".
        variable: Variable to change, as ``behaviour_of`` names them: a trial column, or "SIGNAL:first" and
            "SIGNAL:last".
        variables: All variables of the map; direction "pinv" leaves the others of them unchanged. When not given, the
            start and target of reaches if the recording has them, and ``variable``.
        base_trials: Number of trials to start from: the one with the most typical code, then others at random, of the
            splits that the map was not fitted to.
        amounts: Distances from the base trial; evenly spaced to both sides when not given.
        step: "effect", "unit" or "paper", see ``LinearMap.traverse``.
        direction: "pinv" changes the variable alone as far as the map can resolve it; "row" is published.
        draws: Trials generated at every step; positions are decoded from their mean activity.
        position: Signal with the position of the hand.
        seed: Seed of sampling; every step of a traversal uses the same noise.

    Raises:
        DataError: If no variable can be read from the codes, or no position decoded.
        ConfigError: If a variable does not exist.
    """
    if draws < 1 or base_trials < 1:
        raise ConfigError(f"there are {base_trials} base trials with {draws} draws; request at least one of each.")
    data = with_default_splits(data)
    names = list(variables) if variables else _usual(data, variable)
    if variables and variable in data.trials and variable not in names:
        names.append(variable)
    train = data.split("train")
    behaviour = behaviour_of(train, names)
    if variable not in behaviour.names:
        raise ConfigError(f"'{variable}' is read as {' and '.join(behaviour.names)}; choose one of these.")
    position = _position(data, position)
    code_map = LinearMap.fit(model.codes(train)[behaviour.trials], behaviour.values, behaviour.names, behaviour.units)
    column = code_map.index(variable)
    steps = _amounts(amounts, step, behaviour, column)
    chosen = _base_trials(model, data, base_trials)
    starts = data.select(trials=np.repeat(chosen, draws))
    own = model.codes(data.select(trials=chosen))
    traversed = np.stack([code_map.traverse(code, variable, steps, step, direction) for code in own])
    sample = joined(
        [
            model.sample_at(starts, np.repeat(traversed[:, i], draws, axis=0).astype(np.float32), seed)
            for i in range(len(steps))
        ]
    )
    # From (step, base trial, draw) to (base trial, step, draw).
    order = np.arange(sample.n_trials).reshape(len(steps), len(chosen), draws).transpose(1, 0, 2).reshape(-1)
    sample = sample.select(trials=order)
    place = np.unravel_index(np.arange(sample.n_trials), (len(chosen), len(steps), draws))
    columns = {"base_trial": chosen[place[0]], "step": place[1], "amount": steps[place[1]], "draw": place[2]}
    sample = replace(
        sample,
        trials=pd.concat([pd.DataFrame(columns), sample.trials], axis=1),
        provenance={**sample.provenance, "traversed_variable": variable, "step": step, "direction": direction},
    )
    decoded, unit, r2 = None, "", ()
    if position is not None:
        decoder, r2 = _position_decoder(model, data, position)
        unit = data.signals[position].unit
        activity = model.activity_of(sample).reshape(len(chosen), len(steps), draws, sample.n_bins, -1).mean(2)
        decoded = decoder.decode(activity)
    known = behaviour.units[column] or (unit if variable in PLACES else "")
    shown = known if step == "effect" else ""
    return Traversal(variable, steps, shown, code_map, chosen, sample, decoded, unit, r2)


def write_traversal(traversal: Traversal, data: SpikeData, out: str | Path) -> None:
    """Write generated trials (samples.npz), a table and figures (traversal.csv, traversal.png, axes.png)."""
    from spikeloom.drawing.style import save_figure
    from spikeloom.report.figures import axis_cosines, traversals

    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    save(traversal.sample, out / "samples.npz")
    with atomic(out / "traversal.csv") as temporary:
        traversal.table().to_csv(temporary, index=False)
    figures = {}
    if traversal.decoded is not None:
        targets, heldout = grid_of(data)
        shown = traversal.decoded[:1, :, : int(traversal.sample.lengths[0])]
        figures["traversal.png"] = traversals(
            shown, [traversal.variable], traversal.amounts, targets, heldout, traversal.position_unit, _label(traversal)
        )
    if len(traversal.map.names) > 1:
        figures["axes.png"] = axis_cosines(traversal.map)
    for name, figure in figures.items():
        with atomic(out / name) as temporary:
            save_figure(figure, temporary, format="png", dpi=160)


def joined(parts: Sequence[SpikeData]) -> SpikeData:
    """Samples of one model, one after another; of the same number of trials and the same lengths."""
    first = parts[0]

    def stacked(get: Any) -> Any:
        return None if get(first) is None else np.concatenate([get(p) for p in parts])

    return replace(
        first,
        counts=stacked(lambda d: d.counts),
        lengths=stacked(lambda d: d.lengths),
        signals={
            k: replace(s, values=np.concatenate([p.signals[k].values for p in parts])) for k, s in first.signals.items()
        },
        trials=pd.concat([p.trials for p in parts], ignore_index=True),
        rates=stacked(lambda d: d.rates),
        latents=stacked(lambda d: d.latents),
        splits={},
    )


def grid_of(data: SpikeData) -> tuple[Float[np.ndarray, "target 2"], Bool[np.ndarray, "target"] | None]:
    """Targets of a recording, and which of them only held-out trials have; none where it has no few targets."""
    nowhere = np.zeros((0, 2))
    try:
        places = targets_of(data)
    except DataError:
        return nowhere, None
    known = np.flatnonzero(np.isfinite(places).all(axis=1))
    targets, which = np.unique(places[known], axis=0, return_inverse=True)
    if len(targets) > MOST_TARGETS:
        return nowhere, None
    if HELDOUT not in data.splits:
        return targets, None
    in_training = ~np.isin(known, data.splits[HELDOUT])
    return targets, ~np.isin(np.arange(len(targets)), which.reshape(-1)[in_training])


def _usual(data: SpikeData, variable: str) -> list[str]:
    """Start and target of reaches, if the variable is one of them; the variable alone otherwise.

    Start and target together determine a reach, so that nothing else could change beside them.
    """
    names = [name for name in PLACES if name in data.trials]
    angle = re.sub("_(cos|sin)$", "", variable)  # an angle is read as these two
    column = angle if variable not in data.trials and angle in data.trials else variable
    return names if column in names else [column]


def _amounts(
    amounts: Sequence[float | int] | None, step: Step, behaviour: Behaviour, variable: int
) -> Float[np.ndarray, "step"]:
    if amounts is not None:
        values = np.asarray(amounts, dtype=np.float64)
        if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
            raise ConfigError(f"amounts are {amounts}, but must be a list of numbers, 0 for the base trial itself.")
        return np.unique(np.append(values, 0.0))  # every step is compared with the base trial
    reach = REACH * float(behaviour.values[:, variable].std()) if step == "effect" else REACH * 2
    return np.linspace(-reach, reach, STEPS)


def _base_trials(model: GenerativeModel, data: SpikeData, n: int) -> Int[np.ndarray, "base"]:
    """The most typical of the trials that the map was not fitted to, and others of them at random."""
    unseen = np.concatenate([data.splits[name] for name in ("val", "test") if name in data.splits])
    if n > len(unseen):
        raise DataError(
            f"{n} base trials were requested, but only {len(unseen)} trials are in val and test; request fewer."
        )
    first = unseen[medoid(model.codes(data.select(trials=unseen)))]
    others = np.random.default_rng(BASE_TRIAL_SEED).permutation(np.setdiff1d(unseen, [first]))
    return np.concatenate([[first], others[: n - 1]])


def _position(data: SpikeData, name: str | None) -> str | None:
    """The signal with the position of the hand: the one that is named, or one with a usual name."""
    if name is None:
        return next((n for n in POSITIONS if n in data.signals and data.signals[n].values.shape[2] == 2), None)
    if name not in data.signals or data.signals[name].values.shape[2] != 2:
        known = ", ".join(k for k, s in data.signals.items() if s.values.shape[2] == 2) or "none"
        raise DataError(f"'{name}' is no signal of two dimensions (there are: {known}); name one for the hand.")
    return name


def _position_decoder(
    model: GenerativeModel, data: SpikeData, position: str
) -> tuple[PositionDecoder, tuple[float, ...]]:
    """A decoder of the hand fitted to recorded training trials, and its R2 on others."""
    train, test = data.split("train"), data.split("test")
    decoder = PositionDecoder.fit(model.activity_of(train), train.signals[position].values, train.valid)
    r2 = decoder.score(model.activity_of(test), test.signals[position].values, test.valid)
    return decoder, tuple(float(v) for v in r2)


def _label(traversal: Traversal) -> str | None:
    return None if traversal.unit else f"steps along {traversal.variable}"
