"""Training steps of two checkouts of this package, in alternating pairs.

    python benchmarks/step_pairs.py OLD/src NEW/src [--recordings s1.npz ...] [--pairs 20] [--out pairs.json]

For the autoencoder and the prior of LDNS at default size: processor milliseconds of one whole optimiser step as the
training loop takes it (choice of trials, loss, backward, clip, AdamW, moving average). Each version has a process of
its own, and the two take turns, step by step, so that whatever else the machine does disturbs both alike; compared are
medians, and the shortest steps, which were disturbed least. The recordings are the simulated one of the demo and any
that are named: a file as it is, and cut into windows of a second.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

STAGES = ("autoencoder", "prior")


def work(recordings: list[dict]) -> None:
    """In the process of one version: for every line read, take one step of a stage and write its milliseconds."""
    steps = [_steps(**how) for how in recordings]
    print("ready", flush=True)
    for line in sys.stdin:
        recording, stage = map(int, line.split())
        start = time.process_time()
        steps[recording][stage]()
        print((time.process_time() - start) * 1e3, flush=True)


def _steps(source: str, preset: str, options: dict) -> list[Callable[[], object]]:
    """One optimiser step of each stage."""
    import torch

    from spikeloom.data.options import LoadOptions
    from spikeloom.data.sources import load_source
    from spikeloom.data.splits import with_default_splits
    from spikeloom.models.presets import preset_config
    from spikeloom.models.registry import model_class
    from spikeloom.training.batch import Batch
    from spikeloom.training.engine import Engine
    from spikeloom.training.stage_training import StageTraining, Training
    from spikeloom.training.stages import Stage

    data = with_default_splits(load_source(source, LoadOptions(**options)))
    model = model_class("ldns").make(data, preset_config(preset), 0)
    train, config = Batch.of(data.split("train")), model.config
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(len(train), train.n_bins, config.autoencoder.latents, generator=generator)
    model.prior.prepare(latents, train.lengths)
    learned = Batch(train.lengths, train.ragged, latents=model.prior.normalised(latents, train.lengths))
    training = Training(Engine(device="cpu").fabric(), model, None, 0, [], 0)
    result = []
    for name, module, batch, how in (
        (STAGES[0], model.autoencoder, train, config.autoencoder_training),
        (STAGES[1], model.prior, learned, config.prior_training),
    ):
        module.train()
        stage = StageTraining(training, 0, Stage(name, module, batch, batch[:2], how), None, None)
        result.append(stage.optimise)
    return result


class Version:
    """A checkout, in a process of its own."""

    def __init__(self, source: Path, recordings: list[dict], threads: int):
        words = [sys.executable, __file__, "--work", json.dumps(recordings), str(source), str(source)]
        env = {**os.environ, "PYTHONPATH": str(source.absolute()), "OMP_NUM_THREADS": str(threads)}
        self._process = subprocess.Popen(words, env=env, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._read() == "ready"

    def step(self, recording: int, stage: int) -> float:
        """Processor milliseconds of a step."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{recording} {stage}\n")
        self._process.stdin.flush()
        return float(self._read())

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def main() -> None:
    assert __doc__ is not None
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--recordings", type=Path, nargs="*", default=[])
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="file of all milliseconds")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(json.loads(options.work))
        return
    recordings = {"demo": {"source": "lorenz", "preset": "ldns-demo", "options": {}}}
    for path in options.recordings:
        whole = {"source": str(path.absolute()), "preset": "ldns", "options": {}}
        recordings |= {path.stem: whole, f"{path.stem}, windows of 1 s": {**whole, "options": {"window_s": 1.0}}}
    versions = [Version(src, list(recordings.values()), options.threads) for src in (options.old, options.new)]
    print("| recording | stage | old, CPU ms (shortest) | new, CPU ms (shortest) | old / new (shortest) |")
    print("| --- | --- | --- | --- | --- |")
    record = {}
    for recording, name in enumerate(recordings):
        for stage, stage_name in enumerate(STAGES):
            for version in versions * 3:
                version.step(recording, stage)
            times = [[version.step(recording, stage) for version in versions] for _ in range(options.pairs)]
            old, new = ((statistics.median(column), min(column)) for column in zip(*times, strict=True))
            cells = [f"{median:.1f} ({least:.1f})" for median, least in (old, new)]
            print(
                f"| {name} | {stage_name} | {' | '.join(cells)} | {old[0] / new[0]:.2f} ({old[1] / new[1]:.2f}) |",
                flush=True,
            )
            record[f"{name}, {stage_name}"] = times
    for version in versions:
        version.close()
    if options.out:
        options.out.write_text(json.dumps(record))


if __name__ == "__main__":
    main()
