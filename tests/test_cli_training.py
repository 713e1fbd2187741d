"""Training by command: the run folder, kills and resumption, and several processes."""

import os
import signal
import subprocess
import sys
import time
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from commands import FIT, counts, spikeloom, tiny, tiny_of
from spikeloom.cli import main
from spikeloom.config import preset_files
from spikeloom.data.files import load, save
from spikeloom.data.spikedata import Signal, SpikeData
from spikeloom.errors import SpikeloomWarning
from spikeloom.models.sampling import generate
from spikeloom.training.run import Run


@pytest.fixture(scope="module")
def reaches(tmp_path_factory):
    """Trials of different lengths, with an angle and a velocity under two names each."""
    rng = np.random.default_rng(0)
    data = SpikeData(
        rng.poisson(0.4, (24, 26, 4)),
        bin_s=0.02,
        lengths=rng.integers(14, 27, 24),
        trials=pd.DataFrame({"reach_angle_deg": rng.uniform(-180, 180, 24), "cue": rng.uniform(-3, 3, 24)}),
        signals={name: Signal(rng.normal(size=(24, 26, 2)), "m/s", ("x", "y")) for name in ("hand_vel", "cursor_vel")},
    )
    path = tmp_path_factory.mktemp("reaches") / "reaches.npz"
    save(data, path)
    return str(path)


class TestFit:
    def test_trials_too_short_for_the_published_history_are_refused_before_training(self, refused, toy):
        line = refused("fit", toy, "--observation", "published_history", "--out", "run")
        assert "the longest training trial has 20 bins" in line

    def test_the_run_folder_is_complete(self, run, toy):
        folder = Path(run)
        assert {p.name for p in folder.iterdir()} == {
            "config.yaml",
            "environment.json",
            "data.json",
            "metrics.csv",
            "weights.safetensors",
        }
        config = Run(folder).read_yaml("config.yaml")
        assert config["prior"]["blocks"] == 1
        assert config["prior"]["patch"] == 4
        assert config["prior_training"]["steps"] == 2
        record = Run(folder).read_json("data.json")
        assert record["source"] == toy
        assert sorted(i for part in record["splits"].values() for i in part) == list(range(24))
        assert Run(folder).read_json("environment.json")["preset"] == "ldns"

    def test_options_beat_presets_beat_defaults(self, toy, tmp_path):
        mine = tmp_path / "mine.yaml"
        mine.write_text("model: ldns\nprior: {blocks: 2, huber: 0.3, clamp: 4}\n")
        new = tmp_path / "new"
        words = ["--prior.blocks", "3", "--prior.huber", "null", "--prior.channels=12"]
        assert main(["fit", toy, f"--model={mine}", "--out", str(new), *FIT, *words]) == 0
        prior = Run(new).read_yaml("config.yaml")["prior"]
        assert (prior["blocks"], prior["huber"], prior["clamp"], prior["channels"]) == (3, None, 4.0, 12)
        assert prior["patch"] == 4

    @pytest.mark.filterwarnings("ignore:the power of the sampled latents")
    @pytest.mark.parametrize("preset", sorted(preset_files()))
    def test_every_preset_trains_and_samples(self, preset, reaches, tmp_path):
        """Made smaller, on trials of different lengths with a reach angle and a hand velocity."""
        small = tiny_of(preset)
        new, out = str(tmp_path / "new"), tmp_path / "g.npz"
        fit = ["fit", reaches, "--model", preset, "--out", new, "--max_steps", "2", "--device", "cpu", *small]
        assert main(fit) == 0
        conditions = {"angle": ["reach_angle_deg=45deg"], "velocity": ["hand_vel=0.3,-0.1"]}.get(
            preset.rpartition("-")[2]
        )
        condition = ["--condition", *conditions] if conditions else []
        assert main(["sample", new, "--out", str(out), "-n", "3", *condition]) == 0
        sample = load(out)
        assert sample.n_trials == 3
        assert set(sample.lengths) <= set(load(reaches).lengths)
        if conditions:
            assert list(sample.provenance["conditioned_on"]) == [conditions[0].partition("=")[0]]

    def test_the_condition_of_a_preset_may_have_another_name(self, reaches, tmp_path):
        for preset, name in (("ldns-mc-maze-angle", "cue:rad"), ("ldns-mc-maze-velocity", "cursor_vel")):
            new = tmp_path / preset
            words = ["--model", preset, "--condition_on", name, "--out", str(new), *FIT]
            assert main(["fit", reaches, *words]) == 0
            assert Run(new).read_yaml("config.yaml")["condition_on"] == [name]
            assert len(Run(new).read_json("data.json")["recording"]["variables"]) == 1

    def test_a_preset_with_a_condition_needs_it(self, toy, refused, tmp_path):
        words = ["fit", toy, "--model", "ldns-mc-maze-angle", "--out", tmp_path / "new", *FIT]
        assert "no signal and no trial column 'reach_angle_deg'" in refused(*words)

    def test_same_seed_same_weights(self, toy, run, tmp_path):
        for seed in (0, 1):
            assert main(["fit", toy, "--out", str(tmp_path / f"{seed}"), "--seed", str(seed), *FIT]) == 0
        a, b, c = (load_file(Path(f) / "weights.safetensors") for f in (run, tmp_path / "0", tmp_path / "1"))
        assert all(torch.equal(v, b[k]) for k, v in a.items())
        assert any(not torch.equal(v, c[k]) for k, v in a.items())

    def test_only_our_warnings_are_shown(self, run, tmp_path, capsys, monkeypatch):

        def noisy(*args):
            warnings.warn("for programmers", UserWarning, stacklevel=1)
            warnings.warn("look\nhere", SpikeloomWarning, stacklevel=1)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return generate(*args)

        monkeypatch.setattr("spikeloom.models.sampling.generate", noisy)
        assert main(["sample", run, "--out", str(tmp_path / "a.npz"), "-n", "2"]) == 0
        assert capsys.readouterr().err == "spikeloom: warning: look here\n"


class TestResume:
    def test_a_finished_run_stays_as_it_is(self, toy, run, capsys):
        before = {p: p.stat().st_mtime_ns for p in Path(run).iterdir()}
        assert main(["fit", toy, "--out", run, "--resume"]) == 0
        assert main(["fit", toy, "--out", run, "--resume", *FIT]) == 0
        assert {p: p.stat().st_mtime_ns for p in Path(run).iterdir()} == before

    def test_changes_are_refused(self, toy, run, refused, tmp_path):
        np.savez(tmp_path / "other.npz", counts=counts(seed=1), bin_s=0.02)
        resume = ["--out", run, "--resume"]
        for words, said in (
            (["--max_steps", "1"], "autoencoder_training.steps 2, but 1 was requested"),
            (["--prior.blocks", "2"], "has prior.blocks 1, but 2 was requested"),
            (["--seed", "5"], "has seed 0, but 5 was requested"),
            (["--bin_s", "0.04"], "has bin_s None, but 0.04 was requested"),
            (["--model", "gaussian"], "has model 'ldns', but 'gaussian' was requested"),
        ):
            assert said in refused("fit", toy, *resume, *words)
        assert "other.npz" in refused("fit", tmp_path / "other.npz", *resume)

    def test_what_is_no_run(self, toy, refused, tmp_path):
        assert "not a run folder" in refused("fit", toy, "--out", tmp_path / "nothing", "--resume")
        assert "not a run folder" in refused("fit", toy, "--out", tmp_path, "--resume")

    @pytest.fixture
    def cut(self, tmp_path, monkeypatch, capsys):
        """A run whose training was stopped by the keyboard in its second stage."""
        file = tmp_path / "toy.npz"
        np.savez(file, counts=counts(), bin_s=0.02)
        with monkeypatch.context() as patch:

            def interrupted(*args):
                raise KeyboardInterrupt

            patch.setattr("spikeloom.priors.diffusion.DiffusionPrior.loss", interrupted)
            assert main(["fit", str(file), "--out", str(tmp_path / "run"), *FIT]) == 130
        last = capsys.readouterr().err.splitlines()[-1]
        assert last == "spikeloom: stopped; continue with the same command and --resume."
        return tmp_path

    def test_it_goes_on(self, cut, run):
        assert main(["fit", str(cut / "toy.npz"), "--out", str(cut / "run"), "--resume"]) == 0
        a, b = (load_file(Path(f) / "weights.safetensors") for f in (run, cut / "run"))
        assert all(torch.equal(v, b[k]) for k, v in a.items())

    def test_an_unfinished_run_cannot_be_used(self, cut, refused):
        for words in (["sample", cut / "run", "--out", "a.npz"], ["report", cut / "run"]):
            assert "no weights yet" in refused(*words)

    def test_a_changed_recording_is_refused(self, cut, refused):
        np.savez(cut / "toy.npz", counts=counts(seed=1), bin_s=0.02)
        assert "is not the one" in refused("fit", cut / "toy.npz", "--out", cut / "run", "--resume")
        (cut / "toy.npz").unlink()
        assert "there is no file" in refused("fit", cut / "toy.npz", "--out", cut / "run", "--resume")

    @pytest.mark.parametrize(
        ("name", "key", "value", "said"),
        [
            ("environment.json", "engine", [1], "names with values"),
            ("environment.json", "engine", {"devices": "many"}, "devices"),
            ("environment.json", "engine", {"plugins": "x"}, "unknown key 'plugins'"),
            ("data.json", "load_options", [1], "damaged"),
            ("data.json", "load_options", {"x": 1}, "no load option 'x'"),
            ("data.json", "splits", {"train": [99]}, ""),
            ("data.json", "splits", 3, ""),
        ],
    )
    def test_a_stranger_may_say_anything(self, name, key, value, said, cut, refused):
        content = Run(cut / "run").read_json(name)
        Run(cut / "run").write_json(name, content | {key: value})
        assert said in refused("fit", cut / "toy.npz", "--out", cut / "run", "--resume")

    @pytest.mark.slow
    def test_a_real_kill(self, tmp_path):
        """Killed while it trains, resumed to the very weights of a training that was not."""
        file, words = tmp_path / "toy.npz", ["--device", "cpu", *tiny(), "--prior_training.validate_every", "5"]
        np.savez(file, counts=counts(), bin_s=0.02)
        fit = ["fit", file, *words, "--autoencoder_training.steps", 3, "--prior_training.steps", 150]
        assert main([*map(str, fit), "--out", str(tmp_path / "whole")]) == 0
        started = subprocess.Popen(
            [sys.executable, "-m", "spikeloom", *map(str, fit), "--out", str(tmp_path / "run")],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
        )
        metrics = tmp_path / "run" / "metrics.csv"
        for _ in range(3000):
            if metrics.exists() and "prior,10," in metrics.read_text():
                break
            time.sleep(0.01)
        started.send_signal(signal.SIGKILL)
        assert started.wait() == -signal.SIGKILL
        started.stderr.close()
        assert not (tmp_path / "run" / "weights.safetensors").exists()
        assert main([*map(str, fit), "--out", str(tmp_path / "run"), "--resume"]) == 0
        a, b = (load_file(tmp_path / f / "weights.safetensors") for f in ("whole", "run"))
        assert all(torch.equal(v, b[k]) for k, v in a.items())
        assert len(Run(tmp_path / "run").metrics()) == len(Run(tmp_path / "whole").metrics())


@pytest.mark.slow
def test_two_processes_train_as_one(toy, run, tmp_path):
    done = spikeloom("fit", toy, "--out", tmp_path / "two", *FIT, "--devices", 2)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"trained: {tmp_path / 'two'}\n"
    assert [line.split(":")[0] for line in done.stderr.splitlines()] == ["autoencoder", "prior"]
    one, two = Run(Path(run)).metrics(), Run(tmp_path / "two").metrics()
    assert one.step.equals(two.step)
    np.testing.assert_allclose(one.validation_loss, two.validation_loss, rtol=2e-3)
    assert Run(tmp_path / "two").read_json("environment.json")["device"] == "2 x cpu"
    assert main(["sample", str(tmp_path / "two"), "--out", str(tmp_path / "g.npz"), "-n", "2"]) == 0


@pytest.mark.slow
def test_two_processes_fail_as_one(toy, tmp_path):
    done = spikeloom(
        "fit", toy, "--out", tmp_path / "two", *FIT, "--devices", 2, "--prior_training.learning_rate", 1e30
    )
    assert done.returncode == 2
    errors = [line for line in done.stderr.splitlines() if "error" in line.lower()]
    assert len(errors) == 1, done.stderr
    assert "the loss of stage 'prior'" in errors[0]


def test_two_processes_are_interrupted_as_one(toy, tmp_path):
    """The first alone gets the signal, as where a batch system signals the process that it has started."""
    endless = ["--max_steps", "100000", "--autoencoder_training.patience", "null"]
    words = ["fit", toy, "--out", tmp_path / "two", *FIT, *endless, "--devices", "2"]
    started = subprocess.Popen(
        [sys.executable, "-m", "spikeloom", *map(str, words)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        metrics = tmp_path / "two" / "metrics.csv"
        for _ in range(9000):
            if started.poll() is not None or (metrics.exists() and metrics.read_text().count("autoencoder,") > 1):
                break
            time.sleep(0.01)
        started.send_signal(signal.SIGTERM)
        _, said = started.communicate(timeout=60)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGKILL)
    assert started.returncode == 143, said
    assert said.splitlines()[-1] == "spikeloom: stopped; continue with the same command and --resume."
    assert (tmp_path / "two" / "resume" / "state.safetensors").exists()
