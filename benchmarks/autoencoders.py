"""What the autoencoder of LDNS should keep: variants of it, judged by the rich classifier at equal likelihood.

    python benchmarks/autoencoders.py s1 m1 --data DIR --variants base draws --seeds 2 --out DIR [--prior]

Each variant changes fields of the preset ``ldns``. Without ``--prior`` only its autoencoder is trained, and counts are
drawn by the calibrated observation from the rates that it infers for recorded trials: the ceiling of any prior. With
it the whole model is trained, and generates. The classifier learns on training trials and is judged on validation
trials; test trials are not looked at. Beside it, the likelihood of validation counts, each of whose rates is inferred
without it. One JSON file for each cell is written as it is done, and cells that are there are not done again.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

import spikeloom as sl
from spikeloom.data.spikedata import SpikeData
from spikeloom.evaluation.classifier import LearningSets, learning_sets, rich_test
from spikeloom.evaluation.trial_set import TrialSet
from spikeloom.models.ldns import LDNS
from spikeloom.training.batch import Batch
from spikeloom.workflow.heldout_likelihood import masked_rates

RECORDINGS = {
    "s1": ("s1_reach_50ms.npz", {"signals": ("hand_vel",), "window_s": 1.0, "segment": "segment"}),
    "m1": (
        "bci_m1_45ms.npz",
        {
            "condition": "target_angle_deg",
            "neurons": "good_electrode",
            "where": ("trial_type=baselineEvaluation", "success=1", "length<=30"),
        },
    ),
    "hc": ("hc_place_animal1_25ms.npz", {"window_s": 1.0}),
}
VARIANTS = {
    "base": {},
    "32 latents": {"latents": 32},
    "decoder over time": {"decoder_blocks": 1},
    "draws, 0.01": {"kl_penalty": 0.01},
    "draws, 0.03": {"kl_penalty": 0.03},
    "draws, 0.1": {"kl_penalty": 0.1},
    "32 latents, draws, 0.03": {"latents": 32, "kl_penalty": 0.03},
    "draws, 0.03, decoder over time": {"kl_penalty": 0.03, "decoder_blocks": 1},
    "32 latents, draws, 0.03, decoder over time": {"latents": 32, "kl_penalty": 0.03, "decoder_blocks": 1},
}
EACH = 2
"""Generated trials for each recorded one."""


def main() -> None:
    """Measure every cell that is not there, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", nargs="+", choices=RECORDINGS)
    parser.add_argument("--data", type=Path, required=True, help="folder of the recordings")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--seeds", type=int, default=1, help="number of trainings")
    parser.add_argument("--prior", action="store_true", help="train the prior too, and judge what it generates")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    for seed in range(options.seeds):
        for variant in options.variants:
            for name in options.recordings:
                kind = "prior" if options.prior else "rates"
                file = options.out / f"{name}_{_plain(variant)}_{seed}_{kind}.json"
                if not file.exists():
                    cell = measure(name, variant, seed, options)
                    file.write_text(json.dumps(cell, indent=1))
                    print(cell, flush=True)
    (options.out / "autoencoders.md").write_text(table(options.out))


def measure(name: str, variant: str, seed: int, options: argparse.Namespace) -> dict:
    """One cell: train, draw, judge."""
    file, load_options = RECORDINGS[name]
    begun = time.process_time()
    model = trained(options.data / file, load_options, variant, seed, options)
    cost = time.process_time() - begun
    data = sl.load(options.data / file, **load_options)
    members = np.concatenate([model.splits["train"], model.splits["val"]])
    recorded = data[members]
    is_train = np.arange(len(members)) < len(model.splits["train"])
    if options.prior:
        generated = model.sample(EACH * len(members), lengths=np.tile(recorded.lengths, EACH), seed=1)
        some = generated[np.random.default_rng(13).permutation(len(generated.lengths))[:2000]]
    else:
        generated = drawn_rates(model, recorded)
        some = generated[np.flatnonzero(np.tile(is_train, EACH))]
    fitted = recorded[is_train]
    observation = sl.fit_calibrated(replace(fitted, rates=drawn_rates(model, fitted, 1).rates), some)
    drawn = sl.resample_counts(generated, observation, seed=2)
    result = rich_test(sets_of(recorded, is_train, drawn), data.bin_s, 0)
    return {
        "recording": name,
        "variant": variant,
        "seed": seed,
        "judged": "samples" if options.prior else "inferred rates",
        "auc": round(result.auc, 3),
        "se": round(result.se, 3),
        "reasons": result.reasons,
        "validation_nll": round(validation_nll(model, recorded[~is_train]), 5),
        "cpu_s": round(cost),
    }


def trained(source: Path, load_options: dict, variant: str, seed: int, options: argparse.Namespace) -> LDNS:
    """The model, from its run folder where it is there."""
    runs, name = options.out / "runs", f"{source.stem}_{_plain(variant)}_{seed}"
    folder = runs / (f"{name}_prior" if options.prior else name)
    if not (folder / "weights.safetensors").exists():
        lender = runs / name if options.prior and (runs / name / "weights.safetensors").exists() else None
        sl.fit(
            source,
            "ldns",
            out=folder,
            options=sl.LoadOptions(**load_options),
            engine=sl.Engine(seed=seed, device="cpu"),
            autoencoder_from=lender,
            autoencoder=VARIANTS[variant],
            prior_training={} if options.prior else {"steps": 1},
        )
    return LDNS.load(folder)


def _plain(name: str) -> str:
    return name.replace(", ", "_").replace(" ", "-")


def drawn_rates(model: LDNS, recorded: SpikeData, each: int = EACH) -> SpikeData:
    """Rates that the autoencoder infers for recorded trials: of draws of latents, where it draws them."""
    batch = Batch.of(recorded)
    assert batch.counts is not None
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        parts = []
        for _ in range(each):
            latents = model.autoencoder.draw(batch.counts.float(), generator, batch.mask)
            parts.append(model._rates(latents, batch.mask))
    members = np.tile(np.arange(len(batch)), each)
    return replace(recorded[members], rates=torch.cat(parts).numpy())


def sets_of(recorded: SpikeData, is_train: np.ndarray, drawn: SpikeData) -> LearningSets:
    """Training trials to learn from, validation trials to be judged on."""

    def trials(of: SpikeData, members: np.ndarray) -> TrialSet:
        return TrialSet(of.counts[members], of.lengths[members], np.zeros(len(members), np.int64))

    everything = np.arange(len(drawn.lengths))
    sides = (np.flatnonzero(is_train), np.flatnonzero(~is_train))
    learned, judged = (trials(recorded, side) for side in sides)
    return learning_sets(learned, judged, trials(drawn, everything), np.random.default_rng(0))


def validation_nll(model: LDNS, recorded: SpikeData) -> float:
    """Poisson negative log-likelihood a bin and neuron, each rate inferred without its count."""
    batch = Batch.of(recorded)
    assert batch.counts is not None
    rates = masked_rates(model, batch, torch.Generator().manual_seed(11))
    terms = rates - batch.counts * rates.clamp(min=1e-8).log() + torch.lgamma(batch.counts + 1.0)
    valid = torch.ones(terms.shape[:2]) if batch.mask is None else batch.mask[..., 0].float()
    return float((terms * valid[..., None]).sum() / valid.sum() / terms.shape[2])


def table(folder: Path) -> str:
    """All cells that are there."""
    cells = [json.loads(file.read_text()) for file in sorted(folder.glob("*.json"))]
    lines = [
        "| judged | recording | autoencoder | seed | rich AUC | validation nats a bin and neuron | training, CPU s |",
        "|---|---|---|---|---|---|---|",
    ]
    order = list(VARIANTS)
    for c in sorted(cells, key=lambda c: (c["judged"], c["recording"], order.index(c["variant"]), c["seed"])):
        cell = f"{c['auc']:.3f} ± {c['se']:.3f} | {c['validation_nll']:.4f} | {c['cpu_s']}"
        lines.append(f"| {c['judged']} | {c['recording'].upper()} | {c['variant']} | {c['seed']} | {cell} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
