"""Benchmark conditional generation: train models that are conditioned on behaviour, and decode it from their samples.

Three questions: does a decoder find in samples the direction on which they were conditioned; also a direction that was
held out from training; and the trajectory on which they were conditioned?
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from spikeloom.bench.benchmark import SUBJECTS, Benchmark, locking_out, recording_setting, training_recording
from spikeloom.bench.conditional_record import (
    ALL_OCTANTS,
    ANOTHER,
    NEIGHBOURS,
    RECORDED,
    SAMPLES,
    BehaviourScore,
    ConditionalRecord,
    Task,
    conditional_page,
)
from spikeloom.bench.generation_subjects import presets_of
from spikeloom.bench.reach_samples import ReachSamples, scatter_ratios, within
from spikeloom.bench.trained_models import Trainer
from spikeloom.data.files import save
from spikeloom.data.options import LoadOptions
from spikeloom.data.reaches import OCTANTS
from spikeloom.data.spikedata import SpikeData
from spikeloom.decoding.protocol import signal_of
from spikeloom.errors import ConfigError, DataError, SpikeloomWarning
from spikeloom.evaluation.reach_fidelity import (
    Readout,
    by_octant,
    degrees_of,
    explained,
    explained_together,
    mean_courses,
    nearest,
    octants_of,
    turned,
)
from spikeloom.models.base import GenerativeModel
from spikeloom.models.presets import preset_config
from spikeloom.workflow.encoding import inferred
from spikeloom.workflow.sampling import sample_like

RECORDINGS = "recordings"
"""Folder of recordings without an octant, in the folder of results."""
MODELS = ("ldns", "eag")
"""Measured models, by the names of their presets; one of the same autoencoder takes it over from one before it."""
CONDITIONAL = Benchmark("conditional", ConditionalRecord, conditional_page, subjects={name: name for name in MODELS})


@locking_out
def run_conditional_benchmark(
    out: str | Path,
    source: str,
    reading: LoadOptions | None = None,
    *,
    direction: str,
    velocity: str,
    models: Sequence[str] = MODELS,
    presets: Sequence[str] | Mapping[str, str] = (),
    seeds: int = 1,
    octants: Sequence[int] = tuple(range(OCTANTS)),
    repeats: int = 5,
    guidance: Sequence[float] = (1.0,),
    max_steps: int | None = None,
    device: str = "auto",
) -> ConditionalRecord:
    """Train and measure every model for every task, and write JSON, tables and figures.

    Everything is written after every task; trained runs are kept. A benchmark that was cut goes on with the same
    arguments; later calls may add seeds, octants and models.

    Args:
        out: Folder of results.
        source: A recording of reaches.
        reading: How to read it.
        direction: Trial column that holds the direction of each trial, see ``degrees_of``.
        velocity: Signal of two dimensions that is decoded.
        models: Of ``MODELS``.
        presets: Other presets than the usual ones, see ``generation_subjects.presets_of``.
        seeds: Trainings of each model.
        octants: Directions that are held out, each in a training of its own; none for no such training.
        repeats: Samples for each held-out trial.
        guidance: Strengths of guidance.
        max_steps: Upper limit of the steps of every stage of a training.
        device: auto, cpu, cuda or mps.

    Raises:
        ConfigError: If a model, a preset or an octant does not exist.
        DataError: If the recording cannot be used.
        RunError: If the folder holds something else.
    """
    out, reading = Path(out), reading or LoadOptions()
    _check_numbers(models, octants, seeds, repeats, guidance)
    CONDITIONAL.refuse_occupied(out)
    data = training_recording(source, reading)
    _check_recording(data, direction, velocity, octants)
    preset = presets_of(presets)
    configs = {name: preset_config(preset[name], None, max_steps) for name in models}
    setting = {
        "recording": recording_setting(data, source, reading),
        "direction": direction,
        "velocity": velocity,
        "repeats": repeats,
        "guidance": list(guidance),
        SUBJECTS: {name: dataclasses.asdict(config) for name, config in configs.items()},
    }
    record = CONDITIONAL.continued(out, setting)
    tasks: list[tuple[Task, int]] = [("direction", -1), ("trajectory", -1), *(("unseen", k) for k in octants)]
    left: list[tuple[Task, str, int, int]] = [
        (task, name, seed, octant)
        for seed in range(seeds)
        for task, octant in tasks
        for name in models
        if not record.has(task, name, seed, octant)
    ]
    trainer = Trainer(out, source, reading, preset, configs, device)
    measurement = ConditionalMeasurement(data, trainer, direction, velocity, repeats, tuple(guidance))

    def measure(record: ConditionalRecord, item: tuple[Task, str, int, int]) -> ConditionalRecord:
        scores = (*record.scores, *measurement.scores(*item))
        return replace(record, scores=scores, warnings=tuple(dict.fromkeys([*record.warnings, *measurement.warnings])))

    def label(item: tuple[Task, str, int, int]) -> str:
        task, name, seed, octant = item
        return f"{name.upper()}, {task}{'' if octant < 0 else f' octant {octant}'}, seed {seed}"

    record = CONDITIONAL.run(record, out, left, measure, label, device=device)
    draw(measurement, record, out)
    return record


def draw(measurement: ConditionalMeasurement, record: ConditionalRecord, out: Path) -> None:
    """Draw the figures of the first seed of every model of this call."""
    from spikeloom.bench.conditional_figures import draw_directions, draw_held_out, draw_trajectories
    from spikeloom.drawing.style import write_png

    for name in measurement.trainer.configs:
        if record.has("direction", name, 0):
            for kind, figure in draw_directions(measurement.directions(name, 0)).items():
                write_png(figure, out / f"{name}-{kind}.png")
        if record.has("trajectory", name, 0):
            write_png(draw_trajectories(measurement.trajectories(name, 0)), out / f"{name}-trajectories.png")
        octants = [k for k in range(OCTANTS) if record.has("unseen", name, 0, k)]
        if octants:
            held_out = {k: measurement.directions(name, 0, k) for k in octants}
            write_png(draw_held_out(measurement.directions(name, 0), held_out), out / f"{name}-unseen.png")


# -- checks ----------------------------------------------------------------------------------------------------------


def _check_numbers(
    models: Sequence[str], octants: Sequence[int], seeds: int, repeats: int, guidance: Sequence[float]
) -> None:
    CONDITIONAL.chosen(models)
    wrong = [k for k in octants if not 0 <= k < OCTANTS]
    if wrong:
        raise ConfigError(f"there is no octant {wrong[0]}; octants are 0 (to the right) to {OCTANTS - 1}.")
    if seeds < 1 or repeats < 2 or not guidance:
        raise ConfigError(
            f"there are {seeds} seeds, {repeats} samples for each trial and {len(guidance)} strengths of guidance, but "
            "at least one, two and one are needed."
        )


def _check_recording(data: SpikeData, direction: str, velocity: str, octants: Sequence[int]) -> None:
    dimensions = signal_of(data, velocity).shape[2]
    if dimensions != 2:
        raise DataError(f"'{velocity}' has {dimensions} dimensions, but reaches have two; name a velocity.")
    recorded = octants_of(data.split("test"), direction)
    for octant in octants:
        n = int((recorded == octant).sum())
        if n < 2:
            raise DataError(
                f"{n} held-out trials reach into octant {octant}, but two are needed; leave it out of --unseen."
            )


def without(data: SpikeData, column: str, octant: int) -> SpikeData:
    """A recording without training and validation trials in an octant; its test trials stay."""
    away = octants_of(data, column) == octant
    splits = {name: rows[~away[rows]] if name != "test" else rows for name, rows in data.splits.items()}
    return replace(data, splits={name: rows for name, rows in splits.items() if len(rows)})


# -- measuring -------------------------------------------------------------------------------------------------------


@dataclass(eq=False)
class ConditionalMeasurement:
    """Trains models on a recording, draws conditioned samples, and decodes these.

    Attributes:
        data: The recording, with its splits.
        trainer: Of the models, whose configurations name no condition.
        direction: Trial column.
        velocity: Signal.
        repeats: Samples for each held-out trial.
        guidance: Strengths.
        warnings: Warnings of the trainings so far.
    """

    data: SpikeData
    trainer: Trainer
    direction: str
    velocity: str
    repeats: int
    guidance: tuple[float, ...]
    warnings: list[str] = dataclasses.field(default_factory=list)

    def __post_init__(self) -> None:
        self._kept: dict[tuple[str, int, float], ReachSamples] = {}

    @cached_property
    def test(self) -> SpikeData:
        """Held-out trials."""
        return self.data.split("test")

    @cached_property
    def degrees(self) -> np.ndarray:
        """(trial,) direction of the held-out trials."""
        return degrees_of(self.test, self.direction)

    @cached_property
    def courses(self) -> np.ndarray:
        """Mean velocity of all recorded trials by octant (octant, time, dim)."""
        values = signal_of(self.data, self.velocity).astype(np.float64)
        return mean_courses(values, self.data.valid, octants_of(self.data, self.direction))

    def scores(self, task: Task, name: str, seed: int, octant: int) -> Iterator[BehaviourScore]:
        """Train a model for a task, unless that is done, and measure recorded trials, samples and baselines."""
        for guidance in self.guidance:
            if task == "trajectory":
                found = self._trajectory(name, seed, guidance)
            elif task == "direction":
                found = self._direction(name, seed, guidance)
            else:
                found = self._held_out(name, seed, octant, guidance)
            for whose, values in found.items():
                if whose != RECORDED or guidance == self.guidance[0]:
                    yield BehaviourScore(task, name, seed, octant, whose, guidance, values)

    def _direction(self, name: str, seed: int, guidance: float) -> dict[str, dict[str, float]]:
        found = self.directions(name, seed, guidance=guidance)
        opposite = (found.sample_octants + OCTANTS // 2) % OCTANTS
        degrees = np.tile(self.degrees, self.repeats) + 180.0
        everything = np.arange(found.samples.n_trials)
        result = self._compared(found, np.arange(self.test.n_trials))
        return result | {ANOTHER: self._decoded(found.sampled, everything, opposite, degrees)}

    def _held_out(self, name: str, seed: int, octant: int, guidance: float) -> dict[str, dict[str, float]]:
        found, trained_on_all = (self.directions(name, seed, k, guidance) for k in (octant, -1))
        rows = np.flatnonzero(found.octants == octant)
        result = self._compared(found, rows)
        beside = np.flatnonzero(np.isin(found.octants, [(octant - 1) % OCTANTS, (octant + 1) % OCTANTS]))
        degrees = np.full(len(beside), 360.0 / OCTANTS * octant)
        result[ALL_OCTANTS] = self._compared(trained_on_all, rows)[SAMPLES]
        result[NEIGHBOURS] = self._decoded(found.decoded, beside, np.full(len(beside), octant), degrees)
        return result

    def _compared(self, found: ReachSamples, rows: np.ndarray) -> dict[str, dict[str, float]]:
        """Some held-out trials and their samples, against their own directions."""
        copies = (np.arange(self.repeats)[:, None] * self.test.n_trials + rows).reshape(-1)
        octants, again = found.octants[rows], found.sample_octants[copies]
        result = {
            RECORDED: self._decoded(found.decoded, rows, octants, self.degrees[rows]),
            SAMPLES: self._decoded(found.sampled, copies, again, np.tile(self.degrees[rows], self.repeats)),
        }
        recorded, samples = found.recorded.select(trials=rows), found.samples.select(trials=copies)
        result[SAMPLES] |= scatter_ratios(recorded, by_octant(octants), samples, by_octant(again))
        result[SAMPLES]["averages"] = found.averages_r2(rows, copies)
        return result

    def _decoded(
        self, decoded: Mapping[str, np.ndarray], rows: np.ndarray, octants: np.ndarray, degrees: np.ndarray
    ) -> dict[str, float]:
        """Decoded velocity of some trials against the mean courses of octants, and their ends against directions."""
        result, centre = {}, np.nanmean(self.courses, axis=(0, 1))
        for kind, values in decoded.items():
            n_bins = min(values.shape[1], self.courses.shape[1])
            target = self.courses[octants][:, :n_bins]
            result[f"r2_{kind}"] = explained_together(values[rows][:, :n_bins], target, centre)
            result[f"turn_{kind}"] = float(np.mean(turned(values[rows], degrees)))
        return result

    def _trajectory(self, name: str, seed: int, guidance: float) -> dict[str, dict[str, float]]:
        found = self.trajectories(name, seed, guidance)
        n, target = self.test.n_trials, found.recorded_velocity
        order = np.random.default_rng(0).permutation(n)
        another = target[np.roll(order, 1)][np.argsort(order)]
        result = {
            whose: {f"r2_{kind}": explained(values, velocity) for kind, values in decoded.items()}
            for whose, decoded, velocity in (
                (RECORDED, found.decoded, target),
                (SAMPLES, found.sampled, np.tile(target, (self.repeats, 1, 1))),
                (ANOTHER, found.sampled, np.tile(another, (self.repeats, 1, 1))),
            )
        }
        every = within(found.everything, self.velocity)
        alike = list(nearest(target, every, self.repeats, self.data.splits["test"]))
        copies = list(np.arange(n * self.repeats).reshape(self.repeats, n).T)
        result[SAMPLES] |= scatter_ratios(found.everything, alike, found.samples, copies)
        return result

    # -- samples -----------------------------------------------------------------------------------------------------

    def directions(self, name: str, seed: int, octant: int = -1, guidance: float | None = None) -> ReachSamples:
        """Samples for the directions of the held-out trials, of a model trained without an octant."""
        if octant >= 0:
            return self._sampled(self.trained(name, seed, self.direction, octant), seed, guidance)
        key = name, seed, self.guidance[0] if guidance is None else guidance
        if key not in self._kept:
            self._kept[key] = self._sampled(self.trained(name, seed, self.direction), seed, guidance)
        return self._kept[key]

    def trajectories(self, name: str, seed: int, guidance: float | None = None) -> ReachSamples:
        """Samples for the velocity of the held-out trials."""
        return self._sampled(self.trained(name, seed, self.velocity), seed, guidance)

    def _sampled(self, model: GenerativeModel, seed: int, guidance: float | None) -> ReachSamples:
        everything = inferred(model, self.data)
        recorded = everything.split("test")
        readout = Readout.of(everything.split("train"), self.velocity)
        again = self.test.select(trials=np.tile(np.arange(self.test.n_trials), self.repeats))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SpikeloomWarning)  # that a direction is outside the training set is meant
            samples = sample_like(model, again, seed=seed, guidance=self.guidance[0] if guidance is None else guidance)
        octants = octants_of(self.test, self.direction)
        decoded, sampled = readout.decoded(recorded), readout.decoded(samples)
        return ReachSamples(everything, recorded, samples, self.velocity, octants, decoded, sampled, self.courses)

    def trained(self, name: str, seed: int, condition: str, octant: int = -1) -> GenerativeModel:
        """A model that is conditioned on direction or velocity, trained without an octant."""

        def run(name: str, condition: str) -> str:
            which = condition.partition(":")[0] if octant < 0 else f"without-{octant}"
            return f"{name}-{which}-{seed}"

        recording = None
        if octant >= 0:
            recording = self.trainer.out / RECORDINGS / f"without-{octant}.npz"
            if not recording.is_file():
                recording.parent.mkdir(parents=True, exist_ok=True)
                save(without(self.data, self.direction, octant), recording)
        earlier = [(other, self.direction) for other in self.trainer.configs]
        donors = earlier[: earlier.index((name, condition))] if (name, condition) in earlier else earlier
        trained = self.trainer.trained(
            name,
            run(name, condition),
            seed,
            [(other, run(other, c)) for other, c in donors],
            recording,
            condition_on=(condition,),
        )
        self.warnings += [text for text in trained.warnings if text not in self.warnings]
        return trained.model
