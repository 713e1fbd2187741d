"""Guidance against realism: decode the conditions of samples from their spikes, and score these spikes.

    python benchmarks/conditional.py RUN [RUN ...] [--guidance 1 2 3] [--repeats 5] [--json FILE]

RUN was fitted with --condition_on; several are seeds of one training. A decoder is learned from the recorded training
trials: ridge regression over neighbouring bins for a signal, a linear discriminant for a trial column. Ceiling: the
decoder on recorded held-out trials. Samples are conditioned on the conditions of the held-out trials, --repeats times
each. Baselines: the same samples against the condition of another held-out trial, and samples without a condition.
The costs of guidance stand beside it: distances of the spike statistics from held-out trials (`compare`), with the
floor of real against real. (`spikeloom bench conditional` trains models for such questions about reaches; this script
takes trained runs with any condition.)
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from shared import over_seeds, parser_of, scores_of_runs
from spikeloom.bench.tables import markdown_table as table
from spikeloom.data.sources import load_source
from spikeloom.data.spikedata import SpikeData
from spikeloom.decoding.label import LabelDecoder
from spikeloom.decoding.ridge import LaggedRidge
from spikeloom.evaluation.compare import compare
from spikeloom.evaluation.decoder_scores import score_decoder
from spikeloom.models import load_model
from spikeloom.workflow.sampling import held_out, sample_like

METRICS = (
    "count_kl",
    "rate_rmse",
    "corr_slope",
    "fano_rmse",
    "isi_w1",
    "acf_rmse",
    "psth_err",
    "c2st_basic",
    "c2st_rich",
)


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--guidance", type=float, nargs="+", default=[1.0, 2.0, 3.0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = scores_of_runs(
        options.runs, lambda run, seed: scores(run, options.guidance, options.repeats, seed), options.json
    )
    columns = list(dict.fromkeys(k for values in rows.values() for k in values[0]))
    print(table(["trials", *columns], [[name, *(over_seeds(rows[name], c) for c in columns)] for name in rows]))


def scores(run: Path, guidances: list[float], repeats: int, seed: int) -> dict[str, dict[str, float]]:
    """Scores by kind of trials."""
    model, data = load_model(run), load_source(run)
    test = held_out(data)
    decoders = {
        v.name: (LaggedRidge() if v.aligned else LabelDecoder()).fit(data.split("train"), v.name)
        for v in model.data_spec.variables
    }
    requested = test.select(trials=np.tile(np.arange(test.n_trials), repeats))

    def decoded(spikes: SpikeData, wanted: SpikeData) -> dict[str, float]:
        return {f"{name} decoded": score_decoder(decoder, spikes, wanted).value for name, decoder in decoders.items()}

    result = {"real, held out (ceiling)": decoded(test, test)}
    aligned = any(v.aligned for v in model.data_spec.variables)
    swapped = test.select(trials=another(test.lengths if aligned else np.ones_like(test.lengths)))
    other = swapped.select(trials=np.tile(np.arange(test.n_trials), repeats))
    for guidance in guidances:
        sample = sample_like(model, requested, seed=seed, guidance=guidance)
        comparison = compare(data, sample, seed=seed)
        shown = {m: comparison.metrics[m].value for m in METRICS if m in comparison.metrics}
        result[f"generated, guidance {guidance:g}"] = decoded(sample, requested) | shown
        if guidance == guidances[0]:
            floors = {m: comparison.metrics[m].floor for m in shown}
            result["real, held out (ceiling)"] |= floors
            result["the same, against another trial's condition"] = decoded(sample, other)
    free = replace(model.sample(requested.n_trials, lengths=requested.lengths, seed=seed), signals={})
    result["generated, no condition"] = decoded(free, requested)
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
