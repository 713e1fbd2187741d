"""Scores of what trained runs infer of held-out trials, in the terms of the Neural Latents Benchmark."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import PoissonRegressor

from spikeloom.atomic import atomic
from spikeloom.bench import benchmarking
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
from spikeloom.training.run import Run
from spikeloom.workflow.sampling import held_out

NAME = "inference"
"""Of the files of results."""
KERNEL_S = 0.05
"""Standard deviation of the Gaussian of the reference."""
LOG_FLOOR = 1e-4
STRENGTH = 0.01
"""Ridge penalty of its regressions."""
HEADER = {
    "co_bps": "co-bps",
    "fp_bps": "fp-bps",
    "velocity_r2": "velocity R2",
    "psth_r2": "PSTH R2",
    "tp_correlation": "tp correlation",
}


@dataclass(frozen=True)
class Scored:
    """What is scored, and its scores."""

    label: str
    scores: Cosmoothing


def measure(
    runs: Sequence[str | Path],
    out: str | Path,
    velocity: str | None = None,
    condition: str | None = None,
    psth_sd_s: float | None = None,
) -> list[Scored]:
    """Score runs of one recording beside a reference, and write JSON and a table.

    The reference is Gaussian smoothing of the neurons that are shown, and a Poisson regression from these (on a
    logarithmic scale) to each neuron that is not.

    Args:
        runs: Trained runs that withhold the same neurons and bins.
        out: Folder to write to.
        velocity: Signal that is read from rates.
        condition: Trial column over which averages are taken.
        psth_sd_s: Standard deviation in seconds of the kernel of those averages. What is not given is that of the
            published recording; of another recording there is nothing then, and 0.07 s.

    Raises:
        ConfigError: If runs do not withhold the same, or the recording has no such signal or column.
        RunError: If the runs are not of one recording, or the folder holds something else.
    """
    out = Path(out)
    benchmarking.refuse_occupied(out, NAME)
    models = [load_model(run) for run in runs]
    data = load_source(runs[0])
    hidden = withheld_by(models[0])
    for run, model in zip(runs, models):
        if model.data_spec.trained_on != models[0].data_spec.trained_on:
            raise RunError(f"{run} was trained on other trials than {runs[0]}; name runs of one recording.")
        refuse_other(withheld_by(model), hidden, Path(run).name, Path(runs[0]).name)
    given: dict[str, Any] = {"velocity": velocity, "condition": condition, "psth_sd_s": psth_sd_s}
    scoring = scoring_of(data, {name: value for name, value in given.items() if value is not None})
    train, test = data.split("train"), held_out(data)
    heldout, forward = hidden

    def scored(label: str, of_train: np.ndarray, of_test: np.ndarray) -> Scored:
        doubles = of_train.astype(np.float64), of_test.astype(np.float64)
        return Scored(label, score(train, test, *doubles, heldout, forward, scoring))

    results = [scored("smoothing + Poisson regression", *reference(train, test, heldout, forward))]
    results += [scored(Path(r).name, m.rates(train), m.rates(test)) for r, m in zip(runs, models)]
    if train.rates is not None and test.rates is not None:
        results.append(scored("true rates", train.rates, test.rates))
    write(results, data, hidden, out)
    return results


def scoring_of(data: SpikeData, given: Mapping[str, Any]) -> Scoring:
    """What rates of a recording are scored by: what is given, or else what its recording says, as far as it is there.

    Raises:
        ConfigError: If the recording has no signal or trial column that is given.
    """
    for name, known in (("velocity", data.signals), ("condition", data.trials)):
        if name in given and given[name] not in known:
            raise ConfigError(f"the recording has no '{given[name]}' (has {', '.join(map(str, known)) or 'none'}).")
    recording = PUBLISHED.get(str(data.provenance.get("dataset")))
    said = Scoring() if recording is None else recording.scoring
    there = {*data.trials, None}
    usual = {name: getattr(said, name) for name in ("apart", "condition", "outliers")}
    usual = {name: value if value in there else None for name, value in usual.items()}
    usual |= {
        "velocity": said.velocity if said.velocity in data.signals else None,
        "interval": said.interval if {said.interval, *said.within} <= there else None,
    }
    return replace(said, **(usual | dict(given)))


def withheld_by(model: GenerativeModel) -> tuple[np.ndarray, int]:
    """Neurons and last bins of a trial that the encoder of a model is not shown."""
    parts = [module for module in model.modules() if isinstance(module, HeldOutInputs)]
    if not parts:
        return np.zeros(model.data_spec.n_neurons, bool), 0
    return ~parts[0].seen.cpu().numpy(), parts[0].forward_prediction_bins


def refuse_other(mine: tuple[np.ndarray, int], theirs: tuple[np.ndarray, int], run: str, other: str) -> None:
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
        shown = np.arange(data.n_bins) < lengths[:, None]
        counts = data.counts * shown[..., None].astype(data.counts.dtype)
        smooth.append(smoothed_counts(counts, lengths, KERNEL_S / data.bin_s).astype(np.float64))
    inside = np.arange(train.n_bins) < (train.lengths - forward)[:, None]
    features = [np.log(values[..., ~heldout] + LOG_FLOOR) for values in smooth]
    for neuron in np.flatnonzero(heldout):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            fitted = PoissonRegressor(alpha=STRENGTH).fit(features[0][inside], train.counts[..., neuron][inside])
        for values, of in zip(smooth, features):
            values[..., neuron] = fitted.predict(of.reshape(-1, of.shape[-1])).reshape(of.shape[:2])
    mean = train.counts.sum((0, 1), dtype=np.int64) / train.lengths.sum()
    for data, values in ((train, smooth[0]), (test, smooth[1])):
        values[np.arange(data.n_bins) >= (data.lengths - forward)[:, None]] = mean
    return np.maximum(smooth[0], LEAST_RATE), np.maximum(smooth[1], LEAST_RATE)


def write(results: Sequence[Scored], data: SpikeData, hidden: tuple[np.ndarray, int], out: Path) -> None:
    """Write JSON and a Markdown table."""
    out.mkdir(parents=True, exist_ok=True)
    told = {
        "bin_s": data.bin_s,
        "held_out_neurons": int(hidden[0].sum()),
        "neurons": data.n_neurons,
        "forward_bins": hidden[1],
        "test_trials": held_out(data).n_trials,
        "command": benchmarking.command("cpu"),
    }
    scores = {each.label: each.scores.to_dict() for each in results}
    Run(out).write_json(f"{NAME}.json", {"setting": told, "scores": scores})
    with atomic(out / f"{NAME}.md") as temporary:
        temporary.write_text(markdown(results, told))


def markdown(results: Sequence[Scored], told: dict[str, Any]) -> str:
    """The table, and what decides its numbers."""
    numbers = [each.scores.to_dict() for each in results]
    shown = [name for name in HEADER if not all(np.isnan(of[name]) for of in numbers)]
    rows = [("", *(HEADER[name] for name in shown)), ("---",) * (1 + len(shown))]
    for each, of in zip(results, numbers):
        rows.append((each.label, *("-" if np.isnan(of[name]) else f"{of[name]:.3f}" for name in shown)))
    table = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    return (
        "# Rates inferred of held-out trials\n\n"
        f"{told['test_trials']} trials in bins of {told['bin_s'] * 1e3:g} ms; {told['held_out_neurons']} of "
        f"{told['neurons']} neurons and the last {told['forward_bins']} bins were not shown to encoders. Scores are "
        "those of the Neural Latents Benchmark (Pei et al. 2021): bits per spike of neurons (co) and bins (fp) that "
        "were not shown, R2 of velocity read from rates, R2 of averages over trials of a condition. Scores in other "
        f"bins or of other splits do not compare.\n\n{table}\n\n`{told['command']['command']}`\n"
    )
