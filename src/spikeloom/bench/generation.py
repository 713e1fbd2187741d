"""Benchmark generation: train every system on one recording with several seeds, and compare what each draws."""

from __future__ import annotations

import dataclasses
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from spikeloom.bench.benchmark import Benchmark, locking_out, recording_setting, training_recording
from spikeloom.bench.generation_record import Copies, GenerationRecord, GenerationResult, generation_page
from spikeloom.bench.generation_subjects import (
    SUBJECTS,
    TRAININGS,
    GenerationSubject,
    behaviour_of,
    config_of,
    left_out,
    presets_of,
    trainings_of,
)
from spikeloom.bench.latency_quality import counts_of_rates
from spikeloom.bench.quality import PROTOCOLS, Protocol, Quality
from spikeloom.bench.trained_models import TrainedModel, Trainer
from spikeloom.data.files import save
from spikeloom.data.options import LoadOptions
from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import ConfigError, DataError, SpikeloomWarning
from spikeloom.evaluation.baselines import Baselines
from spikeloom.evaluation.compare import compare
from spikeloom.evaluation.pairing import pair
from spikeloom.evaluation.results import Comparison
from spikeloom.models.base import GenerativeModel
from spikeloom.observation.poisson import Poisson
from spikeloom.workflow.reporting import trials_to_generate

RECORDING = "recording.npz"
"""The recording in the folder of results, where not all of its trials are used."""
COMPARISON_SEED = 0
"""Of all comparisons, so that every subject is compared with the same draws of the floor."""


def draw(record: GenerationRecord, out: Path) -> None:
    """Draw the figure of a record."""
    from spikeloom.bench.generation_figures import draw_generation
    from spikeloom.drawing.style import write_png

    if record.results:
        write_png(draw_generation(record), out / "generation.png")


GENERATION = Benchmark(
    "generation", GenerationRecord, generation_page, draw, {name: s.training or "" for name, s in SUBJECTS.items()}
)


@locking_out
def run_generation_benchmark(
    out: str | Path,
    source: str = "lorenz",
    reading: LoadOptions | None = None,
    *,
    seeds: int = 3,
    models: Sequence[str] | None = None,
    presets: Sequence[str] | Mapping[str, str] = (),
    behaviour: str | None = None,
    trials: int | None = None,
    n: int | None = None,
    max_steps: int | None = None,
    device: str = "auto",
) -> GenerationRecord:
    """Train and compare every subject with every seed, and write JSON, tables and the figure.

    Everything is written after every subject, one seed of all subjects after another; trained runs are kept. A
    benchmark that was cut goes on with the same arguments; later calls may add seeds and subjects.

    Args:
        out: Folder of results.
        source: A recording.
        reading: How to read it.
        seeds: Number of trainings of each system.
        models: Names of subjects; all when not given.
        presets: Other presets than the usual ones, see ``presets_of``.
        behaviour: Signal or trial column from which models of behaviour learn, see ``behaviour_of``.
        trials: Most trials of the recording that are used, in all splits together.
        n: Trials that are drawn; when not given, as many as there are training trials, which the published protocol
            compares with, or as many as a report needs if these are more.
        max_steps: Upper limit of the steps of every stage of a training.
        device: auto, cpu, cuda or mps.

    Raises:
        ConfigError: If a subject, a preset or the behaviour does not exist.
        DataError: If the recording cannot be used, or lacks what the subjects learn from.
        RunError: If the folder holds something else.
    """
    out, reading = Path(out), reading or LoadOptions()
    requested, preset = GENERATION.chosen(models), presets_of(presets)
    if seeds < 1 or (n is not None and n < 1):
        raise ConfigError(f"seeds is {seeds} and n is {n}; both must be at least 1.")
    GENERATION.refuse_occupied(out)
    whole = training_recording(source, reading)
    data = fewer(whole, trials)
    behaviour = behaviour_of(data, behaviour)
    missing = left_out(data, behaviour)
    names = [name for name in requested if name not in missing]
    if not names:
        raise DataError(f"the recording serves none of these models: {missing[requested[0]]}.")
    configs = {name: config_of(name, preset[name], behaviour, max_steps) for name in trainings_of(names)}
    n = max(len(data.splits["train"]), trials_to_generate(data.splits)) if n is None else n
    setting = generation_setting(data, source, reading, behaviour, n, names, missing, preset, configs)
    record = GENERATION.continued(out, setting)
    left = [(seed, name) for seed in range(seeds) for name in by_training(names) if record.result(name, seed) is None]
    part = (source, reading) if data is whole else (str(out / RECORDING), LoadOptions())
    measurement = GenerationMeasurement(data, n, Trainer(out, *part, preset, configs, device))

    def prepare(record: GenerationRecord) -> GenerationRecord:
        if data is not whole and not (out / RECORDING).is_file():
            save(data, out / RECORDING)
        return replace(record, floor=Quality.floor(*(measurement.floor[p] for p in PROTOCOLS)))

    def measure(record: GenerationRecord, item: tuple[int, str]) -> GenerationRecord:
        result = with_warnings(measurement.measured(item[1], item[0]), record.results)
        return replace(record, results=(*record.results, result))

    return GENERATION.run(
        record,
        out,
        left,
        measure,
        lambda item: f"{SUBJECTS[item[1]].label}, seed {item[0]}",
        prepare if left else None,
        device,
    )


def by_training(names: Sequence[str]) -> list[str]:
    """Subjects in an order in which those of one training follow each other, baselines first."""
    order = [None, *TRAININGS]
    return sorted(names, key=lambda name: order.index(SUBJECTS[name].training))


def with_warnings(result: GenerationResult, earlier: Sequence[GenerationResult]) -> GenerationResult:
    """A result with the warnings of its training, which may have been noted with another subject in an earlier call."""
    training = SUBJECTS[result.subject].training
    noted = [r.warnings for r in earlier if r.seed == result.seed and SUBJECTS[r.subject].training == training]
    return result if result.warnings or training is None else replace(result, warnings=next(iter(noted), ()))


def fewer(data: SpikeData, trials: int | None) -> SpikeData:
    """At most so many trials of a recording, with the same share of every split; without true rates and latents.

    Raises:
        DataError: If too few would be left.
    """
    if trials is None or trials >= data.n_trials:
        return data
    rng = np.random.default_rng(0)
    kept = {}
    for name, rows in data.splits.items():
        number = round(trials * len(rows) / data.n_trials)
        if number < 2:
            raise DataError(
                f"of {trials} of {data.n_trials} trials, {number} would be left in the split '{name}'; use more trials."
            )
        kept[name] = rng.permutation(rows)[:number]
    chosen = np.unique(np.concatenate([*kept.values()]))
    smaller = replace(data, rates=None, latents=None, splits=kept).select(trials=chosen)
    return replace(smaller, splits={name: np.sort(rows) for name, rows in smaller.splits.items()})


def generation_setting(
    data: SpikeData,
    source: str,
    reading: LoadOptions,
    behaviour: str | None,
    n: int,
    names: Sequence[str],
    missing: Mapping[str, str],
    presets: Mapping[str, str],
    configs: Mapping[str, Any],
) -> dict[str, Any]:
    """Everything that decides the numbers."""
    subjects = {}
    for name in names:
        training = SUBJECTS[name].training
        made = {"training": training or "", "preset": "", "told": "", "config": None}
        if training is not None:
            made |= {"preset": presets[training], "told": TRAININGS[training].behaviour_field}
            made |= {"config": dataclasses.asdict(configs[training])}
        subjects[name] = {"label": SUBJECTS[name].label} | made
    truth = bool(data.provenance.get("simulated")) and behaviour == "state"
    return {
        "recording": recording_setting(data, source, reading) | {"truth": truth},
        "behaviour": behaviour,
        "samples": n,
        "subjects": subjects,
        "left_out": {SUBJECTS[name].label: reason for name, reason in missing.items()},
    }


# -- measuring -------------------------------------------------------------------------------------------------------


@dataclass(eq=False)
class GenerationMeasurement:
    """Trains subjects on a recording, draws trials of them, and compares these with the recording.

    Attributes:
        data: The recording, with its splits.
        n: Trials that are drawn of every subject.
        trainer: Of the models.
    """

    data: SpikeData
    n: int
    trainer: Trainer

    def __post_init__(self) -> None:
        self._last: tuple[tuple[str, int], TrainedModel] | None = None

    @cached_property
    def lengths(self) -> np.ndarray:
        """(n,) bins of the drawn trials: those of training trials, repeated."""
        return np.resize(self.data.lengths[self.data.splits["train"]], self.n)

    @cached_property
    def floor(self) -> dict[Protocol, Comparison]:
        """A comparison by each protocol, from which floor and baselines are taken over."""
        trials = self.baseline("homogeneous", 0)
        return {protocol: compare(self.data, trials, protocol, seed=COMPARISON_SEED) for protocol in PROTOCOLS}

    def measured(self, name: str, seed: int) -> GenerationResult:
        """Train a subject, unless that is done, draw from it and compare its trials."""
        subject = SUBJECTS[name]
        trained = None if subject.training is None else self.trained(subject.training, seed)
        begun = time.perf_counter()
        if trained is None:
            trials = self.baseline(str(subject.baseline), seed)
        elif subject.reconstructs:
            trials = self.reconstructed(trained.model, subject, seed)
        else:
            trials = self.sampled(trained.model, subject, seed)
        seconds = float("nan") if subject.reconstructs else time.perf_counter() - begun
        result = self.compared(name, seed, trials, seconds)
        if trained is None:
            return result
        return replace(result, training_s=trained.seconds, parameters=trained.parameters, warnings=trained.warnings)

    def compared(self, name: str, seed: int, trials: SpikeData, seconds: float) -> GenerationResult:
        """Compare trials by both protocols, all subjects in the same way: conditions of the samples play no part."""
        plain = replace(trials, trials=None, signals={}, rates=None, latents=None)  # type: ignore[arg-type]
        heldout, ldns = (
            compare(self.data, plain, protocol, seed=COMPARISON_SEED, earlier=self.floor[protocol])
            for protocol in PROTOCOLS
        )
        found = heldout.memorisation
        copies = Copies(found.copy_share, found.se, found.finding)
        return GenerationResult(name, seed, Quality.of(heldout, ldns), copies, trials.n_trials / seconds)

    def baseline(self, name: str, seed: int) -> SpikeData:
        """Trials of a cheap generator."""
        rng = np.random.default_rng([seed, *name.encode()])
        real = pair(self.data, self.data.split("train"), rng, test_split="train")
        train = real.train
        slots = train.take(np.resize(np.arange(len(train.lengths)), self.n))
        made = Baselines(train, self.data.bin_s, real.n_conditions).draw(name, slots, rng)
        return SpikeData(made.counts, bin_s=self.data.bin_s, lengths=made.lengths, neurons=self.data.neurons)

    def sampled(self, model: GenerativeModel, subject: GenerationSubject, seed: int) -> SpikeData:
        """New trials of a model, of the lengths of training trials."""
        options: dict[str, Any] = {"observation": "poisson"} if subject.poisson else {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SpikeloomWarning)
            return model.sample(self.n, lengths=self.lengths, seed=seed, **options)

    def reconstructed(self, model: Any, subject: GenerationSubject, seed: int) -> SpikeData:
        """Counts drawn from the rates that a model infers for held-out trials, which are repeated."""
        test = self.data.split("test")
        again = np.resize(np.arange(test.n_trials), self.n)
        observation = Poisson() if subject.poisson else model.observation
        counts = counts_of_rates(observation, model.rates(test)[again], model.prior.mean.device, seed)
        return SpikeData(counts, bin_s=test.bin_s, lengths=test.lengths[again], neurons=test.neurons)

    def trained(self, training: str, seed: int) -> TrainedModel:
        """The model of a training; the last one is kept, as subjects that share it follow each other."""
        if self._last is None or self._last[0] != (training, seed):
            other = TRAININGS[training].autoencoder
            donors = [] if other is None else [(other, f"{other}-{seed}")]
            self._last = (training, seed), self.trainer.trained(training, f"{training}-{seed}", seed, donors)
        return self._last[1]
