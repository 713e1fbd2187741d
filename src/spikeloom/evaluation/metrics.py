"""The held-out metrics: numbers that compare a generated set of spike trains with real trials it never saw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int

from spikeloom.evaluation import dynamics
from spikeloom.evaluation import spike_statistics as ss
from spikeloom.evaluation.summary import INTERVAL_RESOLUTION, NEURON_SHIFT, Intervals, Summary, smoothed_psth

MIN_INTERVALS = 50
"""Neurons with fewer intervals in either set are left out of interval metrics."""

MIN_INTERVAL_NEURONS = 5
"""With fewer neurons left, interval metrics do not exist."""

NAN = float("nan")


@dataclass(frozen=True)
class Metric:
    """What a metric is called and how it is read.

    Attributes:
        key: Name in tables and files.
        unit: Physical unit, empty for pure numbers.
        better: Whether a smaller value, a larger one, or one close to 1 is better.
        meaning: What it compares, in a few words.
        rms: Whether it is a root mean square, so that noise adds in squares.
    """

    key: str
    unit: str
    better: Literal["low", "high", "one"]
    meaning: str
    rms: bool = False


HELDOUT_METRICS = (
    Metric("rate_rmse", "Hz", "low", "mean rate of each neuron", rms=True),
    Metric("count_js", "nats", "low", "law of the population count, Jensen-Shannon divergence"),
    Metric("count_kl", "nats", "low", "law of the population count, D(data || model)"),
    Metric("count_w1", "spikes/bin", "low", "law of the population count, Wasserstein-1 distance"),
    Metric("corr_rmse", "", "low", "pairwise correlations of counts", rms=True),
    Metric("corr_slope", "", "one", "pairwise correlations, generated regressed on real"),
    Metric("corr_r", "", "high", "pairwise correlations, Pearson r between the sets"),
    Metric("noise_corr_rmse", "", "low", "correlations around the condition mean, 100 ms", rms=True),
    Metric("noise_corr_slope", "", "one", "correlations around the condition mean, generated regressed on real"),
    Metric("fano_rmse", "", "low", "Fano factor of each neuron, 100 ms", rms=True),
    Metric("isi_mean_rmse", "s", "low", "mean interval of each neuron", rms=True),
    Metric("isi_std_rmse", "s", "low", "standard deviation of the intervals of each neuron", rms=True),
    Metric("isi_cv_rmse", "", "low", "coefficient of variation of the intervals", rms=True),
    Metric("isi_w1", "s", "low", "law of the intervals, Wasserstein-1 distance"),
    Metric("acf_rmse", "", "low", "autocorrelation of each neuron, lags of 1 to 10 bins", rms=True),
    Metric("psd_db", "dB", "low", "power spectrum of the population count", rms=True),
    Metric("dim_logratio", "", "low", "dimension of the smoothed population, log ratio"),
    Metric("psth_err", "", "low", "average response to each condition, unexplained share"),
    Metric("c2st_auc", "", "low", "how well a classifier tells generated from real trials"),
)


def heldout_metrics(generated: Summary, held_out: Summary, classifier_seed: int | None = None) -> dict[str, float]:
    """All held-out metrics of a generated set against held-out trials; NaN where one does not exist.

    Args:
        generated: Statistics of the generated set.
        held_out: Statistics of the real trials it is compared with.
        classifier_seed: Seed of the classifier's folds; without it the classifier test is left out.
    """
    values = additive_metrics(generated.totals(), held_out.totals(), held_out.frame)
    values["isi_w1"] = interval_distance(generated, held_out)
    if held_out.frame.aligned:
        values["psth_err"] = psth_error(generated.psth, held_out.psth)
    if classifier_seed is not None:
        values["c2st_auc"] = auc(*classifier_scores(generated.features, held_out.features, classifier_seed))
    return {metric.key: values.get(metric.key, NAN) for metric in HELDOUT_METRICS}


def additive_metrics(g: Mapping[str, Any], h: Mapping[str, Any], frame) -> dict[str, float]:
    """The metrics that follow from sums over trials (see ``Summary.totals``) of the two sets."""
    bin_s = frame.bin_s
    values = {"rate_rmse": rms(g["total"] / g["n"] - h["total"] / h["n"]) / bin_s}
    values |= count_metrics(g["histogram"], h["histogram"], frame.cell_width, frame.largest)

    correlations = [ss.correlation(ss.covariance(float(s["n"]), s["total"], s["cross"])) for s in (g, h)]
    values |= {f"corr_{name}": value for name, value in pair_metrics(*correlations).items()}
    noise = pair_metrics(*(ss.correlation(s["noise_cross"]) for s in (g, h)))
    values |= {"noise_corr_rmse": noise["rmse"], "noise_corr_slope": noise["slope"]}

    with np.errstate(invalid="ignore", divide="ignore"):
        fano = [s["fano_variance"] / s["fano_mean"] for s in (g, h)]
        values["fano_rmse"] = rms(fano[0] - fano[1])

        kept = interval_neurons(g, h)
        if len(kept) >= MIN_INTERVAL_NEURONS:
            mean = [s["isi_sum"][kept] / s["isi_n"][kept] for s in (g, h)]
            square = [s["isi_square"][kept] / s["isi_n"][kept] for s in (g, h)]
            std = [np.sqrt(np.maximum(q - m**2, 0)) for q, m in zip(square, mean)]
            values["isi_mean_rmse"] = rms(mean[0] - mean[1]) * bin_s
            values["isi_std_rmse"] = rms(std[0] - std[1]) * bin_s
            values["isi_cv_rmse"] = rms(std[0] / mean[0] - std[1] / mean[1])

        if "spectrum" in g and "spectrum" in h and g["spectrum"].shape == h["spectrum"].shape:
            power = [s["spectrum"] / s["n_trials"] for s in (g, h)]
            ratio = 10 * np.log10(power[0] / power[1])
            values["psd_db"] = rms(np.where(np.isfinite(ratio), ratio, NAN))

        dimension = [
            dynamics.participation_ratio(ss.covariance(float(s["n"]), s["smooth_total"], s["smooth_cross"]))
            for s in (g, h)
        ]
        values["dim_logratio"] = float(abs(np.log(dimension[0] / dimension[1])))

    acf = [dynamics.autocorrelation_from_sums(s["lag_products"], s["lag_sums"], s["lag_pairs"]) for s in (g, h)]
    n_lags = min(len(a) for a in acf)
    values["acf_rmse"] = rms(acf[0][:n_lags] - acf[1][:n_lags])
    return values


def rms(values: np.ndarray) -> float:
    """Root mean square with NaN left out; NaN when nothing is left."""
    values = values[~np.isnan(values)]
    return float(np.sqrt(np.mean(values**2))) if values.size else NAN


def count_metrics(
    generated: Float[np.ndarray, "count"], real: Float[np.ndarray, "count2"], cell_width: int, largest: int
) -> dict[str, float]:
    """Divergences between two laws of the population count.

    Args:
        generated: Number of bins with 0, 1, 2, ... spikes in the generated set.
        real: The same of the real set.
        cell_width: Counts are pooled in cells of this width for the divergences.
        largest: Largest count of the real data; what lies beyond falls into one last cell.
    """
    last = -(-(largest + 1) // cell_width)
    cells = []
    for histogram in (generated, real):
        cell = np.minimum(np.arange(len(histogram)) // cell_width, last)
        smoothed = np.bincount(cell, histogram, last + 1) + 0.5
        cells.append(smoothed / smoothed.sum())
    model, data = cells
    middle = (model + data) / 2
    js = 0.5 * float((model * np.log(model / middle)).sum() + (data * np.log(data / middle)).sum())
    length = max(len(generated), len(real))
    cumulative = [np.cumsum(np.pad(h, (0, length - len(h)))) / h.sum() for h in (generated, real)]
    return {
        "count_js": js,
        "count_kl": float((data * np.log(data / model)).sum()),
        "count_w1": float(np.abs(cumulative[0] - cumulative[1]).sum()),
    }


def pair_metrics(
    generated: Float[np.ndarray, "neuron neuron"], real: Float[np.ndarray, "neuron neuron"]
) -> dict[str, float]:
    """RMSE, slope through the origin and Pearson r over the pairs below the diagonal that exist in both matrices."""
    below = np.tri(len(real), k=-1, dtype=bool)
    g, h = generated[below], real[below]
    both = np.isfinite(g) & np.isfinite(h)
    g, h = g[both], h[both]
    if len(h) == 0:
        return {"rmse": NAN, "slope": NAN, "r": NAN}
    square = float(h @ h)
    g0, h0 = g - g.mean(), h - h.mean()
    scale = float(np.sqrt((g0 @ g0) * (h0 @ h0)))
    return {
        "rmse": rms(g - h),
        "slope": float(g @ h) / square if square > 0 else NAN,
        "r": float(g0 @ h0) / scale if scale > 0 else NAN,
    }


# -- intervals -------------------------------------------------------------------------------------------------------


def interval_neurons(g: Mapping[str, Any], h: Mapping[str, Any]) -> Int[np.ndarray, "kept"]:
    """Neurons with enough intervals in both sets."""
    return np.flatnonzero(np.minimum(g["isi_n"], h["isi_n"]) >= MIN_INTERVALS)


def interval_distance(
    generated: Summary,
    held_out: Summary,
    generated_weights: Float[np.ndarray, "block"] | None = None,
    held_out_weights: Float[np.ndarray, "block2"] | None = None,
) -> float:
    """Mean over neurons of the Wasserstein-1 distance between the interval distributions, in seconds."""
    kept = interval_neurons(generated.totals(), held_out.totals())
    if len(kept) < MIN_INTERVAL_NEURONS:
        return NAN
    sides = (generated.intervals, generated_weights), (held_out.intervals, held_out_weights)
    numbers = [d.number if w is None else d.weighted(w) for d, w in sides]
    distance = wasserstein(
        generated.intervals, numbers[0], held_out.intervals, numbers[1], len(held_out.sums["total"][0])
    )
    return float(np.nanmean(distance[kept])) * held_out.frame.bin_s


def wasserstein(
    a: Intervals, a_number: np.ndarray, b: Intervals, b_number: np.ndarray, n_neurons: int
) -> Float[np.ndarray, "neuron"]:
    """Wasserstein-1 distance, in bins, of two interval distributions for every neuron; NaN where one is empty."""
    keys = np.concatenate([a.keys, b.keys])
    order = np.argsort(keys, kind="stable")  # two sorted runs: merging them is what this sort is fastest at
    keys = keys[order]
    neuron = keys >> NEURON_SHIFT
    edges = np.searchsorted(neuron, np.arange(n_neurons + 1))
    difference = np.zeros(len(keys))
    empty = np.zeros(n_neurons, dtype=bool)
    for number, sign, offset in ((a_number, 1.0, 0), (b_number, -1.0, len(a.keys))):
        mass = np.zeros(len(keys))
        mass[offset : offset + len(number)] = number
        cumulative = np.concatenate([[0.0], np.cumsum(mass[order])])
        total = cumulative[edges[1:]] - cumulative[edges[:-1]]
        empty |= total <= 0
        difference += sign * (cumulative[1:] - cumulative[edges[neuron]]) / np.where(total > 0, total, 1)[neuron]
    same = neuron[1:] == neuron[:-1]
    area = np.abs(difference[:-1]) * np.where(same, np.diff(keys), 0) / INTERVAL_RESOLUTION
    return np.where(empty, NAN, np.bincount(neuron[:-1], area, n_neurons))


# -- condition averages and the classifier ---------------------------------------------------------------------------


def psth_error(generated: tuple[np.ndarray, np.ndarray], real: tuple[np.ndarray, np.ndarray]) -> float:
    """Share of the real PSTHs' variance that generated PSTHs miss; one minus it is the usual R2.

    Args:
        generated: (condition, time, neuron) smoothed PSTH and (condition, time) number of trials.
        real: The same of the real trials.
    """
    n_bins = min(generated[0].shape[1], real[0].shape[1])
    enough = [number[:, :n_bins] >= ss.MIN_TRIALS_PER_CELL for _, number in (generated, real)]
    both = enough[0] & enough[1]
    g, h = generated[0][:, :n_bins][both], real[0][:, :n_bins][both]
    if len(h) == 0:
        return NAN
    spread = float(((h - h.mean(axis=0)) ** 2).sum())
    return float(((g - h) ** 2).sum()) / spread if spread > 0 else NAN


def psth_error_weighted(generated: Summary, held_out: Summary, weights: tuple[np.ndarray, np.ndarray]) -> float:
    """The PSTH error of a bootstrap sample in which trials are weighted."""
    sides = zip((generated, held_out), weights)
    return psth_error(*(smoothed_psth(s.trials, s.frame, w) for s, w in sides))


def classifier_scores(
    generated: Float[np.ndarray, "trial feature"], real: Float[np.ndarray, "trial2 feature"], seed: int
) -> tuple[Float[np.ndarray, "trial"], Float[np.ndarray, "trial2"]]:
    """Cross-validated scores of a logistic regression that separates generated from real trials."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if min(len(generated), len(real)) < 5:
        return np.full(len(generated), NAN), np.full(len(real), NAN)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
    label = np.repeat([1, 0], [len(generated), len(real)])
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    features = np.vstack([generated, real])
    scores = np.asarray(cross_val_predict(model, features, label, cv=folds, method="decision_function"))
    return scores[: len(generated)], scores[len(generated) :]


def auc(generated: Float[np.ndarray, "trial"], real: Float[np.ndarray, "trial2"]) -> float:
    """Area under the ROC curve of two samples of scores."""
    if np.isnan(generated).any() or np.isnan(real).any():
        return NAN
    ordered = np.sort(real)
    below = np.searchsorted(ordered, generated, side="left") + np.searchsorted(ordered, generated, side="right")
    return float(below.mean() / (2 * len(real)))
