"""Durations as whole numbers of bins: wider bins, and trials cut into windows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Int

from spikeloom.data.recorded_time import times_of_cut
from spikeloom.data.series.widening import widened_signals
from spikeloom.data.spikedata import Signal, SpikeData
from spikeloom.errors import DataError


def whole_bins(seconds: float, bin_s: float, name: str) -> int:
    """The number of bins in a duration.

    Raises:
        DataError: If it is not a whole number of at least one.
    """
    n = round(seconds / bin_s)
    if n < 1 or abs(seconds / bin_s - n) > 1e-6 * max(1, n):
        raise DataError(
            f"{name} is {seconds:g} s, which is not a whole number of bins of {bin_s:g} s; "
            f"{max(n, 1) * bin_s:g} s would be."
        )
    return n


def rebin(data: SpikeData, bin_s: float) -> SpikeData:
    """Sum counts into wider bins; signals become what ``widening`` makes of them, and latents are averaged.

    Bins at the end of a trial that do not fill a new one are dropped, and so are trials shorter than one new bin, which
    is noted in the provenance.

    Args:
        data: A recording.
        bin_s: Width of the new bins in seconds, a whole multiple of ``data.bin_s``.

    Raises:
        DataError: If the width is not a multiple, or if no trial is as long as one new bin.
    """
    k = round(bin_s / data.bin_s)
    if k < 1 or abs(bin_s / data.bin_s - k) > 1e-5 * k:
        raise DataError(
            f"bin_s is {bin_s:g} s, but the recording has bins of {data.bin_s:g} s; ask for a whole multiple of that."
        )
    if k == 1:
        return data
    lengths = data.lengths // k
    if not lengths.any():
        raise DataError(
            f"a bin of {bin_s:g} s is wider than the longest trial ({data.lengths.max() * data.bin_s:g} s); "
            "ask for narrower bins."
        )
    notes = []
    if not lengths.all():
        notes.append(f"{int((lengths == 0).sum())} trials shorter than one bin were dropped")
    left = (data.lengths % k)[lengths > 0]
    if left.any():
        notes.append(
            f"up to {left.max()} bins at the end of {(left > 0).sum()} of {len(left)} trials were dropped, as they do "
            f"not fill one of {bin_s:g} s"
        )
    data, lengths = data.select(trials=lengths > 0), lengths[lengths > 0]
    n_bins = int(lengths.max())

    def grouped(values: np.ndarray) -> np.ndarray:
        return values[:, : n_bins * k].reshape(len(values), n_bins, k, values.shape[2])

    signals = widened_signals(data, k, n_bins, notes)
    return replace(
        data,
        counts=grouped(data.counts).sum(axis=2, dtype=np.uint32),
        bin_s=bin_s,
        lengths=lengths,
        signals=signals,
        rates=None if data.rates is None else grouped(data.rates).sum(axis=2),
        latents=None if data.latents is None else grouped(data.latents).mean(axis=2),
    ).with_notes(notes)


def windows(data: SpikeData, n_bins: int, step: int | None = None) -> SpikeData:
    """Cut every trial into windows of equal length, see ``SpikeData.window``."""
    step = step or n_bins
    if n_bins < 1 or step < 1:
        raise DataError(f"a window of {n_bins} bins every {step} bins cannot be cut; both must be at least 1.")
    starts = [np.arange(0, int(length) - n_bins + 1, step) for length in data.lengths]
    trial = np.repeat(np.arange(data.n_trials), [len(s) for s in starts])
    if len(trial) == 0:
        longest = int(data.lengths.max())
        raise DataError(
            f"a window of {n_bins} bins ({n_bins * data.bin_s:g} s) is longer than the longest trial "
            f"({longest} bins, {longest * data.bin_s:g} s); ask for a shorter window."
        )
    start = np.concatenate(starts)
    cut = windows_at(data, trial, start, n_bins)
    return replace(
        cut,
        trials=cut.trials.assign(source_trial=trial, source_bin=start),
        provenance={**data.provenance, "windows": {"bins": n_bins, "step": step}},
    )


def windows_at(
    data: SpikeData, trial: Int[np.ndarray, "window"], start: Int[np.ndarray, "window"], n_bins: int
) -> SpikeData:
    """Windows of one size at given places, with their recorded time; splits follow the trials they are cut from.

    Args:
        data: The recording.
        trial: The trial that each is cut from.
        start: The bin that it begins with; the window must lie in its trial.
        n_bins: Length of a window.
    """
    time = start[:, None] + np.arange(n_bins)

    def cut(values: np.ndarray) -> np.ndarray:
        return values[trial[:, None], time]

    splits = {name: np.flatnonzero(np.isin(trial, indices)) for name, indices in data.splits.items()}
    return replace(
        data,
        counts=cut(data.counts),
        lengths=np.full(len(trial), n_bins),
        signals={name: Signal(cut(s.values), s.unit, s.columns) for name, s in data.signals.items()},
        trials=data.trials.iloc[trial].reset_index(drop=True).assign(**times_of_cut(data, trial, start)),
        splits={name: indices for name, indices in splits.items() if len(indices)},
        rates=None if data.rates is None else cut(data.rates),
        latents=None if data.latents is None else cut(data.latents),
    )


def cut_windows(data: SpikeData, window_s: float, step_s: float | None = None) -> SpikeData:
    """Cut every trial into windows; trials shorter than a window are dropped, which is noted in the provenance.

    Args:
        data: A recording.
        window_s: Length of a window in seconds, a whole number of bins.
        step_s: Seconds between the starts of two windows, a whole number of bins; ``window_s`` when not given.

    Raises:
        DataError: If a duration is not a whole number of bins, or if no trial is as long as one window.
    """
    size = whole_bins(window_s, data.bin_s, "window_s")
    cut = windows(data, size, whole_bins(step_s or window_s, data.bin_s, "step_s"))
    too_short = int((data.lengths < size).sum())
    if not too_short:
        return cut
    return cut.with_notes([f"{too_short} trials shorter than a window of {window_s:g} s were dropped"])
