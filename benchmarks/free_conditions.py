"""What a model with conditions draws when none is named, beside one without conditions.

    python benchmarks/free_conditions.py RUN --condition NAME:KIND --out FOLDER

RUN is a trained ``ldns`` without conditions; a prior with the condition is trained on the same autoencoder. Each draws
four trials for each training trial, of its length: with the condition left to the network, without naming one, and for
the conditions of the training trials. Powers of the latents are relative to those of the training trials (low, middle
and high frequencies).
"""

from __future__ import annotations

import argparse
import json
import warnings
from pathlib import Path

import numpy as np

import spikeloom as sl
from spikeloom.models.ldns import LDNS

EACH = 4
"""Generated trials for each training trial."""


def main() -> None:
    """Train the conditional prior unless it is there, draw, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--condition", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    record = json.loads((options.run / "data.json").read_text())
    if not (options.out / "weights.safetensors").exists():
        sl.fit(
            record["source"],
            "ldns",
            out=options.out,
            options=sl.LoadOptions(**record["load_options"]),
            engine=sl.Engine(seed=options.seed, device="cpu"),
            autoencoder_from=options.run,
            condition_on=(options.condition,),
        )
    data = sl.load(record["source"], **record["load_options"])
    train = data[np.array(record["splits"]["train"])]
    name = options.condition.partition(":")[0]
    free, conditional = LDNS.load(options.run), LDNS.load(options.out)
    lengths = np.tile(train.lengths, EACH)
    known = {name: np.tile(np.asarray(train.trials[name]), EACH)}
    recorded = free.encode(train)
    print("| model | condition | power of latents | variance of trial means |\n|---|---|---|---|")
    print(f"| training trials | | 1, 1, 1 | {between(recorded, train.lengths, recorded, train.lengths):.3f} |")
    for model, words, request in (
        (free, "none", None),
        (conditional, "left to the network", {name: [None] * len(lengths)}),
        (conditional, "none: those of training trials, drawn at random", None),
        (conditional, "those of the training trials", known),
    ):
        drawn = model.sample(len(lengths), lengths=lengths, seed=3, condition=request)
        powers = ", ".join(f"{power:.2f}" for power in drawn.provenance["spectrum_ratio"])
        assert drawn.latents is not None
        variance = between(drawn.latents, lengths, recorded, train.lengths)
        print(
            f"| {'without' if model is free else 'with'} conditions | {words} | {powers} | {variance:.3f} |", flush=True
        )


def between(latents: np.ndarray, lengths: np.ndarray, recorded: np.ndarray, recorded_lengths: np.ndarray) -> float:
    """Variance between the means of trials, in variances of the recorded latents."""
    variance = recorded[np.arange(recorded.shape[1]) < recorded_lengths[:, None]].var(axis=0)
    inside = (np.arange(latents.shape[1]) < lengths[:, None])[..., None]
    means = (latents * inside).sum(axis=1) / lengths[:, None]
    return float((means.var(axis=0) / variance).mean())


if __name__ == "__main__":
    main()
