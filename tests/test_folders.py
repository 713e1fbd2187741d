"""Folders of Phy, Kilosort and the ALF standard: what is in them, what is left out, and what is refused."""

import numpy as np
import pandas as pd
import pytest

import spikeloom as sl
from spikeloom.cli import main
from spikeloom.data.formats.folders.phy import sample_rate
from spikeloom.errors import DataError
from stored import notes_of

RATE = 30_000
BIN_S = 0.05
GROUPS = {0: "good", 3: "good", 5: "mua", 7: "noise", 9: "unsorted", 11: "good"}  # 11 has no spikes


def spikes(n: int = 600, seconds: float = 20.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    samples = np.sort(rng.integers(0, int(seconds * RATE), n))
    return samples, rng.choice([0, 3, 5, 7, 9], n)


def phy(folder, times_dtype=np.uint64, column=True, params="sample_rate = 30000\n", groups=True):
    folder.mkdir(exist_ok=True)
    samples, clusters = spikes()
    times = samples.astype(times_dtype)
    np.save(folder / "spike_times.npy", times[:, None] if column else times)
    np.save(folder / "spike_clusters.npy", clusters.astype(np.int32))
    if params is not None:
        (folder / "params.py").write_text(params)
    if groups:
        rows = "".join(f"{number}\t{group}\n" for number, group in GROUPS.items())
        (folder / "cluster_group.tsv").write_text("cluster_id\tgroup\n" + rows)
    return folder


def histogram(times, units, ids, start, n_bins, bin_s=BIN_S):
    """The oracle: which bin each spike is in, by division alone."""
    counts = np.zeros((n_bins, len(ids)), int)
    for column, unit in enumerate(ids):
        bins = np.floor((times[units == unit] - start) / bin_s + 1e-7).astype(int)
        np.add.at(counts[:, column], bins[(bins >= 0) & (bins < n_bins)], 1)
    return counts


@pytest.mark.parametrize(("dtype", "column"), [(np.uint64, True), (np.int64, False), (np.uint32, True), (float, False)])
def test_a_phy_folder_is_its_clusters_without_noise(tmp_path, dtype, column):
    data = sl.load(phy(tmp_path / "phy", dtype, column), bin_s=BIN_S)
    samples, clusters = spikes()
    ids = [0, 3, 5, 9]
    assert data.neurons["id"].tolist() == ids
    assert data.neurons["group"].tolist() == ["good", "good", "mua", "unsorted"]
    times = samples / RATE
    start = np.floor(times[np.isin(clusters, ids)].min() / BIN_S) * BIN_S
    np.testing.assert_array_equal(data.counts[0], histogram(times, clusters, ids, start, data.n_bins))
    assert "1 of 5 clusters are noise" in notes_of(data)
    assert "1 clusters without spikes were left out (id 11)" in notes_of(data)


def test_quality_is_the_group_else_the_label_of_kilosort(tmp_path):
    folder = phy(tmp_path / "phy")
    assert sl.load(folder, quality="good").neurons["id"].tolist() == [0, 3]
    assert sl.load(folder, quality="good,mua").neurons["id"].tolist() == [0, 3, 5]
    assert sl.load(folder, quality="noise").neurons["id"].tolist() == [7]
    assert sl.load(folder, neurons="group=mua").neurons["id"].tolist() == [5]
    (folder / "cluster_KSLabel.tsv").write_text("cluster_id\tKSLabel\n0\tmua\n3\tgood\n5\tgood\n7\tgood\n9\tgood\n")
    assert sl.load(folder, quality="good").neurons["id"].tolist() == [0, 3]
    (folder / "cluster_group.tsv").write_text("cluster_id\tgroup\n0\tgood\n5\tmua\n")  # the others are not curated
    assert sl.load(folder, quality="good").neurons["id"].tolist() == [0, 3, 7, 9]
    (folder / "cluster_group.tsv").unlink()
    assert sl.load(folder, quality="good").neurons["id"].tolist() == [3, 5, 7, 9]
    with pytest.raises(DataError, match="no unit has the quality 'best'"):
        sl.load(folder, quality="best")


def test_cluster_info_gives_the_columns_of_neurons(tmp_path):
    folder = phy(tmp_path / "phy", groups=False)
    info = pd.DataFrame({"id": [9, 7, 5, 3, 0], "ch": [4, 3, 2, 1, 0], "depth": 10.0, "group": ["good"] + [None] * 4})
    info.to_csv(folder / "cluster_info.tsv", sep="\t", index=False)
    (folder / "cluster_Amplitude.tsv").write_text("cluster_id\tAmplitude\n0\t1.5\n3\t2.5\n")
    data = sl.load(folder)
    assert data.neurons["ch"].tolist() == [0, 1, 2, 3, 4]
    assert data.neurons["Amplitude"].tolist()[:2] == [1.5, 2.5]
    assert np.isnan(data.neurons["Amplitude"].tolist()[2])
    assert sl.load(folder, quality="good").neurons["id"].tolist() == [9]


def test_templates_and_seconds_stand_in(tmp_path):
    folder = phy(tmp_path / "phy", params=None)
    (folder / "spike_clusters.npy").rename(folder / "spike_templates.npy")
    (folder / "spike_times.npy").unlink()
    np.save(folder / "spike_times_sec.npy", spikes()[0] / RATE)
    data = sl.load(folder, bin_s=BIN_S)
    assert data.counts.sum() == np.isin(spikes()[1], [0, 3, 5, 9]).sum()
    assert "there is no spike_clusters.npy" in notes_of(data)


@pytest.mark.parametrize(
    "text",
    [
        "sample_rate = 30000",
        "sample_rate=30_000.",
        "sample_rate\t= 3e4  # Hz",
        "sample_rate: float = 30000.0",
        "sample_rate = float(30000)",
        "sample_rate = np.float64(30000.0)",
        "dat_path = r'C:\\Users\\a\\rec.dat'\r\nn_channels_dat = 4\r\nsample_rate = 30000.\r\nhp_filtered = False",
        "dat_path = 'C:\\Users\\x'  # not even Python\n# sample_rate = 25000\nsample_rate = 30000 # was 25000\n",
        "\ufeffsample_rate = 30000",
    ],
)
def test_the_rate_is_read_in_any_usual_spelling(tmp_path, text):
    (tmp_path / "params.py").write_text(text, encoding="utf-8")
    assert sample_rate(tmp_path / "params.py") == 30000.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "there is no params.py"),
        ("n_channels = 4", "does not give the rate"),
        ("sample_rate = get_rate()", "'get_rate\\(\\)', which is no plain number"),
        ("sample_rate = __import__('os').system('touch owned')", "never executed"),
        ("sample_rate = 30 * 1000", "no plain number"),
        ("sample_rate = 30000\nif x:\n    sample_rate = 25000\n", "no plain number"),
        ("sample_rate = 30", "30 Hz, too slow"),
        ("sample_rate = '30000'", "no plain number"),
    ],
)
def test_a_rate_that_is_no_number_is_refused_and_never_run(tmp_path, monkeypatch, text, message):
    monkeypatch.chdir(tmp_path)
    folder = phy(tmp_path / "phy", params=text)
    with pytest.raises(DataError, match=message) as caught:
        sl.load(folder)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "owned").exists()


def test_what_is_wrong_in_a_folder_is_one_sentence(tmp_path):
    folder = phy(tmp_path / "phy")
    np.save(folder / "spike_clusters.npy", np.zeros(3, int))
    with pytest.raises(DataError, match=r"spike_clusters.npy has 3 entries, but there are 600 spikes"):
        sl.load(folder)
    np.save(folder / "spike_clusters.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match=r"spike_clusters.npy: object arrays .* can run code"):
        sl.load(folder)
    with pytest.raises(DataError, match=r"its folder 'phy' is of Phy: name that"):
        sl.load(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"spike_times.npy .* spikes.times.npy"):
        sl.load(tmp_path / "empty")


@pytest.mark.parametrize("kind", ["trials.csv", "trials.tsv", "trials.parquet", "trials.npy", "trials.npz"])
def test_trials_come_from_a_file_of_their_own(tmp_path, kind):
    folder, path = phy(tmp_path / "phy"), tmp_path / kind
    table = pd.DataFrame({"start_time": [1.0, 5.0, 9.5], "stop_time": [2.0, 6.0, 10.5], "go": [1.2, 5.4, 9.9]})
    table = table.assign(side=["l", "r", "l"])
    if kind.endswith("npy"):
        np.save(path, table[["start_time", "stop_time"]].to_numpy())
    elif kind.endswith("npz"):
        np.savez(path, start=table["start_time"], end=table["stop_time"], type=np.array(["IntervalSet"]))
    elif kind.endswith("parquet"):
        table.to_parquet(path)
    else:
        table.to_csv(path, sep="\t" if kind.endswith("tsv") else ",", index=False)
    samples, clusters = spikes()
    data = sl.load(folder, trials=path, bin_s=BIN_S)
    expected = [histogram(samples / RATE, clusters, [0, 3, 5, 9], start, 20) for start in table["start_time"]]
    np.testing.assert_array_equal(data.counts, expected)
    if not kind.startswith("trials.np"):
        assert data.trials["side"].tolist() == ["l", "r", "l"]
        data = sl.load(folder, trials=path, bin_s=BIN_S, align="go", before_s=0.1, after_s=0.3)
        expected = [histogram(samples / RATE, clusters, [0, 3, 5, 9], go - 0.1, 8) for go in table["go"]]
        np.testing.assert_array_equal(data.counts, expected)


def test_a_file_of_trials_that_cannot_be_used_is_named(tmp_path):
    folder = phy(tmp_path / "phy")
    for name, content, message in [
        ("gone.csv", None, "there is no file '.*gone.csv' with trials"),
        ("trials.xlsx", "x", "must be a file with a table of trials"),
        ("trials.csv", "1.0,2.0\n3.0,4.0\n", "has no header"),
        ("words.csv", "start_time,stop_time\na,b\n", "has 'a' in start_time"),
    ]:
        if content is not None:
            (tmp_path / name).write_text(content)
        with pytest.raises(DataError, match=message):
            sl.load(folder, trials=tmp_path / name)
    (tmp_path / "odd.csv").write_text("Start (ms),End (ms)\n1000,2000\n3000,4000\n")
    data = sl.load(folder, trials=tmp_path / "odd.csv", bin_s=BIN_S)
    assert data.trials["start_time"].tolist() == [1.0, 3.0]
    assert "milliseconds, by its name" in notes_of(data)


# -- ALF -----------------------------------------------------------------------------------------------------------


def alf(folder, prefix="", part="", metrics="csv", table=None):
    folder.mkdir(parents=True, exist_ok=True)
    samples, clusters = spikes()
    np.save(folder / f"{prefix}spikes.times{part}.npy", samples / RATE)
    np.save(folder / f"{prefix}spikes.clusters{part}.npy", clusters.astype(np.uint16))
    label = pd.DataFrame({"cluster_id": range(12), "label": np.round(np.arange(12) % 4 / 3, 2)})
    if metrics == "csv":
        label.to_csv(folder / f"clusters.metrics{part}.csv", index=False)
    else:
        label.to_parquet(folder / f"clusters.metrics{part}.pqt")
    np.save(folder / f"clusters.channels{part}.npy", np.arange(12)[::-1])
    areas = np.array([f"CA{i}" for i in range(12)])
    np.save(folder / f"channels.brainLocationAcronyms_ccf_2017{part}.npy", areas)
    starts = np.arange(8) * 2.0
    intervals = np.column_stack([starts, starts + 1.5])
    if table is None:
        np.save(folder / f"{prefix}trials.intervals{part}.npy", intervals)
        np.save(folder / f"{prefix}trials.choice{part}.npy", np.tile([-1, 1], 4))
        np.save(folder / f"{prefix}trials.goCue_times{part}.npy", starts + 0.4)
    else:
        columns = {"intervals_0": starts, "intervals_1": starts + 1.5, "choice": np.tile([-1, 1], 4)}
        pd.DataFrame({**columns, "goCue_times": starts + 0.4}).to_parquet(folder / table)
    return folder


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"prefix": "_ibl_"},
        {"part": ".89c861ea-66aa-4729-a808-e79f84d08b81"},
        {"table": "_ibl_trials.table.pqt", "metrics": "pqt"},
        {"table": "trials.table.ab12.pqt"},
    ],
)
def test_an_alf_folder_is_its_clusters_and_trials(tmp_path, how):
    folder = alf(tmp_path / "alf", **how)
    samples, clusters = spikes()
    data = sl.load(folder, bin_s=BIN_S)
    ids = [0, 3, 5, 7, 9]
    assert data.neurons["id"].tolist() == ids
    assert data.neurons["label"].tolist() == [0.0, 1.0, 0.33, 1.0, 0.33]
    assert data.neurons["brainLocationAcronyms_ccf_2017"].tolist() == ["CA11", "CA8", "CA6", "CA4", "CA2"]
    expected = [histogram(samples / RATE, clusters, ids, start, 30) for start in np.arange(8) * 2.0]
    np.testing.assert_array_equal(data.counts, expected)
    assert data.trials["choice"].tolist() == [-1, 1] * 4
    aligned = sl.load(folder, bin_s=BIN_S, align="goCue_times", before_s=0.2, after_s=0.5, quality="good")
    expected = [histogram(samples / RATE, clusters, [3, 7], start + 0.2, 14) for start in np.arange(8) * 2.0]
    np.testing.assert_array_equal(aligned.counts, expected)
    assert sl.load(folder, quality="0.3").neurons["id"].tolist() == [3, 5, 7, 9]
    with pytest.raises(DataError, match=r"quality is 'great', but the labels of units are numbers"):
        sl.load(folder, quality="great")


def test_wheel_and_cameras_are_signals(tmp_path):
    folder = alf(tmp_path / "alf")
    times = np.arange(0, 20, 0.01)
    np.save(folder / "_ibl_wheel.position.npy", np.sin(times))
    np.save(folder / "_ibl_wheel.timestamps.npy", times)
    np.save(folder / "_ibl_leftCamera.times.npy", times)
    pd.DataFrame({"x": times, "y": -times}).to_parquet(folder / "_ibl_leftCamera.features.pqt")
    np.save(folder / "licks.times.npy", times[::7])
    data = sl.load(folder, bin_s=BIN_S)
    assert set(data.signals) == {"wheel_position", "leftCamera_features"}
    centre = np.arange(30) * BIN_S + BIN_S / 2
    np.testing.assert_allclose(data.signals["wheel_position"].values[3, :, 0], np.sin(6.0 + centre), atol=1e-3)
    np.testing.assert_allclose(data.signals["leftCamera_features"].values[3, :, 1], -(6.0 + centre), atol=1e-4)
    assert set(sl.load(folder, bin_s=BIN_S, signals="wheel_position").signals) == {"wheel_position"}


def test_spikes_may_lie_below_and_trials_above(tmp_path):
    alf(tmp_path / "alf")
    probe = tmp_path / "alf" / "probe00" / "pykilosort"
    probe.mkdir(parents=True)
    for file in [*(tmp_path / "alf").glob("spikes.*"), *(tmp_path / "alf").glob("cl*")]:
        file.rename(probe / file.name)
    inside, outside = sl.load(probe, bin_s=BIN_S), sl.load(tmp_path, bin_s=BIN_S)
    np.testing.assert_array_equal(inside.counts, outside.counts)
    assert inside.n_trials == 8
    alf(tmp_path / "alf" / "probe01")
    with pytest.raises(DataError, match=r"spikes of 2 probes \(alf/probe00/pykilosort, alf/probe01\)"):
        sl.load(tmp_path)


def test_objects_in_an_alf_folder_are_never_loaded(tmp_path):
    folder = alf(tmp_path / "alf")
    np.save(folder / "trials.probe.npy", np.array([{}] * 8, dtype=object), allow_pickle=True)
    data = sl.load(folder, bin_s=BIN_S)
    assert "probe" not in data.trials
    assert "trials.probe.npy left out" in notes_of(data)


# -- every verb ----------------------------------------------------------------------------------------------------


def test_a_run_on_a_folder_is_loaded_again_from_anywhere(tmp_path, monkeypatch, capsys):
    from commands import FIT

    monkeypatch.chdir(tmp_path)
    phy(tmp_path / "phy")
    starts = np.arange(0.5, 18, 0.6)
    pd.DataFrame({"start_time": starts, "stop_time": starts + 0.5}).to_csv("trials.csv", index=False)
    options = ["--trials", "trials.csv", "--bin_s", "0.025", "--quality", "good"]
    assert main(["describe", "phy", *options]) == 0
    assert f"trials {len(starts)} of 20 bins" in " ".join(capsys.readouterr().out.split())
    assert main(["fit", "phy", "--out", "run", *options, *FIT]) == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    again = sl.load(tmp_path / "run")
    assert again.n_neurons == 2
    assert again.n_trials == len(starts)
    assert main(["sample", str(tmp_path / "run"), "-n", "3", "--out", "new.npz"]) == 0


def test_the_cases_of_the_shared_folder(recordings):
    folder = recordings.parent / "cases" / "arrays"
    if not folder.is_dir():
        pytest.skip(f"no folder {folder}")
    times = np.load(folder / "phy_folder" / "spike_times.npy").ravel() / 30000
    units = np.load(folder / "phy_folder" / "spike_clusters.npy")
    data = sl.load(folder / "phy_folder", bin_s=BIN_S, quality="good")
    np.testing.assert_array_equal(data.counts[0], histogram(times, units, range(5), 0.0, data.n_bins))
    times, units = (np.load(folder / "alf_folder" / f"spikes.{name}.npy") for name in ("times", "clusters"))
    starts = np.load(folder / "alf_folder" / "trials.intervals.npy")[:, 0]
    data = sl.load(folder / "alf_folder", bin_s=BIN_S)
    np.testing.assert_array_equal(data.counts, [histogram(times, units, range(8), s, 16) for s in starts])
    table = np.loadtxt(folder / "long.csv", delimiter=",", skiprows=1)
    data = sl.load(folder / "long.csv", bin_s=BIN_S)
    start = np.floor(table[:, 1].min() / BIN_S) * BIN_S
    np.testing.assert_array_equal(data.counts[0], histogram(table[:, 1], table[:, 0], range(6), start, data.n_bins))
    assert data.counts.sum() == len(table)
    with np.load(folder / "tsgroup.npz") as saved:
        times, units, start = saved["t"], saved["index"], saved["start"][0]
    data = sl.load(folder / "tsgroup.npz", bin_s=BIN_S)
    np.testing.assert_array_equal(data.counts[0], histogram(times, units, range(6), start, 596))
