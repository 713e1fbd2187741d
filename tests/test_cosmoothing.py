"""Scores of the benchmark against closed forms and plain implementations."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import poisson
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV

from spikeloom.data.published.scoring import Scoring
from spikeloom.data.spikedata import Signal, SpikeData
from spikeloom.errors import DataError, SpikeloomWarning
from spikeloom.evaluation.cosmoothing import bits_per_spike, score, velocity_r2
from spikeloom.evaluation.psth import psth, psth_r2


@pytest.fixture
def rng():
    return np.random.default_rng(0)


class TestBitsPerSpike:
    def test_three_lines(self, rng):
        rates = rng.gamma(2, 0.5, (6, 7, 3))
        counts = rng.poisson(rates).astype(float)
        mean = np.broadcast_to(counts.mean((0, 1)), counts.shape)
        nats = poisson.logpmf(counts, rates).sum() - poisson.logpmf(counts, mean).sum()
        assert bits_per_spike(rates, counts) == pytest.approx(nats / np.log(2) / counts.sum())
        assert bits_per_spike(rates, counts) > 0.1

    def test_the_mean_is_worth_nothing(self, rng):
        counts = rng.poisson(0.7, (6, 7, 3)).astype(float)
        assert bits_per_spike(np.broadcast_to(counts.mean((0, 1)), counts.shape).copy(), counts) == pytest.approx(0)

    def test_missing_counts_are_left_out(self, rng):
        rates = rng.gamma(2, 0.5, (6, 7, 3))
        counts = rng.poisson(rates).astype(float)
        part = counts.copy()
        part[:, 4:] = np.nan
        wild = rates.copy()
        wild[:, 4:] = np.nan
        assert bits_per_spike(wild, part) == pytest.approx(bits_per_spike(rates[:, :4], counts[:, :4]))
        known = (np.arange(7) < 4)[None, :, None]
        assert bits_per_spike(wild, counts, known) == pytest.approx(bits_per_spike(rates[:, :4], counts[:, :4]))

    def test_zero_rates_are_replaced_in_a_copy(self, rng):
        rates, counts = np.full((2, 3, 1), 0.5), np.ones((2, 3, 1))
        rates[0, 0] = 0
        with pytest.warns(SpikeloomWarning, match="1 of 6 rates are 0"):
            value = bits_per_spike(rates, counts)
        assert rates[0, 0, 0] == 0
        expected = (5 * (np.log(0.5) - 0.5) + np.log(1e-9) - 1e-9 + 6) / np.log(2) / 6
        assert value == pytest.approx(expected)

    def test_errors(self):
        with pytest.raises(DataError, match="a rate is -1"):
            bits_per_spike(np.full((1, 2, 1), -1.0), np.ones((1, 2, 1)))
        with pytest.raises(DataError, match="a rate is nan"):
            bits_per_spike(np.full((1, 2, 1), np.nan), np.ones((1, 2, 1)))
        with pytest.raises(DataError, match="no spikes"):
            bits_per_spike(np.ones((1, 2, 1)), np.zeros((1, 2, 1)))


class TestVelocity:
    def test_it_is_the_score_of_the_grid_search(self, rng):
        rates, more = rng.random((8, 10, 4)), rng.random((5, 10, 4))
        map_ = rng.normal(size=(4, 2))
        velocity, other = rates @ map_ + rng.normal(size=(8, 10, 2)), more @ map_
        search = GridSearchCV(Ridge(), {"alpha": np.logspace(-4, 0, 9)}, cv=5)
        search.fit(rates.reshape(-1, 4), velocity.reshape(-1, 2))
        expected = search.score(more.reshape(-1, 4), other.reshape(-1, 2))
        assert velocity_r2(rates, velocity, more, other) == pytest.approx(expected)

    def test_bins_without_velocity_do_not_count(self, rng):
        rates = rng.random((8, 10, 4))
        velocity = rates[..., :2] * 3
        missing = velocity.copy()
        missing[:, 7:] = np.nan
        wild = rates.copy()
        wild[:, 7:] = 100
        assert velocity_r2(wild, missing, wild, missing) == pytest.approx(
            velocity_r2(rates[:, :7], velocity[:, :7], rates[:, :7], velocity[:, :7])
        )

    def test_parts_are_decoded_by_themselves(self, rng):
        """Two groups with opposite read-outs: together nothing is decoded, each by itself everything."""
        rates = rng.normal(size=(12, 10, 2))
        sign = np.where(np.arange(12) % 2, 1.0, -1.0)
        velocity = rates * sign[:, None, None]
        parts = [(sign > 0, sign > 0), (sign < 0, sign < 0)]
        assert velocity_r2(rates, velocity, rates, velocity, parts) > 0.999
        assert velocity_r2(rates, velocity, rates, velocity) < 0.2


class TestPSTH:
    def test_the_kernel_is_even_and_shifts_by_half_a_bin(self):
        counts = np.zeros((1, 60, 1))
        counts[0, 30] = 1
        found = psth(counts, np.array([60]), np.array(["a"]), sd_bins=2.0)["a"][:, 0]
        at = np.flatnonzero(found > 1e-12)
        assert len(at) == 12
        assert found.sum() == pytest.approx(1)
        assert (found * np.arange(60)).sum() == pytest.approx(30.5)

    @pytest.mark.parametrize("sd", [2.0, 2.5, 50.0, 70.0])  # kernels of 12, 15, 300 and 420 samples
    def test_an_impulse_becomes_the_kernel(self, sd):
        counts, at, n = np.zeros((1, 1200, 1)), 600, int(6 * sd)
        counts[0, at] = 3
        found = psth(counts, np.array([1200]), np.array(["a"]), sd)["a"][:, 0]
        # Samples of the kernel lie around its middle; an even number has none there, and half a sample is lost.
        place = np.arange(n) - (n - 1) / 2
        expected = np.zeros(1200)
        expected[at - (n - 1) // 2 : at - (n - 1) // 2 + n] = np.exp(-(place**2) / (2 * sd**2))
        np.testing.assert_allclose(found, 3 * expected / expected.sum(), atol=1e-12)
        kernel = np.exp(-(place**2) / (2 * sd**2))
        np.testing.assert_allclose(found, np.convolve(counts[0, :, 0], kernel / kernel.sum(), "same"), atol=1e-12)

    def test_trials_without_a_condition_are_in_no_average(self, rng):
        counts = rng.poisson(1.0, (4, 12, 2))
        averages = psth(counts, np.full(4, 12), np.array(["a", None, "b", np.nan], dtype=object), 1.0)
        alone = psth(counts[[0, 2]], np.full(2, 12), np.array(["a", "b"]), 1.0)
        assert list(averages) == ["a", "b"]
        np.testing.assert_array_equal(averages["b"], alone["b"])
        assert list(psth(counts, np.full(4, 12), np.array([1.0, np.nan, 1.0, 2.0]), 1.0)) == [1.0, 2.0]
        with pytest.raises(DataError, match="no trial has a condition"):
            psth(counts, np.full(4, 12), np.full(4, np.nan), 1.0)

    def test_true_averages_score_one(self, rng):
        truth = {"a": rng.random((20, 3)), "b": rng.random((20, 3)), "unseen": rng.random((20, 3))}
        condition = np.array(["a", "b", "a"])
        rates = np.stack([truth[c] for c in condition])
        assert psth_r2(rates, condition, truth) == pytest.approx(1)
        assert psth_r2(rates[:, :, ::-1], condition, truth) < 0.5
        with pytest.raises(DataError, match="none of the scored trials"):
            psth_r2(rates, np.array(["x", "y", "z"]), truth)

    def test_short_trials_are_left_out_and_bins_taken_together(self):
        counts = np.ones((4, 12, 1))
        counts[3] = 50
        lengths = np.array([12, 12, 11, 2])
        found = psth(counts, lengths, np.array([1, 1, 1, 1]), sd_bins=0.2, together=2)[1]
        np.testing.assert_allclose(found, np.full((5, 1), 2.0))


def test_a_whole_recording(rng):
    """The truth as rates: neurons held out, bins to come, velocity and averages are all scored."""
    phase = rng.choice([0.0, 2.0], 60)
    time = np.arange(30)
    drive = np.sin(time[None] / 5 + phase[:, None])
    weights = rng.normal(size=10)
    truth = np.exp(drive[..., None] * weights - 0.5)
    data = SpikeData(
        rng.poisson(truth),
        bin_s=0.02,
        signals={"vel": Signal(np.stack([drive, 2 * drive], -1), "m/s", ("x", "y"))},
        trials=pd.DataFrame({"phase": phase}),
    )
    train, test = data.select(np.arange(40)), data.select(np.arange(40, 60))
    heldout = np.arange(10) >= 7
    found = score(train, test, truth[:40], truth[40:], heldout, 5, Scoring("vel", condition="phase", psth_sd_s=0.03))
    counts = test.counts.astype(float)
    assert found.co_bps == pytest.approx(bits_per_spike(truth[40:, :25, 7:], counts[:, :25, 7:]))
    assert found.fp_bps == pytest.approx(bits_per_spike(truth[40:, 25:], counts[:, 25:]))
    assert found.velocity_r2 > 0.8
    assert 0.5 < found.psth_r2 < 1  # thirty noisy trials a condition
    nothing = score(train, test, truth[:40], truth[40:], np.zeros(10, bool))
    assert all(np.isnan(v) for v in nothing.to_dict().values())
