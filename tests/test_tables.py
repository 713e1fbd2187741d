"""Long tables of spikes and wide tables of counts, as spreadsheets, pandas, R and numpy write them."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import spikeloom as sl
from spikeloom.data.session.clocks import in_seconds
from spikeloom.errors import DataError
from stored import notes_of

BIN_S = 0.1


def long(n: int = 400, seconds: float = 30.0) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    units = rng.choice([3, 7, 12], n)
    return pd.DataFrame({"unit": units, "time_s": np.round(rng.uniform(0.2, seconds, n), 4)})


def expected(table: pd.DataFrame, bin_s: float = BIN_S) -> np.ndarray:
    """The oracle: spikes of each unit in bins that begin with that of the first spike."""
    times, units = table["time_s"].to_numpy(), table["unit"].to_numpy()
    bins = np.floor(times / bin_s + 1e-7).astype(int)
    bins -= bins.min()
    counts = np.zeros((bins.max() + 1, len(set(units))), int)
    np.add.at(counts, (bins, np.searchsorted(np.unique(units), units)), 1)
    return counts


@pytest.mark.parametrize("names", [("unit", "time_s"), ("Neuron ID", "Spike Time (s)"), ("clusterId", "spikeTimes"),
                                   ("cell", "t"), ("channel", "timestamp"), ("id", "seconds")])  # fmt: skip
@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet"])
def test_a_row_is_a_spike(tmp_path, names, ending):
    path, table = tmp_path / f"spikes.{ending}", long()
    renamed = table.rename(columns=dict(zip(("unit", "time_s"), names)))[list(names)[::-1]]
    if ending == "parquet":
        renamed.to_parquet(path)
    else:
        renamed.to_csv(path, index=False, sep="," if ending == "csv" else "\t")
    data = sl.load(path, bin_s=BIN_S)
    np.testing.assert_array_equal(data.counts[0], expected(table))
    assert data.neurons["id"].tolist() == [3, 7, 12]


def rows(table: pd.DataFrame, delimiter: str = ",", decimal: str = ".") -> str:
    return "".join(f"{u}{delimiter}{t}".replace(".", decimal) + "\n" for u, t in table.to_numpy(dtype=object))


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("unit;time_s\n" + rows(long(), ";", ","), "utf-8"),
        ("unit\ttime_s\n" + rows(long(), "\t", ","), "utf-8"),
        ("unit,time_s\n" + rows(long()), "utf-8-sig"),
        ("unit\ttime_s\n" + rows(long(), "\t"), "utf-16"),
        ("# of a rat\n# sorted by hand\nunit,time_s\n" + rows(long()), "utf-8"),
        ("# unit time_s\n" + rows(long(), " "), "utf-8"),  # numpy.savetxt
        ("unit|time_s\r\n" + rows(long(), "|").replace("\n", "\r\n"), "utf-8"),
        ('"unit","time_s"\n' + rows(long()), "utf-8"),
        ("unit,time_s,µ\n" + rows(long()).replace("\n", ",1\n"), "cp1252"),
        ("unit  time_s\n" + rows(long(), "   "), "utf-8"),
        ("unit,time_s,\n" + rows(long()).replace("\n", ",\n"), "utf-8"),
        ("unit,time_ms\n" + rows(long().assign(time_s=np.round(long()["time_s"] * 1e3, 1))), "utf-8"),
    ],
)
def test_text_is_read_however_it_is_written(tmp_path, text, encoding):
    path = tmp_path / "spikes.csv"
    path.write_bytes(text.encode(encoding))
    np.testing.assert_array_equal(sl.load(path, bin_s=BIN_S).counts[0], expected(long()))


def test_rows_without_a_unit_or_time_are_left_out_and_told(tmp_path):
    table = long()
    broken = table.astype(float)
    broken.loc[[5, 9], "time_s"] = np.nan
    broken.loc[7, "unit"] = np.nan
    broken.to_csv(tmp_path / "a.csv", index=False)
    data = sl.load(tmp_path / "a.csv", bin_s=BIN_S)
    np.testing.assert_array_equal(data.counts[0], expected(table.drop(index=[5, 7, 9])))
    assert "3 of 400 rows were left out" in notes_of(data)
    assert data.neurons["id"].tolist() == [3, 7, 12]


@pytest.mark.parametrize("name", ["CellNumber", "neuron_no", "Unit Nr", "cluster_idx", "cellNum"])
def test_units_are_numbered_under_many_names(tmp_path, name):
    times, units = np.arange(1, 400) * 0.05, np.arange(1, 400) % 4
    table = pd.DataFrame({name: units, "Timestamp (us)": np.rint(times * 1e6).astype(int)})
    table.to_csv(tmp_path / "a.csv", index=False)
    data = sl.load(tmp_path / "a.csv", bin_s=0.1)
    assert data.neurons["id"].tolist() == [0, 1, 2, 3]
    assert data.counts.sum(axis=(0, 1)).tolist() == pytest.approx(np.bincount(units).tolist(), abs=1)


@pytest.mark.parametrize(("channel", "sort"), [("chan", "sortcode"), ("Channel", "SortCode"), ("electrode", "sort_id")])
def test_sort_codes_are_units_of_their_channel(tmp_path, channel, sort):
    table = long()
    channels, codes = table["unit"].map({3: 1, 7: 1, 12: 2}), table["unit"].map({3: 1, 7: 2, 12: 2})
    pd.DataFrame({channel: channels, sort: codes, "time_s": table["time_s"]}).to_csv(tmp_path / "a.csv", index=False)
    data = sl.load(tmp_path / "a.csv", bin_s=BIN_S)
    assert data.counts.sum(axis=(0, 1)).tolist() == table.groupby("unit").size().tolist()


def test_further_columns_are_those_of_neurons(tmp_path):
    table = long()
    area = table["unit"].map({3: "V1", 7: "CA1", 12: "V1"})
    table.assign(area=area, quality=area.map({"V1": "good", "CA1": "mua"}), amplitude=table["time_s"] * 2).to_csv(
        tmp_path / "a.csv", index=False
    )
    data = sl.load(tmp_path / "a.csv", bin_s=BIN_S)
    assert data.neurons["area"].tolist() == ["V1", "CA1", "V1"]
    assert "differ from spike to spike: amplitude" in notes_of(data)
    assert sl.load(tmp_path / "a.csv", quality="good").neurons["id"].tolist() == [3, 12]
    assert sl.load(tmp_path / "a.csv", neurons="area=CA1").neurons["id"].tolist() == [7]


def test_trials_of_a_file_and_events(tmp_path):
    table = long()
    table.to_csv(tmp_path / "a.csv", index=False)
    events = pd.DataFrame({"go": [3.0, 8.0, 20.0], "side": ["l", "r", "l"]})
    events.to_csv(tmp_path / "trials.csv", sep=";", index=False)
    data = sl.load(
        tmp_path / "a.csv", bin_s=BIN_S, trials=tmp_path / "trials.csv", align="go", before_s=0.5, after_s=0.5
    )
    for trial, go in enumerate([3.0, 8.0, 20.0]):
        edges = go - 0.5 + np.arange(11) * BIN_S
        for neuron, unit in enumerate([3, 7, 12]):
            times = table["time_s"][table["unit"] == unit]
            np.testing.assert_array_equal(data.counts[trial, :, neuron], np.histogram(times, edges - 1e-9)[0])


def test_times_that_begin_anew_in_each_trial(tmp_path):
    rng = np.random.default_rng(2)
    n = 3000
    table = pd.DataFrame({"trial": rng.integers(10, 22, n), "unit": rng.integers(0, 5, n)})
    table["time"] = np.round(rng.uniform(0, 1.0, n), 4)
    table["cue"] = table["trial"] * 0.01
    table.to_csv(tmp_path / "a.csv", index=False)
    data = sl.load(tmp_path / "a.csv", bin_s=BIN_S)
    counts = np.zeros((12, 10, 5), int)
    np.add.at(counts, (table["trial"] - 10, np.floor(table["time"] / BIN_S + 1e-7).astype(int), table["unit"]), 1)
    np.testing.assert_array_equal(data.counts, counts)
    assert data.trials["trial"].tolist() == list(range(10, 22))
    assert "counted from the start of each trial" in notes_of(data)
    assert "start_time" not in data.trials
    aligned = sl.load(tmp_path / "a.csv", bin_s=0.05, align="cue", before_s=0.0, after_s=0.5)
    for trial in range(12):
        own = table[table["trial"] == trial + 10]
        since = own["time"] - (trial + 10) * 0.01
        inside = (since >= -1e-9) & (since < 0.5 - 1e-9)
        assert aligned.counts[trial].sum() == inside.sum()
    np.testing.assert_allclose(aligned.trials["cue"], np.arange(10, 22) * 0.01)
    with pytest.raises(DataError, match=r"there is no file .* with trials"):
        sl.load(tmp_path / "a.csv", trials=tmp_path / "t.csv")


def test_trials_on_one_clock_last_from_their_first_to_their_last_spike(tmp_path):
    rng = np.random.default_rng(2)
    n = 3000
    table = pd.DataFrame({"trial": rng.integers(0, 12, n), "unit": rng.integers(0, 5, n)})
    table["time"] = np.round(table["trial"] * 3 + rng.uniform(0, 1.0, n), 4)
    table.to_csv(tmp_path / "a.csv", index=False)
    data = sl.load(tmp_path / "a.csv", bin_s=BIN_S)
    assert data.n_trials == 12
    assert data.counts.sum() == n
    np.testing.assert_allclose(data.trials["recorded_from_s"], table.groupby("trial")["time"].min())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0,0.28\n3,0.35\n", r"no header: its first line is '0,0.28'; write one .* 'unit,time_s'"),
        ("unit,depth\n1,2.5\n2,3.5\n", "but no time .* call the column of spike times"),
        ("time_s,area\n0.5,V1\n0.7,CA1\n", "neither a unit and a time"),
        ("unit,time_samples\n1,20\n2,30\n1,40\n", "'time_samples' counts samples"),
        ("unit,time_s\n1,abc\n2,0.5\n", "'time_s' holds 'abc' in row 0"),
        ("unit,time_s\n1,2\n1,2,3,4\n", "as many values in every row"),
        ("unit,time_s\n", "has no rows"),
        ("unit,time_s\n,\n,\n", "no row has both"),
        ("# nothing\n", "holds no table"),
        ("time\n0.5\n0.7\n", "no column but 'time'"),
        ("a\0b", "not a text file"),
        ("unit,time,count\n1,0.0,2\n2,0.1,1\n", "write the zeros, too"),
    ],
)
def test_what_is_wrong_in_a_table_is_one_sentence(tmp_path, text, message):
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        sl.load(path)
    assert "\n" not in str(caught.value)
    assert "a.csv" in str(caught.value)


def test_parquet_needs_pyarrow(tmp_path, monkeypatch):
    import sys

    long().to_parquet(tmp_path / "a.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(DataError, match=r"needs pyarrow; install it with: pip install 'spikeloom\[tables\]'"):
        sl.load(tmp_path / "a.parquet")


def test_units_of_time_are_guessed_only_where_rates_tell():
    rng = np.random.default_rng(0)
    times = np.sort(rng.uniform(0, 600, 12_000))  # 4 neurons at 5 Hz
    for scale, factor in ((1.0, 1.0), (1e3, 1e-3)):
        notes: list[str] = []
        assert in_seconds(times * scale, "times", 4, 600 * scale, notes)[0] == factor
        assert "taken as" in notes[0]
    with pytest.raises(DataError, match=r"samples\?"):
        in_seconds(times * 30_000, "times", 4, 600 * 30_000.0, [])
    assert in_seconds(times * 1e3, "times_ms", 4, 6e5, [])[0] == 1e-3
    assert in_seconds(times * 1e-3, "time_s", 4, 0.6, [])[0] == 1.0


# -- wide ----------------------------------------------------------------------------------------------------------


def wide(n_bins: int = 120, n_neurons: int = 6, bin_s: float = 0.02):
    counts = np.random.default_rng(3).poisson(0.5, (n_bins, n_neurons))
    table = pd.DataFrame(counts, columns=[f"n{i}" for i in range(n_neurons)])
    return counts, table.assign(time=np.arange(n_bins) * bin_s)


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet"])
def test_a_row_is_a_bin(tmp_path, ending):
    counts, table = wide()
    table = table.assign(speed=np.linspace(0, 1, 120) + 0.001)
    path = tmp_path / f"counts.{ending}"
    if ending == "parquet":
        table.to_parquet(path)
    else:
        table.to_csv(path, index=False, sep="," if ending == "csv" else "\t")
    data = sl.load(path)
    assert data.bin_s == 0.02
    np.testing.assert_array_equal(data.counts[0], counts)
    np.testing.assert_allclose(data.signals["speed"].values[0, :, 0], table["speed"], rtol=1e-6)
    assert data.neurons["id"].tolist() == [f"n{i}" for i in range(6)]


def test_trials_of_a_wide_table_keep_their_lengths_columns_and_time(tmp_path):
    counts, table = wide()
    lengths = [30, 50, 40]
    trial = np.repeat([4, 5, 9], lengths)
    table = table.assign(
        time=table["time"] + trial, trial=trial, target=np.repeat(["a", "b", "a"], lengths), angle=trial * 0.5
    )
    table.assign(hand=np.sin(np.arange(120))).to_csv(tmp_path / "a.csv", index=False)
    data = sl.load(tmp_path / "a.csv", condition="target")
    assert data.lengths.tolist() == lengths
    for row, (start, n) in enumerate(zip([0, 30, 80], lengths)):
        np.testing.assert_array_equal(data.counts[row, :n], counts[start : start + n])
        np.testing.assert_allclose(data.signals["hand"].values[row, :n, 0], np.sin(start + np.arange(n)), atol=1e-6)
    assert data.trials["trial"].tolist() == [4, 5, 9]
    assert data.trials["angle"].tolist() == [2.0, 2.5, 4.5]
    assert data.trials["condition"].tolist() == ["a", "b", "a"]
    np.testing.assert_allclose(data.trials["recorded_from_s"], [4.0, 5.6, 10.6])


def test_gaps_end_a_piece_of_the_recording(tmp_path):
    counts, table = wide()
    table.loc[70:, "time"] += 5.0
    table.to_csv(tmp_path / "a.csv", index=False)
    data = sl.load(tmp_path / "a.csv")
    assert sorted(data.lengths.tolist()) == [50, 70]
    np.testing.assert_array_equal(data.counts[0, :70], counts[:70])


@pytest.mark.parametrize("index", ["rows", "time", "none"])
def test_tables_as_pandas_writes_them(tmp_path, index):
    counts, table = wide()
    plain = table.drop(columns="time").rename(columns=lambda name: name[1:])
    if index == "time":
        plain.set_index(np.round(table["time"], 6)).rename_axis(None).to_csv(tmp_path / "a.csv")
        data = sl.load(tmp_path / "a.csv")
    else:
        plain.to_csv(tmp_path / "a.csv", index=index == "rows")
        data = sl.load(tmp_path / "a.csv", stored_bin_s=0.02, bin_s=0.02)
    np.testing.assert_array_equal(data.counts[0], counts)
    assert data.bin_s == 0.02
    assert data.neurons["id"].tolist() == list(range(6))


def test_a_row_may_be_one_unit_in_one_bin(tmp_path):
    counts, table = wide(40, 3)
    tidy = table.melt("time", var_name="unit", value_name="count").sample(frac=1, random_state=0)
    tidy.to_csv(tmp_path / "a.csv", index=False)
    np.testing.assert_array_equal(sl.load(tmp_path / "a.csv").counts[0], counts)


def test_rounded_times_give_the_width_that_was_meant(tmp_path):
    counts, table = wide()
    table.assign(time=np.round(np.arange(120) / 30, 3)).to_csv(tmp_path / "a.csv", index=False)
    data = sl.load(tmp_path / "a.csv")
    assert data.bin_s == 1 / 30
    np.testing.assert_array_equal(data.counts[0], counts)
    table.assign(time=pd.to_timedelta(np.arange(120) * 20, unit="ms")).to_parquet(tmp_path / "a.parquet")
    assert sl.load(tmp_path / "a.parquet").bin_s == 0.02


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"time": lambda n: np.arange(n)}, "numbers bins, and their width is not in the table"),
        ({"time": lambda n: np.cumsum(np.random.default_rng(0).uniform(0.01, 1.0, n))}, "has steps of"),
        ({"time": lambda n: np.arange(n) * 2.0}, "seconds or milliseconds"),
        ({"n0": lambda n: np.linspace(0, 1, n)}, "are these rates"),
        ({"n0": lambda n: -np.ones(n)}, "negative"),
    ],
)
def test_what_is_wrong_in_a_wide_table_is_one_sentence(tmp_path, change, message):
    _, table = wide()
    table.assign(**{name: make(len(table)) for name, make in change.items()}).to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(DataError, match=message):
        sl.load(tmp_path / "a.csv")


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4999)), min_size=4, max_size=60))
def test_no_spike_is_lost_or_made(tmp_path_factory, pairs):
    path = tmp_path_factory.mktemp("long") / "a.csv"
    table = pd.DataFrame(pairs, columns=["unit", "time_s"]).assign(time_s=lambda t: t["time_s"] / 1000)
    table.to_csv(path, index=False)
    data = sl.load(path, bin_s=BIN_S)
    by_unit = table.groupby("unit").size()
    assert data.counts.sum(axis=(0, 1)).tolist() == by_unit.tolist()


# -- pynapple ------------------------------------------------------------------------------------------------------


def test_groups_that_pynapple_saved(tmp_path):
    nap = pytest.importorskip("pynapple")
    rng = np.random.default_rng(0)
    times = {unit: np.sort(rng.uniform(0, 30, 200)) for unit in (4, 2, 9)}
    support = nap.IntervalSet(start=[1.0, 20.0], end=[11.0, 28.0])
    group = nap.TsGroup({unit: nap.Ts(t) for unit, t in times.items()}, time_support=support, area=["a", "b", "c"])
    group.save(str(tmp_path / "group.npz"))
    data = sl.load(tmp_path / "group.npz", bin_s=BIN_S)
    assert data.lengths.tolist() == [100, 80]
    for trial, (start, n) in enumerate([(1.0, 100), (20.0, 80)]):
        for neuron, unit in enumerate([2, 4, 9]):
            edges = start + np.arange(n + 1) * BIN_S
            np.testing.assert_array_equal(data.counts[trial, :n, neuron], np.histogram(times[unit], edges)[0])
    assert data.neurons["id"].tolist() == [2, 4, 9]
    group.count(BIN_S).save(str(tmp_path / "counts.npz"))
    counted = sl.load(tmp_path / "counts.npz")
    np.testing.assert_array_equal(counted.counts, data.counts)
    support.save(str(tmp_path / "epochs.npz"))
    with pytest.raises(DataError, match=r"IntervalSet, which has no spike times.* as trials"):
        sl.load(tmp_path / "epochs.npz")
    data = sl.load(tmp_path / "group.npz", bin_s=BIN_S, trials=tmp_path / "epochs.npz")
    assert data.lengths.tolist() == [100, 80]


def test_metadata_that_pynapple_pickled_are_never_loaded(tmp_path):
    np.savez(
        tmp_path / "g.npz", type=np.array(["TsGroup"]), t=np.arange(20) / 10, index=np.arange(20) % 2,
        keys=np.array([0, 1]), start=np.array([0.0]), end=np.array([2.0]), _metadata=np.array([{}], dtype=object),
    )  # fmt: skip
    data = sl.load(tmp_path / "g.npz", bin_s=BIN_S)
    assert data.counts.sum() == 20
    assert "'_metadata' is left out" in notes_of(data)


@pytest.mark.parametrize(
    ("columns", "factor"),
    [
        (("onset", "duration"), (1, 1)),
        (("onset", "duration_ms"), (1, 1000)),
        (("onset_ms", "duration_ms"), (1000, 1000)),
    ],
)
def test_trials_of_an_onset_and_a_duration(tmp_path, columns, factor):
    """As BIDS has them."""
    table = long()
    table.to_csv(tmp_path / "a.csv", index=False)
    starts = 1 + 3.0 * np.arange(8)
    values = (starts * factor[0], np.full(8, 1.5) * factor[1])
    pd.DataFrame(dict(zip(columns, values))).to_csv(tmp_path / "trials.tsv", sep="\t", index=False)
    data = sl.load(tmp_path / "a.csv", bin_s=BIN_S, trials=tmp_path / "trials.tsv")
    times = table["time_s"].to_numpy()
    within = [((times >= start) & (times < start + 1.5)).sum() for start in starts]
    assert data.counts.sum((1, 2)).tolist() == within
    assert data.n_bins == round(1.5 / BIN_S)


def test_durations_of_an_open_unit_are_not_taken(tmp_path):
    """Starts in milliseconds say nothing of the unit of a bare "duration"."""
    long().to_csv(tmp_path / "a.csv", index=False)
    pd.DataFrame({"onset_ms": [1000.0, 4000.0], "duration": [1500.0, 1500.0]}).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(DataError, match="stop_time"):
        sl.load(tmp_path / "a.csv", bin_s=BIN_S, trials=tmp_path / "t.csv")


def test_durations_as_of_milliseconds_are_refused(tmp_path):
    long().to_csv(tmp_path / "a.csv", index=False)
    table = pd.DataFrame({"onset": 1 + 3.0 * np.arange(8), "duration": 1500})
    table.to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(DataError, match=r"would last 1500 s by 'duration', but start 3 s apart.*call it 'duration_ms'"):
        sl.load(tmp_path / "a.csv", bin_s=BIN_S, trials=tmp_path / "t.csv")


def test_trials_that_no_time_of_is_recorded(tmp_path):
    long().to_csv(tmp_path / "a.csv", index=False)
    table = pd.DataFrame({"start": 1000 + 3000.0 * np.arange(8), "stop": 2500 + 3000.0 * np.arange(8)})
    table.to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(
        DataError, match="all 8 were not observed, as they start from 1000 to 22000 s, but what is recorded lasts from"
    ):
        sl.load(tmp_path / "a.csv", bin_s=BIN_S, trials=tmp_path / "t.csv")
