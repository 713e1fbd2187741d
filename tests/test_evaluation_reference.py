"""Measured values on real recordings; skipped where those are not at hand."""

import numpy as np
import pytest

from spikeloom.evaluation.metrics import heldout_metrics, interval_neurons
from spikeloom.evaluation.published import describe, ldns_metrics, published_statistics
from spikeloom.evaluation.summary import Frame, Trials, summarise

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
        return Trials(counts, np.full(len(counts), 80), data["plan_condition"].astype(np.int64)), 0.005
    if name == "bci_baseline":
        data = np.load(folder / "bci_m1_45ms.npz")
        keep = (data["trial_type"] == "baselineEvaluation") & (data["success"] == 1) & (data["length"] <= 30)
        counts = np.ascontiguousarray(data["spikes"][keep][:, :30][:, :, data["good_electrode"]])
        condition = np.rint(data["target_angle_deg"][keep] / 45).astype(np.int64)
        return Trials(counts, data["length"][keep].astype(np.int64), condition), 0.045
    if name == "s1_windows":
        data = np.load(folder / "s1_reach_50ms.npz")
        counts, bin_s = windows(data["spikes"], data["segment"], 20), 0.05
    else:
        data = np.load(folder / "hc_place_animal1_25ms.npz")
        counts, bin_s = windows(data["spikes"], np.zeros(len(data["spikes"])), 40), 0.025
    return Trials(counts, np.full(len(counts), counts.shape[1]), np.zeros(len(counts), np.int64)), bin_s


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
        "isi_neurons": len(interval_neurons(generated.totals(), real.totals())),
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
