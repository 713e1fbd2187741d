"""Which spike trains of a Block are of one unit, over all of its segments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from spikeloom.data.columns import typed_table
from spikeloom.errors import DataError

IDS = ("id", "unit_id", "neuron_id", "cluster_id", "unit", "cluster")
"""Annotations that name the unit of a spike train."""


def matched_units(segments: Sequence[Any], groups: Sequence[Any], notes: list[str]) -> list[list[Any]]:
    """The spike train of every unit in every segment: by groups, or else by names, or else by position.

    Units that are not in every segment are left out, which is noted.

    Returns:
        For every unit a list with the spike train of each segment.

    Raises:
        DataError: If segments differ in their number of spike trains and nothing names these, or if nothing is left.
    """
    trains = [list(segment.spiketrains) for segment in segments]
    if not any(trains):
        raise DataError("there is no spike train in any segment; spikeloom needs sorted spikes.")
    if len(segments) == 1:
        return [[train] for train in trains[0]]
    how, keys = "groups", _by_group(trains, groups)
    if keys is None:
        how, keys = "names", _by_name(trains)
    if keys is None:
        if len({len(part) for part in trains}) > 1:
            sizes = ", ".join(str(len(part)) for part in trains[:5])
            raise DataError(
                f"segments have {sizes}{', ...' if len(trains) > 5 else ''} spike trains without names of their own, "
                "so that it is not known which are of one unit; name the trains, or put those of a unit into a Group."
            )
        how, keys = "position", [list(range(len(part))) for part in trains]
    notes.append(f"spike trains of the {len(segments)} segments are matched by {how}")
    found = [dict(zip(own, part)) for own, part in zip(keys, trains)]
    everywhere = [key for key in dict.fromkeys(k for own in keys for k in own) if all(key in part for part in found)]
    n_left_out = len({key for own in keys for key in own}) - len(everywhere)
    if not everywhere:
        raise DataError("no unit has a spike train in every segment; pass those segments that share units.")
    if n_left_out:
        notes.append(f"{n_left_out} units were left out, as they have no spike train in some segment")
    return [[part[key] for part in found] for key in everywhere]


def unit_table(units: Sequence[Sequence[Any]]) -> pd.DataFrame:
    """One row for each unit: "id", its name where it has one, and single values among its annotations."""
    rows = [{"id": _name(unit[0]), **single_values(unit[0].annotations)} for unit in units]
    if any(row["id"] is None for row in rows):
        rows = [{**row, "id": number} for number, row in enumerate(rows)]
    return typed_table(rows)


def single_values(annotations: Any) -> dict[str, Any]:
    """Annotations that are one number, text or truth value; of quantities the name gets the unit."""
    found = {}
    for name, value in annotations.items():
        if hasattr(value, "dimensionality"):
            if np.ndim(value) == 0:
                unit = value.dimensionality.string
                found[name if unit == "dimensionless" else f"{name}_{unit}"] = float(value.magnitude)
        elif value is None or isinstance(value, str | bool | int | float | np.generic) or pd.api.types.is_scalar(value):
            found[str(name)] = value.item() if isinstance(value, np.generic) else value
    return found


def _name(train: Any) -> Any:
    known = [train.annotations[name] for name in IDS if isinstance(train.annotations.get(name), str | int | np.integer)]
    return known[0] if known else train.name or None


def _by_group(trains: list[list[Any]], groups: Sequence[Any]) -> list[list[int]] | None:
    """The number of the group of every train, if each is in one, and no group has two of one segment."""
    of_train = {id(train): number for number, group in enumerate(groups) for train in group.spiketrains}
    if not all(id(train) in of_train for part in trains for train in part):
        return None
    keys = [[of_train[id(train)] for train in part] for part in trains]
    return keys if all(len(set(own)) == len(own) for own in keys) else None


def _by_name(trains: list[list[Any]]) -> list[list[Any]] | None:
    """The name of every train, if each has one, and no two of a segment the same."""
    keys = [[_name(train) for train in part] for part in trains]
    return keys if all(None not in own and len(set(own)) == len(own) for own in keys) else None
