"""DMFC_RSG of the benchmark: shifted windows, scores from set to go, averages aligned at go, speed and intervals."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nlb_files import TRAIN, write_train
from spikeloom.bench.inference import scoring_of
from spikeloom.data.files import load
from spikeloom.data.options import LoadOptions
from spikeloom.data.published.datasets import PUBLISHED
from spikeloom.data.published.recording import merged_options
from spikeloom.data.published.scoring import Scoring
from spikeloom.data.session.jitter import jitter_bins
from spikeloom.data.spikedata import SpikeData
from spikeloom.data.steps import apply_options
from spikeloom.errors import DataError
from spikeloom.evaluation.cosmoothing import bits_per_spike, score, scored_part, tp_correlation
from spikeloom.evaluation.psth import at_end, psth, psth_r2

RECIPE = PUBLISHED["dmfc_rsg"]


def write_intervals(path: Path, **changes: object) -> Path:
    """The toy of the benchmark with set, go and tp: go 1.7 s into each trial, intervals of 0.6 to 1.6 s."""
    rng = np.random.default_rng(3)
    start = 2.1 * np.arange(40)
    tp = np.round(rng.uniform(600, 1600, 40))
    go = start + 1.7 + rng.uniform(0, 0.01, 40)
    return write_train(
        path,
        **{
            "intervals/trials/go_time": go,
            "intervals/trials/set_time": go - tp / 1000,
            "intervals/trials/tp": tp,
            "intervals/trials/ts": np.round(tp, -2),
            "intervals/trials/is_eye": (np.arange(40) % 2).astype(np.int8),
            "intervals/trials/theta": np.where(np.arange(40) % 4 < 2, 0.0, 180.0),
            "intervals/trials/is_short": np.zeros(40, np.int8),
            "intervals/trials/is_outlier": (np.arange(40) == 7).astype(np.int8),
            "units/obs_intervals": np.tile([[0.0, 90.0]], (17, 1)),
            "units/obs_intervals_index": np.arange(1, 18),
            **changes,
        },
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> SpikeData:
    return load(write_intervals(tmp_path_factory.mktemp("intervals") / TRAIN), RECIPE.options)


# -- shifts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bin_ms", [5, 20])
def test_shifts_are_those_of_the_legacy_generator(bin_ms: int) -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "tp": np.r_[rng.uniform(500, 2000, 57), 1200.0, 1203.0, np.nan],
            "split": rng.choice(["train", "val", "test", "none"], 60),
        }
    )
    found = jitter_bins(table, RECIPE.options, bin_ms / 1000)
    for name in ("train", "val", "test", "none"):
        rows = np.flatnonzero(table["split"] == name)
        np.random.seed(0)  # noqa: NPY002  # the very generator
        for row in rows:
            uniform = np.random.random()  # noqa: NPY002
            bound = min(300.0, max(0.0, 1500.0 - table["tp"][row])) // bin_ms
            expected = 0 if name == "test" or np.isnan(bound) else int(np.round(uniform * bound))
            assert found[row] == expected, (name, row)
    assert found.max() > 0.7 * 300 / bin_ms
    assert not found[table["tp"] >= 1500].any()


def test_shifts_do_not_depend_on_what_is_read(tmp_path: Path, data: SpikeData) -> None:
    path = write_intervals(tmp_path / TRAIN)
    some = load(path, merged_options(RECIPE.options, LoadOptions(where=("split=val", "is_eye=1"))))
    kept = np.flatnonzero((data.trials["split"] == "val") & (data.trials["is_eye"] == 1))
    np.testing.assert_array_equal(some.trials["jitter_bins"], data.trials["jitter_bins"][kept])
    np.testing.assert_array_equal(some.counts, data.counts[kept])
    assert "windows were shifted later, see jitter_bins" in " ".join(data.provenance["notes"])


def test_windows_end_at_the_shifted_go_and_are_scored_from_set_to_go(data: SpikeData) -> None:
    assert data.counts.shape == (40, 300, 17)
    assert (data.lengths == 300).all()
    table = data.trials
    jitter = table["jitter_bins"].to_numpy()
    go, begin = table["go_time"].to_numpy(), table["set_time"].to_numpy()
    # The first bin of a window is the first on the grid in it; go is so many bins before the end as it was shifted.
    first = np.ceil(np.round((go + jitter * 0.005 - 1.5) / 0.005, 6)).astype(int)
    np.testing.assert_array_equal(table["scored_to_bin"], 300 - jitter)
    since = np.ceil(np.round(begin / 0.005, 6)).astype(int) - first
    np.testing.assert_array_equal(table["scored_from_bin"], np.maximum(since, 0))
    inside = table["tp"] <= 1500
    assert (since[inside] >= 0).all()
    assert (since < 0).any()
    assert jitter[~inside].max() == 0


def test_counts_are_those_of_a_window_that_is_shifted(tmp_path: Path, data: SpikeData) -> None:
    plain = load(write_intervals(tmp_path / TRAIN), merged_options(RECIPE.options, LoadOptions(jitter_s=0.0)))
    assert not plain.trials["jitter_bins"].any()
    for trial, jitter in enumerate(data.trials["jitter_bins"]):
        np.testing.assert_array_equal(data.counts[trial, : 300 - jitter], plain.counts[trial, jitter:])
    ahead = load(write_intervals(tmp_path / TRAIN), merged_options(RECIPE.options, LoadOptions(forward_s=0.2)))
    assert ahead.n_bins == 340
    np.testing.assert_array_equal(ahead.counts[:, :300], data.counts)
    np.testing.assert_array_equal(ahead.trials["scored_to_bin"], data.trials["scored_to_bin"])


def test_bins_at_events_count_to_the_nanosecond(tmp_path: Path) -> None:
    """Set lies on the border of a bin and go on another: the first belongs to the part, the second does not."""
    start = 2.1 * np.arange(40)
    path = write_intervals(
        tmp_path / TRAIN, **{"intervals/trials/go_time": start + 1.7, "intervals/trials/set_time": start + 0.9}
    )
    for binning in ("event", "nlb"):
        data = load(path, merged_options(RECIPE.options, LoadOptions(binning=binning, jitter_s=0.0)))
        assert (data.trials["scored_from_bin"] == 140).all()
        assert (data.trials["scored_to_bin"] == 300).all()


def test_options_of_parts_and_shifts(tmp_path: Path, data: SpikeData) -> None:
    path = write_intervals(tmp_path / TRAIN)
    with pytest.raises(DataError, match="jitter_s is -1"):
        LoadOptions(jitter_s=-1.0)
    with pytest.raises(DataError, match="jitter_room is 'tp', but no window is shifted"):
        LoadOptions(jitter_room="tp")
    with pytest.raises(DataError, match="scored is 'go_time', but must name two"):
        LoadOptions(scored="go_time")
    with pytest.raises(DataError, match="there is no trial column 'room'"):
        load(path, merged_options(RECIPE.options, LoadOptions(jitter_s=0.3, jitter_room="room")))
    with pytest.raises(DataError, match="there is no trial column 'stop'"):
        load(path, merged_options(RECIPE.options, LoadOptions(scored="set_time,stop")))
    with pytest.raises(DataError, match="scored is set_time,go_time, but no trials are cut around an event"):
        load(path, LoadOptions(scored="set_time,go_time"))
    windows = load(path, merged_options(RECIPE.options, LoadOptions(window_s=0.5)))
    assert windows.n_trials == 120
    assert "scored_to_bin" not in windows.trials
    few = apply_options(data, LoadOptions(columns=("tp",)))
    assert {"jitter_bins", "scored_from_bin", "scored_to_bin"} <= set(few.trials)
    assert LoadOptions.from_dict(RECIPE.options.to_dict()) == RECIPE.options


# -- scores ----------------------------------------------------------------------------------------------------------


def test_trials_without_events_are_scored_whole(data: SpikeData) -> None:
    table = data.trials.assign(scored_to_bin=np.where(np.arange(40) == 3, np.nan, data.trials["scored_to_bin"]))
    table["scored_from_bin"] = np.where(np.arange(40) == 3, np.nan, table["scored_from_bin"])
    part = scored_part(replace(data, trials=table), 20)
    assert part[3].tolist() == [0, 280]
    assert part[:, 1].max() == 280
    plain = replace(data, trials=data.trials[["tp"]])
    assert scored_part(plain, 20).tolist() == [[0, 280]] * 40


def test_speed_falls_with_intervals() -> None:
    """The same path run through in more time: slower steps; groups whose intervals differ hide it between them."""
    rng = np.random.default_rng(0)
    interval = np.r_[rng.uniform(40, 60, 20), rng.uniform(80, 100, 20)]
    group = np.array(["short"] * 20 + ["long"] * 20, dtype=object)
    size = np.where(group == "short", 2.0, 6.0)  # between groups, speed rises with intervals
    rates, inside = np.full((40, 120, 3), 7.0), np.zeros((40, 120), bool)
    for trial, (n, far) in enumerate(zip(interval.astype(int), size)):
        rates[trial, :n] = far * np.linspace(0, 1, n)[:, None] * [1, 2, 3]
        inside[trial, :n] = True
    assert tp_correlation(rates, inside, interval, group) < -0.95
    assert tp_correlation(rates, inside, interval, np.full(40, "all")) > 0.5
    # Equal to the formula, mean over groups; what is outside does not matter, nor do trials without group or interval.
    speed = np.array([np.mean(np.linalg.norm(np.diff(r[m], axis=0), axis=1)) for r, m in zip(rates, inside)])
    each = [np.corrcoef(speed[s], interval[s])[0, 1] for s in (slice(0, 20), slice(20, 40))]
    assert tp_correlation(rates, inside, interval, group) == pytest.approx(np.mean(each))
    wild, fewer, unknown = rates.copy(), group.copy(), interval.copy()
    wild[~inside] = 100
    fewer[5], unknown[6] = None, np.nan
    kept = ~np.isin(np.arange(40), [5, 6])
    assert tp_correlation(wild, inside, unknown, fewer) == pytest.approx(
        tp_correlation(rates[kept], inside[kept], interval[kept], group[kept])
    )
    with pytest.raises(DataError, match="nothing correlates"):
        tp_correlation(rates, inside, interval, np.arange(40))


def test_shifted_rates_are_shifted_back() -> None:
    rng = np.random.default_rng(0)
    truth = {"a": at_end(rng.random((30, 3)), 50), "b": at_end(rng.random((20, 3)), 50)}
    condition, jitter = np.array(["a", "b", "a", "b"]), np.array([0, 4, 7, 0])
    rates = rng.random((4, 50, 3))
    for trial, (name, by) in enumerate(zip(condition, jitter)):
        rates[trial, : 50 - by] = truth[name][by:]
    assert psth_r2(np.nan_to_num(rates), condition, truth, jitter) == pytest.approx(1)
    assert psth_r2(np.nan_to_num(rates), condition, truth) < 0.9
    earlier = np.concatenate([rates[2:3, :2], rates[2:3, :-2]], axis=1)  # a window that began two bins earlier
    assert psth_r2(np.nan_to_num(earlier), np.array(["a"]), truth, np.array([5])) == pytest.approx(1)
    with pytest.raises(DataError, match="rates are missing in bins that averages have"):
        psth_r2(rates, condition, {"a": rng.random((50, 3)), "b": rng.random((50, 3))}, jitter)


def test_averages_are_aligned_at_the_ends_of_parts() -> None:
    counts = np.zeros((3, 40, 1), int)
    counts[0, 20], counts[1, 24], counts[2, 5] = 4, 2, 9
    part = np.array([[10, 30], [6, 34], [10, 12]])  # 10 bins from its end each; the third is too short
    found = psth(counts, np.full(3, 40), np.array(["a"] * 3), sd_bins=0.2, part=part)["a"]
    assert found.shape == (20, 1)
    assert found[:, 0].tolist() == [0] * 10 + [3] + [0] * 9
    np.testing.assert_array_equal(np.isnan(at_end(found, 40)[:, 0]), np.arange(40) < 20)
    # Smoothing sees what is before and behind a part.
    counts = np.zeros((1, 40, 1), int)
    counts[0, [9, 30]] = 1
    wide = psth(counts, np.array([40]), np.array(["a"]), sd_bins=2.0, part=np.array([[10, 30]]))["a"][:, 0]
    assert wide[0] > 0.1
    assert wide[-1] > 0.1


def test_a_recording_of_intervals_is_scored() -> None:
    """The truth as rates of shifted windows: all scores regard the part from set to go, outliers only some."""
    rng = np.random.default_rng(1)
    n, window, forward = 120, 90, 10
    tp = np.where(np.arange(n) % 2, 40, 60) + rng.integers(-5, 6, n)
    jitter = rng.integers(0, 12, n)
    go = window - jitter
    way = np.clip((np.arange(window + forward) - (go - tp)[:, None]) / tp[:, None], -0.2, 1.2)
    truth = np.exp(2.5 * np.sin(np.pi * way[..., None] + np.linspace(0, 3, 8)) - 1.0)
    table = pd.DataFrame(
        {
            "tp": 5.0 * tp,
            "ts": np.where(np.arange(n) % 2, 200, 300),
            "is_outlier": np.arange(n) % 30 == 4,
            "scored_from_bin": go - tp,
            "scored_to_bin": go,
        }
    )
    counts = rng.poisson(truth)
    data = SpikeData(counts, bin_s=0.005, trials=table)
    train, test = data.select(np.arange(80)), data.select(np.arange(80, n))
    heldout = np.arange(8) >= 6
    scoring = Scoring(condition="ts", psth_sd_s=0.02, interval="tp", within=("ts",), outliers="is_outlier")
    found = score(train, test, truth[:80], truth[80:], heldout, forward, scoring)
    inside = (np.arange(100) >= (go - tp)[:, None]) & (np.arange(100) < go[:, None])
    known = np.where(inside[80:, :, None], counts[80:], np.nan)[..., heldout]
    assert found.co_bps == pytest.approx(bits_per_spike(truth[80:, :, heldout], known))
    assert found.fp_bps == pytest.approx(bits_per_spike(truth[80:, 90:], counts[80:, 90:].astype(float)))
    assert found.tp_correlation < -0.9
    assert found.psth_r2 > 0.8
    # Were trials not moved back, averages would be blurred; and rates outside of the part do not matter.
    unmoved = replace(scoring, interval=None)
    still = [d.trials.assign(scored_to_bin=90, scored_from_bin=50) for d in (train, test)]
    plain = [replace(d, trials=t) for d, t in zip((train, test), still)]
    assert found.psth_r2 > score(*plain, truth[:80], truth[80:], heldout, forward, unmoved).psth_r2
    noise = np.where(inside[80:, :, None], truth[80:], 50.0)
    assert score(train, test, truth[:80], noise, heldout, forward, scoring).co_bps == pytest.approx(found.co_bps)
    # An outlier with an impossible interval would turn the correlation.
    table.loc[table["is_outlier"], "tp"] = -10000.0
    assert table["is_outlier"][80:].any()
    spoilt = replace(test, trials=table[80:])
    assert score(train, spoilt, truth[:80], truth[80:], heldout, 10, scoring).tp_correlation == pytest.approx(
        found.tp_correlation
    )


def test_what_the_recipe_says_is_scored_where_it_is_there(data: SpikeData) -> None:
    named = replace(data, provenance={"dataset": "dmfc_rsg"})
    assert scoring_of(named, {}) == RECIPE.scoring
    assert scoring_of(named, {"condition": "ts"}) == replace(RECIPE.scoring, condition="ts")
    bare = scoring_of(replace(named, trials=data.trials[["tp"]]), {"psth_sd_s": 0.1})
    assert bare == Scoring(psth_sd_s=0.1, within=RECIPE.scoring.within)
    assert scoring_of(data, {}) == Scoring()
    area2 = scoring_of(replace(data, provenance={"dataset": "area2_bump"}), {})
    assert (area2.velocity, area2.apart, area2.psth_sd_s) == ("hand_vel", None, 0.04)
