"""A benchmark's record: its setting and its results as typed values, and their way to JSON and back."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from typing import Any, ClassVar, Generic, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np


@dataclass(frozen=True)
class Record:
    """Everything a benchmark has measured.

    Attributes:
        setting: What decides the numbers: recording, configurations of subjects, sizes.
    """

    setting: Mapping[str, Any]

    notes: ClassVar[Mapping[str, Any]] = {}
    """Units and definitions that are written beside the results for readers of the file."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, which ``typed`` reads again; a number that does not exist is NaN, infinity is spelt out."""
        return plain(self) | plain(self.notes)


AnyRecord = TypeVar("AnyRecord", bound=Record)


@dataclass(frozen=True)
class ContinuedRecord(Record):
    """A record to which later calls add results.

    Attributes:
        commands: Date, command and machine of each time that results were added.
    """

    commands: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class SubjectResult:
    """Results of one subject with one seed.

    Attributes:
        subject: Its name.
        seed: Of training and of samples.
    """

    subject: str
    seed: int


Result = TypeVar("Result", bound=SubjectResult)


@dataclass(frozen=True)
class SubjectRecord(ContinuedRecord, Generic[Result]):
    """Results of subjects, which the setting names in the order of the tables, with several seeds.

    Attributes:
        results: One for each subject and seed.
    """

    results: tuple[Result, ...] = field(default=(), kw_only=True)

    @property
    def subjects(self) -> list[str]:
        """Names of the measured subjects, in the order of the setting."""
        measured = {r.subject for r in self.results}
        return [name for name in self.setting["subjects"] if name in measured]

    @property
    def labels(self) -> dict[str, str]:
        """Labels of subjects in tables and figures, by name."""
        return {name: str(subject["label"]) for name, subject in self.setting["subjects"].items()}

    @property
    def seeds(self) -> list[int]:
        """Seeds with which any subject was measured."""
        return sorted({r.seed for r in self.results})

    def of(self, subject: str) -> list[Result]:
        """Results of a subject, by seed."""
        return sorted((r for r in self.results if r.subject == subject), key=lambda r: r.seed)

    def result(self, subject: str, seed: int) -> Result | None:
        """The result of a subject with a seed; None if it was not measured."""
        return next((r for r in self.of(subject) if r.seed == seed), None)


# -- JSON ------------------------------------------------------------------------------------------------------------


def plain(value: Any) -> Any:
    """Dataclasses as mappings, tuples as lists, and infinity spelt out, as JSON has none.

    Example:
        >>> plain({"a": (1.0, float("inf"))})
        {'a': [1.0, 'inf']}
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {name: plain(v) for name, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return str(value) if isinstance(value, float) and np.isinf(value) else value


def typed(kind: Any, value: Any) -> Any:
    """Plain values as the type of an annotation: inverse of ``plain``, after a turn through JSON.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: If they were not written from a value of that type.

    Example:
        >>> typed(dict[str, tuple[float, ...]], {"a": [1, "inf", None]})
        {'a': (1.0, inf, nan)}
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if isinstance(kind, type) and is_dataclass(kind):
        hints = get_type_hints(kind)
        known = [
            f for f in fields(kind) if f.name in value or f.default is MISSING
        ]  # a field may be newer than the file
        return kind(**{f.name: typed(hints[f.name], value[f.name]) for f in known})
    if origin is tuple:
        return tuple(typed(arguments[0], v) for v in value)
    if origin in (dict, Mapping) or (isinstance(origin, type) and issubclass(origin, Mapping)):
        return {str(name): typed(arguments[1], v) for name, v in value.items()}
    if origin in (Union, types.UnionType):
        (some,) = (a for a in arguments if a is not type(None))
        return None if value is None else typed(some, value)
    if kind is Any or origin is Literal:
        return value
    return float("nan") if kind is float and value is None else kind(value)
