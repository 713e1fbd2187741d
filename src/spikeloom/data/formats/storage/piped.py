"""A file that another process holds, read through pipes: the one asks for parts of it, the other hands them out."""

from __future__ import annotations

import json
from typing import IO, Any

from spikeloom.data.formats.storage.seekable import SeekableBytes


def hand_out(file: Any, wanted: IO[bytes], parts: IO[bytes]) -> bytes:
    """Answer requests for parts of a file until the other process says something else, or has ended.

    Args:
        file: The file.
        wanted: Its requests, a line each.
        parts: Gets the parts.

    Returns:
        The first line that is no request, or nothing.
    """
    for line in wanted:
        if not line.startswith(b"["):
            return line
        start, stop = json.loads(line)
        file.seek(start)
        try:
            parts.write(file.read(stop - start))
            parts.flush()
        except BrokenPipeError:
            break
    return b""


class PipedFile(SeekableBytes):
    """The file, as the process that asks for its parts sees it.

    Args:
        size: Its length in bytes.
        parts: Its parts.
        wanted: Gets the requests.
        most: Bytes that are read in all; then reading fails.

    Raises:
        OSError: If that is reached, or the other process has ended.
    """

    def __init__(self, size: int, parts: IO[bytes], wanted: IO[bytes], most: int):
        self.size, self._parts, self._wanted, self._left = size, parts, wanted, most

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer with the next bytes, as many as there are."""
        view = memoryview(buffer).cast("B")
        n = max(min(len(view), self.size - self._at), 0)
        self._left -= n
        if self._left < 0:
            raise OSError("no more is read of this file")
        if n:
            self._wanted.write(f"[{self._at}, {self._at + n}]\n".encode())
            self._wanted.flush()
            part = self._parts.read(n)
            if len(part) < n:
                raise OSError("the file is not handed out any more")
            view[:n] = part
        self._at += n
        return n
