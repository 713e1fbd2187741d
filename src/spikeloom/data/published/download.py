"""Downloads that survive broken connections: resumed where they broke off, checked, and there whole or not at all."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikeloom.errors import DataError
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
        size: Bytes that it must have.
        wait_s: Seconds before the first new attempt; doubled before each further one.
        visible: Show progress.

    Raises:
        DataError: If it cannot be reached, ends early again and again, or is not the file that was published.
    """
    if path.exists():
        return
    import pooch  # with requests a fifth of a second

    pooch.get_logger().setLevel("ERROR")
    partial = path.with_name(path.name + ".part")
    if checksum is None:
        partial.unlink(missing_ok=True)
    while True:
        resumed = partial.exists()
        get = Resumable(partial, size, wait_s, visible)
        try:
            pooch.retrieve(url, checksum, path.name, path.parent, downloader=get)  # pyright: ignore[reportArgumentType]  # its protocol has other names than its own downloaders
        except ValueError as error:
            if isinstance(error, DataError):
                raise
            if resumed:  # the part left from an earlier call was of another file
                continue
            actual = re.search(r"but got '?([0-9a-f]+)", str(error))
            raise DataError(
                f"{url} is not the file that was published: its checksum is {actual[1] if actual else 'another'} "
                f"instead of {checksum}; it was deleted, fetch it again."
            ) from None
        return


@dataclass
class Resumable:
    """Downloader for pooch that requests the missing bytes until all have arrived.

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

    def __call__(self, url: str, output_file: Any, pooch: Any, check_only: bool = False) -> None:
        """Get the file; ``pooch`` and ``check_only`` are part of the signature that pooch expects."""
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
        os.replace(self.partial, output_file)

    def _attempt(self, url: str) -> None:
        """Request the missing bytes once."""
        import requests

        have = self._have()
        if self.size is not None and have == self.size:
            return
        headers = dict(HEADERS)
        if have:
            headers["Range"] = f"bytes={have}-"
            if self.version is not None:
                headers["If-Range"] = self.version  # another version comes whole
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_S) as answer:
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
            self._write(answer, start, total)
        if total is not None and self._have() < total:
            raise _Again(f"it ends after {self._have()} of {total} bytes")

    def _write(self, answer: requests.Response, start: int, total: int | None) -> None:
        megabytes = -(-(self.size or total or 0) // MEGABYTE)
        name = f"{self.partial.stem} (MB)"
        with Progress(name, megabytes, self.visible) as progress, self.partial.open("ab" if start else "wb") as file:
            for chunk in answer.iter_content(CHUNK):
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
