"""Searches on Ray itself, which takes seconds to start: one for all, with room for a training at a time."""

import subprocess
import sys

import numpy as np
import pytest
from safetensors.torch import load_file

pytest.importorskip("ray")

from commands import counts
from spikeloom.errors import ConfigError
from spikeloom.tuning import Resources, SearchConfig, tune
from spikeloom.tuning.jobs import ray_jobs
from spikeloom.tuning.member import Job, Outcome
from spikeloom.workflow.ray_cluster import cluster
from test_tuning_search import PBT, lfads, searched, space


@pytest.fixture(scope="module")
def ray():
    with cluster(cpus=1) as started:
        yield started


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    path = tmp_path_factory.mktemp("recording") / "toy.npz"
    np.savez(path, counts=counts(), bin_s=0.02)
    return str(path)


@pytest.mark.slow
def test_jobs_that_fail_or_die_end_no_other(ray):
    def work(job):
        import os

        if job.member == 1:
            raise ValueError("no power")
        if job.member == 2:
            os._exit(3)
        return Outcome(None if job.until == 7 else "another until", (f"threads {os.environ['OMP_NUM_THREADS']}",))

    with ray_jobs(Resources()) as jobs:
        outcomes = {job.member: outcome for job, outcome in jobs.run([Job(m, "", 7) for m in range(3)], work)}
    assert sorted(outcomes) == [0, 1, 2]
    assert outcomes[0] == Outcome(None, ("threads 1",))
    assert "no power" in str(outcomes[1].error)
    assert "its process ended" in str(outcomes[2].error)
    assert ray.is_initialized()  # it was there before


@pytest.mark.slow
def test_a_population_is_the_same_as_without_ray(ray, recording, tmp_path):
    """Four members, two generations, one of which may break; trained in other processes, then here."""
    entries = {"training.learning_rate": {"choices": [1e-3, 1e30], "weight": 0.01}, "dropout": {"low": 0, "high": 0.6}}
    search = SearchConfig(method="pbt", population=4, generations=2, generation_steps=2, tolerance=-1.0, seed=1)
    options = {"space": space(**entries), "config": lfads()}
    joined = Resources(address="auto")  # so that the end is trained there, too
    tuned = tune(recording, "lfads", tmp_path / "ray", search=search, resources=joined, **options)
    first = tuned.table.query("generation == 1").set_index("member")
    broken = first["training.learning_rate"] == 1e30
    assert 0 < broken.sum() < 4
    assert first.loc[broken, "score"].isna().all()
    assert first.loc[broken, "error"].str.contains("the loss of stage").all()
    searched(recording, tmp_path / "here", search, **options)
    assert (tmp_path / "ray" / "trials.csv").read_bytes() == (tmp_path / "here" / "trials.csv").read_bytes()
    there, here = (load_file(tmp_path / name / "best" / "weights.safetensors") for name in ("ray", "here"))
    assert all(bool((value == here[name]).all()) for name, value in there.items())
    assert {p.name for p in (tmp_path / "ray").iterdir()} >= {"best", "tuning.md", "tuning.png"}
    assert not list((tmp_path / "ray").rglob("*.pkl"))


def test_random_search(ray, recording, tmp_path):
    search = SearchConfig(method="random", trials=2, seed=2)
    tuned = tune(recording, "lfads", tmp_path / "out", space(), search, config=lfads(**{"training.steps": 3}))
    assert list(tuned.table["member"]) == [0, 1]
    assert tuned.score == tuned.table["score"].min()
    assert (tuned.best / "weights.safetensors").is_file()


def test_more_than_there_is(ray, recording, tmp_path):
    with pytest.raises(ConfigError, match="each training is to have 3 cpus, but Ray has 1; ask for fewer"):
        tune(recording, "lfads", tmp_path / "out", space(), PBT, Resources(cpus=3.0), config=lfads())
    assert not (tmp_path / "out").exists()
    with pytest.raises(ConfigError, match="each training is to have 1 gpus, but Ray has 0"):
        tune(recording, "lfads", tmp_path / "out", space(), PBT, Resources(gpus=1.0), config=lfads())


def test_nothing_else_imports_ray():
    modules = "spikeloom.cli.training, spikeloom.workflow.fitting, spikeloom.tuning.search"
    code = f"import sys, {modules}; print('ray' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "False"
