"""Sums per block: computed when needed, resampled by weights, and small whatever the number of neurons."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulated_population import BIN_S, Population, frame_of
from spikeloom.evaluation import compared_sets as compared_sets_module
from spikeloom.evaluation import frame as frame_module
from spikeloom.evaluation.compared_sets import ComparedSets, SetStatistics, replicates
from spikeloom.evaluation.frame import Frame
from spikeloom.evaluation.metrics import HELDOUT_METRICS
from spikeloom.evaluation.neuron_groups import NeuronGroups
from spikeloom.evaluation.resampling import in_blocks, number_of_blocks
from spikeloom.evaluation.summary import GROUPS, summarise
from spikeloom.evaluation.trial_set import TrialSet, spread_out

FAST = [m for m in HELDOUT_METRICS if m.name != "c2st_basic"]


@pytest.fixture(scope="module")
def two_sets():
    rng = np.random.default_rng(0)
    sets = [Population().draw(rng, n) for n in (60, 40, 40)]
    sets = [t._replace(condition=np.arange(len(t.lengths)) // 7 % 2) for t in sets]
    frame = Frame.from_real(*sets[:2], BIN_S, 2, True)
    starts = np.array([0, 7, 14, 21, 28, 35])
    return tuple(summarise(t, frame, starts) for t in sets[1:])


def test_only_what_is_needed_is_computed(two_sets):
    summary = summarise(two_sets[0].trials, two_sets[0].frame)
    SetStatistics(summary).mean_counts  # noqa: B018
    assert set(summary._blocks) == {"n", "total", "square", "cross"}
    assert sum(len(names) for names in GROUPS.values()) == len({n for names in GROUPS.values() for n in names})


def test_weights_of_one_are_the_set_itself(two_sets):
    whole = ComparedSets(*map(SetStatistics, two_sets))
    ones = ComparedSets(*(SetStatistics(s, np.ones(6)) for s in two_sets))
    for metric in FAST:
        assert metric.value(ones) == pytest.approx(metric.value(whole), rel=1e-6), metric.name


def test_replicates_are_those_of_their_weights(two_sets, monkeypatch):
    monkeypatch.setattr(compared_sets_module, "N_TOGETHER", 4)
    weights = np.random.default_rng(1).multinomial(6, np.full(6, 1 / 6), 9).astype(float)
    together = list(zip(*(replicates(s, weights) for s in two_sets)))
    assert len(together) == 9
    for row, pair in zip(weights, together):
        alone = ComparedSets(*(SetStatistics(s, row) for s in two_sets))
        for metric in FAST:
            assert metric.value(ComparedSets(*pair)) == pytest.approx(metric.value(alone), rel=1e-5), metric.name


def test_a_resampled_set_is_the_set_of_its_repeated_blocks(two_sets):
    """Where nothing is centred on the set's own course the sums of a sample are those of its trials."""
    summary = two_sets[0]
    weights = np.array([2.0, 0, 1, 1, 0, 2])
    first = np.repeat(summary.starts, weights.astype(int))
    index = np.concatenate([np.arange(start, min(start + 7, 40)) for start in first])
    repeated = SetStatistics(summarise(summary.trials.take(index), summary.frame))
    sample = SetStatistics(summary, weights)
    for name in ("mean_counts", "correlations", "autocorrelation", "interval_mean", "count_shares", "power"):
        np.testing.assert_allclose(getattr(sample, name), getattr(repeated, name), rtol=1e-5, err_msg=name)
    np.testing.assert_allclose(sample.psth[0], repeated.psth[0], rtol=1e-5, atol=1e-7)
    assert sample.dimension == pytest.approx(repeated.dimension, rel=1e-5)


# -- many neurons ----------------------------------------------------------------------------------------------------


@given(st.integers(2, 700), st.integers(1, 3000))
@settings(max_examples=40, deadline=None)
def test_groups_give_every_neuron_its_share_of_pairs(n_neurons, most_pairs):
    groups = NeuronGroups.drawn(n_neurons, most_pairs)
    pairs = groups.pairs
    assert (pairs[:, 0] > pairs[:, 1]).all()
    assert len(np.unique(pairs, axis=0)) == len(pairs)
    assert len(pairs) <= max(most_pairs, n_neurons)  # groups have two neurons at least
    partners = np.bincount(pairs.ravel(), minlength=n_neurons)
    assert np.ptp(partners) <= 1
    if n_neurons * (n_neurons - 1) // 2 <= most_pairs:
        assert not groups.sampled
        assert len(pairs) == n_neurons * (n_neurons - 1) // 2
    assert groups.scale * len(pairs) == pytest.approx(n_neurons * (n_neurons - 1) / 2)
    np.testing.assert_array_equal(groups.ordered_pairs[len(pairs) :], pairs[:, ::-1])


def test_sampled_pairs_have_the_values_of_all_pairs(two_sets):
    trials = two_sets[0].trials
    frame = frame_of(trials, trials)
    sampled = frame_of(trials, trials)
    object.__setattr__(sampled, "groups", NeuronGroups.drawn(24, 100))
    object.__setattr__(sampled, "lagged_groups", NeuronGroups.drawn(24, 60))
    assert sampled.pairs_sampled
    every, some = (SetStatistics(summarise(trials, f, np.array([0, 13]))) for f in (frame, sampled))
    of = {"correlations": "pairs", "noise_correlations": "pairs", "cross_correlations": "ordered_pairs"}
    for name, part in of.items():
        found = dict(zip(map(tuple, getattr(frame, part)), getattr(every, name).T))
        for pair, value in zip(map(tuple, getattr(sampled, part)), getattr(some, name).T):
            np.testing.assert_allclose(value, found[pair], atol=1e-5)
    assert some.dimension == pytest.approx(every.dimension, rel=0.25)


def test_many_neurons_keep_their_blocks_and_need_little_memory():
    rng = np.random.default_rng(0)
    trials = TrialSet(rng.poisson(0.3, (30, 8, 700)).astype(np.uint8), np.full(30, 8), np.zeros(30, np.int64))
    frame = frame_of(trials, trials)
    summary = summarise(trials, frame, np.arange(30))
    sets = ComparedSets(SetStatistics(summary), SetStatistics(summary))
    values = {m.name: m.value(sets) for m in FAST}
    assert {name for name, value in values.items() if np.isnan(value)} == {"psth_err"}
    assert max(len(frame.pairs), len(frame.ordered_pairs)) <= 20_000
    assert sum(v.data.nbytes for v in summary._blocks.values()) < 6e7
    for prediction in frame.predictions:
        assert len(prediction.predictors) == 300
        assert (prediction.weights[np.arange(300), prediction.predictors] == 0).all()


def test_large_sets_use_a_part_of_their_trials_at_a_lag(monkeypatch):
    monkeypatch.setattr(frame_module, "MOST_LAGGED_ELEMENTS", 60 * 60 * 24)
    rng = np.random.default_rng(2)
    train, test = Population().draw(rng, 200), Population().draw(rng, 120)
    frame = frame_of(train, test)
    assert (frame.n_lagged_trials, frame.lagged_sampled) == (60, True)
    assert len(frame.enough.lengths) == 60
    blocks = summarise(test, frame, np.arange(0, 120, 2))
    whole = SetStatistics(summarise(test, frame))
    index = np.arange(120)
    kept = np.bincount(spread_out(TrialSet(index, index, index), 60).counts // 2, minlength=60)
    assert set(kept) == {0, 1, 2}
    np.testing.assert_array_equal(blocks.blocks("lagged_bins")[:, 0], 60 * kept)
    np.testing.assert_array_equal(blocks.blocks("private_bins")[:, 0], 60 * kept)
    np.testing.assert_array_equal(blocks.blocks("smooth_n"), 60 * kept)
    for name in ("cross_correlations", "private_autocovariance", "dimension"):
        np.testing.assert_allclose(getattr(SetStatistics(blocks), name), getattr(whole, name), atol=1e-5)
    some = spread_out(test, 60)
    assert whole.dimension == pytest.approx(SetStatistics(summarise(some, frame)).dimension)


def test_products_of_groups_are_those_of_their_neurons():
    rows = np.random.default_rng(0).normal(size=(50, 24))
    for groups in (NeuronGroups.of_all(24), NeuronGroups.drawn(24, 60)):
        i, j = groups.pairs.T
        squares, products = groups.products(rows)
        np.testing.assert_allclose(squares, (rows**2).sum(axis=0))
        np.testing.assert_allclose(products, (rows[:, i] * rows[:, j]).sum(axis=0))
        for lag, values in enumerate(groups.lagged_products(rows, 3), start=1):
            early, late = rows[:-lag], rows[lag:]
            expected = [(early[:, a] * late[:, b]).sum(axis=0) for a, b in ((i, j), (j, i))]
            np.testing.assert_allclose(values, np.concatenate(expected))


def test_errors_rest_on_fifty_blocks_whatever_the_population():
    trials = TrialSet(np.zeros((200, 2, 3), np.uint8), np.full(200, 2), np.zeros(200, np.int64))
    for n_neurons in (10, 100, 1500, 3000, 100_000):
        most = number_of_blocks(n_neurons)
        assert most >= 50
        assert len(in_blocks(trials, np.arange(200), most, np.random.default_rng(0)).starts) == most
