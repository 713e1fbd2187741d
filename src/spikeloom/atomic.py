"""Writing so that a killed program or a full disk leaves the old file or the new one, never half of one.

What is being written lies in a hidden folder beside its place, which is locked for as long as its process lives. What
dead processes have left is swept by the next one that writes there.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spikeloom import locks

ENDING = ".tmp"
LOCK = "in_use"
"""File in a hidden folder that is locked by its process."""
MOST_OF_NAME = 80


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """A temporary file beside ``path`` that takes its place when the block ends well, and vanishes when it does not.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder, atomic(Path(folder) / "a.txt") as temporary:
        ...     _ = temporary.write_text("whole")
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _of(path), scratch(path) as folder:
        temporary = folder / path.name
        temporary.touch()
        yield temporary
        temporary.chmod(0o666 & ~_umask())  # where a library has made it private
        os.replace(temporary, path)


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """The same for a folder; an empty one may be in its place.

    Raises:
        OSError: If there is something else in its place when the block ends.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _of(path), scratch(path) as folder:
        temporary = folder / path.name
        temporary.mkdir()
        yield temporary
        if path.exists():
            path.rmdir()
        temporary.replace(path)


@contextmanager
def _of(path: Path) -> Iterator[None]:
    """An error of the operating system that names no file, or one that nobody has asked for, names this one."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and (error.filename is None or ENDING in str(error.filename)):
            error.filename, error.filename2 = str(path), None
        raise


@contextmanager
def scratch(path: Path) -> Iterator[Path]:
    """A hidden folder beside a file, for as long as the block lasts; what dead processes have left there is swept."""
    sweep(path.parent)
    folder, lock = _locked_folder(path)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        locks.release(lock)


def sweep(folder: Path) -> None:
    """Delete what processes that are dead had begun to write in a folder, and their locks.

    What a living process writes is locked, and so is never touched; nor is anything that is not ours.
    """
    with os.scandir(folder) as entries:
        hidden = [Path(entry.path) for entry in entries if entry.name.startswith(".")]
    for place in hidden:
        unfinished = place.name.endswith(ENDING) and (place / LOCK).is_file()
        if not unfinished and not (place.name.endswith(locks.ENDING) and locks.is_ours(place)):
            continue
        try:
            lock = locks.acquired(place / LOCK if unfinished else place)
        except OSError:  # of another user, or swept by another process
            continue
        if lock is not None:
            if unfinished:
                shutil.rmtree(place, ignore_errors=True)
            locks.release(lock)


def _locked_folder(path: Path) -> tuple[Path, locks.BaseFileLock]:
    while True:
        folder = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name[:MOST_OF_NAME]}-", suffix=ENDING))
        try:
            lock = locks.acquired(folder / LOCK)
        except BaseException as error:
            shutil.rmtree(folder, ignore_errors=True)
            if isinstance(error, FileNotFoundError) and path.parent.is_dir():  # swept before it was locked
                continue
            raise
        if lock is not None:
            return folder, lock


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask
