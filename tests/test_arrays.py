"""Arrays of other programs: the order of their axes, the width of their bins, their trials and their companions.

Expected values are computed with NumPy from the arrays that are written, never with spikeloom.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import spikeloom as sl
from spikeloom.cli import main
from spikeloom.errors import DataError, SpikeloomWarning

RNG = np.random.default_rng(0)
TRIALS = RNG.poisson(0.4, (24, 15, 9)).astype(np.uint8)
WHOLE = RNG.poisson(0.4, (600, 9)).astype(np.uint8)
VELOCITY = RNG.normal(size=(600, 2)).astype(np.float32)
ENDINGS = ["npz", "h5", "mat"]


def written(folder: Path, ending: str = "npz", **arrays: Any) -> Path:
    path = folder / f"arrays.{ending}"
    if ending == "npz":
        np.savez(path, **arrays)
    elif ending == "mat":
        scipy.io.savemat(path, arrays)
    else:
        with h5py.File(path, "w") as file:
            for name, value in arrays.items():
                values = np.asarray(value)
                file[name] = values.astype(object) if values.dtype.kind == "U" else values
    return path


def notes_of(data: sl.SpikeData) -> str:
    return "\n".join(data.provenance["notes"])


def refused(path: Path, *parts: str, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        sl.load(path, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith((".", "?"))
    assert [part for part in parts if part not in message] == [], message
    return message


# -- the order of the axes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("options", [{}, {"axes": "neuron,time"}])
def test_times_and_signals_tell_neurons_from_bins(tmp_path: Path, ending: str, options: dict) -> None:
    time = np.arange(600) * 0.05
    data = sl.load(written(tmp_path, ending, spikes=WHOLE.T, hand_vel=VELOCITY.T, time=time), **options)
    np.testing.assert_array_equal(data.counts[0], WHOLE)
    np.testing.assert_array_equal(data.signals["hand_vel"].values[0], VELOCITY)
    assert (data.bin_s, list(data.signals), list(data.neurons)) == (0.05, ["hand_vel"], [])
    if not options:
        assert "the axes of 'spikes' are (neuron, time), by the shape of 'hand_vel'" in notes_of(data)


def test_companions_choose_any_order_of_three(tmp_path: Path) -> None:
    arrays = {"unit_id": np.arange(9), "response": np.arange(24) % 3, "t": np.arange(15) * 0.02}
    for order in [(2, 0, 1), (2, 1, 0), (1, 0, 2), (0, 2, 1), (0, 1, 2)]:
        data = sl.load(written(tmp_path, spikes=TRIALS.transpose(order), **arrays))
        np.testing.assert_array_equal(data.counts, TRIALS)
        assert data.trials["response"].tolist() == (np.arange(24) % 3).tolist()
        assert data.neurons["id"].tolist() == list(range(9))
        assert data.bin_s == 0.02


def test_signals_in_the_order_of_the_counts(tmp_path: Path) -> None:
    hand = RNG.normal(size=(24, 15, 2)).astype(np.float32)
    path = written(tmp_path, counts=TRIALS.transpose(0, 2, 1), hand=hand.transpose(0, 2, 1), unit_id=range(9), dt=0.02)
    data = sl.load(path)
    np.testing.assert_array_equal(data.counts, TRIALS)
    np.testing.assert_array_equal(data.signals["hand"].values, hand)


def test_columns_that_fit_only_another_order_refuse_it(tmp_path: Path) -> None:
    spikes = TRIALS.transpose(2, 0, 1)
    path = written(
        tmp_path, spikes=spikes, bin_s=0.02, response=np.arange(24) % 2, brain_area=np.array(list("aaabbbccc"))
    )
    refused(path, "'response' (24,)", "'brain_area' (9,)", "axes=neuron,trial,time")
    data = sl.load(path, axes="neuron,trial,time")
    np.testing.assert_array_equal(data.counts, TRIALS)
    assert list(data.trials) == ["response"]
    assert list(data.neurons) == ["brain_area"]


def test_contradictions_and_ties_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, spikes=TRIALS, unit_id=np.arange(15), time=np.arange(15) * 0.02)
    refused(path, "'unit_id' (15,) and 'time' (15,) fit no common order")
    path = written(tmp_path, spikes=TRIALS, time=np.arange(9) * 0.02)
    refused(path, "axes=trial,neuron,time or axes=neuron,trial,time")
    path = written(tmp_path, spikes=WHOLE.T, time=np.arange(600) * 0.02)
    refused(path, "9 bins and 600 neurons", "which axes gives", "correct it with axes=neuron,time", axes="time,neuron")
    path = written(tmp_path, spikes=TRIALS, bin_s=0.02, dims=np.array(["neurons", "trials", "bins"]), unit_id=range(9))
    refused(path, "which 'dims' declares", "24 neurons", "'unit_id' has 9 entries")


def test_an_assumed_order_is_always_told(tmp_path: Path) -> None:
    said = "the axes of 'spikes' are taken as (trial, time, neuron), as nothing says otherwise"
    assert said in notes_of(sl.load(written(tmp_path, spikes=TRIALS, bin_s=0.02)))
    many = RNG.poisson(0.02, (60, 30, 700)).astype(np.uint8)
    path = written(tmp_path, spikes=many, bin_s=0.001)
    with pytest.warns(SpikeloomWarning, match="700 neurons with 30 bins are implausible"):
        data = sl.load(path)
    assert data.counts.shape == (60, 30, 700)
    assert f"{said}, which is a guess: 700 neurons with 30 bins are implausible" in notes_of(data)
    path = written(tmp_path, spikes=WHOLE.T, bin_s=0.02)
    refused(path, "9 bins and 600 neurons", "axes=neuron,time if it is 600 bins and 9 neurons")


@pytest.mark.parametrize(
    "companion",
    [
        {"go_cue": np.arange(10) * 0.9},  # as many values as there would be borders, were the neurons bins
        {"position": np.ones((9, 3))},
        {"waveform": np.ones((9, 48))},
        {"correlation": np.ones((9, 9))},
        {"trial_start_s": np.arange(9) * 1.0},
        {"weights": np.ones((600, 9))},
    ],
)
def test_sizes_that_agree_by_chance_choose_nothing(tmp_path: Path, companion: dict) -> None:
    data = sl.load(written(tmp_path, spikes=WHOLE, bin_s=0.02, **companion), continuous=True)
    np.testing.assert_array_equal(data.counts[0], WHOLE)


# -- the width of the bins -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(
    ("name", "value", "note"),
    [
        ("bin_s", 0.02, ""),
        ("dt", 20, "'dt' is 20, which is taken as milliseconds"),
        ("dt", 0.02, ""),
        ("binSizeMs", 20, ""),
        ("bin_width_ms", 20.0, ""),
        ("binwidth", 20, "milliseconds"),
        ("bin_size", np.float32(0.02), ""),
        ("fs", 50, "bins are 0.02 s wide, by the rate 'fs'"),
        ("rate_hz", 50.0, "by the rate"),
        ("sampling_rate_khz", 0.05, "by the rate"),
    ],
)
def test_widths_of_many_names_and_units(tmp_path: Path, ending: str, name: str, value: float, note: str) -> None:
    data = sl.load(written(tmp_path, ending, spikes=WHOLE, **{name: value}))
    assert data.bin_s == pytest.approx(0.02, rel=1e-9)
    assert note in notes_of(data)


def test_a_width_of_one_is_told_by_the_rates_or_asked(tmp_path: Path) -> None:
    assert sl.load(written(tmp_path, spikes=WHOLE, dt=1)).bin_s == 1.0  # 0.4 Hz, not 400 Hz
    sparse = (WHOLE > 2).astype(np.uint8)
    data = sl.load(written(tmp_path, spikes=sparse, dt=1))
    assert data.bin_s == 0.001
    assert "milliseconds" in notes_of(data)
    unclear = written(tmp_path, spikes=(WHOLE > 1).astype(np.uint8) * (np.arange(600) % 3 == 0)[:, None], dt=1, x=0)
    rate_s = float(np.load(unclear)["spikes"].mean())
    assert rate_s < 0.1  # so that both units are plausible only if this is above 0.1
    path = written(tmp_path, spikes=WHOLE // 2 + (RNG.random((600, 9)) < 0.1), dt=1)
    refused(path, "may be seconds or milliseconds", "stored_bin_s=1 or stored_bin_s=0.001")
    assert sl.load(path, stored_bin_s=0.001).bin_s == 0.001


def test_stored_and_wanted_width_are_two_things(tmp_path: Path) -> None:
    path = written(tmp_path, counts=TRIALS)
    refused(path, "width of a bin is not in the file", "stored_bin_s=<seconds>")
    refused(path, "bin_s=0.02", "stored_bin_s=0.02", "stored_bin_s=<their width>", bin_s=0.02)
    assert sl.load(path, stored_bin_s=0.02).bin_s == 0.02
    data = sl.load(path, stored_bin_s=0.001, bin_s=0.005)
    np.testing.assert_array_equal(data.counts, TRIALS.reshape(24, 3, 5, 9).sum(axis=2))
    assert data.bin_s == 0.005
    data = sl.load(written(tmp_path, counts=TRIALS, bin_s=0.01), stored_bin_s=0.02)
    assert data.bin_s == 0.02
    assert "the file says 0.01 s" in notes_of(data)


def test_widths_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    refused(written(tmp_path, spikes=WHOLE, bin_s=0.02, bin_ms=10), "'bin_s'", "'bin_ms'", "stored_bin_s")
    refused(written(tmp_path, spikes=WHOLE, bin_s=0.02, time=np.arange(600) * 0.05), "0.05 s apart", "0.02 s wide")
    refused(written(tmp_path, spikes=WHOLE, bin_s=20), "in seconds", "did you mean 0.02")
    refused(written(tmp_path, spikes=WHOLE, dt=0), "'dt' is 0", "positive width")
    refused(written(tmp_path, spikes=WHOLE, time=np.cumsum(RNG.exponential(0.02, 600))), "bins of one width")
    refused(written(tmp_path, spikes=WHOLE, t=np.arange(600)), "width of a bin is not in the file")


@pytest.mark.parametrize(
    ("name", "times"),
    [
        ("time", 3000 + np.arange(600) * 0.02),
        ("timestamps", 3000 + np.arange(600, dtype=np.float32) * np.float32(0.02)),
        ("t", 3_000_000 + np.arange(600) * 20),
        ("time_ms", 3_000_000 + np.arange(600) * 20.0),
        ("bin_centers", 3000.01 + np.arange(600) * 0.02),
        ("bin_edges", 3000 + np.arange(601) * 0.02),
    ],
)
@pytest.mark.parametrize("ending", ENDINGS)
def test_times_of_bins_give_their_width_and_clock(tmp_path: Path, ending: str, name: str, times: np.ndarray) -> None:
    data = sl.load(written(tmp_path, ending, spikes=WHOLE, **{name: times}), window_s=1.0)
    np.testing.assert_array_equal(data.counts, WHOLE.reshape(12, 50, 9))
    assert data.bin_s == pytest.approx(0.02, rel=1e-3)
    np.testing.assert_allclose(data.trials["recorded_from_s"], 3000 + np.arange(12), atol=1e-3)
    assert not data.signals
    assert name in notes_of(data)


def test_a_recording_is_cut_at_gaps_and_restarts(tmp_path: Path) -> None:
    times = np.r_[np.arange(250), np.arange(400, 750)] * 0.02
    path = written(tmp_path, spikes=WHOLE, time=times, vel=VELOCITY)
    data = sl.load(path)
    assert data.lengths.tolist() == [250, 350]
    np.testing.assert_array_equal(data.counts[1], WHOLE[250:])
    np.testing.assert_array_equal(data.signals["vel"].values[0, :250], VELOCITY[:250])
    assert data.trials["recorded_from_s"].tolist() == [0.0, 8.0]
    assert "gaps between the times of bins: 1" in notes_of(data)
    data = sl.load(written(tmp_path, spikes=WHOLE, time=np.r_[np.arange(250), np.arange(350)] * 0.02))
    assert data.lengths.tolist() == [250, 350]
    assert data.trials["recorded_piece"].nunique() == 2
    missing = WHOLE.astype(float)
    missing[100:150] = np.nan
    data = sl.load(written(tmp_path, spikes=missing, bin_s=0.02))
    assert data.lengths.tolist() == [100, 450]
    assert data.trials["recorded_from_s"].tolist() == [0.0, 3.0]
    np.testing.assert_array_equal(data.counts[1], WHOLE[150:])


def test_times_of_trials(tmp_path: Path) -> None:
    times = np.arange(15)[None] * 0.02 + np.arange(24)[:, None] * 2.5
    data = sl.load(written(tmp_path, spikes=TRIALS, time=times))
    assert data.trials["recorded_from_s"].tolist() == (np.arange(24) * 2.5).tolist()
    data = sl.load(written(tmp_path, spikes=TRIALS, t=np.arange(-5, 10) * 20))
    assert data.bin_s == 0.02
    assert "from -0.1 s" in notes_of(data)


# -- what is no array of counts --------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["time", "unit", "unsorted"])
@pytest.mark.parametrize("columns", [[0, 1], [1, 0]])
@pytest.mark.parametrize("seconds", [False, True])
@pytest.mark.parametrize("turned", [False, True])
def test_lists_of_spikes_are_refused(tmp_path: Path, order: str, columns: list, seconds: bool, turned: bool) -> None:
    pairs = np.stack([RNG.integers(0, 300_000, 400), RNG.integers(0, 9, 400)], axis=1)
    if order != "unsorted":
        pairs = pairs[np.argsort(pairs[:, 0])] if order == "time" else pairs[np.lexsort((pairs[:, 0], pairs[:, 1]))]
    elif seconds:
        pytest.skip("fractions that increase for no unit are not known for times")
    pairs = pairs / [30_000.0, 1.0] if seconds else pairs
    pairs = pairs[:, columns].T if turned else pairs[:, columns]
    if turned and order == "unsorted":
        pytest.skip("with (2, 400) the order of the axes is asked for first")
    path = written(tmp_path, spikes=pairs, bin_s=0.01)
    refused(path, "looks like a list of spikes", "from_spike_times", "counts=<array>")


def test_two_neurons_are_not_a_list_of_spikes(tmp_path: Path) -> None:
    for values in (WHOLE[:, :2], np.tile(np.arange(30)[:, None], 2), np.zeros((100, 2), int)):
        assert sl.load(written(tmp_path, spikes=values, bin_s=0.1)).n_neurons == 2


def test_rates_and_files_without_counts_are_refused(tmp_path: Path) -> None:
    refused(written(tmp_path, spikes=WHOLE.astype(int) * 100, bin_s=0.02), "2e+03 Hz", "no neuron has", "stored_bin_s")
    path = written(tmp_path, spike_times=np.sort(RNG.random(400)), spike_amplitudes=RNG.random(300))
    refused(path, "'spike_times' may hold spike times", "from_spike_times")
    data = sl.load(written(tmp_path, activity=WHOLE, bin_s=0.02))
    assert "the only array of whole numbers" in notes_of(data)


# -- signals and columns ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_value_in_each_bin_of_each_trial_is_a_signal(tmp_path: Path, ending: str) -> None:
    speed = RNG.random((24, 15)).astype(np.float32)
    path = written(tmp_path, ending, counts=TRIALS, bin_s=0.02, speed=speed, state=(speed > 0.5).astype(int))
    data = sl.load(path)
    np.testing.assert_array_equal(data.signals["speed"].values[..., 0], speed)
    chosen = sl.load(path, signals="state")
    np.testing.assert_array_equal(chosen.signals["state"].values[..., 0], speed > 0.5)


def test_a_signal_that_does_not_fit_is_named_with_its_shape(tmp_path: Path) -> None:
    path = written(tmp_path, counts=TRIALS, bin_s=0.02, speed=np.ones((24, 13)))
    refused(path, "'speed' is float64 (24, 13)", "(24, 15) or (24, 15, dim)", signals="speed")
    path = written(tmp_path, counts=WHOLE, bin_s=0.02, speed=np.ones((500, 2)))
    refused(path, "'speed' is float64 (500, 2)", "(600,) or (600, dim)", signals="speed")


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_value_for_each_segment_is_a_trial_column(tmp_path: Path, ending: str) -> None:
    segment, target = np.repeat(np.arange(12), 50), RNG.random(12) * 360
    path = written(tmp_path, ending, spikes=WHOLE, bin_s=0.02, segment=segment, target_deg=target)
    data = sl.load(path, condition="target_deg")
    np.testing.assert_array_equal(data.counts, WHOLE.reshape(12, 50, 9))
    np.testing.assert_array_equal(data.trials["condition"], target)
    windows = sl.load(path, window_s=0.5)
    np.testing.assert_array_equal(windows.trials["target_deg"], np.repeat(target, 2))


def test_columns_of_segments_follow_their_ids_or_their_runs(tmp_path: Path) -> None:
    segment = np.repeat([7, 2, 7, 5], 150)
    data = sl.load(written(tmp_path, spikes=WHOLE, bin_s=0.02, segment=segment, a=[20, 50, 70], b=[1, 2, 3, 4]))
    assert data.trials["a"].tolist() == [70, 20, 70, 50]
    assert data.trials["b"].tolist() == [1, 2, 3, 4]


def test_what_is_left_out_refuses_nothing(tmp_path: Path) -> None:
    counts = TRIALS.astype(float)
    counts[:, :, 3] = np.nan
    good = np.arange(9) != 3
    path = written(tmp_path, spikes=counts, bin_s=0.02, good_unit=good)
    np.testing.assert_array_equal(sl.load(path, neurons="good_unit").counts, TRIALS[:, :, good])
    refused(path, "neuron 3", "NaN")
    counts = TRIALS.astype(float)
    counts[4, 2] = -1
    ok = np.arange(24) != 4
    path = written(tmp_path, spikes=counts, bin_s=0.02, ok=ok, length=np.where(ok, 15, 0))
    np.testing.assert_array_equal(sl.load(path, where="ok=true").counts, TRIALS[ok])
    refused(path, "trial 4")
    counts = WHOLE.astype(float)
    counts[310, 2] = np.nan
    path = written(tmp_path, spikes=counts, bin_s=0.02, starts=np.arange(12) * 50, ok=np.arange(12) != 6)
    data = sl.load(path, trials="starts", where="ok=true")
    np.testing.assert_array_equal(data.counts, np.delete(WHOLE.reshape(12, 50, 9), 6, axis=0))
    refused(path, "bin 310, neuron 2", trials="starts")


# -- trials of continuous counts -------------------------------------------------------------------------------------


STARTS = np.arange(20) * 30  # bins
TARGET = np.arange(20) % 4


@pytest.mark.parametrize("ending", ENDINGS)
def test_starts_alone_last_until_the_next(tmp_path: Path, ending: str) -> None:
    path = written(tmp_path, ending, spikes=WHOLE, bin_s=0.02, trial_start_s=STARTS * 0.02, target=TARGET)
    data = sl.load(path, condition="target")
    np.testing.assert_array_equal(data.counts, WHOLE.reshape(20, 30, 9))
    assert data.trials["condition"].tolist() == TARGET.tolist()
    assert "each trial lasts until the next one starts" in notes_of(data)
    data = sl.load(path, align="trial_start_s", before_s=0.1, after_s=0.5)
    np.testing.assert_array_equal(data.counts, np.stack([WHOLE[s - 5 : s + 25] for s in STARTS[1:]]))
    assert "1 of 20 trials were dropped because they have a window that leaves the observed time" in notes_of(data)
    np.testing.assert_allclose(data.trials["recorded_from_s"], STARTS[1:] * 0.02 - 0.1)
    assert sl.load(path, continuous=True).lengths.tolist() == [600]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(("name", "lasts"), [("trial_duration", 0.4), ("duration_ms", 400)])
def test_starts_and_durations(tmp_path: Path, ending: str, name: str, lasts: float) -> None:
    path = written(
        tmp_path, ending, spikes=WHOLE, bin_s=0.02, trial_start_s=STARTS * 0.02, **{name: np.full(len(STARTS), lasts)}
    )
    data = sl.load(path)
    np.testing.assert_array_equal(data.counts, WHOLE.reshape(20, 30, 9)[:, :20])
    assert f"trials last as long as '{name}' says" in notes_of(data)


@pytest.mark.parametrize("ending", ENDINGS)
def test_whole_milliseconds_that_lie_behind_the_end_as_bins(tmp_path: Path, ending: str) -> None:
    path = written(
        tmp_path, ending, spikes=WHOLE, bin_s=0.02, trial_start=STARTS[2:] * 20, trial_stop=(STARTS[2:] + 15) * 20
    )
    np.testing.assert_array_equal(sl.load(path).counts, WHOLE.reshape(20, 30, 9)[2:, :15])


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("kind", ["bins", "seconds", "bins as floats", "milliseconds", "turned"])
def test_windows_in_bins_or_seconds(tmp_path: Path, ending: str, kind: str) -> None:
    windows = np.stack([STARTS, STARTS + 20 + TARGET], axis=1)
    stored = {
        "bins": windows,
        "seconds": windows * 0.02,
        "bins as floats": windows.astype(float),  # as MATLAB stores them
        "milliseconds": windows * 20.0 + 0.01,
        "turned": windows.T,
    }[kind]
    path = written(tmp_path, ending, spikes=WHOLE, bin_s=0.02, cut_here=stored, target=TARGET, vel=VELOCITY)
    data = sl.load(path, trials="cut_here", condition="target")
    assert data.lengths.tolist() == (20 + TARGET).tolist()
    for trial, (first, stop) in enumerate(windows):
        np.testing.assert_array_equal(data.counts[trial, : stop - first], WHOLE[first:stop])
        np.testing.assert_array_equal(data.signals["vel"].values[trial, : stop - first], VELOCITY[first:stop])
    unit = kind if kind in ("seconds", "milliseconds") else "numbers of bins"
    assert f"'cut_here' is taken as {unit}" in notes_of(data)


def test_windows_that_end_at_a_gap_are_whole(tmp_path: Path) -> None:
    times = np.r_[np.arange(300), np.arange(400, 700)] * 0.02
    windows = np.array([[250, 300], [290, 310], [300, 330]])
    data = sl.load(written(tmp_path, spikes=WHOLE, time=times, windows=windows), trials="windows")
    assert data.lengths.tolist() == [50, 10, 30]
    np.testing.assert_array_equal(data.counts[2, :30], WHOLE[300:330])
    assert "1 of 3 trials end early" in notes_of(data)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    events=st.lists(st.floats(-1.0, 13.0), min_size=3, max_size=12),
    before=st.integers(-4, 10),
    length=st.integers(1, 8),
    wide=st.sampled_from([1, 2, 3]),
    start_s=st.sampled_from([0.0, 1000.0]),
)
def test_windows_begin_with_the_bin_of_their_event(
    tmp_path: Path, events: list, before: int, length: int, wide: int, start_s: float
) -> None:
    bin_s, n = 0.02, length * wide
    event = np.array(events)
    event = event[abs(event / bin_s - np.round(event / bin_s)) > 1e-3]  # on a border either bin may be meant
    first = np.floor(event / bin_s).astype(int) - before
    inside = (event >= 0) & (event < 12) & (first >= 0) & (first + n <= 600)
    outside = ~inside & ((event < -0.02) | (event >= 12.02) | ((event >= 0) & (event < 12)))
    event, first, inside = event[inside | outside], first[inside | outside], inside[inside | outside]
    # An event outside of the recording has no bin; its window may still lie in it.
    near = ((event < 0) | (event >= 12)) & (first >= -1) & (first + n <= 601)
    event, first, inside = event[~near], first[~near], inside[~near]
    if not inside.any():
        return
    path = tmp_path / "events.npz"
    np.savez(path, spikes=WHOLE, time=start_s + np.arange(600) * bin_s, go=event + start_s)
    data = sl.load(path, align="go", before_s=before * bin_s, after_s=(n - before) * bin_s, bin_s=wide * bin_s)
    expected = np.stack([WHOLE[f : f + n].reshape(length, wide, 9).sum(axis=1) for f in first[inside]])
    np.testing.assert_array_equal(data.counts, expected)
    np.testing.assert_allclose(data.trials["go"], (event + start_s)[inside])


def test_trials_in_a_table_of_their_own(tmp_path: Path) -> None:
    rows = "\n".join(f"{i},{i + 0.7},k{i % 2},{i + 0.31}" for i in range(13))
    (tmp_path / "trials.csv").write_text(f"start,end,kind,go\n{rows}\n")
    path, table = written(tmp_path, spikes=WHOLE, bin_s=0.02), tmp_path / "trials.csv"
    data = sl.load(path, trials=table, condition="kind")
    np.testing.assert_array_equal(data.counts, np.stack([WHOLE[50 * i : 50 * i + 35] for i in range(12)]))
    assert data.trials["condition"].tolist() == ["k0", "k1"] * 6
    assert "1 of 13 trials were dropped because they were not observed (id 12)" in notes_of(data)
    data = sl.load(path, trials=table, align="go", after_s=0.2)
    np.testing.assert_array_equal(data.counts, np.stack([WHOLE[50 * i + 15 : 50 * i + 25] for i in range(12)]))
    assert "the start of the bin that contains it, up to 0.01 s earlier" in notes_of(data)
    refused(path, "there is no file", "with trials", trials=tmp_path / "none.csv")


def test_no_trial_crosses_a_segment(tmp_path: Path) -> None:
    segment = np.repeat([0, 1, 2, 3], 150)
    path = written(tmp_path, spikes=WHOLE, bin_s=0.02, segment=segment, onset=np.array([10, 140, 160, 590]))
    data = sl.load(path, align="onset", after_s=0.4)
    np.testing.assert_array_equal(data.counts, np.stack([WHOLE[10:30], WHOLE[160:180]]))
    assert data.trials["segment"].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"align": "none", "after_s": 0.1}, ["no array 'none'", "events to align to", "the file holds"]),
        ({"align": "go"}, ["nothing says where they stop", "after_s"]),
        ({"align": "go", "before_s": 0.01, "after_s": 0.1}, ["before_s is 0.01 s", "whole number of bins"]),
        ({"align": "go", "after_s": 0.11}, ["before_s + after_s", "whole number of bins"]),
        ({"align": "go", "after_s": 99.0}, ["no trial is left"]),
        ({"align": "word", "after_s": 0.1}, ["'word' is", "times are numbers"]),
        ({"align": "pair", "after_s": 0.1}, ["'pair' is", "one time for each trial"]),
        ({"trials": "none"}, ["no array 'none' for trials", "the file holds"]),
        ({"trials": "cube"}, ["'cube' is", "(trial,) starts"]),
        ({"trials": "go", "continuous": True}, ["(trials)", "(continuous)", "not both"]),
        ({"lengths": "go"}, ["lengths cannot be used", "continuous"]),
        ({"condition": "short"}, ["'short' is", "a trial column needs 20 entries"]),
        ({"bin_s": 0.03}, ["whole multiple"]),
    ],
)
def test_impossible_trials_end_in_one_sentence(tmp_path: Path, options: dict, parts: list) -> None:
    arrays = {"go": STARTS * 0.02, "word": np.array(["a"] * 20), "pair": np.ones((20, 2)), "short": np.ones(7)}
    path = written(tmp_path, spikes=WHOLE, bin_s=0.02, trial_start=STARTS, cube=np.ones((2, 2, 2), int), **arrays)
    refused(path, *parts, **options)


def test_arrays_of_trials_are_not_cut_again(tmp_path: Path) -> None:
    path = written(tmp_path, spikes=TRIALS, bin_s=0.02, go=np.ones(24), seg=np.arange(15))
    for options in ({"trials": "go"}, {"segment": "seg"}, {"continuous": True}):
        refused(path, "cannot be used with arrays of trials", **options)
    around = sl.load(path, align="go", after_s=0.1)  # windows around events are, by the number of their bin
    np.testing.assert_array_equal(around.counts, TRIALS[:, 1:6])


# -- npy, and splits in arrays of their own --------------------------------------------------------------------------


def test_one_array_in_a_file(tmp_path: Path) -> None:
    for values in (TRIALS, np.asfortranarray(TRIALS), TRIALS.astype(float)):
        np.save(tmp_path / "counts.npy", values)
        data = sl.load(tmp_path / "counts.npy", stored_bin_s=0.02)
        np.testing.assert_array_equal(data.counts, TRIALS)
        assert "(trial, time, neuron), as nothing says otherwise" in notes_of(data)
    refused(tmp_path / "counts.npy", "stored_bin_s=<seconds>")
    np.save(tmp_path / "counts.npy", np.array([TRIALS[0], TRIALS[1, :5]], dtype=object), allow_pickle=True)
    refused(tmp_path / "counts.npy", "object arrays")
    np.save(tmp_path / "counts.npy", np.arange(5))
    refused(tmp_path / "counts.npy", "(trial, time, neuron) or (time, neuron)")
    (tmp_path / "counts.npy").write_bytes(b"\x93NUMPY\x01\x00")
    refused(tmp_path / "counts.npy", "truncated or damaged")


@pytest.mark.parametrize("ending", ["npz", "h5"])
def test_splits_in_arrays_of_their_own(tmp_path: Path, ending: str) -> None:
    train, valid = TRIALS[:16].astype(float), TRIALS[16:].astype(float)
    hand = RNG.normal(size=(24, 15, 2)).astype(np.float32)
    layouts: list[dict[str, Any]] = [
        {"train_data": train, "valid_data": valid},
        {
            "train_recon_data": train,
            "valid_recon_data": valid,
            "train_encod_data": train[..., :6],
            "valid_encod_data": valid[..., :6],
        },
        {"train_spikes_heldin": train[..., :6], "train_spikes_heldout": train[..., 6:]}
        | {"eval_spikes_heldin": valid[..., :6], "eval_spikes_heldout": valid[..., 6:]},
    ]
    for layout in layouts:
        path = written(tmp_path, ending, **layout, train_behavior=hand[:16], valid_behavior=hand[16:], dt=0.02)
        data = sl.load(path)
        np.testing.assert_array_equal(data.counts, TRIALS)
        np.testing.assert_array_equal(data.signals["behavior"].values, hand)
        assert {name: part.tolist() for name, part in data.splits.items()} == {
            "train": list(range(16)),
            "val": list(range(16, 24)),
        }
        assert data.bin_s == 0.02
        if len(layout) > 2:
            assert data.neurons["heldout"].tolist() == [False] * 6 + [True] * 3


def test_forward_bins_rates_and_indices_of_splits(tmp_path: Path) -> None:
    arrays = {"train_recon_data": TRIALS[:16], "valid_recon_data": TRIALS[16:], "bin_s": 0.02}
    arrays |= {"train_encod_data": TRIALS[:16, :12, :6], "valid_encod_data": TRIALS[16:, :12, :6]}
    data = sl.load(written(tmp_path, **arrays, train_inds=np.arange(1, 17), valid_inds=np.arange(17, 25)))
    assert data.provenance["forward_bins"] == 3
    assert data.trials["inds"].tolist() == list(range(1, 25))
    rates = np.full(TRIALS.shape, TRIALS.mean() / 0.02)
    path = written(
        tmp_path,
        train_data=TRIALS[:16],
        valid_data=TRIALS[16:],
        train_truth=rates[:16],
        valid_truth=rates[16:],
        dt=0.02,
    )
    data = sl.load(path)
    assert data.rates is not None
    np.testing.assert_allclose(data.rates, TRIALS.mean(), rtol=1e-6)
    assert not data.signals
    data = sl.load(
        written(tmp_path, counts=TRIALS, bin_s=0.02, train_inds=np.arange(0, 24, 2), test_inds=np.arange(1, 24, 2))
    )
    assert data.splits["train"].tolist() == list(range(0, 24, 2))
    assert data.splits["test"].tolist() == list(range(1, 24, 2))
    path = written(tmp_path, train_data=TRIALS[:16], valid_data=TRIALS[16:, :10], dt=0.02)
    refused(path, "different shapes", "train (16, 15, 9), val (8, 10, 9)")


def test_behaviour_that_a_split_lacks_is_missing(tmp_path: Path) -> None:
    hand = RNG.normal(size=(16, 15, 2)).astype(np.float32)
    data = sl.load(written(tmp_path, train_data=TRIALS[:16], test_data=TRIALS[16:], train_behavior=hand, dt=0.02))
    np.testing.assert_array_equal(data.signals["behavior"].values[:16], hand)
    assert np.isnan(data.signals["behavior"].values[16:]).all()
    assert "'behavior' is missing (NaN) in the trials of the splits test" in notes_of(data)


# -- structures, and the command line --------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["h5", "mat"])
def test_arrays_in_a_structure_go_by_their_own_names(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"arrays.{ending}"
    values = {"spikes": WHOLE, "binWidthMs": 20.0, "trialStart": STARTS * 0.02, "target": TARGET}
    if ending == "mat":
        scipy.io.savemat(path, {"session": values})
    else:
        with h5py.File(path, "w") as file:
            for name, value in values.items():
                file[f"session/{name}"] = value
    for condition in ("target", "session/target"):
        data = sl.load(path, condition="target", counts="session/spikes")
        np.testing.assert_array_equal(data.counts, WHOLE.reshape(20, 30, 9))
        assert data.trials[condition.rpartition("/")[2]].tolist() == TARGET.tolist()


def test_arrays_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = str(written(tmp_path, spikes=WHOLE, go=STARTS * 0.02, target=TARGET))
    words = ["--stored_bin_s", "0.02", "--align", "go", "--after_s", "0.5", "--condition", "target"]
    assert main(["describe", path, *words]) == 0
    out = capsys.readouterr().out
    assert "20 of 25 bins" in out
    assert "as nothing says otherwise" in out
    assert main(["describe", path, "--bin_s", "0.02"]) == 2
    assert "is not in the file, and" in capsys.readouterr().err


def test_a_run_of_version_0_1_0_keeps_the_width_that_bin_s_stood_for(tmp_path: Path) -> None:
    import json

    from spikeloom.data.sources import load_source
    from spikeloom.data.spikedata import content_hash

    path = written(tmp_path, spikes=TRIALS)
    data = sl.load(path, stored_bin_s=0.02)
    record = {"source": str(path), "load_options": {"bin_s": 0.02}, "splits": {}, "hash": content_hash(data)}
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "data.json").write_text(json.dumps(record))
    np.testing.assert_array_equal(load_source(tmp_path / "run").counts, TRIALS)


@pytest.mark.parametrize("names", [("start", "stop"), ("reach_onset", "reach_offset"), ("goStart", "goEnd")])
def test_starts_that_are_named_bring_their_stops(tmp_path, names):
    starts = 1 + 2.5 * np.arange(4)
    stops = starts + 1.5
    path = written(tmp_path, spikes=WHOLE, bin_s=0.02, **dict(zip(names, (starts, stops))))
    data = sl.load(path, trials=names[0])
    assert data.lengths.tolist() == [75] * 4
    np.testing.assert_array_equal(data.counts[1], WHOLE[175:250])
