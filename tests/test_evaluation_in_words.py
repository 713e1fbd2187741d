"""What is said of a difference is true of the two sets, and never nonsense."""

import dataclasses
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulated_population import BIN_S, N_BINS, N_NEURONS, Population, frame_of
from spikeloom.evaluation.compared_sets import ComparedSets, SetStatistics
from spikeloom.evaluation.frame import Frame
from spikeloom.evaluation.in_words import by, strength
from spikeloom.evaluation.metrics import HELDOUT_METRICS
from spikeloom.evaluation.summary import summarise
from spikeloom.evaluation.trial_set import TrialSet

METRICS = {m.name: m for m in HELDOUT_METRICS}
N_TRIALS = 200


@pytest.fixture(scope="module")
def recording():
    rng = np.random.default_rng(1)
    train, test = Population().draw(rng, 300), Population().draw(rng, N_TRIALS)
    held_out = SetStatistics(summarise(test, frame_of(train, test)))

    def said(name, trials, seed=None):
        sets = ComparedSets(SetStatistics(summarise(trials, held_out.frame)), held_out, seed)
        return METRICS[name].in_words(sets)

    return test, said


def number(words):
    """The number of percent in a sentence."""
    return int(words.split(" %")[0].split()[-1])


def with_counts(trials, counts):
    return trials._replace(counts=np.ascontiguousarray(counts).astype(np.uint8))


def test_thinned_trials_fire_too_little(recording):
    test, said = recording
    thinned = with_counts(test, np.random.default_rng(0).binomial(test.counts, 0.6))
    assert said("rate_rmse", thinned).startswith("neurons fire ")
    assert said("rate_rmse", thinned).endswith(" % too little")
    assert number(said("rate_rmse", thinned)) == pytest.approx(40, abs=1)
    assert said("isi_mean_rmse", thinned).startswith("intervals are ")
    assert said("isi_mean_rmse", thinned).endswith("% too long")
    assert said("c2st_basic", thinned, seed=0).startswith(
        "a basic classifier finds the generated one of two trials in "
    )
    assert number(said("c2st_basic", thinned, seed=0)) > 80
    assert said("isi_w1", thinned) == said("isi_mean_rmse", thinned)
    assert said("count_w1", thinned).startswith("population counts are ")
    assert said("count_w1", thinned).endswith(" % too small")
    assert "too " in said("count_share_rmse", thinned)
    assert said("fano_rmse", thinned).startswith("spike counts vary ")
    assert " % too little (Fano factor " in said("fano_rmse", thinned)


def test_rates_of_single_neurons_are_off_when_the_total_is_right(recording):
    test, said = recording
    order = np.argsort(test.counts.sum(axis=(0, 1)))
    swapped = test.counts.copy()
    swapped[..., order[2]], swapped[..., order[-3]] = test.counts[..., order[-3]], test.counts[..., order[2]]
    g, h = (x.mean(axis=(0, 1)) for x in (swapped, test.counts))
    expected = 100 * np.sqrt(((g - h) ** 2).sum() / (h**2).sum())
    words = said("rate_rmse", with_counts(test, swapped))
    assert words == f"single neurons' rates are off by {expected:.0f} %"


def test_shuffled_neurons_lose_what_they_share(recording):
    test, said = recording
    rng = np.random.default_rng(2)
    shuffled = with_counts(
        test, np.stack([test.counts[rng.permutation(N_TRIALS), :, n] for n in range(N_NEURONS)], axis=2)
    )
    starts = {
        "corr_rmse": "correlations between neurons are ",
        "noise_corr_slope": "noise correlations are ",
        "xcov_rmse": "covariances at a lag are ",
    }
    for name, start in starts.items():
        assert said(name, shuffled).startswith(start), said(name, shuffled)
        assert said(name, shuffled).endswith(" % too weak")
        assert number(said(name, shuffled)) > 90
    assert re.fullmatch(
        r"trial-to-trial variance along components ((1-3|4-8) is .* too small|(9-16|17-24) is .* too large)",
        said("trial_pc_ratio", shuffled),
    )
    dimensions = [float(x) for x in said("dim_logratio", shuffled).split() if x[0].isdigit()]
    assert dimensions[0] > dimensions[1]
    assert said("acf_rmse", shuffled) == "autocorrelation differs"  # of the same trials, so it does not
    assert said("corr_r", shuffled).startswith("correlations between neurons have another pattern (r = ")


def test_time_reversed_and_time_destroyed(recording):
    test, said = recording
    assert said("leadlag_rmse", with_counts(test, test.counts[:, ::-1])) == "lead and lag between neurons are reversed"
    order = np.argsort(np.random.default_rng(0).random((N_TRIALS, N_BINS)), axis=1)[..., None]
    permuted = with_counts(test, np.take_along_axis(test.counts, order, axis=1))
    for name, start in (
        ("acf_rmse", "autocorrelation is "),
        ("private_acf_rmse", "slow variability of neurons that others do not predict is "),
    ):
        assert said(name, permuted).startswith(start)
        assert said(name, permuted).endswith(" % too weak")
        assert number(said(name, permuted)) > 30
    assert "lead and lag between neurons are" in said("leadlag_rmse", permuted)
    assert said("leadlag_rmse", permuted).endswith(" % too weak")
    assert " dB too low" in said("psd_db", permuted) or " dB too high" in said("psd_db", permuted)


def test_the_missing_half_is_named(recording):
    _, said = recording
    rng = np.random.default_rng(4)
    weak = Population(private=0.5 / np.sqrt(2)).draw(rng, 400)
    assert said("private_acf_rmse", weak).endswith(" % too weak")
    assert 10 < number(said("private_acf_rmse", weak)) < 50
    assert number(said("private_acf_rmse", Population(private=0).draw(rng, 400))) > 30
    poisson = Population(dispersion=0).draw(rng, 200)
    assert said("fano_rmse", poisson).startswith("spike counts vary ")
    assert " % too little (Fano factor " in said("fano_rmse", poisson)
    assert said("count_share_rmse", poisson).startswith("bins with")
    assert said("isi_cv_rmse", poisson).startswith("firing is too regular (coefficient of variation ")
    strong = Population(gains=(0.3, 0.2, 0.6)).draw(rng, 200)
    assert said("trial_pc_ratio", strong).startswith("trial-to-trial variance along components 4-8 is ")
    assert said("trial_pc_ratio", strong).endswith("too large")


def test_power_is_named_at_the_frequency_that_was_added(recording):
    test, said = recording
    at = np.arange(N_BINS) * BIN_S
    phase = np.random.default_rng(0).uniform(0, 2 * np.pi, (N_TRIALS, 1))
    chance = (0.3 * (1 + np.sin(2 * np.pi * 12 * at + phase)))[..., None]
    extra = np.random.default_rng(1).poisson(np.broadcast_to(chance, test.counts.shape))
    words = said("psd_db", with_counts(test, test.counts + extra))
    assert words.startswith("the population's power at ")
    assert words.endswith(" dB too high")
    assert 8 < float(words.split(" Hz")[0].split()[-1]) < 17


def test_average_responses_that_are_half_as_strong():
    def draw(size, n_trials, seed):
        rng = np.random.default_rng(seed)
        condition = np.arange(n_trials) % 3
        shape = np.sin(np.arange(30) / 5 + np.arange(3)[:, None] * 2)[..., None] * np.linspace(-0.3, 0.3, 8)
        counts = rng.poisson(0.5 + size * shape[condition]).astype(np.uint8)
        return TrialSet(counts, np.full(n_trials, 30), condition)

    train, test, half = draw(1, 300, 0), draw(1, 120, 1), draw(0.5, 120, 2)
    frame = Frame.from_real(train, test, BIN_S, 3, True)
    sets = ComparedSets(*(SetStatistics(summarise(t, frame)) for t in (half, test)))
    words = METRICS["psth_err"].in_words(sets)
    assert words.startswith("average responses are ")
    assert words.endswith(" % too weak")
    assert number(words) == pytest.approx(50, abs=10)


def test_where_nothing_can_be_told_the_label_is_said():
    silent = TrialSet(np.zeros((6, 8, 4), np.uint8), np.full(6, 8), np.zeros(6, np.int64))
    single = TrialSet(np.ones((6, 1, 1), np.uint8), np.ones(6, np.int64), np.zeros(6, np.int64))
    for trials in (silent, single):
        frame = dataclasses.replace(frame_of(trials, trials), aligned=True)
        sets = ComparedSets(*(SetStatistics(summarise(trials, frame)) for _ in "gh"))
        for metric in HELDOUT_METRICS:
            words = metric.in_words(sets)
            assert words == words.strip()
            assert words[0].islower()
            assert not words.endswith(".")
            assert "nan" not in words
            assert "differ" in words, words


def test_every_metric_has_words():
    assert all(m.in_words is not None for m in HELDOUT_METRICS)


@given(st.floats(allow_nan=True, allow_infinity=True))
@settings(max_examples=60, deadline=None)
def test_a_ratio_reads_as_what_it_is(ratio):
    words = by(ratio, "too weak", "too strong")
    if words is None:
        assert not np.isfinite(ratio) or ratio < 0 or abs(ratio - 1) < 0.03
    else:
        assert words.endswith("too weak" if ratio < 1 else "too strong")
        assert "nan" not in words
        assert "inf" not in words


def test_strength_is_not_diluted_by_noise():
    rng = np.random.default_rng(0)
    true = rng.normal(size=3000)
    noisy = [scale * true + rng.normal(size=3000) for scale in (0.5, 1, 1)]
    assert strength(*noisy) == pytest.approx(0.5, abs=0.1)
    assert np.isnan(strength(*rng.normal(size=(3, 3000))))
