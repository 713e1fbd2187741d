"""Condition variables: properties in which trials differ and that new trials can have on request.

A variable is a column of the trials table (an angle, a label, a number) or a signal, in the units of the recording. It
turns its values into features for a network, and parses values written by a user.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import ConfigError, DataError, did_you_mean, warn

RADIANS = {"deg": np.pi / 180, "rad": 1.0}
"""Units of angles."""
KINDS = (*RADIANS, "label", "number", "signal")
MOST_LABELS = 20
"""Whole numbers with more different values than this are numbers, not labels."""
NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", re.IGNORECASE)


@dataclass(frozen=True)
class Variable:
    """A property in which trials differ and on which new trials can be conditioned.

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
    def of(cls, data: SpikeData, name_and_kind: str) -> Variable:
        """Make a variable of a recording; scales come from the trials of the split "train".

        Args:
            data: Recording with a split "train".
            name_and_kind: Name of a trial column or signal, or "NAME:KIND" with the kind of the column.

        Raises:
            ConfigError: If the recording has no column or signal of that name, or it is not of that kind.
        """
        name, _, kind = name_and_kind.partition(":")
        if kind and kind not in KINDS:
            raise ConfigError(f"condition '{name_and_kind}' is of kind '{kind}', but kinds are {', '.join(KINDS)}.")
        if name in data.signals and kind in ("", "signal"):
            return cls._of_signal(data, name)
        if name in data.trials and kind != "signal":
            return cls._of_column(data, name, kind)
        if name in data.trials or name in data.signals:
            held = "a trial column" if name in data.trials else "a signal"
            raise ConfigError(f"'{name}' is {held}, not of kind '{kind}'; condition on '{name}' alone.")
        known = [*data.signals, *map(str, data.trials)]
        hint = did_you_mean(name, known) or f"it has {', '.join(known) or 'none at all'}."
        raise ConfigError(f"the recording has no signal and no trial column '{name}' to condition on; {hint}")

    @classmethod
    def _of_column(cls, data: SpikeData, name: str, kind: str) -> Variable:
        column = pd.Series(data.trials[name])
        kind = kind or kind_of(name, column)
        groups = (
            name != "condition" and "condition" in data.trials and _same(column, pd.Series(data.trials["condition"]))
        )
        train = column.iloc[data.splits["train"]]
        if kind == "label":
            labels, learned = ({label_of(v) for v in values.dropna()} for values in (column, train))
            untrained = sorted(labels - learned, key=_natural)
            if learned and untrained:
                warn(
                    f"no training trial has '{name}' {some(untrained)}, so generated trials with it will be arbitrary."
                )
            made = cls(name, kind, labels=tuple(sorted(labels, key=_natural)), groups=groups)
            known = len(learned)
        else:
            values = _numbers(train, name, kind)
            values = values[np.isfinite(values)]
            made, known = cls(name, kind, groups=groups), len(values)
            if kind == "number" and known:
                made = cls(name, kind, mean=(float(values.mean()),), std=(_spread(values),), groups=groups)
        if not known:
            raise ConfigError(f"condition '{name}' has no value in the training trials; condition on something else.")
        return made

    @classmethod
    def _of_signal(cls, data: SpikeData, name: str) -> Variable:
        train, signal = data.split("train"), data.signals[name]
        values = train.signals[name].values[train.valid].astype(np.float64)
        values = values[np.isfinite(values).all(1)]
        if not (np.isfinite(train.signals[name].values).all(2) | ~train.valid).all(1).any():
            raise ConfigError(
                f"no training trial has a value of the signal '{name}' in every bin; cut the trials to where it was "
                "recorded, or condition on something else."
            )
        return cls(
            name,
            "signal",
            unit=signal.unit,
            columns=tuple(map(str, signal.columns)),
            mean=tuple(map(float, values.mean(0))),
            std=tuple(_spread(dimension) for dimension in values.T),
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
        """Values in the recording's unit as features; NaN where there is no (finite) value.

        Args:
            values: (trial,) values of a column, or (trial, time, dim) of a signal.

        Raises:
            DataError: If a value is not one this variable can have.
        """
        if self.kind == "label":
            return self._indicators(values)
        try:
            numbers = pd.Series(values).to_numpy(np.float64, na_value=np.nan) if not self.aligned else values
            numbers = np.array(numbers, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise DataError(
                f"condition '{self.name}' has a value that is no number ({error}), but the model has learned numbers; "
                "use the recording the model was made for."
            ) from error
        if self.aligned and numbers.shape[-1] != self.size:
            raise DataError(
                f"the signal '{self.name}' has {numbers.shape[-1]} dimensions, but the model has learned {self.size}: "
                f"{', '.join(self.columns)}; use a recording with these."
            )
        numbers[~np.isfinite(numbers)] = np.nan
        if self.kind in RADIANS:
            angle = numbers * RADIANS[self.kind]
            return np.stack([np.cos(angle), np.sin(angle)], axis=-1).astype(np.float32)
        numbers = numbers if self.aligned else numbers[:, None]
        return ((numbers - self.mean) / self.std).astype(np.float32)

    def _indicators(self, values: Any) -> Float[np.ndarray, "trial size"]:
        labels = [None if pd.isna(v) else label_of(v) for v in values]
        unknown = next((label for label in labels if label is not None and label not in self.labels), None)
        if unknown is not None:
            raise DataError(
                f"condition '{self.name}' is requested as '{unknown}', but the model has learned "
                f"{some(self.labels)} only; request one of these."
            )
        rows = [[np.nan if label is None else label == known for known in self.labels] for label in labels]
        return np.array(rows, dtype=np.float32).reshape(-1, self.size)

    def known(self, values: Any) -> Bool[np.ndarray, "..."]:
        """Where there is a value, in all its dimensions."""
        return np.asarray(np.isfinite(self.features(values)).all(-1))

    def parse(self, value: Any) -> Any:
        """A value in the recording's unit from one written by a user: "45deg", "0.5rad", "left", 3.

        Missing values (None, NaN) become NaN.

        Raises:
            DataError: If it is not a value of this kind.
        """
        if not isinstance(value, str) and np.ndim(value) == 0 and pd.isna(value):
            return np.nan
        if self.kind == "label" and np.ndim(value) == 0:
            label = label_of(value)
            return _plain(label) if all(NUMBER.fullmatch(known) for known in self.labels) else label
        number, unit = re.fullmatch(r"\s*(.*?)\s*(deg|rad)?\s*", str(value), re.DOTALL).groups()  # type: ignore[union-attr]
        if not NUMBER.fullmatch(number) or not np.isfinite(float(number)) or (unit and self.kind not in RADIANS):
            example = "45deg or 0.8rad" if self.kind in RADIANS else "1.5"
            raise DataError(
                f"condition '{self.name}' is requested as '{shown(value)}', but needs a number such as {example}."
            )
        return float(number) * RADIANS[unit] / RADIANS[self.kind] if unit else float(number)

    def __str__(self) -> str:
        return f"{self.name} ({self.about})"

    @property
    def about(self) -> str:
        """Description of its values."""
        if self.kind == "label":
            return f"label: {some(self.labels)}"
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


def variables_of(data: SpikeData, condition_on: Sequence[str]) -> tuple[Variable, ...]:
    """The variables of a recording that a model is conditioned on, see ``Variable.of``.

    Raises:
        ConfigError: If the recording lacks one, or one is named twice.
    """
    variables = tuple(Variable.of(data, name) for name in condition_on)
    names = [v.name for v in variables]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"condition_on names '{twice}' twice; name it once.")
    return variables


def check_complete(variables: Sequence[Variable], data: SpikeData) -> None:
    """Check that a recording has all condition variables; warn where trials have no value of one.

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
            known = (variable.known(data.signals[variable.name].values) | ~data.valid).all(1)
        else:
            known = variable.known(data.trials[variable.name])
        if not known.all():
            where = " in every bin" if variable.aligned else ""
            warn(
                f"'{variable.name}' has no value{where} in {int((~known).sum())} of {data.n_trials} trials; they are "
                "trained on as trials in which it is not known."
            )


def label_of(value: Any) -> str:
    """A label as text; 45, 45.0 and "45" from different files are the same label, and so are true, True and 1.

    Example:
        >>> label_of(45.0), label_of(" 45"), label_of("left"), label_of(True), label_of(np.float32(0.1))
        ('45', '45', 'left', '1', '0.1')
    """
    text = str(value).strip()
    text = {"true": "1", "false": "0"}.get(text.lower(), text)
    return f"{float(text) + 0.0:.15g}" if NUMBER.fullmatch(text) else text


def some(names: Sequence[str]) -> str:
    """Some names, and how many more there are."""
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def shown(value: Any) -> str:
    """A value in an error message: not all of an array."""
    text = " ".join(str(value).split())
    return text if len(text) <= 40 else f"{text[:40]}..."


def kind_of(name: str, column: pd.Series) -> str:
    """The most likely kind of a trial column, by its name and values: one of ``KINDS``."""
    if not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        return "label"
    values = column.dropna().to_numpy(dtype=np.float64)
    different = np.unique(values)
    whole = len(values) > 0 and bool((values == np.floor(values)).all())
    name = name.lower()
    if name.endswith(("_deg", "_rad")):
        return name[-3:]
    numbered = whole and 1 < len(different) <= MOST_LABELS and bool((np.diff(different) == 1).all())
    if re.search("angle|direction|theta", name) and not numbered:  # directions 0, 1, 2, ... are no angles
        return "deg" if len(values) and np.abs(values).max() > 2 * np.pi + 1e-3 else "rad"
    return "label" if whole and len(different) <= MOST_LABELS else "number"


def _numbers(column: pd.Series, name: str, kind: str) -> np.ndarray:
    try:
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        odd = next((v for v in column.dropna() if not NUMBER.fullmatch(str(v).strip())), column.iloc[0])
        raise ConfigError(
            f"condition '{name}' is not of kind '{kind}': it holds '{shown(odd)}'; call it '{name}:label'."
        ) from error


def _spread(values: np.ndarray) -> float:
    """Standard deviation; one for values that do not differ, to avoid a division by zero."""
    spread = float(np.std(values))
    return spread if spread > 1e-12 * float(np.abs(values).max()) else 1.0


def _natural(label: str) -> tuple[int, float, str]:
    """Numbers in their order, then words in theirs."""
    return (0, float(label), "") if NUMBER.fullmatch(label) else (1, 0.0, label)


def _plain(label: str) -> Any:
    number = float(label) if NUMBER.fullmatch(label) else None
    return label if number is None else int(number) if number.is_integer() else number


def _same(a: pd.Series, b: pd.Series) -> bool:
    return [label_of(v) for v in a] == [label_of(v) for v in b]
