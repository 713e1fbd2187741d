"""Scores of forecasts tell calibrated from too sure, informed from blind ones; the benchmark sees no future."""

import json
from dataclasses import replace

import numpy as np
import pytest

from spikeloom.bench.forecast import Task, fills_in, model_forecast, run_forecast_benchmark, scores_of, task_of
from spikeloom.bench.forecast_record import ForecastRecord
from spikeloom.bench.records import typed
from spikeloom.bench.simple_forecasts import LinearForecast, Persistence, recent_counts
from spikeloom.cli import main
from spikeloom.data.files import save
from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import ConfigError, DataError
from spikeloom.evaluation.forecasts import correlation, coverage, crps, integral_transform, score_forecast
from spikeloom.models import load_model
from spikeloom.models.presets import preset_config
from spikeloom.workflow.fitting import start_run
from spikeloom.workflow.sampling import held_out

N_BINS, OBSERVED = 24, 16


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


class TestScores:
    """A truth with mean m and sd 1, and forecasts of it: right, too sure, blind, and without scatter."""

    @pytest.fixture(scope="class")
    def drawn(self):
        mean = rng(1).normal(size=(1500, 6)) * 2
        truth = mean + rng(2).normal(size=mean.shape)

        def draws(centre, sd, n=19):
            return centre + sd * rng(3).normal(size=(n, *mean.shape))

        forecasts = {
            "right": draws(mean, 1.0),
            "sure": draws(mean, 0.4),
            "careful": draws(mean, 3.0),
            "blind": draws(0 * mean, 5**0.5),
            "wrong": draws(mean + 1.0, 1.0),
        }
        return truth, forecasts

    @pytest.mark.parametrize("n", [9, 10, 19, 40])
    def test_the_middle_holds_its_share_for_any_number_of_draws(self, drawn, n):
        truth, forecasts = drawn
        draws = np.concatenate([forecasts["right"]] * 3)[:n] if n <= 19 else None
        if draws is None:
            draws = truth.mean() + 0 * truth + rng(5).normal(size=(n, *truth.shape)) * truth.std()
        assert coverage(draws, truth, rng()) == pytest.approx(0.8, abs=0.02)

    def test_too_sure_and_too_careful_are_seen(self, drawn):
        truth, forecasts = drawn
        assert coverage(forecasts["sure"], truth, rng()) < 0.5
        assert coverage(forecasts["careful"], truth, rng()) > 0.95
        assert coverage(forecasts["blind"], truth, rng()) == pytest.approx(0.8, abs=0.02)

    def test_the_ranked_score_prefers_the_right_forecast_to_all_others(self, drawn):
        truth, forecasts = drawn
        scores = {name: crps(draws, truth) for name, draws in forecasts.items()}
        assert min(scores, key=scores.__getitem__) == "right"
        assert scores["right"] == pytest.approx(np.pi**-0.5, rel=0.03)  # of a standard normal
        assert crps(truth[None] * 0, truth) == pytest.approx(np.abs(truth).mean())

    def test_the_ranked_score_does_not_depend_on_the_number_of_draws(self, drawn):
        truth, forecasts = drawn
        few = np.mean([crps(forecasts["right"][i : i + 2], truth) for i in range(0, 18, 2)])
        assert few == pytest.approx(crps(forecasts["right"], truth), rel=0.01)

    def test_counts_with_ties_are_uniform_in_the_randomised_transform(self):
        counts, draws = rng(0).poisson(0.3, (3000, 4)), rng(1).poisson(0.3, (19, 3000, 4))
        place = np.histogram(integral_transform(draws, counts, rng()), bins=10, range=(0, 1))[0] / 12000
        np.testing.assert_allclose(place, 0.1, atol=0.01)
        assert coverage(draws, counts, rng()) == pytest.approx(0.8, abs=0.015)
        assert coverage(np.zeros_like(draws), counts, rng()) < 0.75

    def test_correlations_of_blind_and_of_perfect_forecasts(self):
        counts = rng(0).poisson(2.0, (200, 5))
        assert correlation(counts, counts) == pytest.approx((1.0, 1.0))
        assert correlation(np.full((200, 5), 0.1), counts) == (0.0, 0.0)
        silent = counts.copy()
        silent[:, 0] = 0
        assert correlation(silent + 0.0, silent) == pytest.approx((1.0, 1.0))

    def test_true_rates_are_scored_where_there_are_any(self):
        rates = rng(0).gamma(2.0, 0.5, (300, 4))
        counts, draws = rng(1).poisson(rates), rng(2).poisson(rates, (19, 300, 4))
        without = score_forecast(2, counts, rates, draws)
        assert np.isnan([without.rate_r2, without.rate_crps, without.rate_coverage]).all()
        known = score_forecast(2, counts, rates, draws, rates)
        assert (known.rate_r2, known.rate_crps) == (1.0, 0.0)
        assert np.isnan(known.rate_coverage)  # a single number
        scattered = rates * rng(3).lognormal(0, 0.3, (19, 300, 4))
        assert score_forecast(2, counts, rates, draws, rates, scattered).rate_coverage > 0.95


def rhythm(n: int = 90, seed: int = 0, gain: float = 1.0) -> SpikeData:
    """Neurons that follow one rhythm of random phase, which the past decides."""
    generator = rng(seed)
    phase = generator.uniform(0, 2 * np.pi, (n, 1)) + 2 * np.pi * np.arange(N_BINS) / 12
    drive = np.stack([np.sin(phase), np.cos(phase)] * 4, axis=2)
    rates = np.exp(gain * drive)
    data = SpikeData(generator.poisson(rates), bin_s=0.02, rates=rates.astype(np.float32))
    return data.assign_splits(seed=0)


class TestSimpleForecasts:
    def test_recent_counts_do_not_look_ahead_and_keep_a_constant(self):
        counts = rng(0).poisson(1.0, (3, 20, 2))
        changed = counts.copy()
        changed[:, 10:] += 5
        np.testing.assert_array_equal(recent_counts(counts, 4.0)[:, :10], recent_counts(changed, 4.0)[:, :10])
        np.testing.assert_allclose(recent_counts(np.full((1, 9, 1), 3), 8.0), 3.0)

    def test_persistence_copies_the_recent_past_to_every_horizon(self):
        data = rhythm()
        persistence = Persistence.fit(data.split("train"), (1, 2, 8), OBSERVED)
        begun = data.window(OBSERVED, step=N_BINS)
        forecast = persistence(begun)
        np.testing.assert_array_equal(forecast[:, 0], forecast[:, 2])
        np.testing.assert_allclose(forecast[:, 0], recent_counts(begun.counts, persistence.memory)[:, -1])

    def test_a_regression_foresees_a_rhythm_where_persistence_does_not(self):
        data = rhythm(400)
        task = Task(data.split("test"), data.split("train"), OBSERVED, (1, 4, 6), 19)
        linear, persistence = (
            scores_of(task.poisson(kind.fit(task.train, task.horizons, OBSERVED)(task.begun)), task)
            for kind in (LinearForecast, Persistence)
        )
        assert linear[2].rate_r2 > 0.5 > 0 > persistence[2].rate_r2  # half a period ahead
        assert linear[2].neuron_r > 0.3 > 0 > persistence[2].neuron_r
        assert all(s.coverage == pytest.approx(0.8, abs=0.06) for s in linear)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("forecast")
    save(rhythm(), folder / "recording.npz")
    small = {"latents": 2, "autoencoder.channels": 8, "encoder_blocks": 1, "observation": "poisson"}
    prior = {"prior.channels": 8, "prior.blocks": 1, "sampling_steps": 2}
    lfads = {"ic_dim": 3, "encoder_units": 6, "generator_units": 7, "factors": 3, "observation": "poisson"}
    for name, preset, changes in (
        ("ldns", "ldns", {**small, **prior, "context": 0.6}),
        ("without", "ldns", {**small, **prior, "context": 0.0}),
        ("lfads", "lfads", {**lfads, "held_out_inputs": {"forward_prediction_bins": N_BINS - OBSERVED}}),
    ):
        config = preset_config(preset, changes, max_steps=3)
        start_run(str(folder / "recording.npz"), preset, folder / name, config=config)
    return folder


def test_the_benchmark_writes_what_it_measured(runs, capsys):
    out = runs / "scores"
    command = ["bench", "forecast", str(runs / "ldns"), str(runs / "lfads"), "--out", str(out), "--draws", "3"]
    assert main(command) == 0
    assert "forecast.md" in capsys.readouterr().out
    record = typed(ForecastRecord, json.loads((out / "forecast.json").read_text()))
    systems = ["ldns", "lfads", "linear autoregression", "persistence", "training trials", "true rates"]
    assert list(record.scores) == systems
    assert [s.horizon for s in record.scores["ldns"]] == [1, 2, 4, 8]
    assert record.setting["observed"] == OBSERVED  # what lfads withholds
    assert np.isfinite(record.scores["ldns"][0].rate_coverage)
    assert np.isnan(record.scores["lfads"][0].rate_coverage)
    assert record.scores["true rates"][0].rate_r2 == 1.0
    page = (out / "forecast.md").read_text()
    assert all(f"| {name} |" in page for name in systems)
    assert (out / "forecast.png").stat().st_size > 10_000


@pytest.mark.parametrize("name", ["ldns", "lfads"])
def test_no_forecast_sees_the_future(runs, name):
    """Counts after the observed bins are replaced: every forecast stays what it was."""
    data, model = rhythm(), load_model(runs / name)
    task = task_of(data, {name: model}, OBSERVED, 2, 5)
    later = task.trials.counts.copy()
    later[:, OBSERVED:] = rng(9).integers(0, 9, later[:, OBSERVED:].shape)
    other = replace(task, trials=replace(task.trials, counts=later, rates=None))
    first, again = model_forecast(model, task), model_forecast(model, other)
    np.testing.assert_array_equal(first.expected, again.expected)
    np.testing.assert_array_equal(first.draws, again.draws)
    np.testing.assert_array_equal(task.begun.counts, other.begun.counts)


def test_what_cannot_forecast_is_refused(runs):
    data = rhythm()
    models = {name: load_model(runs / name) for name in ("ldns", "without", "lfads")}
    assert [fills_in(model) for model in models.values()] == [True, False, False]
    with pytest.raises(ConfigError, match="without is of kind 'ldns' and cannot forecast"):
        task_of(data, models, None, 3, None)
    with pytest.raises(ConfigError, match="withhold all bins after"):
        task_of(data, {"lfads": models["lfads"]}, 5, 3, None)
    with pytest.raises(DataError, match="go on after 24 bins"):
        task_of(data, {"ldns": models["ldns"]}, N_BINS, 3, None)
    with pytest.raises(ConfigError, match="draws is 1"):
        run_forecast_benchmark([runs / "ldns"], runs / "none", draws=1)
    assert not (runs / "none" / "forecast.json").exists()


def test_trials_that_end_early_count_at_near_horizons_only():
    data = rhythm(60)
    lengths = np.where(np.arange(60) % 2, N_BINS, OBSERVED + 3)
    ragged = replace(data, lengths=lengths, rates=None)
    task = Task(held_out(ragged), ragged.split("train"), OBSERVED, (1, 2, 4, 8), 3)
    scores = scores_of(task.poisson(np.ones((task.trials.n_trials, 4, 8))), task)
    long = int((task.trials.lengths == N_BINS).sum())
    assert [s.trials for s in scores] == [task.trials.n_trials, task.trials.n_trials, long, long]
