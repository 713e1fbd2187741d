"""The autoencoder: published sizes, the loss by hand, known rates recovered."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from spikeloom.batch import Batch
from spikeloom.config import from_mapping, read_preset
from spikeloom.data.lorenz import lorenz
from spikeloom.models.autoencoder import Autoencoder, AutoencoderConfig
from spikeloom.models.gaussian import GaussianConfig, GaussianLatents
from spikeloom.models.ldns import LDNSConfig
from spikeloom.nets.denoiser import Denoiser
from spikeloom.observation import Poisson
from spikeloom.training import StageConfig

PUBLISHED = AutoencoderConfig(channels=256, encoder_blocks=4, kernel="s4", state=64, norm="over_time")


def size(module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("neurons", "config", "count"),
    [
        (128, dataclasses.replace(PUBLISHED, latents=8), 1_453_192),
        (182, dataclasses.replace(PUBLISHED, latents=16, bidirectional=False), 1_415_366),
        (128, dataclasses.replace(PUBLISHED, latents=32, encoder_blocks=6, bidirectional=False), 2_048_160),
    ],
    ids=["lorenz", "monkey", "human"],
)
def test_published_autoencoders_have_the_published_size(neurons, config, count):
    # The published blocks register 2 x 256 gate parameters that nothing reads; ours do not.
    unused = 2 * config.channels * config.encoder_blocks
    assert size(Autoencoder(neurons, config)) + unused == count


@pytest.mark.parametrize(
    ("latents", "channels", "blocks", "count"), [(8, 64, 4, 179_432), (16, 256, 6, 2_692_496)], ids=["lorenz", "monkey"]
)
def test_published_denoisers_have_the_published_size(latents, channels, blocks, count):
    assert size(Denoiser(latents, channels, blocks, "over_time", "s4", 64)) == count


def test_lorenz_preset_is_the_published_size():
    content = read_preset("ldns-lorenz")
    content.pop("model")
    config = from_mapping(LDNSConfig, content)
    assert size(Autoencoder(128, config.autoencoder)) == 1_453_192 - 2048
    prior = config.prior
    assert size(Denoiser(8, prior.channels, prior.blocks, prior.norm, prior.kernel, prior.state)) == 179_432


def test_poisson_loss_by_hand():
    counts = torch.tensor([[[0, 1, 2, 5]]])
    rates = torch.tensor([[[0.3, 0.5, 1.5, 4.0]]])
    stirling = [0, 0, *(k * math.log(k) - k + 0.5 * math.log(2 * math.pi * k) for k in (2, 5))]
    expected = [
        float(r) - int(k) * math.log(float(r) + 1e-8) + s
        for r, k, s in zip(rates.flatten(), counts.flatten(), stirling, strict=True)
    ]
    torch.testing.assert_close(Poisson().nll(counts, rates).flatten(), torch.tensor(expected))


def test_latent_penalty_by_hand():
    config = AutoencoderConfig(latents=1, channels=2, l2_penalty=0.3, smoothness_penalty=0.7, smoothness_lags=2)
    z = torch.tensor([1.0, 3.0, -2.0, 5.0]).reshape(1, 4, 1)
    lag1 = (2**2 + 5**2 + 7**2) / 2
    lag2 = (3**2 + 2**2) / 3
    expected = 0.3 * (1 + 9 + 4 + 25) + 0.7 * (lag1 + lag2)
    penalty = Autoencoder(2, config).latent_penalty
    assert float(penalty(z)) == pytest.approx(expected)
    padded = torch.cat([z, torch.full((1, 3, 1), 99.0)], 1)
    assert float(penalty(padded, torch.tensor([4]))) == pytest.approx(expected)


def test_only_hidden_counts_enter_the_likelihood(monkeypatch):
    """With rates that do not depend on the input the loss is the mean over all entries of the hidden ones' NLL."""
    config = AutoencoderConfig(latents=1, channels=2, coordinated_dropout=0.25, l2_penalty=0.0, smoothness_penalty=0.0)
    autoencoder = Autoencoder(3, config)
    seen = []

    def encode(counts, mask=None):
        seen.append(counts)
        return torch.zeros(*counts.shape[:2], 1)

    monkeypatch.setattr(autoencoder, "encode", encode)
    monkeypatch.setattr(autoencoder, "decode", lambda z, mask=None: torch.full((*z.shape[:2], 3), 0.5))
    counts = torch.ones(4, 50, 3, dtype=torch.uint8)
    batch = Batch(torch.full((4,), 50), False, counts=counts)
    loss = float(autoencoder.loss(batch, torch.Generator().manual_seed(0)))
    hidden = seen[0] == 0
    torch.testing.assert_close(seen[0][~hidden], torch.full(((~hidden).sum(),), 1 / 0.75))
    nll = 0.5 - math.log(0.5 + 1e-8)
    assert loss == pytest.approx(float(hidden.float().mean()) * nll, rel=1e-5)
    assert float(hidden.float().mean()) == pytest.approx(0.25, abs=0.06)


def test_decoder_is_instantaneous_and_additive_over_latents():
    autoencoder = Autoencoder(5, AutoencoderConfig(latents=2, channels=8)).eval()
    z = torch.randn(1, 6, 2)
    log_odds = lambda latents: torch.log(torch.expm1(autoencoder.decode(latents)))  # noqa: E731
    with torch.no_grad():
        first, second = z * torch.tensor([1.0, 0.0]), z * torch.tensor([0.0, 1.0])
        total = log_odds(first) + log_odds(second) - log_odds(torch.zeros_like(z))
        torch.testing.assert_close(log_odds(z), total, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(autoencoder.decode(z)[:, 3:4], autoencoder.decode(z[:, 3:4]))


@pytest.mark.filterwarnings("ignore:the power of the sampled latents")
def test_known_rates_are_recovered_and_the_gaussian_prior_keeps_time_scales():
    """A minute of the real thing: Lorenz rates from spikes, and samples whose latents have the right spectrum."""
    data = lorenz(n_trials=300, n_bins=64, n_neurons=64)
    small = AutoencoderConfig(latents=4, channels=32, encoder_blocks=1, state=16)
    config = GaussianConfig(small, StageConfig(steps=350, batch_size=32, learning_rate=5e-3, clip=2.0))
    model = GaussianLatents.make(data, config).fit(data)
    test = data.split("test")
    rates = model.rates(test)
    error = ((rates - test.rates) ** 2).sum() / ((test.rates - test.rates.mean(axis=(0, 1))) ** 2).sum()
    assert 1 - error > 0.8
    sample = model.sample(200)
    np.testing.assert_allclose(sample.provenance["spectrum_ratio"], 1, atol=0.25)
    # Gaussian latents miss the tails that the softplus magnifies, so rates come out low.
    assert 0.6 < sample.counts.mean() / test.counts.mean() < 1.1
