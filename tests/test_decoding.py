"""Decoders: what is in the spikes is found, and nothing else."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from spikeloom.data.spikedata import Signal, SpikeData
from spikeloom.errors import DataError
from spikeloom.evaluation.decoding import LabelDecoder, SignalDecoder, lagged


@pytest.fixture
def tuned():
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


def test_a_signal_is_found_and_that_of_another_time_is_not(tuned):
    train, test = halves(tuned)
    decoder = SignalDecoder.fit(train, "vel")
    assert decoder.score(test) > 0.6
    shifted = dataclasses.replace(
        test, signals={"vel": Signal(np.roll(test.signals["vel"].values, 7, axis=1), "cm/s", ("x", "y"))}
    )
    assert decoder.score(test, shifted) < 0.3


def test_the_bins_that_matter_are_those_after_the_signal(tuned):
    train, test = halves(tuned)
    after = SignalDecoder.fit(train, "vel", before=0, after=4).score(test)
    before = SignalDecoder.fit(train, "vel", before=4, after=0).score(test)
    assert after > before + 0.1


def test_lags_stay_inside_their_trial():
    counts = np.arange(1, 7).reshape(2, 3, 1)
    data = SpikeData(counts, bin_s=1.0, lengths=[3, 2])
    np.testing.assert_array_equal(lagged(data, 1, 1), [[0, 1, 2], [1, 2, 3], [2, 3, 0], [0, 4, 5], [4, 5, 0]])


def test_a_label_is_found_and_chance_is_chance(tuned):
    train, test = halves(tuned)
    decoder = LabelDecoder.fit(train, "side")
    assert decoder.score(test) > 0.8
    silent = dataclasses.replace(test, counts=np.zeros_like(test.counts))
    assert decoder.score(silent) < 0.8
    assert set(decoder.decode(test)) <= {"left", "middle", "right"}


def test_numbers_are_the_same_label_in_any_type(tuned):
    angle = np.repeat([0.0, 45.0, 90.0], 20)
    data = dataclasses.replace(tuned, trials=tuned.trials.assign(angle=angle))
    decoder = LabelDecoder.fit(data, "angle")
    whole = dataclasses.replace(tuned, trials=tuned.trials.assign(angle=angle.astype(int)))
    assert decoder.score(data) == decoder.score(whole)


def test_what_is_not_there_is_named(tuned):
    with pytest.raises(DataError, match=r"no signal 'speed' \(signals: vel\)"):
        SignalDecoder.fit(tuned, "speed")
    with pytest.raises(DataError, match=r"no trial column 'angle' \(columns: side\)"):
        LabelDecoder.fit(tuned, "angle")
    with pytest.raises(DataError, match="at least 5 trials"):
        SignalDecoder.fit(tuned.select(trials=[0, 1]), "vel")
    with pytest.raises(DataError, match="the same 'side'"):
        LabelDecoder.fit(tuned.select(trials=np.flatnonzero(tuned.trials["side"] == "left")), "side")
    with pytest.raises(DataError, match="every trial has a 'side' of its own"):
        LabelDecoder.fit(dataclasses.replace(tuned, trials=tuned.trials.assign(side=range(60))), "side")
