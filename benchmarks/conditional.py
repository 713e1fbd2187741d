"""Behaviour in, behaviour out: decode from generated spikes what they were asked for.

    python benchmarks/conditional.py RUN [RUN ...] [--guidance 1 2 3] [--repeats 5] [--json FILE]

RUN was fitted with --condition_on; several are seeds of one training. A decoder is learned from the recorded training
trials: ridge regression over neighbouring bins for a signal, a linear discriminant for a trial column. Ceiling: the
decoder on recorded held-out trials. Generated trials are asked for the conditions of the held-out ones, as often as
--repeats says, and never seen by the decoder before. Controls: the same samples judged against the condition of another
held-out trial, and samples that were asked for nothing. Beside, what guidance costs: distances of
the spike statistics from held-out trials (`compare`), with the floor of real against real.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from spikeloom.data.sources import load_source
from spikeloom.data.spikedata import SpikeData
from spikeloom.decoding.label import LabelDecoder
from spikeloom.decoding.ridge import LaggedRidge
from spikeloom.evaluation.compare import compare
from spikeloom.evaluation.decoder_scores import score_decoder
from spikeloom.models import load_model
from spikeloom.workflow.sampling import held_out, sample_like
from timing import over_seeds, table

METRICS = ("count_kl", "rate_rmse", "corr_slope", "fano_rmse", "isi_w1", "acf_rmse", "psth_err", "c2st_auc")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--guidance", type=float, nargs="+", default=[1.0, 2.0, 3.0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows: dict[str, list[dict[str, float]]] = {}
    for seed, run in enumerate(options.runs):
        for name, values in judged(run, options.guidance, options.repeats, seed).items():
            rows.setdefault(name, []).append(values)
            print(run, name, {k: round(v, 3) for k, v in values.items()}, flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))
    columns = list(dict.fromkeys(k for values in rows.values() for k in values[0]))
    print(table(["trials", *columns], [[name, *(over_seeds(rows[name], c) for c in columns)] for name in rows]))


def judged(run: Path, guidances: list[float], repeats: int, seed: int) -> dict[str, dict[str, float]]:
    """Scores by kind of trials."""
    model, data = load_model(run), load_source(run)
    test = held_out(data)
    decoders = {
        v.name: (LaggedRidge() if v.aligned else LabelDecoder()).fit(data.split("train"), v.name)
        for v in model.data_spec.variables
    }
    asked = test.select(trials=np.tile(np.arange(test.n_trials), repeats))

    def decoded(spikes: SpikeData, wanted: SpikeData) -> dict[str, float]:
        return {f"{name} decoded": score_decoder(decoder, spikes, wanted).value for name, decoder in decoders.items()}

    result = {"real, held out (ceiling)": decoded(test, test)}
    aligned = any(v.aligned for v in model.data_spec.variables)
    swapped = test.select(trials=another(test.lengths if aligned else np.ones_like(test.lengths)))
    other = swapped.select(trials=np.tile(np.arange(test.n_trials), repeats))
    for guidance in guidances:
        sample = sample_like(model, asked, seed=seed, guidance=guidance)
        comparison = compare(data, sample, seed=seed)
        shown = {m: comparison.metrics[m].value for m in METRICS if m in comparison.metrics}
        result[f"generated, guidance {guidance:g}"] = decoded(sample, asked) | shown
        if guidance == guidances[0]:
            floors = {m: comparison.metrics[m].floor for m in shown}
            result["real, held out (ceiling)"] |= floors
            result["the same, against another trial's condition"] = decoded(sample, other)
    free = replace(model.sample(asked.n_trials, lengths=asked.lengths, seed=seed), signals={})
    result["generated, nothing asked"] = decoded(free, asked)
    return result


def another(lengths: np.ndarray) -> np.ndarray:
    """For each trial another one of the same length, where there is one."""
    rng = np.random.default_rng(0)
    index = np.arange(len(lengths))
    for length in np.unique(lengths):
        same = rng.permutation(np.flatnonzero(lengths == length))
        index[same] = np.roll(same, 1)
    return index


if __name__ == "__main__":
    main()
