"""Conditional generation: decoded behaviour; what the benchmark trains, writes, keeps and refuses."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from commands import TINY, TINY_EAG
from spikeloom.bench.conditional import ConditionalMeasurement, draw, without
from spikeloom.bench.conditional import run_conditional_benchmark as measure
from spikeloom.bench.conditional_record import BehaviourScore, ConditionalRecord, conditional_page
from spikeloom.bench.reach_samples import Plane
from spikeloom.bench.records import typed
from spikeloom.bench.trained_models import Trainer
from spikeloom.cli import main
from spikeloom.data.files import save
from spikeloom.data.options import LoadOptions
from spikeloom.data.reaches import octant_of
from spikeloom.data.sources import load_source
from spikeloom.data.spikedata import Signal, SpikeData
from spikeloom.data.splits import with_default_splits
from spikeloom.errors import ConfigError, DataError, RunError
from spikeloom.evaluation.reach_fidelity import (
    Readout,
    degrees_of,
    explained,
    explained_together,
    filled,
    mean_courses,
    nearest,
    octants_of,
    paths,
    scatter,
    turned,
)
from spikeloom.models import load_model
from spikeloom.models.ldns import LDNS
from spikeloom.training.checkpoint import weights_hash

BIN = 0.05


def reaching(n=160, bins=12, neurons=24, seed=0, ragged=True, gain=1.2):
    """Reaches into eight directions, and neurons whose rates follow velocity."""
    rng = np.random.default_rng(seed)
    angle = 45.0 * (np.arange(n) % 8)
    speed = np.sin(np.pi * (np.arange(bins) + 0.5) / bins) * rng.uniform(0.8, 1.2, (n, 1))
    way = np.stack([np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))], axis=1)
    velocity = speed[..., None] * way[:, None]
    tuning = rng.normal(size=(2, neurons))
    rates = np.exp(gain * velocity @ tuning / 2 + 0.3)
    lengths = rng.integers(bins - 2, bins + 1, n) if ragged else np.full(n, bins)
    valid = np.arange(bins) < lengths[:, None]
    return SpikeData(
        rng.poisson(rates) * valid[..., None],
        bin_s=BIN,
        lengths=lengths,
        signals={"hand_vel": Signal((velocity * valid[..., None]).astype(np.float32), "m/s", ("x", "y"))},
        trials=pd.DataFrame({"angle_deg": angle}),
        rates=(rates * valid[..., None]).astype(np.float32),
    )


# -- what is read from spikes ----------------------------------------------------------------------------------------


def test_velocity_is_read_from_rates_and_spikes():
    data = with_default_splits(reaching())
    readout = Readout.of(data.split("train"), "hand_vel")
    test = data.split("test")
    wanted = np.where(test.valid[..., None], test.signals["hand_vel"].values, np.nan)
    decoded = readout.decoded(test)
    assert set(decoded) == {"rates", "spikes"}
    for values in decoded.values():
        assert values.shape == wanted.shape
        assert np.array_equal(np.isnan(values).all(2), ~test.valid)
    assert explained(decoded["rates"], wanted) > 0.9
    assert 0.5 < explained(decoded["spikes"], wanted) < 0.98
    assert np.mean(turned(decoded["spikes"], degrees_of(test, "angle_deg"))) < 20
    assert np.mean(turned(decoded["spikes"], degrees_of(test, "angle_deg") + 180)) > 160


def test_a_readout_needs_rates_and_two_dimensions():
    data = reaching(n=16)
    with pytest.raises(DataError, match="infer them first"):
        Readout.of(replace(data, rates=None), "hand_vel")
    flat = replace(data, signals={"hand_vel": Signal(data.signals["hand_vel"].values[..., :1])})
    with pytest.raises(DataError, match="1 dimensions"):
        Readout.of(flat, "hand_vel")


def test_degrees_are_read_by_the_name_of_their_column():
    data = SpikeData(
        np.ones((2, 3, 1), int),
        BIN,
        trials=pd.DataFrame({"a_deg": [0.0, -90.0], "b_rad": [np.pi, np.pi / 4], "side": [1, 2], "x_deg": ["a", "b"]}),
    )
    assert degrees_of(data, "a_deg").tolist() == [0, 270]
    assert np.allclose(degrees_of(data, "b_rad"), [180, 45])
    assert octants_of(data, "b_rad").tolist() == [4, 1]
    assert degrees_of(data, "side:deg").tolist() == [1, 2]
    for column in ("side", "x_deg"):
        with pytest.raises(DataError, match=f"'{column}' holds no directions"):
            degrees_of(data, column)
    with pytest.raises(DataError, match=r"no trial column 'c_deg' \(columns: a_deg"):
        degrees_of(data, "c_deg")


def test_explained_by_hand():
    wanted = np.array([[[1.0, 0], [3, 0], [np.nan, np.nan]]])
    decoded = np.array([[[1.0, 1], [2, 0], [9, 9]]])
    # Errors 0, 1 in y and 1, 0 in x; squares about zero 1 + 9.
    assert np.isclose(explained_together(decoded, wanted), 1 - 2 / 10)
    assert np.isclose(explained_together(decoded, wanted, np.array([2.0, 0.0])), 1 - 2 / 2)
    assert np.isnan(explained(decoded, wanted))  # y does not vary
    assert np.isclose(explained(wanted[..., :1] + 0.5, wanted[..., :1]), 1 - 0.5 / 2)


def test_paths_start_at_the_first_step_and_end_with_the_trial():
    velocity = filled(np.array([[1.0, 0], [1, 2]]), np.array([[True, True, False]]))
    way = paths(velocity, 0.5)
    assert np.allclose(way[0, :2], [[0.5, 0], [1, 1]])
    assert np.isnan(way[0, 2]).all()
    assert np.allclose(turned(velocity, np.array([45.0])), 0)
    assert np.allclose(turned(velocity, np.array([-170.0])), 145)


def test_mean_courses_end_where_half_of_the_trials_have_ended():
    values = np.arange(4.0)[:, None, None] * np.ones((4, 5, 1))
    valid = np.arange(5) < np.array([5, 5, 3, 2])[:, None]
    courses = mean_courses(values, valid, np.array([2, 2, 2, 2]))
    assert np.isnan(courses[[0, 1, 3, 4, 5, 6, 7]]).all()
    assert np.allclose(courses[2, :3, 0], [1.5, 1.5, 1.0])
    assert np.isnan(courses[2, 3:]).all()  # two of four are left, but a mean trajectory needs three


def test_scatter_is_the_variance_across_trials_alike():
    rng = np.random.default_rng(0)
    groups = np.arange(400) % 4
    values = rng.normal(0, 2, (400, 30, 3)) + 100 * groups[:, None, None]
    valid = np.arange(30) < rng.integers(10, 31, 400)[:, None]
    garbage = np.where(valid[..., None], values, 1e9)
    assert np.isclose(scatter(garbage, valid, [np.flatnonzero(groups == g) for g in range(4)]), 4, rtol=0.03)
    assert np.isnan(scatter(values, valid, [np.array([0])]))


def test_the_nearest_trials_are_others_of_similar_trajectory():
    rng = np.random.default_rng(1)
    recorded = rng.normal(size=(20, 6, 2))
    recorded[7] = recorded[3] + 0.01
    recorded[7, 4:] = np.nan
    recorded[3, 4:] = np.nan
    wanted = recorded[[3, 7]]
    assert nearest(wanted, recorded, 2)[:, 0].tolist() == [3, 7]
    assert nearest(wanted, recorded, 2, np.array([3, 7]))[:, 0].tolist() == [7, 3]


def test_components_of_rates_lie_along_their_variance():
    rng = np.random.default_rng(0)
    rates = rng.normal(size=(5000, 3)) * [0.1, 3, 1] + 5
    plane = Plane.fitted(rates)
    assert np.allclose(np.abs(plane.axes), [[0, 0], [1, 0], [0, 1]], atol=0.05)
    assert np.allclose(plane.mean, 5, atol=0.1)


# -- the benchmark ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def presets(tmp_path_factory):
    """Presets of small models, as the command is given them."""
    folder = tmp_path_factory.mktemp("presets")
    options = []
    for name, sizes in (
        ("ldns", TINY),
        ("eag", {k: v for k, v in TINY.items() if k.startswith("autoencoder")} | TINY_EAG),
    ):
        content: dict = {"model": name}
        for key, value in sizes.items():
            group, _, field = key.partition(".")
            content.setdefault(group, {})[field] = value
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content))
        options.append(f"{name}={folder / name}.yaml")
    return options


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("recording") / "reaching.npz"
    save(replace(reaching(), rates=None), path)
    return str(path)


def command(source, out, presets, *more):
    named = ["--direction", "angle_deg", "--velocity", "hand_vel"]
    options = ["--preset", *presets, "--repeats", "2", "--max_steps", "2", "--device", "cpu"]
    return main(["bench", "conditional", "--data", source, "--out", str(out), *named, *options, *more])


@pytest.fixture(scope="module")
def done(tmp_path_factory, source, presets):
    out = tmp_path_factory.mktemp("bench") / "results"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("spikeloom.bench.conditional.draw", only_ldns)
        assert command(source, out, presets, "--unseen", "1") == 0
    return out


def only_ldns(measurement, record, out):
    """The figures of one model: those of another are no different."""
    measurement.trainer = replace(measurement.trainer, configs={"ldns": measurement.trainer.configs["ldns"]})
    draw(measurement, record, out)


@pytest.mark.slow
def test_everything_is_measured_and_drawn(done):
    result = typed(ConditionalRecord, json.loads((done / "conditional.json").read_text()))
    assert {(s.task, s.model, s.octant) for s in result.scores} == {
        (task, model, octant)
        for model in ("ldns", "eag")
        for task, octant in (("direction", -1), ("trajectory", -1), ("unseen", 1))
    }
    whose = {task: {s.whose for s in result.scores if s.task == task} for task in ("direction", "unseen", "trajectory")}
    assert whose == {
        "direction": {"recorded", "samples", "another"},
        "unseen": {"recorded", "seen", "samples", "neighbours"},
        "trajectory": {"recorded", "samples", "another"},
    }
    ceilings = [s.values["r2_spikes"] for s in result.scores if s.whose == "recorded"]
    assert min(ceilings) > 0.4  # the decoder knows every octant, also where the model does not
    beside = [s for s in result.scores if s.whose == "neighbours"]
    assert all(abs(s.values["turn_spikes"] - 45) < 15 for s in beside)
    page = (done / "conditional.md").read_text()
    assert "## Conditioned on a direction outside the training set" in page
    for name in ("directions", "latents", "averages", "trajectories", "unseen"):
        with Image.open(done / f"ldns-{name}.png") as picture:
            assert picture.width > 800


@pytest.mark.slow
def test_an_octant_is_held_out_from_both_stages(done, source):
    data = with_default_splits(load_source(source))
    held = without(data, "angle_deg", 1)
    assert octant_of(held.split("test").trials["angle_deg"].to_numpy()).tolist().count(1) > 0
    for name in ("train", "val"):
        assert 1 not in octants_of(held.split(name), "angle_deg")
    record = (done / "runs" / "ldns-without-1-0" / "data.json").read_text()
    assert "without-1.npz" in record
    first, second = (load_model(done / "runs" / f"ldns-{which}-0") for which in ("angle_deg", "without-1"))
    assert weights_hash(first.autoencoder) != weights_hash(second.autoencoder)


@pytest.mark.slow
def test_an_autoencoder_is_trained_once(done):
    runs = done / "runs"
    hashes = {
        which: {weights_hash(load_model(runs / f"{name}-{which}-0").autoencoder) for name in ("ldns", "eag")}
        for which in ("angle_deg", "hand_vel", "without-1")
    }
    assert all(len(each) == 1 for each in hashes.values())
    assert hashes["angle_deg"] == hashes["hand_vel"]


@pytest.mark.slow
def test_a_benchmark_that_was_cut_goes_on(done, source, presets, tmp_path, monkeypatch):
    out = tmp_path / "again"
    shutil.copytree(done, out)
    content = json.loads((out / "conditional.json").read_text())
    whole = content["scores"]
    content["scores"] = [s for s in whole if s["task"] != "trajectory"]
    (out / "conditional.json").write_text(json.dumps(content))
    monkeypatch.setattr("spikeloom.bench.trained_models.start_run", None)  # nothing is trained anew
    monkeypatch.setattr("spikeloom.bench.conditional.draw", lambda *arguments: None)
    assert command(source, out, presets, "--unseen", "1") == 0
    again = json.loads((out / "conditional.json").read_text())

    def known(scores):
        return sorted((s["task"], s["model"], s["whose"], s["guidance"], str(s["values"])) for s in scores)

    assert known(again["scores"]) == known(whole)


@pytest.mark.slow
def test_one_of_its_models_may_be_selected(done, source, presets, monkeypatch):
    drawn = []
    monkeypatch.setattr("spikeloom.drawing.style.write_png", lambda figure, path: drawn.append(path.name))
    assert command(source, done, presets, "--unseen", "1", "--models", "ldns") == 0
    assert sorted(drawn) == [f"ldns-{n}.png" for n in ("averages", "directions", "latents", "trajectories", "unseen")]
    assert "EAG" in (done / "conditional.md").read_text()


@pytest.mark.slow
def test_another_benchmark_is_refused(done, source, presets, capsys):
    assert command(source, done, presets, "--unseen", "1", "--guidance", "3") == 2
    assert "guidance.0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"models": ["lfads"]}, ConfigError, "no model 'lfads'"),
        ({"octants": [8]}, ConfigError, "no octant 8"),
        ({"repeats": 1}, ConfigError, "1 samples for each trial"),
        ({"direction": "side"}, DataError, "no trial column 'side'"),
        ({"velocity": "hand"}, DataError, "no signal 'hand'"),
    ],
)
def test_invalid_arguments_are_refused_before_anything_is_written(change, error, message, source, tmp_path):
    options = {"direction": "angle_deg", "velocity": "hand_vel"} | change
    with pytest.raises(error, match=message):
        measure(tmp_path / "out", source, **options)
    assert not (tmp_path / "out").exists()


def test_an_octant_without_held_out_trials_is_refused(tmp_path):
    data = replace(reaching(), rates=None)
    path = tmp_path / "few.npz"
    save(data.select(trials=np.flatnonzero(data.trials["angle_deg"] != 90)), path)
    with pytest.raises(DataError, match="0 held-out trials reach into octant 2"):
        measure(tmp_path / "out", str(path), direction="angle_deg", velocity="hand_vel")


def test_a_folder_of_something_else_is_refused(source, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(RunError):
        measure(tmp_path, source, direction="angle_deg", velocity="hand_vel")


def test_samples_that_are_the_recorded_trials_reach_the_ceiling(source, tmp_path, monkeypatch):
    """A generator that gives back what was recorded: all ratios are 1, all R2 at the ceiling."""
    data = with_default_splits(reaching())

    def infer(model, recording):
        return replace(recording, rates=np.exp(recording.signals["hand_vel"].values[..., :1] * np.ones(24)) + 1)

    def sample(model, like, seed=0, guidance=1.0):
        return infer(model, like)

    monkeypatch.setattr("spikeloom.bench.conditional.inferred", infer)
    monkeypatch.setattr("spikeloom.bench.conditional.sample_like", sample)
    monkeypatch.setattr(ConditionalMeasurement, "trained", lambda self, *arguments: LDNS.make(data))
    trainer = Trainer(tmp_path, source, LoadOptions(), {}, {}, "cpu")
    measurement = ConditionalMeasurement(data, trainer, "angle_deg", "hand_vel", 3, (1.0,))
    by_whose = {s.whose: s.values for s in measurement.scores("direction", "ldns", 0, -1)}
    for key in ("r2_rates", "r2_spikes", "turn_rates", "turn_spikes"):
        assert np.isclose(by_whose["samples"][key], by_whose["recorded"][key])
    assert by_whose["another"]["r2_spikes"] < -1
    assert np.isclose(by_whose["samples"]["averages"], 1)
    # The variance of n trials of which each is there three times is smaller by (3n - 3) / (3n - 1); n is 2 to 6.
    assert 0.6 < by_whose["samples"]["scatter_counts"] < 0.9
    by_whose = {s.whose: s.values for s in measurement.scores("trajectory", "ldns", 0, -1)}
    assert np.isclose(by_whose["samples"]["r2_spikes"], by_whose["recorded"]["r2_spikes"])
    assert by_whose["another"]["r2_spikes"] < 0
    assert by_whose["samples"]["scatter_counts"] == 0  # the same spikes again and again: not what a recording does


def test_means_are_over_octants_then_over_seeds():
    def score(seed, octant, value):
        return BehaviourScore("unseen", "ldns", seed, octant, "samples", 1.0, {"r2_spikes": value})

    setting = {
        "recording": {"source": "a", "summary": "b", "splits": {"test": 3}},
        "repeats": 5,
        "direction": "d",
        "velocity": "v",
    }
    strong = replace(score(0, 0, 0.9), guidance=2.0)
    page = conditional_page(ConditionalRecord(setting, scores=(score(0, 0, 0.2), strong)))
    assert "samples of a model that was not, guidance 2 |" in page
    scores = (score(0, 0, 0.2), score(0, 4, 0.4), score(1, 0, 0.6), score(1, 4, 0.8))
    page = conditional_page(ConditionalRecord(setting, scores=scores))
    assert "| LDNS | samples of a model that was not | 0.50 ± 0.2 |" in page
    assert "| LDNS | samples of a model that was not | 0.40 ± 0.2 | 0.60 ± 0.2 |" in page
