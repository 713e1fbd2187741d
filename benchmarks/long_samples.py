"""Samples far longer than the training trials, against recordings of that length, and whether they drift.

    python benchmarks/long_samples.py recording windows.npz      # windows of 256 bins of long trajectories
    spikeloom fit windows.npz --model ldns-demo --prior.context 0.6 --out runs/long
    python benchmarks/long_samples.py measure runs/long [-n TRIALS] [--length BINS] [--drift BINS]

The recording consists of windows of trajectories of 4096 bins that were z-scored as a whole. (Windows of the Lorenz
recording of LDNS are z-scored each over itself, so each has mean 0 and deviation 1, which no continuation can have.)
The reference is a new simulation of the same neurons, cut from trajectories that are longer again (z-scored over
itself, a trial would have no mean of its own). Drift is shown by quarters of the time axis of a few trials that are
longer again: the difference of the last and the first quarter, with its standard error.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from shared import machine, parser_of
from spikeloom.bench.tables import markdown_table as table
from spikeloom.data.files import save
from spikeloom.data.simulated.lorenz import lorenz
from spikeloom.data.spikedata import SpikeData
from spikeloom.evaluation.compare import compare
from spikeloom.models import load_model

WINDOW, LENGTH = 256, 4096
TRAJECTORIES = 280
"""Their windows are as many as the trials of the Lorenz recording, and a tenth fewer."""
SEED, REFERENCE_SEED = 42, 7


def recording() -> SpikeData:
    """Windows of long trajectories, without their true rates; a trajectory lies in one split."""
    trajectories = lorenz(n_trials=TRAJECTORIES, n_bins=LENGTH, seed=SEED)
    return replace(trajectories, rates=None, latents=None, signals={}).window(WINDOW)


def reference(n: int, length: int) -> SpikeData:
    """Pieces of new trajectories of the same neurons, each of a trajectory four times as long, z-scored as a whole."""
    trajectories = lorenz(n_trials=n, n_bins=4 * length, seed=REFERENCE_SEED, loading_seed=SEED)
    pieces = replace(trajectories, rates=None, latents=None, signals={}).window(length, step=4 * length)
    return pieces.assign_splits({"train": 2, "test": 1})


def of_quarters(sample: SpikeData) -> list[tuple[str, np.ndarray]]:
    """(trial, quarter) of what may drift: mean count, and deviation of latents over all bins and within windows."""
    quarter = sample.n_bins // 4
    assert sample.latents is not None
    scaled = sample.latents / sample.latents.std((0, 1))
    counts = [sample.counts[:, q * quarter : (q + 1) * quarter] for q in range(4)]
    latents = [scaled[:, q * quarter : (q + 1) * quarter] for q in range(4)]
    within = [z[:, : quarter // WINDOW * WINDOW].reshape(len(z), -1, WINDOW, z.shape[2]) for z in latents]
    return [
        ("mean count", np.stack([c.mean((1, 2)) for c in counts], 1)),
        ("latent sd", np.stack([z.std(1).mean(1) for z in latents], 1)),
        ("latent sd within 256 bins", np.stack([w.std(2).mean((1, 2)) for w in within], 1)),
        ("step of latents", np.stack([np.abs(np.diff(z, axis=1)).mean((1, 2)) for z in latents], 1)),
    ]


def drift_table(sample: SpikeData) -> str:
    """Quarters, and how far the last is from the first in standard errors."""
    rows = []
    for name, values in of_quarters(sample):
        change = values[:, 3] - values[:, 0]
        error = change.std(ddof=1) / len(change) ** 0.5
        rows.append([name, *(f"{v:.4f}" for v in values.mean(0)), f"{change.mean():+.4f} ± {error:.4f}"])
    return table([f"{sample.n_trials} x {sample.n_bins} bins", "1st quarter", "2nd", "3rd", "4th", "4th - 1st"], rows)


def measure(run: Path, n: int, length: int, drift: int, drift_trials: int) -> None:
    """Print the comparison with long recordings, and drift."""
    model = load_model(run)
    real = reference(3 * n, length)
    start = time.perf_counter()
    sample = model.sample(n, length=length)
    print(f"{machine()}; {n} trials of {length} bins in {time.perf_counter() - start:.0f} s\n", flush=True)
    rows = [
        [key, f"{m.value:.3g}", f"{m.floor:.3g}", f"{m.yardstick:.3g}", f"{m.score:.2f}", m.level.text]
        for key, m in compare(real, sample, n_floor=5).metrics.items()
    ]
    print(table(["metric", "value", "floor", "yardstick", "score", "level"], rows), flush=True)
    print(f"\nmean count of the recording {real.counts.mean():.4f}, of the sample {sample.counts.mean():.4f}\n")
    print(drift_table(sample) + "\n", flush=True)
    if drift:
        print(drift_table(model.sample(drift_trials, length=drift, seed=1)), flush=True)


def main() -> None:
    """Write the recording, or measure a run."""
    parser = parser_of(__doc__)
    parser.add_argument("what", choices=("recording", "measure"))
    parser.add_argument("path", type=Path, help="file to write, or run to measure")
    parser.add_argument("-n", type=int, default=40, help="held-out and generated trials")
    parser.add_argument("--length", type=int, default=LENGTH)
    parser.add_argument("--drift", type=int, default=65536, help="bins of the trials that must not drift; 0 for none")
    parser.add_argument("--drift_trials", type=int, default=8)
    options = parser.parse_args()
    if options.what == "recording":
        save(recording(), options.path)
    else:
        measure(options.path, options.n, options.length, options.drift, options.drift_trials)


if __name__ == "__main__":
    main()
