"""What loading says of recordings that are hardly what their maker meant, and that good ones get no such note."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import spikeloom as sl
from spikeloom.cli import main
from spikeloom.data.plausibility import plausibility_notes
from spikeloom.data.series.series import Series
from spikeloom.data.session.time_checks import in_order
from spikeloom.errors import DataError

RNG = np.random.default_rng


def good(n_trials: int = 40, n_bins: int = 60, n_neurons: int = 12) -> np.ndarray:
    """Counts of neurons of different rates, 2 to 40 Hz in bins of 20 ms."""
    rate = np.linspace(2, 40, n_neurons) * 0.02
    return RNG(0).poisson(rate, (n_trials, n_bins, n_neurons))


def notes_of(folder: Path, counts: np.ndarray, bin_s: float = 0.02, **arrays: Any) -> list[str]:
    """Notes of arrays in a file, without those on names and on the order of axes that was assumed."""
    np.savez(folder / "a.npz", counts=counts, bin_s=bin_s, **arrays)
    notes = sl.load(folder / "a.npz").provenance["notes"]
    return [note for note in notes if "by its name" not in note and not note.startswith("the axes of")]


# -- recordings --------------------------------------------------------------------------------------------------


def test_a_good_recording_gets_no_note(tmp_path: Path) -> None:
    assert notes_of(tmp_path, good()) == []
    assert notes_of(tmp_path, good(1)[0]) == ["the recording is one long trial; cut it with window_s"]


def test_neurons_of_one_name(tmp_path: Path) -> None:
    (note,) = notes_of(tmp_path, good(), unit_id=[*range(10), 3, 3])
    assert note == "3 of 12 neurons share their 'id' with another, such as 3"
    assert notes_of(tmp_path, good(), unit_id=np.arange(12), electrode_id=np.zeros(12, int)) == []


@pytest.mark.slow
def test_the_simulated_recording_gets_no_note() -> None:
    from spikeloom.data.simulated.lorenz import lorenz

    data = lorenz()
    assert plausibility_notes(data) == []


def _silent(counts: np.ndarray) -> None:
    counts[[3, 8, 9, 12, 20, 30]] = 0


def _fast(counts: np.ndarray) -> None:
    counts[:, :, 4] = 12


def _padded(counts: np.ndarray) -> None:
    for trial, length in enumerate(RNG(1).integers(30, 60, len(counts))):
        counts[trial, length:] = 0


def _cut_off(counts: np.ndarray) -> None:
    np.minimum(counts, 1, out=counts)


def _saturated(counts: np.ndarray) -> None:
    counts[:, :, 0] *= 300
    np.minimum(counts, 255, out=counts)


def _twice(counts: np.ndarray) -> None:
    counts[:, :, 9] = counts[:, :, 2]


def _again(counts: np.ndarray) -> None:
    counts[7] = counts[2]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (_silent, "6 of 40 trials have no spike (trials 3, 8, 9, 12, 20, ...)"),
        (_fast, "1 of 12 neurons fires at more than 500 Hz on average (neuron 4, up to 600 Hz)"),
        (_padded, "trials end without a spike for longer than by chance"),
        (_cut_off, "no bin of 20 ms holds more than one spike of a neuron"),
        (_saturated, "counts are 255, the largest number of a small integer type"),
        (_twice, "1 of 12 neurons is identical to another one, such as neurons 2 and 9"),
        (_again, "1 trials are identical to another one, such as trials 2 and 7"),
    ],
)
def test_odd_counts_are_noted(spoil: Callable[[np.ndarray], None], says: str, tmp_path: Path) -> None:
    counts = good()
    spoil(counts)
    found = [note for note in notes_of(tmp_path, counts) if says in note]
    assert len(found) == 1

    saved = sl.SpikeData(counts, bin_s=0.02)  # a recording of one's own, saved and loaded
    sl.save(saved, tmp_path / "own.h5")
    assert found[0] in sl.load(tmp_path / "own.h5").provenance["notes"]
    assert sl.load(tmp_path / "own.h5").provenance["notes"] == sl.load(tmp_path / "own.h5").provenance["notes"]


def test_a_note_stands_once_however_often_a_recording_is_saved(tmp_path: Path) -> None:
    counts = good()
    _silent(counts)
    np.savez(tmp_path / "a.npz", counts=counts, bin_s=0.02)
    first = sl.load(tmp_path / "a.npz")
    sl.save(first, tmp_path / "b.npz")
    sl.save(sl.load(tmp_path / "b.npz"), tmp_path / "c.h5")
    assert sl.load(tmp_path / "c.h5").provenance["notes"] == first.provenance["notes"]


def test_samples_are_what_they_are(tmp_path: Path) -> None:
    counts = good()
    for spoil in (_silent, _fast, _padded, _twice):
        spoil(counts)
    still = np.zeros((40, 60, 2))
    sample = sl.SpikeData(counts, bin_s=0.02, signals={"hand_vel": still}, provenance={"generated_by": "ldns"})
    sl.save(sample, tmp_path / "sample.npz")
    assert "notes" not in sl.load(tmp_path / "sample.npz").provenance


def test_trials_without_a_spike_by_chance_are_no_oddity(tmp_path: Path) -> None:
    counts = RNG(0).poisson(0.002, (400, 50, 6))
    assert (counts.sum(axis=(1, 2)) == 0).sum() > 100
    assert not [note for note in notes_of(tmp_path, counts) if "no spike" in note]


def test_axes_are_exchanged_where_bins_differ_as_neurons_do(tmp_path: Path) -> None:
    rate = RNG(1).gamma(1.0, 0.2, 30)
    as_it_is = RNG(0).poisson(rate, (20, 50, 30))
    assert not [n for n in notes_of(tmp_path, as_it_is) if "axes=" in n]
    assert not [n for n in notes_of(tmp_path, as_it_is[:, :25]) if "axes=" in n]  # more neurons than bins, but right
    exchanged = np.swapaxes(as_it_is, 1, 2)
    assert [n for n in notes_of(tmp_path, exchanged) if "from bin to bin than from neuron to neuron" in n]

    np.savez(tmp_path / "a.npz", counts=exchanged, bin_s=0.02)  # whoever names the order is not asked again
    named = sl.load(tmp_path / "a.npz", axes="trial,time,neuron").provenance.get("notes", [])
    assert not [note for note in named if "axes=" in note]


def test_rates_that_cannot_be(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", counts=good() * 200 + 1, bin_s=0.02)
    with pytest.raises(DataError, match=r"the mean rate .* Hz .* in bins of 0.02 s, which no neuron has"):
        sl.load(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", counts=np.zeros((10, 20, 3), int), bin_s=0.02)
    assert "there is no spike in 10 trials of 3 neurons" in sl.load(tmp_path / "a.npz").provenance["notes"]
    few = np.zeros((10, 20, 3), int)
    few[0, 0, 0] = 1
    np.savez(tmp_path / "a.npz", counts=few, bin_s=2.0)
    assert any("is 0.00083 Hz per neuron, below 0.05 Hz" in n for n in sl.load(tmp_path / "a.npz").provenance["notes"])


def test_lengths_signals_and_conditions(tmp_path: Path) -> None:
    counts = good(30, 500)
    lengths = np.r_[500, np.full(29, 20)]
    hand = RNG(0).normal(size=(30, 500, 2))
    hand[4, :7, 0] = np.nan
    notes = notes_of(
        tmp_path,
        counts,
        length=lengths,
        hand=hand,
        arm=np.full((30, 500, 1), 3.0),
        half=np.dstack([hand[..., 1], np.ones((30, 500))]),
        condition=np.arange(30) * 1.5,
    )
    missing = f"signal 'hand' is missing (NaN) in 7 of {lengths.sum()} bins, first in trial 4"
    for says in (
        "trials differ much in length: trial 0 lasts 10 s, and half of them at most 0.4 s",
        missing,
        "signal 'arm' never changes (it is 3)",
        "signal 'half' never changes in the columns 1",
        "every one of 30 trials has a condition of its own (the first is 0.0)",
    ):
        assert len([note for note in notes if says in note]) == 1, (says, notes)
    assert len(notes) == 5


def test_describe_shows_every_note(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    counts = good()
    _padded(counts)
    np.savez(tmp_path / "a.npz", counts=counts, bin_s=0.02)
    assert main(["describe", str(tmp_path / "a.npz")]) == 0
    assert "of each trial with --lengths <array>" in capsys.readouterr().out


# -- sessions ----------------------------------------------------------------------------------------------------


def trains(n: int = 5, stop: float = 100.0) -> list[np.ndarray]:
    return [np.sort(RNG(i).uniform(0, stop, 400 + 50 * i)) for i in range(n)]


def session_notes(times: Any, **keywords: Any) -> list[str]:
    keywords = {"bin_s": 0.02, "observed": [[0.0, 200.0]], "window_s": 1.0, **keywords}
    return sl.from_spike_times(times, **keywords).provenance.get("notes", [])


def test_a_good_session_gets_no_note() -> None:
    signal = {"hand": (np.arange(0, 100, 0.01), np.sin(np.arange(0, 100, 0.01)))}
    assert session_notes(trains(), observed=[[0.0, 100.0]], signals=signal) == []
    shuffled = [RNG(1).permutation(times) for times in trains()]  # "in any order" is promised
    assert session_notes(shuffled, observed=[[0.0, 100.0]]) == []
    merged = [*trains(4), np.concatenate([trains()[0][::2], trains()[4]])]  # one unit, merged of two
    assert session_notes(merged, observed=[[0.0, 100.0]]) == []


def test_a_clock_that_starts_again() -> None:
    joined = [np.concatenate([times, np.sort(RNG(9).uniform(0, 60, 300))]) for times in trains()]
    notes = session_notes(joined, observed=[[0.0, 100.0]])
    assert len(notes) == 1
    assert "spike times of 5 of 5 neurons fall back, by up to" in notes[0]

    one = np.column_stack([np.arange(0, 60, 2.0), np.arange(0, 60, 2.0) + 1.5])
    notes = session_notes(trains(), trials=np.concatenate([one, one + 0.3]), window_s=None)
    assert any("trial 30 starts 57.7 s before trial 29, and trials overlap" in note for note in notes)
    by_condition = np.concatenate([one[::2], one[1::2]])
    assert not any("starts" in n for n in session_notes(trains(), trials=by_condition, window_s=None))

    t = np.r_[np.arange(0, 60, 0.1), np.arange(0, 40, 0.1)]
    notes = session_notes(trains(), observed=[[0.0, 100.0]], signals={"hand": (t, np.sin(t))})
    assert any("the timestamps of signal 'hand' fall back by up to 59.9 s" in note for note in notes)


def test_spikes_at_the_very_same_time() -> None:
    twice = trains()
    twice[2] = np.sort(np.r_[twice[2], twice[2][:30]])
    notes = session_notes(twice, observed=[[0.0, 100.0]])
    assert len(notes) == 1
    first = twice[2][np.flatnonzero(np.diff(twice[2]) == 0)[0]]
    assert "30 spikes of 1 of 5 neurons are at the very time of another spike" in notes[0]
    assert f"(the first of neuron 2 at {first:.6g} s)" in notes[0]

    grid = [np.sort(RNG(i).integers(0, 100_000, 4000)) * 0.001 for i in range(5)]  # by chance in one millisecond
    assert sum((np.diff(times) == 0).sum() for times in grid) > 100
    assert session_notes(grid, observed=[[0.0, 100.0]]) == []


def test_whole_numbers_are_samples_or_milliseconds() -> None:
    samples = [np.round(times * 30_000) for times in trains()]
    with pytest.raises(DataError, match=r"all spike times are whole numbers \(up to 2\d{6}\).* divide them by the"):
        session_notes(samples)
    with pytest.raises(DataError, match="or milliseconds; divide them"):
        session_notes([np.round(times * 1000).astype(np.int64) for times in trains()])
    seconds = [np.arange(0, 100, 1.0)] * 2
    notes = session_notes(seconds, observed=[[0.0, 100.0]])
    assert any("whole numbers (up to 99), and taken as seconds" in note for note in notes)


def test_milliseconds_do_not_fill_the_memory() -> None:
    hour = [np.sort(RNG(i).uniform(0, 3.6e6, 20_000)) for i in range(60)]
    with pytest.raises(
        DataError, match=r"would be 4.3e\+10 counts, with 0.0056 spikes a second for each neuron: are times"
    ):
        sl.from_spike_times(hour, bin_s=0.005)


def test_times_are_put_in_order() -> None:
    times = RNG(3).uniform(0, 50, 1000)
    ordered, order = in_order(times)
    assert ordered.tolist() == sorted(times.tolist())
    assert order.furthest_s == pytest.approx(-np.diff(times).min())
    assert order.jumps_back == (np.diff(times) < 0).sum()
    one = Series.of(np.array([3.0, np.nan, 1.0]), np.array([[1.0], [2.0], [3.0]]))
    assert one.times_s.tolist() == [1.0, 3.0]
    assert one.values.ravel().tolist() == [3.0, 1.0]
    assert one.falls_back_s == 2.0


def test_a_population_faster_than_any_is_refused() -> None:
    with pytest.raises(DataError, match="which no neuron has"):
        session_notes([times / 1000 for times in trains()], observed=[[0.0, 0.1]], window_s=None, bin_s=0.001)


# -- recordings of the laboratory ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "keywords"),
    [
        ("s1_reach_50ms.npz", {}),
        ("s1_reach_50ms.npz", {"window_s": 1.0}),
        ("bci_m1_45ms.npz", {}),
        ("hc_place_animal1_25ms.npz", {"window_s": 1.0}),
        ("mc_maze_2trials_1ms.npz", {"counts": "spikes_748"}),
        ("pmd_reach_1ms.npz", {"counts": "full_spikes"}),
        ("pmd_reach_1ms.npz", {"counts": "plan_spikes", "bin_s": 0.02}),
        ("hc_place_animal1.nwb", {"bin_s": 0.025, "window_s": 2.0}),
        ("pmd_reach.nwb", {"bin_s": 0.02}),
        ("mc_maze_2trials.nwb", {"align": "move_onset_time", "before_s": 0.25, "after_s": 0.45}),
    ],
)
def test_real_recordings_get_no_note(recordings: Path, name: str, keywords: dict[str, Any]) -> None:
    data = sl.load(recordings / name, **keywords)
    assert plausibility_notes(data) == []
