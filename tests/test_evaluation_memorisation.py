"""The copy test flags memorisers and leaves honest generators alone."""

import numpy as np
import pytest

from spikeloom.evaluation import memorisation as memo
from spikeloom.evaluation.baselines import Baselines
from spikeloom.evaluation.memorisation import memorisation
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
    assert "detected" in result.sentence()


def test_fresh_draws_are_not_flagged(sets):
    mixing, train, test = sets
    results = [memorisation(process(np.random.default_rng(s), 120, mixing), train, test, BIN_S) for s in range(20)]
    assert sum(r.alarm for r in results) <= 1
    assert abs(np.mean([r.copy_share for r in results])) < 0.2
    assert np.mean([r.nn_ratio for r in results]) == pytest.approx(1, abs=0.05)
    assert "at this sensitivity" in results[0].sentence()
    assert "private" not in results[0].sentence()


def test_samples_around_one_hub_are_not_flagged(sets):
    _, train, test = sets
    average = np.rint(train.counts.mean(axis=0)).astype(np.uint8)
    hub = TrialSet(np.repeat(average[None], 120, axis=0), test.lengths, test.condition)
    result = memorisation(hub, train, test, BIN_S)
    assert not result.alarm
    assert result.se > 0.5


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
    assert not result.alarm


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
