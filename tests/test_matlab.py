"""MATLAB structures and cells, of version 5 and 7.3: the same content is read the same from both."""

import itertools

import h5py
import numpy as np
import pytest
import scipy.io
import scipy.sparse

import spikeloom as sl
from spikeloom.data.formats.structures.values import Cell, Struct, arrays_of, open_matlab
from spikeloom.errors import DataError
from stored import notes_of

BIN_S = 0.05
VERSIONS = ("v5", "v7.3")


def cell(items, shape=None) -> np.ndarray:
    """A cell array; a row unless a shape is given."""
    array = np.empty(len(items), dtype=object)
    array[:] = [*items]
    return array.reshape(shape or (1, len(items)))


def structs(**fields) -> np.ndarray:
    """An array of structures, with one value of each field for each."""
    array = np.zeros((1, len(next(iter(fields.values())))), dtype=[(name, object) for name in fields])
    for name, values in fields.items():
        array[name][0, :] = cell(values)[0]
    return array


def save(path, version: str, **variables):
    """Write variables as MATLAB does: columns first, and in 7.3 as HDF5 with references."""
    if version == "v5":
        scipy.io.savemat(path, variables)
        return path
    with h5py.File(path, "w", userblock_size=512) as file:
        kept, number = file.create_group("#refs#"), itertools.count()

        def put(parent, name, value):
            if isinstance(value, dict):
                group = parent.create_group(name)
                group.attrs["MATLAB_class"] = np.bytes_("struct")
                for key, one in value.items():
                    put(group, key, one)
            elif isinstance(value, str):
                parent[name] = np.array([[ord(letter)] for letter in value] or [[0], [0]], np.uint16)
                parent[name].attrs["MATLAB_class"] = np.bytes_("char")
                if not value:
                    parent[name].attrs["MATLAB_empty"] = 1
            elif isinstance(value, np.ndarray) and value.dtype.names:
                group = parent.create_group(name)
                group.attrs["MATLAB_class"] = np.bytes_("struct")
                for key in value.dtype.names:
                    refer(group, key, value[key])
            elif isinstance(value, np.ndarray) and value.dtype == object:
                refer(parent, name, value)
                parent[name].attrs["MATLAB_class"] = np.bytes_("cell")
            else:
                array = np.atleast_2d(np.asarray(value))
                parent[name] = np.array(array.shape, np.uint64) if array.size == 0 else array.T
                parent[name].attrs["MATLAB_class"] = np.bytes_("double")
                if array.size == 0:
                    parent[name].attrs["MATLAB_empty"] = 1

        def refer(parent, name, values):
            references = np.empty(values.T.shape, dtype=h5py.ref_dtype)
            for place, one in np.ndenumerate(values.T):
                key = f"r{next(number)}"
                put(kept, key, one)
                references[place] = kept[key].ref
            parent.create_dataset(name, data=references, dtype=h5py.ref_dtype)

        for name, value in variables.items():
            put(file, name, value)
    return path


def counts_of(times, starts, n_bins, bin_s=BIN_S):
    """The oracle: (trial, time, neuron) from a histogram of ``times[neuron]`` or ``times[trial][neuron]``."""
    per_trial = [times] * len(starts) if isinstance(times[0], np.ndarray) else times
    edges = np.arange(n_bins + 1) * bin_s - 1e-9
    return np.array(
        [np.stack([np.histogram(np.ravel(t), s + edges)[0] for t in one], -1) for one, s in zip(per_trial, starts)]
    )


@pytest.fixture(params=VERSIONS)
def version(request):
    return request.param


@pytest.mark.parametrize("turned", [False, True])
def test_counts_in_a_struct_of_trials(tmp_path, version, turned):
    rng = np.random.default_rng(0)
    lengths = rng.integers(20, 30, 12)
    counts = [rng.poisson(0.4, (9, n)).astype(np.uint8) for n in lengths]
    hand = [rng.normal(size=(2, n)) for n in lengths]
    trial = structs(
        spikes=[one.T for one in counts] if turned else counts,
        target=[float(i % 4) for i in range(12)],
        cond=["left", "right"] * 6,
        goal=[np.array([[i, -i]]) * 1.0 for i in range(12)],
        hand=hand,
        note=[structs(a=[1.0])] * 12,
        T=[float(n) for n in lengths],
    )
    path = save(tmp_path / "a.mat", version, trial=trial, bin_s=0.02, meta={"animal": "rat"})
    data = sl.load(path, condition="cond")
    assert data.lengths.tolist() == lengths.tolist()
    for i, one in enumerate(counts):
        np.testing.assert_array_equal(data.counts[i, : lengths[i]], one.T)
        np.testing.assert_allclose(data.signals["hand"].values[i, : lengths[i]], hand[i].T, rtol=1e-6)
    assert data.trials["target"].tolist() == [i % 4 for i in range(12)]
    assert data.trials["goal_1"].tolist() == [-i for i in range(12)]
    assert data.trials["condition"].tolist() == ["left", "right"] * 6
    assert ("time x neuron" if turned else "neuron x time") in notes_of(data)
    assert "note" in notes_of(data)
    assert "'T' is the number of bins of each trial" in notes_of(data)


def test_the_order_of_axes_of_equal_trials_is_told_and_can_be_given(tmp_path, version):
    counts = [np.random.default_rng(i).poisson(0.4, (9, 30)) for i in range(5)]
    path = save(tmp_path / "a.mat", version, trial=structs(spikes=counts), bin_s=0.02)
    data = sl.load(path)
    np.testing.assert_array_equal(data.counts, [one.T for one in counts])
    assert "assumed to be neuron x time" in notes_of(data)
    turned = sl.load(path, axes="trial,time,neuron")
    np.testing.assert_array_equal(turned.counts, counts)
    told = save(tmp_path / "b.mat", version, trial=structs(spikes=counts), bin_s=0.02, time=np.arange(9.0)[None])
    assert sl.load(told).n_bins == 9
    cells = save(tmp_path / "c.mat", version, spikes=cell(counts), bin_s=0.02)
    np.testing.assert_array_equal(sl.load(cells).counts, data.counts)


def trains(n: int = 8, seconds: float = 30.0, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [np.sort(rng.uniform(0, seconds, 60 + 10 * i)) for i in range(n)]


@pytest.mark.parametrize("column", [False, True])
@pytest.mark.parametrize("unit", ["s", "ms"])
def test_a_cell_of_spike_times_is_a_neuron_each(tmp_path, version, column, unit):
    times = [*trains(), np.zeros(0)]
    scaled = [(one * (1e3 if unit == "ms" else 1.0)) for one in times]
    items = [one[:, None] if column and one.size else one[None] for one in scaled]
    path = save(tmp_path / "a.mat", version, spike_times=cell(items, (9, 1) if column else None), extra="words")
    data = sl.load(path, bin_s=BIN_S)
    start = np.floor(min(one[0] for one in times if len(one)) / BIN_S) * BIN_S
    np.testing.assert_array_equal(data.counts, counts_of(times, [start], data.n_bins))
    assert ("taken as milliseconds" if unit == "ms" else "taken as seconds") in notes_of(data)


@pytest.mark.parametrize("name", ["times", "ts", "spiketimes", "spikes", "time_ms"])
def test_a_struct_of_units(tmp_path, version, name):
    times = trains()
    scaled = [one[None] * (1e3 if name.endswith("ms") else 1.0) for one in times]
    unit = structs(**{name: scaled, "quality": ["good", "mua"] * 4, "depth": [float(i) * 10 for i in range(8)]})
    path = save(
        tmp_path / "a.mat", version, session={"unit": unit, "start_time": [[0.0, 5.0]], "stop_time": [[2.0, 7.0]]}
    )
    data = sl.load(path, bin_s=BIN_S)
    np.testing.assert_array_equal(data.counts, counts_of(times, [0.0, 5.0], 40))
    assert data.neurons["depth"].tolist() == [10 * i for i in range(8)]
    assert sl.load(path, quality="good").n_neurons == 4
    assert sl.load(path, neurons="depth>=60", continuous=True).n_neurons == 2


def trialwise(n_trials=10, n_neurons=5, seed=4):
    rng = np.random.default_rng(seed)
    return [[np.sort(rng.uniform(0, 1.0, 20)) for _ in range(n_neurons)] for _ in range(n_trials)]


@pytest.mark.parametrize("layout", ["neuron,trial", "trial{neuron}", "trial(i).spikes", "unit(i).spikes"])
@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_cells_of_spike_times_by_trial(tmp_path, version, layout, scale):
    times = trialwise()
    rows = [[one[None] * scale for one in trial] for trial in times]
    if layout == "neuron,trial":
        grid = np.empty((5, 10), dtype=object)
        for i, trial in enumerate(rows):
            grid[:, i] = cell(trial)[0]
        content = {"spikes": grid}
    elif layout == "trial{neuron}":
        content = {"spikes": cell([cell(trial) for trial in rows])}
    elif layout == "trial(i).spikes":
        content = {"trial": structs(spikes=[cell(trial) for trial in rows], target=[float(i) for i in range(10)])}
    else:
        content = {"unit": structs(spikes=[cell([trial[n] for trial in rows]) for n in range(5)], depth=[1.0] * 5)}
    data = sl.load(save(tmp_path / "a.mat", version, **content), bin_s=BIN_S)
    assert data.lengths.tolist() == [20] * 10
    np.testing.assert_array_equal(data.counts, counts_of(times, [0.0] * 10, 20))
    assert "counted from the start of each trial" in notes_of(data)
    if layout == "trial(i).spikes":
        assert data.trials["target"].tolist() == list(range(10))
    if layout == "unit(i).spikes":
        assert data.neurons["depth"].tolist() == [1.0] * 5


@pytest.mark.parametrize("relative", [True, False])
def test_starts_and_stops_of_trials_say_what_spike_times_count_from(tmp_path, version, relative):
    times, start = trialwise(), np.arange(10) * 3.0 + 7.0
    rows = [cell([one[None] + (0.0 if relative else begin) for one in trial]) for trial, begin in zip(times, start)]
    trial = structs(spikes=rows, start=[*start], stop=[*(start + 1.2)], go=[*(start + 0.4)])
    data = sl.load(save(tmp_path / "a.mat", version, trial=trial), bin_s=BIN_S)
    assert data.lengths.tolist() == [24] * 10
    np.testing.assert_array_equal(data.counts, counts_of(times, [0.0] * 10, 24))
    np.testing.assert_allclose(data.trials["recorded_from_s"], start)
    np.testing.assert_allclose(data.trials["start_time"], start)


def test_units_of_each_spike(tmp_path, version):
    rng = np.random.default_rng(0)
    times, clusters = np.sort(rng.uniform(0, 20, 400)), rng.choice([2, 5, 8], 400)
    path = save(tmp_path / "a.mat", version, sp={"st": times[:, None], "clu": clusters[:, None].astype(float)})
    data = sl.load(path, bin_s=BIN_S)
    assert data.neurons["id"].tolist() == [2, 5, 8]
    start = np.floor(times[0] / BIN_S) * BIN_S
    by_unit = [times[clusters == unit] for unit in (2, 5, 8)]
    np.testing.assert_array_equal(data.counts, counts_of(by_unit, [start], data.n_bins))


def test_samples_with_a_rate_are_seconds(tmp_path, version):
    rng = np.random.default_rng(0)
    samples = [np.sort(rng.integers(0, 30 * 30_000, 100)).astype(float) for _ in range(4)]
    path = save(tmp_path / "a.mat", version, spikes=cell([one[None] for one in samples]), fs=30_000.0)
    data = sl.load(path, bin_s=BIN_S)
    times = [one / 30_000 for one in samples]
    start = np.floor(min(one[0] for one in times) / BIN_S) * BIN_S
    np.testing.assert_array_equal(data.counts, counts_of(times, [start], data.n_bins))
    assert "samples at 'fs'" in notes_of(data)
    with pytest.raises(DataError, match="leaves its unit open"):
        sl.load(save(tmp_path / "b.mat", version, spikes=cell([one[None] for one in samples])))


def test_several_that_look_like_spikes_have_to_be_named(tmp_path, version):
    items = [cell([one[None] for one in trains(seed=seed)]) for seed in (0, 1)]
    path = save(tmp_path / "a.mat", version, spikes_a=items[0], spikes_b=items[1])
    with pytest.raises(DataError, match=r"spikes_a or spikes_b .* counts=<array>"):
        sl.load(path)
    assert sl.load(path, counts="spikes_b", bin_s=BIN_S).counts.sum() == sum(map(len, trains(seed=1)))


def test_what_there_is_instead_of_spikes_is_named(tmp_path, version):
    path = save(tmp_path / "a.mat", version, trial=structs(a=[{"b": 1.0}, 2.0]), words=cell(["x", 3.0]), bin_s=0.02)
    with pytest.raises(DataError, match=r"trial struct 1x2 \(a\); words cell 1x2 of numbers and text") as caught:
        sl.load(path)
    assert "\n" not in str(caught.value)
    uneven = structs(spikes=[np.ones((3, 4)), np.ones((5, 6))])
    with pytest.raises(DataError, match=r"must all have as many neurons"):
        sl.load(save(tmp_path / "b.mat", version, trial=uneven, bin_s=0.02))


def test_values_keep_their_shapes_and_order(tmp_path, version):
    grid = np.empty((2, 3), dtype=object)
    for place in np.ndindex(2, 3):
        grid[place] = np.array([[10.0 * place[0] + place[1], 0.5]])
    path = save(tmp_path / "a.mat", version, grid=grid, one={"x": 1.0, "w": "word"}, words=cell(["a", "", "bc"]))
    with open_matlab(path) as variables:
        found = variables["grid"]
        assert isinstance(found, Cell)
        assert found.shape == (2, 3)
        assert [one.read().ravel()[0] for one in found.items] == [0, 10, 1, 11, 2, 12]
        assert isinstance(variables["one"], Struct)
        arrays = arrays_of(variables)
        assert arrays["one/x"].read() == 1.0
        assert arrays["one/w"].read() == "word"
        assert arrays["words"].read().tolist() == ["a", "", "bc"]


def test_sparse_counts(tmp_path):
    counts = np.random.default_rng(0).poisson(0.1, (200, 7))
    scipy.io.savemat(tmp_path / "a.mat", {"counts": scipy.sparse.csc_matrix(counts), "bin_s": 0.02})
    np.testing.assert_array_equal(sl.load(tmp_path / "a.mat").counts[0], counts)


def test_the_cases_of_the_shared_folder(recordings):
    folder = recordings.parent / "cases" / "arrays"
    if not folder.is_dir():
        pytest.skip(f"no folder {folder}")
    trial = scipy.io.loadmat(folder / "struct_of_trials.mat")["trial"][0]
    data = sl.load(folder / "struct_of_trials.mat")
    for i, one in enumerate(trial):
        np.testing.assert_array_equal(data.counts[i, : data.lengths[i]], one["spikes"].T)
        assert data.trials["target"][i] == one["target"].item()
    times = [one.ravel() for one in scipy.io.loadmat(folder / "cell_of_spike_times.mat")["spike_times"][0]]
    data = sl.load(folder / "cell_of_spike_times.mat", bin_s=BIN_S)
    start = np.floor(min(one[0] for one in times) / BIN_S) * BIN_S
    np.testing.assert_array_equal(data.counts, counts_of(times, [start], data.n_bins))


def test_a_cell_of_nan_is_a_trial_without_spikes(tmp_path):
    """(neuron, trial) cells of spike times, of which one holds NaN for want of a spike."""
    rng = np.random.default_rng(0)
    cells = np.empty((8, 20), dtype=object)
    for place in np.ndindex(cells.shape):
        cells[place] = np.sort(rng.uniform(0, 2, rng.poisson(12)))[None]
    cells[3, 5] = np.array([[np.nan]])
    scipy.io.savemat(tmp_path / "cells.mat", {"spikes": cells})
    data = sl.load(tmp_path / "cells.mat", bin_s=0.02)
    expected = [[np.isfinite(cells[neuron, trial]).sum() for neuron in range(8)] for trial in range(20)]
    np.testing.assert_array_equal(data.counts.sum(1), expected)
    assert any("1 spike times are NaN" in note for note in data.provenance["notes"])
