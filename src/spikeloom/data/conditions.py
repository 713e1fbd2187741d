"""Condition variables: what trials can be asked for, in the words and units of the recording.

A variable is a column of the trials table (an angle, a label, a number) or a signal. It knows how its values become
features for a network, and back how a request of a user is read.
"""

from __future__ import annotations

import difflib
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from spikeloom.data.spikedata import Signal, SpikeData
from spikeloom.errors import ConfigError, DataError, SpikeloomWarning

RADIANS = {"deg": np.pi / 180, "rad": 1.0}
KINDS = ("deg", "rad", "label", "number", "signal")
MOST_LABELS = 20
"""Whole numbers with more different values than this are numbers, not labels."""


@dataclass(frozen=True)
class Variable:
    """Something that trials differ in and that new trials can be asked for.

    Attributes:
        name: Column of the trials table, or signal.
        kind: "deg" or "rad" for an angle (a point on the circle to the network), "label" (one feature for each),
            "number" (z-scored), "signal" (time-aligned, z-scored).
        unit: Unit of a signal.
        columns: Dimensions of a signal.
        labels: All labels, as text.
        mean: (dim,) mean over the training trials, of a number or signal.
        std: (dim,) standard deviation there.
        groups: Whether the recording's column "condition" holds the same values, so that samples carry it too.
    """

    name: str
    kind: str
    unit: str = ""
    columns: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    groups: bool = False

    @classmethod
    def of(cls, data: SpikeData, what: str) -> Variable:
        """Make a variable of a recording; scales come from the trials of the split "train".

        Args:
            data: Recording with a split "train".
            what: Name of a trial column or signal; "NAME:KIND" says what kind of column it is.

        Raises:
            ConfigError: If the recording has nothing of that name, or it is not of that kind.
        """
        name, _, kind = what.partition(":")
        if kind and kind not in KINDS:
            raise ConfigError(f"condition '{what}' is of kind '{kind}', but kinds are {', '.join(KINDS)}.")
        if name in data.signals and kind in ("", "signal"):
            return cls._signal(data, name)
        if name not in data.trials:
            known = [*data.signals, *map(str, data.trials)]
            near = difflib.get_close_matches(name, known, n=1)
            raise ConfigError(
                f"the recording has no signal and no trial column '{name}' to condition on"
                + (f"; did you mean '{near[0]}'?" if near else f"; it has {', '.join(known) or 'none at all'}.")
            )
        if kind == "signal":
            raise ConfigError(f"'{name}' is a trial column, not a signal; condition on '{name}' alone.")
        column = pd.Series(data.trials[name])
        kind = kind or _kind(name, column)
        condition = data.trials.get("condition") if name != "condition" else None
        groups = condition is not None and _same(column, pd.Series(condition))
        if kind == "label":
            labels = sorted({_text(v) for v in column[column.notna()]}, key=_natural)
            return cls(name, kind, labels=tuple(labels), groups=groups)
        values = _numbers(column, name, kind)
        train = values[np.isin(np.arange(len(values)), data.splits["train"]) & np.isfinite(values)]
        if len(train) == 0:
            raise ConfigError(f"condition '{name}' has no value in the training trials; condition on something else.")
        if kind == "number":
            return cls(name, kind, mean=(float(train.mean()),), std=(_spread(train),), groups=groups)
        return cls(name, kind, groups=groups)

    @classmethod
    def _signal(cls, data: SpikeData, name: str) -> Variable:
        train, signal = data.split("train"), data.signals[name]
        valid = train.signals[name].values[train.valid]
        valid = valid[np.isfinite(valid).all(1)].astype(np.float64)
        if len(valid) == 0:
            raise ConfigError(f"signal '{name}' has no value in the training trials; condition on something else.")
        return cls(
            name,
            "signal",
            unit=signal.unit,
            columns=tuple(map(str, signal.columns)),
            mean=tuple(map(float, valid.mean(0))),
            std=tuple(_spread(dimension) for dimension in valid.T),
        )

    @property
    def aligned(self) -> bool:
        """Whether there is a value for every bin."""
        return self.kind == "signal"

    @property
    def size(self) -> int:
        """Number of features."""
        return {"label": len(self.labels), "signal": len(self.columns), "number": 1}.get(self.kind, 2)

    def features(self, values: Any) -> Float[np.ndarray, "... size"]:
        """Values in the recording's unit as features; NaN where there is no value.

        Args:
            values: (trial,) values of a column, or (trial, time, dim) of a signal.

        Raises:
            DataError: If a value is not one this variable can have.
        """
        if self.kind == "label":
            texts = [None if pd.isna(v) else _text(v) for v in values]
            unknown = next((t for t in texts if t is not None and t not in self.labels), None)
            if unknown is not None:
                raise DataError(
                    f"condition '{self.name}' was asked to be '{unknown}', but the model has learned "
                    f"{_some(self.labels)} only; ask for one of these."
                )
            rows = [[np.nan] * self.size if t is None else [float(t == known) for known in self.labels] for t in texts]
            return np.array(rows, dtype=np.float32)
        if self.kind in RADIANS:
            angle = np.asarray(values, dtype=np.float64) * RADIANS[self.kind]
            return np.stack([np.cos(angle), np.sin(angle)], axis=-1).astype(np.float32)
        values = np.asarray(values, dtype=np.float64)
        values = values if self.aligned else values[:, None]
        return ((values - self.mean) / self.std).astype(np.float32)

    def read(self, value: Any) -> Any:
        """A value as it is written by a user, in the recording's unit: "45deg", "0.5rad", "left", 3, "3,0".

        Raises:
            DataError: If it is not a value of this kind.
        """
        if self.kind == "label" or not isinstance(value, str):
            return value
        found = re.fullmatch(r"\s*(\S+?)\s*(deg|rad)?\s*", value)
        try:
            number = float(found[1]) if found else float(value)
        except ValueError:
            number = np.nan
        if not np.isfinite(number) or (found and found[2] and self.kind not in RADIANS):
            example = "45deg or 0.8rad" if self.kind in RADIANS else "1.5"
            raise DataError(f"condition '{self.name}' was asked to be '{value}', but needs a number such as {example}.")
        return number * RADIANS[found[2]] / RADIANS[self.kind] if found and found[2] else number

    def __str__(self) -> str:
        return f"{self.name} ({self.about})"

    @property
    def about(self) -> str:
        """What kind of values it has, in words."""
        if self.kind == "label":
            return f"label: {_some(self.labels)}"
        if self.kind == "signal":
            return f"signal: {', '.join(self.columns)}" + (f" in {self.unit}" if self.unit else "")
        return f"angle in {self.kind}" if self.kind in RADIANS else "number"

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Variable:
        """Inverse of ``to_json``."""
        plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in content.items()}
        return cls(**plain)


@dataclass(frozen=True)
class Conditions:
    """Values of condition variables for a number of trials, in the units of the recording; what is absent is free.

    Attributes:
        table: One row for each trial, one column for each static variable that has values.
        signals: Time-aligned variables that have values.
        lengths: (trial,) valid bins, where signals say how long the trials are.
    """

    table: pd.DataFrame
    signals: Mapping[str, Signal] = field(default_factory=dict)
    lengths: Int[np.ndarray, "trial"] | None = None

    __no_type_check__ = True

    @classmethod
    def recorded(cls, data: SpikeData, variables: Sequence[Variable]) -> Conditions:
        """What the trials of a recording were recorded under, as far as it is known."""
        static = [v.name for v in variables if not v.aligned and v.name in data.trials]
        signals = {v.name: data.signals[v.name] for v in variables if v.aligned and v.name in data.signals}
        return cls(data.trials.loc[:, static], signals, data.lengths)

    @classmethod
    def asked(cls, request: Request, variables: Sequence[Variable], n: int) -> Conditions:
        """What is asked of ``n`` trials; a request for fewer (or more) trials is repeated (or cut).

        Args:
            request: Values by name (one for all trials, or one for each; a signal is (time, dim), (trial, time, dim),
                or (dim,) when it is constant), a table, or a recording.
            variables: What the model was conditioned on.
            n: Number of trials.

        Raises:
            DataError: If a name is unknown, or values do not fit.
        """
        nothing = pd.DataFrame(index=pd.RangeIndex(n))
        if isinstance(request, Conditions):
            return request
        if request is None:
            return cls(nothing)
        if isinstance(request, SpikeData):
            recorded = cls.recorded(request, variables)
            rows = np.resize(np.arange(request.n_trials), n)
            signals = {k: Signal(s.values[rows], s.unit, s.columns) for k, s in recorded.signals.items()}
            return cls(recorded.table.iloc[rows].reset_index(drop=True), signals, request.lengths[rows])
        known = {v.name: v for v in variables}
        given = {str(name): request[name] for name in request}
        for name in given:
            if name not in known:
                raise DataError(_unknown(name, variables))
        static = {k: _column_of(known[k], v, n) for k, v in given.items() if not known[k].aligned}
        signals, lengths = _signals_of({known[k]: v for k, v in given.items() if known[k].aligned}, n)
        return cls(nothing.assign(**static), signals, lengths)

    @property
    def names(self) -> list[str]:
        """What has values."""
        return [*map(str, self.table), *self.signals]

    def changed(self, other: Conditions) -> Conditions:
        """These conditions with those of another in their place where it has values."""
        table = self.table.assign(**{str(c): other.table[c] for c in other.table})
        lengths = self.lengths if other.lengths is None else other.lengths
        return Conditions(table, {**self.signals, **other.signals}, lengths)

    def signals_over(self, lengths: Int[np.ndarray, "trial"]) -> dict[str, Signal]:
        """The signals in the bins of trials of given lengths; one of a single bin is constant."""
        n_bins = int(lengths.max())
        signals = {}
        for name, signal in self.signals.items():
            values = np.repeat(signal.values, n_bins, axis=1) if signal.values.shape[1] == 1 else signal.values
            missing = max(n_bins - values.shape[1], 0)
            padded = np.pad(values[:, :n_bins], ((0, 0), (0, missing), (0, 0)))
            signals[name] = Signal(padded, signal.unit, signal.columns)
        return signals

    def trials(self, variables: Sequence[Variable]) -> pd.DataFrame:
        """The static values as a table of trials, with the column "condition" where the recording has it."""
        grouping = [v.name for v in variables if v.groups and v.name in self.table]
        return self.table.assign(**({"condition": self.table[grouping[0]]} if grouping else {}))


Request = Mapping[str, Any] | pd.DataFrame | SpikeData | Conditions | None
"""What may be asked for: values by name, a table with a row for each trial, a recording to imitate, or Conditions."""


def check_complete(variables: Sequence[Variable], data: SpikeData) -> None:
    """Refuse a recording that lacks a condition variable; warn where trials have no value of it.

    Raises:
        DataError: If a variable is missing altogether.
    """
    for variable in variables:
        if variable.name not in (data.signals if variable.aligned else data.trials):
            raise DataError(
                f"the recording has no {'signal' if variable.aligned else 'trial column'} '{variable.name}', which the "
                "model was made to be conditioned on; use the recording it was made for, or fit a new model."
            )
        if variable.aligned:
            finite = np.isfinite(data.signals[variable.name].values).all(2)
            missing = (~finite & data.valid).any(1)
        else:
            missing = data.trials[variable.name].isna().to_numpy()
        if missing.any():
            warnings.warn(
                f"'{variable.name}' has no value in {int(missing.sum())} of {data.n_trials} trials (a signal needs one "
                "in every bin); they are learned from as trials of which it is not known.",
                SpikeloomWarning,
                stacklevel=3,
            )


def read_table(path: Path, variables: Sequence[Variable]) -> tuple[dict[str, Any], int]:
    """Conditions from a CSV file, and the number of trials in it.

    One row is a trial; or, with a column "trial", one row is a bin of that trial, and the dimensions of a signal are
    columns named SIGNAL_DIMENSION, for example ``hand_vel_x``.

    Raises:
        DataError: If the file cannot be read, or has a column that is none of the model's conditions.
    """
    try:
        table = pd.read_csv(path, comment="#", skipinitialspace=True)
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise DataError(f"the table {path} cannot be read: {reason}; write one row for each trial as CSV.") from error
    if len(table) == 0:
        raise DataError(f"the table {path} has no rows; write one row for each trial.")
    groups = [part for _, part in table.groupby("trial", sort=True)] if "trial" in table else None
    request: dict[str, Any] = {}
    used = {"trial"} if groups else set()
    for variable in variables:
        columns = [f"{variable.name}_{c}" for c in variable.columns]
        if variable.aligned and set(columns) <= set(table):
            if groups is None:
                raise DataError(f"the table {path} has the signal '{variable.name}', but no column 'trial'; add one.")
            request[variable.name] = [part[columns].to_numpy(dtype=np.float32) for part in groups]
            used |= set(columns)
        elif not variable.aligned and variable.name in table:
            column = table[variable.name] if groups is None else pd.Series([p[variable.name].iloc[0] for p in groups])
            request[variable.name] = list(column)
            used.add(variable.name)
    for name in map(str, table):
        if name not in used:
            raise DataError(f"the table {path}: {_unknown(name, variables)}")
    return request, len(table) if groups is None else len(groups)


# -- helpers -----------------------------------------------------------------------------------------------------------


def _kind(name: str, column: pd.Series) -> str:
    """What a trial column most likely is."""
    if not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        return "label"
    values = column.dropna().to_numpy(dtype=np.float64)
    if name.endswith(("_deg", "_rad")):
        return name[-3:]
    if re.search("angle|direction|theta", name):
        return "deg" if len(values) and np.abs(values).max() > 2 * np.pi + 1e-3 else "rad"
    whole = len(values) and (values == np.floor(values)).all()
    return "label" if whole and len(np.unique(values)) <= MOST_LABELS else "number"


def _numbers(column: pd.Series, name: str, kind: str) -> np.ndarray:
    try:
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"condition '{name}' is not of kind '{kind}': it holds '{column.iloc[0]}'; call it '{name}:label'."
        ) from error


def _spread(values: np.ndarray) -> float:
    return max(float(np.std(values)), 1e-6)


def _text(value: Any) -> str:
    """A label as text; 45, 45.0 and "45" from different files are the same label."""
    if isinstance(value, bool | np.bool_):
        return str(int(value))
    if isinstance(value, int | float | np.number):
        return f"{float(value):g}"
    text = str(value).strip()
    return f"{float(text):g}" if re.fullmatch(r"[-+]?\d+(\.\d*)?", text) else text


def _natural(text: str) -> tuple[int, float, str]:
    return (0, float(text), "") if re.fullmatch(r"[-+]?\d+(\.\d*)?(e[-+]?\d+)?", text) else (1, 0.0, text)


def _same(a: pd.Series, b: pd.Series) -> bool:
    return [_text(v) for v in a] == [_text(v) for v in b]


def _some(labels: Sequence[str]) -> str:
    return ", ".join(labels[:8]) + (f" and {len(labels) - 8} more" if len(labels) > 8 else "")


def _unknown(name: str, variables: Sequence[Variable]) -> str:
    if not variables:
        return f"'{name}' was asked for, but the model has no conditions; fit one with --condition_on {name}."
    near = difflib.get_close_matches(name, [v.name for v in variables], n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"it has {'; '.join(map(str, variables))}."
    return f"the model has no condition '{name}'; {hint}"


def _column_of(variable: Variable, values: Any, n: int) -> list[Any]:
    several = isinstance(values, Sequence | np.ndarray | pd.Series) and not isinstance(values, str)
    values = [variable.read(v) for v in (values if several else [values])]
    if not values:
        raise DataError(f"condition '{variable.name}' was given no value; give one for all trials, or one for each.")
    variable.features(values)  # refuses what the variable cannot be
    return [values[i % len(values)] for i in range(n)]


def _signals_of(given: Mapping[Variable, Any], n: int) -> tuple[dict[str, Signal], np.ndarray | None]:
    """Signals of ``n`` trials, all padded to the same number of bins, and how long they say that trials are."""
    parts: dict[str, list[np.ndarray]] = {}
    for variable, values in given.items():
        if isinstance(values, Signal):
            values = values.values
        try:
            trials = [np.asarray(v, dtype=np.float32) for v in values] if np.ndim(values[0]) > 1 else None
            trials = [np.asarray(values, dtype=np.float32)] if trials is None else trials
        except (TypeError, ValueError, IndexError, KeyError) as error:
            raise DataError(
                f"condition '{variable.name}' is a signal, but '{values}' is no array of numbers."
            ) from error
        for part in trials:
            if part.ndim not in (1, 2) or part.shape[-1] != variable.size or not len(part):
                raise DataError(
                    f"condition '{variable.name}' was given values of shape {part.shape}, but needs (time, "
                    f"{variable.size}): {', '.join(variable.columns)} for every bin, or {variable.size} numbers."
                )
        parts[variable.name] = [trials[i % len(trials)] for i in range(n)]
    timed = [np.array([len(p) for p in ps]) for ps in parts.values() if ps[0].ndim == 2]
    if any((lengths != timed[0]).any() for lengths in timed):
        raise DataError("the signals asked for differ in length; give every signal of a trial the same bins.")
    lengths = timed[0] if timed else None
    n_bins = 1 if lengths is None else int(lengths.max())
    signals = {}
    for variable in given:
        stacked = np.zeros((n, n_bins, variable.size), dtype=np.float32)
        for row, part in zip(stacked, parts[variable.name]):
            row[: n_bins if part.ndim == 1 else len(part)] = part
        constant = parts[variable.name][0].ndim == 1
        signals[variable.name] = Signal(stacked[:, :1] if constant else stacked, variable.unit, variable.columns)
    return signals, lengths
