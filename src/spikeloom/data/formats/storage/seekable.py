"""Files that are no files on disk: the part that is the same wherever their bytes come from."""

from __future__ import annotations

import io


class SeekableBytes(io.RawIOBase):
    """Bytes of a known length that can be read from any place; a subclass defines ``readinto``.

    Attributes:
        size: Their number.
    """

    size: int = 0
    _at: int = 0

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """The place of the next byte."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place."""
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence]
        return self._at
