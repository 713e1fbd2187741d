"""The table of a search, and all of its state: one row for each member in each generation."""

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
    """One member in one generation.

    Attributes:
        generation: Its generation, from 1; random search has only one.
        member: Its number, from 0.
        values: Its hyper-parameters, by dotted name.
        copied_from: The member whose weights and hyper-parameters it copied before this generation; None where it
            continued with its own.
        steps: Optimiser steps of its weights, over all stages, at the end of the generation; None until then.
        score: Score at the end, to be minimised; NaN where training failed.
        error: Why training failed; None where it did not.
    """

    generation: int
    member: int
    values: Mapping[str, Any]
    copied_from: int | None = None
    steps: int | None = None
    score: float = math.nan
    error: str | None = None

    def flat(self) -> dict[str, Any]:
        """The row by columns of the file."""
        return {**{name: getattr(self, name) for name in FACTS}, **self.values}


@dataclass
class SearchTable:
    """All rows of a search, and their file, which is replaced as a whole.

    Attributes:
        path: The file; rows that it already has are read.
        parameters: The hyper-parameters, which are the columns after the facts.
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

    def put(self, *rows: Row) -> None:
        """Write rows; they replace those of the same member and generation."""
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
    def last(self) -> int:
        """The last generation; 0 where there is none."""
        return max((row.generation for row in self.rows), default=0)

    def best(self, generation: int) -> Row:
        """The row of the lowest score in a generation.

        Raises:
            RunError: If all members have failed.
        """
        rows = self.of(generation)
        finite = [row for row in rows if math.isfinite(row.score)]
        if not finite:
            first = next((row.error for row in rows if row.error), "no validation was recorded")
            raise RunError(f"all {len(rows)} trainings failed; the first: {first.rstrip('.')}.")
        return min(finite, key=lambda row: row.score)

    def lineage(self, member: int) -> list[int]:
        """The members that held, in each generation, the weights that a member has in the last one."""
        line = [member]
        for generation in range(self.last, 1, -1):
            parent = self.row(generation, line[0]).copied_from
            line.insert(0, line[0] if parent is None else parent)
        return line

    def unbroken_since(self, row: Row) -> int:
        """The generation in which a member last copied another, up to a row; 1 where it never did."""
        generation = row.generation
        while generation > 1 and self.row(generation, row.member).copied_from is None:
            generation -= 1
        return generation

    def frame(self) -> pd.DataFrame:
        """All rows as a data frame."""
        return pd.DataFrame([row.flat() for row in self.rows], columns=[*FACTS, *(p.key for p in self.parameters)])

    def _row(self, line: Mapping[str, str]) -> Row:
        def integer(name: str) -> int | None:
            return int(line[name]) if line[name] else None

        return Row(
            int(line["generation"]),
            int(line["member"]),
            {p.key: p.parse(line[p.key]) for p in self.parameters},
            integer("copied_from"),
            integer("steps"),
            float(line["score"]),
            line["error"] or None,
        )
