"""How time and memory of every verb grow with neurons, bins and trials, and how a Neuropixels session goes through.

    python benchmarks/growth.py sweep [--verbs describe fit ...] [--neurons 50 200 ...] [--bins ...] [--trials ...]
    python benchmarks/growth.py session [--units 1500] [--hours 1] [--verbs describe fit ...]
    python benchmarks/growth.py page

``sweep`` varies one factor at a time around 50 neurons, 100 bins and 200 trials; a factor given without a size is left
out. ``session`` makes 1,500 units, one hour and 500 trials in bins of 10 ms (see ``loading.py``). A verb is the command
of that name, reading and writing of files included, after a first run of it on a small recording; seconds are CPU time,
which other work on the machine hardly changes, and memory is the peak while the verb ran, that of the interpreter and
its libraries (0.4 GiB) included. Results are added to ``growth.jsonl`` as they come, and what is there is not measured
again; ``page`` makes a table of them.
"""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import spikeloom as sl
from loading import BIN_S as SESSION_BIN_S
from loading import make_session
from shared import Lines, parser_of
from spikeloom.bench.tables import markdown_table as table
from spikeloom.cli import main as spikeloom

RESULTS = Path(__file__).parent / "results"
BASE = {"neurons": 50, "bins": 100, "trials": 200}
SIZES = {"neurons": (50, 200, 800, 3000), "bins": (50, 250, 1000, 4000), "trials": (200, 2000, 20_000, 100_000)}
VERBS = ("describe", "fit", "sample", "encode", "compare", "report")
STEPS = (2, 12)
"""Steps of each stage in the two trainings of which the difference is the time of a step."""
SAMPLED = 0.2
"""Trials sampled, as a share of the recorded ones: as many as are held out."""
ALLOWED = {"neurons": 2.0, "bins": 1.0, "trials": 1.0}
"""Exponents up to which growth needs no reason: quadratic in neurons, linear in bins and trials."""
MARGIN = 0.15
"""By how much two measured times on a busy machine may exceed that."""
BIN_S = 0.02
SOURCE, SESSION, GENERATED = "recording.npz", "session.nwb", "generated.npz"
JUSTIFIED = {
    ("sample", "trials"): "as many trials are sampled as are held out",
    ("report", "trials"): "its samples and its comparison, which are linear in their number",
}


# -- recordings --------------------------------------------------------------------------------------------------


def make_recording(folder: Path, neurons: int, bins: int, trials: int) -> None:
    """A recording with shared slow rates, and generated trials, which are others of its kind."""
    rng = np.random.default_rng(0)
    loading, base = rng.normal(0, 0.3, (3, neurons)), np.log(rng.gamma(2.0, 0.05, neurons))
    time_s = np.arange(bins) * BIN_S

    def counts(n: int) -> np.ndarray:
        out = np.empty((n, bins, neurons), np.uint8)
        for trial in out:
            phase, frequency = rng.uniform(0, 2 * np.pi, 3), rng.uniform(0.5, 2, 3)
            slow = np.sin(2 * np.pi * time_s[:, None] * frequency + phase)
            trial[:] = rng.poisson(np.exp(base + slow @ loading))
        return out

    sl.save(sl.SpikeData(counts(trials), bin_s=BIN_S).assign_splits(), folder / SOURCE)
    sl.save(sl.SpikeData(counts(trials * 2 // 5), bin_s=BIN_S), folder / GENERATED)


def make_long_session(folder: Path, units: int, hours: float) -> None:
    """The session of ``loading.py`` as an NWB file; every other trial of it stands for generated trials."""
    make_session(folder, units, 3600 * hours)
    data = sl.load(folder / SESSION, bin_s=SESSION_BIN_S)
    sl.save(data[::2], folder / GENERATED)


# -- verbs -------------------------------------------------------------------------------------------------------


def commands(verb: str, folder: Path, source: str, n_trials: int) -> list[list[str]]:
    """The commands that a verb stands for: one, or for a training two of different numbers of steps."""
    short, long = (str(folder / f"run{n}") for n in STEPS)
    read = [str(folder / source), *(["--bin_s", str(SESSION_BIN_S)] if source == SESSION else [])]
    return {
        "describe": [["describe", *read]],
        "fit": [["fit", *read, "--out", run, "--max_steps", str(n)] for run, n in zip((short, long), STEPS)],
        "sample": [["sample", short, "--out", str(folder / "s.npz"), "-n", str(n_trials)]],
        "encode": [["encode", short, *read, "--out", str(folder / "e.npz")]],
        "compare": [["compare", *read, str(folder / GENERATED)]],
        "report": [["report", short, "--out", str(folder / "report.html")]],
    }[verb]


def measured(command: list[str]) -> tuple[float, float, float]:
    """CPU seconds, seconds of wall time, and peak memory in GiB of a command."""
    said = io.StringIO()
    Path("/proc/self/clear_refs").write_text("5")  # the peak of what follows
    start, wall = sum(os.times()[:4]), time.perf_counter()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        status = spikeloom(command)
    cpu, wall = sum(os.times()[:4]) - start, time.perf_counter() - wall
    if status:
        raise SystemExit(f"{command}\n{said.getvalue()[-2000:]}")
    peak = Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]
    return cpu, wall, int(peak) / 2**20


def measure(verb: str, folder: Path, source: str, n_trials: int) -> dict[str, float]:
    """CPU seconds, seconds of wall time and peak memory of a verb; of a training, also CPU seconds of a step."""
    spent = [measured(command) for command in commands(verb, folder, source, n_trials)]
    row = {"cpu_s": spent[0][0], "wall_s": spent[0][1], "gib": max(each[2] for each in spent)}
    if len(spent) > 1:
        row["step_s"] = max((spent[1][0] - spent[0][0]) / (STEPS[1] - STEPS[0]), 1e-4)
    return {name: round(value, 4) for name, value in row.items()}


def measure_all(folder: Path, source: str, verbs: list[str], n_trials: int) -> Iterator[tuple[str, dict[str, float]]]:
    """Measure verbs on a recording, one after the other."""
    if "fit" not in verbs and {"sample", "encode", "report"} & set(verbs):
        measured(commands("fit", folder, source, 0)[0])
    for verb in verbs:
        yield verb, measure(verb, folder, source, n_trials)


def warm_up(verbs: list[str]) -> None:
    """Every verb once, so that importing libraries belongs to none of them."""
    with tempfile.TemporaryDirectory() as folder:
        make_recording(Path(folder), 5, 20, 60)
        list(measure_all(Path(folder), SOURCE, verbs, 4))


def sweep(lines: Lines, verbs: list[str], sizes: dict[str, list[int]]) -> None:
    for factor, of_factor in sizes.items():
        for size in of_factor:
            at = {**BASE, factor: size}
            wanted = [verb for verb in verbs if not lines.has(verb, factor, size)]
            if wanted:
                with tempfile.TemporaryDirectory() as folder:
                    make_recording(Path(folder), **at)
                    for verb, row in measure_all(Path(folder), SOURCE, wanted, round(SAMPLED * at["trials"])):
                        lines.add({"verb": verb, "factor": factor, "size": size, **row})


def session(lines: Lines, verbs: list[str], units: int, hours: float) -> None:
    wanted = [verb for verb in verbs if not lines.has(verb, "session", units)]
    if wanted:
        with tempfile.TemporaryDirectory() as folder:
            make_long_session(Path(folder), units, hours)
            for verb, row in measure_all(Path(folder), SESSION, wanted, 100):
                lines.add({"verb": verb, "factor": "session", "size": units, **row})


# -- the page ----------------------------------------------------------------------------------------------------


def page(rows: list[dict]) -> str:
    """Times and memory of every verb by size, the exponents, and what they mean."""
    text = [
        "# Growth\n",
        "`python benchmarks/growth.py sweep`, `session` and `page`; " + (__doc__ or "").split("\n\n")[2].strip(),
    ]
    text.append(_verdicts(rows))
    for factor in SIZES:
        around = ", ".join(f"{value} {name}" for name, value in BASE.items() if name != factor)
        own = [row for row in rows if row["factor"] == factor]
        sizes = sorted({row["size"] for row in own})
        if not sizes:
            continue
        body = []
        for verb, value, unit in _quantities():
            by_size = {row["size"]: row[value] for row in own if row["verb"] == verb and value in row}
            if by_size:
                cells = [f"{by_size[size]:.3g}" if size in by_size else "" for size in sizes]
                body.append([f"{_label(verb, value)}, {unit}", *cells])
        text.append(f"## {factor.capitalize()} ({around})\n\n" + table([factor, *(f"{s:,}" for s in sizes)], body))
    own = [row for row in rows if row["factor"] == "session"]
    if own:
        body = [[r["verb"], f"{r['cpu_s']:.0f}", f"{r['wall_s']:.0f}", f"{r['gib']:.1f}"] for r in own]
        header = ["verb", "CPU s", "wall s", "peak GiB"]
        text.append(
            f"## A session of {own[0]['size']:,} units, 500 trials of 5 s in bins of 10 ms\n\n" + table(header, body)
        )
        text.append(
            f"`fit` is {STEPS[0]} steps of each stage. Wall times are those of a machine that was busy with other work."
        )
    missing = [f"{verb} by {factor}" for verb in VERBS for factor in SIZES if _n_sizes(rows, verb, factor) < 2]
    missing += [f"{verb} of the session" for verb in VERBS if not _n_sizes(rows, verb, "session")]
    if missing:
        text.append(f"Not measured yet: {', '.join(missing)}.")
    return "\n\n".join(text) + "\n"


def _n_sizes(rows: list[dict], verb: str, factor: str) -> int:
    return len({row["size"] for row in rows if (row["verb"], row["factor"]) == (verb, factor)})


def _quantities() -> list[tuple[str, str, str]]:
    times = [(verb, "step_s" if verb == "fit" else "cpu_s", "CPU s") for verb in VERBS]
    return [*times, ("fit", "cpu_s", "CPU s"), *((verb, "gib", "GiB") for verb in VERBS)]


def _label(verb: str, value: str) -> str:
    if verb != "fit" or value == "gib":
        return verb
    return "fit, a step of each stage" if value == "step_s" else f"fit, preparation and {STEPS[0]} steps"


def _verdicts(rows: list[dict]) -> str:
    """The exponent between the two largest sizes of every verb and factor, in time and in memory."""
    body = []
    for verb, value, unit in _quantities():
        for factor, allowed in ALLOWED.items():
            own = sorted(
                (r["size"], r[value]) for r in rows if r["factor"] == factor and r["verb"] == verb and value in r
            )
            if len(own) < 2:
                continue
            (a, x), (b, y) = own[-2:]
            exponent = float(np.log(y / x) / np.log(b / a))
            verdict = "within bounds" if exponent <= allowed + MARGIN else JUSTIFIED.get((verb, factor), "TO BE MENDED")
            body.append([f"{_label(verb, value)}, {unit}", factor, f"{a:,} to {b:,}", f"{exponent:.2f}", verdict])
    return "## Exponents\n\n" + table(["what", "factor", "between", "exponent", "verdict"], body)


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("part", choices=["sweep", "session", "page"])
    parser.add_argument("--verbs", nargs="+", choices=VERBS, default=list(VERBS))
    for factor, sizes in SIZES.items():
        parser.add_argument(f"--{factor}", nargs="*", type=int, default=list(sizes))
    parser.add_argument("--units", type=int, default=1500)
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--folder", type=Path, default=RESULTS)
    options = parser.parse_args()
    lines = Lines(options.folder / "growth.jsonl", "verb", "factor", "size")
    if options.part != "page":
        warm_up(options.verbs)
    if options.part == "sweep":
        sweep(lines, options.verbs, {factor: getattr(options, factor) for factor in SIZES})
    elif options.part == "session":
        session(lines, options.verbs, options.units, options.hours)
    (options.folder / "growth.md").write_text(page(lines.rows))


if __name__ == "__main__":
    main()
