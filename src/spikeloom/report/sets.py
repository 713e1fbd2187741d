"""The sets of trials that a figure draws over each other: their names, colours and line widths."""

from __future__ import annotations

from spikeloom.data.spikedata import SpikeData
from spikeloom.evaluation.pairing import check_comparable
from spikeloom.plot.style import FLOOR, GENERATED, REAL


def named_sets(
    real: SpikeData, generated: SpikeData, floor: SpikeData | None
) -> list[tuple[str, SpikeData, str, float]]:
    """Name, data, colour and line width of each set: the floor first, to lie behind, then real, then generated."""
    check_comparable(real, generated)
    rows = [("held-out real", real, REAL, 1.8), ("generated", generated, GENERATED, 1.8)]
    if floor is None:
        return rows
    check_comparable(real, floor)
    return [("other real", floor, FLOOR, 2.6), *rows]
