"""The table of a search: one row for each member in each generation."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from spikeloom.atomic import atomic
from spikeloom.errors import RunError
from spikeloom.tuning.space import Parameter

FILE = "trials.csv"
FACTS = ("generation", "member", "steps", "score", "copied_from", "error")


@dataclass(frozen=True)
class Row:
    """What became of a member in a generation.

    Attributes:
        generation: From 1; of random search there is one.
        member: Its number.
        steps: Optimiser steps that it has behind it, of all stages together.
        score: The smaller the better; NaN where training failed.
        values: What it was trained with.
        copied_from: The member whose weights and values it took over before this generation; None where it went on.
        error: Why training failed; None where it did not.
    """

    generation: int
    member: int
    steps: int
    score: float
    values: Mapping[str, Any]
    copied_from: int | None = None
    error: str | None = None

    def flat(self) -> dict[str, Any]:
        """As a row of the file."""
        return {**{name: getattr(self, name) for name in FACTS}, **self.values}


@dataclass
class Trials:
    """All rows, in a file that is whole at any time.

    Attributes:
        path: The file; what it holds already is read.
        parameters: What is searched: columns behind the facts.
        rows: The rows, by generation and member.
    """

    path: Path
    parameters: Sequence[Parameter]
    rows: list[Row] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.path.is_file():
            return
        try:
            with self.path.open(newline="") as file:
                self.rows = [self._row(line) for line in csv.DictReader(file)]
        except (ValueError, KeyError, TypeError, csv.Error) as error:
            raise RunError(f"{self.path} is damaged ({error!r}); choose another --out.") from error

    def put(self, rows: Sequence[Row]) -> None:
        """Write rows; they take the place of those of the same member and generation."""
        table = {(row.generation, row.member): row for row in (*self.rows, *rows)}
        self.rows = [table[key] for key in sorted(table)]
        with atomic(self.path) as temporary, temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, [*FACTS, *(p.key for p in self.parameters)])
            writer.writeheader()
            writer.writerows(row.flat() for row in self.rows)

    def of(self, generation: int) -> list[Row]:
        """Rows of a generation."""
        return [row for row in self.rows if row.generation == generation]

    def row(self, generation: int, member: int) -> Row:
        """The row of a member in a generation."""
        return next(row for row in self.of(generation) if row.member == member)

    @property
    def generations(self) -> int:
        """The last generation there is; 0 where there is none."""
        return max((row.generation for row in self.rows), default=0)

    def best(self, generation: int) -> Row:
        """The row of the lowest score in a generation.

        Raises:
            RunError: If all members have failed.
        """
        rows = self.of(generation)
        finite = [row for row in rows if math.isfinite(row.score)]
        if not finite:
            first = next((row.error for row in rows if row.error), "no validation was noted")
            raise RunError(f"all {len(rows)} trainings failed; the first: {first.rstrip('.')}.")
        return min(finite, key=lambda row: row.score)

    def lineage(self, member: int) -> list[int]:
        """The members whose weights became those of a member in the last generation, one for each generation."""
        line = [member]
        for generation in range(self.generations, 1, -1):
            parent = self.row(generation, line[0]).copied_from
            line.insert(0, line[0] if parent is None else parent)
        return line

    def table(self) -> pd.DataFrame:
        """All rows as a table."""
        return pd.DataFrame([row.flat() for row in self.rows], columns=[*FACTS, *(p.key for p in self.parameters)])

    def _row(self, line: Mapping[str, str]) -> Row:
        parent, error = line["copied_from"], line["error"]
        return Row(
            int(line["generation"]),
            int(line["member"]),
            int(line["steps"]),
            float(line["score"]),
            {p.key: p.read(line[p.key]) for p in self.parameters},
            int(parent) if parent else None,
            error or None,
        )
