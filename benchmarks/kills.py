"""End commands at random moments, run them again, and see whether anything was lost or left.

    python benchmarks/kills.py N [COMMAND ...] [--seed 0] [--out benchmarks/results/kills.md]

Every command works on a tiny recording, is ended N times by SIGKILL and N times by SIGTERM, at moments drawn evenly
from its running time, and is run again (``fit`` with --resume where there is a run). Then it must have given what an
undisturbed command gives: the same weights, samples, scores or bytes. Nothing may be left: no hidden file, no part of a
download, no lock, no process. What SIGTERM ends must leave nothing by itself, and exit with status 143.

A command runs in a fork of this process, which has imported everything: moments fall into its work, not into imports.
"""

from __future__ import annotations

import faulthandler
import hashlib
import os
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests")]

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402

import spikeloom as sl  # noqa: E402
import spikeloom.cli  # noqa: E402
import spikeloom.evaluation.compare  # noqa: E402
import spikeloom.report.page  # noqa: E402
import spikeloom.workflow.parallel_sampling  # noqa: E402
import spikeloom.workflow.reporting  # noqa: E402
from commands import tiny_of  # noqa: E402
from shared import parser_of  # noqa: E402
from spikeloom.data.published import archives, datasets  # noqa: E402
from spikeloom.data.spikedata import content_hash  # noqa: E402
from spikeloom.training import stage_training  # noqa: E402
from web import Page, Web, serving  # noqa: E402

SIGNALS = (signal.SIGKILL, signal.SIGTERM)
NAME = "kills_recording"
MARK = "SPIKELOOM_KILLS"
"""Variable of the environment by which the processes that a command has started are known again."""
PROCESSES_END_S = 60.0
"""Seconds that processes have to notice that the command that started them is dead."""
ESCAPED = 99
"""Exit status of a command that let an error escape."""


@dataclass(frozen=True)
class Case:
    """A command.

    Attributes:
        words: Its words.
        result: What it gave, as a text.
        again: Its words where it was ended, if they differ.
        started: A file that is there if those words are needed.
    """

    words: Sequence[str]
    result: Callable[[], object]
    again: Sequence[str] = ()
    started: str = ""


@dataclass
class Counts:
    """What happened to a command ended by one signal."""

    ended: int = 0
    done_before: int = 0
    left_hidden: int = 0
    wrong_status: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    processes: list[str] = field(default_factory=list)


def main() -> None:
    options = arguments()
    with tempfile.TemporaryDirectory() as folder, serving() as web:
        os.chdir(folder)
        prepare(web)
        cases = {name: case for name, case in all_cases().items() if name in (options.commands or all_cases())}
        table: dict[tuple[str, str], Counts] = {}
        generator = np.random.default_rng(options.seed)
        for name, case in cases.items():
            expected, seconds = undisturbed(case)
            for number in [number for number in SIGNALS if number.name in options.signals]:
                counts = table[name, number.name] = Counts()
                for _ in range(options.n):
                    once(case, number, float(generator.uniform(0, seconds)), expected, counts)
                    options.out.write_text(page(options, table))
                print(name, number.name, f"of {seconds:.1f} s", counts, flush=True)


def arguments():
    parser = parser_of(__doc__)
    parser.add_argument("n", type=int, help="kills of each command by each signal")
    parser.add_argument("commands", nargs="*", help="of those in the table; all if not given")
    parser.add_argument("--signals", nargs="+", default=[number.name for number in SIGNALS])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=lambda path: Path(path).resolve(), default=ROOT / "benchmarks/results/kills.md")
    return parser.parse_args()


def prepare(web: Web) -> None:
    """A recording, a trained run, samples of it, and an archive from which a recording can be fetched slowly."""
    os.environ |= {"SPIKELOOM_CACHE": str(Path("cache").resolve()), "NO_PROXY": "*"}
    stage_training.CHECKPOINT_EVERY_S = 0.0  # at every validation
    np.savez("data.npz", counts=np.random.default_rng(0).poisson(0.5, (40, 20, 5)), bin_s=0.02)
    content = np.random.default_rng(1).bytes(40_000_000)
    checksum = "md5:" + hashlib.md5(content).hexdigest()
    web.put_json("/records/7", {"files": [{"key": "a.mat", "size": len(content), "checksum": checksum}]})
    web.pages["/records/7/files/a.mat/content"] = Page(content)
    recording = datasets.PUBLISHED["indy"]
    source = archives.Zenodo("7", web.url)
    datasets.PUBLISHED[NAME] = replace(recording, name=NAME, source=source, files=("a.mat",), folder=NAME)
    for words in (
        [*FIT, "--out", "run"],
        ["sample", "run", "-n", "60", "--out", "samples.npz"],
    ):
        assert finished(start(words)) == 0, Path("err").read_text()


FIT = ["fit", "data.npz", "--model", "ldns", "--max_steps", "30", "--device", "cpu", *tiny_of("ldns")]
FIT += ["--autoencoder_training.validate_every", "10", "--prior_training.validate_every", "10"]
TUNE = ["tune", "data.npz", "--model", "gaussian", "--method", "random", "--trials", "3", "--max_steps", "40"]
TUNE += ["--autoencoder.channels", "12", "--autoencoder.state", "4"]
BENCH = [
    "bench",
    "generation",
    "--data",
    "data.npz",
    "--models",
    "homogeneous",
    "lfads",
    "--seeds",
    "1",
    "--device",
    "cpu",
]


NOT_THE_SAME = r'(?s)"commands": \[.*?\n \]|"(date|command)": ".*?"|"(samples_per_s|training_s)": [\d.e+-]+'
"""What two runs of one benchmark do not share."""


def all_cases() -> dict[str, Case]:
    fetched = Path("cache/recordings") / NAME / "a.mat"
    sample = ["sample", "run", "-n", "600", "--device", "cpu", "--out"]
    return {
        "fit": Case([*FIT, "--out", "out/run"], weights("out/run"), [*FIT, "--out", "out/run", "--resume"], "out/run"),
        "sample": Case([*sample, "out/a.npz"], spikes("out/a.npz")),
        "sample --workers 1": Case([*sample, "out/a.h5", "--workers", "1"], spikes("out/a.h5")),
        "describe": Case(["describe", "data.npz", "--figure", "out/d.png"], lambda: picture("out/d.png")),
        "compare": Case(["compare", "run", "samples.npz", "--json", "out/s.json"], text("out/s.json")),
        "report": Case(["report", "run", "--out", "out/r.html"], text("out/r.html", r"\d{4}-\d\d-\d\dT[\d:+]+")),
        "bench": Case(
            [*BENCH, "--max_steps", "10", "--out", "out/bench"],
            text("out/bench/generation.json", NOT_THE_SAME),
        ),
        "fetch": Case(["fetch", NAME], lambda: hashlib.sha256(fetched.read_bytes()).hexdigest()),
        "sample --workers 2": Case([*sample, "out/b.h5", "--workers", "2"], spikes("out/b.h5")),
        "tune": Case([*TUNE, "--out", "out/search"], search("out/search")),
    }


def weights(folder: str) -> Callable[[], object]:
    def read() -> object:
        metrics = pd.read_csv(f"{folder}/metrics.csv").drop(columns="seconds")
        return hashlib.sha256(Path(folder, "weights.safetensors").read_bytes()).hexdigest(), metrics.to_csv()

    return read


def spikes(path: str) -> Callable[[], object]:
    return lambda: content_hash(sl.load(path))


def picture(path: str) -> str:
    """The pixels of a picture, whose file says when it was made."""
    from matplotlib.image import imread

    return hashlib.sha256(imread(path).tobytes()).hexdigest()


def search(folder: str) -> Callable[[], object]:
    return lambda: (weights(f"{folder}/best")(), Path(folder, "trials.csv").read_text())


def text(path: str, but: str = "$^") -> Callable[[], object]:
    return lambda: re.sub(but, "", Path(path).read_text())


def start(words: Sequence[str]) -> int:
    """The command in a fork of its own, as its own group; returns its number."""
    process = os.fork()
    if process:
        return process
    os.setsid()
    os.environ[MARK] = str(os.getpid())
    try:
        sys.argv = ["spikeloom", *words]
        for stream, name in ((1, "out.txt"), (2, "err")):
            os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
        faulthandler.enable()
        status = spikeloom.cli.main(list(words))
        sys.stdout.flush()
    except BaseException:  # an error that the command should have said in a sentence
        traceback.print_exc()
        status = ESCAPED
    sys.stderr.flush()
    os._exit(status)


def finished(process: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def clean() -> None:
    for place in ("out", "cache"):
        shutil.rmtree(place, ignore_errors=True)
    Path("out").mkdir()


def undisturbed(case: Case) -> tuple[object, float]:
    clean()
    began = time.perf_counter()
    status = finished(start(case.words))
    assert status == 0, (case.words, Path("err").read_text())
    seconds = time.perf_counter() - began
    return case.result(), seconds


def hidden() -> list[str]:
    """What is left that no user asked for."""
    places = [p for place in ("out", "cache") for p in Path(place).rglob("*")]
    return [str(p) for p in places if p.name.startswith(".") or p.suffix in (".part", ".tmp")]


def started_by(process: int) -> list[int]:
    """The processes that a command has started and that still run."""
    found, mark = [], f"{MARK}={process}".encode()
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark in (place / "environ").read_bytes().split(b"\0") and int(place.name) != process:
                found.append(int(place.name))
    return found


def processes_left(process: int) -> list[str]:
    """The processes of a command that outlive it by too long; they are ended."""
    until = time.monotonic() + PROCESSES_END_S
    while (left := started_by(process)) and time.monotonic() < until:
        time.sleep(0.1)
    names = []
    for one in left:
        with suppress(OSError):
            names.append(Path(f"/proc/{one}/cmdline").read_text().replace("\0", " ")[:100])
            os.kill(one, signal.SIGKILL)
    return names


def once(case: Case, number: signal.Signals, after_s: float, expected: object, counts: Counts) -> None:
    clean()
    process = start(case.words)
    time.sleep(after_s)
    with suppress(ProcessLookupError):
        os.kill(process, number)
    status = finished(process)
    counts.processes += processes_left(process)
    if status == 0:
        counts.done_before += 1
    else:
        counts.ended += 1
        if number == signal.SIGTERM:
            if status not in (143, -signal.SIGTERM):
                counts.wrong_status.append(f"{status}: {Path('err').read_text()[-2000:]}")
            counts.left_hidden += any(not place.endswith(".part") for place in hidden())
        words = case.again if case.started and Path(case.started, "config.yaml").exists() else case.words
        status = finished(start(words))
        if status == 2 and "exists; name another file" in Path("err").read_text():
            counts.ended, counts.done_before = counts.ended - 1, counts.done_before + 1  # it was about to exit
        elif status != 0:
            counts.lost.append(f"status {status}: {Path('err').read_text()[-2000:]}")
            return
    try:
        same = case.result() == expected
    except Exception as error:
        same, counts.lost = False, [*counts.lost, repr(error)]
    if not same:
        counts.lost.append("another result")
    counts.left += hidden()


def page(options, table: dict[tuple[str, str], Counts]) -> str:
    lines = [
        "# Commands ended at random moments and run again",
        "",
        f"`python benchmarks/kills.py {options.n} --seed {options.seed}`; the script says how.",
        "",
        "| command | signal | ended | had finished | other result or error | files / processes left behind | "
        "SIGTERM: other status / hidden file before the rerun |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for (name, number), c in table.items():
        left = f"{len(c.left)} / {len(c.processes)}"
        by_term = f"{len(c.wrong_status)} / {c.left_hidden}" if number == "SIGTERM" else ""
        lines.append(f"| `{name}` | {number} | {c.ended} | {c.done_before} | {len(c.lost)} | {left} | {by_term} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
