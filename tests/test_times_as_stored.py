"""Times in files as dates, samples, seconds in whole numbers, and durations: each is read as it was meant, and said."""

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.io
import scipy.sparse

import spikeloom as sl
from spikeloom.errors import DataError

BIN_S = 0.02
RNG = np.random.default_rng(5)
LENGTHS = RNG.integers(30, 51, 20)
COUNTS = RNG.poisson(0.3, (20, 50, 8)) * (np.arange(50) < LENGTHS[:, None])[..., None]
LONG = RNG.poisson(0.3, (2000, 8))


def notes(data) -> str:
    return "\n".join(data.provenance["notes"])


# -- durations -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("duration", LENGTHS * BIN_S),
        ("trial_duration", LENGTHS * BIN_S),
        ("trial_duration_ms", LENGTHS * 20),
        ("duration", LENGTHS * 20.0),
        ("durations", LENGTHS),
        ("trial_dur_s", (LENGTHS * BIN_S).astype(np.float32)),
    ],
)
def test_durations_say_where_padding_begins(tmp_path, name, values):
    np.savez(tmp_path / "a.npz", spikes=COUNTS, bin_s=BIN_S, target=np.arange(20) % 4, **{name: values})
    data = sl.load(tmp_path / "a.npz")
    assert data.lengths.tolist() == LENGTHS.tolist()
    assert f"as long as '{name}' says" in notes(data)


def test_durations_that_spikes_exceed_cut_nothing(tmp_path):
    counts = RNG.poisson(0.3, (20, 50, 8))
    np.savez(tmp_path / "a.npz", spikes=counts, bin_s=BIN_S, duration=LENGTHS * BIN_S)
    data = sl.load(tmp_path / "a.npz")
    assert (data.lengths == 50).all()
    assert int(data.counts.sum()) == counts.sum()
    assert "column only" in notes(data)


def test_reaction_like_durations_are_columns(tmp_path):
    """Durations of a tenth of the recorded bins are of something else, even where later bins happen to be silent."""
    np.savez(tmp_path / "a.npz", spikes=COUNTS, bin_s=BIN_S, duration=np.full(20, 0.05))
    data = sl.load(tmp_path / "a.npz")
    assert (data.lengths == 50).all()
    assert "duration" in data.trials


def listed():
    trial = np.repeat(np.arange(20), 40)
    times = np.concatenate([np.sort(RNG.uniform(0, n * BIN_S, 40)) for n in LENGTHS])
    return times, RNG.integers(0, 6, 800), trial


def test_durations_beside_lists_of_spikes_by_trial(tmp_path):
    times, unit, trial = listed()
    np.savez(tmp_path / "a.npz", spike_times=times, spike_units=unit, spike_trials=trial, duration=LENGTHS * BIN_S)
    pd.DataFrame({"trial": trial, "unit": unit, "time": times, "trial_duration": (LENGTHS * BIN_S)[trial]}).to_csv(
        tmp_path / "a.csv", index=False
    )
    for name in ("a.npz", "a.csv"):
        data = sl.load(tmp_path / name, bin_s=BIN_S)
        assert data.lengths.tolist() == LENGTHS.tolist()
        assert int(data.counts.sum()) == 800


# -- dates -----------------------------------------------------------------------------------------------------------


def test_dates_are_times_and_days_are_labels(tmp_path):
    seconds = np.sort(RNG.uniform(0, 60, 400)).round(6)
    dates = pd.Timestamp("2024-03-01 10:00") + pd.to_timedelta(seconds, unit="s")
    table = pd.DataFrame({"unit": RNG.integers(0, 3, 400), "time": dates, "day": pd.Timestamp("2024-03-01")})
    trials = pd.DataFrame({"start": [dates[0], dates[200]], "stop": [dates[150], dates[390]], "day": "2024-03-01"})
    table.to_csv(tmp_path / "a.csv", index=False)
    table.to_parquet(tmp_path / "a.parquet")
    trials.to_csv(tmp_path / "trials.csv", index=False)
    np.savez(tmp_path / "a.npz", spike_times=dates.to_numpy(), spike_clusters=table["unit"])
    for name in ("a.csv", "a.parquet", "a.npz"):
        data = sl.load(tmp_path / name, bin_s=BIN_S)
        assert "seconds since 1970" in notes(data)
        assert data.n_bins == pytest.approx((seconds[-1] - seconds[0]) / BIN_S, abs=2)
        cut = sl.load(tmp_path / name, bin_s=BIN_S, trials=tmp_path / "trials.csv")
        assert cut.lengths.tolist() == [int((b - a) / BIN_S) for a, b in (seconds[[0, 150]], seconds[[200, 390]])]
    assert list(cut.trials["day"]) == ["2024-03-01"] * 2


# -- samples ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("times", "rate", "value"),
    [
        ("spike_samples", "sampling_rate_khz", 30.0),
        ("spike_times", "fs", "30 kHz"),
        ("spike_times", "fs", "30000 Hz"),
        ("spike_times", "sample_rate", 30),
        ("spike_times", "sampling_rate", np.array([[30000.0]])),
    ],
)
def test_samples_become_seconds_by_their_rate(tmp_path, times, rate, value):
    samples = np.sort(RNG.integers(0, 30000 * 60, 4000))
    np.savez(tmp_path / "a.npz", **{times: samples, "spike_clusters": RNG.integers(0, 6, 4000), rate: value})
    data = sl.load(tmp_path / "a.npz", bin_s=BIN_S)
    assert data.n_bins * BIN_S == pytest.approx(np.ptp(samples) / 30000, abs=2 * BIN_S)
    assert f"'{rate}' = 30000 Hz" in notes(data)


def test_frames_of_a_camera_are_no_kilohertz(tmp_path):
    frames = np.sort(RNG.integers(0, 30 * 6000, 4000))
    np.savez(tmp_path / "a.npz", spike_frames=frames, spike_clusters=RNG.integers(0, 6, 4000), fs=30)
    data = sl.load(tmp_path / "a.npz", bin_s=1.0)
    assert data.n_bins == pytest.approx(6000, abs=10)


def test_times_and_clusters_in_a_group(tmp_path):
    times = np.sort(RNG.uniform(0, 40, 3000))
    start = np.arange(0, 40, 2.0)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["spikes/times"], file["spikes/clusters"] = times, RNG.integers(0, 6, 3000)
        file["trials/intervals"], file["trials/target"] = np.c_[start, start + 1.5], np.arange(20)
    data = sl.load(tmp_path / "a.h5", bin_s=0.5)
    expected = [((times >= a) & (times < a + 1.5)).sum() for a in start]
    assert data.counts.sum((1, 2)).tolist() == expected
    assert data.trials["target"].tolist() == list(range(20))


# -- starts in whole numbers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("unit", "scale"), [("seconds", 1), ("numbers of bins", 50), ("milliseconds", 1000)])
def test_starts_in_whole_numbers(tmp_path, unit, scale):
    start = np.arange(0, 40, 2) * scale
    np.savez(tmp_path / "a.npz", counts=LONG, bin_s=BIN_S, trial_start=start, trial_end=start + 2 * scale)
    data = sl.load(tmp_path / "a.npz")
    assert (data.n_trials, data.n_bins) == (20, 100)
    assert int(data.counts.sum()) == LONG.sum()
    assert f"taken as {unit}" in notes(data)


# -- cells of trials and neurons -------------------------------------------------------------------------------------


@pytest.mark.parametrize("turned", [False, True])
def test_rates_tell_neurons_from_trials(tmp_path, turned):
    """40 trials of 12 neurons that fire from 1 to 30 Hz; nothing else in the file says which axis is which."""
    cells = np.empty((40, 12), object)
    for (i, j), _ in np.ndenumerate(cells):
        cells[i, j] = np.sort(RNG.uniform(0, 1, RNG.poisson(np.geomspace(1, 30, 12)[j])))
    scipy.io.savemat(tmp_path / "a.mat", {"spikes": cells.T if turned else cells})
    data = sl.load(tmp_path / "a.mat", bin_s=BIN_S)
    assert (data.n_trials, data.n_neurons) == (40, 12)
    assert "numbers of spikes differ" in notes(data)


def test_alike_rates_tell_nothing(tmp_path):
    cells = np.empty((40, 12), object)
    for (i, j), _ in np.ndenumerate(cells):
        cells[i, j] = np.sort(RNG.uniform(0, 1, RNG.poisson(8)))
    scipy.io.savemat(tmp_path / "a.mat", {"spikes": cells})
    assert "assumed" in notes(sl.load(tmp_path / "a.mat", bin_s=BIN_S))


# -- sparse matrices -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["csr", "csc", "coo", "bsr", "dia"])
def test_sparse_matrices_that_scipy_saved(tmp_path, kind):
    matrix = scipy.sparse.csr_matrix(LONG[:60]).asformat(kind)
    scipy.sparse.save_npz(tmp_path / "a.npz", matrix)
    data = sl.load(tmp_path / "a.npz", stored_bin_s=BIN_S)
    np.testing.assert_array_equal(data.counts[0], LONG[:60])
    assert f"sparse {kind}" in notes(data)


@pytest.mark.parametrize("index", [np.array([9, 9, 9]), np.array([-5, 0, 1]), np.array([0.5, 0, 1])])
def test_a_sparse_matrix_that_points_outside_is_refused(tmp_path, index):
    np.savez(tmp_path / "a.npz", format="csc", data=[1, 2, 3], indices=index, indptr=[0, 3, 3, 3], shape=(5, 3))
    with pytest.raises(DataError, match="damaged"):
        sl.load(tmp_path / "a.npz", stored_bin_s=BIN_S)
    with h5py.File(tmp_path / "a.mat", "w", userblock_size=512) as file:
        group = file.create_group("counts")
        group.attrs["MATLAB_sparse"] = np.uint64(5)
        group.attrs["MATLAB_class"] = np.bytes_("double")
        group["data"], group["ir"], group["jc"] = [1.0, 2.0, 3.0], index, [0, 3, 3, 3]
    with (tmp_path / "a.mat").open("r+b") as stream:
        stream.write(b"MATLAB 7.3 MAT-file".ljust(116) + b" " * 8 + b"\x00\x02IM")
    with pytest.raises(DataError, match="damaged"):
        sl.load(tmp_path / "a.mat", stored_bin_s=BIN_S)
