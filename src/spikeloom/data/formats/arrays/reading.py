"""Arrays of other origin become SpikeData: by the names in the options, else by usual names and shapes that fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool

from spikeloom.data.formats.arrays.aligned import around_events_of_trials
from spikeloom.data.formats.arrays.array_file import ArrayFile
from spikeloom.data.formats.arrays.axes import STANDARD, Order, order_of_axes
from spikeloom.data.formats.arrays.bin_width import Clock, clock_of
from spikeloom.data.formats.arrays.columns import (
    check_columns,
    kept_neurons,
    neuron_table,
    rates_of,
    signals_of,
    trial_columns,
)
from spikeloom.data.formats.arrays.padding import (
    lengths_by_durations,
    lengths_by_mask,
    orders_of_padding,
    with_missing,
)
from spikeloom.data.formats.arrays.pairs import check_counts, check_no_rates, check_rates, looks_like_spike_times
from spikeloom.data.formats.arrays.pieces import numbers_of_segments, pieces_of, segment_of
from spikeloom.data.formats.arrays.splits import index_splits, with_splits_joined
from spikeloom.data.formats.arrays.trials import cut_trials, numbers_of_trials, trials_of
from spikeloom.data.formats.naming.array_names import COUNTS, LENGTHS, NEURON_ID, plain, unit_of
from spikeloom.data.formats.storage.containers import StoredArray
from spikeloom.data.json_columns import with_entries
from spikeloom.data.options import ArrayOptions, EventOptions, LoadOptions, check_supported
from spikeloom.data.recorded_time import FROM_S
from spikeloom.data.selection import rows_to_load, with_length
from spikeloom.data.session.durations import is_duration
from spikeloom.data.session.spans import rows_of
from spikeloom.data.spikedata import Signal, SpikeData
from spikeloom.data.splits import named_splits
from spikeloom.data.steps import apply_options
from spikeloom.data.validation import as_counts, as_lengths
from spikeloom.errors import DataError

FAMILIES = (ArrayOptions, EventOptions)
"""Families of options that arrays understand."""


def from_arrays(stored: Mapping[str, StoredArray], options: LoadOptions, origin: Mapping[str, Any]) -> SpikeData:
    """A recording from named arrays.

    Counts, lengths, segments, trials and the width of a bin are the arrays that the options name; where they name none,
    the one array with a usual name is taken. The order of the axes is given or declared, else the shapes of the other
    arrays decide; see ``axes.order_of_axes``. Everything else is taken by shape: (trial,) arrays and short (trial, dim)
    arrays become columns of the trials table, (neuron,) arrays columns of the neurons table, and float
    (trial, time, dim) and (trial, time) arrays signals; see ``columns``. Times of bins give their width, and
    gaps; see ``bin_width.clock_of``. Arrays ``train_...`` and ``valid_...`` are the splits of one recording; see
    ``splits``.

    Counts of shape (time, neuron) are cut into trials where the file or the options say when these were, by the rules
    for spike times; see ``trials``. Otherwise every continuous piece is a trial: each segment, and each stretch
    between gaps, so that nothing ever crosses a border.

    Neurons and trials that the options leave out are left out first: nothing in them refuses the file.

    Args:
        stored: The arrays of a file.
        options: Names and order of the arrays, and what to keep of them.
        origin: Start of the provenance; guesses are added to its "notes".

    Raises:
        DataError: If an array is missing or sizes contradict each other; lists the arrays that there are.
    """
    check_supported(options, FAMILIES, "arrays")
    notes: list[str] = []
    stored, counts_name, about = with_splits_joined(stored, options.counts, notes)
    file = ArrayFile(stored, replace(options, counts=counts_name), counts_from_one=origin.get("format") == "mat")
    file.notes += notes
    name, values = _counts(file)
    order = order_of_axes(file, name, values.shape, orders_of_padding(values, STANDARD))
    counts = values.transpose([order.index(axis) for axis in STANDARD[-values.ndim :]])
    with np.errstate(invalid="ignore"):
        finite = counts[np.isfinite(counts)] if counts.dtype.kind == "f" else counts
    clock = clock_of(file, name, counts.shape, float(finite.mean()) if finite.size else 0.0)
    read = _continuous if counts.ndim == 2 else _trials
    data = read(file, name, counts, order, clock, {**origin, **about})
    check_rates(data, name, values.shape)
    check_no_rates(data, name)
    file.note_unused()
    try:
        return apply_options(data, options, file.notes)
    except DataError as error:
        if not file.is_order_assumed:
            raise
        raise DataError(
            f"{error} The axes of '{name}' {values.shape} were taken as ({', '.join(order)}), as nothing says "
            "otherwise; if they are others, give them with axes=<order>."
        ) from None


def _counts(file: ArrayFile) -> tuple[str, np.ndarray]:
    name = file.named("counts", COUNTS)
    if name is None:
        tables = {k: v for k, v in file.stored.items() if v.is_number and len(v.shape) in (2, 3)}
        likely = [k for k in tables if "spike" in k.lower() or "count" in k.lower()]
        whole = [k for k, v in tables.items() if v.dtype.kind in "bui" and min(v.shape) > 2]
        name = file.guessed("counts", likely)
        if name is None and not likely and len(whole) == 1:
            name = whole[0]
            file.notes.append(f"counts is '{name}', the only array of whole numbers with two or three axes")
        if name is None:
            choice = f" ({' or '.join(likely)}?)" if likely else ""
            hint = "" if likely else looks_like_spike_times(file)
            raise DataError(
                f"which array holds the spike counts is not clear{choice}; name it with counts=<array>{hint}. "
                f"The file holds: {file.found()}."
            )
    stored = file.stored[name]
    if stored.dtype.kind not in "O" and (len(stored.shape) not in (2, 3) or not stored.is_number):
        hint = looks_like_spike_times(file)
        raise DataError(
            f"'{name}' is {stored}, but counts are numbers with axes (trial, time, neuron) or (time, neuron); name "
            f"another array with counts=<array>{hint}."
        )
    values = file.read(name)
    if values.dtype.kind not in "buif":
        raise DataError(f"'{name}' is {stored}, but counts are numbers; name another array with counts=<array>.")
    if 0 in values.shape:
        raise DataError(f"'{name}' has shape {values.shape} and is empty; name another array with counts=<array>.")
    check_counts(values, name)
    return name, with_missing(values, name, file.notes)


# -- trials ----------------------------------------------------------------------------------------------------------


def _trials(
    file: ArrayFile, name: str, counts: np.ndarray, order: Order, clock: Clock, origin: Mapping[str, Any]
) -> SpikeData:
    """Counts with the axes (trial, time, neuron)."""
    n_trials, n_bins, n_neurons = counts.shape
    for option in ("trials", "continuous", "segment"):
        if getattr(file.options, option):
            raise DataError(
                f"{option} cannot be used with arrays of trials, and '{name}' has {n_trials} of them already; leave it "
                "out, or name counts with the axes (time, neuron) with counts=<array>."
            )
    _check_sizes(file, name, n_trials, n_bins)
    rates = rates_of(file, order, counts, clock.bin_s)
    signals = signals_of(file, order, counts.shape)
    neurons = neuron_table(file, n_neurons, (n_trials,))
    kept = kept_neurons(file, neurons)
    lengths = _lengths(file, counts[:, :, kept], clock.bin_s)
    trials = with_entries(pd.DataFrame(trial_columns(file, n_trials), index=range(n_trials)), file.notes)
    if clock.trial_start_s is not None and FROM_S not in trials:
        trials = trials.assign(**{FROM_S: clock.trial_start_s})
    check_columns(file, n_trials)
    rows = rows_to_load(with_length(trials, lengths), file.options.where)
    lengths = as_lengths(np.where(rows, lengths, 1), n_trials, n_bins)
    ignored = ~(rows[:, None, None] & kept & (np.arange(n_bins) < lengths[:, None])[..., None])
    counts = _checked(file, name, counts, ignored)
    used = int(lengths[rows].max())  # bins that no trial fills are of no use
    data = SpikeData(
        counts=counts[rows][:, :used, kept],
        bin_s=clock.bin_s,
        lengths=lengths[rows],
        signals={key: Signal(value[rows][:, :used]) for key, value in signals.items()},
        trials=rows_of(trials, rows),
        neurons=rows_of(neurons, kept),
        splits=named_splits(rows_of(trials, rows)) or index_splits(file, rows),
        rates=None if rates is None else rates[rows][:, :used, kept],
        provenance=origin,
    )
    if file.options.align is None:
        return data
    start_s = None if clock.trial_start_s is None else clock.trial_start_s[rows]
    return around_events_of_trials(data, file, clock, start_s)


def _checked(file: ArrayFile, name: str, counts: np.ndarray, ignored: Bool[np.ndarray, "*axes"]) -> np.ndarray:
    """Counts as integers; those that are ignored are zero, and refuse nothing."""
    if counts.dtype.kind == "f":
        file.notes.append(f"'{name}' holds {counts.dtype}; its whole numbers are taken as counts")
    if counts.dtype.kind in "if" and ignored.any():
        counts = np.where(ignored, counts.dtype.type(0), counts)
    return as_counts(counts, f"'{name}'")


def _check_sizes(file: ArrayFile, name: str, n_trials: int, n_bins: int) -> None:
    """Check arrays that must fit the counts; all that do not are in one sentence."""
    wrong = []
    for key, stored in file.free():
        per_trial = file.is_option(key, "lengths", "condition") or plain(key) in (*LENGTHS, "condition")
        if per_trial and plain(key) not in NEURON_ID and len(stored.shape) == 1 and stored.shape[0] != n_trials:
            wrong.append(f"'{key}' has {stored.shape[0]} entries instead of {n_trials}")
        elif len(stored.shape) == 3 and stored.dtype.kind == "f" and file.options.signals is None:
            looks_so = stored.shape[0] == n_trials and not {n_bins, n_bins + 1} & set(stored.shape[1:])
            if looks_so:
                wrong.append(f"'{key}' has {stored.shape[:2]} trials and bins instead of {(n_trials, n_bins)}")
    for key, stored in file.stored.items():  # objects are not free to use, but an option may name them
        if file.is_option(key, "lengths") and stored.dtype.kind == "O" and stored.shape[:1] != (n_trials,):
            wrong.append(f"'{key}' has {(*stored.shape, 1)[0]} entries instead of {n_trials}")
    if wrong:
        raise DataError(
            f"sizes contradict '{name}', which has {n_trials} trials and {n_bins} bins: {'; '.join(wrong)}; "
            "correct the file, or select arrays with lengths=, condition= and signals=."
        )


def _lengths(file: ArrayFile, counts: np.ndarray, bin_s: float) -> np.ndarray:
    n_trials, n_bins = counts.shape[:2]
    name = file.named("lengths", ()) if file.options.lengths is not None else None
    if name is None:
        name = file.guessed("lengths", _like_lengths(file, n_trials, n_bins))
    if name is not None:
        lengths = file.read(name)
        if lengths.shape != (n_trials,) or lengths.dtype.kind not in "uif":
            raise DataError(f"'{name}' is {file.stored[name]}, but lengths are {n_trials} numbers, one a trial.")
        # A trial without bins may still be excluded by `where`; lengths are checked after that.
        return lengths
    empty = np.asarray(np.isnan(counts).all(axis=2)) if counts.dtype.kind == "f" else np.zeros((1, 1), dtype=bool)
    if empty.any():
        lengths = n_bins - np.argmin(empty[:, ::-1], axis=1)
        file.notes.append("lengths end where all later counts of a trial are NaN")
        return np.where(empty.all(axis=1), 0, lengths)
    stated = lengths_by_durations(file, counts, bin_s)
    stated = lengths_by_mask(file, counts) if stated is None else stated
    return np.full(n_trials, n_bins) if stated is None else stated


def _like_lengths(file: ArrayFile, n_trials: int, n_bins: int) -> list[str]:
    """The array that may be the lengths of trials in bins, if any; one with a unit of time in its name is none.

    Raises:
        DataError: If there are several: taking none of them would load the padding of short trials as recorded.
    """
    numbers = {k: v for k, v in file.free() if v.shape == (n_trials,) and v.is_number and unit_of(k)[1] is None}
    usual = [k for k, v in numbers.items() if plain(k) in LENGTHS and not _are_durations(k, v)]
    likely = usual or [k for k, v in numbers.items() if v.dtype.kind in "ui" and "length" in k.lower()]
    if len(likely) > 1:
        values = {key: file.stored[key].read() for key in likely}
        likely = [key for key, v in values.items() if v.min(initial=0) >= 0 and v.max(initial=0) <= n_bins]
    if len(likely) > 1:
        raise DataError(
            f"{' and '.join(repr(key) for key in likely)} both look like the lengths of trials; say which with "
            "lengths=<array>, and take the others out of the file if they mean the same."
        )
    return likely


def _are_durations(name: str, stored: StoredArray) -> bool:
    """Whether it may be called durations, too, and holds fractions, which are no numbers of bins."""
    return is_duration(name) and stored.dtype.kind == "f" and bool((stored.read() % 1).any())


# -- continuous recordings -------------------------------------------------------------------------------------------


def _continuous(
    file: ArrayFile, name: str, counts: np.ndarray, order: Order, clock: Clock, origin: Mapping[str, Any]
) -> SpikeData:
    """Counts with the axes (time, neuron)."""
    n_bins, n_neurons = counts.shape
    segment = segment_of(file, n_bins)
    file.taken |= set() if segment is None else {segment}
    if file.options.lengths is not None:
        raise DataError(
            f"lengths cannot be used with '{name}' {counts.shape}, which is continuous; leave it out, or name the "
            "array with the segment of each bin with segment=<array>."
        )
    rates = rates_of(file, order, counts, clock.bin_s)
    signals = signals_of(file, order, counts.shape)
    neurons = neuron_table(file, n_neurons, (n_bins, *numbers_of_segments(file, segment), *numbers_of_trials(file)))
    kept = kept_neurons(file, neurons)
    missing = np.zeros(n_bins, dtype=bool)
    if counts.dtype.kind == "f":
        missing |= np.isnan(counts[:, kept]).all(axis=1)
    pieces = pieces_of(file, name, clock, segment, ~missing, n_neurons)
    table = trials_of(file, clock, n_bins, n_neurons, float(pieces.stop_s[-1]))
    if table is None:
        first, lengths = pieces.first, pieces.n_bins
        trials = pieces.table.assign(**pieces.recorded_time(np.arange(len(first)), pieces.start_s))
        if len(first) == 1 and file.options.window_s is None and file.options.reaches is None:
            file.notes.append("the recording is one long trial; cut it with window_s")
    else:
        cut = cut_trials(table, pieces, file.options, file.notes)
        first, lengths, trials = cut.first, cut.n_bins, cut.trials
    check_columns(file, len(first))
    place = np.minimum(first[:, None] + np.arange(lengths.max()), n_bins - 1)
    used = np.zeros(n_bins, dtype=bool)
    used[place[np.arange(lengths.max()) < lengths[:, None]]] = True
    counts = _checked(file, name, counts[None], ~(used[:, None] & kept)[None])[0]
    return SpikeData(
        counts=counts[:, kept][place],
        bin_s=clock.bin_s,
        lengths=lengths,
        signals={key: Signal(values[place]) for key, values in signals.items()},
        trials=trials,
        neurons=rows_of(neurons, kept),
        splits=named_splits(trials),
        rates=None if rates is None else rates[:, kept][place],
        provenance=origin,
    )
