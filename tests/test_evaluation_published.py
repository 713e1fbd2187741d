"""The published protocol: its numbers, and the faults that must be reproduced with them."""

import numpy as np
import pytest
from scipy.stats import gaussian_kde

from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import DataError
from spikeloom.evaluation import published
from spikeloom.evaluation import spike_statistics as ss
from spikeloom.evaluation.compare import compare
from spikeloom.evaluation.summary import TrialSet


def trials_of(counts):
    return TrialSet(counts.astype(np.uint8), np.full(len(counts), counts.shape[1]), np.zeros(len(counts), np.int64))


def poisson(rng, n_trials, n_bins=60, n_neurons=40, rate=0.3):
    return rng.poisson(rate, (n_trials, n_bins, n_neurons)).astype(np.uint8)


def test_count_density_agrees_with_scipy():
    counts = np.random.default_rng(0).poisson(4.0, 300)
    ours = published.count_density(np.bincount(counts).astype(float), 14)
    oracle = gaussian_kde(counts.astype(float))(np.arange(15))
    np.testing.assert_allclose(ours, oracle / oracle.sum(), rtol=1e-9)


def test_count_kl_becomes_infinite_not_an_error():
    data, model = np.zeros(1), np.zeros(4000)
    data = np.bincount(np.random.default_rng(0).poisson(3.0, 500)).astype(float)
    model[[3, 3999]] = 100, 100
    assert published.count_kl(model, data, 3999) == np.inf


def test_count_kl_depends_on_the_other_methods():
    rng = np.random.default_rng(1)
    model, data = (np.bincount(rng.poisson(m, 400)).astype(float) for m in (20.0, 22.0))
    values = [published.count_kl(model, data, most) for most in (30, 60)]
    assert values[0] != values[1]
    assert values[0] == pytest.approx(values[1], rel=0.3)


def test_correlation_error_is_diluted_by_counted_zeros():
    rng = np.random.default_rng(2)
    a, b = (ss.correlation_matrix(poisson(rng, 20), np.full(20, 60)) for _ in range(2))
    below = np.tri(40, k=-1, dtype=bool)
    true = np.sqrt(((a - b)[below] ** 2).mean())
    assert published.diluted_correlation_rmse(a, b) == pytest.approx(true * np.sqrt(39 / 80), rel=1e-9)
    a[7] = a[:, 7] = np.nan  # 39 pairs with the silent neuron, of which those below the diagonal count as missing
    squares = (a - b)[below] ** 2
    expected = np.sqrt(np.nansum(squares) / (1600 - 39))
    assert published.diluted_correlation_rmse(a, b) == pytest.approx(expected, rel=1e-9)


def test_folds_describe_repeated_trials():
    rng = np.random.default_rng(3)
    counts = poisson(rng, 12, n_neurons=5)
    index = rng.integers(0, 12, 12)
    weighted = published.describe(published.published_statistics(trials_of(counts)), index, 0.02)
    direct = published.describe(published.published_statistics(trials_of(counts[index])), None, 0.02)
    np.testing.assert_allclose(weighted.correlation, direct.correlation, atol=1e-10)
    np.testing.assert_allclose(weighted.isi_std, direct.isi_std, rtol=1e-9)
    np.testing.assert_array_equal(weighted.histogram, direct.histogram)


def test_resampling_worsens_correlations_and_floor_has_a_closed_form():
    rng = np.random.default_rng(4)
    data, model = (published.published_statistics(trials_of(poisson(rng, 300))) for _ in range(2))
    folds = published.draw_folds(300, 5, rng)
    plain, resampled = (published.ldns_folds(model, data, 0.01, f, 60)["rmse_corr"].mean() for f in ([], folds))
    assert resampled / plain == pytest.approx(np.sqrt(1.5), rel=0.05)
    assert plain == pytest.approx(published.perfect_corr_floor(300, 300, 60.0, 40, resampled=False), rel=0.1)
    assert resampled == pytest.approx(published.perfect_corr_floor(300, 300, 60.0, 40), rel=0.1)


FROZEN = {
    "kl_div_psc": (
        [0.308150216075495, 0.317414739814736, 0.1784974307959364],
        [0.002904650187698983, 0.014511909391687146, 0.0033473840057736863],
        [0.2291102632444417],
    ),
    "rmse_corr": (
        [0.04354491783097001, 0.04086062385895817, 0.02991497173264743],
        [0.029402793940765788, 0.038867733989882455, 0.02238908679076259],
        [0.027889067266971174],
    ),
    "rmse_mean_isi": (
        [0.00518298946010339, 0.00523875644343765, 0.0048499376203303135],
        [0.0014327674903183518, 0.0013467471066942423, 0.000795141543025024],
        [0.005065978848318513],
    ),
    "rmse_std_isi": (
        [0.005370486729799754, 0.005491926255543188, 0.005166024220880352],
        [0.0029104509663358475, 0.0021424547630875404, 0.0022004138674222937],
        [0.00524407604101997],
    ),
}


def test_values_are_those_of_the_first_release():
    rng = np.random.default_rng(11)
    data, model = (published.published_statistics(trials_of(poisson(rng, 30, 40, 6, rate))) for rate in (0.4, 0.5))
    folds = published.draw_folds(30, 3, rng)
    most = published.largest_count(data, model)
    resampled = published.ldns_folds(model, data, 0.01, folds, most)
    train_row = published.ldns_train_row(data, 0.01, folds, rng)
    plain = published.ldns_folds(model, data, 0.01, [], most + 5)
    assert list(resampled) == list(FROZEN)
    for name, expected in FROZEN.items():
        for found, values in zip((resampled, train_row, plain), expected):
            np.testing.assert_allclose(found[name], values, rtol=1e-12)


def test_methods_of_one_comparison_share_resamplings_and_the_largest_count():
    rng = np.random.default_rng(12)
    data, first, second = (
        published.published_statistics(trials_of(poisson(rng, 30, 40, 6, rate))) for rate in (0.4, 0.5, 2.0)
    )
    folds = published.draw_folds(30, 2, rng)
    most = published.largest_count(data, first, second)
    assert most == second.population.max() > first.population.max()
    together = published.ldns_methods([first, second], data, 0.01, folds)
    for found, statistics in zip(together, (first, second)):
        for name, values in published.ldns_folds(statistics, data, 0.01, folds, most).items():
            np.testing.assert_array_equal(found[name], values)
    (alone,) = published.ldns_methods([first], data, 0.01, folds)
    assert (alone["kl_div_psc"] != together[0]["kl_div_psc"]).all()
    np.testing.assert_array_equal(alone["rmse_corr"], together[0]["rmse_corr"])
    fewer = published.published_statistics(trials_of(poisson(rng, 12, 40, 6)))
    with pytest.raises(DataError, match="set 1 has 12 trials"):
        published.ldns_methods([first, fewer], data, 0.01, folds)


def recording(counts, n_train):
    n = len(counts)
    return SpikeData(counts, 0.01, splits={"train": np.arange(n_train), "test": np.arange(n_train, n)})


def test_report_cautions_and_alarms_on_returned_training_trials():
    rng = np.random.default_rng(5)
    real = recording(poisson(rng, 300), 240)
    honest = compare(real, SpikeData(poisson(rng, 240), 0.01), "ldns")
    assert list(honest.metrics) == ["kl_div_psc", "rmse_corr", "rmse_mean_isi", "rmse_std_isi"]
    assert published.CAUTION in honest.verdict
    assert not any("below the" in w for w in honest.warnings)
    copied = compare(real, real.split("train"), "ldns")
    assert any("below the" in w for w in copied.warnings)
    assert copied.memorisation.alarm
    unsampled = compare(real, SpikeData(poisson(rng, 240), 0.01), "ldns", bootstrap=0)
    assert "not comparable" in unsampled.metrics["rmse_corr"].note


def test_infinite_value_is_explained():
    rng = np.random.default_rng(6)
    real = recording(poisson(rng, 60), 40)
    burst = poisson(rng, 40)
    burst[0, 0] = 250
    result = compare(real, SpikeData(burst, 0.01), "ldns")
    assert result.metrics["kl_div_psc"].note == "the model produces population counts far outside the data"
    assert result.to_dict()["metrics"]["kl_div_psc"]["value"] == "inf"


def surrogate(rng, mixing, base, prototypes, condition):
    """Trials of 140 bins and 182 neurons driven by smooth latents around those of their condition."""
    time = np.arange(140)
    fresh = np.linalg.cholesky(np.exp(-0.5 * ((time[:, None] - time) / 8) ** 2) + 1e-6 * np.eye(140))
    out = np.empty((len(condition), 140, 182), dtype=np.uint8)
    for start in range(0, len(condition), 200):
        part = condition[start : start + 200]
        latents = 0.85 * prototypes[part] + 0.5 * (fresh @ rng.standard_normal((len(part), 140, 10)))
        rate = np.minimum(np.exp((latents.astype(np.float32) @ mixing) + base), 1)
        out[start : start + 200] = rng.poisson(rate)
    return out


def test_perfect_generator_scores_as_simulated():
    rng = np.random.default_rng(7)
    time = np.arange(140)
    slow = np.linalg.cholesky(np.exp(-0.5 * ((time[:, None] - time) / 14) ** 2) + 1e-6 * np.eye(140))
    prototypes = slow @ rng.standard_normal((108, 140, 10))
    mixing = (rng.standard_normal((10, 182)) * 0.75 / np.sqrt(10)).astype(np.float32)
    base = (np.minimum(np.log(0.12), np.log(0.012) + 0.95 * rng.standard_normal(182)) - 0.3).astype(np.float32)
    condition = rng.integers(0, 108, 2008)
    data, model = (
        published.published_statistics(trials_of(surrogate(rng, mixing, base, prototypes, condition))) for _ in range(2)
    )
    most = int(max(data.population.max(), model.population.max()))
    folds = published.draw_folds(2008, 5, rng)
    perfect = {k: v.mean() for k, v in published.ldns_folds(model, data, 0.005, folds[:3], most).items()}
    assert perfect["rmse_corr"] == pytest.approx(2.33e-3, rel=0.03)
    assert perfect["rmse_mean_isi"] == pytest.approx(
        0.0143, rel=0.4
    )  # depends on which rates the sparsest neurons drew
    assert perfect["rmse_std_isi"] == pytest.approx(0.0097, rel=0.2)
    assert perfect["kl_div_psc"] < 1e-3
    copies = published.ldns_folds(data, data, 0.005, folds[:1], most)["rmse_corr"][0]
    assert copies == pytest.approx(1.35e-3, rel=0.05)
    row = published.ldns_train_row(data, 0.005, folds[:2], rng)["rmse_corr"].mean()
    assert row == pytest.approx(2.32e-3, rel=0.05)
