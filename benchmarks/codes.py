"""Ablation of GNOCCHI on simulated reaching: one choice at a time is changed from the default, all else equal.

    python benchmarks/codes.py [--out RESULTS.jsonl] [--steps 1000] [--seeds 0] [--variants NAME ...]
    python benchmarks/codes.py --table [--out RESULTS.jsonl]

Among the variants is the published recipe at a size that a processor can train (`paper, 128 units`), with and without
its terminal noise repaired. Every variant learns the `activity` of `reaching-ring` and is scored on its test trials:

* draw, others: median R2 over units of a trial drawn for a trial's own code, and for another trial's;
* expected: the same of the mean activity of its own code;
* spread: s.d. of unconditional samples over that of test trials, mean over the leading ten principal components;
* start, target: R2 of linear read-outs of codes in ten folds of the training trials, mean of x and y;
* jump: mean step of positions decoded from drawn activity, from bin to bin, over that of recorded activity; 1 is right;
* mmd, code s.d.: distance of codes from the standard normal, and their least s.d.

Seconds are processor seconds of one thread (set OMP_NUM_THREADS=1). A line is added to RESULTS as soon as a variant is
done; what is there already is not computed again.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from shared import Lines, parser_of
from spikeloom.bench.tables import markdown_table as table
from spikeloom.data.sources import load_source
from spikeloom.data.spikedata import SpikeData
from spikeloom.data.splits import with_default_splits
from spikeloom.evaluation.code_map import LinearMap
from spikeloom.evaluation.codes import unit_r2
from spikeloom.evaluation.mmd import mmd_to_prior
from spikeloom.evaluation.movement import PLACES, PositionDecoder
from spikeloom.models.gnocchi import GNOCCHI
from spikeloom.models.presets import preset_config
from spikeloom.training.engine import Engine

SMALL_PAPER = {
    "hidden": 128,
    "layers": 1,
    "patch": 1,
    "components": None,
    "steps": 200,
    "first_beta": 0.001,
    "last_beta": 0.01,
    "prediction": "noise",
    "training_noise": "step",
    "pure_noise_share": 0.0,
    "sampler": "ddpm",
    "sampling_steps": 200,
}
VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "paper, 128 units": {"diffusion": SMALL_PAPER, "mmd": {"weight": 98.5}},
    "the same, pure_noise_share 0.25": {
        "diffusion": {**SMALL_PAPER, "pure_noise_share": 0.25},
        "mmd": {"weight": 98.5},
    },
    "all values, bins": {"diffusion": {"patch": 1, "components": None, "hidden": 128}},
    "pure_noise_share 0": {"diffusion": {"pure_noise_share": 0.0}},
    "whitening 0": {"diffusion": {"whitening": 0.0}},
    "layers 1": {"diffusion": {"layers": 1}},
    "components 48": {"diffusion": {"components": 48}},
    "prediction noise, clip 5": {"diffusion": {"prediction": "noise", "weight_clip": 5.0}},
    "mmd 0": {"mmd": {"weight": 0.0}},
    "mmd 98.5 literal": {"mmd": {"weight": 98.5, "normalization": "literal"}},
    "mmd 10": {"mmd": {"weight": 10.0}},
    "mmd 98.5": {"mmd": {"weight": 98.5}},
    "mmd 1, median": {"mmd": {"bandwidth": "median"}},
}
COLUMNS = ("draw", "others", "expected", "spread", "start", "target", "jump", "mmd", "code_sd", "seconds")


def scores(model: GNOCCHI, data: SpikeData) -> dict[str, float]:
    """Scores of a trained model."""
    train, test = data.split("train"), data.split("test")
    codes, own = model.codes(train), model.codes(test)
    real = model.activity_of(test)

    def r2(used: np.ndarray) -> tuple[float, np.ndarray]:
        drawn = model.activity_of(model.sample(len(used), codes=used, seed=1))
        return float(np.median(unit_r2(real, drawn))), drawn

    draw, drawn = r2(own)
    expected = np.mean([model.activity_of(model.sample(len(own), codes=own, seed=s)) for s in range(2, 10)], axis=0)
    places = train.trials[list(PLACES)].to_numpy(dtype=np.float64)
    read = LinearMap.fit(codes, places, PLACES).heldout_r2
    decoder = PositionDecoder.fit(model.activity_of(train), train.signals["hand_position"].values)
    steps = [np.abs(np.diff(decoder.decode(x), axis=1)).mean() for x in (drawn, real)]
    return {
        "draw": draw,
        "others": r2(np.roll(own, 1, axis=0))[0],
        "expected": float(np.median(unit_r2(real, expected))),
        "spread": model.spread(data),
        "start": float(read[:2].mean()),
        "target": float(read[2:].mean()),
        "jump": float(steps[0] / steps[1]),
        "mmd": mmd_to_prior(codes),
        "code_sd": float(codes.std(0).min()),
    }


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/codes.jsonl"))
    parser.add_argument("--source", default="reaching-ring")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--table", action="store_true", help="render the results as Markdown")
    options = parser.parse_args()
    lines = Lines(options.out, "variant", "seed", "steps")
    if options.table:
        rows = [[r["variant"], r["seed"], r["steps"], *(f"{r[c]:.3g}" for c in COLUMNS)] for r in lines.rows]
        print(table(["variant", "seed", "steps", *COLUMNS], rows))
        return
    data = with_default_splits(load_source(options.source))
    for seed in options.seeds:
        for name in options.variants:
            if lines.has(name, seed, options.steps):
                continue
            config = preset_config("gnocchi", {"activity": "activity", **VARIANTS[name]}, options.steps)
            model = GNOCCHI.make(data, config, seed)
            start = time.process_time()
            model.fit(data, engine=Engine(device="cpu", seed=seed))
            record = {"variant": name, "seed": seed, "steps": options.steps, "seconds": time.process_time() - start}
            lines.add(record | scores(model, data))


if __name__ == "__main__":
    main()
