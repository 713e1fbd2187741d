"""Priors over latents: closed forms where they exist, and what a small diffusion has to get right."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from spikeloom.errors import ConfigError
from spikeloom.nets.denoiser import Denoiser
from spikeloom.priors.base import band_power
from spikeloom.priors.diffusion import DiffusionConfig, DiffusionPrior
from spikeloom.priors.gaussian import GaussianPrior
from spikeloom.training.batch import Batch, mask_of

TINY = DiffusionConfig(channels=16, blocks=1, state=4, patch=1)
PUBLISHED = dataclasses.replace(TINY, prediction="noise", training_noise="step")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def autoregressive(n: int, n_bins: int, rho: float = 0.8, seed: int = 0) -> torch.Tensor:
    """Stationary first-order process, whose autocovariance is rho^lag."""
    rng = np.random.default_rng(seed)
    x = np.empty((n, n_bins, 2))
    x[:, 0] = rng.standard_normal((n, 2))
    for t in range(1, n_bins):
        x[:, t] = rho * x[:, t - 1] + np.sqrt(1 - rho**2) * rng.standard_normal((n, 2))
    return torch.tensor(x, dtype=torch.float32) * 3 + 5


class TestGaussian:
    @pytest.fixture(scope="class")
    def prior(self):
        prior = GaussianPrior(2, lags=39)
        prior.prepare(autoregressive(2000, 80), torch.full((2000,), 80))
        return prior

    @pytest.mark.parametrize("n_bins", [1, 20, 200])
    def test_samples_have_the_autocovariance_at_any_length(self, prior, n_bins):
        sample = prior.sample(torch.full((4000,), n_bins), generator())
        assert sample.shape == (4000, n_bins, 2)
        z = (sample - 5) / 3
        assert float(z.mean()) == pytest.approx(0, abs=0.06)
        for lag in range(0, min(n_bins, 6)):
            product = float((z[:, lag:] * z[:, : n_bins - lag]).mean())
            assert product == pytest.approx(0.8**lag, abs=0.06)

    def test_channels_are_independent(self, prior):
        z = prior.sample(torch.full((3000,), 30), generator())
        assert abs(np.corrcoef(z.reshape(-1, 2).T.numpy())[0, 1]) < 0.03

    def test_padding_is_zero_and_padded_training_trials_teach_the_same(self, prior):
        lengths = torch.tensor([5, 9, 3])
        sample = prior.sample(lengths, generator())
        for b, length in enumerate(lengths):
            assert (sample[b, length:] == 0).all()
        latents = autoregressive(2000, 80)
        garbage = torch.cat([latents, torch.full((2000, 10, 2), 77.0)], 1)
        other = GaussianPrior(2, lags=39)
        other.prepare(garbage, torch.full((2000,), 80))
        torch.testing.assert_close(other.autocovariance, prior.autocovariance, rtol=1e-4, atol=1e-4)

    def test_it_is_not_trained_by_gradient(self, prior):
        with pytest.raises(TypeError, match="not trained by gradient"):
            prior.loss(Batch(torch.tensor([3]), False), generator())


def test_scaling_is_part_of_the_saved_prior_and_undone_exactly():
    prior = DiffusionPrior(2, TINY)
    latents, lengths = autoregressive(50, 20), torch.full((50,), 20)
    prior.prepare(latents, lengths)
    assert {"mean", "std", "band_power"} <= set(prior.state_dict())
    z = prior.normalised(latents, lengths)
    torch.testing.assert_close(z.mean((0, 1)), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(z * prior.std + prior.mean, latents, rtol=1e-5, atol=1e-5)


def test_clamp_limits_what_the_denoiser_sees():
    prior = DiffusionPrior(2, dataclasses.replace(TINY, clamp=1.0))
    latents, lengths = autoregressive(50, 20), torch.full((50,), 20)
    prior.prepare(latents, lengths)
    assert float(prior.normalised(latents, lengths).abs().max()) == 1.0


def test_new_denoiser_is_its_linear_path():
    """Gates start at zero, so the blocks do nothing."""
    torch.manual_seed(0)
    network = Denoiser(3, 12, 2)
    x = torch.randn(4, 10, 3)
    torch.testing.assert_close(
        network(x, torch.tensor([0.0, 5.0, 10.0, 999.0])), network.project_out(network.project_in(x))
    )


@pytest.mark.parametrize("patch", [1, 4])
@pytest.mark.parametrize("n_bins", [1, 3, 4, 10])
def test_denoiser_takes_any_length(patch, n_bins):
    network = Denoiser(3, 12, 1, patch=patch)
    assert network(torch.randn(2, n_bins, 3), torch.zeros(2)).shape == (2, n_bins, 3)


@torch.no_grad()
def test_published_norm_is_blind_to_trial_means_and_ours_is_not():
    """Normalised over time, a constant passes only along the fixed linear path, whatever was learned."""
    torch.manual_seed(0)
    for norm, blind in (("over_time", True), ("per_bin", False)):
        network = Denoiser(3, 12, 2, norm=norm).eval()
        for parameter in network.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
        x, constant, step = torch.randn(2, 16, 3), torch.randn(1, 1, 3), torch.tensor([10.0, 700.0])
        linear = network.project_out(network.project_in(constant.expand(2, 16, 3))) - network.project_out(
            network.project_in(torch.zeros(2, 16, 3))
        )
        change = network(x + constant, step) - network(x, step)
        assert torch.allclose(change, linear, atol=1e-3) is blind


@pytest.mark.parametrize("prediction", ["noise", "velocity"])
def test_denoise_inverts_the_parametrisation(prediction, monkeypatch):
    """A network that predicts its target exactly gives back the clean data."""
    prior = DiffusionPrior(2, dataclasses.replace(TINY, prediction=prediction))
    z, eps = torch.randn(3, 8, 2), torch.randn(3, 8, 2)
    for step in (0, 400, 999):
        signal, noise = prior.signal[step], prior.noise[step]
        target = eps if prediction == "noise" else signal * eps - noise * z
        monkeypatch.setattr(
            prior.network, "forward", lambda x, k, mask=None, static=None, aligned=None, value=target: value
        )
        tolerance = 1e-4 if step < 999 else 2e-3
        torch.testing.assert_close(prior.denoise(signal * z + noise * eps, float(step)), z, rtol=0, atol=tolerance)


def test_loss_of_padded_trials_counts_valid_bins_only():
    prior = DiffusionPrior(2, PUBLISHED)
    z = torch.randn(4, 12, 2)
    lengths = torch.tensor([12, 5, 7, 3])
    z = z * (torch.arange(12) < lengths[:, None])[..., None]
    longer = torch.cat([z, torch.zeros(4, 6, 2)], 1)
    # Noise is drawn per bin: draw it for the longer set and cut, so that both see the same.
    torch.manual_seed(0)
    noise = torch.randn(4, 18, 2)

    def loss(latents):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch, "randn", lambda shape, **_: noise[:, : shape[1]])
            patch.setattr(torch, "randint", lambda *_, **__: torch.tensor([1, 200, 600, 900]))
            return prior.loss(Batch(lengths, True, latents=latents), generator()).item()

    assert loss(z) == pytest.approx(loss(longer), rel=1e-5)


@pytest.mark.slow
def test_trial_means_survive_sampling():
    """Trials that differ in level mostly: a small denoiser must give the levels their spread back."""
    torch.manual_seed(0)
    n, n_bins = 512, 32
    level = torch.randn(n, 1, 2)
    z = 0.9 * level + 0.436 * torch.randn(n, n_bins, 2)
    prior = DiffusionPrior(2, DiffusionConfig(channels=32, blocks=2, state=8, patch=1))
    prior.prepare(z, torch.full((n,), n_bins))
    optimizer = torch.optim.AdamW(prior.parameters(), lr=3e-3)
    draws = generator()
    scaled = Batch(torch.full((n,), n_bins), False, latents=prior.normalised(z, torch.full((n,), n_bins)))
    for step in range(300):
        for group in optimizer.param_groups:
            group["lr"] = 4e-3 * (1 - step / 300)
        loss = prior.loss(scaled[torch.randint(n, (64,), generator=draws)], draws)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    prior.eval()
    with torch.no_grad():
        sample = prior.sample(torch.full((256,), n_bins), generator(1))
    assert float(sample.mean(1).std()) == pytest.approx(float(z.mean(1).std()), rel=0.15)
    assert float(sample.std()) == pytest.approx(float(z.std()), rel=0.12)


def test_spectrum_ratio_sees_lost_and_added_power():
    prior = GaussianPrior(2, lags=10)
    latents, lengths = autoregressive(300, 40), torch.full((300,), 40)
    prior.prepare(latents, lengths)
    torch.testing.assert_close(prior.spectrum_ratio(latents, lengths), torch.ones(3))
    rough = latents + torch.randn(latents.shape, generator=generator())
    assert float(prior.spectrum_ratio(rough, lengths)[2]) > 1.5
    assert float(prior.spectrum_ratio(latents[:, :, :].mean(1, keepdim=True).expand_as(latents), lengths)[2]) < 0.2


def test_band_power_does_not_depend_on_padding():
    z = torch.randn(20, 30, 3)
    padded = torch.cat([z, torch.zeros(20, 30, 3)], 1)
    lengths = torch.full((20,), 30)
    torch.testing.assert_close(band_power(z, lengths), band_power(padded, lengths), rtol=0.1, atol=0)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("kernel", "fourier", r"prior\.kernel is 'fourier', but must be one of s4, s4d"),
        ("sampler", "heun", r"prior\.sampler is 'heun'"),
        ("sampling_steps", 0, "between 1 and 1000"),
        ("blocks", 0, "at least 4 channels"),
    ],
)
def test_configuration_is_checked(field, value, message):
    with pytest.raises(ConfigError, match=message):
        DiffusionConfig(**{field: value})


def test_unknown_sampler_or_steps_at_sampling_are_refused():
    prior = DiffusionPrior(2, TINY)
    with pytest.raises(ConfigError, match="'heun' does not exist"):
        prior.sample(torch.tensor([4]), generator(), sampler="heun")
    with pytest.raises(ConfigError, match="2000 sampling steps"):
        prior.sample(torch.tensor([4]), generator(), steps=2000)


def trained_on(latents, lengths, steps):
    """A small denoiser of tokens of four bins, briefly trained."""
    prior = DiffusionPrior(2, DiffusionConfig(channels=32, blocks=2, state=8, patch=4))
    prior.prepare(latents, lengths)
    ragged = bool((lengths < latents.shape[1]).any())
    scaled = Batch(lengths, ragged, latents=prior.normalised(latents, lengths))
    optimizer = torch.optim.AdamW(prior.parameters())
    draws = generator()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 4e-3 * (1 - step / steps)
        prior.loss(scaled[torch.randint(len(lengths), (64,), generator=draws)], draws).backward()
        optimizer.step()
        optimizer.zero_grad()
    return prior.eval()


@pytest.mark.filterwarnings("ignore:the power of the sampled latents")
@pytest.mark.slow
def test_the_end_of_a_sample_of_another_length_keeps_its_variance():
    """Tokens of four bins, trained on whole tokens only: the last, partial token of another length must not fade."""
    torch.manual_seed(0)
    n, n_bins = 256, 32
    covariance = torch.exp(-0.5 * ((torch.arange(n_bins)[:, None] - torch.arange(n_bins)) / 4.0) ** 2)
    factor = torch.linalg.cholesky(covariance + 1e-3 * torch.eye(n_bins))
    z = torch.einsum("ts,nsd->ntd", factor, torch.randn(n, n_bins, 2))
    prior = trained_on(z, torch.full((n,), n_bins), steps=600)
    with torch.no_grad():
        for other in (33, 34, 30):
            sample = prior.sample(torch.full((400,), other), generator(1))
            assert float(sample[:, -1].var()) > 0.6, f"length {other}"


@pytest.mark.slow
def test_what_happens_at_the_end_of_a_trial_is_learned_at_every_length():
    """Every trial ends in a rise; so must samples, wherever in a token of four bins the trial ends."""
    torch.manual_seed(0)
    n, n_bins = 256, 24
    lengths = torch.randint(13, n_bins + 1, (n,))
    rise = torch.exp(-0.5 * (lengths[:, None] - 1 - torch.arange(n_bins)) / 1.0).clamp(max=1.0)
    z = torch.stack([rise, -rise], dim=2) * mask_of(lengths, n_bins) + 0.1 * torch.randn(n, n_bins, 2)
    prior = trained_on(z, lengths, steps=400)
    with torch.no_grad():
        for length in (16, 17, 18, 19):
            sample = prior.sample(torch.full((200,), length), generator(1))
            last, before = sample[:, -1].mean(0), sample[:, -5].mean(0)
            torch.testing.assert_close(last, torch.tensor([1.0, -1.0]), rtol=0, atol=0.15)
            torch.testing.assert_close(before, torch.tensor([1.0, -1.0]) * math.exp(-2.0), rtol=0, atol=0.15)


def test_long_samples_are_made_of_windows_of_the_trained_length():
    """However long the sample, the network is only shown windows as long as a training trial; bins are all covered."""
    torch.manual_seed(0)
    prior = DiffusionPrior(2, dataclasses.replace(TINY, sampling_steps=2))
    latents, lengths = autoregressive(40, 24), torch.full((40,), 24)
    prior.prepare(latents, lengths)
    assert int(prior.longest) == 24
    widths = []
    original = prior.network.forward

    def forward(x, step, mask=None, static=None, aligned=None):
        widths.append(x.shape[1])
        return original(x, step, mask, static, aligned)

    prior.network.forward = forward
    with torch.no_grad():
        for n_bins in (24, 25, 47, 100):
            sample = prior.sample(torch.tensor([n_bins, max(1, n_bins - 30)]), generator())
            assert torch.isfinite(sample).all()
            assert sample.shape == (2, n_bins, 2)
    assert set(widths) == {24}


def test_no_window_reaches_beyond_the_longest_training_trial():
    """Bins of a token that were padding in every training trial mean nothing to the network."""
    prior = DiffusionPrior(2, dataclasses.replace(TINY, patch=4, sampling_steps=2))
    prior.prepare(autoregressive(20, 18), torch.full((20,), 18))
    assert int(prior.longest) == 18
    widths = []
    original = prior.network.forward

    def forward(x, step, mask=None, static=None, aligned=None):
        widths.append(x.shape[1])
        return original(x, step, mask, static, aligned)

    prior.network.forward = forward
    with torch.no_grad():
        for n_bins in (18, 20, 36):
            assert prior.sample(torch.full((2,), n_bins), generator()).shape[1] == n_bins
    assert max(widths) == 18
