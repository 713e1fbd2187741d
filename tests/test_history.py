"""The spike-history observation: its distribution, its limits, and the recovery of known filters."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeloom import SpikeData, fit_history, resample_counts
from spikeloom.errors import ConfigError, DataError, SpikeloomWarning
from spikeloom.observation.base import newton
from spikeloom.observation.history import HistoryConfig, SpikeHistory
from spikeloom.observation.poisson import Poisson
from spikeloom.observation.softplus import SoftplusHistory


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def smooth_rates(trials: int, bins: int, neurons: int, mean: float, depth: float = 0.7) -> torch.Tensor:
    """Rates (counts per bin) that wax and wane within a trial, with a phase of its own for each trial and neuron."""
    phase = 2 * math.pi * torch.rand((trials, 1, neurons), generator=seeded(1))
    time = torch.arange(bins)[None, :, None] / 25
    return mean * torch.exp(depth * torch.sin(2 * math.pi * time + phase))


def model(neurons: int = 1, cap: int = 8, **parameters: Any) -> SpikeHistory:
    """A model with parameters of our choice; filters as (lag,) or (lag, neuron)."""
    filters = torch.as_tensor(parameters.pop("filters", torch.zeros(0))).float()
    made = SpikeHistory(neurons, HistoryConfig(bins=len(filters), max_count=cap), bin_s=0.01)
    made.filters.copy_(filters if filters.ndim == 2 else filters[:, None])
    for name, value in parameters.items():
        getattr(made, name).copy_(torch.as_tensor(value))
    return made


def fitted(counts, rates, lengths=None, **options: Any) -> SpikeHistory:
    made = SpikeHistory(counts.shape[2], HistoryConfig(**options), bin_s=0.01)
    made.fit(counts, rates, torch.full((len(counts),), counts.shape[1]) if lengths is None else lengths)
    return made


def autocorrelation(counts: torch.Tensor, lag: int) -> float:
    x = counts.double() - counts.double().mean()
    return float((x[:, lag:] * x[:, :-lag]).mean() / x.square().mean())


def test_a_new_one_is_poisson():
    rates = smooth_rates(3, 20, 4, 0.5)
    counts = torch.poisson(rates, generator=seeded()).int().clamp(max=2)  # where Stirling's formula is not used
    counts[counts == 2] = 1
    torch.testing.assert_close(model(4, cap=40).nll(counts, rates), Poisson().nll(counts, rates), atol=1e-5, rtol=1e-5)


@settings(max_examples=25, deadline=None)
@given(
    cap=st.integers(1, 60),
    nu=st.floats(0, 4),
    rate=st.floats(1e-6, 50),
    weight=st.floats(-3, 3),
)
def test_probabilities_sum_to_one_and_draws_follow_them(cap, nu, rate, weight):
    made = model(cap=cap, dispersion=[nu], filters=[weight])
    past = min(cap, 2)
    counts = torch.stack([torch.full((cap + 1,), past), torch.arange(cap + 1)], dim=1)[..., None]
    rates = torch.full(counts.shape, rate)
    p = (-made.nll(counts, rates)[:, 1, 0]).exp().double()
    assert float(p.sum()) == pytest.approx(1, abs=1e-4)

    history_free = model(cap=cap, dispersion=[nu])
    p = (-history_free.nll(counts, rates)[:, 1, 0]).exp().double()
    drawn = history_free.sample(torch.full((4000, 1, 1), rate), seeded()).flatten()
    assert 0 <= int(drawn.min()) <= int(drawn.max()) <= cap
    k = torch.arange(cap + 1).double()
    mean, sd = float(p @ k), float((p @ k**2 - (p @ k) ** 2).clamp(min=0).sqrt())
    assert float(drawn.double().mean()) == pytest.approx(mean, abs=5 * sd / math.sqrt(4000) + 1e-3 * (1 + mean))


def test_filters_gain_offset_and_dispersion_are_found_again():
    lags = torch.arange(1, 6)
    filters = torch.stack([-2.5 * torch.exp(-lags / 2), 0.4 * torch.exp(-lags / 3)], dim=1)
    truth = model(2, cap=12, filters=filters, gain=[0.8, 1.2], offset=[0.3, 0.1], dispersion=[1.6, 0.6])
    rates = smooth_rates(600, 100, 2, 0.8)
    found = fitted(truth.sample(rates, seeded()), rates, bins=5, max_count=12, ridge=0.1)
    torch.testing.assert_close(found.filters, truth.filters, atol=0.08, rtol=0)
    torch.testing.assert_close(found.gain, truth.gain, atol=0.05, rtol=0)
    torch.testing.assert_close(found.offset, truth.offset, atol=0.08, rtol=0)
    torch.testing.assert_close(found.dispersion, truth.dispersion, atol=0.08, rtol=0)


def test_poisson_counts_are_found_to_be_poisson():
    rates = smooth_rates(400, 100, 2, 0.3)
    found = fitted(torch.poisson(rates, generator=seeded()).int(), rates, bins=3)
    torch.testing.assert_close(found.filters, torch.zeros(3, 2), atol=0.1, rtol=0)
    torch.testing.assert_close(found.gain, torch.ones(2), atol=0.05, rtol=0)
    torch.testing.assert_close(found.dispersion, torch.ones(2), atol=0.1, rtol=0)


def test_without_dispersion_it_stays_one():
    rates = smooth_rates(50, 50, 2, 0.8)
    counts = torch.poisson(rates, generator=seeded()).int().clamp(max=1)
    assert fitted(counts, rates, dispersion=False).dispersion.tolist() == [1, 1]
    assert fitted(counts, rates, dispersion=True, max_count=3).dispersion.min() > 1.5


def test_a_refractory_neuron_stays_refractory():
    rates = smooth_rates(500, 120, 1, 0.15)
    truth = model(filters=[-8.0, -8.0, -2.0])
    real = truth.sample(rates, seeded())
    generated = fitted(real, rates).sample(rates, seeded(2))
    poisson = torch.poisson(rates * real.float().mean() / rates.mean(), generator=seeded())
    for lag in (1, 2, 3):
        assert autocorrelation(generated, lag) == pytest.approx(autocorrelation(real, lag), abs=0.015)
    assert autocorrelation(poisson, 1) > 0 > autocorrelation(real, 1) + 0.05
    assert float(generated.float().mean()) == pytest.approx(float(real.float().mean()), rel=0.03)


def test_counts_more_regular_than_poisson_stay_so():
    rates = torch.full((300, 40, 1), 1.5)
    real = model(dispersion=[3.0], offset=[1.0]).sample(rates, seeded())
    generated = fitted(real, rates, bins=2).sample(rates, seeded(2))
    fano = [float(counts.double().var() / counts.double().mean()) for counts in (real, generated)]
    assert fano[0] < 0.5
    assert fano[1] == pytest.approx(fano[0], rel=0.05)


def test_counts_of_bursts_stay_below_the_largest_recorded():
    rates = torch.full((400, 40, 2), 0.1)
    real = torch.poisson(rates, generator=seeded()).int().clamp(max=1) * torch.tensor([3, 1])
    found = fitted(real, rates, bins=2)
    generated = found.sample(rates, seeded(2))
    assert found.dispersion[0] < 0
    assert generated.amax((0, 1)).tolist() == [3, 1]
    for neuron in range(2):
        fano = [float(x.var() / x.mean()) for x in (real[..., neuron].double(), generated[..., neuron].double())]
        assert fano[1] == pytest.approx(fano[0], rel=0.1)


def test_the_first_bin_sees_an_empty_past_and_no_bin_sees_itself_or_later_ones():
    made = model(2, filters=torch.full((4, 2), -1.0))
    rates = smooth_rates(2, 10, 2, 0.5)
    counts = torch.poisson(rates, generator=seeded()).int()
    torch.testing.assert_close(made.nll(counts, rates)[:, :1], made.nll(counts[:, :1], rates[:, :1]))
    changed = counts.clone()
    changed[:, 5] += 1
    same = (made.nll(counts, rates) == made.nll(changed, rates)).all(0).all(-1)
    assert same.tolist() == [True] * 5 + [False] * 5


def test_padding_changes_nothing():
    rates = smooth_rates(40, 30, 3, 0.6)
    lengths = torch.randint(5, 31, (40,), generator=seeded())
    padded = torch.arange(30)[None, :, None] >= lengths[:, None, None]
    counts = torch.poisson(rates, generator=seeded()).int().masked_fill(padded, 0)
    clean = fitted(counts, rates.masked_fill(padded, 0), lengths, bins=4)
    dirty = fitted(counts.masked_fill(padded, 99), rates.masked_fill(padded, math.nan), lengths, bins=4)
    for name, value in clean.state_dict().items():
        assert torch.equal(value, dirty.state_dict()[name]), name
    drawn = clean.sample(rates.masked_fill(padded, 0), seeded())
    assert int(drawn[padded.expand_as(drawn)].sum()) == 0


def test_silent_neurons_and_constant_ones_are_harmless():
    rates = smooth_rates(20, 30, 3, 0.4)
    counts = torch.poisson(rates, generator=seeded()).int()
    counts[..., 0], counts[..., 1], rates[..., 0] = 0, 1, 1e-9
    found = fitted(counts, rates)
    assert all(value.isfinite().all() for value in found.state_dict().values())
    drawn = found.sample(rates, seeded())
    assert drawn[..., 0].float().mean() < 0.01
    assert drawn[..., 1].float().mean() > 0.8


def test_a_neuron_that_excites_itself_is_held_back():
    rates = smooth_rates(150, 60, 2, 0.1)
    wild = model(2, cap=20, filters=torch.tensor([[0.4, 0.0]]).repeat(8, 1))
    counts = wild.sample(rates, seeded())
    with pytest.warns(SpikeloomWarning, match="the spike history of 1 neurons, such as neuron 0"):
        found = fitted(counts, rates, bins=8)
    long = found.sample(smooth_rates(50, 1000, 2, 0.1), seeded())
    early, late = long[:, :100].float().mean((0, 1)), long[:, -500:].float().mean((0, 1))
    assert wild.sample(smooth_rates(50, 1000, 2, 0.1), seeded())[:, -500:, 0].float().mean() > 3
    assert (late < 2 * early + 0.1).all()
    assert late[0] < 1


def test_calibration_mends_the_mean_counts_under_rates_of_another_level():
    rates = smooth_rates(300, 40, 3, 0.5)
    counts = torch.poisson(rates, generator=seeded()).int()
    counts[..., 2] = 0
    lengths = torch.full((300,), 40)
    found = fitted(counts, rates, bins=3)
    found.calibrate(0.8 * rates, lengths, counts.float().mean((0, 1)), seeded(1))
    generated = found.sample(0.8 * rates, seeded(2)).float().mean((0, 1))
    torch.testing.assert_close(generated, counts.float().mean((0, 1)), atol=0.01, rtol=0.03)


@pytest.mark.parametrize(
    ("cap", "nu", "rate"),
    [(400, 1, 150.0), (400, 1, 180.0), (400, 1, 200.0), (90, 1, 500.0), (50, 4, 1e5), (3000, 1, 2500.0)],
)
def test_large_counts_are_sampled_and_scored_by_their_distribution(cap, nu, rate):
    made = model(2, cap=cap, dispersion=[nu, 1.0], offset=[(nu - 1) * math.log(rate), 0.0])
    made.cap[1] = cap // 2
    k = torch.arange(cap + 1)
    log_p = (nu * (k * math.log(rate) - torch.lgamma(k.double() + 1))).log_softmax(0)
    p = log_p.exp()
    mean, sd = float(p @ k.double()), float((p @ k.double() ** 2 - (p @ k.double()) ** 2).clamp(min=0).sqrt())
    drawn = made.sample(torch.full((1000, 4, 2), rate), seeded())
    assert int(drawn[..., 0].max()) <= cap
    assert int(drawn[..., 1].max()) <= cap // 2
    drawn = drawn[..., 0].double()
    assert float(drawn.mean()) == pytest.approx(mean, abs=4 * sd / math.sqrt(4000) + 1e-3)
    assert float(drawn.std()) == pytest.approx(sd, rel=0.06, abs=0.02)
    nll = made.nll(k[:, None, None].expand(-1, 1, 2), torch.full((cap + 1, 1, 2), rate))[:, 0, 0].double()
    torch.testing.assert_close(nll, 1e-6 - log_p, atol=1e-3, rtol=1e-5)


def test_fits_of_large_counts_recover_their_parameters():
    rates = smooth_rates(6, 50, 2, 3000.0, depth=0.3)
    rates[..., 1] = 200
    counts = torch.poisson(rates, generator=seeded()).int()
    found = fitted(counts, rates, bins=1)
    torch.testing.assert_close(found.dispersion, torch.ones(2), atol=0.25, rtol=0)
    assert float(found.gain[0] / found.dispersion[0]) == pytest.approx(1, abs=0.03)
    drawn = found.sample(rates, seeded(1)).double()
    torch.testing.assert_close(drawn.mean((0, 1)), rates.mean((0, 1)).double(), atol=0, rtol=0.02)


def test_a_hessian_that_rounding_spoiled_is_damped():
    hessian = torch.tensor([[1.0, 0.0], [0.0, -1e-3]], dtype=torch.float64)
    goal = torch.tensor([2.0, 0.0], dtype=torch.float64)

    def loss(p):
        return (10 * (p - goal)[0].square() / 2), 10 * (p - goal) * torch.tensor([1.0, 0.0]), 10 * hessian

    zero = torch.zeros(2, dtype=torch.float64)
    assert 1.5 < float(newton(zero, zero, zero + 1e-6, loss)[0]) < 2.1


def test_the_cap_holds():
    rates = torch.full((50, 20, 2), 30.0)
    assert int(model(2, cap=5).sample(rates, seeded()).max()) == 5
    counts = torch.poisson(rates, generator=seeded()).int()
    found = fitted(counts, rates, bins=2)
    assert torch.equal(found.cap, counts.amax((0, 1)).long())
    assert int(fitted(counts.to(torch.uint8), rates, bins=2, max_count=7).sample(rates, seeded()).max()) == 7


def test_calibration_is_deterministic_and_blind_to_padding():
    rates = smooth_rates(60, 30, 2, 0.5)
    lengths = torch.randint(5, 31, (60,), generator=seeded())
    padded = torch.arange(30)[None, :, None] >= lengths[:, None, None]
    mean, offsets = torch.tensor([0.7, 0.4]), []
    for padding in (0, math.nan):
        made = model(2, filters=[-0.5])
        made.calibrate(rates.masked_fill(padded, padding), lengths, mean, seeded(3))
        offsets.append(made.offset)
    assert torch.equal(*offsets)
    many = smooth_rates(2000, 30, 2, 0.5)
    drawn = model(2, filters=[-0.5], offset=offsets[0]).sample(many, seeded(4)).float().mean((0, 1))
    torch.testing.assert_close(drawn, mean, atol=0, rtol=0.1)


def test_a_neuron_that_fires_much_is_fitted_on_trials_spread_over_the_recording():
    rates = torch.full((2000, 100, 2), 1.0)
    counts = torch.poisson(rates, generator=seeded()).int()
    counts[:, 3:, 1] = 0
    every, few = (
        fitted(counts, rates, max_count=9),
        fitted(counts[::4], rates[::4], max_count=9),
    )  # 500 trials hold 50,000 bins
    assert (every.offset == few.offset).tolist() == [True, False]


def test_counts_beyond_the_cap_share_a_millionth():
    made = model(cap=2, offset=[0.3])
    p = (-made.nll(torch.arange(30)[:, None, None], torch.full((30, 1, 1), 1.5)).double()).exp().flatten()
    assert float(p.sum()) == pytest.approx(1, abs=1e-6)
    assert float(p[3]) == pytest.approx(5e-7, rel=1e-3)
    assert float(p[3:].sum()) == pytest.approx(1e-6, rel=1e-3)


@pytest.mark.parametrize(
    ("bin_s", "bins"), [(0.001, 20), (0.005, 20), (0.01, 10), (0.025, 4), (0.045, 2), (0.05, 2), (0.1, 2), (1.0, 2)]
)
def test_the_past_is_a_tenth_of_a_second(bin_s, bins):
    assert SpikeHistory(1, HistoryConfig(), bin_s).filters.shape == (bins, 1)
    assert SpikeHistory(1, HistoryConfig(bins=7), bin_s).filters.shape == (7, 1)


def test_the_same_generator_gives_the_same_counts_and_a_saved_model_the_same_too():
    rates = smooth_rates(10, 20, 3, 0.5)
    found = fitted(torch.poisson(rates, generator=seeded()).int(), rates, bins=3)
    drawn = found.sample(rates, seeded(4))
    assert drawn.dtype == torch.int32
    again = SpikeHistory(3, HistoryConfig(bins=3), bin_s=0.01)
    again.load_state_dict(found.state_dict())
    assert torch.equal(again.sample(rates, seeded(4)), drawn)
    assert not torch.equal(again.sample(rates, seeded(5)), drawn)


@pytest.mark.parametrize(("name", "value"), [("bins", -1), ("max_count", 0), ("ridge", 0.0), ("ridge", math.nan)])
def test_impossible_settings_are_refused(name, value):
    with pytest.raises(ConfigError, match=f"^history.{name} is {value}"):
        HistoryConfig(**{name: value})


def softplus_model(neurons: int = 1, cap: int = 8, **parameters: Any) -> SoftplusHistory:
    """A model with parameters of our choice; filters as (lag,)."""
    filters = torch.as_tensor(parameters.pop("filters", torch.zeros(0))).float()
    made = SoftplusHistory(neurons, bins=len(filters), cap=cap)
    made.filters.copy_(filters[:, None])
    for name, value in parameters.items():
        getattr(made, name).copy_(torch.as_tensor(value))
    return made


def test_published_without_history_the_rate_is_the_logarithm_of_one_plus_it():
    rates = smooth_rates(4000, 10, 1, 1.5)
    made = softplus_model(cap=50)
    counts = made.sample(rates, seeded())
    torch.testing.assert_close(made.nll(counts, rates), Poisson().nll(counts, torch.log1p(rates)))
    assert float(counts.float().mean()) == pytest.approx(float(torch.log1p(rates).mean()), rel=0.02)


def test_published_filters_are_found_again():
    filters = torch.tensor([-2.0, -1.0, 0.5, 0.2])
    truth = softplus_model(cap=20, filters=filters, gain=[1.3], offset=[0.4])
    rates = smooth_rates(800, 100, 1, 0.8)
    found = SoftplusHistory(1, bins=4, cap=20)
    found.fit(truth.sample(rates, seeded()), rates, torch.full((800,), 100))
    torch.testing.assert_close(found.filters[:, 0], filters, atol=0.06, rtol=0)
    torch.testing.assert_close(found.gain, truth.gain, atol=0.06, rtol=0)
    torch.testing.assert_close(found.offset, truth.offset, atol=0.06, rtol=0)


def test_published_fits_see_whole_pasts_only_and_padding_changes_nothing():
    rates = smooth_rates(60, 30, 2, 0.6)
    lengths = torch.randint(10, 31, (60,), generator=seeded())
    counts = torch.poisson(rates, generator=seeded()).int().clamp(max=5)
    found = []
    for early, padding in ((0.5, 0), (9.0, 3)):
        r, y = rates.clone(), counts.clone()
        r[:, :6] = early
        padded = torch.arange(30)[None, :, None] >= lengths[:, None, None]
        found.append(SoftplusHistory(2, bins=6))
        found[-1].fit(y.masked_fill(padded, padding), r.masked_fill(padded, padding), lengths)
    for name, value in found[0].state_dict().items():
        assert torch.equal(value, found[1].state_dict()[name]), name


def test_published_draws_obey_cap_and_padding_and_the_first_bin_sees_an_empty_past():
    made = softplus_model(2, cap=5, filters=[-1.0, 2.0])
    rates = torch.full((50, 20, 2), 30.0)
    rates[:, 15:] = 0
    counts = made.sample(rates, seeded())
    assert int(counts.max()) == 5
    assert int(counts[:, 15:].max()) == 0
    assert torch.equal(made.sample(rates, seeded()), counts)
    torch.testing.assert_close(made.nll(counts, rates)[:, :1], made.nll(counts[:, :1], rates[:, :1]))


def test_published_silent_neurons_are_harmless():
    rates = smooth_rates(30, 60, 2, 0.4)
    counts = torch.poisson(rates, generator=seeded()).int()
    counts[..., 0], rates[..., 0] = 0, 1e-9
    found = SoftplusHistory(2)
    found.fit(counts, rates, torch.full((30,), 60))
    assert all(value.isfinite().all() for value in found.state_dict().values())
    assert found.sample(rates, seeded())[..., 0].float().mean() < 0.01


def test_published_fits_need_trials_longer_than_the_past():
    rates = smooth_rates(30, 20, 2, 0.5)
    counts = torch.poisson(rates, generator=seeded()).int().clamp(max=5)
    with pytest.raises(
        DataError, match=r"longest training trial has 18 bins, .* more than 20.* `--observation history`"
    ):
        SoftplusHistory(2).fit(counts, rates, torch.full((30,), 18))


def test_published_fits_warn_of_counts_that_they_cannot_draw():
    rates = smooth_rates(50, 30, 2, 0.5)
    counts = torch.zeros(rates.shape, dtype=torch.int32)
    counts[:, ::3, 0] = 3
    lengths = torch.full((50,), 20)
    made = SoftplusHistory(2, bins=4, cap=3)
    made.fit(counts, rates, lengths)  # none above, and no warning
    counts[:, 0, 0] = 4
    counts[:, 25, 0] = 4  # padding
    with pytest.warns(SpikeloomWarning, match="^2.5 % of the training counts lie above 3, the largest"):
        made.fit(counts, rates, lengths)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a second device")
@pytest.mark.parametrize("observation", [SoftplusHistory(2), SpikeHistory(2, HistoryConfig(), bin_s=0.01)])
def test_observations_on_another_device_are_fitted_and_sampled(observation):
    rates = smooth_rates(40, 30, 2, 0.5)
    counts = torch.poisson(rates, generator=seeded()).int().clamp(max=5)
    observation.to("cuda").fit(counts.cuda(), rates.cuda(), torch.full((40,), 30).cuda())
    assert {value.device.type for value in observation.state_dict().values()} == {"cuda"}
    trials = SpikeData(counts.numpy(), bin_s=0.01, rates=rates.numpy())
    assert resample_counts(trials, observation).counts.sum() > 0


@pytest.mark.parametrize("made", [softplus_model(1, 2, filters=[0.8]), model(1, 2, filters=[0.8], dispersion=[0.7])])
def test_the_mean_is_that_of_draws(made):
    rates = torch.full((1, 2, 1), 1.7)
    quiet = torch.zeros(1, 2, 1, dtype=torch.int32)
    drawn = made.sample(rates.expand(20_000, 2, 1), seeded()).float()[..., 0]
    spiked = drawn[drawn[:, 0] == 2, 1].mean()
    assert float(made.mean(quiet, rates)[0, 0, 0]) == pytest.approx(float(drawn[:, 0].mean()), abs=0.02)
    assert float(made.mean(quiet + 2, rates)[0, 1, 0]) == pytest.approx(float(spiked), abs=0.03)


def test_counts_can_be_resampled_from_rates_of_any_program():
    rates = smooth_rates(80, 30, 3, 0.5)
    true = model(3, filters=[-2.0, -1.0])
    lengths = np.arange(80) % 20 + 11
    counts = true.sample(rates, seeded()).numpy()
    recorded = SpikeData(counts, bin_s=0.005, lengths=lengths, rates=rates.numpy())
    observation = fit_history(recorded, HistoryConfig(bins=2))
    assert float(observation.filters[0].mean()) < -1
    generated = resample_counts(recorded, observation, seed=3)
    np.testing.assert_array_equal(generated.counts, resample_counts(recorded, observation, seed=3).counts)
    assert generated.counts[~recorded.valid].sum() == 0
    after_spike = generated.counts[:, 1:][generated.counts[:, :-1] > 0].mean()
    assert after_spike < 0.6 * generated.counts[recorded.valid].mean()
    with pytest.raises(DataError, match="no rates"):
        resample_counts(SpikeData(counts, bin_s=0.005), observation)
    with pytest.raises(DataError, match="rates of 2 neurons, but the spike history was fitted on 3"):
        resample_counts(recorded.select(neurons=[0, 1]), observation)
