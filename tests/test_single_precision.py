"""Spikes and trials in milliseconds that a file stores in single precision are counted in their own bins."""

import numpy as np
import pandas as pd
import pytest
import scipy.io

import spikeloom as sl

BIN_MS = 5
STARTS_MS = np.array([1380, 4160, 6940])
LENGTH_MS = 1500


@pytest.fixture
def spikes_ms() -> list[np.ndarray]:
    """Whole milliseconds of three neurons: a fifth of the spikes lies on the border of a bin."""
    rng = np.random.default_rng(0)
    return [np.sort(rng.choice(10_000, n, replace=False)) for n in (80, 120, 200)]


def expected(spikes_ms: list[np.ndarray], bin_ms: int = BIN_MS) -> np.ndarray:
    counts = np.zeros((len(STARTS_MS), LENGTH_MS // bin_ms, len(spikes_ms)), int)
    for trial, start in enumerate(STARTS_MS):
        for neuron, times in enumerate(spikes_ms):
            inside = times[(times >= start) & (times < start + LENGTH_MS)]
            np.add.at(counts, (trial, (inside - start) // bin_ms, neuron), 1)
    return counts


def single(ms: np.ndarray) -> np.ndarray:
    return (ms / 1000).astype(np.float32)


def trials() -> dict[str, np.ndarray]:
    return {"trial_start": single(STARTS_MS), "trial_stop": single(STARTS_MS + LENGTH_MS)}


@pytest.mark.parametrize("bin_ms", [1, 5, 20])
def test_spikes_on_the_border_of_a_bin(tmp_path, spikes_ms, bin_ms):
    units = np.repeat(np.arange(3), [len(t) for t in spikes_ms])
    times = np.concatenate([single(t) for t in spikes_ms])
    np.savez(tmp_path / "a.npz", spike_times=times, spike_clusters=units, **trials())
    cells = np.empty(3, dtype=object)
    cells[:] = [single(t) for t in spikes_ms]
    scipy.io.savemat(tmp_path / "a.mat", {"spikes": cells, **trials()})
    pd.DataFrame({"unit": units, "time": times}).to_parquet(tmp_path / "a.parquet")
    pd.DataFrame(trials()).to_parquet(tmp_path / "trials.parquet")
    loaded = [
        sl.load(tmp_path / "a.npz", bin_s=bin_ms / 1000),
        sl.load(tmp_path / "a.mat", bin_s=bin_ms / 1000),
        sl.load(tmp_path / "a.parquet", bin_s=bin_ms / 1000, trials=tmp_path / "trials.parquet"),
        sl.from_spike_times([single(t) for t in spikes_ms], trials=trials(), bin_s=bin_ms / 1000),
    ]
    for data in loaded:
        np.testing.assert_array_equal(data.counts, expected(spikes_ms, bin_ms))


def test_windows_around_events(spikes_ms):
    events = {"go": single(STARTS_MS + 400)}
    data = sl.from_spike_times(
        [single(t) for t in spikes_ms], trials=events, align="go", before_s=0.4, after_s=1.1, bin_s=BIN_MS / 1000
    )
    np.testing.assert_array_equal(data.counts, expected(spikes_ms))


def test_spikes_that_are_counted_from_the_start_of_their_trial(tmp_path, spikes_ms):
    cells = np.empty((3, len(STARTS_MS)), dtype=object)
    for neuron, times in enumerate(spikes_ms):
        for trial, start in enumerate(STARTS_MS):
            cells[neuron, trial] = single(times[(times >= start) & (times < start + LENGTH_MS)] - start)
    names = {"duration": np.full(len(STARTS_MS), LENGTH_MS / 1000), "unit_ids": np.arange(3.0)}
    scipy.io.savemat(tmp_path / "a.mat", {"spikes": cells, **names})
    data = sl.load(tmp_path / "a.mat", bin_s=BIN_MS / 1000, axes="neuron,time,trial")
    want = expected(spikes_ms)
    np.testing.assert_array_equal(data.counts[:, : want.shape[1]], want[:, : data.n_bins])


def test_starts_of_trials_of_counts(tmp_path, spikes_ms):
    counts = np.zeros((2000, 3), int)
    for neuron, times in enumerate(spikes_ms):
        np.add.at(counts, (times // BIN_MS, neuron), 1)
    np.savez(tmp_path / "a.npz", counts=counts, bin_s=BIN_MS / 1000, **trials())
    data = sl.load(tmp_path / "a.npz")
    np.testing.assert_array_equal(data.counts, expected(spikes_ms))
    assert not any("placed at the start of the bin" in note for note in data.provenance["notes"])


def test_a_clock_that_is_coarser_than_the_bins_is_told(tmp_path, spikes_ms):
    late_s = 1e6
    units = np.repeat(np.arange(3), [len(t) for t in spikes_ms])
    times = np.concatenate([t / 1000 + late_s for t in spikes_ms]).astype(np.float32)
    np.savez(tmp_path / "a.npz", spike_times=times, spike_clusters=units)
    notes = sl.load(tmp_path / "a.npz", bin_s=0.02).provenance["notes"]
    assert any("stored in steps of 62.5 ms, coarser than a bin" in note for note in notes)
