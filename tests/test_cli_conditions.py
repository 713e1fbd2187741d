"""Conditions on the command line: of training, and requested by name, in tables and by a recording to imitate."""

import json

import numpy as np
import pandas as pd
import pytest
import yaml

from commands import FIT as TINY
from commands import counts
from spikeloom.cli import main
from spikeloom.data.files import load, save
from spikeloom.data.spikedata import Signal, SpikeData

FIT = ["--observation", "poisson", *TINY]
ANGLES = np.tile([0, 45, 90, 135], 6)
ON = ["--condition_on", "reach_angle", "side", "vel"]


def recording(**changes):
    table = {"reach_angle": ANGLES.astype(float), "condition": ANGLES, "side": ["left", "right, far"] * 12} | changes
    vel = np.random.default_rng(1).normal(size=(24, 20, 2))
    return SpikeData(counts(), bin_s=0.02, trials=pd.DataFrame(table), signals={"vel": Signal(vel, "cm/s", ("x", "y"))})


@pytest.fixture(scope="session")
def reaches(tmp_path_factory):
    """A recording with conditions and a run that was trained with them."""
    folder = tmp_path_factory.mktemp("reaches")
    save(recording(), folder / "toy.npz")
    assert main(["fit", str(folder / "toy.npz"), "--out", str(folder / "run"), *FIT, *ON]) == 0
    return folder


@pytest.fixture
def sample(reaches, tmp_path, capsys):
    """Sample from the run and read what was written."""

    def sample(*words):
        out = tmp_path / "sample.npz"
        assert main(["sample", str(reaches / "run"), "--out", str(out), *map(str, words)]) == 0, capsys.readouterr().err
        return load(out)

    return sample


@pytest.fixture
def table(tmp_path):
    def table(text, name="requested.csv"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return table


class TestSampling:
    def test_by_name(self, sample):
        drawn = sample("-n", 3, "--condition", "reach_angle=45deg", "side=left", "--guidance", 2)
        assert drawn.trials["reach_angle"].tolist() == [45] * 3
        assert drawn.trials["condition"].tolist() == [45] * 3
        assert drawn.trials["side"].tolist() == ["left"] * 3
        assert drawn.provenance["conditioned_on"] == ["reach_angle", "side"]
        assert drawn.provenance["guidance"] == 2

    def test_every_word_counts_however_often_the_option_is_named(self, sample):
        drawn = sample("-n", 3, "--condition", "reach_angle=0,90", "--condition", "vel=3,0", "side=right, far")
        assert drawn.trials["reach_angle"].tolist() == [0, 90, 0]
        assert set(drawn.trials["side"]) == {"right, far"}
        assert np.unique(drawn.signals["vel"].values.reshape(-1, 2), axis=0).tolist() == [[3, 0]]

    def test_by_a_table_of_trials(self, sample, table):
        drawn = sample("--condition", table("reach_angle,side\n45deg,left\n1rad,\n"))
        assert drawn.n_trials == 2
        assert drawn.trials["reach_angle"].tolist() == pytest.approx([45, np.degrees(1)])
        assert drawn.trials["side"].isna().tolist() == [False, True]
        assert sample("-n", 5, "--condition", table("reach_angle\n45\n90\n")).n_trials == 5

    def test_by_a_table_of_bins_and_a_name(self, sample, table):
        text = "trial,vel_x,vel_y\n0,1,2\n1,5,6\n0,3,4\n"
        drawn = sample("--condition", table(text, "Bins.CSV"), "side=left")
        assert drawn.lengths.tolist() == [2, 1]
        assert drawn.signals["vel"].values[0].tolist() == [[1, 2], [3, 4]]
        assert drawn.trials["side"].tolist() == ["left", "left"]

    def test_like_a_recording(self, sample, reaches):
        test = load(reaches / "toy.npz").select(
            trials=json.loads((reaches / "run/data.json").read_text())["splits"]["test"]
        )
        drawn = sample("--like", reaches / "run")
        assert drawn.trials["reach_angle"].tolist() == test.trials["reach_angle"].tolist()
        np.testing.assert_array_equal(drawn.signals["vel"].values, test.signals["vel"].values)
        changed = sample("--like", reaches / "run", "--condition", "reach_angle=10")
        assert set(changed.trials["reach_angle"]) == set(changed.trials["condition"]) == {10}
        assert changed.trials["side"].tolist() == test.trials["side"].tolist()

    def test_like_a_recording_that_does_not_know(self, sample, toy, capsys):
        sample("--like", toy, "-n", 2, "--condition", "side=left")
        assert "has no reach_angle and no vel; the model samples it" in capsys.readouterr().err

    def test_what_was_sampled_can_be_imitated_and_compared(self, sample, reaches, tmp_path):
        sample("--like", reaches / "run", "-n", 12)
        again = sample("--like", tmp_path / "sample.npz")
        assert again.n_trials == 12
        assert main(["compare", str(reaches / "run"), str(tmp_path / "sample.npz")]) == 0

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["reach_angle"], "'reach_angle', but must be NAME=VALUE or a table"),
            (["reach_angel=45deg"], "no condition 'reach_angel'; did you mean 'reach_angle'?"),
            (["=45deg"], "no condition ''"),
            (["reach_angle=fast"], "'fast', but needs a number such as 45deg"),
            (["reach_angle=45deg,,90"], "'', but needs a number"),
            (["side=up"], "'up', but the model has learned left, right, far only"),
            (["vel=3"], "shape (1,), but needs (time, 2): x, y"),
            (["vel=3,fast"], "'vel' is requested as '3,fast', but needs a number for each of its dimensions: x, y"),
            (["vel=nan,1"], "no number"),
            (["none.csv"], "the table none.csv cannot be read (No such file or directory)"),
            (["reach_angle=1", "side=left", "reach_angle=2"], "has 'reach_angle' twice"),
            (["reach_angle=1", "--guidance", "-1"], "guidance is -1"),
            (["reach_angle=1", "--guidance", "inf"], "--guidance is 'inf', but must be a number"),
            (["reach_angle=1", "--guidance", "much"], "--guidance is 'much', but must be a number"),
        ],
    )
    def test_what_is_refused(self, words, message, refused, reaches):
        line = refused("sample", reaches / "run", "--out", "a.npz", "-n", "2", "--condition", *words)
        assert message in line

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "cannot be read"),
            ("reach_angle\n", "has no rows"),
            ("reach_angle,sied\n1,left\n", "did you mean 'side'?"),
            ("reach_angle\nfast\n", "'fast', but needs a number"),
            ("vel_x,vel_y\n1,2\n", "no column 'trial'"),
            ("trial,vel_x\n0,2\n", "no column 'vel_y'"),
            ("trial,vel_x,vel_y\n0,1,fast\n", "no number"),
            ("trial,vel_x,vel_y\n0,1,\n0,2,3\n", "no number in trial 0"),
            ("reach_angle\n1,2,3\n", "cannot be read"),
        ],
    )
    def test_tables_that_are_refused(self, text, message, refused, reaches, table):
        line = refused("sample", reaches / "run", "--out", "a.npz", "--condition", table(text))
        assert message in line

    def test_a_signal_shorter_than_the_length(self, refused, reaches, table):
        file = table("trial,vel_x,vel_y\n0,1,2\n0,1,2\n")
        line = refused("sample", reaches / "run", "--out", "a.npz", "--length", "9", "--condition", file)
        assert "has 2 bins in trial 0, but a trial of 9 bins is requested" in line

    def test_a_run_without_conditions(self, refused, run):
        line = refused("sample", run, "--out", "a.npz", "--condition", "reach_angle=45deg")
        assert "fitted without conditions" in line
        assert "--condition_on reach_angle" in line
        assert "trained without conditions" in refused("sample", run, "--out", "a.npz", "--guidance", "2")

    def test_a_model_that_can_have_none(self, refused, toy, tmp_path):
        small = FIT[: FIT.index("--prior.channels")]
        assert main(["fit", toy, "--out", str(tmp_path / "g"), "--model", "gaussian", *small]) == 0
        assert "has no option 'guidance'" in refused("sample", tmp_path / "g", "--out", "a.npz", "--guidance", "2")
        assert "has no conditions" in refused("sample", tmp_path / "g", "--out", "a.npz", "--condition", "a=1")
        line = refused("fit", toy, "--out", "new", "--model", "gaussian", *small, "--condition_on", "angle")
        assert "'gaussian' makes a model without conditions" in line


class TestTraining:
    @pytest.mark.parametrize(
        ("on", "message"),
        [
            (["reach_angel"], "did you mean 'reach_angle'?"),
            (["reach_angle:degrees"], "kinds are deg, rad, label, number, signal"),
            (["side:number"], "holds 'left'; call it 'side:label'"),
            (["vel:label"], "'vel' is a signal"),
            (["side", "--condition_on", "side:label"], "'side' twice"),
            (["side", "--prior.condition_dropout", "1.5"], "must lie in [0, 1)"),
            (["side", "--prior.condition_dropout", "0", "--prior.guidance", "2"], "set prior.condition_dropout"),
        ],
    )
    def test_what_is_refused(self, on, message, refused, reaches):
        line = refused("fit", reaches / "toy.npz", "--out", "new", *FIT, "--condition_on", *on)
        assert message in line

    def test_guidance_without_a_condition_to_follow(self, refused, toy):
        line = refused("fit", toy, "--out", "new", *FIT, "--prior.guidance", "3")
        assert "prior.guidance is 3, but the model has no condition to follow; name some in condition_on" in line

    def test_missing_values(self, refused, tmp_path, capsys):
        angles = ANGLES.astype(float)
        angles[::3] = np.nan
        save(recording(reach_angle=angles), tmp_path / "gaps.npz")
        words = ["fit", tmp_path / "gaps.npz", *FIT, "--condition_on", "reach_angle"]
        assert "every trial needs a value" in refused(*words, "--out", "new", "--prior.condition_dropout", "0")
        assert main([*map(str, words), "--out", str(tmp_path / "run")]) == 0
        assert "'reach_angle' has no value in 8 of 24 trials" in capsys.readouterr().err

    def test_a_run_is_resumed_with_its_own_conditions(self, refused, reaches, tmp_path):
        again = ["fit", str(reaches / "toy.npz"), "--out", str(reaches / "run"), "--resume"]
        assert main(again) == 0
        assert main([*again, *ON]) == 0
        line = refused(*again, "--condition_on", "side")
        assert "condition_on ('reach_angle', 'side', 'vel'), but ('side',) was requested" in line

    def test_a_run_that_was_cut_ends_with_its_conditions(self, reaches, tmp_path, monkeypatch):
        from spikeloom.models.base import GenerativeModel

        def cut(*args):
            raise KeyboardInterrupt

        words = ["fit", str(reaches / "toy.npz"), "--out", str(tmp_path / "run"), *FIT]
        with monkeypatch.context() as patched:
            patched.setattr(GenerativeModel, "save", cut)
            assert main([*words, *ON]) == 130
        assert main([*words, "--resume"]) == 0
        mine, theirs = (json.loads((f / "run" / "data.json").read_text()) for f in (tmp_path, reaches))
        assert mine["recording"]["variables"] == theirs["recording"]["variables"]

    def test_a_preset_can_name_them(self, refused, reaches, tmp_path):
        preset = tmp_path / "mine.yaml"
        preset.write_text(yaml.safe_dump({"model": "ldns", "condition_on": ["side", "vel"]}))
        words = ["fit", str(reaches / "toy.npz"), "--model", str(preset), *FIT]
        for folder, more, expected in (("a", [], ["side", "vel"]), ("b", ["--condition_on", "vel"], ["vel"])):
            assert main([*words, "--out", str(tmp_path / folder), *more]) == 0
            assert yaml.safe_load((tmp_path / folder / "config.yaml").read_text())["condition_on"] == expected
        preset.write_text("model: ldns\ncondition_on: side\n")
        line = refused(*words, "--out", "new")
        assert "'side' at 'condition_on', but it must be a list such as [a, b]" in line
