"""Files as other programs write them, whose numbers were taken for something else, or may be."""

import json
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr

import spikeloom as sl
from spikeloom.errors import DataError
from stored import cell, notes_of, one_by_one, structs, write

BIN_S, RATE_HZ, SECONDS = 0.05, 30_000, 40
STARTS = np.arange(2.0, 38.0, 3.0)


@pytest.fixture
def samples() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [np.unique(rng.integers(0, SECONDS * RATE_HZ, n)) for n in (300, 500, 200, 420, 650)]


@pytest.fixture
def trains(samples) -> list[np.ndarray]:
    return [one / RATE_HZ for one in samples]


def counted(trains, starts=STARTS, seconds=2.0) -> np.ndarray:
    """(trial, time, neuron) counts from each start on."""
    edges = np.arange(round(seconds / BIN_S) + 1) * BIN_S
    return np.stack([np.stack([np.histogram(t - a, edges - 1e-9)[0] for t in trains], axis=-1) for a in starts])


def in_trials() -> dict[str, np.ndarray]:
    return {"trial_start": STARTS, "trial_stop": STARTS + 2.0}


ENDINGS = pytest.mark.parametrize("ending", [".npz", ".h5", ".mat"])


class TestValuesOfUnits:
    """Ids and depths of units increase as spike times do, and are none."""

    @ENDINGS
    @pytest.mark.parametrize("name", ["unit_ids", "unit_id", "neuron_depths", "cluster_channels", "cell_positions"])
    def test_they_are_never_spike_times(self, tmp_path, ending, name):
        write(tmp_path / f"a{ending}", **{name: np.arange(40) + 3}, waveforms=np.zeros((40, 61, 4)))
        with pytest.raises(DataError, match="which array holds the spike counts is not clear"):
            sl.load(tmp_path / f"a{ending}", bin_s=BIN_S)

    @ENDINGS
    @pytest.mark.parametrize("name", ["n_spikes", "spike_counts", "lengths"])
    def test_times_unit_by_unit_and_how_many_are_of_each(self, tmp_path, trains, ending, name):
        path = tmp_path / f"a{ending}"
        numbers = np.array([len(t) for t in trains])
        write(path, spike_times=np.concatenate(trains), **{name: numbers}, unit_id=np.arange(5) + 10, **in_trials())
        data = sl.load(path, bin_s=BIN_S)
        np.testing.assert_array_equal(data.counts, counted(trains))
        assert data.neurons["id"].tolist() == [10, 11, 12, 13, 14]


def sorting(path, *segments) -> None:
    """What spikeinterface's ``NpzSortingExtractor.write_sorting`` writes."""
    arrays: dict[str, Any] = {"unit_ids": np.array([2, 4, 6, 8, 11]), "num_segment": np.array([len(segments)]),
              "sampling_frequency": np.array([float(RATE_HZ)])}  # fmt: skip
    for number, segment in enumerate(segments):
        times, units = one_by_one(segment)
        arrays |= {f"spike_indexes_seg{number}": times, f"spike_labels_seg{number}": arrays["unit_ids"][units]}
    np.savez(path, **arrays)


class TestSortingsOfSpikeinterface:
    def test_samples_and_units_of_the_only_segment(self, tmp_path, samples, trains):
        sorting(tmp_path / "sorting.npz", samples)
        pd.DataFrame({"start": STARTS, "stop": STARTS + 2}).to_csv(tmp_path / "trials.csv", index=False)
        data = sl.load(tmp_path / "sorting.npz", bin_s=BIN_S, trials=str(tmp_path / "trials.csv"))
        np.testing.assert_array_equal(data.counts, counted(trains))
        assert data.neurons["id"].tolist() == [2, 4, 6, 8, 11]

    def test_segments_have_clocks_of_their_own(self, tmp_path, samples):
        sorting(tmp_path / "sorting.npz", samples, samples[::-1])
        with pytest.raises(DataError, match=r"2 segments, each on its own clock .*from_spikeinterface"):
            sl.load(tmp_path / "sorting.npz", bin_s=BIN_S)


class TestNumbersOfBins:
    @ENDINGS
    def test_elements_of_a_sparse_array_are_no_spikes(self, tmp_path, ending):
        counts = np.random.default_rng(0).poisson(0.1, (20, 50, 9))
        trial, time, neuron = np.nonzero(counts)
        write(tmp_path / f"a{ending}", trial=trial, time=time, neuron=neuron, value=counts[counts > 0], bin_s=0.02)
        with pytest.raises(DataError, match="'value': these are the elements of a sparse array, not spikes"):
            sl.load(tmp_path / f"a{ending}")

    @ENDINGS
    @pytest.mark.parametrize("by_trial", [True, False])
    def test_whole_numbers_beside_a_width_of_bins_are_asked_about(self, tmp_path, ending, by_trial):
        counts = np.random.default_rng(0).poisson(0.1, (20, 50, 9))
        trial, time, neuron = np.nonzero(counts)
        lists = {"spike_times": time, "spike_units": neuron, **({"trial": trial} if by_trial else {})}
        write(tmp_path / f"a{ending}", **lists, bin_size=0.02)
        with pytest.raises(DataError, match=r"'bin_size' says that bins are 0\.02 wide: whether .* is not clear"):
            sl.load(tmp_path / f"a{ending}", bin_s=0.02)

    def test_bins_of_a_millisecond_are_milliseconds(self, tmp_path, trains):
        times, units = one_by_one([np.unique(np.floor(t * 1000)).astype(int) for t in trains])
        np.savez(tmp_path / "a.npz", spike_times=times, spike_units=units, bin_size=0.001, trial_start_s=STARTS,
                 trial_stop_s=STARTS + 2)  # fmt: skip
        whole = [np.unique(np.floor(t * 1000)) / 1000 for t in trains]
        np.testing.assert_array_equal(sl.load(tmp_path / "a.npz", bin_s=BIN_S).counts, counted(whole))

    @pytest.mark.parametrize("name", ["bin", "time_bin_s", "bin_index"])
    def test_a_row_for_each_unit_in_each_numbered_bin(self, tmp_path, name):
        counts = np.random.default_rng(0).poisson(0.4, (12, 30, 4))
        trial, time, neuron = np.indices(counts.shape).reshape(3, -1)
        bins = np.round(time * 0.02, 3) if name.endswith("_s") else time
        table = pd.DataFrame({"trial": trial, name: bins, "neuron": neuron, "count": counts.ravel()})
        table.to_csv(tmp_path / "a.csv", index=False)
        data = sl.load(tmp_path / "a.csv", stored_bin_s=None if name.endswith("_s") else 0.02)
        np.testing.assert_array_equal(data.counts, counts)
        assert data.bin_s == pytest.approx(0.02)
        if not name.endswith("_s"):
            with pytest.raises(DataError, match="stored_bin_s"):
                sl.load(tmp_path / "a.csv")


class TestLengths:
    @ENDINGS
    @pytest.mark.parametrize("name", ["trial_lens", "n_time_bins", "seq_lengths", "validBins"])
    def test_numbers_of_bins_under_other_names(self, tmp_path, ending, name):
        rng = np.random.default_rng(0)
        lengths = rng.integers(20, 61, 30)
        counts = rng.poisson(0.4, (30, 60, 5)) * (np.arange(60) < lengths[:, None])[..., None]
        write(tmp_path / f"a{ending}", spikes=counts, dt=0.02, **{name: lengths})
        data = sl.load(tmp_path / f"a{ending}")
        assert data.lengths.tolist() == lengths.tolist()

    def test_durations_of_trials_of_structures(self, tmp_path):
        rng = np.random.default_rng(0)
        ms = rng.integers(700, 1500, 20)
        spikes = [[np.sort(rng.integers(0, n, 15)).astype(float) for _ in range(3)] for n in ms]
        trials = [
            {"unit": structs([{"spikeTimes": one} for one in trial]), "trialLength": float(n), "target": i % 2}
            for i, (trial, n) in enumerate(zip(spikes, ms))
        ]
        write(tmp_path / "a.mat", R=structs(trials))
        data = sl.load(tmp_path / "a.mat", bin_s=BIN_S)
        assert data.lengths.tolist() == (ms // 50).tolist()
        for i, (trial, n) in enumerate(zip(spikes, ms)):
            expected = [np.histogram(one / 50 + 1e-9, np.arange(n // 50 + 1))[0] for one in trial]
            np.testing.assert_array_equal(data.counts[i, : n // 50], np.transpose(expected))


class TestActivityOfImaging:
    """Deconvolved activity and fluorescence are refused for what they are, before anything else is asked."""

    @pytest.mark.parametrize("axes", [None, "neuron,time", "time,neuron"])
    def test_deconvolved_activity_is_no_counts(self, tmp_path, axes):
        activity = np.random.default_rng(0).normal(0, 30, (50, 900)).clip(0).astype(np.float32)
        np.save(tmp_path / "spks.npy", np.where(activity < 40, 0, activity))
        with pytest.raises(DataError, match=r"not whole numbers, such as .*deconvolved activity"):
            sl.load(tmp_path / "spks.npy", stored_bin_s=1 / 30, axes=axes)

    def test_counts_with_some_bad_neurons_are_counts(self, tmp_path):
        counts = np.random.default_rng(0).poisson(0.5, (20, 40, 6)).astype(float)
        counts[:, :, 2] = 0.37
        np.savez(tmp_path / "a.npz", counts=counts, bin_s=0.02, good_unit=np.arange(6) != 2)
        data = sl.load(tmp_path / "a.npz", neurons="good_unit")
        np.testing.assert_array_equal(data.counts, np.delete(counts, 2, axis=2))


class TestTPrime:
    def folder(self, path, samples, aligned):
        times, units = one_by_one(samples)
        np.save(path / "spike_times.npy", times.astype(np.uint64)[:, None])
        np.save(path / "spike_clusters.npy", units.astype(np.int32))
        np.save(path / "spike_times_sec_adj.npy", aligned(times / RATE_HZ))
        (path / "params.py").write_text(f"sample_rate = {RATE_HZ}.\n")
        pd.DataFrame({"start": STARTS + 17, "stop": STARTS + 19}).to_csv(path / "trials.csv", index=False)
        return path

    def test_times_on_the_clock_of_another_device(self, tmp_path, samples, trains):
        folder = self.folder(tmp_path, samples, lambda times: times * 1.0001 + 17.25)
        data = sl.load(folder, bin_s=BIN_S, trials=str(folder / "trials.csv"))
        aligned = [t * 1.0001 + 17.25 for t in trains]
        np.testing.assert_array_equal(data.counts, counted(aligned, STARTS + 17))
        assert "times are those of spike_times_sec_adj.npy" in notes_of(data)

    def test_times_of_an_older_sorting_are_not_used(self, tmp_path, samples, trains):
        folder = self.folder(tmp_path, samples, lambda times: times[:-3] + 17.25)
        data = sl.load(folder, bin_s=BIN_S)
        assert data.counts.sum(axis=(0, 1)).tolist() == pytest.approx([len(t) for t in trains], abs=1)
        assert "spike_times_sec_adj.npy is not used, as it holds" in notes_of(data)


def neuralynx(path, trains, unsorted) -> None:
    """What Nlx2MatSpike returns, with spikes of cell 0, which are of none."""
    times, cells = one_by_one([*trains, unsorted])
    cells = (cells + 1) % (len(trains) + 1)
    names = {"Timestamps": np.round(times * 1e6), "CellNumbers": cells.astype(float), "ScNumbers": np.zeros(len(times))}
    write(path, **names, Features=np.zeros((8, len(times))), **{f"{k}_s": v for k, v in in_trials().items()})


class TestMatlab:
    def test_neuralynx_has_microseconds(self, tmp_path, trains):
        trains = [np.round(t, 6) for t in trains]
        neuralynx(tmp_path / "TT1.mat", trains, np.arange(0.5, 30, 0.7))
        data = sl.load(tmp_path / "TT1.mat", bin_s=BIN_S)
        np.testing.assert_array_equal(data.counts, counted(trains))
        assert data.neurons["id"].tolist() == [1, 2, 3, 4, 5]
        assert "spikes of cluster 0, which were not assigned, were left out" in notes_of(data)

    def test_cellexplorer_has_times_in_seconds_and_in_samples(self, tmp_path, trains, samples):
        spikes = {
            "ts": cell([one[:, None].astype(float) for one in samples]),
            "times": cell([one[:, None] for one in trains]),
            "ids": cell([np.full((len(one), 1), 2.0) for one in trains]),
            "UID": np.arange(5.0) + 1,
            "region": cell(["CA1", "CA1", "CA3", "CA1", "CA3"]),
            "sr": float(RATE_HZ),
        }
        write(tmp_path / "a.spikes.cellinfo.mat", spikes=spikes, **in_trials())
        data = sl.load(tmp_path / "a.spikes.cellinfo.mat", bin_s=BIN_S, neurons="region=CA1")
        np.testing.assert_array_equal(data.counts, counted([trains[i] for i in (0, 1, 3)]))

    def test_events_beside_neurons_are_no_neurons(self, tmp_path, trains):
        def channel(name, times):
            return structs([{"name": name, "timestamps": times[:, None]}])

        nex = {
            "freq": 40_000.0,
            "events": cell([channel("Start", STARTS), channel("Stop", STARTS + 2)]),
            "neurons": cell([channel(f"sig00{i}a", t) for i, t in enumerate(trains)]),
        }
        write(tmp_path / "nex.mat", nexFile=nex)
        pd.DataFrame({"start": STARTS, "stop": STARTS + 2}).to_csv(tmp_path / "trials.csv", index=False)
        data = sl.load(tmp_path / "nex.mat", bin_s=BIN_S, trials=str(tmp_path / "trials.csv"))
        np.testing.assert_array_equal(data.counts, counted(trains))
        assert data.neurons["name"].tolist() == [f"sig00{i}a" for i in range(5)]

    @pytest.mark.parametrize("has_bounds", [True, False])
    @pytest.mark.parametrize("timestamps", [None, "empty", "samples"])
    def test_fieldtrip_has_the_trial_of_each_spike(self, tmp_path, timestamps, has_bounds):
        rng = np.random.default_rng(2)
        trials = [[np.sort(rng.uniform(-0.5, 1.0, rng.poisson(10))) for _ in range(4)] for _ in range(20)]
        if has_bounds:
            trials[7] = [np.zeros(0)] * 4  # without bounds, nothing says that there was such a trial
        trials[0][0] = np.sort(np.r_[-0.4999, trials[0][0]])  # what begins and ends trials without bounds
        trials[0][1] = np.sort(np.r_[trials[0][1], 0.9999])
        times = [np.concatenate([trial[unit] for trial in trials])[None] for unit in range(4)]
        of_each = [np.repeat(np.arange(20.0) + 1, [len(trial[unit]) for trial in trials])[None] for unit in range(4)]
        spike = {"label": cell([f"sig{i}" for i in range(4)]), "time": cell(times), "trial": cell(of_each)}
        if has_bounds:
            spike |= {"trialtime": np.tile([-0.5, 1.0], (20, 1)), "trialinfo": np.arange(20.0)[:, None]}
        if timestamps is not None:
            empty = timestamps == "empty"
            spike["timestamp"] = cell([np.zeros((1, 0)) if empty else np.round((t + 9) * 1e4) for t in times])
        write(tmp_path / "spike.mat", spike=spike)
        data = sl.load(tmp_path / "spike.mat", bin_s=BIN_S)
        edges = np.arange(31) * BIN_S - 0.5 - 1e-9
        expected = [np.stack([np.histogram(t, edges)[0] for t in trial], axis=-1) for trial in trials]
        np.testing.assert_array_equal(data.counts, expected)
        assert data.neurons["label"].tolist() == ["sig0", "sig1", "sig2", "sig3"]


class TestTables:
    def test_hours_minutes_and_seconds(self, tmp_path, trains):
        times, units = one_by_one(trains)
        times += 3590  # over the full hour
        hours = [f"{int(t // 3600):02d}:{int(t % 3600 // 60):02d}:{t % 60:09.6f}" for t in times]
        pd.DataFrame({"unit": units, "time": hours}).to_csv(tmp_path / "a.csv", index=False)
        pd.DataFrame({"start": STARTS + 3590, "stop": STARTS + 3592}).to_csv(tmp_path / "b.csv", index=False)
        data = sl.load(tmp_path / "a.csv", bin_s=BIN_S, trials=str(tmp_path / "b.csv"))
        np.testing.assert_array_equal(data.counts, counted([np.round(t, 6) for t in trains]))
        assert "time: hours, minutes and seconds, which are taken as seconds" in notes_of(data)

    @pytest.mark.parametrize("name", ["time_from_stim", "spike_time_rel_s", "time_relative_to_go_cue_ms", "rel_time"])
    def test_times_that_are_said_to_be_since_an_event(self, tmp_path, name):
        rng = np.random.default_rng(0)
        scale = 1000 if name.endswith("_ms") else 1
        trials = [[np.round(np.sort(rng.uniform(-0.5, 1.0, 12)), 4) for _ in range(3)] for _ in range(15)]
        trials[0][0][[0, -1]] = -0.4999, 0.9999
        rows = [(i, u, t * scale) for i, trial in enumerate(trials) for u, ts in enumerate(trial) for t in ts]
        pd.DataFrame(rows, columns=["trial", "unit", name]).to_csv(tmp_path / "a.csv", index=False)
        edges = np.arange(31) * BIN_S - 0.5 - 1e-9
        expected = [np.stack([np.histogram(t, edges)[0] for t in trial], axis=-1) for trial in trials]
        np.testing.assert_array_equal(sl.load(tmp_path / "a.csv", bin_s=BIN_S).counts, expected)


class TestJson:
    """Values of a trial that are written in one text become columns."""

    TEXT = tuple(json.dumps({"side": "LR"[i % 2], "contrast": i / 4, "dots": [1, 2]}) for i in range(12))

    def test_of_trials_in_a_table(self, tmp_path, trains):
        times, units = one_by_one(trains)
        pd.DataFrame({"unit": units, "time": times}).to_csv(tmp_path / "a.csv", index=False)
        table = pd.DataFrame({"start": STARTS, "stop": STARTS + 2, "contrast": 7.0, "params": self.TEXT})
        table.to_csv(tmp_path / "b.csv", index=False)
        data = sl.load(tmp_path / "a.csv", bin_s=BIN_S, trials=str(tmp_path / "b.csv"), condition="side")
        assert data.trials["condition"].tolist() == ["L", "R"] * 6
        assert data.trials["contrast"].tolist() == [7.0] * 12
        assert data.trials["params_contrast"].tolist() == [i / 4 for i in range(12)]
        assert "'params' holds JSON, of which side, params_contrast became columns" in notes_of(data)

    def test_of_attributes_of_groups(self, tmp_path):
        counts = np.random.default_rng(0).poisson(0.5, (12, 40, 6))
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file.attrs["bin_width_ms"] = 20
            for i, one in enumerate(counts):
                group = file.create_group(f"trial_{i:02d}")
                group["spikes"] = one[: 20 + i]
                group.attrs["meta"] = self.TEXT[i]
        data = sl.load(tmp_path / "a.h5")
        assert data.lengths.tolist() == list(range(20, 32))
        assert data.trials["side"].tolist() == ["L", "R"] * 6
        assert data.trials["contrast"].tolist() == [i / 4 for i in range(12)]

    def test_text_that_is_none_stays_text(self, tmp_path, trains):
        times, units = one_by_one(trains)
        pd.DataFrame({"unit": units, "time": times}).to_csv(tmp_path / "a.csv", index=False)
        texts = ["{left}", *self.TEXT[1:]]
        table = pd.DataFrame({"start": STARTS, "stop": STARTS + 2, "params": texts})
        table.to_csv(tmp_path / "b.csv", index=False)
        data = sl.load(tmp_path / "a.csv", bin_s=BIN_S, trials=str(tmp_path / "b.csv"))
        assert data.trials["params"].tolist() == texts
        assert "side" not in data.trials


@pytest.mark.parametrize(("name", "value", "seconds"), [("bin_size", "20 ms", 0.02), ("binWidth_ms", 5, 0.005),
                                                        ("dt", 0.01, 0.01)])  # fmt: skip
def test_the_width_of_bins_in_an_attribute_of_xarray(name, value, seconds):
    counts = np.random.default_rng(0).poisson(0.3, (30, 7, 50))
    array = xr.DataArray(counts, dims=("trials", "electrode", "bins"), attrs={name: value})
    data = sl.from_xarray(array)
    assert data.bin_s == pytest.approx(seconds)
    np.testing.assert_array_equal(data.counts, counts.transpose(0, 2, 1))


class TestFolders:
    @pytest.mark.parametrize("names", [("timestamps", "clusters"), ("times", "units"), ("spike_times_s", "unit_id")])
    def test_vectors_in_files_of_their_own(self, tmp_path, trains, names):
        times, units = one_by_one(trains)
        np.save(tmp_path / f"{names[0]}.npy", times[:, None])
        np.save(tmp_path / f"{names[1]}.npy", units + 1)
        np.save(tmp_path / "waveforms.npy", np.zeros((len(times), 4, 40), np.int16))
        for name, values in in_trials().items():
            np.save(tmp_path / f"{name}.npy", values)
        data = sl.load(tmp_path, bin_s=BIN_S)
        np.testing.assert_array_equal(data.counts, counted(trains))
        assert "the folder is read as the arrays of one file" in notes_of(data)

    def test_units_of_several_electrodes(self, tmp_path, trains):
        times, units = one_by_one(trains)
        for name, values in (("timestamps", times), ("clusters", units % 3), ("electrode_indices", units // 3 + 1)):
            np.save(tmp_path / f"{name}.npy", values)
        assert sl.load(tmp_path, bin_s=BIN_S).n_neurons == 5

    @pytest.mark.parametrize(
        ("place", "sentence"),
        [
            (
                "suite2p/plane0/spks.npy",
                r"of suite2p, whose activity of imaging is no spikes .*plane0/spks\.npy",
            ),
            ("experiment1/recording1/structure.oebin", "a recording of Open Ephys, without sorted spikes: sort its"),
            ("numpysorting_info.json", "of spikeinterface: load this one with spikeinterface"),
            ("session.clu.1", "of NeuroScope: load this one with spikeinterface"),
        ],
    )
    def test_folders_of_other_programs_say_what_to_do(self, tmp_path, place, sentence):
        path = tmp_path / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"1\n")
        with pytest.raises(DataError, match=sentence):
            sl.load(tmp_path)

    def test_probes_below_are_named(self, tmp_path):
        for probe in ("imec0", "imec1"):
            folder = tmp_path / probe / "kilosort4"
            folder.mkdir(parents=True)
            np.save(folder / "spike_times.npy", np.arange(9))
            np.save(folder / "spike_clusters.npy", np.arange(9))
        with pytest.raises(DataError, match="'imec0/kilosort4', 'imec1/kilosort4' are of Phy: name one of them"):
            sl.load(tmp_path)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("a.plx", "are of a recording system: read this one with neo"),
        ("a.rhd", "hold voltages: sort its spikes"),
        ("a.pkl", "are pickles of Python, which can run code and are never loaded: save its arrays"),
        ("a.xlsx", r"save the sheet as \.csv; spikeloom reads \.npz"),
        ("a.nc", "open this one with xarray.open_dataset"),
        ("a.res.1", "are of NeuroScope"),
        ("a.mat.gz", "are compressed: unpack this one"),
    ],
)
def test_files_of_other_programs_say_what_to_do(tmp_path, name, sentence):
    (tmp_path / name).write_bytes(b"NEURALEV")
    with pytest.raises(DataError, match=sentence):
        sl.load(tmp_path / name)


def test_pickled_metadata_that_choose_neurons_say_what_to_do(tmp_path, trains):
    times, units = one_by_one(trains)
    metadata = np.array({"region": np.array(list("ababa"))}, dtype=object)
    np.savez(tmp_path / "a.npz", type=np.array(["TsGroup"]), t=times, index=units, keys=np.arange(5),
             start=np.array([0.0]), end=np.array([40.0]), _metadata=metadata)  # fmt: skip
    with pytest.raises(DataError, match=r"'_metadata' is left out.*pass the group to `spikeloom.from_pynapple`"):
        sl.load(tmp_path / "a.npz", bin_s=BIN_S, neurons="region=a")


def test_files_of_nothing_but_objects_say_what_to_do(tmp_path):
    np.savez(tmp_path / "a.npz", data=np.array({"spikes": [0.1, 0.2]}, dtype=object))
    with pytest.raises(DataError, match="'data' is an array of Python objects, which is never loaded"):
        sl.load(tmp_path / "a.npz")


def lists_in(groups) -> dict[str, np.ndarray]:
    arrays = {}
    for name, trains in groups.items():
        arrays[f"{name}/spike_times"], arrays[f"{name}/spike_clusters"] = one_by_one(trains)
    return arrays


class TestSeveralLists:
    """Spikes of several probes or sessions in the groups of one file: which of them is a question, not the first."""

    @pytest.mark.parametrize("groups", [("probeA", "probeB"), ("session_0", "session_1"), ("data/imec0", "data/imec1")])
    @pytest.mark.parametrize("ending", [".npz", ".h5"])
    def test_one_is_named(self, tmp_path, trains, ending, groups):
        path = tmp_path / f"a{ending}"
        write(path, **lists_in(dict(zip(groups, (trains[:2], trains[2:])))), **in_trials())
        with pytest.raises(DataError, match=rf"2 lists .*\('{groups[0]}', '{groups[1]}'\).*counts={groups[0]}"):
            sl.load(path, bin_s=BIN_S)
        for group, expected in zip(groups, (trains[:2], trains[2:])):
            data = sl.load(path, bin_s=BIN_S, counts=group)
            np.testing.assert_array_equal(data.counts, counted(expected))

    def test_of_matlab(self, tmp_path, trains):
        lists = [dict(zip(("spike_times", "spike_clusters"), one_by_one(t))) for t in (trains[:2], trains[2:])]
        write(tmp_path / "a.mat", probes={"A": lists[0], "B": lists[1]}, **in_trials())
        data = sl.load(tmp_path / "a.mat", bin_s=BIN_S, counts="probes.B")
        np.testing.assert_array_equal(data.counts, counted(trains[2:]))
        write(tmp_path / "b.mat", session=structs(lists))
        with pytest.raises(DataError, match="'session/spike_times' and 'spike_clusters' are 2 lists of spikes"):
            sl.load(tmp_path / "b.mat", bin_s=BIN_S)

    @pytest.mark.parametrize("ending", [".npz", ".h5", ".mat"])
    def test_of_trials_are_one(self, tmp_path, ending):
        rng = np.random.default_rng(5)
        trials = [[np.sort(rng.uniform(0, 1.5, rng.poisson(n))) for n in (3, 8, 15, 20)] for _ in range(15)]
        lists = [dict(zip(("spike_times", "unit"), one_by_one(t)), target=i % 3) for i, t in enumerate(trials)]
        path = tmp_path / f"a{ending}"
        if ending == ".mat":
            write(path, trial=structs(lists), duration=1.5)
        else:
            write(
                path,
                duration=1.5,
                **{f"trial_{i:02d}/{k}": np.asarray(v) for i, t in enumerate(lists) for k, v in t.items()},
            )
        data = sl.load(path, bin_s=BIN_S)
        edges = np.arange(31) * BIN_S - 1e-9
        expected = [np.stack([np.histogram(t, edges)[0] for t in trial], axis=-1) for trial in trials]
        np.testing.assert_array_equal(data.counts, expected)
        assert data.neurons["id"].tolist() == [0, 1, 2, 3]
        assert data.trials["target"].tolist() == [i % 3 for i in range(15)]


class TestPadding:
    LENGTHS = np.random.default_rng(1).integers(20, 61, 30)

    def counts(self) -> np.ndarray:
        valid = (np.arange(60) < self.LENGTHS[:, None])[..., None]
        return np.random.default_rng(0).poisson(0.4, (30, 60, 5)) * valid

    @pytest.mark.parametrize(("name", "inverted"), [("mask", False), ("padding_mask", True), ("valid", False)])
    @pytest.mark.parametrize("dtype", [bool, float])
    def test_masks(self, tmp_path, name, inverted, dtype):
        valid = np.arange(60) < self.LENGTHS[:, None]
        np.savez(tmp_path / "a.npz", spikes=self.counts(), dt=0.02, **{name: (valid ^ inverted).astype(dtype)})
        data = sl.load(tmp_path / "a.npz")
        assert data.lengths.tolist() == self.LENGTHS.tolist()
        assert f"trials last as long as the mask '{name}' says" in notes_of(data)

    def test_masks_that_spikes_contradict_are_not_used(self, tmp_path):
        valid = np.arange(60) < self.LENGTHS[:, None] - 10
        np.savez(tmp_path / "a.npz", spikes=self.counts(), dt=0.02, mask=valid)
        data = sl.load(tmp_path / "a.npz")
        assert set(data.lengths.tolist()) == {60}
        assert "'mask' does not hold up to the end of each trial" in notes_of(data)

    @pytest.mark.parametrize(("name", "unit"), [("trial_length_ms", 20), ("trial_length", 0.02), ("trial_length", 1)])
    def test_lengths_in_milliseconds_seconds_or_bins(self, tmp_path, name, unit):
        np.savez(tmp_path / "a.npz", spikes=self.counts(), dt=0.02, **{name: self.LENGTHS * unit})
        assert sl.load(tmp_path / "a.npz").lengths.tolist() == self.LENGTHS.tolist()


class TestCommasInQuotes:
    def load(self, path, numbers):
        rows = "".join(f'{i % 3},"{number}"\n' for i, number in enumerate(numbers))
        path.write_text("unit,time_ms\n" + rows)
        return sl.load(path, bin_s=BIN_S)

    def test_between_thousands(self, tmp_path):
        ms = np.round(np.sort(np.random.default_rng(0).uniform(900, 40_000, 900)), 1)
        data = self.load(tmp_path / "a.csv", [f"{t:,.1f}" for t in ms])
        first = np.floor(ms.min() / 50 + 1e-9)
        for unit in range(3):
            expected = np.bincount((np.floor(ms[unit::3] / 50 + 1e-9) - first).astype(int), minlength=data.n_bins)
            np.testing.assert_array_equal(data.counts[0, :, unit], expected)
        assert "commas in 'time_ms' of a.csv are between thousands" in notes_of(data)

    def test_that_may_be_either_are_refused(self, tmp_path):
        with pytest.raises(DataError, match=r"numbers such as 1,000, in which a comma may part thousands or decimals"):
            self.load(tmp_path / "a.csv", [f"{t:,}" for t in range(1000, 40_000, 39)])


def test_starts_of_trials_in_a_table_of_spikes(tmp_path, trains):
    rows = [
        {"unit": u, "trial": i, "trial_start": start, "time": t}
        for u, train in enumerate(trains)
        for i, start in enumerate(STARTS)
        for t in train[(train >= start) & (train < start + 2)]
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "a.csv", index=False)
    data = sl.load(tmp_path / "a.csv", bin_s=BIN_S)
    expected = counted(trains)
    for i, length in enumerate(data.lengths):
        np.testing.assert_array_equal(data.counts[i, :length], expected[i, :length])
        assert not expected[i, length:].any()


def test_qualities_under_other_names(tmp_path, trains):
    times, units = one_by_one(trains)
    quality = np.array(["good", "mua", "good", "mua", "good"])
    of_clusters = {"cluster_ids": np.arange(5), "cluster_quality": quality}
    write(tmp_path / "a.npz", spike_times=times, spike_clusters=units, **of_clusters, **in_trials())
    data = sl.load(tmp_path / "a.npz", bin_s=BIN_S, quality="good")
    np.testing.assert_array_equal(data.counts, counted([trains[i] for i in (0, 2, 4)]))


def test_an_error_names_the_order_of_axes_that_was_assumed(tmp_path):
    raster = np.random.default_rng(0).random((40, 8, 500)) < 0.02
    np.savez(tmp_path / "a.npz", raster=raster, fs=1000.0)
    with pytest.raises(DataError, match=r"wider than the longest trial .* were taken as \(trial, time, neuron\)"):
        sl.load(tmp_path / "a.npz", bin_s=0.02)
    data = sl.load(tmp_path / "a.npz", bin_s=0.02, axes="trial,neuron,time")
    np.testing.assert_array_equal(data.counts, raster.transpose(0, 2, 1).reshape(40, 25, 20, 8).sum(axis=2))


def test_times_without_units_say_what_is_missing(tmp_path):
    pd.DataFrame({"time_s": np.sort(np.random.default_rng(0).uniform(0, 60, 500))}).to_csv(
        tmp_path / "a.csv", index=False
    )
    with pytest.raises(DataError, match="no column but 'time_s'; add the unit of each spike"):
        sl.load(tmp_path / "a.csv", bin_s=BIN_S)


def test_one_neuron_in_trials_says_how_to_store_it(tmp_path):
    counts = np.random.default_rng(0).poisson(0.5, (40, 100))
    np.savez(tmp_path / "a.npz", counts=counts, bin_s=0.02)
    with pytest.raises(DataError, match=r"of one neuron in 40 trials, store \(40, 100, 1\)"):
        sl.load(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", counts=counts[..., None], bin_s=0.02)
    np.testing.assert_array_equal(sl.load(tmp_path / "b.npz").counts, counts[..., None])
