"""Statistics of one set against other libraries, slow loops and closed forms."""

import elephant.statistics
import neo
import numpy as np
import pytest
import quantities as pq
from elephant.conversion import BinnedSpikeTrain
from elephant.spike_train_correlation import correlation_coefficient
from scipy.ndimage import gaussian_filter1d
from scipy.stats import wasserstein_distance

from spikeloom.data.spikedata import SpikeData
from spikeloom.evaluation import dynamics, metrics, noise
from spikeloom.evaluation import spike_statistics as ss
from spikeloom.evaluation.summary import GROUPS, Frame, TrialSet, summarise

BIN_S = 0.02


@pytest.fixture
def counts():
    """Counts of up to five a bin, trials of unequal length, one silent neuron, one that spikes twice."""
    rng = np.random.default_rng(1)
    rate = rng.gamma(1.0, 0.4, (1, 1, 7))
    counts = np.minimum(rng.poisson(rate, (12, 40, 7)), 5).astype(np.uint8)
    counts[:, :, 3] = 0
    counts[:, :, 5] = 0
    counts[2, [4, 9], 5] = 1
    lengths = rng.integers(20, 41, 12)
    counts[np.arange(40) >= lengths[:, None]] = 0
    return counts, lengths


def spike_times(counts, trial, neuron):
    """Spike times of one trial in seconds: c spikes of a bin spread evenly in it."""
    times = []
    for t, c in enumerate(counts[trial, :, neuron]):
        times += [t * BIN_S + BIN_S * (j + 1) / (c + 1) for j in range(int(c))]
    return np.array(times)


def test_intervals_agree_with_loop_and_elephant(counts):
    counts, lengths = counts
    intervals, neuron = ss.interspike_intervals(counts, lengths, BIN_S)
    number, mean, std = ss.interval_moments(intervals, neuron, counts.shape[2])
    for n in range(counts.shape[2]):
        trains = [spike_times(counts, b, n) for b in range(len(counts))]
        oracle = [
            elephant.statistics.isi(neo.SpikeTrain(t, units="s", t_stop=1.0)).magnitude for t in trains if len(t) > 1
        ]
        oracle = np.concatenate([*oracle, np.zeros(0)])
        np.testing.assert_allclose(intervals[neuron == n], oracle, atol=1e-12)
        assert number[n] == len(oracle)
        if len(oracle) > 1:
            assert std[n] / mean[n] == pytest.approx(elephant.statistics.cv(oracle), rel=1e-9)
        elif len(oracle) == 0:
            assert np.isnan(mean[n])
            assert np.isnan(std[n])


def test_intervals_agree_with_spike_times_of_the_data_type(counts):
    counts, lengths = counts
    data = SpikeData(counts, BIN_S, lengths=lengths)
    times = data.spike_times(np.arange(len(counts)) * 100.0)
    intervals, neuron = ss.interspike_intervals(data.counts, data.lengths, BIN_S)
    for n, train in enumerate(times):
        steps = np.diff(train)
        np.testing.assert_allclose(intervals[neuron == n], steps[steps < 10], atol=1e-9)


def test_correlations_agree_with_numpy_and_elephant(counts):
    counts, lengths = counts
    ours = ss.correlation_matrix(counts, lengths)
    flat = counts[ss.valid_mask(lengths, counts.shape[1])].astype(float)
    active = flat.std(axis=0) > 0
    assert np.isnan(ours[~active]).all()
    np.testing.assert_allclose(ours[np.ix_(active, active)], np.corrcoef(flat[:, active].T), atol=1e-12)

    short = counts[:1, : lengths[0]]
    occupied = np.minimum(short, 1)[:, :, active & (short.sum(axis=(0, 1)) > 0)]
    duration = occupied.shape[1] * BIN_S
    trains = [
        neo.SpikeTrain((np.flatnonzero(occupied[0, :, n]) + 0.5) * BIN_S, units="s", t_stop=duration)
        for n in range(occupied.shape[2])
    ]
    oracle = correlation_coefficient(BinnedSpikeTrain(trains, bin_size=BIN_S * pq.s))
    ours = ss.correlation_matrix(occupied, np.array([occupied.shape[1]]))
    np.testing.assert_allclose(ours, oracle, atol=1e-12)


def test_fano_factor_agrees_with_elephant():
    rng = np.random.default_rng(2)
    counts = rng.poisson(rng.gamma(2.0, 0.2, (30, 1, 4)), (30, 5, 4)).astype(np.uint8)
    ours = noise.fano_factors(counts, np.full(30, 5), BIN_S)  # five bins of 20 ms: one window of 100 ms
    for n in range(4):
        trains = [neo.SpikeTrain(spike_times(counts, b, n), units="s", t_stop=0.1) for b in range(30)]
        assert ours[n] == pytest.approx(elephant.statistics.fanofactor(trains) * 30 / 29, rel=1e-5)


def test_fano_and_noise_correlations_agree_with_loops(counts):
    counts, lengths = counts
    condition = np.repeat([0, 1], [5, 7])
    windows, cells = [], []
    for b in range(12):
        for w in range(lengths[b] // 5):
            windows.append(counts[b, 5 * w : 5 * w + 5].sum(axis=0).astype(float))
            cells.append((condition[b], w))
    windows = np.array(windows)
    residuals, variance, mean = [], 0, 0
    for cell in sorted(set(cells)):
        rows = windows[[c == cell for c in cells]]
        if len(rows) >= 5:
            residuals.append(rows - rows.mean(axis=0))
            variance = variance + len(rows) * rows.var(axis=0, ddof=1)
            mean = mean + len(rows) * rows.mean(axis=0)
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(noise.fano_factors(counts, lengths, BIN_S, condition), variance / mean, rtol=1e-4)
    cross = np.concatenate(residuals).T @ np.concatenate(residuals)
    with np.errstate(invalid="ignore"):
        expected = cross / np.sqrt(np.outer(np.diag(cross), np.diag(cross)))
    np.testing.assert_allclose(noise.noise_correlation_matrix(counts, lengths, BIN_S, condition), expected, atol=1e-5)


def test_autocorrelation_agrees_with_loop(counts):
    counts, lengths = counts
    valid = ss.valid_mask(lengths, counts.shape[1])
    ours = dynamics.autocorrelation(counts, lengths, 30)
    for n in (0, 6):
        x = counts[..., n] - counts[..., n][valid].mean()
        variance = (x[valid] ** 2).mean()
        for lag in (1, 7, 25, 30):
            pairs = [x[b, : max(le - lag, 0)] * x[b, lag : max(le, lag)] for b, le in enumerate(lengths)]
            assert ours[lag - 1, n] == pytest.approx(np.concatenate(pairs).mean() / variance, abs=1e-9)
    assert np.isnan(ours[:, 3]).all()


def test_smoothing_agrees_with_scipy():
    values = np.random.default_rng(0).poisson(1.0, (3, 200, 2)).astype(np.uint8)
    expected = gaussian_filter1d(values.astype(float), 9.0, axis=1, mode="constant", truncate=4)
    np.testing.assert_allclose(dynamics.gaussian_smooth(values, 9.0), expected, atol=1e-5)
    np.testing.assert_allclose(dynamics.gaussian_smooth(values, 9.0, step=4), expected[:, ::4], atol=1e-5)


def test_interval_distance_agrees_with_scipy():
    rng = np.random.default_rng(3)
    sets = [rng.poisson(r, (20, 60, 6)).astype(np.uint8) for r in (0.3, 0.5)]
    trials = [TrialSet(c, np.full(20, 60), np.zeros(20, np.int64)) for c in sets]
    frame = Frame.from_real(*trials, BIN_S, 1, False)
    summaries = [summarise(t, frame, starts) for t, starts in zip(trials, (None, np.arange(0, 20, 4)))]
    intervals = [ss.interspike_intervals(c, np.full(20, 60), BIN_S) for c in sets]
    expected = np.mean([wasserstein_distance(*(i[n == k] for i, n in intervals)) for k in range(6)])
    assert metrics.heldout_metrics(*summaries)["isi_w1"] == pytest.approx(expected, rel=1e-4)


def test_blocks_add_up_to_the_whole(counts):
    counts, lengths = counts
    trials = TrialSet(counts, lengths, np.arange(12) // 6)
    for aligned in (False, True):
        frame = Frame.from_real(trials, trials, BIN_S, 2, aligned)
        whole, blocks = (summarise(trials, frame, s) for s in (None, np.array([0, 2, 5, 9, 11])))
        for names in GROUPS.values():
            for name in set(names) - {"spectrum", "n_trials"}:
                assert blocks.blocks(name).shape[0] == 5
                np.testing.assert_allclose(
                    blocks.blocks(name).sum(axis=0), whole.blocks(name).sum(axis=0), rtol=1e-5, atol=1e-4, err_msg=name
                )


def test_large_counts_stay_exact():
    counts = np.random.default_rng(0).integers(0, 60000, (3, 50, 2)).astype(np.uint16)
    expected = np.corrcoef(counts.reshape(-1, 2).astype(float).T)
    np.testing.assert_allclose(ss.correlation_matrix(counts, np.full(3, 50)), expected, atol=1e-7)


def test_dimension_of_known_covariances():
    assert dynamics.participation_ratio(np.ones(5), np.zeros(10)) == pytest.approx(5)
    assert dynamics.participation_ratio(np.ones(5), np.ones(10)) == pytest.approx(1)
    assert dynamics.participation_ratio(np.ones(5), np.ones(2), scale=5.0) == pytest.approx(1)
    assert np.isnan(dynamics.participation_ratio(np.zeros(2), np.zeros(1)))


def test_latent_spectrum_sees_jitter_and_oversmoothing():
    rng = np.random.default_rng(0)

    def latents(n, white):
        smooth = gaussian_filter1d(rng.standard_normal((n, 140, 3)), 4, axis=1, mode="wrap")
        return (smooth / smooth.std() + white * rng.standard_normal(smooth.shape)).astype(np.float32)

    real = latents(200, 0.05)
    same = dynamics.latent_spectrum_ratio(real, latents(200, 0.05))
    assert all(0.9 < v < 1.1 for v in same.values())
    jitter = dynamics.latent_spectrum_ratio(real, latents(200, 0.2))
    assert jitter["high"] > 5
    assert 0.9 < jitter["low"] < 1.2
    assert dynamics.latent_spectrum_ratio(real, latents(200, 0.01))["high"] < 0.2
    assert dynamics.increment_std_ratio(real, latents(200, 0.2)) > 1.3
    assert dynamics.increment_std_ratio(real, latents(200, 0.05)) == pytest.approx(1, abs=0.03)
    assert np.isnan(dynamics.latent_spectrum_ratio(real[:, :4], real)["low"])
