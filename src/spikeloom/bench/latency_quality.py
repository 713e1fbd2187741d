"""Measure latency against quality: every way of drawing trials from runs that share one autoencoder, on one machine."""

from __future__ import annotations

import hashlib
import statistics
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch

from spikeloom.bench.benchmark import Benchmark, locking_out
from spikeloom.bench.latency_record import LatencyRecord, Point, Reference, Speed, latency_page
from spikeloom.bench.quality import PROTOCOLS, Protocol, Quality
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
from spikeloom.training.engine import Engine
from spikeloom.training.run import Run, environment
from spikeloom.workflow.sampling import held_out, sample_like

LATENCY_QUALITY = Benchmark("latency_quality", LatencyRecord, latency_page)

ENOUGH_S = 20.0
"""Calls are repeated until they have taken so long together: times of long calls scatter little."""


class Way(NamedTuple):
    """A sampler (None for a model that has only one) and the requested network passes."""

    sampler: str | None
    steps: int

    @property
    def options(self) -> dict[str, Any]:
        """Arguments of ``model.sample``."""
        return {"steps": self.steps} | ({} if self.sampler is None else {"sampler": self.sampler})


@dataclass(frozen=True)
class PointGrid:
    """Points of a measurement.

    Attributes:
        ways: Ways of drawing by kind of model, in the order of the tables.
        calls: Most calls that a time is the median of.
    """

    ways: Mapping[str, tuple[Way, ...]]
    calls: int


_SOLVERS = tuple(Way(sampler, n) for sampler in ("ddim", "dpm_solver", "dpm_solver_sde") for n in (5, 10, 16, 20, 50))
_ENERGY = tuple(Way(None, n) for n in (1, 2, 4, 8, 16, 32))
GRIDS = {
    "full": PointGrid({"ldns": (*(Way("ddpm", n) for n in (200, 400, 600, 1000)), *_SOLVERS), "eag": _ENERGY}, calls=5),
    "quick": PointGrid({"ldns": (Way("ddpm", 200), *_SOLVERS), "eag": _ENERGY}, calls=1),
}
"""The full table, and a first look without the long points and without repeated calls."""


@dataclass(frozen=True, eq=False)
class TimedRun:
    """A run whose sampling is timed: its label, its model, its recording."""

    label: str
    model: LatentModel
    data: SpikeData
    first: dict[Protocol, Comparison] = field(default_factory=dict)
    """The first comparison by each protocol, from which others take over floor and yardsticks."""

    @cached_property
    def test(self) -> SpikeData:
        """The trials that samples imitate."""
        return held_out(self.data)

    @cached_property
    def typical(self) -> SpikeData:
        """A single held-out trial, of median length."""
        middle = np.argsort(self.test.lengths, kind="stable")[len(self.test.lengths) // 2]
        return self.test.select(trials=np.array([middle]))

    def draw(self, n: int, seed: int, like: SpikeData | None = None, **options: Any) -> SpikeData:
        """Trials of the lengths and conditions of the held-out ones."""
        with warnings.catch_warnings():
            # What sampling warns of, an unsound spectrum, is a column of the table.
            warnings.simplefilter("ignore", SpikeloomWarning)
            return sample_like(self.model, self.test if like is None else like, n, seed=seed, **options)

    def compared(self, trials: SpikeData, seed: int) -> tuple[Comparison, Comparison]:
        """Comparisons of trials with the recording by both protocols."""
        found = tuple(compare(self.data, trials, p, seed=seed, earlier=self.first.get(p)) for p in PROTOCOLS)
        self.first.update({p: one for p, one in zip(PROTOCOLS, found) if p not in self.first})
        return found[0], found[1]


@locking_out
def run_latency_benchmark(
    runs: Sequence[str | Path],
    out: str | Path,
    *,
    n: int | None = None,
    grid: PointGrid | None = None,
    seed: int = 0,
    device: str = "auto",
) -> LatencyRecord:
    """Measure every point of a grid, and write JSON, tables and a figure; what the folder holds already is kept.

    Tables are written after every point, short points first. A measurement that was cut goes on with the same
    arguments.

    Args:
        runs: Trained run folders that share one autoencoder and one recording.
        out: Folder of results.
        n: Trials of a call; as many as there are held-out ones when not given.
        grid: The points; the full grid when not given.
        seed: Seed of samples and comparisons.
        device: auto, cpu, cuda or mps.

    Raises:
        ConfigError: If the runs cannot be compared, or have nothing to vary.
        RunError: If a run is unfinished, or the folder holds something else.
    """
    from spikeloom.bench.latency_figures import draw_latency_quality
    from spikeloom.drawing.style import write_png

    out, grid = Path(out), grid or GRIDS["full"]
    LATENCY_QUALITY.refuse_occupied(out)
    timed_runs = open_runs(runs, grid, device)
    n = timed_runs[0].test.n_trials if n is None else n
    record = LATENCY_QUALITY.continued(out, latency_setting(timed_runs, n, grid.calls, seed))

    points = [(run, way) for run in timed_runs for way in grid.ways[run.model.name]]
    order = [(run.label, run.model.name, *way) for run, way in points]
    done = {p.way for p in record.points}
    left = [point for point, key in zip(points, order) if key not in done]

    def prepare(record: LatencyRecord) -> LatencyRecord:
        for run in timed_runs:
            warm = run.draw(n, seed, steps=1)
            run.draw(1, seed, run.typical, steps=1)
            if not record.references:
                record = replace(record, references=tuple(references(timed_runs, warm, seed)))
        return record

    def measure(record: LatencyRecord, item: tuple[TimedRun, Way]) -> LatencyRecord:
        every = [*record.points, measure_point(*item, n, grid.calls, seed)]
        places = {key: place for place, key in enumerate(order)}
        return replace(record, points=tuple(sorted(every, key=lambda p: places.get(p.way, len(places)))))

    record = LATENCY_QUALITY.run(
        record,
        out,
        sorted(left, key=lambda item: item[1].steps),  # short points are there soon
        measure,
        lambda item: f"{' '.join([item[0].model.name.upper(), item[1].sampler or '']).strip()}, {item[1].steps} passes",
        prepare if left or not record.references else None,
    )
    write_png(draw_latency_quality(record), out / f"{LATENCY_QUALITY.name}.png")
    return record


# -- runs that can be compared ---------------------------------------------------------------------------------------


def open_runs(folders: Sequence[str | Path], grid: PointGrid, device: str) -> list[TimedRun]:
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
        if kind not in grid.ways:
            reason = "draws its latents in closed form and has no passes to vary" if kind == "gaussian" else "has none"
            raise ConfigError(
                f"{run.folder} holds a model of kind '{kind}', but points are known for {' and '.join(grid.ways)} only "
                f"(this kind {reason}); leave that run out."
            )
        if not run.finished:
            raise RunError(
                f"{run.folder} is not trained to its end yet; continue it with `spikeloom fit ... --resume` first."
            )
    place = Engine(device=device).fabric().device
    opened: list[TimedRun] = []
    for run, label in zip(runs, labels):
        model, data = load_model(run.folder).to(place), load_source(run.folder)
        assert isinstance(model, LatentModel)
        opened.append(TimedRun(label, model, data))
        check_same(opened[0], opened[-1])
    return opened


def check_same(first: TimedRun, other: TimedRun) -> None:
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
    """Folder names, with as many parent folders as make them different."""
    paths = [folder.resolve() for folder in folders]
    if twice := next((p for i, p in enumerate(paths) if p in paths[:i]), None):
        raise ConfigError(f"the run {twice} was named twice; name each run once.")
    depth = 1
    while len({path.parts[-depth:] for path in paths}) < len(paths):
        depth += 1
    return ["/".join(path.parts[-depth:]) for path in paths]


def latency_setting(runs: Sequence[TimedRun], n: int, calls: int, seed: int) -> dict[str, Any]:
    """Everything that decides the numbers, the machine included."""
    first = runs[0]
    device = first.model.prior.mean.device
    facts = environment(seed, torch.cuda.get_device_name(device) if device.type == "cuda" else device.type, "32-true")
    kept = ("device", "precision", "python", "platform", "cpu_count", "packages")
    described = [
        {
            "label": run.label,
            "model": run.model.name,
            "observation": run.model.config.observation,
            "prior_parameters": sum(p.numel() for p in run.model.prior.parameters()),
            "weights": digest(run.model),
        }
        for run in runs
    ]
    return {
        "runs": described,
        "recording": {"hash": content_hash(first.data), "held_out_trials": first.test.n_trials},
        "trials": n,
        "seed": seed,
        "calls": calls,
        "machine": {k: facts[k] for k in kept} | {"processor": _processor(), "threads": torch.get_num_threads()},
    }


def _processor() -> str:
    """Name of the processor, where the system reports it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else environment(0, "", "")["processor"]


# -- measuring -------------------------------------------------------------------------------------------------------


def measure_point(run: TimedRun, way: Way, n: int, calls: int, seed: int) -> Point:
    """Time one way of drawing trials, and compare the trials with the recording."""
    with passes_counted(run.model) as passed:
        _, one, _ = timed(lambda: run.draw(1, seed, run.typical, **way.options), calls)
        passes = passed() // len(one)
    generated, seconds, cpu = timed(lambda: run.draw(n, seed, **way.options), calls)
    quality = Quality.of(*run.compared(generated, seed), generated.provenance["spectrum_ratio"])
    speed = Speed.of(n, seconds, statistics.median(cpu), statistics.median(one), passes)
    return Point(**vars(quality), run=run.label, kind=run.model.name, sampler=way.sampler, steps=way.steps, speed=speed)


Result = TypeVar("Result")


def timed(call: Callable[[], Result], calls: int) -> tuple[Result, list[float], list[float]]:
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


def references(runs: Sequence[TimedRun], like: SpikeData, seed: int) -> Iterator[Reference]:
    """The floor, and the ceiling of the autoencoder with the observation of each run and with Poisson counts.

    Args:
        runs: Runs that share an autoencoder.
        like: Samples whose lengths and conditions the trials of the references get, so that all are compared alike.
        seed: Seed of draws and comparisons.
    """
    first = runs[0]
    latents, rates = first.model.infer(first.test)
    device = first.model.prior.mean.device
    tensors = (torch.as_tensor(v, device=device) for v in (latents, first.test.lengths.copy()))
    spectrum_ratio = first.model.prior.spectrum_ratio(*tensors).tolist()
    chosen = np.resize(np.arange(first.test.n_trials), like.n_trials)
    rates = rates[chosen, : like.n_bins]

    different: dict[str, tuple[str, TimedRun]] = {}
    for run in runs:
        kind = run.model.config.observation
        different.setdefault(kind + digest(run.model, "observation."), (kind, run))
    several = len(different) > 1
    observations: dict[str, Poisson | HistoryModel] = {
        f"{kind} of {run.label}" if several else kind: run.model.observation for kind, run in different.values()
    }
    if not any(isinstance(observation, Poisson) for observation in observations.values()):
        observations["poisson"] = Poisson()
    for name, observation in observations.items():
        counts = counts_of_rates(observation, rates, device, seed)
        comparisons = first.compared(replace(like, counts=counts, rates=rates, latents=None), seed)
        if observation is first.model.observation:
            floor = Quality.floor(*comparisons)
            yield Reference(**vars(floor), name="floor: real against real", role="floor")
        name = f"autoencoder, counts by {name.replace('_', ' ')}"
        yield Reference(**vars(Quality.of(*comparisons, spectrum_ratio)), name=name, role="ceiling")


@torch.no_grad()
def counts_of_rates(
    observation: Poisson | HistoryModel, rates: np.ndarray, device: torch.device, seed: int
) -> np.ndarray:
    """Counts (trial, time, neuron) drawn from rates in spikes a bin."""
    generator = torch.Generator(device).manual_seed(seed)
    parts = (torch.as_tensor(rates[i : i + ENCODE_CHUNK], device=device) for i in range(0, len(rates), ENCODE_CHUNK))
    return np.concatenate([observation.sample(part, generator).cpu().numpy() for part in parts])
