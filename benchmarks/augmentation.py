"""Value of generated trials for a decoder that has few recorded ones: the strict curve over the real fraction.

    python benchmarks/augmentation.py SOURCE --target NAME --out DIR [--fractions 0.1 1] [--seeds 3] [reading options]

For every seed a share of the training trials is chosen, a model is trained on that share only (the autoencoder too),
its samples for the behaviour of these trials are added to them. Decoders are tuned on the validation trials, by which
the model's training chooses its weights too, and scored on the held-out trials, beside as many copies
of the real trials, Poisson draws from the rates that the model infers of them, and other cheap ways to more trials.
For a signal there are also samples for the same time courses, slower and faster. Trained models and samples are kept in
DIR: the same command goes on where it was cut.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jsonargparse import ArgumentParser

from spikeloom.bench.trained_models import trained_model
from spikeloom.cli.options import add_load_options, load_options_from
from spikeloom.data.files import load, save
from spikeloom.data.options import LoadOptions
from spikeloom.data.sources import load_source
from spikeloom.data.spikedata import SpikeData
from spikeloom.data.splits import with_default_splits
from spikeloom.decoding.registry import DECODERS, LABEL_DECODERS, Choices
from spikeloom.drawing.style import write_png
from spikeloom.evaluation.augmentation import warped
from spikeloom.evaluation.augmentation_results import AugmentationStudy, DecoderGains, Point
from spikeloom.evaluation.augmentation_study import augmentation_study
from spikeloom.evaluation.estimates import Estimate
from spikeloom.models.presets import preset_config
from spikeloom.report.augmentation_figures import draw_augmentation_study
from spikeloom.training.engine import Engine
from spikeloom.workflow.encoding import inferred
from spikeloom.workflow.sampling import sample_like

RATIOS = 0.5, 1.0, 2.0, 5.0
MOST_GENERATED = 5000


def main() -> None:
    parser = ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=str)
    parser.add_argument(
        "--target", type=str, required=True, help="signal or trial column that is the condition and is decoded"
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--preset", type=str, default="ldns")
    parser.add_argument("--fractions", type=float, nargs="+", default=[0.1, 0.25, 1.0, 0.05, 0.5])
    parser.add_argument("--seeds", type=int, default=3, help="trainings, each with other trials")
    parser.add_argument("--decoder_seeds", type=int, default=3, help="repetitions for every training")
    add_load_options(parser)
    options = parser.parse_args()
    whole = with_default_splits(load_source(options.source, load_options_from(options)))
    found: dict[str, dict[float, list[AugmentationStudy]]] = {}
    for seed in range(options.seeds):
        for fraction in options.fractions:
            folder = options.out / f"{fraction:g}-{seed}"
            for how, each in measured(whole, fraction, seed, folder, options).items():
                found.setdefault(how, {}).setdefault(fraction, []).append(each)
                print(f"seed {seed}, {fraction:g} of the training trials, {how}: {each.verdict}", flush=True)
            for how, by_fraction in found.items():
                merged = over_trainings(by_fraction)
                (options.out / f"{how}.json").write_text(json.dumps(merged.to_dict(), indent=1))
                (options.out / f"{how}.txt").write_text(f"{merged.table()}\n")
                write_png(draw_augmentation_study(merged), options.out / f"{how}.png")
    for how in found:
        print(f"\n== {how}\n" + (options.out / f"{how}.txt").read_text())


def measured(
    whole: SpikeData, fraction: float, seed: int, folder: Path, options: argparse.Namespace
) -> dict[str, AugmentationStudy]:
    """Train on a share of the training trials, and measure the gain from samples for that very share."""
    folder.mkdir(parents=True, exist_ok=True)
    data = share(whole, fraction, seed)
    source = folder / "recording.npz"
    if not source.is_file():
        save(data, source)
    config = preset_config(options.preset, {"condition_on": [options.target]})
    model = trained_model(options.preset, config, folder / "run", str(source), LoadOptions(), Engine(seed=seed)).model
    train = data.split("train")
    n = min(MOST_GENERATED, int(max(RATIOS) * train.n_trials))
    conditions = {"as-recorded": train}
    if options.target in data.signals:
        conditions["warped"] = warped(
            train.select(trials=np.resize(np.arange(train.n_trials), n)), np.random.default_rng(seed)
        )
    decoders = DECODERS if options.target in data.signals else LABEL_DECODERS
    known = [make(Choices()) for name, make in decoders.items() if name != "gru"]
    rates = inferred(model, data).rates
    result = {}
    for how, like in conditions.items():
        path = folder / f"{how}.npz"
        if not path.is_file():
            save(sample_like(model, like, n, seed=seed), path)
        result[how] = augmentation_study(
            data,
            load(path),
            options.target,
            known,
            fractions=(1.0,),
            ratios=RATIOS,
            seeds=options.decoder_seeds,
            rates=rates,
        )
    return result


def share(data: SpikeData, fraction: float, seed: int) -> SpikeData:
    """The recording with a share of its training trials, and all others as they are."""
    train = data.splits["train"]
    kept = np.random.default_rng([seed, 7]).permutation(train)[: round(fraction * len(train))]
    names = {"train": np.sort(kept), "val": data.splits["val"], "test": data.splits["test"]}
    starts = np.cumsum([0, *map(len, names.values())])
    splits = {name: np.arange(a, b) for name, a, b in zip(names, starts, starts[1:])}
    return replace(data.select(trials=np.concatenate(list(names.values()))), splits=splits, rates=None, latents=None)


def over_trainings(found: dict[float, list[AugmentationStudy]]) -> AugmentationStudy:
    """What was measured with several trainings at several shares, as one: every share is strict."""
    largest = max(found)
    of_all = found[largest][0]
    rows = []
    for name in [d.name for d in of_all.decoders]:
        by_fraction = {f: [next(d for d in u.decoders if d.name == name) for u in each] for f, each in found.items()}
        points = [
            averaged([d.at(p.source, 1.0, p.ratio) for d in each], fraction / largest)
            for fraction, each in sorted(by_fraction.items())
            for p in each[0].points
        ]
        last = by_fraction[largest]
        crossed = [mean([getattr(d, which) for d in last]) for which in ("tstr", "trts")]
        rows.append(DecoderGains(name, last[0].settings, crossed[0], crossed[1], tuple(points)))
    tau = float(np.nanmean([u.tau for u in found[largest]])) if len(rows) > 1 else float("nan")
    return replace(of_all, decoders=tuple(rows), tau=tau, seeds=len(found[largest]))


def averaged(points: Sequence[Point | None], fraction: float) -> Point:
    """One point of several trainings."""
    there = [p for p in points if p is not None]
    over = {name: mean([p.over[name] for p in there]) for name in there[0].over}
    score, gain = mean([p.score for p in there]), mean([p.gain for p in there])
    return replace(there[0], fraction=fraction, score=score, gain=gain, over=over)


def mean(estimates: Sequence[Estimate | None]) -> Estimate:
    """Mean over trainings; its error is that of the held-out trials, which all share, and that between trainings."""
    there = [e for e in estimates if e is not None]
    values = np.array([e.value for e in there])
    between = float(values.var(ddof=1) / len(values)) if len(values) > 1 else 0.0
    return Estimate(float(values.mean()), float(np.hypot(np.mean([e.se for e in there]), between**0.5)))


if __name__ == "__main__":
    main()
