"""What is odd or broken: every case gives a number, a reason, or one clear sentence."""

import json
import warnings

import h5py
import numpy as np
import pandas as pd
import pytest

from quick_compare import share_references
from spikeloom.cli import main
from spikeloom.data.files import save
from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import ConfigError, DataError
from spikeloom.evaluation.compare import compare
from spikeloom.evaluation.reference import counter, part

BIN_S = 0.02
FAST = {"n_draws": 1, "n_floor": 2, "classifiers": ()}


def make(seed, n_trials=60, n_bins=40, n_neurons=8, rate=0.4, bin_s=BIN_S, **kwargs):
    counts = np.random.default_rng(seed).poisson(rate, (n_trials, n_bins, n_neurons))
    return SpikeData(counts, bin_s, **kwargs)


@pytest.fixture(scope="module", autouse=True)
def references():
    """Most tests compare with the same recording."""
    with pytest.MonkeyPatch.context() as patch:
        yield share_references(patch)


@pytest.fixture
def real():
    return make(0, splits={"train": np.arange(40), "test": np.arange(40, 60)})


def edited(data, change, **kwargs):
    counts = data.counts.copy()
    change(counts)
    return SpikeData(counts, data.bin_s, splits=dict(data.splits), **kwargs)


def test_silent_neurons_are_left_out_listed_and_flagged(real):
    def silence(counts):
        counts[:, :, 2] = 0

    result = compare(real, edited(make(1), silence), **FAST)
    assert result.details["excluded_neurons"]["silent in generated"] == [2]
    assert any("[2] never fire" in w for w in result.warnings)
    assert result.metrics["corr_rmse"].n == 7 * 6 // 2
    assert result.metrics["rate_rmse"].n == 8
    assert np.isfinite(result.metrics["fano_rmse"].value)
    both = compare(edited(real, silence), make(1), **FAST)
    assert both.details["excluded_neurons"]["silent in real"] == [2]


def test_few_intervals_make_interval_metrics_not_available():
    sparse = make(0, rate=0.01, splits={"train": np.arange(40), "test": np.arange(40, 60)})
    result = compare(sparse, make(1, rate=0.01), **FAST)
    row = result.metrics["isi_w1"]
    assert np.isnan(row.value)
    assert row.n < 5
    assert "50 intervals" in row.note
    assert "n/a" in result.table()


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (make(1, n_neurons=9), "8 neurons but the generated data 9"),
        (make(1, bin_s=0.01), "bins of 20 ms but the generated data of 10 ms"),
    ],
)
def test_different_sizes_are_refused(real, other, message):
    with pytest.raises(DataError, match=message):
        compare(real, other)


def test_different_neuron_order_is_refused():
    table = pd.DataFrame({"id": np.arange(8)})
    real = make(0, neurons=table, splits={"train": np.arange(40), "test": np.arange(40, 60)})
    with pytest.raises(DataError, match="neuron 0 is '0' in the real data but '7'"):
        compare(real, make(1, neurons=table[::-1]))


def test_generated_trials_take_the_lengths_of_the_real_ones():
    lengths = np.random.default_rng(0).integers(20, 41, 60)
    real = make(0, lengths=lengths, splits={"train": np.arange(40), "test": np.arange(40, 60)})
    result = compare(real, make(1), **FAST)
    assert any("were cut to its length" in w for w in result.warnings)
    assert "equal length" in result.metrics["psd_db"].note
    same = compare(real, make(1, lengths=lengths), **FAST)
    assert not any("shorter" in w for w in same.warnings)


def test_shorter_generated_trials_are_compared_over_their_length_and_said_so(real):
    result = compare(real, make(1, n_bins=30), **FAST)
    assert any("shorter than real ones (30-30 against 40-40 bins)" in w for w in result.warnings)
    assert np.isfinite(result.metrics["psd_db"].value)


@pytest.mark.parametrize("shape", [(3, 40, 8), (60, 1, 8), (60, 40, 1), (2, 1, 1)])
@pytest.mark.parametrize("protocol", ["heldout", "ldns"])
def test_tiny_sets_do_not_crash(shape, protocol):
    n = shape[0]
    splits = {"train": np.arange(n - 1), "test": np.arange(n - 1, n)} if n < 5 else {}
    real = make(0, *shape, splits=splits)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        result = compare(real, make(1, *shape), protocol, **FAST)
    json.dumps(result.to_dict(), allow_nan=False)
    for row in result.metrics.values():
        assert np.isfinite(row.value) or row.note
    assert result.table()


def test_everything_silent_is_not_a_crash(real):
    result = compare(real, make(1, rate=0.0), **FAST)
    assert np.isnan(result.metrics["corr_rmse"].value)
    assert any("0 Hz" in w for w in result.warnings)
    json.dumps(result.to_dict(), allow_nan=False)


def test_rates_of_the_wrong_unit_are_noticed(real):
    result = compare(real, make(1, rate=20.0), **FAST)
    assert any("1e+03 Hz: is the bin width right?" in w for w in result.warnings)


def test_missing_splits_are_made_and_said_so():
    result = compare(make(0), make(1), **FAST)
    assert any("cannot be known" in w for w in result.warnings)
    assert result.details["splits"] == {"train": 42, "val": 6, "test": 12}
    known = compare(make(0), make(1, provenance={"trained_on": "x"}), **FAST)
    assert not any("cannot be known" in w for w in known.warnings)


def test_fewer_generated_than_held_out_trials(real):
    result = compare(real, make(1, n_trials=12), **FAST)
    assert result.n_real == 12
    assert any("12 of the 20 real trials" in w for w in result.warnings)


def conditioned(seed, labels, **kwargs):
    labels = np.asarray(labels)
    return make(seed, n_trials=len(labels), trials=pd.DataFrame({"condition": labels}), **kwargs)


def test_conditions_are_matched_across_number_formats():
    splits = {"train": np.arange(60), "test": np.arange(60, 90)}
    real = conditioned(0, np.arange(90) % 3 * 45, splits=splits)
    result = compare(real, conditioned(1, [f"{c}.0" for c in np.arange(60) % 3 * 45]), **FAST)
    assert result.details["matched_by_condition"]
    assert np.isfinite(result.metrics["psth_err"].value)
    part = compare(real, conditioned(1, np.zeros(30, int)), **FAST)
    assert part.n_real == 10


def test_unmatched_conditions_are_pooled_and_said_so():
    splits = {"train": np.arange(60), "test": np.arange(60, 90)}
    real = conditioned(0, np.arange(90) % 3, splits=splits)
    without = compare(real, make(1), **FAST)
    assert any("carry no condition" in w for w in without.warnings)
    assert np.isfinite(without.metrics["psth_err"].value)
    other = compare(real, conditioned(1, np.full(60, 7)), **FAST)
    assert any("no condition in common" in w for w in other.warnings)
    unique = compare(conditioned(0, np.arange(90), splits=splits), conditioned(1, np.arange(60)), **FAST)
    assert any("nearly every real trial has its own" in w for w in unique.warnings)


def test_held_out_conditions_that_were_never_trained_on():
    labels = np.repeat([0, 1, 2], 30)
    real = conditioned(0, labels, splits={"train": np.arange(60), "test": np.arange(60, 90)})
    result = compare(real, conditioned(1, np.full(30, 2)), **FAST)
    assert result.n_real == 30
    assert np.isfinite(result.metrics["corr_rmse"].score) or result.metrics["corr_rmse"].note


def test_windows_have_no_average_response(real):
    windows = real.window(20)
    result = compare(windows, make(1, n_bins=20), **FAST)
    assert "not aligned" in result.metrics["psth_err"].note
    assert "psth" not in result.metrics["corr_rmse"].baselines
    assert np.isfinite(compare(windows, make(1, n_bins=20), aligned=True, **FAST).metrics["psth_err"].value)


def test_counts_are_drawn_from_rates_on_request(real):
    rates = np.full((30, 40, 8), 0.4, dtype=np.float32)
    generated = SpikeData(np.zeros(rates.shape, int), BIN_S, rates=rates)
    result = compare(real, generated, draw="poisson", **FAST)
    assert any("drawn from the generated rates" in w for w in result.warnings)
    assert result.metrics["rate_rmse"].value < 10
    with pytest.raises(DataError, match="carry no rates"):
        compare(real, make(1), draw="poisson")


def test_wrong_arguments_are_named(real):
    with pytest.raises(DataError, match="pass the rates of every real trial"):
        compare(real, make(1), reconstruction_rates=np.zeros((3, 40, 8)))
    with pytest.raises(ConfigError, match="n_floor is 1"):
        compare(real, make(1), n_floor=1)
    empty = make(0, splits={"train": np.arange(60), "test": np.arange(0)})
    with pytest.raises(DataError, match="no trials in the split 'test'"):
        compare(empty, make(1))


def test_a_missing_test_split_is_the_one_that_fit_leaves_out():
    result = compare(make(0, splits={"train": np.arange(50)}), make(1), **FAST)
    assert result.details["splits"]["train"] < 50
    assert any("cannot be known" in w for w in result.warnings)


@pytest.mark.parametrize("ending", ["npz", "h5"])
def test_samples_of_another_program_are_scored_from_the_command_line(tmp_path, capsys, real, ending):
    counts = make(1).counts
    if ending == "npz":
        np.savez(tmp_path / "fake.npz", counts=counts, bin_s=BIN_S)
    else:
        with h5py.File(tmp_path / "fake.h5", "w") as file:
            file["counts"], file["bin_s"] = counts, BIN_S
    save(real, tmp_path / "real.npz")
    names = [str(tmp_path / n) for n in ("real.npz", f"fake.{ending}", "scores.json")]
    assert main(["compare", *names[:2], "--json", names[2]]) == 0
    printed = capsys.readouterr().out
    assert "corr_rmse" in printed
    assert "No copying detected" in printed
    record = json.loads((tmp_path / "scores.json").read_text())
    assert record["n_generated"] == 60
    assert set(record["metrics"]["psd_db"]) >= {"value", "se", "floor", "floor_sd", "baseline", "score", "unit"}

    save(make(1, n_neurons=3), tmp_path / "other.npz")
    assert main(["compare", names[0], str(tmp_path / "other.npz"), "--json", str(tmp_path / "none.json")]) == 2
    assert "8 neurons but the generated data 3" in capsys.readouterr().err
    assert not (tmp_path / "none.json").exists()


def test_a_generator_trained_on_other_trials_is_noticed(real):
    from spikeloom.data.spikedata import content_hash

    own = make(1, provenance={"trained_on": content_hash(real.split("train"))})
    other = make(1, provenance={"trained_on": content_hash(real.split("test"))})
    assert not any("trained on other trials" in w for w in compare(real, own, **FAST).warnings)
    assert any("trained on other trials" in w for w in compare(real, other, **FAST).warnings)


def test_overlapping_splits_are_refused(real):
    from dataclasses import replace

    with pytest.raises(DataError, match="in both splits"):
        compare(replace(real, splits={"train": np.arange(30), "test": np.arange(20, 40)}), make(1), **FAST)


def test_splits_that_share_recorded_time_are_refused():
    trials = pd.DataFrame({"recorded_from_s": np.arange(60) * 0.4})  # trials of 0.8 s: each shares half with the next
    real = make(0, trials=trials, splits={"train": np.arange(0, 60, 2), "test": np.arange(1, 60, 2)})
    with pytest.raises(DataError, match="share recorded time with trials of 'train'"):
        compare(real, make(1), **FAST)


def test_the_same_neurons_under_other_types_of_name(real):
    from dataclasses import replace

    ids = np.arange(real.n_neurons)
    whole = replace(real, neurons=pd.DataFrame({"id": ids, "name": [None, *map(str, ids[1:])]}))
    floats = replace(make(1), neurons=pd.DataFrame({"id": ids.astype(float), "name": [None, *map(str, ids[1:])]}))
    compare(whole, floats, **FAST)


def test_progress_of_parts_with_different_steps_only_rises():
    seen = []
    for which, total in enumerate((15, 3)):
        tick = counter(part(lambda done, of: seen.append(done / of), which, 2), total)
        for _ in range(total):
            tick()
    assert seen == sorted(seen)
    assert seen[-1] == 1
