"""The panels on spike history and on conditions show what was computed, and exist only where they belong."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import poisson

from spikeloom.conditioning.variables import Variable
from spikeloom.data.files import save
from spikeloom.data.spikedata import Signal, SpikeData
from spikeloom.data.splits import with_default_splits
from spikeloom.decoding.label import LabelDecoder
from spikeloom.decoding.ridge import LaggedRidge
from spikeloom.errors import DataError
from spikeloom.evaluation.condition_fidelity import condition_fidelity
from spikeloom.evaluation.decoder_scores import score_decoder
from spikeloom.evaluation.estimates import Estimate
from spikeloom.evaluation.history_likelihood import HistoryLikelihood, as_poisson, poisson_nll
from spikeloom.models import load_model
from spikeloom.models.presets import preset_config
from spikeloom.observation.softplus import SoftplusHistory
from spikeloom.report import figures
from spikeloom.report.condition_figures import examples
from spikeloom.report.condition_panels import CONDITION, condition_panels
from spikeloom.report.format import with_error
from spikeloom.report.history_panel import HISTORY, history_panel
from spikeloom.report.page import write_report
from spikeloom.report.panel import render
from spikeloom.training.batch import Batch
from spikeloom.workflow.fitting import start_run
from spikeloom.workflow.heldout_likelihood import SEED, has_history, history_likelihood, masked_rates, spike_response
from spikeloom.workflow.reporting import report_run, trials_to_generate
from spikeloom.workflow.sampling import held_out, sample_like, signed
from test_report import comparison

BINS, NEURONS = 24, 8
PREFERRED = np.deg2rad(np.linspace(0, 360, NEURONS, endpoint=False))
TINY = {
    "autoencoder": {"channels": 12, "latents": 3, "state": 4, "encoder_blocks": 1},
    "history": {"bins": 5},
}
PRIOR = {"prior": {"channels": 8, "blocks": 1, "state": 4, "sampling_steps": 3}}


def recording(n_trials=120, seed=0, rate=-0.3):
    """Neurons tuned to an angle, one of eight, and pushed and pulled by a signal of two dimensions."""
    rng = np.random.default_rng(seed)
    angle = np.resize(np.arange(0, 360, 45), n_trials)
    phase = rng.uniform(0, 2 * np.pi, (n_trials, 1))
    turn = 2 * np.pi * np.arange(BINS) / 16 + phase
    velocity = 10 * np.stack([np.sin(turn), np.cos(turn)], axis=-1)
    weights = rng.normal(size=(2, NEURONS)) * 0.08
    log_rate = rate + np.cos(np.deg2rad(angle)[:, None] - PREFERRED)[:, None] + velocity @ weights
    table = pd.DataFrame({"angle": angle, "condition": angle})
    lengths = rng.integers(BINS - 6, BINS + 1, n_trials)
    signals = {"vel": Signal(velocity, "cm/s", ("x", "y"))}
    return with_default_splits(
        SpikeData(rng.poisson(np.exp(log_rate)), 0.02, lengths=lengths, trials=table, signals=signals)
    )


@pytest.fixture(scope="module")
def data():
    return recording()


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    """A run with spike history and conditions, trained for two steps."""
    folder = tmp_path_factory.mktemp("run")
    save(data, folder / "toy.npz")
    changes = TINY | PRIOR | {"condition_on": ["angle", "vel"]}
    start_run(str(folder / "toy.npz"), "ldns", folder / "run", config=preset_config("ldns", changes, max_steps=2))
    return folder / "run"


@pytest.fixture
def others_undrawn(monkeypatch):
    """The figures that are tested elsewhere are left out."""
    monkeypatch.setattr("spikeloom.report.panels.spike_panels", lambda *_: [])


# -- estimates -------------------------------------------------------------------------------------------------------


def test_error_of_a_ratio_is_that_of_leaving_trials_out():
    rng = np.random.default_rng(0)
    spikes = rng.poisson(30, 200)
    bits = 0.1 * spikes + rng.normal(size=200)
    estimate = Estimate.ratio(bits, spikes)
    without = np.array([np.delete(bits, i).sum() / np.delete(spikes, i).sum() for i in range(200)])
    jackknife = np.sqrt(199 / 200 * ((without - without.mean()) ** 2).sum())
    assert estimate.value == pytest.approx(bits.sum() / spikes.sum())
    assert estimate.se == pytest.approx(jackknife, rel=0.02)
    assert np.isnan(Estimate.ratio(np.zeros(3), np.zeros(3))).all()
    assert np.isnan(Estimate.ratio(np.ones(1), np.ones(1)).se)


# -- spike history --------------------------------------------------------------------------------------------------


def test_bits_are_those_of_the_distributions_themselves():
    rng = np.random.default_rng(0)
    mean, cap = np.array([0.5, 1.5, 0.0]), np.array([3, 4, 2])
    held = SpikeData(rng.poisson(1.2, (7, 6, 3)), 0.02, lengths=np.array([6, 6, 4, 5, 6, 1, 6]))
    rates, nll = rng.uniform(0.2, 2, (2, 7, 6, 3))
    nll[~held.valid] = np.nan
    drawing = HistoryLikelihood.of(held, rates, nll, mean, cap, rng.normal(size=(4, 3)), np.array([0.9, 1.1, 5.0]))
    flat = ours = history = spikes = 0.0
    for trial in range(7):
        for time in range(held.lengths[trial]):
            for neuron in range(2):  # the third never fires in training
                y = int(held.counts[trial, time, neuron])
                flat -= poisson.logpmf(y, mean[neuron])
                ours -= poisson.logpmf(y, rates[trial, time, neuron])
                history += nll[trial, time, neuron]
                spikes += y
    assert drawing.poisson.value == pytest.approx((flat - ours) / spikes / np.log(2))
    assert drawing.history.value == pytest.approx((flat - history) / spikes / np.log(2))
    assert drawing.gain.value == pytest.approx(drawing.history.value - drawing.poisson.value)
    assert drawing.beyond == ((held.counts > cap) & held.valid[..., None])[..., :2].sum()
    assert drawing.response.shape == (4, 2)
    assert drawing.dispersion.tolist() == [0.9, 1.1]


def test_poisson_likelihood_has_the_true_factorial():
    counts = np.arange(12).reshape(1, 12, 1)
    rates = np.full((1, 12, 1), 2.5)
    np.testing.assert_allclose(poisson_nll(counts, rates), -poisson.logpmf(counts, 2.5))
    assert np.isfinite(poisson_nll(counts, 0 * rates)).all()


def test_resampled_trials_have_the_rates_and_no_spikes_in_the_padding(data):
    assert as_poisson(data) is None
    rates = np.random.default_rng(0).gamma(1.0, 1.0, data.counts.shape)
    given = replace(data, rates=rates.astype(np.float32))
    drawn = as_poisson(given, seed=3)
    np.testing.assert_array_equal(drawn.counts, as_poisson(given, seed=3).counts)
    assert (drawn.counts != as_poisson(given, seed=4).counts).any()
    assert drawn.counts[~drawn.valid].sum() == 0
    assert drawn.counts.sum() == pytest.approx(given.rates[given.valid].sum(), rel=0.02)


def test_the_panel_quotes_what_the_model_explains(run, data):
    model, test = load_model(run), held_out(data)
    batch = Batch.of(test)
    rates = masked_rates(model, batch, torch.Generator().manual_seed(SEED))
    with torch.no_grad():
        history = model.observation.nll(batch.counts, rates).double().numpy()
    gain = (-poisson.logpmf(test.counts, rates.double().numpy()) - history)[test.valid].sum()
    likelihood = history_likelihood(model, test)
    assert likelihood.gain.value == pytest.approx(gain / test.counts.sum() / np.log(2), rel=1e-4)
    sample = sample_like(model, test)
    panel = render(history_panel(lambda: likelihood, test, sample))
    assert panel.image is not None
    value, error = with_error(likelihood.gain.value, 1.96 * likelihood.gain.se)
    assert panel.table.rows[2][1] == f"{value} ± {error}"
    assert "blue" in panel.caption
    without = replace(sample, rates=None)
    panel = render(history_panel(lambda: likelihood, test, without))
    assert panel.image is not None
    assert "blue" not in panel.caption
    assert "without rates" in panel.caption


def test_the_published_history_has_a_likelihood_too(run, data):
    model, test = load_model(run), held_out(data)
    model.observation = SoftplusHistory(NEURONS)  # without history its mean is log(1 + rate)
    model.observation.filters[0] = 0.5
    batch = Batch.of(test)
    rates = masked_rates(model, batch, torch.Generator().manual_seed(SEED)).double().numpy()
    drive = (
        np.log(np.maximum(rates, 1e-30)) + 0.5 * np.pad(np.minimum(test.counts, 5), ((0, 0), (1, 0), (0, 0)))[:, :-1]
    )
    log_likelihoods = [poisson.logpmf(test.counts, mean)[test.valid].sum() for mean in (np.logaddexp(0, drive), rates)]
    likelihood = history_likelihood(model, test)
    assert likelihood.gain.value == pytest.approx(
        (log_likelihoods[0] - log_likelihoods[1]) / test.counts.sum() / np.log(2), rel=1e-3
    )
    assert (likelihood.beyond, likelihood.dispersion) == ((test.counts[test.valid] > 5).sum(), None)
    assert likelihood.beyond > 0
    assert (likelihood.response[0] > 1).all()
    np.testing.assert_allclose(likelihood.response[1:], 1, rtol=1e-5)


def test_the_effect_of_a_spike_is_that_in_long_draws(run):
    model = load_model(run)
    history, rate = model.observation, torch.from_numpy(model.data_spec.mean_counts)
    response = spike_response(history, rate).numpy()
    assert response.shape == (5, NEURONS)
    shape = 40_000, 3, NEURONS
    with torch.no_grad():
        counts = history.sample(rate.expand(shape), torch.Generator().manual_seed(0)).double().numpy()
    first, second, third = counts.transpose(1, 0, 2)
    for neuron in range(NEURONS):
        for lag, later, quiet in ((1, second, True), (2, third, second[:, neuron] == 0)):
            after, alone = (later[(first[:, neuron] == y) & quiet, neuron] for y in (1, 0))
            error = np.hypot(*(d.std() / np.sqrt(len(d)) / d.mean() for d in (after, alone)))
            assert after.mean() / alone.mean() == pytest.approx(response[lag - 1, neuron], rel=4 * error)


def test_figures_give_reasons_for_empty_axes():
    table = pd.DataFrame({"condition": np.arange(12)})
    real, generated = (
        SpikeData(np.random.default_rng(s).poisson(0.8, (12, 30, 4)), 0.02, trials=table) for s in (0, 1)
    )
    drawing = HistoryLikelihood(*[Estimate(0.1, 0.01)] * 3, 0, np.zeros((0, 4)), None)
    figure = figures.spike_history(drawing, real, generated)
    assert [axes.texts[0].get_text() for axes in figure.axes if axes.texts] == [
        "the model has no spike history",
        "too few trials of a condition",
    ]
    panel = render(history_panel(lambda: drawing, real, generated))
    assert panel.image is not None
    assert "Dispersion" not in panel.readout


def test_lags_are_in_ms_or_in_bins():
    rng = np.random.default_rng(0)
    real, generated = (SpikeData(rng.poisson(0.8, (30, 40, 4)), 0.005) for _ in range(2))
    generated = replace(generated, rates=np.full(generated.counts.shape, 0.8, np.float32))
    response = np.array([[0.5] * 4, [0.9, 0.9, 1.1, 1.1]])
    drawing = HistoryLikelihood(*[Estimate(0.1, 0.01)] * 3, 0, response, np.ones(4))
    figure = figures.spike_history(drawing, real, generated)
    left, middle, _ = figure.axes
    line = left.get_lines()[1].get_xydata()
    np.testing.assert_allclose(line, [[5, 0.5], [10, 1.0]])
    assert [line.get_label() for line in middle.get_lines()[:3]] == [
        "held-out real",
        "generated",
        "same rates, Poisson counts",
    ]
    assert middle.get_lines()[0].get_xdata()[-1] == 100
    assert middle.get_xlabel() == "lag (ms)"
    assert (
        "lag (bins)"
        in figures.spike_history(drawing, *(replace(d, bin_s=1.0) for d in (real, generated))).axes[1].get_xlabel()
    )
    none = replace(drawing, response=np.zeros((0, 4)))
    assert "no spike history" in figures.spike_history(none, real, generated).axes[0].texts[0].get_text()
    silent = SpikeData(np.zeros((4, 5, 4), int), 0.005)
    with pytest.raises(DataError, match="no neuron fires"):
        figures.spike_history(drawing, silent, generated)
    with pytest.raises(DataError, match="a single bin"):
        figures.spike_history(drawing, real, SpikeData(np.ones((4, 1, 4), int), 0.005))


# -- conditions ------------------------------------------------------------------------------------------------------


class TestConditions:
    def test_a_signal_is_scored_as_its_decoder_scores_it(self, data):
        variable, test = Variable.of(data, "vel"), data.split("test")
        result = condition_fidelity(data, test, variable)
        decoder = LaggedRidge().fit(data.split("train"), "vel")
        assert np.mean([e.value for e in result.ceiling]) == pytest.approx(score_decoder(decoder, test).value, abs=1e-4)
        assert result.generated == result.ceiling
        assert result.names == ("x", "y")
        assert result.imitates
        assert max(result.baseline) < 0 < min(e.value for e in result.ceiling)
        figure = figures.condition_decoding(result, data.bin_s)
        assert {axes.get_ylabel() for axes in figure.axes} == {"x (cm/s)", "y (cm/s)", ""}
        trial = examples(result.readouts)[0]
        drawn = figure.axes[0].get_lines()[0].get_ydata()
        np.testing.assert_allclose(drawn, test.signals["vel"].values[trial, : test.lengths[trial], 0], rtol=1e-6)

    def test_a_label_is_scored_as_its_decoder_scores_it(self, data):
        result = condition_fidelity(data, recording(seed=1).split("test"), Variable.of(data, "angle"))
        decoder = LabelDecoder().fit(data.split("train"), "angle")
        assert result.ceiling[0].value == score_decoder(decoder, data.split("test")).value
        assert result.ceiling[0].value > 0.6
        assert result.baseline[0] < 0.4
        left, right = figures.condition_decoding(result, data.bin_s).axes
        for axes, found in ((left, result.readouts), (right, result.real)):
            share = np.asarray(axes.images[0].get_array())
            np.testing.assert_allclose(share.sum(1), 1)
            requested = pd.Series(found.requested)
            right_of_90 = np.mean(np.array(found.decoded)[requested == "90"] == "90")
            assert share[2, 2] == pytest.approx(right_of_90)
        assert left.get_ylabel() == "requested (deg)"

    def test_angles_and_numbers_of_many_values(self, data):
        rng = np.random.default_rng(0)
        angle = rng.uniform(-180, 180, 160)
        size = rng.uniform(1, 2, 160)
        log_rate = 0.5 + np.cos(np.deg2rad(angle)[:, None] - PREFERRED) + 0.8 * size[:, None] * (np.arange(NEURONS) < 3)
        counts = rng.poisson(np.exp(log_rate)[:, None].repeat(BINS, 1))
        table = pd.DataFrame({"angle": angle, "size": size})
        many = with_default_splits(SpikeData(counts, 0.02, trials=table))
        turned = condition_fidelity(many, many.split("test"), Variable.of(many, "angle"))
        assert (turned.measure, turned.unit) == ("mean error", "deg")
        assert turned.generated[0].value < 20
        assert 60 < turned.baseline[0] < 120
        sized = condition_fidelity(many, many.split("test"), Variable.of(many, "size"))
        assert sized.measure == "R²"
        assert sized.generated[0].value > 0.5 > 0 > sized.baseline[0]
        for result in (turned, sized):
            assert len(figures.condition_decoding(result, 0.02).axes) == 2

    def test_trials_of_other_conditions_than_the_held_out_ones(self, data):
        other = recording(seed=1).split("test")
        result = condition_fidelity(data, other, Variable.of(data, "vel"))
        assert not result.imitates
        (panel,) = condition_panels(data, other, (Variable.of(data, "vel"),))
        panel = render(panel)
        assert "of their own" in panel.caption
        assert len(figures.condition_decoding(result, 0.02).axes[0].get_lines()) == 3  # no recorded spikes beside

    def test_trials_without_a_value_are_left_out(self, data):
        values = np.array(data.signals["vel"].values)
        values[data.splits["test"][:3], 4] = np.nan
        gaps = replace(data, signals={"vel": Signal(values, "cm/s", ("x", "y"))})
        result = condition_fidelity(gaps, gaps.split("test"), Variable.of(data, "vel"))
        assert len(result.real.requested) == len(data.splits["test"]) - 3
        assert np.isfinite([e.value for e in result.ceiling]).all()

    def test_trials_without_a_requested_condition(self, data):
        bare = replace(data.split("test"), signals={}, trials=None)
        variables = Variable.of(data, "vel"), Variable.of(data, "angle")
        panels = [render(panel) for panel in condition_panels(data, bare, variables)]
        assert [p.title for p in panels] == [f"{CONDITION}: vel", f"{CONDITION}: angle"]
        assert all("generated trials do not hold" in p.missing for p in panels)

    def test_one_trial_only(self, data):
        result = condition_fidelity(data, data.split("test").select(trials=[0]), Variable.of(data, "vel"))
        assert isinstance(figures.condition_decoding(result, 0.02).axes[0].get_ylabel(), str)


# -- the page --------------------------------------------------------------------------------------------------------


def test_a_report_of_a_run_has_the_panels_that_belong_to_it(run, data, others_undrawn, monkeypatch):
    monkeypatch.setattr("spikeloom.evaluation.compare.compare", lambda *_, **__: comparison())
    page, _ = report_run(run)
    text = page.read_text()
    for title in (HISTORY, f"{CONDITION}: angle", f"{CONDITION}: vel"):
        assert text.count(f"<h3>{title}</h3>") == 1
    n, drawn = len(data.splits["test"]), trials_to_generate(data.splits)
    assert f"The {drawn} generated trials were requested for the angle of the {n} held-out trials." in text
    assert "difference, paired by trial" in text
    assert not re.search(r"\bnan\b", text[: text.index("Provenance and")].split("base64,")[0].lower())


@pytest.mark.filterwarnings("ignore:the power of the sampled latents")
def test_models_without_either_have_no_such_panels(run, data, others_undrawn, tmp_path):
    changes = {"autoencoder": TINY["autoencoder"], "observation": "poisson"}
    config = preset_config("gaussian", changes, max_steps=2)
    model = start_run(str(run.parent / "toy.npz"), "gaussian", tmp_path / "run", config=config)
    test = held_out(data)
    assert not has_history(model)
    assert condition_panels(data, test, model.data_spec.variables) == []
    generated = signed(sample_like(model, test), tmp_path / "run")
    text = write_report(tmp_path / "r.html", real=data, generated=generated, comparison=comparison()).read_text()
    assert HISTORY not in text
    assert CONDITION not in text
