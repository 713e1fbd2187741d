"""Every command and every line of Python in the README works, on a small session in place of the reader's own."""

import json
import re
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

import spikeloom as sl
from commands import FIT, TINY, TINY_EAG, tiny_of
from spikeloom.cli import main
from spikeloom.config import preset_files

README = (Path(__file__).parents[1] / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.fixture(scope="module")
def session(tmp_path_factory) -> Path:
    """An NWB file with trials, a go cue, behaviour and a few neurons, as a laboratory would write it."""
    from pynwb import NWBHDF5IO, NWBFile, TimeSeries

    rng = np.random.default_rng(0)
    nwb = NWBFile("a session for the README", "readme", datetime(2020, 1, 1, tzinfo=UTC))
    nwb.add_trial_column("go_cue_time", "when the cue came")
    nwb.add_trial_column("reach_angle_deg", "direction of the target")
    for i in range(30):
        nwb.add_trial(start_time=float(i), stop_time=i + 0.95, go_cue_time=i + 0.3, reach_angle_deg=45.0 * (i % 8))
    direction = np.deg2rad(45.0 * (np.arange(30) % 8 + rng.uniform(-0.2, 0.2, 30)))
    bump = np.exp(-(((np.arange(100) - 50) / 12.0) ** 2))  # every second a reach, as fast as a hand
    moves = 30 * bump[None, :, None] * np.stack([np.cos(direction), np.sin(direction)], 1)[:, None]
    speed = moves.reshape(3000, 2) + 0.1 * rng.normal(size=(3000, 2))
    velocity = TimeSeries(name="hand_vel", data=speed, unit="cm/s", starting_time=0.0, rate=100.0)
    nwb.create_processing_module("behavior", "movement of the hand").add(velocity)
    for _ in range(6):
        nwb.add_unit(spike_times=np.sort(rng.uniform(0, 30, 300)), obs_intervals=[[0.0, 30.0]])
    path = tmp_path_factory.mktemp("readme") / "session.nwb"
    with NWBHDF5IO(path, "w") as io:
        io.write(nwb)
    return path


@pytest.fixture
def folder(session, tmp_path, monkeypatch) -> Path:
    (tmp_path / "session.nwb").write_bytes(session.read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_every_command_about_an_own_recording(folder, capsys):
    (block,) = [b for b in blocks("") if "spikeloom describe session.nwb" in b]
    commands = [shlex.split(line, comments=True) for line in block.splitlines() if line.startswith("spikeloom ")]
    assert {c[1] for c in commands} == {"describe", "fit", "report", "sample", "compare"}
    for words in commands:
        extra = FIT if words[1] == "fit" else []
        assert main([*words[1:], *extra]) == 0, capsys.readouterr().err
    for made in ("runs/session/report.html", "generated.npz", "scores.json"):
        assert (folder / made).is_file()
    assert sl.load("generated.npz").n_trials == 500


def test_every_command_about_a_behaviour(folder, capsys):
    (block,) = [b for b in blocks("") if "--condition_on reach_angle_deg hand_vel" in b]
    (folder / "wanted.csv").write_text("reach_angle_deg\n0\n90\n120\n")
    for words in [shlex.split(line, comments=True) for line in block.splitlines()]:
        extra = FIT if words[1] == "fit" else []
        assert main([*words[1:], *extra]) == 0, capsys.readouterr().err
    assert set(sl.load("towards_45.npz").trials["reach_angle_deg"]) == {45.0}
    assert sl.load("wanted.npz").trials["reach_angle_deg"].tolist() == [0.0, 90.0, 120.0]
    assert "hand_vel" in sl.load("as_recorded.npz").signals


def test_every_command_about_given_trials(folder, capsys):
    (block,) = [b for b in blocks("") if "--context" in b]
    for words in [shlex.split(line, comments=True) for line in block.splitlines()]:
        model = words[words.index("--model") + 1] if words[1] == "fit" else ""
        extra = ["--max_steps", "2", "--device", "cpu", *tiny_of(model)] if model else []
        assert main([*words[1:], *extra]) == 0, capsys.readouterr().err
    held_out = sl.load("runs/eag").split("test").counts
    for name, known in (("continued", [*range(40)]), ("filled", [*range(40), *range(100, 140)])):
        np.testing.assert_array_equal(sl.load(f"{name}.npz").counts[:, known], held_out[:, known])
    assert "| context |" in (folder / "forecasts" / "forecast.md").read_text()


def test_every_command_about_live(folder, capsys, monkeypatch):
    """The page and the loop are tried in test_live_program; here they end at once."""
    from spikeloom.cli import live

    (block,) = [b for b in blocks("") if "--model live" in b]
    begun = []
    monkeypatch.setattr(live, "_page", lambda session, options: begun.append("page"))
    monkeypatch.setattr(live, "_by_lsl", lambda session, options: begun.append("lsl"))
    for words in [shlex.split(line, comments=True) for line in block.splitlines()]:
        extra = ["--max_steps", "2", "--device", "cpu", *tiny_of("live")] if words[1] == "fit" else []
        assert main([*(w for w in words[1:] if w != "--realtime"), *extra]) == 0, capsys.readouterr().err
    assert begun == ["page", "lsl"]
    assert "hand_vel" in sl.load("driven.npz").signals


def test_every_command_about_baselines(folder, capsys):
    (block,) = [b for b in blocks("") if "--model tndm" in b]
    for words in [shlex.split(line, comments=True) for line in block.splitlines()]:
        model = words[words.index("--model") + 1] if words[1] == "fit" else ""
        extra = ["--max_steps", "2", "--device", "cpu", *tiny_of(model)] if model else []
        assert main([*words[1:], *extra]) == 0, capsys.readouterr().err
    assert "hand_vel" in sl.load("with_behaviour.npz").signals
    np.testing.assert_allclose(sl.load("towards_120.npz").trials["reach_angle_deg"], 120.0)
    assert "| lfads |" in (folder / "scores" / "inference.md").read_text()


@pytest.mark.slow
def test_every_command_about_searches(folder, capsys):
    pytest.importorskip("ray")
    (block,) = [b for b in blocks("") if "spikeloom tune" in b]
    for many, few in (("-n 1000000 --workers 16", "-n 140 --workers 1"), ("--population 20", "--population 2")):
        block = block.replace(many, few)
    small = ["--generations", "2", "--generation_steps", "2", "--first_generation_steps", "2"]
    for words in [shlex.split(line, comments=True) for line in block.splitlines()]:
        extra = [*small, *tiny_of("lfads")] if words[1] == "tune" else []
        assert main([*words[1:], *extra]) == 0, capsys.readouterr().err
    assert sl.load("many.h5").n_trials == 140


@pytest.mark.filterwarnings("ignore::spikeloom.errors.SpikeloomWarning")
def test_every_command_about_decoders(folder, capsys):
    lines = [line for b in blocks("") for line in b.splitlines()]
    (fit,) = [line for line in lines if "fit session.nwb" in line and "runs/reaching" in line]
    assert main([*shlex.split(fit, comments=True)[1:], *FIT]) == 0, capsys.readouterr().err
    (block,) = [b for b in blocks("") if "spikeloom decode" in b]
    for words in [shlex.split(line, comments=True) for line in block.splitlines()]:
        extra = ["--decoders", "ridge", "--seeds", "2", "--fractions", "1", "--ratios", "1"]
        assert main([*words[1:], *(extra if words[1] == "decode" else [])]) == 0, capsys.readouterr().err
    assert (folder / "decoding.png").is_file()


def test_every_published_recording_that_is_named_has_a_recipe():
    from spikeloom.data.published.datasets import PUBLISHED

    (table,) = re.findall(r"\| name \| recording .*?\n\n", README, re.DOTALL)
    named = []
    for line in table.strip().splitlines()[2:]:
        first, *others = line.split("|")[1].strip().split(", ")
        named += [first] + [o if not o.startswith("_") else first.rsplit("_", 1)[0] + o for o in others]
    assert sorted(named) == sorted(PUBLISHED)


@pytest.mark.filterwarnings("ignore::spikeloom.errors.SpikeloomWarning")
@pytest.mark.slow
def test_every_command_about_codes(folder, capsys, monkeypatch):
    """The simulated recording is as it is, but small; the session has a reach every second."""
    import pandas as pd

    from spikeloom.data import sources

    def small() -> sl.SpikeData:
        rng = np.random.default_rng(0)
        target = rng.choice([-0.1, 0.0, 0.1], (80, 2))
        way = np.linspace(0, 1, 40)[None, :, None]
        activity = np.tanh((10 * target[:, None] * way) @ rng.normal(size=(2, 6)))
        signals = {"activity": sl.Signal(activity), "hand_position": sl.Signal(target[:, None] * way, "m", ("x", "y"))}
        table = pd.DataFrame({"target_x": target[:, 0], "target_y": target[:, 1]})
        data = sl.SpikeData(rng.poisson(0.2 * np.exp(activity)), bin_s=0.01, signals=signals, trials=table)
        return sl.hold_out(data, "target_x=0", "target_y=0")

    monkeypatch.setattr(sources, "DATASETS", {**sources.DATASETS, "reaching-ring": small})
    chosen = [b for b in blocks("") if "gnocchi" in b]
    assert len(chosen) == 2
    for words in [shlex.split(line, comments=True) for block in chosen for line in block.splitlines()]:
        extra = ["--max_steps", "2", "--device", "cpu", *tiny_of("gnocchi")] if words[1] == "fit" else []
        assert main([*words[1:], *extra]) == 0, capsys.readouterr().err
    for made in (
        "traversal/traversal.png",
        "traversal/traversal.csv",
        "traversal/samples.npz",
        "traversal_right/samples.npz",
    ):
        assert (folder / made).is_file()
    assert "code_1" in sl.load("encoded.npz").trials


@pytest.fixture(scope="module")
def python() -> str:
    """All Python of the README as one program, with a comment before each block that names its line."""
    parts = []
    for block in blocks("python"):
        line = README[: README.index(block)].count("\n") + 1
        parts.append(f"# README.md, line {line}\n{block}")
    assert len(parts) >= 3
    return "\n".join(parts)


def test_python_runs(folder, python, capsys):
    for large, small in (
        ('"ldns", latents=8, max_steps=500', '"ldns", latents=8, max_steps=2, **LDNS'),
        ('"ldns", autoencoder=small', '"ldns", **PRIOR, autoencoder=small'),
        ('"eag", out="runs/python", max_steps=500', '"eag", out="runs/python", max_steps=2, **EAG'),
        ('"steps": 200', '"steps": 2'),
        ("sample(500", "sample(40"),
    ):
        assert large in python
        python = python.replace(large, small)
    namespace: dict = {
        "LDNS": {name: size for name, size in TINY.items() if name != "autoencoder.latents"},
        "PRIOR": {name: size for name, size in TINY.items() if name.startswith("prior")},
        "EAG": {
            name: size for name, size in (TINY | TINY_EAG).items() if not name.startswith("prior") or name in TINY_EAG
        },
    }
    exec(compile(python, "README.md", "exec"), namespace)
    printed = capsys.readouterr().out
    assert "rate_rmse" in printed
    assert namespace["score"].verdict in printed
    assert "\nldns  " in printed
    assert (folder / "runs" / "python" / "weights.safetensors").is_file()
    continued, data = namespace["continued"], namespace["data"]
    np.testing.assert_array_equal(continued.counts[:, :40], data.counts[:20, :40])


def test_types_in_python_are_known(tmp_path, python):
    """Pyright knows every name and type: it finds no error, and no value is of unknown type."""
    pytest.importorskip("pyright")
    (tmp_path / "readme.py").write_text("# pyright: strict\n" + python + "reveal_type(score)\nreveal_type(generated)\n")
    (tmp_path / "pyrightconfig.json").write_text(json.dumps({"reportMissingTypeStubs": False}))
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, "readme.py"]
    try:
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240)
        found = json.loads(done.stdout)["generalDiagnostics"]
    except (ValueError, KeyError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"pyright cannot start here (it needs node): {error}")
    revealed = [d["message"] for d in found if d["severity"] == "information"]
    assert revealed == ['Type of "score" is "Comparison"', 'Type of "generated" is "SpikeData"']
    lines = python.splitlines()
    assert [(lines[d["range"]["start"]["line"] - 1], d["message"]) for d in found if d["severity"] == "error"] == []


def test_every_file_and_preset_that_is_named_exists():
    root = Path(__file__).parents[1]
    for name in re.findall(r"`?((?:benchmarks|src)/[\w./]+\.\w+)`?", README):
        assert (root / name).exists(), name
    for name in re.findall(r"--(?:model|preset) ([\w-]+)", README):
        assert name in preset_files(), name


def test_make_targets_that_are_named_exist():
    makefile = (Path(__file__).parents[1] / "Makefile").read_text()
    for target in re.findall(r"`?make (\w+)`?", README):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
