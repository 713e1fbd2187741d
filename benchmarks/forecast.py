"""Forecasts: the first bins of recorded trials, continued by EAG and compared with what came.

    python benchmarks/forecast.py RUN [--observed BINS] [--draws N] [--trials N]

For the held-out trials of a run of EAG whose recording has true rates (the Lorenz recording), at several horizons
after the last observed bin: the share of the variance of the true rates that the mean forecast explains; the ranked
continuous probability score of the forecasts, over that of samples without a context, and likewise that of persistence
(the rates inferred for the last observed bin); how often the truth lies in the middle 80 % of the forecasts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from shared import machine, parser_of
from spikeloom.bench.tables import markdown_table as table
from spikeloom.data.sources import load_source
from spikeloom.models import load_model
from spikeloom.workflow.sampling import held_out

HORIZONS = (1, 2, 4, 8, 16, 32, 64)


def crps(draws: np.ndarray, truth: np.ndarray) -> float:
    """Continuous ranked probability score of (draw, trial, neuron) forecasts, averaged; unbiased in their number."""
    n = len(draws)
    ordered = np.sort(draws, axis=0)
    weight = (2 * np.arange(n) - n + 1)[:, None, None]
    spread = 2 * (weight * ordered).sum(0) / (n * (n - 1))
    return float((np.abs(draws - truth).mean(0) - spread / 2).mean())


def main() -> None:
    """Print the table."""
    parser = parser_of(__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--observed", type=int, help="bins observed; half of a trial if not")
    parser.add_argument("--draws", type=int, default=16)
    parser.add_argument("--trials", type=int, default=200)
    options = parser.parse_args()
    model, test = load_model(options.run), held_out(load_source(options.run))
    test = test.select(range(min(options.trials, test.n_trials)))
    n_observed = options.observed or test.n_bins // 2
    observed = np.arange(test.n_bins) < n_observed
    at = [n_observed - 1 + h for h in HORIZONS if n_observed - 1 + h < test.n_bins]
    truth = test.rates
    if truth is None:
        raise SystemExit(f"{options.run} was not trained on a recording with true rates.")

    def drawn(seed: int, **context: Any) -> np.ndarray:
        rates = model.sample(test.n_trials, lengths=test.lengths, seed=seed, **context).rates
        assert rates is not None
        return rates[:, at]

    forecast = np.stack([drawn(seed, context=test, observed=observed) for seed in range(options.draws)])
    free = np.stack([drawn(1000 + seed) for seed in range(options.draws)])
    last = model.rates(test.window(n_observed, step=test.n_bins))[:, -1]
    rows: list[list[object]] = []
    for i, bin in enumerate(at):
        real, mean = truth[:, bin], forecast[:, :, i].mean(0)
        scatter = np.square(real - real.mean(0)).sum()
        low, high = np.quantile(forecast[:, :, i], [0.1, 0.9], axis=0)
        base = crps(free[:, :, i], real)
        rows.append(
            [
                bin - n_observed + 1,
                f"{1 - np.square(mean - real).sum() / scatter:.3f}",
                f"{1 - np.square(last - real).sum() / scatter:.3f}",
                f"{crps(forecast[:, :, i], real) / base:.3f}",
                f"{np.abs(last - real).mean() / base:.3f}",
                f"{((real >= low) & (real <= high)).mean():.2f}",
            ]
        )
    print(f"{test.n_trials} trials, {n_observed} bins observed, {options.draws} forecasts of each; {machine()}\n")
    header = ["bins ahead", "R2 of the mean", "R2 of persistence", "CRPS / free", "persistence / free", "in 80 %"]
    print(table(header, rows))


if __name__ == "__main__":
    main()
