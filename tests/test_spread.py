"""A metric over seeds: both parts of its error, its levels, and which systems can be told apart."""

import numpy as np
import pytest

from spikeloom.bench.quality import Score, marked
from spikeloom.bench.spread import Spread, difference_p, larger_part, told_apart
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
    assert told_apart({"count_kl": far}) == ["- `count_kl`: a is lowest; higher beyond error: c; not told from it: b."]
    assert told_apart({"count_kl": {"a": spread(1.0), "b": spread(9.0)}}) == []  # single seeds show no scatter
    assert told_apart({"count_kl": {"a": spread(1.0, 1.0)}}) == []
    infinite = {"a": spread(1.0, 1.1), "b": spread(np.inf, np.inf), "c": spread(1.0, 1.2)}
    assert told_apart({"count_kl": infinite}) == ["- `count_kl`: a is lowest; not told from it: c."]


def test_claims_are_corrected_for_the_whole_table():
    pair = {"a": spread(1.0, 1.0, 1.0, se=0.1), "b": spread(1.4, 1.4, 1.4, se=0.1)}
    assert difference_p(pair["a"], pair["b"]) == pytest.approx(0.0047, abs=1e-4)
    assert "higher beyond error: b" in told_apart({"one": pair})[0]
    assert all("not told from it: b" in line for line in told_apart({str(k): pair for k in range(20)}))


def test_seeds_of_one_system_are_called_different_as_often_as_promised():
    rng = np.random.default_rng(0)
    errors = [
        difference_p(*(spread(*rng.normal(size=3), se=0.0) for _ in range(2))) < 0.05  # trials without error
        for _ in range(400)
    ]
    assert np.mean(errors) < 0.08


def test_the_larger_part_is_named():
    by_trials, by_seeds = spread(1.0, 1.01, se=1.0), spread(1.0, 3.0, se=0.01)
    assert "comes from the choice of trials (in 2 of 3 values" in larger_part([by_trials, by_seeds, by_trials])
    assert "comes from the scatter between seeds (in 2 of 3 values" in larger_part([by_trials, by_seeds, by_seeds])
    assert larger_part([spread(1.0)]) == ""
