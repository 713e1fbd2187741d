"""The neuron picker of the page: the portraits of all neurons as data, drawn in the browser when one is chosen."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

import numpy as np

from spikeloom.data.spikedata import SpikeData
from spikeloom.drawing.style import rate_unit, time_unit
from spikeloom.evaluation.portraits import Portraits, portraits, significant
from spikeloom.report.sets import ComparedTrials

SETS = ("held-out real", "generated", "other real")
MOST_POINTS = 60
"""Points of a trial average."""
MOST_NEURONS = 400
"""Neurons on the page; of larger populations those that fire most."""
SCRIPTS = ("charts", "portrait", "picker")


def picker(trials: ComparedTrials, real: SpikeData) -> dict[str, Any]:
    """Data from which the page draws any neuron.

    Args:
        trials: The trials of the comparison.
        real: The recording, whose table names the neurons.
    """
    found = portraits(dict(zip(SETS, trials)))
    kept = np.sort(np.argsort(-found.rate_hz[0], kind="stable")[:MOST_NEURONS])
    step = -(-found.average_hz.shape[2] // MOST_POINTS)
    table = real.neurons.astype(str)
    return {
        "axes": {**found.axes(), "step": step},
        "units": {"time": time_unit(real.bin_s), "rate": rate_unit(real.bin_s)},
        "left_out": real.n_neurons - len(kept),
        "neurons": [
            {
                **found.of(int(n)),
                "average_hz": significant(_coarse(found, int(n), step)),
                "row": {str(k): str(v) for k, v in table.iloc[int(n)].items() if v not in ("nan", "None")},
            }
            for n in kept
        ],
    }


def as_script(content: Any) -> str:
    """Plain values as JSON that may stand in a script of a page."""
    return json.dumps(content, separators=(",", ":")).replace("<", "\\u003c")


def scripts() -> str:
    """The scripts that draw the picker."""
    folder = resources.files("spikeloom.report") / "scripts"
    return "\n".join((folder / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS)


def _coarse(found: Portraits, neuron: int, step: int) -> np.ndarray:
    """Trial averages of a neuron in groups of bins."""
    rates = found.average_hz[..., neuron]
    short = -rates.shape[-1] % step
    grouped = np.pad(rates, ((0, 0), (0, 0), (0, short)), constant_values=np.nan)
    grouped = grouped.reshape(*rates.shape[:2], -1, step)
    number = np.isfinite(grouped).sum(-1)
    return np.where(number > 0, np.nansum(grouped, axis=-1) / np.maximum(number, 1), np.nan)
