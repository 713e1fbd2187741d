"""Runs that are ended, killed, started twice, or whose folder vanishes; files that exist; what dead writers leave."""

import errno
import os
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from jsonargparse import Namespace

import pages
import spikeloom as sl
from commands import counts, tiny
from spikeloom.atomic import atomic, sweep
from spikeloom.bench.generation import run_generation_benchmark
from spikeloom.cli import COMMANDS, Command, judging, main
from spikeloom.cli.options import value_of
from spikeloom.errors import RunError
from spikeloom.locks import locked
from spikeloom.models import load_model
from spikeloom.signals import Terminated, held_back, terminating
from spikeloom.training import stage_training
from spikeloom.workflow.ray_cluster import cluster

FIT = ["--device", "cpu", *tiny("autoencoder"), "--model", "gaussian"]


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    np.savez("data.npz", counts=counts(), bin_s=0.02)
    return tmp_path


def python(code: str) -> subprocess.Popen:
    """A process that runs some code, says so, and waits."""
    code += "\nprint('there', flush=True)\nimport time\ntime.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "there\n"
    return process


def hidden(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if p.name.startswith("."))


WRITING = "from spikeloom.atomic import atomic\nwriting = atomic('x.npz')\nwriting.__enter__().write_text('half')"
LOCKING = "from spikeloom.locks import locked\nlock = locked('run')\nlock.__enter__()"


def test_files_of_living_writers_stay_and_those_of_dead_ones_are_swept(folder: Path) -> None:
    process = python(WRITING)
    (folder / ".of-another-program.tmp").mkdir()
    sweep(folder)
    assert len(hidden(folder)) == 2
    process.kill()
    process.wait()
    with atomic(folder / "other.txt") as temporary:
        temporary.write_text("whole")
    assert hidden(folder) == [".of-another-program.tmp"]
    assert not (folder / "x.npz").exists()


def test_a_lock_names_its_process_and_ends_with_it(folder: Path) -> None:
    process = python(LOCKING)
    with pytest.raises(RunError, match=rf"run is in use by process {process.pid} on .* since .*; wait until"):
        with locked("run"):
            pass
    process.kill()
    process.wait()
    assert hidden(folder) == [".run.lock"]
    with locked("run"):
        assert hidden(folder) == [".run.lock"]
    assert hidden(folder) == []


def test_locks_leave_no_folders_behind(folder: Path) -> None:
    with locked("new/folder/run"):
        pass
    assert not (folder / "new").exists()


def test_two_trainings_in_one_folder(folder: Path, capsys) -> None:
    process = python(LOCKING)
    assert main(["fit", "data.npz", "--out", "run", "--max_steps", "2", *FIT]) == 2
    assert f"is in use by process {process.pid}" in capsys.readouterr().err
    process.kill()
    process.wait()
    assert main(["fit", "data.npz", "--out", "run", "--max_steps", "2", *FIT]) == 0
    assert hidden(folder) == []


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_an_interrupted_training_leaves_a_checkpoint_and_ends_in_the_same_weights(
    folder: Path, number: int, status: int, capsys, monkeypatch, request
) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    fit = ["fit", "data.npz", "--max_steps", "30", *FIT]
    assert main([*fit, "--out", "whole"]) == 0
    real = stage_training.StageTraining.optimise

    def optimise(self) -> None:
        if self.step == 11:
            os.kill(os.getpid(), number)
        real(self)

    with monkeypatch.context() as patch:
        patch.setattr(stage_training.StageTraining, "optimise", optimise)
        assert main([*fit, "--out", "cut"]) == status
    assert capsys.readouterr().err.splitlines()[-1] == (
        "spikeloom: stopped; continue with the same command and --resume."
    )
    assert (folder / "cut" / "resume" / "state.safetensors").exists()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert main([*fit, "--out", "cut", "--resume"]) == 0
    one, other = (load_model(name).state_dict() for name in ("whole", "cut"))
    assert all((one[name] == other[name]).all() for name in one)
    assert hidden(folder) == []


def test_a_second_interruption_does_not_wait() -> None:
    with terminating(), pytest.raises(Terminated), held_back(most=1):  # noqa: PT012
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)
        pytest.fail("the second has to act")


def test_sigterm_that_a_library_makes_another_interruption_of_is_sigterm() -> None:
    with pytest.raises(Terminated), terminating():  # noqa: PT012
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        except KeyboardInterrupt:
            raise KeyboardInterrupt from None
    with pytest.raises(KeyboardInterrupt) as caught, terminating():
        raise KeyboardInterrupt
    assert not isinstance(caught.value, Terminated)


def test_sigterm_while_ray_starts(monkeypatch) -> None:
    ray = pytest.importorskip("ray")

    def start(**_: object) -> None:
        sys.exit(signal.SIGTERM)

    monkeypatch.setattr(ray, "init", start)
    with pytest.raises(Terminated), cluster():
        pytest.fail("it has not started")


def test_signals_outside_of_the_main_thread_are_left_alone() -> None:
    found = []

    def work() -> None:
        with terminating(), held_back() as held:
            found.append(held.came)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [[]]


@pytest.mark.parametrize("what", ["deleted", "emptied", "moved"])
def test_a_folder_that_vanishes_is_an_error(folder: Path, what: str, capsys, monkeypatch) -> None:
    import shutil

    real = stage_training.StageTraining.optimise

    def optimise(self) -> None:
        if self.step == 11:
            if what == "moved":
                os.replace("run", "elsewhere")
            else:
                shutil.rmtree("run")
            if what == "emptied":
                Path("run").mkdir()
        real(self)

    monkeypatch.setattr(stage_training.StageTraining, "optimise", optimise)
    assert main(["fit", "data.npz", "--out", "run", "--max_steps", "20", *FIT]) == 2
    assert "was deleted or moved while the model was trained" in capsys.readouterr().err
    assert not Path("run/config.yaml").exists()


def test_a_full_disk_is_an_error_and_resumed(folder: Path, capsys, monkeypatch) -> None:
    real = Path.open

    def full(self, *args, **kwargs):
        if self.name == "metrics.csv" and args[:1] == ("a",):
            raise OSError(28, "No space left on device")
        return real(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", full)
        assert main(["fit", "data.npz", "--out", "run", "--max_steps", "5", *FIT]) == 2
    assert "No space left on device; make room, then continue" in capsys.readouterr().err
    assert main(["fit", "data.npz", "--out", "run", "--max_steps", "5", *FIT, "--resume"]) == 0


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks(folder: Path, number: int, monkeypatch) -> None:
    fcntl = pytest.importorskip("fcntl")

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with locked("run"), pytest.raises(RunError, match=r"run is in use by .*; wait until it has ended"), locked("run"):
        pass
    with atomic(folder / "a.txt") as temporary:
        temporary.write_text("whole")
    assert (folder / "a.txt").read_text() == "whole"
    assert hidden(folder) == []


def test_two_resumptions_in_one_folder(folder: Path, capsys) -> None:
    assert main(["fit", "data.npz", "--out", "run", "--max_steps", "2", *FIT]) == 0
    before = {path: path.read_bytes() for path in Path("run").iterdir()}
    process = python(LOCKING)
    assert main(["fit", "data.npz", "--out", "run", "--max_steps", "2", *FIT, "--resume"]) == 2
    assert f"is in use by process {process.pid}" in capsys.readouterr().err
    process.kill()
    process.wait()
    assert {path: path.read_bytes() for path in Path("run").iterdir()} == before


WRITTEN = {
    "a.npz": ["sample", "run", "-n", "400", "--out"],
    "a.nwb": ["sample", "run", "-n", "400", "--out"],
    "a.h5": ["sample", "run", "-n", "400", "--workers", "1", "--out"],
    "e.npz": ["encode", "run", "run", "--out"],
    "d.png": ["describe", "data.npz", "--figure"],
    "s.json": ["compare", "run", "few.npz", "--json"],
}
"""Commands by the file that they write."""


def test_files_that_do_not_fit_end_in_one_sentence_and_leave_what_was_there(folder: Path, capfd) -> None:
    """A limit of the system on the size of a file stands for a disk that is full: the same calls fail."""
    resource = pytest.importorskip("resource")
    assert main(["fit", "data.npz", "--out", "run", "--max_steps", "2", *FIT]) == 0
    assert main(["sample", "run", "-n", "60", "--out", "few.npz"]) == 0
    capfd.readouterr()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    for name, words in WRITTEN.items():
        Path(name).write_text("precious")
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
        try:
            status = main([*words, name, "--overwrite"])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        said = [line for line in capfd.readouterr().err.splitlines() if "comparing" not in line]
        assert status == 2, name
        assert len(said) == 1, (name, said)
        assert name in said[0]
        assert "File too large" in said[0]
        assert Path(name).read_text() == "precious"
        assert hidden(folder) == []


def test_a_folder_that_may_not_be_changed(folder: Path, capsys, monkeypatch) -> None:
    assert main(["fit", "data.npz", "--out", "run", "--max_steps", "2", *FIT]) == 0
    Path("kept").mkdir()
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "kept" and real(path, mode))
    capsys.readouterr()
    commands = [*WRITTEN.values(), ["fit", "data.npz", *FIT, "--out"], ["tune", "data.npz", "--out"]]
    for words in commands:
        place = (
            "kept/new" if words[0] in ("fit", "tune") else f"kept/{next(k for k, v in WRITTEN.items() if v is words)}"
        )
        assert main([*words, place]) == 2
        assert re.search(r"kept may not be changed by this user; choose another place\.$", capsys.readouterr().err)
        assert list(Path("kept").iterdir()) == []


def test_nothing_is_overwritten_unless_that_is_wanted(folder: Path, capsys) -> None:
    assert main(["fit", "data.npz", "--out", "run", "--max_steps", "2", *FIT]) == 0
    capsys.readouterr()
    commands = {
        "a.npz": ["sample", "run", "-n", "4", "--out", "a.npz"],
        "a.h5": ["sample", "run", "-n", "4", "--workers", "1", "--out", "a.h5"],
        "e.npz": ["encode", "run", "run", "--out", "e.npz"],
        "f.png": ["describe", "data.npz", "--figure", "f.png"],
        "s.json": ["compare", "run", "a.npz", "--json", "s.json"],
        "d.json": ["decode", "run", "--json", "d.json"],
        "run/report.html": ["report", "run"],
        "r.html": ["report", "run", "--out", "r.html"],
    }
    for name, words in commands.items():
        Path(name).write_text("precious")
        assert main(words) == 2
        assert capsys.readouterr().err == (
            f"spikeloom: error: {name} exists; name another file, or add --overwrite to replace it.\n"
        )
        assert Path(name).read_text() == "precious"
    for name in ("a.npz", "a.h5", "e.npz", "f.png"):
        assert main([*commands[name], "--overwrite"]) == 0
        assert Path(name).read_bytes() != b"precious"
    assert hidden(folder) == []


def test_functions_of_python_replace_files_as_users_of_numpy_expect(tmp_path: Path) -> None:
    data = sl.SpikeData(counts(), bin_s=0.02)
    for _ in range(2):
        sl.save(data, tmp_path / "a.npz")
    assert sl.load(tmp_path / "a.npz").n_trials == data.n_trials


def test_no_output_is_named_twice_on_the_pages_that_users_follow(folder: Path, monkeypatch, capsys) -> None:
    """Commands in the order of the pages, of which each only makes the files that it would write."""

    def write(command: Command, options: Namespace) -> None:
        assert command.files is not None
        for path in [path for path in command.files(options) if path is not None]:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("made")

    for name, command in COMMANDS.items():
        monkeypatch.setitem(COMMANDS, name, replace(command, run=partial(write, command)))
    # The runs are not there: the folder of a session is where it would be.
    monkeypatch.setattr(judging, "in_session", lambda run, session: Path(run) / (session or ""))
    trained = []
    for page in pages.written_pages():
        for words in pages.commands(page):
            if COMMANDS[words[0]].files is not None:
                assert main(words) == 0, f"{page.name}: {' '.join(words)}: {capsys.readouterr().err}"
            out = value_of("--out", words)
            if words[0] in ("fit", "navigate", "demo") and "--resume" not in words and out is not None:
                assert out not in trained, f"{page.name}: {' '.join(words)}: the folder {out} exists"
                trained.append(out)
    assert len(trained) > 3
    assert main(["sample", "runs/session", "-n", "5", "--out", "generated.npz"]) == 2


def test_two_benchmarks_in_one_folder_from_python(folder: Path) -> None:
    process = python("from spikeloom.locks import locked\nlock = locked('scores')\nlock.__enter__()")
    with pytest.raises(RunError, match=rf"scores is in use by process {process.pid}"):
        run_generation_benchmark("scores", "data.npz")
    process.kill()
    process.wait()
