"""Diffusion conditioned on codes: exact identities, schedules, the published defect and its repair, parameters."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from spikeloom.errors import ConfigError
from spikeloom.evaluation.mmd import gaussian_mmd, mmd
from spikeloom.models.gnocchi import GNOCCHIConfig
from spikeloom.models.presets import preset_config
from spikeloom.nets.recurrent import CodedSequence, TrialEncoder, waves
from spikeloom.nets.tokens import Tokens, principal_axes
from spikeloom.priors.code_diffusion import CodeDiffusion, CodeDiffusionConfig
from spikeloom.priors.mmd import MMDConfig, squared_mmd, squared_mmd_to_normal
from spikeloom.priors.samplers import Grid, NoiseSchedule, ddpm

PUBLISHED = dict(
    hidden=8,
    layers=1,
    patch=1,
    components=None,
    steps=200,
    first_beta=0.001,
    last_beta=0.01,
    prediction="noise",
    training_noise="step",
    pure_noise_share=0.0,
    sampler="ddpm",
    sampling_steps=200,
)


def published(**changes) -> CodeDiffusionConfig:
    return CodeDiffusionConfig(**{**PUBLISHED, **changes})


def schedule(steps: int, last: float = 0.01) -> NoiseSchedule:
    return NoiseSchedule(0.001, last, steps)


class Fixed(torch.nn.Module):
    """A network that returns a preset prediction and records its inputs."""

    def __init__(self, prediction):
        super().__init__()
        self.prediction = prediction

    def forward(self, features, length, shown=None, lengths=None):
        self.features, self.shown = features, shown
        return self.prediction


class TestLoss:
    """0.7 of the score loss and 0.3 of the reconstruction loss are one weighted error."""

    @pytest.mark.parametrize(("steps", "largest"), [(200, 1.305), (500, 5.14)])
    def test_weight_of_the_noise_error(self, steps, largest):
        model = CodeDiffusion(1, 1, published(steps=steps), 1)
        one, zero = torch.ones(1, 1, 1), torch.zeros(1, 1, 1)
        weights = [
            float(model._weighted_error(one, zero, zero, model.signal[i], model.noise[i])) for i in (0, steps - 1)
        ]
        assert weights[0] == pytest.approx(0.70, abs=1e-3)
        assert weights[1] == pytest.approx(largest, rel=2e-3)

    @pytest.mark.parametrize("prediction", ["noise", "velocity"])
    def test_it_is_the_published_sum_at_every_step(self, prediction):
        """Computed as the paper writes it: the noise's error, and that of the activity that the noise implies."""
        torch.manual_seed(0)
        config = published(prediction=prediction, steps=50, sampling_steps=50)
        model = CodeDiffusion(4, 2, config, 1)
        x0, eps, guess = (torch.randn(50, 6, 4, dtype=torch.float64) for _ in range(3))
        signal, noise = model.signal.double()[:, None, None], model.noise.double()[:, None, None]
        x = signal * x0 + noise * eps
        eps_hat = guess if prediction == "noise" else noise * x + signal * guess
        x0_hat = (x - noise * eps_hat) / signal
        wanted = 0.7 * (eps - eps_hat).square() + 0.3 * (x0 - x0_hat).square()
        torch.testing.assert_close(model._weighted_error(guess, x0, eps, signal, noise), wanted, rtol=1e-5, atol=1e-6)

    def test_the_clip_limits_the_weight_of_the_reconstruction(self):
        config = published(steps=1000, weight_clip=5.0)
        model = CodeDiffusion(1, 1, config, 1)
        ones = torch.ones(1, 1, 1)
        error = model._weighted_error(ones, ones, torch.zeros(1, 1, 1), model.signal[-1], model.noise[-1])
        assert float(error) == pytest.approx(0.7 + 0.3 * 5.0)

    @pytest.mark.parametrize("components", [None, 4])
    def test_padding_counts_nothing(self, components):
        torch.manual_seed(0)
        model = CodeDiffusion(3, 2, CodeDiffusionConfig(hidden=6, components=components), 2).eval()
        x, codes, lengths = torch.randn(4, 7, 3), torch.randn(4, 2), torch.tensor([7, 3, 5, 6])
        model.prepare(x, lengths)
        mask = torch.arange(7)[None, :, None] < lengths[:, None, None]
        losses = [
            float(model.loss(torch.where(mask, x, g), codes, lengths, torch.Generator().manual_seed(1)).detach())
            for g in (0.0, 50.0)
        ]
        assert losses[0] == pytest.approx(losses[1], rel=1e-5)

    def test_tokens_of_padding_do_not_dilute_the_loss(self):
        """A network that predicts zeros misses each valid token by as much, however many there are of padding."""
        model = CodeDiffusion(2, 1, published(pure_noise_share=0.0), 1)
        lengths = torch.full((4000,), 3)
        x = torch.randn(4000, 3, 2, generator=torch.Generator().manual_seed(0))
        losses = []
        for n_bins in (3, 9):
            model.network = Fixed(torch.zeros(4000, n_bins, 2))
            padded = torch.nn.functional.pad(x, (0, 0, 0, n_bins - 3))
            losses.append(float(model.loss(padded, torch.zeros(4000, 1), lengths, torch.Generator().manual_seed(1))))
        assert losses[0] == pytest.approx(losses[1], rel=0.05)

    def test_a_long_trial_keeps_its_own_code(self):
        """Windows of several long trials: each trial is denoised with its code, as it would be alone."""
        torch.manual_seed(0)
        model = CodeDiffusion(2, 1, CodeDiffusionConfig(hidden=6, components=None), 1).eval()
        model.longest.fill_(4)
        noised, codes = torch.randn(2, 11, 2), torch.tensor([[-3.0], [3.0]])
        with torch.no_grad():
            both = model.denoise(noised, 500.0, codes, torch.tensor([11, 11]))
            for i in range(2):
                alone = model.denoise(noised[i : i + 1], 500.0, codes[i : i + 1], torch.tensor([11]))
                torch.testing.assert_close(both[i], alone[0])

    def test_what_is_expected_does_not_depend_on_other_trials(self):
        torch.manual_seed(0)
        model = CodeDiffusion(2, 1, CodeDiffusionConfig(hidden=6, components=None), 2).eval()
        model.longest.fill_(4)
        codes, lengths = torch.randn(3, 1), torch.tensor([8, 5, 6])
        with torch.no_grad():
            together = model.expected(codes, lengths)
            for i in range(3):
                alone = model.expected(codes[i : i + 1], lengths[i : i + 1])[0]
                torch.testing.assert_close(together[i, : lengths[i]], alone, rtol=1e-4, atol=1e-5)

    def test_at_the_last_step_the_code_alone_can_tell(self):
        """What is shown there knows nothing of the trial, and the trial follows from it and the noise."""
        model = CodeDiffusion(2, 1, published(pure_noise_share=0.999999), 1)
        model.network = Fixed(torch.zeros(20_000, 1, 2))
        generator = torch.Generator().manual_seed(0)
        x0 = 3 * torch.randn(20_000, 1, 2, generator=generator) + 1
        lost = model.loss(x0, torch.zeros(20_000, 1), torch.ones(20_000, dtype=torch.int64), generator)
        shown = model.network.shown
        correlation = np.corrcoef(x0.flatten().numpy(), shown.flatten().numpy())[0, 1]
        assert abs(correlation) < 0.02
        assert float(shown.std()) == pytest.approx(1, abs=0.02)
        assert torch.all(model.network.features[:, 0] == 1)  # the embedding of the last step
        # The target noise turns the trial into the network's input; a network of zeros misses all of it.
        signal, noise = float(model.signal[-1]), float(model.noise[-1])
        wanted = (1 + 10 * signal**2) / noise**2  # mean square of (shown - signal x0) / noise; x0 has mean 1 and s.d. 3
        weight = 0.7 + 0.3 * noise**2 / signal**2
        assert float(lost) == pytest.approx(weight * wanted, rel=0.03)

    def test_without_it_the_published_schedule_shows_the_trial_at_its_last_step(self):
        model = CodeDiffusion(1, 1, published(), 1)
        assert float(model.signal[-1]) ** 2 == pytest.approx(0.3316, abs=1e-4)


class TestSchedule:
    @pytest.mark.parametrize(("steps", "left"), [(200, 0.3316), (500, 0.0633), (1000, 0.0040)])
    def test_what_is_left_of_the_signal(self, steps, left):
        assert float(schedule(steps).signal_squared[-1]) == pytest.approx(left, abs=5e-5)

    @pytest.mark.parametrize(("true", "wanted"), [(1.0, 0.985), (10.0, 3.73), (100.0, 4.83)])
    def test_the_published_schedule_shrinks_samples(self, true, wanted):
        """With the exact denoiser of a Gaussian, sampling from unit noise loses the variance of wide directions."""
        noise_schedule = schedule(200)

        def exact(x, step):
            signal, noise = noise_schedule.scales_at(step)
            return signal * true / (signal**2 * true + noise**2) * x

        grid = Grid.uniform_in_step(noise_schedule, 200)
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(20_000, generator=generator)
        sampled = ddpm(exact, x, grid, generator)
        assert float(sampled.var()) == pytest.approx(wanted, rel=0.03)

    @pytest.mark.parametrize("sampler", ["dpm_solver", "dpm_solver_sde"])
    def test_ours_does_not(self, sampler):
        """As wide as the first principal component of a whole trial: its variance is kept within a fifth."""
        from spikeloom.priors.samplers import SAMPLERS

        model = CodeDiffusion(1, 1, CodeDiffusionConfig(hidden=4), 1)
        true = 1600.0

        def exact(x, step):
            signal, noise = model.schedule.scales_at(step)
            return signal * true / (signal**2 * true + noise**2) * x

        grid = Grid.uniform_in_log_snr(model.schedule, 24, model.noise_to_signal)
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(20_000, generator=generator)
        assert float(SAMPLERS[sampler](exact, x, grid, generator).var()) == pytest.approx(true, rel=0.2)

    def test_embedding(self):
        features = waves(torch.arange(1, 201) / 200, 5)
        np.testing.assert_allclose(features[-1], [1, 0, -1, 0, 1], atol=1e-6)
        assert len(torch.unique(features, dim=0)) == 200
        assert waves(torch.tensor([0.25]), 1).tolist() == [[0.25]]
        assert waves(torch.tensor([0.25]), 9).shape == (1, 9)


class TestNetworks:
    @pytest.mark.parametrize(("units", "code", "wanted"), [(128, 5, 105_152_640), (96, 15, 104_349_792)])
    def test_published_size(self, units, code, wanted):
        with torch.device("meta"):
            network = CodedSequence(units, 5 + code, 4096, 0.03, shown=units)
        assert sum(p.numel() for p in network.parameters()) == wanted

    def test_the_paper_preset_is_that(self):
        config = preset_config("gnocchi-paper")
        assert config.code_dim == 5
        assert (config.encoder.hidden, config.encoder.dropout) == (64, 0.09)
        diffusion = dataclasses.asdict(config.diffusion)
        assert {k: diffusion[k] for k in PUBLISHED} == {**PUBLISHED, "hidden": 4096}
        assert config.training.learning_rate_at(11_999) == pytest.approx(5e-4, rel=0.01)

    def test_the_code_is_read_where_each_direction_ends(self):
        """Forward at the last valid bin, backward at the first: a reversed trial exchanges the two."""
        torch.manual_seed(0)
        encoder = TrialEncoder(3, 2, 4, 0.0).eval()
        gru = encoder.recurrent.gru
        for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"):
            getattr(gru, f"{name}_reverse").data.copy_(getattr(gru, name).data)
        x = torch.randn(1, 9, 3)
        there, back = (encoder.recurrent(v)[1] for v in (x, x.flip(1)))
        torch.testing.assert_close(there[:, :4], back[:, 4:])
        lengths = torch.tensor([6])
        cut, padded = encoder(x[:, :6]), encoder(x, lengths)
        torch.testing.assert_close(cut, padded)

    def test_padding_changes_nothing(self):
        torch.manual_seed(0)
        network = CodedSequence(3, 2, 4, 0.0, shown=3).eval()
        code, x = torch.randn(2, 2), torch.randn(2, 12, 3)
        whole = network(code, 12, x, torch.tensor([12, 6]))
        alone = network(code[1:], 6, x[1:, :6], torch.tensor([6]))
        torch.testing.assert_close(whole[1, :6], alone[0])

    def test_components_of_large_tokens_are_nearly_those_found_in_full(self, monkeypatch):
        """A few strong dimensions in noise, as z-scored counts are; the weak axes beyond them are interchangeable."""
        rng = torch.Generator().manual_seed(0)
        strong = torch.randn(1500, 12, generator=rng) * torch.linspace(3, 1, 12)
        x = strong @ torch.randn(12, 400, generator=rng) / 5 + torch.randn(1500, 400, generator=rng)
        variance, axes = principal_axes(x, 20)
        monkeypatch.setattr("spikeloom.nets.tokens.MOST_IN_FULL", 300)
        state = torch.random.get_rng_state()
        large_variance, large_axes = principal_axes(x, 20)
        assert torch.equal(torch.random.get_rng_state(), state)
        assert not torch.equal(large_axes, axes)  # found in another way
        torch.testing.assert_close(large_variance[:12], variance[:12], rtol=1e-4, atol=0)
        torch.testing.assert_close(large_variance, variance, rtol=0.06, atol=0)
        assert torch.linalg.svdvals(large_axes[:, :12].T @ axes[:, :12]).min() > 0.9999
        torch.testing.assert_close(large_axes.T @ large_axes, torch.eye(20).double(), atol=1e-5, rtol=0)
        lost = [((x.double() - x.double() @ a @ a.T) ** 2).mean() for a in (axes, large_axes)]
        assert lost[1] < 1.002 * lost[0]
        torch.manual_seed(5)
        assert torch.equal(principal_axes(x, 20)[1], large_axes)  # the same in every training

    def test_tokens_without_components_are_the_bins(self):
        tokens = Tokens(3, 4, None)
        x = torch.randn(2, 10, 3)
        assert tokens(x).shape == (2, 3, 12)
        torch.testing.assert_close(tokens.back(tokens(x), 10), x)
        assert tokens.count(torch.tensor([4, 5, 8])).tolist() == [1, 2, 2]
        assert tokens.valid(torch.tensor([6]), 3)[0].tolist() == [[1, 1, 1, 1], [1, 1, 0, 0], [0, 0, 0, 0]]
        assert not list(Tokens(3, 1, None).buffers())

    def test_components_hold_the_leading_variance(self):
        """Of tokens that lie within a trial: garbage in the padding changes nothing."""
        torch.manual_seed(0)
        tokens = Tokens(6, 2, 2, whitening=0.5)
        basis = torch.linalg.qr(torch.randn(12, 12))[0]
        deep = torch.randn(200, 5, 12) * torch.tensor([5.0, 2.0, *[0.01] * 10]) @ basis.T
        x = deep.reshape(200, 10, 6)
        x[:100, 7:] = 100.0
        lengths = torch.where(torch.arange(200) < 100, 7, 10)
        tokens.prepare(x, torch.arange(10)[None, :, None] < lengths[:, None, None])
        before = tokens.to_units.clone()
        tokens.prepare(x.flip(2), torch.ones(200, 10, 1, dtype=torch.bool))  # what was learned rests on the first
        assert torch.equal(tokens.to_units, before)
        there = tokens(x[100:])
        torch.testing.assert_close(tokens.back(there, 10), x[100:], atol=0.1, rtol=0)
        sd = there.flatten(0, 1).std(0)
        assert float(sd.square().mean()) == pytest.approx(1, rel=0.1)
        assert float(sd[0] / sd[1]) == pytest.approx(math.sqrt(2.5), rel=0.08)


class TestDiscrepancy:
    def test_estimators_agree_with_the_evaluation(self):
        rng = np.random.default_rng(0)
        x, y = rng.normal(size=(40, 5)), rng.normal(1.0, 2.0, size=(40, 5))
        for estimator in ("u", "v"):
            ours = squared_mmd(torch.from_numpy(x), torch.from_numpy(y), 100.0, estimator)
            assert float(ours) == pytest.approx(mmd(x, y, 100.0, estimator), abs=1e-10)

    def test_to_normal_is_what_many_draws_tell(self):
        codes = 0.5 * torch.randn(4000, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 0.3
        wanted = gaussian_mmd(5, 100.0, 0.5, 0.3 * math.sqrt(5))
        assert float(squared_mmd_to_normal(codes, 100.0)) == pytest.approx(wanted, rel=0.1)

    def test_floor_and_literal_weight(self):
        generator = torch.Generator().manual_seed(0)
        weighted = [
            float(MMDConfig(weight=98.5).penalty(torch.randn(64, 5, generator=generator), generator))
            for _ in range(300)
        ]
        assert np.mean(weighted) == pytest.approx(0.287, rel=0.05)  # 98.5 times the floor of the V-statistic
        codes = torch.randn(64, 5)
        plain, literal = (
            float(MMDConfig(normalization=n).penalty(codes, torch.Generator().manual_seed(1)))
            for n in ("mean", "literal")
        )
        assert literal == pytest.approx(plain / (64 * 63), rel=1e-4)


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: CodeDiffusionConfig(step_embedding_dim=4), "1 plus a multiple of 4"),
        (lambda: CodeDiffusionConfig(pure_noise_share=1.0), r"\[0, 1\)"),
        (lambda: CodeDiffusionConfig(prediction="score"), "noise, velocity"),
        (lambda: CodeDiffusionConfig(steps=10, sampling_steps=20), "between 1 and 10"),
        (lambda: CodeDiffusionConfig(first_beta=0.1, last_beta=0.01), "rise between 0 and 1"),
        (lambda: CodeDiffusionConfig(score_weight=0.0, reconstruction_weight=0.0), "nor both 0"),
        (lambda: MMDConfig(bandwidth="wide"), "pytorch-vae, infodiffusion, median"),
        (lambda: MMDConfig(weight=-1.0), "must not be negative"),
        (lambda: GNOCCHIConfig(code_dim=0), "at least one"),
        (lambda: GNOCCHIConfig(smoothing_sd_s=0.0), "positive"),
    ],
)
def test_settings_that_make_no_sense(make, word):
    with pytest.raises(ConfigError, match=word):
        make()
