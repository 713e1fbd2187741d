import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from recordings import recordings
from spikeloom.data.spikedata import Signal, SpikeData
from spikeloom.errors import DataError

quick = settings(max_examples=40, deadline=None)


def toy(n_trials: int = 4, n_bins: int = 10, n_neurons: int = 3, **parts: object) -> SpikeData:
    counts = np.random.default_rng(0).poisson(1.0, (n_trials, n_bins, n_neurons))
    return SpikeData(counts, bin_s=0.02, **parts)


@quick
@given(recordings())
def test_padding_holds_nothing(data: SpikeData) -> None:
    past = ~data.valid
    assert not data.counts[past].any()
    for values in (data.rates, data.latents, *(s.values for s in data.signals.values())):
        if values is not None:
            assert not values[past].any()


@quick
@given(recordings(), st.data())
def test_select_keeps_rows_together(data: SpikeData, draw: st.DataObject) -> None:
    trials = draw.draw(st.lists(st.integers(0, data.n_trials - 1), unique=True, min_size=1))
    neurons = draw.draw(st.lists(st.integers(0, data.n_neurons - 1), unique=True, min_size=1))
    part = data.select(trials, neurons)
    np.testing.assert_array_equal(part.counts, data.counts[trials][:, :, neurons])
    np.testing.assert_array_equal(part.lengths, data.lengths[trials])
    pd.testing.assert_frame_equal(part.trials, data.trials.iloc[trials].reset_index(drop=True))
    for name, indices in part.splits.items():
        # A trial is in the same split after selection as before it.
        assert {trials[i] for i in indices} == set(data.splits[name].tolist()) & set(trials)


@quick
@given(recordings(), st.integers(1, 6), st.integers(1, 6))
def test_windows_lie_within_one_trial(data: SpikeData, n_bins: int, step: int) -> None:
    assume(n_bins <= data.lengths.max())
    cut = data.window(n_bins, step)
    expected = [(t, s) for t, n in enumerate(data.lengths) for s in range(0, n - n_bins + 1, step)]
    assert list(zip(cut.trials["source_trial"], cut.trials["source_bin"])) == expected
    assert (cut.lengths == n_bins).all()
    for window, (trial, start) in zip(cut.counts, expected):
        np.testing.assert_array_equal(window, data.counts[trial, start : start + n_bins])
    for name, indices in cut.splits.items():
        assert {expected[i][0] for i in indices} <= set(data.splits[name].tolist())


@quick
@given(st.integers(10, 200), st.integers(1, 5), st.integers(0, 99))
def test_splits_are_a_partition_with_the_shares_asked_for(n_trials: int, n_conditions: int, seed: int) -> None:
    condition = np.random.default_rng(seed).integers(0, n_conditions, n_trials)
    data = SpikeData(np.zeros((n_trials, 1, 1), int), 0.01, trials=pd.DataFrame({"condition": condition}))
    split = data.assign_splits(seed=seed)
    assert sorted(np.concatenate(list(split.splits.values()))) == list(range(n_trials))
    for name, share in {"train": 0.7, "val": 0.1, "test": 0.2}.items():
        indices = split.splits.get(name, np.zeros(0, int))
        assert abs(len(indices) - share * n_trials) <= 3
        for one in range(n_conditions):
            assert abs((condition[indices] == one).sum() - share * (condition == one).sum()) <= 3
    again = data.assign_splits(seed=seed)
    assert all(np.array_equal(again.splits[k], v) for k, v in split.splits.items())


def test_splits_without_conditions_have_exact_shares() -> None:
    assert {k: len(v) for k, v in toy(100).assign_splits().splits.items()} == {"train": 70, "val": 10, "test": 20}


def test_spike_times_are_inside_their_bins() -> None:
    data = toy(lengths=[10, 8, 6, 1])
    start = np.array([0.0, 5.0, 7.0, 9.0])
    for neuron, times in enumerate(data.spike_times(start)):
        trial = np.searchsorted(start, times, side="right") - 1
        bins = ((times - start[trial]) / data.bin_s).astype(int)
        counts = np.zeros((4, 10), int)
        np.add.at(counts, (trial, bins), 1)
        np.testing.assert_array_equal(counts, data.counts[:, :, neuron])


def test_converts_to_xarray() -> None:
    rates = np.full((4, 10, 3), 0.2)
    data = toy(lengths=[10, 8, 6, 1], rates=rates, signals={"hand": Signal(np.ones((4, 10, 2)), "cm", ("x", "y"))})
    converted = data.to_xarray()
    assert dict(converted.sizes) == {"trial": 4, "time": 10, "neuron": 3, "hand_dim": 2}
    assert converted["hand"].attrs["unit"] == "cm"
    assert converted["hand"].sel(hand_dim="y").isnull().sum() == 15
    assert float(converted["rate_hz"].isel(trial=0).mean()) == pytest.approx(10.0)
    np.testing.assert_array_equal(converted["counts"], data.counts)


def test_converts_to_pynapple() -> None:
    data = toy(lengths=[10, 8, 6, 1])
    trains, epochs = data.to_pynapple(gap_s=0.5)
    assert len(epochs) == 4
    assert epochs.tot_length() == pytest.approx(data.lengths.sum() * data.bin_s)
    assert [len(trains[n]) for n in trains] == data.counts.sum(axis=(0, 1)).tolist()
    binned = trains.count(data.bin_s, ep=epochs[0])
    np.testing.assert_array_equal(np.asarray(binned), data.counts[0])


def test_one_trial_one_bin_and_a_silent_neuron_are_data() -> None:
    data = SpikeData(np.zeros((1, 1, 1), int), 0.01)
    assert data.summary()["silent_neurons"] == [0]
    assert "0 Hz" in repr(data)


def test_arrays_are_read_only() -> None:
    with pytest.raises(ValueError, match="read-only"):
        toy().counts[0, 0, 0] = 1


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"lengths": [10, 10, 11, 10]}, "length of trial 2 is 11"),
        ({"lengths": [10, 10, 0, 10]}, "length of trial 2 is 0"),
        ({"lengths": [10, 10]}, "4 trials"),
        ({"lengths": [1.5, 2, 3, 4]}, "whole numbers"),
        ({"signals": {"hand": Signal(np.zeros((4, 9, 2)))}}, "signal 'hand' has shape"),
        ({"rates": np.zeros((4, 10, 2))}, "2 neurons"),
        ({"trials": pd.DataFrame({"a": [1, 2]})}, "2 rows"),
        ({"neurons": pd.DataFrame({"a": [1, 2]})}, "2 rows"),
        ({"splits": {"train": [0, 4]}}, "names trial 4"),
        ({"splits": {"train": [0, 0]}}, "twice"),
    ],
)
def test_parts_that_do_not_fit_are_refused(parts: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        toy(**parts)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (np.zeros((2, 3)), "three axes"),
        (np.zeros((0, 3, 2)), "empty"),
        (np.array([[["a"]]]), "not numbers"),
        (np.array([[[None]]]), "object array"),
        (np.array([[[0.5]]]), "rates"),
        (np.array([[[-1]]]), "negative"),
        (np.array([[[np.inf]]]), "infinite"),
    ],
)
def test_what_is_not_counts_is_refused(counts: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        SpikeData(counts, 0.01)


def test_impossible_requests_are_refused() -> None:
    data = toy(splits={"train": [0, 1]})
    for attempt, message in [
        (lambda: data.split("test"), "splits: train"),
        (lambda: data.window(11), "longest trial"),
        (lambda: data.window(0), "at least 1"),
        (lambda: data.select(trials=[4]), "only 4 trials"),
        (lambda: data.select(neurons=np.ones(2, bool)), "mask"),
        (lambda: data.assign_splits(by="target"), "no trial column"),
        (lambda: SpikeData(data.counts, bin_s=0.0), "positive width"),
        (lambda: Signal(np.zeros(3)), "axes"),
        (lambda: Signal(np.zeros((2, 3, 2)), columns=("x",)), "column names"),
    ]:
        with pytest.raises(DataError, match=message):
            attempt()


def test_windows_that_share_bins_are_not_split_at_random():
    from spikeloom.data.sources import with_default_splits

    session = SpikeData(np.ones((1, 200, 3), int), bin_s=0.01)
    assert set(with_default_splits(session.window(20)).splits) == {"train", "val", "test"}
    with pytest.raises(DataError, match="windows share bins"):
        with_default_splits(session.window(20, step=5))
