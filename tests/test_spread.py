"""A metric over seeds: both parts of its error, its levels, and which systems can be told apart."""

import numpy as np
import pytest

from spikeloom.bench.quality import Score, marked
from spikeloom.bench.records import plain, typed
from spikeloom.bench.spread import Spread, difference, larger_part, told_apart
from spikeloom.evaluation.results import METRICS, MetricResult
from spikeloom.evaluation.verdict import Level


def spread(*values: float, se: float = 0.1, level: Level = Level.DIFFERS) -> Spread:
    return Spread.of([Score(value, se, level, value / 2) for value in values])


def test_the_error_holds_the_scatter_of_seeds_and_the_choice_of_trials():
    found = spread(1.0, 2.0, 3.0, se=0.2)
    assert (found.value, found.score, found.n) == (2.0, 1.0, 3)
    assert found.seeds == pytest.approx(1 / np.sqrt(3))
    assert found.error == pytest.approx(np.sqrt(1 / 3 + 0.2**2))
    assert spread(1.0).error == pytest.approx(0.1)
    assert spread(1.0, 1.0, se=np.nan).error == 0
    assert np.isnan(spread(1.0, se=np.nan).error)


def test_more_seeds_do_not_make_the_trials_more():
    """All seeds are compared with the same held-out trials."""
    assert spread(*[1.0] * 100, se=0.2).error == pytest.approx(0.2)


def test_bold_only_where_every_seed_matches():
    matches, unclear, off = Level.MATCHES, Level.CANNOT_TELL, Level.NO_BETTER
    assert str(Spread(0.2, 0.0, 0.1, 0.0, (matches, matches))) == "**0.2 ± 0.1**"
    assert marked("1", [matches, unclear]) == "1 ?"
    assert marked("1", [unclear, off]) == marked("1", [matches, off]) == marked("1", [Level.CLOSE]) == "1"
    assert marked("1", [matches, Level.TOO_GOOD]) == "1 (too good)"
    assert marked("1", [Level.NOT_DEFINED]) == "1"


@pytest.mark.parametrize(("name", "shown"), [("corr_slope", 0.4), ("rate_rmse", -0.4)])
def test_scores_of_differences_in_two_directions_are_sizes(name, shown):
    result = MetricResult.undefined(METRICS[name], "", value=1.4, score=-0.4)
    assert Score.of(result).score == shown


def test_systems_are_told_apart_beyond_error_only():
    far = {"a": spread(1.0, 1.01, 0.99, se=0.01), "b": spread(1.01, 1.0, 1.02, se=0.01), "c": spread(3.0, 3.1, 3.05)}
    line = "- `count_kl`: a is lowest; higher beyond error: c (by 2, 1.8 to 2.3); not told from it: b."
    assert told_apart({"count_kl": far}) == [line]
    assert told_apart({"count_kl": {"a": spread(1.0), "b": spread(9.0)}}) == []  # single seeds show no scatter
    assert told_apart({"count_kl": {"a": spread(1.0, 1.0)}}) == []
    infinite = {"a": spread(1.0, 1.1), "b": spread(np.inf, np.inf), "c": spread(1.0, 1.2)}
    assert told_apart({"count_kl": infinite}) == ["- `count_kl`: a is lowest; not told from it: c."]


def test_claims_are_corrected_for_the_whole_table():
    pair = {"a": spread(1.0, 1.0, 1.0, se=0.1), "b": spread(1.4, 1.4, 1.4, se=0.1)}
    assert difference(pair["a"], pair["b"]).p == pytest.approx(0.0047, abs=1e-4)
    assert "higher beyond error: b" in told_apart({"one": pair})[0]
    assert all("not told from it: b" in line for line in told_apart({str(k): pair for k in range(20)}))


def test_seeds_of_one_system_are_called_different_as_often_as_promised():
    rng = np.random.default_rng(0)
    errors = [
        difference(*(spread(*rng.normal(size=3), se=0.0) for _ in range(2))).p < 0.05  # trials without error
        for _ in range(400)
    ]
    assert np.mean(errors) < 0.08


def measured(rng, effect: float, n_seeds: int, trials: np.ndarray) -> Spread:
    """A subject whose seeds scatter by 0.2 and that shares the scatter of the held-out trials with all others."""
    values = effect + 0.2 * rng.standard_normal(n_seeds)
    return Spread.of([Score(v, float(trials.std()), Level.DIFFERS, replicates=tuple(v + trials)) for v in values])


def test_the_error_of_a_difference_is_that_of_a_hierarchical_bootstrap():
    """Seeds drawn anew, then trials: with many seeds, the plain bootstrap and the formula agree."""
    rng = np.random.default_rng(0)
    trials = rng.standard_normal(400)  # five times the scatter of seeds, and the same for both subjects
    n = 40
    seeds = [effect + 0.2 * rng.standard_normal(n) for effect in (0.0, 0.3)]
    own = [0.1 * rng.standard_normal(400) for _ in range(2)]
    one, other = (
        Spread.of([Score(v, 1.0, Level.DIFFERS, replicates=tuple(v + trials + o)) for v in values])
        for values, o in zip(seeds, own)
    )
    drawn = []
    for _ in range(4000):
        r = rng.integers(400)
        drawn.append(np.subtract(*(rng.choice(v, n).mean() + o[r] for v, o in zip(seeds, own))))
    found = difference(one, other)
    assert found.se == pytest.approx(np.std(drawn), rel=0.05)
    apart = Spread(other.value, other.seeds, other.trials, other.score, other.levels)  # trials of its own
    assert difference(one, apart).se > 5 * found.se


def test_shared_trials_do_not_hide_a_difference_nor_make_one():
    rng = np.random.default_rng(1)
    found, missed, false = [], [], []
    for _ in range(300):
        trials = rng.standard_normal(50)
        reference, same, other = (measured(rng, effect, 5, trials) for effect in (0.0, 0.0, 1.0))
        false.append(difference(reference, same).p < 0.05)
        found.append(difference(reference, other).p < 0.05)
        low, high = difference(other, reference).interval
        missed.append(not low < 1.0 < high)
    assert np.mean(false) < 0.08
    assert np.mean(found) > 0.9
    assert np.mean(missed) < 0.08


def test_records_without_replicates_are_read_and_take_errors_as_independent():
    row = plain(Score(1.0, 0.3, Level.DIFFERS, replicates=(1.0, 2.0)))
    assert typed(Score, row).replicates == (1.0, 2.0)
    del row["replicates"]
    old = typed(Score, row)
    assert old.replicates == ()
    assert Spread.of([old, old]).replicates is None
    with pytest.raises(KeyError):
        typed(Score, {"value": 1.0})


def test_the_larger_part_is_named():
    by_trials, by_seeds = spread(1.0, 1.01, se=1.0), spread(1.0, 3.0, se=0.01)
    assert "comes from the choice of trials (in 2 of 3 values" in larger_part([by_trials, by_seeds, by_trials])
    assert "comes from the scatter between seeds (in 2 of 3 values" in larger_part([by_trials, by_seeds, by_seeds])
    assert larger_part([spread(1.0)]) == ""
