"""What others make of an NWB file that spikeloom wrote: NWB Inspector, pynapple, and a stranger who opens it."""

import json
import socket
import warnings

import numpy as np
import pandas as pd
import pynapple as nap
import pytest
from nwbinspector import Importance, inspect_nwbfile
from pynwb import NWBHDF5IO

from commands import FIT, counts
from spikeloom import __version__
from spikeloom.cli import main
from spikeloom.data.files import load, save
from spikeloom.data.formats.nwb.export import GAP_S
from spikeloom.data.spikedata import Signal, SpikeData

NOBODY_TO_NAME = {"check_experimenter_exists", "check_institution"}
COARSE_BINS = "check_units_resolution_is_valid"
"""That spike times are known to more than 10 ms: a suspicion that is true of wide bins."""


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    def refuse(*_):
        raise AssertionError("a test accessed the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def generated(bin_s=0.01, n_trials=12):
    """Trials of a model conditioned on an angle, a side and a velocity, with all else that a file can hold."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "angle": np.tile([0.0, 90.0, np.nan], n_trials)[:n_trials],
            "condition": np.tile([0.0, 90.0, np.nan], n_trials)[:n_trials],
            "side": np.tile(["left", None], n_trials)[:n_trials],
            "success": np.arange(n_trials) % 2,
            "is_probe": np.arange(n_trials) % 3 == 0,
            "label": np.arange(n_trials) * 0.5,
            "start_time": np.arange(n_trials) + 100.0,
        }
    )
    data = SpikeData(
        rng.poisson(0.4, (n_trials, 40, 5)),
        bin_s=bin_s,
        lengths=rng.integers(20, 41, n_trials),
        signals={
            "hand_vel": Signal(rng.normal(size=(n_trials, 40, 2)), "cm/s", ("x", "y")),
            "gaze": Signal(rng.normal(size=(n_trials, 40, 1))),
        },
        trials=table,
        neurons=pd.DataFrame({"area": ["M1"] * 5, "heldout": [True, False] * 2 + [True], "id": range(7, 12)}),
        rates=rng.uniform(0.1, 1.0, (n_trials, 40, 5)),
        latents=rng.normal(size=(n_trials, 40, 3)),
        provenance={
            "generated_by": "ldns",
            "trained_on": "b2020392",
            "seed": 3,
            "conditioned_on": ["angle", "side", "hand_vel"],
            "labels_drawn": ["label"],
            "run": "velocity_run",
            "source": "monkey.npz",
        },
    )
    return data.assign_splits() if n_trials > 1 else data


def messages(path, least=Importance.BEST_PRACTICE_SUGGESTION):
    """Messages of NWB Inspector, with the validation of pynwb, on a file, by check."""
    found = inspect_nwbfile(nwbfile_path=str(path))
    return {
        m.check_function_name: f"{m.importance.name}: {m.message}" for m in found if m.importance.value >= least.value
    }


class TestInspector:
    """Nothing is wrong with a generated file; the only messages are that nobody made the experiment."""

    def test_of_generated_data(self, tmp_path):
        save(generated(), tmp_path / "a.nwb")
        assert set(messages(tmp_path / "a.nwb")) == {*NOBODY_TO_NAME, "check_column_binary_capability"}

    def test_of_wide_bins(self, tmp_path):
        save(generated(bin_s=0.045), tmp_path / "a.nwb")
        assert set(messages(tmp_path / "a.nwb", Importance.BEST_PRACTICE_VIOLATION)) == {COARSE_BINS}
        assert not messages(tmp_path / "a.nwb", Importance.CRITICAL)

    def test_of_a_single_trial_whose_series_are_regular(self, tmp_path):
        data = generated(n_trials=1)
        save(data, tmp_path / "a.nwb")
        assert set(messages(tmp_path / "a.nwb")) == {*NOBODY_TO_NAME, "check_single_row"}
        back = load(tmp_path / "a.nwb")
        np.testing.assert_allclose(
            back.signals["hand_vel"].values, data.signals["hand_vel"].values[:, : back.n_bins], rtol=1e-6
        )

    def test_of_a_recording_only_what_is_not_known_of_it_is_missing(self, tmp_path):
        save(SpikeData(counts(), 0.01), tmp_path / "a.nwb")
        found = messages(tmp_path / "a.nwb")
        assert set(found) == {*NOBODY_TO_NAME, "check_experiment_description", "check_subject_exists"}


class TestStranger:
    """Descriptions in the file state that it is synthetic, its conditions and its origin."""

    @pytest.fixture
    def file(self, tmp_path):
        save(generated(), tmp_path / "a.nwb")
        with NWBHDF5IO(tmp_path / "a.nwb", "r") as io:
            yield io.read()

    def test_it_is_synthetic_wherever_one_looks(self, file):
        assert "synthetic" in file.keywords[:]
        assert file.subject.subject_id == "synthetic"
        assert "No animal" in file.subject.description
        everywhere = [file.session_description, file.experiment_description, file.trials.description]
        everywhere += [file.units.description]
        series = {**file.processing["behavior"].data_interfaces, **file.processing["misc"].data_interfaces}
        assert set(series) == {"hand_vel", "gaze", "rate_hz", "latents"}
        for words in [*everywhere, *(s.description for s in series.values())]:
            assert words.startswith("SYNTHETIC"), words

    def test_conditions_are_distinguished_from_drawn_labels(self, file):
        described = {name: file.trials[name].description for name in file.trials.colnames}
        conditions = {name for name, words in described.items() if "as a condition" in words}
        assert conditions == {"angle", "condition", "side"}
        assert {name for name, words in described.items() if "not a condition" in words} == {"label"}
        assert "angle, side, hand_vel" in file.trials.description
        assert "as a condition" in file.processing["behavior"]["hand_vel"].description
        assert "condition" not in file.processing["behavior"]["gaze"].description

    def test_where_it_comes_from(self, file):
        for words in ("ldns", "velocity_run", "monkey.npz", "seed 3"):
            assert words in file.experiment_description
        about = json.loads(file.notes)
        assert about["spikeloom"] == __version__
        assert about["provenance"] == dict(generated().provenance)
        assert file.was_generated_by[:].tolist() == [["spikeloom", __version__]]
        assert file.units.resolution == 0.01

    def test_a_recording_has_no_such_description(self, tmp_path):
        recorded = generated()
        save(SpikeData(recorded.counts, 0.01, trials=recorded.trials, signals=recorded.signals), tmp_path / "b.nwb")
        with NWBHDF5IO(tmp_path / "b.nwb", "r") as io:
            file = io.read()
            assert file.subject is None
            assert file.was_generated_by is None
            words = [file.session_description, file.trials.description, file.units.description, *file.keywords[:]]
            words += [file.trials[name].description for name in file.trials.colnames]
            words += [s.description for s in file.processing["behavior"].data_interfaces.values()]
        assert not [w for w in words if "synthetic" in w.lower() or "as a condition" in w or "generated" in w]


class TestPynapple:
    @pytest.fixture
    def data(self):
        return generated()

    @pytest.fixture
    def file(self, data, tmp_path):
        save(data, tmp_path / "a.nwb")
        with warnings.catch_warnings():
            warnings.filterwarnings("error", "Failed to build")
            warnings.filterwarnings("ignore", "Metadata name 'split'")  # pynapple has a method of that name
            yield nap.load_file(str(tmp_path / "a.nwb"))

    def test_trials_are_intervals_with_their_conditions(self, data, file):
        trials = file["trials"]
        assert isinstance(trials, nap.IntervalSet)
        np.testing.assert_allclose(trials.end - trials.start, data.lengths * data.bin_s)
        np.testing.assert_allclose(trials.start[1:] - trials.end[:-1], GAP_S)
        np.testing.assert_array_equal(trials["angle"], data.trials["angle"])
        assert list(trials["side"]) == ["left", ""] * 6
        assert list(trials.get_info("split")) == [next(k for k, v in data.splits.items() if i in v) for i in range(12)]

    def test_units_have_the_spikes_of_every_bin(self, data, file):
        units = file["units"]
        assert isinstance(units, nap.TsGroup)
        assert list(units.keys()) == [7, 8, 9, 10, 11]
        assert list(units["area"]) == ["M1"] * 5
        for trial, length in enumerate(data.lengths):
            within = units.restrict(file["trials"][trial])
            assert [len(within[i]) for i in units] == data.counts[trial].sum(axis=0).tolist()
            binned = units.count(data.bin_s, ep=file["trials"][trial])
            np.testing.assert_array_equal(binned.values, data.counts[trial, :length])
        assert sum(len(units[i]) for i in units) == data.counts.sum()

    def test_signals_rates_and_latents_are_frames_at_bin_centres(self, data, file):
        known = {"hand_vel": data.signals["hand_vel"].values, "rate_hz": data.rate_hz, "latents": data.latents}
        for name, values in known.items():
            frame = file[name]
            assert isinstance(frame, nap.TsdFrame)
            np.testing.assert_allclose(frame.values, values[data.valid], rtol=1e-6)
            start = np.repeat(file["trials"].start, data.lengths)
            bins = np.concatenate([np.arange(n) for n in data.lengths])
            np.testing.assert_allclose(frame.t, start + (bins + 0.5) * data.bin_s, atol=1e-9)


class TestOurselves:
    def test_what_is_read_back(self, tmp_path):
        data = generated()
        save(data, tmp_path / "a.nwb")
        back = load(tmp_path / "a.nwb")
        np.testing.assert_array_equal(back.counts, data.counts[:, : data.lengths.max()])
        np.testing.assert_array_equal(back.lengths, data.lengths)
        assert back.bin_s == data.bin_s
        for name in ("angle", "condition", "success", "is_probe", "label"):
            np.testing.assert_array_equal(back.trials[name], data.trials[name])
        assert {k: v.tolist() for k, v in back.splits.items()} == {k: v.tolist() for k, v in data.splits.items()}
        assert data.provenance.items() <= back.provenance.items()
        for name, signal in data.signals.items():
            found = back.signals[name]
            np.testing.assert_allclose(found.values, signal.values[:, : back.n_bins], rtol=1e-6)
            assert found.columns == signal.columns

    def test_read_back_and_written_again_it_is_still_synthetic(self, tmp_path):
        save(generated(), tmp_path / "a.nwb")
        save(load(tmp_path / "a.nwb"), tmp_path / "b.nwb")
        assert not messages(tmp_path / "b.nwb", Importance.BEST_PRACTICE_VIOLATION)
        with NWBHDF5IO(tmp_path / "b.nwb", "r") as io:
            assert io.read().session_description.startswith("SYNTHETIC")


def test_samples_of_a_run_for_an_angle_and_a_velocity(tmp_path):
    rng = np.random.default_rng(1)
    recorded = SpikeData(
        counts(),
        bin_s=0.01,
        lengths=rng.integers(12, 21, 24),
        trials=pd.DataFrame({"angle": np.tile([0.0, 45.0, 90.0], 8)}),
        signals={"vel": Signal(rng.normal(size=(24, 20, 2)), "cm/s", ("x", "y"))},
    )
    save(recorded, tmp_path / "toy.npz")
    run, out = str(tmp_path / "run"), tmp_path / "new.nwb"
    on = ["--condition_on", "angle", "vel", "--observation", "poisson"]
    assert main(["fit", str(tmp_path / "toy.npz"), "--out", run, *FIT, *on]) == 0
    words = ["-n", "6", "--seed", "5", "--rates", "--condition", "angle=0,90", "vel=3,-1"]
    assert main(["sample", run, "--out", str(out), *words]) == 0
    assert main(["sample", run, "--out", str(tmp_path / "new.npz"), *words]) == 0

    drawn = load(tmp_path / "new.npz")
    assert set(messages(out)) == NOBODY_TO_NAME
    file = nap.load_file(str(out))
    assert file["trials"]["angle"].tolist() == [0.0, 90.0] * 3
    assert np.unique(file["vel"].values, axis=0).tolist() == [[3.0, -1.0]]
    spikes = [[len(file["units"].restrict(one)[i]) for i in file["units"]] for one in file["trials"]]
    assert spikes == drawn.counts.sum(axis=1).tolist()
    back = load(out)
    np.testing.assert_array_equal(back.counts, drawn.counts)
    assert back.trials["angle"].tolist() == drawn.trials["angle"].tolist()
    assert back.provenance["run"] == "run"
    assert back.provenance["source"] == "toy.npz"
    assert back.provenance["seed"] == 5
    with NWBHDF5IO(out, "r") as io:
        read = io.read()
        assert "as a condition" in read.trials["angle"].description
        assert "as a condition" in read.processing["behavior"]["vel"].description
