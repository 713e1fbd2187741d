"""Spikes as sorters and tables give them, one by one with the unit of each, become trains of units of some quality."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from spikeloom.data.session.clocks import plain_name
from spikeloom.data.session.session import Session
from spikeloom.data.tables import Column, Table
from spikeloom.errors import DataError

QUALITY = ("group", "KSLabel", "label", "ks2_label", "quality", "unit_quality", "cluster_group")
"""Columns that tell how well a unit is isolated; the first that there is counts, and the next where it says nothing."""
_OF_UNITS = re.compile(r"(unit|cluster|neuron|cell)_(quality|label|group|ks_label)")
"""Other names of such a column."""
GOOD = 1.0
"""The label that stands for "good" where labels are numbers, as those of the IBL."""


def trains_of(units: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """The units in increasing order, and the spike times of each in the order in which they come.

    Example:
        >>> ids, trains = trains_of(np.array([7, 2, 7]), np.array([0.5, 0.1, 0.2]))
        >>> ids.tolist(), [train.tolist() for train in trains]
        ([2, 7], [[0.1], [0.5, 0.2]])
    """
    ids, number = np.unique(units, return_inverse=True)
    order = np.argsort(number.ravel(), kind="stable")
    ends = np.cumsum(np.bincount(number.ravel(), minlength=len(ids)))
    return ids, np.split(np.asarray(times, dtype=np.float64)[order], ends[:-1]) if len(ids) else []


def quality_mask(neurons: Table, quality: str, columns: Sequence[str] = QUALITY) -> np.ndarray:
    """The neurons of a quality: a word ("good", or several joined by commas), or the least label where it is a number.

    Args:
        neurons: The table of neurons.
        quality: What the user asked for; "good" is a label of 1 where labels are numbers.
        columns: Columns that may tell it, the most telling first.

    Raises:
        DataError: If no column tells the quality, or no neuron is left.
    """
    found = [name for name in columns if name in neurons]
    found = found or [str(name) for name in neurons if _OF_UNITS.fullmatch(plain_name(name))]
    if not found:
        known = ", ".join(map(str, neurons)) or "none"
        raise DataError(
            f"quality is '{quality}', but no column tells how good a unit is (columns: {known}); choose units by "
            "another with neurons=<column>=<value>."
        )
    mask = np.zeros(len(neurons), dtype=bool)
    undecided = np.ones(len(neurons), dtype=bool)
    for name in found:
        known = undecided & is_known(neurons[name])
        mask[known] = _is_of(neurons[name][known], name, quality)
        undecided &= ~known
    if not mask.any():
        values = ", ".join(sorted({str(v) for name in found for v in neurons[name].dropna().unique()})[:8])
        raise DataError(f"no unit has the quality '{quality}' ({' and '.join(found)}: {values}); name one of these.")
    return mask


def of_quality(session: Session, quality: str | None) -> Session:
    """The session of the units of a quality; all of them where none is asked for.

    Raises:
        DataError: As ``quality_mask``.
    """
    return session if quality is None else session.select(quality_mask(session.neurons, quality))


def is_known(column: Column) -> np.ndarray:
    """Which entries say something: neither missing nor an empty text."""
    return (column.notna() & (column.astype(str).str.strip() != "")).to_numpy(dtype=bool)


def _is_of(labels: Column, name: str, quality: str) -> np.ndarray:
    if pd.api.types.is_bool_dtype(labels.dtype) or not pd.api.types.is_numeric_dtype(labels.dtype):
        wanted = {word.strip().lower() for word in quality.split(",")} | ({"true"} if quality == "good" else set())
        return labels.astype(str).str.strip().str.lower().isin(wanted).to_numpy(dtype=bool)
    try:
        least = GOOD if quality.strip().lower() == "good" else float(quality)
    except ValueError:
        raise DataError(
            f"quality is '{quality}', but the labels of units are numbers such as {labels.iloc[0]} ('{name}'); give "
            "the least label, or good for 1."
        ) from None
    return labels.to_numpy(dtype=float) >= least - 1e-6
