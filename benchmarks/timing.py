"""What benchmarks here share: the time of a call, one line about the machine, numbers with errors, tables."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import numpy as np
import torch


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
    """One line about what was measured on."""
    return f"torch {torch.__version__}, {torch.get_num_threads()} threads, {os.cpu_count()} cores"


def table(header: list[str], rows: list[list[object]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def over_seeds(values: list[dict[str, float]], key: str) -> str:
    """Mean of a number that several seeds gave, with its standard error; a dash where none gave it."""
    numbers = [v[key] for v in values if np.isfinite(v.get(key, np.nan))]
    if not numbers:
        return "-"
    error = f" ± {np.std(numbers, ddof=1) / len(numbers) ** 0.5:.2g}" if len(numbers) > 1 else ""
    return f"{np.mean(numbers):.3g}{error}"
