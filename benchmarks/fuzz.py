"""Damage files at random, and count what reading them comes to.

    python benchmarks/fuzz.py [N] [--seed 0] [--formats plain.npz,own.h5] [--keep FOLDER] [--out FILE]

Each of N damaged files or folders is loaded in a process that may crash or hang alone. It is refused in one sentence,
read with the counts of the undamaged file (a run folder: with its configuration, recording and weights; a preset: with
its values), or read with others, of which the notes may or may not tell; everything else is a fault of ours.
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
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import scipy.io

import spikeloom as sl
from spikeloom.bench.tables import markdown_table
from spikeloom.config import shipped
from spikeloom.errors import SpikeloomError
from spikeloom.training.checkpoint import weights_hash

LIMIT_S = 60.0
"""Seconds of wall time before a file counts as one that hangs; a busy machine needs some for a new process."""
LIMIT_BYTES = 4e9
"""Address space of the process that reads; that of a mere import of everything is above 1e9."""
FAULTS = ("no sentence", "traceback", "crash", "hang")
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
    pd.DataFrame(counts[0], columns=[f"n{i}" for i in range(5)]).to_csv(paths["counts.tsv"], index=False, sep="\t")
    np.save(paths["counts.npy"], counts)
    support = {"start": np.array([0.0]), "end": np.array([20.0]), "type": np.array(["TsGroup"])}
    group = {"t": table.time_s.to_numpy(), "index": table.unit.to_numpy(), "keys": np.arange(5)}
    np.savez(paths["pynapple.npz"], **support, **group)
    _make_phy(paths["phy"], table)
    _make_alf(paths["alf"], table)
    preset = shipped("presets")["ldns"]
    shutil.copy(preset, paths["preset.yaml"])
    paths["run"].mkdir()
    model = sl.LDNS("ldns", max_steps=1)
    sl.save(data, folder / "recording.npz")
    model.fit(sl.load(folder / "recording.npz"))
    model.save(paths["run"])
    return paths


def _make_phy(folder: Path, table: pd.DataFrame) -> None:
    """Sorted spikes as Phy keeps them."""
    folder.mkdir()
    np.save(folder / "spike_times.npy", (table.time_s.to_numpy() * 30000).astype(np.uint64))
    np.save(folder / "spike_clusters.npy", table.unit.to_numpy().astype(np.int32))
    (folder / "params.py").write_text("dat_path = 'a.dat'\nn_channels_dat = 5\nsample_rate = 30000.0\n")
    groups = pd.DataFrame({"cluster_id": range(5), "group": ["good", "mua", "good", "noise", "good"]})
    groups.to_csv(folder / "cluster_group.tsv", sep="\t", index=False)


def _make_alf(folder: Path, table: pd.DataFrame) -> None:
    """A session in the ALF standard, with trials and a signal."""
    folder.mkdir()
    times = np.linspace(0, 20, 200)
    arrays = {
        "spikes.times": table.time_s,
        "spikes.clusters": table.unit,
        "clusters.depths": np.arange(5.0),
        "_ibl_trials.intervals": np.column_stack([np.arange(9) * 2.0, np.arange(9) * 2.0 + 1.5]),
        "_ibl_trials.choice": np.arange(9) % 2,
        "_ibl_wheel.timestamps": times,
        "_ibl_wheel.position": np.sin(times),
    }
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", np.asarray(values))


FORMATS = (
    "own.npz", "plain.npz", "packed.npz", "pynapple.npz", "counts.npy", "own.h5", "plain.h5", "packed.h5", "v5.mat",
    "v5_packed.mat", "v73.mat", "own.nwb", "spikes.csv", "counts.tsv", "spikes.parquet", "phy", "alf", "run",
    "preset.yaml",
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
            if path.suffix == ".yaml":
                return "read", [], repr(sl.LDNS(path).config)
            if path.is_dir() and path.name.endswith("run"):
                model = sl.load_model(path)
                return "read", [], [repr(model.config), repr(model.data_spec), weights_hash(model)]
            data = sl.load(path, **({"stored_bin_s": 0.02} if path.suffix in BINS_UNKNOWN else {}))
        return "read", list(data.provenance.get("notes", [])), (data.counts.shape, int(_hash(data)))
    except SpikeloomError as error:
        text = str(error)
        if "\n" in text or not text.endswith((".", "?")):
            return "no sentence", [text[:300]], None
        return "refused", [], None
    except BaseException as error:  # what this script is for
        return "traceback", [f"{type(error).__name__}: {error}"[:200]], None


BINS_UNKNOWN = (".npy", ".tsv")
"""Endings of those undamaged files that do not say how wide their bins are."""


def _hash(data: sl.SpikeData) -> int:
    """Of the counts, whatever type they have; by parts, as a damaged time may have made a very long trial."""
    value = 0
    for trial in data.counts:
        for start in range(0, len(trial), 100_000):
            value = zlib.crc32(np.ascontiguousarray(trial[start : start + 100_000], dtype=np.int64).tobytes(), value)
    return value


def work() -> None:
    """Read the files that the parent names, one after another; says the computing seconds and the memory of each."""
    resource.setrlimit(resource.RLIMIT_AS, (int(LIMIT_BYTES), int(LIMIT_BYTES)))
    for line in sys.stdin:
        before = _seconds()
        answer = read(Path(line.rstrip("\n")))
        print("\n" + json.dumps([*answer, _seconds() - before, _peak_bytes()]), flush=True)


def _seconds() -> float:
    """Of computing, by this process and by those that it has waited for."""
    return sum(part for who in WHO for part in resource.getrusage(who)[:2])


def _peak_bytes() -> int:
    """The most memory that this process, or one that it has waited for, has had at a time."""
    return max(resource.getrusage(who).ru_maxrss for who in WHO) * 1024


WHO = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)


class Reader:
    """A process that reads files, started again after each that it does not survive."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self.most_seconds, self.most_bytes = 0.0, 0

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
        outcome, notes, content, seconds, peak = json.loads(text[text.index(b"\n[") :])
        self.most_seconds, self.most_bytes = max(self.most_seconds, seconds), max(self.most_bytes, peak)
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
            target = folder / f"damaged-{number}-{name}"
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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("n", type=int, nargs="?", default=3000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--formats", default=",".join(FORMATS))
    parser.add_argument("--keep", type=Path, help="folder for the files that show a fault")
    parser.add_argument("--out", type=Path, help="Markdown file that gets the table, as it grows")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        return work()
    names, reader, counts, number = tuple(options.formats.split(",")), Reader(), Counter(), 0
    try:
        for number, (name, outcome, detail) in enumerate(
            fuzz(options.n, options.seed, names, reader.read, options.keep), start=1
        ):
            counts[name, outcome] += 1
            if outcome in FAULTS:
                print(f"{number} {name}: {outcome} {detail}", flush=True)
            if options.out is not None and (number % 100 == 0 or number == options.n):
                options.out.write_text(page(number, options, names, counts, reader))
    finally:
        reader.close()
    print(page(number, options, names, counts, reader))


def page(done: int, options: argparse.Namespace, names: Sequence[str], counts: Counter, reader: Reader) -> str:
    """The results so far."""
    header = ["file", *OUTCOMES]
    rows = [[name, *(str(counts[name, outcome]) for outcome in OUTCOMES)] for name in names]
    totals = [str(sum(counts[name, outcome] for name in names)) for outcome in OUTCOMES]
    some = "" if options.formats == ",".join(FORMATS) else f" --formats {options.formats}"
    return (
        f"# Damaged files\n\n`python benchmarks/fuzz.py {options.n} --seed {options.seed}{some}`, {done} files read; "
        "the script says what is counted.\n\n"
        f"{markdown_table(header, [*rows, ['all', *totals]])}\n\n"
        f"The file that took most: {reader.most_seconds:.1f} s of computing. The most memory of the reading process "
        f"and those it starts: {reader.most_bytes / 1e9:.2f} GB.\n"
    )


if __name__ == "__main__":
    main()
