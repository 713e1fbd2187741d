"""The classifier two-sample test: protocol, error, power, and what must not fool it."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import roc_auc_score

from spikeloom.data.loading import load
from spikeloom.evaluation.classifier import (
    MIN_JUDGE,
    MIN_LEARN,
    LearningSets,
    TwoSampleTest,
    delong,
    learning_sets,
    prepared,
    rich_test,
)
from spikeloom.evaluation.classifier_features import RIDGE, FeatureBasis, rich_features
from spikeloom.evaluation.summary import TrialSet

BIN_S = 0.02


def trial_set(counts, lengths=None, condition=None) -> TrialSet:
    n, n_bins = counts.shape[:2]
    lengths = np.full(n, n_bins) if lengths is None else lengths
    counts = np.where((np.arange(n_bins) < lengths[:, None])[..., None], counts, 0).astype(np.uint8)
    return TrialSet(counts, lengths, np.zeros(n, np.int64) if condition is None else condition)


def process(rng, n, n_bins=15, n_neurons=6, strength=0.5) -> np.ndarray:
    """Neurons that share a slow signal."""
    shared = np.cumsum(rng.normal(size=(n, n_bins, 1)), axis=1) / np.sqrt(n_bins)
    return rng.poisson(np.exp(-0.5 + strength * shared * np.linspace(-1, 1.5, n_neurons)))


def shuffled(counts, rng) -> np.ndarray:
    return np.stack([counts[rng.permutation(len(counts)), :, k] for k in range(counts.shape[2])], axis=2)


def drawn(rng, learn, test, **kwargs) -> LearningSets:
    return LearningSets(*(trial_set(process(rng, n, **kwargs)) for n in (learn, learn, test, test)))


def corrupted(sets: LearningSets, change) -> LearningSets:
    """The real sides, and what becomes of the generated ones when they are changed."""
    generated, unseen = (s._replace(counts=change(s.counts)) for s in (sets.generated, sets.unseen_generated))
    return sets._replace(generated=generated, unseen_generated=unseen)


# -- the error -------------------------------------------------------------------------------------------------------

SCORES = hnp.arrays(np.float64, st.integers(2, 30), elements=st.integers(-4, 4).map(float))


@given(SCORES, SCORES)
@settings(deadline=None, max_examples=50)
def test_delong_is_the_pairwise_definition(generated, real):
    wins = (generated[:, None] > real) + 0.5 * (generated[:, None] == real)
    variance = wins.mean(1).var(ddof=1) / len(generated) + wins.mean(0).var(ddof=1) / len(real)
    area, se = delong(generated, real)
    assert area == pytest.approx(wins.mean())
    assert area == pytest.approx(roc_auc_score(np.repeat([1, 0], [len(generated), len(real)]), [*generated, *real]))
    assert se == pytest.approx(np.sqrt(variance), abs=1e-12)
    assert delong(real, generated)[0] == pytest.approx(1 - area)


def test_delong_agrees_with_the_scatter():
    rng = np.random.default_rng(0)
    values = np.array([delong(rng.normal(0.8, 2, 60), rng.normal(0, 1, 90)) for _ in range(600)])
    assert values[:, 1].mean() == pytest.approx(values[:, 0].std(), rel=0.1)


def test_delong_without_scores_is_nan():
    assert np.isnan(delong(np.array([1.0]), np.array([0.0, 1.0]))[1])
    assert np.isnan(delong(np.zeros(0), np.array([0.0, 1.0]))).all()
    assert np.isnan(delong(np.array([1.0, np.nan]), np.array([0.0, 1.0]))).all()


# -- the sets --------------------------------------------------------------------------------------------------------


@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(1, 30), st.integers(1, 80), st.integers(1, 3))
@settings(deadline=None, max_examples=60)
def test_both_sides_have_the_same_lengths_conditions_and_other_trials(seed, n_learn, n_test, n_pool, n_conditions):
    rng = np.random.default_rng(seed)
    sides = []
    for first, n in ((1, n_learn), (2, n_test), (3, n_pool)):
        lengths = rng.integers(1, 9, n)
        counts = rng.integers(1, 9, (n, 8, 3))
        counts[:, 0, 0], counts[:, 0, 1], counts[:, 0, 2] = first, np.arange(n), 200  # says which trial it is
        sides.append(trial_set(counts, lengths, rng.integers(0, n_conditions, n)))
    sets = learning_sets(*sides, rng)
    for real, generated in ((sets.real, sets.generated), (sets.unseen_real, sets.unseen_generated)):
        np.testing.assert_array_equal(real.lengths, generated.lengths)
        np.testing.assert_array_equal(real.condition, generated.condition)
        for side in (real, generated):
            beyond = np.arange(side.counts.shape[1]) >= side.lengths[:, None]
            assert (side.counts[beyond] == 0).all()
    used = np.concatenate([s.counts[:, 0, :2] for s in sets.sides])
    assert len(np.unique(used, axis=0)) == len(used)
    sources = [set(s.counts[:, 0, 0].tolist()) for s in sets.sides]
    assert all(found <= {expected} for found, expected in zip(sources, (1, 3, 2, 3)))
    assert len(sets.unseen_real.lengths) <= min(n_test, n_pool // 2)


def test_fresh_trials_come_first_and_learning_is_balanced():
    rng = np.random.default_rng(0)
    real, test = trial_set(process(rng, 100)), trial_set(process(rng, 40))
    sets = learning_sets(real, test, trial_set(process(rng, 120)), rng)
    assert [len(s.lengths) for s in sets.sides] == [80, 80, 40, 40]
    sets = learning_sets(real, test, trial_set(process(rng, 50)), rng)
    assert [len(s.lengths) for s in sets.sides] == [25, 25, 25, 25]


def test_generated_trials_without_conditions_are_one_stratum():
    rng = np.random.default_rng(0)
    real, test = (trial_set(process(rng, n), condition=rng.integers(0, 4, n)) for n in (100, 40))
    sets = learning_sets(real, test, trial_set(process(rng, 200)), rng)
    assert [len(s.lengths) for s in sets.sides] == [100, 100, 40, 40]


def test_unequal_conditions_are_not_what_is_detected():
    rng = np.random.default_rng(1)

    def two_conditions(n, share):
        condition = (rng.random(n) < share).astype(int)
        return trial_set(rng.poisson(np.where(condition, 2.0, 0.5)[:, None, None], (n, 10, 4)), condition=condition)

    real, test, pool = two_conditions(90, 0.5), two_conditions(100, 0.5), two_conditions(900, 0.8)
    matched = rich_test(learning_sets(real, test, pool, rng), BIN_S, 0)
    assert abs(matched.auc - 0.5) < 3 * matched.se
    ignored = [side._replace(condition=np.zeros_like(side.condition)) for side in (real, test, pool)]
    assert rich_test(learning_sets(*ignored, rng), BIN_S, 0).auc > 0.6


# -- no difference ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def alike() -> list[TwoSampleTest]:
    rng = np.random.default_rng(5)
    return [rich_test(drawn(rng, 40, 40, n_bins=10, n_neurons=4), BIN_S, seed) for seed in range(40)]


def test_sets_that_are_alike_scatter_around_one_half(alike):
    assert np.mean([r.auc for r in alike]) == pytest.approx(0.5, abs=0.02)


def test_the_error_of_alike_sets_is_their_scatter(alike):
    assert 1 / 1.5 < np.mean([r.se for r in alike]) / np.std([r.auc for r in alike]) < 1.5


def test_reasons_are_given_only_for_a_difference(alike):
    for result in alike:
        assert bool(result.reasons) == (result.auc - 1.645 * result.se > 0.5)


def test_real_trials_handed_in_as_generated_are_not_different():
    rng = np.random.default_rng(2)
    real, test = trial_set(process(rng, 150)), trial_set(process(rng, 80))
    for pool in (test, real, test._replace(counts=test.counts[::-1]), trial_set(np.tile(real.counts, (3, 1, 1)))):
        result = rich_test(learning_sets(real, test, pool, rng), BIN_S, 0)
        assert result.auc - 2.5 * result.se <= 0.5
        assert result.auc > 0.3


def test_no_trial_is_learned_from_that_is_judged():
    rng = np.random.default_rng(3)
    real, test = trial_set(process(rng, 200)), trial_set(process(rng, 60))
    sets = learning_sets(real, test, real._replace(counts=real.counts.astype(np.uint16)), rng)
    learned, judged = (
        {trial.tobytes() for s in pair for trial in s.counts.astype(int)} for pair in (sets[:2], sets[2:4])
    )
    assert not learned & judged
    assert len(sets.unseen_generated.lengths) == 60


def test_order_of_trials_does_not_matter():
    rng = np.random.default_rng(4)
    sets = drawn(rng, 60, 40)
    ordered = LearningSets(*(s.take(np.argsort(s.counts.sum(axis=(1, 2)))) for s in sets.sides))
    result = rich_test(ordered, BIN_S, 0)
    assert abs(result.auc - 0.5) < 3 * result.se


# -- differences -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "least", "reason"),
    [
        (lambda c, rng: shuffled(c, rng), 0.7, "that other neurons do not share up to 160 ms (too strong)"),
        (lambda c, rng: rng.binomial(c, 0.7), 0.8, "mean rate (too low)"),
        (lambda c, rng: np.minimum(c, 2), 0.8, "share of bins with 3 or more spikes (too few)"),
        (lambda c, rng: c[:, rng.permutation(c.shape[1])], 0.65, "too weak"),
    ],
)
def test_a_fault_is_found_and_named(change, least, reason):
    rng = np.random.default_rng(6)
    sets = corrupted(drawn(rng, 95, 60, strength=1.5), lambda c: change(c, rng).astype(np.uint8))
    result = rich_test(sets, BIN_S, 0)
    assert result.auc > least
    assert any(reason in each for each in result.reasons), result.reasons
    assert len(result.reasons) <= 3


def test_one_neuron_is_named():
    rng = np.random.default_rng(7)

    def one(counts):
        counts = counts.copy()
        counts[:, :, 2] = rng.permuted(rng.poisson(3.0, counts.shape[:2]), axis=0)
        return counts.astype(np.uint8)

    result = rich_test(corrupted(drawn(rng, 95, 60), one), BIN_S, 0)
    assert result.auc > 0.95
    assert any("of neuron 2 (too high)" in each for each in result.reasons), result.reasons


def test_shuffled_neurons_of_a_recording_are_found(recordings):
    data = load(recordings / "s1_reach_50ms.npz", segment="segment", window_s=1.0)
    rng = np.random.default_rng(0)
    counts = data.counts[rng.permutation(data.n_trials)][:700]
    parts = [trial_set(part) for part in np.split(counts, [250, 500, 600])]
    result = rich_test(corrupted(LearningSets(*parts), lambda c: shuffled(c, rng)), data.bin_s, 0)
    assert result.auc > 0.95


# -- lengths and edges -----------------------------------------------------------------------------------------------


def test_lengths_do_not_leak():
    rng = np.random.default_rng(8)
    lengths = [rng.integers(low, high, n) for low, high, n in ((4, 12, 95), (4, 12, 100), (8, 16, 400))]
    sides = [trial_set(rng.poisson(0.7, (len(n), 16, 5)), n) for n in lengths]
    result = rich_test(learning_sets(*sides, rng), BIN_S, 0)
    assert abs(result.auc - 0.5) < 3 * result.se


def test_padding_does_not_change_features():
    rng = np.random.default_rng(9)
    counts = rng.poisson(0.8, (5, 12, 4))
    short, long = trial_set(counts[:, :7]), trial_set(counts, np.full(5, 7))
    basis = FeatureBasis.fit((short, short), BIN_S)
    np.testing.assert_allclose(rich_features(short, basis).values, rich_features(long, basis).values, atol=1e-5)


@given(
    seed=st.integers(0, 2**32 - 1),
    n_bins=st.integers(1, 6),
    n_neurons=st.integers(1, 4),
    n_learn=st.integers(0, 30),
    n_test=st.integers(0, 14),
    rate=st.sampled_from([0.0, 0.05, 3.0]),
)
@settings(deadline=None, max_examples=20)
def test_any_small_set_has_a_result_or_a_note_and_no_warning(seed, n_bins, n_neurons, n_learn, n_test, rate):
    rng = np.random.default_rng(seed)
    pairs = []
    for n in (n_learn, n_test):
        lengths = rng.integers(1, n_bins + 1, n)
        pairs += [trial_set(rng.poisson(rate, (n, n_bins, n_neurons)), lengths) for _ in range(2)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = rich_test(LearningSets(*pairs), BIN_S, 0)
    possible = n_learn >= MIN_LEARN and n_test >= MIN_JUDGE
    assert np.isfinite(result.auc) == np.isfinite(result.se) == possible
    assert possible or "too few trials" in result.note
    if rate == 0 and possible:
        assert result.auc == 0.5


def test_constant_and_silent_neurons():
    rng = np.random.default_rng(10)

    def with_odd_neurons(counts):
        counts = counts.copy()
        counts[..., 0], counts[..., 1] = 2, 0
        return counts

    sets = LearningSets(*(s._replace(counts=with_odd_neurons(s.counts)) for s in drawn(rng, 60, 40).sides))
    result = rich_test(sets, BIN_S, 0)
    assert abs(result.auc - 0.5) < 3 * result.se


def test_a_seed_gives_the_same_result():
    sets = drawn(np.random.default_rng(11), 40, 20)
    assert rich_test(sets, BIN_S, 3) == rich_test(sets, BIN_S, 3)


def test_notes_say_how_many_trials_were_used(monkeypatch):
    sets = drawn(np.random.default_rng(12), 40, 20)
    assert rich_test(sets, BIN_S, 0).note == "learned from 40 trials a side for want of more"
    monkeypatch.setattr("spikeloom.evaluation.classifier.MOST_LEARN", 30)
    result = rich_test(sets, BIN_S, 0)
    assert (result.note, result.n_learn) == ("learned from 30 of 40 trials a side", 30)


def test_large_populations_are_predicted_from_some_neurons_and_seen_in_leading_components(monkeypatch):
    rng = np.random.default_rng(12)
    sets = [trial_set(process(rng, 40, n_neurons=12)) for _ in range(2)]
    whole = FeatureBasis.fit((sets[0], sets[1]), BIN_S)
    monkeypatch.setattr("spikeloom.evaluation.classifier_features.MOST_COMPONENTS", 8)
    monkeypatch.setattr("spikeloom.evaluation.classifier_features.MOST_PREDICTORS", 5)
    part = FeatureBasis.fit((sets[0], sets[1]), BIN_S)
    np.testing.assert_array_equal(part.components, whole.components[:, :8])
    for few, all_of_them in zip(part.patterns, whole.patterns):
        np.testing.assert_allclose(few, all_of_them[:8, :8], atol=1e-5)
    z = np.concatenate([whole.standardised(side.counts.astype(np.float32), side.lengths) for side in sets])
    assert part.predictors is not None
    assert part.prediction.shape == (5, 12)
    assert (part.prediction[np.arange(5), part.predictors] == 0).all()  # no neuron predicts itself
    rows = z.reshape(-1, 12)
    for neuron in range(12):
        others = np.setdiff1d(part.predictors, neuron)
        gram = rows[:, others].T @ rows[:, others] / len(rows) + RIDGE * np.eye(len(others))
        weights = np.linalg.solve(gram, rows[:, others].T @ rows[:, neuron] / len(rows))
        expected = rows[:, neuron] - rows[:, others] @ weights
        np.testing.assert_allclose(part.private(z).reshape(-1, 12)[:, neuron], expected, atol=1e-4)
    assert rich_features(sets[0], part).values.shape[0] == 40


def test_a_hundred_trials_are_kept_however_large_they_are(monkeypatch):
    monkeypatch.setattr("spikeloom.evaluation.classifier.MOST_ELEMENTS", 1000)
    rng = np.random.default_rng(13)
    learn, test = (trial_set(rng.poisson(0.5, (n, 10, 6))) for n in (150, 120))
    sets, note = prepared(LearningSets(learn, learn, test, test), 0)
    assert [len(side.lengths) for side in sets.sides] == [100] * 4
    assert note == "learned from 100 of 150 trials a side; judged on 100 of 120 trials a side"


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value")
def test_features_that_overflow_are_left_out():
    rng = np.random.default_rng(5)
    counts = [process(rng, n).astype(np.int64) for n in (30, 30, 20, 20)]
    for generated in counts[1::2]:
        generated[:, 3, 0] = 2**50
    sets = LearningSets(*(TrialSet(c, np.full(len(c), 15), np.zeros(len(c), np.int64)) for c in counts))
    assert rich_test(sets, BIN_S, 0).auc > 0.9
