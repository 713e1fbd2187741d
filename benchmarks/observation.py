"""Effect of spike history on samples: counts of the same rates with history and as Poisson, against held-out trials.

    python benchmarks/observation.py RUN [RUN ...] [--repeats 3] [--json FILE]

RUN was fitted with spike history (the default); several are seeds of one training. Held-out likelihood: bits per spike
above Poisson neurons of constant rate, given rates that were inferred without the count they explain.
Below: distances of samples from held-out trials (`compare`), with the floor of real against real, and the mean
autocorrelation of counts at the first lags (neurons with at least 100 held-out spikes).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from shared import over_seeds, parser_of, scores_of_runs
from spikeloom.bench.tables import markdown_table as table
from spikeloom.data.sources import load_source
from spikeloom.data.spikedata import SpikeData
from spikeloom.evaluation.compare import compare
from spikeloom.evaluation.dynamics import autocorrelation
from spikeloom.evaluation.history_likelihood import busy
from spikeloom.models import load_model
from spikeloom.workflow.heldout_likelihood import history_likelihood
from spikeloom.workflow.sampling import held_out, sample_like

METRICS = ("isi_mean_rmse", "isi_std_rmse", "isi_w1", "fano_rmse", "acf_rmse", "rate_rmse", "count_kl", "corr_slope")
METRICS = (*METRICS, "corr_rmse", "psd_db", "c2st_basic", "c2st_rich")
LAGS = 4


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--repeats", type=int, default=3, help="generated trials for each held-out one")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = scores_of_runs(options.runs, lambda run, seed: scores(run, options.repeats, seed), options.json)
    print(table(["", *rows], [[c, *(over_seeds(v, c) for v in rows.values())] for c in next(iter(rows.values()))[0]]))


def scores(run: Path, repeats: int, seed: int) -> dict[str, dict[str, float]]:
    """Scores of samples drawn with history and as Poisson, and their floor."""
    model, data = load_model(run), load_source(run)
    test = held_out(data)
    likelihood = history_likelihood(model, test)
    result: dict[str, dict[str, float]] = {}
    for name, observation, bits in (("history", None, likelihood.history), ("poisson", "poisson", likelihood.poisson)):
        sample = sample_like(model, test, repeats * test.n_trials, seed=seed, observation=observation)
        comparison = compare(data, sample, seed=seed)
        values = {"bits per spike": bits.value} | {m: comparison.metrics[m].value for m in METRICS}
        floor = {"bits per spike": np.nan} | {m: comparison.metrics[m].floor for m in METRICS}
        result[name] = values | lags(sample, busy(test)) | {"copy share": comparison.memorisation.copy_share}
        result["real"] = floor | lags(test, busy(test)) | {"copy share": np.nan}
    return result


def lags(data: SpikeData, busy: np.ndarray) -> dict[str, float]:
    """Mean autocorrelation over neurons."""
    mean = np.nanmean(autocorrelation(data.counts, data.lengths, LAGS)[:, busy], axis=1)
    return {f"autocorrelation, lag {k}": float(v) for k, v in enumerate(mean[-LAGS:], start=1)}


if __name__ == "__main__":
    main()
