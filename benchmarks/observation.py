"""What spike history does to samples: the same rates drawn with it and as Poisson counts, against held-out trials.

    python benchmarks/observation.py RUN [RUN ...] [--repeats 3] [--json FILE]

RUN was fitted with spike history (the default); several are seeds of one training. Held-out likelihood: nats per bin of
held-out counts, given the rates that the autoencoder infers from the same trials, so that both laws are told the same.
Below: distances of samples from held-out trials (`compare`), with the floor of real against real, and the mean
autocorrelation of counts at the first lags (neurons with at least 100 held-out spikes).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from spikeloom.batch import Batch
from spikeloom.data.sources import load_source
from spikeloom.data.spikedata import SpikeData
from spikeloom.evaluation.compare import compare
from spikeloom.evaluation.dynamics import autocorrelation
from spikeloom.models import load_model
from spikeloom.models.base import GenerativeModel
from spikeloom.observation.poisson import Poisson
from spikeloom.workflow import held_out, sample_like
from timing import over_seeds, table

METRICS = ("isi_mean_rmse", "isi_std_rmse", "isi_w1", "fano_rmse", "acf_rmse", "rate_rmse", "count_kl", "corr_slope")
METRICS = (*METRICS, "corr_rmse", "psd_db", "c2st_auc")
LAGS = 4
MIN_SPIKES = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--repeats", type=int, default=3, help="generated trials for each held-out one")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows: dict[str, list[dict[str, float]]] = {}
    for seed, run in enumerate(options.runs):
        for name, values in judged(run, options.repeats, seed).items():
            rows.setdefault(name, []).append(values)
            print(run, name, {k: round(v, 4) for k, v in values.items()}, flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))
    print(table(["", *rows], [[c, *(over_seeds(v, c) for v in rows.values())] for c in next(iter(rows.values()))[0]]))


def judged(run: Path, repeats: int, seed: int) -> dict[str, dict[str, float]]:
    """Scores of samples drawn with history and as Poisson, and their floor."""
    model, data = load_model(run), load_source(run)
    test = held_out(data)
    busy = test.counts.sum((0, 1)) >= MIN_SPIKES
    history, poisson = (likelihood(model, test, law) for law in (model.observation, Poisson()))
    result: dict[str, dict[str, float]] = {}
    for law, bits in (("history", history), ("poisson", poisson)):
        sample = sample_like(model, test, repeats * test.n_trials, seed=seed, observation=law)
        comparison = compare(data, sample, seed=seed)
        values = {"nats per bin": bits} | {m: comparison.metrics[m].value for m in METRICS}
        floor = {"nats per bin": np.nan} | {m: comparison.metrics[m].floor for m in METRICS}
        result[law] = values | lags(sample, busy) | {"copy share": comparison.memorisation.copy_share}
        result["real"] = floor | lags(test, busy) | {"copy share": np.nan}
    return result


@torch.no_grad()
def likelihood(model: GenerativeModel, data: SpikeData, law: torch.nn.Module) -> float:
    """Negative log-likelihood of held-out counts, in nats per valid bin and neuron."""
    rates = torch.from_numpy(model.rates(data))
    batch = Batch.of(data)
    total = sum(
        float(
            (
                law.nll(batch.counts[i : i + 8], rates[i : i + 8]) * torch.from_numpy(data.valid[i : i + 8, :, None])
            ).sum()
        )
        for i in range(0, data.n_trials, 8)
    )
    return total / (data.lengths.sum() * data.n_neurons)


def lags(data: SpikeData, busy: np.ndarray) -> dict[str, float]:
    """Mean autocorrelation over neurons."""
    mean = np.nanmean(autocorrelation(data.counts, data.lengths, LAGS)[:, busy], axis=1)
    return {f"autocorrelation, lag {k}": float(v) for k, v in enumerate(mean[-LAGS:], start=1)}


if __name__ == "__main__":
    main()
