"""Which columns of a table are neurons: by names that only neurons have, else by what their numbers are."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from spikeloom.data.session.clocks import plain_name
from spikeloom.data.tables import Column, Table
from spikeloom.errors import DataError

NEURON = re.compile(
    r"(.*_)?(unit|neuron|cell|cluster|clu|sig|spk|spkc|sua|mua|spikes?|counts?|spike_counts?)_?(id_?)?\d+[a-z]?(_.*)?"
    r"|(.*_)?(chan|channel|ch|electrode|elec|e)_?\d+_?(unit|u|clu|cluster|cell|c)?_?\d*[a-z]?|(unit|neuron)_.*|[nu]_?\d+"
)
"""Names that only neurons have; where there are any, other columns are no neurons."""
ATTRIBUTE = re.compile(
    r"(.*_)?(unit|neuron|cell|cluster)s?_(ids?|index|indices|indexes|idx|numbers?|nums?|nrs?|labels?|names?|types?|class(es)?"
    r"|quality|qualities|groups?|depths?|areas?|regions?|channels?|chans?|electrodes?|shanks?|probes?|layers?|positions?"
    r"|locations?|locs?|coords?|coordinates?|snrs?|rates?|amplitudes?|amps?|counts?|orders?|masks?|lists?)"
)
"""Names of lists with a value for each neuron, although they begin as those of one neuron may."""
MEMBERS = 0.75
"""Share of the columns that are members of numbered groups, from which on the others are taken for something else."""
BEHAVIOUR = re.compile(
    r"(.*_)?(licks?|licking|state|states|phase|phases|reward|rewards|rewarded|stim|stims|stimulus|stimuli|speed|velocity|vel"
    r"|pos|position|running|run|wheel|lever|choice|choices|cue|cues|target|targets|outcome|correct|error|errors|hit|miss"
    r"|led|ttl|sync|pulse|pulses|laser|opto|light|sound|tone|odor|odour|airpuff|puff|valve|pump|water|poke|pokes|nosepoke"
    r"|button|press|presses|key|touch|contact|event|events|marker|label|labels|code|codes|condition|context|contrast"
    r"|direction|dir|orientation|angle|heading|head|hand|eye|gaze|pupil|blink|whisk|whisker|paw|arm|joint|force|emg|lfp"
    r"|frame|frames|video|camera|image|zone|lap|laps|epoch|block|session|day|date|task|rule|side|left|right|up|down"
    r"|go|nogo|movement|moving|motion|still|sleep|wake|rem|nrem|age|weight|flag|valid|good|bad|x|y|z|distance|dist"
    r"|temperature|acc|accel|gyro|count_total|total|sum|mean|population|pop)(_.*)?"
)
"""Names of what an animal does, sees or is in, and of what was recorded beside neurons."""
EVENT = re.compile(r"(.*_)?(events?|evt|strobed|markers?|trigger|trig|ttl|all_?file|keyboard|frames?)_?\d*(_.*)?")
"""Names of the events of recording systems."""
STATE = 0.8
"""Share of the bins above zero that are followed by the same value: no neuron repeats its counts so, and states do."""
FEWEST = 5
"""Fewer bins above zero say nothing of that."""
SHOWN = 8


def neurons_and_signals(
    table: Table, names: Sequence[str], signals: Sequence[str] | None, notes: list[str]
) -> tuple[list[str], list[str]]:
    """The columns that are neurons, and those that are signals.

    Columns with names that only neurons have are neurons, and no others. Without these, whole numbers are that are
    neither called behaviour nor last as states do: where most of them are members of groups with a number each
    ("CA1_1", "CA1_2"), these alone. What was guessed is noted.

    Args:
        table: The table.
        names: The columns in question.
        signals: Columns that the user calls signals.
        notes: Gets a note about what was guessed and left out.

    Raises:
        DataError: If no column can be a neuron, or one that is called so holds no counts.
    """
    numeric = [n for n in names if pd.api.types.is_numeric_dtype(table[n].dtype)]
    text = [n for n in names if n not in numeric]
    if text:
        notes.append(f"columns left out, as they hold text: {', '.join(text)}")
    free = [n for n in numeric if n not in (signals or ())]
    neurons = [n for n in free if NEURON.fullmatch(plain_name(n))]
    for name in neurons:
        _check_counts(table[name], name)
    if not neurons:
        neurons = _guessed(table, free, notes)
    others = [n for n in numeric if n not in neurons]
    partly = [n for n in others if table[n].isna().any() and is_whole(table[n].dropna())]
    if partly:
        notes.append(f"taken as signals, as some of their values are missing: {', '.join(partly)}")
    return neurons, others


def is_whole(column: Column) -> bool:
    """Whether all values are whole numbers, zero or more."""
    values = column.to_numpy(dtype=float, na_value=np.nan)
    return bool((values >= 0).all() and (values == np.floor(values)).all())


def _guessed(table: Table, names: list[str], notes: list[str]) -> list[str]:
    """Columns that may be neurons although no name says so."""
    whole = [n for n in names if is_whole(table[n])]
    behaviour = [n for n in whole if BEHAVIOUR.fullmatch(plain_name(n)) and not n.isdigit()]
    steady = [n for n in whole if n not in behaviour and _lasts(table[n])]
    left = [n for n in whole if n not in behaviour and n not in steady]
    if not left:
        listed = ", ".join(map(str, list(table)[: SHOWN + 4]))
        why = ""
        if behaviour or steady:
            why = f"; {_some([*behaviour, *steady])} may be behaviour, by {'name' if behaviour else 'values that last'}"
        raise DataError(
            f"the table has neither a unit and a time for each spike, nor columns of counts (columns: {listed}){why}; "
            "name the columns 'unit' and 'time_s', or give every neuron a column of whole numbers called 'unit_1', "
            "'unit_2', and so on."
        )
    members = _members(left)
    neurons = members if len(members) >= MEMBERS * len(left) else left
    if len(neurons) == len(left) and all(str(n).isdigit() for n in neurons):
        return neurons  # as arrays are written
    others = [n for n in whole if n not in neurons]
    notes.append(
        f"no name says which columns are neurons: {_some(neurons)} are taken for them, as they hold whole numbers"
        + (f", and {_some(others)} for signals" if others else "")
        + "; call neurons 'unit_1' and so on, or name the signals with signals, if it is not so"
    )
    return neurons


def _members(names: Sequence[str]) -> list[str]:
    """Those names that differ from another one in their numbers alone: "tt1_c2" and "tt2_c1"."""
    stems: dict[str, list[str]] = {}
    for name in names:
        if re.search(r"\d", name):
            stems.setdefault(re.sub(r"\d+", "#", plain_name(name)), []).append(name)
    several = {name for group in stems.values() if len(group) > 1 for name in group}
    return [name for name in names if name in several]


def _lasts(column: Column) -> bool:
    values = column.to_numpy(dtype=float)
    above = values[:-1] > 0
    return int(above.sum()) >= FEWEST and float((values[1:] == values[:-1])[above].mean()) >= STATE


def _check_counts(column: Column, name: str) -> None:
    values = column.to_numpy(dtype=float, na_value=np.nan)
    bad = np.flatnonzero((values < 0) | (values != np.floor(values)) & np.isfinite(values))
    if len(bad):
        value = values[bad[0]]
        guess = "are these rates or fluorescence? Give counts, or the times of spikes."
        raise DataError(
            f"'{name}' holds {value:g} in row {bad[0]}, but counts of spikes are whole numbers, and "
            f"{'not negative; correct it.' if value < 0 else guess}"
        )


def _some(names: Sequence[str]) -> str:
    if len(names) <= SHOWN:
        return ", ".join(names)
    return f"{len(names)} columns ({', '.join(names[:3])}, ... {names[-1]})"
