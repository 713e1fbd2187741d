"""The scores of a comparison."""

from __future__ import annotations

from matplotlib.axes import Axes

from spikeloom.evaluation.results import Comparison


def scores(data: Comparison, *, ax: Axes | None = None) -> Axes:
    """Draw the score of each metric between its floor (0) and its yardstick (1), with 95 % intervals.

    Args:
        data: A comparison, as ``compare`` returns it.
        ax: Axes to draw into; a new figure when not given.
    """
    return data.plot(ax)
