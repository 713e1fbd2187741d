"""A stream follows a recording: its latents are the encoder's, counts are remembered, and what comes next goes on."""

from dataclasses import replace

import numpy as np
import pytest

from spikeloom.errors import ConfigError, DataError
from spikeloom.models.follower import Follower
from spikeloom.models.live import Live
from test_live import TINY, recording

CAUSAL = {**TINY, "autoencoder": {**TINY["autoencoder"], "direction": "causal"}}

pytestmark = pytest.mark.filterwarnings("ignore::spikeloom.errors.SpikeloomWarning")


@pytest.fixture(scope="module")
def model():
    return Live(**CAUSAL, condition_on=("hand_vel",)).fit(recording())


def observed(model, n=1, n_bins=24, trial=0, **how):
    """A stream that has followed the first bins of a trial, and its latents and rates in each."""
    data, stream = recording(), model.stream(n=n, **how)
    latents, rates = [], []
    for t in range(n_bins):
        stream.observe(data.counts[trial, t], {"hand_vel": data.signals["hand_vel"].values[trial, t]})
        latents.append(stream.latents)
        rates.append(stream.rates)
    return stream, np.array(latents), np.array(rates)


def test_latents_and_rates_are_those_of_the_encoder(model):
    _, latents, rates = observed(model, trial=5)
    encoded = model.encode(recording()[5:6])[0]
    np.testing.assert_allclose(latents, encoded, atol=1e-4)
    np.testing.assert_allclose(rates, model.rates(recording()[5:6])[0], atol=1e-4)


def test_the_next_bin_is_that_of_a_continued_trial(model):
    """Many streams that followed ten bins have the rates of many trials that go on from them."""
    data, n = recording(), 600
    stream, *_ = observed(model, n, 10, seed=3)
    velocity = data.signals["hand_vel"].values[:1]
    stream.step({"hand_vel": velocity[0, 10]})
    first = replace(data[:1], counts=data.counts[:1, :10], lengths=np.array([10]), signals={})
    drawn = model.sample(n, length=11, context=first, condition={"hand_vel": velocity[:, :11]}, seed=7)
    error = np.sqrt((drawn.rates[:, 10].var(0) + stream.rates.var(0)) / n)
    assert (abs(drawn.rates[:, 10].mean(0) - stream.rates.mean(0)) < 4 * error + 1e-4).all()
    free = model.stream(n=n, seed=4)
    for t in range(11):
        free.step({"hand_vel": velocity[0, t]})
    assert free.latents.var(0).sum() > 1.2 * stream.latents.var(0).sum()  # what was observed narrows what comes


@pytest.mark.parametrize("observation", ["history", "calibrated", "published_history"])
def test_observed_counts_are_the_past_of_the_next(model, observation):
    fitted = Live(**CAUSAL, observation=observation).fit(recording(n_bins=30))
    steps = [fitted.observation.steps(1, 0) for _ in range(2)]
    rates = np.full((1, 6), 0.5, np.float32)
    for one, count in zip(steps, (0, 3)):
        one.observe(rates, np.full((1, 6), count, np.int32))
    first = np.asarray(fitted.observation.filters)[0]
    value = np.minimum(3, np.asarray(fitted.observation.cap))
    value = value if observation == "published_history" else np.log1p(value)
    np.testing.assert_allclose(steps[1]._fed_back() - steps[0]._fed_back(), (first * value)[None], rtol=1e-5, atol=1e-6)


def test_following_goes_on_from_a_kept_state(model):
    stream, *_ = observed(model, 2, 9)
    state = stream.state()
    again = model.stream(n=2, seed=99)
    again.restore(state)
    counts = recording().counts[0, 9]
    for each in (stream, again):
        each.observe(counts, {"hand_vel": [0.0, 0.1]})
    np.testing.assert_array_equal(stream.latents, again.latents)
    np.testing.assert_array_equal(stream.step({"hand_vel": [0, 0]}), again.step({"hand_vel": [0, 0]}))


def test_drawn_bins_are_part_of_what_is_looked_back_on(model):
    """After a forecast of three bins, the encoder sees these where nothing was observed."""
    stream, *_ = observed(model, 1, 6)
    drawn = np.array([stream.step({"hand_vel": [0.0, 0.0]}) for _ in range(3)])
    stream.observe(recording().counts[0, 9], {"hand_vel": [0.0, 0.0]})
    seen = np.concatenate([recording().counts[0, :6], drawn, recording().counts[0, 9:10]])
    whole = recording()[:1]
    encoded = model.encode(type(whole)(seen[None], bin_s=whole.bin_s))[0, -1]
    np.testing.assert_allclose(stream.latents, encoded, atol=1e-4)


@pytest.mark.parametrize("longest", [1, 3])
def test_no_more_is_looked_back_than_the_longest_trial(longest):
    follower = Follower(lambda counts: counts.cumsum(1), 2, 4, longest)
    for t in range(5):
        follower.add(np.full((2, 4), t, np.int32) + np.arange(2)[:, None])
    assert follower.counts[0, :, 0].tolist() == list(range(5))[-longest:]
    np.testing.assert_array_equal(follower.latents()[1], np.full(4, sum(range(6)[-longest:])))


def test_errors_say_what_to_do(model):
    with pytest.raises(ConfigError, match=r"--autoencoder\.direction causal"):
        Live(**TINY).fit(recording()).stream().observe(np.zeros(6))
    stream = model.stream()
    for counts, said in (
        (np.zeros(5), r"6 numbers.*got \(5,\)"),
        ([0.5] * 6, "whole numbers"),
        ([-1] * 6, "whole numbers"),
        ([np.nan] * 6, "whole numbers"),
        ("six", "6 numbers"),
    ):
        with pytest.raises(DataError, match=said):
            stream.observe(counts, {"hand_vel": [0, 0]})
    assert stream.bins == 0
