"""Models with codes: what they learn on reaches whose truth is known, activity and its rates, warnings, navigation."""

import dataclasses
import warnings

import numpy as np
import pandas as pd
import pytest
import torch

from spikeloom.data.codes import codes_in, with_codes
from spikeloom.data.files import load, save
from spikeloom.data.smoothing import SMOOTHED, smoothed_counts
from spikeloom.data.spikedata import Signal, SpikeData
from spikeloom.data.splits import with_default_splits
from spikeloom.errors import ConfigError, DataError, SpikeloomWarning
from spikeloom.models import load_model
from spikeloom.models.activity import Activity, log_linear
from spikeloom.models.code import EncoderConfig
from spikeloom.models.code_autoencoder import CodeAutoencoder, CodeAutoencoderConfig, CodeDecoderConfig
from spikeloom.models.gnocchi import GNOCCHI, GNOCCHIConfig
from spikeloom.models.ldns import LDNS
from spikeloom.observation.history import SpikeHistory
from spikeloom.priors.code_diffusion import CodeDiffusionConfig
from spikeloom.training.batch import Batch
from spikeloom.training.stages import StageConfig
from spikeloom.workflow.traversal import navigate, write_traversal
from test_models import SMALL_LDNS

N_BINS, N_UNITS = 12, 10
TRAINED = StageConfig(steps=600, batch_size=32, learning_rate=5e-3, ema_decay=0.98, validate_every=100)
SMALL = GNOCCHIConfig(
    activity="activity",
    code_dim=2,
    encoder=EncoderConfig(hidden=16, dropout=0.0),
    diffusion=CodeDiffusionConfig(hidden=32, patch=2, components=4, sampling_steps=12),
    training=TRAINED,
)
BRIEF = dataclasses.replace(SMALL, training=StageConfig(steps=2, batch_size=16, validate_every=1))


def reaches(n: int = 160, seed: int = 0) -> SpikeData:
    """Trials whose activity is a smooth function of a target in the plane; the hand goes there."""
    rng = np.random.default_rng(seed)
    target = rng.uniform(-1, 1, (n, 2))
    way = 1 / (1 + np.exp(-(np.arange(N_BINS) - 5) / 1.2))
    hand = target[:, None] * way[None, :, None]
    tuning = np.random.default_rng(99).normal(size=(2, N_UNITS))
    speed = np.gradient(way)[None, :, None] * target[:, None]
    activity = np.tanh(hand @ tuning + 2 * speed @ tuning[::-1]) + 0.02 * rng.normal(size=(n, N_BINS, N_UNITS))
    rates = np.exp(-1.2 + activity)
    data = SpikeData(
        rng.poisson(rates),
        bin_s=0.02,
        rates=rates,
        signals={"activity": Signal(activity), "hand_position": Signal(10 * hand, "cm", ("x", "y"))},
        trials=pd.DataFrame({"target_x": 10 * target[:, 0], "target_y": 10 * target[:, 1]}),
    )
    return with_default_splits(data)


@pytest.fixture(scope="module")
def data():
    return reaches()


@pytest.fixture(scope="module")
def trained(data):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        model = GNOCCHI.make(data, SMALL).fit(data)
    model.said = [w for w in said if issubclass(w.category, SpikeloomWarning)]
    return model


@pytest.mark.slow
class TestScience:
    def test_samples_follow_their_codes(self, data, trained):
        """Most of the variance of held-out activity comes back from codes, and none from another trial's."""
        test = data.split("test")
        real, codes = test.signals["activity"].values, trained.encode(test)
        total = np.square(real - real.mean((0, 1))).sum()

        def r2(used):
            drawn = trained.sample(test.n_trials, codes=used, seed=3).signals["activity"].values
            return 1 - np.square(drawn - real).sum() / total

        assert r2(codes) > 0.7
        assert r2(np.roll(codes, 1, axis=0)) < 0.0

    def test_codes_tell_the_target_and_are_where_samples_take_theirs_from(self, data, trained):
        from spikeloom.evaluation.code_map import LinearMap

        codes = trained.encode(data)
        targets = data.trials[["target_x", "target_y"]].to_numpy()
        assert LinearMap.fit(codes, targets, ["x", "y"]).heldout_r2.min() > 0.7
        assert np.abs(codes.mean(0)).max() < 0.8
        assert 0.4 < codes.std(0).min() < codes.std(0).max() < 2.5

    def test_unconditional_codes_are_distributed_as_those_of_training_trials(self, data, trained):
        codes = trained.encode(data.split("train"))
        drawn = trained.network.draw_codes(20_000, torch.Generator().manual_seed(0)).numpy()
        np.testing.assert_allclose(drawn.mean(0), codes.mean(0), atol=0.03)
        np.testing.assert_allclose(np.cov(drawn.T), np.cov(codes.T), atol=0.04)
        standard = GNOCCHI.make(data, dataclasses.replace(BRIEF, code_distribution="standard"))
        with pytest.warns(SpikeloomWarning):
            standard.fit(data)
        drawn = standard.network.draw_codes(20_000, torch.Generator().manual_seed(0)).numpy()
        np.testing.assert_allclose(np.cov(drawn.T), np.eye(2), atol=0.04)

    def test_unconditional_samples_are_as_wide_as_the_data(self, data, trained):
        ratio = trained.spread_ratio(trained._batch(data.split("train")), trained._batch(data.split("test")))
        assert 0.6 < float(ratio[:2].min()) < float(ratio[:2].max()) < 1.5

    def test_counts_have_the_rates_they_are_said_to_have(self, trained):
        sample = trained.sample(300, seed=1, observation="poisson")
        assert sample.counts.dtype.kind == "u"
        assert (sample.rates >= 0).all()
        total = sample.rates.sum()
        assert abs(int(sample.counts.sum()) - total) < 3 * np.sqrt(total)

    def test_a_neuron_s_own_past_may_be_learned_too(self, data, trained):
        """Spike history is fitted on inferred rates, and calibrated to the recorded mean."""
        sample = trained.sample(600, seed=1)
        recorded = data.split("train").counts.mean((0, 1))
        np.testing.assert_allclose(sample.counts.mean((0, 1)), recorded, rtol=0.15)
        assert isinstance(trained.observation, SpikeHistory)
        with pytest.raises(ConfigError, match="observation 'published_history' cannot be used"):
            trained.sample(2, observation="published_history")


class TestActivity:
    def test_scale_is_that_of_training_trials_and_survives_saving(self, data, tmp_path):
        model = GNOCCHI.make(data, BRIEF)
        with pytest.warns(SpikeloomWarning):
            model.fit(data)
        train = data.split("train").signals["activity"].values.reshape(-1, N_UNITS)
        np.testing.assert_allclose(model.activity.mean, train.mean(0), atol=1e-5)
        np.testing.assert_allclose(model.activity.std, train.std(0), rtol=1e-3)
        model.save(tmp_path)
        loaded = load_model(tmp_path)
        torch.testing.assert_close(loaded.activity.std, model.activity.std)
        x = torch.randn(2, 3, N_UNITS)
        torch.testing.assert_close(model.activity.normalised(model.activity.restored(x).numpy()), x, atol=1e-5, rtol=0)

    def test_a_unit_that_never_moves_is_not_blown_up(self, data):
        values = data.signals["activity"].values.copy()
        values[..., 3] = 0.5
        activity = Activity("activity", N_UNITS, 0.08)
        activity.prepare(dataclasses.replace(data, signals={"activity": Signal(values)}))
        assert float(activity.std[3]) == pytest.approx(0.05 * np.sqrt(values.var((0, 1)).mean()), rel=0.01)

    def test_rates_follow_from_a_signal_as_they_were_made(self, data):
        """Counts were drawn with the rate exp(-1.2 + x) of the unit's own activity."""
        activity = Activity("activity", N_UNITS, 0.08)
        activity.prepare(data)
        inferred = activity.rates(activity.normalised(data.signals["activity"].values)).numpy()
        assert np.abs(np.log(inferred / data.rates)).mean() < 0.12

    def test_generated_activity_makes_no_rate_explode(self, data):
        activity = Activity("activity", N_UNITS, 0.08)
        activity.prepare(data)
        recorded = activity.rates(activity.normalised(data.signals["activity"].values)).amax((0, 1))
        wild = activity.rates(torch.full((1, 1, N_UNITS), 50.0))[0, 0]
        assert bool((wild <= recorded * np.exp(2.0) * 1.001).all())

    def test_log_linear_is_poisson_regression(self):
        from sklearn.linear_model import PoissonRegressor

        rng = np.random.default_rng(0)
        x = rng.normal(size=(400, 2))
        counts = rng.poisson(np.exp([0.3, -2.0] + x * [0.8, -0.4]))
        a, b = log_linear(torch.from_numpy(x), torch.from_numpy(counts.astype(float)))
        for i in range(2):
            wanted = PoissonRegressor(alpha=0.0, tol=1e-10, max_iter=1000).fit(x[:, [i]], counts[:, i])
            assert float(a[i]) == pytest.approx(wanted.intercept_, abs=1e-4)
            assert float(b[i]) == pytest.approx(wanted.coef_[0], abs=1e-4)

    def test_a_silent_neuron_stays_finite(self):
        a, b = log_linear(torch.randn(50, 1, dtype=torch.float64), torch.zeros(50, 1, dtype=torch.float64))
        assert torch.isfinite(a).all()
        assert torch.isfinite(b).all()

    def test_smoothed_counts_are_rates(self, data):
        model = GNOCCHI.make(data, dataclasses.replace(BRIEF, activity="counts"))
        activity = model.activity.of(data)
        np.testing.assert_array_equal(activity, smoothed_counts(data.counts, data.lengths, 0.08 / 0.02))
        with pytest.warns(SpikeloomWarning):
            model.fit(data)
        sample = model.sample(4, seed=0)
        assert not sample.signals
        assert (sample.rates >= 0).all()

    def test_what_was_smoothed_before_cutting_is_learned_as_it_is(self, data):
        smooth = Signal(smoothed_counts(data.counts, data.lengths, 2.0), "spikes/bin")
        smoothed = dataclasses.replace(data, signals={SMOOTHED: smooth})
        model = GNOCCHI.make(smoothed, dataclasses.replace(BRIEF, activity=SMOOTHED))
        with pytest.warns(SpikeloomWarning):
            model.fit(smoothed)
        sample = model.sample(3, seed=0)
        floor = 0.01 * model.activity.mean.numpy()
        np.testing.assert_allclose(sample.rates, np.maximum(sample.signals[SMOOTHED].values, floor), atol=1e-6)
        assert sample.signals[SMOOTHED].unit == "spikes/bin"

    def test_what_cannot_be_learned_is_refused(self, data):
        with pytest.raises(DataError, match=r"'cortex'.*none of that name.*activity, hand_position"):
            GNOCCHI.make(data, dataclasses.replace(BRIEF, activity="cortex"))
        with pytest.raises(DataError, match="2 columns for 10 neurons"):
            GNOCCHI.make(data, dataclasses.replace(BRIEF, activity="hand_position")).fit(data)
        values = data.signals["activity"].values.copy()
        values[0, 0, 0] = np.nan
        missing = dataclasses.replace(data, signals={"activity": Signal(values)})
        with pytest.raises(DataError, match="not numbers"):
            GNOCCHI.make(data, BRIEF).fit(missing)


class TestCodes:
    def test_they_are_columns_that_files_keep(self, trained, tmp_path):
        sample = trained.sample(3, seed=0)
        assert codes_in(sample).shape == (3, 2)
        for name in ("a.npz", "a.h5"):
            save(sample, tmp_path / name)
            np.testing.assert_allclose(codes_in(load(tmp_path / name)), codes_in(sample), rtol=1e-6)
        with pytest.raises(DataError, match="no codes"):
            codes_in(reaches(5))
        with pytest.raises(DataError, match="2 codes for 3 trials"):
            with_codes(sample, np.zeros((2, 2)))

    def test_codes_that_do_not_fit_are_refused(self, data, trained):
        for codes in (np.zeros((3, 4)), np.zeros((2, 2))):
            with pytest.raises(DataError, match="3 trials need 3 codes of 2 values"):
                trained.sample(3, codes=codes)
        with pytest.raises(DataError, match="the code of trial 1 is"):
            trained.sample(2, codes=np.array([[0.0, 0.0], [0.0, np.nan]]))
        with pytest.raises(ConfigError, match="no option 'guidance'"):
            trained.sample(3, guidance=2.0)
        with pytest.raises(ConfigError, match="no codes to draw trials for"):
            LDNS.make(data, SMALL_LDNS).sample(3, codes=np.zeros((3, 2)))
        with pytest.raises(ConfigError, match="cannot continue a context"):
            trained.sample(3, context=data)

    def test_an_untrained_model_is_warned_of(self, data):
        """Before training, samples do not follow their codes, and there is no gap between own and other codes."""
        model = GNOCCHI.make(data, BRIEF)
        with pytest.warns(SpikeloomWarning, match="hardly follow their codes"):
            model.fit(data)
        diagnostics = model.network.diagnostics(model._batch(data.split("val")), torch.Generator().manual_seed(0))
        assert abs(diagnostics["code_r2"] - diagnostics["shuffled_code_r2"]) < 0.1

    def test_silent_units_and_single_trials_spoil_no_guard(self, data):
        """Units that never vary are left out of R2; with one validation trial no other code can be compared with."""
        model = GNOCCHI.make(data, BRIEF)
        batch = model._batch(data.split("val"))
        still = batch.signal.clone()
        still[..., :6] = 0.3
        diagnostics = model.network.diagnostics(
            dataclasses.replace(batch, signal=still), torch.Generator().manual_seed(0)
        )
        assert diagnostics["code_r2"] > -5
        assert "code_r2" not in model.network.diagnostics(batch[:1], torch.Generator().manual_seed(0))
        assert torch.isnan(model.spread_ratio(batch, batch[:1])).all()

    def test_a_perfect_generator_is_said_to_be_as_wide_as_the_data(self, data):
        """Components of some trials, s.d. of others: fresh trials of the same distribution have a ratio around 1."""
        model = GNOCCHI.make(data, BRIEF)
        noise = [torch.randn(n, N_BINS, N_UNITS, generator=torch.Generator().manual_seed(n)) for n in (60, 61, 128)]
        lengths = [torch.full((len(x),), N_BINS) for x in noise]
        learned, evaluated = (Batch(n, False, signal=x) for n, x in zip(lengths[:2], noise[:2], strict=True))
        model.network.draw = lambda codes, lengths, generator, **options: noise[2]
        assert float(model.spread_ratio(learned, evaluated).mean()) == pytest.approx(1, abs=0.2)

    def test_a_trained_one_is_not(self, trained):
        assert not trained.said

    def test_dropout_repeats_with_the_seed(self, data):
        config = dataclasses.replace(BRIEF, encoder=EncoderConfig(hidden=8, dropout=0.5))
        with pytest.warns(SpikeloomWarning):
            a, b, c = (GNOCCHI.make(data, config, seed=1).fit(data, seed=s) for s in (1, 1, 2))
        before = torch.get_rng_state()
        assert all(torch.equal(v, b.state_dict()[k]) for k, v in a.state_dict().items())
        assert not all(torch.equal(v, c.state_dict()[k]) for k, v in a.state_dict().items())
        with pytest.warns(SpikeloomWarning):
            GNOCCHI.make(data, config).fit(data)
        assert torch.equal(before, torch.get_rng_state())  # the user's own draws are left alone

    def test_the_control_draws_nothing(self, data):
        config = CodeAutoencoderConfig(
            activity="activity",
            code_dim=2,
            encoder=EncoderConfig(hidden=16, dropout=0.0),
            decoder=CodeDecoderConfig(hidden=16),
            training=dataclasses.replace(TRAINED, steps=200),
        )
        model = CodeAutoencoder.make(data, config).fit(data)
        codes = model.encode(data.split("test"))
        a, b = (model.sample(len(codes), codes=codes, seed=s).signals["activity"].values for s in (0, 1))
        np.testing.assert_array_equal(a, b)
        real = data.split("test").signals["activity"].values
        assert 1 - np.square(a - real).sum() / np.square(real - real.mean((0, 1))).sum() > 0.7


class TestNavigation:
    def test_the_decoded_end_follows_the_traversed_variable(self, data, trained):
        """A traversal along target_x moves the decoded end of reaches in x by the amount requested, and hardly in y."""
        traversal = navigate(trained, data, "target_x", base_trials=3, amounts=[-4, 0, 4], draws=4, seed=1)
        assert traversal.decoded.shape == (3, 3, N_BINS, 2)
        assert min(traversal.decoder_r2) > 0.9
        assert (traversal.unit, traversal.position_unit) == ("cm", "cm")
        moved = traversal.decoded[:, 2, -1] - traversal.decoded[:, 0, -1]
        assert moved[:, 0].mean() == pytest.approx(8, rel=0.35)
        assert abs(moved[:, 1].mean()) < 2.5
        assert traversal.movement.ratio.mean() < 0.5
        table = traversal.table()
        np.testing.assert_allclose(table.read_target_x[1::3] + 4, table.read_target_x[2::3], atol=1e-3)
        np.testing.assert_allclose(table.read_target_y[1::3], table.read_target_y[2::3], atol=1e-3)
        assert set(traversal.base_trials) <= set(data.splits["val"]) | set(data.splits["test"])

    def test_steps_share_their_noise(self, data, trained):
        """So that two runs are identical, and a traversal of no length shows no movement at all."""
        a, b = (navigate(trained, data, "target_x", base_trials=2, draws=2, seed=1).sample for _ in range(2))
        np.testing.assert_array_equal(a.counts, b.counts)
        still = navigate(trained, data, "target_x", base_trials=2, amounts=[-1e-7, 0, 1e-7], draws=2)
        assert np.abs(still.decoded - still.decoded[:, 1:2]).max() < 1e-3

    def test_what_it_leaves(self, data, trained, tmp_path):
        traversal = navigate(trained, data, "target_y", draws=2)
        write_traversal(traversal, data, tmp_path / "traversal")
        assert {p.name for p in (tmp_path / "traversal").iterdir()} == {
            "samples.npz",
            "traversal.csv",
            "traversal.png",
            "axes.png",
        }
        table = pd.read_csv(tmp_path / "traversal" / "traversal.csv")
        assert list(table.step) == list(range(7))
        assert {"amount", "read_target_x", "decoded_start_x", "decoded_target_y"} <= set(table)
        sample = load(tmp_path / "traversal" / "samples.npz")
        assert sample.n_trials == 14
        assert sample.provenance["traversed_variable"] == "target_y"
        assert list(sample.trials.draw[:4]) == [0, 1, 0, 1]

    @pytest.mark.filterwarnings("ignore::spikeloom.errors.SpikeloomWarning")
    def test_latents_of_other_models_are_moved_as_a_whole(self, data):
        model = LDNS.make(data, SMALL_LDNS)
        model.fit(data)
        traversal = navigate(model, data, "target_x", draws=1, amounts=[1.0])
        latents = traversal.sample.latents
        moved = latents[1] - latents[0]
        np.testing.assert_allclose(moved, np.broadcast_to(moved[:1], moved.shape), atol=1e-4)
        np.testing.assert_allclose(latents.mean(1), codes_in(traversal.sample), atol=1e-4)

    def test_reaches_end_where_their_own_trial_ends(self, data):
        """Of ragged base trials, too: the padding of a shorter one is no position of its hand."""
        ragged = dataclasses.replace(data, lengths=np.random.default_rng(0).integers(6, N_BINS + 1, data.n_trials))
        config = dataclasses.replace(BRIEF, training=dataclasses.replace(TRAINED, steps=60))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SpikeloomWarning)
            model = GNOCCHI.make(ragged, config).fit(ragged)
            traversal = navigate(model, ragged, "target_x", base_trials=6, draws=2)
        lengths = ragged.lengths[traversal.base_trials]
        assert len(set(lengths)) > 1
        for i, length in enumerate(lengths):
            np.testing.assert_array_equal(traversal.ends[i, :, 1], traversal.decoded[i, :, length - 1])
        assert (traversal.movement.intended > 0).all()
        np.testing.assert_allclose(traversal.table().decoded_target_x[:7], traversal.ends[0, :, 1, 0])

    def test_an_angle_is_traversed_by_its_cosine(self, data, trained):
        turned = data.trials.assign(angle_deg=np.degrees(np.arctan2(data.trials.target_y, data.trials.target_x)))
        diagnostics = dataclasses.replace(data, trials=turned)
        traversal = navigate(trained, diagnostics, "angle_deg_cos", draws=1)
        assert traversal.map.names == ("angle_deg_cos", "angle_deg_sin")
        with pytest.raises(ConfigError, match="read as angle_deg_cos and angle_deg_sin; choose one"):
            navigate(trained, diagnostics, "angle_deg")
        with pytest.raises(ConfigError, match="choose one of these"):
            navigate(trained, diagnostics, "hand_position:last")
        assert navigate(trained, diagnostics, "target_x", ["target_y"], draws=1).map.names == ("target_y", "target_x")

    def test_targets_that_are_words_or_unknown_spoil_no_report(self, data, trained):
        from spikeloom.workflow.code_summary import code_summary

        words = dataclasses.replace(data, trials=data.trials.assign(target_x="left"))
        assert "must be a number" in code_summary(trained, words).missing
        places = data.trials.target_x.where(np.arange(data.n_trials) % 9 > 0)
        with pytest.warns(SpikeloomWarning, match="left out"):
            some = code_summary(trained, dataclasses.replace(data, trials=data.trials.assign(target_x=places)))
        assert np.isfinite(some.targets).all()
        assert len(some.codes) == len(some.targets) == int(places.notna().sum())
        nothing = dataclasses.replace(data, trials=data.trials[[]])
        assert "no targets" in code_summary(trained, nothing).missing

    def test_a_report_of_held_out_trials_shorter_than_others(self, data, trained):
        """Generated trials have no more bins than the longest held-out one; the recording may have."""
        from spikeloom.report.code_panels import code_panels
        from spikeloom.report.panel import render
        from spikeloom.workflow.code_summary import code_summary

        lengths = np.full(data.n_trials, N_BINS)
        lengths[data.splits["test"]] = N_BINS - 3
        found = code_summary(trained, dataclasses.replace(data, lengths=lengths))
        assert found.real.shape == found.own.shape == (*found.valid.shape, N_UNITS)
        assert found.valid.all()
        assert all(render(panel).image is not None for panel in code_panels(lambda: found))

    def test_traversals_that_cannot_be(self, data, trained):
        with pytest.raises(ConfigError, match="target_z"):
            navigate(trained, data, "target_z")
        with pytest.raises(ConfigError, match="0 base trials"):
            navigate(trained, data, "target_x", base_trials=0)
        with pytest.raises(DataError, match="1000 base trials"):
            navigate(trained, data, "target_x", base_trials=1000)
        with pytest.raises(DataError, match="'activity' is no signal of two dimensions"):
            navigate(trained, data, "target_x", position="activity")
        with pytest.raises(ConfigError, match="amounts"):
            navigate(trained, data, "target_x", amounts=[float("nan")])

    def test_without_a_position_nothing_is_decoded(self, data, trained):
        blind = dataclasses.replace(data, signals={"activity": data.signals["activity"]})
        traversal = navigate(trained, blind, "target_x", draws=1)
        assert traversal.decoded is None
        assert traversal.movement is None
        assert traversal.unit == ""


@pytest.mark.slow
def test_the_default_on_simulated_reaching(recwarn):
    """Held-out activity of a hundred units comes back from five numbers a trial, and from no other trial's."""
    from spikeloom.data.sources import load_source
    from spikeloom.evaluation.codes import unit_r2
    from spikeloom.models.presets import preset_config

    data = load_source("reaching")
    model = GNOCCHI.make(data, preset_config("gnocchi", {"activity": "activity"}, 1200)).fit(data)
    test = data.split("test")
    real, codes = test.signals["activity"].values, model.encode(test)

    def r2(used):
        drawn = [model.sample(len(used), codes=used, seed=s).signals["activity"].values for s in range(4)]
        return float(np.median(unit_r2(real, np.mean(drawn, axis=0))))

    assert r2(codes) > 0.88
    assert r2(np.roll(codes, 1, axis=0)) < 0.0
    assert not [w for w in recwarn if issubclass(w.category, SpikeloomWarning)]
