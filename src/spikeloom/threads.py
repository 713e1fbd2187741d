"""How many threads torch computes with: as many as the work can use, not as many as there are cores.

Threads of one step wait for each other. At the default size the second one gains a tenth where nothing else runs, and
costs several times the processor's time where anything does, because the waiting ones spin.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

WORK_PER_THREAD = 1e10
"""Products (parameters x trials of a step x bins) that keep a thread busy; the default size has at most half of it."""
SPIN_COUNT = "10000"
"""How often a waiting thread looks before it sleeps: less than the library would, which costs hardly anything."""
_NOT_CHOSEN = "SPIKELOOM_ONE_THREAD"
"""Variable of the environment, also of child processes, that marks the number of threads as ours, not the user's."""


def prepare_environment() -> None:
    """Let the libraries that are imported from now on begin with one thread, unless the user has set a number."""
    if "torch" not in sys.modules and "OMP_NUM_THREADS" not in os.environ:
        os.environ["OMP_NUM_THREADS"] = os.environ[_NOT_CHOSEN] = "1"
        os.environ.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)


def set_by_user() -> int | None:
    """The number of threads that the user has set in the environment; None where there is none."""
    value = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    return int(value) if value.isdecimal() and int(value) and _NOT_CHOSEN not in os.environ else None


def choose(n: int) -> None:
    """Set the number of threads of this process and its children, as a user would."""
    os.environ.pop(_NOT_CHOSEN, None)
    os.environ["OMP_NUM_THREADS"] = str(n)


def threads_for(work: float, processes: int = 1) -> int:
    """The number of threads for a training: what the user has set, or what its size can use.

    Args:
        work: Parameters of the model, times the trials of a step, times their bins.
        processes: Processes that share this machine.

    Example:
        >>> threads_for(4e9)  # the default size
        1
    """
    return set_by_user() or max(1, min(cores() // processes, int(work / WORK_PER_THREAD)))


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def working_threads(n: int) -> Iterator[None]:
    """Compute with a number of threads while the block lasts."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def one_thread() -> Iterator[None]:
    """Work on one thread: small steps gain nothing by more, and sums come out the same on any number of cores."""
    with working_threads(1):
        yield
