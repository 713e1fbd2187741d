"""What was published of LDNS (Kapoor et al. 2024) and the presets that follow it: sizes, lengths of training."""

import numpy as np
import pandas as pd
import pytest

from spikeloom.config import preset_files
from spikeloom.data.spikedata import Signal, SpikeData
from spikeloom.models.eag import EAG
from spikeloom.models.ldns import LDNS
from spikeloom.models.presets import preset_config

AUTOENCODERS = {
    "ldns-lorenz": 1_453_192,
    "ldns-mc-maze": 1_415_366,
    "ldns-mc-maze-angle": 1_415_366,
    "ldns-mc-maze-velocity": 1_415_366,
    "ldns-human": 2_048_160,
}
DENOISERS = {
    "ldns-lorenz": 179_432,
    "ldns-mc-maze": 2_692_496,
    "ldns-mc-maze-angle": 2_696_848,
    "ldns-mc-maze-velocity": 2_701_202,
    "ldns-human": 5_688_417,
}
# name: neurons, (training trials, batch, epochs, epochs of warm-up) of the autoencoder and of the prior
RECORDINGS = {
    "ldns-lorenz": (128, (3500, 512, 200, 10), (3500, 512, 1000, 50)),
    "ldns-mc-maze": (182, (2008, 64, 260, 10), (2008, 512, 2000, 50)),
    "ldns-mc-maze-angle": (182, (2008, 64, 260, 10), (2008, 512, 2000, 50)),
    "ldns-mc-maze-velocity": (182, (2008, 64, 260, 10), (2008, 512, 2000, 50)),
    "ldns-human": (128, (8417, 256, 400, 20), (8417, 256, 2000, 100)),
}
FINAL_RATES = {
    "ldns-lorenz": (0.136, 0.136),
    "ldns-mc-maze": (0.022, 0.131),
    "ldns-mc-maze-angle": (0.022, 0.131),
    "ldns-mc-maze-velocity": (0.022, 0.131),
    "ldns-human": (0.266, 0.136),
}


def size(module) -> int:
    return sum(p.numel() for p in module.parameters())


def model_of(name: str) -> LDNS:
    """The untrained model of a preset, for a recording with its number of neurons."""
    rng = np.random.default_rng(0)
    data = SpikeData(
        rng.poisson(0.3, (10, 4, RECORDINGS[name][0])),
        bin_s=0.005,
        trials=pd.DataFrame({"reach_angle_deg": rng.uniform(-180, 180, 10)}),
        signals={"hand_vel": Signal(rng.normal(size=(10, 4, 2)), "m/s", ("x", "y"))},
    )
    return LDNS.make(data, preset_config(name))


def test_every_published_preset_is_here():
    assert {
        *RECORDINGS,
        "eag-paper",
        "gnocchi-paper",
        "lfads-paper",
        "lfads-controller",
        "pivae-paper",
        "tndm-paper",
    } == set(preset_files()) - {
        "code-autoencoder",
        "gnocchi",
        "gaussian",
        "ldns",
        "ldns-context",
        "ldns-demo",
        "ldns-small",
        "live",
        "live-small",
        "eag",
        "eag-demo",
        "lfads",
        "pivae",
        "tndm",
    }


def test_eag_is_what_is_known_of_it():
    """The autoencoder of LDNS on MC_Maze, and what the paper and its parent say of the rest."""
    eag, ldns = preset_config("eag-paper"), preset_config("ldns-mc-maze")
    assert (eag.autoencoder, eag.autoencoder_training) == (ldns.autoencoder, ldns.autoencoder_training)
    assert (eag.observation, eag.prior.patch, eag.prior.mask_schedule, eag.prior.reveal_order) == (
        "poisson",
        1,
        "narrow",
        "random",
    )
    assert (eag.prior.samples, eag.prior.exponent, eag.prior.sampling_steps) == (2, 1.0, 32)
    rng = np.random.default_rng(0)
    model = EAG.make(SpikeData(rng.poisson(0.3, (10, 140, 182)), bin_s=0.005), eag)
    assert size(model.prior) == pytest.approx(9.7e6, rel=0.01)
    assert eag.prior_training.learning_rate_at(59_999) == pytest.approx(8e-4, rel=1e-3)


@pytest.mark.parametrize("name", list(RECORDINGS))
def test_presets_have_the_published_size(name):
    """To the last parameter, but for those that nothing reads; these we do not have."""
    model = model_of(name)
    config = model.config
    # Of the six vectors for scale, shift and gate that a block of the autoencoder registers, it never uses the gates.
    unused_gates = 2 * config.autoencoder.channels * config.autoencoder.encoder_blocks
    assert size(model.autoencoder) + unused_gates == AUTOENCODERS[name]
    # What is given for every bin is put out too, and thrown away: a weight for each channel, and a bias.
    given = sum(model.prior.sizes.aligned) + config.prior.length_mask
    discarded_outputs = given * (config.prior.channels + 1)
    assert size(model.prior.network) + discarded_outputs == DENOISERS[name]


@pytest.mark.parametrize("name", list(RECORDINGS))
def test_presets_train_for_the_published_epochs(name):
    config = preset_config(name)
    stages = (config.autoencoder_training, config.prior_training)
    for stage, published, rate in zip(stages, RECORDINGS[name][1:], FINAL_RATES[name], strict=True):
        trials, batch, epochs, warmup = published
        steps_per_epoch = -(-trials // batch)
        assert stage.batch_size == batch
        assert stage.steps == epochs * steps_per_epoch
        assert stage.warmup_steps == warmup * steps_per_epoch
        assert stage.learning_rate_at(stage.steps) / stage.learning_rate == pytest.approx(rate, abs=6e-4)
        assert stage.patience is None


def test_the_conditional_presets_differ_from_the_unconditional_one_in_the_condition_and_the_loss():
    base = preset_config("ldns-mc-maze")
    for name, condition in (("angle", "reach_angle_deg"), ("velocity", "hand_vel")):
        config = preset_config(f"ldns-mc-maze-{name}")
        assert config.condition_on == (condition,)
        assert (config.prior.condition_dropout, config.prior.huber, base.prior.huber) == (0.0, 0.05, 0.04)
        assert config.autoencoder == base.autoencoder
        assert config.autoencoder_training == base.autoencoder_training
        assert config.prior_training == base.prior_training
