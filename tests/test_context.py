"""Trials that continue or complete a context: observed counts stay, unobserved ones do not matter."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from spikeloom.data.spikedata import SpikeData
from spikeloom.data.splits import with_default_splits
from spikeloom.errors import ConfigError, DataError
from spikeloom.models.autoencoder import AutoencoderConfig
from spikeloom.models.context import runs
from spikeloom.models.eag import EAG, EAGConfig
from spikeloom.models.gaussian import GaussianConfig, GaussianLatents
from spikeloom.models.ldns import LDNS, LDNSConfig
from spikeloom.observation.history import HistoryConfig, SpikeHistory
from spikeloom.observation.poisson import ObservedCounts
from spikeloom.observation.softplus import SoftplusHistory
from spikeloom.priors.diffusion import DiffusionConfig
from spikeloom.priors.energy import EnergyConfig
from spikeloom.training.stages import StageConfig

AUTOENCODER = AutoencoderConfig(latents=2, channels=16, encoder_blocks=1, state=4)
PRIOR = EnergyConfig(
    width=32,
    layers=2,
    heads=2,
    n_register_tokens=2,
    head_width=32,
    head_blocks=1,
    noise_dim=8,
    samples=4,
    sampling_steps=6,
)
DIFFUSION = DiffusionConfig(channels=32, blocks=2, state=8, sampling_steps=8, context=0.6)
N_BINS = 40


def waves(n: int = 240, seed: int = 0) -> SpikeData:
    """Slow sine waves of random phase, each half of the neurons in one quadrature: half a trial determines the rest."""
    rng = np.random.default_rng(seed)
    phase = rng.uniform(0, 2 * np.pi, (n, 1)) + 2 * np.pi * np.arange(N_BINS) / 25
    drive = np.stack([np.sin(phase), np.cos(phase)] * 8, axis=2)
    rates = np.exp(1.2 * drive)
    return with_default_splits(SpikeData(rng.poisson(rates), bin_s=0.02, rates=rates.astype(np.float32)))


@pytest.fixture(scope="module")
def data() -> SpikeData:
    return waves()


@pytest.fixture(scope="module", params=["eag", "ldns"])
def model(data, request) -> EAG | LDNS:
    training = (
        StageConfig(steps=200, batch_size=32, learning_rate=5e-3),
        StageConfig(steps=300, batch_size=32, learning_rate=5e-3, ema_decay=0.98),
    )
    if request.param == "eag":
        return EAG.make(data, EAGConfig(AUTOENCODER, PRIOR, *training)).fit(data)
    return LDNS.make(data, LDNSConfig(AUTOENCODER, DIFFUSION, *training)).fit(data)


def missed(drawn: SpikeData, truth: SpikeData, bins: slice) -> float:
    """Mean squared error of log rates where they had to be guessed."""
    assert drawn.rates is not None
    assert truth.rates is not None
    return float(np.square(np.log(drawn.rates[:, bins]) - np.log(truth.rates[:, bins])).mean())


@pytest.mark.slow
def test_trials_are_continued_as_they_began(model, data):
    test = data.split("test")
    observed = np.arange(N_BINS) < 23  # ends within a token
    drawn = model.sample(test.n_trials, context=test, observed=observed, seed=1)
    np.testing.assert_array_equal(drawn.counts[:, :23], test.counts[:, :23])
    free = model.sample(test.n_trials, length=N_BINS, seed=1)
    assert missed(drawn, test, slice(23, 33)) < 0.35 * missed(free, test, slice(23, 33))
    assert drawn.provenance["observed_bins"] == 23 * test.n_trials


def test_gaps_are_filled_in(model, data):
    test = data.split("test")
    observed = (np.arange(N_BINS) < 14) | (np.arange(N_BINS) >= 25)
    drawn = model.sample(test.n_trials, context=test, observed=observed, seed=1)
    np.testing.assert_array_equal(drawn.counts[:, observed], test.counts[:, observed])
    free = model.sample(test.n_trials, length=N_BINS, seed=1)
    assert missed(drawn, test, slice(14, 25)) < 0.25 * missed(free, test, slice(14, 25))


def test_there_are_as_many_trials_as_in_the_context(model, data):
    drawn = model.sample(context=data[:5], seed=3)
    np.testing.assert_array_equal(drawn.counts, model.sample(5, context=data[:5], seed=3).counts)
    assert model.sample(2, context=data[:1]).n_trials == 2


def test_unobserved_bins_do_not_matter(model, data):
    test = data.split("test").select(range(4))
    observed = np.random.default_rng(0).random((4, N_BINS)) < 0.4
    garbage = np.where(observed[..., None], test.counts, 50)
    first, other = (
        model.sample(4, context=context, observed=observed, seed=2)
        for context in (test, replace(test, counts=garbage, rates=None))
    )
    np.testing.assert_array_equal(first.counts, other.counts)
    np.testing.assert_array_equal(first.rates, other.rates)


def test_one_trial_is_continued_in_many_ways_and_beyond_any_training_trial(model, data):
    begun = data.split("test").window(10).select(range(1))
    drawn = model.sample(5, context=begun, length=3 * N_BINS)
    assert drawn.counts.shape[:2] == (5, 3 * N_BINS)
    assert all((trial[:10] == begun.counts[0]).all() for trial in drawn.counts)
    assert len({trial[10:].tobytes() for trial in drawn.counts}) == 5
    drawn = model.sample(3, context=begun)
    assert (drawn.lengths >= 10).all()


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"observed": np.ones(7, bool)}, DataError, "40 bins of the context"),
        ({"observed": np.zeros(N_BINS, bool)}, DataError, "no bin of the context is observed"),
        ({"length": 12}, DataError, "12 bins, but 40 of its context are observed"),
        ({"steps": 0}, ConfigError, "0 sampling steps|0 passes"),
    ],
)
def test_a_context_that_does_not_fit_is_refused(model, data, options, error, words):
    test = data.split("test").select(range(3))
    with pytest.raises(error, match=words):
        model.sample(3, context=test, **options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sampler": "ddim"}, "no option 'sampler'.*steps"),
        ({"reveal_order": "left"}, "reveal_order"),
        ({"temperature": -1.0}, "temperature"),
    ],
)
@pytest.mark.parametrize("model", ["eag"], indirect=True)
def test_an_option_of_another_model_or_value_is_refused(model, data, options, words):
    with pytest.raises(ConfigError, match=words):
        model.sample(3, context=data.split("test").select(range(3)), **options)


def test_a_model_trained_without_a_context_says_what_to_do(data):
    config = LDNSConfig(AUTOENCODER, DiffusionConfig(channels=8, blocks=1, state=4), StageConfig(1), StageConfig(1))
    with pytest.raises(ConfigError, match=r"trained without a context.*prior\.context 0\.6"):
        LDNS.make(data, config).fit(data).sample(3, context=data.split("test").select(range(3)))


def test_another_number_of_trials_is_refused(model, data):
    with pytest.raises(DataError, match="3 context trials for 5 to draw"):
        model.sample(5, context=data.split("test").select(range(3)))


def test_a_prior_that_cannot_fill_in_says_so(data):
    other = GaussianLatents.make(data, GaussianConfig(AUTOENCODER, StageConfig(steps=1)))
    with pytest.raises(ConfigError, match="cannot continue a context"):
        other.sample(3, context=data.split("test").select(range(3)))


@pytest.mark.parametrize("kind", ["history", "published"])
def test_observed_spikes_are_the_past_of_those_that_follow(kind):
    history = SpikeHistory(1, HistoryConfig(), 0.02) if kind == "history" else SoftplusHistory(1)
    history.cap.fill_(3) if isinstance(history.cap, torch.Tensor) else None
    history.filters[0] = -40.0  # a spike silences the next bin
    rates = torch.full((400, 2, 1), 2.0)
    observed = ObservedCounts(torch.ones((400, 2, 1), dtype=torch.int32), torch.tensor([[True, False]]).expand(400, 2))
    counts = history.sample(rates, torch.Generator().manual_seed(0), observed)
    assert (counts[:, 0] == 1).all()
    assert (counts[:, 1] == 0).all()
    silent = replace(observed, counts=torch.zeros_like(observed.counts))
    assert history.sample(rates, torch.Generator().manual_seed(0), silent)[:, 1].float().mean() > 0.5


def test_runs_are_the_unbroken_stretches():
    observed = torch.rand((6, 30), generator=torch.Generator().manual_seed(0)) < 0.6
    trial, first, n = runs(observed)
    rebuilt = torch.zeros_like(observed)
    for i, start, length in zip(trial.tolist(), first.tolist(), n.tolist()):
        assert not rebuilt[i, start : start + length].any()
        rebuilt[i, start : start + length] = True
        assert start == 0 or not observed[i, start - 1]
        assert start + length == 30 or not observed[i, start + length]
    assert torch.equal(rebuilt, observed)


def test_observed_bins_without_a_context_are_refused(model):
    with pytest.raises(DataError, match="no context"):
        model.sample(2, observed=np.ones(7, bool))


def test_a_context_is_no_reason_to_warn_of_the_spectrum(model, data, recwarn):
    model.sample(220, context=data.split("test").select(range(1)), observed=np.arange(N_BINS) < 39)
    assert not [w for w in recwarn if "power of the sampled latents" in str(w.message)]


@pytest.mark.parametrize("model", ["ldns"], indirect=True)
def test_latents_are_a_context_too(model, data):
    test = data.split("test").select(range(4))
    latents = model.encode(test)
    observed = np.arange(N_BINS) < 23
    drawn = model.sample(context=latents, observed=observed, seed=1)
    np.testing.assert_allclose(drawn.latents[:, :23], latents[:, :23], rtol=1e-4, atol=1e-5)
    garbage = np.where(observed[:, None], latents, 7.0)
    np.testing.assert_array_equal(model.sample(context=garbage, observed=observed, seed=1).counts, drawn.counts)
    assert (drawn.counts[:, :23] != test.counts[:, :23]).any()  # counts are drawn from the rates of given latents too
    one = model.sample(3, context=latents[:1, :10], length=2 * N_BINS)
    np.testing.assert_allclose(one.latents[2, :10], latents[0, :10], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("model", ["ldns"], indirect=True)
@pytest.mark.parametrize(
    ("latents", "words"),
    [
        (np.zeros((3, 8, 5)), "5 latents, but the model has 2"),
        (np.zeros((3, 8)), r"array of shape \(3, 8\)"),
        (np.full((3, 8, 2), np.nan), "not finite"),
        ("begun.npz", "begun.npz"),
    ],
)
def test_latents_that_do_not_fit_are_refused(model, latents, words):
    with pytest.raises((DataError, TypeError), match=words):
        model.sample(3, context=latents)


def test_draws_differ_by_what_the_encoder_cannot_know(model, data):
    """With context_dropout, latents of the context scatter about those of all counts, and without they are these."""
    begun = data.split("test").select(range(1)).window(23)[:1]
    everything = model.encode(begun)[0]
    draws = model.sample(200, context=begun, length=N_BINS).latents[:, :23]
    np.testing.assert_allclose(draws, np.broadcast_to(everything, draws.shape), rtol=1e-4, atol=1e-4)
    config = model.config
    try:
        model.config = replace(config, context_dropout=0.5)
        draws = model.sample(200, context=begun, length=N_BINS).latents[:, :23]
        assert (draws.std(0) > 0.02 * everything.std()).all()
        other = replace(begun, counts=np.pad(begun.counts, ((0, 0), (0, 4), (0, 0)), constant_values=9), rates=None)
        spoilt = replace(other, lengths=np.array([27]), trials=None)
        observed = np.arange(27) < 23
        first, again = (
            model.sample(9, context=c, observed=observed, length=N_BINS, seed=4)
            for c in (spoilt, replace(spoilt, counts=spoilt.counts * (np.arange(27) < 23)[:, None]))
        )
        np.testing.assert_array_equal(first.counts, again.counts)
    finally:
        model.config = config
