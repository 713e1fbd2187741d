"""Declared sizes are held against what is stored and the memory that is there, before anything is allocated."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from spikeloom.errors import DataError

SMALL_BYTES = 1e7
"""Arrays below this size may claim what they like: reading them costs nothing."""
MOST_EXPANSION = 2e4
"""Bytes of an array for each byte stored for it: deflate makes at most 1,032 of one, faster codecs a few thousand."""


def check_declared(shape: Sequence[int], itemsize: int, stored_bytes: float | None = None) -> None:
    """Refuse an array that cannot be in its file, or that does not fit into memory.

    Args:
        shape: Its declared shape.
        itemsize: Bytes of an element.
        stored_bytes: Bytes that the file keeps for it, packed or not; None where this cannot be told.

    Raises:
        DataError: Says what is claimed, and what there is.

    Example:
        >>> check_declared((1000, 1000, 1000), 8, stored_bytes=2048.0)
        Traceback (most recent call last):
        ...
        spikeloom.errors.DataError: an array of shape (1000, 1000, 1000) claims 8 GB, but 2.05e-06 GB are stored for it; the file is damaged: copy or download it again.
    """  # noqa: E501
    n_bytes = math.prod(int(n) for n in shape) * itemsize
    if min((int(n) for n in shape), default=0) < 0:
        raise DataError(f"an array claims the shape {tuple(shape)}; the file is damaged: copy or download it again.")
    if n_bytes <= SMALL_BYTES:
        return
    claim = f"an array of shape {tuple(int(n) for n in shape)} claims {n_bytes / 1e9:.3g} GB"
    if stored_bytes is not None and n_bytes > MOST_EXPANSION * stored_bytes:
        raise DataError(
            f"{claim}, but {stored_bytes / 1e9:.3g} GB are stored for it; the file is damaged: copy or download it "
            "again."
        )
    free = available_bytes()
    if n_bytes > free:
        raise DataError(
            f"{claim}, but {free / 1e9:.3g} GB of memory are free; read a part of the recording, or free some memory."
        )


def not_enough_memory(source: object) -> DataError:
    """The error where a recording does not fit into memory, or claims to be larger than it is."""
    return DataError(f"there is not enough memory to load {source}, or it is damaged; load a part of it.")


def available_bytes() -> float:
    """Bytes of memory that can still be had: of the machine, of the group this process is in, and of its own limit."""
    return min(_free_of_machine(), _free_of_group(), _free_of_process())


def _free_of_machine() -> float:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return float(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass  # no Linux
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (OSError, ValueError, AttributeError):  # Windows
        return math.inf


def _free_of_group() -> float:
    """Of the control group: what a container or a job of Slurm may use. Files held in memory are given up for it."""
    for limit, usage, statistics, key in (
        ("memory.max", "memory.current", "memory.stat", "inactive_file"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat", "total_inactive_file"),
    ):
        root = Path("/sys/fs/cgroup")
        try:
            most, used = float((root / limit).read_text()), float((root / usage).read_text())
            held = dict(line.split() for line in (root / statistics).read_text().splitlines())
            return max(most - used + float(held.get(key, 0)), 0.0)
        except (OSError, ValueError):  # no limit ("max"), or no such group
            continue
    return math.inf


def _free_of_process() -> float:
    if sys.platform == "win32":
        return math.inf
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return math.inf
    try:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except (OSError, ValueError):
        used = 0
    return float(max(limit - used, 0))
