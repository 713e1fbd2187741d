"""Recordings from Python: spike times, pynapple, xarray, neo and sortings, against counts made with NumPy alone."""

import numpy as np
import pandas as pd
import pytest

import spikeloom as sl
from spikeloom.errors import DataError
from stored import notes_of

nap = pytest.importorskip("pynapple")
neo = pytest.importorskip("neo")
pq = pytest.importorskip("quantities")
xr = pytest.importorskip("xarray")

BIN_S = 0.02


def counted(times, starts, n_bins: int, bin_s: float = BIN_S) -> np.ndarray:
    """The oracle: a histogram of each neuron in each trial."""
    edges = np.arange(n_bins + 1) * bin_s
    return np.stack([np.stack([np.histogram(t, edges + s)[0] for t in times], axis=-1) for s in starts])


def population(n: int = 3, stop_s: float = 20.0, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [np.sort(rng.uniform(0, stop_s, 100 * (i + 1))) for i in range(n)]


STARTS = np.array([1.0, 4.0, 9.0])
PAIRS = np.column_stack([STARTS, STARTS + 1])


class TestSpikeTimes:
    @pytest.mark.parametrize(
        "form",
        [
            list,
            tuple,
            lambda times: [t.tolist() for t in times],
            lambda times: [pd.Series(t) for t in times],
            lambda times: pd.Series(times),
            lambda times: np.array(times, dtype=object),
            lambda times: {f"n{i}": t for i, t in enumerate(times)},
            lambda times: [t * 1e3 * pq.ms for t in times],
            lambda times: [pd.to_timedelta(t, unit="s") for t in times],
            lambda times: [np.random.default_rng(0).permutation(t) for t in times],
            lambda times: [t.astype(object) for t in times],
        ],
    )
    def test_whatever_holds_times(self, form):
        times = population()
        data = sl.from_spike_times(form(times), bin_s=BIN_S, trials=PAIRS)
        np.testing.assert_array_equal(data.counts, counted(times, STARTS, 50))

    def test_whole_seconds_and_a_neuron_without_a_spike(self):
        data = sl.from_spike_times([[1, 3, 3], [], None], bin_s=1.0, trials=[[0, 5]])
        assert data.counts[0, :, 0].tolist() == [0, 1, 0, 2, 0]
        assert data.counts[..., 1:].sum() == 0

    def test_names_become_ids(self):
        times = population()
        assert sl.from_spike_times({7: times[0], 3: times[1]}, bin_s=0.1).neurons["id"].tolist() == [7, 3]
        named = sl.from_spike_times(pd.Series(times[:2], index=["a", "b"]), bin_s=0.1)
        assert named.neurons["id"].tolist() == ["a", "b"]

    def test_signals_are_sampled_at_bin_centres(self):
        t = np.arange(0, 20, 0.004)
        signals = {
            "line": (t, 3 * t),
            "shuffled": (t[::-1], np.column_stack([3 * t, -t])[::-1]),
            "frame": pd.DataFrame({"x": 3 * t, "y": -t}, index=t),
            "column": pd.Series(3 * t, index=t),
        }
        data = sl.from_spike_times(population(), bin_s=BIN_S, trials=PAIRS, signals=signals)
        centres = STARTS[:, None] + (np.arange(50) + 0.5) * BIN_S
        for name, signal in data.signals.items():
            np.testing.assert_allclose(signal.values[..., 0], 3 * centres, rtol=1e-5, err_msg=name)
        assert data.signals["frame"].columns == ("x", "y")

    def test_an_interval_set_brings_its_metadata(self):
        trials = nap.IntervalSet(start=PAIRS[:, 0], end=PAIRS[:, 1], metadata={"side": ["l", "r", "l"]})
        data = sl.from_spike_times(population(), bin_s=BIN_S, trials=trials, observed=nap.IntervalSet(0, 20))
        assert data.trials["side"].tolist() == ["l", "r", "l"]

    @pytest.mark.parametrize(
        ("times", "message"),
        [
            ((np.linspace(0, 9, 40), np.arange(40) % 4), r"pair of 40 spike times and the unit of each; split them"),
            ((np.linspace(0, 9, 40), np.array(["a", "b"] * 20)), r"the unit of each; split them with \{u: times"),
            ([np.linspace(0, 9, 40), (np.arange(40) % 4).astype(float)], "the unit of each"),
            (np.linspace(0, 9, 40), r"of one neuron, pass \[times\]"),
            ([[[0.1, 0.2], [0.3]], [[0.1], [0.2]]], r"neuron 0 are 2 lists, .* add the start of each trial and join"),
            ([[0.1, 0.2], [np.array([0.1]), np.array([0.2, 0.3])]], "neuron 1 are 2 lists"),
            (np.random.default_rng(0).poisson(1, (5, 100)), "counts in bins rather than times"),
            ([np.zeros(9, bool)], "are bool of shape"),
            ([["a", "b"]], "must be a list of seconds"),
            ("spikes.npy", "is str, but must be a list"),
            ([], "holds no neuron"),
            (pd.DataFrame({"spike_times": [[1.0]]}), "pass its column of spike times"),
        ],
    )
    def test_what_is_no_list_of_times_for_each_neuron(self, times, message):
        with pytest.raises(DataError, match=message):
            sl.from_spike_times(times, bin_s=0.1)

    def test_objects_of_other_libraries_are_sent_to_their_own_door(self):
        with pytest.raises(DataError, match=r"use spikeloom.from_pynapple"):
            sl.from_spike_times(nap.TsGroup({0: nap.Ts([1.0, 2.0])}))
        with pytest.raises(DataError, match=r"use spikeloom.from_neo"):
            sl.from_spike_times(neo.Segment())

    def test_milliseconds_by_mistake(self):
        with pytest.raises(DataError, match=r"no spike falls into the trials .* are they in seconds"):
            sl.from_spike_times([t * 1e3 for t in population()], bin_s=BIN_S, trials=PAIRS)
        with pytest.raises(DataError, match=r"Hz per unit in bins of 0.001 s, which no neuron has; are spike times"):
            sl.from_spike_times([t * 1e-3 for t in population()], bin_s=0.001, trials=[[0, 0.02]])

    def test_options_that_name_parts_of_files_are_refused(self):
        for options in (sl.LoadOptions(axes="time,neuron"), sl.LoadOptions(trials="trials.csv")):
            with pytest.raises(DataError, match=r"axes|pass trials as the keyword"):
                sl.from_spike_times(population(), bin_s=0.1, options=options)


class TestPynapple:
    def group(self, times, **keywords):
        return nap.TsGroup({10 * (i + 1): nap.Ts(t) for i, t in enumerate(times)}, **keywords)

    def test_trials_of_an_interval_set(self):
        times = population()
        group = self.group(times, time_support=nap.IntervalSet(0, 20), metadata={"area": ["M1", "PMd", "M1"]})
        trials = nap.IntervalSet(
            start=PAIRS[:, 0], end=PAIRS[:, 1], metadata={"rt": [0.1, np.nan, 0.3], "ok": [1, 0, 1]}
        )
        t = np.arange(0, 20, 0.005)
        hand = nap.TsdFrame(t=t, d=np.column_stack([t, -t]), columns=["x", "y"])
        data = sl.from_pynapple(group, bin_s=BIN_S, trials=trials, signals={"hand": hand, "speed": nap.Tsd(t=t, d=t)})
        np.testing.assert_array_equal(data.counts, counted(times, STARTS, 50))
        assert data.neurons.to_dict("list") == {"area": ["M1", "PMd", "M1"], "id": [10, 20, 30]}
        assert data.trials["ok"].tolist() == [1, 0, 1]
        assert data.signals["hand"].columns == ("x", "y")
        centres = STARTS[:, None] + (np.arange(50) + 0.5) * BIN_S
        np.testing.assert_allclose(data.signals["hand"].values[..., 1], -centres, rtol=1e-5)

    def test_trials_that_touch_keep_their_last_bin(self):
        """Pynapple takes a microsecond off each but the last."""
        times = population()
        with pytest.warns(UserWarning, match=r"1 microsecond"):
            trials = nap.IntervalSet(start=np.arange(10.0), end=np.arange(10.0) + 1)
        data = sl.from_pynapple(self.group(times), bin_s=BIN_S, trials=trials)
        np.testing.assert_array_equal(data.counts, counted(times, np.arange(10.0), 50))

    @pytest.mark.parametrize("how", ["trials", "align", "array", "column", "more events than trials"])
    def test_windows_around_events(self, how):
        times, events = population(), STARTS + 0.3
        window = {"bin_s": BIN_S, "before_s": 0.2, "after_s": 0.4}
        trials = nap.IntervalSet(start=PAIRS[:, 0], end=PAIRS[:, 1], metadata={"go": events})
        keywords = {
            "trials": {"trials": nap.Ts(events)},
            "align": {"align": nap.Ts(events)},
            "array": {"align": events},
            "column": {"trials": trials, "align": "go"},
            "more events than trials": {"trials": trials, "align": nap.Ts(np.sort(np.r_[events, events + 0.5, 15.0]))},
        }[how]
        data = sl.from_pynapple(self.group(times), **keywords, **window)
        np.testing.assert_array_equal(data.counts, counted(times, events - 0.2, 30))

    def test_time_support_is_observed_time_unless_pynapple_made_it_up(self):
        times = population()
        support = nap.IntervalSet(start=[0, 9.0], end=[4.5, 20.0])
        data = sl.from_pynapple(self.group(times, time_support=support), bin_s=BIN_S, trials=PAIRS)
        assert data.lengths.tolist() == [50, 25, 50]
        # From the first to the last spike: a trial that begins a little earlier is still observed.
        data = sl.from_pynapple(self.group(times), bin_s=BIN_S, trials=[[0.0, 1.0]])
        np.testing.assert_array_equal(data.counts, counted(times, [0.0], 50))

    def test_one_spike_train_and_a_dictionary(self):
        times = population(2)
        one = sl.from_pynapple(nap.Ts(times[0]), bin_s=BIN_S, trials=PAIRS)
        np.testing.assert_array_equal(one.counts, counted(times[:1], STARTS, 50))
        two = sl.from_pynapple({"a": nap.Ts(times[0]), "b": nap.Ts(times[1])}, bin_s=BIN_S, trials=PAIRS)
        assert two.neurons["id"].tolist() == ["a", "b"]
        np.testing.assert_array_equal(two.counts, counted(times, STARTS, 50))

    def test_own_times_of_trials_are_kept(self):
        data = sl.SpikeData(
            np.ones((2, 5, 1), int), 0.1, trials={"start_time": [50.0, 70.0], "recorded_from_s": [50.0, 70.0]}
        )
        group, epochs = data.to_pynapple()
        assert epochs.start.tolist() == [0.0, 1.5]
        back = sl.from_pynapple(group, bin_s=0.1, trials=epochs, align=epochs.start + 0.2, before_s=0.1, after_s=0.2)
        assert back.trials["start_time"].tolist() == [50.0, 70.0]
        np.testing.assert_allclose(back.trials["recorded_from_s"], [50.1, 70.1])

    @pytest.mark.parametrize(
        ("make", "keywords", "message"),
        [
            (lambda: [np.arange(3.0)], {}, "is list, but must be a TsGroup"),
            (lambda: nap.TsdFrame(t=np.arange(9.0), d=np.ones((9, 2))), {}, "TsdFrame, but must be a TsGroup"),
            (lambda: {"a": np.arange(3.0)}, {}, "unit a of the group is ndarray"),
            (None, {"trials": nap.Ts([1.0]), "align": "go", "after_s": 1.0}, "leave one of them out"),
            (None, {"align": nap.Ts([1.0, 2.0])}, "after_s"),
            (None, {"trials": [[0, 1], [2, 3], [4, 5]], "align": nap.Ts([19.0]), "after_s": 0.1}, "lies in a trial"),
            (None, {"signals": {"x": 3}}, "must be a pair"),
        ],
    )
    def test_what_does_not_fit(self, make, keywords, message):
        with pytest.raises(DataError, match=message):
            sl.from_pynapple(self.group(population()) if make is None else make(), bin_s=0.1, **keywords)


class TestXarray:
    @pytest.mark.parametrize(
        "dims",
        [
            ("trial", "time", "neuron"),
            ("unit", "time", "trials"),
            ("stimulus_presentation_id", "time_relative_to_stimulus_onset", "unit_id"),
            ("presentation", "neuroid", "time_bin"),
            ("Time", "Cell", "Presentation_ID"),
        ],
    )
    def test_axes_are_known_by_name_in_any_order(self, dims):
        axes = {"tr": 0, "st": 0, "pr": 0, "ti": 1, "ne": 2, "un": 2, "ce": 2}
        order = [axes[dim[:2].lower()] for dim in dims]
        counts = np.random.default_rng(0).poisson(0.3, (4, 25, 3))
        time = dims[order.index(1)]
        array = xr.DataArray(counts.transpose(order), dims=dims, coords={time: 0.02 * np.arange(25) - 0.1})
        data = sl.from_xarray(array)
        np.testing.assert_array_equal(data.counts, counts)
        assert data.bin_s == 0.02

    def test_coordinates_and_variables_find_their_place(self):
        rng = np.random.default_rng(0)
        dataset = xr.Dataset(
            {
                "n": (("unit_id", "bin", "presentation_id"), rng.poisson(0.5, (3, 20, 4))),
                "speed": (("bin", "presentation_id"), rng.normal(size=(20, 4)), {"units": "cm/s"}),
                "eye": (("presentation_id", "xy", "bin"), rng.normal(size=(4, 2, 20))),
                "contrast": ("presentation_id", [0.1, 0.2, 0.4, 0.8]),
                "template": (("unit_id", "sample_of_template"), np.zeros((3, 9))),
            },
            {
                "bin": ("bin", np.arange(20) * 10, {"units": "ms"}),
                "unit_id": [900, 901, 950],
                "presentation_id": [7, 8, 11, 12],
                "xy": ["x", "y"],
                "stimulus_name": ("presentation_id", ["grating", "grating", "flash", None]),
                "area": ("unit_id", ["VISp", "VISl", "VISp"]),
            },
        )
        data = sl.from_xarray(dataset)
        np.testing.assert_array_equal(data.counts, dataset["n"].values.transpose(2, 1, 0))
        assert data.bin_s == 0.01
        np.testing.assert_allclose(data.signals["speed"].values[..., 0], dataset["speed"].values.T, rtol=1e-6)
        np.testing.assert_allclose(data.signals["eye"].values, dataset["eye"].values.transpose(0, 2, 1), rtol=1e-6)
        assert (data.signals["speed"].unit, data.signals["eye"].columns) == ("cm/s", ("x", "y"))
        assert data.trials["id"].tolist() == [7, 8, 11, 12]
        assert data.trials["contrast"].tolist() == [0.1, 0.2, 0.4, 0.8]
        assert data.trials["stimulus_name"].isna().tolist() == [False, False, False, True]
        assert data.neurons.to_dict("list") == {"id": [900, 901, 950], "area": ["VISp", "VISl", "VISp"]}
        assert "'template' (unit_id, sample_of_template) was not used" in notes_of(data)

    def test_nan_behind_a_trial_is_no_zero(self):
        counts = np.random.default_rng(0).poisson(0.5, (3, 10, 2)).astype(float)
        counts[1, 6:] = np.nan
        data = sl.from_xarray(
            xr.DataArray(counts, dims=("trial", "time", "unit"), coords={"time": np.arange(10) / 100})
        )
        assert data.lengths.tolist() == [10, 6, 10]
        assert "NaN at the end of trials" in notes_of(data)

    def test_a_session_is_one_trial_to_be_cut(self):
        counts = np.random.default_rng(0).poisson(0.5, (3, 100))
        array = xr.DataArray(counts, dims=("unit", "time"), coords={"time": np.arange(100) * 0.01 + 5})
        assert sl.from_xarray(array).n_trials == 1
        windows = sl.from_xarray(array, options=sl.LoadOptions(window_s=0.2))
        np.testing.assert_array_equal(windows.counts.reshape(100, 3), counts.T)

    def test_wider_bins_and_bins_of_unknown_width(self):
        counts = np.random.default_rng(0).poisson(0.2, (2, 100, 3))
        timed = xr.DataArray(counts, dims=("trial", "time", "unit"), coords={"time": np.arange(100) / 1000})
        wide = sl.from_xarray(timed, bin_s=0.02)
        np.testing.assert_array_equal(wide.counts, counts.reshape(2, 5, 20, 3).sum(axis=2))
        numbered = timed.drop_vars("time")
        told = sl.from_xarray(numbered, bin_s=0.02)
        assert told.bin_s == 0.02
        assert "taken to be bin_s = 0.02 s wide" in notes_of(told)
        both = sl.from_xarray(numbered, stored_bin_s=0.001, bin_s=0.02)
        np.testing.assert_array_equal(both.counts, wide.counts)

    def test_some_bins_of_a_recording_have_the_lengths_that_are_left(self):
        data = sl.SpikeData(np.ones((2, 10, 1), int), 0.1, lengths=[10, 6])
        assert sl.from_xarray(data.to_xarray().isel(time=slice(2, 8))).lengths.tolist() == [6, 4]
        assert sl.from_xarray(data.to_xarray()["counts"]).lengths.tolist() == [10, 6]
        with pytest.raises(DataError, match=r"said to be 0.1 s wide, but lie 0.2 s apart"):
            sl.from_xarray(data.to_xarray().isel(time=slice(None, None, 2)))

    @pytest.mark.parametrize(
        ("dims", "time", "message"),
        [
            (("a", "b", "c"), None, r"dimensions \(a, b, c\), but need trial, time and neuron"),
            (("trial", "time", "unit"), None, "give stored_bin_s"),
            (("trial", "time", "unit"), np.arange(9), "does not say how wide bins are; give stored_bin_s"),
            (("trial", "time", "unit"), np.r_[np.arange(8) * 0.1, 5.0], "not of one width"),
            (("trial", "time", "unit"), 0.1 * np.arange(9)[::-1], "not of one width"),
            (("trial", "time", "unit"), 20.0 * np.arange(9), r"did you mean 0.02"),
        ],
    )
    def test_what_is_not_clear(self, dims, time, message):
        coords = {} if time is None else {"time": time}
        with pytest.raises(DataError, match=message):
            sl.from_xarray(xr.DataArray(np.ones((2, 9, 3), int), dims=dims, coords=coords))

    def test_coordinates_in_milliseconds(self):
        def counts(step, **attributes):
            array = xr.DataArray(
                np.ones((2, 9, 3), int), dims=("trial", "time", "unit"), coords={"time": step * np.arange(9)}
            )
            array["time"].attrs.update(attributes)
            return array

        assert sl.from_xarray(counts(20.0, units="ms")).bin_s == 0.02
        assert sl.from_xarray(counts(20.0), stored_bin_s=0.02).bin_s == 0.02
        assert sl.from_xarray(counts(5.0, units="ms")).bin_s == 0.005
        for step in (1.0, 2.0, 20.0):
            with pytest.raises(DataError, match=r"time'\].attrs\['units'\] = 'ms'"):
                sl.from_xarray(counts(step))

    def test_counts_that_are_not_clear(self):
        both = {name: (("trial", "time", "unit"), np.ones((2, 9, 3), int)) for name in ("a", "b")}
        with pytest.raises(DataError, match=r"not clear \(variables: a \(trial, time, unit\), b"):
            sl.from_xarray(xr.Dataset(both), stored_bin_s=0.1)
        assert sl.from_xarray(xr.Dataset(both), stored_bin_s=0.1, counts="b").n_trials == 2
        with pytest.raises(DataError, match=r"must be an xarray Dataset"):
            sl.from_xarray(np.ones((2, 9, 3)))


class TestNeo:
    def train(self, times, stop_s=20.0, start_s=0.0, **keywords):
        return neo.SpikeTrain(times * 1e3 * pq.ms, t_start=start_s * pq.s, t_stop=stop_s * pq.s, **keywords)

    def segment(self, times, **keywords):
        segment = neo.Segment()
        for i, t in enumerate(times):
            segment.spiketrains.append(
                self.train(t, name=f"u{i}", area=["M1", "PMd"][i % 2], depth=i * 100 * pq.um, **keywords)
            )
        return segment

    @pytest.mark.parametrize("name", ["artifacts", "bad_times", "Invalid", None])
    def test_epochs_that_are_called_bad_are_left_out(self, name):
        times = population()
        segment = self.segment(times)
        label = "noise stimulus" if name else "BAD_motion"
        segment.epochs.append(neo.Epoch([5.2, 11.0] * pq.s, durations=[0.5, 2.0] * pq.s, labels=[label] * 2, name=name))
        data = sl.from_neo(segment, bin_s=BIN_S)
        starts, lengths = [0.0, 5.7, 13.0], np.array([260, 265, 350])
        assert data.lengths.tolist() == lengths.tolist()
        np.testing.assert_array_equal(data.counts.sum(axis=1), [
            counted(times, [s], n).sum(axis=(0, 1)) for s, n in zip(starts, lengths)
        ])  # fmt: skip
        assert "2 intervals of the Epoch" in notes_of(data)

    def test_trials_that_are_called_bad_stay(self):
        segment = self.segment(population())
        labels = ["good", "bad", "good"]
        segment.epochs.append(neo.Epoch(STARTS * pq.s, durations=[1.0] * 3 * pq.s, labels=labels, name="trials"))
        assert sl.from_neo(segment, bin_s=BIN_S).trials["label"].tolist() == labels

    def test_an_epoch_makes_trials_and_events_lie_in_them(self):
        times = population()
        segment = self.segment(times)
        epoch = neo.Epoch(STARTS * 1e3 * pq.ms, durations=[1000] * 3 * pq.ms, labels=["l", "r", "l"], name="reach")
        epoch.array_annotate(success=np.array([True, False, True]))
        segment.epochs.append(epoch)
        segment.events.append(neo.Event((STARTS + 0.3) * pq.s, labels=["go"] * 3, name="cue"))
        t = np.arange(0, 20, 0.005)
        hand = neo.AnalogSignal(np.column_stack([t, -t]) * pq.cm, sampling_rate=200 * pq.Hz, name="hand")
        hand.array_annotate(channel_names=np.array(["x", "y"]))
        segment.analogsignals.append(hand)
        lever = neo.IrregularlySampledSignal(t * pq.s, t * pq.mm, name="lever")
        segment.irregularlysampledsignals.append(lever)
        data = sl.from_neo(segment, bin_s=BIN_S)
        np.testing.assert_array_equal(data.counts, counted(times, STARTS, 50))
        assert data.trials["label"].tolist() == ["l", "r", "l"]
        assert data.trials["success"].tolist() == [True, False, True]
        np.testing.assert_allclose(data.trials["cue"], STARTS + 0.3)
        assert data.neurons["area"].tolist() == ["M1", "PMd", "M1"]
        assert data.neurons["depth_um"].tolist() == [0.0, 100.0, 200.0]
        assert (data.signals["hand"].columns, data.signals["hand"].unit) == (("x", "y"), "cm")
        centres = STARTS[:, None] + (np.arange(50) + 0.5) * BIN_S
        for name in ("hand", "lever"):
            np.testing.assert_allclose(data.signals[name].values[..., 0], centres, rtol=1e-5)
        aligned = sl.from_neo(segment, bin_s=BIN_S, align="go", before_s=0.2, after_s=0.4)
        np.testing.assert_array_equal(aligned.counts, counted(times, STARTS + 0.1, 30))

    def test_events_alone_make_trials(self):
        times = population()
        segment = self.segment(times)
        segment.events.append(neo.Event(np.r_[STARTS, 15.0] * pq.s, labels=["go", "go", "go", "stop"], name="triggers"))
        data = sl.from_neo(segment, bin_s=BIN_S, align="go", after_s=0.4)
        np.testing.assert_array_equal(data.counts, counted(times, STARTS, 20))
        with pytest.raises(DataError, match=r"no Event or label 'cue' to align to \(there are: triggers, go, stop\)"):
            sl.from_neo(segment, bin_s=BIN_S, align="cue", after_s=0.4)

    def test_each_of_several_segments_is_a_trial_on_its_own_clock(self):
        block, parts = neo.Block(), [population(seed=seed, stop_s=2.0) for seed in range(3)]
        for number, times in enumerate(parts):
            segment = neo.Segment(name=f"sweep {number}", current_pA=10.0 * number)
            for i in (0, 1, 2) if number != 1 else (2, 0, 1):  # the order of trains is no matter
                segment.spiketrains.append(self.train(times[i] + 1.0, start_s=1.0, stop_s=3.0, name=f"u{i}"))
            segment.events.append(neo.Event([1.5 + 0.1 * number] * pq.s, labels=["stim"], name="stim"))
            block.segments.append(segment)
        data = sl.from_neo(block, bin_s=BIN_S)
        np.testing.assert_array_equal(data.counts, np.concatenate([counted(t, [0.0], 100) for t in parts]))
        assert data.trials["recorded_piece"].tolist() == [0, 1, 2]
        np.testing.assert_allclose(data.trials["recorded_from_s"], 1.0)
        np.testing.assert_allclose(data.trials["stim"], [1.5, 1.6, 1.7])
        assert data.trials["segment"].tolist() == ["sweep 0", "sweep 1", "sweep 2"]
        assert data.trials["current_pA"].tolist() == [0.0, 10.0, 20.0]
        assert "matched by names" in notes_of(data)
        aligned = sl.from_neo(block, bin_s=BIN_S, align="stim", before_s=0.2, after_s=0.2)
        expected = [counted([t + 1 for t in times], [1.3 + 0.1 * n], 20) for n, times in enumerate(parts)]
        np.testing.assert_array_equal(aligned.counts, np.concatenate(expected))

    def test_groups_match_units_and_units_that_are_missing_are_left_out(self):
        block, units = neo.Block(), [neo.Group(name="a"), neo.Group(name="b"), neo.Group(name="c")]
        parts = [population(seed=seed, stop_s=2.0) for seed in range(2)]
        for times, present in zip(parts, ((0, 1, 2), (2, 0))):
            segment = neo.Segment()
            for i in present:
                train = self.train(times[i], stop_s=2.0)
                segment.spiketrains.append(train)
                units[i].add(train)
            block.segments.append(segment)
        block.groups.extend(units)
        data = sl.from_neo(block, bin_s=BIN_S)
        expected = [counted([times[0], times[2]], [0.0], 100) for times in parts]
        np.testing.assert_array_equal(data.counts, np.concatenate(expected))
        assert "matched by groups" in notes_of(data)
        assert "1 units were left out" in notes_of(data)

    def test_trains_without_names_are_matched_by_position_or_refused(self):
        parts = [population(seed=seed, stop_s=2.0) for seed in range(2)]
        segments = [neo.Segment(), neo.Segment()]
        for segment, times in zip(segments, parts):
            for t in times:
                segment.spiketrains.append(self.train(t, stop_s=2.0))
        assert "matched by position" in notes_of(sl.from_neo(segments, bin_s=BIN_S))
        segments[0].spiketrains.append(self.train(parts[0][0], stop_s=2.0))
        with pytest.raises(DataError, match=r"segments have 4, 3 spike trains without names"):
            sl.from_neo(segments, bin_s=BIN_S)

    def test_trials_stop_where_trains_do(self):
        segment = self.segment([t[t < 9.5] for t in population()], stop_s=9.5)
        data = sl.from_neo(segment, bin_s=BIN_S, trials=PAIRS)
        assert data.lengths.tolist() == [50, 50, 25]

    @pytest.mark.parametrize(
        ("recording", "keywords", "message"),
        [
            (lambda self: neo.Block(), {}, "has no segment"),
            (lambda self: neo.Segment(), {}, "no spike train in any segment"),
            (lambda self: [1.0], {}, "holds a float, but must be a Block"),
            (lambda self: self.segment(population()), {"trials": "reach"}, r"no Epoch 'reach' \(epochs: none\)"),
        ],
    )
    def test_what_does_not_fit(self, recording, keywords, message):
        with pytest.raises(DataError, match=message):
            sl.from_neo(recording(self), bin_s=BIN_S, **keywords)


class Sorting:
    """A sorting with the methods that spikeinterface gives its own."""

    def __init__(self, parts, fs=30_000.0, recorded_s=None, start_s=0.0):
        self.parts = [[np.rint(t * fs).astype(np.int64) for t in times] for times in parts]
        self.fs, self.recorded_s, self.start_s = fs, recorded_s, start_s

    def get_unit_ids(self):
        return np.array([f"#{i}" for i in range(len(self.parts[0]))])

    def get_num_segments(self):
        return len(self.parts)

    def get_sampling_frequency(self):
        return self.fs

    def sample_index_to_time(self, sample, segment_index=None):
        return sample / self.fs + self.start_s

    def get_unit_spike_train(self, unit_id, segment_index=None, return_times=False):
        frames = self.parts[segment_index][int(unit_id[1:])]
        return self.sample_index_to_time(frames) if return_times else frames

    def has_recording(self):
        return self.recorded_s is not None

    def get_num_samples(self, segment_index=None):
        return int(self.recorded_s * self.fs)

    def get_property_keys(self):
        return ["quality", "locations"]

    def get_property(self, key):
        n = len(self.parts[0])
        return np.array(["good", "mua"] * n)[:n] if key == "quality" else np.zeros((n, 2))


class TestSpikeInterface:
    def test_counts_ids_and_properties(self):
        times = [np.rint(t * 30_000) / 30_000 for t in population()]
        data = sl.from_spikeinterface(Sorting([times]), bin_s=BIN_S, trials=PAIRS)
        np.testing.assert_array_equal(data.counts, counted(times, STARTS, 50))
        assert data.neurons.to_dict("list") == {"id": ["#0", "#1", "#2"], "quality": ["good", "mua", "good"]}

    def test_units_of_a_quality(self):
        times = [np.rint(t * 30_000) / 30_000 for t in population()]
        good = sl.from_spikeinterface(
            Sorting([times]), bin_s=BIN_S, trials=PAIRS, options=sl.LoadOptions(quality="good")
        )
        np.testing.assert_array_equal(good.counts, counted([times[0], times[2]], STARTS, 50))
        parts = [population(seed=seed, stop_s=2.0) for seed in range(2)]
        options = sl.LoadOptions(quality="mua")
        several = sl.from_spikeinterface(Sorting(parts, recorded_s=2.0), bin_s=BIN_S, options=options)
        assert several.neurons["id"].tolist() == ["#1"]
        from_times = sl.from_spike_times(
            times, bin_s=BIN_S, trials=PAIRS, neurons={"quality": ["good", "mua", "good"]}, options=options
        )
        np.testing.assert_array_equal(from_times.counts, counted([times[1]], STARTS, 50))

    def test_the_registered_recording_is_the_observed_time(self):
        times = [t[t < 9] for t in population()]
        data = sl.from_spikeinterface(Sorting([times], recorded_s=9.5), bin_s=BIN_S, trials=PAIRS)
        assert data.lengths.tolist() == [50, 50, 25]
        late = sl.from_spikeinterface(Sorting([times], recorded_s=9.5, start_s=5000.0), bin_s=BIN_S)
        assert late.counts.shape == (1, 475, 3)

    def test_several_segments(self):
        parts = [population(seed=seed, stop_s=2.0) for seed in range(2)]
        data = sl.from_spikeinterface(Sorting(parts, recorded_s=2.0), bin_s=BIN_S)
        rounded = [[np.rint(t * 30_000) / 30_000 for t in times] for times in parts]
        np.testing.assert_array_equal(data.counts, np.concatenate([counted(t, [0.0], 100) for t in rounded]))
        assert data.trials["recorded_piece"].tolist() == [0, 1]
        with pytest.raises(DataError, match=r"2 segments with clocks of their own"):
            sl.from_spikeinterface(Sorting(parts), bin_s=BIN_S, trials=PAIRS)

    def test_what_is_no_sorting(self):
        with pytest.raises(DataError, match=r"must be a sorting of spikeinterface"):
            sl.from_spikeinterface([1, 2])

    def test_the_library_itself(self):
        core = pytest.importorskip("spikeinterface.core")
        times = [np.rint(t * 30_000).astype(int) for t in population()]
        sorting = core.NumpySorting.from_unit_dict([dict(enumerate(times))], sampling_frequency=30_000.0)
        data = sl.from_spikeinterface(sorting, bin_s=BIN_S, trials=PAIRS)
        np.testing.assert_array_equal(data.counts, counted([t / 30_000 for t in times], STARTS, 50))
