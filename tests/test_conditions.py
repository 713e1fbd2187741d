"""Conditions on the side of the data: variables, requests and tables, and the features made of them."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeloom.conditioning.features import Condition
from spikeloom.conditioning.parsing import from_table, read_table
from spikeloom.conditioning.requests import Conditions
from spikeloom.conditioning.variables import Variable, check_complete, label_of, variables_of
from spikeloom.data.spikedata import Signal, SpikeData
from spikeloom.data.splits import with_default_splits
from spikeloom.errors import ConfigError, DataError, SpikeloomWarning

N, BINS = 20, 12
ANGLES = np.tile([0.0, 45.0, 90.0, 135.0], 5)


def recording(n_bins=BINS, lengths=None, **columns):
    """Trials with the given columns, and a signal ``vel``."""
    rng = np.random.default_rng(0)
    vel = rng.normal([3.0, -1.0], [2.0, 0.5], (N, n_bins, 2))
    data = SpikeData(
        rng.poisson(0.5, (N, n_bins, 3)),
        bin_s=0.02,
        lengths=lengths,
        trials=pd.DataFrame(columns, index=range(N)),
        signals={"vel": Signal(vel, "cm/s", ("x", "y"))},
    )
    return with_default_splits(data)


def variable(values, name="x", kind=""):
    return Variable.of(recording(**{name: values}), f"{name}:{kind}" if kind else name)


def features(conditions, variables, lengths=None, n_bins=BINS):
    lengths = np.full(len(conditions.table), n_bins) if lengths is None else np.asarray(lengths)
    return Condition.of(conditions, variables, lengths, n_bins)


class TestKinds:
    @pytest.mark.parametrize(
        ("name", "values", "kind"),
        [
            ("reach_deg", np.linspace(0, 5, N), "deg"),
            ("reach_rad", np.arange(N) * 20.0, "rad"),
            ("reach_angle", ANGLES, "deg"),
            ("reach_angle", ANGLES * np.pi / 180, "rad"),
            ("ReachAngle", ANGLES, "deg"),
            ("direction", np.tile(np.arange(8), 3)[:N], "label"),  # eight numbered directions are no degrees
            ("direction", ["left", "right"] * 10, "label"),
            ("target", np.tile([1, 2, 7], 7)[:N], "label"),
            ("target", np.tile([1.0, np.nan], 10), "label"),
            ("success", np.tile([True, False], 10), "label"),
            ("word", ["a", None] * 10, "label"),
            ("delay", np.linspace(0.1, 0.9, N), "number"),
        ],
    )
    def test_are_guessed(self, name, values, kind):
        assert variable(values, name).kind == kind

    def test_many_whole_numbers_are_numbers(self, monkeypatch):
        monkeypatch.setattr("spikeloom.conditioning.variables.MOST_LABELS", 5)
        assert variable(np.arange(N)).kind == "number"
        assert variable(np.arange(N) % 5).kind == "label"

    def test_can_be_said(self):
        assert variable(ANGLES, kind="label").labels == ("0", "45", "90", "135")
        assert variable(ANGLES, kind="number").size == 1
        assert variable(ANGLES, kind="rad").kind == "rad"
        assert variable([str(a) for a in ANGLES], kind="deg").kind == "deg"

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("x:degree", "kind 'degree', but kinds are deg, rad, label, number, signal"),
            ("vle", "did you mean 'vel'"),
            ("qqqqqq", "it has vel, x, side"),
            ("side:deg", "holds 'left'; call it 'side:label'"),
            ("x:signal", "'x' is a trial column"),
            ("vel:label", "'vel' is a signal"),
            ("empty:number", "'empty' has no value in the training trials"),
            ("empty:label", "'empty' has no value in the training trials"),
        ],
    )
    def test_that_cannot_be(self, name, message):
        data = recording(x=ANGLES, side=["left", "right"] * 10, empty=np.full(N, np.nan))
        with pytest.raises(ConfigError, match=message):
            Variable.of(data, name)

    def test_a_name_comes_once(self):
        with pytest.raises(ConfigError, match="'x' twice"):
            variables_of(recording(x=ANGLES), ["x", "vel", "x:label"])

    def test_a_column_and_a_signal_of_the_same_name(self):
        data = recording(vel=np.linspace(0, 1, N))
        assert Variable.of(data, "vel").aligned
        assert not Variable.of(data, "vel:number").aligned

    def test_a_label_that_no_training_trial_has(self):
        values = np.array(["a", "b"] * 10, dtype=object)
        data = recording(x=values)
        values[data.splits["test"][0]] = "rare"
        with pytest.warns(SpikeloomWarning, match="no training trial has 'x' rare"):
            made = Variable.of(dataclasses.replace(data, trials=pd.DataFrame({"x": values})), "x")
        assert made.labels == ("a", "b", "rare")


class TestFeatures:
    def test_an_angle_is_a_point_on_the_circle(self):
        x = variable(ANGLES, "reach_deg")
        np.testing.assert_allclose(x.features([370.0, -350.0]), x.features([10.0, 10.0]), atol=1e-6)
        np.testing.assert_allclose(x.features([90.0]), [[0, 1]], atol=1e-6)
        np.testing.assert_allclose(np.linalg.norm(x.features(ANGLES), axis=1), 1, atol=1e-6)
        np.testing.assert_allclose(variable(ANGLES, "a_rad").features([np.pi]), [[-1, 0]], atol=1e-6)

    def test_labels_of_any_origin(self):
        x = variable(np.tile([45, 90], 10))
        for value in (45, 45.0, "45", "45.0", " 45", np.int8(45), np.float32(45)):
            np.testing.assert_array_equal(x.features([value]), [[1, 0]])
        success = variable(np.tile([True, False], 10))
        for value in (True, np.True_, "true", "True", 1, 1.0, "1"):
            np.testing.assert_array_equal(success.features([value]), [[0, 1]])

    def test_labels_that_differ_late_are_different(self):
        x = variable(np.tile([1000001, 1000002], 10))
        assert x.labels == ("1000001", "1000002")
        assert label_of(-0.0) == "0"

    def test_labels_are_in_natural_order(self):
        assert variable(["10", "9", "b", "a"] * 5).labels == ("9", "10", "a", "b")

    def test_scales_come_from_the_training_trials(self):
        values = np.linspace(0, 1, N)
        data = recording(x=values)
        away = values.copy()
        away[data.splits["test"]] += 1000
        x = Variable.of(dataclasses.replace(data, trials=pd.DataFrame({"x": away})), "x")
        train = x.features(values[data.splits["train"]])
        np.testing.assert_allclose([train.mean(), train.std()], [0, 1], atol=1e-5)

    def test_a_signal_is_scaled_by_dimension_over_valid_training_bins(self):
        lengths = np.random.default_rng(1).integers(4, BINS + 1, N)
        data = recording(lengths=lengths)
        vel = Variable.of(data, "vel")
        train = data.split("train")
        z = vel.features(train.signals["vel"].values)[train.valid]
        np.testing.assert_allclose(z.mean(0), 0, atol=1e-5)
        np.testing.assert_allclose(z.std(0), 1, atol=1e-5)

    def test_a_constant_and_a_tiny_number(self):
        assert variable(np.full(N, 0.1), kind="number").features([1.1])[0, 0] == pytest.approx(1.0)
        tiny = variable(np.linspace(0, 1e-9, N), kind="number")
        assert tiny.features(np.linspace(0, 1e-9, N)).std() == pytest.approx(1, rel=0.2)

    def test_what_a_recording_cannot_hold(self):
        with pytest.raises(DataError, match="'blue', but the model has learned 45, 90 only"):
            variable(np.tile([45, 90], 10)).features(["blue"])
        with pytest.raises(DataError, match="no number"):
            variable(ANGLES, "reach_deg").features(["left"])
        vel = Variable.of(recording(), "vel")
        with pytest.raises(DataError, match="3 dimensions, but the model has learned 2: x, y"):
            vel.features(np.zeros((1, 4, 3)))
        with pytest.raises(DataError, match="1 dimensions"):
            vel.features(np.zeros((1, 4, 1)))

    @settings(max_examples=60, deadline=None)
    @given(
        kind=st.sampled_from(["deg", "rad", "number", "label"]),
        values=st.lists(st.sampled_from([0.0, 45.0, 90.0, 135.0, np.nan, None, np.inf]), min_size=1, max_size=9),
    )
    def test_are_finite_or_missing(self, kind, values):
        """Finite exactly where there is a value; a label can never be infinite."""
        values = [None if kind == "label" and v == np.inf else v for v in values]
        x = variable(ANGLES, "x", kind)
        there = np.array([v is not None and bool(np.isfinite(v)) for v in values])
        made = x.features(values)
        assert made.shape == (len(values), x.size)
        np.testing.assert_array_equal(np.isfinite(made), np.repeat(there[:, None], x.size, 1))
        np.testing.assert_array_equal(np.isnan(made), np.repeat(~there[:, None], x.size, 1))
        np.testing.assert_array_equal(x.known(values), there)

    @settings(max_examples=20, deadline=None)
    @given(junk=st.floats(-1e30, 1e30) | st.just(float("nan")), seed=st.integers(0, 99))
    def test_padding_is_not_looked_at(self, junk, seed):
        lengths = np.random.default_rng(seed).integers(3, BINS + 1, N)
        data = recording(lengths=lengths)
        vel = Variable.of(data, "vel")
        clean = Conditions.of_recording(data, [vel])
        values = clean.signals["vel"].values.copy()
        values[~data.valid] = junk
        dirty = dataclasses.replace(clean, signals={"vel": Signal(values, "cm/s", ("x", "y"))})
        a, b = (features(c, [vel], lengths) for c in (clean, dirty))
        assert torch.equal(a.aligned, b.aligned)
        assert torch.equal(a.aligned_known, b.aligned_known)
        assert bool(a.aligned_known.all())
        assert not a.aligned[torch.from_numpy(~data.valid)].any()


class TestMissing:
    def test_a_trial_without_a_value_is_not_known(self):
        values = ANGLES.copy()
        values[3] = np.nan
        data = recording(reach_deg=values)
        variables = variables_of(data, ["reach_deg"])
        made = features(Conditions.of_recording(data, variables), variables)
        assert made.static_known[:, 0].tolist() == [i != 3 for i in range(N)]
        assert not made.static[3].any()
        assert not made.complete
        with pytest.warns(SpikeloomWarning, match="no value in 1 of 20 trials"):
            check_complete(variables, data)

    def test_a_signal_that_lacks_bins_is_not_known_in_that_trial(self):
        lengths = np.full(N, BINS - 2)
        data = recording(lengths=lengths)
        values = data.signals["vel"].values.copy()
        values[4, 5, 1] = np.nan
        data = dataclasses.replace(data, signals={"vel": Signal(values, "cm/s", ("x", "y"))})
        variables = variables_of(data, ["vel"])
        made = features(Conditions.of_recording(data, variables), variables, lengths)
        assert made.aligned_known[:, 0].tolist() == [i != 4 for i in range(N)]
        assert not made.aligned[4].any()
        with pytest.warns(SpikeloomWarning, match="in every bin in 1 of 20 trials"):
            check_complete(variables, data)

    def test_a_recording_without_the_variable(self):
        data = recording(x=ANGLES)
        variables = variables_of(data, ["x:deg", "vel"])
        with pytest.raises(DataError, match="no trial column 'x'"):
            check_complete(variables, recording())
        with pytest.raises(DataError, match="no signal 'vel'"):
            check_complete(variables, dataclasses.replace(data, signals={}))
        nothing = features(Conditions.of_recording(recording(), variables[:1]), variables)
        assert not nothing.static_known.any()
        assert nothing.static.shape == (N, 2)


def test_variables_survive_json():
    import json

    data = recording(x=ANGLES, side=["left", "right"] * 10, delay=np.linspace(0.1, 0.9, N))
    for made in variables_of(data, ["x:deg", "side", "delay", "vel"]):
        assert Variable.from_json(json.loads(json.dumps(made.to_json()))) == made
        assert made.name in str(made)


class TestParsing:
    def test_units(self):
        degrees, radians = variable(ANGLES, "a_deg"), variable(ANGLES / 60, "a_rad")
        assert degrees.parse("45deg") == degrees.parse("45") == degrees.parse(45) == degrees.parse(" 45 deg ") == 45
        assert degrees.parse("0.5rad") == pytest.approx(np.degrees(0.5))
        assert radians.parse("90deg") == pytest.approx(np.pi / 2)
        assert radians.parse("-1e-1") == -0.1

    @pytest.mark.parametrize("value", ["fast", "", "deg", "45 degrees", "nan", "inf", np.inf, "1_0", [1.0], "4 5"])
    def test_what_is_no_angle(self, value):
        with pytest.raises(DataError, match=r"but needs a number such as 45deg or 0\.8rad"):
            variable(ANGLES, "a_deg").parse(value)

    def test_a_number_has_no_unit(self):
        with pytest.raises(DataError, match=r"'3deg', but needs a number such as 1\.5"):
            variable(np.linspace(0, 1, N)).parse("3deg")

    def test_a_label_is_given_back_as_the_recording_has_it(self):
        assert variable(np.tile([45, 90], 10)).parse("45") == 45
        assert variable(["left", "right"] * 10).parse(" left") == "left"

    def test_what_is_missing_stays_so(self):
        assert np.isnan(variable(ANGLES, "a_deg").parse(None))
        assert np.isnan(variable(["left", "right"] * 10).parse(np.nan))


class TestRequests:
    @pytest.fixture
    def data(self):
        return recording(
            reach_deg=ANGLES, condition=ANGLES.astype(int), side=["left", "right"] * 10, delay=np.linspace(0.1, 0.9, N)
        )

    @pytest.fixture
    def variables(self, data):
        return variables_of(data, ["reach_deg", "side", "delay", "vel"])

    def test_one_value_for_all_and_one_for_each_and_too_few(self, variables):
        request = {"reach_deg": "90", "side": ["left", "right", "right"], "delay": np.array([0.2, 0.4])}
        table = Conditions.from_request(request, variables, 4).table
        assert table["reach_deg"].tolist() == [90] * 4
        assert table["side"].tolist() == ["left", "right", "right", "left"]
        assert table["delay"].tolist() == [0.2, 0.4, 0.2, 0.4]
        for scalar in (0.3, np.float32(0.3), np.array(0.3), "0.3"):
            assert Conditions.from_request({"delay": scalar}, variables, 2).table["delay"].tolist() == pytest.approx(
                [0.3] * 2
            )

    def test_a_missing_value_is_free(self, variables):
        conditions = Conditions.from_request({"side": ["left", None], "reach_deg": [np.nan, 45]}, variables, 2)
        assert features(conditions, variables).static_known.tolist() == [[False, True, False], [True, False, False]]

    def test_nothing(self, variables):
        for request in (None, {}):
            conditions = Conditions.from_request(request, variables, 3)
            assert conditions.names == []
            assert not features(conditions, variables).static_known.any()

    @pytest.mark.parametrize(
        ("request_", "message"),
        [
            ({"reach_dge": 1}, "no condition 'reach_dge'; did you mean 'reach_deg'"),
            ({"qqqq": 1}, r"it has reach_deg \(angle in deg\); side \(label: left, right\); delay \(number\); vel"),
            ({"side": "up"}, "'up', but the model has learned left, right only"),
            ({"delay": "soon"}, "'soon', but needs a number"),
            ({"delay": []}, "has no value; give one"),
            ({"delay": np.zeros((2, 2))}, "needs a number"),
            ({"vel": np.zeros((5, 3))}, r"shape \(5, 3\), but needs \(time, 2\): x, y"),
            ({"vel": np.zeros((1, 2, 5, 2))}, "shape"),
            ({"vel": np.zeros((0, 2))}, "is a signal"),
            ({"vel": "fast"}, "is a signal, but is requested as 'fast'"),
            ({"vel": None}, "is a signal, but is requested as 'None'"),
            ({"vel": 1.0}, "shape"),
            ({"vel": [[1, 2], [3]]}, "is a signal"),
            ({"vel": [np.zeros((4, 2)), np.zeros(2)]}, "shape"),
            ({"vel": np.array([[1.0, np.nan], [1, 1]])}, "no number in trial 0"),
            ({"vel": np.array([[1.0, np.inf], [1, 1]])}, "no number in trial 0"),
        ],
    )
    def test_what_does_not_fit(self, request_, message, variables):
        with pytest.raises(DataError, match=message):
            Conditions.from_request(request_, variables, 3)

    def test_a_long_value_is_not_shown_whole(self, variables):
        with pytest.raises(DataError) as error:
            Conditions.from_request({"vel": [["x"] * 500] * 3}, variables, 3)
        assert len(str(error.value)) < 250

    def test_signals_of_every_shape(self, variables):
        rng = np.random.default_rng(0)
        one, each = rng.normal(size=(7, 2)), rng.normal(size=(2, 7, 2))
        for request, rows in ((one, [one] * 3), (each, [each[0], each[1], each[0]]), (Signal(each), [*each, each[0]])):
            conditions = Conditions.from_request({"vel": request}, variables, 3)
            np.testing.assert_array_equal(conditions.signals["vel"].values, np.float32(rows))
            np.testing.assert_array_equal(conditions.lengths, [7, 7, 7])
        constant = Conditions.from_request({"vel": [3, 0]}, variables, 3)
        assert constant.lengths is None
        np.testing.assert_array_equal(
            constant.signals_over(np.array([2, 5, 1]))["vel"].values, np.tile([3.0, 0.0], (3, 5, 1))
        )
        ragged = Conditions.from_request({"vel": [one, one[:4]]}, variables, 3)
        np.testing.assert_array_equal(ragged.lengths, [7, 4, 7])

    def test_a_scalar_is_a_constant_of_one_dimension(self, data):
        speed = dataclasses.replace(data, signals={"speed": Signal(data.signals["vel"].values[..., :1])})
        variables = variables_of(speed, ["speed"])
        assert Conditions.from_request({"speed": 2.5}, variables, 2).signals["speed"].values.tolist() == [
            [[2.5]],
            [[2.5]],
        ]

    def test_a_signal_that_ends_before_its_trial(self, variables):
        long, short = np.ones((9, 2)), np.ones((4, 2))
        with pytest.raises(DataError, match="4 bins in trial 1, but a trial of 9 bins is requested"):
            Conditions.from_request({"vel": [long, short]}, variables, 2).signals_over(np.array([9, 9]))
        with pytest.raises(DataError, match="9 bins in trial 0"):
            features(Conditions.from_request({"vel": long}, variables, 2), variables, [12, 9])
        cut = Conditions.from_request({"vel": [long, short]}, variables, 2).signals_over(np.array([5, 4]))
        assert cut["vel"].values.shape == (2, 5, 2)

    def test_signals_of_different_lengths(self, data):
        two = dataclasses.replace(data, signals={**data.signals, "acc": data.signals["vel"]})
        variables = variables_of(two, ["vel", "acc"])
        with pytest.raises(DataError, match="differ in length"):
            Conditions.from_request({"vel": np.ones((4, 2)), "acc": np.ones((5, 2))}, variables, 2)
        both = Conditions.from_request({"vel": np.ones((4, 2)), "acc": np.ones(2)}, variables, 2)
        assert both.signals_over(both.lengths)["acc"].values.shape == (2, 4, 2)

    def test_a_recording(self, data, variables):
        conditions = Conditions.from_request(data.select(trials=[3, 1]), variables, 5)
        assert conditions.table["reach_deg"].tolist() == [135, 45, 135, 45, 135]
        np.testing.assert_array_equal(conditions.signals["vel"].values[2], data.signals["vel"].values[3])
        np.testing.assert_array_equal(conditions.lengths, [BINS] * 5)

    def test_a_table(self, variables):
        table = pd.DataFrame({"side": ["left", "right"], "reach_deg": ["45deg", "1rad"]})
        conditions = Conditions.from_request(table, variables, 3)
        assert conditions.table["side"].tolist() == ["left", "right", "left"]
        assert conditions.table["reach_deg"].tolist() == pytest.approx([45, np.degrees(1), 45])
        bins = pd.DataFrame({"trial": [0, 0, 1], "vel_x": [1, 2, 3], "vel_y": [4, 5, 6]})
        conditions = Conditions.from_request(bins, variables, 2)
        assert conditions.signals["vel"].values.tolist() == [[[1, 4], [2, 5]], [[3, 6], [0, 0]]]
        np.testing.assert_array_equal(conditions.lengths, [2, 1])

    def test_changed(self, data, variables):
        like = Conditions.from_request(data, variables, N)
        changed = like.changed(Conditions.from_request({"reach_deg": 10, "vel": np.ones((5, 2))}, variables, N))
        assert set(changed.table["reach_deg"]) == {10}
        assert changed.table["side"].tolist() == data.trials["side"].tolist()
        np.testing.assert_array_equal(changed.lengths, [5] * N)
        np.testing.assert_array_equal(like.changed(Conditions.from_request(None, variables, N)).lengths, data.lengths)

    def test_the_column_condition_is_carried_along(self, data, variables):
        conditions = Conditions.from_request({"reach_deg": ["45deg", "0"]}, variables, 3)
        assert conditions.trials(variables)["condition"].tolist() == [45, 0, 45]
        assert "condition" not in Conditions.from_request({"side": "left"}, variables, 3).trials(variables)
        own = variables_of(data, ["condition"])
        assert Conditions.from_request({"condition": "45"}, own, 2).trials(own)["condition"].tolist() == [45, 45]


class TestDropped:
    def condition(self, n=4000):
        data = recording(reach_deg=ANGLES, side=["left", "right"] * 10)
        variables = variables_of(data, ["reach_deg", "side", "vel"])
        rows = data.select(trials=np.resize(np.arange(N), n))
        return features(Conditions.of_recording(rows, variables), variables)

    def test_frequencies(self):
        p, generator = 0.2, torch.Generator().manual_seed(0)
        dropped = self.condition().dropped(p, generator)
        known = torch.cat([dropped.static_known, dropped.aligned_known], 1)
        subsets, number = torch.unique(known, dim=0, return_counts=True)
        assert len(subsets) == 8
        for subset, count in zip(subsets, number, strict=True):
            single = float(torch.where(subset, 1 - p, p).prod()) * (1 - p)
            expected = single + (0 if subset.any() else p)
            assert float(count) / len(known) == pytest.approx(expected, abs=0.03)
        np.testing.assert_array_equal(dropped.static[:, :2].abs().sum(1) > 0, known[:, 0])
        np.testing.assert_array_equal(dropped.static[:, 2:].abs().sum(1) > 0, known[:, 1])
        np.testing.assert_array_equal(dropped.aligned.abs().sum((1, 2)) > 0, known[:, 2])

    def test_a_single_variable_is_dropped_with_the_probability(self):
        data = recording(reach_deg=ANGLES)
        variables = variables_of(data, ["reach_deg"])
        rows = data.select(trials=np.resize(np.arange(N), 4000))
        made = features(Conditions.of_recording(rows, variables), variables)
        kept = made.dropped(0.3, torch.Generator().manual_seed(0)).static_known
        assert float(kept.float().mean()) == pytest.approx(0.7, abs=0.03)

    def test_what_was_not_known_stays_so_and_none_has_no_features(self):
        null = self.condition(8).null()
        for values in (null.static, null.aligned, null.static_known, null.aligned_known):
            assert not values.any()
        again = null.dropped(0.1, torch.Generator().manual_seed(0))
        assert not again.static_known.any()
        assert not again.static.any()
        whole = self.condition(8)
        assert torch.equal(whole.dropped(0.0, torch.Generator()).static, whole.static)
        assert whole.complete
        assert torch.equal(whole[2:4].static, whole.static[2:4])


class TestTables:
    @pytest.fixture
    def variables(self):
        data = recording(reach_deg=ANGLES, side=["None", "b#1"] * 10)
        return variables_of(data, ["reach_deg", "side", "vel"])

    @pytest.fixture
    def read(self, tmp_path, variables):
        def read(text):
            (tmp_path / "t.csv").write_text(text)
            return from_table(read_table(tmp_path / "t.csv"), variables, "the table t.csv")

        return read

    def test_a_row_is_a_trial(self, read, variables):
        request, n = read("reach_deg, side \n45deg, None\n90, b#1\n,\n")
        assert n == 3
        conditions = Conditions.from_request(request, variables, n)
        assert conditions.table["reach_deg"].tolist()[:2] == [45, 90]
        assert conditions.table["side"].tolist()[:2] == ["None", "b#1"]
        assert features(conditions, variables).static_known.tolist() == [[True, True], [True, True], [False, False]]

    def test_a_row_is_a_bin_of_a_trial(self, read, variables):
        request, n = read("trial,vel_y,vel_x,reach_deg\n7,1,2,0\n3,3,4,90\n7,5,6,0\n7,7,8,0\n")
        assert n == 2
        conditions = Conditions.from_request(request, variables, n)
        assert conditions.table["reach_deg"].tolist() == [90, 0]
        np.testing.assert_array_equal(conditions.lengths, [1, 3])
        assert conditions.signals["vel"].values[1].tolist() == [[2, 1], [6, 5], [8, 7]]

    def test_only_numbers_of_trials(self, read):
        assert read("trial\n0\n1\n") == ({}, 2)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "cannot be read"),
            ("reach_deg\n", "no rows"),
            ("reach_deg\n1,2\n", "cannot be read"),
            ("reach_deg,side\n1,b#1\n1,2,3\n", "cannot be read"),
            ("reach_dge\n1\n", "did you mean 'reach_deg'"),
            ("vel_x,vel_y\n1,2\n", "the signal 'vel', but no column 'trial'"),
            ("trial,vel_x\n0,1\n", "no column 'vel_y'"),
            ("trial,vel_x,vel_y\n0,1,a\n", "no number"),
            ("trial,vel_x,vel_y\n0,1,2\n,1,2\n", "without a number in the column 'trial'"),
            ("trial,reach_deg\n0,1\n0,2\n", "several values of 'reach_deg' in one trial"),
        ],
    )
    def test_what_is_no_table(self, text, message, read):
        with pytest.raises(DataError, match=message):
            read(text)

    def test_an_empty_cell_of_a_signal_and_words_in_a_column(self, read, variables):
        with pytest.raises(DataError, match="no number in trial 0"):
            Conditions.from_request(read("trial,vel_x,vel_y\n0,1,\n0,1,2\n")[0], variables, 1)
        with pytest.raises(DataError, match="'fast', but needs a number"):
            Conditions.from_request(read("reach_deg\n1\nfast\n")[0], variables, 2)

    def test_no_file(self, tmp_path):
        with pytest.raises(DataError, match="No such file"):
            read_table(tmp_path / "none.csv")
        (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00\x80")
        with pytest.raises(DataError, match="cannot be read"):
            read_table(tmp_path / "binary.csv")
        with pytest.raises(DataError, match="cannot be read"):
            read_table(tmp_path)
