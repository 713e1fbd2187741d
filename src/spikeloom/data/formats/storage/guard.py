"""Files of formats whose libraries may crash or never end are tried in a process of their own before they are read.

A damaged HDF5 file can keep the HDF5 library busy for ever, which no signal ends, and a damaged MATLAB file can crash
the interpreter. ``probe.py`` reads such a file first, with limits of time and memory. It costs 0.3 s of
computing for HDF5 and NWB, and 0.7 s for MATLAB, most of it imports; a file that has not changed since is not tried
again. Files of the web are tried through a pipe, without their large arrays.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import spikeloom
from spikeloom.data.formats.storage.piped import hand_out
from spikeloom.errors import DataError

CHILD_STARTS_S = 120.0
"""Seconds after which a child that says nothing is given up; its own limits are far below, see ``probe.py``."""
AT_LIMIT = {getattr(signal, name, None) for name in ("SIGPROF", "SIGALRM", "SIGKILL")}
"""The signals that end a process at a limit of time."""
MOST_REMEMBERED = 10_000
ENDLESS = "does not come to an end in it"


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


def check_sound_at(remote: Any) -> None:
    """Try a file of the web in another process, which is handed those parts of it that it asks for.

    They are fetched here, where those that are kept serve the reading that follows.

    Args:
        remote: The file, of which ``size`` is the length in bytes.

    Raises:
        DataError: As ``check_sound``; and if a part cannot be fetched.
    """
    if not sys.executable:  # an embedded interpreter
        return
    try:
        child = subprocess.Popen(
            _command("-", str(remote.size)),
            env=_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except OSError:
        return  # no process can be started: read it as it is
    assert child.stdin is not None
    assert child.stdout is not None
    answer = b""
    try:
        answer = hand_out(remote, child.stdout, child.stdin)
    except BaseException:
        child.kill()
        raise
    finally:
        with suppress(OSError):  # what is still on its way to a process that has ended
            child.stdin.close()
        child.stdout.close()
        child.wait()
    _judge(child.returncode, answer)


def _try(path: Path) -> None:
    if not sys.executable:  # an embedded interpreter
        return
    try:
        child = _read_in_child(path)
    except subprocess.TimeoutExpired:
        raise DataError(_sentence(ENDLESS)) from None
    except OSError:
        return  # no process can be started: read it as it is
    _judge(child.returncode, child.stdout)


def _read_in_child(path: Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        _command(str(path.absolute())),
        env=_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=CHILD_STARTS_S,
        check=False,
    )


def _command(*words: str) -> list[str]:
    return [sys.executable, "-P", "-m", "spikeloom.data.formats.storage.probe", *words]


def _environment() -> dict[str, str]:
    places = [str(Path(spikeloom.__file__).parents[1]), *(place for place in sys.path if place)]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(places),
        "OPENBLAS_NUM_THREADS": "1",  # each thread would take of the limit of memory
        "OMP_NUM_THREADS": "1",
    }


def _judge(status: int, output: bytes) -> None:
    """Raise a DataError if the process that has tried a file found it damaged, or came to harm itself."""
    if status < 0:
        raise DataError(_sentence(ENDLESS if -status in AT_LIMIT else "crashes on it"))
    try:
        answer = json.loads(output.decode().splitlines()[-1])
    except (ValueError, IndexError):
        return  # it could not start, such as in an incomplete installation: read the file as it is
    if answer.get("problem"):
        raise DataError(_sentence(answer["problem"]))


def _sentence(does: str) -> str:
    return f"the file is damaged: the library that reads it {does}; copy or download it again."
