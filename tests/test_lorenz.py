"""The simulated Lorenz recording has the statistics that were measured on the published one."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from spikeloom.data.simulated import lorenz as module
from spikeloom.data.simulated.lorenz import integrate, lorenz


@pytest.fixture(scope="module")
def data():
    return lorenz(n_trials=600)


def test_firing_is_that_of_the_published_recording(data):
    population = data.counts.sum(axis=2)
    assert data.counts.mean() == pytest.approx(0.14, abs=0.006)
    assert population.mean() == pytest.approx(18.0, abs=0.8)
    assert population.std() == pytest.approx(15.2, abs=1.0)
    assert (data.counts > 1).mean() == pytest.approx(0.024, abs=0.003)


def test_latents_are_z_scored_per_trial_and_x_and_y_correlate(data):
    np.testing.assert_allclose(data.latents.mean(axis=1), 0, atol=1e-5)
    np.testing.assert_allclose(data.latents.std(axis=1), 1, atol=1e-4)
    x, y = data.latents[..., 0].ravel(), data.latents[..., 1].ravel()
    assert np.corrcoef(x, y)[0, 1] == pytest.approx(0.86, abs=0.03)


def test_the_state_is_available_as_a_signal_too(data):
    state = data.signals["state"]
    assert state.columns == ("x", "y", "z")
    np.testing.assert_array_equal(state.values, data.latents)


def test_integrator_agrees_with_an_adaptive_one_before_chaos_separates_them():
    start = np.array([module.BASE_STATE, (1.0, 2.0, 20.0)])
    ours = integrate(start, 100)
    for b in range(2):
        reference = solve_ivp(
            lambda _, s: module._flow(s[:, None])[:, 0],
            (0, 99 * module.SAMPLE_S),
            start[b],
            t_eval=np.arange(100) * module.SAMPLE_S,
            rtol=1e-10,
            atol=1e-12,
        ).y.T
        np.testing.assert_allclose(ours[b], reference, atol=2e-3)


def test_split_is_70_10_20_and_the_seed_decides_everything():
    a, b = lorenz(n_trials=100, n_bins=16), lorenz(n_trials=100, n_bins=16)
    assert {k: len(v) for k, v in a.splits.items()} == {"train": 70, "val": 10, "test": 20}
    np.testing.assert_array_equal(a.counts, b.counts)
    assert not np.array_equal(a.counts, lorenz(n_trials=100, n_bins=16, seed=1).counts)


def test_new_trials_of_the_same_neurons():
    a, b = lorenz(n_trials=4, n_bins=16), lorenz(n_trials=4, n_bins=16, seed=7, loading_seed=42)
    np.testing.assert_array_equal(a.neurons, b.neurons)
    assert not np.array_equal(a.counts, b.counts)
