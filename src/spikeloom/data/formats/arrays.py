"""Arrays of other origin become SpikeData: by the names in the options, else by usual names and shapes that fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from spikeloom.data.comparisons import matches
from spikeloom.data.formats.containers import StoredArray
from spikeloom.data.options import ArrayOptions, LoadOptions, check_supported, split_axes
from spikeloom.data.recorded_time import FROM_S, PIECE
from spikeloom.data.selection import with_length
from spikeloom.data.spikedata import Signal, SpikeData
from spikeloom.data.splits import named_splits
from spikeloom.data.steps import apply_options
from spikeloom.data.validation import as_counts, as_lengths
from spikeloom.errors import DataError

COUNTS = ("counts", "spikes", "spike_counts")
LENGTHS = ("length", "lengths", "trial_length", "trial_lengths", "n_bins")
SEGMENT = ("segment", "segments", "segment_id")
FAMILIES = (ArrayOptions,)
"""Families of options that arrays understand."""
NEURON_ID = ("unit_id", "unit_ids", "neuron_id", "neuron_ids")
BIN_S = {"bin_s": 1.0, "bin_size_s": 1.0, "bin_width_s": 1.0, "dt": 1.0, "bin_ms": 1e-3, "bin_size_ms": 1e-3}
"""Usual names of the width of a bin, and the seconds that one of their units has."""
NEURON_WORDS = ("unit", "neuron", "electrode", "channel", "cell")
MOST_PARTS = 8
"""A (trial, dim) array of at most this many dimensions becomes trial columns ``name_0``, ``name_1``, ..."""


def from_arrays(stored: Mapping[str, StoredArray], options: LoadOptions, origin: Mapping[str, Any]) -> SpikeData:
    """A recording from named arrays.

    Counts, lengths, segments and the width of a bin are the arrays that the options name; where they name none, the one
    array with a usual name is taken. Everything else is taken by shape: (trial,) arrays and short (trial, dim) arrays
    become columns of the trials table, (neuron,) arrays columns of the neurons table, and float (trial, time, dim)
    arrays signals. A signal with one value more than there are bins was taken at the borders of the bins: neighbours
    are averaged to give the values at their centres, and where one of them is missing the other is taken.

    Counts of shape (time, neuron) are one trial, or one trial for each run of equal values of the segment, so that
    nothing ever crosses a border.

    Args:
        stored: The arrays of a file.
        options: Names and order of the arrays, and what to keep of them.
        origin: Start of the provenance; guesses are added to its "notes".

    Raises:
        DataError: If an array is missing or sizes contradict each other; lists the arrays that there are.
    """
    check_supported(options, FAMILIES, "arrays")
    return _Arrays(stored, options).to_spikedata(origin)


class _Arrays:
    """The arrays of one file while they are interpreted: which have been used, and what has been guessed."""

    def __init__(self, stored: Mapping[str, StoredArray], options: LoadOptions) -> None:
        self.stored = stored
        self.options = options
        self.notes: list[str] = []
        self.taken: set[str] = set()

    def to_spikedata(self, origin: Mapping[str, Any]) -> SpikeData:
        name, counts = self._counts()
        bin_s = self._bin_s()
        continuous = counts.ndim == 2
        n_trials, n_bins, n_neurons = (1, *counts.shape) if continuous else counts.shape
        self._check_neuron_ids(name, counts.shape, n_neurons)
        neurons = self._neuron_table(n_trials, n_bins, n_neurons, continuous)
        if continuous:
            series = self._series(n_bins)
            counts, lengths, trials, signals = self._cut_segments(name, counts, series, bin_s)
        else:
            self._check_sizes(name, n_trials, n_bins)
            lengths = self._lengths(counts)
            trials = self._trial_table(n_trials)
            signals = self._trial_signals(n_trials, n_bins)
            counts = self._checked_counts(name, counts, lengths)
            kept = self._kept(trials, lengths, n_bins)
            counts, lengths, trials = (
                counts[kept],
                lengths[kept],
                trials.iloc[np.flatnonzero(kept)].reset_index(drop=True),
            )
            signals = {k: v[kept] for k, v in signals.items()}
            used = int(lengths.max())  # bins that no trial fills are of no use
            counts, signals = counts[:, :used], {k: v[:, :used] for k, v in signals.items()}
        unused = sorted(set(self.stored) - self.taken)
        if unused:
            self.notes.append("not used: " + ", ".join(f"{k} {self.stored[k]}" for k in unused))
        data = SpikeData(
            counts=counts,
            bin_s=bin_s,
            lengths=lengths,
            signals={k: Signal(v) for k, v in signals.items()},
            trials=trials,
            neurons=neurons,
            splits=named_splits(trials),
            provenance=origin,
        )
        return apply_options(data, self.options, self.notes)

    # -- names ---------------------------------------------------------------------------------------------------

    def _read(self, name: str) -> np.ndarray:
        self.taken.add(name)
        try:
            return self.stored[name].read()
        except DataError as error:
            raise DataError(f"'{name}': {error}") from None

    def _found(self) -> str:
        return "; ".join(f"{k} {v}" for k, v in self.stored.items()) or "none"

    def _named(self, option: str, usual: tuple[str, ...]) -> str | None:
        """The array an option names, else the one array with a usual name, else None."""
        given = getattr(self.options, option)
        if given is not None:
            if given not in self.stored:
                raise DataError(f"there is no array '{given}' for {option}; the file holds: {self._found()}.")
            return given
        # MATLAB structures and HDF5 groups put their own name before those of their arrays.
        usual_here = [k for k in self.stored if k.rsplit("/", 1)[-1].lower() in usual]
        if len(usual_here) != 1:
            return None
        self.notes.append(f"{option} is '{usual_here[0]}', by its name")
        return usual_here[0]

    def _counts(self) -> tuple[str, np.ndarray]:
        name = self._named("counts", COUNTS)
        if name is None:
            likely = [
                k
                for k, v in self.stored.items()
                if v.is_number and len(v.shape) in (2, 3) and ("spike" in k.lower() or "count" in k.lower())
            ]
            if len(likely) != 1:
                choice = f" ({' or '.join(likely)}?)" if likely else ""
                raise DataError(
                    f"which array holds the spike counts is not clear{choice}; name it with counts=<array>. "
                    f"The file holds: {self._found()}."
                )
            name = likely[0]
            self.notes.append(f"counts is '{name}', by its name")
        values = self._read(name)
        if values.ndim not in (2, 3) or values.dtype.kind not in "buif":
            raise DataError(
                f"'{name}' is {self.stored[name]}, but counts are numbers with axes (trial, time, neuron) "
                "or (time, neuron); name another array with counts=<array>."
            )
        axes = self._axes(values.ndim)
        standard = ("trial", "time", "neuron")[-values.ndim :]
        return name, values.transpose([axes.index(a) for a in standard])

    def _axes(self, n_axes: int) -> tuple[str, ...]:
        axes = ("trial", "time", "neuron")[-n_axes:]
        if self.options.axes is not None:
            axes = split_axes(self.options.axes)
            if len(axes) != n_axes:
                raise DataError(f"axes={self.options.axes} names {len(axes)} axes, but the counts have {n_axes}.")
            self.taken |= {"dims", "axes"} & set(self.stored)
            return axes
        for key in ("dims", "axes"):
            if key in self.stored and self.stored[key].shape == (n_axes,) and self.stored[key].dtype.kind in "US":
                declared = [_text(v).replace("unit", "neuron").removesuffix("s") for v in self._read(key)]
                if sorted(declared) == sorted(axes):
                    self.notes.append(f"the order of the axes is taken from '{key}'")
                    return tuple(declared)
        return axes

    def _bin_s(self) -> float:
        names = [k for k in self.stored if k.rsplit("/", 1)[-1].lower() in BIN_S and self.stored[k].shape in ((), (1,))]
        if len(names) == 1 and self.stored[names[0]].is_number:
            value = self._read(names[0]).ravel()[0]
            # 0.045 in single precision is 0.0450000018: the shortest text that gives the number is the intended value.
            return float(str(value)) * BIN_S[names[0].rsplit("/", 1)[-1].lower()]
        if self.options.bin_s is None:
            raise DataError(f"the width of a bin is not in the file; give bin_s in seconds. It holds: {self._found()}.")
        return self.options.bin_s

    # -- sizes ---------------------------------------------------------------------------------------------------

    def _check_neuron_ids(self, name: str, shape: tuple[int, ...], n_neurons: int) -> None:
        for key in NEURON_ID:
            if key in self.stored and self.stored[key].shape not in ((n_neurons,), (n_neurons, 1)):
                order = ", ".join(("trial", "time", "neuron")[-len(shape) :])
                raise DataError(
                    f"'{name}' has shape {shape} as ({order}), so {n_neurons} neurons, but '{key}' has "
                    f"{self.stored[key].shape[0] if self.stored[key].shape else 1} entries; the order of the axes "
                    f"that was given or declared in the file contradicts it, correct it with axes=<order>."
                )

    def _check_sizes(self, name: str, n_trials: int, n_bins: int) -> None:
        """Check arrays that must fit the counts; all that do not are in one sentence."""
        wrong = []
        for key, stored in self.stored.items():
            last = key.rsplit("/", 1)[-1].lower()
            per_trial = key in (self.options.lengths, self.options.condition) or last in (*LENGTHS, "condition")
            per_trial = per_trial and len(stored.shape) == 1 and key not in self.taken
            if per_trial and stored.shape[0] != n_trials:
                wrong.append(f"'{key}' has {stored.shape[0]} entries instead of {n_trials}")
            elif len(stored.shape) == 3 and stored.dtype.kind == "f" and key not in self.taken:
                selected = self.options.signals is not None and key in self.options.signals
                looks_so = self.options.signals is None and stored.shape[0] == n_trials
                if (selected or looks_so) and stored.shape[:2] not in ((n_trials, n_bins), (n_trials, n_bins + 1)):
                    wrong.append(f"'{key}' has {stored.shape[:2]} trials and bins instead of {(n_trials, n_bins)}")
        if wrong:
            raise DataError(
                f"sizes contradict '{name}', which has {n_trials} trials and {n_bins} bins: {'; '.join(wrong)}; "
                "correct the file, or select arrays with lengths=, condition= and signals=."
            )

    def _lengths(self, counts: np.ndarray) -> np.ndarray:
        n_trials, n_bins = counts.shape[:2]
        name = self._named("lengths", LENGTHS)
        if name is None:
            likely = [
                k
                for k, v in self.stored.items()
                if v.shape == (n_trials,) and v.dtype.kind in "ui" and "length" in k.lower()
            ]
            name = likely[0] if len(likely) == 1 else None
            if name is not None:
                self.notes.append(f"lengths is '{name}', by its name")
        if name is not None:
            lengths = self._read(name)
            if lengths.shape != (n_trials,) or lengths.dtype.kind not in "uif":
                raise DataError(f"'{name}' is {self.stored[name]}, but lengths are {n_trials} numbers, one a trial.")
            # A trial without bins may still be excluded by `where`; lengths are checked after that.
            return lengths
        empty = np.asarray(np.isnan(counts).all(axis=2)) if counts.dtype.kind == "f" else np.zeros((1, 1), dtype=bool)
        if empty.any():
            lengths = n_bins - np.argmin(empty[:, ::-1], axis=1)
            self.notes.append("lengths end where all later counts of a trial are NaN")
            return np.where(empty.all(axis=1), 0, lengths)
        return np.full(n_trials, n_bins)

    def _checked_counts(self, name: str, counts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        if counts.dtype.kind == "f":
            past = np.arange(counts.shape[1]) >= lengths[:, None]
            counts = np.where(past[..., None] & np.isnan(counts), 0, counts)
            self.notes.append(f"'{name}' holds {self.stored[name].dtype}; its whole numbers are taken as counts")
        return as_counts(counts, f"'{name}'")

    def _kept(self, trials: pd.DataFrame, lengths: np.ndarray, n_bins: int) -> np.ndarray:
        """Trials that all of ``where`` holds for; only their lengths have to be sound."""
        table = with_length(trials, lengths)
        kept = np.ones(len(lengths), dtype=bool)
        for text in self.options.where:
            kept &= matches(table, text)
        if not kept.any():
            raise DataError(f"no trial is left after keeping those with {' and '.join(self.options.where)}.")
        as_lengths(np.where(kept, lengths, 1), len(lengths), n_bins)
        return kept

    # -- arrays that fit by their shape-------------------------------------------------------------------------------

    def _neuron_table(self, n_trials: int, n_bins: int, n_neurons: int, continuous: bool) -> pd.DataFrame:
        columns = {}
        for key, stored in self.stored.items():
            named = key == self.options.neurons
            if stored.shape != (n_neurons,) or key in self.taken or stored.dtype.kind not in "buifUS":
                if named:
                    raise DataError(f"'{key}' is {stored}, but a mask of neurons needs {n_neurons} entries.")
                continue
            other = n_bins if continuous else n_trials
            if named or n_neurons != other or any(word in key.lower() for word in NEURON_WORDS):
                columns["id" if key in NEURON_ID else key] = _column(self._read(key))
        return pd.DataFrame(columns, index=range(n_neurons))

    def _trial_table(self, n_trials: int) -> pd.DataFrame:
        columns: dict[str, np.ndarray] = {}
        for key, stored in self.stored.items():
            if key in self.taken or stored.dtype.kind not in "buifUS" or stored.shape[:1] != (n_trials,):
                continue
            if len(stored.shape) == 1:
                columns[key] = _column(self._read(key))
            elif len(stored.shape) == 2 and 1 <= stored.shape[1] <= MOST_PARTS:
                values = self._read(key)
                columns |= {f"{key}_{i}": _column(values[:, i]) for i in range(values.shape[1])}
        for key in [*(self.options.columns or ()), *filter(None, [self.options.condition])]:
            if key in self.stored and key not in self.taken:
                raise DataError(f"'{key}' is {self.stored[key]}, but a trial column needs {n_trials} entries.")
        likely = [k for k in columns if k.endswith("_condition")]
        if self.options.condition is None and "condition" not in columns and len(likely) == 1:
            columns["condition"] = columns[likely[0]]
            self.notes.append(f"condition is '{likely[0]}', by its name")
        return pd.DataFrame(columns, index=range(n_trials))

    def _trial_signals(self, n_trials: int, n_bins: int) -> dict[str, np.ndarray]:
        signals = {}
        for key, stored in self.stored.items():
            named = self.options.signals is not None and key in self.options.signals
            fits = len(stored.shape) == 3 and stored.shape[:2] in ((n_trials, n_bins), (n_trials, n_bins + 1))
            if (
                key in self.taken
                or not fits
                or not (named or (self.options.signals is None and stored.dtype.kind == "f"))
            ):
                continue
            values = self._read(key).astype(np.float32)
            if values.shape[1] == n_bins + 1:
                left, right = values[:, :-1], values[:, 1:]
                centre = (left + right) / 2
                # At the first and last border the value is often unknown: then the other border stands for the bin.
                values = np.where(np.isnan(centre), np.where(np.isnan(left), right, left), centre)
                self.notes.append(f"'{key}' has a value at each border of a bin; neighbours are averaged")
            signals[key] = values
        return signals

    def _series(self, n_bins: int) -> dict[str, np.ndarray]:
        """Signals of a continuous recording: (time,) or (time, dim)."""
        series = {}
        for key, stored in self.stored.items():
            named = self.options.signals is not None and key in self.options.signals
            selected = named or (self.options.signals is None and stored.dtype.kind == "f")
            if selected and key not in self.taken and stored.shape[:1] == (n_bins,) and len(stored.shape) in (1, 2):
                series[key] = self._read(key).astype(np.float32).reshape(n_bins, -1)
            elif named:
                raise DataError(f"'{key}' is {stored}, but a signal needs {n_bins} values, one for each bin.")
        return series

    def _cut_segments(
        self, name: str, counts: np.ndarray, series: Mapping[str, np.ndarray], bin_s: float
    ) -> tuple[np.ndarray, np.ndarray, pd.DataFrame, dict[str, np.ndarray]]:
        """Every run of one segment becomes a trial, padded to the longest."""
        counts = as_counts(counts[None], f"'{name}'")[0]
        n_bins = len(counts)
        segment = self._named("segment", SEGMENT)
        start, trials = np.array([0]), pd.DataFrame({FROM_S: [0.0]})
        if segment is not None:
            ids = self._read(segment)
            if ids.shape != (n_bins,):
                raise DataError(
                    f"'{segment}' is {self.stored[segment]}, but '{name}' has {n_bins} bins; give each one."
                )
            start = np.flatnonzero(np.r_[True, ids[1:] != ids[:-1]])
            # How much time lies between segments is not known: each is a piece with a clock of its own.
            times = {PIECE: np.arange(len(start)), FROM_S: start * bin_s}
            trials = pd.DataFrame({"segment": _column(ids[start]), "start_bin": start, **times})
        elif self.options.window_s is None and self.options.reaches is None:
            self.notes.append("the recording is one long trial; cut it with window_s")
        lengths = np.diff(np.r_[start, n_bins])
        place = np.minimum(start[:, None] + np.arange(lengths.max()), n_bins - 1)
        return counts[place], lengths, trials, {k: v[place] for k, v in series.items()}


def _text(value: Any) -> str:
    return (value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)).strip()


def _column(values: np.ndarray) -> np.ndarray:
    """Text as the Python strings that tables hold; numbers as they are."""
    if values.dtype.kind not in "US":
        return values
    return np.array([_text(v) for v in values], dtype=object)
