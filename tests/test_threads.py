"""How many threads a training computes with: chosen by its size, or by the user; recorded, and kept when resumed."""

import json
import shutil
import sys

import pytest
import torch

import spikeloom as sl
from spikeloom import threads
from spikeloom.cli import main
from spikeloom.data.simulated.lorenz import lorenz
from spikeloom.models.presets import preset_config
from spikeloom.models.registry import model_class
from spikeloom.training.engine import Engine
from spikeloom.workflow import fitting


@pytest.fixture
def eight_cores(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr(threads, "cores", lambda: 8)


@pytest.fixture
def seen(monkeypatch):
    """Numbers of threads of torch during trainings, which do not take place."""
    numbers = []
    monkeypatch.setattr(fitting, "train", lambda *args, **options: numbers.append(torch.get_num_threads()))
    return numbers


@pytest.mark.parametrize(
    ("preset", "trials", "bins", "number"),
    [("ldns", 300, 442, 1), ("ldns-demo", 3500, 256, 1), ("ldns-lorenz", 3500, 256, 8)],
)
def test_the_default_size_takes_one_thread_and_the_published_one_all_cores(preset, trials, bins, number, eight_cores):
    model = model_class("ldns").make(lorenz(n_trials=12, n_bins=32), preset_config(preset), 0)
    assert Engine().for_training(model, trials, bins).threads == number
    assert Engine(threads=3).for_training(model, trials, bins).threads == 3


def test_processes_of_one_machine_share_its_cores(eight_cores):
    assert threads.threads_for(1e12) == 8
    assert threads.threads_for(1e12, processes=4) == 2
    assert threads.threads_for(1e12, processes=16) == 1


@pytest.mark.parametrize(("value", "number"), [("4", 4), ("4,2", 4), ("", None), ("many", None), ("0", None)])
def test_the_user_decides(value, number, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert threads.set_by_user() == number
    if number:
        assert threads.threads_for(0.0) == number


def test_libraries_begin_with_one_thread_which_is_not_the_users_choice(eight_cores, monkeypatch):
    for name in ("SPIKELOOM_ONE_THREAD", "GOMP_SPINCOUNT"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    threads.prepare_environment()
    assert "OMP_NUM_THREADS" not in threads.os.environ, "too late for libraries that are there"
    monkeypatch.setenv("OMP_NUM_THREADS", "")
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.delitem(sys.modules, "torch")
    threads.prepare_environment()
    assert threads.os.environ["OMP_NUM_THREADS"] == "1"
    assert threads.threads_for(1e12) == 8
    threads.choose(2)
    assert threads.threads_for(1e12) == 2


def test_the_number_is_recorded_and_a_resumed_training_keeps_it(toy, run, tmp_path, seen):
    engine = json.loads((sl.Run.open(run).folder / "environment.json").read_text())["engine"]
    assert engine["threads"] == 1  # as tests are run
    assert main(["fit", toy, "--out", str(tmp_path / "a"), "--threads", "2"]) == 0
    assert seen == [2]
    assert torch.get_num_threads() == 1, "the number is given back"
    assert json.loads((tmp_path / "a" / "environment.json").read_text())["engine"]["threads"] == 2
    assert main(["fit", toy, "--out", str(tmp_path / "a"), "--resume"]) == 0
    fitting.resume(tmp_path / "a")
    assert seen == [2, 2, 2]


def test_runs_that_have_recorded_none_are_resumed(toy, run, tmp_path, seen):
    folder = tmp_path / "old"
    shutil.copytree(run, folder)
    (folder / "weights.safetensors").unlink()
    facts = json.loads((folder / "environment.json").read_text())
    del facts["engine"]["threads"]
    (folder / "environment.json").write_text(json.dumps(facts))
    fitting.resume(folder)
    assert seen == [1]


def test_models_without_a_run_are_trained_so_too(toy, monkeypatch):
    from spikeloom.models import base

    seen = []
    monkeypatch.setattr(base, "fit", lambda *args, **options: seen.append(torch.get_num_threads()))
    sl.LDNS("ldns").fit(sl.load(toy), engine=Engine(threads=2))
    assert seen == [2]
