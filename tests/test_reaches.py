"""Reaches: found where they are, cut where they begin, described as they were made, and left out for good reasons."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from spikeloom.cli import main
from spikeloom.conditioning.variables import Variable
from spikeloom.data.files import load, save
from spikeloom.data.options import LoadOptions
from spikeloom.data.reaches import cut_reaches, octant_of
from spikeloom.data.spikedata import Signal, SpikeData
from spikeloom.data.splits import with_default_splits
from spikeloom.errors import DataError

BIN_S = 0.02
REST_S, REACH_S = 0.6, 0.6


def bell(time_s: np.ndarray, duration_s: float = REACH_S) -> np.ndarray:
    """Speed of a minimum-jerk movement over a way of 1 that starts at 0 s."""
    share = np.clip(time_s / duration_s, 0, 1)
    return 30 * share**2 * (1 - share) ** 2 / duration_s


def hand_path(
    angles_deg, ways=None, rest_s: float = REST_S, reach_s: float = REACH_S, bin_s: float = BIN_S
) -> np.ndarray:
    """(time, 2) velocity of straight movements with a rest before each and after the last."""
    ways = np.full(len(angles_deg), 10.0) if ways is None else ways
    starts = rest_s + (rest_s + reach_s) * np.arange(len(angles_deg))
    time = (np.arange(round((starts[-1] + reach_s + rest_s) / bin_s)) + 0.5) * bin_s
    direction = np.stack([np.cos(np.radians(angles_deg)), np.sin(np.radians(angles_deg))], axis=1)
    return sum(way * bell(time - s, reach_s)[:, None] * d for way, s, d in zip(ways, starts, direction))


def session(*pieces: np.ndarray, origin=(3.0, -2.0), bin_s: float = BIN_S, **parts) -> SpikeData:
    """A recording whose trials are pieces of velocity; the count of the only neuron is its bin modulo 250."""
    lengths = [len(p) for p in pieces]
    velocity = np.full((len(pieces), max(lengths), 2), np.nan)
    for i, piece in enumerate(pieces):
        velocity[i, : len(piece)] = piece
    position = np.nancumsum(velocity, axis=1) * bin_s + origin
    counts = np.tile(np.arange(max(lengths)) % 250, (len(pieces), 1))[..., None]
    signals = {"hand_vel": Signal(velocity, "cm/s", ("x", "y")), "hand_pos": Signal(position, "cm", ("x", "y"))}
    return SpikeData(counts, bin_s, lengths=lengths, signals=signals, **parts)


def onset_of_a_bell(duration_s: float = REACH_S) -> float:
    """Seconds from the start of a bell, smoothed with 50 ms, at which it last is below a fifth of its peak."""
    time = np.arange(-1, 1.6, 0.0005)
    kernel = np.exp(-0.5 * (np.arange(-400, 401) * 0.0005 / 0.05) ** 2)
    speed = np.convolve(bell(time, duration_s), kernel / kernel.sum(), mode="same")
    peak = int(speed.argmax())
    return float(time[:peak][speed[:peak] < 0.2 * speed[peak]][-1])


@pytest.mark.parametrize("bin_s", [0.004, 0.01, 0.02, 0.05])
def test_onset_of_a_bell_within_one_bin(bin_s: float) -> None:
    data = session(hand_path([0, 100, 200], bin_s=bin_s), bin_s=bin_s)
    reaches = cut_reaches(data, before_s=0.2, after_s=0.4)
    assert (reaches.n_trials, reaches.n_bins) == (3, round(0.6 / bin_s))
    onset_s = (reaches.trials["source_bin"] + round(0.2 / bin_s) + 0.5) * bin_s
    expected = REST_S + (REST_S + REACH_S) * np.arange(3) + onset_of_a_bell()
    np.testing.assert_allclose(onset_s, expected, atol=bin_s + 1e-6)


def test_the_table_says_what_was_moved() -> None:
    angles, ways = np.array([10.0, 170.0, 95.0, 350.0, 225.0, 300.0]), np.array([10, 8, 12, 9, 11, 10.0])
    segments = pd.DataFrame({"segment": [7, 9]})
    data = session(hand_path(angles[:4], ways[:4]), hand_path(angles[4:], ways[4:]), trials=segments)
    table = cut_reaches(data, before_s=0.2, after_s=0.4).trials
    assert table["segment"].tolist() == [7, 7, 7, 7, 9, 9]
    assert table["source_trial"].tolist() == [0, 0, 0, 0, 1, 1]
    np.testing.assert_allclose(table["reach_angle_deg"], angles, atol=0.01)
    assert table["octant"].tolist() == [0, 4, 2, 0, 5, 7]
    # Onset and end are where speed is a fifth of its peak: some of the way is before and after.
    moved = np.hypot(table["target_x"] - table["start_x"], table["target_y"] - table["start_y"])
    assert ((moved > 0.9 * ways) & (moved < ways)).all()
    np.testing.assert_allclose(table.loc[[0, 4], ["start_x", "start_y"]], [[3, -2]] * 2, atol=0.4)
    np.testing.assert_allclose(table["start_x"][1], 3 + 10 * np.cos(np.radians(10)), atol=0.4)
    # A peak of 1.875 ways over the duration, a little lower for the smoothing.
    assert ((table["peak_speed"] < 1.875 * ways / REACH_S) & (table["peak_speed"] > 1.7 * ways / REACH_S)).all()
    np.testing.assert_allclose(table["duration_s"], REACH_S - 2 * onset_of_a_bell(), atol=0.04)
    for_model = replace(cut_reaches(data), splits={"train": np.arange(6)})
    assert Variable.of(for_model, "reach_angle_deg").kind == "deg"
    assert Variable.of(for_model, "octant").kind == "label"


def test_everything_aligned_is_cut_at_the_same_place() -> None:
    data = session(hand_path([0, 90]), hand_path([180]))
    rates = data.counts.astype(np.float32)
    data = SpikeData(
        data.counts, BIN_S, data.lengths, data.signals, splits={"train": [0], "test": [1]}, rates=rates, latents=-rates
    )
    reaches = cut_reaches(data, before_s=0.1, after_s=0.5)
    for i, (trial, start) in enumerate(reaches.trials[["source_trial", "source_bin"]].to_numpy()):
        np.testing.assert_array_equal(reaches.counts[i], data.counts[trial, start : start + 30])
        np.testing.assert_array_equal(reaches.rates[i], rates[trial, start : start + 30])
        np.testing.assert_array_equal(reaches.latents[i], -rates[trial, start : start + 30])
        velocity = data.signals["hand_vel"].values[trial, start : start + 30]
        np.testing.assert_array_equal(reaches.signals["hand_vel"].values[i], velocity)
    assert reaches.signals["hand_pos"].unit == "cm"
    assert {name: v.tolist() for name, v in reaches.splits.items()} == {"train": [0, 1], "test": [2]}
    at_onset = reaches.signals["hand_pos"].values[:, 5]
    np.testing.assert_allclose(reaches.trials[["start_x", "start_y"]], at_onset, rtol=1e-5)


def test_a_minimum_that_is_not_low_parts_two_reaches() -> None:
    """Where speed does not fall to a fifth between two peaks, one ends and the other begins at the minimum."""
    time = (np.arange(120) + 0.5) * BIN_S
    speed = 10 * bell(time - 0.6) + 10 * bell(time - 1.08)  # their minimum is at 1.14 s, at 0.4 of the peaks
    data = session(np.stack([speed, 0 * speed], axis=1))
    table = cut_reaches(data, before_s=0.0, after_s=0.2).trials
    assert len(table) == 2
    assert (table["source_bin"][1] + 0.5) * BIN_S == pytest.approx(1.14, abs=BIN_S)
    assert table["target_x"][0] == table["start_x"][1]
    # A shallow dip, though, is within one reach.
    speed = 10 * bell(time - 0.6) + 10 * bell(time - 0.95)
    table = cut_reaches(session(np.stack([speed, 0 * speed], axis=1)), before_s=0.0, after_s=0.2).trials
    assert len(table) == 1
    assert table["target_x"][0] - table["start_x"][0] > 18


def test_movements_left_out_are_noted() -> None:
    ways = [10, 10, 10, 0.5, 10, 10]
    data = session(hand_path([0] * 6, ways))
    reaches = cut_reaches(data, after_s=0.4, min_path=2.0, least_peak=0.01)
    assert reaches.n_trials == 5
    assert last_note(reaches) == "5 reaches of 6 movements in 'hand_vel'; 1 have a path below 2"
    # The default path is a fifth of a large one: of ways 10 and 1.5, the latter is too short.
    assert cut_reaches(session(hand_path([0] * 6, [10, 10, 10, 1.5, 10, 10])), least_peak=0.01).n_trials == 5
    assert cut_reaches(data, after_s=0.4, least_peak=0.5, min_path=0.0).n_trials == 5  # the low peak is none
    # The path is the way from onset to end, bin by bin, whatever its shape.
    position = data.signals["hand_pos"].values[0]
    first = cut_reaches(data, before_s=0.0, after_s=0.4).trials.iloc[0]
    onset, end = int(first["source_bin"]), int(first["source_bin"] + round(first["duration_s"] / BIN_S))
    path = np.linalg.norm(np.diff(position[onset : end + 1], axis=0), axis=1).sum()
    assert cut_reaches(data, min_path=float(0.999 * path)).n_trials == 5
    with pytest.raises(DataError, match="5 have a path below"):
        cut_reaches(data, min_path=float(1.001 * path))
    reaches = cut_reaches(data, before_s=0.9, after_s=0.3, min_path=0.0)
    assert reaches.n_trials == 4
    assert "1 have a window that leaves their trial" in last_note(reaches)
    close = hand_path([0, 180, 0, 180], rest_s=0.1)
    close = np.concatenate([np.zeros((50, 2)), close, np.zeros((50, 2))])
    reaches = cut_reaches(session(close), before_s=0.3, after_s=0.6)
    assert reaches.trials["reach_angle_deg"].round().mod(360).tolist() == [0, 0]
    assert "2 share bins with the one before" in last_note(reaches)
    slow = np.concatenate([hand_path([0]), hand_path([0], [50], reach_s=5.0), hand_path([90])])
    reaches = cut_reaches(session(slow), min_path=1.0)
    assert reaches.n_trials == 2
    assert "1 last more than 2.5 s" in last_note(reaches)
    with pytest.raises(DataError, match=r"no reach is left of 5 movements in 'hand_vel', as 5 last less than 0\.6 s"):
        cut_reaches(data, shortest_s=0.6)


def last_note(data: SpikeData) -> str:
    return data.provenance["notes"][-1]


def test_movements_that_begin_or_end_outside_a_piece_are_left_out() -> None:
    one = hand_path([0])
    first, last = 35, 55  # within the movement, which is in bins 30 to 60
    pieces = [one[first:], one[:last], one]
    table = cut_reaches(session(*pieces), before_s=0.0, after_s=0.1).trials
    assert table["source_trial"].tolist() == [2]
    # Not only where the piece begins near the peak, but wherever speed has no rest or minimum before it.
    slow = hand_path([0], reach_s=1.4)
    first, last = 30 + 12, 100 - 12  # at 0.3 of the peak
    at_border = np.linalg.norm(slow[[first, last - 1]], axis=1) / np.linalg.norm(slow, axis=1).max()
    assert ((at_border > 0.2) & (at_border < 0.4)).all()
    table = cut_reaches(session(slow[first:], slow[:last], slow), before_s=0.0, after_s=0.1).trials
    assert table["source_trial"].tolist() == [2]
    # A gap in the signal is a border too, also one of position only.
    gap = session(hand_path([0, 90]))
    position = gap.signals["hand_pos"].values.copy()
    position[0, 45] = np.nan
    gap = SpikeData(gap.counts, BIN_S, signals={**gap.signals, "hand_pos": Signal(position)})
    assert cut_reaches(gap, before_s=0.0, after_s=0.1).trials["octant"].tolist() == [2]


def test_without_a_position_velocity_is_integrated() -> None:
    data = session(hand_path([30, 120]))
    alone = SpikeData(data.counts, BIN_S, signals={"hand_vel": data.signals["hand_vel"]})
    integrated, known = cut_reaches(alone), cut_reaches(data).trials
    table = integrated.trials
    assert "integrated" in integrated.provenance["notes"][0]
    np.testing.assert_allclose(table[["start_x", "target_x"]] + 3, known[["start_x", "target_x"]], atol=1e-4)
    np.testing.assert_allclose(table[["start_y", "target_y"]] - 2, known[["start_y", "target_y"]], atol=1e-4)
    np.testing.assert_allclose(cut_reaches(data, position="hand_pos").trials, known)


def test_octants_are_centred() -> None:
    angles = np.arange(0, 360, 45.0)
    for shift in (-22.0, 0.0, 22.0):
        assert octant_of((angles + shift) % 360).tolist() == list(range(8))


def test_wrong_requests_end_in_one_sentence() -> None:
    data = session(hand_path([0, 90]))
    flat = SpikeData(
        data.counts, BIN_S, signals={"v": Signal(np.zeros((1, data.n_bins, 2))), "w": Signal(np.ones((1, data.n_bins)))}
    )
    for args, message in [
        ((data, "velocity"), "no signal 'velocity' for reaches \\(signals: hand_vel, hand_pos\\)"),
        ((data, "hand_vel", "eye"), "no signal 'eye' for positions of reaches"),
        ((flat, "w"), "has 1 dimensions, but reaches need two"),
        ((flat, "v"), "no reach is found in 'v'"),
        ((data, "hand_vel", None, 0.01), "window around the onset .* not a whole number of bins"),
        ((data, "hand_vel", None, 0.01, 0.39), "before_s is 0.01 s, which is not a whole number"),
        ((data, "hand_vel", None, 5.0), "no reach is left of 2 movements .*, as 2 have a window that leaves"),
    ]:  # fmt: skip
        with pytest.raises(DataError, match=message) as caught:
            cut_reaches(*args)
        assert "\n" not in str(caught.value)


# -- as an option of loading -------------------------------------------------------------------------------------


@pytest.fixture
def recording(tmp_path) -> str:
    """Three segments of movements in all eight directions, as arrays of one continuous recording."""
    pieces = [hand_path(45.0 * np.roll(np.arange(8), i)) for i in range(3)]
    velocity = np.concatenate(pieces)
    counts = np.random.default_rng(0).poisson(0.5, (len(velocity), 5))
    segment = np.repeat(np.arange(3), [len(p) for p in pieces])
    np.savez(
        tmp_path / "c.npz", counts=counts, bin_s=BIN_S, segment=segment, hand_vel=velocity,
        hand_pos=np.cumsum(velocity, axis=0) * BIN_S,
    )  # fmt: skip
    return str(tmp_path / "c.npz")


def test_reading_cuts_reaches_and_everything_else_follows(recording, tmp_path) -> None:
    options = LoadOptions(
        segment="segment", reaches="hand_vel", before_s=0.2, after_s=0.4, condition="octant", smooth_s=0.06,
        where=("segment<2", "octant!=3"), hold_out=("octant=1",), columns=("reach_angle_deg",),
    )  # fmt: skip
    assert LoadOptions.from_dict(options.to_dict()) == options
    data = load(recording, options)
    assert (data.n_trials, data.n_bins) == (14, 30)
    place = ["source_trial", "source_bin", "condition", "recorded_piece", "recorded_from_s"]
    assert set(data.trials) == {"reach_angle_deg", *place}
    assert sorted(data.trials["condition"]) == sorted([0, 1, 2, 4, 5, 6, 7] * 2)
    assert data.split("heldout").trials["condition"].tolist() == [1, 1]
    whole = load(recording, LoadOptions(segment="segment", smooth_s=0.06)).signals["smoothed_counts"].values
    for i, (trial, start) in enumerate(data.trials[["source_trial", "source_bin"]].to_numpy()):
        np.testing.assert_array_equal(data.signals["smoothed_counts"].values[i], whole[trial, start : start + 30])
    save(load(recording, LoadOptions(segment="segment")), tmp_path / "own.h5")
    own = load(tmp_path / "own.h5", LoadOptions(reaches="hand_vel", before_s=0.2, after_s=0.4))
    assert own.n_trials == 24


def test_reading_refuses_what_does_not_go_together(recording) -> None:
    for options, message in [
        ({"reaches": "v", "after_s": 1.0, "window_s": 1.0}, "not both; leave one of them out"),
        ({"reaches": "v", "after_s": 1.0, "align": "go"}, "not both; leave one of them out"),
        ({"after_s": 1.0}, "give align=<trial column> or reaches"),
        ({"before_s": 1.0}, "give align=<trial column> or reaches"),
    ]:
        with pytest.raises(DataError, match=message):
            LoadOptions(**options)
    with pytest.raises(DataError, match="no signal 'hand_vel' for reaches"):
        load(recording, LoadOptions(reaches="hand_vel", after_s=0.4, signals=("hand_pos",)))
    with pytest.raises(DataError, match="no signal 'hand' for reaches"):
        load(recording, LoadOptions(segment="segment", reaches="hand"))
    with pytest.raises(DataError, match="around reaches 'hand_vel', but nothing says where they stop; give after_s"):
        load(recording, LoadOptions(segment="segment", reaches="hand_vel"))
    with pytest.raises(DataError, match="no array 'go' with the times of events"):
        load(recording, LoadOptions(align="go", before_s=0.1, after_s=0.4))


def test_describe_reports_reaches(recording, capsys) -> None:
    words = ["--segment", "segment", "--reaches", "hand_vel", "--before_s", "0.2", "--after_s", "0.4"]
    assert main(["describe", recording, *words, "--condition", "octant"]) == 0
    said = capsys.readouterr().out
    assert "24 of 30 bins (0.6 s)" in said
    assert "24 reaches of 24 movements in 'hand_vel'" in said
    assert "reaches hand_vel" in said


def test_area_s1(recordings) -> None:
    data = load(recordings / "s1_reach_50ms.npz", LoadOptions(segment="segment", reaches="hand_vel", after_s=0.6))
    assert 1000 < data.n_trials < 1500
    assert np.bincount(data.trials["octant"], minlength=8).min() > 70
    speed = np.linalg.norm(data.signals["hand_vel"].values, axis=2).mean(axis=0)
    assert speed.argmax() * data.bin_s == pytest.approx(0.2, abs=0.1)
    assert speed[0] < 0.2 * speed.max()
    with_default_splits(data)  # refuses windows that share bins
