"""Locks between processes: one at a time works in a run folder, a search or on an output.

Locks are those of the operating system (``filelock.FileLock``: ``flock``, on Windows ``msvcrt``), which end with the
process that holds them, however it ends, so that a dead process never blocks. NFS (version 4, or 3 with its lock
service), Lustre mounted with ``flock``, GPFS and SMB hand them to other machines. Where a file system has none, the
existence of the file is the lock (``filelock.SoftFileLock``), which records process and machine: one left by a dead
process is broken on the same machine, and on another has to be deleted by hand, because its process cannot be seen.
"""

from __future__ import annotations

import errno
import json
import os
import shlex
import socket
import sys
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from spikeloom.errors import RunError

if TYPE_CHECKING:
    from filelock import BaseFileLock

ENDING = ".lock"
KEY = "spikeloom_lock"
"""First entry of a lock file, by which it is known to be ours."""
NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP)


@contextmanager
def locked(path: str | Path, wait_s: float = 0.0) -> Iterator[None]:
    """Keep other processes from working on a file or folder while the block runs; it need not exist yet.

    The lock is a hidden file beside it, which goes when the block ends. Where none can be made, because nothing may be
    written there, there is no lock: what follows will say so.

    Args:
        path: The file or folder.
        wait_s: Seconds to wait for a process that is about to end.

    Raises:
        RunError: If another process works on it.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder, locked(f"{folder}/run"):
        ...     with locked(f"{folder}/run"):
        ...         pass
        Traceback (most recent call last):
        ...
        spikeloom.errors.RunError: .../run is in use by process ...
    """
    path = Path(path).resolve()
    missing = [folder for folder in path.parents if not folder.exists()]
    lock = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        place = path.with_name(f".{path.name}{ENDING}")
        if path.is_dir() and not os.access(path.parent, os.W_OK):
            place = path / ENDING
        lock = acquired(place, wait_s)
        if lock is None:
            raise RunError(f"{path} is in use by {_holder(place)}; wait until it has ended, or stop it.")
        _sign(lock, place)
    except OSError:
        pass
    try:
        yield
    finally:
        if lock is not None:
            release(lock)
        for folder in missing:  # innermost first; those that hold something by now stay
            with suppress(OSError):
                folder.rmdir()


def is_first_process() -> bool:
    """Whether this is not one of the further processes of a training on several devices."""
    return os.environ.get("LOCAL_RANK", "0") == "0" and os.environ.get("NODE_RANK", "0") == "0"


def alone(folder: str | Path, wait_s: float = 0.0) -> AbstractContextManager[None]:
    """Keeps other trainings out of a run folder; of several processes of one training, the first does."""
    return locked(folder, wait_s) if is_first_process() else nullcontext()


def acquired(place: Path, wait_s: float = 0.0) -> BaseFileLock | None:
    """The lock that a file is, or None where another process holds it.

    Raises:
        OSError: If the file cannot be made.
    """
    from filelock import FileLock, SoftFileLock, Timeout

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where a file system has no locks, the other kind takes over
        for kind in (FileLock, SoftFileLock):
            lock, is_new = kind(place, timeout=wait_s), not place.exists()
            try:
                lock.acquire()
                return lock
            except Timeout:
                return None
            except OSError as error:
                if kind is SoftFileLock or error.errno not in NO_LOCKS:
                    raise
                with suppress(OSError):  # the attempt leaves a file, which would be a lock of the other kind
                    if is_new and place.stat().st_size == 0:
                        place.unlink()
    return None


def release(lock: BaseFileLock) -> None:
    """Give a lock back and remove its file.

    It is removed while it is held: who has opened it before finds that it has no name any more, and begins again.
    """
    with suppress(OSError):
        if os.name != "nt" and _is_native(lock):
            os.unlink(lock.lock_file)
    with suppress(OSError):
        lock.release()


def is_ours(place: Path) -> bool:
    """Whether a file is a lock of this program."""
    return KEY in _facts(place)


def _is_native(lock: BaseFileLock) -> bool:
    from filelock import SoftFileLock

    return not isinstance(lock, SoftFileLock)


def _sign(lock: BaseFileLock, place: Path) -> None:
    """Note in the lock who holds it; a lock by existence has notes of its own."""
    if os.name == "nt" or not _is_native(lock):
        return
    command = shlex.join([Path(sys.argv[0] or "python").name.replace("__main__.py", "spikeloom"), *sys.argv[1:]])
    facts = {KEY: 1, "pid": os.getpid(), "host": socket.gethostname(), "command": command[:200]}
    place.write_text(json.dumps({**facts, "since": datetime.now().isoformat(" ", "seconds")}))


def _holder(place: Path) -> str:
    """The process that holds a lock, in words."""
    facts = _facts(place)
    if KEY in facts:
        return f"process {facts.get('pid')} on {facts.get('host')} since {facts.get('since')} ({facts.get('command')})"
    with suppress(OSError, ValueError):
        pid, host = place.read_text().split()[:2]
        return f"process {int(pid)} on {host} (if it no longer runs, delete {place})"
    return "another process"


def _facts(place: Path) -> dict[str, object]:
    try:
        facts = json.loads(place.read_text())
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}
