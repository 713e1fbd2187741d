"""Conditional models: samples follow the requested conditions."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

from spikeloom.conditioning.features import Condition
from spikeloom.data.files import load, save
from spikeloom.data.spikedata import Signal, SpikeData
from spikeloom.data.splits import with_default_splits
from spikeloom.errors import ConfigError, DataError, SpikeloomWarning
from spikeloom.evaluation.compare import compare
from spikeloom.models import load_model
from spikeloom.models.autoencoder import AutoencoderConfig
from spikeloom.models.eag import EAG, EAGConfig
from spikeloom.models.gaussian import GaussianConfig, GaussianLatents
from spikeloom.models.ldns import LDNS, LDNSConfig
from spikeloom.models.training_labels import TrainingLabels
from spikeloom.observation.history import HistoryConfig
from spikeloom.priors.diffusion import DiffusionConfig
from spikeloom.priors.energy import EnergyConfig
from spikeloom.training.stages import StageConfig
from spikeloom.workflow.sampling import sample_like

BINS, NEURONS = 24, 8
ANGLES = np.arange(0, 360, 45)
PREFERRED = np.deg2rad(np.linspace(0, 360, NEURONS, endpoint=False))

FEW = StageConfig(steps=2, batch_size=8, validate_every=1)
AUTOENCODER = AutoencoderConfig(latents=3, channels=12, encoder_blocks=1, state=4)
DENOISER = DiffusionConfig(channels=8, blocks=1, state=4, sampling_steps=3)

GENERATOR = EnergyConfig(
    width=16,
    layers=1,
    heads=2,
    n_register_tokens=2,
    head_width=12,
    head_blocks=1,
    noise_dim=4,
    samples=3,
    sampling_steps=3,
)

pytestmark = pytest.mark.filterwarnings("ignore:the power of the sampled latents")


def tuning(angle_deg):
    """(trial, neuron) log rates per bin."""
    return -0.9 + 1.2 * np.cos(np.deg2rad(np.asarray(angle_deg, float))[:, None] - PREFERRED)


def recording(n_trials=160, lengths=None):
    """Neurons tuned to an angle, and pushed and pulled by a slow signal."""
    rng = np.random.default_rng(0)
    angle = np.resize(ANGLES, n_trials)
    phase, period = rng.uniform(0, 2 * np.pi, n_trials), rng.uniform(12, 40, n_trials)
    drive = np.sin(2 * np.pi * np.arange(BINS) / period[:, None] + phase[:, None])
    log_rate = tuning(angle)[:, None, :] + drive[..., None] * np.where(np.arange(NEURONS) % 2, 0.9, -0.9)
    return with_default_splits(
        SpikeData(
            rng.poisson(np.exp(log_rate)),
            bin_s=0.02,
            lengths=lengths,
            trials=pd.DataFrame({"angle": angle, "condition": angle}),
            signals={"drive": Signal(drive[..., None], "V")},
        )
    )


def tiny(condition_on, **prior):
    denoiser = dataclasses.replace(DENOISER, **prior)
    return LDNSConfig(AUTOENCODER, denoiser, FEW, FEW, observation="poisson", condition_on=condition_on)


def untrained(data, condition_on=("angle", "drive"), **prior):
    """A model of two training steps, whose weights are then made large, so that every input matters."""
    model = LDNS.make(data, tiny(condition_on, **prior)).fit(data)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.prior.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=generator)
    return model


@pytest.fixture(scope="module")
def data():
    return recording()


@pytest.fixture(scope="module", params=["ldns", "eag"])
def trained(request, data):
    """A model that has learned the angle and the signal."""
    if request.param == "eag":
        return trained_eag(data)
    config = LDNSConfig(
        AutoencoderConfig(latents=4, channels=16, encoder_blocks=1, state=4),
        DiffusionConfig(channels=32, blocks=2, state=8, sampling_steps=8, condition_dropout=0.25),
        StageConfig(steps=200, batch_size=32, learning_rate=5e-3, validate_every=100),
        StageConfig(steps=500, batch_size=32, learning_rate=5e-3, validate_every=100, ema_decay=0.98),
        observation="poisson",
        condition_on=("angle", "drive"),
    )
    return LDNS.make(data, config).fit(data)


def trained_eag(data):
    config = EAGConfig(
        AutoencoderConfig(latents=4, channels=16, encoder_blocks=1, state=4),
        EnergyConfig(
            width=32,
            layers=2,
            heads=2,
            n_register_tokens=2,
            head_width=32,
            head_blocks=1,
            noise_dim=8,
            sampling_steps=6,
            condition_dropout=0.25,
        ),
        StageConfig(steps=200, batch_size=32, learning_rate=5e-3, validate_every=100),
        StageConfig(steps=400, batch_size=32, learning_rate=5e-3, validate_every=100, ema_decay=0.98),
        observation="poisson",
        condition_on=("angle", "drive"),
    )
    return EAG.make(data, config).fit(data)


@pytest.fixture(scope="module")
def small(data):
    return untrained(data)


def correlation(a, b):
    return float(np.corrcoef(np.ravel(a), np.ravel(b))[0, 1])


def tuned(sample):
    """(trial, neuron) mean log rates over the trial."""
    return np.log(sample.rates.mean(1))


@pytest.mark.slow
class TestSamplesFollow:
    def test_the_angle(self, trained):
        requested = np.tile(ANGLES, 12)
        sample = trained.sample(len(requested), length=BINS, condition={"angle": requested})
        expected = tuning(requested) - tuning(requested).mean(0)
        found = tuned(sample) - tuned(sample).mean(0)
        shuffled = np.random.default_rng(0).permutation(len(requested))
        assert correlation(found, expected) > 0.8
        assert abs(correlation(found, expected[shuffled])) < 0.25

    def test_any_angle_in_any_unit(self, trained):
        a = trained.sample(8, length=BINS, condition={"angle": "370deg"})
        b = trained.sample(8, length=BINS, condition={"angle": f"{np.deg2rad(10)}rad"})
        np.testing.assert_allclose(a.rates, b.rates, rtol=1e-2, atol=1e-4)
        assert correlation(tuned(a).mean(0), tuning([10])[0]) > 0.8

    @pytest.mark.parametrize("length", [BINS, 3 * BINS])
    def test_the_signal_also_in_trials_longer_than_those_trained_on(self, length, trained):
        """Longer ones are denoised in windows, each of which receives its part of the signal."""
        n, rng = 32, np.random.default_rng(1)
        periods, phases = rng.uniform(14, 36, n), rng.uniform(0, 2 * np.pi, n)
        drive = np.sin(2 * np.pi * np.arange(length) / periods[:, None] + phases[:, None])
        sample = trained.sample(n, condition={"drive": drive[..., None]})
        assert sample.n_bins == length
        np.testing.assert_array_equal(sample.signals["drive"].values[..., 0], np.float32(drive))
        log_rate = np.log(sample.rates + 1e-3)
        found = log_rate[:, :, 1::2].mean(2) - log_rate[:, :, ::2].mean(2)
        found = found - found.mean(1, keepdims=True)
        half = slice(length // 2, None)
        for part in (slice(None), half):
            assert correlation(found[:, part], drive[:, part]) > 0.6
            assert abs(correlation(found[:, part], np.roll(drive, 1, axis=0)[:, part])) < 0.3

    def test_one_or_both(self, trained):
        n = 48
        drive = np.zeros((BINS, 1))
        angle = trained.sample(n, length=BINS, condition={"angle": 90})
        both = trained.sample(n, condition={"angle": 90, "drive": drive})
        for sample in (angle, both):
            assert correlation(tuned(sample).mean(0), tuning([90])[0]) > 0.8
        moving = np.sin(2 * np.pi * np.arange(BINS) / 16)[:, None]
        moved = trained.sample(n, condition={"angle": 90, "drive": moving})
        assert np.log(both.rates + 1e-3).std(1).mean() < np.log(moved.rates + 1e-3).std(1).mean()

    def test_unconditional_samples_have_the_recorded_average(self, trained, data):
        sample = trained.sample(256, length=BINS)
        mean = data.split("train").counts.mean((0, 1))
        np.testing.assert_allclose(sample.counts.mean((0, 1)), mean, rtol=0.5)
        spread = tuned(sample).std(0)
        np.testing.assert_allclose(spread, tuned(trained.sample(64, condition=data, length=BINS)).std(0), rtol=0.4)


class TestGuidanceOfEAG:
    def test_it_changes_what_follows_the_condition_and_one_changes_nothing(self, data):
        config = EAGConfig(AUTOENCODER, GENERATOR, FEW, FEW, observation="poisson", condition_on=("angle", "drive"))
        model = EAG.make(data, config).fit(data)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in model.prior.parameters():
                parameter += 0.2 * torch.randn(parameter.shape, generator=generator)
        requested = {"angle": 45, "drive": np.ones((15, 1))}
        plain, one, three = (model.sample(4, condition=requested, guidance=w, seed=3).latents for w in (None, 1.0, 3.0))
        np.testing.assert_array_equal(plain, one)
        assert np.abs(three - plain).max() > 0.01
        free = model.sample(4, length=15, seed=3).latents
        assert np.abs(free - plain).max() > 0.01

    def test_it_needs_a_condition_and_dropout(self, data):
        with pytest.raises(ConfigError, match="no condition to follow"):
            EAG.make(data, EAGConfig(AUTOENCODER, dataclasses.replace(GENERATOR, guidance=2.0), FEW, FEW))
        with pytest.raises(ConfigError, match="condition_dropout"):
            dataclasses.replace(GENERATOR, guidance=2.0, condition_dropout=0.0)


class TestGuidance:
    REQUESTED = {"angle": 45, "drive": np.ones((15, 1))}  # noqa: RUF012

    @pytest.mark.parametrize("guidance", [0.0, 0.5, 1.0, 3.0])
    def test_it_scales_the_difference_that_the_condition_makes(self, data, guidance, monkeypatch):
        """A denoiser that expects 2 where the angle is known and 0.5 where nothing is: samples follow."""
        prior = LDNS.make(data, tiny(("angle",), clamp=None)).prior
        known = torch.ones(3, 1, dtype=torch.bool)
        condition = Condition(prior.sizes, torch.zeros(3, 2), torch.zeros(3, 9, 0), known, known[:, :0])

        def denoise(x, step, lengths, features, context):
            return torch.full_like(x, 0.5) + 1.5 * features.static[:, -1:, None]

        monkeypatch.setattr(prior, "denoise", denoise)
        z = prior.draw(torch.full((3,), 9), 9, torch.Generator().manual_seed(0), condition, guidance=guidance)
        torch.testing.assert_close(z, torch.full_like(z, 0.5 + 1.5 * guidance), rtol=0, atol=0.05)

    def rates(self, model, condition, **options):
        return model.sample(3, length=15, condition=condition, seed=4, **options).rates

    @pytest.mark.parametrize("sampler", ["dpm_solver_sde", "dpm_solver", "ddim", "ddpm"])
    def test_none_is_unconditional_and_one_is_plain(self, sampler, small):
        free = self.rates(small, {"angle": None}, sampler=sampler)
        plain = self.rates(small, self.REQUESTED, sampler=sampler)
        np.testing.assert_array_equal(self.rates(small, self.REQUESTED, guidance=0.0, sampler=sampler), free)
        np.testing.assert_array_equal(self.rates(small, self.REQUESTED, guidance=1.0, sampler=sampler), plain)
        for guidance in (0.5, 2.0):
            other = self.rates(small, self.REQUESTED, guidance=guidance, sampler=sampler)
            assert not np.array_equal(other, plain)
            assert not np.array_equal(other, free)

    def test_the_configuration_can_ask_for_it(self, data):
        model = untrained(data, guidance=2.0)
        two = self.rates(model, self.REQUESTED)
        np.testing.assert_array_equal(two, self.rates(model, self.REQUESTED, guidance=2.0))
        assert not np.array_equal(two, self.rates(model, self.REQUESTED, guidance=1.0))

    @pytest.mark.parametrize("guidance", [-1.0, float("nan"), float("inf")])
    def test_that_makes_no_sense(self, guidance, small):
        with pytest.raises(ConfigError, match=f"guidance is {guidance:g}"):
            small.sample(2, condition={"angle": 45}, guidance=guidance)

    def test_without_conditions(self, data):
        model = untrained(data, condition_on=())
        with pytest.raises(ConfigError, match="trained without conditions"):
            model.sample(2, guidance=2.0)
        with pytest.raises(DataError, match="fitted without conditions"):
            model.sample(2, condition={"angle": 45})
        model.sample(2, condition=data)  # nothing to imitate but lengths


class TestWithoutDropout:
    def test_everything_has_to_be_given(self, data):
        model = untrained(data, condition_dropout=0.0)
        whole = {"angle": 45, "drive": 0.5}
        assert model.sample(2, length=9, condition=whole).n_trials == 2
        assert model.sample(2, length=9).provenance["labels_drawn"] == ["angle", "drive"]
        for condition in ({"angle": 45}, {**whole, "angle": [45, None]}):
            with pytest.raises(ConfigError, match="every trial needs a value of every condition"):
                model.sample(2, length=9, condition=condition)
        with pytest.raises(ConfigError, match=r"fit one with --prior\.condition_dropout"):
            model.sample(2, length=9, condition=whole, guidance=2.0)

    @pytest.mark.parametrize("split", ["train", "val"])
    def test_a_missing_value_is_refused_in_training(self, split, data):
        trials = data.trials.astype(float)
        trials.loc[data.splits[split][0], "angle"] = np.nan
        lacking = dataclasses.replace(data, trials=trials)
        config = tiny(("angle",), condition_dropout=0.0)
        with pytest.raises(ConfigError, match="every trial needs a value"):
            LDNS.make(lacking, config).fit(lacking)
        with pytest.warns(SpikeloomWarning, match="no value in 1 of 160 trials"):
            untrained(lacking, condition_on=("angle",))


class TestSamples:
    @pytest.mark.parametrize("length_mask", [False, True])
    @pytest.mark.parametrize("norm", ["per_bin", "over_time"])
    def test_padding_of_a_signal_influences_nothing(self, norm, length_mask, data):
        model = untrained(data, norm=norm, length_mask=length_mask)
        lengths = np.array([9, 14, 5])
        parts = [np.linspace(-1, 1, n)[:, None] for n in (20, 20, 20)]
        cut = [part[:n] for part, n in zip(parts, lengths, strict=True)]
        a, b = (model.sample(3, lengths=lengths, condition={"drive": d, "angle": 45}).rates for d in (parts, cut))
        np.testing.assert_array_equal(a, b)

    @pytest.mark.parametrize("length_mask", [False, True])
    def test_ragged_training_and_any_length(self, length_mask):
        ragged = recording(40, lengths=np.random.default_rng(0).integers(7, BINS + 1, 40))
        model = untrained(ragged, length_mask=length_mask)
        for length in (1, 6, 70):
            sample = model.sample(2, length=length, condition={"drive": np.ones((length, 1)), "angle": [0, 45]})
            assert sample.counts.shape == (2, length, NEURONS)
            assert np.isfinite(sample.rates).all()
        drives = [np.ones((n, 1)) for n in (5, 30, 11)]
        sample = model.sample(3, condition={"drive": drives})
        np.testing.assert_array_equal(sample.lengths, [5, 30, 11])

    def test_a_signal_too_short(self, small):
        with pytest.raises(DataError, match="10 bins in trial 0, but a trial of 20 bins"):
            small.sample(2, length=20, condition={"drive": np.ones((10, 1))})
        with pytest.raises(DataError, match="10 bins in trial 1"):
            small.sample(2, length=20, condition={"drive": [np.ones((20, 1)), np.ones((10, 1))]})

    def test_conditions_are_part_of_the_sample(self, small, tmp_path):
        sample = small.sample(3, condition={"angle": ["45deg", "90"], "drive": [np.ones((6, 1)), np.zeros((4, 1))]})
        assert sample.provenance["conditioned_on"] == ["angle", "drive"]
        for ending in ("npz", "h5", "nwb"):
            save(sample, tmp_path / f"a.{ending}")
            again = load(tmp_path / f"a.{ending}")
            for column in ("angle", "condition"):
                assert again.trials[column].tolist() == [45, 90, 45]
            np.testing.assert_allclose(again.signals["drive"].values, sample.signals["drive"].values, atol=1e-6)
            np.testing.assert_array_equal(again.lengths, [6, 4, 6])
            repeated = small.sample(3, condition=again)
            np.testing.assert_allclose(repeated.rates, sample.rates, rtol=1e-3, atol=1e-6)

    def test_compare_matches_by_condition(self, small, data):
        test = data.split("test")
        generated = small.sample(2 * test.n_trials, length=BINS, condition={"angle": test.trials["angle"].to_numpy()})
        result = compare(data, generated, n_floor=2, n_draws=1)
        assert not [w for w in result.warnings if "condition" in w]

    def test_a_saved_model_knows_its_conditions(self, small, tmp_path):
        small.save(tmp_path)
        loaded = load_model(tmp_path)
        assert loaded.data_spec.variables == small.data_spec.variables
        assert loaded.config == small.config
        requested = {"angle": 10, "drive": np.ones((8, 1))}
        np.testing.assert_array_equal(
            loaded.sample(3, condition=requested).rates, small.sample(3, condition=requested).rates
        )

    def test_chunks_are_given_their_own_part(self, small, monkeypatch):
        monkeypatch.setattr("spikeloom.models.plan.SAMPLE_CHUNK", 4)
        lengths = np.array([5, 6, 7, 8, 20, 9, 9, 3])
        drives = [np.linspace(0, 1, n)[:, None] for n in lengths]
        angles = np.resize(ANGLES, 8)
        whole = small.sample(8, condition={"drive": drives, "angle": angles})
        first = small.sample(4, condition={"drive": drives[:4], "angle": angles[:4]})
        np.testing.assert_array_equal(whole.rates[:4, :8], first.rates)

    def test_a_table(self, small):
        table = pd.DataFrame({"trial": [0, 0, 1], "drive_0": [1.0, 2, 3], "angle": [45, 45, 90]})
        sample = small.sample(2, condition=table)
        np.testing.assert_array_equal(sample.lengths, [2, 1])
        assert sample.trials["angle"].tolist() == [45, 90]


class TestLike:
    def test_conditions_and_lengths_are_those_of_the_recording(self, small, data):
        test = data.split("test")
        sample = sample_like(small, test, test.n_trials + 3)
        assert sample.trials["angle"].tolist() == [*test.trials["angle"], *test.trials["angle"][:3]]
        np.testing.assert_array_equal(sample.signals["drive"].values[:-3], test.signals["drive"].values)

    def test_a_condition_takes_the_place_of_what_was_recorded(self, small, data):
        test = data.split("test")
        sample = sample_like(small, test, condition={"angle": "90"})
        assert set(sample.trials["angle"]) == set(sample.trials["condition"]) == {90}
        np.testing.assert_array_equal(sample.signals["drive"].values, test.signals["drive"].values)
        longer = sample_like(small, test, condition={"drive": np.ones((BINS + 5, 1))})
        np.testing.assert_array_equal(longer.lengths, test.lengths)
        with pytest.raises(DataError, match="5 bins in trial 0, but a trial of 24"):
            sample_like(small, test, condition={"drive": np.ones((5, 1))})

    def test_a_recording_without_the_variables(self, small, data):
        bare = dataclasses.replace(data.split("test"), signals={}, trials=None)
        with pytest.warns(SpikeloomWarning, match="has no angle and no drive; the model samples it"):
            sample = sample_like(small, bare, 3)
        np.testing.assert_array_equal(sample.rates, small.sample(3, lengths=bare.lengths[:3]).rates)
        with pytest.warns(SpikeloomWarning, match="has no drive"):
            sample_like(small, bare, 3, condition={"angle": 45})

    def test_a_recording_with_other_variables_of_that_name(self, small, data):
        test = data.split("test")
        words = dataclasses.replace(test, trials=pd.DataFrame({"angle": ["left"] * test.n_trials}))
        with pytest.raises(DataError, match="'angle' has a value that is no number"):
            sample_like(small, words)
        wide = dataclasses.replace(test, signals={"drive": Signal(np.zeros((test.n_trials, BINS, 2)))})
        with pytest.raises(DataError, match="2 dimensions, but the model has learned 1"):
            sample_like(small, wide)

    def test_a_model_without_conditions(self, data):
        config = GaussianConfig(AUTOENCODER, FEW)
        model = GaussianLatents.make(data, config).fit(data)
        sample = sample_like(model, data.split("test"))
        assert "angle" not in sample.trials
        with pytest.raises(DataError, match="fitted without conditions"):
            sample_like(model, data.split("test"), condition={"angle": 45})


class TestNothingRequested:
    """Each trial has the conditions of a training trial, drawn at random, and is the sample for these."""

    def test_they_are_those_of_training_trials(self, small, data):
        train = data.split("train")
        sample = small.sample(300, seed=3)
        assert sample.provenance["labels_drawn"] == ["angle", "drive"]
        angles, counts = np.unique(train.trials["angle"], return_counts=True)
        found = np.array([(sample.trials["angle"] == angle).mean() for angle in angles])
        np.testing.assert_allclose(found, counts / counts.sum(), atol=0.1)
        lengths = dict(zip(map(tuple, train.signals["drive"].values[:, :3, 0].round(6)), train.lengths))
        for trial in range(20):  # angle, drive and length belong to one training trial
            drive = sample.signals["drive"].values[trial]
            assert lengths[tuple(drive[:3, 0].round(6))] == sample.lengths[trial]

    def test_it_is_the_sample_for_them(self, small):
        free = small.sample(5, seed=3)
        drives = [free.signals["drive"].values[i, :n] for i, n in enumerate(free.lengths)]
        named = small.sample(5, condition={"angle": list(free.trials["angle"]), "drive": drives}, seed=3)
        np.testing.assert_allclose(free.rates, named.rates, atol=1e-5)
        assert "labels_drawn" not in named.provenance

    def test_few_of_many_are_the_same(self, small):
        few, many = small.sample(4, length=9, seed=1), small.sample(9, length=9, seed=1)
        assert list(few.trials["angle"]) == list(many.trials["angle"])[:4]

    def test_trials_longer_than_all_keep_what_is_static(self, small, data):
        sample = small.sample(6, length=3 * BINS, seed=1)
        assert set(sample.trials["angle"]) <= set(data.trials["angle"])
        assert sample.n_bins == 3 * BINS
        assert np.isfinite(sample.rates).all()

    def test_signals_are_those_of_trials_that_are_long_enough(self, small):
        labels = TrainingLabels(small.data_spec.variables, np.array([4, 9, 6, 12, 5]))
        labels.signals_known.fill_(True)
        for wanted in (4, 8, 12):
            conditions, _ = labels.drawn(50, np.full(50, wanted), 0)
            assert np.isfinite(conditions.signals["drive"].values).all()
        longer, _ = labels.drawn(50, np.full(50, 13), 0)
        assert np.isnan(longer.signals["drive"].values).any(axis=(1, 2)).all()

    def test_who_names_a_condition_decides_the_others_as_before(self, small):
        part = small.sample(4, length=9, condition={"angle": 45}, seed=1)
        assert "labels_drawn" not in part.provenance
        assert "drive" not in part.signals
        assert "labels_drawn" not in small.sample(4, length=9, condition={"angle": None}, seed=1).provenance

    def test_runs_of_before_draw_what_they_drew(self, small, tmp_path):
        small.save(tmp_path)
        config = (tmp_path / "config.yaml").read_text()
        (tmp_path / "config.yaml").write_text(config.replace("format_version: 2", "format_version: 1"))
        before = load_model(tmp_path).sample(4, length=9, seed=1)
        assert "labels_drawn" not in before.provenance
        left = small.sample(4, length=9, condition={"angle": None}, seed=1)
        np.testing.assert_allclose(before.rates, left.rates, atol=1e-5)


def test_guidance_without_a_condition_is_an_error(data):
    model = LDNS.make(data, tiny(("angle",))).fit(data)
    assert model.sample(2, guidance=2.0).provenance["labels_drawn"] == ["angle"]
    model.format_version = 1
    with pytest.raises(ConfigError, match="guidance 2 needs a condition to follow, but there is none"):
        model.sample(2, guidance=2.0)
    with pytest.raises(ConfigError, match=r"guidance is 1e[+]30, but must lie between 0 and 100"):
        model.sample(2, condition={"angle": 45}, guidance=1e30)


def test_a_signal_that_is_whole_in_no_trial_is_refused(data):
    values = data.signals["drive"].values.copy()
    values[:, :2] = np.nan
    holed = dataclasses.replace(data, signals={"drive": Signal(values, "V")})
    with pytest.raises(ConfigError, match="no training trial has a value of the signal 'drive' in every bin"):
        LDNS.make(holed, tiny(("drive",)))


def test_history_that_nothing_would_read_is_refused():
    with pytest.raises(ConfigError, match=r"history\.bins is 5, but with observation 'poisson' nothing reads it"):
        LDNSConfig(observation="poisson", history=HistoryConfig(bins=5))
