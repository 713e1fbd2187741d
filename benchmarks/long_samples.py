"""Samples sixteen times longer than the training trials, against recordings simulated at that length.

    python benchmarks/long_samples.py RUN [-n TRIALS] [--length BINS]

RUN was trained on the Lorenz recording. The reference is a new simulation of the same neurons at the longer length, so
its floor is real against real there. (The simulation z-scores each trajectory over its own window, so long real trials
are not the short ones continued: a part of any difference is the recording's, not the generator's.) Drift is shown by
quarters of the time axis.
"""

from __future__ import annotations

import time
from pathlib import Path

from shared import machine, parser_of
from spikeloom.bench.tables import markdown_table as table
from spikeloom.data.simulated.lorenz import lorenz
from spikeloom.evaluation.compare import compare
from spikeloom.models import load_model


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("-n", type=int, default=40, help="held-out and generated trials")
    parser.add_argument("--length", type=int, default=4096)
    options = parser.parse_args()
    model = load_model(options.run)
    real = lorenz(n_trials=3 * options.n, n_bins=options.length, seed=7, loading_seed=42)
    real = real.assign_splits({"train": 2, "test": 1})
    start = time.perf_counter()
    sample = model.sample(options.n, length=options.length)
    seconds = time.perf_counter() - start
    print(f"{machine()}; {options.n} trials of {options.length} bins in {seconds:.0f} s")
    rows = [
        [key, f"{m.value:.3g}", f"{m.floor:.3g}", f"{m.yardstick:.3g}", f"{m.score:.2f}", m.level.text]
        for key, m in compare(real, sample, n_floor=5).metrics.items()
    ]
    print(table(["metric", "value", "floor", "yardstick", "score", "level"], rows))
    quarter = options.length // 4
    drift = []
    for q in range(4):
        part = slice(q * quarter, (q + 1) * quarter)
        values = [real.counts[:, part].mean(), sample.counts[:, part].mean(), sample.latents[:, part].std()]
        drift.append([q + 1, *(f"{v:.4f}" for v in values)])
    print(table(["quarter", "real mean count", "generated mean count", "generated latent sd"], drift))


if __name__ == "__main__":
    main()
