"""Benchmark inference: scores of trained runs on held-out trials, in the terms of the Neural Latents Benchmark."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import PoissonRegressor

from spikeloom.bench.benchmark import Benchmark, command, locking_out
from spikeloom.bench.records import Record
from spikeloom.bench.tables import markdown_table, number, page
from spikeloom.data.published.datasets import PUBLISHED
from spikeloom.data.published.scoring import Scoring
from spikeloom.data.smoothing import smoothed_counts
from spikeloom.data.sources import load_source
from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import ConfigError, RunError
from spikeloom.evaluation.cosmoothing import LEAST_RATE, Cosmoothing, score
from spikeloom.models import load_model
from spikeloom.models.base import GenerativeModel
from spikeloom.models.held_out_inputs import HeldOutInputs
from spikeloom.workflow.sampling import held_out

KERNEL_S = 0.05
"""Standard deviation of the Gaussian of the reference."""
LOG_FLOOR = 1e-4
STRENGTH = 0.01
"""Ridge penalty of its regressions."""
COLUMNS = {
    "co_bps": "co-bps",
    "fp_bps": "fp-bps",
    "velocity_r2": "velocity R2",
    "psth_r2": "PSTH R2",
    "tp_correlation": "tp correlation",
}


@dataclass(frozen=True)
class InferenceRecord(Record):
    """Scores of inferred rates; its setting holds sizes and the command.

    Attributes:
        scores: By label: the reference, runs, and true rates where the recording has them.
    """

    scores: Mapping[str, Cosmoothing]


def inference_page(record: InferenceRecord) -> str:
    """The table, and what decides its numbers."""
    setting = record.setting
    shown = [key for key in COLUMNS if not all(np.isnan(getattr(s, key)) for s in record.scores.values())]
    rows = [
        [label, *(number(getattr(scores, key), digits=".3f") for key in shown)]
        for label, scores in record.scores.items()
    ]
    return page(
        "# Rates inferred for held-out trials",
        f"{setting['test_trials']} trials in bins of {setting['bin_s'] * 1e3:g} ms; {setting['held_out_neurons']} of "
        f"{setting['neurons']} neurons and the last {setting['forward_bins']} bins were withheld from encoders. Scores "
        "are those of the Neural Latents Benchmark (Pei et al. 2021): bits per spike of withheld neurons (co) and bins "
        "(fp), R2 of velocity decoded from rates, R2 of averages over trials of a condition. Scores in other bins or "
        "of other splits do not compare.",
        markdown_table(["", *(COLUMNS[key] for key in shown)], rows),
        f"`{setting['command']['command']}`",
    )


INFERENCE = Benchmark("inference", InferenceRecord, inference_page)


@locking_out
def run_inference_benchmark(
    runs: Sequence[str | Path],
    out: str | Path,
    velocity: str | None = None,
    condition: str | None = None,
    psth_sd_s: float | None = None,
) -> InferenceRecord:
    """Score runs of one recording beside a reference, and write JSON and a table.

    The reference is Gaussian smoothing of the neurons that encoders get, and a Poisson regression from these (on a
    logarithmic scale) to each neuron that is withheld.

    Args:
        runs: Trained runs that withhold the same neurons and bins.
        out: Folder to write to.
        velocity: Signal that is decoded from rates.
        condition: Trial column over which averages are taken.
        psth_sd_s: Standard deviation in seconds of the kernel of those averages. Where one of these three is not
            given, it is that of the published recording; of another recording none, and 0.07 s.

    Raises:
        ConfigError: If runs do not withhold the same, or the recording has no such signal or column.
        RunError: If the runs are not of one recording, or the folder holds something else.
    """
    out = Path(out)
    INFERENCE.refuse_occupied(out)
    models = [load_model(run) for run in runs]
    data = load_source(runs[0])
    heldout, forward = withheld_by(models[0])
    for run, model in zip(runs, models):
        if model.data_spec.trained_on != models[0].data_spec.trained_on:
            raise RunError(f"{run} was trained on other trials than {runs[0]}; name runs of one recording.")
        check_same_task(withheld_by(model), (heldout, forward), Path(run).name, Path(runs[0]).name)
    options: dict[str, Any] = {"velocity": velocity, "condition": condition, "psth_sd_s": psth_sd_s}
    scoring = scoring_of(data, {name: value for name, value in options.items() if value is not None})
    train, test = data.split("train"), held_out(data)
    rates = {"smoothing + Poisson regression": reference(train, test, heldout, forward)}
    rates |= {Path(run).name: (model.rates(train), model.rates(test)) for run, model in zip(runs, models)}
    if train.rates is not None and test.rates is not None:
        rates["true rates"] = train.rates, test.rates
    scores = {
        label: score(train, test, a.astype(np.float64), b.astype(np.float64), heldout, forward, scoring)
        for label, (a, b) in rates.items()
    }
    setting = {
        "bin_s": data.bin_s,
        "held_out_neurons": int(heldout.sum()),
        "neurons": data.n_neurons,
        "forward_bins": forward,
        "test_trials": test.n_trials,
        "command": command("cpu"),
    }
    record = InferenceRecord(setting, scores)
    INFERENCE.write(record, out)
    return record


def scoring_of(data: SpikeData, options: Mapping[str, Any]) -> Scoring:
    """How rates of a recording are scored: by the options, or else as it was published, where it has what that needs.

    Raises:
        ConfigError: If the recording has no signal or trial column of the options.
    """
    for name, known in (("velocity", data.signals), ("condition", data.trials)):
        if name in options and options[name] not in known:
            raise ConfigError(f"the recording has no '{options[name]}' (has {', '.join(map(str, known)) or 'none'}).")
    recording = PUBLISHED.get(str(data.provenance.get("dataset")))
    published = Scoring() if recording is None else recording.scoring
    there = {*data.trials, None}
    usual = {name: getattr(published, name) for name in ("apart", "condition", "outliers")}
    usual = {name: value if value in there else None for name, value in usual.items()}
    usual |= {
        "velocity": published.velocity if published.velocity in data.signals else None,
        "interval": published.interval if {published.interval, *published.within} <= there else None,
    }
    return replace(published, **(usual | dict(options)))


def withheld_by(model: GenerativeModel) -> tuple[np.ndarray, int]:
    """Neurons and last bins of a trial that are withheld from the encoder of a model."""
    parts = [module for module in model.modules() if isinstance(module, HeldOutInputs)]
    if not parts:
        return np.zeros(model.data_spec.n_neurons, bool), 0
    return ~parts[0].visible.cpu().numpy(), parts[0].forward_prediction_bins


def check_same_task(mine: tuple[np.ndarray, int], theirs: tuple[np.ndarray, int], run: str, other: str) -> None:
    """Refuse to compare scores of different tasks.

    Raises:
        ConfigError: If the two do not withhold the same.
    """
    if not np.array_equal(mine[0], theirs[0]) or mine[1] != theirs[1]:
        raise ConfigError(
            f"{run} withholds {int(mine[0].sum())} neurons and {mine[1]} bins, but {other} withholds "
            f"{int(theirs[0].sum())} and {theirs[1]}; their scores do not compare: fit both alike."
        )


def reference(train: SpikeData, test: SpikeData, heldout: np.ndarray, forward: int) -> tuple[np.ndarray, np.ndarray]:
    """Rates of both by smoothing, and of withheld neurons by regression; mean counts in bins that are withheld."""
    smooth = []
    for data in (train, test):
        lengths = np.maximum(data.lengths - forward, 1)
        inside = np.arange(data.n_bins) < lengths[:, None]
        counts = data.counts * inside[..., None].astype(data.counts.dtype)
        smooth.append(smoothed_counts(counts, lengths, KERNEL_S / data.bin_s).astype(np.float64))
    inside = np.arange(train.n_bins) < (train.lengths - forward)[:, None]
    features = [np.log(values[..., ~heldout] + LOG_FLOOR) for values in smooth]
    for neuron in np.flatnonzero(heldout):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            fitted = PoissonRegressor(alpha=STRENGTH).fit(features[0][inside], train.counts[..., neuron][inside])
        for values, x in zip(smooth, features):
            values[..., neuron] = fitted.predict(x.reshape(-1, x.shape[-1])).reshape(x.shape[:2])
    mean = train.counts.sum((0, 1), dtype=np.int64) / train.lengths.sum()
    for data, values in ((train, smooth[0]), (test, smooth[1])):
        values[np.arange(data.n_bins) >= (data.lengths - forward)[:, None]] = mean
    return np.maximum(smooth[0], LEAST_RATE), np.maximum(smooth[1], LEAST_RATE)
