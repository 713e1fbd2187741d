"""Which figures stand in the report, on which trials, and what their captions say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from spikeloom.conditioning.variables import Variable
from spikeloom.data.spikedata import SpikeData
from spikeloom.evaluation.dynamics import latent_spectrum_ratio
from spikeloom.evaluation.history_likelihood import Drawing
from spikeloom.evaluation.pairing import pair
from spikeloom.evaluation.results import Comparison, Level
from spikeloom.evaluation.summary import TrialSet
from spikeloom.plot.style import rate_unit
from spikeloom.report import figures
from spikeloom.report.calibration_panel import calibration_panels
from spikeloom.report.code_panels import Coded, code_panels
from spikeloom.report.format import digits, scaled, scaled_unit
from spikeloom.report.model_panels import model_panels
from spikeloom.report.panel import Panel, draw

LOGGED = ["stage", "step", "loss", "validation_loss"]


def matched(real: SpikeData, generated: SpikeData, seed: int = 0) -> tuple[SpikeData, SpikeData, SpikeData]:
    """Held-out, generated and training trials that may be drawn over each other.

    They are those of the comparison with the same seed: the same number of trials, of the same conditions, and
    generated trials cut to the length of their held-out counterparts, so that differences are differences and not
    sample sizes.
    """
    rng = np.random.default_rng(seed)
    pairing = pair(real, generated, rng)
    labels: dict[int, Any] = {}
    if "condition" in real.trials:
        held_out = real.trials["condition"].iloc[pairing.test_index]
        labels = dict(zip(pairing.test.condition.tolist(), held_out))
        labels |= dict(zip(pairing.train.condition.tolist(), real.trials["condition"].iloc[pairing.train_index]))

    def as_data(trials: TrialSet, labelled: bool) -> SpikeData:
        table = pd.DataFrame({"condition": [labels[code] for code in trials.condition.tolist()]}) if labelled else None
        return SpikeData(trials.counts, real.bin_s, trials.lengths, trials=table)  # type: ignore[arg-type]

    # Windows cut from longer stretches share no time, so that averages over them mean nothing.
    labelled = bool(labels) and len(set(labels.values())) <= real.n_trials / 2 and "source_bin" not in real.trials
    return (
        as_data(pairing.test, labelled),
        as_data(pairing.draw_generated(rng), labelled and pairing.conditional),
        as_data(pairing.draw_train(rng), labelled),
    )


def panels(
    real: SpikeData,
    generated: SpikeData,
    comparison: Comparison,
    encoded: SpikeData | None,
    metrics: pd.DataFrame | None,
    drawing: Drawing | None = None,
    variables: Sequence[Variable] = (),
    diagnostics: pd.DataFrame | None = None,
    configuration: Mapping[str, Any] | None = None,
    coded: Coded | None = None,
) -> list[Panel]:
    """All figures of the report, with captions that quote the comparison."""
    held_out, drawn, floor = matched(real, generated, comparison.details["seed"])
    three = held_out, drawn, floor

    def seen(*keys: str) -> str:
        return quoted(comparison, keys, real.bin_s)

    return [
        draw(
            "Rasters",
            "Do episodes of activity, silence and synchrony look alike? Neurons in the same order everywhere.",
            rates_seen(held_out, drawn),
            lambda: figures.rasters(held_out, drawn),
            "png",
        ),
        draw(
            "Population counts",
            "The orange distribution should follow the dark one, also in the rare large counts of the tail.",
            seen("count_js", "kl_div_psc"),
            lambda: figures.population_counts(*three),
        ),
        draw(
            "Rates and variability",
            "One dot a neuron: orange should lie as close to the diagonal as grey, which is real against real.",
            seen("rate_rmse", "fano_rmse"),
            lambda: figures.rate_scatter(*three),
            wide=False,
        ),
        draw(
            "Intervals between spikes",
            "Mean and standard deviation of each neuron's intervals; off the diagonal, timing within trials is wrong.",
            seen("isi_mean_rmse", "isi_std_rmse", "rmse_mean_isi", "rmse_std_isi"),
            lambda: figures.isi_scatter(*three),
            wide=False,
        ),
        draw(
            "Pairwise correlations",
            "Is the matrix symmetric, and is the orange cloud as narrow, and as steep, as the grey one?",
            seen("corr_rmse", "corr_slope", "rmse_corr"),
            lambda: figures.correlation_scatter(*three),
            "png",
        ),
        draw(
            "Interval distributions",
            "Neurons from slow to fast: a missing dip at short intervals means a missing refractory period.",
            seen("isi_w1"),
            lambda: figures.isi_histograms(*three),
        ),
        draw(
            "Autocorrelation",
            "How long activity outlasts itself: line, mean over neurons; band, the middle half of the neurons.",
            seen("acf_rmse"),
            lambda: figures.autocorrelation(*three),
            wide=False,
        ),
        draw(
            "Power spectrum of the population count",
            "Rhythms are peaks that both curves should share; the flat end is spiking noise. Bands: 95 % intervals.",
            seen("psd_db"),
            lambda: figures.power_spectrum(*three),
            wide=False,
        ),
        draw(
            "Average responses to conditions",
            "Orange should follow dark as closely as grey does, the average of as many other real trials.",
            seen("psth_err"),
            lambda: figures.psth(*three),
        ),
        *model_panels(real, generated, drawing, variables),
        *(code_panels(coded) or [latent_panel(encoded if encoded is not None else held_out, generated)]),
        draw(
            "Training",
            "The validation curve should have levelled off; a later rise means overfitting.",
            training_seen(metrics),
            lambda: figures.training_curves(metrics if metrics is not None else pd.DataFrame(columns=LOGGED)),
        ),
        *calibration_panels(diagnostics, metrics, configuration or {}),
    ]


def latent_panel(encoded: SpikeData, generated: SpikeData) -> Panel:
    """Latents over time."""
    return draw(
        "Latent trajectories",
        "Generated paths should move through the same region at the same pace; excess fast power is jitter.",
        latents_seen(encoded, generated),
        lambda: figures.latents(encoded, generated),
    )


# -- what is seen ----------------------------------------------------------------------------------------------------


def quoted(comparison: Comparison, names: tuple[str, ...], bin_s: float) -> str:
    """Some metrics of a comparison, those that have a value, in words."""
    parts = []
    for name in names:
        r = comparison.metrics.get(name)
        if r is None or not np.isfinite(r.value):
            continue
        unit, factor = scaled_unit(r.unit, [r.value, r.floor], bin_s)
        value, floor = (digits(scaled(x, factor)) for x in (r.value, r.floor))
        tail = "" if r.level is Level.NOT_USABLE else f": {r.verdict}"
        parts.append(f"{r.metric.label} {value}{' ' + unit if unit else ''} (real against real {floor}){tail}")
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}." if text else ""


def rates_seen(held_out: SpikeData, generated: SpikeData) -> str:
    """Mean rates of both sets."""
    rates = [d.counts.sum(dtype=np.int64) / (d.lengths.sum() * d.bin_s * d.n_neurons) for d in (held_out, generated)]
    unit = rate_unit(held_out.bin_s)
    silent = [int((d.counts.sum(axis=(0, 1)) == 0).sum()) for d in (held_out, generated)]
    text = f"Mean rate {rates[0]:.3g} {unit} in held-out real, {rates[1]:.3g} {unit} in generated trials"
    if any(silent):
        text += f"; {silent[0]} and {silent[1]} neurons never fire"
    return text + "."


def training_seen(metrics: pd.DataFrame | None) -> str:
    """Best validation loss of every stage."""
    if metrics is None or "validation_loss" not in metrics:
        return ""
    rows = metrics.dropna(subset=["validation_loss"])
    best = [
        f"{stage}: best validation loss {each['validation_loss'].min():.4g} at step "
        f"{int(each.loc[each['validation_loss'].idxmin(), 'step'])}"
        for stage, each in rows.groupby("stage", sort=False)
    ]
    return "; ".join(best) + "." if best else ""


def latents_seen(encoded: SpikeData, generated: SpikeData) -> str:
    """Power of generated latents over that of encoded ones, by frequency band."""
    if encoded.latents is None or generated.latents is None:
        return ""
    if encoded.latents.shape[2] != generated.latents.shape[2]:
        return ""
    ratios = latent_spectrum_ratio(encoded.latents, generated.latents, encoded.lengths, generated.lengths)
    parts = [f"{value:.3g} at {band}" for band, value in ratios.items() if np.isfinite(value)]
    return f"Power, generated over encoded: {', '.join(parts)} frequencies (0.9 to 1.1 is good)." if parts else ""
