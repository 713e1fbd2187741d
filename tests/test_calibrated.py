"""The observation that is calibrated on samples: its parts, its moments, and what few trials may not move."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

import spikeloom as sl
from spikeloom.models import spiking
from spikeloom.observation import calibrated, matching, moments
from spikeloom.observation.calibrated import KNOTS, CalibratedHistory
from spikeloom.observation.gain import Gain
from spikeloom.observation.history import HistoryConfig, SpikeHistory
from spikeloom.observation.innovations import N_LAGS, Innovations, Running
from spikeloom.observation.matching import match
from spikeloom.observation.moments import Frame, SharedPart, Trials, reproducible, reproducible_between
from spikeloom.observation.poisson import ObservedCounts

BIN_S = 0.05


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def observation(n_neurons=3, cap=6, **values):
    made = CalibratedHistory(n_neurons, HistoryConfig(max_count=cap), BIN_S)
    for name, value in values.items():
        getattr(made, name).copy_(torch.as_tensor(value))
    return made


def shared_rates(n_trials, n_bins, n_neurons, seed, size=0.7):
    """Rates that move together along two directions."""
    generator = seeded(seed)
    course = torch.randn((n_trials, n_bins, 2), generator=generator)
    for t in range(1, n_bins):
        course[:, t] = 0.9 * course[:, t - 1] + math.sqrt(1 - 0.81) * course[:, t]
    loadings = torch.randn((2, n_neurons), generator=seeded(3))
    return (size * course @ loadings / math.sqrt(2) - 0.7).exp()


# -- parts ------------------------------------------------------------------------------------------------------------


def test_before_it_is_matched_it_is_spike_history():
    plain, new = SpikeHistory(4, HistoryConfig(bins=3), BIN_S), CalibratedHistory(4, HistoryConfig(bins=3), BIN_S)
    for each in (plain, new):
        each.filters.copy_(torch.tensor([-0.5, 0.2, 0.1])[:, None])
        each.cap.fill_(5)
    rates = shared_rates(5, 20, 4, 0)
    counts = plain.sample(rates, seeded(1))
    assert torch.equal(counts, new.sample(rates, seeded(1)))
    assert torch.equal(plain.nll(counts, rates), new.nll(counts, rates))
    torch.testing.assert_close(plain.mean(counts, rates), new.mean(counts, rates))
    torch.testing.assert_close(new.marginal_nll(counts, rates, seeded(), draws=3), plain.nll(counts, rates).sum(1))


@pytest.mark.parametrize("cap", [6, 90])
def test_counts_are_drawn_from_the_free_distribution(cap):
    bias = torch.linspace(0, -2, KNOTS) + torch.tensor([0.0, 0.8, -0.5, 0.3] * 4)
    bias = bias - bias[0]
    made = observation(1, cap, count_bias=bias[None])
    rate = 3.0 if cap == 6 else 40.0
    counts = made.sample(torch.full((40_000, 1, 1), rate), seeded())
    knots = made.knots()[0]
    k = torch.arange(cap + 1.0)
    free = torch.as_tensor(np.interp(k, knots, bias))
    expected = (k * math.log(rate) - torch.lgamma(k + 1) + free).softmax(0)
    found = torch.bincount(counts.flatten(), minlength=cap + 1) / counts.numel()
    assert (found - expected).abs().max() < 4 * math.sqrt(0.25 / 40_000)
    nll = made.nll(torch.tensor([[[4]]]), torch.full((1, 1, 1), rate))
    assert float(nll) == pytest.approx(-math.log(expected[4]), abs=1e-4)


def test_knots_hold_every_small_count_and_reach_the_cap():
    made = observation(2, cap=60)
    made.cap[0] = 7
    narrow, wide = made.knots()
    assert narrow.tolist() == list(range(KNOTS))
    assert wide[-1] == 60
    assert (wide.diff() >= 1).all()


def test_gains_have_their_covariances():
    loadings = torch.zeros(2, 3, 1)
    loadings[0, :, 0] = torch.tensor([0.4, -0.2, 0.0])
    private = torch.tensor([[0.0, 0.0, 0.3], [0.3, 0.2, 0.0]])
    gains = Gain(loadings, private, tau=4.0).draw(30, 20_000, seeded())
    for lag in (0, 2, 8):
        found = torch.einsum("tbi,tbj->ij", gains[lag:], gains[: 30 - lag]) / (30 - lag) / 20_000
        drift = loadings[0] @ loadings[0].T + private[0].square().diag()
        expected = drift * math.exp(-lag / 4) + private[1].square().diag()
        torch.testing.assert_close(found, expected, atol=0.006, rtol=0)


def some_innovations(patterns=None, rows=3):
    weights = torch.zeros(1 + N_LAGS, rows, rows)
    weights[0, 0, 1] = weights[0, 1, 0] = 0.2
    weights[1, 2, 0] = 0.4  # the third follows the first
    weights[3, 1, 2] = -0.3
    return Innovations(weights, patterns)


@pytest.mark.parametrize("pattern", [False, True])
def test_innovations_are_standard_and_have_their_covariances(pattern):
    patterns = torch.linalg.qr(torch.randn(4, 3, generator=seeded(8)))[0] if pattern else None
    process = some_innovations(patterns)
    z = process.draw((40, 8000, 4 if pattern else 3), seeded())
    torch.testing.assert_close(z.square().mean((0, 1)), torch.ones(z.shape[2]), atol=0.02, rtol=0)
    rows = z * process.scale()
    rows = rows if patterns is None else rows @ patterns
    within = torch.eye(3) + process.weights[0]
    for lag, expected in ((1, process.weights[1] @ within.T), (3, process.weights[3] @ within.T)):
        found = torch.einsum("tbi,tbj->ij", rows[lag:], rows[: 40 - lag]) / (40 - lag) / 8000
        others = sum(process.weights[k + lag] @ process.weights[k].T for k in range(1, 1 + N_LAGS - lag))
        torch.testing.assert_close(found, expected + others, atol=0.01, rtol=0)


@pytest.mark.parametrize("pattern", [False, True])
def test_innovations_bin_by_bin_are_those_of_whole_trials(pattern):
    patterns = torch.linalg.qr(torch.randn(4, 3, generator=seeded(8)))[0] if pattern else None
    process, n = some_innovations(patterns), 4 if pattern else 3
    e = torch.randn((10 + N_LAGS, 5, n), generator=seeded(3))
    whole = process.draw((10, 5, n), seeded(3))
    running = Running.begin(process, 5, seeded())
    running.recent = process._rows(e[:N_LAGS]).flip(0)
    for t in range(10):
        z = running.given(e[N_LAGS + t])
        torch.testing.assert_close(z, whole[t], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(running.noise_of(z), e[N_LAGS + t], atol=1e-4, rtol=1e-4)
        running.step(e[N_LAGS + t])


def test_shared_innovations_change_no_neuron_alone():
    made, plain = observation(3, 8), observation(3, 8)
    made.shared.copy_(some_innovations().weights)
    rates = torch.full((30_000, 4, 3), 0.8)
    counts, alone = made.sample(rates, seeded()), plain.sample(rates, seeded(1))
    for neuron in range(3):
        shares = [torch.bincount(c[..., neuron].flatten(), minlength=9) / c[..., 0].numel() for c in (counts, alone)]
        assert (shares[0] - shares[1]).abs().max() < 0.006
    first, second, third = counts.float().unbind(2)
    assert torch.corrcoef(torch.stack([first.flatten(), second.flatten()]))[0, 1] > 0.25
    assert torch.corrcoef(torch.stack([first[:, :-1].flatten(), third[:, 1:].flatten()]))[0, 1] > 0.25
    assert torch.corrcoef(torch.stack([first[:, 1:].flatten(), third[:, :-1].flatten()]))[0, 1].abs() < 0.02


def test_the_mean_is_that_of_samples():
    made = observation(3, 8, gain_private=[[0.3, 0.0, 0.2], [0.3, 0.5, 0.0]])
    made.gain_loadings[0, :, 0] = 0.3
    rates = torch.full((1, 1, 3), 1.3)
    drawn = made.sample(rates.expand(60_000, 1, 3), seeded()).float()
    expected = made.mean(torch.zeros(1, 1, 3, dtype=torch.int32), rates)
    torch.testing.assert_close(drawn.mean(0, keepdim=True), expected, atol=0.02, rtol=0)


def test_the_marginal_likelihood_favours_the_gains_that_were_drawn():
    made, plain = observation(3, 12, gain_private=[[0.0] * 3, [0.8] * 3]), observation(3, 12)
    rates = torch.full((40, 20, 3), 1.0)
    counts = made.sample(rates, seeded())
    assert made.marginal_nll(counts, rates, seeded(1)).sum() < plain.nll(counts, rates).sum() - 20


class TestContext:
    """Observed counts tell the gains of those that follow."""

    def continued(self, mask, **parts):
        made = observation(1, 30, **parts)
        rates = torch.full((4000, 20, 1), 3.0)
        truth = made.sample(rates, seeded())
        sampled = made.sample(rates, seeded(1), ObservedCounts(truth, mask.expand(4000, 20)))
        assert torch.equal(sampled[mask.expand(4000, 20)], truth[mask.expand(4000, 20)])
        return truth.float()[..., 0], sampled.float()[..., 0]

    def test_a_lasting_gain_is_kept(self):
        begun = torch.arange(20)[None] < 12
        truth, sampled = self.continued(begun, gain_private=[[0.0], [0.5]])
        late = sampled[:, 12:].mean(1)
        known = torch.corrcoef(torch.stack([truth[:, :12].mean(1), late]))[0, 1]
        real = torch.corrcoef(torch.stack([truth[:, :12].mean(1), truth[:, 12:].mean(1)]))[0, 1]
        assert real > 0.6
        assert known == pytest.approx(float(real), abs=0.05)
        assert late.var() == pytest.approx(float(truth[:, 12:].mean(1).var()), rel=0.1)

    def test_a_drift_is_forgotten(self):
        begun = torch.arange(20)[None] < 10
        truth, sampled = self.continued(begun, gain_private=[[0.7], [0.0]], gain_tau=3.0)

        def next_and_last(trials):
            rows = torch.stack([truth[:, 8:10].mean(1), trials[:, 10], trials[:, 19]])
            return torch.corrcoef(rows)[0, 1:].tolist()

        assert next_and_last(sampled) == pytest.approx(next_and_last(truth), abs=0.06)
        assert next_and_last(truth)[0] > 0.3 > next_and_last(truth)[1] + 0.15

    def test_nothing_observed_is_as_any_sample(self):
        truth, sampled = self.continued(torch.zeros(1, 20, dtype=torch.bool), gain_private=[[0.3], [0.4]])
        assert sampled.mean(1).var() == pytest.approx(float(truth.mean(1).var()), rel=0.1)
        assert sampled.mean() == pytest.approx(float(truth.mean()), rel=0.02)

    def test_innovations_are_told_by_counts(self):
        """A neuron that follows another by a bin does so behind observed counts, too."""
        made = observation(2, 8)
        made.shared[1, 1, 0] = 1.5
        rates = torch.full((20_000, 4, 2), 1.0)
        truth = made.sample(rates, seeded())
        begun = (torch.arange(4)[None] < 3).expand(20_000, 4)
        sampled = made.sample(rates, seeded(1), ObservedCounts(truth, begun))
        led, real, drawn = truth[:, 2, 0].float(), truth[:, 3, 1].float(), sampled[:, 3, 1].float()
        expected, found = (float(torch.corrcoef(torch.stack([led, x]))[0, 1]) for x in (real, drawn))
        assert expected > 0.5
        assert found == pytest.approx(expected, abs=0.03)


# -- what is reproducible ---------------------------------------------------------------------------------------------


def noisy(signal, size, seed):
    """A difference and those of two halves, each with its own noise."""
    noise = torch.randn((2, *signal.shape), generator=seeded(seed)) * size
    if signal.ndim == 3:
        noise = (noise + noise.mT) / math.sqrt(2)
    return signal + noise.mean(0), signal + noise[0], signal + noise[1]


def test_noise_is_not_reproducible():
    lacking = noisy(torch.zeros(1, 2000), 1.0, 0)
    assert reproducible(lacking).abs().mean() < 0.1 * lacking[0].abs().mean()


def test_a_signal_is():
    signal = torch.randn((1, 2000), generator=seeded(1))
    lacking = noisy(signal, 0.3, 0)
    kept = reproducible(lacking)
    assert (kept - signal).square().mean() < (lacking[0] - signal).square().mean()
    assert kept.square().mean() > 0.9 * signal.square().mean()


def between(lacking, pattern):
    n = pattern.shape[-1]
    bare = [each - torch.diag_embed(each.diagonal(dim1=1, dim2=2)) for each in lacking]
    return reproducible_between(torch.eye(n), pattern, (bare[0], bare[1], bare[2]))


def test_differences_between_neurons_are_kept_as_far_as_they_are_no_noise():
    axis = torch.nn.functional.normalize(torch.randn(60, generator=seeded(2)), dim=0)
    pattern = 20 * torch.outer(axis, axis).fill_diagonal_(0)[None]
    small = torch.randn((1, 60, 60), generator=seeded(5)) * 0.4
    small = (small + small.mT) / math.sqrt(2)
    small = small - torch.diag_embed(small.diagonal(dim1=1, dim2=2))
    lacking = noisy(small + 0.5 * pattern, 0.8, 3)
    kept = between(lacking, pattern)
    assert float((kept * pattern).sum() / pattern.square().sum()) == pytest.approx(0.5, rel=0.1)
    left = (kept - small - 0.5 * pattern).square().sum()
    assert left < 0.75 * small.square().sum()  # many small differences, each within the noise; 2/3 is the best
    taken = lacking[0] - torch.diag_embed(lacking[0].diagonal(dim1=1, dim2=2))
    assert left < 0.6 * (taken - small - 0.5 * pattern).square().sum()


def test_noise_between_neurons_is_not_kept():
    nothing = noisy(torch.zeros(1, 60, 60), 1.0, 4)
    assert between(nothing, torch.ones(1, 60, 60)).square().sum() < 0.05 * nothing[0].square().sum()


def test_the_shared_part_is_that_of_ridge_regression_on_the_others():
    counts = torch.poisson(shared_rates(60, 12, 5, 1), generator=seeded(4)).int()
    trials = Trials(counts, torch.full((60,), 12))
    frame = Frame.of(trials, BIN_S, 3)
    found = SharedPart.fit(frame, trials).weights
    z = frame.standard(trials)
    middle, beside = z[:, 1:-1], z[:, :-2] + z[:, 2:]
    whole = z.mean(1, keepdim=True).expand_as(middle)
    for neuron in range(5):
        others = [i for i in range(5) if i != neuron]
        x = torch.cat([part[..., others].flatten(0, 1) for part in (middle, beside, whole)], 1)
        oracle = Ridge(alpha=moments.RIDGE, fit_intercept=False).fit(x, middle[..., neuron].flatten()).coef_
        assert frame.predictors.sort().values.tolist() == list(range(5))
        place = {int(p): i for i, p in enumerate(frame.predictors)}
        rows = [place[i] + block * 5 for block in range(3) for i in others]
        np.testing.assert_allclose(found[rows, neuron], oracle, atol=1e-3)
        assert not found[[place[neuron] + block * 5 for block in range(3)], neuron].any()


# -- matching ---------------------------------------------------------------------------------------------------------


N_NEURONS, N_BINS = 8, 20


def truth():
    """Neurons with slow gains, bursts and counts of their own kind."""
    made = observation(N_NEURONS, 8, gain_private=[[0.3] * N_NEURONS, [0.4] * N_NEURONS], gain_tau=4.0)
    made.shared[1, 1, 0] = made.shared[1, 3, 2] = 0.3
    made.count_bias[:, 2:] = 0.6
    made.filters[0] = 0.3
    return made


def fitted(n_trials, seed=0):
    """Recorded trials, rates whose shared part is too strong, and an observation with the right cap."""
    real = truth().sample(shared_rates(n_trials, N_BINS, N_NEURONS, seed, 0.5), seeded(seed + 1))
    generated = shared_rates(1200, N_BINS, N_NEURONS, seed + 2, 1.0)
    made = CalibratedHistory(N_NEURONS, HistoryConfig(), BIN_S)
    made.cap.copy_(real.amax((0, 1)).clamp(min=1))
    lengths = torch.full((1200,), N_BINS)
    return Trials(real, torch.full((n_trials,), N_BINS)), generated, lengths, made


def distances(made, generated, lengths, fresh):
    """How far samples are from other trials of the truth, by moment."""
    drawn = Trials(made.sample(generated, seeded(77)), lengths)
    frame = Frame.of(fresh, BIN_S, 3)
    predictor = SharedPart.fit(frame, fresh)
    knots = made.knots()[frame.kept]
    measures = {
        "shares": lambda trials: moments.shares(frame, knots, trials),
        "private": predictor.private,
        "covariance": lambda trials: moments.covariances(frame, (0, 1, 3), trials),
    }
    return {name: float((of(fresh) - of(drawn)).square().mean().sqrt()) for name, of in measures.items()}


@pytest.fixture(scope="module")
def fresh():
    rates = shared_rates(1500, N_BINS, N_NEURONS, 50, 0.5)
    return Trials(truth().sample(rates, seeded(51)), torch.full((1500,), N_BINS))


@pytest.fixture(scope="module")
def matched(fresh):
    recorded, generated, lengths, made = fitted(800)
    before = distances(made, generated, lengths, fresh)
    match(made, recorded, generated, lengths, BIN_S)
    return made, before, distances(made, generated, lengths, fresh)


@pytest.mark.parametrize("moment", ["shares", "private", "covariance"])
def test_samples_take_on_the_moments_of_trials_that_were_not_seen(matched, moment):
    _, before, after = matched
    assert after[moment] < 0.5 * before[moment]


def test_each_part_is_found(matched):
    made, *_ = matched
    assert made.log_gain.variance.sqrt().mean(1).sum() > 0.3
    assert min(made.shared[1, 1, 0], made.shared[1, 3, 2]) > 0.15  # lead and lag
    assert made.shared[1].abs().median() < 0.08
    spread = torch.linalg.svdvals(made.mixing)
    assert spread.min() < 0.85  # shared rates were too strong
    assert made.count_bias.any()


def test_the_mean_stays_right(matched, fresh):
    made, *_ = matched
    rates = shared_rates(1200, N_BINS, N_NEURONS, 2, 1.0)
    ratio = made.sample(rates, seeded(5)).float().mean((0, 1)) / fresh.counts.float().mean((0, 1))
    assert (ratio - 1).abs().max() < 0.08


def test_a_model_that_is_right_is_left_alone():
    """Poisson counts of the same rates: a few trials may not invent gains."""
    rates = shared_rates(60, N_BINS, N_NEURONS, 4)
    made = CalibratedHistory(N_NEURONS, HistoryConfig(), BIN_S)
    real = torch.poisson(rates, generator=seeded(6)).int()
    made.cap.copy_(real.amax((0, 1)))
    generated = shared_rates(1200, N_BINS, N_NEURONS, 5)
    lengths = torch.full((1200,), N_BINS)
    before = made.sample(generated, seeded(8)).float()
    match(made, Trials(real, torch.full((60,), N_BINS)), generated, lengths, BIN_S)
    after = made.sample(generated, seeded(8)).float()
    assert after.var((0, 1)).log().sub(before.var((0, 1)).log()).abs().mean() < 0.15
    assert made.log_gain.variance.sum(0).mean() < 0.05
    # Not all that 60 trials have by chance is taken over (then the two errors are equal, .99 of each other).
    other = Trials(
        torch.poisson(shared_rates(1500, N_BINS, N_NEURONS, 7), generator=seeded(9)).int(), lengths[:1].repeat(1500)
    )
    frame = Frame.of(other, BIN_S, 3)
    truth = moments.covariances(frame, (0, 1, 3), other)
    few = Trials(real, torch.full((60,), N_BINS))
    error, chance = (
        float((moments.covariances(frame, (0, 1, 3), trials) - truth).square().mean().sqrt())
        for trials in (Trials(after.int(), lengths), few)
    )
    assert error < 0.87 * chance


def test_too_few_trials_match_nothing():
    recorded, generated, lengths, made = fitted(10)
    before = {name: value.clone() for name, value in made.state_dict().items()}
    match(made, recorded, generated, lengths, BIN_S)
    assert all(torch.equal(before[name], value) for name, value in made.state_dict().items())


def test_the_seed_decides():
    results = []
    for _ in range(2):
        recorded, generated, lengths, made = fitted(60)
        match(made, recorded, generated[:200], lengths[:200], BIN_S, seed=3)
        results.append(made.state_dict())
    assert all(torch.equal(value, results[1][name]) for name, value in results[0].items())


def test_rates_may_be_constant():
    recorded, generated, lengths, made = fitted(60)
    match(made, recorded, torch.full_like(generated, 0.6)[:200], lengths[:200], BIN_S)
    assert all(value.isfinite().all() for value in made.state_dict().values())


def test_large_populations_share_patterns(monkeypatch, fresh):
    for module in (calibrated, matching):
        monkeypatch.setattr(module, "MOST_ROWS", 5)
    recorded, generated, lengths, made = fitted(400)
    before = distances(made, generated, lengths, fresh)["covariance"]
    match(made, recorded, generated, lengths, BIN_S)
    assert made.shared.shape == (1 + N_LAGS, 5, 5)
    torch.testing.assert_close(made.patterns.T @ made.patterns, torch.eye(5))
    assert distances(made, generated, lengths, fresh)["covariance"] < 0.6 * before


def test_uneven_trials_silent_neurons_and_padding():
    rates = shared_rates(80, N_BINS, N_NEURONS, 9)
    rates[..., 3] = 0
    lengths = torch.randint(4, N_BINS + 1, (80,), generator=seeded(1))
    valid = torch.arange(N_BINS)[None, :, None] < lengths[:, None, None]
    real = (torch.poisson(rates, generator=seeded(2)) * valid).int()
    made = CalibratedHistory(N_NEURONS, HistoryConfig(), BIN_S)
    made.cap.copy_(real.amax((0, 1)).clamp(min=1))
    match(made, Trials(real, lengths), rates, lengths, BIN_S)
    assert all(value.isfinite().all() for value in made.state_dict().values())
    sampled = made.sample(rates * valid, seeded())
    assert not sampled[~valid.expand_as(sampled)].any()
    assert not sampled[..., 3].any()


# -- models -----------------------------------------------------------------------------------------------------------


def test_a_model_is_trained_saved_and_loaded(tmp_path, monkeypatch):
    monkeypatch.setattr(spiking, "MATCHING", 150)
    rng = np.random.default_rng(0)
    data = sl.SpikeData(rng.poisson(0.5, (60, 16, 5)), bin_s=BIN_S)
    model = sl.LDNS("ldns-small", observation="calibrated", max_steps=3).fit(data)
    model.save(tmp_path / "run")
    loaded = sl.LDNS.load(tmp_path / "run")
    for name, value in model.observation.state_dict().items():
        assert torch.equal(value, loaded.observation.state_dict()[name])
    sampled = model.sample(4, seed=2)
    assert np.array_equal(sampled.counts, loaded.sample(4, seed=2).counts)
    assert dataclasses.asdict(model.config)["observation"] == "calibrated"
