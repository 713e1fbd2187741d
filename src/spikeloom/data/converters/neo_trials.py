"""The trials of a Segment: intervals of an Epoch, with the times of Events in them, or windows around Events."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd

from spikeloom.data.columns import typed_column
from spikeloom.data.converters.spike_times import EVENT
from spikeloom.data.options import LoadOptions
from spikeloom.data.session.clocks import plain_name
from spikeloom.data.session.events import events_in_trials
from spikeloom.data.session.trial_table import as_trial_table
from spikeloom.errors import DataError

USUAL = ("trials", "trial")
"""Names of the Epoch whose intervals are trials."""
INVALID = re.compile(
    r"\b(bad|artifacts?|artefacts?|invalid|reject(ed)?|exclu(de|ded|sion)|corrupt(ed)?|saturat(ed|ion))\b"
)
"""Words in the name of an Epoch, or in labels of its intervals, by which their time is no recording."""
MOST_LABELS = 50
"""An Event with more different labels has a text of its own for each, not a few kinds."""


def trials_of(
    segment: Any, trials: Any, options: LoadOptions, n_segments: int, notes: list[str]
) -> tuple[pd.DataFrame | None, list[str]]:
    """The trials of a segment, and which of their columns are times of events.

    Args:
        segment: The segment.
        trials: Name of an Epoch, or a table; None to choose the Epoch.
        options: Names the event that trials are cut around.
        n_segments: Of the recording: each of several is a trial, unless ``trials`` is given.
        notes: Gets a note about epochs that are not used.

    Returns:
        The trials, None where the segment as a whole is one or where it has none.

    Raises:
        DataError: If there is no such Epoch, or no such event.
    """
    events = _events(segment)
    table = _intervals(segment, trials, n_segments, notes)
    if table is None and options.align is None:
        return None, []
    if table is None:
        return _around(segment, str(options.align), events, n_segments)
    start, stop = (table[name].to_numpy(dtype=float)[:, None] for name in ("start_time", "stop_time"))
    inside = {
        name: events_in_trials(table, times, name, notes if name == options.align else [])
        for name, times in events.items()
        if name not in table and (name == options.align or ((times >= start) & (times <= stop)).any())
    }
    return table.assign(**inside), list(inside)


def first_events(segment: Any) -> dict[str, float]:
    """The time of the first event of each name in a segment that is a trial as a whole."""
    return {name: float(times[0]) for name, times in _events(segment).items() if len(times)}


def loaded(one: Any) -> Any:
    """The object itself, where a reader only stands in for it."""
    return one.load() if hasattr(one, "load") else one


def _intervals(segment: Any, trials: Any, n_segments: int, notes: list[str]) -> pd.DataFrame | None:
    if trials is not None and not isinstance(trials, str) and not hasattr(trials, "durations"):
        if n_segments > 1:
            raise DataError(
                "trials is a table, but segments have clocks of their own; name an Epoch, or pass one segment."
            )
        return as_trial_table(trials)
    epochs = [epoch for epoch in map(loaded, segment.epochs) if trials is not None or not _is_invalid(epoch).all()]
    if hasattr(trials, "durations"):
        return _of_epoch(trials)
    if trials is not None:
        found = [epoch for epoch in epochs if epoch.name == trials]
        if not found and n_segments == 1:
            names = ", ".join(str(epoch.name) for epoch in epochs) or "none"
            raise DataError(f"there is no Epoch '{trials}' (epochs: {names}); name one of these.")
        return _of_epoch(found[0]) if found else None
    if n_segments > 1:
        return None
    usual = [epoch for epoch in epochs if str(epoch.name).lower() in USUAL]
    chosen = usual[:1] or ([epoch for epoch in epochs if len(epoch)] if len(epochs) == 1 else [])
    if not chosen:
        if epochs:
            names = ", ".join(f"'{epoch.name}'" for epoch in epochs)
            notes.append(f"epochs {names} are not used; name the one that holds the trials with trials=<name>")
        return None
    if not usual:
        notes.append(f"the intervals of the Epoch '{chosen[0].name}' are taken for the trials, as it is the only one")
    return _of_epoch(chosen[0])


def invalid_times(segment: Any, trials: Any, notes: list[str]) -> np.ndarray | None:
    """(interval, 2) times that are called bad: Epochs of such a name, or intervals of such a label; None without any.

    Args:
        segment: The segment.
        trials: The Epoch whose intervals are the trials, or its name: none of these is left out.
        notes: Gets a note about what is left out.
    """
    found = []
    for epoch in map(loaded, segment.epochs):
        bad = _is_invalid(epoch)
        named = epoch.name in (*USUAL, trials if isinstance(trials, str) else USUAL[0])
        alone = len(segment.epochs) == 1 and not bad.all()
        if not bad.any() or epoch is trials or named or alone:
            continue
        table = _of_epoch(epoch)
        found.append(table[["start_time", "stop_time"]].to_numpy(dtype=float)[bad])
        length_s = float((found[-1][:, 1] - found[-1][:, 0]).sum())
        notes.append(
            f"{bad.sum()} intervals of the Epoch '{epoch.name}' ({length_s:.4g} s) are left out, as they are called "
            f"'{epoch.name if _says_bad(epoch.name) else epoch.labels[int(np.argmax(bad))]}'"
        )
    return np.concatenate(found) if found else None


def _is_invalid(epoch: Any) -> np.ndarray:
    """Which intervals of an Epoch are called bad: all by its name, or some by their labels."""
    n = len(epoch.times)
    if _says_bad(epoch.name):
        return np.ones(n, dtype=bool)
    labels = list(epoch.labels) if len(epoch.labels) == n else [""] * n
    return np.array([_says_bad(label) for label in labels], dtype=bool)


def _says_bad(name: Any) -> bool:
    return INVALID.search(plain_name(name or "").replace("_", " ")) is not None


def _around(
    segment: Any, align: str, events: dict[str, np.ndarray], n_segments: int
) -> tuple[pd.DataFrame | None, list[str]]:
    """One row for each event of a name, or for each interval of an Epoch of that name."""
    for epoch in map(loaded, segment.epochs):
        if epoch.name == align and align not in events:
            table = _of_epoch(epoch)
            return table.assign(**{align: table["start_time"]}), [align]
    if align not in events:
        if n_segments > 1:
            return None, []
        names = ", ".join(events) or "none"
        raise DataError(f"there is no Event or label '{align}' to align to (there are: {names}); name one of these.")
    return pd.DataFrame({align: events[align]}), [align]


def _events(segment: Any) -> dict[str, np.ndarray]:
    """Times of events in seconds, by the name of the Event and by each of its labels."""
    found: dict[str, list[np.ndarray]] = {}
    for event in map(loaded, segment.events):
        times = np.asarray(event.times.rescale("s").magnitude, dtype=float)
        labels = np.asarray(event.labels).astype(str) if len(event.labels) == len(times) else np.zeros(0, dtype=str)
        found.setdefault(event.name or EVENT, []).append(times)
        kinds = [label for label in dict.fromkeys(labels.tolist()) if label and label != event.name]
        for label in kinds if len(kinds) <= MOST_LABELS else []:
            found.setdefault(label, []).append(times[labels == label])
    return {name: np.sort(np.concatenate(parts)) for name, parts in found.items()}


def _of_epoch(epoch: Any) -> pd.DataFrame:
    start = np.asarray(epoch.times.rescale("s").magnitude, dtype=float)
    duration = np.asarray(epoch.durations.rescale("s").magnitude, dtype=float)
    table = pd.DataFrame({"start_time": start, "stop_time": start + duration})
    if len(epoch.labels) == len(start) and any(str(label) for label in epoch.labels):
        table["label"] = typed_column(np.asarray(epoch.labels))
    columns = {str(k): v for k, v in epoch.array_annotations.items() if np.ndim(v) == 1 and len(v) == len(start)}
    return table.assign(**{k: typed_column(getattr(v, "magnitude", v)) for k, v in columns.items() if k not in table})
