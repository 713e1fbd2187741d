"""Bins: durations as whole numbers of them, and counts summed into wider ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from spikeloom.data.smoothing import SMOOTHED
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


def rebin(data: SpikeData, bin_s: float, notes: list[str] | None = None) -> SpikeData:
    """Sum counts into wider bins; signals and latents are averaged, and incomplete bins at the end are dropped.

    Smoothed counts are spikes per bin, and summed as counts are.

    Args:
        data: A recording.
        bin_s: Width of the new bins in seconds, a whole multiple of ``data.bin_s``.
        notes: A note is added here when trials shorter than one new bin had to be dropped.

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
    if notes is not None and not lengths.all():
        notes.append(f"{int((lengths == 0).sum())} trials shorter than one bin were dropped")
    data, lengths = data.select(trials=lengths > 0), lengths[lengths > 0]
    n_bins = int(lengths.max())

    def grouped(values: np.ndarray) -> np.ndarray:
        return values[:, : n_bins * k].reshape(len(values), n_bins, k, values.shape[2])

    def widened(name: str, values: np.ndarray) -> np.ndarray:
        return grouped(values).sum(axis=2) if name == SMOOTHED else grouped(values).mean(axis=2)

    return replace(
        data,
        counts=grouped(data.counts).sum(axis=2, dtype=np.uint32),
        bin_s=bin_s,
        lengths=lengths,
        signals={n: Signal(widened(n, s.values), s.unit, s.columns) for n, s in data.signals.items()},
        rates=None if data.rates is None else grouped(data.rates).sum(axis=2),
        latents=None if data.latents is None else grouped(data.latents).mean(axis=2),
    )
