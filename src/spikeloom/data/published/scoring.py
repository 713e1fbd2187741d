"""Signals and trial columns by which inferred rates of a recording are scored, besides its spikes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scoring:
    """Signals and trial columns for scores of inferred rates; a score is left out where its signal or column is None.

    Attributes:
        velocity: Signal that is decoded from rates.
        apart: Trial column: trials of each of its values are decoded by themselves, and their scores averaged.
        condition: Trial column over which averages are taken.
        psth_sd_s: Standard deviation in seconds of the kernel of those averages.
        interval: Trial column of produced intervals, to be correlated with how fast rates change.
        within: Trial columns: that correlation is taken within each combination of their values, and averaged.
        outliers: Trial column that is true for trials that are in no average and in no correlation.
    """

    velocity: str | None = None
    apart: str | None = None
    condition: str | None = None
    psth_sd_s: float = 0.07
    interval: str | None = None
    within: tuple[str, ...] = ()
    outliers: str | None = None
