"""The map from codes to behaviour against codes whose map is known, and behaviour as a recording holds it."""

import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from spikeloom.data.spikedata import Signal, SpikeData
from spikeloom.errors import ConfigError, DataError, SpikeloomWarning
from spikeloom.evaluation.behaviour import behaviour_of
from spikeloom.evaluation.code_map import LinearMap, least_squares, medoid, split_folds

NAMES = ["start_x", "start_y", "target_x", "target_y"]
UNITS = ["m"] * 4
W = np.array([[1.0, 0, 0, 0, 0.5], [0, 0.8, 0, 0.3, 0], [0.6, 0, 0.1, 0, 0], [0, 0.02, 0, 0.01, 0.03]])
B = np.array([0.2, -0.1, 5.0, 0.4])


def linear(noise=0.0, n=300, seed=0):
    rng = np.random.default_rng(seed)
    codes = rng.normal(size=(n, 5)) @ rng.normal(size=(5, 5))
    return codes, codes @ W.T + B + noise * rng.normal(size=(n, 4))


@pytest.fixture(scope="module")
def mapped():
    codes, values = linear()
    return codes, LinearMap.fit(codes, values, NAMES, UNITS)


# -- fit -------------------------------------------------------------------------------------------------------------


def test_the_map_is_found(mapped):
    codes, found = mapped
    assert_allclose(found.weights, W, atol=1e-9)
    assert_allclose(found.intercept, B, atol=1e-9)
    assert_allclose(found.heldout_r2, 1, atol=1e-12)
    assert (found.names, found.units) == (tuple(NAMES), tuple(UNITS))
    assert_allclose(found.read(codes[:3]), codes[:3] @ W.T + B)
    assert_allclose(found.read(codes[0]), codes[0] @ W.T + B)


def test_heldout_r2_is_that_of_trials_that_were_not_fitted():
    codes, values = linear(noise=1.0, n=40, seed=3)
    folds = split_folds(40, 8, seed=5)
    assert sorted(np.concatenate(folds)) == list(range(40))
    assert {len(f) for f in folds} == {5}
    predicted = np.empty_like(values)
    for out in folds:
        kept = np.array([i for i in range(40) if i not in out])
        design = np.column_stack([codes[kept], np.ones(len(kept))])
        solved = np.linalg.solve(design.T @ design, design.T @ values[kept])
        predicted[out] = np.column_stack([codes[out], np.ones(5)]) @ solved
    r2 = 1 - ((values - predicted) ** 2).sum(0) / (len(values) * values.var(0))
    found = LinearMap.fit(codes, values, NAMES, folds=8, seed=5)
    assert_allclose(found.heldout_r2, r2, rtol=1e-6)
    assert not np.allclose(LinearMap.fit(codes, values, NAMES, folds=8, seed=6).heldout_r2, r2)


def test_codes_that_say_nothing_explain_nothing_of_other_trials():
    rng = np.random.default_rng(0)
    found = LinearMap.fit(rng.normal(size=(60, 10)), rng.normal(size=(60, 3)), ["a", "b", "c"])
    assert (found.heldout_r2 < 0.05).all()  # within the trials of the fit it would be 0.17


def test_a_dead_dimension_gets_no_weight():
    """In single precision a dimension that never changes wobbles a little; weights on that would be enormous."""
    codes, values = linear(noise=0.1)
    wobble = 1e-8 * np.random.default_rng(0).normal(size=(len(codes), 1))
    with_dead = np.column_stack([codes, 0.3 + wobble]).astype(np.float32)
    found = LinearMap.fit(with_dead, values, NAMES)
    assert_allclose(found.weights[:, 5], 0, atol=1e-3)
    assert_allclose(found.weights[:, :5], least_squares(codes, values)[0], atol=1e-4)
    assert found.weights.dtype == np.float64


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda c, v: (c[:-1], v, NAMES, UNITS), DataError, "299 codes for 300 trials"),
        (lambda c, v: (c, v, NAMES[:3], UNITS), DataError, "4 variables came with 3 names"),
        (lambda c, v: (c, v, [*NAMES[:3], "start_x"], UNITS), DataError, "'start_x' is named twice"),
        (lambda c, v: (c, np.where(np.arange(300)[:, None] == 7, np.nan, v), NAMES, UNITS), DataError, "trial 7"),
        (lambda c, v: (c[:11], v[:11], NAMES, UNITS), None, ""),
        (lambda c, v: (c[:7], v[:7], NAMES, UNITS), DataError, "7 trials are too few"),
        (lambda c, v: (c, v * [1, 1, 0, 1], NAMES, UNITS), DataError, "'target_x' is the same in all trials"),
    ],
)
def test_what_cannot_be_fitted_is_refused(change, error, words):
    made = change(*linear())
    if error is None:
        LinearMap.fit(*made)
        return
    with pytest.raises(error, match=words):
        LinearMap.fit(*made)


def test_one_fold_is_refused():
    with pytest.raises(ConfigError, match="folds is 1"):
        LinearMap.fit(*linear(), NAMES, folds=1)


# -- traversals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("direction", ["row", "pinv"])
@pytest.mark.parametrize("name", NAMES)
def test_effect_steps_change_the_reading_by_the_amount(mapped, name, direction):
    codes, found = mapped
    amounts = np.array([-0.1, 0.0, 0.05, 2.0])
    traversed = found.traverse(codes[4], name, amounts, step="effect", direction=direction)
    read = found.read(traversed) - found.read(codes[4])
    assert traversed.shape == (4, 5)
    assert_allclose(traversed[1], codes[4])
    assert_allclose(read[:, NAMES.index(name)], amounts, atol=1e-12)


@pytest.mark.parametrize("step", ["paper", "unit", "effect"])
def test_pinv_leaves_the_others_fixed_and_row_does_not(mapped, step):
    codes, found = mapped
    others = [0, 1, 3]

    def moved(direction):
        traversed = found.traverse(codes[0], "target_x", [1.0], step=step, direction=direction)
        return (found.read(traversed) - found.read(codes[0]))[0]

    assert_allclose(moved("pinv")[others], 0, atol=1e-6)
    assert moved("pinv")[2] > 0.1
    assert abs(moved("row")[0]) > 0.2  # w of start_x and target_x are correlated
    assert_allclose(moved("row")[[1, 3]], 0, atol=1e-9)


def test_a_paper_step_is_the_raw_direction(mapped):
    codes, found = mapped
    traversed = found.traverse(codes[0], "start_x", [-3, 0, 2], step="paper")
    assert_allclose(traversed, codes[0] + np.array([[-3], [0], [2]]) * W[0], atol=1e-9)
    assert_allclose(
        (found.read(traversed) - found.read(codes[0]))[:, 0], np.array([-3, 0, 2]) * (W[0] @ W[0]), atol=1e-9
    )


@pytest.mark.parametrize("direction", ["row", "pinv"])
def test_a_unit_step_has_length_one(mapped, direction):
    codes, found = mapped
    traversed = found.traverse(codes[0], "target_y", [0.0, 1.0, -2.0], step="unit", direction=direction)
    assert_allclose(np.linalg.norm(traversed - codes[0], axis=1), [0, 1, 2])
    assert found.read(traversed[1])[3] > found.read(traversed[0])[3]


def test_pinv_is_the_pseudo_inverse_whatever_the_units(mapped):
    _, found = mapped
    inverse = np.linalg.pinv(W)
    columns = np.column_stack([found.direction(name, "pinv") for name in NAMES])
    assert_allclose(columns, inverse, atol=1e-9)
    tiny = LinearMap(W * np.array([[1], [1], [1], [1e-7]]), B, tuple(NAMES), tuple(UNITS), np.ones(4))
    assert_allclose(tiny.weights @ tiny.direction("target_y", "pinv"), [0, 0, 0, 1], atol=1e-6)


def test_more_variables_than_dimensions_are_traversed_with_a_warning():
    rng = np.random.default_rng(0)
    found = LinearMap(rng.normal(size=(3, 2)), np.zeros(3), ("a", "b", "c"), ("",) * 3, np.ones(3))
    with pytest.warns(SpikeloomWarning, match="no direction changes 'b' alone"):
        traversed = found.traverse(np.zeros(2), "b", [2.0], step="effect", direction="pinv")
    assert_allclose(found.read(traversed)[0, 1], 2.0)


def test_a_variable_that_codes_hardly_hold_is_traversed_with_a_warning():
    codes, values = linear()
    values[:, 1] = np.random.default_rng(1).normal(size=300)
    found = LinearMap.fit(codes, values, NAMES)
    with pytest.warns(SpikeloomWarning, match=rf"'start_y'.* {found.heldout_r2[1]:.2f} of its variance"):
        found.traverse(codes[0], "start_y", [1.0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found.traverse(codes[0], "start_x", [1.0])


@pytest.mark.parametrize(("r2", "warned"), [(0.49, True), (0.5, False), (np.nan, True)])
def test_the_warning_is_below_a_half(r2, warned):
    found = LinearMap(W, B, tuple(NAMES), tuple(UNITS), np.array([1, 1, r2, 1.0]))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found.traverse(np.zeros(5), "target_x", [1.0])
    assert len(caught) == warned


def test_traversals_that_cannot_be_are_refused(mapped):
    codes, found = mapped
    with pytest.raises(ConfigError, match="no variable 'targetx'; did you mean 'target_x'"):
        found.traverse(codes[0], "targetx", [1.0])
    with pytest.raises(ConfigError, match="it has start_x, start_y, target_x, target_y"):
        found.direction("speed")
    with pytest.raises(DataError, match="3 dimensions but the map reads codes of 5"):
        found.traverse(codes[0, :3], "target_x", [1.0])


@pytest.mark.filterwarnings("ignore:no direction changes")
@pytest.mark.parametrize("direction", ["row", "pinv"])
def test_codes_that_hold_nothing_of_a_variable_cannot_be_traversed(direction):
    nothing = LinearMap(W * [[0], [1], [1], [1]], B, tuple(NAMES), tuple(UNITS), np.ones(4))
    with pytest.raises(DataError, match="'start_x' cannot be read from the codes"):
        nothing.traverse(np.zeros(5), "start_x", [1.0], direction=direction)


def test_cosines_are_those_of_the_rows(mapped):
    _, found = mapped
    cosines = found.cosines()
    assert_allclose(np.diag(cosines), 1)
    assert_allclose(cosines[0, 2], 0.6 / np.linalg.norm(W[0]) / np.linalg.norm(W[2]))
    assert_allclose(cosines, cosines.T)
    flipped = LinearMap(-W * [[1], [-1], [1], [1]], B, tuple(NAMES), tuple(UNITS), np.ones(4))
    assert_allclose(flipped.cosines(), cosines, atol=1e-12)


def test_the_medoid_is_a_trial_and_nearest_to_the_mean():
    codes = np.random.default_rng(0).normal(size=(30, 4)) + 3
    index = medoid(codes)
    distance = np.linalg.norm(codes - codes.mean(0), axis=1)
    assert isinstance(index, int)
    assert distance[index] == distance.min()
    with pytest.raises(DataError, match="0 codes"):
        medoid(np.zeros((0, 4)))


# -- behaviour of a recording ----------------------------------------------------------------------------------------


@pytest.fixture
def recording():
    hand = np.arange(5 * 6 * 2, dtype=float).reshape(5, 6, 2)
    trials = pd.DataFrame(
        {
            "target_x": [1.0, 2.5, 3.0, -4.25, 5.0],
            "reach_angle": [0.0, 90.0, 180.0, 270.0, 350.0],
            "turn": [0.1, 0.2, 0.3, 0.4, 0.5],
            "wait_s": [0.5, np.nan, 0.25, 0.75, 1.0],
            "column": [0, 1, 2, 0, 1],
            "correct": [True, False, True, True, False],
            "side": ["left", "right", "left", "right", "left"],
            "nothing": [np.nan] * 5,
        }
    )
    signals = {"hand_position": Signal(hand, "cm", ("x", "y")), "speed": Signal(hand[..., 0], "cm/s")}
    lengths = np.array([6, 5, 6, 1, 6])
    return SpikeData(np.ones((5, 6, 2), int), bin_s=0.01, lengths=lengths, trials=trials, signals=signals)


def test_columns_of_numbers_are_taken_as_they_are(recording):
    found = behaviour_of(recording, ["target_x", "column", "correct"])
    assert found.names == ("target_x", "column", "correct")
    assert found.units == ("", "", "")
    assert_allclose(found.values, [[1, 0, 1], [2.5, 1, 0], [3, 2, 1], [-4.25, 0, 1], [5, 1, 0]])
    assert found.trials.tolist() == [0, 1, 2, 3, 4]


def test_ends_of_signals_are_the_first_and_last_valid_bin(recording):
    hand = recording.signals["hand_position"].values
    found = behaviour_of(recording, ["hand_position:first", "hand_position:last", "speed:last"])
    assert found.names == (
        "hand_position_x:first",
        "hand_position_y:first",
        "hand_position_x:last",
        "hand_position_y:last",
        "speed:last",
    )
    assert found.units == ("cm",) * 4 + ("cm/s",)
    assert_allclose(found.values[:, :2], hand[:, 0])
    assert_allclose(found.values[:, 2:4], hand[np.arange(5), [5, 4, 5, 0, 5]])
    alone = behaviour_of(recording, ["hand_position_y:last"])
    assert alone.names == ("hand_position_y:last",)
    assert_allclose(alone.values[:, 0], found.values[:, 3])


def test_angles_become_cosine_and_sine(recording):
    found = behaviour_of(recording, ["reach_angle", "turn:rad", "target_x"])
    assert found.names == ("reach_angle_cos", "reach_angle_sin", "turn_cos", "turn_sin", "target_x")
    assert_allclose(found.values[:4, :2], [[1, 0], [0, 1], [-1, 0], [0, -1]], atol=1e-12)
    assert_allclose(found.values[:, 2:4], np.column_stack([np.cos(turn := np.arange(1, 6) / 10), np.sin(turn)]))
    assert_allclose(behaviour_of(recording, ["turn"]).values[:, 0], turn)
    assert_allclose(behaviour_of(recording, ["reach_angle:number"]).values[1, 0], 90)


def test_trials_without_a_value_are_left_out_and_said(recording):
    with pytest.warns(SpikeloomWarning, match="1 of 5 trials are left out because 'wait_s'"):
        found = behaviour_of(recording, ["target_x", "wait_s"])
    assert found.trials.tolist() == [0, 2, 3, 4]
    assert found.units == ("", "s")
    assert_allclose(found.values[:, 0], [1, 3, -4.25, 5])


@pytest.mark.parametrize(
    ("names", "error", "words"),
    [
        (["side"], DataError, "'side' holds text such as 'left'"),
        (["targt_x"], ConfigError, "did you mean 'target_x'"),
        (["hand_postion:last"], ConfigError, "did you mean 'hand_position:last'"),
        (["zzz"], ConfigError, "it has target_x, reach_angle"),
        (["hand_position"], ConfigError, "name an end: 'hand_position:first', 'hand_position:last'"),
        (["target_x:label"], ConfigError, "of kind 'label'"),
        (["target_x", "target_x"], ConfigError, "'target_x' is named twice"),
        (["hand_position:last", "hand_position_x:last"], ConfigError, "named twice"),
        (["target_x", "nothing"], DataError, "of 'nothing': 0 trials of 5"),
        ([], ConfigError, "no variable of behaviour is named"),
    ],
)
def test_what_is_no_behaviour_is_refused(recording, names, error, words):
    with pytest.raises(error, match=words):
        behaviour_of(recording, names)
