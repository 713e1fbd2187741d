"""Metrics of codes against closed forms and data whose answer is known."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats
from sklearn.linear_model import Ridge

from spikeloom.errors import ConfigError, DataError
from spikeloom.evaluation.codes import (
    active_dimensions,
    chance_cosine,
    code_moments,
    code_snr,
    heldout_target_error,
    orthogonality,
    paired_difference,
    predict_targets,
    radial_reach,
    unit_r2,
)
from spikeloom.evaluation.mmd import (
    bandwidth_of,
    expected_kernel,
    gaussian_mmd,
    mmd,
    mmd_floor,
    mmd_to_prior,
)
from spikeloom.evaluation.movement import PLACES, PositionDecoder, unintended_movement

# -- signal-to-noise ratio -------------------------------------------------------------------------------------------


def test_snr_of_gaussian_clusters_is_the_closed_form():
    """Total variance is between plus within: tr(B + s^2 I) / (L s^2), exact in the limit of many trials."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(12, 5)) * [3, 1, 0.5, 0, 0]
    sd = np.array([0.5, 0.5, 1.0, 1.0, 0.2])
    labels = np.repeat(np.arange(12), 2000)
    codes = centres[labels] + sd * rng.normal(size=(24000, 5))
    expected = (centres.var(0).sum() + (sd**2).sum()) / (sd**2).sum()
    assert_allclose(code_snr(codes, labels), expected, rtol=0.01)
    assert_allclose(code_snr(codes, rng.permutation(labels)), 1, rtol=0.005)


def test_snr_is_the_mean_over_conditions_not_over_trials():
    codes = np.array([0.0, 2, 4, 10, 11, 12, 10, 11, 12])[:, None]
    labels = np.array(["a"] * 3 + ["b"] * 6)
    expected = codes.var(ddof=1) / ((4 + codes[3:].var(ddof=1)) / 2)
    assert_allclose(code_snr(codes, labels), expected)


def test_rare_conditions_are_dropped_from_both_variances():
    rng = np.random.default_rng(1)
    codes, labels = rng.normal(size=(20, 3)), np.repeat([0, 1], 10)
    strange = np.full((2, 3), 1e6)
    with_rare = code_snr(np.concatenate([codes, strange]), np.append(labels, [7, 7]))
    assert with_rare == code_snr(codes, labels)
    with pytest.raises(DataError, match="1 conditions have 3 trials or more"):
        code_snr(codes[:12], labels[:12])


def test_a_condition_may_be_a_position():
    rng = np.random.default_rng(1)
    codes, place = rng.normal(size=(40, 3)), np.repeat([[0, 0], [0, 1], [1, 0], [1, 1]], 10, axis=0)
    assert code_snr(codes, place) == code_snr(codes, place @ [2, 1])
    with pytest.raises(DataError, match="40 codes but labels of 4 trials"):
        code_snr(codes, place[:4])


# -- orthogonality ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n_dims", "expected"), [(5, 0.375), (15, 0.2095)])
def test_random_directions_have_the_chance_cosine(n_dims, expected):
    a, b = np.random.default_rng(0).normal(size=(2, 100_000, n_dims))
    cosine = np.abs((a * b).sum(1)) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    assert abs(cosine.mean() - expected) < 0.003
    assert abs(chance_cosine(n_dims) - expected) < 5e-5
    assert abs(cosine.mean() - chance_cosine(n_dims)) < 4 * cosine.std() / np.sqrt(len(cosine))


def test_the_chance_cosine_of_one_and_of_very_many_dimensions():
    assert_allclose(chance_cosine(1), 1)
    assert_allclose(chance_cosine(2), 2 / np.pi)
    assert_allclose(chance_cosine(100_000), np.sqrt(2 / (np.pi * 100_000)), rtol=1e-4)


def test_orthogonality_is_that_of_the_known_axes():
    rng = np.random.default_rng(0)
    axes = np.array([[1.0, 0, 0, 0], [3.0, 4.0, 0, 0], [0, 0, -2.0, 0]])
    codes = rng.normal(size=(200, 4))
    found = orthogonality(codes, codes @ axes.T + 7, folds=5)
    assert found.cosines.shape == (5, 3)
    assert found.folds.shape == (5,)
    assert_allclose(found.cosines, np.tile([0.6, 0, 0], (5, 1)), atol=1e-9)
    assert_allclose(found.folds, 0.2, atol=1e-9)
    assert_allclose(found.mean, 0.2, atol=1e-9)


def test_every_fold_is_fitted_to_the_other_trials():
    rng = np.random.default_rng(2)
    codes, values = rng.normal(size=(60, 3)), rng.normal(size=(60, 2))
    found = orthogonality(codes, values, folds=6, seed=4)
    order = np.random.default_rng(4).permutation(60)
    for fold, cosine in enumerate(found.cosines[:, 0]):
        rest = np.delete(order, np.arange(10 * fold, 10 * fold + 10))
        design = np.column_stack([codes[rest], np.ones(50)])
        a, b = np.linalg.solve(design.T @ design, design.T @ values[rest])[:3].T
        assert_allclose(cosine, abs(a @ b) / np.linalg.norm(a) / np.linalg.norm(b), rtol=1e-9)
    assert len(set(found.folds)) == 6
    with pytest.raises(DataError, match="1 variable has no angle"):
        orthogonality(codes, values[:, :1])
    with pytest.raises(DataError, match="12 trials are too few"):
        orthogonality(rng.normal(size=(12, 10)), values[:12])


# -- maximum mean discrepancy ----------------------------------------------------------------------------------------

TABLE = [
    ("pytorch-vae", 5, [0.32, 0.17, 2.03, 1.71]),
    ("pytorch-vae", 15, [0.030, 0.017, 0.25, 0.21]),
    ("infodiffusion", 5, [3.9, 2.0, 11.6, 4.6]),
    ("infodiffusion", 15, [0.46, 0.25, 2.97, 0.75]),
    ("median", 5, [16, 7.3, 16.7, 5.9]),
    ("median", 15, [15.6, 7.5, 19.7, 2.2]),
]


@pytest.mark.parametrize(("rule", "n_dims", "row"), TABLE)
def test_the_closed_form_gives_the_known_table(rule, n_dims, row):
    """Times the weight 98.5, to the digits that the table has: collapse, half and twice the spread, shifted by one."""
    cases = [{"sd": 0.0}, {"sd": 0.5}, {"sd": 2.0}, {"distance": 1.0}]
    for case, expected in zip(cases, row):
        digits = {0.030: 3, 0.017: 3}.get(expected, 0 if expected == 16 else 1 if round(expected, 1) == expected else 2)
        found = 98.5 * gaussian_mmd(n_dims, rule, **case)
        assert round(found, digits) == pytest.approx(expected), (case, found)
    assert_allclose(gaussian_mmd(n_dims, rule), 0, atol=1e-15)


def test_the_three_terms_are_those_of_independent_pairs():
    rng = np.random.default_rng(0)
    sd, shift, h, n = 0.7, np.array([0.5, -1.0, 0, 0, 0.3]), 25.0, 200_000
    prior, code = rng.normal(size=(2, n, 5)), shift + sd * rng.normal(size=(2, n, 5))

    def mean_kernel(x, y):
        k = np.exp(-((x - y) ** 2).sum(1) / h)
        return k.mean(), k.std() / np.sqrt(n)

    terms = [mean_kernel(*prior), mean_kernel(*code), mean_kernel(prior[0], code[0])]
    across = (
        expected_kernel(5, h) + expected_kernel(5, h, sd) - gaussian_mmd(5, h, sd, float(np.linalg.norm(shift)))
    ) / 2
    for (mean, se), exact in zip(terms, [expected_kernel(5, h), expected_kernel(5, h, sd), across]):
        assert abs(mean - exact) < 3 * se


def test_mmd_is_the_mean_of_kernel_values():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(7, 3)), rng.normal(size=(5, 3))

    def mean(a, b, skip=False):
        k = [np.exp(-np.sum((p - q) ** 2) / 36) for i, p in enumerate(a) for j, q in enumerate(b) if not skip or i != j]
        return np.mean(k)

    assert_allclose(mmd(x, y, estimator="v"), mean(x, x) + mean(y, y) - 2 * mean(x, y), rtol=1e-12)
    assert_allclose(mmd(x, y, estimator="u"), mean(x, x, True) + mean(y, y, True) - 2 * mean(x, y), rtol=1e-12)
    assert_allclose(mmd(x, y, 36.0), mmd(x, y, "pytorch-vae"))
    assert [bandwidth_of(r, 15) for r in ("pytorch-vae", "infodiffusion", "median")] == [900, 225, 30]


def test_large_samples_are_summed_in_parts():
    x, y = np.random.default_rng(0).normal(size=(2, 2500, 2)).astype(np.float32)
    squared = ((x[:, None].astype(float) - y) ** 2).sum(-1)
    within = [np.exp(-((z[:, None].astype(float) - z) ** 2).sum(-1) / 4).mean() for z in (x, y)]
    assert_allclose(mmd(x, y, "median", "v"), sum(within) - 2 * np.exp(-squared / 4).mean(), atol=1e-9)


def test_the_v_statistic_has_a_floor_and_the_u_statistic_none():
    assert abs(mmd_floor(64, 5) - 0.0029) < 0.00005
    rng = np.random.default_rng(0)
    draws = rng.normal(size=(1500, 2, 64, 5))
    with_itself = np.array([mmd(a, b, estimator="v") for a, b in draws])
    without = np.array([mmd(a, b) for a, b in draws])
    for found, expected in ((with_itself, mmd_floor(64, 5)), (without, 0.0)):
        assert abs(found.mean() - expected) < 4 * found.std() / np.sqrt(len(found))
        assert found.std() / np.sqrt(len(found)) < 1e-4  # so that the two cannot be mistaken


def test_the_exact_prior_is_the_mean_over_draws_of_it():
    rng = np.random.default_rng(0)
    codes = 0.6 * rng.normal(size=(300, 5)) + 0.2
    drawn = [mmd(codes, rng.normal(size=(400, 5)), "median") for _ in range(60)]
    assert abs(np.mean(drawn) - mmd_to_prior(codes, "median")) < 4 * np.std(drawn) / np.sqrt(60)
    many = [mmd_to_prior(0.5 * rng.normal(size=(200, 5))) for _ in range(200)]
    assert abs(np.mean(many) - gaussian_mmd(5, "pytorch-vae", 0.5)) < 4 * np.std(many) / np.sqrt(200)


def test_no_such_kernel():
    x = np.zeros((4, 2))
    with pytest.raises(ConfigError, match="positive number"):
        mmd(x, x, -1.0)
    with pytest.raises(DataError, match="two codes or more"):
        mmd_to_prior(x[:1])


# -- the cloud -------------------------------------------------------------------------------------------------------


def test_moments_and_active_dimensions_do_not_depend_on_the_axes():
    rng = np.random.default_rng(0)
    codes = rng.normal(size=(5000, 4)) * [1, 0.5, 0.2, 0.01] + [1, 2, 3, 4]
    moments = code_moments(codes)
    assert_allclose(moments.mean, [1, 2, 3, 4], atol=0.05)
    assert_allclose(moments.std, [1, 0.5, 0.2, 0.01], rtol=0.05)
    turned = codes @ np.linalg.qr(rng.normal(size=(4, 4)))[0]
    assert (code_moments(turned).std > 0.1).all()
    assert active_dimensions(codes) == active_dimensions(turned) == 3
    assert active_dimensions(turned, least_sd=0.3) == 2
    assert active_dimensions(codes[:1]) == 0


# -- units -----------------------------------------------------------------------------------------------------------


def test_unit_r2_counts_valid_bins_only():
    rng = np.random.default_rng(0)
    activity = rng.normal(size=(6, 10, 3)) + np.array([0, 5, 0])
    activity[..., 2] = 1
    valid = np.arange(10) < np.array([10, 4, 10, 7, 10, 10])[:, None]
    generated = activity + 0.5 * rng.normal(size=activity.shape)
    rows = [(activity[i, t], generated[i, t]) for i in range(6) for t in range(10) if valid[i, t]]
    true, made = (np.array(x) for x in zip(*rows))
    expected = 1 - ((true - made) ** 2).sum(0) / ((true - true.mean(0)) ** 2).sum(0).clip(1e-300)
    garbage = np.where(valid[..., None], generated, 1e9)
    found = unit_r2(np.where(valid[..., None], activity, -1e9), garbage, valid)
    assert_allclose(found[:2], expected[:2])
    assert np.isnan(found[2])
    assert_allclose(unit_r2(activity, activity)[:2], 1)
    mean = np.broadcast_to(activity.mean((0, 1)), activity.shape)
    assert_allclose(unit_r2(activity, mean)[:2], 0, atol=1e-12)
    with pytest.raises(DataError, match="generate every trial once"):
        unit_r2(activity, generated[:5])


# -- held-out targets ------------------------------------------------------------------------------------------------


def test_heldout_targets_are_read_by_a_map_of_the_others():
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(5, 2))
    codes, unseen = rng.normal(size=(80, 5)), rng.normal(size=(9, 5)) + 3
    targets, true = codes @ weights + [1, 2], unseen @ weights + [1, 2]
    assert_allclose(predict_targets(codes, targets, unseen), true)
    assert_allclose(heldout_target_error(codes, targets, unseen, true + np.array([3, 4])), 5)
    for alpha in (1.0, 50.0):
        expected = Ridge(alpha=alpha).fit(codes, targets).predict(unseen)
        assert_allclose(predict_targets(codes, targets, unseen, alpha), expected, rtol=1e-6)


def test_radial_reach_is_the_part_of_the_way_to_the_target():
    targets = np.array([[3.0, 1], [1, 5], [1, 1], [1, -1]])
    predicted = np.array([[2.0, 9], [1, 5], [4, 4], [1, 2]])
    assert_allclose(radial_reach(predicted, targets, np.array([1.0, 1.0])), [0.5, 1, np.nan, -0.5])
    starts = np.array([[1.0, 1], [1, 3], [0, 0], [1, 0]])
    assert_allclose(radial_reach(predicted, targets, starts), [0.5, 1, 4, -2])


# -- pairs -----------------------------------------------------------------------------------------------------------


def test_paired_difference_is_the_paired_t_test():
    a, b = np.random.default_rng(0).normal(size=(2, 25)) + np.array([[0.4], [0]])
    found = paired_difference(a, b)
    expected = stats.ttest_rel(a, b)
    assert_allclose([found.t, found.p], [expected.statistic, expected.pvalue])
    assert_allclose([found.mean, found.se, found.below], [(a - b).mean(), stats.sem(a - b), (a < b).mean()])
    assert paired_difference(np.append(a, np.nan), np.append(b, 1.0)) == found
    assert found.n == 25
    assert paired_difference(b, a).t == -found.t
    assert paired_difference(b, a).p == found.p


def test_pairs_without_spread_or_partner():
    same = paired_difference(np.ones(4), np.ones(4))
    assert same.mean == 0
    assert np.isnan(same.t)
    assert np.isnan(same.p)
    sure = paired_difference(np.ones(4), np.zeros(4))
    assert sure.t == np.inf
    assert sure.p == 0
    with pytest.raises(DataError, match="1 complete pairs"):
        paired_difference(np.array([1.0, np.nan]), np.ones(2))
    with pytest.raises(DataError, match="cannot be paired"):
        paired_difference(np.ones(3), np.ones(2))


# -- the arm ---------------------------------------------------------------------------------------------------------


def test_the_position_decoder_is_a_ridge_over_all_valid_bins():
    rng = np.random.default_rng(0)
    activity, weights = rng.normal(size=(8, 10, 4)), rng.normal(size=(4, 2))
    hand = activity @ weights + [3, -1]
    hand[2, 3] = np.nan
    valid = np.arange(10) < np.array([10] * 7 + [4])[:, None]
    spoilt = np.where(valid[..., None], activity, 1e6)
    decoder = PositionDecoder.fit(spoilt, hand, valid)
    rows = valid & np.isfinite(hand).all(-1)
    x, y = activity[rows], hand[rows]
    centred = x - x.mean(0)
    expected = np.linalg.solve(centred.T @ centred + np.eye(4), centred.T @ (y - y.mean(0)))
    trajectories = rng.normal(size=(2, 3, 10, 4))
    assert_allclose(decoder.decode(trajectories), (trajectories - x.mean(0)) @ expected + y.mean(0), rtol=1e-9)
    assert decoder.decode(trajectories).shape == (2, 3, 10, 2)
    assert (decoder.score(spoilt, hand, valid) > 0.99).all()
    assert (decoder.score(spoilt, hand + 10 * rng.normal(size=hand.shape), valid) < 0.5).all()
    with pytest.raises(DataError, match="the same trials"):
        PositionDecoder.fit(activity[:3], hand)
    with pytest.raises(DataError, match="no bin has a position"):
        PositionDecoder.fit(activity, np.full_like(hand, np.nan))


def reaches(slopes, amounts, base_trials=3):
    """Straight reaches whose first and last positions change by so much for each amount."""
    base = np.random.default_rng(0).normal(size=(base_trials, 4))
    places = base[:, None] + np.multiply.outer(amounts, slopes)
    way = np.linspace(0, 1, 12)[:, None]
    return places[:, :, None, :2] * (1 - way) + places[:, :, None, 2:] * way


@pytest.mark.parametrize("variable", PLACES)
def test_nothing_is_unintended_when_only_the_variable_moves(variable):
    slopes = np.array([name == variable for name in PLACES], dtype=float) * -2
    movement = unintended_movement(reaches(slopes, [0, 0.1, 0.2]), variable)
    assert_allclose(movement.unintended, 0, atol=1e-12)
    assert_allclose(movement.intended, 0.6)
    assert_allclose(movement.ratio, 0, atol=1e-12)


def test_unintended_movement_is_summed_over_steps_and_the_other_places():
    trajectories = reaches(np.array([0.5, -1, 2, 0.25]), [-2.0, -1, 0, 1, 2])
    movement = unintended_movement(trajectories, "target_x", base_step=2)
    assert_allclose(movement.unintended, 6 * (0.5 + 1 + 0.25))
    assert_allclose(movement.intended, 6 * 2)
    assert_allclose(movement.ratio, 1.75 / 2)
    assert_allclose(unintended_movement(trajectories, "start_y", base_step=0).unintended, 10 * 2.75)
    still = unintended_movement(reaches(np.zeros(4), [0, 1]), "start_x")
    assert np.isnan(still.ratio).all()
    assert not still.unintended.any()


def test_movement_that_cannot_be_scored_is_an_error():
    trajectories = reaches(np.ones(4), [0, 1])
    with pytest.raises(ConfigError, match="no coordinate 'end_x'"):
        unintended_movement(trajectories, "end_x")
    with pytest.raises(DataError, match="base_step is 2, but the traversal has 2 steps"):
        unintended_movement(trajectories, "target_x", base_step=2)
