"""The command line: every verb, what it leaves, and one line with status 2 for whatever it cannot do."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
import zipfile
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

import spikeloom as package
from spikeloom import workflow
from spikeloom.cli import VERBS, main
from spikeloom.config import presets
from spikeloom.data import files, sources
from spikeloom.data.files import load, save
from spikeloom.data.sources import load_source, with_default_splits
from spikeloom.data.spikedata import Signal, SpikeData
from spikeloom.errors import SpikeloomWarning
from spikeloom.models.latent import LatentModel
from spikeloom.run import Run

TINY = {
    "autoencoder.channels": 12,
    "autoencoder.latents": 3,
    "autoencoder.state": 4,
    "autoencoder.encoder_blocks": 1,
    "prior.channels": 8,
    "prior.blocks": 1,
    "prior.state": 4,
    "prior.sampling_steps": 3,
}


def tiny(*prefixes):
    """Options that make a model small."""
    return [w for k, v in TINY.items() if not prefixes or k.startswith(prefixes) for w in (f"--{k}", str(v))]


FIT = ["--max_steps", "2", "--device", "cpu", *tiny()]


def counts(n_trials=24, n_bins=20, n_neurons=5, seed=0):
    return np.random.default_rng(seed).poisson(0.5, (n_trials, n_bins, n_neurons))


@pytest.fixture(scope="session")
def shop(tmp_path_factory):
    """A recording and a run trained on it, for tests that only read them."""
    folder = tmp_path_factory.mktemp("shop")
    np.savez(folder / "toy.npz", counts=counts(), bin_s=0.02)
    assert main(["fit", str(folder / "toy.npz"), "--out", str(folder / "run"), *FIT]) == 0
    return folder


@pytest.fixture
def toy(shop):
    return str(shop / "toy.npz")


@pytest.fixture
def run(shop):
    return str(shop / "run")


@pytest.fixture
def refused(capsys, tmp_path, monkeypatch):
    """Run a command in an empty folder; expect status 2, one line, and nothing written. Returns the line."""
    monkeypatch.chdir(tmp_path)

    def check(*words):
        before = sorted(tmp_path.rglob("*"))
        capsys.readouterr()
        assert main([str(w) for w in words]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        lines = err.strip().splitlines()
        assert len(lines) == 1, err
        assert lines[0].startswith("spikeloom: error: ")
        assert lines[0].endswith((".", "?")), lines[0]
        assert sorted(tmp_path.rglob("*")) == before
        return lines[0]

    return check


def spikeloom(*words, **options):
    """Run the program in a process of its own."""
    command = [sys.executable, "-m", "spikeloom", *map(str, words)]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=env, **options)


class TestHelp:
    def test_help_imports_nothing_heavy(self):
        code = (
            "import sys; from spikeloom.cli import main; main(['--help']);"
            "heavy = {'torch', 'numpy', 'scipy', 'pandas', 'h5py', 'jsonargparse', 'lightning_fabric', 'matplotlib'};"
            "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
        assert done.stderr.strip() == "[]"
        assert all(f"\n  {verb}" in done.stdout for verb in VERBS)

    @pytest.mark.parametrize("verb", list(VERBS))
    def test_every_verb_tells_its_options(self, verb, capsys):
        assert main([verb, "--help"]) == 0
        out = capsys.readouterr().out
        assert VERBS[verb].help in out
        assert "CONFIG_PATH" not in out

    def test_fit_tells_the_options_of_the_preset(self, capsys):
        assert main(["fit", "--model", "ldns-lorenz", "--help"]) == 0
        out = " ".join(capsys.readouterr().out.split())
        assert "Share of counts hidden from the encoder in training" in out
        assert "--prior.sampling_steps SAMPLING_STEPS Network passes per sample. (type: int, default: 1000)" in out

    def test_no_command_is_help(self, capsys):
        assert main([]) == 0
        assert "usage: spikeloom COMMAND" in capsys.readouterr().out

    def test_version(self, capsys):
        assert main(["--version"]) == 0
        assert capsys.readouterr().out.strip() == package.__version__


class TestBrokenFiles:
    """Every deliberately broken file, by every verb that reads one."""

    SAID: ClassVar = {
        "truncated.nwb": "truncated or damaged",
        "no_units.nwb": "units",
        "trial_stop_before_start.nwb": "trial 3",
        "negative_counts.npz": "trial 2, bin 7, neuron 1",
        "nan_counts.npz": "trial 3, bin 4, neuron 2",
        "fractional_counts.npz": "trial 1, bin 1, neuron 1",
        "wrong_axes.npz": "5",
        "mismatched_lengths.npz": "9",
        "pickled_objects.npz": "object arrays",
    }

    @pytest.mark.parametrize("name", list(SAID))
    def test_all_verbs_refuse(self, name, recordings, refused, run, toy, tmp_path):
        path = recordings / "broken" / name
        for words in (
            ["describe", path],
            ["fit", path, "--out", tmp_path / "new", *FIT],
            ["encode", run, path, "--out", tmp_path / "a.npz"],
            ["sample", run, "--out", tmp_path / "a.npz", "--like", path],
            ["compare", path, toy],
            ["compare", toy, path, "--json", tmp_path / "a.json"],
            ["report", run, "--generated", path, "--out", tmp_path / "a.html"],
        ):
            line = refused(*words)
            assert name in line
            assert self.SAID[name] in line

    def test_a_preset_with_an_unknown_key(self, recordings, refused, toy, tmp_path):
        theirs = yaml.safe_load((recordings / "broken" / "unknown_key.yaml").read_text())["model"]
        mine = tmp_path / "mine.yaml"
        mine.write_text(yaml.safe_dump({"model": theirs["kind"], "autoencoder": theirs["autoencoder"]}))
        line = refused("fit", toy, "--model", mine, "--out", tmp_path / "new")
        assert "'autoencoder.smoothnes_lags'; did you mean 'autoencoder.smoothness_lags'?" in line
        assert "mine.yaml" in line
        assert "model" in refused("fit", toy, "--model", recordings / "broken" / "unknown_key.yaml", "--out", "new")

    def test_an_empty_and_a_missing_file_and_a_folder(self, refused, tmp_path):
        (tmp_path / "empty.npz").write_bytes(b"")
        (tmp_path / "folder").mkdir()
        assert "empty" in refused("describe", tmp_path / "empty.npz")
        assert "did you mean" in refused("describe", tmp_path / "emty.npz")
        assert "did you mean 'lorenz'" in refused("describe", "lorens")
        assert "not a run" in refused("describe", tmp_path / "folder")


class TestOddRecordings:
    def write(self, tmp_path, values, **arrays):
        np.savez(tmp_path / "odd.npz", counts=values, bin_s=0.02, **arrays)
        return tmp_path / "odd.npz"

    def test_one_trial_cannot_be_split(self, refused, tmp_path):
        file = self.write(tmp_path, counts(n_trials=1))
        assert "at least three trials" in refused("fit", file, "--out", "new", *FIT)
        assert main(["describe", str(file)]) == 0

    @pytest.mark.parametrize("n_trials", [3, 4])
    def test_the_fewest_trials_are_fitted(self, n_trials, tmp_path):
        file = self.write(tmp_path, counts(n_trials=n_trials))
        assert main(["fit", str(file), "--out", str(tmp_path / "new"), *FIT]) == 0

    @pytest.mark.filterwarnings("ignore")
    @pytest.mark.parametrize("odd", ["one neuron", "silent neuron", "one bin", "all silent", "ragged"])
    def test_they_go_all_the_way(self, odd, tmp_path, capsys):
        values = counts(n_neurons=1 if odd == "one neuron" else 5, n_bins=1 if odd == "one bin" else 20)
        if odd == "silent neuron":
            values[:, :, 2] = 0
        if odd == "all silent":
            values[:] = 0
        more = {"lengths": np.random.default_rng(1).integers(3, 21, 24)} if odd == "ragged" else {}
        file, new = str(self.write(tmp_path, values, **more)), str(tmp_path / "new")
        assert main(["fit", file, "--out", new, *FIT]) == 0
        assert main(["sample", new, "--out", str(tmp_path / "g.npz"), "-n", "12"]) == 0
        assert main(["encode", new, file, "--out", str(tmp_path / "e.npz")]) == 0
        status = main(["compare", new, str(tmp_path / "g.npz")])
        err = capsys.readouterr().err
        assert status == 0 or ("spikeloom: error: " in err and status == 2)
        weights = load_file(tmp_path / "new" / "weights.safetensors")
        assert all(torch.isfinite(v).all() for v in weights.values())

    def test_a_bin_wider_than_a_trial(self, refused, toy):
        assert "wider than the longest trial" in refused("fit", toy, "--out", "new", "--bin_s", "2", *FIT)

    def test_sizes_that_do_not_fit(self, refused, run, tmp_path):
        file = self.write(tmp_path, counts(n_neurons=4))
        assert "4 neurons" in refused("encode", run, file, "--out", "a.npz")
        assert "4" in refused("compare", run, file)
        wide = tmp_path / "wide.npz"
        np.savez(wide, counts=counts(), bin_s=0.05)
        assert "0.05" in refused("encode", run, wide, "--out", "a.npz")


class TestBadOptions:
    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["--prior.blok", "2"], "no option --prior.blok; did you mean --prior.blocks?"),
            (["--prior.blocks", "two"], "--prior.blocks is 'two', but must be a whole number"),
            (["--prior.blocks", "0"], "0 blocks"),
            (["--prior.kernel", "s5"], "prior.kernel is 's5'"),
            (["--prior_training.steps", "0"], "steps is 0"),
            (["--autoencoder", "nofile.yaml"], "--autoencoder names the file 'nofile.yaml'"),
            (["--model", "lnds"], "did you mean 'ldns'?"),
            (["--max_steps", "0"], "max_steps is 0"),
            (["--max_steps", "1.5"], "--max_steps is '1.5', but must be a whole number"),
            (["--seed", "-1"], "seed is -1"),
            (["--device", "banana"], "device banana"),
            (["--precision", "banana"], "precision is 'banana', but must be one of"),
            (["--strategy", "banana"], "strategy banana"),
            (["--devices", "0"], "devices is 0"),
            (["--neurons", "good"], "no neuron column 'good'"),
            (["--window_s", "9"], "longer than the longest trial"),
            (["--align", "go"], "give after_s"),
            (["--before_s", "1"], "before_s"),
            (["extra.npz"], "no option extra.npz"),
            (["--signals", "velocity"], "no signal 'velocity'"),
        ],
    )
    def test_of_fit(self, words, said, refused, toy):
        assert said in refused("fit", toy, "--out", "new", *FIT, *words)

    @pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
    def test_a_device_that_is_not_there(self, refused, toy, run):
        assert "device cuda" in refused("fit", toy, "--out", "new", "--device", "cuda")
        assert "device cuda" in refused("sample", run, "--out", "a.npz", "--device", "cuda")

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["-n", "0"], "-n is 0, but must be >0"),
            (["-n", "two"], "-n is 'two', but must be a whole number"),
            (["--length", "0"], "--length is 0"),
            (["--steps", "0"], "--steps is 0"),
            (["--steps", "2000"], "2000 sampling steps"),
            (["--sampler", "magic"], "'magic'"),
            (["--seed", "-1"], "--seed is -1"),
            (["--like", "nothing.npz"], "there is no file 'nothing.npz'"),
            (["--like", "lorenz", "--length", "3"], "give one of them"),
            (["--out", "a.csv"], "'.csv' is not known"),
            (["--out", "."], "is not known"),
        ],
    )
    def test_of_sample(self, words, said, refused, run):
        assert said in refused("sample", run, "--out", "a.npz", *words)

    def test_of_the_others(self, refused, run, toy, tmp_path):
        assert "did you mean 'fit'?" in refused("fti")
        assert "missing: out" in refused("fit", toy)
        assert "missing: source" in refused("describe")
        assert "heldout" in refused("compare", toy, toy, "--protocol", "x")
        assert "is a folder" in refused("compare", toy, run)
        assert "is a folder" in refused("compare", toy, toy, "--json", tmp_path)
        assert "is a folder" in refused("report", run, "--out", tmp_path)
        assert "is a folder; fit to a recording" in refused("fit", run, "--out", "new", *FIT)
        assert "not a run folder" in refused("report", tmp_path)
        assert "not a run folder" in refused("sample", tmp_path / "nothing", "--out", "a.npz")
        assert "not a run folder" in refused("encode", toy, toy, "--out", "a.npz")
        assert "brings its own reading" in refused("describe", run, "--bin_s", "0.04")

    def test_occupied_folders(self, refused, toy, run, tmp_path):
        assert "add --resume to continue" in refused("fit", toy, "--out", run, *FIT)
        (tmp_path / "notes.txt").write_text("mine")
        assert "not an empty folder; choose another --out" in refused("demo", "--out", tmp_path)
        assert "is a file, not a folder" in refused("fit", toy, "--out", tmp_path / "notes.txt" / "run", *FIT)

    def test_too_much_for_the_memory(self, refused, run, monkeypatch):
        def sample(*args, **kwargs):
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory")

        monkeypatch.setattr(LatentModel, "sample", sample)
        assert "not enough memory; ask for fewer" in refused("sample", run, "--out", "a.npz", "-n", "5")


class TestFullDisk:
    def full(self, *args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    @pytest.mark.parametrize("ending", ["npz", "h5", "nwb"])
    def test_sample_leaves_nothing(self, ending, refused, run, monkeypatch):
        if ending == "nwb":
            monkeypatch.setattr("spikeloom.data.nwb_export.write_nwb", self.full)
        else:
            monkeypatch.setitem(files._WRITE, f".{ending}", self.full)
        monkeypatch.setattr("spikeloom.models.latent.warnings.warn", lambda *a, **k: None)
        assert "no space is left" in refused("sample", run, "--out", f"a.{ending}", "-n", "2")

    def test_fit_leaves_nothing(self, refused, toy, monkeypatch):
        monkeypatch.setattr(Path, "write_text", self.full)
        assert "No space left" in refused("fit", toy, "--out", "new", *FIT)

    def test_a_disk_that_is_really_full(self, toy, run):
        """On a small file system in memory, where one can be mounted."""
        code = (
            "import os, sys, subprocess, tempfile; d = tempfile.mkdtemp();"
            "ok = subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=16k', 'tmpfs', d], capture_output=True);"
            "sys.exit(77) if ok.returncode else None;"
            "from spikeloom.cli import main;"
            "a = main(['sample', sys.argv[1], '--out', d + '/a.npz', '-n', '200']); left = os.listdir(d);"
            "b = main(['fit', sys.argv[2], '--out', d + '/run', *sys.argv[3:]]);"
            "files = sorted(os.path.relpath(os.path.join(p, f), d) for p, _, fs in os.walk(d) for f in fs);"
            "subprocess.run(['umount', d]); os.rmdir(d); print([a, left, b, files])"
        )
        done = subprocess.run(
            ["unshare", "-m", sys.executable, "-c", code, run, toy, *FIT], capture_output=True, text=True, timeout=120
        )
        if done.returncode:
            pytest.skip("no file system can be mounted here")
        first, left, second, files = eval(done.stdout.strip().splitlines()[-1])
        assert (first, left, second) == (2, [], 2), done.stderr
        assert all(not Path(f).name.startswith(".") and "weights" not in f for f in files), files
        assert "Traceback" not in done.stderr


class TestFit:
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

    @pytest.mark.parametrize("preset", sorted(presets()))
    def test_every_preset_trains_and_samples(self, preset, toy, tmp_path):
        small = tiny("autoencoder") if preset == "gaussian" else tiny()
        new = str(tmp_path / "new")
        assert main(["fit", toy, "--model", preset, "--out", new, "--max_steps", "2", "--device", "cpu", *small]) == 0
        assert main(["sample", new, "--out", str(tmp_path / "g.npz"), "-n", "2"]) == 0
        assert load(tmp_path / "g.npz").n_trials == 2

    def test_same_seed_same_weights(self, toy, run, tmp_path):
        for seed in (0, 1):
            assert main(["fit", toy, "--out", str(tmp_path / f"{seed}"), "--seed", str(seed), *FIT]) == 0
        a, b, c = (load_file(Path(f) / "weights.safetensors") for f in (run, tmp_path / "0", tmp_path / "1"))
        assert all(torch.equal(v, b[k]) for k, v in a.items())
        assert any(not torch.equal(v, c[k]) for k, v in a.items())

    def test_only_our_warnings_are_shown(self, run, tmp_path, capsys, monkeypatch):

        sample = LatentModel.sample

        def noisy(self, *args, **options):
            warnings.warn("for programmers", UserWarning, stacklevel=1)
            warnings.warn("look\nhere", SpikeloomWarning, stacklevel=1)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return sample(self, *args, **options)

        monkeypatch.setattr(LatentModel, "sample", noisy)
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
            (["--max_steps", "1"], "autoencoder_training.steps 2, but 1 was asked"),
            (["--prior.blocks", "2"], "has prior.blocks 1, but 2 was asked"),
            (["--seed", "5"], "has seed 0, but 5 was asked"),
            (["--bin_s", "0.04"], "has bin_s None, but 0.04 was asked"),
            (["--model", "gaussian"], "has model 'ldns', but 'gaussian' was asked"),
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
            ("data.json", "reading", [1], "damaged"),
            ("data.json", "reading", {"x": 1}, "no reading option 'x'"),
            ("data.json", "splits", {"train": [99]}, ""),
            ("data.json", "splits", 3, ""),
        ],
    )
    def test_a_stranger_may_say_anything(self, name, key, value, said, cut, refused):
        content = Run(cut / "run").read_json(name)
        Run(cut / "run").write_json(name, content | {key: value})
        assert said in refused("fit", cut / "toy.npz", "--out", cut / "run", "--resume")

    def test_a_real_kill(self, tmp_path):
        """Killed while it trains, resumed to the very weights of a training that was not."""
        file, words = tmp_path / "toy.npz", ["--device", "cpu", *tiny(), "--prior_training.validate_every", "5"]
        np.savez(file, counts=counts(), bin_s=0.02)
        fit = ["fit", file, *words, "--autoencoder_training.steps", 3, "--prior_training.steps", 400]
        assert spikeloom(*fit, "--out", tmp_path / "whole").returncode == 0
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
        done = spikeloom(*fit, "--out", tmp_path / "run", "--resume")
        assert done.returncode == 0, done.stderr
        a, b = (load_file(tmp_path / f / "weights.safetensors") for f in ("whole", "run"))
        assert all(torch.equal(v, b[k]) for k, v in a.items())
        assert len(Run(tmp_path / "run").metrics()) == len(Run(tmp_path / "whole").metrics())


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


def test_two_processes_fail_as_one(toy, tmp_path):
    done = spikeloom(
        "fit", toy, "--out", tmp_path / "two", *FIT, "--devices", 2, "--prior_training.learning_rate", 1e30
    )
    assert done.returncode == 2
    errors = [line for line in done.stderr.splitlines() if "error" in line.lower()]
    assert len(errors) == 1, done.stderr
    assert "the loss of stage 'prior'" in errors[0]


class TestSample:
    def test_numbers_lengths_and_seeds(self, run, toy, tmp_path):
        def sampled(name, *words):
            assert main(["sample", run, "--out", str(tmp_path / name), *words]) == 0
            return load(tmp_path / name)

        assert sampled("a.npz").n_trials == load_source(run).split("test").n_trials
        a, b, c = (sampled(f"{i}.npz", "-n", "3", "--length", "31", "--seed", str(i % 2)) for i in range(3))
        assert a.counts.shape == (3, 31, 5)
        np.testing.assert_array_equal(a.counts, c.counts)
        assert not np.array_equal(a.counts, b.counts)
        like = sampled("l.h5", "--like", toy, "-n", "30")
        assert like.n_trials == 30
        assert set(like.lengths) == {20}
        few = sampled("f.npz", "--steps", "2", "--sampler", "ddim", "-n", "2")
        assert few.provenance["steps"] == 2

    def test_like_takes_the_lengths_of_held_out_trials(self, run, tmp_path):
        data = SpikeData(counts(), bin_s=0.02, lengths=np.arange(24) % 20 + 1).assign_splits(
            {"train": 0.5, "test": 0.5}
        )
        save(data, tmp_path / "ragged.h5")
        assert main(["sample", run, "--like", str(tmp_path / "ragged.h5"), "--out", str(tmp_path / "g.npz")]) == 0
        np.testing.assert_array_equal(load(tmp_path / "g.npz").lengths, data.split("test").lengths)

    def test_nwb_says_that_it_is_synthetic(self, run, tmp_path):
        import h5py

        assert main(["sample", run, "--out", str(tmp_path / "g.nwb"), "-n", "3"]) == 0
        with h5py.File(tmp_path / "g.nwb") as file:
            told = " ".join(str(file[k][()]) for k in ("session_description", "identifier") if k in file).lower()
        assert "synthetic" in told or "generated" in told
        assert load(tmp_path / "g.nwb").n_trials == 3

    def test_a_model_without_a_sampler_takes_no_sampler(self, toy, refused, tmp_path):
        small = [*tiny("autoencoder"), "--max_steps", "2", "--device", "cpu"]
        assert main(["fit", toy, "--model", "gaussian", "--out", str(tmp_path / "g"), *small]) == 0
        assert "has no sampler to set" in refused("sample", tmp_path / "g", "--out", "a.npz", "--steps", "3")


def test_encode_leaves_the_recording_with_latents_and_rates(run, toy, tmp_path, capsys):
    assert main(["encode", run, toy, "--out", str(tmp_path / "e.h5")]) == 0
    encoded = load(tmp_path / "e.h5")
    np.testing.assert_array_equal(encoded.counts, counts())
    assert encoded.latents.shape == (24, 20, 3)
    assert (encoded.rates > 0).all()
    capsys.readouterr()
    assert main(["describe", str(tmp_path / "e.h5")]) == 0
    assert "rates and 3 latents" in capsys.readouterr().out


class TestDescribe:
    def test_words(self, tmp_path, capsys):
        data = with_default_splits(
            SpikeData(
                counts(),
                bin_s=0.02,
                signals={"hand_velocity": Signal(np.zeros((24, 20, 2)), "mm/s", ("x", "y"))},
            )
        )
        save(data, tmp_path / "a.h5")
        assert main(["describe", str(tmp_path / "a.h5")]) == 0
        out = capsys.readouterr().out
        for line in (
            "trials          24 of 20 bins (0.4 s), 9.6 s in all",
            "signals         hand_velocity (x, y in mm/s)",
            "splits          train 17, val 3, test 4",
        ):
            assert line in out

    def test_json_is_strict(self, toy, capsys):
        assert main(["describe", toy, "--json"]) == 0
        content = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
        assert content["trials"] == 24
        assert content["provenance"]["notes"] == ["counts is 'counts', by its name"]

    def test_guesses_are_told_line_by_line(self, toy, capsys):
        assert main(["describe", toy]) == 0
        assert "notes           counts is 'counts', by its name\n" in capsys.readouterr().out


class TestCompare:
    def test_files_of_any_program(self, run, toy, tmp_path, capsys):
        np.savez(tmp_path / "theirs.npz", spikes=counts(seed=3), bin_s=0.02)
        scores = tmp_path / "scores.json"
        for protocol in ("heldout", "ldns"):
            for real in (run, toy):
                words = [real, str(tmp_path / "theirs.npz"), "--protocol", protocol, "--json", str(scores)]
                assert main(["compare", *words]) == 0
                content = json.loads(scores.read_text(), parse_constant=pytest.fail)
                assert content["protocol"] == protocol
                assert content["verdict"] in capsys.readouterr().out

    def test_a_run_brings_its_own_split(self, run, tmp_path, capsys):
        np.savez(tmp_path / "theirs.npz", spikes=counts(seed=3), bin_s=0.02)
        assert main(["compare", run, str(tmp_path / "theirs.npz")]) == 0
        assert "brought no split" not in capsys.readouterr().out


def test_report(run, tmp_path, capsys):
    pytest.importorskip("spikeloom.report.page")
    assert main(["report", run, "--out", str(tmp_path / "r.html")]) == 0
    assert "</html>" in (tmp_path / "r.html").read_text()
    assert f"report: {tmp_path / 'r.html'}" in capsys.readouterr().out


def test_demo_leaves_everything(tmp_path, monkeypatch, capsys):
    pytest.importorskip("spikeloom.report.page")
    small = with_default_splits(SpikeData(counts(), bin_s=0.02))
    monkeypatch.setitem(sources.DATASETS, "lorenz", lambda: small)
    preset = workflow.preset_config
    changes: dict = {}
    for key, value in TINY.items():
        part, name = key.split(".")
        changes.setdefault(part, {})[name] = value
    monkeypatch.setattr("spikeloom.workflow.preset_config", lambda name: preset(name, changes, 2))
    out = tmp_path / "demo"
    assert main(["demo", "--out", str(out)]) == 0
    assert {p.name for p in out.iterdir()} == {"run", "generated.npz", "scores.json", "report.html"}
    json.loads((out / "scores.json").read_text(), parse_constant=pytest.fail)
    assert load_source(out / "run").n_trials == 24


@pytest.mark.slow
def test_a_wheel_holds_what_the_program_reads(tmp_path):
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path)]
    source = tmp_path / "source"
    root = Path(__file__).parents[1]
    source.mkdir()
    shutil.copytree(root / "src", source / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        if (root / name).exists():
            shutil.copy(root / name, source)
    done = subprocess.run([*command, str(source)], capture_output=True, text=True)
    if "No module named 'setuptools'" in done.stderr or "BackendUnavailable" in done.stderr:
        pytest.skip("setuptools is not installed")
    assert done.returncode == 0, done.stderr
    names = zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist()
    assert {f"spikeloom/presets/{name}.yaml" for name in presets()} <= set(names)
    assert any(n.startswith("spikeloom/report/") and n.endswith(".html") for n in names)
