"""What is held out was not seen: recorded time, default splits, identical trials, events outside of their trials."""

import json
import warnings
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeloom.data.blocks import contiguous_blocks
from spikeloom.data.description import description
from spikeloom.data.files import load, save
from spikeloom.data.holdout import hold_out
from spikeloom.data.identical import first_like
from spikeloom.data.options import LoadOptions
from spikeloom.data.recorded_time import FROM_S, PIECE, RecordedTime, recorded_time
from spikeloom.data.selection import keep_columns
from spikeloom.data.sources import load_source
from spikeloom.data.spikedata import SpikeData
from spikeloom.data.splits import cut_from_longer, with_default_splits
from spikeloom.errors import DataError, SpikeloomWarning

PARTS = ("train", "val", "test")


def session(path: Path, start: np.ndarray, length_s: float, go: np.ndarray, **columns: np.ndarray) -> Path:
    """An NWB file with trials, an event "go" in each, and four units that fire at 40 Hz throughout."""
    rng = np.random.default_rng(0)
    end = float(start.max() + length_s + 2)
    trains = [np.sort(rng.uniform(0, end, rng.poisson(40 * end))) for _ in range(4)]
    content = {
        "units/id": np.arange(4),
        "units/spike_times": np.concatenate(trains),
        "units/spike_times_index": np.cumsum([len(t) for t in trains]),
        "intervals/trials/id": np.arange(len(start)),
        "intervals/trials/start_time": start,
        "intervals/trials/stop_time": start + length_s,
        "intervals/trials/go": go,
        **{f"intervals/trials/{name}": values for name, values in columns.items()},
    }
    with h5py.File(path, "w") as file:
        file.attrs["nwb_version"] = "2.7.0"
        for name, values in content.items():
            is_text = values.dtype == object
            file.create_dataset(name, data=values, dtype=h5py.string_dtype() if is_text else None)
    return path


def trials_at(start_s: np.ndarray, n_bins: int, bin_s: float = 0.01, **columns: object) -> SpikeData:
    """Trials of equal length that were recorded at these times."""
    counts = np.random.default_rng(1).poisson(1.0, (len(start_s), n_bins, 3))
    return SpikeData(counts, bin_s, trials=pd.DataFrame({FROM_S: start_s, **columns}))


def shared_pairs(data: SpikeData, margin_s: float = 0.0) -> int:
    """Pairs of trials of different splits that share recorded time, by looking at all of them."""
    start = data.trials[FROM_S].to_numpy()
    stop = start + data.lengths * data.bin_s
    piece = data.trials[PIECE].to_numpy() if PIECE in data.trials else np.zeros(len(start))
    split = np.full(data.n_trials, -1)
    for i, rows in enumerate(data.splits.values()):
        split[rows] = i
    edge = margin_s - 1e-6
    near = (start[:, None] < stop + edge) & (start < stop[:, None] + edge) & (piece[:, None] == piece)
    return int((near & (split[:, None] >= 0) & (split >= 0) & (split[:, None] != split)).sum())


def notes(data: SpikeData) -> str:
    return " | ".join(data.provenance.get("notes", []))


def split_or_refused(data: SpikeData) -> SpikeData | str:
    """The recording with default splits, or why it has none."""
    try:
        return with_default_splits(data)
    except DataError as error:
        return str(error)


def n_in_splits(data: SpikeData) -> int:
    return sum(map(len, data.splits.values()))


# -- recorded time ---------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 12), st.sampled_from([0.0, 0.3, 2.0]))
def test_near_and_groups_equal_a_look_at_all_pairs(seed: int, n: int, m: int, margin_s: float) -> None:
    rng = np.random.default_rng(seed)
    start = np.round(rng.uniform(0, 6, n + m), 1)
    stop, piece = start + np.round(rng.uniform(0.1, 1.5, n + m), 1), rng.integers(0, 3, n + m)
    piece = pd.factorize(piece)[0]
    time = RecordedTime(piece, start, stop, 1e-6)
    rows, others = np.arange(n), np.arange(n, n + m)
    edge = margin_s - 1e-6
    near = (start[:, None] < stop + edge) & (start < stop[:, None] + edge) & (piece[:, None] == piece)
    np.testing.assert_array_equal(time.near(rows, others, margin_s), near[:n, n:].any(axis=1))
    touch = (start[:, None] < stop - 1e-6) & (start < stop[:, None] - 1e-6) & (piece[:, None] == piece)
    for _ in range(n + m):
        touch = (touch.astype(int) @ touch) > 0
    groups = time.groups(np.arange(n + m))
    np.testing.assert_array_equal(groups[:, None] == groups, touch)


def test_windows_and_windows_of_windows_know_their_time() -> None:
    data = trials_at(np.array([10.0, 20.0]), n_bins=100)
    windows = data.window(40, step=20)
    np.testing.assert_allclose(windows.trials[FROM_S], [10, 10.2, 10.4, 10.6, 20, 20.2, 20.4, 20.6])
    np.testing.assert_allclose(windows.window(20).trials[FROM_S][:4], [10, 10.2, 10.2, 10.4])
    np.testing.assert_allclose(windows.rebin(0.02)[[3, 5]].trials[FROM_S], [10.6, 20.2])
    time = recorded_time(windows.rebin(0.04))
    assert time is not None
    np.testing.assert_allclose(time.stop_s - time.start_s, 0.4)
    assert list(keep_columns(windows, []).trials) == [FROM_S, "source_trial", "source_bin"]


def test_trials_without_a_clock_are_pieces_of_their_own() -> None:
    data = SpikeData(np.ones((2, 100, 3), int), bin_s=0.01)
    assert recorded_time(data) is None
    windows = data.window(40, step=20).window(20)
    assert windows.trials[PIECE].tolist() == [0] * 8 + [1] * 8
    np.testing.assert_allclose(windows.trials[FROM_S][8:12], [0, 0.2, 0.2, 0.4])


def test_a_trial_whose_time_is_missing_shares_none() -> None:
    time = recorded_time(trials_at(np.array([1.0, np.nan, 1.0, np.nan]), 20))
    assert time is not None
    assert time.near(np.arange(4), np.array([2])).tolist() == [True, False, True, False]


@pytest.mark.parametrize("ending", ["npz", "h5", "nwb"])
def test_recorded_time_survives_files(tmp_path: Path, ending: str) -> None:
    counts = np.random.default_rng(0).poisson(1.0, (600, 3))
    np.savez(tmp_path / "a.npz", counts=counts, segment=np.repeat([7, 8, 7], 200), bin_s=0.01)
    data = load(tmp_path / "a.npz", LoadOptions(window_s=0.5, step_s=0.25))
    assert data.trials[PIECE].tolist() == np.repeat([0, 1, 2], 7).tolist()
    np.testing.assert_allclose(data.trials[FROM_S][7:9], [2.0, 2.25])
    save(data, tmp_path / f"b.{ending}")
    again = load(tmp_path / f"b.{ending}")
    assert again.trials[PIECE].tolist() == data.trials[PIECE].tolist()
    np.testing.assert_allclose(again.trials[FROM_S], data.trials[FROM_S])
    assert cut_from_longer(again)
    own, others = with_default_splits(again).splits, with_default_splits(data).splits
    assert all(own[name].tolist() == others[name].tolist() for name in PARTS)


def test_trials_of_nwb_know_their_time_however_they_are_cut(tmp_path: Path) -> None:
    start = 1.0 + 2 * np.arange(10)
    path = session(tmp_path / "a.nwb", start, 1.5, start + 0.5)
    whole = load(path, LoadOptions(bin_s=0.01))
    np.testing.assert_allclose(whole.trials[FROM_S], start)
    aligned = load(path, LoadOptions(bin_s=0.01, align="go", before_s=0.2, after_s=0.4, columns=()))
    np.testing.assert_allclose(aligned.trials[FROM_S], start + 0.3)
    windows = load(path, LoadOptions(bin_s=0.01, window_s=0.5))
    np.testing.assert_allclose(windows.trials[FROM_S][:4], [1.0, 1.5, 2.0, 3.0])
    pieces = load(path, LoadOptions(bin_s=0.01, window_s=0.5, continuous=True))
    np.testing.assert_allclose(np.diff(pieces.trials[FROM_S]), 0.5)


# -- trials that share time ------------------------------------------------------------------------------------------


def test_aligned_windows_longer_than_the_time_between_trials(tmp_path: Path) -> None:
    """Case 02: every test window shared recorded bins with a training window."""
    start = 0.5 * np.arange(40)
    path = session(tmp_path / "a.nwb", start, 0.5, start + 0.25)
    options = LoadOptions(bin_s=0.01, align="go", before_s=0.2, after_s=0.8)
    data = with_default_splits(load(path, options))
    assert shared_pairs(data) == 0
    dropped = data.n_trials - n_in_splits(data)
    assert 0 < dropped <= 4
    assert f"{dropped} trials that share recorded time with another split were dropped" in notes(data)
    assert "contiguous blocks" in notes(data)
    with pytest.raises(DataError, match="40 of 40 trials share recorded time in one chain"):
        load(path, LoadOptions(**{**options.to_dict(), "split": "random"}))


def test_few_trials_that_share_time_stay_together_and_the_others_are_at_random() -> None:
    start = np.arange(100) * 2.0
    start[1::10] = start[::10] + 0.5
    condition = np.arange(100) % 4
    data = with_default_splits(trials_at(start, 100, condition=condition))
    assert shared_pairs(data) == 0
    assert n_in_splits(data) == 100
    assert [len(data.splits[name]) for name in PARTS] == [70, 10, 20]
    assert "20 trials share recorded time with others, with which they are in the same split" in notes(data)
    assert np.ptp([np.sum(condition[data.splits["test"]] == c) for c in range(4)]) <= 2
    assert np.median(np.diff(np.sort(data.splits["test"]))) < 10  # not in blocks


def test_trials_that_share_no_time_are_split_as_ever() -> None:
    data = trials_at(np.arange(60) * 1.0, 100, condition=np.arange(60) % 3)
    made = with_default_splits(data)
    expected = data.assign_splits(seed=0).splits
    assert all(made.splits[name].tolist() == expected[name].tolist() for name in PARTS)
    assert notes(made) == ""


def test_splits_that_share_time_are_refused() -> None:
    data = trials_at(np.array([0.0, 5.0, 5.9, 9.0, 12.0, 15.0]), 100)
    part = {"train": [0, 1, 4], "val": [3], "test": [2, 5]}
    message = (
        r"1 trials of the split 'test' share recorded time with trials of 'train', such as trial 2 \(5.9 to 6.9 s\) "
        r"with trial 1 \(5 to 6 s\).*split=blocks"
    )
    with pytest.raises(DataError, match=message):
        with_default_splits(SpikeData(data.counts, 0.01, trials=data.trials, splits=part))
    without = {"train": [0, 1, 4], "val": [3], "test": [5]}
    assert with_default_splits(SpikeData(data.counts, 0.01, trials=data.trials, splits=without)).splits["val"] == [3]
    published = SpikeData(data.counts, 0.01, trials=data.trials, splits=part, provenance={"dataset": "mc_maze"})
    with pytest.warns(SpikeloomWarning, match="those of the publication"):
        assert "those of the publication" in notes(with_default_splits(published))
    named = {"train": [0, 1, 4], "val": [3], "test": [5], "early": [0, 1, 2], "all": range(6)}
    with_default_splits(SpikeData(data.counts, 0.01, trials=data.trials, splits=named))


def test_neighbours_of_held_out_trials_that_share_time_with_them_are_dropped() -> None:
    data = trials_at(np.arange(40) * 0.8, 100, kind=np.arange(40) % 10 == 5)
    made = with_default_splits(hold_out(data, "kind=true"))
    assert len(made.splits["heldout"]) == 4
    assert shared_pairs(made) == 0
    assert "8 trials that share recorded time with another split were dropped" in notes(made)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(12, 150), st.floats(0.2, 3.0), st.integers(5, 150))
def test_default_splits_of_trials_never_share_time(seed: int, n: int, apart_s: float, n_bins: int) -> None:
    rng = np.random.default_rng(seed)
    data = trials_at(rng.permutation(np.cumsum(rng.exponential(apart_s, n))), n_bins)
    made = split_or_refused(data)
    if isinstance(made, str):
        assert "without shared recorded time" in made
        assert n_bins * 0.01 > 0.2 * n * apart_s / 10  # only where trials are long beside the recording
        return
    assert shared_pairs(made) == 0
    assert all(len(made.splits[name]) for name in PARTS)
    lost = n - n_in_splits(made)
    assert lost == 0 or f"{lost} trials that share recorded time" in notes(made)
    if n_bins * 0.01 < 0.5 * apart_s:
        assert len(made.splits["train"]) >= 0.5 * n


# -- contiguous blocks -----------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 15),
    st.integers(30, 500),
    st.sampled_from([10, 20, 150]),
    st.sampled_from([1.0, 0.5, 0.25]),
    st.booleans(),
)
def test_blocks_of_windows(seed: int, n_pieces: int, most_bins: int, size: int, share: float, clock: bool) -> None:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(most_bins // 2, most_bins, n_pieces, endpoint=True)
    if (lengths // size).sum() < 3:
        return
    from_s = (np.cumsum(lengths) - lengths) * 0.02 + 100.0
    trials = pd.DataFrame({FROM_S: from_s} if clock else {}, index=range(n_pieces))
    counts = rng.poisson(1.0, (n_pieces, most_bins, 1))
    windows = SpikeData(counts, 0.02, lengths=lengths, trials=trials).window(size, max(1, int(share * size)))
    if not cut_from_longer(windows):
        return
    made = split_or_refused(windows)
    if isinstance(made, str):
        assert "without shared recorded time" in made
        assert share < 1
        assert lengths.sum() < 12 * size
        return
    n = windows.n_trials
    assert all(len(made.splits[name]) for name in PARTS)
    assert shared_pairs(made) == 0
    lost, said = n - n_in_splits(made), notes(made)
    assert lost == 0 or f"{lost} windows less than" in said or f"{lost} trials that share recorded time" in said
    assert "contiguous blocks" in said
    if f"{lost} windows less than" in said:
        gap_s = float(said.split("less than ")[1].split(" s ")[0])
        assert shared_pairs(made, gap_s) == 0
        assert lost <= 0.25 * n
        assert gap_s >= size * 0.02 - 1e-9
    if lengths.sum() * 0.02 > 60 * max(1.0, size * 0.02):
        assert abs(len(made.splits["train"]) / n - 0.7) < 0.1
        assert abs(len(made.splits["val"]) / n - 0.1) < 0.06
        assert abs(len(made.splits["test"]) / n - 0.2) < 0.08
    again = with_default_splits(windows).splits
    assert all(again[name].tolist() == made.splits[name].tolist() for name in PARTS)


def test_blocks_are_spread_over_the_session_with_a_gap() -> None:
    windows = SpikeData(np.random.default_rng(0).poisson(1.0, (1, 40_000, 2)), bin_s=0.025).window(40)
    made = with_default_splits(windows)
    assert [len(made.splits[name]) for name in PARTS] == [695, 100, 195]
    assert "11 contiguous blocks of the recording; 10 windows less than 1 s from another split" in notes(made)
    assert shared_pairs(made, margin_s=1.0) == 0
    for name in PARTS:  # so that a drift is the same for all
        assert abs(made.trials[FROM_S].to_numpy()[made.splits[name]].mean() - 500) < 75


def test_short_segments_stay_whole() -> None:
    rng = np.random.default_rng(0)
    lengths = rng.integers(20, 200, 150)
    data = SpikeData(rng.poisson(1.0, (150, 200, 2)), 0.05, lengths=lengths).window(20)
    made = with_default_splits(data)
    assert n_in_splits(made) == made.n_trials
    segments = [set(made.trials["source_trial"].to_numpy()[made.splits[name]]) for name in PARTS]
    assert sum(map(len, segments)) == len(set.union(*segments))


def test_a_recording_that_is_too_short_for_gaps_says_so() -> None:
    rng = np.random.default_rng(0)
    short = with_default_splits(SpikeData(rng.poisson(1.0, (1, 200, 3)), bin_s=0.01).window(20))
    assert [len(short.splits[name]) for name in PARTS] == [6, 1, 1]
    assert "3 contiguous blocks of the recording; 2 windows less than 0.2 s" in notes(short)
    shorter = with_default_splits(SpikeData(rng.poisson(1.0, (1, 100, 3)), bin_s=0.01).window(20))
    assert [len(shorter.splits[name]) for name in PARTS] == [3, 1, 1]
    assert "too short for a gap" in notes(shorter)
    overlapping = SpikeData(np.ones((1, 40, 3), int), bin_s=0.01).window(20, step=5)
    with pytest.raises(DataError, match="without shared recorded time"):
        with_default_splits(overlapping)


def test_one_window_of_each_trial_is_a_trial() -> None:
    data = SpikeData(np.random.default_rng(0).poisson(1.0, (50, 30, 3)), bin_s=0.01).window(20)
    assert with_default_splits(data).splits["test"].tolist() == data.assign_splits(seed=0).splits["test"].tolist()


def test_blocks_without_an_attempt_that_fits_are_none() -> None:
    time = RecordedTime(np.zeros(3, int), np.zeros(3), np.ones(3), 1e-6)
    assert contiguous_blocks(time, np.arange(3), {"train": 0.7, "val": 0.1, "test": 0.2}, 1.0) is None


# -- the option ------------------------------------------------------------------------------------------------------


def test_the_option_chooses_and_replaces(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "a.npz", counts=rng.poisson(1.0, (4000, 3)), bin_s=0.02)
    np.savez(tmp_path / "b.npz", counts=rng.poisson(1.0, (60, 20, 3)), bin_s=0.02, split=["train"] * 50 + ["test"] * 10)
    scattered = load_source(tmp_path / "a.npz", LoadOptions(window_s=0.4, split="random"))
    assert [len(scattered.splits[name]) for name in PARTS] == [140, 20, 40]
    assert np.median(np.diff(scattered.splits["test"])) > 1
    assert "neighbours of test windows are trained on" in notes(scattered)
    assert shared_pairs(scattered) == 0
    blocks = load_source(tmp_path / "b.npz", LoadOptions(split="blocks"))
    assert [len(blocks.splits[name]) for name in PARTS] == [42, 6, 12]
    assert "the splits train, test of the recording were replaced (split=blocks)" in notes(blocks)
    assert "contiguous blocks of the recording, in the order of its trials" in notes(blocks)
    own = with_default_splits(load_source(tmp_path / "b.npz"))
    assert own.splits["test"].tolist() == list(range(50, 60))
    with pytest.raises(DataError, match="split is 'halves', but must be blocks or random"):
        LoadOptions(split="halves")


def test_describe_says_how_splits_are_made(tmp_path: Path, capsys) -> None:
    from spikeloom.cli import main

    np.savez(tmp_path / "a.npz", counts=np.random.default_rng(0).poisson(1.0, (9000, 3)), bin_s=0.02)
    said = description(load(tmp_path / "a.npz", LoadOptions(window_s=0.4)))
    assert "none; fitting makes train, val and test in contiguous blocks" in said
    assert main(["describe", str(tmp_path / "a.npz"), "--window_s", "0.4", "--split", "blocks"]) == 0
    assert "train, val, test are 11 contiguous blocks of the recording; 30 windows" in capsys.readouterr().out


def test_a_run_keeps_its_splits_and_what_was_said_of_them(shop: Path) -> None:
    record = json.loads((shop / "run" / "data.json").read_text())
    record["summary"]["provenance"]["notes"] = ["train, val, test are 3 contiguous blocks of the recording"]
    copy = shop / "told"
    copy.mkdir(exist_ok=True)
    (copy / "data.json").write_text(json.dumps(record))
    data = load_source(copy)
    assert {name: rows.tolist() for name, rows in data.splits.items()} == record["splits"]
    assert "3 contiguous blocks" in notes(data)


# -- identical trials, and events ------------------------------------------------------------------------------------


def test_identical_trials_are_reported_and_warned_about_across_splits(tmp_path: Path) -> None:
    counts = np.random.default_rng(0).poisson(1.0, (20, 10, 3))
    counts[9] = counts[12] = counts[4]
    counts[[1, 2]] = 0  # trials without spikes are equal, but not suspicious
    np.savez(tmp_path / "a.npz", counts=counts, bin_s=0.02)
    data = load(tmp_path / "a.npz")
    assert "2 trials are identical to another one, such as trials 4 and 9" in notes(data)
    assert first_like(data)[[4, 9, 12, 1, 2]].tolist() == [4, 4, 4, 1, 2]
    parts = {"train": [0, 4, 5], "val": [6], "test": [7, 9, 12]}
    split = SpikeData(counts, 0.02, splits=parts)
    with pytest.warns(
        SpikeloomWarning, match="2 held-out trials are identical to trials that are trained on, such as trials 9 and 4"
    ):
        made = with_default_splits(split)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert notes(with_default_splits(made)) == notes(made)
    clean = SpikeData(counts, 0.02, splits={"train": [4, 9, 12], "val": [6], "test": [1, 7]})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with_default_splits(clean)


def test_events_relative_to_their_trial_are_refused(tmp_path: Path) -> None:
    """Case 03: ten identical windows, and no note."""
    start = 2.0 * np.arange(10)
    options = LoadOptions(bin_s=0.02, align="go", before_s=0.2, after_s=0.3)
    relative = session(tmp_path / "a.nwb", start, 1.0, np.full(10, 0.5))
    with pytest.raises(
        DataError, match=r"9 of 10 trials, as in trial 1, where it is at 0.5 s .* 2 to 3 s.*add start_time"
    ):
        load(relative, options)
    elsewhere = session(tmp_path / "b.nwb", start, 1.0, start + 500)
    with pytest.raises(DataError, match=r"10 of 10 trials.*on the clock of the trials"):
        load(elsewhere, options)


def test_a_few_events_outside_are_dropped_as_missing_ones_are(tmp_path: Path) -> None:
    start = 2.0 + 2.0 * np.arange(10)
    go = start + 0.5
    go[3], go[6], go[7] = -1.0, np.nan, start[7] + 1.005  # a bin late is the noise of a clock
    path = session(tmp_path / "a.nwb", start, 1.0, go)
    data = load(path, LoadOptions(bin_s=0.02, align="go", before_s=0.8, after_s=0.9))  # windows may leave the trial
    assert data.trials["id"].tolist() == [0, 1, 2, 4, 5, 7, 8, 9]
    assert "1 of 9 trials were dropped because they have a 'go' outside of the trial itself (id 3)" in notes(data)


# -- a real recording ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("step_s", "expected"), [(None, (1078, 172, 310)), (0.25, (3947, 588, 1087))])
def test_segments_of_s1_are_in_one_split(recordings: Path, step_s: float | None, expected: tuple[int, ...]) -> None:
    data = load(recordings / "s1_reach_50ms.npz", LoadOptions(window_s=1.0, step_s=step_s))
    made = with_default_splits(data)
    assert tuple(len(made.splits[name]) for name in PARTS) == expected
    assert n_in_splits(made) == data.n_trials
    segments = [set(made.trials["segment"].to_numpy()[made.splits[name]]) for name in PARTS]
    assert sum(map(len, segments)) == len(set.union(*segments))
    middle = data.trials[FROM_S].mean()
    assert all(abs(data.trials[FROM_S].to_numpy()[made.splits[name]].mean() - middle) < 120 for name in PARTS)
