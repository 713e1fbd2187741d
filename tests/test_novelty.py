"""Novelty of the conditions of new trials with respect to those of training trials: distances, warnings and files."""

import dataclasses
import warnings

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file, save_file

from commands import FIT, FIT_EAG
from recordings import assert_same
from spikeloom.cli import main
from spikeloom.conditioning import novelty as module
from spikeloom.conditioning.novelty import TrainingConditions
from spikeloom.conditioning.parsing import DISTANCE
from spikeloom.conditioning.requests import Conditions
from spikeloom.conditioning.variables import Variable, variables_of
from spikeloom.data.files import load, save
from spikeloom.data.spikedata import Signal, SpikeData
from spikeloom.data.splits import with_default_splits
from spikeloom.errors import ConfigError, DataError, SpikeloomWarning
from spikeloom.evaluation.compare import compare
from spikeloom.evaluation.condition_fidelity import condition_fidelity, novel_conditions
from spikeloom.models import load_model
from spikeloom.models import plan as plans
from spikeloom.models.eag import EAG, EAGConfig
from spikeloom.models.ldns import LDNS
from spikeloom.models.pivae import PiVAE
from spikeloom.models.pivae_config import PiVAEConfig
from spikeloom.models.sampling import collate, draw
from spikeloom.report.condition_panels import condition_panels
from spikeloom.report.panel import render
from spikeloom.training.loop import fit
from spikeloom.training.run import Run
from spikeloom.training.stages import StageConfig
from spikeloom.workflow.parallel_sampling import planned, sample_to_file
from spikeloom.workflow.sampling import sample_like
from test_conditional_models import AUTOENCODER, BINS, FEW, GENERATOR, recording, tiny, tuning

EXTRAPOLATION = "their samples are extrapolations, which no recorded trial can check"

pytestmark = pytest.mark.filterwarnings("ignore:the power of the sampled latents")


def column(name, kind, recorded):
    """A variable of a column, and the values that training trials have of it."""
    if kind == "label":
        return Variable(name, kind, labels=("far", "left", "right"))
    values = np.asarray(recorded, float)
    return Variable(name, kind, mean=(float(np.nanmean(values)),), std=(float(np.nanstd(values)),))


def compared(requested, **recorded):
    """The novelty of values of some columns; a name is NAME_KIND."""
    variables = [column(name, name.split("_")[-1], values) for name, values in recorded.items()]
    n = len(next(iter(recorded.values())))
    training = TrainingConditions(Conditions(pd.DataFrame(recorded), {}, np.full(n, 5)), variables)
    conditions = Conditions.from_request(requested, variables, max(map(len, requested.values())))
    return training.novelty(conditions, np.full(conditions.n_trials, 5))


EIGHT = np.tile(np.arange(0, 360, 45), 10)


class TestColumns:
    def test_an_angle_between_targets_is_named_with_its_neighbours_on_the_circle(self):
        found = compared({"to_deg": [45, 22.5, 350, 405, "0.7854rad", None]}, to_deg=EIGHT)
        np.testing.assert_allclose(found.distances["to_deg"], [0, 22.5, 10, 0, 0, np.nan], atol=1e-9)
        np.testing.assert_array_equal(found.distance, [0, np.inf, np.inf, 0, 0, np.nan])
        assert found.sentence() == (
            "2 of 6 trials have a novel to_deg, which no training trial has (22.5, nearest 0 and 45; 350, nearest 315 "
            f"and 0): {EXTRAPOLATION}."
        )

    def test_radians(self):
        found = compared({"to_rad": [np.pi / 8, -np.pi / 4]}, to_rad=np.deg2rad(EIGHT))
        np.testing.assert_allclose(found.distances["to_rad"], [np.pi / 8, 0], atol=1e-9)
        assert "(0.3927, nearest 0 and 0.7854)" in found.sentence()

    def test_numbers_that_are_repeated_and_one_beyond_them(self):
        found = compared({"a_number": [10, 6.4, 60]}, a_number=np.tile([0, 6.4, 12.8, 51.2], 9))
        np.testing.assert_allclose(found.distances["a_number"], [2.8, 0, 8.8])
        assert "(10, nearest 12.8 and 6.4" in found.sentence() or "(10, nearest 6.4 and 12.8" in found.sentence()
        assert "60, nearest 51.2)" in found.sentence()

    def test_angles_of_every_trial_have_their_scatter_as_the_yardstick(self):
        rng = np.random.default_rng(0)
        recorded = rng.uniform(0, 180, 300)
        found = compared({"to_deg": [*rng.uniform(0, 180, 100), 270]}, to_deg=recorded)
        gaps = np.abs(recorded[:, None] - recorded) + np.diag(np.full(300, np.inf))
        usual = np.sort(gaps.min(1))[int(0.99 * 299)]
        assert found.yardsticks["to_deg"] == pytest.approx(usual)
        nearest = min((recorded.min() - 270) % 360, (270 - recorded.max()) % 360)
        assert found.distance[-1] == pytest.approx(nearest / usual)
        assert (found.distance[:-1] <= 1).mean() > 0.95
        assert found.sentence().startswith(
            "1 of 101 trials have a novel to_deg, farther from every training trial's than"
        )
        assert f"{nearest:.3g} deg, usual is {usual:.3g})" in found.sentence()

    def test_a_label_that_the_model_knows_but_no_training_trial_has(self):
        found = compared({"side_label": ["left", "far", None]}, side_label=["left", "right"] * 5)
        np.testing.assert_array_equal(found.distances["side_label"], [0, 1, np.nan])
        assert "1 of 3 trials have a novel side_label, which no training trial has (far)" in found.sentence()
        with pytest.raises(DataError, match="'up', but the model has learned far, left, right only"):
            compared({"side_label": ["up"]}, side_label=["left", "right"] * 5)

    def test_a_combination_that_was_never_recorded_of_values_that_were(self):
        recorded = {"to_deg": EIGHT, "side_label": np.where(EIGHT < 180, "left", "right")}
        requested = {"to_deg": [0, 0, 10, 270, 270], "side_label": ["left", "right", "right", "right", None]}
        found = compared(requested, **recorded)
        np.testing.assert_array_equal(found.together, [0, np.inf, np.inf, 0, np.nan])
        np.testing.assert_array_equal(found.mixed, [False, True, False, False, False])
        np.testing.assert_array_equal(found.distance, [0, np.inf, np.inf, 0, 0])
        first, second = found.sentence().split(", and ")
        assert first == "1 of 5 trials have a novel to_deg, which no training trial has (10, nearest 0 and 45)"
        assert second.startswith("1 of 5 trials have a novel combination of to_deg and side_label, which no training")

    def test_a_value_of_a_single_trial_among_few_does_not_make_all_values_usual(self):
        found = compared({"to_deg": [40, 200]}, to_deg=[*np.tile([0, 90], 9), 200])
        assert found.yardsticks["to_deg"] == 0
        np.testing.assert_array_equal(found.distance, [np.inf, 0])

    def test_training_trials_without_a_value(self):
        found = compared({"to_deg": [45, 50]}, to_deg=[np.nan, 45, 45, np.nan, 90, 90])
        np.testing.assert_array_equal(found.distances["to_deg"], [0, 5])

    def test_many_values_are_not_all_shown(self):
        words = compared({"to_deg": [10, 20, 30, 50, 60]}, to_deg=EIGHT).sentence()
        assert "30, nearest 0 and 45; and 2 more)" in words
        assert "50" not in words

    def test_rows_that_repeat_are_counted_as_trials(self):
        found = compared({"to_deg": [0, 10, 45]}, to_deg=EIGHT)
        assert found.sentence(8).startswith("3 of 8 trials")

    def test_reports_of_much_novelty_are_short(self):
        """One of a thousand that is three times as far is chance; one that is a hundred times as far is not."""
        spaced = np.arange(200.0)
        for value, share, reported in [
            (201.9, 0.001, False),
            (203, 0.001, False),
            (203, 0.02, True),
            (300, 0.001, True),
        ]:
            requested = np.tile(spaced, 5)
            requested[: int(share * 1000)] = value
            found = compared({"a_number": requested}, a_number=spaced)
            assert bool(found.sentence()) is reported, value
        assert compared({"a_number": [201.9]}, a_number=spaced).sentence()


def time_courses(n, seed, bins=30, lengths=None):
    """Smooth time time_courses of two dimensions, all different."""
    rng = np.random.default_rng(seed)
    phase, period = rng.uniform(0, 2 * np.pi, (n, 1, 2)), rng.uniform(20, 40, (n, 1, 2))
    values = 100 + 10 * np.sin(2 * np.pi * np.arange(bins)[:, None] / period + phase)
    lengths = np.full(n, bins) if lengths is None else lengths
    return Conditions(pd.DataFrame(index=range(n)), {"vel": Signal(values, "cm/s", ("x", "y"))}, lengths)


VEL = Variable("vel", "signal", "cm/s", ("x", "y"), mean=(100.0, 100.0), std=(7.0, 7.0))


def root_mean_square(a, b, n):
    return np.sqrt(np.square(a[:n] - b[:n]).sum(1).mean())


class TestSignals:
    def test_distances_are_those_of_a_plain_loop(self, monkeypatch):
        monkeypatch.setattr(module, "CHUNK", 7)
        rng = np.random.default_rng(2)
        lengths, requested_lengths = rng.integers(24, 31, 40), rng.integers(20, 36, 25)
        recorded, requested = time_courses(40, 0, lengths=lengths), time_courses(25, 1, 36, requested_lengths)
        values = np.array(recorded.signals["vel"].values)
        values[3, 5] = np.nan  # a trial of which not everything is known
        recorded = dataclasses.replace(recorded, signals={"vel": Signal(values, "cm/s", ("x", "y"))})
        found = TrainingConditions(recorded, [VEL]).novelty(requested, requested_lengths)
        theirs = requested.signals["vel"].values
        for i in range(25):
            all_of_them = [
                root_mean_square(theirs[i], values[j], min(requested_lengths[i], lengths[j]))
                for j in range(40)
                if j != 3
            ]
            assert found.distances["vel"][i] == pytest.approx(min(all_of_them), rel=1e-6)
        own = [
            min(
                root_mean_square(values[i], values[j], min(lengths[i], lengths[j]))
                for j in range(40)
                if j not in (i, 3)
            )
            for i in range(40)
            if i != 3
        ]
        assert found.yardsticks["vel"] == pytest.approx(np.sort(own)[int(0.99 * 38)], rel=1e-6)
        np.testing.assert_allclose(found.distance, found.distances["vel"] / found.yardsticks["vel"])

    def test_conditions_of_training_trials_are_not_novel_and_those_of_held_out_ones_hardly_ever(self):
        recorded = time_courses(300, 0)
        training = TrainingConditions(recorded, [VEL])
        assert training.novelty(recorded, recorded.lengths).distance.max() == 0
        sentences, beyond = [], []
        for seed in range(1, 11):
            found = training.novelty(time_courses(100, seed), np.full(100, 30))
            sentences.append(found.sentence())
            beyond.append((found.distance > 1).mean())
        assert sentences == [""] * 10
        assert 0 < np.mean(beyond) < 0.05

    def test_faster_and_larger_time_courses_are_novel(self):
        training = TrainingConditions(time_courses(300, 0), [VEL])
        requested = time_courses(50, 1)
        larger = {"vel": Signal(100 + 4 * (requested.signals["vel"].values - 100), "cm/s", ("x", "y"))}
        found = training.novelty(dataclasses.replace(requested, signals=larger), requested.lengths)
        assert (found.distance > 2).all()
        ratio, distance = np.median(found.distance), np.median(found.distances["vel"])
        assert found.sentence() == (
            "50 of 50 trials have a novel vel, farther from every training trial's than 99 % of these are from "
            f"each other (median {ratio:.2g} times as far: {distance:.3g} cm/s, usual is "
            f"{found.yardsticks['vel']:.3g}): {EXTRAPOLATION}."
        )

    def test_a_short_training_trial_is_not_near_to_all_that_begins_like_it(self):
        recorded = time_courses(50, 0, lengths=np.array([2] * 10 + [30] * 40))
        requested = np.array(recorded.signals["vel"].values[:1])
        requested[0, 2:] += 50
        conditions = Conditions(
            pd.DataFrame(index=range(1)), {"vel": Signal(requested, "cm/s", ("x", "y"))}, np.array([30])
        )
        assert TrainingConditions(recorded, [VEL]).novelty(conditions, np.array([30])).distances["vel"][0] > 30

    def test_padding_is_not_looked_at(self):
        lengths = np.random.default_rng(0).integers(15, 31, 20)
        results = []
        for junk in (0.0, 1e9, np.nan):
            conditions = time_courses(20, 0, lengths=lengths)
            values = np.array(conditions.signals["vel"].values)
            values[np.arange(30) >= lengths[:, None]] = junk
            conditions = dataclasses.replace(conditions, signals={"vel": Signal(values, "cm/s", ("x", "y"))})
            training = TrainingConditions(conditions, [VEL])
            results.append((training.yardstick("vel"), *training.novelty(time_courses(3, 1), np.full(3, 30)).distance))
        assert results[0] == results[1] == results[2]

    def test_a_constant_is_compared_over_the_whole_trial(self):
        recorded = time_courses(20, 0)
        constant = Conditions(pd.DataFrame(index=range(1)), {"vel": Signal(np.full((1, 1, 2), 100.0))})
        found = TrainingConditions(recorded, [VEL]).novelty(constant, np.array([30]))
        values = recorded.signals["vel"].values
        expected = min(root_mean_square(np.full((30, 2), 100.0), v, 30) for v in values)
        assert found.distances["vel"][0] == pytest.approx(expected, rel=1e-6)

    def test_a_trajectory_with_the_target_of_another(self):
        """Each was recorded, but not together: the nearest trajectory among trials of that target is compared."""
        recorded = time_courses(60, 0)
        targets = np.where(np.arange(60) < 30, 0, 90)
        to = column("to_deg", "deg", targets)
        values = np.array(recorded.signals["vel"].values)
        values[30:] += 60
        recorded = dataclasses.replace(
            recorded, table=pd.DataFrame({"to_deg": targets}), signals={"vel": Signal(values, "cm/s", ("x", "y"))}
        )
        training = TrainingConditions(recorded, [to, VEL])
        swapped = dataclasses.replace(recorded, table=pd.DataFrame({"to_deg": targets[::-1]}))
        alone, mixed = (training.novelty(c, recorded.lengths) for c in (recorded, swapped))
        assert alone.distance.max() == 0
        assert mixed.ratios["vel"].max() == mixed.ratios["to_deg"].max() == 0
        assert mixed.mixed.all()
        usual = training.yardstick("vel")
        nearest = min(root_mean_square(values[0], values[j], 30) for j in range(30, 60))
        assert mixed.together[0] == pytest.approx(nearest / usual / training.yardstick("to_deg", "vel"))
        assert "60 of 60 trials have a novel combination of to_deg and vel" in mixed.sentence()


# -- models ----------------------------------------------------------------------------------------------------------


def eag(condition_on):
    return EAGConfig(AUTOENCODER, GENERATOR, FEW, FEW, observation="poisson", condition_on=condition_on)


@pytest.fixture(scope="module")
def data():
    return recording()


@pytest.fixture(scope="module", params=["ldns", "eag"])
def model(request, data):
    """A model conditioned on an angle and a signal, trained for two steps."""
    kind, config = {"ldns": (LDNS, tiny), "eag": (EAG, eag)}[request.param]
    return kind.make(data, config(("angle", "drive"))).fit(data)


@pytest.fixture
def quiet():
    """No warning may be given."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", SpikeloomWarning)
        yield


class TestModels:
    def test_a_sample_says_how_far_each_trial_is_and_a_warning_that_some_are(self, model):
        with pytest.warns(SpikeloomWarning, match=EXTRAPOLATION) as caught:
            sample = model.sample(5, length=9, condition={"angle": [45, "22.5deg", None]})
        (message,) = [str(w.message) for w in caught]
        assert message.startswith(
            "2 of 5 trials have a novel angle, which no training trial has (22.5, nearest 0 and 45)"
        )
        np.testing.assert_array_equal(sample.trials[DISTANCE], [0, np.inf, np.nan, 0, np.inf])
        assert sample.provenance["conditioned_on"] == ["angle"]

    def test_imitating_training_and_held_out_trials_says_nothing(self, model, data, quiet):
        train = sample_like(model, data.split("train"))
        assert set(train.trials[DISTANCE]) == {0.0}
        test = sample_like(model, data.split("test"))
        assert 0 < test.trials[DISTANCE].max() < 2

    def test_without_a_condition_there_is_no_such_column(self, model, data, quiet):
        assert DISTANCE not in model.sample(3).trials
        free = LDNS.make(data, tiny(())).fit(data)
        assert DISTANCE not in free.sample(2, condition=data).trials

    def test_labels_that_pivae_takes_from_training_trials_are_not_scored(self, data, quiet):
        sizes = {"latents": 2, "encoder_units": 6, "prior_units": 5, "decoder_units": 4, "posterior_samples": 2}
        config = PiVAEConfig(condition_on=("angle", "drive"), training=FEW, observation="poisson", **sizes)
        model = PiVAE.make(data, config).fit(data)
        assert DISTANCE not in model.sample(3).trials
        assert model.sample(3, condition={"angle": 45}).trials[DISTANCE].tolist() == [0, 0, 0]
        with pytest.warns(SpikeloomWarning, match="2 of 5 trials have a novel angle, which no training trial has"):
            sample = model.sample(5, length=9, condition={"angle": [45, "22.5deg", None]})
        np.testing.assert_array_equal(sample.trials[DISTANCE], [0, np.inf, np.nan, 0, np.inf])

    def test_a_signal_beyond_all_and_several_at_once(self, model):
        strong = 9 * np.ones((12, 1))
        with pytest.warns(SpikeloomWarning, match=r"2 of 2 trials have a novel drive, farther.* V, usual is"):
            sample = model.sample(2, condition={"drive": strong})
        assert (sample.trials[DISTANCE] > 10).all()
        with pytest.warns(SpikeloomWarning, match="a novel angle, which .*, and 2 of 2 trials have a novel drive"):
            model.sample(2, condition={"drive": strong, "angle": 10})

    @pytest.mark.parametrize("ending", ["npz", "h5", "nwb"])
    def test_files_keep_the_column(self, model, ending, tmp_path):
        with pytest.warns(SpikeloomWarning, match=EXTRAPOLATION):
            sample = model.sample(3, length=9, condition={"angle": [45, 10, None]})
        save(sample, tmp_path / f"a.{ending}")
        again = load(tmp_path / f"a.{ending}")
        np.testing.assert_array_equal(again.trials[DISTANCE], [0, np.inf, np.nan])
        again.trials.to_csv(tmp_path / "trials.csv")
        np.testing.assert_array_equal(pd.read_csv(tmp_path / "trials.csv")[DISTANCE], [0, np.inf, np.nan])

    def test_trials_that_are_not_novel_can_be_selected_compared_and_requested_again(self, model, data):
        with pytest.warns(SpikeloomWarning, match=EXTRAPOLATION):
            sample = model.sample(40, length=BINS, condition={"angle": np.tile([0, 45, 90, 135, 20], 8)})
        near = sample.select(trials=np.flatnonzero(sample.trials[DISTANCE] <= 1))
        assert near.n_trials == 32
        with warnings.catch_warnings():
            warnings.simplefilter("error", SpikeloomWarning)
            result = compare(data, near, n_floor=2, n_draws=1)
            table = near.trials[["angle", DISTANCE]]
            np.testing.assert_array_equal(
                model.sample(6, length=BINS, condition=table).trials["angle"], table["angle"][:6]
            )
            model.sample(6, length=BINS, condition=near)
        assert not [w for w in result.warnings if "condition" in w]

    def test_chunks_and_files_written_as_trials_come_have_the_same_column(self, model, data, tmp_path, monkeypatch):
        monkeypatch.setattr(plans, "SAMPLE_CHUNK", 4)
        rng = np.random.default_rng(0)
        requested = {"angle": [0, 10, 90], "drive": [rng.normal(size=(n, 1)) for n in (9, 12, 8, 12)]}
        with pytest.warns(SpikeloomWarning, match="of 14 trials have a novel"):
            plan = planned(model, 14, condition=requested, seed=3)
        with pytest.warns(SpikeloomWarning, match="of 14 trials have a novel"):
            whole = model.sample(14, condition=requested, seed=3)
        assert len(set(whole.trials[DISTANCE])) > 3
        pieces = [collate(model, chunk, draw(model, chunk)).trials[DISTANCE] for chunk in plan.chunks()]
        np.testing.assert_array_equal(np.concatenate(pieces), whole.trials[DISTANCE])
        model.save(tmp_path / "run")
        sample_to_file(tmp_path / "run", plan, tmp_path / "a.h5", model=model, keep_rates=True)
        assert_same(load(tmp_path / "a.h5"), whole)

    def test_a_saved_model_remembers(self, model, data, tmp_path):
        model.save(tmp_path)
        loaded = load_model(tmp_path)
        requested, expected = (m.labels.compared() for m in (loaded, model))
        assert requested.yardstick("drive") == expected.yardstick("drive") > 0
        test = Conditions.of_recording(data.split("test"), model.data_spec.variables)
        direct = TrainingConditions(
            Conditions.of_recording(data.split("train"), model.data_spec.variables), model.data_spec.variables
        )
        for training in (requested, expected):
            np.testing.assert_allclose(
                training.novelty(test, test.lengths).distance,
                direct.novelty(test, test.lengths).distance,
                rtol=1e-4,
            )

    def test_a_run_written_before_conditions_were_kept_is_sampled_without_the_note(self, model, tmp_path, quiet):
        model.save(tmp_path)
        file = tmp_path / "weights.safetensors"
        weights = load_file(file)
        kept = {k: v for k, v in weights.items() if not k.startswith("labels.")}
        assert len(kept) == len(weights) - 4
        save_file(kept, file)
        older = load_model(tmp_path)
        requested = {"angle": 10, "drive": 99 * np.ones((8, 1))}
        sample = older.sample(3, condition=requested)
        assert DISTANCE not in sample.trials
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SpikeloomWarning)
            np.testing.assert_array_equal(sample.counts, model.sample(3, condition=requested).counts)
        older.save(tmp_path / "again")
        assert DISTANCE not in load_model(tmp_path / "again").sample(3, condition=requested).trials

    def test_weights_that_lack_a_part_are_refused(self, model, tmp_path):
        weights = model.state_dict()
        del weights["labels.known"]
        with pytest.raises(RuntimeError, match=r"labels\.known"):
            model.load_state_dict(weights)

    def test_a_training_that_was_cut_remembers(self, data, tmp_path):
        config = dataclasses.replace(tiny(("angle",)), prior_training=StageConfig(4, 8, validate_every=2))
        cut = LDNS.make(data, config)
        run = Run.create(tmp_path / "run", {})
        assert not fit(cut, data, run, until=4)
        resumed = LDNS.make(data, config)
        assert fit(resumed, data, run)
        with pytest.warns(SpikeloomWarning, match="nearest 0 and 45"):
            load_model(run.folder).sample(2, length=9, condition={"angle": 10})

    def test_fitted_to_other_trials_than_it_was_made_for_it_does_not_remember(self, data):
        model = LDNS.make(data, tiny(("angle",)))
        model.fit(recording(40))
        assert DISTANCE not in model.sample(2, length=9, condition={"angle": 10}).trials

    def test_guidance_is_refused_before_anything_is_said(self, model, quiet):
        with pytest.raises(ConfigError, match="guidance is -1"):
            planned(model, 2, length=9, condition={"angle": 10}, guidance=-1.0)

    def test_guidance_does_not_change_what_is_said(self, model):
        with pytest.warns(SpikeloomWarning, match="nearest 0 and 45"):
            sample = model.sample(2, length=9, condition={"angle": [10, 45]}, guidance=2.0)
        np.testing.assert_array_equal(sample.trials[DISTANCE], [np.inf, 0])


# -- the report and the command line ---------------------------------------------------------------------------------


def readouts(data, generated, variables):
    """Readouts of the panels on conditions."""
    return [panel.readout() for panel in condition_panels(data, generated, variables)]


class TestReport:
    def generated(self, angles, drive=None):
        rng = np.random.default_rng(5)
        counts = rng.poisson(np.exp(tuning(angles))[:, None].repeat(BINS, 1))
        drive = np.zeros((len(angles), BINS, 1)) if drive is None else drive
        return SpikeData(
            counts, bin_s=0.02, trials=pd.DataFrame({"angle": angles}), signals={"drive": Signal(drive, "V")}
        )

    def test_the_panel_of_conditions_reports_it(self, data):
        variables = variables_of(data, ("angle", "drive"))
        far = self.generated(np.tile([0.0, 20.0], 8), np.full((16, BINS, 1), 9.0))
        angle, drive = readouts(data, far, variables)
        assert angle == (
            f"8 of 16 trials have a novel angle, which no training trial has (20, nearest 0 and 45): {EXTRAPOLATION}."
        )
        assert drive.startswith("16 of 16 trials have a novel drive, farther")
        assert drive.count(EXTRAPOLATION) == 1
        same = readouts(data, data.split("test"), variables)
        assert same == ["", ""]

    def test_a_combination_is_said_once_beside_what_else_there_is(self, data):
        angle = np.asarray(data.trials["angle"])
        side = np.where(angle < 180, 1.0, -1.0)[:, None, None] + 0.1 * data.signals["drive"].values
        sided = dataclasses.replace(data, signals={"drive": Signal(side, "V")})
        other = sided.split("test")
        swapped = dataclasses.replace(other, trials=other.trials.assign(angle=(other.trials["angle"] + 180) % 360))
        variables = variables_of(sided, ("angle", "drive"))
        assert novel_conditions(sided, other, variables) == {}
        assert list(novel_conditions(sided, swapped, variables)) == [""]
        first, second = readouts(sided, swapped, variables)
        assert first.startswith("32 of 32 trials have a novel combination of angle and drive")
        assert second == ""
        angles = swapped.trials["angle"].where(np.arange(32) > 3, 20)
        first, _ = readouts(sided, dataclasses.replace(swapped, trials=swapped.trials.assign(angle=angles)), variables)
        assert "(20, nearest 0 and 45), and 28 of 32 trials have a novel combination" in first
        assert first.count(EXTRAPOLATION) == 1

    def test_angles_between_targets_are_decoded_as_angles(self, data):
        """As one of eight directions none of them could ever be decoded as requested."""
        result = condition_fidelity(data, self.generated(np.arange(0, 360, 10.0)), Variable.of(data, "angle"))
        assert (result.measure, result.unit) == ("mean error", "deg")
        assert result.generated[0].value < 25 < result.baseline[0]
        assert condition_fidelity(data, self.generated(np.repeat([0.0, 45], 9)), Variable.of(data, "angle")).unit == ""

    def test_generated_trials_of_another_recording(self, data):
        words = dataclasses.replace(self.generated(np.zeros(4)), trials=pd.DataFrame({"angle": ["up"] * 4}), signals={})
        panels = [render(panel) for panel in condition_panels(data, words, variables_of(data, ("angle",)))]
        assert [bool(panel.missing) for panel in panels] == [True]


def test_the_command_says_it_and_writes_it(tmp_path, capsys):
    save(with_default_splits(recording(60)), tmp_path / "toy.npz")
    for small in (FIT, FIT_EAG):
        run, out = tmp_path / f"run{len(small)}", tmp_path / "generated.npz"
        words = ["fit", str(tmp_path / "toy.npz"), "--out", str(run), "--observation", "poisson", *small]
        assert main([*words, "--condition_on", "angle", "drive"]) == 0
        capsys.readouterr()
        (tmp_path / "requested.csv").write_text(f"angle,{DISTANCE}\n45,0\n50,inf\n,\n")
        for words in (["-n", "3", "--condition", "angle=45,50"], ["--condition", str(tmp_path / "requested.csv")]):
            assert main(["sample", str(run), "--out", str(out), "--length", "9", *words]) == 0
            reported = capsys.readouterr().err
            assert "1 of 3 trials have a novel angle, which no training trial has (50, nearest 45 and 90)" in reported
            assert load(out).trials[DISTANCE].tolist()[:2] == [0, np.inf]
        assert main(["sample", str(run), "--out", str(out), "--like", str(run)]) == 0
        assert "extrapolation" not in capsys.readouterr().err
