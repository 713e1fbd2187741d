"""Smoothed counts: the kernel, its edges, padding, and that recordings are smoothed before they are cut."""

import numpy as np
import pandas as pd
import pytest

from spikeloom.data.bins import rebin
from spikeloom.data.files import load, save
from spikeloom.data.options import LoadOptions
from spikeloom.data.smoothing import SMOOTHED, smoothed_counts
from spikeloom.data.spikedata import Signal, SpikeData
from spikeloom.errors import DataError


def poisson(*shape: int, seed: int = 0, mean: float = 0.7) -> np.ndarray:
    return np.random.default_rng(seed).poisson(mean, shape).astype(np.uint8)


def by_hand(counts: np.ndarray, length: int, sd: float) -> np.ndarray:
    """The definition, bin by bin: a Gaussian up to four standard deviations, of mass 1 on the valid bins."""
    result = np.zeros(counts.shape)
    for t in range(length):
        weight = np.exp(-0.5 * ((np.arange(length) - t) / sd) ** 2) * (np.abs(np.arange(length) - t) <= 4 * sd + 0.5)
        result[t] = weight @ counts[:length] / weight.sum()
    return result


@pytest.mark.parametrize("sd", [0.5, 1.6, 4.0, 30.0])
def test_it_is_the_normalised_truncated_gaussian(sd: float) -> None:
    counts, lengths = poisson(3, 50, 4), np.array([50, 21, 1])
    result = smoothed_counts(counts, lengths, sd)
    assert result.dtype == np.float32
    for trial, length in enumerate(lengths):
        np.testing.assert_allclose(result[trial], by_hand(counts[trial], length, sd), atol=2e-6)


def test_a_constant_stays_up_to_the_edges_and_padding_is_zero() -> None:
    lengths = np.array([40, 13, 2, 1])
    result = smoothed_counts(np.full((4, 40, 3), 5, dtype=np.uint8), lengths, 3.0)
    valid = np.arange(40) < lengths[:, None]
    np.testing.assert_allclose(result[valid], 5, rtol=1e-6)
    assert not result[~valid].any()


def test_nothing_comes_from_padding_or_from_other_trials() -> None:
    counts, lengths = poisson(3, 30, 2), np.array([30, 12, 20])
    garbage = counts.copy()
    garbage[1, 12:] = 200
    garbage[2, 20:] = 90
    np.testing.assert_array_equal(smoothed_counts(garbage, lengths, 2.0), smoothed_counts(counts, lengths, 2.0))
    one = np.zeros((3, 30, 2), dtype=np.uint8)
    one[1, 8, 0] = 9
    result = smoothed_counts(one, lengths, 2.0)
    assert result[1, :12, 0].min() > 0
    assert not result[[0, 2]].any()
    assert not result[..., 1].any()


def test_far_from_the_edges_spikes_are_kept() -> None:
    counts = np.zeros((1, 101, 1), dtype=np.uint8)
    counts[0, 50] = 3
    result = smoothed_counts(counts, np.array([101]), 4.0)[0, :, 0]
    assert result.sum() == pytest.approx(3, rel=1e-5)
    np.testing.assert_allclose(result, result[::-1], atol=1e-6)
    assert (result > 0).sum() == 2 * 16 + 1  # it ends at four standard deviations


def test_a_kernel_within_one_bin_is_refused(tmp_path) -> None:
    with pytest.raises(DataError, match=r"0\.1 bins smooths nothing; give at least 0\.125"):
        smoothed_counts(poisson(1, 5, 1), np.array([5]), 0.1)
    np.savez(tmp_path / "a.npz", counts=poisson(2, 8, 2), bin_s=0.02)
    with pytest.raises(DataError, match=r"smooth_s is 0\.001 s, which smooths nothing in bins of 0\.02 s"):
        load(tmp_path / "a.npz", LoadOptions(smooth_s=0.001))
    for wrong in (0.0, -1.0, float("inf")):
        with pytest.raises(DataError, match=r"smooth_s is .* positive"):
            LoadOptions(smooth_s=wrong)


# -- as an option of loading -------------------------------------------------------------------------------------


def continuous(folder) -> str:
    segment = np.repeat([0, 1, 2], [70, 55, 75])
    hand_vel = np.random.default_rng(1).normal(size=(200, 2))
    np.savez(folder / "c.npz", counts=poisson(200, 6), bin_s=0.02, segment=segment, hand_vel=hand_vel)
    return str(folder / "c.npz")


def test_a_window_has_the_values_of_the_continuous_recording(tmp_path) -> None:
    path = continuous(tmp_path)
    whole = load(path, LoadOptions(segment="segment", smooth_s=0.06)).signals[SMOOTHED]
    data = load(path, LoadOptions(segment="segment", smooth_s=0.06, window_s=0.4))
    windows = data.signals[SMOOTHED]
    assert (windows.unit, len(windows.columns)) == ("spikes/bin", 6)
    assert (data.n_trials, data.n_bins) == (8, 20)
    for i, (trial, start) in enumerate(data.trials[["source_trial", "source_bin"]].to_numpy()):
        np.testing.assert_array_equal(windows.values[i], whole.values[trial, start : start + 20])
    # At an inner border that is not what a window knows of itself; at the start of a segment there is nothing else.
    alone = smoothed_counts(data.counts, data.lengths, 3.0)
    assert np.abs(windows.values[1, 0] - alone[1, 0]).max() > 0.05
    np.testing.assert_allclose(windows.values[0, 0], alone[0, 0], atol=1e-6)


def test_it_is_made_of_the_neurons_trials_and_bins_that_are_kept(tmp_path) -> None:
    good = np.array([1, 0, 1, 1, 0, 1])
    np.savez(tmp_path / "a.npz", counts=poisson(5, 40, 6), bin_s=0.02, good=good, kind=np.arange(5))
    options = LoadOptions(neurons="good", where=("kind>1",), bin_s=0.04, smooth_s=0.08, signals=())
    data = load(tmp_path / "a.npz", options)
    assert list(data.signals) == [SMOOTHED]
    assert data.signals[SMOOTHED].values.shape == data.counts.shape == (3, 20, 4)
    np.testing.assert_array_equal(data.signals[SMOOTHED].values, smoothed_counts(data.counts, data.lengths, 2.0))


def test_what_was_saved_stays_true_for_fewer_neurons_and_wider_bins(tmp_path) -> None:
    data = SpikeData(poisson(4, 20, 5), 0.02, neurons=pd.DataFrame({"good": [True, False, True, True, False]}))
    values = smoothed_counts(data.counts, data.lengths, 2.0)
    data = SpikeData(
        data.counts,
        0.02,
        neurons=data.neurons,
        signals={SMOOTHED: Signal(values, "spikes/bin"), "eye": Signal(values)},
    )
    save(data, tmp_path / "saved.npz")
    again = load(tmp_path / "saved.npz", LoadOptions(neurons="good")).signals[SMOOTHED]
    np.testing.assert_array_equal(again.values, values[:, :, [0, 2, 3]])
    assert again.columns == ("0", "2", "3")
    wide = rebin(data, 0.04).signals
    np.testing.assert_allclose(wide[SMOOTHED].values, values[:, ::2] + values[:, 1::2], rtol=1e-6)
    np.testing.assert_allclose(wide["eye"].values, (values[:, ::2] + values[:, 1::2]) / 2, rtol=1e-6)


def test_trials_that_a_file_cuts_before_are_said_to_be(tmp_path) -> None:
    save(SpikeData(poisson(6, 50, 3), 0.02), tmp_path / "a.nwb")
    data = load(tmp_path / "a.nwb", LoadOptions(align="start_time", after_s=0.4, smooth_s=0.05))
    assert any("smoothed after trials were cut around 'start_time'" in note for note in data.provenance["notes"])
    data = load(tmp_path / "a.nwb", LoadOptions(smooth_s=0.05))
    assert SMOOTHED in data.signals
    assert not any("smoothed" in note for note in data.provenance.get("notes", []))
