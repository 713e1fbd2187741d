import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from recordings import assert_same, recordings
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


def test_neurons_stay_innermost_in_memory() -> None:
    rates = np.random.default_rng(1).random((4, 10, 3))
    data = toy(rates=rates)
    for part in (
        data,
        data[[2, 0]],
        data[1:],
        data.select(neurons=[2, 0]),
        data.select([3, 1], [2, 0]),
        data.rebin(0.04),
    ):
        assert part.counts.flags.c_contiguous
        assert part.rates is not None
        assert part.rates.flags.c_contiguous
    assert not data.select().counts.flags.owndata  # all of it is not copied


def test_counts_in_another_memory_order_are_put_right() -> None:
    counts = np.random.default_rng(0).poisson(1.0, (4, 10, 3)).astype(np.uint8)
    for other in (np.asfortranarray(counts), counts.transpose(2, 0, 1).copy().transpose(1, 2, 0)):
        for dtype in (np.uint8, np.int64):
            data = SpikeData(other.astype(dtype), bin_s=0.02, rates=np.asfortranarray(counts))
            np.testing.assert_array_equal(data.counts, counts)
            assert data.counts.flags.c_contiguous
            assert data.rates is not None
            assert data.rates.flags.c_contiguous


@quick
@given(recordings(), st.data())
def test_indexing_selects_trials(data: SpikeData, draw: st.DataObject) -> None:
    assert len(data) == data.n_trials
    trials = draw.draw(st.lists(st.integers(-len(data), len(data) - 1), min_size=1))
    mask = np.array(draw.draw(st.lists(st.booleans(), min_size=len(data), max_size=len(data)).filter(any)))
    cut = slice(draw.draw(st.integers(0, len(data) - 1)), None)
    assert_same(data[trials], data.select(trials=trials))
    assert_same(data[np.array(trials)], data.select(trials=trials))
    assert_same(data[mask], data.select(trials=np.flatnonzero(mask)))
    assert_same(data[mask.tolist()], data[pd.Series(mask)])
    assert_same(data[cut], data.select(trials=list(range(len(data)))[cut]))
    assert_same(data[trials[0]], data.select(trials=[trials[0]]))
    assert_same(data[np.int64(trials[0])], data[trials[0]])


@quick
@given(recordings())
def test_iteration_goes_over_single_trials(data: SpikeData) -> None:
    trials = list(data)
    assert [len(trial) for trial in trials] == [1] * len(data)
    for i, trial in enumerate(trials):
        assert_same(trial, data[i])
    assert [len(trial) for trial in reversed(data)] == [1] * len(data)


def test_a_recording_is_no_array() -> None:
    with pytest.raises(TypeError, match=r"data\.counts"):
        np.asarray(toy())


@quick
@given(recordings())
def test_a_list_of_trials_is_padded(data: SpikeData) -> None:
    assume(len(set(data.lengths)) > 1)

    def ragged(values: np.ndarray) -> list[np.ndarray]:
        return [trial[:length] for trial, length in zip(values, data.lengths)]

    again = SpikeData(
        ragged(data.counts),
        data.bin_s,
        signals={
            name: Signal(ragged(s.values), s.unit, s.columns) if i else ragged(s.values)
            for i, (name, s) in enumerate(data.signals.items())
        },
        rates=None if data.rates is None else ragged(data.rates),
        latents=None if data.latents is None else tuple(ragged(data.latents)),
    )
    n_bins = data.lengths.max()
    np.testing.assert_array_equal(again.counts, data.counts[:, :n_bins])
    np.testing.assert_array_equal(again.lengths, data.lengths)
    for name, signal in data.signals.items():
        np.testing.assert_array_equal(again.signals[name].values, signal.values[:, :n_bins])
    for values, others in ((again.rates, data.rates), (again.latents, data.latents)):
        np.testing.assert_array_equal(values, others if others is None else others[:, :n_bins])


def test_trials_in_a_list_may_have_equal_lengths_and_bring_their_own() -> None:
    trial = np.ones((5, 2), int)
    assert SpikeData([trial, trial], 0.01).lengths.tolist() == [5, 5]
    assert SpikeData([trial, [[1, 2]]], 0.01).lengths.tolist() == [5, 1]
    assert SpikeData([trial, [[1, 2]]], 0.01, signals={"x": [range(5), [7]]}).signals["x"].values.shape == (2, 5, 1)
    # A signal of the lengths of padded counts need not reach to the end of the padding.
    padded = SpikeData(np.ones((2, 9, 1), int), 0.01, lengths=[5, 1], signals={"x": [range(5), [7]]})
    assert padded.signals["x"].values[0, :, 0].tolist() == [0, 1, 2, 3, 4, 0, 0, 0, 0]
    for counts, parts, message in [
        ([trial, trial[:3]], {"lengths": [5, 3]}, "lengths of their own"),
        ([trial, trial[:3, :1]], {}, r"trial 1 of counts has shape \(3, 1\)"),
        ([trial, trial[:0]], {}, "length of trial 1 is 0"),
        ([trial, 3], {}, "trial 1 of counts has shape"),
        ([trial, np.full((3, 2), 0.5)], {}, "are these rates"),
    ]:
        with pytest.raises(DataError, match=message):
            SpikeData(counts, 0.01, **parts)


def test_plain_arrays_and_dictionaries_become_signals_and_tables() -> None:
    data = toy(
        signals={"hand_vel": np.ones((4, 10, 2)), "speed": np.ones((4, 10))},
        trials={"target": ["a", "b", None, "a"], "day": 3, 7: pd.Series([1, 2, 3, 4], index=[9, 8, 7, 6])},
        neurons={"area": ("M1", "M1", "PMd"), "good": pd.array([True, None, False])},
        splits={"train": [True, True, False, False], "test": np.array([2, 3])},
    )
    assert data.signals["hand_vel"].columns == ("0", "1")
    assert data.signals["speed"].values.shape == (4, 10, 1)
    assert data.trials["day"].tolist() == [3, 3, 3, 3]
    assert data.trials["7"].tolist() == [1, 2, 3, 4]
    assert data.neurons["area"].tolist() == ["M1", "M1", "PMd"]
    assert data.neurons["good"].isna().tolist() == [False, True, False]
    assert data.splits["train"].tolist() == [0, 1]


@quick
@given(recordings(), st.integers(1, 4))
def test_rebinning_keeps_the_spikes_of_complete_bins(data: SpikeData, k: int) -> None:
    assume(k <= data.lengths.max())
    wide = data.rebin(k * data.bin_s)
    kept = np.flatnonzero(data.lengths >= k)
    assert wide.lengths.tolist() == (data.lengths[kept] // k).tolist()
    for trial, length, row in zip(data.counts[kept], wide.lengths, wide.counts):
        np.testing.assert_array_equal(row.sum(axis=0), trial[: length * k].sum(axis=0))
    notes = [note for note in wide.provenance.get("notes", []) if "dropped" in note]
    assert len(notes) == (len(kept) < len(data)) + bool((data.lengths[kept] % k).any()), notes


@quick
@given(recordings())
def test_the_html_repr_is_a_table_of_what_describe_prints(data: SpikeData) -> None:
    from html.parser import HTMLParser

    from spikeloom.data.description import description

    class Text(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.tags = "", set()

        def handle_data(self, data: str) -> None:
            self.words += data

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.tags.add(tag)

    parser = Text()
    parser.feed(data._repr_html_())
    parser.close()
    assert parser.tags == {"div", "b", "table", "tr", "th", "td"}

    def letters(text: str) -> str:
        return "".join(text.split())

    assert letters(parser.words) == letters(repr(data) + description(data))


def test_the_html_repr_escapes_names() -> None:
    data = toy(signals={"<script>x</script>": np.ones((4, 10, 1))}, provenance={"notes": ["<b>guessed</b>"]})
    assert "<script>" not in data._repr_html_()
    assert "&lt;b&gt;guessed&lt;/b&gt;" in data._repr_html_()


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
def test_splits_are_a_partition_with_the_requested_shares(n_trials: int, n_conditions: int, seed: int) -> None:
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
        ({"trials": {"a": [1, 2]}}, "trials column 'a' has 2 values, but needs 4"),
        ({"trials": {"a": np.zeros((4, 2))}}, "more than one value a row"),
        ({"trials": {"a": [[1, 2]] * 4}}, "more than one value a row"),
        ({"trials": [1, 2, 3, 4]}, "trials is a list"),
        ({"neurons": {"area": ["M1"]}}, "neurons column 'area' has 1 values, but needs 3"),
        ({"signals": {"hand": np.zeros((4, 9, 2))}}, "signal 'hand' has shape"),
        ({"signals": {"hand": [np.zeros((n, 2)) for n in (10, 10, 10, 9)]}}, "has 9 bins in trial 3"),
        ({"signals": {"hand": [np.zeros((10, 2)), np.zeros((9, 3))] * 2}}, "trial 1 of a signal has shape"),
        ({"signals": {"hand": [[[1.0], [2.0, 3.0]]] + [[[1.0]]] * 3}}, "a trial that is not an array"),
        ({"splits": {"train": [True, False]}}, "mask over 2 trials"),
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
        (lambda: data.select(trials=[4]), "trial 4 does not exist"),
        (lambda: data.select(trials=[0, -5]), "trial -5 does not exist"),
        (lambda: data[4], "trial 4 does not exist, as there are only 4 trials"),
        (lambda: data[4:], "no trial of 4 is left"),
        (lambda: data[[]], "no trial of 4 is left"),
        (lambda: data[[0.5]], "not by"),
        (lambda: data["test"], "data.split"),
        (lambda: data[0, 1], "data.select"),
        (lambda: data[::0], "cannot select trials"),
        (lambda: data["a":], "cannot select trials"),
        (lambda: data[True], "not by"),
        (lambda: data[np.ones(3, bool)], "mask over 3 trials"),
        (lambda: data.rebin(0.03), "whole multiple"),
        (lambda: data.select(neurons=np.ones(2, bool)), "mask"),
        (lambda: data.assign_splits(by="target"), "no trial column"),
        (lambda: SpikeData(data.counts, bin_s=0.0), "positive width"),
        (lambda: Signal(np.zeros(3)), "axes"),
        (lambda: Signal(np.zeros((2, 3, 2)), columns=("x",)), "column names"),
    ]:
        with pytest.raises(DataError, match=message):
            attempt()
