"""Measure latency against quality: every way of drawing trials from runs that share one autoencoder, on one machine."""

from __future__ import annotations

import hashlib
import statistics
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch

from spikeloom.bench import benchmarking
from spikeloom.bench.latency_record import LatencyQuality, Measured, Point, Quality, Reference, Speed
from spikeloom.data.sources import load_source
from spikeloom.data.spikedata import SpikeData, content_hash
from spikeloom.errors import ConfigError, RunError, SpikeloomWarning
from spikeloom.evaluation.compare import compare
from spikeloom.evaluation.results import Comparison
from spikeloom.models import load_model
from spikeloom.models.base import ENCODE_CHUNK
from spikeloom.models.latent import LatentModel
from spikeloom.observation.base import HistoryModel
from spikeloom.observation.poisson import Poisson
from spikeloom.progress import Progress
from spikeloom.training.engine import Engine
from spikeloom.training.run import Run, environment
from spikeloom.workflow.sampling import held_out, sample_like

NAME = "latency_quality"
"""Of the files in the folder of results."""

ENOUGH_S = 20.0
"""Calls are repeated until they have taken so long together: times of long calls scatter little."""


class Way(NamedTuple):
    """A sampler (None for a model that has only one) and the network passes it may take."""

    sampler: str | None
    steps: int

    @property
    def options(self) -> dict[str, Any]:
        """Arguments of ``model.sample``."""
        return {"steps": self.steps} | ({} if self.sampler is None else {"sampler": self.sampler})


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes:
        ways: Ways of drawing by kind of model, in the order of the tables.
        calls: Most calls that a time is the median of.
    """

    ways: Mapping[str, tuple[Way, ...]]
    calls: int


_SOLVERS = tuple(Way(sampler, n) for sampler in ("ddim", "dpm_solver", "dpm_solver_sde") for n in (5, 10, 16, 20, 50))
_ENERGY = tuple(Way(None, n) for n in (1, 2, 4, 8, 16, 32))
PLANS = {
    "full": Plan({"ldns": (*(Way("ddpm", n) for n in (200, 400, 600, 1000)), *_SOLVERS), "eag": _ENERGY}, calls=5),
    "quick": Plan({"ldns": (Way("ddpm", 200), *_SOLVERS), "eag": _ENERGY}, calls=1),
}
"""The full table, and a first look without the long points and without repeated calls."""


@dataclass(frozen=True, eq=False)
class Subject:
    """A run that is measured: its label, its model, its recording."""

    label: str
    model: LatentModel
    data: SpikeData

    @cached_property
    def test(self) -> SpikeData:
        """The trials that samples imitate."""
        return held_out(self.data)

    def draw(self, n: int, seed: int, like: SpikeData | None = None, **options: Any) -> SpikeData:
        """Trials of the lengths and conditions of the held-out ones."""
        with warnings.catch_warnings():
            # What sampling warns of, an unsound spectrum, is a column of the table.
            warnings.simplefilter("ignore", SpikeloomWarning)
            return sample_like(self.model, self.test if like is None else like, n, seed=seed, **options)

    @cached_property
    def typical(self) -> SpikeData:
        """A single held-out trial, of median length."""
        middle = np.argsort(self.test.lengths, kind="stable")[len(self.test.lengths) // 2]
        return self.test.select(trials=np.array([middle]))


def measure(
    runs: Sequence[str | Path],
    out: str | Path,
    *,
    n: int | None = None,
    plan: Plan | None = None,
    seed: int = 0,
    device: str = "auto",
) -> LatencyQuality:
    """Measure every point of a plan and write JSON, tables and a figure; what the folder holds already is kept.

    Tables are written after every point, short points first. A measurement that was cut goes on with the same
    arguments.

    Args:
        runs: Trained run folders that share one autoencoder and one recording.
        out: Folder of results.
        n: Trials of a call; as many as there are held-out ones when not given.
        plan: What is measured; all of it when not given.
        seed: Seed of samples and comparisons.
        device: auto, cpu, cuda or mps.

    Raises:
        ConfigError: If the runs cannot be compared, or have nothing to vary.
        RunError: If a run is unfinished, or the folder holds something else.
    """
    from spikeloom.bench.latency_figures import draw_latency_quality
    from spikeloom.plot.style import write_png

    out, plan = Path(out), plan or PLANS["full"]
    benchmarking.refuse_occupied(out, NAME)
    subjects = open_runs(runs, plan, device)
    n = subjects[0].test.n_trials if n is None else n
    setting = settings(subjects, n, plan.calls, seed)
    result = benchmarking.continued(out, NAME, LatencyQuality, setting)

    done = {m.point for m in result.points}
    points = [
        (subject, Point(subject.label, subject.model.name, *way))
        for subject in subjects
        for way in plan.ways[subject.model.name]
    ]
    order = {point: place for place, (_, point) in enumerate(points)}
    left = sorted((p for p in points if p[1] not in done), key=lambda p: p[1].steps)  # what is short is there soon
    if left or not result.references:
        facts = environment(seed, "", "")
        result = replace(result, commands=(*result.commands, {k: facts[k] for k in ("date", "command")}))
        with Progress("measuring", len(left)) as progress:
            for subject in subjects:
                warm = subject.draw(n, seed, steps=1)
                subject.draw(1, seed, subject.typical, steps=1)
                if not result.references:
                    result = replace(result, references=tuple(references(subjects, warm, seed)))
                    benchmarking.write(result, out, NAME)
            for i, (subject, point) in enumerate(left):
                progress.at(i, f"{point.generator}, {point.steps} passes")
                measured = [*result.points, measure_point(subject, point, n, plan.calls, seed)]
                result = replace(result, points=tuple(sorted(measured, key=lambda m: order.get(m.point, len(order)))))
                benchmarking.write(result, out, NAME)
                progress.at(i + 1)
    benchmarking.write(result, out, NAME)
    write_png(draw_latency_quality(result), out / f"{NAME}.png")
    return result


# -- what may be measured --------------------------------------------------------------------------------------------


def open_runs(folders: Sequence[str | Path], plan: Plan, device: str) -> list[Subject]:
    """The runs, loaded; nothing is drawn before all of them have proved comparable.

    Raises:
        ConfigError: If they are not, or have nothing to vary.
        RunError: If one is unfinished.
    """
    if not folders:
        raise ConfigError("no run was named; name at least one trained run folder.")
    runs = [Run.open(folder) for folder in folders]
    labels = _labels([run.folder for run in runs])
    for run in runs:
        kind, _ = run.config()
        if kind not in plan.ways:
            reason = "draws its latents in closed form and has no passes to vary" if kind == "gaussian" else "has none"
            raise ConfigError(
                f"{run.folder} holds a model of kind '{kind}', but points are known for {' and '.join(plan.ways)} only "
                f"(this kind {reason}); leave that run out."
            )
        if not run.finished:
            raise RunError(
                f"{run.folder} is not trained to its end yet; continue it with `spikeloom fit ... --resume` first."
            )
    place = Engine(device=device).fabric().device
    subjects = []
    for run, label in zip(runs, labels):
        model, data = load_model(run.folder).to(place), load_source(run.folder)
        assert isinstance(model, LatentModel)
        subjects.append(Subject(label, model, data))
        check_same(subjects[0], subjects[-1])
    return subjects


def check_same(first: Subject, other: Subject) -> None:
    """Refuse runs that differ in more than their priors.

    Raises:
        ConfigError: If recordings, splits or autoencoders differ.
    """
    between = f"the runs {first.label} and {other.label}"
    hashes = [content_hash(s.data)[:12] for s in (first, other)]
    if hashes[0] != hashes[1]:
        raise ConfigError(
            f"{between} were fitted to different recordings (hashes {hashes[0]} and {hashes[1]}); name runs of the "
            "same recording, read the same way."
        )
    splits = [{k: v.tolist() for k, v in s.data.splits.items()} for s in (first, other)]
    if splits[0] != splits[1]:
        raise ConfigError(f"{between} split their recording differently; name runs with the same held-out trials.")
    digests = [digest(s.model, "autoencoder.")[:12] for s in (first, other)]
    if digests[0] != digests[1]:
        raise ConfigError(
            f"{between} have different autoencoders (weights {digests[0]} and {digests[1]}), so their priors cannot be "
            "compared; name runs that share one autoencoder, or measure each in a folder of its own."
        )


def digest(model: torch.nn.Module, prefix: str = "") -> str:
    """SHA-256 of the tensors of a model whose names begin with the prefix."""
    result = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        if name.startswith(prefix):
            values = np.ascontiguousarray(tensor.cpu().numpy())
            result.update(f"{name} {values.dtype} {values.shape}".encode())
            result.update(values.tobytes())
    return result.hexdigest()


def _labels(folders: Sequence[Path]) -> list[str]:
    """Folder names, with as many of the folders above as tell them apart."""
    paths = [folder.resolve() for folder in folders]
    if twice := next((p for i, p in enumerate(paths) if p in paths[:i]), None):
        raise ConfigError(f"the run {twice} was named twice; name each run once.")
    depth = 1
    while len({path.parts[-depth:] for path in paths}) < len(paths):
        depth += 1
    return ["/".join(path.parts[-depth:]) for path in paths]


# -- the folder of results -------------------------------------------------------------------------------------------


def settings(subjects: Sequence[Subject], n: int, calls: int, seed: int) -> dict[str, Any]:
    """What decides the numbers."""
    model = subjects[0].model
    device = model.prior.mean.device
    facts = environment(seed, torch.cuda.get_device_name(device) if device.type == "cuda" else device.type, "32-true")
    kept = ("device", "precision", "python", "platform", "cpu_count", "packages")
    machine = {k: facts[k] for k in kept} | {"processor": _processor(), "threads": torch.get_num_threads()}
    runs = [
        {
            "label": s.label,
            "model": s.model.name,
            "observation": s.model.config.observation,
            "prior_parameters": sum(p.numel() for p in s.model.prior.parameters()),
            "weights": digest(s.model),
        }
        for s in subjects
    ]
    recording = {"hash": content_hash(subjects[0].data), "held_out_trials": subjects[0].test.n_trials}
    return {"runs": runs, "recording": recording, "trials": n, "seed": seed, "calls": calls, "machine": machine}


def _processor() -> str:
    """Name of the processor, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else environment(0, "", "")["processor"]


# -- measuring -------------------------------------------------------------------------------------------------------


def measure_point(subject: Subject, point: Point, n: int, calls: int, seed: int) -> Measured:
    """Time one way of drawing trials, and judge the trials."""
    options = Way(point.sampler, point.steps).options
    with passes_counted(subject.model) as passed:
        _, one, _ = timed(lambda: subject.draw(1, seed, subject.typical, **options), calls)
        passes = passed() // len(one)
    generated, seconds, cpu = timed(lambda: subject.draw(n, seed, **options), calls)
    speed = Speed(n, tuple(seconds), statistics.median(cpu), statistics.median(one), passes)
    ratio = generated.provenance["spectrum_ratio"]
    return Measured(point, speed, Quality.of(*judged(subject, generated, seed), ratio))


GeneratedBatch = TypeVar("Drawn")


def timed(call: Callable[[], GeneratedBatch], calls: int) -> tuple[GeneratedBatch, list[float], list[float]]:
    """Repeat a call, unless it is long; its result, and the wall and processor seconds of each."""
    wall: list[float] = []
    cpu: list[float] = []
    while True:
        begun, cpu_begun = time.perf_counter(), time.process_time()
        result = call()
        wall.append(time.perf_counter() - begun)
        cpu.append(time.process_time() - cpu_begun)
        if len(wall) >= calls or sum(wall) > ENOUGH_S:
            return result, wall, cpu


@contextmanager
def passes_counted(model: LatentModel) -> Iterator[Callable[[], int]]:
    """Count the passes through the prior's network: guidance takes two a step, for example."""
    number = 0

    def count(*_: Any) -> None:
        nonlocal number
        number += 1

    network: torch.nn.Module = getattr(model.prior, "network")  # noqa: B009 - not every prior has one
    hook = network.register_forward_hook(count)
    try:
        yield lambda: number
    finally:
        hook.remove()


def judged(subject: Subject, generated: SpikeData, seed: int) -> tuple[Comparison, Comparison]:
    """Both protocols."""
    return compare(subject.data, generated, "heldout", seed=seed), compare(subject.data, generated, "ldns", seed=seed)


def references(subjects: Sequence[Subject], like: SpikeData, seed: int) -> Iterator[Reference]:
    """The floor, and what the autoencoder allows with each observation that a run draws counts by, and with Poisson.

    Args:
        subjects: Runs that share an autoencoder.
        like: Samples whose lengths and conditions the trials of the references have, so that they are judged alike.
        seed: Seed of draws and comparisons.
    """
    first = subjects[0]
    latents, rates = first.model.infer(first.test)
    device = first.model.prior.mean.device
    tensors = (torch.as_tensor(v, device=device) for v in (latents, first.test.lengths.copy()))
    ratio = first.model.prior.spectrum_ratio(*tensors).tolist()
    chosen = np.resize(np.arange(first.test.n_trials), like.n_trials)
    rates = rates[chosen, : like.n_bins]

    laws: dict[str, tuple[str, Poisson | HistoryModel]] = {}
    for subject in subjects:
        law = subject.model.config.observation
        laws.setdefault(
            law + digest(subject.model, "observation."), (f"{law} of {subject.label}", subject.model.observation)
        )
    observations = {
        name if len(laws) > 1 else name.partition(" of ")[0]: observation for name, observation in laws.values()
    }
    if not any(isinstance(observation, Poisson) for observation in observations.values()):
        observations["poisson"] = Poisson()
    for name, observation in observations.items():
        counts = drawn(observation, rates, device, seed)
        trials = replace(like, counts=counts, rates=rates, latents=None)
        comparisons = judged(first, trials, seed)
        if observation is first.model.observation:
            yield Reference("floor: real against real", "floor", Quality.floor(*comparisons))
        name = f"autoencoder, counts by {name.replace('_', ' ')}"
        yield Reference(name, "ceiling", Quality.of(*comparisons, ratio))


@torch.no_grad()
def drawn(observation: Poisson | HistoryModel, rates: np.ndarray, device: torch.device, seed: int) -> np.ndarray:
    """Counts of given rates."""
    generator = torch.Generator(device).manual_seed(seed)
    parts = (torch.as_tensor(rates[i : i + ENCODE_CHUNK], device=device) for i in range(0, len(rates), ENCODE_CHUNK))
    return np.concatenate([observation.sample(part, generator).cpu().numpy() for part in parts])
