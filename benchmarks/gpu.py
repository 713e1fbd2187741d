"""A GPU beside the CPU of its machine: sampling, training steps of every system, samples that are statistically equal.

    python benchmarks/gpu.py [--out FILE] [--minutes 8] [--device cuda] [--tiny]

Needs no network and no files. The recording is simulated, of the size of MC_Maze: 2,008 trials of 140 bins x 182
neurons. The table is written anew after every part, so that a run that is cut short leaves what it has; from the given
number of minutes on, nothing further is begun. ``--tiny`` goes through all of it in a minute on any CPU, in a small
size and with a compiler that changes nothing: to see that the script works, not how fast anything is.
"""

from __future__ import annotations

import csv
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import stats

import spikeloom as sl
from shared import machine, parser_of
from spikeloom.bench.tables import markdown_table as table
from spikeloom.training.engine import Engine
from spikeloom.training.stage_training import StageTraining, Training

SYSTEMS: dict[str, dict[str, Any]] = {
    "ldns": {},
    "eag": {},
    "gnocchi": {},
    "code-autoencoder": {},
    "lfads": {},
    "lfads-controller": {},
    "tndm": {"behaviour": "hand_vel"},
    "pivae": {"condition_on": ("hand_vel",)},
    "gaussian": {},
}
"""Presets, at their default sizes, and what they need to be told of the recording."""
COMPILED = ("ldns", "eag", "gnocchi")
"""Systems that are compiled, too, which takes up to a minute a stage; recurrent ones are slower for it."""
WAYS = ("fp32", "bf16", "compiled")
ALIKE = 1e-3
"""Smallest p, after Bonferroni, at which samples of two devices count as alike: of 20 tests, 1 in 50 runs fails."""


@dataclass(frozen=True)
class Size:
    """How much of everything is done.

    Attributes:
        shape: Trials, bins and neurons of the recording.
        steps: Steps of every stage of the models that are sampled.
        timed_s: Seconds for which training steps are timed.
        repeats: Samples that are timed.
        compared: Trials sampled on either device for the tests.
        backend: Of torch.compile.
    """

    shape: tuple[int, int, int] = (2008, 140, 182)
    steps: int = 60
    timed_s: float = 2.0
    repeats: int = 5
    compared: int = 512
    backend: str = "inductor"


TINY = Size((40, 16, 7), 2, 0.0, 1, 24, "eager")


@dataclass
class Page:
    """The results so far, written to a file after every part.

    Attributes:
        path: The file.
        end: Time, by the monotonic clock, from which nothing is begun.
        parts: Text of each part.
    """

    path: Path
    end: float
    parts: list[str] = field(default_factory=list)

    @property
    def over(self) -> bool:
        """Whether the time is used up."""
        return time.monotonic() > self.end

    def add(self, text: str) -> None:
        """Add a part."""
        self.parts.append(text)
        self.path.write_text("\n\n".join(self.parts) + "\n")

    def replace(self, text: str) -> None:
        """Put another text in the place of the last part."""
        self.parts.pop()
        self.add(text)


def recording(size: Size) -> sl.SpikeData:
    """Reaches in eight directions: rates follow a hand that speeds up and slows down, and slow noise of each trial."""
    trials, bins, neurons = size.shape
    rng = np.random.default_rng(0)
    angle = rng.integers(0, 8, trials) * np.pi / 4
    speed = np.exp(-0.5 * ((np.arange(bins) / bins - 0.5) / 0.15) ** 2)
    velocity = speed[None, :, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)[:, None]
    slow = np.sin(np.arange(bins) / bins * 2 * np.pi + rng.uniform(0, 2 * np.pi, (trials, 3, 1))).transpose(0, 2, 1)
    loading = rng.normal(0, 0.5, (5, neurons))
    log_rate = np.concatenate([velocity, 0.5 * slow], axis=2) @ loading + np.log(rng.gamma(1.5, 0.02, neurons) + 0.003)
    data = sl.SpikeData(rng.poisson(np.exp(log_rate)), bin_s=0.005, signals={"hand_vel": velocity})
    return data.assign_splits({"train": 0.8, "val": 0.1, "test": 0.1})


def trained(preset: str, data: sl.SpikeData, size: Size, device: str) -> Any:
    """A model after a few steps of training."""
    return sl.fit(data, preset, engine=Engine(device=device), max_steps=size.steps, **SYSTEMS[preset])


def synchronised(device: str) -> float:
    """The time, when the device has done all it was told to do."""
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


# -- sampling ----------------------------------------------------------------------------------------------------


def sampling_row(preset: str, model: Any, size: Size, device: str) -> list[str]:
    """Seconds of a sample as users take it, and of the network alone with all trials in one batch."""
    n, bins = size.shape[:2]
    lengths = torch.full((n,), bins, device=device)

    def alone() -> None:
        generator = torch.Generator(device).manual_seed(0)
        with torch.no_grad():
            model.eval()._generate(lengths, generator, None)

    row = [preset]
    for call in (lambda: model.sample(n, length=bins), alone):
        row.append(_seconds(call, size.repeats, device))
    return row


def _seconds(call: Callable[[], object], repeats: int, device: str) -> str:
    times = []
    try:
        for _ in range(1 + repeats):
            start = synchronised(device)
            call()
            times.append(synchronised(device) - start)
    except (RuntimeError, TypeError, ValueError, sl.SpikeloomError) as error:  # such as too little memory for one batch
        return f"- ({type(error).__name__})"
    return f"{statistics.median(times[1:]):.3f}"


# -- training ----------------------------------------------------------------------------------------------------


def steps_per_second(model: Any, data: sl.SpikeData, size: Size, device: str, how: str) -> dict[str, str]:
    """Training steps a second of every stage of a system: in fp32, in bf16, or compiled in bf16 (fp32 on a CPU)."""
    half = how == "bf16" or (how == "compiled" and device == "cuda")
    engine = Engine(device=device, precision="bf16-mixed" if half else "32-true")
    model = type(model).make(data, model.config, 0)
    fabric = engine.fabric()
    model.to(fabric.device)
    training = Training(fabric, model, None, 0, [], 0)
    found = {}
    for index, stage in enumerate(model.stages(data)):
        if how == "compiled":
            stage.module.loss = torch.compile(stage.module.loss, backend=size.backend)  # type: ignore[assignment]
        loop = StageTraining(training, index, stage, None, None)
        start, n = time.perf_counter(), 0
        loop.optimise()
        first = synchronised(device) - start
        loop.optimise()
        start = synchronised(device)
        while n < 2 or synchronised(device) - start < size.timed_s:
            for _ in range(5 if size.timed_s else 1):
                loop.optimise()
                n += 1
        found[stage.name] = f"{n / (synchronised(device) - start):.1f}"
        if how == "compiled":
            found[stage.name] += f" (first step {first:.0f} s)"
            del stage.module.loss  # that of the class again
    return found


def training_table(page: Page, models: dict[str, Any], data: sl.SpikeData, size: Size, device: str) -> None:
    rows: dict[tuple[str, str], dict[str, str]] = {}
    page.add("")
    for how in WAYS:
        for preset in models if how != "compiled" else COMPILED:
            if page.over or preset not in models:
                break
            try:
                found = steps_per_second(models[preset], data, size, device, how)
            except Exception as error:  # a compiler may fail of anything, and the rest is still of use
                found = {"": f"- ({type(error).__name__})"}
            for stage, value in found.items():
                rows.setdefault((preset, stage), {})[how] = value
            body = [
                [*key, *(row.get(h, "") for h in ("fp32", "bf16", "compiled"))] for key, row in sorted(rows.items())
            ]
            header = ["system", "stage", "fp32", "bf16", "compiled"]
            page.replace(
                "## Training steps a second, batches of 64 trials or as the preset has it\n\n" + table(header, body)
            )


# -- are samples of both devices alike? --------------------------------------------------------------------------


def alike_row(preset: str, model: Any, size: Size, device: str) -> list[str]:
    """Two-sided tests of samples of this device against samples of the CPU, from the same weights."""
    here = model.to(device).sample(size.compared, length=size.shape[1], seed=1)
    there = model.to("cpu").sample(size.compared, length=size.shape[1], seed=2)
    p_rates, p_covariances = compared(here.counts, there.counts)
    verdict = "alike" if min(p_rates, p_covariances) > ALIKE else "**differ**"
    return [preset, f"{p_rates:.2g}", f"{p_covariances:.2g}", verdict]


def compared(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """Smallest p of two-sided t-tests over trials, times their number: of mean counts, and of covariances in a bin.

    Args:
        first: (trial, time, neuron) counts.
        second: The same of others.
    """
    mean = np.concatenate([first, second]).mean(axis=(0, 1))
    means, products = [], []
    for counts in (first, second):
        centred = (counts - mean).astype(np.float32)
        means.append(centred.mean(axis=1))
        each = centred.transpose(0, 2, 1) @ centred / counts.shape[1]
        products.append(each[:, *np.tril_indices(each.shape[1])])
    return _least_p(*means), _least_p(*products)


def _least_p(first: np.ndarray, second: np.ndarray) -> float:
    varies = (first.std(axis=0) > 0) | (second.std(axis=0) > 0)
    if not varies.any():
        return 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of neurons that hardly ever fire
        p = np.asarray(stats.ttest_ind(first[:, varies], second[:, varies], equal_var=False)[1])
    return float(min(1.0, np.nanmin(p) * varies.sum())) if np.isfinite(p).any() else 1.0


# -- two processes -----------------------------------------------------------------------------------------------


def two_processes(data: sl.SpikeData, size: Size, device: str) -> str:
    """Steps a second of one and of two processes, each on a device of its own."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "recording.npz"
        sl.save(data, source)
        for n in (1, 2):
            run = Path(folder) / str(n)
            where = ["--device", device, "--devices", str(n), "--max_steps", str(5 * size.steps)]
            command = [sys.executable, "-m", "spikeloom", "fit", str(source), "--out", str(run), *where]
            done = subprocess.run(command, capture_output=True, text=True, timeout=240)
            if done.returncode:
                return f"{' '.join(command[2:])} ended with {done.returncode}: {done.stderr.strip()[-500:]}"
            with (run / "metrics.csv").open() as file:
                last = {row["stage"]: row for row in csv.DictReader(file)}
            rows += [
                [
                    str(n),
                    stage,
                    f"{int(row['step']) / max(float(row['seconds']), 1e-9):.1f}",
                    f"{float(row['validation_loss']):.4g}",
                ]
                for stage, row in last.items()
            ]
    return table(["processes", "stage", "steps a second, validation included", "validation loss"], rows)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "gpu.md")
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args(arguments)
    size, device = TINY if options.tiny else Size(), options.device
    name = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    page = Page(options.out, time.monotonic() + 60 * options.minutes)
    shape = "{:,} trials x {} bins x {} neurons".format(*size.shape)
    page.add(f"# {name}\n\n`python benchmarks/gpu.py {' '.join(arguments or sys.argv[1:])}`; {machine()}; {shape}.")
    data = recording(size)

    models, rows = {}, []
    page.add("")
    for preset in SYSTEMS:
        if page.over:
            break
        models[preset] = trained(preset, data, size, device)
        rows.append(sampling_row(preset, models[preset], size, device))
        page.replace(
            f"## Seconds to sample {size.shape[0]:,} trials, median of {size.repeats}\n\n"
            + table(["system", "`model.sample`: counts in memory", "all trials in one batch, on the device"], rows)
        )
    training_table(page, models, data, size, device)
    rows = []
    page.add("")
    for preset, model in models.items():
        if page.over:
            break
        rows.append(alike_row(preset, model, size, device))
        page.replace(
            f"## {name} against CPU: {size.compared} samples each, smallest p after Bonferroni\n\n"
            + table(["system", "mean counts", "covariances", ""], rows)
        )
    n_devices = torch.cuda.device_count() if device == "cuda" else 1
    if n_devices < 2:
        page.add(f"## Two processes\n\nNot measured: there is {n_devices} device.")
    elif not page.over:
        page.add("## Two processes\n\n" + two_processes(data, size, device))
    if page.over:
        page.add(f"The {options.minutes:g} minutes were used up: what is missing was not begun.")
    print(options.out.read_text())


if __name__ == "__main__":
    main()
