import errno
import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.io
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import spikeloom as sl
from recordings import assert_same
from recordings import recordings as any_recording
from spikeloom.data.bins import rebin
from spikeloom.data.comparisons import matches
from spikeloom.data.files import load, save
from spikeloom.data.formats.storage import containers
from spikeloom.data.options import LoadOptions
from spikeloom.data.sources import load_source
from spikeloom.data.spikedata import Signal, SpikeData, content_hash
from spikeloom.data.splits import with_default_splits
from spikeloom.errors import DataError

PMD_PLAN = LoadOptions(counts="plan_spikes", bin_s=0.005, condition="plan_condition")
BCI_BASELINE = LoadOptions(
    neurons="good_electrode",
    where=("trial_type=baselineEvaluation", "success=1", "length<=30"),
    condition="target_angle_deg",
)
S1_WINDOWS = LoadOptions(segment="segment", window_s=1.0, signals=("hand_vel",))
HC_WINDOWS = LoadOptions(window_s=1.0)


def counts(n_trials: int = 6, n_bins: int = 10, n_neurons: int = 4) -> np.ndarray:
    return np.random.default_rng(0).poisson(1.0, (n_trials, n_bins, n_neurons)).astype(np.uint8)


def toy() -> SpikeData:
    table = pd.DataFrame({"condition": ["a", "b", None, "a", "b", "a"]}, dtype=object)
    return SpikeData(counts(), 0.02, lengths=[10, 9, 8, 7, 6, 5], trials=table)


def npz(folder: Path, **arrays: object) -> Path:
    path = folder / "arrays.npz"
    np.savez(path, **arrays)
    return path


# -- our own layout ------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=any_recording(), ending=st.sampled_from(["npz", "h5", "hdf5"]))
def test_saving_and_loading_loses_nothing(tmp_path: Path, data: SpikeData, ending: str) -> None:
    path = tmp_path / f"data.{ending}"
    save(data, path)
    back = load(path)
    assert_same(data, back)
    assert content_hash(back) == content_hash(data)


def test_saved_arrays_can_be_read_without_spikeloom(tmp_path: Path) -> None:
    save(toy(), tmp_path / "data.npz")
    with np.load(tmp_path / "data.npz", allow_pickle=False) as file:
        np.testing.assert_array_equal(file["counts"], toy().counts)
        assert file["trials/condition"].tolist() == ["a", "b", "", "a", "b", "a"]
        assert all(file[name].dtype != object for name in file.files)


def test_a_failed_save_leaves_the_older_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "data.npz"
    save(toy(), path)
    before = path.read_bytes()

    def full(file: Path, **_: object) -> None:
        Path(file).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(containers.np, "savez_compressed", full)
    with pytest.raises(DataError, match=r"data\.npz could not be written: no space is left on the device"):
        save(toy(), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["data.npz"]


def test_missing_folders_are_made_and_impossible_places_refused(tmp_path: Path) -> None:
    save(toy(), tmp_path / "new" / "deep" / "data.h5")
    assert_same(load(tmp_path / "new" / "deep" / "data.h5"), toy())
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match="could not be written"):
        save(toy(), tmp_path / "file" / "data.npz")
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(DataError, match="is a folder"):
        save(toy(), tmp_path / "folder.npz")
    with pytest.raises(DataError, match=r"ending '\.csv' is not known; spikeloom writes \.npz"):
        save(toy(), tmp_path / "data.csv")


def test_tables_of_objects_are_refused_by_name(tmp_path: Path) -> None:
    odd = SpikeData(counts(), 0.02, trials=pd.DataFrame({"list": [[1], [2], [3], [4], [5], [6]]}))
    with pytest.raises(DataError, match="trials column 'list' holds list values"):
        save(odd, tmp_path / "data.npz")
    assert not list(tmp_path.iterdir())


def test_damage_to_our_layout_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    save(toy(), path)
    with np.load(path) as file:
        arrays = dict(file)
    for change, message in [
        ({"spikeloom_layout": np.array(99)}, "newer spikeloom"),
        ({"about": np.array("{")}, "'about' is damaged"),
        ({"about": np.array("{}")}, "'about' is damaged"),
        ({"lengths": arrays["lengths"][:3]}, "6 trials"),
    ]:
        np.savez(path, **{**arrays, **change})
        with pytest.raises(DataError, match=message) as caught:
            load(path)
        assert str(path) in str(caught.value)
    np.savez(path, **{k: v for k, v in arrays.items() if k != "counts"})
    with pytest.raises(DataError, match="'counts' is missing"):
        load(path)
    save(toy(), path)
    with pytest.raises(DataError, match="cannot be used with a file in spikeloom's own layout"):
        load(path, LoadOptions(counts="counts"))


# -- arrays of other origin ----------------------------------------------------------------------------------------


def test_arrays_are_taken_by_name_and_shape(tmp_path: Path) -> None:
    values = {
        "spikes": counts(),
        "bin_s": np.float32(0.045),
        "length": np.array([10, 9, 8, 7, 6, 5], np.int16),
        "unit_id": np.array([7, 8, 9, 10]),
        "target": np.arange(12.0).reshape(6, 2),
        "kind": np.array(["go", "go", "stop", "go", "stop", "go"]),
        "split": np.array(["train", "train", "val", "test", "none", "train"]),
        "hand": np.ones((6, 10, 2), np.float32),
        "border": np.tile(np.arange(11.0)[None, :, None], (6, 1, 1)),
        "lfp": np.zeros((3, 500), np.float32),
    }
    data = load(npz(tmp_path, **values))
    assert data.bin_s == 0.045
    assert data.lengths.tolist() == [10, 9, 8, 7, 6, 5]
    assert list(data.trials) == ["target_0", "target_1", "kind", "split"]
    assert data.neurons["id"].tolist() == [7, 8, 9, 10]
    assert set(data.signals) == {"hand", "border"}
    np.testing.assert_allclose(data.signals["border"].values[0, :, 0], np.arange(10) + 0.5)
    assert {k: v.tolist() for k, v in data.splits.items()} == {"train": [0, 1, 5], "val": [2], "test": [3]}
    notes = " ".join(data.provenance["notes"])
    assert "counts is 'spikes'" in notes
    assert "not used: lfp" in notes
    chosen = load(tmp_path / "arrays.npz", LoadOptions(signals=(), columns=("kind",), condition="kind"))
    assert not chosen.signals
    assert list(chosen.trials) == ["kind", "split", "condition"]


@pytest.mark.parametrize("ending", ["npz", "h5", "mat"])
def test_every_container_gives_the_same_arrays(tmp_path: Path, ending: str) -> None:
    values = {"spikes": counts(), "bin_s": 0.02, "length": np.array([10, 9, 8, 7, 6, 5]), "speed": np.arange(6.0)}
    path = tmp_path / f"arrays.{ending}"
    if ending == "npz":
        np.savez(path, **values)
    elif ending == "h5":
        with h5py.File(path, "w") as file:
            for name, value in values.items():
                file[f"session/{name}"] = value
    else:
        scipy.io.savemat(path, {"session": values})
    data = load(path)
    np.testing.assert_array_equal(data.counts, SpikeData(counts(), 0.02, lengths=values["length"]).counts)
    assert data.lengths.tolist() == values["length"].tolist()
    assert data.trials.iloc[:, 0].tolist() == list(range(6))


def test_matlab_files_of_version_7_3_and_cells_of_words(tmp_path: Path) -> None:
    words = np.array(["go", "stop", "go", "", "stop", "go"], dtype=object)
    scipy.io.savemat(tmp_path / "five.mat", {"spikes": counts().astype(float), "bin_s": 0.02, "kind": words})
    with h5py.File(tmp_path / "seven.mat", "w") as file:  # MATLAB writes columns first
        file["spikes"] = counts().transpose(2, 1, 0).astype(float)
        file["bin_s"] = np.array([[0.02]])
        cells = [file.create_dataset(f"#refs#/{i}", data=[[ord(c)] for c in w] or [0, 0]) for i, w in enumerate(words)]
        for cell, word in zip(cells, words):
            cell.attrs["MATLAB_class"] = np.bytes_("char")
            if not word:
                cell.attrs["MATLAB_empty"] = 1
        file.create_dataset("kind", data=np.array([[c.ref for c in cells]], dtype=h5py.ref_dtype))
    for name in ("five.mat", "seven.mat"):
        data = load(tmp_path / name)
        np.testing.assert_array_equal(data.counts, counts())
        assert data.counts.dtype == np.uint8
    assert load(tmp_path / "five.mat").trials["kind"].tolist() == words.tolist()
    assert load(tmp_path / "seven.mat", LoadOptions(condition="kind")).trials["condition"].tolist() == words.tolist()


def test_cells_of_no_spikes_are_named(tmp_path: Path) -> None:
    cells = np.empty(2, dtype=object)
    cells[:] = [counts()[:2], "word"]
    scipy.io.savemat(tmp_path / "cells.mat", {"spikes": cells, "bin_s": 0.02})
    with pytest.raises(DataError, match=r"no spikes .*it holds: spikes cell 1x2 of numbers and text; bin_s float64"):
        load(tmp_path / "cells.mat")


@pytest.mark.parametrize("axes", ["trial,time,neuron", "neuron,time,trial", "time, neuron, trial"])
def test_axes_may_come_in_any_order(tmp_path: Path, axes: str) -> None:
    order = [("trial", "time", "neuron").index(a.strip()) for a in axes.split(",")]
    path = npz(tmp_path, spikes=counts().transpose(order), bin_s=0.02)
    np.testing.assert_array_equal(load(path, LoadOptions(axes=axes)).counts, counts())
    path = npz(tmp_path, spikes=counts().transpose(order), bin_s=0.02, dims=np.array(axes.replace(" ", "").split(",")))
    np.testing.assert_array_equal(load(path).counts, counts())


def test_no_window_crosses_the_border_of_a_segment(tmp_path: Path) -> None:
    time = np.arange(50)
    segment = np.repeat([0, 1, 0, 2], [20, 7, 3, 20])
    path = npz(tmp_path, spikes=np.tile(time[:, None], 3), segment=segment, bin_s=0.1, hand=time.astype(float))
    pieces = load(path)
    assert pieces.lengths.tolist() == [20, 7, 3, 20]
    assert pieces.trials["segment"].tolist() == [0, 1, 0, 2]
    cut = load(path, LoadOptions(window_s=0.5, step_s=0.2))
    assert len(set(map(tuple, cut.counts[:, :, 0]))) == cut.n_trials
    assert set(cut.counts[:, 0, 0]) == {*range(0, 16, 2), 20, 22, *range(30, 46, 2)}
    np.testing.assert_array_equal(cut.signals["hand"].values[..., 0], cut.counts[..., 0])
    assert (np.diff(cut.counts[:, :, 0].astype(int), axis=1) == 1).all()


def test_float_counts_may_end_in_nan_where_trials_end(tmp_path: Path) -> None:
    padded = counts().astype(float)
    padded[1, 7:] = np.nan
    data = load(npz(tmp_path, spikes=padded, bin_s=0.02))
    assert data.lengths.tolist() == [10, 7, 10, 10, 10, 10]


def test_trials_are_filtered_before_their_lengths_are_checked(tmp_path: Path) -> None:
    path = npz(tmp_path, spikes=counts(), bin_s=0.02, length=[10, 0, 8, 7, 6, 5], ok=[True, False] + 4 * [True])
    with pytest.raises(DataError, match="length of trial 1 is 0"):
        load(path)
    assert load(path, LoadOptions(where=("ok=true",))).lengths.tolist() == [10, 8, 7, 6, 5]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("n=2", [0, 1, 0, 0]),
        ("n != 2", [1, 0, 1, 1]),
        ("n<2", [1, 0, 0, 0]),
        ("n<=2", [1, 1, 0, 0]),
        ("n>=2", [0, 1, 1, 0]),
        ("word=go", [1, 0, 1, 0]),
        ("word!=go", [0, 1, 0, 1]),
        ("flag=false", [0, 1, 0, 1]),
    ],
)
def test_comparisons(text: str, expected: list[int]) -> None:
    table = pd.DataFrame({"n": [1, 2, 3, np.nan], "word": ["go", "stop", "go", None], "flag": [True, False] * 2})
    assert matches(table, text).astype(int).tolist() == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"counts": "nothing"}, "no array 'nothing' for counts; the file holds: spikes uint8"),
        ({"counts": "bin_s"}, "axes"),
        ({"lengths": "kind"}, "one a trial"),
        ({"axes": "time,neuron"}, "names 2 axes"),
        ({"neurons": "kind"}, "mask of neurons needs 4"),
        ({"neurons": "nothing"}, "no neuron column 'nothing'"),
        ({"neurons": "unit_id"}, "no neuron column 'unit_id'|not true or false"),
        ({"neurons": "id>99"}, "no neuron is left"),
        ({"signals": ("nothing",)}, "no signal 'nothing'"),
        ({"columns": ("nothing",)}, "no trial column 'nothing'"),
        ({"condition": "unit_id"}, "trial column needs 6|no trial column"),
        ({"where": ("nothing=1",)}, "no trial column 'nothing'"),
        ({"where": ("speed=fast",)}, "holds numbers"),
        ({"where": ("kind>a",)}, "use = or !="),
        ({"where": ("speed>99",)}, "no trial is left"),
        ({"bin_s": 0.03}, "whole multiple"),
        ({"bin_s": 0.4}, "wider than the longest trial"),
        ({"window_s": 0.05}, "not a whole number of bins"),
        ({"window_s": 0.4}, "longer than the longest trial"),
        ({"align": "speed", "after_s": 1.0}, "no trial is left"),
        ({"align": "kind", "after_s": 0.1}, "does not hold times"),
    ],
)
def test_options_that_do_not_fit_the_file_are_refused(tmp_path: Path, options: dict, message: str) -> None:
    kind = np.array(list("abcabc"))
    path = npz(tmp_path, spikes=counts(), bin_s=0.02, kind=kind, speed=np.arange(6.0), unit_id=np.arange(4))
    with pytest.raises(DataError, match=message) as caught:
        load(path, LoadOptions(**options))
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bin_s": -1.0}, "positive"),
        ({"window_s": float("nan")}, "positive"),
        ({"step_s": 1.0}, "give window_s too"),
        ({"before_s": 1.0}, "give align"),
        ({"bin_s": 20}, r"bin_s is 20, but it is in seconds .* did you mean 0\.02 \(20 ms\)\?"),
        ({"align": "go_time", "after_s": 1.0, "continuous": True}, "not both"),
        ({"align": "go_time", "after_s": 1.0, "reaches": "vel"}, "around reaches .* around events"),
        ({"window_s": 1.0, "reaches": "vel"}, "around reaches .* as windows"),
        ({"align": "go_time", "after_s": 1.0, "window_s": 1.0, "scored": "a,b"}, "not both"),
        ({"axes": "time,unit"}, "must be an order"),
        ({"where": ("__import__('os')",)}, "not a comparison"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        LoadOptions(**options)


def test_options_survive_json_and_wrong_types_are_refused() -> None:
    for options in (PMD_PLAN, BCI_BASELINE, S1_WINDOWS, HC_WINDOWS, LoadOptions(continuous=True, lag_s=0.1)):
        assert LoadOptions.from_dict(json.loads(json.dumps(options.to_dict()))) == options
    for values, message in [
        ({"windows": 1.0}, "no load option 'windows'"),
        ({"window_s": "1"}, "'window_s' is '1', but must be a number"),
        ({"where": [1]}, "must be text, or a list of texts"),
        ({"continuous": 1}, "must be true or false"),
        ({"counts": 3}, "must be text"),
    ]:
        with pytest.raises(DataError, match=message):
            LoadOptions.from_dict(values)


def test_wider_bins_sum_counts_and_average_signals() -> None:
    ramp = np.tile(np.arange(10.0)[None, :, None], (6, 1, 1))
    data = SpikeData(
        counts(), 0.02, [10, 9, 8, 7, 6, 2], {"hand": Signal(ramp)}, rates=np.ones((6, 10, 4)), latents=ramp
    )
    wide = rebin(data, 0.06)
    assert wide.lengths.tolist() == [3, 3, 2, 2, 2]
    assert "1 trials" in wide.provenance["notes"][0]
    np.testing.assert_array_equal(wide.counts[0, 1], data.counts[0, 3:6].sum(axis=0))
    assert wide.signals["hand"].values[0, :, 0].tolist() == wide.latents[0, :, 0].tolist() == [1, 4, 7]
    assert (wide.rates[wide.valid] == 3).all()


# -- files that cannot be read -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("truncated.nwb", ["truncated or damaged", "download"]),
        ("no_units.nwb", ["no spike times", "units table"]),
        ("trial_stop_before_start.nwb", ["trial 3", "6.5", "5.5"]),
        ("negative_counts.npz", ["'spikes'", "negative", "-1", "trial 2, bin 7, neuron 1"]),
        ("nan_counts.npz", ["'spikes'", "NaN", "trial 3, bin 4, neuron 2", "complete"]),
        ("fractional_counts.npz", ["'spikes'", "0.5", "trial 1, bin 1, neuron 1", "are these rates?"]),
        ("wrong_axes.npz", ["'spikes'", "'unit_id'", "5 entries", "8 neurons", "axes="]),
        ("mismatched_lengths.npz", ["'length' has 9", "instead of 8", "'hand_vel'", "25", "'condition' has 7"]),
        ("pickled_objects.npz", ["'spikes'", "object arrays", "padded integer array"]),
    ],
)
def test_broken_files_end_in_one_sentence(recordings: Path, name: str, words: list[str]) -> None:
    path = recordings / "broken" / name
    with pytest.raises(DataError) as caught:
        load_source(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert message.endswith(".")
    assert "\n" not in message
    assert [word for word in words if word not in message] == []


def test_paths_without_a_recording_are_reported(tmp_path: Path) -> None:
    (tmp_path / "empty.npz").touch()
    (tmp_path / "text.doc").write_text("1,2")
    (tmp_path / "words.npz").write_text("these are words")
    (tmp_path / "words.h5").write_text("these are words")
    (tmp_path / "words.mat").write_text("these are words")
    (tmp_path / "words.nwb").write_text("these are words")
    npz(tmp_path, spikes=counts(), bin_s=0.02)
    whole = (tmp_path / "arrays.npz").read_bytes()
    (tmp_path / "half.npz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "flipped.npz").write_bytes(whole.replace(b"\x93NUMPY", b"\x93NUMPI"))
    for name, message in [
        ("missing.npz", "there is no file"),
        (".", "is a folder"),
        ("empty.npz", "is empty"),
        ("text.doc", r"ending '\.doc' is not known; spikeloom reads"),
        *((f"words.{ending}", "truncated or damaged") for ending in ("npz", "h5", "mat", "nwb")),
        ("half.npz", "truncated or damaged"),
        ("flipped.npz", "truncated or damaged"),
    ]:
        with pytest.raises(DataError, match=message) as caught:
            load(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_pickles_are_never_opened(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple:
            return (Path.touch, (tmp_path / "sprung",))

    path = npz(tmp_path, spikes=counts(), bin_s=0.02, trap=np.array([Trap()], dtype=object))
    assert load(path).n_trials == 6  # not requested, so not read
    with pytest.raises(DataError, match="'trap': object arrays"):
        load(path, LoadOptions(counts="trap"))
    with pytest.raises(DataError, match="'trap' has 1 entries"):
        load(path, LoadOptions(lengths="trap"))
    assert not (tmp_path / "sprung").exists()


def test_the_smallest_recordings_are_recordings(tmp_path: Path) -> None:
    for values in (np.zeros((1, 5, 3), int), np.ones((4, 5, 1), int), np.zeros((5, 1), int)):
        data = load(npz(tmp_path, spikes=values, bin_s=0.02))
        assert data.counts.size == values.size
    with pytest.raises(DataError, match="empty"):
        load(npz(tmp_path, spikes=np.zeros((0, 5, 3), int), bin_s=0.02))
    with pytest.raises(DataError, match=r"width of a bin is not in the file; give it .* stored_bin_s"):
        load(npz(tmp_path, spikes=counts()))
    with pytest.raises(DataError, match=r"not clear \(a_spikes or b_spikes\?\)"):
        load(npz(tmp_path, a_spikes=counts(), b_spikes=counts(), bin_s=0.02))


# -- sources -------------------------------------------------------------------------------------------------------


def test_unknown_sources_suggest_the_nearest(tmp_path: Path) -> None:
    save(toy(), tmp_path / "recording.npz")
    with pytest.raises(DataError, match=r"did you mean '.*recording\.npz'"):
        load_source(tmp_path / "recroding.npz")
    with pytest.raises(DataError, match=r"data sets: lorenz, center-out, reaching, .*\); did you mean 'lorenz'"):
        load_source("lorentz")
    with pytest.raises(DataError, match="check the path"):
        load_source(tmp_path / "no" / "such" / "file.npz")


def run_folder(tmp_path: Path, **changes: object) -> Path:
    path = npz(tmp_path, spikes=counts(), bin_s=0.02, length=[10, 9, 8, 7, 6, 5])
    options = LoadOptions(where=("length>5",))
    data = with_default_splits(load(path, options))
    folder = tmp_path / "run"
    folder.mkdir(exist_ok=True)
    content = {
        "source": str(path),
        "load_options": options.to_dict(),
        "splits": {k: v.tolist() for k, v in data.splits.items()},
        "hash": content_hash(data),
    }
    (folder / "data.json").write_text(json.dumps({**content, **changes}))
    return folder


def test_a_run_of_version_0_1_0_keeps_its_options_under_their_old_name(tmp_path: Path) -> None:
    data = load_source(run_folder(tmp_path))
    record = tmp_path / "run" / "data.json"
    record.write_text(record.read_text().replace('"load_options"', '"reading"'))
    assert_same(load_source(tmp_path / "run"), data)


def test_a_run_brings_its_recording_and_splits(tmp_path: Path) -> None:
    data = load_source(run_folder(tmp_path))
    assert data.n_trials == 5
    assert set(data.splits) == {"train", "val", "test"}
    relative = load_source(run_folder(tmp_path, source="../arrays.npz"))
    assert_same(relative, data)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hash": "0" * 64}, "not the one that the run"),
        ({"source": "gone.npz"}, "cannot be loaded"),
        ({"source": "."}, "cannot be loaded.* is a folder without"),
        ({"source": None}, "which was in memory only"),
        ({"source": 3}, "damaged"),
        ({"load_options": {"evil": 1}}, "no load option 'evil'"),
        ({"splits": {"train": ["x"]}}, "damaged"),
        ({"splits": {"train": [99]}}, "names trial 99"),
        ({"splits": None}, "damaged"),
    ],
)
def test_runs_that_changed_are_refused(tmp_path: Path, changes: dict, message: str) -> None:
    folder = run_folder(tmp_path, **changes)
    with pytest.raises(DataError, match=message):
        load_source(folder)


def test_folders_that_are_no_runs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"without data\.json"):
        load_source(tmp_path)
    folder = run_folder(tmp_path)
    with pytest.raises(DataError, match="brings its own load options"):
        sl.load(folder, window_s=1.0)
    (folder / "data.json").write_text("{")
    with pytest.raises(DataError, match="damaged"):
        load_source(folder)


@settings(max_examples=40, deadline=None)
@given(st.integers(3, 60), st.integers(1, 5), st.sets(st.sampled_from(["train", "val", "test", "extra"]), max_size=4))
def test_default_splits_are_whole_and_repeatable(n_trials: int, n_conditions: int, named: set[str]) -> None:
    condition = np.arange(n_trials) % n_conditions
    names = sorted(named)
    parts = np.array_split(np.arange(n_trials), 4)
    given_splits = {name: parts[i] for i, name in enumerate(names) if len(parts[i])}
    data = SpikeData(
        np.zeros((n_trials, 1, 1), int), 0.01, trials=pd.DataFrame({"condition": condition}), splits=given_splits
    )
    left = len(given_splits["train"]) if "train" in given_splits else n_trials - sum(map(len, given_splits.values()))
    if left < 1 + len({"val", "test"} - set(given_splits)):
        with pytest.raises(DataError, match="least three trials"):
            with_default_splits(data)
        return
    split = with_default_splits(data).splits
    assert list(split)[:3] == ["train", "val", "test"]
    assert all(len(v) for v in split.values())
    indices = np.concatenate(list(split.values()))
    assert len(set(indices.tolist())) == len(indices)
    if "train" not in named:
        assert len(indices) == n_trials
    for name, kept in given_splits.items():
        if name != "train":
            np.testing.assert_array_equal(split[name], kept)
    again = with_default_splits(data).splits
    assert all(np.array_equal(again[k], v) for k, v in split.items())


def test_too_few_trials_cannot_be_split() -> None:
    with pytest.raises(DataError, match="at least three trials"):
        with_default_splits(SpikeData(np.zeros((2, 5, 1), int), 0.01))


# -- the subsets with reference values -----------------------------------------------------------------------------


def test_reference_subsets_are_options(recordings: Path) -> None:
    stored = np.load(recordings / "pmd_reach_1ms.npz")
    data = load(recordings / "pmd_reach_1ms.npz", PMD_PLAN)
    np.testing.assert_array_equal(data.counts, stored["plan_spikes"].reshape(210, 80, 5, 61).sum(axis=2))
    np.testing.assert_array_equal(data.trials["condition"], stored["plan_condition"])

    stored = np.load(recordings / "bci_m1_45ms.npz")
    kept = (stored["trial_type"] == "baselineEvaluation") & (stored["success"] == 1) & (stored["length"] <= 30)
    data = load(recordings / "bci_m1_45ms.npz", BCI_BASELINE)
    assert data.counts.shape == (479, 30, 93)
    np.testing.assert_array_equal(data.counts, stored["spikes"][kept][:, :30, stored["good_electrode"]])
    np.testing.assert_array_equal(data.lengths, stored["length"][kept])
    np.testing.assert_array_equal(data.trials["condition"] / 45, stored["target_angle_deg"][kept] / 45)
    assert all(np.isfinite(signal.values).all() for signal in data.signals.values())

    stored = np.load(recordings / "s1_reach_50ms.npz")
    segment = stored["segment"]
    start = [s for k in np.unique(segment) for w in [np.flatnonzero(segment == k)] for s in w[:-19:20]]
    place = np.array(start)[:, None] + np.arange(20)
    data = load(recordings / "s1_reach_50ms.npz", S1_WINDOWS)
    assert data.counts.shape == (1560, 20, 52)
    np.testing.assert_array_equal(data.counts, stored["spikes"][place])
    np.testing.assert_array_equal(data.signals["hand_vel"].values, stored["hand_vel"][place])

    stored = np.load(recordings / "hc_place_animal1_25ms.npz")
    data = load(recordings / "hc_place_animal1_25ms.npz", HC_WINDOWS)
    np.testing.assert_array_equal(data.counts, stored["spikes"][: 1459 * 40].reshape(1459, 40, 49))


def test_real_recordings_survive_every_format(recordings: Path, tmp_path: Path) -> None:
    data = with_default_splits(load(recordings / "bci_m1_45ms.npz", BCI_BASELINE))
    for ending in ("npz", "h5"):
        save(data, tmp_path / f"bci.{ending}")
        assert_same(load(tmp_path / f"bci.{ending}"), data)
    shutil.rmtree(tmp_path)
