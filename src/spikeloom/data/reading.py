"""Reading: how a file is to be understood, and the steps every source shares once its arrays are known."""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool

from spikeloom.data.spikedata import Signal, SpikeData
from spikeloom.errors import DataError

ARRAY_OPTIONS = ("counts", "lengths", "segment", "axes")
NWB_OPTIONS = ("align", "before_s", "after_s", "continuous", "lag_s")

_COMPARISON = re.compile(r"\s*([^=!<>]+?)\s*(!=|<=|>=|==|=|<|>)\s*(.*?)\s*", re.DOTALL)
_OPERATORS = {
    "=": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True)
class Reading:
    """How to understand a recording; what is not given is taken from the file, or guessed and reported.

    Raises:
        DataError: If options contradict each other.

    Example:
        >>> Reading(where=("success=1", "length<=30"), condition="target").to_dict()
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
    """Trial column that becomes "condition", by which splits are balanced and metrics are grouped."""
    where: tuple[str, ...] = ()
    """Trials to keep: comparisons that must all hold, like "success=1"; "length" is a trial's bins as read."""
    window_s: float | None = None
    """Cut trials or a continuous session into windows of this many seconds; the rest of each is dropped."""
    step_s: float | None = None
    """Seconds between the starts of two windows; window_s if not given."""
    continuous: bool = False
    """Read the observed time as continuous pieces although there is a trials table (NWB only)."""
    align: str | None = None
    """Trial column with the time of an event that trials are cut around (NWB only)."""
    before_s: float | None = None
    """Seconds before the event at which a trial starts, 0 if not given; negative to start after it (NWB only)."""
    after_s: float | None = None
    """Seconds after the event at which a trial stops (NWB only)."""
    lag_s: float | None = None
    """Read signals this much later than spikes, in seconds, as behaviour follows motor cortex (NWB only)."""

    def __post_init__(self) -> None:
        for name in ("bin_s", "window_s", "step_s"):
            value = getattr(self, name)
            if value is not None and not (np.isfinite(value) and value > 0):
                raise DataError(f"{name} is {value}, but must be a positive number of seconds.")
        if self.step_s is not None and self.window_s is None:
            raise DataError(f"step_s is {self.step_s}, but no windows are cut; give window_s too.")
        if self.align is None and (self.before_s is not None or self.after_s is not None):
            raise DataError("before_s and after_s are counted from an event; give align=<trial column> too.")
        if self.align is not None and self.after_s is None:
            raise DataError(f"align is '{self.align}', but not where trials stop; give after_s in seconds.")
        if self.align is not None and self.continuous:
            raise DataError("a recording is read around events (align) or as continuous pieces (continuous), not both.")
        if self.axes is not None:
            split_axes(self.axes)
        for text in self.where:
            _comparison(text)

    def to_dict(self) -> dict[str, Any]:
        """The options that differ from their defaults, as plain values that JSON can hold."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Reading:
        """The inverse of ``to_dict``; values may come from a stranger's file, so each is checked.

        Raises:
            DataError: If an option does not exist or has a value of the wrong type.
        """
        kinds = {
            "bin_s": float,
            "window_s": float,
            "step_s": float,
            "before_s": float,
            "after_s": float,
            "lag_s": float,
            "continuous": bool,
            "signals": tuple,
            "columns": tuple,
            "where": tuple,
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


def whole_bins(seconds: float, bin_s: float, name: str) -> int:
    """The number of bins in a duration.

    Raises:
        DataError: If it is not a whole number of at least one.
    """
    n = round(seconds / bin_s)
    if n < 1 or abs(seconds / bin_s - n) > 1e-6 * max(1, n):
        raise DataError(
            f"{name} is {seconds:g} s, which is not a whole number of bins of {bin_s:g} s; "
            f"{max(n, 1) * bin_s:g} s would be."
        )
    return n


def matches(table: pd.DataFrame, text: str, what: str = "trial") -> Bool[np.ndarray, "row"]:
    """The rows of a table for which a comparison such as ``success=1`` holds.

    Only a column's name, one of ``= != < <= > >=`` and a plain value are understood: the text may come from a
    stranger's run folder, so nothing in it is ever evaluated. A missing value is unequal to everything.

    Raises:
        DataError: If the column does not exist, or the value cannot be compared with it.
    """
    name, symbol, value = _comparison(text)
    column = _column(table, name, what)
    compare = _OPERATORS[symbol]
    if pd.api.types.is_bool_dtype(column.dtype):
        value = {"true": "1", "false": "0"}.get(value.lower(), value)
    if pd.api.types.is_numeric_dtype(column.dtype):
        try:
            number = float(value)
        except ValueError:
            raise DataError(
                f"'{text}' compares the {what} column '{name}' with '{value}', but it holds numbers such as "
                f"{column.iloc[0]}; compare it with a number."
            ) from None
        with np.errstate(invalid="ignore"):
            return compare(column.to_numpy(dtype=float, na_value=np.nan), number)
    if symbol not in ("=", "==", "!="):
        raise DataError(f"'{text}' orders the {what} column '{name}', which holds text; use = or != for text.")
    same = np.array([not pd.isna(v) and str(v) == value for v in column], dtype=bool)
    return same if symbol != "!=" else ~same


def refine(data: SpikeData, reading: Reading, notes: Sequence[str] = ()) -> SpikeData:
    """Apply what a reading asks of any recording: neurons, trials, bin width, condition, windows, columns.

    Args:
        data: The recording as its format gives it.
        reading: What is asked for.
        notes: What was guessed or dropped so far; kept in the provenance together with what is dropped here.

    Raises:
        DataError: If something asked for does not exist, or if nothing is left.
    """
    notes = list(notes)
    if reading.neurons is not None:
        data = data.select(neurons=_neuron_mask(data.neurons, reading.neurons))
    for text in reading.where:
        table = data.trials if "length" in data.trials else data.trials.assign(length=data.lengths)
        kept = matches(table, text)
        if not kept.any():
            raise DataError(f"no trial is left after keeping those with '{text}'; loosen the comparison.")
        data = data.select(trials=kept)
    if reading.bin_s is not None:
        data = rebin(data, reading.bin_s, notes)
    if reading.condition is not None:
        data = replace(data, trials=data.trials.assign(condition=_column(data.trials, reading.condition, "trial")))
    if reading.signals is not None:
        data = replace(data, signals=_chosen_signals(data.signals, reading.signals))
    if reading.window_s is not None:
        step_s = reading.step_s or reading.window_s
        size, step = whole_bins(reading.window_s, data.bin_s, "window_s"), whole_bins(step_s, data.bin_s, "step_s")
        left_over = int((data.lengths < size).sum())
        data = data.window(size, step)
        if left_over:
            notes.append(f"{left_over} trials shorter than a window of {reading.window_s:g} s were dropped")
    if reading.columns is not None:
        data = replace(data, trials=_chosen_columns(data.trials, reading.columns))
    told: dict[str, Any] = {}
    if reading.to_dict():
        told["reading"] = reading.to_dict()
    if notes:
        told["notes"] = [*data.provenance.get("notes", []), *notes]
    return replace(data, provenance={**data.provenance, **told}) if told else data


def rebin(data: SpikeData, bin_s: float, notes: list[str] | None = None) -> SpikeData:
    """Sum counts into wider bins; signals and latents are averaged, and incomplete bins at the end are dropped.

    Args:
        data: A recording.
        bin_s: Width of the new bins in seconds, a whole multiple of ``data.bin_s``.
        notes: A note is added here when trials shorter than one new bin had to be dropped.

    Raises:
        DataError: If the width is not a multiple, or if no trial is as long as one new bin.
    """
    k = round(bin_s / data.bin_s)
    if k < 1 or abs(bin_s / data.bin_s - k) > 1e-5 * k:
        raise DataError(
            f"bin_s is {bin_s:g} s, but the recording has bins of {data.bin_s:g} s; ask for a whole multiple of that."
        )
    if k == 1:
        return data
    lengths = data.lengths // k
    if not lengths.any():
        raise DataError(
            f"a bin of {bin_s:g} s is wider than the longest trial ({data.lengths.max() * data.bin_s:g} s); "
            "ask for narrower bins."
        )
    if notes is not None and not lengths.all():
        notes.append(f"{int((lengths == 0).sum())} trials shorter than one bin were dropped")
    data, lengths = data.select(trials=lengths > 0), lengths[lengths > 0]
    n_bins = int(lengths.max())

    def grouped(values: np.ndarray) -> np.ndarray:
        return values[:, : n_bins * k].reshape(len(values), n_bins, k, values.shape[2])

    return replace(
        data,
        counts=grouped(data.counts).sum(axis=2, dtype=np.uint32),
        bin_s=bin_s,
        lengths=lengths,
        signals={n: Signal(grouped(s.values).mean(axis=2), s.unit, s.columns) for n, s in data.signals.items()},
        rates=None if data.rates is None else grouped(data.rates).sum(axis=2),
        latents=None if data.latents is None else grouped(data.latents).mean(axis=2),
    )


def named_splits(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """Splits from a trial column "split", as the Neural Latents Benchmark keeps them; "none" marks unused trials."""
    if "split" not in table or pd.api.types.is_numeric_dtype(table["split"].dtype):
        return {}
    names = [v for v in table["split"].dropna().unique() if v not in ("", "none")]
    return {str(n): np.flatnonzero((table["split"] == n).to_numpy(bool)) for n in names}


def _comparison(text: str) -> tuple[str, str, str]:
    parts = _COMPARISON.fullmatch(text)
    if parts is None:
        raise DataError(
            f"'{text}' is not a comparison; write a column, one of = != < <= > >= and a value: 'success=1'."
        )
    return parts[1], parts[2], parts[3]


def _column(table: pd.DataFrame, name: str, what: str) -> pd.Series:
    if name not in table:
        known = ", ".join(map(str, table)) or "none"
        raise DataError(f"there is no {what} column '{name}' (columns: {known}); name one of these.")
    return pd.Series(table[name])


def _neuron_mask(table: pd.DataFrame, text: str) -> np.ndarray:
    if _COMPARISON.fullmatch(text):
        mask = matches(table, text, "neuron")
    else:
        values = _column(table, text, "neuron")
        if not set(values.dropna().unique()) <= {0, 1}:
            raise DataError(
                f"the neuron column '{text}' is not true or false (its first value is {values.iloc[0]!r}); "
                f"name a mask, or compare: '{text}=...'."
            )
        mask = values.fillna(False).to_numpy(dtype=bool)
    if not mask.any():
        raise DataError(f"no neuron is left after keeping those with '{text}'; loosen the comparison.")
    return mask


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
    always = {"condition", "split", "source_trial", "source_bin"}
    return table.loc[:, [c in names or stems[c] in names or c in always for c in table]]
