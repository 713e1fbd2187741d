"""What a report shows of a model with codes: its codes, what they tell of behaviour, and two walks through them."""

from __future__ import annotations

import warnings

import numpy as np

from spikeloom.data.holdout import HELDOUT
from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import DataError, SpikeloomWarning
from spikeloom.evaluation.behaviour import PLACES, TARGET, behaviour_of, targets_of, with_places
from spikeloom.evaluation.code_map import MIN_R2, LinearMap
from spikeloom.models.base import GenerativeModel
from spikeloom.models.code import CodeModel
from spikeloom.report.code_panels import Coded, DecodedTraversal
from spikeloom.workflow.traversal import grid_of, navigate

AMOUNTS = (-1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5)
"""Steps of the walks, in standard deviations of a target's coordinates."""


def coded(model: GenerativeModel, data: SpikeData, seed: int = 0) -> Coded | None:
    """Codes of a recording and what a model makes of them; None for a model without codes.

    Args:
        model: A trained model.
        data: The recording it was fitted to, with its splits.
        seed: Of what is drawn.
    """
    if not model.code_size:
        return None
    test = data.split("test")
    longest = int(test.lengths.max())  # generated trials have no more bins than the longest of these
    codes = model.codes(data)
    own_codes = codes[data.splits["test"]]
    drawn = [
        model.activity_of(model.sample_at(test, used, seed))[:, :longest]
        for used in (own_codes, np.roll(own_codes, 1, axis=0))
    ]
    heldout = np.zeros(data.n_trials, dtype=bool)
    heldout[data.splits.get(HELDOUT, np.zeros(0, dtype=np.int64))] = True
    seen = {
        "codes": codes,
        "heldout": heldout,
        "real": model.activity_of(test)[:, :longest],
        "valid": np.array(test.valid[:, :longest]),
        "own": drawn[0],
        "other": drawn[1],
        "spread": model.spread(data) if isinstance(model, CodeModel) else None,
    }
    data = with_places(data)
    try:
        targets = targets_of(data)
        code_map, walks, unit = _walked(model, data, codes, seed)
    except DataError as error:
        return Coded(**seen, missing=str(error))
    known = np.isfinite(targets).all(axis=1)
    seen |= {"codes": codes[known], "heldout": heldout[known]}
    grid, unseen = grid_of(data)
    targets = targets[known]
    return Coded(**seen, targets=targets, map=code_map, walks=walks, unit=unit, grid=grid, unseen=unseen)


def _walked(
    model: GenerativeModel, data: SpikeData, codes: np.ndarray, seed: int
) -> tuple[LinearMap, list[DecodedTraversal], str]:
    """The map of start and target where they are known, and a walk along each coordinate of the target."""
    names = [name for name in PLACES if name in data.trials]
    train = data.split("train")
    behaviour = behaviour_of(train, names)
    used = codes[data.splits["train"]][behaviour.trials]
    code_map = LinearMap.fit(used, behaviour.values, behaviour.names, behaviour.units)
    readable = all(code_map.heldout_r2[code_map.index(name)] >= MIN_R2 for name in TARGET)
    amounts = [a * float(behaviour.values[:, -2:].std(axis=0).mean()) for a in AMOUNTS]
    walks: list[DecodedTraversal] = []
    unit = ""
    for name in TARGET if readable else ():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SpikeloomWarning)
            walk = navigate(model, data, name, names, amounts=amounts, seed=seed)
        if walk.decoded is None:
            break
        unit = walk.position_unit
        walks.append(DecodedTraversal(name, walk.amounts, walk.decoded[0, :, : int(walk.sample.lengths[0])]))
    return code_map, walks, unit
