"""The simulated centre-out reaches: tuned as they say, with rates that are the truth of their counts."""

import numpy as np

import spikeloom as sl


def test_rates_are_those_of_the_counts():
    data = sl.center_out(n_trials=400, n_neurons=12)
    assert data.rates is not None
    error = (data.counts - data.rates).sum(axis=(0, 1)) / np.sqrt(data.rates.sum(axis=(0, 1)))
    assert np.abs(error).max() < 4  # Poisson: standard normal


def test_a_neuron_fires_most_for_its_preferred_direction_and_before_the_hand_moves():
    data = sl.center_out(n_trials=800, n_neurons=10, seed=3)
    assert data.rates is not None
    angle = np.radians(data.trials["reach_angle_deg"].to_numpy(float))
    rate = data.rates[:, 12:26].mean(axis=1)
    vector = (rate * np.exp(1j * angle)[:, None]).mean(axis=0)
    off = np.angle(vector * np.exp(-1j * np.radians(data.neurons["preferred_deg"].to_numpy())))
    assert np.abs(off).max() < np.radians(15)
    speed = np.linalg.norm(data.signals["hand_vel"].values, axis=2).mean(axis=0)
    assert abs(int(speed.argmax()) - 23) <= 1  # about 0.27 s after the cue
    of_best = [
        data.rates[np.cos(angle - np.radians(p)) > 0.9][:, :, i].mean(axis=0).argmax()
        for i, p in enumerate(data.neurons["preferred_deg"])
    ]
    assert abs(np.median(of_best) - (speed.argmax() - 5)) <= 1  # 100 ms before


def test_seeds_draw_other_trials_of_the_same_neurons():
    first, again = sl.center_out(24, 6, seed=1), sl.center_out(24, 6, seed=2, neuron_seed=1)
    assert first.neurons.equals(again.neurons)
    assert not np.array_equal(first.counts, again.counts)
    other = sl.center_out(24, 6, seed=1, neuron_seed=7)
    np.testing.assert_array_equal(first.signals["hand_vel"].values, other.signals["hand_vel"].values)
    assert sl.load("center-out").n_trials == 320
