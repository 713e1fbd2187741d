"""Wider bins: what becomes of signals that are no measurements, and what is dropped."""

import numpy as np
import pytest

import spikeloom as sl
from spikeloom.data.spikedata import Signal
from stored import notes_of


def recording(**signals) -> sl.SpikeData:
    first = next(iter(signals.values()))
    n_bins = getattr(first, "values", first).shape[1]
    counts = np.random.default_rng(0).poisson(0.3, (10, n_bins, 4))
    return sl.SpikeData(counts, 0.01, signals=signals)


@pytest.mark.parametrize("k", [2, 3, 5])
def test_codes_are_never_averaged(k):
    rng = np.random.default_rng(0)
    state = np.repeat(rng.integers(0, 5, (10, 9)), 7, axis=1).astype(float)
    speed = rng.random((10, 63))
    data = recording(state=state, speed=speed).rebin(0.01 * k)
    expected = state[:, : 63 // k * k].reshape(10, -1, k)[..., (k - 1) // 2]
    np.testing.assert_array_equal(data.signals["state"].values[..., 0], expected)
    np.testing.assert_allclose(
        data.signals["speed"].values[..., 0], speed[:, : 63 // k * k].reshape(10, -1, k).mean(axis=2), rtol=1e-6
    )
    assert "'state' holds codes" in notes_of(data)
    assert "'speed'" not in notes_of(data)


def test_codes_of_a_file_that_are_named_as_a_signal(tmp_path):
    rng = np.random.default_rng(0)
    state = np.repeat(rng.integers(0, 4, (10, 10)), 5, axis=1)
    np.savez(tmp_path / "a.npz", spikes=rng.poisson(0.3, (10, 50, 6)), bin_s=0.01, state=state)
    data = sl.load(tmp_path / "a.npz", bin_s=0.02, signals="state")
    np.testing.assert_array_equal(data.signals["state"].values[..., 0], state[:, ::2])


def test_pulses_are_no_codes():
    licks = (np.random.default_rng(0).random((10, 60)) < 0.05).astype(float)
    data = recording(lick=licks).rebin(0.03)
    np.testing.assert_allclose(data.signals["lick"].values[..., 0].sum() * 3, licks.sum(), rtol=1e-6)


def test_codes_that_stay_the_same_in_a_trial_need_no_note():
    target = np.repeat(np.arange(10) % 3, 60).reshape(10, 60).astype(float)
    assert not notes_of(recording(target=target).rebin(0.02))


@pytest.mark.parametrize(("turn", "unit"), [(360.0, "deg"), (2 * np.pi, "rad"), (360.0, "")])
def test_angles_are_averaged_on_the_circle(turn, unit):
    time = np.arange(60) * 0.01
    angle = np.mod(np.arange(10)[:, None] * turn / 10 + time * turn * 2.3, turn)
    data = recording(heading=Signal(angle, unit)).rebin(0.03)
    centre = np.mod(np.arange(10)[:, None] * turn / 10 + (time[:60].reshape(20, 3).mean(axis=1)) * turn * 2.3, turn)
    error = np.mod(data.signals["heading"].values[..., 0] - centre + turn / 2, turn) - turn / 2
    assert abs(error).max() < 1e-5 * turn


def test_bins_that_do_not_fill_a_new_one_are_told():
    data = sl.SpikeData(np.ones((3, 10, 2), int), 0.01, lengths=[10, 9, 6])
    wide = data.rebin(0.03)
    assert wide.lengths.tolist() == [3, 3, 2]
    assert "up to 1 bins at the end of 1 of 3 trials were dropped" in notes_of(wide)
    assert not notes_of(data[1:].rebin(0.03))
