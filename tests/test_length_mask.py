"""Trials of different lengths in the prior: marked in the middle of a window, or hidden padding; with conditions."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeloom.conditioning.features import Condition, ConditionSizes
from spikeloom.data.spikedata import Signal, SpikeData
from spikeloom.models.autoencoder import AutoencoderConfig
from spikeloom.models.ldns import LDNS, LDNSConfig
from spikeloom.priors.diffusion import DiffusionConfig, DiffusionPrior
from spikeloom.priors.windows import centre_mask, centred, held, uncentred
from spikeloom.training.batch import Batch
from spikeloom.training.stages import StageConfig

TINY = DiffusionConfig(channels=8, blocks=1, state=4, sampling_steps=3)
PUBLISHED = dataclasses.replace(
    TINY, kernel="s4", norm="over_time", patch=1, prediction="noise", training_noise="step", huber=0.04, sampler="ddpm"
)
SIZES = ConditionSizes((2, 1), (3,))
TRIALS = st.lists(st.integers(1, 12), min_size=1, max_size=5)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def prior_of(config: DiffusionConfig, longest: int, sizes: ConditionSizes | None = None) -> DiffusionPrior:
    """A prior prepared for trials as long as ``longest`` whose blocks are not the identity, as they are when new."""
    torch.manual_seed(0)
    prior = DiffusionPrior(2, config, sizes).eval()
    lengths = torch.full((4,), longest)
    prior.prepare(torch.randn(4, longest, 2), lengths)
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return prior


def condition(n: int, n_bins: int, dropped: bool = False) -> Condition:
    static_known = torch.rand(n, 2) < 0.5 if dropped else torch.ones(n, 2, dtype=torch.bool)
    aligned_known = torch.ones(n, 1, dtype=torch.bool)
    return Condition(SIZES, torch.randn(n, 3), torch.randn(n, n_bins, 3), static_known, aligned_known)


class TestWindows:
    @settings(max_examples=30, deadline=None)
    @given(TRIALS, st.integers(0, 9), st.integers(0, 5))
    def test_trials_lie_in_the_middle_and_repeat_their_edges(self, lengths, wider, padding):
        longest, window = max(lengths), max(lengths) + wider
        values = torch.randn(len(lengths), longest + padding, 2)
        placed = centred(values, torch.tensor(lengths), window)
        mask = centre_mask(torch.tensor(lengths), window)
        assert placed.shape == (len(lengths), window, 2)
        for row, out, marked, length in zip(values, placed, mask[..., 0], lengths, strict=True):
            first = (window - length) // 2
            assert marked.nonzero().flatten().tolist() == list(range(first, first + length))
            assert torch.equal(out[first : first + length], row[:length])
            assert (out[:first] == row[0]).all()
            assert (out[first + length :] == row[length - 1]).all()
        back = uncentred(placed, torch.tensor(lengths), longest)
        for row, out, length in zip(values, back, lengths, strict=True):
            assert torch.equal(out[:length], row[:length])

    def test_512_bins_as_published(self):
        mask = centre_mask(torch.tensor([512, 100, 101, 1]), 512)[..., 0].int()
        assert mask.argmax(1).tolist() == [0, 206, 205, 255]
        assert mask.sum(1).tolist() == [512, 100, 101, 1]

    @settings(max_examples=30, deadline=None)
    @given(TRIALS, st.integers(0, 9))
    def test_held_values_last_to_the_end(self, lengths, wider):
        values = torch.randn(len(lengths), max(lengths), 2)
        out = held(values, torch.tensor(lengths), max(lengths) + wider)
        for row, result, length in zip(values, out, lengths, strict=True):
            assert torch.equal(result[:length], row[:length])
            assert (result[length:] == row[length - 1]).all()


@pytest.mark.parametrize("conditional", [False, True], ids=["free", "conditional"])
@pytest.mark.parametrize("length_mask", [False, True], ids=["hidden", "length-mask"])
@pytest.mark.parametrize("base", [TINY, PUBLISHED], ids=["ours", "published"])
class TestPadding:
    def config(self, base, length_mask, conditional):
        dropout = 0.4 if conditional and base is TINY else 0.0
        return dataclasses.replace(base, length_mask=length_mask, condition_dropout=dropout)

    @settings(max_examples=10, deadline=None)
    @given(lengths=TRIALS, seed=st.integers(0, 1000), garbage=st.sampled_from([-1e6, -3.0, 7.0, 1e6]))
    def test_it_changes_no_loss(self, base, length_mask, conditional, lengths, seed, garbage):
        """Whatever stands in padded bins of latents and of time-aligned conditions."""
        prior = prior_of(self.config(base, length_mask, conditional), 12, SIZES if conditional else None)
        torch.manual_seed(seed)
        sequence, features = torch.randn(len(lengths), 13, 2), condition(len(lengths), 13)
        batch = Batch(torch.tensor(lengths), True, latents=sequence, condition=features if conditional else None)
        padding = ~batch.mask
        spoilt = dataclasses.replace(features, aligned=features.aligned.masked_fill(padding, garbage))
        other = dataclasses.replace(
            batch, latents=sequence.masked_fill(padding, garbage), condition=spoilt if conditional else None
        )
        with torch.no_grad():
            assert prior.loss(batch, generator(seed)) == prior.loss(other, generator(seed))

    def test_samples_have_the_requested_lengths(self, base, length_mask, conditional):
        """Longer ones than any training trial among them, which leave the others as they are."""
        prior = prior_of(self.config(base, length_mask, conditional), 12, SIZES if conditional else None)
        lengths = torch.tensor([12, 40, 3, 1, 40, 29])
        features = condition(6, 40) if conditional else None
        with torch.no_grad():
            sample = prior.sample(lengths, generator(), features)
        assert sample.shape == (6, 40, 2)
        assert torch.isfinite(sample).all()
        for values, length in zip(sample, lengths, strict=True):
            assert (values[:length] != 0).all()
            assert (values[length:] == 0).all()


@pytest.mark.parametrize("base", [TINY, PUBLISHED], ids=["ours", "published"])
def test_no_trial_is_drawn_in_a_wider_window_than_it_needs(base, monkeypatch):
    """The network learned windows of one width: a long trial requested beside short ones does not change theirs."""
    prior = prior_of(dataclasses.replace(base, length_mask=True), 12)
    widths = []
    denoise = prior.denoise

    def spy(x, step, lengths=None, features=None, context=None):
        widths.append((x.shape[1], tuple(features.aligned[..., -1].sum(1).int().tolist())))
        return denoise(x, step, lengths, features, context)

    monkeypatch.setattr(prior, "denoise", spy)
    with torch.no_grad():
        prior.sample(torch.tensor([5, 40, 12, 20]), generator())
    assert set(widths) == {(12, (5, 12)), (20, (20,)), (40, (40,))}


def test_the_loss_counts_the_bins_of_trials_only():
    """A network that predicts zero has the loss of the noise in the marked bins."""
    prior = prior_of(dataclasses.replace(PUBLISHED, length_mask=True, huber=None), 12)
    prior.network.forward = lambda x, step, mask=None, static=None, aligned=None: x * 0 + 1e3 * (1 - aligned)
    lengths = torch.tensor([3, 12, 5, 8])
    with torch.no_grad():
        loss = float(prior.loss(Batch(lengths, True, latents=torch.randn(4, 12, 2)), generator()))
    draws = generator()
    torch.randint(1000, (4,), generator=draws)
    eps = torch.randn(4, 12, 2, generator=draws)
    assert loss == pytest.approx(float(eps[centre_mask(lengths, 12)[..., 0]].square().mean()), rel=1e-5)


def test_the_network_receives_the_position_of_a_trial_and_its_condition_there():
    """Condition and mask are moved to the middle with the trial."""
    prior = prior_of(dataclasses.replace(PUBLISHED, length_mask=True, condition_dropout=0.0), 12, SIZES)
    lengths, features = torch.tensor([4, 12]), condition(2, 12)
    static, aligned = prior._features(features, lengths, 12)
    assert torch.equal(static, features.static)
    assert torch.equal(aligned[0, 4:8, :3], features.aligned[0, :4])
    assert torch.equal(aligned[1, :, :3], features.aligned[1])
    assert aligned[0, :, 3].tolist() == [0] * 4 + [1] * 4 + [0] * 4


@pytest.mark.filterwarnings("ignore:the power of the sampled latents")
@pytest.mark.parametrize("base", [TINY, PUBLISHED], ids=["ours", "published"])
def test_a_model_with_length_mask_and_conditions(base):
    """From ragged trials with an angle and a velocity to samples conditioned on both, at lengths of their own."""
    rng = np.random.default_rng(0)
    data = SpikeData(
        rng.poisson(0.5, (24, 20, 5)),
        bin_s=0.02,
        lengths=rng.integers(9, 21, 24),
        trials=pd.DataFrame({"reach_angle": rng.uniform(-np.pi, np.pi, 24)}),
        signals={"hand_vel": Signal(rng.normal(size=(24, 20, 2)), "m/s", ("x", "y"))},
    )
    few = StageConfig(steps=2, batch_size=8, validate_every=1)
    model = LDNS.make(
        data,
        LDNSConfig(
            AutoencoderConfig(latents=3, channels=12, encoder_blocks=1, state=4),
            dataclasses.replace(base, length_mask=True),
            few,
            few,
            condition_on=("reach_angle", "hand_vel"),
        ),
    ).fit(data)
    lengths = np.array([7, 20, 33])
    requested = {"reach_angle": [0.1, 2.0, -1.0], "hand_vel": [rng.normal(size=(n, 2)) for n in lengths]}
    sample = model.sample(3, condition=requested)
    np.testing.assert_array_equal(sample.lengths, lengths)
    other = model.sample(3, condition=requested | {"reach_angle": [1.1, 3.0, 0.0]})
    assert not np.array_equal(sample.rates, other.rates)
