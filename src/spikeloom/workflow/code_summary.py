"""Codes of a recording for the report: activity generated from them, behaviour read from them, traversals."""

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
from spikeloom.report.code_panels import CodeSummary, DecodedTraversal
from spikeloom.workflow.traversal import grid_of, navigate

AMOUNTS = (-1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5)
"""Steps of the traversals, in standard deviations of a target's coordinates."""


def code_summary(model: GenerativeModel, data: SpikeData, seed: int = 0) -> CodeSummary:
    """Codes of a recording, and activity that a model generates from them.

    Args:
        model: A trained model with codes.
        data: The recording it was fitted to, with its splits.
        seed: Seed of the generated trials.
    """
    test = data.split("test")
    longest = int(test.lengths.max())  # generated trials have no more bins than the longest of these
    codes = model.codes(data)
    own_codes = codes[data.splits["test"]]
    generated = [
        model.activity_of(model.sample_at(test, chosen, seed))[:, :longest]
        for chosen in (own_codes, np.roll(own_codes, 1, axis=0))
    ]
    heldout = np.zeros(data.n_trials, dtype=bool)
    heldout[data.splits.get(HELDOUT, np.zeros(0, dtype=np.int64))] = True
    parts = {
        "codes": codes,
        "heldout": heldout,
        "real": model.activity_of(test)[:, :longest],
        "valid": np.array(test.valid[:, :longest]),
        "own": generated[0],
        "other": generated[1],
        "spread": model.spread(data) if isinstance(model, CodeModel) else None,
    }
    data = with_places(data)
    try:
        targets = targets_of(data)
        code_map, traversals, unit = _traversals(model, data, codes, seed)
    except DataError as error:
        return CodeSummary(**parts, missing=str(error))
    known = np.isfinite(targets).all(axis=1)
    parts |= {"codes": codes[known], "heldout": heldout[known]}
    grid, heldout_targets = grid_of(data)
    targets = targets[known]
    return CodeSummary(
        **parts,
        targets=targets,
        map=code_map,
        traversals=traversals,
        unit=unit,
        grid=grid,
        heldout_targets=heldout_targets,
    )


def _traversals(
    model: GenerativeModel, data: SpikeData, codes: np.ndarray, seed: int
) -> tuple[LinearMap, list[DecodedTraversal], str]:
    """The map of start and target where they are known, a traversal of each target coordinate, and the unit."""
    names = [name for name in PLACES if name in data.trials]
    train = data.split("train")
    behaviour = behaviour_of(train, names)
    used = codes[data.splits["train"]][behaviour.trials]
    code_map = LinearMap.fit(used, behaviour.values, behaviour.names, behaviour.units)
    readable = all(code_map.heldout_r2[code_map.index(name)] >= MIN_R2 for name in TARGET)
    amounts = [a * float(behaviour.values[:, -2:].std(axis=0).mean()) for a in AMOUNTS]
    found: list[DecodedTraversal] = []
    unit = ""
    for name in TARGET if readable else ():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SpikeloomWarning)
            traversal = navigate(model, data, name, names, amounts=amounts, seed=seed)
        if traversal.decoded is None:
            break
        unit = traversal.position_unit
        found.append(
            DecodedTraversal(name, traversal.amounts, traversal.decoded[0, :, : int(traversal.sample.lengths[0])])
        )
    return code_map, found, unit
