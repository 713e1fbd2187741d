"""A recorder of live trials: what was asked for, what was drawn, and how long it took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from spikeloom.conditioning.variables import Variable
from spikeloom.data.spikedata import Signal, SpikeData
from spikeloom.models.base import GenerativeModel

LATENCY = "step_s"
"""Signal with the seconds that each step took."""


@dataclass
class _Trial:
    condition: Mapping[str, Any]
    counts: list[np.ndarray] = field(default_factory=list)
    rates: list[np.ndarray] = field(default_factory=list)
    latents: list[np.ndarray] = field(default_factory=list)
    signals: dict[str, list[np.ndarray]] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)


class Recorder:
    """Collects the trials of a live session.

    Args:
        model: The model that draws them.
    """

    def __init__(self, model: GenerativeModel):
        self._model = model
        self._variables: Sequence[Variable] = model.data_spec.variables
        self._trials: list[_Trial] = []

    def begin(self, condition: Mapping[str, Any]) -> None:
        """A new trial."""
        self._trials.append(_Trial(dict(condition)))

    def add(
        self,
        counts: np.ndarray,
        rates: np.ndarray,
        latents: np.ndarray,
        signals: Mapping[str, Any],
        seconds: float,
    ) -> None:
        """A bin of the trial that has begun; signals that are not known are NaN."""
        trial = self._trials[-1]
        trial.counts.append(np.asarray(counts))
        trial.rates.append(np.asarray(rates, np.float32))
        trial.latents.append(np.asarray(latents, np.float32))
        trial.seconds.append(seconds)
        for variable in self._variables:
            if variable.aligned:
                value = signals.get(variable.name)
                row = np.full(variable.size, np.nan) if value is None else np.asarray(value, np.float64)
                trial.signals.setdefault(variable.name, []).append(row.reshape(variable.size))

    def recording(self) -> SpikeData | None:
        """All trials that have any bin, as a recording marked as synthetic; None where there are none."""
        trials = [trial for trial in self._trials if trial.counts]
        if not trials:
            return None
        spec = self._model.data_spec
        signals = {
            v.name: Signal([np.stack(t.signals[v.name]) for t in trials], v.unit, v.columns)
            for v in self._variables
            if v.aligned
        }
        columns = sorted({name for trial in trials for name in trial.condition})
        return SpikeData(
            [np.stack(trial.counts) for trial in trials],
            bin_s=spec.bin_s,
            rates=[np.stack(trial.rates) for trial in trials],
            latents=[np.stack(trial.latents) for trial in trials],
            neurons=spec.neurons,
            trials=pd.DataFrame(
                {name: [trial.condition.get(name) for trial in trials] for name in columns},
                index=pd.RangeIndex(len(trials)),
            ),
            signals={**signals, LATENCY: Signal([np.array(t.seconds)[:, None] for t in trials], "s", ("step",))},
            provenance={"generated_by": self._model.name, "trained_on": spec.trained_on, "live": True},
        )
