"""Where the spikes of a MATLAB file are: in structures of trials or of units, or in cells of spike times."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from spikeloom.data.formats.naming.array_names import last_part
from spikeloom.data.formats.naming.neuron_columns import EVENT
from spikeloom.data.formats.storage.containers import StoredArray
from spikeloom.data.formats.structures.values import Cell, Struct, Value, words_of
from spikeloom.data.session.clocks import plain_name
from spikeloom.errors import DataError

SPIKES = re.compile(
    r"(.*_)?(spikes?|spks?|raster|counts?|spike_?trains?|spike_?times?|spike_?counts?|timestamps?|times|ts|st|sua|mua|units?"
    r"|neurons?|cells?|clusters?|firings?|events)(_.*)?|spiketimes?.*|spk.*|y|binned.*"
)
UNIT = re.compile(r".*(unit|neuron|cell|cluster|clu|sua|mua|chan|electrode|sort).*")
TRIAL = re.compile(r".*(trial|sweep|block|seq|epoch|dat|rep).*|r|tr|d|s")

UNIT_OF_EACH = ("unit", "units", "cluster", "clusters", "cell", "cells", "neuron", "neurons", "spike_clusters", "clu")
UNIT_OF_EACH = (*UNIT_OF_EACH, "spike_units", "spike_cluster", "spike_unit", "cluster_id", "unit_id", "cluster_ids")
UNIT_OF_EACH = (*UNIT_OF_EACH, "unit_ids", "neuron_id", "neuron_ids", "cell_id", "cell_ids", "sortcode", "sort_code")
"""Names of the unit of each spike beside its time."""
SECONDS_FIRST = ("spike_times", "times", "time", "spiketimes", "t", "ts", "timestamps", "timestamp")
"""Names of the times of the same spikes, those that are likely seconds first."""

Form = Literal["counts", "units", "trials"]
"""Counts of each trial; spike times of each unit; spike times of each unit in each trial."""


@dataclass(frozen=True)
class Spikes:
    """Spikes as they are found in a file.

    Attributes:
        name: Its name, such as "session/trial/spikes".
        form: How it is arranged.
        values: Counts of each trial, spike times of each unit, or ``values[trial][unit]`` spike times.
        fields: What else its structures hold, one value for each element of ``values``.
        order: How its axes were understood, for a note.
        unit_fields: What structures of units hold beside spike times by trial.
        is_matrix: Whether it is a cell array with two axes, of which the second may be trials or units of a channel.
        variables: Names of the variables that it was made of; that of the name if there are none.
    """

    name: str
    form: Form
    values: Sequence[StoredArray] | Sequence[Sequence[StoredArray]]
    fields: Mapping[str, Sequence[Value]] = field(default_factory=dict)
    order: str = ""
    unit_fields: Mapping[str, Sequence[Value]] = field(default_factory=dict)
    is_matrix: bool = False
    variables: Sequence[str] = ()

    def has(self, variable: str) -> bool:
        """Whether it was made of a variable, or of a part of it."""
        return any(name.startswith(variable) for name in self.variables or [self.name])

    def arrays(self) -> list[StoredArray]:
        """The values where each is one array."""
        return [one for one in self.values if isinstance(one, StoredArray)]

    def lists(self) -> list[Sequence[StoredArray]]:
        """The values where each is a list of arrays."""
        return [one for one in self.values if not isinstance(one, StoredArray)]

    def holds_some(self) -> bool:
        """Whether any of its arrays is not empty."""
        return any(_length(one) for one in self.arrays()) or any(_length(one) for row in self.lists() for one in row)

    def is_of_events(self) -> bool:
        """Whether it is called events of a recording system, or is in what is called so."""
        return any(EVENT.fullmatch(plain_name(part)) for part in self.name.split("/")[-2:])

    def is_named_so(self) -> bool:
        """Whether its name says that it holds spikes."""
        return any(SPIKES.fullmatch(plain_name(part)) for part in self.name.split("/")[-2:])


def spikes_in(variables: Mapping[str, Value], chosen: str | None) -> Spikes | None:
    """The spikes in structures and cells, or None where there are none.

    Args:
        variables: The variables of a file.
        chosen: Name that the user gave, such as "trial" or "trial.spikes".

    Raises:
        DataError: If several look like spikes, and none was chosen.
    """
    found = [spikes for name, value in variables.items() for spikes in _walk(name, value)]
    if chosen is not None:
        wanted = chosen.replace(".", "/").strip("/")
        found = [spikes for spikes in found if spikes.name == wanted] or [
            spikes for spikes in found if spikes.name.rpartition("/")[0] == wanted or spikes.name.endswith("/" + wanted)
        ]
    found = [spikes for spikes in found if spikes.holds_some()] or found
    for narrower in (
        [spikes for spikes in found if spikes.is_named_so()],
        [spikes for spikes in found if not spikes.is_of_events()],
        [spikes for spikes in found if re.search("spike|spk", last_part(spikes.name).lower())],
    ):
        if len(found) > 1 and narrower:
            found = narrower
    if len(found) > 1 and _are_the_same_spikes(found):
        found = sorted(found, key=_whole)[:1]
    if len(found) > 1:
        names = " or ".join(spikes.name for spikes in found[:6])
        raise DataError(f"which of {names} holds the spikes is not clear; name it with counts=<array>.")
    return found[0] if found else None


def _are_the_same_spikes(found: Sequence[Spikes]) -> bool:
    """Whether they are the same spikes in several forms: called times beside each other, and as many of each unit."""
    first, *others = [[_length(one) for one in spikes.arrays()] for spikes in found]
    beside = len({spikes.name.rpartition("/")[0] for spikes in found}) == 1
    named = [plain_name(last_part(spikes.name)) in SECONDS_FIRST for spikes in found]
    are_units = all(spikes.form == "units" for spikes in found)
    return beside and all(named) and are_units and len(first) > 1 and others == [first] * len(others)


def _whole(spikes: Spikes) -> tuple[bool, int]:
    """Whether times are whole numbers, as samples are, and how usual their name is: seconds come first."""
    last = plain_name(last_part(spikes.name))
    whole = all((values := one.read().astype(float)).size == 0 or not (values % 1).any() for one in spikes.arrays()[:5])
    return whole, SECONDS_FIRST.index(last) if last in SECONDS_FIRST else len(SECONDS_FIRST)


def _walk(name: str, value: Value) -> Iterator[Spikes]:
    """Everything in a variable that is arranged like spikes."""
    if isinstance(value, Cell):
        rows = _as_struct(value)
        if rows is not None:
            yield from _of_struct(name, rows)
        elif words_of(value) is None:
            spikes = _of_cell(name, value)
            if spikes is not None:
                yield spikes
    elif isinstance(value, Struct) and value.size == 1:
        for key, (only,) in value.fields.items():
            yield from _walk(f"{name}/{key}", only)
    elif isinstance(value, Struct) and value.size:
        yield from _of_struct(name, value)


def _as_struct(value: Cell) -> Struct | None:
    """A cell of single structures as an array of these, with the fields that all have."""
    if not value.items or not all(isinstance(item, Struct) and item.size == 1 for item in value.items):
        return None
    structs = [item for item in value.items if isinstance(item, Struct)]
    shared = [key for key in structs[0].fields if all(key in one.fields for one in structs)]
    return Struct(value.shape, {key: [one.fields[key][0] for one in structs] for key in shared})


def _of_struct(name: str, value: Struct) -> Iterator[Spikes]:
    own = plain_name(last_part(name))
    for key, values in value.fields.items():
        full, others = f"{name}/{key}", {k: v for k, v in value.fields.items() if k != key}
        if all(isinstance(one, Struct) and one.size == 1 for one in values):  # trial(i).neural.spikes
            inner = _as_struct(Cell(value.shape, values))
            if inner is not None:
                for spikes in _of_struct(full, inner):
                    beside = {**_flattened(others), **spikes.fields}
                    yield Spikes(spikes.name, spikes.form, spikes.values, beside, spikes.order)
            continue
        units = [one for one in values if isinstance(one, Struct) and one.size > 1]
        if len(units) == len(values) and len({one.size for one in units}) == 1:  # trial(i).unit(j).times
            yield from _of_units_in_trials(full, units, others)
            continue
        arrays = [one for one in values if isinstance(one, StoredArray) and one.is_number]
        cells = [one for one in values if isinstance(one, Cell)]
        if len(arrays) == len(values) and all(_is_vector(one) for one in arrays):
            if max((_length(one) for one in arrays), default=0) < 2 or not are_times(arrays):
                continue
            of_each = _units_of_each(arrays, others)
            if of_each is not None:
                yield _of_lists(full, arrays, of_each, others, is_trial=bool(TRIAL.fullmatch(own)))
                continue
            if TRIAL.fullmatch(own) and not UNIT.fullmatch(own):
                yield Spikes(full, "trials", [[one] for one in arrays], others, "a trial a structure, of one neuron")
            else:
                yield Spikes(full, "units", arrays, others, "a unit a structure")
        elif len(arrays) == len(values) and all(len(one.shape) == 2 for one in arrays):
            yield Spikes(full, "counts", arrays, others)
        elif len(cells) == len(values) and all(_holds_times(cell) for cell in cells):
            of_each = [_vectors(cell) for cell in cells]
            if len({len(one) for one in of_each}) != 1:
                continue
            if UNIT.fullmatch(own) and not TRIAL.fullmatch(own):
                turned = [list(trial) for trial in zip(*of_each)]
                yield Spikes(full, "trials", turned, {}, "a unit a structure, a trial a cell", others)
            else:
                yield Spikes(full, "trials", of_each, others, "a trial a structure, a neuron a cell")


def _units_of_each(times: Sequence[StoredArray], others: Mapping[str, Sequence[Value]]) -> str | None:
    """The field beside spike times that holds the unit of each spike; None where there is none."""
    lengths = [_length(one) for one in times]
    for key, values in others.items():
        if plain_name(key) in UNIT_OF_EACH:
            arrays = [one for one in values if isinstance(one, StoredArray)]
            if len(arrays) == len(values) and [_length(one) for one in arrays] == lengths:
                return key
    return None


def _of_lists(
    name: str, times: Sequence[StoredArray], key: str, others: Mapping[str, Sequence[Value]], is_trial: bool
) -> Spikes:
    """The spikes of structures with the time and the unit of each: those of trials.

    Raises:
        DataError: If the structures are no trials: their units, or their clocks, are not the same.
    """
    if not is_trial:
        raise DataError(
            f"'{name}' and '{key}' are {len(times)} lists of spikes, of probes, sessions or the like; save one of "
            "them by itself, or join them in Python and pass them to `spikeloom.from_spike_times`."
        )
    units = [np.ravel(one.read()) for one in others[key] if isinstance(one, StoredArray)]
    values = [np.ravel(one.read()) for one in times]
    ids = np.unique(np.concatenate(units))
    rows = [[_stored(one[unit == label]) for label in ids] for one, unit in zip(values, units, strict=True)]
    rest = {k: v for k, v in others.items() if k != key}
    order = f"a trial a structure, with the unit of each spike in '{key}'"
    return Spikes(name, "trials", rows, rest, order, {"id": [_stored(np.asarray(label)) for label in ids]})


def _stored(values: np.ndarray) -> StoredArray:
    return StoredArray(values.shape, values.dtype, lambda: values)


def _of_units_in_trials(name: str, trials: Sequence[Struct], others: Mapping[str, Sequence[Value]]) -> Iterator[Spikes]:
    """Spike times in structures of units, which are in structures of trials."""
    for key in trials[0].fields:
        if not all(key in one.fields for one in trials):
            continue
        values = [list(one.fields[key]) for one in trials]
        arrays = [one for row in values for one in row if isinstance(one, StoredArray) and one.is_number]
        is_all = len(arrays) == sum(map(len, values)) and all(_is_vector(one) for one in arrays)
        if not is_all or max(map(_length, arrays), default=0) < 2 or not are_times(arrays):
            continue
        rest = {k: v for k, v in trials[0].fields.items() if k != key}
        rows = [[one for one in row if isinstance(one, StoredArray)] for row in values]
        yield Spikes(f"{name}/{key}", "trials", rows, others, "a trial a structure, a unit a structure in it", rest)


def _flattened(fields: Mapping[str, Sequence[Value]]) -> dict[str, Sequence[Value]]:
    """Fields of which those that hold a structure in each element are replaced by its fields: trial(i).task.target."""
    flat: dict[str, Sequence[Value]] = {}
    for name, values in fields.items():
        inner = _as_struct(Cell((len(values), 1), values))
        if inner is None:
            flat[name] = values
        else:
            flat |= {key: one for key, one in _flattened(inner.fields).items() if key not in flat}
    return flat


def _of_cell(name: str, value: Cell) -> Spikes | None:
    if not value.items:
        return None
    if _holds_times(value) and are_times(_vectors(value)):
        items, (rows, columns) = _vectors(value), (value.shape[0], int(np.prod(value.shape[1:])))
        if min(rows, columns) == 1:
            return Spikes(name, "units", items, order="a neuron a cell")
        by_trial = [items[column * rows : (column + 1) * rows] for column in range(columns)]
        return Spikes(name, "trials", by_trial, order=f"{rows} neurons x {columns} trials", is_matrix=True)
    arrays = [item for item in value.items if isinstance(item, StoredArray) and item.is_number]
    if len(arrays) == len(value.items) and all(len(one.shape) == 2 for one in arrays) and not _holds_times(value):
        return Spikes(name, "counts", arrays, order="a trial a cell")
    cells = [item for item in value.items if isinstance(item, Cell)]
    if len(cells) == len(value.items) and all(_holds_times(cell) for cell in cells):
        of_each = [_vectors(cell) for cell in cells]
        if len({len(one) for one in of_each}) == 1:
            return Spikes(name, "trials", of_each, order=f"{len(of_each)} trials of {len(of_each[0])} neurons")
    return None


def _holds_times(cell: Cell) -> bool:
    """Whether every element is a vector of numbers, and any of them more than a single one."""
    arrays = [item for item in cell.items if isinstance(item, StoredArray) and item.is_number]
    return len(arrays) == len(cell.items) > 0 and all(_is_vector(one) for one in arrays)


def _vectors(cell: Cell) -> list[StoredArray]:
    return [item for item in cell.items if isinstance(item, StoredArray)]


def _is_vector(stored: StoredArray) -> bool:
    return 0 in stored.shape or int(np.prod(stored.shape)) == max(stored.shape, default=1)


def _length(stored: StoredArray) -> int:
    return int(np.prod(stored.shape))


def are_times(arrays: Sequence[StoredArray]) -> bool:
    """Whether vectors increase, up to ties, as spike times do and other numbers do not; the first few are looked at."""
    looked_at = [one.read().ravel() for one in [one for one in arrays if _length(one) > 1][:20]]
    steps = np.concatenate([np.zeros(0), *(np.diff(one.astype(np.float64)) for one in looked_at)])
    if any(one.dtype.kind == "b" for one in looked_at):
        return False
    # Counts and rasters go up and down; the order of spike times may be broken here and there.
    return not len(steps) or (float((steps >= 0).mean()) > 0.9 and float((steps > 0).mean()) > 0.5)
