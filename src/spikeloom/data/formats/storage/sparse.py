"""Sparse matrices in npz files of SciPy and in MATLAB files, as plain arrays."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import scipy.sparse
from jaxtyping import Shaped

from spikeloom.data.declared import check_declared
from spikeloom.data.formats.naming.array_names import text_of
from spikeloom.data.formats.storage.containers import StoredArray
from spikeloom.errors import DataError

COMPRESSED = {"csr": scipy.sparse.csr_array, "csc": scipy.sparse.csc_array, "bsr": scipy.sparse.bsr_array}
INDEX = {
    **dict.fromkeys(COMPRESSED, ("indices", "indptr")),
    "coo": ("row", "col"),
    "dia": ("offsets",),
}
"""Arrays beside "data" and "shape" in which ``scipy.sparse.save_npz`` keeps each kind."""


def dense(
    kind: str, data: np.ndarray, index: tuple[np.ndarray, ...], shape: tuple[int, int]
) -> Shaped[np.ndarray, "row column"]:
    """The plain array of a sparse one.

    Args:
        kind: How it is stored, a key of ``INDEX``.
        data: Its elements.
        index: Where they stand, as that kind says it.
        shape: Its shape.

    Raises:
        DataError: If elements stand outside of it, or it does not fit into memory.

    Example:
        >>> one = np.array([0]), np.array([0, 0, 1])
        >>> dense("csr", np.array([7]), one, (2, 3)).tolist()
        [[0, 0, 0], [7, 0, 0]]
    """
    check_declared(shape, max(data.dtype.itemsize, 8))
    try:
        if any(one.dtype.kind not in "ui" for one in index):
            raise TypeError("its places are no whole numbers")
        if kind in COMPRESSED:
            matrix = COMPRESSED[kind]((data, *index), shape=shape)
            matrix.check_format(full_check=True)  # before the compiled code relies on it
            return matrix.toarray()
        if kind == "coo":
            return scipy.sparse.coo_array((data, index), shape=shape).toarray()
        return scipy.sparse.dia_array((data, *index), shape=shape).toarray()
    except (ValueError, TypeError, IndexError, OverflowError) as error:
        detail = " ".join(str(error).split())[:80].rstrip(".")
        raise DataError(f"a sparse array of shape {shape} is damaged ({detail}); copy or save it again.") from None


def with_sparse(stored: Mapping[str, StoredArray], notes: list[str]) -> dict[str, StoredArray]:
    """The arrays of an npz file, in which those of a sparse matrix that SciPy saved are the one array ``counts``.

    Args:
        stored: The arrays.
        notes: Gets a note where they are a sparse matrix.
    """
    words = [stored[name] for name in ("format",) if name in stored and stored[name].shape == ()]
    kind = text_of(words[0].read().item()) if words and words[0].dtype.kind in "SU" else ""
    parts = ("data", "shape", *INDEX.get(kind, ()))
    if kind not in INDEX or not set(parts) <= set(stored) or stored["shape"].shape != (2,):
        return dict(stored)
    rows, columns = (int(n) for n in stored["shape"].read())
    shape, data = (rows, columns), stored["data"]

    def read() -> np.ndarray:
        return dense(kind, data.read(), tuple(stored[name].read() for name in parts[2:]), shape)

    notes.append(f"the file is a sparse {kind} matrix, {rows} x {columns}")
    others = {name: array for name, array in stored.items() if name not in (*parts, "format", "_is_array")}
    return {"counts": StoredArray(shape, data.dtype, read), **others}
