"""Latents that the encoder gives a spread: drawn in training, and for the prior to learn from."""

import numpy as np
import pytest
import torch

import spikeloom as sl
from spikeloom.errors import ConfigError
from spikeloom.models.autoencoder import Autoencoder, AutoencoderConfig
from spikeloom.models.latent import POSTERIOR_DRAWS
from spikeloom.training.batch import Batch

SMALL = {"latents": 3, "channels": 6, "encoder_blocks": 1, "state": 4}


def network(**changes):
    torch.manual_seed(0)
    return Autoencoder(4, AutoencoderConfig(**SMALL, **changes))


def counts(n=6):
    return torch.poisson(torch.full((n, 10, 4), 0.8), generator=torch.Generator().manual_seed(1))


def seeded():
    return torch.Generator().manual_seed(2)


def test_without_penalty_latents_are_functions_of_the_counts():
    plain = network()
    assert plain.to_spread is None
    assert torch.equal(plain.draw(counts(), seeded()), plain.encode(counts()))


def test_draws_scatter_about_the_mean_as_the_encoder_says():
    drawing = network(kl_penalty=0.1)
    mean = drawing.encode(counts())
    generator = seeded()
    draws = torch.stack([drawing.draw(counts(), generator) for _ in range(400)])
    _, log_spread = drawing._posterior(counts(), None)
    assert log_spread is not None
    torch.testing.assert_close(draws.mean(0), mean, atol=0.05, rtol=0)
    torch.testing.assert_close(draws.std(0), log_spread.exp(), atol=0.01, rtol=0.15)


def test_the_penalty_is_the_divergence_from_a_standard_normal():
    recorded = counts().int()
    batch = Batch(torch.full((6,), 10), False, counts=recorded)
    weak, strong = (network(kl_penalty=weight, l2_penalty=0.0, smoothness_penalty=0.0) for weight in (0.1, 0.3))
    difference = strong.loss(batch, seeded()) - weak.loss(batch, seeded())
    kept = torch.rand((6, 10, 4), generator=seeded()) >= 0.2
    mean, log_spread = weak._posterior(counts() * kept / 0.8, None)
    assert log_spread is not None
    normal = torch.distributions.Normal(mean, log_spread.exp())
    divergence = torch.distributions.kl_divergence(normal, torch.distributions.Normal(0, 1)).sum()
    torch.testing.assert_close(difference, 0.2 * divergence / recorded.numel())


def test_padding_makes_no_difference():
    drawing = network(kl_penalty=0.1)
    lengths = torch.tensor([10, 7, 10, 4, 10, 10])
    first, second = counts().int(), counts().int()
    second[1, 7:], second[3, 4:] = 9, 5
    losses = [drawing.loss(Batch(lengths, True, counts=c), seeded()) for c in (first, second)]
    torch.testing.assert_close(*losses)


@pytest.mark.parametrize("variables", [(), ("side:label",)])
def test_a_model_learns_from_draws(tmp_path, variables):
    rng = np.random.default_rng(0)
    data = sl.SpikeData(
        rng.poisson(0.5, (40, 12, 4)),
        bin_s=0.05,
        lengths=rng.integers(6, 13, 40),
        trials={"side": ["left", "right"] * 20},
    )
    model = sl.LDNS("ldns-small", max_steps=2, autoencoder={**SMALL, "kl_penalty": 0.1}, condition_on=variables)
    model.fit(data)
    train = Batch.of(data[model.splits["train"]], model.data_spec.variables)
    trials, rates = model.training_latents(train)
    latents = trials.latents
    assert len(trials) == len(latents) == len(rates) == POSTERIOR_DRAWS * len(train)
    first, again = latents[: len(train)], latents[len(train) : 2 * len(train)]
    inside = torch.arange(12) < train.lengths[:, None]
    assert (first != again)[inside].all()
    assert not first[~inside].any()
    model.save(tmp_path / "run")
    np.testing.assert_array_equal(
        sl.LDNS.load(tmp_path / "run").sample(3, seed=1).counts, model.sample(3, seed=1).counts
    )


def test_a_negative_penalty_is_refused():
    with pytest.raises(ConfigError, match="kl_penalty"):
        AutoencoderConfig(kl_penalty=-1.0)
