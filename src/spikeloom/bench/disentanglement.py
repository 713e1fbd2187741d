"""Benchmark models with codes: train each from scratch with several seeds, and measure what codes are good for."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from spikeloom.bench import benchmarking
from spikeloom.bench.code_measures import Task, references, scores
from spikeloom.bench.code_subjects import PCA, SUBJECTS, LinearSubject, Trained, trained
from spikeloom.bench.disentanglement_record import Disentanglement, Result
from spikeloom.bench.window_pca import WindowPCA
from spikeloom.data.options import LoadOptions
from spikeloom.data.smoothing import SMOOTHED
from spikeloom.data.sources import load_source
from spikeloom.data.spikedata import SpikeData
from spikeloom.data.splits import with_default_splits
from spikeloom.errors import ConfigError, SpikeloomWarning
from spikeloom.models.activity import COUNTS, Activity
from spikeloom.progress import Progress
from spikeloom.training.engine import Engine

NAME = "disentanglement"
"""Of the files in the folder of results."""
SIMULATED = "activity"
"""The signal of simulated units, which is learned where there is one."""


def measure(
    out: str | Path,
    source: str = "reaching-ring",
    reading: LoadOptions | None = None,
    *,
    activity: str | None = None,
    codes: int = 5,
    seeds: int = 3,
    subjects: Sequence[str] | None = None,
    max_steps: int | None = None,
    device: str = "auto",
) -> Disentanglement:
    """Train and measure every subject with every seed, and write JSON, tables and figures.

    Everything is written after every subject, one seed of all subjects after another; trained runs are kept. A
    benchmark that was cut goes on with the same arguments; more seeds and subjects may be asked for.

    Args:
        out: Folder of results.
        source: A recording of reaches to targets.
        reading: How to understand it.
        activity: What is learned: a signal, or "counts", which are smoothed; the activity of simulated units or
            smoothed counts where the recording has them, when not given.
        codes: Values of a code.
        seeds: Number of trainings of each subject.
        subjects: Names of subjects; all when not given.
        max_steps: Upper limit of the steps of a training.
        device: auto, cpu, cuda or mps.

    Raises:
        ConfigError: If a subject does not exist.
        DataError: If the recording tells of no targets, or has no such activity.
        RunError: If the folder holds something else.
    """
    out, reading = Path(out), reading or LoadOptions()
    names = benchmarking.chosen(subjects, list(SUBJECTS))
    if seeds < 1 or codes < 1:
        raise ConfigError(f"{seeds} seeds with codes of {codes} values were asked for; ask for at least one of each.")
    benchmarking.refuse_occupied(out, NAME)
    data = with_default_splits(load_source(source, reading))
    activity = activity or usual_activity(data)
    configs = {name: SUBJECTS[name].config(codes, activity, max_steps) for name in names}
    read = Activity(activity, data.n_neurons, smoothing(configs)).of
    task = Task.of(data, read)
    setting = settings(task, source, reading, activity, codes, configs)
    result = benchmarking.continued(out, NAME, Disentanglement, setting, order=tuple(SUBJECTS))
    left = [(name, seed) for seed in range(seeds) for name in names if result.result(name, seed) is None]
    if left:
        if not result.references:
            result = replace(result, references=references(task, codes))
        result = replace(result, commands=(*result.commands, benchmarking.command(device)))
        out.mkdir(parents=True, exist_ok=True)
        write(result, out)
        with Progress("measuring", len(left)) as progress:
            for i, (name, seed) in enumerate(left):
                progress.at(i, f"{SUBJECTS[name].label}, seed {seed}")
                folder = out / benchmarking.RUNS / f"{name}-{seed}"
                engine = Engine(device=device, seed=seed)
                made = (
                    linear(task, read, codes)
                    if name == PCA
                    else trained(name, configs[name], folder, source, reading, engine)
                )
                result = replace(result, results=(*result.results, measured(made, name, seed, task, out)))
                write(result, out)
                progress.at(i + 1)
    write(result, out)
    return result


def measured(made: Trained, name: str, seed: int, task: Task, out: Path) -> Result:
    """Measure one subject; of the first seed, draw its codes and walks too."""
    from spikeloom.bench.disentanglement_figures import draw_subject

    found = scores(made.subject, task, seed)
    if seed == 0:
        draw_subject(made.subject, name, SUBJECTS[name].label, task, out)
    arrays = {k: tuple(float(v) for v in values) for k, values in found.arrays.items()}
    return Result(name, seed, found.metrics, arrays, made.parameters, made.seconds, made.warnings)


# -- what is compared ------------------------------------------------------------------------------------------------


def usual_activity(data: SpikeData) -> str:
    """What is learned of a recording if nothing is named."""
    return next((name for name in (SIMULATED, SMOOTHED) if name in data.signals), COUNTS)


def smoothing(configs: Mapping[str, Any]) -> float:
    """Seconds by which counts are smoothed, by all subjects alike."""
    config = next((c for c in configs.values() if hasattr(c, "smoothing_sd_s")), None)  # LFADS reads counts as they are
    return float((config or SUBJECTS["gnocchi"].config(1, COUNTS, None)).smoothing_sd_s)


def linear(task: Task, read: Any, codes: int) -> Trained:
    """The linear reference; no seed changes it."""
    pca = WindowPCA.fit(task.activity[task.train], task.data.lengths[task.train], codes)
    return Trained(LinearSubject(pca, read), pca.axes.size + pca.centre.size, float("nan"))


# -- the folder of results -------------------------------------------------------------------------------------------


def settings(
    task: Task, source: str, reading: LoadOptions, activity: str, codes: int, configs: Mapping[str, Any]
) -> dict[str, Any]:
    """What decides the numbers."""
    subjects = {
        name: {"label": SUBJECTS[name].label, "config": None if config is None else dataclasses.asdict(config)}
        for name, config in configs.items()
    }
    data = task.data
    recording = {
        **benchmarking.about(data, source, reading),
        "position": task.position,
        "unit": task.unit,
    }
    return {"recording": recording, "activity": activity, "codes": codes, "subjects": subjects}


def write(result: Disentanglement, out: Path) -> None:
    """Write JSON, tables and the figure, all of each or nothing."""
    from spikeloom.bench.disentanglement_figures import draw_disentanglement
    from spikeloom.plot.style import write_png

    benchmarking.write(result, out, NAME)
    if not result.results:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SpikeloomWarning)
        write_png(draw_disentanglement(result), out / f"{NAME}.png")
