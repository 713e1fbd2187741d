"""Scores between two reference points, one row each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from spikeloom.drawing.style import FLOOR, GENERATED, INK, MUTED

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RANGE = -0.25, 1.25
"""Scores that are drawn in their place; those beyond are drawn as arrows at the edge."""
TOLERATED = "#e6f2ea"


def draw_scores(
    labels: Sequence[str],
    scores: Float[np.ndarray, "row"],
    errors: Float[np.ndarray, "row"] | Float[np.ndarray, "2 row"],
    ends: tuple[str, str] = ("floor", "yardstick"),
    ax: Axes | None = None,
    tolerance: Float[np.ndarray, "row"] | float = 0.0,
) -> Axes:
    """Draw one score a row, from the first on top to the last, between lines at 0 and 1.

    An error bar that leaves the range is cut at its edge; a score beyond is an arrow there, with its number.

    Args:
        labels: A label for each row.
        scores: Scores; rows without one (NaN) stay empty.
        errors: Half the width of each error bar, or its parts below and above the score; none where it is NaN.
        ends: Names of scores 0 and 1.
        ax: Axes to draw on; new ones when not given.
        tolerance: Scores up to which a row counts as matching, shaded; none at 0.

    Returns:
        The axes.
    """
    if ax is None:
        from matplotlib import pyplot as plt

        _, ax = plt.subplots(figsize=(6.0, 0.8 + 0.26 * len(labels)), layout="constrained")
    row = np.arange(len(labels))
    low, high = RANGE
    below, above = np.broadcast_to(errors, (2, len(row)))
    ax.barh(row, np.broadcast_to(tolerance, len(row)), height=1.0, color=TOLERATED, linewidth=0, zorder=-1)
    for place, colour in ((0.0, FLOOR), (1.0, MUTED)):
        ax.axvline(place, color=colour, linewidth=1.2, zorder=0)
    bars = np.isfinite(scores) & np.isfinite(below) & np.isfinite(above)
    starts, stops = (np.clip(x[bars], low, high) for x in (scores - below, scores + above))
    ax.hlines(row[bars], starts, stops, color=GENERATED, linewidth=1.2, alpha=0.6)
    inside = (scores >= low) & (scores <= high)
    ax.plot(scores[inside], row[inside], "o", color=GENERATED, markersize=5)
    for marker, beyond, edge, side in (("<", scores < low, low, "left"), (">", scores > high, high, "right")):
        ax.plot(np.full(beyond.sum(), edge), row[beyond], marker, color=GENERATED, markersize=6, clip_on=False)
        for place in row[beyond]:
            ax.annotate(
                f"{scores[place]:.1f}",
                (edge, place),
                xytext=(8 if side == "left" else -8, 0),
                textcoords="offset points",
                ha=side,
                va="center",
                color=MUTED,
                fontsize="small",
            )
    ax.set_yticks(row, list(labels), color=INK)
    ax.set_ylim(len(labels) - 0.5, -0.5)
    ax.set_xlim(low, high)
    ax.set_xticks([0.0, 0.5, 1.0], [ends[0], "0.5", ends[1]])
    ax.set_xlabel("score")
    return ax
