"""Measured values on real recordings; skipped where those are not at hand."""

import numpy as np
import pytest

from spikeloom.evaluation.baselines import Baselines
from spikeloom.evaluation.compared_sets import ComparedSets, SetStatistics
from spikeloom.evaluation.memorisation import memorisation
from spikeloom.evaluation.metrics import heldout_metrics
from spikeloom.evaluation.published import describe, ldns_metrics, published_statistics
from spikeloom.evaluation.summary import Frame, TrialSet, summarise

SETS = ("pmd_plan", "bci_baseline", "s1_windows", "hc_windows")
ALIGNED = ("pmd_plan", "bci_baseline")

HELDOUT = """
n_test 52 119 390 364
largest 16 479 57 13
cell_width 1 14 2 1
rate_rmse 1.06075 0.957485 0.480924 0.108535
count_js 0.00093029 0.00181755 0.000794526 0.000147015
count_kl 0.00389477 0.00707118 0.00327865 0.000687076
count_w1 0.084375 1.2278 0.257436 0.0259615
corr_rmse 0.0236971 0.0289802 0.018655 0.0125678
corr_slope 0.428294 0.982359 0.980147 0.889849
noise_corr_rmse 0.111562 0.0450298 0.0259926 0.022378
fano_rmse 0.19477 0.0624185 0.0799475 0.21961
isi_neurons 49 93 49 36
isi_mean_rmse 0.0103099 0.000460943 0.00898398 0.0194361
isi_std_rmse 0.0108242 0.000727439 0.00951451 0.0243795
isi_cv_rmse 0.115226 0.0250139 0.0505697 0.136014
isi_w1 0.00909153 0.000494248 0.00677363 0.0164504
acf_rmse 0.0363339 0.0378297 0.0262646 0.038524
psd_db 0.946861 - 0.312355 0.279961
dim_logratio 0.0648522 0.0209814 0.0131149 0.0425431
psth_err 0.512401 0.33978 - -
"""

LDNS = """
kl_div_psc 0.00244159 0.00176869 0.00114092 0.000306648
rmse_corr 0.0117119 0.0150886 0.00939722 0.00642463
rmse_mean_isi 0.00932493 0.000392717 0.00589628 0.0275388
rmse_std_isi 0.00936416 0.000568822 0.00797502 0.0314697
"""


def column(table, name):
    rows = [line.split() for line in table.strip().splitlines()]
    return {row[0]: np.nan if row[1 + SETS.index(name)] == "-" else float(row[1 + SETS.index(name)]) for row in rows}


def windows(counts, segment, n_bins):
    """Consecutive windows from the start of every segment, the remainder dropped."""
    out = []
    for label in np.unique(segment):
        part = counts[segment == label]
        part = part[: len(part) // n_bins * n_bins]
        out.append(part.reshape(-1, n_bins, part.shape[1]))
    return np.concatenate(out)


def load(folder, name):
    """Trials and bin width of one of the four subsets."""
    if name == "pmd_plan":
        data = np.load(folder / "pmd_reach_1ms.npz")
        spikes = data["plan_spikes"]
        counts = spikes.reshape(len(spikes), -1, 5, spikes.shape[2]).sum(axis=2).astype(np.uint8)
        return TrialSet(counts, np.full(len(counts), 80), data["plan_condition"].astype(np.int64)), 0.005
    if name == "bci_baseline":
        data = np.load(folder / "bci_m1_45ms.npz")
        keep = (data["trial_type"] == "baselineEvaluation") & (data["success"] == 1) & (data["length"] <= 30)
        counts = np.ascontiguousarray(data["spikes"][keep][:, :30][:, :, data["good_electrode"]])
        condition = np.rint(data["target_angle_deg"][keep] / 45).astype(np.int64)
        return TrialSet(counts, data["length"][keep].astype(np.int64), condition), 0.045
    if name == "s1_windows":
        data = np.load(folder / "s1_reach_50ms.npz")
        counts, bin_s = windows(data["spikes"], data["segment"], 20), 0.05
    else:
        data = np.load(folder / "hc_place_animal1_25ms.npz")
        counts, bin_s = windows(data["spikes"], np.zeros(len(data["spikes"])), 40), 0.025
    return TrialSet(counts, np.full(len(counts), counts.shape[1]), np.zeros(len(counts), np.int64)), bin_s


def heldout_split(trials):
    index = np.arange(len(trials.counts))
    test = trials.take(index[index % 4 == 3])
    return trials.take(index[index % 4 != 3]), test, trials.take(index[index % 4 == 0][: len(test.counts)])


@pytest.mark.parametrize("name", SETS)
def test_heldout_metrics_reproduce_measured_values(recordings, name):
    trials, bin_s = load(recordings, name)
    train, test, model = heldout_split(trials)
    frame = Frame.from_real(train, test, bin_s, int(trials.condition.max()) + 1, name in ALIGNED)
    generated, real = summarise(model, frame), summarise(test, frame)
    values = heldout_metrics(generated, real)
    values |= {
        "n_test": len(test.counts),
        "largest": frame.largest,
        "cell_width": frame.cell_width,
        "isi_neurons": len(ComparedSets(SetStatistics(generated), SetStatistics(real)).interval_neurons),
    }
    expected = column(HELDOUT, name)
    wrong = {k: (values[k], e) for k, e in expected.items() if not np.isclose(values[k], e, rtol=1e-4, equal_nan=True)}
    assert not wrong


@pytest.mark.parametrize("name", SETS)
def test_published_metrics_reproduce_measured_values(recordings, name):
    trials, bin_s = load(recordings, name)
    index = np.arange(len(trials.counts))
    model, data = (published_statistics(trials.take(index[index % 2 == half])) for half in (0, 1))
    largest = int(max(model.population.max(), data.population.max()))
    values = ldns_metrics(describe(model, None, bin_s), describe(data, None, bin_s), largest)
    expected = column(LDNS, name)
    wrong = {k: (values[k], e) for k, e in expected.items() if not np.isclose(values[k], e, rtol=1e-4)}
    assert not wrong


SCATTER = """
pmd_plan     count_js         8.4e-4 3e-4 6.3e-3 2.2e-3 1.1e-3 2.2e-3
pmd_plan     corr_rmse        .0240 .0003 .0282 .0254 .0259 .0252
pmd_plan     isi_w1           .0084 .0005 .0179 .0115 .0093 .0112
pmd_plan     noise_corr_slope .35 .04 .00 -.01 .35 .06
pmd_plan     psth_err         .54 .02 1.28 .62 .62 .63
pmd_plan     dim_logratio     .054 .04 .80 .18 .04 .27
bci_baseline count_js         2.4e-3 5e-4 .240 .0146 2.9e-3 .0126
bci_baseline corr_rmse        .0288 .0007 .148 .067 .031 .069
bci_baseline noise_corr_slope .85 .04 .00 .00 .86 .12
bci_baseline fano_rmse        .063 .004 .23 .24 .071 .29
bci_baseline psth_err         .34 .01 1.21 .43 .39 .42
s1_windows   count_js         8.4e-4 2e-4 .0242 .0223 9.7e-4 9.7e-3
s1_windows   corr_rmse        .0181 .0004 .0545 .0540 .0197 .0433
s1_windows   isi_w1           .0066 .0005 .0365 .0356 .0073 .0183
s1_windows   acf_rmse         .026 .001 .121 .121 .028 .084
s1_windows   psd_db           .36 .06 2.4 2.0 .37 1.2
hc_windows   count_js         2.4e-4 6e-5 9.0e-3 8.9e-3 3.4e-4 5.2e-3
hc_windows   corr_rmse        .0130 .0003 .0297 .0297 .0143 .0257
hc_windows   isi_w1           .017 .001 .159 .160 .019 .069
hc_windows   fano_rmse        .24 .03 1.08 1.08 .26 .80
"""


@pytest.mark.parametrize("name", SETS)
def test_floor_and_baselines_agree_with_measured_ones(recordings, name):
    trials, bin_s = load(recordings, name)
    train, test, _ = heldout_split(trials)
    n_conditions = int(trials.condition.max()) + 1
    frame = Frame.from_real(train, test, bin_s, n_conditions, name in ALIGNED)
    real, baselines, rng = summarise(test, frame), Baselines(train, bin_s, n_conditions), np.random.default_rng(0)

    def floor():
        groups = [np.flatnonzero(train.condition == c) for c in range(n_conditions)]
        sizes = np.bincount(test.condition, minlength=n_conditions)
        return train.take(np.concatenate([rng.permutation(g)[:n] for g, n in zip(groups, sizes)]))

    sources = ("floor", "homogeneous", "psth", "verbatim", "replay")
    draws = {s: [floor() if s == "floor" else baselines.draw(s, test, rng) for _ in range(3)] for s in sources}
    values = {s: [heldout_metrics(summarise(t, frame), real, i) for i, t in enumerate(d)] for s, d in draws.items()}
    for line in SCATTER.strip().splitlines():
        which, key, *numbers = line.split()
        if which == name:
            floor_sd, expected = float(numbers[1]), [float(numbers[i]) for i in (0, 2, 3, 4, 5)]
            for source, number in zip(sources, expected):
                found = np.mean([v[key] for v in values[source]])
                assert found == pytest.approx(number, abs=4 * floor_sd + 0.1 * abs(number)), (key, source)
    auc = {s: np.mean([v["c2st_basic"] for v in rows]) for s, rows in values.items()}
    assert max(auc["floor"], auc["verbatim"]) < 0.62
    assert min(auc["homogeneous"], auc["psth"], auc["replay"]) > 0.8

    copies = {s: memorisation(draws[s][0], train, test, bin_s) for s in sources[1:]}
    assert {s for s, result in copies.items() if result.alarm} == {"verbatim", "replay"}
    assert copies["replay"].copy_share > 0.7
    drawn = rng.permutation(len(train.counts))
    fresh, rest = drawn[: len(test.counts)], drawn[len(test.counts) :]
    unseen = memorisation(train.take(fresh), train.take(rest), test, bin_s)
    assert not unseen.alarm
    assert unseen.nn_ratio == pytest.approx(1, abs=0.04)
