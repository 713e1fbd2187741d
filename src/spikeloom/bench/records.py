"""What records of benchmarks share: plain values, numbers read back, subjects by name, and tables in Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import numpy as np

NONE = "-"
"""What a table shows where there is no number."""


@runtime_checkable
class Found(Protocol):
    """What was measured of a subject with a seed."""

    @property
    def subject(self) -> str:
        """Its name."""
        ...

    @property
    def seed(self) -> int:
        """The seed."""
        ...


Each = TypeVar("Each", bound=Found)


class BySubject(Generic[Each]):
    """Results of subjects, which the setting names in the order of tables, with several seeds."""

    setting: Mapping[str, Any]
    results: tuple[Each, ...]

    @property
    def subjects(self) -> list[str]:
        """Names of those that were measured, in the order of the setting."""
        measured = {r.subject for r in self.results}
        return [name for name in self.setting["subjects"] if name in measured]

    @property
    def labels(self) -> dict[str, str]:
        """What subjects are called."""
        return {name: str(said["label"]) for name, said in self.setting["subjects"].items()}

    def result(self, subject: str, seed: int) -> Each | None:
        """What was measured of a subject with a seed."""
        return next((r for r in self.results if (r.subject, r.seed) == (subject, seed)), None)


def number(value: Any) -> float:
    """A number as JSON holds it: None is NaN, "inf" is infinity."""
    return float("nan") if value is None else float(value)


def spelt(value: Any) -> Any:
    """Plain values in which infinity is spelt out, as JSON has none.

    Example:
        >>> spelt({"a": [1.0, float("inf")]})
        {'a': [1.0, 'inf']}
    """
    if isinstance(value, Mapping):
        return {k: spelt(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [spelt(v) for v in value]
    return str(value) if isinstance(value, float) and np.isinf(value) else value


def in_markdown(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of a table in Markdown.

    Example:
        >>> in_markdown([["a", "b"], ["---", "---"]])
        ['| a | b |', '| --- | --- |']
    """
    return ["| " + " | ".join(row) + " |" for row in rows]
