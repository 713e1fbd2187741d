"""Several sessions and adaptation: do latents agree across sessions, and what do a few trials of a new one suffice for?

    python benchmarks/sessions.py several --out several.jsonl [--seeds 0 1 2]
    python benchmarks/sessions.py trials --out trials.jsonl [--seeds 0 1 2] [--trials 5 10 20 50 200] [--scratch]
    python benchmarks/sessions.py drift --out drift.jsonl [--seeds 0 1 2]
    python benchmarks/sessions.py s1 RECORDING --out s1.jsonl [--seeds 0 1 2]
    python benchmarks/sessions.py table FILE

``several`` fits five sessions of the Lorenz system, of 60 other neurons each, to one model. ``trials`` fits one,
adapts it to another from some trials, and (``--scratch``) trains on the same trials alone, all of which that model is
given too. ``drift`` changes a session whose truth is known: tuning turned, gains changed, neurons lost. ``s1`` divides
a recording with ``hand_vel`` into two pseudo-sessions of disjoint neurons and disjoint windows.

Every row is a line of JSON, written when it is known; rows that the file has are not computed again. Models are small
(``SMALL``) and Poisson. Discrepancies of samples are those of ``spikeloom.compare`` with the held-out trials.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

import spikeloom as sl
from spikeloom.data.simulated.lorenz import BIAS, SHARPNESS, lorenz
from spikeloom.data.sources import load_source
from spikeloom.data.splits import with_default_splits
from spikeloom.evaluation.compare import compare
from spikeloom.evaluation.session_alignment import explained
from spikeloom.models.latent import LatentModel
from spikeloom.models.sessions.adapting import bank_of, chosen_trials
from spikeloom.training.engine import Engine
from spikeloom.workflow.alignment import alignment_with_bank, alignments
from spikeloom.workflow.scratch import trained_from_scratch

SMALL: dict[str, Any] = {
    "observation": "poisson",
    "autoencoder": {"channels": 32, "latents": 8, "encoder_blocks": 2, "state": 16},
    "prior": {"channels": 48, "blocks": 3, "state": 16, "patch": 4},
    "autoencoder_training": {"steps": 1200, "batch_size": 16},
    "prior_training": {"steps": 900},
}
N_TRIALS, N_BINS, N_NEURONS = 400, 128, 60
NEW = 9
"""Number of the session to which others are adapted."""
METRICS = ("count_kl", "corr_rmse", "isi_mean_rmse", "rate_rmse", "c2st_basic")
SAMPLES = 160


def lorenz_session(number: int) -> sl.SpikeData:
    """A session of the Lorenz system: the same dynamics, other trials and other neurons."""
    return lorenz(N_TRIALS, N_BINS, N_NEURONS, seed=100 + number, loading_seed=100 + number)


class Rows:
    """Rows of a table in a file, a line of JSON each."""

    def __init__(self, path: Path):
        self.path = path
        self.known = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def missing(self, **key: Any) -> bool:
        """Whether no row has these values."""
        return not any(all(row.get(k) == v for k, v in key.items()) for row in self.known)

    def add(self, **row: Any) -> None:
        """Write a row."""
        rounded = {k: round(float(v), 4) if isinstance(v, float | np.floating) else v for k, v in row.items()}
        with self.path.open("a") as file:
            file.write(json.dumps(rounded) + "\n")
        self.known.append(rounded)
        print(rounded, flush=True)


def quality(model: LatentModel, data: sl.SpikeData, seed: int) -> dict[str, float]:
    """Rates of held-out trials against the truth, where that is known, and samples against held-out trials."""
    test, found = data.split("test"), {}
    if test.rates is not None:
        rates, truth = (values.reshape(-1, test.n_neurons) for values in (model.rates(test), test.rates))
        found["rate_r2"] = 1 - float(np.square(rates - truth).sum() / np.square(truth - truth.mean(0)).sum())
    scored = dataclasses.replace(data, rates=None, latents=None)
    comparison = compare(scored, model.sample(SAMPLES, seed=seed), seed=seed)
    return found | {name: float(comparison.metrics[name].value) for name in METRICS}


def agreement(model: LatentModel, data: sl.SpikeData, signal: str) -> dict[str, float]:
    """How the latents of an adapted model agree with the bank."""
    found = alignment_with_bank(model, data, bank_of(model))
    return {
        "across": found.across.get(signal, float("nan")),
        "within": found.within.get(signal, float("nan")),
        "id": found.identity,
        "mmd": found.discrepancy,
    }


def several(rows: Rows, seeds: list[int]) -> None:
    """Five sessions, one model."""
    data = {f"s{number}": lorenz_session(number) for number in range(5)}
    for seed in seeds:
        if not rows.missing(seed=seed):
            continue
        started = time.process_time()
        model = sl.fit(data, "ldns", engine=Engine(seed=seed, device="cpu"), reference="s0", **SMALL)
        seconds = time.process_time() - started
        found = alignments(model, data)
        for name in model.names:
            each = found[name]
            rows.add(
                seed=seed,
                session=name,
                across=each.across["state"],
                within=each.within["state"],
                id=each.identity,
                mmd=each.discrepancy,
                **quality(model[name], data[name], seed),
                cpu_s=seconds,
            )


def trials(rows: Rows, seeds: list[int], numbers: list[int], scratch: bool) -> None:
    """One session, adapted to another from some of its trials."""
    new = lorenz_session(NEW)
    for seed in seeds:
        reference = None
        for k in numbers:
            for kind in ("adapted", "scratch") if scratch else ("adapted",):
                if not rows.missing(seed=seed, trials=k, kind=kind):
                    continue
                if kind == "adapted":
                    reference = reference or fitted(lorenz_session(0), seed)
                    started = time.process_time()
                    model = reference.adapt(new, k, seed=seed)
                else:
                    started = time.process_time()
                    model = alone(new, k, seed)
                seconds = time.process_time() - started
                found = agreement(model, chosen_trials(new, k, seed), "state") if kind == "adapted" else {}
                rows.add(kind=kind, trials=k, seed=seed, **found, **quality(model, new, seed), cpu_s=seconds)


def fitted(data: sl.SpikeData, seed: int) -> Any:
    """A model of one session."""
    return sl.fit(data, "ldns", engine=Engine(seed=seed, device="cpu"), **SMALL)


def alone(data: sl.SpikeData, k: int, seed: int) -> LatentModel:
    """A model of a few trials alone, for as many steps as a held-back fifth of them finds best."""
    untrained = sl.LDNS("ldns", **SMALL)
    return trained_from_scratch(untrained, chosen_trials(data, k, seed), Engine(seed=seed, device="cpu"))


def drifted(first: sl.SpikeData, kind: str, seed: int) -> sl.SpikeData:
    """The same neurons on a later day: other trials of the system, with a change whose size is known.

    Args:
        first: The first day.
        kind: "none"; "turned", tuning turned by 30 degrees in the plane of x and y; "gains", each neuron's modulation
            times a number between a half and one and a half; "lost", a third of the neurons silent; "all" of them.
        seed: Seed of the trials and of the change.
    """
    rng = np.random.default_rng([seed, 0xD21F])
    loading = first.neurons[["loading_x", "loading_y", "loading_z"]].to_numpy(np.float64).copy()
    if kind in ("turned", "all"):
        c, s = np.cos(np.pi / 6), np.sin(np.pi / 6)
        loading = loading @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])
    if kind in ("gains", "all"):
        loading *= rng.uniform(0.5, 1.5, (len(loading), 1))
    later = lorenz(N_TRIALS, N_BINS, N_NEURONS, seed=500 + seed)
    assert later.latents is not None
    rates = np.logaddexp(0, SHARPNESS * (later.latents @ loading.T + BIAS)) / SHARPNESS
    if kind in ("lost", "all"):
        rates[..., rng.permutation(N_NEURONS)[: N_NEURONS // 3]] = 1e-4
    rates = rates.astype(np.float32)
    return dataclasses.replace(
        later, counts=rng.poisson(rates).astype(np.uint8), rates=rates, neurons=pd.DataFrame(index=range(N_NEURONS))
    )


def drift(rows: Rows, seeds: list[int]) -> None:
    """The same neurons later: the old model as it is, adapted from its own read-out, or as if to new neurons."""
    first = lorenz_session(0)
    for seed in seeds:
        model = None
        for kind in ("none", "turned", "gains", "lost", "all"):
            later = drifted(first, kind, seed)
            for k in (0, 5, 20):
                for same in (True, False) if k else (True,):
                    key = {"drift": kind, "trials": k, "same_neurons": same, "seed": seed}
                    if not rows.missing(**key):
                        continue
                    model = model or fitted(first, seed)
                    adapted = model.adapt(later, k, same_neurons=same, seed=seed) if k else model
                    found = agreement(adapted, chosen_trials(later, k, seed), "state") if k else old_day(model, later)
                    rows.add(**key, **found, **quality(adapted, later, seed))


def old_day(model: LatentModel, later: sl.SpikeData) -> dict[str, float]:
    """What the decoder of the first day reads on the later one, without adaptation."""
    bank, test = bank_of(model), later.split("test")
    read = bank.head.read(bank.scaled(torch.from_numpy(model.encode(test)))).numpy()
    truth = bank.head.variables[0].features(test.signals["state"].values)
    return {"across": explained(read[test.valid], truth[test.valid])}


def halves(path: Path, seed: int) -> Iterator[sl.SpikeData]:
    """Two pseudo-sessions: every other neuron by mean rate, and every other window, at random."""
    data = load_source(path, sl.LoadOptions(window_s=1.6))
    neurons = np.argsort(-data.counts.mean((0, 1)))
    windows = np.random.default_rng(seed).permutation(data.n_trials)
    for half in range(2):
        chosen, of = np.sort(windows[half::2]), np.sort(neurons[half::2])
        part = data[chosen]
        part = dataclasses.replace(
            part, counts=part.counts[..., of], neurons=part.neurons.iloc[of].reset_index(drop=True)
        )
        yield with_default_splits(dataclasses.replace(part, splits={}))


def s1(rows: Rows, path: Path, seeds: list[int]) -> None:
    """Two pseudo-sessions of a recording with a velocity."""
    small = {**SMALL, "autoencoder": {**SMALL["autoencoder"], "latents": 6, "channels": 36}}
    small |= {"autoencoder_training": {"steps": 700, "batch_size": 16}, "prior_training": {"steps": 450}}
    for seed in seeds:
        first, second = halves(path, seed)
        if not rows.missing(seed=seed):
            continue
        engine = Engine(seed=seed, device="cpu")
        reference, own = (sl.fit(data, "ldns", engine=engine, **small) for data in (first, second))
        rows.add(
            kind="own model",
            trials=len(second.splits["train"]),
            seed=seed,
            **likelihood(own, second),
            **quality(own, second, seed),
        )
        for k in (5, 10, 20, 50, None):
            model = reference.adapt(second, k, seed=seed)
            chosen = chosen_trials(second, k, seed)
            n = len(chosen.splits["train"])
            found = agreement(model, chosen, "hand_vel") | likelihood(model, second)
            rows.add(kind="adapted", trials=n, seed=seed, **found, **quality(model, second, seed))


def likelihood(model: LatentModel, data: sl.SpikeData) -> dict[str, float]:
    """Negative log-likelihood of held-out counts given the rates inferred from them, in nats per bin and neuron."""
    test = data.split("test")
    rates = model.rates(test)[test.valid]
    counts = test.counts[test.valid].astype(np.float64)
    return {"nll": float((rates - counts * np.log(rates + 1e-8)).mean())}


def table(path: Path) -> None:
    """Means over seeds (and sessions), with the range where there are several, as Markdown."""
    frame = pd.DataFrame(Rows(path).known)
    keys = [name for name in ("kind", "drift", "same_neurons", "trials") if name in frame]
    values = [name for name in frame if name not in (*keys, "seed", "session")]
    print("| " + " | ".join([*keys, "n", *values]) + " |")
    print("|" + " --- |" * (len(keys) + 1 + len(values)))
    for key, group in frame.groupby(keys, sort=False) if keys else [((), frame)]:
        cells = [
            f"{group[v].mean():.4g}" + (f" ({group[v].min():.3g}-{group[v].max():.3g})" if len(group) > 1 else "")
            for v in values
        ]
        print("| " + " | ".join([*map(str, key), str(len(group)), *cells]) + " |")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("several", "trials", "drift", "s1", "table"))
    parser.add_argument("path", type=Path, nargs="?")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--trials", type=int, nargs="+", default=[5, 10, 20, 50, 200])
    parser.add_argument("--scratch", action="store_true")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    if options.what == "table":
        table(options.path)
        return
    rows = Rows(options.out)
    if options.what == "several":
        several(rows, options.seeds)
    elif options.what == "trials":
        trials(rows, options.seeds, options.trials, options.scratch)
    elif options.what == "drift":
        drift(rows, options.seeds)
    else:
        s1(rows, options.path, options.seeds)


if __name__ == "__main__":
    main()
