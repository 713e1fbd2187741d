"""Samples of any size: drawn by this process, or by many processes or machines, and written to one file as they come.

A plan (``models/plan.py``) is cut into chunks, each with a seed of its own. Workers read the run folder for themselves,
receive chunks and return arrays, which are written here in order (``models/sampling.py``). So the file does not depend
on which worker drew what, and neither this process nor a worker holds more than a few chunks.
"""

from __future__ import annotations

import itertools
import platform
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from spikeloom.data.formats.own.streaming import check_streamable, streaming
from spikeloom.errors import ConfigError, RunError, SpikeloomError, warn
from spikeloom.models import load_model
from spikeloom.models.base import GenerativeModel
from spikeloom.models.plan import Chunk, Plan
from spikeloom.models.sampling import GeneratedChunk, collect, draw, draw_all
from spikeloom.progress import Progress
from spikeloom.threads import one_thread
from spikeloom.training.checkpoint import weights_hash
from spikeloom.workflow.ray_cluster import REMEDY, cluster, has_ray

AHEAD = 3
"""Chunks for each worker that are sent out and not yet written: one it draws, one it has drawn, one to begin next."""
TRIES = 3
"""How often a chunk whose worker has died is sent out again."""


@dataclass(frozen=True)
class Workers:
    """The processes that draw.

    Attributes:
        n: Chunks that are drawn at the same time; one is this process itself, unless there is an address.
        address: Address of a running Ray cluster to work on, see ``cluster``; Ray starts on this machine without one.
    """

    n: int = 1
    address: str | None = None

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ConfigError(f"workers is {self.n}, but must be at least 1.")

    @property
    def use_ray(self) -> bool:
        """Whether the work is spread at all."""
        return self.n > 1 or self.address is not None


@dataclass(frozen=True)
class WriteSummary:
    """A summary of a sample that was written to a file.

    Attributes:
        n_trials: Number of trials.
        bins: Bins of the shortest and of the longest.
        n_neurons: Number of neurons.
        bin_s: Width of a bin in seconds.
        rate_hz: Mean rate over neurons and bins.
        seconds: Time that all of it took, the start of the workers included.
    """

    n_trials: int
    bins: tuple[int, int]
    n_neurons: int
    bin_s: float
    rate_hz: float
    seconds: float

    def __str__(self) -> str:
        bins = "-".join(map(str, sorted(set(self.bins))))
        return (
            f"{self.n_trials} trials x {bins} bins of {self.bin_s * 1e3:g} ms x {self.n_neurons} neurons, "
            f"{self.rate_hz:.3g} Hz mean rate; in {self.seconds:.0f} s"
        )


def sample_to_file(
    folder: str | Path,
    plan: Plan,
    out: str | Path,
    workers: Workers = Workers(),  # frozen
    model: GenerativeModel | None = None,
    keep_rates: bool = False,
    notes: Mapping[str, Any] | None = None,
) -> WriteSummary:
    """Draw the trials of a plan and write them to an HDF5 file, with the content that ``save`` gives to a sample.

    Every process uses one thread, because what is computed with more may differ in its last bits. So the same plan
    gives the same file whatever the number of workers, as long as their machines are alike.

    Args:
        folder: The run; workers on other machines must find it under the same path.
        plan: The plan of a sample, see ``planned``.
        out: The file; it appears when it is complete.
        workers: The processes that draw.
        model: The model of that run, where it has been loaded already; decides the device, for workers too.
        keep_rates: Write the rates, which are several times larger than the counts.
        notes: Entries of the provenance beside the model's.

    Raises:
        SpikeloomError: If the file cannot be written, the run not be read or Ray not be started, or a chunk was lost
            again and again. No file is left then.
    """
    check_streamable(out)
    model = load_model(folder) if model is None else model
    started = time.perf_counter()
    with (
        one_thread(),
        _generated(Path(folder), model, plan, workers, keep_rates) as chunks,
        streaming(out, plan.n) as file,
        Progress("sampling", plan.n) as progress,
    ):
        counted = _Counted(chunks, progress)
        collect(model, plan, counted, file)
        file.provenance = {**file.provenance, **(notes or {})}
    spec = model.data_spec
    rate = counted.spikes / (int(plan.lengths.sum()) * spec.n_neurons * spec.bin_s)
    bins = (int(plan.lengths.min()), plan.n_bins)
    return WriteSummary(plan.n, bins, spec.n_neurons, spec.bin_s, rate, time.perf_counter() - started)


def planned(model: GenerativeModel, n: int, **arguments: Any) -> Plan:
    """The plan of a sample: ``model.sample(n, **arguments)`` draws the same and collects it in memory.

    Raises:
        SpikeloomError: If the model cannot draw this.
    """
    return model._plan(n, **arguments)


@contextmanager
def _generated(
    folder: Path, model: GenerativeModel, plan: Plan, workers: Workers, keep_rates: bool
) -> Iterator[Iterator[tuple[Chunk, GeneratedChunk]]]:
    """All chunks in their order with their trials, drawn by this process or by Ray's."""
    if workers.use_ray and workers.address is None and not has_ray():
        warn(
            f"{workers.n} workers need Ray, but Ray is not installed, so one process draws all trials; install it with "
            f"`{REMEDY}`."
        )
        workers = Workers()
    if not workers.use_ray:
        yield ((chunk, _kept(generated, keep_rates)) for chunk, generated in draw_all(model, plan))
        return
    job = Job(type(model), str(folder.resolve()), weights_hash(model), _device(model), keep_rates)
    with cluster(workers.address, workers.n) as ray:
        yield _spread(ray, job, plan, workers)


@dataclass(frozen=True)
class Job:
    """All that a worker needs of a sample, beside its chunks.

    Attributes:
        kind: Class of the model, which a worker need not have registered.
        folder: The run.
        weights: Hash of its weights, so that a worker with other weights refuses.
        device: Device to draw on.
        keep_rates: Whether rates are returned.
    """

    kind: type[GenerativeModel]
    folder: str
    weights: str
    device: str
    keep_rates: bool


def _spread(ray: Any, job: Job, plan: Plan, workers: Workers) -> Iterator[tuple[Chunk, GeneratedChunk]]:
    """Send chunks out, never many more than are being drawn, and take them back in their order."""
    task = ray.remote(num_cpus=1, num_gpus=_share(ray, job.device, workers.n), max_retries=TRIES)(draw_chunk)
    waiting: deque[tuple[Chunk, Any]] = deque()
    chunks = plan.chunks()
    while True:
        for chunk in itertools.islice(chunks, AHEAD * workers.n - len(waiting)):
            waiting.append((chunk, task.remote(job, chunk)))
        if not waiting:
            return
        chunk, promised = waiting.popleft()
        yield chunk, _result(ray, promised)


def draw_chunk(job: Job, chunk: Chunk) -> GeneratedChunk:
    """Draw the trials of one chunk, in a worker.

    Raises:
        RunError: If it does not find the run, or finds another.
    """
    with one_thread():
        return _kept(draw(_model(job), chunk), job.keep_rates)


@lru_cache(maxsize=1)
def _model(job: Job) -> GenerativeModel:
    """The model of a run folder, which a worker reads once."""
    try:
        model = job.kind.load(job.folder).to(job.device)
    except SpikeloomError as error:
        raise RunError(
            f"the worker on {platform.node()} cannot read the run ({error}); every machine needs the run folder under "
            "the same path."
        ) from error
    if weights_hash(model) != job.weights:
        raise RunError(
            f"the worker on {platform.node()} finds other weights in {job.folder} than this process; give every "
            "machine the same run folder."
        )
    return model


def _result(ray: Any, promised: Any) -> GeneratedChunk:
    """A worker's trials, or one sentence about why there are none."""
    try:
        return ray.get(promised)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, SpikeloomError):
            raise error.cause from None
        reason = f"{type(error.cause).__name__}: {error.cause}"
        raise RunError(f"a worker could not draw its trials ({_short(reason)}); sample in one process.") from error
    except ray.exceptions.RayError as error:
        reason = f"{type(error).__name__}: {error}"
        raise RunError(
            f"a chunk was lost with its worker {TRIES + 1} times ({_short(reason)}); ask for fewer workers, which need "
            "less memory together, or look at the machines."
        ) from error


class _Counted:
    """Chunks as they pass by, with progress and a count of their spikes."""

    def __init__(self, chunks: Iterator[tuple[Chunk, GeneratedChunk]], progress: Progress):
        self.spikes = 0
        self._chunks, self._progress = chunks, progress

    def __iter__(self) -> Iterator[tuple[Chunk, GeneratedChunk]]:
        speed, written = _Speed(), 0
        for chunk, generated in self._chunks:
            yield chunk, generated  # and comes back when it is written
            written += len(chunk.lengths)
            self.spikes += int(generated.counts.sum(dtype=np.int64))
            self._progress.at(written, speed(written))


class _Speed:
    """Trials per second since the first were there: what came before is the start of the workers."""

    def __init__(self) -> None:
        self._first: tuple[int, float] | None = None

    def __call__(self, done: int) -> str:
        now = time.perf_counter()
        if self._first is None:
            self._first = done, now
            return ""
        before, then = self._first
        return f"{(done - before) / (now - then):.3g} trials/s"


def _device(model: GenerativeModel) -> str:
    return next(model.parameters()).device.type


def _share(ray: Any, device: str, workers: int) -> float:
    """The share of a GPU that each worker gets, so that all of them find a place."""
    if device != "cuda":
        return 0.0
    n = ray.cluster_resources().get("GPU", 0)
    if not n:
        raise ConfigError("the workers are to draw on a GPU, but Ray finds none; add --device cpu.")
    return min(1.0, int(1000 * n / workers) / 1000)


def _kept(generated: GeneratedChunk, keep_rates: bool) -> GeneratedChunk:
    return generated if keep_rates else generated.without_rates()


def _short(reason: str) -> str:
    return " ".join(reason.split())[:200].rstrip(".")
