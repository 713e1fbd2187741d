"""SpikeData: the one type for recordings, real or generated."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int, UInt

from spikeloom.data.signal import Signal
from spikeloom.data.validation import (
    Selection,
    as_counts,
    as_indices,
    as_lengths,
    as_split,
    as_table,
    check_bin_s,
    is_ragged,
    neurons_innermost,
    padded,
)
from spikeloom.errors import DataError

if TYPE_CHECKING:
    import matplotlib.axes
    import neo
    import pynapple
    import xarray
    from numpy.typing import ArrayLike

    from spikeloom.data.signal import Ragged

    Table = pd.DataFrame | Mapping[str, Any]

DEFAULT_FRACTIONS = {"train": 0.7, "val": 0.1, "test": 0.2}
"""Share of the trials in each split when a recording brings no splits of its own."""


@dataclass(frozen=True, eq=False, repr=False)
class SpikeData:
    """Binned spikes of a neural population over trials, with behaviour, tables and splits.

    Generated trials are a SpikeData too, so every metric, figure and file format serves both. Trials may differ in
    length: ``lengths`` holds how many bins of each are valid; the rest is padding that holds zeros and enters no
    statistic. Arrays are read-only; methods return new objects.

    Indexing selects trials: ``data[:10]``, ``data[[1, 2]]``, ``data[mask]``, and ``data[0]`` for one trial. ``len`` is
    the number of trials, and iteration goes over recordings of one trial each.

    Attributes:
        counts: (trial, time, neuron) spike counts, kept in the smallest unsigned integer type that holds them. May be
            passed as a list of (time, neuron) arrays, one for each trial, which also sets ``lengths``.
        bin_s: Width of a bin in seconds.
        lengths: (trial,) number of valid bins; all bins when not given.
        signals: Behavioural variables aligned to the bins, by name; arrays (trial, time, dim) or (trial, time), or
            lists of one array for each trial, become a ``Signal``.
        trials: One row per trial (condition, target, ...); may be passed as a dictionary of columns.
        neurons: One row per neuron (id, area, ...); may be passed as a dictionary of columns.
        splits: Named groups of trial indices, for example ``{"train": [...], "test": [...]}``; masks become indices.
        rates: (trial, time, neuron) expected counts per bin, true or generated, if known.
        latents: (trial, time, latent) latent trajectories, true or generated, if known.
        provenance: Where the data come from; plain values that JSON can hold.

    Raises:
        DataError: If counts are negative, fractional or missing, if bins last 5 s or more, or if sizes contradict each
            other.

    Example:
        >>> import numpy as np
        >>> data = SpikeData(np.ones((4, 10, 3), int), bin_s=0.02, lengths=[10, 10, 8, 5])
        >>> data
        SpikeData: 4 trials x 5-10 bins of 20 ms x 3 neurons, 50 Hz mean rate
        >>> data[2:].valid.sum(axis=1).tolist()
        [8, 5]
        >>> trials = [np.ones((6, 2), int), np.zeros((9, 2), int)]
        >>> SpikeData(trials, bin_s=0.02, trials={"target": ["left", "right"]}, neurons={"area": "M1"})
        SpikeData: 2 trials x 6-9 bins of 20 ms x 2 neurons, 20 Hz mean rate
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

    if TYPE_CHECKING:

        def __init__(
            self,
            counts: Ragged,
            bin_s: float,
            lengths: ArrayLike | None = None,
            signals: Mapping[str, Signal | Ragged] = ...,
            trials: Table | None = None,
            neurons: Table | None = None,
            splits: Mapping[str, ArrayLike] = ...,
            rates: Ragged | None = None,
            latents: Ragged | None = None,
            provenance: Mapping[str, Any] = ...,
        ) -> None: ...

    def __post_init__(self) -> None:
        counts: Any = self.counts
        lengths: Any = self.lengths
        if is_ragged(counts):
            if lengths is not None:
                raise DataError("trials in a list have lengths of their own; leave lengths out, or pass one array.")
            counts, lengths = padded("counts", counts)
        counts = as_counts(counts)
        n_trials, n_bins, n_neurons = counts.shape
        check_bin_s(self.bin_s)
        lengths = as_lengths(lengths, n_trials, n_bins)
        valid = np.arange(n_bins) < lengths[:, None]

        def aligned(name: str, values: Any, own: np.ndarray | None = None) -> np.ndarray:
            if is_ragged(values):
                values, own = padded(name, values)
            values = np.asarray(values, dtype=np.float32)
            if own is not None and np.array_equal(own, lengths):
                values = np.pad(values, ((0, 0), (0, n_bins - values.shape[1]), (0, 0)))
            elif own is not None and len(own) == n_trials:
                i = int(np.flatnonzero(own != lengths)[0])
                raise DataError(
                    f"{name} has {own[i]} bins in trial {i}, but the counts have {lengths[i]}; align it to the bins of "
                    "the counts."
                )
            if values.ndim != 3 or values.shape[:2] != (n_trials, n_bins):
                raise DataError(
                    f"{name} has shape {values.shape}, but the counts need ({n_trials} trials, {n_bins} bins, ...); "
                    "align it to the bins of the counts."
                )
            return neurons_innermost(values if valid.all() else np.where(valid[..., None], values, np.float32(0)))

        if not valid.all():
            # The integer type is that of the valid counts: values in the padding must leave no trace.
            counts = as_counts(np.where(valid[..., None], counts, counts.dtype.type(0)))
        signals = {name: s if isinstance(s, Signal) else Signal(s) for name, s in self.signals.items()}
        signals = {
            name: Signal(aligned(f"signal '{name}'", s.values, s._lengths), s.unit, s.columns)
            for name, s in signals.items()
        }
        rates = None if self.rates is None else aligned("rates", self.rates)
        if rates is not None and rates.shape[2] != n_neurons:
            raise DataError(
                f"rates are for {rates.shape[2]} neurons but counts for {n_neurons}; pass one rate per neuron."
            )
        latents = None if self.latents is None else aligned("latents", self.latents)
        settled = {
            "counts": counts,
            "bin_s": float(self.bin_s),
            "lengths": lengths,
            "signals": MappingProxyType(signals),
            "trials": as_table("trials", self.trials, n_trials),
            "neurons": as_table("neurons", self.neurons, n_neurons),
            "splits": MappingProxyType({k: as_split(k, v, n_trials) for k, v in self.splits.items()}),
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

    def __len__(self) -> int:
        return self.n_trials

    # -- parts ---------------------------------------------------------------------------------------------------

    def __getitem__(self, trials: Any) -> SpikeData:
        """Some trials, see ``select``; an index keeps one."""
        if isinstance(trials, tuple) or trials is None:
            raise DataError(
                "a recording is indexed by its trials only: data[:10]; choose neurons with data.select(neurons=...)."
            )
        if isinstance(trials, str):
            raise DataError(
                f"a recording is indexed by its trials, not by {trials!r}; data.split({trials!r}) is that of a split."
            )
        return self.select(trials=as_indices(trials, self.n_trials, "trial"))

    def __iter__(self) -> Iterator[SpikeData]:
        """Recordings of one trial each."""
        return (self.select(trials=trial) for trial in range(self.n_trials))

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise TypeError("a recording holds several arrays; take one of them, such as data.counts.")

    def select(self, trials: Selection = None, neurons: Selection = None) -> SpikeData:
        """Keep some trials and neurons, in the order given; splits follow their trials.

        Args:
            trials: Index, slice, indices or boolean mask; None keeps all.
            neurons: Index, slice, indices or boolean mask; None keeps all.

        Raises:
            DataError: If a trial or neuron does not exist, or if none is kept.
        """
        t = as_indices(trials, self.n_trials, "trial")
        n = None if neurons is None else as_indices(neurons, self.n_neurons, "neuron")
        place = {int(old): new for new, old in enumerate(t)}
        splits = {
            k: np.array([place[int(i)] for i in v if int(i) in place], dtype=np.int64) for k, v in self.splits.items()
        }

        def kept(values: np.ndarray) -> np.ndarray:
            values = values if trials is None else values[t]
            # Not values[:, :, n], which gathers every count on its own and leaves the neuron axis outermost.
            return values if n is None else np.take(values, n, axis=2)

        return replace(
            self,
            counts=kept(self.counts),
            lengths=self.lengths[t],
            signals={k: Signal(s.values[t], s.unit, s.columns) for k, s in self.signals.items()},
            trials=self.trials.iloc[t].reset_index(drop=True),
            neurons=self.neurons if n is None else self.neurons.iloc[n].reset_index(drop=True),
            splits={k: v for k, v in splits.items() if len(v)},
            rates=None if self.rates is None else kept(self.rates),
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
        from spikeloom.data.splits import assigned_at_random

        return assigned_at_random(self, fractions, by, seed)

    def window(self, n_bins: int, step: int | None = None) -> SpikeData:
        """Cut every trial into windows of equal length; windows that would run past a trial's valid bins are dropped.

        Each knows where it is from: the trial columns ``source_trial`` and ``source_bin``, and its recorded time (see
        ``recorded_time``). The size of the windows is noted in the provenance.

        Args:
            n_bins: Length of a window in bins.
            step: Bins between the starts of two windows; ``n_bins`` (no overlap) when not given.

        Raises:
            DataError: If no trial is as long as one window.
        """
        from spikeloom.data.bins import windows

        return windows(self, n_bins, step)

    def rebin(self, bin_s: float) -> SpikeData:
        """Sum counts into wider bins; signals and latents are averaged, angles on the circle and codes not at all.

        Bins at the end of a trial that do not fill a new one are dropped, and so are trials shorter than one new bin,
        which is noted in the provenance.

        Args:
            bin_s: Width of the new bins in seconds, a whole multiple of the present width.

        Raises:
            DataError: If the width is not a multiple, or if no trial is as long as one new bin.
        """
        from spikeloom.data.bins import rebin

        return rebin(self, bin_s)

    def with_notes(self, notes: Sequence[str]) -> SpikeData:
        """The same recording with further notes in its provenance on assumptions and omissions."""
        if not notes:
            return self
        return replace(self, provenance={**self.provenance, "notes": [*self.provenance.get("notes", []), *notes]})

    # -- description ---------------------------------------------------------------------------------------------------

    def summary(self) -> dict[str, Any]:
        """Sizes, firing rates and parts of the recording in plain values."""
        from spikeloom.data.description import summary

        return summary(self)

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

    def _repr_html_(self) -> str:
        from spikeloom.data.description import html_description

        return html_description(self)

    # -- figures -------------------------------------------------------------------------------------------------

    def plot_raster(self, trial: int = 0, ax: matplotlib.axes.Axes | None = None) -> matplotlib.axes.Axes:
        """Draw the spikes of one trial, a row for each neuron.

        Args:
            trial: Which trial; negative ones count from the end.
            ax: Axes to draw into; a new figure when not given.

        Raises:
            DataError: If there is no such trial.
        """
        from spikeloom.drawing.raster import raster

        part = self[trial]
        return raster(_axes(ax), part.counts[0, : part.lengths[0]], self.bin_s)

    def plot_psth(
        self,
        by: str | None = None,
        neurons: Selection = None,
        smooth_s: float | None = None,
        ax: matplotlib.axes.Axes | None = None,
    ) -> matplotlib.axes.Axes:
        """Draw the mean rate over time, averaged over trials and neurons; padding enters no average.

        Args:
            by: Trial column with a line for each of its values, such as "target"; one line for all trials when not
                given.
            neurons: Neurons to average over; all when not given.
            smooth_s: Standard deviation in seconds of a Gaussian that counts are smoothed with; none when not given.
            ax: Axes to draw into; a new figure when not given.

        Raises:
            DataError: If there is no such column or neuron, or if the column has more values than lines can be
                distinguished.
        """
        from spikeloom.data.averages import group_rates
        from spikeloom.drawing.psth import psth

        rates, labels = group_rates(self.select(neurons=neurons), by, smooth_s)
        return psth(_axes(ax), rates.mean(axis=2), self.bin_s, labels, title=by)

    # -- other libraries -----------------------------------------------------------------------------------------

    def to_xarray(self) -> xarray.Dataset:
        """All of the recording as labelled arrays (needs the extra ``convert``); ``from_xarray`` is the inverse.

        Counts have the dimensions (trial, time, neuron), and padding is NaN in everything but them. Columns of the
        tables are the coordinates "trial_<name>" and "neuron_<name>", splits the coordinates "split_<name>"; a signal
        whose name is taken gets the ending "_signal". Some trials, bins in a row or neurons may be chosen in between.
        """
        from spikeloom.data.converters.xarray import to_xarray

        return to_xarray(self)

    def to_pynapple(self, gap_s: float = 1.0) -> tuple[pynapple.TsGroup, pynapple.IntervalSet]:
        """Spike times of every neuron, and the trials as intervals, on one clock (needs the extra ``convert``).

        Trials are laid one after another with ``gap_s`` seconds between them; spikes of a bin are spread evenly in it.
        Columns of the tables are metadata, in which times stay those of the recording's own clock; the neuron column
        "rate" becomes "neuron_rate", as pynapple computes its own. Splits become the trial column "split", the first of
        each trial. ``from_pynapple`` with the same ``bin_s`` is the inverse. Rates, latents and provenance have no
        place; ``to_pynapple_signals`` gives the signals.
        """
        from spikeloom.data.converters.pynapple import to_pynapple

        return to_pynapple(self, gap_s)

    def to_pynapple_signals(self, gap_s: float = 1.0) -> dict[str, pynapple.TsdFrame]:
        """The signals by name on the clock of ``to_pynapple``, sampled at bin centres; units have no place there."""
        from spikeloom.data.converters.pynapple import to_pynapple_signals

        return to_pynapple_signals(self, gap_s)

    def to_neo(self) -> neo.Block:
        """All of the recording as a Block with a Segment for each trial (needs the extra ``convert``).

        Each trial begins at 0 s; spikes of a bin are spread evenly in it. Signals, rates and latents are AnalogSignals
        at bin centres, trial columns annotations of the segments, and neuron columns those of the spike trains.
        ``from_neo`` is the inverse.
        """
        from spikeloom.data.converters.neo import to_neo

        return to_neo(self)

    def spike_times(self, trial_start_s: Float[np.ndarray, "trial"]) -> list[np.ndarray]:
        """Spike times in seconds of every neuron, given when each trial starts.

        The j-th of c spikes of a bin that starts at t is put at t + bin_s * j / (c + 1).
        """
        from spikeloom.data.converters.spike_times import spike_times

        return spike_times(self, trial_start_s)


def _axes(ax: matplotlib.axes.Axes | None) -> matplotlib.axes.Axes:
    if ax is not None:
        return ax
    from matplotlib import pyplot

    return pyplot.subplots(layout="constrained")[1]


def check_recording(value: Any, name: str) -> None:
    """Check that a recording was passed, where an array or a file's name is easily passed instead.

    Raises:
        DataError: If it is anything else.
    """
    if not isinstance(value, SpikeData):
        kind = (
            f"an array of shape {value.shape}" if isinstance(value, np.ndarray) else f"of type {type(value).__name__}"
        )
        raise DataError(
            f"{name} is {kind}, but must be a SpikeData; make one with spikeloom.SpikeData(counts, bin_s=...), or load "
            "one with spikeloom.load."
        )


def content_hash(data: SpikeData) -> str:
    """SHA-256 of the spikes of a recording: valid counts, lengths and the width of a bin.

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
