"""Benchmark generation: train every system on one recording with several seeds, and judge what each draws."""

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

from spikeloom.bench import benchmarking
from spikeloom.bench.generation_record import Copies, Generation, Protocol, Result
from spikeloom.bench.generation_subjects import (
    SUBJECTS,
    TRAININGS,
    Recipe,
    behaviour_of,
    config_of,
    left_out,
    presets_of,
    same_autoencoder,
    trainings_of,
)
from spikeloom.bench.latency_quality import drawn
from spikeloom.bench.latency_record import Quality
from spikeloom.data.files import save
from spikeloom.data.options import LoadOptions
from spikeloom.data.sources import load_source
from spikeloom.data.spikedata import SpikeData
from spikeloom.data.splits import with_default_splits
from spikeloom.errors import ConfigError, DataError, SpikeloomWarning
from spikeloom.evaluation.baselines import Baselines
from spikeloom.evaluation.compare import compare
from spikeloom.evaluation.pairing import pair
from spikeloom.evaluation.results import Comparison
from spikeloom.models.base import GenerativeModel
from spikeloom.observation.poisson import Poisson
from spikeloom.progress import Progress
from spikeloom.training.engine import Engine
from spikeloom.training.run import Run

NAME = "generation"
"""Of the files in the folder of results."""
RECORDING = "recording.npz"
"""The recording in the folder of results, where not all of its trials are used."""
PROTOCOLS: tuple[Protocol, ...] = ("heldout", "ldns")
JUDGED_WITH = 0
"""Seed of all comparisons, so that every subject is compared with the same draws of the floor."""


def measure(
    out: str | Path,
    source: str = "lorenz",
    reading: LoadOptions | None = None,
    *,
    seeds: int = 3,
    subjects: Sequence[str] | None = None,
    presets: Sequence[str] | Mapping[str, str] = (),
    behaviour: str | None = None,
    trials: int | None = None,
    n: int | None = None,
    max_steps: int | None = None,
    device: str = "auto",
) -> Generation:
    """Train and judge every subject with every seed, and write JSON, tables and the figure.

    Everything is written after every subject, one seed of all subjects after another; trained runs are kept. A
    benchmark that was cut goes on with the same arguments; more seeds and subjects may be asked for.

    Args:
        out: Folder of results.
        source: A recording.
        reading: How to understand it.
        seeds: Number of trainings of each system.
        subjects: Names of subjects; all when not given.
        presets: Other presets than the usual ones, see ``presets_of``.
        behaviour: Signal or trial column that models of behaviour are told, see ``behaviour_of``.
        trials: Most trials of the recording that are used, in all splits together.
        n: Trials that are drawn; as many as there are training trials, or twice the held-out ones if these are more,
            when not given.
        max_steps: Upper limit of the steps of every stage of a training.
        device: auto, cpu, cuda or mps.

    Raises:
        ConfigError: If a subject, a preset or the behaviour does not exist.
        DataError: If the recording cannot be used, or serves none of the subjects.
        RunError: If the folder holds something else.
    """
    out, reading = Path(out), reading or LoadOptions()
    names, preset = benchmarking.chosen(subjects, list(SUBJECTS)), presets_of(presets)
    if seeds < 1 or (n is not None and n < 1):
        raise ConfigError(f"{seeds} seeds and {n} samples were asked for; ask for at least one of each.")
    benchmarking.refuse_occupied(out, NAME)
    if Path(source).is_dir():
        raise DataError(f"{source} is a folder; models are trained on a recording: a file, or the name of a data set.")
    whole = with_default_splits(load_source(source, reading))
    data = fewer(whole, trials)
    behaviour = behaviour_of(data, behaviour)
    missing = left_out(data, behaviour)
    asked, names = names, [name for name in names if name not in missing]
    if not names:
        raise DataError(f"the recording serves none of the models asked for: {missing[asked[0]]}.")
    configs = {name: config_of(name, preset[name], behaviour, max_steps) for name in trainings_of(names)}
    trained_on, tested_on = len(data.splits["train"]), len(data.splits["test"])
    n = max(trained_on, 2 * tested_on) if n is None else n
    setting = settings(data, source, reading, behaviour, n, names, missing, preset, configs)
    result = benchmarking.continued(out, NAME, Generation, setting, order=tuple(SUBJECTS))
    left = [(seed, name) for seed in range(seeds) for name in by_training(names) if result.result(name, seed) is None]
    if left:
        result = replace(result, commands=(*result.commands, benchmarking.command(device)))
        out.mkdir(parents=True, exist_ok=True)
        Run(out).write_json(f"{NAME}.json", result.to_dict())  # first, so that a folder that was cut is known again
        if data is not whole and not (out / RECORDING).is_file():
            save(data, out / RECORDING)
        told = (source, reading) if data is whole else (str(out / RECORDING), LoadOptions())
        bench = Bench(data, n, out, *told, device, preset, configs)
        with Progress("measuring", len(left)) as progress:
            progress.at(0, "real against real")
            result = replace(result, floor=Quality.floor(*(bench.floor[p] for p in PROTOCOLS)))
            for i, (seed, name) in enumerate(left):
                progress.at(i, f"{SUBJECTS[name].label}, seed {seed}")
                found = with_warnings(bench.measured(name, seed), result.results)
                result = replace(result, results=(*result.results, found))
                write(result, out)
                progress.at(i + 1)
    write(result, out)
    return result


def by_training(names: Sequence[str]) -> list[str]:
    """Subjects in an order in which those of one training follow each other, controls first."""
    order = [None, *TRAININGS]
    return sorted(names, key=lambda name: order.index(SUBJECTS[name].training))


def with_warnings(found: Result, earlier: Sequence[Result]) -> Result:
    """A result with what training said, which another subject of that training may have heard in an earlier session."""
    training = SUBJECTS[found.subject].training
    said = [r.warnings for r in earlier if r.seed == found.seed and SUBJECTS[r.subject].training == training]
    return found if found.warnings or training is None else replace(found, warnings=next(iter(said), ()))


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
    chosen_trials = np.unique(np.concatenate([*kept.values()]))
    smaller = replace(data, rates=None, latents=None, splits=kept).select(trials=chosen_trials)
    return replace(smaller, splits={name: np.sort(rows) for name, rows in smaller.splits.items()})


def settings(
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
    """What decides the numbers."""
    recording = {
        **benchmarking.about(data, source, reading),
        "truth": bool(data.provenance.get("simulated")) and behaviour == "state",
    }
    subjects = {}
    for name in names:
        recipe = SUBJECTS[name]
        made = {"training": recipe.training or "", "preset": "", "told": "", "config": None}
        if recipe.training is not None:
            training = TRAININGS[recipe.training]
            config = dataclasses.asdict(configs[recipe.training])
            made |= {"preset": presets[recipe.training], "told": training.told, "config": config}
        subjects[name] = {"label": recipe.label} | made
    return {
        "recording": recording,
        "behaviour": behaviour,
        "samples": n,
        "subjects": subjects,
        "left_out": {SUBJECTS[name].label: reason for name, reason in missing.items()},
    }


def write(result: Generation, out: Path) -> None:
    """Write JSON, tables and the figure, all of each or nothing."""
    from spikeloom.bench.generation_figures import draw_generation
    from spikeloom.plot.style import write_png

    benchmarking.write(result, out, NAME)
    if result.results:
        write_png(draw_generation(result), out / f"{NAME}.png")


# -- measuring -------------------------------------------------------------------------------------------------------


@dataclass(eq=False)
class Bench:
    """A recording on which subjects are trained and judged.

    Attributes:
        data: The recording, with its splits.
        n: Trials that are drawn of every subject.
        out: Folder of results.
        source: What models are trained on.
        reading: How to understand that.
        device: Where.
        presets: Preset of every training.
        configs: Configuration of every training.
    """

    data: SpikeData
    n: int
    out: Path
    source: str
    reading: LoadOptions
    device: str
    presets: Mapping[str, str]
    configs: Mapping[str, Any]

    def __post_init__(self) -> None:
        self._trained: tuple[tuple[str, int], benchmarking.TrainedModel] | None = None

    @cached_property
    def lengths(self) -> np.ndarray:
        """(n,) bins of the trials that are drawn: those of training trials, again and again."""
        return np.resize(self.data.lengths[self.data.splits["train"]], self.n)

    @cached_property
    def floor(self) -> dict[Protocol, Comparison]:
        """A comparison by each protocol, from which floor and controls are taken over."""
        trials = self.control("homogeneous", 0)
        return {protocol: compare(self.data, trials, protocol, seed=JUDGED_WITH) for protocol in PROTOCOLS}

    def measured(self, name: str, seed: int) -> Result:
        """Train a subject, unless that is done, draw from it and judge what was drawn."""
        recipe = SUBJECTS[name]
        if recipe.training is None:
            begun = time.perf_counter()
            trials = self.control(str(recipe.control), seed)
            return self.judged(name, seed, trials, time.perf_counter() - begun)
        made = self.trained(recipe.training, seed)
        begun = time.perf_counter()
        trials = self.imitated(made.model, recipe, seed) if recipe.imitates else self.sampled(made.model, recipe, seed)
        took = float("nan") if recipe.imitates else time.perf_counter() - begun
        result = self.judged(name, seed, trials, took)
        return replace(result, training_s=made.seconds, parameters=made.parameters, warnings=made.warnings)

    def judged(self, name: str, seed: int, trials: SpikeData, took: float) -> Result:
        """Compare trials by both protocols, all subjects in the same way: whatever they were drawn for."""
        plain = replace(trials, trials=None, signals={}, rates=None, latents=None)  # type: ignore[arg-type]
        heldout, ldns = (
            compare(self.data, plain, protocol, seed=JUDGED_WITH, earlier=self.floor[protocol])
            for protocol in PROTOCOLS
        )
        found = heldout.memorisation
        copies = Copies(found.copy_share, found.se, found.alarm)
        return Result(name, seed, Quality.of(heldout, ldns), copies, trials.n_trials / took)

    # -- trials ------------------------------------------------------------------------------------------------------

    def control(self, name: str, seed: int) -> SpikeData:
        """Trials of a cheap generator."""
        rng = np.random.default_rng([seed, *name.encode()])
        real = pair(self.data, self.data.split("train"), rng, test_split="train")
        train = real.train
        slots = train.take(np.resize(np.arange(len(train.lengths)), self.n))
        made = Baselines(train, self.data.bin_s, real.n_conditions).draw(name, slots, rng)
        return SpikeData(made.counts, bin_s=self.data.bin_s, lengths=made.lengths, neurons=self.data.neurons)

    def sampled(self, model: GenerativeModel, recipe: Recipe, seed: int) -> SpikeData:
        """New trials of a model, of the lengths of training trials."""
        options: dict[str, Any] = {"observation": "poisson"} if recipe.poisson else {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SpikeloomWarning)
            return model.sample(self.n, lengths=self.lengths, seed=seed, **options)

    def imitated(self, model: Any, recipe: Recipe, seed: int) -> SpikeData:
        """Counts of the rates that a model infers of held-out trials, again and again."""
        test = self.data.split("test")
        again = np.resize(np.arange(test.n_trials), self.n)
        rates = model.rates(test)[again]
        counts = drawn(Poisson() if recipe.poisson else model.observation, rates, model.prior.mean.device, seed)
        return SpikeData(counts, bin_s=test.bin_s, lengths=test.lengths[again], neurons=test.neurons)

    # -- models ------------------------------------------------------------------------------------------------------

    def trained(self, training: str, seed: int) -> benchmarking.TrainedModel:
        """The model of a training; the last one is kept, as subjects that share it follow each other."""
        if self._trained is None or self._trained[0] != (training, seed):
            engine = Engine(device=self.device, seed=seed)
            made = benchmarking.trained(
                self.presets[training],
                self.configs[training],
                self._folder(training, seed),
                self.source,
                self.reading,
                engine,
                self._autoencoder(training, seed),
            )
            self._trained = ((training, seed), made)
        return self._trained[1]

    def _autoencoder(self, training: str, seed: int) -> Path | None:
        """A finished run whose autoencoder is the one that would be trained."""
        other = TRAININGS[training].autoencoder
        if other is None or not same_autoencoder(self.configs[training], self.configs[other]):
            return None
        folder = self._folder(other, seed)
        return folder if Run(folder).finished else None

    def _folder(self, training: str, seed: int) -> Path:
        return self.out / benchmarking.RUNS / f"{training}-{seed}"
