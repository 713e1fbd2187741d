"""The benchmark of generation: what it trains, draws, measures, writes, keeps and refuses."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

import quick_compare
from commands import TINY, TINY_EAG, TINY_LFADS, TINY_PIVAE, TINY_TNDM
from quick_compare import QUICK
from spikeloom.bench import generation, trained_models
from spikeloom.bench.generation import (
    GenerationMeasurement,
    by_training,
    fewer,
    generation_setting,
)
from spikeloom.bench.generation import (
    run_generation_benchmark as measure,
)
from spikeloom.bench.generation_figures import ROWS, draw_generation
from spikeloom.bench.generation_record import (
    MAIN,
    Copies,
    GenerationRecord,
    GenerationResult,
    generation_page,
    metric_table,
)
from spikeloom.bench.generation_subjects import SUBJECTS, behaviour_of, config_of, left_out, presets_of
from spikeloom.bench.published_values import MC_MAZE
from spikeloom.bench.quality import Quality, Score
from spikeloom.bench.records import typed
from spikeloom.bench.trained_models import Trainer, training_seconds
from spikeloom.cli import main
from spikeloom.data.files import load, save
from spikeloom.data.options import LoadOptions
from spikeloom.data.simulated.lorenz import lorenz
from spikeloom.data.spikedata import Signal, SpikeData
from spikeloom.data.splits import with_default_splits
from spikeloom.drawing.style import new_figure, write_png
from spikeloom.errors import DataError
from spikeloom.evaluation.memorisation import CopyFinding
from spikeloom.evaluation.published import LDNS_METRICS
from spikeloom.evaluation.verdict import Level
from spikeloom.models import load_model
from spikeloom.training.checkpoint import weights_hash
from spikeloom.training.run import Run, strict_json

MEASURED = (
    "homogeneous",
    "verbatim",
    "autoencoder",
    "pivae",
    "tndm-history",
    "lfads",
    "lfads-history",
    "ldns-history",
    "eag",
)
TWICE = ("verbatim", "lfads", "lfads-history")
"""What is measured with two seeds."""
SIZES = {
    "ldns": TINY,
    "eag": {k: v for k, v in TINY.items() if k.startswith("autoencoder")} | TINY_EAG,
    "lfads": {k: v for k, v in TINY_LFADS.items() if not k.startswith("controller")},
    "tndm": {k: v for k, v in TINY_TNDM.items() if k != "behaviour"},
    "pivae": TINY_PIVAE,
}


def recorded(n=60, bins=12, neurons=6, seed=0, **more):
    """Trials whose neurons follow a hand, with two conditions."""
    rng = np.random.default_rng(seed)
    trajectory = np.sin(np.linspace(0, 3, bins))[:, None] * rng.choice([-1.0, 1.0], (n, 1, 2))
    counts = rng.poisson(np.exp(trajectory @ rng.normal(size=(2, neurons)) - 0.5))
    hand = Signal(trajectory.astype(np.float32), "cm/s", ("x", "y"))
    return SpikeData(counts, bin_s=0.02, signals={"hand_vel": hand}, **more)


def labelled(**more):
    return recorded(trials=pd.DataFrame({"condition": np.arange(60) % 2, "side": np.arange(60) % 3}), **more)


def hurry(patch):
    """Few draws and resamplings, and an empty figure."""
    quick_compare.hurry(patch)
    patch.setattr(generation, "compare", QUICK)
    patch.setattr("spikeloom.bench.generation_figures.draw_generation", lambda result: new_figure(1.0, 1.0))


@pytest.fixture(autouse=True)
def fast(monkeypatch):
    hurry(monkeypatch)


@pytest.fixture(scope="module")
def presets(tmp_path_factory):
    """Presets of small models, as the command is given them."""
    folder = tmp_path_factory.mktemp("presets")
    named = []
    for name, sizes in SIZES.items():
        content: dict = {"model": name}
        for key, value in sizes.items():
            group, _, field = key.partition(".")
            if field:
                content.setdefault(group, {})[field] = value
            else:
                content[group] = value
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content))
        named.append(f"{name}={folder / name}.yaml")
    return named


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("recording") / "recorded.npz"
    save(recorded(), path)
    return str(path)


@pytest.fixture(scope="module")
def done(source, presets, tmp_path_factory):
    """A benchmark of one seed of all subjects and two of some, its folder, and what was trained for it."""
    out = tmp_path_factory.mktemp("bench") / "out"
    trained, once = [], trained_models.trained_model

    def noted(preset, config, folder, *rest):
        trained.append(folder.name)
        return once(preset, config, folder, *rest)

    with pytest.MonkeyPatch.context() as patch:
        hurry(patch)
        patch.setattr(trained_models, "trained_model", noted)
        options: dict[str, Any] = {"presets": presets, "n": 20, "max_steps": 2, "device": "cpu"}
        measure(out, source, seeds=1, models=MEASURED, **options)
        result = measure(out, source, seeds=2, models=TWICE, **options)
    return result, out, trained


def again(done, source, presets, **changes):
    options: dict[str, Any] = {
        "seeds": 2,
        "models": MEASURED,
        "presets": presets,
        "n": 20,
        "max_steps": 2,
        "device": "cpu",
    }
    return measure(done[1], source, **(options | changes))


def table(text, title):
    """Rows of the table under a heading, as cells by label."""
    lines = text.split(f"## {title}")[1].split("\n##")[0].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if line.startswith("|")]
    assert len({len(row) for row in rows}) == 1
    return rows[0], {row[0]: row[1:] for row in rows[2:]}


class TestBenchmark:
    def test_every_subject_and_seed_once(self, done):
        result, out, _ = done
        assert result.subjects == list(MEASURED)
        in_turn = [(r.subject, r.seed) for r in result.results]
        assert in_turn == [*((name, 0) for name in by_training(MEASURED)), *((name, 1) for name in by_training(TWICE))]
        assert by_training(MEASURED)[-3:] == ["autoencoder", "ldns-history", "eag"]
        for r in result.results:
            assert math.isfinite(r.quality.heldout["rate_rmse"].value)
            assert math.isfinite(r.quality.ldns["rmse_corr"].value)
            assert r.samples_per_s > 0 or r.subject == "autoencoder"
        values = [s.value for s in result.scores("lfads", "heldout", "rate_rmse")]
        assert values[0] != values[1]
        assert not (out / "recording.npz").exists()

    def test_rows_of_one_model_are_drawn_from_one_training(self, done):
        result, out, trained = done
        runs = sorted(p.name for p in (out / "runs").iterdir())
        assert runs == sorted([*(f"{name}-0" for name in SIZES), "lfads-1"])
        assert sorted(trained) == runs  # each is opened once, for all of its rows
        poisson, history = (result.of(name)[0] for name in ("lfads", "lfads-history"))
        assert (poisson.parameters, poisson.training_s) == (history.parameters, history.training_s)
        assert poisson.parameters > 0
        assert poisson.quality.heldout["rate_rmse"] != history.quality.heldout["rate_rmse"]

    def test_rows_of_one_model_have_the_same_rates(self, done, source):
        data = with_default_splits(load(source))
        measurement = GenerationMeasurement(data, 5, Trainer(done[1], source, LoadOptions(), {}, {}, "cpu"))
        model = load_model(done[1] / "runs" / "lfads-0")
        poisson, history = (measurement.sampled(model, SUBJECTS[name], 0) for name in ("lfads", "lfads-history"))
        np.testing.assert_array_equal(poisson.rates, history.rates)
        assert not np.array_equal(poisson.counts, history.counts)

    def test_an_autoencoder_is_trained_once_and_is_the_one_that_would_be_trained(self, done, source, tmp_path, presets):
        _, out, _ = done
        assert "autoencoder_from" in Run(out / "runs" / "eag-0").read_json("data.json")
        alone = measure(
            tmp_path / "b", source, seeds=1, models=["eag"], presets=presets, n=20, max_steps=2, device="cpu"
        )
        shared, own = (load_model(folder / "runs" / "eag-0") for folder in (out, tmp_path / "b"))
        assert weights_hash(shared) == weights_hash(own)
        same = [
            strict_json(r.to_dict()["results"][-1]["quality"])
            for r in (replace(done[0], results=(done[0].of("eag")[0],)), alone)
        ]
        assert same[0] == same[1]
        stages = training_seconds(out / "runs" / "ldns-0", "autoencoder")
        assert done[0].of("eag")[0].training_s == pytest.approx(stages + training_seconds(out / "runs" / "eag-0"))

    def test_the_behaviour_a_model_learns_from(self, done):
        subjects = done[0].setting["subjects"]
        assert subjects["tndm-history"]["config"]["behaviour"] == "hand_vel"
        assert tuple(subjects["pivae"]["config"]["condition_on"]) == ("hand_vel",)
        assert "behaviour" not in subjects["ldns-history"]["config"]
        assert subjects["homogeneous"]["config"] is None

    def test_scores_are_those_of_compare(self, done, source):
        result = done[0]
        data = with_default_splits(load(source))
        lengths = np.resize(data.lengths[data.splits["train"]], 20)
        model = load_model(done[1] / "runs" / "lfads-1")
        drawn = model.sample(20, lengths=lengths, seed=1, observation="poisson")
        for protocol in ("heldout", "ldns"):
            metrics = QUICK(data, drawn, protocol).metrics
            for key, score in getattr(result.of("lfads")[1].quality, protocol).items():
                np.testing.assert_equal((score.value, score.se), (metrics[key].value, metrics[key].se))

    def test_a_copy_raises_the_alarm(self, done):
        result, out, _ = done
        assert all(r.copies.alarm for r in result.of("verbatim"))
        assert not any(r.copies.alarm for r in result.of("homogeneous"))
        _, rows = table((out / "generation.md").read_text(), "Copies")
        assert rows["training trials"][1] == "**2 of 2**"
        assert "**" not in rows["LFADS"][1]
        assert rows["LFADS"][2] == rows["LFADS + history"][2] == f"{result.of('lfads')[0].parameters:,}"
        assert rows["training trials"][2] == "-"

    def test_written(self, done):
        result, out, _ = done
        content = json.loads((out / "generation.json").read_text(), parse_constant=pytest.fail)
        again = typed(GenerationRecord, content)
        assert strict_json(again.to_dict()) == strict_json(result.to_dict())
        assert content["published"]["values"]["eag"]["kl_div_psc"] == {"value": 1.4e-3, "sd": 2e-4}
        text = (out / "generation.md").read_text()
        assert "of one training for each seed: LFADS, LFADS + history" in text
        assert "TNDM and pi-VAE" in text or "pi-VAE and TNDM" in text
        assert "which no other system does" in text
        assert "true state" not in text
        assert "neurons shuffled" not in text  # was not measured
        assert "Fewer than three seeds" in text
        assert (out / "generation.png").is_file()


class TestTables:
    def test_published_values_stand_beside_ours(self, done):
        head, rows = table((done[1] / "generation.md").read_text(), "Published protocol")
        assert head[1:] == [
            "kl_div_psc (nats)", "MC_Maze", "rmse_corr", "MC_Maze",
            "rmse_mean_isi (s)", "MC_Maze", "rmse_std_isi (s)", "MC_Maze",
        ]  # fmt: skip
        assert rows["LFADS"][1] == "0.00405 ± 0.0002 (×29)"
        assert rows["EAG"][5] == "0.024 ± 0.001 (×1.9)"
        assert rows["*floor: real against real*"][1] == "0.00014 ± 6e-05"
        assert rows["Poisson, mean rates"][1] == rows["TNDM + history"][1] == "-"
        assert "**of another recording**" in (done[1] / "generation.md").read_text()

    def test_values_over_seeds_and_over_the_floor(self, done):
        result, out, _ = done
        head, rows = table((out / "generation.md").read_text(), "Against held-out trials")
        assert [title.split(" ")[0] for title in head[1:]] == list(MAIN)
        spread = result.spread("lfads", "heldout", "corr_rmse")
        assert spread is not None
        values = [s.value for s in result.scores("lfads", "heldout", "corr_rmse")]
        seeds = np.std(values, ddof=1) / np.sqrt(len(values))
        assert (spread.value, spread.seeds) == (pytest.approx(np.mean(values)), pytest.approx(seeds))
        assert spread.error > max(spread.seeds, spread.trials)
        shown = rows["LFADS"][1]
        assert shown.replace("*", "").startswith(f"{spread.value:.3g} ± {spread.error:.1g}")
        assert shown.endswith(f"({spread.score:.2f})") == math.isfinite(spread.score)
        assert shown.startswith("**") == (set(spread.levels) == {Level.MATCHES})
        assert "(" not in rows["*floor: real against real*"][1]

    def test_every_metric_is_in_some_table(self, done):
        text = (done[1] / "generation.md").read_text()
        others, _ = table(text, "Other held-out metrics")
        assert not {title.split(" ")[0] for title in others} & set(MAIN)
        assert {"rate_rmse", "c2st_basic", "acf_rmse"} <= {title.split(" ")[0] for title in others}

    def test_bold_matches_with_every_seed(self):
        def quality(value, level, score=0.5):
            return Quality({"corr_rmse": Score(value, 0.01, level, score)}, {})

        def made(*levels, value=0.2, score=0.5):
            results = tuple(
                GenerationResult(
                    "ldns", seed, quality(value, level, score), Copies(0.0, 0.1, CopyFinding.NONE_DETECTED)
                )
                for seed, level in enumerate(levels)
            )
            setting = {"subjects": {"ldns": {"label": "L"}}}
            return GenerationRecord(setting, floor=quality(0.1, Level.NOT_DEFINED), results=results)

        def cell(record, **options):
            text = metric_table(record, "heldout", ["corr_rmse"], **options)
            return text.splitlines()[-1].strip("| ").split(" | ")[1]

        assert cell(made(Level.MATCHES, Level.MATCHES), ratios=True) == "**0.2 ± 0.01** (×2)"
        assert cell(made(Level.MATCHES, Level.DIFFERS), scores=True) == "0.2 ± 0.01 (0.50)"
        assert cell(made(Level.MATCHES, Level.CANNOT_TELL)) == "0.2 ± 0.01 ?"
        assert cell(made(Level.MATCHES, score=math.nan), scores=True) == "**0.2 ± 0.01**"
        assert cell(made(Level.NO_BETTER, value=math.inf), ratios=True) == "∞ ± 0.01"
        assert cell(made(Level.NOT_DEFINED, value=math.nan), ratios=True) == "-"

    def test_copies_that_could_not_be_tested_are_no_clean_result(self, done):
        untested = tuple(replace(r, copies=Copies(0.1, 0.5, CopyFinding.NOT_TESTABLE)) for r in done[0].of("lfads"))
        _, rows = table(generation_page(replace(done[0], results=untested)), "Copies")
        assert rows["LFADS"][1] == "not testable (2 of 2)"

    def test_published_rows_are_of_known_subjects_and_metrics(self):
        assert set(MC_MAZE) - {"floor"} <= set(SUBJECTS)
        for row in MC_MAZE.values():
            assert list(row) == [m.name for m in LDNS_METRICS]
        assert MC_MAZE["lfads-history"]["rmse_std_isi"] == (0.0234, 0.0001)

    def test_figure(self, done, tmp_path):
        result = done[0]
        figure = draw_generation(result)
        write_png(figure, tmp_path / "a.png")
        with Image.open(tmp_path / "a.png") as image:
            assert min(image.size) > 800
        panels = [axes for part in figure.subfigs for axes in part.axes]
        assert [axes.get_title("left") for axes in panels] == [p.title for row in ROWS.values() for p in row]
        labels = [label.get_text() for label in panels[0].get_yticklabels()]
        assert labels == [SUBJECTS[name].label for name in MEASURED]
        drawn = {line.get_xdata()[0] for line in panels[1].get_lines() if line.get_marker() == "o"}  # type: ignore[index]
        assert drawn == {result.spread(name, "heldout", "corr_rmse").value for name in MEASURED}  # type: ignore[union-attr]
        seeds = [line for line in panels[1].get_lines() if line.get_marker() == "|"]
        assert [len(line.get_xdata()) for line in seeds] == [2] * len(TWICE)  # type: ignore[arg-type]


class TestResume:
    def test_it_goes_on(self, done, source, presets, monkeypatch):
        before = (done[1] / "generation.json").read_bytes()
        monkeypatch.setattr(trained_models, "trained_model", lambda *a: pytest.fail("trained again"))
        again(done, source, presets, models=TWICE)
        assert (done[1] / "generation.json").read_bytes() == before
        more = again(done, source, presets, seeds=3, models=["shuffled"])
        assert [(r.subject, r.seed) for r in more.results[len(done[0].results) :]] == [
            ("shuffled", s) for s in range(3)
        ]
        assert list(more.setting["subjects"]) == [name for name in SUBJECTS if name in (*MEASURED, "shuffled")]
        assert len(more.commands) == len(done[0].commands) + 1
        assert strict_json(more.to_dict()["floor"]) == strict_json(done[0].to_dict()["floor"])

    def test_a_cut_benchmark_keeps_what_it_has(self, source, presets, tmp_path, monkeypatch):
        once, number = GenerationMeasurement.compared, []

        def cut(self, name, *rest):
            number.append(name)
            if len(number) == 2:
                raise KeyboardInterrupt
            return once(self, name, *rest)

        options: dict[str, Any] = {
            "seeds": 1,
            "models": ["lfads", "lfads-history"],
            "presets": presets,
            "n": 12,
            "max_steps": 2,
        }
        monkeypatch.setattr(GenerationMeasurement, "compared", cut)
        with pytest.raises(KeyboardInterrupt):
            measure(tmp_path / "out", source, device="cpu", **options)
        left = json.loads((tmp_path / "out" / "generation.json").read_text())
        assert [r["subject"] for r in left["results"]] == ["lfads"]
        assert "| LFADS |" in (tmp_path / "out" / "generation.md").read_text()
        # The run that was trained for it is not trained again.
        monkeypatch.setattr(trained_models, "start_run", lambda *a: pytest.fail("trained again"))
        result = measure(tmp_path / "out", source, device="cpu", **options)
        assert [r.subject for r in result.results] == ["lfads", "lfads-history"]
        assert strict_json(result.to_dict()["results"][0]) == strict_json(left["results"][0])

    def test_other_settings_are_refused(self, done, source, presets, refused, monkeypatch):
        monkeypatch.setattr(trained_models, "trained_model", lambda *a: pytest.fail("trained"))
        words = ["bench", "generation", "--out", done[1], "--data", source, "--device", "cpu", "--preset", *presets]
        before = (done[1] / "generation.json").read_bytes()
        assert "samples 20, but now it is 60" in refused(*words, "--max_steps", "2")
        assert "training.steps 2, but now it is 1" in refused(*words, "-n", "20", "--max_steps", "1")
        assert "holds a benchmark with recording" in refused(*words, "-n", "20", "--max_steps", "2", "--trials", "30")
        assert (done[1] / "generation.json").read_bytes() == before


class TestRecordings:
    def test_behaviour(self):
        assert behaviour_of(labelled(), None) == "hand_vel"
        assert behaviour_of(replace(labelled(), signals={}), None) == "condition"
        assert behaviour_of(replace(recorded(), signals={}), None) is None
        assert behaviour_of(labelled(), "side") == "side"

    def test_who_is_left_out(self):
        assert left_out(labelled(), "hand_vel") == {}
        assert set(left_out(recorded(), "hand_vel")) == {"psth"}
        reasons = left_out(labelled(), "side")
        assert set(reasons) == {"tndm", "tndm-history"}
        assert "'side' is a trial column" in reasons["tndm"]
        assert set(left_out(recorded(), None)) == {"psth", "pivae", "pivae-history", "tndm", "tndm-history"}

    def test_without_behaviour(self, tmp_path, presets):
        save(replace(recorded(), signals={}), tmp_path / "plain.npz")
        options: dict[str, Any] = {"presets": presets, "n": 12, "max_steps": 2, "seeds": 1, "device": "cpu"}
        with pytest.raises(DataError, match="serves none of these models: it learns from behaviour"):
            measure(tmp_path / "out", str(tmp_path / "plain.npz"), models=["tndm", "pivae"], **options)
        assert not (tmp_path / "out").exists()
        result = measure(tmp_path / "out", str(tmp_path / "plain.npz"), models=["tndm", "homogeneous"], **options)
        assert [r.subject for r in result.results] == ["homogeneous"]
        text = (tmp_path / "out" / "generation.md").read_text()
        assert "- TNDM is left out: it learns from behaviour, and the recording has no signal and no condition." in text
        assert "one seed cannot show" in text

    def test_baselines_have_conditions_and_samples_do_not(self, source, monkeypatch):
        data = with_default_splits(labelled())
        measurement = GenerationMeasurement(data, 40, Trainer(Path(), source, LoadOptions(), {}, {}, "cpu"))
        compared = []
        monkeypatch.setattr(
            generation, "compare", lambda real, made, *a, **k: compared.append(made) or QUICK(real, made, *a, **k)
        )
        drawn = measurement.baseline("psth", 0)
        measurement.compared("psth", 0, replace(drawn, trials=pd.DataFrame({"condition": np.arange(40) % 2})), 1.0)
        assert all("condition" not in made.trials for made in compared)
        assert len(compared) == 4  # both protocols, of the floor and of the baseline
        assert not np.array_equal(drawn.counts, measurement.baseline("psth", 1).counts)
        np.testing.assert_array_equal(drawn.counts, measurement.baseline("psth", 0).counts)

    def test_fewer_trials(self, tmp_path, source, presets):
        data = with_default_splits(recorded())
        less = fewer(data, 30)
        assert {k: len(v) for k, v in less.splits.items()} == {k: round(len(v) / 2) for k, v in data.splits.items()}
        kept = {row.tobytes() for row in data.split("test").counts}
        assert {row.tobytes() for row in less.split("test").counts} <= kept
        assert fewer(data, 60) is data
        with pytest.raises(DataError, match="would be left in the split 'val'"):
            fewer(data, 10)
        options: dict[str, Any] = {
            "models": ["lfads"],
            "presets": presets,
            "trials": 30,
            "max_steps": 2,
            "seeds": 1,
            "device": "cpu",
        }
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(GenerationMeasurement, "baseline", lambda *a: pytest.fail("cut before anything was measured"))
            with pytest.raises(pytest.fail.Exception):
                measure(tmp_path / "out", source, **options)
        result = measure(tmp_path / "out", source, **options)
        assert result.setting["samples"] == 30
        assert Run(tmp_path / "out" / "runs" / "lfads-0").read_json("data.json")["source"].endswith("recording.npz")
        assert load_model(tmp_path / "out" / "runs" / "lfads-0").data_spec.lengths.shape == (21,)

    def test_published_values_may_be_of_the_recording_itself(self, done):
        result = done[0]
        recording = {**result.setting["recording"], "source": "mc_maze"}
        text = generation_page(replace(result, setting={**result.setting, "recording": recording}))
        assert "of another recording" not in text
        assert "only where this recording was read and split in the same way" in text

    def test_true_states_as_behaviour_are_mentioned(self):
        data = with_default_splits(lorenz(n_trials=20, n_bins=10, n_neurons=5))
        configs = dict.fromkeys(generation.TRAININGS, config_of("pivae", "pivae", "state", 1))
        setting = generation_setting(data, "lorenz", LoadOptions(), "state", 9, ["pivae"], {}, presets_of([]), configs)
        quality = Quality({"corr_rmse": Score(0.1, 0.1, Level.MATCHES, 0.0)}, {})
        row = GenerationResult("pivae", 0, quality, Copies(0.0, 0.1, CopyFinding.NONE_DETECTED), 1.0, 1.0, 10)
        text = generation_page(GenerationRecord(setting, floor=quality, results=(row,)))
        assert "true state of the simulated system" in text
        assert "pi-VAE learn from `state`" not in text
        assert "pi-VAE learns from `state`" in text

    def test_history_is_always_fitted(self):
        assert config_of("ldns", "ldns-demo", None, None).observation == "history"
        assert config_of("ldns", "ldns-demo", None, None).autoencoder.latents == 8
        assert config_of("tndm", "tndm", "hand_vel", 7).training.steps == 7


class TestRefusals:
    @pytest.fixture(autouse=True)
    def nothing_is_trained(self, monkeypatch):
        monkeypatch.setattr(trained_models, "trained_model", lambda *a: pytest.fail("something was trained"))

    def test_words(self, source, refused, tmp_path):
        words = ["bench", "generation", "--data", source, "--out", "out"]
        assert "'gpfa'" in refused(*words, "--models", "gpfa")
        assert "there is no model 'gpfa' to give a preset" in refused(*words, "--preset", "gpfa=ldns")
        assert "is one of eag, not of ldns" in refused(*words, "--preset", "ldns=eag-demo")
        assert "there is no preset or file 'ldns-tiny'" in refused(*words, "--preset", "ldns=ldns-tiny")
        assert "write ldns=ldns-demo" in refused(*words, "--preset", "ldns-demo")
        assert "no signal and no trial column 'speed'" in refused(*words, "--behaviour", "speed")
        assert "is 0" in refused(*words, "--seeds", "0")
        assert "use more trials" in refused(*words, "--trials", "5")
        assert "is a folder without data.json" in refused("bench", "generation", "--data", ".", "--out", "out")
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "mine.txt").write_text("mine")
        assert "is not an empty folder" in refused(*words)

    def test_a_damaged_file(self, source, refused, tmp_path):
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "generation.json").write_text('{"results": 3}')
        assert "is damaged" in refused("bench", "generation", "--data", source, "--out", "out")

    def test_a_file_of_an_older_version(self, done, source, refused, tmp_path, presets):
        content = json.loads((done[1] / "generation.json").read_text())
        del content["results"][0]["quality"]["heldout"]["corr_rmse"]["level"]
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "generation.json").write_text(json.dumps(content))
        message = refused("bench", "generation", "--data", source, "--out", "out", "--preset", *presets)
        assert (
            "was measured by an older version (without 'level'): delete generation.json, trained runs are kept"
            in message
        )

    def test_a_subject_that_does_not_exist(self, source, tmp_path):
        with pytest.raises(Exception, match="there is no model 'gpfa' to measure; choose of homogeneous"):
            measure(tmp_path / "out", source, models=["gpfa"])


def test_the_command(source, tmp_path, capsys):
    words = ["bench", "generation", "--out", str(tmp_path / "out"), "--data", source, "--models", "homogeneous"]
    assert main([*words, "--seeds", "1", "-n", "10", "--device", "cpu"]) == 0
    assert capsys.readouterr().out == f"generation: {tmp_path / 'out' / 'generation.md'}\n"
    assert sorted(p.suffix for p in (tmp_path / "out").iterdir()) == [".json", ".md", ".png"]


class TestEarlierComparisons:
    @pytest.fixture(scope="class")
    def sets(self):
        real = with_default_splits(recorded())
        return real, recorded(seed=1), recorded(seed=2)

    @pytest.mark.parametrize("protocol", ["heldout", "ldns"])
    def test_floor_and_baselines_are_taken_over(self, sets, protocol):
        real, one, other = sets
        options: dict[str, Any] = {"n_draws": 2, "n_floor": 3}
        first, plain = (QUICK(real, each, protocol, **options) for each in (one, other))
        second = QUICK(real, other, protocol, earlier=first, **options)
        for key, result in second.metrics.items():
            np.testing.assert_equal(result.value, plain.metrics[key].value)
            np.testing.assert_equal(result.se, plain.metrics[key].se)
            np.testing.assert_equal(
                (result.floor, result.floor_sd, result.baseline, dict(result.baselines)),
                tuple(getattr(first.metrics[key], k) for k in ("floor", "floor_sd", "baseline", "baselines")),
            )
        assert any(result.value != first.metrics[key].value for key, result in second.metrics.items())

    def test_those_of_others_are_refused(self, sets):
        real, one, other = sets
        first = QUICK(real, one)
        for changes, message in (
            ({"protocol": "ldns"}, "protocol heldout, but this one ldns"),
            ({"seed": 1}, "seed 0, but this one 1"),
            ({"generated": other.select(trials=[0, 1, 2])}, "3 of the 12 held-out trials of the earlier comparison"),
        ):
            options: dict[str, Any] = {"generated": other} | changes
            with pytest.raises(DataError, match=message):
                QUICK(real, earlier=first, **options)
