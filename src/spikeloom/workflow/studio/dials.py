"""Dials: the same held-out conditions drawn with other options, with a few scores that follow at once."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from spikeloom.data.spikedata import SpikeData
from spikeloom.evaluation.compared_sets import ComparedSets, SetStatistics
from spikeloom.evaluation.frame import Frame
from spikeloom.evaluation.metric import Metric
from spikeloom.evaluation.metrics import HELDOUT_METRICS
from spikeloom.evaluation.portraits import significant, tuning_curves
from spikeloom.evaluation.summary import summarise
from spikeloom.evaluation.trial_set import TrialSet
from spikeloom.workflow.studio.answer import spikes_of
from spikeloom.workflow.studio.request import Request
from spikeloom.workflow.studio.system import System

TRIALS = 60
"""Held-out trials that are drawn again at most: enough for a score to move, few enough to be drawn at once."""
WITHOUT_WIDTH = {"Hz": "spikes/bin", "s": "bins"}
"""Units where bins have no physical width."""
SCORES = ("rate_rmse", "fano_rmse", "isi_w1", "corr_rmse", "acf_rmse", "count_js")
"""Metrics that are quick, one for each kind of fault."""


def dialled(system: System, request: Request) -> dict[str, Any]:
    """Trials under the conditions of held-out ones, drawn with the options of a request.

    Args:
        system: The run.
        request: Its seed and options count.
    """
    started = time.perf_counter()
    n = min(TRIALS, system.held_out.n_trials, system.train.n_trials)
    real, others = system.held_out[:n], system.train[:n]
    options = system.options(request.options)
    generated = system.like_held_out(n, request.seed, **options)
    tuning = tuning_curves([real, generated])
    return {
        "generated": spikes_of(generated),
        "real": spikes_of(real),
        "scores": quick_scores(real, generated, others),
        "rates_hz": [significant(_rates(real)), significant(_rates(generated))],
        "tuning": None
        if tuning is None
        else {
            "variable": tuning.variable,
            "unit": tuning.unit,
            "points": [str(p) if isinstance(p, str) else f"{p:.4g}" for p in tuning.points],
            "rate_hz": significant(np.moveaxis(tuning.rate_hz, 2, 0)),
        },
        "seconds": round(time.perf_counter() - started, 3),
    }


def quick_scores(real: SpikeData, generated: SpikeData, others: SpikeData) -> list[dict[str, Any]]:
    """A few metrics of generated against held-out trials, beside those of as many training trials: the noise floor.

    One draw without errors: what moves with a dial, not a verdict.

    Args:
        real: Held-out trials.
        generated: As many generated trials.
        others: As many training trials.
    """
    sets = [_trial_set(data) for data in (real, generated, others)]
    frame = Frame.from_real(sets[2], sets[0], real.bin_s, 1, False, np.zeros(1, np.int64))
    held_out, drawn, floor = (
        SetStatistics(summarise(each, frame, half=frame.half if each is sets[0] else None)) for each in sets
    )
    metrics: dict[str, Metric] = {metric.name: metric for metric in HELDOUT_METRICS}
    units = {name: metrics[name].unit for name in SCORES}
    return [
        {
            "name": name,
            "label": metrics[name].label,
            "unit": WITHOUT_WIDTH.get(unit, unit) if real.bin_s == 1.0 else unit,
            "value": significant(metrics[name].value(ComparedSets(drawn, held_out))),
            "floor": significant(metrics[name].value(ComparedSets(floor, held_out))),
        }
        for name, unit in units.items()
    ]


def _trial_set(data: SpikeData) -> TrialSet:
    return TrialSet(data.counts, data.lengths, np.zeros(data.n_trials, np.int64))


def _rates(data: SpikeData) -> np.ndarray:
    return data.counts.sum((0, 1), dtype=np.int64) / (data.lengths.sum() * data.bin_s)
