"""Benchmark conditional generation: train models that are told behaviour, ask them for it, and decode what they draw.

Three questions: are samples that were asked for a direction decoded as that direction; also where no such direction
was ever seen; and are samples that were asked for a trajectory decoded as that trajectory?
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from spikeloom.bench import benchmarking
from spikeloom.bench.conditional_record import (
    ANOTHER,
    NEIGHBOURS,
    RECORDED,
    SAMPLES,
    SEEN,
    ConditionalGeneration,
    Score,
    Task,
)
from spikeloom.bench.generation_subjects import presets_of, same_autoencoder
from spikeloom.data.files import save
from spikeloom.data.options import LoadOptions
from spikeloom.data.reaches import OCTANTS
from spikeloom.data.sources import load_source
from spikeloom.data.spikedata import SpikeData
from spikeloom.data.splits import with_default_splits
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
    scatter,
    turned,
)
from spikeloom.models.base import GenerativeModel
from spikeloom.models.presets import preset_config
from spikeloom.progress import Progress
from spikeloom.training.engine import Engine
from spikeloom.training.run import Run
from spikeloom.workflow.encoding import inferred
from spikeloom.workflow.sampling import sample_like

NAME = "conditional"
"""Of the files in the folder of results."""
RECORDINGS = "recordings"
"""Folder, among the results, of recordings without an octant."""
MODELS = ("ldns", "eag")
"""What is measured, by the name of its preset; one of the same autoencoder takes it over from one before it."""


def measure(
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
) -> ConditionalGeneration:
    """Train and judge every model for every task, and write JSON, tables and figures.

    Everything is written after every task; trained runs are kept. A benchmark that was cut goes on with the same
    arguments; more seeds, octants and models may be asked for.

    Args:
        out: Folder of results.
        source: A recording of reaches.
        reading: How to understand it.
        direction: Trial column that holds the direction of each trial, see ``degrees_of``.
        velocity: Signal of two dimensions that is decoded.
        models: Of ``MODELS``.
        presets: Other presets than the usual ones, see ``generation_subjects.presets_of``.
        seeds: Trainings of each model.
        octants: Directions that are held out, each in a training of its own; none for no such training.
        repeats: Samples for each held-out trial.
        guidance: Strengths at which samples are asked.
        max_steps: Upper limit of the steps of every stage of a training.
        device: auto, cpu, cuda or mps.

    Raises:
        ConfigError: If a model, a preset or an octant does not exist.
        DataError: If the recording cannot be used.
        RunError: If the folder holds something else.
    """
    out, reading = Path(out), reading or LoadOptions()
    _check(models, octants, seeds, repeats, guidance)
    benchmarking.refuse_occupied(out, NAME)
    if Path(source).is_dir():
        raise DataError(f"{source} is a folder; models are trained on a recording: a file, or the name of a data set.")
    data = with_default_splits(load_source(source, reading))
    _check_recording(data, direction, velocity, octants)
    preset = presets_of(presets)
    configs = {name: preset_config(preset[name], None, max_steps) for name in models}
    setting = {
        "recording": benchmarking.about(data, source, reading),
        "direction": direction,
        "velocity": velocity,
        "repeats": repeats,
        "guidance": list(guidance),
        benchmarking.SUBJECTS: {name: dataclasses.asdict(config) for name, config in configs.items()},
    }
    result = benchmarking.continued(out, NAME, ConditionalGeneration, setting, order=MODELS)
    tasks: list[tuple[Task, int]] = [("direction", -1), ("trajectory", -1), *(("unseen", k) for k in octants)]
    left: list[tuple[Task, str, int, int]] = [
        (task, name, seed, octant)
        for seed in range(seeds)
        for task, octant in tasks
        for name in models
        if not result.has(task, name, seed, octant)
    ]
    if left:
        result = replace(result, commands=(*result.commands, benchmarking.command(device)))
        out.mkdir(parents=True, exist_ok=True)
        benchmarking.write(result, out, NAME)  # first, so that a folder that was cut is known again
    bench = Bench(data, out, source, reading, direction, velocity, preset, configs, repeats, tuple(guidance), device)
    with Progress("measuring", len(left)) as progress:
        for i, (task, name, seed, octant) in enumerate(left):
            progress.at(i, f"{name.upper()}, {task}{'' if octant < 0 else f' octant {octant}'}, seed {seed}")
            scores = tuple(bench.measured(task, name, seed, octant))
            told = dict.fromkeys([*result.warnings, *bench.said])
            result = replace(result, scores=(*result.scores, *scores), warnings=tuple(told))
            benchmarking.write(result, out, NAME)
            progress.at(i + 1)
    draw(bench, result, out)
    return result


def draw(bench: Bench, result: ConditionalGeneration, out: Path) -> None:
    """Draw the figures of the first seed of every model that was asked for, of what was measured."""
    from spikeloom.bench.conditional_figures import draw_directions, draw_trajectories, draw_unseen
    from spikeloom.plot.style import write_png

    for name in bench.configs:
        if result.has("direction", name, 0):
            directions = bench.directions(name, 0)
            for what, figure in draw_directions(directions).items():
                write_png(figure, out / f"{name}-{what}.png")
        if result.has("trajectory", name, 0):
            write_png(draw_trajectories(bench.trajectories(name, 0)), out / f"{name}-trajectories.png")
        unseen = [k for k in range(OCTANTS) if result.has("unseen", name, 0, k)]
        if unseen:
            each = {k: bench.directions(name, 0, k) for k in unseen}
            write_png(draw_unseen(bench.directions(name, 0), each), out / f"{name}-unseen.png")


# -- what is asked ---------------------------------------------------------------------------------------------------


def _check(models: Sequence[str], octants: Sequence[int], seeds: int, repeats: int, guidance: Sequence[float]) -> None:
    benchmarking.chosen(models, MODELS)
    wrong = [k for k in octants if not 0 <= k < OCTANTS]
    if wrong:
        raise ConfigError(f"there is no octant {wrong[0]}; octants are 0 (to the right) to {OCTANTS - 1}.")
    if seeds < 1 or repeats < 2 or not guidance:
        raise ConfigError(
            f"{seeds} seeds, {repeats} samples for each trial and {len(guidance)} strengths of guidance were asked "
            "for; ask for at least one, two and one."
        )


def _check_recording(data: SpikeData, direction: str, velocity: str, octants: Sequence[int]) -> None:
    if signal_of(data, velocity).shape[2] != 2:
        raise DataError(
            f"'{velocity}' has {signal_of(data, velocity).shape[2]} dimensions, but reaches have two; name a velocity."
        )
    there = octants_of(data.split("test"), direction)
    for octant in octants:
        if (there == octant).sum() < 2:
            raise DataError(
                f"{int((there == octant).sum())} held-out trials reach into octant {octant}, but two are needed; leave "
                "it out of --unseen."
            )


def without(data: SpikeData, column: str, octant: int) -> SpikeData:
    """A recording in which no trial that is trained on, or chooses weights, has a direction of the octant."""
    away = octants_of(data, column) == octant
    splits = {name: rows[~away[rows]] if name != "test" else rows for name, rows in data.splits.items()}
    return replace(data, splits={name: rows for name, rows in splits.items() if len(rows)})


# -- trials ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Asked:
    """Recorded trials, trials that were asked for the same, and the velocity that is decoded from both.

    Attributes:
        everything: The recording, with the rates and latents that the model infers.
        recorded: Its held-out trials.
        samples: Samples, several for each of them in the same order.
        velocity: Name of the signal.
        octants: (trial,) octant of the recorded trials.
        decoded: Velocity from the "rates" and the "spikes" of the recorded trials.
        sampled: The same of the samples.
        courses: (octant, time, dim) mean velocity of all recorded trials of an octant.
    """

    everything: SpikeData
    recorded: SpikeData
    samples: SpikeData
    velocity: str
    octants: np.ndarray
    decoded: Mapping[str, np.ndarray]
    sampled: Mapping[str, np.ndarray]
    courses: np.ndarray

    @property
    def repeats(self) -> int:
        """Samples for each recorded trial."""
        return self.samples.n_trials // self.recorded.n_trials

    @property
    def wanted(self) -> np.ndarray:
        """Velocity of the recorded trials; NaN where it is not known."""
        return within(self.recorded, self.velocity)

    @cached_property
    def plane(self) -> Plane:
        """The first two components of the rates of training trials."""
        train = self.everything.split("train")
        assert train.rates is not None
        return Plane.fitted(train.rates[train.valid])


def within(data: SpikeData, signal: str) -> np.ndarray:
    """A signal; NaN in the padding."""
    return np.where(data.valid[..., None], signal_of(data, signal).astype(np.float64), np.nan)


@dataclass(eq=False)
class Bench:
    """A recording on which models are trained and asked.

    Attributes:
        data: The recording, with its splits.
        out: Folder of results.
        source: What models are trained on.
        reading: How to understand that.
        direction: Trial column.
        velocity: Signal.
        presets: Preset of every model.
        configs: Configuration of every model, without what it is told.
        repeats: Samples for each held-out trial.
        guidance: Strengths.
        device: Where.
    """

    data: SpikeData
    out: Path
    source: str
    reading: LoadOptions
    direction: str
    velocity: str
    presets: Mapping[str, str]
    configs: Mapping[str, Any]
    repeats: int
    guidance: tuple[float, ...]
    device: str

    def __post_init__(self) -> None:
        self.said: list[str] = []
        self._kept: dict[tuple[str, int, float], Asked] = {}

    @cached_property
    def test(self) -> SpikeData:
        """Held-out trials."""
        return self.data.split("test")

    @cached_property
    def courses(self) -> np.ndarray:
        """Mean velocity of all recorded trials by octant."""
        values = signal_of(self.data, self.velocity).astype(np.float64)
        return mean_courses(values, self.data.valid, octants_of(self.data, self.direction))

    def measured(self, task: Task, name: str, seed: int, octant: int) -> Iterator[Score]:
        """Train a model for a task, unless that is done, and judge recorded trials, samples and controls."""
        for guidance in self.guidance:
            if task == "trajectory":
                found = self._trajectory(name, seed, guidance)
            elif task == "direction":
                found = self._direction(name, seed, guidance)
            else:
                found = self._unseen(name, seed, octant, guidance)
            for whose, values in found.items():
                if whose != RECORDED or guidance == self.guidance[0]:
                    yield Score(task, name, seed, octant, whose, guidance, values)

    def _direction(self, name: str, seed: int, guidance: float) -> dict[str, dict[str, float]]:
        asked = self.directions(name, seed, guidance=guidance)
        result = self._judged(asked, np.arange(self.test.n_trials))
        turned_by = self._against(asked, OCTANTS // 2)
        return {**result, ANOTHER: turned_by}

    def _unseen(self, name: str, seed: int, octant: int, guidance: float) -> dict[str, dict[str, float]]:
        unseen, seen = (self.directions(name, seed, k, guidance) for k in (octant, -1))
        octants = unseen.octants
        rows = np.flatnonzero(octants == octant)
        result = self._judged(unseen, rows)
        beside = np.flatnonzero(np.isin(octants, [(octant - 1) % OCTANTS, (octant + 1) % OCTANTS]))
        moved = np.full(len(beside), octant)
        result[SEEN] = self._judged(seen, rows)[SAMPLES]
        wanted = np.full(len(beside), 360.0 / OCTANTS * octant)
        result[NEIGHBOURS] = self._read(unseen.decoded, beside, moved, wanted)
        return result

    def _judged(self, asked: Asked, rows: np.ndarray) -> dict[str, dict[str, float]]:
        """Recorded trials and their samples, of some held-out trials, as directions."""
        degrees = degrees_of(self.test, self.direction)
        copies = (np.arange(self.repeats)[:, None] * self.test.n_trials + rows).reshape(-1)
        octants, again = asked.octants[rows], np.tile(asked.octants[rows], self.repeats)
        result = {
            RECORDED: self._read(asked.decoded, rows, octants, degrees[rows]),
            SAMPLES: self._read(asked.sampled, copies, again, np.tile(degrees[rows], self.repeats)),
        }
        recorded, samples = asked.recorded.select(trials=rows), asked.samples.select(trials=copies)
        groups = by_octant(octants), by_octant(again)
        result[SAMPLES] |= scatter_ratios(recorded, groups[0], samples, groups[1])
        result[SAMPLES]["averages"] = averages_alike(asked, rows, copies)
        return result

    def _against(self, asked: Asked, by: int) -> dict[str, float]:
        """Samples judged as if they had been asked for a direction turned by so many octants."""
        n = asked.samples.n_trials
        octants = (np.tile(asked.octants, self.repeats) + by) % OCTANTS
        degrees = np.tile(degrees_of(self.test, self.direction), self.repeats) + 360 / OCTANTS * by
        return self._read(asked.sampled, np.arange(n), octants, degrees)

    def _read(
        self, decoded: Mapping[str, np.ndarray], rows: np.ndarray, octants: np.ndarray, degrees: np.ndarray
    ) -> dict[str, float]:
        """Decoded velocity of some trials against the mean courses of octants, and their ends against directions."""
        result, centre = {}, np.nanmean(self.courses, axis=(0, 1))
        for kind, values in decoded.items():
            n_bins = min(values.shape[1], self.courses.shape[1])
            wanted = self.courses[octants][:, :n_bins]
            result[f"r2_{kind}"] = explained_together(values[rows][:, :n_bins], wanted, centre)
            result[f"turn_{kind}"] = float(np.mean(turned(values[rows], degrees)))
        return result

    def _trajectory(self, name: str, seed: int, guidance: float) -> dict[str, dict[str, float]]:
        asked = self.trajectories(name, seed, guidance)
        n, wanted = self.test.n_trials, asked.wanted
        again = np.tile(wanted, (self.repeats, 1, 1))
        other = np.random.default_rng(0).permutation(n)
        swapped = np.tile(wanted[np.roll(other, 1)][np.argsort(other)], (self.repeats, 1, 1))
        result = {
            whose: {f"r2_{kind}": explained(values, target) for kind, values in decoded.items()}
            for whose, decoded, target in (
                (RECORDED, asked.decoded, wanted),
                (SAMPLES, asked.sampled, again),
                (ANOTHER, asked.sampled, swapped),
            )
        }
        everything = asked.everything
        courses = within(everything, self.velocity)
        alike = list(nearest(wanted, courses, self.repeats, self.data.splits["test"]))
        copies = list(np.arange(n * self.repeats).reshape(self.repeats, n).T)
        result[SAMPLES] |= scatter_ratios(everything, alike, asked.samples, copies)
        return result

    def directions(self, name: str, seed: int, octant: int = -1, guidance: float | None = None) -> Asked:
        """Samples that were asked for the directions of the held-out trials, of a model that did not see an octant."""
        if octant >= 0:
            return self._asked(self.trained(name, seed, self.direction, octant), seed, guidance)
        key = name, seed, self.guidance[0] if guidance is None else guidance
        if key not in self._kept:
            self._kept[key] = self._asked(self.trained(name, seed, self.direction), seed, guidance)
        return self._kept[key]

    def trajectories(self, name: str, seed: int, guidance: float | None = None) -> Asked:
        """Samples that were asked for the velocity of the held-out trials."""
        return self._asked(self.trained(name, seed, self.velocity), seed, guidance)

    def _asked(self, model: GenerativeModel, seed: int, guidance: float | None) -> Asked:
        guidance = self.guidance[0] if guidance is None else guidance
        everything = inferred(model, self.data)
        recorded, train = everything.split("test"), everything.split("train")
        readout = Readout.of(train, self.velocity)
        again = self.test.select(trials=np.tile(np.arange(self.test.n_trials), self.repeats))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SpikeloomWarning)  # that a direction was never seen is the point
            samples = sample_like(model, again, seed=seed, guidance=guidance)
        return Asked(
            everything,
            recorded,
            samples,
            self.velocity,
            octants_of(self.test, self.direction),
            readout.decoded(recorded),
            readout.decoded(samples),
            self.courses,
        )

    # -- models ------------------------------------------------------------------------------------------------------

    def trained(self, name: str, seed: int, told: str, octant: int = -1) -> GenerativeModel:
        """A model that is told a direction or a velocity, of a recording without an octant."""
        source, reading = self.source, self.reading
        if octant >= 0:
            path = self.out / RECORDINGS / f"without-{octant}.npz"
            if not path.is_file():
                path.parent.mkdir(parents=True, exist_ok=True)
                save(without(self.data, self.direction, octant), path)
            source, reading = str(path), LoadOptions()
        config = dataclasses.replace(self.configs[name], condition_on=(told,))
        made = benchmarking.trained(
            self.presets[name],
            config,
            self._folder(name, seed, told, octant),
            source,
            reading,
            Engine(device=self.device, seed=seed),
            self._autoencoder(name, seed, told, octant),
        )
        self.said += [text for text in made.warnings if text not in self.said]
        return made.model

    def _autoencoder(self, name: str, seed: int, told: str, octant: int) -> Path | None:
        """A finished run whose autoencoder is the one that would be trained, of another model or told otherwise."""
        earlier = [(other, self.direction) for other in self.configs]
        own = (name, told)
        for other, said in earlier[: earlier.index(own)] if own in earlier else earlier:
            folder = self._folder(other, seed, said, octant)
            if same_autoencoder(self.configs[name], self.configs[other]) and Run(folder).finished:
                return folder
        return None

    def _folder(self, name: str, seed: int, told: str, octant: int) -> Path:
        which = f"{name}-{told.partition(':')[0]}-{seed}" if octant < 0 else f"{name}-without-{octant}-{seed}"
        return self.out / benchmarking.RUNS / which


def scatter_ratios(
    recorded: SpikeData, alike: Sequence[np.ndarray], samples: SpikeData, copies: Sequence[np.ndarray]
) -> dict[str, float]:
    """Variance across samples that were asked for the same, over that across recorded trials alike."""
    kinds = {"rates": (samples.rates, recorded.rates), "counts": (samples.counts, recorded.counts)}
    return {
        f"scatter_{kind}": scatter(ours, samples.valid, copies) / scatter(theirs, recorded.valid, alike)
        for kind, (ours, theirs) in kinds.items()
        if ours is not None and theirs is not None
    }


def averages_alike(asked: Asked, rows: np.ndarray, copies: np.ndarray) -> float:
    """R2 of mean courses of rates by octant in the plane of the first two components of recorded rates."""
    recorded, samples = asked.recorded.select(trials=rows), asked.samples.select(trials=copies)
    octants = asked.octants[rows]
    real = mean_courses(asked.plane.of(recorded), recorded.valid, octants)
    ours = mean_courses(asked.plane.of(samples), samples.valid, np.tile(octants, asked.repeats))
    n_bins = min(real.shape[1], ours.shape[1])
    return explained_together(ours[:, :n_bins], real[:, :n_bins])


@dataclass(frozen=True, eq=False)
class Plane:
    """The first principal components of rates.

    Attributes:
        mean: (neuron,) mean rate.
        axes: (neuron, component).
    """

    mean: np.ndarray
    axes: np.ndarray

    @classmethod
    def fitted(cls, rates: np.ndarray, components: int = 2) -> Plane:
        """Of rates (bin, neuron)."""
        mean = rates.mean(0, dtype=np.float64)
        _, axes = np.linalg.eigh(np.cov((rates - mean).T))
        return cls(mean, axes[:, ::-1][:, :components])

    def of(self, data: SpikeData) -> np.ndarray:
        """Rates of trials in the plane (trial, time, component)."""
        assert data.rates is not None
        return (data.rates - self.mean) @ self.axes
