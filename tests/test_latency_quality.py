"""The benchmark of latency against quality: what it measures, writes, keeps and refuses."""

import json
import math
import shutil
from dataclasses import replace

import numpy as np
import pytest
import yaml
from PIL import Image

import quick_compare
from commands import FIT, counts, tiny
from quick_compare import QUICK
from spikeloom import models
from spikeloom.bench import latency_quality
from spikeloom.bench.latency_quality import GRIDS, PointGrid, Way
from spikeloom.bench.latency_quality import run_latency_benchmark as measure
from spikeloom.bench.latency_record import LatencyRecord, Reference, latency_page
from spikeloom.bench.quality import Score
from spikeloom.bench.records import typed
from spikeloom.cli import main
from spikeloom.data.files import save
from spikeloom.data.spikedata import SpikeData
from spikeloom.evaluation.verdict import Level
from spikeloom.models.ldns import LDNS

TOY = PointGrid(
    {"ldns": (Way("ddim", 2), Way("ddim", 3), Way("dpm_solver_sde", 2)), "eag": (Way(None, 1), Way(None, 2))}, 2
)


class Relative(LDNS):
    """Stands for a model with one sampler only: EAG without its training."""

    name = "eag"


@pytest.fixture(autouse=True, scope="module")
def fast():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(latency_quality, "compare", QUICK)
        quick_compare.hurry(patch)
        yield


@pytest.fixture(scope="module")
def relative(shop, tmp_path_factory):
    """A run of another kind with the same autoencoder."""
    folder = tmp_path_factory.mktemp("relative") / "other"
    shutil.copytree(shop / "run", folder)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    (folder / "config.yaml").write_text(yaml.safe_dump(config | {"model": "eag"}))
    return folder


@pytest.fixture(scope="module")
def measured(shop, relative, tmp_path_factory, fast):
    """A measurement of two runs, and its folder."""
    out = tmp_path_factory.mktemp("bench") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("spikeloom.models.ldns.Relative", Relative, raising=False)
        patch.setattr(latency_quality, "compare", QUICK)
        patch.setitem(models.MODELS, "eag", "ldns:Relative")
        return measure([shop / "run", relative], out, n=8, grid=TOY, device="cpu"), out


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


class TestGrids:
    def test_full_and_quick(self):
        full, quick = GRIDS["full"].ways, GRIDS["quick"].ways
        assert {w.steps for w in full["ldns"] if w.sampler == "ddpm"} == {1000, 600, 400, 200}
        for sampler in ("ddim", "dpm_solver", "dpm_solver_sde"):
            assert {w.steps for w in full["ldns"] if w.sampler == sampler} == {50, 20, 16, 10, 5}
        assert [w.options for w in full["eag"]] == [{"steps": n} for n in (1, 2, 4, 8, 16, 32)]
        assert set(full["ldns"]) - set(quick["ldns"]) == {Way("ddpm", n) for n in (1000, 600, 400)}
        assert GRIDS["quick"].calls == 1


class TestMeasurement:
    def test_every_point_once(self, measured):
        result, _ = measured
        points = [p.way for p in result.points]
        assert points == [
            ("run", "ldns", "ddim", 2),
            ("run", "ldns", "ddim", 3),
            ("run", "ldns", "dpm_solver_sde", 2),
            ("other", "eag", None, 1),
            ("other", "eag", None, 2),
        ]
        assert [p.generator for p in result.points][2:4] == ["LDNS dpm_solver_sde", "EAG"]

    def test_times_are_finite_and_passes_are_as_requested(self, measured):
        result, _ = measured
        for each in result.points:
            speed = each.speed
            assert speed.network_passes == each.steps
            assert len(speed.seconds) == 2
            assert all(0 < v < 60 for v in (*speed.seconds, speed.cpu_seconds, speed.one_trial_seconds))
            assert speed.seconds_per_1000_trials == pytest.approx(np.mean(speed.seconds) * 125)
            assert len(each.spectrum_ratio) == 3
            assert each.farthest_ratio > 0

    def test_scores_are_those_of_compare(self, measured, shop):
        from spikeloom.data.sources import load_source
        from spikeloom.workflow.sampling import held_out, sample_like

        result, _ = measured
        data = load_source(shop / "run")
        drawn = sample_like(models.load_model(shop / "run"), held_out(data), 8, seed=0, steps=3, sampler="ddim")
        for protocol, scores in (("heldout", result.points[1].heldout), ("ldns", result.points[1].ldns)):
            metrics = QUICK(data, drawn, protocol).metrics
            assert list(scores) == list(metrics)
            for key, score in scores.items():
                np.testing.assert_equal((score.value, score.se), (metrics[key].value, metrics[key].se))

    def test_references(self, measured):
        result, _ = measured
        assert [(r.role, r.name) for r in result.references] == [
            ("floor", "floor: real against real"),
            ("ceiling", "autoencoder, counts by history"),
            ("ceiling", "autoencoder, counts by poisson"),
        ]
        for reference in result.references:
            assert math.isfinite(reference.heldout["rate_rmse"].value)
            assert math.isfinite(reference.ldns["rmse_corr"].value)
        ceilings = result.references[1:]
        assert ceilings[0].heldout["rate_rmse"] != ceilings[1].heldout["rate_rmse"]
        assert ceilings[0].spectrum_ratio == ceilings[1].spectrum_ratio

    def test_json_is_strict_and_whole(self, measured):
        result, out = measured
        content = json.loads((out / "latency_quality.json").read_text(), parse_constant=pytest.fail)
        again = typed(LatencyRecord, content)
        np.testing.assert_equal(again.to_dict()["points"], result.to_dict()["points"])
        assert {"device", "threads", "packages", "processor"} <= set(content["setting"]["machine"])
        assert [set(c) for c in content["commands"]] == [{"date", "command"}]

    def test_passes_that_were_not_taken_are_shown(self, measured):
        result, _ = measured
        each = result.points[1]
        assert each.passes == "3"
        fewer = replace(each, speed=replace(each.speed, network_passes=2))
        assert "| LDNS ddim | 3 (2 taken) |" in latency_page(replace(result, points=(fewer,)))

    def test_infinity_survives_json(self):
        scores = {"kl_div_psc": Score(math.inf, math.nan, Level.NOT_DEFINED, math.inf)}
        reference = Reference(heldout={}, ldns=scores, name="x", role="floor")
        result = LatencyRecord({}, references=(reference,))
        from spikeloom.training.run import strict_json

        again = typed(LatencyRecord, json.loads(strict_json(result.to_dict())))
        assert again.references[0].ldns["kl_div_psc"].value == math.inf
        assert again.references[0].ldns["kl_div_psc"].level is Level.NOT_DEFINED

    def test_tables_agree_with_json(self, measured):
        result, out = measured
        lines = (out / "latency_quality.md").read_text().splitlines()
        tables = [i for i, line in enumerate(lines) if line.startswith("| run | generator | passes |")]
        assert len(tables) == 3
        head = cells(lines[tables[0]])
        first = [dict(zip(head, cells(line))) for line in lines[tables[0] + 2 :][: len(result.points) + 3]]
        assert [row["run"] for row in first] == ["-", "-", "-", "run", "run", "run", "other", "other"]
        for row, each in zip(first[3:], result.points):
            assert (row["generator"], row["passes"]) == (each.generator, str(each.steps))
            assert row["s / 1000 trials"] == f"{each.speed.seconds_per_1000_trials:.3g}"
            value = each.heldout["corr_rmse"].value
            assert row["corr_rmse"].strip("*").startswith(f"{value:.3g}")
        assert cells(lines[tables[1]])[3:] == [
            "kl_div_psc (nats)",
            "rmse_corr",
            "rmse_mean_isi (s)",
            "rmse_std_isi (s)",
        ]

    def test_figure(self, measured):
        from spikeloom.bench.latency_figures import PANELS, draw_latency_quality

        result, out = measured
        with Image.open(out / "latency_quality.png") as image:
            assert image.size[0] > 1500
        figure = draw_latency_quality(result)
        assert [axes.get_title(loc="left") for axes in figure.axes] == [panel.title for panel in PANELS]
        (legend,) = figure.legends
        labels = [text.get_text() for text in legend.get_texts()]
        assert labels[:3] == ["LDNS DDIM", "LDNS SDE-DPM-Solver++", "EAG"]
        assert len(labels) == 5
        panel = figure.axes[1]
        drawn = {tuple(line.get_ydata()) for line in panel.get_lines()}  # type: ignore[arg-type]
        assert tuple(p.heldout["corr_rmse"].value for p in result.points[:2]) in drawn
        assert panel.get_xscale() == "log"


@pytest.mark.slow
class TestResume:
    @pytest.fixture
    def begun(self, shop, tmp_path, monkeypatch):
        """A measurement that was cut after its first point."""
        once = latency_quality.measure_point
        number = []

        def cut(*words):
            number.append(words[1])
            if len(number) > 1:
                raise KeyboardInterrupt
            return once(*words)

        monkeypatch.setattr(latency_quality, "measure_point", cut)
        with pytest.raises(KeyboardInterrupt):
            measure([shop / "run"], tmp_path / "out", n=8, grid=TOY, device="cpu")
        monkeypatch.setattr(latency_quality, "measure_point", once)
        return tmp_path / "out"

    def test_what_is_there_is_kept(self, begun, shop, monkeypatch):
        left = json.loads((begun / "latency_quality.json").read_text())
        assert len(left["points"]) == 1
        assert "| LDNS ddim | 2 |" in (begun / "latency_quality.md").read_text()
        once, measured = latency_quality.measure_point, []
        monkeypatch.setattr(latency_quality, "measure_point", lambda *w: measured.append(w[1]) or once(*w))
        monkeypatch.setattr(latency_quality, "references", lambda *w: pytest.fail("references were there"))
        result = measure([shop / "run"], begun, n=8, grid=TOY, device="cpu")
        assert sorted((p.sampler, p.steps) for p in measured) == [("ddim", 3), ("dpm_solver_sde", 2)]
        assert result.to_dict()["points"][0]["speed"]["seconds"] == left["points"][0]["speed"]["seconds"]
        assert [p.steps for p in result.points] == [2, 3, 2]
        assert len(result.commands) == 2
        before = (begun / "latency_quality.json").read_bytes()
        measure([shop / "run"], begun, n=8, grid=TOY, device="cpu")
        assert len(measured) == 2
        assert (begun / "latency_quality.json").read_bytes() == before
        assert (begun / "latency_quality.png").is_file()

    def test_other_options_are_refused(self, begun, shop, refused):
        assert "holds a benchmark with trials 8, but now it is 5" in refused(
            "bench", "latency-quality", shop / "run", "--out", begun, "-n", "5", "--device", "cpu"
        )

    def test_a_damaged_file_is_refused(self, begun, shop, refused):
        (begun / "latency_quality.json").write_text('{"points": 3}')
        assert "is damaged" in refused("bench", "latency-quality", shop / "run", "--out", begun)


class TestRefusals:
    @pytest.fixture(autouse=True)
    def nothing_is_drawn(self, monkeypatch):
        monkeypatch.setattr(latency_quality, "sample_like", lambda *a, **k: pytest.fail("something was drawn"))

    @staticmethod
    def bench(*runs):
        return ["bench", "latency-quality", *runs, "--out", "out", "--device", "cpu"]

    def test_another_autoencoder(self, run, toy, refused, tmp_path, capsys):
        assert main(["fit", toy, "--out", str(tmp_path / "b"), *FIT, "--seed", "1"]) == 0
        message = refused(*self.bench(run, tmp_path / "b"))
        assert "the runs run and b have different autoencoders" in message

    def test_another_recording(self, run, refused, tmp_path):
        save(SpikeData(counts(seed=1), bin_s=0.02), tmp_path / "b.npz")
        assert main(["fit", str(tmp_path / "b.npz"), "--out", str(tmp_path / "b"), *FIT]) == 0
        assert "fitted to different recordings" in refused(*self.bench(run, tmp_path / "b"))

    def test_other_held_out_trials(self, run, refused, tmp_path):
        shutil.copytree(run, tmp_path / "b")
        record = json.loads((tmp_path / "b" / "data.json").read_text())
        record["splits"]["test"], record["splits"]["val"] = record["splits"]["val"], record["splits"]["test"]
        (tmp_path / "b" / "data.json").write_text(json.dumps(record))
        assert "split their recording differently" in refused(*self.bench(run, tmp_path / "b"))

    def test_an_unfinished_run(self, run, refused, tmp_path):
        shutil.copytree(run, tmp_path / "b")
        (tmp_path / "b" / "weights.safetensors").unlink()
        assert "is not trained to its end yet" in refused(*self.bench(run, tmp_path / "b"))

    def test_a_kind_without_passes(self, toy, refused, tmp_path):
        small = [*tiny("autoencoder"), "--max_steps", "2", "--device", "cpu"]
        assert main(["fit", toy, "--model", "gaussian", "--out", str(tmp_path / "g"), *small]) == 0
        message = refused(*self.bench(tmp_path / "g"))
        assert "'gaussian'" in message
        assert "closed form" in message

    def test_the_same_run_twice(self, run, refused):
        assert "was named twice" in refused(*self.bench(run, run))

    def test_an_occupied_folder(self, run, refused, tmp_path):
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "mine.txt").write_text("mine")
        assert "is not an empty folder" in refused(*self.bench(run))

    def test_words(self, run, refused):
        assert "latency-quality" in refused("bench", "speed", run, "--out", "out")
        assert "is 0" in refused(*self.bench(run), "-n", "0")


def test_runs_of_one_kind_and_name_are_distinguished(run, tmp_path):
    shutil.copytree(run, tmp_path / "b" / "run")
    grid = PointGrid({"ldns": (Way("ddim", 1),)}, 1)
    result = measure([run, tmp_path / "b" / "run"], tmp_path / "out", n=6, grid=grid, device="cpu")
    labels = [p.run for p in result.points]
    assert len(set(labels)) == 2
    assert all(label.endswith("/run") for label in labels)
    assert len(result.references) == 3  # the same weights: one observation


def test_the_command(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(GRIDS, "quick", PointGrid({"ldns": (Way("dpm_solver", 2),)}, 1))
    words = ["bench", "latency-quality", run, "--out", str(tmp_path / "out"), "--points", "quick", "-n", "6"]
    assert main([*words, "--seed", "3", "--device", "cpu"]) == 0
    assert capsys.readouterr().out == f"latency-quality: {tmp_path / 'out' / 'latency_quality.md'}\n"
    content = json.loads((tmp_path / "out" / "latency_quality.json").read_text())
    assert (content["setting"]["trials"], content["setting"]["seed"], content["setting"]["calls"]) == (6, 3, 1)
    assert sorted(p.suffix for p in (tmp_path / "out").iterdir()) == [".json", ".md", ".png"]
