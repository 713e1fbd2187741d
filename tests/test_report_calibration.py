"""Calibration of a generator: its verdict, for which weights, and its panel in the report."""

import re

import numpy as np
import pandas as pd
import pytest

from spikeloom.errors import DataError
from spikeloom.priors.calibration import SOUND, assess
from spikeloom.report import figures
from spikeloom.report.page import write_report
from spikeloom.report.panel import render
from spikeloom.report.panels import panels
from spikeloom.report.training_panels import CALIBRATION, training_panels
from spikeloom.training.run import DIAGNOSTICS, Run
from test_report import comparison, recording


def noted(*steps, stage="prior"):
    """Diagnostics of some steps, each (step, spread ratio, increment ratio)."""
    rows = [
        (stage, step, name, value)
        for step, *values in steps
        for name, value in zip(("spread_ratio", "increment_ratio"), values)
    ]
    return pd.DataFrame(rows, columns=list(DIAGNOSTICS))


def losses(*steps, stage="prior"):
    rows = [(stage, step, 1.0, 1.0, 1.0, value) for step, value in steps]
    return pd.DataFrame(rows, columns=["stage", "step", "seconds", "learning_rate", "loss", "validation_loss"])


class TestVerdict:
    @pytest.mark.parametrize(
        ("spread", "increment", "expected"),
        [
            (0.79, 1.0, r"too much alike \(spread ratio 0.79; .*train longer, or with a larger prior\.samples"),
            (1.3, 1.0, r"differ too much \(spread ratio 1.30; 1 is right\): train longer"),
            (1.0, 1.26, r"jitters from bin to bin \(increment ratio 1.26; .*train longer, or sample with more steps"),
            (1.0, 0.79, r"too smooth \(increment ratio 0.79; .*train longer, or sample with more steps"),
            (np.nan, 1.0, "The spread ratio of the generator is no number"),
            (1.0, np.inf, "The increment ratio of the generator is no number"),
        ],
    )
    def test_faults_are_named_with_their_remedy(self, spread, increment, expected):
        verdict = assess({"spread_ratio": spread, "increment_ratio": increment})
        assert not verdict.sound
        assert re.fullmatch(f".*{expected}.*", verdict.words)
        assert verdict.words.count(". ") == 0  # only what is wrong
        assert len(verdict.words) < 180

    def test_both_faults_are_named(self):
        words = assess({"spread_ratio": 0.1, "increment_ratio": 3.0}).words
        assert "too much alike" in words
        assert "jitter" in words

    @pytest.mark.parametrize("values", [(0.8, 0.8), (1.0, 1.0), (1.15, 1.25)])
    def test_within_the_bounds_it_is_calibrated(self, values):
        verdict = assess(dict(zip(SOUND, values)))
        assert verdict.sound
        assert "calibrated" in verdict.words
        assert f"{values[0]:.2f}" in verdict.words

    def test_one_number_alone_is_assessed(self):
        assert assess({"increment_ratio": 1.0}).sound
        assert not assess({"spread_ratio": 0.1}).sound
        assert assess({"other": 0.1}) is None

    def test_the_spread_of_normal_draws_is_one_and_its_bounds_are_those_of_their_width(self):
        """The bounds of the spread ratio are draws 0.69 times as wide as the data, and as many times too wide."""
        rng = np.random.default_rng(0)
        true, *draws = rng.normal(size=(3, 4000, 30))
        for scale, expected in ((1.0, 1.0), (0.686, 0.8), (1 / 0.686, 1.16)):
            first, second = (scale * draw for draw in draws)
            ratio = np.linalg.norm(first - second, axis=1).mean() / np.linalg.norm(first - true, axis=1).mean()
            assert ratio == pytest.approx(expected, abs=0.012)


def calibration_panels(diagnostics, metrics, configuration):
    """The panels beside that of the losses."""
    losses, *others = training_panels(metrics, diagnostics, configuration)
    assert losses.title == "Training"
    return others


class TestPanel:
    def test_models_without_diagnostics_have_none(self):
        assert calibration_panels(None, None, {}) == []
        assert calibration_panels(pd.DataFrame(columns=list(DIAGNOSTICS)), None, {}) == []
        assert calibration_panels(noted((1, 1.0, 1.0), stage="autoencoder"), None, {}) == []
        other = pd.DataFrame([("prior", 1, "temperature", 1.0)], columns=list(DIAGNOSTICS))
        assert calibration_panels(other, None, {}) == []

    @pytest.mark.parametrize(
        ("configuration", "metrics", "step", "expected"),
        [
            ({}, losses((10, 1.0), (20, 2.0)), 10, "calibrated"),
            ({"prior_training": {"keep_best": True}}, losses((10, 2.0), (20, 1.0)), 20, "too much alike"),
            ({"prior_training": {"keep_best": False}}, losses((10, 1.0), (20, 2.0)), 20, "too much alike"),
            ({}, None, 20, "too much alike"),
            ({}, losses((10, 0.1), (20, 0.2), stage="autoencoder"), 20, "too much alike"),
            ({}, losses((10, 1.0), (20, 2.0), (30, 0.1)), 10, "calibrated"),
        ],
    )
    def test_the_verdict_is_on_the_weights_that_were_kept(self, configuration, metrics, step, expected):
        (panel,) = calibration_panels(noted((10, 0.9, 1.1), (20, 0.5, 1.0)), metrics, configuration)
        panel = render(panel)
        assert panel.title == CALIBRATION
        assert panel.readout.startswith(f"The weights of step {step} were kept. ")
        assert expected in panel.readout
        assert panel.image is not None

    def test_numbers_that_are_not_finite_are_named_and_not_drawn(self):
        (panel,) = calibration_panels(noted((10, np.nan, np.inf)), None, {})
        assert "is no number" in panel.readout()
        panel = render(panel)
        assert panel.image is None
        assert "no finite number" in panel.missing


class TestFigure:
    def test_curves_are_the_numbers_with_their_band_and_their_mark(self):
        table = noted((20, 0.5, 1.5), (10, 0.3, np.nan), (30, 0.9, 1.1))
        figure = figures.calibration_curves(table, 30)
        left, right = figure.axes
        curve, mark = left.get_lines()[1:]
        assert curve.get_xydata().tolist() == [[10, 0.3], [20, 0.5], [30, 0.9]]
        assert mark.get_xydata().tolist() == [[30, 0.9]]
        assert right.get_lines()[1].get_xydata().tolist() == [[20, 1.5], [30, 1.1]]
        for axes, name in zip((left, right), ("spread_ratio", "increment_ratio")):
            assert set(axes.get_lines()[0].get_ydata()) == {1}
            band = axes.patches[0].get_extents().transformed(axes.transData.inverted())
            assert (band.y0, band.y1) == pytest.approx(SOUND[name])
            assert axes.get_xlabel() == "step"
            assert axes.get_ylabel() == name.replace("_", " ")

    @pytest.mark.parametrize("value", [0.0, 0.01, 1.0, 20.0, 1e4])
    def test_whatever_the_values_the_band_and_the_last_one_are_visible(self, value):
        figure = figures.calibration_curves(noted((10, 3 * value, 1.0), (20, value, 1.0), (30, value, 1.0)), 30)
        low, high = figure.axes[0].get_ylim()
        assert low < SOUND["spread_ratio"][0] < SOUND["spread_ratio"][1] < high
        assert low < value < high

    def test_one_number_alone_has_one_curve(self):
        table = noted((10, 0.3, 1.0))
        assert len(figures.calibration_curves(table[table.name == "increment_ratio"]).axes) == 1
        with pytest.raises(DataError, match="no finite number"):
            figures.calibration_curves(table.assign(value=np.nan))


def test_the_page_shows_it_after_the_training_curves(tmp_path, monkeypatch):
    monkeypatch.setattr("spikeloom.report.panels.spike_panels", lambda *_: [])
    run = Run(tmp_path / "run")
    run.log(stage="prior", step=2, seconds=0.5, learning_rate=0.1, loss=2.5, validation_loss=2.5)
    run.log(stage="prior", step=5, seconds=1.0, learning_rate=0.1, loss=2.0, validation_loss=1.5)
    run.log_diagnostics("prior", 5, {"spread_ratio": 0.4, "increment_ratio": 1.0})
    parts = {"real": recording(), "generated": recording(seed=1), "comparison": comparison(), "metrics": run.metrics()}
    text = write_report(tmp_path / "r.html", **parts, diagnostics=run.diagnostics()).read_text()
    assert text.count("<img src=") == 2  # losses and calibration
    assert f"<h3>{CALIBRATION}</h3>" in text
    assert "Generated trials are too much alike (spread ratio 0.40; 1 is right)" in text
    assert "The spread ratio is the mean distance between two draws" in text
    assert CALIBRATION not in write_report(tmp_path / "w.html", **parts).read_text()
    real = recording().assign_splits()
    drawn = panels(real, parts["generated"], comparison(), metrics=run.metrics(), diagnostics=run.diagnostics())
    assert [panel.title for panel in drawn][-2:] == ["Training", CALIBRATION]
