"""Distances between two sets against slow counts and closed forms."""

import numpy as np
import pytest
from scipy.stats import norm

from spikeloom.evaluation.distances import classifier_scores
from spikeloom.evaluation.roc import delong


def test_delong_agrees_with_counting_pairs():
    rng = np.random.default_rng(0)
    generated, real = rng.integers(0, 9, 30).astype(float), rng.integers(2, 11, 20).astype(float)
    wins = (generated[:, None] > real) + 0.5 * (generated[:, None] == real)
    variance = wins.mean(axis=1).var(ddof=1) / 30 + wins.mean(axis=0).var(ddof=1) / 20
    assert delong(generated, real) == pytest.approx((wins.mean(), np.sqrt(variance)))
    assert delong(real, generated) == pytest.approx((1 - wins.mean(), np.sqrt(variance)))


def test_error_of_delong_is_the_scatter_of_fresh_samples():
    rng = np.random.default_rng(1)
    drawn = np.array([delong(rng.normal(1, 1, 40), rng.normal(0, 1, 60)) for _ in range(400)])
    assert drawn[:, 0].mean() == pytest.approx(norm.cdf(1 / np.sqrt(2)), abs=0.01)
    assert drawn[:, 1].mean() == pytest.approx(drawn[:, 0].std(), rel=0.1)


def test_delong_at_the_edges():
    assert delong(np.arange(3.0) + 5, np.arange(3.0)) == (1, 0)
    assert delong(np.ones(4), np.ones(3)) == (0.5, 0)
    assert np.isnan(delong(np.array([np.nan, 1]), np.ones(3))).all()
    assert np.isnan(delong(np.zeros(0), np.ones(3))).all()
    area, error = delong(np.ones(1), np.zeros(3))
    assert area == 1
    assert np.isnan(error)


def test_error_of_trials_that_depend_on_each_other():
    rng = np.random.default_rng(0)
    unit = np.repeat(np.arange(12), 8)

    def scores():
        return rng.normal(0, 1, 12)[unit] + rng.normal(0, 0.3, 96)

    drawn = np.array([(*delong(a := scores(), b := scores(), (unit, unit)), delong(a, b)[1]) for _ in range(300)])
    spread = drawn[:, 0].std()
    assert drawn[:, 1].mean() == pytest.approx(spread, rel=0.15)
    assert drawn[:, 2].mean() < 0.5 * spread
    each = np.arange(96)
    assert delong(a, b, (each, each)) == pytest.approx(delong(a, b))


def test_windows_of_a_stretch_are_not_told_from_others_by_their_stretch():
    rng = np.random.default_rng(1)
    unit = np.repeat(np.arange(15), 6)

    def features():
        return rng.normal(0, 1, (15, 20))[unit] + rng.normal(0, 0.3, (90, 20))

    areas = np.array(
        [
            [delong(*classifier_scores(g, h, 0, units), units)[0] for units in (None, (unit, unit))]
            for g, h in ((features(), features()) for _ in range(8))
        ]
    )
    assert areas[:, 0].mean() > 0.9
    assert areas[:, 1].mean() == pytest.approx(0.5, abs=0.1)
