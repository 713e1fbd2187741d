"""Files of formats whose libraries may crash or never end are tried in a process of their own before they are read.

A damaged HDF5 file can keep the HDF5 library busy for ever, which no signal ends, and a damaged MATLAB file can crash
the interpreter. ``probe.py`` reads such a file first, with limits of time and memory. It costs 0.3 s of
computing for HDF5 and NWB, and 0.7 s for MATLAB, most of it imports; a file that has not changed since is not tried
again.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import spikeloom
from spikeloom.errors import DataError

CHILD_STARTS_S = 120.0
"""Seconds after which a child that says nothing is given up; its own limits are far below, see ``probe.py``."""
AT_LIMIT = {getattr(signal, name, None) for name in ("SIGPROF", "SIGALRM", "SIGKILL")}
"""The signals that end a process at a limit of time."""
MOST_REMEMBERED = 10_000


@dataclass(frozen=True)
class _Version:
    """A file as it was when it was tried."""

    path: str
    device: int
    inode: int
    size: int
    changed_ns: int

    @classmethod
    def of(cls, path: Path) -> _Version:
        status = path.stat()
        return cls(str(path.resolve()), status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


_sound: dict[_Version, None] = {}


def check_sound(path: Path) -> None:
    """Try a file of HDF5 or MATLAB in another process, unless this has been done already.

    Raises:
        DataError: If the library that reads it does not end, crashes, or needs far more memory than the file has bytes.
    """
    try:
        version = _Version.of(path)
    except OSError:
        return  # whoever opens it says why it cannot be
    if version not in _sound:
        _try(path)
        _remember(version)


def know_sound(path: Path) -> None:
    """Remember that a file is sound, because this process has just written it."""
    _remember(_Version.of(path))


def _remember(version: _Version) -> None:
    while len(_sound) >= MOST_REMEMBERED:
        _sound.pop(next(iter(_sound)))
    _sound[version] = None


def _try(path: Path) -> None:
    if not sys.executable:  # an embedded interpreter
        return
    places = [str(Path(spikeloom.__file__).parents[1]), *(place for place in sys.path if place)]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(places),
        "OPENBLAS_NUM_THREADS": "1",  # each thread would take of the limit of memory
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-P", "-m", "spikeloom.data.formats.probe", str(path.absolute())]
    try:
        child = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=CHILD_STARTS_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise DataError(_sentence("does not come to an end in it")) from None
    except OSError:
        return  # no process can be started: read it as it is
    if child.returncode < 0:
        raise DataError(
            _sentence("does not come to an end in it" if -child.returncode in AT_LIMIT else "crashes on it")
        )
    try:
        answer = json.loads(child.stdout.decode().splitlines()[-1])
    except (ValueError, IndexError):
        return  # it could not start, such as in an incomplete installation: read the file as it is
    if answer.get("problem"):
        raise DataError(_sentence(answer["problem"]))


def _sentence(does: str) -> str:
    return f"the file is damaged: the library that reads it {does}; copy or download it again."
