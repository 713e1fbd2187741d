"""The process that tries a file: ``python -m spikeloom.data.formats.storage.probe FILE`` reads it within limits.

Instead of FILE, ``- SIZE`` stands for an HDF5 file of so many bytes whose parts come from the standard input.

It says on one line of JSON what the parent has to know, and is ended by the system where the library does not end.
Errors that a library raises are no concern of it: whoever reads the file meets them again.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

WALK_S = 1.0
"""Seconds of computing after which a large file is taken as sound: what makes progress does not hang."""
STEP_S, BYTES_PER_S = 1.0, 1e7
"""Seconds of computing for one step, and bytes of the file that bring another one; then the system ends the process."""
WALL_S = 90.0
"""Seconds for all of it, however busy the machine is."""
LIMIT_BYTES, EXPANSION = 512e6, 100
"""Bytes of memory, and bytes for each byte of the file: deflate makes at most 1,032 of one, but seldom 100."""
ARRAY_BYTES = 1.6e7
"""Larger arrays are not read, only their index and (in a file at hand) their ends."""
PIPED_BYTES, PIPED_ARRAY_BYTES = 1 << 25, 1e5
"""Bytes that are read of a file of the web, then it is taken as sound; and those of the largest array among them."""
PIPED_WALL_S = 3600.0
"""Whoever fetches the parts has limits of its own for each."""
TOO_MUCH = "needs far more memory than the file has bytes"


def main(words: Sequence[str]) -> None:
    """Try a file and say so."""
    problem = ""
    try:
        if words[0] == "-":
            _try_piped(int(words[1]))
        else:
            _try_file(Path(words[0]))
    except MemoryError:
        problem = TOO_MUCH
    except Exception as error:  # of whatever kind: the parent meets it again
        problem = TOO_MUCH if _of_memory(error) else ""
    print(json.dumps({"problem": problem}), flush=True)


def _try_file(path: Path) -> None:
    size = path.stat().st_size
    with path.open("rb") as file:
        is_hdf5 = _is_hdf5(file, size)
    if is_hdf5:
        import h5py

        _limit(size, WALL_S)
        _try_hdf5(h5py, path, size, ARRAY_BYTES)
    elif path.suffix.lower() == ".mat":
        import scipy.io.matlab

        _limit(size, WALL_S)
        scipy.io.matlab.loadmat(path, struct_as_record=True, chars_as_strings=True)


def _try_piped(size: int) -> None:
    import h5py

    from spikeloom.data.formats.storage.piped import PipedFile

    file = PipedFile(size, sys.stdin.buffer, sys.stdout.buffer, PIPED_BYTES)
    _limit(PIPED_BYTES, PIPED_WALL_S)
    _try_hdf5(h5py, file, int(PIPED_ARRAY_BYTES), PIPED_ARRAY_BYTES)


def _is_hdf5(file: Any, size: int) -> bool:
    """Whether the signature of HDF5 is at the start, or behind a user block of 512 bytes times a power of two."""
    offset = 0
    while offset < size:
        file.seek(offset)
        if file.read(8) == b"\x89HDF\r\n\x1a\n":
            return True
        offset = 512 if offset == 0 else 2 * offset
    return False


def _limit(size: int, wall_s: float) -> None:
    """Limits that the system keeps, whatever the library does; counted from now."""
    if sys.platform == "win32":
        return
    import resource

    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() if _is_linux() else 0
    _lower(resource.RLIMIT_AS, used + int(LIMIT_BYTES + EXPANSION * size))
    _lower(resource.RLIMIT_CORE, 0)
    for name in (signal.SIGPROF, signal.SIGALRM):
        signal.signal(name, signal.SIG_DFL)  # ends the process without Python, which has no say inside the library
    signal.setitimer(signal.ITIMER_REAL, wall_s)
    _next_step(size)


def _next_step(size: int) -> None:
    """Give the next step its time of computing, which a busy machine does not use up."""
    if sys.platform != "win32":
        signal.setitimer(signal.ITIMER_PROF, STEP_S + size / BYTES_PER_S)


def _is_linux() -> bool:
    return sys.platform.startswith("linux")


def _lower(what: int, limit: int) -> None:
    import resource

    try:
        _, hard = resource.getrlimit(what)
        limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(what, (limit, hard))
    except (ValueError, OSError):
        pass  # a system without this limit


def _of_memory(error: BaseException) -> bool:
    text = str(error).lower()
    return "allocat" in text and ("memory" in text or "unable to allocate" in text)


def _try_hdf5(h5py: Any, source: Any, size: int, array_bytes: float) -> None:
    """Walk through a file and read its attributes and arrays: the small ones whole, of the large ones the ends."""
    with h5py.File(source, "r") as file:
        for attempt in _attempts(h5py, file, array_bytes):
            _next_step(size)
            try:
                attempt()
            except MemoryError:
                raise
            except Exception as error:
                if _of_memory(error):
                    raise MemoryError from None
            if time.process_time() > WALK_S + _STARTED:
                return


def _attempts(h5py: Any, file: Any, array_bytes: float) -> Iterator[Any]:
    """All that is to be tried, one after another; items are met by their own names, not through links."""
    seen, groups = set(), [file]

    def attributes(item: Any) -> None:
        for name in item.attrs:
            item.attrs.get(name)

    def meet(group: Any, name: str) -> None:
        link = group.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            return
        item = group[name]
        address = h5py.h5o.get_info(item.id).addr
        if address in seen:
            return
        seen.add(address)
        if isinstance(item, h5py.Group):
            groups.append(item)
        elif isinstance(item, h5py.Dataset):
            found.append(item)
        if len(item.attrs):
            attributes(item)

    yield lambda: attributes(file)
    while groups:
        group, names, found = groups.pop(0), [], []
        yield lambda group=group, names=names: names.extend(group)
        for name in names:
            yield lambda group=group, name=name: meet(group, name)
        for item in found:
            yield lambda item=item: _try_array(item, array_bytes)


def _try_array(item: Any, array_bytes: float) -> None:
    if item.shape is None or item.external or item.is_virtual:
        return
    if item.chunks is not None:
        item.id.get_num_chunks()
        if item.dtype.itemsize * _product(item.chunks) > ARRAY_BYTES:
            return
    if item.nbytes <= array_bytes:
        item[...]
    elif item.shape and array_bytes == ARRAY_BYTES:  # those of the web would be fetched
        first, last = (0,) * len(item.shape), tuple(n - 1 for n in item.shape)
        item[first], item[last]


def _product(numbers: tuple[int, ...]) -> int:
    product = 1
    for number in numbers:
        product *= number
    return product


_STARTED = time.process_time()

if __name__ == "__main__":
    main(sys.argv[1:])
