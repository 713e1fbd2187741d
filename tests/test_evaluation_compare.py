"""The harness: score, floor, baselines, verdict and record, on simulated recordings."""

import json
import pickle
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from quick_compare import share_references
from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import ConfigError, DataError
from spikeloom.evaluation.baselines import Baselines, poisson_counts
from spikeloom.evaluation.compare import compare
from spikeloom.evaluation.metric import Metric
from spikeloom.evaluation.metrics import HELDOUT_METRICS, heldout_metrics
from spikeloom.evaluation.reference import default_draws
from spikeloom.evaluation.results import METRICS, Comparison
from spikeloom.evaluation.side_by_side import compare_side_by_side
from spikeloom.evaluation.summary import Frame, TrialSet, summarise
from spikeloom.evaluation.verdict import Level
from spikeloom.evaluation.yardsticks import CORRUPTIONS

BIN_S = 0.02
N_BINS, N_NEURONS = 50, 20


class Process:
    """A population with conditions, shared gain, smooth rates and overdispersion: what real data are made of."""

    def __init__(self, seed=0):
        rng = np.random.default_rng(seed)
        self.prototypes = np.cumsum(rng.normal(0, 0.2, (3, N_BINS, 3)), axis=1)
        self.mixing = rng.normal(0, 0.5, (3, N_NEURONS))
        self.base = rng.normal(-1.6, 0.5, N_NEURONS)

    def draw(self, rng, n_trials):
        condition = np.arange(n_trials) % 3
        own = np.cumsum(rng.normal(0, 0.15, (n_trials, N_BINS, 3)), axis=1) + 0.6 * rng.standard_normal(
            (n_trials, 1, 3)
        )
        rate = np.exp((self.prototypes[condition] + own) @ self.mixing + self.base)
        return rng.poisson(np.minimum(rate, 4)).astype(np.uint8), condition

    def data(self, rng, n_trials, **kwargs):
        counts, condition = self.draw(rng, n_trials)
        return SpikeData(counts, BIN_S, trials=pd.DataFrame({"condition": condition}), **kwargs)


@pytest.fixture(scope="module", autouse=True)
def references():
    """Most tests compare with the same recording."""
    with pytest.MonkeyPatch.context() as patch:
        yield share_references(patch)


@pytest.fixture(scope="module")
def real():
    splits = {"train": np.arange(360), "test": np.arange(360, 480)}
    return Process().data(np.random.default_rng(1), 480, splits=splits)


QUICK = {"n_draws": 2, "n_floor": 5, "classifiers": ()}


@pytest.fixture(scope="module")
def perfect(real):
    return compare(real, Process().data(np.random.default_rng(2), 600), n_draws=3, n_floor=10)


def homogeneous(real, rng):
    mean = real.split("train").counts.mean(axis=(0, 1))
    return SpikeData(rng.poisson(mean, real.counts.shape).astype(np.uint8), BIN_S, trials=real.trials)


def levels(result):
    return {name: r.level for name, r in result.metrics.items()}


WRONG = {Level.DIFFERS, Level.CLOSE, Level.NO_BETTER, Level.TOO_GOOD}


def test_a_perfect_generator_differs_in_nothing(perfect):
    assert set(perfect.metrics) == {m.name for m in HELDOUT_METRICS} | {"c2st_rich"}
    assert not set(levels(perfect).values()) & WRONG
    assert sum(level is Level.MATCHES for level in levels(perfect).values()) >= 8
    assert perfect.metrics["c2st_rich"].value == pytest.approx(0.5, abs=0.12)
    assert not perfect.memorisation.alarm
    assert "metrics match real trials" in perfect.verdict


def test_few_new_real_trials_are_not_too_good():
    """Nor are they anything else: floor draws, which are training trials, must not be fitted better than new ones."""
    process, rng = Process(), np.random.default_rng(11)
    splits = {"test": np.arange(20), "train": np.arange(20, 60)}
    result = compare(process.data(rng, 60, splits=splits), process.data(rng, 20), **QUICK)
    assert not set(levels(result).values()) & WRONG


def test_windows_of_other_stretches_of_the_same_recording_are_not_told_apart():
    """A classifier must not know windows by the stretch of recorded time that they share with windows it learned on."""
    rng = np.random.default_rng(5)
    gain = rng.normal(0, 1, (240, N_NEURONS))  # of each stretch and neuron
    counts = rng.poisson(np.exp(gain[:, None] - 1), (240, 3 * 30, N_NEURONS)).astype(np.uint8)
    windows = SpikeData(counts, BIN_S).window(30)
    splits = {"test": np.arange(120), "train": np.arange(120, 420)}
    result = compare(replace(windows[:420], splits=splits), windows[420:], **QUICK)
    assert levels(result)["c2st_basic"] not in WRONG


def test_constant_rate_poisson_scores_one_where_it_is_the_yardstick(real):
    result = compare(real, homogeneous(real, np.random.default_rng(3)), **QUICK)
    own = [r for r in result.metrics.values() if r.yardstick_name == "homogeneous" and np.isfinite(r.score)]
    assert len(own) >= 5
    assert np.abs(np.array([r.score for r in own]) - 1).max() < 0.35
    assert all(r.score_low < 1 < r.score_high for r in own)
    assert levels(result)["fano_rmse"] in (Level.NO_BETTER, Level.DIFFERS)
    assert levels(result)["corr_rmse"] in (Level.NO_BETTER, Level.DIFFERS)


@pytest.mark.parametrize(
    ("fault", "noticed", "words"),
    [
        ("thinned", ("rate_rmse", "count_w1", "count_js"), "% too little"),
        ("shuffled", ("corr_rmse", "corr_slope", "noise_corr_rmse", "noise_corr_slope"), "correlations"),
        ("permuted_bins", ("acf_rmse",), "autocorrelation"),
    ],
)
def test_each_fault_is_noticed_by_the_metrics_made_for_it(real, fault, noticed, words):
    rng = np.random.default_rng(4)
    good = Process().data(rng, 120)
    trials = TrialSet(good.counts, good.lengths, good.trials["condition"].to_numpy())
    bad = CORRUPTIONS[fault].corrupt(trials, good.counts.mean(axis=(0, 1)), BIN_S, rng, 1.0)
    result = compare(real, replace(good, counts=bad.counts), **QUICK)
    assert {name for name in noticed if levels(result)[name] not in WRONG} == set()
    assert any(words in result.metrics[name].words for name in noticed)
    assert {r.yardstick_name for name, r in result.metrics.items() if name in noticed} == {fault}


def test_a_far_value_is_never_left_out_because_its_control_is_near(real):
    """Rates 40 % too low: the constant-rate baseline has the right mean rates, so that it can separate nothing."""
    good = Process().data(np.random.default_rng(5), 120)
    rng = np.random.default_rng(6)
    result = compare(real, replace(good, counts=rng.binomial(good.counts, 0.6)), **QUICK)
    for name in ("rate_rmse", "count_kl", "isi_mean_rmse"):
        assert levels(result)[name] in WRONG, name
    assert "fire" in result.headline


@pytest.mark.slow
def test_fewer_generated_trials_never_match_more(real):
    """Noise is no success: with fewer trials rows may only move to "cannot tell"."""
    rng = np.random.default_rng(7)
    bad = homogeneous(real, rng)
    many, few = (compare(real, bad[:n], **QUICK) for n in (120, 12))
    matching = [sum(level is Level.MATCHES for level in levels(c).values()) for c in (many, few)]
    assert matching[1] <= matching[0]
    assert sum(level is Level.CANNOT_TELL for level in levels(few).values()) > 5
    assert few.headline.startswith("Too few trials to tell")


def test_fewer_than_ten_trials_have_values_and_no_verdict(real):
    result = compare(real, Process().data(np.random.default_rng(8), 6), **QUICK)
    assert set(levels(result).values()) == {Level.NOT_DEFINED}
    assert np.isfinite(result.metrics["rate_rmse"].value)
    assert np.isnan(result.metrics["rate_rmse"].se)
    assert "6 trials on each side, and a verdict needs 10" in result.metrics["rate_rmse"].note
    assert result.headline.startswith("Too few trials to tell")


def test_every_corruption_is_a_control(perfect):
    for key in ("corr_rmse", "acf_rmse"):
        controls = perfect.metrics[key].baselines
        assert set(CORRUPTIONS) | {"psth"} == set(controls)
        assert controls["thinned"] < controls["homogeneous"]
    shuffled = perfect.metrics["fano_rmse"]
    assert shuffled.baselines["shuffled"] == pytest.approx(shuffled.floor, rel=0.5)
    assert perfect.metrics["noise_corr_slope"].baselines["shuffled"] == pytest.approx(0, abs=0.1)
    assert perfect.metrics["psth_err"].yardstick_name == "permuted_conditions"


def test_a_memoriser_is_caught_though_its_scores_are_perfect(real):
    train = real.split("train")
    result = compare(real, train.select(trials=np.arange(200)), **QUICK)
    assert result.memorisation.alarm
    assert result.memorisation.copy_share > 0.9
    assert "Copying of training trials detected" in result.verdict


def test_the_held_out_trials_themselves_are_too_good(real):
    result = compare(real, real.split("test"), **QUICK)
    assert result.metrics["corr_rmse"].value == pytest.approx(0, abs=1e-7)
    assert levels(result)["corr_rmse"] is Level.TOO_GOOD
    assert result.headline.startswith("Too good to be true")


def test_several_generators_share_their_floor_and_have_paired_errors(real):
    process, rng = Process(), np.random.default_rng(9)
    samples = {"good": process.data(rng, 120), "poisson": homogeneous(real, rng)[:150], "other": process.data(rng, 130)}
    result = compare_side_by_side(real, samples, **QUICK)
    assert list(result.comparisons) == ["good", "poisson", "other"]
    assert {c.metrics["corr_rmse"].floor for c in result.comparisons.values()} == {
        result.comparisons["good"].metrics["corr_rmse"].floor
    }
    won = {d.metric for d in result.wins("good")}
    assert {"corr_rmse", "noise_corr_rmse", "fano_rmse"} <= won
    assert not any({d.first, d.second} == {"good", "other"} and d.significant for d in result.differences)
    assert not result.wins("poisson")
    json.dumps(result.to_dict(), allow_nan=False)
    assert "good is nearer to real trials than poisson in" in result.verdict
    with pytest.raises(ConfigError, match="at least two"):
        compare_side_by_side(real, {"one": samples["good"]})


def test_reconstruction_rates_add_the_ceiling_of_the_autoencoder(real):
    rates = np.broadcast_to(real.counts.mean(axis=1, keepdims=True), real.counts.shape).astype(np.float32)
    result = compare(
        real,
        homogeneous(real, np.random.default_rng(4)),
        n_draws=1,
        n_floor=3,
        classifiers=(),
        reconstruction_rates=rates,
    )
    baselines = result.metrics["noise_corr_rmse"].baselines
    assert baselines["ae"] < baselines["homogeneous"]


def test_record_is_strict_json_with_the_promised_keys(perfect):
    record = json.loads(json.dumps(perfect.to_dict(), allow_nan=False))
    assert {"protocol", "n_real", "n_generated", "metrics", "memorisation", "headline", "verdict"} <= set(record)
    assert (record["protocol"], record["n_real"], record["n_generated"]) == ("heldout", 120, 600)
    for row in record["metrics"].values():
        assert {
            *("value", "se", "floor", "floor_sd", "baseline", "score", "unit", "level", "verdict"),
            *("score_low", "score_high", "resolution", "yardstick"),
        } <= set(row)
    assert {"copy_share", "se", "nn_ratio", "finding"} <= set(record["memorisation"])
    assert record["details"]["draws"]["generated"] == 3
    assert all(m.name in perfect.table() for m in HELDOUT_METRICS)


@pytest.mark.slow
def test_same_seed_same_result_and_other_seed_other_floor(real, references):
    """The same also where tests share the reference, even if it was made beside other generated trials."""
    generated = Process().data(np.random.default_rng(5), 120)

    def comparison(seed, trials=generated):
        return compare(real, trials, n_draws=1, n_floor=3, classifiers=(), seed=seed).to_dict()

    references.forget()
    first, other = comparison(0), comparison(1)
    references.forget()
    comparison(0, homogeneous(real, np.random.default_rng(6))[:150])
    again = comparison(0)
    assert first == again
    assert first["metrics"]["corr_rmse"]["floor"] != other["metrics"]["corr_rmse"]["floor"]
    assert first["metrics"]["corr_rmse"]["value"] == pytest.approx(other["metrics"]["corr_rmse"]["value"])


@pytest.mark.slow
def test_standard_error_matches_the_scatter_of_fresh_sets(real):
    process, rng = Process(), np.random.default_rng(6)
    result = compare(real, process.data(rng, 120), n_draws=1, n_floor=3, classifiers=())
    splits = {"train": np.arange(2), "test": np.arange(2, 122)}
    frame = Frame.from_real(*(as_trials(real.split(n)) for n in ("train", "test")), BIN_S, 3, True)
    repeats = [
        heldout_metrics(
            *(summarise(as_trials(process.data(rng, 122, splits=splits).split("test")), frame) for _ in "gh")
        )
        for _ in range(20)
    ]
    for key in ("rate_rmse", "corr_slope", "noise_corr_slope", "fano_rmse", "isi_w1", "acf_rmse", "count_w1"):
        scatter = np.std([r[key] for r in repeats])
        assert 0.4 * scatter < result.metrics[key].se < 2.5 * scatter, key


def as_trials(data):
    return TrialSet(data.counts, data.lengths, data.trials["condition"].to_numpy())


def test_pairs_of_many_neurons_are_sampled_and_told():
    rng = np.random.default_rng(3)
    real = SpikeData(
        rng.poisson(0.5, (40, 6, 210)), bin_s=0.02, splits={"train": np.arange(28), "test": np.arange(28, 40)}
    )
    generated = SpikeData(rng.poisson(0.5, (24, 6, 210)), bin_s=0.02)
    result = compare(real, generated, n_draws=1, n_floor=2, classifiers=())
    pairs, lagged = result.details["pairs"], result.details["lagged_pairs"]
    assert lagged <= 5_000 < pairs <= 20_000
    told = f"with 210 neurons, correlations are those of {pairs:,} random pairs, at a lag of {lagged:,}."
    assert told in result.warnings
    assert result.metrics["corr_rmse"].n == pairs


def test_draws_shrink_for_large_sets():
    assert default_draws(216 * 140 * 182) == (10, 20)
    # Three to five draws of such sets are as many as are independent where there are as many trials as usual.
    assert default_draws(1000 * 256 * 128) == (3, 5)


# -- symmetries and monotonicity -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pair_of_sets():
    process = Process()
    rng = np.random.default_rng(7)
    sets = [TrialSet(c, np.full(len(c), N_BINS), k) for c, k in (process.draw(rng, 150), process.draw(rng, 150))]
    return (*sets, Frame.from_real(sets[1], sets[1], BIN_S, 3, True))


def values(generated, held_out, frame):
    return heldout_metrics(summarise(generated, frame), summarise(held_out, frame))


def test_permutations(pair_of_sets):
    g, h, frame = pair_of_sets
    rng = np.random.default_rng(0)
    base = values(g, h, frame)
    assert values(g.take(rng.permutation(150)), h, frame) == pytest.approx(base, rel=1e-5, nan_ok=True)
    order = rng.permutation(N_NEURONS)
    g_ordered, h_ordered = (t._replace(counts=t.counts[:, :, order]) for t in (g, h))
    both = values(g_ordered, h_ordered, Frame.from_real(h_ordered, h_ordered, BIN_S, 3, True))
    assert both == pytest.approx(base, rel=1e-4, nan_ok=True)
    one = values(g_ordered, h, frame)
    for key in ("rate_rmse", "corr_rmse", "isi_w1", "psth_err"):
        assert one[key] > 1.5 * base[key]


def test_padding_changes_nothing(pair_of_sets):
    g, h, frame = pair_of_sets
    base = values(g, h, frame)
    padded = values(*(t._replace(counts=np.pad(t.counts, ((0, 0), (0, 13), (0, 0)))) for t in (g, h)), frame)
    base["psd_db"] = np.nan  # a spectrum needs trials as long as the array
    assert padded == pytest.approx(base, rel=1e-4, nan_ok=True)


def spoil(counts, how, rng):
    if how == "added":
        return counts + rng.poisson(0.1, counts.shape).astype(np.uint8)
    if how == "thinned":
        return rng.binomial(counts, 0.7).astype(np.uint8)
    if how == "blurred":
        moved = np.zeros_like(counts)
        for shift in (-6, -3, 0, 3, 6):
            moved += np.roll(rng.binomial(counts, 0.2).astype(np.uint8), shift, axis=1)
        return moved
    return np.stack([counts[rng.permutation(len(counts)), :, n] for n in range(counts.shape[2])], axis=2)


@pytest.mark.parametrize(
    ("how", "keys"),
    [
        ("added", ("rate_rmse", "count_js", "count_w1", "isi_mean_rmse", "isi_w1")),
        ("thinned", ("rate_rmse", "count_js", "count_w1", "isi_mean_rmse", "isi_w1")),
        ("blurred", ("acf_rmse", "psd_db", "psth_err")),
        ("shuffled", ("corr_rmse", "noise_corr_rmse", "dim_logratio", "count_js", "psd_db")),
    ],
)
def test_damage_is_detected_by_the_metrics_made_for_it(pair_of_sets, how, keys):
    g, h, frame = pair_of_sets
    base = values(g, h, frame)
    worse = values(g._replace(counts=spoil(g.counts, how, np.random.default_rng(0))), h, frame)
    assert {k for k in keys if not worse[k] > base[k]} == set()


# -- baselines --------------------------------------------------------------------------------------------------------


def test_fast_poisson_draws_follow_the_distribution():
    rng = np.random.default_rng(0)
    rate = np.array([0.0, 0.05, 0.7, 6.0, 30.0], dtype=np.float32)
    drawn = poisson_counts(lambda first, last: rate, (400, 100, 5), rng)
    flat = drawn.reshape(-1, 5).astype(float)
    np.testing.assert_allclose(flat.mean(axis=0), rate, atol=4 * np.sqrt(rate.max() / 40000))
    np.testing.assert_allclose(flat.var(axis=0)[1:] / rate[1:], 1, atol=0.05)
    assert (flat[:, 1] == 1).mean() == pytest.approx(0.05 * np.exp(-0.05), rel=0.1)
    assert poisson_counts(lambda first, last: np.full(5, 100.0), (20, 50, 5), rng).mean() == pytest.approx(
        100, rel=0.01
    )


def test_baselines_keep_conditions_and_lengths():
    rng = np.random.default_rng(0)
    lengths = rng.integers(10, 41, 60)
    counts = rng.poisson(0.5, (60, 40, 6)).astype(np.uint8)
    counts[np.arange(40) >= lengths[:, None]] = 0
    train = TrialSet(counts, lengths, np.arange(60) % 3)
    slots = train.take(np.arange(10, 25))
    for name in ("homogeneous", "psth", "shuffled", "replay"):
        drawn = Baselines(train, BIN_S, 3).draw(name, slots, rng)
        assert (drawn.lengths == slots.lengths).all()
        assert (drawn.condition == slots.condition).all()
        assert not drawn.counts[np.arange(40) >= drawn.lengths[:, None]].any()


@pytest.mark.slow
def test_floor_of_independent_neurons_has_a_closed_form():
    counts = np.random.default_rng(0).poisson(0.4, (400, 60, 30))
    splits = {"train": np.arange(300), "test": np.arange(300, 400)}
    real = SpikeData(counts, BIN_S, splits=splits)
    result = compare(real, SpikeData(counts[:100], BIN_S), n_draws=1, n_floor=5, classifiers=())
    assert result.metrics["corr_rmse"].floor == pytest.approx(np.sqrt(2 / 100 / 60), rel=0.1)


# -- records ----------------------------------------------------------------------------------------------------------


def test_a_comparison_comes_back_from_json(perfect):
    again = Comparison.from_dict(json.loads(json.dumps(perfect.to_dict(), allow_nan=False)))
    assert again.to_dict() == perfect.to_dict()
    assert pickle.loads(pickle.dumps(perfect)).to_dict() == perfect.to_dict()
    assert again.metrics["rate_rmse"].metric is METRICS["rate_rmse"]
    with pytest.raises(DataError, match="compare again"):
        Comparison.from_dict({"protocol": "heldout"})


def test_a_metric_of_another_version_is_read_but_not_computed(perfect):
    content = perfect.to_dict()
    content["metrics"]["burst_rmse"] = content["metrics"]["rate_rmse"]
    metric = Comparison.from_dict(content).metrics["burst_rmse"].metric
    assert (metric.label, metric.unit) == ("burst_rmse", "Hz")
    with pytest.raises(DataError, match="burst_rmse"):
        metric.value(None)


# -- for a reader ----------------------------------------------------------------------------------------------------


def test_a_comparison_states_its_verdict_in_text_and_html(perfect):
    assert perfect.verdict in repr(perfect)
    warned = replace(perfect, warnings=("a <b> warning",))
    html = warned._repr_html_()
    assert "A &lt;b&gt; warning" in html
    assert "<b> warning" not in html
    assert all(f"<td>{r.name}" in html for r in perfect.metrics.values())
    assert "<img" not in html
    assert "http" not in html


def test_the_table_fits_a_terminal_and_keeps_the_notes(perfect):
    noted = {**perfect.metrics, "rate_rmse": replace(perfect.metrics["rate_rmse"], note="a remark " * 20)}
    lines = replace(perfect, metrics=noted).table().splitlines()
    assert max(map(len, lines)) <= 100
    assert sum("a remark" in line for line in lines) == 2


def test_to_frame_has_a_row_for_each_metric_and_a_column_for_each_baseline(perfect):
    table = perfect.to_frame()
    assert list(table.index) == list(perfect.metrics)
    assert {"label", "unit", "value", "se", "floor", "floor_sd", "score", "level", "baseline_shuffled"} <= set(table)
    assert table.loc["corr_rmse", "baseline_homogeneous"] == perfect.metrics["corr_rmse"].baseline


def test_plot_draws_scores_in_their_place_and_those_beyond_at_the_edge(perfect):
    far = replace(perfect.metrics["rate_rmse"], score=7.0)
    axes = Figure().subplots()
    assert replace(perfect, metrics={**perfect.metrics, "rate_rmse": far}).plot(axes) is axes
    drawn = {line.get_marker(): line.get_xdata() for line in axes.get_lines()}
    scores = [r.score for name, r in perfect.metrics.items() if name != "rate_rmse" and np.isfinite(r.score)]
    np.testing.assert_allclose(drawn["o"], scores)
    assert list(drawn[">"]) == [1.25]
    assert [t.get_text() for t in axes.get_yticklabels()] == [r.metric.label for r in perfect.metrics.values()]


class TestMetricsOfYourOwn:
    """A metric of a user is computed beside ours, with its noise floor and baselines, and changes no other."""

    OWN = Metric(
        name="spikes_diff",
        compute=lambda sets: abs(
            float(sets.generated.summary.trials.counts.mean()) - float(sets.held_out.summary.trials.counts.mean())
        ),
        size=lambda sets: sets.held_out.n_trials,
        label="spikes",
        explanation="difference of mean counts",
    )

    def small(self):
        rng = np.random.default_rng(0)
        real = SpikeData(rng.poisson(0.5, (60, 20, 5)), BIN_S).assign_splits({"train": 0.7, "test": 0.3})
        return real, SpikeData(rng.poisson(0.8, (18, 20, 5)), BIN_S)

    def test_it_stands_beside_ours_and_changes_no_other(self):
        pair = self.small()
        plain = compare(*pair, n_floor=3, n_draws=2, classifiers=())
        more = compare(*pair, n_floor=3, n_draws=2, classifiers=(), metrics=[self.OWN])
        own = more.metrics["spikes_diff"]
        assert own.value == pytest.approx(0.3, abs=0.1)
        assert own.floor < own.value
        assert own.n == 18
        assert {k: r.value for k, r in plain.metrics.items()} == pytest.approx(
            {k: r.value for k, r in more.metrics.items() if k != "spikes_diff"}, nan_ok=True
        )
        assert "spikes_diff" in more.table()
        assert "spikes_diff" in more.to_frame().index or "spikes_diff" in more.to_frame().to_string()

    def test_a_name_that_is_in_use_and_the_published_protocol_are_errors(self):
        pair = self.small()
        with pytest.raises(ConfigError, match="two metrics called 'rate_rmse'"):
            compare(*pair, metrics=[replace(self.OWN, name="rate_rmse")])
        with pytest.raises(ConfigError, match="published metrics only"):
            compare(*pair, "ldns", metrics=[self.OWN])
