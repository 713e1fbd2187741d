"""Scores between two reference points, one row each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from spikeloom.plot.style import FLOOR, GENERATED, INK, MUTED

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RANGE = -0.25, 1.25
"""Scores that are drawn in their place; those beyond are drawn as arrows at the edge."""


def draw_scores(
    labels: Sequence[str],
    scores: Float[np.ndarray, "row"],
    errors: Float[np.ndarray, "row"],
    ends: tuple[str, str] = ("floor", "baseline"),
    ax: Axes | None = None,
) -> Axes:
    """Draw one score a row, from the first on top to the last, between lines at 0 and 1.

    Args:
        labels: A label for each row.
        scores: Scores; rows without one (NaN) stay empty.
        errors: Half the width of each error bar; none where it is NaN.
        ends: Names of scores 0 and 1.
        ax: Axes to draw on; new ones when not given.

    Returns:
        The axes.
    """
    if ax is None:
        from matplotlib import pyplot as plt

        _, ax = plt.subplots(figsize=(6.0, 0.8 + 0.26 * len(labels)), layout="constrained")
    row = np.arange(len(labels))
    low, high = RANGE
    inside = (scores >= low) & (scores <= high)
    for place, colour in ((0.0, FLOOR), (1.0, MUTED)):
        ax.axvline(place, color=colour, linewidth=1.2, zorder=0)
    bars = inside & np.isfinite(errors)
    ax.errorbar(scores[bars], row[bars], xerr=errors[bars], fmt="none", ecolor=GENERATED, elinewidth=1.2, alpha=0.6)
    ax.plot(scores[inside], row[inside], "o", color=GENERATED, markersize=5)
    for marker, beyond, edge in (("<", scores < low, low), (">", scores > high, high)):
        ax.plot(np.full(beyond.sum(), edge), row[beyond], marker, color=GENERATED, markersize=6, clip_on=False)
    ax.set_yticks(row, list(labels), color=INK)
    ax.set_ylim(len(labels) - 0.5, -0.5)
    ax.set_xlim(low, high)
    ax.set_xticks([0.0, 0.5, 1.0], [ends[0], "0.5", ends[1]])
    ax.set_xlabel("score")
    return ax
