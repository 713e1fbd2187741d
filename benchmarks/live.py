"""A live model: does a decoder of real trials read the movement from its spikes, does it drift, how long is a step?

    python benchmarks/live.py behaviour RUN [RUN ...]
    python benchmarks/live.py drift RUN [--bins 100000]
    python benchmarks/live.py latency [--neurons 50 182 1000] [--steps 20000] [--busy 0 1]

``behaviour`` fits a causal decoder (ridge, counts up to the bin) to the real training trials of each run, and reads the
signal from real test trials, from their rates as the encoder infers them, and from live trials that were driven by the
test trials' signal, bin by bin. ``drift`` runs freely and looks at tenths. ``latency`` times single streams of
untrained models of the given sizes, which take the time of trained ones. All print a table in Markdown.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch

from spikeloom.data.sources import load_source
from spikeloom.data.spikedata import SpikeData
from spikeloom.data.splits import with_default_splits
from spikeloom.models import load_model
from spikeloom.models.live import Live
from spikeloom.workflow.live.decoding import CausalDecoder
from spikeloom.workflow.sampling import sample_like

STREAMS = 20
"""Free runs side by side."""


def r2(wanted: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Share of variance of each dimension."""
    return 1 - np.square(wanted - found).sum(0) / np.square(wanted - wanted.mean(0)).sum(0)


def decoded(decoder: CausalDecoder, data: SpikeData) -> np.ndarray:
    """The signal in all valid bins."""
    found = []
    for trial, length in enumerate(data.lengths):
        decoder.begin()
        found += [decoder.step(counts) for counts in data.counts[trial, :length].astype(np.int64)]
    return np.array(found)


def behaviour(runs: list[Path]) -> None:
    """What a decoder of real trials reads."""
    print("| run | spikes | R2 of each dimension | s.d. of latents | of their steps | mean rate |")
    print("| --- | --- | --- | --- | --- | --- |")
    for run in runs:
        model = load_model(run)
        data = load_source(run)
        signal = next(v.name for v in model.data_spec.variables if v.aligned)
        test = data.split("test")
        decoder = CausalDecoder(data.split("train"), signal)
        wanted = test.signals[signal].values[test.valid]
        generator = torch.Generator().manual_seed(0)
        rates = model.rates(test)
        device = next(model.parameters()).device
        seen = model.observation.sample(torch.from_numpy(rates).to(device), generator).cpu().numpy()
        latents, valid = model.encode(test), test.valid
        scale = latents[valid].std(0)
        steps = np.diff(latents, axis=1)[valid[:, 1:]].std(0)
        sets = {
            "real": test,
            "drawn from inferred rates": SpikeData(seen, bin_s=test.bin_s, lengths=test.lengths),
        }
        for seed in range(3):
            sets[f"driven by the signal alone, seed {seed}"] = sample_like(model, test, seed=seed)
        for name, trials in sets.items():
            score = " / ".join(f"{x:.2f}" for x in r2(wanted, decoded(decoder, trials)))
            own = ("", "")
            if trials.latents is not None:
                z = trials.latents
                own = (
                    f"{float((z[valid].std(0) / scale).mean()):.2f}",
                    f"{float((np.diff(z, axis=1)[valid[:, 1:]].std(0) / steps).mean()):.2f}",
                )
            rate = trials.counts[valid].mean() / test.counts[valid].mean()
            print(f"| {run.name} | {name} | {score} | {own[0]} | {own[1]} | {rate:.3f} |", flush=True)


def drift(run: Path, bins: int) -> None:
    """Free runs by tenths."""
    model = load_model(run)
    assert isinstance(model, Live)
    data = load_source(run).split("train")
    mean, std = (v.cpu().numpy() for v in (model.prior.mean, model.prior.std))
    stream = model.stream(seed=0, n=STREAMS)
    tenth, largest, rows = bins // STREAMS // 10, 0.0, []
    for _ in range(10):
        latents, counts = [], 0.0
        for _ in range(tenth):
            counts += float(stream.step().mean())
            latents.append((stream.latents - mean) / std)
            largest = max(largest, float(stream.rates.max()))
        rows.append((float(np.concatenate(latents).std(0).mean()), counts / tenth))
    recorded = data.counts[data.valid].mean()
    print(f"{run.name}: {STREAMS} streams of {tenth * 10} bins; recorded mean {recorded:.4f} spikes a bin\n")
    print("| tenth | " + " | ".join(str(i + 1) for i in range(10)) + " |")
    print("| --- " * 11 + "|")
    print("| s.d. of latents | " + " | ".join(f"{sd:.3f}" for sd, _ in rows) + " |")
    print("| rate over recorded | " + " | ".join(f"{rate / recorded:.3f}" for _, rate in rows) + " |")
    guards = stream.guards
    print(f"\nLargest rate {largest:.1f} (recorded largest count {int(data.counts.max())}); of {guards.drawn} bins ")
    print(
        f"{guards.projected} were drawn back to the ellipsoid of training latents, {guards.floored} as wide as may be."
    )


def latency(neurons: list[int], steps: int, busy: list[int]) -> None:
    """Time of a step of a single stream."""
    torch.set_num_threads(1)
    print("| neurons | busy processes | steps | p50 (µs) | p99 | p99.9 | longest |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for n in neurons:
        rng = np.random.default_rng(0)
        data = with_default_splits(SpikeData(rng.poisson(0.3, (30, 40, n)), bin_s=0.02))
        model = Live(max_steps=2).fit(data)
        for k in busy:
            others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(k)]
            try:
                for compiled in (False, True):
                    stream = model.stream(seed=0, compiled=compiled)
                    for _ in range(steps):
                        stream.step()
                        time.sleep(0)
                    times = " | ".join(f"{1e6 * v:.0f}" for v in stream.latency().values())
                    print(f"| {n} | {k} | {'compiled' if compiled else 'NumPy'} | {times} |", flush=True)
            finally:
                for other in others:
                    other.kill()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["behaviour", "drift", "latency"])
    parser.add_argument("runs", type=Path, nargs="*")
    parser.add_argument("--bins", type=int, default=100_000)
    parser.add_argument("--neurons", type=int, nargs="+", default=[50, 182, 1000])
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--busy", type=int, nargs="+", default=[0, 1])
    options = parser.parse_args()
    if options.part == "latency":
        latency(options.neurons, options.steps, options.busy)
    elif options.part == "behaviour":
        behaviour(options.runs)
    else:
        for run in options.runs:
            drift(run, options.bins)


if __name__ == "__main__":
    main()
