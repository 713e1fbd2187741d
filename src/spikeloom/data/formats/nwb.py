"""NWB files become SpikeData: spike times are binned around events, over whole trials, or over the observed session.

The file is read with h5py, without pynwb: that needs no schema, starts at once and reads only the parts that are used.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from spikeloom.data.bins import whole_bins
from spikeloom.data.comparisons import column_of
from spikeloom.data.formats.binning import EDGE, bin_spikes
from spikeloom.data.formats.containers import Hdf5, reading_file
from spikeloom.data.formats.events import event_times, in_own_trial
from spikeloom.data.formats.jitter import COLUMN, jitter_bins
from spikeloom.data.formats.nlb import Grid
from spikeloom.data.formats.series import behaviour, note_missing, resampled
from spikeloom.data.options import LoadOptions, NWBOptions, SeriesOptions, check_supported
from spikeloom.data.recorded_time import FROM_S
from spikeloom.data.selection import SCORED, rows_to_load
from spikeloom.data.spikedata import SpikeData
from spikeloom.data.splits import named_splits
from spikeloom.data.steps import apply_options
from spikeloom.errors import DataError

FAMILIES = (NWBOptions, SeriesOptions)
"""Families of options that NWB files understand."""
DEFAULT_BIN_S = 0.005
"""The bin of the Neural Latents Benchmark."""
HIGHEST_RATE_HZ = 500.0
"""No population fires faster on average; a higher rate means that times are not in seconds."""


@dataclass(frozen=True)
class Spans:
    """Stretches of the session's clock that are cut into bins; each becomes a trial.

    Attributes:
        start_s: Time of the start of the first bin of each.
        n_bins: Number of bins of each.
        trials: One row for each.
        requested_s: Start of each before it was moved to the first bin of a grid; ``start_s`` if not given.
    """

    start_s: Float[np.ndarray, "trial"]
    n_bins: Int[np.ndarray, "trial"]
    trials: pd.DataFrame
    requested_s: Float[np.ndarray, "trial"] | None = None

    def keep(self, kept: np.ndarray) -> Spans:
        """Those of a mask."""
        requested_s = None if self.requested_s is None else self.requested_s[kept]
        return Spans(self.start_s[kept], self.n_bins[kept], _rows(self.trials, kept), requested_s)

    def later(self, lag_s: float) -> Float[np.ndarray, "trial"]:
        """Starts of the same stretches this much later; a grid moves each to its own first bin."""
        return (self.start_s if self.requested_s is None else self.requested_s) + lag_s


def read_nwb(path: Path, options: LoadOptions) -> SpikeData:
    """Bin the spike times of an NWB file.

    With ``options.align`` every trial is cut around an event, from ``before_s`` before to ``after_s`` after it, and
    bins are counted from the event itself. Otherwise trials are taken whole, with the lengths they have. Without a
    trials table, or with ``options.continuous``, every stretch of observed time is one trial, to be cut by
    ``window_s``. A file written by ``write_nwb`` is loaded in its own bins unless ``bin_s`` is given.

    Bins that were not observed (``obs_intervals``) are never zeros: whole trials end where observation ends, and trials
    that do not begin in it, or whose window leaves it, are dropped and noted in the provenance, as are trials without
    an event in them. With ``options.overlap`` "cut" a window ends where that of another trial begins.

    A spike on the border of two bins belongs to the later one. Signals are interpolated linearly at bin centres, or
    averaged over each bin when they are sampled faster; where they were not sampled they are NaN. With
    ``options.binning`` "nlb" windows begin at the first point of the benchmark's grid in them, and counts and signals
    are those of its tables, see ``nlb.Grid``.

    Args:
        path: The file.
        options: How to cut and bin it, and what to keep.

    Raises:
        DataError: If there are no units, if trials are impossible, or if nothing is left.
    """
    data, notes = read_units(path, options)
    return apply_options(data, options, notes)


def read_units(path: Path, options: LoadOptions) -> tuple[SpikeData, list[str]]:
    """The recording before the steps that every format shares (``apply_options``), and the notes so far.

    Raises:
        DataError: As ``read_nwb``.
    """
    check_supported(options, FAMILIES, "an NWB file")
    notes: list[str] = []
    if options.align is None:
        for name in ("forward_s", "binning", "overlap", "jitter_s", "scored"):
            if getattr(options, name) is not None:
                raise DataError(
                    f"{name} is {getattr(options, name)}, but no trials are cut around an event; "
                    "give align=<trial column> too."
                )
    with reading_file(path), h5py.File(path, "r") as opened:
        file: Hdf5 = opened
        written_bin_s, provenance = _written_by_us(file)
        bin_s = options.bin_s or written_bin_s or DEFAULT_BIN_S
        if options.bin_s is None and written_bin_s is None:
            notes.append(f"bins are {DEFAULT_BIN_S:g} s wide, as bin_s was not given")
        spikes = _spike_times(file)
        neurons = _table(file["units"], len(spikes), notes, skip=("spike_times", "obs_intervals"))
        observed = _observed(file["units"], len(spikes))
        trials = _trials(file, notes)
        grid = None
        if trials is not None:
            end_s = float(np.nanmax(trials["stop_time"].to_numpy(dtype=float), initial=0.0))
            grid = Grid.of(bin_s, observed, end_s) if options.binning == "nlb" else None
            if options.jitter_s is not None:
                trials[COLUMN] = jitter_bins(trials, options, bin_s)
            if not options.continuous:
                trials = _rows(trials, rows_to_load(trials, options.where))
        if trials is None or options.continuous:
            if options.align is not None:
                raise DataError("there is no trials table to align to; leave out align, and cut with window_s.")
            spans = _continuous(observed, spikes, bin_s)
            if options.window_s is None and options.reaches is None:
                notes.append("the recording is not cut into trials; cut it with window_s")
        elif options.align is not None:
            spans = _around_events(trials, observed, options, bin_s, grid, notes)
        else:
            spans = _whole_trials(trials, observed, bin_s, notes)
        series = behaviour(file, options.signals, notes)
    later_s = spans.later(options.lag_s or 0.0)
    if grid is None:
        counts = bin_spikes(spikes, spans.start_s, spans.n_bins, bin_s)
        signals = resampled(series, later_s, spans.n_bins, bin_s)
    else:
        counts = grid.count(spikes, np.rint(spans.start_s / bin_s).astype(np.int64), spans.n_bins)
        signals = grid.signals(series, grid.bin_from(later_s), spans.n_bins, notes)
    _check_rate(counts, spans, spikes, bin_s)
    note_missing(signals, spans.n_bins, notes)
    if options.forward_s:
        n_forward = whole_bins(options.forward_s, bin_s, "forward_s")
        provenance |= {"forward_bins": n_forward}
        notes.append(
            f"the last {n_forward} bins of each trial are for forward prediction: hide them from encoders "
            f"(held_out_inputs.forward_prediction_bins {n_forward})"
        )
    data = SpikeData(
        counts=counts,
        bin_s=bin_s,
        lengths=spans.n_bins,
        signals=signals,
        trials=_with_recorded_time(spans, written_bin_s is not None),
        neurons=neurons,
        splits=named_splits(spans.trials),
        provenance={**provenance, "file": path.name, "format": "nwb"},
    )
    return data, notes


def _written_by_us(file: Hdf5) -> tuple[float | None, dict[str, Any]]:
    """The width of a bin and the provenance of a recording that ``write_nwb`` wrote; nothing for any other file."""
    try:
        notes = json.loads(file["general/notes"].asstr()[()])
        return (float(notes["bin_s"]), dict(notes["provenance"])) if "spikeloom_nwb" in notes else (None, {})
    except (KeyError, TypeError, ValueError, AttributeError):
        return None, {}


# -- units and tables --------------------------------------------------------------------------------------------


def _spike_times(file: Hdf5) -> list[np.ndarray]:
    if "units" not in file or "spike_times" not in file["units"] or "spike_times_index" not in file["units"]:
        raise DataError(
            "there are no spike times: the file has no units table with 'spike_times'; sort the recording first, "
            "or name a file that holds units."
        )
    times = np.asarray(file["units/spike_times"][...], dtype=np.float64)
    ends = _ends(file["units"], "spike_times", len(times))
    if not np.isfinite(times).all():
        first = int(np.flatnonzero(~np.isfinite(times))[0])
        raise DataError(
            f"units/spike_times holds {times[first]} at place {first}, in unit "
            f"{np.searchsorted(ends, first, 'right')}; spike times must be finite seconds."
        )
    if len(ends) == 0:
        raise DataError("the units table is empty; name a file that holds units.")
    return [np.sort(part) for part in np.split(times, ends[:-1])]


def _ends(units: Hdf5, name: str, n_values: int) -> Int[np.ndarray, "unit"]:
    # Index arrays are stored in the smallest type that holds them; arithmetic on a uint8 would wrap around.
    ends = units[f"{name}_index"][...].astype(np.int64)
    if (np.diff(ends, prepend=0) < 0).any() or (len(ends) and ends[-1] > n_values):
        raise DataError(f"units/{name}_index does not fit the {n_values} entries of units/{name}; the file is damaged.")
    return ends


def _observed(units: Hdf5, n_units: int) -> Float[np.ndarray, "interval 2"] | None:
    """The intervals in which every unit was observed, or None if the file has no such intervals."""
    if "obs_intervals" not in units or "obs_intervals_index" not in units:
        return None
    intervals = np.asarray(units["obs_intervals"][...], dtype=np.float64).reshape(-1, 2)
    ends = _ends(units, "obs_intervals", len(intervals))
    different = {part.tobytes(): part for part in np.split(intervals, ends[:-1])[:n_units] if len(part)}
    common: np.ndarray | None = None
    for part in different.values():
        merged = _merged(part)
        common = merged if common is None else _intersection(common, merged)
    if common is not None and len(common) == 0:
        raise DataError("units/obs_intervals have no time in common; keep units that were observed together.")
    return common


def _merged(intervals: np.ndarray) -> np.ndarray:
    """Intervals in order, those that touch joined."""
    bad = np.flatnonzero(~(intervals[:, 1] >= intervals[:, 0]))
    if len(bad):
        start, stop = intervals[bad[0]]
        raise DataError(f"units/obs_intervals has an interval from {start:g} to {stop:g} s; correct the file.")
    intervals = intervals[np.argsort(intervals[:, 0], kind="stable")]
    reach = np.maximum.accumulate(intervals[:, 1])
    first = np.flatnonzero(np.r_[True, intervals[1:, 0] > reach[:-1] + 1e-6])
    return np.column_stack([intervals[first, 0], reach[np.r_[first[1:] - 1, len(reach) - 1]]])


def _intersection(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The time common to two ordered lists of intervals."""
    edges = np.unique(np.r_[a.ravel(), b.ravel()])
    centre = (edges[1:] + edges[:-1]) / 2
    inside = _interval_of(a, centre) & _interval_of(b, centre)
    return _merged(np.column_stack([edges[:-1][inside], edges[1:][inside]])) if inside.any() else np.zeros((0, 2))


def _interval_of(intervals: np.ndarray, times: np.ndarray) -> np.ndarray:
    place = np.searchsorted(intervals[:, 0], times, side="right") - 1
    return (place >= 0) & (times < intervals[np.maximum(place, 0), 1])


def _trials(file: Hdf5, notes: list[str]) -> pd.DataFrame | None:
    group = file.get("intervals/trials")
    if group is None or "start_time" not in group or "stop_time" not in group or len(group["start_time"]) == 0:
        return None
    trials = _table(group, len(group["start_time"]), notes, skip=("timeseries", "tags"))
    start, stop = trials["start_time"].to_numpy(dtype=float), trials["stop_time"].to_numpy(dtype=float)
    bad = np.flatnonzero(stop < start)
    if len(bad):
        i = int(bad[0])
        raise DataError(
            f"trial {i} stops before it starts: start_time is {start[i]:g} s and stop_time {stop[i]:g} s; "
            "correct the trials table."
        )
    return trials


def _rows(table: pd.DataFrame, kept: np.ndarray) -> pd.DataFrame:
    return table if kept.all() else table.iloc[np.flatnonzero(kept)].reset_index(drop=True)


def _table(group: Hdf5, n_rows: int, notes: list[str], skip: tuple[str, ...]) -> pd.DataFrame:
    """The columns of a table with one value a row, or a few; ragged ones and references are left out."""
    order = [_text(name) for name in group.attrs.get("colnames", [])]
    names = [k for k in ["id", *order, *group] if k in group]
    columns: dict[str, np.ndarray] = {}
    left_out = []
    for name in dict.fromkeys(names):
        item = group[name]
        if not isinstance(item, h5py.Dataset) or name.endswith("_index") or name in skip:
            continue
        text = h5py.check_string_dtype(item.dtype) is not None
        number = item.dtype.kind in "buif"
        if f"{name}_index" in group or item.shape[:1] != (n_rows,) or not (text or number):
            left_out.append(name)
            continue
        values = np.asarray(item.asstr(errors="replace")[...] if text else item[...])
        if values.ndim == 1:
            columns[name] = values
        elif values.ndim == 2 and 1 <= values.shape[1] <= 8:
            columns |= {f"{name}_{i}": values[:, i] for i in range(values.shape[1])}
        else:
            left_out.append(name)
    if left_out:
        notes.append(f"columns of {group.name} left out, as they are not one value a row: {', '.join(left_out)}")
    return pd.DataFrame(columns, index=range(n_rows))


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


# -- trials ------------------------------------------------------------------------------------------------------


def _around_events(
    trials: pd.DataFrame,
    observed: np.ndarray | None,
    options: LoadOptions,
    bin_s: float,
    grid: Grid | None,
    notes: list[str],
) -> Spans:
    name = str(options.align)
    event = event_times(trials, name)
    inside = in_own_trial(trials, name, bin_s)
    if options.jitter_s is not None:
        event = event + trials[COLUMN].to_numpy() * bin_s
        notes.append(f"{(trials[COLUMN] > 0).sum()} of {len(trials)} windows were shifted later, see {COLUMN}")
    before, after = options.before_s or 0.0, options.stop_s("align")
    n = whole_bins(before + after, bin_s, "the window around the event (before_s + after_s)")
    n_forward = whole_bins(options.forward_s, bin_s, "forward_s") if options.forward_s else 0
    spans = Spans(event - before, np.full(len(trials), n + n_forward), trials)
    known = np.isfinite(event)
    spans = _drop(spans, known, f"have no '{name}'", notes)
    spans = _drop(spans, inside[known], f"have a '{name}' outside of the trial itself", notes)
    if grid is not None:
        spans = replace(spans, start_s=grid.bin_from(spans.start_s) * bin_s, requested_s=spans.start_s)
    if options.overlap == "cut":
        spans = _apart(spans, n_forward, bin_s, notes)
    if grid is not None:
        observed_bins = grid.observed_bins(np.rint(spans.start_s / bin_s).astype(np.int64), spans.n_bins)
    else:
        observed_bins = _observed_bins(spans, observed, bin_s)
    spans = _drop(spans, observed_bins == spans.n_bins, "have a window that leaves the observed time", notes)
    return spans if options.scored is None else _with_scored_part(spans, options.scored, n_forward, bin_s)


def _with_scored_part(spans: Spans, names: str, n_forward: int, bin_s: float) -> Spans:
    """The bins of each window that begin between two events, as trial columns; all where a time is missing."""
    last, columns = spans.n_bins - n_forward, {}
    for column, name, missing in zip(SCORED, names.split(","), (np.zeros_like(last), last)):
        since_s = column_of(spans.trials, name.strip(), "trial").to_numpy(dtype=float) - spans.start_s
        known = np.isfinite(since_s)
        # A bin is behind an event if it begins with it, to the nanosecond.
        bins = np.ceil(np.round(np.where(known, since_s, 0.0) * 1e9) / (bin_s * 1e9) - EDGE).astype(np.int64)
        columns[column] = np.where(known, np.clip(bins, 0, last), missing)
    return replace(spans, trials=spans.trials.assign(**columns))


def _apart(spans: Spans, n_forward: int, bin_s: float, notes: list[str]) -> Spans:
    """Windows that end where another begins; the forward part may overlap, but cannot follow a window that was cut."""
    order = np.argsort(spans.start_s, kind="stable")
    until_next = np.floor(np.round(np.diff(spans.start_s[order]) / bin_s, 6)).astype(np.int64)
    room = np.full(len(order), np.iinfo(np.int64).max)
    room[order[:-1]] = until_next
    cut = room < spans.n_bins - n_forward
    if not cut.any():
        return spans
    if n_forward:
        return _drop(spans, ~cut, "have a window that another begins in, so that nothing follows it", notes)
    notes.append(f"{cut.sum()} of {len(cut)} windows end early, where that of another trial begins")
    spans = replace(spans, n_bins=np.minimum(spans.n_bins, room))
    return _drop(spans, spans.n_bins > 0, "begin where another does", notes)


def _whole_trials(trials: pd.DataFrame, observed: np.ndarray | None, bin_s: float, notes: list[str]) -> Spans:
    start, stop = trials["start_time"].to_numpy(dtype=float), trials["stop_time"].to_numpy(dtype=float)
    finite = np.isfinite(start) & np.isfinite(stop)
    n_bins = np.floor(np.where(finite, stop - start, 0) / bin_s + EDGE).astype(np.int64)
    spans = _drop(Spans(start, n_bins, trials), finite, "have no start or stop", notes)
    if not spans.n_bins.any():
        longest = float(np.max((stop - start)[finite]))
        raise DataError(f"a bin of {bin_s:g} s is wider than the longest trial ({longest:g} s); ask for narrower bins.")
    spans = _drop(spans, spans.n_bins > 0, "are shorter than one bin", notes)
    observed_bins = _observed_bins(spans, observed, bin_s)
    spans = _drop(
        Spans(spans.start_s, np.minimum(observed_bins, spans.n_bins), spans.trials),
        observed_bins > 0,
        "were not observed",
        notes,
    )
    return spans


def _with_recorded_time(spans: Spans, written_by_us: bool) -> pd.DataFrame:
    """The trials with their recorded time: that of the session's clock, or the one that a recording was saved with.

    The clock of a file that ``write_nwb`` wrote is not that of the recording.
    """
    if not written_by_us:
        return spans.trials.assign(**{FROM_S: spans.start_s})
    if FROM_S not in spans.trials:
        return spans.trials
    later_s = spans.start_s - spans.trials["start_time"].to_numpy(dtype=float)
    return spans.trials.assign(**{FROM_S: spans.trials[FROM_S].to_numpy(dtype=float) + later_s})


def _continuous(observed: np.ndarray | None, spikes: list[np.ndarray], bin_s: float) -> Spans:
    if observed is None:
        ends = [times[-1] for times in spikes if len(times)]
        if not ends:
            raise DataError("no unit has a spike, and the file has no observed intervals; check the file.")
        first = min(0.0, min(float(times[0]) for times in spikes if len(times)))
        observed = np.array([[first, (np.floor((max(ends) - first) / bin_s + EDGE) + 1) * bin_s + first]])
    n_bins = np.floor((observed[:, 1] - observed[:, 0]) / bin_s + EDGE).astype(np.int64)
    if not n_bins.any():
        longest = float(np.diff(observed).max())
        raise DataError(f"a bin of {bin_s:g} s is wider than the observed time ({longest:g} s); ask for narrower bins.")
    table = pd.DataFrame({"start_time": observed[:, 0], "stop_time": observed[:, 0] + n_bins * bin_s})
    return Spans(observed[:, 0], n_bins, table).keep(n_bins > 0)


def _observed_bins(spans: Spans, observed: np.ndarray | None, bin_s: float) -> Int[np.ndarray, "trial"]:
    """Bins of each stretch from its start to the end of the observation it starts in; 0 where it starts in none."""
    if observed is None:
        return spans.n_bins
    edge = EDGE * bin_s
    place = np.searchsorted(observed[:, 0], spans.start_s + edge, side="right") - 1
    left = np.where(place >= 0, observed[np.maximum(place, 0), 1] - spans.start_s, 0)
    return np.minimum(np.floor(np.maximum(left, 0) / bin_s + EDGE).astype(np.int64), spans.n_bins)


def _drop(spans: Spans, kept: np.ndarray, why: str, notes: list[str]) -> Spans:
    if kept.all():
        return spans
    dropped = np.flatnonzero(~kept)
    if not kept.any():
        raise DataError(f"no trial is left: all {len(kept)} {why}; check the trials table and the window.")
    ids = spans.trials["id"].to_numpy() if "id" in spans.trials else np.arange(len(kept))
    which = ", ".join(str(ids[i]) for i in dropped[:5])
    more = ", ..." if len(dropped) > 5 else ""
    notes.append(f"{len(dropped)} of {len(kept)} trials were dropped because they {why} (id {which}{more})")
    return spans.keep(kept)


def _check_rate(counts: np.ndarray, spans: Spans, spikes: list[np.ndarray], bin_s: float) -> None:
    total = int(counts.sum(dtype=np.int64))
    stop = float((spans.start_s + spans.n_bins * bin_s).max())
    recorded = [times for times in spikes if len(times)]
    if total == 0:
        times = f"from {min(t[0] for t in recorded):g} to {max(t[-1] for t in recorded):g}" if recorded else "missing"
        raise DataError(
            f"no spike falls into the trials ({spans.start_s.min():g} to {stop:g} s), spike times are {times}; "
            "are units/spike_times in seconds and on the clock of the trials?"
        )
    rate = total / (spans.n_bins.sum() * bin_s * len(spikes))
    if rate > HIGHEST_RATE_HZ:
        raise DataError(f"the mean rate is {rate:.3g} Hz per unit, which no neuron has; are spike times in seconds?")
