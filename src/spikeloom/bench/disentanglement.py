"""Benchmark models with codes: train each from scratch with several seeds, and measure what codes are good for."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from spikeloom.bench.benchmark import Benchmark, locking_out, recording_setting
from spikeloom.bench.code_measures import references, scores
from spikeloom.bench.code_subjects import PCA, SUBJECTS, CodeModel, NetworkCodes, WindowPCACodes
from spikeloom.bench.disentanglement_page import disentanglement_page
from spikeloom.bench.disentanglement_record import CodeResult, DisentanglementRecord
from spikeloom.bench.reach_task import ReachTask
from spikeloom.bench.trained_models import TrainedModel, Trainer
from spikeloom.bench.window_pca import WindowPCA
from spikeloom.config import read_preset
from spikeloom.data.options import LoadOptions
from spikeloom.data.smoothing import SMOOTHED
from spikeloom.data.sources import load_source
from spikeloom.data.spikedata import SpikeData
from spikeloom.data.splits import with_default_splits
from spikeloom.errors import ConfigError, SpikeloomWarning
from spikeloom.models.activity import COUNTS, Activity

SIMULATED = "activity"
"""The signal of simulated units, which is learned where there is one."""


def draw(record: DisentanglementRecord, out: Path) -> None:
    """Draw the figure of all subjects."""
    from spikeloom.bench.disentanglement_figures import draw_disentanglement
    from spikeloom.drawing.style import write_png

    if record.results:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SpikeloomWarning)
            write_png(draw_disentanglement(record), out / "disentanglement.png")


DISENTANGLEMENT = Benchmark(
    "disentanglement",
    DisentanglementRecord,
    disentanglement_page,
    draw,
    {name: read_preset(s.preset)["model"] if s.preset else "" for name, s in SUBJECTS.items()},
)


@locking_out
def run_disentanglement_benchmark(
    out: str | Path,
    source: str = "reaching-ring",
    reading: LoadOptions | None = None,
    *,
    activity: str | None = None,
    codes: int = 5,
    seeds: int = 3,
    models: Sequence[str] | None = None,
    max_steps: int | None = None,
    device: str = "auto",
) -> DisentanglementRecord:
    """Train and measure every subject with every seed, and write JSON, tables and figures.

    Everything is written after every subject, one seed of all subjects after another; trained runs are kept. A
    benchmark that was cut goes on with the same arguments; later calls may add seeds and subjects.

    Args:
        out: Folder of results.
        source: A recording of reaches to targets.
        reading: How to read it.
        activity: What is learned: a signal, or "counts", which are smoothed; the activity of simulated units or
            smoothed counts where the recording has them, when not given.
        codes: Values of a code.
        seeds: Number of trainings of each subject.
        models: Names of subjects; all when not given.
        max_steps: Upper limit of the steps of a training.
        device: auto, cpu, cuda or mps.

    Raises:
        ConfigError: If a subject does not exist.
        DataError: If the recording has no targets, or no such activity.
        RunError: If the folder holds something else.
    """
    out, reading = Path(out), reading or LoadOptions()
    names = DISENTANGLEMENT.chosen(models)
    if seeds < 1 or codes < 1:
        raise ConfigError(f"seeds is {seeds} and codes is {codes}; both must be at least 1.")
    DISENTANGLEMENT.refuse_occupied(out)
    data = with_default_splits(load_source(source, reading))
    activity = activity or usual_activity(data)
    configs = {name: SUBJECTS[name].config(codes, activity, max_steps) for name in names}
    read = Activity(activity, data.n_neurons, smoothing(configs)).of
    task = ReachTask.of(data, read)
    setting = {
        "recording": recording_setting(task.data, source, reading) | {"position": task.position, "unit": task.unit},
        "activity": activity,
        "codes": codes,
        "subjects": {
            name: {"label": SUBJECTS[name].label, "config": None if config is None else dataclasses.asdict(config)}
            for name, config in configs.items()
        },
    }
    record = DISENTANGLEMENT.continued(out, setting)
    left = [(name, seed) for seed in range(seeds) for name in names if record.result(name, seed) is None]

    presets = {name: preset for name in names if (preset := SUBJECTS[name].preset) is not None}
    trainer = Trainer(out, source, reading, presets, configs, device)

    def prepare(record: DisentanglementRecord) -> DisentanglementRecord:
        return replace(record, references=references(task, codes))

    def measure(record: DisentanglementRecord, item: tuple[str, int]) -> DisentanglementRecord:
        name, seed = item
        model = window_pca(task, read, codes) if name == PCA else code_model(trainer, name, seed)
        return replace(record, results=(*record.results, measured(model, name, seed, task, out)))

    return DISENTANGLEMENT.run(
        record,
        out,
        left,
        measure,
        lambda item: f"{SUBJECTS[item[0]].label}, seed {item[1]}",
        (lambda record: replace(record, references=references(task, codes)))
        if left and not record.references
        else None,
        device,
    )


def measured(trained: TrainedModel[CodeModel], name: str, seed: int, task: ReachTask, out: Path) -> CodeResult:
    """Measure one subject; of the first seed, draw its codes and traversals too."""
    from spikeloom.bench.disentanglement_figures import draw_subject

    found = scores(trained.model, task, seed)
    if seed == 0:
        draw_subject(trained.model, name, SUBJECTS[name].label, task, out)
    arrays = {k: tuple(float(v) for v in values) for k, values in found.arrays.items()}
    return CodeResult(name, seed, found.metrics, arrays, trained.parameters, trained.seconds, trained.warnings)


def usual_activity(data: SpikeData) -> str:
    """The activity of a recording that is learned if none is named."""
    return next((name for name in (SIMULATED, SMOOTHED) if name in data.signals), COUNTS)


def smoothing(configs: Mapping[str, Any]) -> float:
    """Standard deviation in seconds of the kernel that smooths counts, the same for all subjects."""
    config = next((c for c in configs.values() if hasattr(c, "smoothing_sd_s")), None)  # LFADS does not smooth counts
    return float((config or SUBJECTS["gnocchi"].config(1, COUNTS, None)).smoothing_sd_s)


def window_pca(task: ReachTask, read: Callable[[SpikeData], np.ndarray], codes: int) -> TrainedModel[CodeModel]:
    """The linear reference; it is the same for every seed."""
    pca = WindowPCA.fit(task.activity[task.train], task.data.lengths[task.train], codes)
    return TrainedModel(WindowPCACodes(pca, read), pca.axes.size + pca.centre.size, float("nan"))


def code_model(trainer: Trainer, name: str, seed: int) -> TrainedModel[CodeModel]:
    """A subject that is trained."""
    trained = trainer.trained(name, f"{name}-{seed}", seed)
    model = NetworkCodes(trained.model, SUBJECTS[name].random)
    return TrainedModel(model, trained.parameters, trained.seconds, trained.warnings)
