"""LFADS: its cell, encoders, priors and loss against what they should be, and rates of a simulated recording."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from spikeloom.bench.code_subjects import NetworkCodes
from spikeloom.config import preset_files
from spikeloom.data.codes import codes_in
from spikeloom.data.simulated.lorenz import lorenz
from spikeloom.data.smoothing import smoothed_counts
from spikeloom.data.spikedata import Signal, SpikeData
from spikeloom.data.splits import with_default_splits
from spikeloom.errors import ConfigError, DataError
from spikeloom.models.lfads import LFADS
from spikeloom.models.lfads_config import ControllerConfig, L2Config, LFADSConfig
from spikeloom.models.lfads_network import LFADSNetwork, only_hidden
from spikeloom.models.presets import preset_config
from spikeloom.nets.clipped_gru import BidirectionalClippedGRU, ClippedGRU
from spikeloom.nets.lfads import ControllerEncoder, Posterior
from spikeloom.observation.history import SpikeHistory
from spikeloom.priors.initial import AutoregressivePrior, InitialPrior
from spikeloom.training.batch import Batch
from spikeloom.training.engine import Engine
from spikeloom.training.run import Run
from spikeloom.training.stages import StageConfig
from spikeloom.training.validation import diagnose

FEW = StageConfig(steps=3, batch_size=8, validate_every=1, weight_decay=0.0)
PLAIN = LFADSConfig(ic_dim=3, encoder_units=6, generator_units=7, factors=4, posterior_samples=3, training=FEW)
CONTROLLED = dataclasses.replace(PLAIN, controller=ControllerConfig(inputs=2, encoder_units=5, units=6))
BOTH = pytest.mark.parametrize("config", [PLAIN, CONTROLLED], ids=["plain", "controlled"])


def noise(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def recording(n_trials: int = 12, n_bins: int = 11, n_neurons: int = 5, ragged: bool = True) -> SpikeData:
    rng = np.random.default_rng(1)
    lengths = rng.integers(4, n_bins + 1, n_trials) if ragged else None
    counts = rng.poisson(0.5, (n_trials, n_bins, n_neurons))
    return with_default_splits(SpikeData(counts, bin_s=0.02, lengths=lengths))


def network(config: LFADSConfig = PLAIN, units: int = 5) -> LFADSNetwork:
    torch.manual_seed(0)
    return LFADSNetwork(units, config, entries=50.0)


class TestCell:
    @pytest.mark.parametrize("size", [0, 1])
    def test_a_step_by_hand(self, size):
        torch.manual_seed(0)
        cell = ClippedGRU(size, 2, clip=5.0)
        cell.bias.data.copy_(torch.tensor([1.0, 0.9, 0.8, 0.7, 0.1, -0.2]))
        h = torch.tensor([[0.6, -0.4]])
        x = torch.full((1, 1, 1), 0.7) if size else None
        inputs = (0.7 * cell.read_in[0] if size else 0) + cell.bias
        sig = torch.sigmoid
        keep = sig(inputs[:2] + h[0] @ cell.gates[:, :2])
        reset = sig(inputs[2:4] + h[0] @ cell.gates[:, 2:])
        new = torch.tanh(inputs[4:] + (reset * h[0]) @ cell.candidate)
        torch.testing.assert_close(cell(x, h, 1)[0, 0], keep * h[0] + (1 - keep) * new)

    def test_the_first_bias_keeps_and_does_not_reset(self):
        assert ClippedGRU(3, 2, clip=5.0).bias.tolist() == [1, 1, 1, 1, 0, 0]

    def test_states_are_clipped(self):
        cell = ClippedGRU(0, 2, clip=0.5)
        assert cell(None, torch.tensor([[3.0, -3.0]]), 1)[0, 0].tolist() == [0.5, -0.5]

    def test_all_bins_are_so_many_steps(self):
        torch.manual_seed(1)
        cell = ClippedGRU(3, 4, clip=0.3)
        x, state = torch.randn(2, 6, 3), torch.randn(2, 4)
        states = cell(x, state, 6)
        for t in range(6):
            state = cell.step(cell.inputs(x[:, t]), state)
            torch.testing.assert_close(states[:, t], state)

    def test_both_directions_end_at_the_ends_of_each_trial(self):
        torch.manual_seed(0)
        both = BidirectionalClippedGRU(2, 3, clip=5.0)
        torch.nn.init.normal_(both.initial)
        x, lengths = torch.randn(2, 6, 2), torch.tensor([6, 4])
        forth, back, ends = both(x, lengths)
        alone = both(x[1:, :4], torch.tensor([4]))
        torch.testing.assert_close(forth[1:, :4], alone[0])
        torch.testing.assert_close(back[1:, :4], alone[1])
        torch.testing.assert_close(ends[1:], alone[2])
        torch.testing.assert_close(ends, torch.cat([forth[[0, 1], [5, 3]], back[:, 0]], dim=1))
        flipped = both.backwards(x[:1].flip(1), both.initial[1:], 6)
        torch.testing.assert_close(back[:1], flipped.flip(1))


class TestController:
    @pytest.mark.parametrize("lag", [0, 1, 2])
    def test_it_is_not_shown_the_bins_around_the_present_one(self, lag):
        torch.manual_seed(0)
        encoder = ControllerEncoder(2, 3, lag, clip=5.0)
        x = torch.randn(1, 9, 2, requires_grad=True)
        lengths = torch.tensor([8])
        for t in range(8):
            calls = torch.autograd.grad(encoder(x, lengths)[0, t].sum(), x)[0][0].abs().sum(1) > 0
            # Without a lag both directions have just read the bin itself.
            expected = [abs(s - t) >= lag and s < 8 for s in range(9)]
            assert calls.tolist() == expected

    def test_nothing_is_shown_beyond_the_ends(self):
        torch.manual_seed(0)
        shown = ControllerEncoder(2, 3, 1, clip=5.0)(torch.randn(2, 7, 2), torch.tensor([7, 4]))
        assert (shown[:, 0, :3] == 0).all()
        assert (shown[0, 6, 3:] == 0).all()
        assert (shown[1, 3, 3:] == 0).all()
        assert (shown[1, 2, 3:] != 0).all()

    def test_given_inputs_drive_the_generator_as_inferred_ones_do(self):
        """Unrolling with a controller, and from its inputs alone, give the same factors."""
        net = network(CONTROLLED).eval()
        torch.nn.init.normal_(net.controller.initial)
        x, lengths = torch.randn(3, 8, 5), torch.tensor([8, 8, 8])
        made = net.unroll(x, lengths, None)
        factors, outputs = net.generator(made.initial.mean, 8, made.inputs.mean)
        torch.testing.assert_close(made.factors, factors)
        torch.testing.assert_close(made.outputs, outputs)
        assert made.inputs.mean.shape == (3, 8, 2)
        torch.nn.init.zeros_(net.controller.log_variance.weight)
        net.controller.log_variance.bias.data.fill_(math.log(0.04))
        torch.testing.assert_close(net.unroll(x, lengths, None).inputs.std, torch.full((3, 8, 2), 0.2))


class TestPriors:
    def test_the_divergence_is_that_of_torch(self):
        torch.manual_seed(0)
        prior = InitialPrior(3, 0.1)
        torch.nn.init.normal_(prior.mean)
        posterior = Posterior(torch.randn(4, 3), torch.rand(4, 3) + 0.1)
        expected = torch.distributions.kl_divergence(
            torch.distributions.Normal(posterior.mean, posterior.std),
            torch.distributions.Normal(prior.mean, math.sqrt(0.1)),
        )
        torch.testing.assert_close(prior.kl(posterior), expected)
        same = Posterior(prior.mean.expand(2, 3), torch.full((2, 3), 0.1).sqrt())
        assert prior.kl(same).abs().max() < 1e-6

    def test_initial_conditions_of_normal_codes_have_the_moments_of_the_prior(self):
        prior = InitialPrior(2, 0.1)
        prior.mean.data.copy_(torch.tensor([1.0, -2.0]))
        drawn = prior.initial(torch.randn(20_000, 2, generator=noise(0))).detach()
        torch.testing.assert_close(drawn.mean(0), prior.mean.data, atol=0.01, rtol=0)
        torch.testing.assert_close(drawn.var(0), torch.full((2,), 0.1), atol=0.005, rtol=0)
        back = prior.codes(Posterior(drawn, torch.full((20_000, 2), 0.1).sqrt()))
        torch.testing.assert_close(prior.initial(back.mean), drawn)
        torch.testing.assert_close(back.std, torch.ones(20_000, 2))

    def test_the_density_of_inputs_is_that_of_the_stationary_process(self):
        prior = AutoregressivePrior(2, tau=10.0, noise_variance=0.1)
        prior.log_tau.data[1] = math.log(3.0)
        prior.log_noise_variance.data[1] = math.log(0.4)
        values = torch.randn(1, 12, 2, generator=noise(0))
        found = prior.log_density(values).sum(1)[0]
        lags = np.abs(np.subtract.outer(np.arange(12), np.arange(12)))
        for i, (tau, variance) in enumerate(((10.0, 0.1), (3.0, 0.4))):
            a = math.exp(-1 / tau)
            process = multivariate_normal(np.zeros(12), variance / (1 - a**2) * a**lags)
            assert found[i].item() == pytest.approx(process.logpdf(values[0, :, i].numpy()), rel=1e-5)

    def test_drawn_inputs_have_its_correlation_and_spread(self):
        prior = AutoregressivePrior(1, tau=5.0, noise_variance=0.2)
        drawn = prior.draw(2000, 50, noise(0))[..., 0].detach()
        a = math.exp(-1 / 5)
        assert np.corrcoef(drawn[:, 1:].flatten(), drawn[:, :-1].flatten())[0, 1] == pytest.approx(a, abs=0.02)
        for t in (0, 49):
            assert drawn[:, t].std().item() == pytest.approx(math.sqrt(0.2 / (1 - a**2)), rel=0.05)

    def test_the_sampled_divergence_is_unbiased(self):
        """Without memory the prior is a normal distribution, and its divergence is known; padding counts nothing."""
        prior = AutoregressivePrior(1, tau=1e-2, noise_variance=0.3)  # exp(-100): no memory
        posterior = Posterior(torch.tensor([0.4, -0.3, 9.0]).reshape(1, 3, 1), torch.full((1, 3, 1), 0.5))
        exact = torch.distributions.kl_divergence(
            torch.distributions.Normal(posterior.mean, posterior.std),
            torch.distributions.Normal(0.0, math.sqrt(0.3)),
        )[0, :2].sum()
        many = Posterior(posterior.mean.expand(10_000, 3, 1), posterior.std.expand(10_000, 3, 1))
        mask = torch.tensor([True, True, False]).reshape(1, 3, 1).expand(10_000, 3, 1)
        with torch.no_grad():
            found = prior.kl(many, noise(0), mask)
        assert abs(found.mean() - exact) < 3 * found.std() / 100


class TestLoss:
    def test_only_what_was_hidden_teaches(self):
        outputs = torch.randn(2, 6, 5, generator=noise(0), requires_grad=True)
        kept = torch.rand(2, 6, 5, generator=noise(1)) < 0.6
        loss = only_hidden(outputs.square(), kept)
        torch.testing.assert_close(loss.detach(), outputs.detach().square())
        grad = torch.autograd.grad(loss.sum(), outputs)[0]
        assert (grad[kept] == 0).all()
        assert (grad[~kept] != 0).all()

    def test_training_hides_a_share_and_makes_up_for_it(self, monkeypatch):
        """Gradients of the read-out are zero where the encoder was shown a count; its input has the mean of counts."""
        net = network(dataclasses.replace(PLAIN, coordinated_dropout=0.3, dropout=0.0), units=40)
        batch = Batch(torch.full((20,), 9), False, counts=torch.ones(20, 9, 40, dtype=torch.int32))
        calls = []
        unroll = net.unroll

        def watched(x, lengths, generator):
            made = unroll(x, lengths, generator)
            made.outputs.retain_grad()
            calls.append((x, made.outputs))
            return made

        monkeypatch.setattr(net, "unroll", watched)
        net.generator.read_out.bias.data.fill_(0.5)  # away from the rate of the counts, where no gradient vanishes
        net.train().loss(batch, noise(0)).backward()
        x, outputs = calls[0]
        assert x.unique().tolist() == pytest.approx([0, 1 / 0.7])
        assert x.mean().item() == pytest.approx(1, abs=0.03)
        torch.testing.assert_close(outputs.grad != 0, x == 0)
        net.eval().loss(batch, noise(0))
        assert (calls[1][0] == 1).all()

    @BOTH
    def test_the_ramp_rises_with_steps_of_training_alone(self, config):
        weights = dataclasses.replace(config, ramp_steps=80, kl_weight=100.0, l2=L2Config(generator=300.0))
        net = network(dataclasses.replace(weights, coordinated_dropout=0.0, dropout=0.0))
        batch = net_batch()
        losses = {}
        for step in (1, 40, 80, 81):
            net.steps.fill_(step - 1)
            losses[step] = net.train().loss(batch, noise(3)).item()
            net.eval().loss(batch, noise(3))
            assert int(net.steps) == step
        full = losses[81]
        net.config = dataclasses.replace(weights, ramp_start=1000, coordinated_dropout=0.0)
        bare = net.train().loss(batch, noise(3)).item()
        assert bare == pytest.approx(net._fitted(batch, noise(3), 0.0)[1].item(), rel=1e-6)
        for step, share in ((1, 1 / 81), (40, 40 / 81), (80, 80 / 81)):
            assert (losses[step] - bare) / (full - bare) == pytest.approx(share, abs=1e-4)
        penalty = net.penalty().item()
        assert net.eval().loss(batch, noise(3)).item() == pytest.approx(full - penalty, rel=1e-5)

    def test_a_weight_of_one_is_an_evidence_bound(self):
        net, batch = network(dataclasses.replace(PLAIN, kl_weight=1.0)).eval(), net_batch()
        assert net.effective_beta == 1
        with torch.no_grad():
            made = net.unroll(batch.counts.float(), batch.lengths, noise(5))
            misfit = (net.misfit(batch, made.outputs) * batch.mask).sum() / (batch.mask.sum() * 5)
            bound = misfit + net.prior.kl(made.initial).sum() / len(batch) / 50.0
            assert net.loss(batch, noise(5)).item() == pytest.approx(bound.item(), rel=1e-6)
        weighed = network(dataclasses.replace(PLAIN, kl_weight=1e-4, kl_normalization="value"))
        assert weighed.effective_beta == pytest.approx(1e-4 * 50)
        assert diagnose(weighed, batch)["effective_beta"] == pytest.approx(5e-3)

    def test_penalties_are_means_over_what_is_penalised(self):
        net = network(dataclasses.replace(CONTROLLED, l2=L2Config(generator=2.0, encoder=4.0)))
        generator, encoder = net.generator.cell, net.encoder.recurrent
        square = sum(p.square().sum() for p in (generator.gates, generator.candidate))
        both = sum(p.square().sum() for c in (encoder.forwards, encoder.backwards) for p in (c.gates, c.candidate))
        expected = (2 * 0.5 * square + 4 * 0.5 * both) / (3 * 7**2 + 2 * 3 * 6**2)
        torch.testing.assert_close(net.penalty(), expected)
        assert network().penalty() == 0
        alone = network(dataclasses.replace(CONTROLLED, l2=L2Config(controller=1.0, controller_encoder=1.0)))
        entries = 3 * 6**2 + 2 * 3 * 5**2
        squares = alone.controller.cell.recurrent_square() + alone.controller_encoder.recurrent.recurrent_square()
        torch.testing.assert_close(alone.penalty(), 0.5 * squares / entries)

    @BOTH
    def test_padding_changes_nothing(self, config):
        net = network(config).eval()
        batch = net_batch()
        longer = torch.randint(0, 9, (4, 15, 5), dtype=torch.int32)
        for i, length in enumerate(batch.lengths):
            longer[i, :length] = batch.counts[i, :length]
        other = Batch(batch.lengths, True, counts=longer)
        with torch.no_grad():
            a, b = (net.unroll(x.counts.float(), x.lengths, None) for x in (batch, other))
            torch.testing.assert_close(a.initial.mean, b.initial.mean)
            for i, length in enumerate(batch.lengths):
                torch.testing.assert_close(a.outputs[i, :length], b.outputs[i, :length])
            if a.inputs is None:  # the draws of inputs are as many as there are bins
                torch.testing.assert_close(net.loss(batch, noise(0)), net.loss(other, noise(0)))

    @BOTH
    def test_everything_learns(self, config):
        net = network(dataclasses.replace(config, l2=L2Config(1.0, 1.0, 1.0, 1.0), ramp_steps=0)).train()
        net.loss(net_batch(), noise(0)).backward()
        assert [n for n, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


def net_batch() -> Batch:
    lengths = torch.tensor([9, 5, 7, 1])
    return Batch(lengths, True, counts=torch.poisson(torch.full((4, 9, 5), 0.6), generator=noise(9)).int())


class TestModel:
    def test_factors_are_projections_on_unit_vectors(self):
        model = LFADS.make(recording(), PLAIN).fit(recording())
        torch.testing.assert_close(model.network.generator.directions.square().sum(1), torch.ones(4))
        factors, _ = model.network.generator(torch.randn(2, 3), 6)
        states = model.network.generator.cell(None, model.network.generator.first_state(torch.randn(2, 3)), 6)
        assert factors.norm(dim=2).max() <= 2 * states.norm(dim=2).max()

    def test_the_published_size(self):
        """0.66 MB, as the comparison of GNOCCHI says: N = 96, initial conditions of 15 values, no controller."""
        config = preset_config("lfads-paper")
        data = SpikeData(np.ones((10, 4, 96), dtype=np.uint8), bin_s=0.02)
        assert sum(p.numel() for p in LFADS.make(data, config).network.parameters()) == 164_281

    def test_presets_hold_the_published_tables(self):
        assert {"lfads", "lfads-paper", "lfads-controller"} <= set(preset_files())
        paper, smoother = preset_config("lfads-paper"), preset_config("lfads-controller")
        assert (paper.coordinated_dropout, paper.dropout, paper.kl_weight) == (0.3, 0.02, 1e-5)
        assert (paper.training.learning_rate_at(7999), paper.controller.inputs) == (pytest.approx(0.01, rel=1e-3), 0)
        assert (smoother.ic_dim, smoother.controller.inputs, smoother.controller.units) == (100, 4, 80)
        assert (smoother.l2.generator, smoother.l2.controller, smoother.controller.kl_weight) == (0.45, 0.076, 5.6e-7)
        assert (paper.kl_normalization, smoother.kl_normalization, paper.ic_distribution) == ("value", "value", "prior")

    @BOTH
    def test_it_has_latents_and_codes(self, config):
        data = recording()
        model = LFADS.make(data, config).fit(data)
        assert model.encode(data).shape == (12, 11, 4)
        assert (model.encode(data)[~data.valid] == 0).all()
        assert model.codes(data).shape == (12, 3)
        sample = model.sample(5, length=30, seed=1)
        assert sample.latents.shape == (5, 30, 4)
        assert codes_in(sample).shape == (5, 3)
        assert (sample.provenance["effective_beta"], sample.provenance["ic_distribution"]) == (0.1, "fitted")
        assert model.sample(1, ic_distribution="prior").provenance["ic_distribution"] == "prior"
        assert "ic_distribution" not in model.sample(1, codes=np.zeros((1, 3))).provenance

    def test_without_a_controller_a_code_decides_the_rates(self):
        data = recording()
        model = LFADS.make(data, PLAIN).fit(data)
        codes = model.codes(data)
        a, b = (model.sample_at(data, codes, seed=s) for s in (0, 1))
        np.testing.assert_array_equal(a.rates, b.rates)
        np.testing.assert_array_equal(a.lengths, data.lengths)
        np.testing.assert_array_equal(codes_in(a), codes)
        assert not np.array_equal(a.counts, b.counts)
        subject = NetworkCodes(model, random=False)
        np.testing.assert_allclose(subject.expected(codes, data.lengths), a.rates, rtol=1e-5)
        np.testing.assert_array_equal(subject.activity(codes, data.lengths, 0), a.rates)

    def test_codes_of_trials_give_what_is_inferred_of_them(self):
        net, batch = network().eval(), net_batch()
        torch.nn.init.normal_(net.prior.mean)
        x, lengths = batch.counts.float(), batch.lengths
        with torch.no_grad():
            factors, rates = net.generate(net.encode(x, lengths).mean, lengths, noise(0))
            made = net.unroll(x, lengths, None)
        torch.testing.assert_close(factors, made.factors * batch.mask)
        torch.testing.assert_close(rates, made.outputs.exp() * batch.mask)

    def test_counts_follow_rates_as_in_training_trials(self, monkeypatch):
        """Neurons never fire twice in a row here, nor do they in samples; these have been used to calibrate."""
        calibrated = []
        calibrate = SpikeHistory.calibrate

        def watched(self, rates, *rest):
            calibrated.append(rates.shape)
            calibrate(self, rates, *rest)

        monkeypatch.setattr(SpikeHistory, "calibrate", watched)
        rng = np.random.default_rng(0)
        counts = np.zeros((60, 30, 2), dtype=np.uint8)
        for t in range(30):
            counts[:, t] = (rng.random((60, 2)) < 0.5) & (counts[:, t - 1] == 0)
        model = LFADS.make(with_default_splits(SpikeData(counts, bin_s=0.02)), PLAIN)
        model.fit(with_default_splits(SpikeData(counts, bin_s=0.02)))
        assert calibrated == [(512, 30, 2)]
        together = {name: model.sample(200, observation=name).counts for name in ("history", "poisson")}
        twice = {name: (c[:, 1:] * c[:, :-1] > 0).mean() for name, c in together.items()}
        assert twice["history"] < 0.5 * twice["poisson"]

    def test_with_a_controller_trials_of_one_code_differ(self):
        data = recording()
        model = LFADS.make(data, CONTROLLED).fit(data)
        codes = np.repeat(model.codes(data)[:1], 6, axis=0)
        assert model.sample(6, length=9, codes=codes).rates.std(0).min() > 0

    def test_where_codes_come_from(self):
        """Prior, posteriors of training trials, and the normal fitted to them, distinguished by means and spreads."""
        data = recording()
        model = LFADS.make(data, PLAIN).fit(data)
        learned = model.codes(data.split("train"))
        np.testing.assert_allclose(model.training_mean.numpy(), learned, rtol=1e-5, atol=1e-6)
        model.training_mean.add_(7.0)
        model.training_std.fill_(1e-6)
        prior, posterior = (codes_in(model.sample(300, length=2, ic_distribution=s)) for s in ("prior", "posterior"))
        assert prior.mean() == pytest.approx(0, abs=0.1)
        assert prior.std(0) == pytest.approx(1, rel=0.15)
        nearest = np.abs(posterior[:, None] - learned - 7).sum(2)
        assert nearest.min(1).max() < 1e-4
        assert len(set(nearest.argmin(1))) == len(learned)
        model.training_std.fill_(0.3)
        fitted = codes_in(model.sample(20_000, length=1))
        around = model.training_mean.numpy()
        np.testing.assert_allclose(fitted.mean(0), around.mean(0), atol=0.02)
        np.testing.assert_allclose(
            np.cov(fitted.T), np.cov(around.T, ddof=0) + 0.09 * np.eye(3), atol=0.02 * around.var(0).max() + 0.005
        )

    def test_options_it_does_not_have(self):
        model = LFADS.make(recording(), PLAIN)
        model.trained = True
        with pytest.raises(ConfigError, match="no option 'steps' in sampling; it has ic_distribution, observation"):
            model.sample(1, steps=3)
        with pytest.raises(ConfigError, match="ic_distribution is 'data', but must be one of prior, fitted, posterior"):
            model.sample(1, ic_distribution="data")
        with pytest.raises(ConfigError, match="codes are given"):
            model.sample(1, codes=np.zeros((1, 3)), ic_distribution="prior")
        with pytest.raises(ConfigError, match="cannot continue"):
            model.sample(1, context=recording())

    @pytest.mark.parametrize(
        "wrong",
        [
            {"factors": 0},
            {"ramp_steps": -1},
            {"dropout": 1.0},
            {"coordinated_dropout": float("nan")},
            {"cell_clip": 0.0},
            {"kl_weight": -1.0},
            {"min_variance": 0.0},
            {"kl_normalization": "bin"},
            {"ic_distribution": "data"},
            {"observation": "binomial"},
        ],
    )
    def test_wrong_configurations(self, wrong):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            LFADSConfig(**wrong)
        with pytest.raises(ConfigError, match=r"controller\.inputs is -1"):
            ControllerConfig(inputs=-1)
        with pytest.raises(ConfigError, match=r"l2\.encoder is -1"):
            L2Config(encoder=-1.0)

    def test_averaging_is_over_rates(self):
        """No samples are the mean of the posterior; samples of a narrow one agree with it, those of a wide one not."""
        net = network().eval()
        batch = net_batch()
        x, lengths = batch.counts.float(), batch.lengths
        with torch.no_grad():
            torch.nn.init.constant_(net.encoder.log_variance.bias, -30.0)
            net.encoder.min_variance = 1e-12
            mean, narrow = (net.averaged(x, lengths, n, noise(0))[1] for n in (0, 3))
            torch.testing.assert_close(mean, narrow, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(mean, net.unroll(x, lengths, None).outputs.exp())
            net.encoder.min_variance = 1.0
            torch.testing.assert_close(net.averaged(x, lengths, 0, noise(1))[1], mean)
            _, rates = net.averaged(x, lengths, 40, noise(1))
            generator = noise(1)
            logs = torch.stack([net.unroll(x, lengths, generator).outputs for _ in range(40)])
            torch.testing.assert_close(rates, logs.exp().mean(0))
            assert (rates > logs.mean(0).exp()).all()

    def test_a_training_that_was_cut_goes_on_with_the_ramp(self, tmp_path, monkeypatch):
        """Checkpoints hold the step, so weights end as those of an uncut training."""
        monkeypatch.setattr("spikeloom.training.stage_training.CHECKPOINT_EVERY_S", 0.0)
        data = recording()
        config = dataclasses.replace(
            PLAIN, kl_weight=10.0, ramp_steps=6, training=dataclasses.replace(FEW, steps=6, keep_best=False)
        )
        whole = LFADS.make(data, config).fit(data)
        assert int(whole.network.steps) == 6
        run = Run(tmp_path)
        cut = LFADS.make(data, config)
        log = Run.log

        def stop(self, **row):
            log(self, **row)
            if row["step"] == 4:
                raise KeyboardInterrupt

        monkeypatch.setattr(Run, "log", stop)
        with pytest.raises(KeyboardInterrupt):
            cut.fit(data, run, Engine(device="cpu"))
        monkeypatch.setattr(Run, "log", log)
        resumed = LFADS.make(data, config, seed=5).fit(data, run, Engine(device="cpu"))
        assert all(torch.equal(v, resumed.state_dict()[k]) for k, v in whole.state_dict().items())

    def test_fewer_trials_than_a_batch(self):
        data = recording(n_trials=4, ragged=False)
        model = LFADS.make(data, dataclasses.replace(PLAIN, training=StageConfig(steps=2, batch_size=256)))
        before = model.network.generator.cell.gates.clone()
        assert not torch.equal(model.fit(data).network.generator.cell.gates, before)

    @pytest.mark.parametrize("n_neurons", [1, 2])
    def test_one_neuron_and_a_silent_one(self, n_neurons):
        counts = np.random.default_rng(0).poisson(0.5, (8, 6, n_neurons))
        counts[..., -1] = 0
        data = with_default_splits(SpikeData(counts, bin_s=0.02))
        model = LFADS.make(data, PLAIN).fit(data)
        assert np.isfinite(model.rates(data)).all()
        assert model.sample(3).counts.shape == (3, 6, n_neurons)


class TestSignal:
    """A real-valued signal, learned with a squared error."""

    def data(self, n_neurons=6):
        rng = np.random.default_rng(0)
        phase = rng.uniform(0, 2 * np.pi, (60, 1, 1))
        time = np.arange(20)[None, :, None]
        values = 3 + 2 * np.sin(time / 4 + phase + np.arange(n_neurons))
        counts = rng.poisson(np.exp(0.3 * values - 1.5))
        signal = Signal(values.astype(np.float32), "au", tuple(f"u{i}" for i in range(n_neurons)))
        return with_default_splits(SpikeData(counts, bin_s=0.02, signals={"activity": signal}))

    @pytest.mark.slow
    def test_it_is_learned_and_generated_in_its_own_units(self):
        data = self.data()
        config = dataclasses.replace(
            PLAIN,
            activity="activity",
            ic_dim=4,
            encoder_units=16,
            generator_units=16,
            factors=6,
            training=StageConfig(steps=250, batch_size=32, learning_rate=1e-2, weight_decay=0.0, grad_clip_norm=1.0),
        )
        model = LFADS.make(data, config).fit(data)
        test = data.split("test")
        made = model.sample_at(test, model.codes(test))
        assert list(made.signals) == ["activity"]
        real = model.activity_of(test)
        np.testing.assert_array_equal(real, test.signals["activity"].values)
        error = np.square(model.activity_of(made) - real).mean() / real.var()
        assert error < 0.2
        subject = NetworkCodes(model, random=False)
        expected = subject.expected(subject.codes(test), test.lengths)
        np.testing.assert_allclose(expected, model.activity_of(made), rtol=1e-4, atol=1e-4)
        truth = np.exp(0.3 * real - 1.5)
        assert np.abs(model.rates(test) - truth).mean() < 0.5 * np.abs(truth.mean((0, 1)) - truth).mean()

    def test_a_recording_without_it_is_refused(self):
        with pytest.raises(DataError, match="reads the signal 'activity'"):
            LFADS.make(recording(), dataclasses.replace(PLAIN, activity="activity"))


@pytest.mark.slow
def test_it_finds_the_rates_of_a_lorenz_recording():
    """Better than the best Gaussian kernel, chosen with the truth in hand; samples have the spread of the truth."""
    data = lorenz(n_trials=150, n_bins=30, n_neurons=20, seed=3)
    test = data.split("test")

    def r2(rates):
        return 1 - np.square(rates - test.rates).sum() / np.square(test.rates - test.rates.mean((0, 1))).sum()

    smoothed = max(r2(smoothed_counts(test.counts, test.lengths, sd)) for sd in (2.0, 3.0, 4.0, 5.0, 7.0))
    config = LFADSConfig(
        ic_dim=6,
        encoder_units=24,
        generator_units=32,
        factors=8,
        ramp_steps=60,
        training=StageConfig(
            steps=220, batch_size=64, learning_rate=1e-2, weight_decay=0.0, grad_clip_norm=0.02, warmup_steps=10
        ),
    )
    model = LFADS.make(data, config).fit(data)
    assert r2(model.rates(test)) > smoothed + 0.1
    spread = data.rates.std(0).mean()
    for source in ("prior", "fitted", "posterior"):
        assert model.sample(300, ic_distribution=source).rates.std(0).mean() == pytest.approx(spread, rel=0.4)
