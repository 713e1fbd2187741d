"""What a report shows of a model with codes: its codes, what they tell of behaviour, and two walks through them."""

from __future__ import annotations

import warnings

import numpy as np

from spikeloom.data.holdout import HELDOUT
from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import DataError, SpikeloomWarning
from spikeloom.evaluation.behaviour import behaviour_of
from spikeloom.evaluation.code_map import MIN_R2, LinearMap
from spikeloom.models.base import GenerativeModel
from spikeloom.models.code import SPREAD_TRIALS, CodeModel
from spikeloom.navigation import grid_of, navigate, target_columns
from spikeloom.report.code_panels import Coded, Walked

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
    codes = model.codes(data)
    own_codes = codes[data.splits["test"]]
    drawn = [
        model.activity_of(model.sample_at(test, used, seed)) for used in (own_codes, np.roll(own_codes, 1, axis=0))
    ]
    heldout = np.zeros(data.n_trials, dtype=bool)
    heldout[data.splits.get(HELDOUT, np.zeros(0, dtype=np.int64))] = True
    seen = {
        "codes": codes,
        "heldout": heldout,
        "real": model.activity_of(test),
        "valid": np.array(test.valid),
        "own": drawn[0],
        "other": drawn[1],
        "spread": _spread(model, data),
    }
    columns = target_columns(data)
    if columns is None:
        return Coded(**seen, missing="the recording has no targets (columns target_x and target_y) to colour codes by.")
    targets = data.trials[list(columns)].to_numpy(dtype=np.float64)
    try:
        code_map, walks, unit = _walked(model, data, codes, columns, seed)
    except DataError as error:
        return Coded(**seen, missing=str(error))
    grid, unseen = grid_of(data)
    return Coded(**seen, targets=targets, map=code_map, walks=walks, unit=unit, grid=grid, unseen=unseen)


def _spread(model: GenerativeModel, data: SpikeData) -> float | None:
    """S.d. of unconditional samples over that of training trials, mean over the leading principal components."""
    if not isinstance(model, CodeModel):
        return None
    batch = model._batch(data.split("train"))[:SPREAD_TRIALS].to(model.activity.mean.device)
    return float(model.spread_ratio(batch).mean())


def _walked(
    model: GenerativeModel, data: SpikeData, codes: np.ndarray, columns: tuple[str, str], seed: int
) -> tuple[LinearMap, list[Walked], str]:
    """The map of start and target where they are known, and a walk along each coordinate of the target."""
    names = [name for name in ("start_x", "start_y") if name in data.trials and columns[0] == "target_x"]
    train = data.split("train")
    behaviour = behaviour_of(train, [*names, *columns])
    used = codes[data.splits["train"]][behaviour.trials]
    code_map = LinearMap.fit(used, behaviour.values, behaviour.names, behaviour.units)
    readable = all(code_map.heldout_r2[code_map.index(name)] >= MIN_R2 for name in columns)
    amounts = [a * float(behaviour.values[:, -2:].std(axis=0).mean()) for a in AMOUNTS]
    walks: list[Walked] = []
    unit = ""
    for name in columns if readable else ():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SpikeloomWarning)
            walk = navigate(model, data, name, [*names, *columns], amounts=amounts, seed=seed)
        if walk.decoded is None:
            break
        unit = walk.position_unit
        walks.append(Walked(name, walk.amounts, walk.decoded[0]))
    return code_map, walks, unit
