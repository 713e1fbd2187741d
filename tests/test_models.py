"""The contract: one suite that every model passes."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from spikeloom.data.codes import codes_in
from spikeloom.data.spikedata import Signal, SpikeData
from spikeloom.data.splits import with_default_splits
from spikeloom.errors import ConfigError, DataError, RunError
from spikeloom.models import load_model
from spikeloom.models.autoencoder import AutoencoderConfig
from spikeloom.models.code import EncoderConfig
from spikeloom.models.code_autoencoder import CodeAutoencoder, CodeAutoencoderConfig, CodeDecoderConfig
from spikeloom.models.eag import EAG, EAGConfig
from spikeloom.models.gaussian import GaussianConfig, GaussianLatents
from spikeloom.models.gnocchi import GNOCCHI, GNOCCHIConfig
from spikeloom.models.ldns import LDNS, LDNSConfig
from spikeloom.models.lfads import LFADS
from spikeloom.models.lfads_config import ControllerConfig, LFADSConfig
from spikeloom.models.live import Live, LiveConfig
from spikeloom.models.pivae import PiVAE
from spikeloom.models.pivae_config import PiVAEConfig
from spikeloom.models.tndm import TNDM
from spikeloom.models.tndm_config import TNDMConfig
from spikeloom.priors.causal import CausalConfig
from spikeloom.priors.code_diffusion import CodeDiffusionConfig
from spikeloom.priors.diffusion import DiffusionConfig
from spikeloom.priors.energy import EnergyConfig
from spikeloom.training.stages import StageConfig
from test_code_diffusion import PUBLISHED as PUBLISHED_DIFFUSION
from toys import OneStage, OneStageConfig, TwoStage, TwoStageConfig

FEW = StageConfig(steps=2, batch_size=8, validate_every=1)
SMALL_AUTOENCODER = AutoencoderConfig(latents=3, channels=12, encoder_blocks=1, state=4)
SMALL_DENOISER = DiffusionConfig(channels=8, blocks=1, state=4, sampling_steps=3)
SMALL_LDNS = LDNSConfig(SMALL_AUTOENCODER, SMALL_DENOISER, FEW, dataclasses.replace(FEW, ema_decay=0.99))
PUBLISHED_LDNS = LDNSConfig(
    dataclasses.replace(SMALL_AUTOENCODER, kernel="s4", norm="over_time"),
    dataclasses.replace(
        SMALL_DENOISER,
        kernel="s4",
        norm="over_time",
        patch=1,
        prediction="noise",
        training_noise="step",
        huber=0.04,
        clamp=5.0,
    ),
    FEW,
    FEW,
)

SMALL_GENERATOR = EnergyConfig(
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
PUBLISHED_EAG = EAGConfig(
    dataclasses.replace(SMALL_AUTOENCODER, kernel="s4", norm="over_time"),
    dataclasses.replace(
        SMALL_GENERATOR,
        positions="learned",
        conv_radius=0,
        patch=1,
        direct_noise=False,
        whitening=0.0,
        prediction_radius=0,
        samples=2,
        mask_schedule="narrow",
        spread_masks=0.0,
        reveal_order="random",
    ),
    FEW,
    FEW,
    observation="poisson",
)

SMALL_CODES = {"code_dim": 2, "encoder": EncoderConfig(hidden=6), "training": FEW}
SMALL_GNOCCHI = GNOCCHIConfig(**SMALL_CODES, diffusion=CodeDiffusionConfig(hidden=8, components=4, sampling_steps=3))
PUBLISHED_GNOCCHI = GNOCCHIConfig(
    **SMALL_CODES, diffusion=CodeDiffusionConfig(**{**PUBLISHED_DIFFUSION, "steps": 5, "sampling_steps": 5})
)

SMALL_LFADS = LFADSConfig(
    ic_dim=2, encoder_units=6, generator_units=7, factors=3, ramp_steps=1, posterior_samples=2, training=FEW
)

SMALL_PIVAE = PiVAEConfig(latents=2, encoder_units=6, prior_units=5, posterior_samples=2, training=FEW)
SMALL_TNDM = TNDMConfig(
    behaviour="hand_vel",
    ic_dim=2,
    encoder_units=6,
    generator_units=7,
    relevant_factors=2,
    irrelevant_factors=3,
    posterior_samples=2,
    training=FEW,
)

SMALL_LIVE = LiveConfig(
    dataclasses.replace(SMALL_AUTOENCODER, decoder_blocks=0),
    CausalConfig(units=8, components=2, width=8, crop=12),
    FEW,
    FEW,
)

MODELS = {
    "live": (Live, SMALL_LIVE),
    "live-conditioned": (
        Live,
        dataclasses.replace(SMALL_LIVE, condition_on=("target", "hand_vel"), observation="poisson"),
    ),
    "eag": (EAG, EAGConfig(SMALL_AUTOENCODER, SMALL_GENERATOR, FEW, dataclasses.replace(FEW, ema_decay=0.99))),
    "eag-published": (EAG, PUBLISHED_EAG),
    "gnocchi": (GNOCCHI, SMALL_GNOCCHI),
    "gnocchi-published": (GNOCCHI, PUBLISHED_GNOCCHI),
    "code-autoencoder": (CodeAutoencoder, CodeAutoencoderConfig(**SMALL_CODES, decoder=CodeDecoderConfig(hidden=8))),
    "ldns": (LDNS, SMALL_LDNS),
    "ldns-context": (LDNS, dataclasses.replace(SMALL_LDNS, prior=dataclasses.replace(SMALL_DENOISER, context=0.6))),
    "ldns-published": (LDNS, PUBLISHED_LDNS),
    "lfads": (LFADS, SMALL_LFADS),
    "lfads-controlled": (
        LFADS,
        dataclasses.replace(SMALL_LFADS, controller=ControllerConfig(inputs=2, encoder_units=4, units=5)),
    ),
    "pivae": (PiVAE, SMALL_PIVAE),
    "pivae-labelled": (PiVAE, dataclasses.replace(SMALL_PIVAE, condition_on=("target", "hand_vel"))),
    "tndm": (TNDM, SMALL_TNDM),
    "tndm-gru": (TNDM, dataclasses.replace(SMALL_TNDM, cell="gru", decoder="synchronous")),
    "gaussian": (GaussianLatents, GaussianConfig(SMALL_AUTOENCODER, FEW)),
    "toy-two-stage": (TwoStage, TwoStageConfig(autoencoder_training=FEW)),
    "toy-one-stage": (OneStage, OneStageConfig(training=FEW)),
}


def recording(ragged: bool = False, n_trials: int = 20, n_bins: int = 22, n_neurons: int = 5) -> SpikeData:
    rng = np.random.default_rng(0)
    lengths = rng.integers(9, n_bins + 1, n_trials) if ragged else None
    neurons = pd.DataFrame({"area": ["M1"] * n_neurons})
    data = SpikeData(
        rng.poisson(0.4, (n_trials, n_bins, n_neurons)),
        bin_s=0.02,
        lengths=lengths,
        neurons=neurons,
        trials=pd.DataFrame({"target": np.resize(["left", "right"], n_trials)}),
        signals={"hand_vel": Signal(rng.normal(size=(n_trials, n_bins, 2)), "m/s", ("x", "y"))},
    )
    return with_default_splits(data)


@pytest.fixture(scope="module", params=list(MODELS))
def kind(request):
    return request.param


@pytest.fixture(scope="module", params=[False, True], ids=["equal", "ragged"])
def data(request):
    return recording(ragged=request.param)


@pytest.fixture(scope="module")
def trained(kind, data):
    """A trained model, for tests that change nothing of it."""
    cls, config = MODELS[kind]
    model = cls.make(data, config, seed=3)
    assert model.fit(data, seed=3) is model
    return model


@pytest.mark.filterwarnings("ignore:the power of the sampled latents")
@pytest.mark.filterwarnings("ignore:samples hardly follow their codes")
@pytest.mark.filterwarnings("ignore:unconditional samples have shrunk")
class TestContract:
    def test_training_repeats_moves_the_weights_and_leaves_evaluation_mode(self, kind, data, trained):
        cls, config = MODELS[kind]
        model = cls.make(data, config, seed=3)
        before = {k: v.clone() for k, v in model.state_dict().items()}
        model.fit(data, seed=3)
        assert not model.training
        assert any(not torch.equal(v, before[k]) for k, v in model.state_dict().items())
        assert all(torch.isfinite(v).all() for v in model.state_dict().values())
        assert all(torch.equal(v, model.state_dict()[k]) for k, v in trained.state_dict().items())

    def test_encode_and_rates_have_the_shapes_of_the_recording(self, data, trained):
        latents, rates = trained.encode(data), trained.rates(data)
        of_bins = data.counts.shape[:2]
        assert latents.shape == (data.n_trials, trained.code_size) or latents.shape[:2] == of_bins
        assert not trained.code_size or trained.codes(data).shape == (data.n_trials, trained.code_size)
        assert rates.shape == data.counts.shape
        assert (rates[data.valid] >= 0).all()
        assert rates[data.valid].mean() > 0
        assert (rates[~data.valid] == 0).all()

    def test_samples_are_recordings_of_the_same_neurons(self, data, trained):
        sample = trained.sample(6, seed=1)
        assert isinstance(sample, SpikeData)
        assert sample.n_trials == 6
        assert sample.bin_s == data.bin_s
        assert set(sample.lengths) <= set(data.split("train").lengths)
        pd.testing.assert_frame_equal(sample.neurons, data.neurons)
        assert sample.rates is not None
        assert (sample.latents is None) == (trained.encode(data).ndim == 2)
        if trained.code_size:
            assert codes_in(sample).shape == (6, trained.code_size)
        assert sample.provenance["generated_by"] == trained.name

    def test_samples_of_any_length(self, data, trained):
        for length in (1, 7, 3 * data.n_bins):
            sample = trained.sample(2, length=length)
            assert sample.counts.shape == (2, length, data.n_neurons)
        lengths = np.array([4, 30, 11])
        np.testing.assert_array_equal(trained.sample(3, lengths=lengths).lengths, lengths)

    def test_the_seed_decides_the_sample(self, trained):
        first, again, other = (trained.sample(4, length=40, seed=s) for s in (5, 5, 6))
        np.testing.assert_array_equal(first.counts, again.counts)
        np.testing.assert_array_equal(first.rates, again.rates)
        assert not np.array_equal(first.rates, other.rates) or not np.array_equal(first.counts, other.counts)

    def test_a_saved_model_samples_the_same(self, data, trained, tmp_path):
        trained.save(tmp_path)
        loaded = type(trained).load(tmp_path)
        a, b = trained.sample(3, seed=2), loaded.sample(3, seed=2)
        np.testing.assert_array_equal(a.counts, b.counts)
        np.testing.assert_array_equal(a.rates, b.rates)
        np.testing.assert_array_equal(trained.rates(data), loaded.rates(data))
        assert loaded.config == trained.config

    def test_other_neurons_or_bins_are_refused(self, kind, data):
        cls, config = MODELS[kind]
        model = cls.make(data, config)
        model.trained = True
        with pytest.raises(DataError, match="4 neurons, but the model was made for 5"):
            model.encode(data.select(neurons=[0, 1, 2, 3]))
        with pytest.raises(DataError, match=r"bins of 0\.01 s, but the model was made for 0\.02 s"):
            model.rates(dataclasses.replace(data, bin_s=0.01))
        with pytest.raises(DataError, match="at least one"):
            model.sample(0)
        with pytest.raises(DataError, match="at least one bin"):
            model.sample(2, length=0)

    def test_it_can_be_cited(self, kind):
        assert MODELS[kind][0].citation()


def test_load_model_finds_the_kind(tmp_path):
    data = recording()
    GaussianLatents.make(data, GaussianConfig(SMALL_AUTOENCODER, FEW)).fit(data).save(tmp_path)
    assert isinstance(load_model(tmp_path), GaussianLatents)
    with pytest.raises(RunError, match="kind 'gaussian', not 'ldns'"):
        LDNS.load(tmp_path)


class TestStrangersFolder:
    """A run folder from somebody else can be wrong in any way, and can execute nothing."""

    @pytest.fixture
    def folder(self, tmp_path):
        LDNS.make(recording(), SMALL_LDNS).save(tmp_path)
        return tmp_path

    def test_yaml_that_would_build_objects_is_refused(self, folder, tmp_path):
        victim = tmp_path / "executed"
        (folder / "config.yaml").write_text(f"model: !!python/object/apply:os.mkdir ['{victim}']\n")
        with pytest.raises(RunError, match="cannot be read"):
            load_model(folder)
        assert not victim.exists()

    def test_pickled_weights_are_refused(self, folder):
        torch.save({"x": torch.zeros(1)}, folder / "weights.safetensors")
        with pytest.raises(RunError, match="does not hold a whole model"):
            load_model(folder)

    def test_an_unknown_key_is_named(self, folder):
        content = yaml.safe_load((folder / "config.yaml").read_text())
        content["autoencoder"]["smoothnes_lags"] = 3
        (folder / "config.yaml").write_text(yaml.safe_dump(content))
        with pytest.raises(
            ConfigError, match=r"'autoencoder.smoothnes_lags'; did you mean 'autoencoder.smoothness_lags'"
        ):
            load_model(folder)

    def test_a_missing_part_is_named(self, folder):
        (folder / "weights.safetensors").unlink()
        with pytest.raises(RunError, match="no weights yet"):
            load_model(folder)
        (folder / "data.json").unlink()
        (folder / "weights.safetensors").write_bytes(b"x")
        with pytest.raises(RunError, match=r"data\.json cannot be read"):
            load_model(folder)
        (folder / "config.yaml").unlink()
        with pytest.raises(RunError, match="not a run folder"):
            load_model(folder)

    def test_a_model_that_does_not_exist(self, folder):
        (folder / "config.yaml").write_text("model: os.system\n")
        with pytest.raises(ConfigError, match=r"no model 'os\.system'"):
            load_model(folder)


def test_whole_chunks_do_not_depend_on_how_many_trials_follow(monkeypatch):
    """Chunks have seeds of their own: the first chunks of a larger sample are those of a smaller one."""
    import spikeloom.models.plan as plans

    monkeypatch.setattr(plans, "SAMPLE_CHUNK", 4)
    data = recording()
    model = TwoStage.make(data, TwoStageConfig(autoencoder_training=FEW)).fit(data)
    np.testing.assert_array_equal(model.sample(4, length=9).counts, model.sample(12, length=9).counts[:4])


@pytest.mark.parametrize("norm", ["per_bin", "over_time"])
@pytest.mark.parametrize("kernel", ["s4", "s4d"])
def test_padding_influences_nothing(norm, kernel):
    """More padding, or anything written into it, changes neither latents, rates nor losses."""
    from spikeloom.models.autoencoder import Autoencoder
    from spikeloom.priors.diffusion import DiffusionPrior
    from spikeloom.training.batch import Batch

    torch.manual_seed(0)
    lengths = torch.tensor([9, 5, 7])
    counts = torch.poisson(torch.full((3, 9, 5), 0.6)).to(torch.uint8)
    longer = torch.randint(0, 9, (3, 15, 5), dtype=torch.uint8)
    for b, length in enumerate(lengths):
        longer[b, :length] = counts[b, :length]
    a, b = Batch(lengths, True, counts=counts), Batch(lengths, True, counts=longer)
    config = dataclasses.replace(SMALL_AUTOENCODER, kernel=kernel, norm=norm, decoder_blocks=1)
    autoencoder = Autoencoder(5, config).eval()
    with torch.no_grad():
        latents = [autoencoder.encode(x.counts.float(), x.mask) for x in (a, b)]
        rates = [autoencoder.decode(z, x.mask) for z, x in zip(latents, (a, b), strict=True)]
        for i, length in enumerate(lengths):
            torch.testing.assert_close(latents[0][i, :length], latents[1][i, :length], rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(rates[0][i, :length], rates[1][i, :length], rtol=1e-4, atol=1e-5)
        prior = DiffusionPrior(3, dataclasses.replace(SMALL_DENOISER, kernel=kernel, norm=norm)).eval()
        for parameter in prior.parameters():  # gates start at zero, where the blocks do nothing
            parameter += 0.1 * torch.randn_like(parameter)
        noisy = torch.randn(3, 9, 3)
        padded = torch.cat([noisy, torch.randn(3, 6, 3)], 1)
        for i, length in enumerate(lengths):
            padded[i, length:] = 7.0
        out = [prior.denoise(x, 300.0, lengths) for x in (noisy, padded)]
        for i, length in enumerate(lengths):
            torch.testing.assert_close(out[0][i, :length], out[1][i, :length], rtol=1e-4, atol=1e-5)


def test_lengths_of_a_recording_with_other_bins_are_not_taken():
    from spikeloom.workflow.sampling import sample_like

    data = recording()
    model = TwoStage.make(data, TwoStageConfig(autoencoder_training=FEW)).fit(data)
    with pytest.raises(DataError, match=r"bins of 0\.002 s"):
        sample_like(model, dataclasses.replace(data, bin_s=0.002))


def test_the_seed_of_the_engine_counts():
    from spikeloom.training.engine import Engine

    data = recording()
    a, b, c = (
        TwoStage.make(data, TwoStageConfig(autoencoder_training=FEW)).fit(data, engine=Engine(seed=s))
        for s in (1, 1, 2)
    )
    assert torch.equal(a.autoencoder.down.weight, b.autoencoder.down.weight)
    assert not torch.equal(a.autoencoder.down.weight, c.autoencoder.down.weight)
