"""The panel on spike history: how counts follow from rates and from a neuron's own past."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from spikeloom.data.spikedata import SpikeData
from spikeloom.evaluation.history_likelihood import HistoryLikelihood
from spikeloom.report import figures
from spikeloom.report.format import digits
from spikeloom.report.panel import Panel, Table
from spikeloom.report.readouts import plus_minus
from spikeloom.report.terms import TERMS

HISTORY = "Spike history"


def history_panel(history: Callable[[], HistoryLikelihood], held_out: SpikeData, generated: SpikeData) -> Panel:
    """Counts with spike history beside Poisson counts of the same rates.

    Args:
        history: Returns the likelihood of the held-out counts with and without spike history.
        held_out: Held-out real trials.
        generated: Generated trials; where they hold rates, Poisson counts are drawn from these.
    """
    return Panel(
        HISTORY,
        _caption(generated),
        lambda: _readout(history()),
        lambda: figures.spike_history(history(), held_out, generated),
        table=lambda: _table(history()),
    )


def _caption(generated: SpikeData) -> str:
    poisson = " where blue, Poisson counts of the same rates, does not"
    text = (
        "Counts depend on the rate and on the neuron's own recent spikes. Left: change of the expected count after one "
        f"spike. Middle: orange should follow dark{poisson if generated.rates is not None else ''}. Right, one dot per "
        "neuron: on the diagonal, counts are as variable as in the recording."
    )
    if generated.rates is None:
        text += " The generated trials come without rates, so there are no Poisson counts to compare with."
    return text


def _readout(history: HistoryLikelihood) -> str:
    sentences = [TERMS["bits"]]
    if history.dispersion is not None:
        low, middle, high = map(digits, np.quantile(history.dispersion, [0.25, 0.5, 0.75]))
        sentences.append(f"{TERMS['dispersion']} Median over neurons {middle}, interquartile range {low} to {high}.")
    if history.beyond:
        sentences.append(f"Held-out counts above the largest that the model can draw: {history.beyond}.")
    return " ".join(sentences)


def _table(history: HistoryLikelihood) -> Table:
    rows = [
        ("Poisson", plus_minus(history.poisson)),
        ("spike history", plus_minus(history.history)),
        ("difference, paired by trial", plus_minus(history.gain)),
    ]
    return Table(("observation model", "held-out log-likelihood (bits/spike, ± 95 %)"), rows)
