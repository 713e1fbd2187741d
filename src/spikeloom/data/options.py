"""Options of loading by family: some families apply to every recording, the others to some formats of files."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

import numpy as np

from spikeloom.data.comparisons import parsed
from spikeloom.data.directions import parse_direction
from spikeloom.data.validation import check_bin_s
from spikeloom.errors import DataError, did_you_mean

BINNINGS = ("event", "nlb")
OVERLAPS = ("keep", "cut")
SPLITS = ("blocks", "random")


@dataclass(frozen=True)
class Derivations:
    """Quantities derived from any recording: wider bins, smoothed counts, the condition and direction of a trial."""

    bin_s: float | None = None
    """Width of a bin in seconds: for counts a multiple of the stored width, for spike times any (0.005 if
    not given)."""
    smooth_s: float | None = None
    """Standard deviation of a Gaussian in seconds: smoothed counts are kept as the signal "smoothed_counts", made
    before trials are cut from continuous recordings."""
    condition: str | None = None
    """Trial column that becomes "condition", by which splits are balanced and metrics are grouped; several joined by
    commas stand for their combinations."""
    direction_of: str | None = None
    """Velocity signal whose direction at the event (align), or at the start of a trial, becomes the trial column
    "reach_angle_deg"; "hand_vel@0.15" for its direction 0.15 s later."""

    def __post_init__(self) -> None:
        check_positive(self, "smooth_s")
        if self.bin_s is not None:
            check_bin_s(self.bin_s)
        if self.direction_of is not None:
            parse_direction(self.direction_of)


@dataclass(frozen=True)
class Selections:
    """Neurons, signals, columns and trials to keep of any recording."""

    neurons: str | None = None
    """Neurons to keep: a true/false column or array ("good_electrode"), or a comparison ("quality=good")."""
    signals: tuple[str, ...] | None = None
    """Behavioural signals to keep; all that fit when not given."""
    columns: tuple[str, ...] | None = None
    """Columns of the trials table to keep; all that fit when not given."""
    where: tuple[str, ...] = ()
    """Trials to keep: comparisons that must all hold, like "success=1"; "length" is a trial's number of bins in the
    file."""
    hold_out: tuple[str, ...] = ()
    """Trials that become the split "heldout", on which no model is trained: comparisons that must all hold, like
    "octant=1"."""
    split: str | None = None
    """How train, val and test are made, in place of those of the file: in contiguous "blocks" of recorded time, or at
    "random". If not given, and the file has none: blocks for windows of a continuous recording, else random."""

    def __post_init__(self) -> None:
        _check_choice(self, "split", SPLITS)
        for text in (*self.where, *self.hold_out):
            parsed(text)


@dataclass(frozen=True)
class Cuts:
    """Trials cut from longer trials or from a continuous recording."""

    window_s: float | None = None
    """Cut trials or a continuous session into windows of this many seconds; the rest of each is dropped."""
    step_s: float | None = None
    """Seconds between the starts of two windows; window_s if not given."""
    reaches: str | None = None
    """Velocity signal by whose speed reaches are found in continuous pieces, to cut trials around their onset."""
    before_s: float | None = None
    """Seconds before the event (align) or onset (reaches) at which a trial starts, 0 if not given; negative to start
    after it."""
    after_s: float | None = None
    """Seconds after the event (align) or onset (reaches) at which a trial stops."""

    def __post_init__(self) -> None:
        check_positive(self, "window_s", "step_s")
        if self.step_s is not None and self.window_s is None:
            raise DataError(f"step_s is {self.step_s}, but no windows are cut; give window_s too.")
        if self.reaches is not None and self.window_s is not None:
            raise DataError(
                "trials are cut around reaches (reaches) or as windows (window_s), not both; leave one of them out."
            )


@dataclass(frozen=True)
class ArrayOptions:
    """Names and axes of the arrays in npz, npy, HDF5 and MATLAB files."""

    counts: str | None = None
    """Name of the array of spike counts (arrays only)."""
    lengths: str | None = None
    """Name of the array with the number of valid bins of each trial (arrays only)."""
    segment: str | None = None
    """Name of the array with the continuous piece that each bin of (time, neuron) counts is from (arrays only)."""
    axes: str | None = None
    """Order of the axes of the counts: a permutation of "trial,time,neuron", or of "time,neuron" (arrays only)."""
    stored_bin_s: float | None = None
    """Width in seconds of the bins in the file, where the file does not say; bin_s is the width that is wanted (arrays
    only)."""

    def __post_init__(self) -> None:
        if self.axes is not None:
            split_axes(self.axes)
        if self.stored_bin_s is not None:
            check_bin_s(self.stored_bin_s)


@dataclass(frozen=True)
class EventOptions:
    """Trials cut from one clock: from a session of spike times, or from counts of a whole session."""

    trials: str | None = None
    """Table of trials with their times in seconds: a file (.csv, .tsv, .parquet), or, in a file of arrays, the array
    of their starts, or of starts and stops. Integers in an array are bins. If not given, that of the recording."""
    align: str | None = None
    """Trial column with the time of an event that trials are cut around."""
    continuous: bool = False
    """Load the recorded time as continuous pieces although there is a table of trials."""

    def __post_init__(self) -> None:
        if self.align is not None and self.continuous:
            raise DataError(
                "trials are cut around events (align) or a recording stays in continuous pieces (continuous), not both."
            )


@dataclass(frozen=True)
class SessionOptions:
    """Trials and bins of a session of spike times."""

    intervals: str | None = None
    """Table of intervals that are the trials, such as "stimulus_presentations" or "epochs" (NWB only)."""
    quality: str | None = None
    """Quality of the units to keep, such as "good" (sorted spikes: Phy and ALF folders)."""
    forward_s: float | None = None
    """Seconds that follow after_s, for models that predict what comes next; part of each trial (spike times only)."""
    binning: str | None = None
    """Where bins begin: "event", at the event that trials are cut around (if not given), or "nlb", on the grid of
    milliseconds of the Neural Latents Benchmark, which gives exactly its counts (spike times only)."""
    overlap: str | None = None
    """A window in which that of another trial begins: "keep" it (if not given), or "cut" it there (spike times
    only)."""
    jitter_s: float | None = None
    """Shift windows later by up to this many seconds at random, always by the same whole bins (spike times only)."""
    jitter_room: str | None = None
    """Trial column with the milliseconds before the event that stay in a window that is shifted (spike times only)."""
    scored: str | None = None
    """Two trial columns of times, such as "set_time,go_time": only bins that begin between them count in scores of
    inferred rates (spike times only)."""

    def __post_init__(self) -> None:
        _check_choice(self, "binning", BINNINGS)
        _check_choice(self, "overlap", OVERLAPS)
        for name in ("forward_s", "jitter_s"):
            value = getattr(self, name)
            if value is not None and not (np.isfinite(value) and value >= 0):
                raise DataError(f"{name} is {value}, but must be a number of seconds, 0 or more.")
        if self.jitter_room is not None and self.jitter_s is None:
            raise DataError(f"jitter_room is '{self.jitter_room}', but no window is shifted; give jitter_s too.")
        if self.scored is not None and len(self.scored.split(",")) != 2:
            raise DataError(f"scored is '{self.scored}', but must name two trial columns of times, 'from,to'.")


@dataclass(frozen=True)
class SeriesOptions:
    """Behaviour that was sampled by a clock of its own, in NWB and in sessions of random targets."""

    lag_s: float | None = None
    """Take signals this much later than spikes, in seconds, as behaviour follows motor cortex (sessions only)."""
    circular: tuple[str, ...] = ()
    """Signals that are angles, averaged on the circle; an angle that is seen to wrap is one of them anyway."""


FORMAT_FAMILIES: tuple[Any, ...] = (EventOptions, SessionOptions, SeriesOptions, ArrayOptions)
"""The families that some formats have no use for; a format names those that it understands."""
FAMILIES: tuple[Any, ...] = (Derivations, Selections, Cuts, *FORMAT_FAMILIES)


@dataclass(frozen=True)
class LoadOptions(ArrayOptions, SeriesOptions, SessionOptions, EventOptions, Cuts, Selections, Derivations):
    """How to understand a recording; what is not given is taken from the file, or guessed and reported.

    The families are its base classes, so that every option has one flat name on the command line, in Python and in the
    ``data.json`` of a run.

    Raises:
        DataError: If options contradict each other.

    Example:
        >>> LoadOptions(where=("success=1", "length<=30"), condition="target").to_dict()
        {'condition': 'target', 'where': ['success=1', 'length<=30']}
    """

    __no_type_check__ = True  # what is passed is checked, and converted, below

    def __post_init__(self) -> None:
        for name, (kind, may_be_none) in _kinds().items():
            value = getattr(self, name)
            if value is not None or not may_be_none:
                object.__setattr__(self, name, _checked(name, value, kind))
        for family in FAMILIES:
            if "__post_init__" in vars(family):
                family.__post_init__(self)
        # Options of different families that exclude or need each other.
        if self.align is not None and self.reaches is not None:
            raise DataError(
                "trials are cut around reaches (reaches) or around events (align), not both; leave one of them out."
            )
        event = "reaches" if self.align is None else "align"
        if getattr(self, event) is None and (self.before_s is not None or self.after_s is not None):
            raise DataError(
                "before_s and after_s are counted from an event; give align=<trial column> or "
                "reaches=<velocity signal> too."
            )
        if self.scored is not None and self.window_s is not None:
            raise DataError("a part of each trial is scored (scored) or trials are cut (window_s), not both.")
        if self.direction_of is not None and self.reaches is not None:
            raise DataError("reaches have a direction of their own, from start to end; leave direction_of out.")

    def stop_s(self, event: str) -> float:
        """Seconds after the event ("align" or "reaches") at which trials stop.

        It is looked up after the column or signal of the event, so that a name that does not exist is named first.

        Raises:
            DataError: If it is not given.
        """
        if self.after_s is None:
            raise DataError(
                f"trials are cut around {event} '{getattr(self, event)}', but nothing says where they stop; give "
                "after_s in seconds."
            )
        return self.after_s

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
        for name in values:
            if name not in _kinds():
                raise unknown_option(name)
        return cls(**values)


@cache
def _kinds() -> dict[str, tuple[type, bool]]:
    """The type of every option, and whether it may be None."""
    kinds = {}
    hints = {name: hint for family in FAMILIES for name, hint in typing.get_type_hints(family).items()}
    for name, hint in hints.items():
        union = isinstance(hint, types.UnionType)
        kind = next(h for h in typing.get_args(hint) if h is not type(None)) if union else hint
        kinds[name] = (typing.get_origin(kind) or kind, union)
    return kinds


def _checked(name: str, value: Any, kind: type) -> Any:
    """The value of an option as its type; whole numbers are numbers, and one text is a list of one."""
    if kind is float and isinstance(value, int | np.integer | np.floating) and not isinstance(value, bool):
        return float(value)
    if kind is tuple and isinstance(value, str):
        return (value,)
    if kind is tuple and isinstance(value, list | tuple) and all(isinstance(v, str) for v in value):
        return tuple(value)
    if kind is tuple or not isinstance(value, kind):
        raise DataError(f"the load option '{name}' is {value!r}, but must be {_KINDS[kind]}.")
    return value


_KINDS = {float: "a number", str: "text", bool: "true or false", tuple: "text, or a list of texts"}


def unknown_option(name: str) -> DataError:
    """The error for an option that does not exist, with the nearest name.

    Example:
        >>> str(unknown_option("bins"))
        "there is no load option 'bins'; did you mean 'bin_s'?"
    """
    known = [f.name for f in fields(LoadOptions)]
    hint = did_you_mean(name, known) or f"options are {', '.join(known)}."
    return DataError(f"there is no load option '{name}'; {hint}")


def check_supported(options: LoadOptions, families: Iterable[type], source: str) -> None:
    """Check that no option is set that a format does not understand: it would change nothing and mislead.

    Args:
        options: The options of the user.
        families: Those of ``FORMAT_FAMILIES`` that the format understands.
        source: What is loaded, for the error message.

    Raises:
        DataError: If an option of another family is set.
    """
    excluded = [f.name for family in FORMAT_FAMILIES if family not in families for f in fields(family)]
    found = [name for name in options.to_dict() if name in excluded]
    if found:
        raise DataError(f"{', '.join(found)} cannot be used with {source}; leave it out.")


def _check_choice(options: Any, name: str, allowed: tuple[str, ...]) -> None:
    value = getattr(options, name)
    if value is not None and value not in allowed:
        raise DataError(f"{name} is '{value}', but must be {' or '.join(allowed)}.")


def check_positive(options: Any, *names: str) -> None:
    """Check that durations, where given, are positive.

    Raises:
        DataError: At the first that is not.
    """
    for name in names:
        value = getattr(options, name)
        if value is not None and not (np.isfinite(value) and value > 0):
            raise DataError(f"{name} is {value}, but must be a positive number of seconds.")


def split_axes(axes: str) -> tuple[str, ...]:
    """The axes named in a comma-separated text.

    Raises:
        DataError: If they are not (trial, time, neuron) or (time, neuron) in some order.
    """
    names = tuple(a.strip() for a in axes.split(","))
    if sorted(names) not in (["neuron", "time", "trial"], ["neuron", "time"]):
        raise DataError(f"axes is '{axes}', but must be an order of 'trial,time,neuron' or of 'time,neuron'.")
    return names
