"""Figures of the LDNS paper's supplement: correlograms of groups of neurons, spectra of a principal component."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from matplotlib.axes import Axes

from spikeloom.drawing.lines import line_with_band, zero_line
from spikeloom.drawing.spectrum import spectrum_axes
from spikeloom.drawing.style import GENERATED, REAL, time_unit
from spikeloom.evaluation.published_supplement import SupplementResult


def draw_correlograms(result: SupplementResult, axes: Iterable[Axes]) -> None:
    """Draw the auto- and cross-covariance of one group of neurons after the other.

    Args:
        result: The supplement of a comparison.
        axes: Two axes for each group, from the most correlated one on: auto-covariance, then cross-covariance. The
            paper shows two of the four groups.
    """
    lags = result.lags * result.bin_s
    sets = (("real", result.correlograms, REAL), ("generated", result.generated_correlograms, GENERATED))
    for place, ax in enumerate(axes):
        group, kind = place // 2, ("auto", "cross")[place % 2]
        zero_line(ax)
        for name, found, colour in sets:
            values = getattr(found, kind)[group].copy()
            if kind == "auto":
                values[result.lags == 0] = np.nan  # it is set to 0, which is no value of the curve
            line_with_band(ax, lags, values, color=colour, label=name)
        ax.set(xlabel=f"lag ({time_unit(result.bin_s)})", ylabel=f"{kind}-covariance (spikes²)")
        ax.set_title(f"group {group + 1}, {len(result.groups[group])} neurons")


def draw_pc_spectra(result: SupplementResult, axes: Axes) -> None:
    """Draw the median over trials of the spectrum of the second principal component, and its 5 % and 95 % quantiles.

    Args:
        result: The supplement of a comparison.
        axes: Axes to draw into.
    """
    frequencies = result.frequencies[1:]
    for name, spectrum, colour in (
        ("real", result.spectrum, REAL),
        ("generated", result.generated_spectrum, GENERATED),
    ):
        low, median, high = spectrum[[0, 9, 18], 1:]
        line_with_band(axes, frequencies, median, low, high, color=colour, label=name)
    spectrum_axes(axes, frequencies, result.bin_s, "component 2²")
