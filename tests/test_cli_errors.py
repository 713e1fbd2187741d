"""One line with status 2, and nothing written, for whatever the command line cannot do."""

import errno
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from commands import FIT, counts
from spikeloom.cli import main
from spikeloom.data import files


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
            (["--align", "go"], "no trial column 'go' to align to"),
            (["--bin_s", "20"], "did you mean 0.02 (20 ms)?"),
            (["--reaches", "hand"], "no signal 'hand' for --reaches"),
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
        assert "brings its own load options" in refused("describe", run, "--bin_s", "0.04")

    def test_occupied_folders(self, refused, toy, run, tmp_path):
        assert "add --resume to continue" in refused("fit", toy, "--out", run, *FIT)
        (tmp_path / "notes.txt").write_text("mine")
        assert "not an empty folder; choose another --out" in refused("demo", "--out", tmp_path)
        assert "is a file, not a folder" in refused("fit", toy, "--out", tmp_path / "notes.txt" / "run", *FIT)

    def test_too_much_for_the_memory(self, refused, run, monkeypatch):
        def sample(*args, **kwargs):
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory")

        monkeypatch.setattr("spikeloom.models.sampling.generate", sample)
        assert "not enough memory; ask for fewer" in refused("sample", run, "--out", "a.npz", "-n", "5")


class TestFullDisk:
    def full(self, *args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    @pytest.mark.parametrize("ending", ["npz", "h5", "nwb"])
    def test_sample_leaves_nothing(self, ending, refused, run, monkeypatch):
        if ending == "nwb":
            monkeypatch.setattr("spikeloom.data.formats.nwb.export.write_nwb", self.full)
        else:
            monkeypatch.setitem(files._WRITE, f".{ending}", self.full)
        monkeypatch.setattr("spikeloom.models.latent.warn", lambda *a, **k: None)
        assert "no space is left" in refused("sample", run, "--out", f"a.{ending}", "-n", "2")

    def test_fit_leaves_nothing(self, refused, toy, monkeypatch):
        monkeypatch.setattr(Path, "write_text", self.full)
        assert "No space left" in refused("fit", toy, "--out", "new", *FIT)

    @pytest.mark.slow
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
