"""Reading: how a file is to be understood, and the steps every source shares once its arrays are known."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool

from spikeloom.data.bins import rebin, whole_bins
from spikeloom.data.comparisons import column_of, is_comparison, matches, parsed
from spikeloom.data.directions import ANGLE, parse_direction, with_direction
from spikeloom.data.holdout import hold_out
from spikeloom.data.reaches import REACH_COLUMNS, cut_reaches
from spikeloom.data.smoothing import smoothed_of_neurons, with_smoothed_counts
from spikeloom.data.spikedata import Signal, SpikeData
from spikeloom.errors import DataError

ARRAY_OPTIONS = ("counts", "lengths", "segment", "axes")
NWB_OPTIONS = (
    *("align", "continuous", "lag_s", "forward_s", "binning", "overlap"),
    *("jitter_s", "jitter_room", "scored"),
)
BINNINGS = ("event", "nlb")
OVERLAPS = ("keep", "cut")
SCORED = ("scored_from_bin", "scored_to_bin")
"""Trial columns with the part of each trial that the option "scored" asks for: from one bin to before the other."""


@dataclass(frozen=True)
class LoadOptions:
    """How to understand a recording; what is not given is taken from the file, or guessed and reported.

    Raises:
        DataError: If options contradict each other.

    Example:
        >>> LoadOptions(where=("success=1", "length<=30"), condition="target").to_dict()
        {'condition': 'target', 'where': ['success=1', 'length<=30']}
    """

    bin_s: float | None = None
    """Width of a bin in seconds: for arrays a multiple of the stored width, for NWB any (0.005 if not given)."""
    counts: str | None = None
    """Name of the array of spike counts (arrays only)."""
    lengths: str | None = None
    """Name of the array with the number of valid bins of each trial (arrays only)."""
    segment: str | None = None
    """Name of the array that says which continuous piece each bin of (time, neuron) counts is from (arrays only)."""
    axes: str | None = None
    """Order of the axes of the counts: a permutation of "trial,time,neuron", or of "time,neuron" (arrays only)."""
    neurons: str | None = None
    """Neurons to keep: a true/false column or array ("good_electrode"), or a comparison ("quality=good")."""
    signals: tuple[str, ...] | None = None
    """Behavioural signals to keep; all that fit when not given."""
    columns: tuple[str, ...] | None = None
    """Columns of the trials table to keep; all that fit when not given."""
    condition: str | None = None
    """Trial column that becomes "condition", by which splits are balanced and metrics are grouped; several joined by
    commas stand for their combinations."""
    where: tuple[str, ...] = ()
    """Trials to keep: comparisons that must all hold, like "success=1"; "length" is a trial's bins as read."""
    smooth_s: float | None = None
    """Standard deviation of a Gaussian in seconds: smoothed counts are kept as the signal "smoothed_counts", made
    before trials are cut from continuous recordings."""
    window_s: float | None = None
    """Cut trials or a continuous session into windows of this many seconds; the rest of each is dropped."""
    step_s: float | None = None
    """Seconds between the starts of two windows; window_s if not given."""
    continuous: bool = False
    """Read the observed time as continuous pieces although there is a trials table (NWB only)."""
    align: str | None = None
    """Trial column with the time of an event that trials are cut around (NWB only)."""
    reaches: str | None = None
    """Velocity signal by whose speed reaches are found in continuous pieces, to cut trials around their onset."""
    before_s: float | None = None
    """Seconds before the event (align) or onset (reaches) at which a trial starts, 0 if not given; negative to start
    after it."""
    after_s: float | None = None
    """Seconds after the event (align) or onset (reaches) at which a trial stops."""
    lag_s: float | None = None
    """Read signals this much later than spikes, in seconds, as behaviour follows motor cortex (NWB only)."""
    forward_s: float | None = None
    """Seconds that follow after_s, for models that predict what comes next; part of each trial (NWB only)."""
    binning: str | None = None
    """Where bins begin: "event", at the event that trials are cut around (if not given), or "nlb", on the grid of
    milliseconds of the Neural Latents Benchmark, which gives exactly its counts (NWB only)."""
    overlap: str | None = None
    """What becomes of a window that another trial's begins in: "keep" (if not given), or "cut" it there (NWB only)."""
    jitter_s: float | None = None
    """Shift windows later by up to this many seconds at random, always by the same whole bins (NWB only)."""
    jitter_room: str | None = None
    """Trial column with the milliseconds before the event that stay in a window that is shifted (NWB only)."""
    direction_of: str | None = None
    """Velocity signal whose direction at the event (align), or at the start of a trial, becomes the trial column
    "reach_angle_deg"; "hand_vel@0.15" for its direction 0.15 s later."""
    scored: str | None = None
    """Two trial columns of times, such as "set_time,go_time": only bins that begin between them count in scores of
    inferred rates (NWB only)."""
    hold_out: tuple[str, ...] = ()
    """Trials that become the split "heldout", which no model sees: comparisons that must all hold, like "octant=1"."""

    def __post_init__(self) -> None:
        for name in ("bin_s", "smooth_s", "window_s", "step_s"):
            value = getattr(self, name)
            if value is not None and not (np.isfinite(value) and value > 0):
                raise DataError(f"{name} is {value}, but must be a positive number of seconds.")
        if self.step_s is not None and self.window_s is None:
            raise DataError(f"step_s is {self.step_s}, but no windows are cut; give window_s too.")
        if self.reaches is not None and (self.align is not None or self.window_s is not None):
            other = "windows (window_s)" if self.align is None else "around events (align)"
            raise DataError(f"trials are cut around reaches (reaches) or as {other}, not both; leave one of them out.")
        event = "reaches" if self.align is None else "align"
        if getattr(self, event) is None and (self.before_s is not None or self.after_s is not None):
            raise DataError(
                "before_s and after_s are counted from an event; give align=<trial column> (NWB only) or "
                "reaches=<velocity signal> too."
            )
        if getattr(self, event) is not None and self.after_s is None:
            raise DataError(f"{event} is '{getattr(self, event)}', but not where trials stop; give after_s in seconds.")
        for name, known in (("binning", BINNINGS), ("overlap", OVERLAPS)):
            value = getattr(self, name)
            if value is not None and value not in known:
                raise DataError(f"{name} is '{value}', but must be {' or '.join(known)}.")
        if self.forward_s is not None and not (np.isfinite(self.forward_s) and self.forward_s >= 0):
            raise DataError(f"forward_s is {self.forward_s}, but must be a number of seconds, 0 or more.")
        if self.jitter_s is not None and not (np.isfinite(self.jitter_s) and self.jitter_s >= 0):
            raise DataError(f"jitter_s is {self.jitter_s}, but must be a number of seconds, 0 or more.")
        if self.jitter_room is not None and self.jitter_s is None:
            raise DataError(f"jitter_room is '{self.jitter_room}', but no window is shifted; give jitter_s too.")
        if self.scored is not None and len(self.scored.split(",")) != 2:
            raise DataError(f"scored is '{self.scored}', but must name two trial columns of times, 'from,to'.")
        if self.scored is not None and self.window_s is not None:
            raise DataError("a part of each trial is scored (scored) or trials are cut (window_s), not both.")
        if self.align is not None and self.continuous:
            raise DataError("a recording is read around events (align) or as continuous pieces (continuous), not both.")
        if self.axes is not None:
            split_axes(self.axes)
        if self.direction_of is not None:
            if self.reaches is not None:
                raise DataError("reaches have a direction of their own, from start to end; leave direction_of out.")
            parse_direction(self.direction_of)
        for text in (*self.where, *self.hold_out):
            parsed(text)

    def to_dict(self) -> dict[str, Any]:
        """The options that differ from their defaults, as plain values that JSON can hold."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> LoadOptions:
        """The inverse of ``to_dict``; values may come from a stranger's file, so each is checked.

        Raises:
            DataError: If an option does not exist or has a value of the wrong type.
        """
        kinds = {
            "bin_s": float,
            "smooth_s": float,
            "window_s": float,
            "step_s": float,
            "before_s": float,
            "after_s": float,
            "lag_s": float,
            "forward_s": float,
            "jitter_s": float,
            "continuous": bool,
            "signals": tuple,
            "columns": tuple,
            "where": tuple,
            "hold_out": tuple,
        }
        known = asdict(cls())
        settled: dict[str, Any] = {}
        for name, value in values.items():
            if name not in known:
                raise DataError(f"there is no reading option '{name}' (options: {', '.join(known)}).")
            kind = kinds.get(name, str)
            if value is None and known[name] is None:
                continue
            if kind is float and isinstance(value, int) and not isinstance(value, bool):
                value = float(value)
            if kind is tuple and isinstance(value, list) and all(isinstance(v, str) for v in value):
                value = tuple(value)
            if not isinstance(value, kind):
                raise DataError(f"the reading option '{name}' is {value!r}, but must be of type {kind.__name__}.")
            settled[name] = value
        return cls(**settled)

    def refuse(self, names: Sequence[str], what: str) -> None:
        """Raise a DataError if any of these options is set: an option that changes nothing would mislead."""
        given = [name for name in names if name in self.to_dict()]
        if given:
            raise DataError(f"{', '.join(given)} cannot be used with {what}; leave it out.")


def split_axes(axes: str) -> tuple[str, ...]:
    """The axes named in a comma-separated text.

    Raises:
        DataError: If they are not (trial, time, neuron) or (time, neuron) in some order.
    """
    names = tuple(a.strip() for a in axes.split(","))
    if sorted(names) not in (["neuron", "time", "trial"], ["neuron", "time"]):
        raise DataError(f"axes is '{axes}', but must be an order of 'trial,time,neuron' or of 'time,neuron'.")
    return names


def apply_options(data: SpikeData, reading: LoadOptions, notes: Sequence[str] = ()) -> SpikeData:
    """Apply what a reading asks of any recording: neurons, trials, bin width, smoothing, cuts, condition, columns.

    Args:
        data: The recording as its format gives it.
        reading: What is asked for.
        notes: What was guessed or dropped so far; kept in the provenance together with what is dropped here.

    Raises:
        DataError: If something asked for does not exist, or if nothing is left.
    """
    notes = list(notes)
    # A comparison of what is found only here chooses among what is cut, any other among the trials it is cut from.
    made = REACH_COLUMNS if reading.reaches else (ANGLE,) if reading.direction_of else ()
    late = [t for t in reading.where if parsed(t)[0] in set(made) - set(data.trials)]
    if reading.neurons is not None:
        kept = neuron_mask(data.neurons, reading.neurons)
        data = smoothed_of_neurons(data, kept).select(neurons=kept)
    data = _where(data, [text for text in reading.where if text not in late])
    if reading.bin_s is not None:
        data = rebin(data, reading.bin_s, notes)
    if reading.signals is not None:
        data = replace(data, signals=_chosen_signals(data.signals, reading.signals))
    if reading.smooth_s is not None:
        data = with_smoothed_counts(data, reading.smooth_s)
        if reading.align is not None:
            notes.append(
                f"counts were smoothed after trials were cut around '{reading.align}', so edges see no further"
            )
    data = _cut(data, reading, notes)
    if reading.direction_of is not None:
        data = with_direction(data, *parse_direction(reading.direction_of), before_s=reading.before_s or 0.0)
    data = _where(data, late)
    if reading.condition is not None:
        data = replace(data, trials=data.trials.assign(condition=_conditions(data.trials, reading.condition)))
    told: dict[str, Any] = {}
    if reading.to_dict():
        told["reading"] = reading.to_dict()
    if notes:
        told["notes"] = [*data.provenance.get("notes", []), *notes]
    data = replace(data, provenance={**data.provenance, **told}) if told else data
    if reading.hold_out:
        data = hold_out(data, *reading.hold_out)
    if reading.columns is not None:  # last: trials may be held out by a column that is not kept
        data = replace(data, trials=_chosen_columns(data.trials, reading.columns))
    return data


def _where(data: SpikeData, texts: Sequence[str]) -> SpikeData:
    """The trials for which all comparisons hold."""
    for text in texts:
        table = data.trials if "length" in data.trials else data.trials.assign(length=data.lengths)
        kept = matches(table, text)
        _refuse_none(kept, text)
        data = data.select(trials=kept)
    return data


def _refuse_none(kept: np.ndarray, text: str) -> None:
    if not kept.any():
        raise DataError(f"no trial is left after keeping those with '{text}'; loosen the comparison.")


def _cut(data: SpikeData, reading: LoadOptions, notes: list[str]) -> SpikeData:
    """The trials that a reading cuts from those there are: reaches or windows."""
    if reading.reaches is not None and reading.after_s is not None:
        return cut_reaches(
            data, reading.reaches, before_s=reading.before_s or 0.0, after_s=reading.after_s, notes=notes
        )
    if reading.window_s is None:
        return data
    step_s = reading.step_s or reading.window_s
    size, step = whole_bins(reading.window_s, data.bin_s, "window_s"), whole_bins(step_s, data.bin_s, "step_s")
    windows, left_over = data.window(size, step), int((data.lengths < size).sum())
    if left_over:
        notes.append(f"{left_over} trials shorter than a window of {reading.window_s:g} s were dropped")
    return windows


def named_splits(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """Splits from a trial column "split", as the Neural Latents Benchmark keeps them; "none" marks unused trials."""
    if "split" not in table or pd.api.types.is_numeric_dtype(table["split"].dtype):
        return {}
    names = [v for v in table["split"].dropna().unique() if v not in ("", "none")]
    return {str(n): np.flatnonzero((table["split"] == n).to_numpy(bool)) for n in names}


def rows_to_read(table: pd.DataFrame, where: Sequence[str]) -> Bool[np.ndarray, "row"]:
    """The rows for which those comparisons hold that can be made already; the others are left to ``apply_options``.

    What is large need then be read for these only.

    Raises:
        DataError: If no row is left.
    """
    kept = np.ones(len(table), dtype=bool)
    for text in where:
        if parsed(text)[0] in table:
            kept &= matches(table, text)
            _refuse_none(kept, text)
    return kept


def neuron_mask(table: pd.DataFrame, text: str) -> Bool[np.ndarray, "neuron"]:
    """The neurons that the reading option "neurons" keeps.

    Raises:
        DataError: If it is neither a column of true and false nor a comparison, or if it leaves no neuron.
    """
    if is_comparison(text):
        mask = matches(table, text, "neuron")
    else:
        values = column_of(table, text, "neuron")
        if not set(values.dropna().unique()) <= {0, 1}:
            raise DataError(
                f"the neuron column '{text}' is not true or false (its first value is {values.iloc[0]!r}); "
                f"name a mask, or compare: '{text}=...'."
            )
        mask = values.fillna(False).to_numpy(dtype=bool)
    if not mask.any():
        raise DataError(f"no neuron is left after keeping those with '{text}'; loosen the comparison.")
    return mask


def _conditions(table: pd.DataFrame, text: str) -> pd.Series:
    """The values of a column, or the combinations of those of several, where none is missing."""
    names = [name.strip() for name in text.split(",")]
    if text in table or len(names) == 1:
        return column_of(table, text, "trial")
    columns = [column_of(table, name, "trial") for name in names]
    missing = np.logical_or.reduce([column.isna().to_numpy() for column in columns])
    words = [[f"{v:g}" if isinstance(v, float) else str(v) for v in column.tolist()] for column in columns]
    return pd.Series([None if gone else ",".join(row) for gone, *row in zip(missing, *words)], dtype=object)


def _chosen_signals(signals: Mapping[str, Signal], names: Sequence[str]) -> dict[str, Signal]:
    missing = [name for name in names if name not in signals]
    if missing:
        raise DataError(f"there is no signal '{missing[0]}' (signals: {', '.join(signals) or 'none'}).")
    return {name: signals[name] for name in names}


def _chosen_columns(table: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    # A (trial, dim) array became the columns name_0, name_1, ...; its own name stands for all of them.
    stems = {c: re.sub(r"_\d+$", "", str(c)) for c in table}
    for name in names:
        if name not in table and name not in stems.values():
            raise DataError(f"there is no trial column '{name}' (columns: {', '.join(map(str, table)) or 'none'}).")
    always = {"condition", "split", "source_trial", "source_bin", "jitter_bins", *SCORED}
    return table.loc[:, [c in names or stems[c] in names or c in always for c in table]]
