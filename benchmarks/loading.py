"""How fast a large session becomes trials of counts, and in how much memory, beside pynapple's ``count``.

    python benchmarks/loading.py [--units N] [--hours H] [--repeats N] [--out FILE]

Makes a session (1,500 units, one hour, 500 trials of 5 s, 30 million spikes), binds it to trials and bins of 10 ms with
spikeloom and with pynapple in turn, in one process, and checks that both counted the same. Times are CPU time of the
process, which other work on the machine hardly changes; ratios compare the two in the same run. Peak memory is that of
a process of its own for each.
"""

from __future__ import annotations

import argparse
import datetime
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

import spikeloom as sl
from shared import parser_of
from spikeloom.bench.tables import markdown_table as table

BIN_S = 0.01
N_TRIALS, TRIAL_S = 500, 5.0
RATE_HZ = 5.56
"""Mean of the units; in an hour, 1,500 of them have 30 million spikes."""
WORK = ("spikeloom", "pynapple", "spikeloom, NWB", "pynapple, NWB")
HOW = """\
CPU time of the process, the shortest of {repeats} in turn; the ratio is spikeloom to pynapple in the same run, and the
counts of both are equal. Peak memory of a process of its own. From memory, pynapple counts in a `TsGroup` that is
ready; spikeloom takes plain arrays, checks and sorts them, cuts trials, and makes all notes and checks of plausibility.
Pynapple counts in int64, spikeloom in the smallest integers that hold the counts."""


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--units", type=int, default=1500)
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, help="Markdown file that gets the table; only printed if not given")
    parser.add_argument("--only", choices=WORK, help=argparse.SUPPRESS)  # one of them, once: in a process of its own
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        _memory_of(options.only, options.folder)
        return
    with tempfile.TemporaryDirectory() as folder:
        text = measured(Path(folder), options.units, options.hours, options.repeats)
    print(text)
    if options.out:
        options.out.write_text(text)


def measured(folder: Path, n_units: int, hours: float, repeats: int) -> str:
    """The page of results; the session is written to a folder."""
    state = _state()  # of the code that has been imported
    make_session(folder, n_units, 3600 * hours)
    times, starts = read_session(folder)
    n_spikes = sum(map(len, times))
    group, trials = pynapple_session(times, starts)
    _same(from_times(times, starts).counts, pynapple_counts(group, trials))  # compiles pynapple's loops, too
    calls: dict[str, Callable[[], object]] = {
        "spikeloom": lambda: from_times(times, starts),
        "pynapple": lambda: pynapple_counts(group, trials),
        "spikeloom, NWB": lambda: from_nwb(folder),
        "pynapple, NWB": lambda: pynapple_from_nwb(folder),
    }
    spent: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            start = time.process_time()
            call()
            spent[name].append(time.process_time() - start)
    del times, group
    peaks = {name: _peak_of(name, folder) for name in calls}
    rows = []
    for what, end in (("spike times in memory", ""), ("an NWB file", ", NWB")):
        ours, theirs = (min(spent[f"{name}{end}"]) for name in ("spikeloom", "pynapple"))
        memory = [f"{peaks[f'{name}{end}']:.2f}" for name in ("spikeloom", "pynapple")]
        rows.append([what, f"{ours:.2f}", f"{theirs:.2f}", f"{ours / theirs:.2f}", *memory])
    header = ["from", "spikeloom, s", "pynapple, s", "ratio", "spikeloom, GiB", "pynapple, GiB"]
    command = " ".join(["python", "benchmarks/loading.py", *sys.argv[1:]])
    return (
        "# Loading\n\n"
        f"`{command}`: {n_units} units, {hours:g} h, {N_TRIALS} trials of {TRIAL_S:g} s, {n_spikes / 1e6:.1f} million "
        f"spikes, bins of {1e3 * BIN_S:g} ms.\n"
        f"{state}\n\n"
        f"{table(header, rows)}\n\n"
        f"{HOW.format(repeats=repeats)}\n"
    )


# -- the session -------------------------------------------------------------------------------------------------


def make_session(folder: Path, n_units: int, seconds: float) -> None:
    """Spike times of independent units of different rates, and starts of trials, as arrays and as an NWB file."""
    rng = np.random.default_rng(0)
    rates = rng.gamma(1.0, RATE_HZ, n_units)
    rates *= RATE_HZ / rates.mean()
    times = [np.sort(rng.uniform(0, seconds, rng.poisson(rate * seconds))) for rate in rates]
    starts = np.linspace(0.5, seconds - TRIAL_S - 0.5, N_TRIALS)
    np.save(folder / "times.npy", np.concatenate(times))
    np.save(folder / "ends.npy", np.cumsum([len(train) for train in times]))
    np.save(folder / "starts.npy", starts)

    from pynwb import NWBHDF5IO, NWBFile

    now = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)
    file = NWBFile(session_description="benchmark", identifier="loading", session_start_time=now)
    for train in times:
        file.add_unit(spike_times=train, obs_intervals=[[0.0, seconds]])
    for start in starts:
        file.add_trial(start_time=start, stop_time=start + TRIAL_S)
    with NWBHDF5IO(folder / "session.nwb", "w") as io:
        io.write(file)


def read_session(folder: Path) -> tuple[list[np.ndarray], np.ndarray]:
    """Spike times of every unit, and starts of trials."""
    times, ends = np.load(folder / "times.npy"), np.load(folder / "ends.npy")
    return np.split(times, ends[:-1]), np.load(folder / "starts.npy")


# -- what is measured --------------------------------------------------------------------------------------------


def from_times(times: list[np.ndarray], starts: np.ndarray) -> sl.SpikeData:
    trials = np.column_stack([starts, starts + TRIAL_S])
    return sl.from_spike_times(times, bin_s=BIN_S, trials=trials, observed=[[0.0, starts[-1] + TRIAL_S + 0.5]])


def from_nwb(folder: Path) -> sl.SpikeData:
    return sl.load(folder / "session.nwb", bin_s=BIN_S)


def pynapple_session(times, starts):
    import pynapple as nap

    return nap.TsGroup({i: nap.Ts(train) for i, train in enumerate(times)}), nap.IntervalSet(starts, starts + TRIAL_S)


def pynapple_counts(group, trials) -> np.ndarray:
    return group.count(BIN_S, trials).values


def pynapple_from_nwb(folder: Path) -> np.ndarray:
    import pynapple as nap

    file = nap.load_file(str(folder / "session.nwb"))
    counts = pynapple_counts(file["units"], file["trials"])
    file.close()
    return counts


def _same(ours: np.ndarray, theirs: np.ndarray) -> None:
    other = theirs.reshape(ours.shape)
    differ = sum(int((a != b).sum()) for a, b in zip(ours, other))
    # A spike within a millionth of a bin of its border may fall on either side.
    if differ > 1e-6 * ours.size or abs(int(ours.sum(dtype=np.int64)) - int(other.sum())) > 10:
        raise SystemExit(f"{differ} of {ours.size} counts differ")


# -- memory ------------------------------------------------------------------------------------------------------


def _peak_of(name: str, folder: Path) -> float:
    done = subprocess.run(
        [sys.executable, __file__, "--only", name, "--folder", str(folder)], capture_output=True, text=True, check=True
    )
    return float(done.stdout)


def _memory_of(name: str, folder: Path) -> None:
    """Print the peak memory of this process in GiB after one of the calls."""
    if name.endswith("NWB"):
        (from_nwb if name.startswith("spikeloom") else pynapple_from_nwb)(folder)
    else:
        times, starts = read_session(folder)
        if name == "spikeloom":
            from_times(times, starts)
        else:
            pynapple_counts(*pynapple_session(times, starts))
    # Not ``ru_maxrss``, which a process inherits from the one that starts it.
    status = Path("/proc/self/status").read_text()
    print(int(status.partition("VmHWM:")[2].split()[0]) / 2**20)


def _state() -> str:
    import pynapple

    def git(*words: str) -> str:
        root = str(Path(__file__).parents[1])
        return subprocess.run(["git", "-C", root, *words], capture_output=True, text=True).stdout.strip()

    commit = (git("rev-parse", "--short", "HEAD") or "unknown") + (" with changes" if git("status", "-s") else "")
    return f"spikeloom at {commit}, pynapple {pynapple.__version__}, numpy {np.__version__}, {os.cpu_count()} cores."


if __name__ == "__main__":
    main()
