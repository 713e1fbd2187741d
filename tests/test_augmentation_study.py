"""What synthetic trials are worth to a decoder: said only where it is so, whatever they are."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from spikeloom.cli import main
from spikeloom.data.files import load, save
from spikeloom.data.joined import join
from spikeloom.data.spikedata import Signal, SpikeData
from spikeloom.decoding.gru import GRU
from spikeloom.decoding.kalman import Kalman
from spikeloom.decoding.label import LabelDecoder
from spikeloom.decoding.protocol import Inputs
from spikeloom.decoding.ridge import LaggedRidge
from spikeloom.errors import ConfigError, DataError
from spikeloom.evaluation.augmentation import AUGMENTATIONS, MOST_WARP
from spikeloom.evaluation.augmentation_results import ALONE, SYNTHETIC, AugmentationStudy, DecoderGains, Point, Repeated
from spikeloom.evaluation.augmentation_study import FRACTIONS, RATIOS, augmentation_study
from spikeloom.evaluation.decoder_scores import score_decoder
from spikeloom.evaluation.estimates import Estimate
from spikeloom.report.augmentation_figures import draw_augmentation_study


class Ridge(LaggedRidge):
    """Settled settings."""

    def candidates(self):
        return (self,)


class Filter(Kalman):
    """The same."""

    def candidates(self):
        return (self,)


class Network(GRU):
    """The same."""

    def candidates(self):
        return (self,)


RIDGE = Ridge("ridge", 0, 0, 10.0, Inputs(0.1))
WIENER = Ridge("wiener", 4, 4, 100.0, Inputs(0.1))


def recording(n_trials, seed, gain=0.35, n_bins=24, n_neurons=10):
    """Neurons tuned to a smooth signal, whose weights are always the same; a label that some neurons tell."""
    rng = np.random.default_rng([seed, 1])
    turn = rng.uniform(0.1, 0.5, (n_trials, 1)) * np.arange(n_bins) + rng.uniform(0, 2 * np.pi, (n_trials, 1))
    velocity = rng.uniform(2, 8, (n_trials, 1, 1)) * np.stack([np.cos(turn), np.sin(turn)], axis=2)
    side = rng.integers(0, 3, n_trials)
    fixed = np.random.default_rng(0)
    drive = gain * (velocity @ fixed.normal(size=(2, n_neurons))) + fixed.normal(size=(3, n_neurons))[side][:, None]
    return SpikeData(
        rng.poisson(np.exp(np.clip(0.5 * drive - 0.7, -5, 2.5))),
        bin_s=0.05,
        lengths=rng.integers(n_bins - 8, n_bins + 1, n_trials),
        signals={"vel": Signal(velocity, "cm/s", ("x", "y"))},
        trials=pd.DataFrame({"side": np.array(["left", "middle", "right"])[side]}),
    )


def with_splits(data, train, val, test):
    first, second = train + val, train + val + test
    edges = {"train": range(train), "val": range(train, first), "test": range(first, second)}
    return dataclasses.replace(data, splits={k: np.array(v) for k, v in edges.items()})


def shuffled(data, seed=0):
    """Every trial with the signal and label of another."""
    order = np.random.default_rng(seed).permutation(data.n_trials)
    signals = {k: Signal(s.values[order], s.unit, s.columns) for k, s in data.signals.items()}
    trials = data.trials.iloc[order].reset_index(drop=True)
    # A signal as long as the trial it comes with, so that none of its padding is taken for zeros.
    return dataclasses.replace(data, signals=signals, trials=trials, lengths=np.full(data.n_trials, data.lengths.min()))


@pytest.fixture(scope="module")
def real():
    return with_splits(recording(150, seed=0), 60, 30, 60)


@pytest.fixture(scope="module")
def perfect():
    """As many more trials of the same animal as anyone could wish."""
    return recording(300, seed=1)


@pytest.fixture(scope="module")
def measured(real, perfect):
    return augmentation_study(
        real,
        perfect,
        "vel",
        [RIDGE, WIENER, Filter()],
        fractions=(0.5,),
        ratios=(1.0, 4.0),
        seeds=2,
        baselines=("jitter",),
    )


# -- what is measured ------------------------------------------------------------------------------------------------


def test_perfect_trials_are_worth_what_real_ones_are(measured):
    for row in measured.decoders:
        assert row.alone.value > 0.4
        assert abs(row.tstr.value - row.alone.value) < 1.96 * row.alone.se
        assert abs(row.trts.value - row.alone.value) < 3 * np.hypot(row.trts.se, row.alone.se)
    assert measured.tau == 1.0


def test_shuffled_trials_are_worth_nothing(real, perfect):
    bad = augmentation_study(
        real, shuffled(perfect), "vel", [RIDGE, WIENER], fractions=(1.0,), ratios=(1.0,), seeds=2, baselines=()
    )
    for row in bad.decoders:
        assert row.tstr.value < 0.1 < row.alone.value
        assert row.trts.value < 0.1
        assert bad.main(row, SYNTHETIC).gain.value < -0.02
    assert not bad.helped
    assert "did not help" in bad.verdict
    assert bad.verdict.endswith("they made ridge and wiener worse.")


def test_scores_are_those_of_decoders_trained_by_hand(real, perfect):
    ridge = RIDGE

    found = augmentation_study(real, perfect, "vel", [RIDGE], fractions=(0.5,), ratios=(1.0,), seeds=1, baselines=())
    train, test = real.split("train"), real.split("test")
    order = np.random.default_rng([0, 0]).permutation(60)
    pool = np.random.default_rng([0, 2]).permutation(300)
    half, more = train.select(trials=order[:30]), perfect.select(trials=pool[:30])
    row = found.decoders[0]
    expected = {
        (ALONE, 0.5, 0.0): score_decoder(ridge.fit(half, "vel"), test),
        (SYNTHETIC, 0.5, 1.0): score_decoder(ridge.fit(join(half, more), "vel"), test),
        ("duplicated", 0.5, 1.0): score_decoder(ridge.fit(join(half, half), "vel"), test),
        (ALONE, 1.0, 0.0): score_decoder(ridge.fit(train, "vel"), test),
    }
    for key, reference in expected.items():
        assert row.at(*key).score == pytest.approx((reference.value, reference.se), abs=1e-9)
    gain = expected[SYNTHETIC, 0.5, 1.0].influence - expected[ALONE, 0.5, 0.0].influence
    point = row.at(SYNTHETIC, 0.5, 1.0)
    assert (point.n_real, point.n_added) == (30, 30)
    assert point.gain.se == pytest.approx(np.sqrt(60 / 59 * np.square(gain).sum()))
    assert point.gain.value == pytest.approx(expected[SYNTHETIC, 0.5, 1.0].value - expected[ALONE, 0.5, 0.0].value)
    assert point.over["duplicated"].value == pytest.approx(
        point.score.value - row.at("duplicated", 0.5, 1.0).score.value
    )
    assert row.trts == pytest.approx((lambda j: (j.value, j.se))(score_decoder(ridge.fit(train, "vel"), perfect)))
    assert row.tstr.value == score_decoder(ridge.fit(perfect.select(trials=pool[:60]), "vel"), test).value


def test_the_error_of_repetitions_counts_too():
    same = Repeated(np.array([0.5, 0.5]), np.array([[0.1, -0.1], [0.1, -0.1]]))
    other = Repeated(np.array([0.4, 0.6]), np.array([[0.1, -0.1], [0.1, -0.1]]))
    assert same.estimate() == pytest.approx((0.5, 0.2))
    assert other.estimate() == pytest.approx((0.5, np.hypot(0.2, 0.1)))
    assert other.minus(same).estimate() == pytest.approx((0.0, 0.1))


def test_padding_is_invisible(real, perfect):
    def longer(data):
        counts = np.pad(data.counts, ((0, 0), (0, 5), (0, 0)), constant_values=7)
        values = np.pad(data.signals["vel"].values, ((0, 0), (0, 5), (0, 0)), constant_values=99)
        return dataclasses.replace(data, counts=counts, signals={"vel": Signal(values, "cm/s", ("x", "y"))})

    # (A longer recording has room for slower trials, so time-warp is left out.)
    setting = {"fractions": (0.5,), "ratios": (1.0,), "seeds": 1, "baselines": ("dropout",)}
    plain = augmentation_study(real, perfect, "vel", [RIDGE], **setting)
    padded = augmentation_study(longer(real), longer(perfect), "vel", [RIDGE], **setting)
    for one, other in zip(plain.decoders[0].points, padded.decoders[0].points, strict=True):
        assert other.score == pytest.approx(one.score, abs=1e-6)


def test_strict_and_loose(real, perfect):
    setting = {"fractions": (0.2, 0.5), "ratios": (1.0,), "seeds": 1, "baselines": ()}
    usual = augmentation_study(real, perfect, "vel", [RIDGE], **setting)
    assert {p.fraction: p.strict for p in usual.decoders[0].points} == {0.2: False, 0.5: False, 1.0: True}
    half = augmentation_study(real, perfect, "vel", [RIDGE], generator_trials=range(30), **setting)
    assert {p.fraction: p.strict for p in half.decoders[0].points} == {0.2: False, 0.5: True, 1.0: True}
    beyond = augmentation_study(real, perfect, "vel", [RIDGE], generator_trials=[*range(30), 140], **setting)
    assert not any(p.strict for p in beyond.decoders[0].points)
    assert not beyond.helped
    assert "nothing can be claimed" in beyond.verdict


def test_synthetic_trials_with_conditions_of_held_out_trials_are_flagged(real, perfect):
    test = real.split("test")
    leaked = dataclasses.replace(
        perfect.select(trials=range(60)), signals=test.signals, lengths=test.lengths, trials=test.trials
    )
    found = augmentation_study(real, leaked, "vel", [RIDGE], fractions=(1.0,), ratios=(1.0,), seeds=1, baselines=())
    assert found.n_of_held_out == 60
    assert not found.helped
    assert found.verdict.startswith("The value of synthetic trials cannot be assessed: 60 of 60 were generated")


def test_fewer_synthetic_than_real_trials(real, perfect):
    few = perfect.select(trials=range(30))
    found = augmentation_study(
        real, few, "vel", [RIDGE], fractions=(0.5, 1.0), ratios=(1.0, 2.0), seeds=1, baselines=()
    )
    assert found.ratio == 0.5
    row = found.decoders[0]
    assert row.at(SYNTHETIC, 1.0, 1.0) is None
    assert row.at(SYNTHETIC, 0.5, 1.0).n_added == 30
    assert row.at("duplicated", 1.0, 2.0).n_added == 120
    assert "With 30 synthetic trials beside 60 real ones" in found.verdict
    draw_augmentation_study(found)
    assert "30 synthetic trials" in found.table()


def test_without_synthetic_trials_the_controls_are_measured(real):
    found = augmentation_study(real, None, "vel", [RIDGE], fractions=(1.0,), ratios=(1.0,), seeds=1)
    assert found.decoders[0].sources == list(AUGMENTATIONS)
    assert found.decoders[0].tstr is None
    assert "cannot be assessed" in found.verdict
    assert "TSTR" not in found.table()
    draw_augmentation_study(found)


def test_a_network_is_measured_at_the_main_point_only(real, perfect):
    heard = []
    short = Network(units=4, steps=2)
    found = augmentation_study(
        real,
        perfect,
        "vel",
        [RIDGE, short],
        fractions=(0.5,),
        ratios=(1.0, 2.0),
        seeds=1,
        baselines=(),
        progress=lambda *at: heard.append(at),
    )
    ridge, gru = found.decoders
    assert ridge.has_curve
    assert {(p.fraction, p.ratio) for p in gru.points} == {(1.0, 0.0), (1.0, 1.0)}
    assert gru.settings["steps"] == 2
    assert heard[-1][0] == heard[-1][1]
    assert [done for done, _ in heard[:-1]] == list(range(1, len(heard)))
    draw_augmentation_study(found)
    json.dumps(found.to_dict(), allow_nan=False)


def test_labels(real, perfect):
    found = augmentation_study(
        real, perfect, "side", [LabelDecoder()], fractions=(0.05, 0.5), ratios=(1.0,), seeds=2, baselines=()
    )
    row = found.decoders[0]
    assert found.measure == "share decoded"
    assert row.alone.value > 0.6
    assert abs(row.tstr.value - row.alone.value) < 0.15
    assert np.isnan(found.tau)
    assert not row.points[0].fraction == 0.05  # three trials are too few
    bad = augmentation_study(
        real, shuffled(perfect), "side", [LabelDecoder()], fractions=(1.0,), ratios=(1.0,), seeds=1, baselines=()
    )
    assert bad.decoders[0].tstr.value < 0.55
    assert not bad.helped


# -- what is said ----------------------------------------------------------------------------------------------------


def said(gains, over, others=None, strict=True, leaked=0):
    """A result whose gains over real trials alone, and over duplicated ones, are given."""
    se = 0.01

    def row(name):
        cheap = {k: Estimate(v, se) for k, v in (others or {"replay": 0.5}).items()}
        compared = {"duplicated": Estimate(over[name], se), **cheap}
        points = (
            Point(ALONE, 1.0, 0.0, 50, 0, Estimate(0.5, se), Estimate(0.0, 0.0), {}, strict),
            Point(SYNTHETIC, 1.0, 1.0, 50, 50, Estimate(0.5, se), Estimate(gains[name], se), compared, strict),
            Point("duplicated", 1.0, 1.0, 50, 50, Estimate(0.5, se), Estimate(0.0, se), {}, strict),
        )
        return DecoderGains(name, {}, Estimate(0.5, se), Estimate(0.5, se), points)

    trials = {"train": 50, "validation": 10, "test": 20, "synthetic": 50}
    return AugmentationStudy("vel", "R²", tuple(row(n) for n in gains), 1.0, 1.0, strict, leaked, trials, 1)


def test_help_is_claimed_only_beyond_error_over_both():
    assert said({"ridge": 0.02}, {"ridge": 0.02}).helped == ["ridge"]
    assert said({"ridge": 0.019}, {"ridge": 0.02}).helped == []
    assert said({"ridge": 0.02}, {"ridge": 0.019}).helped == []
    assert said({"ridge": 0.02}, {"ridge": -0.02}).helped == []
    assert said({"ridge": 0.02}, {"ridge": 0.02}, strict=False).helped == []
    assert said({"ridge": 0.02}, {"ridge": 0.02}, leaked=1).helped == []
    # With more decoders, one gains more easily by chance.
    both = {"ridge": 0.021, "kalman": 0.0}
    assert said(both, both).helped == []
    assert said(both, both).threshold == pytest.approx(2.2414, abs=1e-4)


def test_one_sentence_in_either_direction():
    gains = {"ridge": 0.05, "kalman": 0.0, "wiener": -0.05}
    text = said(gains, gains).verdict
    assert text == (
        "With 50 synthetic trials beside 50 real ones, synthetic trials helped ridge (ridge +0.050 ± 0.020 over real "
        "trials alone and +0.050 ± 0.020 over these repeated); they did not help kalman and wiener; they made wiener "
        "worse."
    )
    as_good = said({"ridge": 0.05}, {"ridge": 0.05}, {"replay": 0.0, "jitter": 0.4, "dropout": -0.1}).verdict
    assert as_good.endswith("over these repeated); ridge not beyond what replay or dropout does for it.")
    none = said({"ridge": 0.005, "kalman": 0.05}, {"ridge": 0.05, "kalman": 0.005}).verdict
    assert none == (
        "With 50 synthetic trials beside 50 real ones, synthetic trials did not help: no decoder gains beyond error "
        "both over the real trials alone and over these repeated (the largest gain: kalman +0.050 ± 0.020 over real "
        "trials alone and +0.005 ± 0.020 over these repeated)."
    )


def test_perfect_trials_help_where_real_ones_are_few(perfect):
    few = with_splits(recording(108, seed=3), 8, 20, 80)
    found = augmentation_study(
        few, perfect, "vel", [WIENER], fractions=(1.0,), ratios=(1.0, 5.0), seeds=2, baselines=()
    )
    assert found.helped == ["wiener"]
    assert "synthetic trials helped wiener" in found.verdict
    gains = [found.decoders[0].at(SYNTHETIC, 1.0, r).gain.value for r in (1.0, 5.0)]
    assert gains[1] > gains[0] > found.decoders[0].at("duplicated", 1.0, 1.0).gain.value


def test_the_table_says_what_was_measured(measured):
    text = measured.table()
    lines = text.splitlines()
    assert lines[0] == "R² of 'vel' in 60 held-out real trials, ± 1.96 se; 2 repetitions"
    head = next(line for line in lines if line.startswith("decoder"))
    assert head.split("  ")[0] == "decoder"
    assert [w.strip() for w in head.split("  ") if w.strip()][1:] == [
        *("TRTR", "TSTR", "TRTS", "TSTR/TRTR"),
        *(f"+ {s}" for s in (SYNTHETIC, "duplicated", "jitter")),
    ]
    row = measured.decoders[1]
    assert f"wiener   {row.alone.value:.3f} ± {1.96 * row.alone.se:.3f}" in text
    assert "30 (50 %) *" in text
    assert "60 (100 %)  " in text
    assert "* loose: the generator was fitted to more" in text
    assert len({len(line) for line in lines if set(line) == {"-"}}) >= 1


def test_plain_values_are_strict_json(measured):
    content = json.loads(json.dumps(measured.to_dict(), allow_nan=False))
    assert content["decoders"]["ridge"]["trtr"]["value"] == measured.decoders[0].alone.value
    assert content["decoders"]["ridge"]["settings"]["inputs"] == {"smooth_s": 0.1, "causal": False}
    point = content["decoders"]["wiener"]["points"][-1]
    assert set(point) >= {"source", "fraction", "ratio", "score", "gain", "over", "strict", "n_real", "n_added"}
    assert content["helped"] == measured.helped


# -- the controls ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_controls_are_of_the_right_shape_and_seeded(real, name):
    train = real.split("train")
    made = [AUGMENTATIONS[name].draw(train, np.random.default_rng(s)) for s in (0, 0, 1)]
    assert made[0].counts.shape == train.counts.shape
    np.testing.assert_array_equal(made[0].counts, made[1].counts)
    assert (made[0].counts != made[2].counts).any() == (name != "duplicated")
    assert (made[0].counts[~made[0].valid] == 0).all()
    if name != "time-warp":
        np.testing.assert_array_equal(made[0].signals["vel"].values, train.signals["vel"].values)
        np.testing.assert_array_equal(made[0].lengths, train.lengths)


def test_replay_draws_from_the_rates_it_is_given(real):
    train = real.split("train")
    given = dataclasses.replace(train, rates=np.full(train.counts.shape, 2.0, np.float32))
    drawn = AUGMENTATIONS["replay"].draw(given, np.random.default_rng(0)).counts[train.valid]
    assert drawn.mean() == pytest.approx(2.0, abs=0.05)
    assert drawn.var() == pytest.approx(2.0, abs=0.1)
    own = AUGMENTATIONS["replay"].draw(train, np.random.default_rng(0)).counts[train.valid]
    assert own.mean() == pytest.approx(train.counts[train.valid].mean(), rel=0.02)
    assert np.corrcoef(own.ravel(), train.counts[train.valid].ravel())[0, 1] > 0.3


def test_rates_of_the_recording_itself_are_not_taken_for_a_model_s(real, perfect, monkeypatch):
    """A simulated recording brings true rates, from which nobody could replay."""
    heard = []
    monkeypatch.setitem(
        AUGMENTATIONS,
        "replay",
        dataclasses.replace(AUGMENTATIONS["replay"], draw=lambda data, rng: (heard.append(data.rates), data)[1]),
    )
    true = dataclasses.replace(real, rates=np.ones(real.counts.shape, np.float32))
    setting = {"fractions": (1.0,), "ratios": (1.0,), "seeds": 1, "baselines": ("replay",)}
    augmentation_study(true, perfect, "vel", [RIDGE], **setting)
    assert heard == [None]
    rates = np.random.default_rng(0).random(real.counts.shape).astype(np.float32)
    augmentation_study(true, perfect, "vel", [RIDGE], rates=rates, **setting)
    inside = rates[:60][real.split("train").valid]
    assert heard[1][heard[1] > 0].sum() == pytest.approx(inside.sum(), rel=1e-4)
    with pytest.raises(DataError, match="give one a count"):
        augmentation_study(true, perfect, "vel", [RIDGE], rates=rates[:, :3], **setting)


def test_warped_trials_keep_spikes_and_signal_together():
    time = np.tile(np.arange(20), (200, 1))
    data = SpikeData(time[..., None], 0.05, lengths=np.full(200, 16), signals={"vel": Signal(time.astype(float))})
    made = AUGMENTATIONS["time-warp"].draw(data, np.random.default_rng(0))
    inside = made.valid
    np.testing.assert_array_equal(made.counts[inside][:, 0], made.signals["vel"].values[inside][:, 0])
    assert (np.diff(made.counts[:, :12, 0].astype(int), axis=1) >= 0).all()
    assert made.lengths.min() >= 16 / MOST_WARP - 1
    assert made.lengths.max() <= 20
    assert (made.lengths < 15).any()
    assert (made.lengths > 17).any()
    assert made.counts[inside].max() == 15  # nothing of what lies behind the end


def test_spikes_are_moved_and_neurons_silenced(real):
    train = real.split("train")
    jittered = AUGMENTATIONS["jitter"].draw(train, np.random.default_rng(0))
    np.testing.assert_array_equal(jittered.counts.sum(1), train.counts.sum(1))
    assert 0.05 < (jittered.counts != train.counts).mean() < 0.7
    silenced = AUGMENTATIONS["dropout"].draw(train, np.random.default_rng(0)).counts
    gone = (silenced.sum(1) == 0) & (train.counts.sum(1) > 0)
    assert gone.mean() == pytest.approx(0.1, abs=0.03)
    np.testing.assert_array_equal(
        silenced[~gone[:, None, :].repeat(24, 1)], train.counts[~gone[:, None, :].repeat(24, 1)]
    )


# -- what cannot be --------------------------------------------------------------------------------------------------


def test_what_cannot_be_is_named(real, perfect):
    with pytest.raises(ConfigError, match=r"decoders are ridge, ridge; name at least one, and each once"):
        augmentation_study(real, perfect, "vel", [RIDGE, RIDGE])
    with pytest.raises(ConfigError, match=r"no baseline 'magic'; choose of duplicated"):
        augmentation_study(real, perfect, "vel", [RIDGE], baselines=["magic"])
    with pytest.raises(ConfigError, match=r"no decoder to draw a curve of 'gru'; choose of ridge"):
        augmentation_study(real, perfect, "vel", [RIDGE], curves=["gru"])
    with pytest.raises(ConfigError, match=r"fractions of the real trials are 0, 1; each must be above 0"):
        augmentation_study(real, perfect, "vel", [RIDGE], fractions=(0.0, 1.0))
    with pytest.raises(ConfigError, match=r"ratios of other to real trials are -1; each must be positive"):
        augmentation_study(real, perfect, "vel", [RIDGE], ratios=(-1.0,))
    with pytest.raises(ConfigError, match="seeds is 0"):
        augmentation_study(real, perfect, "vel", [RIDGE], seeds=0)
    with pytest.raises(DataError, match=r"synthetic trials have no 'vel' to decode \(signals: none; columns: side\)"):
        augmentation_study(real, dataclasses.replace(perfect, signals={}), "vel", [RIDGE])
    one = Signal(perfect.signals["vel"].values[..., :1])
    with pytest.raises(DataError, match="2 dimensions in real and 1 in synthetic trials"):
        augmentation_study(real, dataclasses.replace(perfect, signals={"vel": one}), "vel", [RIDGE])
    with pytest.raises(DataError, match="10 neurons but the generated data 3"):
        augmentation_study(real, perfect.select(neurons=[0, 1, 2]), "vel", [RIDGE])
    with pytest.raises(DataError, match="there are 4 training trials"):
        augmentation_study(with_splits(recording(12, 0), 4, 4, 4), perfect, "vel", [RIDGE])
    assert (FRACTIONS, RATIOS) == ((0.05, 0.1, 0.25, 0.5, 1.0), (0.5, 1.0, 2.0, 5.0))


# -- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def files(real, perfect, tmp_path_factory):
    folder = tmp_path_factory.mktemp("decode")
    save(real, folder / "real.npz")
    save(perfect, folder / "more.npz")
    save(dataclasses.replace(real, rates=np.ones(real.counts.shape, np.float32)), folder / "rates.npz")
    save(dataclasses.replace(perfect, rates=np.ones(perfect.counts.shape, np.float32)), folder / "others.npz")
    return folder


SHORT = ["--seeds", "1", "--fractions", "1", "--ratios", "1"]


def test_the_command(files, tmp_path, capsys):
    words = ["decode", files / "real.npz", "--augment", files / "more.npz", *SHORT, "--rates", files / "rates.npz"]
    words += ["--json", tmp_path / "scores.json", "--figure", tmp_path / "gains.png"]
    assert main([str(w) for w in words]) == 0, capsys.readouterr().err
    out = capsys.readouterr().out
    content = json.loads((tmp_path / "scores.json").read_text())
    assert list(content["decoders"]) == ["ridge", "wiener", "kalman"]
    assert out.strip().endswith(content["verdict"])
    assert content["decoders"]["kalman"]["points"][0]["fraction"] == 1.0
    assert (tmp_path / "gains.png").read_bytes().startswith(b"\x89PNG")


def test_the_command_for_labels_and_causal_decoders(files, tmp_path, capsys):
    json_file = str(tmp_path / "x.json")
    assert main(["decode", str(files / "real.npz"), "--label", "side", *SHORT, "--json", json_file]) == 0
    assert list(json.loads((tmp_path / "x.json").read_text())["decoders"]) == ["lda"]
    words = ["--decoders", "wiener", "--causal", "--kernel_s", "0.04", "--json", json_file]
    assert main(["decode", str(files / "real.npz"), "--signal", "vel", *SHORT, *words]) == 0
    settings = json.loads((tmp_path / "x.json").read_text())["decoders"]["wiener"]["settings"]
    assert (settings["before"], settings["after"]) == (19, 0)
    assert settings["inputs"] == {"smooth_s": 0.04, "causal": True}
    assert "cannot be assessed" in capsys.readouterr().out


def test_what_the_command_refuses(files, refused, tmp_path_factory):
    real_file, more, others = (files / f"{n}.npz" for n in ("real", "more", "others"))
    assert "decode one of them" in refused("decode", real_file, "--signal", "vel", "--label", "side")
    assert "'lda' is no decoder of signals" in refused("decode", real_file, "--decoders", "lda")
    assert "'gru' is no decoder of labels" in refused("decode", real_file, "--label", "side", "--decoders", "gru")
    assert "no 'speed' to decode (signals: vel; columns: side)" in refused("decode", real_file, "--signal", "speed")
    assert "no 'colour' to decode" in refused("decode", real_file, "--label", "colour")
    assert "name a file that ends in .png" in refused("decode", real_file, "--figure", "gains.pdf")
    assert "holds no rates" in refused("decode", real_file, "--rates", more)
    assert "rates of other trials" in refused("decode", real_file, "--rates", others)
    assert "smoothing kernel is -1 s" in refused("decode", real_file, "--kernel_s", "-1")
    assert "fractions of the real trials are 2" in refused("decode", real_file, "--fractions", "2")
    assert "there is no file" in refused("decode", real_file, "--augment", "nothing.npz")
    two = tmp_path_factory.mktemp("two") / "two.npz"
    data = load(real_file)
    save(dataclasses.replace(data, signals={**data.signals, "pos": data.signals["vel"]}), two)
    assert "the recording has the signals vel, pos" in refused("decode", two)
