"""The errors that libraries raise on damaged files: which one depends on the byte that is wrong."""

from __future__ import annotations

import struct
import tokenize
import zipfile
import zlib

DAMAGE: tuple[type[Exception], ...] = (
    OSError,
    EOFError,
    LookupError,
    ValueError,
    TypeError,
    RuntimeError,  # among them HDF5's own, impossible versions and formats nested too deeply
    AttributeError,
    ArithmeticError,  # divisions by a damaged size
    NameError,  # scipy reads a variable of its own that damaged types have left unset
    SyntaxError,
    MemoryError,  # a damaged size
    tokenize.TokenError,  # the header of an npy file is the text of a dictionary
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
)
"""Errors of NumPy, SciPy and h5py at damaged bytes, broken links and unknown filters."""
