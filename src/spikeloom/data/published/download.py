"""Downloads that survive broken connections: resumed where they broke off, checked, and there whole or not at all.

A file whose archive states no checksum cannot be verified. The user is warned, and the checksum of what came is kept
beside it (``FILE.sha256``, as ``sha256sum`` writes it): another download of it must be the same file.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from spikeloom.atomic import atomic
from spikeloom.errors import DataError, warn
from spikeloom.locks import locked
from spikeloom.progress import Progress

if TYPE_CHECKING:
    import requests

TRIES = 5
"""Attempts in a row that may bring nothing new."""
WAIT_S = 1.0
"""Seconds before the first new attempt; doubled before each further one."""
TIMEOUT_S = (15.0, 60.0)
"""Seconds to wait for a connection, and for the next bytes."""
CHUNK = 1 << 20
MEGABYTE = 10**6
BUSY = (408, 425, 429, 500, 502, 503, 504)
"""Answers of a server that may give another one later."""
HEADERS = {"Accept-Encoding": "identity", "User-Agent": "spikeloom"}
"""No compression: a file compressed for the transfer would not have the stated length."""


def download(
    url: str,
    path: Path,
    checksum: str | None = None,
    size: int | None = None,
    wait_s: float = WAIT_S,
    visible: bool = True,
) -> None:
    """Download a file, unless it is there already.

    What has arrived is kept beside the file with the ending ".part" and grows until it is complete, over broken
    connections and over several calls. Only a whole file whose checksum is right gets its final name.
    The part that an earlier call has left is used only where a checksum can prove that it belongs to the same file.

    Args:
        url: Where it is.
        path: The file to make.
        checksum: Algorithm and digest, such as "sha256:0f...".
        size: Bytes that it must have; no more are ever taken.
        wait_s: Seconds before the first new attempt; doubled before each further one.
        visible: Show progress.

    Raises:
        DataError: If it cannot be reached, ends early again and again, or is not the file that was published.
        RunError: If another process downloads it.
    """
    with locked(path):
        if path.exists():
            return
        if checksum is not None and checksum.partition(":")[0].lower() not in hashlib.algorithms_guaranteed:
            checksum = None
        partial = path.with_name(path.name + ".part")
        pinned = None if checksum is not None else pinned_checksum(path)
        expected = checksum or pinned
        if expected is None:
            partial.unlink(missing_ok=True)
        while True:
            resumed = partial.exists()
            Resumable(partial, size, wait_s, visible)(url)
            actual = _checksum(partial, expected or "sha256:")
            if expected is None or actual == expected.lower():
                break
            partial.unlink()
            if not resumed:  # otherwise the part left from an earlier call was of another file
                first = "the file that was published" if pinned is None else f"the file that came first ({_pin(path)})"
                raise DataError(
                    f"{url} is not {first}: its checksum is {actual} instead of {expected}; it was deleted, "
                    + ("fetch it again." if pinned is None else "fetch it again, or delete the note of the first.")
                )
        if expected is None:
            with atomic(_pin(path)) as temporary:
                temporary.write_text(f"{actual.partition(':')[2]}  {path.name}\n")
        if checksum is None:
            warn(
                f"{path.name} is unverified, as its archive states no checksum; it is "
                + ("the file that came the first time." if pinned else f"noted in {_pin(path).name} as {actual}.")
            )
        os.replace(partial, path)


def check_pinned(path: Path) -> None:
    """Check a file that its archive has no checksum of against the one noted when it was downloaded first.

    Raises:
        DataError: If it is another file now.
    """
    expected = pinned_checksum(path)
    if expected is not None and (actual := _checksum(path, expected)) != expected:
        raise DataError(
            f"{path} has changed since it was downloaded: its checksum is {actual} instead of {expected} "
            f"({_pin(path).name}); delete it, and fetch it again."
        )


def pinned_checksum(path: Path) -> str | None:
    """The checksum noted when a file was downloaded first, if it was."""
    try:
        digest = _pin(path).read_text().split()[0].lower()
    except (OSError, ValueError, IndexError):
        return None
    return f"sha256:{digest}" if re.fullmatch("[0-9a-f]{64}", digest) else None


def _pin(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def _checksum(path: Path, like: str) -> str:
    """The checksum of a file by the algorithm of another."""
    algorithm = like.partition(":")[0].lower()
    with path.open("rb") as file:
        return f"{algorithm}:{hashlib.file_digest(file, algorithm).hexdigest()}"


@dataclass
class Resumable:
    """Requests the missing bytes of a file until all have arrived.

    Attributes:
        partial: Where they are gathered.
        size: Bytes of the whole file, if known.
        wait_s: Seconds before the first new attempt.
        visible: Show progress.
        version: The server's name for the version of the file that is being gathered.
    """

    partial: Path
    size: int | None
    wait_s: float
    visible: bool
    version: str | None = None

    def __call__(self, url: str) -> None:
        """Get the file.

        Raises:
            DataError: If that fails again and again, or no further attempt can succeed.
        """
        import requests

        most, idle = self._have(), 0
        while True:
            try:
                self._attempt(url)
                break
            except (
                requests.ConnectionError,
                requests.Timeout,
                requests.exceptions.ChunkedEncodingError,
                _Again,
            ) as why:
                idle = 0 if self._have() > most else idle + 1
                most = max(most, self._have())
                if idle >= TRIES:
                    raise DataError(self._gave_up(url, why)) from None
                time.sleep(self.wait_s * 2 ** max(idle - 1, 0))

    def _attempt(self, url: str) -> None:
        """Request the missing bytes once."""
        from spikeloom.data.web import get

        have = self._have()
        if self.size is not None and have == self.size:
            return
        headers = dict(HEADERS)
        if have:
            headers["Range"] = f"bytes={have}-"
            if self.version is not None:
                headers["If-Range"] = self.version  # another version comes whole
        with get(url, headers=headers, stream=True, timeout=TIMEOUT_S) as answer:
            if answer.status_code in BUSY:
                raise _Again(f"it answers {answer.status_code} {answer.reason}")
            if answer.status_code == 416:  # our part is longer than the file
                self.partial.unlink()
                raise _Again("it has fewer bytes than had arrived")
            if not answer.ok:
                raise DataError(
                    f"{url} cannot be downloaded: the server answers {answer.status_code} {answer.reason}; check "
                    "whether it has moved."
                )
            start, total = _extent(answer, have)
            if start not in (0, have):
                raise _Again(f"it sends bytes from {start} on, not from {have}")
            if self.size is not None and total is not None and total != self.size:
                raise DataError(
                    f"{url} has {total} bytes, but {self.size} were published; check whether it has been replaced."
                )
            named = answer.headers.get("ETag", "")
            self.version = named if named.startswith('"') else None  # weak names do not identify bytes
            self._write(answer, start, total, url)
        whole = total if total is not None else self.size
        if whole is not None and self._have() < whole:
            raise _Again(f"it ends after {self._have()} of {whole} bytes")

    def _write(self, answer: requests.Response, start: int, total: int | None, url: str) -> None:
        megabytes = -(-(self.size or total or 0) // MEGABYTE)
        name, most = f"{self.partial.stem} (MB)", self.size if self.size is not None else total
        with Progress(name, megabytes, self.visible) as progress, self.partial.open("ab" if start else "wb") as file:
            for chunk in answer.iter_content(CHUNK):
                if most is not None and file.tell() + len(chunk) > most:
                    self.partial.unlink()
                    raise DataError(
                        f"{url} sends more than the {most} bytes that were published; check whether it has been "
                        "replaced."
                    )
                file.write(chunk)
                progress.at(min(file.tell() // MEGABYTE, megabytes))
            progress.at(megabytes)

    def _have(self) -> int:
        return self.partial.stat().st_size if self.partial.exists() else 0

    def _gave_up(self, url: str, why: Exception) -> str:
        if isinstance(why, _Again) and not self._have():
            return f"{url} cannot be downloaded: {why}, {TRIES} times in a row; try again later."
        if self._have():
            kept = self.size or "an unknown number of"
            return (
                f"{url} broke off after {self._have()} of {kept} bytes ({_reason(why)}), {TRIES} times in a row; the "
                "same command goes on from there."
            )
        return f"{url} cannot be reached ({_reason(why)}); check the network, and try again later."


class _Again(Exception):
    """An answer after which another attempt may succeed."""


def _extent(answer: requests.Response, have: int) -> tuple[int, int | None]:
    """Where the bytes of an answer start, and how many the whole file has."""
    if answer.status_code != 206:
        length = answer.headers.get("Content-Length", "")
        return 0, int(length) if length.isdigit() else None
    extent = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range", "").strip())
    if extent is None:
        return -1, None
    return int(extent[1]), int(extent[2]) if extent[2].isdigit() else None


def _reason(error: Exception) -> str:
    """The innermost reason that libraries give, in a few words."""
    text = str(error)
    inner = re.findall(r"\[Errno -?\d+\] [^'\")]+|Read timed out|[Rr]emote end closed connection|IncompleteRead", text)
    return " ".join((inner[-1] if inner else text).split())[:120]
