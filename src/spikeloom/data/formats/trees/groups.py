"""The arrays of npz and HDF5 files as a tree of structures, as MATLAB has them: groups of one kind are its elements."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from spikeloom.data.formats.naming.array_names import COUNTS, last_part, plain
from spikeloom.data.formats.naming.neuron_columns import NEURON
from spikeloom.data.formats.storage.containers import StoredArray
from spikeloom.data.formats.structures.spikes import spikes_in
from spikeloom.data.formats.structures.values import Cell, Struct, Value, arrays_of
from spikeloom.data.formats.trees.found_lists import spike_list_in
from spikeloom.data.formats.trees.spike_lists import vectors_of_units, word
from spikeloom.data.options import LoadOptions

SILENT = StoredArray((0,), np.dtype(float), lambda: np.zeros(0))
"""Spike times of a unit that did not fire."""
Node = dict[str, Any]
"""The members of a group by name: arrays, and groups as further nodes."""


def tree_of(arrays: Mapping[str, StoredArray]) -> dict[str, Value]:
    """Arrays by full names ("trial_3/spikes") as a tree.

    A group is a structure. Several whose names differ in a number alone are the elements of one array of structures
    ("trial"), in the order of their numbers; and so are numbered vectors in each of these the elements of a cell.

    Example:
        >>> import numpy as np
        >>> one = StoredArray((5, 2), np.dtype(int), lambda: np.zeros((5, 2), int))
        >>> print(tree_of({f"trials/trial_{i}/counts": one for i in range(3)})["trials"].fields["trial"][0])
        struct 3 (id, counts)
    """
    root: Node = {}
    for name, stored in arrays.items():
        *groups, last = name.split("/")
        node = root
        for group in groups:
            inner = node.setdefault(group, {})
            if not isinstance(inner, dict):
                break
            node = inner
        else:
            node[last] = stored
    return _fields(root, within=False)


def holds_spike_times(variables: Mapping[str, Value], arrays: Mapping[str, StoredArray], options: LoadOptions) -> bool:
    """Whether a tree is to be read as one, and not as plain arrays of counts.

    It is where no array has a name of counts, and there are structures of trials or units, a list of spikes, or a
    vector of spike times for each unit.
    """
    if options.counts is not None and any(last_part(name) == options.counts for name in arrays):
        return False
    flat = arrays_of(variables)
    counts = (name for name, stored in flat.items() if len(stored.shape) in (2, 3) and stored.is_number)
    if any(plain(name) in COUNTS for name in counts):
        return False
    if spike_list_in(flat) is not None or vectors_of_units(flat) is not None:
        return True
    return spikes_in(variables, options.counts) is not None


def _with_silent_units(elements: Sequence[Node]) -> None:
    """Give each of the groups of one kind an empty vector for units that only others have: they did not fire in it."""
    names = list(dict.fromkeys(name for one in elements for name in one))
    inner = [name for name in names if all(isinstance(one.get(name, {}), dict) for one in elements)]
    for name in inner:
        if sum(name in one for one in elements) > len(elements) / 2:
            _with_silent_units([one.setdefault(name, {}) for one in elements])
    vectors = dict.fromkeys(name for one in elements for name in _numbered_vectors(one))
    if len(_stems(vectors)) == 1:
        for one in elements:
            for name in vectors:
                one.setdefault(name, SILENT)


def _numbered_vectors(node: Node) -> list[str]:
    """The vectors of a group that are called neurons ("unit_3"), or, where it holds no others, differ in a number."""
    vectors = [n for n, one in node.items() if isinstance(one, StoredArray) and len(one.shape) == 1]
    numbered = [name for name in vectors if re.search(r"\d", name)]
    if len(numbered) < len(node):
        numbered = [name for name in numbered if NEURON.fullmatch(plain(name))]
    return sorted(numbered, key=_numbers) if len(_stems(numbered)) == 1 else []


def _stem(name: str) -> str:
    """A name without its numbers."""
    return re.sub(r"\d+", "", name).strip("_- .")


def _stems(names: Iterable[str]) -> set[str]:
    return set(map(_stem, names))


def _fields(node: Node, within: bool) -> dict[str, Value]:
    """The members of a group; those that are numbered as one."""
    groups = {n: one for n, one in node.items() if isinstance(one, dict) and re.search(r"\d", n)}
    for stem in _stems(groups):
        _with_silent_units([one for n, one in groups.items() if _stem(n) == stem])
    fields: dict[str, Value] = {
        name: _value(name, member, within or bool(re.search(r"\d", name))) for name, member in node.items()
    }
    stems: dict[str, list[str]] = {}
    for name, member in fields.items():
        if isinstance(member, Struct | Cell) and re.search(r"\d", name):
            stems.setdefault(_stem(name), []).append(name)
    for stem, names in stems.items():
        if len(names) < 2:
            continue
        names = sorted(names, key=_numbers)
        cells = [one for name in names if isinstance(one := fields[name], Cell)]
        if len(cells) == len(names):
            fields = {name: member for name, member in fields.items() if name not in names}
            fields[stem or "elements"] = Cell((len(cells), 1), cells)
            continue
        if cells:
            continue
        elements = [one for name in names if isinstance(one := fields[name], Struct)]
        shared = [key for key in elements[0].fields if all(key in one.fields for one in elements)]
        if shared:
            of_all = {key: [one.fields[key][0] for one in elements] for key in shared}
            joined = Struct((len(elements),), {"id": [word(name) for name in names], **of_all})
            fields = {name: member for name, member in fields.items() if name not in names}
            fields[stem or "elements"] = joined
    return fields


def _value(name: str, member: Node | StoredArray, within: bool) -> Value:
    if not isinstance(member, dict):
        return member
    units = _numbered_vectors(member) if within else []
    cell = Cell((len(units), 1), [member[key] for key in units])
    if units and len(units) == len(member):
        return cell
    fields = _fields({key: one for key, one in member.items() if key not in units}, within)
    if units:
        fields[_stems(units).pop() or "units"] = cell
    if list(fields) == ["elements"]:
        return fields["elements"]
    return Struct((1, 1), {key: [one] for key, one in fields.items()})


def _numbers(name: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", name)))
