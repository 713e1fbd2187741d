"""Spike times in lists, and trials in groups: npz, HDF5 and MATLAB files that are no arrays of counts."""

import h5py
import numpy as np
import pytest
import scipy.io

import spikeloom as sl
from spikeloom.errors import DataError
from stored import notes_of, one_by_one, write

N_TRIALS, BIN_S = 30, 0.1


@pytest.fixture
def trains() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [np.sort(rng.uniform(0, 2 * N_TRIALS, rng.integers(300, 500))) for _ in range(5)]


@pytest.fixture
def expected(trains) -> np.ndarray:
    """(trial, time, neuron) counts of trials of a second every two."""
    edges = np.linspace(0, 1, 11)
    return np.stack([np.stack([np.histogram(t - 2 * i, edges)[0] for t in trains], axis=-1) for i in range(N_TRIALS)])


def trials() -> dict[str, np.ndarray]:
    starts = np.arange(N_TRIALS) * 2.0
    return {"trial_start": starts, "trial_end": starts + 1, "side": np.arange(N_TRIALS) % 2}


@pytest.mark.parametrize("ending", [".npz", ".h5", ".mat"])
class TestLists:
    @pytest.mark.parametrize(
        "names", [("spike_times", "spike_clusters"), ("times", "units"), ("timestamps", "unit_ids")]
    )
    def test_times_and_the_unit_of_each(self, tmp_path, trains, expected, ending, names):
        path = tmp_path / f"a{ending}"
        times, units = one_by_one(trains)
        write(path, **{names[0]: times, names[1]: units + 40}, **trials(), extra=np.zeros((7, 3)))
        data = sl.load(path, bin_s=BIN_S)
        np.testing.assert_array_equal(data.counts, expected)
        assert data.neurons["id"].tolist() == [40, 41, 42, 43, 44]
        assert data.trials["side"].tolist() == trials()["side"].tolist()
        assert "not used: extra" in notes_of(data)
        aligned = sl.load(path, bin_s=BIN_S, align="trial_start", after_s=0.5)
        np.testing.assert_array_equal(aligned.counts, expected[:, :5])

    def test_samples_and_their_rate(self, tmp_path, trains, ending):
        times, units = one_by_one([np.rint(t * 30_000) / 30_000 for t in trains])
        path = tmp_path / f"a{ending}"
        write(path, spike_times=np.rint(times * 30_000).astype(np.int64), spike_clusters=units, fs=30_000.0)
        data = sl.load(path, bin_s=BIN_S)
        assert data.counts.sum(axis=(0, 1)).tolist() == pytest.approx([len(t) for t in trains], abs=1)
        assert data.lengths.sum() * BIN_S == pytest.approx(60, abs=0.3)

    def test_a_list_of_units_describes_them(self, tmp_path, trains, expected, ending):
        times, units = one_by_one(trains)
        listed = np.array([4, 3, 2, 1, 0, 9])
        path = tmp_path / f"a{ending}"
        write(path, st=times, clu=units, cids=listed, cgs=np.array([2, 2, 1, 0, 2, 2]), depth=listed * 10.0, **trials())
        data = sl.load(path, bin_s=BIN_S)
        np.testing.assert_array_equal(data.counts, expected[:, :, [0, 2, 3, 4]])  # without noise
        assert data.neurons["group"].tolist() == ["good", "mua", "good", "good"]
        assert data.neurons["depth"].tolist() == [0.0, 20.0, 30.0, 40.0]
        good = sl.load(path, bin_s=BIN_S, quality="good")
        np.testing.assert_array_equal(good.counts, expected[:, :, [0, 3, 4]])

    def test_units_that_are_numbered_anew_on_each_electrode(self, tmp_path, trains, expected, ending):
        times, units = one_by_one(trains)
        noise = np.arange(0.5, 60, 7.0)
        everything, order = np.r_[times, noise], np.argsort(np.r_[times, noise])
        path = tmp_path / f"a{ending}"
        electrode, unit = np.r_[units // 2 + 1, noise * 0 + 2], np.r_[units % 2, noise * 0 + 255]
        write(path, TimeStamp=everything[order], Electrode=electrode[order].astype(int), Unit=unit[order].astype(int),
              **trials())  # fmt: skip
        data = sl.load(path, bin_s=BIN_S)
        np.testing.assert_array_equal(data.counts, expected)
        assert data.neurons["Electrode"].tolist() == [1, 1, 2, 2, 3]
        assert "9 events of unit 255" in notes_of(data)

    @pytest.mark.parametrize(("channel", "unit"), [("chan", "sortcode"), ("Channel", "SortCode"), ("wire", "neuron")])
    def test_sort_codes_of_channels(self, tmp_path, trains, expected, ending, channel, unit):
        times, units = one_by_one(trains)
        path = tmp_path / f"a{ending}"
        write(path, spike_times=times, **{channel: units // 2 + 1, unit: units % 2 + 1}, **trials())
        np.testing.assert_array_equal(sl.load(path, bin_s=BIN_S).counts, expected)

    def test_unsorted_spikes_on_some_electrodes_only(self, tmp_path, trains, expected, ending):
        times, units = one_by_one(trains)
        electrode, unit = np.array([1, 1, 2, 3, 3])[units], np.array([0, 1, 1, 0, 1])[units]
        path = tmp_path / f"a{ending}"
        write(path, spike_times=times, electrode=electrode, unit=unit, **trials())
        np.testing.assert_array_equal(sl.load(path, bin_s=BIN_S).counts, expected)

    def test_times_and_where_those_of_each_unit_end(self, tmp_path, trains, expected, ending):
        path = tmp_path / f"a{ending}"
        ends = np.cumsum(list(map(len, trains)))
        write(path, spike_times=np.concatenate(trains), spike_times_index=ends, unit_ids=np.arange(5) + 7, **trials())
        data = sl.load(path, bin_s=BIN_S)
        np.testing.assert_array_equal(data.counts, expected)
        assert data.neurons["id"].tolist() == [7, 8, 9, 10, 11]
        write(path, spike_times=np.concatenate(trains), spike_times_index=ends[::-1].copy(), **trials())
        with pytest.raises(DataError, match="'spike_times_index' should say where"):
            sl.load(path, bin_s=BIN_S)

    @pytest.mark.parametrize("name", ["sig{:03d}a", "unit_{}", "arr_{}", "SPK_SPKC{:02d}a"])
    def test_a_vector_for_each_unit(self, tmp_path, trains, expected, ending, name):
        path = tmp_path / f"a{ending}"
        vectors = {name.format(i): train for i, train in enumerate(trains)}
        write(path, **vectors, Event001=np.arange(40) * 1.5, Start=np.arange(N_TRIALS) * 2.0,
              Stop=np.arange(N_TRIALS) * 2.0 + 1)  # fmt: skip
        data = sl.load(path, bin_s=BIN_S)
        np.testing.assert_array_equal(data.counts, expected)
        assert data.neurons["id"].tolist() == list(vectors)
        aligned = sl.load(path, bin_s=BIN_S, align="Event001", before_s=0.0, after_s=0.5)
        assert aligned.n_trials > 30


def test_clusters_of_wave_clus(tmp_path, trains, expected):
    times, units = one_by_one(trains)
    rest = np.arange(0.5, 60, 3.0)
    everything = np.column_stack([np.r_[units + 1, rest * 0], np.r_[times, rest] * 1e3])
    rows = everything[np.argsort(everything[:, 1])]
    waves = np.random.default_rng(0).normal(size=(len(rows), 64))
    scipy.io.savemat(tmp_path / "times_a.mat", {"cluster_class": rows, "spikes": waves, "par": {"sr": 30_000.0}})
    (tmp_path / "trials.csv").write_text("start,stop\n" + "\n".join(f"{2 * i},{2 * i + 1}" for i in range(N_TRIALS)))
    data = sl.load(tmp_path / "times_a.mat", bin_s=BIN_S, trials=tmp_path / "trials.csv")
    np.testing.assert_array_equal(data.counts, expected)
    assert "20 spikes of cluster 0" in notes_of(data)


def test_wave_marks_of_spike2(tmp_path, trains, expected):
    channels = {}
    for number, own in ((3, [0, 1]), (5, [2, 3, 4])):
        times, units = one_by_one([trains[i] for i in own])
        codes = np.zeros((len(times), 4), np.uint8)
        codes[:, 0] = units + 1
        channels[f"V1_Ch{number}"] = {"title": "spikes", "times": times[:, None], "codes": codes, "resolution": 1e-5}
    (tmp_path / "trials.csv").write_text("start,stop\n" + "\n".join(f"{2 * i},{2 * i + 1}" for i in range(N_TRIALS)))
    scipy.io.savemat(tmp_path / "a.mat", channels)
    data = sl.load(tmp_path / "a.mat", bin_s=BIN_S, trials=tmp_path / "trials.csv")
    np.testing.assert_array_equal(data.counts, expected)
    assert data.neurons["id"].tolist() == ["V1_Ch3_1", "V1_Ch3_2", "V1_Ch5_1", "V1_Ch5_2", "V1_Ch5_3"]


def test_channels_with_titles_of_spike2(tmp_path, trains, expected):
    titles = ["unit1", "unit2", "Unit 3", "cell 4", "Neuron_5"]
    channels = {f"V1_Ch{i}": {"title": name, "times": t[:, None]} for i, (name, t) in enumerate(zip(titles, trains))}
    channels["V1_Ch9"] = {"title": "stimulus", "times": np.arange(9.0)[:, None]}
    (tmp_path / "trials.csv").write_text("start,stop\n" + "\n".join(f"{2 * i},{2 * i + 1}" for i in range(N_TRIALS)))
    scipy.io.savemat(tmp_path / "a.mat", channels)
    data = sl.load(tmp_path / "a.mat", bin_s=BIN_S, trials=tmp_path / "trials.csv")
    np.testing.assert_array_equal(data.counts, expected)
    assert data.neurons["id"].tolist() == titles


def test_structures_in_structures_of_trials(tmp_path):
    def struct(**fields):
        one = np.zeros((1, 1), [(name, object) for name in fields])
        for name, value in fields.items():
            one[0, 0][name] = value
        return one

    rng = np.random.default_rng(0)
    trials = np.zeros((1, 12), [(name, object) for name in ("number", "neural", "hand", "task")])
    counts = [rng.poisson(0.3, (6, 40 + i % 3)) for i in range(12)]
    for i, one in enumerate(counts):
        trials[0, i]["number"] = i
        trials[0, i]["neural"] = struct(spikes=one, binSize=20.0)
        trials[0, i]["hand"] = struct(position=np.full((one.shape[1], 2), float(i)))
        trials[0, i]["task"] = struct(target=struct(angle=45.0 * i), success=i % 2)
    scipy.io.savemat(tmp_path / "a.mat", {"TrialData": trials})
    data = sl.load(tmp_path / "a.mat")
    assert data.bin_s == 0.02
    for trial, one in zip(data.counts, counts):
        np.testing.assert_array_equal(trial[: one.shape[1]], one.T)
    assert data.trials["angle"].tolist() == [45.0 * i for i in range(12)]
    assert data.trials["success"].tolist() == [i % 2 for i in range(12)]
    assert data.signals["position"].values[3, 0].tolist() == [3.0, 3.0]


# -- groups of HDF5 ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["trial_{:03d}", "trials/{}", "data/trial{}"])
def test_a_group_for_each_trial(tmp_path, where):
    rng = np.random.default_rng(0)
    counts = [rng.poisson(0.3, (40 + i % 3, 6)) for i in range(12)]
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.attrs["bin_width"] = 0.02
        for i, one in enumerate(counts):
            group = file.create_group(where.format(i))
            group["spikes"], group["vel"] = one, rng.random((len(one), 2))
            group.attrs["condition"] = i % 4
            group.attrs["side"] = "left" if i % 2 else "right"
    data = sl.load(tmp_path / "a.h5")
    assert data.bin_s == 0.02
    assert data.lengths.tolist() == [len(one) for one in counts]
    for trial, one in zip(data.counts, counts):
        np.testing.assert_array_equal(trial[: len(one)], one)
    assert data.trials["condition"].tolist() == [i % 4 for i in range(12)]
    assert data.trials["side"].tolist() == ["right", "left"] * 6
    assert data.signals["vel"].columns == ("0", "1")


def test_a_group_for_each_trial_with_the_spike_times_of_each_unit(tmp_path, trains, expected):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for i in range(N_TRIALS):
            group = file.create_group(f"trial_{i}")
            group.attrs["start"], group.attrs["stop"] = 2.0 * i, 2.0 * i + 1
            for n, train in enumerate(trains):
                group[f"spikes/unit_{n}"] = train[(train >= 2 * i) & (train < 2 * i + 1)] - 2 * i
    data = sl.load(tmp_path / "a.h5", bin_s=BIN_S)
    np.testing.assert_array_equal(data.counts, expected)


def test_a_group_for_each_unit(tmp_path, trains, expected):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for n, train in enumerate(trains):
            file[f"units/{n}/spike_times"] = train
            file[f"units/{n}"].attrs["area"] = "CA1"
        for name, values in trials().items():
            file[name] = values
    data = sl.load(tmp_path / "a.h5", bin_s=BIN_S)
    np.testing.assert_array_equal(data.counts, expected)
    assert data.neurons["area"].tolist() == ["CA1"] * 5
    assert data.neurons["id"].tolist() == list("01234")


@pytest.mark.parametrize(
    ("name", "value"), [("bin_width", 0.02), ("bin_s", 0.02), ("dt", 0.02), ("bin_ms", 20.0), ("fs", 50.0)]
)
@pytest.mark.parametrize("place", ["file", "array", "group"])
def test_the_width_of_bins_in_an_attribute(tmp_path, name, value, place):
    counts = np.random.default_rng(0).poisson(0.3, (10, 50, 6))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["session/spikes"] = counts
        {"file": file, "array": file["session/spikes"], "group": file["session"]}[place].attrs[name] = value
    data = sl.load(tmp_path / "a.h5")
    np.testing.assert_array_equal(data.counts, counts)
    assert data.bin_s == pytest.approx(0.02)


def test_counts_beside_lists_of_spikes_stay_counts(tmp_path, trains):
    times, units = one_by_one(trains)
    counts = np.random.default_rng(0).poisson(0.3, (10, 50, 6))
    write(tmp_path / "a.npz", spike_counts=counts, bin_s=0.02, spike_times=times, spike_clusters=units)
    np.testing.assert_array_equal(sl.load(tmp_path / "a.npz").counts, counts)


@pytest.mark.parametrize("names", [("spike_times", "spike_clusters", "trial_ids"), ("times", "unit", "spike_trial")])
def test_the_trial_of_each_spike_parts_the_trials(tmp_path, names):
    """Times begin anew with every trial: on top of each other they would be one trial of thirty times the rate."""
    rng = np.random.default_rng(1)
    rows = [(i, j, x) for i in range(30) for j in range(12) for x in rng.uniform(0, 2, rng.poisson(5))]
    trial, unit, time = np.array(rows).T
    np.savez(tmp_path / "a.npz", **dict(zip(names, (time, unit.astype(int), trial.astype(int)))))
    data = sl.load(tmp_path / "a.npz", bin_s=0.02)
    assert data.n_trials == 30
    expected = [[((trial == i) & (unit == j)).sum() for j in range(12)] for i in range(30)]
    np.testing.assert_array_equal(data.counts.sum(1), expected)


def test_spikes_without_a_unit_or_a_time_are_left_out_and_told(tmp_path):
    rng = np.random.default_rng(2)
    time, unit = np.sort(rng.uniform(0, 20, 900)), rng.integers(0, 5, 900).astype(float)
    unit[:40], time[-10:] = np.nan, np.nan
    np.savez(tmp_path / "b.npz", spike_times=time, spike_clusters=unit)
    data = sl.load(tmp_path / "b.npz", bin_s=0.02)
    assert data.neurons["id"].tolist() == [0, 1, 2, 3, 4]
    assert data.counts.sum() == 850
    assert any("50 spikes without a time or a unit were left out" in note for note in data.provenance["notes"])


def test_units_numbered_anew_on_each_probe_are_apart(tmp_path):
    rng = np.random.default_rng(3)
    time, unit = np.sort(rng.uniform(0, 20, 1200)), rng.integers(0, 12, 1200)
    np.savez(tmp_path / "c.npz", spike_times=time, spike_clusters=unit % 6, spike_probe=unit // 6)
    data = sl.load(tmp_path / "c.npz", bin_s=0.02)
    np.testing.assert_array_equal(data.counts.sum((0, 1)), np.bincount(unit))
