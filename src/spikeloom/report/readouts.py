"""Readouts of panels: the numbers of a comparison, of recordings and of training, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from spikeloom.data.spikedata import SpikeData
from spikeloom.drawing.style import rate_unit
from spikeloom.evaluation.dynamics import latent_spectrum_ratio
from spikeloom.evaluation.estimates import Estimate
from spikeloom.evaluation.results import Comparison
from spikeloom.evaluation.verdict import Level
from spikeloom.report.format import digits, scaled, scaled_unit, with_error


def quote(comparison: Comparison, names: Sequence[str], bin_s: float) -> str:
    """Some metrics of a comparison, those that have a value, with their floors and verdicts."""
    parts = []
    for name in names:
        r = comparison.metrics.get(name)
        if r is None or not np.isfinite(r.value):
            continue
        unit, factor = scaled_unit(r.unit, [r.value, r.floor], bin_s)
        value, floor = (digits(scaled(x, factor)) for x in (r.value, r.floor))
        tail = "" if r.level is Level.NOT_DEFINED else f": {r.verdict}"
        parts.append(f"{r.metric.label} {value}{' ' + unit if unit else ''} (real against real {floor}){tail}")
    return _sentence(parts)


def mean_rates(held_out: SpikeData, generated: SpikeData) -> str:
    """Mean rates of both sets, and how many neurons are silent."""
    rates = [d.counts.sum(dtype=np.int64) / (d.lengths.sum() * d.bin_s * d.n_neurons) for d in (held_out, generated)]
    unit = rate_unit(held_out.bin_s)
    silent = [int((d.counts.sum(axis=(0, 1)) == 0).sum()) for d in (held_out, generated)]
    text = f"Mean rate {rates[0]:.3g} {unit} in held-out real, {rates[1]:.3g} {unit} in generated trials"
    if any(silent):
        text += f"; {silent[0]} and {silent[1]} neurons never fire"
    return text + "."


def unequal(data: SpikeData) -> str:
    """Which trials a spectrum shows where they differ in length; empty where they do not."""
    if len(set(data.lengths.tolist())) < 2:
        return ""
    return f"Not scored, as trials differ in length: shown are those of {int(np.median(data.lengths))} bins or more."


def best_losses(metrics: pd.DataFrame) -> str:
    """Best validation loss of every stage, and its step."""
    if "validation_loss" not in metrics:
        return ""
    parts = []
    for stage, rows in metrics.dropna(subset=["validation_loss"]).groupby("stage", sort=False):
        best = rows.loc[rows["validation_loss"].idxmin()]
        parts.append(f"{stage}: best validation loss {best['validation_loss']:.4g} at step {int(best['step'])}")
    return "; ".join(parts) + "." if parts else ""


SETTLED = 0.05
"""Share of the whole fall of a validation loss that may come in the last fifth of training when it has settled."""


def ended_early(metrics: pd.DataFrame | None) -> list[str]:
    """A sentence for each stage whose validation loss was still falling when training ended.

    Args:
        metrics: Columns stage, step, loss and validation_loss.
    """
    sentences: list[str] = []
    if metrics is None or "validation_loss" not in metrics:
        return sentences
    for stage, rows in metrics.dropna(subset=["validation_loss"]).groupby("stage", sort=False):
        losses, steps = (rows[name].to_numpy(dtype=float) for name in ("validation_loss", "step"))
        if len(losses) < 3 or losses.argmin() < len(losses) - 1:
            continue
        before = losses[steps <= 0.8 * steps[-1]]
        if not len(before) or (late := float(before.min() - losses[-1])) <= SETTLED * float(losses[0] - losses[-1]):
            continue
        share = late / float(losses[0] - losses[-1])
        sentences.append(
            f"Training of the {stage} ended at step {int(steps[-1])} while its validation loss was still falling "
            f"({share:.0%} of its fall came in the last fifth of the steps): train longer before a verdict is drawn."
        )
    return sentences


def latent_power(encoded: SpikeData, generated: SpikeData) -> str:
    """Power of generated latents over that of encoded ones, by frequency band."""
    if encoded.latents is None or generated.latents is None:
        return ""
    ratios = latent_spectrum_ratio(encoded.latents, generated.latents, encoded.lengths, generated.lengths)
    parts = [f"{value:.3g} at {band}" for band, value in ratios.items() if np.isfinite(value)]
    return f"Power, generated over encoded: {', '.join(parts)} frequencies (0.9 to 1.1 is good)." if parts else ""


def plus_minus(estimate: Estimate) -> str:
    """A value with its 95 % interval."""
    value, error = with_error(estimate.value, 1.96 * estimate.se)
    return f"{value} ± {error}" if error else value


def _sentence(parts: Sequence[str]) -> str:
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}." if text else ""
