"""Pages of results in Markdown: numbers with errors, tables, lists of commands and of warnings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

NONE = "-"
"""Shown in a table where there is no number."""
FEW_SEEDS = "Fewer than three seeds: differences between subjects may be those of seeds."

Row = TypeVar("Row")
Column = tuple[str, Callable[[Row], str]]
"""Title of a column, and its cell in a row."""


def number(value: float, error: float = float("nan"), digits: str = ".3g", error_digits: str = ".1g") -> str:
    """A number with its error; a dash where it does not exist.

    Example:
        >>> number(0.1234, 0.021), number(float("inf")), number(float("nan"), 1.0)
        ('0.123 ± 0.02', '∞', '-')
    """
    if np.isnan(value):
        return NONE
    text = "∞" if np.isinf(value) else format(value, digits)
    return text + (f" ± {format(error, error_digits)}" if np.isfinite(error) else "")


def ratio(value: float, floor: float) -> str:
    """A value as a multiple of the floor.

    Example:
        >>> ratio(0.33, 0.1), ratio(123.4, 0.5), ratio(float("inf"), 0.1), ratio(0.3, 0.0)
        ('(×3.3)', '(×247)', '', '')
    """
    if not np.isfinite(value) or floor <= 0:
        return ""
    times = value / floor
    return f"(×{times:.0f})" if times >= 10 else f"(×{times:.2g})"


def mean_of_seeds(values: Iterable[float], digits: str = ".3g", error_digits: str = ".1g") -> str:
    """Mean of the numbers among the values of several seeds, with its standard error."""
    known = np.array([v for v in values if np.isfinite(v)])
    if not len(known):
        return NONE
    error = float(known.std(ddof=1) / len(known) ** 0.5) if len(known) > 1 else float("nan")
    return number(float(known.mean()), error, digits, error_digits)


def markdown_table(header: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """A table in Markdown.

    Example:
        >>> print(markdown_table(["", "a"], [["b", 1]]))
        |  | a |
        | --- | --- |
        | b | 1 |
    """
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def column_table(columns: Sequence[Column[Row]], rows: Iterable[Row]) -> str:
    """A table whose cells are functions of the rows."""
    return markdown_table([title for title, _ in columns], [[cell(row) for _, cell in columns] for row in rows])


def page(*parts: str | Sequence[str]) -> str:
    """Paragraphs, tables and lists of lines, one below the other; empty ones are left out."""
    blocks = [part if isinstance(part, str) else "\n".join(part) for part in parts]
    return "\n\n".join(block for block in blocks if block) + "\n"


def section(title: str, *parts: str | Sequence[str]) -> str:
    """A part of a page with a heading; nothing where it would be empty."""
    body = page(*parts).rstrip("\n")
    return f"## {title}\n\n{body}" if body else ""


def recording_line(recording: Mapping[str, Any]) -> str:
    """A recording in one line: name, sizes, trials of each split."""
    splits = ", ".join(f"{n} {name}" for name, n in recording["splits"].items())
    return f"`{recording['source']}`: {recording['summary']} ({splits})"


def command_lines(commands: Iterable[Mapping[str, Any]]) -> list[str]:
    """The commands by which results were made, when, and on which machine."""
    return [
        f"- `{c['command']}` ({', '.join([c['date'], *([c['machine']] if 'machine' in c else [])])})" for c in commands
    ]


def warning_lines(warnings: Iterable[tuple[str, str]], everybody: int | None = None) -> list[str]:
    """Each warning once, with all it concerns.

    Args:
        warnings: Warnings, each with what it concerns.
        everybody: Number of rows from which on a warning concerns every row.
    """
    found: dict[str, list[str]] = {}
    for warning, row in warnings:
        found.setdefault(warning, []).append(row)
    every = everybody if everybody is not None else float("inf")
    return [f"- {w} ({'every row' if len(rows) >= every else ', '.join(rows)})" for w, rows in found.items()]
