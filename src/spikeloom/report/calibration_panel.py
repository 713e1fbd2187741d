"""The panel on whether a generator scatters as its data do, for models that tell it of themselves in training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from spikeloom.priors import calibration
from spikeloom.report import figures
from spikeloom.report.panel import Panel, draw
from spikeloom.report.terms import TERMS

TITLE = "Calibration of the generator"
STAGE = "prior"


def calibration_panels(
    diagnostics: pd.DataFrame | None, metrics: pd.DataFrame | None, configuration: Mapping[str, Any]
) -> list[Panel]:
    """The panel, where the prior of a run told numbers about its calibration; none otherwise.

    Args:
        diagnostics: What was noted in training, ``Run.diagnostics()``.
        metrics: Training metrics of the run, which say what weights were kept.
        configuration: Configuration of the run.
    """
    if diagnostics is None:
        return []
    rows = diagnostics.loc[(diagnostics["stage"] == STAGE) & diagnostics["name"].isin(list(calibration.NAMES)), :]
    if rows.empty:
        return []
    step = kept_step(rows, metrics, configuration)
    last = rows.loc[rows["step"] == step, :]
    verdict = calibration.assess(dict(zip(last["name"], last["value"].astype(float))))
    assert verdict is not None  # the step is that of a row
    terms = " ".join(TERMS[name] for name in calibration.NAMES if name in set(rows["name"]))
    return [
        draw(
            TITLE,
            f"Curves should end in the grey band around 1. {terms}",
            f"The weights of step {step} were kept. {verdict.words}",
            lambda: figures.calibration_curves(rows, step),
        )
    ]


def kept_step(rows: pd.DataFrame, metrics: pd.DataFrame | None, configuration: Mapping[str, Any]) -> int:
    """The step whose weights were kept: that of the best validation loss, or the last one."""
    last = int(rows["step"].to_numpy(dtype=int).max())
    training = configuration.get(f"{STAGE}_training") or {}
    if metrics is None or not training.get("keep_best", True):
        return last
    noted = (metrics["stage"] == STAGE) & metrics["step"].isin(rows["step"]) & metrics["validation_loss"].notna()
    losses = metrics.loc[noted, "validation_loss"].to_numpy(dtype=float)
    return int(metrics.loc[noted, "step"].to_numpy()[losses.argmin()]) if len(losses) else last
