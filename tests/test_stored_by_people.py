"""Files as people write them: labels of no trial or unit, several clocks, padding, units of time, lists in cells.

Expected counts are made by histograms of the spike times themselves.
"""

import json

import h5py
import numpy as np
import pandas as pd
import pytest

import spikeloom as sl
from spikeloom.cli import main
from spikeloom.errors import DataError, shortened
from stored import cell, notes_of, one_by_one, structs, write

N_NEURONS, N_TRIALS, BIN_S, SESSION_S, TRIAL_S = 6, 15, 0.1, 60.0, 2.0
STARTS = 1.0 + 3.7 * np.arange(N_TRIALS)
SIDES = np.arange(N_TRIALS) % 3


@pytest.fixture(scope="module")
def trains() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [np.sort(rng.uniform(0, SESSION_S, 480 + 40 * n)) for n in range(N_NEURONS)]


def histogram(times: np.ndarray, start: float = 0.0, n_bins: int = round(SESSION_S / BIN_S)) -> np.ndarray:
    """Spikes of one neuron in each bin from a start on; one on a border belongs to the later bin."""
    place = np.floor((times - start) / BIN_S + 1e-6).astype(int)
    return np.bincount(place[(place >= 0) & (place < n_bins)], minlength=n_bins)


def of_session(trains) -> np.ndarray:
    """(time, neuron) counts of all of the session."""
    return np.stack([histogram(train) for train in trains], axis=-1)


def of_trials(trains, starts=STARTS, seconds: float = TRIAL_S) -> np.ndarray:
    """(trial, time, neuron) counts of trials of one length."""
    n_bins = round(seconds / BIN_S)
    return np.stack([np.stack([histogram(t, s, n_bins) for t in trains], axis=-1) for s in starts])


def since_starts(trains) -> list[list[np.ndarray]]:
    """Spike times of each neuron in each trial, counted from its start."""
    return [[t[(t >= s) & (t < s + TRIAL_S)] - s for t in trains] for s in STARTS]


def trial_of_bins(between) -> tuple[np.ndarray, np.ndarray]:
    """The trial of each bin of the session, from 1 on, with a label between trials; and the first bin of each trial."""
    labels = np.full(round(SESSION_S / BIN_S), between, dtype=float)
    first = np.round(STARTS / BIN_S).astype(int)
    for trial, start in enumerate(first):
        labels[start : start + round(TRIAL_S / BIN_S)] = trial + 1
    return labels, first


def total(data) -> np.ndarray:
    return data.counts.sum(axis=(0, 1))


# -- labels of the time between trials ---------------------------------------------------------------------------------


class TestBetweenTrials:
    @pytest.mark.parametrize("between", [-1, 0, np.nan])
    @pytest.mark.parametrize("options", [{}, {"segment": "trial"}])
    def test_a_label_of_no_trial_in_a_table(self, tmp_path, trains, between, options):
        counts = of_session(trains)
        labels, first = trial_of_bins(between)
        table = pd.DataFrame(counts, columns=[f"unit_{n}" for n in range(N_NEURONS)])
        table.assign(trial=labels, time_s=np.arange(len(counts)) * BIN_S).to_csv(tmp_path / "a.csv", index=False)
        data = sl.load(tmp_path / "a.csv", **options)
        np.testing.assert_array_equal(data.counts, [counts[i : i + 20] for i in first])
        assert data.trials["trial"].tolist() == list(range(1, N_TRIALS + 1))
        np.testing.assert_allclose(data.trials["recorded_from_s"], first * BIN_S)
        assert "lie between trials and were left out" in notes_of(data)
        assert data.provenance.get("load_options", {}) == options

    @pytest.mark.parametrize("between", [-1, 0, np.nan])
    @pytest.mark.parametrize("name", ["trial", "trial_id", "trialNumber", "segment"])
    def test_a_label_of_no_trial_in_an_array(self, tmp_path, trains, between, name):
        if name == "segment" and between == 0:
            pytest.skip("a segment 0 may come back")
        counts = of_session(trains)
        labels, first = trial_of_bins(between)
        labels = labels if np.isnan(between) else labels.astype(int)
        write(tmp_path / "a.npz", spikes=counts, bin_s=BIN_S, side=SIDES, **{name: labels})
        data = sl.load(tmp_path / "a.npz")
        np.testing.assert_array_equal(data.counts, [counts[i : i + 20] for i in first])
        assert data.trials["segment"].tolist() == list(range(1, N_TRIALS + 1))
        assert data.trials["side"].tolist() == SIDES.tolist()
        np.testing.assert_allclose(data.trials["recorded_from_s"], first * BIN_S)
        assert "recorded_piece" not in data.trials
        assert not data.signals
        assert name in notes_of(data)
        whole = sl.load(tmp_path / "a.npz", continuous=True)
        if name != "segment":
            np.testing.assert_array_equal(whole.counts[0], counts)

    def test_zero_is_a_trial_where_it_comes_once_and_a_state_where_it_is_one_of_two(self, tmp_path, trains):
        counts = of_session(trains)
        for name, labels in (("trial", np.arange(600) // 100), ("segment", np.arange(600) // 100 % 2)):
            write(tmp_path / "a.npz", spikes=counts, bin_s=BIN_S, **{name: labels})
            np.testing.assert_array_equal(sl.load(tmp_path / "a.npz").counts, counts.reshape(6, 100, N_NEURONS))

    def test_a_mask_of_trials(self, tmp_path, trains):
        counts = of_session(trains)
        labels, first = trial_of_bins(0)
        table = pd.DataFrame(counts, columns=[f"unit_{n}" for n in range(N_NEURONS)])
        table.assign(trial=labels > 0).to_csv(tmp_path / "a.csv", index=False)
        data = sl.load(tmp_path / "a.csv", stored_bin_s=BIN_S)
        np.testing.assert_array_equal(data.counts, [counts[i : i + 20] for i in first])

    @pytest.mark.parametrize("between", [-1, 0])
    def test_spikes_between_trials(self, tmp_path, trains, between):
        times, units = one_by_one(trains)
        trial = np.searchsorted(STARTS, times, side="right") - 1
        inside = (trial >= 0) & (times < STARTS[trial] + TRIAL_S)
        table = pd.DataFrame({"unit": units, "time_s": times, "trial": np.where(inside, trial + 1, between)})
        table.to_csv(tmp_path / "a.csv", index=False)
        data = sl.load(tmp_path / "a.csv", bin_s=BIN_S)
        assert data.n_trials == N_TRIALS
        assert f"{(~inside).sum()} spikes with the 'trial' {between} lie between trials" in notes_of(data)

    def test_trials_that_are_numbered_anew_in_each_block_of_a_wide_table(self, tmp_path, trains):
        counts = of_session(trains)
        row = np.arange(600)
        table = pd.DataFrame(counts, columns=[f"unit_{n}" for n in range(N_NEURONS)])
        table = table.assign(block=row // 200, trial=row // 50 % 4)
        table.to_csv(tmp_path / "a.csv", index=False)
        data = sl.load(tmp_path / "a.csv", stored_bin_s=BIN_S)
        np.testing.assert_array_equal(data.counts, counts.reshape(12, 50, N_NEURONS))
        assert data.trials["block"].tolist() == np.repeat([0, 1, 2], 4).tolist()


# -- several recordings on one clock -----------------------------------------------------------------------------------


class TestRecordings:
    @pytest.mark.parametrize("ending", [".csv", ".npz"])
    @pytest.mark.parametrize("order", ["by session", "by time"])
    def test_sessions_on_one_clock_are_refused_and_chosen(self, tmp_path, trains, ending, order):
        times, units = one_by_one(trains)
        table = pd.concat([pd.DataFrame({"session": s, "unit": units, "time": times + 0.01 * s}) for s in (1, 2)])
        table = table if order == "by session" else table.sort_values("time")
        path = tmp_path / f"a{ending}"
        if ending == ".csv":
            table.to_csv(path, index=False)
        else:
            write(path, spike_times=table["time"], spike_clusters=table["unit"], session=table["session"])
        with pytest.raises(
            DataError, match=r"2 different 'session' begin anew .* load one at a time with where=session=1"
        ):
            sl.load(path, bin_s=BIN_S)
        data = sl.load(path, bin_s=BIN_S, where="session=2")
        assert total(data).tolist() == [len(t) for t in trains]
        assert data.provenance["load_options"]["where"] == ["session=2"]

    def test_sessions_one_after_the_other_are_one_recording(self, tmp_path, trains):
        times, units = one_by_one(trains)
        table = pd.DataFrame({"session": times > 30, "unit": units, "time": times})
        table.to_csv(tmp_path / "a.csv", index=False)
        np.testing.assert_array_equal(sl.load(tmp_path / "a.csv", bin_s=BIN_S).counts[0], of_session(trains))

    def test_animals_are_chosen(self, tmp_path, trains):
        times, units = one_by_one(trains)
        table = pd.DataFrame({"mouse": np.where(units < 2, "m1", "m2"), "unit": units, "time": times})
        table.to_csv(tmp_path / "a.csv", index=False)
        with pytest.raises(DataError, match="where=mouse=m"):
            sl.load(tmp_path / "a.csv", bin_s=BIN_S)
        assert total(sl.load(tmp_path / "a.csv", bin_s=BIN_S, where="mouse=m1")).tolist() == [
            len(t) for t in trains[:2]
        ]


# -- ALF folders -------------------------------------------------------------------------------------------------------


def test_a_probe_beside_its_trials_whatever_the_folder_is_called(tmp_path, trains):
    times, units = one_by_one(trains)
    for probe in ("probe00", "probe01"):
        (tmp_path / "session" / probe).mkdir(parents=True)
        np.save(tmp_path / "session" / probe / "spikes.times.npy", times)
        np.save(tmp_path / "session" / probe / "spikes.clusters.npy", units)
    licks = np.sort(np.random.default_rng(1).uniform(0, SESSION_S, 90))
    np.save(tmp_path / "session" / "trials.intervals.npy", np.column_stack([STARTS, STARTS + TRIAL_S]))
    np.save(tmp_path / "session" / "licks.times.npy", licks)
    np.save(tmp_path / "session" / "camera.times.npy", np.arange(0, SESSION_S, 0.02))  # frames, which are no events
    data = sl.load(tmp_path / "session" / "probe01", bin_s=BIN_S)
    np.testing.assert_array_equal(data.counts, of_trials(trains))
    np.testing.assert_array_equal(data.signals["licks"].values, of_trials([licks]))
    assert list(data.signals) == ["licks"]
    assert "trials are those of the folder above, session" in notes_of(data)
    assert "camera.times.npy left out" in notes_of(data)


# -- what is no unit ---------------------------------------------------------------------------------------------------


class TestNoUnits:
    @pytest.mark.parametrize("ending", [".csv", ".npz", ".mat"])
    def test_minus_one_is_no_unit(self, tmp_path, trains, ending):
        times, units = one_by_one(trains)
        path = tmp_path / f"a{ending}"
        if ending == ".csv":
            pd.DataFrame({"unit": units - 1, "time": times}).to_csv(path, index=False)
        else:
            write(path, spike_times=times, spike_units=units - 1)
        data = sl.load(path, bin_s=BIN_S)
        assert total(data).tolist() == [len(t) for t in trains[1:]]
        assert data.neurons["id"].tolist() == [0, 1, 2, 3, 4]
        assert f"{len(trains[0])} spikes of unit -1, by which sorters mean none, were left out" in notes_of(data)

    @pytest.mark.parametrize("column", ["unit", "event"])
    @pytest.mark.parametrize("name", ["lick", "trial_start", "noise", "reward_on"])
    def test_events_among_units(self, tmp_path, trains, column, name):
        times, units = one_by_one(trains)
        table = pd.DataFrame({column: [f"unit_{u}" for u in units], "time": times})
        pd.concat([table, pd.DataFrame({column: name, "time": STARTS})]).to_csv(tmp_path / "a.csv", index=False)
        data = sl.load(tmp_path / "a.csv", bin_s=BIN_S)
        assert total(data).tolist() == [len(t) for t in trains]
        assert f"{N_TRIALS} spikes of unit {name}, which are no neurons by name, were left out" in notes_of(data)

    def test_neurons_that_are_all_called_after_what_they_do_stay(self, tmp_path, trains):
        times, units = one_by_one(trains)
        names = np.array(["lick_a", "lick_b", "hand_a", "hand_b", "eye_a", "eye_b"])
        pd.DataFrame({"unit": names[units], "time": times}).to_csv(tmp_path / "a.csv", index=False)
        assert sl.load(tmp_path / "a.csv", bin_s=BIN_S).n_neurons == N_NEURONS


# -- strays ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stray", [-1e5, -5.0, 1e9, 99_999.0])
@pytest.mark.parametrize("unit", ["", "_ms"])
def test_a_time_far_from_all_others_stretches_nothing(tmp_path, trains, stray, unit):
    times, units = one_by_one(trains)
    scale = 1e3 if unit else 1.0
    write(tmp_path / "a.npz", **{f"spike_times{unit}": np.r_[times, stray] * scale}, spike_clusters=np.r_[units, 0])
    data = sl.load(tmp_path / "a.npz", bin_s=BIN_S)
    np.testing.assert_array_equal(data.counts[0], of_session(trains))
    assert data.trials["recorded_from_s"].tolist() == [0.0]
    assert f"1 spike is far from all others, which last from {times[0]:.6g} to" in notes_of(data)


def test_a_time_far_from_all_others_does_not_hide_the_unit_of_time(tmp_path, trains):
    times, units = one_by_one(trains)
    write(tmp_path / "a.npz", spike_times=np.r_[times * 1e3, 1e12], spike_clusters=np.r_[units, 0])
    np.testing.assert_array_equal(sl.load(tmp_path / "a.npz", bin_s=BIN_S).counts[0], of_session(trains))


def test_a_few_spikes_in_a_recording_of_few_are_no_strays(tmp_path):
    pd.DataFrame({"unit": [0, 0, 1, 1], "time_s": [0.05, 3.0, 3.15, 40.0]}).to_csv(tmp_path / "a.csv", index=False)
    assert sl.load(tmp_path / "a.csv", bin_s=BIN_S).counts.sum() == 4


# -- trials beside spike times -----------------------------------------------------------------------------------------


class TestTrialsBeside:
    @pytest.mark.parametrize("ending", [".npz", ".h5", ".mat"])
    @pytest.mark.parametrize(
        "names",
        [("trial_start_ms", "trial_end_ms"), ("trial_start", "trial_stop"), ("trialOnset_ms", "trialOffset_ms")],
    )
    def test_milliseconds_by_name_or_by_the_recording(self, tmp_path, trains, ending, names):
        times, units = one_by_one(trains)
        starts = dict(zip(names, (STARTS * 1e3, (STARTS + TRIAL_S) * 1e3)))
        path = tmp_path / f"a{ending}"
        write(path, spike_times=times, spike_clusters=units, side=SIDES, **starts, go_ms=(STARTS + 0.5) * 1e3)
        data = sl.load(path, bin_s=BIN_S)
        np.testing.assert_array_equal(data.counts, of_trials(trains))
        assert "milliseconds" in notes_of(data)
        assert "not used" not in notes_of(data)
        assert data.trials["side"].tolist() == SIDES.tolist()
        around = sl.load(path, bin_s=BIN_S, align="go_ms", before_s=0.2, after_s=0.8)
        np.testing.assert_array_equal(around.counts, of_trials(trains, STARTS + 0.3, 1.0))

    @pytest.mark.parametrize("shape", ["(n, 2)", "(2, n)", "(2, 2) of rows", "(2, 2) of columns"])
    def test_starts_and_stops_in_one_array(self, tmp_path, trains, shape):
        times, units = one_by_one(trains)
        starts = STARTS if "n" in shape.split(")")[0] else STARTS[:2]
        pairs = np.column_stack([starts, starts + TRIAL_S])
        stored = pairs.T if shape in ("(2, n)", "(2, 2) of columns") else pairs
        write(tmp_path / "a.npz", spike_times=times, spike_clusters=units, trials=stored)
        data = sl.load(tmp_path / "a.npz", bin_s=BIN_S)
        np.testing.assert_array_equal(data.counts, of_trials(trains, starts))

    @pytest.mark.parametrize("ending", [".npz", ".mat"])
    def test_an_array_that_is_named(self, tmp_path, trains, ending):
        times, units = one_by_one(trains)
        spans, path = np.column_stack([STARTS, STARTS + TRIAL_S]), tmp_path / f"a{ending}"
        arrays = {"reach_onset_ms": STARTS[3:] * 1e3, "reach_offset_ms": STARTS[3:] * 1e3 + 500, "laser": spans[5:]}
        place = np.column_stack([SIDES, -SIDES])  # of targets: no starts and stops
        arrays |= {"trial_start": STARTS, "trial_end": STARTS + 1, "trial_place": place}
        write(path, spike_times=times, spike_clusters=units, **arrays)
        np.testing.assert_array_equal(sl.load(path, bin_s=BIN_S).counts, of_trials(trains, STARTS, 1.0))
        data = sl.load(path, bin_s=BIN_S, trials="laser")
        np.testing.assert_array_equal(data.counts, of_trials(trains, STARTS[5:]))
        assert data.provenance["load_options"]["trials"] == "laser"
        data = sl.load(path, bin_s=BIN_S, trials="reach_onset_ms")
        np.testing.assert_array_equal(data.counts, of_trials(trains, STARTS[3:], 0.5))
        with pytest.raises(DataError, match="'nothing'"):
            sl.load(path, bin_s=BIN_S, trials="nothing")

    def test_values_of_trials_beside_spikes_that_name_theirs(self, tmp_path, trains):
        rows = [(i, n, t) for i, trial in enumerate(since_starts(trains)) for n, one in enumerate(trial) for t in one]
        trial, unit, time = np.array(rows).T
        first = {"spike_times": time, "spike_units": unit.astype(int), "spike_trials": trial.astype(int) + 1}
        write(tmp_path / "a.npz", **first, target=SIDES)
        data = sl.load(tmp_path / "a.npz", bin_s=BIN_S)
        np.testing.assert_array_equal(data.counts, of_trials(trains))
        assert data.trials["target"].tolist() == SIDES.tolist()

    def test_a_group_of_trials_beside_counts(self, tmp_path, trains):
        counts = of_session(trains)
        start = np.round(STARTS / BIN_S) * BIN_S
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file["ephys/counts"] = counts
            file["ephys"].attrs["bin_ms"] = 100
            file["trials/start"], file["trials/stop"], file["trials/side"] = start, start + TRIAL_S, SIDES
        data = sl.load(tmp_path / "a.h5")
        np.testing.assert_array_equal(data.counts, [counts[round(s / BIN_S) :][:20] for s in start])
        assert data.trials["side"].tolist() == SIDES.tolist()


class TestEventsOfArraysOfTrials:
    """(trial, time, neuron) counts, and a time of an event in each trial."""

    @pytest.mark.parametrize("ending", [".npz", ".mat"])
    @pytest.mark.parametrize(
        ("name", "events"),
        [
            ("go", lambda b: b * BIN_S + 0.03),  # seconds
            ("go_ms", lambda b: b * BIN_S * 1e3 + 30),
            ("goCue", lambda b: b * BIN_S * 1e3 + 30),  # as seconds, they would lie behind the trial
            ("go_bin", lambda b: b),
        ],
    )
    def test_windows_around_events(self, tmp_path, trains, ending, name, events):
        counts, bins = of_trials(trains), 4 + np.arange(N_TRIALS) % 5
        values = events(bins) + (ending == ".mat" and name == "go_bin")
        path = tmp_path / f"a{ending}"
        speed = np.arange(20.0) + 100 * np.arange(N_TRIALS)[:, None]
        write(path, spikes=counts, bin_ms=100, speed=speed, **{name: values})
        data = sl.load(path, align=name, before_s=0.3, after_s=0.6)
        np.testing.assert_array_equal(data.counts, [one[b - 3 : b + 6] for one, b in zip(counts, bins)])
        np.testing.assert_array_equal(data.signals["speed"].values[:, 0, 0], bins - 3 + 100 * np.arange(N_TRIALS))

    def test_the_clock_of_the_bins(self, tmp_path, trains):
        counts = of_trials(trains)
        time = BIN_S * np.arange(20) - 0.5
        write(tmp_path / "a.npz", spikes=counts, time=time, go=np.full(N_TRIALS, 0.21), rt=np.full(N_TRIALS, np.nan))
        data = sl.load(tmp_path / "a.npz", align="go", before_s=0.2, after_s=0.4)
        np.testing.assert_array_equal(data.counts, counts[:, 5:11])
        np.testing.assert_allclose(data.trials["recorded_from_s"], 0.5)
        wide = sl.load(tmp_path / "a.npz", align="go", before_s=0.2, after_s=0.4, bin_s=0.2)
        np.testing.assert_array_equal(wide.counts, counts[:, 5:11].reshape(N_TRIALS, 3, 2, N_NEURONS).sum(axis=2))
        with pytest.raises(DataError, match="'rt' lies outside"):
            sl.load(tmp_path / "a.npz", align="rt", after_s=0.4)

    def test_trials_without_an_event_or_room_are_dropped_and_told(self, tmp_path, trains):
        counts, go = of_trials(trains), np.full(N_TRIALS, 1.0)
        go[2], go[5] = np.nan, 1.85
        write(tmp_path / "a.npz", spikes=counts, bin_s=BIN_S, go=go, side=SIDES)
        data = sl.load(tmp_path / "a.npz", align="go", after_s=0.5)
        kept = np.setdiff1d(np.arange(N_TRIALS), [2, 5])
        np.testing.assert_array_equal(data.counts, counts[kept, 10:15])
        assert data.trials["side"].tolist() == SIDES[kept].tolist()
        assert "1 of 15 trials were dropped because they have no 'go' in them (2)" in notes_of(data)
        assert "1 of 15 trials were dropped because they have a window that leaves the trial (5)" in notes_of(data)


class TestTablesOfTrials:
    @pytest.mark.parametrize("names", [("TrialOnset_ms", "TrialOffset_ms"), ("Trial Start (ms)", "Trial End (ms)")])
    def test_names_of_starts(self, tmp_path, trains, names):
        times, units = one_by_one(trains)
        pd.DataFrame({"unit": units, "time_s": times}).to_csv(tmp_path / "a.csv", index=False)
        pd.DataFrame(dict(zip(names, (STARTS * 1e3, (STARTS + TRIAL_S) * 1e3)))).to_csv(tmp_path / "t.csv", index=False)
        data = sl.load(tmp_path / "a.csv", bin_s=BIN_S, trials=tmp_path / "t.csv")
        np.testing.assert_array_equal(data.counts, of_trials(trains))

    def test_samples_and_events_in_milliseconds_are_named(self, tmp_path, trains):
        times, units = one_by_one(trains)
        pd.DataFrame({"unit": units, "time_s": times}).to_csv(tmp_path / "a.csv", index=False)
        pd.DataFrame({"start_sample": STARTS * 3e4, "end_sample": STARTS * 3e4 + 1}).to_csv(tmp_path / "t.csv")
        with pytest.raises(DataError, match=r"'start_sample' .* counts samples; divide it by their rate"):
            sl.load(tmp_path / "a.csv", bin_s=BIN_S, trials=tmp_path / "t.csv")
        table = pd.DataFrame({"start": STARTS, "end": STARTS + TRIAL_S, "cue_ms": STARTS * 1e3 + 500})
        table.to_csv(tmp_path / "t.csv", index=False)
        with pytest.raises(DataError, match=r"'cue_ms' .* in milliseconds: divide it by 1000"):
            sl.load(tmp_path / "a.csv", bin_s=BIN_S, trials=tmp_path / "t.csv", align="cue_ms", after_s=0.5)

    def test_a_table_of_events_is_no_recording(self, tmp_path):
        table = pd.DataFrame({"onset": STARTS, "duration": TRIAL_S, "trial_type": SIDES})
        table.to_csv(tmp_path / "events.tsv", sep="\t", index=False)
        with pytest.raises(DataError, match="no spikes; load the recording itself, with trials=<this file>"):
            sl.load(tmp_path / "events.tsv")


# -- MATLAB ------------------------------------------------------------------------------------------------------------


class TestMatlab:
    @pytest.mark.parametrize("with_stops", [True, False])
    def test_bins_are_counted_from_one(self, tmp_path, trains, with_stops):
        counts = of_session(trains)
        first = np.round(STARTS / BIN_S).astype(int)
        stops = {"trialEnd": first + 20.0} if with_stops else {}
        write(tmp_path / "a.mat", spikes=counts.astype(float), binSize=BIN_S, trialStart=first + 1.0, **stops)
        data = sl.load(tmp_path / "a.mat")
        n_bins = [20] * N_TRIALS if with_stops else np.diff(np.r_[first, 600])
        assert data.lengths.tolist() == list(n_bins)
        for trial, (start, n) in enumerate(zip(first, n_bins)):
            np.testing.assert_array_equal(data.counts[trial, :n], counts[start : start + n])
        assert "counted from 1" in notes_of(data)

    def test_a_trial_that_starts_with_bin_zero_counts_from_zero(self, tmp_path, trains):
        counts = of_session(trains)
        first = np.arange(0.0, 600, 60)
        write(tmp_path / "a.mat", spikes=counts.astype(float), binSize=BIN_S, trialStart=first, trialEnd=first + 20)
        np.testing.assert_array_equal(sl.load(tmp_path / "a.mat").counts, [counts[int(i) : int(i) + 20] for i in first])

    def test_durations_and_events_are_in_the_unit_of_the_spikes(self, tmp_path, trains):
        # Trials last longer than their spikes, and one event comes late in its trial.
        trials = [
            {"spikeTimes": cell([t[t < 1.7] * 1e3 for t in trial]), "duration": 2000.0, "goCue": 500.0 + i}
            for i, trial in enumerate(since_starts(trains))
        ]
        write(tmp_path / "a.mat", R=structs(trials))
        expected = of_trials(trains)
        expected[:, 17:] = 0
        data = sl.load(tmp_path / "a.mat", bin_s=BIN_S)
        np.testing.assert_array_equal(data.counts, expected)
        assert "trials last as long as 'duration' says, in units of 0.001 s" in notes_of(data)
        around = sl.load(tmp_path / "a.mat", bin_s=BIN_S, align="goCue", before_s=0.2, after_s=0.6)
        np.testing.assert_array_equal(around.counts, of_trials(trains, STARTS + 0.3 + 1e-3 * np.arange(N_TRIALS), 0.8))

    @pytest.mark.parametrize("ending", [".mat", ".h5"])
    def test_units_in_trials(self, tmp_path, trains, ending):
        path, trials = tmp_path / f"a{ending}", since_starts(trains)
        if ending == ".mat":
            units = [structs([{"times": t, "area": f"A{n % 2}"} for n, t in enumerate(trial)]) for trial in trials]
            write(path, data={"trials": structs([{"units": u, "side": float(s)} for u, s in zip(units, SIDES)])})
        else:
            with h5py.File(path, "w") as file:
                for i, trial in enumerate(trials):
                    file[f"trials/trial_{i}/side"] = SIDES[i]
                    for n, times in enumerate(trial):
                        file[f"trials/trial_{i}/unit_{n}/times"] = times
        data = sl.load(path, bin_s=BIN_S)
        np.testing.assert_array_equal(data.counts, of_trials(trains))
        assert data.trials["side"].tolist() == SIDES.tolist()
        if ending == ".mat":
            assert data.neurons["area"].tolist() == ["A0", "A1"] * 3

    def test_one_duration_for_all_trials(self, tmp_path, trains):
        spikes = np.empty((N_NEURONS, N_TRIALS), object)
        for i, trial in enumerate(since_starts(trains)):
            for n, times in enumerate(trial):
                spikes[n, i] = times[times < 1.7]
        write(tmp_path / "a.mat", spikes=spikes, trial_duration=TRIAL_S, target=SIDES)
        expected = of_trials(trains)
        expected[:, 17:] = 0
        np.testing.assert_array_equal(sl.load(tmp_path / "a.mat", bin_s=BIN_S).counts, expected)

    def test_a_table_of_trials_beside_cells_of_spike_times(self, tmp_path, trains):
        trials = [{"spikes": cell(trial)} for trial in since_starts(trains)]
        write(tmp_path / "a.mat", trial=structs(trials))
        table = pd.DataFrame({"trial": np.arange(N_TRIALS) + 1, "start": STARTS, "stop": STARTS + 1.5, "side": SIDES})
        table.sample(frac=1, random_state=0).to_csv(tmp_path / "t.csv", index=False)
        data = sl.load(tmp_path / "a.mat", bin_s=BIN_S, trials=tmp_path / "t.csv")
        np.testing.assert_array_equal(data.counts, of_trials(trains, STARTS, 1.5))
        assert data.trials["side"].tolist() == SIDES.tolist()
        table[:-1].to_csv(tmp_path / "t.csv", index=False)
        with pytest.raises(DataError, match="has 14 rows, but spikes come in 15 trials"):
            sl.load(tmp_path / "a.mat", bin_s=BIN_S, trials=tmp_path / "t.csv")

    @pytest.mark.parametrize("unit", [1.0, 1e3])
    def test_times_of_bins_in_structures_of_trials(self, tmp_path, trains, unit):
        counts, n_bins = of_trials(trains), 20 - np.arange(N_TRIALS) % 4
        trials = [
            {"spikes": one[:n], "t": unit * (BIN_S * np.arange(n) - 0.4), "speed": np.arange(float(n))}
            for one, n in zip(counts, n_bins)
        ]
        write(tmp_path / "a.mat", trials=structs(trials))
        data = sl.load(tmp_path / "a.mat")
        assert data.bin_s == BIN_S
        assert data.lengths.tolist() == n_bins.tolist()
        for trial, n in enumerate(n_bins):
            np.testing.assert_array_equal(data.counts[trial, :n], counts[trial, :n])
        np.testing.assert_array_equal(data.signals["speed"].values[0, :, 0], np.arange(20))
        assert "from -0.4 s" in notes_of(data)

    def test_a_width_that_is_missing_names_what_the_file_holds(self, tmp_path, trains):
        write(tmp_path / "a.mat", D=structs([{"data": one.T, "target": 1.0} for one in of_trials(trains)]))
        with pytest.raises(DataError, match="stored_bin_s") as error:
            sl.load(tmp_path / "a.mat")
        assert "reader" not in str(error.value)
        assert "data" in str(error.value)


# -- padded arrays -----------------------------------------------------------------------------------------------------


def padded(trains, fill: float) -> np.ndarray:
    out = np.full((len(trains), max(map(len, trains))), fill)
    for row, train in zip(out, trains):
        row[: len(train)] = train
    return out


class TestPadding:
    @pytest.mark.parametrize("ending", [".npz", ".h5", ".mat"])
    @pytest.mark.parametrize("fill", [np.nan, 0.0, -1.0])
    @pytest.mark.parametrize("turn", [False, True])
    def test_spike_times_of_units(self, tmp_path, trains, ending, fill, turn):
        path = tmp_path / f"a{ending}"
        values = padded(trains, fill)
        write(path, spike_times=values.T if turn else values, depth_of_unit=np.arange(N_NEURONS))
        data = sl.load(path, bin_s=BIN_S)
        np.testing.assert_array_equal(data.counts[0], of_session(trains))
        assert data.neurons["depth_of_unit"].tolist() == list(range(N_NEURONS))
        assert "padded with" in notes_of(data)

    @pytest.mark.parametrize("name", ["spikes", "spike_times"])
    def test_samples_of_units(self, tmp_path, trains, name):
        samples = [np.rint(t * 30_000) for t in trains]
        write(tmp_path / "a.npz", **{name: padded(samples, 0).astype(np.int64)}, fs=30_000.0)
        data = sl.load(tmp_path / "a.npz", bin_s=BIN_S)
        np.testing.assert_array_equal(data.counts[0], of_session([s / 30_000 for s in samples]))

    @pytest.mark.parametrize("order", ["trial first", "neuron first"])
    def test_spike_times_of_units_in_trials(self, tmp_path, trains, order):
        trials = since_starts(trains)
        longest = max(len(t) for trial in trials for t in trial)
        values = np.full((N_TRIALS, N_NEURONS, longest), np.nan)
        for i, trial in enumerate(trials):
            for n, times in enumerate(trial):
                values[i, n, : len(times)] = times
        values = values if order == "trial first" else values.swapaxes(0, 1)
        write(tmp_path / "a.npz", spike_times=values, trial_duration=TRIAL_S, target=SIDES)
        data = sl.load(tmp_path / "a.npz", bin_s=BIN_S)
        np.testing.assert_array_equal(data.counts, of_trials(trains))
        assert data.trials["target"].tolist() == SIDES.tolist()

    @pytest.mark.parametrize("lengths", [True, False])
    @pytest.mark.parametrize("fill", [np.nan, -1, 255])
    @pytest.mark.parametrize("axes", ["trial,time,neuron", "trial,neuron,time", "neuron,time,trial"])
    def test_counts_tell_their_axes(self, tmp_path, trains, lengths, fill, axes):
        counts, n_bins = of_trials(trains), 20 - np.arange(N_TRIALS) % 4
        values = counts.astype(float if np.isnan(fill) else np.int64 if fill < 0 else np.uint8)
        for row, n in zip(values, n_bins):
            row[n:] = fill
        order = [("trial", "time", "neuron").index(axis) for axis in axes.split(",")]
        write(
            tmp_path / "a.npz", spikes=values.transpose(order), bin_s=BIN_S, **({"n_bins": n_bins} if lengths else {})
        )
        data = sl.load(tmp_path / "a.npz")
        assert data.lengths.tolist() == n_bins.tolist()
        for trial, n in enumerate(n_bins):
            np.testing.assert_array_equal(data.counts[trial, :n], counts[trial, :n])

    def test_minus_one_in_some_neurons_is_no_padding(self, tmp_path, trains):
        counts = of_trials(trains).astype(int)
        counts[3, 4, 2] = -1
        write(tmp_path / "a.npz", spikes=counts, bin_s=BIN_S)
        with pytest.raises(DataError, match="-1"):
            sl.load(tmp_path / "a.npz")

    def test_counts_that_rise_here_and_there_stay_counts(self, tmp_path, trains):
        counts = of_trials(trains)
        write(tmp_path / "a.npz", spike_times_binned=counts, spikes=counts, bin_s=BIN_S)
        np.testing.assert_array_equal(sl.load(tmp_path / "a.npz").counts, counts)


# -- tables in cells, in types, and turned -----------------------------------------------------------------------------


class TestTables:
    @pytest.mark.parametrize("how", ["parquet", "json", "numpy", "spaces", "bare"])
    def test_a_list_of_times_for_each_unit(self, tmp_path, trains, how):
        rounded = [np.round(t, 4) for t in trains]
        cells: list = {
            "parquet": [list(t) for t in rounded],
            "json": [json.dumps(t.tolist()) for t in rounded],
            "numpy": [str(list(t)) for t in rounded],
            "bare": [" ".join(map(str, t.tolist())) for t in rounded],
            "spaces": ["[" + " ".join(map(str, t.tolist())) + "]" for t in rounded],
        }[how]
        table = pd.DataFrame({"unit_id": np.arange(N_NEURONS) + 70, "spike_times": cells, "area": ["V1", "CA1"] * 3})
        path = tmp_path / ("a.parquet" if how == "parquet" else "a.csv")
        table.to_parquet(path) if how == "parquet" else table.to_csv(path, index=False)
        data = sl.load(path, bin_s=BIN_S)
        np.testing.assert_array_equal(data.counts[0], of_session(rounded))
        assert data.neurons["id"].tolist() == list(range(70, 76))
        assert data.neurons["area"].tolist() == ["V1", "CA1"] * 3
        assert sl.load(path, bin_s=BIN_S, neurons="area=V1").n_neurons == 3

    def test_a_list_of_times_for_each_unit_and_trial(self, tmp_path, trains):
        rows = [
            {"trial": i, "unit": n, "times": one.tolist(), "side": SIDES[i]}
            for i, trial in enumerate(since_starts(trains))
            for n, one in enumerate(trial)
        ]
        pd.DataFrame(rows).to_parquet(tmp_path / "a.parquet")
        data = sl.load(tmp_path / "a.parquet", bin_s=BIN_S)
        np.testing.assert_array_equal(data.counts, of_trials(trains))
        assert data.trials["side"].tolist() == SIDES.tolist()

    def test_lists_that_were_printed_short_are_refused(self, tmp_path, trains):
        longer = [np.tile(t, 3) for t in trains]
        pd.DataFrame({"unit": range(N_NEURONS), "spike_times": [str(t) for t in longer]}).to_csv(tmp_path / "a.csv")
        with pytest.raises(DataError, match="cut short"):
            sl.load(tmp_path / "a.csv", bin_s=BIN_S)

    @pytest.mark.parametrize("ending", [".npy", ".npz", ".h5"])
    def test_a_table_that_is_one_array(self, tmp_path, trains, ending):
        times, units = one_by_one(trains)
        table = np.zeros(len(times), dtype=[("time", float), ("unit", np.int32)])
        table["time"], table["unit"] = times, units
        path = tmp_path / f"a{ending}"
        np.save(path, table) if ending == ".npy" else write(path, spikes=table)
        np.testing.assert_array_equal(sl.load(path, bin_s=BIN_S).counts[0], of_session(trains))

    def test_a_row_for_each_neuron_and_columns_called_by_their_times(self, tmp_path, trains):
        counts = of_session(trains)
        frame = pd.DataFrame(counts.T, columns=np.arange(len(counts)) * BIN_S)
        frame.to_csv(tmp_path / "a.csv")
        data = sl.load(tmp_path / "a.csv")
        np.testing.assert_array_equal(data.counts[0], counts)
        assert "each row of the file is a neuron" in notes_of(data)
        frame.assign(unit=[f"u{n}" for n in range(N_NEURONS)]).set_index("unit").to_csv(tmp_path / "a.csv")
        data = sl.load(tmp_path / "a.csv")
        np.testing.assert_array_equal(data.counts[0], counts)

    def test_a_row_for_each_neuron_and_numbered_columns_are_a_question(self, tmp_path, trains, capsys):
        counts = of_session(trains)
        pd.DataFrame(counts.T).to_csv(tmp_path / "a.csv")
        with pytest.raises(DataError, match=r"axes=neuron,time if a row is a neuron, or axes=time,neuron"):
            sl.load(tmp_path / "a.csv", stored_bin_s=BIN_S)
        data = sl.load(tmp_path / "a.csv", stored_bin_s=BIN_S, axes="neuron,time")
        np.testing.assert_array_equal(data.counts[0], counts)
        assert main(["describe", str(tmp_path / "a.csv"), "--stored_bin_s", str(BIN_S)]) == 2
        assert "--axes neuron,time" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["100 ms", "0.1s", "10 Hz", "100ms"])
def test_a_width_in_words(tmp_path, trains, text):
    counts = of_trials(trains)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["counts"] = counts
        file["counts"].attrs["bin_width"] = text
    data = sl.load(tmp_path / "a.h5")
    np.testing.assert_array_equal(data.counts, counts)
    assert data.bin_s == pytest.approx(BIN_S)


def test_python_objects_are_never_loaded_and_say_what_to_do(tmp_path, trains):
    objects = np.empty(N_NEURONS, object)
    objects[:] = trains
    np.savez(tmp_path / "a.npz", spike_times=objects)
    with pytest.raises(
        DataError, match=r"'spike_times' is an array of Python objects, which is never loaded, .* numpy.savez"
    ):
        sl.load(tmp_path / "a.npz")


@pytest.mark.parametrize("by_trial", [False, True])
def test_vectors_of_different_lengths_in_one_hdf5_array(tmp_path, trains, by_trial):
    trials = since_starts(trains)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        shape = (N_TRIALS, N_NEURONS) if by_trial else (N_NEURONS,)
        array = file.create_dataset("spike_times", shape, dtype=h5py.vlen_dtype(np.float64))
        for place in np.ndindex(shape):
            array[place] = trials[place[0]][place[1]] if by_trial else trains[place[0]]
    data = sl.load(tmp_path / "a.h5", bin_s=BIN_S)
    np.testing.assert_array_equal(data.counts, of_trials(trains) if by_trial else [of_session(trains)])


def test_groups_of_trials_without_some_units(tmp_path, trains):
    expected = of_trials(trains)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for i, trial in enumerate(since_starts(trains)):
            group = file.create_group(f"trial_{i:02d}")
            group.attrs["side"] = SIDES[i]
            for n, times in enumerate(trial):
                if n != i % 4:  # each trial lacks another unit, as if it had not fired
                    group[f"unit_{n}"] = times
                else:
                    expected[i, :, n] = 0
    data = sl.load(tmp_path / "a.h5", bin_s=BIN_S)
    np.testing.assert_array_equal(data.counts, expected)
    assert data.trials["side"].tolist() == SIDES.tolist()


# -- errors ------------------------------------------------------------------------------------------------------------


def test_values_in_errors_are_cut(tmp_path, capsys):
    text = "x" * 23_000
    pd.DataFrame({"unit": [1, 2], "time": ["0.5", text]}).to_csv(tmp_path / "a.csv", index=False)
    assert main(["describe", str(tmp_path / "a.csv")]) == 2
    printed = capsys.readouterr().err
    assert len(printed) < 400
    assert "23000 characters" in printed


def test_paths_and_sentences_in_errors_stay():
    path = "/a/" + "folder/" * 30 + "file.csv"
    assert str(DataError(f"there is no file '{path}'; check the path.")).count(path) == 1
    sentence = "the file's header " + "says so " * 30 + "of 'a' and 'b'"
    assert shortened(sentence) == sentence
    listed = shortened(f"none ({'columns: ' + ', '.join(f'column_{i}' for i in range(900))}); name one.")
    assert len(listed) < 400
    assert listed.endswith(", ...); name one.")


@pytest.mark.parametrize("name", ["trial_duration", "duration", "trial_duration_ms", "trial_end"])
def test_trials_beside_spike_times_may_have_durations(tmp_path, name):
    rng = np.random.default_rng(0)
    times, units = np.sort(rng.uniform(0, 100, 3000)), rng.integers(0, 4, 3000)
    start, length = np.arange(1.0, 100, 5), 2.0
    value = start + length if name == "trial_end" else np.full(20, length * (1e3 if name.endswith("ms") else 1))
    np.savez(tmp_path / "x.npz", spike_times=times, spike_clusters=units, trial_start=start, **{name: value})
    data = sl.load(tmp_path / "x.npz", bin_s=0.02)
    edges = [np.histogram(times[units == u], s + 0.02 * np.arange(101))[0] for s in start for u in range(4)]
    expected = np.array(edges).reshape(20, 4, 100).swapaxes(1, 2)
    np.testing.assert_array_equal(data.counts, expected)


def test_durations_of_another_unit_than_seconds_are_refused_not_taken(tmp_path):
    rng = np.random.default_rng(0)
    times, units = np.sort(rng.uniform(0, 100, 3000)), rng.integers(0, 4, 3000)
    start, duration = np.arange(1.0, 100, 5), np.full(20, 2000.0)
    np.savez(tmp_path / "x.npz", spike_times=times, spike_clusters=units, trial_start=start, trial_duration=duration)
    with pytest.raises(DataError, match="trial_duration_ms"):
        sl.load(tmp_path / "x.npz", bin_s=0.02)
