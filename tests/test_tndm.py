"""TNDM: its readouts, weights and loss against what they should be, and behaviour of a simulated recording."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from commands import tiny_of
from spikeloom.cli import main
from spikeloom.config import preset_files
from spikeloom.data.codes import codes_in
from spikeloom.data.files import load, save
from spikeloom.data.spikedata import Signal, SpikeData
from spikeloom.data.splits import with_default_splits
from spikeloom.errors import ConfigError, DataError
from spikeloom.models.held_out_inputs import HeldOutInputsConfig
from spikeloom.models.presets import preset_config
from spikeloom.models.tndm import TNDM
from spikeloom.models.tndm_config import TNDMConfig, WeightConfig, WeightsConfig
from spikeloom.models.tndm_network import TNDMNetwork, dependence
from spikeloom.nets.behaviour_readout import readout
from spikeloom.nets.lfads import Posterior
from spikeloom.nets.tndm import FreeGenerator
from spikeloom.priors.initial import InitialPrior
from spikeloom.training.batch import Batch
from spikeloom.training.engine import Engine
from spikeloom.training.run import Run
from spikeloom.training.stages import StageConfig
from spikeloom.training.validation import diagnose

FEW = StageConfig(steps=3, batch_size=8, validate_every=1, weight_decay=0.0)
SMALL = TNDMConfig(
    ic_dim=3,
    encoder_units=6,
    generator_units=7,
    cell="gru",
    relevant_factors=2,
    irrelevant_factors=4,
    lags=3,
    posterior_samples=3,
    training=FEW,
)
CAUSAL = dataclasses.replace(SMALL, decoder="causal", lags=5)
SYNCHRONOUS = dataclasses.replace(CAUSAL, decoder="synchronous", cell="lfads")
FULL = dataclasses.replace(CAUSAL, decoder="full")
EVERY = pytest.mark.parametrize(
    "config", [SMALL, CAUSAL, SYNCHRONOUS, FULL], ids=["fir", "causal", "synchronous", "full"]
)


def noise(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def recording(n_trials: int = 14, n_bins: int = 11, n_neurons: int = 5, ragged: bool = True) -> SpikeData:
    rng = np.random.default_rng(1)
    lengths = rng.integers(4, n_bins + 1, n_trials) if ragged else np.full(n_trials, n_bins)
    lengths[0] = n_bins  # of the split train
    velocity = 7.0 + 3.0 * rng.normal(size=(n_trials, n_bins, 2))
    data = SpikeData(
        rng.poisson(0.5, (n_trials, n_bins, n_neurons)),
        bin_s=0.02,
        lengths=lengths,
        signals={"hand_vel": Signal(velocity, "cm/s", ("x", "y"))},
        splits={"train": np.arange(n_trials - 4), "val": [n_trials - 4, n_trials - 3], "test": [n_trials - 2]},
    )
    return data


def network(config: TNDMConfig = SMALL, units: int = 5, n_bins: int = 9) -> TNDMNetwork:
    torch.manual_seed(0)
    return TNDMNetwork(units, 2, config, bin_s=0.02, entries=50.0, n_bins=n_bins)


def net_batch(n_bins: int = 9) -> Batch:
    lengths = torch.tensor([9, 5, 7, 1])
    counts = torch.poisson(torch.full((4, n_bins, 5), 0.6), generator=noise(9)).int()
    return Batch(lengths, True, counts=counts, signal=torch.randn(4, n_bins, 2, generator=noise(8)))


class TestReadout:
    """Which factors a bin of behaviour depends on."""

    def influence(self, kind: str, n_bins: int = 6) -> torch.Tensor:
        """(bin of behaviour, bin of factors, factor): the least size of the gradient over both dimensions."""
        torch.manual_seed(0)
        net = readout(kind, 3, 2, lags=3, n_bins=6)
        factors = torch.randn(1, n_bins, 3, requires_grad=True)
        behaviour = net(factors, torch.tensor([n_bins]))
        rows = []
        for t in range(n_bins):
            grads = [torch.autograd.grad(behaviour[0, t, d], factors, retain_graph=True)[0][0] for d in range(2)]
            rows.append(torch.stack(grads).abs().amin(0))
        return torch.stack(rows)

    @pytest.mark.parametrize(
        ("kind", "reaches"),
        [
            ("causal", lambda ago: ago >= 0),
            ("full", lambda ago: ago > -99),
            ("synchronous", lambda ago: ago == 0),
            ("fir", lambda ago: 0 <= ago < 3),
        ],
    )
    @pytest.mark.parametrize("n_bins", [6, 4])
    def test_the_bins_that_tell(self, kind, reaches, n_bins):
        influence = self.influence(kind, n_bins)
        for t in range(n_bins):
            for s in range(n_bins):
                assert (influence[t, s] > 0).tolist() == [reaches(t - s)] * 3, (t, s)

    def test_before_the_first_bin_it_is_as_in_the_first(self):
        torch.manual_seed(0)
        net = readout("fir", 3, 2, lags=4, n_bins=6)
        still = torch.randn(1, 1, 3).expand(1, 6, 3)
        behaviour = net(still, torch.tensor([6]))
        torch.testing.assert_close(behaviour, behaviour[:, :1].expand(1, 6, 2))

    def test_a_lagged_readout_by_hand(self):
        torch.manual_seed(0)
        net = readout("fir", 2, 1, lags=2, n_bins=3)
        weight, bias = net.filter.weight[0], net.filter.bias
        torch.nn.init.constant_(bias, 0.3)
        z = torch.randn(1, 3, 2)
        expected = z[0, 2] @ weight[:, 1] + z[0, 1] @ weight[:, 0] + 0.3
        torch.testing.assert_close(net(z, torch.tensor([3]))[0, 2], expected[None])

    def test_dense_readouts_have_weights_for_each_pair_of_bins(self):
        causal, full = (readout(kind, 3, 2, lags=1, n_bins=5) for kind in ("causal", "full"))
        assert [tuple(p.shape) for p in full.parameters()] == [(5, 3, 5, 2), (5, 2)]
        torch.nn.init.normal_(full.bias)
        z = torch.randn(2, 5, 3)
        flat = z.flatten(1) @ full.weight.reshape(15, 10) + full.bias.flatten()
        torch.testing.assert_close(full(z, torch.tensor([5, 5])).flatten(1), flat)
        assert (causal.longest, full.longest, readout("fir", 3, 2, 4, 5).longest) == (5, 5, None)


class TestGenerators:
    def test_both_cells_keep_running_without_input(self):
        torch.manual_seed(0)
        for cell in ("gru", "lfads"):
            generator = FreeGenerator(3, 6, 2, cell, clip=5.0, dropout=0.0)
            first = torch.randn(4, 3)
            long, short = generator(first, 9), generator(first, 4)
            torch.testing.assert_close(long[:, :4], short)
            assert long.shape == (4, 9, 2)

    def test_the_fused_cell_is_the_published_one(self):
        """The reset gate acts after the product; without input only biases and the state tell."""
        torch.manual_seed(0)
        cell = FreeGenerator(5, 5, 2, "gru", clip=5.0, dropout=0.0).cell
        for name, parameter in cell.gru.named_parameters():
            if "bias" in name:
                torch.nn.init.normal_(parameter)
        h = torch.randn(1, 5)
        from_input, from_state = cell.gru.bias_ih_l0.chunk(3), (h @ cell.recurrent.T + cell.gru.bias_hh_l0).chunk(3, 1)
        reset, keep = ((from_input[i] + from_state[i]).sigmoid() for i in (0, 1))
        new = (from_input[2] + reset * from_state[2]).tanh()
        torch.testing.assert_close(cell(None, h, 1)[:, 0], keep * h + (1 - keep) * new)
        trained = [name for name, p in cell.gru.named_parameters() if p.requires_grad]
        assert trained == ["weight_hh_l0", "bias_ih_l0", "bias_hh_l0"]

    def test_the_other_cell_keeps_and_is_clipped(self):
        generator = FreeGenerator(2, 2, 2, "lfads", clip=0.5, dropout=0.0)
        assert generator.cell.bias.tolist() == [1, 1, 0, 0, 0, 0]
        assert generator.cell(None, torch.tensor([[3.0, -3.0]]), 1)[0, 0].tolist() == [0.5, -0.5]

    def test_the_initial_condition_is_the_first_state_where_sizes_agree(self):
        assert sum(p.numel() for p in FreeGenerator(6, 6, 2, "gru", 5.0, 0.0).first_state.parameters()) == 0
        assert FreeGenerator(5, 6, 2, "gru", 5.0, 0.0).first_state.weight.shape == (6, 5)


class TestWeights:
    def test_the_published_schedule(self):
        weights = preset_config("tndm-paper").weights
        known = {
            "behaviour": [0.2, 0.2, 0.2, 0.2],
            "kl_relevant": [0, 0.5, 1, 1],
            "kl_irrelevant": [0, 0, 0.5, 1],
            "independence": [100, 100, 100, 100],
            "l2": [0, 0.5 / 128, 1 / 128, 1 / 128],  # a sum over a batch of 128 trials, of which ours is the mean
        }
        for i, step in enumerate((0, 1000, 2000, 3000)):
            assert weights.at(step) == pytest.approx({name: values[i] for name, values in known.items()})
        assert weights.final == weights.at(10**6)

    @pytest.mark.parametrize("wrong", [{"value": -1.0}, {"value": math.nan}, {"ramp_steps": -1}, {"ramp_start": 3}])
    def test_wrong_ones(self, wrong):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            WeightConfig(**wrong)

    def test_the_loss_is_the_weighted_parts_of_its_step(self):
        """Of all steps of training, and of evaluation, where weights are final and there are no penalties."""
        rising = WeightsConfig(
            behaviour=WeightConfig(3.0),
            kl_relevant=WeightConfig(2.0, ramp_steps=10),
            kl_irrelevant=WeightConfig(5.0, ramp_start=4, ramp_steps=8),
            independence=WeightConfig(70.0),
            l2=WeightConfig(0.5, ramp_steps=20),
        )
        net = network(dataclasses.replace(SMALL, dropout=0.0, weights=rising)).train()
        batch = net_batch()
        with torch.no_grad():
            posterior = net.posterior(batch)
            generator = noise(3)
            parts = net.parts(batch, posterior, generator) | net.penalties(posterior, generator)
        assert set(parts) == {"neural", "behaviour", "kl_relevant", "kl_irrelevant", "independence", "l2"}
        for step in (0, 3, 6, 30):
            net.steps.fill_(step)
            expected = parts["neural"] + sum(w * parts[name] for name, w in rising.at(step).items())
            assert net.train().loss(batch, noise(3)).item() == pytest.approx(expected.item() / 50, rel=1e-5)
            assert int(net.steps) == step + 1
            evaluated = net.eval().loss(batch, noise(3)).item()
            expected = sum(parts[n] * w for n, w in (("behaviour", 3), ("kl_relevant", 2), ("kl_irrelevant", 5)))
            assert evaluated == pytest.approx((parts["neural"] + expected).item() / 50, rel=1e-5)
            assert int(net.steps) == step + 1


class TestParts:
    def parts(self, net: TNDMNetwork, batch: Batch, seed: int = 3) -> dict[str, torch.Tensor]:
        with torch.no_grad():
            return net.parts(batch, net.posterior(batch), noise(seed))

    def test_sums_over_valid_bins_of_the_mean_trial(self):
        net, batch = network().eval(), net_batch()
        with torch.no_grad():
            made = net.unroll(net.posterior(batch).draw(noise(3)), batch.lengths, 9)
        found = self.parts(net, batch)
        neural = behaviour = 0.0
        for i, length in enumerate(batch.lengths):
            expected = 0.02 * made.log_rates[i, :length].exp()
            neural += net.observation.nll(batch.counts[i : i + 1, :length], expected[None]).sum().item()
            behaviour += 0.5 * (batch.signal[i, :length] - made.behaviour[i, :length]).square().sum().item()
        assert found["neural"].item() == pytest.approx(neural / 4, rel=1e-5)
        assert found["behaviour"].item() == pytest.approx(behaviour / 4, rel=1e-5)

    @pytest.mark.parametrize("direction", ["posterior", "reverse"])
    def test_divergences_are_those_of_torch(self, direction):
        net = network(dataclasses.replace(SMALL, kl_direction=direction, prior_variance=0.4)).eval()
        batch = net_batch()
        with torch.no_grad():
            posterior = net.posterior(batch)
        found = self.parts(net, batch)
        mine, prior = Normal(posterior.mean, posterior.std), Normal(torch.zeros(4, 6), math.sqrt(0.4))
        each = kl_divergence(mine, prior) if direction == "posterior" else kl_divergence(prior, mine)
        assert found["kl_relevant"].item() == pytest.approx(each[:, :3].sum().item() / 4, rel=1e-5)
        assert found["kl_irrelevant"].item() == pytest.approx(each[:, 3:].sum().item() / 4, rel=1e-5)
        assert found["kl_relevant"].item() != pytest.approx(found["kl_irrelevant"].item(), rel=1e-3)

    def test_directions_of_the_divergence_differ(self):
        prior = InitialPrior(2, 1.0, learned=False)
        posterior = Posterior(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.5, 2.0]]))
        forth, back = (prior.kl(posterior, reverse) for reverse in (False, True))
        torch.testing.assert_close(forth[0], torch.tensor([0.125 + math.log(2), 1.5 - math.log(2)]))
        torch.testing.assert_close(back[0], torch.tensor([3.5 - math.log(2), math.log(2) - 0.375]))

    def test_the_penalty_on_dependence(self):
        """Nothing for independent initial conditions, the mean squared covariance for dependent ones."""
        means = torch.randn(4000, 6, generator=noise(0))
        means[:, 3] = 2 * means[:, 0]  # one of nine covariances is 2
        means[:, 4] -= 0.5 * means[:, 1]
        posterior = Posterior(means, torch.full((4000, 6), 0.7))
        exact, drawn = (dependence(posterior, samples, noise(1)).item() for samples in (0, 10))
        expected = (2.0**2 + 0.5**2) / 9
        assert exact == pytest.approx(expected, rel=0.1)
        assert drawn == pytest.approx(exact, rel=0.05)
        relevant, irrelevant = (m.numpy() for m in (means[:, :3], means[:, 3:]))
        covariance = np.cov(relevant.T, irrelevant.T, ddof=0)[:3, 3:]
        assert exact == pytest.approx(np.square(covariance).mean(), rel=1e-4)
        alone = Posterior(torch.randn(4000, 6, generator=noise(0)) + 5.0, torch.ones(4000, 6))
        assert dependence(alone, 0, noise(1)) < 2e-3
        assert dependence(alone, 10, noise(1)) < 2e-3

    def test_what_is_drawn_is_of_the_posterior(self):
        """One trial: means tell nothing, so the covariance is that of few samples, with the posterior's spread."""
        wide, narrow = (Posterior(torch.zeros(1, 6), torch.full((1, 6), s)) for s in (2.0, 0.5))
        assert dependence(wide, 0, noise(0)) == 0
        few = [dependence(p, 10, noise(0)).item() for p in (wide, narrow)]
        assert few[0] / few[1] == pytest.approx(4.0**4, rel=1e-4)
        assert dependence(wide, 4000, noise(0)) < 0.1 * few[0]

    def test_published_sums_scale_with_the_batch_and_ours_do_not(self):
        """Twice the trials: the published penalty, times the number of trials, doubles, and so does its likelihood."""
        posterior = Posterior(torch.randn(5, 6, generator=noise(0)), torch.ones(5, 6))
        twice = Posterior(posterior.mean.repeat(2, 1), posterior.std.repeat(2, 1))
        once, again = (dependence(p, 0, noise(0)) for p in (posterior, twice))
        torch.testing.assert_close(10 * again, 2 * (5 * once))
        net, batch = network().eval(), net_batch()
        pair = batch[torch.tensor([0, 1, 2, 3, 0, 1, 2, 3])]
        for name in ("kl_relevant", "kl_irrelevant"):
            torch.testing.assert_close(self.parts(net, batch)[name], self.parts(net, pair)[name])

    def test_squared_weights_are_those_of_both_generators(self):
        for config in (SMALL, SYNCHRONOUS):
            net = network(config)
            penalty = net.penalties(net.posterior(net_batch()), noise(0))["l2"]
            shapes = ([21, 7],) if config.cell == "gru" else ([7, 14], [7, 7])
            weights = [
                p
                for generator in (net.relevant, net.irrelevant)
                for p in generator.cell.parameters()
                if list(p.shape) in shapes
            ]
            assert len(weights) == 2 * len(shapes)
            torch.testing.assert_close(penalty, sum(w.square().sum() for w in weights))

    def test_rates_go_by_the_width_of_bins(self):
        log_rates = torch.randn(2, 3, 5, generator=noise(0))
        wide, narrow = network(), network()
        narrow.bin_s = 0.01
        torch.testing.assert_close(wide.rates(log_rates), 0.02 * log_rates.exp())
        torch.testing.assert_close(narrow.rates(log_rates), 0.5 * wide.rates(log_rates))
        assert wide.rates(torch.full((1, 1, 5), 1e4)).isfinite().all()

    def test_rates_start_at_the_mean_counts(self):
        data = recording()
        net = TNDM.make(data, SMALL).network
        expected = torch.from_numpy(data.split("train").counts.sum((0, 1)) / data.split("train").lengths.sum())
        torch.testing.assert_close(net.rates(net.to_log_rates.bias[None, None])[0, 0], expected.float())

    @EVERY
    def test_padding_changes_nothing(self, config):
        """Neither garbage in it nor more of it: losses, factors, rates and behaviour are the same."""
        net, batch = network(config).eval(), net_batch()
        longer = torch.randint(0, 9, (4, 15, 5), dtype=torch.int32)
        signal = torch.full((4, 15, 2), 1e3)
        signal[:, 10:] = torch.nan
        for i, length in enumerate(batch.lengths):
            longer[i, :length] = batch.counts[i, :length]
            signal[i, :length] = batch.signal[i, :length]
        other = Batch(batch.lengths, True, counts=longer, signal=signal)
        with torch.no_grad():
            torch.testing.assert_close(net.loss(batch, noise(0)), net.loss(other, noise(0)))
            (a, a_rates), (b, b_rates) = (net.averaged(x, 2, noise(0)) for x in (batch, other))
            for i, length in enumerate(batch.lengths):
                torch.testing.assert_close(a_rates[i, :length], b_rates[i, :length])
                torch.testing.assert_close(a.factors[i, :length], b.factors[i, :length])
                torch.testing.assert_close(a.behaviour[i, :length], b.behaviour[i, :length])
            for i, length in enumerate(batch.lengths):
                at = slice(i, i + 1)
                alone = Batch(batch.lengths[at], False, counts=batch.counts[at, :length])
                posterior = net.posterior(alone)
                torch.testing.assert_close(posterior.mean, net.posterior(batch).mean[at])
                read = net.unroll(posterior.mean, alone.lengths, int(length)).behaviour
                among = net.unroll(net.posterior(batch).mean, batch.lengths, 9).behaviour
                torch.testing.assert_close(read, among[at, :length])

    def test_behaviour_that_was_not_measured_counts_nothing(self):
        net, batch = network().train(), net_batch()
        signal = batch.signal.clone()
        signal[0, 2:5] = torch.nan
        signal[2, 3, 1] = torch.nan
        with_gaps = dataclasses.replace(batch, signal=signal)
        net.loss(with_gaps, noise(0)).backward()
        assert all(p.grad.isfinite().all() for p in net.parameters() if p.grad is not None)
        net.eval()
        made = net.unroll(net.posterior(batch).draw(noise(3)), batch.lengths, 9).behaviour
        errors = 0.5 * (batch.signal - made).square()
        lost = errors[0, 2:5].sum() + errors[2, 3, 1]
        torch.testing.assert_close(
            self.parts(net, batch)["behaviour"] - self.parts(net, with_gaps)["behaviour"], lost.detach() / 4
        )

    @EVERY
    def test_everything_learns(self, config):
        net = network(config).train()
        net.steps.fill_(10_000)
        net.loss(net_batch(), noise(0)).backward()
        learned = {n: p for n, p in net.named_parameters() if p.requires_grad}
        assert [n for n, p in learned.items() if p.grad is None or not p.grad.abs().sum() > 0] == []

    def test_behaviour_is_read_from_relevant_factors_alone(self):
        net = network()
        initial = torch.randn(2, 6, requires_grad=True)
        made = net.unroll(initial, torch.tensor([9, 9]), 9)
        grad = torch.autograd.grad(made.behaviour.sum(), initial, retain_graph=True)[0]
        assert (grad[:, :3] != 0).all()
        assert (grad[:, 3:] == 0).all()
        assert (torch.autograd.grad(made.log_rates.sum(), initial)[0] != 0).all()

    def test_averaging(self):
        """No samples are the mean of the posterior; rates are averaged, or their logarithms."""
        net, batch = network().eval(), net_batch()
        logs = network(dataclasses.replace(SMALL, average="log")).eval()
        for each in (net, logs):
            each.encoder.min_variance = 1.0
        with torch.no_grad():
            mean = net.unroll(net.posterior(batch).mean, batch.lengths, 9)
            made, rates = net.averaged(batch, 0, noise(1))
            torch.testing.assert_close(rates, net.rates(mean.log_rates))
            torch.testing.assert_close(made.behaviour, mean.behaviour)
            posterior, generator = net.posterior(batch), noise(1)
            drawn = [net.unroll(posterior.draw(generator), batch.lengths, 9) for _ in range(20)]
            made, rates = net.averaged(batch, 20, noise(1))
            torch.testing.assert_close(rates, torch.stack([net.rates(d.log_rates) for d in drawn]).mean(0))
            torch.testing.assert_close(made.factors, torch.stack([d.factors for d in drawn]).mean(0))
            torch.testing.assert_close(made.behaviour, torch.stack([d.behaviour for d in drawn]).mean(0))
            lower = logs.averaged(batch, 20, noise(1))[1]
            torch.testing.assert_close(lower, net.rates(torch.stack([d.log_rates for d in drawn]).mean(0)))
            assert (rates > lower).all()


class TestModel:
    @EVERY
    def test_it_has_latents_codes_and_behaviour(self, config):
        data = recording()
        weights = WeightsConfig(kl_relevant=WeightConfig(0.3, ramp_steps=9))
        model = TNDM.make(data, dataclasses.replace(config, weights=weights)).fit(data)
        assert model.encode(data).shape == (14, 11, 6)
        assert (model.encode(data)[~data.valid] == 0).all()
        assert model.codes(data).shape == (14, 6)
        assert model.decode(data).shape == (14, 11, 2)
        assert (model.decode(data)[~data.valid] == 0).all()
        sample = model.sample(5, lengths=np.array([11, 1, 5, 8, 11]), seed=1)
        assert sample.latents.shape == (5, 11, 6)
        assert codes_in(sample).shape == (5, 6)
        signal = sample.signals["hand_vel"]
        assert (signal.values.shape, signal.unit, signal.columns) == ((5, 11, 2), "cm/s", ("x", "y"))
        assert (signal.values[~sample.valid] == 0).all()
        reported = sample.provenance
        assert (reported["beta_relevant"], reported["beta_irrelevant"], reported["ic_distribution"]) == (
            0.3,
            0.1,
            "fitted",
        )

    @EVERY
    def test_codes_of_trials_give_what_is_inferred_of_them(self, config):
        data = recording()
        model = TNDM.make(data, dataclasses.replace(config, posterior_samples=0, prior_variance=0.3)).fit(data)
        codes = model.codes(data)
        made = model.sample_at(data, codes, seed=3)
        np.testing.assert_allclose(made.rates, model.rates(data), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(made.latents, model.encode(data), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(made.signals["hand_vel"].values, model.decode(data), rtol=1e-4, atol=1e-4)
        np.testing.assert_array_equal(codes_in(made), codes)

    @pytest.mark.filterwarnings("error")
    def test_many_codes_are_columns(self):
        data = recording()
        model = TNDM.make(data, dataclasses.replace(SMALL, ic_dim=64)).fit(data)
        assert codes_in(model.sample(2)).shape == (2, 128)

    def test_behaviour_is_in_the_units_of_the_signal(self):
        data = recording()
        model = TNDM.make(data, SMALL).fit(data)
        values = data.split("train").signals["hand_vel"].values[data.split("train").valid]
        np.testing.assert_allclose(model.behaviour.mean, values.mean(0), rtol=1e-5)
        np.testing.assert_allclose(model.behaviour.std, values.std(0), rtol=1e-5)
        torch.nn.init.zeros_(model.network.to_behaviour.filter.weight)
        torch.nn.init.ones_(model.network.to_behaviour.filter.bias)
        expected = values.mean(0) + values.std(0)
        np.testing.assert_allclose(model.decode(data)[data.valid], np.tile(expected, (data.valid.sum(), 1)), rtol=1e-5)
        made = model.sample(3, length=4).signals["hand_vel"].values
        np.testing.assert_allclose(made, np.broadcast_to(expected, (3, 4, 2)), rtol=1e-5)

    def test_it_decodes_where_nothing_was_measured(self):
        data = recording()
        model = TNDM.make(data, SMALL).fit(data)
        np.testing.assert_array_equal(model.decode(dataclasses.replace(data, signals={})), model.decode(data))
        with pytest.raises(DataError, match="4 neurons"):
            model.decode(data.select(neurons=[0, 1, 2, 3]))

    @pytest.mark.parametrize("kind", ["causal", "full"])
    def test_longer_trials_than_a_fixed_readout_knows(self, kind):
        data = recording()
        model = TNDM.make(data, {"causal": CAUSAL, "full": FULL}[kind]).fit(data)
        assert model.sample(2, length=4).n_bins == 4
        message = f"the decoder '{kind}' reads behaviour of trials of at most 11, .* fit decoder fir"
        with pytest.raises(DataError, match="samples are to have trials of 12 bins, but " + message):
            model.sample(2, length=12)
        longer = recording(n_bins=13, ragged=False)
        assert model.rates(longer).shape == (14, 13, 5)
        with pytest.raises(DataError, match="13 bins, but " + message):
            model.decode(longer)
        lengths = np.array([11] * 10 + [13] * 4)
        with pytest.raises(DataError, match="the split 'val' has trials of 13 bins"):
            TNDM.make(longer_val := dataclasses.replace(longer, lengths=lengths), model.config).fit(longer_val)

    @pytest.mark.parametrize("config", [SMALL, SYNCHRONOUS], ids=["fir", "synchronous"])
    def test_any_length_with_a_readout_that_moves_along(self, config):
        data = recording()
        model = TNDM.make(data, config).fit(data)
        long, short = (model.sample(2, length=n, codes=np.ones((2, 6))) for n in (60, 7))
        np.testing.assert_allclose(long.rates[:, :7], short.rates, rtol=1e-4)
        long, short = (x.signals["hand_vel"].values for x in (long, short))
        np.testing.assert_allclose(long[:, :7], short, rtol=1e-4)
        assert model.decode(recording(n_bins=30)).shape == (14, 30, 2)

    def test_codes_of_the_prior_have_its_variance(self):
        data = recording()
        model = TNDM.make(data, dataclasses.replace(SMALL, prior_variance=0.25)).fit(data)
        codes = codes_in(model.sample(400, length=2, ic_distribution="prior"))
        assert codes.std() == pytest.approx(1, abs=0.05)
        initial = model.network.prior.initial(torch.tensor(codes))
        assert initial.std().item() == pytest.approx(0.5, abs=0.03)
        assert list(model.network.prior.parameters()) == []
        with pytest.raises(ConfigError, match="kind 'tndm' has no option 'steps' in sampling"):
            model.sample(1, steps=3)

    def test_which_signal_is_the_behaviour(self):
        data = recording()
        assert TNDM.make(data, SMALL).config.behaviour == "hand_vel"
        two = dataclasses.replace(data, signals={**data.signals, "eye": data.signals["hand_vel"]})
        with pytest.raises(DataError, match=r"the recording has several \(hand_vel, eye\); set behaviour to one"):
            TNDM.make(two, SMALL)
        named = dataclasses.replace(SMALL, behaviour="eye")
        assert TNDM.make(two, named).data_spec.signals == {"eye": ("cm/s", ("x", "y"))}
        with pytest.raises(DataError, match=r"reads the signal 'eye', .*\(signals: hand_vel\)"):
            TNDM.make(data, named)
        with pytest.raises(
            DataError, match=r"the recording has none \(no signals\); set behaviour to one, or fit lfads"
        ):
            TNDM.make(dataclasses.replace(data, signals={}), SMALL)
        with pytest.raises(DataError, match="the behaviour 'eye', but the recording has no such signal"):
            TNDM.make(two, named).fit(data)

    def test_gaps_in_behaviour(self):
        """They are left out of what is learned; a behaviour without any value is refused before training."""
        data = recording()
        values = data.signals["hand_vel"].values.copy()
        values[::2, 2:4] = np.nan
        values[1, 1, 0] = np.inf
        gaps = dataclasses.replace(data, signals={"hand_vel": Signal(values, "cm/s")})
        model = TNDM.make(gaps, SMALL).fit(gaps)
        assert all(torch.isfinite(v).all() for v in model.state_dict().values())
        assert np.isfinite(model.decode(gaps)).all()
        values[:10, :, 1] = np.nan
        empty = dataclasses.replace(data, signals={"hand_vel": Signal(values, "cm/s", ("x", "y"))})
        with pytest.raises(DataError, match="column 'y' of the signal 'hand_vel' has no value in any training trial"):
            TNDM.make(empty, SMALL).fit(empty)
        other = dataclasses.replace(data, signals={"hand_vel": Signal(values[..., :1])})
        with pytest.raises(DataError, match="has 1 dimensions, but the model was made for 2"):
            model.fit(other)

    def test_a_behaviour_that_never_moves(self):
        data = recording()
        still = dataclasses.replace(data, signals={"hand_vel": Signal(np.full((14, 11, 1), 2.0), "cm/s")})
        model = TNDM.make(still, SMALL).fit(still)
        assert np.isfinite(model.decode(still)).all()
        assert np.isfinite(model.sample(2).signals["hand_vel"].values).all()

    def test_what_is_withheld_is_not_shown(self):
        table = pd.DataFrame({"heldout": [False, False, False, True, True]})
        data = dataclasses.replace(recording(), neurons=table)
        config = dataclasses.replace(SMALL, held_out_inputs=HeldOutInputsConfig("heldout", 2), observation="poisson")
        model = TNDM.make(data, config).fit(data)
        counts = data.counts.copy()
        counts[..., 3:] += 2
        counts[np.arange(11) >= data.lengths[:, None] - 2] += 3
        counts[~data.valid] = 0
        other = dataclasses.replace(data, counts=counts)
        np.testing.assert_array_equal(model.rates(data), model.rates(other))
        assert not np.array_equal(model.rates(data), model.rates(dataclasses.replace(data, counts=data.counts[::-1])))
        with pytest.raises(ConfigError, match=r"held_out_inputs\.forward_prediction_bins is 4"):
            TNDM.make(data, dataclasses.replace(SMALL, held_out_inputs=HeldOutInputsConfig(None, 4))).fit(data)

    def test_a_saved_model_goes_on(self, tmp_path):
        data = recording()
        model = TNDM.make(data, CAUSAL).fit(data)
        model.save(tmp_path)
        loaded = TNDM.load(tmp_path)
        assert loaded.config == dataclasses.replace(CAUSAL, behaviour="hand_vel")
        np.testing.assert_array_equal(model.decode(data), loaded.decode(data))
        a, b = (m.sample(3, seed=2) for m in (model, loaded))
        np.testing.assert_array_equal(a.signals["hand_vel"].values, b.signals["hand_vel"].values)
        np.testing.assert_array_equal(a.counts, b.counts)
        assert int(loaded.network.steps) == 3

    def test_a_training_that_was_cut_goes_on_with_the_schedule(self, tmp_path, monkeypatch):
        monkeypatch.setattr("spikeloom.training.stage_training.CHECKPOINT_EVERY_S", 0.0)
        data = recording()
        weights = WeightsConfig(kl_irrelevant=WeightConfig(10.0, ramp_start=2, ramp_steps=4))
        training = dataclasses.replace(FEW, steps=6, keep_best=False)
        config = dataclasses.replace(SMALL, weights=weights, training=training)
        whole = TNDM.make(data, config).fit(data)
        assert int(whole.network.steps) == 6
        cut, log = TNDM.make(data, config), Run.log

        def stop(self, **row):
            log(self, **row)
            if row["step"] == 4:
                raise KeyboardInterrupt

        monkeypatch.setattr(Run, "log", stop)
        with pytest.raises(KeyboardInterrupt):
            cut.fit(data, Run(tmp_path), Engine(device="cpu"))
        monkeypatch.setattr(Run, "log", log)
        resumed = TNDM.make(data, config, seed=5).fit(data, Run(tmp_path), Engine(device="cpu"))
        assert all(torch.equal(v, resumed.state_dict()[k]) for k, v in whole.state_dict().items())

    def test_numbers_about_itself(self):
        net, batch = network().eval(), net_batch()
        reported = diagnose(net, batch)
        assert {"neural", "behaviour", "kl_relevant", "independence", "behaviour_r2", "code_spread"} <= set(reported)
        assert reported["weight_kl_irrelevant"] == 0
        perfect = net.unroll(net.posterior(batch).mean, batch.lengths, 9).behaviour.detach()
        assert diagnose(net, dataclasses.replace(batch, signal=perfect))["behaviour_r2"] == pytest.approx(1)

    @pytest.mark.parametrize("n_neurons", [1, 2])
    def test_one_neuron_a_silent_one_and_few_trials(self, n_neurons):
        counts = np.random.default_rng(0).poisson(0.5, (5, 6, n_neurons))
        counts[..., -1] = 0
        signals = {"x": Signal(np.random.default_rng(1).normal(size=(5, 6, 1)))}
        data = with_default_splits(SpikeData(counts, bin_s=0.02, signals=signals))
        model = TNDM.make(data, SMALL).fit(data)
        assert np.isfinite(model.rates(data)).all()
        assert model.sample(3).counts.shape == (3, 6, n_neurons)

    @pytest.mark.parametrize(
        "wrong",
        [
            {"ic_dim": 0},
            {"relevant_factors": 0},
            {"lags": 0},
            {"posterior_samples": -1},
            {"independence_samples": -1},
            {"dropout": 1.0},
            {"prior_variance": 0.0},
            {"cell": "lstm"},
            {"decoder": "dense"},
            {"kl_direction": "both"},
            {"average": "mean"},
            {"ic_distribution": "data"},
            {"observation": "binomial"},
            {"lags": 7, "decoder": "causal"},
            {"cell_clip": 3.0, "cell": "gru"},
        ],
    )
    def test_wrong_configurations(self, wrong):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            TNDMConfig(**wrong)


def test_commands(tmp_path, monkeypatch):
    """Fit, sample and encode: the only signal is the behaviour, and samples have it."""
    monkeypatch.chdir(tmp_path)
    data = recording(n_trials=30, n_bins=12, ragged=False)
    save(with_default_splits(dataclasses.replace(data, splits={})), "data.npz")
    small = tiny_of("tndm")
    assert small[:2] == ["--behaviour", "hand_vel"]
    assert main(["fit", "data.npz", "--model", "tndm", "--out", "run", "--max_steps", "2", *small[2:]]) == 0
    assert Run(tmp_path / "run").read_yaml("config.yaml")["behaviour"] == "hand_vel"
    assert main(["sample", "run", "--out", "new.npz", "-n", "4", "--ic_distribution", "prior"]) == 0
    assert load("new.npz").signals["hand_vel"].values.shape == (4, 12, 2)
    assert main(["encode", "run", "data.npz", "--out", "encoded.npz"]) == 0
    assert load("encoded.npz").latents.shape == (30, 12, 6)


def test_the_paper_preset():
    paper = preset_config("tndm-paper")
    assert {"tndm", "tndm-paper"} <= set(preset_files())
    assert (paper.relevant_factors, paper.irrelevant_factors, paper.ic_dim) == (5, 5, 64)
    assert (paper.decoder, paper.kl_direction, paper.cell, paper.average) == ("causal", "reverse", "gru", "log")
    assert (paper.dropout, paper.prior_variance, paper.independence_samples) == (0.15, 1.0, 10)
    assert (paper.training.batch_size, paper.training.learning_rate, paper.posterior_samples) == (128, 1e-2, 128)
    assert (paper.ic_distribution, paper.observation) == ("prior", "poisson")


def turning(n_trials: int = 160, n_bins: int = 20, n_neurons: int = 24) -> SpikeData:
    """Two turning states of random phase: behaviour follows from the first with a lag, neurons from both."""
    rng = np.random.default_rng(0)
    time = np.arange(-1, n_bins) / 4
    phases = rng.uniform(0, 2 * np.pi, (2, n_trials, 1))
    speeds = np.array([1.0, 1.7])[:, None, None]
    angles = speeds * time + phases
    states = np.stack([np.cos(angles[0]), np.sin(angles[0]), np.cos(angles[1]), np.sin(angles[1])], axis=2)
    weights = rng.normal(size=(4, n_neurons))
    rates = np.exp(states[:, 1:] @ weights * 0.7 - 1.0)
    velocity = 30 + 5 * states[:, :-1, :2] @ rng.normal(size=(2, 2)) + 0.3 * rng.normal(size=(n_trials, n_bins, 2))
    signals = {"hand_vel": Signal(velocity, "cm/s", ("x", "y"))}
    return with_default_splits(SpikeData(rng.poisson(rates), bin_s=0.05, signals=signals, rates=rates))


@pytest.mark.slow
def test_it_finds_behaviour_and_rates():
    """Of held-out trials, from spikes alone; and irrelevant factors do not tell of behaviour what relevant ones do."""
    data = turning()
    test = data.split("test")
    config = TNDMConfig(
        ic_dim=6,
        encoder_units=24,
        generator_units=32,
        cell="gru",
        observation="poisson",
        posterior_samples=8,
        relevant_factors=3,
        irrelevant_factors=3,
        lags=3,
        dropout=0.05,
        weights=WeightsConfig(
            behaviour=WeightConfig(2.0),
            kl_relevant=WeightConfig(0.1, ramp_steps=40),
            kl_irrelevant=WeightConfig(0.1, ramp_start=20, ramp_steps=40),
        ),
        training=StageConfig(
            steps=150,
            batch_size=48,
            learning_rate=1e-2,
            weight_decay=0.0,
            grad_clip_norm=0.1,
            warmup_steps=10,
            validate_every=50,
        ),
    )
    model = TNDM.make(data, config).fit(data)

    def r2(found, known):
        return 1 - np.square(found - known).sum() / np.square(known - known.mean((0, 1))).sum()

    assert r2(model.decode(test), test.signals["hand_vel"].values) > 0.7
    assert r2(model.rates(test), test.rates) > 0.6
    train = data.split("train")

    def told_by(factors: slice) -> float:
        """R2 of held-out behaviour in a regression from factors."""
        x, z = (
            np.concatenate([model.encode(d)[..., factors], np.ones((*d.counts.shape[:2], 1))], 2) for d in (train, test)
        )
        y = train.signals["hand_vel"].values
        weights = np.linalg.lstsq(x.reshape(-1, x.shape[2]), y.reshape(-1, 2), rcond=None)[0]
        return r2(z @ weights, test.signals["hand_vel"].values)

    assert told_by(slice(0, 3)) > told_by(slice(3, 6)) + 0.4
    sample = model.sample(200, seed=1)
    assert sample.signals["hand_vel"].values.std() == pytest.approx(test.signals["hand_vel"].values.std(), rel=0.3)
