"""The answer to a request of a page: spikes, rates, averages, and the movement decoded from them."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Num

from spikeloom.conditioning.novelty import FAR
from spikeloom.conditioning.parsing import DISTANCE
from spikeloom.data.averages import group_rates
from spikeloom.data.spikedata import SpikeData
from spikeloom.drawing.style import rate_unit, time_unit
from spikeloom.evaluation.portraits import SMOOTH_S, significant
from spikeloom.workflow.studio.request import Request
from spikeloom.workflow.studio.system import System
from spikeloom.workflow.studio.take_away import command_of, python_of
from spikeloom.workflow.studio.workspace import path_of

NEAR = 20
"""Recorded trials under similar conditions that are shown for comparison."""


def answer(system: System, request: Request) -> dict[str, Any]:
    """Draw trials and describe them.

    Args:
        system: The run.
        request: What is asked for.

    Raises:
        SpikeloomError: If the model cannot be asked for this.
    """
    started = time.perf_counter()
    arguments = request.arguments(system)
    sample, notes = system.sample(**arguments)
    near = system.nearest(sample, NEAR)
    recorded = None if not len(near) else spikes_of(system.train[near])
    if request.trial is not None:
        recorded = {**spikes_of(system.held_out[request.trial]), "trial": request.trial}
    return {
        **spikes_of(sample),
        "seed": request.seed,
        "novelty": novelty_of(system, sample),
        "notes": notes,
        "recorded": recorded,
        "decoded": decoded_of(system, sample, arguments.get("condition", {})),
        "command": command_of(system, arguments),
        "python": python_of(system, arguments),
        "seconds": round(time.perf_counter() - started, 3),
    }


def spikes_of(data: SpikeData) -> dict[str, Any]:
    """Counts, population rate and trial averages of some trials, arrays as base64."""
    return {
        "n": data.n_trials,
        "bins": data.n_bins,
        "lengths": data.lengths.tolist(),
        "counts": packed(np.minimum(data.counts, 255).astype(np.uint8)),
        "population_hz": significant(population_rate(data)),
        "average_hz": packed(np.nan_to_num(average(data)).astype("<f4")),
    }


def population_rate(data: SpikeData) -> Float[np.ndarray, "time"]:
    """Spikes of the whole population in a second, mean over the trials that have the bin."""
    return data.counts.sum(axis=(0, 2), dtype=np.int64) / np.maximum(data.valid.sum(0), 1) / data.bin_s


def average(data: SpikeData) -> Float[np.ndarray, "time neuron"]:
    """Trial-averaged rate of every neuron, smoothed."""
    return group_rates(data, smooth_s=max(SMOOTH_S, data.bin_s / 2))[0][0]


def novelty_of(system: System, sample: SpikeData) -> dict[str, Any] | None:
    """How far the request is from what was recorded, in its conditions and its length; None without conditions."""
    if DISTANCE not in sample.trials:
        return None
    distance = float(np.nanmax(sample.trials[DISTANCE].to_numpy(np.float64)))
    if np.isnan(distance):
        return None
    longest = int(system.model.data_spec.lengths.max())
    novel = distance > FAR or sample.n_bins > longest
    if distance > FAR:
        words = "nothing like it was recorded"
        if np.isfinite(distance):
            words += f": {distance:.1f} times the distance at which trials lie apart"
    elif novel:
        words = f"longer than any recorded trial: {sample.n_bins} bins, where they have {longest} at most"
    elif distance == 0:
        words = "recorded: trials of the same condition"
    else:
        words = f"like recorded trials: {distance:.1f} of the distance at which they lie apart"
    return {"distance": None if np.isinf(distance) else round(distance, 3), "novel": novel, "words": words}


def decoded_of(system: System, sample: SpikeData, condition: Mapping[str, Any]) -> dict[str, Any] | None:
    """The movement that a decoder of recorded trials reads from the spikes, and how well; None without a decoder."""
    decoder, space = system.decoder, system.workspace
    if decoder is None or space is None:
        return None
    found = decoder.decode(sample)
    trials = np.split(found, np.cumsum(sample.lengths)[:-1])
    asked = condition.get(space.signal)
    wanted = None if asked is None else path_of(asked, sample.bin_s, space.velocity)
    score = None
    if asked is not None and all(len(each) == len(asked) for each in trials):
        score = system.read_back(found, np.concatenate([asked] * len(trials)))
    return {
        "signal": space.signal,
        "paths": [significant(path_of(each, sample.bin_s, space.velocity)) for each in trials],
        "asked": None if wanted is None else significant(wanted),
        "unit": system.train.signals[space.signal].unit,
        "generated": score,
        "recorded": system.recorded_score,
    }


def introduction(systems: Sequence[System]) -> dict[str, Any]:
    """Facts about the runs, for a page that begins."""
    names = [system.name for system in systems]
    unique = [name if names.count(name) == 1 else str(s.run) for name, s in zip(names, systems)]
    return {"runs": [_about(system, name) for system, name in zip(systems, unique)]}


def _about(system: System, name: str) -> dict[str, Any]:
    spec, space = system.model.data_spec, system.workspace
    data = system.recording
    return {
        "name": name,
        "model": system.model.name,
        "neurons": spec.n_neurons,
        "bin_s": spec.bin_s,
        "time_unit": time_unit(spec.bin_s),
        "rate_unit": rate_unit(spec.bin_s),
        "length": int(np.median(spec.lengths)),
        "longest": int(spec.lengths.max()),
        "mean_hz": significant(np.asarray(spec.mean_counts) / spec.bin_s),
        "unreadable": system.unreadable,
        "held_out": None if data is None else system.held_out.n_trials,
        "trained_on": len(spec.lengths),
        "variables": [
            {"name": v.name, "kind": v.kind, "unit": v.unit, "labels": list(v.labels), "mean": list(v.mean)}
            for v in system.variables
        ],
        "draws": None if system.drawn is None else system.drawn.name,
        "space": None
        if space is None
        else {
            "signal": space.signal,
            "velocity": space.velocity,
            "unit": space.unit,
            "centre": significant(space.centre),
            "radius": round(space.radius, 5),
            "paths": [significant(path) for path in space.paths],
            "usual_s": space.usual * space.bin_s,
        },
        "dials": list(system.dials),
        "passes": _passes(system),
        "table": [] if data is None else _columns(data),
    }


def _passes(system: System) -> int | None:
    """Network passes of a sample as configured, of a model that counts them."""
    return getattr(getattr(system.model.config, "prior", None), "sampling_steps", None)


def _columns(data: SpikeData) -> list[dict[str, Any]]:
    """Columns of each neuron, by which one can be found."""
    texts = data.neurons.astype(str)
    return [{str(name): row[name] for name in texts} for _, row in texts.iterrows()]


def packed(values: Num[np.ndarray, "..."]) -> str:
    """The bytes of an array as text."""
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode()
