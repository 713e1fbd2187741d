"""The autoencoder: the loss by hand, what depends on what, known rates recovered."""

import math

import numpy as np
import pytest
import torch

from spikeloom.data.simulated.lorenz import lorenz
from spikeloom.errors import ConfigError
from spikeloom.models.autoencoder import Autoencoder, AutoencoderConfig
from spikeloom.models.gaussian import GaussianConfig, GaussianLatents
from spikeloom.nets import convolution, ssm
from spikeloom.observation.poisson import Poisson
from spikeloom.priors.diffusion import DiffusionConfig, DiffusionPrior
from spikeloom.training.batch import Batch
from spikeloom.training.stages import StageConfig


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
    encoder_inputs = []

    def features(counts, mask):
        encoder_inputs.append(counts)
        return torch.zeros(*counts.shape[:2], 2)

    monkeypatch.setattr(autoencoder, "_features", features)
    torch.nn.init.zeros_(autoencoder.to_latents.bias)
    before_softplus = math.log(math.expm1(0.5))
    monkeypatch.setattr(autoencoder, "activations", lambda z, mask=None: torch.full((*z.shape[:2], 3), before_softplus))
    counts = torch.ones(4, 50, 3, dtype=torch.uint8)
    batch = Batch(torch.full((4,), 50), False, counts=counts)
    loss = float(autoencoder.loss(batch, torch.Generator().manual_seed(0)))
    hidden = encoder_inputs[0] == 0
    torch.testing.assert_close(encoder_inputs[0][~hidden], torch.full(((~hidden).sum(),), 1 / 0.75))
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


class TestDirection:
    """What a latent and a rate depend on; 60 bins are filtered by FFT, 30 by a matrix."""

    LENGTHS = torch.tensor([60, 20, 45, 31])

    def change(self, past: int, ragged: bool, n_bins: int = 60, **config) -> tuple[float, float]:
        """How much latents and rates of the first ``past`` bins change when the later counts do."""
        torch.manual_seed(0)
        config = AutoencoderConfig(**{"latents": 3, "channels": 12, "encoder_blocks": 2, "state": 8} | config)
        autoencoder = Autoencoder(5, config).eval()
        counts = torch.poisson(torch.full((4, n_bins, 5), 0.6))
        changed = counts.clone()
        changed[:, past:] = torch.poisson(torch.full((4, n_bins - past, 5), 3.0))
        batch = Batch(self.LENGTHS.clamp(max=n_bins), ragged, counts=counts.int())
        with torch.no_grad():
            latents = [autoencoder.encode(c, batch.mask) for c in (counts, changed)]
            rates = [autoencoder.decode(z, batch.mask) for z in latents]
        inside = torch.ones(4, past, 1, dtype=torch.bool) if batch.mask is None else batch.mask[:, :past]
        latent, rate = ((a - b)[:, :past].abs() * inside for a, b in (latents, rates))
        return float(latent.max()), float(rate.max())

    @pytest.mark.parametrize("decoder_blocks", [0, 1])
    @pytest.mark.parametrize("ragged", [False, True], ids=["equal", "ragged"])
    @pytest.mark.parametrize("kernel", ["s4", "s4d"])
    def test_causal_latents_and_rates_know_no_later_spike(self, kernel, ragged, decoder_blocks):
        config = {"direction": "causal", "kernel": kernel, "decoder_blocks": decoder_blocks}
        for n_bins in (30, 60):
            for past in (1, 17, n_bins - 1):
                assert max(self.change(past, ragged, n_bins, **config)) < 1e-4

    def test_causal_trials_do_not_know_their_end(self):
        """A recording that is cut short gives the same latents, so they can be had while it is made."""
        torch.manual_seed(0)
        autoencoder = Autoencoder(5, AutoencoderConfig(latents=3, channels=12, direction="causal")).eval()
        counts = torch.poisson(torch.full((2, 60, 5), 0.6))
        with torch.no_grad():
            whole, part = autoencoder.encode(counts), autoencoder.encode(counts[:, :23])
        torch.testing.assert_close(whole[:, :23], part, rtol=1e-4, atol=1e-4)

    @pytest.mark.parametrize("ragged", [False, True], ids=["equal", "ragged"])
    def test_published_filters_look_back_but_the_norm_does_not(self, ragged):
        """Known of LDNS as published: normalised over time, every bin sees the whole trial."""
        assert min(self.change(17, ragged, direction="causal_filters", norm="over_time")) > 1e-3
        assert min(self.change(17, ragged, direction="bidirectional")) > 1e-3

    def test_published_filters_cost_one_kernel_less(self):
        config = {"latents": 3, "channels": 12, "norm": "over_time"}
        sizes = [
            sum(p.numel() for p in Autoencoder(5, AutoencoderConfig(**config, direction=direction)).parameters())
            for direction in ("bidirectional", "causal_filters")
        ]
        assert sizes[0] > sizes[1]

    @pytest.mark.parametrize(
        ("direction", "norm", "said"),
        [
            ("causal", "over_time", "see the whole trial; take norm per_bin, or direction causal_filters, as publi"),
            ("causal_filters", "per_bin", "is causal; call it direction causal, or take norm over_time"),
            (
                "backward",
                "per_bin",
                "direction is 'backward', but must be one of bidirectional, causal, causal_filters",
            ),
        ],
    )
    def test_names_that_promise_too_much_or_too_little_are_refused(self, direction, norm, said):
        with pytest.raises(ConfigError, match=said):
            AutoencoderConfig(direction=direction, norm=norm)


@pytest.mark.filterwarnings("ignore:the power of the sampled latents")
@pytest.mark.slow
def test_known_rates_are_recovered_and_the_gaussian_prior_keeps_time_scales():
    """A minute of the real thing: Lorenz rates from spikes, and samples whose latents have the right spectrum."""
    data = lorenz(n_trials=300, n_bins=64, n_neurons=64)
    small = AutoencoderConfig(latents=4, channels=32, encoder_blocks=1, state=16)
    config = GaussianConfig(small, StageConfig(steps=350, batch_size=32, learning_rate=5e-3, grad_clip_norm=2.0))
    model = GaussianLatents.make(data, config).fit(data)
    test = data.split("test")
    rates = model.rates(test)
    error = ((rates - test.rates) ** 2).sum() / ((test.rates - test.rates.mean(axis=(0, 1))) ** 2).sum()
    assert 1 - error > 0.8
    sample = model.sample(200)
    np.testing.assert_allclose(sample.provenance["spectrum_ratio"], 1, atol=0.25)
    # Gaussian latents miss the tails that the softplus magnifies, so rates come out low.
    assert 0.6 < sample.counts.mean() / test.counts.mean() < 1.1


def test_rates_start_at_the_mean_counts_however_large():
    mean = torch.tensor([1e-3, 0.5, 20.0, 200.0])
    autoencoder = Autoencoder(4, AutoencoderConfig(latents=2, channels=4, encoder_blocks=1, state=4), mean)
    torch.testing.assert_close(torch.nn.functional.softplus(autoencoder.read_out.bias), mean, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("module", ["autoencoder", "prior"])
def test_bins_beyond_the_longest_trial_of_a_batch_are_left_out_and_change_nothing(module, monkeypatch):
    lengths = torch.tensor([3, 9, 6])
    counts = torch.randint(3, (3, 17, 4), dtype=torch.uint8)
    batch = Batch(lengths, True, counts=counts, latents=torch.randn(3, 17, 2))
    torch.manual_seed(0)
    part = {
        "autoencoder": Autoencoder(4, AutoencoderConfig(latents=2, channels=4, encoder_blocks=1, state=4)),
        "prior": DiffusionPrior(2, DiffusionConfig(channels=8, blocks=1, state=4)),
    }[module]
    part.longest = torch.tensor(17)
    in_use = []
    monkeypatch.setattr(convolution, "fast_size", lambda n, size=convolution.fast_size: in_use.append(n) or size(n))
    monkeypatch.setattr(ssm, "toeplitz_wins", lambda length, device: False)
    losses = [part.loss(batch, torch.Generator().manual_seed(1))]
    monkeypatch.setattr(Batch, "n_bins_in_use", property(lambda batch: batch.n_bins))
    losses.append(part.loss(batch, torch.Generator().manual_seed(1)))
    assert in_use == {"autoencoder": [17, 33], "prior": [5, 9]}[module]  # twice the bins, or tokens of four, less one
    torch.testing.assert_close(*losses)
