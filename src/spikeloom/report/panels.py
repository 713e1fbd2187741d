"""The figures of the report, in their order: each with its title, caption, readout and figure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from spikeloom.conditioning.variables import Variable
from spikeloom.data.spikedata import SpikeData
from spikeloom.evaluation.history_likelihood import HistoryLikelihood
from spikeloom.evaluation.results import Comparison
from spikeloom.report import figures
from spikeloom.report.code_panels import CodeSummary, code_panels
from spikeloom.report.condition_panels import condition_panels
from spikeloom.report.history_panel import history_panel
from spikeloom.report.panel import Panel, once
from spikeloom.report.readouts import latent_power, mean_rates, quote, unequal
from spikeloom.report.sets import ComparedTrials, compared_trials
from spikeloom.report.training_panels import training_panels


def panels(
    real: SpikeData,
    generated: SpikeData,
    comparison: Comparison,
    encoded: SpikeData | Callable[[], SpikeData] | None = None,
    history: HistoryLikelihood | Callable[[], HistoryLikelihood] | None = None,
    codes: CodeSummary | Callable[[], CodeSummary] | None = None,
    variables: Sequence[Variable] = (),
    metrics: pd.DataFrame | None = None,
    diagnostics: pd.DataFrame | None = None,
    configuration: Mapping[str, Any] | None = None,
) -> list[Panel]:
    """All panels of the report; arguments are those of ``write_report``."""
    trials = compared_trials(real, generated, comparison.details["seed"])
    latents = once(trials.held_out if encoded is None else encoded)
    return [
        *spike_panels(trials, comparison),
        *condition_panels(real, generated, variables),
        *([] if history is None else [history_panel(once(history), real.split("test"), generated)]),
        *([latent_panel(latents, generated)] if codes is None else code_panels(once(codes))),
        *training_panels(metrics, diagnostics, configuration or {}),
    ]


def spike_panels(trials: ComparedTrials, comparison: Comparison) -> list[Panel]:
    """The panels on spikes alone, which exist for the samples of any program."""
    held_out, generated, _ = trials

    def quoted(*names: str) -> Callable[[], str]:
        return lambda: quote(comparison, names, held_out.bin_s)

    return [
        Panel(
            "Rasters",
            "Do episodes of activity, silence and synchrony look alike? Neurons in the same order everywhere.",
            lambda: mean_rates(held_out, generated),
            lambda: figures.rasters(held_out, generated),
            "png",
            first=True,
        ),
        Panel(
            "Population counts",
            "The orange distribution should follow the dark one, also in the rare large counts of the tail.",
            quoted("count_js", "trial_pc_ratio", "kl_div_psc"),
            lambda: figures.population_counts(*trials),
        ),
        Panel(
            "Rates and variability",
            "One dot per neuron: orange should lie as close to the diagonal as grey, real against other real trials.",
            quoted("rate_rmse", "fano_rmse", "count_share_rmse"),
            lambda: figures.rate_scatter(*trials),
            wide=False,
        ),
        Panel(
            "Interspike intervals",
            "Mean and standard deviation of each neuron's intervals; off the diagonal, timing within trials is wrong.",
            quoted("isi_mean_rmse", "isi_std_rmse", "rmse_mean_isi", "rmse_std_isi"),
            lambda: figures.isi_scatter(*trials),
            wide=False,
        ),
        Panel(
            "Pairwise correlations",
            "Is the matrix symmetric, and is the orange cloud as narrow, and as steep, as the grey one?",
            quoted("corr_rmse", "corr_slope", "xcov_rmse", "leadlag_rmse", "rmse_corr"),
            lambda: figures.correlation_scatter(*trials),
            "png",
        ),
        Panel(
            "Interval distributions",
            "Neurons from slow to fast: a missing dip at short intervals means a missing refractory period.",
            quoted("isi_w1"),
            lambda: figures.isi_histograms(*trials),
        ),
        Panel(
            "Autocorrelation",
            "Time scales of the activity. Line: mean over neurons; band: their interquartile range.",
            quoted("acf_rmse", "private_acf_rmse"),
            lambda: figures.autocorrelation(*trials),
            wide=False,
        ),
        Panel(
            "Power spectrum of the population count",
            "Rhythms are peaks that both curves should share; the flat end is spiking noise. Bands: 95 % intervals.",
            lambda: quote(comparison, ("psd_db",), held_out.bin_s) or unequal(held_out),
            lambda: figures.power_spectrum(*trials),
            wide=False,
        ),
        Panel(
            "Average responses to conditions",
            "Orange should follow dark as closely as grey does, the average of as many other real trials.",
            quoted("psth_err"),
            lambda: figures.psth(*trials),
            first=True,
        ),
    ]


def latent_panel(encoded: Callable[[], SpikeData], generated: SpikeData) -> Panel:
    """Latents over time.

    Args:
        encoded: Returns held-out trials with their inferred latents.
        generated: Generated trials with theirs.
    """
    return Panel(
        "Latent trajectories",
        "Generated paths should move through the same region at the same pace; excess fast power is jitter.",
        lambda: latent_power(encoded(), generated),
        lambda: figures.latents(encoded(), generated),
    )
