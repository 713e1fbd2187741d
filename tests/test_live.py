"""The causal generator: streams are samples, nothing looks ahead, free runs stay where recordings are."""

import importlib.util
import json
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from spikeloom.conditioning.features import ConditionSizes
from spikeloom.data.signal import Signal
from spikeloom.data.spikedata import SpikeData
from spikeloom.data.splits import with_default_splits
from spikeloom.errors import ConfigError, DataError, NotFittedError
from spikeloom.models.live import Live
from spikeloom.models.population import PointwiseDecoder
from spikeloom.observation.calibrated import CalibratedHistory
from spikeloom.observation.history import HistoryConfig, SpikeHistory
from spikeloom.observation.poisson import Poisson
from spikeloom.observation.softplus import SoftplusHistory
from spikeloom.observation.steps import CountDistribution, Drawer
from spikeloom.priors.causal import CausalConfig, CausalPrior
from spikeloom.priors.causal_base import lagged, recent, taps
from spikeloom.training.batch import Batch
from spikeloom.training.engine import Engine

TINY = {
    "autoencoder": {"latents": 3, "channels": 12, "encoder_blocks": 1, "state": 4},
    "prior": {"units": 12, "components": 2, "width": 12, "crop": 16},
    "max_steps": 4,
}


def recording(n_trials: int = 24, n_bins: int = 24, ragged: bool = False) -> SpikeData:
    """Neurons that follow a velocity, half of them with a gain by target."""
    rng = np.random.default_rng(0)
    velocity = np.cumsum(rng.normal(size=(n_trials, n_bins, 2)), axis=1) / 3
    target = np.resize(["left", "right"], n_trials)
    drive = velocity @ rng.normal(size=(2, 6)) / 3 - 0.5 + 0.5 * (target == "left")[:, None, None]
    return with_default_splits(
        SpikeData(
            rng.poisson(np.exp(np.clip(drive, -3, 1.5))),
            bin_s=0.05,
            lengths=rng.integers(14, n_bins + 1, n_trials) if ragged else None,
            trials=pd.DataFrame({"target": target}),
            signals={"hand_vel": Signal(velocity, "m/s", ("x", "y"))},
        )
    )


@pytest.fixture(scope="module")
def plain():
    return Live(**TINY).fit(recording())


@pytest.fixture(scope="module")
def conditioned():
    return Live(**TINY, condition_on=("target", "hand_vel")).fit(recording(ragged=True))


# -- a stream is a sample --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 3])
def test_a_stream_is_the_sample_of_its_seed(plain, n):
    sample = plain.sample(n, length=40, seed=5)
    stream = plain.stream(seed=5, n=n)
    for t in range(40):
        counts = stream.step()
        assert counts.shape == ((6,) if n == 1 else (n, 6))
        np.testing.assert_array_equal(np.reshape(counts, (n, 6)), sample.counts[:, t])
        np.testing.assert_array_equal(np.reshape(stream.rates, (n, 6)), sample.rates[:, t])
        np.testing.assert_array_equal(np.reshape(stream.latents, (n, 3)), sample.latents[:, t])
    assert stream.bins == 40
    other = plain.stream(seed=6, n=n)
    assert any((other.step() != sample.counts[:, t]).any() for t in range(40))


def test_so_it_is_for_behaviour(conditioned):
    data = recording()[:2]
    velocity = data.signals["hand_vel"].values
    sample = conditioned.sample(2, condition={"target": ["left", "right"], "hand_vel": velocity}, seed=1)
    stream = conditioned.stream(seed=1, n=2, condition={"target": ["left", "right"]})
    drawn = np.stack([stream.step({"hand_vel": velocity[:, t]}) for t in range(24)], axis=1)
    np.testing.assert_array_equal(drawn, sample.counts)


@pytest.mark.parametrize("observation", ["history", "calibrated", "published_history", "poisson"])
def test_and_with_every_observation(observation):
    data = recording(n_bins=30)
    model = Live(**TINY, observation=observation).fit(data)
    sample, stream = model.sample(2, length=25, seed=2), model.stream(seed=2, n=2)
    np.testing.assert_array_equal(np.stack([stream.step() for _ in range(25)], axis=1), sample.counts)
    as_poisson = model.stream(seed=2, n=2, observation="poisson")
    np.testing.assert_array_equal(as_poisson.step().shape, (2, 6))
    if importlib.util.find_spec("numba"):
        compiled = model.stream(seed=2, n=2, compiled=True)
        same = np.stack([compiled.step() for _ in range(25)], axis=1) == sample.counts
        assert same.mean() > 0.99


@pytest.mark.parametrize(("n", "observation"), [(1, None), (3, None), (2, "poisson")])
def test_compiled_streams_draw_the_same(conditioned, n, observation):
    pytest.importorskip("numba")
    from spikeloom.observation.compiled import drawn_counts
    from spikeloom.priors.causal_compiled import gru, innovations

    rng = np.random.default_rng(0)
    velocity = np.cumsum(rng.normal(size=(300, 2)), axis=0) / 6
    how = {"seed": 3, "n": n, "condition": {"target": "left"}, "observation": observation}
    either = [conditioned.stream(**how, compiled=compiled) for compiled in (False, True)]
    kernels = [gru, innovations, drawn_counts]
    same, compiled_for = [], [len(kernel.signatures) for kernel in kernels]
    for t in range(300):
        plain, compiled = (stream.step({"hand_vel": velocity[t] if t % 7 else None}) for stream in either)
        same.append((plain == compiled).mean())
        np.testing.assert_allclose(either[0].latents, either[1].latents, atol=1e-4)
    assert np.mean(same) > 0.999
    assert [len(kernel.signatures) for kernel in kernels] == compiled_for  # all was compiled before the first bin
    assert either[0].guards.drawn == either[1].guards.drawn
    assert either[0].guards.floored == pytest.approx(either[1].guards.floored, abs=2)


@pytest.mark.parametrize(("low", "high"), [(-6, 1), (-3, 6)])
def test_compiled_counts_are_those_of_numpy(low, high):
    """Rates from silence to many spikes a bin, with caps: not one count differs."""
    pytest.importorskip("numba")
    rng = np.random.default_rng(1)
    constants = np.cumsum(np.log(np.maximum(np.arange(9), 1)))[None].repeat(40, 0)
    constants[:5, 4:] = np.inf
    drawers = [Drawer(CountDistribution(constants, False)) for _ in range(2)]
    drawers[1].compile()
    theta, uniform = rng.uniform(low, high, (200, 40)).astype(np.float32), rng.random((200, 40), np.float32)
    plain, compiled = (drawer(theta, uniform) for drawer in drawers)
    assert plain.max() == 8
    assert plain[:, :5].max() == 3
    np.testing.assert_array_equal(plain, compiled)


def test_without_numba_a_compiled_stream_says_what_to_install(plain, monkeypatch):
    monkeypatch.setitem(sys.modules, "spikeloom.priors.causal_compiled", None)
    with pytest.raises(ConfigError, match=r"numba; install it with: pip install 'spikeloom\[live\]'"):
        plain.stream(compiled=True)


def test_a_state_can_be_kept_and_gone_back_to(conditioned):
    stream = conditioned.stream(seed=0, n=2, condition={"target": "left"})
    for _ in range(7):
        stream.step({"hand_vel": [0.1, 0.2]})
    kept = stream.state()
    coming = [stream.step({"hand_vel": [0.3, 0.0]}) for _ in range(6)]
    for again in (stream, conditioned.stream(seed=9, n=2)):
        again.restore(kept)
        assert again.bins == 7
        np.testing.assert_array_equal([again.step({"hand_vel": [0.3, 0.0]}) for _ in range(6)], coming)
    with pytest.raises(DataError, match="of 2 streams, but there are 3"):
        conditioned.stream(n=3).restore(kept)


def test_streams_are_independent_of_each_other(conditioned):
    """What one is told does not reach another."""
    told = conditioned.stream(seed=0, n=2)
    other = conditioned.stream(seed=0, n=2)
    for t in range(20):
        told.step({"hand_vel": [[np.sin(t), 1.0], [0.5, 0.5]]})
        other.step({"hand_vel": [[-np.sin(t), 0.0], [0.5, 0.5]]})
        np.testing.assert_allclose(told.latents[1], other.latents[1], atol=1e-6)
    assert not np.allclose(told.latents[0], other.latents[0])


# -- nothing looks ahead ---------------------------------------------------------------------------------------------


def test_behaviour_to_come_changes_nothing(conditioned):
    velocity = recording()[:1].signals["hand_vel"].values
    later = velocity.copy()
    later[:, 12:] += 5
    one, other = (conditioned.sample(1, condition={"hand_vel": v}, seed=0) for v in (velocity, later))
    np.testing.assert_array_equal(one.counts[:, :12], other.counts[:, :12])
    np.testing.assert_array_equal(one.latents[:, :12], other.latents[:, :12])
    assert (one.latents[:, 12:] != other.latents[:, 12:]).any()


def test_latents_that_foresee_behaviour_are_not_followed_into_the_future():
    """The encoder sees what comes: here the latent *is* the velocity three bins later."""
    rng = np.random.default_rng(0)
    n, time, ahead = 200, 40, 3
    velocity = rng.normal(size=(n, time + ahead, 1)).astype(np.float32)  # white: nothing foretells it
    latents = torch.from_numpy(velocity[:, ahead:]) + 0.3 * torch.from_numpy(rng.normal(size=(n, time, 1))).float()
    from spikeloom.conditioning.features import Condition

    sizes = ConditionSizes(aligned=(1,))
    known = torch.ones(n, 1, dtype=torch.bool)
    condition = Condition(
        sizes, torch.zeros(n, 0), torch.from_numpy(velocity[:, :time]), torch.zeros(n, 0, dtype=torch.bool), known
    )
    prior = CausalPrior(
        1, CausalConfig(units=4, width=4, behaviour_past_s=0.2, condition_dropout=0.0), sizes, bin_s=0.05
    )
    lengths = torch.full((n,), time)
    prior.prepare(latents, lengths)
    prior.set_up(Batch(lengths, False, latents=prior.normalised(latents, lengths), condition=condition))
    assert prior.lost_share > 0.7  # nearly all variance is foreseen
    explained = prior.acausal_map.abs().max(), prior.causal_map.abs().max()
    assert explained[0] > 0.8 > 0.2 > explained[1]
    drawn = prior.sample(lengths, torch.Generator().manual_seed(0), condition)
    later = drawn[:, :-ahead].flatten() @ torch.from_numpy(velocity[:, ahead:time]).flatten() / drawn[:, ahead:].numel()
    assert abs(later) < 0.1  # a free run knows nothing of what comes
    assert drawn.std() == pytest.approx(float(latents.std()), rel=0.2)  # and its variance is not lost


def test_a_step_is_the_network_that_was_trained():
    """With the true past, innovations are those whose likelihood is learned."""
    torch.manual_seed(0)
    latents, lengths = torch.randn(4, 30, 2).cumsum(1), torch.full((4,), 30)
    prior = CausalPrior(2, CausalConfig(units=6, width=6, order=3))
    prior.prepare(latents, lengths)
    z = prior.normalised(latents, lengths)
    prior.set_up(Batch(lengths, False, latents=z))
    prior.eval()
    steps = prior.steps(4, seed=0)
    everyone = np.ones(4, bool)
    features, innovations = prior._taught(*prior._rest(z, None, lengths))
    for t in range(30):
        drawn = steps.step(fixed=(z[:, t].numpy(), everyone))
        np.testing.assert_allclose(drawn, z[:, t], atol=1e-5)
        if t:
            np.testing.assert_allclose(steps._innovation, innovations[:, t - 1], atol=1e-4)
            np.testing.assert_allclose(steps._hidden, features[:, t - 1].detach(), atol=1e-4)


def test_a_step_reads_behaviour_as_it_was_learned():
    """Without a look ahead both predictions from behaviour are one, so steps and training see the same inputs."""
    from spikeloom.conditioning.features import Condition

    torch.manual_seed(0)
    n, time = 5, 25
    sizes = ConditionSizes(static=(1,), aligned=(2, 1))
    velocity = torch.randn(n, time, 3).cumsum(1)
    known = torch.ones(n, 2, dtype=torch.bool)
    condition = Condition(sizes, torch.randn(n, 1), velocity, torch.ones(n, 1, dtype=torch.bool), known)
    latents, lengths = velocity[..., :2] + torch.randn(n, time, 2), torch.full((n,), time)
    prior = CausalPrior(2, CausalConfig(units=6, width=6, behaviour_future_s=0.0), sizes, bin_s=0.05).eval()
    prior.prepare(latents, lengths)
    z = prior.normalised(latents, lengths)
    prior.set_up(Batch(lengths, False, latents=z, condition=condition))
    assert prior.lost_share < 1e-6
    features, innovations = prior._taught(*prior._rest(z, condition, lengths))
    steps, everyone = prior.steps(n, seed=0), np.ones(n, bool)
    for t, now in enumerate(prior.conditions_by_bin(condition, lengths, time)):
        np.testing.assert_allclose(steps.step(*now, fixed=(z[:, t].numpy(), everyone)), z[:, t], atol=1e-4)
        if t:
            np.testing.assert_allclose(steps._innovation, innovations[:, t - 1], atol=1e-3)
            np.testing.assert_allclose(steps._hidden, features[:, t - 1, :6].detach(), atol=1e-3)


# -- free runs -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def walked():
    """A prior of two stationary latents: an oscillation with noise."""
    torch.manual_seed(0)
    turn = 0.95 * torch.tensor([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]]).float()
    z = [torch.randn(60, 2)]
    for _ in range(99):
        z.append(z[-1] @ turn.T + 0.31 * torch.randn(60, 2))
    latents, lengths = torch.stack(z, 1), torch.full((60,), 100)
    prior = CausalPrior(2, CausalConfig(units=8, width=16, components=1))
    prior.prepare(latents, lengths)
    batch = Batch(lengths, False, latents=prior.normalised(latents, lengths))
    prior.set_up(batch)
    optimiser = torch.optim.Adam(prior.parameters(), 0.01)
    generator = torch.Generator().manual_seed(0)
    for _ in range(80):
        optimiser.zero_grad()
        prior.loss(batch, generator).backward()
        optimiser.step()
    return prior.eval(), batch.latents


def test_the_linear_part_finds_the_truth(walked):
    prior, latents = walked
    turn = prior.past[:2].T * prior.std[:, None] ** -1 * prior.std  # back to units in which the truth is a rotation
    history = recent(latents, 4)[:, :-1]
    rest = latents[:, 1:] - torch.cat([history, torch.ones(60, 99, 1)], -1) @ prior.past
    assert (rest @ prior.whitening.T).flatten(0, 1).T.cov().numpy() == pytest.approx(np.eye(2), abs=0.03)
    assert turn.diagonal().mean() == pytest.approx(0.95 * np.cos(0.3), abs=0.1)


def test_long_free_runs_keep_scale_and_time_scale(walked):
    prior, latents = walked
    steps = prior.steps(20, seed=3)
    run = np.stack([steps.step() for _ in range(3000)], axis=1)
    tenths = [part.std() for part in np.split(run, 10, axis=1)]
    assert max(tenths) < 1.15
    assert min(tenths) > 0.85
    lag = [(x[:, :-3] * x[:, 3:]).mean() / (x * x).mean() for x in (run, latents.numpy())]
    assert lag[0] == pytest.approx(lag[1], abs=0.1)
    assert steps.guards.drawn == 20 * 2999


def test_a_kick_is_forgotten_and_counted(walked):
    prior, _ = walked
    steps = prior.steps(50, seed=0)
    for _ in range(5):
        steps.step()
    steps._history = np.full_like(steps._history, 10.0)  # ten standard deviations off
    first = steps.step()
    away = np.linalg.norm((first - prior.centre.numpy()) @ prior.to_ball.numpy().T, axis=1)
    assert away.max() <= float(prior.radius) * 1.001
    assert steps.guards.projected > 0
    later = np.stack([steps.step() for _ in range(128)])[-64:]
    assert later.std() == pytest.approx(1, abs=0.2)
    assert abs(later.mean()) < 0.2


def test_what_is_no_number_does_not_spread(walked):
    steps = walked[0].steps(3, seed=0)
    steps.step()
    steps._history[1] = np.nan
    for _ in range(6):
        drawn = steps.step()
    assert np.isfinite(drawn[[0, 2]]).all()


def test_trials_begin_as_recorded_ones(walked):
    """Two clusters of first bins are two clusters again."""
    torch.manual_seed(1)
    side = torch.sign(torch.randn(400, 1, 1))
    latents, lengths = side * 3 + 0.3 * torch.randn(400, 20, 1), torch.full((400,), 20)
    prior = CausalPrior(1, CausalConfig(units=4, width=4))
    prior.prepare(latents, lengths)
    prior.set_up(Batch(lengths, False, latents=prior.normalised(latents, lengths)))
    first = prior.sample(torch.full((500,), 4), torch.Generator().manual_seed(0))[:, 0, 0]
    assert (first.abs() - 3).abs().mean() < 0.5
    assert 0.35 < (first > 0).float().mean() < 0.65


def test_context_is_continued_and_kept(plain):
    data = recording()
    going_on = plain.sample(context=data[:4], length=40, seed=0)
    np.testing.assert_array_equal(going_on.counts[:, :24], data.counts[:4])
    again = plain.sample(context=data[:4], length=40, seed=0)
    np.testing.assert_array_equal(going_on.counts, again.counts)
    other = plain.sample(context=data[4:8], length=40, seed=0)
    assert (going_on.latents[:, 24] != other.latents[:, 24]).all()


# -- observation models bin by bin -----------------------------------------------------------------------------------


def fitted(kind: str) -> Any:
    torch.manual_seed(0)
    model = (CalibratedHistory if kind == "calibrated" else SpikeHistory)(5, HistoryConfig(), 0.05)
    model.filters.copy_(0.3 * torch.randn(model.filters.shape))
    model.gain.copy_(1 + 0.2 * torch.randn(5))
    model.dispersion.copy_(torch.tensor([0.8, 1.0, 1.3, 1.0, 0.9]))
    model.cap.copy_(torch.tensor([3, 5, 9, 1, 6]))
    if isinstance(model, CalibratedHistory):
        model.count_bias[:, 1:4] = 0.3 * torch.randn(5, 3)
        model.gain_private.copy_(torch.tensor([[0.3], [0.2]]).expand(2, 5))
        model.gain_loadings.copy_(0.1 * torch.randn(model.gain_loadings.shape))
        model.gain_tau.fill_(6.0)
        model.shared.copy_(0.2 * torch.randn(model.shared.shape))
        model.directions[:5] = torch.linalg.qr(torch.randn(5, 5))[0]
        model.mixing[0, 0] = 0.7
    return model


@pytest.mark.parametrize("kind", ["history", "calibrated"])
def test_counts_are_drawn_from_the_same_distribution(kind):
    """The same uniform shares give the same counts."""
    model = fitted(kind)
    theta = torch.randn(400, 5) * 1.5 - 0.5
    uniform = torch.rand(400, 5)
    expected = model._drawer()(theta.clone(), uniform)
    steps = model.steps(400, seed=0)
    np.testing.assert_array_equal(steps._draw(theta.numpy(), uniform.numpy()), expected)
    np.testing.assert_array_equal(steps._draw._exactly(theta.numpy(), uniform.numpy()), expected)


@pytest.mark.parametrize("kind", ["poisson", "softplus", "history", "calibrated"])
def test_counts_have_the_moments_of_whole_trials(kind):
    if kind == "poisson":
        model = Poisson()
    elif kind == "softplus":
        model = SoftplusHistory(5, bins=3)
        model.filters.copy_(torch.tensor([[-0.5], [0.2], [0.1]]).expand(3, 5))
    else:
        model = fitted(kind)
    n, time = 4000, 8
    rates = (0.2 + torch.rand(1, time, 5)).expand(n, -1, -1)
    whole = model.sample(rates, torch.Generator().manual_seed(0)).numpy().astype(float)
    steps = model.steps(n, seed=1)
    stepped = np.stack([steps.step(rates[:, t].numpy()) for t in range(time)], axis=1).astype(float)
    for moment in (
        lambda y: y.mean(0),
        lambda y: y.var(0),
        lambda y: ((y[:, 1:] - y[:, 1:].mean(0)) * (y[:, :-1] - y[:, :-1].mean(0))).mean(0),
        lambda y: np.cov(y.sum(1).T) / 10,
    ):
        np.testing.assert_allclose(moment(stepped), moment(whole), atol=0.08, rtol=0.08)
    assert (steps.step(np.zeros((n, 5), np.float32)) == 0).all()  # silent where the rate is 0


def test_the_decoder_is_the_autoencoder(plain):
    latents = torch.randn(7, 1, 3)
    expected = plain.autoencoder.decode(latents)[:, 0].detach()
    np.testing.assert_allclose(PointwiseDecoder.of(plain.autoencoder).rates(latents[:, 0].numpy()), expected, atol=1e-6)


# -- parts -----------------------------------------------------------------------------------------------------------


def test_lags_hold_the_ends():
    x = torch.arange(4.0)[None, :, None]
    assert lagged(x, [-1, 0, 2], torch.tensor([3])).tolist() == [[[1, 0, 0], [2, 1, 0], [2, 2, 0], [2, 2, 1]]]
    assert recent(x, 3).tolist() == [[[0, 0, 0], [1, 0, 0], [2, 1, 0], [3, 2, 1]]]
    assert taps(0.6, 0.3, 0.05) == list(range(-6, 13))
    assert len(taps(0.6, 0.3, 0.001)) <= 24


def test_a_saved_model_streams_the_same(conditioned, tmp_path):
    conditioned.save(tmp_path / "run")
    loaded = Live.load(tmp_path / "run")
    one, other = (model.stream(seed=4, condition={"target": "right"}) for model in (conditioned, loaded))
    for _ in range(12):
        np.testing.assert_array_equal(one.step({"hand_vel": [1, 0]}), other.step({"hand_vel": [1, 0]}))


def test_times_and_guards_are_counted(plain):
    stream = plain.stream()
    assert stream.latency() == {}
    for _ in range(20):
        stream.step()
    assert set(stream.latency()) == {"p50", "p99", "p99.9", "max"}
    assert 0 < stream.latency(50)["p50"] <= stream.latency()["max"]
    assert stream.guards.drawn == 19


def test_errors_say_what_to_do(plain, conditioned):
    with pytest.raises(NotFittedError, match="not trained yet"):
        Live.make(recording()).stream()
    with pytest.raises(ConfigError, match="n is 0, but there must be at least one stream"):
        plain.stream(n=0)
    with pytest.raises(DataError, match="no signal 'hand_pos' to follow; did you mean 'hand_vel'"):
        conditioned.stream().step({"hand_pos": [0, 0]})
    with pytest.raises(DataError, match="'hand_vel' of a bin has 2 values"):
        conditioned.stream().step({"hand_vel": [0, 0, 0]})
    with pytest.raises(DataError, match="'hand_vel' is a signal; give its value of each bin to step"):
        conditioned.stream(condition={"hand_vel": [0, 0]})
    with pytest.raises(DataError, match="no static condition to set"):
        plain.stream(condition={"target": "left"})
    with pytest.raises(DataError, match="the stream has not begun"):
        _ = plain.stream().counts
    with pytest.raises(ConfigError, match="decoder_blocks is 1"):
        Live(autoencoder={"decoder_blocks": 1})
    with pytest.raises(ConfigError, match="follows conditions as learned"):
        Live(prior={"guidance": 2.0})
    strict = Live(**{**TINY, "prior": {**TINY["prior"], "condition_dropout": 0.0}}, condition_on=("hand_vel",))
    strict.fit(recording())
    with pytest.raises(DataError, match="every bin needs values of hand_vel"):
        strict.stream().step()


def test_bins_in_which_nothing_is_known_are_left_to_the_model(conditioned):
    stream = conditioned.stream(seed=0, n=2)
    for value in (None, {}, {"hand_vel": [np.nan, 0.0]}, {"hand_vel": [[np.nan, 1], [0.0, 0.1]]}):
        assert np.isfinite(stream.step(value)).all()
    json.dumps(stream.latency())


def test_training_again_gives_the_same(plain):
    again = Live(**TINY).fit(recording(), engine=Engine(seed=0))
    np.testing.assert_array_equal(again.sample(3, seed=0).counts, plain.sample(3, seed=0).counts)


@pytest.mark.parametrize(
    "data",
    [
        SpikeData(np.random.default_rng(0).poisson(0.5, (20, 12, 1)), bin_s=0.02),
        SpikeData(np.random.default_rng(0).poisson(0.5, (4, 2, 3)), bin_s=0.02),
        SpikeData(np.zeros((10, 12, 3), int), bin_s=0.02),
        SpikeData(np.random.default_rng(0).poisson(0.5, (10, 12, 3)), bin_s=0.02, lengths=np.resize([1, 12, 3], 10)),
    ],
    ids=["one neuron", "two bins", "silent", "shorter than the past"],
)
@pytest.mark.parametrize("order", [1, 4])
@pytest.mark.filterwarnings("ignore::spikeloom.errors.SpikeloomWarning")
def test_odd_recordings_are_learned_and_drawn(data, order):
    config = {**TINY, "prior": {**TINY["prior"], "order": order}, "observation": "poisson"}
    config["autoencoder"] = {**TINY["autoencoder"], "latents": 1}
    model = Live(**config).fit(with_default_splits(data))
    sample, stream = model.sample(3, length=30, seed=0), model.stream(seed=0, n=3)
    np.testing.assert_array_equal(np.stack([stream.step() for _ in range(30)], axis=1), sample.counts)
    assert np.isfinite(sample.latents).all()


def test_single_trials_of_a_batch_are_drawn_alike():
    """One stream computes the chosen component only, several compute all: both draw the same distribution."""
    model = Live(**TINY).fit(recording())
    many = model.stream(seed=1, n=2000)
    for _ in range(12):
        many.step()
    alone = []
    for seed in range(300):
        stream = model.stream(seed=seed)
        for _ in range(12):
            stream.step()
        alone.append(stream.latents)
    both = np.array(alone), many.latents
    np.testing.assert_allclose(both[0].mean(0), both[1].mean(0), atol=4 * both[1].std(0).max() / np.sqrt(300))
    np.testing.assert_allclose(both[0].std(0), both[1].std(0), rtol=0.2)
