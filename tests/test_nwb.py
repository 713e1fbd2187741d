from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pynwb
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from recordings import recordings as any_recording
from spikeloom.data.binning import bin_spikes
from spikeloom.data.files import load, save
from spikeloom.data.options import LoadOptions
from spikeloom.data.series.series import Series, resample
from spikeloom.data.spikedata import Signal, SpikeData, content_hash
from spikeloom.errors import DataError

RAMP = 2.0
"""Slope of the behaviour in the toy session: its value at time t is RAMP * t."""


def write(path: Path, **changes: object) -> Path:
    """A small session in the layout of NWB, written by hand so that every trap can be set.

    Ten trials of 1 s every 1.5 s from 0.5 s, four units, observed in the trials only. ``changes`` replace data sets by
    path, or remove them where the value is None.
    """
    start = 0.5 + 1.5 * np.arange(10)
    rng = np.random.default_rng(0)
    trains = [np.sort(np.concatenate([s + rng.uniform(0, 1, rng.poisson(20)) for s in start])) for _ in range(4)]
    times = 0.001 * np.arange(17_000)
    inside = ((times[:, None] >= start) & (times[:, None] < start + 1)).any(axis=1)
    observed = np.tile(np.column_stack([start, start + 1]), (4, 1))
    text = h5py.string_dtype()
    content = {
        "units/id": np.arange(10, 14),
        "units/spike_times": np.concatenate(trains),
        "units/spike_times_index": np.cumsum([len(t) for t in trains]).astype(np.uint16),
        "units/obs_intervals": observed,
        "units/obs_intervals_index": np.array([10, 20, 30, 40], np.uint8),
        "units/heldout": np.array([False, True, False, True]),
        "units/area": np.array([b"M1", b"M1", b"PMd", b"PMd"]),
        "units/waveform_mean": np.zeros((4, 40)),
        "intervals/trials/id": np.arange(10),
        "intervals/trials/start_time": start,
        "intervals/trials/stop_time": start + 1,
        "intervals/trials/go_time": np.where(np.arange(10) == 3, np.nan, start + 0.4),
        "intervals/trials/split": np.array(["train"] * 6 + ["val"] * 2 + ["test", "none"], dtype=object),
        "intervals/trials/target": np.arange(20.0).reshape(10, 2),
        "intervals/trials/barriers": np.arange(15.0),
        "intervals/trials/barriers_index": np.array([0, *[15] * 9]),
        "processing/behavior/hand/data": np.column_stack([times, -times])[inside] * 1000,
        "processing/behavior/hand/timestamps": times[inside],
        "processing/behavior/Eye/gaze/data": np.arange(850.0),
        "processing/behavior/Eye/gaze/starting_time": 0.0,
        **changes,
    }
    with h5py.File(path, "w") as file:
        file.attrs["nwb_version"] = "2.7.0"
        for name, values in content.items():
            if values is not None:
                is_text = isinstance(values, np.ndarray) and values.dtype == object
                file.create_dataset(name, data=values, dtype=text if is_text else None)
        if "processing/behavior/hand/data" in file:
            hand = file["processing/behavior/hand"]
            hand.attrs["comments"] = "columns=[x,y]"
            hand["data"].attrs.update({"unit": "mm", "conversion": RAMP / 1000, "offset": 0.0})
            file["processing/behavior/Eye/gaze/starting_time"].attrs["rate"] = 50.0
    return path


def brute_force(path: Path, start: np.ndarray, n_bins: int, bin_s: float) -> np.ndarray:
    with h5py.File(path) as file:
        trains = np.split(file["units/spike_times"][:], file["units/spike_times_index"][:-1].astype(int))
    edges = np.arange(n_bins + 1) * bin_s
    return np.stack([[np.histogram(train, s + edges)[0] for s in start] for train in trains], axis=2)


# -- loading -------------------------------------------------------------------------------------------------------


def test_whole_trials(tmp_path: Path) -> None:
    path = write(tmp_path / "a.nwb")
    data = load(path, LoadOptions(bin_s=0.02))
    np.testing.assert_array_equal(data.counts, brute_force(path, data.trials["start_time"], 50, 0.02))
    columns = {"id", "start_time", "stop_time", "go_time", "split", "target_0", "target_1", "recorded_from_s"}
    assert set(data.trials) == columns
    assert data.neurons["area"].tolist() == ["M1", "M1", "PMd", "PMd"]
    assert data.neurons["heldout"].dtype == bool
    assert {k: len(v) for k, v in data.splits.items()} == {"train": 6, "val": 2, "test": 1}
    notes = " ".join(data.provenance["notes"])
    assert "barriers" in notes
    assert "waveform_mean" in notes
    hand = data.signals["hand"]
    assert (hand.unit, hand.columns) == ("mm", ("x", "y"))
    assert "Eye_gaze" in data.signals
    only = load(
        path, LoadOptions(bin_s=0.02, neurons="area=PMd", where=("split!=none",), signals=("gaze",), columns=())
    )
    assert (only.n_trials, only.n_neurons, list(only.signals)) == (9, 2, ["gaze"])
    assert list(only.trials) == ["split", "recorded_from_s"]


@pytest.mark.parametrize("lag_s", [0.0, 0.1, -0.05])
def test_events_and_lag(tmp_path: Path, lag_s: float) -> None:
    path = write(tmp_path / "a.nwb")
    options = LoadOptions(bin_s=0.005, align="go_time", before_s=0.2, after_s=0.4, lag_s=lag_s, signals=("hand",))
    data = load(path, options)
    assert data.counts.shape == (9, 120, 4)
    assert "1 of 10 trials were dropped because they have no 'go_time' (id 3)" in data.provenance["notes"]
    start = data.trials["go_time"].to_numpy() - 0.2
    np.testing.assert_array_equal(data.counts, brute_force(path, start, 120, 0.005))
    centre = start[:, None] + (np.arange(120) + 0.5) * 0.005 + lag_s
    np.testing.assert_allclose(data.signals["hand"].values[..., 0], RAMP * centre, atol=2e-5)


def test_windows_that_leave_the_observed_time_are_dropped_never_filled(tmp_path: Path) -> None:
    start = 0.5 + 1.5 * np.arange(10)
    stop = start + 1
    stop[2] = start[2] + 0.7  # observation of trial 2 ends early
    observed = np.column_stack([start, stop])
    changes = {"units/obs_intervals": np.concatenate([observed] * 4)}
    path = write(tmp_path / "a.nwb", **changes)
    whole = load(path, LoadOptions(bin_s=0.02))
    assert whole.lengths.tolist() == [50, 50, 35, *[50] * 7]
    aligned = load(path, LoadOptions(bin_s=0.02, align="go_time", after_s=0.6))
    assert aligned.trials["id"].tolist() == [0, 1, 4, 5, 6, 7, 8, 9]
    assert "leaves the observed time (id 2)" in " ".join(aligned.provenance["notes"])
    with pytest.raises(DataError, match="no trial is left: all 9 have a window that leaves the observed time"):
        load(path, LoadOptions(bin_s=0.02, align="go_time", after_s=0.7))


def test_units_observed_at_different_times_have_their_common_time(tmp_path: Path) -> None:
    intervals = np.array([[0, 3], [3, 20], [0, 9.25], [0, 20], [2, 20.0]])
    path = write(
        tmp_path / "a.nwb",
        **{"units/obs_intervals": intervals, "units/obs_intervals_index": np.array([2, 3, 4, 5], np.uint8)},
    )
    data = load(path, LoadOptions(bin_s=0.1))
    # Observed from 2 to 9.25 s; trials start at 0.5, 2, 3.5, 5, 6.5, 8, 9.5, ...
    assert data.trials["id"].tolist() == [1, 2, 3, 4, 5]
    pieces = load(path, LoadOptions(bin_s=0.1, continuous=True, window_s=1.0))
    assert pieces.n_trials == 7


def test_continuous_sessions(tmp_path: Path) -> None:
    path = write(tmp_path / "a.nwb", **{f"intervals/trials/{c}": None for c in ("start_time", "stop_time")})
    pieces = load(path, LoadOptions(bin_s=0.02))
    assert pieces.lengths.tolist() == [50] * 10
    windows = load(path, LoadOptions(bin_s=0.02, window_s=0.4))
    assert windows.counts.shape == (20, 20, 4)
    nothing = {"units/obs_intervals": None, "units/obs_intervals_index": None}
    path = write(tmp_path / "b.nwb", **nothing)
    session = load(path, LoadOptions(bin_s=0.02, continuous=True))
    with h5py.File(path) as file:
        assert session.counts.sum() == len(file["units/spike_times"])
    assert session.n_trials == 1


def test_spikes_on_the_borders_of_bins() -> None:
    # Each border as clocks write it: exact, a little less, a little more.
    borders = np.arange(1, 200) * 0.025
    for noise in (0.0, -1e-9, 1e-9):
        counts = bin_spikes([borders + noise], np.array([0.0]), np.array([200]), 0.025)
        np.testing.assert_array_equal(counts[0, :, 0], [0] + [1] * 199)
    # A window keeps the spike on its first border and not the one on its last.
    counts = bin_spikes([np.array([1.0, 1.1, 1.2 - 1e-7, 1.2])], np.array([1.0]), np.array([2]), 0.1)
    assert counts[0, :, 0].tolist() == [1, 2]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 999), st.integers(1, 5), st.sampled_from([0.001, 0.005, 0.02, 0.025]))
def test_binning_equals_brute_force_where_windows_overlap(seed: int, n_trials: int, bin_s: float) -> None:
    rng = np.random.default_rng(seed)
    trains = [np.sort(rng.uniform(0, 2, rng.integers(0, 200))) for _ in range(3)]
    start, n_bins = rng.uniform(-0.5, 2, n_trials), rng.integers(1, 60, n_trials)
    counts = bin_spikes(trains, start, n_bins, bin_s)
    for trial in range(n_trials):
        for neuron, train in enumerate(trains):
            expected = np.histogram(train, start[trial] + np.arange(n_bins[trial] + 1) * bin_s)[0]
            np.testing.assert_array_equal(counts[trial, : n_bins[trial], neuron], expected)
            assert not counts[trial, n_bins[trial] :, neuron].any()


def test_a_slow_signal_is_interpolated_and_a_fast_one_averaged() -> None:
    slow = Series(np.arange(0, 10, 0.1), np.arange(0, 10, 0.1)[:, None], "cm", ())
    np.testing.assert_allclose(resample(slow, np.array([1.0, 1.02, 5.5]), 0.02)[:, 0], [1.01, 1.03, 5.51])
    times = np.arange(0, 10, 0.001)
    fast = Series(times, np.column_stack([np.sin(2 * np.pi * 3 * times), np.sin(2 * np.pi * 400 * times)]), "cm", ())
    start = np.arange(1, 9, 0.005)
    values = resample(fast, start, 0.005)
    np.testing.assert_allclose(values[:, 0], np.sin(2 * np.pi * 3 * (start + 0.0025)), atol=0.01)
    assert abs(values[:, 1]).max() < 0.01  # no aliasing: 400 Hz is above the Nyquist frequency of bins of 5 ms


def test_nothing_is_invented_across_a_gap() -> None:
    times = np.r_[0:1:0.01, 2:3:0.01]
    series = Series(times, times[:, None].copy(), "cm", ())
    values = resample(series, np.array([0.5, 0.985, 1.2, 1.5, 1.985, 2.5, 3.5, -1.0]), 0.01)[:, 0]
    assert np.isnan(values).tolist() == [False, False, True, True, False, False, True, True]
    series.values[50] = np.nan
    assert np.isnan(resample(series, np.array([0.495, 0.52]), 0.01)[:, 0]).tolist() == [True, False]


def test_missing_behaviour_is_noted(tmp_path: Path) -> None:
    times = np.arange(0, 4, 0.001)
    hand = {
        "processing/behavior/hand/data": np.column_stack([times, times]),
        "processing/behavior/hand/timestamps": times,
    }
    data = load(write(tmp_path / "a.nwb", **hand), LoadOptions(bin_s=0.02, signals=("hand",)))
    assert "signal 'hand' is missing (NaN) in 375 of 500 bins" in data.provenance["notes"][-1]


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"units/spike_times": None}, {}, "no spike times"),
        ({"units/spike_times_index": np.array([1, 2, 3, 60_000])}, {}, "does not fit"),
        ({"units/spike_times": np.full(900, np.nan)}, {}, "neuron 0 hold nan at place 0"),
        ({"intervals/trials/stop_time": np.arange(10.0)}, {}, "trial 0 stops before it starts: .* 0.5 s .* 0 s"),
        ({"intervals/trials/start_time": 900 + np.arange(10.0), "intervals/trials/stop_time": 901 + np.arange(10.0)},
         {}, "were not observed"),
        ({"units/spike_times": np.linspace(500, 15_000, 900)}, {}, "no spike falls into the trials .* in seconds"),
        ({}, {"bin_s": 2.0}, "wider than the longest trial"),
        ({}, {"bin_s": 2.0, "continuous": True}, "wider than the observed time"),
        ({}, {"align": "nothing", "after_s": 1.0}, "no trial column 'nothing' to align to"),
        ({}, {"align": "nothing"}, r"no trial column 'nothing' to align to \(columns: .*go_time.*\)"),
        ({}, {"align": "go_time"}, "around align 'go_time', but nothing says where they stop; give after_s"),
        ({}, {"align": "split", "after_s": 1.0}, "does not hold times"),
        ({}, {"align": "go_time", "after_s": 0.333, "bin_s": 0.02}, "not a whole number of bins"),
        ({}, {"align": "go_time", "before_s": 0.1, "after_s": -0.1}, "not a whole number of bins"),
        ({}, {"signals": ("foot",)}, "no signal 'foot' in processing/behavior .signals: Eye_gaze, hand"),
        ({}, {"counts": "units"}, "cannot be used with an NWB file"),
        ({"intervals/trials/start_time": None}, {"align": "go_time", "after_s": 1.0}, "no trials table"),
        ({"units/obs_intervals": np.tile([[5.0, 4.0]], (40, 1))}, {}, "an interval from 5 to 4 s"),
        ({"processing/behavior/hand/timestamps": np.arange(5.0)}, {"signals": ("hand",)}, "5 timestamps"),
    ],
)  # fmt: skip
def test_impossible_sessions_end_in_one_sentence(tmp_path: Path, changes: dict, options: dict, message: str) -> None:
    path = write(tmp_path / "a.nwb", **changes)
    with pytest.raises(DataError, match=message) as caught:
        load(path, LoadOptions(**options))
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_times_in_milliseconds_are_suspected(tmp_path: Path) -> None:
    trials = {"intervals/trials/start_time": np.arange(10.0), "intervals/trials/stop_time": np.arange(10.0) + 0.001}
    crowded = {"units/spike_times": np.tile(np.linspace(0, 10, 200_000), 4)}
    index = {"units/spike_times_index": np.arange(1, 5) * 200_000}
    nothing = {"units/obs_intervals": None, "units/obs_intervals_index": None}
    with pytest.raises(DataError, match="which no neuron has"):
        load(write(tmp_path / "a.nwb", **trials, **crowded, **index, **nothing), LoadOptions(bin_s=0.001))


# -- writing -------------------------------------------------------------------------------------------------------

NAMES = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=6)


@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much],
)
@given(data=any_recording(words=NAMES))
def test_writing_and_reading_restores_the_counts(tmp_path: Path, data: SpikeData) -> None:
    path = tmp_path / "data.nwb"
    # A file without any spike is refused on loading, and one with rates that no neuron has.
    rate_hz = data.counts.sum() / (data.lengths.sum() * data.bin_s * data.n_neurons)
    assume(0 < rate_hz < 500)
    save(data, path)
    back = load(path)
    np.testing.assert_array_equal(back.counts, data.counts[:, : data.lengths.max()])
    np.testing.assert_array_equal(back.lengths, data.lengths)
    assert back.bin_s == data.bin_s
    assert {k: v.tolist() for k, v in back.splits.items()} == {
        k: v.tolist() for k, v in data.splits.items() if k != "none" and len(v)
    }
    for name, signal in data.signals.items():
        if data.lengths.sum() > 1:  # one sample is not a series
            np.testing.assert_allclose(
                back.signals[name].values, signal.values[:, : data.lengths.max()], rtol=1e-5, atol=1e-5
            )


def generated() -> SpikeData:
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"condition": ["a", "b", None] * 4, "rt": np.arange(12.0), "start_time": np.arange(12.0)})
    return SpikeData(
        rng.poisson(0.3, (12, 40, 5)),
        bin_s=0.01,
        lengths=rng.integers(20, 41, 12),
        signals={"hand_vel": Signal(rng.normal(size=(12, 40, 2)), "cm/s", ("x", "y"))},
        trials=table,
        neurons=pd.DataFrame({"area": ["M1"] * 5, "heldout": [True, False] * 2 + [True], "id": range(7, 12)}),
        rates=np.full((12, 40, 5), 0.3),
        latents=rng.normal(size=(12, 40, 3)),
        provenance={"generated": True, "model": "ldns"},
    ).assign_splits()


def test_a_written_file_is_valid_marked_and_whole(tmp_path: Path) -> None:
    data = generated()
    path = tmp_path / "data.nwb"
    save(data, path)
    assert [p.name for p in tmp_path.iterdir()] == ["data.nwb"]
    assert not pynwb.validate(path=str(path))
    with pynwb.NWBHDF5IO(path, "r") as io:
        file = io.read()
        assert file.session_description.startswith("SYNTHETIC")
        assert file.trials["source_start_time"][3] == 3.0
        assert set(file.processing["misc"].data_interfaces) == {"rate_hz", "latents"}
        assert file.processing["behavior"]["hand_vel"].unit == "cm/s"
    back = load(path)
    assert content_hash(back) == content_hash(data)
    assert back.neurons["id"].tolist() == list(range(7, 12))
    assert back.neurons["heldout"].tolist() == data.neurons["heldout"].tolist()
    assert back.trials["condition"].tolist() == ["a", "b", ""] * 4
    assert back.signals["hand_vel"].columns == ("x", "y")
    np.testing.assert_allclose(back.signals["hand_vel"].values, data.signals["hand_vel"].values[:, : back.n_bins], 1e-6)
    assert back.provenance["model"] == "ldns"
    assert load(path, LoadOptions(bin_s=0.02)).n_bins == back.n_bins // 2


def test_a_recording_is_not_called_synthetic(tmp_path: Path) -> None:
    save(SpikeData(np.ones((2, 10, 3), int), 0.02), tmp_path / "data.nwb")
    with h5py.File(tmp_path / "data.nwb") as file:
        assert "SYNTHETIC" not in file["session_description"].asstr()[()]


# -- real recordings -----------------------------------------------------------------------------------------------


def test_binning_restores_the_arrays_of_the_real_recordings(recordings: Path) -> None:
    stored = np.load(recordings / "hc_place_animal1_25ms.npz")
    data = load(recordings / "hc_place_animal1.nwb", LoadOptions(bin_s=0.025))
    np.testing.assert_array_equal(data.counts[0], stored["spikes"])
    np.testing.assert_allclose(data.signals["Position_position"].values[0], stored["pos"], atol=1e-6)
    windows = load(recordings / "hc_place_animal1.nwb", LoadOptions(bin_s=0.025, window_s=1.0))
    np.testing.assert_array_equal(windows.counts, stored["spikes"][: 1459 * 40].reshape(1459, 40, 49))

    stored = np.load(recordings / "pmd_reach_1ms.npz")
    data = load(recordings / "pmd_reach.nwb", LoadOptions(bin_s=0.001))
    np.testing.assert_array_equal(data.counts, stored["full_spikes"])
    np.testing.assert_array_equal(data.lengths, stored["full_length"])
    np.testing.assert_array_equal(data.trials["condition"], stored["full_condition"])
    summed = load(recordings / "pmd_reach_1ms.npz", LoadOptions(counts="full_spikes", bin_s=0.005))
    np.testing.assert_array_equal(load(recordings / "pmd_reach.nwb", LoadOptions(bin_s=0.005)).counts, summed.counts)

    stored = np.load(recordings / "mc_maze_2trials_1ms.npz")
    data = load(recordings / "mc_maze_2trials.nwb", LoadOptions(bin_s=0.001))
    for trial, source in enumerate((748, 1356)):
        n = data.lengths[trial]
        np.testing.assert_array_equal(data.counts[trial, :n], stored[f"spikes_{source}"])
        vel = stored[f"hand_vel_{source}"]
        np.testing.assert_allclose(data.signals["hand_vel"].values[trial, : n - 1], (vel[1:] + vel[:-1]) / 2, atol=1e-2)
    assert data.neurons["heldout"].sum() == 45
    np.testing.assert_array_equal(data.neurons["id"], stored["unit_id"])


def test_the_benchmarks_window_fits_the_real_trials(recordings: Path) -> None:
    options = LoadOptions(
        bin_s=0.005, align="move_onset_time", before_s=0.25, after_s=0.45, lag_s=0.1, signals=("hand_vel",)
    )
    data = load(recordings / "mc_maze_2trials.nwb", options)
    assert data.counts.shape == (2, 140, 182)
    assert np.isfinite(data.signals["hand_vel"].values).all()
