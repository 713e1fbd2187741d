"""Training beside busy processes: what other work on the machine costs, by how the number of threads is chosen.

    python benchmarks/threads.py OLD/src NEW/src --recording s1.npz [--sizes default paper] [--busy 0 1 2 4] [--out F]

Runs `fit` of two checkouts of this package beside k processes that do nothing but compute, at the default size and with
the published network (few steps), and compares processor seconds and wall seconds, both without what starting and
loading take (measured as a fit of one step). Beside k processes on c cores a training of one thread has its fair share
when it gets c / (k + 1) cores, at most one. Other work on the machine adds to k: the load that was found is in the
table.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SIZES = {
    "default": (["--model", "ldns", "--window_s", "1"], 40),
    "paper": (["--model", "ldns-lorenz", "--window_s", "1"], 3),
}
"""Options, and steps of each of the two stages."""


def _spin() -> None:
    while True:
        pass


class Busy:
    """Processes that compute while the block lasts."""

    def __init__(self, n: int):
        self.processes = [multiprocessing.Process(target=_spin, daemon=True) for _ in range(n)]

    def __enter__(self) -> None:
        for process in self.processes:
            process.start()

    def __exit__(self, *error: object) -> None:
        for process in self.processes:
            process.kill()
            process.join()


def fit(source: Path, recording: Path, words: list[str], steps: int) -> tuple[float, float]:
    """Wall seconds and processor seconds of a fit in a process of its own, which chooses its threads itself."""
    env = {k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS", "SPIKELOOM_ONE_THREAD")}
    folder = tempfile.mkdtemp()
    command = [sys.executable, "-m", "spikeloom", "fit", str(recording), *words, "--out", f"{folder}/run"]
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    try:
        subprocess.run(
            [*command, "--max_steps", str(steps), "--device", "cpu"],
            env={**env, "PYTHONPATH": str(source.absolute())},
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    finally:
        shutil.rmtree(folder)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - start, seconds


def main() -> None:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--recording", type=Path, required=True)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--busy", type=int, nargs="+", default=[0, 1, 2, 4])
    parser.add_argument("--out", type=Path, help="file to which the table is added line by line")
    options = parser.parse_args()

    def say(line: str) -> None:
        print(line, flush=True)
        if options.out:
            with options.out.open("a") as file:
                file.write(line + "\n")

    columns = ("size, steps", "busy", "load found", "old: CPU s, wall s", "new: CPU s, wall s", "old / new: CPU, wall")
    say(f"| {' | '.join(columns)} |")
    say("|" + " --- |" * len(columns))
    for size in options.sizes:
        words, steps = SIZES[size]
        for k in options.busy:
            load = os.getloadavg()[0]
            with Busy(k):
                times = {}
                for source in (options.old, options.new):
                    whole = fit(source, options.recording, words, steps)
                    start = fit(source, options.recording, words, 1)
                    times[source] = [max(a - b, 0.01) for a, b in zip(whole, start, strict=True)]
            (old_wall, old), (new_wall, new) = times[options.old], times[options.new]
            ratios = f"{old / new:.2f}, {old_wall / new_wall:.2f}"
            seconds = f"{old:.1f}, {old_wall:.1f} | {new:.1f}, {new_wall:.1f}"
            say(f"| {size}, 2 x {steps - 1} | {k} | {load:.1f} | {seconds} | {ratios} |")


if __name__ == "__main__":
    main()
