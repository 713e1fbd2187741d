"""Memory that is freed and taken again at every step of a training stays with the process.

Otherwise the C library of Linux hands large arrays back to the system, which clears every page anew when it is next
touched: that took a fifth of the time of a training step.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
from functools import cache

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of malloc.h
_LARGEST_KEPT = 32 * 2**20
"""Arrays above this many bytes are still handed back, 32 MB; the largest value that every version accepts."""
_FREE_KEPT = 512 * 2**20


@cache
def keep_freed_memory() -> bool:
    """Keep freed memory, up to half a gigabyte; once in a process. Returns whether this system can be told so."""
    if not sys.platform.startswith("linux"):
        return False
    with contextlib.suppress(OSError, AttributeError):  # a C library without it, such as musl
        mallopt = ctypes.CDLL(None).mallopt
        return bool(mallopt(_MMAP_THRESHOLD, _LARGEST_KEPT)) and bool(mallopt(_TRIM_THRESHOLD, _FREE_KEPT))
    return False
