"""Times of trials and events in arrays, in seconds on the clock of the bins."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from spikeloom.data.formats.arrays.array_file import ArrayFile
from spikeloom.data.formats.arrays.bin_width import MILLISECONDS, Clock
from spikeloom.data.formats.naming.array_names import in_bins, partners, unit_of
from spikeloom.data.session.single_precision import as_written
from spikeloom.data.tables import TABLES
from spikeloom.errors import DataError

MOST_ADJOIN = 0.5
"""Share of the trials that begin where the one before ends, by which it is seen from where bins are counted."""
MOST_BEHIND = 0.5
"""Share of the times that may lie behind the end of the recording before another unit than seconds is tried."""
LEAST_REACHED = 0.02
"""Share of the recording that milliseconds must reach: some events just behind its end do not make all of them that."""
MOST_OF_BINS, LEAST_OF_SECONDS = 0.2, 0.5
"""Whole numbers are seconds where trials reach so far into the recording by these, and no farther by bins."""


class TrialTimes:
    """The arrays of a file that hold times of trials; which were found, and how they were read, is noted."""

    def __init__(self, file: ArrayFile, clock: Clock, n_bins: int) -> None:
        self.file = file
        self.clock = clock
        self.n_bins = n_bins
        self.first_bin = 0
        self.known: dict[str, np.ndarray] = {}

    def of_trials(self) -> dict[str, Float[np.ndarray, "trial"]]:
        """Starts, and stops where there are any: of the array that an option names, else of those with usual names."""
        name = self._starts()
        if name is None:
            return {}
        shape = self.file.stored[name].shape
        if len(shape) not in (1, 2) or (len(shape) == 2 and 2 not in shape):
            stored = self.file.stored[name]
            raise DataError(f"'{name}' is {stored}, but trials are (trial,) starts, or (trial, 2) starts and stops.")
        if len(shape) == 2:
            pairs = np.asarray(self.file.read(name))
            self._look_for_first_bin(*(pairs.T if shape[1] == 2 else pairs))
            both = self.seconds(name, ends=True)
            return dict(zip(("start_time", "stop_time"), both.T if shape[1] == 2 else both))
        stops = [n for n, stored in self.file.free() if stored.shape == shape and self.file.role(n) == "stop"]
        stops = stops or [n for n, stored in self.file.free() if stored.shape == shape and n in partners(name)]
        self._look_for_first_bin(self.file.read(name), self.file.read(stops[0]) if len(stops) == 1 else None)
        if len(stops) != 1:
            return {"start_time": self.seconds(name)}
        self.file.notes.append(f"trials stop at the times in '{stops[0]}', by its name")
        return {"start_time": self.seconds(name), "stop_time": self.seconds(stops[0], ends=True)}

    def of_event(self, given: str) -> Float[np.ndarray, "trial"]:
        """The times of the event that trials are cut around."""
        name = self.file.key(given)
        if name is None:
            raise DataError(
                f"there is no array '{given}' with the times of events to align to (align); the file holds: "
                f"{self.file.found()}."
            )
        if len(self.file.stored[name].shape) != 1:
            raise DataError(
                f"'{name}' is {self.file.stored[name]}, but events to align to are one time for each trial."
            )
        if self.file.counts_from_one and not self.known:
            self._look_for_first_bin(self.file.read(name), None)
        return self.seconds(name)

    def _look_for_first_bin(self, start: np.ndarray, stop: np.ndarray | None) -> None:
        """Whether bins are counted from 1, with stops that are in the trial, as MATLAB does: by trials that adjoin.

        Where they do not, a file of MATLAB counts from 1, unless a trial starts with 0, or stops behind the last bin.
        """
        start = np.asarray(start)
        if start.dtype.kind not in "uif" or not len(start) or (start != np.floor(start)).any() or start.min() < 1:
            return
        last = float(np.nanmax(start if stop is None else stop))
        if self.file.counts_from_one and last <= self.n_bins:
            ends = start if stop is None else np.asarray(stop)
            order = np.argsort(start)
            self.first_bin = int(not (ends[order][:-1] == start[order][1:]).mean() > MOST_ADJOIN or stop is None)
            return
        if len(start) < 2 or start.min() != 1:
            return
        order = np.argsort(start)
        gap = np.diff(start[order])
        if stop is None:  # the last trial ends with the recording, if it is as long as all others
            adjoin = len(set(gap.tolist())) == 1 and start.max() + gap[0] - 1 == self.n_bins
        else:
            ends = np.asarray(stop)[order]
            adjoin = (ends[:-1] + 1 == start[order][1:]).mean() > MOST_ADJOIN or ends.max() == self.n_bins
            adjoin = adjoin and (ends[:-1] == start[order][1:]).mean() < MOST_ADJOIN
        self.first_bin = int(adjoin)

    def _starts(self) -> str | None:
        file, given = self.file, self.file.options.trials
        if given is not None:
            name = file.key(given)
            if name is None:
                raise DataError(
                    f"there is no array '{given}' for trials, and no table ({', '.join(TABLES)}) of that name; "
                    f"the file holds: {file.found()}."
                )
            return name
        usual = {"both": 2, "start": 1}  # and their number of axes
        roles = {name: file.role(name) for name, stored in file.free() if stored.dtype.kind in "uif"}
        roles = {name: role for name, role in roles.items() if usual.get(role or "") == len(file.stored[name].shape)}
        wanted = "both" if "both" in roles.values() else "start"
        names = [name for name, role in roles.items() if role == wanted and file.stored[name].shape != (self.n_bins,)]
        if len(names) != 1:
            return None
        file.notes.append(
            f"trials start at the times in '{names[0]}', by its name; continuous=True loads all of the time"
        )
        return names[0]

    def seconds(self, name: str, ends: bool = False) -> np.ndarray:
        """Times in seconds: floats are seconds, and whole numbers are bins, unless their name says otherwise.

        Args:
            name: The array.
            ends: Whether the last number of each row is that of the bin behind the trial.

        Raises:
            DataError: If they are no numbers.
        """
        if name not in self.known:
            self.known[name] = self._read(name, ends)
        return self.known[name]

    def _read(self, name: str, ends: bool) -> np.ndarray:
        file = self.file
        if not file.stored[name].is_number:
            raise DataError(f"'{name}' is {file.stored[name]}, but times are numbers of seconds, or of bins.")
        values = file.read(name)
        if values.dtype.kind == "f":
            values = as_written(values.astype(np.float64))
        unit_s, how = unit_of(name)[1], "by its name"
        if unit_s is None and not in_bins(name):
            unit_s, how = self._guessed_unit(values)
        if unit_s is None:
            file.notes.append(f"'{name}' is taken as numbers of bins, counted from {self.first_bin}, {how}")
            return self._of_bins(self._from_zero(values.astype(np.float64), ends), ends)
        unit = {1.0: "seconds", MILLISECONDS: "milliseconds"}.get(unit_s, f"units of {unit_s:g} s")
        file.notes.append(f"'{name}' is taken as {unit}, {how}")
        return values.astype(np.float64) * unit_s

    def _from_zero(self, numbers: np.ndarray, ends: bool) -> np.ndarray:
        """Numbers of bins from 0; a stop counted from 1 that is in its trial is the one behind it, counted from 0."""
        if not self.first_bin or (ends and numbers.ndim == 1):
            return numbers
        if ends and numbers.ndim == 2:
            start = np.zeros(numbers.shape)
            start[(slice(None), 0) if numbers.shape[1] == 2 else 0] = 1
            return numbers - start
        return numbers - 1

    def _guessed_unit(self, values: np.ndarray) -> tuple[float | None, str]:
        """Seconds in the unit of times that name none, or None for numbers of bins; and why."""
        known = values[np.isfinite(values)].astype(np.float64)
        latest, clock = float(known.max(initial=0)), self.clock
        end_s = self.n_bins * clock.bin_s if clock.start_s is None else float(clock.start_s[-1]) + clock.bin_s
        reaches_in_ms = LEAST_REACHED * end_s <= latest * MILLISECONDS <= end_s
        if values.dtype.kind != "f":
            if clock.unit_s == MILLISECONDS and latest > self.n_bins:
                return MILLISECONDS, "as the times of bins are"
            if len(known) and (known > self.n_bins).mean() > MOST_BEHIND and reaches_in_ms:
                return MILLISECONDS, "as bins would lie behind the end of the recording"
            if latest * clock.bin_s < MOST_OF_BINS * end_s and LEAST_OF_SECONDS * end_s <= latest <= end_s:
                return 1.0, "as all trials would lie in the first part of the recording if they were bins"
            return None, "as it holds whole numbers"
        if clock.unit_s == MILLISECONDS:
            return MILLISECONDS, "as the times of bins are"
        behind = len(known) > 0 and (known > end_s).mean() > MOST_BEHIND
        # MATLAB stores whole numbers as floats, too.
        if behind and latest <= self.n_bins and (known == np.floor(known)).all():
            return None, "as it holds whole numbers, and as seconds they would lie behind the end of the recording"
        if behind and reaches_in_ms:
            return MILLISECONDS, "as seconds would lie behind the end of the recording"
        return 1.0, "as it holds floats"

    def _of_bins(self, numbers: np.ndarray, ends: bool) -> np.ndarray:
        """The start of the bin of each number; a stop is where the bin before it ends, whatever gap follows."""
        behind = np.zeros(numbers.shape)
        if ends:
            behind[(slice(None), 1) if numbers.ndim == 2 and numbers.shape[1] == 2 else ...] = 1
            behind[0] = 0 if numbers.ndim == 2 and numbers.shape[1] != 2 else behind[0]
        if self.clock.start_s is None:
            return numbers * self.clock.bin_s
        known = np.clip(np.nan_to_num(np.floor(numbers - behind)), 0, self.n_bins - 1).astype(np.int64)
        return self.clock.start_s[known] + (numbers - known) * self.clock.bin_s
