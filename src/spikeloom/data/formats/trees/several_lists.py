"""Several lists of spikes in the groups of one file: which of them is the recording."""

from __future__ import annotations

import re
from collections.abc import Mapping

from spikeloom.data.formats.naming.array_names import last_part
from spikeloom.data.formats.storage.containers import StoredArray
from spikeloom.data.formats.structures.spikes import TRIAL, UNIT
from spikeloom.data.formats.tables.spike_tables import UNITS
from spikeloom.data.formats.trees.found_lists import PLURALS, is_time
from spikeloom.data.session.clocks import plain_name
from spikeloom.errors import DataError

SHOWN = 4


def of_one_list(arrays: Mapping[str, StoredArray], counts: str | None) -> tuple[Mapping[str, StoredArray], bool]:
    """The arrays of a file without the lists of spikes that are not meant, and whether an option named the one that is.

    A list is a group with the time and the unit of each spike. Groups of trials are left as they are: theirs are parts
    of one list.

    Args:
        arrays: The arrays by full names.
        counts: Name of one of the groups, or of the times in it, by the option of this name.

    Raises:
        DataError: If there are several, and none is named: their units, or their clocks, are not the same.
    """
    groups = _groups(arrays)
    if len(groups) < 2 or _are_trials(groups):
        return arrays, False
    wanted = None if counts is None else counts.replace(".", "/")
    chosen = [group for group in groups if wanted is not None and wanted in (group, groups[group])]
    if chosen:
        others = [f"{group}/" for group in groups if group != chosen[0]]
        return {name: one for name, one in arrays.items() if not name.startswith(tuple(others))}, True
    if counts is not None:
        return arrays, False
    some = ", ".join(f"'{name}'" for name in list(groups)[:SHOWN]) + ", ..." * (len(groups) > SHOWN)
    raise DataError(
        f"there are {len(groups)} lists of spikes, of probes, sessions or the like ({some}); load one with "
        f"counts={next(iter(groups))}, or join them in Python and pass them to `spikeloom.from_spike_times`."
    )


def _groups(arrays: Mapping[str, StoredArray]) -> dict[str, str]:
    """The groups with a list of spikes, and the name of the times in each."""
    times = {n: v.shape for n, v in arrays.items() if len(v.shape) == 1 and v.is_number and is_time(last_part(n))}
    found = {}
    for name, stored in arrays.items():
        group, _, last = name.rpartition("/")
        if group and plain_name(last) in (*UNITS, *PLURALS) and stored.dtype.kind in "buifUS":
            for other, shape in times.items():
                if other != name and other.rpartition("/")[0] == group and shape == stored.shape != (1,):
                    found.setdefault(group, other)
    return found


def _are_trials(groups: Mapping[str, str]) -> bool:
    stems = {re.sub(r"\d+", "", group).strip("_- .") for group in groups}
    last = {plain_name(last_part(stem)) or plain_name(stem) for stem in stems}
    return len(stems) == 1 and all(TRIAL.fullmatch(stem) and not UNIT.fullmatch(stem) for stem in last)
