"""Bulk sampling: trials per second of one process and of Ray workers against a plain sample, and memory for 4n trials.

    python benchmarks/bulk.py [RUN] [-n TRIALS] [--workers K ...]

RUN is a trained run folder; where none is given, one of the small LDNS is made that was not trained, which changes no
time. The ways take turns and the best of each counts. Ray is started before and its workers have
read the model; what that takes is printed by itself. What this process has to do itself for a trial that others drew
says how many workers it can serve. Memory is the most that a process had which did nothing else, with one sampling
step: more of them take no more.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from shared import machine, parser_of
from spikeloom.bench.tables import markdown_table as table
from spikeloom.data.files import save
from spikeloom.data.sources import load_source
from spikeloom.models import load_model
from spikeloom.models.ldns import LDNS
from spikeloom.threads import one_thread
from spikeloom.workflow.parallel_sampling import Workers, planned, sample_to_file
from spikeloom.workflow.ray_cluster import cluster

FEW = ["--steps", "1", "--device", "cpu"]
PEAK = """
import sys
from spikeloom.cli import main
status = main(sys.argv[1:])
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
sys.exit(status)
"""
"""A command, and the most memory that its process had in kB (on Linux)."""


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("run", nargs="?", type=Path)
    parser.add_argument("-n", type=int, default=1024, help="trials")
    parser.add_argument("--workers", type=int, nargs="+", default=[2])
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.run is None:
            options.run = folder / "run"
            LDNS("ldns-small", max_steps=1).fit(load_source("lorenz")).save(options.run)
        print(f"{machine()}; {options.n} trials\n")
        times(options.run, options.n, options.workers, options.repeats, folder)
        memory(options.run, options.n, folder)


def times(run: Path, n: int, workers: list[int], repeats: int, folder: Path) -> None:
    """Print trials per second of every way."""
    model = load_model(run)
    plan = planned(model, n, seed=1)

    def plain() -> None:
        save(model.sample(n, seed=1), folder / "plain.h5")

    def plain_one_thread() -> None:
        with one_thread():
            plain()

    def bulk(k: int) -> None:
        sample_to_file(run, plan, folder / f"{k}.h5", Workers(k), model)

    ways = {"plain sample, all threads": plain, "plain sample, one thread": plain_one_thread}
    ways |= {"bulk, one process": lambda: bulk(1)}
    ways |= {f"bulk, {k} workers": lambda k=k: bulk(k) for k in workers}
    started = time.perf_counter()
    with cluster(cpus=max(workers)):
        sample_to_file(
            run, planned(model, 128 * 3 * max(workers), length=1), folder / "warm.h5", Workers(max(workers)), model
        )
        print(f"Ray and its workers were ready in {time.perf_counter() - started:.0f} s\n")
        seconds: dict[str, float] = {}
        busy: dict[str, float] = {}
        for _ in range(repeats):
            for way, call in ways.items():
                start, spent = time.perf_counter(), time.process_time()
                call()
                seconds[way] = min(seconds.get(way, float("inf")), time.perf_counter() - start)
                busy[way] = min(busy.get(way, float("inf")), time.process_time() - spent)
    base = seconds["plain sample, one thread"]
    rows = [[way, f"{n / s:.0f}", f"{base / s:.2f}", f"{1000 * busy[way] / n:.2g}"] for way, s in seconds.items()]
    print(table(["way", "trials/s", "times one thread", "ms of processor in this process, a trial"], rows) + "\n")
    files = {(folder / f"{k}.h5").read_bytes() for k in (1, *workers)}
    print(
        f"files of 1, {', '.join(map(str, workers))} workers are {'the same' if len(files) == 1 else 'NOT the same'}\n"
    )


def memory(run: Path, n: int, folder: Path) -> None:
    """Print the memory of n and 4n trials."""
    rows = []
    for way, more in {"plain sample": [], "bulk, one process": ["--workers", "1"]}.items():
        peaks = []
        for trials in (n, 4 * n):
            words = ["sample", str(run), "--out", str(folder / "m.h5"), "-n", str(trials), *FEW, *more]
            done = subprocess.run([sys.executable, "-c", PEAK, *words], stdout=subprocess.PIPE, text=True, check=True)
            peaks.append(int(done.stdout.split()[-1]) / 1024)
        rows.append([way, f"{peaks[0]:.0f}", f"{peaks[1]:.0f}", f"{peaks[1] - peaks[0]:+.0f}"])
    print(table(["way", f"MB, {n} trials", f"MB, {4 * n} trials", "difference"], rows))


if __name__ == "__main__":
    main()
