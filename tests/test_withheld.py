"""Neurons and bins that an encoder is not shown: they change nothing, always teach, and are predicted."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

from spikeloom.data.spikedata import SpikeData
from spikeloom.data.splits import with_default_splits
from spikeloom.errors import ConfigError, DataError
from spikeloom.models import load_model
from spikeloom.models.autoencoder import AutoencoderConfig
from spikeloom.models.held_out_inputs import HeldOutInputs, HeldOutInputsConfig
from spikeloom.models.ldns import LDNS, LDNSConfig
from spikeloom.models.lfads import LFADS
from spikeloom.models.lfads_config import ControllerConfig, LFADSConfig
from spikeloom.observation.poisson import Poisson
from spikeloom.priors.diffusion import DiffusionConfig
from spikeloom.training.batch import Batch
from spikeloom.training.stages import StageConfig

FEW = StageConfig(steps=2, batch_size=8, validate_every=1)
BOTH = HeldOutInputsConfig("heldout", 5)
SMALL_LFADS = LFADSConfig(ic_dim=3, encoder_units=6, generator_units=7, factors=4, posterior_samples=0, training=FEW)


def made(kind: str, held_out: HeldOutInputsConfig):
    if kind == "ldns":
        autoencoder = AutoencoderConfig(latents=2, channels=8, encoder_blocks=1, state=4, held_out_inputs=held_out)
        prior = DiffusionConfig(channels=8, blocks=1, state=4, sampling_steps=2)
        return LDNS, LDNSConfig(autoencoder, prior, FEW, FEW, observation="poisson")
    config = dataclasses.replace(SMALL_LFADS, held_out_inputs=held_out, observation="poisson")
    if kind == "lfads-controlled":
        config = dataclasses.replace(config, controller=ControllerConfig(inputs=2, encoder_units=4, units=5))
    return LFADS, config


KINDS = pytest.mark.parametrize("kind", ["ldns", "lfads", "lfads-controlled"])


def recording(n_trials: int = 20, n_bins: int = 25, ragged: bool = False, heldout=(False,) * 6 + (True,) * 2):
    rng = np.random.default_rng(0)
    lengths = rng.integers(12, n_bins + 1, n_trials) if ragged else None
    neurons = pd.DataFrame({"heldout": list(heldout)})
    counts = rng.poisson(0.5, (n_trials, n_bins, len(heldout)))
    return with_default_splits(SpikeData(counts, bin_s=0.02, lengths=lengths, neurons=neurons))


def hidden_changed(data: SpikeData, forward: int = 5) -> SpikeData:
    """The same recording with other counts wherever they are withheld."""
    counts = data.counts.copy().astype(np.int64)
    last = np.arange(data.n_bins) >= data.lengths[:, None] - forward
    counts[:, :, 6:] += 3
    counts[last] += 2
    counts[~data.valid] = 0
    return dataclasses.replace(data, counts=counts.astype(np.uint8))


@KINDS
@pytest.mark.parametrize("ragged", [False, True], ids=["equal", "ragged"])
def test_what_is_withheld_changes_nothing_that_is_inferred(kind, ragged):
    data = recording(ragged=ragged)
    cls, config = made(kind, BOTH)
    model = cls.make(data, config)
    before, after = (model.infer(d) for d in (data, hidden_changed(data)))
    for a, b in zip(before, after):
        np.testing.assert_allclose(a, b, atol=1e-6)
    assert before[1].shape == data.counts.shape
    open_model = cls.make(data, made(kind, HeldOutInputsConfig())[1])
    assert not np.allclose(open_model.rates(data), open_model.rates(hidden_changed(data)))


@KINDS
def test_what_is_withheld_always_teaches(kind):
    """Whatever coordinated dropout draws, the gradient of the loss passes through every withheld entry."""
    data = recording()
    cls, config = made(kind, BOTH)
    model = cls.make(data, config)
    module = model.autoencoder if kind == "ldns" else model.network
    reached = []

    original = Poisson()

    def nll(counts, rates):
        rates.register_hook(lambda gradient: reached.append(gradient != 0))
        return original.nll(counts, rates)

    if kind == "ldns":  # whose likelihood is that of the chosen counts alone: what they are read out of is watched
        module.read_out.register_forward_hook(
            lambda layer, given, out: out.register_hook(lambda gradient: reached.append(gradient != 0)) and None
        )
    else:
        module.observation = type("Watched", (torch.nn.Module,), {"nll": staticmethod(nll)})()
    module.train()
    module.loss(Batch.of(data), torch.Generator().manual_seed(0)).backward()
    (at,) = reached
    withheld = torch.zeros_like(at)
    withheld[:, :, 6:] = withheld[:, -5:] = True
    assert at[withheld].all()
    share = at[~withheld].float().mean()
    assert 0.1 < share < 0.35  # of the others, those that coordinated dropout hides


@KINDS
def test_a_saved_model_withholds_the_same(kind, tmp_path):
    data = recording()
    cls, config = made(kind, BOTH)
    model = cls.make(data, config).fit(data)
    model.save(tmp_path)
    again = load_model(tmp_path)
    np.testing.assert_array_equal(again.rates(data), model.rates(hidden_changed(data)))
    assert model.sample(3, length=40).counts.shape == (3, 40, 8)


@pytest.mark.parametrize("kind", ["ldns", "lfads"])
@pytest.mark.slow
def test_withheld_neurons_are_predicted_from_the_others(kind):
    """Sixteen neurons of one slow rhythm; the best constant explains none of the rates of those held out."""
    rng = np.random.default_rng(0)
    phase = rng.uniform(0, 2 * np.pi, (120, 1, 1))
    rates = np.exp(-0.5 + 1.2 * np.sin(np.arange(24)[None, :, None] / 4 + phase)) * np.ones(16)
    neurons = pd.DataFrame({"heldout": [i >= 12 for i in range(16)]})
    data = with_default_splits(
        SpikeData(rng.poisson(rates), bin_s=0.02, rates=rates.astype(np.float32), neurons=neurons)
    )
    cls, config = made(kind, HeldOutInputsConfig("heldout"))
    stage = StageConfig(steps=250, batch_size=32, learning_rate=1e-2, validate_every=50)
    if kind == "ldns":
        config = dataclasses.replace(config, autoencoder_training=stage)
    else:
        config = dataclasses.replace(
            config, training=stage, encoder_units=16, generator_units=16, dropout=0.0, ramp_steps=100
        )
    test = data.split("test")
    assert test.rates is not None
    found = cls.make(data, config).fit(data).rates(test)[:, :, 12:]
    truth = test.rates[:, :, 12:]
    explained = 1 - np.square(found - truth).sum() / np.square(truth - truth.mean()).sum()
    assert explained > 0.5


class TestErrors:
    def test_a_column_that_is_not_there(self):
        with pytest.raises(DataError, match="column 'hidden', but their table has heldout"):
            HeldOutInputs(HeldOutInputsConfig("hidden"), recording().neurons)

    def test_a_column_that_leaves_nothing(self):
        with pytest.raises(DataError, match="true for all 8 neurons"):
            HeldOutInputs(HeldOutInputsConfig("heldout"), pd.DataFrame({"heldout": [True] * 8}))

    def test_a_column_of_something_else(self):
        with pytest.raises(DataError, match="'M1', but must hold true and false"):
            HeldOutInputs(HeldOutInputsConfig("area"), pd.DataFrame({"area": ["M1", "PMd"]}))

    @KINDS
    def test_trials_of_which_nothing_is_left(self, kind):
        cls, config = made(kind, HeldOutInputsConfig(None, 25))
        with pytest.raises(ConfigError, match="shortest trial has 25 bins"):
            cls.make(recording(), config).fit(recording())

    def test_less_than_no_bin(self):
        with pytest.raises(ConfigError, match="forward_prediction_bins is -1"):
            HeldOutInputsConfig(forward_prediction_bins=-1)
