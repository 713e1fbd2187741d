"""The studio's answers: numbers are those of Python, and files and commands repeat the trials."""

import base64
import io
import json
import shlex
import shutil
import sys
import time

import numpy as np
import pandas as pd
import pytest
from starlette.testclient import TestClient

import spikeloom as sl
from spikeloom.cli import main
from spikeloom.conditioning.novelty import FAR, TrainingConditions
from spikeloom.conditioning.requests import Conditions
from spikeloom.conditioning.variables import Variable
from spikeloom.data.averages import group_rates
from spikeloom.data.files import load, save
from spikeloom.data.sources import load_source
from spikeloom.errors import ConfigError, DataError
from spikeloom.evaluation.portraits import portraits, tuning_curves
from spikeloom.evaluation.roc import delong
from spikeloom.workflow.reporting import compare_model
from spikeloom.workflow.studio.dials import quick_scores
from spikeloom.workflow.studio.page import Studio, application
from spikeloom.workflow.studio.system import System
from spikeloom.workflow.studio.verdict import Verdicts, verdict_of
from spikeloom.workflow.studio.workspace import Workspace, path_of
from test_live import recording

pytestmark = pytest.mark.filterwarnings("ignore::spikeloom.errors.SpikeloomWarning")

TINY = {
    "autoencoder": {"latents": 3, "channels": 12, "encoder_blocks": 1, "state": 4},
    "prior": {"channels": 12, "blocks": 1, "state": 4, "sampling_steps": 3},
    "max_steps": 3,
}
PATH = [[0.05 * i, 0.1 * i, 0.05 * i] for i in range(25)]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder of a tiny model that follows a velocity and a target, and its recording."""
    folder = tmp_path_factory.mktemp("studio")
    save(recording(60), folder / "data.npz")
    sl.fit(folder / "data.npz", "ldns", out=folder / "run", condition_on=("hand_vel", "target"), **TINY)
    return folder / "run"


@pytest.fixture(scope="module")
def plain_run(tmp_path_factory):
    """One of a model without conditions."""
    folder = tmp_path_factory.mktemp("studio")
    save(recording(30), folder / "data.npz")
    sl.fit(folder / "data.npz", "ldns", out=folder / "plain", **TINY)
    return folder / "plain"


@pytest.fixture(scope="module")
def studio(run, plain_run):
    return Studio([System(run), System(plain_run)])


def counts_of(found) -> np.ndarray:
    values = np.frombuffer(base64.b64decode(found["counts"]), np.uint8)
    return values.reshape(found["n"], found["bins"], -1)


# -- trials for a request --------------------------------------------------------------------------------------------


def test_a_drawn_reach_is_what_the_model_samples(studio, run):
    found = studio.sample({"path": PATH, "n": 4, "seed": 7})
    velocity = np.full((24, 2), [2.0, 1.0], np.float32)  # .1 and .05 in every .05 s, for as long as it was drawn
    expected = sl.load_model(run).sample(4, condition={"hand_vel": velocity}, seed=7)
    np.testing.assert_array_equal(counts_of(found), expected.counts)
    assert found["lengths"] == [24] * 4
    np.testing.assert_allclose(found["decoded"]["asked"][-1], [2.4, 1.2], rtol=1e-3)
    rate = expected.counts.sum((0, 2)) / 4 / expected.bin_s
    np.testing.assert_allclose(found["population_hz"], rate, rtol=1e-3)
    average = np.frombuffer(base64.b64decode(found["average_hz"]), "<f4").reshape(24, -1)
    np.testing.assert_allclose(average, group_rates(expected, smooth_s=0.025)[0][0], rtol=1e-5)


def test_its_speed_is_kept_unless_it_is_stretched(studio):
    usual = studio.systems[0].workspace.usual
    slow = [[2 * t, x, y] for t, x, y in PATH]
    assert studio.sample({"path": slow, "n": 1, "stretched": False})["bins"] == 48
    assert studio.sample({"path": slow, "n": 1, "stretched": True})["bins"] == usual


def test_what_is_decoded_is_scored_as_in_recorded_trials(studio):
    system = studio.systems[0]
    found = studio.sample({"path": PATH, "n": 5})["decoded"]
    sample = system.sample(n=5, condition={"hand_vel": np.full((24, 2), [2.0, 1.0], np.float32)}, seed=0)[0]
    decoded = system.decoder.decode(sample)
    mean = system.train.signals["hand_vel"].values[system.train.valid].mean(0)
    missed = np.square(decoded - [2.0, 1.0]).sum()
    assert found["generated"]["r2"] == pytest.approx(1 - missed / np.square([2.0, 1.0] - mean).sum() / 120, abs=2e-3)
    assert found["generated"]["error"] == pytest.approx(np.sqrt(missed / 120), rel=5e-3)
    held_out = system.held_out
    truth = held_out.signals["hand_vel"].values[held_out.valid]
    r2 = 1 - np.square(truth - system.decoder.decode(held_out)).sum() / np.square(truth - mean).sum()
    assert found["recorded"]["r2"] == pytest.approx(r2, abs=2e-3)
    np.testing.assert_allclose(found["paths"][0], path_of(decoded[:24], 0.05, True), rtol=1e-3, atol=1e-4)


def test_a_held_out_trial_is_asked_for_as_it_was_recorded(studio):
    system = studio.systems[0]
    found = studio.sample({"trial": 2, "n": 3, "seed": 1})
    trial = system.held_out[2]
    request = {"hand_vel": trial.signals["hand_vel"].values[0], "target": trial.trials["target"].iloc[0]}
    np.testing.assert_array_equal(counts_of(found), system.model.sample(3, condition=request, seed=1).counts)
    np.testing.assert_array_equal(counts_of(found["recorded"])[0], trial.counts[0])


def test_novel_requests_are_called_so(studio):
    usual = studio.sample({"trial": 0, "n": 1})["novelty"]
    far = studio.sample({"path": [[0, 0, 0], [1.2, 500, 500]], "n": 1})
    assert not usual["novel"]
    assert far["novelty"]["novel"]
    assert far["recorded"] is None  # nothing recorded is near it
    assert "nothing like it was recorded" in far["novelty"]["words"]
    trial = studio.systems[0].held_out[0].signals["hand_vel"].values[0]
    places = np.cumsum(np.concatenate([trial, trial]), axis=0) * 0.05
    path = [[0.05 * (i + 1), x, y] for i, (x, y) in enumerate(places)]
    long = studio.sample({"path": path, "n": 1})["novelty"]
    assert long["novel"]
    assert "longer than any recorded trial: 47 bins, where they have 24 at most" in long["words"]


def test_without_conditions_length_and_seed_are_asked_for(studio):
    found = studio.sample({"run": 1, "n": 2, "length": 33, "seed": 3, "guidance": 2.0})
    expected = studio.systems[1].model.sample(2, length=33, seed=3)
    np.testing.assert_array_equal(counts_of(found), expected.counts)
    assert found["novelty"] is None
    assert found["decoded"]["generated"] is None  # nothing was asked for that could be read back
    assert "guidance" not in studio.about({})["runs"][1]["dials"]


def test_nearest_recorded_trials():
    variables = (Variable("angle", "deg"), Variable("target", "label", labels=("a", "b")))
    table = pd.DataFrame({"angle": [0.0, 10.0, 20.0, 30.0], "target": ["a", "a", "b", "a"]})
    training = TrainingConditions(Conditions(table, {}, np.full(4, 5)), variables)
    asked = Conditions(pd.DataFrame({"angle": [12.0], "target": ["a"]}), {}, np.full(1, 5))
    assert training.nearest(asked, np.full(1, 5), 3).tolist() == [1, 0, 3]
    assert training.nearest(asked, np.full(1, 5), 1).tolist() == [1]
    nowhere = Conditions(pd.DataFrame({"angle": [30 + 10 * FAR + 1.0]}), {}, np.full(1, 5))
    assert training.nearest(nowhere, np.full(1, 5), 3).tolist() == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"n": 0}, "n is 0, but must be from 1 to 200"),
        ({"n": 2.5}, "must be a whole number"),
        ({"path": [[0, 1]]}, "path must be points"),
        ({"path": [[0, 0, 0], [0, 1, 1]]}, "must rise from point to point"),
        ({"path": [[0, 0, 0], [900, 1, 1]]}, "draw it faster"),
        ({"path": PATH, "run": 1}, "follows no signal of two dimensions"),
        ({"condition": {"targt": "left"}}, "did you mean 'target'"),
        ({"condition": {"target": "up"}}, "learned left, right only"),
        ({"trial": 999}, "held-out trial 999"),
        ({"sed": 1}, "did you mean 'seed'"),
        ({"run": 7}, "there is no run 7"),
        ({"guidance": "much"}, "guidance is 'much'"),
    ],
)
def test_wrong_requests_are_told(studio, content, said):
    with pytest.raises((ConfigError, DataError), match=said):
        studio.sample(content)


# -- away from the page ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        {"path": PATH, "n": 4, "seed": 7, "guidance": 1.5, "steps": 2},
        {"condition": {"target": "left"}, "n": 2, "length": 20},
        {"n": 3, "observation": "poisson"},
    ],
)
def test_the_command_and_the_python_draw_the_same_trials(studio, content, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = studio.sample(content)
    if "request.csv" in found["command"]:
        (tmp_path / "request.csv").write_bytes(studio.file({**content, "kind": "request"}))
    words = shlex.split(found["command"])
    assert main(words[1:]) == 0
    np.testing.assert_array_equal(load(tmp_path / "generated.npz").counts, counts_of(found))
    names: dict = {}
    exec(found["python"], names)
    np.testing.assert_array_equal(names["trials"].counts, counts_of(found))


@pytest.mark.parametrize("kind", ["npz", "nwb", "h5"])
def test_files_hold_the_trials(studio, kind, tmp_path):
    content = {"condition": {"target": "right"}, "n": 3, "seed": 2}
    path = tmp_path / f"taken.{kind}"
    path.write_bytes(studio.file({**content, "kind": kind}))
    np.testing.assert_array_equal(sl.load(path, bin_s=0.05).counts, counts_of(studio.sample(content)))
    table = pd.read_csv(io.BytesIO(studio.file({**content, "kind": "csv"})))
    assert table["count"].sum() == counts_of(studio.sample(content)).sum()
    with pytest.raises(ConfigError, match="'doc' cannot be made"):
        studio.file({**content, "kind": "doc"})


# -- quiz, verdict, dials, neurons -----------------------------------------------------------------------------------


def test_a_quiz_is_scored_as_a_classifier_is(studio):
    system = studio.systems[0]
    shown = studio.quiz({"seed": 4})
    assert "generated" not in json.dumps(shown)
    n = len(shown["rasters"])
    found = studio.answers({"rounds": [{"seed": 4, "said": [True] * n}]})
    fake = np.array(found["generated"])
    assert 3 <= fake.sum() <= n - 3
    real, generated, _ = system.compared
    for raster, is_fake in zip(shown["rasters"], fake):
        source = generated if is_fake else real
        assert any(np.array_equal(counts_of(raster)[0], counts) for counts in source.counts)
    perfect = studio.answers({"rounds": [{"seed": 4, "said": fake.tolist()}]})
    assert (perfect["auc"], perfect["right"], perfect["within"]) == (1.0, n, None)
    said = fake.copy()
    said[0] = ~said[0]
    both = studio.answers({"rounds": [{"seed": 4, "said": said.tolist()}, {"seed": 4, "said": fake.tolist()}]})
    score = np.concatenate([said, fake]).astype(float)
    auc, error = delong(score[np.tile(fake, 2)], score[~np.tile(fake, 2)])
    assert both["auc"] == pytest.approx(auc, abs=1e-3)
    assert both["within"][0] == pytest.approx(max(auc - 1.96 * error, 0), abs=1e-3)
    with pytest.raises(ConfigError, match="but 1 answers were given"):
        studio.answers({"rounds": [{"seed": 4, "said": [True]}]})


def test_the_verdict_is_that_of_the_report(run):
    found = verdict_of(run)
    comparison = compare_model(sl.load_model(run), load_source(run))[1]
    assert found["headline"] == comparison.headline
    assert found["auc"] == pytest.approx(comparison.metrics["c2st_rich"].value, abs=1e-3)


def test_a_verdict_that_fails_says_why(tmp_path):
    verdicts = Verdicts([sys.executable, "-c", "import sys; sys.exit('there is nothing at ' + sys.argv[1])"])
    assert verdicts.of(tmp_path / "nothing")["state"] == "working"
    for _ in range(600):
        found = verdicts.of(tmp_path / "nothing")
        if found["state"] != "working":
            break
        time.sleep(0.1)
    assert found["state"] == "failed"
    assert "failed: there is nothing at" in found["reason"]


def test_dials_turn_what_is_drawn(studio):
    system = studio.systems[0]
    as_learned, other = studio.dials({}), studio.dials({"steps": 1, "observation": "poisson"})
    n = as_learned["real"]["n"]
    expected = system.like_held_out(n, 0)
    np.testing.assert_array_equal(counts_of(as_learned["generated"]), expected.counts)
    assert as_learned["generated"]["counts"] != other["generated"]["counts"]
    scores = {each["name"]: each for each in quick_scores(system.held_out[:n], expected, system.train[:n])}
    rates = [d.counts.sum((0, 1)) / (d.lengths.sum() * d.bin_s) for d in (system.held_out[:n], expected)]
    assert scores["rate_rmse"]["value"] == pytest.approx(np.sqrt(np.mean((rates[0] - rates[1]) ** 2)), rel=1e-3)
    assert as_learned["scores"] == list(scores.values())


def test_a_portrait_has_the_numbers_of_a_neuron(studio):
    real, generated, _ = studio.systems[0].compared
    found = studio.neuron({"neuron": 2})
    rates = [d.counts[..., 2].sum() / (d.lengths.sum() * d.bin_s) for d in (real, generated)]
    np.testing.assert_allclose(found["rate_hz"][:2], rates, rtol=1e-3)
    assert found["sets"] == ["held-out real", "generated", "other real"]
    assert np.isclose(sum(found["intervals"][0]), 1, atol=1e-2)
    with pytest.raises(DataError, match="there is no neuron 99"):
        studio.neuron({"neuron": 99})


def test_sets_of_large_recordings_are_cut(studio, monkeypatch):
    monkeypatch.setattr("spikeloom.workflow.studio.system.MOST_COMPARED", 5)
    system = System(studio.systems[0].run)
    real, generated, others = system.compared
    assert real.n_trials == generated.n_trials == others.n_trials == 5
    held_out = {trial.counts.tobytes() for trial in system.held_out}
    assert {trial.counts.tobytes() for trial in real} <= held_out


def test_tuning_to_a_direction_is_found():
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 2 * np.pi, 400)
    rate = np.exp(1.5 * np.cos(angle - np.pi / 2))
    counts = rng.poisson(rate[:, None, None] / 4, (400, 10, 1))
    data = sl.SpikeData(counts, bin_s=0.1, trials={"reach_angle_deg": np.degrees(angle)})
    tuning = tuning_curves([data])
    assert (tuning.variable, tuning.unit) == ("reach_angle_deg", "deg")
    assert tuning.points[int(np.argmax(tuning.rate_hz[0, :, 0]))] == 90
    assert tuning.points[int(np.argmin(tuning.rate_hz[0, :, 0]))] == 270
    velocity = np.stack([np.cos(angle), np.sin(angle)], 1)[:, None].repeat(10, 1)
    by_signal = tuning_curves([sl.SpikeData(counts, bin_s=0.1, signals={"hand_vel": velocity * rng.uniform(1, 2)})])
    assert by_signal.points[int(np.nanargmax(by_signal.rate_hz[0, :, 0]))] == 90
    labelled = tuning_curves([sl.SpikeData(counts, bin_s=0.1, trials={"condition": np.where(rate > 1, "up", "down")})])
    assert labelled.points == ("up", "down")
    assert labelled.rate_hz[0, 0, 0] > labelled.rate_hz[0, 1, 0]
    assert tuning_curves([sl.SpikeData(counts, bin_s=0.1)]) is None


def test_portraits_average_each_condition_that_all_sets_have():
    counts = np.zeros((8, 6, 1), int)
    counts[:4, 2] = 1
    data = sl.SpikeData(counts, bin_s=0.1, trials={"condition": ["a"] * 4 + ["b"] * 4})
    other = sl.SpikeData(counts[:4], bin_s=0.1, trials={"condition": ["a"] * 4})
    both, common = portraits({"real": data}), portraits({"real": data, "generated": other})
    assert both.conditions == ("a", "b")
    assert common.conditions == ("a",)
    assert both.average_hz[0, 0, :, 0].argmax() == 2
    assert both.average_hz[0, 1].max() == 0


def test_workspaces_keep_places_of_positions():
    position = np.cumsum(np.ones((5, 20, 2)), axis=1) + 40
    space = Workspace.of(sl.SpikeData(np.ones((5, 20, 1), int), 0.05, signals={"hand_pos": position}), "hand_pos")
    assert not space.velocity
    np.testing.assert_allclose(space.centre, [50.5, 50.5])
    signal = space.signal_of(np.array([[0.0, 41, 41], [1, 61, 61]]), stretched=True)
    np.testing.assert_allclose(signal[:, 0], 41.5 + np.arange(20))


# -- the server ------------------------------------------------------------------------------------------------------


def test_the_server_answers_in_sentences(studio):
    client = TestClient(application(studio), raise_server_exceptions=False)
    page = client.get("/")
    assert "spikeloom" in page.text
    assert "/* scripts */" not in page.text
    assert "http://" not in page.text  # loads nothing from elsewhere
    assert client.post("/about", json={}).json()["runs"][0]["neurons"] == 6
    assert client.post("/sample", json={"n": 0}).json() == {"error": "n is 0, but must be from 1 to 200."}
    assert client.post("/sample", content=b"nonsense").json()["error"] == "a request must be JSON."
    assert client.post("/sample", content=b"[1]").json()["error"] == "a request must have its fields by name."
    assert "bytes is not read" in client.post("/sample", content=b" " * 2_100_000).json()["error"]
    assert "cannot be read (KeyError" in client.post("/answers", json={"rounds": [{}]}).json()["error"]


def test_the_command_refuses_what_it_cannot_show(tmp_path, run, capsys):
    assert main(["studio", str(tmp_path / "nothing")]) == 2
    assert "nothing" in capsys.readouterr().err
    assert main(["studio", *[str(run)] * 5, "--no_browser"]) == 2
    assert "the studio shows 1 to 4" in capsys.readouterr().err


def test_a_run_without_its_recording_still_draws(run, tmp_path):
    copy = tmp_path / "moved"
    shutil.copytree(run, copy)
    facts = json.loads((copy / "data.json").read_text())
    (copy / "data.json").write_text(json.dumps({**facts, "source": str(tmp_path / "gone.npz")}))
    studio = Studio([System(copy)])
    assert "cannot be read" in studio.about({})["runs"][0]["unreadable"]
    found = studio.sample({"condition": {"target": "left"}, "n": 2})
    assert found["decoded"] is None
    assert studio.verdict({})["state"] == "failed"
    with pytest.raises(DataError, match="cannot be read"):
        studio.quiz({"seed": 0})
