"""Sessions of spike times: what is observed, what is cut, and where a spike is counted."""

import numpy as np
import pytest

from spikeloom import from_spike_times
from spikeloom.data.options import LoadOptions
from spikeloom.errors import DataError
from stored import notes_of


def counted(times, starts, n_bins: int, bin_s: float) -> np.ndarray:
    """The oracle: a histogram of each neuron in each trial."""
    edges = np.arange(n_bins + 1) * bin_s
    return np.stack([np.stack([np.histogram(t, edges + s)[0] for t in times], axis=-1) for s in starts])


def test_counts_are_those_of_a_histogram():
    rng = np.random.default_rng(0)
    times = [rng.uniform(0, 20, 500) for _ in range(3)]  # in no order
    starts = [1.0, 4.5, 9.25]
    data = from_spike_times(times, bin_s=0.05, trials=[[s, s + 1] for s in starts])
    np.testing.assert_array_equal(data.counts, counted(times, starts, 20, 0.05))
    events = from_spike_times(times, bin_s=0.05, align=[s + 0.3 for s in starts], before_s=0.3, after_s=0.7)
    np.testing.assert_array_equal(events.counts, data.counts)


def test_a_session_without_a_word_about_its_time_lasts_from_the_first_to_the_last_spike():
    rng = np.random.default_rng(0)
    late = [np.sort(rng.uniform(5000, 5060, 600))]
    data = from_spike_times(late, bin_s=0.01, window_s=1.0)
    assert data.n_trials in (59, 60)
    assert data.counts.sum() > 580
    assert data.counts.sum(axis=(1, 2)).min() > 0
    assert "from the first to the last spike (5000." in notes_of(data)
    unix = from_spike_times([1.69e9 + late[0]], bin_s=0.005, window_s=1.0)
    assert unix.n_trials in (59, 60)


def test_a_pause_of_the_whole_population_is_no_recorded_time():
    rng = np.random.default_rng(0)
    times = [np.sort(np.r_[rng.uniform(0, 30, 300), rng.uniform(500, 530, 300)]) for _ in range(3)]
    data = from_spike_times(times, bin_s=0.01)
    assert data.n_trials == 2
    assert data.lengths.max() <= 3000
    assert data.counts.sum() == 1800
    assert "without a pause of up to 47" in notes_of(data)
    # A silence that may be chance stays.
    sparse = from_spike_times([np.arange(0.0, 100.0, 12.0)], bin_s=0.1)
    assert sparse.n_trials == 1


def test_trials_behind_the_last_spike_are_not_zeros():
    rng = np.random.default_rng(0)
    times = [np.sort(rng.uniform(0, 10, 300)) for _ in range(3)]
    trials = {"start_time": 2.0 * np.arange(10), "stop_time": 2.0 * np.arange(10) + 1, "go": 2.0 * np.arange(10) + 0.5}
    for keywords in ({}, {"align": "go", "before_s": 0.2, "after_s": 0.3}):
        data = from_spike_times(times, bin_s=0.02, trials=trials, **keywords)
        assert data.n_trials == 5
        assert data.counts.sum(axis=(1, 2)).min() > 0
        assert "5 of 10 trials were dropped" in notes_of(data)
        assert "last spike" in notes_of(data)


def test_few_spikes_do_not_make_a_trial_unrecorded():
    """With three spikes in ten seconds, a silent trial at the end is no news."""
    data = from_spike_times([[1.0, 2.0, 3.0]], bin_s=0.1, trials=[[0, 4], [4, 8], [8, 12]])
    assert data.n_trials == 3
    assert not notes_of(data)


def test_a_border_belongs_to_the_later_bin_on_any_clock():
    rng = np.random.default_rng(0)
    k = np.sort(rng.integers(0, 4000, 900))
    for clock in (0.0, 3600.0, 1.69e9):
        starts = clock + 2.0 * np.arange(10)
        data = from_spike_times([clock + k * 0.005], bin_s=0.005, trials=np.column_stack([starts, starts + 1]))
        expected = np.zeros((10, 200), int)
        for i in range(10):
            np.add.at(expected[i], k[(k >= 400 * i) & (k < 400 * i + 200)] - 400 * i, 1)
        np.testing.assert_array_equal(data.counts[..., 0], expected)


def test_neurons_that_are_left_out_neither_refuse_nor_shorten():
    rng = np.random.default_rng(0)
    times = [np.sort(rng.uniform(0, 20, 300)), np.r_[1.0, np.nan], np.array([np.inf])]
    keep = LoadOptions(neurons="good")
    data = from_spike_times(times, bin_s=0.1, trials=[[0, 1], [5, 6]], neurons={"good": [1, 0, 0]}, options=keep)
    assert data.counts.shape == (2, 10, 1)
    with pytest.raises(DataError, match="neuron 1 hold nan at place 1"):
        from_spike_times(times, bin_s=0.1, trials=[[0, 1]])


def test_trials_that_are_left_out_do_not_refuse():
    times = [np.linspace(0, 20, 200)]
    trials = {"start_time": [0.0, 2.0, 4.0], "stop_time": [1.0, 0.0, 5.0], "ok": [1, 0, 1]}
    data = from_spike_times(times, bin_s=0.1, trials=trials, options=LoadOptions(where=("ok=1",)))
    assert data.n_trials == 2
    with pytest.raises(DataError, match=r"trial 1 stops before it starts: .* leave the trial out with where"):
        from_spike_times(times, bin_s=0.1, trials=trials)


def test_observed_time_ends_trials():
    times = [np.linspace(0, 20, 2000, endpoint=False)]
    data = from_spike_times(times, bin_s=0.1, trials=[[0, 2], [4, 6], [8, 10]], observed=[[0, 5], [8, 20]])
    assert data.lengths.tolist() == [20, 10, 20]
    assert "1 of 3 trials end early, where the observed time does" in notes_of(data)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"trials": [1.0, 2.0]}, "must be a table with start_time and stop_time"),
        ({"trials": {"start_time": [1.0], "stop_time": [2.0, 3.0]}}, "differ in length"),
        ({"align": "go", "after_s": 1.0}, "no trials table to align to"),
        ({"align": [1.0, 2.0], "trials": [[0, 1]], "after_s": 1.0}, "one for each of the 1 trials"),
        ({"trials": {"go": [1.0]}}, "no start_time and no stop_time"),
        ({"signals": {"x": np.zeros(3)}}, "must be a pair"),
        ({"signals": {"x": (np.zeros(3), np.zeros(4))}}, r"3,.* times and .*4"),
        ({"neurons": {"area": ["a", "b"]}}, "2 values, but needs 1"),
    ],
)
def test_what_does_not_fit_ends_in_one_sentence(keywords, message):
    with pytest.raises(DataError, match=message):
        from_spike_times([np.linspace(0, 20, 200)], bin_s=0.1, **keywords)
