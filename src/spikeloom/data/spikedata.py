"""SpikeData: the one type for recordings, real or generated."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int, UInt

from spikeloom.errors import DataError

if TYPE_CHECKING:
    import pynapple
    import xarray

Selection = slice | Sequence[int] | np.ndarray | None

DEFAULT_FRACTIONS = {"train": 0.7, "val": 0.1, "test": 0.2}
"""Share of the trials in each split when a recording brings no splits of its own."""


@dataclass(frozen=True, eq=False)
class Signal:
    """A behavioural variable aligned to the bins of a recording.

    Attributes:
        values: (trial, time, dim) values at the bin centres; NaN where the variable was not measured.
        unit: Physical unit, for example ``"cm/s"``.
        columns: One name per dimension, for example ``("x", "y")``.
    """

    values: Float[np.ndarray, "trial time dim"]
    unit: str = ""
    columns: tuple[str, ...] = ()

    # The types of the fields are what __post_init__ leaves; anything that it can convert may be passed.
    __no_type_check__ = True

    def __post_init__(self) -> None:
        values = np.asarray(self.values, dtype=np.float32)
        if values.ndim == 2:
            values = values[..., None]
        if values.ndim != 3:
            raise DataError(
                f"a signal needs axes (trial, time, dim) but has shape {values.shape}; add the missing axis."
            )
        columns = tuple(self.columns) or tuple(str(i) for i in range(values.shape[2]))
        if len(columns) != values.shape[2]:
            raise DataError(
                f"a signal with {values.shape[2]} dimensions was given {len(columns)} column names; name each."
            )
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "columns", columns)


@dataclass(frozen=True, eq=False, repr=False)
class SpikeData:
    """Binned spikes of a neural population over trials, with everything known about them.

    What a model samples is a SpikeData too, so every metric, figure and file format serves both.
    Trials may differ in length: ``lengths`` says how many bins of each are valid, the rest is padding that holds
    zeros and that no statistic may see. Arrays are read-only; use the methods, which return new objects.

    Attributes:
        counts: (trial, time, neuron) spike counts, kept in the smallest unsigned integer type that holds them.
        bin_s: Width of a bin in seconds.
        lengths: (trial,) number of valid bins; all bins when not given.
        signals: Behavioural variables aligned to the bins, by name.
        trials: One row per trial (condition, target, ...).
        neurons: One row per neuron (id, area, ...).
        splits: Named groups of trial indices, for example ``{"train": [...], "test": [...]}``.
        rates: (trial, time, neuron) expected counts per bin, true or generated, if known.
        latents: (trial, time, latent) latent trajectories, true or generated, if known.
        provenance: Where the data come from; plain values that JSON can hold.

    Raises:
        DataError: If counts are negative, fractional or missing, or if sizes contradict each other.

    Example:
        >>> import numpy as np
        >>> data = SpikeData(np.ones((4, 10, 3), int), bin_s=0.02, lengths=[10, 10, 8, 5])
        >>> data
        SpikeData: 4 trials x 5-10 bins of 20 ms x 3 neurons, 50 Hz mean rate
        >>> data.select(trials=[2, 3]).valid.sum(axis=1).tolist()
        [8, 5]
    """

    counts: UInt[np.ndarray, "trial time neuron"]
    bin_s: float
    lengths: Int[np.ndarray, "trial"] = None  # type: ignore[assignment]  # filled in __post_init__
    signals: Mapping[str, Signal] = field(default_factory=dict)
    trials: pd.DataFrame = None  # type: ignore[assignment]
    neurons: pd.DataFrame = None  # type: ignore[assignment]
    splits: Mapping[str, Int[np.ndarray, "index"]] = field(default_factory=dict)
    rates: Float[np.ndarray, "trial time neuron"] | None = None
    latents: Float[np.ndarray, "trial time latent"] | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)

    __no_type_check__ = True  # as in Signal

    def __post_init__(self) -> None:
        counts = as_counts(self.counts)
        n_trials, n_bins, n_neurons = counts.shape
        if not (np.isfinite(self.bin_s) and self.bin_s > 0):
            raise DataError(
                f"bin_s is {self.bin_s}, but a bin needs a positive width in seconds; pass bin_s=0.005 for 5 ms."
            )
        lengths = as_lengths(self.lengths, n_trials, n_bins)
        valid = np.arange(n_bins) < lengths[:, None]

        def padded(name: str, values: Any) -> np.ndarray:
            values = np.asarray(values, dtype=np.float32)
            if values.ndim != 3 or values.shape[:2] != (n_trials, n_bins):
                raise DataError(
                    f"{name} has shape {values.shape}, but the counts need ({n_trials} trials, {n_bins} bins, ...); "
                    "align it to the bins of the counts."
                )
            return values if valid.all() else np.where(valid[..., None], values, np.float32(0))

        if not valid.all():
            # The integer type is that of the valid counts: what stood in the padding must not show.
            counts = as_counts(np.where(valid[..., None], counts, counts.dtype.type(0)))
        signals = {
            name: Signal(padded(f"signal '{name}'", s.values), s.unit, s.columns) for name, s in self.signals.items()
        }
        rates = None if self.rates is None else padded("rates", self.rates)
        if rates is not None and rates.shape[2] != n_neurons:
            raise DataError(
                f"rates are for {rates.shape[2]} neurons but counts for {n_neurons}; pass one rate per neuron."
            )
        latents = None if self.latents is None else padded("latents", self.latents)
        settled = {
            "counts": counts,
            "bin_s": float(self.bin_s),
            "lengths": lengths,
            "signals": MappingProxyType(signals),
            "trials": _table("trials", self.trials, n_trials),
            "neurons": _table("neurons", self.neurons, n_neurons),
            "splits": MappingProxyType({k: _split(k, v, n_trials) for k, v in self.splits.items()}),
            "rates": rates,
            "latents": latents,
            "provenance": MappingProxyType(dict(self.provenance)),
        }
        for name, value in settled.items():
            if isinstance(value, np.ndarray):
                value = value.view()
                value.flags.writeable = False
            object.__setattr__(self, name, value)

    # -- sizes ---------------------------------------------------------------------------------------------------

    @property
    def n_trials(self) -> int:
        """Number of trials."""
        return self.counts.shape[0]

    @property
    def n_bins(self) -> int:
        """Number of bins of the longest trial the arrays can hold."""
        return self.counts.shape[1]

    @property
    def n_neurons(self) -> int:
        """Number of neurons."""
        return self.counts.shape[2]

    @property
    def valid(self) -> Bool[np.ndarray, "trial time"]:
        """(trial, time) true where the bin was recorded."""
        return np.arange(self.n_bins) < self.lengths[:, None]

    @property
    def rate_hz(self) -> Float[np.ndarray, "trial time neuron"] | None:
        """The rates in Hz, or None where no rates are known."""
        return None if self.rates is None else self.rates / np.float32(self.bin_s)

    # -- parts ---------------------------------------------------------------------------------------------------

    def select(self, trials: Selection = None, neurons: Selection = None) -> SpikeData:
        """Keep some trials and neurons, in the order given; splits follow their trials.

        Args:
            trials: Slice, indices or boolean mask; None keeps all.
            neurons: Slice, indices or boolean mask; None keeps all.
        """
        t = _indices(trials, self.n_trials, "trial")
        n = _indices(neurons, self.n_neurons, "neuron")
        place = {int(old): new for new, old in enumerate(t)}
        splits = {
            k: np.array([place[int(i)] for i in v if int(i) in place], dtype=np.int64) for k, v in self.splits.items()
        }
        return replace(
            self,
            counts=self.counts[t][:, :, n],
            lengths=self.lengths[t],
            signals={k: Signal(s.values[t], s.unit, s.columns) for k, s in self.signals.items()},
            trials=self.trials.iloc[t].reset_index(drop=True),
            neurons=self.neurons.iloc[n].reset_index(drop=True),
            splits={k: v for k, v in splits.items() if len(v)},
            rates=None if self.rates is None else self.rates[t][:, :, n],
            latents=None if self.latents is None else self.latents[t],
        )

    def split(self, name: str) -> SpikeData:
        """The trials of a named split.

        Raises:
            DataError: If there is no split of that name.
        """
        if name not in self.splits:
            known = ", ".join(self.splits) or "none"
            raise DataError(f"there is no split '{name}' (splits: {known}); make some with `assign_splits`.")
        return self.select(trials=self.splits[name])

    def assign_splits(
        self, fractions: Mapping[str, float] = DEFAULT_FRACTIONS, by: str | None = None, seed: int = 0
    ) -> SpikeData:
        """Assign every trial to a named split at random, in the same proportions within every condition.

        Args:
            fractions: Share of each split; scaled to sum to one.
            by: Column of the trials table whose values are spread evenly; "condition" is used when there is one.
            seed: The same seed gives the same split.
        """
        if by is None and "condition" in self.trials:
            by = "condition"
        if by is not None and by not in self.trials:
            raise DataError(f"there is no trial column '{by}' (columns: {', '.join(map(str, self.trials)) or 'none'}).")
        rng = np.random.default_rng(seed)
        order = rng.permutation(self.n_trials)
        if by is not None:
            groups = pd.factorize(self.trials[by])[0][order]
            order = order[np.argsort(groups, kind="stable")]
        # Trials lie in (group, random) order; a regular comb over that order gives each group its share of each split.
        shares = np.array(list(fractions.values()), dtype=float)
        edges = np.cumsum(shares / shares.sum())
        comb = (np.arange(self.n_trials) * 0.6180339887498949 + rng.random()) % 1.0
        if by is None:
            comb = np.argsort(np.argsort(comb)) / self.n_trials  # exact shares when nothing has to be balanced
        which = np.minimum(np.searchsorted(edges, comb, side="right"), len(edges) - 1)
        splits = {name: np.sort(order[which == i]) for i, name in enumerate(fractions)}
        return replace(self, splits={k: v for k, v in splits.items() if len(v)})

    def window(self, n_bins: int, step: int | None = None) -> SpikeData:
        """Cut every trial into windows of equal length; windows that would run past a trial's valid bins are dropped.

        Args:
            n_bins: Length of a window in bins.
            step: Bins between the starts of two windows; ``n_bins`` (no overlap) when not given.

        Raises:
            DataError: If no trial is as long as one window.
        """
        step = step or n_bins
        if n_bins < 1 or step < 1:
            raise DataError(f"a window of {n_bins} bins every {step} bins cannot be cut; both must be at least 1.")
        starts = [np.arange(0, int(length) - n_bins + 1, step) for length in self.lengths]
        trial = np.repeat(np.arange(self.n_trials), [len(s) for s in starts])
        if len(trial) == 0:
            longest = int(self.lengths.max())
            raise DataError(
                f"a window of {n_bins} bins ({n_bins * self.bin_s:g} s) is longer than the longest trial "
                f"({longest} bins, {longest * self.bin_s:g} s); ask for a shorter window."
            )
        start = np.concatenate(starts)
        time = start[:, None] + np.arange(n_bins)

        def cut(values: np.ndarray) -> np.ndarray:
            return values[trial[:, None], time]

        table = self.trials.iloc[trial].reset_index(drop=True)
        table = table.assign(source_trial=trial, source_bin=start)
        splits = {k: np.flatnonzero(np.isin(trial, v)) for k, v in self.splits.items()}
        return replace(
            self,
            counts=cut(self.counts),
            lengths=np.full(len(trial), n_bins),
            signals={k: Signal(cut(s.values), s.unit, s.columns) for k, s in self.signals.items()},
            trials=table,
            splits={k: v for k, v in splits.items() if len(v)},
            rates=None if self.rates is None else cut(self.rates),
            latents=None if self.latents is None else cut(self.latents),
        )

    # -- words ---------------------------------------------------------------------------------------------------

    def summary(self) -> dict[str, Any]:
        """Sizes and firing in plain values: what a person wants to know first."""
        valid_bins = int(self.lengths.sum())
        per_neuron = self.counts.sum(axis=(0, 1), dtype=np.int64)
        rate = per_neuron / (valid_bins * self.bin_s)
        return {
            "trials": self.n_trials,
            "bins": [int(self.lengths.min()), int(self.lengths.max())],
            "neurons": self.n_neurons,
            "bin_s": self.bin_s,
            "duration_s": valid_bins * self.bin_s,
            "spikes": int(per_neuron.sum()),
            "rate_hz": {"mean": float(rate.mean()), "min": float(rate.min()), "max": float(rate.max())},
            "max_count": int(self.counts.max()),
            "silent_neurons": np.flatnonzero(per_neuron == 0).tolist(),
            "signals": {
                k: {"dims": s.values.shape[2], "unit": s.unit, "columns": list(s.columns)}
                for k, s in self.signals.items()
            },
            "trial_columns": [str(c) for c in self.trials],
            "neuron_columns": [str(c) for c in self.neurons],
            "splits": {k: len(v) for k, v in self.splits.items()},
            "rates": self.rates is not None,
            "latents": 0 if self.latents is None else self.latents.shape[2],
            "provenance": dict(self.provenance),
        }

    def __repr__(self) -> str:
        low, high = int(self.lengths.min()), int(self.lengths.max())
        bins = f"{low}" if low == high else f"{low}-{high}"
        rate = self.counts.sum(dtype=np.int64) / (self.lengths.sum() * self.bin_s * self.n_neurons)
        text = (
            f"SpikeData: {self.n_trials} trials x {bins} bins of {self.bin_s * 1e3:g} ms x {self.n_neurons} neurons, "
            f"{rate:.3g} Hz mean rate"
        )
        if self.signals:
            text += "; signals " + ", ".join(f"{k} ({s.values.shape[2]})" for k, s in self.signals.items())
        if self.splits:
            text += "; splits " + ", ".join(f"{k} {len(v)}" for k, v in self.splits.items())
        return text

    # -- other libraries -----------------------------------------------------------------------------------------

    def to_xarray(self) -> xarray.Dataset:
        """Labelled arrays (needs the extra ``convert``); padding becomes NaN in everything but the counts."""
        import xarray as xr

        axes = ("trial", "time")
        mask = self.valid[..., None]
        variables: dict[str, Any] = {
            "counts": ((*axes, "neuron"), self.counts),
            "lengths": (("trial",), self.lengths),
        }
        if self.rates is not None:
            variables["rate_hz"] = (
                (*axes, "neuron"),
                np.where(mask, self.rates / self.bin_s, np.nan),
                {"unit": "Hz"},
            )
        if self.latents is not None:
            variables["latents"] = ((*axes, "latent"), np.where(mask, self.latents, np.nan))
        for name, signal in self.signals.items():
            variables[name] = (
                (*axes, f"{name}_dim"),
                np.where(mask, signal.values, np.nan),
                {"unit": signal.unit},
            )
        coords: dict[str, Any] = {"time": ("time", (np.arange(self.n_bins) + 0.5) * self.bin_s, {"unit": "s"})}
        coords |= {f"{name}_dim": list(signal.columns) for name, signal in self.signals.items()}
        coords |= {f"trial_{c}": ("trial", self.trials[c].to_numpy()) for c in self.trials}
        coords |= {f"neuron_{c}": ("neuron", self.neurons[c].to_numpy()) for c in self.neurons}
        return xr.Dataset(variables, coords, attrs={"bin_s": self.bin_s})

    def to_pynapple(self, gap_s: float = 1.0) -> tuple[pynapple.TsGroup, pynapple.IntervalSet]:
        """Spike times of every neuron, and the trials as intervals, on one clock (needs the extra ``convert``).

        Trials are laid one after another with ``gap_s`` seconds between them; spikes of a bin are spread evenly in it.
        """
        import pynapple as nap

        start = np.concatenate([[0.0], np.cumsum(self.lengths * self.bin_s + gap_s)[:-1]])
        epochs = nap.IntervalSet(start=start, end=start + self.lengths * self.bin_s)
        trains = {n: nap.Ts(t) for n, t in enumerate(self.spike_times(start))}
        return nap.TsGroup(trains, time_support=epochs), epochs

    def spike_times(self, trial_start_s: Float[np.ndarray, "trial"]) -> list[np.ndarray]:
        """Spike times in seconds of every neuron, given when each trial starts.

        The j-th of c spikes of a bin that starts at t is put at t + bin_s * j / (c + 1).
        """
        by_neuron = np.ascontiguousarray(self.counts.transpose(2, 0, 1)).reshape(self.n_neurons, -1)
        neuron, position = np.nonzero(by_neuron)
        count = by_neuron[neuron, position].astype(np.int64)
        trial, bin_ = np.divmod(position, self.n_bins)
        first = np.repeat(np.cumsum(count) - count, count)
        within = (np.arange(len(first)) - first + 1) / (np.repeat(count, count) + 1)
        times = np.repeat(np.asarray(trial_start_s)[trial] + bin_ * self.bin_s, count) + within * self.bin_s
        ends = np.cumsum(by_neuron.sum(axis=1, dtype=np.int64))
        return np.split(times, ends[:-1])


def content_hash(data: SpikeData) -> str:
    """SHA-256 of what a recording says of spikes: valid counts, lengths and the width of a bin.

    Example:
        >>> ones = SpikeData(np.ones((2, 3, 4), int), bin_s=0.01)
        >>> content_hash(ones) == content_hash(SpikeData(np.ones((2, 3, 4)), bin_s=0.01))
        True
    """
    digest = hashlib.sha256()
    digest.update(f"{data.n_trials} {data.n_neurons} {data.counts.dtype.name} {data.bin_s!r}".encode())
    digest.update(np.ascontiguousarray(data.lengths, dtype="<i8").tobytes())
    for trial, length in zip(data.counts, data.lengths):
        digest.update(np.ascontiguousarray(trial[:length], dtype=trial.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()


def as_counts(values: Any, name: str = "counts") -> UInt[np.ndarray, "trial time neuron"]:
    """Check that an array holds spike counts and return it in the smallest unsigned integer type.

    Raises:
        DataError: If it has not three axes, is empty, or holds NaN, negative or fractional values; says where.
    """
    values = np.asarray(values)
    if values.dtype == object:
        raise DataError(
            f"{name} is an object array; save a padded integer array together with the length of each trial."
        )
    if values.ndim != 3:
        raise DataError(f"{name} has shape {values.shape}, but needs the three axes (trial, time, neuron).")
    if 0 in values.shape:
        raise DataError(f"{name} has shape {values.shape} and is empty; at least one trial, bin and neuron are needed.")
    if values.dtype.kind not in "buif":
        raise DataError(f"{name} holds {values.dtype}, which are not numbers; pass integer spike counts.")

    def refuse(bad: np.ndarray, what: str, remedy: str) -> None:
        if bad.any():
            trial, time, neuron = np.argwhere(bad)[0]
            raise DataError(
                f"{name} must be spike counts, but {bad.sum()} of them are {what}: the first is "
                f"{values[trial, time, neuron]} at trial {trial}, bin {time}, neuron {neuron}; {remedy}."
            )

    if values.dtype.kind == "f":
        refuse(
            ~np.isfinite(values),
            "NaN or infinite",
            "counts must be complete, mark missing bins by the trial lengths",
        )
    if values.dtype.kind in "if":
        refuse(values < 0, "negative", "a count cannot be below zero")
    if values.dtype.kind == "f":
        refuse(values != np.floor(values), "not integers", "are these rates? Draw counts from them first")
    largest = int(values.max())
    dtype = np.uint8 if largest < 2**8 else np.uint16 if largest < 2**16 else np.uint32
    return values.astype(dtype, copy=values.dtype != dtype)


def as_lengths(lengths: Any, n_trials: int, n_bins: int) -> Int[np.ndarray, "trial"]:
    """Check the number of valid bins of each trial; None means all bins.

    Raises:
        DataError: If there is not one length between 1 and ``n_bins`` for every trial.
    """
    if lengths is None:
        return np.full(n_trials, n_bins, dtype=np.int64)
    lengths = np.asarray(lengths)
    if lengths.shape != (n_trials,):
        raise DataError(
            f"lengths has shape {lengths.shape}, but there are {n_trials} trials; pass one length per trial."
        )
    if lengths.dtype.kind not in "ui" and not np.array_equal(lengths, np.floor(lengths)):
        raise DataError("lengths must be whole numbers of bins; round them down to complete bins.")
    bad = (lengths < 1) | (lengths > n_bins)
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        raise DataError(
            f"the length of trial {first} is {lengths[first]} bins, but must lie between 1 and the {n_bins} bins "
            "that the counts have; drop empty trials, or pass the counts with all their bins."
        )
    return lengths.astype(np.int64)


def _table(name: str, table: pd.DataFrame | None, n_rows: int) -> pd.DataFrame:
    if table is None:
        return pd.DataFrame(index=pd.RangeIndex(n_rows))
    if len(table) != n_rows:
        raise DataError(
            f"the {name} table has {len(table)} rows, but there are {n_rows} {name}; pass one row for each."
        )
    return table.reset_index(drop=True)


def _split(name: str, indices: Any, n_trials: int) -> np.ndarray:
    indices = np.asarray(indices, dtype=np.int64).ravel()
    if len(indices) and (indices.min() < 0 or indices.max() >= n_trials):
        raise DataError(f"split '{name}' names trial {indices.max()}, but there are only {n_trials} trials (from 0).")
    if len(np.unique(indices)) != len(indices):
        raise DataError(f"split '{name}' names a trial twice; a trial belongs to a split once.")
    return indices


def _indices(selection: Selection, n: int, what: str) -> np.ndarray:
    if selection is None:
        return np.arange(n)
    if isinstance(selection, slice):
        return np.arange(n)[selection]
    chosen = np.asarray(selection)
    if chosen.dtype == bool and len(chosen) != n:
        raise DataError(f"a mask over {len(chosen)} {what}s was given, but there are {n}; pass one value per {what}.")
    if chosen.dtype != bool and len(chosen) and (chosen.min() < -n or chosen.max() >= n):
        raise DataError(f"{what} {chosen.max()} was asked for, but there are only {n} {what}s (from 0).")
    return np.arange(n)[chosen]
