"""A file on a web server, of which only the parts that are used are fetched.

Every answer is checked for the part that was requested, which general clients do not do: HDF5 would take whatever bytes
arrive for the ones it wanted.
"""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from typing import Any

from spikeloom.data.formats.storage.seekable import SeekableBytes
from spikeloom.errors import DataError

BLOCK = 1 << 20
"""Bytes that are fetched at once, at least."""
KEPT_BLOCKS = 64
LARGEST_REQUEST = 32 * BLOCK
TRIES = 3
"""Attempts at one part."""
WAIT_S = 1.0
"""Seconds before the second attempt; doubled before the third."""
TIMEOUT_S = (15.0, 30.0)
"""Seconds to wait for a connection, and for the next bytes."""
SLOWEST_BYTES_A_S = 5e4
"""A part may last half a minute, and as long as its bytes take at this speed."""
BUSY = (408, 425, 429, 500, 502, 503, 504)
"""Answers of a server that may give another one later."""
HEADERS = {"Accept-Encoding": "identity", "User-Agent": "spikeloom"}


class RemoteFile(SeekableBytes):
    """A file at an address, read like one on disk.

    Attributes:
        size: Its length in bytes.
        error: What went wrong first; a library that reads the file may hide it.

    Raises:
        DataError: If the server cannot be reached, has no such file, or cannot send a part of it.
    """

    def __init__(self, url: str):
        from spikeloom.data.web import Session  # a tenth of a second

        self.url = url
        self.error: DataError | None = None
        self._etag: str | None = None
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._session = Session()
        self._session.headers.update(HEADERS)
        self._blocks[0] = self._fetch(0, BLOCK)

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer with the next bytes, as many as there are.

        Raises:
            DataError: If they cannot be fetched.
        """
        view = memoryview(buffer).cast("B")
        stop = min(self._at + len(view), self.size)
        filled = 0
        while self._at < stop:
            part = self._some(self._at, stop)
            view[filled : filled + len(part)] = part
            filled += len(part)
            self._at += len(part)
        return filled

    def close(self) -> None:
        """End the connection."""
        if not self.closed:
            self._session.close()
        super().close()

    def _some(self, start: int, stop: int) -> bytes | memoryview:
        """The bytes from a place to the end of its block, or further where many blocks are new."""
        number = start // BLOCK
        if number in self._blocks:
            self._blocks.move_to_end(number)
            block = self._blocks[number]
        else:
            end = number * BLOCK + BLOCK
            while end < stop and end // BLOCK not in self._blocks and end - number * BLOCK < LARGEST_REQUEST:
                end += BLOCK
            block = self._fetch(number * BLOCK, min(end, self.size))
            if len(block) <= BLOCK:  # large arrays are read once
                self._blocks[number] = block
                while len(self._blocks) > KEPT_BLOCKS:
                    self._blocks.popitem(last=False)
        offset = start - number * BLOCK
        return memoryview(block)[offset : offset + stop - start]

    def _fetch(self, start: int, stop: int) -> bytes:
        try:
            if self.error is not None:  # HDF5 goes on asking where it has met an error
                raise self.error
            return self._with_tries(start, stop)
        except DataError as error:
            self.error = self.error or error
            raise

    def _with_tries(self, start: int, stop: int) -> bytes:
        import requests
        import urllib3

        from spikeloom.data.web import following

        problem = ""
        for attempt in range(TRIES):
            if attempt:
                time.sleep(WAIT_S * 2 ** (attempt - 1))
            try:
                with following(self.url):
                    return self._once(start, stop)
            except _Again as error:
                problem = str(error)
            except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
                late = isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError | TimeoutError)
                problem = "does not answer in time" if late else "cannot be reached, or breaks off"
        raise DataError(f"{self.url} {problem}; check the address and the network, or download the file.")

    def _once(self, start: int, stop: int) -> bytes:
        headers = {"Range": f"bytes={start}-{stop - 1}"}
        with self._session.get(self.url, headers=headers, timeout=TIMEOUT_S, stream=True) as answer:
            if answer.status_code in BUSY:
                raise _Again(f"answers {answer.status_code}")
            if answer.status_code in (200, 416):
                why = "does not send parts of files" if answer.status_code == 200 else "has no bytes at this address"
                raise DataError(f"the server of {self.url} {why}; download the file, and load it from disk.")
            if answer.status_code != 206:
                raise DataError(f"{self.url} answers {answer.status_code} {answer.reason}; check the address.")
            n = self._checked_length(answer.headers, start, stop)
            return self._body(answer.raw, n)

    def _checked_length(self, headers: Any, start: int, stop: int) -> int:
        """How many bytes follow, if they are the ones that were requested, of the file of the first request."""
        stated = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", headers.get("Content-Range", "").strip())
        if stated is None:
            raise DataError(
                f"the server of {self.url} does not say which part of the file it sends; download the file, and load "
                "it from disk."
            )
        first, last, size = (int(number) for number in stated.groups())
        etag = headers.get("ETag")
        if self.size and (size != self.size or etag != self._etag):
            raise DataError(f"{self.url} has changed while it was read; load it again.")
        expected = min(stop, size) - 1
        length = headers.get("Content-Length")
        if (first, last) != (start, expected) or (length is not None and length != str(last - first + 1)):
            raise DataError(
                f"the server of {self.url} sends bytes {first} to {last} ({length} bytes) where {start} to {expected} "
                "were requested; download the file, and load it from disk."
            )
        self.size, self._etag = size, etag
        return last - first + 1

    def _body(self, raw: Any, n: int) -> bytes:
        """As many bytes of an answer; each wait has its limit, and all of them together."""
        began = time.monotonic()
        until = began + TIMEOUT_S[1] + n / SLOWEST_BYTES_A_S
        some = getattr(raw, "read1", None) or (lambda n: raw.read(min(n, 1 << 14)))  # old versions have no read1
        parts, left = [], n
        while left:
            part = some(left)
            if not part:
                raise _Again("breaks off")
            parts.append(part[:left])
            left -= len(parts[-1])
            if time.monotonic() > until:
                raise DataError(
                    f"{self.url} is too slow: {n - left} bytes in {time.monotonic() - began:.0f} s; download the file."
                )
        return b"".join(parts)


class _Again(Exception):
    """A failure that may not happen again."""
