"""Labels of single spikes: those that are of no unit, and those of several recordings, whose clocks begin anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Bool

from spikeloom.data.comparisons import matches, parsed
from spikeloom.data.formats.naming.neuron_columns import BEHAVIOUR, EVENT, NEURON
from spikeloom.data.session.clocks import plain_name
from spikeloom.data.session.trial_table import START, STOP
from spikeloom.data.tables import Table
from spikeloom.errors import DataError

REST = ("noise", "artifact", "artifacts", "artefact", "artefacts", "unsorted", "unassigned", "nan", "none")
"""Labels of spikes that are of no unit."""
BLOCKS = ("session", "session_id", "block", "block_id", "run", "run_id", "day", "date", "recording", "recording_id")
"""Columns in which trials may be numbered anew, and each of whose values may be a recording of its own."""
ANIMALS = ("animal", "animal_id", "subject", "subject_id", "monkey", "mouse", "mouse_id", "rat", "patient")
"""Columns of subjects, whose neurons were never recorded together."""
MOST_SHARED = 0.01
"""Share of the time by which the stretches of two groups may overlap if they are on one clock."""
SHOWN = 6


def of_units(units: np.ndarray) -> tuple[Bool[np.ndarray, "spike"], list[str]]:
    """Which spikes are of a unit, by the labels that a sorter or a person gave, and a note on those that are not.

    Sorters label with a negative number, or with a word such as "noise", what they assigned to no unit. Tables may hold
    events among the units, which are called "lick" or "trial_start".

    Args:
        units: Label of the unit of each spike.

    Example:
        >>> kept, notes = of_units(np.array([0, -1, 1, -1]))
        >>> kept.tolist(), notes
        ([True, False, True, False], ['2 spikes of unit -1, by which sorters mean none, were left out'])
    """
    is_number = units.dtype.kind in "buif"
    if not len(units) or (is_number and units.min() >= 0):
        return np.ones(len(units), dtype=bool), []
    labels = np.unique(units)
    left = labels[labels < 0] if is_number else _no_neurons(labels)
    why = "by which sorters mean none" if is_number else "which are no neurons by name"
    if not len(left) or len(left) == len(labels):
        return np.ones(len(units), dtype=bool), []
    kept = ~np.isin(units, left)
    some = ", ".join(map(str, left[:SHOWN].tolist())) + (", ..." if len(left) > SHOWN else "")
    return kept, [f"{(~kept).sum()} spikes of unit{'s' * (len(left) > 1)} {some}, {why}, were left out"]


def _no_neurons(labels: np.ndarray) -> np.ndarray:
    """The labels that are called rest, events or behaviour, among others that are not."""
    plain = [plain_name(label) for label in labels.tolist()]
    rest = np.array([name in REST or str(label).strip() == "-1" for name, label in zip(plain, labels.tolist())])
    events = np.array([_is_event(name) for name in plain])
    others = ~events & ~rest
    # Names that many have say nothing: neurons may be called after what their area does.
    return labels[rest | events] if others.sum() > events.sum() else labels[rest]


def _is_event(name: str) -> bool:
    if name in (*START, *STOP) or name.startswith("trial_"):
        return True
    is_named = len(name) > 2 and any(pattern.fullmatch(name) for pattern in (EVENT, BEHAVIOUR))
    return is_named and not NEURON.fullmatch(name)


def one_recording(
    labels: Mapping[str, np.ndarray], where: Sequence[str]
) -> tuple[Bool[np.ndarray, "row"], tuple[str, ...]]:
    """The rows of the recordings that comparisons such as "session=2" choose, and the comparisons that remain.

    Args:
        labels: Values of each row by name, such as those of a column "session".
        where: Comparisons; those of other columns choose among trials.

    Raises:
        DataError: If no row is left.
    """
    recordings = {name: values for name, values in labels.items() if plain_name(name) in (*BLOCKS, *ANIMALS)}
    rows = np.ones(len(next(iter(labels.values()), ())), dtype=bool)
    chosen = [text for text in where if parsed(text)[0] in recordings]
    for text in chosen:
        name = parsed(text)[0]
        rows &= matches(pd.DataFrame({name: recordings[name]}), text, "table")
        if not rows.any():
            raise DataError(f"no row is left after keeping those with '{text}'; loosen the comparison.")
    return rows, tuple(text for text in where if text not in chosen)


def check_one_recording(labels: Mapping[str, np.ndarray], times: np.ndarray, one_clock: bool = True) -> None:
    """Refuse spikes of several animals, or of several recordings whose times are counted anew in each.

    Args:
        labels: Values of each spike by name.
        times: Time of each spike.
        one_clock: Whether times are on the clock of a recording, not of trials.

    Raises:
        DataError: Names the option that chooses one of them.
    """
    for name, values in labels.items():
        plain = plain_name(name)
        if plain not in (*BLOCKS, *ANIMALS):
            continue
        codes, found = pd.factorize(values)
        if len(found) < 2:
            continue
        one = f"load one at a time with where={name}={_word(found[0])}"
        if plain in ANIMALS:
            raise DataError(
                f"spikes are of {len(found)} different '{name}', whose neurons were never recorded together; {one}."
            )
        if not one_clock:
            continue
        by_group: Table = pd.Series(times[codes >= 0]).groupby(codes[codes >= 0])
        spans = np.column_stack([by_group.min(), by_group.max()])
        spans = spans[np.argsort(spans[:, 0], kind="stable")]
        shared = np.maximum.accumulate(spans[:, 1])[:-1] - spans[1:, 0]
        if shared.max() > MOST_SHARED * (spans[:, 1] - spans[:, 0]).max():
            raise DataError(
                f"the times of {len(found)} different '{name}' begin anew in each, as spikes from {spans[0, 0]:.6g} to "
                f"{spans[0, 1]:.6g} and from {spans[1, 0]:.6g} to {spans[1, 1]:.6g} show: these are several recordings "
                f"on one clock; {one}, or, if their neurons are the same, call '{name}' trial."
            )


def _word(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
