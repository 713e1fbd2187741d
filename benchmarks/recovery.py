"""How well models infer the true rates of the Lorenz recording from its spikes: R2 on held-out trials.

    python benchmarks/recovery.py [--seeds N] [--models NAME ...] [--out FILE.jsonl]

LFADS, alone and with a controller, beside the autoencoder of LDNS and Gaussian smoothing of each neuron's own counts
(with the width that is best for the truth). A line is written after every training; the same command goes on.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from shared import Lines, machine, over_seeds, parser_of
from spikeloom.bench.tables import markdown_table as table
from spikeloom.data.smoothing import smoothed_counts
from spikeloom.data.sources import load_source
from spikeloom.data.spikedata import SpikeData
from spikeloom.models import model_class
from spikeloom.models.presets import preset_config

# The prior of LDNS takes no part in inference.
LDNS = {"prior_training": {"steps": 1}}
LFADS = {"observation": "poisson", "training": {"steps": 1500, "batch_size": 32, "learning_rate": 5e-3}}
SUBJECTS = {
    "autoencoder of LDNS": ("ldns-demo", LDNS),
    "LFADS": ("lfads", LFADS),
    "LFADS, controller": ("lfads", LFADS | {"controller": {"inputs": 4}}),
}
WIDTHS = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)


def r2(truth: np.ndarray, found: np.ndarray) -> float:
    """Explained share of the variance over trials and bins, mean over neurons."""
    error = np.square(truth - found).sum((0, 1))
    return float(np.mean(1 - error / np.square(truth - truth.mean((0, 1))).sum((0, 1))))


def smoothing(data: SpikeData) -> dict[str, float]:
    """The best that a Gaussian can do."""
    test = data.split("test")
    scores = {w: r2(test.rates, smoothed_counts(test.counts, test.lengths, w)) for w in WIDTHS}
    width = max(scores, key=lambda w: scores[w])
    return {"r2": scores[width], "width": width, "seconds": float("nan")}


def trained(name: str, data: SpikeData, seed: int) -> dict[str, float]:
    """One training, from scratch."""
    preset, changes = SUBJECTS[name]
    config = preset_config(preset, changes)
    model = model_class("ldns" if preset.startswith("ldns") else "lfads").make(data, config, seed)
    start = time.perf_counter()
    model.fit(data, seed=seed)
    spent = time.perf_counter() - start
    return {"r2": r2(data.split("test").rates, model.rates(data.split("test"))), "seconds": spent}


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--models", nargs="+", choices=list(SUBJECTS), default=list(SUBJECTS))
    parser.add_argument("--out", type=Path, default=Path("recovery.jsonl"))
    options = parser.parse_args()
    data = load_source("lorenz")
    lines = Lines(options.out, "model", "seed")
    for seed in range(options.seeds):
        for name in options.models:
            if not lines.has(name, seed):
                lines.add({"model": name, "seed": seed, **trained(name, data, seed)})
    best = smoothing(data)
    rows: list[list[object]] = [[f"Gaussian of {best['width']:g} bins", f"{best['r2']:.3f}", "-"]]
    for name in SUBJECTS:
        of_name = [line for line in lines.rows if line["model"] == name]
        rows.append([name, over_seeds(of_name, "r2"), over_seeds(of_name, "seconds")])
    print(machine())
    print(table(["", "R2 of the true rates", "seconds of training"], rows))


if __name__ == "__main__":
    main()
