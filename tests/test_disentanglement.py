"""The benchmark of models with codes: what it measures, writes, keeps and refuses."""

import json
import math
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from spikeloom.bench import disentanglement
from spikeloom.bench.code_claims import FAILS, HOLDS, OPEN, UNTESTED, claims_table, effects_table
from spikeloom.bench.code_measures import (
    likeness,
    navigation,
    readouts,
    reconstruction,
    references,
    scores,
)
from spikeloom.bench.code_subjects import NO_MMD, SUBJECTS, CodeSubject, WindowPCACodes
from spikeloom.bench.disentanglement import run_disentanglement_benchmark as measure
from spikeloom.bench.disentanglement_figures import draw_disentanglement
from spikeloom.bench.disentanglement_record import GROUPS, CodeResult, DisentanglementRecord, Mean
from spikeloom.bench.reach_task import ReachTask
from spikeloom.bench.records import typed
from spikeloom.bench.window_pca import WindowPCA, stretched
from spikeloom.cli import main
from spikeloom.cli.bench import MODELS
from spikeloom.data.files import save
from spikeloom.data.spikedata import Signal, SpikeData
from spikeloom.evaluation.behaviour import with_places
from spikeloom.training.run import strict_json

TRIALS, BINS, NEURONS = 120, 12, 12
GRID = np.array([[x, y] for x in range(4) for y in range(4)], dtype=float)
RING = (GRID == 1).any(1) & (GRID > 0).all(1) & (GRID < 3).all(1)
"""Held-out targets: those of the inner square with a coordinate of 1."""
TINY = {"encoder": {"hidden": 8}, "mmd": {"weight": 10.0}}
SMALL = {
    "gnocchi": CodeSubject("G", "gnocchi", TINY | {"diffusion": {"hidden": 8, "sampling_steps": 3}}, random=True),
    "code-autoencoder-no-mmd": CodeSubject("A", "code-autoencoder", TINY | NO_MMD | {"decoder": {"hidden": 8}}),
    "pca": SUBJECTS["pca"],
}


def reaches(bend=0.0, seed=0, n=TRIALS):
    """Reaches on a grid: the hand moves straight, and units mix its position, its end and its start."""
    rng = np.random.default_rng(seed)
    places = GRID[rng.integers(len(GRID), size=(n, 2))]
    start, target = places[:, 0], places[:, 1]
    share = np.linspace(0, 1, BINS)[None, :, None]
    hand = start[:, None] * (1 - share) + target[:, None] * share
    features = (
        np.concatenate([hand, np.repeat(target[:, None], BINS, 1), np.repeat(start[:, None], BINS, 1)], axis=2) - 1.5
    )
    mixed = features @ rng.normal(size=(6, NEURONS))
    activity = mixed + bend * np.sin(2 * mixed)
    apart = RING[(target[:, None] == GRID).all(2).argmax(1)]
    rest = rng.permutation(np.flatnonzero(~apart))
    cut = len(rest) // 5
    return SpikeData(
        rng.poisson(np.exp(0.2 * np.clip(activity, -6, 6))),
        bin_s=0.01,
        signals={
            "activity": Signal(activity.astype(np.float32), "", tuple(map(str, range(NEURONS)))),
            "hand_pos": Signal(hand.astype(np.float32), "m", ("x", "y")),
        },
        trials=pd.DataFrame(np.hstack([start, target]), columns=["start_x", "start_y", "target_x", "target_y"]),
        splits={
            "train": np.sort(rest[2 * cut :]),
            "val": np.sort(rest[:cut]),
            "test": np.sort(rest[cut : 2 * cut]),
            "heldout": np.flatnonzero(apart),
        },
    )


def read(data):
    return data.signals["activity"].values


def linear(data, codes):
    """The linear reference of a recording, and its task."""
    task = ReachTask.of(data, read)
    pca = WindowPCA.fit(task.activity[task.train], data.lengths[task.train], codes)
    return WindowPCACodes(pca, read), task


def replaced(subject, **methods) -> Any:
    """A subject of which some methods are others."""
    names = ("codes", "activity", "expected")
    return SimpleNamespace(random=False, **{name: getattr(subject, name) for name in names} | methods)


@pytest.fixture(autouse=True)
def fast(monkeypatch):
    """Few draws and small figures, of which one set is drawn as it is."""
    monkeypatch.setattr(disentanglement, "scores", partial(scores, base_trials=2, draws=2))
    monkeypatch.setattr("spikeloom.bench.disentanglement_figures.PANELS", ("r2_draw",))
    monkeypatch.setattr("spikeloom.bench.disentanglement_figures.DRAWN", ())


def shrink(patch):
    """Small models, in place of the usual subjects."""
    benchmark = disentanglement.DISENTANGLEMENT
    patch.setattr(disentanglement, "SUBJECTS", SMALL)
    patch.setattr(
        disentanglement,
        "DISENTANGLEMENT",
        replace(benchmark, subjects={name: benchmark.subjects[name] for name in SMALL}),
    )


@pytest.fixture
def small(monkeypatch):
    shrink(monkeypatch)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("reaches") / "reaches.npz"
    save(reaches(bend=0.5), path)
    return str(path)


@pytest.fixture(scope="module")
def done(source, tmp_path_factory):
    """A benchmark of two seeds, and its folder."""
    out = tmp_path_factory.mktemp("bench") / "out"
    with pytest.MonkeyPatch.context() as patch:
        shrink(patch)
        patch.setattr(disentanglement, "scores", partial(scores, base_trials=3, draws=2))
        patch.setattr("spikeloom.bench.disentanglement_figures.PANELS", ("r2_draw",))
        return measure(out, source, codes=4, seeds=2, max_steps=3, device="cpu"), out


class TestWindows:
    def test_one_length_is_left_as_it_is(self):
        values = np.random.default_rng(0).normal(size=(3, 40, 2))
        assert np.array_equal(stretched(values, np.full(3, 40), 40), values)

    def test_short_trials_are_stretched_and_come_back(self):
        rng = np.random.default_rng(0)
        lengths = np.array([6, 9, 12] * 10)
        scale = rng.normal(size=(30, 1, 1))
        trajectory = np.zeros((30, 12, 3))
        for i, n in enumerate(lengths):  # straight lines, which interpolation keeps
            trajectory[i, :n] = np.linspace(0, 1, n)[:, None] * scale[i] * [1.0, 2.0, -1.0]
        pca = WindowPCA.fit(trajectory, lengths, 1)
        made = pca.activity(pca.codes(trajectory, lengths), lengths)
        assert np.allclose(made, trajectory, atol=1e-8)

    def test_codes_are_white(self):
        data = reaches()
        subject, task = linear(data, 4)
        codes = subject.codes(data)[task.train]
        assert np.allclose(codes.mean(0), 0, atol=1e-9)
        assert np.allclose(np.cov(codes.T), np.eye(4), atol=1e-9)

    def test_more_codes_than_directions_are_refused(self):
        with pytest.raises(Exception, match="spread in 4 directions"):
            linear(reaches(), 5)


class TestLinearReaches:
    """Activity that is a linear function of start and target: four codes suffice."""

    def test_everything_is_found(self):
        subject, task = linear(reaches(), 4)
        found = scores(subject, task, 0, base_trials=4).metrics
        assert found["r2_draw"] == pytest.approx(1, abs=1e-6)
        assert found["r2_expected"] == found["r2_draw"]
        assert found["r2_draw_shuffled"] < 0.2
        for place in task.places:
            assert found[f"readout_{place}"] == pytest.approx(1, abs=1e-6)
        assert found["heldout_error"] == pytest.approx(0, abs=1e-5)
        assert found["radial_reach"] == pytest.approx(1, abs=1e-5)
        assert found["covariance"] > 0.8
        assert found["code_sd_min"] == pytest.approx(1, abs=0.25)
        assert found["code_dims"] == 4

    def test_a_traversal_ends_where_it_should(self):
        subject, task = linear(reaches(), 4)
        found = scores(subject, task, 0, base_trials=5).metrics
        assert found["unintended_ratio_pinv"] < 0.02  # what the penalty of the decoder leaves
        assert found["end_error_pinv"] < 0.05
        assert found["inside_pinv"] == 1
        # Read-out directions that are not orthogonal move the rest too.
        assert found["unintended_ratio_row"] > 3 * found["unintended_ratio_pinv"]

    def test_fewer_codes_explain_less(self):
        subject, task = linear(reaches(), 2)
        found = scores(subject, task, 0, base_trials=3).metrics
        assert found["r2_draw"] < 0.95
        assert found["heldout_error"] > 0.1

    def test_tightness_by_target(self):
        subject, task = linear(reaches(n=400), 4)
        found = scores(subject, task, 0, base_trials=1).metrics
        assert found["snr_target"] > 1.3
        assert found["snr_target_shuffled"] == pytest.approx(1, abs=0.1)

    def test_traversals_move_codes(self):
        subject, task = linear(reaches(), 4)
        codes = subject.codes(task.data)
        first, again = (navigation(subject, task, codes, 0, 3, 1).arrays["unintended_row"] for _ in range(2))
        assert np.array_equal(first, again)
        assert len(first) == 6  # base trials times coordinates
        assert not np.array_equal(first, navigation(subject, task, codes, 1, 3, 1).arrays["unintended_row"])

    def test_a_decoder_that_ignores_its_code(self):
        subject, task = linear(reaches(), 4)
        deaf = replaced(subject, activity=lambda c, n, s: subject.activity(0 * c, n, s))
        found = navigation(deaf, task, subject.codes(task.data), 0, 4, 1).metrics
        assert found["unintended_row"] == pytest.approx(0, abs=1e-9)
        assert found["end_error_row"] > 0.5

    def test_others_codes_are_all_of_others(self):
        data = reaches()
        subject, task = linear(data, 4)
        codes = subject.codes(data)
        used = []
        spy = replaced(subject, activity=lambda c, n, s: used.append(c) or subject.activity(c, n, s))
        reconstruction(spy, task, codes, 0)
        own, other = used
        assert np.array_equal(np.sort(own, axis=0), np.sort(other, axis=0))
        assert not (own == other).all(1).any()

    def test_likeness_of_trials_to_themselves(self):
        data = reaches()
        _, task = linear(data, 4)
        test = task.activity[task.test], data.lengths[task.test]
        found = likeness(test, task)
        assert found.metrics["covariance"] == pytest.approx(1)
        assert found.metrics["psth"] == pytest.approx(1)
        train = task.activity[task.train], data.lengths[task.train]
        assert np.allclose(likeness(train, task).arrays["spread"][:4], 1)
        halved = likeness((train[0] * 0.5, train[1]), task).arrays["spread"]
        assert np.allclose(halved[:4], 0.5)

    def test_references(self):
        _, task = linear(reaches(), 4)
        real, chance = (references(task, 4)[kind] for kind in ("real", "chance"))
        assert real["readout_target_x"] > 0.99
        assert real["heldout_error"] < 0.05
        assert real["decoder_x"] > 0.99
        assert real["inside_row"] == 1
        middle = task.targets[task.rows("train")].mean(0)
        expected = np.linalg.norm(task.targets[task.heldout] - middle, axis=1).mean()
        assert chance["heldout_error"] == pytest.approx(expected)
        assert chance["cos_target"] == pytest.approx(0.4244, abs=1e-3)


class TestTask:
    def test_goals_of_traversals(self):
        _, task = linear(reaches(), 4)
        assert np.allclose(task.goals("target_x"), [0, 1, 2, 3])
        assert task.only_heldout.sum() == RING.sum() == 3
        assert task.at_heldout_target(np.array([[1.0, 1.0], [1.0, 2.0], [2.0, 2.0], [1.0, 1.4]])).tolist() == [
            True,
            True,
            False,
            False,
        ]
        assert task.in_heldout_region(np.array([[1.1, 0.9], [2.2, 2.2], [1.0, 1.4], [-5.0, 1.0]])).tolist() == [
            True,
            False,
            True,
            False,
        ]

    def test_targets_without_a_grid(self):
        data = reaches(n=400)
        rng = np.random.default_rng(0)
        moved = data.trials.assign(target_x=data.trials["target_x"] + 0.01 * rng.normal(size=data.n_trials))
        _, task = linear(replace(data, trials=moved), 4)
        assert task.grid is None
        assert len(task.goals("target_x")) == 7
        subject, _ = linear(data, 4)
        found = scores(subject, task, 0, base_trials=2).metrics
        assert "inside_row" not in found
        assert "snr_target" not in found
        assert "snr_start" in found
        assert found["end_error_pinv"] < 0.1

    def test_other_names_of_places(self):
        data = reaches()
        named = {"target_x": "target_pos_0", "target_y": "target_pos_1"}
        renamed = replace(data, trials=data.trials.rename(columns=named).drop(columns=["start_x", "start_y"]))
        assert list(with_places(renamed).trials) == ["target_x", "target_y"]
        subject, task = linear(renamed, 4)
        found = readouts(subject, task, subject.codes(renamed), 0).metrics
        assert {"readout_target_x", "cos_target"} <= set(found)
        assert not {"readout_start_x", "cos_all"} & set(found)

    def test_no_position(self):
        data = reaches()
        blind = replace(data, signals={"activity": data.signals["activity"]})
        subject, task = linear(blind, 4)
        found = scores(subject, task, 0).metrics
        assert not [name for name in found if name.startswith(("unintended", "end_error", "inside"))]
        assert "decoder_x" not in references(task, 4)["real"]

    def test_nothing_held_out(self):
        data = reaches()
        splits = {k: v for k, v in data.splits.items() if k != "heldout"}
        subject, task = linear(replace(data, splits=splits), 4)
        found = scores(subject, task, 0, base_trials=2).metrics
        assert not {"heldout_error", "radial_reach", "inside_row"} & set(found)
        assert "heldout_error" not in references(task, 4)["real"]


class TestBenchmark:
    def test_every_subject_and_seed_once(self, done):
        result, out = done
        assert [(r.subject, r.seed) for r in result.results] == [(name, s) for s in range(2) for name in SMALL]
        for name in SMALL:
            assert result.mean(name, "r2_draw").n == 2
            assert (out / "runs" / f"{name}-0" / "weights.safetensors").is_file() == (name != "pca")
        numbers = [r.metrics["r2_draw"] for r in result.results if r.subject == "gnocchi"]
        assert numbers[0] != numbers[1]
        twice = [r.metrics["r2_draw"] for r in result.results if r.subject == "pca"]
        assert twice[0] == twice[1]

    def test_written(self, done):
        result, out = done
        content = json.loads((out / "disentanglement.json").read_text())
        again = typed(DisentanglementRecord, content).to_dict()
        assert strict_json(again["results"]) == strict_json(result.to_dict()["results"])
        assert content["setting"]["subjects"]["code-autoencoder-no-mmd"]["config"]["mmd"]["weight"] == 0
        text = (out / "disentanglement.md").read_text()
        rows = [line for line in text.splitlines() if line.startswith("|")]
        tables = text.split("\n\n|")[1:]
        for table in tables:  # every row of a table has as many cells as its head
            lines = ("|" + table.split("\n\n")[0]).splitlines()
            assert len({line.count("|") for line in lines}) == 1
        assert len(rows) > 40
        assert "stand-in, not LFADS" in text
        mean = result.mean("pca", "heldout_error")
        assert f"{mean.value:.3g} ± 0" in text
        for name in ("codes-gnocchi", "codes-pca", "walks-gnocchi", "walks-pca"):
            assert Image.open(out / f"{name}.png").width > 800

    def test_the_figure(self, done, monkeypatch):
        monkeypatch.setattr("spikeloom.bench.disentanglement_figures.PANELS", ("r2_draw", "cos_target", "snr_start"))
        result, out = done
        assert Image.open(out / "disentanglement.png").width > 800
        panels = draw_disentanglement(result).axes[:3]
        assert [axes.get_title("left") for axes in panels] == [
            "unit R2, one draw",
            "cosine of target axes",
            "SNR of start",
        ]
        assert [label.get_text() for label in panels[0].get_yticklabels()] == ["G", "A", "PCA of windows"]
        drawn = [line.get_xdata()[0] for line in panels[0].get_lines() if line.get_marker() in "osD"]  # type: ignore[index]
        assert drawn == [result.mean(name, "r2_draw").value for name in SMALL]

    def test_all_measures_are_in_tables(self, done):
        result, _ = done
        known = {m.key for group in GROUPS for m in group.measures} - {"nearer"}
        assert known == set(result.results[0].metrics)

    def test_it_goes_on(self, done, source, small, monkeypatch):
        result, out = done
        before = (out / "disentanglement.json").read_bytes()
        monkeypatch.setattr(disentanglement, "code_model", lambda *a: pytest.fail("trained again"))
        measure(out, source, codes=4, seeds=2, max_steps=3, device="cpu")
        assert (out / "disentanglement.json").read_bytes() == before
        more = measure(out, source, codes=4, seeds=3, models=["pca"], max_steps=3, device="cpu")
        assert len(more.results) == len(result.results) + 1
        assert list(more.setting["subjects"]) == list(SMALL)
        assert len(more.commands) == len(result.commands) + 1

    def test_a_folder_with_old_names_of_fields_goes_on(self, done, source, small, tmp_path, monkeypatch):
        written = (done[1] / "disentanglement.json").read_text()
        content = json.loads(written)
        config = content["setting"]["subjects"]["gnocchi"]["config"]
        config["codes"] = config.pop("code_dim")
        config["training"]["clip"] = config["training"].pop("grad_clip_norm")
        (tmp_path / "old").mkdir()
        (tmp_path / "old" / "disentanglement.json").write_text(json.dumps(content))
        monkeypatch.setattr(disentanglement, "code_model", lambda *a: pytest.fail("trained again"))
        measure(tmp_path / "old", source, codes=4, seeds=2, max_steps=3, device="cpu")
        assert json.loads((tmp_path / "old" / "disentanglement.json").read_text()) == json.loads(written)

    @pytest.mark.slow
    def test_a_cut_benchmark_keeps_what_it_has(self, source, small, tmp_path, monkeypatch):
        once = disentanglement.measured
        number = []

        def cut(made, name, *rest):
            number.append(name)
            if len(number) == 2:
                raise KeyboardInterrupt
            return once(made, name, *rest)

        names = ["code-autoencoder-no-mmd", "pca"]
        monkeypatch.setattr(disentanglement, "measured", cut)
        with pytest.raises(KeyboardInterrupt):
            measure(tmp_path / "out", source, codes=4, seeds=1, models=names, max_steps=2, device="cpu")
        left = json.loads((tmp_path / "out" / "disentanglement.json").read_text())
        assert [r["subject"] for r in left["results"]] == names[:1]
        assert "| unit R2, one draw ↑ |" in (tmp_path / "out" / "disentanglement.md").read_text()
        # A run that was trained, but not measured, is not trained again.
        (tmp_path / "out" / "disentanglement.json").write_text(json.dumps(left | {"results": []}))
        monkeypatch.setattr("spikeloom.bench.trained_models.start_run", lambda *a: pytest.fail("trained again"))
        result = measure(tmp_path / "out", source, codes=4, seeds=1, models=names, max_steps=2, device="cpu")
        assert result.results[0].metrics == typed(CodeResult, left["results"][0]).metrics
        assert [r.subject for r in result.results] == names


class TestRefusals:
    @pytest.fixture(autouse=True)
    def nothing_is_trained(self, monkeypatch):
        monkeypatch.setattr(disentanglement, "code_model", lambda *a: pytest.fail("something was trained"))

    def test_other_settings(self, done, source, small, refused):
        words = ["bench", "disentanglement", "--out", done[1], "--data", source, "--device", "cpu"]
        before = (done[1] / "disentanglement.json").read_bytes()
        assert "codes 4, but now it is 3" in refused(*words, "--codes", "3", "--max_steps", "3")
        assert "training.steps 3, but now it is 2" in refused(*words, "--codes", "4", "--max_steps", "2")
        assert "but now it is 'counts'" in refused(*words, "--activity", "counts", "--codes", "4", "--max_steps", "3")
        assert (done[1] / "disentanglement.json").read_bytes() == before

    def test_no_targets(self, refused, tmp_path):
        data = reaches()
        save(replace(data, trials=data.trials[["start_x"]]), tmp_path / "a.npz")
        message = refused("bench", "disentanglement", "--out", "out", "--data", tmp_path / "a.npz")
        assert "has no targets" in message
        assert "start_x" in message

    def test_words(self, source, refused, tmp_path):
        words = ["bench", "disentanglement", "--data", source, "--out", "out"]
        assert "has no such (has activity, hand_pos)" in refused(*words, "--activity", "speed")
        assert "'tndm'" in refused(*words, "--models", "tndm")
        assert "is 0" in refused(*words, "--codes", "0")
        assert "disentanglement" in refused("bench", "entanglement", "--out", "out")
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "mine.txt").write_text("mine")
        assert "is not an empty folder" in refused(*words)

    def test_a_damaged_file(self, source, refused, tmp_path):
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "disentanglement.json").write_text('{"results": 3}')
        assert "is damaged" in refused("bench", "disentanglement", "--data", source, "--out", "out")


def test_the_command_knows_all_models():
    assert tuple(SUBJECTS) == MODELS


def test_every_subject_has_codes_of_the_requested_size():
    configs = {name: subject.config(3, "counts", 7) for name, subject in SUBJECTS.items()}
    assert configs.pop("pca") is None
    assert {getattr(c, SUBJECTS[name].size_field) for name, c in configs.items()} == {3}
    assert {c.training.steps for c in configs.values()} == {7}


def test_help_lists_both_benchmarks(capsys):
    assert main(["bench", "--help"]) == 0
    message = " ".join(capsys.readouterr().out.split())
    assert "latency-quality: " in message
    assert "disentanglement: " in message
    assert "--points" not in message
    assert main(["bench", "disentanglement", "--help"]) == 0
    message = capsys.readouterr().out
    assert "--seeds" in message
    assert "--hold_out" in message
    assert "--points" not in message


def test_the_command(source, tmp_path, capsys):
    words = ["bench", "disentanglement", "--out", str(tmp_path / "out"), "--data", source, "--models", "pca"]
    assert main([*words, "--codes", "4", "--seeds", "1", "--device", "cpu", "--where", "start_x>0"]) == 0
    assert capsys.readouterr().out == f"disentanglement: {tmp_path / 'out' / 'disentanglement.md'}\n"
    content = json.loads((tmp_path / "out" / "disentanglement.json").read_text())
    assert content["setting"]["recording"]["reading"] == {"where": ["start_x>0"]}
    assert content["setting"]["activity"] == "activity"


# -- over seeds, from numbers that are made up -----------------------------------------------------------------------


def made_up(numbers, activity="activity", **arrays):
    """Results of subjects with a list of values, one a seed, for each metric."""
    names = ["gnocchi", "gnocchi-no-mmd", "code-autoencoder", "code-autoencoder-no-mmd", "pca"]
    results = tuple(
        CodeResult(name, seed, {k: v[seed] for k, v in metrics.items()}, {k: v[name] for k, v in arrays.items()})
        for name, metrics in numbers.items()
        for seed in range(len(next(iter(metrics.values()))))
    )
    recording = {"source": "x", "summary": "", "splits": {}, "unit": "m"}
    subjects = {name: {"label": name} for name in names if name in numbers}
    setting = {"recording": recording, "activity": activity, "codes": 5, "subjects": subjects}
    return DisentanglementRecord(setting, references={"real": {"covariance": 0.99}}, results=results)


def verdicts(result):
    rows = [line.strip("|").split(" | ") for line in claims_table(result)[-1].splitlines() if line.startswith("| C")]
    return {row[0].split(":")[0].strip(): (row[1].strip("*"), row[3].strip("*")) for row in rows}


class TestOverSeeds:
    def test_mean_and_interval(self):
        mean = Mean.of([1.0, 2.0, 3.0])
        assert mean.value == 2
        assert mean.half == pytest.approx(4.302653 / math.sqrt(3), rel=1e-5)
        assert str(Mean.of([1.5])) == "1.5"
        assert str(Mean.of([float("nan")])) == "-"
        assert str(Mean.of([0.3, 0.1 + 0.2])) == "0.3 ± 0"

    def test_claims(self):
        rival = "code-autoencoder-no-mmd"
        result = made_up(
            {
                "gnocchi": {"snr_target": [2.0, 2.1, 2.2], "cos_target": [0.3, 0.4, 0.5], "r2_expected": [0.95] * 3},
                rival: {"snr_target": [1.0, 1.2, 1.1], "cos_target": [0.41, 0.3, 0.5], "r2_expected": [0.93] * 3},
                "pca": {"snr_target": [3.0, 3.0, 3.0], "cos_target": [0.1, 0.1, 0.1], "r2_expected": [0.8] * 3},
            }
        )
        found = verdicts(result)
        assert found["C1"] == (HOLDS, FAILS)
        assert found["C2"] == (HOLDS, FAILS)
        assert found["C3"][0] == OPEN
        assert found["C5"] == (UNTESTED, UNTESTED)
        assert found["C7"] == (UNTESTED, UNTESTED)
        assert found["C9"] == (UNTESTED, UNTESTED)

    def test_one_seed_decides_nothing(self):
        result = made_up({"gnocchi": {"snr_target": [9.0]}, "pca": {"snr_target": [1.0]}})
        assert verdicts(result)["C2"] == (UNTESTED, OPEN)

    def test_little_movement_of_any_kind_is_no_merit(self):
        rival = "code-autoencoder-no-mmd"

        def with_ratio(ratio):
            return made_up(
                {
                    "gnocchi": {"unintended_row": [0.1, 0.11, 0.12], "unintended_ratio_row": [ratio] * 3},
                    rival: {"unintended_row": [1.1, 1.0, 1.2], "unintended_ratio_row": [0.5] * 3},
                }
            )

        assert verdicts(with_ratio(2.0))["C4"][0] == OPEN
        assert verdicts(with_ratio(0.2))["C4"][0] == HOLDS

    def test_claims_about_spikes(self):
        numbers = {
            "gnocchi": {"r2_expected": [0.5, 0.51, 0.52], "radial_reach": [0.9, 0.91, 0.92]},
            "code-autoencoder-no-mmd": {"r2_expected": [0.4, 0.41, 0.43], "radial_reach": [0.5, 0.52, 0.51]},
        }
        nearer = {"gnocchi": (1.0, 1.0, 5.0), "code-autoencoder-no-mmd": (2.0, 2.0, 2.0)}
        farther = {"gnocchi": (3.0, 3.0, 1.0), "code-autoencoder-no-mmd": (2.0, 2.0, 2.0)}
        assert verdicts(made_up(numbers, "counts", heldout_error=nearer))["C7"][0] == HOLDS
        assert verdicts(made_up(numbers, "counts", heldout_error=nearer))["C8"][0] == HOLDS
        assert verdicts(made_up(numbers, "counts", heldout_error=farther))["C8"][0] == FAILS

    def test_nearer_than_pca(self):
        errors = {"gnocchi": (1.0, 1.0, 5.0, 1.0), "pca": (2.0, 2.0, 2.0, 2.0)}
        result = made_up({"gnocchi": {"x": [1.0]}, "pca": {"x": [1.0]}}, heldout_error=errors)
        assert result.values("gnocchi", "nearer") == {0: 0.75}
        assert result.values("pca", "nearer") == {}

    def test_effects(self):
        values = {
            "gnocchi": 10.0,
            "gnocchi-no-mmd": 4.0,
            "code-autoencoder": 3.0,
            "code-autoencoder-no-mmd": 1.0,
        }
        result = made_up({name: {"snr_target": [v, v]} for name, v in values.items()})
        row = next(line for line in effects_table(result)[-1].splitlines() if line.startswith("| SNR of target"))
        assert [cell.strip() for cell in row.strip("|").split("|")][1::2] == ["4 ± 0", "5 ± 0", "4 ± 0"]

    def test_pairs_of_items(self):
        folds = {"gnocchi": (0.1, 0.2, 0.3), "pca": (0.2, 0.4, 0.35)}
        result = made_up({"gnocchi": {"cos_target": [0.2]}, "pca": {"cos_target": [0.3]}}, cos_target=folds)
        paired = result.over_items("cos_target", "gnocchi", "pca")
        assert paired is not None
        assert paired.n == 3
        assert paired.mean == pytest.approx(-0.35 / 3)
        assert result.over_seeds("cos_target", "gnocchi", "pca") is None
