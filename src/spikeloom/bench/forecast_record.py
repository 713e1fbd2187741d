"""Forecasts of runs and of simple systems: the record, and its page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from spikeloom.bench.records import Record
from spikeloom.bench.tables import markdown_table, number, page, section
from spikeloom.evaluation.forecasts import ForecastScores

CLIMATOLOGY, PERSISTENCE, LINEAR = "training trials", "persistence", "linear autoregression"
"""Names of simple forecasts."""
MEASURES = {
    "population_r": "Population correlation of the mean forecast",
    "neuron_r": "Correlation of single neurons, mean forecast",
    "sampled_population_r": "Population correlation of sampled forecasts",
    "sampled_neuron_r": "Correlation of single neurons, sampled forecasts",
    "crps": "Ranked probability score of counts (CRPS)",
    "coverage": "Share of counts in the middle 80 % of the forecasts",
    "rate_r2": "R2 of true rates",
    "rate_crps": "Ranked probability score of true rates",
    "rate_coverage": "Share of true rates in the middle 80 % of the forecasts",
}
"""Titles of tables, by field of the scores."""
READING = (
    "Correlations are over trials, at one bin; their ceiling is the last row, as counts scatter about their rates. A "
    "mean forecast is the mean of the drawn rates, a sampled one is a single draw of counts, as generators make them: "
    "it is right about scatter and therefore correlates less. The ranked probability score is lower for better "
    "forecasts and punishes wrong means and wrong scatter alike; *training trials* are what it is without a context. "
    "Calibrated forecasts hold 0.80 in their middle 80 % (ranks with random ties, so that few draws are no "
    "disadvantage): less is too sure, more is too careful. Forecasts of a single number do not scatter in rates; "
    "their counts are drawn as Poisson."
)


@dataclass(frozen=True)
class ForecastRecord(Record):
    """Scores of forecasts; its setting holds sizes and the command.

    Attributes:
        scores: By system: runs, simple forecasts, the ceiling; one for each horizon.
    """

    scores: Mapping[str, tuple[ForecastScores, ...]]

    @property
    def horizons(self) -> list[int]:
        """Bins ahead, the same for all systems."""
        return [s.horizon for s in next(iter(self.scores.values()))]


def forecast_page(record: ForecastRecord) -> str:
    """A table for each measure: a row for each system, a column for each horizon."""
    setting = record.setting
    return page(
        "# Forecasts of held-out trials",
        f"{setting['trials']} held-out trials, {setting['neurons']} neurons, bins of {setting['bin_s'] * 1e3:g} ms; "
        f"the first {setting['observed']} bins were observed, and each forecast was drawn {setting['draws']} times.",
        f"`{setting['command']['command']}`",
        "![scores by horizon](forecast.png)",
        READING,
        *(section(title, measure_table(record, key)) for key, title in MEASURES.items()),
    )


def measure_table(record: ForecastRecord, key: str) -> str:
    """A measure of every system that has it, at every horizon; empty where none has."""
    rows = {name: [getattr(s, key) for s in scores] for name, scores in record.scores.items()}
    rows = {name: values for name, values in rows.items() if np.isfinite(values).any()}
    if not rows:
        return ""
    return markdown_table(
        ["bins ahead", *record.horizons],
        [[name, *(number(v, digits=".3f") for v in values)] for name, values in rows.items()],
    )
