"""The continuous pieces of counts with the axes (time, neuron): segments, and stretches between gaps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from spikeloom.data.formats.arrays.array_file import ArrayFile, column, whole
from spikeloom.data.formats.arrays.bin_width import Clock
from spikeloom.data.formats.arrays.columns import trial_columns
from spikeloom.data.formats.naming.array_names import SEGMENT, plain
from spikeloom.data.formats.naming.trial_labels import between_trials
from spikeloom.data.recorded_time import FROM_S, PIECE
from spikeloom.errors import DataError

TRIALS = ("trial", "trials", "trial_id", "trial_ids", "trial_number", "trial_index", "trial_idx", "trial_num")
"""Names of the trial of each bin."""
LASTING = 0.5
"""Share of the bins in the same trial as the one before, from which on labels are those of trials."""
GAP = 1.5
"""Two bins that begin more than this many bins apart have a gap between them."""


@dataclass(frozen=True)
class Pieces:
    """Stretches of bins that follow each other without a gap.

    Attributes:
        first: First bin of each.
        n_bins: How many bins it has.
        start_s: Start of its first bin, on the clock of the file, or counted from the first bin of the file.
        bin_s: Width of a bin.
        one_clock: Whether the time between two pieces is known.
        table: One row for each: its segment, and the columns of segments.
    """

    first: Int[np.ndarray, "piece"]
    n_bins: Int[np.ndarray, "piece"]
    start_s: Float[np.ndarray, "piece"]
    bin_s: float
    one_clock: bool
    table: pd.DataFrame

    @property
    def stop_s(self) -> Float[np.ndarray, "piece"]:
        """End of the last bin of each."""
        return self.start_s + self.n_bins * self.bin_s

    def piece_at(self, time_s: Float[np.ndarray, "time"]) -> Int[np.ndarray, "time"]:
        """The last piece that begins before or at each time; -1 before all."""
        return np.searchsorted(self.start_s, time_s + 1e-6 * self.bin_s, side="right") - 1

    def recorded_time(
        self, piece: Int[np.ndarray, "trial"], start_s: Float[np.ndarray, "trial"]
    ) -> dict[str, np.ndarray]:
        """The trial columns with the recorded time of trials that are cut from the pieces."""
        return {FROM_S: start_s} if self.one_clock else {PIECE: piece, FROM_S: start_s}


def pieces_of(
    file: ArrayFile,
    counts: str,
    clock: Clock,
    segment: str | None,
    observed: Bool[np.ndarray, "time"],
    n_neurons: int,
) -> Pieces:
    """The pieces of a recording: it is cut where a segment ends, where times have a gap, and where counts are missing.

    Args:
        file: The arrays.
        counts: Name of the counts.
        clock: Width and times of the bins.
        segment: Name of the array that says of which segment each bin is, see ``segment_of``.
        observed: (time,) false where the counts of all neurons are missing (NaN).
        n_neurons: How many neurons there are.

    Raises:
        DataError: If the segments are not of each bin, or nothing was observed.
    """
    n_bins = len(observed)
    if not observed.any():
        raise DataError(f"all counts of '{counts}' are missing (NaN); name another array with counts=<array>.")
    ids = None if segment is None else file.read(segment)
    if ids is not None and ids.shape != (n_bins,):
        raise DataError(f"'{segment}' is {file.stored[str(segment)]}, but '{counts}' has {n_bins} bins; give each one.")
    is_between = np.zeros(n_bins, dtype=bool)
    if ids is not None:
        is_between, more = between_trials(ids, str(segment), is_trial=plain(str(segment)) in TRIALS)
        file.notes += more
    new = np.zeros(n_bins, dtype=bool)
    new[0] = True
    if ids is not None:
        new[1:] |= ids[1:] != ids[:-1]
    runs = np.flatnonzero(new & ~is_between)  # of one segment, before gaps divide them
    missing = int((~observed).sum())
    observed = observed & ~is_between
    if not observed.any():
        raise DataError(f"no bin of a '{segment}' has counts in '{counts}'; check the file.")
    start_s = clock.start_s if clock.start_s is not None else np.arange(n_bins) * clock.bin_s
    steps = np.diff(start_s) / clock.bin_s
    new[1:] |= (steps > GAP) | (steps <= 0) | (observed[1:] & ~observed[:-1])
    first = np.flatnonzero(new & observed)
    ends = np.flatnonzero(observed & np.r_[new[1:] | ~observed[1:], True]) + 1
    restarts, gaps = int((steps <= 0).sum()), int((steps > GAP).sum())
    if gaps:
        longest = float((steps.max() - 1) * clock.bin_s)
        file.notes.append(f"the recording is cut at gaps between the times of bins: {gaps}, of up to {longest:.4g} s")
    if restarts:
        file.notes.append(f"the recording is cut where the times of bins restart ({restarts} of {n_bins - 1} bins)")
    if missing:
        file.notes.append(f"{missing} bins without counts (NaN in all neurons) are gaps of the recording")
    table = pd.DataFrame(index=range(len(first)))
    if ids is not None:
        run = np.searchsorted(runs, first, side="right") - 1
        table = pd.DataFrame({"segment": whole(column(ids[first])), "start_bin": first})
        table = table.assign(**_columns_of_segments(file, ids[runs], run, n_neurons))
    return Pieces(
        first=first,
        n_bins=ends - first,
        start_s=start_s[first],
        bin_s=clock.bin_s,
        # How much time lies between segments is not known, unless bins have times or the time between trials is there.
        one_clock=(ids is None or clock.start_s is not None or bool(is_between.any())) and not restarts,
        table=table,
    )


def segment_of(file: ArrayFile, n_bins: int) -> str | None:
    """The array with the segment of each bin: the one named, else one with a usual name, else the trial of each bin.

    The trial of each bin is its segment where nothing else says when trials were.

    Args:
        file: The arrays.
        n_bins: How many bins there are.

    Raises:
        DataError: If the array that the option names does not exist.
    """
    options, segment = file.options, file.named("segment", SEGMENT)
    times = any(s.shape != (n_bins,) and s.is_number and s.shape and file.role(n) for n, s in file.stored.items())
    if segment is None and options.align is None and options.trials is None and not options.continuous and not times:
        labels = [n for n, s in file.stored.items() if s.shape == (n_bins,) and plain(n) in TRIALS]
        segment = labels[0] if len(labels) == 1 and _lasts(file.stored[labels[0]].read()) else None
        if segment is not None:
            file.notes.append(
                f"'{segment}' says of each bin in which trial it is, and these are the trials; continuous=True loads "
                "all of the time"
            )
    return segment


def _lasts(ids: np.ndarray) -> bool:
    """Whether labels stay the same over several bins, as those of trials do."""
    labels = pd.factorize(ids)[0]  # missing ones are equal
    return len(labels) > 1 and float((labels[1:] == labels[:-1]).mean()) > LASTING


def numbers_of_segments(file: ArrayFile, segment: str | None) -> set[int]:
    """How many runs of a segment there are, and how many segments: sizes that their columns have."""
    if segment is None or len(file.stored[segment].shape) != 1:
        return set()
    ids = file.stored[segment].read()
    new = np.r_[True, ids[1:] != ids[:-1]]
    inside = ~between_trials(ids, segment, is_trial=plain(segment) in TRIALS)[0]
    return {int((new & inside).sum()), len(np.unique(ids[inside]))}


def _columns_of_segments(
    file: ArrayFile, ids: np.ndarray, run: Int[np.ndarray, "piece"], n_neurons: int
) -> dict[str, np.ndarray]:
    """Arrays with a value for each run of a segment, or for each segment in the order of their ids."""
    columns = {name: values[run] for name, values in trial_columns(file, len(ids), n_neurons).items()}
    distinct, number = np.unique(ids, return_inverse=True)
    if len(distinct) != len(ids):
        by_id = trial_columns(file, len(distinct), n_neurons)
        columns |= {name: values[number.ravel()[run]] for name, values in by_id.items()}
        if by_id:
            file.notes.append(f"{', '.join(by_id)}: a value for each id of a segment, taken in the order of the ids")
    return columns
