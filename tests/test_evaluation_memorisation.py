"""The copy test flags memorisers and leaves honest generators alone."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from spikeloom.evaluation import memorisation as memo
from spikeloom.evaluation.baselines import Baselines
from spikeloom.evaluation.membership import membership, strata
from spikeloom.evaluation.memorisation import CopyFinding, Memorisation, memorisation
from spikeloom.evaluation.neighbours import Smoothing, embed, neighbours
from spikeloom.evaluation.summary import TrialSet

BIN_S = 0.02


def process(rng, n_trials, mixing, n_bins=40):
    """Trials driven by four latents of their own, constant within a trial, and a little temporal structure."""
    latents = rng.standard_normal((n_trials, 1, 4)) + 0.5 * rng.standard_normal((n_trials, n_bins, 4))
    rate = np.minimum(np.exp(latents @ mixing - 1.5), 5)
    counts = rng.poisson(rate).astype(np.uint8)
    return TrialSet(counts, np.full(n_trials, n_bins), np.zeros(n_trials, np.int64))


@pytest.fixture(scope="module")
def sets():
    rng = np.random.default_rng(0)
    mixing = rng.normal(0, 0.5, (4, 50))
    return mixing, process(rng, 300, mixing), process(rng, 120, mixing)


@pytest.mark.parametrize("control", ["verbatim", "replay"])
def test_memorisers_are_flagged(sets, control):
    _, train, test = sets
    drawn = Baselines(train, BIN_S, 1).draw(control, test, np.random.default_rng(1))
    result = memorisation(drawn, train, test, BIN_S)
    assert result.alarm
    assert result.copy_share > 0.7
    assert (result.duplicates == len(test.counts)) == (control == "verbatim")
    assert result.finding is CopyFinding.FOUND
    assert "detected" in result.sentence()
    assert f"above {result.detectable_share:.2f} would have been" in result.sentence()
    assert result.membership_low > 0.5
    assert f"an AUC of {result.membership_auc:.2f} ({result.membership_low:.2f} to " in result.sentence()


def test_fresh_draws_are_not_flagged(sets):
    mixing, train, test = sets
    results = [memorisation(process(np.random.default_rng(s), 120, mixing), train, test, BIN_S) for s in range(20)]
    assert sum(r.alarm for r in results) <= 1
    assert sum(r.finding is CopyFinding.NONE_DETECTED for r in results) >= 19
    assert np.mean([r.membership_auc for r in results]) == pytest.approx(0.5, abs=0.03)
    assert all(f"above {r.detectable_share:.2f} would have been" in r.sentence() for r in results)
    assert all(0.1 <= r.detectable_share < 1 for r in results)
    assert abs(np.mean([r.copy_share for r in results])) < 0.2
    assert np.mean([r.nn_ratio for r in results]) == pytest.approx(1, abs=0.05)
    assert "at this sensitivity" in results[0].sentence()
    assert "private" not in results[0].sentence()


def test_samples_around_one_hub_are_not_flagged(sets):
    _, train, test = sets
    average = np.rint(train.counts.mean(axis=0)).astype(np.uint8)
    hub = TrialSet(np.repeat(average[None], 120, axis=0), test.lengths, test.condition)
    result = memorisation(hub, train, test, BIN_S)
    assert result.finding is CopyFinding.NOT_TESTABLE
    assert result.se > 0.5
    assert np.isnan(result.membership_auc)
    assert "crowd around few real ones" in result.sentence()


def test_a_few_exact_copies_among_honest_samples_are_found(sets):
    mixing, train, test = sets
    fresh = process(np.random.default_rng(3), 120, mixing)
    fresh.counts[:5] = train.counts[10:15]
    result = memorisation(fresh, train, test, BIN_S)
    assert result.duplicates == 5
    assert result.alarm
    assert result.duplicates_held_out == 0


def test_empty_trials_are_no_copies(sets):
    _, train, test = sets
    train, test = (t._replace(counts=t.counts.copy()) for t in (train, test))
    train.counts[:50] = test.counts[:20] = 0
    silent = test._replace(counts=np.zeros_like(test.counts))
    result = memorisation(silent, train, test, BIN_S)
    assert result.duplicates == 0
    assert result.finding is CopyFinding.NOT_TESTABLE
    assert "could not be tested with n = 100 held-out and 0 generated trials" in result.sentence()


@pytest.mark.parametrize("n_held_out", [1, 2, 5, 9])
@pytest.mark.parametrize("n_train", [1, 5, 300])
@pytest.mark.parametrize("n_generated", [1, 40])
def test_too_few_trials_cannot_tell(sets, n_held_out, n_train, n_generated):
    mixing, train, test = sets
    fresh = process(np.random.default_rng(9), n_generated, mixing)
    few = test.take(np.arange(n_held_out)), train.take(np.arange(n_train))
    result = memorisation(fresh, few[1], few[0], BIN_S)
    assert result.finding is CopyFinding.NOT_TESTABLE
    assert f"could not be tested with n = {n_held_out} held-out and {n_generated} generated" in result.sentence()
    assert "No copying" not in result.sentence()
    assert "would have been" not in result.sentence()  # no share above one
    copied = memorisation(few[1], few[1], few[0], BIN_S)
    assert copied.finding is CopyFinding.FOUND  # whatever the numbers, no two trials of this process are alike


def test_trials_that_are_all_the_same_cannot_tell(sets):
    _, train, test = sets
    train, test, drawn = (t.take(np.zeros(n, int)) for t, n in ((train, 300), (train, 120), (train, 120)))
    result = memorisation(drawn, train, test, BIN_S)
    assert result.finding is CopyFinding.NOT_TESTABLE
    assert "identical to training trials" in result.sentence()


def test_few_generated_trials_cannot_tell_though_many_are_held_out(sets):
    mixing, train, test = sets
    result = memorisation(process(np.random.default_rng(2), 12, mixing), train, test, BIN_S)
    assert result.finding is CopyFinding.NOT_TESTABLE
    assert np.isnan(result.detectable_share)
    assert 3 * result.se > 1


def test_coincidences_of_short_sparse_trials_are_no_copies():
    rng = np.random.default_rng(0)
    sparse = [
        TrialSet(rng.binomial(1, 0.1, (n, 3, 3)).astype(np.uint8), np.full(n, 3), np.zeros(n, int)) for n in (60, 3, 60)
    ]
    result = memorisation(sparse[2], sparse[0], sparse[1], BIN_S)
    assert result.duplicates > 10
    assert result.duplicates_held_out <= 3
    assert result.finding is CopyFinding.NOT_TESTABLE


def test_the_more_sensitive_width_is_reported(sets, monkeypatch):
    mixing, train, test = sets
    fresh = process(np.random.default_rng(1), 120, mixing)
    usual = memo.copy_share
    shares = iter([(float("nan"), float("nan")), (0.05, 0.08), (0.2, 0.7), (0.01, 0.2), (0.5, 0.1), (0.1, 0.05)])
    controls = [(0.0, 0.01), (0.0, 0.01)]  # of the one that is significant
    monkeypatch.setattr(memo, "copy_share", lambda *_: next(shares, None) or controls.pop())
    assert usual is not memo.copy_share
    one_missing, one_crowded, one_significant = (memorisation(fresh, train, test, BIN_S) for _ in range(3))
    assert (one_missing.copy_share, one_missing.finding) == (0.05, CopyFinding.NONE_DETECTED)
    assert one_missing.detectable_share == pytest.approx(0.24)
    assert (one_crowded.copy_share, one_crowded.detectable_share) == (0.01, pytest.approx(0.6))
    assert (one_significant.copy_share, one_significant.finding) == (0.5, CopyFinding.FOUND)


def test_result_survives_json(sets):
    mixing, train, test = sets
    for drawn in (process(np.random.default_rng(1), 120, mixing), test.take(np.zeros(0, int))):
        first = memorisation(drawn, train, test, BIN_S)
        text = json.dumps(asdict(first)).replace("NaN", "null")
        again = Memorisation.from_dict(json.loads(text))
        assert repr(again) == repr(first)
        assert again.sentence() == first.sentence()


def test_a_copy_cut_short_is_still_found(sets):
    _, train, test = sets
    copied = train.take(np.arange(120))
    short = np.full(120, 25)
    copied = TrialSet(np.where(np.arange(40)[:, None] < 25, copied.counts, 0).astype(np.uint8), short, copied.condition)
    assert memorisation(copied, train, test, BIN_S).alarm


def test_neighbours_are_sought_within_conditions_when_there_are_enough(sets):
    _, train, test = sets
    rng = np.random.default_rng(5)
    halves = [t._replace(condition=np.arange(len(t.counts)) % 2) for t in (train, test)]
    drawn = Baselines(halves[0], BIN_S, 2).draw("replay", halves[1], rng)
    result = memorisation(drawn, *halves, BIN_S)
    assert result.within_condition
    assert result.alarm
    few = [t._replace(condition=np.arange(len(t.counts)) % 10) for t in (train, test)]
    assert not memorisation(drawn._replace(condition=few[1].condition), *few, BIN_S).within_condition


def test_many_trials_are_subsampled(sets, monkeypatch):
    mixing, train, test = sets
    monkeypatch.setattr(memo, "MOST_PRODUCTS", 1)
    result = memorisation(process(np.random.default_rng(6), 260, mixing), train, test, BIN_S)
    assert result.n_generated == 200
    assert not result.alarm


# -- membership ------------------------------------------------------------------------------------------------------


def auc_of(generated, train, test):
    real = TrialSet(*(np.concatenate(pair) for pair in zip(train, test)))
    (found,) = neighbours([generated], real, Smoothing.of_width(0.05, BIN_S))
    return membership(found.nearest, np.arange(len(real.counts)) < len(train.counts), strata(real))


def test_distances_are_those_of_valid_bins():
    rng = np.random.default_rng(0)
    lengths = rng.integers(3, 21, (2, 8))
    sets = []
    for each in lengths:
        counts = rng.poisson(1.0, (8, 20, 3)) * (np.arange(20) < each[:, None])[..., None]
        sets.append(TrialSet(counts.astype(np.uint8), each, np.zeros(8, int)))
    smoothing = Smoothing(1.5, 1)
    (found,) = neighbours([sets[0]], sets[1], smoothing)
    a, b = (embed(t, smoothing).values.astype(float) for t in sets)
    for i in range(8):
        for j in range(8):
            within = slice(lengths[0, i])
            assert found.squared[i, j] == pytest.approx(((a[i, within] - b[j, within]) ** 2).sum(), rel=1e-3, abs=1e-3)
    for j in range(8):
        within = slice(lengths[1, j])
        distances = np.sort([((a[i, within] - b[j, within]) ** 2).sum() for i in range(8)])
        assert found.nearest[j] == pytest.approx(distances[0] / distances[(8 - 1) // 10], rel=1e-3)


def test_auc_counts_pairs_and_its_error_is_the_published_one():
    rng = np.random.default_rng(0)
    nearest = np.round(rng.random(70), 1)
    in_train = np.arange(70) < 40
    a, b = nearest[in_train], nearest[~in_train]
    wins = (a[:, None] < b) + 0.5 * (a[:, None] == b)
    result = membership(nearest, in_train, np.zeros(70, int))
    assert result.auc == pytest.approx(wins.mean())
    se = np.sqrt(wins.mean(axis=1).var(ddof=1) / 40 + wins.mean(axis=0).var(ddof=1) / 30)
    assert result.high - result.auc == pytest.approx(2.0452 * se, rel=1e-3)  # t quantile of 29 degrees of freedom


def test_conditions_that_are_rare_among_training_trials_do_not_give_them_away():
    rng = np.random.default_rng(0)
    stratum = np.repeat([0, 1, 0, 1], [90, 10, 30, 70])
    far = np.repeat([0.2, 0.8], 2)[[0, 2, 0, 2]].repeat([90, 10, 30, 70]) + 0.1 * rng.random(200)
    in_train = np.arange(200) < 100
    pooled, matched = (membership(far, in_train, s) for s in (np.zeros(200, int), stratum))
    assert pooled.low > 0.65
    assert matched.low < 0.5 < matched.high
    lonely = np.where(np.arange(200) < 5, 7, stratum)  # a condition without held-out trials
    assert np.isfinite(membership(far, in_train, lonely).auc)


@pytest.mark.parametrize("kind", ["same", "other_lengths"])
def test_honest_generators_tell_nothing_about_membership(sets, kind):
    mixing = sets[0]
    results = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        train, test, fresh = (process(rng, n, mixing, 20) for n in (120, 50, 80))
        if kind == "other_lengths":
            train, test, fresh = (
                cut(t, rng.integers(*ends, len(t.counts)))
                for t, ends in ((train, (10, 21)), (test, (6, 18)), (fresh, (10, 21)))
            )
        results.append(auc_of(fresh, train, test))
    auc, low, high = np.transpose(results)
    assert ((low <= 0.5) & (0.5 <= high)).sum() >= 38
    assert (low > memo.LEAST_AUC).sum() == 0
    assert auc.mean() == pytest.approx(0.5, abs=0.02)


def cut(trials, lengths):
    counts = np.where((np.arange(trials.counts.shape[1]) < lengths[:, None])[..., None], trials.counts, 0)
    return TrialSet(counts.astype(np.uint8), lengths, trials.condition)


def test_copies_give_membership_away_in_proportion(sets):
    mixing = sets[0]
    rng = np.random.default_rng(0)
    train, test = process(rng, 300, mixing), process(rng, 120, mixing)
    copies = Baselines(train, BIN_S, 1)
    slots = process(rng, 600, mixing)
    values = []
    for share in (0.0, 0.25, 1.0):
        counts = slots.counts.copy()
        n = int(share * 600)
        counts[:n] = copies.draw("verbatim", slots, rng).counts[:n]
        values.append(auc_of(slots._replace(counts=counts), train, test))
    assert values[0].low < 0.5 < values[0].high
    assert values[1].low > 0.55
    assert values[2].low > 0.85
    assert auc_of(copies.draw("replay", slots, rng), train, test).low > 0.7


def test_drift_is_not_taken_for_copying(sets):
    """Held-out trials of another time differ from training trials, and so from honest samples."""
    mixing, train, _ = sets
    rng = np.random.default_rng(0)
    later = process(rng, 150, mixing * 0.6)
    fresh = process(rng, 400, mixing)
    result = memorisation(fresh, train, later, BIN_S)
    assert result.membership_low > memo.LEAST_AUC
    assert result.membership_drift > memo.LEAST_AUC
    assert not result.alarm


@pytest.mark.parametrize("noise", [0.1, 0.15])
def test_honest_samples_are_not_accused_where_held_out_trials_drift(sets, noise):
    mixing, train, _ = sets
    rng = np.random.default_rng(1)
    drifted = mixing + noise * rng.normal(size=mixing.shape)
    results = [
        memorisation(process(rng, 400, mixing), train, process(rng, 150, drifted), BIN_S, seed) for seed in range(6)
    ]
    assert sum(result.alarm for result in results) <= 1
    copied = Baselines(train, BIN_S, 1).draw("verbatim", process(rng, 150, drifted), rng)
    assert memorisation(copied, train, process(rng, 150, drifted), BIN_S).alarm
