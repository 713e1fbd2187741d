"""Decoders: what is in the spikes is found, and nothing else."""

import dataclasses
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import gaussian_filter1d
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, GroupKFold

from spikeloom.data.spikedata import Signal, SpikeData
from spikeloom.decoding.gru import GRU
from spikeloom.decoding.kalman import Kalman, KalmanDecoding
from spikeloom.decoding.label import LabelDecoder
from spikeloom.decoding.protocol import AS_COUNTED, ClosedForm, Decoder, Decoding, Inputs, known_bins
from spikeloom.decoding.registry import DECODERS, Choices
from spikeloom.decoding.ridge import STRENGTHS, LaggedRidge, lagged, lagged_products
from spikeloom.errors import ConfigError, DataError
from spikeloom.evaluation.decoder_scores import DecoderScore, groups_of, score_decoder, standard_error, tune_decoder
from spikeloom.evaluation.estimates import Estimate


@pytest.fixture
def tuned_neurons():
    """Twelve neurons driven, two bins later, by a slow two-dimensional signal, and by a label; ragged trials."""
    rng = np.random.default_rng(0)
    n_trials, n_bins, n_neurons, delay = 60, 40, 12, 2
    steps = rng.normal(size=(n_trials, n_bins, 2))
    velocity = np.stack([np.convolve(s, np.ones(6) / 6, "same") for trial in steps for s in trial.T]).reshape(
        n_trials, 2, n_bins
    )
    velocity = velocity.transpose(0, 2, 1) * 3
    side = rng.integers(0, 3, n_trials)
    labelled = 1.5 * rng.normal(size=(3, n_neurons))[side]
    drive = np.roll(velocity @ rng.normal(size=(2, n_neurons)), delay, axis=1) + labelled[:, None]
    return SpikeData(
        rng.poisson(np.exp(0.5 * drive)),
        bin_s=0.05,
        lengths=rng.integers(20, n_bins + 1, n_trials),
        signals={"vel": Signal(velocity, "cm/s", ("x", "y"))},
        trials=pd.DataFrame({"side": np.array(["left", "middle", "right"])[side]}),
    )


def halves(data):
    return data.select(trials=slice(0, 40)), data.select(trials=slice(40, None))


def with_signal(data, values):
    return dataclasses.replace(data, signals={"vel": Signal(values, "cm/s", ("x", "y"))})


def with_gaps(data, share=0.1):
    """The signal not measured in some bins, in one dimension or both, and not at all in one trial."""
    values = data.signals["vel"].values.copy()
    values[np.random.default_rng(5).random(values.shape) < share] = np.nan
    values[3] = np.nan
    return with_signal(data, values)


def with_rubbish(data):
    """The same recording with longer padding, which must not change anything."""
    more = 7
    values = np.pad(data.signals["vel"].values, ((0, 0), (0, more), (0, 0)))
    values[~np.pad(data.valid, ((0, 0), (0, more)))] = 1e3
    counts = np.pad(data.counts, ((0, 0), (0, more), (0, 0)))
    counts[~np.pad(data.valid, ((0, 0), (0, more)))] = 9
    return dataclasses.replace(data, counts=counts, signals={"vel": Signal(values, "cm/s", ("x", "y"))})


SMALL = {
    "ridge": LaggedRidge("ridge", 0, 0, 1.0, Inputs()),
    "wiener": LaggedRidge("wiener", 3, 2, 1.0, Inputs()),
    "causal": LaggedRidge("causal", 4, 0, 1.0, Inputs(causal=True)),
    "kalman": Kalman(),
    "kalman with change": Kalman(derivative=True),
    "gru": GRU(units=8, steps=3),
    "causal gru": GRU(units=8, steps=3, inputs=Inputs(causal=True)),
}


# -- all of them -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SMALL)
def test_padding_is_invisible(tuned_neurons, name):
    train, test = halves(tuned_neurons)
    plain = SMALL[name].fit(train, "vel", seed=1).decode(test)
    rubbish = SMALL[name].fit(with_rubbish(train), "vel", seed=1).decode(with_rubbish(test))
    assert plain.shape == (test.lengths.sum(), 2)
    np.testing.assert_allclose(rubbish, plain, atol=3e-3 if "gru" in name else 1e-9)  # Adam magnifies rounding


@pytest.mark.parametrize("name", SMALL)
def test_bins_in_which_the_signal_is_not_known_teach_nothing(tuned_neurons, name):
    train, test = halves(tuned_neurons)
    gaps = with_gaps(train)
    values = gaps.signals["vel"].values.copy()
    half = np.isnan(values).any(2)  # where one dimension is unknown, the other counts for nothing
    values[half] = np.nan
    decoded = SMALL[name].fit(gaps, "vel", seed=1).decode(test)
    np.testing.assert_allclose(SMALL[name].fit(with_signal(gaps, values), "vel", seed=1).decode(test), decoded)
    assert np.isfinite(decoded).all()
    assert not np.allclose(decoded, SMALL[name].fit(train, "vel", seed=1).decode(test))


@pytest.mark.parametrize("name", SMALL)
def test_they_keep_the_protocol(tuned_neurons, name):
    decoder = SMALL[name]
    assert isinstance(decoder, Decoder)
    assert isinstance(decoder, ClosedForm) == ("gru" not in name)
    assert all(type(c) is type(decoder) and c.inputs == decoder.inputs for c in decoder.candidates())
    fitted = decoder.fit(tuned_neurons, "vel")
    assert isinstance(fitted, Decoding)
    assert fitted.target == "vel"


@pytest.mark.parametrize("name", ["ridge", "wiener", "causal", "kalman", "kalman with change"])
def test_sums_of_parts_say_what_all_trials_say(tuned_neurons, name, monkeypatch):
    data, decoder = with_gaps(tuned_neurons), SMALL[name]
    first, second = halves(data)
    together = decoder.solve(decoder.sums(first, "vel") + decoder.sums(second, "vel"), "vel")
    np.testing.assert_allclose(together.decode(data), decoder.fit(data, "vel").decode(data), atol=1e-9)
    monkeypatch.setattr("spikeloom.decoding.ridge.MOST_NUMBERS", 3500)  # seven trials at a time
    np.testing.assert_allclose(decoder.fit(data, "vel").decode(data), together.decode(data), atol=1e-9)


@pytest.mark.parametrize("name", ["causal", "causal gru", "causal kalman"])
def test_causal_decoders_do_not_look_ahead(tuned_neurons, name):
    decoder = {**SMALL, "causal kalman": Kalman(inputs=Inputs(causal=True))}[name]
    fitted = decoder.fit(tuned_neurons, "vel")
    counts = tuned_neurons.counts.copy()
    counts[:, 12:] = 0
    until = (np.arange(tuned_neurons.n_bins) < 12) & tuned_neurons.valid
    kept = until[tuned_neurons.valid]
    later = fitted.decode(dataclasses.replace(tuned_neurons, counts=counts))
    np.testing.assert_allclose(later[kept], fitted.decode(tuned_neurons)[kept], atol=1e-5)
    assert not np.allclose(later[~kept], fitted.decode(tuned_neurons)[~kept])


def test_the_named_decoders_are_what_their_names_say():
    made = {name: make(Choices()) for name, make in DECODERS.items()}
    assert list(made) == [d.name for d in made.values()] == ["ridge", "wiener", "kalman", "gru"]
    assert (made["ridge"].before, made["ridge"].after) == (0, 0)
    assert (made["wiener"].before, made["wiener"].after) == (10, 9)
    wiener = DECODERS["wiener"](Choices(causal=True, smooth_s=0.04))
    assert (wiener.before, wiener.after, wiener.inputs) == (19, 0, Inputs(0.04, True))
    assert made["gru"].units == 128


# -- what they see ---------------------------------------------------------------------------------------------------


def test_counts_are_smoothed_within_their_trial(tuned_neurons):
    smoothed_counts = Inputs(0.1).of(tuned_neurons)
    n = tuned_neurons.lengths[0]
    alone = tuned_neurons.counts[0, :n].astype(float)
    smooth = gaussian_filter1d(alone, 2.0, axis=0, mode="constant")
    mass = gaussian_filter1d(np.ones(n), 2.0, mode="constant")
    np.testing.assert_allclose(smoothed_counts[0, :n], smooth / mass[:, None], rtol=1e-5)
    np.testing.assert_array_equal(AS_COUNTED.of(tuned_neurons), tuned_neurons.counts)
    np.testing.assert_array_equal(Inputs(0.001).of(tuned_neurons), tuned_neurons.counts)


def test_half_a_gaussian_looks_back_only():
    data = SpikeData(np.eye(12, dtype=int)[None, :, :3] * 5, bin_s=0.05, lengths=[10])
    smoothed_counts = Inputs(0.1, causal=True).of(data)[0]
    weights = np.exp(-0.5 * (np.arange(9) / 2.0) ** 2)
    expected = [5 * weights[t - 1] / weights[: t + 1].sum() if t >= 1 else 0.0 for t in range(9)]
    np.testing.assert_allclose(smoothed_counts[:9, 1], expected, rtol=1e-5)
    assert (smoothed_counts[10:] == 0).all()
    with pytest.raises(ConfigError, match=r"smoothing kernel is -1 s"):
        Inputs(-1.0)


# -- scores ----------------------------------------------------------------------------------------------------------


def test_scores_are_r2_and_their_error_that_of_leaving_trials_out(tuned_neurons):
    train, test = halves(with_gaps(tuned_neurons, 0.05))
    fitted = SMALL["wiener"].fit(train, "vel")
    scored = score_decoder(fitted, test)
    known = known_bins(test, "vel")
    wanted, decoded = test.signals["vel"].values[known], fitted.decode(test)[known[test.valid]]
    assert scored.value == pytest.approx(r2_score(wanted, decoded), rel=1e-5)
    trials = np.arange(test.n_trials)
    without = [score_decoder(fitted, test.select(trials=np.delete(trials, i))).value for i in trials]
    jackknife = np.sqrt((len(trials) - 1) / len(trials) * np.square(without - np.mean(without)).sum())
    assert scored.se == pytest.approx(jackknife, rel=0.15)
    one = Estimate.ratio(np.arange(5.0), np.ones(5))
    assert standard_error((np.arange(5.0) - 2) / 5) == pytest.approx(one.se)


def test_windows_of_one_piece_are_one_for_the_error(tuned_neurons):
    pieces = dataclasses.replace(tuned_neurons, trials=pd.DataFrame({"source_trial": np.repeat(np.arange(30) + 7, 2)}))
    np.testing.assert_array_equal(groups_of(pieces), np.repeat(np.arange(30), 2))
    few = dataclasses.replace(tuned_neurons, trials=pd.DataFrame({"source_trial": np.repeat([0, 1], 30)}))
    np.testing.assert_array_equal(groups_of(few), np.arange(60))
    fitted = SMALL["ridge"].fit(tuned_neurons, "vel")
    by_trial, by_piece = score_decoder(fitted, tuned_neurons), score_decoder(fitted, pieces)
    assert by_trial.value == pytest.approx(by_piece.value)
    np.testing.assert_allclose(by_trial.influence.reshape(30, 2).sum(1), by_piece.influence, atol=1e-12)


def test_a_signal_that_does_not_vary_is_refused(tuned_neurons):
    fitted = SMALL["ridge"].fit(tuned_neurons, "vel")
    still = with_signal(tuned_neurons, np.ones_like(tuned_neurons.signals["vel"].values))
    with pytest.raises(DataError, match="'vel' does not vary"):
        score_decoder(fitted, still)


def test_validation_trials_choose_the_settings(tuned_neurons):
    train, validation = halves(tuned_neurons)
    decoder = LaggedRidge("wiener", 3, 3, inputs=Inputs())
    scores = [score_decoder(c.fit(train, "vel"), validation).value for c in decoder.candidates()]
    chosen = tune_decoder(decoder, train, validation, "vel")
    assert chosen.alpha == STRENGTHS[int(np.argmax(scores))]
    assert chosen.alpha not in (STRENGTHS[0], STRENGTHS[-1])
    assert DecoderScore(1.0, np.zeros(3)).se == 0


# -- ridge and Wiener ------------------------------------------------------------------------------------------------


def test_a_signal_is_found_and_that_of_another_time_is_not(tuned_neurons):
    train, test = halves(tuned_neurons)
    decoder = LaggedRidge().fit(train, "vel")
    assert score_decoder(decoder, test).value > 0.6
    shifted = with_signal(test, np.roll(test.signals["vel"].values, 7, axis=1))
    assert score_decoder(decoder, test, shifted).value < 0.3


def test_the_bins_that_matter_are_those_after_the_signal(tuned_neurons):
    train, test = halves(tuned_neurons)
    after = score_decoder(LaggedRidge(before=0, after=4).fit(train, "vel"), test).value
    before = score_decoder(LaggedRidge(before=4, after=0).fit(train, "vel"), test).value
    assert after > before + 0.1


def test_lags_stay_inside_their_trial():
    counts = np.arange(1, 7).reshape(2, 3, 1)
    data = SpikeData(counts, bin_s=1.0, lengths=[3, 2])
    smoothed_counts = lagged(data, 1, 1, AS_COUNTED)
    np.testing.assert_array_equal(smoothed_counts, [[0, 1, 2], [1, 2, 3], [2, 3, 0], [0, 4, 5], [4, 5, 0]])


@pytest.mark.parametrize(("before", "after"), [(0, 0), (5, 0), (0, 4), (3, 2), (30, 30)])
def test_products_of_lags_are_those_of_the_features(tuned_neurons, before, after):
    features = lagged(tuned_neurons, before, after, AS_COUNTED)
    smoothed_counts = np.pad(tuned_neurons.counts.astype(float), ((0, 0), (before, after + 1), (0, 0)))
    products = lagged_products(smoothed_counts, tuned_neurons.lengths, before + after + 1)
    np.testing.assert_allclose(products, features.T @ features, atol=1e-8)


@pytest.mark.parametrize(("before", "after"), [(0, 0), (4, 0), (3, 2)])
def test_regression_is_that_of_scikit_learn_on_the_lags(tuned_neurons, before, after):
    train, test = halves(with_gaps(tuned_neurons))
    known = known_bins(train, "vel")
    inputs = Inputs(0.05)
    features = lagged(train, before, after, inputs)[known[train.valid]]
    theirs = Ridge(alpha=3.0).fit(features, train.signals["vel"].values[known].astype(float))
    ours = LaggedRidge("ours", before, after, 3.0, inputs).fit(train, "vel").decode(test)
    np.testing.assert_allclose(ours, theirs.predict(lagged(test, before, after, inputs)), atol=1e-8)


def test_the_penalty_is_that_of_cross_validation_over_trials(tuned_neurons):
    noisy = tuned_neurons.select(trials=slice(0, 10))
    groups = np.repeat(np.arange(10) % 5, noisy.lengths)
    search = GridSearchCV(Ridge(), {"alpha": STRENGTHS}, cv=GroupKFold(5))
    search.fit(lagged(noisy, 6, 6, AS_COUNTED), noisy.signals["vel"].values[noisy.valid], groups=groups)
    ours = LaggedRidge(before=6, after=6).fit(noisy, "vel")
    assert ours.settings.alpha == search.best_params_["alpha"]
    assert STRENGTHS[0] < ours.settings.alpha < STRENGTHS[-1]


# -- Kalman ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def linear_gaussian():
    """A damped rotation observed by eight noisy channels; "counts" large enough for rounding not to matter."""
    rng = np.random.default_rng(1)
    turn, damp = 0.3, 0.95
    a = damp * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    c = rng.normal(size=(8, 2)) * 4000
    root = rng.normal(size=(8, 8)) * 3000
    x = np.zeros((300, 50, 2))
    x[:, 0] = rng.normal(size=(300, 2)) * np.sqrt(0.3 / (1 - damp**2))
    for t in range(1, 50):
        x[:, t] = x[:, t - 1] @ a.T + rng.normal(size=(300, 2)) * np.sqrt(0.3)
    y = x @ c.T + rng.normal(size=(300, 50, 8)) @ root.T + 100_000
    data = SpikeData(np.round(y).astype(int), bin_s=1.0, signals={"vel": Signal(x + 5.0)})
    return data, a, c, root @ root.T


def textbook(fitted: KalmanDecoding, y: np.ndarray) -> np.ndarray:
    """Predict, gain, update, as in any textbook, one trial."""
    a, w, c, q = fitted.transition, fitted.transition_noise, fitted.observation, fitted.observation_noise
    x, p, out = np.zeros(len(a)), fitted.prior, []
    for t, smoothed_counts in enumerate(y - fitted.mean_counts):
        if t:
            x, p = a @ x, a @ p @ a.T + w
        gain = p @ c.T @ np.linalg.inv(c @ p @ c.T + q)
        x = x + gain @ (smoothed_counts - c @ x)
        p = (np.eye(len(a)) - gain @ c) @ p
        out.append(x + fitted.mean_state)
    return np.array(out)


@pytest.mark.parametrize("derivative", [False, True])
def test_the_filter_is_that_of_the_textbook(tuned_neurons, derivative):
    train, test = halves(tuned_neurons)
    fitted = Kalman(shrinkage=0.2, inflation=3.0, derivative=derivative).fit(train, "vel")
    smoothed_counts = Inputs().of(test)
    expected = [textbook(fitted, smoothed_counts[i, :n])[:, :2] for i, n in enumerate(test.lengths)]
    np.testing.assert_allclose(fitted.decode(test), np.concatenate(expected), atol=1e-8)


def test_a_linear_gaussian_system_is_recovered(linear_gaussian):
    data, a, c, q = linear_gaussian
    fitted = Kalman(shrinkage=0.0, inputs=AS_COUNTED).fit(data, "vel")
    np.testing.assert_allclose(fitted.transition, a, atol=0.02)
    np.testing.assert_allclose(fitted.transition_noise, 0.3 * np.eye(2), atol=0.02)
    np.testing.assert_allclose(fitted.observation, c, atol=300)
    np.testing.assert_allclose(fitted.observation_noise, q, atol=0.06 * q.max())
    np.testing.assert_allclose(fitted.mean_state, 5.0, atol=0.1)
    one_bin = score_decoder(LaggedRidge("ridge", 0, 0, 1.0).fit(data, "vel"), data).value
    assert score_decoder(fitted, data).value > one_bin + 0.02
    # Shrunk to its diagonal, the noise is no longer that of the system: channels are believed too much.
    own = Kalman(shrinkage=1.0, inputs=AS_COUNTED).fit(data, "vel")
    np.testing.assert_allclose(own.observation_noise, np.diag(np.diag(fitted.observation_noise)), atol=1e-6 * q.max())
    assert score_decoder(own, data).value < score_decoder(fitted, data).value
    doubled = Kalman(shrinkage=0.0, inflation=2.0, inputs=AS_COUNTED).fit(data, "vel")
    np.testing.assert_allclose(doubled.observation_noise, 2 * fitted.observation_noise)


def test_least_squares_are_those_of_the_pairs_of_bins(tuned_neurons):
    data = with_gaps(tuned_neurons)
    fitted = Kalman(shrinkage=0.0).fit(data, "vel")
    known, x = known_bins(data, "vel"), data.signals["vel"].values.astype(float)
    y = Inputs().of(data)[known] - fitted.mean_counts
    pairs = known[:, 1:] & known[:, :-1]
    now, before = (part[pairs] - fitted.mean_state for part in (x[:, 1:], x[:, :-1]))
    states = x[known] - fitted.mean_state
    np.testing.assert_allclose(fitted.mean_state, x[known].mean(0))
    np.testing.assert_allclose(fitted.transition, np.linalg.lstsq(before, now, rcond=None)[0].T, atol=1e-9)
    np.testing.assert_allclose(
        fitted.transition_noise, np.cov((now - before @ fitted.transition.T).T, bias=True), atol=1e-3
    )
    np.testing.assert_allclose(fitted.prior, np.cov(states.T, bias=True), atol=1e-9)
    np.testing.assert_allclose(fitted.observation, np.linalg.lstsq(states, y, rcond=None)[0].T, atol=1e-8)
    left = y - states @ fitted.observation.T
    np.testing.assert_allclose(fitted.observation_noise, left.T @ left / len(left), atol=1e-9)


def test_a_neuron_that_hardly_fired_is_not_believed(tuned_neurons):
    train, test = halves(tuned_neurons)
    silent, loud = train.counts.copy(), test.counts.copy()
    silent[:, :, 4], loud[:, :, 4] = 0, 1
    silent[0, 5, 4] = 1
    fitted = Kalman().fit(dataclasses.replace(train, counts=silent), "vel")
    others = [n for n in range(12) if n != 4]
    without = Kalman().fit(train.select(neurons=others), "vel")
    fair = score_decoder(without, test.select(neurons=others)).value
    assert score_decoder(fitted, dataclasses.replace(test, counts=loud)).value > fair - 0.05


def test_silent_neurons_and_impossible_settings(tuned_neurons):
    counts = tuned_neurons.counts.copy()
    counts[:, :, 4] = 0
    silent = dataclasses.replace(tuned_neurons, counts=counts)
    others = tuned_neurons.select(neurons=[n for n in range(12) if n != 4])
    one, other = (score_decoder(Kalman().fit(d, "vel"), d).value for d in (silent, others))
    assert one == pytest.approx(other, abs=1e-6)
    with pytest.raises(ConfigError, match="shrink by 0 to 1"):
        Kalman(shrinkage=2.0)
    with pytest.raises(DataError, match=r"only 1 pairs of bins in which 'vel' was recorded"):
        Kalman().fit(SpikeData(np.ones((1, 2, 1), int), 0.05, signals={"vel": Signal(np.ones((1, 2, 2)))}), "vel")


# -- the recurrent network -------------------------------------------------------------------------------------------


def test_a_network_finds_what_no_regression_finds():
    """Two neurons take turns; the sign of the signal is whether the last to fire was the first or the second."""
    rng = np.random.default_rng(2)
    counts = np.zeros((120, 16, 2), int)
    last = np.zeros((120, 16))
    state = np.ones(120)
    for t in range(16):
        fires = rng.random(120) < 0.25
        who = rng.integers(0, 2, 120)
        counts[fires, t, who[fires]] = 1
        state = np.where(fires, 1.0 - 2.0 * who, state)
        last[:, t] = state
    data = SpikeData(counts, bin_s=1.0, signals={"vel": Signal(last)})
    train, test = data.select(trials=slice(0, 90)), data.select(trials=slice(90, None))
    ridge = score_decoder(LaggedRidge("wiener", 3, 0).fit(train, "vel"), test).value
    gru = GRU(units=16, steps=150, learning_rate=0.02, dropout=0.0, inputs=Inputs(0.0, causal=True))
    fitted = gru.fit(train, "vel")
    assert score_decoder(fitted, test).value > max(ridge + 0.15, 0.8)


def test_the_same_seed_trains_the_same_network_and_says_nothing(tuned_neurons, capsys):
    gru = GRU(units=4, steps=4)
    decoded = [gru.fit(tuned_neurons, "vel", seed=s).decode(tuned_neurons) for s in (3, 3, 4)]
    np.testing.assert_array_equal(decoded[0], decoded[1])
    assert not np.allclose(decoded[0], decoded[2])
    assert capsys.readouterr() == ("", "")
    with pytest.raises(ConfigError, match="units is 7"):
        GRU(units=7)
    with pytest.raises(ConfigError, match="dropout is 1"):
        GRU(dropout=1.0)


# -- labels ----------------------------------------------------------------------------------------------------------


def test_a_label_is_found_and_chance_is_chance(tuned_neurons):
    train, test = halves(tuned_neurons)
    decoder = LabelDecoder().fit(train, "side")
    right = decoder.decode(test) == test.trials["side"].to_numpy()
    scored = score_decoder(decoder, test)
    assert scored.value == right.mean() > 0.8
    assert scored.se == pytest.approx(np.sqrt(right.var(ddof=1) / len(right)))
    silent = dataclasses.replace(test, counts=np.zeros_like(test.counts))
    assert score_decoder(decoder, silent).value < 0.8
    assert set(decoder.decode(test)) <= {"left", "middle", "right"}
    assert isinstance(LabelDecoder(), Decoder)


def test_numbers_are_the_same_label_in_any_type(tuned_neurons):
    angle = np.repeat([0.0, 45.0, 90.0], 20)
    data = dataclasses.replace(tuned_neurons, trials=tuned_neurons.trials.assign(angle=angle))
    decoder = LabelDecoder().fit(data, "angle")
    whole = dataclasses.replace(tuned_neurons, trials=tuned_neurons.trials.assign(angle=angle.astype(int)))
    assert score_decoder(decoder, data).value == score_decoder(decoder, whole).value


def test_a_label_of_one_trial_is_learned_without_a_word(tuned_neurons):
    side = tuned_neurons.trials["side"].to_numpy()
    rows = np.concatenate([np.flatnonzero(side != "left")[:20], np.flatnonzero(side == "left")[:1]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        decoder = LabelDecoder().fit(tuned_neurons.select(trials=rows), "side")
    assert "left" in decoder.discriminant.classes_


def test_what_is_not_there_is_named(tuned_neurons):
    for decoder in (LaggedRidge(), Kalman(), GRU(units=4, steps=1)):
        with pytest.raises(DataError, match=r"no signal 'speed' \(signals: vel\)"):
            decoder.fit(tuned_neurons, "speed")
    nothing = with_signal(tuned_neurons, np.full_like(tuned_neurons.signals["vel"].values, np.nan))
    for decoder in (LaggedRidge(alpha=1.0), GRU(units=4, steps=1)):
        with pytest.raises(DataError, match="'vel' is missing in every bin"):
            decoder.fit(nothing, "vel")
    with pytest.raises(DataError, match="at least 5 trials"):
        LaggedRidge().fit(tuned_neurons.select(trials=[0, 1]), "vel")
    with pytest.raises(ConfigError, match="penalty must be positive"):
        LaggedRidge(alpha=0.0)
    with pytest.raises(DataError, match=r"no trial column 'angle' \(columns: side\)"):
        LabelDecoder().fit(tuned_neurons, "angle")
    one_side = tuned_neurons.select(trials=np.flatnonzero(tuned_neurons.trials["side"] == "left"))
    with pytest.raises(DataError, match="the same 'side'"):
        LabelDecoder().fit(one_side, "side")
    each = dataclasses.replace(tuned_neurons, trials=tuned_neurons.trials.assign(side=range(60)))
    with pytest.raises(DataError, match="every trial has a 'side' of its own"):
        LabelDecoder().fit(each, "side")


class Constant:
    """A decoder that returns what it was made with, of whatever shape."""

    def __init__(self, values):
        self.values = values

    target = "speed"

    def decode(self, data):
        return self.values


def test_decoded_signals_of_another_shape_are_an_error_and_one_dimension_may_be_flat():
    rng = np.random.default_rng(0)
    speed = rng.normal(size=(4, 10, 1))
    data = SpikeData(rng.poisson(1.0, (4, 10, 3)), bin_s=0.02, signals={"speed": speed})
    assert score_decoder(Constant(speed.reshape(-1)), data).value == pytest.approx(1.0)
    assert score_decoder(Constant(speed.reshape(-1, 1)), data).value == pytest.approx(1.0)
    with pytest.raises(DataError, match=r"shape \(39, 1\), but the signal 'speed' needs \(valid bin, dim\)"):
        score_decoder(Constant(speed.reshape(-1, 1)[1:]), data)
