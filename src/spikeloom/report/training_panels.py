"""The panels on training: losses, and whether the generator ended calibrated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from spikeloom.priors import calibration
from spikeloom.report import figures
from spikeloom.report.panel import Panel
from spikeloom.report.readouts import best_losses
from spikeloom.report.terms import TERMS

CALIBRATION = "Calibration of the generator"
STAGE = "prior"
LOGGED = ["stage", "step", "loss", "validation_loss"]


def training_panels(
    metrics: pd.DataFrame | None, diagnostics: pd.DataFrame | None, configuration: Mapping[str, Any]
) -> list[Panel]:
    """Losses; and calibration, where the prior of a run was diagnosed in training.

    Args:
        metrics: Training metrics, ``Run.metrics()``.
        diagnostics: Numbers that the model computed on itself in training, ``Run.diagnostics()``.
        configuration: Configuration of the run.
    """
    logged = pd.DataFrame(columns=LOGGED) if metrics is None else metrics
    losses = Panel(
        "Training",
        "The validation curve should have levelled off; a later rise means overfitting.",
        lambda: best_losses(logged),
        lambda: figures.training_curves(logged),
    )
    if diagnostics is None:
        return [losses]
    rows = diagnostics.loc[(diagnostics["stage"] == STAGE) & diagnostics["name"].isin(list(calibration.NAMES)), :]
    return [losses] if rows.empty else [losses, calibration_panel(rows, kept_step(rows, metrics, configuration))]


def calibration_panel(rows: pd.DataFrame, step: int) -> Panel:
    """Whether generated latents are as spread out, and as smooth, as recorded ones.

    Args:
        rows: Diagnostics of the prior.
        step: The step whose weights were kept.
    """
    terms = " ".join(TERMS[name] for name in calibration.NAMES if name in set(rows["name"]))

    def readout() -> str:
        last = rows.loc[rows["step"] == step, :]
        verdict = calibration.assess(dict(zip(last["name"], last["value"].astype(float))))
        assert verdict is not None  # the step is that of a row
        return f"The weights of step {step} were kept. {verdict.words}"

    return Panel(
        CALIBRATION,
        f"Curves should end in the grey band around 1. {terms}",
        readout,
        lambda: figures.calibration_curves(rows, step),
    )


def kept_step(rows: pd.DataFrame, metrics: pd.DataFrame | None, configuration: Mapping[str, Any]) -> int:
    """The step whose weights were kept: that of the best validation loss, or the last one."""
    last = int(rows["step"].to_numpy(dtype=int).max())
    training = configuration.get(f"{STAGE}_training") or {}
    if metrics is None or not training.get("keep_best", True):
        return last
    noted = (metrics["stage"] == STAGE) & metrics["step"].isin(rows["step"]) & metrics["validation_loss"].notna()
    losses = metrics.loc[noted, "validation_loss"].to_numpy(dtype=float)
    return int(metrics.loc[noted, "step"].to_numpy()[losses.argmin()]) if len(losses) else last
