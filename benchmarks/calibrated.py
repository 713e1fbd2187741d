"""What calibration on samples changes: classifiers before and after, on the same generated rates.

    python benchmarks/calibrated.py RUN [RUN ...] --out calibrated.md

For each run folder of a trained model, rates are generated once, two trials for each recorded one. Counts are drawn
from them as Poisson, by spike history and by the calibrated observation, both fitted here to training trials only.
Classifiers learn on training and validation trials against as many generated ones, and are judged on the unseen test
trials, as in ``docs/verdict.md``.
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
from spikeloom.models.spiking import CALIBRATION_SEED, MATCHING
from spikeloom.observation.poisson import Poisson
from spikeloom.workflow.network_classifier import network_test

EACH = 2
"""Generated trials for each recorded one."""
HEADER = (
    "| run | observation | rich AUC | network AUC | fit, CPU s | draw, CPU s | where the classifier looks |",
    "|---|---|---|---|---|---|---|",
)


def main() -> None:
    """Measure every run, and write the table after each row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    rows: list[str] = [*HEADER]
    for folder in options.runs:
        for row in measure(folder):
            rows.append(row)
            print(row, flush=True)
            options.out.write_text("\n".join(rows) + "\n")


def measure(folder: Path):
    """Rows of one run."""
    record = json.loads((folder / "data.json").read_text())
    data = sl.load(record["source"], **record["load_options"])
    splits = {name: np.array(members) for name, members in record["splits"].items()}
    model = sl.load_model(folder)
    lengths = np.tile(data.lengths, EACH)
    generated = model.sample(len(lengths), lengths=lengths, seed=1)
    train = data[splits["train"]]
    recorded = replace(train, rates=model.rates(train))
    some = generated[np.random.default_rng(CALIBRATION_SEED).permutation(len(lengths))[:MATCHING]]
    mean = torch.as_tensor(train.counts.sum((0, 1)) / train.lengths.sum())
    for name in ("poisson", "history", "calibrated"):
        begun = time.process_time()
        if name == "poisson":
            observation = Poisson()
        elif name == "history":
            observation = sl.fit_history(recorded)
            rates = torch.as_tensor(some.rates)
            observation.calibrate(rates, torch.as_tensor(some.lengths), mean.float(), torch.Generator().manual_seed(3))
        else:
            observation = sl.fit_calibrated(recorded, some)
        fitted = time.process_time()
        drawn = sl.resample_counts(generated, observation, seed=2)
        finished = time.process_time()
        sets = _sets(data, splits, drawn)
        rich, network = rich_test(sets, data.bin_s, 0), network_test(sets, data.bin_s, 0)
        areas = " | ".join(f"{test.auc:.3f} ± {test.se:.3f}" for test in (rich, network))
        cost = f"{fitted - begun:.1f} | {finished - fitted:.2f}"
        yield f"| {folder.parent.parent.name}/{folder.name} | {name} | {areas} | {cost} | {'; '.join(rich.reasons)} |"


def _sets(data: SpikeData, splits: dict[str, np.ndarray], drawn: SpikeData) -> LearningSets:
    learn, test = np.concatenate([splits["train"], splits["val"]]), splits["test"]

    def trials(of: SpikeData, members: np.ndarray) -> TrialSet:
        return TrialSet(of.counts[members], of.lengths[members], np.zeros(len(members), np.int64))

    everything = np.arange(len(drawn.lengths))
    return learning_sets(trials(data, learn), trials(data, test), trials(drawn, everything), np.random.default_rng(0))


if __name__ == "__main__":
    main()
