"""Sets of trials that are drawn over each other, with names and colours; and the axes they are drawn into."""

from __future__ import annotations

from typing import NamedTuple

from matplotlib.axes import Axes

from spikeloom.data.spikedata import SpikeData
from spikeloom.drawing.style import FLOOR, GENERATED, REAL
from spikeloom.errors import DataError
from spikeloom.evaluation.pairing import check_comparable

UNIT_MS = 1000.0


class NamedSet(NamedTuple):
    """A set of trials as it is drawn.

    Attributes:
        name: Name in the legend.
        data: The trials.
        color: Colour of its lines.
        width: Their width in points.
    """

    name: str
    data: SpikeData
    color: str
    width: float


def named_sets(real: SpikeData, generated: SpikeData | None = None, floor: SpikeData | None = None) -> list[NamedSet]:
    """The sets that are given: the floor first, to lie behind, then real, then generated."""
    rows = [NamedSet("held-out real" if generated is not None else "real", real, REAL, 1.8)]
    for data in (generated, floor):
        if data is not None:
            check_comparable(real, data)
    if generated is not None:
        rows.append(NamedSet("generated", generated, GENERATED, 1.8))
    if floor is not None:
        rows.insert(0, NamedSet("other real", floor, FLOOR, 2.6))
    return rows


def axes_of(ax: Axes | None, width: float = 5.4, height: float = 3.2) -> Axes:
    """The axes, or those of a new figure of so many inches."""
    if ax is not None:
        return ax
    from matplotlib import pyplot as plt

    return plt.subplots(figsize=(width, height), layout="constrained")[1]


def checked_neuron(data: SpikeData, neuron: int) -> int:
    """The neuron, from 0.

    Raises:
        DataError: If there is no such neuron.
    """
    if not 0 <= neuron < data.n_neurons:
        raise DataError(f"there is no neuron {neuron}; the recording has {data.n_neurons}, numbered from 0.")
    return neuron


def label_sets(ax: Axes, sets: list[NamedSet]) -> None:
    """A legend where there is more than one set."""
    if len(sets) > 1:
        ax.legend(loc="best", frameon=False)


def milliseconds(bin_s: float) -> tuple[str, float]:
    """Unit of intervals and lags, and the factor from seconds: ms, or bins without physical width."""
    return ("bins", 1.0) if bin_s == 1.0 else ("ms", UNIT_MS)


def without_own_labels(ax: Axes) -> None:
    """Take legend and labels from axes of a figure that has them for all its axes."""
    ax.set(xlabel="", ylabel="")
    if (legend := ax.get_legend()) is not None:
        legend.remove()
