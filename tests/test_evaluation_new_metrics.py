"""Lead and lag, private variability, components of trials and count shares: slow loops, floors and their own faults."""

from dataclasses import replace

import numpy as np
import pytest

from simulated_population import BIN_S, N_BINS, Population, frame_of
from spikeloom.evaluation.centred import centred
from spikeloom.evaluation.compared_sets import ComparedSets, SetStatistics
from spikeloom.evaluation.count_shares import fit_count_shares
from spikeloom.evaluation.frame import Frame
from spikeloom.evaluation.metrics import HELDOUT_METRICS
from spikeloom.evaluation.private import fit_prediction
from spikeloom.evaluation.summary import summarise
from spikeloom.evaluation.trial_set import TrialSet

N = 5

# -- slow references -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ragged():
    """Trials of unequal length in two conditions whose mean counts differ, with one silent neuron."""
    rng = np.random.default_rng(0)
    condition = np.arange(16) % 2
    rate = rng.gamma(2, 0.3, (2, 1, N))[condition] * np.exp(0.5 * rng.normal(size=(16, 1, N)))
    counts = rng.poisson(rate * np.ones((16, 14, N))).astype(np.uint8)
    counts[..., 2] = 0
    lengths = rng.integers(6, 15, 16)
    counts[np.arange(14) >= lengths[:, None]] = 0
    return TrialSet(counts, lengths, condition)


@pytest.fixture(scope="module", params=[True, False])
def case(request, ragged):
    """Statistics of the trials beside deviations (trial, time, neuron) from what is subtracted; NaN where not used."""
    aligned = request.param
    counts, lengths, condition = ragged
    deviation = np.where(np.arange(14)[:, None] < lengths[:, None, None], counts.astype(float), np.nan)
    for n in range(N):
        for k in range(2):
            for t in range(14):
                cell = deviation[condition == k, t, n] if aligned else deviation[..., n]
                enough = np.isfinite(cell).sum() >= 2
                mean = np.nanmean(cell) if enough else np.nan
                if aligned:
                    deviation[condition == k, t, n] = cell - mean
        if not aligned:
            deviation[..., n] -= np.nanmean(deviation[..., n])
    frame = Frame.from_real(ragged, ragged, BIN_S, 2, aligned)
    return SetStatistics(summarise(ragged, frame)), deviation


def lagged_mean(x, y, lag):
    """Mean of x(t) y(t + lag) over pairs of used bins within a trial, by loops."""
    products = [a[t] * b[t + lag] for a, b in zip(x, y) for t in range(len(a) - lag)]
    return np.nanmean(products)


def test_cross_correlations_agree_with_loops(case):
    statistics, deviation = case
    found = dict(zip(map(tuple, statistics.frame.ordered_pairs), statistics.cross_correlations.T))
    assert len(found) == N * (N - 1)
    for i, j in ((0, 1), (1, 0), (4, 3)):
        x, y = deviation[..., i], deviation[..., j]
        sd = np.sqrt(np.nanmean(x**2) * np.nanmean(y**2))
        expected = [lagged_mean(x, y, lag) / sd for lag in range(1, 11)]
        np.testing.assert_allclose(found[i, j], expected, atol=1e-5)
    assert np.isnan(found[2, 0]).all()
    lead = dict(zip(map(tuple, statistics.frame.lagged_groups.pairs), statistics.lead.T))
    np.testing.assert_allclose(lead[4, 3], (found[4, 3] - found[3, 4]) / 2, atol=1e-7)


def test_prediction_is_ridge_regression_on_the_other_neurons(case, ragged):
    statistics, deviation = case
    prediction = fit_prediction(centred(ragged, statistics.frame.aligned))
    for half, learned in enumerate(statistics.frame.predictions):
        again = fit_prediction(centred(ragged.take(np.arange(half, 16, 2)), statistics.frame.aligned))
        np.testing.assert_array_equal(again.weights, learned.weights)
    rows = deviation[np.isfinite(deviation[..., 0])]
    sd = rows.std(axis=0)
    for n in (0, 3):
        others = [m for m in (0, 1, 3, 4) if m != n]
        z = (rows - 0) / np.where(sd > 0, np.sqrt((rows**2).mean(axis=0)), 1)
        gram = z[:, others].T @ z[:, others] / len(z) + prediction.strength * np.eye(3)
        weights = np.linalg.solve(gram, z[:, others].T @ z[:, n] / len(z))
        scale = np.sqrt((rows[:, n] ** 2).mean() / (rows[:, others] ** 2).mean(axis=0))
        np.testing.assert_allclose(prediction.weights[others, n], weights * scale, atol=1e-5)
        assert prediction.weights[n, n] == 0


def test_private_autocovariance_agrees_with_loops(case):
    statistics, deviation = case
    learned = [each.weights for each in statistics.frame.predictions]
    other = [1 - i % 2 for i in range(16)]
    halved = replace(statistics.summary, half=np.arange(16) % 2, _blocks={})
    for found, left in (
        (SetStatistics(halved), [np.stack([x - x @ learned[k] for x, k in zip(deviation, other)])]),
        (statistics, [deviation - deviation @ weights for weights in learned]),  # not held out: mean over both halves
    ):
        for n in (0, 4):
            variance = np.nanmean(deviation[..., n] ** 2)
            expected = [
                np.mean([lagged_mean(x[..., n], x[..., n], lag) for x in left]) / variance for lag in range(1, 9)
            ]
            np.testing.assert_allclose(found.private_autocovariance[:, n], expected, atol=1e-5)
    assert np.isnan(statistics.private_autocovariance[:, 2]).all()


def test_variance_along_components_agrees_with_loops(case, ragged):
    statistics, _ = case
    values = np.sqrt([c[:le].mean(axis=0) for c, le in zip(ragged.counts, ragged.lengths)])
    for k in range(2):
        values[ragged.condition == k] -= values[ragged.condition == k].mean(axis=0)
    along, both, variances = np.zeros((16, 5)), np.zeros((16, 5)), []
    for half in range(2):  # components of one half serve for the trials of the other
        own = np.array(values[half::2])
        for k in range(2):
            if (members := ragged.condition[half::2] == k).any():
                own[members] -= own[members].mean(axis=0)
        squares, directions = np.linalg.eigh(own.T @ own)
        squared = (values @ directions[:, ::-1]) ** 2
        along[1 - half :: 2] = squared[1 - half :: 2]
        both += squared / 2
        variances.append(squares[::-1] / 8)
    halved = replace(statistics.summary, half=np.arange(16) % 2, _blocks={})
    assert statistics.frame.components.names == ("1-3", "4-4")
    for group, part in enumerate((slice(0, 3), slice(3, 4))):
        bias = 1 / (14 * np.mean([v[part].sum() ** 2 / (v[part] ** 2).sum() for v in variances]))
        least = 1e-3 * np.mean([v[part].sum() for v in variances])
        for found, squares in ((statistics, both), (SetStatistics(halved), along)):
            expected = np.log(squares[:, part].sum() / 14 + least) + bias
            assert found.log_component_variance[group] == pytest.approx(expected, abs=1e-5)


def test_count_shares_agree_with_loops(case, ragged):
    statistics, _ = case
    constants = fit_count_shares(ragged)
    valid = np.arange(14) < ragged.lengths[:, None]
    for n in (0, 2, 4):
        y = ragged.counts[..., n][valid]
        above = [(ragged.counts[b, : ragged.lengths[b], n] > constants.tail[n]).any() for b in range(16)]
        assert np.mean(y <= constants.tail[n]) >= 0.999 or sum(above) >= 10
        expected = [np.mean(y == k) for k in range(4)] + [np.mean(y > constants.tail[n])]
        np.testing.assert_allclose(statistics.count_shares[:, n], expected, atol=1e-12)
        deviation = np.array(
            [
                (ragged.counts[b, : ragged.lengths[b], n] == 1).sum() - np.mean(y == 1) * ragged.lengths[b]
                for b in range(16)
            ]
        )
        for k in range(2):
            deviation[ragged.condition == k] -= deviation[ragged.condition == k].mean()
        variance = ((deviation**2).sum() + 1) / 14 / ragged.lengths.mean() ** 2
        if statistics.frame.n_conditions == 2:
            assert statistics.frame.count_shares.scatter[1, n] == pytest.approx(np.sqrt(variance))


# -- floors and faults -----------------------------------------------------------------------------------------------

N_TRIALS = 150
FAST = [m for m in HELDOUT_METRICS if m.name not in ("c2st_basic", "psth_err")]
NEW = ("xcov_rmse", "leadlag_rmse", "private_acf_rmse", "trial_pc_ratio", "count_share_rmse")


@pytest.fixture(scope="module")
def recording():
    """Held-out trials, values of fresh sets of the same process against them, and a way to score others."""
    rng = np.random.default_rng(3)
    train, test = Population().draw(rng, 300), Population().draw(rng, N_TRIALS)
    frame = frame_of(train, test)
    held_out = SetStatistics(summarise(test, frame))

    def score(trials):
        sets = ComparedSets(SetStatistics(summarise(trials, frame)), held_out)
        return {m.name: m.value(sets) for m in FAST}

    fresh = [Population().draw(rng, N_TRIALS) for _ in range(5)]
    return fresh[0], [score(f) for f in fresh], score


def off(values, floor):
    """Metrics that are clearly off their floor: farther from it than six times its scatter."""
    found = set()
    for name, value in values.items():
        rows = np.array([row[name] for row in floor])
        if abs(value - rows.mean()) > 6 * rows.std(ddof=1):
            found.add(name)
    return found


def test_fresh_trials_are_at_the_floor(recording):
    _, floor, score = recording
    assert all(np.isfinite(list(row.values())).all() for row in floor)
    fresh = score(Population().draw(np.random.default_rng(9), N_TRIALS))
    assert not off(fresh, floor) & set(NEW)


def test_shares_of_real_trials_differ_by_one_standard_error():
    rng = np.random.default_rng(4)
    frame = frame_of(Population().draw(rng, 300), Population().draw(rng, 20))
    values = []
    for _ in range(8):
        sets = ComparedSets(*(SetStatistics(summarise(Population().draw(rng, 40), frame)) for _ in "gh"))
        values.append(np.nanmean(sets.share_deviations**2))
    assert np.mean(values) == pytest.approx(1, abs=0.2)


def test_playing_backwards_is_seen_as_lead_and_lag_and_nothing_else(recording):
    trials, floor, score = recording
    values = score(trials._replace(counts=trials.counts[:, ::-1]))
    assert "leadlag_rmse" in off(values, floor)
    assert values["leadlag_rmse"] > 2 * floor[0]["leadlag_rmse"]
    # Cross-correlations contain the lead; the window of the spectrum is not quite symmetric.
    for name in set(values) - {"leadlag_rmse", "xcov_rmse"}:
        assert values[name] == pytest.approx(floor[0][name], rel=0.05 if name == "psd_db" else 1e-4), name


def test_permuted_bins_are_seen_by_what_looks_at_time(recording):
    trials, floor, score = recording
    order = np.argsort(np.random.default_rng(0).random((N_TRIALS, N_BINS)), axis=1)
    values = score(trials._replace(counts=np.take_along_axis(trials.counts, order[..., None], axis=1)))
    assert {"xcov_rmse", "leadlag_rmse", "private_acf_rmse", "acf_rmse"} <= off(values, floor)
    for name in ("corr_rmse", "count_share_rmse", "trial_pc_ratio", "rate_rmse"):
        assert values[name] == pytest.approx(floor[0][name], rel=1e-4), name


@pytest.mark.parametrize(
    ("changed", "seen"),
    [
        (Population(private=0.0, rate=0.35 * np.exp(0.125)), "private_acf_rmse"),
        (Population(dispersion=0.0), "count_share_rmse"),
        (Population(gains=(0.3, 0.2, 0.6)), "trial_pc_ratio"),
        (Population(shared=0.3, rate=0.35 * np.exp(0.18)), "xcov_rmse"),
    ],
)
def test_each_metric_sees_its_own_fault(recording, changed, seen):
    _, floor, score = recording
    values = score(changed.draw(np.random.default_rng(5), N_TRIALS))
    assert seen in off(values, floor)


def test_new_metrics_do_not_exist_where_nothing_can_be_told():
    rng = np.random.default_rng(0)
    single = TrialSet(rng.poisson(0.5, (20, 1, 4)).astype(np.uint8), np.ones(20, np.int64), np.zeros(20, np.int64))
    silent = TrialSet(np.zeros((20, 8, 4), np.uint8), np.full(20, 8), np.zeros(20, np.int64))
    alone = TrialSet(rng.poisson(0.5, (1, 8, 1)).astype(np.uint8), np.full(1, 8), np.zeros(1, np.int64))
    for trials, missing in ((single, NEW[:3]), (silent, NEW[:4]), (alone, NEW[:2])):
        sets = [SetStatistics(summarise(trials, frame_of(trials, trials))) for _ in "gh"]
        values = {m.name: m.value(ComparedSets(*sets)) for m in HELDOUT_METRICS}
        assert all(np.isnan(values[name]) for name in missing)
        assert not any(np.isinf(v) for v in values.values())


def test_real_trials_lie_as_far_along_components_as_floor_draws_of_few_training_trials():
    """Components of training trials would fit the floor, drawn from them, and call new ones too good."""
    rng = np.random.default_rng(0)
    (metric,) = (m for m in HELDOUT_METRICS if m.name == "trial_pc_ratio")
    ratios = []
    for _ in range(12):
        train, test, fresh = (Population().draw(rng, n) for n in (40, 20, 20))
        frame = frame_of(train, test)
        held_out = SetStatistics(summarise(test, frame, half=frame.half))
        values = [
            metric.value(ComparedSets(SetStatistics(summarise(each, frame)), held_out))
            for each in (fresh, train.take(rng.permutation(40)[:20]))
        ]
        ratios.append(np.log(values[0] / values[1]))
    assert abs(np.mean(ratios)) < 3 * np.std(ratios, ddof=1) / np.sqrt(12)
    assert abs(np.mean(ratios)) < 0.5
