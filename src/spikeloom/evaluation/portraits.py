"""Portraits of single neurons: averages, intervals, autocorrelation and tuning, of several sets of trials side by side.

They are what a figure, the report's picker and the studio show of a neuron, from the same numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Num

from spikeloom.conditioning.variables import RADIANS, kind_of, label_of
from spikeloom.data.averages import group_rates
from spikeloom.data.spikedata import SpikeData
from spikeloom.errors import DataError
from spikeloom.evaluation import spike_statistics as ss
from spikeloom.evaluation.dynamics import autocorrelation

SMOOTH_S = 0.025
"""Standard deviation of the Gaussian of trial averages, in seconds; half a bin where bins are wider."""
MOST_CONDITIONS = 4
"""Conditions whose averages are shown: those spread over all of them."""
MOST_POINTS = 12
"""Points of a tuning curve over labels, or bins of its variable, at most."""
SECTORS = 8
"""Points of a tuning curve over directions."""
CELLS = 24
"""Cells of the histogram of intervals."""
MOST_LAGS = 30
FEWEST_TRIALS = 3
"""A point of a tuning curve needs so many trials, or moments of movement."""


@dataclass(frozen=True, eq=False)
class Tuning:
    """Mean rates of all neurons against a variable.

    Attributes:
        variable: Name of the variable.
        unit: Its unit; empty where it has none.
        points: Values, or labels.
        circular: Whether the last point is next to the first.
        rate_hz: (set, point, neuron) mean rate; NaN where too few trials have the value.
    """

    variable: str
    unit: str
    points: tuple[Any, ...]
    circular: bool
    rate_hz: Float[np.ndarray, "set point neuron"]


@dataclass(frozen=True, eq=False)
class Portraits:
    """Numbers on all neurons in several sets of trials.

    Attributes:
        names: Names of the sets.
        bin_s: Width of a bin in seconds.
        rate_hz: Mean rates.
        conditions: Conditions of the trial averages; a single "" where all trials are averaged.
        average_hz: Trial-averaged rates, smoothed; NaN where no trial has the bin.
        edges_s: Edges of the cells of intervals, on a logarithmic scale.
        intervals: Share of a neuron's intervals in each cell; NaN where it has none.
        lags_s: Lags of the autocorrelation.
        autocorrelation: Of the counts in bins.
        tuning: Mean rates against a variable, if all sets have one.
    """

    names: tuple[str, ...]
    bin_s: float
    rate_hz: Float[np.ndarray, "set neuron"]
    conditions: tuple[str, ...]
    average_hz: Float[np.ndarray, "set condition time neuron"]
    edges_s: Float[np.ndarray, "edge"]
    intervals: Float[np.ndarray, "set cell neuron"]
    lags_s: Float[np.ndarray, "lag"]
    autocorrelation: Float[np.ndarray, "set lag neuron"]
    tuning: Tuning | None

    def of(self, neuron: int) -> dict[str, Any]:
        """The portrait of one neuron as plain values; NaN becomes None.

        Raises:
            DataError: If there is no such neuron.
        """
        if not 0 <= neuron < self.rate_hz.shape[1]:
            raise DataError(f"there is no neuron {neuron}; the recording has {self.rate_hz.shape[1]}, from 0.")
        tuning = self.tuning
        return {
            "neuron": neuron,
            "rate_hz": significant(self.rate_hz[:, neuron]),
            "average_hz": significant(self.average_hz[..., neuron]),
            "intervals": significant(self.intervals[..., neuron]),
            "autocorrelation": significant(self.autocorrelation[..., neuron]),
            "tuning_hz": None if tuning is None else significant(tuning.rate_hz[..., neuron]),
        }

    def axes(self) -> dict[str, Any]:
        """Axes that all portraits share, as plain values."""
        tuning = self.tuning
        return {
            "sets": list(self.names),
            "bin_s": self.bin_s,
            "conditions": list(self.conditions),
            "edges_s": significant(self.edges_s),
            "lags_s": significant(self.lags_s),
            "tuning": None
            if tuning is None
            else {
                "variable": tuning.variable,
                "unit": tuning.unit,
                "points": [_shown(p) for p in tuning.points],
                "circular": tuning.circular,
            },
        }


def portraits(sets: Mapping[str, SpikeData]) -> Portraits:
    """Portraits of all neurons in sets of trials of the same recording.

    Args:
        sets: The sets by name, the reference first: intervals are binned by its range, and its conditions are shown.
    """
    names, trials = tuple(sets), list(sets.values())
    bin_s, n_neurons = trials[0].bin_s, trials[0].n_neurons
    conditions, averages = _averages(trials)
    intervals = [ss.interspike_intervals(d.counts, d.lengths, d.bin_s) for d in trials]
    edges = _edges(intervals[0][0], bin_s)
    n_lags = max(1, min([MOST_LAGS, *(int(np.median(d.lengths)) // 2 for d in trials)]))
    return Portraits(
        names,
        bin_s,
        np.stack([ss.mean_rates_hz(d.counts, d.lengths, bin_s) for d in trials]),
        conditions,
        averages,
        edges,
        np.stack([_histograms(values, neuron, edges, n_neurons) for values, neuron in intervals]),
        np.arange(1, n_lags + 1) * bin_s,
        np.stack([autocorrelation(d.counts, d.lengths, n_lags) for d in trials]),
        tuning_curves(trials),
    )


def tuning_curves(sets: Sequence[SpikeData], variable: str | None = None) -> Tuning | None:
    """Mean rates against a trial column or the direction of a signal of two dimensions.

    Args:
        sets: Sets of trials of the same recording, the reference first.
        variable: Trial column or signal; when not given, the first angle that all sets have, else their condition,
            else the direction of the first signal of two dimensions that all have, a velocity before others.

    Returns:
        The curves, or None where the sets have no such variable in common.
    """
    name = variable or _tuned_to(sets)
    if name is None:
        return None
    if all(name in d.signals for d in sets):
        return _of_direction(sets, name)
    if not all(name in d.trials for d in sets):
        return None
    kind = kind_of(name, pd.Series(sets[0].trials[name]))
    if kind in RADIANS:
        turn = 2 * np.pi / RADIANS[kind]
        values = [d.trials[name].to_numpy(np.float64, na_value=np.nan) for d in sets]
        of_trial = [_sector(v * RADIANS[kind]) for v in values]
        points = tuple(float(x) for x in np.arange(SECTORS) * turn / SECTORS)
        return Tuning(name, kind, points, True, _by_trial(sets, of_trial, SECTORS))
    if kind == "number":
        values = [d.trials[name].to_numpy(np.float64, na_value=np.nan) for d in sets]
        known = values[0][np.isfinite(values[0])]
        edges = np.unique(np.quantile(known, np.linspace(0, 1, SECTORS + 1))) if len(known) else np.zeros(1)
        if len(edges) < 3:
            return None
        of_trial = [
            np.where(np.isfinite(v), np.clip(np.digitize(v, edges[1:-1]), 0, len(edges) - 2), -1) for v in values
        ]
        points = tuple(float(x) for x in (edges[:-1] + edges[1:]) / 2)
        return Tuning(name, "", points, False, _by_trial(sets, of_trial, len(points)))
    texts = [np.array([label_of(v) for v in d.trials[name]]) for d in sets]
    labels = sorted(set(texts[0]), key=lambda c: (len(c), c))
    labels = _spread(labels, MOST_POINTS)
    of_trial = [np.array([labels.index(t) if t in labels else -1 for t in each]) for each in texts]
    return Tuning(name, "", tuple(labels), False, _by_trial(sets, of_trial, len(labels)))


def _tuned_to(sets: Sequence[SpikeData]) -> str | None:
    columns = [str(c) for c in sets[0].trials if all(c in d.trials for d in sets)]
    angles = [c for c in columns if kind_of(c, pd.Series(sets[0].trials[c])) in RADIANS]
    if angles:
        return angles[0]
    if "condition" in columns and len(set(sets[0].trials["condition"])) <= sets[0].n_trials / 2:
        return "condition"
    planes = [n for n, s in sets[0].signals.items() if s.values.shape[2] == 2 and all(n in d.signals for d in sets)]
    return next((n for n in planes if "vel" in n.lower()), planes[0] if planes else None)


def _of_direction(sets: Sequence[SpikeData], name: str) -> Tuning | None:
    """Mean rates in the bins in which the signal points into each direction; slow halves of the bins left out."""
    if any(d.signals[name].values.shape[2] != 2 for d in sets):
        return None
    rates = []
    for data in sets:
        x, y = np.moveaxis(data.signals[name].values.astype(np.float64), 2, 0)
        known = data.valid & np.isfinite(x) & np.isfinite(y)
        speed = np.hypot(x, y)
        moving = known & (speed > (np.median(speed[known]) if known.any() else 0.0))
        sector = np.where(moving, _sector(np.arctan2(y, x)), -1)
        rates.append(np.stack([_mean_rate(data.counts[sector == s], data.bin_s) for s in range(SECTORS)]))
    points = tuple(float(x) for x in np.arange(SECTORS) * 360 / SECTORS)
    return Tuning(f"direction of {name}", "deg", points, True, np.stack(rates))


def _sector(radians: np.ndarray) -> np.ndarray:
    """The sector of a direction, the first around 0; -1 where there is none."""
    step = 2 * np.pi / SECTORS
    with np.errstate(invalid="ignore"):
        return np.where(np.isfinite(radians), np.floor(radians / step + 0.5) % SECTORS, -1).astype(int)


def _by_trial(sets: Sequence[SpikeData], of_trial: Sequence[np.ndarray], n: int) -> np.ndarray:
    rates = []
    for data, group in zip(sets, of_trial):
        rows = []
        for each in range(n):
            chosen = np.flatnonzero(group == each)
            few = len(chosen) < FEWEST_TRIALS
            rows.append(
                np.full(data.n_neurons, np.nan)
                if few
                else ss.mean_rates_hz(data.counts[chosen], data.lengths[chosen], data.bin_s)
            )
        rates.append(np.stack(rows))
    return np.stack(rates)


def _mean_rate(counts: Num[np.ndarray, "bin neuron"], bin_s: float) -> np.ndarray:
    if len(counts) < FEWEST_TRIALS:
        return np.full(counts.shape[1], np.nan)
    return counts.sum(0, dtype=np.int64) / (len(counts) * bin_s)


def _averages(trials: Sequence[SpikeData]) -> tuple[tuple[str, ...], np.ndarray]:
    """Conditions that all sets have, and their trial averages; of all trials where there are none."""
    smooth_s = max(SMOOTH_S, trials[0].bin_s / 2)
    n_bins = min(d.n_bins for d in trials)
    if all("condition" in d.trials for d in trials):
        labels = [np.array([label_of(v) for v in d.trials["condition"]]) for d in trials]
        common = [c for c in dict.fromkeys(labels[0]) if all((each == c).any() for each in labels)]
        if 1 <= len(common) <= trials[0].n_trials / 2:
            shown = _spread(sorted(common, key=lambda c: (len(c), c)), MOST_CONDITIONS)
            rates = [
                np.stack([group_rates(d[each == c], smooth_s=smooth_s)[0][0, :n_bins] for c in shown])
                for d, each in zip(trials, labels)
            ]
            return tuple(shown), np.stack(rates)
    return ("",), np.stack([group_rates(d, smooth_s=smooth_s)[0][:, :n_bins] for d in trials])


def _spread(values: list[str], most: int) -> list[str]:
    return [values[i] for i in np.unique(np.linspace(0, len(values) - 1, min(most, len(values))).round().astype(int))]


def _edges(intervals_s: np.ndarray, bin_s: float) -> np.ndarray:
    """Edges of cells on a logarithmic scale, from the shortest to nearly the longest interval."""
    if not len(intervals_s):
        return bin_s * np.array([0.5, 1.5])
    low = max(float(intervals_s.min()), bin_s / 4)
    high = max(float(np.quantile(intervals_s, 0.999)), 2 * low)
    return np.geomspace(low / 1.05, high * 1.05, CELLS + 1)


def _histograms(values: np.ndarray, neuron: np.ndarray, edges: np.ndarray, n_neurons: int) -> np.ndarray:
    cell = np.clip(np.digitize(values, edges) - 1, 0, len(edges) - 2)
    number = np.zeros((len(edges) - 1, n_neurons))
    np.add.at(number, (cell, neuron), 1)
    total = number.sum(0)
    return np.where(total > 0, number / np.maximum(total, 1), np.nan)


def significant(values: Any) -> Any:
    """Numbers, of any number of dimensions, to four significant digits as nested lists, None where there is none.

    Example:
        >>> significant(np.array([[0.123456, np.nan], [1234.56, 0.0]]))
        [[0.1235, None], [1235.0, 0.0]]
    """
    if np.ndim(values):
        return [significant(value) for value in values]
    number = float(values)
    return float(f"{number:.4g}") if np.isfinite(number) else None


def _shown(point: Any) -> str:
    return f"{point:.4g}" if isinstance(point, float) else str(point)
