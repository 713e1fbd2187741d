"""Shared by these scripts: the time of a call, one line about the machine, means over seeds, lines of results."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from spikeloom.bench.tables import mean_of_seeds


def parser_of(description: str | None) -> argparse.ArgumentParser:
    """A parser that shows the description of a script as it is written."""
    return argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)


def seconds(call: Callable[[], object], repeats: int = 7, warm_up: int = 2) -> float:
    """Shortest of several calls, after a warm-up: what the machine can do when nothing disturbs it."""
    for _ in range(warm_up):
        call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def machine() -> str:
    """The machine in one line."""
    return f"torch {torch.__version__}, {torch.get_num_threads()} threads, {os.cpu_count()} cores"


def over_seeds(values: Iterable[Mapping[str, float]], key: str) -> str:
    """Mean of a number over seeds, with its standard error; a dash where it is missing."""
    return mean_of_seeds((v.get(key, float("nan")) for v in values), error_digits=".2g")


def scores_of_runs(
    runs: Iterable[Path], scores: Callable[[Path, int], Mapping[str, dict[str, float]]], out: Path | None
) -> dict[str, list[dict[str, float]]]:
    """Scores of several runs, which are seeds of one training, by row of the table; printed, and written as JSON.

    Args:
        runs: Run folders.
        scores: Scores of a run, by row of the table.
        out: The file; none is written when not given.
    """
    rows: dict[str, list[dict[str, float]]] = {}
    for seed, run in enumerate(runs):
        for name, values in scores(run, seed).items():
            rows.setdefault(name, []).append(values)
            print(run, name, {k: round(v, 4) for k, v in values.items()}, flush=True)
    if out:
        out.write_text(json.dumps(rows, indent=1))
    return rows


class Lines:
    """Results as lines of JSON, to which a later call adds.

    Args:
        path: The file.
        keys: Entries that identify a result.
    """

    def __init__(self, path: Path, *keys: str):
        self.path, self.keys = path, keys
        self.rows: list[dict[str, Any]] = (
            [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        )

    def has(self, *values: object) -> bool:
        """Whether there is a result with these values of the keys."""
        return any(tuple(row[key] for key in self.keys) == values for row in self.rows)

    def add(self, row: dict[str, Any]) -> None:
        """Add a result to the file, and print it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.rows.append(row)
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(f"{time.strftime('%H:%M:%S')} {row}", flush=True)
