"""Damage files at random, and count what reading them comes to.

    python benchmarks/fuzz.py [N] [--seed 0] [--formats npz,h5] [--keep FOLDER] [--out benchmarks/results/fuzz.md]

Each of N damaged files is loaded in a process that may crash or hang alone. A file is refused by a DataError or
RunError, read with the counts of the undamaged file, or read with others, of which the notes may or may not tell;
everything else is a fault of ours.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import select
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import scipy.io

import spikeloom as sl
from spikeloom.errors import SpikeloomError

LIMIT_S = 60.0
"""Seconds of wall time before a file counts as one that hangs; a busy machine needs some for a new process."""
LIMIT_BYTES = 4e9
"""Address space of the process that reads; that of a mere import of everything is above 1e9."""
FAULTS = ("traceback", "crash", "hang")
OUTCOMES = ("refused", "same counts", "other counts, told", "other counts", *FAULTS)


# -- undamaged files -------------------------------------------------------------------------------------------------


def make_files(folder: Path) -> dict[str, Path]:
    """An undamaged file of every format."""
    rng = np.random.default_rng(0)
    counts = rng.poisson(1.0, (12, 30, 5)).astype(np.uint8)
    data = sl.SpikeData(counts.astype(np.int64), bin_s=0.02, trials=pd.DataFrame({"target": np.arange(12) % 3}))
    arrays = {"counts": counts, "bin_s": np.array(0.02), "lengths": np.full(12, 30)}
    paths = {name: folder / name for name in FORMATS}
    for name in ("own.npz", "own.h5", "own.nwb"):
        sl.save(data, paths[name])
    np.savez(paths["plain.npz"], **arrays)
    np.savez_compressed(paths["packed.npz"], **arrays)
    with h5py.File(paths["plain.h5"], "w") as file:
        for name, values in arrays.items():
            file[name] = values
    with h5py.File(paths["packed.h5"], "w") as file:
        group = file.create_group("session")
        group.create_dataset(
            "counts", data=counts, chunks=(4, 30, 5), compression="gzip", shuffle=True, fletcher32=True
        )
        group["bin_s"] = 0.02
        file["names"] = np.array(["first", "second"], dtype=h5py.string_dtype())
    scipy.io.savemat(paths["v5.mat"], {**arrays, "cells": np.array([[1.0], ["a"]], dtype=object)})
    scipy.io.savemat(paths["v5_packed.mat"], {"session": arrays}, do_compression=True)
    with h5py.File(paths["v73.mat"], "w", userblock_size=512) as file:
        for name, values in arrays.items():
            item = file.create_dataset(name, data=np.atleast_2d(values).T)
            item.attrs["MATLAB_class"] = np.bytes_("uint8" if name == "counts" else "double")
    table = pd.DataFrame({"unit": np.arange(400) % 5, "time_s": np.sort(rng.uniform(0, 20, 400))})
    table.to_csv(paths["spikes.csv"], index=False)
    table.to_parquet(paths["spikes.parquet"])
    paths["run"].mkdir()
    model = sl.LDNS("ldns", max_steps=1)
    sl.save(data, folder / "recording.npz")
    model.fit(sl.load(folder / "recording.npz"))
    model.save(paths["run"])
    return paths


FORMATS = (
    "own.npz", "plain.npz", "packed.npz", "own.h5", "plain.h5", "packed.h5", "v5.mat", "v5_packed.mat", "v73.mat",
    "own.nwb", "spikes.csv", "spikes.parquet", "run",
)  # fmt: skip


# -- damage ------------------------------------------------------------------------------------------------------------


def _flipped(content: bytearray, rng: np.random.Generator) -> bytearray:
    for place in rng.integers(0, len(content), rng.integers(1, 8)):
        content[place] ^= 1 << int(rng.integers(8))
    return content


def _flipped_in_head(content: bytearray, rng: np.random.Generator) -> bytearray:
    for place in rng.integers(0, min(len(content), 2048), rng.integers(1, 4)):
        content[place] = int(rng.choice([0, 1, 0x7F, 0x80, 0xFF, int(rng.integers(256))]))
    return content


def _truncated(content: bytearray, rng: np.random.Generator) -> bytearray:
    return content[: int(rng.integers(1, len(content)))]


def _zeroed(content: bytearray, rng: np.random.Generator) -> bytearray:
    start, length = int(rng.integers(len(content))), int(rng.choice([4, 16, 64, 512]))
    end = min(start + length, len(content))
    content[start:end] = bytes(end - start)
    return content


def _duplicated(content: bytearray, rng: np.random.Generator) -> bytearray:
    start, length = int(rng.integers(len(content))), int(rng.choice([4, 16, 64, 512]))
    content[start:start] = content[start : start + length]
    return content


def _swapped(content: bytearray, rng: np.random.Generator) -> bytearray:
    width = int(rng.choice([2, 4, 8]))
    first, second = (int(n) // width * width for n in rng.integers(0, max(min(len(content), 4096) - width, 1), 2))
    a, b = bytes(content[first : first + width]), bytes(content[second : second + width])
    content[first : first + width], content[second : second + width] = b, a
    return content


def _huge(content: bytearray, rng: np.random.Generator) -> bytearray:
    """A number becomes a huge one, as sizes and addresses do."""
    width = int(rng.choice([4, 8]))
    place = int(rng.integers(0, max(len(content) - width, 1))) // 4 * 4
    value = int(rng.choice([2**31 - 1, 2**32 - 1, 2**24, 2**20])) if width == 4 else int(rng.choice([2**40, 2**63 - 1]))
    content[place : place + width] = value.to_bytes(width, "little")
    return content


DAMAGE: tuple[Callable[[bytearray, np.random.Generator], bytearray], ...] = (
    _flipped, _flipped_in_head, _truncated, _zeroed, _duplicated, _swapped, _huge,
)  # fmt: skip


def damage(source: Path, target: Path, rng: np.random.Generator) -> str:
    """Write a damaged copy of a file, or of a folder in which one file is damaged; returns how."""
    how = DAMAGE[int(rng.integers(len(DAMAGE)))]
    if source.is_dir():
        shutil.copytree(source, target)
        files = sorted(path for path in target.iterdir() if path.is_file())
        source = target = files[int(rng.integers(len(files)))]
    target.write_bytes(how(bytearray(source.read_bytes()), rng))
    return how.__name__.strip("_")


# -- reading -----------------------------------------------------------------------------------------------------------


def read(path: Path) -> tuple[str, list[str], Any]:
    """What loading a file comes to, its notes, and what of it can be compared."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if path.is_dir():
                model = sl.load_model(path)
                return "read", [], repr(model)
            bins = {} if path.suffix in (".csv", ".parquet", ".nwb") else {"stored_bin_s": 0.02}
            data = _load(path, bins)
        return "read", list(data.provenance.get("notes", [])), (data.counts.shape, int(_hash(data)))
    except SpikeloomError:
        return "refused", [], None
    except BaseException as error:  # what this script is for
        return "traceback", [f"{type(error).__name__}: {error}"[:200]], None


def _load(path: Path, bins: dict[str, float]) -> sl.SpikeData:
    try:
        return sl.load(path, **bins)
    except sl.DataError:
        return sl.load(path)  # a file of ours says its own bins


def _hash(data: sl.SpikeData) -> int:
    import zlib

    return zlib.crc32(np.ascontiguousarray(data.counts, dtype=np.int64).tobytes())


def work() -> None:
    """Read the files that the parent names, one after another."""
    resource.setrlimit(resource.RLIMIT_AS, (int(LIMIT_BYTES), int(LIMIT_BYTES)))
    for line in sys.stdin:
        answer = read(Path(line.rstrip("\n")))
        print("\n" + json.dumps(answer), flush=True)


class Reader:
    """A process that reads files, started again after each that it does not survive."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None

    def read(self, path: Path) -> tuple[str, list[str], Any]:
        """As ``read``, or "crash" or "hang"."""
        if self._child is None:
            command = [sys.executable, __file__, "--work"]
            self._child = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0
            )
        child = self._child
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(f"{path}\n".encode())
        text, end = b"", time.monotonic() + LIMIT_S
        while b"\n[" not in text or not text.endswith(b"\n"):
            ready, _, _ = select.select([child.stdout], [], [], max(end - time.monotonic(), 0))
            part = os.read(child.stdout.fileno(), 1 << 16) if ready else b""
            if not part:
                self.close()
                return ("crash" if ready else "hang"), [f"status {child.returncode}"], None
            text += part
        outcome, notes, content = json.loads(text[text.index(b"\n[") :])
        return outcome, notes, content

    def close(self) -> None:
        """End the process."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            self._child = None


def fuzz(
    n: int, seed: int, names: tuple[str, ...], read_file: Callable[[Path], Any], keep: Path | None = None
) -> Iterator[tuple[str, str, list[str]]]:
    """Name of the format, outcome and details of N damaged files; those with faults are kept in a folder."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        undamaged = {name: path for name, path in make_files(folder).items() if name in names}
        expected = {name: json.loads(json.dumps(read_file(path))) for name, path in undamaged.items()}
        for name, (outcome, detail, _) in expected.items():
            if outcome != "read":
                raise SystemExit(f"the undamaged {name} is not read: {outcome} {detail}")
        for number in range(n):
            name = names[number % len(names)]
            rng = np.random.default_rng([seed, number])
            target = folder / f"damaged-{number}{undamaged[name].suffix}"
            how = damage(undamaged[name], target, rng)
            outcome, notes, content = json.loads(json.dumps(read_file(target)))
            if outcome == "read":
                same = content == expected[name][2]
                told = notes != expected[name][1]
                outcome = "same counts" if same else "other counts, told" if told else "other counts"
            if keep is not None and outcome in (*FAULTS, "other counts"):
                keep.mkdir(parents=True, exist_ok=True)
                copy = shutil.copytree if target.is_dir() else shutil.copy
                copy(target, keep / f"{outcome.replace(' ', '_')}-{seed}-{number}-{how}-{name}")
            shutil.rmtree(target) if target.is_dir() else target.unlink()
            yield name, outcome, [how, *notes]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("n", type=int, nargs="?", default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--formats", default=",".join(FORMATS))
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--work", action="store_true")
    options = parser.parse_args()
    if options.work:
        return work()
    names, reader, counts, start = tuple(options.formats.split(",")), Reader(), Counter(), time.monotonic()
    try:
        for number, (name, outcome, detail) in enumerate(
            fuzz(options.n, options.seed, names, reader.read, options.keep)
        ):
            counts[name, outcome] += 1
            if outcome in FAULTS:
                print(f"{number} {name}: {outcome} {detail}", flush=True)
    finally:
        reader.close()
    lines = [f"| file | {' | '.join(OUTCOMES)} |", f"|---|{'---|' * len(OUTCOMES)}"]
    for name in names:
        lines.append(f"| {name} | {' | '.join(str(counts[name, outcome]) for outcome in OUTCOMES)} |")
    totals = [sum(counts[name, outcome] for name in names) for outcome in OUTCOMES]
    lines.append(f"| all {options.n} (seed {options.seed}) | {' | '.join(map(str, totals))} |")
    print("\n".join(lines), f"\n{time.monotonic() - start:.0f} s")
    if options.out is not None:
        options.out.write_text(
            f"# Damaged files\n\n`python benchmarks/fuzz.py {options.n} --seed {options.seed}`\n\n"
            + "\n".join(lines)
            + "\n"
        )


if __name__ == "__main__":
    main()
