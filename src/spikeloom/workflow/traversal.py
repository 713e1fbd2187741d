"""Navigation: walk through the codes of a model along a variable of behaviour, and see what the new trials would do.

A linear map is fitted from the codes of recorded trials to what was done in them; codes are moved along it from those
of some anchor trials, and a trial is generated at every step. All steps of a walk share their noise, so that what
differs between them is the code (McCart et al. 2024, Section 3.5).
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
from spikeloom.data.sources import with_default_splits
from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import ConfigError, DataError
from spikeloom.evaluation.behaviour import PLACES, Behaviour, behaviour_of, targets_of
from spikeloom.evaluation.code_map import Direction, LinearMap, Step, medoid
from spikeloom.evaluation.movement import Movement, PositionDecoder, first_and_last, unintended_movement
from spikeloom.models.base import GenerativeModel

STEPS = 7
REACH = 1.5
"""A walk goes this many s.d. of its variable to both sides, or twice as many steps that are not measured by effect."""
POSITIONS = ("hand_position", "hand_pos", "cursor_position", "cursor_pos")
"""Signals that are taken for the position of the hand if none is named."""
MOST_TARGETS = 100
"""More places than this are no grid of targets."""
ANCHOR_SEED = 11


@dataclass(frozen=True, eq=False)
class Walk:
    """New trials along a walk through codes.

    Attributes:
        along: The variable of the walk.
        amounts: How far each step is from the anchor; 0 is the anchor itself.
        unit: Unit of the amounts; empty for steps that are not measured by their effect.
        map: From codes to behaviour, as fitted to recorded trials.
        anchors: Trials, of the recording walked in, from whose codes the walks start.
        sample: Generated trials: anchor by anchor, step by step, draw by draw; told by the columns of their table.
        decoded: Position of the hand decoded from the mean activity over draws; None where no position was recorded.
        position_unit: Unit of that position.
        decoder_r2: R2 of the decoder on recorded trials that it was not fitted to, for each dimension.
    """

    along: str
    amounts: Float[np.ndarray, "step"]
    unit: str
    map: LinearMap
    anchors: Int[np.ndarray, "anchor"]
    sample: SpikeData
    decoded: Float[np.ndarray, "anchor step time 2"] | None
    position_unit: str = ""
    decoder_r2: tuple[float, ...] = ()

    @cached_property
    def movement(self) -> Movement | None:
        """What moved that should, and should not, where the variable is a place of the hand."""
        if self.decoded is None or self.along not in PLACES:
            return None
        return unintended_movement(self.ends, self.along, int(np.abs(self.amounts).argmin()))

    @cached_property
    def ends(self) -> Float[np.ndarray, "anchor step 2 2"]:
        """Decoded positions in the first and in the last bin of each walk's trials, which have the anchor's length."""
        assert self.decoded is not None
        n_anchors, n_steps = self.decoded.shape[:2]
        lengths = self.sample.lengths.reshape(n_anchors, n_steps, -1)[:, 0, 0]
        return first_and_last(self.decoded, lengths)

    def table(self) -> pd.DataFrame:
        """A row for each step of each walk: what the map reads from its code, and where the hand starts and ends."""
        first = self.sample.trials["draw"] == 0
        rows = self.sample.trials.loc[first, ["anchor", "step", "amount"]].reset_index(drop=True)
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
    along: str,
    variables: Sequence[str] | None = None,
    anchors: int = 1,
    amounts: Sequence[float | int] | None = None,
    step: Step = "effect",
    direction: Direction = "pinv",
    draws: int = 8,
    position: str | None = None,
    seed: int = 0,
) -> Walk:
    """Generate trials while their codes are walked along a variable of behaviour.

    Args:
        model: A trained model. One with codes (GNOCCHI) draws new trials for them; of others, latents of the anchor
            trial are moved as a whole, by the same vector in every bin.
        data: Recording to fit the map and to take anchors from; the map is fitted to the trials of its split "train".
        along: Variable to walk along, as ``behaviour_of`` names them: a trial column, or "SIGNAL:first" and
            "SIGNAL:last".
        variables: All variables of the map; those that a walk along "pinv" leaves as they are. The start and target
            of reaches if the recording has them, and ``along``, when not given.
        anchors: Number of trials to start from: the one of the most typical code, then others at random, of the
            splits that the map was not fitted to.
        amounts: How far to go; evenly spaced to both sides when not given.
        step: "effect", "unit" or "paper", see ``LinearMap.walk``.
        direction: "pinv" changes the variable alone as far as the map can tell; "row" is published.
        draws: Trials generated at every step; positions are decoded from their mean activity.
        position: Signal with the position of the hand.
        seed: Of what is drawn; every step of a walk draws the same noise.

    Raises:
        DataError: If nothing can be read or decoded.
        ConfigError: If a variable does not exist.
    """
    if draws < 1 or anchors < 1:
        raise ConfigError(f"{anchors} anchors with {draws} draws were asked for; ask for at least one of each.")
    data = with_default_splits(data)
    names = list(variables) if variables else _usual(data, along)
    if variables and along in data.trials and along not in names:
        names.append(along)
    train = data.split("train")
    behaviour = behaviour_of(train, names)
    if along not in behaviour.names:
        raise ConfigError(f"'{along}' is read as {' and '.join(behaviour.names)}; walk along one of these.")
    position = _position(data, position)
    code_map = LinearMap.fit(model.codes(train)[behaviour.trials], behaviour.values, behaviour.names, behaviour.units)
    variable = code_map.index(along)
    steps = _amounts(amounts, step, behaviour, variable)
    chosen = _anchors(model, data, anchors)
    starts = data.select(trials=np.repeat(chosen, draws))
    own = model.codes(data.select(trials=chosen))
    walked = np.stack([code_map.walk(code, along, steps, step, direction) for code in own])
    sample = joined(
        [
            model.sample_at(starts, np.repeat(walked[:, i], draws, axis=0).astype(np.float32), seed)
            for i in range(len(steps))
        ]
    )
    # From (step, anchor, draw) to (anchor, step, draw).
    order = np.arange(sample.n_trials).reshape(len(steps), len(chosen), draws).transpose(1, 0, 2).reshape(-1)
    sample = sample.select(trials=order)
    place = np.unravel_index(np.arange(sample.n_trials), (len(chosen), len(steps), draws))
    told = {"anchor": chosen[place[0]], "step": place[1], "amount": steps[place[1]], "draw": place[2]}
    sample = replace(
        sample,
        trials=pd.concat([pd.DataFrame(told), sample.trials], axis=1),
        provenance={**sample.provenance, "walked_along": along, "step": step, "direction": direction},
    )
    decoded, unit, r2 = None, "", ()
    if position is not None:
        decoder, r2 = _position_decoder(model, data, position)
        unit = data.signals[position].unit
        activity = model.activity_of(sample).reshape(len(chosen), len(steps), draws, sample.n_bins, -1).mean(2)
        decoded = decoder.decode(activity)
    known = behaviour.units[variable] or (unit if along in PLACES else "")
    shown = known if step == "effect" else ""
    return Walk(along, steps, shown, code_map, chosen, sample, decoded, unit, r2)


def write_walk(walk: Walk, data: SpikeData, out: str | Path) -> None:
    """Leave generated trials (samples.npz), what they show (walk.csv) and figures (walk.png, axes.png) in a folder."""
    from spikeloom.report.code_figures import draw_axes_cosines, draw_navigation

    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    save(walk.sample, out / "samples.npz")
    with atomic(out / "walk.csv") as temporary:
        walk.table().to_csv(temporary, index=False)
    figures = {}
    if walk.decoded is not None:
        targets, heldout = grid_of(data)
        shown = walk.decoded[:1, :, : int(walk.sample.lengths[0])]
        figures["walk.png"] = draw_navigation(
            shown, [walk.along], walk.amounts, targets, heldout, walk.position_unit, _label(walk)
        )
    if len(walk.map.names) > 1:
        figures["axes.png"] = draw_axes_cosines(walk.map)
    for name, figure in figures.items():
        with atomic(out / name) as temporary:
            figure.savefig(temporary, format="png", dpi=160)


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
    seen = ~np.isin(known, data.splits[HELDOUT])
    return targets, ~np.isin(np.arange(len(targets)), which.reshape(-1)[seen])


def _usual(data: SpikeData, along: str) -> list[str]:
    """Start and target of reaches, if one of them is walked along; what is walked along otherwise.

    Start and target together say what a reach is, so that nothing could be walked along beside them.
    """
    names = [name for name in PLACES if name in data.trials]
    angle = re.sub("_(cos|sin)$", "", along)  # an angle is read as these two
    column = angle if along not in data.trials and angle in data.trials else along
    return names if column in names else [column]


def _amounts(
    amounts: Sequence[float | int] | None, step: Step, behaviour: Behaviour, variable: int
) -> Float[np.ndarray, "step"]:
    if amounts is not None:
        values = np.asarray(amounts, dtype=np.float64)
        if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
            raise ConfigError(f"amounts are {amounts}, but must be a list of numbers, 0 for the anchor itself.")
        return np.unique(np.append(values, 0.0))  # the anchor is what every step is compared with
    reach = REACH * float(behaviour.values[:, variable].std()) if step == "effect" else REACH * 2
    return np.linspace(-reach, reach, STEPS)


def _anchors(model: GenerativeModel, data: SpikeData, n: int) -> Int[np.ndarray, "anchor"]:
    """The most typical of the trials that the map was not fitted to, and others of them at random."""
    unseen = np.concatenate([data.splits[name] for name in ("val", "test") if name in data.splits])
    if n > len(unseen):
        raise DataError(
            f"{n} anchors were asked for, but only {len(unseen)} trials are in val and test; ask for fewer."
        )
    first = unseen[medoid(model.codes(data.select(trials=unseen)))]
    others = np.random.default_rng(ANCHOR_SEED).permutation(np.setdiff1d(unseen, [first]))
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


def _label(walk: Walk) -> str | None:
    return None if walk.unit else f"steps along {walk.along}"
