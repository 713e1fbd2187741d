"""pi-VAE: its distributions and decoder in closed form, its loss by hand, its labels, and tuning it has to find."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from commands import tiny_of
from spikeloom.cli import main
from spikeloom.conditioning.features import Condition
from spikeloom.conditioning.requests import Conditions
from spikeloom.data.files import load, save
from spikeloom.data.spikedata import Signal, SpikeData
from spikeloom.data.splits import with_default_splits
from spikeloom.errors import ConfigError, DataError, SpikeloomWarning
from spikeloom.models import load_model
from spikeloom.models.pivae import PiVAE
from spikeloom.models.pivae_config import PiVAEConfig
from spikeloom.models.pivae_inference import unlabelled
from spikeloom.models.pivae_network import LabelPrior, counts_of_bins
from spikeloom.models.presets import preset_config
from spikeloom.models.training_labels import TrainingLabels
from spikeloom.nets.flow import FlowDecoder, VolumePreservingFlow
from spikeloom.nets.normal import Normals
from spikeloom.training.batch import Batch
from spikeloom.training.stages import StageConfig
from spikeloom.workflow.sampling import sample_like

FEW = StageConfig(steps=3, batch_size=8, validate_every=1, weight_decay=0.0)
SMALL = PiVAEConfig(latents=2, encoder_units=6, prior_units=5, posterior_samples=3, observation="poisson", training=FEW)
BINS = 10


def noise(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def labelled_by(*names: str, **changes) -> PiVAEConfig:
    return dataclasses.replace(SMALL, condition_on=names, **changes)


def recording(n_trials: int = 30, n_neurons: int = 5, ragged: bool = True) -> SpikeData:
    """Trials with a target, an angle, a number and a velocity, all of which tell the trial's number."""
    rng = np.random.default_rng(1)
    lengths = rng.integers(4, BINS + 1, n_trials) if ragged else None
    each = np.arange(n_trials)
    velocity = np.stack([np.tile(np.arange(BINS), (n_trials, 1)), np.repeat(each[:, None], BINS, 1)], axis=-1)
    return with_default_splits(
        SpikeData(
            rng.poisson(0.5, (n_trials, BINS, n_neurons)),
            bin_s=0.02,
            lengths=lengths,
            trials=pd.DataFrame({"target": each % 3, "angle_deg": each * 7.1, "speed": each / 10}),
            signals={"velocity": Signal(velocity.astype(np.float32), "m/s", ("x", "y"))},
        )
    )


def shaken(model: PiVAE) -> PiVAE:
    """The model with large weights, so that every input matters."""
    with torch.no_grad():
        for i, parameter in enumerate(model.network.parameters()):
            parameter += 0.3 * torch.randn(parameter.shape, generator=noise(i))
    model.trained = True
    return model


def correlation(a, b) -> float:
    return float(np.corrcoef(np.ravel(a), np.ravel(b))[0, 1])


class TestNormals:
    def pair(self, spread: float) -> tuple[Normals, Normals]:
        made = [torch.randn(200, 3, generator=noise(i)) for i in range(4)]
        return Normals(made[0], spread * made[1]), Normals(made[2], spread * made[3])

    def test_the_product_is_exact(self):
        a, b = self.pair(1.0)
        precision = (-a.log_variance).exp() + (-b.log_variance).exp()
        mean = (a.mean * (-a.log_variance).exp() + b.mean * (-b.log_variance).exp()) / precision
        torch.testing.assert_close(a.times(b).mean, mean, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(a.times(b).log_variance, -precision.log(), rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize("first", [-30.0, 0.0, 30.0])
    @pytest.mark.parametrize("second", [-30.0, 0.0, 30.0])
    def test_the_product_of_extreme_variances(self, first, second):
        a, b = (Normals(torch.tensor([m]), torch.tensor([v])) for m, v in ((1.5, first), (-0.7, second)))
        p, q = math.exp(-first), math.exp(-second)
        product = a.times(b)
        assert product.mean.item() == pytest.approx((1.5 * p - 0.7 * q) / (p + q), rel=1e-5)
        assert product.log_variance.item() == pytest.approx(-math.log(p + q), rel=1e-6, abs=1e-6)

    def test_gradients_through_the_product_of_extreme_variances(self):
        parts = [torch.tensor([v], requires_grad=True) for v in (1.0, -30.0, 2.0, 30.0)]
        product = Normals(*parts[:2]).times(Normals(*parts[2:]))
        (product.mean + product.log_variance).sum().backward()
        assert all(torch.isfinite(p.grad).all() for p in parts)

    def test_the_divergence_is_that_of_torch(self):
        a, b = self.pair(0.8)
        torches = [Normal(d.mean, (d.log_variance / 2).exp()) for d in (a, b)]
        torch.testing.assert_close(a.divergence(b), kl_divergence(*torches), rtol=1e-4, atol=1e-5)
        assert a.divergence(a).abs().max() < 1e-6

    def test_the_overlap_is_the_integral_of_the_product(self):
        a, b = self.pair(0.5)
        z = torch.linspace(-40, 40, 40_001)
        for i in range(5):
            densities = [Normal(d.mean[i, 0], (d.log_variance[i, 0] / 2).exp()).log_prob(z).exp() for d in (a, b)]
            integral = float((densities[0] * densities[1]).sum() * (z[1] - z[0]))
            found = float(a.overlap(b)[i, 0]) - 0.5 * math.log(2 * math.pi)
            assert found == pytest.approx(math.log(integral), rel=1e-3, abs=1e-3)

    def test_draws_have_the_moments(self):
        drawn = Normals(torch.full((50_000,), 2.0), torch.full((50_000,), math.log(9.0))).draw(noise(0))
        assert drawn.mean().item() == pytest.approx(2.0, abs=0.05)
        assert drawn.std().item() == pytest.approx(3.0, abs=0.05)


class TestFlow:
    @pytest.mark.parametrize("channels", [1, 2, 3, 6, 7])
    def test_volumes_are_kept(self, channels):
        torch.manual_seed(0)
        flow = VolumePreservingFlow(channels, hidden=8, blocks=2).double()
        for parameter in flow.parameters():
            torch.nn.init.normal_(parameter, std=0.8)
        for seed in range(3):
            x = torch.randn(channels, generator=noise(seed), dtype=torch.float64)
            jacobian = torch.autograd.functional.jacobian(flow, x)
            assert abs(torch.linalg.slogdet(jacobian).logabsdet.item()) < 1e-9
            if channels > 2:  # channels are scaled, too: it is more than an exchange of them with shifts
                assert (jacobian[jacobian.abs() > 1e-9].abs() - 1).abs().max() > 1e-3

    @pytest.mark.parametrize("channels", [6, 7])
    def test_without_scales_and_shifts_channels_are_only_exchanged(self, channels):
        """In each block by its permutation, then twice the second part for the first."""
        torch.manual_seed(0)
        flow = VolumePreservingFlow(channels, hidden=4, blocks=2)
        for parameter in flow.parameters():
            torch.nn.init.zeros_(parameter)
        x = torch.arange(float(channels))
        expected = x.tolist()
        for order in flow.orders.tolist():
            expected = [expected[i] for i in order]
            for _ in range(2):
                expected = expected[channels // 2 :] + expected[: channels // 2]
        assert flow(x).tolist() == expected

    @pytest.mark.parametrize("channels", [6, 7])
    def test_every_output_depends_on_every_latent(self, channels):
        torch.manual_seed(0)
        decoder = FlowDecoder(2, channels, blocks=2, hidden=16)
        for parameter in decoder.parameters():
            torch.nn.init.normal_(parameter, std=0.5)
        jacobian = torch.autograd.functional.jacobian(decoder, torch.randn(2))
        assert (jacobian.abs() > 1e-6).all()
        assert torch.linalg.matrix_rank(jacobian) == 2

    def test_without_blocks_latents_are_outputs_themselves(self):
        decoder = FlowDecoder(2, 5, blocks=0, hidden=4)
        torch.nn.init.ones_(decoder.offset)
        z = torch.randn(3, 2)
        torch.testing.assert_close(decoder(z)[:, :2], z + 1)
        assert torch.equal(FlowDecoder(3, 3, blocks=0, hidden=4)(z.repeat(1, 2)[:, :3]), z.repeat(1, 2)[:, :3])

    def test_permutations_are_drawn_once_and_saved(self):
        torch.manual_seed(0)
        first, other = (VolumePreservingFlow(40, hidden=4, blocks=2) for _ in range(2))
        assert not torch.equal(first.orders, other.orders)
        assert not torch.equal(first.orders[0], first.orders[1])
        assert first.orders.sort(1).values.tolist() == [list(range(40))] * 2
        other.load_state_dict(first.state_dict())
        x = torch.randn(3, 40)
        torch.testing.assert_close(first(x), other(x))


class TestNetwork:
    def test_a_single_label_is_a_table(self):
        model = PiVAE.make(recording(), labelled_by("target"))
        prior: LabelPrior = model.network.prior
        assert prior.network.weight.shape == (4, 4)  # two means, two log-variances; three labels, and none known
        for label in range(4):
            features = torch.eye(4)[label]
            torch.testing.assert_close(prior(features).mean, prior.network.weight[:2, label])
            torch.testing.assert_close(prior(features).log_variance, prior.network.weight[2:, label])
        for names in (("angle_deg",), ("target", "speed")):
            assert len(PiVAE.make(recording(), labelled_by(*names)).network.prior.network) > 1

    def test_the_prior_receives_static_and_moving_labels_and_indicators_of_unknown_ones(self):
        data = recording(ragged=False)
        trials = data.trials.astype(float)
        trials.loc[1, "speed"] = np.nan
        data = dataclasses.replace(data, trials=trials)
        model = PiVAE.make(data, labelled_by("target", "speed", "velocity"))
        batch = model.labelled_batch(data)
        features = model.network.label_features(batch.condition, BINS, len(batch))
        _, speed, velocity = model.data_spec.variables
        assert features.shape == (30, BINS, 3 + 1 + 2 + 2 + 1)
        torch.testing.assert_close(features[2, :, :3], torch.tensor([0.0, 0, 1]).expand(BINS, 3))
        np.testing.assert_allclose(features[0, 0, 3], -speed.mean[0] / speed.std[0], rtol=1e-5)
        assert features[:, :, 4:6].sum() == BINS
        assert (features[1, :, 3:6] == torch.tensor([0.0, 0, 1])).all()
        np.testing.assert_allclose(features[5, :, 6], (np.arange(BINS) - velocity.mean[0]) / velocity.std[0], rtol=1e-4)
        assert (features[:, :, 8] == 0).all()

    @pytest.mark.parametrize("names", [(), ("target",), ("angle_deg", "velocity")])
    def test_the_loss_is_the_evidence_lower_bound_of_valid_bins(self, names):
        data = recording()
        model = shaken(PiVAE.make(data, labelled_by(*names)))
        network, batch = model.network.eval(), model.labelled_batch(data)
        with torch.no_grad():
            found = network.loss(batch, noise(3))
            x = torch.from_numpy(data.counts[data.valid]).float()
            features = network.label_features(batch.condition, BINS, len(data.counts))[
                torch.from_numpy(data.valid.copy())
            ]
            of_x, of_u = network.encode(x), network.prior(features)
            # Of two normal distributions, precisions add up.
            p, q = (-of_x.log_variance).exp(), (-of_u.log_variance).exp()
            posterior = Normal((p * of_x.mean + q * of_u.mean) / (p + q), (p + q).rsqrt())
            z = posterior.mean + posterior.stddev * torch.randn(posterior.mean.shape, generator=noise(3))
            rates = torch.nn.functional.softplus(network.decoder(z))
            misfit = (rates - x * rates.log()).sum(1)
            large = x[x > 1]
            stirling = (large * large.log() - large + 0.5 * (2 * math.pi * large).log()).sum()
            divergence = kl_divergence(posterior, Normal(of_u.mean, (of_u.log_variance / 2).exp())).sum(1)
            expected = ((misfit + divergence).sum() + stirling) / x.numel()
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
        features = network.diagnostics(batch, noise(3))
        assert features["kl"] == pytest.approx(float(divergence.mean()), rel=1e-3)
        assert features["misfit"] + features["kl"] / 5 == pytest.approx(float(found), rel=1e-4)

    def test_the_divergence_comes_to_its_weight_in_training_only(self):
        data = recording()
        network = PiVAE.make(data, labelled_by("target", ramp_steps=3)).network
        batch = Batch.of(data, PiVAE.make(data, labelled_by("target")).data_spec.variables)
        with torch.no_grad():
            whole = network.eval().loss(batch, noise(0))
            features = network.diagnostics(batch, noise(0))
            network.train()
            losses = torch.stack([network.loss(batch, noise(0)) for _ in range(5)])
            weights = (losses - features["misfit"]) / (whole - features["misfit"])
            torch.testing.assert_close(weights, torch.tensor([0.25, 0.5, 0.75, 1, 1]), rtol=1e-3, atol=1e-3)
            assert network.eval().loss(batch, noise(0)) == whole
        assert network.diagnostics(batch, noise(0))["ramp"] == 1
        assert features["ramp"] == 0

    def test_posteriors_are_bounded(self):
        network = PiVAE.make(recording(), dataclasses.replace(SMALL, log_variance_limit=0.5)).network
        sharp = Normals(torch.zeros(4, 2), torch.full((4, 2), -30.0))
        assert (network.posterior(torch.ones(4, 5), sharp).log_variance == -0.5).all()

    def test_rates_start_at_the_mean_counts(self):
        model = PiVAE.make(recording(), dataclasses.replace(SMALL, decoder_blocks=0))
        rates = model.network.decode(torch.zeros(2))
        started = torch.nn.functional.softplus(model.network.decoder.offset)
        np.testing.assert_allclose(started.detach(), model.data_spec.mean_counts, rtol=1e-4)
        np.testing.assert_allclose(rates[:2].detach(), model.data_spec.mean_counts[:2], rtol=1e-4)

    @pytest.mark.parametrize("names", [(), ("target", "velocity")])
    def test_padding_is_invisible(self, names):
        data = recording()
        model = shaken(PiVAE.make(data, labelled_by(*names)).fit(data))
        counts = np.full((30, BINS + 4, 5), 9, dtype=data.counts.dtype)
        values = np.full((30, BINS + 4, 2), 1e6, dtype=np.float32)
        for i, n in enumerate(data.lengths):
            counts[i, :n] = data.counts[i, :n]
            values[i, :n] = data.signals["velocity"].values[i, :n]
        signals = {"velocity": Signal(values, "m/s", ("x", "y"))}
        padded = SpikeData(
            counts, bin_s=0.02, lengths=data.lengths, signals=signals, trials=data.trials, splits=data.splits
        )
        with torch.no_grad():
            losses = [model.network.loss(model.labelled_batch(d), noise(0)) for d in (data, padded)]
        torch.testing.assert_close(*losses)
        for found in (model.infer, model.posterior):
            for a, b in zip(found(data), found(padded), strict=True):
                np.testing.assert_allclose(a, b[:, :BINS], rtol=1e-5, atol=1e-6)
                assert (b[~padded.valid] == 0).all()


class TestInference:
    def test_spikes_alone_are_averaged_over_labels(self):
        """As Bayes' rule says, on a grid of latents: the product of what counts tell and of a mixture over labels."""
        data = recording()
        network = shaken(PiVAE.make(data, dataclasses.replace(SMALL, latents=1))).network
        counts = torch.poisson(torch.full((6, 5), 1.0), generator=noise(0))
        pool = Normals(torch.tensor([[-2.0], [0.5], [3.0]]), torch.tensor([[-1.0], [0.3], [-2.0]]))
        with torch.no_grad():
            found = unlabelled(network, counts, pool, 4000, noise(1))
            z = torch.linspace(-15, 15, 6001)[:, None]
            of_x = network.encode(counts)
            features = Normal(of_x.mean[:, 0], (of_x.log_variance[:, 0] / 2).exp()).log_prob(z)
            labels = Normal(pool.mean[:, 0], (pool.log_variance[:, 0] / 2).exp()).log_prob(z[:, :1])
            weight = (features + labels.logsumexp(1, keepdim=True)).softmax(0)
            rates = network.decode(z)
            torch.testing.assert_close(found[0], (weight * z).sum(0)[:, None], rtol=1e-3, atol=1e-3)
            torch.testing.assert_close(found[1], weight.T @ rates, rtol=0.05, atol=0.02)
            at_mean = unlabelled(network, counts, pool, 0, noise(1))
            torch.testing.assert_close(at_mean[1], network.decode(at_mean[0]))

    def test_what_is_inferred_rests_on_spikes_alone_and_the_posterior_on_labels_too(self):
        data = recording()
        model = shaken(PiVAE.make(data, labelled_by("target")).fit(data))
        other = dataclasses.replace(data, trials=data.trials.assign(target=(data.trials["target"] + 1) % 3))
        np.testing.assert_array_equal(model.rates(data), model.rates(other))
        assert np.abs(model.posterior(data)[0] - model.posterior(other)[0]).max() > 0.01
        bare = dataclasses.replace(data, trials=None)
        np.testing.assert_array_equal(model.rates(data), model.rates(bare))

    def test_without_labels_both_are_the_same(self):
        data = recording()
        model = PiVAE.make(data, dataclasses.replace(SMALL, posterior_samples=0)).fit(data)
        for a, b in zip(model.infer(data), model.posterior(data), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


class TestLabelsOfNewTrials:
    NAMES = ("target", "angle_deg", "speed", "velocity")

    def labels(self, data: SpikeData, names=NAMES) -> TrainingLabels:
        model = PiVAE.make(data, labelled_by(*names))
        labels = model.labels
        labels.remember(data.split("train"))
        return labels

    def requested(self, labels: TrainingLabels, n: int, **labels_by_name) -> Conditions:
        return Conditions.from_request(labels_by_name or None, labels.variables, n)

    def test_all_are_those_of_one_training_trial_with_its_length(self):
        data = recording()
        labels, train = self.labels(data), data.split("train")
        found, lengths = labels.completed(self.requested(labels, 400), 400, None, 0)
        number = np.round(found.table["speed"] * 10).astype(int)
        in_train = data.splits["train"].tolist()
        assert set(number) == set(in_train)  # every training trial, and no other
        assert found.table["target"].tolist() == (number % 3).tolist()
        assert found.table["angle_deg"].tolist() == pytest.approx((number * 7.1).tolist(), rel=1e-6)
        row = [in_train.index(i) for i in number]
        assert lengths.tolist() == train.lengths[row].tolist()
        for i, n in enumerate(lengths):
            np.testing.assert_array_equal(found.signals["velocity"].values[i, :n, 0], np.arange(n))
            assert (found.signals["velocity"].values[i, :n, 1] == number[i]).all()

    def test_signals_are_cut_and_held(self):
        data = recording()
        labels = self.labels(data)
        found, lengths = labels.completed(self.requested(labels, 2), 2, np.array([3, 14]), 0)
        assert lengths.tolist() == [3, 14]
        values = found.signals["velocity"].values[..., 0]
        assert values[0, :3].tolist() == [0, 1, 2]
        number = round(found.table["speed"][1] * 10)
        n = data.lengths[number]
        assert values[1].tolist() == [*range(n), *[n - 1] * (14 - n)]

    def test_requested_labels_are_kept_and_determine_the_others(self):
        data = recording()
        labels = self.labels(data)
        found, lengths = labels.completed(self.requested(labels, 200, target=2), 200, None, 1)
        assert set(found.table["target"]) == {2}
        numbers = set(np.round(found.table["speed"] * 10).astype(int))
        assert numbers == {i for i in data.splits["train"].tolist() if i % 3 == 2}  # all as near as each other
        assert set(lengths) == {data.lengths[i] for i in numbers}
        found, _ = labels.completed(self.requested(labels, 200, angle_deg=50.0), 200, None, 1)
        assert set(found.table["angle_deg"]) == {50.0}
        near = sorted(data.splits["train"], key=lambda i: abs(i * 7.1 - 50.0))[:10]
        assert set(np.round(found.table["speed"] * 10).astype(int)) == set(near)

    def test_a_signal_is_like_those_of_its_mean(self):
        data = recording()
        labels = self.labels(data, ("speed", "velocity"))
        wanted = np.stack([np.linspace(0, 6, 7), np.full(7, 20.0)], axis=1)
        for velocity in (wanted, wanted.mean(0)):
            found, lengths = labels.completed(self.requested(labels, 50, velocity=velocity), 50, None, 0)
            assert abs(found.table["speed"].mean() - 2.0) < 0.5
            assert set(lengths) == {7} if velocity.ndim == 2 else len(set(lengths)) > 1
            given = np.broadcast_to(velocity, (found.signals["velocity"].values.shape[1], 2))
            assert (found.signals["velocity"].values == np.float32(given)).all()
        with pytest.raises(DataError, match="7 bins in trial 0, but a trial of 9"):
            labels.completed(self.requested(labels, 1, velocity=wanted), 1, np.array([9]), 0)

    def test_what_some_trials_lack_may_remain_unknown(self):
        data = recording()
        trials = data.trials.astype(float)
        lacking = data.splits["train"][:6]
        trials.loc[lacking, "speed"] = np.nan
        values = data.signals["velocity"].values.copy()
        values[data.splits["train"][6]] = np.nan
        signals = {"velocity": Signal(values, "m/s", ("x", "y"))}
        labels = self.labels(dataclasses.replace(data, trials=trials, signals=signals))
        found, _ = labels.completed(self.requested(labels, 300), 300, None, 0)
        number = np.round(found.table["angle_deg"] / 7.1).astype(int)
        assert (found.table["speed"].isna() == number.isin(lacking)).all()
        unknown = np.isnan(found.signals["velocity"].values).all((1, 2))
        assert (unknown == (number == data.splits["train"][6])).all()
        assert 0 < found.table["speed"].isna().mean() < 0.6
        found, _ = labels.completed(self.requested(labels, 300, speed=0.3), 300, None, 0)
        assert not np.isin(np.round(found.table["angle_deg"] / 7.1), lacking).any()
        partly = self.requested(labels, 2, speed=[0.5, None])
        assert labels.completed(partly, 2, None, 0)[0].table["speed"][0] == 0.5

    def test_the_first_do_not_depend_on_how_many_follow(self):
        labels = self.labels(recording())
        few, many = (labels.completed(self.requested(labels, n), n, None, 3)[0].table for n in (5, 50))
        pd.testing.assert_frame_equal(few, many.iloc[:5])
        other = labels.completed(self.requested(labels, 50), 50, None, 4)[0].table
        assert not other.equals(many)


class TestSamples:
    @pytest.fixture(scope="class")
    def model(self):
        data = recording()
        return shaken(PiVAE.make(data, labelled_by("target", "velocity")).fit(data))

    def test_labels_are_part_of_the_sample(self, model):
        sample = model.sample(200, seed=2)
        assert sample.provenance["labels_drawn"] == ["target", "velocity"]
        assert sample.signals["velocity"].values.shape == (200, sample.n_bins, 2)
        for i, n in enumerate(sample.lengths):
            assert sample.signals["velocity"].values[i, 0, 1] % 3 == sample.trials["target"][i]
            assert (sample.signals["velocity"].values[i, n:] == 0).all()
        train = recording().split("train")
        for target in range(3):
            share = (train.trials["target"] == target).mean()
            assert (sample.trials["target"] == target).mean() == pytest.approx(share, abs=0.11)  # three s.e.
        again = model.sample(200, lengths=sample.lengths, condition=sample, seed=2)
        np.testing.assert_array_equal(again.rates, sample.rates)
        assert "labels_drawn" not in again.provenance
        part = model.sample(3, condition={"target": 1})
        assert part.provenance["labels_drawn"] == ["velocity"]
        assert part.trials["target"].tolist() == [1, 1, 1]

    def test_labels_decide_the_latents_bin_by_bin(self, model):
        moving = np.stack([np.arange(12), np.full(12, 3.0)], axis=1)
        sample = model.sample(1000, condition={"target": 1, "velocity": moving}, seed=1)
        assert sample.n_bins == 12
        features = Condition.of(
            Conditions.from_request({"target": 1, "velocity": moving}, model.data_spec.variables, 1),
            model.data_spec.variables,
            np.array([12]),
            12,
        )
        with torch.no_grad():
            prior = model.network.prior(model.network.label_features(features, 12, 1))
            rates = model.network.decode(torch.tensor(sample.latents)).numpy()
        spread = (prior.log_variance / 2).exp()[0].numpy()
        assert (np.abs(sample.latents.mean(0) - prior.mean[0].numpy()) < 4 * spread / math.sqrt(1000)).all()
        np.testing.assert_allclose(sample.latents.std(0), spread, rtol=0.15)
        np.testing.assert_allclose(sample.rates, rates, rtol=1e-4, atol=1e-6)
        assert (
            abs(
                correlation(
                    sample.latents[:, 1:, 0] - prior.mean[0, 1:, 0].numpy(),
                    sample.latents[:, :-1, 0] - prior.mean[0, :-1, 0].numpy(),
                )
            )
            < 0.05
        )

    def test_at_the_mean_rates_of_constant_labels_are_constant(self, model):
        requested = {"target": [0, 1], "velocity": [0.5, 2.0]}
        still = model.sample(2, length=9, condition=requested, mean_only=True)
        np.testing.assert_allclose(still.rates, still.rates[:, :1].repeat(9, axis=1), rtol=1e-4)
        assert not np.allclose(still.rates[0], still.rates[1])
        assert not np.array_equal(still.counts[:, 1:], still.counts[:, :-1])
        drawn = model.sample(2, length=9, condition=requested)
        assert (np.abs(drawn.rates - drawn.rates[:, :1])[:, 1:] > 1e-6).any(axis=2).all()
        moving = model.sample(1, condition={"target": 0, "velocity": np.arange(18.0).reshape(9, 2)}, mean_only=True)
        assert np.abs(moving.rates - moving.rates[:, :1]).max() > 0.01
        assert still.provenance["mean_only"] is True

    def test_as_recorded(self, model):
        test = recording().split("test")
        sample = sample_like(model, test)
        assert sample.trials["target"].tolist() == test.trials["target"].tolist()
        twice = sample_like(model, test, 2 * test.n_trials)
        assert twice.trials["target"].tolist() == 2 * test.trials["target"].tolist()
        bare = dataclasses.replace(test, signals={})
        with pytest.warns(SpikeloomWarning, match="no velocity"):
            sample = sample_like(model, bare)
        assert sample.trials["target"].tolist() == test.trials["target"].tolist()
        assert (sample.signals["velocity"].values[:, 0, 1] % 3 == test.trials["target"]).all()

    def test_a_saved_model_has_its_labels(self, model, tmp_path):
        model.save(tmp_path)
        loaded = load_model(tmp_path)
        a, b = model.sample(20, seed=4), loaded.sample(20, seed=4)
        np.testing.assert_array_equal(a.counts, b.counts)
        pd.testing.assert_frame_equal(a.trials, b.trials)

    def test_what_it_cannot_do(self, model):
        with pytest.raises(ConfigError, match="no option 'steps' in sampling; it has mean_only, observation"):
            model.sample(2, steps=3)
        with pytest.raises(ConfigError, match="cannot continue a context"):
            model.sample(2, context=recording())
        with pytest.raises(ConfigError, match="has no codes"):
            model.sample(2, codes=np.zeros((2, 2)))
        with pytest.raises(DataError, match="has learned 0, 1, 2 only"):
            model.sample(2, condition={"target": 7})
        for wrong in ({"length": 0}, {"lengths": np.array([3, 0])}, {"lengths": np.array([3])}):
            with pytest.raises(DataError, match="at least one bin"):
                model.sample(2, **wrong)


class TestEdges:
    @pytest.mark.parametrize("names", [(), ("target",), ("speed", "velocity")])
    @pytest.mark.parametrize("neurons", [1, 2, 3])
    def test_few_neurons(self, neurons, names):
        data = recording(n_neurons=neurons)
        model = PiVAE.make(data, labelled_by(*names, latents=4)).fit(data)
        assert model.encode(data).shape == (30, BINS, min(neurons, 4))
        sample = model.sample(3, length=5)
        assert sample.counts.shape == (3, 5, neurons)
        assert np.isfinite(sample.rates).all()

    def test_a_silent_neuron(self):
        data = recording()
        counts = data.counts.copy()
        counts[..., 2] = 0
        model = PiVAE.make(data, labelled_by("target"))
        model = PiVAE.make(dataclasses.replace(data, counts=counts), labelled_by("target"))
        model.fit(dataclasses.replace(data, counts=counts))
        sample = model.sample(20)
        assert np.isfinite(sample.rates).all()
        assert sample.counts[..., 2].sum() <= 1

    def test_one_trial(self):
        data = recording()
        one = dataclasses.replace(data, splits={"train": np.array([0]), "val": np.array([1]), "test": np.array([2])})
        model = PiVAE.make(one, labelled_by("speed", "velocity")).fit(one)
        sample = model.sample(3, condition={"speed": 9.9})
        assert (sample.signals["velocity"].values[:, : sample.lengths[0], 1] == 0).all()
        assert len(model.rates(one.select(trials=[5]))) == 1

    def test_trials_of_unknown_labels_are_learned_from(self):
        data = recording()
        trials = data.trials.astype(float)
        trials.loc[data.splits["train"][::2], "target"] = np.nan
        lacking = dataclasses.replace(data, trials=trials)
        with pytest.warns(SpikeloomWarning, match="no value in"):
            model = PiVAE.make(lacking, labelled_by("target")).fit(lacking)
        assert model.network.prior.network.weight.shape[1] == 4
        sample = model.sample(100)
        assert 0.2 < sample.trials["target"].isna().mean() < 0.8
        assert set(sample.trials["target"].dropna()) == {0, 1, 2}

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"latents": 0}, "latents is 0, but must be at least 1"),
            ({"decoder_blocks": -1}, "decoder_blocks is -1"),
            ({"posterior_samples": -1}, "posterior_samples is -1"),
            ({"ramp_steps": -1}, "ramp_steps is -1"),
            ({"decoder_units": 0}, "decoder_units is 0"),
            ({"log_variance_limit": 0.0}, "log_variance_limit is 0"),
            ({"observation": "gaussian"}, "observation is 'gaussian'"),
        ],
    )
    def test_configurations_that_make_no_sense(self, changes, said):
        with pytest.raises(ConfigError, match=said):
            dataclasses.replace(SMALL, **changes)

    def test_the_published_preset(self):
        config = preset_config("pivae-paper")
        per_epoch = -(-2008 * 140 // 4096)
        assert config.training.steps == 500 * per_epoch
        assert config.training.warmup_steps == 25 * per_epoch
        assert config.training.batch_size == 4096 // 140
        assert config.ramp(1) == 1
        network = PiVAE.make(
            dataclasses.replace(
                recording(n_neurons=182),
                trials=pd.DataFrame({"reach_angle_deg": np.linspace(0, 350, 30)}),
            ),
            config,
        ).network
        assert [m.out_features for m in network.decoder.filling if hasattr(m, "out_features")] == [45, 45, 178]
        assert [m.out_features for m in network.to_mean if hasattr(m, "out_features")] == [60, 60, 4]
        assert [m.out_features for m in network.prior.network if hasattr(m, "out_features")] == [32, 32, 8]
        assert len(network.decoder.flow.couplings) == 4


TRAINED = StageConfig(steps=300, batch_size=32, learning_rate=5e-3, validate_every=100, weight_decay=0.0)
RECOVERY = {"latents": 3, "ramp_steps": 100, "encoder_units": 20, "posterior_samples": 16, "training": TRAINED}
ANGLES = np.arange(0, 360, 45)


def true_rates(angle_deg):
    """(angle, neuron) rates without what fluctuates."""
    preferred = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    return np.exp(-1.6 + 1.3 * np.cos(np.deg2rad(np.asarray(angle_deg, float))[:, None] - preferred))


def tuned(angle_deg, words=False) -> SpikeData:
    """Neurons tuned to an angle, and to a fluctuation of every bin that no label explains."""
    rng = np.random.default_rng(0)
    shared = 0.3 * rng.normal(size=(len(angle_deg), BINS, 1)) * np.where(np.arange(16) % 2, 1.0, -1.0)
    rates = true_rates(angle_deg)[:, None] * np.exp(shared - 0.045)
    label = [f"to {round(a)}" for a in angle_deg] if words else angle_deg
    data = SpikeData(rng.poisson(rates), bin_s=0.05, trials=pd.DataFrame({"angle": label}), rates=rates)
    return with_default_splits(data)


@pytest.mark.slow
class TestRecovery:
    @pytest.fixture(scope="class")
    def discrete(self):
        data = tuned(np.resize(ANGLES, 160), words=True)
        return data, PiVAE.make(data, labelled_by("angle", **RECOVERY)).fit(data)

    @pytest.fixture(scope="class")
    def continuous(self):
        """Angles all around but for a gap of 40 degrees."""
        angles = np.random.default_rng(5).uniform(110, 430, 160) % 360
        data = tuned(angles)
        return data, PiVAE.make(data, labelled_by("angle:deg", **RECOVERY)).fit(data)

    def followed(self, model, requested, angles) -> float:
        """Correlation of sampled with true tuning, without the mean over the angles."""
        sample = model.sample(40 * len(angles), length=BINS, condition={"angle": np.repeat(requested, 40)})
        found = sample.counts.reshape(len(angles), -1, 16).mean(1)
        true = true_rates(angles)
        return correlation(found - found.mean(0), true - true.mean(0))

    def test_a_label(self, discrete):
        assert self.followed(discrete[1], [f"to {a}" for a in ANGLES], ANGLES) > 0.95

    def test_angles_that_were_never_recorded(self, continuous):
        angles = np.arange(10, 360, 20)
        assert self.followed(continuous[1], angles, angles) > 0.95
        gap = np.array([75.0, 90.0, 105.0])
        sample = continuous[1].sample(120, length=BINS, condition={"angle": np.repeat(gap, 40)})
        assert correlation(sample.rates.reshape(3, -1, 16).mean(1), true_rates(gap)) > 0.9

    def test_unconditional_samples_have_the_mean_and_the_spread_between_trials(self, continuous):
        data, model = continuous
        sample, train = model.sample(300), data.split("train")
        np.testing.assert_allclose(sample.counts.mean((0, 1)), train.counts.mean((0, 1)), rtol=0.15)
        a, b = (np.cov(d.counts.sum(1).T) for d in (sample, train))
        assert correlation(a, b) > 0.9
        assert np.trace(a) / np.trace(b) == pytest.approx(1, abs=0.25)

    @pytest.mark.parametrize("kind", ["discrete", "continuous"])
    def test_rates_are_inferred_best_with_labels_and_better_with_all_labels_than_with_none(self, kind, request):
        data, model = request.getfixturevalue(kind)
        test = data.split("test")

        def missed(rates) -> float:
            return float(np.square(rates.reshape(-1, 16) - test.rates.reshape(-1, 16)).mean())

        with torch.no_grad():
            alone = model.network.decode(model.network.encode(counts_of_bins(Batch.of(test))).mean).numpy()
        mean = test.rates.mean((0, 1)) * np.ones_like(alone)
        errors = [missed(rates) for rates in (model.posterior(test)[1], model.rates(test), alone, mean)]
        assert errors[0] < 0.8 * errors[1]
        assert errors[1] < 0.85 * errors[2]
        assert errors[1] < 0.7 * errors[3]

    def test_labels_are_inferred(self, discrete):
        data, model = discrete
        test = data.split("test")
        probabilities = model.infer_labels(test, "angle")
        assert probabilities.shape == (test.n_trials, 8)
        np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)
        labels = np.array(model.data_spec.variables[0].labels)
        assert (labels[probabilities.argmax(1)] == test.trials["angle"]).mean() > 0.75
        two = model.infer_labels(test, "angle", ["to 0", "to 180"])
        assert two.shape == (test.n_trials, 2)
        towards = test.trials["angle"].isin(["to 0", "to 45", "to 315"])
        assert (two[towards, 0] > 0.5).all()
        np.testing.assert_array_equal(model.infer_labels(test, "angle"), probabilities)

    def test_angles_are_inferred(self, continuous):
        data, model = continuous
        test = data.split("test")
        grid = np.arange(0, 360, 15)
        probabilities = model.infer_labels(test, "angle", grid)
        away = (grid[probabilities.argmax(1)] - test.trials["angle"] + 180) % 360 - 180
        assert np.median(np.abs(away)) < 15


class TestLabelInference:
    def test_it_is_the_likelihood_of_every_bin_averaged_over_latents(self):
        data = recording()
        model = shaken(PiVAE.make(data, labelled_by("target", "velocity")).fit(data))
        probabilities = model.infer_labels(data.select(trials=[4]), "target", [0, 2], samples=3000)
        trial = 4
        n = int(data.lengths[trial])
        logs = []
        for target in (0, 2):
            changed = dataclasses.replace(data, trials=data.trials.assign(target=target))
            batch = model.labelled_batch(changed)[trial : trial + 1]
            with torch.no_grad():
                prior = model.network.prior(model.network.label_features(batch.condition, BINS, 1)[0, :n])
                spread = (prior.log_variance / 2).exp()
                z = prior.mean + spread * torch.randn((3000, *prior.mean.shape), generator=noise(9))
                rates = model.network.decode(z).double()
                poisson = torch.distributions.Poisson(rates)
                likelihood = poisson.log_prob(torch.tensor(data.counts[trial, :n]).double()).sum(2).exp().mean(0)
            logs.append(float(likelihood.log().sum()))
        expected = 1 / (1 + math.exp(logs[1] - logs[0]))
        assert probabilities[0, 0] == pytest.approx(expected, abs=0.05)

    def test_a_signal_has_a_value_in_every_bin(self):
        data = recording()
        model = shaken(PiVAE.make(data, labelled_by("target", "velocity")).fit(data))
        candidates = [(0.0, 0.0), (9.0, 0.0), (0.0, 20.0)]
        found = model.infer_labels(data, "velocity", candidates, samples=8)
        assert found.shape == (30, BINS, 3)
        np.testing.assert_allclose(found.sum(2)[data.valid], 1, rtol=1e-5)
        assert (found[~data.valid] == 0).all()
        trials = found[data.valid].reshape(-1, 3)
        assert trials.std(0).min() > 1e-3

    def test_what_cannot_be_inferred(self):
        data = recording()
        model = PiVAE.make(data, labelled_by("speed")).fit(data)
        with pytest.raises(DataError, match=r"no.* label 'target' \(labels: speed\)"):
            model.infer_labels(data, "target")
        with pytest.raises(DataError, match="no candidate values of 'speed'"):
            model.infer_labels(data, "speed")


class TestCommands:
    def test_samples_at_the_mean(self, tmp_path, refused, run):
        """Through the program: fitted with labels, drawn at the mean latents of one, and refused elsewhere."""
        save(recording(), tmp_path / "r.npz")
        fitted, drawn = str(tmp_path / "fitted"), tmp_path / "drawn.npz"
        words = ["--model", "pivae", "--condition_on", "target", "--max_steps", "2", "--device", "cpu"]
        assert main(["fit", str(tmp_path / "r.npz"), "--out", fitted, *words, *tiny_of("pivae")]) == 0
        requested = ["--condition", "target=2", "--mean_only", "--rates", "-n", "3", "--length", "6"]
        assert main(["sample", fitted, "--out", str(drawn), *requested]) == 0
        sample = load(drawn)
        assert sample.provenance["mean_only"] is True
        assert sample.trials["target"].tolist() == [2, 2, 2]
        np.testing.assert_allclose(sample.rates, sample.rates[:1, :1].repeat(3, 0).repeat(6, 1), rtol=1e-4)
        line = refused("sample", run, "--out", tmp_path / "no.npz", "-n", "2", "--mean_only")
        assert "no option 'mean_only'" in line
