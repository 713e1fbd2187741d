"""Spike times of units beside the trial of each spike: spikes of trials, as FieldTrip has them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from spikeloom.data.formats.naming.array_names import last_part
from spikeloom.data.formats.naming.trial_labels import TRIALS
from spikeloom.data.formats.storage.containers import StoredArray
from spikeloom.data.formats.structures.spikes import Spikes
from spikeloom.data.formats.structures.unit_sessions import is_pairs_of
from spikeloom.data.formats.structures.values import Cell, Struct, Value
from spikeloom.data.session.clocks import plain_name
from spikeloom.errors import DataError

NAMES = (*TRIALS, "trial_ids", "trial_idx", "trial_numbers")
"""Names of the trial of each spike."""


def by_trial(
    found: Spikes, variables: Mapping[str, Value], others: Mapping[str, StoredArray]
) -> tuple[Spikes, dict[str, StoredArray]] | None:
    """The spikes of units in trials, and what remains beside them; None where nothing tells the trial of each spike.

    Trials are numbered from 1, or from 0; those without a spike are known where starts and stops are as many.

    Args:
        found: Spike times of units, such as "spike/time", beside which "spike/trial" has as many numbers for each unit.
        variables: The variables of the file.
        others: Its other arrays; of (trial, 2) starts and stops become the two columns.

    Raises:
        DataError: If numbers of trials are no whole ones from 0 on.
    """
    times = [one.read().astype(np.float64).ravel() for one in found.arrays()]
    for name, arrays in _beside(found, variables):
        if plain_name(name) not in NAMES or [_size(one) for one in arrays] != [len(one) for one in times]:
            continue
        labels = [one.read().astype(np.float64).ravel() for one in arrays]
        pooled = np.concatenate([np.zeros(0), *labels])
        if not len(pooled) or (pooled != np.floor(pooled)).any() or pooled.min() < 0:
            raise DataError(
                f"'{name}' beside '{found.name}' should number the trial of each spike from 1, but does not."
            )
        first = min(int(pooled.min()), 1)
        n_trials = int(pooled.max()) + 1 - first
        pairs = [n for n, v in others.items() if is_pairs_of(n, v) and v.shape[1] == 2 and v.shape[0] >= n_trials]
        remaining = dict(others)
        if pairs:
            bounds = remaining.pop(pairs[0]).read().astype(np.float64)
            n_trials = len(bounds)
            for column, values in zip(("start_time", "stop_time"), bounds.T):
                remaining[column] = _stored(values)
        values = [
            [_stored(one[label == trial]) for one, label in zip(times, labels)]
            for trial in range(first, first + n_trials)
        ]
        fields = {key: of for key, of in found.fields.items() if key != name}
        parent, n_units = found.name.rpartition("/")[0], len(times)
        for key in [k for k, v in remaining.items() if v.shape == (n_units,) and k.rpartition("/")[0] == parent]:
            if n_units != n_trials:
                fields[last_part(key)] = [_stored(np.asarray(one)) for one in remaining.pop(key).read()]
        order = f"a unit each, with the trial of each spike in '{name}'"
        own = replace(found, form="trials", values=values, fields={}, unit_fields=fields, order=order)
        return own, remaining
    return None


def _beside(found: Spikes, variables: Mapping[str, Value]) -> Iterator[tuple[str, Sequence[StoredArray]]]:
    """The fields beside spike times that hold an array for each unit, by name."""
    fields: dict[str, Sequence[Value]] = dict(found.fields)
    value: Value | None = None
    for part in found.name.split("/")[:-1]:
        held = variables.get(part) if value is None else value.fields[part][0] if isinstance(value, Struct) else None
        if not isinstance(held, Struct) or held.size != 1:
            break
        value = held
    if isinstance(value, Struct):
        fields |= {key: one.items for key, (one,) in value.fields.items() if isinstance(one, Cell)}
    for name, values in fields.items():
        arrays = [one for one in values if isinstance(one, StoredArray) and one.is_number]
        if len(arrays) == len(values) == len(found.values):
            yield name, arrays


def _size(stored: StoredArray) -> int:
    return int(np.prod(stored.shape))


def _stored(values: np.ndarray) -> StoredArray:
    return StoredArray(values.shape, values.dtype, lambda: values)
