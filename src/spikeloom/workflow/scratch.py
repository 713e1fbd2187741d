"""Training on a few trials alone: what an adapted model is compared with."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from spikeloom.data.spikedata import SpikeData
from spikeloom.models.latent import LatentModel
from spikeloom.training.engine import Engine
from spikeloom.training.run import Run
from spikeloom.training.stages import StageConfig

HELD_BACK = 0.2
"""Share of the trials by which the number of steps is chosen."""
CHOICE_STREAM = 0x5C8A


def trained_from_scratch(model: LatentModel, data: SpikeData, engine: Engine) -> LatentModel:
    """A model of the same kind and configuration, trained on the session's trials alone, and given all of them.

    How long to train is chosen first, on four fifths of the trials by the likelihood of the last fifth; then it is
    trained for as many steps on all of them.

    Args:
        model: The adapted model.
        data: The session; its split "train" has the trials that may be learned from. Other trials choose nothing.
        engine: Devices, precision and seed.
    """
    kind, config, trials = type(model), model.config, data.splits["train"]
    if len(trials) > 1:
        config = with_steps(config, best_steps(kind, config, data, engine))
    return kind(config).fit(data, engine=engine)


def best_steps(kind: type[LatentModel], config: Any, data: SpikeData, engine: Engine) -> dict[str, int]:
    """The number of steps of each stage after which the held-back trials are described best."""
    trials = np.random.default_rng([engine.seed, CHOICE_STREAM]).permutation(data.splits["train"])
    n_held_back = max(1, round(HELD_BACK * len(trials)))
    splits = {"train": np.sort(trials[n_held_back:]), "val": np.sort(trials[:n_held_back])}
    with TemporaryDirectory() as folder:
        run = Run(Path(folder))
        kind(config).fit(replace(data, splits={**data.splits, **splits}), run=run, engine=engine)
        metrics = run.metrics()
    best = metrics.loc[metrics.groupby("stage").validation_loss.idxmin()]
    return {str(stage): int(step) for stage, step in zip(best.stage, best.step, strict=True)}


def with_steps(config: Any, steps: dict[str, int]) -> Any:
    """A configuration whose stages take so many steps and keep the last weights."""
    stages = {f.name: getattr(config, f.name) for f in fields(config)}
    changed = {
        name: replace(stage, steps=steps[name.removesuffix("_training")], keep_best=False, patience=None)
        for name, stage in stages.items()
        if isinstance(stage, StageConfig) and name.removesuffix("_training") in steps
    }
    return replace(config, **changed)
