"""Every command and line of Python of README and how-to pages works, on a small session in place of the reader's."""

import json
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

import spikeloom as sl
from commands import FIT, TINY, TINY_EAG, tiny_of
from pages import ROOT, blocks, commands, commands_in, python, written_pages
from spikeloom.cli import main
from spikeloom.config import preset_files

README = "README.md"
START = "docs/start.md"
HOW_TO = "docs/howto"
TEXT = "\n".join(page.read_text(encoding="utf-8") for page in written_pages())


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


def run_small(typed: list[list[str]], capsys) -> None:
    """Run commands, with models as small as they can be."""
    for words in typed:
        model = words[words.index("--model") + 1] if words[0] == "fit" else ""
        extra = ["--max_steps", "2", "--device", "cpu", *tiny_of(model)] if model else []
        assert main([*words, *extra]) == 0, capsys.readouterr().err


def test_every_command_of_the_readme(folder, capsys):
    for words in commands(README):
        if words[0] == "fit":
            assert main([*words, *FIT]) == 0, capsys.readouterr().err
        elif words[0] == "sample":
            assert main(words) == 0, capsys.readouterr().err
    assert sl.load("first.npz").n_trials == 500
    assert [words[0] for words in commands(README)] == ["sample", "demo", "fit", "sample", "report"]  # tried elsewhere


@pytest.mark.slow
def test_every_command_about_an_own_recording(folder, capsys):
    typed = commands(f"{HOW_TO}/recording.md")
    assert {words[0] for words in typed} == {"describe", "fit", "report", "sample", "compare"}
    for words in typed:
        assert main([*words, *(FIT if words[0] == "fit" else [])]) == 0, capsys.readouterr().err
    for made in ("runs/session/report.html", "generated.npz", "scores.json"):
        assert (folder / made).is_file()
    assert sl.load("generated.npz").n_trials == 500


def test_every_command_about_a_behaviour(folder, capsys):
    (folder / "wanted.csv").write_text("reach_angle_deg\n0\n90\n120\n")
    for words in [w for w in commands(f"{HOW_TO}/conditions.md") if w[0] in ("fit", "sample") and "--resume" not in w]:
        assert main([*words, *(FIT if words[0] == "fit" else [])]) == 0, capsys.readouterr().err
    assert set(sl.load("towards_45.npz").trials["reach_angle_deg"]) == {45.0}
    assert sl.load("wanted.npz").trials["reach_angle_deg"].tolist() == [0.0, 90.0, 120.0]
    assert "hand_vel" in sl.load("as_recorded.npz").signals


def test_every_command_about_given_trials(folder, capsys):
    run_small(commands(f"{HOW_TO}/context.md"), capsys)
    held_out = sl.load("runs/eag").split("test").counts
    for name, known in (("continued", [*range(40)]), ("filled", [*range(40), *range(100, 140)])):
        np.testing.assert_array_equal(sl.load(f"{name}.npz").counts[:, known], held_out[:, known])
    assert "| context |" in (folder / "forecasts" / "forecast.md").read_text()


def test_every_command_about_live(folder, capsys, monkeypatch):
    """The page and the loop are tried in test_live_program; here they end at once."""
    from spikeloom.cli import live

    begun = []
    monkeypatch.setattr(live, "_page", lambda session, options: begun.append("page"))
    monkeypatch.setattr(live, "_by_lsl", lambda session, options: begun.append("lsl"))
    run_small([[w for w in words if w != "--realtime"] for words in commands(f"{HOW_TO}/live.md")], capsys)
    assert begun == ["page", "lsl"]
    assert "hand_vel" in sl.load("driven.npz").signals


@pytest.mark.slow
def test_every_command_about_sessions(folder, capsys):
    for name in ("monday", "tuesday", "wednesday_sorted", "thursday", "later"):
        (folder / f"{name}.nwb").write_bytes((folder / "session.nwb").read_bytes())
    cut = ["--align", "go_cue_time", "--before_s", "0.2", "--after_s", "0.5"]
    assert main(["fit", "monday.nwb", "--bin_s", "0.02", *cut, "--out", "runs/monday", *FIT]) == 0
    typed = commands(f"{HOW_TO}/sessions.md")
    assert [words[0] for words in typed] == ["fit", "sample", "report", "adapt", "adapt", "sample", "adapt"]
    for words in typed:
        few = ["--adding.training.steps", "2"] if words[0] in ("fit", "adapt") else []
        more = {"fit": [*cut, *FIT, *few], "adapt": [*cut, "--device", "cpu", *few]}.get(words[0], [])
        assert main([*words, *more]) == 0, capsys.readouterr().err
    assert sl.load("wed.npz").n_trials == 200
    assert sl.load("pretrained.npz").n_neurons == 52
    assert sl.load_model("runs/later").adapted_from["same_neurons"]


def test_every_command_about_baselines(folder, capsys):
    run_small(commands(f"{HOW_TO}/baselines.md"), capsys)
    assert "hand_vel" in sl.load("with_behaviour.npz").signals
    np.testing.assert_allclose(sl.load("towards_120.npz").trials["reach_angle_deg"], 120.0)
    assert "| lfads |" in (folder / "scores" / "inference.md").read_text()


@pytest.mark.slow
def test_every_command_about_searches(folder, capsys):
    pytest.importorskip("ray")
    fewer = {"1000000": "140", "16": "1", "20": "2"}
    small = ["--generations", "2", "--generation_steps", "2", "--first_generation_steps", "2"]
    for words in commands(f"{HOW_TO}/searches.md"):
        extra = [*small, *tiny_of("lfads")] if words[0] == "tune" else []
        assert main([*(fewer.get(word, word) for word in words), *extra]) == 0, capsys.readouterr().err
    assert sl.load("many.h5").n_trials == 140


@pytest.mark.filterwarnings("ignore::spikeloom.errors.SpikeloomWarning")
def test_every_command_about_decoders(folder, capsys):
    (fit,) = [words for words in commands(f"{HOW_TO}/conditions.md") if "fit" in words and "runs/reaching" in words]
    assert main([*fit, *FIT]) == 0, capsys.readouterr().err
    for words in commands(f"{HOW_TO}/decoders.md"):
        extra = ["--decoders", "ridge", "--seeds", "2", "--fractions", "1", "--ratios", "1"]
        assert main([*words, *(extra if words[0] == "decode" else [])]) == 0, capsys.readouterr().err
    assert (folder / "decoding.png").is_file()


def test_every_published_recording_that_is_named_has_a_recipe():
    from spikeloom.data.published.datasets import PUBLISHED

    page = (ROOT / HOW_TO / "published.md").read_text(encoding="utf-8")
    (table,) = re.findall(r"\| name \| recording .*?\n\n", page, re.DOTALL)
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
    run_small(commands(f"{HOW_TO}/codes.md"), capsys)
    for made in (
        "traversal/traversal.png",
        "traversal/traversal.csv",
        "traversal/samples.npz",
        "traversal_right/samples.npz",
    ):
        assert (folder / made).is_file()
    assert "code_1" in sl.load("encoded.npz").trials


@pytest.fixture(scope="module")
def program() -> str:
    """All Python of README and the page on Python as one program."""
    return python(README, f"{HOW_TO}/python.md")


def test_python_runs(folder, program, capsys):
    for large, small in (
        ('"ldns", max_steps=500)', '"ldns", max_steps=2, latents=3, **LDNS)'),
        ('"ldns", latents=8, max_steps=500', '"ldns", latents=8, max_steps=2, **LDNS'),
        ('"ldns", autoencoder=small', '"ldns", **PRIOR, autoencoder=small'),
        ('"eag", out="runs/python", max_steps=500', '"eag", out="runs/python", max_steps=2, **EAG'),
        ('"steps": 200', '"steps": 2'),
        ("sample(500", "sample(40"),
    ):
        assert large in program
        program = program.replace(large, small)
    namespace: dict = {
        "LDNS": {name: size for name, size in TINY.items() if name != "autoencoder.latents"},
        "PRIOR": {name: size for name, size in TINY.items() if name.startswith("prior")},
        "EAG": {
            name: size for name, size in (TINY | TINY_EAG).items() if not name.startswith("prior") or name in TINY_EAG
        },
    }
    exec(compile(program, "README.md", "exec"), namespace)
    printed = capsys.readouterr().out
    assert "rate_rmse" in printed
    assert namespace["score"].verdict in printed
    assert "\nldns  " in printed
    assert (folder / "runs" / "python" / "weights.safetensors").is_file()
    continued, data = namespace["continued"], namespace["data"]
    np.testing.assert_array_equal(continued.counts[:, :40], data.counts[:20, :40])


def test_types_in_python_are_known(tmp_path, program):
    """Pyright knows every name and type: it finds no error, and no value is of unknown type."""
    pytest.importorskip("pyright")
    (tmp_path / "readme.py").write_text(
        "# pyright: strict\n" + program + "reveal_type(score)\nreveal_type(generated)\n"
    )
    (tmp_path / "pyrightconfig.json").write_text(json.dumps({"reportMissingTypeStubs": False}))
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, "readme.py"]
    try:
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240)
        found = json.loads(done.stdout)["generalDiagnostics"]
    except (ValueError, KeyError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"pyright cannot start here (it needs node): {error}")
    revealed = [d["message"] for d in found if d["severity"] == "information"]
    assert revealed == ['Type of "score" is "Comparison"', 'Type of "generated" is "SpikeData"']
    lines = program.splitlines()
    assert [(lines[d["range"]["start"]["line"] - 1], d["message"]) for d in found if d["severity"] == "error"] == []


def test_every_file_and_preset_that_is_named_exists():
    for name in re.findall(r"`?((?:benchmarks|src)/[\w./]+\.\w+)`?", TEXT):
        assert (ROOT / name).exists(), name
    for name in re.findall(r"--(?:model|preset) ([\w-]+)", TEXT):
        assert name in preset_files(), name


def test_make_targets_that_are_named_exist():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"`make ([\w-]+)`|^make ([\w-]+)", TEXT, re.MULTILINE):
        assert re.search(rf"^{''.join(target)}:", makefile, re.MULTILINE), target


WRITTEN_BY_THE_SITE = ("measured/", "generated/", "examples/")
"""Folders of pages that are there once the site has been built."""


@pytest.mark.parametrize("page", [*written_pages(), *sorted(ROOT.glob("*.md"))], ids=lambda page: page.name)
def test_every_link_and_picture_of_a_page_is_there(page):
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s#]+)[^)]*\)", text):
        if not re.match(r"\w+:", target) and not target.startswith(WRITTEN_BY_THE_SITE):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("tab", ["nwb", "arrays", "times", "pynapple"])
def test_the_first_page_works_from_every_kind_of_recording(folder, tab, capsys):
    """Python of one way to load, and of the steps behind it; commands follow, where the tab has a file."""
    if tab == "pynapple":
        pytest.importorskip("pynapple")
    chosen = [b for b in blocks(START) if b.tab == tab or b.section[0] in "23"]
    typed = "\n".join(b.text for b in chosen if b.language == "python")
    sizes = {name: size for name, size in TINY.items() if name != "autoencoder.latents"}
    typed = typed.replace("max_steps=500", "max_steps=2, latents=3, **SIZES").replace("sample(300", "sample(40")
    exec(compile(typed, START, "exec"), {"SIZES": sizes})
    assert "rate_rmse" in capsys.readouterr().out
    assert (folder / "report.html").is_file()
    for words in [words for block in chosen for words in commands_in(block)]:
        if tab == "nwb" or words[0] == "describe":
            assert main([*words, *(FIT if words[0] == "fit" else [])]) == 0, capsys.readouterr().err


@pytest.mark.parametrize("name", ["trials", "export", "trackers"])
def test_python_of_pages_that_need_no_recording_runs(name, folder, capsys):
    if name == "export":
        for package in ("pynapple", "xarray", "neo"):
            pytest.importorskip(package)
    page = f"{HOW_TO}/{name}.md"
    typed = python(page)
    assert typed
    exec(compile(typed, page, "exec"), {})
    if name == "trials":
        run_small(commands(page), capsys)
        assert "| forward |" in (folder / "forward-scores" / "inference.md").read_text()
