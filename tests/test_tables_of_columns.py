"""Tables with a column for each neuron: which columns are neurons, and columns of spike times."""

import numpy as np
import pandas as pd
import pytest

import spikeloom as sl
from spikeloom.errors import DataError
from stored import notes_of

N_BINS = 400


@pytest.fixture
def counts() -> np.ndarray:
    return np.random.default_rng(0).poisson(0.4, (N_BINS, 6))


def behaviour() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    return {
        "lick": (rng.random(N_BINS) < 0.02).astype(int),
        "stage": np.arange(N_BINS) // 37 % 3,  # a state by its values alone
        "speed": rng.random(N_BINS),
    }


def write(path, names, counts, **others) -> None:
    pd.DataFrame({"time": np.arange(len(counts)) * 0.02, **dict(zip(names, counts.T)), **others}).to_csv(
        path, index=False
    )


@pytest.mark.parametrize(
    "names",
    [
        list("abcdef"),
        ["M1", "M2", "S1", "PFC", "V1", "V4"],
        ["A1", "A2", "B1", "B2", "C1", "C2"],
        ["CA1_1", "CA1_2", "CA1_3", "CA3_1", "CA3_2", "CA3_3"],
        ["tt1_c1", "tt1_c2", "tt2_c1", "tt2_c2", "tt3_c1", "tt4_c1"],
        ["ACx12u1", "ACx12u2", "ACx13u1", "ACx14u1", "ACx20u1", "ACx20u2"],
    ],
)
def test_columns_that_no_name_calls_neurons_are_a_guess_that_is_told(tmp_path, counts, names):
    write(tmp_path / "a.csv", names, counts, **behaviour())
    data = sl.load(tmp_path / "a.csv")
    np.testing.assert_array_equal(data.counts[0], counts)
    assert data.neurons["id"].tolist() == names
    assert {"lick", "stage", "speed"} <= set(data.signals)
    assert "no name says which columns are neurons" in notes_of(data)
    assert "lick, stage for signals" in notes_of(data)


@pytest.mark.parametrize("names", [[f"sig00{i}a" for i in range(6)], [f"ca1_cell_{i}" for i in range(6)]])
def test_columns_that_a_name_calls_neurons_are_no_guess(tmp_path, counts, names):
    write(tmp_path / "a.csv", names, counts, **behaviour())
    data = sl.load(tmp_path / "a.csv")
    np.testing.assert_array_equal(data.counts[0], counts)
    assert "no name says" not in notes_of(data)


def test_a_column_that_is_named_as_a_signal_is_no_neuron(tmp_path, counts):
    write(tmp_path / "a.csv", list("abcdef"), counts)
    data = sl.load(tmp_path / "a.csv", signals=("f",))
    assert (data.n_neurons, list(data.signals)) == (5, ["f"])


def test_behaviour_alone_is_no_recording(tmp_path):
    pd.DataFrame({"time": np.arange(N_BINS) * 0.02, **behaviour(), "state": 1}).to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(DataError, match=r"lick, state, stage may be behaviour.*'unit_1'"):
        sl.load(tmp_path / "a.csv")


def test_errors_speak_of_the_table(tmp_path, counts):
    names = [f"unit_{i}" for i in range(6)]
    write(tmp_path / "a.csv", names, counts / 0.3)
    with pytest.raises(DataError, match=r"'unit_0' holds .* in row \d+, but counts .* fluorescence"):
        sl.load(tmp_path / "a.csv")
    pd.DataFrame(counts, columns=names).to_csv(tmp_path / "b.csv", index=False)
    for options, words in (({}, "stored_bin_s, or call"), ({"bin_s": 0.1}, "bin_s=0.1 is the width that is wanted")):
        with pytest.raises(DataError, match="each row is a bin") as raised:
            sl.load(tmp_path / "b.csv", **options)
        assert words in str(raised.value)
        assert "neuron_id" not in str(raised.value)
    data = sl.load(tmp_path / "b.csv", stored_bin_s=0.02)
    assert "axes" not in notes_of(data)


# -- columns of spike times ------------------------------------------------------------------------------------------


@pytest.fixture
def trains() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [np.sort(rng.uniform(0, 60, rng.integers(300, 500))) for _ in range(5)]


def columns_of_times(path, scale=1.0, sep=",", names=None, **others) -> None:
    def write(trains):
        names_ = names or [f"sig{i + 1:03d}a" for i in range(len(trains))]
        columns = {**dict(zip(names_, trains)), **others}
        pd.DataFrame({name: pd.Series(scale * np.asarray(t)) for name, t in columns.items()}).to_csv(
            path, index=False, sep=sep
        )

    return write


def counted(trains, starts, bin_s, n_bins):
    edges = np.arange(n_bins + 1) * bin_s
    return np.stack([np.stack([np.histogram(t - s, edges)[0] for t in trains], axis=-1) for s in starts])


@pytest.mark.parametrize(("suffix", "sep"), [(".csv", ","), (".txt", "\t"), (".tsv", "\t"), (".csv", ";")])
def test_a_column_of_spike_times_for_each_neuron(tmp_path, trains, suffix, sep):
    path = tmp_path / f"a{suffix}"
    columns_of_times(path, sep=sep, Event001=np.arange(60), Start=np.arange(30) * 2.0, Stop=np.arange(30) * 2.0 + 1)(
        trains
    )
    data = sl.load(path, bin_s=0.1)
    np.testing.assert_array_equal(data.counts, counted(trains, np.arange(30) * 2.0, 0.1, 10))
    assert data.neurons["id"].tolist() == [f"sig{i + 1:03d}a" for i in range(5)]
    aligned = sl.load(path, bin_s=0.1, align="Start", after_s=0.5)
    np.testing.assert_array_equal(aligned.counts, counted(trains, np.arange(30) * 2.0, 0.1, 5))


def test_columns_of_spike_times_without_trials(tmp_path, trains):
    columns_of_times(tmp_path / "a.csv", names=["anna", "bert", "carl", "dora", "emil"], reward=np.arange(1, 9) * 5.0)(
        trains
    )
    data = sl.load(tmp_path / "a.csv", bin_s=0.1)
    assert data.counts.sum(axis=(0, 1)).tolist() == pytest.approx([len(t) for t in trains], abs=1)
    assert "not used, as they are no neurons by name: reward" in notes_of(data)
    around = sl.load(tmp_path / "a.csv", bin_s=0.1, align="reward", before_s=1.0, after_s=1.0)
    np.testing.assert_array_equal(around.counts, counted(trains, np.arange(1, 9) * 5.0 - 1, 0.1, 20))


def test_columns_of_spike_times_in_milliseconds(tmp_path, trains):
    columns_of_times(tmp_path / "a.csv", scale=1000.0)(trains)
    data = sl.load(tmp_path / "a.csv", bin_s=0.1)
    assert data.counts.sum(axis=(0, 1)).tolist() == pytest.approx([len(t) for t in trains], abs=1)
    assert "milliseconds" in notes_of(data)


# -- trials without a spike ------------------------------------------------------------------------------------------


@pytest.fixture
def sparse() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    trial = rng.integers(0, 60, 300)
    trial = trial[~np.isin(trial, (7, 30, 59))]
    return pd.DataFrame({"unit": rng.integers(0, 6, len(trial)), "trial": trial, "time": rng.random(len(trial))})


def by_trial(table, n_trials) -> np.ndarray:
    counts = np.zeros((n_trials, 10, 6), int)
    np.add.at(counts, (table["trial"], (table["time"] * 10).astype(int), table["unit"]), 1)
    return counts


def test_trials_in_which_no_spike_fell_are_there(tmp_path, sparse):
    sparse.to_csv(tmp_path / "a.csv", index=False)
    data = sl.load(tmp_path / "a.csv", bin_s=0.1)
    np.testing.assert_array_equal(data.counts, by_trial(sparse, 59))
    assert data.trials["trial"].tolist() == list(range(59))
    assert "2 of 59 trials (7, 30) have no row" in notes_of(data)


def test_trials_whose_silence_is_no_chance_are_told(tmp_path, sparse):
    many = pd.concat([sparse] * 20, ignore_index=True).assign(
        time=np.random.default_rng(1).random(20 * len(sparse)), unit=np.arange(20 * len(sparse)) % 6
    )
    many.to_csv(tmp_path / "a.csv", index=False)
    data = sl.load(tmp_path / "a.csv", bin_s=0.1)
    assert data.n_trials == 57
    assert "no row is of trial 7, 30" in notes_of(data)


@pytest.mark.parametrize("numbered", [True, False])
def test_a_table_of_trials_says_which_trials_there_were(tmp_path, sparse, numbered):
    sparse.to_csv(tmp_path / "a.csv", index=False)
    trials = pd.DataFrame({"start": np.arange(60) * 2.0, "stop": np.arange(60) * 2.0 + 1, "side": np.arange(60) % 2})
    if numbered:
        trials = trials.assign(trial_id=np.arange(60)).iloc[::-1]
    trials.to_csv(tmp_path / "trials.csv", index=False)
    data = sl.load(tmp_path / "a.csv", bin_s=0.1, trials=tmp_path / "trials.csv")
    expected = by_trial(sparse, 60)
    np.testing.assert_array_equal(data.counts, expected[::-1] if numbered else expected)
    assert data.trials["side"].tolist() == trials["side"].tolist()
    assert "3 of 60 trials have no spike" in notes_of(data)
    assert data.trials["recorded_from_s"].tolist() == trials["start"].tolist()
    some = sl.load(tmp_path / "a.csv", bin_s=0.1, trials=tmp_path / "trials.csv", where=("side=1",))
    assert some.n_trials == 30


def test_a_table_of_other_trials_is_refused(tmp_path, sparse):
    sparse.assign(trial=sparse["trial"] + 500).to_csv(tmp_path / "a.csv", index=False)
    trials = pd.DataFrame({"start": np.arange(60) * 2.0, "stop": np.arange(60) * 2.0 + 1})
    trials.to_csv(tmp_path / "trials.csv", index=False)
    with pytest.raises(DataError, match=r"60 rows and no column 'trial'"):
        sl.load(tmp_path / "a.csv", bin_s=0.1, trials=tmp_path / "trials.csv")
    trials.assign(trial=np.arange(60)).to_csv(tmp_path / "trials.csv", index=False)
    with pytest.raises(DataError, match=r"none of the 60 trials of the table"):
        sl.load(tmp_path / "a.csv", bin_s=0.1, trials=tmp_path / "trials.csv")
