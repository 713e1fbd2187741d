"""Correlograms and spectra as the LDNS paper draws them, against loops that compute them as its code does."""

import json

import numpy as np
import pytest
from matplotlib.figure import Figure
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import DataError
from spikeloom.evaluation import published_supplement as supplement
from spikeloom.evaluation.published_supplement import published_supplement
from spikeloom.report.published_figures import draw_correlograms, draw_pc_spectra


def recording(seed, n_trials=12, n_bins=60, n_neurons=14, bin_s=0.005):
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(0).normal(0, 0.6, (2, n_neurons))
    drive = np.cumsum(rng.standard_normal((n_trials, n_bins, 2)), axis=1) / 4
    return SpikeData(rng.poisson(np.minimum(np.exp(drive @ mixing - 1), 4)), bin_s)


@pytest.fixture(scope="module")
def result():
    return published_supplement(recording(1), recording(2))


def test_groups_are_ordered_by_summed_squared_correlation():
    counts = recording(1).counts
    groups = supplement.correlated_groups(counts)
    assert [len(group) for group in groups] == [3, 3, 3, 5]
    matrix = np.corrcoef(counts.reshape(-1, 14).T)
    np.fill_diagonal(matrix, 0)
    strength = (matrix**2).sum(axis=0)[np.concatenate(groups)]
    assert (np.diff(strength) <= 0).all()
    silent = counts.copy()
    silent[:, :, groups[0][0]] = 0
    assert supplement.correlated_groups(silent)[-1][-1] == groups[0][0]


def slow_correlograms(counts, neurons, n_lags):
    """Trial by trial and pair by pair."""
    auto, cross = [], []
    for trial in counts.astype(float):
        trial = trial - trial.mean(axis=0)
        for place, i in enumerate(neurons):
            for j in neurons[place:]:
                full = np.correlate(trial[:, i], trial[:, j], "full")
                middle = len(trial) - 1
                lagged = full[middle - n_lags : middle + n_lags + 1] / len(trial)
                if i == j:
                    lagged[n_lags] = 0
                (auto if i == j else cross).append(lagged)
    return np.mean(auto, axis=0), np.mean(cross, axis=0)


def test_correlograms_agree_with_a_loop_over_pairs(result):
    for data, found in ((recording(1), result.correlograms), (recording(2), result.generated_correlograms)):
        for place, neurons in enumerate(result.groups):
            auto, cross = slow_correlograms(data.counts, neurons, 30)
            np.testing.assert_allclose(found.auto[place], auto, atol=1e-12)
            np.testing.assert_allclose(found.cross[place], cross, atol=1e-12)
    assert result.lags.tolist() == list(range(-30, 31))


def test_a_neuron_that_follows_another_is_seen_at_its_side():
    rng = np.random.default_rng(0)
    counts = np.zeros((40, 50, 2), dtype=np.uint8)
    counts[:, :, 1] = rng.poisson(0.3, (40, 50))
    counts[:, 3:, 0] = counts[:, :-3, 1]  # the first neuron of the group fires three bins later
    found = supplement.correlograms(counts, (np.array([0, 1]),), 5)
    assert np.arange(-5, 6)[found.cross[0].argmax()] == 3


def slow_spectra(fitted, counts, bin_s):
    """Convolution neuron by neuron, scaler and components of scikit-learn, a discrete Fourier transform written out."""
    taps = np.exp(-0.5 * ((np.arange(48) - 23.5) / 6) ** 2)
    taps /= taps.sum()

    def smooth(values):
        return np.stack([np.stack([np.convolve(n, taps, "same") for n in trial.T], axis=1) for trial in values])

    real, values = smooth(fitted.astype(float)), smooth(counts.astype(float))
    n_bins, n_neurons = values.shape[1:]
    scaler = StandardScaler().fit(real.reshape(-1, n_neurons))
    components = PCA(5).fit(scaler.transform(real.reshape(-1, n_neurons)))
    second = components.transform(scaler.transform(values.reshape(-1, n_neurons)))[:, 1].reshape(-1, n_bins)
    time = np.arange(n_bins)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * time / n_bins)
    power = []
    for k in range(n_bins // 2 + 1):
        wave = np.exp(-2j * np.pi * k * time / n_bins)
        density = np.abs(((second - second.mean(axis=1, keepdims=True)) * window) @ wave) ** 2
        once = k == 0 or 2 * k == n_bins
        power.append(density * (1 if once else 2) * bin_s / (window**2).sum())
    return np.transpose(power)


def test_spectra_agree_with_loops(result):
    real, generated = recording(1).counts, recording(2).counts
    for counts, spectrum in ((real, result.spectrum), (generated, result.generated_spectrum)):
        power = slow_spectra(real, counts, 0.005)
        np.testing.assert_allclose(
            spectrum, np.quantile(power, np.arange(0.05, 0.96, 0.05), axis=0), rtol=1e-6, atol=1e-12
        )
    np.testing.assert_allclose(result.frequencies, np.arange(31) / (60 * 0.005))


def test_errors_are_of_halves_of_the_generated_trials(result):
    power = slow_spectra(recording(1).counts, recording(2).counts, 0.005)
    half = np.random.default_rng(0).permutation(12)[:6]
    median = np.median(power[half], axis=0)
    assert result.errors["median"][0] == pytest.approx(((median - result.spectrum[9]) ** 2).mean(), rel=1e-6)
    assert {name: len(values) for name, values in result.errors.items()} == dict.fromkeys(
        ("median", "low", "high", "all"), 5
    )
    same = published_supplement(recording(1), recording(1))
    assert all(same.errors[name].mean() < result.errors[name].mean() for name in ("median", "all"))


def test_the_published_trial_has_71_frequencies():
    data = recording(3, n_trials=3, n_bins=140, n_neurons=4)
    assert len(published_supplement(data, data).frequencies) == 71


def test_short_trials_have_fewer_lags_and_broken_input_is_explained():
    short = recording(1, n_bins=10)
    assert published_supplement(short, short).lags.tolist() == list(range(-9, 10))
    uneven = SpikeData(short.counts * (np.arange(10) < 5)[:, None], short.bin_s, np.full(12, 5))
    for real, generated, text in (
        (short, uneven, "generated trials are 5 to 5 bins long"),
        (short, recording(1, n_bins=12), "generated trials are 12 to 12 bins"),
        (recording(1, n_neurons=3), recording(1, n_neurons=3), "3 neurons"),
        (short, recording(1, n_trials=1, n_bins=10), "1 generated trial"),
        (short, recording(1, n_bins=10, n_neurons=5), "neurons"),
    ):
        with pytest.raises(DataError, match=text):
            published_supplement(real, generated)


def test_figures_show_both_sets(result):
    axes = Figure().subplots(2, 2).ravel()
    draw_correlograms(result, axes)
    assert [len(ax.lines) for ax in axes] == [3, 3, 3, 3]  # two sets and the line at zero
    assert "auto" in axes[0].get_ylabel()
    assert "cross" in axes[1].get_ylabel()
    np.testing.assert_array_equal(axes[1].lines[1].get_ydata(), result.correlograms.cross[0])
    assert np.isnan(np.asarray(axes[0].lines[1].get_ydata())[30])
    ax = Figure().subplots()
    draw_pc_spectra(result, ax)
    assert [line.get_label() for line in ax.lines] == ["real", "generated"]
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), result.spectrum[9, 1:])


def test_result_is_plain_in_json(result):
    content = json.loads(json.dumps(result.to_dict()))
    assert np.shape(content["generated"]["cross"]) == (4, 61)
    assert np.shape(content["real"]["spectrum"]) == (19, 31)
