"""The command line: every command, and what it leaves."""

import json
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import spikeloom as package
from commands import FIT_EAG, TINY, counts, tiny
from spikeloom.cli import COMMANDS, main
from spikeloom.config import preset_files
from spikeloom.data import sources
from spikeloom.data.files import load, save
from spikeloom.data.sources import load_source
from spikeloom.data.spikedata import Signal, SpikeData
from spikeloom.data.splits import with_default_splits
from spikeloom.models.presets import preset_config


class TestHelp:
    def test_help_imports_nothing_heavy(self):
        code = (
            "import sys; from spikeloom.cli import main; main(['--help']);"
            "heavy = {'torch', 'numpy', 'scipy', 'pandas', 'h5py', 'jsonargparse', 'lightning_fabric', 'matplotlib'};"
            "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
        assert done.stderr.strip() == "[]"
        assert all(f"\n  {command}" in done.stdout for command in COMMANDS)

    @pytest.mark.parametrize("command", list(COMMANDS))
    def test_every_command_lists_its_options(self, command, capsys):
        assert main([command, "--help"]) == 0
        out = capsys.readouterr().out
        assert COMMANDS[command].help in out
        assert "CONFIG_PATH" not in out

    @pytest.mark.parametrize("command", list(COMMANDS))
    def test_it_is_written_for_people(self, command, capsys):
        assert main([command, "--help"]) == 0
        out = capsys.readouterr().out
        assert not re.search(r"<class|type:|PositiveInt|Optional|default: (null|None|True|False)", out)
        assert out.index("[options]") < 120  # one line, instead of every option once more

    def test_an_entry_has_the_kind_of_value_and_its_default(self, capsys):
        assert main(["fit", "--help", "all"]) == 0
        out = " ".join(capsys.readouterr().out.split())
        assert out.startswith("usage: spikeloom fit source --out PATH [options] train a model")
        assert "--out PATH run folder to make (required)" in out
        assert "--max_steps INTEGER upper limit of the steps of every training stage --" in out
        assert "--seed INTEGER Seed of initial weights and of everything drawn in training. (default: 0)" in out
        assert "rather than the last. (default: true)" in out
        assert "never when not set. (default: 8; null for none)" in out

    def test_fit_lists_the_options_of_the_preset(self, capsys):
        assert main(["fit", "--model", "ldns-lorenz", "--help", "all"]) == 0
        out = " ".join(capsys.readouterr().out.split())
        assert "Share of counts hidden from the encoder in training" in out
        assert "--prior.sampling_steps INTEGER Network passes per sample. (default: 1000)" in out

    @pytest.mark.parametrize("command", list(COMMANDS))
    def test_it_fits_a_screen_and_ends_with_examples_that_are_understood(self, command, capsys, monkeypatch):
        monkeypatch.setenv("COLUMNS", "100")
        assert main([command, "--help"]) == 0
        out = capsys.readouterr().out
        assert len(out.splitlines()) <= 60
        assert max(map(len, out.splitlines())) <= 120
        examples = re.findall(rf"^  spikeloom {command} ?(.*)$", out, re.MULTILINE)
        assert tuple(examples) == COMMANDS[command].examples
        parsed = []
        monkeypatch.setitem(COMMANDS, command, replace(COMMANDS[command], run=parsed.append, files=None, folder=None))
        for example in examples:
            assert main([command, *shlex.split(example)]) == 0, capsys.readouterr().err
        assert len(parsed) == len(examples) > 0

    def test_what_it_leaves_out_is_listed_on_demand(self, capsys):
        main(["fit", "--help"])
        short = capsys.readouterr().out
        assert "--prior.sampling_steps" not in short
        assert "`spikeloom fit --help all` lists all options." in short
        assert main(["fit", "--help", "all"]) == 0
        assert "--prior.sampling_steps" in capsys.readouterr().out
        for command, about in COMMANDS.items():
            main([command, "--help"])
            shown = capsys.readouterr().out
            missing = [name for name in about.basic if f"--{name}" not in shown]
            assert not missing, (command, missing)

    def test_options_are_spelt_out(self, toy, tmp_path, capsys):
        assert main(["fit", toy, "--ou", str(tmp_path / "run")]) == 2
        assert "did you mean --out" in capsys.readouterr().err
        assert not (tmp_path / "run").exists()

    def test_no_command_is_help(self, capsys):
        assert main([]) == 0
        assert "usage: spikeloom COMMAND" in capsys.readouterr().out

    def test_version(self, capsys):
        assert main(["--version"]) == main(["-V"]) == 0
        assert capsys.readouterr().out.split() == [package.__version__] * 2


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
            description = " ".join(str(file[k][()]) for k in ("session_description", "identifier") if k in file).lower()
        assert "synthetic" in description or "generated" in description
        assert load(tmp_path / "g.nwb").n_trials == 3

    def test_begun_trials_are_continued_and_gaps_filled_in(self, toy, refused, tmp_path):
        run = str(tmp_path / "eag")
        assert main(["fit", toy, "--out", run, *FIT_EAG]) == 0
        test = load_source(run).split("test")

        def sampled(*words):
            assert main(["sample", run, "--out", str(tmp_path / "g.npz"), "--context", run, *words]) == 0
            return load(tmp_path / "g.npz")

        rest = sampled("--observed", "0:8", "--steps", "2", "--reveal_order", "random", "--temperature", "0.9")
        np.testing.assert_array_equal(rest.counts[:, :8], test.counts[:, :8])
        assert rest.n_bins == 20
        inner = sampled("--observed", ":5,15:")
        observed = (np.arange(20) < 5) | (np.arange(20) >= 15)
        np.testing.assert_array_equal(inner.counts[:, observed], test.counts[:, observed])
        assert sampled("--length", "50").n_bins == 50
        words = ("sample", run, "--out", "a.npz")
        assert "intervals of the 20 bins" in refused(*words, "--context", run, "--observed", "5:99")
        assert "give both" in refused(*words, "--observed", "0:5")
        assert "give one of them" in refused(*words, "--context", run, "--like", run)
        assert "has no option 'sampler'" in refused(*words, "--sampler", "ddim")

    def test_only_some_models_fill_in(self, run, refused):
        assert "trained without a context" in refused("sample", run, "--out", "a.npz", "--context", run)

    def test_a_model_without_a_sampler_takes_no_sampler(self, toy, refused, tmp_path):
        small = [*tiny("autoencoder"), "--max_steps", "2", "--device", "cpu"]
        assert main(["fit", toy, "--model", "gaussian", "--out", str(tmp_path / "g"), *small]) == 0
        assert "has no option 'steps'" in refused("sample", tmp_path / "g", "--out", "a.npz", "--steps", "3")


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
        assert len(content["provenance"]["notes"]) == 1
        assert "'counts' are taken as (trial, time, neuron)" in content["provenance"]["notes"][0]

    def test_guesses_are_reported_line_by_line(self, toy, capsys):
        assert main(["describe", toy]) == 0
        assert "notes           the axes of 'counts' are taken as (trial, time, neuron), " in capsys.readouterr().out


class TestCompare:
    @pytest.mark.slow
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


@pytest.mark.slow
def test_demo_leaves_everything(tmp_path, monkeypatch, capsys):
    pytest.importorskip("spikeloom.report.page")
    small = with_default_splits(SpikeData(counts(), bin_s=0.02))
    monkeypatch.setitem(sources.DATASETS, "lorenz", lambda: small)
    changes: dict = {}
    for key, value in TINY.items():
        part, name = key.split(".")
        changes.setdefault(part, {})[name] = value
    monkeypatch.setattr("spikeloom.workflow.fitting.preset_config", lambda name: preset_config(name, changes, 2))
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
    assert {f"spikeloom/presets/{name}.yaml" for name in preset_files()} <= set(names)
    assert any(n.startswith("spikeloom/report/") and n.endswith(".html") for n in names)
