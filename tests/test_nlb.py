"""Binning on the benchmark's grid: against a table of milliseconds made as the benchmark makes it."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.signal import decimate

from nlb_files import ONSET_S, TRAIN, TRIAL_S, write_train
from spikeloom.data.files import load
from spikeloom.data.options import LoadOptions
from spikeloom.data.series.series import Series
from spikeloom.data.session.grid import Grid
from spikeloom.errors import DataError

WINDOW = LoadOptions(bin_s=0.005, align="move_onset_time", before_s=0.25, after_s=0.45, binning="nlb")


def table_of_milliseconds(path: Path) -> np.ndarray:
    """(millisecond, unit) spikes, NaN where nothing was observed: the benchmark's own way, whole session at once."""
    with h5py.File(path) as file:
        ends = file["units/spike_times_index"][:].astype(int)
        spikes = np.split(file["units/spike_times"][:], ends[:-1])
        n = int(file["units/obs_intervals_index"][0])
        observed = file["units/obs_intervals"][:n]
    table = np.full((int(np.ceil(np.round(observed[-1, 1] * 1000, 6))), len(spikes)), np.nan)
    for start, stop in observed:
        table[int(np.ceil(np.round(start * 1000, 6))) : int(np.floor(np.round(stop * 1000, 6)))] = 0
    for unit, times in enumerate(spikes):
        for time in times:
            ms = int(round(time * 1000, 6))
            if ms < len(table):
                table[ms, unit] += 1  # NaN stays NaN
    return table


def rebinned(table: np.ndarray, k: int) -> np.ndarray:
    """Sums of k milliseconds; missing where the first of them is."""
    groups = [table[i : i + k] for i in range(0, len(table), k)]
    return np.stack([np.where(np.isnan(group[0]), np.nan, np.nansum(group, axis=0)) for group in groups])


def windows(binned: np.ndarray, k: int, event_s: np.ndarray, before_s: float, after_s: float) -> list[np.ndarray]:
    """Bins whose time is at least the window's start and at most its end less a microsecond."""
    time = np.arange(len(binned)) * k / 1000
    inside = [
        (time >= np.round(event - before_s, 9)) & (time <= np.round(event + after_s - 1e-6, 9)) for event in event_s
    ]
    return [binned[chosen] for chosen in inside]


@pytest.mark.parametrize("bin_ms", [1, 5, 20])
def test_counts_are_those_of_a_table_of_milliseconds(tmp_path: Path, bin_ms: int) -> None:
    with h5py.File(write_train(tmp_path / TRAIN)) as file:
        onset = file["intervals/trials/move_onset_time"][:]
        spikes, index = file["units/spike_times"][:], file["units/spike_times_index"][:].astype(int)
    # Spikes on the edges of milliseconds and bins, a billionth of a millisecond before them, and a little more.
    edges = np.round(onset[:20] // 0.02 * 0.02, 6)
    special = np.concatenate([edges, edges - 1e-12, edges - 4e-10, edges - 6e-10, edges - 1e-6, edges + 1e-9])
    spikes = np.sort(np.concatenate([spikes[: index[0]], special])), spikes[index[0] :]
    path = write_train(
        tmp_path / "edges.nwb",
        **{
            "units/spike_times": np.concatenate(spikes),
            "units/spike_times_index": index + len(special),
        },
    )
    data = load(path, LoadOptions(**{**WINDOW.to_dict(), "bin_s": bin_ms / 1000}))
    expected = windows(rebinned(table_of_milliseconds(path), bin_ms), bin_ms, onset, 0.25, 0.45)
    assert data.counts.shape == (40, 700 // bin_ms, 17)
    np.testing.assert_array_equal(data.counts, np.stack(expected))


def test_both_binnings_start_where_they_say(tmp_path: Path) -> None:
    start = 2.1 * np.arange(40)
    onset = start + ONSET_S + 0.0012
    # From the event's own window [a, b): its first instant, its last microsecond, and b itself.
    times = np.sort(np.concatenate([onset - 0.25, onset + 0.45 - 1e-6, onset + 0.45]))
    path = write_train(
        tmp_path / TRAIN,
        **{
            "intervals/trials/move_onset_time": onset,
            "units/spike_times": np.tile(times, 17),
            "units/spike_times_index": len(times) * np.arange(1, 18),
        },
    )
    event = load(path, LoadOptions(**{**WINDOW.to_dict(), "binning": "event"}))
    assert (event.counts[:, 0] == 1).all()
    assert (event.counts[:, -1] == 1).all()
    assert (event.counts.sum(axis=1) == 2).all()
    # The grid begins 3.8 ms after the window here: the first spike is before it, the last two in its last bin.
    nlb = load(path, WINDOW)
    assert not nlb.counts[:, :-1].any()
    assert (nlb.counts[:, -1] == 2).all()
    assert nlb.provenance["load_options"]["binning"] == "nlb"


def test_a_bin_is_missing_where_its_first_millisecond_is() -> None:
    grid = Grid.of(0.005, np.array([[0.0011, 1.0], [2.0, 3.0029]]), 4.0)
    assert grid.observed.tolist() == [[2, 1000], [2000, 3002]]
    assert grid.end == 4000
    first = np.array([0, 1, 195, 198, 250, 400, 596, 600, 601])
    assert grid.observed_bins(first, np.full(9, 6)).tolist() == [0, 6, 5, 2, 0, 6, 5, 1, 0]
    # A spike in an unobserved millisecond of an observed bin does not count.
    assert grid.count([np.array([3.0005, 3.0021])], np.array([600]), np.array([1])).tolist() == [[[1]]]


def test_a_group_of_milliseconds_at_the_end_of_a_session_is_a_bin() -> None:
    """Bins of 20 ms over 1.013 s: the last has thirteen milliseconds, and its spikes count."""
    grid = Grid.of(0.02, np.array([[0.0, 1.013]]), 1.0)
    assert grid.end == 1013
    assert grid.observed_bins(np.array([40, 50]), np.array([20, 20])).tolist() == [11, 1]
    assert grid.count([np.array([0.9999, 1.0, 1.0129, 1.0131])], np.array([49]), np.array([2])).ravel().tolist() == [
        1,
        2,
    ]


def test_times_are_cut_to_bins_as_they_are_written() -> None:
    """Within a millionth of a millisecond of a border a spike is behind it; an event is on a bin to the nanosecond."""
    grid = Grid.of(0.005, None, 100.0)
    times = np.array(
        [0.29, 0.57, 1.005, 4.35, 9.995]
    )  # their products with 1000 are a hair below whole numbers, or not
    wanted = np.round(times * 1000 / 5).astype(int)
    counted = grid.count([times], np.array([0]), np.array([2000]))[0, :, 0]
    assert np.flatnonzero(counted).tolist() == wanted.tolist()
    assert grid.bin_from(times).tolist() == wanted.tolist()
    assert grid.bin_from(times + 2e-9).tolist() == (wanted + 1).tolist()
    assert grid.bin_from(times - 2e-9).tolist() == wanted.tolist()


def test_trials_that_were_not_observed_throughout_are_dropped_and_named(tmp_path: Path) -> None:
    start = 2.1 * np.arange(40)
    stop = start + TRIAL_S
    stop[7] = start[7] + 1.0
    observed = np.tile(np.column_stack([start, stop]), (17, 1))
    data = load(write_train(tmp_path / TRAIN, **{"units/obs_intervals": observed}), WINDOW)
    assert data.n_trials == 39
    assert "1 of 40 trials were dropped because they have a window that leaves the observed time (id 7)" in " ".join(
        data.provenance["notes"]
    )


# Lags that are not whole bins too: the window of behaviour begins at the first bin in itself, not that much later.
@pytest.mark.parametrize(
    ("lag_s", "bin_ms"), [(0.0, 5), (0.1, 5), (-0.02, 5), (0.0023, 5), (-0.0077, 5), (0.14, 20), (-0.05, 20), (0.1, 1)]
)
def test_signals_are_those_of_the_decimated_session(tmp_path: Path, lag_s: float, bin_ms: int) -> None:
    path = write_train(tmp_path / TRAIN, first_s=0.3)
    data = load(path, LoadOptions(**{**WINDOW.to_dict(), "lag_s": lag_s, "bin_s": bin_ms / 1000}))
    with h5py.File(path) as file:
        onset = file["intervals/trials/move_onset_time"][:]
        ms = np.rint(file["processing/behavior/hand_vel/timestamps"][:] * 1000).astype(int)
        values = file["processing/behavior/hand_vel/data"][:]
    n = int(ms[-1]) + 1
    session = np.column_stack([np.interp(np.arange(n), ms, column) for column in values.T])
    filtered = decimate(session, bin_ms, n=500, ftype="fir", axis=0) if bin_ms > 1 else session
    filtered[~np.isin(np.arange(len(filtered)) * bin_ms, ms)] = np.nan
    expected = np.stack(windows(filtered, bin_ms, onset + lag_s, 0.25, 0.45))
    np.testing.assert_allclose(data.signals["hand_vel"].values, expected, atol=1e-6)


@pytest.mark.parametrize("lag_s", [0.0, 0.1, -0.05])
def test_a_signal_is_read_later_than_spikes(tmp_path: Path, lag_s: float) -> None:
    data = load(write_train(tmp_path / TRAIN), LoadOptions(**{**WINDOW.to_dict(), "lag_s": lag_s}))
    onset = data.trials["move_onset_time"].to_numpy()
    start = np.ceil(np.round((onset - 0.25) * 1000, 6) / 5) * 0.005
    expected = start[:, None] + np.arange(140) * 0.005 + lag_s  # hand_pos is the time itself
    # Near the first trial the filter sees the beginning of the session, in others the straight line over a gap.
    np.testing.assert_allclose(data.signals["hand_pos"].values[..., 0], expected, atol=2e-3)


def test_the_filter_keeps_what_is_slow_and_removes_what_is_fast() -> None:
    ms = np.arange(4000)
    time = ms / 1000
    waves = np.column_stack([np.sin(2 * np.pi * 3 * time), np.sin(2 * np.pi * 150 * time + 0.3)])
    grid = Grid.of(0.005, None, 4.0)
    signal = grid.signals({"wave": Series(time, waves, "cm", ())}, np.array([100]), np.array([600]), [])["wave"].values
    at = time[500:3500:5]
    np.testing.assert_allclose(signal[0, :, 0], np.sin(2 * np.pi * 3 * at), atol=0.01)  # nor is its phase shifted
    assert abs(signal[0, :, 1]).max() < 0.01


def test_the_ends_of_a_session_are_those_of_the_decimated_session() -> None:
    time = np.arange(200, 1900) / 1000  # sampled from 0.2 to 1.9 s of a session of 2.003 s
    values = 3.0 + np.sin(time)[:, None]
    grid = Grid.of(0.005, np.array([[0.0, 1.5]]), 2.003)
    found = grid.signals({"a": Series(time, values, "", ())}, np.array([0]), np.array([401]), [])["a"].values[0, :, 0]
    expected = decimate(np.interp(np.arange(2003) / 1000, time, values[:, 0]), 5, n=500, ftype="fir")
    sampled = (np.arange(401) * 5 >= 200) & (np.arange(401) * 5 < 1900)
    np.testing.assert_allclose(found, np.where(sampled, expected, np.nan), atol=1e-6)


def test_a_series_that_jumps_is_not_filtered() -> None:
    time = np.arange(1000) / 1000
    target = np.where(time < 0.5, 1.0, 5.0)[:, None]
    grid = Grid.of(0.005, None, 1.0)
    series = {name: Series(time, target, "cm", ()) for name in ("target_pos", "cursor_pos")}
    signals = grid.signals(series, np.array([0]), np.array([200]), [])
    assert set(np.unique(signals["target_pos"].values)) == {1.0, 5.0}
    assert len(np.unique(signals["cursor_pos"].values)) > 50


def test_series_off_the_grid_are_left_out_and_missing_samples_stay_missing(tmp_path: Path) -> None:
    with h5py.File(write_train(tmp_path / TRAIN)) as file:
        times = file["processing/behavior/hand_pos/timestamps"][:]
        hand = file["processing/behavior/hand_pos/data"][:]
    gap = (times > 2.1 * 4 + 0.7) & (times < 2.1 * 4 + 0.8)
    changes = {
        "processing/behavior/hand_pos/timestamps": times[~gap],
        "processing/behavior/hand_pos/data": hand[~gap],
        "processing/behavior/hand_vel/timestamps": times + 0.0003,
    }
    data = load(write_train(tmp_path / TRAIN, **changes), WINDOW)
    assert list(data.signals) == ["hand_pos"]
    missing = np.isnan(data.signals["hand_pos"].values).any(axis=2)
    assert np.flatnonzero(missing.any(axis=1)).tolist() == [4]
    assert 18 <= missing[4].sum() <= 20
    notes = " ".join(data.provenance["notes"])
    assert "samples are not at whole milliseconds: hand_vel" in notes
    assert "signal 'hand_pos' is missing (NaN) in" in notes
    assert "first in trial 4" in notes


# -- windows ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("binning", ["event", "nlb"])
def test_forward_bins_follow_the_window(tmp_path: Path, binning: str) -> None:
    path = write_train(tmp_path / TRAIN)
    plain = load(path, LoadOptions(**{**WINDOW.to_dict(), "binning": binning}))
    longer = load(path, LoadOptions(**{**WINDOW.to_dict(), "binning": binning, "forward_s": 0.2}))
    assert longer.n_bins == 180
    np.testing.assert_array_equal(longer.counts[:, :140], plain.counts)
    assert longer.provenance["forward_bins"] == 40
    assert "forward_bins" not in plain.provenance
    with pytest.raises(DataError, match=r"forward_s is 0\.203 s, which is not a whole number of bins"):
        load(path, LoadOptions(**{**WINDOW.to_dict(), "binning": binning, "forward_s": 0.203}))


@pytest.mark.parametrize("binning", ["event", "nlb"])
def test_windows_that_overlap_end_where_the_next_begins(tmp_path: Path, binning: str) -> None:
    start = 2.1 * np.arange(40)
    onset = start + ONSET_S
    onset[11] = onset[10] + 0.2  # the window of trial 10 is cut after 0.2 s
    changes = {
        "intervals/trials/start_time": np.where(np.arange(40) == 11, onset[10] + 0.1, start),
        "intervals/trials/move_onset_time": onset,
        "units/obs_intervals": np.tile([[0.0, 90.0]], (17, 1)),
        "units/obs_intervals_index": np.arange(1, 18),
    }
    path = write_train(tmp_path / TRAIN, **changes)
    options = {**WINDOW.to_dict(), "binning": binning}
    kept = load(path, LoadOptions(**options))
    cut = load(path, LoadOptions(**options, overlap="cut"))
    assert (kept.lengths == 140).all()
    assert cut.lengths.tolist() == [140] * 10 + [40] + [140] * 29
    np.testing.assert_array_equal(cut.counts[10, :40], kept.counts[10, :40])
    assert "1 of 40 windows end early" in " ".join(cut.provenance["notes"])
    # A trial that is not read does not cut any.
    alone = load(path, LoadOptions(**options, overlap="cut", where=("id!=11",)))
    assert (alone.lengths == 140).all()
    # What is forward may overlap, but does not follow a window that is cut.
    forward = load(path, LoadOptions(**options, overlap="cut", forward_s=0.2))
    assert forward.trials["id"].tolist() == [i for i in range(40) if i != 10]
    onset[11] = onset[10] + 0.7
    path = write_train(tmp_path / "b.nwb", **changes)
    assert load(path, LoadOptions(**options, overlap="cut", forward_s=0.2)).lengths.tolist() == [180] * 40


def test_comparisons_choose_before_anything_is_cut(tmp_path: Path) -> None:
    path = write_train(tmp_path / TRAIN)
    some = load(path, LoadOptions(**WINDOW.to_dict(), where=("split=val", "trial_type!=0")))
    everything = load(path, WINDOW)
    kept = [i for i in range(30, 40) if i % 3]
    np.testing.assert_array_equal(some.counts, everything.counts[kept])
    assert some.splits["val"].tolist() == list(range(len(kept)))
    with pytest.raises(DataError, match="no trial is left after keeping those with 'split=new'"):
        load(path, LoadOptions(**WINDOW.to_dict(), where=("split=new",)))


def test_combinations_of_columns_are_conditions(tmp_path: Path) -> None:
    data = load(write_train(tmp_path / TRAIN), LoadOptions(**WINDOW.to_dict(), condition="trial_type, trial_version"))
    assert data.trials["condition"].tolist()[:6] == ["0,0", "1,1", "2,0", "0,1", "1,0", "2,1"]
    assert data.trials["condition"].nunique() == 6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"binning": "nbl"}, "binning is 'nbl', but must be event or nlb"),
        ({"overlap": "drop"}, "overlap is 'drop', but must be keep or cut"),
        ({"forward_s": -0.1}, "forward_s is -0.1"),
        ({"bin_s": 0.0025}, "whole milliseconds; 0.002 s would be"),
        ({"align": None, "before_s": None, "after_s": None}, "binning is nlb, but no trials are cut around an event"),
        ({"condition": "trial_type,colour"}, "no trial column 'colour'"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(tmp_path: Path, options: dict, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        load(write_train(tmp_path / TRAIN), LoadOptions(**{**WINDOW.to_dict(), **options}))
    assert "\n" not in str(caught.value)


def test_the_grid_agrees_with_real_spikes(recordings: Path) -> None:
    path = recordings / "mc_maze_2trials.nwb"
    data = load(path, LoadOptions(**WINDOW.to_dict(), signals=("hand_vel",)))
    table = rebinned(table_of_milliseconds(path), 5)
    np.testing.assert_array_equal(
        data.counts, np.stack(windows(table, 5, data.trials["move_onset_time"].to_numpy(), 0.25, 0.45))
    )
    assert np.isfinite(data.signals["hand_vel"].values).all()
